"""A decoder laid out for writing: the same numbers as `model(...)`, in fewer and cheaper steps.

When one token a row passes through a small model, arithmetic is a part of the time; the rest is the overhead of each operation, memory
that is copied, and work whose result nobody uses. What is done about it, each once, when the writing begins:

- queries, keys and values come from one matrix, gate and up of SwiGLU from another: three operations become one;
- matrices lie transposed, (in, out), which is quicker for few rows; the weights of the norms before them are multiplied in;
- columns that rotary positions turn together lie side by side, so that one product of complex numbers turns them all (queries and keys
  are reordered alike, so their scores stay), and all angles are worked out once;
- the cache is taken once, and what is padding is noted once for all steps, in the form that attention adds to its scores;
- the prompts' padding passes through no matrix: real tokens are *packed*, one behind the other, and only attention sees rows;
- behind the last layer's keys and values, only the last column goes on.

Papers: Shazeer 2019, "Fast Transformer Decoding" (§2.4) for the cache. `bench/generation.py` measures what all of it gains.

Axes: B rows, T new tokens of each, N = the real ones among the B·T, S tokens so far, D model width, H heads, K head width, V vocabulary.
Left out: `torch.compile`, which needs a compiler on the learner's machine; speculative decoding; pages (what a server adds).
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.architecture.attention import causal_mask, merge_heads
from lablib.architecture.decoder import (
    Angles,
    Block,
    CausalModel,
    Decoder,
    SelfAttention,
    positions_of,
    who_looks,
)
from lablib.architecture.fast_parts import fast_rope
from lablib.architecture.layers import SwiGLU
from lablib.architecture.positions import apply_rope, rotary_angles
from lablib.pretraining.fused_matrices import Matrix, matrix, plain_norm, side_by_side, turn, without_weight

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, Tensor | None], Tensor]  # see `attend_cached`


def attend_cached(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
) -> Tensor:
    """Put the new tokens' keys and values into one layer's cache, and let the new tokens look at all that is in it.

    Args:
        q: queries of T new tokens (B, H, T, K). k, v: their keys and values (B, kv_heads, T, K), kv_heads dividing H.
        keys, values: the cache (B, kv_heads, max_T, K), to be written into. Its first `start` places are filled,
            the next T are yours. What lies behind is old or empty, and nobody may look at it.
        start: tokens in the cache so far.
        mask: bool, or float to add to the scores, broadcastable to (B, 1, T, S) with S = start + T. None: new token t
            stands at place start + t and looks at all places up to its own.
    Returns: what each new token gathered, (B, H, T, K).

    >>> one, keys, values = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 3, 1)
    >>> [attend_cached(one, one, v * one, keys, values, start).item() for start, v in enumerate((6, 2))]
    [6.0, 4.0]
    """
    T, S = q.shape[2], start + q.shape[2]
    keys[:, :, start:S], values[:, :, start:S] = k, v
    if T == 1:
        return attend_one(q, keys[:, :, :S], values[:, :, :S], mask)
    mask = causal_mask(T, S, q.device) if mask is None else mask  # is_causal=True would start at place 0
    grouped = k.shape[1] < q.shape[1]
    return F.scaled_dot_product_attention(q, keys[:, :, :S], values[:, :, :S], mask, enable_gqa=grouped)


def attend_one(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ/√K + mask) v for one query a row, which as two plain products is quicker on a CPU than the fused function.

    q (B, H, 1, K); k, v (B, kv_heads, S, K); mask as in `attend_cached`. Returns (B, H, 1, K).
    """
    B, H, _, K = q.shape
    scores = q.reshape(B, k.shape[1], -1, K) * K**-0.5 @ k.mT  # (B, kv_heads, H/kv_heads, S)
    if mask is not None:  # (..., 1, S): the same for all heads
        scores = scores.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else scores.add_(mask)
    return (scores.softmax(dim=-1) @ v).view(B, H, 1, K)


def attend_by(attention: SelfAttention) -> Attend:
    """`attend_cached` for a model whose parts bring an attention function of their own."""

    def attend(
        q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
    ) -> Tensor:
        T, S = q.shape[2], start + q.shape[2]
        keys[:, :, start:S], values[:, :, start:S] = k, v
        if mask is None and T == 1:
            mask = torch.ones(1, S, dtype=torch.bool, device=q.device)
        mask = mask if mask is None or mask.dtype == torch.bool else mask == 0  # such a function takes bools
        return attention.attend(q, keys[:, :, :S], values[:, :, :S], mask)[0]

    return attend


