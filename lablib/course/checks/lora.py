"""Lab 10: the exercises on LoRA and its relatives, from `lablib.adaptation`."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lablib.adaptation.bitfit import train_biases
from lablib.adaptation.bottleneck import bottleneck
from lablib.adaptation.lora import Lora, LoRALinear, inject, lora_layers, lora_output, side_by_side
from lablib.adaptation.prompt_tuning import read_behind
from lablib.adaptation.quantised import QuantisedLinear, quantise
from lablib.adaptation.trainable import freeze, put_in_place
from lablib.adaptation.virtual_tokens import in_front
from lablib.course.compare import describe
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed

PACKAGE = "lablib.adaptation"
Layers = Callable[[Tensor], Tensor]
Factors = Iterable[tuple[Tensor, Tensor]]

# ---------------------------------------------------------------- what several checks share


def _described(model: nn.Module) -> list[str]:
    """Every weight of a model with its shape and whether it learns, and every layer that is no plain one."""
    parts = [
        f"{name} is a {type(part).__name__}" for name, part in model.named_modules() if isinstance(part, LoRALinear)
    ]
    return parts + [
        f"{name} {tuple(weight.shape)} {'learns' if weight.requires_grad else 'is frozen'}"
        for name, weight in model.named_parameters()
    ]


def _compare_descriptions(attempt: Attempt, case: str, call: Callable[[Implementation], Any]) -> None:
    """`Attempt.compare` for what came of a model, as a list of sentences; a difference is told by the first that differs."""
    seen: dict[str, Any] = {}

    def setup(implementation: Implementation) -> Callable[[], Any]:
        def run() -> Any:
            result = call(implementation)
            if implementation is attempt.exercise.reference:
                seen["right"] = result
            if implementation is attempt.candidate:
                seen["mine"] = result
            return result

        return run

    try:
        attempt.compare(case, setup=setup)
    except NotPassed as failure:
        mine, right = seen.get("mine"), seen.get("right")
        if not isinstance(mine, list) or not isinstance(right, list):
            raise
        lacking, odd = ([line for line in a if line not in b] for a, b in ((right, mine), (mine, right)))
        lines = [f"Missing, though expected: {lacking[0]}."] if lacking else []
        lines += [f"Not expected: {odd[0]}."] if odd else []
        raise NotPassed([failure.lines[0], *lines], failure.cause) from None


# ---------------------------------------------------------------- 1 how A and B start


def _sorted_numbers(result: Any) -> Any:
    """A's numbers in order, in A's own shape, and B: it does not matter which of the numbers came first."""
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
        return result
    A, B = result
    if A.layout != torch.strided:
        return result
    return A.flatten().sort().values.view(A.shape), B


def check_start_lora(attempt: Attempt) -> None:
    def seeded(implementation: Implementation) -> Callable[..., Any]:
        return lambda r, inputs, outputs: implementation(r, inputs, outputs, torch.Generator().manual_seed(5))

    def twice_the_same(implementation: Implementation) -> bool:
        first, second = (seeded(implementation)(2, 5, 3) for _ in range(2))
        pairs = zip(first, second, strict=True) if isinstance(first, tuple) and isinstance(second, tuple) else []
        numbers = [(one, two) for one, two in pairs if isinstance(one, Tensor) and one.layout == torch.strided]
        return all(torch.equal(one.nan_to_num(), two.nan_to_num()) for one, two in numbers)

    attempt.require(
        twice_the_same,
        ["Tried with two generators of the same seed: expected the same numbers twice."],
        GENERATOR_IGNORED,
    )

    def own_memory(implementation: Implementation) -> bool:
        result = seeded(implementation)(2, 5, 3)
        parts = result if isinstance(result, tuple) else ()  # what is no plain tensor is told of below
        plain = [x for x in parts if isinstance(x, Tensor) and x.layout == torch.strided]
        return all(x.untyped_storage().nbytes() >= x.nbytes for x in plain)

    attempt.require(
        own_memory,
        ["Tried with r = 2, inputs = 5, outputs = 3: expected memory for each number of A and of B."],
        SHARED_MEMORY,
    )

    def ordered(implementation: Implementation) -> Callable[..., Any]:
        return lambda *sizes: _sorted_numbers(seeded(implementation)(*sizes))

    outputs = ("A (its numbers in order)", "B")
    for r, inputs, outputs_wide in ((3, 16, 5), (8, 100, 4), (1, 1, 1), (2, 7, 50)):
        words = f"r = {r}, inputs = {inputs}, outputs = {outputs_wide}, and a seeded generator"
        attempt.compare(words, r, inputs, outputs_wide, setup=ordered, outputs=outputs, axes=["r", "in"])

    def in_no_order(implementation: Implementation) -> bool:
        A = seeded(implementation)(8, 100, 4)[0]
        return all(0.3 < (A.diff(dim=axis) > 0).double().mean() < 0.7 for axis in (0, 1))

    attempt.require(
        in_no_order, ["Tried with r = 8, inputs = 100: the numbers of A rise or fall along an axis."], IN_ORDER
    )


SHARED_MEMORY = (
    "All entries share one number in memory, as `expand` makes it: the optimiser could not change them one by one. "
    "Make them with `torch.zeros(outputs, r)`."
)
IN_ORDER = (
    "A's numbers stand in order of size, so its rows point almost the same way and rank r is hardly more than rank 1: "
    "leave them as they were drawn."
)
GENERATOR_IGNORED = "The numbers do not come from the generator that was given: pass it on, `generator=generator`."


def _start(
    A: Callable[[int, int, int, torch.Generator | None], Tensor],
    B: Callable[[int, int, torch.Generator | None], Tensor] = lambda r, outputs, generator: torch.zeros(outputs, r),
) -> Implementation:
    """The start with one part replaced."""

    def made(r: int, inputs: int, outputs: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return A(r, inputs, outputs, generator), B(r, outputs, generator)

    return made


def _even(*shape: int, bound: float, generator: torch.Generator | None) -> Tensor:
    return torch.empty(*shape).uniform_(-bound, bound, generator=generator)


def _right_A(r: int, inputs: int, outputs: int, generator: torch.Generator | None) -> Tensor:
    return _even(r, inputs, bound=inputs**-0.5, generator=generator)


_start_both_zero = _start(lambda r, i, o, g: torch.zeros(r, i))
_start_turned = _start(lambda r, i, o, g: torch.zeros(r, i), lambda r, o, g: _even(o, r, bound=r**-0.5, generator=g))
_start_both_random = _start(_right_A, lambda r, o, g: _even(o, r, bound=r**-0.5, generator=g))
_start_small = _start(_right_A, lambda r, o, g: 1e-3 * torch.randn(o, r, generator=g))
_start_ones = _start(_right_A, lambda r, o, g: torch.ones(o, r))
_start_gaussian = _start(lambda r, i, o, g: torch.randn(r, i, generator=g) * i**-0.5)
_start_gaussian_small = _start(lambda r, i, o, g: torch.randn(r, i, generator=g) * 0.02)
_start_positive = _start(lambda r, i, o, g: torch.empty(r, i).uniform_(0, i**-0.5, generator=g))
_start_no_root = _start(lambda r, i, o, g: _even(r, i, bound=1 / i, generator=g))
_start_by_rank = _start(lambda r, i, o, g: _even(r, i, bound=r**-0.5, generator=g))
_start_by_outputs = _start(lambda r, i, o, g: _even(r, i, bound=o**-0.5, generator=g))
_start_wide = _start(lambda r, i, o, g: _even(r, i, bound=(6 / i) ** 0.5, generator=g))
_start_unit = _start(lambda r, i, o, g: _even(r, i, bound=1.0, generator=g))
_start_no_generator = _start(lambda r, i, o, g: _even(r, i, bound=i**-0.5, generator=None))
_start_transposed = _start(
    lambda r, i, o, g: _even(i, r, bound=i**-0.5, generator=g), lambda r, o, g: torch.zeros(r, o)
)


# ---------------------------------------------------------------- 2 what the layer computes


class _Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is computed in this context."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple | list) else [result]:
            if isinstance(x, Tensor):
                self.numbers = max(self.numbers, x.untyped_storage().nbytes() // x.element_size())
        return result


MATRIX_MADE = (
    "The whole matrix B A was made, out · in numbers: squeeze x with A first, and B has only r numbers to work on, "
    "`F.linear(F.linear(x, A), B)`."
)


def check_lora_output(attempt: Attempt) -> None:
    def case(words: str, x: Tensor, r: int, outputs: int, scale: float, **settings: Any) -> None:
        inputs = x.shape[-1]
        found = attempt.normal(*x.shape[:-1], outputs)
        A, B = attempt.normal(r, inputs, scale=0.5), attempt.normal(outputs, r, scale=0.5)
        attempt.compare(words, x, found, A, B, scale, gradients=True, **settings)

    axes = ["B", "T", "out"]
    x = attempt.normal(2, 3, 4)
    case("x (2, 3, 4), A (4, 4), B (4, 4), scale 3", x, 4, 4, 3.0, axes=axes)
    case("x (2, 3, 4), A (2, 4), B (6, 2), scale 0.5", x, 2, 6, 0.5, axes=axes)
    case("one vector x (4,), A (1, 4), B (3, 1), scale 2", x[0, 0], 1, 3, 2.0, axes=["out"])
    case("r = 5, more than x has numbers, scale 1", x, 5, 3, 1.0, axes=axes)
    found, A, B = attempt.normal(2, 3, 6), attempt.normal(2, 4), attempt.normal(6, 2)
    zero = torch.zeros_like(B)
    attempt.compare("B all zero, as at the start: W x itself", x, found, A, zero, 2.0, axes=axes, gradients=True)
    attempt.keeps_type_and_device(x, found, A, B, 2.0)

    def thin(implementation: Implementation) -> bool:
        with torch.no_grad(), _Largest() as largest:
            implementation(torch.ones(3, 300), torch.ones(3, 200), torch.ones(2, 300), torch.ones(200, 2), 1.0)
        return largest.numbers < 60_000

    attempt.require(
        thin,
        ["Tried with A (2, 300), B (200, 2): a tensor of 60,000 numbers was computed on the way; 600 are enough."],
        MATRIX_MADE,
    )


def _output_no_scale(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return lora_output(x, found, A, B, 1.0)


def _output_scaled_all(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return scale * lora_output(x, found, A, B, 1.0)


def _output_scale_squared(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return lora_output(x, found, A, B, scale * scale)


def _output_divided(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return lora_output(x, found, A, B, scale / len(A))


def _output_inverse_scale(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return lora_output(x, found, A, B, 1 / scale)


def _output_update_only(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return scale * F.linear(F.linear(x, A), B)


def _output_base_only(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found + 0 * _output_update_only(x, found, A, B, scale)


def _output_turned(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found + scale * F.linear(F.linear(x, B), A)


def _output_not_transposed(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found + scale * (x @ A @ B)


def _output_behind(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found + scale * F.linear(F.linear(found, A), B)


def _output_relu(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found + scale * F.linear(torch.relu(F.linear(x, A)), B)


def _output_subtracted(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return lora_output(x, found, A, B, -scale)


def _output_times(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found * (1 + scale * F.linear(F.linear(x, A), B))


def _output_matrix(x: Tensor, found: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    return found + F.linear(x, scale * (B @ A))


# ---------------------------------------------------------------- 3 put it into a model


class _Layer(nn.Module):
    """A block with names that are easily confused: v_proj and kv_proj."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.v_proj = nn.Linear(6, 4, bias=False), nn.Linear(6, 4)
        self.kv_proj, self.norm = nn.Linear(4, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return x + self.kv_proj(torch.tanh(self.q_proj(x)) * self.v_proj(x))


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.layers = nn.Linear(3, 6), nn.ModuleList([_Layer(), _Layer()])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Special(LoRALinear):
    """Another kind of layer, to see whether `layer` is looked at."""


SETTINGS = Lora(r=3, alpha=6.0, targets=("q_proj", "v_proj"))
OTHER = Lora(r=2, alpha=1.0, targets=("first",))


def _plain() -> _Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return _Model()


def _deep() -> nn.Module:
    """The same layers further down, as in a real model."""
    return nn.Sequential(nn.Sequential(_plain()))


def _wearing(
    implementation: Implementation, settings: Lora = SETTINGS, make: Callable[[], Any] = _plain, **more: Any
) -> tuple[Any, Any]:
    """What an implementation returned, and the model that it was given."""
    model = make()
    return implementation(model, settings, torch.Generator().manual_seed(3), **more), model


def check_inject(attempt: Attempt) -> None:
    def described(**more: Any) -> Callable[[Implementation], Any]:
        def call(implementation: Implementation) -> Any:
            result, model = _wearing(implementation, **more)
            if not isinstance(result, nn.Module):
                return result
            same = [] if result is model else ["another model than the one that was given"]
            return same + _described(result)

        return call

    _compare_descriptions(attempt, "a model of two layers, targets q_proj and v_proj, r = 3", described())
    _compare_descriptions(attempt, "targets = ('first',), r = 2", described(settings=OTHER))
    _compare_descriptions(attempt, "`layer` of another class, `Special`", described(layer=Special))
    _compare_descriptions(attempt, "the same model, two levels further down", described(make=_deep))

    def same_numbers(implementation: Implementation) -> bool:
        one, two = (_wearing(implementation)[0].layers[0].q_proj.A for _ in range(2))
        return torch.equal(one, two)

    attempt.require(
        same_numbers,
        ["Tried with two generators of the same seed: expected the same A twice."],
        GENERATOR_NOT_PASSED,
    )

    def parts(implementation: Implementation) -> Callable[[], Any]:
        def run() -> Any:
            worn, _ = _wearing(implementation)
            found = [worn.layers[i].get_submodule(name) for i in (0, 1) for name in ("q_proj", "v_proj")]
            computed = worn(torch.linspace(-1, 1, 6).view(2, 3)).detach()
            return (*(x.A.detach() for x in found), torch.tensor(found[-1].scale), computed)

        return run

    outputs = (
        *(f"A of layers.{i}.{name}" for i in (0, 1) for name in ("q_proj", "v_proj")),
        "the scale of layers.1.v_proj",
        "what the model computes",
    )
    attempt.compare("a seeded generator", setup=parts, outputs=outputs)

    def not_copied(implementation: Implementation) -> bool:
        model = _plain()
        before = [model.get_parameter(f"layers.{i}.v_proj.weight") for i in range(2)]
        implementation(model, SETTINGS)
        worn = [model.get_parameter(f"layers.{i}.v_proj.base.weight") for i in range(2)]
        return all(one is two for one, two in zip(before, worn, strict=True))

    attempt.require(not_copied, ["Tried with a model of two layers: expected its own weights inside."], COPIED)

    def over_rounded(implementation: Implementation) -> bool:
        model = quantise(_plain(), ("q_proj", "v_proj"), "int8")
        try:
            worn = implementation(model, SETTINGS)
        except ValueError:
            return False
        return sum(isinstance(part.base, QuantisedLinear) for _, part in lora_layers(worn)) == 4

    attempt.require(
        over_rounded,
        [
            "Tried with layers whose weights are rounded to 8 bits (`QuantisedLinear`): they are linear, and no `nn.Linear`."
        ],
        LINEAR_ALONE,
    )

    def refuses(call: Callable[[Implementation], Any]) -> Callable[[Implementation], bool]:
        def holds(implementation: Implementation) -> bool:
            try:
                call(implementation)
            except ValueError:
                return True
            return False

        return holds

    attempt.require(
        refuses(lambda implementation: implementation(inject(_plain(), SETTINGS), OTHER)),
        ["Tried with a model that is adapted already: expected a ValueError."],
        TWICE,
    )

    def left_as_it_was(implementation: Implementation) -> bool:
        model = inject(_plain(), SETTINGS)
        before = _described(model)
        with contextlib.suppress(ValueError):
            implementation(model, SETTINGS)
        return _described(model) == before

    attempt.require(
        left_as_it_was,
        ["Tried with a model that is adapted already: a ValueError came, but the model is no longer what it was."],
        REFUSED_LATE,
    )
    attempt.require(
        refuses(lambda implementation: implementation(_plain(), Lora(targets=("q_proj", "query")))),
        ["Tried with targets = ('q_proj', 'query'): no layer is called 'query', so expected a ValueError."],
        UNKNOWN,
    )


GENERATOR_NOT_PASSED = "The generator was not passed on: A's first values must come from it, layer by layer."
COPIED = "The layers inside are copies: take the model's own part, so that its weights are in memory once."
TWICE = (
    "A model that is adapted already was adapted again: raise a ValueError if `lora_layers(model)` finds a layer, "
    "before anything is changed."
)
REFUSED_LATE = (
    "A model that is adapted already was frozen before it was refused, so that it can no longer learn: ask "
    "`lora_layers(model)` first, and call `freeze(model)` after that."
)
LINEAR_ALONE = (
    "`replace_modules` takes `nn.Linear` alone unless told otherwise: give it `nn.Module` as the third argument, "
    "or LoRA can never stand beside 4-bit weights."
)
UNKNOWN = "A target that no layer is called was passed over in silence: `replace_modules` tells it with a ValueError."


def _inject(
    prepare: Callable[[nn.Module], Any] = freeze,
    fits: Callable[[str, nn.Module, Lora], bool] = lambda name, part, settings: name.split(".")[-1] in settings.targets,
    make: Callable[..., LoRALinear] = lambda layer, part, settings, generator: layer(part, settings, generator),
    place: Callable[[nn.Module, str, nn.Module], None] = put_in_place,
    finish: Callable[[nn.Module], nn.Module] = lambda model: model,
    checked: bool = True,
    told: bool = True,
) -> Implementation:
    """`inject` with one part replaced."""

    def made(
        model: nn.Module, settings: Lora, generator: torch.Generator | None = None, layer: type[LoRALinear] = LoRALinear
    ) -> nn.Module:
        if checked and next(lora_layers(model), None) is not None:
            raise ValueError("adapted already")
        prepare(model)
        found = [(name, part) for name, part in model.named_modules() if fits(name, part, settings)]
        if told and {name.split(".")[-1] for name, _ in found} < set(settings.targets):
            raise ValueError("no layer of that name")
        for name, part in found:
            place(model, name, make(layer, part, settings, generator))
        return finish(model)

    return made


def _on_top(model: nn.Module, name: str, part: nn.Module) -> None:
    setattr(model, name.split(".")[-1], part)


def _only_linear(name: str, part: nn.Module, settings: Lora) -> bool:
    return isinstance(part, nn.Linear)


def _ends(name: str, part: nn.Module, settings: Lora) -> bool:
    return name.endswith(tuple(settings.targets))


def _freeze_matrices(model: nn.Module) -> None:
    for weight in model.parameters():
        weight.requires_grad_(weight.dim() < 2)


def _inject_copy(
    model: nn.Module, settings: Lora, generator: torch.Generator | None = None, layer: type[LoRALinear] = LoRALinear
) -> nn.Module:
    return inject(copy.deepcopy(model), settings, generator, layer)


def _inject_first(
    model: nn.Module, settings: Lora, generator: torch.Generator | None = None, layer: type[LoRALinear] = LoRALinear
) -> nn.Module:
    freeze(model)
    for target in settings.targets:
        name, part = next((n, p) for n, p in model.named_modules() if n.split(".")[-1] == target)
        put_in_place(model, name, layer(part, settings, generator))
    return model


def _inject_by_target(
    model: nn.Module, settings: Lora, generator: torch.Generator | None = None, layer: type[LoRALinear] = LoRALinear
) -> nn.Module:
    freeze(model)
    for target in settings.targets:
        for name, part in [(n, p) for n, p in model.named_modules() if n.split(".")[-1] == target]:
            put_in_place(model, name, layer(part, settings, generator))
    return model


_inject_not_frozen = _inject(prepare=lambda model: None)
_inject_matrices_frozen = _inject(prepare=_freeze_matrices)
_inject_all_frozen = _inject(finish=freeze)
_inject_everything = _inject(fits=_only_linear)
_inject_ends = _inject(fits=_ends)
_inject_default = _inject(
    make=lambda layer, part, settings, generator: layer(part, Lora(targets=settings.targets), generator)
)
_inject_no_generator = _inject(make=lambda layer, part, settings, generator: layer(part, settings))
_inject_always_lora = _inject(make=lambda layer, part, settings, generator: LoRALinear(part, settings, generator))
_inject_copied_parts = _inject(
    make=lambda layer, part, settings, generator: layer(copy.deepcopy(part), settings, generator)
)
_inject_on_top = _inject(place=_on_top)
_inject_twice = _inject(checked=False)
_inject_unknown = _inject(told=False)
_inject_nothing = _inject(place=lambda model, name, part: None)


# ---------------------------------------------------------------- 4 merge and unmerge


def check_set_merged(attempt: Attempt) -> None:
    x = attempt.normal(3, 5)
    weight, bias = attempt.normal(4, 5), attempt.normal(4)
    A, B = attempt.normal(2, 5), attempt.normal(4, 2)

    def fresh(alpha: float) -> Any:
        layer = LoRALinear(nn.Linear(5, 4), Lora(r=2, alpha=alpha))
        layer.base.load_state_dict({"weight": weight, "bias": bias})
        with torch.no_grad():
            layer.A.copy_(A)
            layer.B.copy_(B)
        return layer

    def after(*wanted: bool, alpha: float = 6.0) -> Callable[[Implementation], Callable[[], Any]]:
        def setup(implementation: Implementation) -> Callable[[], Any]:
            def run() -> Any:
                layer = fresh(alpha)
                parameter = layer.base.weight
                for merged in wanted:
                    result = implementation(layer, merged)
                    if not isinstance(result, LoRALinear):
                        return result
                kept = layer.base.weight
                flag = bool(layer.merged)
                own = result is layer and kept is parameter and not kept.requires_grad
                own = own and layer.A.requires_grad and layer.B.requires_grad
                tensors = (kept.detach(), layer.A.detach(), layer.B.detach(), layer.base.bias.detach())
                return (own, *tensors, layer(x).detach(), flag)

            return run

        return setup

    parts = ("the same layer, W changed in place", "W", "A", "B", "the bias", "what the layer computes", "layer.merged")
    for wanted in ((True,), (False,), (True, True), (True, False), (True, False, False), (True, False, True)):
        calls = ", then ".join(f"merged={value}" for value in wanted)
        attempt.compare(f"a fresh layer, scale 3, and {calls}", setup=after(*wanted), outputs=parts)
    for wanted, calls in (((True,), "merged=True"), ((True, False), "merged=True, then merged=False")):
        attempt.compare(f"a layer of scale 0.5, and {calls}", setup=after(*wanted, alpha=1.0), outputs=parts)


def _set(
    change: Callable[[LoRALinear, bool], None],
    when: Callable[[LoRALinear, bool], bool] = lambda layer, merged: layer.merged != merged,
    flag: bool = True,
) -> Implementation:
    """`set_merged` with one part replaced."""

    @torch.no_grad()
    def made(layer: LoRALinear, merged: bool) -> LoRALinear:
        if when(layer, merged):
            change(layer, merged)
            if flag:
                layer.merged = merged
        return layer

    return made


def _signed(layer: LoRALinear, merged: bool) -> Tensor:
    return layer.update() if merged else -layer.update()


def _change_signed(layer: LoRALinear, merged: bool) -> None:
    layer.base.weight.add_(_signed(layer, merged))  # type: ignore[operator]


def _changing(size: Callable[[LoRALinear, bool], Tensor]) -> Callable[[LoRALinear, bool], None]:
    def change(layer: LoRALinear, merged: bool) -> None:
        layer.base.weight.add_(size(layer, merged))  # type: ignore[operator]

    return change


def _replace(layer: LoRALinear, merged: bool) -> None:
    layer.base.weight.copy_(_signed(layer, merged))  # type: ignore[operator]


def _new_parameter(layer: LoRALinear, merged: bool) -> None:
    layer.base.weight = nn.Parameter(layer.base.weight + _signed(layer, merged))  # type: ignore[operator]


def _forget_B(layer: LoRALinear, merged: bool) -> None:
    _change_signed(layer, merged)
    layer.B.zero_()


_set_no_question = _set(_change_signed, when=lambda layer, merged: True)
_set_no_flag = _set(_change_signed, flag=False)
_set_only_merges = _set(_change_signed, when=lambda layer, merged: merged and not layer.merged)
_set_adds_again = _set(_changing(lambda layer, merged: layer.update()))
_set_no_scale = _set(_changing(lambda layer, merged: _signed(layer, merged) / layer.scale))
_set_scale_twice = _set(_changing(lambda layer, merged: _signed(layer, merged) * layer.scale))
_set_scale_fixed = _set(_changing(lambda layer, merged: (3 if merged else -3) * (layer.B @ layer.A)))
_set_sign = _set(_changing(lambda layer, merged: -_signed(layer, merged)))
_set_replaced = _set(_replace)
_set_new_parameter = _set(_new_parameter)
_set_forgets = _set(_forget_B)
_set_when_same = _set(_change_signed, when=lambda layer, merged: layer.merged == merged)
_set_flag_only = _set(lambda layer, merged: None)


@torch.no_grad()
def _set_flag_stays(layer: LoRALinear, merged: bool) -> LoRALinear:
    if layer.merged != merged:
        _change_signed(layer, merged)
        layer.merged = True
    return layer


@torch.no_grad()
def _set_matrix_turned(layer: LoRALinear, merged: bool) -> LoRALinear:
    if layer.merged != merged:
        update = layer.scale * (layer.A @ layer.B)
        layer.base.weight.add_(update)  # type: ignore[operator]
        layer.merged = merged
    return layer


# ---------------------------------------------------------------- 5 the bottleneck


def check_bottleneck(attempt: Attempt) -> None:
    def case(words: str, h: Tensor, r: int, size: float = 1.0, **settings: Any) -> None:
        D = h.shape[-1]
        down, up = attempt.normal(r, D, scale=size), attempt.normal(D, r, scale=size)
        attempt.compare(
            words, h, down, up, attempt.normal(r), attempt.normal(D), axes=["B", "T", "D"], gradients=True, **settings
        )

    h = attempt.normal(2, 3, 4)
    case("h (2, 3, 4), r = 4", h, 4)
    case("h (2, 3, 4), r = 2", h, 2)
    case("one vector h (4,), r = 1", h[0, 0], 1)
    case("h (2, 3, 4), r = 7", h, 7)
    down, up, b, c = attempt.normal(2, 4), attempt.normal(4, 2), attempt.normal(2), attempt.normal(4)
    attempt.compare("up and its bias all zero, as at the start: h itself", h, down, 0 * up, b, 0 * c, gradients=True)
    attempt.keeps_type_and_device(h, down, up, b, c)


def _bottleneck_no_residual(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return bottleneck(h, down, up, down_bias, up_bias) - h


def _bottleneck_linear(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + F.linear(F.linear(h, down, down_bias), up, up_bias)


def _bottleneck_gelu(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + F.linear(F.gelu(F.linear(h, down, down_bias)), up, up_bias)


def _bottleneck_relu_first(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + F.linear(F.linear(torch.relu(h), down, down_bias), up, up_bias)


def _bottleneck_relu_last(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + torch.relu(F.linear(F.linear(h, down, down_bias), up, up_bias))


def _bottleneck_relu_both(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + torch.relu(F.linear(torch.relu(F.linear(h, down, down_bias)), up, up_bias))


def _bottleneck_relu_sum(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return torch.relu(bottleneck(h, down, up, down_bias, up_bias))


def _bottleneck_no_down_bias(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return bottleneck(h, down, up, torch.zeros_like(down_bias), up_bias)


def _bottleneck_no_up_bias(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return bottleneck(h, down, up, down_bias, torch.zeros_like(up_bias))


def _bottleneck_no_bias(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return bottleneck(h, down, up, torch.zeros_like(down_bias), torch.zeros_like(up_bias))


def _bottleneck_bias_late(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + F.linear(torch.relu(F.linear(h, down)) + down_bias, up, up_bias)


def _bottleneck_swapped(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return bottleneck(h, up, down, up_bias, down_bias)


def _bottleneck_turned(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h + (torch.relu(h @ down + down_bias) @ up + up_bias)


def _bottleneck_times(h: Tensor, down: Tensor, up: Tensor, down_bias: Tensor, up_bias: Tensor) -> Tensor:
    return h * (bottleneck(h, down, up, down_bias, up_bias) - h)


# ---------------------------------------------------------------- 6 a prompt in front


def check_read_behind(attempt: Attempt) -> None:
    mix = attempt.normal(4, 4, scale=0.6)

    def through(x: Tensor) -> Tensor:
        """Stands in for the layers: every place mixes itself with all before it, and knows where it is."""
        place = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)[:, None]
        return torch.tanh(((x / place).cumsum(dim=1)) @ mix.to(x)) + 0.1 * place

    axes = ["B", "T", "D"]

    def case(words: str, P: int, T: int, B: int = 2) -> None:
        prompt, x = attempt.normal(P, 4), attempt.normal(B, T, 4)
        attempt.compare(words, prompt, x, through, axes=axes, gradients=True)

    case("a prompt of 3 and two rows of 3 tokens", 3, 3)
    case("a prompt of 2 and two rows of 5 tokens", 2, 5)
    case("a prompt of 4 and three rows of 1 token", 4, 1, 3)
    case("a prompt of 1 and one row of 3 tokens", 1, 3, 1)
    prompt, x = attempt.normal(2, 4), attempt.normal(2, 3, 4)
    attempt.keeps_type_and_device(prompt, x, through)
    calls: list[int] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(1)
        return through(x)

    def once(implementation: Implementation) -> bool:
        calls.clear()
        implementation(prompt, x, counted)
        return len(calls) == 1

    attempt.require(
        once,
        ["Tried with layers that count their calls: expected one call."],
        "Prompt and text go through the layers together, in one call: else no token of the text can look at the prompt.",
    )


def _behind_after(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return through(torch.cat((x, prompt.expand(len(x), -1, -1)), dim=1))[:, : x.shape[1]]


def _behind_whole(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return through(torch.cat((prompt.expand(len(x), -1, -1), x), dim=1))


def _behind_first_T(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return _behind_whole(prompt, x, through)[:, : x.shape[1]]


def _behind_one_early(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return _behind_whole(prompt, x, through)[:, len(prompt) - 1 : -1]


def _behind_one_late(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return _behind_whole(prompt, x, through)[:, len(prompt) + 1 :]


def _behind_cut_T(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return _behind_whole(prompt, x, through)[:, x.shape[1] :]


def _behind_added(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return through(x + prompt.mean(dim=0))


def _behind_reversed(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return read_behind(prompt.flip(0), x, through)


def _behind_first_row(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    first = torch.zeros(len(x), *prompt.shape, dtype=x.dtype, device=x.device)
    first = torch.cat((prompt[None], first[1:]))
    return through(torch.cat((first, x), dim=1))[:, len(prompt) :]


def _behind_last_token(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return _behind_whole(prompt, x, through)[:, -1:]


def _behind_one_vector(prompt: Tensor, x: Tensor, through: Layers) -> Tensor:
    return read_behind(prompt.mean(dim=0, keepdim=True), x, through)


# ---------------------------------------------------------------- 7 a prefix in every layer

NOT_CAST = (
    "The prefix is kept in float32, while the model may compute in bfloat16: bring it to the type of k, `.to(k.dtype)`, "
    "before it is put in front."
)


def check_in_front(attempt: Attempt) -> None:
    outputs, axes = ("the keys", "the values"), ["B", "kv_heads", "P + T", "K"]

    def case(words: str, B: int, heads: int, P: int, T: int) -> None:
        k, v, prefix = (attempt.normal(*n) for n in ((B, heads, T, 3), (B, heads, T, 3), (2, heads, P, 3)))
        attempt.compare(words, prefix, k, v, outputs=outputs, axes=axes, gradients=True)

    case("two rows, 2 heads, P = 2, T = 2", 2, 2, 2, 2)
    case("two rows, 2 heads, P = 3, T = 5", 2, 2, 3, 5)
    case("one row, 1 head, P = 1, T = 4", 1, 1, 1, 4)
    case("three rows, 4 heads, P = 4, T = 1", 3, 4, 4, 1)
    prefix, k, v = attempt.normal(2, 2, 3, 3), attempt.normal(2, 2, 4, 3), attempt.normal(2, 2, 4, 3)
    attempt.keeps_type_and_device(prefix, k, v, outputs=outputs)
    half = (k.bfloat16(), v.bfloat16())

    def in_their_type(implementation: Implementation) -> bool:
        return all(x.dtype == torch.bfloat16 for x in implementation(prefix, *half))

    attempt.require(
        in_their_type, ["Tried with k and v in bfloat16 and a prefix in float32: expected bfloat16."], NOT_CAST
    )


def _front(prefix: Tensor, k: Tensor, which: int) -> Tensor:
    """The prefix's keys (0) or values (1), one for each row: (B, kv_heads, P, K)."""
    return prefix[which].to(k.dtype).expand(len(k), -1, -1, -1)


def _front_behind(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat((k, _front(prefix, k, 0)), dim=2), torch.cat((v, _front(prefix, v, 1)), dim=2)


def _front_swapped(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return in_front(prefix.flip(0), k, v)


def _front_keys_twice(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return in_front(torch.stack((prefix[0], prefix[0])), k, v)


def _front_keys_only(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return in_front(prefix, k, v)[0], v


def _front_on_heads(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat((_front(prefix, k, 0), k), dim=1), torch.cat((_front(prefix, v, 1), v), dim=1)


def _front_turned_axes(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return in_front(prefix.transpose(1, 2), k, v)


def _front_overwritten(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    T = k.shape[2]
    keys, values = in_front(prefix, k, v)
    return keys[:, :, :T], values[:, :, :T]


def _front_added(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return k + _front(prefix, k, 0).mean(2, keepdim=True), v + _front(prefix, v, 1).mean(2, keepdim=True)


def _front_returned_swapped(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = in_front(prefix, k, v)
    return values, keys


def _front_first_row(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    rows = (torch.arange(len(k), device=k.device) == 0).to(prefix.dtype)[:, None, None, None]
    return torch.cat(((_front(prefix, k, 0) * rows).to(k.dtype), k), 2), torch.cat(
        ((_front(prefix, v, 1) * rows).to(v.dtype), v), 2
    )


def _front_one_head(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return in_front(prefix[:, :1].expand_as(prefix), k, v)


def _front_not_cast(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    first_k, first_v = (part.expand(len(k), -1, -1, -1) for part in prefix)
    return torch.cat((first_k, k), dim=2), torch.cat((first_v, v), dim=2)


# ---------------------------------------------------------------- 8 biases only


class _Mixed(nn.Module):
    """Biases of linear layers and of a norm, layers without, a part called bias_table, and a scale that is no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.bias_table = nn.Embedding(7, 4), nn.Linear(4, 3, bias=False)
        self.blocks = nn.ModuleList([nn.Linear(4, 5), nn.Linear(5, 4, bias=False), nn.LayerNorm(4), nn.Linear(4, 4)])
        self.scale = nn.Parameter(torch.ones(4))


def _frozen_already() -> nn.Module:
    return freeze(_Mixed())


def check_train_biases(attempt: Attempt) -> None:
    def described(make: Callable[[], nn.Module]) -> Callable[[Implementation], Any]:
        def call(implementation: Implementation) -> Any:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(2)
                model = make()
            before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
            result = implementation(model)
            if not isinstance(result, nn.Module):
                return result
            same = [] if result is model else ["another model than the one that was given"]
            changed = [
                f"the numbers of {name} were changed"
                for name, weight in result.named_parameters()
                if name not in before or not torch.equal(before[name], weight)
            ]
            return same + changed + _described(result)

        return call

    _compare_descriptions(attempt, "a model with linear layers, a norm, a table and a scale", described(_Mixed))
    _compare_descriptions(attempt, "the same model, all of it frozen before", described(_frozen_already))
    _compare_descriptions(attempt, "a model that is one linear layer", described(lambda: nn.Linear(3, 2)))

    def refuses(implementation: Implementation) -> bool:
        try:
            implementation(nn.Sequential(nn.Linear(3, 2, bias=False), nn.Embedding(4, 2)))
        except ValueError as error:
            return "bias" in str(error)
        return False

    attempt.require(refuses, ["Tried with a model that has no bias: expected a ValueError that says so."], NO_BIAS)


NO_BIAS = (
    "A model without biases was frozen as a whole, so that nothing can learn: raise a ValueError that names the biases."
)


def _biases(
    wanted: Callable[[str, Tensor], bool] = lambda name, weight: name.split(".")[-1] == "bias",
    freezes: bool = True,
    frees: bool = True,
    refuses: bool = True,
) -> Implementation:
    """`train_biases` with one part replaced: which weights count, and what is done to the others and to them."""

    def made(model: nn.Module) -> nn.Module:
        if refuses and not any(name.split(".")[-1] == "bias" for name, _ in model.named_parameters()):
            raise ValueError("no bias")
        for name, weight in model.named_parameters():
            if wanted(name, weight):
                if frees:
                    weight.requires_grad_(True)
            elif freezes:
                weight.requires_grad_(False)
        return model

    return made


def _biases_of_linear(model: nn.Module) -> nn.Module:
    if not any(name.split(".")[-1] == "bias" for name, _ in model.named_parameters()):
        raise ValueError("no bias")
    freeze(model)
    for part in model.modules():
        if isinstance(part, nn.Linear) and part.bias is not None:
            part.bias.requires_grad_(True)
    return model


def _biases_copy(model: nn.Module) -> nn.Module:
    return train_biases(copy.deepcopy(model))


def _biases_zeroed(model: nn.Module) -> nn.Module:
    model = train_biases(model)
    for name, weight in model.named_parameters():
        if name.split(".")[-1] == "bias":
            weight.data.zero_()
    return model


_biases_in_name = _biases(wanted=lambda name, weight: "bias" in name)
_biases_with_dot = _biases(wanted=lambda name, weight: name.endswith(".bias"))
_biases_vectors = _biases(wanted=lambda name, weight: weight.dim() == 1)
_biases_turned = _biases(wanted=lambda name, weight: name.split(".")[-1] != "bias")
_biases_weights_too = _biases(wanted=lambda name, weight: name.split(".")[-1] in ("weight", "bias"))
_biases_not_frozen = _biases(freezes=False)
_biases_not_freed = _biases(frees=False)
_biases_nothing = _biases(wanted=lambda name, weight: False)
_biases_none_told = _biases(refuses=False)


# ---------------------------------------------------------------- 9 several updates together


def _sum_of(result: Any, case: str) -> Any:
    """A and B without their numbers, and B A: the numbers of the factors may be shared out in any way, the product may not."""
    if result is None:
        return None
    if not isinstance(result, tuple) or len(result) != 2 or not all(isinstance(x, Tensor) for x in result):
        raise NotPassed([f"Tried with {case}.", f"Two tensors were expected, `A, B`; got a {describe(result)}."])
    A, B = result
    try:
        product = B @ A
    except RuntimeError:  # of another shape, type or device: that is told first
        product = A.new_zeros(0)
    return torch.zeros_like(A), torch.zeros_like(B), product


def check_side_by_side(attempt: Attempt) -> None:
    def compare(case: str, factors: list[tuple[Tensor, Tensor]], weights: list[float], **settings: Any) -> None:
        def setup(implementation: Implementation) -> Callable[..., Any]:
            return lambda factors, weights: _sum_of(implementation(factors, weights), case)

        outputs, axes = ("A", "B", "B A"), ["Σ r", "in"]
        attempt.compare(case, factors, weights, setup=setup, outputs=outputs, axes=axes, gradients=True, **settings)

    def drawn(ranks: Sequence[int], inputs: int = 4, outputs: int = 3) -> list[tuple[Tensor, Tensor]]:
        return [(attempt.normal(r, inputs), attempt.normal(outputs, r)) for r in ranks]

    compare("two updates of rank 2, weights 0.5 and 2", drawn((2, 2)), [0.5, 2.0])
    compare("ranks 1 and 3, weights 1 and 1", drawn((1, 3)), [1.0, 1.0])
    compare("three updates, weights 0.5, −1 and 0.25", drawn((2, 1, 2)), [0.5, -1.0, 0.25])
    compare("one update, weight 3", drawn((2,)), [3.0])
    compare("in = out = 4, ranks 2 and 2, weights 1 and −1", drawn((2, 2), 4, 4), [1.0, -1.0])
    doubled = [(A.double(), B.double()) for A, B in drawn((2, 1))]
    compare("float64 factors", doubled, [0.5, 2.0], rtol=1e-9)
    some = drawn((2, 1))
    right = 0.5 * some[0][1] @ some[0][0] + 2.0 * some[1][1] @ some[1][0]

    def once(implementation: Implementation) -> bool:
        try:
            A, B = implementation(iter(some), [0.5, 2.0])
        except Exception:  # nothing was left to put together
            return False
        return (B @ A).shape == right.shape and torch.allclose(B @ A, right, atol=1e-5)

    attempt.require(once, ["Tried with `factors` that come one by one, as from a generator."], FACTORS_TWICE)


FACTORS_TWICE = (
    "`factors` was gone through twice; of an `Iterable` nothing is left the second time. `As, Bs = zip(*factors)` or "
    "`list(factors)` takes all at once."
)


def _beside(
    A: Callable[[list[Tensor], list[float]], Tensor], B: Callable[[list[Tensor], list[float]], Tensor]
) -> Implementation:
    """The sum with its two parts given."""

    def made(factors: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
        both = list(factors)
        return A([one for one, _ in both], list(weights)), B([two for _, two in both], list(weights))

    return made


def _cat_A(As: list[Tensor], weights: list[float]) -> Tensor:
    return torch.cat(As)


def _cat_B(Bs: list[Tensor], weights: list[float]) -> Tensor:
    return torch.cat([w * B for w, B in zip(weights, Bs, strict=True)], dim=1)


def _weighted_A(As: list[Tensor], weights: list[float]) -> Tensor:
    return torch.cat([w * A for w, A in zip(weights, As, strict=True)])


def _sum(parts: list[Tensor], weights: list[float]) -> Tensor:
    return torch.stack([w * part for w, part in zip(weights, parts, strict=True)]).sum(0)


_beside_summed = _beside(_sum, _sum)
_beside_unweighted = _beside(_cat_A, lambda Bs, weights: torch.cat(Bs, dim=1))
_beside_squared = _beside(_weighted_A, _cat_B)
_beside_crossed = _beside(_cat_A, lambda Bs, weights: _cat_B(Bs, weights[::-1]))
_beside_order = _beside(_cat_A, lambda Bs, weights: _cat_B(Bs[::-1], weights[::-1]))
_beside_normalised = _beside(
    _cat_A, lambda Bs, weights: _cat_B(Bs, [w / sum(abs(x) for x in weights) for w in weights])
)
_beside_mean = _beside(_cat_A, lambda Bs, weights: _cat_B(Bs, weights) / len(weights))
_beside_first = _beside(lambda As, weights: As[0], lambda Bs, weights: weights[0] * Bs[0])
_beside_size = _beside(_cat_A, lambda Bs, weights: _cat_B(Bs, [abs(w) for w in weights]))
_beside_stacked = _beside(_cat_A, lambda Bs, weights: torch.cat([w * B for w, B in zip(weights, Bs, strict=True)]))
_beside_wide_A = _beside(lambda As, weights: torch.cat(As, dim=1), _cat_B)


def _beside_exchanged(factors: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    A, B = side_by_side(factors, weights)
    return B, A


EXERCISES = [
    Exercise(
        lab="10",
        target=f"{PACKAGE}.lora:start_lora",
        title="Begin with no update at all",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "B A must be zero at the start, so that the model begins as it was. Which of the two matrices may be zero, and what happens to "
            "the gradients if both are?",
            "B is zero, A is drawn. `tensor.uniform_(low, high, generator=…)` fills a tensor with numbers drawn evenly between two bounds; "
            "`torch.empty(r, inputs)` makes one to fill.",
            "`bound = inputs**-0.5`, `A = torch.empty(r, inputs).uniform_(-bound, bound, generator=generator)`, "
            "`B = torch.zeros(outputs, r)`.",
        ),
        reasoning="With B = 0 the update is zero whatever A is: training starts from the base model and not from a damaged one. Both zero "
        "would be a dead end: the gradient of B has A in it and that of A has B in it, so nothing would ever move. With A drawn, B learns "
        "from the first step, and A from the second. The bound makes squeezing keep the size of things: a sum of `inputs` terms, each of "
        "size about 1/√inputs, neither grows nor shrinks with the width. (A = 0 and B drawn would do, too; Hayou et al. "
        "2024 compared the two and found the usual one better on average: it bears larger rates.)",
        check=check_start_lora,
        mistakes=(
            Mistake("no generator", _start_no_generator, GENERATOR_IGNORED),
            Mistake(
                "both zero",
                _start_both_zero,
                "A and B are both zero: then the gradient of each is zero, too, and nothing is ever learned. Draw A.",
            ),
            Mistake(
                "turned",
                _start_turned,
                "A is zero and B is drawn: no update either, but here, as in the paper, it is B that starts at zero.",
            ),
            Mistake(
                "both random",
                _start_both_random,
                "B was drawn, too: then the model is damaged before the first step. B starts at zero.",
            ),
            Mistake("small B", _start_small, "B is small but not zero: an update of exactly zero needs `torch.zeros`."),
            Mistake("ones", _start_ones, "B is full of ones: it starts at zero, so that nothing changes."),
            Mistake(
                "transposed",
                _start_transposed,
                "The shapes are turned round: A is (r, inputs) and B (outputs, r), as matrices that are multiplied from the left.",
            ),
            Mistake(
                "gaussian",
                _start_gaussian,
                "A is drawn from a normal distribution (the paper does that): here it is drawn evenly, `uniform_(-bound, bound)`.",
            ),
            Mistake(
                "gaussian 0.02",
                _start_gaussian_small,
                "A is drawn from N(0, 0.02²): here evenly from ±1/√inputs, a bound that follows the width.",
            ),
            Mistake(
                "positive", _start_positive, "The numbers of A are all positive: the lower bound is −1/√inputs, not 0."
            ),
            Mistake("no root", _start_no_root, "The bound is 1/inputs: the root is missing, 1/√inputs."),
            Mistake(
                "by rank", _start_by_rank, "The bound follows r: it is the number of *inputs* that are added up in A x."
            ),
            Mistake(
                "by outputs",
                _start_by_outputs,
                "The bound follows the outputs: A has nothing to do with them, it adds up its *inputs*.",
            ),
            Mistake(
                "kaiming with a = 0",
                _start_wide,
                "The bound is √(6/inputs), that of `kaiming_uniform_` with its default a = 0: with a = √5 it is 1/√inputs.",
            ),
            Mistake("unit", _start_unit, "A is drawn from ±1: the bound is 1/√inputs."),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.lora:lora_output",
        title="W x and something beside it",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Read the formula from the right: what does x meet first, and how many numbers are left of it then?",
            "`F.linear(x, M)` computes M x for every vector along the last axis: (..., in) and M (out, in) give (..., out). Use it twice. "
            "The scale is for the update only.",
            "`found + scale * F.linear(F.linear(x, A), B)`.",
        ),
        reasoning="The same product can be computed as (B A) x or as B (A x). The second never makes a matrix of out × in numbers: x "
        "shrinks to r numbers and is spread out again, which costs r·(in + out) multiplications a token and no memory to speak of. That "
        "W x comes in ready-made has a use: whoever computes it may have its weights in 4 bits, on another device, or anywhere. The "
        "scale stands outside of both matrices, so that one number says how strongly an update counts.",
        check=check_lora_output,
        mistakes=(
            Mistake("no scale", _output_no_scale, "The scale is missing: the update is scale · B A x."),
            Mistake("all scaled", _output_scaled_all, "W x was scaled, too: the scale is for the update only."),
            Mistake("scale twice", _output_scale_squared, "The scale was multiplied in twice: once is enough."),
            Mistake(
                "divided by r",
                _output_divided,
                "The update was divided by r: the scale that you are given is α/r already.",
            ),
            Mistake(
                "inverse scale", _output_inverse_scale, "The update was divided by the scale: it is multiplied by it."
            ),
            Mistake("update only", _output_update_only, "W x is missing: the update stands *beside* it, so add them."),
            Mistake("base only", _output_base_only, "The update is missing: only W x came back."),
            Mistake(
                "turned",
                _output_turned,
                "x met B first: A squeezes (r numbers), then B spreads out. Read from the right.",
            ),
            Mistake(
                "not transposed",
                _output_not_transposed,
                "`x @ A @ B` lacks two transposes: `F.linear(x, A)` is `x @ A.T`.",
            ),
            Mistake(
                "behind",
                _output_behind,
                "The update was given W x: it stands beside W and not behind it, so it is given x itself.",
            ),
            Mistake(
                "relu",
                _output_relu,
                "Something not linear stands between A and B: then the update is no matrix, and cannot be merged.",
            ),
            Mistake("subtracted", _output_subtracted, "The update was subtracted: it is added to W x."),
            Mistake("times", _output_times, "W x was multiplied by the update: it is a sum."),
            Mistake("matrix made", _output_matrix, MATRIX_MADE),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.lora:inject",
        title="Put it into a model",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Three steps, and their order matters: nothing of the model may learn; then new layers come in, which do. What would happen if "
            "you froze at the end?",
            "`freeze(model)`; `replace_modules(model, settings.targets, nn.Module)` yields name and part of each layer that is meant, from "
            "a list that is made beforehand, so that you may change the model meanwhile; `put_in_place(model, name, new)` does that. "
            "Before all of it: does `lora_layers(model)` find something?",
            "`if next(lora_layers(model), None) is not None: raise ValueError(…)`, `freeze(model)`, and "
            "`for name, part in replace_modules(…): put_in_place(model, name, layer(part, settings, generator))`; return the model.",
        ),
        reasoning="Freezing comes first, since A and B are made afterwards and learn by default. The list of parts is made before the "
        "first is replaced: changing a tree while walking through it visits the new parts as well. A name must be equal and not merely "
        "end the same, or a `kv_proj` would be taken for a `v_proj`. Adapting twice is refused rather than stacked: the second adapter "
        "would take the first one's output for a frozen W x, which no file format can tell. And nothing is copied: the base's weights are "
        "in memory once, however many adapters there are.",
        check=check_inject,
        mistakes=(
            Mistake(
                "not frozen",
                _inject_not_frozen,
                "The rest of the model still learns, its norms, tables and other layers: freeze everything before the new layers come in.",
            ),
            Mistake(
                "only matrices frozen",
                _inject_matrices_frozen,
                "Only the matrices were frozen: biases and norms (one axis) must not learn either.",
            ),
            Mistake(
                "frozen last",
                _inject_all_frozen,
                "Nothing learns, A and B are frozen, too: freeze *before* the new layers are put in.",
            ),
            Mistake(
                "everything",
                _inject_everything,
                "Every linear layer got an update: only those that `settings.targets` names.",
            ),
            Mistake(
                "ends alike",
                _inject_ends,
                "A layer whose name only *ends* like a target was taken, kv_proj for v_proj: compare the whole last part of the name.",
            ),
            Mistake(
                "first only",
                _inject_first,
                "Only the first layer of each name got an update: all layers of the model that are called so.",
            ),
            Mistake(
                "nothing put in",
                _inject_nothing,
                "The new layers were made but not put into the model: `put_in_place(model, name, …)`.",
            ),
            Mistake(
                "put on top",
                _inject_on_top,
                "The new layers hang on the model itself, where nobody calls them: they go where the old ones stood, by full name.",
            ),
            Mistake(
                "default settings", _inject_default, "The settings were not passed on: r and α come from `settings`."
            ),
            Mistake("no generator", _inject_no_generator, GENERATOR_NOT_PASSED),
            Mistake(
                "always LoRALinear",
                _inject_always_lora,
                "The argument `layer` was not used: it says which class goes in (DoRA's, or your own).",
            ),
            Mistake(
                "copy", _inject_copy, "A copy was adapted: change the model that you are given, and return that one."
            ),
            Mistake("parts copied", _inject_copied_parts, COPIED),
            Mistake(
                "target by target",
                _inject_by_target,
                "The layers were made target by target: go through the model once, in its own order, or the same generator gives "
                "other numbers.",
            ),
            Mistake("twice", _inject_twice, TWICE),
            Mistake("unknown target", _inject_unknown, UNKNOWN),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.lora:set_merged",
        title="Merge, and take out again",
        difficulty=2,
        importance=4,
        minutes=15,
        hints=(
            "The layer remembers whether W holds the update. Three questions: is there anything to do? Add or subtract? What must be noted "
            "afterwards?",
            "Change W in place: `weight_of(layer).add_(…)` and `.sub_(…)`; a new Parameter would learn, and whoever holds the old one "
            "would not see it. `layer.update()` is ΔW with its scale.",
            "`if layer.merged != merged: weight_of(layer).add_(layer.update(), alpha=1 if merged else -1); layer.merged = merged`, and "
            "`return layer`.",
        ),
        reasoning="Merging is what LoRA can do and a bottleneck adapter cannot: W + ΔW is a matrix of the old shape, so the adapted model "
        "is as fast as the base. The note `merged` makes the call harmless to repeat: without it a second call would add the update a "
        "second time, and nothing would fail but the answers. It also tells `forward` to leave the update out. A and B stay, since taking "
        "out needs them. Adding and subtracting in floating point does not come back to the last bit: keep the base's file if bits matter.",
        check=check_set_merged,
        mistakes=(
            Mistake(
                "no question asked",
                _set_no_question,
                "A second call did it again, or something was taken out that was not in: do nothing where `layer.merged` is as wanted.",
            ),
            Mistake(
                "no note",
                _set_no_flag,
                "`layer.merged` was not set: then the update counts twice, in W and beside it, and the next call adds it again.",
            ),
            Mistake(
                "note stays",
                _set_flag_stays,
                "After taking out, `layer.merged` still says True: then the update counts nowhere. Set it to `merged`.",
            ),
            Mistake(
                "only the note",
                _set_flag_only,
                "`layer.merged` was set, but W was not changed: then the update counts nowhere.",
            ),
            Mistake(
                "only merges", _set_only_merges, "`merged=False` did nothing: then the update is subtracted from W."
            ),
            Mistake(
                "adds again",
                _set_adds_again,
                "`merged=False` added the update once more: taking out is subtracting.",
            ),
            Mistake(
                "without scale",
                _set_no_scale,
                "The scale is missing: ΔW is scale · B A, as `layer.update()` has it.",
            ),
            Mistake(
                "scale twice",
                _set_scale_twice,
                "The scale was multiplied in twice: `layer.update()` has it already.",
            ),
            Mistake(
                "scale fixed",
                _set_scale_fixed,
                "The scale was written in as a number: each layer has its own, and `layer.update()` has it in already.",
            ),
            Mistake("sign", _set_sign, "Merging subtracts: it adds ΔW; taking out subtracts it."),
            Mistake("replaced", _set_replaced, "W was overwritten by the update: it is W + ΔW."),
            Mistake(
                "new parameter",
                _set_new_parameter,
                "W is a new Parameter, which learns and is unknown to whoever held the old one: change the old one in place, `add_`.",
            ),
            Mistake(
                "B forgotten",
                _set_forgets,
                "A or B was changed: they stay as they are, or the update can never be taken out again.",
            ),
            Mistake(
                "when it is so already",
                _set_when_same,
                "The condition is turned: something is to be done where `layer.merged` differs from what is wanted.",
            ),
            Mistake(
                "A B",
                _set_matrix_turned,
                "The product was taken in the wrong order: it is B A, (out, r) times (r, in); `layer.update()` computes it.",
            ),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.bottleneck:bottleneck",
        title="A small network behind a sublayer",
        difficulty=2,
        importance=3,
        minutes=10,
        hints=(
            "A feed-forward network as in lab 04, but narrow in the middle instead of wide, and with a residual connection round it.",
            "`F.linear(h, down, down_bias)` squeezes, (..., D) -> (..., r); then the ReLU; then `up` in the same way.",
            "`h + F.linear(torch.relu(F.linear(h, down, down_bias)), up, up_bias)`.",
        ),
        reasoning="The residual connection is the trick: with `up` at zero the adapter is the identity, so it can be put into a trained "
        "model anywhere without harm, and learns from there. The ReLU makes it more than a matrix: it can do things to some inputs and "
        "not to others, which LoRA cannot; for the same reason it cannot be merged, and is paid for with every token.",
        check=check_bottleneck,
        mistakes=(
            Mistake(
                "no residual", _bottleneck_no_residual, "h is missing: the adapter *adds* to what the sublayer made."
            ),
            Mistake("linear", _bottleneck_linear, "The ReLU in the middle is missing."),
            Mistake("gelu", _bottleneck_gelu, "That is a GELU in the middle: expected a ReLU."),
            Mistake(
                "relu first", _bottleneck_relu_first, "The ReLU was taken of h: it stands between `down` and `up`."
            ),
            Mistake("relu last", _bottleneck_relu_last, "The ReLU stands behind `up`: it stands between the two."),
            Mistake(
                "relu twice",
                _bottleneck_relu_both,
                "A second ReLU stands behind `up`: then an adapter could only ever add, never subtract.",
            ),
            Mistake(
                "relu of the sum",
                _bottleneck_relu_sum,
                "The ReLU was taken of the sum: then everything negative in h is lost.",
            ),
            Mistake("no down bias", _bottleneck_no_down_bias, "`down_bias` is missing: it shifts what the ReLU sees."),
            Mistake("no up bias", _bottleneck_no_up_bias, "`up_bias` is missing at the end."),
            Mistake(
                "no biases", _bottleneck_no_bias, "Both biases are missing: `F.linear` takes one as its third argument."
            ),
            Mistake("bias late", _bottleneck_bias_late, "`down_bias` was added behind the ReLU: it belongs before it."),
            Mistake(
                "swapped", _bottleneck_swapped, "`down` and `up` were exchanged: first down to r numbers, then up."
            ),
            Mistake(
                "not transposed",
                _bottleneck_turned,
                "`h @ down` lacks a transpose: `F.linear(h, down)` is `h @ down.T`, and so with `up`.",
            ),
            Mistake("times", _bottleneck_times, "h was multiplied by what the adapter made: it is a sum."),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.prompt_tuning:read_behind",
        title="A prompt that nobody wrote",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "The text has T places, the layers see P + T, and T come back. What goes in front, and what is cut off again?",
            "`prompt.expand(len(x), -1, -1)` shows the same P vectors to each of the B rows, (B, P, D), without copying them. Put them in "
            "front along the axis of time, call `through` once, and keep what stands behind place P.",
            "`through(torch.cat((prompt.expand(len(x), -1, -1), x), dim=1))[:, len(prompt):]`.",
        ),
        reasoning="The layers need not know: to them the prompt is text like any other, only that its embeddings are not in the table. It "
        "has to stand in front, since no place looks ahead: behind the text nobody would ever see it. What comes out at its own places is "
        "a prediction about tokens that do not exist, and is thrown away. `expand` makes all rows share one prompt, so its gradient is "
        "the sum over all rows.",
        check=check_read_behind,
        mistakes=(
            Mistake(
                "behind the text",
                _behind_after,
                "The text saw nothing of the prompt: put behind the text, where no place looks, or put there after the layers, it does "
                "nothing. It goes through them, in front.",
            ),
            Mistake(
                "not cut off",
                _behind_whole,
                "The prompt's own places came back, too: keep the T of the text, `[:, len(prompt):]`.",
            ),
            Mistake(
                "first T places",
                _behind_first_T,
                "The first T places were kept, or went through: those begin with the prompt; the text's stand behind place P.",
            ),
            Mistake(
                "one early",
                _behind_one_early,
                "It is one place early: what comes out at a token's own place is wanted; the shift to the next token is the loss's.",
            ),
            Mistake("one late", _behind_one_late, "It is one place late: the text's first token stands at place P."),
            Mistake("T cut off", _behind_cut_T, "T places were cut off in front: it is P of them, `len(prompt)`."),
            Mistake(
                "added", _behind_added, "The prompt was added to the tokens: it stands *before* them, `torch.cat`."
            ),
            Mistake("reversed", _behind_reversed, "The prompt was put in backwards: its first vector stands first."),
            Mistake(
                "first row",
                _behind_first_row,
                "Only the first row got the prompt: all B rows read it, `prompt.expand(len(x), -1, -1)`.",
            ),
            Mistake("last place", _behind_last_token, "Only the last place came back: all T of the text are wanted."),
            Mistake(
                "one vector",
                _behind_one_vector,
                "The prompt was averaged into one vector: all P go in, one behind the other.",
            ),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.virtual_tokens:in_front",
        title="Keys and values that nobody computed",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "It is the KV cache of lab 07 with made-up entries: P keys and P values that every token finds there before its own text.",
            "`prefix[0]` are the keys (kv_heads, P, K), `prefix[1]` the values. Each row needs them: `expand(len(k), -1, -1, -1)` gives "
            "(B, kv_heads, P, K). Then put them before k, and before v, along the axis of time.",
            "`first_k, first_v = (part.to(k.dtype).expand(len(k), -1, -1, -1) for part in prefix)`, and "
            "`torch.cat((first_k, k), dim=2), torch.cat((first_v, v), dim=2)`.",
        ),
        reasoning="A prompt enters at the bottom and every layer makes of it what it makes of tokens; a prefix is told to each layer "
        "directly, so it may hold what no token could ever bring about. There are no queries for it: virtual tokens are looked at and "
        "never look. The cast matters under autocast, where k and v are in bfloat16 while what learns stays in float32; without it "
        "`torch.cat` would quietly turn everything into float32.",
        check=check_in_front,
        mistakes=(
            Mistake(
                "behind", _front_behind, "The prefix stands behind: it goes *before* the keys and values of the text."
            ),
            Mistake(
                "swapped", _front_swapped, "Its keys went to the values: `prefix[0]` are keys, `prefix[1]` values."
            ),
            Mistake("keys twice", _front_keys_twice, "Its keys were put before the values, too: they have their own."),
            Mistake(
                "keys only",
                _front_keys_only,
                "Only the keys got a prefix: whoever looks at a place takes its value, so both have P + T places.",
            ),
            Mistake(
                "on heads",
                _front_on_heads,
                "It was put in along the axis of the heads, `dim=1`: time is the third axis, `dim=2`.",
            ),
            Mistake(
                "axes turned",
                _front_turned_axes,
                "Heads and places of the prefix were exchanged: it comes as (2, kv_heads, P, K) and needs no transpose.",
            ),
            Mistake(
                "overwritten",
                _front_overwritten,
                "The last places of the text were cut off: there are P + T of them, not T.",
            ),
            Mistake(
                "added", _front_added, "The prefix was added to keys and values: it stands before them, `torch.cat`."
            ),
            Mistake("returned turned", _front_returned_swapped, "Values came back first: expected keys, then values."),
            Mistake(
                "first row",
                _front_first_row,
                "Only the first row got the prefix: all B rows do, `expand(len(k), -1, -1, -1)`.",
            ),
            Mistake("one head", _front_one_head, "All heads got the prefix of the first: each has its own."),
            Mistake("not cast", _front_not_cast, NOT_CAST),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.bitfit:train_biases",
        title="Biases only",
        difficulty=2,
        importance=3,
        minutes=10,
        hints=(
            "Go through the weights by name. Which names are those of a bias, and what of a part that is called `bias_table`?",
            "`model.named_parameters()` gives names such as 'blocks.0.bias'; the last part of a name, `name.rpartition('.')[2]`, says what "
            "a weight is. `bias_names(model)` lists them, `train_only(model, names)` freezes the rest.",
            "`names = bias_names(model)`; if there are none `raise ValueError('… no biases …')`; `return train_only(model, names)`.",
        ),
        reasoning="Two lines and a trap. The trap is the model without any bias, which most of today's are: freezing 'everything but "
        "nothing' succeeds, the training loop runs, and nothing is learned. So it is refused. What a weight is, the last part of its "
        "name says; to look for the word anywhere in the name takes in parts that merely are called so, and to look for '.bias' passes "
        "over a model that is one layer.",
        check=check_train_biases,
        mistakes=(
            Mistake(
                "in the name",
                _biases_in_name,
                "A weight of a part that is only *called* bias_table learns, too: look at the last part of the name.",
            ),
            Mistake(
                "with a dot",
                _biases_with_dot,
                "In a model that is one layer the bias is called 'bias', without a dot before it: compare the last part of the name.",
            ),
            Mistake(
                "vectors",
                _biases_vectors,
                "Every weight with one axis learns, so also the norms' factors and the scale: only biases.",
            ),
            Mistake(
                "linear only",
                _biases_of_linear,
                "The biases of the norms stay frozen: they are biases like the others.",
            ),
            Mistake("turned", _biases_turned, "It is turned round: the biases are frozen and all else learns."),
            Mistake(
                "weights, too",
                _biases_weights_too,
                "Matrices learn, too: their names end in 'weight'; only 'bias' counts.",
            ),
            Mistake(
                "not frozen", _biases_not_frozen, "Nothing was frozen: everything but the biases must stay as it is."
            ),
            Mistake(
                "not freed",
                _biases_not_freed,
                "Biases that were frozen before stay frozen: say `requires_grad_(True)` for each, or use `train_only`.",
            ),
            Mistake("nothing", _biases_nothing, "Nothing learns at all: the biases are to."),
            Mistake(
                "copy", _biases_copy, "A copy came back: change the model that you are given, and return that one."
            ),
            Mistake("zeroed", _biases_zeroed, "The numbers of the biases were changed: they go on from what they are."),
            Mistake("none told", _biases_none_told, NO_BIAS),
        ),
    ),
    Exercise(
        lab="10",
        target=f"{PACKAGE}.lora:side_by_side",
        title="Two adapters in one",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "The sum of two products is one product of wider matrices. Draw [B₁ B₂], two blocks side by side, times A₁ above A₂: which "
            "block meets which?",
            "`torch.cat` puts the A's on top of each other (axis 0) and the B's side by side (axis 1). Each update's weight goes into one "
            "of its two factors, not into both.",
            "`As, Bs = zip(*factors, strict=True)`; `torch.cat(As)` and "
            "`torch.cat([w * B for w, B in zip(weights, Bs, strict=True)], dim=1)`.",
        ),
        reasoning="[B₁ B₂] · [A₁; A₂] = B₁A₁ + B₂A₂, as block matrices multiply. So a sum of updates is again an update, its rank at most "
        "the sum of the ranks. To average the factors themselves keeps the rank and is something else: (B₁ + B₂)(A₁ + A₂) has the "
        "cross terms B₁A₂ and B₂A₁ in it, which nobody ever trained. A weight may be negative: then what an adapter learned is taken away "
        "(Ilharco et al. 2023 call it task arithmetic).",
        check=check_side_by_side,
        mistakes=(
            Mistake(
                "factors added",
                _beside_summed,
                "The factors were added up: (B₁ + B₂)(A₁ + A₂) has cross terms that nobody trained. Put them side by side.",
            ),
            Mistake("unweighted", _beside_unweighted, "The weights are missing."),
            Mistake(
                "squared",
                _beside_squared,
                "The weights went into A and into B: then each counts squared, and its sign is lost. Into one of the two.",
            ),
            Mistake(
                "weights crossed", _beside_crossed, "The weights came in reverse: the first is for the first update."
            ),
            Mistake(
                "order",
                _beside_order,
                "The B's stand in another order than the A's: then B₁ meets A₂. Both in the order in which they were given.",
            ),
            Mistake(
                "normalised",
                _beside_normalised,
                "The weights were divided by their sum: they are used as they are; they need not add up to 1.",
            ),
            Mistake(
                "mean", _beside_mean, "The sum was divided by the number of updates: expected the weighted sum itself."
            ),
            Mistake("first only", _beside_first, "Only the first update is in it."),
            Mistake(
                "sizes",
                _beside_size,
                "A negative weight was taken for positive: then it adds what it should take away.",
            ),
            Mistake(
                "B's on top of each other",
                _beside_stacked,
                "The B's were put on top of each other: they have the same number of rows, and go side by side, `dim=1`.",
            ),
            Mistake(
                "A's side by side",
                _beside_wide_A,
                "The A's were put side by side: each is (r, in), and they go on top of each other, `dim=0`.",
            ),
            Mistake("exchanged", _beside_exchanged, "B came back first: expected A, then B."),
        ),
    ),
]
