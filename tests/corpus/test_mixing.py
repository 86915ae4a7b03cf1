"""Mixture weights against closed forms and GPT-3's table; the stream against the binomial distribution."""

import math
from itertools import count, islice, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest, chisquare

from lablib.corpus.mixing import (
    GPT3,
    GPT3_BUDGET,
    MOST_EPOCHS,
    capped_weights,
    document_weights,
    epochs,
    mixed,
    mixture_weights,
)

sizes = st.dictionaries(st.sampled_from("abcdef"), st.floats(1e-3, 1e12), min_size=1)


# ------------------------------------------------------------------ weights


@given(sizes, st.floats(0, 3))
def test_weights_are_a_softmax_of_the_log_sizes_at_temperature_one_over_alpha(sizes, alpha):
    expected = softmax(alpha * np.log(list(sizes.values())))
    assert list(mixture_weights(sizes, alpha).values()) == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-300)


@given(sizes)
def test_alpha_one_keeps_the_proportions_and_alpha_zero_treats_all_alike(sizes):
    total = sum(sizes.values())
    assert mixture_weights(sizes) == pytest.approx({name: size / total for name, size in sizes.items()})
    assert mixture_weights(sizes, 0) == pytest.approx(dict.fromkeys(sizes, 1 / len(sizes)))


@given(sizes.filter(lambda sizes: len(sizes) > 1), st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_alpha_never_lowers_the_smallest_source(sizes, first, second):
    low, high = sorted((first, second))
    smallest = min(sizes, key=lambda name: sizes[name])
    assert mixture_weights(sizes, low)[smallest] >= mixture_weights(sizes, high)[smallest] * (1 - 1e-9)


@given(sizes, st.floats(0, 2), st.floats(1e-3, 1e3))
def test_the_unit_of_the_sizes_does_not_matter(sizes, alpha, unit):
    scaled = {name: size * unit for name, size in sizes.items()}
    assert mixture_weights(scaled, alpha) == pytest.approx(mixture_weights(sizes, alpha), rel=1e-9)


def test_sizes_of_any_magnitude_neither_overflow_nor_vanish():
    weights = mixture_weights({"web": 1e300, "wiki": 1e299}, alpha=3)
    assert weights == pytest.approx({"web": 1000 / 1001, "wiki": 1 / 1001})


# ------------------------------------------------------------------ epochs: GPT-3's table


@pytest.mark.parametrize("source", GPT3)
def test_gpt3s_epochs_follow_from_its_sizes_and_weights_but_for_rounding(source):
    """The printed numbers are rounded, sizes to a whole 10⁹ (or two digits), weights to a whole percent: the interval they allow."""
    row = GPT3[source]
    low = (row.weight - 0.005) * GPT3_BUDGET / (row.tokens + 0.5)
    high = (row.weight + 0.005) * GPT3_BUDGET / (row.tokens - 0.5)
    digits = 10.0 ** (math.floor(math.log10(row.epochs)) - 1)
    follows = low - digits / 2 <= row.epochs <= high + digits / 2
    assert follows == (source != "WebText2"), "of the five rows one does not follow from the others' columns"
    found = epochs(
        {name: one.weight for name, one in GPT3.items()}, {name: one.tokens for name, one in GPT3.items()}, GPT3_BUDGET
    )
    assert found[source] == row.weight * GPT3_BUDGET / row.tokens
    assert found["WebText2"] == pytest.approx(3.5, abs=0.05)


def test_gpt3s_printed_weights_sum_to_101_percent():
    assert sum(row.weight for row in GPT3.values()) == pytest.approx(1.01)
    assert len(GPT3) == 5


def test_gpt3s_small_sources_are_lifted_as_no_single_temperature_would():
    """WebText2 is larger than Books1 and Wikipedia and smaller than Books2, and has more than twice the weight of any of them."""
    order = sorted(GPT3, key=lambda name: GPT3[name].tokens)
    assert order == ["Wikipedia", "Books1", "WebText2", "Books2", "Common Crawl (filtered)"]
    assert GPT3["WebText2"].weight > 2 * GPT3["Books2"].weight


@given(sizes, st.floats(0, 1), st.floats(0.1, 1e13))
def test_epochs_times_sizes_are_the_budget(sizes, alpha, budget):
    found = epochs(mixture_weights(sizes, alpha), sizes, budget)
    assert sum(found[name] * sizes[name] for name in sizes) == pytest.approx(budget)


# ------------------------------------------------------------------ the cap


@given(sizes, st.floats(0, 1), st.floats(0.01, 1), st.floats(0.5, 6))
@settings(max_examples=200)
def test_capped_weights_are_the_fixed_point(sizes, alpha, fill, most):
    """No source above its cap, the sum 1, and all sources below their cap lifted by one common factor of at least 1."""
    budget = fill * most * sum(sizes.values())
    weights = mixture_weights(sizes, alpha)
    capped = capped_weights(weights, sizes, budget, most)
    found = epochs(capped, sizes, budget)
    assert sum(capped.values()) == pytest.approx(1)
    assert all(value <= most * (1 + 1e-9) for value in found.values())
    factors = [capped[name] / weights[name] for name in sizes if found[name] < most * (1 - 1e-9)]
    if factors:
        assert max(factors) == pytest.approx(min(factors))
        assert min(factors) >= 1 - 1e-9


def test_a_cap_that_nobody_reaches_changes_nothing():
    weights = {"web": 0.6, "books": 0.4}
    assert capped_weights(weights, {"web": 900, "books": 500}, budget=1_000) == pytest.approx(weights)
    assert MOST_EPOCHS == 4


def test_a_source_of_weight_zero_gets_nothing_of_what_is_cut_off():
    capped = capped_weights({"a": 0.9, "b": 0.1, "c": 0.0}, {"a": 10, "b": 100, "c": 100}, budget=40, most=1)
    assert capped == pytest.approx({"a": 0.25, "b": 0.75, "c": 0.0})


def test_too_little_text_for_the_budget_is_named():
    with pytest.raises(ValueError, match="budget = 1000 is more than 4 epochs of all sources"):
        capped_weights({"a": 1.0}, {"a": 100}, budget=1_000)
    with pytest.raises(ValueError, match="is more than 1 epochs"):
        capped_weights({"a": 1.0, "b": 0.0}, {"a": 10, "b": 1_000}, budget=20, most=1)


# ------------------------------------------------------------------ documents and the stream


@given(sizes, st.floats(1, 1e4), st.data())
def test_documents_drawn_so_give_each_source_its_share_of_the_tokens(sizes, longest, data):
    weights = mixture_weights(sizes, 0.5)
    lengths = {name: data.draw(st.floats(0.5, longest)) for name in sizes}
    chances = document_weights(weights, lengths)
    tokens = {name: chances[name] * lengths[name] for name in sizes}
    assert sum(chances.values()) == pytest.approx(1)
    assert {name: value / sum(tokens.values()) for name, value in tokens.items()} == pytest.approx(weights)


def test_the_stream_draws_by_weight():
    streams = {"web": count(), "books": count(), "wiki": count()}
    weights = {"web": 0.7, "books": 0.25, "wiki": 0.05}
    drawn = [name for name, _ in islice(mixed(streams, weights, np.random.default_rng(0)), 8_000)]
    counts = {name: drawn.count(name) for name in weights}
    assert chisquare(list(counts.values()), [8_000 * weight for weight in weights.values()]).pvalue > 1e-4
    assert {name: next(streams[name]) for name in streams} == counts, "nothing is read ahead"


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(), max_size=8), min_size=1), st.integers(0, 99))
def test_finite_streams_come_out_whole_and_in_their_order(streams, seed):
    drawn = list(mixed(streams, dict.fromkeys(streams, 1.0), np.random.default_rng(seed)))
    for name, items in streams.items():
        assert [item for source, item in drawn if source == name] == items


