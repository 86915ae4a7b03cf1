"""Lab 05: the numbers that its prose states and no cell prints."""

import math

import pytest

from lablib.corpus.lsh import candidate_probability
from lablib.corpus.minhash import PRIME, standard_error
from lablib.corpus.mixing import GPT3, GPT3_BUDGET, MOST_EPOCHS
from lablib.corpus.quality import GOPHER, GOPHER_REPETITION
from lablib.corpus.quality_classifier import FEATURES
from lablib.corpus.safety import look_alikes, toxic_words, toxicity


def test_what_fineweb_s_bands_find():
    assert candidate_probability(0.69, 14, 8) == pytest.approx(0.5, abs=0.03)
    assert candidate_probability(0.75, 14, 8) == pytest.approx(0.75, abs=0.03)
    assert candidate_probability(0.85, 14, 8) > 0.98


@pytest.mark.parametrize(("b", "r"), [(25, 5), (14, 8), (64, 2)])
def test_about_63_per_cent_are_found_where_the_dashed_line_stands(b, r):
    assert candidate_probability((1 / b) ** (1 / r), b, r) == pytest.approx(0.63, abs=0.02)


def test_the_word_list_finds_what_the_prose_counts():
    listed, sentences = toxic_words(), look_alikes()
    caught = {
        kind: (sum(toxicity(text, listed) > 0 for text in texts), len(texts))
        for kinds in sentences.values()
        for kind, texts in kinds.items()
    }
    assert caught["disguised"] == (8, 12)
    assert caught["threat"] == (2, 12)
    assert caught["plain"] == (0, 16)
    assert caught["identity"][0] == 0
    assert caught["literal"][0] == caught["literal"][1]


def test_fewer_than_a_hundred_sentences_teach_the_classifier():
    assert sum(len(texts[::2]) for kinds in look_alikes().values() for texts in kinds.values()) < 100


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


def test_825_gib_are_886_gb():
    assert round(825 * 2**30 / 1e9) == 886


def test_llama_s_weights_sum_to_one():
    assert math.isclose(67 + 15 + 3 * 4.5 + 2.5 + 2, 100)


def test_webtext_read_2_9_times_is_18_per_cent_and_its_tokens_are_less_than_4():
    row = GPT3["WebText2"]
    assert (row.epochs, row.weight) == (2.9, 0.22)
    assert row.epochs * row.tokens / GPT3_BUDGET == pytest.approx(0.18, abs=0.005)
    assert row.weight * GPT3_BUDGET / row.tokens == pytest.approx(3.5, abs=0.05)
    assert row.tokens / sum(source.tokens for source in GPT3.values()) < 0.04
