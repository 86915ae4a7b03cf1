"""Lab 12: right answers that differ from the reference, and wrong ones that no mistake names."""

import math

import torch
from torch.nn import functional as F

from lablib.alignment.advantages import gae
from lablib.alignment.bradley_terry import bradley_terry_loss
from lablib.alignment.grpo import group_advantages
from lablib.alignment.kl import k3
from lablib.alignment.masked import TINY, masked_mean, masked_var, whiten
from lablib.alignment.ppo_loss import clipped_policy_loss, clipped_value_loss
from lablib.alignment.rewards_per_token import rewards_per_token

# ---------------------------------------------------------------- bradley_terry_loss


def bt_by_softplus(chosen, rejected, margin=0.0):
    return F.softplus(rejected + margin - chosen)


def bt_by_logsumexp(chosen, rejected, margin=0.0):
    """−ln of e^c / (e^c + e^r), in logarithms."""
    chosen = chosen - margin
    return torch.logaddexp(chosen, rejected) - chosen


def bt_by_cross_entropy(chosen, rejected, margin=0.0):
    """Two classes, of which the first was seen."""
    logits = torch.stack((chosen - margin, rejected), dim=1)
    return -logits.log_softmax(dim=1)[:, 0]


def bt_one_logit(chosen, rejected, margin=0.0):
    d = chosen - rejected - margin
    return F.binary_cross_entropy_with_logits(d, torch.ones_like(d), reduction="none")


def bt_column(chosen, rejected, margin=0.0):
    return -F.logsigmoid(chosen[:, None] - rejected - margin)


def bt_margin_relu(chosen, rejected, margin=0.0):
    return bradley_terry_loss(chosen, rejected, 0.0 if isinstance(margin, float) else margin)


def bt_detached(chosen, rejected, margin=0.0):
    """Only the chosen response learns."""
    return bradley_terry_loss(chosen, rejected.detach(), margin)


def bt_temperature(chosen, rejected, margin=0.0):
    return bradley_terry_loss(chosen / 2, rejected / 2, margin)


def bt_smoothed(chosen, rejected, margin=0.0):
    return 0.9 * bradley_terry_loss(chosen, rejected, margin) + 0.1 * bradley_terry_loss(rejected, chosen, margin)


def bt_clamped_difference(chosen, rejected, margin=0.0):
    return -F.logsigmoid((chosen - rejected - margin).clamp(-30, 30))


def bt_tanh(chosen, rejected, margin=0.0):
    return -torch.tanh(chosen - rejected - margin)


# ---------------------------------------------------------------- rewards_per_token


def rewards_by_loop(scores, kl, mask, beta):
    found = torch.zeros_like(kl)
    for n in range(len(mask)):
        places = mask[n].nonzero()[:, 0].tolist()
        for t in places:
            found[n, t] = -beta * kl[n, t].item()
        if places:
            found[n, places[-1]] += scores[n].item()
    return found


def rewards_by_index(scores, kl, mask, beta):
    """The last place that counts, as the largest number of a place."""
    found = (-beta * kl.detach()).masked_fill(~mask, 0.0)
    places = torch.arange(mask.shape[1]).expand_as(mask)
    last = places.where(mask, -1).amax(dim=1, keepdim=True)
    return found + (places == last).to(kl.dtype) * scores.detach()[:, None].to(kl.dtype)


def rewards_by_scatter(scores, kl, mask, beta):
    found = torch.zeros_like(kl)
    found[mask] = -beta * kl.detach()[mask]
    some = mask.any(dim=1)
    T = mask.shape[1]
    last = T - 1 - mask.int().flip(1).argmax(dim=1)
    rows = torch.arange(len(mask))[some]
    found[rows, last[some]] += scores.detach()[some].to(kl.dtype)
    return found


def rewards_only_last_row(scores, kl, mask, beta):
    return rewards_per_token(scores.flip(0), kl, mask, beta)


def rewards_minus_score(scores, kl, mask, beta):
    return rewards_per_token(-scores, kl, mask, beta)


