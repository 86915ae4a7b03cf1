"""An exercise, and one attempt at it.

A check is a function of an `Attempt`. It runs the learner's code and the library's reference side by side, on inputs of its own, and
stops at the first difference with `NotPassed`, which says where, what was expected and the likely cause. The cause is found
by experiment: an exercise carries named *mistakes*, wrong implementations that people really write, and the one whose
result equals the learner's names the cause.
"""

import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lablib.course import compare, guard
from lablib.course.sources import Target

Implementation = Any  # the learner's, the reference's or a mistake's function or class
Setup = Callable[[Implementation], Callable[..., Any]]


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation that people write, and the sentence that helps somebody who wrote it."""

    name: str
    implementation: Implementation
    cause: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: what is asked stands in the docstring of its target, the rest here.

    Args:
        target: `package.module:function` or `package.module:Class.method`; the library's own code is the reference.
        difficulty, importance: 1 to 5. minutes: for a first attempt.
        hints: three, from a nudge over the method to almost the line itself (Markdown).
        reasoning: why the solution is as it is (Markdown, shown folded below the solution).
        check: runs the attempt; raises NotPassed.
        mistakes: at least three.
    """

    lab: str
    target: str
    title: str
    difficulty: int
    importance: int
    minutes: int
    hints: tuple[str, str, str]
    reasoning: str
    check: "Callable[[Attempt], None]"
    mistakes: tuple[Mistake, ...]
    seconds: float = guard.DEFAULT_SECONDS

    def __post_init__(self) -> None:
        for field in ("difficulty", "importance"):
            if getattr(self, field) not in range(1, 6):
                raise ValueError(f"{self.target}: {field} = {getattr(self, field)}, expected 1 to 5")
        if len(self.hints) != 3:
            raise ValueError(f"{self.target}: {len(self.hints)} hints, expected three graded ones")
        if len(self.mistakes) < 3:
            raise ValueError(f"{self.target}: {len(self.mistakes)} mistakes, expected at least three")

    @cached_property
    def parsed(self) -> Target:
        return Target.parse(self.target)

    @property
    def name(self) -> str:
        """The name that the learner's function or class has."""
        return self.parsed.name

    @cached_property
    def reference(self) -> Implementation:
        return self.parsed.load()


class NotPassed(Exception):
    """The attempt is wrong: `lines` say how, `cause` what the likely cause is (may be empty)."""

    def __init__(self, lines: Sequence[str], cause: str = "") -> None:
        super().__init__("\n".join(lines))
        self.lines, self.cause = tuple(lines), cause


class NotAttempted(Exception):
    """The exercise is still blank."""


class CheckBroken(Exception):
    """The reference itself failed its check: a defect of the course, not of the learner."""


@dataclass(frozen=True)
class _Failed:
    """What the learner's code raised instead of returning."""

    lines: tuple[str, ...]


