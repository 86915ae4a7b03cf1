"""One run of lab 12's studies: a reward model that learns, a policy that learns, or best-of-n; and how each is judged.

A seed's reward model is made from pairs of its own, so seeds differ in everything: pairs, labels, reward model, rollouts. The members of
an ensemble have the same pairs in another order, and another head: more labels would be another remedy. Policies are judged as they answer
prompts of held-out combinations at temperature 1: learned reward, gold reward, KL from the tuned model, length. The tuned model answers
the same prompts, so what a policy gained is a mean over pairs of answers.

`rlhf_study` says which runs there are, and keeps their results. Left out: judging by greedy answers.
"""

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from random import Random
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from lablib.adaptation.adherence import score_interval
from lablib.adaptation.chat import PAD
from lablib.alignment.annotators import ANNOTATORS, words_of
from lablib.alignment.best_of_n import best_of_n_curve
from lablib.alignment.calibration import even_edges, expected_calibration_error, of_pairs
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.learned_what import explain_rewards
from lablib.alignment.misalignment import refuses
from lablib.alignment.ppo import PPO, ppo
from lablib.alignment.preference_pairs import Preference, collect, held_out_by_prompt
from lablib.alignment.responses import gold, gold_reward
from lablib.alignment.reward_model import RewardModel, rewards
from lablib.alignment.reward_training import RECIPE, evaluate, trained
from lablib.alignment.rewards_per_token import ensemble
from lablib.alignment.rl_record import RLStep
from lablib.alignment.rollouts import Prompts, Rollout, Score, gold_scores, roll_out
from lablib.alignment.value_model import ValueModel, copied
from lablib.alignment.verifiable import checkable_types, verified
from lablib.architecture.decoder import CausalModel
from lablib.checkpoints import Carried, load
from lablib.corpus.scoring import Z95
from lablib.corpus.world.judge import Judgement
from lablib.pretraining.distributed import local_device
from lablib.pretraining.recipe import Recipe
from lablib.tokens.tokenizer import Tokenizer

