"""The search of lab 11 in one piece: pages in, the best pages or the passages for a prompt out.

Two searches with two kinds of eyes are fused by rank: BM25 over whole pages, where the words of a question may stand far apart, and vectors
of sections, which say exactly what a short text is about; a section stands for its page (`small_to_big`). A page is too long to put
several of them before a small model, so `passages` takes of the best pages the sections that fit the question best.

Every setting was chosen on the questions of the dev part; the held-out ones were never looked at.
"""

from collections.abc import Sequence

from lablib.adaptation.bm25 import BM25, singular_words
from lablib.adaptation.chunking import Chunk, chunk_pages, heading_paths
from lablib.adaptation.dense import Dense, Encode
from lablib.adaptation.fusion import hybrid
from lablib.adaptation.search import Hit, check_search
from lablib.adaptation.small_to_big import small_to_big
from lablib.corpus.document import Document

SIZE = 600  # characters of a section at most


def sections_of(pages: Sequence[Document], size: int = SIZE) -> list[Chunk]:
    """The pages' sections of at most `size` characters; lists of references, which answer no question, are left out.

    >>> [one.heading for one in sections_of([Document("# Cats\\nThey purr.\\n## References\\nAda 1843", "cats", "us")])]
    ['Cats']
    """
    return [one for one in chunk_pages(pages, "structural", size) if not one.heading.endswith("References")]


def whole_pages(pages: Sequence[Document]) -> list[Chunk]:
    """Each page as one chunk, so that a search for pages is judged like any other.

    >>> whole_pages([Document("# Cats\\nThey purr.", "cats", "us")])[0].id
    'cats:0-17'
    """
    titles = [heading_paths(page.text) for page in pages]
    return [
        Chunk(page.id, 0, len(page.text), page.text, paths[0][1] if paths else "")
        for page, paths in zip(pages, titles, strict=True)
    ]


class PageSearch:
    """Pages, ready to be searched.

    Args:
        pages: with an id of their own each. encode: texts -> vectors, such as `best_encoder(…)`.
    Attributes:
        pages: each as one chunk. sections: of all pages. page_of: for each section the number of its page.
        index: BM25 over the sections. dense: their vectors.
    Raises:
        ValueError: no page, or two of one id.

    >>> import torch
    >>> letters = lambda texts: torch.tensor([[1.0, *(text.count(c) for c in "abc")] for text in texts])
    >>> found = PageSearch([Document("# Cats\\nThey purr.", "cats", "us"), Document("# Dogs\\nThey bark.", "dogs", "us")], letters)
    >>> [found.pages[hit.number].page for hit in found.search("Who barks, a dog?", k=1)]
    ['dogs']
    """

    def __init__(self, pages: Sequence[Document], encode: Encode) -> None:
        self.sections, self.pages = sections_of(pages), whole_pages(pages)
        numbers = {page.page: number for number, page in enumerate(self.pages)}
        self.page_of = [numbers[one.page] for one in self.sections]
        texts = [one.searchable for one in self.sections]
        self.index, self.dense = BM25(texts, singular_words), Dense(texts, encode)
        page_words = BM25([page.text for page in self.pages], singular_words).search
        self._search = hybrid([page_words, small_to_big(self.dense.search, self.page_of)])
        self._sections = hybrid([self.index.search, self.dense.search])

    def search(self, query: str, k: int) -> list[Hit]:
        """The k best pages, the best first; numbers of `self.pages`. Raises: ValueError, see `check_search`."""
        return self._search(query, k)

    def passages(self, query: str, k: int = 5, pages: int = 3) -> list[Chunk]:
        """The k best sections of the best pages, the best first: what goes into a prompt.

        Args:
            query: a question. k: sections. pages: they are taken from so many of the best pages.
        Raises:
            ValueError: k or pages below 1, or an empty query.
        """
        check_search(query, min(k, pages))
        good = {hit.number for hit in self.search(query, pages)}
        ranked = self._sections(query, len(self.sections))
        return [self.sections[hit.number] for hit in ranked if self.page_of[hit.number] in good][:k]
