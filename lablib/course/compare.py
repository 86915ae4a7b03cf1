"""Comparing what a learner's code returned with what was expected, and saying in words how they differ.

Everything here works on results that are already there; running the learner's code is `exercise.Attempt`'s part.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def shape(x: Tensor) -> str:
    return f"({', '.join(map(str, x.shape))}{',' if x.dim() == 1 else ''})"


def dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def describe(value: object) -> str:
    """A value in a few words: `float32 tensor of shape (2, 3)`, `list [1, 2]`, `int 3`.

    >>> describe((torch.zeros(2, 3), None))
    'tuple of float32 tensor of shape (2, 3), None'
    >>> describe([(1, 2), "a"])
    "list [(1, 2), 'a']"
    """
    if isinstance(value, Tensor):
        return f"{dtype(value)} tensor of shape {shape(value)}"
    if isinstance(value, tuple | list) and (not value or not _plain(value)):
        return f"{type(value).__name__} of {', '.join(map(describe, value)) or 'nothing'}"
    if value is None:
        return "None"
    try:
        text = repr(value)
    except Exception as error:
        return f"{type(value).__name__} whose repr raises {type(error).__name__}"
    most = 100 if isinstance(value, tuple | list) else 40
    return f"{type(value).__name__} {text if len(text) <= most else text[: most - 3] + '…'}"


def _plain(value: object) -> bool:
    """Numbers and texts, or lists of them, however deep: Python's own way to write it is the shortest."""
    if isinstance(value, tuple | list):
        return type(value) in (tuple, list) and all(map(_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes)


def _close(actual: Tensor, expected: Tensor, rtol: float) -> Tensor:
    """Elementwise: within rtol of the largest finite expected size, so that a result of all zeros never passes."""
    if not expected.is_floating_point():
        return actual == expected
    finite = expected[expected.isfinite()]
    scale = finite.abs().max().item() if finite.numel() else 1.0
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    return same | ((actual - expected).abs() <= rtol * (scale or 1.0))


def same(actual: object, expected: object, rtol: float) -> bool:
    """Whether two results agree in kind, shape and value (the type of the numbers aside)."""
    if isinstance(expected, tuple):
        return (
            isinstance(actual, tuple)
            and len(actual) == len(expected)
            and all(same(a, e, rtol) for a, e in zip(actual, expected, strict=True))
        )
    if isinstance(expected, Tensor):
        return (
            isinstance(actual, Tensor)
            and actual.shape == expected.shape
            and actual.layout == expected.layout
            and actual.device == expected.device
            and bool(_close(actual.to(expected.dtype), expected, rtol).all())
        )
    if isinstance(expected, float):
        return isinstance(actual, int | float) and abs(actual - expected) <= rtol * max(abs(expected), rtol)
    return type(actual) is type(expected) and bool(actual == expected)


def difference(
    name: str,
    actual: object,
    expected: object,
    rtol: float,
    axes: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> list[str]:
    """How a result differs from the expected one, as lines for the learner; an empty list when it does not.

    Args:
        name: what the learner calls the result.
        axes: names of the result's axes, shown with a wrong shape.
        parts: where several results are expected, what each is called, shown with a wrong number of them.
    """
    if actual is None and expected is not None:
        return [f"{name} is None: expected a {describe(expected)}.", "Is there a `return` at the end?"]
    if isinstance(expected, tuple):
        if not isinstance(actual, tuple | list) or len(actual) != len(expected):
            if len(parts) != len(expected):
                return [f"{name}: expected {len(expected)} results, a {describe(expected)}; got a {describe(actual)}."]
            named = ", ".join(f"{part} ({describe(one)})" for part, one in zip(parts, expected, strict=True))
            return [f"{name}: expected {len(expected)} results: {named}; got a {describe(actual)}."]
        return []  # each part is compared under its own name
    if not isinstance(expected, Tensor):
        if isinstance(expected, int | float) and (remedy := _to_plain(actual, type(expected).__name__)):
            return [f"{name} is a {describe(actual)}: expected a plain {type(expected).__name__} ({remedy})."]
        return (
            [] if same(actual, expected, rtol) else [f"{name}: expected {describe(expected)}, got {describe(actual)}."]
        )
    if not isinstance(actual, Tensor):
        return [f"{name}: expected a {describe(expected)}, got {describe(actual)}."]
    if actual.layout != expected.layout:
        return [f"{name}: expected an ordinary (dense) tensor, got one with layout {actual.layout}."]
    if actual.shape != expected.shape:
        named = f" ({', '.join(axes)})" if axes else ""
        return [
            f"{name} has the wrong shape: expected {shape(expected)}{named}, got {shape(actual)}.",
            *_shape_hint(actual, expected),
        ]
    if actual.device != expected.device:
        return [
            f"{name} is on the wrong device: expected {expected.device.type}, like the arguments; got {actual.device.type}.",
            "A tensor made inside (torch.arange, torch.zeros, …) needs `device=` of an argument.",
        ]
    if actual.dtype != expected.dtype:
        return [
            f"{name} has the wrong dtype: expected {dtype(expected)}, got {dtype(actual)}.",
            "The result should keep the type of the arguments; a tensor made inside may need `dtype=`."
            if expected.is_floating_point()
            else f"Make it with `dtype=torch.{dtype(expected)}`, or by a comparison where a bool is wanted.",
        ]
    if expected.device.type == "meta":
        return []
    broken = ~actual.isfinite() & expected.isfinite() if expected.is_floating_point() else torch.zeros(())
    if broken.any():
        index = _first(broken)
        kind = "NaN" if actual[index].isnan() else "infinite"
        return [
            f"{name}{_brackets(index)} is {kind} (as are {int(broken.sum()) - 1} other entries): "
            f"expected {_number(expected[index])}.",
            "exp of a large number overflows, 0/0 and inf − inf are NaN: which of these can happen here?",
        ]
    wrong = ~_close(actual, expected, rtol)
    if not wrong.any():
        return []
    index = _first(wrong)
    counted = f"{int(wrong.sum())} of {wrong.numel()} entries differ"
    return [
        f"{name}{_brackets(index)}: expected {', got '.join(_numbers(expected[index], actual[index]))} "
        f"(the first difference; {counted}).",
        *_pattern(actual, expected, rtol),
    ]


def _to_plain(value: object, kind: str) -> str:
    """How one number in a tensor or of NumPy becomes a plain one; "" for anything else (NumPy's float64 is a plain float)."""
    if isinstance(value, Tensor):
        return "`.item()`" if value.numel() == 1 else ""
    one = hasattr(value, "item") and getattr(value, "size", None) == 1 and not isinstance(value, int | float)
    return f"`{kind}(x)` or `.item()`" if one else ""


def _first(wrong: Tensor) -> tuple[int, ...]:
    return tuple(wrong.nonzero()[0].tolist())


def _brackets(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _number(x: Tensor, digits: int = 4) -> str:
    return f"{x.item():.{digits}g}" if x.is_floating_point() else str(x.item())


def _numbers(a: Tensor, b: Tensor) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see that they differ."""
    pairs = ((_number(a, digits), _number(b, digits)) for digits in range(4, 18))
    return next((pair for pair in pairs if pair[0] != pair[1]), (_number(a, 17), _number(b, 17)))


def _shape_hint(actual: Tensor, expected: Tensor) -> list[str]:
    if actual.dim() == expected.dim() and sorted(actual.shape) == sorted(expected.shape):
        return ["The sizes are right but their order is not: look for a missing or misplaced transpose."]
    if actual.numel() == expected.numel():
        return ["The number of entries is right: a view, reshape or transpose is missing or misplaced."]
    if actual.dim() == expected.dim() - 1:
        return ["One axis has gone: a sum, mean or max may need `keepdim=True`, or a comma-one index was used."]
    return []


def _pattern(actual: Tensor, expected: Tensor, rtol: float) -> list[str]:
    """A regularity in a wrong answer that says what went wrong, as far as one can be seen."""
    if not expected.is_floating_point():
        if actual.dtype == torch.bool and bool((actual == ~expected).all()):
            return ["Every entry is the opposite of what it should be: True and False are swapped."]
        return []
    if not actual.any():
        return ["Every entry of yours is zero."]
    if rtol < 1e-6 and bool(_close(actual, expected, 1e-5).all()):
        return [
            "It is nearly right: somewhere float64 numbers pass through a type with fewer digits (`.float()`, `dtype=`)."
        ]
    usable = (expected.abs() > 1e-3 * expected.abs().max()) & expected.isfinite()
    ratio = actual[usable] / expected[usable]
    if ratio.numel() > 2 and ratio.std() <= 1e-4 * ratio.mean().abs():
        factor = ratio.mean().item()
        if abs(factor - 1) < 1e-3:
            return []
        what = "The sign is wrong" if abs(factor + 1) < 1e-3 else f"Every entry is {factor:.4g} times what it should be"
        return [f"{what}."]
    if (
        actual.dim() >= 2
        and actual.shape[-1] == actual.shape[-2]
        and bool(_close(actual.transpose(-2, -1), expected, rtol).all())
    ):
        return ["It is the transpose of what it should be: rows and columns are swapped."]
    return []
