"""From the runs of `lab compare` to its figures: means with both intervals, win rates, the Pareto front, and what of it can be claimed.

    found = figures(rows, lines, records, torch.Generator().manual_seed(0))
    found["methods"]["DPO"]["win rate"]["mean"]

A figure is `{"mean", "low", "high"}` of the bootstrap over seeds and prompts, `{"seed_low", "seed_high"}` of Student's t over seeds, and
the seeds' own means (`win_rate.Measured`). Two methods are compared by their *difference* on the same prompts, never by two intervals side
by side: of every method but SFT the differences from SFT stand under "less SFT". "variance" says what the variance of a seed's mean is
made of (`win_rate.variance_parts`): SFT is one model in all seeds, and has a spread all the same, since each seed has prompts of its own.

A claim is *carried* only where both intervals lie on one side; that is decided here, by a program, and the sentences of the report say
no more.

Axes: S seeds, P prompts. Left out: a correction for the number of claims; they are few and stated beforehand (`CLAIMS`). The differences
from SFT are many, and none of them was: a single one that both intervals carry is no finding yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any, TypeVar

import torch
from torch import Tensor

from lablib.alignment.compute_ledger import ledger_of
from lablib.alignment.pareto import front_share, pareto_front
from lablib.alignment.specialisation import specialisation
from lablib.alignment.win_rate import RESAMPLES, Measured, drawn, measured, resampled_means, variance_parts, wins

T = TypeVar("T")
Row = Mapping[str, Any]
START = "SFT"
THREE = ("helpful", "honest", "harmless")


@dataclass(frozen=True)
class Aim:
    """A column of the table.

    Attributes:
        what: in words. kinds: of requests that it is measured on; () for all. better: 1 more, −1 less, 0 neither.
    """

    what: str
    kinds: tuple[str, ...]
    better: int


# The first three and the over-refusal as in lab 12's profile (`misalignment`)
AIMS: dict[str, Aim] = {
    "gold": Aim("mean of helpful, honest, harmless on all prompts", (), 1),
    "helpful": Aim("score on requests that are fine", ("helpful",), 1),
    "honest": Aim("says nothing false, on these and on what nobody can know", ("helpful", "unknowable"), 1),
    "harmless": Aim("does no harm, on harmful requests and private details", ("harmful", "private"), 1),
    "over-refusal": Aim("share of harmless look-alikes that are refused", ("look-alike",), -1),
    "win rate": Aim("gold reward against SFT's answer to the same prompt; a tie counts half", (), 1),
    "KL": Aim("nats per answer to SFT, exact over the vocabulary, over drawn answers", (), 0),
    "distinct-2": Aim("distinct pairs of neighbouring tokens, share of all in several answers to a prompt", (), 0),
    "tokens": Aim("of an answer", (), 0),
}
SCORE = {"over-refusal": "refuses", "KL": "kl"}  # under which name a run has it, where that differs
# columns of which the difference from SFT says something; a win rate is one already, and SFT's KL is 0
PAIRED = ("gold", "helpful", "honest", "harmless", "over-refusal", "distinct-2", "tokens")


def per_prompt(row: Row, aim: str) -> list[float]:
    """A run's values of a column, prompt by prompt."""
    if aim == "distinct-2":
        return list(row["distinct"])
    scores = row["scores"]
    if aim in ("gold", "win rate"):
        return [sum(three) / 3 for three in zip(*(scores[name] for name in THREE), strict=True)]
    kinds = [kind for kind, n in row["kinds"].items() for _ in range(n)]
    wanted = AIMS[aim].kinds or tuple(row["kinds"])
    return [x for x, kind in zip(scores[SCORE.get(aim, aim)], kinds, strict=True) if kind in wanted]


def kinds_of(row: Row, aim: str) -> list[str]:
    """The kind of request of each value of a column."""
    wanted = AIMS[aim].kinds or tuple(row["kinds"])
    kinds = [kind for kind, n in row["kinds"].items() for _ in range(n) if kind in wanted]
    return list(spread_out(kinds, len(row["distinct"]))) if aim == "distinct-2" else kinds


