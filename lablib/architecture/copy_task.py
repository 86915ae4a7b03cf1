"""The copy task: see one marked symbol, read noise, say at the end which symbol it was.

Nothing in the noise helps, so whoever answers better than by chance has carried the symbol across the whole distance.
Three readers of about the same size try it: the RNN, the LSTM, and attention. Each is built around the functions of
`recurrent`, which can be exchanged for a learner's own.

Papers: Hochreiter and Schmidhuber 1997, §5 (tasks with long minimal time lags); Arjovsky, Shah and Bengio 2016,
"Unitary Evolution Recurrent Neural Networks" (the copying problem); Jozefowicz, Zaremba and Sutskever 2015, "An
Empirical Exploration of Recurrent Network Architectures" (the forget gate's bias). Left out: several symbols to be
copied in order, and distances that vary within a batch.

Axes as in `recurrent`: B batch, T time, D width of the state, V number of symbols.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.recurrent import clip_by_global_norm, look_back, lstm_step, rnn_step, unroll


def copy_batch(B: int, V: int, distance: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """B sequences: a marked symbol, `distance` − 1 other symbols as noise, and a question mark.

    The ids 0 … V − 1 are the symbols, V … 2V − 1 the same symbols with a mark, and 2V is the question mark. Noise and
    symbol are drawn alike, so only the mark tells which one to remember.

    Args:
        distance: steps from the marked symbol to the question mark, ≥ 1.

    Returns:
        ids (B, T) with T = distance + 1, and the symbols to be named (B,), each from 0 to V − 1.

    Raises:
        ValueError: distance < 1, or V < 2.
    """
    if distance < 1:
        raise ValueError(f"distance = {distance}: expected at least 1, a question mark right behind the symbol")
    if V < 2:
        raise ValueError(f"V = {V}: expected at least 2 symbols, else there is nothing to remember")
    symbol = torch.randint(V, (B, 1), generator=generator)
    noise = torch.randint(V, (B, distance - 1), generator=generator)
    ask = torch.full((B, 1), 2 * V)
    return torch.cat((symbol + V, noise, ask), dim=1), symbol[:, 0]  # (B, distance + 1), (B,)


def uniform(rows: int, cols: int, D: int) -> nn.Parameter:
    """A weight as torch starts those of `nn.RNN` and `nn.LSTM`: uniform within ±1/√D."""
    return nn.Parameter(torch.empty(rows, cols).uniform_(-(D**-0.5), D**-0.5))


class RNNReader(nn.Module):
    """Embedded inputs (B, T, D) -> the last state of an RNN (B, D)."""

    def __init__(self, D: int, step: Callable[..., Tensor] = rnn_step) -> None:
        super().__init__()
        self.step = step
        self.w_x, self.w_h, self.b = uniform(D, D, D), uniform(D, D, D), nn.Parameter(torch.zeros(D))

    def forward(self, x: Tensor) -> Tensor:
        start = x.new_zeros(len(x), len(self.w_h))  # (B, D)
        return unroll(lambda x, h: self.step(x, h, self.w_x, self.w_h, self.b), x, start)[-1]


class LSTMReader(nn.Module):
    """Embedded inputs (B, T, D) -> the last state h of an LSTM (B, D).

    Args:
        forget_bias: where the bias of the forget gate starts; 0 leaves the gates half open.
    """

    def __init__(
        self, D: int, forget_bias: float = 1.0, step: Callable[..., tuple[Tensor, Tensor]] = lstm_step
    ) -> None:
        super().__init__()
        self.step = step
        self.w_x, self.w_h, self.b = uniform(D, 4 * D, D), uniform(D, 4 * D, D), nn.Parameter(torch.zeros(4 * D))
        with torch.no_grad():
            self.b[D : 2 * D] = forget_bias  # the second block of four: i, f, g, o

    def forward(self, x: Tensor) -> Tensor:
        start = x.new_zeros(len(x), len(self.w_h))  # (B, D)
        h, _ = unroll(lambda x, s: self.step(x, *s, self.w_x, self.w_h, self.b), x, (start, start))[-1]
        return h


class AttentionReader(nn.Module):
    """Embedded inputs (B, T, D) -> what the last position sees when it looks at all of them (B, D). No positions."""

    def __init__(self, D: int, look: Callable[..., tuple[Tensor, Tensor]] = look_back) -> None:
        super().__init__()
        self.look = look
        self.w_q, self.w_k, self.w_v = (uniform(D, D, D) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x, self.w_q, self.w_k, self.w_v)[0]


class CopyModel(nn.Module):
    """Ids (B, T) -> logits over the V symbols (B, V): an embedding, a reader, and a linear head."""

    def __init__(self, V: int, D: int, reader: nn.Module) -> None:
        super().__init__()
        self.embedding, self.reader, self.head = nn.Embedding(2 * V + 1, D), reader, nn.Linear(D, V)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.reader(self.embedding(ids)))  # (B, T) -> (B, T, D) -> (B, D) -> (B, V)


def train_copy(
    model: nn.Module, V: int, distance: int, steps: int, generator: torch.Generator, lr: float = 3e-3,
    max_norm: float | None = 1.0, B: int = 64,
) -> Iterator[float]:  # fmt: skip
    """Train with Adam on fresh sequences of one distance.

    Args:
        max_norm: clip the gradients' common norm to this; None lets them be.

    Yields:
        the loss of each step before its update: cross-entropy, mean over the batch, in nats.
    """
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for _ in range(steps):
        ids, symbol = copy_batch(B, V, distance, generator)
        loss = F.cross_entropy(model(ids), symbol)
        gradients = torch.autograd.grad(loss, parameters)
        if max_norm is not None:
            gradients = clip_by_global_norm(max_norm, *gradients)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def copy_accuracy(model: nn.Module, V: int, distance: int, generator: torch.Generator, n: int = 512) -> float:
    """The share of n fresh sequences whose symbol is named, from 0 to 1; chance is 1/V."""
    ids, symbol = copy_batch(n, V, distance, generator)
    return (model(ids).argmax(dim=-1) == symbol).float().mean().item()
