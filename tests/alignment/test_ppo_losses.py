"""The losses of PPO: trl's formulas, brute force, finite differences; what is masked has no influence; nothing moves what is clipped."""

import math

import pytest
import torch
import trl_formulas as trl
from hypothesis import assume, given
from hypothesis import strategies as st
from rl_helpers import finite_difference, gradient, junk, normal, seeds, tokens, widened
from torch.distributions import Categorical

from lablib.alignment.ppo_loss import (
    approximate_kl,
    clip_share,
    clipped_policy_loss,
    clipped_value_loss,
    entropy_bonus,
    probability_ratio,
)

clips = st.floats(0.05, 0.5)
JUNK = st.sampled_from([3.0, -1e4, float("inf"), float("nan")])


def some(seed, apart=0.3):
    """new, old, advantages, mask; in about half of the places the ratio has left a usual interval."""
    chance, mask = tokens(seed)
    old = -normal(mask.shape, chance).abs()
    return old + apart * normal(mask.shape, chance), old, normal(mask.shape, chance), mask


@given(seed=seeds, clip=clips)
def test_policy_loss_and_clip_share_are_trls(seed, clip):
    new, old, advantages, mask = some(seed)
    loss, share = trl.ppo_loss(new, old, advantages, mask.double(), clip)
    assert clipped_policy_loss(new, old, advantages, mask, clip).item() == pytest.approx(loss.item(), rel=1e-9)
    assert clip_share(new, old, advantages, mask, clip).item() == pytest.approx(share.item(), rel=1e-9)


@given(seed=seeds, clip=clips)
def test_policy_loss_is_the_sum_over_tokens_written_out(seed, clip):
    new, old, advantages, mask = some(seed)
    total, held = 0.0, 0
    for n, t in mask.nonzero().tolist():
        r, A = math.exp(new[n, t] - old[n, t]), advantages[n, t].item()
        total += min(r * A, min(max(r, 1 - clip), 1 + clip) * A)
        held += (A > 0 and r > 1 + clip) or (A < 0 and r < 1 - clip)
    assert clipped_policy_loss(new, old, advantages, mask, clip).item() == pytest.approx(-total / mask.sum().item())
    assert clip_share(new, old, advantages, mask, clip).item() == pytest.approx(held / mask.sum().item())


@given(seed=seeds, clip=clips)
def test_gradient_is_that_of_finite_differences_and_zero_exactly_where_it_is_clipped(seed, clip):
    new, old, advantages, mask = some(seed)
    ratio = (new - old).exp()
    assume(float(torch.minimum((ratio - 1 - clip).abs(), (ratio - 1 + clip).abs()).min()) > 1e-4)  # not on the kink
    found = gradient(lambda x: clipped_policy_loss(x, old, advantages, mask, clip), new)
    expected = finite_difference(lambda x: clipped_policy_loss(x, old, advantages, mask, clip), new)
    assert torch.allclose(found, expected, atol=1e-8)
    held = ((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))
    assert torch.equal(found == 0, held | ~mask)


def test_with_the_ratio_at_one_the_gradient_is_that_of_the_plain_policy_gradient():
    new, _, advantages, mask = some(5)
    found = gradient(lambda x: clipped_policy_loss(x, new, advantages, mask), new)
    assert torch.allclose(found, (-advantages / mask.sum()).where(mask, 0.0))
    assert torch.equal(probability_ratio(new, new, mask), torch.ones_like(new))


@given(seed=seeds, clip=clips)
def test_value_loss_is_trls_and_its_gradient_that_of_finite_differences(seed, clip):
    new, old, returns, mask = some(seed)
    ours = clipped_value_loss(new, old, returns, mask, clip)
    assert ours.item() == pytest.approx(trl.value_loss(new, old, returns, mask.double(), clip).item(), rel=1e-9)
    held = old + (new - old).clamp(-clip, clip)
    kinks = ((new - returns) ** 2 - (held - returns) ** 2).abs(), ((new - old).abs() - clip).abs()
    assume(all(bool(((x > 1e-4) | (x == 0)).all()) for x in kinks))
    found = gradient(lambda x: clipped_value_loss(x, old, returns, mask, clip), new)
    expected = finite_difference(lambda x: clipped_value_loss(x, old, returns, mask, clip), new)
    assert torch.allclose(found, expected, atol=1e-7)


