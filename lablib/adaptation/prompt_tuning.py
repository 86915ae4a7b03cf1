"""Prompt tuning: the model stays as it is, and learns nothing but the embeddings of a few tokens that stand before every text.

Whoever writes a prompt chooses P words of the vocabulary, that is P points out of V. Here the points may lie anywhere, and gradient
descent looks for them: P·D numbers, thousands, not millions. They travel through all layers as real tokens do.

Paper: Lester, Al-Rfou & Constant 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning" (§2; §3.2 on how to start: from
embeddings of real words). The paper finds that it takes a model of ten billion parameters to equal full tuning; small ones fall short.

Axes: see `virtual_tokens`. Left out: several prompts for one model (load another `prompt`).
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lablib.adaptation.virtual_tokens import VirtualTokens, check_count
from lablib.architecture.decoder import CausalModel
from lablib.architecture.decoder_cache import KVCache


def start_prompt(table: Tensor, P: int, ids: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
    """First values of P virtual tokens (P, D): the embeddings of real tokens, of those given (over and over), else drawn evenly.

    Args: table (V, D), the model's embeddings.

    >>> start_prompt(torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), P=3, ids=[2, 1])
    tensor([[2., 2.],
            [1., 1.],
            [2., 2.]])
    """
    check_count(P)
    if any(not 0 <= number < len(table) for number in ids):
        raise ValueError(f"ids = {list(ids)[:8]}: expected token numbers from 0 to V − 1 = {len(table) - 1}")
    if ids:
        chosen = torch.tensor([ids[i % len(ids)] for i in range(P)])
    else:
        chosen = torch.randint(len(table), (P,), generator=generator)
    return table.detach()[chosen.to(table.device)].clone()


class PromptTuned(VirtualTokens):
    """A frozen decoder behind a learned prompt (P, D).

    Args:
        base: shared, not copied. P: virtual tokens. ids: tokens whose embeddings they start from, see `start_prompt`.
    """

    def __init__(
        self, base: CausalModel, P: int = 16, ids: Sequence[int] = (), generator: torch.Generator | None = None
    ) -> None:
        super().__init__(base, P)
        self.prompt = nn.Parameter(start_prompt(base.embedding.weight, P, ids, generator))

    def read(self, ids: Tensor, real: Tensor | None) -> Tensor:
        """[prompt; embeddings of the text] through all layers, and what becomes of the text: ids (B, T) -> (B, T, D)."""
        prompt = self.prompt.expand(len(ids), -1, -1)  # (P, D) -> (B, P, D)
        x = torch.cat((prompt, self.embedding(ids)), dim=1)  # (B, P + T, D)
        return self.through_layers(x, real)[:, self.P :]  # (B, T, D)

    def fill(self, cache: KVCache) -> None:
        """Store keys and values of the prompt in an empty cache."""
        B = len(cache.real)
        x, angles = self.place(self.prompt.expand(B, -1, -1), torch.arange(self.P, device=self.prompt.device))
        for i, layer in enumerate(self.layers):
            x = layer(x, None, angles, partial(cache.store, i))
        cache.advance(self.P, None)
