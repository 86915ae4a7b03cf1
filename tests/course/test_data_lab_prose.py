"""Lab 05: the numbers that its prose states and no cell prints."""

import math

import pytest

from lablib.corpus.lsh import candidate_probability
from lablib.corpus.minhash import PRIME, standard_error
from lablib.corpus.mixing import GPT3, GPT3_BUDGET, MOST_EPOCHS
from lablib.corpus.quality import GOPHER, GOPHER_REPETITION
from lablib.corpus.quality_classifier import FEATURES


def test_fineweb_leaves_out_half_of_the_pairs_at_0_69():
    assert candidate_probability(0.69, 14, 8) == pytest.approx(0.5, abs=0.03)


def test_128_orders_have_a_standard_deviation_of_at_most_0_044():
    assert max(standard_error(s / 100, 128) for s in range(101)) == pytest.approx(0.044, abs=5e-4)


def test_a_billion_documents_have_5e17_pairs():
    assert math.comb(10**9, 2) == pytest.approx(5e17, rel=1e-6)


def test_two_of_a_billion_texts_share_a_key_with_probability_below_2_to_the_minus_68():
    assert math.comb(10**9, 2) / 2**128 < 2**-68


def test_the_largest_product_of_minhash_fits_into_62_bits():
    assert ((PRIME - 1) * (PRIME - 1) + PRIME - 1).bit_length() == 62


def test_the_bounds_and_sizes_that_are_named():
    bounds = {rule.name: rule for rule in (*GOPHER, *GOPHER_REPETITION)}
    assert bounds["duplicate lines"].high == 0.30
    assert bounds["word count"].low == 50
    assert FEATURES.buckets == 65_536
    assert MOST_EPOCHS == 4


def test_webtext_read_2_9_times_is_18_per_cent_and_its_tokens_are_less_than_4():
    row = GPT3["WebText2"]
    assert (row.epochs, row.weight) == (2.9, 0.22)
    assert row.epochs * row.tokens / GPT3_BUDGET == pytest.approx(0.18, abs=0.005)
    assert row.tokens / sum(source.tokens for source in GPT3.values()) < 0.04
