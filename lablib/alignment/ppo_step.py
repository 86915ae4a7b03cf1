"""The arithmetic of one step of PPO, from scores to a loss, on tensors alone: which model they come from does not matter here.

    signal = learning_signal(scores, old, reference, values, mask, beta, objective, pieces)                    once a rollout
    terms = step_loss(new, new_values, entropy, old, values, signal, mask, objective, pieces)                  each update

`ppo` puts a language model around it, `probe_tasks` a table: what the probes test is what trains the model. `Pieces` are the functions
that it is made of; put your own in.

Papers: Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (equation 9); Ouyang et al. 2022, "Training language models to
follow instructions with human feedback" (equation 2); Huang et al. 2022, "The 37 Implementation Details of Proximal Policy Optimization"
(whitened advantages, the clipping of gradients and values).

Axes: N answers, T tokens. Log-probabilities in nats.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lablib.alignment import kl
from lablib.alignment.adaptive_kl import KLTarget
from lablib.alignment.advantages import check_shares, gae, returns_of
from lablib.alignment.masked import masked_mean, whiten
from lablib.alignment.ppo_loss import (
    approximate_kl,
    check_clip,
    clip_share,
    clipped_policy_loss,
    clipped_value_loss,
)
from lablib.alignment.rewards_per_token import SCALES, penalise_length, penalise_unfinished, rewards_per_token, scaled


@dataclass(frozen=True)
class Pieces:
    """The functions that PPO is made of.

    Args:
        kl: see `kl.k1`. rewards: `rewards_per_token`. gae: `advantages.gae`. whiten: `masked.whiten`.
        policy_loss: `ppo_loss.clipped_policy_loss`. value_loss: `ppo_loss.clipped_value_loss`.
    """

    kl: Callable[[Tensor, Tensor], Tensor] = kl.k1
    rewards: Callable[[Tensor, Tensor, Tensor, float], Tensor] = rewards_per_token
    gae: Callable[[Tensor, Tensor, Tensor, float, float], Tensor] = gae
    whiten: Callable[[Tensor, Tensor], Tensor] = whiten
    policy_loss: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor] = clipped_policy_loss
    value_loss: Callable[[Tensor, Tensor, Tensor, Tensor, float | None], Tensor] = clipped_value_loss


@dataclass(frozen=True)
class Objective:
    """What is made large, and how carefully.

    Args:
        beta: weight of the KL penalty, reward per nat; of the first step where `kl_target` is given.
        kl_target: turn beta after each step so that KL(π ‖ ρ) stays near it, nats per answer. None: beta stays.
        gamma, lam: of GAE.
        clip: ε of the policy. value_clip: of the critic, in the rewards' unit; None: no clipping.
        value_weight, entropy_weight: of their terms in the loss.
        scale: of the scores within a rollout: "raw", "centred" or "whitened". whiten: the advantages, too?
        unfinished: taken from the score of an answer that has no end. length, free: taken for each token beyond the first `free`.
    """

    beta: float = 0.2
    kl_target: KLTarget | None = None
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float | None = 0.2
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    scale: str = "centred"
    whiten: bool = True
    unfinished: float = 1.0
    length: float = 0.0
    free: int = 0

    def __post_init__(self) -> None:
        check_shares(gamma=self.gamma, lam=self.lam)
        check_clip(self.clip)
        check_clip(math.inf if self.value_clip is None else self.value_clip)
        for name in ("beta", "value_weight", "entropy_weight", "unfinished", "length", "free"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a number >= 0")
        if self.kl_target is not None and self.beta == 0:
            raise ValueError("beta = 0 with a kl_target: expected beta > 0, which the controller multiplies")
        if self.scale not in SCALES:
            raise ValueError(f"scale = {self.scale!r}: expected one of {', '.join(SCALES)}")


@dataclass(frozen=True)
class Signal:
    """What a rollout teaches: rewards, advantages, returns (N, T), without gradient, 0 where nothing counts."""

    rewards: Tensor
    advantages: Tensor
    returns: Tensor


def shaped_scores(scores: Tensor, finished: Tensor, lengths: Tensor, objective: Objective) -> Tensor:
    """The scores that are learned from: with the penalties for unfinished and for long answers, then scaled; all (N,)."""
    scores = penalise_unfinished(scores, finished, objective.unfinished)
    return scaled(penalise_length(scores, lengths, objective.length, objective.free), objective.scale)


def learning_signal(
    scores: Tensor,
    old: Tensor,
    reference: Tensor,
    values: Tensor,
    mask: Tensor,
    beta: float,
    objective: Objective,
    pieces: Pieces,
) -> Signal:
    """From scores (N,), as they shall be learned from, to advantages and returns.

    Args:
        old, reference: log-probabilities (N, T) under the policy that wrote the answers and under the reference.
        values: the critic's guesses (N, T). mask: bool (N, T).
    """
    rewards = pieces.rewards(scores, pieces.kl(old, reference).where(mask, 0.0), mask, beta)
    advantages = pieces.gae(rewards, values, mask, objective.gamma, objective.lam)
    returns = returns_of(advantages, values, mask)  # before whitening: the critic learns rewards, not their ranks
    return Signal(rewards, pieces.whiten(advantages, mask) if objective.whiten else advantages, returns)


@dataclass(frozen=True)
class Terms:
    """A loss and what it is made of.

    Attributes:
        loss: with a gradient. policy, value: its terms before their weights.
        clip_share: share of the tokens that the clipping holds. update_kl: `approximate_kl`, nats per token.
    """

    loss: Tensor
    policy: Tensor
    value: Tensor
    clip_share: Tensor
    update_kl: Tensor


def step_loss(
    new: Tensor,
    new_values: Tensor,
    entropy: Tensor | None,
    old: Tensor,
    values: Tensor,
    signal: Signal,
    mask: Tensor,
    objective: Objective,
    pieces: Pieces,
) -> Terms:
    """The loss of some answers; all (N, T).

    Args:
        new, new_values: of the policy and the critic that learn, with a gradient. old, values: from the rollout.
        entropy: of the policy that learns, with a gradient; None: no bonus, whatever its weight.
    """
    policy = pieces.policy_loss(new, old, signal.advantages, mask, objective.clip)
    value = pieces.value_loss(new_values, values, signal.returns, mask, objective.value_clip)
    loss = policy + objective.value_weight * value  # Schulman et al. 2017, equation 9, with the opposite sign
    if entropy is not None:
        loss = loss - objective.entropy_weight * masked_mean(entropy, mask)
    with torch.no_grad():
        held, moved = clip_share(new, old, signal.advantages, mask, objective.clip), approximate_kl(new, old, mask)
    return Terms(loss, policy.detach(), value.detach(), held, moved)
