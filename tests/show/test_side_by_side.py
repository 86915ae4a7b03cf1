"""Columns of text: whatever is given is there to read, in the page and in the picture, and what is too long says that it was cut."""

import pytest

from lablib.show.side_by_side import FEW, IN_A_ROW, LETTERS, MOST, Column, as_html, as_picture


def drawn(picture):
    """The lines of text in a picture, from above."""
    (ax,) = picture.figure.axes
    return [(text.get_position(), text.get_text()) for text in ax.texts]


def words(picture):
    return [text for _, text in drawn(picture)]


def test_every_text_is_in_the_picture_and_in_the_page():
    columns = [Column("left", "One line.\nAnother.", {"helpful": 0.25}, ["a remark"]), Column("right", "Short.")]
    picture = as_picture("A title", columns, "Two texts.", ["a note"])
    expected = {"A title", "left", "right", "One line.", "Another.", "Short.", "0.25", "a remark", "a note"}
    assert expected <= set(words(picture))
    page = as_html("A title", columns, ["a note"])
    assert all(text in page for text in expected)
    assert "One line.<br>Another." in page
    assert 'aria-label="helpful 0.25"' in page
    assert "width:28px" in page, "a quarter of 110 pixels, rounded"


def test_bars_begin_below_the_longest_text_of_their_row():
    columns = [Column("a", "one\n" * 9, {"x": 1.0}), Column("b", "one", {"x": 0.5})]
    places = {(text, x > LETTERS): y for (x, y), text in drawn(as_picture("t", columns, "alt"))}
    assert places["1.00", False] == places["0.50", True]
    assert places["1.00", False] > max(y for (x, y), text in drawn(as_picture("t", columns, "alt")) if text == "one")


def test_more_columns_than_stand_beside_each_other_go_on_below():
    columns = [Column(f"m{i}", "text") for i in range(IN_A_ROW + 1)]
    places = {text: place for place, text in drawn(as_picture("t", columns, "alt")) if text.startswith("m")}
    assert len({places[f"m{i}"][1] for i in range(IN_A_ROW)}) == 1
    assert places[f"m{IN_A_ROW}"][1] > places["m0"][1]
    assert places[f"m{IN_A_ROW}"][0] == places["m0"][0]


def test_what_is_too_long_is_cut_off_with_an_ellipsis():
    long = Column("h" * 100, "\n".join(f"line {i}" for i in range(99)), {}, [f"remark {i}" for i in range(99)])
    found = words(as_picture("\n".join("title" for _ in range(99)), [long], "alt", [f"note {i}" for i in range(99)]))
    for name, most in (("line", MOST), ("remark", FEW), ("title", FEW), ("note", MOST)):
        some = [text for text in found if text.startswith(name)]
        assert len(some) == most
        assert some[-1].endswith(" …")
    assert max(len(text) for text in found) <= LETTERS
    assert "line 98" in as_html("t", [long]), "a page has room for all of it"


def test_a_dollar_is_a_dollar():
    (ax,) = as_picture("$x$", [Column("$a$", r"$\frac{1}{2}$")], "alt", ["$b$"]).figure.axes
    assert not any(text.get_parse_math() for text in ax.texts)


def test_a_note_has_its_line_where_a_picture_may_be_wide_enough():
    table = "a".ljust(60) + "b"
    for columns in ([], [Column("one", "text")]):
        assert table in words(as_picture("t", columns, "alt", [table]))


def test_nothing_to_show_is_named():
    with pytest.raises(ValueError, match="columns and notes are empty: expected at least one Column"):
        as_picture("t", [], "alt")
