"""LSH against the S-curve, brute force, scipy's connected components and datasketch's index."""

import datasketch
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lablib.corpus.lsh import band_keys, best_bands, candidate_pairs, candidate_probability, clusters
from lablib.corpus.minhash import PRIME, jaccard, minhash, random_orders, shingles

rows = st.lists(st.lists(st.integers(0, 2), min_size=6, max_size=6), min_size=1, max_size=8)


def as_signatures(values):
    return [np.array(row, dtype=np.uint64) for row in values]


# ------------------------------------------------------------------ the S-curve


@pytest.mark.parametrize(("b", "r"), [(14, 8), (25, 5), (20, 6)])
@pytest.mark.parametrize("s", [0.2, 0.5, 0.7, 0.8, 0.95])
def test_the_candidate_rate_lies_on_the_s_curve(b, r, s):
    generator, trials = np.random.default_rng(0), 4_000
    first = generator.integers(0, PRIME, (trials, b * r), dtype=np.uint64)
    second = np.where(
        generator.random((trials, b * r)) < s, first, generator.integers(0, PRIME, (trials, b * r), dtype=np.uint64)
    )
    found = sum(bool(candidate_pairs(pair, b, r)) for pair in zip(first, second, strict=True))
    expected = candidate_probability(s, b, r)
    assert abs(found - trials * expected) <= 4 * (trials * expected * (1 - expected)) ** 0.5 + 1


def test_the_candidate_rate_of_real_sets_lies_on_the_s_curve():
    b, r, shared, own, trials, found = 20, 4, 40, 20, 400, 0  # J = 1/2
    for number in range(trials):
        a, c = random_orders(b * r, np.random.default_rng(number))
        common = {f"common {i}" for i in range(shared)}
        pair = [minhash(common | {f"{side} {i}" for i in range(own)}, a, c) for side in "xy"]
        found += bool(candidate_pairs(pair, b, r))
    expected = candidate_probability(shared / (shared + 2 * own), b, r)
    assert abs(found / trials - expected) <= 4 * (expected * (1 - expected) / trials) ** 0.5


@given(st.floats(0, 1), st.integers(1, 30), st.integers(1, 10))
def test_the_s_curve_is_one_minus_all_bands_differ(s, b, r):
    none = 1.0
    for _ in range(b):
        none *= 1 - s**r
    assert candidate_probability(s, b, r) == pytest.approx(1 - none, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9])
def test_best_bands_find_enough_and_nothing_finds_less_of_the_unlike(threshold):
    b, r = best_bands(128, threshold)
    assert b * r <= 128
    assert candidate_probability(threshold, b, r) >= 0.95
    others = [(128 // k, k) for k in range(1, 129) if candidate_probability(threshold, 128 // k, k) >= 0.95]
    assert min(others, key=lambda pair: candidate_probability(threshold / 2, *pair)) == (b, r)


def test_best_bands_say_what_cannot_be():
    with pytest.raises(ValueError, match=r"n = 2 values cannot find a pair of similarity 0.1"):
        best_bands(2, 0.1)
    with pytest.raises(ValueError, match=r"threshold = 1\.5"):
        best_bands(128, 1.5)


# ------------------------------------------------------------------ bands and pairs


@given(rows, st.sampled_from([(1, 6), (2, 3), (3, 2), (6, 1), (2, 2)]))
def test_candidates_are_the_pairs_that_share_a_band(values, bands):
    b, r = bands
    expected = {
        (i, j)
        for j in range(len(values))
        for i in range(j)
        if any(values[i][k * r : k * r + r] == values[j][k * r : k * r + r] for k in range(b))
    }
    assert candidate_pairs(as_signatures(values), b, r) == expected


def test_the_same_signatures_give_datasketchs_candidates():
    generator = np.random.default_rng(5)
    values = generator.integers(0, 4, (120, 24)).astype(np.uint64)
    index = datasketch.MinHashLSH(num_perm=24, params=(8, 3))
    theirs = set()
    for number, row in enumerate(values):
        sketch = datasketch.MinHash(num_perm=24, hashvalues=row, scheme="legacy")
        theirs |= {(other, number) for other in index.query(sketch)}
        index.insert(number, sketch)
    assert theirs
    assert candidate_pairs(list(values), 8, 3) == theirs


def test_equal_rows_in_different_bands_are_no_match():
    assert candidate_pairs(as_signatures([[1, 2, 9, 9], [8, 8, 1, 2]]), 2, 2) == set()


def test_a_key_holds_the_largest_value_and_refuses_a_short_signature():
    largest = np.array([PRIME, PRIME - 1], dtype=np.uint64)
    assert band_keys(largest, 1, 2)[0][2:] == largest.astype("<u4").tobytes()
    with pytest.raises(ValueError, match=r"2 values has not 2 bands of 2 rows: expected at least 4"):
        band_keys(largest, 2, 2)


def test_of_the_pairs_above_the_threshold_95_in_100_are_found():
    generator, texts = np.random.default_rng(0), []
    for _ in range(120):
        text = [f"w{i}" for i in generator.integers(0, 3_000, 90)]
        texts.append(text)
        for rate in (0.01, 0.03, 0.05):
            texts.append([f"x{i}" if generator.random() < rate else word for i, word in enumerate(text)])
    sets = [shingles(" ".join(text)) for text in texts]
    alike = {(i, j) for j in range(len(sets)) for i in range(j) if jaccard(sets[i], sets[j]) >= 0.7}
    assert len(alike) > 300
    b, r = best_bands(128, 0.7)
    orders = random_orders(128, np.random.default_rng(1))
    found = candidate_pairs([minhash(elements, *orders) for elements in sets], b, r)
    assert len(found & alike) >= 0.95 * len(alike)
    assert len(found) < 0.02 * len(sets) * (len(sets) - 1) / 2  # and it is no comparison of all with all


# ------------------------------------------------------------------ clusters


@given(st.integers(1, 25), st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=40))
def test_clusters_are_scipys_connected_components(n, pairs):
    pairs = [(i, j) for i, j in pairs if i < n and j < n]
    graph = coo_matrix(([1] * len(pairs), ([i for i, _ in pairs], [j for _, j in pairs])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    expected = sorted([i for i in range(n) if labels[i] == label] for label in set(labels.tolist()))
    assert clusters(n, pairs) == expected


def test_a_chain_of_100_000_is_one_cluster():
    n = 100_000
    assert clusters(n, ((i, i - 1) for i in range(n - 1, 0, -1))) == [list(range(n))]
