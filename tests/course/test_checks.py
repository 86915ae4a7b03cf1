"""The checks are checked: for every exercise right answers pass, wrong ones fail, and each message names its cause.

python -m tests.course.test_checks      the counts, as a table
"""

import dataclasses
import importlib
import inspect
import math
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from lablib.course import checks, guard
from lablib.course.exercise import Exercise, NotAttempted, NotPassed
from lablib.course.lab import Lab

sys.path.insert(0, str(Path(__file__).parent))
EXERCISES = [exercise for lab in checks.labs() for exercise in checks.exercises(lab)]
NAMES = {exercise.name: exercise for exercise in EXERCISES}
# Two mistakes with the same result on every input: the first one named speaks for both.
SAME_RESULT: dict[tuple[str, str], str] = {}


def answers(kind: str) -> list[tuple[str, str, object, str]]:
    """(exercise, label, implementation, words expected in the message) from the answers_<topic>.py beside this file."""
    found = []
    for lab in checks.labs():
        module = importlib.import_module(f"answers_{checks.MODULES[lab]}")
        for name, rows in getattr(module, kind).items():
            for row in rows:
                label, implementation, *words = row if isinstance(row, tuple) else (row.__name__, row)
                found.append((name, label, implementation, words[0] if words else ""))
    return found


def failure(exercise: Exercise, candidate: object) -> NotPassed:
    with warnings.catch_warnings(action="ignore"), pytest.raises(NotPassed) as caught:
        Lab.run_check(exercise, candidate)
    text = f"{caught.value}\n{caught.value.cause}"
    assert "Traceback" not in text
    assert "lablib/" not in text
    assert ".py" not in text
    return caught.value


# ---------------------------------------------------------------- wrong answers made from the reference


def _map(value, change):
    if isinstance(value, tuple):
        return (change(value[0]), *value[1:]) if isinstance(value[0], torch.Tensor) else value
    return change(value) if isinstance(value, torch.Tensor) else value


def wrapped(exercise: Exercise, change) -> object:
    """The reference with `change(result, args)` behind it (for a class: behind its method)."""
    reference = exercise.reference
    if not isinstance(reference, type):

        def candidate(*args, **kwargs):
            return change(reference(*args, **kwargs), [*args, *kwargs.values()])

        return candidate
    method = exercise.parsed.method

    def run(self, *args, **kwargs):
        return change(getattr(reference, method)(self, *args, **kwargs), [*args, *kwargs.values()])

    return type(reference.__name__, (reference,), {method: run})


def in_place(result, args):
    result = _map(result, lambda x: x.clone())  # it may be a view of an argument
    for x in args:
        if isinstance(x, torch.Tensor) and not x.is_meta:
            x.data.copy_(~x if x.dtype == torch.bool else x + 1)
    return result


def nan_in_one(x):
    x = x.clone()
    if x.is_floating_point() and x.numel():
        x[(0,) * x.dim()] = math.nan
    return x


def raises(kind, *args):
    def change(result, arguments):
        raise kind(*args)

    return change


def endless(result, args):
    while True:
        pass


GENERIC = {
    "none": (lambda r, a: None, "Is there a `return` at the end?"),
    "zeros": (lambda r, a: _map(r, torch.zeros_like), "expected"),
    "ones": (lambda r, a: _map(r, torch.ones_like), "expected"),
    "nan": (lambda r, a: _map(r, nan_in_one), "is NaN"),
    "noise": (
        lambda r, a: _map(r, lambda x: x * (1 + 1e-3 * torch.arange(x.numel()).view(x.shape).cos())),
        "the first diff",
    ),
    "float64": (lambda r, a: _map(r, lambda x: x.double()), "wrong dtype"),
    "float16": (lambda r, a: _map(r, lambda x: x.half()), "wrong dtype"),
    "extra axis": (lambda r, a: _map(r, lambda x: x[None]), "wrong shape"),
    "transposed": (lambda r, a: _map(r, lambda x: x.mT), "expected"),
    "in place": (in_place, "in place"),
    "detached": (lambda r, a: _map(r, lambda x: x.detach()), "gradient"),
    "value error": (raises(ValueError, "deliberate"), "Your code raised ValueError: deliberate"),
    "exit": (raises(SystemExit, 3), "would end the notebook's kernel"),
    "list": (lambda r, a: [r], "expected"),
    "string": (lambda r, a: "a tensor", "expected"),
    "numpy": (lambda r, a: _map(r, lambda x: x if x.is_meta else x.detach().numpy()), "expected"),
    "cpu": (lambda r, a: _map(r, lambda x: torch.zeros(x.shape, dtype=x.dtype) if x.is_meta else x), "wrong device"),
    "float32": (lambda r, a: _map(r, lambda x: x.float()), "wrong dtype"),
    "sparse": (lambda r, a: _map(r, lambda x: x if x.is_meta else x.to_sparse()), "layout"),
}
# What an exercise does not ask for, by the words of its check: then that wrong answer is none.
NEEDS = {
    "in place": "argument",
    "detached": "gradients=True",
    "cpu": "keeps_type_and_device",
    "float32": "keeps_type_and_device",
}
TENSORS = {"zeros", "ones", "nan", "noise", "float64", "float16", "extra axis", "transposed", "numpy", "sparse"}


