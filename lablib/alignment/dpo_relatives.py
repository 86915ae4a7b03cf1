"""Three other losses for preferences, each with one thing of DPO's changed.

IPO     another *shape*: (h − 1/(2τ))². DPO's loss can always be lowered by a larger h, so a pair that everybody labels alike drives the
        rejected response's probability to 0, whatever β is. A square has a target, and the pull to the reference stays.
KTO     no *pairs*: single responses, each marked good or bad, held against how far the policy has moved on the whole. Like people in
        prospect theory, it feels losses and gains from a reference point, each less and less.
SimPO   no *reference*: the mean log-probability of a token is the reward, and the chosen response must win by a margin γ. One
        model less in memory; the length no longer counts; nothing holds the policy back but the learning rate and the number of steps.

Papers: Azar et al. 2024, "A General Theoretical Paradigm to Understand Learning from Human Preferences"; Ethayarajh et al. 2024, "KTO:
Model Alignment as Prospect Theoretic Optimization"; Meng, Xia & Chen 2024, "SimPO: Simple Preference Optimization with a Reference-Free
Reward".

Axes: N pairs or responses. Log-probabilities in nats, of whole responses. Losses come per pair or response; a step takes their mean.
Left out: ORPO, CPO, SLiC and the many more; their code would differ by a line.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.alignment.dpo_loss import check_positive, log_ratio_gap


def ipo_loss(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, tau: float = 0.1) -> Tensor:
    """How far the gap h is from the one that it should have: (h − 1/(2τ))².

    Args:
        chosen, rejected, ref_chosen, ref_rejected: (N,), nats; see `log_ratio_gap`. Sums over tokens, as in the
            paper. `trl` takes means: divide each by its response's length for that, and τ means something else.
        tau: weight of the pull to the reference, > 0.

    Returns:
        (N,), nats²; 0 where h is 1/(2τ), and larger again beyond.

    >>> one = [torch.tensor([x]) for x in (-2.0, -6.0, -3.0, -4.0)]  # h = 3
    >>> ipo_loss(*one, tau=0.25)  # (3 − 2)²
    tensor([1.])
    """
    check_positive("tau", tau)
    h = log_ratio_gap(chosen, rejected, ref_chosen, ref_rejected)
    return (h - 1 / (2 * tau)) ** 2  # Azar et al. 2024, equation 17


def kto_reference_point(policy: Tensor, reference: Tensor) -> Tensor:
    """How far the policy has moved on the whole, cheaply: z₀ = max(0, mean log π/π_ref), a scalar without a gradient.

    Args:
        policy, reference: log-probabilities (N,), nats, of responses that belong to *other* prompts of the batch.

    Ethayarajh et al. 2024, §4.1: an estimate of KL(π ‖ π_ref) would need samples of the policy; responses that do not
    fit their prompt stand in for them. Biased, but it has the right sign and costs no sampling.

    >>> kto_reference_point(torch.tensor([-1.0, -4.0]), torch.tensor([-2.0, -7.0]))
    tensor(2.)
    """
    return (policy - reference).detach().mean().clamp(min=0)


def kto_loss(
    policy: Tensor,
    reference: Tensor,
    desirable: Tensor,
    z0: Tensor,
    beta: float = 0.1,
    weight_desirable: float = 1.0,
    weight_undesirable: float = 1.0,
) -> Tensor:
    """The value that is missing, with r = log π/π_ref: λ_D (1 − σ(β (r − z₀))) if good, λ_U (1 − σ(β (z₀ − r))) if bad.

    Args:
        policy, reference: log-probabilities (N,), nats. desirable: bool (N,). z0: from `kto_reference_point`.
        beta: > 0. weight_desirable, weight_undesirable: λ_D, λ_U > 0, against unequal numbers of good and bad ones.

    Returns:
        (N,), from 0 to λ.

    >>> r, none = torch.tensor([0.0, 0.0]), torch.zeros(2)
    >>> kto_loss(r, none, torch.tensor([True, False]), z0=torch.tensor(0.0))
    tensor([0.5000, 0.5000])
    """
    check_positive("beta", beta)
    check_positive("weight_desirable", weight_desirable)
    check_positive("weight_undesirable", weight_undesirable)
    gain = beta * (policy - reference - z0)
    value = torch.where(desirable, gain.sigmoid(), (-gain).sigmoid())  # Ethayarajh et al. 2024, §4: v(x, y) without λ
    return torch.where(desirable, weight_desirable, weight_undesirable) * (1 - value)


def simpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Tensor:
    """−log σ(β (mean log π(w) − mean log π(l)) − γ): nats per *token*, and no reference.

    Args:
        chosen, rejected: log-probabilities under the policy (N,), nats, sums over tokens.
        chosen_lengths, rejected_lengths: tokens of each response (N,). An empty one has the mean 0.
        beta: > 0, far above DPO's, since a mean is smaller than a sum. gamma: the margin to win by, ≥ 0.

    Returns:
        (N,), nats.

    >>> one = [torch.tensor([x]) for x in (-2.0, -6.0, 2.0, 3.0)]  # −1 and −2 nats a token
    >>> simpo_loss(*one, beta=2.0, gamma=1.0)  # log(1 + exp(−(2 − 1)))
    tensor([0.3133])
    """
    check_positive("beta", beta)
    if not 0 <= gamma < float("inf"):
        raise ValueError(f"gamma = {gamma!r}: expected a margin >= 0")
    means = chosen / chosen_lengths.clamp(min=1) - rejected / rejected_lengths.clamp(min=1)
    return -F.logsigmoid(beta * means - gamma)  # Meng et al. 2024, equation 6
