"""Too much of a good thing: how the true reward rises and falls as the learned one is optimised.

A learned reward is right about the answers that it has seen compared. The further a policy moves away from those, the more it finds what
the reward model overlooks: "when a measure becomes a target, it ceases to be a good measure" (Goodhart's law). Gao et al. measured the gold
reward against d = √KL(π ‖ π_start) and found two shapes, both 0 at d = 0:

    best-of-n   R(d) = d (α − β d)           highest at d = α / 2β,        there R = α² / 4β
    RL          R(d) = d (α − β log d)       highest at d = e^(α/β − 1),   there R = β d

α is how well it begins, β how soon it turns. Both are linear in α and β, so plain least squares fits them.

Paper: Gao, Schulman & Hilton 2023, "Scaling Laws for Reward Model Overoptimization" (§1). Differs from the paper: near d = 0 the second
shape has an infinite slope, which no policy has; the paper says so, too. Left out: how α and β depend on the reward model's size.

Axes: n points. R is the *gain* in gold reward over the policy that the optimisation began with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Form = Literal["best-of-n", "rl"]
FORMS: tuple[Form, ...] = ("best-of-n", "rl")
Array = NDArray[np.float64]


def distance(kl: ArrayLike) -> Array:
    """d = √KL, nats^½; an estimate of KL that came out below 0 counts as 0.

    >>> distance([4.0, -0.1]).tolist()
    [2.0, 0.0]
    """
    return np.sqrt(np.maximum(np.asarray(kl, dtype=float), 0.0))


def columns(d: ArrayLike, form: Form) -> Array:
    """What α and β are multiplied with: d (n,) -> (n, 2).

    >>> columns([2.0], "best-of-n").tolist()
    [[2.0, -4.0]]
    """
    if form not in FORMS:
        raise ValueError(f"form = {form!r}: expected one of {', '.join(FORMS)}")
    d = np.asarray(d, dtype=float)
    if form == "best-of-n":
        return np.stack([d, -(d**2)], axis=-1)
    return np.stack([d, -d * np.log(d, out=np.zeros_like(d), where=d > 0)], axis=-1)  # d log d is 0 at 0


@dataclass(frozen=True)
class Fit:
    """A fitted shape.

    Attributes:
        form: "best-of-n" or "rl". alpha, beta: see above; in gold reward per nat^½ (beta of best-of-n: per nat).
        r2: share of the gains' squares that the shape explains, 1 at best; it may be below 0.
    """

    form: Form
    alpha: float
    beta: float
    r2: float

    def __call__(self, d: ArrayLike) -> Array:
        """The gain at distances d (n,) -> (n,)."""
        return columns(d, self.form) @ np.array([self.alpha, self.beta])

    @property
    def peak(self) -> tuple[float, float] | None:
        """Where the gain is highest, and how high: (d, R); None where the shape only rises.

        >>> Fit("best-of-n", alpha=2.0, beta=0.5, r2=1.0).peak, Fit("rl", alpha=1.0, beta=1.0, r2=1.0).peak
        ((2.0, 2.0), (1.0, 1.0))
        """
        if self.beta <= 0:
            return None
        if self.form == "rl":
            d = float(np.exp(self.alpha / self.beta - 1))  # dR/dd = α − β log d − β = 0
            return d, self.beta * d
        d = max(self.alpha / (2 * self.beta), 0.0)  # dR/dd = α − 2 β d = 0
        return d, d * (self.alpha - self.beta * d)


def fit(d: Sequence[float] | Array, gains: Sequence[float] | Array, form: Form) -> Fit:
    """Fit α and β by least squares.

    Args:
        d: distances, (n,), at least two different ones above 0. gains: gold reward minus that of the start, (n,). form: see above.

    Raises:
        ValueError: lengths that differ, a number that is not finite or a d below 0, too few points.

    >>> found = fit([1.0, 2.0, 3.0], [1.5, 2.0, 1.5], "best-of-n")  # d (2 − d / 2)
    >>> round(found.alpha, 6), round(found.beta, 6), found.peak is not None
    (2.0, 0.5, True)
    """
    X, y = columns(d, form), np.asarray(gains, dtype=float)
    if y.shape != X.shape[:1]:
        raise ValueError(f"gains has shape {y.shape}: expected a number for each of the {len(X)} distances")
    if not (np.isfinite(X).all() and np.isfinite(y).all()) or np.min(d, initial=0.0) < 0:
        raise ValueError("d and gains: expected finite numbers, and no d below 0; `distance` makes d from KL")
    if len(set(np.asarray(d, dtype=float)) - {0.0}) < 2:
        raise ValueError(f"d = {list(d)}: expected two different distances above 0 at least, to fit two numbers")
    (alpha, beta), *_ = np.linalg.lstsq(X, y, rcond=None)
    total = float((y**2).sum())  # about 0, which the shape goes through, not about the mean
    r2 = 1 - float(((X @ np.array([alpha, beta]) - y) ** 2).sum()) / total if total else 0.0
    return Fit(form, float(alpha), float(beta), r2)