def spread_out(items: Sequence[T], n: int) -> Sequence[T]:
    """n of some items, the first one and others at equal distances; all of them where there are no more than n.

    >>> spread_out("abcdefg", 3)
    'ace'
    """
    return items[:: max(1, len(items) // n)][:n]


def table(rows: Sequence[Row], label: str, aim: str, seeds: Sequence[int]) -> Tensor:
    """A method's values: (S, P), float64.

    Raises:
        ValueError: a seed is missing.
    """
    mine = {row["seed"]: row for row in rows if row["label"] == label}
    missing = [seed for seed in seeds if seed not in mine]
    if missing:
        raise ValueError(f"{label!r} has no run of seed {missing[0]}: expected one for each of {list(seeds)}")
    found = torch.tensor([per_prompt(mine[seed], aim) for seed in seeds], dtype=torch.float64)
    if aim == "win rate":
        return wins(found, table(rows, START, "gold", seeds))
    return found


def chance_of(generator: torch.Generator) -> torch.Generator:
    """A generator at the same place: all figures are resampled by the same draws."""
    twin = torch.Generator()
    twin.set_state(generator.get_state())
    return twin


# ---------------------------------------------------------------- the figures


def figures(
    rows: Sequence[Row], lines: Mapping[str, Sequence[int]], records: Mapping[str, Any], generator: torch.Generator
) -> dict[str, Any]:
    """Everything that the report shows, as JSON takes it.

    Args:
        rows: of `comparison.study`; SFT among them, and each method with the same seeds. lines: label -> [lines of code, stages].
        records: of labs 10 and 11, see `specialisation`. generator: of the resamples.

    Raises:
        ValueError: no run of SFT, or a method without some seed.
    """
    labels, seeds = list(dict.fromkeys(row["label"] for row in rows)), sorted({row["seed"] for row in rows})
    if START not in labels:
        raise ValueError(
            f"rows have {', '.join(labels) or 'no method'}: expected {START} among them, which all are compared with"
        )
    methods = {}
    for label in labels:
        mine = [row for row in rows if row["label"] == label]
        found: dict[str, Any] = {
            aim: told_of(table(rows, label, aim, seeds), kinds_of(rows[0], aim), generator) for aim in AIMS
        }
        found["less SFT"] = less_start(rows, label, seeds, generator)
        methods[label] = {**found, **costs(mine), "lines": lines[label][0], "stages": lines[label][1]}
    return {
        "seeds": seeds,
        "plan": rows[0]["plan"],
        "aims": {name: {**asdict(aim), "kinds": list(aim.kinds)} for name, aim in AIMS.items()},
        "methods": methods,
        "front": front(rows, labels, seeds, generator),
        "claims": [one.tested(rows, seeds, generator) for one in CLAIMS if {one.one, one.other} <= set(labels)],
        "specialisation": specialisation(records),
        "shown": {label: next(row["shown"] for row in rows if row["label"] == label) for label in labels},
    }


def told(one: Measured) -> dict[str, Any]:
    """For JSON, five decimals."""
    numbers = {name: None if x is None else round(x, 5) for name, x in asdict(one).items() if name != "seeds"}
    return {**numbers, "seeds": [round(x, 5) for x in one.seeds], "spread": round(one.spread, 5)}


def told_of(values: Tensor, kinds: Sequence[str], generator: torch.Generator) -> dict[str, Any]:
    """A figure of values (S, P), for JSON, with "variance", what the variance of a seed's mean is made of.

    kinds: of the P prompts. "variance" is None with one seed, or where there is a single prompt of some kind.
    """
    known = len(values) > 1 and min(map(kinds.count, kinds)) > 1
    parts = zip(("between", "within"), variance_parts(values, kinds), strict=True) if known else None
    found = told(measured(values, chance_of(generator)))
    return {**found, "variance": {name: float(f"{x:.4g}") for name, x in parts} if parts else None}


def less_start(
    rows: Sequence[Row], label: str, seeds: Sequence[int], generator: torch.Generator
) -> dict[str, dict[str, Any]]:
    """A method less SFT, prompt by prompt: column of `PAIRED` -> figure; {} for SFT itself."""
    if label == START:
        return {}
    return {
        aim: told_of(table(rows, label, aim, seeds) - table(rows, START, aim, seeds), kinds_of(rows[0], aim), generator)
        for aim in PAIRED
    }


def costs(mine: Sequence[Row]) -> dict[str, Any]:
    """What a method cost, mean over its seeds; what lies in memory, the first seed's notes, and answers that each seed draws for one."""
    books = [ledger_of(row["ledger"]) for row in mine]
    return {
        "flops": round(mean(book.flops for book in books)),
        "seconds": round(mean(book.seconds for book in books), 1),
        "human": round(mean(book.human for book in books)),
        "ai": round(mean(book.ai for book in books)),
        "models": list(books[0].models),
        "ledger": mine[0]["ledger"],
        "kl_bound": round(mean(row["kl_bound"] for row in mine), 4),
        "n": mine[0]["n"],
        "drawn": [row["n"] for row in mine],
        "notes": mine[0]["notes"],
    }


def front(
    rows: Sequence[Row], labels: Sequence[str], seeds: Sequence[int], generator: torch.Generator
) -> dict[str, Any]:
    """Helpful against harmless: who is on the front of the means, and in which share of resamples, all methods drawn alike."""
    two = [
        torch.stack([table(rows, label, aim, seeds) for label in labels]) for aim in ("helpful", "harmless")
    ]  # (N, S, P)
    means = torch.stack([one.mean(dim=(1, 2)) for one in two], dim=1)  # (N, 2)
    shares = front_share(torch.stack([resampled(one, chance_of(generator)) for one in two], dim=2))
    return {
        label: {"on": on, "share": round(share, 4)}
        for label, on, share in zip(labels, pareto_front(means).tolist(), shares.tolist(), strict=True)
    }


def resampled(values: Tensor, generator: torch.Generator) -> Tensor:
    """The means of N methods in each resample, the same seeds and prompts for all of them: (N, S, P) -> (R, N)."""
    seeds, prompts = drawn(values.shape[1], values.shape[2], RESAMPLES, generator)
    return torch.stack([resampled_means(one, seeds, prompts) for one in values], dim=1)


def strays(record: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, list[str]]:
    """Does a second report repeat a first one? Of each method that both have, the columns whose mean does not.

    Args: record, again: of `figures`.

    Returns:
        label -> names of the columns of `AIMS` in which the second one's mean lies outside the first one's bootstrap interval.
        Two reports of other seeds and prompts scatter both, so where all is well about one mean in six lies outside an honest 95 %
        interval: 1.96 · s/√S against a difference that scatters by √2 · s/√S.
    """
    found = {}
    for label in (label for label in record["methods"] if label in again["methods"]):
        mine, theirs = record["methods"][label], again["methods"][label]
        found[label] = [aim for aim in AIMS if not mine[aim]["low"] <= theirs[aim]["mean"] <= mine[aim]["high"]]
    return found


# ---------------------------------------------------------------- what can be claimed


@dataclass(frozen=True)
class Claim:
    """A sentence about two methods, which a paired difference can carry or not: the first less the second.

    Attributes:
        one, other: labels. aim: column. guide: what is commonly said, in our words.
    """

    one: str
    other: str
    aim: str
    guide: str

    def tested(self, rows: Sequence[Row], seeds: Sequence[int], generator: torch.Generator) -> dict[str, Any]:
        """The difference, and on which side of 0 both of its intervals lie; `carried` is 0 where they do not."""
        apart = table(rows, self.one, self.aim, seeds) - table(rows, self.other, self.aim, seeds)
        found = measured(apart, chance_of(generator))
        what = f"{self.aim}: {self.one} less {self.other}"
        return {"guide": self.guide, "what": what, "found": told(found), "carried": found.carries(0.0)}


CLAIMS: tuple[Claim, ...] = (
    Claim("DPO", "RLHF", "gold", "DPO comes near RLHF or passes it."),
    Claim("DPO, same labels", "RLHF", "gold", "The same with as many labels, for less compute."),
    Claim("IPO", "DPO", "gold", "(not in the table) A loss with a target instead of one without."),
    Claim("CAI", "RLHF", "gold", "Labels by a model can take the place of people's."),
    Claim("CAI", "SFT", "harmless", "Constitutional AI makes a model harmless."),
    Claim("CAI", "CAI, stage 1", "gold", "(not in the table) What the model's own labels add to its own revisions."),
    Claim("CAI", "CAI, by a coin", "gold", "(not in the table, a control) What labels add that a coin would not."),
    Claim("CAI, by a coin", "CAI, stage 1", "gold", "(not in the table, a control) What a coin's labels add."),
    Claim("CAI", "SFT", "over-refusal", "(not in the table) And what that costs in needless refusals."),
    Claim("best of N", "RLHF", "gold", "(not in the table) The method that trains no policy."),
    Claim("more SFT", "SFT", "gold", "(not in the table) Would more tuning alone have done it?"),
    Claim("DPO, then PPO", "RLHF", "gold", "Hybrids combine the strengths of both."),
    Claim("CAI, then DPO", "DPO", "harmless", "Hybrids combine the strengths of both."),
)