def rewards_whitened(scores, kl, mask, beta):
    return rewards_per_token(scores - scores.mean(), kl, mask, beta)


def rewards_summed(scores, kl, mask, beta):
    return rewards_per_token(scores, kl, mask, beta).sum(dim=1)


def rewards_half(scores, kl, mask, beta):
    return rewards_per_token(scores, kl, mask, beta / 2)


def rewards_clamped(scores, kl, mask, beta):
    return rewards_per_token(scores, kl.clamp(min=0), mask, beta)


def rewards_to_come(scores, kl, mask, beta):
    return rewards_per_token(scores, kl, mask, beta).flip(1).cumsum(1).flip(1).where(mask, 0.0)


def rewards_second_last(scores, kl, mask, beta):
    places = mask.flip(1).cumsum(1).flip(1)
    penalty = (-beta * kl.detach()).where(mask, 0.0)
    return penalty + scores.detach()[:, None].to(kl.dtype).where(mask & (places == 2), 0.0)


# ---------------------------------------------------------------- k3


def k3_by_exp(policy, reference):
    log_r = reference - policy
    return log_r.exp() - 1 - log_r


def k3_by_the_ratio(policy, reference):
    r = (reference - policy).exp()
    return r - 1 + (policy - reference)


def k3_turned_round(policy, reference):
    d = policy - reference
    return (-d).exp() + d - 1


def k3_detached(policy, reference):
    """No gradient for the policy, whose penalty it is."""
    return k3(policy.detach(), reference)


def k3_square(policy, reference):
    return (policy - reference) ** 2


def k3_both_ways(policy, reference):
    return (k3(policy, reference) + k3(reference, policy)) / 2


def k3_capped(policy, reference):
    return k3(policy, reference).clamp(max=1.0)


def k3_total_variation(policy, reference):
    return (policy.exp() - reference.exp()).abs()


def k3_python(policy, reference):
    return [[math.exp(r - p) - 1 - (r - p) for p, r in zip(*rows, strict=True)] for rows in zip(policy, reference)]  # noqa: B905


# ---------------------------------------------------------------- gae


def gae_by_brute_force(rewards, values, mask, gamma=1.0, lam=0.95):
    """The double sum, on each answer's own tokens."""
    if rewards.is_meta:
        return torch.zeros_like(values)
    found = torch.zeros_like(values)
    for n in range(len(mask)):
        places = mask[n].nonzero()[:, 0].tolist()
        r, v = rewards[n, places].detach(), values[n, places].detach()
        after = torch.cat((v[1:], v.new_zeros(1)))[: len(places)]
        surprise = r + gamma * after - v
        for i, t in enumerate(places):
            found[n, t] = sum(((gamma * lam) ** (k - i)) * surprise[k] for k in range(i, len(places)))
    return found


def gae_by_lambda_returns(rewards, values, mask, gamma=1.0, lam=0.95):
    """G = r + γ((1 − λ)V' + λ G'), and A = G − V (Sutton and Barto 2018, §12.1)."""
    rewards, values = rewards.detach(), values.detach()
    later, after = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    columns = []
    for t in reversed(range(values.shape[1])):
        counts = mask[:, t]
        goal = rewards[:, t] + gamma * ((1 - lam) * after + lam * later)
        columns.insert(0, (goal - values[:, t]).where(counts, 0.0))
        later, after = goal.where(counts, later), values[:, t].where(counts, after)
    return torch.stack(columns, dim=1)


def gae_by_a_matrix(rewards, values, mask, gamma=1.0, lam=0.95):
    """Surprises times a triangle of powers; the powers count tokens, not places."""
    r, v = rewards.detach().where(mask, 0.0), values.detach().where(mask, 0.0)
    number = mask.cumsum(1)  # (N, T): which token of its answer
    steps = number[:, None, :] - number[:, :, None]  # (N, T, S)
    pairs = mask[:, :, None] & mask[:, None, :] & (steps >= 0)
    follows = (mask[:, :, None] & mask[:, None, :] & (steps == 1)).to(v.dtype)
    after = (follows @ v[:, :, None])[:, :, 0]
    surprise = r + gamma * after - v
    power = torch.full_like(v[:, :, None].expand(-1, -1, v.shape[1]), gamma * lam) ** steps.clamp(min=0)
    return ((power * pairs) @ surprise[:, :, None])[:, :, 0].where(mask, 0.0)


