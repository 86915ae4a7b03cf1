"""Batches of whole documents: one document a row, so that whatever is learned about a text is learned from all of it.

Lab 07 cuts a long row of tokens anywhere, which wastes nothing. Objectives that read a text as a whole want it whole; so rows are padded,
and documents of similar length stand together, so that there is little padding.

Axes: B rows, T tokens of the longest document of the batch. Left out: several documents in a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lablib.pretraining.batching import Batch, epoch_order
from lablib.pretraining.objectives import Objective
from lablib.pretraining.span_corruption import padded

POOL = 16  # batches whose documents are sorted by length together


@dataclass(frozen=True)
class DocumentRows:
    """The rows of a run: `rows(step)` gives those of that step, the same whenever it is asked.

    Args:
        documents: their tokens, with whatever marks beginning and end. B: rows of a batch. pad: fills a row. seed: of the order.
        multiple: rows are filled up to a length of 1 + a multiple of it. In bfloat16 a CPU keeps a program for every size of a
            matrix product that it has seen, so rows of a hundred lengths fill the memory, and rows of eight do not.
    """

    documents: Sequence[Sequence[int]]
    B: int
    pad: int
    seed: int = 0
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.B <= len(self.documents):
            raise ValueError(
                f"B = {self.B} rows of {len(self.documents)} documents: expected 1 to as many as there are"
            )
        if self.multiple < 1:
            raise ValueError(f"multiple = {self.multiple}: expected a whole number >= 1")

    def __len__(self) -> int:
        """Batches of an epoch; what does not fill a batch is left for another epoch."""
        return len(self.documents) // self.B

    def __call__(self, step: int) -> Tensor:
        """The rows of a step (from 0): (B, T)."""
        epoch, place = divmod(step, len(self))
        numbers = _batches(self.lengths, self.B, self.seed, epoch)[place]
        rows = padded([self.documents[number] for number in numbers], self.pad)
        return F.pad(rows, (0, (1 - rows.shape[1]) % self.multiple), value=self.pad)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each document."""
        return tuple(map(len, self.documents))


@lru_cache(maxsize=8)
def _batches(lengths: tuple[int, ...], B: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The numbers of the documents of each batch of an epoch: (batches, B)."""
    n = len(lengths) // B
    order = epoch_order(len(lengths), seed, epoch)[: n * B]
    sizes = np.asarray(lengths)
    pools = [order[start : start + POOL * B] for start in range(0, n * B, POOL * B)]
    sorted_ = np.concatenate([pool[np.argsort(sizes[pool], kind="stable")] for pool in pools])
    return sorted_.reshape(n, B)[epoch_order(n, seed + 1, epoch)]


def objective_batches(rows: Callable[[int], Tensor], objective: Objective, seed: int = 0) -> Callable[[int], Batch]:
    """What `training.train` takes: step -> Batch, with chance drawn from (seed, step), so that a step can be asked for again."""

    def batch(step: int) -> Batch:
        number = int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)
        return objective(rows(step), torch.Generator().manual_seed(number))

    return batch
