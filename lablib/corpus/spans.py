"""A stretch of text with a kind: where a private detail stands, or where a fault was planted."""

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """The stretch text[start:stop], and what stands there.

    Attributes:
        start: the first character.
        stop: one behind the last character.
        kind: what it is, such as "email" or "boilerplate".
    """

    start: int
    stop: int
    kind: str


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """The spans in the order of the text, where of any that overlap the one that was given first stays.

    >>> without_overlaps([Span(8, 12, "card"), Span(0, 3, "name"), Span(10, 20, "phone")])
    [Span(start=0, stop=3, kind='name'), Span(start=8, stop=12, kind='card')]
    """
    kept: list[Span] = []
    for span in spans:
        if all(span.stop <= other.start or other.stop <= span.start for other in kept):
            kept.append(span)
    return sorted(kept)