PAIRS = 6000  # that a reward model learns from, the held-out ones among them
JUDGED = 400  # prompts that a policy is judged on
MEMBERS = 3  # reward models of an ensemble
REWARD = replace(RECIPE, lr=1.5e-3, steps=2 * PAIRS // RECIPE.batch)
NS = (1, 2, 4, 8, 16, 32, 64)
RIGHT = 0.9  # gold reward from which on an answer is called right
SHOWN = 12  # answers that a run leaves for the gallery
KEPT = (
    "step",
    "proxy",
    "gold",
    "kl",
    "beta",
    "entropy",
    "length",
    "finished",
    "clip_share",
    "explained",
    "gradient_norm",
    "seconds",
)


@dataclass(frozen=True)
class Learn:
    """A reward model: how many pairs of a seed it sees, and how."""

    label: str
    seed: int
    pairs: int = PAIRS
    recipe: Recipe = REWARD


@dataclass(frozen=True)
class Improve:
    """A policy that learns, by PPO or GRPO.

    Attributes:
        reward: "learned", "ensemble" (of `MEMBERS` reward models; what they agree on) or "verified" (are the facts right?).
        prompts: a step.
    """

    label: str
    seed: int
    settings: PPO | GRPO
    reward: str = "learned"
    prompts: int = 32


@dataclass(frozen=True)
class Choose:
    """Best-of-n for every n up to `most`, from `most` answers of the tuned model to each of some prompts."""

    label: str
    seed: int
    prompts: int = 100
    most: int = NS[-1]


Run = Learn | Improve | Choose


# ---------------------------------------------------------------- what a run needs


@cache
def tuned() -> Carried:
    """The carried tuned model, frozen: the reference, which nothing changes. On the GPU, if there is one."""
    sft = load("sft")
    sft.model.to(local_device()).requires_grad_(False)
    return sft


@cache
def collected(seed: int, n: int) -> list[Preference]:
    """A seed's pairs, all of them."""
    sft = tuned()
    return collect(sft.model, sft.tokenizer, n, Random(f"pairs {seed}")).pairs


@cache
def pairs_of(seed: int, n: int) -> tuple[list[Preference], list[Preference]]:
    """The first n of a seed's pairs: those to learn from, those held out."""
    return held_out_by_prompt(collected(seed, max(n, PAIRS))[:n])


@cache
def reward_model(seed: int, n: int = PAIRS, recipe: Recipe = REWARD, member: int = 0) -> RewardModel:
    """A seed's reward model, or another member of its ensemble."""
    sft, own = tuned(), seed + 100 * member
    chance = torch.Generator().manual_seed(own)
    return trained(sft.model, pairs_of(seed, n)[0], sft.tokenizer, replace(recipe, seed=own), chance)


def learned(rollout: Rollout, models: Sequence[RewardModel]) -> Tensor:
    """What one reward model says of answers, or what several agree on: their mean less their deviation, (N,)."""
    scores = torch.stack([rewards(model, rollout.answers) for model in models])  # (M, N)
    return scores[0] if len(models) == 1 else ensemble(scores, "mean-std")


def score_of(kind: str, seed: int) -> Score:
    """The reward that a policy learns from."""
    if kind == "verified":
        return verified
    return partial(learned, models=[reward_model(seed, member=member) for member in range(members_of(kind))])


def members_of(kind: str) -> int:
    """How many reward models stand behind a reward."""
    return {"verified": 0, "learned": 1, "ensemble": MEMBERS}[kind]


Answered = tuple[Rollout, Sequence[Judgement]]


def answered(
    policy: CausalModel, reference: CausalModel, tokenizer: Tokenizer, only: tuple[str, ...] | None, seed: int
) -> Answered:
    """A policy's answers to held-out prompts, and what the world's judge says of them."""
    asked = Prompts(JUDGED, seed, "held_out", only)(0)
    found = roll_out(policy, reference, None, tokenizer, asked, torch.Generator().manual_seed(seed))
    return found, gold(found.responses)


by_tuned = cache(answered)  # what the tuned model answers is the same in all runs of a seed


def judged(policy: CausalModel, sft: Carried, score: Score, only: tuple[str, ...] | None, seed: int) -> dict[str, Any]:
    """A policy's answers to held-out prompts, in numbers, and those that the reward likes best."""
    return in_numbers(answered(policy, sft.model, sft.tokenizer, only, seed), score)


def in_numbers(answers: Answered, score: Score) -> dict[str, Any]:
    """Answers in numbers, and those that the reward likes best."""
    found, judgements = answers
    proxy, golds = score(found).tolist(), [gold_reward(one) for one in judgements]
    ranked = sorted(range(len(golds)), key=lambda i: -proxy[i])[:SHOWN]
    fine = [r for r in found.responses if r.instruction.kind_of == "helpful"]
    return {
        "proxy": _mean(proxy),
        "gold": list(score_interval(golds)),
        **{name: _mean([getattr(one, name) for one in judgements]) for name in ("helpful", "honest", "harmless")},
        "kl": round(found.kl, 4),
        "entropy": round(found.mean_entropy, 4),
        "words": _mean([words_of(r.text) for r in found.responses]),
        "words_wrong": _mean([words_of(r.text) for r, g in zip(found.responses, golds, strict=True) if g < RIGHT]),
        "says_twice": _mean([float(says_twice(r.text)) for r in found.responses]),
        "finished": _mean([float(r.finished) for r in found.responses]),
        "refuses_questions": _mean([float(refuses(r.instruction.prompt, r.text)) for r in fine]),
        "gallery": [
            {
                "prompt": found.responses[i].instruction.prompt,
                "text": found.responses[i].text,
                "proxy": round(proxy[i], 3),
                "gold": round(golds[i], 3),
            }
            for i in ranked
        ],
    }


def says_twice(text: str) -> bool:
    """Does an answer say a sentence twice?

    >>> says_twice("It is a hen. It eats corn. It is a hen."), says_twice("It is a hen. It eats corn.")
    (True, False)
    """
    said = [part.strip().lower() for part in re.split(r"[.!?\n]+", text) if part.strip()]
    return len(set(said)) < len(said)


def gained(after: Answered, before: Answered) -> list[float]:
    """By how much the gold reward of answers to the same prompts rose: mean, low and high of its 95 % interval over prompts."""
    pairs = zip(after[1], before[1], strict=True)
    rises = [gold_reward(new) - gold_reward(old) for new, old in pairs]
    mean, half = fmean(rises), Z95 * stdev(rises) / math.sqrt(len(rises))
    return [round(value, 5) for value in (mean, mean - half, mean + half)]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 5) if values else 0.0


