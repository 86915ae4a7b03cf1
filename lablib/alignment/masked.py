"""Mean, variance and whitening of some places of a tensor: those of the answers, not those of prompts and padding.

Answers have many lengths and lie in one tensor, so nearly every number of RLHF is an average over *some* places. To multiply by the mask
and sum is not safe: 0 · NaN is NaN, and padding may hold anything. Here what is masked out is never looked at, neither for the value nor
for the gradient. Where nothing counts, the mean and the variance are 0: that is a definition, and it keeps one empty answer from
making a whole batch NaN.

Whitening is that of Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences" (their released code,
`lm-human-preferences`): minus the mean, over the standard deviation.

Axes: any; in this folder mostly (N, T): N answers, T tokens. Sums are taken in float64: numbers that are all alike become exactly 0.
Left out: weights other than 0 and 1; means over several processes.
"""

import torch
from torch import Tensor

TINY = 1e-8  # added to a variance, against a division by zero


def masked_mean(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """The mean of the places where mask is True.

    Args:
        x: of any shape. mask: bool of the same shape. dim: the axis that goes away; None: all of them.

    Returns:
        a scalar, or x's shape without `dim`; 0 where nothing counts.

    Raises:
        ValueError: mask is not bool or has another shape.

    >>> masked_mean(torch.tensor([[1.0, 3.0, torch.nan]]), torch.tensor([[True, True, False]]))
    tensor(2.)
    """
    check_mask(x, mask)
    kept = x.double().where(mask, 0.0)
    total, count = (kept.sum(), mask.sum()) if dim is None else (kept.sum(dim), mask.sum(dim))
    return (total / count.clamp(min=1)).to(x.dtype)


def masked_var(x: Tensor, mask: Tensor, dim: int | None = None, correction: int = 0) -> Tensor:
    """The variance of the places where mask is True: the mean of their squared distances from the mean.

    Args:
        x, mask, dim: see `masked_mean`.
        correction: divide by (how many) − correction, as `torch.var` does; 1 is the unbiased estimate, as in `trl`.

    Returns:
        see `masked_mean`; 0 where no more than `correction` places count.

    >>> masked_var(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False]))
    tensor(1.)
    """
    check_mask(x, mask)
    wide = x.double().where(mask, 0.0)  # first of all: an infinity minus something is still one
    mean = masked_mean(wide, mask, dim)
    distance = (wide - (mean if dim is None else mean.unsqueeze(dim))).where(mask, 0.0)
    squares, count = (distance**2, mask) if dim is None else ((distance**2).sum(dim), mask.sum(dim))
    if dim is None:
        squares, count = squares.sum(), count.sum()
    return (squares / (count - correction).clamp(min=1)).where(count > correction, 0.0).to(x.dtype)


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Give the places that count variance 1 and, with shift_mean, mean 0.

    Args:
        x: of any shape. mask: bool of the same shape.
        shift_mean: False adds the mean again after the division: only the spread becomes 1.

    Returns:
        x's shape, 0 where mask is False. Values that are all alike become 0 (without shift_mean: stay as they are).

    >>> whiten(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False]))
    tensor([-1.,  1.,  0.])
    """
    check_mask(x, mask)
    wide = x.double().where(mask, 0.0)
    mean = masked_mean(wide, mask)
    white = (wide - mean) * torch.rsqrt(masked_var(wide, mask) + TINY)
    return (white if shift_mean else white + mean).where(mask, 0.0).to(x.dtype)


def check_mask(x: Tensor, mask: Tensor) -> None:
    """Raise a ValueError for a mask that does not say of each place of x whether it counts."""
    if mask.dtype != torch.bool or mask.shape != x.shape:
        raise ValueError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}: expected torch.bool of the shape of the values, "
            f"{tuple(x.shape)}, True = this place counts; mask.bool() turns ones and zeros into that"
        )