def gae_whitened(rewards, values, mask, gamma=1.0, lam=0.95):
    return whiten(gae(rewards, values, mask, gamma, lam), mask)


def gae_fixed_gamma(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards, values, mask, 0.9, 0.8)


def gae_neighbour(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards.roll(1, 0), values, mask, gamma, lam)


def gae_reward_late(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards.roll(-1, 1), values, mask, gamma, lam)


def gae_monte_carlo(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards, values, mask, gamma, 1.0)


def gae_lam_squared(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards, values, mask, gamma, lam * lam)


def gae_mean_reward(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards - masked_mean(rewards, mask), values, mask, gamma, lam)


def gae_powers_count_places(rewards, values, mask, gamma=1.0, lam=0.95):
    """Right where an answer has no gap: the discount counts places of the tensor."""
    found = gae(rewards, values, mask, gamma, lam)
    inside = mask.cumsum(1).bool() & ~mask
    gap = (inside & mask.flip(1).cumsum(1).flip(1).bool()).any(dim=1, keepdim=True)
    return torch.where(gap, found * gamma * lam, found)


# ---------------------------------------------------------------- clipped_policy_loss


def policy_by_cases(new, old, advantages, mask, clip=0.2):
    """Flat where the ratio has left the interval in the wanted direction."""
    ratio = (new.where(mask, 0.0) - old.detach().where(mask, 0.0)).exp()
    A = advantages.detach().where(mask, 0.0)
    best = torch.where(A >= 0, ratio.clamp(max=1 + clip), ratio.clamp(min=1 - clip))
    return -(best * A).where(mask, 0.0).sum() / mask.sum().clamp(min=1)


def policy_by_maximum(new, old, advantages, mask, clip=0.2):
    """The larger of the two losses, as most code for PPO has it."""
    ratio = torch.exp((new - old.detach()).masked_fill(~mask, 0.0))
    A = advantages.detach().masked_fill(~mask, 0.0)
    return masked_mean(torch.maximum(-A * ratio, -A * torch.clamp(ratio, 1 - clip, 1 + clip)), mask)


def policy_chosen_first(new, old, advantages, mask, clip=0.2):
    if new.is_meta:
        return torch.zeros((), dtype=new.dtype, device=new.device)
    if not mask.any():
        return 0.0 * new.where(mask, 0.0).sum()
    ratio, A = (new[mask] - old[mask].detach()).exp(), advantages[mask].detach()
    return -torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A).mean()


def policy_plain_gradient(new, old, advantages, mask, clip=0.2):
    return -masked_mean(new * advantages.detach(), mask)


def policy_fixed_clip(new, old, advantages, mask, clip=0.2):
    return clipped_policy_loss(new, old, advantages, mask, 0.2)


def policy_wide(new, old, advantages, mask, clip=0.2):
    return clipped_policy_loss(new, old, advantages, mask, 2 * clip)


def policy_logarithmic_clip(new, old, advantages, mask, clip=0.2):
    step = (new - old.detach()).where(mask, 0.0)
    A = advantages.detach()
    return -masked_mean(torch.minimum(step.exp() * A, step.clamp(-clip, clip).exp() * A), mask)


def policy_no_gradient_ratio(new, old, advantages, mask, clip=0.2):
    """The right value, and the gradient of plain policy gradient, which is never flat."""
    right = clipped_policy_loss(new, old, advantages, mask, clip).detach()
    free = -masked_mean((new - old.detach()).where(mask, 0.0).exp() * advantages.detach(), mask)
    return right + free - free.detach()


def policy_whitens(new, old, advantages, mask, clip=0.2):
    return clipped_policy_loss(new, old, whiten(advantages.detach(), mask), mask, clip)


