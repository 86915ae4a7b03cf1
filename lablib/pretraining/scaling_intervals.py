"""How well a scaling law is known: the law of the runs, and those of runs as they might have come out.

Efron 1979, "Bootstrap Methods: Another Look at the Jackknife". Hoffmann et al. 2022 (table 2) and Besiroglu et al. 2024 give intervals
of this kind, too, by drawing among runs; with several seeds for each setting, the seeds alone can be drawn as well.

Axes: R runs. Left out: doubt about the form of the law itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from lablib.pretraining.scaling import NOTHING, Array, Law, checked, descend, law_of, starts

RESAMPLE = ("seeds", "settings")


@dataclass(frozen=True)
class Fit:
    """A law with its doubt: the law of the runs, and those of runs as they might have come out (`bootstrap`).

    Attributes:
        law: fitted to the runs. replicas: the laws of the resampled runs. resampled: "seeds" or "settings".
        scatter: ln loss of a run less that of its setting's mean, as far as runs of one setting differ; may be empty.
        lowest: the lowest loss of a run.
    """

    law: Law
    replicas: tuple[Law, ...]
    resampled: str
    scatter: Array
    lowest: float

    def interval(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """Where a constant ("E", "A", "alpha", "B", "beta") lies in the middle `level` of the replicas."""
        return _middle(np.array([getattr(law, name) for law in self.replicas]), level)

    def predict(self, N: float, D: float = 1.0, level: float = 0.9) -> tuple[float, float, float]:
        """The loss of one new run, nats per token, and an interval for it: of the law's doubt and of the scatter over seeds."""
        losses = np.array([float(law.loss(N, D)) for law in self.replicas])
        if len(self.scatter):  # every replica with every scatter
            losses = np.outer(losses, np.exp(self.scatter)).ravel()
        return float(self.law.loss(N, D)), *_middle(losses, level)

    def doubts(self, level: float = 0.9) -> list[str]:
        """What these runs cannot tell, in words; an empty list is good news."""
        found = []
        if self.interval("E", level)[0] <= 2 * NOTHING * self.lowest:
            found.append(
                "E is not identified: its interval reaches 0, so these runs do not show where the curve levels off"
            )
        terms = [("alpha", "parameters")] + ([("beta", "tokens")] if self.law.B else [])
        for name, what in terms:
            low, high = self.interval(name, level)
            if high > 4 * low:
                found.append(
                    f"{name} is not identified: from {low:.2g} to {high:.2g}; vary the {what} more, or add seeds"
                )
        return found


def bootstrap(
    N: ArrayLike,
    loss: ArrayLike,
    D: ArrayLike | None = None,
    *,
    resample: str,
    generator: np.random.Generator,
    replicas: int = 200,
) -> Fit:
    """Fit the runs, and again and again what they might have been.

    A *setting* is a size with a number of tokens; its runs differ in their seeds only.

    Args:
        N, loss, D: as in `fit`.
        resample: "seeds": each run is drawn anew around the mean of its setting, with the scatter of all settings. It says how
            the law would differ with other seeds, if the law's form is right. "settings": whole settings are drawn, with
            replacement. It says how the law would differ with other sizes, and is wider where the form is wrong.

    Raises:
        ValueError: as `fit`; no such way; "seeds" where no setting has two runs.
    """
    if resample not in RESAMPLE:
        raise ValueError(f"resample = {resample!r}: expected {' or '.join(map(repr, RESAMPLE))}")
    sizes, log_loss = checked(N, loss, D)
    centre = sizes.mean(0)
    logs = sizes - centre
    with threadpool_limits(1):  # for a handful of numbers, threads cost many times what they save
        best = descend(starts(logs, log_loss), logs, log_loss)
    _, setting, runs = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    setting = setting.ravel()
    means = (np.bincount(setting, log_loss) / runs)[setting]  # (R,)
    several = runs[setting] > 1
    # The mean has taken up a part of the scatter: n runs around their own mean scatter by (n − 1)/n of the variance.
    scatter = ((log_loss - means)[several] / np.sqrt(1 - 1 / runs[setting][several])) if several.any() else np.empty(0)
    if resample == "seeds" and not len(scatter):
        raise ValueError(
            "resample = 'seeds': no setting has two runs; train each with several seeds, or take 'settings'"
        )

    def redrawn() -> tuple[Array, Array]:
        """Sizes and log losses of runs that might have been."""
        if resample == "seeds":
            return logs, means + generator.choice(scatter, len(means))
        while True:
            drawn = generator.integers(len(runs), size=len(runs))
            rows = np.concatenate([np.flatnonzero(setting == number) for number in drawn])
            if all(len(np.unique(column)) >= 3 for column in logs[rows].T):
                return logs[rows], log_loss[rows]

    with threadpool_limits(1):
        laws = tuple(law_of(descend([best], *redrawn()), centre) for _ in range(replicas))
    return Fit(law_of(best, centre), laws, resample, scatter, math.exp(log_loss.min()))


def _middle(values: Array, level: float) -> tuple[float, float]:
    """The ends of the middle `level` of some values."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: expected a share between 0 and 1, such as 0.9")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
