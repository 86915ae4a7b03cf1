"""Lab 11, finding: cutting pages, BM25, vectors, fusion, small to big. The exercises of the metrics and the prompt are in `grounding`."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.adaptation.bm25 import bm25_idf, bm25_score, saturation
from lablib.adaptation.chunking import pack_spans
from lablib.adaptation.dense import cosine_top_k
from lablib.adaptation.fusion import maximal_marginal_relevance, reciprocal_rank_fusion
from lablib.adaptation.search import Hit, Search
from lablib.adaptation.small_to_big import small_to_big
from lablib.course.checks import grounding
from lablib.course.checks.grounding import CHANGED, compare, refuses, rounded
from lablib.course.exercise import Attempt, Exercise, Mistake, NotPassed

Span = tuple[int, int]
QUERIES = ("which mill?", "and the river?")
ASK = "Ask the small search once, with the same query, for max(depth, k) passages: k small ones may all stand in one page."


# ---------------------------------------------------------------- 1 pack_spans


def check_pack_spans(attempt: Attempt) -> None:
    def pieces(*lengths: int) -> list[Span]:
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        return [(end - length, end) for end, length in zip(ends, lengths, strict=True)]

    compare(attempt, "pieces of 4, 2, 3 and 3 characters, size 9", pieces(4, 2, 3, 3), 9)
    compare(attempt, "pieces of 5, 4 and 1 characters, size 9: the first two fill it exactly", pieces(5, 4, 1), 9)
    compare(attempt, "pieces of 2, 2, 2, 2 and 2 characters, size 5", pieces(2, 2, 2, 2, 2), 5)
    compare(attempt, "a piece of 12 characters between two of 3, size 6", pieces(3, 12, 3), 6)
    compare(attempt, "one piece of 20 characters, size 6", pieces(20), 6)
    compare(
        attempt,
        "a text that does not begin at 0: (7, 10), (10, 14), (14, 19), size 8",
        [(7, 10), (10, 14), (14, 19)],
        8,
    )
    compare(attempt, "pieces of 4, 2, 3 and 3 characters, size 9, overlap 5", pieces(4, 2, 3, 3), 9, 5)
    compare(attempt, "pieces of 3, 3, 3, 3 and 3 characters, size 9, overlap 3", pieces(3, 3, 3, 3, 3), 9, 3)
    compare(
        attempt,
        "pieces of 3, 3, 3, 3 and 3 characters, size 9, overlap 2: too little for a piece",
        pieces(3, 3, 3, 3, 3),
        9,
        2,
    )
    compare(
        attempt,
        "pieces of 2, 3, 8 and 2 characters, size 9, overlap 5: the next piece needs room",
        pieces(2, 3, 8, 2),
        9,
        5,
    )
    compare(attempt, "pieces of 3, 12 and 3 characters, size 6, overlap 4", pieces(3, 12, 3), 6, 4)
    compare(
        attempt, "pieces of 3, 3, 3 and 5, size 9, overlap 6: one has room before the next", pieces(3, 3, 3, 5), 9, 6
    )
    compare(attempt, "no piece at all", [], 9)


def _packing(
    full: Callable[[int, int], bool] = lambda length, size: length > size,
    back: Callable[[int, int, int, int], bool] = lambda kept, overlap, whole, size: kept > overlap or whole > size,
    last: bool = True,
    end: Callable[[Span], int] = lambda piece: piece[0],
) -> Callable[..., list[Span]]:
    """`pack_spans` with one part replaced. full: of a chunk with the next piece; back: whether the overlap has to become shorter."""

    def pack(pieces: Sequence[Span], size: int, overlap: int = 0) -> list[Span]:
        chunks, first = [], 0
        for number, (begin, stop) in enumerate(pieces):
            if full(stop - pieces[first][0], size) and number > first:
                chunks.append((pieces[first][0], end(pieces[number])))
                while first < number and back(begin - pieces[first][0], overlap, stop - pieces[first][0], size):
                    first += 1
        return [*chunks, (pieces[first][0], pieces[-1][1])] if pieces and last else chunks

    return pack


_pack_strict = _packing(full=lambda length, size: length >= size)
_pack_last_lost = _packing(last=False)
_pack_over = _packing(full=lambda length, size: length > size, end=lambda piece: piece[1])
_pack_no_overlap = _packing(back=lambda kept, overlap, whole, size: kept > 0)
_pack_overlap_too_long = _packing(back=lambda kept, overlap, whole, size: whole > size)
_pack_no_room = _packing(back=lambda kept, overlap, whole, size: kept > overlap)
_pack_overlap_strict = _packing(
    back=lambda kept, overlap, whole, size: kept >= overlap > 0 or kept > overlap or whole > size
)


def _pack_cut(pieces: Sequence[Span], size: int, overlap: int = 0) -> list[Span]:
    if not pieces:
        return []
    begin, end = pieces[0][0], pieces[-1][1]
    return [(start, min(start + size, end)) for start in range(begin, max(end - overlap, begin + 1), size - overlap)]


def _pack_long_dropped(pieces: Sequence[Span], size: int, overlap: int = 0) -> list[Span]:
    return [(start, stop) for start, stop in pack_spans(pieces, size, overlap) if stop - start <= size]


def _pack_one_each(pieces: Sequence[Span], size: int, overlap: int = 0) -> list[Span]:
    return list(pieces)


def _pack_pops(pieces: list[Span], size: int, overlap: int = 0) -> list[Span]:
    chunks = pack_spans(pieces, size, overlap)
    pieces.clear()
    return chunks


def _pack_from_zero(pieces: Sequence[Span], size: int, overlap: int = 0) -> list[Span]:
    shift = pieces[0][0] if pieces else 0
    return [(start - shift, stop - shift) for start, stop in pack_spans(pieces, size, overlap)]


# ---------------------------------------------------------------- 2 idf


def check_bm25_idf(attempt: Attempt) -> None:
    for df, N in ((3, 10), (1, 4), (3, 1000), (0, 10), (10, 10), (6, 10), (5, 10)):
        attempt.compare(f"df = {df}, N = {N}, variant 'robertson'", df, N, "robertson")
        attempt.compare(f"df = {df}, N = {N}, variant 'lucene'", df, N)
    for df in (5, -1):
        lines = [
            f"Tried with df = {df}, N = 4.",
            f"Expected a ValueError whose message names df: no word stands in {df} of 4 passages.",
        ]
        attempt.require(
            refuses("df", df, 4),
            lines,
            "df is not between 0 and N, and it was taken: raise a ValueError that names df.",
        )
    lines = ["Tried with variant = 'bm42'.", "Expected a ValueError whose message names the variant."]
    attempt.require(
        refuses("variant", 1, 4, "bm42"), lines, "An unknown variant was taken: raise a ValueError that names it."
    )


def _idf(
    lucene: Callable[[int, int], float] = lambda df, N: math.log(1 + (N - df + 0.5) / (df + 0.5)),
    robertson: Callable[[int, int], float] = lambda df, N: math.log(max((N - df + 0.5) / (df + 0.5), 1.0)),
) -> Callable[..., float]:
    def idf(df: int, N: int, variant: str = "lucene") -> float:
        if not 0 <= df <= N or variant not in ("lucene", "robertson"):
            raise ValueError(f"df = {df}, N = {N}, variant = {variant!r}")
        return (lucene if variant == "lucene" else robertson)(df, N)

    return idf


_idf_plain = _idf(lambda df, N: math.log(N / max(df, 1)), lambda df, N: math.log(N / max(df, 1)))
_idf_upside_down = _idf(
    lambda df, N: math.log(1 + (df + 0.5) / (N - df + 0.5)),
    lambda df, N: math.log(max((df + 0.5) / (N - df + 0.5), 1.0)),
)
_idf_negative = _idf(robertson=lambda df, N: math.log((N - df + 0.5) / (df + 0.5)))
_idf_no_one = _idf(lambda df, N: math.log((N - df + 0.5) / (df + 0.5)))
_idf_no_half = _idf(
    lambda df, N: math.log(1 + (N - df) / max(df, 1e-9)), lambda df, N: math.log(max((N - df) / max(df, 1e-9), 1.0))
)
_idf_log2 = _idf(
    lambda df, N: math.log2(1 + (N - df + 0.5) / (df + 0.5)),
    lambda df, N: math.log2(max((N - df + 0.5) / (df + 0.5), 1.0)),
)
_idf_all_passages = _idf(
    lambda df, N: math.log(1 + (N + 0.5) / (df + 0.5)), lambda df, N: math.log(max((N + 0.5) / (df + 0.5), 1.0))
)
_idf_no_log = _idf(lambda df, N: 1 + (N - df + 0.5) / (df + 0.5), lambda df, N: max((N - df + 0.5) / (df + 0.5), 1.0))


def _idf_lucene_always(df: int, N: int, variant: str = "lucene") -> float:
    bm25_idf(df, N, variant)  # for its checks
    return bm25_idf(df, N)


def _idf_unchecked(df: int, N: int, variant: str = "lucene") -> float:
    odds = (N - df + 0.5) / (df + 0.5)
    return math.log(1 + abs(odds)) if variant == "lucene" else math.log(max(odds, 1.0))


# ---------------------------------------------------------------- 3 saturation


def check_saturation(attempt: Attempt) -> None:
    attempt.compare("tf = 3 in a passage of mean length, k1 = 1.5", 3, 10, 10)
    attempt.compare("tf = 1 in a passage of twice the mean length, k1 = 1.2, b = 0.75", 1, 20, 10, 1.2, 0.75)
    attempt.compare("tf = 4 in a passage of half the mean length, k1 = 2, b = 0.4", 4, 5, 10, 2.0, 0.4)
    attempt.compare("b = 0: the length does not matter", 2, 50, 10, 1.5, 0.0)
    attempt.compare("b = 1, three times the mean length", 2, 30, 10, 1.5, 1.0)
    attempt.compare("k1 = 0: only whether the word is there", 5, 20, 10, 0.0)
    attempt.compare("tf = 0: the word is not there", 0, 20, 10)
    attempt.compare("tf = 0 and k1 = 0 (0 / 0)", 0, 20, 10, 0.0)
    attempt.compare("an empty passage: tf = 0, length = 0", 0, 0, 10)


def _saturated(formula: Callable[[float, float, float, float], float]) -> Callable[..., float]:
    """formula: of tf, length / mean length, k1 and b; 0 where tf is 0."""

    def saturate(tf: float, length: float, mean_length: float, k1: float = 1.5, b: float = 0.75) -> float:
        return formula(tf, length / mean_length, k1, b) if tf else 0.0

    return saturate


_sat_no_length = _saturated(lambda tf, x, k1, b: tf / (tf + k1))
_sat_b_swapped = _saturated(lambda tf, x, k1, b: tf / (tf + k1 * (b + (1 - b) * x)))
_sat_inverted = _saturated(lambda tf, x, k1, b: tf / (tf + k1 * (1 - b + b / x)))
_sat_times_k1 = _saturated(lambda tf, x, k1, b: tf * (k1 + 1) / (tf + k1 * (1 - b + b * x)))
_sat_k1_first_only = _saturated(lambda tf, x, k1, b: tf / (tf + k1 * (1 - b) + b * x))
_sat_linear = _saturated(lambda tf, x, k1, b: tf / (1 - b + b * x))
_sat_full_b = _saturated(lambda tf, x, k1, b: tf / (tf + k1 * (1 + b * x)))
_sat_no_k1 = _saturated(lambda tf, x, k1, b: tf / (tf + (1 - b + b * x)))


def _sat_zero_by_zero(tf: float, length: float, mean_length: float, k1: float = 1.5, b: float = 0.75) -> float:
    return tf / (tf + k1 * (1 - b + b * length / mean_length))


# ---------------------------------------------------------------- 4 bm25_score


def check_bm25_score(attempt: Attempt) -> None:
    idf = {"the": 0.1, "cat": 2.0, "mill": 1.5, "river": 3.0}
    passage = ["the", "cat", "and", "the", "mill", "the"]
    compare(attempt, "one word of the query stands in the passage, once", ["cat"], passage, idf, 6.0)
    compare(attempt, "a word that stands there three times", ["the"], passage, idf, 6.0)
    compare(attempt, "two words, in a passage longer than the mean", ["cat", "mill"], passage, idf, 3.0)
    compare(attempt, "a word that the passage does not have", ["river"], passage, idf, 6.0)
    compare(attempt, "a word that the corpus does not have", ["zebra", "cat"], passage, idf, 6.0)
    compare(attempt, "a word that the passage has and the corpus' idf does not", ["and", "cat"], passage, idf, 6.0)
    compare(attempt, "a query with the same word twice", ["cat", "cat", "mill"], passage, idf, 6.0)
    compare(attempt, "other k1 and b", ["the", "cat"], passage, idf, 4.0, 0.9, 0.4)
    compare(attempt, "a word that is part of others", ["mill"], ["windmill", "miller", "mill"], idf, 6.0)
    compare(attempt, "an empty passage", ["cat"], [], idf, 6.0)
    compare(attempt, "an empty query", [], passage, idf, 6.0)


def _score(
    words: Callable[[Sequence[str]], Any] = lambda query: query,
    value: Callable[[float, float], float] = lambda idf, part: idf * part,
    tf: Callable[[Sequence[str], str], int] = lambda passage, word: list(passage).count(word),
    length: Callable[[Sequence[str]], int] = len,
    fixed: bool = False,
) -> Callable[..., float]:
    def score(
        query: Sequence[str],
        passage: Sequence[str],
        idf: Mapping[str, float],
        mean_length: float,
        k1: float = 1.5,
        b: float = 0.75,
    ) -> float:
        k, c = (1.5, 0.75) if fixed else (k1, b)
        return sum(
            value(idf.get(word, 0.0), saturation(tf(passage, word), length(passage), mean_length, k, c)) for word in words(query)
        )  # fmt: skip

    return score


_score_once = _score(words=dict.fromkeys)
_score_no_idf = _score(value=lambda idf, part: part)
_score_added = _score(value=lambda idf, part: idf + part if part else 0.0)
_score_present = _score(tf=lambda passage, word: int(word in passage))
_score_different_words = _score(length=lambda passage: len(set(passage)))
_score_substring = _score(tf=lambda passage, word: " ".join(passage).count(word))
_score_fixed = _score(fixed=True)


def _score_mean(
    query: Sequence[str],
    passage: Sequence[str],
    idf: Mapping[str, float],
    mean_length: float,
    k1: float = 1.5,
    b: float = 0.75,
) -> float:
    return bm25_score(query, passage, idf, mean_length, k1, b) / len(query)


def _score_unknown(
    query: Sequence[str],
    passage: Sequence[str],
    idf: Mapping[str, float],
    mean_length: float,
    k1: float = 1.5,
    b: float = 0.75,
) -> float:
    times = Counter(passage)
    return sum(idf[word] * saturation(times[word], len(passage), mean_length, k1, b) for word in query)


# ---------------------------------------------------------------- 5 cosine_top_k


def check_cosine_top_k(attempt: Attempt) -> None:
    names = ("the cosines", "the numbers of the rows")
    matrix = attempt.normal(7, 5, scale=3.0) * torch.tensor([1.0, 4.0, 0.2, 1.0, 9.0, 0.5, 2.0])[:, None]
    query = attempt.normal(5, scale=2.0)
    attempt.compare("7 rows of different lengths, k = 3", matrix, query, 3, outputs=names, axes="k")
    attempt.compare("the same rows, k = 1", matrix, query, 1, outputs=names)
    attempt.compare("a query a hundred times as long", matrix, 100 * query, 3, outputs=names)
    attempt.compare("k = 10 of 7 rows: all of them", matrix, query, 10, outputs=names)
    attempt.compare(
        "a row of zeros among them, k = 7",
        matrix * torch.tensor([1.0, 1, 1, 0, 1, 1, 1])[:, None],
        query,
        7,
        outputs=names,
    )
    attempt.compare("a query of zeros", torch.tensor([[1.0, 2.0]]), torch.zeros(2), 1, outputs=names)
    attempt.compare("a matrix that is a transposed view (`x.mT`)", attempt.normal(5, 6).mT, query, 2, outputs=names)
    attempt.keeps_type_and_device(matrix, query, 3, outputs=names)


def _cosine(
    rows: Callable[[Tensor], Tensor] = lambda matrix: F.normalize(matrix, dim=-1),
    ask: Callable[[Tensor], Tensor] = lambda query: F.normalize(query, dim=-1),
    largest: bool = True,
    most: Callable[[int, int], int] = min,
) -> Callable[..., tuple[Tensor, Tensor]]:
    def top(matrix: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        cosines = rows(matrix) @ ask(query)
        found = cosines.topk(most(k, len(cosines)), largest=largest)
        return found.values, found.indices

    return top


def _by_length(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


_cos_dot = _cosine(rows=lambda x: x, ask=lambda x: x)
_cos_query_only = _cosine(rows=lambda x: x)
_cos_rows_only = _cosine(ask=lambda x: x)
_cos_nan = _cosine(rows=_by_length, ask=_by_length)
_cos_columns = _cosine(rows=lambda x: F.normalize(x, dim=0))
_cos_farthest = _cosine(largest=False)
_cos_too_many = _cosine(most=lambda k, N: k)
_cos_one_norm = _cosine(rows=lambda x: F.normalize(x, p=1.0, dim=-1), ask=lambda x: F.normalize(x, p=1.0, dim=-1))


def _cos_swapped(matrix: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values, indices = cosine_top_k(matrix, query, k)
    return indices, values


def _cos_all(matrix: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return cosine_top_k(matrix, query, len(matrix))


def _cos_by_row(matrix: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values, indices = cosine_top_k(matrix, query, k)
    order = indices.sort().indices
    return values[order], indices[order]


def _cos_distance(matrix: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    found = (matrix - query).norm(dim=-1).topk(min(k, len(matrix)), largest=False)
    return found.values, found.indices


# ---------------------------------------------------------------- 6 reciprocal_rank_fusion


def check_reciprocal_rank_fusion(attempt: Attempt) -> None:
    def fused(case: str, rankings: Sequence[Sequence[Any]], *k: int) -> None:
        compare(attempt, case, rankings, *k, setup=rounded)

    fused("rankings cbd and abc, k = 1", [["c", "b", "d"], ["a", "b", "c"]], 1)
    fused("rankings abc and cbd, k = 1", [["a", "b", "c"], ["c", "b", "d"]], 1)
    fused("the same rankings and no k: 60", [["a", "b", "c"], ["c", "b", "d"]])
    fused("one ranking", [[5, 3, 9]], 2)
    fused("k = 0", [["a", "b", "c"], ["b", "d", "e"]], 0)
    fused("rankings of different lengths", [["a", "b", "c", "d"], ["d"], ["b", "d"]], 10)
    fused("two items with equal sums: the one that was read first comes first", [["x", "a"], ["a", "x"], ["m"]], 3)
    fused("numbers that are equal in the sum, larger ones first", [[9], [2], [5]], 60)
    fused("an empty ranking beside another", [[], ["a"]], 60)
    fused("no ranking", [], 60)
    fused("rankings as tuples", (("a", "b"), ("b", "c", "a")), 60)
    for rankings, words in (([["a", "b", "a"]], "the ranking a, b, a"), ([["a"], ["b", "b"]], "rankings a and b, b")):
        lines = [f"Tried with {words}.", "Expected a ValueError that names the rankings: an item stands twice in one."]
        attempt.require(
            refuses("rankings?", rankings),
            lines,
            "Each ranking may have an item once: `check_rankings` looks at that.",
        )
    lines = ["Tried with k = −1.", "Expected a ValueError whose message names k."]
    attempt.require(refuses("k", [["a"]], -1), lines, "A k below 0 was taken: `check_rankings` looks at that.")


def _fusion(
    gain: Callable[[int, int, int], float] = lambda rank, k, n: 1 / (k + rank),
    join: Callable[[float, float], float] = lambda old, new: old + new,
    start: int = 1,
    reverse: bool = True,
    least: int = 1,
) -> Callable[..., list[tuple[Any, float]]]:
    """RRF with one part replaced. gain: of rank, k and the ranking's length; least: rankings that must have an item."""

    def fuse(rankings: Sequence[Sequence[Any]], k: int = 60) -> list[tuple[Any, float]]:
        if any(len(set(one)) < len(one) for one in rankings):
            raise ValueError("rankings")
        scores: dict[Any, float] = {}
        for ranking in rankings:
            for rank, item in enumerate(ranking, start):
                scores[item] = join(scores.get(item, 0.0), gain(rank, k, len(ranking)))
        kept = [(item, score) for item, score in scores.items() if sum(item in one for one in rankings) >= least]
        return sorted(kept, key=lambda pair: -pair[1] if reverse else pair[1])

    return fuse


