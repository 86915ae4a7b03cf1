"""A run that is killed again and again, by SIGKILL, until one comes to its end. Called by test_killed.py as a program of its own.

It imports PyTorch once and forks a process for each attempt. What kills one is given as JSON, a list of [what, number]:

    ["seconds", s]   from outside, s seconds after it began
    ["step", n]      at its n-th update of the weights, of which one optimiser has made its part and the next has not
    ["write", n]     in its n-th file of a checkpoint, when half of it is written
    ["fsync", n], ["replace", n], ["rmtree", n]   just before its n-th call of that

It prints which attempts were killed, from which step each began, and what the last one left.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # the optimisers do, and each attempt would for itself
from pretraining_helpers import Dropping, T, recipe, small_model

from lablib.pretraining import atomic
from lablib.pretraining.batching import Batches
from lablib.pretraining.checkpoint import latest
from lablib.pretraining.muon import Muon
from lablib.pretraining.record import to_jsonl
from lablib.pretraining.shards import open_shard
from lablib.pretraining.training import train


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: object, name: str, n: int, do=die) -> None:
    """Do something instead of the n-th call of a function."""
    real, calls = getattr(owner, name), [0]

    def call(*arguments, **keywords):
        calls[0] += 1
        if calls[0] == n:
            do(*arguments) if do is not die else die()
        return real(*arguments, **keywords)

    setattr(owner, name, call)


def half_a_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        die()


def arm(what: str, n: float) -> None:
    if what == "step":
        before(Muon if KIND.startswith("muon") else torch.optim.AdamW, "step", int(n))
    elif what == "write":
        before(atomic, "write", int(n), half_a_file)
    elif what in ("fsync", "replace"):
        before(os, what, int(n))
    elif what == "rmtree":
        before(shutil, what, int(n))
    elif what != "seconds":
        raise ValueError(f"what = {what!r}")


def attempt(folder: Path) -> None:
    """The whole run, or what is left of it."""
    torch.manual_seed(0)
    model = Dropping() if KIND == "muon, dropout" else small_model()
    config = recipe(steps=40, optimiser="muon" if KIND.startswith("muon") else "adamw", accumulation=2)
    batches = Batches([open_shard(folder.parent / "train.bin")], T, 8)
    for _ in to_jsonl(train(model, batches, config, folder=folder, every=3), folder / "steps.jsonl"):
        time.sleep(0.002)  # so that a moment that is drawn at random may fall between two steps, too


def run(folder: Path, kills: list) -> list:
    log = []
    for kill in [*kills, None]:
        found = latest(folder)
        child = os.fork()
        if child == 0:
            try:
                if kill:
                    arm(*kill)
                attempt(folder)
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        if kill and kill[0] == "seconds":
            time.sleep(kill[1])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and os.waitstatus_to_exitcode(status) != 0:
            raise RuntimeError(f"an attempt failed with {kill}")
        log.append({"kill": kill, "killed": killed, "from": found.step if found else 0})
    return log


if __name__ == "__main__":
    torch.set_num_threads(1)
    base, KIND, kills = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    log = run(base / "killed", kills)
    run(base / "whole", [])
    print(json.dumps(log))