class Attempt:
    """The learner's function or class under test, beside the reference, with inputs that are the same every time."""

    def __init__(self, exercise: Exercise, candidate: Implementation) -> None:
        self.exercise, self.candidate = exercise, candidate
        self.generator = torch.Generator().manual_seed(0)

    # ------------------------------------------------------------ inputs

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Standard normal numbers of a shape, float32, times `scale`."""
        return scale * torch.randn(*shape, generator=self.generator)

    def chance(self, *shape: int, probability: float) -> Tensor:
        """A bool tensor that is True with a probability."""
        return torch.rand(*shape, generator=self.generator) < probability

    @staticmethod
    def twin(make: Callable[[Implementation], nn.Module], reference: Implementation) -> Setup:
        """Modules of any implementation with the weights of one made from the reference.

        Names and shapes of the parameters must be those of the reference: the exercise's class states them.
        """

        def shapes(module: Any) -> dict[str, tuple[int, ...]]:
            return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            original = make(reference)
        weights, expected = original.state_dict(), shapes(original)

        def build(implementation: Implementation) -> nn.Module:
            module = make(implementation)
            if not isinstance(module, nn.Module):
                raise NotPassed(
                    [f"Expected an `nn.Module`, got {compare.describe(module)}."], "Does it inherit from nn.Module?"
                )
            if shapes(module) != expected:
                name = min(dict(set(shapes(module).items()) ^ set(expected.items())))
                raise NotPassed(
                    [
                        f"The parameters differ: expected {name} to be {expected.get(name, 'absent')}, "
                        f"got {shapes(module).get(name, 'none of that name')}."
                    ],
                    "Keep `__init__` as it was given: names and shapes of the layers must stay, so that weights can be copied in.",
                )
            module.load_state_dict(weights, strict=False)  # a buffer of the learner's own is welcome
            return module

        return build

    # ------------------------------------------------------------ comparisons

    def compare(
        self,
        case: str,
        *args: Any,
        setup: Setup | None = None,
        outputs: Sequence[str] = ("the result",),
        axes: Sequence[str] = (),
        rtol: float = 1e-5,
        gradients: bool = False,
        **kwargs: Any,
    ) -> None:
        """Run the learner's code and the reference on the same arguments; stop at the first difference.

        Args:
            case: the inputs in words, shown with a difference ("one padded sentence").
            setup: from an implementation to what is called with the arguments (default: the implementation itself).
            outputs: the names of the results, one for each.
            axes: names of the axes of the first result.
            rtol: tolerance relative to the largest expected size.
            gradients: compare the gradients with respect to every float argument, and every parameter of a module, as well.

        Raises:
            NotPassed, NotAttempted.
        """
        setup = setup or (lambda implementation: implementation)
        track = gradients and not _on_meta(args)

        def run(implementation: Implementation) -> tuple[Any, dict[str, Tensor], list[str]]:
            fresh, fresh_kwargs = _fresh(args, track), _fresh(kwargs, track)
            given = {f"argument {number}": x for number, x in enumerate(_tensors([fresh, fresh_kwargs]), 1)}
            call = setup(implementation)
            if isinstance(call, nn.Module):
                given |= {f"parameter {name}": x for name, x in sorted(call.named_parameters())}
            before = {name: x.detach().clone() for name, x in given.items()}
            result = call(*fresh, **fresh_kwargs)
            changed = [
                f"{name} ({compare.describe(x)})" for name, x in given.items() if not _unchanged(before[name], x)
            ]
            return result, {name: x for name, x in given.items() if x.requires_grad}, changed

        try:
            expected, expected_leaves, _ = run(self.exercise.reference)
        except Exception as error:
            raise CheckBroken(f"{self.exercise.name}: the reference failed on {case}: {error!r}") from error
        result, leaves, changed = self._guarded(lambda: run(self.candidate), case, run)
        lines = self._guarded(
            lambda: self._differences(result, expected, outputs, axes, rtol), case
        )  # `==` may be theirs
        if lines:
            raise NotPassed([f"Tried with {case}.", *lines], self._diagnose(run, result, expected, rtol))
        if changed:
            raise NotPassed(
                [f"Tried with {case}.", f"Your code changed its {changed[0]} in place."],
                "The caller still needs its tensor: avoid `x += …`, `x[…] = …` and methods that end in `_` on arguments.",
            )
        if track:
            self._compare_gradients(case, result, expected, leaves, expected_leaves, rtol)

    def keeps_type_and_device(
        self, *args: Any, setup: Setup | None = None, double_rtol: float = 1e-9, **kwargs: Any
    ) -> None:
        """The result follows the arguments' float type (float64 is tried) and their device.

        double_rtol: of float64 results; larger where right answers differ by a tiny constant that is added somewhere.

        The device tried is torch's `meta`: it holds shapes and no numbers, and like a GPU it refuses to be mixed with the CPU.
        """
        build = setup or (lambda implementation: implementation)
        doubled = [_convert(a, torch.float64) for a in args]
        as_double = (lambda i: _as(build(i), torch.float64)) if setup else None
        self.compare("float64 arguments", *doubled, setup=as_double, rtol=double_rtol, **kwargs)
        moved = [_convert(a, "meta") for a in args]
        on_meta = (lambda i: _as(build(i), "meta")) if setup else None
        try:
            self.compare(
                "arguments on another device (torch's `meta`, which stands in for a GPU)",
                *moved,
                setup=on_meta,
                **kwargs,
            )
        except NotPassed as failure:
            if not any(word in str(failure) for word in _NEEDS_VALUES):
                raise

    def require(self, holds: Callable[[Implementation], bool], lines: Sequence[str], cause: str = "") -> None:
        """A property that the learner's code must have; it is first seen to hold for the reference."""
        if not holds(self.exercise.reference):
            raise CheckBroken(f"{self.exercise.name}: the reference lacks the property: {lines}")
        case = lines[0].removeprefix("Tried with ").rstrip(".") if lines else "a property"
        if not self._guarded(lambda: holds(self.candidate), case):
            raise NotPassed(lines, cause)

    # ------------------------------------------------------------ inside

    def _guarded(self, call: Callable[[], Any], case: str, run: Callable[[Implementation], Any] | None = None) -> Any:
        """Call the learner's code; whatever it raises becomes NotPassed or NotAttempted.

        `run`, when given, runs a mistake in the same way: one that raises the same names the cause.
        """
        settings = _settings()
        try:
            result = call()
        except (guard.TimeLimit, KeyboardInterrupt, NotPassed, NotAttempted, CheckBroken):
            raise
        except BaseException as error:  # SystemExit too: a learner's exit() must not end the lab
            if guard.is_blank(error, self.candidate):
                raise NotAttempted from None
            where = guard.where_it_stood(error.__traceback__, self.candidate)
            lines = [f"Tried with {case}.", f"Your code raised {in_a_line(error)}"]
            if where:
                lines.append(f"It happened at {where}.")
            raise NotPassed(lines, self._same_error(run, error) or _cause_of(error)) from None
        if changed := [name for name, value in _settings().items() if value != settings[name]]:
            raise NotPassed(
                [f"Tried with {case}.", f"Your code changed {changed[0]} for everybody."],
                "A setting of torch holds for the whole notebook: leave it alone, or use it as `with …:`.",
            )
        return result

    def _differences(
        self, result: Any, expected: Any, outputs: Sequence[str], axes: Sequence[str], rtol: float
    ) -> list[str]:
        if not isinstance(expected, tuple):
            return compare.difference(outputs[0], result, expected, rtol, axes)
        lines = compare.difference("the result", result, expected, rtol, parts=outputs)
        if lines:
            return lines
        for number, (name, mine, right) in enumerate(zip(outputs, result, expected, strict=True)):
            lines = compare.difference(name, mine, right, rtol, axes if number == 0 else ())
            if lines:
                return lines
        return []

    def _diagnose(self, run: Callable[[Implementation], Any], result: Any, expected: Any, rtol: float) -> str:
        close = max(rtol, 1e-5)  # a mistake's numbers are met by other ways, so to no more digits than these
        if compare.same(result, expected, close):
            return ""  # the numbers are (nearly) right, their type is not: no mistake's numbers can name the cause
        for mistake in self.exercise.mistakes:
            try:
                with warnings.catch_warnings(action="ignore"):  # a mistake's warning is not the learner's
                    wrong = run(mistake.implementation)[0]
                if compare.same(result, wrong, close):
                    return mistake.cause
            except Exception:  # a mistake need not run on every input
                continue
        return ""

    def _same_error(self, run: Callable[[Implementation], Any] | None, error: BaseException) -> str:
        if run is None:
            return ""
        for mistake in self.exercise.mistakes:
            try:
                with warnings.catch_warnings(action="ignore"):
                    run(mistake.implementation)
            except Exception as other:
                if in_a_line(other) == in_a_line(error):
                    return mistake.cause
        return ""

    def _compare_gradients(
        self,
        case: str,
        result: Any,
        expected: Any,
        leaves: dict[str, Tensor],
        expected_leaves: dict[str, Tensor],
        rtol: float,
    ) -> None:
        def gradients(results: Any, inputs: dict[str, Tensor]) -> list[Tensor | None]:
            floats = [x for x in _tensors([results]) if x.is_floating_point() and x.requires_grad]
            if not floats:
                return [None] * len(inputs)
            probes = [torch.linspace(-1, 1, x.numel()).reshape(x.shape).to(x) for x in floats]
            total = torch.stack([(x * p).sum() for x, p in zip(floats, probes, strict=True)]).sum()
            return list(torch.autograd.grad(total, list(inputs.values()), allow_unused=True))

        right = gradients(expected, expected_leaves)
        mine = self._guarded(lambda: gradients(result, leaves), f"{case}, and the gradient")
        largest = max((e.abs().max().item() for e in right if e is not None and e.numel()), default=0.0)
        for name, a, e in zip(expected_leaves, mine, right, strict=True):
            if e is None:
                continue
            if a is None:
                raise NotPassed(
                    [
                        f"Tried with {case}.",
                        f"The values are right, but no gradient reaches {name}.",
                    ],
                    "`.detach()`, `.item()`, `.data`, numpy and torch.no_grad() cut the gradient: training would learn nothing.",
                )
            if a.shape == e.shape and bool((a.isnan() & ~e.isnan()).any()):
                raise NotPassed(
                    [f"Tried with {case}: the values are right, but the gradient of {name} is NaN."],
                    "Backwards 0 · NaN is NaN. So what must not count has to be replaced *before* the computation "
                    "(`x.where(mask, 0.0)`, then square, exponentiate, take roots), and not masked out behind it.",
                )
            if a.shape == e.shape and bool(((a - e).abs() <= 1e-6 * largest).all()):
                continue  # a gradient that is zero in theory (a key's bias) is rounding error in both
            lines = compare.difference(f"the gradient with respect to {name}", a, e, max(rtol, 1e-4))
            if lines:
                raise NotPassed(
                    [f"Tried with {case}: the values are right, the gradient is not.", *lines],
                    "Part of the computation may be cut off by `.detach()` or `.data`.",
                )


