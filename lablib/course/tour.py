"""A first exercise to look at in the welcome lab: it is checked as all others are, and nothing of it is kept."""

from torch import Tensor

from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotAttempted, NotPassed
from lablib.course.guard import TimeLimit
from lablib.course.lab import Banner, Lab


def shares(counts: Tensor) -> Tensor:
    """Each word's count as its share of the row's total.

    >>> import torch
    >>> shares(torch.tensor([[3.0, 1.0]]))
    tensor([[0.7500, 0.2500]])

    Args:
        counts: (B, V), how often each of V words was seen in each of B texts; no row is all zero.

    Returns:
        (B, V), each row sums to 1.
    """
    return counts / counts.sum(dim=-1, keepdim=True)  # (B, V) / (B, 1)


def _check(attempt: Attempt) -> None:
    counts = attempt.normal(3, 4).abs() + 1
    attempt.compare("counts of 4 words in 3 texts", counts, outputs=["the shares"], axes=["B", "V"], gradients=True)


EXERCISE = Exercise(
    lab="00",
    target="lablib.course.tour:shares",
    title="Counts into shares",
    difficulty=1,
    importance=1,
    minutes=2,
    hints=(
        "What must each row sum to?",
        "`counts.sum(dim=…)` adds along one axis: along which does a row run?",
        "`keepdim=True` keeps the axis, so that a (B, 1) tensor divides a (B, V) one row by row.",
    ),
    reasoning="A share is a count divided by the total of its own row.",
    check=_check,
    mistakes=(
        Mistake(
            "over everything",
            lambda counts: counts / counts.sum(),
            "The total is taken over all texts, not over each row.",
        ),
        Mistake(
            "over columns",
            lambda counts: counts / counts.sum(dim=0, keepdim=True),
            "The total runs down the columns (dim=0): a row runs along the last axis, dim=-1.",
        ),
        Mistake(
            "by the largest",
            lambda counts: counts / counts.amax(dim=-1, keepdim=True),
            "Each row is divided by its largest count: it should be divided by its sum.",
        ),
    ),
)


def try_out(candidate: Implementation) -> Banner:
    """Check `candidate` as `shares` and return what a lab's check would say. Nothing is recorded."""
    try:
        Lab.run_check(EXERCISE, candidate)
    except NotAttempted:
        return Banner("not attempted", "shares: not attempted; the reference is used")
    except NotPassed as failure:
        title = "shares: not passed yet; the reference is used until it is"
        return Banner("not passed", title, failure.lines, failure.cause, EXERCISE.hints[0], 1)
    except TimeLimit:
        return Banner("not passed", "shares: stopped, still running after its time limit")
    return Banner("passed", "shares: passed; your code is used from here on")
