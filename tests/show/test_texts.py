"""Galleries and traces: everything that is text stays text, and both views say the same."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.show.texts import Card, Gallery, Trace, pieces, shortened

words = st.lists(st.sampled_from(["a", "bee", "<b>", "&", "[EMAIL]", "\n", "  "]), max_size=12).map(" ".join)


@given(words, words)
def test_the_pieces_make_both_texts_again(before, after):
    found = pieces(before, after)
    assert "".join(text for kind, text in found if kind != "new") == before
    assert "".join(text for kind, text in found if kind != "gone") == after


def test_what_stays_is_not_marked():
    assert pieces("one two", "one two") == [("same", "one two")]
    assert pieces("one two", "") == [("gone", "one two")]


@given(words, st.integers(2, 30))
def test_a_shortened_text_is_its_beginning(text, letters):
    short = shortened(text, letters)
    assert len(short) <= letters + 1
    plain = re.sub(r"\n\s*\n+", "\n", text.strip())
    assert plain.startswith(short.removesuffix(" …"))


def test_a_gallery_escapes_its_texts():
    html = Gallery([Card("<rule>", "a <script> & b\nnext", "why <so>", "dropped", good=False)])._repr_html_()
    assert "<script>" not in html
    assert "a &lt;script&gt; &amp; b<br>next" in html
    assert "why &lt;so&gt;" in html
    assert "dropped" in html


def test_a_gallery_says_the_same_as_text():
    gallery = Gallery(
        [Card("story", "A tale."), Card("copy", "A tale again.", "like the first", "dropped", good=False)]
    )
    assert repr(gallery) == "[story] 'A tale.'\n[dropped, copy] 'A tale again.'\n    like the first"
    with pytest.raises(ValueError, match="at least one Card"):
        Gallery([])


def test_a_trace_strikes_out_what_went():
    trace = Trace("page", [("private details", "changed", "email: 1 replaced")], "Ask a@b.c <now>", "Ask [EMAIL] <now>")
    html = trace._repr_html_()
    assert "<del" in html
    assert ">a@b.c</del>" in html
    assert ">[EMAIL]</ins>" in html
    assert "&lt;now&gt;" in html
    assert "email: 1 replaced" in html
    assert repr(trace).endswith("Ask ⟦−a@b.c⟧⟦+[EMAIL]⟧ <now>")
