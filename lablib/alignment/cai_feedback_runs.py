"""One run of lab 14's studies, stage 2: labels by a judge, and a policy that learns from labels.

The same pairs of answers are labelled twice, by the model that reads the constitution (RLAIF) and by lab 12's simulated annotators
(RLHF), so that two policies differ in nothing but who gave the labels. Half of the pairs are answers to red-team prompts: a pair of
harmless answers says nothing about harm.

What is measured stands in `cai_runs`. Left out: mixing the labels of people and model.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from random import Random
from typing import Any

import torch
from torch import Tensor

from lablib.adaptation.chat import PAD
from lablib.alignment import dpo
from lablib.alignment.ai_labels import AILabel, Judge, Question, choice_judge, label, verdict_judge
from lablib.alignment.cai_runs import (
    RED,
    Tune,
    judged_before,
    judged_policy,
    stage_one,
    types_of,
)
from lablib.alignment.constitution import load
from lablib.alignment.dpo_study import parts, turned
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.label_bias import agreement, length_bias, position_bias
from lablib.alignment.misalignment import KINDS
from lablib.alignment.preference_pairs import Preference, collect, held_out_by_prompt
from lablib.alignment.reference import preference_table
from lablib.alignment.reward_training import RECIPE, evaluate, trained
from lablib.alignment.rlhf_runs import learned
from lablib.alignment.rollouts import Prompts
from lablib.alignment.value_model import copied
from lablib.architecture.decoder import CausalModel
from lablib.checkpoints import Carried
from lablib.checkpoints import load as carried
from lablib.corpus.world.instructions import Instruction
from lablib.pretraining.recipe import Recipe
from lablib.tokens.tokenizer import Tokenizer

FINE = tuple(kind for kind in KINDS if kind not in RED)
REWARD = replace(RECIPE, lr=1.5e-3)
DPO = replace(dpo.RECIPE, lr=3e-4)
RL = GRPO(steps=40, per_prompt=8, beta=0.1)


@dataclass(frozen=True)
class Label:
    """Pairs of answers of the tuned model, labelled by a judge.

    Attributes:
        judge: "choice" or "verdict". principles: of each pair. n: pairs, half of them of red-team prompts.
    """

    label: str
    seed: int
    judge: str = "choice"
    principles: int = 1
    n: int = 500


@cache
def pairs_of(seed: int, n: int, model: CausalModel, tokenizer: Tokenizer) -> list[Preference]:
    """Pairs of a model's answers, half of them to red-team prompts, as the simulated annotators label them."""
    half = n // 2
    red = collect(model, tokenizer, half, Random(f"red pairs {seed}"), only=types_of(RED))
    return red.pairs + collect(model, tokenizer, n - half, Random(f"fine pairs {seed}"), only=types_of(FINE)).pairs


def asked_once(judge: Judge) -> Judge:
    """The same judge, asked once of each pair of answers and rule, whichever stands first: for one whose log-odds only change their sign
    when the answers change places, as a verdict's do. A label in both orders then costs one reading."""
    known: dict[tuple[str, ...], float] = {}  # of the answer that comes first by the alphabet

    def key(one: Question) -> tuple[str, ...]:
        return (one.prompt, one.principle.asks(), *sorted((one.first, one.second)))

    def sign(one: Question) -> int:
        return 1 if one.first <= one.second else -1

    def ask(questions: Sequence[Question]) -> Tensor:
        new = {key(one): one for one in questions if key(one) not in known}
        found = judge(list(new.values())).tolist() if new else []
        known.update((key(one), sign(one) * odds) for one, odds in zip(new.values(), found, strict=True))
        return torch.tensor([sign(one) * known[key(one)] for one in questions])

    return ask


def verdicts(model: CausalModel, tokenizer: Tokenizer) -> Judge:
    """`verdict_judge`, asked once."""
    return asked_once(verdict_judge(model, tokenizer))


JUDGES = {"choice": choice_judge, "verdict": verdicts}


def labels_of(judge: Judge, pairs: Sequence[Preference], principles: int, generator: Random) -> list[AILabel]:
    """A judge's labels of pairs; a is what the annotator chose, which the judge is not told: it reads both orders."""
    texts = [(pair.chosen, pair.rejected) for pair in pairs]
    return label(judge, [pair.asked for pair in pairs], texts, load(), generator, principles)


def say_which(run: Label, tuned: Carried) -> dict[str, Any]:
    """Agreement with gold and the two biases, on all pairs and on either half."""
    pairs = pairs_of(run.seed, run.n, tuned.model, tuned.tokenizer)
    begin = time.perf_counter()
    given = labels_of(JUDGES[run.judge](tuned.model, tuned.tokenizer), pairs, run.principles, Random(run.seed))
    seconds = time.perf_counter() - begin
    half = run.n // 2
    groups = {"all": slice(None), "red": slice(half), "harmless": slice(half, None)}
    gaps = [pair.gold_difference() for pair in pairs]
    people = [float(gap > 0) for gap in gaps if gap]  # the annotators chose a
    lengths = [(len(pair.chosen_ids), len(pair.rejected_ids)) for pair in pairs]
    found: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "people_agree": round(sum(people) / max(1, len(people)), 5),
    }
    for name, part in groups.items():
        right, place = agreement(given[part], gaps[part]), position_bias(given[part])
        size = length_bias(given[part], lengths[part], gaps[part])
        found[name] = {
            "n": right.n,
            **{key: list(getattr(right, key)) for key in ("one_order", "swapped", "both")},
            **{key: list(getattr(place, key)) for key in ("first", "turns")},
            **{key: list(getattr(size, key)) for key in ("longer", "gold_longer")},
            "tied": None if size.tied is None else list(size.tied),
        }
    return found


