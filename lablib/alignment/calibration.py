"""Calibration: where a model says 80 %, does it happen in 80 of 100 cases?

A reward model gives every pair a probability, σ(r₁ − r₂). It can order pairs well and still be far too sure of itself. So the
pairs are put into *bins* by what the model said, and in each bin the mean of what it said is held against the share of cases in
which it was right: the *reliability curve*, on the diagonal where it is calibrated. The *expected calibration error* (ECE) is the
mean distance from the diagonal, each bin weighed by its pairs (Guo et al. 2017, "On Calibration of Modern Neural Networks",
equation 3).

Which of the two responses stands first says nothing. So of each pair the *confidence* is looked at, that of the response that the model
prefers, at least ½, and whether that one was chosen (`of_pairs`).

A finite set has an ECE above 0 even if the model is perfectly calibrated: coins do not fall evenly. `by_chance` says how large it
would be.

Papers: Bai et al. 2022, "Training a Helpful and Harmless Assistant" (figure 9: a preference model's calibration); Naeini, Cooper &
Hauskrecht 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (ECE). Left out: repairing it (one temperature for all
rewards does most of it).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import torch
from torch import Tensor

from lablib.adaptation.adherence import score_interval
from lablib.alignment.bradley_terry import pair_accuracy, preference_probability


@dataclass(frozen=True, slots=True)
class Bin:
    """The cases whose probability lies in one bin.

    Attributes:
        start, end: of the bin; the first bin holds its start, all hold their end. n: cases.
        said: mean probability. happened: share in which it came true; low, high: its 95 % interval.
    """

    start: float
    end: float
    n: int
    said: float
    happened: float
    low: float
    high: float


def reliability(said: Sequence[float], happened: Sequence[float], edges: Sequence[float]) -> list[Bin]:
    """What happened, by what was said: one bin for each two neighbouring edges, without those that hold no case.

    Args:
        said: probabilities in [0, 1]. happened: for each 1 or 0, or ½ for what is half right.
        edges: rising; the first and the last must enclose all that was said.

    Raises:
        ValueError: no case, a different number, a value out of range or NaN, edges that do not rise or do not enclose.

    >>> [(one.n, one.said, one.happened) for one in reliability([0.5, 0.7, 0.9], [0, 1, 1], edges=[0.5, 0.8, 1.0])]
    [(2, 0.6, 0.5), (1, 0.9, 1.0)]
    """
    _check(said, happened)
    if len(edges) < 2 or any(not a < b for a, b in pairwise(edges)):
        raise ValueError(f"edges = {list(edges)}: expected at least two, each above the one before it")
    if min(said) < edges[0] or max(said) > edges[-1]:
        raise ValueError(
            f"said goes from {min(said):.3f} to {max(said):.3f}: expected all within {edges[0]} to {edges[-1]}, the edges"
        )
    found = []
    for start, end in pairwise(edges):
        inside = [i for i, p in enumerate(said) if start < p <= end or (p == start == edges[0])]
        if inside:
            mean, low, high = score_interval([happened[i] for i in inside])
            found.append(
                Bin(start, end, len(inside), math.fsum(said[i] for i in inside) / len(inside), mean, low, high)
            )
    return found


def even_edges(bins: int, start: float = 0.5, end: float = 1.0) -> list[float]:
    """The edges of bins of equal width.

    >>> even_edges(2)
    [0.5, 0.75, 1.0]
    """
    if bins < 1 or not start < end:
        raise ValueError(f"bins = {bins} from {start} to {end}: expected at least one, and start < end")
    return [start + (end - start) * i / bins for i in range(bins)] + [end]


def expected_calibration_error(said: Sequence[float], happened: Sequence[float], edges: Sequence[float]) -> float:
    """The mean distance of what happened from what was said, over bins, each with the weight of its cases.

    Args: as in `reliability`.
    Returns: in [0, 1]; 0 is perfect.

    >>> round(expected_calibration_error([0.5, 0.7, 0.9], [0, 1, 1], edges=[0.5, 0.8, 1.0]), 3)  # ⅔·0.1 + ⅓·0.1
    0.1
    """
    bins = reliability(said, happened, edges)
    return math.fsum(one.n * abs(one.said - one.happened) for one in bins) / len(said)  # Guo et al. 2017, equation 3


def by_chance(
    said: Sequence[float], edges: Sequence[float], generator: Random, drawings: int = 500
) -> tuple[float, float, float]:
    """The ECE that a *perfectly* calibrated model has on so many cases: mean, and between which ends 95 of 100 drawings lie.

    What happened is drawn from what was said, again and again. An ECE inside these ends is no sign of bad calibration.

    Args: generator: only its `random()` is called.
    """
    if drawings < 2:
        raise ValueError(f"drawings = {drawings}: expected at least 2")
    found = sorted(
        expected_calibration_error(said, [float(generator.random() < p) for p in said], edges) for _ in range(drawings)
    )
    last = drawings - 1
    return math.fsum(found) / drawings, found[round(0.025 * last)], found[round(0.975 * last)]


def of_pairs(chosen: Tensor, rejected: Tensor) -> tuple[list[float], list[float]]:
    """What a reward model says of pairs and whether it is right: rewards (N,), (N,) -> confidences and hits, N each.

    The confidence is the probability of the response with more reward, at least ½; a hit is 1 where that one was chosen, and ½ where
    both have the same reward.

    Raises:
        ValueError: shapes that are no pairs, or a reward that is no finite number.

    >>> of_pairs(torch.tensor([3.0, 0.0]).log1p(), torch.tensor([0.0, 3.0]).log1p())  # by ln 4: 4 to 1
    ([0.8, 0.8], [1.0, 0.0])
    """
    hits = pair_accuracy(chosen, rejected)
    sure = preference_probability(torch.maximum(chosen, rejected).double(), torch.minimum(chosen, rejected).double())
    return [round(p, 6) for p in sure.tolist()], hits.tolist()


def _check(said: Sequence[float], happened: Sequence[float]) -> None:
    if not len(said) or len(said) != len(happened):
        raise ValueError(
            f"{len(said)} probabilities and {len(happened)} outcomes: expected at least one, and one for each"
        )
    for name, values in (("said", said), ("happened", happened)):
        bad = next((i for i, value in enumerate(values) if not 0 <= value <= 1), None)  # NaN is bad, too
        if bad is not None:
            raise ValueError(f"{name}[{bad}] = {values[bad]}: expected a number from 0 to 1; did training diverge?")
