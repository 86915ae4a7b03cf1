"""MinHash against brute-force Jaccard, Python's big integers, and datasketch."""

import hashlib
import subprocess
import sys

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.minhash import (
    PRIME,
    estimated_jaccard,
    jaccard,
    minhash,
    random_orders,
    shingles,
    stable_hash,
    standard_error,
)

words = st.text(alphabet="abcdefg ", max_size=60)
sets = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=30)


def orders(n: int, seed: int = 0):
    return random_orders(n, np.random.default_rng(seed))


def pair_with(shared: int, own: int, number: int) -> tuple[set[str], set[str]]:
    """Two sets with `shared` elements in common and `own` more each: J = shared / (shared + 2 own)."""
    common = {f"{number} common {i}" for i in range(shared)}
    return common | {f"{number} a {i}" for i in range(own)}, common | {f"{number} b {i}" for i in range(own)}


# ------------------------------------------------------------------ shingles and their overlap


@given(words, st.integers(1, 5))
def test_shingles_are_the_runs_of_k_words(text, k):
    parts = text.split()
    expected = set(map(" ".join, zip(*(parts[i:] for i in range(k)), strict=False)))
    assert shingles(text, k) == (expected or ({" ".join(parts)} if parts else set()))


def test_shingles_know_no_case_and_no_punctuation():
    assert shingles("Die Brücke – “sie” hält!", 2) == {"die brücke", "brücke sie", "sie hält"}
    assert shingles("...!?", 3) == set()


def test_shingles_refuse_no_words():
    with pytest.raises(ValueError, match=r"k = 0: expected at least 1"):
        shingles("a b", 0)


@given(sets, sets)
def test_jaccard_is_symmetric_and_1_only_for_equal_sets(a, b):
    assert jaccard(a, b) == jaccard(b, a)
    assert (jaccard(a, b) == 1) == (a == b)
    assert (jaccard(a, b) == 0) == a.isdisjoint(b)


def test_jaccard_of_nothing_and_of_repeated_elements():
    assert jaccard(set(), set()) == 1
    assert jaccard(set(), {"a"}) == 0
    assert jaccard(["a", "a", "b"], ["b"]) == 0.5


# ------------------------------------------------------------------ the hash and the orders


def test_the_hash_is_blake2b_and_the_same_in_another_process():
    texts = ["", "the cat sat", "naïve ☃", "\ud800"]
    for text in texts:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        assert stable_hash(text) == int(digest, 16) % (2**31 - 1)
    code = "from lablib.corpus.minhash import stable_hash; print(stable_hash('the cat sat'))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert int(done.stdout) == stable_hash("the cat sat")


def test_orders_are_as_carter_and_wegman_ask_and_come_from_the_generator():
    a, b = orders(10_000)
    assert a.min() >= 1
    assert a.max() < PRIME
    assert b.max() < PRIME
    assert np.array_equal(orders(8, seed=3), orders(8, seed=3))
    assert not np.array_equal(orders(8, seed=3), orders(8, seed=4))
    with pytest.raises(ValueError, match=r"n = 0: expected at least 1 order"):
        orders(0)


@given(sets)
def test_the_signature_is_what_big_integers_give(elements):
    a, b = orders(7)
    expected = [
        min((int(a_) * stable_hash(x) + int(b_)) % PRIME for x in elements) for a_, b_ in zip(a, b, strict=True)
    ]
    assert minhash(elements, a, b).tolist() == expected


def test_the_largest_product_is_not_cut_off():
    a = b = np.array([PRIME - 1], dtype=np.uint64)
    x = stable_hash("the cat sat")
    assert int(minhash({"the cat sat"}, a, b)[0]) == ((PRIME - 1) * x + PRIME - 1) % PRIME


# ------------------------------------------------------------------ the estimate


@given(sets, sets)
def test_the_signature_of_a_union_is_the_smaller_of_both(a, b):
    both = np.minimum(minhash(a, *orders(16)), minhash(b, *orders(16)))
    assert np.array_equal(minhash(a | b, *orders(16)), both)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(elements, random):
    again = elements + elements
    random.shuffle(again)
    assert np.array_equal(minhash(elements, *orders(16)), minhash(again, *orders(16)))


def test_the_empty_set_is_like_no_other():
    empty, other = minhash(set(), *orders(16)), minhash({"a"}, *orders(16))
    assert empty.tolist() == [PRIME] * 16
    assert estimated_jaccard(empty, other) == 0
    assert estimated_jaccard(empty, empty) == 1


@pytest.mark.parametrize(("shared", "own"), [(5, 45), (20, 20), (60, 20), (90, 5)])
def test_estimates_scatter_around_brute_force_as_theory_says(shared, own):
    n, pairs = 128, 200
    z = []
    for number in range(pairs):
        a, b = pair_with(shared, own, number)
        j = jaccard(a, b)
        assert j == shared / (shared + 2 * own)
        signatures = minhash(a, *orders(n, seed=number)), minhash(b, *orders(n, seed=number))
        z.append((estimated_jaccard(*signatures) - j) / standard_error(j, n))
    assert abs(np.mean(z)) < 4 / pairs**0.5  # unbiased: the mean of 200 standard normal values
    assert (
        0.8 < np.std(z) < 1.2
    )  # and no wider or narrower than √(J(1 − J)/n): ±4 standard deviations of a standard deviation


def test_estimates_from_one_set_of_orders_scatter_no_more_than_datasketchs():
    n, pairs, mine, theirs = 128, 150, [], []
    a_, b_ = orders(n)
    for number in range(pairs):
        a, b = pair_with(30, 20, number)
        mine.append(estimated_jaccard(minhash(a, a_, b_), minhash(b, a_, b_)) - jaccard(a, b))
        sketches = [datasketch.MinHash(num_perm=n) for _ in range(2)]
        for sketch, elements in zip(sketches, (a, b), strict=True):
            sketch.update_batch([element.encode() for element in elements])
        theirs.append(sketches[0].jaccard(sketches[1]) - jaccard(a, b))
    error = standard_error(30 / 70, n)
    assert np.sqrt(np.mean(np.square(mine))) == pytest.approx(error, rel=0.25)
    assert np.sqrt(np.mean(np.square(theirs))) == pytest.approx(error, rel=0.25)


def test_standard_error_is_that_of_a_share():
    assert standard_error(0.5, 100) == pytest.approx(np.std([0, 1]) / 10)
    assert standard_error(0.0, 10) == standard_error(1.0, 10) == 0


def test_signatures_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"shape \(4,\) and \(8,\)"):
        estimated_jaccard(minhash({"a"}, *orders(4)), minhash({"a"}, *orders(8)))


@settings(deadline=None)
@given(sets)
def test_a_set_is_fully_like_itself(a):
    assert estimated_jaccard(minhash(a, *orders(8)), minhash(set(a), *orders(8))) == 1
