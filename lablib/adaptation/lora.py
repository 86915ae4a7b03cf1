"""LoRA: leave a weight W as it is, and learn beside it an update of low rank.

    y = W x + (α/r) · B A x        A (r, in) squeezes x into r numbers, B (out, r) spreads them out again

Only A and B learn: r·(in + out) numbers instead of in·out. B starts at zero, so an adapted model begins as the base model. When
training is over, W + (α/r) · B A is one matrix again: merged, the model is as fast as it was.

    inject(model, Lora(r=8, alpha=16))           # model's linear layers of these names become LoRALinear; the rest is frozen
    for step in train(model, batches, recipe): ...
    merge(model)                                 # or keep it apart: `adapters` takes it off and puts it on

Papers: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (equation 3); Kalajdzievski 2023, "A Rank Stabilization
Scaling Factor for Fine-Tuning with LoRA" (α/√r). Differs from the first: A starts evenly distributed (Kaiming), as in the authors' own
code and in `peft`; the paper says Gaussian. A common account writes ΔW = A·B; in the paper, and here, it is B·A.

Axes: R rank, written r as in the paper; `...` stands for any leading axes.
Left out: embeddings and convolutions (a linear layer is what the paper adapts); files (`adapter_format`).
"""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.adaptation.trainable import freeze, put_in_place, replace_modules

M = TypeVar("M", bound=nn.Module)
ATTENTION = ("q_proj", "v_proj")  # what the paper adapts
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "out_proj", "gate", "up", "down")  # of the course's decoder


@dataclass(frozen=True)
class Lora:
    """Settings of an update of low rank.

    Args:
        r: rank, numbers that an input is squeezed into. alpha: α, how strongly the update counts, in units of W.
        dropout: share of the inputs of A that are set to zero in training, from 0 to below 1.
        targets: names of the linear layers that get an update.
        rank_stabilised: scale by α/√r instead of α/r.

    >>> Lora(r=8, alpha=16).scale, Lora(r=16, alpha=16, rank_stabilised=True).scale
    (2.0, 4.0)
    """

    r: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ATTENTION
    rank_stabilised: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.r, bool) or not isinstance(self.r, int) or self.r < 1:
            raise ValueError(f"r = {self.r!r}: expected a whole number >= 1, such as 8")
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha = {self.alpha!r}: expected a number > 0, such as 2 r = {2 * self.r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout!r}: expected a share, at least 0 and below 1")
        if isinstance(self.targets, str) or not self.targets:
            raise ValueError(f"targets = {self.targets!r}: expected a list of names, such as {ATTENTION}")

    @property
    def scale(self) -> float:
        """What B A x is multiplied with: α/r, or α/√r with `rank_stabilised` (Kalajdzievski 2023, theorem 3.2)."""
        return self.alpha / (math.sqrt(self.r) if self.rank_stabilised else self.r)


def lora_update(A: Tensor, B: Tensor, scale: float) -> Tensor:
    """ΔW = scale · B A: A (r, in), B (out, r) -> (out, in).

    >>> lora_update(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [0.0]]), scale=2.0)
    tensor([[ 6., 12.],
            [ 0.,  0.]])
    """
    return scale * (B @ A)  # (out, r) @ (r, in)


