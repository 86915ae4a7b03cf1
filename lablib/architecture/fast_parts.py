"""RMSNorm, RoPE and attention once more, for speed: the same numbers as in `layers`, `positions` and `attention`, in less time.

On a CPU the first two are limited by memory, not by arithmetic. Written as formulas, each step of theirs makes a tensor of its own, and
training keeps most of them for the gradient. Here the norm keeps one, and its gradient is worked out by hand; the rotation becomes
two multiplications and a shift. With attention it is the other way round: PyTorch's fused function saves memory and computes twice, and
for short rows in bfloat16 it is quicker to keep the weights. `bench/decoder.py` and `bench/pretraining.py` measure what a whole
training step gains. Tests hold all three to the originals.

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
        dx = torch.addcmul(g, n, mean, value=-1).mul_(r)
        return dx.to(dy.dtype), (dy * n).reshape(-1, n.shape[-1]).sum(0), None


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
    cos, sin = (
        cos.to(x.dtype),
        sin.to(x.dtype),
    )  # the angles were exact; a product in float32 would cost twice the memory
    swapped = x.roll(x.shape[-1] // 2, dims=-1)  # (a, b) -> (b, a)
    return torch.addcmul(x * torch.cat((cos, cos), -1), swapped, torch.cat((-sin, sin), -1))  # (..., T, K)


LONGEST = 512  # tokens up to which `block_attention` may keep the weights of all pairs
BLOCK = 64  # queries at a time: their weights are still in the processor's cache when they are used


def block_attention_pays(v: Tensor) -> bool:
    """Whether `block_attention` is the quicker way: in training, in bfloat16, on a CPU, for rows that are not long.

    There the fused function's backward pass, which computes all weights anew, takes several times as long as its forward pass.
    """
    return v.device.type == "cpu" and v.dtype == torch.bfloat16 and v.requires_grad and v.shape[-2] <= LONGEST


class _BlockAttention(torch.autograd.Function):
    """softmax(q kᵀ / √K) v for some queries at a time, which look at no key behind the last of them; and its gradient."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, block: int) -> Tensor:
        q, k, v = (q * q.shape[-1] ** -0.5).contiguous(), k.contiguous(), v.contiguous()
        future = torch.full((block, block), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
        out, weights = torch.empty_like(q), []
        for start in range(0, q.shape[2], block):
            end = min(start + block, q.shape[2])
            scores = q[:, :, start:end] @ k[:, :, :end].mT  # (B, H, block, end)
            scores[..., start:] += future[: end - start, : end - start]
            weights.append(torch.softmax(scores, dim=-1))
            out[:, :, start:end] = weights[-1] @ v[:, :, :end]
        ctx.save_for_backward(q, k, v, *weights)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *weights = ctx.saved_tensors
        d_out, d_q, wide = gradients[0].contiguous(), torch.empty_like(q), torch.promote_types(q.dtype, torch.float32)
        d_k, d_v = torch.zeros_like(k, dtype=wide), torch.zeros_like(v, dtype=wide)  # sums over the blocks
        start = 0
        for w in weights:  # (B, H, block, end)
            end = w.shape[-1]
            d = d_out[:, :, start:end]
            d_v[:, :, :end] += w.mT @ d
            d_w = d @ v[:, :, :end].mT
            d_scores = torch._softmax_backward_data(d_w, w, -1, w.dtype)  # w · (d_w − Σ w · d_w)
            d_q[:, :, start:end] = d_scores @ k[:, :, :end]
            d_k[:, :, :end] += d_scores.mT @ q[:, :, start:end]
            start = end
        return d_q * q.shape[-1] ** -0.5, d_k.to(k.dtype), d_v.to(v.dtype), None


def block_attention(q: Tensor, k: Tensor, v: Tensor, block: int = BLOCK) -> Tensor:
    """Causal attention whose weights are computed once and kept for the gradient, block by block of queries.

    Args: q, k, v (B, H, T, K). Returns: (B, H, T, K) in the dtype of v.
    """
    with torch.autocast(v.device.type, enabled=False):  # else the softmax would be a copy in float32
        return _BlockAttention.apply(q.to(v.dtype), k.to(v.dtype), v, block)


def fast_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """PyTorch's fused attention, or `block_attention` where that is quicker.

    Args:
        q (B, H, T, K); k, v (B, kv_heads, S, K) with kv_heads dividing H.
        mask: bool, broadcastable to (B, H, T, S). None: each looks at itself and all before it, and T is S or 1.
    Returns: (B, H, T, K).
    """
    H, T, kv_heads = q.shape[1], q.shape[2], k.shape[1]
    causal = mask is None and T > 1
    if not (causal and block_attention_pays(v)):
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=kv_heads < H)
    k, v = (x.repeat_interleave(H // kv_heads, dim=1) if kv_heads < H else x for x in (k, v))  # (B, H, S, K)
    return block_attention(q, k, v)
