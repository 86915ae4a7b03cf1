"""GRPO: what PPO became when the critic was dropped. Several answers to each prompt are compared with each other.

The critic's job is to say what was to be expected. With G answers to the same prompt their mean score says it, too: no second model, no
value loss, half the memory. Each token of an answer gets the same advantage, that of the answer in its group:

    A_i = (r_i − mean of the group) / standard deviation of the group

and the KL penalty moves from the reward into the loss. Two of its divisions bias it, as Liu et al. show ("Dr. GRPO" leaves both out):

- by each answer's *length*: a wrong answer's blame is spread over its tokens, so long wrong answers are punished less per token than short
  ones, and right ones are praised more per token when they are short. Where answers are often wrong, they grow;
- by the group's *standard deviation*: prompts that are nearly always or nearly never answered rightly count more than those in between.

Papers: Shao et al. 2024, "DeepSeekMath" (§4.1, equations 3 and 4); Liu et al. 2025, "Understanding R1-Zero-Like Training: A Critical
Perspective" (§3.1); Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!" and Ahmadian et al. 2024, "Back to Basics"
(leave-one-out, RLOO).

Axes: P prompts, G answers to each, N = P·G answers in order of prompts, T tokens. Left out: process rewards, sequence-level ratios (GSPO).
"""

from typing import Literal

import torch
from torch import Tensor

from lablib.alignment import kl
from lablib.alignment.masked import check_mask, masked_mean
from lablib.alignment.ppo_loss import check_clip, probability_ratio
from lablib.alignment.rewards_per_token import check_scores

Baseline = Literal["group", "group-std", "leave-one-out"]
BASELINES: tuple[Baseline, ...] = ("group", "group-std", "leave-one-out")
Per = Literal["answer", "constant"]
SMALL = 1e-4  # added to the standard deviation, in the scores' unit, as `trl` does


def group_advantages(scores: Tensor, G: int, baseline: Baseline = "group-std") -> Tensor:
    """How much better each answer is than the others to its prompt.

    Args:
        scores: (N,), the G answers to a prompt side by side. G: at least 2, dividing N.
        baseline: "group-std": minus the group's mean, over its standard deviation (with G − 1) plus `SMALL` (GRPO).
            "group": without the division (Dr. GRPO). "leave-one-out": minus the mean of the *other* answers (RLOO).

    Returns: (N,), without gradient; exactly 0 in a group whose scores are all alike: nothing is to be learned from it.
    Raises: ValueError: G does not fit, a score is not finite, another baseline.

    >>> group_advantages(torch.tensor([1.0, 0.0, 5.0, 5.0]), G=2, baseline="group")
    tensor([ 0.5000, -0.5000,  0.0000,  0.0000])
    >>> group_advantages(torch.tensor([1.0, 0.0, 5.0, 5.0]), G=2, baseline="leave-one-out")
    tensor([ 1., -1.,  0.,  0.])
    """
    check_scores(scores, len(scores))
    if G < 2 or not len(scores) or len(scores) % G:
        raise ValueError(f"G = {G} with {len(scores)} scores: expected G >= 2, and as many answers to each prompt")
    if baseline not in BASELINES:
        raise ValueError(f"baseline = {baseline!r}: expected one of {', '.join(BASELINES)}")
    groups = scores.detach().double().view(-1, G)  # (N,) -> (P, G)
    better = groups - groups.mean(dim=1, keepdim=True)
    if baseline == "group-std":
        better = better / (groups.std(dim=1, keepdim=True) + SMALL)  # Shao et al. 2024, §4.1.2
    elif baseline == "leave-one-out":
        better = better * G / (G - 1)  # r_i − mean of the others; Ahmadian et al. 2024, §2.3
    return better.flatten().to(scores.dtype)  # (P, G) -> (N,)