@given(seed=seeds)
def test_without_clipping_the_value_loss_is_half_the_mean_square_and_clipping_never_makes_it_smaller(seed):
    new, old, returns, mask = some(seed)
    plain = clipped_value_loss(new, old, returns, mask, clip=None)
    assert plain.item() == pytest.approx(((new - returns)[mask] ** 2).mean().item() / 2)
    assert clipped_value_loss(new, old, returns, mask, clip=0.1) >= plain
    assert clipped_value_loss(new, old, returns, mask, clip=1e9).item() == pytest.approx(plain.item())


@given(seed=seeds)
def test_entropy_is_that_of_torchs_distribution(seed):
    chance, mask = tokens(seed)
    logits = 2 * normal((*mask.shape, 5), chance)
    expected = Categorical(logits=logits).entropy()[mask].mean().item()
    assert entropy_bonus(logits, mask).item() == pytest.approx(expected, rel=1e-9)
    found = gradient(lambda x: entropy_bonus(x, mask), logits)
    assert torch.allclose(found, finite_difference(lambda x: entropy_bonus(x, mask), logits), atol=1e-8)
    assert not found[~mask].any()


@given(seed=seeds)
def test_approximate_kl_is_the_mean_of_ratio_minus_one_minus_its_logarithm(seed):
    new, old, _, mask = some(seed)
    log_ratio = (new - old)[mask]
    expected = (log_ratio.exp() - 1 - log_ratio).mean().item()
    assert approximate_kl(new, old, mask).item() == pytest.approx(expected, rel=1e-9)
    assert expected > 0
    assert approximate_kl(old, old, mask).item() == 0


@given(seed=seeds, value=JUNK, left=st.integers(0, 2), right=st.integers(0, 2))
def test_padding_changes_no_loss_and_gets_no_gradient(seed, value, left, right):
    new, old, advantages, mask = some(seed)
    wide_mask = widened(mask, left, right, False)
    wide = [widened(junk(x, mask, value), left, right, value) for x in (new, old, advantages)]
    for function in (clipped_policy_loss, clipped_value_loss):
        alone = function(new, old, advantages, mask, 0.2).item()
        assert function(*wide, wide_mask, 0.2).item() == pytest.approx(alone, rel=1e-9)
        pushed = gradient(lambda x, f=function: f(x, *wide[1:], wide_mask, 0.2), wide[0])
        assert pushed.isfinite().all()
        assert not pushed[~wide_mask].any()
    assert clip_share(*wide, wide_mask).item() == pytest.approx(clip_share(new, old, advantages, mask).item())
    assert approximate_kl(*wide[:2], wide_mask).item() == pytest.approx(approximate_kl(new, old, mask).item())


def test_only_what_learns_gets_a_gradient():
    """What was noted at the rollout is a constant, even where it comes with a graph behind it."""
    new, old, advantages, mask = (x.requires_grad_(x.is_floating_point()) for x in some(5))
    (clipped_policy_loss(new, old, advantages, mask) + clipped_value_loss(new, old, advantages, mask, 0.05)).backward()
    assert bool(new.grad[mask].any())
    assert old.grad is None
    assert advantages.grad is None


def test_where_nothing_counts_every_loss_is_zero():
    x, mask = torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    for found in (
        clipped_policy_loss(x, x, x, mask), clipped_value_loss(x, x, x, mask), clip_share(x, x, x, mask),
        approximate_kl(x, x, mask), entropy_bonus(torch.ones(2, 3, 4), mask),
    ):  # fmt: skip
        assert found.item() == 0


def test_errors_name_what_is_wrong():
    x, mask = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool)
    for clip in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"clip = {clip}: expected a number > 0"):
            clipped_policy_loss(x, x, x, mask, clip)
    with pytest.raises(ValueError, match=r"mask is torch\.float32"):
        clipped_policy_loss(x, x, x, x)
    with pytest.raises(ValueError, match="same answers"):
        clipped_policy_loss(x[:1], x, x, mask)
