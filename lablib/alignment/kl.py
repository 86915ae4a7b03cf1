"""How far has the policy moved from the reference? KL(π ‖ ρ), estimated from the tokens that the policy drew.

The exact divergence of two distributions over a vocabulary sums over all V tokens; over whole answers it would sum over all answers there
are. From answers that π drew it can be *estimated*: each estimator below needs only log π and log ρ of the tokens that were drawn.
With log r = log ρ − log π (how much likelier the reference finds the token):

    k1 = −log r            unbiased; often negative, and it varies a lot
    k2 = (log r)² / 2      biased, always ≥ 0, varies little while π is near ρ
    k3 = (r − 1) − log r   unbiased *and* always ≥ 0, since log r ≤ r − 1

"Unbiased" speaks of the *value*, when the tokens were drawn from π. As a term of a *loss* they differ once more, since the tokens come
from π too, and backward() does not know it: the mean gradient of k1 is 0 (it pushes nowhere), that of k2 is the gradient of KL(π ‖ ρ), and
that of k3 is the gradient of KL(ρ ‖ π). PPO puts k1 into the *reward*, where the policy gradient makes it right; GRPO has k3 in the loss.

Papers: Schulman 2020, "Approximating KL Divergence" (joschu.net/blog/kl-approx.html); Tang & Munos 2025, "On a few pitfalls in KL
divergence gradient estimation for RL".

Axes: N answers, T tokens, V vocabulary. All in nats per token; the sum over an answer's tokens is the estimate for the answer.
Left out: estimators for tokens drawn from elsewhere.
"""

import torch
from torch import Tensor


def k1(policy: Tensor, reference: Tensor) -> Tensor:
    """log π − log ρ of each token: the plain estimator, and the penalty of RLHF (Ouyang et al. 2022, equation 2).

    Args:
        policy, reference: log-probabilities of the same tokens, nats, of any one shape, such as (N, T).

    Returns:
        nats, of that shape; their mean over tokens that the policy drew is KL(π ‖ ρ).

    >>> k1(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())  # log 2
    tensor([0.6931])
    """
    check_pair(policy, reference)
    return policy - reference


def k2(policy: Tensor, reference: Tensor) -> Tensor:
    """(log ρ − log π)² / 2 of each token. Arguments and result: see `k1`.

    >>> k2(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())  # (log 2)² / 2
    tensor([0.2402])
    """
    check_pair(policy, reference)
    return (reference - policy) ** 2 / 2


def k3(policy: Tensor, reference: Tensor) -> Tensor:
    """(r − 1) − log r with r = ρ/π, of each token; never below 0. Arguments and result: see `k1`.

    >>> k3(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())  # 1/2 − 1 + log 2
    tensor([0.1931])
    """
    check_pair(policy, reference)
    log_r = reference - policy
    return torch.expm1(log_r) - log_r  # expm1: r − 1 without cancellation where r is near 1


def exact_kl(policy_logits: Tensor, reference_logits: Tensor) -> Tensor:
    """KL(π ‖ ρ) = Σ π (log π − log ρ) over the whole vocabulary, of each next-token distribution.

    Args:
        policy_logits, reference_logits: (..., V).

    Returns:
        (...), nats, ≥ 0; a token that the policy never draws adds 0, one that only the reference excludes makes it infinite.

    >>> exact_kl(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log())  # (log 2 + log 2/3) / 2
    tensor(0.1438)
    """
    check_pair(policy_logits, reference_logits)
    policy, reference = policy_logits.log_softmax(dim=-1), reference_logits.log_softmax(dim=-1)
    p = policy.exp()
    return (p * (policy - reference)).where(p > 0, 0.0).sum(dim=-1)  # (..., V) -> (...)


def check_pair(policy: Tensor, reference: Tensor) -> None:
    """Raise a ValueError where the two do not speak of the same tokens."""
    if policy.shape != reference.shape:
        raise ValueError(
            f"policy has shape {tuple(policy.shape)} and reference {tuple(reference.shape)}: expected the same; "
            "were both computed on the same answers?"
        )