_rrf_from_zero = _fusion(gain=lambda rank, k, n: 1 / max(k + rank, 1e-9), start=0)
_rrf_ranks = _fusion(gain=lambda rank, k, n: k + rank, reverse=False)
_rrf_worst_first = _fusion(reverse=False)
_rrf_best_only = _fusion(join=max)
_rrf_last_only = _fusion(join=lambda old, new: new)
_rrf_in_all = _fusion(least=2)
_rrf_fixed_k = _fusion(gain=lambda rank, k, n: 1 / (60 + rank))
_rrf_split = _fusion(gain=lambda rank, k, n: 1 / k + 1 / rank if k else 1 / rank)
_rrf_by_length = _fusion(gain=lambda rank, k, n: (n - rank + 1) / n)


def _rrf_items_only(rankings: Sequence[Sequence[Any]], k: int = 60) -> list[Any]:
    return [item for item, _ in reciprocal_rank_fusion(rankings, k)]


def _rrf_tie_by_name(rankings: Sequence[Sequence[Any]], k: int = 60) -> list[tuple[Any, float]]:
    return sorted(reciprocal_rank_fusion(rankings, k), key=lambda pair: (-round(pair[1], 12), pair[0]))


def _rrf_mean(rankings: Sequence[Sequence[Any]], k: int = 60) -> list[tuple[Any, float]]:
    return [(item, score / len(rankings)) for item, score in reciprocal_rank_fusion(rankings, k)]


