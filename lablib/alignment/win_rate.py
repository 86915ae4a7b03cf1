"""Is one policy better than another, and how sure is that? Win rates, with intervals that know that there were three seeds.

    won = wins(mine, theirs)                                      # (S, P): of each seed, the same prompts to both
    found = measured(won, torch.Generator().manual_seed(0))       # mean, and two intervals

*Paired*: both policies answer the same prompts, so what a prompt has of its own, easy or hard, falls out of the difference. *Seeds as
clusters*: the answers of one trained model stand and fall together, so 3 seeds with 300 prompts are not 900 measurements. The bootstrap
below draws whole seeds, and within each drawn seed its prompts (one of the ways that Davison & Hinkley 1997, §3.8, weigh; Field & Welsh
2007). Prompts may be drawn within a seed because each seed has prompts of its own; were they the same for all seeds, they would have to
be drawn once for all. Where seeds do not differ, this interval is too long, by a factor near
√(1 + (S − 1)/S) (three tenths with three seeds): the prompts' scatter is in the seeds' means already, and prompts are drawn once more.

Three clusters are few. Drawing 3 of 3 with replacement sees on average only 2/3 of the variance between them, and nothing beyond the
largest and the smallest; so where seeds differ much, the bootstrap's interval is too short, and no number of resamples mends that.
Student's t on the seeds' means is honest there, and long (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", is about this trouble). `measured` gives both, and `Measured.carries` asks both. `variance_parts` says what makes
an interval long, seeds or prompts.

Papers: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife"; Student 1908, "The Probable Error of a Mean".

Axes: S seeds, P prompts, R resamples. Left out: corrections for looking at many comparisons at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

RESAMPLES = 2000
LEVEL = 0.95
Interval = tuple[float, float, float]  # mean, and the ends of its interval


def wins(mine: Tensor, theirs: Tensor) -> Tensor:
    """Prompt by prompt, who has the better score?

    Args:
        mine, theirs: scores of two policies' answers to the same prompts, of the same shape, such as (S, P).

    Returns:
        in that shape and type, 1 where mine is better, 0 where theirs is, 1/2 where both are equal. Its mean is the
        win rate.

    >>> wins(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.5, 0.5, 0.5]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    check_paired(mine, theirs)
    return (mine > theirs).to(mine.dtype) + 0.5 * (mine == theirs).to(mine.dtype)


