"""Fusion and MMR against the papers' formulas written out, by hand, and by their properties."""

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.bm25 import BM25
from lablib.adaptation.fusion import diverse, hybrid, maximal_marginal_relevance, reciprocal_rank_fusion
from lablib.adaptation.search import Hit

rankings = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=8), max_size=4)


def points(seed: int, N: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Relevance and similarity of N random directions: cosines, as a search gives them."""
    x = torch.nn.functional.normalize(
        torch.randn(N + 1, 4, generator=torch.Generator().manual_seed(seed)), dim=-1
    ).double()
    return x[1:] @ x[0], x[1:] @ x[1:].mT


# ------------------------------------------------------------------ reciprocal rank fusion


@given(rankings, st.integers(0, 80))
def test_fusion_in_fractions(rankings, k):
    exact = {
        item: sum((Fraction(1, k + ranking.index(item) + 1) for ranking in rankings if item in ranking), Fraction(0))
        for item in itertools.chain(*rankings)
    }
    fused = reciprocal_rank_fusion(rankings, k)
    assert {item: pytest.approx(float(score), rel=1e-12) for item, score in exact.items()} == dict(fused)
    assert len(fused) == len(exact)
    assert all(exact[a] >= exact[b] - Fraction(1, 10**12) for (a, _), (b, _) in itertools.pairwise(fused))


@given(st.lists(st.integers(), unique=True, max_size=8), st.integers(1, 4))
def test_rankings_that_agree_stay_as_they_are(ranking, times):
    assert [item for item, _ in reciprocal_rank_fusion([ranking] * times)] == ranking


def test_fusion_by_hand():
    # k = 60: "b" 1/62 + 1/62, "a" 1/61 + 1/64, "c" 1/63 + 1/61, "d" 1/64 + 1/63; c and a are close: 0.03227 and 0.03202.
    fused = reciprocal_rank_fusion([["a", "b", "c", "d"], ["c", "b", "d", "a"]])
    assert [item for item, _ in fused] == ["c", "b", "a", "d"]
    assert dict(fused)["b"] == pytest.approx(2 / 62)
    # Found by both at rank 5 beats found by one at rank 2.
    assert reciprocal_rank_fusion([[1, 2, 3, 4, 9], [5, 6, 7, 8, 9]])[0][0] == 9
    # With k = 0 a first place is worth more than two fourths.
    assert [item for item, _ in reciprocal_rank_fusion([[1, 2, 3, 4], [5, 6, 7, 4]], k=0)][:3] == [1, 5, 2]


def test_equal_items_come_as_they_were_read():
    assert [item for item, _ in reciprocal_rank_fusion([["b"], ["a"], ["c"]])] == ["b", "a", "c"]
    assert reciprocal_rank_fusion([]) == reciprocal_rank_fusion([[], []]) == []


def test_fusion_refuses():
    with pytest.raises(ValueError, match=r"rankings\[1\] has 'a' twice: expected each item once"):
        reciprocal_rank_fusion([["a"], ["b", "a", "a"]])
    with pytest.raises(ValueError, match="k = -1: expected at least 0"):
        reciprocal_rank_fusion([["a"]], k=-1)


# ------------------------------------------------------------------ maximal marginal relevance


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 12), st.floats(0, 1))
def test_each_pick_is_the_best_by_the_papers_formula(seed, N, k, weight):
    relevance, similarity = points(seed, N)
    picked = maximal_marginal_relevance(relevance, similarity, k, weight)
    assert len(set(picked)) == len(picked) == min(k, N)
    for number, item in enumerate(picked):
        before = picked[:number]
        value = {
            i: weight * float(relevance[i]) - (1 - weight) * max((float(similarity[i, j]) for j in before), default=0.0)
            for i in range(N)
            if i not in before
        }
        assert value[item] == pytest.approx(max(value.values()), rel=1e-9, abs=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_relevance_alone_is_sorting(seed, N):
    relevance, similarity = points(seed, N)
    expected = relevance.argsort(descending=True).tolist()
    assert maximal_marginal_relevance(relevance, similarity, N, weight=1.0) == expected
    kept = relevance.clone(), similarity.clone()
    maximal_marginal_relevance(relevance, similarity, N, weight=0.3)
    assert torch.equal(kept[0], relevance)
    assert torch.equal(kept[1], similarity)


def test_the_repetition_is_the_nearest_picked_and_not_the_sum():
    # 2 is half like both 0 and 1; 3 is 0.8 like 0 only. The largest similarity prefers 2, their sum would prefer 3.
    similarity = torch.tensor([[1, 0, 0.5, 0.8], [0, 1, 0.5, 0], [0.5, 0.5, 1, 0], [0.8, 0, 0, 1]])
    assert maximal_marginal_relevance(torch.tensor([0.9, 0.8, 0.5, 0.5]), similarity, 3, weight=0.5) == [0, 1, 2]


def test_equal_items_are_taken_in_order():
    assert maximal_marginal_relevance(torch.ones(4), torch.eye(4), 4) == [0, 1, 2, 3]


def test_mmr_refuses():
    with pytest.raises(
        ValueError, match=r"relevance has shape \(3,\), similarity \(2, 2\): expected \(N,\) and \(N, N\)"
    ):
        maximal_marginal_relevance(torch.ones(3), torch.eye(2), 2)
    for k, weight in [(0, 0.5), (2, -0.1), (2, 1.5)]:
        with pytest.raises(ValueError, match=f"k = {k}, weight = {weight}: expected k ≥ 1"):
            maximal_marginal_relevance(torch.ones(2), torch.eye(2), k, weight)
    assert maximal_marginal_relevance(torch.ones(0), torch.ones(0, 0), 3) == []


# ------------------------------------------------------------------ several searches as one


def test_a_hybrid_finds_what_either_finds():
    texts = ["the cat purrs", "the dog barks", "a kitten sleeps"]
    asked = []

    def pets(query, k):
        asked.append(k)
        return [Hit(2, 0.9), Hit(0, 0.8)][:k]

    search = hybrid([BM25(texts).search, pets], depth=10)
    assert [hit.number for hit in search("cat", 5)] == [0, 2]  # 1/61 + 1/62 against 1/61
    assert search("cat", 1) == [Hit(0, pytest.approx(1 / 61 + 1 / 62))]
    assert asked == [10, 10]
    search("cat", 20)
    assert asked[-1] == 20


def test_a_hybrid_refuses():
    with pytest.raises(ValueError, match="searches is empty"):
        hybrid([])
    with pytest.raises(ValueError, match="is empty: expected a question"):
        hybrid([lambda query, k: []])("  ", 3)


# ------------------------------------------------------------------ no passage twice


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 14), st.floats(0, 1))
def test_a_diverse_search_picks_among_what_was_found(seed, N, k, weight):
    relevance, similarity = points(seed, N)
    order = relevance.argsort(descending=True).tolist()

    def search(query, wanted):
        return [Hit(i, float(relevance[i])) for i in order[:wanted]]

    found = diverse(search, lambda rows: similarity[rows][:, rows], weight, depth=N)("who", k)
    expected = maximal_marginal_relevance(relevance[order].float(), similarity[order][:, order], k, weight)
    assert [hit.number for hit in found] == [order[i] for i in expected]
    assert all(hit.score == float(relevance[hit.number]) for hit in found)


def test_a_copy_makes_room_for_something_else():
    def search(query, k):
        return [Hit(4, 0.9), Hit(5, 0.9), Hit(6, 0.6)][:k]

    def similarity(rows):
        return torch.tensor([[1.0 if {a, b} <= {4, 5} or a == b else 0.0 for b in rows] for a in rows])

    assert [hit.number for hit in diverse(search, similarity, weight=0.5)("who", 2)] == [4, 6]
    assert [hit.number for hit in diverse(search, similarity, weight=1.0)("who", 2)] == [4, 5]
    assert diverse(lambda query, k: [], similarity)("who", 2) == []
    with pytest.raises(ValueError, match="k = 0"):
        diverse(search, similarity)("who", 0)