# ---------------------------------------------------------------- the runs


def learn(run: Learn, sft: Carried) -> dict[str, Any]:
    """Train a reward model and say how good it is."""
    pairs_of(run.seed, run.pairs)  # before the clock starts
    begin = time.perf_counter()
    model = reward_model(run.seed, run.pairs, run.recipe)
    seconds = time.perf_counter() - begin
    test = pairs_of(run.seed, PAIRS)[1]  # the same for all sizes of a seed; their prompts are held out in each
    found = evaluate(model, test, sft.tokenizer.special[PAD], ANNOTATORS)
    if found.ceiling is None or found.by_gold is None or found.gold_accuracy is None:
        raise ValueError("pairs without gold scores: expected pairs of the world, whose annotators are known")
    what = explain_rewards(test, found.chosen, found.rejected)
    error = expected_calibration_error(*of_pairs(found.chosen, found.rejected), even_edges(10))
    return {
        "seconds": round(seconds, 1),
        "tested_on": found.n,
        "accuracy": list(found.accuracy),
        "ceiling": found.ceiling.mean,
        "by_gold": found.by_gold.mean,
        "gold_accuracy": list(found.gold_accuracy),
        "loss": found.loss,
        "calibration_error": error,
        "per_gold": list(what.per_gold),
        "per_word": list(what.per_word),
    }


def improve(run: Improve, sft: Carried) -> dict[str, Any]:
    """Let a policy learn, and judge it before and after."""
    score, only = score_of(run.reward, run.seed), checkable_types() if run.reward == "verified" else None
    policy, chance = copied(sft.model), torch.Generator().manual_seed(run.seed)
    before = by_tuned(sft.model, sft.model, sft.tokenizer, only, run.seed)
    prompts = Prompts(run.prompts, run.seed, only=only)
    steps: Iterator[RLStep]
    if isinstance(run.settings, PPO):
        critic = ValueModel(copied(sft.model))
        given = (policy, sft.model, critic, sft.tokenizer, prompts, score, run.settings, chance, gold_scores)
        steps, trainable = ppo(*given), _weights(policy) + _weights(critic)
    else:
        steps = train_grpo(policy, sft.model, sft.tokenizer, prompts, score, run.settings, chance, gold_scores)
        trainable = _weights(policy)
    curve = [{name: _short(step.numbers[name]) for name in KEPT} for step in steps]
    after = answered(policy, sft.model, sft.tokenizer, only, run.seed)
    start = in_numbers(before, score)
    del start["gallery"]
    frozen = _weights(sft.model) * (1 + members_of(run.reward))  # the reference, and what rewards
    return {
        "seconds": round(sum(step["seconds"] for step in curve), 1),
        "trainable_weights": trainable,
        "frozen_weights": frozen,
        # float32; what learns has a gradient and two moments of Adam besides. What lies between layers is not counted
        "megabytes": round((16 * trainable + 4 * frozen) / 1e6, 1),
        "before": start,
        "after": in_numbers(after, score),
        "gained": gained(after, before),
        "curve": curve,
    }


def _weights(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def _short(value: float | int | None) -> Any:
    return round(value, 5) if isinstance(value, float) else value


def choose(run: Choose, sft: Carried) -> dict[str, Any]:
    """Answers, scored twice."""
    asked = Prompts(run.prompts, run.seed, "held_out")(0)
    chance = torch.Generator().manual_seed(run.seed)
    found = roll_out(sft.model, sft.model, None, sft.tokenizer, asked, chance, run.most)
    proxy = score_of("learned", run.seed)(found).cpu().view(-1, run.most)  # (N,) -> (P, N)
    gold = torch.tensor(gold_scores(found.responses)).view(-1, run.most)
    return {"points": [asdict(point) for point in best_of_n_curve(proxy, gold, [n for n in NS if n <= run.most])]}


def perform(run: Run, sft: Carried) -> dict[str, Any]:
    """What a run adds to its settings."""
    if isinstance(run, Learn):
        return learn(run, sft)
    return improve(run, sft) if isinstance(run, Improve) else choose(run, sft)
