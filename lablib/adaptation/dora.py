"""DoRA: LoRA that learns how long each row of W is apart from where it points.

    W' = m · (W + s · B A) / ‖W + s · B A‖        one length for each output, the norm over the inputs; s as in LoRA

Training all weights changes length and direction of a row rather independently; LoRA, so the authors observe, changes them together. Here
m (out) learns the lengths, and B A is left with the directions. m starts as the lengths of W and B at zero, so the model begins as it
was.

Paper: Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (equation 5; §4.3: no gradient through the norm, which saves
memory and hardly changes the result). The paper's "column-wise" norm is of W as it writes it, transposed.
Differs from `peft`: dropout acts on the input of A only, in training as everywhere here.
Axes: as in `lora`. Left out: nothing of LoRA's: settings, merging and files are the same.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.adaptation.lora import Lora, LoRALinear, lora_output, lora_update, weight_of


def row_lengths(weight: Tensor) -> Tensor:
    """The Euclidean length of each row: (out, in) -> (out,).

    >>> row_lengths(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    tensor([5., 2.])
    """
    return torch.linalg.vector_norm(weight, dim=1)


def dora_weight(W: Tensor, update: Tensor, m: Tensor) -> Tensor:
    """W' = m · (W + ΔW) / ‖W + ΔW‖, row by row (Liu et al. 2024, equation 5).

    Args: W, update (out, in); m (out,), the lengths that the rows shall have.

    >>> dora_weight(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]]), torch.tensor([10.0]))
    tensor([[6., 8.]])
    """
    directed = W + update
    return (m / row_lengths(directed))[:, None] * directed


class DoRALinear(LoRALinear):
    """A linear layer, frozen, with an update of low rank for the directions of its rows and one number for the length of each."""

    m: nn.Parameter

    def __init__(self, base: nn.Module, settings: Lora, generator: torch.Generator | None = None) -> None:
        super().__init__(base, settings, generator)
        self.m = nn.Parameter(row_lengths(weight_of(self)).detach().clone())
        self.factor: Tensor | None = None  # what each row was multiplied with when it was merged

    def lengths_factor(self) -> Tensor:
        """m / ‖W + s B A‖ (out,); the norm counts as a constant for the gradient (§4.3)."""
        return self.m / row_lengths(weight_of(self) + lora_update(self.A, self.B, self.scale)).detach()

    def forward(self, x: Tensor) -> Tensor:
        """m / ‖W + s B A‖ · (W x + s · B A dropout(x)), and the bias, if there is one, as it was.

        x: (..., in).
        Returns: (..., out).
        """
        if self.merged:
            return self.base(x)
        weight, bias = weight_of(self), self.base.bias
        seen = F.dropout(x, self.dropout, self.training)
        found = lora_output(seen, F.linear(x, weight), self.A, self.B, self.scale)  # (..., in) -> (..., out)
        found = self.lengths_factor().to(found.dtype) * found
        return found if bias is None else found + bias  # type: ignore[operator]

    def update(self) -> Tensor:
        """ΔW = W' − W (out, in): what merging adds. Unlike LoRA's it may have any rank."""
        weight = weight_of(self)
        return dora_weight(weight, lora_update(self.A, self.B, self.scale), self.m) - weight

    @torch.no_grad()
    def merge(self) -> None:
        """Put W' in the place of W. A second call does nothing."""
        if not self.merged:
            self.factor = self.lengths_factor()
            weight = weight_of(self)
            weight.copy_(self.factor[:, None] * (weight + lora_update(self.A, self.B, self.scale)))
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put W back, up to rounding: divide by the factor of each row, and take B A out.

        Raises:
            ValueError: a row was merged with a length of zero, so that nothing of it is left.
        """
        if not self.merged:
            return
        assert self.factor is not None, "merge keeps the factor"
        if bool((self.factor == 0).any()):
            raise ValueError("m is 0 for a row: expected lengths that are not zero; load the base model again")
        weight = weight_of(self)
        weight.copy_(weight / self.factor[:, None] - lora_update(self.A, self.B, self.scale))
        self.merged, self.factor = False, None
