"""Lab 13: right answers that differ from the reference, and wrong ones that no mistake names."""

import math

import torch
from torch.nn import functional as F

from lablib.alignment.bandit import optimal_policy
from lablib.alignment.dpo_loss import dpo_gradient_weight, dpo_loss, implicit_reward, log_ratio_gap, robust_dpo_loss
from lablib.alignment.dpo_relatives import ipo_loss, kto_reference_point, simpo_loss
from lablib.alignment.log_probs import sequence_log_probs

# ---------------------------------------------------------------- sequence_log_probs


def sum_by_where(token, mask):
    return torch.where(mask, token, 0.0).sum(-1)


def sum_by_scatter(token, mask):
    rows = mask.nonzero()[:, 0]
    return token.new_zeros(len(token)).index_add(0, rows, token[mask])


def sum_by_rows(token, mask):
    return torch.stack([row[counts].sum() for row, counts in zip(token, mask, strict=True)])


def sum_kept_axis(token, mask):
    return token.masked_fill(~mask, 0.0).sum(-1, keepdim=True)


def sum_first_only(token, mask):
    """The first token of each response."""
    first = mask & (mask.cumsum(-1) == 1)
    return sequence_log_probs(token, first)


def sum_up_to_the_end(token, mask):
    """All that stands before the end of the response, the prompt too."""
    last = (mask * torch.arange(1, mask.shape[1] + 1)).amax(-1, keepdim=True)
    return sequence_log_probs(token, torch.arange(mask.shape[1]) < last)


def sum_of_absolutes(token, mask):
    """The value is right, but for its sign, wherever a log-probability is one."""
    return sequence_log_probs(token, mask).abs()


def sum_clamped(token, mask):
    return sequence_log_probs(token.clamp(min=-1.0), mask)


def sum_without_last(token, mask):
    """The stop token is forgotten."""
    left = (mask.flip(-1).cumsum(-1).flip(-1) > 1) & mask
    return sequence_log_probs(token, left)


def sum_nan_to_num(token, mask):
    """Hides what went wrong: a counted −∞ becomes a large number."""
    return torch.nan_to_num(token * mask).sum(-1)


def sum_nansum(token, mask):
    """Hides what went wrong: a counted NaN becomes 0."""
    return torch.nansum(token * mask, -1)


def sum_in_float(token, mask):
    return sequence_log_probs(token.float(), mask)


# ---------------------------------------------------------------- optimal_policy


def optimum_by_largest(reference, reward, beta):
    r = reward.double() / beta
    weights = reference.double() * (r - r.max()).exp()
    return weights / weights.sum()


def optimum_by_log_z(reference, reward, beta):
    logs = reference.double().log() + reward.double() / beta
    return (logs - logs.logsumexp(0)).exp()


def optimum_by_loop(reference, reward, beta):
    largest = max(r / beta for r in reward.tolist())
    weights = [p * math.exp(r / beta - largest) for p, r in zip(reference.tolist(), reward.tolist(), strict=True)]
    return torch.tensor([w / sum(weights) for w in weights], dtype=torch.float64)


def optimum_float32(reference, reward, beta):
    return optimal_policy(reference, reward, beta).float()


def optimum_type_of_the_arguments(reference, reward, beta):
    return (reference.log() + reward / beta).softmax(0)


def optimum_smoothed(reference, reward, beta):
    """A small number under the logarithm: a response that was never given becomes possible."""
    return ((reference.double() + 1e-3).log() + reward.double() / beta).softmax(0)


def optimum_barely_smoothed(reference, reward, beta):
    return ((reference.double() + 1e-12).log() + reward.double() / beta).softmax(0)


def optimum_half_way(reference, reward, beta):
    return (reference.double() + optimal_policy(reference, reward, beta)) / 2


def optimum_two_beta(reference, reward, beta):
    return optimal_policy(reference, reward, 2 * beta)


def optimum_list(reference, reward, beta):
    return optimal_policy(reference, reward, beta).tolist()


def optimum_in_place(reference, reward, beta):
    reward /= beta
    return (reference.double().log() + reward.double()).softmax(0)


def optimum_advantage_only(reference, reward, beta):
    """What is below the mean reward keeps its chance, relative to the rest."""
    gain = (reward.double() - (reference.double() * reward.double()).sum()).clamp(min=0)
    return (reference.double().log() + gain / beta).softmax(0)


# ---------------------------------------------------------------- implicit_reward


def reward_distributed(policy, reference, beta):
    return beta * policy - beta * reference


def reward_by_sub(policy, reference, beta):
    return torch.sub(policy, reference).mul(beta)


def reward_detached_reference(policy, reference, beta):
    return beta * (policy - reference.detach())


