"""The funnel's bars are as long as what is left, and a funnel never widens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from lablib.show.funnel import funnel_chart, harm_chart

LEFT = {
    "as it came": {"good": 60, "copies": 40},
    "exact copies": {"good": 60, "copies": 10},
    "near copies": {"good": 58, "copies": 0},
}


def bars(picture):
    return [patch for patch in picture.figure.axes[0].patches if isinstance(patch, Rectangle)]


def test_each_piece_is_as_long_as_its_count_and_begins_where_the_last_ended():
    found = [(round(bar.get_x()), round(bar.get_width())) for bar in bars(funnel_chart(LEFT, "A funnel."))]
    assert found == [(0, 60), (60, 40), (0, 60), (60, 10), (0, 58), (58, 0)]


def test_the_counts_are_written_beside_the_bars():
    ax = funnel_chart(LEFT, "A funnel.", unit="documents").figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["100 (100%)", "70 (70%)", "58 (58%)"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(LEFT)
    assert ax.get_xlabel() == "documents"


def test_colours_can_be_chosen():
    first = bars(funnel_chart(LEFT, "A funnel.", colours={"good": "#009E73"}))[0]
    assert first.get_facecolor()[:3] == pytest.approx((0, 0x9E / 255, 0x73 / 255))


def test_a_funnel_that_widens_is_refused():
    with pytest.raises(ValueError, match="'second' leaves 6 of 'good': expected at most the 5"):
        funnel_chart({"first": {"good": 5}, "second": {"good": 6}}, "A funnel.")
    with pytest.raises(ValueError, match="leaves 1 of 'new'"):
        funnel_chart({"first": {"good": 5}, "second": {"good": 5, "new": 1}}, "A funnel.")
    with pytest.raises(ValueError, match="left is empty"):
        funnel_chart({}, "A funnel.")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_any_falling_counts_make_a_funnel(counts):
    rows = {f"stage {i}": {"good": count} for i, count in enumerate(sorted(counts, reverse=True))}
    assert len(bars(funnel_chart(rows, "A funnel."))) == len(counts)


def test_harm_is_drawn_in_another_colour_than_success():
    ax = harm_chart({"copy": (9, 10), "good": (1, 10)}, "What was dropped.", good=["good"]).figure.axes[0]
    success, harm = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert (success.get_width(), harm.get_width()) == (0.9, 0.1)
    assert success.get_facecolor() != harm.get_facecolor()
    assert [text.get_text() for text in ax.texts] == ["9 of 10", "1 of 10"]
    with pytest.raises(ValueError, match="shares is empty"):
        harm_chart({}, "Nothing.")
