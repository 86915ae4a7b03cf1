"""Several adapters for one base model: each is a few small matrices that are put on, taken off, mixed and merged at run time.

    logbook, letters = taken(model), load_adapter("letters")
    put(model, letters)                          # the base's weights are not touched: switching costs nothing
    put(model, weighted([logbook, letters], [0.5, 0.5]))
    take_off(model)                              # the base model again, bit for bit

A sum of updates of ranks r₁ and r₂ is an update of rank r₁ + r₂, with the factors side by side: w₁ B₁A₁ + w₂ B₂A₂ = [w₁B₁ w₂B₂] · [A₁;
A₂]. Averaging the factors themselves would be smaller and something else: (B₁ + B₂)(A₁ + A₂) has cross terms B₁A₂ in it, which no
training ever saw.

Papers: Hu et al. 2021, "LoRA" (§4.2: switching tasks by swapping the updates); Ilharco et al. 2023, "Editing Models with Task Arithmetic"
(adding and subtracting what was learned). Left out: a batch whose rows use different adapters; weighted sums of DoRA, whose
update is no product of two factors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor, nn

from lablib.adaptation.dora import DoRALinear
from lablib.adaptation.lora import Lora, LoRALinear, inject, lora_layers, remove, side_by_side

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Adapter:
    """What training with LoRA or DoRA made, without the model.

    Attributes:
        settings: rank, scale and names of the layers.
        weights: full name of a layer → "A" (r, in), "B" (out, r), and with DoRA "m" (out,).
    """

    settings: Lora
    weights: Mapping[str, Mapping[str, Tensor]] = field(repr=False)

    @property
    def dora(self) -> bool:
        """Whether it has lengths, too."""
        return any("m" in weights for weights in self.weights.values())

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.numel() for weights in self.weights.values() for tensor in weights.values())


def taken(model: nn.Module, settings: Lora) -> Adapter:
    """A copy of the adapter that a model wears. settings: those that it was injected with.

    Raises:
        ValueError: it wears none, or one of another rank or scale.
    """
    found = {}
    for name, layer in lora_layers(model):
        if len(layer.A) != settings.r or layer.scale != settings.scale:
            raise ValueError(
                f"{name} has rank {len(layer.A)} and scale {layer.scale:g}: expected r = {settings.r} and scale "
                f"{settings.scale:g} by the settings; give those that it was injected with"
            )
        found[name] = {part: weight.detach().clone() for part, weight in layer.named_parameters(recurse=False)}
    if not found:
        raise ValueError("the model wears no adapter: expected one; `inject` or `put` gives it one")
    return Adapter(settings, found)


def put(model: M, adapter: Adapter) -> M:
    """Have a model wear an adapter instead of what it wears now; the same model comes back. The base's weights are not touched.

    Raises:
        ValueError: what it wears is merged, or the adapter is of a model of another shape.
    """
    take_off(model)
    inject(model, adapter.settings, layer=DoRALinear if adapter.dora else LoRALinear)
    layers = dict(lora_layers(model))
    if set(layers) != set(adapter.weights):
        odd = sorted(set(layers) ^ set(adapter.weights))
        remove(model)
        raise ValueError(
            f"the adapter has {len(adapter.weights)} layers and the model {len(layers)} of these names, they differ in {odd[:2]}: "
            "expected an adapter of a model of the same shape"
        )
    for name, weights in adapter.weights.items():
        own = dict(layers[name].named_parameters(recurse=False))
        for part, weight in weights.items():
            if own[part].shape != weight.shape:
                remove(model)
                raise ValueError(
                    f"{name}: {part} has shape {tuple(weight.shape)}: expected {tuple(own[part].shape)}; "
                    "is the adapter of a model of another width?"
                )
            own[part].data.copy_(weight)
    return model


def take_off(model: M) -> M:
    """The base model again, bit for bit; nothing is done where it wears no adapter.

    Raises:
        ValueError: the adapter is merged.
    """
    for name, layer in lora_layers(model):
        if layer.merged:
            raise ValueError(
                f"{name} has its update merged: expected it beside W; `unmerge` first, or take a fresh base"
            )
    return remove(model)


def weighted(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    """The adapter whose update is Σ weight · ΔW, exactly; its rank is the sum of the ranks, its scale 1.

    Raises:
        ValueError: no adapter, another number of weights, other layers, or DoRA among them.
    """
    if not adapters or len(adapters) != len(weights):
        raise ValueError(f"{len(adapters)} adapters and {len(weights)} weights: expected as many, one at least")
    if any(adapter.dora for adapter in adapters):
        raise ValueError("one of the adapters is DoRA's, whose update is no product B A: expected LoRA's only")
    names = set(adapters[0].weights)
    if any(set(adapter.weights) != names for adapter in adapters):
        raise ValueError("the adapters are for different layers: expected the same targets in all of them")
    scaled = [weight * adapter.settings.scale for adapter, weight in zip(adapters, weights, strict=True)]
    mixed = {}
    for name in adapters[0].weights:
        A, B = side_by_side([(a.weights[name]["A"], a.weights[name]["B"]) for a in adapters], scaled)
        mixed[name] = {"A": A, "B": B}
    r = sum(adapter.settings.r for adapter in adapters)
    return Adapter(Lora(r=r, alpha=float(r), targets=adapters[0].settings.targets), mixed)
