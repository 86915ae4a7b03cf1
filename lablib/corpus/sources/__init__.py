"""Public sources of text, one streaming adapter each: `stream("c4", limit=100)`, and `describe()` for the table of them all.

Nothing is downloaded when this is imported, and the packages that read the formats are imported when a stream is taken.
"""

from lablib.corpus.sources.catalogue import SOURCES, Source, known
from lablib.corpus.sources.conversations import Example, PreferencePair, Turn
from lablib.corpus.sources.retry import Retry
from lablib.corpus.sources.streaming import stream
from lablib.corpus.sources.table import describe
from lablib.corpus.sources.trouble import (
    Damage,
    DamagedFile,
    DamagedFileWarning,
    SourceReport,
    SourceUnavailable,
    WrongFormat,
)

__all__ = [
    "SOURCES",
    "Damage",
    "DamagedFile",
    "DamagedFileWarning",
    "Example",
    "PreferencePair",
    "Retry",
    "Source",
    "SourceReport",
    "SourceUnavailable",
    "Turn",
    "WrongFormat",
    "describe",
    "known",
    "stream",
]
