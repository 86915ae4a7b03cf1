"""The matrices of `fused_decoder`: several layers as one product, a norm's weight multiplied in, columns in the order that turns quickest.

Each is worked out once, when the writing begins, and each leaves the results as they were, up to rounding.

Axes: N tokens, D model width, H heads, K head width. Left out: adapters' matrices as one with
those that they adapt (merge them first, where that is possible).
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lablib.architecture.fast_parts import FastRMSNorm
from lablib.architecture.layers import RMSNorm

Matrix = Callable[[Tensor], Tensor]


def plain_norm(norm: nn.Module) -> bool:
    """Is it x / √(mean(x²) + eps) · weight, in numbers wide enough for squares, and for a matrix times its weight?"""
    return (
        type(norm) in (RMSNorm, FastRMSNorm)
        and norm.weight.dtype in (torch.float32, torch.float64)
        and bool(cast(Tensor, norm.weight).abs().amax() < 1e6)
    )


def matrix(*layers: nn.Module, norm: nn.Module | None = None, order: Tensor | None = None) -> Matrix:
    """Several layers that read the same x as one product: x (N, in) -> (N, sum of their out), the results side by side.

    Where one of them is more than an `nn.Linear`, an adapter for example, which need not be a matrix at all, they are called as they are.

    norm: what x comes through; the weight of a plain one is taken in. order: in which the results' columns stand.
    """
    scale = cast(Tensor, norm.weight) if norm is not None and plain_norm(norm) else None  # (in,)
    linears = [layer for layer in layers if type(layer) is nn.Linear]
    if len(linears) < len(layers):
        return lambda x: _each(layers, x if scale is None else x * scale, order)
    weight = torch.cat([linear.weight for linear in linears]).t()  # (in, sum of out)
    weight = weight if scale is None else weight * scale[:, None]
    weight = (weight if order is None else weight[:, order]).contiguous()
    if all(linear.bias is None for linear in linears):
        return lambda x: x @ weight
    bias = torch.cat([weight.new_zeros(len(x.weight)) if x.bias is None else x.bias for x in linears])
    bias = bias if order is None else bias[order]
    return lambda x: torch.addmm(bias, x, weight)


def _each(layers: Sequence[nn.Module], x: Tensor, order: Tensor | None) -> Tensor:
    """What `matrix` computes, layer by layer."""
    found = torch.cat([layer(x) for layer in layers], dim=-1)  # (N, sum of out)
    return found if order is None else found[:, order]


def without_weight(norm: nn.Module) -> Matrix:
    """What remains of a plain norm whose weight stands in the matrix behind it: x -> x / √(mean(x²) + eps), (N, D) -> (N, D)."""
    if not plain_norm(norm):
        return norm
    weight: Tensor = norm.weight  # type: ignore[assignment]
    eps, mean = weight.new_tensor(norm.eps), weight.new_full((len(weight), 1), 1 / len(weight))
    return lambda x: x * torch.addmm(eps, x.square(), mean).rsqrt_()  # (N, D) · (N, 1)


def side_by_side(K: int, heads: int, others: int, device: torch.device | None = None) -> Tensor:
    """Columns of `heads` heads of width K, those that turn together, i and i + K/2, as neighbours; `others` more stay: (columns,).

    >>> side_by_side(4, 1, 2)
    tensor([0, 2, 1, 3, 4, 5])
    """
    columns = torch.arange(heads * K + others, device=device)
    return torch.cat((columns[: heads * K].view(heads, 2, K // 2).mT.flatten(), columns[heads * K :]))


def turn(x: Tensor, circle: Tensor) -> Tensor:
    """`apply_rope` for columns that stand `side_by_side`: x (N, heads, 1, K), circle = e^(i·angle) (N, 1, 1, K/2) -> like x.

    A pair (a, b) is the complex number a + bi, and multiplying by e^(iθ) turns it by θ.
    """
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * circle).flatten(-2)