def test_when_one_stream_ends_the_others_share_its_weight():
    streams = {"short": iter([1]), "a": repeat("a"), "b": repeat("b")}
    drawn = [
        name for name, _ in islice(mixed(streams, {"short": 98.0, "a": 1.5, "b": 0.5}, np.random.default_rng(0)), 4_001)
    ]
    assert drawn.count("short") == 1
    assert binomtest(drawn.count("a"), 4_000, 0.75).pvalue > 1e-4


def test_a_source_of_weight_zero_is_never_read():
    def forbidden():
        raise AssertionError("read")
        yield

    drawn = list(mixed({"a": [1, 2], "never": forbidden()}, {"a": 1.0, "never": 0.0}, np.random.default_rng(0)))
    assert drawn == [("a", 1), ("a", 2)]


def test_wrong_tables_are_named():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="sizes is empty"):
        mixture_weights({})
    for size in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"sizes\['web'\] = .*: expected more than 0"):
            mixture_weights({"web": size})
    for alpha in (-0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"alpha = .*: expected 0 or more"):
            mixture_weights({"web": 1}, alpha)
    with pytest.raises(ValueError, match=r"the weights name \['web'\], the other table \['books'\]"):
        epochs({"web": 1.0}, {"books": 10}, 5)
    with pytest.raises(ValueError, match="expected shares of 0 or more that are not all 0"):
        next(mixed({"a": [1]}, {"a": 0.0}, generator))
    with pytest.raises(ValueError, match="expected shares of 0 or more"):
        next(mixed({"a": [1], "b": [1]}, {"a": 2.0, "b": -1.0}, generator))
    with pytest.raises(ValueError, match=r"mean_lengths\['a'\] = 0"):
        document_weights({"a": 1.0}, {"a": 0})
    for budget, most in ((0.0, 4.0), (10.0, 0.0), (float("nan"), 4.0)):
        with pytest.raises(ValueError, match="expected both above 0"):
            capped_weights({"a": 1.0}, {"a": 10}, budget, most)
    with pytest.raises(ValueError, match="budget = -1: expected more than 0"):
        epochs({"a": 1.0}, {"a": 10}, -1)
