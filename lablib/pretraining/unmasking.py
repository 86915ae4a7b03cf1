"""Writing with a model that was trained to fill gaps: begin with masks, and reveal them a few at a time.

Papers: Ghazvininejad et al. 2019, "Mask-Predict: Parallel Decoding of Conditional Masked Language Models" (§3: most confident first; they
also mask again what became doubtful); Chang et al. 2022, "MaskGIT" (§3.2: what is revealed stays); Sahoo et al. 2024, "Simple and
Effective Masked Diffusion Language Models" (tokens drawn by chance, in a random order).

A decoder pays for each token one pass of one token, thanks to its cache. Here each pass reads all T tokens, but may reveal several.

Axes: B rows, T time, V vocabulary. Left out: masking again, and finding the length (it is given, as the number of masks).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]  # ids (B, T) -> logits (B, T, V)
Step = Callable[[Tensor, Tensor, int, int], Tensor]  # as `reveal`


def reveal(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    """Fill in the n masks of each row about which the model is most confident, each with its likeliest token.

    How confident the model is about a place is the probability of the likeliest token there. Rows with fewer than n
    masks get all of them filled; what is no mask stays as it is.

    Args:
        ids: (B, T), some of them `mask`.
        logits: (B, T, V); the column of `mask` is at −inf, so that it is never the likeliest.

    Returns:
        (B, T), in the dtype of ids and never bool or float; the arguments stay as they are.

    >>> logits = torch.tensor([[[0.0, 9.0, -torch.inf], [1.0, 0.0, -torch.inf]]])
    >>> reveal(torch.tensor([[2, 2]]), logits, mask=2, n=1)  # 9 against 0 is surer than 1 against 0
    tensor([[1, 2]])
    """
    confidence, token = logits.softmax(dim=-1).max(dim=-1)  # (B, T, V) -> (B, T) each
    hidden = ids == mask  # (B, T)
    surest = confidence.masked_fill(~hidden, -1.0).topk(min(n, ids.shape[1]), dim=1).indices  # (B, n)
    now = torch.zeros_like(hidden).scatter(1, surest, True) & hidden  # (B, T)
    return torch.where(now, token, ids)


def words_only(model: torch.nn.Module, words: int) -> Predict:
    """A model that knows no special tokens: their logits, from number `words` on, are −inf."""

    def predict(ids: Tensor) -> Tensor:
        logits = model(ids)  # (B, T) -> (B, T, V)
        logits[..., words:] = -torch.inf
        return logits

    return predict


@torch.no_grad()
def fill(predict: Predict, ids: Tensor, mask: int, n: int = 1, step: Step = reveal) -> Tensor:
    """Reveal all masks of (B, T), the n surest of each row at a time; as many passes as the fullest row needs.

    step: `reveal`, or a function of your own.
    """
    if n < 1:
        raise ValueError(f"n = {n}: expected at least 1 token a pass, or it would never end")
    while bool((ids == mask).any()):
        ids = step(ids, predict(ids), mask, n)
    return ids


@torch.no_grad()
def compose(predict: Predict, ids: Tensor, mask: int, passes: int, generator: torch.Generator) -> Tensor:
    """Write by chance: in each pass some masks, in random order, each with a token drawn from what the model thinks of that place.

    Tokens of one pass do not know of each other. With as many passes as there are masks, each is drawn given all before it.

    Args:
        ids: (B, T), masks where something is to be written. passes: each reveals an equal share of every row's masks.

    Returns:
        (B, T) without masks.
    """
    hidden = ids == mask  # (B, T)
    order = torch.rand(ids.shape, generator=generator).masked_fill(~hidden, 2.0).argsort(dim=1).argsort(dim=1)  # rank
    share = order / hidden.sum(dim=1, keepdim=True)  # (B, T), 0 … 1 over the masks of a row
    for step in range(passes):
        now = hidden & (share >= step / passes) & (share < (step + 1) / passes)
        if bool(now.any()):
            chances = predict(ids)[now].softmax(dim=-1)  # (B, T, V) -> (N, V)
            ids = ids.masked_scatter(now, torch.multinomial(chances, 1, generator=generator)[:, 0])
    return ids
