"""How good are labels that a model gave? Their agreement with gold, and what they like that they should not: places and lengths.

Every figure is a share with a 95 % interval (`score_interval`: Wilson's). A label that is undecided counts half.

Paper: Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena" (§3.3 and §3.4: position bias and swapping, verbosity
bias).

Left out: whether the probabilities are calibrated (lab 12 draws that curve for reward models).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lablib.adaptation.adherence import Interval, score_interval
from lablib.alignment.ai_labels import AILabel


def half(x: float, middle: float = 0.0) -> float:
    """1 above the middle, 0 below, 1/2 at it."""
    return 1.0 if x > middle else 0.0 if x < middle else 0.5


@dataclass(frozen=True)
class Agreement:
    """How often labels are right, over the pairs whose gold scores differ.

    Attributes:
        n: such pairs. one_order: reading each pair once, with a first. swapped: with b first. both: the average of the two orders.
    """

    n: int
    one_order: Interval
    swapped: Interval
    both: Interval


def agreement(labels: Sequence[AILabel], gaps: Sequence[float]) -> Agreement:
    """Compare labels with the truth.

    Args:
        gaps: of each pair, the gold reward of a less that of b.

    Raises:
        ValueError: unequal numbers, or no pair whose gold scores differ.
    """
    told = [(one, gap > 0) for one, gap in zip(labels, gaps, strict=True) if gap]
    if not told:
        raise ValueError(
            f"gaps of {len(gaps)} pairs are all 0: expected some pairs of which one answer is truly better"
        )

    def right(p: Sequence[float]) -> Interval:
        return score_interval([half(x, 0.5) if a else 1 - half(x, 0.5) for x, (_, a) in zip(p, told, strict=True)])

    return Agreement(
        len(told),
        right([one.forward for one, _ in told]),
        right([one.backward for one, _ in told]),
        right([one.p for one, _ in told]),
    )


@dataclass(frozen=True)
class PositionBias:
    """Does the place decide?

    Attributes:
        first: the share of readings, two of each pair, that choose the answer shown first; 1/2 is fair. The interval counts pairs.
        turns: the share of pairs whose choice follows the place: the same place is chosen in both orders.
    """

    first: Interval
    turns: Interval


def position_bias(labels: Sequence[AILabel]) -> PositionBias:
    """See `PositionBias`; pairs are shown in both orders, so that it does not matter which answers are better.

    >>> found = position_bias([AILabel(("truth",), 0.9, 0.4), AILabel(("truth",), 0.8, 0.7)])
    >>> found.first[0], found.turns[0]  # three readings of four chose the first; one pair of two turned round
    (0.75, 0.5)
    """
    # with b shown first, the first is chosen where a is not
    first = [(half(one.forward, 0.5) + 1 - half(one.backward, 0.5)) / 2 for one in labels]
    return PositionBias(score_interval(first), score_interval([float(one.turns) for one in labels]))


@dataclass(frozen=True)
class LengthBias:
    """Does the length decide?

    Attributes:
        n: pairs whose answers differ in length. longer: the share of them in which the longer one is chosen (both orders averaged).
        gold_longer: the share in which it is truly better, ties half: what `longer` should be.
        tied: the share of longer ones chosen where both are equally good, in truth, so that 1/2 is fair. None where no pair is so.
    """

    n: int
    longer: Interval
    gold_longer: Interval
    tied: Interval | None


def length_bias(labels: Sequence[AILabel], lengths: Sequence[tuple[int, int]], gaps: Sequence[float]) -> LengthBias:
    """Compare how often the longer answer is chosen with how often it should be.

    Args:
        lengths: of a and b, in tokens or words. gaps: as in `agreement`.

    Raises:
        ValueError: unequal numbers, or all answers as long as their rivals.
    """
    rows = [
        (half(one.p, 0.5), half(gap), gap, a > b)
        for one, (a, b), gap in zip(labels, lengths, gaps, strict=True)
        if a != b
    ]
    if not rows:
        raise ValueError(f"lengths of {len(lengths)} pairs are equal in each: expected some pairs of unequal length")
    chosen = [picked if longer else 1 - picked for picked, _, _, longer in rows]
    better = [truth if longer else 1 - truth for _, truth, _, longer in rows]
    tied = [one for one, (_, _, gap, _) in zip(chosen, rows, strict=True) if not gap]
    return LengthBias(len(rows), score_interval(chosen), score_interval(better), score_interval(tied) if tied else None)
