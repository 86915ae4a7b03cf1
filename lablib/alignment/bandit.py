"""A world of K responses to one prompt: so few that everything in the derivation of DPO can be computed and looked at.

Each response k has a probability π_ref(k) under the reference and a reward r(k). RLHF asks for the policy with the largest

    J(π) = Σ_k π(k) r(k) − β KL(π ‖ π_ref)                       Rafailov et al. 2023, equation 3

and the answer is π*(k) = π_ref(k) exp(r(k)/β) / Z, Z = Σ_k π_ref(k) exp(r(k)/β) (equation 4). At it J is β log Z, which no policy passes,
since J(π) = β log Z − β KL(π ‖ π*). DPO never sees r, only who beats whom, with the chance σ(r(i) − r(j)) (Bradley & Terry 1952). With
enough pairs its loss is the *population* loss below, and its minimum is the same π*. That is the theorem, and here it is a test.

Two things that go wrong can be seen here, too. With preferences that are always the same way round, DPO has no minimum: any policy is
beaten by one with a larger gap, until the loser has probability 0, whatever β is; IPO has one (Azar et al. 2024). And a step that raises
the *gap* between chosen and rejected may lower the *chosen* one: `chosen_moves` says when (Razin et al. 2024, "Unintentional
Unalignment: Likelihood Displacement in Direct Preference Optimization").

Axes: K responses, F features. Everything in float64, nats. Left out: several prompts, which are several bandits.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lablib.alignment.dpo_loss import check_positive, dpo_loss
from lablib.alignment.dpo_relatives import ipo_loss

LARGE = 200  # steps of the optimiser at most; it stops by itself long before


def optimal_policy(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    """The policy that RLHF looks for: π* ∝ π_ref exp(r/β).

    Args:
        reference: probabilities (K,), which sum to 1. reward: (K,). beta: weight of the KL penalty, reward per nat.

    Returns:
        probabilities (K,), in float64 whatever came in. A response that the reference never gives is never given,
        whatever its reward.

    >>> optimal_policy(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), beta=1.0)  # 1 : e
    tensor([0.2689, 0.7311], dtype=torch.float64)
    """
    check_bandit(reference, reward)
    check_positive("beta", beta)
    return (reference.double().log() + reward.double() / beta).softmax(dim=0)  # Rafailov et al. 2023, equation 4


def objective(policy: Tensor, reference: Tensor, reward: Tensor, beta: float) -> float:
    """What RLHF makes large, J(π): the mean reward less β times KL(π ‖ π_ref). Arguments: as in `optimal_policy`;
    policy (K,)."""
    check_bandit(reference, reward)
    check_positive("beta", beta)
    p, q = policy.double(), reference.double()
    kl = torch.where(p > 0, p * (p.log() - q.log()), 0.0).sum()
    return float((p * reward.double()).sum() - beta * kl)  # Rafailov et al. 2023, equation 3


def log_partition(reference: Tensor, reward: Tensor, beta: float) -> float:
    """log Z; β log Z is J at its maximum. It depends on the prompt alone, and in a difference of two rewards it
    cancels."""
    check_bandit(reference, reward)
    check_positive("beta", beta)
    return float((reference.double().log() + reward.double() / beta).logsumexp(dim=0))


def preferences(reward: Tensor) -> Tensor:
    """How often each response beats each other: P[i, j] = σ(r(i) − r(j)), the model of Bradley & Terry; (K,) -> (K, K).

    >>> preferences(torch.tensor([0.0, 1.0]))
    tensor([[0.5000, 0.2689],
            [0.7311, 0.5000]], dtype=torch.float64)
    """
    r = reward.double()
    return (r[:, None] - r[None, :]).sigmoid()


def population_loss(
    log_policy: Tensor, log_reference: Tensor, wins: Tensor, loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """The mean loss over all pairs, each as often as it would be labelled so: that of endless labels; a scalar.

    Args:
        log_policy, log_reference: (K,), nats. wins: P (K, K), from `preferences`; P[i, j] + P[j, i] = 1.
        loss: of the four log-probabilities of pairs, such as `dpo_loss`.

    Both responses of a pair are drawn evenly from the K, one after the other.
    """
    K = len(log_policy)
    i, j = torch.meshgrid(torch.arange(K), torch.arange(K), indexing="ij")  # (K, K): i is chosen, j rejected
    each = loss(log_policy[i], log_policy[j], log_reference[i], log_reference[j])  # (K, K)
    return (wins * each).sum() / K**2


def dpo_solution(reference: Tensor, wins: Tensor, beta: float, steps: int = LARGE) -> Tensor:
    """The policy at the minimum of DPO's population loss, found by descent on K logits: probabilities (K,).

    Args: reference: (K,). wins: (K, K), see `population_loss`. beta: as in `dpo_loss`. steps: of the optimiser at most.
    """
    return minimise(reference, wins, partial(dpo_loss, beta=beta), steps)


def ipo_solution(reference: Tensor, wins: Tensor, tau: float, steps: int = LARGE) -> Tensor:
    """The policy at the minimum of IPO's population loss, by descent; see `ipo_optimum` for the same in closed form."""
    return minimise(reference, wins, partial(ipo_loss, tau=tau), steps)