def _rrf_unchecked(rankings: Sequence[Sequence[Any]], k: int = 60) -> list[tuple[Any, float]]:
    return reciprocal_rank_fusion([list(dict.fromkeys(one)) for one in rankings], k)


# ---------------------------------------------------------------- 7 small_to_big


def _searched(implementation: Any) -> Callable[..., Any]:
    """Makes the search, and asks it two questions: what is compared is what it finds, and how many small passages it asked for.

    To the second question the small search finds only the last of its passages.
    """

    def call(found: list[tuple[int, float]], parents: list[int], k: int, depth: int = 100) -> Any:
        asked: list[tuple[str, int]] = []

        def small(query: str, wanted: int) -> list[Hit]:
            asked.append((query, wanted))
            return [Hit(*hit) for hit in (found[:wanted] if query == QUERIES[0] else found[-1:])]

        made = implementation(small, parents, depth)
        if not callable(made):
            return made
        every = [made(query, k) for query in QUERIES]
        if not all(isinstance(hits, list) for hits in every):
            return every[0]
        enough = min(max(depth, k), len(found))
        if asked and ([query for query, _ in asked] != list(QUERIES) or min(wanted for _, wanted in asked) < enough):
            raise NotPassed(
                [
                    f"Tried with {len(found)} small passages found, k = {k}, depth = {depth}.",
                    f"The small search was asked {asked}.",
                ],
                ASK,
            )
        return [[repr(hit) if isinstance(hit, Hit) else hit for hit in hits] for hits in every]

    return call


