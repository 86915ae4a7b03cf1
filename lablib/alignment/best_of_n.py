"""Best-of-N: write N answers, keep the one that the reward model likes best. No training, and hard to beat.

How far is that from the policy that wrote them? If no two answers ever have the same score, the best of N is drawn from a policy with

    KL(best of N ‖ π) = log N − (N − 1)/N          nats per answer

(Stiennon et al. 2020, appendix G.3). Often quoted as *the* divergence, it is an upper bound: answers are discrete, the same one can be
drawn twice, and then choosing among N says less (Beirami et al. 2024, §3). Where one answer is nearly certain the true one is near 0.

What would best-of-n have scored, for every n ≤ N, from the same N answers? Not the best of the first n: that throws most of them away. Each
set of n among the N is as good a sample as any other, and the mean over all of them has a closed form (Nakano et al. 2021, appendix I).

Papers: Stiennon et al. 2020, "Learning to summarize from human feedback"; Nakano et al. 2021, "WebGPT" and Hilton & Gao 2022, "Measuring
Goodhart's law" (the estimator); Beirami et al. 2024, "Theoretical guarantees on the best-of-n alignment policy".

Axes: P prompts, N answers to each. Left out: estimating the true divergence from the answers' probabilities (Beirami et al. 2024, §4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def pick_best(scores: Tensor) -> Tensor:
    """Which of N answers to each prompt has the highest score? scores (P, N) -> numbers (P,); the first one where several have it.

    >>> pick_best(torch.tensor([[0.1, 0.7, 0.7]]))
    tensor([1])
    """
    check_table(scores, "scores")
    return scores.argmax(dim=1)


def best_of_n_kl(n: int) -> float:
    """log n − (n − 1)/n, nats per answer: the most that best-of-n can have moved away from the policy; see above.

    >>> best_of_n_kl(1), round(best_of_n_kl(64), 2)
    (0.0, 3.17)
    """
    if n < 1:
        raise ValueError(f"n = {n}: expected a whole number >= 1")
    return math.log(n) - (n - 1) / n


def exact_best_of_n(probabilities: Tensor, scores: Tensor, n: int) -> Tensor:
    """The policy that best-of-n draws from, where all answers can be counted: probabilities, scores (V,) -> probabilities (V,).

    P(the best of n has a score of at most s) = P(one has)^n. Answers with the same score share what their score gets, by their
    probabilities.

    >>> exact_best_of_n(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), n=2)  # both are the bad one in 1/4 of all draws
    tensor([0.2500, 0.7500])
    """
    not_above = (scores[None, :] <= scores[:, None]).to(probabilities.dtype) @ probabilities  # (V, V) @ (V,) -> (V,)
    below = (scores[None, :] < scores[:, None]).to(probabilities.dtype) @ probabilities
    level = (not_above - below).clamp(min=torch.finfo(probabilities.dtype).tiny)  # of all answers with this score
    return probabilities / level * (not_above**n - below**n)


def best_weights(N: int, n: int) -> Tensor:
    """How often each of N answers is the best of n of them, over all sets of n, from the worst to the best: (N,), sums to 1.

    >>> best_weights(N=3, n=2)  # of the sets {1, 2}, {1, 3}, {2, 3} the third is best in two
    tensor([0.0000, 0.3333, 0.6667])
    """
    if not 1 <= n <= N:
        raise ValueError(f"n = {n}: expected 1 to N = {N}, the answers that there are to each prompt")
    return torch.tensor([math.comb(i, n - 1) / math.comb(N, n) for i in range(N)])  # i answers are worse than this one


def expected_best(proxy: Tensor, gold: Tensor, n: int) -> Tensor:
    """What the best of n by the proxy scores in gold, on average over all sets of n among the N answers: unbiased.

    Args:
        proxy: what is chosen by, (P, N). gold: what is reported, (P, N); give proxy twice for the proxy's own.
        n: 1 to N.

    Returns:
        (P,), for each prompt, in the unit of gold. Answers with the same proxy count by their mean gold: which of them stands first does
        not matter.

    Raises:
        ValueError: shapes that differ, n out of range, a proxy that is not finite.

    >>> expected_best(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 0.5, 1.0]]), n=2)  # (0.5 + 1 + 1) / 3
    tensor([0.8333])
    """
    check_table(proxy, "proxy")
    if gold.shape != proxy.shape:
        raise ValueError(f"gold has shape {tuple(gold.shape)}: expected that of proxy, {tuple(proxy.shape)}")
    same = (proxy[:, :, None] == proxy[:, None, :]).to(gold.dtype)  # (P, N, N)
    gold = (same @ gold[:, :, None])[:, :, 0] / same.sum(dim=2)  # (P, N): of equals, the mean
    ranked = gold.gather(1, proxy.argsort(dim=1))  # (P, N), from the worst proxy to the best
    return ranked @ best_weights(proxy.shape[1], n).to(gold.dtype)  # Nakano et al. 2021, appendix I


@dataclass(frozen=True)
class BestOf:
    """One point of the curve: n answers a prompt; kl: the bound, nats per answer; proxy and gold: means over prompts."""

    n: int
    kl: float
    proxy: float
    gold: float


def best_of_n_curve(proxy: Tensor, gold: Tensor, ns: Sequence[int]) -> list[BestOf]:
    """Best-of-n for several n, all from the same N answers to each prompt: proxy, gold (P, N)."""
    return [
        BestOf(
            n,
            best_of_n_kl(n),
            float(expected_best(proxy, proxy, n).mean()),
            float(expected_best(proxy, gold, n).mean()),
        )
        for n in ns
    ]


def check_table(scores: Tensor, name: str) -> None:
    """Raise a ValueError for scores that are not a finite number for each of N answers to each of P prompts."""
    if scores.dim() != 2 or not scores.numel():
        raise ValueError(f"{name} has shape {tuple(scores.shape)}: expected (P, N), a row for each prompt")
    if not bool(scores.isfinite().all()):
        row, column = (int(i) for i in (~scores.isfinite()).nonzero()[0])
        raise ValueError(f"{name}[{row}, {column}] = {scores[row, column].item()}: expected a finite number")
