"""WARC files, the format of web crawls (ISO 28500), and WET files, in which each record is the text of one page.

Common Crawl writes three kinds of file: WARC with what the servers sent, WAT with metadata, WET with the plain text. In all of them each
record is packed by itself. `warcio` reads the records; here they are cut out of the file first, so that one whose length is wrong costs
no more than itself.

Left out: ARC files (Common Crawl until 2012), `revisit` records, and any wise choice of what on a page is its text: like WET,
`visible_text` keeps menus and footers. RefinedWeb (Penedo et al. 2023, arXiv 2306.01116, section 3.1) takes trafilatura for that choice.
"""

import io
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from typing import IO, Any, Literal

from lablib.corpus.sources.readers import Row
from lablib.corpus.sources.trouble import Damage
from lablib.corpus.sources.unpack import unpacked

LARGEST = (
    1 << 26
)  # bytes: Common Crawl cuts pages at 1 MiB (since 2025 at 5 MiB), so a longer record has a wrong length
_END, _NEXT = b"\r\n\r\n", re.compile(rb"\r\n\r\nWARC/[01]\.\d+\r\nWARC-|\r\n\r\nWARC/[01]\.\d+\r\nContent-")
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d+)[ \t]*\r?$")
_CHARSET = re.compile(rb"""(?i)<meta[^>]{0,200}charset=["']?([\w-]+)""")
_HIDDEN = frozenset({"script", "style", "noscript", "template", "svg", "title"})
_INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "em",
        "font",
        "i",
        "kbd",
        "mark",
        "q",
        "s",
        "small",
        "span",
        "strong",
    }
    | {"sub", "sup", "tt", "u", "var", "wbr"}
)


def warc_rows(file: IO[bytes], name: str, kind: Literal["conversion", "response"]) -> Iterator[Row | Damage]:
    """The pages of a WET file ("conversion") or of a WARC file ("response": those that are HTML or plain text).

    Returns:
        the record's number in the file from 1, and text, url, date, language ("" if unknown) and record_id.
    """
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    for found in _records(unpacked(file, name), name):
        if isinstance(found, Damage):
            yield found
            continue
        number, data = found
        try:
            record = next(iter(ArchiveIterator(io.BytesIO(data))))
            if record.rec_type != kind:
                continue
            text, wrong = _text(record, kind)
        except (
            ArchiveLoadFailed,
            StopIteration,
            EOFError,
            OSError,
            ValueError,
            AttributeError,
        ) as error:  # a header is missing
            yield Damage(name, "record", number, f"{str(error) or type(error).__name__}; left out")
            continue
        if wrong:
            yield Damage(name, "record", number, wrong)
        if text is not None:
            header = record.rec_headers.get_header
            yield (
                number,
                {
                    "text": text,
                    "url": header("WARC-Target-URI"),
                    "date": header("WARC-Date"),
                    "language": header("WARC-Identified-Content-Language") or "",
                    "record_id": header("WARC-Record-ID"),
                },
            )


class _Run:
    """The unpacked bytes up to the next damage."""

    def __init__(self, pieces: Iterable[bytes | Damage]) -> None:
        self.pieces = iter(pieces)
        self.held = bytearray()
        self.end: Damage | Literal["file"] | None = None

    def need(self, count: int) -> bool:
        """Read until `count` bytes are held; False if the run has fewer."""
        while len(self.held) < count and self.end is None:
            piece = next(self.pieces, "file")
            if isinstance(piece, bytes):
                self.held += piece
            else:
                self.end = piece  # type: ignore[assignment]
        return len(self.held) >= count

    def find(self, start: int) -> int:
        """Where the next record's beginning is held, at or behind `start`, or -1: looks through `LARGEST` bytes at most."""
        looked = start
        while True:
            match = _NEXT.search(self.held, max(start, looked - 32))
            if match:
                return match.start()
            looked = len(self.held)
            if looked > LARGEST or not self.need(looked + 1):
                return -1

    def drop(self, count: int) -> None:
        del self.held[:count]
        self.need(4)
        while self.held[:2] == b"\r\n":
            del self.held[:2]
            self.need(4)


