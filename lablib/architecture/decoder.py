"""The decoder that the course carries from here on: the shape of Llama, small enough to train on a laptop.

What changed from the decoder of 2017 to this one: no encoder to look at, the norm before each sublayer instead of after it,
RMSNorm, rotary positions, SwiGLU, no biases, and (an option) fewer heads of keys and values than of queries.

Papers: Touvron et al. 2023, "LLaMA: Open and Efficient Foundation Language Models" (§2.2); Ainslie et al. 2023, "GQA: Training
Generalized Multi-Query Transformer Models from Multi-Head Checkpoints"; Press & Wolf 2017, "Using the Output Embedding to Improve
Language Models" (one table for embedding and head); Radford et al. 2018, "Improving Language Understanding by Generative
Pre-Training" (§4.1) and 2019, "Language Models are Unsupervised Multitask Learners" (§2.3), for how the weights start.

Axes: B batch, T time (the tokens given now), S source time (those in the cache, too), D model width, H heads, K head width,
V vocabulary, L layers. A mask that is given, (B, T), is True where a token is real and False where it is padding.

Left out: dropout, stretching the positions beyond the trained length, and everything about training (lab 07).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.attention import causal_mask, merge_heads, scaled_dot_product_attention, split_heads
from lablib.architecture.decoder_cache import KVCache
from lablib.architecture.encoder_decoder import check_ids
from lablib.architecture.fast_parts import FastRMSNorm, fast_attention, fast_rope
from lablib.architecture.layers import RMSNorm, SwiGLU, pre_norm
from lablib.architecture.positions import apply_rope, rotary_angles

Angles = tuple[Tensor, Tensor]  # cosine and sine, as `apply_rope` takes them
Store = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # new keys and values -> those of all tokens so far


@dataclass(frozen=True)
class Sizes:
    """What every decoder has to be told.

    Args:
        V: tokens in the vocabulary. D: model width. H: heads, which divide D. L: layers.
        hidden: width inside a feed-forward network. context: tokens of the longest text it is trained on.
        eps: added to the variance or mean square in each norm, against a division by zero.
    """

    V: int = 2048
    D: int = 192
    H: int = 6
    L: int = 6
    hidden: int = 512
    context: int = 256
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("V", "D", "H", "L", "hidden", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r}: expected a whole number >= 1")
        if self.D % self.H:
            raise ValueError(f"D = {self.D} cannot be cut into H = {self.H} heads: expected H to divide D")
        if not self.eps > 0:
            raise ValueError(f"eps = {self.eps!r}: expected a small number > 0, such as 1e-5")

    @property
    def K(self) -> int:
        """Width of one head."""
        return self.D // self.H


@dataclass(frozen=True)
class DecoderConfig(Sizes):
    """Sizes of the Llama-shaped decoder; the defaults make the course's laptop model, of 3.1 million parameters.

    Args (after those of `Sizes`, where `context` is no limit: rotary positions have no last one, only untrained ones):
        kv_heads: heads of keys and values, each serving H/kv_heads heads of queries. None: as many as H.
        tied: the head is the embedding table; if not, it has a table of its own.
        rope_base: how slowly the slowest pair of columns turns, see `rotary_angles`.

    >>> DecoderConfig(V=100, D=8, H=2, L=1, hidden=16).parameters  # 100·8 + (4·8·8 + 3·8·16 + 2·8) + 8
    1464
    """

    kv_heads: int | None = None
    tied: bool = True
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.kv, int) or self.kv < 1 or self.H % self.kv:
            raise ValueError(f"kv_heads = {self.kv_heads!r}: expected None or a whole number that divides H = {self.H}")
        if self.K % 2:
            heads = f"D = {self.D} in H = {self.H} heads makes heads of width {self.K}"
            raise ValueError(f"{heads}: expected an even width, since rotary positions turn the columns in pairs")
        if not self.rope_base > 0:
            raise ValueError(f"rope_base = {self.rope_base!r}: expected a number > 0, such as 10000.0")

    @property
    def kv(self) -> int:
        """Heads of keys and values."""
        return self.H if self.kv_heads is None else self.kv_heads

    @property
    def parameters(self) -> int:
        """How many numbers the model learns, by arithmetic: tables, L·(attention + feed-forward + two norms), last norm."""
        attention = 2 * self.D**2 + 2 * self.D * self.kv * self.K  # queries and output, keys and values
        layer = attention + 3 * self.D * self.hidden + 2 * self.D
        return (1 if self.tied else 2) * self.V * self.D + self.L * layer + self.D


@dataclass(frozen=True)
class Parts:
    """What a decoder is made of: `FAST`, the defaults, or `PLAIN`, as labs 02 to 04 write them, or parts of your own.

    Args:
        norm: (D, eps) -> a module (..., D) -> (..., D).
        feed_forward: (D, hidden) -> a module (..., D) -> (..., D).
        rope: (x (B, H, T, K), cos, sin) -> x turned, cos and sin (T, K/2) or (B, 1, T, K/2).
        attention: (q, k, v, mask) -> output and weights, as `lablib.architecture.attention.scaled_dot_product_attention`.
            None: PyTorch's fused function, which computes the same faster and has no weights to show.
    """

    norm: Callable[[int, float], nn.Module] = FastRMSNorm
    feed_forward: Callable[[int, int], nn.Module] = SwiGLU
    rope: Callable[[Tensor, Tensor, Tensor], Tensor] = fast_rope
    attention: Callable[[Tensor, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]] | None = None


FAST = Parts()
PLAIN = Parts(norm=RMSNorm, feed_forward=SwiGLU, rope=apply_rope, attention=scaled_dot_product_attention)


class SelfAttention(nn.Module):
    """H heads of queries, kv_heads of keys and values: each of these serves H/kv_heads queries (Ainslie et al. 2023, §2.2)."""

    def __init__(self, D: int, H: int, kv_heads: int, bias: bool, parts: Parts) -> None:
        super().__init__()
        self.H, self.kv_heads, self.parts = H, kv_heads, parts
        self.q_proj, self.out_proj = nn.Linear(D, D, bias), nn.Linear(D, D, bias)
        self.k_proj, self.v_proj = (nn.Linear(D, D // H * kv_heads, bias) for _ in range(2))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, angles: Angles | None = None, store: Store | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) -> output (B, T, D) and the weights (B, H, T, S), or None where the fused function keeps them to itself.

        mask: bool, broadcastable to (B, H, T, S), True = may look. None: each looks at itself and all before it, and T is S or 1.
        angles: by which to turn queries and keys; store: puts the new keys and values behind the old ones.
        """
        q = split_heads(self.q_proj(x), self.H)  # (B, T, D) -> (B, H, T, K)
        k = split_heads(self.k_proj(x), self.kv_heads)  # (B, T, kv_heads·K) -> (B, kv_heads, T, K)
        v = split_heads(self.v_proj(x), self.kv_heads)  # (B, T, kv_heads·K) -> (B, kv_heads, T, K)
        if angles is not None:
            q, k = self.parts.rope(q, *angles), self.parts.rope(k, *angles)
        if store is not None:
            k, v = store(k, v)  # (B, kv_heads, T, K) -> (B, kv_heads, S, K)
        heads, weights = self.attend(q, k, v, mask)
        return self.out_proj(merge_heads(heads)), weights  # (B, H, T, K) -> (B, T, D)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """q (B, H, T, K); k, v (B, kv_heads, S, K) -> output (B, H, T, K), and the weights (B, H, T, S) or None."""
        if self.parts.attention is None:
            return fast_attention(q, k, v, mask), None
        if self.kv_heads < self.H:
            k, v = (x.repeat_interleave(self.H // self.kv_heads, dim=1) for x in (k, v))  # (B, H, S, K)
        mask = causal_mask(q.shape[2], k.shape[2], q.device) if mask is None else mask
        return self.parts.attention(q, k, v, mask)


class Block(nn.Module):
    """Attention, then a feed-forward network, each behind its norm and inside its residual connection."""

    def __init__(self, sizes: Sizes, kv_heads: int, bias: bool, parts: Parts) -> None:
        super().__init__()
        self.attention = SelfAttention(sizes.D, sizes.H, kv_heads, bias, parts)
        self.feed_forward = parts.feed_forward(sizes.D, sizes.hidden)
        self.norm_1, self.norm_2 = parts.norm(sizes.D, sizes.eps), parts.norm(sizes.D, sizes.eps)

    def forward(self, x: Tensor, mask: Tensor | None, angles: Angles | None, store: Store | None = None) -> Tensor:
        """x (B, T, D) -> (B, T, D); the rest is as in `SelfAttention`."""
        x = pre_norm(x, lambda x: self.attention(x, mask, angles, store)[0], self.norm_1)
        return pre_norm(x, self.feed_forward, self.norm_2)


class CausalModel(nn.Module):
    """What all decoders share: token numbers -> embedding -> L blocks -> norm -> logits. How positions enter, `place` says."""

    def __init__(self, sizes: Sizes, parts: Parts, kv_heads: int, tied: bool, bias: bool) -> None:
        super().__init__()
        self.sizes, self.kv_heads = sizes, kv_heads
        self.embedding = nn.Embedding(sizes.V, sizes.D)
        self.layers = nn.ModuleList(Block(sizes, kv_heads, bias, parts) for _ in range(sizes.L))
        self.norm = parts.norm(sizes.D, sizes.eps)
        self.head = None if tied else nn.Linear(sizes.D, sizes.V, bias=False)

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Angles | None]:
        """Tell embeddings (B, T, D) their positions, (T,) or (B, T): what to go on with, and the angles for every attention."""
        raise NotImplementedError

    def hidden(self, ids: Tensor, mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """What the last norm hands to the head: ids (B, T) -> (B, T, D). mask and cache: see `forward`."""
        self.check(ids, mask, cache)
        T, start = ids.shape[1], 0 if cache is None else cache.length
        real = mask if cache is None else cache.real_tokens(T, mask)  # (B, S), None when no token is padding
        x, angles = self.place(self.embedding(ids), positions_of(T, start, real, ids.device))  # (B, T) -> (B, T, D)
        look = who_looks(T, start, real, ids.device)
        for i, layer in enumerate(self.layers):
            x = layer(x, look, angles, None if cache is None else partial(cache.store, i))
        if cache is not None:
            cache.advance(T, mask)
        return self.norm(x)

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, cache: KVCache | None = None, last_only: bool = False
    ) -> Tensor:
        """How likely is each token of the vocabulary to come next?

        Args:
            ids: token numbers (B, T).
            mask: bool (B, T), True = a real token. Padding may stand on either side: no real token looks at it, and positions
                count real tokens only. What comes out at a padding position means nothing. None: every token is real.
            cache: from `new_cache`: ids go on where its tokens end. It is filled, and mask speaks of the new tokens only.
            last_only: the logits of the last column alone, which is all that writing needs.

        Returns: logits (B, T, V), or (B, 1, V) with last_only; softmax makes them probabilities.
        """
        x = self.hidden(ids, mask, cache)  # (B, T) -> (B, T, D)
        x = x[:, -1:] if last_only else x
        return F.linear(x, self.embedding.weight) if self.head is None else self.head(x)  # (B, T, D) -> (B, T, V)

    def new_cache(self, B: int, max_T: int) -> KVCache:
        """An empty cache for this model: B rows of up to max_T tokens, padding included."""
        weight = self.embedding.weight
        return KVCache(self.sizes.L, B, self.kv_heads, max_T, self.sizes.K, weight.dtype, weight.device)

    def check(self, ids: Tensor, mask: Tensor | None, cache: KVCache | None) -> None:
        """Raise a ValueError for input that the model cannot read, before anything is computed or written."""
        if not torch.compiler.is_compiling():  # it reads the numbers, which a compiled graph cannot
            check_ids(ids, self.sizes.V, "ids")
        if mask is not None and (mask.shape != ids.shape or mask.dtype != torch.bool):
            raise ValueError(
                f"mask is {mask.dtype} of shape {tuple(mask.shape)}: expected torch.bool of the shape of ids, "
                f"{tuple(ids.shape)}, True = a real token; mask.bool() turns ones and zeros into that"
            )
        if cache is not None:
            if torch.is_grad_enabled():
                raise ValueError("cache with gradients on: it is for writing, so wrap the call in torch.no_grad()")
            cache.check(*ids.shape)


class Decoder(CausalModel):
    """The Llama-shaped decoder: `CausalModel` with rotary positions, RMSNorm, SwiGLU and no biases."""

    def __init__(self, config: DecoderConfig, parts: Parts = FAST, generator: torch.Generator | None = None) -> None:
        super().__init__(config, parts, config.kv, config.tied, bias=False)
        self.config = config
        start_weights(self, generator)

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Angles]:
        """Positions enter in the attentions only: x stays as it is."""
        angles = rotary_angles(positions, self.config.K, self.config.rope_base)  # (..., T, K/2)
        if angles.dim() == 3:
            angles = angles[:, None]  # (B, T, K/2) -> (B, 1, T, K/2), the same for every head
        return x, (angles.cos(), angles.sin())