def policy_item(new, old, advantages, mask, clip=0.2):
    return clipped_policy_loss(new, old, advantages, mask, clip).item()


def policy_each(new, old, advantages, mask, clip=0.2):
    ratio = (new - old.detach()).where(mask, 0.0).exp()
    A = advantages.detach().where(mask, 0.0)
    return -torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A)


def policy_neighbour(new, old, advantages, mask, clip=0.2):
    return clipped_policy_loss(new, old, advantages.roll(1, 0), mask, clip)


def policy_learns_nothing(new, old, advantages, mask, clip=0.2):
    return 0.0 * new.where(mask, 0.0).sum()


# ---------------------------------------------------------------- clipped_value_loss


def value_by_cases(new, old, returns, mask, clip=0.2):
    new, old, goal = new.where(mask, 0.0), old.detach().where(mask, 0.0), returns.detach().where(mask, 0.0)
    if clip is None:
        return (new - goal).square().sum() / mask.sum().clamp(min=1) / 2
    held = torch.minimum(torch.maximum(new, old - clip), old + clip)
    worse = torch.where((held - goal).abs() > (new - goal).abs(), held, new)
    return 0.5 * (worse - goal).square().sum() / mask.sum().clamp(min=1)


def value_by_absolute(new, old, returns, mask, clip=0.2):
    """The larger of the sizes, then squared: the same, since squares grow with the size."""
    old, goal = old.detach(), returns.detach()
    size = (new - goal).where(mask, 0.0).abs()
    if clip is not None:
        held = old + (new - old).clamp(-clip, clip)
        size = torch.maximum(size, (held - goal).where(mask, 0.0).abs())
    return masked_mean(size**2, mask) / 2


def value_infinite(new, old, returns, mask, clip=0.2):
    limit = math.inf if clip is None else clip
    new, old, goal = new.masked_fill(~mask, 0.0), old.detach().masked_fill(~mask, 0.0), returns.detach()
    goal = goal.masked_fill(~mask, 0.0)
    held = old + torch.clamp(new - old, min=-limit, max=limit)
    # the unclipped error comes first: where both are the same, as with no limit, its gradient is the whole one
    error = torch.where((held - goal) ** 2 > (new - goal) ** 2, (held - goal) ** 2, (new - goal) ** 2)
    return error.sum() / (2 * mask.sum().clamp(min=1))


def value_fixed_clip(new, old, returns, mask, clip=0.2):
    return clipped_value_loss(new, old, returns, mask, None if clip is None else 0.2)


def value_huber(new, old, returns, mask, clip=0.2):
    return masked_mean(F.huber_loss(new, returns.detach(), reduction="none", delta=clip or 1.0), mask)


def value_swapped(new, old, returns, mask, clip=0.2):
    return clipped_value_loss(old, new, returns, mask, clip)


def value_old_is_return(new, old, returns, mask, clip=0.2):
    return clipped_value_loss(new, returns, old, mask, clip)


def value_zero_none(new, old, returns, mask, clip=0.2):
    return clipped_value_loss(new, old, returns, mask, clip) if clip is not None else 0.0 * new.where(mask, 0.0).sum()


def value_quarter(new, old, returns, mask, clip=0.2):
    return clipped_value_loss(new, old, returns, mask, clip) / 2


def value_no_flat(new, old, returns, mask, clip=0.2):
    """The right value, with the gradient of the unclipped error."""
    free = clipped_value_loss(new, old, returns, mask, None)
    return clipped_value_loss(new, old, returns, mask, clip).detach() + free - free.detach()


def value_masked_too_late(new, old, returns, mask, clip=0.2):
    """The right value; backwards 0 · NaN where nothing counts."""
    old, goal, limit = old.detach(), returns.detach(), math.inf if clip is None else clip
    held = old + (new - old).clamp(-limit, limit)
    return masked_mean(torch.maximum((new - goal) ** 2, (held - goal) ** 2).where(mask, 0.0), mask) / 2


