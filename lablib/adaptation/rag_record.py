"""Reading the record of lab 11's study: rows in groups, shares with intervals, and what it brings to withhold answers.

A row is one answer of one reader to one question: the condition (what it was given), and what a program can say of the answer.
`rag_study` makes the rows; everything here works on rows that are there, so that a notebook can read the record without a model.

Left out: tests of differences between conditions (compare them on the same questions).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lablib.adaptation.abstention import best_threshold, separation
from lablib.pretraining.in_context import Interval, share_interval

Row = dict[str, Any]
OWN = "its own words"  # the reader says by itself that it does not know


def share(rows: Sequence[Mapping[str, Any]], what: str) -> Interval:
    """The share of rows in which something is so, with its 95 % interval. Raises: ValueError: no row.

    >>> [round(end, 2) for end in share([{"right": True}, {"right": False}], "right")]
    [0.5, 0.09, 0.91]
    """
    return share_interval([bool(row[what]) for row in rows])


def by(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    """The rows in groups of the same value, in the order in which the values appear.

    >>> by([{"a": 1}, {"a": 2}, {"a": 1}], "a")
    {1: [{'a': 1}, {'a': 1}], 2: [{'a': 2}]}
    """
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[name], []).append(row)
    return groups


# ---------------------------------------------------------------- withholding answers


@dataclass(frozen=True)
class Abstention:
    """What is withheld if an answer is given only where a signal reaches a threshold: shares with their 95 % intervals.

    Attributes:
        threshold: of the signal, chosen on other questions; None where nothing is withheld but what the reader itself declines to answer.
        separation: of right answers and unanswerable questions by the signal, see `abstention.separation`; None without a signal.
        unanswerable: the share of unanswerable questions that got no answer, which is as it should be.
        wrong: the share of wrong answers to answerable questions that nobody got to see.
        right: the share of right answers that were lost: the price.
    """

    threshold: float | None
    separation: float | None
    unanswerable: Interval
    wrong: Interval
    right: Interval

    def __str__(self) -> str:
        names = {"unanswerable": self.unanswerable, "wrong": self.wrong, "right": self.right}
        parts = [f"{name} {value:.2f} [{low:.2f}, {high:.2f}]" for name, (value, low, high) in names.items()]
        if self.threshold is not None:
            parts.append(f"separation {self.separation:.2f}, threshold {self.threshold:.3f}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Kinds:
    """Rows by what became of them: unanswerable questions; answerable ones with a right answer, or without one."""

    unanswerable: list[Row]
    right: list[Row]
    wrong: list[Row]

    @property
    def complete(self) -> bool:
        """Is there at least one of each?"""
        return bool(self.unanswerable and self.right and self.wrong)


def kinds(rows: Sequence[Row]) -> Kinds:
    """The rows by kind."""
    answerable = [row for row in rows if row["kind"] != "unanswerable"]
    return Kinds(
        [row for row in rows if row["kind"] == "unanswerable"],
        [row for row in answerable if row["right"]],
        [row for row in answerable if not row["right"]],
    )


def withholding(dev: Kinds, test: Kinds, signal: str | None) -> Abstention:
    """The threshold of a signal that is best on the dev questions, measured on others.

    What should be kept is the right answers; what should be withheld is every answer to an unanswerable question.

    Args:
        dev: where the threshold is chosen. test: where it is measured.
        signal: a name that stands in the rows' "signals"; None for the reader's own words alone.
    Raises:
        ValueError: a kind of which there is no row.
    """

    def values(rows: Sequence[Row]) -> list[float]:
        return [row["signals"][signal] for row in rows]

    threshold = None if signal is None else best_threshold(values(dev.right), values(dev.unanswerable))

    def withheld(rows: Sequence[Row]) -> Interval:
        return share_interval(
            [row["abstained"] or (threshold is not None and row["signals"][signal] < threshold) for row in rows]
        )

    apart = None if signal is None else separation(values(test.right), values(test.unanswerable))
    return Abstention(threshold, apart, withheld(test.unanswerable), withheld(test.wrong), withheld(test.right))


def abstentions(rows: Sequence[Row], split: str, condition: str) -> dict[str, Abstention]:
    """For each signal what withholding by it does on the questions of a split; the thresholds are those of the part "calibration".

    Args:
        rows: of the record. split: "held_out" or "dev"; on "dev" the thresholds are measured where they were chosen, and look too good.
        condition: of the rows, such as "1 found".
    Returns: name of the signal -> result, the reader's own words first. Nothing where the record does not have what is needed.
    """
    some = [row for row in rows if row["condition"] == condition]
    dev = kinds([row for row in some if row["part"] == "calibration"])
    test = kinds([row for row in some if row["part"] in ("answers", "unanswerable") and row["split"] == split])
    if not dev.complete or not test.complete:
        return {}
    names = list(dev.right[0]["signals"])
    return {OWN: withholding(dev, test, None)} | {name: withholding(dev, test, name) for name in names}
