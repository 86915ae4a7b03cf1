"""Metrics of a ranking against scikit-learn, by hand, and by their properties."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from lablib.adaptation.chunking import Chunk, chunk_pages
from lablib.adaptation.ranking_metrics import Judged, facts_in, judge, ndcg_at_k, quality, recall_at_k, reciprocal_rank
from lablib.adaptation.search import Hit
from lablib.corpus.document import Document
from lablib.corpus.scoring import wilson

facts = st.lists(st.sampled_from("abcdef"), max_size=3)
holdings = st.lists(facts, max_size=10)
wants = st.sets(st.sampled_from("abcdef"), min_size=1)
gain_lists = st.lists(st.integers(0, 3), min_size=2, max_size=12)

# ------------------------------------------------------------------ against an authority


@given(gain_lists, st.integers(1, 15))
def test_ndcg_is_scikit_learns(gains, k):
    assume(any(gains))
    scores = -np.arange(len(gains))[None]  # the ranking is the order of the list
    expected = ndcg_score([gains], scores, k=k)
    assert ndcg_at_k(gains, gains, k) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.integers(1, 10), st.integers(0, 9))
def test_the_reciprocal_rank_of_one_fact_is_its_average_precision(passages, place):
    assume(place < passages)
    labels = [[int(i == place) for i in range(passages)]]
    expected = label_ranking_average_precision_score(labels, -np.arange(passages)[None])
    assert reciprocal_rank([["a"] if i == place else ["x"] for i in range(passages)], ["a"]) == pytest.approx(expected)


@given(holdings, wants, st.integers(1, 12))
def test_recall_by_asking_for_each_fact(holds, wanted, k):
    found = [fact for fact in wanted if any(fact in held for held in holds[:k])]
    assert recall_at_k(holds, wanted, k) == pytest.approx(len(found) / len(wanted), rel=1e-12)


# ------------------------------------------------------------------ by hand


def test_recall_by_hand():
    holds = [["x"], ["a"], ["a", "b"], [], ["c"]]
    assert [recall_at_k(holds, ["a", "b"], k) for k in (1, 2, 3, 9)] == [0, 0.5, 1, 1]
    assert recall_at_k(holds, ["a", "a", "d"], 5) == 0.5  # the same fact twice is one
    assert recall_at_k([], ["a"], 5) == 0


def test_reciprocal_rank_by_hand():
    assert reciprocal_rank([["a"], ["b"]], ["b", "a"]) == 1
    assert reciprocal_rank([["x"], [], ["x"], ["b", "x"]], ["a", "b"]) == 0.25
    assert reciprocal_rank([["x"], []], ["a"]) == 0
    assert reciprocal_rank([], ["a"]) == 0


def test_ndcg_by_hand():
    # Gains 3, 0, 2 at ranks 1, 2, 3, and one of 1 that was not found: 3/1 + 0/1.585 + 2/2 = 4 of 3/1 + 2/1.585 + 1/2.
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at_k([3, 0, 2], [0, 1, 2, 3, 0], 3) == pytest.approx(4 / ideal)
    assert ndcg_at_k([3, 0, 2], [0, 1, 2, 3, 0], 2) == pytest.approx(3 / (3 + 2 / math.log2(3)))
    assert ndcg_at_k([0, 0], [1, 1], 2) == 0
    assert ndcg_at_k([0, 0], [0, 0], 2) == 0
    assert ndcg_at_k([], [1], 5) == 0


# ------------------------------------------------------------------ properties


@given(holdings, wants, st.integers(1, 12))
def test_more_passages_never_find_less(holds, wanted, k):
    assert 0 <= recall_at_k(holds, wanted, k) <= recall_at_k(holds, wanted, k + 1) <= 1
    assert reciprocal_rank(holds[:k], wanted) <= reciprocal_rank(holds[: k + 1], wanted)
    assert (recall_at_k(holds, wanted, k) > 0) == (reciprocal_rank(holds[:k], wanted) > 0)


@given(gain_lists, st.integers(0, 10**6), st.integers(1, 12))
def test_the_best_order_has_1_and_no_order_more(gains, seed, k):
    assume(any(gains))
    shuffled = np.random.default_rng(seed).permutation(gains).tolist()
    assert 0 <= ndcg_at_k(shuffled, gains, k) <= 1 + 1e-12
    assert ndcg_at_k(sorted(gains, reverse=True), shuffled, k) == pytest.approx(1, rel=1e-12)


@given(gain_lists)
def test_to_swap_a_better_passage_forward_helps(gains):
    for place in range(len(gains) - 1):
        swapped = [*gains[:place], gains[place + 1], gains[place], *gains[place + 2 :]]
        change = ndcg_at_k(swapped, gains, len(gains)) - ndcg_at_k(gains, gains, len(gains))
        assert np.sign(round(change, 12)) == np.sign(gains[place + 1] - gains[place])


# ------------------------------------------------------------------ chunks

TEXT = "# Cats\n\nCats sleep for sixteen hours. They purr at 25 hertz.\n\n# Dogs\n\nDogs bark."
PAGES = [Document(TEXT, "pets", "us"), Document("Cats are not mentioned.", "other", "us")]


def place_of(quote: str) -> tuple[str, tuple[int, int]]:
    return "pets", (TEXT.index(quote), TEXT.index(quote) + len(quote))


def test_a_fact_that_is_cut_in_two_is_held_by_none():
    places = {"sleep": [place_of("sixteen hours")], "purr": [place_of("25 hertz")]}
    whole, cut = chunk_pages(PAGES, "structural", 200), chunk_pages(PAGES, "fixed", 30)
    assert [facts_in(chunk, places) for chunk in whole] == [["sleep", "purr"], [], []]
    assert TEXT[:30].endswith("for sixteen")
    assert [facts_in(chunk, places) for chunk in cut[:2]] == [[], ["purr"]]
    overlapping = chunk_pages(PAGES, "fixed", 30, overlap=15)
    assert [facts_in(chunk, places) for chunk in overlapping[:4]] == [[], ["sleep"], ["purr"], ["purr"]]


def test_a_fact_that_stands_in_two_places_is_found_in_either():
    places = {"cats": [("pets", (8, 12)), ("other", (0, 4))]}
    assert facts_in(Chunk("other", 0, 10, ""), places) == facts_in(Chunk("pets", 8, 20, ""), places) == ["cats"]
    assert facts_in(Chunk("pets", 9, 20, ""), places) == facts_in(Chunk("third", 0, 99, ""), places) == []


def test_a_judged_ranking():
    chunks = chunk_pages(PAGES, "structural", 45)
    places = {"sleep": [place_of("sixteen hours")], "purr": [place_of("25 hertz")]}
    held = [facts_in(chunk, places) for chunk in chunks]
    sleep, purr = held.index(["sleep"]), held.index(["purr"])
    one = judge([Hit(len(chunks) - 1, 3.0), Hit(purr, 2.0), Hit(sleep, 1.0)], chunks, places)
    assert one == Judged(((), ("purr",), ("sleep",)), ("sleep", "purr"), (1, 1))


def test_quality_by_hand():
    first = Judged((("a",), ()), ("a",), (1,))  # recall 1, rank 1, nDCG 1
    second = Judged(((), ("a", "b")), ("a", "b"), (2, 1))  # 1, 1/2, (2/1.585) / (2 + 1/1.585)
    third = Judged(((), (), ("a",)), ("a", "b", "c"), (1, 1, 1))  # 1/3, 1/3, (1/2) / (1 + 1/1.585 + 1/2)
    got = quality([first, second, third], k=3)
    assert got.questions == 3
    assert got.recall == (4 / 6, *wilson(4, 6))
    assert got.complete == (2 / 3, *wilson(2, 3))
    mean, low, high = got.mrr
    assert mean == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert high - mean == pytest.approx(mean - low)
    assert high - mean == pytest.approx(1.96 * np.std([1, 1 / 2, 1 / 3], ddof=1) / math.sqrt(3), rel=1e-4)
    log3 = math.log2(3)
    expected = [1, 2 / log3 / (2 + 1 / log3), 0.5 / (1 + 1 / log3 + 0.5)]
    assert got.ndcg[0] == pytest.approx(sum(expected) / 3)
    assert quality([first, second, third], k=1).recall[0] == 1 / 6
    assert quality([first, second, third], k=1).mrr[0] == pytest.approx(
        1 / 3
    )  # what stands below rank k counts nothing
    assert str(got).startswith(
        "@3, 3 questions: recall 0.667 [0.300, 0.903], complete 0.667 [0.208, 0.939], MRR 0.611 ["
    )


# ------------------------------------------------------------------ bad input


def test_refusals():
    with pytest.raises(ValueError, match=r"wanted = \[\], k = 5: expected at least one fact"):
        recall_at_k([["a"]], [], 5)
    with pytest.raises(ValueError, match="k = 0: expected at least one fact, and k ≥ 1"):
        recall_at_k([["a"]], ["a"], 0)
    with pytest.raises(ValueError, match="k = 0, gains"):
        ndcg_at_k([1], [1], 0)
    with pytest.raises(ValueError, match="expected k ≥ 1 and gains of at least 0"):
        ndcg_at_k([-1], [1], 1)
    chunks = chunk_pages(PAGES)
    with pytest.raises(ValueError, match="places is empty: expected at least one fact"):
        judge([], chunks, {})
    with pytest.raises(ValueError, match="hits: 99 is none of the 3 chunks"):
        judge([Hit(99, 1.0)], chunks, {"a": [("pets", (0, 3))]})
    with pytest.raises(ValueError, match="judged has 1 questions: expected at least 2"):
        quality([Judged(((),), ("a",), (1,))])