def check_small_to_big(attempt: Attempt) -> None:
    def searched(case: str, *args: Any) -> None:
        compare(attempt, case, *args, setup=_searched)

    searched("small passages 2, 3, 0, of the pages 1, 1, 0", [(2, 0.9), (3, 0.8), (0, 0.7)], [0, 0, 1, 1], 5)
    searched("the same, k = 1", [(2, 0.9), (3, 0.8), (0, 0.7)], [0, 0, 1, 1], 1)
    searched("a page found again behind another", [(0, 0.9), (2, 0.5), (1, 0.4), (3, 0.3)], [0, 0, 1, 2], 3)
    searched(
        "k = 2, and the first three passages stand in one page",
        [(0, 9.0), (1, 8.0), (2, 7.0), (3, 6.0)],
        [4, 4, 4, 1],
        2,
    )
    searched("negative scores", [(1, -0.1), (0, -0.2), (2, -0.3)], [1, 0, 0], 3)
    searched("nothing found", [], [0, 1], 3)
    searched("depth = 2: less comes of it", [(0, 3.0), (1, 2.0), (2, 1.0)], [0, 0, 1], 2, 2)
    searched("depth = 1 and k = 3", [(0, 3.0), (1, 2.0), (2, 1.0)], [5, 0, 3], 3, 1)
    searched("equal scores: what was found first comes first", [(0, 0.5), (2, 0.5), (1, 0.5)], [7, 9, 3], 3)
    searched("one good passage of a page before two of another", [(0, 0.9), (1, 0.4), (2, 0.3)], [0, 1, 1], 2)


