"""Search in small passages, give back the larger ones that they stand in.

The smaller a passage, the more exactly its vector says what it is about, and the less of it is left to answer from. So search among
sentences or sections, and put the section or the page of what was found before the model. Several small finds in one large passage
make one: that with the best of them counts, and its rank.

It is known as parent-document or small-to-big retrieval. The same function goes from sentences to sections and from sections to pages.
"""

from collections.abc import Sequence

from lablib.adaptation.chunking import Chunk, sentence_spans
from lablib.adaptation.search import Hit, Search, check_search


def small_to_big(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
    """A search for large passages made from one for small ones.

    Args:
        search: over the small passages. parents: for each of them the number of the large one that it stands in.
        depth: small passages that are asked for, once, or k of them where that is more. Too few, and less than k large
            ones may come of them.
    Returns: (query, k) -> at most k hits (`Hit`) with numbers of large passages, each once, with its best small one's
        score; of equal ones that which was found first.

    >>> small = lambda query, k: [Hit(2, 0.9), Hit(3, 0.8), Hit(0, 0.7)]
    >>> small_to_big(small, parents=[0, 0, 1, 1])("?", 5)
    [Hit(number=1, score=0.9), Hit(number=0, score=0.7)]
    """

    def found(query: str, k: int) -> list[Hit]:
        check_search(query, k)
        best: dict[int, float] = {}
        for hit in search(query, max(depth, k)):
            best.setdefault(parents[hit.number], hit.score)  # the hits come best first
        return [Hit(parent, score) for parent, score in list(best.items())[:k]]

    return found


def sentences_of(chunks: Sequence[Chunk]) -> tuple[list[Chunk], list[int]]:
    """The sentences of chunks as chunks of their own, and for each the number of the chunk that it stands in; headings are left out.

    >>> small, parents = sentences_of([Chunk("cats", 5, 30, "# Cats\\n\\nThey purr. They eat.", "Cats")])
    >>> [(one.text, one.start, one.heading) for one in small], parents
    ([('They purr. ', 13, 'Cats'), ('They eat.', 24, 'Cats')], [0, 0])
    """
    small, parents = [], []
    for number, chunk in enumerate(chunks):
        for start, stop in sentence_spans(chunk.text):
            text = chunk.text[start:stop]
            if text.strip() and not text.startswith("#"):
                small.append(Chunk(chunk.page, chunk.start + start, chunk.start + stop, text, chunk.heading))
                parents.append(number)
    return small, parents
