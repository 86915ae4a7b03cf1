"""Whatever somebody else wrote: as HTML it has no element, in a terminal no command, and what can be read stays as it is."""

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.show.visible import as_html, lines, visible

ANY = st.text(st.characters(), max_size=60)


class Reader(HTMLParser):
    """What a browser would make of it: the elements, and the text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.text += "\n" if tag == "br" else ""

    def handle_data(self, data):
        self.text += data

    def unknown_decl(self, data):
        self.elements.append(data)

    handle_endtag = handle_comment = handle_decl = handle_pi = unknown_decl


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@given(ANY)
def test_html_gives_back_the_text_and_no_element(text):
    found = read(f"<p>{as_html(text)}</p>")
    assert set(found.elements) <= {"p", "br"}
    assert found.text == visible(text)
    assert '"' not in as_html(text)
    assert "'" not in as_html(text)


@given(ANY)
def test_nothing_that_acts_is_left(text):
    found = visible(text)
    assert all(letter == "\n" or unicodedata.category(letter)[0] != "C" for letter in found)
    assert not set("\u2028\u2029") & set(found)
    assert visible(found) == found


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=60))
def test_what_can_be_read_stays(text):
    assert visible(text) == text


@pytest.mark.parametrize("letter", ["\x1b", "\x07", "\x9b", "\r", "\u202e", "\u200b", "\ufeff", "\ud800", "\U000e0041"])
def test_what_hides_is_spelled_out(letter):
    assert visible(f"a{letter}b") == "a" + letter.encode("unicode_escape").decode() + "b"


def test_line_ends_and_tabs():
    assert visible("a\r\nb\tc\n") == "a\nb    c\n"


@given(ANY, st.integers(1, 30))
def test_lines_are_no_longer_than_asked_and_lose_no_letter(text, width):
    found = lines(text, width)
    assert found
    assert all(len(line) <= width for line in found)
    assert "".join("".join(found).split()) == "".join(visible(text).split())


def test_a_width_of_0_is_named():
    with pytest.raises(ValueError, match="width = 0: expected at least 1"):
        lines("a", 0)
