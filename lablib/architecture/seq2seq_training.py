"""Training an encoder–decoder on the dates of `lablib.architecture.dates`, and counting what it gets right.

Papers: Vaswani et al. 2017, "Attention Is All You Need" (§5: training); Loshchilov & Hutter 2019, "Decoupled Weight Decay
Regularization" (AdamW).

Axes: B batch, T time (the target's positions), S source time, V vocabulary.
Differs from the paper: AdamW, whose learning rate falls straight to zero, instead of Adam with 1/√step; no label smoothing.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture import dates
from lablib.architecture.decoding import greedy
from lablib.architecture.encoder_decoder import PAD, Transformer

WRITERS = {
    "year": slice(0, 4),
    "month": slice(5, 7),
    "day": slice(8, 10),
}  # the target's positions that write each part


def sequence_loss(logits: Tensor, target: Tensor) -> Tensor:
    """How surprised the model is by the target: the mean over its real tokens, in nats a token.

    Args: logits (B, T, V); target ids (B, T), PAD where there is no token to guess.
    Returns: a scalar; a uniform guess gives ln V.
    """
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)  # (B · T, V), (B · T,)


def train(
    model: Transformer, batches: Iterator[tuple[Tensor, Tensor]], steps: int, lr: float = 4e-3, warmup: float = 0.1
) -> Iterator[float]:
    """Train with AdamW: the learning rate climbs for a share `warmup` of the steps, then falls straight to zero.

    Args:
        batches: sources (B, S) and targets (B, T + 1), as `dates.batches` gives them.

    Yields:
        the loss of each step, measured before the update: nats a token, mean over the batch.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), fused=True)
    for step in range(steps):
        done = (step + 1) / steps
        for group in optimizer.param_groups:
            group["lr"] = lr * min(done / warmup, (1 - done) / (1 - warmup))
        source, target = next(batches)
        loss = sequence_loss(model(source, target[:, :-1]), target[:, 1:])  # each token from those before it
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def answers(model: Transformer, texts: Sequence[str], B: int = 250) -> list[str]:
    """What the model writes for each text, by greedy decoding, B texts at a time."""
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    found = [""] * len(texts)
    for start in range(0, len(texts), B):
        numbers = order[start : start + B]
        ids, _ = greedy(model, dates.sources([texts[number] for number in numbers]), dates.ISO_LENGTH)
        for number, row in zip(numbers, ids, strict=True):
            found[number] = dates.decode(row)
    return found


def exact_match(model: Transformer, n: int, generator: torch.Generator) -> float:
    """Share of n held-out dates that the model writes without one wrong character."""
    examples = dates.sample(n, generator, held_out=True)
    written = answers(model, [example.text for example in examples])
    return sum(text == example.iso for text, example in zip(written, examples, strict=True)) / n


def attention_on_fields(weights: Tensor, examples: Sequence[dates.Example]) -> dict[str, tuple[float, float]]:
    """While the model writes the year, the month, the day: does it look at that part of the text?

    Args:
        weights: cross-attention (B, T, S) of one head, or the mean over several, T >= 10; its queries are START and the ISO date.
        examples: the B dates whose texts are the source, with the spans of their parts.

    Returns:
        for "year", "month" and "day": the share of the attention that lies on the characters of that part, and the share
        that even attention would put there; each a mean over the dates.
    """
    found = {}
    for field, rows in WRITERS.items():
        spans = [example.spans[field] for example in examples]
        shares = [weights[b, rows, start:stop].sum(dim=-1).mean() for b, (start, stop) in enumerate(spans)]
        even = [(stop - start) / len(example.text) for example, (start, stop) in zip(examples, spans, strict=True)]
        found[field] = torch.stack(shares).mean().item(), sum(even) / len(even)
    return found
