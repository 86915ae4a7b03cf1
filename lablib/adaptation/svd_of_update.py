"""What a training run did to a matrix: the singular values of its change ΔW, and how much of it a low rank holds.

Any ΔW is a sum of rank-one matrices σᵢ uᵢ vᵢᵀ, the largest first. Cut off after r terms it is the nearest matrix of rank r (Eckart &
Young), and Σ_{i≤r} σᵢ² / Σ σᵢ² is the share of the change (squared, summed over all entries) that is kept. If full tuning changes W along
few directions, LoRA has what it needs; that is to be measured, and here is what with.

Papers: Hu et al. 2021, "LoRA" (§7.2, equation 4: φ; §7.3: ΔW against W); Eckart & Young 1936, "The approximation of one matrix by another
of lower rank"; Aghajanyan et al. 2021, "Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning".

Left out: tensors that are no matrices.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Parts(NamedTuple):
    """ΔW = U · diag(σ) · Vᵀ: U (out, n), sigma (n,) in falling order, Vt (n, in), n the smaller of out and in."""

    U: Tensor
    sigma: Tensor
    Vt: Tensor


def parts_of(update: Tensor) -> Parts:
    """The singular value decomposition of ΔW (out, in), in float64, since small singular values drown in rounding otherwise."""
    if update.dim() != 2:
        raise ValueError(f"update has shape {tuple(update.shape)}: expected a matrix (out, in)")
    return Parts(*torch.linalg.svd(update.detach().double(), full_matrices=False))


def energy(sigma: Tensor) -> Tensor:
    """The share of ‖ΔW‖² that the best approximation of each rank holds: sigma (n,) -> (n,), rank 1 first, 1 at the end.

    >>> energy(torch.tensor([2.0, 1.0, 0.0]))
    tensor([0.8000, 1.0000, 1.0000])

    Raises:
        ValueError: all singular values are 0: nothing changed, so there is nothing to share.
    """
    squares = sigma.square()
    if not float(squares.sum()) > 0:
        raise ValueError(
            f"sigma has {len(sigma)} values, all 0: expected the singular values of a change; is W trained?"
        )
    return squares.cumsum(0) / squares.sum()


def best_of_rank(update: Tensor, r: int) -> Tensor:
    """The matrix of rank r that is nearest to ΔW: (out, in) -> (out, in) (Eckart & Young 1936).

    >>> best_of_rank(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), r=1)
    tensor([[3., 0.],
            [0., 0.]])
    """
    U, sigma, Vt = parts_of(update)
    check_rank(r, len(sigma), "r")
    return ((U[:, :r] * sigma[:r]) @ Vt[:r]).to(update.dtype)  # (out, r) @ (r, in)


def factors_of_rank(update: Tensor, r: int) -> tuple[Tensor, Tensor]:
    """A (r, in) and B (out, r) whose product B A is `best_of_rank`: the best that LoRA of rank r could have learned, up to its scale."""
    U, sigma, Vt = parts_of(update)
    check_rank(r, len(sigma), "r")
    root = sigma[:r].sqrt()
    return (root[:, None] * Vt[:r]).to(update.dtype), (U[:, :r] * root).to(update.dtype)


def rank_for(sigma: Tensor, share: float) -> int:
    """The smallest rank that holds so much of ‖ΔW‖².

    >>> rank_for(torch.tensor([2.0, 1.0, 1.0]), share=0.8)
    2
    """
    if not 0 < share <= 1:
        raise ValueError(f"share = {share!r}: expected a share above 0 and up to 1, such as 0.9")
    return min(int((energy(sigma.double()) < share).sum()) + 1, len(sigma))


def effective_rank(sigma: Tensor) -> float:
    """e to the entropy of σ² / Σ σ²: how many directions share the change, were they all equally large.

    >>> effective_rank(torch.tensor([1.0, 1.0, 0.0]))
    2.0
    """
    p = sigma.double().square() / sigma.double().square().sum()
    return float(torch.exp(-torch.special.xlogy(p, p).sum()))


def similarity(first: Tensor, second: Tensor, i: int, j: int) -> float:
    """φ: how much of the space of the first i directions of one matrix lies in that of the first j of another, in [0, 1].

    ‖Uᵢᵀ Vⱼ‖² / min(i, j), with the right singular vectors of both, largest first (Hu et al. 2021, equation 4). 1: one lies in the other.
    Two random spaces of d dimensions have about max(i, j)/d.

    Args: first (r₁, in), second (r₂, in), such as the matrices A of two adapters; i up to r₁, j up to r₂.

    >>> one = torch.eye(3)[:1]
    >>> similarity(one, torch.eye(3)[:2] * torch.tensor([[1.0], [2.0]]), 1, 1), similarity(one, torch.eye(3)[:2], 1, 2)
    (0.0, 1.0)
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"first and second have {first.shape[1]} and {second.shape[1]} columns: expected the same number"
        )
    one, two = parts_of(first).Vt, parts_of(second).Vt  # (n, in) each
    check_rank(i, len(one), "i")
    check_rank(j, len(two), "j")
    return float((one[:i] @ two[:j].T).square().sum() / min(i, j))


def check_rank(value: int, most: int, name: str) -> None:
    """Raise a ValueError for a rank that the matrix has not."""
    if not 1 <= value <= most:
        raise ValueError(
            f"{name} = {value!r}: expected a whole number from 1 to {most}, as many as there are singular values"
        )


def updates(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """ΔW of every linear layer of two models of one shape, by name.

    Raises:
        ValueError: other layers, or other shapes.
    """
    old, new = (
        {name: part.weight.detach() for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        for model in (before, after)
    )
    if {name: w.shape for name, w in old.items()} != {name: w.shape for name, w in new.items()}:
        odd = sorted(set(old) ^ set(new)) or [name for name in old if old[name].shape != new[name].shape]
        raise ValueError(
            f"before and after differ in {odd[:2]}: expected two models of one shape; merge an adapter first (`merged_copy`)"
        )
    return {name: new[name] - weight for name, weight in old.items()}
