"""Scaling laws as pictures: what is drawn is what was given, and what a logarithm cannot show is refused."""

import pytest

from lablib.show.scaling_view import frontier_chart, memory_bars, scaling_chart

AT = [1e4, 1e5, 1e6]
LAWS = {
    "2M": ([3.0, 2.0, 1.0], [2.9, 1.8, 0.8], [3.1, 2.2, 1.2]),
    "8M": ([1.0, 0.5, 0.2], [0.9, 0.4, -0.1], [1.1, 0.6, 0.4]),
}
RUNS = {"2M": [(2e4, 2.6), (2e5, 1.6)], "8M": [(2e4, 0.8)]}


def chart(**changes):
    given = {"at": AT, "laws": LAWS, "runs": RUNS, "alt": "Losses.", "x": "parameters", "y": "nats", "marked": None}
    return scaling_chart(**(given | changes))


def test_laws_runs_and_marks_are_drawn_where_they_are():
    ax = chart(marked={"live": (5e4, 1.5)}).figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines]
    assert (AT, [3.0, 2.0, 1.0]) in lines
    assert ([2e4, 2e5], [2.6, 1.6]) in lines
    assert ([5e4], [1.5]) in lines
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2M", "8M", "live"]


def test_the_band_reaches_from_low_to_high_and_stays_above_zero():
    bands = [collection.get_paths()[0].vertices[:, 1] for collection in chart().figure.axes[0].collections]
    assert (bands[0].min(), bands[0].max()) == (0.8, 3.1)
    assert bands[1].min() == pytest.approx(0.02)  # a tenth of the lowest thing that can be shown
    assert bands[1].max() == 1.1


def test_a_law_without_runs_is_drawn_all_the_same():
    ax = chart(runs={"2M": RUNS["2M"]}).figure.axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["2M", "8M"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs": {"9M": [(1e4, 1.0)]}}, "runs has '9M', laws has.*expected a law for each"),
        ({"runs": {"2M": [(1e4, -0.1)]}}, r"'2M' has a run at \(10000.0, -0.1\): expected numbers > 0"),
        ({"marked": {"base": (0.0, 1.0)}}, "'base' has a run at"),
        ({"at": [0.0, 1e5, 1e6]}, "at holds a size that is not above 0"),
        ({"at": [1e4, 1e5]}, r"the law of '2M' has \(3,\).*expected \(2,\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        chart(**changes)


def test_a_frontier_shows_parameters_left_and_tokens_for_each_right():
    picture = frontier_chart([6e2, 6e4], {"law": ([1, 10], [100, 1000])}, {"model": (5, 50)}, "Frontier.")
    left, right = picture.figure.axes
    assert list(left.lines[0].get_ydata()) == [1, 10]
    assert list(right.lines[0].get_ydata()) == [100, 100]
    assert (list(left.lines[1].get_xdata()), list(left.lines[1].get_ydata())) == ([1500], [5])
    assert list(right.lines[1].get_ydata()) == [10]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["law", "model"]
    with pytest.raises(ValueError, match=r"'law' has \(1,\) and \(2,\): expected \(2,\)"):
        frontier_chart([1, 2], {"law": ([1], [2, 3])}, {}, "Frontier.")


def test_memory_bars_stack_up():
    rows = {"stage 0": {"weights": 14.0, "optimiser": 84.0}, "stage 1": {"weights": 14.0, "optimiser": 10.5}}
    ax = memory_bars(rows, 80, "Memory.", title="A run").figure.axes[0]
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert spans == [(0, 14), (14, 98), (0, 14), (14, 24.5)]
    assert ax.get_title() == "A run"
    assert list(ax.lines[0].get_xdata()) == [80, 80]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["memory of the device", "weights", "optimiser"]
    with pytest.raises(ValueError, match="rows is empty"):
        memory_bars({}, 80, "Memory.")
