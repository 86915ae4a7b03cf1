"""What the commands that align a model have in common: their arguments, their exit codes, and the record that is written last.

    return run("dpo", make_dpo, parser_of(prog, "Improve the tuned model by DPO."), arguments)

The record makes a folder a model (`lablib.checkpoints`), so it is written behind everything else: a run that breaks off leaves what was
there, or nothing that looks finished.

`train_command` has the commands. Left out: going on with a run that was broken off.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lablib import checkpoints
from lablib.alignment import reward_model
from lablib.alignment.dpo import DPOStep
from lablib.alignment.rl_record import RLStep
from lablib.alignment.rlhf_runs import PAIRS, learned
from lablib.alignment.rollouts import Score
from lablib.checkpoints import RECORD, Carried, load, own_path
from lablib.pretraining import atomic
from lablib.pretraining.command import INTERRUPTED
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.experiments import hardware

OF_ANSWERS = ("step", "proxy", "gold", "kl", "entropy", "length", "seconds")
OF_PAIRS = ("step", "loss", "accuracy", "margin", "chosen_moved", "rejected_moved")
# what was given, the tuned model, the folder -> what the record says besides; writes the weights
Make = Callable[[argparse.Namespace, Carried, Path], dict[str, Any]]


def run(name: str, make: Make, parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """0 when the model was written, 1 when a loss became no number, 2 for wrong input, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(words)
    folder: Path = given.folder or own_path(name)
    try:
        sft = load(given.sft)
        sft.model.to(local_device())
        print(f"from {sft.origin}", flush=True)
        made = make(given, sft, folder)
        about = {
            "name": name,
            "command": " ".join(["lab train", name, *_without_folder(words)]),
            "from": {key: sft.record.get(key) for key in ("name", "command", "seconds")},
            "hardware": hardware(),
            "model": asdict(sft.model.config),
            "parameters": sft.model.config.parameters,
            "seed": given.seed,
        }
        atomic.write(folder / RECORD, (json.dumps({**about, **made}, indent=1) + "\n").encode())
    except Diverged as error:
        print(f"the run diverged: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; what was there before is there still", file=sys.stderr)
        return INTERRUPTED
    print(f"{folder}: {made['seconds']} s of training")
    return 0


def _without_folder(words: Sequence[str]) -> list[str]:
    """Where a model was written says nothing of how it was made."""
    kept, skip = [], False
    for word in words:
        if not skip and not word.startswith("--folder"):
            kept.append(word)
        skip = word == "--folder"
    return kept


def parser_of(prog: str, description: str, pairs: bool = True) -> argparse.ArgumentParser:
    """The arguments that all have. pairs: is there a number of pairs among them?"""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--sft", default="sft", metavar="NAME", help="the model to begin with (sft)")
    made.add_argument("--folder", type=Path, help="where the model goes (where the labs look for your own)")
    made.add_argument("--seed", type=int, default=0, help="of pairs, labels, order and rollouts (0)")
    made.add_argument("--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="such as steps=100 lr=3e-4")
    if pairs:
        made.add_argument("--pairs", type=int, default=PAIRS, help=f"that are collected, a tenth held out ({PAIRS})")
    return made


# ---------------------------------------------------------------- for the record


def score_by(folder: Path | None) -> Score:
    """The reward of the model in a folder; None: of the learner's own reward model, else of the course's."""
    if folder is None:
        folder = checkpoints.find("reward")[0]
    return partial(learned, models=[reward_model.load(folder)])


def score_if_any() -> Score | None:
    """The same, for a method that does without a learned reward and is only looked at by it; None where there is none."""
    try:
        return score_by(None)
    except FileNotFoundError:
        return None


def told(step: RLStep | DPOStep) -> None:
    """Print the first step and every tenth."""
    if step.step == 1 or step.step % 10 == 0:
        if isinstance(step, DPOStep):
            line = f"loss {step.loss:.4f}  accuracy {step.accuracy:.2f}"
        else:
            gold = "" if step.gold is None else f"gold {step.gold:.3f}  "
            line = f"proxy {step.proxy:6.2f}  {gold}KL {step.kl:6.2f}"
        print(f"step {step.step:>4}  {line}", flush=True)


def curve(steps: Sequence[RLStep | DPOStep]) -> list[dict[str, Any]]:
    """What the record says of each step of RL, or of about 40 steps of DPO."""
    few = steps[:: max(1, len(steps) // 40)] if isinstance(steps[0], DPOStep) else steps
    names = OF_PAIRS if isinstance(steps[0], DPOStep) else OF_ANSWERS
    return [{name: _short(getattr(step, name)) for name in names} for step in few]


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
