"""Chunks against markdown-it's headings, brute force, and the properties that every cut must have."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lablib.adaptation.chunking import (
    METHODS,
    chunk_pages,
    fixed_spans,
    heading_paths,
    headings,
    pack_spans,
    section_spans,
    sentence_spans,
    short_sentences,
    structural_spans,
)
from lablib.corpus.crawl import crawl
from lablib.corpus.document import Document

LINES = ["# Cats", "## Food", "###### Deep", "####### Too deep", "#hashtag", " text # no", "Words. More words. And more!", "",
         "```", "``` python", "# a comment", "`# code`", "Ends here.", "#\tTab", "## Closed ##"]  # fmt: skip
markdown = st.lists(st.sampled_from(LINES), max_size=25).map(lambda lines: "".join(f"{line}\n" for line in lines))
texts = st.text(alphabet='ab AB.!?\n"é#`-=', max_size=150)
sizes = st.integers(1, 40)


def sized(data: st.DataObject) -> tuple[int, int]:
    size = data.draw(sizes)
    return size, data.draw(st.integers(0, size - 1))


def pieces_of(lengths: list[int]) -> list[tuple[int, int]]:
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return list(zip([0, *ends[:-1]], ends, strict=True)) if lengths else []


# ------------------------------------------------------------------ against an authority


@given(markdown)
def test_headings_are_those_of_markdown_it(text):
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tokens = MarkdownIt().parse(text)
    expected = [
        (starts[token.map[0]], int(token.tag[1]), words.content)
        for token, words in pairwise(tokens)
        if token.type == "heading_open" and token.map
    ]
    assert headings(text) == expected


@given(st.data(), st.text(max_size=60))
def test_fixed_windows_by_counting(data, text):
    size, overlap = sized(data)
    expected, start = [], 0
    while text and (not expected or expected[-1][1] < len(text)):
        expected.append((start, min(start + size, len(text))))
        start += size - overlap
    assert fixed_spans(text, size, overlap) == expected


@given(st.lists(st.integers(1, 8), max_size=14), st.integers(1, 12), st.data())
def test_packing_by_trying_every_start_and_stop(lengths, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    pieces, expected = pieces_of(lengths), []
    first = 0
    while first < len(pieces):
        fitting = [n for n in range(first + 1, len(pieces) + 1) if pieces[n - 1][1] - pieces[first][0] <= size]
        stop = max(fitting, default=first + 1)
        expected.append((pieces[first][0], pieces[stop - 1][1]))
        if stop == len(pieces):
            break
        end, after = pieces[stop - 1][1], pieces[stop][1]
        starts = [n for n in range(first + 1, stop) if end - pieces[n][0] <= overlap and after - pieces[n][0] <= size]
        first = min(starts, default=stop)
    assert pack_spans(pieces, size, overlap) == expected


# ------------------------------------------------------------------ worked by hand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ["One. ", "Two."]),
        ("Lewis et al. 2020 and e.g. Python. Then?", ["Lewis et al. 2020 and e.g. Python. ", "Then?"]),
        ("It costs 4.5 MB. [1] Next.", ["It costs 4.5 MB. [1] ", "Next."]),
        ('He said "no." She left.', ['He said "no." ', "She left."]),
        ("No end\n\nnew paragraph", ["No end\n\n", "new paragraph"]),
        ("one line\nthe same sentence", ["one line\nthe same sentence"]),
        ("Ärger! Übung? Éclair…", ["Ärger! ", "Übung? ", "Éclair…"]),
        ("see below. not a start", ["see below. not a start"]),
    ],
)
def test_sentences(text, expected):
    assert [text[start:stop] for start, stop in sentence_spans(text)] == expected


def test_underlined_headings_and_what_is_none():
    text = "Title\n*****\n\nText.\n\nPart\n====\n\nCells\n-----\n\nToo short\n---\n\n-----\n-----\n# Hash\n"
    assert [(level, words) for _, level, words in headings(text)] == [
        (1, "Title"),
        (2, "Part"),
        (3, "Cells"),
        (1, "Hash"),
    ]


def test_a_path_closes_the_titles_of_its_level_and_below():
    text = "# A\n## B\n### C\n## D\n# E\n### F\n"
    assert [path for _, path in heading_paths(text)] == ["A", "A › B", "A › B › C", "A › D", "E", "E › F"]


def test_overlap_repeats_whole_sentences_and_no_heading_is_crossed():
    text = "# Cats\n\nThey purr. They sleep. They eat.\n# Dogs\nThey bark."
    assert [text[start:stop] for start, stop in structural_spans(text, size=24, overlap=12)] == [
        "# Cats\n\nThey purr. ", "They purr. They sleep. ", "They sleep. They eat.\n", "# Dogs\nThey bark.",
    ]  # fmt: skip


def test_a_chunk_knows_where_it_stands_and_under_what():
    page = Document("Intro.\n# Cats\nThey purr.\n\n## Food\nFish.\n", "cats", "us")
    chunks = chunk_pages([page], size=40)
    assert [(chunk.text, chunk.heading) for chunk in chunks] == [
        ("Intro.\n", ""), ("# Cats\nThey purr.\n\n", "Cats"), ("## Food\nFish.\n", "Cats › Food"),
    ]  # fmt: skip
    assert [page.text[chunk.start : chunk.stop] for chunk in chunks] == [chunk.text for chunk in chunks]
    assert [chunk.searchable for chunk in chunks][1:] == [
        "Cats\n# Cats\nThey purr.\n\n",
        "Cats › Food\n## Food\nFish.\n",
    ]
    assert chunks[2].id == "cats:26-40"


# ------------------------------------------------------------------ properties


@given(texts, st.data())
def test_every_cut_covers_the_text_in_order(text, data):
    size, overlap = sized(data)
    cuts = [
        fixed_spans(text, size, overlap),
        pack_spans(short_sentences(text, size), size, overlap),
        structural_spans(text, size, overlap),
    ]
    for spans in cuts:
        assert (spans == []) == (text == "")
        reached = 0
        for number, (start, stop) in enumerate(spans):
            assert 0 < stop - start <= size
            assert start <= reached < stop, "a gap, or a chunk that holds nothing new"
            assert reached - start <= overlap or number == 0
            assert number == 0 or start > spans[number - 1][0]
            reached = stop
        assert reached == len(text)
    for spans in (sentence_spans(text), section_spans(text), short_sentences(text, size)):  # these do not overlap
        assert "".join(text[start:stop] for start, stop in spans) == text
        assert all(start < stop for start, stop in spans)


@given(markdown, st.integers(8, 60), st.data())
def test_structural_chunks_start_anew_at_every_heading(text, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    starts = [start for start, _, _ in headings(text)]
    spans = structural_spans(text, size, overlap)
    assert not [(start, stop) for start, stop in spans if any(start < heading < stop for heading in starts)]
    assert set(starts) <= {start for start, _ in spans}


@given(texts, st.integers(1, 60))
def test_without_overlap_a_chunk_ends_where_a_sentence_ends(text, size):
    ends = {stop for _, stop in short_sentences(text, size)}
    assert {stop for _, stop in pack_spans(short_sentences(text, size), size)} <= ends
    whole = {stop for start, stop in sentence_spans(text) if stop - start <= size}
    assert whole <= ends


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [0, 150])
def test_the_language_reference_is_cut_without_loss(method, overlap):
    pages = list(crawl("language reference"))
    chunks = chunk_pages(pages, method, size=600, overlap=overlap)
    assert len({chunk.id for chunk in chunks}) == len(chunks) > 500
    seen = {page.id: bytearray(len(page.text)) for page in pages}
    for chunk in chunks:
        seen[chunk.page][chunk.start : chunk.stop] = b"\1" * (chunk.stop - chunk.start)
    for page in pages:
        missing = [character for character, mark in zip(page.text, seen[page.id], strict=True) if not mark]
        assert not "".join(missing).strip()


# ------------------------------------------------------------------ bad input

MILLION = 1_000_000
HUGE = {
    "prose": ("The cat sat on the mat. " * 30 + "\n\n## Head\n\n") * 1400,
    "one word": "a" * MILLION,
    "blanks": "x" + " " * MILLION + "x",
    "empty lines": "x" + "\n" * MILLION + "x",
    "full stops": ". " * (MILLION // 2),
    "closing brackets": ".)" + ")" * MILLION,
    "citations": "A." + " [1]" * (MILLION // 4),
    "headings": "# x\n" * (MILLION // 4),
    "hashes": "#" * MILLION,
    "a long rule": "a\n" + "-" * MILLION + "x",
    "an open fence": "```\n" + "# x\n" * (MILLION // 4),
    "fences": "```\n# x\n" * (MILLION // 8),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_million_characters_take_seconds(kind):
    # Linear time takes about a second here; a pattern that tries again from every place would take hours.
    page = Document(HUGE[kind], "huge", "us")
    assert len(page.text) >= MILLION - 10
    start = time.process_time()
    for method in METHODS:
        assert chunk_pages([page], method, size=600, overlap=100)
    assert time.process_time() - start < 12


def test_no_pages_and_pages_without_text():
    with pytest.raises(ValueError, match="pages: there is no page; expected at least one with words in it"):
        chunk_pages([])
    with pytest.raises(ValueError, match="pages: the 2 pages hold no text"):
        chunk_pages([Document("", "a", "us"), Document(" \n\n", "b", "us")])


def test_a_page_without_text_among_others_gives_no_chunk():
    chunks = chunk_pages([Document(" \n\n\n", "empty", "us"), Document("Words.", "full", "us")], "fixed", size=2)
    assert {chunk.page for chunk in chunks} == {"full"}


def test_duplicate_ids_are_named():
    with pytest.raises(ValueError, match="pages: two have the id 'cats'; expected each id once"):
        chunk_pages([Document("a", "cats", "us"), Document("b", "dogs", "us"), Document("c", "cats", "us")])


def test_bytes_are_no_page():
    with pytest.raises(TypeError, match="is bytes: expected str; decode bytes before"):
        chunk_pages([Document(b"\xff\xfe", "cats", "us")])


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-5, 0), (10, 10), (10, -1)])
def test_sizes_out_of_range(size, overlap):
    for cut in (
        lambda: fixed_spans("abc", size, overlap),
        lambda: pack_spans([(0, 3)], size, overlap),
        lambda: chunk_pages([Document("abc", "a", "us")], size=size, overlap=overlap),
    ):
        with pytest.raises(ValueError, match=f"size = {size}, overlap = {overlap}: expected a size of 1"):
            cut()


def test_an_unknown_method():
    with pytest.raises(ValueError, match="method = 'paragraph': expected one of 'fixed', 'sentence', 'structural'"):
        chunk_pages([Document("abc", "a", "us")], "paragraph")
