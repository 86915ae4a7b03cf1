"""A scaling law: how the loss falls as a model gets more parameters and reads more tokens, fitted to runs, with intervals.

    L(N, D) = E + A/N^α + B/D^β

E is the loss that no model can beat, A/N^α what is lacking because the model has only N parameters, B/D^β because it has read only D
tokens. Runs that all read the same D cannot tell B/D^β from E: a law of N alone has both of them in its E.

Papers: Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (equations 1.1, 1.2: one power law at a time, without E); Hoffmann
et al. 2022, "Training Compute-Optimal Large Language Models" (§3.3 and appendix D: the law, its fit, the best use of compute);
Besiroglu et al. 2024, "Chinchilla Scaling: A replication attempt" (the same fit again, to points read off the paper's figure). How well
a law is known, `scaling_intervals` says.

Axes: R runs. N parameters, D tokens, losses in nats per token. Left out: data read twice, the schedule, all else that moves a loss.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

Array = NDArray[np.float64]
DELTA = 1e-3  # of the Huber loss; Hoffmann et al. 2022, §3.3
POLISHED = 6  # starts of the grid that are followed downhill
NOTHING = 1e-3  # an E below this share of the lowest loss is as good as none


@dataclass(frozen=True)
class Law:
    """L(N, D) = E + A/N^α + B/D^β (Hoffmann et al. 2022, equation 2), nats per token; B = 0 makes it a law of N alone.

    >>> law = Law(E=1.0, A=8.0, alpha=0.5, B=9.0, beta=0.5)
    >>> float(law.loss(N=16, D=9))  # 1 + 8/4 + 9/3
    6.0
    """

    E: float
    A: float
    alpha: float
    B: float = 0.0
    beta: float = 0.0

    def loss(self, N: ArrayLike, D: ArrayLike = 1.0) -> Array:
        """The loss of models with N parameters after D tokens; N and D broadcast. D counts only where B > 0."""
        N, D = np.asarray(N, dtype=float), np.asarray(D, dtype=float)
        return self.E + self.A * N**-self.alpha + self.B * D**-self.beta

    def optimal(self, C: float) -> tuple[float, float]:
        """Parameters and tokens with the lowest loss that C FLOPs can buy, see `compute_optimal`."""
        return compute_optimal(C, self.A, self.B, self.alpha, self.beta)


HOFFMANN = Law(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)  # Hoffmann et al. 2022, equation 10, as rounded there
BESIROGLU = Law(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024, table 1


def compute_optimal(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    """How to spend C FLOPs: the parameters N and tokens D with the lowest A/N^α + B/D^β, of all with 6·N·D = C.

    At the best place a bit of compute gains as much as parameters as it would as tokens: α·A/N^α = β·B/D^β. Together
    with 6·N·D = C this gives

        N = G · (C/6)^(β/(α+β))     D = (C/6)^(α/(α+β)) / G     G = (α·A / (β·B))^(1/(α+β))

    Args:
        C: compute, FLOPs. A, B, alpha, beta: of the law, all above 0.

    Returns:
        N and D, as floats that nobody has rounded.

    Raises:
        ValueError: names the argument that is not above 0.

    Source: Hoffmann et al. 2022, equation 4.

    >>> N, D = compute_optimal(2400.0, A=8.0, B=8.0, alpha=0.5, beta=0.5)  # both count alike: 6 · 20 · 20
    >>> round(N, 6), round(D, 6)
    (20.0, 20.0)
    """
    for name, value in (("C", C), ("A", A), ("B", B), ("alpha", alpha), ("beta", beta)):
        if not value > 0:
            raise ValueError(
                f"{name} = {value!r}: expected a number > 0; a law of N alone knows no best use of compute"
            )
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return G * (C / 6) ** (beta / (alpha + beta)), (C / 6) ** (alpha / (alpha + beta)) / G


class Points(NamedTuple):
    """What a fit is made from, one entry a run: N, D and loss (R,), and the exact entropy of the same documents, floor (R,)."""

    N: Array
    D: Array
    loss: Array
    floor: Array


def points(runs: Sequence[Mapping[str, Any]], size: str = "matrices") -> Points:
    """The numbers of recorded runs, as `data/experiments/*.json` holds them.

    Args:
        size: what N is: "matrices", the parameters without embedding and head, as Kaplan et al. 2020 count (§2.1), or "parameters",
            all of them, as Hoffmann et al. 2022 do.

    Raises:
        ValueError: a run lacks a number.
    """
    names = (size, "tokens", "loss", "floor")
    for number, run in enumerate(runs):
        if missing := [name for name in names if name not in run]:
            raise ValueError(f"runs[{number}] has no {missing[0]!r}: expected {', '.join(names)}; it has {sorted(run)}")
    return Points(*(np.array([run[name] for run in runs], dtype=float) for name in names))


# ---------------------------------------------------------------- the fit


def fit_loss(theta: Array, logs: Array, log_loss: Array) -> tuple[float, Array]:
    """What a fit makes small, and its gradient: the Huber loss between logarithms of predicted and measured loss, summed over runs.

    The predicted one is the log-sum-exp of e = ln E and of a − α·ln N (and b − β·ln D), so that no term can become negative.

    Args:
        theta: (1 + 2K,): e, then a (and b), then α (and β); K is 1, or 2 with a term for D. logs: (R, K): ln N (and ln D).
        log_loss: (R,).

    Returns:
        the loss in units of δ², and its derivative by theta (1 + 2K,).

    Source: Hoffmann et al. 2022, equation 3. Differs from the paper: divided by δ². Otherwise the loss is so near 0 that an optimiser
    takes it for done: the paper's stopped too early (Besiroglu et al. 2024).
    """
    K = logs.shape[1]
    terms = np.empty((len(logs), 1 + K))
    terms[:, 0], terms[:, 1:] = theta[0], theta[1 : 1 + K] - theta[1 + K :] * logs  # (R, 1 + K)
    predicted = np.logaddexp.reduce(terms, axis=1)  # (R,)
    residual = (predicted - log_loss) / DELTA
    slope = residual.clip(-1, 1)  # of the Huber loss
    value = (slope * (residual - slope / 2)).sum()  # r²/2 up to 1, |r| − 1/2 beyond
    weights = np.exp(terms - predicted[:, None]) * (slope / DELTA)[:, None]  # (R, 1 + K): by each term
    return float(value), np.concatenate([weights.sum(0), -(weights[:, 1:] * logs).sum(0)])


def fit(N: ArrayLike, loss: ArrayLike, D: ArrayLike | None = None) -> Law:
    """The law that fits runs best: of N alone, or of N and D.

    As in Hoffmann et al. 2022, §3.3: Huber loss on logarithms, L-BFGS, from a grid of starts. Differs from the paper: all of the grid is
    looked at, and only the best few starts are followed; sizes are divided by their geometric mean, which changes no minimum
    but rounds off the valley that the optimiser has to walk.

    Args:
        N: (R,) parameters. loss: (R,) nats per token. D: (R,) tokens; None leaves their term out.

    Raises:
        ValueError: fewer than three different sizes (or token counts), a loss or size that is no finite number above 0.
    """
    sizes, log_loss = checked(N, loss, D)
    centre = sizes.mean(0)
    with threadpool_limits(1):  # for a handful of numbers, threads cost many times what they save
        return law_of(descend(starts(sizes - centre, log_loss), sizes - centre, log_loss), centre)


def checked(N: ArrayLike, loss: ArrayLike, D: ArrayLike | None) -> tuple[Array, Array]:
    """ln N (and ln D), (R, K), and ln loss, (R,), once they are known to make a fit possible."""
    given = {"N": N, "loss": loss} | ({} if D is None else {"D": D})
    arrays = {name: np.asarray(values, dtype=float).ravel() for name, values in given.items()}
    R = len(arrays["loss"])
    for name, values in arrays.items():
        if len(values) != R:
            raise ValueError(f"{name} has {len(values)} entries and loss {R}: expected one for each run")
        if len(wrong := np.flatnonzero(~(np.isfinite(values) & (values > 0)))):
            hint = "; leave out a run that diverged" if name == "loss" else ""
            raise ValueError(f"{name}[{wrong[0]}] = {values[wrong[0]]}: expected a finite number > 0{hint}")
        if name != "loss" and len(different := np.unique(values)) < 3:
            what = "sizes" if name == "N" else "token counts"
            other = "" if name == "N" else ", or leave D out and fit a law of N alone"
            raise ValueError(
                f"{name} has {len(different)} different {what}: expected at least 3, since a curve with a floor has three "
                f"constants; train more {what}{other}"
            )
    sizes = [arrays["N"]] if D is None else [arrays["N"], arrays["D"]]
    return np.log(np.stack(sizes, axis=1)), np.log(arrays["loss"])


def starts(logs: Array, log_loss: Array) -> list[Array]:
    """The starts of the grid with the lowest loss: E a share of the lowest loss, the rest divided among the terms."""
    lowest, typical = math.exp(log_loss.min()), math.exp(float(np.median(log_loss)))
    exponents, grid = (0.1, 0.25, 0.5, 1.0, 2.0), []
    shares = [(1.0,)] if logs.shape[1] == 1 else [(s, 1 - s) for s in (0.05, 0.2, 0.5, 0.8, 0.95)]
    for E, share in itertools.product((0.02, 0.25, 0.5, 0.7, 0.85, 0.95, 0.99), shares):
        terms = [math.log((typical - E * lowest) * s) for s in share]
        for powers in itertools.product(exponents, repeat=logs.shape[1]):
            grid.append(np.array([math.log(E * lowest), *terms, *powers]))
    return sorted(grid, key=lambda theta: fit_loss(theta, logs, log_loss)[0])[:POLISHED]


def descend(starts: Sequence[Array], logs: Array, log_loss: Array) -> Array:
    """The lowest place that L-BFGS reaches from the starts."""
    low, high, K = log_loss.min(), log_loss.max(), logs.shape[1]
    bounds = [(low + math.log(NOTHING / 2), high)] + [(low - 15, high + 2)] * K + [(0.005, 5.0)] * K
    found = [
        minimize(fit_loss, start, (logs, log_loss), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 500})
        for start in starts
    ]
    return min(found, key=lambda result: float(result.fun)).x


def law_of(theta: Array, centre: Array) -> Law:
    """The constants of the law, for sizes that are not divided by their geometric mean any more."""
    K = len(centre)
    amplitudes = np.exp(theta[1 : 1 + K] + theta[1 + K :] * centre)
    constants = [float(x) for pair in zip(amplitudes, theta[1 + K :], strict=True) for x in pair]
    return Law(math.exp(theta[0]), *constants)
