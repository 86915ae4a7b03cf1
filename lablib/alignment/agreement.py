"""How far do annotators agree, and how far is that more than chance?

Two who answer "the first" nine times out of ten agree often, even if neither looks. So each measure but the first compares the
agreement that was seen, p_o, with what chance would give, p_e: (p_o − p_e)/(1 − p_e). 1 is perfect, 0 is chance, below 0 is worse
than chance. They differ in what "chance" is and in whom they allow:

- *Cohen's kappa*: two annotators; each throws a coin of their own (Cohen 1960, "A Coefficient of Agreement for Nominal Scales").
- *Fleiss' kappa*: the same number of labels for every unit, whoever gave them; all throw the same coin (Fleiss 1971, "Measuring
  Nominal Scale Agreement among Many Raters").
- *Krippendorff's alpha*: any number of labels a unit, missing ones too; the coin is thrown without putting the label back, which
  matters in small sets (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

A *unit* is what is labelled, here a pair of responses. A label may be anything that can be compared, here "first" or "second".
Where all labels are the same there is nothing that chance could have missed, 0/0: the result is NaN, by definition.

Left out: labels with an order or a distance (weighted kappa, alpha for other scales).
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import TypeVar

Label = Hashable
U = TypeVar("U")


def percent_agreement(first: Sequence[Label], second: Sequence[Label]) -> float:
    """The share of units to which two annotators gave the same label.

    Raises:
        ValueError: no unit, or a different number of labels.

    >>> percent_agreement("AABB", "AABA")
    0.75
    """
    _check_two(first, second)
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def cohen_kappa(first: Sequence[Label], second: Sequence[Label]) -> float:
    """Agreement of two annotators beyond chance, where each keeps to the shares in which they give the labels.

    Returns:
        (p_o − p_e)/(1 − p_e), at most 1; NaN where both gave one and the same label throughout.

    Raises:
        ValueError: no unit, or a different number of labels.

    >>> cohen_kappa("AABB", "AABA")  # seen: ¾; by chance ½·¾ + ½·¼ = ½
    0.5
    """
    _check_two(first, second)
    n = len(first)
    mine, theirs = Counter(first), Counter(second)
    seen = sum(a == b for a, b in zip(first, second, strict=True)) * n  # whole numbers: n²·p_o and n²·p_e
    chance = sum(mine[label] * theirs[label] for label in mine)
    return (seen - chance) / (n * n - chance) if n * n > chance else math.nan  # Cohen 1960, equation 1


def fleiss_kappa(units: Sequence[Sequence[Label]]) -> float:
    """Agreement beyond chance where every unit has the same number of labels, from whomever.

    Args: units: for each unit its labels, two at least, in any order.
    Returns: at most 1; NaN where all labels are the same.
    Raises: ValueError: no unit, or units with different numbers of labels, or fewer than two.

    >>> fleiss_kappa(["AA", "AB", "BB", "BB"])  # seen: ¾; by chance (3/8)² + (5/8)² = 34/64
    0.4666666666666667
    """
    sizes = {len(labels) for labels in units}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ValueError(
            f"units have {sorted(sizes)} labels: expected the same number for each, two at least; krippendorff_alpha allows others"
        )
    n, N = sizes.pop(), len(units)
    counts = [Counter(labels) for labels in units]
    agree = sum(count * (count - 1) for unit in counts for count in unit.values())  # ordered pairs that agree
    seen = agree / (N * n * (n - 1))  # Fleiss 1971: the mean of the units' agreements
    chance = sum(count * count for count in _total(counts).values()) / (N * n) ** 2
    return (seen - chance) / (1 - chance) if chance < 1 else math.nan


def krippendorff_alpha(units: Sequence[Sequence[Label | None]]) -> float:
    """Agreement beyond chance with any number of labels a unit, for labels without order.

    1 − D_o/D_e, observed over expected disagreement. A unit with fewer than two labels says nothing of agreement and is left
    out, as the paper has it.

    Args: units: for each unit its labels; None is a missing one.
    Returns: at most 1; NaN where all labels are the same, or no unit has two.

    >>> krippendorff_alpha(["AA", "AB", "BB", "BB", "A"])  # D_o = ¼; D_e = 2·3·5/(8·7) = 30/56
    0.5333333333333333
    """
    counts = [Counter(label for label in labels if label is not None) for labels in units]
    counts = [unit for unit in counts if unit.total() >= 2]
    total = _total(counts)
    n = total.total()
    differ = [unit.total() ** 2 - sum(count * count for count in unit.values()) for unit in counts]  # ordered pairs
    observed = math.fsum(pairs / (unit.total() - 1) for pairs, unit in zip(differ, counts, strict=True))
    expected = n * n - sum(count * count for count in total.values())
    return 1 - (n - 1) * observed / expected if expected else math.nan  # Krippendorff 2011, for nominal data


def resampled(
    statistic: Callable[[Sequence[U]], float], units: Sequence[U], generator: Random, resamples: int = 1000
) -> tuple[float, float, float]:
    """A statistic of units and its 95 % interval by the bootstrap: the units are drawn anew with replacement (Efron 1979).

    Args:
        statistic: such as `krippendorff_alpha`, or a lambda that takes the pairs of labels apart for `cohen_kappa`.
        generator: only its `random()` is called.

    Returns:
        (value, low, high). Resamples without a value (NaN) are left out; NaN for both ends where no one is left.

    Raises:
        ValueError: no unit, or fewer than 2 resamples.
    """
    if not units or resamples < 2:
        raise ValueError(
            f"{len(units)} units and resamples = {resamples}: expected at least one unit and two resamples"
        )
    n, random = len(units), generator.random
    drawn = (statistic([units[int(random() * n)] for _ in range(n)]) for _ in range(resamples))
    values = sorted(value for value in drawn if not math.isnan(value))
    if not values:
        return statistic(units), math.nan, math.nan
    last = len(values) - 1
    return statistic(units), values[round(0.025 * last)], values[round(0.975 * last)]


def _total(counts: Sequence[Counter[Label]]) -> Counter[Label]:
    total: Counter[Label] = Counter()
    for unit in counts:
        total.update(unit)
    return total


def _check_two(first: Sequence[Label], second: Sequence[Label]) -> None:
    if not len(first) or len(first) != len(second):
        raise ValueError(
            f"{len(first)} and {len(second)} labels: expected at least one, and one of each annotator for every unit"
        )
