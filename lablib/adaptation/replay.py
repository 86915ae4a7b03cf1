"""Against forgetting: with every batch of the new, some rows of the old.

    batches = Replayed(Drawn(tokenizer, n=32, T=256), rows=1, tokenizer=tokenizer, T=256)

A model that is tuned on conversations alone loses what it knew, and with it the facts that its answers are made of. Reading some of the
pre-training documents along the way keeps them: *rehearsal* (Robins 1995, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal"),
also called *replay*. Ouyang et al. (2022, §3.5) do the same in reinforcement learning, and call it PPO-ptx.

Every token of a document is predicted, as in pre-training, each counting as much as a token of an answer.

Axes: B rows, T time. Left out: weights for the two kinds of loss; documents of any other source than the world.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch

from lablib.adaptation.chat import BEGIN, check_special
from lablib.corpus.world import World
from lablib.pretraining.batching import Batch, causal
from lablib.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Replayed:
    """The batches of another source, with rows of the world's documents below them.

    Args:
        data: the batch of a step (from 0), rows of T with a mask. rows: of documents in every batch, 0 for none.
        tokenizer: the course's. T: tokens of a row. seed: of the documents' draw.

    Raises:
        ValueError: rows below 0, T below 1, or a tokenizer without the special tokens of a conversation.
    """

    data: Callable[[int], Batch]
    rows: int
    tokenizer: Tokenizer
    T: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (("rows", self.rows, 0), ("T", self.T, 1)):
            if value < least:
                raise ValueError(f"{name} = {value!r}: expected a whole number >= {least}")
        check_special(self.tokenizer)

    def __call__(self, step: int) -> Batch:
        """The batch of a step: inputs, targets and mask (B + rows, T)."""
        new = self.data(step)
        if not self.rows:
            return new
        old = self.documents(step).to(new.inputs.device)
        # The mask of `new` is always there: conversations have prompts.
        parts = ((getattr(new, name), getattr(old, name)) for name in ("inputs", "targets", "mask"))
        return Batch(*(torch.cat(pair) for pair in parts))

    def documents(self, step: int) -> Batch:
        """The rows of documents of a step (from 0): inputs, targets and mask (rows, T).

        Documents stand one behind the other, `<|bos|>` before each; each row begins with a new one, and the last of a row is cut.
        """
        begin, need = self.tokenizer.special[BEGIN], self.T + 1
        stream = World().documents(Random(f"replay {self.seed} {step}"))
        rows: list[list[int]] = []
        for _ in range(self.rows):
            row: list[int] = []
            while len(row) < need:
                row += [begin, *self.tokenizer.encode(next(stream).text)]
            rows.append(row[:need])
        ids = torch.tensor(rows)
        return causal(ids, torch.ones_like(ids, dtype=torch.bool))
