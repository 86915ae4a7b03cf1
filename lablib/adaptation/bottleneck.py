"""Bottleneck adapters: small networks between the parts of a frozen model, the first method of this family.

    h + up(relu(down(h)))          down (r, D) squeezes a sublayer's output into r numbers, up (D, r) spreads what is learned out again

One stands behind the attention and one behind the feed-forward network of each layer, before the sum with the residual stream. Since up
starts at zero the model begins as it was. Unlike LoRA they are not linear, so they cannot be merged: they cost time for ever.

Paper: Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP" (§2.1, figure 2). Differs from the paper: up starts at zero
exactly (there: nearly), and the norms are trained along only if `norms` says so (there: always); ReLU (there a
nonlinearity that is not named).

Axes: D model width, r numbers in the bottleneck; `...` any leading axes. Left out: adapters in parallel to a sublayer (He et al. 2022).
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.adaptation.trainable import freeze, put_in_place, replace_modules

M = TypeVar("M", bound=nn.Module)
BEHIND = ("out_proj", "down")  # the last linear layer of each sublayer of the course's decoder


def bottleneck(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    """An adapter behind a sublayer (Houlsby et al. 2019, §2.1): h + up · relu(down · h + down_bias) + up_bias.

    Args: h (..., D); down (r, D); up (D, r); down_bias (r,); up_bias (D,).
    Returns: (..., D).

    >>> one = torch.ones(1, 1)
    >>> bottleneck(torch.tensor([2.0]), one, 10 * one, one[0], one[0] / 2)  # 2 + 10 · relu(2 + 1) + 0.5
    tensor([32.5000])
    """
    squeezed = torch.relu(F.linear(h, down, down_bias))  # (..., D) -> (..., r)
    return h + F.linear(squeezed, up, up_bias)  # (..., r) -> (..., D)


class Bottleneck(nn.Module):
    """`bottleneck` with its weights: 2·D·r + r + D numbers. It starts as the identity."""

    def __init__(self, D: int, r: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if isinstance(r, bool) or not isinstance(r, int) or r < 1:
            raise ValueError(f"r = {r!r}: expected a whole number of features in the bottleneck >= 1, such as 16")
        bound = D**-0.5
        self.down = nn.Parameter(torch.empty(r, D).uniform_(-bound, bound, generator=generator))
        self.up, self.down_bias = nn.Parameter(torch.zeros(D, r)), nn.Parameter(torch.zeros(r))
        self.up_bias = nn.Parameter(torch.zeros(D))

    def forward(self, h: Tensor) -> Tensor:
        """h (..., D) -> (..., D)."""
        return bottleneck(h, self.down, self.up, self.down_bias, self.up_bias)


class Adapted(nn.Module):
    """A frozen linear layer and the adapter behind it."""

    def __init__(self, base: nn.Linear, r: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.base, self.adapter = base, Bottleneck(base.out_features, r, generator)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., D)."""
        return self.adapter(self.base(x))


def add_adapters(
    model: M,
    r: int = 16,
    behind: Sequence[str] = BEHIND,
    norms: bool = False,
    generator: torch.Generator | None = None,
) -> M:
    """Freeze a model and put an adapter behind each linear layer of these names; the same model comes back.

    Args: norms: let the weights of the norms learn, too, as the paper does.
    """
    freeze(model)
    for name, part in replace_modules(model, behind):
        assert isinstance(part, nn.Linear)
        put_in_place(model, name, Adapted(part, r, generator).to(part.weight.device))
    if norms:
        for name, weight in model.named_parameters():
            if weight.dim() == 1 and "norm" in name:
                weight.requires_grad_(True)
    return model


def remove_adapters(model: M) -> M:
    """The base model again, bit for bit if its norms were not trained; the same model comes back."""
    for name, part in list(model.named_modules()):
        if isinstance(part, Adapted):
            put_in_place(model, name, part.base)
    return model
