"""Direct preference optimisation: learn from pairs, with no reward model and no sampling.

RLHF looks for the policy with the most reward that stays near the reference (Rafailov et al. 2023, equation 3). That policy can be
written down: π*(y | x) ∝ π_ref(y | x) exp(r(x, y) / β) (equation 4). Solved for the reward, r = β log π*/π_ref + something that depends on
the prompt alone (equation 5), and in a *difference* of two rewards that something cancels. So the Bradley–Terry loss of a reward model
can be written with the policy in the reward's place, which is equation 7, and minimised directly: the policy *is* the reward model.

    h = log π(w)/π_ref(w) − log π(l)/π_ref(l)        w the chosen response, l the rejected one; both sums over tokens
    loss = −log σ(β h)

Labels are wrong now and then, and a single wrong pair asks for h → −∞. Two cures: the *conservative* loss believes each label with
1 − ε only (a target that is reached at a finite h), the *robust* one is unbiased: over flips its mean is the loss on the true labels.

Papers: Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"; Mitchell 2023, "A note on
DPO with noisy preferences & relationship to IPO" (equation 3); Chowdhury, Kini & Natarajan 2024, "Provably Robust DPO: Aligning Language
Models with Noisy Feedback" (their rDPO). The loss as a pure function of four log-probabilities follows the paper's reference code.

Axes: N pairs. All log-probabilities in nats, of whole responses. Losses come per pair; a step takes their mean.
Left out: IPO, KTO and SimPO (`dpo_relatives`); other divergences than KL(π ‖ π_ref).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TIE = 1e-4  # nats: gaps below it are rounding, such as between a response read alone and read in a batch


def implicit_reward(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """The reward that a policy is the best answer to: r̂ = β log π/π_ref, up to a constant for each prompt.

    Args:
        policy, reference: log-probabilities of the same responses (N,), nats. beta: weight of the KL penalty, > 0.

    Returns:
        (N,), in the units of a reward model's score: only differences between responses to one prompt mean anything.

    >>> import torch
    >>> implicit_reward(torch.tensor([-2.0]), torch.tensor([-5.0]), beta=0.1)
    tensor([0.3000])
    """
    check_positive("beta", beta)
    return beta * (policy - reference)  # Rafailov et al. 2023, equation 5 without β log Z(x)


def log_ratio_gap(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """h: how many nats the policy has moved towards the chosen response and away from the rejected one, together.

    Args:
        chosen, rejected: log-probabilities under the policy (N,), nats.
        ref_chosen, ref_rejected: the same under the reference.

    Returns:
        (N,), nats; 0 where the policy is the reference, and where both responses are the same.

    Raises:
        ValueError: shapes that differ: they would be stretched, silently, to a table of all against all.
    """
    shapes = [tuple(x.shape) for x in (chosen, rejected, ref_chosen, ref_rejected)]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"chosen, rejected, ref_chosen and ref_rejected have the shapes {', '.join(map(str, shapes))}: "
            "expected one shape, (N,)"
        )
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    smoothing: float = 0.0,
) -> Tensor:
    """How badly the policy, read as a reward model, explains that the chosen response was chosen: −log σ(β h).

    Args:
        chosen, rejected, ref_chosen, ref_rejected: (N,), nats; see `log_ratio_gap`.
        beta: how dear it is to leave the reference, > 0: the smaller, the farther the policy goes.
        smoothing: ε, how likely it is that a label is wrong, from 0 to below 1/2: the conservative loss.

    Returns:
        (N,), nats; log 2 where the policy is the reference.

    >>> import torch
    >>> one = [torch.tensor([x]) for x in (-2.0, -6.0, -3.0, -4.0)]  # h = 1 + 2
    >>> dpo_loss(*one, beta=1.0)  # log(1 + exp(−3))
    tensor([0.0486])
    """
    check_positive("beta", beta)
    check_flips("smoothing", smoothing)
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    # Rafailov et al. 2023, equation 7; with ε: Mitchell 2023, equation 3
    return -(1 - smoothing) * F.logsigmoid(z) - smoothing * F.logsigmoid(-z)


def dpo_gradient_weight(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """How much a pair still teaches: σ(r̂(l) − r̂(w)), near 1 where the order is wrong still, near 0 where it is sure.

    The gradient of `dpo_loss` (smoothing = 0) is −β · this weight · (∇ log π(w) − ∇ log π(l)): the same push for all
    pairs but for this number. Without it, rejected responses would be pushed down for ever, and the model would fall
    to pieces.

    Args: see `dpo_loss`.
    Returns: (N,), from 0 to 1.

    >>> import torch
    >>> dpo_gradient_weight(*[torch.tensor([x]) for x in (-2.0, -6.0, -3.0, -4.0)], beta=1.0)  # σ(−3)
    tensor([0.0474])
    """
    check_positive("beta", beta)
    # Rafailov et al. 2023, §4, "What does the DPO update do?"
    return (-beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)).sigmoid()


def robust_dpo_loss(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1, flips: float = 0.1
) -> Tensor:
    """A loss whose mean over noisy labels is the loss on true ones: it pays back what flipped labels cost.

    Args:
        chosen, rejected, ref_chosen, ref_rejected, beta: see `dpo_loss`.
        flips: ε, the share of labels that are the wrong way round, from 0 to below 1/2. It has to be known, or guessed.

    Returns:
        (N,), nats. It can be below 0, and where a pair is far on the right side it falls without end: it is unbiased,
        not bounded.

    >>> import torch
    >>> one = [torch.tensor([x]) for x in (-2.0, -6.0, -3.0, -4.0)]  # βh = 3
    >>> robust_dpo_loss(*one, beta=1.0, flips=0.25)  # (0.75 · 0.0486 − 0.25 · 3.0486) / 0.5
    tensor([-1.4514])
    """
    check_positive("beta", beta)
    check_flips("flips", flips)
    z = beta * log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    # Chowdhury et al. 2024, rDPO: the loss of the label less that of the flipped label, each by its chance
    return (-(1 - flips) * F.logsigmoid(z) + flips * F.logsigmoid(-z)) / (1 - 2 * flips)


def implicit_accuracy(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """The share of pairs that the policy, read as a reward model, orders as the labels do; a scalar. A tie counts half.

    Args: see `log_ratio_gap`. At the reference itself every pair is a tie, to within rounding: 1/2, which is chance.

    >>> import torch
    >>> implicit_accuracy(torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -3.0]), *torch.full((2, 2), -2.0))
    tensor(0.7500)
    """
    h = log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    tie = h.abs() <= TIE
    return torch.where(tie, 0.5, (h > 0).to(h.dtype)).mean()


def check_positive(name: str, value: float) -> None:
    """Raise a ValueError for a weight or temperature that is not above 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} = {value!r}: expected a finite number > 0, such as 0.1")


def check_flips(name: str, value: float) -> None:
    """Raise a ValueError for a share of wrong labels from which nothing could be learned."""
    if not 0 <= value < 0.5:
        raise ValueError(
            f"{name} = {value!r}: expected a share of wrong labels, at least 0 and below 1/2 (at 1/2 a label says nothing)"
        )
