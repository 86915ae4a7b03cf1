"""From one score an answer to a reward for each token, and what can be done to the scores on the way.

A reward model reads a whole answer and says one number. The policy gradient wants a reward for each token. RLHF's is

    r_t = −β (log π(y_t) − log ρ(y_t))         at every token: what it costs to leave the reference ρ
    r_T = … + score                            at the last one, where the answer is complete

whose sum over an answer is score − β · (an estimate of KL(π ‖ ρ)). The rest of this module changes scores: mitigations against a policy
that finds out what the reward model overlooks.

Papers: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences" (equation 2); Stiennon et al. 2020, "Learning to
summarize from human feedback" (§3.4); Ouyang et al. 2022, "Training language models to follow instructions with human feedback"
(equation 2, whose pre-training term is left out here); Coste et al. 2023, "Reward Model Ensembles Help Mitigate Overoptimization" (§3);
Singhal et al. 2023, "A Long Way to Go: Investigating Length Correlations in RLHF" (length penalties).

Axes: N answers, T tokens, M reward models. Scores have the unit of the reward model (log-odds), β is in that unit per nat.
"""

import torch
from torch import Tensor

from lablib.alignment.masked import check_mask

ENSEMBLES = ("mean", "min", "mean-std")
SCALES = ("raw", "centred", "whitened")


def last_token(mask: Tensor) -> Tensor:
    """True at each answer's last token only: bool (N, T) -> bool (N, T); an empty answer has none.

    >>> last_token(torch.tensor([[False, True, True, False]])).int()
    tensor([[0, 0, 1, 0]], dtype=torch.int32)
    """
    still_to_come = mask.flip(1).cumsum(dim=1).flip(1)  # (N, T): tokens that count from here on
    return mask & (still_to_come == 1)


def rewards_per_token(scores: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
    """−β times each token's KL penalty, plus the answer's score at its last token.

    Args:
        scores: of the answers, (N,). kl: log π − log ρ of their tokens, (N, T), nats (`kl.k1`).
        mask: bool (N, T), True = a token of the answer; an empty answer gets no reward at all. beta: at least 0.

    Returns:
        rewards (N, T), without gradient; 0 where mask is False.

    Raises:
        ValueError: a score is not finite; shapes that do not fit; beta < 0.

    >>> kl, mask = torch.tensor([[0.5, -1.0, 9.0]]), torch.tensor([[True, True, False]])
    >>> rewards_per_token(torch.tensor([3.0]), kl, mask, beta=0.5)  # −0.25 and 0.5 + 3
    tensor([[-0.2500,  3.5000,  0.0000]])
    """
    check_scores(scores, len(mask))
    check_mask(kl, mask)
    if not beta >= 0:
        raise ValueError(f"beta = {beta}: expected a number >= 0; a negative one would reward leaving the reference")
    penalty = (-beta * kl.detach()).where(mask, 0.0)  # Ouyang et al. 2022, equation 2: the second term
    return penalty + scores.detach().to(kl.dtype)[:, None].where(
        last_token(mask), 0.0
    )  # (N,) -> (N, 1) -> (N, T): the first


def scaled(scores: Tensor, how: str = "centred") -> Tensor:
    """Scores on a scale that learning likes: "raw", "centred" (minus their mean) or "whitened" (over the standard deviation, too).

    A constant added to all scores changes nothing about which answers are best, but it is a reward for *any* answer, and the critic has
    to learn it before the advantages make sense. Centring takes it away. Scores that are all alike become exactly 0 in both.

    >>> scaled(torch.tensor([1.0, 3.0]), "centred"), scaled(torch.tensor([5.0, 5.0]), "whitened")
    (tensor([-1.,  1.]), tensor([0., 0.]))
    """
    if how not in SCALES:
        raise ValueError(f"how = {how!r}: expected one of {', '.join(SCALES)}")
    check_scores(scores, len(scores))
    if how == "raw":
        return scores
    wide = scores.double()
    centred = wide - wide.mean()
    spread = 1.0 if how == "centred" else wide.std(correction=0) + 1e-8
    return (centred / spread).to(scores.dtype)


def penalise_unfinished(scores: Tensor, finished: Tensor, penalty: float) -> Tensor:
    """Take `penalty` from the score of every answer that has no end: scores (N,), finished bool (N,) -> (N,).

    Without it a reward model that likes long answers teaches the policy never to stop.

    >>> penalise_unfinished(torch.tensor([2.0, 2.0]), torch.tensor([True, False]), penalty=1.0)
    tensor([2., 1.])
    """
    if finished.dtype != torch.bool or finished.shape != scores.shape:
        raise ValueError(
            f"finished is {finished.dtype} of shape {tuple(finished.shape)}: expected torch.bool of shape {tuple(scores.shape)}"
        )
    if not penalty >= 0:
        raise ValueError(f"penalty = {penalty}: expected a number >= 0, which is taken from the score")
    return scores - penalty * (~finished).to(scores.dtype)


def penalise_length(scores: Tensor, lengths: Tensor, per_token: float, free: int = 0) -> Tensor:
    """Take `per_token` for each token beyond the first `free`: scores (N,), lengths (N,) in tokens -> (N,).

    >>> penalise_length(torch.tensor([2.0, 2.0]), torch.tensor([10, 30]), per_token=0.05, free=20)
    tensor([2.0000, 1.5000])
    """
    if not (per_token >= 0 and free >= 0):
        raise ValueError(f"per_token = {per_token} and free = {free}: expected numbers >= 0")
    return scores - per_token * (lengths - free).clamp(min=0).to(scores.dtype)


def ensemble(scores: Tensor, how: str = "mean", weight: float = 1.0) -> Tensor:
    """One score an answer from those of several reward models: what one of them overlooks, another may see.

    Args:
        scores: (M, N), all on one scale (see `scaled`; two reward models agree on differences, not on a zero).
        how: "mean"; "min", the most sceptical model decides (worst-case optimisation); "mean-std", the mean minus `weight` times the
            standard deviation: where the models disagree, none can be trusted.
        weight: of the standard deviation, at least 0.

    Returns:
        (N,).

    >>> ensemble(torch.tensor([[1.0, 4.0], [3.0, 4.0]]), "mean-std")
    tensor([1., 4.])
    """
    if scores.dim() != 2 or len(scores) < 1:
        raise ValueError(f"scores has shape {tuple(scores.shape)}: expected (M, N), a row for each reward model")
    if how not in ENSEMBLES or not weight >= 0:
        raise ValueError(f"how = {how!r}, weight = {weight}: expected one of {', '.join(ENSEMBLES)}, and weight >= 0")
    if how == "min":
        return scores.amin(dim=0)  # Coste et al. 2023, §3: worst-case optimisation
    mean = scores.mean(dim=0)
    # Differs from the paper: its uncertainty-weighted optimisation takes the variance; the deviation has the scores' unit.
    return mean if how == "mean" else mean - weight * scores.std(dim=0, correction=0)


def check_scores(scores: Tensor, N: int) -> None:
    """Raise a ValueError for scores that are not one finite number for each of N answers; says which one is not."""
    if scores.shape != (N,):
        raise ValueError(f"scores has shape {tuple(scores.shape)}: expected ({N},), one number for each answer")
    bad = (~scores.isfinite()).nonzero()[:, 0].tolist()
    if bad:
        raise ValueError(
            f"scores[{bad[0]}] = {scores[bad[0]].item()} ({len(bad)} of {N} are not finite): expected a finite score for each answer; "
            "has the reward model diverged, or did it read an empty answer?"
        )
