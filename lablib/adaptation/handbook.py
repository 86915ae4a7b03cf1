"""The course's handbook and the questions on it: what lab 11 searches in, and what it is judged by.

`data/handbook/<slug>.md` are short pages; the slug is the page's id. `data/handbook/questions*.toml` hold questions, each with the quotes
that answer it, so that a search can be judged whatever the pages are cut into, and with patterns that tell a right answer from a
wrong one. Questions are "dev", to look at and to choose settings by, or "held_out", on which a choice is judged, once.

As a second body of knowledge stands the language reference that every Python carries: larger, drier, and not written by us.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from lablib import paths
from lablib.adaptation.chunking import Stretch, headings
from lablib.adaptation.citations import MARK
from lablib.corpus.crawl import crawl
from lablib.corpus.document import Document

KINDS = {"one": 1, "two": 2, "unanswerable": 0}  # kind -> quotes that an answer needs
SPLITS = ("dev", "held_out")
LINK = re.compile(r"\[\[([^\[\]\n]+)\]\]")


@dataclass(frozen=True)
class Evidence:
    """A quote, verbatim but for line breaks, and the id of the page that it stands on."""

    page: str
    quote: str


@dataclass(frozen=True)
class Question:
    """A question on the handbook.

    Attributes:
        id: unique. text: what is asked.
        kind: "one" or "two" quotes are needed, or it is "unanswerable": the handbook does not say.
        answer: a right answer in a few words; "" for an unanswerable one.
        accept: regular expressions; a text in which one of them is found, upper or lower case, has the answer.
        evidence: the quotes that answer it together. split: "dev" or "held_out".
    """

    id: str
    text: str
    kind: str
    answer: str
    accept: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    split: str

    def accepts(self, text: str) -> bool:
        """Does a text have the right answer in it? Of an unanswerable question none has. The number of a citation is no answer.
        >>> question = Question("people", "How many live there?", "one", "48", (r"\\b48\\b", "forty-eight"), (), "dev")
        >>> question.accepts("There are Forty-Eight."), question.accepts("48."), question.accepts("480 [48].")
        (True, True, False)
        """
        plain = MARK.sub(" ", text)
        return any(re.search(pattern, plain, re.IGNORECASE) for pattern in self.accept)


def quote_spans(text: str, quote: str) -> list[Stretch]:
    """Every place of a quote in a text, as (start, stop); any blanks and line breaks stand for any others.

    >>> quote_spans("The valley has\\n48 people.", "valley has 48")
    [(4, 17)]
    """
    words = quote.split()
    if not words:
        return []
    return [match.span() for match in re.finditer(r"\s+".join(map(re.escape, words)), text)]


def places(question: Question, pages: Sequence[Document]) -> dict[str, list[tuple[str, Stretch]]]:
    """Where each quote of a question stands, as `ranking_metrics.judge` takes it: "id/1" -> each (page, span).

    Raises:
        ValueError: a quote that stands nowhere.
    """
    texts = {page.id: page.text for page in pages}
    found = {}
    for number, one in enumerate(question.evidence, 1):
        spans = quote_spans(texts.get(one.page, ""), one.quote)
        if not spans:
            raise ValueError(
                f"question {question.id!r}: {one.quote!r} does not stand on page {one.page!r}; was the page changed?"
            )
        found[f"{question.id}/{number}"] = [(one.page, span) for span in spans]
    return found


# ---------------------------------------------------------------- reading


def read_text(path: Path) -> str:
    """A file's text, in UTF-8; lines end with a line feed.

    Raises:
        ValueError: it is no text in UTF-8; names the file and the byte.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is {data[error.start]:#04x}, which is not UTF-8; expected a text file: "
            "save it as UTF-8, or take it out of the folder"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path}: byte {data.index(0)} is 0, so this is no text; take it out of the folder")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_pages(folder: str | Path | None = None) -> list[Document]:
    """The pages of the handbook, or of another folder of Markdown files, in the order of their names.

    Raises:
        FileNotFoundError: no such folder. ValueError: there is no page in it, or one is not text.
    """
    place = paths.data_path("handbook") if folder is None else Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(
            f"folder = {str(place)!r}: there is no such folder; expected one with Markdown pages (*.md)"
        )
    found = [
        Document(read_text(path), id=path.stem, source="handbook", licence="MIT", kind="page")
        for path in sorted(place.glob("*.md"))
    ]
    if not found:
        raise ValueError(f"folder = {str(place)!r} holds no page (*.md); expected at least one")
    return found


