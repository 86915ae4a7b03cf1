"""Words that a model has never read: let the rows of their tokens learn, and no other row of the table.

    model = learn_rows(inject(base, Lora(r=4, alpha=8)), new_tokens(tokenizer))

A domain has words of its own. The tokenizer has tokens for them, so the model has embeddings, but if they never occurred in what it read,
nobody trained these rows as words to *read*; as words to *write* they were only ever pushed down, where the head is the same table. LoRA
on the linear layers cannot reach them. To train the whole table would be far more numbers than all of LoRA; these rows are a few.

A row is W[i] + change[i], and change begins at zero, so the model begins as it was; the table itself stays frozen. (Hu et al. 2021 leave
embeddings alone; Artetxe et al. 2020, "On the Cross-lingual Transferability of Monolingual Representations", train new ones for a new
language.)

Axes: V vocabulary, D model width, n rows that learn. Left out: tokens that the tokenizer does not have.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lablib.adaptation.domains import ShipsLog
from lablib.adaptation.trainable import M
from lablib.corpus.world import World
from lablib.tokens.tokenizer import Tokenizer


class ChangedRows(nn.Module):
    """W with a change of its own for some rows: (V, D) -> (V, D).

    Args: rows: their n different numbers. D: width of the table.
    """

    def __init__(self, rows: Sequence[int], D: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.rows: Tensor
        self.register_buffer("rows", torch.tensor(rows, device=device), persistent=False)
        self.change = nn.Parameter(torch.zeros(len(rows), D, device=device))

    def forward(self, table: Tensor) -> Tensor:
        return table.index_add(0, self.rows, self.change)  # (V, D), (n, D) -> (V, D)


def learn_rows(model: M, rows: Sequence[int]) -> M:
    """Let only these rows of the embedding learn, besides whatever learns elsewhere; the same model comes back.

    Where the head is the same table, they learn as words to read and as words to write.

    Raises:
        ValueError: no row, one twice, or one that the table does not have.
    """
    embedding = model.get_submodule("embedding")
    if not isinstance(embedding, nn.Embedding):
        raise ValueError(f"model.embedding is a {type(embedding).__name__}: expected an nn.Embedding")
    V, D = embedding.weight.shape
    if not rows or len(set(rows)) != len(rows) or not all(0 <= row < V for row in rows):
        raise ValueError(
            f"rows = {list(rows)[:5]} ({len(rows)} of them): expected at least one, all different, from 0 to V - 1 = {V - 1}"
        )
    embedding.weight.requires_grad_(False)
    parametrize.register_parametrization(embedding, "weight", ChangedRows(rows, D, embedding.weight.device))
    return model


@lru_cache(maxsize=2)
def new_tokens(tokenizer: Tokenizer, documents: int = 1000) -> tuple[int, ...]:
    """The tokens that occur in so many documents of the ship's log, and in none of as many of the valley's."""
    drawn = {
        "valley": World().documents(Random("what it has read")),
        "log": ShipsLog().documents(Random("what it will read")),
    }
    occur = {
        name: {token for document in islice(source, documents) for token in tokenizer.encode(document.text)}
        for name, source in drawn.items()
    }
    return tuple(sorted(occur["log"] - occur["valley"]))
