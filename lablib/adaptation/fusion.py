"""Several rankings made one, and a ranking without repetitions.

*Reciprocal rank fusion* joins searches whose scores cannot be compared, such as BM25's sums and a vector's cosines: only the ranks
count. A passage gets 1 / (k + rank) from each search that found it (Cormack, Clarke and Büttcher 2009, "Reciprocal Rank Fusion Outperforms
Condorcet and Individual Rank Learning Methods"). What two searches find at rank 5 beats what one finds at rank 2 and the other not at all.

*Maximal marginal relevance* picks passages one by one, each for how well it answers less how much it repeats what was picked (Carbonell
and Goldstein 1998, "The Use of MMR"): with overlapping chunks the five best are otherwise the same sentence five times, and a
question that needs two pages gets one.

Left out: weights for the searches, learned fusion, re-ranking by a model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lablib.adaptation.search import Hit, Search, check_search


def reciprocal_rank_fusion(rankings: Sequence[Sequence[Any]], k: int = 60) -> list[tuple[Any, float]]:
    """One ranking from several: every item gets 1 / (k + rank) from each ranking that has it, and the sums are sorted.

    Args:
        rankings: each a list of items, the best first; ranks count from 1. They need not hold the same items.
        k: at least 0. The larger, the less the first ranks stand out. 60 is the paper's.
    Returns: (item, sum) of every item that some ranking has, the largest sum first; of equal ones the one that comes
        first when the rankings are read one after the other.
    Raises: ValueError: k below 0, or an item twice in one ranking.

    >>> fused = reciprocal_rank_fusion([["a", "b", "c"], ["c", "b", "d"]], k=1)
    >>> [(item, round(score, 3)) for item, score in fused]  # a: 1/2, b: 1/3 + 1/3, c: 1/4 + 1/2, d: 1/4
    [('c', 0.75), ('b', 0.667), ('a', 0.5), ('d', 0.25)]
    """
    check_rankings(rankings, k)
    scores: dict[Any, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])  # sorted keeps the order of equal ones


def check_rankings(rankings: Sequence[Sequence[Any]], k: int) -> None:
    """Raises: ValueError: k below 0, or an item twice in one ranking; says which."""
    if k < 0:
        raise ValueError(f"k = {k}: expected at least 0; 60 is usual")
    for number, ranking in enumerate(rankings):
        if len(set(ranking)) < len(ranking):
            twice = next(item for i, item in enumerate(ranking) if item in ranking[:i])
            raise ValueError(f"rankings[{number}] has {twice!r} twice: expected each item once, at its best rank")


def maximal_marginal_relevance(relevance: Tensor, similarity: Tensor, k: int, weight: float = 0.7) -> list[int]:
    """Pick k items one by one, each time the one with the most of weight · relevance − (1 − weight) · repetition.

    The repetition of an item is its largest similarity to one that was picked before; for the first item it is 0.

    Args:
        relevance: (N,), how well each item fits the query, on the same scale as the similarity, such as cosines.
        similarity: (N, N), of the items with each other.
        k: how many; all N where there are fewer.
        weight: from 0, where only newness counts (and item 0 comes first, since nothing is a repetition yet), to 1,
            where only relevance does (λ in the paper).
    Returns: the numbers of the items in the order in which they were picked; of equal ones the smaller number first.

    >>> twins = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> maximal_marginal_relevance(torch.tensor([0.9, 0.8, 0.5]), twins, k=2, weight=0.5)  # 1 repeats 0
    [0, 2]
    """
    check_mmr(relevance, similarity, k, weight)
    picked: list[int] = []
    repetition = torch.zeros_like(relevance)  # (N,)
    for _ in range(min(k, len(relevance))):
        # Differs from the paper: its bracket (page 335) is λ (relevance − (1 − λ) repetition), which at λ = 0 tells no
        # item from any other, where its own text promises the most diverse order.
        gain = weight * relevance - (1 - weight) * repetition
        gain[picked] = -torch.inf
        picked.append(int(gain.argmax()))
        repetition = similarity[picked].amax(dim=0)  # (picked, N) -> (N,)
    return picked


def check_mmr(relevance: Tensor, similarity: Tensor, k: int, weight: float) -> None:
    """Raises: ValueError: shapes that do not fit, k below 1, a weight outside 0 to 1."""
    N = len(relevance)
    if relevance.dim() != 1 or similarity.shape != (N, N):
        raise ValueError(
            f"relevance has shape {tuple(relevance.shape)}, similarity {tuple(similarity.shape)}: expected (N,) and (N, N)"
        )
    if k < 1 or not 0 <= weight <= 1:
        raise ValueError(f"k = {k}, weight = {weight}: expected k ≥ 1 and a weight from 0 to 1")


def hybrid(searches: Sequence[Search], depth: int = 50, k: int = 60) -> Search:
    """A search that asks several and fuses what they find.

    Args:
        searches: such as `BM25(…).search` and `Dense(…).search`, all over the same passages.
        depth: how many passages each is asked for (at least as many as are wanted). k: of `reciprocal_rank_fusion`.
    Raises:
        ValueError: no search at all.
    """
    if not searches:
        raise ValueError("searches is empty: expected at least one, such as [bm25.search, dense.search]")

    def search(query: str, wanted: int) -> list[Hit]:
        check_search(query, wanted)
        rankings = [[hit.number for hit in one(query, max(depth, wanted))] for one in searches]
        return [Hit(index, score) for index, score in reciprocal_rank_fusion(rankings, k)[:wanted]]

    return search


def diverse(
    search: Search, similarity: Callable[[Sequence[int]], Tensor], weight: float = 0.7, depth: int = 20
) -> Search:
    """A search that takes the best of another and picks among them by `maximal_marginal_relevance`.

    Args:
        search: its scores must be on the scale of the similarity, such as the cosines of `Dense(…).search`.
        similarity: numbers of passages -> their similarities with each other, (n, n), such as `Dense(…).similarity`.
        weight: see `maximal_marginal_relevance`. depth: passages to pick from (at least as many as are wanted).
    Returns: (query, k) -> at most k hits in the order in which they were picked, with the scores that `search` gave them.
    """

    def found(query: str, k: int) -> list[Hit]:
        check_search(query, k)
        hits = search(query, max(depth, k))
        if not hits:
            return []
        relevance = torch.tensor([hit.score for hit in hits])  # (n,)
        return [
            hits[i] for i in maximal_marginal_relevance(relevance, similarity([hit.number for hit in hits]), k, weight)
        ]

    return found