def _records(pieces: Iterable[bytes | Damage], name: str) -> Iterator[tuple[int, bytes] | Damage]:
    """Cuts a file into its records: number from 1 and bytes, each with a header whose Content-Length is true."""
    run, number = _Run(pieces), 0
    while True:
        run.drop(0)
        if not run.need(1):
            if not isinstance(run.end, Damage):
                return
            yield run.end
            run.end = None
            continue
        number += 1
        run.need(1 << 16)
        head = run.held.find(_END)
        length = _LENGTH.search(run.held, 0, head) if run.held.startswith(b"WARC/") and head >= 0 else None
        body = head + len(_END)
        stated = int(length.group(1)) if length else -1
        if 0 <= stated <= LARGEST and run.need(body + stated) and _ends(run, body + stated):
            data = bytes(run.held[: body + stated])
            run.drop(len(data))
            yield number, data
            continue
        following = run.find(max(0, head))
        end = following if following >= 0 else len(run.held)
        complete = following >= 0 or (run.end == "file" and run.held.endswith(_END))
        if following < 0 and run.end == "file" and not complete:
            yield Damage(name, "record", number, "the file ends inside it; left out")
        elif length is None and (following >= 0 or run.end == "file"):
            yield Damage(name, "record", number, "no header with a Content-Length; left out")
        elif length is not None and complete:
            data = bytes(run.held[:end]).rstrip(b"\r\n") if following < 0 else bytes(run.held[:end])
            true = max(0, len(data) - body)
            yield Damage(
                name,
                "record",
                number,
                f"Content-Length says {stated:,} bytes, it has {true:,}; read up to its true end",
            )
            yield number, data[: length.start(1)] + str(true).encode() + data[length.end(1) :]
        elif run.end is None:
            yield Damage(name, "record", number, f"no record begins in the next {LARGEST:,} bytes; left out")
        run.drop(end)  # a run that ends with a damage: the damage itself says what was lost


def _ends(run: _Run, place: int) -> bool:
    """Whether a record ends here: behind it are two line ends and a record, or the end."""
    if not run.need(place + 4):
        return not bytes(run.held[place:]).strip(b"\r\n")
    return run.held[place : place + 4] == _END and (
        not run.need(place + 9) or run.held[place + 4 : place + 9] == b"WARC/"
    )


def _text(record: Any, kind: str) -> tuple[str | None, str]:
    """A record -> its text (None: no page with text) and what is wrong with it."""
    data = record.content_stream().read()
    if kind == "conversion":
        return _decoded(data, "utf-8")
    headers = record.http_headers
    content = (headers.get_header("Content-Type") or "") if headers else ""
    media, _, parameters = content.partition(";")
    if media.strip().lower() not in ("text/html", "application/xhtml+xml", "text/plain"):
        return None, ""
    named = re.search(r"(?i)charset=[\"']?([\w-]+)", parameters)
    meta = _CHARSET.search(data[:4096])
    text, wrong = _decoded(data, named.group(1) if named else meta.group(1).decode() if meta else "utf-8")
    return (text if media.strip().lower() == "text/plain" else visible_text(text)), wrong


def _decoded(data: bytes, encoding: str) -> tuple[str, str]:
    try:
        return data.decode(encoding), ""
    except UnicodeDecodeError as error:
        wrong = (
            f"byte 0x{data[error.start]:02x} at offset {error.start} of its text is not {encoding}: U+FFFD in its place"
        )
        return data.decode(encoding, "replace"), wrong
    except LookupError:
        return data.decode(errors="replace"), f"the encoding {encoding!r} is not known: read as utf-8"


class _Visible(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self.hidden.append(tag)
        elif tag not in _INLINE:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden:
            del self.hidden[self.hidden.index(tag) :]
        elif tag not in _INLINE:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(re.sub(r"\s+", " ", data))


def visible_text(html: str) -> str:
    """The text of a page, a line for each block, without scripts and styles.

    >>> visible_text("<head><title>T</title></head><h1>Bread</h1><p>Flour &amp; <b>water</b>.<script>x()</script>")
    'Bread\\nFlour & water.'
    """
    parser = _Visible()
    parser.feed(html)
    parser.close()
    lines = (re.sub(r" +", " ", line).strip() for line in "".join(parser.parts).split("\n"))
    return "\n".join(line for line in lines if line)