def positions_of(T: int, start: int, real: Tensor | None, device: torch.device) -> Tensor:
    """The positions of the last T of start + T tokens: (T,), or (B, T) with padding: the number of real tokens before each.

    real: bool (B, S).

    >>> positions_of(2, 3, None, "cpu"), positions_of(3, 0, torch.tensor([[False, True, True]]), "cpu")
    (tensor([3, 4]), tensor([[0, 0, 1]]))
    """
    if real is None:
        return torch.arange(start, start + T, device=device)
    return (real.cumsum(dim=1) - 1).clamp(min=0)[:, start:]  # (B, S) -> (B, T)


def who_looks(T: int, start: int, real: Tensor | None, device: torch.device) -> Tensor | None:
    """The mask of the attentions: bool (T, S) or (B, 1, T, S), or None where `SelfAttention` needs none."""
    if real is None and (start == 0 or T == 1):
        return None
    mask = causal_mask(T, start + T, device)  # (T, S)
    return mask if real is None else mask & real[:, None, None, :]  # (B, 1, 1, S) -> (B, 1, T, S)


def start_weights(model: CausalModel, generator: torch.Generator | None = None) -> None:
    """Weights from N(0, 0.02²) (Radford et al. 2018, §4.1), biases 0, norms at 1.

    The last matrix of each of the 2L sublayers is scaled by 1/√(2L), so that their sum does not grow with depth (Radford
    et al. 2019, §2.3: "a factor of 1/√N where N is the number of residual layers").
    """
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        elif weight.dim() > 1 and not weight.is_meta:
            last = name.endswith(("out_proj.weight", "down.weight"))
            nn.init.normal_(weight, std=0.02 * (2 * model.sizes.L) ** -0.5 if last else 0.02, generator=generator)