class FusedLayer:
    """One block. A norm, a rotation or a feed-forward network that is none of the course's own stays the model's module.

    turned: the angles come as complex numbers, see `turn`.
    """

    def __init__(self, block: Block, K: int, device: torch.device, attend: Attend, turned: bool) -> None:
        attention, network = block.attention, block.feed_forward
        self.H, self.kv_heads, self.rope = attention.H, attention.kv_heads, attention.parts.rope
        self.attend = attend if attention.parts.attention is None else attend_by(attention)
        order = None
        if turned:
            order = side_by_side(K, self.H + self.kv_heads, self.kv_heads * K, device)
        three = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.norm_1, self.norm_2 = without_weight(block.norm_1), cast(Matrix, block.norm_2)
        self.qkv = matrix(*three, norm=block.norm_1, order=order)
        self.out, self.feed_forward = matrix(attention.out_proj), cast(Matrix, network)
        if type(network) is SwiGLU:
            self.norm_2, self.feed_forward = without_weight(block.norm_2), self.swiglu
            self.gate_up = matrix(network.gate, network.up, norm=block.norm_2)
            self.down = matrix(network.down)

    def swiglu(self, x: Tensor) -> Tensor:
        """x (N, D) -> (N, D)."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)  # (N, D) -> 2 × (N, F)
        return self.down(F.silu(gate).mul_(up))

    def __call__(
        self, x: Tensor, rows: "Rows", angles: Angles | Tensor | None, keys: Tensor, values: Tensor, last: bool = False
    ) -> Tensor:
        """x (N, D) -> (N, D), or (B, D), the last column alone; keys, values: this layer's (B, kv_heads, max_T, K)."""
        qkv = self.qkv(self.norm_1(x)).view(len(x), self.H + 2 * self.kv_heads, 1, -1)  # (N, D) -> (N, heads, 1, K)
        qk, v = qkv.split((self.H + self.kv_heads, self.kv_heads), dim=1)
        if angles is not None:  # queries and keys turn together
            qk = turn(qk, angles) if isinstance(angles, Tensor) else self.rope(qk, *angles)
        q, k = rows.unpack(qk).split((self.H, self.kv_heads), dim=1)  # (B, H, T, K), (B, kv_heads, T, K)
        found = merge_heads(self.attend(q, k, rows.unpack(v), keys, values, rows.start, rows.mask))  # (B, T, D)
        x = rows.last(x) + self.out(found[:, -1]) if last else x + self.out(rows.pack(found))
        return x + self.feed_forward(self.norm_2(x))


class Rows:
    """Where the N real tokens stand among B·T places, from which place of the cache on, and what they may look at."""

    def __init__(self, B: int, T: int, start: int, mask: Tensor | None, real: Tensor | None) -> None:
        self.B, self.T, self.start, self.mask = B, T, start, mask
        self.index = None if real is None else real.flatten().nonzero()[:, 0]  # (N,)
        self.room: dict[int, Tensor] = {}  # heads -> zeros (B·T, heads, K), used again in every layer

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (N, ...): real tokens only."""
        x = x.flatten(0, 1)
        return x if self.index is None else x[self.index]

    def unpack(self, x: Tensor) -> Tensor:
        """(N, heads, 1, K) -> (B, heads, T, K), zeros at padding."""
        if self.T == 1:
            return x
        if self.index is not None:
            heads = x.shape[1]
            if heads not in self.room:
                self.room[heads] = x.new_zeros(self.B * self.T, heads, 1, x.shape[3])
            x = self.room[heads].index_copy_(0, self.index, x)
        return x[:, :, 0].unflatten(0, (self.B, self.T)).transpose(1, 2)

    def last(self, x: Tensor) -> Tensor:
        """(N, D) -> (B, D): the last column, which is never padding."""
        if self.index is not None:
            x = x.new_zeros(self.B * self.T, x.shape[1]).index_copy_(0, self.index, x)
        return x.unflatten(0, (self.B, self.T))[:, -1]


def blocks(model: CausalModel) -> list[Block]:
    """The model's layers."""
    return list(model.layers)  # type: ignore[arg-type]


def circle_of(model: CausalModel, T: int) -> Tensor | None:
    """e^(i·angle) of the first T positions (T, K/2), complex; None where positions are not told by the course's own rotation."""
    if type(model) is not Decoder or model.embedding.weight.dtype != torch.float32:
        return None
    if any(block.attention.parts.rope not in (fast_rope, apply_rope) for block in blocks(model)):
        return None
    angles = rotary_angles(torch.arange(T, device=model.embedding.weight.device), model.sizes.K, model.config.rope_base)
    return torch.polar(torch.ones_like(angles), angles)


