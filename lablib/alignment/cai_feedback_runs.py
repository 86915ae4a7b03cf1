"""One run of lab 14's studies, stage 2: labels by a judge, a policy that learns from labels, two principles that conflict.

The same pairs of answers are labelled twice, by the model that reads the constitution (RLAIF) and by lab 12's simulated annotators
(RLHF), so that two policies differ in nothing but who gave the labels. Half of the pairs are answers to red-team prompts: a pair of
harmless answers says nothing about harm.

Who wins where two principles conflict is asked in two ways: of answers that are revised by one of them, by the other, or by both in turn;
and of labels, where the judge's two probabilities can be *weighed*. There one answer helps and the other declines.

What is measured stands in `cai_runs`. Left out: mixing the labels of people and model.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from random import Random
from typing import Any

import torch

from lablib.adaptation.chat import PAD
from lablib.adaptation.critique import draft
from lablib.alignment import dpo
from lablib.alignment.ai_labels import AILabel, Judge, Question, choice_judge, in_both_orders, label, verdict_judge
from lablib.alignment.cai_runs import (
    JUDGED,
    RED,
    Rounds,
    Tune,
    asked,
    judged_before,
    judged_policy,
    revise,
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
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the first of two principles


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
    n: int = 600


@cache
def pairs_of(seed: int, n: int, model: CausalModel, tokenizer: Tokenizer) -> list[Preference]:
    """Pairs of a model's answers, half of them to red-team prompts, as the simulated annotators label them."""
    half = n // 2
    red = collect(model, tokenizer, half, Random(f"red pairs {seed}"), only=types_of(RED))
    return red.pairs + collect(model, tokenizer, n - half, Random(f"fine pairs {seed}"), only=types_of(FINE)).pairs


JUDGES = {"choice": choice_judge, "verdict": verdict_judge}


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
    pairs: int = 2000
    reward: Recipe = REWARD
    dpo: Recipe = DPO
    beta: float = 0.1
    grpo: GRPO = RL


@cache
def labelled(
    labels: str, start: str, seed: int, n: int, principles: int, judge: str = "verdict"
) -> tuple[list[Preference], float]:
    """A seed's pairs, chosen and rejected as one sort of labels says, and the share of these labels that is right by gold."""
    tuned = carried("sft")
    model = tuned.model if start == "sft" else stage_one(Tune("", seed))[0]
    pairs = pairs_of(seed, n, model, tuned.tokenizer)
    if labels == "AI":
        given = labels_of(JUDGES[judge](tuned.model, tuned.tokenizer), pairs, principles, Random(seed))
        pairs = [relabelled(pair, one) for pair, one in zip(pairs, given, strict=True) if one.p != 0.5]
    told = [pair.gold_difference() > 0 for pair in pairs if pair.gold_difference()]
    return pairs, sum(told) / max(1, len(told))


def relabelled(pair: Preference, given: AILabel) -> Preference:
    """The same pair with the judge's choice; the judge's a is what the annotator had chosen."""
    if given.p > 0.5:
        return replace(pair, annotator="AI")
    return replace(turned(pair), annotator="AI")


def red_and_fine(step: int, n: int, seed: int) -> list[Instruction]:
    """The prompts of a step of RL: n red-team prompts and n others."""
    return [*Prompts(n, seed, only=types_of(RED))(step), *Prompts(n, seed, only=types_of(FINE))(step)]


def learn(run: Learn, tuned: Carried) -> dict[str, Any]:
    """Learn from labels, and be judged."""
    pairs, right = labelled(run.labels, run.start, run.seed, run.pairs, run.principles, run.judge)
    train, test = held_out_by_prompt(pairs)
    start = tuned.model if run.start == "sft" else stage_one(Tune("", run.seed))[0]
    start.requires_grad_(False)
    policy = copy.deepcopy(start).requires_grad_(True)
    pad, begin = tuned.tokenizer.special[PAD], time.perf_counter()
    found: dict[str, Any] = {"labels_right": round(right, 5), "learned_from": len(train)}
    if run.method == "dpo":
        table = preference_table(start, *parts(train), pad, dtype=run.dpo.dtype)
        recipe = replace(run.dpo, seed=run.seed, steps=max(1, len(table) // run.dpo.batch))
        found["steps"] = len(list(dpo.train(policy, table, recipe, dpo.dpo(run.beta))))
    else:
        recipe = replace(run.reward, seed=run.seed, steps=max(1, 2 * len(train) // run.reward.batch))
        chance = torch.Generator().manual_seed(run.seed)
        model = trained(copied(tuned.model), train, tuned.tokenizer, recipe, chance)
        held_out = evaluate(model, test, pad)
        found["reward_accuracy"] = [round(x, 5) for x in held_out.accuracy]
        score = partial(learned, models=[model])
        step_prompts = partial(red_and_fine, n=4, seed=run.seed)
        steps = train_grpo(policy, start, tuned.tokenizer, step_prompts, score, run.grpo, chance)
        found["kl"] = round(list(steps)[-1].kl, 4)
    found["seconds"] = round(time.perf_counter() - begin, 1)
    return {
        **found,
        "before": judged_before(run.seed),
        "after": judged_policy(policy.eval(), tuned, run.seed),
    }


@dataclass(frozen=True)
class Conflict:
    """Two principles, by id, that can ask for opposite things. scale: a scale-th of the prompts in `JUDGED`."""

    label: str
    seed: int
    one: str
    other: str
    scale: int = 4


def helps_and_declines(some: Sequence[Instruction], generator: Random) -> list[tuple[Instruction, str, str]]:
    """For each instruction where that can be told: an answer that does what is asked, and one that declines."""
    found = []
    for one in some:
        along, refusal = draft(one, "along", generator), draft(one, "refusal", generator)
        if one.kind_of in RED and along is not None:
            found.append((one, along.text, one.response))
        elif one.kind_of in ("helpful", "look-alike") and refusal is not None:
            found.append((one, one.response, refusal.text))
    return found


def compete(run: Conflict, tuned: Carried) -> dict[str, Any]:
    """Gold scores of answers revised by one, by the other, and by both; and which answer the judge chooses at which weight."""
    settings = {"one": (run.one,), "other": (run.other,), "both": (run.one, run.other)}
    rows = {
        name: revise(Rounds(name, run.seed, ids, rounds=2, scale=run.scale), tuned) for name, ids in settings.items()
    }
    judge, ours = verdict_judge(tuned.model, tuned.tokenizer), load()
    pairs = helps_and_declines(asked({kind: n // run.scale for kind, n in JUDGED.items()}, run.seed), Random(run.seed))
    p = []
    for id in (run.one, run.other):
        questions = [Question(one.prompt, helps, declines, ours[id]) for one, helps, declines in pairs]
        there, back = in_both_orders(judge, questions)
        p.append((there + back) / 2)  # (N,): the probability that the answer that helps is better
    shares: dict[str, Any] = {}
    for kind in dict.fromkeys(one.kind_of for one, _, _ in pairs):
        of_it = torch.tensor([one.kind_of == kind for one, _, _ in pairs])
        chosen = [(w * p[0] + (1 - w) * p[1])[of_it] > 0.5 for w in WEIGHTS]
        shares[kind] = {"n": int(of_it.sum()), "helps": [round(one.double().mean().item(), 5) for one in chosen]}
    return {
        "by_round": {name: row["by_round"] for name, row in rows.items()},
        "weights": list(WEIGHTS),
        "chosen": shares,
    }
