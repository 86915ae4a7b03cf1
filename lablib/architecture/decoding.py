"""Writing a sequence with an encoder–decoder: the likeliest token each time, or several beginnings kept side by side.

Papers: Wu et al. 2016, "Google's Neural Machine Translation System" (equation 14: the length penalty); Vaswani et al. 2017,
"Attention Is All You Need" (§6.1: beam size 4, alpha 0.6).

Axes: B batch, S source time, T time (tokens written so far, START included), V vocabulary; beams is the number of
hypotheses, the beginnings that are kept for each source. Log-probabilities are in nats, summed over the tokens written.

Differs from the paper: the coverage penalty of equation 14 is left out (its weight β is 0), and a finished hypothesis keeps its
place among the beams instead of moving to a list of its own, so a batch stays a rectangle.
Left out: a cache (see `lablib.architecture.encoder_decoder`) and sampling.
"""

import torch
from torch import Tensor

from lablib.architecture.encoder_decoder import END, PAD, START, Transformer

NEVER = float("-inf")


def next_log_probs(model: Transformer, ids: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
    """ids (B, T), memory (B, S, D) -> log-probabilities (B, V) of the next token; PAD and START are never written."""
    log_probs = model.decode(ids, memory, memory_mask)[:, -1].log_softmax(dim=-1)  # (B, T, V) -> (B, V)
    log_probs[:, [PAD, START]] = NEVER
    return log_probs


@torch.no_grad()
def greedy(model: Transformer, source: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """Take the likeliest token, again and again, until END.

    Args:
        source: ids (B, S), PAD behind the end. max_length: tokens to write at most, END included.

    Returns:
        ids (B, T) without START, PAD behind END, T <= max_length; their log-probabilities (B,), in nats.
    """
    _check(source, max_length)
    memory, mask = model.encode(source)
    ids, total = source.new_full((len(source), 1), START), memory.new_zeros(len(source))  # (B, 1), (B,)
    for _ in range(max_length):
        best, token = next_log_probs(model, ids, memory, mask).max(dim=-1)  # (B, V) -> (B,), (B,)
        finished = (ids == END).any(dim=1)  # (B, T) -> (B,)
        total = total + best.where(~finished, 0.0)
        ids = torch.cat([ids, token.where(~finished, PAD)[:, None]], dim=1)  # (B, T) -> (B, T + 1)
        if (ids == END).any(dim=1).all():
            break
    return ids[:, 1:], total


def length_penalty(lengths: Tensor, alpha: float) -> Tensor:
    """What a log-probability is divided by, so that long hypotheses may win: ((5 + length)/6)^alpha (Wu et al. 2016, eq. 14).

    >>> length_penalty(torch.tensor([1, 7]), alpha=1.0)
    tensor([1., 2.])
    """
    return ((5 + lengths) / 6) ** alpha


def beam_step(ids: Tensor, total: Tensor, log_probs: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Extend every hypothesis by every token and keep the best of all of them, as many as there were.

    A finished hypothesis (one that holds END) goes on unchanged: PAD is its only next token, at log-probability 0.
    The best have the largest total divided by `length_penalty`, with START and PAD not counted in the length.

    Args: ids (B, beams, T), START included; total (B, beams), their log-probabilities; log_probs (B, beams, V), of the next token.
    Returns: ids (B, beams, T + 1) and total (B, beams), best first.
    """
    beams, V = log_probs.shape[1:]
    finished = (ids == END).any(dim=-1)  # (B, beams, T) -> (B, beams)
    log_probs = log_probs.masked_fill(finished[..., None], NEVER)
    log_probs[..., PAD] = torch.where(finished, 0.0, NEVER)
    candidates = total[..., None] + log_probs  # (B, beams, 1) + (B, beams, V)
    lengths = (ids > START).sum(dim=-1) + (~finished).int()  # (B, beams, T) -> (B, beams)
    scores = candidates / length_penalty(lengths, alpha)[..., None]  # (B, beams, V)
    best = scores.flatten(1).topk(beams).indices  # (B, beams · V) -> (B, beams)
    kept = ids.gather(1, (best // V)[..., None].expand_as(ids))  # (B, beams, T), the hypotheses that are extended
    return torch.cat([kept, (best % V)[..., None]], dim=-1), candidates.flatten(1).gather(1, best)


@torch.no_grad()
def beam_search(
    model: Transformer, source: Tensor, beams: int, max_length: int, alpha: float = 0.6
) -> tuple[Tensor, Tensor]:
    """Keep the best few beginnings of each target instead of one, and extend them side by side.

    Args: source ids (B, S); beams, hypotheses kept for each source; max_length, tokens to write at most, END included;
        alpha, the exponent of `length_penalty`: 0 compares the plain log-probabilities.
    Returns: ids (B, beams, T) without START, best first; log-probabilities (B, beams) in nats, no penalty in them.
        A hypothesis that max_length cut off has no END.
    """
    _check(source, max_length, beams, alpha)
    B, (memory, mask) = len(source), model.encode(source)
    memory, mask = memory.repeat_interleave(beams, dim=0), mask.repeat_interleave(beams, dim=0)  # (B · beams, ...)
    ids = source.new_full((B, beams, 1), START)
    total = memory.new_full((B, beams), NEVER)
    total[:, 0] = 0.0  # at the start all beams are the same: one of them is enough
    for _ in range(max_length):
        log_probs = next_log_probs(model, ids.flatten(0, 1), memory, mask)  # (B · beams, V)
        ids, total = beam_step(ids, total, log_probs.view(B, beams, -1), alpha)
        if (ids == END).any(dim=-1).all():
            break
    return ids[..., 1:], total


def _check(source: Tensor, max_length: int, beams: int = 1, alpha: float = 0.0) -> None:
    if source.dim() != 2 or 0 in source.shape:
        raise ValueError(
            f"source has shape {tuple(source.shape)}: expected ids (B, S) with B >= 1 and S >= 1; "
            "a single source (S,) becomes source[None]"
        )
    if max_length < 1:
        raise ValueError(f"max_length = {max_length}: expected at least 1 token to write")
    if beams < 1:
        raise ValueError(f"beams = {beams}: expected at least 1 hypothesis; 1 is the same as greedy")
    if alpha < 0:
        raise ValueError(f"alpha = {alpha}: expected 0 or more; a negative one would favour short targets twice")
