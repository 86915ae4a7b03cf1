"""Prefix tuning: every layer gets P keys and values of its own to look at, which no token produced and gradient descent made up.

A learned prompt enters at the bottom, and the layers make of it what they make of any token. A prefix enters every layer directly:
2·L·P·(kv_heads·K) numbers, so it says more with fewer tokens.

The authors found the numbers hard to train as they are, and made them from a small table by a network: the *reparametrisation*. It is
only for training: once it is over, what the network makes is all that is kept (`Prefix.kept`).

Paper: Li & Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation" (§4.3: reparametrisation; §7.4: starting from
the activations of real words). Differs from the paper: the network is the one that `peft` has (D → hidden → 2·L·kv_heads·K, tanh
between). Rotary positions: keys of the prefix are taken as they are, turned by nothing, as in `peft`.

Axes: see `virtual_tokens`. Left out: prefixes for cross-attention.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lablib.adaptation.virtual_tokens import VirtualTokens, check_count
from lablib.architecture.decoder import CausalModel
from lablib.architecture.decoder_cache import KVCache


def by_layer(prefix: Tensor, L: int, kv_heads: int) -> Tensor:
    """The numbers of each virtual token, put where they belong: (P, L·2·kv_heads·K) -> (L, 2, kv_heads, P, K); 2: key, value.

    >>> by_layer(torch.tensor([[1, 2, 3, 4]]), L=2, kv_heads=1)[:, :, 0, 0, 0]  # layer 0: key 1, value 2
    tensor([[1, 2],
            [3, 4]])
    """
    P, numbers = prefix.shape
    if numbers % (2 * L * kv_heads):
        raise ValueError(
            f"prefix has {numbers} numbers a token: expected a multiple of 2·L·kv_heads = {2 * L * kv_heads}"
        )
    return prefix.view(P, L, 2, kv_heads, -1).permute(1, 2, 3, 0, 4)  # (P, L, 2, kv, K) -> (L, 2, kv, P, K)


@torch.no_grad()
def keys_and_values(base: CausalModel, ids: Sequence[int]) -> Tensor:
    """What a model computes about a text, as a prefix (P, L·2·kv_heads·K): a start that means something (§7.4).

    The keys are as in the cache, turned to positions 0 … P − 1. With that prefix the model goes on as if it had read the text.
    """
    if not ids:
        raise ValueError("ids is empty: expected the tokens of a text to start from")
    cache = base.new_cache(1, len(ids))
    base.hidden(torch.tensor([list(ids)], device=base.embedding.weight.device), cache=cache)
    both = torch.stack((cache.keys[:, 0], cache.values[:, 0]), dim=1)  # (L, 2, kv_heads, P, K)
    return both.permute(3, 0, 1, 2, 4).flatten(1)  # (P, L, 2, kv_heads, K) -> (P, L·2·kv_heads·K)


class Prefix(nn.Module):
    """The numbers of P virtual tokens (P, n), as they are, or made by a network from a smaller table (P, D).

    Args:
        P: virtual tokens. n: numbers of each. first: values to start from (P, n); None: from N(0, 0.02²).
        D: width of the table and hidden: of the network; None: no network. generator: of the first values.
    """

    def __init__(
        self,
        P: int,
        n: int,
        first: Tensor | None = None,
        D: int | None = None,
        hidden: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if first is not None and (D is not None or first.shape != (P, n)):
            raise ValueError(
                f"first has shape {tuple(first.shape)} and D = {D}: expected {(P, n)} and no network, whose output cannot be set"
            )
        start = torch.randn(P, n if D is None else D, generator=generator) * (0.02 if D is None else 1.0)
        self.table = nn.Parameter(start if first is None else first.clone())
        self.network: nn.Sequential | None = None
        if D is not None:
            inner = D if hidden is None else hidden
            self.network = nn.Sequential(nn.Linear(D, inner), nn.Tanh(), nn.Linear(inner, n))
            for weight in self.network.parameters():
                if weight.dim() > 1:
                    nn.init.normal_(weight, std=0.02, generator=generator)
                else:
                    nn.init.zeros_(weight)

    def forward(self) -> Tensor:
        """P_θ[i] = MLP(P'_θ[i]), Li & Liang 2021, §4.3, or the table itself: (P, n)."""
        return self.table if self.network is None else self.network(self.table)

    @torch.no_grad()
    def kept(self) -> "Prefix":
        """The same prefix without the network that made it: what is stored and used after training."""
        made = self()
        return Prefix(made.shape[0], made.shape[1], made)


class PrefixTuned(VirtualTokens):
    """A frozen decoder whose every layer has a learned prefix in front.

    Args:
        base: shared, not copied. P: virtual tokens.
        ids: a text of P tokens whose keys and values it starts from; empty: from small random numbers.
        reparametrised: make the prefix by a network. hidden: width inside it, D when None.

    Raises:
        ValueError: ids and reparametrised together, or another number of ids than P.
    """

    def __init__(
        self,
        base: CausalModel,
        P: int = 16,
        ids: Sequence[int] = (),
        reparametrised: bool = False,
        hidden: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        check_count(P)
        if ids and (len(ids) != P or reparametrised):
            raise ValueError(
                f"ids has {len(ids)} tokens, P = {P}, reparametrised = {reparametrised}: expected P tokens, and no network"
            )
        super().__init__(base, P)
        n = 2 * base.sizes.L * base.kv_heads * base.sizes.K
        first = keys_and_values(base, ids) if ids else None
        self.prefix = Prefix(P, n, first, base.sizes.D if reparametrised else None, hidden, generator)
        self.prefix.to(base.embedding.weight.device)

    def keys_values(self) -> Tensor:
        """The prefix of each layer (L, 2, kv_heads, P, K)."""
        return by_layer(self.prefix(), self.sizes.L, self.kv_heads)

    def read(self, ids: Tensor, real: Tensor | None) -> Tensor:
        """The text through all layers, each with its prefix in front: ids (B, T) -> (B, T, D)."""
        return self.through_layers(self.embedding(ids), real, self.keys_values())

    def fill(self, cache: KVCache) -> None:
        """Store the prefix in an empty cache, the same in every row."""
        for i, layer in enumerate(self.keys_values()):
            k, v = (part.expand(len(cache.real), -1, -1, -1) for part in layer)  # (B, kv_heads, P, K)
            cache.store(i, k, v)
        cache.advance(self.P, None)

    def keep(self) -> "PrefixTuned":
        """Throw the network away, now that training is over; the same model comes back, and computes the same."""
        self.prefix = self.prefix.kept()
        return self
