"""The matrices of `fused_decoder`: several layers as one product, a norm's weight multiplied in, columns in the order that turns quickest.

Each is worked out once, when the writing begins, and each leaves the results as they were, up to rounding.

Axes: N tokens, D model width, H heads, K head width. Left out: quantised weights (they are multiplied out).
"""

from collections.abc import Callable
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


def affine(layer: nn.Module, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """A layer that computes x W + b, as W (in, out) and b (out,): for an `nn.Linear` its own; for others, such as LoRA's, what
    they make of nothing and of the unit vectors. Dropout is off.

    width: in. like: gives dtype and device.
    """
    if type(layer) is nn.Linear:
        return layer.weight.t(), like.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
    was = layer.training
    layer.eval()
    b = layer(like.new_zeros(1, width))[0]
    W = layer(torch.eye(width, dtype=like.dtype, device=like.device)) - b
    layer.train(was)
    return W, b


def matrix(
    *layers: nn.Module, width: int, like: Tensor, norm: nn.Module | None = None, order: Tensor | None = None
) -> Matrix:
    """Several linear layers that read the same x as one product: x (N, in) -> (N, sum of their out), the results side by side.

    width, like: as in `affine`. norm: what x comes through; the weight of a plain one is taken into the matrix.
    order: in which the results' columns stand.
    """
    weights, biases = zip(*(affine(layer, width, like) for layer in layers), strict=True)
    weight, bias = torch.cat(weights, dim=1), torch.cat(biases)  # (in, sum of out), (sum of out,)
    if norm is not None and plain_norm(norm):
        weight = weight * cast(Tensor, norm.weight)[:, None]
    if order is not None:
        weight, bias = weight[:, order], bias[order]
    weight = weight.contiguous()
    if not bool(bias.any()):
        return lambda x: x @ weight
    return lambda x: torch.addmm(bias, x, weight)


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
