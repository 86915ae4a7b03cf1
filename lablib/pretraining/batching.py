"""Batches from token shards: which rows a step reads is a function of (seed, step), and which of them a process gets, of its rank.

So nothing about the data has to be saved: a run that is resumed at step 1,000 asks for batch 1,000. And so N processes read
together exactly what one process would read, which makes their losses comparable number by number.

The shards are cut into windows of T + 1 tokens, of which neighbours share one token, so that every token is predicted once. An
*epoch* reads every window once, in an order that is drawn anew for each epoch.

Axes: B rows of the global batch, T time, W processes (world size). Left out: packing documents so that none looks into another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lablib.pretraining.shards import Shard


@dataclass(frozen=True)
class Batch:
    """What one step, or a part of it, learns from.

    Attributes:
        inputs: token numbers (B, T). targets: what should be predicted at each place (B, T).
        mask: bool (B, T), True where the prediction counts; None: everywhere.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None

    @property
    def tokens(self) -> int:
        """How many predictions count."""
        return self.targets.numel() if self.mask is None else int(self.mask.sum())

    def split(self, parts: int) -> "list[Batch]":
        """The rows in so many micro-batches, as equal in size as they can be; fewer where there are fewer rows."""
        parts = min(parts, len(self.inputs))
        masks = [None] * parts if self.mask is None else self.mask.tensor_split(parts)
        rows = zip(self.inputs.tensor_split(parts), self.targets.tensor_split(parts), masks, strict=True)
        return [Batch(*row) for row in rows]

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        return Batch(self.inputs.to(device, non_blocking=True), self.targets.to(device, non_blocking=True), mask)


def causal(rows: Tensor, mask: Tensor | None = None) -> Batch:
    """Each token is predicted from those before it: rows (B, T + 1) -> inputs and targets (B, T).

    mask: bool (B, T + 1), True where a token is worth predicting.

    >>> batch = causal(torch.tensor([[5, 6, 7]]))
    >>> batch.inputs, batch.targets
    (tensor([[5, 6]]), tensor([[6, 7]]))
    """
    return Batch(rows[:, :-1], rows[:, 1:], None if mask is None else mask[:, 1:])


@lru_cache(maxsize=4)
def epoch_order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch reads n windows: a permutation of 0 … n − 1, the same whenever it is asked for."""
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch)))).permutation(n)
    order.flags.writeable = False  # it is kept, and handed out again
    return order


def windows_of(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """Which of n windows a process reads in a step.

    Imagine the windows of all epochs in one endless row, epoch after epoch, each in its own `epoch_order`. Step 0 takes
    the first B of the row, step 1 the next B, and so on; so one step may end an epoch and begin the next. Of the B of a
    step the first B/world are for rank 0, the next B/world for rank 1, and so on.

    Args: step from 0; B rows of the global batch, of all processes together; rank 0 … world − 1, where world divides B.
    Returns: their numbers (B/world,), each from 0 to n − 1.

    >>> epoch_order(5, seed=0, epoch=0).tolist(), epoch_order(5, seed=0, epoch=1).tolist()
    ([0, 3, 4, 2, 1], [3, 1, 4, 2, 0])
    >>> [windows_of(step, n=5, B=3).tolist() for step in range(3)]
    [[0, 3, 4], [2, 1, 3], [1, 4, 2]]
    """
    share = B // world
    first = step * B + rank * share  # counted from the beginning of the run, over all epochs
    epochs, places = np.divmod(np.arange(first, first + share), n)
    return np.array([epoch_order(n, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])


@dataclass(frozen=True)
class Batches:
    """The batches of a run: `batches(step)` gives this process's part of that step's global batch.

    Args:
        shards: one or several. T: tokens predicted in a row. B: rows of the global batch, of all processes together.
        seed: of the order. rank, world: this process's number and how many there are; world divides B.

    Raises:
        ValueError: a size or rank that makes no sense, or shards too short for one window.
    """

    shards: Sequence[Shard]
    T: int
    B: int
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        for name in ("T", "B", "world"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a whole number >= 1")
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed}: expected a whole number >= 0")
        if self.B % self.world:
            raise ValueError(
                f"B = {self.B} rows cannot be shared by world = {self.world} processes: expected a multiple of it"
            )
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank = {self.rank}: expected 0 to world − 1 = {self.world - 1}")
        if not len(self):
            sizes = [len(shard) for shard in self.shards]
            raise ValueError(
                f"shards hold {sizes} tokens: expected one with at least T + 1 = {self.T + 1}; take a smaller T?"
            )
        if len({shard.V for shard in self.shards}) > 1:
            raise ValueError(
                f"shards have vocabularies of {[shard.V for shard in self.shards]}: expected the same for all"
            )

    def __len__(self) -> int:
        """Windows of an epoch."""
        return sum((len(shard) - 1) // self.T for shard in self.shards)

    def windows(self, step: int) -> NDArray[np.int64]:
        """The numbers of the windows that this process reads in a step: (B/world,)."""
        return windows_of(step, len(self), self.B, self.seed, self.rank, self.world)

    def rows(self, windows: NDArray[np.int64]) -> Tensor:
        """Windows by number: token numbers (len(windows), T + 1)."""
        ends = np.cumsum([(len(shard) - 1) // self.T for shard in self.shards])
        found = np.empty((len(windows), self.T + 1), dtype=np.int64)
        for row, window in enumerate(windows):
            number = int(np.searchsorted(ends, window, side="right"))  # of the shard
            start = self.T * int(window - (ends[number - 1] if number else 0))
            found[row] = self.shards[number].tokens[start : start + self.T + 1]
        return torch.from_numpy(found)

    def __call__(self, step: int) -> Batch:
        """This process's part of the batch of a step: (B/world, T)."""
        return causal(self.rows(self.windows(step)))
