import dataclasses
import math
import sys

import pytest
import torch

from lablib.course import checks
from lablib.course.exercise import NotPassed
from lablib.course.lab import Lab

SCORES = checks.find("lablib.architecture.attention:attention_scores")
right = SCORES.reference


def failure(candidate, exercise=SCORES):
    with pytest.raises(NotPassed) as caught:
        Lab.run_check(exercise, candidate)
    return f"{caught.value}\n{caught.value.cause}"


def unprintable(q, k):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("not even a text")

    raise Odd


def very_long(q, k):
    raise ValueError("x" * 100_000)


def of_several_lines(q, k):
    raise ValueError("first line\nsecond line")


def recursive(q, k):
    return recursive(q, k)


def not_defined(q, k):
    return q @ kk  # noqa: F821


def no_arguments():
    return 0


def exits(q, k):
    sys.exit()


def generator(q, k):
    yield q


def sets_dtype(q, k):
    torch.set_default_dtype(torch.float64)
    return right(q, k)


def sets_grad(q, k):
    torch.set_grad_enabled(False)
    return right(q, k)


def sets_device(q, k):
    torch.set_default_device("meta")
    return right(q, k)


def adds_in_place(q, k):
    q += 0.0
    return right(q, k)


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (unprintable, "Your code raised"),
        (very_long, "…"),
        (of_several_lines, "raised ValueError: first line\nIt happened at line"),
        (recursive, "calls itself without an end"),
        (not_defined, "used before it is defined"),
        (no_arguments, "Keep the signature"),
        (exits, "would end the notebook's kernel"),
        (generator, "got generator"),
        (sets_dtype, "`torch.set_default_dtype`) for everybody"),
        (sets_grad, "`torch.set_grad_enabled`) for everybody"),
        (sets_device, "for everybody"),
        (adds_in_place, "An argument was changed in place"),
        (None, "expected a function or a class, got None"),
        (3, "got int 3"),
    ],
)
def test_what_learners_do_gets_its_own_words(candidate, words):
    text = failure(candidate)
    assert words in text
    assert len(text) < 2000
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.zeros(1).device.type == "cpu"


def test_a_seed_inside_does_not_leak():
    def seeds(q, k):
        torch.manual_seed(3)
        return right(q, k)

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Lab.run_check(SCORES, seeds)
    assert torch.equal(torch.rand(3), expected)


def test_an_interrupt_goes_through():
    def interrupted(q, k):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Lab.run_check(SCORES, interrupted)


def test_asking_for_values_is_no_device_error():
    """On `meta` there are no values to ask for; on the GPU that it stands for there are."""

    def looks(q, k):
        return right(q, k) if bool(q.abs().max() >= 0) else q

    Lab.run_check(SCORES, looks)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("difficulty", 6, "difficulty = 6"),
        ("importance", 0, "importance = 0"),
        ("hints", ("a",), "1 hints"),
        ("mistakes", (), "0 mist"),
    ],
)
def test_an_exercise_checks_itself(field, value, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SCORES, **{field: value})


def test_the_inputs_are_the_same_every_time():
    seen = []

    def spy(q, k):
        seen.append(float(q.detach().double().sum()) if not q.is_meta else math.inf)
        return right(q, k)

    Lab.run_check(SCORES, spy)
    first, seen[:] = list(seen), []
    Lab.run_check(SCORES, spy)
    assert first == seen
