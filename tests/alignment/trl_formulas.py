"""What `trl` computes, formula by formula, written down anew for the tests: they need no `trl` so.

PPO: `trl` 0.29.1, trl/experimental/ppo/ppo_trainer.py (`masked_mean`, `masked_whiten`, `PPOTrainer.train`; later versions have no PPO).
GRPO: `trl` 1.16.0, trl/trainer/grpo_trainer.py (`_compute_loss`, and the advantages before it). RLOO: trl/trainer/rloo_trainer.py.
Masks are 1 where a token counts; nothing is guarded against an empty one there.
"""

import torch


def mean(x, mask):
    return (x * mask).sum() / mask.sum()


def whitened(x, mask, shift_mean=True):
    middle = mean(x, mask)
    n = mask.sum()
    variance = mean((x - middle) ** 2, mask) * n / (n - 1)
    white = (x - middle) * torch.rsqrt(variance + 1e-8)
    return white if shift_mean else white + middle


def gae(rewards, values, gamma, lam):
    """Without a mask: rewards and values are 0 behind the end."""
    last, found = 0, []
    length = rewards.shape[1]
    for t in reversed(range(length)):
        after = values[:, t + 1] if t < length - 1 else 0.0
        last = rewards[:, t] + gamma * after - values[:, t] + gamma * lam * last
        found.append(last)
    return torch.stack(found[::-1], dim=1)


def ppo_loss(new, old, advantages, mask, clip):
    ratio = torch.exp(new - old)
    plain, held = -advantages * ratio, -advantages * torch.clamp(ratio, 1 - clip, 1 + clip)
    return mean(torch.max(plain, held), mask), mean((held > plain).float(), mask)


def value_loss(new, old, returns, mask, clip):
    held = torch.clamp(new, old - clip, old + clip)
    return 0.5 * mean(torch.max((new - returns) ** 2, (held - returns) ** 2), mask)


def kl(policy, reference, which):
    log_r = reference - policy
    return -log_r if which == "k1" else (log_r.exp() - 1) - log_r


def rewards(scores, policy, reference, mask, beta, which="k1"):
    """The score at the last token. (`trl` writes it one place further where there is room, since it gives that place a value, too.)"""
    found = -beta * kl(policy, reference, which) * mask
    for row, counts in enumerate(mask):
        found[row, int(counts.nonzero()[-1])] += scores[row]
    return found


def group_advantages(scores, G, scale=True):
    groups = scores.view(-1, G)
    found = groups - groups.mean(dim=1, keepdim=True)
    return (found / (groups.std(dim=1, keepdim=True) + 1e-4) if scale else found).flatten()


def leave_one_out(scores, G):
    groups = scores.view(-1, G)
    return (groups - (groups.sum(dim=1, keepdim=True) - groups) / (G - 1)).flatten()


def grpo_loss(new, old, reference, advantages, mask, beta, clip, kind, longest):
    ratio = torch.exp(new - old)
    gain = torch.min(ratio * advantages[:, None], torch.clamp(ratio, 1 - clip, 1 + clip) * advantages[:, None])
    penalty = torch.exp(reference - new) - (reference - new) - 1
    token = -gain + beta * penalty
    if kind == "grpo":
        return ((token * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    if kind == "dr_grpo":
        return (token * mask).sum() / (token.size(0) * longest)
    raise ValueError(kind)
