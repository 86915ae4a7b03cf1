"""Lab 11: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import math
from collections import Counter, defaultdict
from functools import reduce

import answers_grounding
import torch
from torch.nn import functional as F

from lablib.adaptation.bm25 import bm25_idf, bm25_score, saturation
from lablib.adaptation.chunking import pack_spans
from lablib.adaptation.dense import cosine_top_k
from lablib.adaptation.fusion import maximal_marginal_relevance, reciprocal_rank_fusion
from lablib.adaptation.search import Hit
from lablib.adaptation.small_to_big import small_to_big

# ---------------------------------------------------------------- pack_spans


def pack_by_lists(pieces, size, overlap=0):
    chunks, current = [], []
    for piece in pieces:
        if current and piece[1] - current[0][0] > size:
            chunks.append((current[0][0], current[-1][1]))
            while current and (current[-1][1] - current[0][0] > overlap or piece[1] - current[0][0] > size):
                current.pop(0)
        current.append(piece)
    if current:
        chunks.append((current[0][0], current[-1][1]))
    return chunks


def pack_by_recursion(pieces, size, overlap=0):
    chunks, start = [], 0
    while start < len(pieces):
        end = start + 1
        while end < len(pieces) and pieces[end][1] - pieces[start][0] <= size:
            end += 1
        chunks.append((pieces[start][0], pieces[end - 1][1]))
        if end == len(pieces):
            break
        again = end
        for candidate in range(start + 1, end):
            fits = pieces[end][1] - pieces[candidate][0] <= size
            if fits and pieces[end - 1][1] - pieces[candidate][0] <= overlap:
                again = candidate
                break
        start = again
    return chunks


def pack_returns_lists(pieces, size, overlap=0):
    return [list(span) for span in pack_spans(pieces, size, overlap)]


def pack_lengths(pieces, size, overlap=0):
    return [(start, stop - start) for start, stop in pack_spans(pieces, size, overlap)]


def pack_backwards(pieces, size, overlap=0):
    end = pieces[-1][1] if pieces else 0
    mirrored = [(end - stop, end - start) for start, stop in reversed(pieces)]
    return [(end - stop, end - start) for start, stop in reversed(pack_spans(mirrored, size, overlap))]


def pack_pairs(pieces, size, overlap=0):
    return [(pieces[i][0], pieces[min(i + 1, len(pieces) - 1)][1]) for i in range(0, len(pieces), 2)]


def pack_overlap_in_pieces(pieces, size, overlap=0):
    chunks = pack_spans(pieces, size)
    starts = [start for start, _ in pieces]
    return [(starts[max(starts.index(a) - min(overlap, 1), 0)], b) for a, b in chunks]


def pack_all_of_the_overlap_or_none(pieces, size, overlap=0):
    chunks, current = [], []
    for piece in pieces:
        if current and piece[1] - current[0][0] > size:
            end = current[-1][1]
            chunks.append((current[0][0], end))
            current = [one for one in current if end - one[0] <= overlap]
            if current and piece[1] - current[0][0] > size:
                current = []
        current.append(piece)
    return [*chunks, (current[0][0], current[-1][1])] if current else []


def pack_counts_only_new(pieces, size, overlap=0):
    return pack_spans(pieces, size + overlap, overlap) if overlap else pack_spans(pieces, size)


def pack_empty_first(pieces, size, overlap=0):
    chunks = pack_spans(pieces, size, overlap)
    long_first = pieces and pieces[0][1] - pieces[0][0] > size
    return [(pieces[0][0], pieces[0][0]), *chunks] if long_first else chunks


# ---------------------------------------------------------------- bm25_idf


def idf_by_log1p(df, N, variant="lucene"):
    if df < 0 or df > N:
        raise ValueError(f"df = {df} must lie between 0 and N = {N}")
    if variant == "lucene":
        return math.log1p((N - df + 0.5) / (df + 0.5))
    if variant == "robertson":
        return max(math.log(N - df + 0.5) - math.log(df + 0.5), 0.0)
    raise ValueError(f"{variant=}")


def idf_simplified(df, N, variant="lucene"):
    if not 0 <= df <= N or variant not in {"lucene", "robertson"}:
        raise ValueError(f"{df=}, {N=}, {variant=}")
    return (
        math.log((N + 1) / (df + 0.5))
        if variant == "lucene"
        else max(0.0, math.log((2 * N - 2 * df + 1) / (2 * df + 1)))
    )


def idf_log10(df, N, variant="lucene"):
    return bm25_idf(df, N, variant) / math.log(10)


def idf_floor(df, N, variant="lucene"):
    value = bm25_idf(df, N, variant)
    return max(value, 0.01)


def idf_smooth(df, N, variant="lucene"):
    bm25_idf(df, N, variant)
    return math.log((1 + N) / (1 + df)) + 1


def idf_robertson_abs(df, N, variant="lucene"):
    bm25_idf(df, N, variant)
    odds = (N - df + 0.5) / (df + 0.5)
    return math.log(1 + odds) if variant == "lucene" else abs(math.log(odds))


def idf_any_variant(df, N, variant="lucene"):
    return bm25_idf(df, N, variant if variant in ("lucene", "robertson") else "lucene")


def idf_negative_df(df, N, variant="lucene"):
    if df > N:
        raise ValueError(f"{df=}, {N=}")
    return bm25_idf(df, N, variant) if df >= 0 else 0.0


def idf_asserts(df, N, variant="lucene"):
    if not 0 <= df <= N:
        raise AssertionError("df")
    return bm25_idf(df, N, variant)


# ---------------------------------------------------------------- saturation


def saturation_by_norm(tf, length, mean_length, k1=1.5, b=0.75):
    if tf == 0:
        return 0.0
    norm = k1 * ((1 - b) + b * (length / mean_length))
    return 1 / (1 + norm / tf)


def saturation_by_one_minus(tf, length, mean_length, k1=1.5, b=0.75):
    norm = k1 + k1 * b * (length - mean_length) / mean_length
    return 1 - norm / (tf + norm) if tf > 0 else 0.0


def saturation_sqrt(tf, length, mean_length, k1=1.5, b=0.75):
    return saturation(tf, length, mean_length, k1, b) ** 0.5


def saturation_log(tf, length, mean_length, k1=1.5, b=0.75):
    return math.log1p(tf) / (math.log1p(tf) + k1 * (1 - b + b * length / mean_length)) if tf else 0.0


def saturation_default_k1(tf, length, mean_length, k1=1.5, b=0.75):
    return saturation(tf, length, mean_length, 1.5, b)


def saturation_default_b(tf, length, mean_length, k1=1.5, b=0.75):
    return saturation(tf, length, mean_length, k1)


def saturation_length_capped(tf, length, mean_length, k1=1.5, b=0.75):
    return saturation(tf, min(length, 2 * mean_length), mean_length, k1, b)


def saturation_per_word(tf, length, mean_length, k1=1.5, b=0.75):
    if k1 == 0:
        return float(tf > 0)
    share = tf / length  # of the passage's words
    return share / (share + k1 * (1 - b) / length + k1 * b / mean_length)


def saturation_absent(tf, length, mean_length, k1=1.5, b=0.75):
    return 1 - saturation(tf, length, mean_length, k1, b)


# ---------------------------------------------------------------- bm25_score


def score_by_groups(query, passage, idf, mean_length, k1=1.5, b=0.75):
    total = 0.0
    for word in set(query):
        if word in idf and word in passage:
            tf = sum(other == word for other in passage)
            total += query.count(word) * idf[word] * saturation(tf, len(passage), mean_length, k1, b)
    return total


def score_by_formula(query, passage, idf, mean_length, k1=1.5, b=0.75):
    norm = k1 * (1 - b + b * len(passage) / mean_length)
    counts = defaultdict(int)
    for word in passage:
        counts[word] += 1
    return math.fsum(idf.get(word, 0) * counts[word] / (counts[word] + norm) for word in query)


def score_k1_plus_1(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return (k1 + 1) * bm25_score(query, passage, idf, mean_length, k1, b)


def score_best_word(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return max((bm25_score([word], passage, idf, mean_length, k1, b) for word in query), default=0.0)


def score_by_reduce(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return reduce(lambda a, c: a + c, [bm25_score([word], passage, idf, mean_length, k1, b) for word in query])


def score_setdefault(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return sum(
        idf.setdefault(word, 0.0) * saturation(list(passage).count(word), len(passage), mean_length, k1, b)
        for word in query
    )


def score_swapped(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return bm25_score(passage, query, idf, mean_length, k1, b)


def score_unknown_one(query, passage, idf, mean_length, k1=1.5, b=0.75):
    known = defaultdict(lambda: 1.0, idf)
    return sum(known[w] * saturation(list(passage).count(w), len(passage), mean_length, k1, b) for w in query)


def score_idf_squared(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return bm25_score(query, passage, {word: x * x for word, x in idf.items()}, mean_length, k1, b)


def score_k1_b_swapped(query, passage, idf, mean_length, k1=1.5, b=0.75):
    return bm25_score(query, passage, idf, mean_length, b, k1)


# ---------------------------------------------------------------- cosine_top_k


def cosine_by_similarity(matrix, query, k):
    cosines = F.cosine_similarity(matrix, query[None], dim=-1)
    order = cosines.argsort(descending=True)[:k]
    return cosines[order], order


def cosine_by_lengths(matrix, query, k):
    lengths = (matrix.norm(dim=1) * query.norm()).clamp(min=1e-12)
    cosines = (matrix * query).sum(dim=1) / lengths
    values, rows = torch.sort(cosines, descending=True)
    return values[:k], rows[:k]


def cosine_as_list(matrix, query, k):
    values, rows = cosine_top_k(matrix, query, k)
    return values, rows.tolist()


def cosine_angle(matrix, query, k):
    values, rows = cosine_top_k(matrix, query, k)
    return values.clamp(-1, 1).arccos(), rows


def cosine_of_sizes(matrix, query, k):
    found = (F.normalize(matrix, dim=-1) @ F.normalize(query, dim=-1)).abs().topk(min(k, len(matrix)))
    return found.values, found.indices


def cosine_centred(matrix, query, k):
    return cosine_top_k(matrix - matrix.mean(0), query - query.mean(0), k)


def cosine_squared_length(matrix, query, k):
    cosines = matrix @ query / (matrix.square().sum(-1) * query.square().sum()).clamp(min=1e-12)
    found = cosines.topk(min(k, len(cosines)))
    return found.values, found.indices


def cosine_softmax(matrix, query, k):
    found = (F.normalize(matrix, dim=-1) @ F.normalize(query, dim=-1)).softmax(0).topk(min(k, len(matrix)))
    return found.values, found.indices


def cosine_positive_only(matrix, query, k):
    values, rows = cosine_top_k(matrix, query, k)
    return values[values > 0], rows[values > 0]


# ---------------------------------------------------------------- reciprocal_rank_fusion


def fusion_by_items(rankings, k=60):
    if k < 0:
        raise ValueError(f"{k=}: expected at least 0")
    for ranking in rankings:
        if len(set(ranking)) != len(ranking):
            raise ValueError(f"rankings: {ranking} has an item twice")
    items = list(dict.fromkeys(item for ranking in rankings for item in ranking))
    sums = [sum(1 / (k + list(r).index(item) + 1) for r in rankings if item in r) for item in items]
    order = sorted(range(len(items)), key=lambda i: (-sums[i], i))
    return [(items[i], sums[i]) for i in order]


def fusion_by_counter(rankings, k=60):
    if k < 0:
        raise ValueError(f"k must not be negative, and is {k}")
    sums = Counter()
    for ranking in rankings:
        if max(Counter(ranking).values(), default=1) > 1:
            raise ValueError(f"ranking {ranking} has an item twice")
        sums.update({item: 1 / (k + rank) for rank, item in enumerate(ranking, 1)})
    return sums.most_common()


def fusion_by_defaultdict(rankings, k=60):
    if k < 0:
        raise ValueError(f"{k=}")
    totals = defaultdict(float)
    for ranking in rankings:
        seen = set()
        for place, item in enumerate(ranking):
            if item in seen:
                raise ValueError(f"rankings hold {item!r} twice")
            seen.add(item)
            totals[item] += 1 / (k + place + 1)
    return sorted(totals.items(), key=lambda pair: pair[1], reverse=True)


def fusion_negative_k(rankings, k=60):
    if k < 0:
        return [(item, 0.0) for ranking in rankings for item in ranking]
    return reciprocal_rank_fusion(rankings, k)


def fusion_first_looked_at(rankings, k=60):
    for ranking in rankings[:1]:
        if len(set(ranking)) < len(ranking):
            raise ValueError(f"rankings: {ranking}")
    return reciprocal_rank_fusion([list(dict.fromkeys(ranking)) for ranking in rankings], k)


def fusion_pops(rankings, k=60):
    result = reciprocal_rank_fusion(rankings, k)
    for ranking in rankings:
        if isinstance(ranking, list):
            ranking.clear()
    return result


def fusion_unsorted(rankings, k=60):
    found = dict(reciprocal_rank_fusion(rankings, k))
    return [(item, found[item]) for item in dict.fromkeys(item for ranking in rankings for item in ranking)]


def fusion_as_dict(rankings, k=60):
    return dict(reciprocal_rank_fusion(rankings, k))


def fusion_squared(rankings, k=60):
    return [(item, score * score) for item, score in reciprocal_rank_fusion(rankings, k)]


def fusion_of_two(rankings, k=60):
    return reciprocal_rank_fusion(rankings[:2], k)


def fusion_products(rankings, k=60):
    reciprocal_rank_fusion(rankings, k)
    items = dict.fromkeys(item for ranking in rankings for item in ranking)
    product = {i: math.prod(1 / (k + list(r).index(i) + 1) for r in rankings if i in r) for i in items}
    return sorted(product.items(), key=lambda pair: -pair[1])


def fusion_late_ties(rankings, k=60):
    found = reciprocal_rank_fusion(rankings, k)
    found.reverse()
    return sorted(found, key=lambda pair: -round(pair[1], 12))


def fusion_best_three(rankings, k=60):
    return reciprocal_rank_fusion(rankings, k)[:3]


# ---------------------------------------------------------------- small_to_big


def big_by_loop(search, parents, depth=100):
    def found(query, k):
        hits, seen = [], set()
        for number, score in search(query, max(depth, k)):
            page = parents[number]
            if page not in seen:
                seen.add(page)
                hits.append(Hit(page, score))
            if len(hits) == k:
                break
        return hits

    return found


def big_by_max(search, parents, depth=100):
    def found(query, k):
        best = {}
        for hit in search(query, max(k, depth)):
            page = parents[hit.number]
            best[page] = max(best[page], hit.score) if page in best else hit.score
        return [Hit(page, best[page]) for page in sorted(best, key=best.__getitem__, reverse=True)][:k]

    return found


def big_as_a_class(search, parents, depth=100):
    class Big:
        def __call__(self, query, k):
            pages = {}
            for number, score in search(query, max(depth, k)):
                pages[parents[number]] = max(score, pages.get(parents[number], score))
            return [Hit(number=page, score=score) for page, score in [*pages.items()][:k]]

    return Big()


def big_ties_by_page(search, parents, depth=100):
    return lambda query, k: sorted(
        small_to_big(search, parents, depth)(query, k), key=lambda hit: (-hit.score, hit.number)
    )


def big_without_scores(search, parents, depth=100):
    def found(query, k):
        return [hit.number for hit in small_to_big(search, parents, depth)(query, k)]

    return found


def big_mean(search, parents, depth=100):
    def found(query, k):
        scores = defaultdict(list)
        for hit in search(query, max(k, depth)):
            scores[parents[hit.number]].append(hit.score)
        means = {page: sum(some) / len(some) for page, some in scores.items()}
        return [Hit(page, means[page]) for page in sorted(means, key=means.__getitem__, reverse=True)][:k]

    return found


def big_most_finds_first(search, parents, depth=100):
    def found(query, k):
        hits = search(query, max(depth, k))
        times = Counter(parents[hit.number] for hit in hits)
        return sorted(
            small_to_big(lambda *_: hits, parents)(query, len(times) or 1), key=lambda hit: -times[hit.number]
        )[:k]

    return found


def big_one_less(search, parents, depth=100):
    return lambda query, k: small_to_big(search, parents, depth)(query, k)[: max(k - 1, 1)]


def big_by_page_number(search, parents, depth=100):
    return lambda query, k: sorted(small_to_big(search, parents, depth)(query, k))


def big_other_query(search, parents, depth=100):
    return small_to_big(lambda query, n: search(query.upper(), n), parents, depth)


def big_ranks(search, parents, depth=100):
    def found(query, k):
        return [Hit(hit.number, 1 / rank) for rank, hit in enumerate(small_to_big(search, parents, depth)(query, k), 1)]

    return found


def big_not_a_function(search, parents, depth=100):
    return small_to_big(search, parents, depth)("which mill?", 5)


# ---------------------------------------------------------------- maximal_marginal_relevance


def mmr_by_loop(relevance, similarity, k, weight=0.7):
    left, picked = list(range(len(relevance))), []
    while left and len(picked) < k:
        gains = []
        for i in left:
            repeats = max((float(similarity[i, j]) for j in picked), default=0.0)
            gains.append(weight * float(relevance[i]) - (1 - weight) * repeats)
        picked.append(left.pop(gains.index(max(gains))))
    return picked


def mmr_by_running_maximum(relevance, similarity, k, weight=0.7):
    free = torch.ones_like(relevance, dtype=torch.bool)
    most, order = None, []
    while len(order) < min(k, relevance.numel()):
        gain = weight * relevance if most is None else weight * relevance - (1 - weight) * most
        best = int(torch.where(free, gain, -torch.inf).argmax())
        free[best] = False
        order.append(best)
        most = similarity[best] if most is None else torch.maximum(most, similarity[best])
    return order


def mmr_last_of_equals(relevance, similarity, k, weight=0.7):
    picked = [int(relevance.argmax())]
    while len(picked) < min(k, len(relevance)):
        gain = weight * relevance - (1 - weight) * similarity[picked].amax(dim=0)
        gain[picked] = -torch.inf
        picked.append(int((gain == gain.max()).nonzero()[-1]))
    return picked


def mmr_as_tensor(relevance, similarity, k, weight=0.7):
    return torch.tensor(maximal_marginal_relevance(relevance, similarity, k, weight))


def mmr_least_alike(relevance, similarity, k, weight=0.7):
    n = min(k, len(relevance))
    return similarity.sum(0).argsort(stable=True)[:n].tolist()


def mmr_smallest_similarity(relevance, similarity, k, weight=0.7):
    picked, repetition = [], torch.zeros_like(relevance)
    for _ in range(min(k, len(relevance))):
        gain = weight * relevance - (1 - weight) * repetition
        gain[picked] = -torch.inf
        picked.append(int(gain.argmax()))
        repetition = similarity[picked].amin(dim=0)
    return picked


def mmr_backwards(relevance, similarity, k, weight=0.7):
    return maximal_marginal_relevance(relevance, similarity, k, weight)[::-1]


def mmr_fixed_weight(relevance, similarity, k, weight=0.7):
    return maximal_marginal_relevance(relevance, similarity, k, 0.7)


def mmr_one_more(relevance, similarity, k, weight=0.7):
    return maximal_marginal_relevance(relevance, similarity, k + 1, weight)


def mmr_size_of_similarity(relevance, similarity, k, weight=0.7):
    return maximal_marginal_relevance(relevance, similarity.abs(), k, weight)


RIGHT = {
    "pack_spans": [pack_by_lists, pack_by_recursion],
    "bm25_idf": [idf_by_log1p, idf_simplified],
    "saturation": [saturation_by_norm, saturation_by_one_minus],
    "bm25_score": [score_by_groups, score_by_formula],
    "cosine_top_k": [cosine_by_similarity, cosine_by_lengths],
    "reciprocal_rank_fusion": [fusion_by_items, fusion_by_defaultdict, fusion_by_counter],
    "small_to_big": [big_by_loop, big_by_max, big_as_a_class],
    "maximal_marginal_relevance": [mmr_by_loop, mmr_by_running_maximum],
}
WRONG = {
    "pack_spans": [
        ("lists", pack_returns_lists, "expected"),
        pack_lengths,
        pack_backwards,
        pack_pairs,
        pack_overlap_in_pieces,
        pack_counts_only_new,
        ("all of the overlap or none", pack_all_of_the_overlap_or_none, "one has room before the next"),
        ("an empty chunk", pack_empty_first, "one piece of 20 characters"),
    ],
    "bm25_idf": [
        idf_log10,
        idf_floor,
        idf_smooth,
        idf_robertson_abs,
        ("any variant", idf_any_variant, "names the variant"),
        ("a negative df", idf_negative_df, "df = -1"),
        ("another error", idf_asserts, "df = 5, N = 4"),
    ],
    "saturation": [
        saturation_sqrt,
        saturation_log,
        saturation_default_k1,
        saturation_default_b,
        ("capped", saturation_length_capped, "three times the mean length"),
        ("an empty passage", saturation_per_word, "an empty passage"),
        saturation_absent,
    ],
    "bm25_score": [
        score_k1_plus_1,
        score_best_word,
        score_swapped,
        ("unknown counts", score_unknown_one, "the corpus' idf does not"),
        ("an empty query", score_by_reduce, "an empty query"),
        ("changes idf", score_setdefault, "in place"),
        score_idf_squared,
        score_k1_b_swapped,
    ],
    "cosine_top_k": [
        ("a list", cosine_as_list, "expected"),
        cosine_angle,
        cosine_of_sizes,
        cosine_centred,
        cosine_squared_length,
        cosine_softmax,
        ("positive only", cosine_positive_only, "wrong shape"),
    ],
    "reciprocal_rank_fusion": [
        fusion_unsorted,
        ("a dictionary", fusion_as_dict, "expected"),
        fusion_squared,
        ("two only", fusion_of_two, "rankings of different lengths"),
        fusion_products,
        ("late ties", fusion_late_ties, "expected"),
        ("a negative k", fusion_negative_k, "names k"),
        ("the second ranking", fusion_first_looked_at, "rankings a and b, b"),
        ("empties rankings", fusion_pops, "in place"),
        fusion_best_three,
    ],
    "small_to_big": [
        ("numbers", big_without_scores, "expected"),
        big_mean,
        ("most finds first", big_most_finds_first, "one good passage"),
        big_one_less,
        big_by_page_number,
        ("another query", big_other_query, "with the same query"),
        ("ties by number", big_ties_by_page, "equal scores"),
        big_ranks,
        ("no function", big_not_a_function, "expected"),
    ],
    "maximal_marginal_relevance": [
        ("a tensor", mmr_as_tensor, "expected"),
        mmr_least_alike,
        mmr_smallest_similarity,
        mmr_backwards,
        ("the last of equals", mmr_last_of_equals, "four items that are equal"),
        mmr_fixed_weight,
        mmr_one_more,
        ("sizes", mmr_size_of_similarity, "eleven vectors"),
    ],
}
RIGHT |= answers_grounding.RIGHT
WRONG |= answers_grounding.WRONG
