"""The transformer of 2017: an encoder that reads a whole sequence, a decoder that writes another one from it.

Paper: Vaswani et al. 2017, "Attention Is All You Need" (figure 1, §3). Pre-norm (Xiong et al. 2020) is an option.

Axes: B batch, T time (the target's positions), S source time, D model width, H heads, V vocabulary, L layers.
Masks are boolean, True = may look. Token 0 pads, 1 starts a target, 2 ends it.

Differs from the paper: nothing in the model. Left out: label smoothing and the schedule of the learning rate, which belong to training;
and a cache, so writing T tokens costs T passes of the decoder (`lablib.architecture.decoder` has one).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lablib.architecture.attention import MultiHeadAttention, causal_mask
from lablib.architecture.layers import Connection, FeedForward, LayerNorm, post_norm
from lablib.architecture.positions import sinusoidal_encoding

PAD, START, END = 0, 1, 2
Layer = Callable[..., nn.Module]  # (D, H, hidden, connect, dropout) -> a layer


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of an encoder–decoder; the defaults are the paper's base model (Vaswani et al. 2017, table 3).

    Args:
        V: tokens in the vocabulary that source and target share. D: model width. H: heads, which divide D.
        L: layers of the encoder, and as many of the decoder. hidden: width inside a feed-forward network.
        dropout: share of the features that training sets to zero, from 0 up to but not 1.
        connect, final_norm: `post_norm` and False as in the paper, or `pre_norm` and True.
    """

    V: int = 37_000
    D: int = 512
    H: int = 8
    L: int = 6
    hidden: int = 2048
    dropout: float = 0.1
    connect: Connection = post_norm
    final_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("V", "D", "H", "L", "hidden"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r}: expected a whole number >= 1")
        if self.D % self.H:
            raise ValueError(f"D = {self.D} cannot be cut into H = {self.H} heads: expected H to divide D")
        if self.D % 2:
            raise ValueError(f"D = {self.D} is odd: the sinusoidal positions need pairs of columns, so an even D")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout}: expected a share from 0 up to but not 1")

    def stack(self, layer: "Layer") -> "Stack":
        """L layers of a kind with these sizes."""
        return Stack(layer, self.L, self.D, self.H, self.hidden, self.connect, self.dropout, self.final_norm)


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network, each in a residual connection (Vaswani et al. 2017, §3.1)."""

    def __init__(self, D: int, H: int, hidden: int, connect: Connection = post_norm, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention, self.feed_forward = MultiHeadAttention(D, H), FeedForward(D, hidden)
        self.norm_1, self.norm_2 = LayerNorm(D), LayerNorm(D)
        self.connect, self.dropout = connect, nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention under norm_1, then the feed-forward network under norm_2; dropout on what each adds.

        x: (B, S, D). mask: bool, broadcastable to (B, H, S, S), True = may look.
        Returns: (B, S, D). `self.connect(x, sublayer, norm)` is `post_norm` or `pre_norm`.
        """
        x = self.connect(x, lambda x: self.dropout(self.attention(x, mask=mask)[0]), self.norm_1)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_2)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to what the encoder has read, feed-forward (Vaswani et al. 2017, §3.1)."""

    def __init__(self, D: int, H: int, hidden: int, connect: Connection = post_norm, dropout: float = 0.0) -> None:
        super().__init__()
        self.self_attention, self.cross_attention = MultiHeadAttention(D, H), MultiHeadAttention(D, H)
        self.feed_forward = FeedForward(D, hidden)
        self.norm_1, self.norm_2, self.norm_3 = LayerNorm(D), LayerNorm(D), LayerNorm(D)
        self.connect, self.dropout = connect, nn.Dropout(dropout)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """Self-attention under norm_1, cross-attention under norm_2, feed-forward under norm_3, all with dropout.

        x: (B, T, D) asks; memory: (B, S, D), the encoder's output, answers in the cross-attention.
        mask: bool for (B, H, T, T), who of the target may look at whom; memory_mask: bool for (B, H, T, S).
        Returns: (B, T, D).
        """
        x = self.connect(x, lambda x: self.dropout(self.self_attention(x, mask=mask)[0]), self.norm_1)
        x = self.connect(x, lambda x: self.dropout(self.cross_attention(x, memory, memory_mask)[0]), self.norm_2)
        return self.connect(x, lambda x: self.dropout(self.feed_forward(x)), self.norm_3)


class Stack(nn.Module):
    """L layers of one kind, one after another.

    Args:
        layer: the kind, called as layer(D, H, hidden, connect, dropout).
        connect: `post_norm` as in 2017, or `pre_norm`.
        final_norm: normalise the output once more. Pre-norm needs it: nothing else bounds the sum of its layers.
    """

    def __init__(
        self,
        layer: Layer,
        L: int,
        D: int,
        H: int,
        hidden: int,
        connect: Connection = post_norm,
        dropout: float = 0.0,
        final_norm: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer(D, H, hidden, connect, dropout) for _ in range(L))
        self.norm = LayerNorm(D) if final_norm else nn.Identity()

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """x (B, T, D) -> (B, T, D); `others` is what each layer takes after x: masks, memory."""
        for layer in self.layers:
            x = layer(x, *others)
        return self.norm(x)


class Encoder(Stack):
    """A stack of encoder layers over vectors: it does not ask where they come from, be it text, images or sound."""

    def __init__(
        self,
        L: int,
        D: int,
        H: int,
        hidden: int,
        connect: Connection = post_norm,
        dropout: float = 0.0,
        final_norm: bool = False,
        layer: Layer = EncoderLayer,
    ) -> None:
        super().__init__(layer, L, D, H, hidden, connect, dropout, final_norm)
        self.D, self.H = D, H

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """x (B, S, D) -> (B, S, D); mask: bool, broadcastable to (B, H, S, S), True = may look."""
        if x.dim() != 3 or 0 in x.shape or x.shape[-1] != self.D:
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (B, S, D) with B, S >= 1 and D = {self.D}")
        if mask is not None:
            check_mask(mask, (x.shape[0], self.H, x.shape[1], x.shape[1]))
        return super().forward(x, mask)


class TiedEmbedding(nn.Module):
    """One table of V·D numbers: the embedding of the source, that of the target, and the last linear layer (§3.4)."""

    def __init__(self, V: int, D: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight, self.dropout = nn.Parameter(torch.empty(V, D)), nn.Dropout(dropout)
        nn.init.normal_(self.weight, std=D**-0.5)  # times √D in `forward`: features of size 1, like the waves

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> (B, T, D): the table's rows times √D (§3.4), plus the waves of the positions (§3.5)."""
        check_ids(ids, len(self.weight))
        T, D = ids.shape[1], self.weight.shape[1]
        waves = sinusoidal_encoding(T, D).to(self.weight)  # (T, D)
        return self.dropout(nn.functional.embedding(ids, self.weight) * math.sqrt(D) + waves)  # (B, T) -> (B, T, D)

    def logits(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, V): how well each row of the table matches, before any softmax."""
        return x @ self.weight.T  # (B, T, D) @ (D, V)


class Transformer(nn.Module):
    """Token numbers of a source and of a target so far -> logits of the target's next tokens (figure 1)."""

    def __init__(
        self, config: TransformerConfig, encoder_layer: Layer = EncoderLayer, decoder_layer: Layer = DecoderLayer
    ) -> None:
        super().__init__()
        self.embedding = TiedEmbedding(config.V, config.D, config.dropout)
        self.encoder, self.decoder = config.stack(encoder_layer), config.stack(decoder_layer)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Read the source: ids (B, S) -> memory (B, S, D) and its mask (B, 1, 1, S), True where no padding is."""
        x, mask = self.embedding(source), (source != PAD)[..., None, None, :]  # (B, S) -> (B, S, D), (B, 1, 1, S)
        return self.encoder(x, mask), mask

    def decode(self, target: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """What comes after each token of the target, if nothing behind that token may be seen?

        target: ids (B, T). memory, memory_mask: as `encode` returns them.
        Returns: logits (B, T, V). `self.decoder(x, ...)` takes what a DecoderLayer takes.
        """
        mask = causal_mask(target.shape[1], device=target.device)  # (T, T)
        x = self.decoder(self.embedding(target), memory, mask, memory_mask)  # (B, T) -> (B, T, D)
        return self.embedding.logits(x)  # (B, T, D) -> (B, T, V)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source ids (B, S), target ids (B, T) -> logits (B, T, V) for the token after each of the target's."""
        return self.decode(target, *self.encode(source))


