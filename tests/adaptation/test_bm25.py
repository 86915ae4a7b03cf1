"""BM25 against the package `bm25s`, against a calculation by hand, and by its properties."""

import math

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.bm25 import BM25, VARIANTS, bm25_idf, bm25_score, saturation, singular_words, words
from lablib.adaptation.chunking import chunk_pages
from lablib.corpus.crawl import crawl

vocabulary = ["the", "cat", "dog", "purrs", "rope", "loss", "a", "128"]
texts = st.lists(st.sampled_from(vocabulary), max_size=12).map(" ".join)
corpora = st.lists(texts, min_size=1, max_size=12).filter(any)
queries = st.lists(st.sampled_from([*vocabulary, "unknown"]), min_size=1, max_size=6).map(" ".join)
constants = st.tuples(st.floats(0.1, 3), st.floats(0, 1))


def theirs(texts: list[str], query: str, k1: float, b: float, variant: str) -> np.ndarray:
    index = bm25s.BM25(k1=k1, b=b, method=variant, dtype="float64")
    index.index([words(text) for text in texts], show_progress=False)
    return index.get_scores(words(query))


# ------------------------------------------------------------------ against an authority


@pytest.mark.parametrize("variant", VARIANTS)
@given(texts=corpora, query=queries, constants=constants)
def test_scores_are_those_of_bm25s(variant, texts, query, constants):
    k1, b = constants
    expected = theirs(texts, query, k1, b, variant)
    scores = BM25(texts, k1=k1, b=b, variant=variant).scores(query)
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-12)  # bm25s keeps idf in float32
    assert (scores > 0).any() == (expected > 0).any()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "query",
    [
        "how does a for loop over a generator end",
        "raise an exception from another",
        "the",
        "metaclass __slots__ weakref",
    ],
)
def test_scores_and_order_on_the_language_reference(variant, query):
    chunks = [chunk.searchable for chunk in chunk_pages(crawl("language reference"), size=600)]
    index, expected = BM25(chunks, variant=variant), theirs(chunks, query, 1.5, 0.75, variant)
    scores = index.scores(query)
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-9)
    if variant == "lucene":
        assert scores.max() > 0.05  # for the least telling of them, "the"
        best = [hit.number for hit in index.search(query, 5)]
        assert scores[best].tolist() == sorted(scores, reverse=True)[:5]
    # Where they differ: "the" stands in more than half of the chunks.
    assert index.idf["the"] == 0 if variant == "robertson" else index.idf["the"] > 0


def test_a_corpus_by_hand():
    # 4 passages, mean length (2 + 4 + 3 + 3) / 4 = 3. "cat" stands in 2 of them, "the" in 3.
    texts = ["cat purrs", "the cat the dog", "the dog barks", "the loss falls"]
    cat, the = math.log(1 + 2.5 / 2.5), math.log(1 + 1.5 / 3.5)
    index = BM25(texts, k1=2.0, b=0.5)
    expected = [
        cat * 1 / (1 + 2 * (0.5 + 0.5 * 2 / 3)),
        cat * 1 / (1 + 2 * (0.5 + 0.5 * 4 / 3)) + the * 2 / (2 + 2 * (0.5 + 0.5 * 4 / 3)),
        the * 1 / 3,
        the * 1 / 3,
    ]
    assert index.scores("the cat").tolist() == pytest.approx(expected, rel=1e-12)
    assert [hit.number for hit in index.search("the cat", 10)] == [1, 0, 2, 3]
    robertson = BM25(texts, k1=2.0, b=0.5, variant="robertson")
    assert robertson.scores("the cat").tolist() == [0, 0, 0, 0]  # cat: ln(2.5 / 2.5) = 0; the: below 0, so 0
    assert robertson.search("the cat", 10) == []
    assert robertson.scores("loss")[3] == pytest.approx(math.log(3.5 / 1.5) / 3, rel=1e-12)


# ------------------------------------------------------------------ properties


@given(corpora, queries, constants)
def test_the_index_is_the_formula_for_each_passage(texts, query, constants):
    k1, b = constants
    index = BM25(texts, k1=k1, b=b)
    passages = [words(text) for text in texts]
    mean = sum(map(len, passages)) / len(passages)
    idf = {word: bm25_idf(sum(word in passage for passage in passages), len(texts)) for word in vocabulary}
    expected = [bm25_score(words(query), passage, idf, mean, k1, b) for passage in passages]
    assert index.scores(query).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(corpora, queries, st.integers(1, 15))
