"""The losses of PPO: a policy that may move a little at a time, a critic likewise, and what tells how far they moved.

Rollouts are expensive, so each is used for several updates. After the first one the policy is no longer the one that wrote the answers; the
ratio r = π_new / π_old of each token's probabilities corrects for that. Where r has left [1 − ε, 1 + ε] in the direction that the
advantage asks for, the objective is *clipped*: it is flat there, its gradient 0, and nothing pushes further. In the other direction the
gradient stays, so that a mistake can be undone.

All are means over the tokens that count, so an answer of 60 tokens counts three times as much as one of 20 (see `grpo` for other ways).

Papers: Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (equations 6, 7 and 9); Dhariwal et al. 2017, "OpenAI Baselines"
(`ppo2`: the clipped value loss, which the paper does not have); Engstrom et al. 2020, "Implementation Matters in Deep Policy Gradients"
(whether that helps: they find it does not, much); Huang et al. 2022, "The 37 Implementation Details of Proximal Policy Optimization".

Axes: N answers, T tokens, V vocabulary. Log-probabilities in nats. What stands where a mask, bool (N, T), is False has no influence.
Left out: an adaptive KL penalty in place of clipping (the paper's equation 8; see `adaptive_kl` for that of RLHF).
"""

import torch
from torch import Tensor

from lablib.alignment import kl
from lablib.alignment.masked import check_mask, masked_mean
from lablib.pretraining.sampling import entropy


def probability_ratio(new: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """π_new / π_old of each token, (N, T); 1 where mask is False. new, old: log-probabilities (N, T), a gradient in `new` only.

    >>> probability_ratio(torch.tensor([[0.5]]).log(), torch.tensor([[0.25]]).log(), torch.tensor([[True]]))
    tensor([[2.]])
    """
    kl.check_pair(new, old)
    check_mask(new, mask)
    return (new - old.detach()).where(mask, 0.0).exp()


def clipped_policy_loss(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    """The clipped objective, negated so that it is to be made small: −mean of min(r A, clip(r, 1 − ε, 1 + ε) A).

    Args:
        new: log-probabilities of the answers' tokens under the policy that learns, (N, T), nats, with a gradient.
        old: those under the policy that wrote them, (N, T).
        advantages: (N, T). mask: bool (N, T), True where a token counts. clip: ε, above 0.

    Returns:
        a scalar; 0 where nothing counts.

    Raises:
        ValueError: shapes that differ, a mask that is not bool, clip that is not above 0.

    >>> old, yes = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[True, True]])
    >>> new = torch.tensor([[0.75, 0.25]]).log()  # r = 1.5 and 0.5
    >>> clipped_policy_loss(new, old, torch.tensor([[1.0, 1.0]]), yes, clip=0.25)  # −(1.25 + 0.5) / 2
    tensor(-0.8750)
    """
    check_clip(clip)
    check_mask(advantages, mask)
    ratio = probability_ratio(new, old, mask)
    free = ratio * advantages.detach()  # Schulman et al. 2017, equation 6
    held = ratio.clamp(1 - clip, 1 + clip) * advantages.detach()
    return -masked_mean(torch.minimum(free, held), mask)  # equation 7


def clip_share(new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    """The share of the tokens whose gradient the clipping has taken away, 0 to 1: a scalar. Arguments: `clipped_policy_loss`.

    Some count every ratio outside the interval instead; a token that is on its way back is not held, and does not count here.

    >>> old, new, yes = torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]), torch.tensor([[True, True]])
    >>> clip_share(new, old, torch.tensor([[1.0, -1.0]]), yes)  # both ratios are 1.65; only the first may not go on
    tensor(0.5000)
    """
    check_clip(clip)
    ratio = probability_ratio(new, old, mask).detach()
    held = ((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))
    return masked_mean(held.to(ratio.dtype), mask)


def clipped_value_loss(new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
    """Half the mean squared error of the critic; where it moved by more than `clip`, the larger of two errors counts.

    The two are that of the guess and that of the guess cut back to within `clip` of the old one. The gradient is
    thus 0 where the guess has moved so far towards the return, and the error is that of the guess cut back.

    Args:
        new: values that learn, (N, T), with a gradient. old: values at the rollout, (N, T).
        returns: what they should have been, (N, T). mask: bool (N, T).
        clip: in the rewards' unit, above 0; None: no clipping.

    Returns:
        a scalar, the rewards' unit squared; 0 where nothing counts.

    >>> yes = torch.tensor([[True]])
    >>> new, old, returns = torch.tensor([[0.5]]), torch.tensor([[0.0]]), torch.tensor([[1.0]])
    >>> clipped_value_loss(new, old, returns, yes, clip=0.25)  # 0.75² / 2
    tensor(0.2812)
    """
    check_mask(returns, mask)
    returns, old = returns.detach(), old.detach()
    error = (new - returns).where(mask, 0.0) ** 2  # Schulman et al. 2017, equation 9: L^VF
    if clip is not None:
        check_clip(clip)
        held = old + (new - old).clamp(-clip, clip)
        # Differs from the paper: clipping, as in OpenAI's ppo2
        error = torch.maximum(error, (held - returns).where(mask, 0.0) ** 2)
    return masked_mean(error, mask) / 2


def entropy_bonus(logits: Tensor, mask: Tensor) -> Tensor:
    """How uncertain the policy is, on average over the tokens that count: logits (N, T, V) -> a scalar, nats per token.

    Subtract a small multiple of it from the loss to keep the policy from becoming certain too soon (equation 9's third term).

    >>> entropy_bonus(torch.zeros(1, 2, 4), torch.tensor([[True, False]]))  # log 4
    tensor(1.3863)
    """
    return masked_mean(entropy(logits), mask)  # (N, T, V) -> (N, T) -> ()


def approximate_kl(new: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """How far the updates have moved the policy from the one that wrote the answers: KL(old ‖ new), nats per token, a scalar ≥ 0.

    The estimator k3; its tokens were drawn from the old policy. A common early stop: leave the rollout when it passes 0.02 or so.

    >>> approximate_kl(torch.tensor([[0.25]]).log(), torch.tensor([[0.5]]).log(), torch.tensor([[True]]))  # 1/2 − 1 + log 2
    tensor(0.1931)
    """
    check_mask(new, mask)
    return masked_mean(kl.k3(old.detach(), new.detach()), mask)


def check_clip(clip: float) -> None:
    """Raise a ValueError for a clip range that is none."""
    if not clip > 0:
        raise ValueError(f"clip = {clip}: expected a number > 0, such as 0.2")
