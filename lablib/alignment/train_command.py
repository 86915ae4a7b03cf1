"""The models that alignment makes of the tuned one, each by one command:

    lab train reward        a reward model, from pairs of the tuned model's answers that simulated annotators have labelled
    lab train ppo           the tuned model, improved by PPO with that reward model
    lab train dpo           the tuned model, improved by DPO on the pairs that the reward model of that seed has learned from

Each takes minutes and writes a folder with record.json: settings, seconds, and what was measured of the weights as they lie in the file.
The settings are those of labs 12 and 13's studies, so that what a study says of them holds for these models. The folders of ppo and dpo
are read by `lablib.checkpoints.load` and by `transformers`, that of reward by `reward_model.load`.

What is measured of a policy, always beside the tuned model, says `policy_record`. Of a reward model: accuracy on held-out pairs beside
the noise ceiling, calibration, and what a word is worth to it.

Left out: going on with a run that was broken off, since it would save minutes; the same command begins it again.
"""

import argparse
import contextlib
import copy
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch

from lablib import checkpoints
from lablib.adaptation.chat import BEGIN, PAD, STOP
from lablib.adaptation.sft_command import rounded
from lablib.alignment import dpo as dpo_loop
from lablib.alignment import reward_model
from lablib.alignment.annotators import ANNOTATORS
from lablib.alignment.calibration import even_edges, expected_calibration_error, of_pairs
from lablib.alignment.dpo_study import LIKE_DPO, parts
from lablib.alignment.learned_what import explain_rewards
from lablib.alignment.policy_record import write_policy
from lablib.alignment.ppo import PPO
from lablib.alignment.ppo import ppo as ppo_steps
from lablib.alignment.preference_pairs import Collected, Preference, collect, held_out_by_prompt
from lablib.alignment.reference import preference_table
from lablib.alignment.reward_training import Evaluation, evaluate, trained
from lablib.alignment.rl_record import RLStep
from lablib.alignment.rlhf_runs import PAIRS, REWARD, learned
from lablib.alignment.rlhf_study import PLAIN
from lablib.alignment.rollouts import Prompts, Score, gold_scores
from lablib.alignment.value_model import ValueModel, copied
from lablib.checkpoints import RECORD, Carried, load, own_path
from lablib.pretraining import atomic
from lablib.pretraining.command import INTERRUPTED, with_settings
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.experiments import hardware
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step

BETA = 0.1  # of DPO
CURVE = ("step", "proxy", "gold", "kl", "entropy", "length", "seconds")
MODULE = "python -m lablib.alignment.train_command"

# ---------------------------------------------------------------- the three


def reward(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} reward") -> int:
    """`lab train reward`."""
    return _run("reward", make_reward, _parser(prog, "Learn a reward from pairs of answers."), arguments)


def ppo(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} ppo") -> int:
    """`lab train ppo`."""
    parser = _parser(prog, "Improve the tuned model by PPO, with a learned reward.", pairs=False)
    parser.add_argument("--objective", nargs="*", default=[], metavar="NAME=VALUE", help="such as beta=0.1")
    parser.add_argument("--prompts", type=int, default=64, help="prompts a step (64)")
    parser.add_argument("--reward", type=Path, metavar="FOLDER", help="of the reward model (your own, or the course's)")
    return _run("ppo", make_ppo, parser, arguments)


def dpo(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} dpo") -> int:
    """`lab train dpo`."""
    parser = _parser(prog, "Improve the tuned model by DPO, on pairs of its answers.")
    parser.add_argument("--beta", type=float, default=BETA, help=f"how dear it is to leave the tuned model ({BETA})")
    return _run("dpo", make_dpo, parser, arguments)