def applies(exercise: Exercise, kind: str) -> bool:
    source = inspect.getsource(exercise.check)
    reference = exercise.reference
    returns = inspect.signature(getattr(reference, exercise.parsed.method) if exercise.parsed.method else reference)
    annotation = str(returns.return_annotation)
    if kind in TENSORS | {"detached", "cpu", "float32"} and "Tensor" not in annotation:
        return False
    if kind in {"nan", "noise"} and re.search(
        "bool|whole numbers", (reference.__doc__ or "").partition("Returns")[2].partition(">>>")[0][:60]
    ):
        return False
    if kind == "float64" and "in float64" in source:  # such a result is right
        return False
    if kind == "transposed":
        return "mT" not in source and exercise.name not in {"alibi_slopes", "nearest_neighbours"}
    if kind == "in place":
        annotations = [str(p.annotation) for p in returns.parameters.values()]
        return any("Tensor" in a and not {"Iterable", "Callable"} & set(re.findall(r"\w+", a)) for a in annotations)
    return NEEDS.get(kind, "") in source


GENERIC_CASES = [(e.name, kind) for e in EXERCISES for kind in GENERIC if applies(e, kind)]


# ---------------------------------------------------------------- tests


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_passes(name):
    Lab.run_check(NAMES[name], NAMES[name].reference)


@pytest.mark.parametrize(("name", "label", "implementation", "_"), answers("RIGHT"))
def test_right_answers_pass(name, label, implementation, _):
    Lab.run_check(NAMES[name], implementation)


def test_every_exercise_has_answers_of_both_kinds():
    right, wrong = [row[0] for row in answers("RIGHT")], [row[0] for row in answers("WRONG")]
    assert set(right) == set(wrong) == set(NAMES)
    assert all(right.count(name) >= 2 and wrong.count(name) >= 3 for name in NAMES)


@pytest.mark.parametrize(("name", "number"), [(e.name, i) for e in EXERCISES for i in range(len(e.mistakes))])
def test_a_mistake_is_told_by_its_own_cause(name, number):
    exercise = NAMES[name]
    mistake = exercise.mistakes[number]
    said = failure(exercise, mistake.implementation)
    named = SAME_RESULT.get((name, mistake.name), mistake.name)
    assert said.cause == next(m.cause for m in exercise.mistakes if m.name == named)


@pytest.mark.parametrize(("name", "label", "implementation", "words"), answers("WRONG"))
def test_wrong_answers_fail(name, label, implementation, words):
    said = failure(NAMES[name], implementation)
    assert words in f"{said}\n{said.cause}"


@pytest.mark.parametrize(("name", "kind"), GENERIC_CASES)
def test_generic_wrong_answers_fail_with_the_right_message(name, kind):
    exercise, (change, words) = NAMES[name], GENERIC[kind]
    said = failure(exercise, wrapped(exercise, change))
    text = f"{said}\n{said.cause}"
    if kind in {"float32", "float64", "float16"} and "wrong dtype" not in text:
        assert "expected" in text  # a bool or a plain number was asked for
    else:
        assert words in text
    assert "Tried with" in text


@pytest.mark.parametrize("name", NAMES)
def test_an_endless_loop_is_stopped(name):
    exercise = dataclasses.replace(NAMES[name], seconds=0.3)
    with pytest.raises(guard.TimeLimit):
        Lab.run_check(exercise, wrapped(exercise, endless))


@pytest.mark.parametrize("name", NAMES)
def test_the_blank_is_not_attempted(name):
    exercise = NAMES[name]
    source = exercise.parsed.blank()
    namespace = dict(vars(sys.modules[exercise.reference.__module__]), nn=nn)
    import linecache

    file = f"<blank {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), namespace)
    with pytest.raises(NotAttempted):
        Lab.run_check(exercise, namespace[name])


def table() -> str:
    """Exercises, wrong answers tried and caught, right answers tried and passed."""

    def caught(exercise: Exercise, candidate: object) -> bool:
        try:
            with warnings.catch_warnings(action="ignore"):
                Lab.run_check(exercise, candidate)
        except (NotPassed, guard.TimeLimit):
            return True
        return False

    rows = []
    for e in EXERCISES:
        quick = dataclasses.replace(e, seconds=0.5)
        wrong = [m.implementation for m in e.mistakes] + [w[2] for w in answers("WRONG") if w[0] == e.name]
        wrong += [wrapped(e, GENERIC[kind][0]) for name, kind in GENERIC_CASES if name == e.name]
        right = [r[2] for r in answers("RIGHT") if r[0] == e.name] + [e.reference]
        found = sum(caught(e, w) for w in wrong) + caught(quick, wrapped(e, endless))
        rows.append((e.lab, e.name, len(wrong) + 1, found, len(right), sum(not caught(e, r) for r in right)))
    lines = ["lab  exercise                       wrong  caught  right  passed"]
    lines += [f"{lab:<4} {name:<30} {w:>5} {c:>7} {r:>6} {p:>7}" for lab, name, w, c, r, p in rows]
    sums = [sum(row[i] for row in rows) for i in range(2, 6)]
    return "\n".join([*lines, f"{'all':<4} {len(rows):<30} {sums[0]:>5} {sums[1]:>7} {sums[2]:>6} {sums[3]:>7}"])


if __name__ == "__main__":
    print(table())
