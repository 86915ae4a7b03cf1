"""Prompt tuning: the model stays as it is, and learns nothing but the embeddings of a few tokens that stand before every text.

Whoever writes a prompt chooses P words of the vocabulary, that is P points out of V. Here the points may lie anywhere, and gradient
descent looks for them: P·D numbers, thousands, not millions. They travel through all layers as real tokens do.

Paper: Lester, Al-Rfou & Constant 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning" (§2; §3.2 on how to start: from
embeddings of real words). The paper finds that it takes a model of ten billion parameters to equal full tuning; small ones fall short.

Axes: see `virtual_tokens`. Left out: several prompts for one model (load another `prompt`).
"""

from collections.abc import Callable, Sequence
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


def read_behind(prompt: Tensor, x: Tensor, through: Callable[[Tensor], Tensor]) -> Tensor:
    """What a model makes of a text when a learned prompt stands in front of it (Lester et al. 2021, §2: [P; X]).

    Args:
        prompt (P, D), the same for all rows; x (B, T, D), the embeddings of the text.
        through: the layers: (B, P + T, D) -> (B, P + T, D), in which every place sees itself and all before it.
    Returns: what comes out at the places of the text (B, T, D); what comes out at the prompt's is of no use.
    """
    first = prompt.expand(len(x), -1, -1)  # (P, D) -> (B, P, D)
    return through(torch.cat((first, x), dim=1))[:, len(prompt) :]  # (B, P + T, D) -> (B, T, D)


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
        """The text behind the prompt, through all layers: ids (B, T) -> (B, T, D)."""
        return read_behind(self.prompt, self.embedding(ids), partial(self.through_layers, real=real))

    def fill(self, cache: KVCache) -> None:
        """Store keys and values of the prompt in an empty cache."""
        B = len(cache.real)
        x, angles = self.place(self.prompt.expand(B, -1, -1), torch.arange(self.P, device=self.prompt.device))
        for i, layer in enumerate(self.layers):
            x = layer(x, None, angles, partial(cache.store, i))
        cache.advance(self.P, None)