def _parser(prog: str, description: str, pairs: bool = True) -> argparse.ArgumentParser:
    """The arguments that all have."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--sft", default="sft", metavar="NAME", help="the model to begin with (sft)")
    made.add_argument("--folder", type=Path, help="where the model goes (where the labs look for your own)")
    made.add_argument("--seed", type=int, default=0, help="of pairs, labels, order and rollouts (0)")
    made.add_argument("--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="such as steps=100 lr=3e-4")
    if pairs:
        made.add_argument("--pairs", type=int, default=PAIRS, help=f"that are collected, a tenth held out ({PAIRS})")
    return made


Make = Callable[[argparse.Namespace, Carried, Path], dict[str, Any]]


def _run(name: str, make: Make, parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """0 when the model was written, 1 when a loss became no number, 2 for wrong input, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(words)
    folder: Path = given.folder or own_path(name)
    try:
        sft = load(given.sft)
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


# ---------------------------------------------------------------- reward


def pairs_of(given: argparse.Namespace, sft: Carried) -> tuple[Collected, list[Preference], list[Preference]]:
    """The pairs of a seed: all, those to learn from, those held out. The studies' pairs of that seed are the same."""
    found = collect(sft.model, sft.tokenizer, given.pairs, Random(f"pairs {given.seed}"))
    print(f"{len(found.pairs):,} pairs in {found.seconds:.0f} s", flush=True)
    return (found, *held_out_by_prompt(found.pairs))


def _about(found: Collected, learn: Sequence[Preference], test: Sequence[Preference]) -> dict[str, Any]:
    """For the record."""
    about = {"drawn": found.drawn, "identical": found.identical, "seconds": round(found.seconds, 1)}
    return {"learned_from": len(learn), "held_out": len(test), "annotators": [asdict(a) for a in ANNOTATORS], **about}


