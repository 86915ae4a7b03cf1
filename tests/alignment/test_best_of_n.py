"""Best-of-n: the estimate equals the mean over all sets; the divergence is a bound for answers that can be counted."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rl_helpers import generator, normal, seeds
from torch.distributions import Categorical, kl_divergence

from lablib.alignment.best_of_n import (
    best_of_n_curve,
    best_of_n_kl,
    best_weights,
    exact_best_of_n,
    expected_best,
    pick_best,
)


def by_all_sets(proxy, gold, n):
    """The mean over all sets of n answers of the gold of the one with the best proxy; of equals, their mean gold in the whole."""
    found = []
    for chosen in itertools.combinations(range(len(proxy)), n):
        best = max(proxy[i] for i in chosen)
        ties = [i for i in range(len(proxy)) if proxy[i] == best]
        found.append(sum(gold[i] for i in ties) / len(ties))
    return sum(found) / len(found)


@given(seed=seeds, N=st.integers(1, 7), levels=st.integers(2, 40))
def test_the_estimate_is_the_mean_over_all_sets(seed, N, levels):
    chance = generator(seed)
    proxy = torch.randint(levels, (2, N), generator=chance).double()  # with ties
    gold = normal((2, N), chance)
    for n in range(1, N + 1):
        found = expected_best(proxy, gold, n)
        for row in range(2):
            expected = by_all_sets(proxy[row].tolist(), gold[row].tolist(), n)
            assert found[row].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert torch.allclose(expected_best(proxy, gold, 1), gold.mean(dim=1), atol=1e-6)
    assert torch.allclose(expected_best(proxy, proxy, N), proxy.amax(dim=1))


@given(seed=seeds)
def test_the_order_of_the_answers_does_not_matter_and_the_curve_of_the_proxy_only_rises(seed):
    chance = generator(seed)
    proxy, gold = torch.randint(4, (3, 8), generator=chance).double(), normal((3, 8), chance)
    order = torch.randperm(8, generator=chance)
    for n in (1, 3, 8):
        assert torch.allclose(expected_best(proxy[:, order], gold[:, order], n), expected_best(proxy, gold, n))
    curve = best_of_n_curve(proxy, gold, range(1, 9))
    assert all(a.proxy <= b.proxy + 1e-6 and a.kl < b.kl for a, b in itertools.pairwise(curve))
    assert curve[-1].gold == pytest.approx(expected_best(proxy, gold, 8).mean().item(), rel=1e-6)


def test_it_is_unbiased():
    """Against drawing n answers and keeping the best, from a policy whose best-of-n is known exactly."""
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    proxy, gold = torch.tensor([0.0, 1.0, 2.0, 3.0]).double(), torch.tensor([0.1, 0.9, 0.6, 0.2]).double()
    drawn = torch.multinomial(probabilities, 20_000 * 6, replacement=True, generator=generator()).view(-1, 6)
    for n in (1, 2, 4):
        found = expected_best(proxy[drawn], gold[drawn], n)
        expected = (exact_best_of_n(probabilities, proxy, n) * gold).sum().item()
        assert found.mean().item() == pytest.approx(expected, abs=4 * found.std().item() / len(drawn) ** 0.5)


@given(seed=seeds, V=st.integers(2, 6), n=st.integers(1, 4))
@settings(max_examples=40)
def test_the_policy_of_best_of_n_is_that_of_enumeration(seed, V, n):
    chance = generator(seed)
    p = normal((V,), chance).softmax(dim=-1)
    scores = torch.randint(4, (V,), generator=chance).double()
    expected = torch.zeros(V, dtype=torch.float64)
    for draw in itertools.product(range(V), repeat=n):
        best = max(scores[i].item() for i in draw)
        winners = [i for i in draw if scores[i] == best]
        for i in winners:
            expected[i] += math.prod(p[j].item() for j in draw) / len(winners)
    assert torch.allclose(exact_best_of_n(p, scores, n), expected, atol=1e-9)


@given(seed=seeds, V=st.integers(2, 40), n=st.integers(1, 64))
def test_its_divergence_is_at_most_the_formulas(seed, V, n):
    chance = generator(seed)
    p = (3 * normal((V,), chance)).softmax(dim=-1)
    best = exact_best_of_n(p, normal((V,), chance), n)
    assert best.sum().item() == pytest.approx(1)
    kl = kl_divergence(Categorical(probs=best), Categorical(probs=p)).item()
    assert -1e-9 <= kl <= best_of_n_kl(n) + 1e-9


def test_the_bound_is_reached_by_many_answers_and_far_off_for_a_policy_that_is_sure():
    def kl(p, n):
        best = exact_best_of_n(p, torch.arange(len(p)).double(), n)
        return kl_divergence(Categorical(probs=best), Categorical(probs=p)).item()

    many = torch.full((2000,), 1 / 2000, dtype=torch.float64)
    sure = torch.tensor([1 - 1e-6, 1e-6], dtype=torch.float64)
    assert kl(many, 16) == pytest.approx(best_of_n_kl(16), rel=1e-2)
    assert kl(sure, 16) < 1e-3 < best_of_n_kl(16)


def test_weights_by_hand_and_large_ones_do_not_overflow():
    assert best_weights(4, 4).tolist() == [0, 0, 0, 1]
    assert best_weights(4, 1).tolist() == [0.25] * 4
    large = best_weights(2000, 700)
    assert large.sum().item() == pytest.approx(1, abs=1e-4)
    assert large.isfinite().all()


def test_picking_and_errors():
    assert pick_best(torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]])).tolist() == [1, 0]
    table = torch.zeros(2, 3)
    for n in (0, 4):
        with pytest.raises(ValueError, match=f"n = {n}: expected 1 to N = 3"):
            expected_best(table, table, n)
    bad = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, torch.nan]])
    with pytest.raises(ValueError, match=r"proxy\[1, 2\] = nan"):
        expected_best(bad, table, 1)
    with pytest.raises(ValueError, match=r"gold has shape \(2, 2\)"):
        expected_best(table, table[:, :2], 1)
    with pytest.raises(ValueError, match=r"scores has shape \(3,\)"):
        pick_best(table[0])
    with pytest.raises(ValueError, match="n = 0"):
        best_of_n_kl(0)
