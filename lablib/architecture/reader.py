"""What an encoder needs around it to read something else than text: a way in, positions, a way out, and a training loop.

An encoder maps vectors (B, S, D) to vectors (B, S, D). So anything can be read that can be cut into a sequence of S pieces of
P numbers: `into` makes each piece a vector, `positions` tells the pieces apart, `pool` makes one vector of the sequence, and
`out` turns that vector into an answer. Nothing of it is special to images, to a time series or to sound.

Papers: Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words" (equations 1–4: linear projection, class token, positions);
Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW).

Axes: B batch, S pieces in a sequence, P numbers in a piece, D model width, C classes (or numbers to predict).
Left out: pre-training, which is what makes such readers strong, and every kind of augmentation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Split:
    """Examples to learn from and examples to be tested on: inputs (N, …), answers (N, …), one row an example."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            x, y = getattr(self, f"{name}_x"), getattr(self, f"{name}_y")
            if len(x) != len(y) or not len(x):
                raise ValueError(
                    f"{name}_x has {len(x)} rows and {name}_y has {len(y)}: expected the same number, at least 1; "
                    "row i of one belongs to row i of the other"
                )


def mean_pool(x: Tensor) -> Tensor:
    """The average of all pieces: (B, S, D) -> (B, D). It is the same in whatever order they stand."""
    return x.mean(dim=1)


def first(x: Tensor) -> Tensor:
    """The first vector alone, (B, S, D) -> (B, D): where the class token stands, if there is one."""
    return x[:, 0]


class Reader(nn.Module):
    """Sequences of pieces (B, S, P) -> answers (B, C), through an encoder that does not know what it reads.

    Args:
        into: (…, P) -> (…, D), such as `nn.Linear(P, D)`.
        encoder: (B, S, D) -> (B, S, D).
        out: (B, D) -> (B, C), such as `nn.Linear(D, C)`.
        positions: T -> (T, D), added to the pieces' vectors; None leaves the reader blind to their order.
        pool: (B, S, D) -> (B, D), `mean_pool` or `first`.
        class_token: put one more, trained vector (D,) before the pieces, to gather what the class needs; None: no such vector.
    """

    def __init__(
        self,
        into: nn.Module,
        encoder: nn.Module,
        out: nn.Module,
        positions: Callable[[int], Tensor] | None = None,
        pool: Callable[[Tensor], Tensor] = mean_pool,
        class_token: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.into, self.encoder, self.out = into, encoder, out
        self.positions, self.pool = positions, pool
        self.class_token = None if class_token is None else nn.Parameter(class_token)

    def forward(self, pieces: Tensor) -> Tensor:
        """Dosovitskiy et al. 2020: equation 1 (`into`, class token, positions), 2–3 (encoder), 4 (its final norm, pool); `out`.

        Raises:
            ValueError: pieces is not (B, S, P) with at least one sequence and one piece.
        """
        if pieces.dim() != 3 or 0 in pieces.shape:
            raise ValueError(
                f"pieces has shape {tuple(pieces.shape)}: expected (B, S, P), each at least 1; "
                "cut images by `vision.patches`, a series or a spectrum into rows, and keep the batch's axis"
            )
        x = self.into(pieces)  # (B, S, P) -> (B, S, D)
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(len(x), 1, -1), x), dim=1)  # (B, S, D) -> (B, 1 + S, D)
        if self.positions is not None:
            x = x + self.positions(x.shape[1])
        return self.out(self.pool(self.encoder(x)))  # (B, S, D) -> (B, D) -> (B, C)


def minibatches(x: Tensor, y: Tensor, B: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: each pass goes through all examples once, in a new order; what does not fill a batch waits.

    Args: x (N, …); y (N, …); B from 1 to N.
    Yields: x (B, …), y (B, …).
    Raises: ValueError: B is not from 1 to N.
    """
    if not 1 <= B <= len(x):
        raise ValueError(f"B = {B}: expected 1 to {len(x)}, the number of examples")
    while True:
        order = torch.randperm(len(x), generator=generator)
        for rows in order.split(B):
            if len(rows) == B:
                yield x[rows], y[rows]


def train(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    lr: float = 3e-3,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    weight_decay: float = 0.05,
) -> Iterator[float]:
    """Train with AdamW: a warm-up of a tenth of the steps, then a straight fall of the learning rate to zero.

    Args:
        loss: (the model's answers, y) -> a scalar, the mean over the batch; cross-entropy is in nats.

    Yields:
        the loss of each step, measured before the update.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    for step in range(steps):
        done = (step + 1) / steps
        for group in optimizer.param_groups:
            group["lr"] = lr * min(10 * done, (1 - done) / 0.9)
        x, y = next(batches)
        value = loss(model.train()(x), y)  # dropout on, whatever was read between two steps
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield value.item()


@torch.no_grad()
def predict(model: nn.Module, x: Tensor, B: int = 512) -> Tensor:
    """The model's answers to all of x (N, …), B rows at a time, without dropout: (N, C)."""
    model.eval()
    return torch.cat([model(rows) for rows in x.split(B)])


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the rows x (N, …) whose largest logit is that of the class y (N,), from 0 to 1."""
    return (predict(model, x).argmax(dim=-1) == y).float().mean().item()  # (N, C) -> (N,)
