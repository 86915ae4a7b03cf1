"""What can go wrong with a source: it cannot be reached, a file is damaged, or a file is another source's.

Damage is reported with the file and the place in it, and costs only what is broken: what stands before it has been yielded, and with
`on_error="skip"` reading goes on behind it wherever the format lets one find the next good piece.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

OnError = Literal["raise", "skip"]
INSTEAD = "instead, with no network: the text of this Python install, `lablib.corpus.crawl.crawl()`"


class SourceUnavailable(RuntimeError):
    """A source cannot be read here, for want of a network, a file or a package. One line: what it needs, and what runs instead."""


class WrongFormat(ValueError):
    """A file is not of the format, or has not the columns, that the source's files have."""


class Damage(NamedTuple):
    """One place that could not be read, or not as it stands.

    Attributes:
        file: its name.
        unit: what `place` counts: "byte" (of the file as stored, from 0), or "line", "record", "row", "row group" (from 1).
        place: where the damage begins, or where it was noticed.
        reason: what is wrong, and what became of the text there.
    """

    file: str
    unit: Literal["byte", "line", "record", "row", "row group"]
    place: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.unit} {self.place:,}: {self.reason}"


class DamagedFile(ValueError):
    """Raised by `on_error="raise"` at the first damage, after all that stands before it.

    Attributes:
        damage: the place and the reason.
    """

    def __init__(self, damage: Damage) -> None:
        super().__init__(
            f'{damage}. All that stands before it was read; on_error="skip" reads on where that is possible'
        )
        self.damage = damage


class DamagedFileWarning(UserWarning):
    """Said once at the end of a stream that skipped damage and that was given no report to write it to."""


@dataclass
class SourceReport:
    """Filled while a stream is iterated.

    Attributes:
        records: how many were yielded.
        bytes: of their text, in UTF-8.
        empty: rows that hold no text; they are left out.
        files: the files that were opened.
        damages: in the order met.
    """

    records: int = 0
    bytes: int = 0
    empty: int = 0
    files: list[str] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.records:,} records, {self.bytes:,} bytes of text, {len(self.files)} files, {self.empty} empty"
        return "\n".join([f"{text}, {len(self.damages)} damaged places", *map(str, self.damages)])
