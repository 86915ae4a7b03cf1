"""GAE and returns: equal to the sums that define them, to trl, and blind to padding."""

import pytest
import torch
import trl_formulas as trl
from hypothesis import given
from hypothesis import strategies as st
from rl_helpers import junk, normal, seeds, tokens, widened

from lablib.alignment.advantages import discounted_returns, gae, returns_of

shares = st.floats(0, 1)


def brute_force(rewards, values, mask, gamma, lam):
    """Equation 16 of Schulman et al. 2016, summed up anew for every token of every answer."""
    found = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        places = mask[row].nonzero()[:, 0].tolist()
        r, v = rewards[row, places].tolist(), [*values[row, places].tolist(), 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(r))]
        for t, place in enumerate(places):
            found[row, place] = sum((gamma * lam) ** k * deltas[t + k] for k in range(len(r) - t))
    return found


@given(seed=seeds, gamma=shares, lam=shares)
def test_it_is_the_sum_that_defines_it(seed, gamma, lam):
    chance, mask = tokens(seed)
    rewards, values = normal(mask.shape, chance), normal(mask.shape, chance)
    found = gae(rewards, values, mask, gamma, lam)
    assert torch.allclose(found, brute_force(rewards, values, mask, gamma, lam), atol=1e-9)
    assert float(found.abs().max()) > 1e-3
    assert not found[~mask].any()
    assert torch.allclose(returns_of(found, values, mask), (found + values).where(mask, 0.0))


@given(seed=seeds, gamma=shares)
def test_with_lambda_one_it_is_the_rewards_to_come_minus_the_value_and_with_zero_one_surprise(seed, gamma):
    chance, mask = tokens(seed)
    rewards, values = normal(mask.shape, chance), normal(mask.shape, chance)
    to_come = torch.zeros_like(rewards)
    for row, counts in enumerate(mask):
        places = counts.nonzero()[:, 0].tolist()
        for i, place in enumerate(places):
            to_come[row, place] = sum(gamma**k * rewards[row, later] for k, later in enumerate(places[i:]))
    assert torch.allclose(discounted_returns(rewards, mask, gamma), to_come, atol=1e-9)
    one = gae(rewards, values, mask, gamma, lam=1.0)
    assert torch.allclose(one, (to_come - values).where(mask, 0.0), atol=1e-9)
    assert torch.allclose(returns_of(one, values, mask), to_come, atol=1e-9), "the critic's guess has cancelled"
    zero = gae(rewards, values, mask, gamma, lam=0.0)
    assert torch.allclose(zero, brute_force(rewards, values, mask, gamma, 0.0), atol=1e-9)


@given(seed=seeds, gamma=shares, lam=shares)
def test_a_critic_that_knows_everything_leaves_no_advantage(seed, gamma, lam):
    chance, mask = tokens(seed)
    rewards = normal(mask.shape, chance)
    values = discounted_returns(rewards, mask, gamma)
    assert float(values.abs().max()) > 1e-3
    assert float(gae(rewards, values, mask, gamma, lam).abs().max()) < 1e-9


@given(seed=seeds, gamma=shares, lam=shares)
def test_it_is_trls_on_answers_that_begin_at_the_first_place(seed, gamma, lam):
    chance, _ = tokens(seed)
    lengths = torch.randint(1, 8, (4, 1), generator=chance)
    mask = torch.arange(7) < lengths
    rewards, values = (normal(mask.shape, chance).where(mask, 0.0) for _ in range(2))
    ours, theirs = gae(rewards, values, mask, gamma, lam), trl.gae(rewards, values, gamma, lam)
    assert torch.allclose(ours[mask], theirs[mask], atol=1e-9)


@given(
    seed=seeds, gamma=shares, lam=shares, left=st.integers(0, 3), right=st.integers(0, 3),
    value=st.sampled_from([9.0, -1e9, float("nan"), float("inf")]),
)  # fmt: skip
def test_padding_on_either_side_changes_nothing_whatever_it_holds(seed, gamma, lam, left, right, value):
    chance, mask = tokens(seed)
    rewards, values = normal(mask.shape, chance), normal(mask.shape, chance)
    narrow = gae(rewards, values, mask, gamma, lam)
    wide = [widened(junk(x, mask, value), left, right, value) for x in (rewards, values)]
    found = gae(*wide, widened(mask, left, right, False), gamma, lam)
    assert torch.equal(found, widened(narrow, left, right, 0.0))


def test_a_hole_in_the_mask_is_skipped():
    rewards, values = torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[0.5, 7.0, 0.25]])
    mask = torch.tensor([[True, False, True]])
    found = gae(rewards, values, mask, 0.5, 0.5)
    together = gae(rewards[:, [0, 2]], values[:, [0, 2]], mask[:, [0, 2]], 0.5, 0.5)
    assert torch.equal(found[:, [0, 2]], together)


def test_no_gradient_passes_through_and_an_empty_answer_has_none():
    values = torch.full((2, 3), 0.5, requires_grad=True)
    mask = torch.tensor([[True, True, True], [False] * 3])
    found = gae(torch.ones(2, 3), values, mask)
    assert not found.requires_grad
    assert found[0].all()
    assert not found[1].any()


def test_errors_name_what_is_wrong():
    one = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"rewards has shape \(2,\) and values \(2, 3\).*rewards_per_token"):
        gae(torch.ones(2), one, one.bool())
    with pytest.raises(ValueError, match=r"mask is torch\.float32"):
        gae(one, one, one)
    for name in ("gamma", "lam"):
        with pytest.raises(ValueError, match=f"{name} = 1.5: expected a number from 0 to 1"):
            gae(one, one, one.bool(), **{name: 1.5})
