"""Curves and points: what is drawn is what was given."""

import numpy as np
import pytest

from lablib.show.curves import mixture_chart, scatter_with_band, theory_and_points

X = np.linspace(0, 1, 11)


def test_theory_is_a_line_and_measurements_are_points_in_its_colour():
    picture = theory_and_points(
        X, {"a": X**2, "b": X}, {"a": [(0.5, 0.3, 0.2, 0.4)]}, "Curves.", "s", "p", lines={"threshold": 0.7}
    )
    ax = picture.figure.axes[0]
    line = next(line for line in ax.lines if line.get_label() == "a")
    np.testing.assert_allclose(line.get_ydata(), X**2)
    (point,) = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (0.5, 0.3)
    assert point.get_color() == line.get_color()
    assert any(list(line.get_ydata()) == [0.2, 0.4] for line in ax.lines)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "threshold"]


def test_mismatches_are_refused():
    with pytest.raises(ValueError, match="the curve 'a' has shape"):
        theory_and_points(X, {"a": X[:3]}, None, "Curves.", "s", "p")
    with pytest.raises(ValueError, match="points has 'b'"):
        theory_and_points(X, {"a": X}, {"b": []}, "Curves.", "s", "p")
    with pytest.raises(ValueError, match="expected one y for each x"):
        scatter_with_band(X, X[:2], X, X, X, "Points.", "true", "estimated", "band")


def test_a_scatter_shows_all_points_and_the_band():
    ax = scatter_with_band(X, X + 0.01, X, X - 0.1, X + 0.1, "Points.", "true", "estimated", "95 %").figure.axes[0]
    points = next(line for line in ax.lines if line.get_label() == "a pair of documents")
    np.testing.assert_allclose(points.get_ydata(), X + 0.01)
    assert len(ax.collections) == 1


def test_a_mixture_has_a_line_for_each_source_in_both_panels():
    shares = {"web": 1 - X / 2, "books": X / 2}
    reads = {"web": 1 + X, "books": 9 - X}
    left, right = mixture_chart(X, shares, reads, "A mixture.").figure.axes
    assert len(left.lines) == 2
    np.testing.assert_allclose(right.lines[1].get_ydata(), 9 - X)
    assert right.get_yscale() == "log"
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["web", "books", "4 epochs"]
