"""Where the text of a run comes from: a public source, this Python install, the world, or plain files; as one stream of texts.

A line of text that never comes is no reason to lose an evening: what was read before a stream broke off is a smaller corpus.

Left out: mixing sources (`lablib.corpus.mixing` says in which proportions), and cleaning (`lablib.corpus.pipeline`): what is read
here was cleaned by those who made it, or is the prose of people who wrote with care.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from lablib.corpus.crawl import crawl
from lablib.corpus.document import Document
from lablib.corpus.sources import SOURCES, DamagedFile, SourceReport, SourceUnavailable, known, stream
from lablib.corpus.world import World

PROSE = ("language reference", "standard library", "readmes", "packages")  # parts of the crawl
SEPARATOR = "<|endoftext|>"  # between documents in a plain file, as in the files of GPT-2's time and TinyStories' own
PIECE = 2000  # characters, at least, of a document in a plain file without separators
OWN = ("crawl", "world", "text")  # sources that are no public ones


@dataclass
class Reading:
    """A source that is being read.

    Attributes:
        texts: what is yet to come. documents: how many have been taken. ended: "" while there may be more, or why there is not.
    """

    texts: Iterator[str]
    documents: int = 0
    ended: str = ""

    def take(self, size: int) -> list[str]:
        """The next texts, at least `size` bytes of them; fewer where the source ends or breaks off.

        Raises:
            SourceUnavailable, ValueError: the very first text cannot be had.
        """
        taken: list[str] = []
        while not self.ended and size > 0:
            try:
                text = next(self.texts, None)
            except (SourceUnavailable, DamagedFile, OSError) as error:
                if not self.documents:
                    raise
                self.ended = f"the stream broke off after {self.documents:,} documents: {error}"
                break
            if text is None:
                self.ended = "that is all the text there is"
                break
            self.documents += 1
            if text.strip():
                taken.append(text)
                size -= len(text.encode())
        return taken


def texts_of(source: str, files: Sequence[str | Path] = ()) -> Iterator[str]:
    """The texts of a source, one document after the other.

    Args:
        source: the name of a public source of documents, such as "tinystories", read from the hub as it comes, or from `files`;
            "text": plain UTF-8 files, cut at `SEPARATOR` or else between paragraphs; "crawl": this Python install's prose; "world":
            documents of the invented valley, without end.

    Raises:
        ValueError: no such source, one that has no documents, or files missing or given where none are read. At once.
        SourceUnavailable, FileNotFoundError: see `lablib.corpus.sources.stream`.
    """
    names = [*(found.name for found in SOURCES if found.gives == "documents"), *OWN]
    if source not in names or (source not in OWN and known(source).gives != "documents"):
        raise ValueError(f"source = {source!r}: expected one of {', '.join(map(repr, names))}")
    if (source == "text") > bool(files) or (source in ("crawl", "world") and files):
        wanted = "files to read" if source == "text" else "no files"
        raise ValueError(f"source = {source!r} with files = {[str(file) for file in files]}: expected {wanted}")
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f"the file {str(file)!r} is not there: expected a file to read texts from")
    if source == "text":
        return map(_sound, _plain(files))
    if source == "crawl":
        return (_sound(document.text) for document in crawl(PROSE))
    if source == "world":
        return (document.text for document in World().documents(Random(0), "train"))
    records = stream(source, list(files) or None, on_error="skip", report=SourceReport())
    return (_sound(record.text) for record in records if isinstance(record, Document))


def _plain(files: Sequence[str | Path]) -> Iterator[str]:
    for file in files:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
        if SEPARATOR in text:
            yield from (part.strip("\n") for part in text.split(SEPARATOR))
            continue
        gathered = ""
        for paragraph in text.split("\n\n"):
            gathered += ("\n\n" if gathered else "") + paragraph
            if len(gathered) >= PIECE:
                yield gathered
                gathered = ""
        yield gathered


def _sound(text: str) -> str:
    """A text that UTF-8 can hold: half of a surrogate pair becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
