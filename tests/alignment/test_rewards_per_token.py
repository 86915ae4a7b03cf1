"""From scores to rewards: sums, trl's formula, mitigations by hand, and the controller of β."""

import math

import pytest
import torch
import trl_formulas as trl
from hypothesis import given
from hypothesis import strategies as st
from rl_helpers import junk, normal, seeds, tokens, widened

from lablib.alignment.adaptive_kl import KLTarget, next_beta
from lablib.alignment.kl import k1
from lablib.alignment.rewards_per_token import (
    ensemble,
    last_token,
    penalise_length,
    penalise_unfinished,
    rewards_per_token,
    scaled,
)

betas = st.floats(0, 3)


@given(seed=seeds, beta=betas)
def test_rewards_are_trls_and_sum_to_score_minus_beta_times_the_kl_of_the_answer(seed, beta):
    chance, mask = tokens(seed)
    policy, reference = (-normal(mask.shape, chance).abs() for _ in range(2))
    scores = normal((len(mask),), chance)
    found = rewards_per_token(scores, k1(policy, reference), mask, beta)
    assert torch.allclose(found, trl.rewards(scores, policy, reference, mask.double(), beta), atol=1e-9)
    of_answer = ((policy - reference) * mask).sum(dim=1)
    assert torch.allclose(found.sum(dim=1), scores - beta * of_answer, atol=1e-9)


@given(seed=seeds, value=st.sampled_from([4.0, float("nan"), float("-inf")]), right=st.integers(0, 3))
def test_padding_changes_nothing(seed, value, right):
    chance, mask = tokens(seed)
    kl, scores = normal(mask.shape, chance), normal((len(mask),), chance)
    wide_mask = widened(mask, 2, right, False)
    found = rewards_per_token(scores, widened(junk(kl, mask, value), 2, right, value), wide_mask, 0.5)
    assert torch.equal(found, widened(rewards_per_token(scores, kl, mask, 0.5), 2, right, 0.0))
    assert torch.equal(last_token(wide_mask), widened(last_token(mask), 2, right, False))


@given(seed=seeds)
def test_each_answer_has_one_last_token(seed):
    _, mask = tokens(seed)
    found = last_token(mask)
    for row, counts in enumerate(mask):
        assert found[row].nonzero()[:, 0].tolist() == [int(counts.nonzero()[-1])]
    assert not last_token(torch.zeros(1, 3, dtype=torch.bool)).any()


def test_an_empty_answer_gets_no_reward_and_no_gradient_passes():
    mask = torch.tensor([[False, False], [True, True]])
    scores = torch.tensor([5.0, 5.0], requires_grad=True)
    found = rewards_per_token(scores, torch.ones(2, 2), mask, 1.0)
    assert found.tolist() == [[0.0, 0.0], [-1.0, 4.0]]
    assert not found.requires_grad


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_named(bad):
    with pytest.raises(ValueError, match=rf"scores\[1\] = {bad} \(1 of 3 are not finite\)"):
        rewards_per_token(torch.tensor([0.0, bad, 1.0]), torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool), 0.1)
    with pytest.raises(ValueError, match=r"scores\[0\]"):
        scaled(torch.tensor([bad]))


def test_other_errors():
    mask = torch.ones(3, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"scores has shape \(2,\): expected \(3,\)"):
        rewards_per_token(torch.zeros(2), torch.zeros(3, 2), mask, 0.1)
    for beta in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=f"beta = {beta}"):
            rewards_per_token(torch.zeros(3), torch.zeros(3, 2), mask, beta)


# ---------------------------------------------------------------- what is done to scores


@given(seed=seeds, shift=st.floats(-5, 5), factor=st.floats(0.5, 5))
def test_centred_scores_forget_the_zero_and_whitened_ones_the_unit(seed, shift, factor):
    chance, _ = tokens(seed)
    scores = normal((6,), chance)
    assert torch.allclose(scaled(scores + shift), scaled(scores), atol=1e-9)
    assert torch.allclose(scaled(factor * scores + shift, "whitened"), scaled(scores, "whitened"), atol=1e-6)
    assert torch.allclose(scaled(scores, "whitened"), (scores - scores.mean()) / scores.std(correction=0), atol=1e-6)
    assert torch.equal(scaled(scores, "raw"), scores)


