"""The models that alignment makes of the tuned one, each by one command:

    lab train reward        a reward model, from pairs of the tuned model's answers that simulated annotators have labelled
    lab train ppo           the tuned model, improved by PPO with that reward model
    lab train dpo           the tuned model, improved by DPO on the pairs that the reward model of that seed has learned from
    lab train cai           the tuned model after both stages of Constitutional AI, which nobody has labelled anything for

Each takes minutes and writes a folder with record.json: settings, seconds, and what was measured of the weights as they lie in the file.
The settings are those of the studies of labs 12 to 14, so that what a study says of them holds for these models. The folders of policies
are read by `lablib.checkpoints.load` and by `transformers`, that of reward by `reward_model.load`.

What is measured of a policy, always beside the tuned model, says `policy_record`; what cai does, `cai_training`. Of a reward model:
accuracy on held-out pairs beside the noise ceiling, calibration, and what a word is worth to it.

Left out: going on with a run that was broken off, since it would save minutes; the same command begins it again.
"""

import argparse
import copy
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from lablib.adaptation.chat import BEGIN, PAD, STOP
from lablib.adaptation.sft_command import rounded
from lablib.alignment import dpo as dpo_loop
from lablib.alignment import reward_model
from lablib.alignment.annotators import ANNOTATORS
from lablib.alignment.cai_training import OPTIONS, make_cai
from lablib.alignment.calibration import even_edges, expected_calibration_error, of_pairs
from lablib.alignment.dpo_study import LIKE_DPO, parts
from lablib.alignment.learned_what import explain_rewards
from lablib.alignment.policy_record import write_policy
from lablib.alignment.ppo import PPO
from lablib.alignment.ppo import ppo as ppo_steps
from lablib.alignment.preference_pairs import Collected, Preference, collect, held_out_by_prompt
from lablib.alignment.reference import preference_table
from lablib.alignment.reward_training import Evaluation, evaluate, trained
from lablib.alignment.rlhf_runs import REWARD
from lablib.alignment.rlhf_study import PLAIN
from lablib.alignment.rollouts import Prompts, gold_scores
from lablib.alignment.train_run import curve, parser_of, run, score_by, score_if_any, told
from lablib.alignment.value_model import ValueModel, copied
from lablib.checkpoints import RECORD, Carried
from lablib.pretraining.command import with_settings
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step

BETA = 0.1  # of DPO
MODULE = "python -m lablib.alignment.train_command"

# ---------------------------------------------------------------- the four


def reward(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} reward") -> int:
    """`lab train reward`."""
    return run("reward", make_reward, parser_of(prog, "Learn a reward from pairs of answers."), arguments)


def ppo(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} ppo") -> int:
    """`lab train ppo`."""
    parser = parser_of(prog, "Improve the tuned model by PPO, with a learned reward.", pairs=False)
    parser.add_argument("--objective", nargs="*", default=[], metavar="NAME=VALUE", help="such as beta=0.1")
    parser.add_argument("--prompts", type=int, default=64, help="prompts a step (64)")
    parser.add_argument("--reward", type=Path, metavar="FOLDER", help="of the reward model (your own, or the course's)")
    return run("ppo", make_ppo, parser, arguments)


def dpo(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} dpo") -> int:
    """`lab train dpo`."""
    parser = parser_of(prog, "Improve the tuned model by DPO, on pairs of its answers.")
    parser.add_argument("--beta", type=float, default=BETA, help=f"how dear it is to leave the tuned model ({BETA})")
    return run("dpo", make_dpo, parser, arguments)


def cai(arguments: Sequence[str] | None = None, prog: str = f"{MODULE} cai") -> int:
    """`lab train cai`."""
    parser = parser_of(
        prog, "Improve the tuned model by a constitution, with its own critiques and labels.", pairs=False
    )
    for name, what in OPTIONS.items():
        parser.add_argument(f"--{name}", nargs="*", default=[], metavar="NAME=VALUE", help=what)
    return run("cai", make_cai, parser, arguments)


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
    seen = []
    for step in steps:
        seen.append(step)
        told(step)
    return {
        "settings": asdict(settings),
        "prompts_a_step": given.prompts,
        "seconds": round(math.fsum(step.seconds for step in seen), 1),
        **write_policy(policy, sft, folder, score, given.seed),
        "curve": curve(seen),
    }


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
        told(step)
    return {
        "pairs": _about(found, learn, test),
        "recipe": asdict(recipe),
        "beta": given.beta,
        "seconds": round(math.fsum(step.seconds for step in seen), 1),
        **write_policy(policy, sft, folder, score_if_any(), given.seed),
        "curve": curve(seen),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m lablib.alignment.train_command reward …`: which model, and its command's arguments."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[Sequence[str]], int]] = {"reward": reward, "ppo": ppo, "dpo": dpo, "cai": cai}
    if not words or words[0] not in commands:
        print(f"{MODULE}: expected one of {', '.join(commands)}, and its arguments", file=sys.stderr)
        return 2
    return commands[words[0]](words[1:])


if __name__ == "__main__":
    sys.exit(main())
