"""What a crawl read and what it could not: counts by part, and every file that gave trouble with its name and the reason."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lablib.corpus.document import Document

Trouble = Literal["missing", "unreadable", "mis-encoded", "unparsable", "left out"]
TROUBLES: tuple[Trouble, ...] = ("missing", "unreadable", "mis-encoded", "unparsable", "left out")


class Problem(NamedTuple):
    """Something that was not read, or not as it stands.

    Attributes:
        trouble: "missing": this install has no such part. "unreadable": the system refused, or the file is too large.
            "mis-encoded": bytes that are no text in the file's encoding; it was read all the same, with U+FFFD in their place.
            "unparsable": no Python that this Python can parse. "left out": there, and not asked for.
        name: the file or folder.
        reason: what is wrong, and where.
    """

    trouble: Trouble
    name: str
    reason: str


@dataclass
class Count:
    """What one part gave: documents, characters, and bytes of these in UTF-8."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0


@dataclass
class Report:
    """Filled while a crawl is iterated: what was yielded so far and what was not readable so far.

    Attributes:
        parts: counts by part, such as "standard library".
        problems: in the order met.
    """

    parts: dict[str, Count] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def total(self) -> Count:
        """The sum over the parts."""
        counts = self.parts.values()
        return Count(*(sum(getattr(count, name) for count in counts) for name in ("documents", "characters", "bytes")))

    def count(self, part: str, document: Document) -> None:
        """Add a document that is about to be yielded."""
        count = self.parts.setdefault(part, Count())
        count.documents += 1
        count.characters += len(document.text)
        count.bytes += len(document.text.encode())

    def __str__(self) -> str:
        lines = [f"{'part':<20} {'documents':>11} {'characters':>13} {'bytes':>13}"]
        for part, count in [*self.parts.items(), ("all", self.total)]:
            lines.append(f"{part:<20} {count.documents:>11,} {count.characters:>13,} {count.bytes:>13,}")
        troubles = Counter(problem.trouble for problem in self.problems)
        return "\n".join([*lines, *(f"{trouble}: {troubles[trouble]}" for trouble in TROUBLES if troubles[trouble])])


def decode(data: bytes, encoding: str = "utf-8") -> tuple[str, str]:
    """Bytes -> the text, and what is wrong with it: "" where nothing is.

    A byte order mark at the start is taken off (and decides for UTF-16). Bytes that are no text become U+FFFD, so that the
    rest of the file is not lost. Line ends become a line feed, as Python reads them.

    >>> decode(b"caf\\xc3\\xa9\\r\\n")
    ('café\\n', '')
    >>> decode(b"caf\\xe9 au lait")
    ('caf\ufffd au lait', 'byte 0xe9 at offset 3 is not utf-8: read with U+FFFD in its place')
    """
    skipped = 0
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif data.startswith(b"\xef\xbb\xbf") and encoding.startswith("utf-8"):
        encoding, data, skipped = "utf-8", data[3:], 3
    wrong = ""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        byte = data[error.start] if error.start < len(data) else 0
        wrong = f"byte 0x{byte:02x} at offset {skipped + error.start} is not {encoding}: read with U+FFFD in its place"
        text = data.decode(encoding, "replace")
    except (LookupError, UnicodeError) as error:  # a codec that makes no text, such as rot13
        text, second = decode(data)
        wrong = "; ".join(filter(None, [f"encoding {encoding!r} is not one for text ({error}): read as utf-8", second]))
    return text.replace("\r\n", "\n").replace("\r", "\n"), wrong


def whole(text: str) -> tuple[str, str]:
    """A text that can be written as UTF-8, and what was wrong: half a surrogate pair, as in the literal "\\ud800", becomes U+FFFD.

    >>> whole("a" + chr(0xD800))
    ('a\ufffd', 'half a surrogate pair at character 1: U+FFFD in its place')
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        wrong = f"half a surrogate pair at character {error.start}: U+FFFD in its place"
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), wrong
    return text, ""
