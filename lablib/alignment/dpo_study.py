"""The runs behind lab 13's figures that take longer than a lab: rates, β, wrong labels, DPO's relatives, and DPO on PPO's preferences.

    python -m lablib.alignment.dpo_study rates beta noise relatives against --folder data/experiments

Each run begins with the carried tuned model, learns from pairs of that model's answers, and is judged as lab 12's policies are
(`rlhf_runs.judged`): answers to prompts of held-out combinations at temperature 1, gold reward, KL from the tuned model. A seed's pairs are
those of lab 12's reward model. The runs of `against` learn from all that it learned from, so they stand beside `rlhf_beta.json`; all other
runs from the first `SWEPT` of them. In `noise` the labels are the gold ones, of which a stated share is turned round: then ε is known.

To write a seed's pairs takes as long as half a dozen runs, and each process does it once: make all studies with one command.

Left out: more than one pass over the pairs, new pairs on the way (online DPO).
"""

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor

from lablib.adaptation.chat import PAD
from lablib.alignment import dpo
from lablib.alignment.dpo_loss import implicit_accuracy
from lablib.alignment.preference_pairs import Preference
from lablib.alignment.reference import PreferenceTable, preference_table, sums
from lablib.alignment.rlhf_runs import JUDGED, PAIRS, judged, pairs_of, tuned
from lablib.alignment.rollouts import Rollout
from lablib.checkpoints import Carried
from lablib.pretraining import study
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.study import SEEDS, Study

SWEPT = 2000  # pairs that a run of a sweep learns from
TESTED = 300  # held-out pairs that a run is tested on
BETAS = (0.03, 0.1, 0.3, 1.0)
FLIPS = (0.0, 0.2, 0.4)
LIKE_DPO = replace(dpo.RECIPE, lr=5e-4)
CURVE = 40  # steps that a run leaves of its curve


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        label: what sets it apart; seed: of the pairs, of their order and of the flips.
        method: one of `LOSSES`. strength: β, or IPO's τ. epsilon: how likely a label is wrong, as the loss is told.
        flips: share of gold labels that are turned round; None: labels as the annotators gave them.
        pairs: the run learns from, or fewer where a seed has no more. In `noise`: those of them that differ in gold.
        recipe: `batch` is the number of pairs a step; the number of steps is that of one pass.
    """

    label: str
    seed: int
    method: str = "dpo"
    strength: float = 0.1
    epsilon: float = 0.0
    flips: float | None = None
    pairs: int = SWEPT
    recipe: Recipe = LIKE_DPO


LOSSES: dict[str, Callable[[Run], dpo.PairLoss]] = {
    "dpo": lambda run: dpo.dpo(run.strength),
    "smoothed": lambda run: dpo.dpo(run.strength, run.epsilon),
    "robust": lambda run: dpo.robust_dpo(run.strength, run.epsilon),
    "ipo": lambda run: dpo.ipo(run.strength),
    "kto": lambda run: dpo.kto(run.strength),
    "simpo": lambda run: dpo.simpo(run.strength),
}


def rates(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Which learning rate? One seed."""
    for lr in (2e-4, 5e-4, 1e-3, 2e-3):
        yield Run(f"lr={lr:g}", seeds[0], recipe=replace(LIKE_DPO, lr=lr))