@given(value=st.floats(-1e3, 1e3, width=32), n=st.integers(1, 50), how=st.sampled_from(["centred", "whitened"]))
def test_scores_that_are_all_alike_become_exactly_zero(value, n, how):
    assert not scaled(torch.full((n,), value), how).any()


def test_penalties_by_hand():
    scores = torch.tensor([1.0, 2.0, 3.0])
    found = penalise_unfinished(scores, torch.tensor([True, False, True]), 0.5)
    assert found.tolist() == [1.0, 1.5, 3.0]
    lengths = torch.tensor([0, 10, 25])
    assert penalise_length(scores, lengths, 0.1, free=10).tolist() == pytest.approx([1.0, 2.0, 1.5])
    assert torch.equal(penalise_length(scores, lengths, 0.0), scores)
    with pytest.raises(ValueError, match=r"finished is torch\.int64"):
        penalise_unfinished(scores, torch.tensor([1, 0, 1]), 0.5)
    with pytest.raises(ValueError, match=r"penalty = -1\.0"):
        penalise_unfinished(scores, torch.ones(3, dtype=torch.bool), -1.0)
    with pytest.raises(ValueError, match=r"per_token = -0\.1"):
        penalise_length(scores, lengths, -0.1)


@given(seed=seeds, M=st.integers(1, 5), weight=st.floats(0, 3))
def test_ensembles(seed, M, weight):
    chance, _ = tokens(seed)
    scores = normal((M, 7), chance)
    mean, low = ensemble(scores), ensemble(scores, "min")
    careful = ensemble(scores, "mean-std", weight)
    for n in range(7):
        column = scores[:, n].tolist()
        middle = sum(column) / M
        assert mean[n].item() == pytest.approx(middle)
        assert low[n].item() == min(column)
        spread = math.sqrt(sum((x - middle) ** 2 for x in column) / M)
        assert careful[n].item() == pytest.approx(middle - weight * spread, abs=1e-9)
    assert bool((low <= mean + 1e-12).all())
    alike = scores[:1].expand(M, 7)
    for how in ("mean", "min", "mean-std"):
        assert torch.allclose(ensemble(alike, how, weight), scores[0]), "models that agree are believed"


def test_ensemble_errors():
    with pytest.raises(ValueError, match=r"scores has shape \(3,\): expected \(M, N\)"):
        ensemble(torch.zeros(3))
    with pytest.raises(ValueError, match=r"how = 'max'.*mean, min, mean-std"):
        ensemble(torch.zeros(2, 3), "max")


# ---------------------------------------------------------------- the controller


def test_the_controller_follows_the_paper_by_hand():
    aim = KLTarget(target=4.0)
    assert next_beta(0.5, 4.0, aim) == 0.5
    assert next_beta(0.5, 4.4, aim) == pytest.approx(0.5 * (1 + 0.1 * 0.1))
    assert next_beta(0.5, 400.0, aim) == pytest.approx(0.5 * 1.02), "the error is cut at 20 %"
    assert next_beta(0.5, -3.0, aim) == pytest.approx(0.5 * 0.98)


@given(start=st.floats(0.01, 10), target=st.floats(1, 20), gain=st.floats(5, 50))
def test_it_finds_the_beta_that_holds_the_target(start, target, gain):
    """A policy whose KL is gain / β, as that of a Gaussian is, gets there from any start."""
    beta, aim = start, KLTarget(target, rate=0.5)
    for _ in range(200):
        beta = next_beta(beta, gain / beta, aim)
    assert gain / beta == pytest.approx(target, rel=0.05)


def test_controller_errors():
    with pytest.raises(ValueError, match=r"target = 0\.0: expected a number > 0"):
        KLTarget(0.0)
    with pytest.raises(ValueError, match="below 1"):
        KLTarget(1.0, rate=5.0)
    for beta, kl in ((0.0, 1.0), (0.1, float("nan"))):
        with pytest.raises(ValueError, match=f"beta = {beta}, kl = {kl}"):
            next_beta(beta, kl, KLTarget(1.0))