@dataclass(frozen=True)
class Learn:
    """Stage 2: a policy that learns from labels of pairs.

    Attributes:
        labels: "AI" (by `judge`, both orders) or "people" (the simulated annotators), of the same pairs.
        method: "dpo", or "grpo" on a reward model. start: "sft", or "stage 1", which also writes the pairs.
        principles: of each AI label. pairs: of which one in ten tests the reward model.
    """

    label: str
    seed: int
    labels: str = "AI"
    method: str = "dpo"
    start: str = "sft"
    judge: str = "verdict"
    principles: int = 2
    pairs: int = 1500
    reward: Recipe = REWARD
    dpo: Recipe = DPO
    beta: float = 0.1
    grpo: GRPO = RL

    def __post_init__(self) -> None:
        for name, words in (("labels", ("AI", "people")), ("method", ("dpo", "grpo")), ("start", ("sft", "stage 1"))):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected {' or '.join(map(repr, words))}")
        if self.judge not in JUDGES:
            raise ValueError(f"judge = {self.judge!r}: expected one of {', '.join(JUDGES)}")


def labelled_by_model(
    pairs: Sequence[Preference], tuned: Carried, seed: int, principles: int, judge: str = "verdict"
) -> list[Preference]:
    """Pairs as a model labels them; a pair of which it says exactly 1/2 is left out."""
    given = labels_of(JUDGES[judge](tuned.model, tuned.tokenizer), pairs, principles, Random(seed))
    return [relabelled(pair, one) for pair, one in zip(pairs, given, strict=True) if one.p != 0.5]


@cache
def labelled(labels: str, start: str, seed: int, n: int, principles: int, judge: str = "verdict") -> list[Preference]:
    """A seed's pairs, chosen and rejected as one sort of labels says."""
    tuned = carried("sft")
    model = tuned.model if start == "sft" else stage_one(Tune("", seed))[0]
    pairs = pairs_of(seed, n, model, tuned.tokenizer)
    return labelled_by_model(pairs, tuned, seed, principles, judge) if labels == "AI" else pairs


def right_share(pairs: Sequence[Preference]) -> float:
    """The share of labels that is right by gold, of those pairs whose gold scores differ; 0 where none do."""
    told = [pair.gold_difference() > 0 for pair in pairs if pair.gold_difference()]
    return round(sum(told) / max(1, len(told)), 5)


def relabelled(pair: Preference, given: AILabel) -> Preference:
    """The same pair with the judge's choice; the judge's a is what the annotator had chosen."""
    if given.p > 0.5:
        return replace(pair, annotator="AI")
    return replace(turned(pair), annotator="AI")


def red_and_fine(step: int, n: int, seed: int) -> list[Instruction]:
    """The prompts of a step of RL: n red-team prompts and n others."""
    return [*Prompts(n, seed, only=types_of(RED))(step), *Prompts(n, seed, only=types_of(FINE))(step)]


def taught(
    run: Learn,
    tuned: Carried,
    start: CausalModel,
    pairs: Sequence[Preference],
    watch: Callable[[Any], object] = lambda step: None,
) -> tuple[CausalModel, dict[str, Any]]:
    """A copy of a model that has learned from labelled pairs by the method of a run, and how that went.

    Args: watch: is told of each step of RL or DPO.
    """
    train, test = held_out_by_prompt(pairs)
    start.requires_grad_(False)
    policy = copy.deepcopy(start).requires_grad_(True)
    pad, begin = tuned.tokenizer.special[PAD], time.perf_counter()
    found: dict[str, Any] = {"labels_right": right_share(pairs), "learned_from": len(train)}
    if run.method == "dpo":
        table = preference_table(start, *parts(train), pad, dtype=run.dpo.dtype)
        recipe = replace(run.dpo, seed=run.seed, steps=max(1, len(table) // run.dpo.batch))
        found["steps"] = recipe.steps
        for step in dpo.train(policy, table, recipe, dpo.dpo(run.beta)):
            watch(step)
    else:
        recipe = replace(run.reward, seed=run.seed, steps=max(1, 2 * len(train) // run.reward.batch))
        chance = torch.Generator().manual_seed(run.seed)
        model = trained(copied(tuned.model), train, tuned.tokenizer, recipe, chance)
        held_out = evaluate(model, test, pad)
        found["reward_accuracy"] = [round(x, 5) for x in held_out.accuracy]
        score = partial(learned, models=[model])
        step_prompts = partial(red_and_fine, n=4, seed=run.seed)
        for move in train_grpo(policy, start, tuned.tokenizer, step_prompts, score, run.grpo, chance):
            watch(move)
            found["kl"] = round(move.kl, 4)  # of the last
    found["seconds"] = round(time.perf_counter() - begin, 1)
    return policy.eval(), found


def learn(run: Learn, tuned: Carried) -> dict[str, Any]:
    """Learn from labels, and be judged."""
    pairs = labelled(run.labels, run.start, run.seed, run.pairs, run.principles, run.judge)
    start = tuned.model if run.start == "sft" else stage_one(Tune("", run.seed))[0]
    policy, found = taught(run, tuned, start, pairs)
    return {
        **found,
        "before": judged_before(run.seed),
        "after": judged_policy(policy, tuned, run.seed),
    }
