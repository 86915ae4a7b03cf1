"""What every search has in common: a query goes in, the numbers of passages with their scores come out, the best first.

A retriever is just a function, `search(query, k)`; `BM25.search`, `Dense.search` and what `hybrid` makes of several are three of them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Hit(NamedTuple):
    """A passage that was found.

    Attributes:
        number: its place in the list of passages that the search was made from.
        score: the higher the better; comparable within one search only.
    """

    number: int
    score: float


Search = Callable[[str, int], list[Hit]]  # (query, k) -> at most k hits, the best first


def check_texts(texts: Sequence[str]) -> None:
    """Can a search be made of these passages?

    Raises:
        ValueError: there is none. TypeError: one is not str; says which.
    """
    if not len(texts):
        raise ValueError("texts is empty: expected at least one passage to search in")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"texts[{number}] = {text!r:.60} is {type(text).__name__}: expected str; decode bytes before, "
                "and of a Chunk take `.searchable`"
            )


def check_search(query: str, k: int) -> None:
    """Can this be searched for?

    Raises:
        ValueError: k < 1, or nothing in the query but blanks. TypeError: the query is not str.
    """
    if not isinstance(query, str):
        raise TypeError(f"query = {query!r:.60} is {type(query).__name__}: expected str")
    if not query.strip():
        raise ValueError(f"query = {query!r:.40} is empty: expected a question")
    if k < 1:
        raise ValueError(f"k = {k}: expected at least 1 passage to return")
