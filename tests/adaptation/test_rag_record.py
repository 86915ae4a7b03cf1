"""Reading rows: groups, shares, and thresholds that are chosen in one place and measured in another."""

import pytest

from lablib.adaptation.rag_record import OWN, abstentions, by, kinds, share, withholding
from lablib.corpus.scoring import wilson


def row(part, kind, right, signal, split="dev", abstained=False, condition="1 found"):
    return {
        "part": part,
        "split": split,
        "condition": condition,
        "kind": kind,
        "right": right,
        "abstained": abstained,
        "signals": {"cosine": signal},
    }


# Right answers have 0.7 and more, the unanswerable 0.4 and less: the threshold is half-way, 0.55.
DEV = [
    row("calibration", "one", True, 0.9),
    row("calibration", "two", True, 0.7),
    row("calibration", "one", False, 0.6),
    row("calibration", "unanswerable", False, 0.4),
    row("calibration", "unanswerable", False, 0.1),
]
TEST = [
    row("answers", "one", True, 0.8, "held_out"),
    row("answers", "one", True, 0.5, "held_out"),
    row("answers", "one", True, 0.6, "held_out"),
    row("answers", "two", False, 0.5, "held_out"),
    row("answers", "one", False, 0.9, "held_out"),
    row("unanswerable", "unanswerable", False, 0.7, "held_out"),
    row("unanswerable", "unanswerable", False, 0.2, "held_out"),
    row("unanswerable", "unanswerable", False, 0.9, "held_out", abstained=True),
]


def test_shares_and_groups():
    rows = [{"a": "x", "right": True}, {"a": "y", "right": False}, {"a": "x", "right": False}]
    assert list(by(rows, "a")) == ["x", "y"]
    assert share(by(rows, "a")["x"], "right")[0] == 0.5
    with pytest.raises(ValueError, match="at least one"):
        share([], "right")


def test_the_threshold_is_chosen_on_dev_and_measured_elsewhere():
    found = abstentions(DEV + TEST, "held_out", "1 found")
    assert list(found) == [OWN, "cosine"]
    got = found["cosine"]
    assert got.threshold == pytest.approx(0.55)
    assert got.unanswerable == (2 / 3, *wilson(2, 3))  # 0.2, and the one that the reader declined itself
    assert got.wrong == (1 / 2, *wilson(1, 2))
    assert got.right == (1 / 3, *wilson(1, 3))
    assert got.separation == pytest.approx((0.5 * 0 + 2 + 1 + 1) / 9)  # 0.8 beats 0.7 and 0.2, 0.5 and 0.6 beat 0.2
    assert str(got).startswith("unanswerable 0.67 [0.21, 0.94], wrong 0.50 [")
    assert str(got).endswith("separation 0.44, threshold 0.550")
    own = found[OWN]
    assert (own.threshold, own.separation) == (None, None)
    assert own.unanswerable == (1 / 3, *wilson(1, 3))
    assert own.wrong[0] == own.right[0] == 0
    assert "threshold" not in str(own)


def test_rows_of_test_questions_do_not_move_the_threshold():
    other = [{**one, "signals": {"cosine": 1 - one["signals"]["cosine"]}} for one in TEST]
    assert abstentions(DEV + other, "held_out", "1 found")["cosine"].threshold == pytest.approx(0.55)
    wrong = [{**one, "signals": {"cosine": 0.0}} if one["kind"] == "one" and not one["right"] else one for one in DEV]
    assert abstentions(wrong + TEST, "held_out", "1 found")["cosine"].threshold == pytest.approx(0.55)


def test_a_record_that_lacks_something_gives_nothing():
    for rows in ([], DEV, TEST, DEV + TEST[3:], [*DEV[2:], *TEST], DEV + TEST[:5]):
        assert abstentions(rows, "held_out", "1 found") == {}
    assert abstentions(DEV + TEST, "dev", "1 found") == {}
    assert abstentions(DEV + TEST, "held_out", "3 found") == {}


def test_kinds():
    some = kinds(TEST)
    assert [len(rows) for rows in (some.unanswerable, some.right, some.wrong)] == [3, 3, 2]
    assert some.complete
    with pytest.raises(ValueError, match="0 trusted"):
        withholding(kinds(DEV[2:]), some, "cosine")
