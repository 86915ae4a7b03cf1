"""How far off the predictions are: the loss of a batch, and of a held-out shard in units that can be compared.

*Nats per token* is the mean of −ln P(token), 0 for a clairvoyant and ln V for a uniform guess. It depends on how the text is cut into
tokens. *Bits per byte* does not: all the nats together, divided by ln 2 and by the bytes of the text (Gao et al. 2020, "The Pile", §3.1).

Axes: B batch, T time, V vocabulary. Left out: a window that slides token by token, so that each has its full context.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lablib.pretraining.batching import Batch
from lablib.pretraining.hardware import dtype_for
from lablib.pretraining.shards import Shard

ROWS = 64  # that `quick_token_nats` takes at a time: they stay in the processor's cache
Loss = Callable[[nn.Module, Batch], Tensor]  # -> the sum over the predictions that count, in nats


def token_nats(model: nn.Module, batch: Batch) -> Tensor:
    """How surprised the model is: −ln P(target), summed over the targets that count, nats; a scalar in fp32.

    model: ids (B, T) -> logits (B, T, V).

    >>> uniform = lambda ids: torch.zeros(*ids.shape, 4)
    >>> batch = Batch(torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), torch.tensor([[True, False]]))
    >>> token_nats(uniform, batch)  # ln 4
    tensor(1.3863)
    """
    logits = model(batch.inputs)  # (B, T) -> (B, T, V)
    targets = batch.targets if batch.mask is None else batch.targets.masked_fill(~batch.mask, -100)  # (B, T)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum")


class _QuickNats(torch.autograd.Function):
    """−ln P(target), summed, from logits (N, V) and targets (N,), some rows at a time; the gradient is made on the way."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        gradient, nats = torch.empty_like(logits), torch.zeros((), device=logits.device)
        for start in range(0, len(targets), ROWS):
            some, wanted = logits[start : start + ROWS], targets[start : start + ROWS, None]
            counts = wanted >= 0  # (n, 1)
            log_p = torch.log_softmax(some, dim=-1, dtype=torch.float32)  # (n, V)
            nats -= (log_p.gather(1, wanted.clamp(min=0)) * counts).sum()
            p = log_p.exp_()  # ∂(−ln P(target)) / ∂logits = P − 1 at the target, P elsewhere
            p.scatter_add_(1, wanted.clamp(min=0), torch.full_like(wanted, -1, dtype=p.dtype))
            gradient[start : start + ROWS] = p if bool(counts.all()) else p * counts
        ctx.save_for_backward(gradient)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None


def quick_token_nats(model: nn.Module, batch: Batch) -> Tensor:
    """`token_nats` in fewer passes over memory: no second copy of the logits in float32, and the gradient in place of one.

    On a CPU the logits of a small model are the largest thing that a step moves (`bench/pretraining.py`).
    """
    logits = model(batch.inputs).flatten(0, 1)  # (B·T, V)
    targets = batch.targets if batch.mask is None else batch.targets.masked_fill(~batch.mask, -1)
    return quick_nats(logits, targets.flatten())


def quick_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """−ln P(target), summed: logits (N, V), targets (N,), those below 0 not counted -> a scalar, nats."""
    return _QuickNats.apply(logits, targets)


def bits_per_byte(nats: float, text_bytes: float) -> float:
    """A loss that does not depend on the tokenizer: the nats of a whole text in bits, for each byte of it.

    Args: nats: −ln P, summed over all tokens of the text. text_bytes: length of the text in UTF-8.

    >>> bits_per_byte(8 * math.log(2), text_bytes=4)  # 8 bits for 4 bytes
    2.0
    """
    return nats / math.log(2) / text_bytes


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """The context in which a pass is computed: matrix products in bfloat16 and sums in float32, or all in float32.

    Args: dtype: "bfloat16", "float32", or "auto": what this device is made for, see `best_dtype`.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype_for(device, dtype) == "bfloat16")


@dataclass(frozen=True)
class Evaluation:
    """The loss on a held-out shard.

    Attributes:
        nats_per_token: mean over the predictions. tokens: how many there were.
        bits_per_byte: None where the shard does not say how many bytes its text has. For a part of a shard it
            takes the shard's mean number of bytes per token.
    """

    nats_per_token: float
    bits_per_byte: float | None
    tokens: int

    @property
    def perplexity(self) -> float:
        """e to the nats per token: as unsure as a uniform guess among so many tokens."""
        return math.exp(min(self.nats_per_token, 700.0))


@torch.no_grad()
def evaluate(
    model: nn.Module,
    shard: Shard,
    T: int,
    B: int = 32,
    limit: int | None = None,
    dtype: str = "float32",
    loss: Loss = token_nats,
) -> Evaluation:
    """The model's loss on a shard, read in order in windows of T; every token but the first is predicted once.

    Each window begins with nothing in mind, so that its first tokens are harder than they are in the running text: compare
    evaluations of one T only.

    Args:
        B: windows at a time. limit: predictions at most (rounded up to windows); None: all. dtype: as in `Recipe`.
    """
    predictions = len(shard) - 1 if limit is None else min(len(shard) - 1, -(-limit // T) * T)
    if T < 1 or B < 1 or predictions < 1:
        raise ValueError(
            f"T = {T}, B = {B}, limit = {limit}, a shard of {len(shard)} tokens: expected one prediction at least"
        )
    device = next(model.parameters()).device
    whole = predictions // T  # full windows; what is left is a shorter one
    starts = [*(range(i * T, min(i + B, whole) * T, T) for i in range(0, whole, B)), range(whole * T, predictions, T)]
    training, total = model.training, 0.0
    model.eval()
    try:
        for places in starts:
            if not places:
                continue
            rows = [
                torch.from_numpy(shard.tokens[start : min(start + T, predictions) + 1].astype("int64"))
                for start in places
            ]
            ids = torch.stack(rows)  # (B, T + 1)
            with autocast(device, dtype):
                total += loss(model, Batch(ids[:, :-1], ids[:, 1:]).to(device)).item()
    finally:
        model.train(training)
    if shard.text_bytes is None:
        return Evaluation(total / predictions, None, predictions)
    size = shard.text_bytes * predictions / (len(shard) - 1)
    return Evaluation(total / predictions, bits_per_byte(total, size), predictions)