# What torch says of a tensor on `meta` whose values are asked for. On a real device they are there: no fault of the learner's.
_NEEDS_VALUES = (
    "Tensor.item() cannot be called on meta",
    "Cannot copy out of meta tensor",
    "register_meta function for torch.nonzero()",
    "aten::equal",
    "aten::unique_consecutive",
    "aten::_unique2",
)


def _settings() -> dict[str, object]:
    return {
        "the default dtype (`torch.set_default_dtype`)": torch.get_default_dtype(),
        "the default device (`torch.set_default_device`)": torch.get_default_device(),
        "whether gradients are tracked (`torch.set_grad_enabled`)": torch.is_grad_enabled(),
    }


def in_a_line(error: BaseException) -> str:
    """`ValueError: what it says`, shortened, and safe with any exception that a learner may write."""
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines() or [type(error).__name__]
    line = lines[-1] if isinstance(error, SyntaxError) else lines[0]
    return line if len(line) <= 300 else line[:299] + "…"


def _cause_of(error: BaseException) -> str:
    text = in_a_line(error)
    if isinstance(error, NameError):
        return "A name is used before it is defined: was the cell that defines it run?"
    if isinstance(error, RecursionError):
        return "The function calls itself without an end."
    if isinstance(error, SystemExit):
        return "`exit()` or `sys.exit()` would end the notebook's kernel: return a value instead."
    if "positional argument" in text or "unexpected keyword argument" in text or "multiple values for argument" in text:
        return "Keep the signature that the exercise gives: names, order and defaults of the arguments."
    if "before Module.__init__() call" in text:
        return "`super().__init__()` must be the first line of `__init__`."
    if "in-place operation" in text:
        return "An argument was changed in place: avoid `x += …`, `x[…] = …` and methods that end in `_` on arguments."
    if "same device" in text or "expected device" in text or "meta" in text:
        return "A tensor made inside (torch.arange, torch.zeros, …) needs `device=` of an argument, or `.item()` was called."
    if "must match the size" in text or "shapes cannot be multiplied" in text or "Expected size for" in text:
        return "Two shapes do not fit together: write the shape of each tensor beside its line, and look for a missing transpose or axis."
    if "view size is not compatible" in text:
        return "After a transpose, `view` no longer works: use `reshape` (or `.contiguous()` first)."
    if "dtype" in text or "scalar type" in text:
        return "Tensors of different types meet: keep the arguments' type for tensors made inside."
    return ""


def _on_meta(args: Any) -> bool:
    return any(x.is_meta for x in _tensors([args]))


def _tensors(value: Any) -> list[Tensor]:
    """All tensors inside nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [x for item in value for x in _tensors(item)] if isinstance(value, list | tuple) else []


def _fresh(value: Any, track: bool) -> Any:
    """A copy that the learner's code may harm, with gradients tracked for floats when asked."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(track and value.is_floating_point())
    if isinstance(value, dict):
        return {key: _fresh(item, track) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_fresh(item, track) for item in value)
    return value


def _unchanged(old: Tensor, new: Tensor) -> bool:
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    return old.is_meta or torch.equal(old.nan_to_num(), new.detach().nan_to_num())


def _convert(value: Any, to: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.to(to) if to == "meta" or value.is_floating_point() else value


def _as(call: Any, to: Any) -> Any:
    return call.to(to) if isinstance(call, nn.Module) else call
