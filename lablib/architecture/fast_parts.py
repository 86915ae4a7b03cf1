"""RMSNorm and RoPE once more, for speed: the same numbers as in `layers` and `positions`, in fewer passes over memory.

On a CPU these two are limited by memory, not by arithmetic. Written as formulas, each step of theirs makes a tensor of its own, and
training keeps most of them for the gradient. Here the norm keeps one, and its gradient is worked out by hand; the rotation becomes
two multiplications and a shift. `bench/decoder.py` measures what a whole training step gains. Tests hold both to the originals.

Axes: B batch, H heads, T time, D model width, K head width; `...` stands for any leading axes.
Left out: kernels of our own in C++ or Triton, and `torch.compile`, which needs a compiler on the learner's machine.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lablib.architecture.layers import RMSNorm


class _RMSNorm(torch.autograd.Function):
    """y = n · weight with n = x · r and r = 1/√(mean(x²) + eps), and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)  # squares of fp16 overflow from 256 on
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)  # (..., 1), √(sum of squares) in one pass
        r = torch.rsqrt(norm.square() / x.shape[-1] + eps)  # (..., 1)
        n = (x * r).to(x.dtype)  # (..., D)
        ctx.save_for_backward(n, r, weight)
        return n * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        # With g = ∂loss/∂y · weight: ∂loss/∂x = r · (g − n · mean(g · n)). The mean is what r owes to every feature of x.
        (dy,), (n, r, weight) = gradients, ctx.saved_tensors
        g = dy * weight  # (..., D)
        mean = torch.linalg.vecdot(g, n)[..., None] / n.shape[-1]  # (..., 1)
        return ((g - n * mean) * r).to(dy.dtype), (dy * n).reshape(-1, n.shape[-1]).sum(0), None


class FastRMSNorm(RMSNorm):
    """`layers.RMSNorm`, faster in training. Its gradient has no gradient: for second derivatives take `layers.RMSNorm`."""

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        if torch.is_grad_enabled():
            return _RMSNorm.apply(x, self.weight, self.eps)
        return F.rms_norm(
            x, x.shape[-1:], self.weight, self.eps
        )  # one call, quickest where nothing is kept for a gradient


def fast_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`positions.apply_rope` as x · (cos, cos) + (x with its halves swapped) · (−sin, sin).

    Args: x (..., T, K); cos, sin (T, K/2), or (B, 1, T, K/2) where each row has positions of its own.
    Returns: (..., T, K) in the dtype of x.

    >>> fast_rope(torch.tensor([[1.0, 0.0]]), cos=torch.tensor([[0.0]]), sin=torch.tensor([[1.0]]))
    tensor([[0., 1.]])
    """
    swapped = x.roll(x.shape[-1] // 2, dims=-1)  # (a, b) -> (b, a)
    turned = torch.addcmul(x * torch.cat((cos, cos), -1), swapped, torch.cat((-sin, sin), -1))  # (..., T, K)
    return turned.to(x.dtype)
