"""From logits to the next token: temperature, top-k, top-p and min-p, and drawing by chance.

A model says how likely each token is; what is written depends on how one chooses from that. Each function here takes logits (B, V) and
gives logits (B, V) back: a token that may not be chosen has −inf, the others what they had, so that functions can follow one another
and one softmax at the end makes probabilities. `Sampling` puts them in the usual order: temperature, top-k, top-p, min-p.

Papers: Ackley, Hinton & Sejnowski 1985, "A Learning Algorithm for Boltzmann Machines" (temperature); Fan, Lewis & Dauphin 2018,
"Hierarchical Neural Story Generation" (§5: top-k); Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (top-p, or
nucleus sampling); Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs".

Axes: B rows, V vocabulary. Left out: penalties for repetition, typical sampling, beam search.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def scale_by_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Make the distribution sharper (temperature < 1) or flatter (> 1): ratios of them get the power 1/temperature.

    Args:
        logits: (B, V).
        temperature: a number > 0.
    Returns: (B, V), the logits over the temperature; their softmax is p^(1/temperature), normalised.
    Raises: ValueError: the temperature is not a number > 0.

    >>> scale_by_temperature(torch.tensor([[1.0, 2.0]]), temperature=0.5)
    tensor([[2., 4.]])
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature = {temperature}: expected a number > 0; for the likeliest token take argmax")
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Let only the k likeliest tokens of each row be chosen.

    Args:
        logits: (B, V).
        k: at least 1; V or more keeps all.
    Returns: logits (B, V): −inf for every token less likely than the k-th, the others as they were. Tokens that are
        exactly as likely as the k-th stay, all of them: then there are more than k.
    Raises: ValueError: k < 1.

    >>> keep_top_k(torch.tensor([[1.0, 3.0, 2.0]]), k=2)
    tensor([[-inf, 3., 2.]])
    """
    if k < 1:
        raise ValueError(f"k = {k}: expected a whole number >= 1, the tokens to choose from")
    smallest = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (B, V) -> (B, k) -> (B, 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Let only the nucleus of each row be chosen: the likeliest tokens, as few as have the probability p together.

    Holtzman et al. 2020, §3.1: the smallest set whose probabilities sum to at least p: the token that crosses p is in.

    Args: logits (B, V); p above 0, at most 1; 1 keeps all.
    Returns: logits (B, V): −inf outside the nucleus, the others as they were. Of equally likely tokens those with
        the smaller number come first.
    Raises: ValueError: p is not above 0 and at most 1.

    >>> logits = torch.tensor([[0.1, 0.6, 0.3]]).log()
    >>> keep_top_p(logits, p=0.5).exp(), keep_top_p(logits, p=0.7).exp()
    (tensor([[0.0000, 0.6000, 0.0000]]), tensor([[0.0000, 0.6000, 0.3000]]))
    """
    if not 0 < p <= 1:
        raise ValueError(f"p = {p}: expected above 0 and at most 1, the probability that the kept tokens have together")
    if p == 1:
        return logits
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)  # (B, V), (B, V)
    probabilities = ranked.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # (B, V): what the likelier tokens have together
    outside = (before >= p).scatter(-1, order, before >= p)  # (B, V), from ranks back to token numbers
    return logits.masked_fill(outside, -torch.inf)


def keep_min_p(logits: Tensor, min_p: float) -> Tensor:
    """Let only tokens be chosen that are at least min_p times as likely as the likeliest one (Nguyen et al. 2024, §3).

    Args: logits (B, V); min_p from 0, which keeps all, to 1, which keeps the likeliest.
    Returns: logits (B, V): −inf for the others.

    >>> keep_min_p(torch.tensor([[0.1, 0.6, 0.3]]).log(), min_p=0.4).exp()
    tensor([[0.0000, 0.6000, 0.3000]])
    """
    if not 0 <= min_p <= 1:
        raise ValueError(f"min_p = {min_p}: expected 0 to 1, a share of the likeliest token's probability")
    if min_p == 0:
        return logits
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(min_p), -torch.inf)


def entropy(logits: Tensor) -> Tensor:
    """How uncertain the choice is: −Σ p log p of each distribution, in nats. logits (..., V) -> (...).

    0 when one token has all; log V when all are alike. exp(entropy) is how many equally likely tokens would be as uncertain.

    >>> entropy(torch.zeros(1, 4)), entropy(torch.tensor([[0.0, -torch.inf]]))  # log 4, and certainty
    (tensor([1.3863]), tensor([0.]))
    """
    return torch.special.entr(logits.softmax(dim=-1)).sum(dim=-1)  # entr(p) = −p log p, and 0 at 0


def draw(logits: Tensor, chance: Tensor) -> Tensor:
    """One token of each row, each with its probability: the first at which the sum of the probabilities passes `chance`.

    Args: logits (B, V); chance (B,), uniform in [0, 1), such as torch.rand(B, generator=generator).
    Returns: ids (B,). A token of probability 0 is never among them.

    >>> draw(torch.tensor([[0.1, 0.6, 0.3]] * 3).log(), chance=torch.tensor([0.05, 0.5, 0.9]))
    tensor([0, 1, 2])
    """
    total = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)  # (B, V)
    wanted = chance.double()[:, None] * total[:, -1:]  # (B, 1): rounding may leave the sum a little off 1
    return torch.searchsorted(total, wanted, right=True)[:, 0]


def check_logits(logits: Tensor) -> None:
    """Can a token be chosen from these logits (B, V)?

    Raises: ValueError: another number of axes, NaN or +inf, or a row with no token left.
    """
    if logits.dim() != 2:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}: expected (B, V); of a model's (B, T, V) take [:, -1]"
        )
    best = logits.amax(dim=-1)  # (B,): NaN wherever a row holds one
    if not bool(best.isfinite().all()):
        row = int((~best.isfinite()).nonzero()[0])
        kind = "no token left, all are −inf" if best[row] == -torch.inf else f"{best[row].item()} in it"
        raise ValueError(
            f"logits, row {row}, has {kind}: expected numbers, and at least one above −inf; are the model's weights finite?"
        )


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn; the defaults change nothing: each token with the probability that the model gives it.

    Args:
        temperature: see `scale_by_temperature`. top_k, top_p, min_p: see `keep_top_k` and so on; None: leave it out.

    Applied in this order, which is that of `transformers`: the later ones see the probabilities that the earlier ones leave.

    >>> Sampling(top_k=2).logits(torch.tensor([[1.0, 3.0, 2.0]]))
    tensor([[-inf, 3., 2.]])
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature == 0:
            raise ValueError("temperature = 0: expected a number > 0; for the likeliest token write with sampling=None")
        self.logits(torch.zeros(1, 2))  # each function names its own argument

    @property
    def plain(self) -> bool:
        """Does it leave the model's distribution as it is?"""
        return self == Sampling(1.0, None, None, None)

    def logits(self, logits: Tensor) -> Tensor:
        """The model's logits (B, V) -> those to draw from, (B, V)."""
        logits = scale_by_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        return logits if self.min_p is None else keep_min_p(logits, self.min_p)
