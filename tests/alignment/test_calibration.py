"""Calibration: scikit-learn's curve, ECE by brute force, a perfectly calibrated model, an over-sure one, and what is no probability."""

import math
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from lablib.alignment import calibration as cal
from lablib.corpus.scoring import wilson

cases = st.lists(st.tuples(st.floats(0.001, 1), st.booleans()), min_size=1, max_size=60)


@given(rows=cases.filter(lambda rows: len({y for _, y in rows}) == 2), bins=st.integers(1, 12))
def test_the_curve_is_that_of_scikit_learn(rows, bins):
    said, happened = zip(*rows, strict=True)
    shares, means = calibration_curve(happened, said, n_bins=bins, strategy="uniform")
    found = cal.reliability(said, [float(y) for y in happened], np.linspace(0, 1, bins + 1).tolist())
    assert [one.happened for one in found] == pytest.approx(shares.tolist())
    assert [one.said for one in found] == pytest.approx(means.tolist())
    assert sum(one.n for one in found) == len(rows)


def test_bins_have_wilsons_interval():
    (one,) = cal.reliability([0.8] * 10, [1.0] * 7 + [0.0] * 3, [0.5, 1.0])
    assert (one.n, one.said, one.happened) == (10, pytest.approx(0.8), 0.7)
    assert (one.low, one.high) == pytest.approx(wilson(7, 10))


@given(rows=cases, bins=st.integers(1, 6))
def test_ece_by_brute_force(rows, bins):
    said, happened = zip(*rows, strict=True)
    edges = cal.even_edges(bins, 0.0, 1.0)
    expected = 0.0
    for start, end in pairwise(edges):
        inside = [(p, y) for p, y in rows if start < p <= end]
        expected += abs(sum(p for p, _ in inside) - sum(y for _, y in inside)) / len(rows)  # the bin's n cancels
    found = cal.expected_calibration_error(said, [float(y) for y in happened], edges)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 <= found <= 1


def test_what_is_calibrated_lies_within_chance_and_what_is_too_sure_does_not():
    random, edges = Random(0), cal.even_edges(8)
    said = [0.5 + 0.5 * random.random() for _ in range(1500)]
    fair = [float(random.random() < p) for p in said]
    mean, low, high = cal.by_chance(said, edges, Random(1), 200)
    assert 0 < low < mean < high < 0.06
    assert low <= cal.expected_calibration_error(said, fair, edges) <= high
    sure = [
        float(random.random() < 0.5 + (p - 0.5) / 2) for p in said
    ]  # right half as often as it believes, above a coin
    assert cal.expected_calibration_error(said, sure, edges) > 2 * high
    assert cal.by_chance(said[:100], edges, Random(1), 100)[0] > 2 * mean  # fewer cases, more chance
    assert cal.by_chance(said, edges, Random(1), 20) == cal.by_chance(said, edges, Random(1), 20)


def test_confidence_of_pairs():
    chosen, rejected = torch.tensor([2.0, 0.0, 1.0, 0.0]), torch.tensor([0.0, 2.0, 1.0, 900.0])
    said, hits = cal.of_pairs(chosen, rejected)
    assert said == pytest.approx([1 / (1 + math.exp(-2))] * 2 + [0.5, 1.0], abs=1e-5)
    assert hits == [1, 0, 0.5, 0]
    assert cal.of_pairs(rejected, chosen)[0] == said
    assert len(cal.reliability(said, hits, cal.even_edges(10))) == 3


def test_a_case_on_an_edge_is_counted_once():
    found = cal.reliability([0.5, 0.75, 1.0], [1, 1, 1], cal.even_edges(2))
    assert [one.n for one in found] == [2, 1]
    assert cal.even_edges(3, 0.1, 0.9)[-1] == 0.9


@pytest.mark.parametrize(
    ("said", "happened", "edges", "words"),
    [
        ([], [], [0, 1], "0 probabilities and 0 outcomes"),
        ([0.5], [1, 0], [0, 1], "1 probabilities and 2 outcomes"),
        ([0.5, math.nan], [1, 0], [0, 1], r"said\[1\] = nan"),
        ([1.5], [1], [0, 2], r"said\[0\] = 1\.5"),
        ([0.5], [math.nan], [0, 1], r"happened\[0\] = nan"),
        ([0.5], [1], [0.6, 1], "expected all within 0.6 to 1"),
        ([0.5], [1], [1, 0], "each above the one before"),
        ([0.5], [1], [1], "at least two"),
    ],
)
def test_what_is_no_probability_is_named(said, happened, edges, words):
    with pytest.raises(ValueError, match=words):
        cal.reliability(said, happened, edges)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="bins = 0"):
        cal.even_edges(0)
    with pytest.raises(ValueError, match="drawings = 1"):
        cal.by_chance([0.5], [0, 1], Random(0), 1)
    with pytest.raises(ValueError, match="did training diverge"):
        cal.of_pairs(torch.tensor([math.nan]), torch.tensor([0.0]))
