"""Several aims at once: which policies are worth having at all, and which of them one should take.

    on = pareto_front(points)                      # nobody beats them in everything
    best = weighted(points, weights).argmax()      # one number from several, by what they are worth to you

Helpful, honest, harmless: more of one can cost another, and no measurement says what the exchange is worth. What measurement can say is who
is *dominated*: somebody else is at least as good in everything and better in something. The others form the Pareto front, and to choose
among them takes weights, which are a decision.

The weighted mean is the plainest way to put weights to use, and it is blind in one eye: a point of the front that lies in a hollow
between two others is best at no weights whatever (Das & Dennis 1997). Chebyshev's scalarisation finds every point of the front at
some weights (Bowman 1976; Miettinen 1999, "Nonlinear Multiobjective Optimization", section 3.4).

Axes: N points (policies), K aims, each the larger the better. R resamples. Left out: fronts of many aims, where hardly any point is
dominated.
"""

import torch
from torch import Tensor


def pareto_front(points: Tensor) -> Tensor:
    """Which points are not dominated?

    A point dominates another when it is at least as good in every aim and better in at least one. Of equal points none
    dominates the other.

    Args:
        points: (N, K), the larger the better.

    Returns:
        bool (N,), True where no point dominates this one.

    >>> pareto_front(torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.4, 0.5]]))
    tensor([ True,  True, False])
    """
    check_points(points)
    other, mine = points[None, :, :], points[:, None, :]  # (1, N, K), (N, 1, K)
    no_worse = (other >= mine).all(dim=2)  # (N, N, K) -> (N, N)
    better = (other > mine).any(dim=2)
    return ~(no_worse & better).any(dim=1)  # (N, N) -> (N,)


def weighted(points: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of each point's aims: (N, K), (K,) -> (N,); only the weights' ratios count.

    >>> weighted(torch.tensor([[1.0, 0.0]]), torch.tensor([3.0, 1.0]))
    tensor([0.7500])
    """
    check_points(points)
    check_weights(weights, points)
    return points @ (weights / weights.sum()).to(points.dtype)


def chebyshev(points: Tensor, weights: Tensor, ideal: Tensor) -> Tensor:
    """How far is a point from what one would like, in the aim in which it lacks most?

    Args:
        points: (N, K). weights: (K,), at least 0, at least one above 0; they count as they are.
        ideal: (K,), what would be best in each aim, at least as good as every point.

    Returns:
        (N,), minus the largest of the weighted shortfalls, −max_k w_k · (ideal_k − point_k): 0 for the ideal, below 0
        for what falls short of it, so that the largest is the best.

    >>> chebyshev(torch.tensor([[1.0, 0.2], [0.6, 0.7]]), torch.tensor([1.0, 0.5]), torch.tensor([1.0, 1.0]))
    tensor([-0.4000, -0.4000])
    """
    check_points(points)
    check_weights(weights, points)
    check_ideal(ideal, points)
    return -(weights * (ideal - points)).amax(dim=1)  # (N, K) -> (N,)


def front_share(points: Tensor) -> Tensor:
    """How often each point is on the front, over resamples of all of them together: (R, N, K) -> (N,), from 0 to 1.

    A front of means hides that the means are uncertain. Points of one resample must come from the same seeds and prompts.
    """
    if points.dim() != 3 or not len(points):
        raise ValueError(f"points has shape {tuple(points.shape)}: expected (R, N, K), at least one resample")
    return torch.stack([pareto_front(one) for one in points]).double().mean(dim=0)  # (R, N) -> (N,)


# ---------------------------------------------------------------- errors


def check_points(points: Tensor) -> None:
    """Raise a ValueError for points that are not a table of numbers."""
    if points.dim() != 2 or not points.numel() or bool(points.isnan().any()):
        raise ValueError(f"points has shape {tuple(points.shape)}: expected (N, K) without NaN, a row for each policy")


def check_weights(weights: Tensor, points: Tensor) -> None:
    """Raise a ValueError for weights that are not one for each aim, below 0, or all 0."""
    if weights.shape != points.shape[1:] or bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise ValueError(
            f"weights = {weights.tolist()}: expected {points.shape[1]}, one for each aim, at least 0, and one above 0"
        )


def check_ideal(ideal: Tensor, points: Tensor) -> None:
    """Raise a ValueError for an ideal that some point is better than."""
    if ideal.shape != points.shape[1:] or bool((points > ideal).any()):
        raise ValueError(
            f"ideal = {ideal.tolist()}: expected {points.shape[1]} numbers, each at least as good as every point"
        )