def make_reward(given: argparse.Namespace, sft: Carried, folder: Path) -> dict[str, Any]:
    """Train a reward model, write it, and measure what was written."""
    steps = max(1, 2 * given.pairs // with_settings(REWARD, given.recipe).batch)  # two passes
    recipe = with_settings(replace(REWARD, steps=steps, seed=given.seed), given.recipe)
    found, learn, test = pairs_of(given, sft)
    seen: list[Step] = []
    model = trained(
        sft.model, learn, sft.tokenizer, recipe, torch.Generator().manual_seed(given.seed),
        watch=lambda step, _: seen.append(step),
    )  # fmt: skip
    for weight in model.trunk.parameters():
        weight.data = weight.data.half().float()  # as it will lie in the file
    special = sft.tokenizer.special
    result = evaluate(model, test, special[PAD], ANNOTATORS)
    assert result.ceiling is not None, "pairs of the world have gold scores"
    assert result.by_gold is not None
    print(result)
    measured = {
        "accuracy": rounded(result.accuracy),
        "ceiling": round(result.ceiling.mean, 4),
        "by_gold": round(result.by_gold.mean, 4),
        "gold_accuracy": None if result.gold_accuracy is None else rounded(result.gold_accuracy),
        "loss": round(result.loss, 5),
        "calibration_error": round(
            expected_calibration_error(*of_pairs(result.chosen, result.rejected), even_edges(10)), 4
        ),
        **_worth(test, result),
    }
    (folder / RECORD).unlink(missing_ok=True)  # of an earlier model: the new record is written last
    reward_model.save(model, folder, bos=special[BEGIN], eos=special[STOP], pad=special[PAD])
    return {
        "pairs": _about(found, learn, test),
        "recipe": asdict(recipe),
        "seconds": round(math.fsum(step.seconds for step in seen), 1),
        **measured,
        "curve": [[step.step, round(step.loss, 4)] for step in seen[:: max(1, len(seen) // 40)]],
    }


def _worth(test: Sequence[Preference], result: Evaluation) -> dict[str, Any]:
    """What gold and a word are worth to the reward; None where the held-out pairs are too few or too alike to say."""
    try:
        found = explain_rewards(test, result.chosen, result.rejected)
    except ValueError as error:
        print(f"what a word is worth cannot be said: {error}", file=sys.stderr)
        return {"per_gold": None, "per_word": None}
    return {"per_gold": rounded(found.per_gold), "per_word": rounded(found.per_word)}


# ---------------------------------------------------------------- policies


def score_by(folder: Path | None) -> Score:
    """The reward of the model in a folder; None: of the learner's own reward model, else of the course's."""
    if folder is None:
        folder = checkpoints.find("reward")[0]
    return partial(learned, models=[reward_model.load(folder)])


def make_ppo(given: argparse.Namespace, sft: Carried, folder: Path) -> dict[str, Any]:
    """Improve the tuned model with a reward model."""
    if any(word.startswith("objective=") for word in given.recipe):
        raise ValueError("--recipe objective=…: expected its settings one by one, --objective beta=0.1")
    settings: PPO = with_settings(PLAIN, given.recipe)
    settings = replace(settings, objective=with_settings(PLAIN.objective, given.objective))
    score = score_by(given.reward)
    policy, critic = copy.deepcopy(sft.model).requires_grad_(True), ValueModel(copied(sft.model))
    chance = torch.Generator().manual_seed(given.seed)
    prompts = Prompts(given.prompts, given.seed)
    steps = ppo_steps(policy, sft.model, critic, sft.tokenizer, prompts, score, settings, chance, gold_scores)
    curve = [_short(step) for step in _told(steps)]
    return {
        "settings": asdict(settings),
        "prompts_a_step": given.prompts,
        "seconds": round(math.fsum(step["seconds"] for step in curve), 1),
        **write_policy(policy, sft, folder, score, given.seed),
        "curve": curve,
    }


def _told(steps: Iterator[RLStep]) -> Iterator[RLStep]:
    for step in steps:
        if step.step == 1 or step.step % 10 == 0:
            print(f"step {step.step:>4}  proxy {step.proxy:6.2f}  gold {step.gold:.3f}  KL {step.kl:6.2f}", flush=True)
        yield step


def _short(step: RLStep) -> dict[str, Any]:
    numbers = {name: step.numbers[name] for name in CURVE}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()}


def make_dpo(given: argparse.Namespace, sft: Carried, folder: Path) -> dict[str, Any]:
    """Improve the tuned model on pairs, in one pass over them."""
    with_settings(LIKE_DPO, given.recipe)  # what is wrong with them is said before the pairs are drawn
    if not given.beta > 0:
        raise ValueError(f"--beta {given.beta}: expected a number > 0")
    found, learn, test = pairs_of(given, sft)
    batch = with_settings(LIKE_DPO, given.recipe).batch
    start = replace(LIKE_DPO, steps=max(1, len(learn) // batch), seed=given.seed)
    recipe: Recipe = with_settings(start, given.recipe)
    pad = sft.tokenizer.special[PAD]
    table = preference_table(sft.model, *parts(learn), pad, dtype=recipe.dtype)
    policy = copy.deepcopy(sft.model).requires_grad_(True)
    seen = []
    for step in dpo_loop.train(policy, table, recipe, dpo_loop.dpo(given.beta)):
        seen.append(step)
        if step.step == 1 or step.step % 10 == 0:
            print(f"step {step.step:>4}  loss {step.loss:.4f}  accuracy {step.accuracy:.2f}", flush=True)
    names = ("step", "loss", "accuracy", "margin", "chosen_moved", "rejected_moved")
    score: Score | None = None
    with contextlib.suppress(FileNotFoundError):  # the learned reward is only looked at: DPO does without
        score = score_by(None)
    return {
        "pairs": _about(found, learn, test),
        "recipe": asdict(recipe),
        "beta": given.beta,
        "seconds": round(math.fsum(step.seconds for step in seen), 1),
        **write_policy(policy, sft, folder, score, given.seed),
        "curve": [{name: round(getattr(step, name), 4) for name in names} for step in seen[:: max(1, len(seen) // 40)]],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m lablib.alignment.train_command reward …`: which model, and its command's arguments."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[Sequence[str]], int]] = {"reward": reward, "ppo": ppo, "dpo": dpo}
    if not words or words[0] not in commands:
        print(f"{MODULE}: expected one of {', '.join(commands)}, and its arguments", file=sys.stderr)
        return 2
    return commands[words[0]](words[1:])


if __name__ == "__main__":
    sys.exit(main())