def _big(join: Callable[[dict[int, float], int, float], None], cut: str = "end") -> Callable[..., Search]:
    """`small_to_big` with another way to join. cut: where k is applied."""

    def make(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
        def found(query: str, k: int) -> list[Hit]:
            best: dict[int, float] = {}
            for hit in search(query, max(depth, k))[: k if cut == "begin" else None]:
                join(best, parents[hit.number], hit.score)
            pairs = sorted(best.items(), key=lambda pair: -pair[1])
            return [Hit(*pair) for pair in pairs[: None if cut == "never" else k]]

        return found

    return make


def _keep_best(best: dict[int, float], page: int, score: float) -> None:
    best.setdefault(page, score)


def _keep_last(best: dict[int, float], page: int, score: float) -> None:
    best[page] = score


def _keep_sum(best: dict[int, float], page: int, score: float) -> None:
    best[page] = best.get(page, 0.0) + score


def _keep_from_zero(best: dict[int, float], page: int, score: float) -> None:
    best[page] = max(best.get(page, 0.0), score)


_big_last, _big_sum, _big_from_zero = _big(_keep_last), _big(_keep_sum), _big(_keep_from_zero)
_big_cut_early, _big_uncut = _big(_keep_best, "begin"), _big(_keep_best, "never")


def _big_repeated(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
    return lambda query, k: [Hit(parents[hit.number], hit.score) for hit in search(query, max(depth, k))][:k]


def _big_small_numbers(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
    def found(query: str, k: int) -> list[Hit]:
        firsts: dict[int, Hit] = {}
        for hit in search(query, max(depth, k)):
            firsts.setdefault(parents[hit.number], hit)
        return list(firsts.values())[:k]

    return found


def _big_remembers(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
    best: dict[int, float] = {}

    def found(query: str, k: int) -> list[Hit]:
        for hit in search(query, max(depth, k)):
            best.setdefault(parents[hit.number], hit.score)
        return [Hit(*pair) for pair in list(best.items())[:k]]

    return found


def _big_plain_pairs(search: Search, parents: Sequence[int], depth: int = 100) -> Callable[..., Any]:
    return lambda query, k: [tuple(hit) for hit in small_to_big(search, parents, depth)(query, k)]


def _big_asks_k(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
    return small_to_big(lambda query, k: search(query, 2), parents, depth)


def _big_asks_depth(search: Search, parents: Sequence[int], depth: int = 100) -> Search:
    return small_to_big(lambda query, k: search(query, depth), parents, depth)


# ---------------------------------------------------------------- 8 maximal_marginal_relevance


def check_maximal_marginal_relevance(attempt: Attempt) -> None:
    # A query apart from the vectors, and no two gains nearer than 0.02, so that rounding decides nothing.
    vectors, query = F.normalize(attempt.normal(11, 3), dim=-1), F.normalize(attempt.normal(3), dim=-1)
    attempt.compare("eleven vectors, weight 0.6", vectors @ query, vectors @ vectors.mT, 11, 0.6)
    twins = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    relevance = torch.tensor([0.9, 0.8, 0.5])
    attempt.compare("two twins and a third, k = 2, weight 0.5", relevance, twins, 2, 0.5)
    attempt.compare("the same, weight 1: only relevance counts", relevance, twins, 3, 1.0)
    attempt.compare("the same, weight 0: only newness counts after the first", relevance, twins, 3, 0.0)
    attempt.compare("the same and no weight: 0.7", torch.tensor([0.9, 0.85, 0.5]), twins, 3)
    close = torch.tensor([[1.0, 0.2, 0.8, 0.5], [0.2, 1.0, 0.1, 0.9], [0.8, 0.1, 1.0, 0.3], [0.5, 0.9, 0.3, 1.0]])
    attempt.compare("four items, some alike", torch.tensor([0.5, 0.45, 0.44, 0.4]), close, 4, 0.5)
    attempt.compare("relevance below 0", vectors @ query - 2, vectors @ vectors.mT, 11, 0.6)
    attempt.compare(
        "an item that was picked, with the largest gain left", torch.tensor([0.9, -0.9, -0.8]), torch.eye(3), 3, 0.9
    )
    attempt.compare("k = 5 of three items", relevance, twins, 5, 0.5)
    opposites = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    attempt.compare("items that are opposites (similarity −1)", torch.tensor([0.9, 0.2, 0.3]), opposites, 3, 0.6)
    attempt.compare("four items that are equal: the smaller number comes first", torch.ones(4), torch.eye(4), 4)


def _mmr(
    gain: Callable[[Tensor, Tensor, float], Tensor] = lambda relevance, repeats, w: w * relevance - (1 - w) * repeats,
    repeats: Callable[[Tensor], Tensor] = lambda similar: similar.amax(dim=0),
    out: float = -torch.inf,
    most: Callable[[int, int], int] = min,
) -> Callable[..., list[int]]:
    def pick(relevance: Tensor, similarity: Tensor, k: int, weight: float = 0.7) -> list[int]:
        picked: list[int] = []
        repetition = torch.zeros_like(relevance)
        for _ in range(most(k, len(relevance))):
            value = gain(relevance, repetition, weight).clone()
            value[picked] = out if out <= 0 else value[picked]
            picked.append(int(value.argmax()))
            repetition = repeats(similarity[picked])
        return picked

    return pick


_mmr_mean = _mmr(repeats=lambda similar: similar.mean(dim=0))
_mmr_sum = _mmr(repeats=lambda similar: similar.sum(dim=0))
_mmr_last = _mmr(repeats=lambda similar: similar[-1])
_mmr_swapped = _mmr(gain=lambda relevance, repeats, w: (1 - w) * relevance - w * repeats)
_mmr_unweighted = _mmr(gain=lambda relevance, repeats, w: relevance - (1 - w) * repeats)
_mmr_added = _mmr(gain=lambda relevance, repeats, w: w * relevance + (1 - w) * repeats)
_mmr_again = _mmr(out=1.0)
_mmr_zero = _mmr(out=0.0)
_mmr_clamped = _mmr(repeats=lambda similar: similar.amax(dim=0).clamp(min=0))


def _mmr_sorted(relevance: Tensor, similarity: Tensor, k: int, weight: float = 0.7) -> list[int]:
    return sorted(maximal_marginal_relevance(relevance, similarity, k, weight))


def _mmr_top(relevance: Tensor, similarity: Tensor, k: int, weight: float = 0.7) -> list[int]:
    return relevance.topk(min(k, len(relevance))).indices.tolist()


OWN = [
    Exercise(
        lab="11",
        target="lablib.adaptation.chunking:pack_spans",
        title="Sentences into chunks",
        difficulty=4,
        importance=4,
        minutes=20,
        hints=(
            "Walk through the pieces and remember where the open chunk began. When the next piece has no room, the chunk ends "
            "*before* it.",
            "Keep `first`, the number of the open chunk's first piece. A chunk that closes before piece `number` is `(pieces[first][0], "
            "begin)`. Then move `first` forward until what is left, up to `begin`, has at most `overlap` characters, and "
            "together with the "
            "next piece at most `size`.",
            "In the loop: `if stop - pieces[first][0] > size and number > first: chunks.append((pieces[first][0], begin))`, "
            "then `while first "
            "< number and (begin - pieces[first][0] > overlap or stop - pieces[first][0] > size): first += 1`. Behind the loop the last "
            "chunk, if there was a piece at all.",
        ),
        reasoning="`number > first` lets a piece that is too long be a chunk of its own instead of closing an empty one. With "
        "overlap 0 the "
        "inner loop always runs up to the next piece, so there is no second case. Spans, not strings: what is found can be shown where "
        "it stands, and a test can say that nothing was lost. Left to right is not the only way to pack; without overlap it never makes "
        "more chunks than any other, and a sentence never moves because of what comes after it.",
        check=check_pack_spans,
        mistakes=(
            Mistake(
                "last lost",
                _pack_last_lost,
                "The last chunk is missing: when the pieces are used up, one is still open.",
            ),
            Mistake(
                "strict", _pack_strict, "A chunk of exactly `size` characters was not allowed: it has at most `size`."
            ),
            Mistake(
                "too long",
                _pack_over,
                "The piece that had no room was put into the chunk: it ends *before* that piece.",
            ),
            Mistake("cut", _pack_cut, "Pieces were cut: a chunk begins and ends where a piece does."),
            Mistake("one each", _pack_one_each, "Each piece became a chunk: join as many as have room."),
            Mistake(
                "long dropped",
                _pack_long_dropped,
                "A piece that is longer than `size` was left out: it is a chunk of its own.",
            ),
            Mistake("empties the list", _pack_pops, CHANGED),
            Mistake(
                "from zero",
                _pack_from_zero,
                "The spans were counted from the first piece: they are places in the text, as given.",
            ),
            Mistake(
                "no overlap",
                _pack_no_overlap,
                "The overlap was ignored: a chunk begins with the last pieces of the one before.",
            ),
            Mistake(
                "overlap strict",
                _pack_overlap_strict,
                "An overlap of exactly `overlap` characters was not taken: at most that many.",
            ),
            Mistake("overlap too long", _pack_overlap_too_long, "The overlap is longer than `overlap` characters."),
            Mistake(
                "no room",
                _pack_no_room,
                "With its overlap the chunk is longer than `size`: the overlap must leave room for the next piece.",
            ),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.bm25:bm25_idf",
        title="Rare words tell more",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "Both variants begin with the same odds, (N − df + ½) / (df + ½). What does the logarithm do when the odds are below 1?",
            "lucene: add 1 to the odds before the logarithm. robertson: take the logarithm, and 0 where it would be negative.",
            "`math.log(1 + odds)` and `math.log(max(odds, 1.0))`, behind `if not 0 <= df <= N or variant not in VARIANTS: raise "
            "ValueError(…)`.",
        ),
        reasoning="The halves keep the odds finite for a word that no passage has, or all have. Robertson's weight comes from a model of "
        "probabilities, in which a word of more than half of the passages is evidence *against* a passage; nobody who asks "
        "means that. The "
        "two ways out differ most for frequent words. Both are in use, and some programs have others: say which one yours is.",
        check=check_bm25_idf,
        mistakes=(
            Mistake("plain", _idf_plain, "That is the plain ln(N / df): BM25's has odds, (N − df + ½) / (df + ½)."),
            Mistake(
                "upside down", _idf_upside_down, "The fraction is upside down: a rare word must get the larger number."
            ),
            Mistake(
                "negative",
                _idf_negative,
                'A word in more than half of the passages got a negative weight: with "robertson" it is 0.',
            ),
            Mistake(
                "no one", _idf_no_one, 'The 1 inside the logarithm is missing: with "lucene" no weight is negative.'
            ),
            Mistake("no half", _idf_no_half, "The halves are missing: (N − df + ½) / (df + ½)."),
            Mistake("log2", _idf_log2, "It was the logarithm to base 2: here it is the natural one, `math.log`."),
            Mistake(
                "all passages",
                _idf_all_passages,
                "The passages *with* the word were not taken off above the line: N − df + ½.",
            ),
            Mistake("no log", _idf_no_log, "The logarithm is missing."),
            Mistake("lucene always", _idf_lucene_always, 'The variant "robertson" gave lucene\'s weight.'),
            Mistake(
                "unchecked",
                _idf_unchecked,
                "df is not between 0 and N, and it was taken: raise a ValueError that names df.",
            ),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.bm25:saturation",
        title="The tenth time adds hardly anything",
        difficulty=2,
        importance=4,
        minutes=8,
        hints=(
            "It has the form tf / (tf + something). The something is k1, made larger for a long passage and smaller for a short one.",
            "1 − b + b · length / mean_length is 1 for a passage of mean length, whatever b is.",
            "`tf / (tf + k1 * (1 - b + b * length / mean_length)) if tf else 0.0`.",
        ),
        reasoning="Where tf equals the something, the value is ½: k1 is simply the number of times at which a word in a passage of mean "
        "length has given half of what it can. That it can never give more than 1 is what protects BM25 from pages that repeat a word a "
        "hundred times. Many texts multiply by k1 + 1, which changes no order.",
        check=check_saturation,
        mistakes=(
            Mistake(
                "no length",
                _sat_no_length,
                "The passage's length has no effect: k1 is multiplied by 1 − b + b · length / mean_length.",
            ),
            Mistake("b swapped", _sat_b_swapped, "b and 1 − b were exchanged: b is how much the length matters."),
            Mistake(
                "inverted",
                _sat_inverted,
                "The mean was divided by the length: a *long* passage needs the word more often, so length / mean_length.",
            ),
            Mistake(
                "times k1 + 1",
                _sat_times_k1,
                "The factor k1 + 1 that many texts have is left out here: the value stays below 1.",
            ),
            Mistake(
                "k1 first only",
                _sat_k1_first_only,
                "k1 multiplies all of (1 − b + b · length / mean_length): a bracket is missing.",
            ),
            Mistake(
                "linear",
                _sat_linear,
                "There is no saturation: twice as often counts twice as much. tf stands below the line, too.",
            ),
            Mistake(
                "full b",
                _sat_full_b,
                "The − b is missing: 1 − b + b · length / mean_length is 1 for a passage of mean length.",
            ),
            Mistake("no k1", _sat_no_k1, "k1 is missing."),
            Mistake(
                "zero by zero",
                _sat_zero_by_zero,
                "With k1 = 0 and tf = 0 it is 0 / 0: a word that is not there gives 0.",
            ),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.bm25:bm25_score",
        title="BM25",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "A sum over the words of the *query*. What does each word give?",
            "Its idf times its saturation in this passage. `Counter(passage)` knows how often each word stands there, 0 "
            "included; and `idf` may "
            "not have the word.",
            "`times = Counter(passage)`, then `sum(idf.get(word, 0.0) * saturation(times[word], len(passage), mean_length, k1, "
            "b) for word in query)`.",
        ),
        reasoning='One line, and no order of words in it: "dog bites man" and "man bites dog" have the same score. It is '
        "nevertheless hard to "
        "beat where names, numbers and rare words decide. A real index never calls this for all passages: it keeps for each "
        "word the list of "
        "passages that have it, with their numbers worked out beforehand (`BM25` in the same file).",
        check=check_bm25_score,
        mistakes=(
            Mistake(
                "once",
                _score_once,
                "A word that the query has twice was counted once: sum over all words of the query.",
            ),
            Mistake("no idf", _score_no_idf, "The idf is missing: a frequent word counts as much as a rare one."),
            Mistake("added", _score_added, "idf and saturation were added: multiply them."),
            Mistake("present", _score_present, "How *often* the word stands in the passage has no effect."),
            Mistake(
                "different words",
                _score_different_words,
                "The length is that of all words, not of the different ones: `len(passage)`.",
            ),
            Mistake("substring", _score_substring, "A word was found inside another one: compare whole words."),
            Mistake("fixed", _score_fixed, "k1 and b were not handed on to `saturation`."),
            Mistake("mean", _score_mean, "The sum was divided by the number of words: BM25 is a sum."),
            Mistake(
                "unknown",
                _score_unknown,
                "A word that the corpus does not have raised an error: it counts 0, `idf.get(word, 0.0)`.",
            ),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.dense:cosine_top_k",
        title="The nearest vectors",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "If all vectors have length 1, the cosine is just the dot product, and one product of matrix and vector gives all N.",
            "`F.normalize(x, dim=-1)` makes each row one of length 1, and leaves a row of zeros alone. `topk` wants no k above N.",
            "`cosines = F.normalize(matrix, dim=-1) @ F.normalize(query, dim=-1)`, `found = cosines.topk(min(k, "
            "len(cosines)))`, and return "
            "`found.values, found.indices`.",
        ),
        reasoning="The length of a vector may say how long or how common a text is; its meaning is in the direction, so only "
        "directions are compared. "
        "The search is exact: every row is looked at, in one product that any CPU does well. Dividing by a length of 0 would "
        "make NaN, and NaN "
        "wins or loses every comparison; `F.normalize` divides by at least a tiny number instead.",
        check=check_cosine_top_k,
        mistakes=(
            Mistake(
                "dot product",
                _cos_dot,
                "That is the dot product: long vectors win whatever their direction. Divide by both lengths.",
            ),
            Mistake("query only", _cos_query_only, "The rows of the matrix were not brought to length 1."),
            Mistake("rows only", _cos_rows_only, "The query was not brought to length 1, so these are no cosines."),
            Mistake(
                "one norm",
                _cos_one_norm,
                "It was divided by the sum of sizes: the length is the root of the sum of squares (p = 2).",
            ),
            Mistake("columns", _cos_columns, "The *columns* were brought to length 1: a passage is a row, dim=-1."),
            Mistake("farthest", _cos_farthest, "The farthest came back: the nearest have the *largest* cosine."),
            Mistake(
                "swapped", _cos_swapped, "The numbers of the rows came first: expected the cosines, then the numbers."
            ),
            Mistake("all", _cos_all, "All rows came back: expected the k nearest."),
            Mistake("by row", _cos_by_row, "They are sorted by row: expected the largest cosine first."),
            Mistake(
                "distance", _cos_distance, "These are distances: expected cosines, for which only directions count."
            ),
            Mistake(
                "too many",
                _cos_too_many,
                "k was larger than the number of rows: then all of them come; `min(k, len(matrix))`.",
            ),
            Mistake(
                "nan",
                _cos_nan,
                "A vector of length 0 was divided by its length: its cosine is 0. `F.normalize` takes care of it.",
            ),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.fusion:reciprocal_rank_fusion",
        title="Two rankings into one",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "A dictionary from items to sums. Each ranking adds to it, and nothing but the rank matters.",
            "`for rank, item in enumerate(ranking, 1)`, and an item that is not there yet has 0. `sorted` keeps the order of equal ones, "
            "and a dictionary that of first sight.",
            "`scores[item] = scores.get(item, 0.0) + 1 / (k + rank)`; `sorted(scores.items(), key=lambda pair: -pair[1])`; "
            "`check_rankings(rankings, k)` at the beginning.",
        ),
        reasoning="BM25's sums grow with the number of words in the question and with the corpus, cosines end at 1, and both are "
        "spread in their own way: if they are added, the one with the "
        "larger spread decides nearly alone. Ranks have the same unit everywhere. k = 60 makes the first places less special: rank 1 "
        "and rank 5 differ "
        "by 6 %, so two searches that agree beat one that is sure.",
        check=check_reciprocal_rank_fusion,
        mistakes=(
            Mistake("from zero", _rrf_from_zero, "Ranks count from 1: `enumerate(ranking, 1)`."),
            Mistake(
                "ranks",
                _rrf_ranks,
                "The ranks themselves were added: an item that one search did not find would then profit. 1 / (k + rank).",
            ),
            Mistake("worst first", _rrf_worst_first, "The smallest sum came first: sort by falling sums."),
            Mistake(
                "best only", _rrf_best_only, "Only the best rank of an item counts: add what it gets from each ranking."
            ),
            Mistake("last only", _rrf_last_only, "What an item got from an earlier ranking was overwritten: add."),
            Mistake(
                "in all",
                _rrf_in_all,
                "Only items of two rankings came: one that a single search found belongs in, too.",
            ),
            Mistake("fixed k", _rrf_fixed_k, "60 was used whatever k is."),
            Mistake("split", _rrf_split, "1 / k + 1 / rank is not 1 / (k + rank)."),
            Mistake(
                "by length",
                _rrf_by_length,
                "The places were counted from the ranking's end (Borda's count): 1 / (k + rank).",
            ),
            Mistake("items only", _rrf_items_only, "Only the items came back: expected pairs, (item, sum)."),
            Mistake("mean", _rrf_mean, "The sums were divided by the number of rankings."),
            Mistake(
                "tie by name", _rrf_tie_by_name, "Of items with equal sums the one comes first that was read first."
            ),
            Mistake("unchecked", _rrf_unchecked, "Each ranking may have an item once: `check_rankings` looks at that."),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.small_to_big:small_to_big",
        title="Search small, return big",
        difficulty=3,
        importance=4,
        minutes=12,
        hints=(
            "The function *returns a function*. Inside, ask the small search once, and turn small numbers into large ones.",
            "The hits come best first, so the first time that a page turns up it has its best score: `dict.setdefault` keeps "
            "just that. Ask for "
            "`max(depth, k)` small ones, since several may stand in one page.",
            "`best: dict[int, float] = {}`; `for hit in search(query, max(depth, k)): best.setdefault(parents[hit.number], hit.score)`; "
            "`return [Hit(parent, score) for parent, score in list(best.items())[:k]]`.",
        ),
        reasoning="The best small passage speaks for its page. The sum of all of them would reward long pages, the mean would "
        "punish them; the "
        "best one hardly does either. The same three lines go from sentences to sections and from sections to pages, since all of "
        "them know nothing "
        "but numbers.",
        check=check_small_to_big,
        mistakes=(
            Mistake("repeated", _big_repeated, "A page came several times: each counts once, with its best passage."),
            Mistake("last", _big_last, "A page has the score of its *last* passage: the first one is the best."),
            Mistake("sum", _big_sum, "The scores of a page's passages were added: long pages would always win."),
            Mistake(
                "from zero", _big_from_zero, "A score below 0 became 0: scores may be negative, so do not start from 0."
            ),
            Mistake(
                "cut early",
                _big_cut_early,
                "Only k small passages were looked at: they may all stand in one page. Cut at k in the end.",
            ),
            Mistake("uncut", _big_uncut, "More than k pages came back."),
            Mistake(
                "small numbers",
                _big_small_numbers,
                "The numbers are those of the small passages: expected those of the large ones, `parents[hit.number]`.",
            ),
            Mistake(
                "plain pairs",
                _big_plain_pairs,
                "The results are plain pairs: whoever uses them reads `hit.number` and `hit.score`, so return `Hit(page, score)`.",
            ),
            Mistake(
                "remembers",
                _big_remembers,
                "The second question got pages of the first: make the dictionary anew inside of the function that you return.",
            ),
            Mistake("asks too few", _big_asks_k, ASK),
            Mistake("asks for depth", _big_asks_depth, ASK),
        ),
    ),
    Exercise(
        lab="11",
        target="lablib.adaptation.fusion:maximal_marginal_relevance",
        title="Not the same thing five times",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "A loop that picks one item at a time. What has to be worked out anew after each pick?",
            "The repetition of every item: its largest similarity to anything picked so far, `similarity[picked].amax(dim=0)`. "
            "Before the first "
            "pick it is 0. Items that were picked must not win again.",
            "In the loop: `gain = weight * relevance - (1 - weight) * repetition`, `gain[picked] = -torch.inf`, "
            "`picked.append(int(gain.argmax()))`, `repetition = similarity[picked].amax(dim=0)`.",
        ),
        reasoning="The *largest* similarity, since a repetition of one passage is a repetition, however new it is to the "
        "others. Picking greedily "
        "is not the best set of k, which would cost a search over all sets; it is near it. The weight only means something when "
        "relevance and "
        "similarity have the same scale, so both are cosines here.",
        check=check_maximal_marginal_relevance,
        mistakes=(
            Mistake("top", _mmr_top, "These are simply the most relevant items: repetition has no effect."),
            Mistake("mean", _mmr_mean, "The mean similarity to what was picked was taken: it is the largest."),
            Mistake("sum", _mmr_sum, "The similarities to what was picked were added: it is the largest."),
            Mistake("last", _mmr_last, "Only the last pick was compared with: all of them count."),
            Mistake("swapped", _mmr_swapped, "weight belongs to the relevance, and 1 − weight to the repetition."),
            Mistake(
                "unweighted",
                _mmr_unweighted,
                "The relevance was not multiplied by the weight. (Or both terms were: the paper's formula has its bracket in the "
                "wrong place.)",
            ),
            Mistake("added", _mmr_added, "Repetition was rewarded: subtract it."),
            Mistake("again", _mmr_again, "An item was picked twice: set the gain of those that were picked to −∞."),
            Mistake("zero", _mmr_zero, "Items that were picked got the gain 0: others may be below it, so −∞."),
            Mistake(
                "clamped",
                _mmr_clamped,
                "A similarity below 0 was taken for 0: an item that points the other way is welcome.",
            ),
            Mistake(
                "sorted", _mmr_sorted, "The items are sorted by number: expected the order in which they were picked."
            ),
        ),
    ),
]
# In the order of the notebook: how to judge comes before what is judged.
EXERCISES = [*grounding.EXERCISES[:2], *OWN, *grounding.EXERCISES[2:]]