def ipo_optimum(reference: Tensor, wins: Tensor, tau: float) -> Tensor:
    """IPO's solution written down: π ∝ π_ref exp(w/τ), w(k) how often k beats one drawn evenly (Azar et al. 2024, §5).

    The exponent lies between 0 and 1/τ even where everybody agrees, so no response ever gets the probability 0.
    """
    check_bandit(reference, wins[0])
    check_positive("tau", tau)
    return (reference.double().log() + wins.double().mean(dim=1) / tau).softmax(dim=0)


def minimise(
    reference: Tensor,
    wins: Tensor,
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    steps: int = LARGE,
) -> Tensor:
    """Descend on the logits of a policy from the reference, with L-BFGS; the policy (K,) where it stopped."""
    check_bandit(reference, wins[0])
    log_reference = reference.double().log()
    logits = log_reference.clone().requires_grad_()
    descent = torch.optim.LBFGS(
        [logits], max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        descent.zero_grad()
        value = population_loss(logits.log_softmax(dim=0), log_reference, wins.double(), loss)
        value.backward()
        return value.item()

    descent.step(closure)
    return logits.detach().softmax(dim=0)


# ---------------------------------------------------------------- why the chosen one can fall


def chosen_moves(features: Tensor, weights: Tensor, chosen: int, rejected: int) -> tuple[float, float]:
    """How fast log π(chosen) and log π(rejected) change in a small step of DPO on one pair, where weights are shared.

    Args:
        features: (K, F), a row for each response: π = softmax(features @ weights). weights: (F,).
        chosen, rejected: numbers of the two responses.

    Returns:
        ⟨φ(k) − E_π φ, φ(chosen) − φ(rejected)⟩ for k each of the two: nats, per unit of the step's length times
        β σ(−βh). Their difference is |φ(chosen) − φ(rejected)|², so the gap always grows; each alone can have either
        sign. In a table (features = the identity) the chosen one rises; where both are alike, the mass goes elsewhere.

    >>> chosen_moves(torch.eye(3), torch.zeros(3), 0, 1)  # a table of three: one up, one down, the third stays
    (1.0, -1.0)
    """
    phi = features.double()
    if phi.dim() != 2 or weights.shape != phi.shape[1:]:
        raise ValueError(
            f"features has shape {tuple(features.shape)} and weights {tuple(weights.shape)}: expected (K, F) and (F,)"
        )
    mean = (phi @ weights.double()).softmax(dim=0) @ phi  # (K,) @ (K, F) -> (F,)
    push = phi[chosen] - phi[rejected]  # (F,): the direction of the step
    return float((phi[chosen] - mean) @ push), float((phi[rejected] - mean) @ push)


def check_bandit(reference: Tensor, reward: Tensor) -> None:
    """Raise a ValueError for a reference that is no distribution, or a reward that is not one finite number for each
    response."""
    if reference.dim() != 1 or reference.shape != reward.shape:
        raise ValueError(
            f"reference has shape {tuple(reference.shape)} and the other {tuple(reward.shape)}: expected (K,) for both"
        )
    if bool((reference < 0).any()) or abs(float(reference.double().sum()) - 1) > 1e-6:
        raise ValueError(f"reference = {reference.tolist()}: expected probabilities that sum to 1")
    if not bool(reward.isfinite().all()):
        raise ValueError(f"reward = {reward.tolist()}: expected finite numbers")
