"""How much better was each token than expected? Advantages and returns, by generalized advantage estimation (GAE).

A *value* V_t is the critic's guess, before token t is written, of the reward that is still to come. The surprise of one step is

    δ_t = r_t + γ V_{t+1} − V_t

and GAE adds up the surprises from t on, each counting λγ times as much as the one before it:

    A_t = δ_t + (γλ) δ_{t+1} + (γλ)² δ_{t+2} + …

λ = 0 trusts the critic (A = δ: little variance, as wrong as the critic); λ = 1 trusts the rewards alone (A = rewards to come − V: right on
average, much variance). Answers are episodes: behind the last token there is no value, V = 0. In RLHF γ is mostly 1.

Papers: Schulman et al. 2016, "High-Dimensional Continuous Control Using Generalized Advantage Estimation" (§3, equation 16); Sutton &
Barto 2018, "Reinforcement Learning: An Introduction" (§3.3: returns; §12.1: the λ-return).

Axes: N answers, T tokens. A mask, bool (N, T), is True where a token counts: what stands elsewhere (prompts, padding, even in between) is
skipped as if it were not there.
Left out: a value behind an answer that was cut off (it ends there, whatever would have come), importance weights (V-trace).
"""

import torch
from torch import Tensor

from lablib.alignment.masked import check_mask


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    """Generalized advantage estimation: A_t = δ_t + γλ A_{t+1}, where δ_t = r_t + γ V_{t+1} − V_t is the surprise.

    Behind an answer's last token V and A are 0. Places where mask is False, in between too, are passed over.

    Args:
        rewards: of each token, (N, T). values: the critic's guess before each token, (N, T), in the rewards' unit.
        mask: bool (N, T), True where a token counts. gamma, lam: γ, λ, from 0 to 1.

    Returns:
        advantages (N, T), in the rewards' unit, without gradient; 0 where mask is False.

    Raises: ValueError: shapes that differ, a mask that is not bool, gamma or lam outside 0 to 1.

    >>> one = torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[0.5, 0.25, 9.0]]), torch.tensor([[True, True, False]])
    >>> gae(*one, gamma=1.0, lam=0.5)  # δ = 0 + 0.25 − 0.5 and 1 − 0.25
    tensor([[0.1250, 0.7500, 0.0000]])
    """
    check_same(rewards, values, mask)
    check_shares(gamma=gamma, lam=lam)
    rewards, values = rewards.detach(), values.detach()
    advantages = torch.zeros_like(values)
    next_value = next_advantage = torch.zeros_like(values[:, 0])  # (N,): nothing comes behind the end
    for t in reversed(range(values.shape[1])):
        counts = mask[:, t]  # (N,)
        surprise = rewards[:, t] + gamma * next_value - values[:, t]  # Schulman et al. 2016, §3: δ_t
        advantage = surprise + gamma * lam * next_advantage  # equation 16, as a recursion
        next_value, next_advantage = values[:, t].where(counts, next_value), advantage.where(counts, next_advantage)
        advantages[:, t] = advantage.where(counts, 0.0)
    return advantages


def returns_of(advantages: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """What the critic should have guessed: the λ-return, A + V; (N, T), 0 where mask is False.

    >>> returns_of(torch.tensor([[0.5, 7.0]]), torch.tensor([[0.25, 7.0]]), torch.tensor([[True, False]]))
    tensor([[0.7500, 0.0000]])
    """
    check_same(advantages, values, mask)
    return (advantages + values.detach()).where(mask, 0.0)


def discounted_returns(rewards: Tensor, mask: Tensor, gamma: float = 1.0) -> Tensor:
    """The rewards from each token on, each discounted by γ for every token that it comes later: Σ_k γ^k r_{t+k}.

    It is GAE with λ = 1 and no critic. Arguments and result: see `gae`.

    >>> discounted_returns(torch.tensor([[1.0, 0.0, 4.0]]), torch.tensor([[True, True, True]]), gamma=0.5)
    tensor([[2., 2., 4.]])
    """
    return gae(rewards, torch.zeros_like(rewards), mask, gamma, lam=1.0)  # Sutton & Barto 2018, equation 3.8


def check_same(rewards: Tensor, values: Tensor, mask: Tensor) -> None:
    """Raise a ValueError for tensors that do not speak of the same answers, (N, T)."""
    if rewards.dim() != 2 or rewards.shape != values.shape:
        raise ValueError(
            f"rewards has shape {tuple(rewards.shape)} and values {tuple(values.shape)}: expected (N, T) twice, a number for each "
            "token; `rewards_per_token` spreads one score an answer over its tokens"
        )
    check_mask(values, mask)


def check_shares(**shares: float) -> None:
    """Raise a ValueError for a number that is not between 0 and 1, by its name."""
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} = {value}: expected a number from 0 to 1")
