"""Masked language modelling: hide some tokens of a text and have the model tell which they were, from both sides.

Papers: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers" (§3.1, task 1, and appendix A.1); Liu et al. 2019,
"RoBERTa" (§4.1: new places every time a text is read, which is what happens here, too); Wettig et al. 2023, "Should You Mask 15% in Masked
Language Modeling?"; Sahoo et al. 2024, "Simple and Effective Masked Diffusion Language Models" (a new rate for every text).

Chance comes in as *dice*: numbers drawn evenly from [0, 1), one for each token. So each step is a plain function, the same whenever
it is asked, and only `Masking` draws.

Axes: B rows, T time, D model width, V vocabulary, N predictions.
Left out: whole-word masking, and BERT's second task, next-sentence prediction (RoBERTa found that it is not needed, §4.2).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.pretraining.batching import Batch, causal

Objective = Callable[[Tensor, torch.Generator], Batch]  # rows of documents (B, T) -> what is to be learned from them


def chosen_places(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    """Which tokens will the model have to tell? Each eligible one with probability `rate`, and one in a row at least.

    A token is chosen where it is eligible and its dice are below the rate. In a short row that may be none; such a row
    gets the eligible token with the smallest dice. A row without an eligible token gets none.

    Args:
        eligible: bool (B, T), True where a token may be chosen: a word, no padding and no special token.
        dice: (B, T), each drawn evenly from [0, 1). rate: in [0, 1], for all rows or (B, 1), one for each.

    Returns:
        bool (B, T). (BERT's own code takes a fixed number from each row, 15 % of it, rounded, and one at least.)

    >>> chosen_places(torch.tensor([[True, True, False]]), torch.tensor([[0.1, 0.5, 0.0]]), rate=0.15)
    tensor([[ True, False, False]])
    """
    smallest = dice.masked_fill(~eligible, torch.inf).argmin(dim=1, keepdim=True)  # (B, T) -> (B, 1)
    first = torch.zeros_like(eligible).scatter(1, smallest, True)  # (B, T), one True in a row
    return eligible & ((dice < rate) | first)  # where any is below the rate, the smallest is, too


def corrupt_tokens(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    """What the model sees: of the chosen tokens 80 % masked, 10 % exchanged, 10 % kept (Devlin et al. 2019, §3.1).

    Where dice < 0.8 stands the mask, where 0.8 <= dice < 0.9 the token from `others`, and elsewhere the token itself.
    Tokens that are not chosen stay as they are.

    Args:
        ids: token numbers (B, T). chosen: bool (B, T). dice: (B, T), each drawn evenly from [0, 1).
        others: (B, T), tokens drawn evenly from the vocabulary. mask: number of the token `<|mask|>`.

    Returns:
        (B, T), in the dtype of ids and never bool or float; the arguments stay as they are.

    >>> everything, dice = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[0.1, 0.85, 0.95]])
    >>> corrupt_tokens(torch.tensor([[5, 6, 7]]), everything, dice, others=torch.tensor([[1, 2, 3]]), mask=9)
    tensor([[9, 2, 7]])
    """
    seen = torch.where(chosen & (dice < 0.8), mask, ids)  # (B, T)
    return torch.where(chosen & (dice >= 0.8) & (dice < 0.9), others, seen)


def masked_nats(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    """How surprised the model is by the chosen tokens: −ln P(target), summed over them, nats; a scalar in fp32.

    The logits of a place are `table @ hidden[b, t]`. They are computed for the chosen places only: with a large
    vocabulary they are most of the arithmetic that a small model does.

    Args:
        hidden: (B, T, D), what the model's last norm hands over. table: (V, D), the embedding, used as the head, too.
        targets: token numbers (B, T), the text as it was. chosen: bool (B, T).

    Returns:
        0 when nothing is chosen.

    >>> hidden, table = torch.zeros(1, 2, 3), torch.ones(4, 3)
    >>> masked_nats(hidden, table, torch.tensor([[0, 1]]), torch.tensor([[False, True]]))  # ln 4
    tensor(1.3863)
    """
    logits = F.linear(hidden[chosen], table)  # (B, T, D) -> (N, D) -> (N, V)
    return F.cross_entropy(logits.float(), targets[chosen], reduction="sum")


@dataclass(frozen=True)
class Masking:
    """The masked objective, for `Batches` of documents.

    Args:
        mask: number of the token `<|mask|>`.
        words: tokens 0 … words − 1 are words, and may be chosen or put in a word's place; those above are special.
        rate: share of the words that are chosen. None: for each row one that is drawn evenly from 0 to 1.
        keep: 10 % exchanged and 10 % left as they are, as BERT has it. False: all the chosen ones are masked.
        choose, corrupt: the two steps, `chosen_places` and `corrupt_tokens` or functions of your own.
    """

    mask: int
    words: int
    rate: float | None = 0.15
    keep: bool = True
    choose: Callable[[Tensor, Tensor, float | Tensor], Tensor] = chosen_places
    corrupt: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor] = corrupt_tokens

    def __post_init__(self) -> None:
        if not 1 <= self.words <= self.mask:
            raise ValueError(f"words = {self.words}, mask = {self.mask}: expected the special tokens behind the words")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise ValueError(f"rate = {self.rate!r}: expected a share above 0 and up to 1, such as 0.15, or None")

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Batch:
        """rows (B, T) -> what the model sees, what stood there, and which places count."""
        places, fates = torch.rand(2, *rows.shape, generator=generator)  # (B, T) each
        rate = torch.rand(len(rows), 1, generator=generator) if self.rate is None else self.rate
        others = torch.randint(self.words, rows.shape, generator=generator)
        chosen = self.choose(rows < self.words, places, rate)
        seen = self.corrupt(rows, chosen, fates if self.keep else torch.zeros_like(fates), others, self.mask)
        return Batch(seen, rows, chosen)


@dataclass(frozen=True)
class NextToken:
    """The causal objective of lab 07 for rows of documents; padding is not predicted."""

    pad: int

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Batch:
        """rows (B, T) -> inputs and targets (B, T − 1)."""
        return causal(rows, rows != self.pad)


def masked_loss(
    model: nn.Module, batch: Batch, nats: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = masked_nats
) -> Tensor:
    """`masked_nats` (or a function of your own) of a model with `hidden` and `embedding`, as `training.train` takes it."""
    if batch.mask is None:
        raise ValueError("batch.mask is None: expected the chosen places; is this a batch of `Masking`?")
    return nats(model.hidden(batch.inputs), model.embedding.weight, batch.targets, batch.mask)  # type: ignore[operator,union-attr,arg-type]
