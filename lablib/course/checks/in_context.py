"""Lab 07: the exercise of `lablib.pretraining.in_context`, on models whose memory is known."""

from collections.abc import Callable

import torch
from torch import Tensor

from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake
from lablib.pretraining.in_context import surprise

Model = Callable[[Tensor], Tensor]
V = 13

# ---------------------------------------------------------------- models to try it on


def _copies(ids: Tensor) -> Tensor:
    """Expects what followed when the token stood there last: ids (B, T) -> logits (B, T, V)."""
    logits = torch.zeros(*ids.shape, V)
    for row, places in zip(logits, ids.tolist(), strict=True):
        for t, token in enumerate(places):
            for s in range(t):
                if places[s] == token:
                    row[t] = 0.0
                    row[t, places[s + 1]] = 4.0
    return logits


def _surer_later(ids: Tensor) -> Tensor:
    """Small numbers are likelier the later it is, whatever stands before: ids (B, T) -> logits (B, T, V)."""
    logits = torch.arange(ids.shape[1])[:, None] * torch.linspace(1.0, 0.0, V) * 0.4  # (T, V)
    return logits.expand(len(ids), -1, -1)


def _remembers_all(table: Tensor) -> Model:
    """Each token so far, the last one most, pushes the logits its own way: table (V, V)."""

    def logits(ids: Tensor) -> Tensor:
        return table[ids].cumsum(dim=1) * 0.3 + table[ids]  # (B, T, V)

    return logits


def check_copying_gain(attempt: Attempt) -> None:
    # The result is (B,): a matrix that could be mistaken for its mT does not occur.
    first, second = torch.tensor([[0, 1, 2]]), torch.tensor([[3, 4, 5]])
    attempt.compare("a model that copies, one row of 3 tokens", _copies, first, second)
    table = attempt.normal(V, V)
    rows, others = (torch.stack([torch.randperm(V, generator=attempt.generator)[:6] for _ in range(3)]) for _ in "ab")
    attempt.compare("a model that remembers all it has read, rows (3, 6)", _remembers_all(table), rows, others)
    attempt.compare("a model that copies, rows (3, 6)", _copies, rows, others)
    attempt.compare("a model that is surer at later places and copies nothing, rows (3, 6)", _surer_later, rows, others)
    attempt.compare("rows (2, 2), the shortest", _remembers_all(table), rows[:2, :2], others[:2, :2])


# ---------------------------------------------------------------- wrong answers


def _against_first_reading(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    T = rows.shape[1]
    nats = surprise(model, torch.cat((rows, rows), dim=1))
    return nats[:, : T - 1].mean(dim=1) - nats[:, T:].mean(dim=1)


def _at(start: int) -> Implementation:
    def wrong(model: Model, rows: Tensor, others: Tensor) -> Tensor:
        again, fresh = (surprise(model, torch.cat((before, rows), dim=1)) for before in (rows, others))
        return (fresh - again)[:, rows.shape[1] + start :].mean(dim=1)

    return wrong


def _whole_text(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    again, fresh = (surprise(model, torch.cat((before, rows), dim=1)) for before in (rows, others))
    return (fresh - again).mean(dim=1)


def _loss_instead(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    again, fresh = (surprise(model, torch.cat((before, rows), dim=1)) for before in (rows, others))
    return (again - fresh)[:, rows.shape[1] :].mean(dim=1)


def _summed(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    again, fresh = (surprise(model, torch.cat((before, rows), dim=1)) for before in (rows, others))
    return (fresh - again)[:, rows.shape[1] :].sum(dim=1)


def _one_number(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    again, fresh = (surprise(model, torch.cat((before, rows), dim=1)) for before in (rows, others))
    return (fresh - again)[:, rows.shape[1] :].mean()


def _others_judged(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    again = surprise(model, torch.cat((rows, rows), dim=1))
    fresh = surprise(model, torch.cat((rows, others), dim=1))
    return (fresh - again)[:, rows.shape[1] :].mean(dim=1)


COPYING_GAIN = Exercise(
    lab="07",
    target="lablib.pretraining.in_context:copying_gain",
    title="Does it copy?",
    difficulty=2,
    importance=3,
    minutes=10,
    hints=(
        "Two texts for each row: the row behind itself, and the row behind its partner in `others`. What differs between the two readings, "
        "and what is the same?",
        "`surprise` of a text of 2T tokens has 2T − 1 columns, and column j is about token j + 1. Tokens T … 2T − 1 are the second "
        "reading; the first of them does not count.",
        "`again = surprise(model, torch.cat((rows, rows), dim=1))`, `fresh` the same with `(others, rows)`, and then the mean of "
        "`(fresh - again)[:, T:]` over the columns.",
    ),
    reasoning="Both readings judge the same tokens at the same places, so whatever a model knows about words or places is in both "
    "numbers and falls out of their difference. Comparing with the first reading of the same text would not do that: early places are "
    "harder for every model that makes use of what stands before. Nothing announces the first token of the second reading, not even to a "
    "perfect copier: it follows the last token of the row, which had not been followed by anything yet.",
    check=check_copying_gain,
    mistakes=(
        Mistake(
            "first reading",
            _against_first_reading,
            "The second reading was compared with the first (or with the row alone, which is the same): that stands at earlier "
            "places, which are harder for other reasons. Compare with the same row behind `others`.",
        ),
        Mistake(
            "first token",
            _at(-1),
            "The first token of the second reading was counted: nothing announces it. Column j is about token j + 1, so begin at column T.",
        ),
        Mistake(
            "too late",
            _at(1),
            "One token too many was left out: column j is about token j + 1, so token T + 1 is column T.",
        ),
        Mistake(
            "whole text", _whole_text, "The first half counts, too: only the second reading is the same in both texts."
        ),
        Mistake(
            "sign",
            _loss_instead,
            "The sign is wrong: a gain is how much *less* surprising the repeated row is, fresh − again.",
        ),
        Mistake("sum", _summed, "The nats were added up: expected their mean over the T − 1 tokens that count."),
        Mistake("one number", _one_number, "The rows were averaged, too: expected one number for each row, (B,)."),
        Mistake(
            "others judged",
            _others_judged,
            "In the control `others` were judged: the same row must be judged, with `others` *before* it.",
        ),
    ),
)
EXERCISES = [COPYING_GAIN]