def lora_output(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """What an adapted layer computes, W x + scale · B A x (Hu et al. 2021, equation 3), without making the matrix B A.

    Args: x (..., in), what the layer is given; found (..., out), which is W x; A (r, in); B (out, r).
    Returns: (..., out).

    >>> x, found = torch.tensor([1.0, 2.0]), torch.tensor([10.0])
    >>> lora_output(x, found, torch.tensor([[1.0, 1.0]]), torch.tensor([[5.0]]), scale=2.0)  # 10 + 2 · 5 · (1 + 2)
    tensor([40.])
    """
    squeezed = F.linear(x, A)  # (..., in) -> (..., r)
    return found + scale * F.linear(squeezed, B)  # (..., r) -> (..., out)


def start_lora(r: int, inputs: int, outputs: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """First values of A (r, inputs), drawn evenly from ±1/√inputs, and B (outputs, r), zero: together no update at all.

    The bound is that of `kaiming_uniform_` with a = √5, which PyTorch's own linear layers start with.
    """
    bound = inputs**-0.5
    return torch.empty(r, inputs).uniform_(-bound, bound, generator=generator), torch.zeros(outputs, r)


class LoRALinear(nn.Module):
    """A linear layer, frozen, and beside it an update of low rank.

    Args:
        base: what computes W x: an `nn.Linear` (in, out), or one whose weights are quantised (`quantised`).
        settings: rank, scale and dropout. generator: of A's first values.
    """

    A: nn.Parameter
    B: nn.Parameter

    def __init__(self, base: nn.Module, settings: Lora, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.base, self.scale, self.dropout = freeze(base), settings.scale, settings.dropout
        inputs, outputs = width(base, "in_features"), width(base, "out_features")
        A, B = start_lora(settings.r, inputs, outputs, generator)
        like = next((tensor for tensor in (*base.parameters(), *base.buffers())), A)
        self.A, self.B = nn.Parameter(A.to(like.device)), nn.Parameter(B.to(like.device))
        self.merged = False
        self.train(base.training)  # a model in evaluation mode gets no dropout

    def forward(self, x: Tensor) -> Tensor:
        """W x + scale · B A dropout(x), Hu et al. 2021, equation 3; merged, W x alone, since W holds the update.

        x: (..., in).
        Returns: (..., out).
        """
        if self.merged:
            return self.base(x)  # (..., in) -> (..., out)
        return lora_output(F.dropout(x, self.dropout, self.training), self.base(x), self.A, self.B, self.scale)

    def update(self) -> Tensor:
        """ΔW (out, in)."""
        return lora_update(self.A, self.B, self.scale)

    def merge(self) -> None:
        """Add the update to W. A second call does nothing.

        Raises:
            ValueError: W is quantised.
        """
        set_merged(self, True)

    def unmerge(self) -> None:
        """Take the update out of W again, up to rounding; where it is not in W, nothing is done."""
        set_merged(self, False)


@torch.no_grad()
def set_merged(layer: LoRALinear, merged: bool) -> LoRALinear:
    """Add a layer's update to its W, or take it out again, in place; the same layer comes back.

    Where it is so already, nothing is done: merging twice is the same as once.

    Args:
        layer: `weight_of(layer)` is W (out, in), `layer.update()` is ΔW, `layer.merged` says whether W holds ΔW.
        merged: whether W shall hold it.
    """
    if layer.merged != merged:
        weight_of(layer).add_(layer.update(), alpha=1 if merged else -1)
        layer.merged = merged
    return layer


def width(base: nn.Module, name: str) -> int:
    """`in_features` or `out_features` of a layer that computes W x."""
    value = getattr(base, name, None)
    if not isinstance(value, int):
        raise ValueError(f"base is a {type(base).__name__} without {name}: expected a linear layer, quantised or not")
    return value


def weight_of(layer: LoRALinear) -> Tensor:
    """W (out, in) of the layer below, to be changed in place."""
    if not isinstance(layer.base, nn.Linear):
        raise ValueError(
            f"base is a {type(layer.base).__name__}, whose weights are rounded: expected an nn.Linear to merge into; "
            "give the model its full weights back first (`quantised.restore`), or keep the update beside it"
        )
    return layer.base.weight


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """The adapted layers of a model, by full name."""
    yield from ((name, part) for name, part in model.named_modules() if isinstance(part, LoRALinear))


def inject(
    model: M, settings: Lora, generator: torch.Generator | None = None, layer: type[LoRALinear] = LoRALinear
) -> M:
    """Freeze a model and put a `layer` round each linear layer that settings.targets names; the same model comes back.

    Linear is an `nn.Linear`, and also a layer whose weights are rounded (`quantised`). A target is the whole last part
    of a name: "q_proj" means "layers.0.attention.q_proj", and not "layers.0.kq_proj".

    Args: generator: of the first values, layer by layer in the model's order. layer: what goes into the place of each.

    Raises:
        ValueError: a target that no layer is called, or layers that are adapted already.
    """
    there = next(lora_layers(model), None)
    if there is not None:
        raise ValueError(f"{there[0]} is adapted already: expected a plain model; `remove` takes an update off")
    freeze(model)
    for name, part in replace_modules(model, settings.targets, nn.Module):
        put_in_place(model, name, layer(part, settings, generator))
    return model


def merge(model: M) -> M:
    """Add every update to its W; twice is the same as once. The same model comes back."""
    for _, layer in lora_layers(model):
        layer.merge()
    return model


def unmerge(model: M) -> M:
    """Take every update out of its W again, up to rounding (about 1e-7 of W). The same model comes back."""
    for _, layer in lora_layers(model):
        layer.unmerge()
    return model


def remove(model: M) -> M:
    """Put the layers below back in their places, with whatever was merged into them; the same model comes back.

    After `merge` that is a plain model with the update inside; otherwise it is the base model, bit for bit.
    """
    for name, layer in list(lora_layers(model)):
        put_in_place(model, name, layer.base)
    return model


def merged_copy(model: M) -> M:
    """A plain copy with the updates inside, to save or to export; the model itself stays as it is."""
    return remove(merge(copy.deepcopy(model)))


def side_by_side(factors: Iterable[tuple[Tensor, Tensor]], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The factors of a sum of updates: A (Σ r, in) and B (out, Σ r) with B A = Σ weight · Bᵢ Aᵢ, exactly.

    Args: factors: Aᵢ (rᵢ, in) and Bᵢ (out, rᵢ) of each update. weights: one for each, in the same order.

    >>> A, B = side_by_side([(torch.ones(1, 2), torch.ones(1, 1)), (torch.ones(2, 2), torch.ones(1, 2))], [0.5, 2.0])
    >>> B @ A  # 0.5 · 1 + 2 · (1 + 1) in each place
    tensor([[4.5000, 4.5000]])
    """
    As, Bs = zip(*factors, strict=True)
    B = torch.cat([weight * B for weight, B in zip(weights, Bs, strict=True)], dim=1)  # (out, rᵢ) -> (out, Σ r)
    return torch.cat(As), B  # (rᵢ, in) -> (Σ r, in)
