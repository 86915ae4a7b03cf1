"""Cutting pages into passages: what a search finds, and what a prompt has room for.

A whole page is too long to put five of them into a prompt, and too mixed to be about one thing; a single sentence has lost what it was
about. A *chunk* is in between. Three ways to cut:

- *fixed*: every `size` characters, wherever that falls, in the middle of a word or of the fact that somebody will ask for;
- *sentence*: whole sentences, as many as fit;
- *structural*: whole sentences, and never across a heading, so that a chunk is about what its heading says.

With *overlap* a chunk begins with the end of the one before, so that a fact which stands across a cut is whole in one of them if it is no
longer than the overlap; it costs memory, and the same text is found twice. Every function here gives *spans*, (start, stop) as in
text[start:stop]: what was found can always be shown where it stands. The spans of one text come in order and cover every character.

Sizes are in characters, so that they depend on no tokenizer; in English prose a token is about four of them. Left out: cutting where the
meaning changes, as measured by vectors; cutting by a language model; tables.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from lablib.corpus.document import Document

Stretch = tuple[int, int]  # (start, stop): text[start:stop]

METHODS = ("fixed", "sentence", "structural")
# A fenced block of Markdown, from one line of ``` to the next, or to the end of the text.
FENCED = re.compile(r"^ {0,3}```[^`\n]*$(?:.*?^ {0,3}```[ \t]*$|.*\Z)", re.MULTILINE | re.DOTALL)
# A heading of Markdown, "## Loss", or one that is underlined, as in Python's own documents; the line below it belongs to it.
HEADING = re.compile(r"^(?:(#{1,6})[ \t]+(\S[^\n]*)|(\S[^\n]*)\n(([-=*~^])\5{2,}))[ \t]*$", re.MULTILINE)
# Where a sentence ends: a full stop, what closes with it, citations such as [1], blanks, and a capital letter; or an empty line.
# Not behind "et al." and its like.
SENTENCE_END = re.compile(
    r"(?<=[.!?…])(?<!\bal\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMrs\.)"
    r"[\"”’')\]]*(?:[ \t]*\[\d[\d,; –-]*\])*\s+(?=[\"“‘'(\[`*_]*[A-ZÀ-ÞΑ-ΩА-ЯＡ-Ｚ#])|\n[ \t]*\n\s*"
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a page.

    Attributes:
        page: the id of the page.
        start, stop: where it stands: `text` is the page's text[start:stop].
        heading: the titles that it stands under, from the page's own down, such as "Attention › The scale"; "" where there is none.
    """

    page: str
    start: int
    stop: int
    text: str
    heading: str = ""

    @property
    def id(self) -> str:
        """Unique among the chunks of one cut, such as "attention:0-380"."""
        return f"{self.page}:{self.start}-{self.stop}"

    @property
    def searchable(self) -> str:
        """The text with its headings before it: a passage that says only "It is 64" is then found by what it is about."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


# ---------------------------------------------------------------- spans of one text


def fixed_spans(text: str, size: int, overlap: int = 0) -> list[Stretch]:
    """Windows of `size` characters, the last maybe shorter; each begins `overlap` characters before the last one's end.

    Args:
        text: any text; of an empty one there are no windows.
        size: characters in a window, at least 1.
        overlap: from 0 to size − 1.
    Raises:
        ValueError: size or overlap is out of range.

    >>> fixed_spans("abcdefgh", size=4, overlap=1)
    [(0, 4), (3, 7), (6, 8)]
    """
    check_size(size, overlap)
    last = max(len(text) - overlap, 1) if text else 0  # a window that began here would hold nothing new
    return [(start, min(start + size, len(text))) for start in range(0, last, size - overlap)]


def sentence_spans(text: str) -> list[Stretch]:
    """The sentences of a text; blanks belong to the sentence before them, and an empty line ends one, too.

    >>> text = "It fell. Vaswani et al. 2017 say why!  Do they?"
    >>> [text[start:stop] for start, stop in sentence_spans(text)]
    ['It fell. ', 'Vaswani et al. 2017 say why!  ', 'Do they?']
    """
    cuts = {0, *(match.end() for match in SENTENCE_END.finditer(text)), len(text)}
    return list(pairwise(sorted(cuts)))


def section_spans(text: str) -> list[Stretch]:
    """The sections of a Markdown text: each begins with a heading and ends where the next one begins.

    A heading is a line of one to six `#`, a blank and words. What stands between two lines of ``` is code, and a `#`
    there is a comment. Text before the first heading is a section, too.

    Returns: (start, stop) of each, in order; together they cover the text. None of an empty text.

    >>> text = "Hello.\\n# Cats\\nThey purr.\\n## Food\\nFish.\\n"
    >>> [text[start:stop] for start, stop in section_spans(text)]
    ['Hello.\\n', '# Cats\\nThey purr.\\n', '## Food\\nFish.\\n']
    """
    cuts = {0, *(start for start, _, _ in headings(text)), len(text)}
    return list(pairwise(sorted(cuts)))


def pack_spans(pieces: Sequence[Stretch], size: int, overlap: int = 0) -> list[Stretch]:
    """Join neighbouring pieces of a text, such as sentences, to chunks of at most `size` characters that overlap.

    Args:
        pieces: (start, stop) of each, in order, without gaps. One that is longer than `size` is a chunk of its own.
        size: characters of a chunk at most.
        overlap: a chunk begins with the last pieces of the one before: as many as have at most `overlap` characters
            together and leave room for the next piece. A piece is never cut.
    Returns: (start, stop) of each chunk: as few chunks as can be made from left to right.

    >>> pack_spans([(0, 4), (4, 6), (6, 9), (9, 12)], size=9)
    [(0, 9), (9, 12)]
    >>> pack_spans([(0, 4), (4, 6), (6, 9), (9, 12)], size=9, overlap=5)
    [(0, 9), (4, 12)]
    """
    check_size(size, overlap)
    chunks, first = [], 0
    for number, (begin, stop) in enumerate(pieces):
        if stop - pieces[first][0] > size and number > first:  # piece `number` has no room: the chunk ends before it
            chunks.append((pieces[first][0], begin))
            while first < number and (begin - pieces[first][0] > overlap or stop - pieces[first][0] > size):
                first += 1
    return [*chunks, (pieces[first][0], pieces[-1][1])] if pieces else []


def structural_spans(text: str, size: int, overlap: int = 0) -> list[Stretch]:
    """Chunks of whole sentences that never reach across a heading: `pack_spans` in each section for itself.

    Args:
        text: Markdown. Its sections are `section_spans(text)`; the sentences of one `short_sentences(section, size)`,
            counted from the section's own beginning.
        size: characters of a chunk at most. overlap: as in `pack_spans`; a new section begins with none.
    Returns: (start, stop) of each chunk, in order; together they cover the text.

    >>> text = "# Cats\\nThey purr. They sleep.\\n# Dogs\\nThey bark."
    >>> [text[start:stop] for start, stop in structural_spans(text, size=20)]
    ['# Cats\\nThey purr. ', 'They sleep.\\n', '# Dogs\\nThey bark.']
    """
    chunks = []
    for begin, end in section_spans(text):
        pieces = [(begin + start, begin + stop) for start, stop in short_sentences(text[begin:end], size)]
        chunks += pack_spans(pieces, size, overlap)
    return chunks


def short_sentences(text: str, size: int) -> list[Stretch]:
    """The sentences of a text, those of more than `size` characters cut: behind a blank in the last half of the window, else anywhere.

    >>> short_sentences("Row row row your boat.", size=9)
    [(0, 8), (8, 17), (17, 22)]
    """
    pieces = []
    for start, stop in sentence_spans(text):
        while stop - start > size:
            blank = max(text.rfind(mark, start + size // 2, start + size) for mark in " \n")
            cut = blank + 1 if blank >= 0 else start + size
            pieces.append((start, cut))
            start = cut  # noqa: PLW2901 - what is left of the sentence
        pieces.append((start, stop))
    return pieces


# ---------------------------------------------------------------- headings


def headings(text: str) -> list[tuple[int, int, str]]:
    """Each heading as (where its line starts, its level, its words), outside of fenced code.

    The level is the number of `#`; of underlined headings it is counted by their marks, in the order in which they first appear.

    >>> headings("# Cats\\n```\\n# a comment\\n```\\n## Food ##\\n")
    [(0, 1, 'Cats'), (27, 2, 'Food')]
    """
    code = [match.span() for match in FENCED.finditer(text)]
    found: list[tuple[int, int, str]] = []
    marks: list[str] = []
    block = 0
    for match in HEADING.finditer(text):
        hashes, words, title, line, mark = match.groups()
        while block < len(code) and code[block][1] < match.start():
            block += 1
        if block < len(code) and code[block][0] <= match.start():
            continue
        if hashes:
            found.append((match.start(), len(hashes), re.sub(r"[ \t]#+$", "", words.rstrip()).rstrip()))
        elif len(line) >= len(title.rstrip()) and not title.startswith(mark):  # else it is a rule, or part of a table
            marks += [] if mark in marks else [mark]
            found.append((match.start(), marks.index(mark) + 1, title.rstrip()))
    return found


def heading_paths(text: str) -> list[tuple[int, str]]:
    """Where each heading starts, and the titles that the text behind it stands under, from the top level down.

    >>> heading_paths("# Cats\\n## Food\\nFish.\\n# Dogs\\n")
    [(0, 'Cats'), (7, 'Cats › Food'), (21, 'Dogs')]
    """
    paths: list[tuple[int, str]] = []
    above: list[tuple[int, str]] = []  # the levels and titles that are open
    for start, level, words in headings(text):
        above = [*((upper, title) for upper, title in above if upper < level), (level, words)]
        paths.append((start, " › ".join(title for _, title in above)))
    return paths


# ---------------------------------------------------------------- pages


def chunk_pages(
    pages: Iterable[Document], method: str = "structural", size: int = 600, overlap: int = 0
) -> list[Chunk]:
    """Cut every page of a corpus; a chunk in which nothing can be seen (blanks, empty lines) is left out.

    Args:
        pages: documents with text and an id of their own.
        method: one of `METHODS`.
        size, overlap: characters, see the functions above.
    Raises:
        ValueError: no page, nothing in any of them, two with the same id, no such method, size or overlap out of range.

    >>> [chunk.id for chunk in chunk_pages([Document("# Cats\\nThey purr. They sleep.", "cats", "us")], size=20)]
    ['cats:0-18', 'cats:18-29']
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: expected one of {', '.join(map(repr, METHODS))}")
    check_size(size, overlap)
    chunks: list[Chunk] = []
    seen: set[str] = set()
    for page in pages:
        if page.id in seen:
            raise ValueError(
                f"pages: two have the id {page.id!r}; expected each id once, since citations name pages by it"
            )
        seen.add(page.id)
        text, paths = page.text, heading_paths(page.text)
        if method == "fixed":
            spans = fixed_spans(text, size, overlap)
        elif method == "sentence":
            spans = pack_spans(short_sentences(text, size), size, overlap)
        else:
            spans = structural_spans(text, size, overlap)
        for start, stop in spans:
            if text[start:stop].strip():
                under = (
                    bisect_right(paths, start, key=itemgetter(0)) - 1
                )  # the last heading that starts at or before it
                chunks.append(Chunk(page.id, start, stop, text[start:stop], paths[under][1] if under >= 0 else ""))
    if not chunks:
        what = f"the {len(seen)} pages hold no text" if seen else "there is no page"
        raise ValueError(f"pages: {what}; expected at least one with words in it: is the folder right?")
    return chunks


def check_size(size: int, overlap: int) -> None:
    """Raises: ValueError: size below 1, or overlap outside 0 to size − 1."""
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(
            f"size = {size}, overlap = {overlap}: expected a size of 1 character at least, and an overlap from 0 to size − 1, "
            "or a chunk would begin no later than the one before"
        )
