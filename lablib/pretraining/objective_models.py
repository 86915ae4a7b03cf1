"""The models that go with the objectives, made of the same block: one that reads both ways, and one that reads and then writes.

    causal decoder      each token sees those before it         `lablib.architecture.decoder.Decoder`
    encoder             each token sees all tokens              `Bidirectional`: the same weights, another mask
    encoder–decoder     the source sees all of itself, the target what is before it, and the source    `EncoderDecoder`

Papers: Devlin et al. 2019, "BERT" (§3); Raffel et al. 2020, "T5" (§2.1, §3.2.1 and figure 3: who may look at whom).

Axes: B batch, S source time, T time, D model width, H heads, K head width, V vocabulary, L layers. Differs from both papers: the block is
the course's (RMSNorm, rotary positions, SwiGLU), so that nothing but the objective and its mask changes. Left out: a cache for writing.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lablib.architecture.attention import merge_heads, split_heads
from lablib.architecture.decoder import FAST, Angles, Block, Decoder, DecoderConfig, Parts, positions_of, start_weights
from lablib.architecture.decoder_cache import KVCache
from lablib.architecture.encoder_decoder import check_ids
from lablib.architecture.layers import pre_norm
from lablib.architecture.positions import rotary_angles
from lablib.pretraining.batching import Batch
from lablib.pretraining.loss import Loss


class Bidirectional(Decoder):
    """The decoder with its causal mask taken off: every token sees every other, but for padding."""

    def __init__(
        self, config: DecoderConfig, pad: int, parts: Parts = FAST, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config, parts, generator)
        self.pad = pad

    def hidden(self, ids: Tensor, mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """ids (B, T) -> (B, T, D). mask: bool (B, T), True = a real token; None: whatever is not `pad`."""
        if cache is not None:
            raise ValueError("cache given: expected None, for a new token changes what all the others see")
        self.check(ids, mask, None)
        real = ids != self.pad if mask is None else mask  # (B, T)
        x, angles = self.place(self.embedding(ids), positions_of(ids.shape[1], 0, None, ids.device))  # -> (B, T, D)
        look = real[:, None, None, :].expand(-1, 1, ids.shape[1], -1)  # (B, 1, T, T)
        for layer in self.layers:
            x = layer(x, look, angles)
        return self.norm(x)


class CrossAttention(nn.Module):
    """The target asks, the source answers: H heads, no positions (as in T5, whose positions stand in self-attention only)."""

    def __init__(self, D: int, H: int) -> None:
        super().__init__()
        self.H = H
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, look: Tensor) -> Tensor:
        """x (B, T, D), memory (B, S, D), look bool (B, 1, 1, S), True where no padding is -> (B, T, D)."""
        q = split_heads(self.q_proj(x), self.H)  # (B, T, D) -> (B, H, T, K)
        k, v = split_heads(self.k_proj(memory), self.H), split_heads(self.v_proj(memory), self.H)  # (B, H, S, K)
        look = look.expand(-1, 1, x.shape[1], -1)  # (B, 1, T, S)
        return self.out_proj(merge_heads(F.scaled_dot_product_attention(q, k, v, look)))  # (B, H, T, K) -> (B, T, D)


class WritingBlock(Block):
    """`Block` with cross-attention between its two sublayers (Vaswani et al. 2017, §3.1)."""

    def __init__(self, sizes: DecoderConfig, parts: Parts) -> None:
        super().__init__(sizes, sizes.kv, False, parts)
        self.cross, self.norm_3 = CrossAttention(sizes.D, sizes.H), parts.norm(sizes.D, sizes.eps)

    def write(self, x: Tensor, memory: Tensor, look: Tensor, angles: Angles) -> Tensor:
        """x (B, T, D) -> (B, T, D); each position sees those before it, and all of the memory that `look` allows."""
        x = pre_norm(x, lambda x: self.attention(x, None, angles)[0], self.norm_1)
        x = pre_norm(x, lambda x: self.cross(x, memory, look), self.norm_3)
        return pre_norm(x, self.feed_forward, self.norm_2)


class EncoderDecoder(nn.Module):
    """An encoder of L/2 blocks and a decoder of L/2, with one table for both and for the head.

    Args:
        config: as for a decoder of L layers; L must be even. pad: fills sources and targets. start: begins a target.

    `like_decoder(config)` gives the sizes with which it has as many parameters as the decoder.
    """

    def __init__(
        self, config: DecoderConfig, pad: int, start: int, parts: Parts = FAST, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if config.L % 2:
            raise ValueError(
                f"L = {config.L}: expected an even number of layers, half for reading and half for writing"
            )
        self.config = self.sizes = config
        self.pad, self.start = pad, start
        self.embedding = nn.Embedding(config.V, config.D)
        self.reading = nn.ModuleList(Block(config, config.kv, False, parts) for _ in range(config.L // 2))
        self.writing = nn.ModuleList(WritingBlock(config, parts) for _ in range(config.L // 2))
        self.norm_read, self.norm_write = parts.norm(config.D, config.eps), parts.norm(config.D, config.eps)
        start_weights(self, generator)  # type: ignore[arg-type]  # it needs `sizes` and the names of the weights

    def angles(self, T: int, device: torch.device) -> Angles:
        angles = rotary_angles(torch.arange(T, device=device), self.config.K, self.config.rope_base)  # (T, K/2)
        return angles.cos(), angles.sin()

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, S) -> memory (B, S, D), and where it may be looked at, bool (B, 1, 1, S)."""
        check_ids(source, self.config.V, "source")
        look = (source != self.pad)[:, None, None, :]  # (B, 1, 1, S)
        x, angles = self.embedding(source), self.angles(source.shape[1], source.device)
        for layer in self.reading:
            x = layer(x, look.expand(-1, 1, source.shape[1], -1), angles)
        return self.norm_read(x), look

    def decode(self, target: Tensor, memory: Tensor, look: Tensor, last_only: bool = False) -> Tensor:
        """target so far (B, T) -> logits (B, T, V) of the token behind each; last_only: (B, 1, V)."""
        check_ids(target, self.config.V, "target")
        x, angles = self.embedding(target), self.angles(target.shape[1], target.device)
        for layer in self.writing:
            x = layer.write(x, memory, look, angles)  # type: ignore[operator]
        x = self.norm_write(x[:, -1:] if last_only else x)
        return F.linear(x, self.embedding.weight)  # (B, T, D) -> (B, T, V)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source (B, S), target (B, T) -> logits (B, T, V)."""
        return self.decode(target, *self.encode(source))


def like_decoder(config: DecoderConfig) -> DecoderConfig:
    """Sizes of an encoder–decoder whose matrices hold as many numbers as those of a decoder.

    Half of the L blocks have a cross-attention, of 4·D² numbers; so each of the L feed-forward networks, of 3·D·hidden, has to do with
    2·D² fewer: hidden − ⅔·D.

    >>> like_decoder(DecoderConfig(V=100, D=96, H=4, L=4, hidden=256)).hidden
    192
    """
    hidden = config.hidden - round(2 * config.D / 3)
    if config.kv != config.H or hidden < 1:
        raise ValueError(
            f"kv_heads = {config.kv}, hidden = {config.hidden}: expected H = {config.H}, and more than ⅔ of D = {config.D}"
        )
    return replace(config, hidden=hidden)


def step_flops(model: nn.Module, batch: Batch, loss: Loss) -> int:
    """Additions and multiplications of one step, forwards and backwards, as PyTorch counts the matrix products that really happen.

    Attention is computed by its formula for this, since the fused function is not counted on a CPU. The model's gradients are cleared.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss(model, batch).backward()
    model.zero_grad(set_to_none=True)
    return int(counter.get_total_flops())