def value_each(new, old, returns, mask, clip=0.2):
    return (new - returns.detach()).where(mask, 0.0) ** 2 / 2


def value_learns_nothing(new, old, returns, mask, clip=0.2):
    return 0.0 * new.where(mask, 0.0).sum()


def value_barely_moves(new, old, returns, mask, clip=0.2):
    return clipped_value_loss(old + (new - old).clamp(-1e-6, 1e-6), old, returns, mask, None)


# ---------------------------------------------------------------- whiten


def whiten_by_sums(x, mask, shift_mean=True):
    kept = x.where(mask, 0.0)
    n = mask.sum().clamp(min=1)
    mean = kept.sum() / n
    away = (kept - mean).where(mask, 0.0)
    white = away / torch.sqrt((away**2).sum() / n + 1e-8)
    return (white if shift_mean else white + mean).where(mask, 0.0)


def whiten_by_choice(x, mask, shift_mean=True):
    if x.is_meta or not mask.any():
        return torch.zeros_like(x)
    some = x[mask]
    white = (some - some.mean()) * torch.rsqrt(some.var(correction=0) + 1e-8)
    return torch.zeros_like(x).masked_scatter(mask, white if shift_mean else white + some.mean())


def whiten_tiny_beside_the_root(x, mask, shift_mean=True):
    """As trl and most PPO code have it: the small number is added to the deviation."""
    kept = x.where(mask, 0.0)
    mean = masked_mean(kept, mask)
    white = (kept - mean) / (masked_var(kept, mask).sqrt() + TINY)
    return (white if shift_mean else white + mean).where(mask, 0.0)


def whiten_by_moments(x, mask, shift_mean=True):
    """Variance as the mean of squares less the square of the mean, in float64, where that is safe."""
    wide = x.double().masked_fill(~mask, 0.0)
    n = mask.sum().clamp(min=1)
    mean = wide.sum() / n
    var = ((wide**2).sum() / n - mean**2).clamp(min=0)
    white = (wide - mean) / (var + 1e-8).sqrt()
    return (white + mean * (not shift_mean)).masked_fill(~mask, 0.0).to(x.dtype)


def whiten_detached_statistics(x, mask, shift_mean=True):
    """Mean and deviation as if they were constants: another gradient."""
    kept = x.where(mask, 0.0)
    mean, size = masked_mean(kept, mask).detach(), (whiten_size(x, mask)).detach()
    white = (kept - mean) / size
    return (white if shift_mean else white + mean).where(mask, 0.0)


def whiten_size(x, mask):
    kept = x.where(mask, 0.0)
    return (masked_mean((kept - masked_mean(kept, mask)) ** 2, mask) + 1e-8).sqrt()


def whiten_mean_of_rows(x, mask, shift_mean=True):
    mean = masked_mean(x, mask, dim=-1)
    mean = mean[..., None].expand_as(x)
    return (whiten(x, mask) + (x - mean) * 0.1).where(mask, 0.0)


def whiten_twice_scaled(x, mask, shift_mean=True):
    return whiten(x, mask, shift_mean) * 2


def whiten_absolute(x, mask, shift_mean=True):
    kept = x.where(mask, 0.0)
    mean = masked_mean(kept, mask)
    return ((kept - mean) / (masked_mean((kept - mean).abs(), mask) + 1e-8)).where(mask, 0.0)


def whiten_large_tiny(x, mask, shift_mean=True):
    kept = x.where(mask, 0.0)
    mean = masked_mean(kept, mask)
    white = (kept - mean) / (masked_mean((kept - mean) ** 2, mask) + 0.1).sqrt()
    return (white if shift_mean else white + mean).where(mask, 0.0)


def whiten_chosen_only(x, mask, shift_mean=True):
    return whiten(x, mask, shift_mean)[mask]


# ---------------------------------------------------------------- next_beta


def beta_by_ratio(beta, kl, aim):
    error = max(-aim.most, min(aim.most, kl / aim.target - 1))
    return beta + beta * aim.rate * error


