"""What the tests of pre-training share: a small model, a small corpus that can be learned, and runs of both."""

from pathlib import Path

import torch
from torch import nn

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining.batching import Batches
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.shards import Shard, write_shard

V, T = 48, 16
CONFIG = DecoderConfig(V=V, D=16, H=2, L=2, hidden=32, context=T)


def recipe(**changes) -> Recipe:
    return Recipe(**{"steps": 12, "batch": 8, "context": T, "lr": 3e-3, **changes})


def documents(n: int = 200, length: int = 30) -> list[list[int]]:
    """Something with a pattern in it: quadratic sequences modulo V."""
    return [[(7 * i + j * j) % V for j in range(length)] for i in range(n)]


def some_shard(folder: Path, n: int = 200) -> Shard:
    return write_shard(folder / "train.bin", documents(n), V, text_bytes=40 * n)


def some_batches(folder: Path, B: int = 8, **changes) -> Batches:
    return Batches([some_shard(folder)], T, B, **changes)


def small_model(seed: int = 0) -> Decoder:
    return Decoder(CONFIG, generator=torch.Generator().manual_seed(seed))


class Dropping(nn.Module):
    """Embedding, a hidden layer, dropout, head: a model whose training draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden, self.head = nn.Embedding(V, 16), nn.Linear(16, 16), nn.Linear(16, V)
        self.drop = nn.Dropout(0.2)
        generator = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.1, generator=generator)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.hidden(self.embedding(ids))))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Bit-equal."""
    mine, theirs = a.state_dict(), b.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
