"""`lab shards`, `pretrain`, `write` and `train`, run as people run them: by name, and on two processes by torchrun."""

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lablib.course import cli
from lablib.pretraining import command, real_run, shard_command, write_command
from lablib.pretraining.record import read_jsonl

ROOT = Path(__file__).resolve().parents[2]
LAB = Path(sys.executable).with_name("lab")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def arguments(base: Path, name: str) -> list[str]:
    return [
        "pretrain", "--train", str(base / "train.bin"), "--held-out", str(base / "held_out.bin"), "--folder", str(base / name),
        "--context", "16", "--parameters", "3e5", "--model", "D=16", "H=2", "L=2", "hidden=32", "context=16",
        "--recipe", "steps=12", "batch=8", "lr=0.01",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder with shards of the world, and the run of one process."""
    folder = tmp_path_factory.mktemp("cli")
    made = ["shards", "--world", "40", "--out", str(folder / "train.bin"), "--held-out", str(folder / "held_out.bin")]
    assert cli.main(made) == 0
    assert cli.main(arguments(folder, "one")) == 0
    return folder


@pytest.mark.parametrize("start", ["module", "script"])
def test_two_processes_learn_what_one_learns(base, start):
    name = f"two by {start}"
    what = ["-m", "lablib.course.cli"] if start == "module" else [str(LAB)]
    if start == "script" and not LAB.exists():
        what = [cli.__file__]  # where the package is on the path but not installed
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
         "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", *what, *arguments(base, name)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 processes" in done.stdout
    one, two = (read_jsonl(base / run / "steps.jsonl") for run in ("one", name))
    assert [step.loss for step in two] == pytest.approx([step.loss for step in one], rel=1e-5)
    assert len(one) == 12
    assert one[-1].loss < one[0].loss - 0.1
    assert done.stdout.count("held out: ") == 1


def test_what_was_trained_can_write(base, capsys):
    assert cli.main(["write", str(base / "one"), "--texts", "2", "--tokens", "5"]) == 0
    assert re.match(r"--- 1\n(?s:.*)--- 2\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "option"),
    [("pretrain", "--parameters"), ("shards", "--world"), ("write", "--prompt"), ("train base", "--folder")],
)
def test_help_is_that_of_the_command_itself(capsys, name, option):
    with pytest.raises(SystemExit) as end:
        cli.main([*name.split(), "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: lab {name} ")
    assert option in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["pretrain", "--train", "nowhere.bin", "--folder", "x"], "lab pretrain: path = 'nowhere.bin': no such file"),
        (["shards", "--texts", "nowhere.txt", "--out", "x"], "lab shards: "),
        (["write", "nowhere"], "lab write: name = 'nowhere'"),
        (["train", "nothing"], "lab train: 'nothing' is no model of the course: expected one of base"),
    ],
)
def test_a_wrong_argument_is_one_line_and_code_2(tmp_path, monkeypatch, capsys, given, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_train_lists_the_models_and_hands_on_what_follows(monkeypatch, capsys):
    for alone in (["train"], ["train", "--help"]):
        assert cli.main(alone) == 0
        assert re.search(r"^  base +the course's pre-trained model", capsys.readouterr().out, re.M)
    seen = []
    stand_in = types.ModuleType("stand_in")
    stand_in.main = lambda arguments, prog: seen.append((arguments, prog)) or 3
    monkeypatch.setitem(sys.modules, cli.TRAINED["base"][0], stand_in)
    assert cli.main(["train", "base", "--folder", "here", "--help"]) == 3
    assert seen == [(["--folder", "here", "--help"], "lab train base")]


def test_ctrl_c_is_code_130(monkeypatch, capsys):
    def pressed(*given, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(shard_command, "parser", pressed)
    assert cli.main(["shards", "--world", "1"]) == 130
    assert "stopped" in capsys.readouterr().err


# ---------------------------------------------------------------- what README says can be typed


def commands() -> list[list[str]]:
    """The command lines in README's blocks, continued lines joined, split as a shell does."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def of_lab(words: list[str]) -> list[str] | None:
    """What stands behind `lab`, if the line runs it, by torchrun too (which must understand its own options)."""
    from torch.distributed.run import get_args_parser

    while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words = words[1:]
    if words[:1] == ["torchrun"]:
        given = get_args_parser().parse_args(words[1:])
        assert given.module
        assert given.training_script == "lablib.course.cli"
        return given.training_script_args
    return words[1:] if words[:1] == ["lab"] else None


def test_every_training_command_in_readme_is_understood():
    parsers = {"pretrain": command.parser, "shards": shard_command.parser, "write": write_command.parser}
    seen, started = set(), []
    for words in commands():
        given = of_lab(words)
        if given is None or given[0] not in parsers:
            continue
        parsed = parsers[given[0]]().parse_args(given[1:])  # an unknown option would end the test
        if given[0] == "pretrain":
            from lablib.pretraining.recipe import Recipe

            recipe = command.with_settings(Recipe(steps=1000, batch=512, context=parsed.context), parsed.recipe)
            for processes in (2, 8, 16):
                assert recipe.batch % (processes * recipe.accumulation) == 0
        seen.add(given[0])
        started.append(words[0])
    for line in re.findall(r"`python -m lablib\.pretraining\.real_run ([^`]+)`", README):
        real_run.parser().parse_args(shlex.split(line))
        seen.add("real_run")
    assert seen == {*parsers, "real_run"}
    assert started.count("torchrun") + sum("=" in first for first in started) >= 2
