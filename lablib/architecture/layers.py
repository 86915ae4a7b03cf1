"""What stands between the attentions: norms, feed-forward networks, and the residual connection around each.

Papers: Ba, Kiros & Hinton 2016, "Layer Normalization"; Zhang & Sennrich 2019, "Root Mean Square Layer Normalization";
He et al. 2016, "Deep Residual Learning for Image Recognition"; Vaswani et al. 2017, "Attention Is All You Need" (§3.1, §3.3);
Shazeer 2020, "GLU Variants Improve Transformer"; Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture".

Axes: B batch, T time, D model width; `...` stands for any leading axes, and F is the hidden width of a feed-forward network.
All of these treat each position by itself: only attention moves anything from one position to another.

Left out: fused kernels (`torch.nn.functional.layer_norm` and `rms_norm` are the same functions in one call each).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Connection = Callable[
    [Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]], Tensor
]  # (x, sublayer, norm) -> x


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Each position's D features shifted to mean 0 and scaled to variance 1, then stretched and moved as learned.

    (x − μ) / √(σ² + eps) · weight + bias, with μ and σ² over the last axis (Ba et al. 2016, equation 4). σ² is the
    mean of (x − μ)², divided by D and not by D − 1.

    Args: x (..., D); weight (D,); bias (D,); eps keeps a constant x from a division by zero.
    Returns: (..., D).

    >>> layer_norm(torch.tensor([1.0, 3.0]), torch.ones(2), torch.zeros(2))
    tensor([-1.0000,  1.0000])
    """
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = (centred**2).mean(dim=-1, keepdim=True)  # (..., 1)
    return centred * torch.rsqrt(variance + eps) * weight + bias


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    """Each position's D features scaled to root mean square 1, then stretched as learned; nothing is shifted.

    x / √(mean(x²) + eps) · weight, with the mean over the last axis (Zhang & Sennrich 2019, equation 4).
    Differs from the paper: the eps under the root, which Llama has too.

    Args: x (..., D); weight (D,).
    Returns: (..., D).

    >>> rms_norm(torch.tensor([3.0, -3.0, 3.0]), torch.ones(3))
    tensor([ 1.0000, -1.0000,  1.0000])
    """
    mean_square = (x**2).mean(dim=-1, keepdim=True)  # (..., 1)
    return x * torch.rsqrt(mean_square + eps) * weight


class LayerNorm(nn.Module):
    """`layer_norm` with its weight (D,) and bias (D,), which start at 1 and 0."""

    def __init__(self, D: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(D)), nn.Parameter(torch.zeros(D)), eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return layer_norm(x, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """`rms_norm` with its weight (D,), which starts at 1."""

    def __init__(self, D: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(D)), eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return rms_norm(x, self.weight, self.eps)


class FeedForward(nn.Module):
    """Two linear layers with a nonlinearity between, at each position alone (Vaswani et al. 2017, equation 2)."""

    def __init__(self, D: int, hidden: int, activation: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(D, hidden), nn.Linear(hidden, D)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """FFN(x) = activation(x W₁ + b₁) W₂ + b₂, where `up` holds W₁, b₁ and `down` holds W₂, b₂.

        x: (..., D).
        Returns: (..., D).
        """
        return self.down(self.activation(self.up(x)))  # (..., D) -> (..., F) -> (..., D)


class SwiGLU(nn.Module):
    """A feed-forward network with a gate: one half of it decides how much of the other half passes (Shazeer 2020)."""

    def __init__(self, D: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(D, hidden, bias=False), nn.Linear(D, hidden, bias=False)
        self.down = nn.Linear(hidden, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(swish(x W) ⊙ x V) W₂, Shazeer 2020, equation 6: `gate` holds W, `up` holds V, `down` holds W₂.

        swish(z) = z · sigmoid(z), which PyTorch calls silu; ⊙ multiplies entry by entry.
        x: (..., D).
        Returns: (..., D).
        """
        return self.down(nn.functional.silu(self.gate(x)) * self.up(x))  # (..., D) -> (..., F) -> (..., D)


def post_norm(x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor]) -> Tensor:
    """LayerNorm(x + Sublayer(x)): add what the sublayer found, then normalise the sum (Vaswani et al. 2017, §3.1).

    Args: x (..., D); sublayer and norm: (..., D) -> (..., D).
    Returns: (..., D).

    >>> post_norm(torch.tensor(3.0), lambda x: 2 * x, lambda x: x / 10)
    tensor(0.9000)
    """
    return norm(x + sublayer(x))


def pre_norm(x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor]) -> Tensor:
    """x + Sublayer(LayerNorm(x)): normalise only what the sublayer reads; x itself passes untouched.

    Used by GPT-2, Llama and nearly every later model; analysed by Xiong et al. 2020 (figure 1b).
    Args: x (..., D); sublayer and norm: (..., D) -> (..., D).
    Returns: (..., D).

    >>> pre_norm(torch.tensor(3.0), lambda x: 2 * x, lambda x: x / 10)
    tensor(3.6000)
    """
    return x + sublayer(norm(x))
