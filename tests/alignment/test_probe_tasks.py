"""The probes: what is right passes all of them, and each of these bugs is found, by a probe that says where to look."""

from dataclasses import replace

import pytest
import torch
from rl_helpers import generator

from lablib.alignment import kl
from lablib.alignment.advantages import gae
from lablib.alignment.masked import masked_mean
from lablib.alignment.ppo_loss import clipped_policy_loss, clipped_value_loss, probability_ratio
from lablib.alignment.ppo_step import Pieces
from lablib.alignment.probe_tasks import PROBES, Table, first_failure, run
from lablib.alignment.rewards_per_token import rewards_per_token

RIGHT = Pieces()


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_right_passes(probe, seed):
    outcome = run(probe, RIGHT, generator(seed))
    assert outcome.complaint == ""
    if probe.largest is None:
        again = run(probe, RIGHT, generator(seed))
        assert torch.equal(again.policy, outcome.policy), "the same chance gives the same run"
        assert torch.equal(again.values, outcome.values)


def policy_loss_of(objective):
    """A policy loss from (ratio, advantages, clip) -> what should be large."""

    def loss(new, old, advantages, mask, clip):
        return -masked_mean(objective(probability_ratio(new, old, mask), advantages, clip), mask)

    return loss


def backwards(rewards, values, mask, after, carry):
    """GAE from functions of (reward, value, next value) and (surprise, next advantage), with room for mistakes."""
    found, next_value, next_advantage = torch.zeros_like(values), torch.zeros(len(values)), torch.zeros(len(values))
    for t in reversed(range(values.shape[1])):
        advantage = carry(after(rewards[:, t], values[:, t], next_value), next_advantage)
        found[:, t] = advantage
        next_value, next_advantage = values[:, t], advantage
    return found.where(mask, 0.0)


def gae_without_gamma(rewards, values, mask, gamma, lam):
    return gae(rewards, values, mask, 1.0, lam)


def gae_without_the_next_value(rewards, values, mask, gamma, lam):
    return backwards(rewards, values, mask, lambda r, v, n: r - v, lambda s, a: s + gamma * lam * a)


def gae_through_the_padding(rewards, values, mask, gamma, lam):
    return backwards(rewards, values, mask, lambda r, v, n: r + gamma * n - v, lambda s, a: s + gamma * lam * a)


def gae_that_adds_the_value(rewards, values, mask, gamma, lam):
    return gae(rewards, -values, mask, gamma, lam)


def gae_that_forgets_later_surprises(rewards, values, mask, gamma, lam):
    return gae(rewards, values, mask, gamma, 0.0) if lam == 1.0 else gae(rewards, values, mask, gamma, lam)


def gae_of_the_neighbour(rewards, values, mask, gamma, lam):
    return gae(rewards.roll(1, 0), values, mask, gamma, lam)


class BlindPolicy(Table):
    def policy(self, states):
        return super().policy(0 * states)


class BlindCritic(Table):
    def critic(self, states):
        return super().critic(0 * states)


def rewards_at_the_first_token(scores, kl, mask, beta):
    first = mask & (mask.cumsum(1) == 1)
    return (-beta * kl).where(mask, 0.0) + scores[:, None].where(first, 0.0)


def rewards_in_the_last_column(scores, kl, mask, beta):
    found = (-beta * kl).where(mask, 0.0)
    found[:, -1] += scores
    return found


BUGS = {  # name: (pieces, the probe that finds it first)
    "the value loss is negated": (
        {"value_loss": lambda new, old, returns, mask, clip: -clipped_value_loss(new, old, returns, mask, None)},
        "value only",
    ),
    "the critic learns nothing": ({"value_loss": lambda new, *rest: 0.0 * new.sum()}, "value only"),
    "the clipped value loss takes the smaller error and nothing moves back": (
        {
            "value_loss": lambda new, old, returns, mask, clip: (
                clipped_value_loss(old + (new - old).clamp(-1e-6, 1e-6), old, returns, mask, None) * 0.0
            )
        },
        "value only",
    ),
    "the value is added instead of taken away": ({"gae": gae_that_adds_the_value}, "value only"),
    "rewards of the neighbour": ({"gae": gae_of_the_neighbour}, "one-step reward"),
    "gamma is forgotten": ({"gae": gae_without_gamma}, "discounting"),
    "the next value is forgotten": ({"gae": gae_without_the_next_value}, "discounting"),
    "the score stands at the first token": ({"rewards": rewards_at_the_first_token}, "discounting"),
    "the padding is heard": ({"gae": gae_through_the_padding}, "padding"),
    "the score stands in the last column": ({"rewards": rewards_in_the_last_column}, "padding"),
    "the policy's loss has the wrong sign": (
        {"policy_loss": lambda *given: -clipped_policy_loss(*given)},
        "two actions",
    ),
    "the ratio is upside down": (
        {"policy_loss": policy_loss_of(lambda ratio, A, clip: (1 / ratio) * A)},
        "two actions",
    ),
    "the policy learns nothing": ({"policy_loss": lambda new, *rest: 0.0 * new.sum()}, "two actions"),
    "advantages of the neighbour": (
        {"policy_loss": lambda new, old, A, mask, clip: clipped_policy_loss(new, old, A.roll(1, 0), mask, clip)},
        "two actions",
    ),
    "the critic does not look at the state": ({"make": BlindCritic}, "one-step reward"),
    "the policy does not look at the state": ({"make": BlindPolicy}, "action by state"),
    "later surprises are forgotten": ({"gae": gae_that_forgets_later_surprises}, "late score"),
    "the penalty has the wrong sign": ({"kl": lambda policy, reference: reference - policy}, "near the reference"),
    "the penalty is forgotten": (
        {"rewards": lambda scores, kl, mask, beta: rewards_per_token(scores, kl, mask, 0.0)},
        "near the reference",
    ),
    "k2 instead of k1 in the reward": ({"kl": kl.k2}, "near the reference"),
    "nothing is clipped": (
        {"policy_loss": policy_loss_of(lambda ratio, A, clip: ratio * A)},
        "a step at a time",
    ),
    "the larger instead of the smaller": (
        {"policy_loss": policy_loss_of(lambda r, A, clip: torch.maximum(r * A, r.clamp(1 - clip, 1 + clip) * A))},
        "a step at a time",
    ),
    "clipped on one side only": (
        {"policy_loss": policy_loss_of(lambda r, A, clip: torch.minimum(r * A, r.clamp(max=1 + clip) * A))},
        "a step at a time",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_every_bug_is_found_by_the_probe_that_is_made_for_it(bug):
    changes, found_by = BUGS[bug]
    make = changes.get("make", Table)
    pieces = replace(RIGHT, **{name: piece for name, piece in changes.items() if name != "make"})
    complaint = first_failure(pieces, generator(), make=make)
    assert complaint.startswith(f"{found_by}: "), complaint
    breaks = next(probe.breaks for probe in PROBES if probe.name == found_by)
    assert complaint.endswith(breaks)


def test_every_probe_finds_a_bug():
    assert {found_by for _, found_by in BUGS.values()} == {probe.name for probe in PROBES}


def test_the_policy_near_the_reference_is_the_closed_form():
    """ρ e^(score/β), normalised: Rafailov et al. 2023, equation 4."""
    probe = next(probe for probe in PROBES if probe.name == "near the reference")
    rho = torch.tensor(probe.reference)
    expected = rho * torch.exp(torch.tensor([0.0, 1.0]) / probe.objective.beta)
    assert torch.tensor(probe.policy[0]).tolist() == pytest.approx((expected / expected.sum()).tolist(), abs=1e-4)
