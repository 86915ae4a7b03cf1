"""Killed by SIGKILL at any moment and started again, a run ends as one that nobody disturbed, to the last bit."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pretraining_helpers import some_shard

from lablib.pretraining.checkpoint import META, STATE, WEIGHTS, steps
from lablib.pretraining.record import read_jsonl

HERE = Path(__file__).parent


def attempts(folder: Path, kind: str, kills: list) -> list[dict]:
    some_shard(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent.parent}"}
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_run.py"), str(folder), kind, json.dumps(kills)],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_same_end(folder: Path) -> None:
    """The checkpoints and records of both runs are the same, but for the seconds that steps took."""
    whole, killed = steps(folder / "whole"), steps(folder / "killed")
    assert [path.name for path in killed] == [path.name for path in whole] == ["step-00000039", "step-00000040"]
    for a, b in zip(whole, killed, strict=True):
        for name in (WEIGHTS, STATE, META):
            assert (a / name).read_bytes() == (b / name).read_bytes(), f"{name} of {a.name}"
    records = [
        [
            (step.step, step.loss, step.gradient_norm, step.lr, step.tokens)
            for step in read_jsonl(folder / run / "steps.jsonl")
        ]
        for run in ("whole", "killed")
    ]
    assert records[0] == records[1]
    assert [record[0] for record in records[1]] == list(range(1, 41))
    assert sorted(path.name for path in (folder / "killed").iterdir()) == [
        "step-00000039",
        "step-00000040",
        "steps.jsonl",
    ]


# A checkpoint of three files calls fsync 5 times (each file, its folder, the run's) and replace once; from the third on, keeping
# two, an old one is renamed and removed.
EVERYWHERE = [
    ["step", 2], ["write", 1], ["write", 2], ["fsync", 1], ["write", 3], ["fsync", 4], ["replace", 1], ["fsync", 5],
    ["step", 5], ["write", 5], ["replace", 3], ["rmtree", 1], ["fsync", 9], ["replace", 2], ["write", 6], ["step", 7],
]  # fmt: skip


@pytest.mark.parametrize("kind", ["adamw", "muon, dropout"])
def test_killed_at_every_kind_of_moment(tmp_path, kind):
    log = attempts(tmp_path, kind, EVERYWHERE)
    assert [attempt["killed"] for attempt in log] == [True] * len(EVERYWHERE) + [False]
    begun = [attempt["from"] for attempt in log]
    assert begun == sorted(begun)  # nothing that was saved is lost
    assert begun[:4] == [0, 0, 0, 0]
    assert begun[-1] > 10
    assert_same_end(tmp_path)


def test_killed_at_random_moments(tmp_path):
    # New moments every time: whatever they are, it must hold. The whole run takes more than three of them.
    draw = random.Random()
    log = attempts(tmp_path, "muon", [["seconds", draw.uniform(0.01, 0.12)] for _ in range(12)])
    assert sum(attempt["killed"] for attempt in log) >= 3, log
    assert_same_end(tmp_path)