def beta(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """How dear should it be to leave the reference?"""
    for value in BETAS:
        for name, method, epsilon in (("DPO", "dpo", 0.0), ("IPO", "ipo", 0.0), ("smoothed", "smoothed", 0.1)):
            for seed in seeds:
                yield Run(f"{name} {value:g}", seed, method, value, epsilon)


def noise(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """What do wrong labels do, and which loss bears them?"""
    for flips in FLIPS:
        for method in ("dpo", "ipo", "smoothed", "robust"):
            epsilon = flips if method in ("smoothed", "robust") else 0.0
            if epsilon or method in ("dpo", "ipo"):  # at ε = 0 both are DPO
                for seed in seeds:
                    yield Run(f"{method} {flips:g}", seed, method, 0.1, epsilon, flips)


def relatives(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """KTO and SimPO beside DPO."""
    for label, method, strength in (("DPO", "dpo", 0.1), ("KTO", "kto", 0.1), ("SimPO", "simpo", 2.0)):
        for seed in seeds:
            yield Run(label, seed, method, strength)


def against(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """DPO on the preferences that lab 12's reward model, and so its PPO, learned from, at the prices of a nat of KL that PPO had, too."""
    for value in (0.1, 0.2, 0.4):
        for seed in seeds:
            yield Run(f"DPO, β = {value:g}", seed, strength=value, pairs=PAIRS)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {
    "rates": rates,
    "beta": beta,
    "noise": noise,
    "relatives": relatives,
    "against": against,
}


# ---------------------------------------------------------------- the pairs


def turned(pair: Preference) -> Preference:
    """The same pair, chosen and rejected exchanged."""
    gold = None if pair.gold is None else (pair.gold[1], pair.gold[0])
    return replace(
        pair,
        chosen=pair.rejected,
        rejected=pair.chosen,
        chosen_ids=pair.rejected_ids,
        rejected_ids=pair.chosen_ids,
        gold=gold,
    )


def gold_labelled(pairs: Sequence[Preference], flips: float, generator: Random) -> list[Preference]:
    """Pairs that differ in gold, the better response chosen, but for a share of them that is turned round.

    Args: flips: ε, from 0 to below 1/2; each label is turned with that chance, on its own.

    Raises:
        ValueError: flips is outside that range; a pair whose gold scores are not known.
    """
    if not 0 <= flips < 0.5:
        raise ValueError(f"flips = {flips!r}: expected a share of wrong labels, at least 0 and below 1/2")
    found = []
    for pair in pairs:
        difference = pair.gold_difference()
        if difference:
            wrong = generator.random() < flips
            found.append(turned(pair) if (difference < 0) != wrong else pair)
    return found


def pairs_for(run: Run) -> tuple[list[Preference], list[Preference]]:
    """What a run learns from, and what it is tested on; the test pairs have the annotators' labels, or the gold ones."""
    learn, test = pairs_of(run.seed, PAIRS)  # written once for all runs of a seed
    learn, test = learn[: run.pairs], test[:TESTED]
    if run.flips is None:
        return learn, test
    return gold_labelled(learn, run.flips, Random(f"flips {run.seed}")), gold_labelled(test, 0.0, Random(0))


@cache
def table_of(
    seed: int, n: int, flips: float | None, mismatched: bool, dtype: str
) -> tuple[PreferenceTable, PreferenceTable, float]:
    """What is learned from and what is tested on, with the reference's log-probabilities; and the seconds of the first."""
    sft = tuned()
    learn, test = pairs_for(Run("", seed, flips=flips, pairs=n))
    pad, begin = sft.tokenizer.special[PAD], time.perf_counter()
    table = preference_table(sft.model, *parts(learn), pad, mismatched, dtype)
    seconds = time.perf_counter() - begin
    return table, preference_table(sft.model, *parts(test), pad), seconds


Lists = list[tuple[int, ...]]


def parts(pairs: Sequence[Preference]) -> tuple[Lists, Lists, Lists]:
    """Prompts, chosen and rejected responses as `preference_table` takes them."""
    return [p.prompt_ids for p in pairs], [p.chosen_ids for p in pairs], [p.rejected_ids for p in pairs]


# ---------------------------------------------------------------- a run


def no_proxy(rollout: Rollout) -> Tensor:
    """No reward model was asked: 0 for each answer."""
    return torch.zeros(len(rollout.responses))


def perform(run: Run, sft: Carried) -> dict[str, Any]:
    """Learn and be judged: what a run adds to its settings."""
    table, test, table_seconds = table_of(run.seed, run.pairs, run.flips, run.method == "kto", run.recipe.dtype)
    recipe = replace(run.recipe, seed=run.seed, steps=max(1, len(table) // run.recipe.batch))
    policy = copy.deepcopy(sft.model).requires_grad_(True)
    steps = list(dpo.train(policy, table, recipe, LOSSES[run.method](run)))
    now = sums(policy, test.answers).split(len(test))
    before = test.reference.split(len(test))
    after = judged(policy, sft, no_proxy, None, run.seed)
    del after["proxy"], after["gallery"]
    kept = [field.name for field in fields(steps[0]) if field.name not in ("kl", "gold", "lr")]
    return {
        "learned_from": len(table),
        "seconds": round(sum(step.seconds for step in steps), 1),
        "table_seconds": round(table_seconds, 1),
        "trainable_weights": sum(weight.numel() for weight in policy.parameters()),
        "held_out": {
            "n": len(test),
            "accuracy": round(implicit_accuracy(*now, *before).item(), 5),
            "chosen_moved": round((now[0] - before[0]).mean().item(), 4),
            "rejected_moved": round((now[1] - before[1]).mean().item(), 4),
        },
        "after": after,
        "curve": [
            {name: round(getattr(step, name), 5) for name in kept} for step in steps[:: max(1, len(steps) // CURVE)]
        ],
    }


def settings_of(run: Run, sft: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it."""
    about = {"collected": PAIRS, "tested_on": TESTED, "judged_on": JUDGED, "sft": sft.record.get("command")}
    return json.loads(json.dumps({**asdict(run), **about}))


def said(row: Mapping[str, Any]) -> str:
    """A run in a few words."""
    after, held_out = row["after"], row["held_out"]
    return f"gold {after['gold'][0]:.3f}, KL {after['kl']:.1f}, held-out accuracy {held_out['accuracy']:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see `study`."""
    module = "lablib.alignment.dpo_study"
    return study.main(Study("dpo", module, "Studies of DPO.", STUDIES, tuned, perform, settings_of, said), arguments)


if __name__ == "__main__":
    sys.exit(main())