def read_questions(folder: str | Path | None = None, split: str | None = None) -> list[Question]:
    """The questions of all `questions*.toml` of a folder, of both splits or of one, in the order of the files.

    Raises:
        FileNotFoundError: there is no such file. ValueError: no such split, or a question that is not as it should be; names it.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"split = {split!r}: expected None or one of {SPLITS}")
    place = paths.data_path("handbook") if folder is None else Path(folder)
    files = sorted(place.glob("questions*.toml"))
    if not files:
        raise FileNotFoundError(f"folder = {str(place)!r}: there is no questions*.toml in it")
    found = []
    for path in files:
        try:
            tables = tomllib.loads(read_text(path)).get("question", [])
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: {error}") from error
        found += [_question(table, f"{path.name}, question {number}") for number, table in enumerate(tables, 1)]
    return [one for one in found if split in (None, one.split)]


def _question(table: dict, where: str) -> Question:
    names = [field.name for field in fields(Question)]
    where += f" ({table['id']!r})" if "id" in table else ""
    if wrong := sorted(set(table) ^ set(names)):
        what = "missing" if wrong[0] in names else "unknown"
        raise ValueError(f"{where}: {wrong[0]!r} is {what}; expected {', '.join(names)}")
    texts, lists = (
        [table[name] for name in ("id", "text", "kind", "answer", "split")],
        [table["accept"], table["evidence"]],
    )
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(one, list) for one in lists):
        raise ValueError(
            f"{where}: expected text for id, text, kind, answer and split, and lists for accept and evidence"
        )
    if table["kind"] not in KINDS or table["split"] not in SPLITS:
        raise ValueError(
            f"{where}: kind {table['kind']!r}, split {table['split']!r}; expected one of {(*KINDS,)}, and one of {SPLITS}"
        )
    try:
        for pattern in table["accept"]:
            re.compile(pattern)
        evidence = tuple(Evidence(**one) for one in table["evidence"])
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{where}: {error}; expected regular expressions in accept, and page and quote in evidence"
        ) from error
    return Question(**{**table, "accept": tuple(table["accept"]), "evidence": evidence})


def python_pages() -> list[Document]:
    """The language reference that this Python carries, one document for each of its topics."""
    return list(crawl("language reference"))


# ---------------------------------------------------------------- is it in order?


def problems(pages: Sequence[Document], questions: Sequence[Question]) -> list[str]:
    """Everything that is wrong with pages and questions, a line for each; none when all is in order.

    Looked at: ids are unique; a page has a title and its links `[[slug]]` lead to pages; a question has as many quotes as its kind says,
    each stands verbatim on its page, no two questions have the same one, and the patterns accept its answer and no empty text.
    """
    found = [
        f"page {name!r}: there are {times} of this id"
        for name, times in Counter(page.id for page in pages).items()
        if times > 1
    ]
    texts = {page.id: page.text for page in pages}
    for page in pages:
        titles = headings(page.text)
        if not titles or titles[0][:2] != (0, 1):
            found.append(f"page {page.id!r}: it does not begin with a title, '# …'")
        found += [
            f"page {page.id!r}: [[{slug}]] leads to no page"
            for slug in dict.fromkeys(LINK.findall(page.text))
            if slug not in texts
        ]
    found += [f"question {name!r}: there are {times} of this id" for name, times in _twice(one.id for one in questions)]
    quotes = _twice((one.page, " ".join(one.quote.split())) for question in questions for one in question.evidence)
    found += [f"page {page!r}: {times} questions have the quote {quote!r}" for (page, quote), times in quotes]
    for question in questions:
        found += [f"question {question.id!r}: {line}" for line in _question_problems(question, texts)]
    return found


def _twice(values: Iterable) -> list[tuple]:
    return [(value, times) for value, times in Counter(values).items() if times > 1]


def _question_problems(question: Question, texts: dict[str, str]) -> Iterable[str]:
    if not question.text.strip():
        yield "text is empty"
    if len(question.evidence) != KINDS[question.kind]:
        yield f"kind is {question.kind!r}, so expected {KINDS[question.kind]} quotes, not {len(question.evidence)}"
    for one in question.evidence:
        if one.page not in texts:
            yield f"there is no page {one.page!r}"
        elif not quote_spans(texts[one.page], one.quote):
            yield f"page {one.page!r} has no {one.quote!r}"
    if question.kind == "unanswerable":
        if question.answer or question.accept:
            yield "it is unanswerable, so expected answer '' and accept []"
        return
    if not question.accepts(question.answer):
        yield f"accept {list(question.accept)} does not find its own answer {question.answer!r}"
    if question.accepts("") or question.accepts("I do not know."):
        yield f"accept {list(question.accept)} is found in any text"
    if question.accepts(question.text):
        yield "accept is found in the question itself, so that repeating it would count"
