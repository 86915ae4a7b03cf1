"""Dots with intervals: every value stands where it was measured, on the line of its row."""

import math

import pytest

from lablib.show.intervals import interval_chart, over_seeds

ROWS = {
    "Gopher": {"caught": (0.6, 0.5, 0.7), "lost": (0.1, 0.05, 0.2)},
    "ours": {"caught": (0.9, 0.85, 0.95), "lost": (0.0, 0.0, 0.1)},
}


def test_dots_and_lines_are_the_numbers():
    ax = interval_chart(ROWS, "Shares.").figure.axes[0]
    dots = {(round(line.get_xdata()[0], 6)) for line in ax.lines if len(line.get_xdata()) == 1}
    spans = {tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2 and line.get_alpha() == 0.45}
    assert dots == {0.6, 0.1, 0.9, 0.0}
    assert spans == {(0.5, 0.7), (0.05, 0.2), (0.85, 0.95), (0.0, 0.1)}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Gopher", "ours"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["caught", "lost"]


def test_rows_lie_apart_and_from_above():
    ax = interval_chart(ROWS, "Shares.").figure.axes[0]
    heights = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(set(heights)) == 4
    assert max(heights[:2]) < 0.5 < min(heights[2:])
    low, high = ax.get_ylim()
    assert low > high


def test_a_reference_line_and_free_limits():
    ax = interval_chart(ROWS, "Losses.", x="nats", x_range=None, levels={"floor": 0.07}).figure.axes[0]
    assert "floor" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_xlabel() == "nats"


def test_what_is_no_interval_is_refused():
    with pytest.raises(ValueError, match=r"'Gopher', 'caught': 0\.9 lies outside its interval"):
        interval_chart({"Gopher": {"caught": (0.9, 0.1, 0.2)}}, "Shares.")
    with pytest.raises(ValueError, match="lies outside"):
        interval_chart({"Gopher": {"caught": (math.nan, 0.1, 0.2)}}, "Shares.")
    with pytest.raises(ValueError, match="rows is empty"):
        interval_chart({}, "Shares.")


def test_the_end_of_an_interval_may_be_off_by_rounding():
    interval_chart({"email": {"recall": (1.0, 0.93, 0.9999999999999998)}}, "Recall.")


def test_over_seeds_keeps_the_extremes():
    assert over_seeds([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="at least one run"):
        over_seeds([])