def per_answer(x: Tensor, mask: Tensor, per: Per, longest: int) -> Tensor:
    """A number for each token -> a scalar: the mean over answers of each one's mean ("answer") or sum / longest ("constant").

    Args:
        x: (N, T). mask: bool (N, T). longest: tokens that an answer may have; the same for all batches of a run.

    >>> x, mask = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[True, False], [True, True]])
    >>> per_answer(x, mask, "answer", longest=2), per_answer(x, mask, "constant", longest=2)  # (3 + 1) / 2, (3/2 + 2/2) / 2
    (tensor(2.), tensor(1.2500))
    """
    check_mask(x, mask)
    if per == "answer":
        return masked_mean(x, mask, dim=1).mean()  # Shao et al. 2024, equation 3: 1/G Σ 1/|o| Σ
    if per != "constant" or longest < 1:
        raise ValueError(f"per = {per!r}, longest = {longest}: expected 'answer' or 'constant', and longest >= 1")
    return x.where(mask, 0.0).sum(dim=1).mean() / longest  # Liu et al. 2025, §3.2: a constant in place of |o|


def grpo_loss(
    new: Tensor,
    old: Tensor,
    reference: Tensor,
    advantages: Tensor,
    mask: Tensor,
    beta: float,
    clip: float = 0.2,
    per: Per = "answer",
    longest: int = 1,
) -> Tensor:
    """The clipped objective with one advantage an answer, and the KL penalty beside it; to be made small.

    Args:
        new, old, reference: log-probabilities of the answers' tokens (N, T), nats: under the policy that learns (with a gradient), the
            one that wrote them, and the reference.
        advantages: (N,), of `group_advantages`. mask: bool (N, T). beta: weight of the penalty, at least 0, per nat.
        clip: ε. per, longest: see `per_answer`.

    Returns:
        a scalar.

    >>> zero, yes = torch.zeros(1, 2), torch.tensor([[True, True]])
    >>> grpo_loss(zero, zero, zero, torch.tensor([2.0]), yes, beta=0.1)  # all ratios are 1
    tensor(-2.)
    """
    check_clip(clip)
    if advantages.shape != (len(mask),):
        raise ValueError(
            f"advantages has shape {tuple(advantages.shape)}: expected ({len(mask)},), one for each answer"
        )
    ratio, better = probability_ratio(new, old, mask), advantages.detach()[:, None]  # (N, T), (N, 1)
    gain = torch.minimum(ratio * better, ratio.clamp(1 - clip, 1 + clip) * better)  # Shao et al. 2024, equation 3
    penalty = kl.k3(new.where(mask, 0.0), reference.detach().where(mask, 0.0))  # equation 4
    return per_answer(beta * penalty - gain, mask, per, longest)


def token_weights(advantages: Tensor, mask: Tensor, per: Per, longest: int) -> Tensor:
    """How strongly each token's log-probability is pushed up (or down, below 0), at ratio 1 and without a penalty: (N, T).

    It is the gradient of −`grpo_loss`; here the bias by length can be seen.

    >>> mask = torch.tensor([[True, False], [True, True]])
    >>> token_weights(torch.tensor([-1.0, -1.0]), mask, "answer", longest=2)  # the longer answer's tokens are blamed half as much
    tensor([[-0.5000,  0.0000],
            [-0.2500, -0.2500]])
    """
    lengths = mask.sum(dim=1, keepdim=True).clamp(min=1) if per == "answer" else torch.tensor(longest)  # (N, 1)
    return (advantages[:, None] / lengths / len(mask)).where(mask, 0.0)


def difficulty_weight(p: Tensor, G: int | None = None) -> Tensor:
    """How much more a change of p counts for the division by the standard deviation: E[s] / (p (1 − p)).

    s is the deviation of a group: √(k (G − k) / (G (G − 1))) where k of G answers are right.

    Args:
        p: how likely an answer to a prompt is right, of any shape, within (0, 1).
        G: answers to a prompt, at least 2. None: as many as one likes, then it is 1/√(p (1 − p)).

    Returns: p's shape.

    >>> difficulty_weight(torch.tensor([0.5, 0.9, 0.99]))
    tensor([ 2.0000,  3.3333, 10.0504])
    >>> difficulty_weight(torch.tensor([0.5, 0.9, 0.99]), G=8)
    tensor([1.9838, 2.4884, 2.7890])
    """
    if G is None:
        return (p * (1 - p)).rsqrt()
    k = torch.arange(G + 1).to(p)
    chance = torch.distributions.Binomial(G, p[..., None]).log_prob(k).exp()  # (..., G + 1)
    s = (k * (G - k) / (G * (G - 1))).sqrt()
    return (chance * s).sum(dim=-1) / (p * (1 - p))