class FusedDecoder:
    """A model and its cache for B rows of up to max_T tokens, read piece by piece. Use it with gradients off.

    It copies the model's matrices: what is learned later does not reach it, so make a new one for each batch of texts.

    Args:
        model: `Decoder`, `GPT2` or another `CausalModel`.
        B: rows. max_T: tokens a row can hold, padding included.
        attend: how new tokens look at the cache; your own `attend_cached`, for example.
        last: no token behind the first piece gets a later position than this, counted from the first of the text.
    """

    def __init__(
        self, model: CausalModel, B: int, max_T: int, attend: Attend = attend_cached, last: int | None = None
    ) -> None:
        self.model, self.cache = model, model.new_cache(B, max_T)
        table = model.embedding.weight if model.head is None else model.head.weight
        self.circle = circle_of(model, max_T)
        turned = self.circle is not None
        self.layers = [FusedLayer(block, model.sizes.K, table.device, attend, turned) for block in blocks(model)]
        scale: Tensor | float = cast(Tensor, model.norm.weight)[:, None] if plain_norm(model.norm) else 1.0
        self.norm, self.head = without_weight(model.norm), (table.t() * scale).contiguous()  # (D, V)
        self.mask: Tensor | None = None  # float (B, 1, 1, max_T), −inf at padding; None where there is none
        self.before = self.cache.length  # tokens that the model itself puts in front of every text
        self.padding = torch.zeros(B, 1, dtype=torch.long, device=table.device)  # tokens of padding in each row
        self.last = None if last is None else self.before + last

    def read(self, ids: Tensor, real: Tensor | None = None) -> Tensor:
        """Read T tokens of each row and say what may come next: ids (B, T) -> logits (B, V) behind the last column.

        real: bool (B, T), True = a real token; padding on the left only, and in the first piece only.
        """
        (B, T), cache = ids.shape, self.cache
        cache.check(B, T)
        start = cache.length
        if start == self.before:
            known = cache.real_tokens(T, real)  # (B, S), None when no token is padding
            positions = positions_of(T, start, known, ids.device).expand(B, T)
            mask = None if known is None else who_looks(T, start, known, ids.device)
        else:
            positions = torch.arange(start, start + T, device=ids.device) - self.padding  # (B, T)
            positions = positions if self.last is None else positions.clamp(max=self.last)
            mask = self.mask_of(T, start + T)
        rows = Rows(B, T, start, mask, real)
        x, angles = self.place(
            self.model.embedding(rows.pack(ids)), rows.pack(positions)
        )  # (N, D), angles (N, 1, 1, K/2)
        memory = zip(cache.keys.unbind(), cache.values.unbind(), strict=True)  # L × (B, kv_heads, max_T, K)
        for layer, (keys, values) in zip(self.layers, memory, strict=True):
            x = layer(x, rows, angles, keys, values, last=layer is self.layers[-1])
        cache.advance(T, real)
        if real is not None:
            self.padding = (~real).sum(dim=1, keepdim=True)
            padding = torch.zeros(cache.real.shape, dtype=x.dtype, device=ids.device)
            self.mask = padding.masked_fill_(~cache.real, -torch.inf)[:, None, None]  # (B, 1, 1, max_T)
        return self.norm(x) @ self.head  # (B, D) -> (B, V)

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Angles | Tensor | None]:
        """`CausalModel.place` for N rows of one token each: embeddings (N, D), positions (N,)."""
        if self.circle is not None:
            return x, self.circle[positions][:, None, None]  # (N, 1, 1, K/2)
        x, angles = self.model.place(x[:, None], positions[:, None])
        return x[:, 0], angles

    def mask_of(self, T: int, S: int) -> Tensor | None:
        """What T later tokens must not look at, to add to the scores: float (B, 1, T, S), or None for `attend` to decide."""
        if self.mask is None or T == 1:
            return None if self.mask is None else self.mask[..., :S]
        later = ~causal_mask(T, S, self.mask.device)  # (T, S)
        return self.mask[..., :S].expand(-1, 1, T, S).masked_fill(later, -torch.inf)

    def keep(self, rows: Sequence[int] | Tensor) -> None:
        """Go on with some of the rows: the others cost nothing from here on."""
        index = torch.as_tensor(rows, device=self.head.device)
        self.cache.keep(index)
        self.padding = self.padding[index]
        self.mask = None if self.mask is None else self.mask[index]
