"""Sampling: equal to `transformers`' warpers and torch.distributions, and what must hold for any logits."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from lablib.pretraining.sampling import (
    Sampling,
    check_logits,
    draw,
    entropy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    scale_by_temperature,
)

NO_IDS = torch.zeros(1, 0, dtype=torch.long)


def some_logits(B=6, V=200, seed=0, scale=2.5):
    return scale * torch.randn(B, V, generator=torch.Generator().manual_seed(seed))


numbers = st.floats(-20, 20, allow_nan=False, width=32)
rows = st.integers(1, 12).flatmap(
    lambda V: st.lists(st.lists(numbers, min_size=V, max_size=V), min_size=1, max_size=4).map(torch.tensor)
)


def kept(logits):
    return logits > -torch.inf


# ---------------------------------------------------------------- against transformers and torch


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 3.0])
def test_temperature_is_that_of_transformers(temperature, seed):
    logits = some_logits(seed=seed)
    assert torch.equal(scale_by_temperature(logits, temperature), TemperatureLogitsWarper(temperature)(NO_IDS, logits))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 2, 17, 199, 200, 1000])
def test_top_k_is_that_of_transformers(k, seed):
    logits = some_logits(seed=seed)
    logits[0, :100] = logits[0, 7]  # a tie that k = 17 cuts through, if it is high enough
    assert torch.equal(keep_top_k(logits, k), TopKLogitsWarper(k)(NO_IDS, logits))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9, 0.95, 0.999])
def test_top_p_is_that_of_transformers(p, seed):
    logits = some_logits(seed=seed)
    ours = keep_top_p(logits, p)
    assert torch.equal(ours, TopPLogitsWarper(p)(NO_IDS, logits))
    assert 0 < kept(ours).sum() < logits.numel()


@pytest.mark.parametrize("min_p", [0.001, 0.05, 0.5])
def test_min_p_is_that_of_transformers(min_p):
    logits = some_logits()
    ours = keep_min_p(logits, min_p)
    assert torch.equal(ours, MinPLogitsWarper(min_p)(NO_IDS, logits))
    assert kept(ours).sum() < logits.numel()


def test_all_together_are_those_of_transformers_in_its_order():
    logits = some_logits()
    ours = Sampling(temperature=1.4, top_k=60, top_p=0.8, min_p=0.05).logits(logits)
    theirs = logits
    for warper in (TemperatureLogitsWarper(1.4), TopKLogitsWarper(60), TopPLogitsWarper(0.8), MinPLogitsWarper(0.05)):
        theirs = warper(NO_IDS, theirs)
    assert torch.equal(ours, theirs)
    other_order = keep_top_p(keep_top_k(logits, 60), 0.8)
    assert not torch.equal(kept(ours), kept(other_order))  # so the order is seen by this test


def test_entropy_is_that_of_torch():
    logits = some_logits()
    torch.testing.assert_close(
        entropy(logits), torch.distributions.Categorical(logits=logits).entropy(), rtol=1e-5, atol=1e-6
    )
    assert entropy(logits).min() > 0.5
    assert torch.equal(entropy(torch.tensor([[3.0, -torch.inf, -torch.inf]])), torch.zeros(1))


def test_draw_has_the_frequencies_of_the_distribution():
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.0, 0.125]]).log()
    n = 200_000
    ids = draw(logits.expand(n, 5), torch.rand(n, generator=torch.Generator().manual_seed(0)))
    found = ids.bincount(minlength=5) / n
    expected = logits.exp()[0]
    error = (expected * (1 - expected) / n).sqrt()
    assert ((found - expected).abs() <= 4 * error).all()
    assert found[3] == 0


@pytest.mark.parametrize("chance", [0.0, 0.5, 1 - 2**-24])
def test_draw_never_takes_what_has_no_chance(chance):
    logits = torch.full((1, 1000), -torch.inf)
    logits[0, [3, 500]] = torch.tensor([0.3, -2.0])
    assert int(draw(logits, torch.tensor([chance]))) in (3, 500)
    assert int(draw(logits, torch.tensor([0.0]))) == 3
    assert int(draw(logits, torch.tensor([1 - 2**-24]))) == 500


# ---------------------------------------------------------------- properties


@settings(max_examples=60, deadline=None)
@given(logits=rows, k=st.integers(1, 15), p=st.floats(0.01, 1), min_p=st.floats(0, 1), T=st.floats(0.05, 20))
def test_never_empty_and_only_cut(logits, k, p, min_p, T):
    for shaped in (keep_top_k(logits, k), keep_top_p(logits, p), keep_min_p(logits, min_p)):
        stays = kept(shaped)
        assert stays.any(dim=-1).all()
        assert stays.gather(-1, logits.argmax(-1, keepdim=True)).all()  # the likeliest is always in
        assert torch.equal(shaped[stays], logits[stays])
    check_logits(Sampling(T, k, p, min_p).logits(logits))


@settings(max_examples=60, deadline=None)
@given(logits=rows, p=st.floats(0.01, 0.99))
@example(logits=torch.ones(1, 8), p=0.5)
def test_the_nucleus_is_the_smallest_set(logits, p):
    probabilities = logits.double().softmax(-1)
    for row, stays in zip(probabilities, kept(keep_top_p(logits.double(), p)), strict=True):
        n = int(stays.sum())
        ranked = row.sort(descending=True).values
        assert torch.equal(row[stays].sort(descending=True).values, ranked[:n])
        assert ranked[:n].sum() >= p - 1e-9
        assert n == 1 or ranked[: n - 1].sum() < p + 1e-9


@settings(max_examples=60, deadline=None)
@given(logits=rows, shift=st.floats(-5, 5), k=st.integers(1, 6))
def test_a_shift_changes_nothing(logits, shift, k):
    logits = (logits * 8).round() / 8  # so that the shift is exact
    shift = round(shift * 8) / 8
    assert torch.equal(kept(keep_top_k(logits + shift, k)), kept(keep_top_k(logits, k)))
    assert torch.equal(kept(keep_min_p(logits + shift, 0.3)), kept(keep_min_p(logits, 0.3)))
    assert torch.equal(kept(keep_top_p(logits + shift, 0.7)), kept(keep_top_p(logits, 0.7)))
    torch.testing.assert_close(entropy(logits + shift), entropy(logits), rtol=1e-4, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    logits=rows,
    ps=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    ks=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_supports_grow_with_p_and_k(logits, ps, ks):
    small, large = sorted(ps)
    assert (kept(keep_top_p(logits, small)) <= kept(keep_top_p(logits, large))).all()
    small_k, large_k = sorted(ks)
    assert (kept(keep_top_k(logits, small_k)) <= kept(keep_top_k(logits, large_k))).all()
    assert (kept(keep_min_p(logits, large)) <= kept(keep_min_p(logits, small))).all()


@settings(max_examples=40, deadline=None)
@given(logits=rows)
def test_what_changes_nothing(logits):
    V = logits.shape[-1]
    for same in (
        scale_by_temperature(logits, 1.0),
        keep_top_k(logits, V),
        keep_top_k(logits, V + 5),
        keep_top_p(logits, 1.0),
        keep_min_p(logits, 0.0),
        Sampling().logits(logits),
    ):
        assert torch.equal(same, logits)
    assert Sampling().plain
    assert not Sampling(top_k=V).plain


@settings(max_examples=40, deadline=None)
@given(logits=rows, chance=st.floats(0, 0.99))
def test_temperature_towards_0_is_greedy(logits, chance):
    logits = (logits * 8).round() / 8
    best = logits.amax(-1, keepdim=True)
    one_best = (logits == best).sum(-1) == 1
    drawn = draw(scale_by_temperature(logits, 1e-3), torch.full((len(logits),), chance))
    assert torch.equal(drawn[one_best], logits.argmax(-1)[one_best])


@settings(max_examples=30, deadline=None)
@given(logits=rows, temperatures=st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)))
def test_entropy_grows_with_temperature(logits, temperatures):
    cold, hot = sorted(temperatures)
    low, high = (entropy(scale_by_temperature(logits.double(), T)) for T in (cold, hot))
    assert (low <= high + 1e-9).all()
    assert (high <= math.log(logits.shape[-1]) + 1e-9).all()


# ---------------------------------------------------------------- errors

ROW = torch.tensor([[0.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: scale_by_temperature(ROW, 0), ["temperature = 0", "argmax"]),
        (lambda: scale_by_temperature(ROW, -2.0), ["temperature = -2.0", "> 0"]),
        (lambda: scale_by_temperature(ROW, math.nan), ["temperature = nan"]),
        (lambda: scale_by_temperature(ROW, math.inf), ["temperature = inf"]),
        (lambda: keep_top_k(ROW, 0), ["k = 0", ">= 1"]),
        (lambda: keep_top_p(ROW, 0.0), ["p = 0.0", "above 0"]),
        (lambda: keep_top_p(ROW, 90), ["p = 90", "at most 1"]),
        (lambda: keep_top_p(ROW, math.nan), ["p = nan"]),
        (lambda: keep_min_p(ROW, 1.5), ["min_p = 1.5", "0 to 1"]),
        (lambda: Sampling(temperature=0), ["temperature = 0", "sampling=None"]),
        (lambda: Sampling(top_k=0), ["k = 0"]),
        (lambda: Sampling(top_p=1.2), ["p = 1.2"]),
        (lambda: Sampling(min_p=-0.1), ["min_p = -0.1"]),
        (lambda: check_logits(torch.tensor([[0.0, 1.0], [math.nan, 0.0]])), ["row 1", "nan", "weights"]),
        (lambda: check_logits(torch.tensor([[0.0, math.inf]])), ["row 0", "inf"]),
        (lambda: check_logits(torch.full((1, 3), -math.inf)), ["row 0", "no token left"]),
        (lambda: check_logits(torch.zeros(2, 3, 4)), ["(2, 3, 4)", "[:, -1]"]),
    ],
)
def test_errors_name_the_argument_and_the_fix(call, words):
    with pytest.raises(ValueError, match=r".") as caught:
        call()
    for word in words:
        assert word in str(caught.value)