def check_ids(ids: Tensor, V: int, name: str = "ids") -> None:
    """Token numbers a model can read: (B, T), at least one row and one column, whole numbers below V.

    Raises:
        ValueError: says which of these fails, and for which value.
    """
    if ids.dim() != 2 or 0 in ids.shape:
        raise ValueError(f"{name} has shape {tuple(ids.shape)}: expected ids (B, T) with B >= 1 and T >= 1")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"{name} is {ids.dtype}: expected whole numbers, such as torch.long")
    if ids.device.type != "meta" and not 0 <= int(ids.min()) <= int(ids.max()) < V:
        raise ValueError(f"{name} holds {int(ids.min())} to {int(ids.max())}: expected ids from 0 to V − 1 = {V - 1}")


def check_mask(mask: Tensor, shape: tuple[int, int, int, int]) -> None:
    """A mask that attention weights of a shape (B, H, T, S) can take.

    Raises:
        TypeError: it is not bool. ValueError: it does not broadcast to the shape.
    """
    if mask.dtype != torch.bool:
        raise TypeError(
            f"mask is {mask.dtype}: expected bool, True where a position may look (`mask == 0` turns 0/−inf)"
        )
    sizes = (1,) * (4 - mask.dim()) + tuple(mask.shape)
    if len(sizes) != 4 or any(size not in (1, wanted) for size, wanted in zip(sizes, shape, strict=True)):
        hint = "; a mask (B, S) of real positions becomes mask[:, None, None, :]" if mask.dim() == 2 else ""
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}: expected one that broadcasts to (B, H, T, S) = {shape}{hint}"
        )


def attention_maps(model: nn.Module, names: str, *inputs: Tensor) -> list[Tensor]:
    """The weights that attentions used in one forward pass: no second computation, each hands over its own.

    Args:
        names: the end of the modules' names, such as "cross_attention".
        inputs: what the model is called with.

    Returns:
        One (B, H, T, S) for each such attention, in the order of the layers.

    Raises:
        ValueError: no module has such a name.
    """
    kept: list[Tensor] = []
    wanted = [module for name, module in model.named_modules() if name.endswith(names)]
    if not wanted:
        raise ValueError(f"names = {names!r}: no module's name ends so; expected for example 'cross_attention'")
    hooks = [module.register_forward_hook(lambda _, __, output: kept.append(output[1].detach())) for module in wanted]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return kept


def count(model: nn.Module) -> int:
    """The model's parameters; a shared one counts once."""
    return sum(parameter.numel() for parameter in model.parameters())
