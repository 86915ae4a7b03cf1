"""Frozen weights in fewer bits: whole numbers of 8 bits, or 4 bits each with levels made for bell-shaped weights (NF4, QLoRA's idea).

A weight that does not learn need not be exact. *Absmax* (8 bits): divide a row by its largest entry, and round to 127ths. *NF4* (4 bits):
a block of 64 weights is divided by its largest entry, and each of them replaced by the nearest of 16 levels. Weights are roughly normally
distributed, so the levels lie as the quantiles of a normal distribution do: close together near zero. *Double quantisation*: the
divisors, one for every 64 weights, are rounded, too. A layer unpacks its weights when it is used, computes in full precision, and forgets
them.

    quantise(model, ALL_LINEAR, "nf4"); inject(model, Lora(r=8, targets=ALL_LINEAR))     # QLoRA: small frozen weights, LoRA beside them

Papers: Dettmers et al. 2022, "LLM.int8()" (absmax, §2); Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (§3,
appendix E: the 16 levels). Differs from the papers: equation 4 of QLoRA does not give the levels of appendix E; `nf4_levels` follows the
authors' code, which does. Outliers are not kept apart (LLM.int8() does), and the divisors are rounded to the standard format E4M3 of 8
bits.

Axes: `...` any leading axes; in, out: of a layer. Left out: kernels that compute with the small numbers; pages of optimiser states.
"""

from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lablib.adaptation.trainable import freeze, put_in_place, replace_modules

M = TypeVar("M", bound=nn.Module)
Kind = Literal["int8", "nf4"]
BLOCK, DIVISORS = 64, 256  # weights that share a divisor, divisors that are rounded together (QLoRA §3)
OFFSET = (31 / 32 + 29 / 30) / 2  # the outermost quantile; 0 and 1 would lie at infinity
LARGEST = torch.finfo(torch.float8_e4m3fn).max  # 448


def absmax_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in steps of a 127th of its largest entry: (out, in) -> int8 (out, in) and the sizes of the steps (out, 1).

    >>> absmax_int8(torch.tensor([[0.5, -1.27]]))
    (tensor([[  50, -127]], dtype=torch.int8), tensor([[0.0100]]))
    """
    step = (weight.abs().amax(dim=1, keepdim=True) / 127).clamp(min=torch.finfo(weight.dtype).tiny)  # (out, 1)
    return (weight / step).round().to(torch.int8), step


def nf4_levels() -> Tensor:
    """The 16 levels of NormalFloat with 4 bits, from −1 to 1, zero among them: (16,).

    Quantiles of the normal distribution, evenly spaced in probability between 1/2 and `OFFSET`: 8 above zero, 7 below (mirrored), and zero
    itself, all divided by the largest. So one half has a level more than the other.
    """
    above = torch.special.ndtri(torch.linspace(OFFSET, 0.5, 9, dtype=torch.float64)[:-1])  # (8,)
    below = -torch.special.ndtri(torch.linspace(OFFSET, 0.5, 8, dtype=torch.float64)[:-1])  # (7,)
    levels = torch.cat((below, torch.zeros(1, dtype=torch.float64), above)).sort().values
    return (levels / levels.max()).float()


def nearest_level(x: Tensor, levels: Tensor) -> Tensor:
    """The number of the nearest level for each entry: x (...), levels (n,) in ascending order -> uint8 (...).

    >>> nearest_level(torch.tensor([-0.9, 0.1, 0.6]), torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0, 1, 2], dtype=torch.uint8)
    """
    borders = (levels[1:] + levels[:-1]) / 2  # (n − 1,)
    return torch.bucketize(x, borders).to(torch.uint8)


def nf4(weight: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """A tensor in blocks of 64 (the last one filled up with zeros): levels' numbers, two to a byte, and each block's divisor.

    Args: weight (...), n numbers in all.
    Returns: uint8 (blocks · 32,); divisors (blocks,), the largest size in each block.
    """
    flat = F.pad(weight.detach().flatten().float(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)  # (blocks, 64)
    divisor = flat.abs().amax(dim=1)  # (blocks,)
    numbers = nearest_level(flat / divisor.clamp(min=torch.finfo(torch.float32).tiny)[:, None], levels).flatten()
    return numbers[::2] * 16 + numbers[1::2], divisor  # the first of each pair in the upper half of the byte


def from_nf4(packed: Tensor, divisor: Tensor, levels: Tensor, shape: torch.Size) -> Tensor:
    """The tensor that `nf4` packed, as it is after rounding: float32 of the shape given."""
    numbers = torch.stack((packed // 16, packed % 16), dim=1).flatten()  # (blocks · 64,)
    blocks = levels[numbers.long()].view(-1, BLOCK) * divisor[:, None]
    return blocks.flatten()[: shape.numel()].view(shape)


def round_divisors(divisor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Double quantisation: the mean is taken off, and 256 of them share one step: 8 bits each, and 32 for every 256.

    Returns: float8 (n,), steps (⌈n/256⌉,), and the mean (1,).
    """
    mean = divisor.mean().reshape(1)
    groups = F.pad(divisor - mean, (0, -len(divisor) % DIVISORS)).view(-1, DIVISORS)
    step = (groups.abs().amax(dim=1) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)  # (groups,)
    return (groups / step[:, None]).flatten()[: len(divisor)].to(torch.float8_e4m3fn), step, mean


