"""Bars for chunks: each where it stands."""

import pytest

from lablib.show.chunk_view import chunk_bars


def test_every_chunk_is_a_bar_at_its_place():
    cuts = {"one": [(0, 10), (10, 14)], "two": [(0, 7), (5, 14)]}
    picture = chunk_bars(cuts, [(3, 6)], "characters", "Bars.")
    (ax,) = picture.figure.axes
    bars = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches if bar.get_height() < 0.5)
    assert bars == sorted(span for spans in cuts.values() for span in spans)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    rows = {round(bar.get_y() + bar.get_height() / 2) for bar in ax.patches if bar.get_height() < 0.5}
    assert rows == {0, 1}
    assert len(ax.patches) == 5
    assert picture.png.startswith(b"\x89PNG")


def test_no_way_to_cut_is_refused():
    with pytest.raises(ValueError, match="cuts is empty"):
        chunk_bars({}, [], "x", "Nothing.")