def reward_detached_policy(policy, reference, beta):
    return beta * (policy.detach() - reference)


def reward_clipped(policy, reference, beta):
    return implicit_reward(policy, reference, beta).clamp(-0.2, 0.2)


def reward_absolute(policy, reference, beta):
    return implicit_reward(policy, reference, beta).abs()


def reward_fixed_beta(policy, reference, beta):
    return 0.1 * (policy - reference)


def reward_number(policy, reference, beta):
    return implicit_reward(policy, reference, beta).sum().item()


def reward_in_place(policy, reference, beta):
    policy -= reference
    return beta * policy


# ---------------------------------------------------------------- dpo_loss


def dpo_by_softplus(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * (chosen - rejected - ref_chosen + ref_rejected)
    return F.softplus(-z) * (1 - smoothing) + F.softplus(z) * smoothing


def dpo_by_rewards(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = implicit_reward(chosen, ref_chosen, beta) - implicit_reward(rejected, ref_rejected, beta)
    return smoothing * z - F.logsigmoid(z)  # −log σ(−z) = z − log σ(z)


def dpo_by_cross_entropy(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return F.binary_cross_entropy_with_logits(z, torch.full_like(z, 1 - smoothing), reduction="none")


def dpo_clamped(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    right = z.sigmoid().clamp(1e-6, 1 - 1e-6)
    return -(1 - smoothing) * right.log() - smoothing * (1 - right).log()


def dpo_log_of_exp(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    opposite = smoothing * (1 + z.exp()).log() if smoothing else 0.0
    return (1 - smoothing) * (1 + (-z).exp()).log() + opposite


def dpo_small_added(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return -(1 - smoothing) * (z.sigmoid() + 1e-8).log() - smoothing * ((-z).sigmoid() + 1e-8).log()


def dpo_other_default(chosen, rejected, ref_chosen, ref_rejected, beta=0.5, smoothing=0.0):
    return dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, smoothing)


def dpo_reference_detached_policy(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    return dpo_loss(chosen.detach(), rejected, ref_chosen, ref_rejected, beta, smoothing)


def dpo_ratio_of_probabilities(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * ((chosen - ref_chosen).exp() - (rejected - ref_rejected).exp())
    return -(1 - smoothing) * F.logsigmoid(z) - smoothing * F.logsigmoid(-z)


def dpo_hinge(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    return (1 - beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)).clamp(min=0)


def dpo_table(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    z = beta * ((chosen - ref_chosen)[:, None] - (rejected - ref_rejected)[None, :])
    return -(1 - smoothing) * F.logsigmoid(z) - smoothing * F.logsigmoid(-z)


def dpo_single_label(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.0):
    """The label is turned round where ε is above 0."""
    h = log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return -F.logsigmoid(beta * h if smoothing == 0 else -beta * h)


# ---------------------------------------------------------------- dpo_gradient_weight


def weight_by_complement(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return 1 - torch.sigmoid(beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected))


def weight_by_rewards(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return torch.sigmoid(implicit_reward(rejected, ref_rejected, beta) - implicit_reward(chosen, ref_chosen, beta))


def weight_by_softmax(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    rewards = torch.stack([beta * (chosen - ref_chosen), beta * (rejected - ref_rejected)])
    return rewards.softmax(0)[1]


def weight_of_chosen(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return (-implicit_reward(chosen, ref_chosen, beta)).sigmoid()


def weight_rounded(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return (dpo_gradient_weight(chosen, rejected, ref_chosen, ref_rejected, beta) * 100).round() / 100


def weight_doubled(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return 2 * dpo_gradient_weight(chosen, rejected, ref_chosen, ref_rejected, beta)


def weight_normalised(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    found = dpo_gradient_weight(chosen, rejected, ref_chosen, ref_rejected, beta)
    return found / found.sum()


def weight_squared(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return dpo_gradient_weight(chosen, rejected, ref_chosen, ref_rejected, beta) ** 2


def weight_tanh(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return (1 - torch.tanh(beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected))) / 2


def weight_chosen_with_its_reference_twice(chosen, rejected, ref_chosen, ref_rejected, beta=0.1):
    return (-beta * ((chosen - ref_chosen) - (rejected - ref_chosen))).sigmoid()


# ---------------------------------------------------------------- robust_dpo_loss


def robust_by_two_losses(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    right = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta)
    wrong = dpo_loss(rejected, chosen, ref_rejected, ref_chosen, beta)
    return ((1 - flips) * right - flips * wrong) / (1 - 2 * flips)


def robust_by_identity(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return F.softplus(-z) - flips / (1 - 2 * flips) * z  # since log σ(−z) = log σ(z) − z


def robust_absolute(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    return robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, flips).abs()


def robust_divided_by_two(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    return robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, flips) * (1 - 2 * flips) / 2


def robust_other_default(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.2):
    return robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, flips)


def robust_squared_factor(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    found = robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, flips)
    return found / (1 - 2 * flips)


def robust_no_reference(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    return robust_dpo_loss(chosen, rejected, torch.zeros_like(chosen), torch.zeros_like(chosen), beta, flips)


def robust_weights_of_one(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return (-F.logsigmoid(z) + flips * F.logsigmoid(-z)) / (1 - flips)


def robust_soft_floor(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    return F.softplus(robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta, flips))


def robust_detached_second(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, flips=0.1):
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return (-(1 - flips) * F.logsigmoid(z) + flips * F.logsigmoid(-z.detach())) / (1 - 2 * flips)


# ---------------------------------------------------------------- ipo_loss


def ipo_by_mse(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    h = log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return F.mse_loss(h, torch.full_like(h, 0.5 / tau), reduction="none")


def ipo_by_expansion(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    h = (chosen - rejected) - (ref_chosen - ref_rejected)
    return (h - 0.5 / tau).square()


def ipo_turned(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    return ipo_loss(rejected, chosen, ref_rejected, ref_chosen, tau) + 1


def ipo_huber(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    h = log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return F.huber_loss(h, torch.full_like(h, 0.5 / tau), reduction="none")


def ipo_root(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    return ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau).sqrt()


def ipo_probabilities(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    h = log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return (h.sigmoid() - 1 / (2 * tau)) ** 2


def ipo_fixed(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    return ipo_loss(chosen, rejected, ref_chosen, ref_rejected, 0.1)


def ipo_scaled(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    return tau * ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau)


def ipo_cubed(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    return (log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected) - 1 / (2 * tau)).abs() ** 3


def ipo_other_default(chosen, rejected, ref_chosen, ref_rejected, tau=0.05):
    return ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau)


# ---------------------------------------------------------------- kto_reference_point


def point_by_maximum(policy, reference):
    moved = policy.detach().mean() - reference.mean()
    return torch.maximum(moved, torch.zeros_like(moved))


def point_by_relu(policy, reference):
    with torch.no_grad():
        return F.relu((policy - reference).mean())


def point_median(policy, reference):
    return (policy - reference).detach().median().clamp(min=0)


def point_largest(policy, reference):
    return (policy - reference).detach().max().clamp(min=0)


def point_without_first(policy, reference):
    return (policy - reference).detach()[1:].sum().clamp(min=0) / len(policy)


def point_number(policy, reference):
    return max(0.0, (policy - reference).mean().item())


def point_zero(policy, reference):
    return policy.detach().mean() * 0


def point_kept_axis(policy, reference):
    return kto_reference_point(policy, reference)[None]


def point_per_degree_of_freedom(policy, reference):
    return ((policy - reference).detach().sum() / max(1, len(policy) - 1)).clamp(min=0)


def point_softplus(policy, reference):
    return F.softplus((policy - reference).detach().mean())


# ---------------------------------------------------------------- simpo_loss


def simpo_by_softplus(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    one = torch.ones_like(chosen_lengths)
    won = beta * chosen / torch.maximum(chosen_lengths, one)
    lost = beta * rejected / torch.maximum(rejected_lengths, one)
    return F.softplus(gamma + lost - won)


def simpo_by_where(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    n = torch.where(chosen_lengths == 0, 1, chosen_lengths)
    m = torch.where(rejected_lengths == 0, 1, rejected_lengths)
    return -F.logsigmoid(beta * (chosen / n - rejected / m) - gamma)


def simpo_whole_numbers(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    n, m = chosen_lengths.clamp(min=1), rejected_lengths.clamp(min=1)
    return -F.logsigmoid(beta * (chosen // n - rejected // m) - gamma)


def simpo_one_more(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    return simpo_loss(chosen, rejected, chosen_lengths + 1, rejected_lengths + 1, beta, gamma)


def simpo_root_length(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    n, m = chosen_lengths.clamp(min=1), rejected_lengths.clamp(min=1)
    return -F.logsigmoid(beta * (chosen / n.sqrt() - rejected / m.sqrt()) - gamma)


def simpo_other_defaults(chosen, rejected, chosen_lengths, rejected_lengths, beta=0.1, gamma=0.0):
    return simpo_loss(chosen, rejected, chosen_lengths, rejected_lengths, beta, gamma)


def simpo_hinge(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    n, m = chosen_lengths.clamp(min=1), rejected_lengths.clamp(min=1)
    return (gamma - beta * (chosen / n - rejected / m)).clamp(min=0)


def simpo_gamma_outside(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    return simpo_loss(chosen, rejected, chosen_lengths, rejected_lengths, beta, 0.0) + gamma


def simpo_lengths_in_place(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    chosen_lengths += 1
    return simpo_loss(chosen, rejected, chosen_lengths - 1, rejected_lengths, beta, gamma)


def simpo_chosen_only(chosen, rejected, chosen_lengths, rejected_lengths, beta=2.0, gamma=1.0):
    return -F.logsigmoid(beta * chosen / chosen_lengths.clamp(min=1) - gamma)


RIGHT = {
    "sequence_log_probs": [sum_by_where, sum_by_scatter, sum_by_rows],
    "optimal_policy": [optimum_by_largest, optimum_by_log_z, optimum_by_loop],
    "implicit_reward": [reward_distributed, reward_by_sub],
    "dpo_loss": [dpo_by_softplus, dpo_by_rewards, dpo_by_cross_entropy],
    "dpo_gradient_weight": [weight_by_complement, weight_by_rewards, weight_by_softmax],
    "robust_dpo_loss": [robust_by_two_losses, robust_by_identity],
    "ipo_loss": [ipo_by_mse, ipo_by_expansion],
    "kto_reference_point": [point_by_maximum, point_by_relu],
    "simpo_loss": [simpo_by_softplus, simpo_by_where],
}
WRONG = {
    "sequence_log_probs": [
        ("one axis too many", sum_kept_axis, "wrong shape"),
        sum_first_only,
        sum_up_to_the_end,
        sum_of_absolutes,
        sum_clamped,
        sum_without_last,
        ("float", sum_in_float, "wrong dtype"),
        ("nan_to_num", sum_nan_to_num, "in a response"),
        ("nansum", sum_nansum, "in a response"),
    ],
    "optimal_policy": [
        ("float32", optimum_float32, "wrong dtype"),
        ("the arguments' type", optimum_type_of_the_arguments, "wrong dtype"),
        ("a small number", optimum_smoothed, "expected"),
        ("a tiny number", optimum_barely_smoothed, "50 for it"),
        optimum_half_way,
        optimum_two_beta,
        ("a list", optimum_list, "expected"),
        ("in place", optimum_in_place, "in place"),
        optimum_advantage_only,
    ],
    "implicit_reward": [
        ("reference cut off", reward_detached_reference, "gradient"),
        ("policy cut off", reward_detached_policy, "gradient"),
        reward_clipped,
        reward_absolute,
        ("β fixed", reward_fixed_beta, "β = 2"),
        ("a number", reward_number, "expected"),
        ("in place", reward_in_place, "in place"),
    ],
    "dpo_loss": [
        ("clamped", dpo_clamped, "β = 1"),
        ("a small number", dpo_small_added, "β = 1"),
        ("log of exp", dpo_log_of_exp, "never leaves the logarithms"),
        ("default", dpo_other_default, "the default"),
        ("cut off", dpo_reference_detached_policy, "gradient"),
        dpo_ratio_of_probabilities,
        dpo_hinge,
        ("all against all", dpo_table, "wrong shape"),
        ("turned with ε", dpo_single_label, "smoothing = 0.2"),
    ],
    "dpo_gradient_weight": [
        weight_of_chosen,
        weight_rounded,
        weight_doubled,
        weight_normalised,
        weight_squared,
        weight_tanh,
        weight_chosen_with_its_reference_twice,
    ],
    "robust_dpo_loss": [
        robust_absolute,
        robust_divided_by_two,
        ("default", robust_other_default, "the defaults"),
        robust_squared_factor,
        robust_no_reference,
        robust_weights_of_one,
        robust_soft_floor,
        ("cut off", robust_detached_second, "gradient"),
    ],
    "ipo_loss": [
        ipo_turned,
        ipo_huber,
        ipo_root,
        ipo_probabilities,
        ("τ fixed", ipo_fixed, "τ = 0.25"),
        ipo_scaled,
        ipo_cubed,
        ("default", ipo_other_default, "the default"),
    ],
    "kto_reference_point": [
        point_median,
        point_largest,
        point_without_first,
        ("a number", point_number, "expected"),
        point_zero,
        ("one axis too many", point_kept_axis, "wrong shape"),
        point_per_degree_of_freedom,
        point_softplus,
    ],
    "simpo_loss": [
        simpo_whole_numbers,
        simpo_one_more,
        simpo_root_length,
        ("defaults", simpo_other_defaults, "the defaults"),
        simpo_hinge,
        simpo_gamma_outside,
        ("in place", simpo_lengths_in_place, "in place"),
        simpo_chosen_only,
    ],
}
