"""A small causal language model with a hole where positions go, to compare the ways of telling it the order.

The model knows nothing about positions. What it is given as `Positions` may enter in three places: added to the
embeddings, as a rotation of queries and keys, or as a bias on the scores. Everything else stays the same, so a
difference between two trained models comes from the positions and from chance.

It is a pre-norm Transformer with LayerNorm and GELU (lab 04 explains these). Papers: Press, Smith and Lewis 2021,
"Train Short, Test Long" (reading beyond the trained length); Kazemnejad et al. 2023, "The Impact of Positional
Encoding on Length Generalization in Transformers". Left out: dropout, weight tying, everything about speed.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.attention import attention_scores, causal_mask, masked_softmax, merge_heads, split_heads


class Positions(nn.Module):
    """The three places where a position can enter; None leaves a place empty.

    Args:
        add: T -> (T, D), added to the token embeddings.
        rotate: (B, H, T, K) -> (B, H, T, K), done to the queries and to the keys of every layer.
        bias: T -> (H, T, T), added to the scores of every layer.
    """

    def __init__(
        self,
        add: Callable[[int], Tensor] | None = None,
        rotate: Callable[[Tensor], Tensor] | None = None,
        bias: Callable[[int], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.add, self.rotate, self.bias = add, rotate, bias


class Block(nn.Module):
    """Attention, then a feed-forward layer; each adds its result to what came in."""

    def __init__(self, D: int, H: int) -> None:
        super().__init__()
        self.H = H
        self.norm_1, self.norm_2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.feed_forward = nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D))

    def forward(self, x: Tensor, positions: Positions) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        T = x.shape[1]
        parts = self.qkv(self.norm_1(x)).chunk(3, dim=-1)  # (B, T, 3D) -> 3 × (B, T, D)
        q, k, v = (split_heads(part, self.H) for part in parts)  # 3 × (B, H, T, K)
        if positions.rotate is not None:
            q, k = positions.rotate(q), positions.rotate(k)
        scores = attention_scores(q, k)  # (B, H, T, T)
        if positions.bias is not None:
            scores = scores + positions.bias(T)
        weights = masked_softmax(scores, causal_mask(T, device=x.device))  # (B, H, T, T)
        x = x + self.out(merge_heads(weights @ v))  # (B, H, T, K) -> (B, T, D)
        return x + self.feed_forward(self.norm_2(x))


class PositionModel(nn.Module):
    """Predicts the next of V tokens at every position: ids (B, T) -> logits (B, T, V)."""

    def __init__(self, V: int, D: int, H: int, L: int, positions: Positions) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D)
        self.positions = positions
        self.blocks = nn.ModuleList(Block(D, H) for _ in range(L))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, V, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)  # (B, T) -> (B, T, D)
        if self.positions.add is not None:
            x = x + self.positions.add(ids.shape[1])
        for block in self.blocks:
            x = block(x, self.positions)
        return self.head(self.norm(x))  # (B, T, D) -> (B, T, V)


def bits(model: nn.Module, ids: Tensor) -> Tensor:
    """How surprised the model is by each next token: ids (B, T + 1) -> (B, T), in bits a token."""
    logits = model(ids[:, :-1])  # (B, T, V)
    nats = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")  # (B · T,)
    return nats.view(ids.shape[0], -1) / math.log(2)  # (B, T)


def windows(text: Tensor, B: int, T: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches without end: B pieces of T + 1 neighbouring tokens from random places of the text (N,)."""
    while True:
        starts = torch.randint(len(text) - T, (B, 1), generator=generator)
        yield text[starts + torch.arange(T + 1)]  # (B, T + 1)


def train(model: nn.Module, batches: Iterator[Tensor], steps: int, lr: float = 8e-3) -> Iterator[float]:
    """Train with AdamW: a warm-up of a tenth of the steps, then a straight fall to zero.

    Yields:
        the loss of each step: the mean over its tokens, in bits a token, measured before the update.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98))
    for step in range(steps):
        done = (step + 1) / steps
        for group in optimizer.param_groups:
            group["lr"] = lr * min(10 * done, (1 - done) / 0.9)
        loss = bits(model, next(batches)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()
