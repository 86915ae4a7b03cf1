"""Small passages searched, large ones found: against sorting by the best child, and that sentences lie in their chunk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.bm25 import BM25
from lablib.adaptation.chunking import chunk_pages
from lablib.adaptation.search import Hit
from lablib.adaptation.small_to_big import sentences_of, small_to_big
from lablib.corpus.document import Document

TEXT = "# Cats\n\nCats purr. They sleep for long. \n\n## Food\n\nThey eat fish! Do they?\n\n# Dogs\n\nDogs bark.\n"


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=15), st.integers(1, 8))
def test_a_large_passage_has_the_rank_of_its_best_small_one(children, k):
    order = sorted(range(len(children)), key=lambda i: -children[i][1])
    parents = [parent for parent, _ in children]
    search = small_to_big(lambda query, k: [Hit(i, children[i][1]) for i in order], parents)
    best = {parent: max(score for other, score in children if other == parent) for parent in parents}
    found = search("?", k)
    assert {hit.number: hit.score for hit in found}.items() <= best.items()
    assert [hit.score for hit in found] == sorted(best.values(), reverse=True)[:k]
    assert len({hit.number for hit in found}) == len(found)


def test_depth_is_what_is_asked_for():
    asked = []

    def search(query, k):
        asked.append((query, k))
        return [Hit(0, 1.0), Hit(1, 0.5)][:k]

    found = small_to_big(search, [7, 9], depth=1)
    assert found("who", 1) == [Hit(7, 1.0)]
    assert found("who", 2) == [Hit(7, 1.0), Hit(9, 0.5)]
    assert asked == [("who", 1), ("who", 2)]


def test_sentences_lie_in_their_chunks_and_find_them():
    chunks = chunk_pages([Document(TEXT, "pets", "us")])
    small, parents = sentences_of(chunks)
    assert [one.text.strip() for one in small] == [
        "Cats purr.",
        "They sleep for long.",
        "They eat fish!",
        "Do they?",
        "Dogs bark.",
    ]
    assert parents == [0, 0, 1, 1, 2]
    for one, parent in zip(small, parents, strict=True):
        assert TEXT[one.start : one.stop] == one.text
        assert chunks[parent].start <= one.start < one.stop <= chunks[parent].stop
        assert one.heading == chunks[parent].heading
    search = small_to_big(BM25([one.searchable for one in small]).search, parents)
    assert search("fish", 3)[0].number == 1
    assert [hit.number for hit in search("cats", 5)] == [
        0,
        1,
    ]  # by its heading, "Cats › Food", the second is found, too


def test_bad_input():
    assert sentences_of([]) == ([], [])
    with pytest.raises(ValueError, match="is empty: expected a question"):
        small_to_big(lambda query, k: [], [])(" ", 3)
    with pytest.raises(ValueError, match="k = 0"):
        small_to_big(lambda query, k: [], [])("who", 0)
