"""Lab 12: the exercises on rewards from choices, the penalty, PPO's losses and GRPO's advantage, from `lablib.alignment`."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.alignment.adaptive_kl import KLTarget
from lablib.alignment.advantages import gae
from lablib.alignment.bradley_terry import bradley_terry_loss
from lablib.alignment.grpo import group_advantages
from lablib.alignment.kl import k3
from lablib.alignment.masked import masked_mean, whiten
from lablib.alignment.ppo_loss import clipped_policy_loss, clipped_value_loss
from lablib.alignment.rewards_per_token import last_token
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake

PACKAGE = "lablib.alignment"

# Three answers in one tensor: prompts in front, padding behind, lengths 3, 1 and 4.
MASK = torch.tensor(
    [
        [False, True, True, True, False, False],
        [False, False, True, False, False, False],
        [True, True, True, True, False, False],
    ]
)
# The same with an answer that has a gap: something that the policy did not write, such as a tool's reply, stands in between.
GAP = torch.tensor([[False, True, True, False, True, False], [True, False, False, True, True, False]])
NOBODY = torch.zeros(1, 3, dtype=torch.bool)
MULTIPLIED = (
    "The mask was multiplied on: where nothing counts there may be NaN, and 0 · NaN is NaN. Choose instead: `x.where(mask, 0.0)` or "
    "`masked_mean(x, mask)`."
)
ATTACHED = "A target or a reward must not get a gradient, or the critic (or the policy) would learn to move it: take `.detach()` of it."


def _junk(x: Tensor, mask: Tensor, value: float = torch.nan) -> Tensor:
    """x with something else wherever nothing counts."""
    return x.where(mask, value)


def _without_gradient(
    attempt: Attempt, words: str, call: Callable[[Implementation, list[Tensor]], Any], n: int
) -> None:
    """Of the float arguments the first n get no gradient, and a result without any other carries none."""

    def holds(implementation: Implementation) -> bool:
        leaves = [torch.rand(3, 6, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in range(n)]
        result = call(implementation, leaves)
        if result.requires_grad:
            result.sum().backward()
        return all(leaf.grad is None or not leaf.grad.any() for leaf in leaves)

    attempt.require(holds, [f"Tried with {words}.", "Expected no gradient to reach them."], ATTACHED)


# ---------------------------------------------------------------- Bradley–Terry


def check_bradley_terry_loss(attempt: Attempt) -> None:
    chosen, rejected = attempt.normal(5), attempt.normal(5)  # the result has one axis: no mT
    attempt.compare("five pairs of rewards, no margin", chosen, rejected, gradients=True)
    attempt.compare("rewards of one pair, 2 and 2: ln 2", torch.tensor([2.0]), torch.tensor([2.0]))
    attempt.compare("five pairs, a margin of 0.5 for all", chosen, rejected, 0.5)
    attempt.compare("five pairs, a margin for each", chosen, rejected, attempt.normal(5).abs(), gradients=True)
    far = torch.tensor([1000.0, -1000.0, -60.0, 5.0]), torch.zeros(4)
    attempt.compare("differences of 1000, −1000, −60 and 5", *far, gradients=True)
    attempt.keeps_type_and_device(chosen, rejected)


def _bt(nats: Callable[[Tensor], Tensor]) -> Implementation:
    """A loss of the difference, margin taken off."""
    return lambda chosen, rejected, margin=0.0: nats(chosen - rejected - margin)


_bt_swapped = _bt(lambda d: -F.logsigmoid(-d))
_bt_sign = _bt(F.logsigmoid)
_bt_probability = _bt(torch.sigmoid)
_bt_other_probability = _bt(lambda d: 1 - torch.sigmoid(d))
_bt_mean = _bt(lambda d: -F.logsigmoid(d).mean())
_bt_sum = _bt(lambda d: -F.logsigmoid(d).sum())
_bt_linear = _bt(lambda d: -d)
_bt_hinge = _bt(lambda d: (1 - d).clamp(min=0))
_bt_absolute = _bt(lambda d: -F.logsigmoid(d.abs()))
_bt_bits = _bt(lambda d: -F.logsigmoid(d) / math.log(2))
_bt_brier = _bt(lambda d: (1 - torch.sigmoid(d)) ** 2)
_bt_unsafe = _bt(lambda d: -torch.sigmoid(d).log())


def _bt_unsafe_ratio(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    return -((chosen - margin).exp() / ((chosen - margin).exp() + rejected.exp())).log()


def _bt_clamped(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    return -(torch.sigmoid(chosen - rejected - margin) + 1e-8).log()


def _bt_pointwise(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    return -F.logsigmoid(chosen - margin) - F.logsigmoid(-rejected)


def _bt_no_margin(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    return bradley_terry_loss(chosen, rejected)


def _bt_margin_added(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    return -F.logsigmoid(chosen - rejected + margin)


def _bt_margin_outside(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    return -F.logsigmoid(chosen - rejected) + margin


def _bt_margin_times(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    scale = margin if isinstance(margin, Tensor) or margin else 1.0
    return -F.logsigmoid(scale * (chosen - rejected))


# ---------------------------------------------------------------- a reward for each token


def check_rewards_per_token(attempt: Attempt) -> None:
    scores, kl = torch.tensor([3.0, -1.5, 0.7]), attempt.normal(3, 6)
    axes = ["N", "T"]
    case = "three answers of 3, 1 and 4 tokens, prompts before and padding behind them, β = 0.5"
    attempt.compare(case, scores, kl, MASK, 0.5, axes=axes)
    attempt.compare("the same, with NaN where nothing counts", scores, _junk(kl, MASK), MASK, 0.5, axes=axes)
    attempt.compare("the same answers, β = 0", scores, kl, MASK, 0.0, axes=axes)
    attempt.compare("answers with a gap in them, β = 0.2", scores[:2], attempt.normal(2, 6), GAP, 0.2, axes=axes)
    empty = MASK.clone()
    empty[1] = False
    attempt.compare("the second answer is empty: no reward at all", scores, kl, empty, 0.5, axes=axes)
    attempt.compare("float64 log-probabilities", scores, kl.double(), MASK, 0.5, axes=axes)

    def call(implementation: Implementation, leaves: list[Tensor]) -> Any:
        return implementation(leaves[0][:, 0], leaves[1], MASK, 0.5)

    _without_gradient(attempt, "scores and penalties that have a gradient", call, 2)


def _spread(
    penalty: Callable[[Tensor, Tensor, float], Tensor] = lambda kl, mask, beta: (-beta * kl).where(mask, 0.0),
    place: Callable[[Tensor, Tensor], Tensor] = lambda scores, mask: scores[:, None].where(last_token(mask), 0.0),
) -> Implementation:
    """The sum with one part replaced: the penalty, or where the score goes."""

    def made(scores: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
        return penalty(kl.detach(), mask, beta) + place(scores.detach().to(kl.dtype), mask)

    return made


def _at(places: Callable[[Tensor], Tensor]) -> Implementation:
    """The score in other places: bool (N, T) from the mask."""
    return _spread(place=lambda scores, mask: scores[:, None].where(places(mask), 0.0))


def _column(number: Tensor, mask: Tensor) -> Tensor:
    """True in one column of each row."""
    return torch.arange(mask.shape[1])[None] == number[:, None]


_per_token_reward = _spread(penalty=lambda kl, mask, beta: (beta * kl).where(mask, 0.0))
_per_token_no_penalty = _spread(penalty=lambda kl, mask, beta: torch.zeros_like(kl))
_per_token_no_beta = _spread(penalty=lambda kl, mask, beta: (-kl).where(mask, 0.0))
_per_token_absolute = _spread(penalty=lambda kl, mask, beta: (-beta * kl.abs()).where(mask, 0.0))
_per_token_no_mask = _spread(penalty=lambda kl, mask, beta: -beta * kl)
_per_token_multiplied = _spread(penalty=lambda kl, mask, beta: -beta * kl * mask)
_per_token_at_last = _spread(
    penalty=lambda kl, mask, beta: (-beta * kl.where(mask, 0.0).sum(1, keepdim=True)).where(last_token(mask), 0.0)
)
_per_token_mean_kl = _spread(
    penalty=lambda kl, mask, beta: (
        (-beta * kl.where(mask, 0.0)).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    ).where(mask, 0.0)
)
_per_token_score_replaces = _spread(penalty=lambda kl, mask, beta: (-beta * kl).where(mask & ~last_token(mask), 0.0))
_per_token_everywhere = _at(lambda mask: mask)
_per_token_first = _at(lambda mask: mask & (mask.cumsum(1) == 1))
_per_token_last_column = _at(lambda mask: _column(torch.full((len(mask),), mask.shape[1] - 1), mask))
_per_token_by_length = _at(lambda mask: _column(mask.sum(1) - 1, mask))
_per_token_behind = _at(lambda mask: last_token(mask).roll(1, 1))
_per_token_shared = _spread(
    place=lambda scores, mask: (scores[:, None] / mask.sum(1, keepdim=True).clamp(min=1)).where(mask, 0.0)
)
_per_token_beta_on_score = _spread(
    place=lambda scores, mask: scores.new_tensor(0.5) * scores[:, None].where(last_token(mask), 0.0)
)
_per_token_end_of_run = _at(lambda mask: mask & ~F.pad(mask, (0, 1))[:, 1:])
_per_token_empty_scored = _at(lambda mask: _column(mask.shape[1] - 1 - mask.int().flip(1).argmax(1), mask))


def _per_token_attached(scores: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
    return (-beta * kl).where(mask, 0.0) + scores.to(kl.dtype)[:, None].where(last_token(mask), 0.0)


# ---------------------------------------------------------------- k3


def check_k3(attempt: Attempt) -> None:
    policy, reference = -attempt.normal(2, 4).abs(), -attempt.normal(2, 4).abs()
    axes = ["N", "T"]
    attempt.compare("log-probabilities of two answers of 4 tokens", policy, reference, axes=axes, gradients=True)
    attempt.compare("twice the same log-probabilities, and one that differs", policy, _but_one(policy), axes=axes)
    attempt.compare("one axis of five tokens", policy.flatten()[:5], reference.flatten()[:5])
    attempt.keeps_type_and_device(policy, reference, axes=axes)


def _but_one(x: Tensor) -> Tensor:
    changed = x.clone()
    changed[0, 0] -= 1.5
    return changed


def _k(estimate: Callable[[Tensor], Tensor]) -> Implementation:
    """An estimate from log r = log ρ − log π."""
    return lambda policy, reference: estimate(reference - policy)


_k3_swapped = _k(lambda log_r: torch.expm1(-log_r) + log_r)
_k3_is_k1 = _k(lambda log_r: -log_r)
_k3_is_k2 = _k(lambda log_r: log_r**2 / 2)
_k3_without_one = _k(lambda log_r: log_r.exp() - log_r)
_k3_negative = _k(lambda log_r: log_r - torch.expm1(log_r))
_k3_plus = _k(lambda log_r: torch.expm1(log_r) + log_r)
_k3_no_log = _k(torch.expm1)
_k3_no_exp = _k(lambda log_r: (log_r - 1) - log_r)
_k3_absolute = _k(lambda log_r: log_r.abs())
_k3_clamped = _k(lambda log_r: (-log_r).clamp(min=0))
_k3_mean = _k(lambda log_r: (torch.expm1(log_r) - log_r).mean())
_k3_sum = _k(lambda log_r: (torch.expm1(log_r) - log_r).sum(-1))
_k3_half = _k(lambda log_r: (torch.expm1(log_r) - log_r) / 2)
_k3_bits = _k(lambda log_r: torch.expm1(log_r) - log_r / math.log(2))


def _k3_weighted(policy: Tensor, reference: Tensor) -> Tensor:
    return policy.exp() * (policy - reference)


def _k3_ratio_of_logs(policy: Tensor, reference: Tensor) -> Tensor:
    r = reference / policy
    return (r - 1) - r.log()


def _k3_of_probabilities(policy: Tensor, reference: Tensor) -> Tensor:
    return k3(policy.log(), reference.log())


# ---------------------------------------------------------------- GAE


def check_gae(attempt: Attempt) -> None:
    rewards, values = attempt.normal(3, 6), attempt.normal(3, 6)
    axes = ["N", "T"]
    case = "three answers of 3, 1 and 4 tokens, padding behind them"
    attempt.compare(f"{case}, γ = 0.9, λ = 0.8", rewards, values, MASK, 0.9, 0.8, axes=axes)
    attempt.compare(f"{case}, γ = 1, λ = 0.95 (the defaults)", rewards, values, MASK, axes=axes)
    attempt.compare(f"{case}, λ = 0: the surprises alone", rewards, values, MASK, 0.9, 0.0, axes=axes)
    attempt.compare(f"{case}, λ = 1: rewards to come − V", rewards, values, MASK, 0.9, 1.0, axes=axes)
    noisy = _junk(rewards, MASK), _junk(values, MASK)
    attempt.compare("NaN in rewards and values where nothing counts", *noisy, MASK, 0.9, 0.8, axes=axes)
    attempt.compare("answers with a gap in them", rewards[:2], values[:2], GAP, 0.9, 0.8, axes=axes)
    attempt.compare("an empty answer", rewards[:1, :3], values[:1, :3], NOBODY, 0.9, 0.8, axes=axes)
    attempt.keeps_type_and_device(rewards, values, MASK, 0.9, 0.8, axes=axes)

    def call(implementation: Implementation, leaves: list[Tensor]) -> Any:
        return implementation(leaves[0], leaves[1], MASK, 0.9, 0.8)

    _without_gradient(attempt, "rewards and values that have a gradient", call, 2)


def _gae(
    surprise: Callable[[Tensor, Tensor, Tensor, float], Tensor] = lambda r, v, after, gamma: r + gamma * after - v,
    carry: Callable[[float, float], float] = lambda gamma, lam: gamma * lam,
    begin: Callable[[Tensor], Tensor] = torch.zeros_like,
    skip: bool = True,
    reset: bool = False,
) -> Implementation:
    """GAE with one part replaced.

    Args:
        surprise: of one token, from reward, value, the next value and γ. carry: how much of the next advantage is added.
        begin: the value behind the end, from the last token's. skip: places that do not count are passed over.
        reset: at a place that does not count the chain begins anew.
    """

    def made(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
        rewards, values = rewards.detach(), values.detach()
        found = torch.zeros_like(values)
        after, next_advantage = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
        for t in reversed(range(values.shape[1])):
            counts, last = mask[:, t], last_token(mask)[:, t]
            after = begin(values[:, t]).where(last, after)
            advantage = surprise(rewards[:, t], values[:, t], after, gamma) + carry(gamma, lam) * next_advantage
            found[:, t] = advantage.where(counts, 0.0)
            if skip:
                stays = torch.zeros_like(after) if reset else after
                kept = torch.zeros_like(after) if reset else next_advantage
                after, next_advantage = values[:, t].where(counts, stays), advantage.where(counts, kept)
            else:
                after, next_advantage = values[:, t], advantage
        return found

    return made


_gae_no_gamma = _gae(surprise=lambda r, v, after, gamma: r + after - v)
_gae_no_next_value = _gae(surprise=lambda r, v, after, gamma: r - v)
_gae_no_value = _gae(surprise=lambda r, v, after, gamma: r + gamma * after)
_gae_same_value = _gae(surprise=lambda r, v, after, gamma: r + gamma * v - v)
_gae_value_added = _gae(surprise=lambda r, v, after, gamma: r - gamma * after + v)
_gae_carry_lam = _gae(carry=lambda gamma, lam: lam)
_gae_carry_gamma = _gae(carry=lambda gamma, lam: gamma)
_gae_carry_one = _gae(carry=lambda gamma, lam: 1.0)
_gae_carry_none = _gae(carry=lambda gamma, lam: 0.0)
_gae_end_value = _gae(begin=lambda v: v)
_gae_reset = _gae(reset=True)


def _gae_padding(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    """Never looks at the mask until the end."""
    return gae(rewards, values, torch.ones_like(mask), gamma, lam).where(mask, 0.0)


def _gae_next_value_of_padding(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95
) -> Tensor:
    """The value behind the last token is that of the padding; the advantages stop there."""
    after = F.pad(values, (0, 1))[:, 1:]
    surprise = (rewards + gamma * after - values).where(mask, 0.0)
    return gae(surprise, torch.zeros_like(values), mask, gamma, lam)


def _gae_unmasked(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    return gae(rewards, values, mask, gamma, lam) + (rewards - values).where(~mask, 0.0)


def _gae_forward(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    surprise = gae(rewards, values, mask, gamma, 0.0)
    back = gae(surprise.flip(1), torch.zeros_like(values), mask.flip(1), gamma, lam)
    return back.flip(1)


def _gae_returns(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    return gae(rewards, values, mask, gamma, lam) + values.where(mask, 0.0)


def _gae_rewards_to_come(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95
) -> Tensor:
    return gae(rewards, torch.zeros_like(values), mask, gamma, 1.0)


def _gae_multiplied(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    found, after, carried = torch.zeros_like(values), torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        on = mask[:, t].to(values.dtype)
        advantage = rewards[:, t] + gamma * after - values[:, t] + gamma * lam * carried
        after, carried = on * values[:, t] + (1 - on) * after, on * advantage + (1 - on) * carried
        found[:, t] = on * advantage
    return found.detach()


def _gae_attached(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    columns = []
    after, carried = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        advantage = rewards[:, t] + gamma * after - values[:, t] + gamma * lam * carried
        after, carried = values[:, t].where(mask[:, t], after), advantage.where(mask[:, t], carried)
        columns.append(advantage.where(mask[:, t], 0.0))
    return torch.stack(columns[::-1], dim=1)


# ---------------------------------------------------------------- the clipped objective


def check_clipped_policy_loss(attempt: Attempt) -> None:
    old = -attempt.normal(3, 6).abs() - 0.1  # the result is a scalar: it has no mT
    new, advantages = old + attempt.normal(3, 6, scale=0.8), attempt.normal(3, 6)
    case = "three answers of 3, 1 and 4 tokens, padding behind them"
    attempt.compare(case, new, old, advantages, MASK, gradients=True)
    # every ratio far outside, once in each direction, with both signs of the advantage
    ends = torch.tensor([[0.9, -0.9, 0.9, -0.9]]), torch.zeros(1, 4), torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    every = torch.ones(1, 4, dtype=torch.bool)
    attempt.compare("ratios e^±0.9, advantages ±1", *ends, every, gradients=True)
    attempt.compare("the same, ε = 0.1", *ends, every, 0.1, gradients=True)
    attempt.compare("the first update: all ratios are 1", old, old, advantages, MASK, gradients=True)
    noisy = [_junk(x, MASK) for x in (new, old, advantages)]
    attempt.compare("NaN where nothing counts", *noisy, MASK, gradients=True)
    attempt.compare("no token that counts: 0", new[:1, :3], old[:1, :3], advantages[:1, :3], NOBODY)
    attempt.keeps_type_and_device(new, old, advantages, MASK)

    def call(implementation: Implementation, leaves: list[Tensor]) -> Any:
        return implementation(torch.full((3, 6), -0.5), leaves[0] - 1.0, leaves[1], MASK)

    _without_gradient(attempt, "old log-probabilities and advantages that have a gradient", call, 2)


def _clipped(
    objective: Callable[[Tensor, Tensor, float], Tensor] = lambda r, A, clip: torch.minimum(
        r * A, r.clamp(1 - clip, 1 + clip) * A
    ),
    ratio: Callable[[Tensor, Tensor], Tensor] = lambda new, old: (new - old).exp(),
    reduce: Callable[[Tensor, Tensor], Tensor] = masked_mean,
) -> Implementation:
    """The loss with one part replaced: the objective of ratio, advantage and ε; the ratio; the mean."""

    def made(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
        old, advantages = old.detach().where(mask, 0.0), advantages.detach().where(mask, 0.0)
        return -reduce(objective(ratio(new.where(mask, 0.0), old), advantages, clip), mask)

    return made


def _mean_of_rows(x: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(x, mask, dim=1).mean()


def _mean_of_all(x: Tensor, mask: Tensor) -> Tensor:
    return x.where(mask, 0.0).mean()


def _sum_of(x: Tensor, mask: Tensor) -> Tensor:
    return x.where(mask, 0.0).sum()


_policy_free = _clipped(lambda r, A, clip: r * A)
_policy_held = _clipped(lambda r, A, clip: r.clamp(1 - clip, 1 + clip) * A)
_policy_larger = _clipped(lambda r, A, clip: torch.maximum(r * A, r.clamp(1 - clip, 1 + clip) * A))
_policy_upper_only = _clipped(lambda r, A, clip: torch.minimum(r * A, r.clamp(max=1 + clip) * A))
_policy_lower_only = _clipped(lambda r, A, clip: torch.minimum(r * A, r.clamp(min=1 - clip) * A))
_policy_around_zero = _clipped(lambda r, A, clip: torch.minimum(r * A, r.clamp(-clip, clip) * A))
_policy_advantage_clipped = _clipped(lambda r, A, clip: torch.minimum(r * A, r * A.clamp(1 - clip, 1 + clip)))
_policy_ratio_first = _clipped(lambda r, A, clip: torch.minimum(r, r.clamp(1 - clip, 1 + clip)) * A)
_policy_no_advantage = _clipped(lambda r, A, clip: torch.minimum(r, r.clamp(1 - clip, 1 + clip)))
_policy_upside_down = _clipped(ratio=lambda new, old: (old - new).exp())
_policy_no_exp = _clipped(ratio=lambda new, old: new - old)
_policy_log_ratio = _clipped(ratio=lambda new, old: (new / old).nan_to_num())
_policy_answer_ratio = _clipped(ratio=lambda new, old: (new - old).sum(1, keepdim=True).exp().expand_as(new))
_policy_no_old = _clipped(ratio=lambda new, old: new.exp())
_policy_rows = _clipped(reduce=_mean_of_rows)
_policy_all = _clipped(reduce=_mean_of_all)
_policy_sum = _clipped(reduce=_sum_of)


def _policy_positive(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    return -clipped_policy_loss(new, old, advantages, mask, clip)


def _policy_twice_detached(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    return clipped_policy_loss(new, new, advantages, mask, clip)


def _policy_multiplied(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    ratio = (new - old.detach()).exp()
    gain = torch.minimum(ratio * advantages.detach(), ratio.clamp(1 - clip, 1 + clip) * advantages.detach())
    return -(gain * mask).sum() / mask.sum().clamp(min=1)


def _policy_attached(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    ratio = (new - old).where(mask, 0.0).exp()
    return -masked_mean(torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages), mask)


# ---------------------------------------------------------------- the clipped value loss


def check_clipped_value_loss(attempt: Attempt) -> None:
    old, returns = attempt.normal(3, 6), attempt.normal(3, 6)  # the result is a scalar: it has no mT
    new = old + attempt.normal(3, 6, scale=0.4)
    case = "three answers of 3, 1 and 4 tokens, padding behind them"
    attempt.compare(f"{case}, clip = 0.2", new, old, returns, MASK, 0.2, gradients=True)
    hand = torch.tensor([[0.5, -0.5, 0.1]]), torch.zeros(1, 3), torch.tensor([[1.0, 1.0, 1.0]])
    every = torch.ones(1, 3, dtype=torch.bool)
    attempt.compare("guesses 0.5, −0.5, 0.1, before 0, returns 1, clip = 0.25", *hand, every, 0.25, gradients=True)
    attempt.compare(f"{case}, clip = None: no clipping", new, old, returns, MASK, None, gradients=True)
    noisy = [_junk(x, MASK) for x in (new, old, returns)]
    attempt.compare("NaN where nothing counts", *noisy, MASK, 0.2, gradients=True)
    attempt.compare("no token that counts: 0", new[:1, :3], old[:1, :3], returns[:1, :3], NOBODY, 0.2)
    attempt.keeps_type_and_device(new, old, returns, MASK)

    def call(implementation: Implementation, leaves: list[Tensor]) -> Any:
        return implementation(torch.full((3, 6), 2.0), leaves[0], leaves[1], MASK, 0.2)

    _without_gradient(attempt, "old values and returns that have a gradient", call, 2)


def _value(
    error: Callable[[Tensor, Tensor, Tensor, float], Tensor] = lambda new, old, goal, clip: torch.maximum(
        (new - goal) ** 2, (old + (new - old).clamp(-clip, clip) - goal) ** 2
    ),
    reduce: Callable[[Tensor, Tensor], Tensor] = masked_mean,
    share: float = 0.5,
) -> Implementation:
    """The loss with one part replaced: the error of each token, the mean, or the half."""

    def made(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
        new, old, goal = new.where(mask, 0.0), old.detach().where(mask, 0.0), returns.detach().where(mask, 0.0)
        return share * reduce(error(new, old, goal, math.inf if clip is None else clip), mask)

    return made


_value_free = _value(lambda new, old, goal, clip: (new - goal) ** 2)
_value_held = _value(lambda new, old, goal, clip: (old + (new - old).clamp(-clip, clip) - goal) ** 2)
_value_smaller = _value(
    lambda new, old, goal, clip: torch.minimum((new - goal) ** 2, (old + (new - old).clamp(-clip, clip) - goal) ** 2)
)
_value_around_zero = _value(
    lambda new, old, goal, clip: torch.maximum((new - goal) ** 2, (new.clamp(-clip, clip) - goal) ** 2)
)
_value_old_forgotten = _value(
    lambda new, old, goal, clip: torch.maximum((new - goal) ** 2, ((new - old).clamp(-clip, clip) - goal) ** 2)
)
_value_ratio = _value(
    lambda new, old, goal, clip: torch.maximum(
        (new - goal) ** 2, (old * (new / old).nan_to_num().clamp(1 - clip, 1 + clip) - goal) ** 2
    )
)
_value_absolute = _value(
    lambda new, old, goal, clip: torch.maximum((new - goal).abs(), (old + (new - old).clamp(-clip, clip) - goal).abs())
)
_value_before_square = _value(
    lambda new, old, goal, clip: torch.maximum(new - goal, old + (new - old).clamp(-clip, clip) - goal) ** 2
)
_value_to_old = _value(lambda new, old, goal, clip: (new - old) ** 2)
_value_both = _value(
    lambda new, old, goal, clip: (new - goal) ** 2 + (old + (new - old).clamp(-clip, clip) - goal) ** 2
)
_value_no_half = _value(share=1.0)
_value_negative = _value(share=-0.5)
_value_rows = _value(reduce=_mean_of_rows)
_value_all = _value(reduce=_mean_of_all)
_value_sum = _value(reduce=_sum_of)
_value_root = _value(reduce=lambda x, mask: masked_mean(x, mask).sqrt())


def _value_never_none(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
    return clipped_value_loss(new, old, returns, mask, clip or 0.2)


def _value_multiplied(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
    old, returns, limit = old.detach(), returns.detach(), math.inf if clip is None else clip
    held = old + (new - old).clamp(-limit, limit)
    return (torch.maximum((new - returns) ** 2, (held - returns) ** 2) * mask).sum() / mask.sum().clamp(min=1) / 2


def _value_attached(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
    limit = math.inf if clip is None else clip
    held = old + (new - old).clamp(-limit, limit)
    errors = [(x - returns).where(mask, 0.0) ** 2 for x in (new, held)]
    return masked_mean(torch.maximum(*errors), mask) / 2


# ---------------------------------------------------------------- whitening


def check_whiten(attempt: Attempt) -> None:
    x = 3 * attempt.normal(3, 6) + 5
    axes = ["N", "T"]
    attempt.compare("advantages of three answers, mean about 5, spread about 3", x, MASK, axes=axes, gradients=True)
    attempt.compare("the same, shift_mean=False", x, MASK, False, axes=axes)
    attempt.compare("NaN where nothing counts", _junk(x, MASK), MASK, axes=axes)
    attempt.compare("all alike: 0", torch.full_like(x, 2.0), MASK, axes=axes)
    attempt.compare("all alike, shift_mean=False: as they are", torch.full_like(x, 2.0), MASK, False, axes=axes)
    attempt.compare("nothing that counts: 0", x[:1, :3], NOBODY, axes=axes)
    attempt.compare("one axis: 1 and 3, and a 9 that does not count", *_three(), axes=["T"])
    # TINY under the root, or added to the root: a difference of 1e-9 that nobody needs to care about
    attempt.keeps_type_and_device(x, MASK, axes=axes, double_rtol=1e-7)


def _three() -> tuple[Tensor, Tensor]:
    return torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False])


def _white(
    centre: Callable[[Tensor, Tensor], Tensor] = masked_mean,
    size: Callable[[Tensor], Tensor] = lambda var: (var + 1e-8).sqrt(),
    correction: int = 0,
    back: Callable[[Tensor, Tensor, Tensor, bool], Tensor] = lambda white, x, mean, shift: (
        white if shift else white + mean
    ),
    outside: bool = False,
) -> Implementation:
    """Whitening with one part replaced: the mean that is taken off, the size divided by, what shift_mean does, what is masked."""

    def made(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
        kept = x.double().where(mask, 0.0)
        mean = centre(kept, mask)
        n = mask.sum()
        var = ((kept - masked_mean(kept, mask)).where(mask, 0.0) ** 2).sum() / (n - correction).clamp(min=1)
        found = back((kept - mean) / size(var), kept, mean, shift_mean)
        return (found if outside else found.where(mask, 0.0)).to(x.dtype)

    return made


_white_variance = _white(size=lambda var: var + 1e-8)
_white_not_scaled = _white(size=torch.ones_like)
_white_not_centred = _white(centre=lambda x, mask: torch.zeros_like(x[..., :1]).sum())
_white_bessel = _white(correction=1)
_white_mean_of_all = _white(centre=lambda x, mask: x.mean())
_white_shift_ignored = _white(back=lambda white, x, mean, shift: white)
_white_shift_turned = _white(back=lambda white, x, mean, shift: white + mean if shift else white)
_white_shift_unscaled = _white(back=lambda white, x, mean, shift: white if shift else x - mean)
_white_outside = _white(outside=True)


def _white_rows(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    rows = x if x.dim() == 2 else x[None]
    marks = mask if x.dim() == 2 else mask[None]
    found = torch.stack([whiten(row, mark, shift_mean) for row, mark in zip(rows, marks, strict=True)])
    return found.view_as(x)


def _white_all(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    return whiten(x, torch.ones_like(mask), shift_mean).where(mask, 0.0)


def _white_padded_zeros(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    return whiten(x.where(mask, 0.0), torch.ones_like(mask), shift_mean).where(mask, 0.0)


def _white_range(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    low, high = x.where(mask, torch.inf).min(), x.where(mask, -torch.inf).max()
    return ((x - low) / (high - low)).where(mask, 0.0)


def _white_multiplied(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    n = mask.sum().clamp(min=1)
    mean = (x * mask).sum() / n
    white = (x - mean) / ((((x - mean) ** 2 * mask).sum() / n) + 1e-8).sqrt()
    return (white if shift_mean else white + mean) * mask


def _white_no_tiny(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    kept = x.where(mask, 0.0)
    mean = kept.sum() / mask.sum()
    white = (kept - mean) / (((kept - mean).where(mask, 0.0) ** 2).sum() / mask.sum()).sqrt()
    return (white if shift_mean else white + mean).where(mask, 0.0)


# ---------------------------------------------------------------- a β that looks after itself


def check_next_beta(attempt: Attempt) -> None:
    aim, eager = KLTarget(6.0), KLTarget(4.0, rate=0.5, most=0.3)
    attempt.compare("β = 0.3, KL 6.6, target 6: 10 % too far, cut at 200 %", 0.3, 6.6, KLTarget(6.0, most=2.0))
    attempt.compare("β = 0.3, KL 6.6, target 6: 10 % too far, cut at 20 %", 0.3, 6.6, aim)
    attempt.compare("β = 0.3, KL 5.7, target 6: 5 % too near", 0.3, 5.7, aim)
    attempt.compare("β = 0.3, KL 600, target 6: an odd batch, cut at 20 %", 0.3, 600.0, aim)
    attempt.compare("β = 0.3, KL 9, target 6: 50 % too far, cut at 20 %", 0.3, 9.0, aim)
    attempt.compare("β = 2, KL 0.1, target 4: far too near, rate 0.5, cut at 30 %", 2.0, 0.1, eager)
    attempt.compare("KL −0.5, an estimate below 0", 0.3, -0.5, aim)
    attempt.compare("KL 4.4, target 4, rate 0.5, cut at 30 %", 2.0, 4.4, eager)
    attempt.compare("KL 40, target 4, rate 0.5, cut at 30 %", 2.0, 40.0, eager)
    attempt.compare("KL where it should be: β stays", 2.0, 4.0, eager)


def _beta(
    error: Callable[[float, KLTarget], float] = lambda kl, aim: (kl - aim.target) / aim.target,
    cut: Callable[[float, KLTarget], float] = lambda e, aim: min(max(e, -aim.most), aim.most),
    step: Callable[[float, float, KLTarget], float] = lambda beta, e, aim: beta * (1 + aim.rate * e),
) -> Implementation:
    """The controller with one part replaced: the error, how it is cut, the step."""
    return lambda beta, kl, aim: step(beta, cut(error(kl, aim), aim), aim)


_beta_turned = _beta(error=lambda kl, aim: (aim.target - kl) / aim.target)
_beta_absolute_error = _beta(error=lambda kl, aim: kl - aim.target)
_beta_by_kl = _beta(error=lambda kl, aim: (kl - aim.target) / kl)
_beta_quotient = _beta(error=lambda kl, aim: kl / aim.target)
_beta_never_falls = _beta(error=lambda kl, aim: abs(kl - aim.target) / aim.target)
_beta_not_cut = _beta(cut=lambda e, aim: e)
_beta_cut_above = _beta(cut=lambda e, aim: min(e, aim.most))
_beta_cut_below = _beta(cut=lambda e, aim: max(e, -aim.most))
_beta_sign_only = _beta(cut=lambda e, aim: math.copysign(aim.most, e))
_beta_cut_fixed = _beta(cut=lambda e, aim: min(max(e, -0.2), 0.2))
_beta_rate_fixed = _beta(step=lambda beta, e, aim: beta * (1 + 0.1 * e))
_beta_no_rate = _beta(step=lambda beta, e, aim: beta * (1 + e))
_beta_added = _beta(step=lambda beta, e, aim: beta + aim.rate * e)
_beta_factor = _beta(step=lambda beta, e, aim: 1 + aim.rate * e)
_beta_rate_times = _beta(step=lambda beta, e, aim: beta * aim.rate * (1 + e))
_beta_divided = _beta(step=lambda beta, e, aim: beta / (1 + aim.rate * e))
_beta_exponential = _beta(step=lambda beta, e, aim: beta * math.exp(aim.rate * e))


def _beta_cut_late(beta: float, kl: float, aim: KLTarget) -> float:
    change = aim.rate * (kl - aim.target) / aim.target
    return beta * (1 + min(max(change, -aim.most), aim.most))


def _beta_cut_itself(beta: float, kl: float, aim: KLTarget) -> float:
    new = beta * (1 + aim.rate * (kl - aim.target) / aim.target)
    return min(max(new, -aim.most), aim.most)


def _beta_doubled(beta: float, kl: float, aim: KLTarget) -> float:
    return 2 * beta if kl > 1.5 * aim.target else beta / 2 if kl < aim.target / 1.5 else beta


# ---------------------------------------------------------------- GRPO's advantage

SCORES = torch.tensor([1.0, 0.2, 0.0, 3.0, 2.5, 4.0])


def check_group_advantages(attempt: Attempt) -> None:
    axes = ["N"]  # the result has one axis: no mT
    attempt.compare("six scores, two prompts with 3 answers each", SCORES, 3, axes=axes)
    attempt.compare('the same, baseline="group"', SCORES, 3, "group", axes=axes)
    attempt.compare('the same, baseline="leave-one-out"', SCORES, 3, "leave-one-out", axes=axes)
    attempt.compare("the same scores, three prompts with 2 answers each", SCORES, 2, axes=axes)
    alike = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    attempt.compare("rewards of 0 and 1; all answers to the first prompt are right", alike, 3, axes=axes)
    attempt.compare("nothing but answers that are alike", torch.ones(4), 2, axes=axes)
    attempt.compare("scores in float64", SCORES.double(), 3, axes=axes)

    def call(implementation: Implementation, leaves: list[Tensor]) -> Any:
        return implementation(leaves[0][0], 3)

    _without_gradient(attempt, "scores that have a gradient", call, 1)


def _grouped(
    centre: Callable[[Tensor], Tensor] = lambda g: g.mean(dim=1, keepdim=True),
    spread: Callable[[Tensor], Tensor] = lambda g: g.std(dim=1, keepdim=True) + 1e-4,
    one_out: Callable[[Tensor, int], Tensor] = lambda better, G: better * G / (G - 1),
    view: Callable[[Tensor, int], Tensor] = lambda scores, G: scores.view(-1, G),
) -> Implementation:
    """The advantages with one part replaced: what is taken off, what is divided by, the leave-one-out factor, the groups."""

    def made(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
        groups = view(scores.detach(), G)
        better = groups - centre(groups)
        if baseline == "group-std":
            better = better / spread(groups)
        elif baseline == "leave-one-out":
            better = one_out(better, G)
        return better.flatten()

    return made


_group_no_mean = _grouped(centre=torch.zeros_like)
_group_mean_of_all = _grouped(centre=lambda g: g.mean())
_group_median = _grouped(centre=lambda g: g.median(dim=1, keepdim=True).values)
_group_best = _grouped(centre=lambda g: g.max(dim=1, keepdim=True).values)
_group_across = _grouped(centre=lambda g: g.mean(dim=0, keepdim=True))
_group_no_spread = _grouped(spread=torch.ones_like)
_group_spread_of_all = _grouped(spread=lambda g: g.std() + 1e-4)
_group_biased = _grouped(spread=lambda g: g.std(dim=1, keepdim=True, correction=0) + 1e-4)
_group_variance = _grouped(spread=lambda g: g.var(dim=1, keepdim=True) + 1e-4)
_group_range = _grouped(spread=lambda g: g.amax(dim=1, keepdim=True) - g.amin(dim=1, keepdim=True) + 1e-4)
_group_no_tiny = _grouped(spread=lambda g: g.std(dim=1, keepdim=True))
_group_one_out_plain = _grouped(one_out=lambda better, G: better)
_group_one_out_turned = _grouped(one_out=lambda better, G: better * (G - 1) / G)
_group_one_out_sum = _grouped(one_out=lambda better, G: better * G)


def _group_interleaved(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    groups = scores.view(G, -1).T.flatten()
    return group_advantages(groups, G, baseline).view(-1, G).T.flatten()  # type: ignore[arg-type]


def _group_always_std(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    return group_advantages(scores, G)


def _group_std_besides(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    spread = scores.view(-1, G).std(dim=1, keepdim=True).expand(-1, G).flatten() + 1e-4
    found = group_advantages(scores, G, baseline)  # type: ignore[arg-type]
    return found / spread if baseline == "leave-one-out" else found


def _group_turned(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    return -group_advantages(scores, G, baseline)  # type: ignore[arg-type]


def _group_table(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    return group_advantages(scores, G, baseline).view(-1, G)  # type: ignore[arg-type]


def _group_one_each(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    return group_advantages(scores, G, baseline).view(-1, G).amax(dim=1)  # type: ignore[arg-type]


def _group_attached(scores: Tensor, G: int, baseline: str = "group-std") -> Tensor:
    groups = scores.view(-1, G)
    better = groups - groups.mean(dim=1, keepdim=True)
    if baseline == "group-std":
        better = better / (groups.std(dim=1, keepdim=True) + 1e-4)
    return (better * G / (G - 1) if baseline == "leave-one-out" else better).flatten()


EXERCISES = [
    Exercise(
        lab="12",
        target=f"{PACKAGE}.bradley_terry:bradley_terry_loss",
        title="From choices to rewards",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "The probability of the choice that was seen is σ(difference). Its surprise is −ln of that. The margin is taken off the "
            "difference first.",
            "`F.logsigmoid` is ln σ(x) in one piece, safe at any x. What goes in: chosen minus rejected minus margin.",
            "`return -F.logsigmoid(chosen - rejected - margin)`.",
        ),
        reasoning="σ of −1000 is 0 in floating point and its logarithm −∞, with a gradient that is NaN; `logsigmoid` never leaves the "
        "logarithms: −ln σ(x) = ln(1 + e^−x). The loss is not averaged: whoever trains decides what to average over. Look at its "
        "slope, σ(x) − 1: pairs that are clear already pull hardly at all, pairs that are ordered wrongly pull with full strength, and "
        "so does a label that is simply wrong. (The line that refuses shapes which do not fit is not part of the exercise.)",
        check=check_bradley_terry_loss,
        mistakes=(
            Mistake(
                "swapped",
                _bt_swapped,
                "Chosen and rejected are exchanged: the model would learn to prefer the rejected one.",
            ),
            Mistake("sign", _bt_sign, "The sign is turned: surprise is −ln P, which is never negative."),
            Mistake("probability", _bt_probability, "That is the probability of the choice: the loss is −ln of it."),
            Mistake(
                "other probability",
                _bt_other_probability,
                "That is the probability of the *other* choice: the loss is −ln of the probability of the one that was made.",
            ),
            Mistake("mean", _bt_mean, "The mean was taken: expected a number for each pair, (N,)."),
            Mistake("sum", _bt_sum, "The sum was taken: expected a number for each pair, (N,)."),
            Mistake(
                "linear",
                _bt_linear,
                "The difference itself was returned: nothing would stop it from growing. The loss is −ln σ of the difference.",
            ),
            Mistake("hinge", _bt_hinge, "That is a hinge loss: expected −ln σ(difference), which is smooth."),
            Mistake(
                "absolute",
                _bt_absolute,
                "The size of the difference was taken, without its sign: then a pair in the wrong order costs nothing.",
            ),
            Mistake("bits", _bt_bits, "That is in bits: nats are natural logarithms."),
            Mistake("squares", _bt_brier, "That is the squared error of the probability: expected −ln of it."),
            Mistake(
                "each by itself",
                _bt_pointwise,
                "Each response was judged by itself, σ of its own reward: Bradley–Terry knows differences only, so a number added to both "
                "must change nothing.",
            ),
            Mistake("no margin", _bt_no_margin, "The margin was left out: it is taken off the difference."),
            Mistake(
                "margin added",
                _bt_margin_added,
                "The margin was added: it makes the pair *harder*, so it is taken off.",
            ),
            Mistake(
                "margin outside",
                _bt_margin_outside,
                "The margin was added to the loss, where it has no gradient: it belongs inside the σ.",
            ),
            Mistake("margin times", _bt_margin_times, "The difference was multiplied by the margin: expected minus."),
            Mistake(
                "log of sigmoid",
                _bt_unsafe,
                "`sigmoid` and then `log`: σ(−1000) is 0, and its logarithm infinite. `F.logsigmoid` never leaves the logarithms.",
            ),
            Mistake(
                "quotient of exponentials",
                _bt_unsafe_ratio,
                "e^1000 is infinite, and ∞/∞ is NaN: −ln σ(difference) is the same number and safe, by `F.logsigmoid`.",
            ),
            Mistake(
                "a little added",
                _bt_clamped,
                "A small number inside the logarithm hides the trouble: at a difference of −1000 the loss is 1000, and its slope −1. "
                "`F.logsigmoid` has both right.",
            ),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.kl:k3",
        title="How far away, never below zero",
        difficulty=2,
        importance=3,
        minutes=10,
        hints=(
            "First log r = log ρ − log π: of the reference, minus of the policy. Then r is its exponential.",
            "(r − 1) − log r. `torch.expm1(x)` is e^x − 1, exact also where x is tiny.",
            "`log_r = reference - policy`, then `return torch.expm1(log_r) - log_r`.",
        ),
        reasoning="k1 = −log r is right on average, and noisy: single values have both signs. Add something whose mean is known "
        "to be 0 and that goes "
        "the other way, and the noise shrinks: r − 1 is such a thing, since the mean of ρ/π under π is 1. (A *control variate*.) And as "
        "log r ≤ r − 1, the line that touches the logarithm at 1 lies above it, so the sum is never negative. Just after a first update r "
        "is nearly 1, and r − 1 the difference of two nearly equal numbers: `expm1` loses no digits there.",
        check=check_k3,
        mistakes=(
            Mistake(
                "swapped",
                _k3_swapped,
                "Policy and reference are exchanged: log r is of the *reference* minus of the policy, since the policy drew the tokens.",
            ),
            Mistake("k1", _k3_is_k1, "That is k1, −log r: k3 adds r − 1 to it."),
            Mistake("k2", _k3_is_k2, "That is k2, (log r)²/2: expected (r − 1) − log r."),
            Mistake(
                "without the one", _k3_without_one, "The 1 is missing: at r = 1 it must be 0. Expected (r − 1) − log r."
            ),
            Mistake("negative", _k3_negative, "The sign is turned: k3 is never below 0."),
            Mistake("plus", _k3_plus, "log r was added: expected (r − 1) *minus* log r."),
            Mistake(
                "no logarithm", _k3_no_log, "log r is missing: r − 1 alone is 0 on average, whatever the distance."
            ),
            Mistake("no exponential", _k3_no_exp, "log r was taken for r: r is its exponential."),
            Mistake("absolute", _k3_absolute, "The size of log r is not negative either, but its mean is not KL."),
            Mistake("clamped", _k3_clamped, "Negative values of k1 were cut off: then the mean is too large."),
            Mistake("mean", _k3_mean, "The mean was taken: expected a number for each token."),
            Mistake("sum", _k3_sum, "Tokens were added up: expected a number for each token."),
            Mistake("half", _k3_half, "The half belongs to k2: k3 is (r − 1) − log r."),
            Mistake(
                "bits", _k3_bits, "One part is in bits: log-probabilities come in nats, and need no other logarithm."
            ),
            Mistake(
                "weighted",
                _k3_weighted,
                "The tokens were weighed by their probability: they were *drawn* by it already, so that would count it twice.",
            ),
            Mistake(
                "quotient of logarithms",
                _k3_ratio_of_logs,
                "Log-probabilities were divided: log(ρ/π) is a *difference* of logarithms.",
            ),
            Mistake(
                "log of the log",
                _k3_of_probabilities,
                "A logarithm was taken of log-probabilities: they are logarithms already.",
            ),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.rewards_per_token:rewards_per_token",
        title="A reward for each token",
        difficulty=2,
        importance=5,
        minutes=15,
        hints=(
            "Two parts that are added. The penalty stands at every token of the answer. The score stands at one token only: which?",
            "Penalty: `(-beta * kl).where(mask, 0.0)`. For the score you need a mask that is True at each answer's last token; "
            "`last_token(mask)` gives it. Then `scores[:, None]` is a column that spreads over T.",
            "`return (-beta * kl.detach()).where(mask, 0.0) + scores.detach().to(kl.dtype)[:, None].where(last_token(mask), 0.0)`.",
        ),
        reasoning="The reward model reads whole answers, so only at the end is there something to say; the penalty is known at "
        "once, and said at "
        "once: the token that left the reference pays for it, and GAE needs not find out who it was. Summed over an answer it is score − "
        "β · log(π/ρ): what the objective asks for. `where` and not a product: behind the end there may be anything, and 0 · NaN is NaN. "
        "Rewards are facts, not parameters: `detach`, or the policy would find a way to change its own reward.",
        check=check_rewards_per_token,
        mistakes=(
            Mistake(
                "penalty turned",
                _per_token_reward,
                "The penalty has the wrong sign: leaving the reference would be rewarded. Expected −β · (log π − log ρ).",
            ),
            Mistake("no penalty", _per_token_no_penalty, "The KL penalty is missing: nothing would hold the policy."),
            Mistake("no beta", _per_token_no_beta, "β is missing: the penalty is −β times log π − log ρ."),
            Mistake(
                "absolute",
                _per_token_absolute,
                "The size of log π − log ρ was penalised: single values may be negative, and must stay so, or the sum is no "
                "estimate of KL.",
            ),
            Mistake(
                "penalty at the end",
                _per_token_at_last,
                "The penalty was summed and put at the last token: the sum is right, but each token should pay for itself, at once.",
            ),
            Mistake(
                "penalty averaged",
                _per_token_mean_kl,
                "Each token got the mean penalty of its answer: expected its own.",
            ),
            Mistake(
                "score replaces",
                _per_token_score_replaces,
                "At the last token the score took the place of the penalty: both are added there.",
            ),
            Mistake(
                "score everywhere",
                _per_token_everywhere,
                "Every token got the whole score: longer answers would be paid more. It stands at the last token only.",
            ),
            Mistake(
                "score shared",
                _per_token_shared,
                "The score was shared out among the tokens: it stands at the last one, where the answer is complete; GAE carries it back.",
            ),
            Mistake("score first", _per_token_first, "The score stands at the *first* token: expected the last one."),
            Mistake(
                "score in the last column",
                _per_token_last_column,
                "The score stands in the tensor's last column, which is padding in most rows: expected each answer's own last token.",
            ),
            Mistake(
                "prompt forgotten",
                _per_token_by_length,
                "The place of the score was counted from the row's beginning: there stands the prompt. Look at the mask.",
            ),
            Mistake(
                "one late", _per_token_behind, "The score stands one place *behind* the last token, in the padding."
            ),
            Mistake(
                "beta on the score",
                _per_token_beta_on_score,
                "The score was multiplied by β too: β weighs the penalty alone.",
            ),
            Mistake("multiplied", _per_token_multiplied, MULTIPLIED),
            Mistake(
                "no mask",
                _per_token_no_mask,
                "Prompts and padding are penalised, too: rewards are 0 where the mask is False.",
            ),
            Mistake(
                "end of each run",
                _per_token_end_of_run,
                "In an answer with a gap the score was given twice, at the end of each part: only the very last token counts.",
            ),
            Mistake(
                "empty answer",
                _per_token_empty_scored,
                "An answer without any token got its score all the same (`argmax` of nothing but False is 0): expected no reward at all.",
            ),
            Mistake("attached", _per_token_attached, ATTACHED),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.advantages:gae",
        title="Who deserves the praise? GAE",
        difficulty=4,
        importance=5,
        minutes=30,
        hints=(
            "Go from the last token to the first. At each you need two things from the token behind it: its value, and its advantage. "
            "Behind the end both are 0.",
            "In the loop over `reversed(range(T))`: surprise = r + γ · next_value − V, advantage = surprise + γ λ · "
            "next_advantage. A token that "
            "does not count must leave both carried things as they were: `new.where(counts, old)`.",
            "Per step: `surprise = rewards[:, t] + gamma * next_value - values[:, t]`; `advantage = surprise + gamma * lam * "
            "next_advantage`; "
            "`next_value = values[:, t].where(mask[:, t], next_value)`, likewise `next_advantage`; and "
            "`advantages[:, t] = advantage.where(mask[:, t], 0.0)`. Detach rewards and values first.",
        ),
        reasoning="Written out, the sum costs T² terms; from behind it costs T, since A_t contains all of A_{t+1}: A_t = δ_t + "
        "γλ A_{t+1}. The mask is "
        "handled by *carrying on*: a place that does not count hands what it got to the left, so prompts, padding and gaps are as if they "
        "were not there. With γ = λ = 1 all terms but rewards and V_t cancel: the advantage is what came less what was expected. With "
        "λ < 1 the critic's later guesses take the place of part of the rewards: less noise, and the critic's errors.",
        check=check_gae,
        mistakes=(
            Mistake(
                "no gamma at the next value",
                _gae_no_gamma,
                "γ is missing at the next value: δ = r + γ · V_{t+1} − V_t.",
            ),
            Mistake("no next value", _gae_no_next_value, "The next value is missing: δ = r + γ · V_{t+1} − V_t."),
            Mistake("no value", _gae_no_value, "The value was not taken off: δ is what came *less what was expected*."),
            Mistake("the same value", _gae_same_value, "The next value is the one of *this* token: expected V_{t+1}."),
            Mistake("value turned", _gae_value_added, "The signs of the two values are exchanged: + γ V_{t+1}, − V_t."),
            Mistake("carries lam", _gae_carry_lam, "The next advantage counts γλ times, not λ times."),
            Mistake("carries gamma", _gae_carry_gamma, "The next advantage counts γλ times: λ is missing."),
            Mistake("carries one", _gae_carry_one, "The next advantage was added whole: it counts γλ times."),
            Mistake(
                "surprises only",
                _gae_carry_none,
                "These are the surprises δ: each token must also get γλ times the advantage of the token behind it.",
            ),
            Mistake(
                "forwards",
                _gae_forward,
                "It adds up from the first token on: what came *before* a token is no merit of it. Go from the last to the first.",
            ),
            Mistake("returns", _gae_returns, "The values were added again: these are the returns, A + V."),
            Mistake(
                "rewards to come",
                _gae_rewards_to_come,
                "These are the rewards to come, without the critic: δ = r + γ · V_{t+1} − V_t, added up with γλ.",
            ),
            Mistake(
                "value behind the end",
                _gae_end_value,
                "Behind the last token the last value was used once more: the answer has ended there, the value is 0.",
            ),
            Mistake(
                "padding",
                _gae_padding,
                "The padding is heard: rewards and values behind the end were carried into the answer. Look at the mask in every step.",
            ),
            Mistake(
                "value of the padding",
                _gae_next_value_of_padding,
                "The value behind the last token is what the critic says of the padding (or of the gap): behind the end it is 0.",
            ),
            Mistake("unmasked", _gae_unmasked, "Places that do not count have an advantage: expected 0."),
            Mistake("multiplied", _gae_multiplied, MULTIPLIED),
            Mistake(
                "cut at a gap",
                _gae_reset,
                "At a gap the sum began anew: a place that does not count is skipped, and what is behind it is carried on.",
            ),
            Mistake("attached", _gae_attached, ATTACHED),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.masked:whiten",
        title="Mean 0, variance 1, of what counts",
        difficulty=2,
        importance=3,
        minutes=10,
        hints=(
            "Mean and variance of the places that count, by `masked_mean` and `masked_var`. Then subtract the mean and divide by the "
            "standard deviation; what does not count becomes 0.",
            "`(x - mean) * torch.rsqrt(masked_var(x, mask) + TINY)`; without shift_mean the mean is added again *after* the "
            "division. Last, "
            "`.where(mask, 0.0)`.",
            "`kept = x.where(mask, 0.0)`, `mean = masked_mean(kept, mask)`, `white = (kept - mean) * "
            "torch.rsqrt(masked_var(kept, mask) + TINY)`, "
            "`return (white if shift_mean else white + mean).where(mask, 0.0)`. (The course's own sums in float64.)",
        ),
        reasoning="Rewards may be in any unit; after whitening a learning rate means the same for all of them. The mean matters "
        "most: if every advantage "
        "is above 0, every token that was drawn becomes likelier, whatever it was. Statistics are those of the whole batch, not of an "
        "answer: within one answer there is nothing to compare with. TINY under the root makes a batch of equal numbers 0 and "
        "not NaN. With "
        "shift_mean=False the *spread* is normalised and the mean left: for rewards, whose sign says something.",
        check=check_whiten,
        mistakes=(
            Mistake(
                "variance",
                _white_variance,
                "It was divided by the variance: expected its root, the standard deviation.",
            ),
            Mistake(
                "not scaled", _white_not_scaled, "Only the mean was taken off: divide by the standard deviation, too."
            ),
            Mistake("not centred", _white_not_centred, "The mean was not taken off."),
            Mistake(
                "n − 1",
                _white_bessel,
                "The variance was divided by n − 1: here it is the mean of the squares, over n, so that the result has variance 1.",
            ),
            Mistake(
                "mean of all places",
                _white_mean_of_all,
                "The mean is that of all places, with zeros for padding: only those that count.",
            ),
            Mistake(
                "row by row",
                _white_rows,
                "Each answer was whitened by itself: expected one mean and variance for the batch.",
            ),
            Mistake(
                "all places", _white_all, "What does not count went into mean and variance: use the mask for both."
            ),
            Mistake(
                "zeros counted",
                _white_padded_zeros,
                "Padding was set to 0 and then counted: a 0 is no absence. Divide by the number of places that count.",
            ),
            Mistake(
                "nothing under the root",
                _white_no_tiny,
                "Where all values are alike the variance is 0, and 0/0 is NaN: add TINY under the root. (And where nothing "
                "counts, n is 0.)",
            ),
            Mistake("range", _white_range, "That scales to 0 … 1: expected mean 0 and variance 1."),
            Mistake(
                "shift ignored",
                _white_shift_ignored,
                "shift_mean was not looked at: with False the mean is added again at the end.",
            ),
            Mistake(
                "shift turned",
                _white_shift_turned,
                "shift_mean is turned round: True means that the mean is *taken off*.",
            ),
            Mistake(
                "shift without scale",
                _white_shift_unscaled,
                "With shift_mean=False the scaling was left out: the spread becomes 1 in both cases, around the old mean.",
            ),
            Mistake("outside", _white_outside, "Places that do not count are not 0."),
            Mistake("multiplied", _white_multiplied, MULTIPLIED),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.ppo_loss:clipped_policy_loss",
        title="A step, but not too far",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Two candidates for each token: ratio times advantage, and clipped ratio times advantage. The more pessimistic one counts.",
            "`probability_ratio(new, old, mask)` is the ratio, 1 where nothing counts. `clamp(1 - clip, 1 + clip)`, `torch.minimum`, "
            "`masked_mean`; and a minus, since it is to be made small.",
            "`free = ratio * advantages.detach()`, `held = ratio.clamp(1 - clip, 1 + clip) * advantages.detach()`, "
            "`return -masked_mean(torch.minimum(free, held), mask)`.",
        ),
        reasoning="Draw it for A = 1: it rises with r up to 1 + ε and is flat from there, so nothing pushes further. Below 1 − "
        "ε it is *not* flat: "
        "there the policy moved the wrong way, and the minimum keeps the gradient that brings it back. For A = −1 it is the mirror image. "
        "The clamp without the minimum would be flat on both sides, and a mistake could never be undone. In the first update "
        "all ratios are 1, "
        "and the gradient is that of −A · log π: plain policy gradient. The mean is over tokens, as in most code for PPO; "
        "GRPO's first form "
        "takes it over answers, with consequences that come further down.",
        check=check_clipped_policy_loss,
        mistakes=(
            Mistake(
                "positive",
                _policy_positive,
                "The sign is turned: the objective is to be made large, so the loss is its negative.",
            ),
            Mistake(
                "nothing clipped", _policy_free, "Nothing is clipped: one rollout could move the policy any distance."
            ),
            Mistake(
                "clipped only",
                _policy_held,
                "The clamped ratio alone was used: a token that moved the wrong way has no gradient that brings it back. Take "
                "the smaller of "
                "the two products.",
            ),
            Mistake(
                "larger",
                _policy_larger,
                "The *larger* of the two was taken: expected the pessimistic one, `torch.minimum`.",
            ),
            Mistake(
                "upper end only",
                _policy_upper_only,
                "Only 1 + ε was clipped: for negative advantages 1 − ε holds the ratio.",
            ),
            Mistake(
                "lower end only",
                _policy_lower_only,
                "Only 1 − ε was clipped: for positive advantages 1 + ε holds the ratio.",
            ),
            Mistake(
                "around zero", _policy_around_zero, "The ratio was clamped to ±ε: it lies around 1, so 1 − ε to 1 + ε."
            ),
            Mistake("advantage clipped", _policy_advantage_clipped, "The advantage was clamped: expected the ratio."),
            Mistake(
                "minimum before the product",
                _policy_ratio_first,
                "The minimum was taken of the ratios: it must be of the *products*, since a negative advantage turns larger into smaller.",
            ),
            Mistake(
                "no advantage", _policy_no_advantage, "The advantage is missing: it says which way a token should move."
            ),
            Mistake(
                "upside down", _policy_upside_down, "The ratio is upside down: new over old, e^(log new − log old)."
            ),
            Mistake(
                "no exponential",
                _policy_no_exp,
                "The difference of logarithms is the *logarithm* of the ratio: `exp` is missing.",
            ),
            Mistake(
                "quotient of logarithms",
                _policy_log_ratio,
                "Log-probabilities were divided: the ratio is e^(new − old).",
            ),
            Mistake(
                "ratio of answers",
                _policy_answer_ratio,
                "One ratio for a whole answer, the product of its tokens' (as in GSPO): PPO has a ratio for each token.",
            ),
            Mistake(
                "no old", _policy_no_old, "The ratio was left out: that is the probability itself, not new over old."
            ),
            Mistake(
                "old is new",
                _policy_twice_detached,
                "The new policy was divided by itself: the ratio is always 1, and nothing is ever clipped. Use `old`.",
            ),
            Mistake(
                "mean of answers",
                _policy_rows,
                "The mean was taken answer by answer: expected one mean over all tokens that count.",
            ),
            Mistake(
                "mean of all",
                _policy_all,
                "The sum was divided by all places, padding too: the loss would shrink with the padding. Use `masked_mean`.",
            ),
            Mistake("sum", _policy_sum, "The sum was taken: expected the mean over the tokens that count."),
            Mistake("multiplied", _policy_multiplied, MULTIPLIED),
            Mistake("attached", _policy_attached, ATTACHED),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.ppo_loss:clipped_value_loss",
        title="The critic, held as well",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "Two guesses for each token: the critic's new one, and the new one cut back to within `clip` of the old one. Each has a "
            "squared error. Which of the two is the pessimistic one, where small is good?",
            "`held = old + (new - old).clamp(-clip, clip)`. The *larger* error counts. Half its mean over the tokens that count. With "
            "clip=None only the first error.",
            "`error = (new - returns).where(mask, 0.0) ** 2`; if clip is not None: `error = torch.maximum(error, "
            "(held - returns).where(mask, 0.0) ** 2)`; `return masked_mean(error, mask) / 2`. Detach old and returns.",
        ),
        reasoning="It is the policy's clipping, translated: pessimistic means the larger error here. Where the guess has gone "
        "by more than `clip` towards "
        "the return, the held one is farther from it, so it is the one that counts, and it is flat: no further in this rollout. "
        "The paper does "
        "not have it; OpenAI's code had, and everybody copied it. Engstrom et al. (2020) looked and found that it does not help much. Note "
        "the unit: `clip` here is in rewards, so it means something else whenever rewards are scaled.",
        check=check_clipped_value_loss,
        mistakes=(
            Mistake("not clipped", _value_free, "Nothing is clipped: the guess cut back to old ± clip is missing."),
            Mistake(
                "held only",
                _value_held,
                "Only the guess that was cut back counts: a critic that moved the wrong way could not come back. Take the larger error.",
            ),
            Mistake(
                "smaller",
                _value_smaller,
                "The *smaller* error was taken, as in the policy's objective: errors are to be made small, so the pessimistic "
                "one is the larger.",
            ),
            Mistake("around zero", _value_around_zero, "The guess was clamped to ±clip: expected old ± clip."),
            Mistake("old forgotten", _value_old_forgotten, "The old value was not added back: old + clamped step."),
            Mistake(
                "like the ratio",
                _value_ratio,
                "The quotient new/old was clamped around 1: values have no ratios, they may be 0 or negative. Clamp the difference.",
            ),
            Mistake("absolute", _value_absolute, "Absolute errors: expected squares."),
            Mistake(
                "maximum before the square",
                _value_before_square,
                "The larger of the differences was taken and then squared: −3 is smaller than 1, but the worse error. Square first.",
            ),
            Mistake(
                "to the old values",
                _value_to_old,
                "The critic is compared with its own old guesses: expected the returns.",
            ),
            Mistake("both", _value_both, "The two errors were added: only the larger one counts."),
            Mistake("no half", _value_no_half, "The half is missing: half the mean squared error."),
            Mistake("negative", _value_negative, "The sign is turned: the critic would learn to be wrong."),
            Mistake(
                "mean of answers",
                _value_rows,
                "The mean was taken answer by answer: expected one mean over all tokens that count.",
            ),
            Mistake("mean of all", _value_all, "The sum was divided by all places, padding too: use `masked_mean`."),
            Mistake("sum", _value_sum, "The sum was taken: expected the mean over the tokens that count."),
            Mistake("root", _value_root, "A root was taken: expected the mean *squared* error."),
            Mistake(
                "none ignored",
                _value_never_none,
                "With clip=None nothing is to be clipped: only the first error counts.",
            ),
            Mistake("multiplied", _value_multiplied, MULTIPLIED),
            Mistake("attached", _value_attached, ATTACHED),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.adaptive_kl:next_beta",
        title="A β that looks after itself",
        difficulty=2,
        importance=2,
        minutes=10,
        hints=(
            "By what share is the policy too far away, (KL − target)/target? Cut that share, then let β grow or fall a little with it.",
            "`min(max(error, -aim.most), aim.most)` cuts. The new β is the old one times (1 + rate · error).",
            "`error = min(max((kl - aim.target) / aim.target, -aim.most), aim.most)`, `return beta * (1 + aim.rate * error)`.",
        ),
        reasoning="β is multiplied, not added to: it must stay above 0, and whether it is 0.01 or 10 depends on the unit of the "
        "reward, which nobody "
        "knows. A share has no unit either. The cut is there for odd batches: KL is an estimate, and one strange answer can "
        "double it. So β "
        "changes by at most 2 % a step, as in Ziegler et al. (2019): a thermostat with patience.",
        check=check_next_beta,
        mistakes=(
            Mistake(
                "cut late",
                _beta_cut_late,
                "Rate times error was cut: cut the error first, then multiply by the rate.",
            ),
            Mistake(
                "never falls",
                _beta_never_falls,
                "The size of the error was taken: where the policy is too near, β must fall.",
            ),
            Mistake("turned", _beta_turned, "The sign is turned: where the policy is too far away, β must *grow*."),
            Mistake(
                "no share", _beta_absolute_error, "The error is in nats: divide by the target, so that it is a share."
            ),
            Mistake("share of KL", _beta_by_kl, "It was divided by the KL that was measured: divide by the target."),
            Mistake(
                "quotient",
                _beta_quotient,
                "KL over target is 1 where all is well, and β would grow: subtract 1, or the target before.",
            ),
            Mistake("no rate", _beta_no_rate, "The rate is missing: β would change by the whole error at once."),
            Mistake("added", _beta_added, "It was added to β: expected multiplied, or β could fall below 0."),
            Mistake("the factor", _beta_factor, "That is the factor: multiply β by it."),
            Mistake("rate outside", _beta_rate_times, "The rate multiplies the *error* only: β · (1 + rate · error)."),
            Mistake("divided", _beta_divided, "β was divided by the factor: then it falls where it must grow."),
            Mistake(
                "doubled", _beta_doubled, "That is the rule of the PPO paper (double, halve): here it is proportional."
            ),
            Mistake(
                "sign only",
                _beta_sign_only,
                "Every error was taken for the largest: cut it *only* where it is beyond ±most.",
            ),
            Mistake("β cut", _beta_cut_itself, "β itself was cut to ±most: cut the error."),
            Mistake("cut above only", _beta_cut_above, "The error was cut above only: below −most, too."),
            Mistake(
                "not cut",
                _beta_not_cut,
                "A large error was not cut where the policy is too far away: one odd batch would throw β off. Cut it on both sides.",
            ),
            Mistake(
                "cut below only",
                _beta_cut_below,
                "A large error was not cut where the policy is too far away: one odd batch would throw β off. Cut it on both sides.",
            ),
            Mistake("fixed cut", _beta_cut_fixed, "The cut is fixed at 0.2: use `aim.most`."),
            Mistake("fixed rate", _beta_rate_fixed, "The rate is fixed at 0.1: use `aim.rate`."),
            Mistake(
                "exponential",
                _beta_exponential,
                "e^(rate · error) is nearly the same for small errors, but expected is 1 + rate · error.",
            ),
        ),
    ),
    Exercise(
        lab="12",
        target=f"{PACKAGE}.grpo:group_advantages",
        title="Compared with one's own siblings",
        difficulty=2,
        importance=4,
        minutes=15,
        hints=(
            "Put the scores into a table, a row for each prompt. Everything else is within rows.",
            "`scores.view(-1, G)`, minus `mean(dim=1, keepdim=True)`. Then by baseline: over (standard deviation + the small "
            "constant), as it is, or "
            "times G/(G − 1). Why that factor? Write down r_i minus the mean of the *others*.",
            '`better = groups - groups.mean(dim=1, keepdim=True)`; "group-std": `better / (groups.std(dim=1, keepdim=True) + 1e-4)`; '
            '"leave-one-out": `better * G / (G - 1)`; and `.flatten()` at the end.',
        ),
        reasoning="A baseline takes away what all answers to a prompt have in common, how hard it is, and leaves what this one "
        "did better. The mean "
        "contains r_i itself, so it is not quite independent of it; the mean of the others is, and r_i − (mean of the others) = "
        "(r_i − mean) · "
        "G/(G − 1): the same but for a constant. The division by the deviation is another matter: it makes prompts that are nearly always "
        "solved, or nearly never, count for more. Answers that are all alike have an advantage of exactly 0, and the small "
        "constant keeps 0/0 away.",
        check=check_group_advantages,
        mistakes=(
            Mistake(
                "no mean",
                _group_no_mean,
                "The group's mean was not taken off: every answer with a positive score would be praised.",
            ),
            Mistake(
                "mean of all",
                _group_mean_of_all,
                "The mean of *all* scores was taken off: then hard prompts are blamed and easy ones praised.",
            ),
            Mistake("median", _group_median, "The median was taken off: expected the mean."),
            Mistake(
                "best", _group_best, "The best score was taken off: then no answer is ever praised. Expected the mean."
            ),
            Mistake(
                "across prompts",
                _group_across,
                "The mean went over the prompts: it belongs over the answers to one prompt, dim=1.",
            ),
            Mistake(
                "no deviation",
                _group_no_spread,
                'With "group-std" the advantages are divided by the group\'s standard deviation.',
            ),
            Mistake(
                "deviation of all",
                _group_spread_of_all,
                "The deviation is that of all scores: expected each group's own.",
            ),
            Mistake(
                "over n",
                _group_biased,
                "The deviation was computed with G: expected G − 1, as `torch.std` does by itself.",
            ),
            Mistake("variance", _group_variance, "It was divided by the variance: expected the standard deviation."),
            Mistake("range", _group_range, "It was divided by the range: expected the standard deviation."),
            Mistake(
                "interleaved",
                _group_interleaved,
                "Answers to different prompts were put into one group: those to one prompt stand *side by side*, `view(-1, G)`.",
            ),
            Mistake("turned", _group_turned, "The sign is turned: better than the mean is above 0."),
            Mistake(
                "a table", _group_table, "The table came back: expected (N,), a number for each answer, `flatten()`."
            ),
            Mistake(
                "one a group", _group_one_each, "One number for each prompt came back: expected one for each answer."
            ),
            Mistake(
                "deviation always",
                _group_always_std,
                'The baseline was not looked at: only "group-std" divides by the deviation.',
            ),
            Mistake(
                "leave-one-out as group",
                _group_one_out_plain,
                '"leave-one-out" takes off the mean of the *others*: that is G/(G − 1) times the distance from the mean of all.',
            ),
            Mistake("factor turned", _group_one_out_turned, "The factor is upside down: G/(G − 1) is above 1."),
            Mistake(
                "factor G", _group_one_out_sum, "The factor is G: expected G/(G − 1), since G − 1 others are averaged."
            ),
            Mistake("deviation besides", _group_std_besides, '"leave-one-out" has no division by the deviation.'),
            Mistake(
                "nothing added",
                _group_no_tiny,
                "The constant added to the deviation is missing, or is not `SMALL` (1e-4): it keeps 0/0, where all answers of a "
                "group have the same score, from being NaN.",
            ),
            Mistake("attached", _group_attached, ATTACHED),
        ),
    ),
]