def test_a_search_is_sorted_and_finds_every_passage_that_shares_a_word(texts, query, k):
    hits = BM25(texts).search(query, k)
    sharing = [i for i, text in enumerate(texts) if set(words(text)) & set(words(query))]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {hit.number for hit in hits} <= set(sharing)
    assert len({hit.number for hit in hits}) == len(hits) == min(k, len(sharing))


@given(corpora, queries)
def test_the_order_of_the_query_does_not_matter_and_twice_counts_twice(texts, query):
    index = BM25(texts)
    backwards = " ".join(reversed(query.split()))
    np.testing.assert_allclose(index.scores(backwards), index.scores(query), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(index.scores(f"{query} {query}"), 2 * index.scores(query), rtol=1e-12, atol=1e-15)


@given(st.integers(1, 10_000).flatmap(lambda N: st.tuples(st.integers(0, N - 1), st.just(N))))
def test_a_rarer_word_tells_more(counts):
    df, N = counts
    assert bm25_idf(df, N) > bm25_idf(df + 1, N) > 0
    assert bm25_idf(df, N, "robertson") >= bm25_idf(df + 1, N, "robertson") >= 0
    assert bm25_idf(df, N) > bm25_idf(df, N, "robertson")
    assert (bm25_idf(df, N, "robertson") == 0) == (2 * df >= N)


@given(st.integers(1, 50), st.integers(1, 200), st.floats(0.1, 3), st.floats(0, 1))
def test_saturation_grows_less_and_less_and_falls_with_length(tf, length, k1, b):
    once, twice, thrice = (saturation(n * tf, length, 50, k1, b) for n in (1, 2, 3))
    assert 0 < once < twice < thrice < 1
    assert twice - once > thrice - twice
    assert saturation(tf, length + 10, 50, k1, b) <= once
    assert saturation(tf, length, 50, 0.0, b) == 1
    assert saturation(0, length, 50, k1, b) == 0


def test_nothing_asked_scores_nothing():
    score = bm25_score([], ["cat"], {"cat": 1.0}, 1)
    assert score == 0
    assert isinstance(score, float)


def test_a_mean_passage_gets_half_at_k1():
    assert saturation(2, 50, 50, k1=2, b=0.3) == 0.5


# ------------------------------------------------------------------ words


def test_plurals_by_harmans_rules():
    assert singular_words("queries trees losses bus class aes gradients Pass skies dies") == [
        "query", "tree", "losse", "bus", "class", "ae", "gradient", "pass", "sky", "dy",
    ]  # fmt: skip


def test_another_way_to_cut_words():
    index = BM25(["one layer", "many heads"], tokenise=singular_words)
    assert [hit.number for hit in index.search("LAYERS?", 2)] == [0]
    assert BM25(["one layer", "many heads"]).search("LAYERS?", 2) == []
    letters = BM25(["abc", "xyz"], tokenise=list)
    assert [hit.number for hit in letters.search("zzz", 2)] == [1]


# ------------------------------------------------------------------ bad input


def test_nothing_to_search_in():
    with pytest.raises(ValueError, match="texts is empty: expected at least one passage"):
        BM25([])
    with pytest.raises(ValueError, match="texts: none of the 2 has a word in it; is `tokenise` right"):
        BM25(["", "?!"])
    with pytest.raises(TypeError, match=r"texts\[1\] = b'\\xff' is bytes: expected str; decode bytes before"):
        BM25(["a", b"\xff"])


@pytest.mark.parametrize("query", ["", "  \n", "?!"])
def test_nothing_to_search_for(query):
    with pytest.raises(ValueError, match="expected a question"):
        BM25(["a cat"]).search(query, 3)


def test_arguments_out_of_range():
    index = BM25(["a cat"])
    with pytest.raises(ValueError, match="k = 0: expected at least 1"):
        index.search("cat", 0)
    with pytest.raises(TypeError, match="query = None is NoneType: expected str"):
        index.search(None, 1)
    with pytest.raises(ValueError, match=r"k1 = -1, b = 0\.75: expected k1 ≥ 0 and b from 0 to 1"):
        BM25(["a cat"], k1=-1)
    with pytest.raises(ValueError, match="b = 2: expected"):
        BM25(["a cat"], b=2)
    with pytest.raises(ValueError, match="df = 5, N = 4, variant = 'lucene': expected 0 ≤ df ≤ N"):
        bm25_idf(5, 4)
    with pytest.raises(ValueError, match="variant = 'atire': expected"):
        BM25(["a cat"], variant="atire")


def test_a_passage_of_a_million_characters():
    index = BM25(["word " * 200_000 + "needle", "hay"])
    assert [hit.number for hit in index.search("needle", 2)] == [0]
