"""Muon: the step of a matrix is made nearly orthogonal, so that it moves equally far in every direction.

What a matrix (A, B) should change by is a sum of min(A, B) directions, its singular vectors, and a few of them are often a hundred times as
strong as the rest. Muon keeps all directions and makes their strengths equal. The exact way is the singular value decomposition,
U S Vᵀ -> U Vᵀ. It is slow; a few products of matrices come near enough, the *Newton–Schulz iteration*.

Paper: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon).

`torch.optim.Muon` takes one matrix after the other. A small model has dozens of few shapes; here those of one shape go through the
iteration together: the same numbers in far fewer calls. Axes: N matrices of one shape, A rows, B columns.
Left out: other ways to scale a step, Nesterov's look ahead as an option (it is always on).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lablib.pretraining.hardware import best_dtype

COEFFICIENTS = (
    3.4445,
    -4.7750,
    2.0315,
)  # Jordan et al. 2024: small singular values rise fast; all end near 1, none at it
STEPS = 5
EPS = 1e-7  # below it a gradient counts as zero


def newton_schulz_step(X: Tensor, coefficients: tuple[float, float, float] = COEFFICIENTS) -> Tensor:
    """Move the singular values of matrices towards 1 without computing them: a·X + (b·M + c·M·M)·X with M = X Xᵀ.

    The singular vectors stay as they are, and each singular value s becomes a·s + b·s³ + c·s⁵ (Jordan et al. 2024). For
    that to end near 1, none may be larger than 1 at the beginning.

    Args:
        X: N matrices (N, A, B), each treated by itself. coefficients: a, b, c.
    Returns: (N, A, B).

    >>> X = torch.tensor([[[0.5, 0.0], [0.0, 1.0]]])
    >>> newton_schulz_step(X, coefficients=(2.0, -1.5, 0.5))  # 2 · 0.5 − 1.5 · 0.5³ + 0.5 · 0.5⁵ is 0.8281
    tensor([[[0.8281, 0.0000],
             [0.0000, 1.0000]]])
    """
    a, b, c = coefficients
    M = X @ X.mT  # (N, A, B) @ (N, B, A) -> (N, A, A)
    polynomial = torch.baddbmm(M, M, M, beta=b, alpha=c)  # b·M + c·M·M in one call
    return torch.baddbmm(X, polynomial, X, beta=a)  # a·X + polynomial·X -> (N, A, B)


def orthogonalise(update: Tensor) -> Tensor:
    """Matrices with the singular vectors of those given, and singular values between about 0.7 and 1.2.

    Args: update (N, A, B). Returns: (N, A, B) in bfloat16, or in float32 where the hardware is not made for bfloat16; a matrix
    of zeros stays one.
    """
    wide, dtype = update.shape[1] <= update.shape[2], getattr(torch, best_dtype(update.device))
    X = update.to(dtype) if wide else update.to(dtype).mT  # M has the shorter side, which costs less
    X = X / torch.linalg.vector_norm(X, dim=(1, 2), keepdim=True).clamp(min=EPS)  # no singular value is larger than 1
    for _ in range(STEPS):
        X = newton_schulz_step(X)
    return X if wide else X.mT


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with the scale of Jordan et al., √max(1, A/B); matrices of one shape are orthogonalised together."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn="original")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for (A, B), weights in by_shape.items():
                update = torch.stack([self._averaged(weight, group["momentum"]) for weight in weights])  # (N, A, B)
                step = group["lr"] * max(1, A / B) ** 0.5
                for weight, direction in zip(weights, orthogonalise(update), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-step)
        return loss

    def _averaged(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """The running average of a weight's gradients, with the newest counted once more (Nesterov)."""
        gradient, state = weight.grad, self.state[weight]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)
