"""What prompt tuning and prefix tuning share: a frozen decoder that reads as if P tokens stood in front of every text.

Nobody wrote these tokens. They have positions 0 … P − 1, the text goes on at P, and every token of the text may look at them. A model
with virtual tokens is a `CausalModel` as any other: it is trained by the same loop, and writes with the same cache, which is only filled
with them in advance.

Axes: B rows, T time (the text's tokens), P virtual tokens, D model width, K head width, V vocabulary, L layers.
Left out: virtual tokens in the middle or at the end of a text.
"""

from functools import partial

import torch
from torch import Tensor, nn

from lablib.adaptation.trainable import freeze
from lablib.architecture.decoder import Angles, CausalModel, positions_of, who_looks
from lablib.architecture.decoder_cache import KVCache


def check_count(P: int) -> None:
    """Raise a ValueError for what is no number of virtual tokens."""
    if isinstance(P, bool) or not isinstance(P, int) or P < 1:
        raise ValueError(f"P = {P!r}: expected a whole number of virtual tokens >= 1, such as 16")


class VirtualTokens(CausalModel):
    """A frozen decoder with P virtual tokens in front; `read` and `fill`, which say what they are, come from the heirs.

    It shares the base model's parts, it does not copy them; all of them are frozen.
    """

    def __init__(self, base: CausalModel, P: int) -> None:
        nn.Module.__init__(self)  # not that of CausalModel, which would make parts of its own
        check_count(P)
        freeze(base)
        self.P, self.sizes, self.kv_heads = P, base.sizes, base.kv_heads
        self.embedding, self.layers, self.norm, self.head = base.embedding, base.layers, base.norm, base.head
        self._place = base.place

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Angles | None]:
        """As the base model does it."""
        return self._place(x, positions)

    def read(self, ids: Tensor, real: Tensor | None) -> Tensor:
        """ids (B, T), real bool (B, P + T) or None -> what the last layer makes of the text (B, T, D); with gradients."""
        raise NotImplementedError

    def fill(self, cache: KVCache) -> None:
        """Store keys and values of the virtual tokens in an empty cache."""
        raise NotImplementedError

    def hidden(self, ids: Tensor, mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """What the last norm hands to the head: ids (B, T) -> (B, T, D). mask and cache: see `CausalModel.forward`."""
        if cache is not None:
            return super().hidden(ids, mask, cache)  # the virtual tokens are in it
        self.check(ids, mask, None)
        real = None
        if mask is not None:
            real = torch.cat((mask.new_ones(len(ids), self.P), mask), dim=1)  # (B, P + T)
        return self.norm(self.read(ids, real))

    def new_cache(self, B: int, max_T: int) -> KVCache:
        """A cache for B rows of up to max_T tokens of text, the virtual ones in it already."""
        cache = super().new_cache(B, self.P + max_T)
        with torch.no_grad():
            self.fill(cache)
        return cache

    def through_layers(self, x: Tensor, real: Tensor | None, keys_values: Tensor | None = None) -> Tensor:
        """x through all layers: (B, T, D) -> (B, T, D).

        Args:
            real: bool (B, S), S = T, or P + T with keys_values; None: no padding.
            keys_values: keys and values that stand in front, for each layer (L, 2, kv_heads, P, K); None: nothing stands there.
        """
        T, start = x.shape[1], 0 if keys_values is None else keys_values.shape[3]
        x, angles = self.place(x, positions_of(T, start, real, x.device))
        look = who_looks(T, start, real, x.device)
        for i, layer in enumerate(self.layers):
            x = layer(x, look, angles, None if keys_values is None else partial(in_front, keys_values[i]))
        return x


def in_front(prefix: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of a layer with those of its prefix before them, the same in every row (Li & Liang 2021).

    Args: prefix (2, kv_heads, P, K), keys first, then values; k, v (B, kv_heads, T, K).
    Returns: keys and values (B, kv_heads, P + T, K) each, in the type of k.
    """
    first_k, first_v = (part.to(k.dtype).expand(len(k), -1, -1, -1) for part in prefix)  # (B, kv_heads, P, K)
    return torch.cat((first_k, k), dim=2), torch.cat((first_v, v), dim=2)