def from_rounded(rounded: Tensor, step: Tensor, mean: Tensor) -> Tensor:
    """The divisors that `round_divisors` rounded: (n,)."""
    return rounded.float() * step.repeat_interleave(DIVISORS)[: len(rounded)] + mean


class _Unpacked(torch.autograd.Function):
    """x Wᵀ with a W that is unpacked for the product only, forwards and backwards, and never kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: "QuantisedLinear") -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.weight().to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] @ ctx.layer.weight().to(gradients[0].dtype), None  # (..., out) @ (out, in)


class QuantisedLinear(nn.Module):
    """A frozen linear layer whose weights take 8 bits, or 4 and a little.

    Args: linear: whose weights are rounded. kind: "int8" or "nf4". double: round the divisors of nf4, too.
    """

    def __init__(self, linear: nn.Linear, kind: Kind = "nf4", double: bool = True) -> None:
        super().__init__()
        if kind not in ("int8", "nf4"):
            raise ValueError(f"kind = {kind!r}: expected 'int8' or 'nf4'")
        self.in_features, self.out_features, self.kind, self.twice = (
            linear.in_features,
            linear.out_features,
            kind,
            double,
        )
        weight, made = linear.weight.detach(), {}
        if kind == "int8":
            made["numbers"], made["step"] = absmax_int8(weight)
        else:
            made["numbers"], made["divisor"] = nf4(weight, nf4_levels().to(weight.device))
            if double:
                made["divisor"], made["step"], made["mean"] = round_divisors(made["divisor"])
        if linear.bias is not None:
            made["bias"] = linear.bias.detach().clone()
        for name, tensor in made.items():
            self.register_buffer(name, tensor)

    def weight(self) -> Tensor:
        """The weights after rounding: float32 (out, in), made anew each time."""
        kept = dict(self.named_buffers())
        if self.kind == "int8":
            return kept["numbers"].float() * kept["step"]
        divisor = from_rounded(kept["divisor"], kept["step"], kept["mean"]) if self.twice else kept["divisor"]
        shape = torch.Size((self.out_features, self.in_features))
        return from_nf4(kept["numbers"], divisor, nf4_levels().to(divisor.device), shape)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        found, bias = _Unpacked.apply(x, self), dict(self.named_buffers()).get("bias")
        return found if bias is None else found + bias.to(found.dtype)

    @property
    def nbytes(self) -> int:
        """Memory of all that it keeps, in bytes."""
        return sum(tensor.nbytes for tensor in self.buffers())


def quantise(model: M, targets: tuple[str, ...], kind: Kind = "nf4", double: bool = True) -> M:
    """Freeze a model and round the weights of the linear layers of these names; the same model comes back."""
    freeze(model)
    for name, part in replace_modules(model, targets):
        assert isinstance(part, nn.Linear)
        put_in_place(model, name, QuantisedLinear(part, kind, double))
    return model


@torch.no_grad()
def restore(model: M) -> M:
    """Give quantised layers full weights again, those after rounding, also below an adapter; the same model comes back."""
    for name, part in list(model.named_modules()):
        if isinstance(part, QuantisedLinear):
            weight, bias = part.weight(), dict(part.named_buffers()).get("bias")
            linear = nn.Linear(part.in_features, part.out_features, bias is not None, device=weight.device)
            linear.weight.copy_(weight)
            if bias is not None:
                linear.bias.copy_(bias)
            put_in_place(model, name, freeze(linear))
    return model