def beta_by_cases(beta, kl, aim):
    if kl > aim.target * (1 + aim.most):
        return beta * (1 + aim.rate * aim.most)
    if kl < aim.target * (1 - aim.most):
        return beta * (1 - aim.rate * aim.most)
    return beta * (1 + aim.rate * (kl - aim.target) / aim.target)


def beta_by_torch(beta, kl, aim):
    error = torch.tensor((kl - aim.target) / aim.target, dtype=torch.float64).clamp(-aim.most, aim.most)
    return float(beta * (1 + aim.rate * error))


def beta_tensor(beta, kl, aim):
    return torch.tensor(beta_by_ratio(beta, kl, aim))


def beta_stays(beta, kl, aim):
    return beta


def beta_logarithm(beta, kl, aim):
    error = min(max(math.log(max(kl, 1e-9) / aim.target), -aim.most), aim.most)
    return beta * (1 + aim.rate * error)


def beta_only_grows(beta, kl, aim):
    return max(beta, beta_by_ratio(beta, kl, aim))


def beta_negative_kl(beta, kl, aim):
    if kl < 0:
        raise ValueError("kl cannot be below 0")
    return beta_by_ratio(beta, kl, aim)


def beta_dead_zone(beta, kl, aim):
    return beta if abs(kl / aim.target - 1) < aim.most else beta_by_ratio(beta, kl, aim)


# ---------------------------------------------------------------- group_advantages


def group_by_loop(scores, G, baseline="group-std"):
    found = torch.zeros_like(scores)
    for start in range(0, len(scores), G):
        some = scores[start : start + G].detach()
        for i in range(G):
            others = torch.cat((some[:i], some[i + 1 :]))
            found[start + i] = some[i] - (others.mean() if baseline == "leave-one-out" else some.mean())
        if baseline == "group-std":
            found[start : start + G] /= some.std() + 1e-4
    return found


