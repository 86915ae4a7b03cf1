"""Reading and judging pages and questions: the real ones are in order, and every kind of fault is found by name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.chunking import chunk_pages
from lablib.adaptation.handbook import (
    Evidence,
    Question,
    places,
    problems,
    python_pages,
    quote_spans,
    read_pages,
    read_questions,
)
from lablib.adaptation.ranking_metrics import judge
from lablib.adaptation.search import Hit
from lablib.corpus.document import Document

PAGE = Document("# Cats\n\nA cat sleeps for sixteen\nhours. See [[dogs]].\n", "cats", "us")
OTHER = Document("# Dogs\n\nA dog barks at 500 hertz.\n", "dogs", "us")
PAGES = [PAGE, OTHER]


def question(**changes) -> Question:
    usual = {
        "id": "sleep", "text": "How long do cats rest?", "kind": "one", "answer": "16 hours", "accept": (r"\b(16|sixteen)\b",),
        "evidence": (Evidence("cats", "sleeps for sixteen hours"),), "split": "dev",
    }  # fmt: skip
    return Question(**{**usual, **changes})


TOML = r"""
[[question]]
id = "sleep"
text = "How long do cats rest?"
kind = "one"
answer = "16 hours"
accept = ['\b(16|sixteen)\b']
evidence = [{ page = "cats", quote = "sleeps for sixteen hours" }]
split = "dev"
"""


def folder(path: Path, toml: str = TOML, name: str = "questions_a.toml") -> Path:
    for page in PAGES:
        (path / f"{page.id}.md").write_text(page.text, encoding="utf-8")
    (path / name).write_text(toml, encoding="utf-8")
    return path


# ------------------------------------------------------------------ the real ones


def test_the_handbook_and_its_questions_are_in_order():
    pages, questions = read_pages(), read_questions()
    assert problems(pages, questions) == []
    assert len(pages) >= 40
    kinds = [one.kind for one in questions]
    assert len(kinds) - kinds.count("unanswerable") >= 80
    assert kinds.count("unanswerable") >= 15
    assert kinds.count("two") >= 10
    for kind in ("one", "two", "unanswerable"):
        held_out = sum(one.split == "held_out" for one in questions if one.kind == kind)
        assert 0.3 * kinds.count(kind) <= held_out <= 0.6 * kinds.count(kind)
    assert len(read_questions(split="dev")) + len(read_questions(split="held_out")) == len(questions)


def test_every_answer_can_be_found_in_a_chunk_of_600_characters():
    pages = read_pages()
    chunks = chunk_pages(pages, "structural", size=600)
    everything = [Hit(number, 0.0) for number in range(len(chunks))]
    for one in read_questions():
        if one.evidence:
            judged = judge(everything, chunks, places(one, pages))
            held = {fact for facts in judged.holds for fact in facts}
            assert held == set(judged.wanted), one.id


def test_the_language_reference_is_there():
    pages = python_pages()
    assert {"pydoc/if", "pydoc/for"} <= {page.id for page in pages}
    assert len(pages) > 60


# ------------------------------------------------------------------ reading


def test_what_is_written_is_read(tmp_path):
    place = folder(tmp_path)
    assert [(page.id, page.text) for page in read_pages(place)] == [(page.id, page.text) for page in PAGES]
    assert read_questions(place) == [question()]
    assert read_questions(place, split="held_out") == []
    (place / "questions_b.toml").write_text(
        TOML.replace('"sleep"', '"again"').replace('"dev"', '"held_out"'), encoding="utf-8"
    )
    assert [one.id for one in read_questions(place)] == ["sleep", "again"]
    assert [one.id for one in read_questions(place, split="held_out")] == ["again"]


def test_line_ends_and_a_mark_at_the_beginning_are_taken_off(tmp_path):
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# A\r\nb\rc")
    assert read_pages(tmp_path)[0].text == "# A\nb\nc"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"# A\n\xff\xfe", r"bad\.md: byte 4 is 0xff, which is not UTF-8; expected a text file"),
     (b"# A\n\0\0", r"bad\.md: byte 4 is 0, so this is no text")],
)  # fmt: skip
def test_bytes_that_are_no_text(tmp_path, data, message):
    (folder(tmp_path) / "bad.md").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_pages(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match="holds no page"):
        read_pages(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no questions\*\.toml in it"):
        read_questions(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such folder; expected one with Markdown pages"):
        read_pages(tmp_path / "missing")
    with pytest.raises(ValueError, match="split = 'test': expected None or one of"):
        read_questions(folder(tmp_path), split="test")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('split = "dev"', "", r"questions_a\.toml, question 1 \('sleep'\): 'split' is missing"),
        ('id = "sleep"', "", r"question 1: 'id' is missing"),
        ('split = "dev"', 'split = "dev"\nhint = "x"', "'hint' is unknown; expected id, text, kind"),
        ('kind = "one"', 'kind = "three"', "kind 'three', split 'dev'; expected one of"),
        ('split = "dev"', 'split = "test"', "kind 'one', split 'test'"),
        ('answer = "16 hours"', "answer = 16", "expected text for id, text"),
        ("accept = ['\\b(16|sixteen)\\b']", 'accept = "16"', "lists for accept and evidence"),
        ("(16|sixteen)", "(16|sixteen", "missing \\), unterminated subpattern.*expected regular expressions in accept"),
        ('page = "cats"', 'side = "cats"', "side.*page and quote in evidence"),
        ('text = "', "text = ", r"questions_a\.toml: Invalid value"),
    ],
)
def test_a_question_that_is_not_as_it_should_be_is_named(tmp_path, old, new, message):
    assert old in TOML
    with pytest.raises(ValueError, match=message):
        read_questions(folder(tmp_path, TOML.replace(old, new)))


# ------------------------------------------------------------------ quotes


@given(st.lists(st.sampled_from(["cat", "a.b", "(x", "16", "[[dog]]"]), min_size=1, max_size=6), st.data())
def test_a_quote_is_found_whatever_the_line_breaks(words, data):
    blanks = data.draw(st.lists(st.sampled_from([" ", "\n", "\n\n  "]), min_size=len(words), max_size=len(words)))
    text = "Before " + "".join(word + blank for word, blank in zip(words, blanks, strict=True)) + "behind"
    spans = quote_spans(text, " ".join(words))
    assert (7, len(text) - 6 - len(blanks[-1])) in spans
    assert all(text[start:stop].split() == words for start, stop in spans)


def test_places_of_quotes():
    assert quote_spans("a b a  b", "a b") == [(0, 3), (4, 8)]
    assert quote_spans("abc", "") == quote_spans("abc", "d") == []
    start = PAGE.text.index("sleeps")
    assert places(question(), PAGES) == {"sleep/1": [("cats", (start, start + 24))]}
    with pytest.raises(
        ValueError, match="question 'sleep': 'sleeps' does not stand on page 'dogs'; was the page changed"
    ):
        places(question(evidence=(Evidence("dogs", "sleeps"),)), PAGES)


# ------------------------------------------------------------------ every fault is found


def test_what_is_in_order_has_no_problem():
    two = (Evidence("cats", "A cat sleeps"), Evidence("dogs", "A dog barks"))
    assert problems(PAGES, [question(), question(id="both", kind="two", evidence=two)]) == []
    assert problems(PAGES, [question(kind="unanswerable", answer="", accept=(), evidence=())]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": " "}, "question 'sleep': text is empty"),
        ({"kind": "two"}, "question 'sleep': kind is 'two', so expected 2 quotes, not 1"),
        ({"kind": "unanswerable"}, "question 'sleep': kind is 'unanswerable', so expected 0 quotes, not 1"),
        ({"evidence": (Evidence("cow", "x"),)}, "question 'sleep': there is no page 'cow'"),
        ({"evidence": (Evidence("cats", "for 16 hours"),)}, "question 'sleep': page 'cats' has no 'for 16 hours'"),
        (
            {"answer": "12 hours"},
            "question 'sleep': accept ['\\\\b(16|sixteen)\\\\b'] does not find its own answer '12 hours'",
        ),
        ({"accept": ("16", "do")}, "question 'sleep': accept ['16', 'do'] is found in any text"),
        (
            {"accept": ("16", "long")},
            "question 'sleep': accept is found in the question itself, so that repeating it would count",
        ),
    ],
)
def test_a_faulty_question_is_reported(changes, message):
    assert message in problems(PAGES, [question(**changes)])


def test_an_unanswerable_question_has_no_answer():
    line = "question 'sleep': it is unanswerable, so expected answer '' and accept []"
    assert problems(PAGES, [question(kind="unanswerable", evidence=())]) == [line]


def test_faulty_pages_and_duplicates_are_reported():
    bad = [*PAGES, Document("No title. [[cow]] [[cow]]", "bad", "us"), PAGE]
    found = problems(bad, [question(), question()])
    assert found == [
        "page 'cats': there are 2 of this id",
        "page 'bad': it does not begin with a title, '# …'",
        "page 'bad': [[cow]] leads to no page",
        "question 'sleep': there are 2 of this id",
        "page 'cats': 2 questions have the quote 'sleeps for sixteen hours'",
    ]


def test_the_number_of_a_citation_is_no_answer():
    for question in read_questions():
        assert not any(question.accepts(f"It is so [{number}].") for number in range(1, 10)), question.id
    three = next(one for one in read_questions() if one.id == "c4-sentences")
    assert three.accepts("Pages of fewer than 3 sentences [1].")
    assert not three.accepts("Pages of fewer than 5 sentences [3].")