def drawn(S: int, P: int, resamples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which seeds and prompts each resample holds, drawn with replacement.

    Returns:
        numbers of seeds (R, S), and for each of those S places numbers of its prompts, (R, S, P). A seed that is drawn twice has its
        prompts drawn anew.
    """
    if min(S, P, resamples) < 1:
        raise ValueError(f"S = {S}, P = {P}, resamples = {resamples}: expected at least one of each")
    seeds = torch.randint(0, S, (resamples, S), generator=generator)
    return seeds, torch.randint(0, P, (resamples, S, P), generator=generator)


def resampled_means(values: Tensor, seeds: Tensor, prompts: Tensor) -> Tensor:
    """The mean of each resample of a table of seeds and prompts.

    Args:
        values: (S, P), a number for each seed and prompt, such as a win or a difference of scores.
        seeds: which seeds stand in a resample, (R, S). prompts: which prompts of each of these, (R, S, P).

    Returns:
        (R,), for each resample the mean of its S · P values.

    >>> values = torch.tensor([[1.0, 3.0], [10.0, 30.0]])
    >>> resampled_means(values, torch.tensor([[1, 1]]), torch.tensor([[[0, 0], [0, 1]]]))  # (10 + 10 + 10 + 30) / 4
    tensor([15.])
    """
    check_resample(values, seeds, prompts)
    picked = values[seeds[:, :, None], prompts]  # (R, S, 1), (R, S, P) -> (R, S, P)
    return picked.mean(dim=(1, 2))  # (R, S, P) -> (R,)


def seed_interval(means: Tensor, level: float = LEVEL) -> Interval:
    """Student's interval for the mean over seeds, from each seed's own mean.

    Args:
        means: (S,), one number for each seed, S at least 2. level: such as 0.95.

    Returns:
        (mean, low, high), plain numbers: mean ± t · s/√S, where s is the standard deviation of the seeds (divided by
        S − 1) and t the quantile (1 + level)/2 of Student's distribution with S − 1 degrees of freedom, 4.30 for three
        seeds; SciPy has it, `stdtrit(S - 1, p)`.

    >>> [round(x, 3) for x in seed_interval(torch.tensor([0.4, 0.5, 0.6]))]  # s = 0.1: 4.303 · 0.1 / √3 to either side
    [0.5, 0.252, 0.748]
    """
    check_means(means, level)
    S = len(means)
    mean, s = means.double().mean().item(), means.double().std().item()
    away = float(stdtrit(S - 1, (1 + level) / 2)) * s / math.sqrt(S)  # Student 1908
    return mean, mean - away, mean + away


# ---------------------------------------------------------------- both intervals


@dataclass(frozen=True)
class Measured:
    """A mean over seeds and prompts.

    Attributes:
        mean, low, high: with the ends of the bootstrap's interval. seeds: the mean of each seed.
        seed_low, seed_high: Student's interval over the seeds; None with one seed, of which nobody can tell how far others lie.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[float, ...]
    seed_low: float | None
    seed_high: float | None

    @property
    def interval(self) -> Interval:
        """Mean and the bootstrap's interval."""
        return self.mean, self.low, self.high

    @property
    def spread(self) -> float:
        """Standard deviation of the seeds' means; 0 with one seed."""
        return 0.0 if len(self.seeds) < 2 else torch.tensor(self.seeds, dtype=torch.float64).std().item()

    def carries(self, null: float) -> int:
        """Do *both* intervals lie on one side of a value? 1: above, −1: below, 0: they do not, or there is one seed only.

        >>> Measured(0.6, 0.55, 0.65, (0.58, 0.6, 0.62), 0.54, 0.66).carries(0.5)
        1
        """
        if self.seed_low is None or self.seed_high is None:
            return 0
        return int(min(self.low, self.seed_low) > null) - int(max(self.high, self.seed_high) < null)


def measured(values: Tensor, generator: torch.Generator, resamples: int = RESAMPLES, level: float = LEVEL) -> Measured:
    """The mean of values (S, P) with both intervals.

    Raises:
        ValueError: values that are not a table of finite numbers, level not between 0 and 1, or too few resamples.
    """
    check_table(values)
    check_level(level)
    values = values.double()
    S, P = values.shape
    means = resampled_means(values, *drawn(S, P, resamples, generator))
    low, high = ends(means, level)
    of_seeds = values.mean(dim=1)  # (S, P) -> (S,)
    known = seed_interval(of_seeds, level)[1:] if len(of_seeds) > 1 else (None, None)
    return Measured(values.mean().item(), low, high, tuple(of_seeds.tolist()), *known)


def ends(means: Tensor, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval: what lies between the quantiles (1 − level)/2 and (1 + level)/2 of the resamples (R,)."""
    check_level(level)
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=means.dtype)
    low, high = means.quantile(edges).tolist()
    return low, high


def variance_parts(values: Tensor, kinds: Sequence[str] | None = None) -> tuple[float, float]:
    """What the variance of a seed's mean is made of: what differs from seed to seed, and what its prompts make by themselves.

    Each seed has prompts of its own, and answers are drawn. So the seeds' means differ even where one and the same model answers, and
    their spread alone says nothing about training.

    Args:
        values: (S, P), S at least 2. kinds: of the P prompts, the same in each seed, each kind at least twice: what is drawn anew in
            each seed are prompts of a kind, not how many there are of it. None: all of one kind.

    Returns:
        (between, within), variances of the mean of *one* seed, in the values' unit squared. within is the mean over seeds of
        Σ_k (n_k/P)² · s_k²/n_k, where s_k² is the variance among the n_k prompts of a kind. between is the variance of the S means less
        that, as in the analysis of variance (Fisher 1925): right on average, and below 0 more often than not where seeds do not differ.

    Raises:
        ValueError: values that are not a table of finite numbers with two seeds, or kinds that do not fit.

    >>> variance_parts(torch.tensor([[0.0, 2.0], [4.0, 6.0]]))  # means 1 and 5, variance 8; of each two prompts 2, of their mean 1
    (7.0, 1.0)
    """
    check_table(values)
    check_kinds(values, kinds)
    values, P = values.double(), values.shape[1]
    within = 0.0
    for kind in dict.fromkeys(kinds or [""]):
        places = [place for place in range(P) if kinds is None or kinds[place] == kind]
        n, spread = len(places), values[:, places].var(dim=1)  # (S, P) -> (S, n) -> (S,)
        within += (n / P) ** 2 * spread.mean().item() / n
    return values.mean(dim=1).var().item() - within, within


# ---------------------------------------------------------------- errors


def check_paired(mine: Tensor, theirs: Tensor) -> None:
    """Raise a ValueError for scores that are not of the same prompts."""
    if mine.shape != theirs.shape or not mine.numel():
        raise ValueError(
            f"mine has shape {tuple(mine.shape)} and theirs {tuple(theirs.shape)}: expected the same, a score for each prompt of both"
        )


def check_table(values: Tensor) -> None:
    """Raise a ValueError for values that are not a table of finite numbers."""
    if values.dim() != 2 or not values.numel() or not bool(values.isfinite().all()):
        raise ValueError(f"values has shape {tuple(values.shape)}: expected (S, P), finite numbers, none missing")


def check_kinds(values: Tensor, kinds: Sequence[str] | None) -> None:
    """Raise a ValueError for a single seed, or for kinds that are not one for each prompt, each at least twice."""
    S, P = values.shape
    if S < 2:
        raise ValueError(
            f"values has shape {(S, P)}: expected at least 2 seeds, of one nobody can tell what differs between them"
        )
    if P < 2 or (kinds is not None and (len(kinds) != P or min(map(kinds.count, kinds)) < 2)):
        given = "" if kinds is None else f" and {len(kinds)} kinds"
        raise ValueError(
            f"values has shape {(S, P)}{given}: expected a kind for each prompt, and at least 2 prompts of each kind"
        )


def check_resample(values: Tensor, seeds: Tensor, prompts: Tensor) -> None:
    """Raise a ValueError for shapes that do not fit; see `resampled_means`."""
    if values.dim() != 2 or seeds.dim() != 2 or prompts.shape[:2] != seeds.shape or prompts.dim() != 3:
        raise ValueError(
            f"values {tuple(values.shape)}, seeds {tuple(seeds.shape)}, prompts {tuple(prompts.shape)}: expected (S, P), (R, S), (R, S, P)"
        )


def check_means(means: Tensor, level: float) -> None:
    """Raise a ValueError for fewer than two seeds, or a level that is none."""
    if means.dim() != 1 or len(means) < 2:
        raise ValueError(
            f"means has shape {tuple(means.shape)}: expected (S,), one number for each of at least 2 seeds"
        )
    check_level(level)


def check_level(level: float) -> None:
    """Raise a ValueError for a level that is not between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level!r}: expected a number between 0 and 1, such as 0.95")
