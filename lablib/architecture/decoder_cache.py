"""The KV cache: what a decoder has computed about the tokens it has read, kept so that the next token costs one position.

Every layer's keys and values of a token depend on that token and on those before it, never on those behind it. So when one more
token comes they are still right, and only the new token has to pass through the model: work for one position instead of S. The price
is memory, 2·L·kv_heads·K numbers a token; grouped-query attention (Ainslie et al. 2023) divides it by H/kv_heads.

Paper: Shazeer 2019, "Fast Transformer Decoding: One Write-Head is All You Need" (§2.4: incremental decoding).

Axes: L layers, B batch, T the new tokens, S the tokens so far, those included, K width of one head.
Left out: pages, quantised entries, rows that come and go: what a server of many users adds.
"""

import torch
from torch import Tensor


class KVCache:
    """Keys and values of up to `max_T` tokens in B rows, in memory that is taken once, at the start.

    Args:
        L: layers. B: rows. kv_heads: heads of keys and values. max_T: tokens a row can hold, padding included. K: width of a head.
        dtype, device: those of the model. `model.new_cache(B, max_T)` fills all of these in.

    >>> cache = KVCache(L=2, B=1, kv_heads=1, max_T=3, K=4)
    >>> cache.length, cache.nbytes  # keys and values: 2 · 2 layers · 3 tokens · 4 numbers · 4 bytes
    (0, 192)
    """

    def __init__(
        self,
        L: int,
        B: int,
        kv_heads: int,
        max_T: int,
        K: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        for name, value in (("B", B), ("max_T", max_T)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r}: expected a whole number >= 1")
        self.keys = torch.zeros(L, B, kv_heads, max_T, K, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.real = torch.ones(B, max_T, dtype=torch.bool, device=device)  # False where a token is padding
        self.padded = False  # is any token padding?
        self.length = 0  # tokens in each row so far, padding included

    @property
    def max_T(self) -> int:
        """Tokens that each row can hold."""
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        """Memory of keys and values, in bytes; it is taken whether or not it is full."""
        return self.keys.nbytes + self.values.nbytes

    def check(self, B: int, T: int) -> None:
        """Is there room for T more tokens in each of B rows? Asked before anything is written.

        Raises:
            ValueError: another number of rows, or not enough room.
        """
        if self.real.shape[0] != B:
            raise ValueError(
                f"ids have {B} rows and the cache {self.real.shape[0]}: expected the same; make one with B = {B}"
            )
        if self.length + T > self.max_T:
            raise ValueError(
                f"{T} more tokens do not fit: the cache holds max_T = {self.max_T} and {self.length} are in use; "
                f"make it with max_T >= {self.length + T}, or give fewer tokens"
            )

    def real_tokens(self, T: int, mask: Tensor | None) -> Tensor | None:
        """Which of the tokens so far and of T new ones are real, bool (B, S); None while there is no padding at all."""
        if mask is None and not self.padded:
            return None
        new = torch.ones_like(self.real[:, :T]) if mask is None else mask  # (B, T)
        return torch.cat((self.real[:, : self.length], new), dim=1)  # (B, S)

    def store(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write one layer's new keys and values (B, kv_heads, T, K) behind the others; all so far, twice (B, kv_heads, S, K)."""
        S = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : S] = k
        self.values[layer, :, :, self.length : S] = v
        return self.keys[layer, :, :, :S], self.values[layer, :, :, :S]

    def advance(self, T: int, mask: Tensor | None) -> None:
        """Count T tokens as read, once every layer has stored them: a pass that breaks off half-way leaves the cache as it was."""
        self.real[:, self.length : self.length + T] = True if mask is None else mask
        self.padded = self.padded or mask is not None
        self.length += T

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows only, by number (B',), in that order: what is known of the others is dropped."""
        self.keys, self.values, self.real = self.keys[:, rows], self.values[:, rows], self.real[rows]

    def clear(self) -> None:
        """Forget every token; the memory stays."""
        self.length, self.padded = 0, False
