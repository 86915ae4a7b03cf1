"""Rows of text that are drawn from the world when they are needed: no shard, no epoch, no document twice but by chance.

A step's documents depend on (seed, step) only, as everything in `batching` does, so a resumed run reads on. Each row begins
with `<|bos|>`, where a document begins, and holds as many documents as fit; the last one is cut off. So the model learns what it will be
asked for: a text from its first word. The price is that ends are read a little less often than beginnings.

Axes: B rows, T time. Left out: several processes, and text that is not made up on the spot (`batching.Batches`).
"""

from dataclasses import dataclass
from random import Random

import torch

from lablib.corpus.world import World
from lablib.pretraining.batching import Batch, causal
from lablib.pretraining.world_loss import END
from lablib.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class WorldRows:
    """The batches of a run on the world's training split: `rows(step)` is the same whenever it is asked.

    Args:
        tokenizer: must have `<|bos|>`. T: tokens predicted in a row. B: rows of a batch. seed: of the documents.

    Raises:
        ValueError: a size below 1, or a tokenizer without `<|bos|>`.
    """

    tokenizer: Tokenizer
    T: int
    B: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("T", "B"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a whole number >= 1")
        if END not in self.tokenizer.special:
            raise ValueError(f"tokenizer has no {END!r}: expected one like `course_tokenizer.load()`")

    def __call__(self, step: int) -> Batch:
        """The batch of a step (from 0): inputs and targets (B, T)."""
        documents = World().documents(Random(f"world rows {self.seed} {step}"))
        end = self.tokenizer.special[END]
        rows: list[list[int]] = []
        while len(rows) < self.B:
            row = [end]
            while len(row) <= self.T:
                row += [*self.tokenizer.encode(next(documents).text), end]
            rows.append(row[: self.T + 1])
        return causal(torch.tensor(rows))  # (B, T + 1) -> (B, T) twice
