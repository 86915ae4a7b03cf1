"""The derivation of DPO where all of it can be enumerated: the optimum, the minimum of the loss, the collapse and the displacement."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.alignment.bandit import (
    chosen_moves,
    dpo_solution,
    ipo_optimum,
    ipo_solution,
    log_partition,
    objective,
    optimal_policy,
    population_loss,
    preferences,
)
from lablib.alignment.dpo_loss import dpo_loss, implicit_reward

REFERENCE = torch.tensor([0.5, 0.3, 0.15, 0.05])
REWARD = torch.tensor([0.0, 1.0, 2.0, -1.0])
BETA = st.floats(0.1, 3)


@st.composite
def bandits(draw):
    K = draw(st.integers(2, 6))
    weights = torch.tensor(draw(st.lists(st.floats(0.05, 1), min_size=K, max_size=K)), dtype=torch.float64)
    reward = torch.tensor(draw(st.lists(st.floats(-2, 2), min_size=K, max_size=K)), dtype=torch.float64)
    return weights / weights.sum(), reward


@settings(max_examples=50, deadline=None)
@given(bandit=bandits(), beta=BETA, seed=st.integers(0, 99))
def test_no_policy_is_better_than_the_closed_form(bandit, beta, seed):
    reference, reward = bandit
    best = optimal_policy(reference, reward, beta)
    top = objective(best, reference, reward, beta)
    assert top == pytest.approx(beta * log_partition(reference, reward, beta), rel=1e-9, abs=1e-12)
    other = torch.rand(len(reward), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    other = other / other.sum()
    lost = beta * float((other * (other / best).log()).sum())  # J(π*) − J(π) = β KL(π ‖ π*)
    assert objective(other, reference, reward, beta) == pytest.approx(top - lost, rel=1e-9, abs=1e-9)
    assert lost > 0


@settings(max_examples=25, deadline=None)
@given(bandit=bandits(), beta=BETA)
def test_the_minimum_of_dpos_loss_is_the_policy_that_rlhf_looks_for(bandit, beta):
    reference, reward = bandit
    found = dpo_solution(reference, preferences(reward), beta)
    torch.testing.assert_close(found, optimal_policy(reference, reward, beta), rtol=1e-3, atol=1e-6)


def test_for_the_bandit_of_the_lab_to_six_digits_and_its_implicit_reward_is_the_reward():
    best = optimal_policy(REFERENCE, REWARD, 0.5)
    found = dpo_solution(REFERENCE, preferences(REWARD), 0.5)
    torch.testing.assert_close(found, best, rtol=1e-5, atol=0)
    implied = implicit_reward(found.log(), REFERENCE.double().log(), 0.5)
    shifted = implied - implied[0]
    torch.testing.assert_close(shifted, REWARD.double() - REWARD[0], rtol=1e-4, atol=1e-5)
    assert float((found - REFERENCE).abs().max()) > 0.3, "it did move"


def test_it_is_a_minimum_in_every_direction():
    log_reference, best = REFERENCE.double().log(), optimal_policy(REFERENCE, REWARD, 0.5).log()
    loss = lambda log_policy: population_loss(  # noqa: E731
        log_policy, log_reference, preferences(REWARD), lambda *four: dpo_loss(*four, beta=0.5)
    ).item()
    least = loss(best)
    for seed in range(20):
        step = torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 10
        assert loss((best + step).log_softmax(dim=0)) > least + 1e-6


def test_without_doubt_dpo_drives_the_losers_to_zero_whatever_beta_and_ipo_does_not():
    always = torch.tensor([[0.5, 1.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.5]])
    reference = torch.full((3,), 1 / 3)
    for strength in (0.1, 1.0):
        few, many = (dpo_solution(reference, always, strength, steps) for steps in (5, 500))
        assert many[2] < 1e-4
        assert many[2] < few[2]
        stays = ipo_solution(reference, always, strength)
        torch.testing.assert_close(stays, ipo_optimum(reference, always, strength), rtol=1e-5, atol=1e-12)
        most = math.exp(-(5 / 6 - 1 / 6) / strength)  # w of the best and the worst, a tie with oneself counts half
        assert (stays[2] / stays[0]).item() == pytest.approx(most, rel=1e-6)
    assert ipo_solution(reference, always, 1.0)[2] > 0.2, "the pull to the reference is still there"


@settings(max_examples=25, deadline=None)
@given(bandit=bandits(), tau=st.floats(0.2, 3))
def test_ipo_finds_its_closed_form(bandit, tau):
    reference, reward = bandit
    wins = preferences(reward)
    torch.testing.assert_close(
        ipo_solution(reference, wins, tau), ipo_optimum(reference, wins, tau), rtol=1e-4, atol=1e-7
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999))
def test_how_fast_the_two_move_is_what_a_small_step_of_dpo_does(seed):
    chance = torch.Generator().manual_seed(seed)
    features = torch.randn(5, 3, generator=chance, dtype=torch.float64)
    weights = torch.randn(3, generator=chance, dtype=torch.float64).requires_grad_()
    log_policy = lambda w: (features @ w).log_softmax(dim=0)  # noqa: E731
    reference = log_policy(weights).detach()
    now, beta, step = log_policy(weights), 0.7, 1e-6
    dpo_loss(now[:1], now[1:2], reference[:1], reference[1:2], beta=beta).backward()
    moved = log_policy((weights - step * weights.grad).detach())
    expected = chosen_moves(features, weights.detach(), 0, 1)
    scale = step * beta / 2  # σ(−βh) is 1/2 at the reference
    for k in (0, 1):
        assert ((moved - now.detach())[k] / scale).item() == pytest.approx(expected[k], rel=1e-3, abs=1e-4)
    gap = features[0] - features[1]
    assert expected[0] - expected[1] == pytest.approx((gap @ gap).item(), rel=1e-9)


def test_the_chosen_one_falls_where_it_is_like_the_rejected_one_and_rises_in_a_table():
    # "No, I will not." against "No, I won't help.", and a third answer that has what sets the chosen one apart, twice over
    features = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]])
    up, down = chosen_moves(features, torch.zeros(2), 0, 1)
    assert up < 0, "the chosen one falls"
    assert down < up, "the rejected one falls faster"
    for K in (2, 3, 7):
        chance = torch.Generator().manual_seed(K)
        assert chosen_moves(torch.eye(K), torch.randn(K, generator=chance), 0, 1)[0] > 0


@pytest.mark.parametrize(
    ("reference", "reward", "beta", "message"),
    [
        ([0.5, 0.4], [0.0, 1.0], 1.0, r"reference = .*expected probabilities that sum to 1"),
        ([0.5, 0.5], [0.0, math.nan], 1.0, r"reward = \[0.0, nan\]: expected finite numbers"),
        ([0.5, 0.5], [0.0], 1.0, r"reference has shape \(2,\) and the other \(1,\): expected \(K,\)"),
        ([0.5, 0.5], [0.0, 1.0], 0.0, r"beta = 0.0: expected a finite number > 0"),
    ],
)
def test_what_is_no_bandit_is_refused(reference, reward, beta, message):
    with pytest.raises(ValueError, match=message):
        optimal_policy(torch.tensor(reference), torch.tensor(reward), beta)


def test_equal_rewards_leave_the_reference_as_it_is():
    same = torch.full((4,), 3.0)
    torch.testing.assert_close(optimal_policy(REFERENCE, same, 0.3), REFERENCE.double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        dpo_solution(REFERENCE, preferences(same), 0.3), REFERENCE.double(), rtol=1e-6, atol=1e-9
    )


def test_features_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"features has shape \(3, 2\) and weights \(3,\)"):
        chosen_moves(torch.zeros(3, 2), torch.zeros(3), 0, 1)