def group_by_reshape(scores, G, baseline="group-std"):
    table = scores.detach().reshape(len(scores) // G, G)
    sums = table.sum(1, keepdim=True)
    if baseline == "leave-one-out":
        return (table - (sums - table) / (G - 1)).reshape(-1)
    away = table - sums / G
    if baseline == "group":
        return away.reshape(-1)
    return (away / ((away**2).sum(1, keepdim=True).div(G - 1).sqrt() + 1e-4)).reshape(-1)


def group_by_repeat(scores, G, baseline="group-std"):
    groups = scores.detach().unflatten(0, (-1, G))
    mean = groups.mean(1).repeat_interleave(G)
    away = scores.detach() - mean
    if baseline == "group-std":
        away = away / (groups.std(1).repeat_interleave(G) + 1e-4)
    return away * (G / (G - 1)) if baseline == "leave-one-out" else away


def group_large_constant(scores, G, baseline="group-std"):
    groups = scores.detach().view(-1, G)
    better = groups - groups.mean(1, keepdim=True)
    return (better / (groups.std(1, keepdim=True) + 1)).flatten()


def group_ranks(scores, G, baseline="group-std"):
    ranks = scores.view(-1, G).argsort(1).argsort(1).to(scores.dtype).flatten()
    return group_advantages(ranks, G, baseline)


def group_softmax(scores, G, baseline="group-std"):
    return scores.detach().view(-1, G).softmax(1).flatten()


def group_first_only(scores, G, baseline="group-std"):
    return scores.detach() - scores.detach()[:G].mean()


def group_fixed_size(scores, G, baseline="group-std"):
    return group_advantages(scores, 3, baseline) if len(scores) % 3 == 0 else group_advantages(scores, G, baseline)


def group_clamped(scores, G, baseline="group-std"):
    return group_advantages(scores, G, baseline).clamp(-1, 1)


def group_skips_alike(scores, G, baseline="group-std"):
    """Groups without any difference are left out, so fewer numbers come back."""
    found = group_advantages(scores, G, baseline)
    return found[found.view(-1, G).any(1).repeat_interleave(G)]


RIGHT = {
    "bradley_terry_loss": [bt_by_softplus, bt_by_logsumexp, bt_by_cross_entropy, bt_one_logit],
    "rewards_per_token": [rewards_by_loop, rewards_by_index, rewards_by_scatter],
    "k3": [k3_by_exp, k3_by_the_ratio, k3_turned_round],
    "gae": [gae_by_brute_force, gae_by_lambda_returns, gae_by_a_matrix],
    "clipped_policy_loss": [policy_by_cases, policy_by_maximum, policy_chosen_first],
    "clipped_value_loss": [value_by_cases, value_by_absolute, value_infinite],
    "whiten": [whiten_by_sums, whiten_by_choice, whiten_by_moments, whiten_tiny_beside_the_root],
    "next_beta": [beta_by_ratio, beta_by_cases, beta_by_torch],
    "group_advantages": [group_by_loop, group_by_reshape, group_by_repeat],
}
WRONG = {
    "bradley_terry_loss": [
        ("all with all", bt_column, "wrong shape"),
        ("a margin only where each has its own", bt_margin_relu, "0.5 for all"),
        ("only the chosen learns", bt_detached, "no gradient reaches"),
        bt_temperature,
        bt_smoothed,
        ("cut at 30", bt_clamped_difference, "−1000"),
        bt_tanh,
    ],
    "rewards_per_token": [
        rewards_only_last_row,
        rewards_minus_score,
        rewards_whitened,
        ("summed", rewards_summed, "wrong shape"),
        rewards_half,
        rewards_clamped,
        rewards_to_come,
        rewards_second_last,
    ],
    "k3": [
        ("the policy learns nothing", k3_detached, "no gradient reaches"),
        k3_square,
        k3_both_ways,
        k3_capped,
        k3_total_variation,
        ("lists", k3_python, "expected a float32 tensor"),
    ],
    "gae": [
        gae_whitened,
        ("fixed gamma and lambda", gae_fixed_gamma, "defaults"),
        gae_neighbour,
        gae_reward_late,
        ("lambda ignored", gae_monte_carlo, "λ = 0.8"),
        gae_lam_squared,
        gae_mean_reward,
        ("discount counts places", gae_powers_count_places, "a gap"),
    ],
    "clipped_policy_loss": [
        policy_plain_gradient,
        ("fixed ε", policy_fixed_clip, "ε = 0.1"),
        policy_wide,
        policy_logarithmic_clip,
        ("never flat", policy_no_gradient_ratio, "the gradient is not"),
        policy_whitens,
        ("a number", policy_item, "expected"),
        ("no mean", policy_each, "wrong shape"),
        policy_neighbour,
        policy_learns_nothing,
    ],
    "clipped_value_loss": [
        ("fixed clip", value_fixed_clip, "clip = 0.25"),
        value_huber,
        value_swapped,
        value_old_is_return,
        ("nothing without clipping", value_zero_none, "clip = None"),
        value_quarter,
        ("never flat", value_no_flat, "the gradient is not"),
        ("masked too late", value_masked_too_late, "*before* the computation"),
        ("no mean", value_each, "wrong shape"),
        value_learns_nothing,
        value_barely_moves,
    ],
    "whiten": [
        ("statistics as constants", whiten_detached_statistics, "the gradient is not"),
        whiten_mean_of_rows,
        whiten_twice_scaled,
        whiten_absolute,
        whiten_large_tiny,
        ("only what counts", whiten_chosen_only, "wrong shape"),
    ],
    "next_beta": [
        ("a tensor", beta_tensor, "expected a plain float"),
        beta_stays,
        beta_logarithm,
        ("only grows", beta_only_grows, "too near"),
        ("no estimate below 0", beta_negative_kl, "below 0"),
        beta_dead_zone,
    ],
    "group_advantages": [
        group_large_constant,
        group_ranks,
        group_softmax,
        group_first_only,
        ("fixed size", group_fixed_size, "three prompts"),
        group_clamped,
        ("groups left out", group_skips_alike, "wrong shape"),
    ],
}
