"""Writing with a decoder: choose the next token, put it behind the others, ask again.

Each step reads one column of logits. With a cache (`decoder_cache`) a step passes only the newest token through the model; without,
everything from the start; both write the same text. How a token is chosen is a function that is handed in. Here is only
the simplest one, `greedy`; lab 07 adds chance.

Axes: B batch, T time, V vocabulary. Left out: beam search, and stopping at a phrase of several tokens.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lablib.architecture.decoder import CausalModel


def greedy(logits: Tensor) -> Tensor:
    """The likeliest token of each row: logits (B, V) -> ids (B,).

    >>> greedy(torch.tensor([[0.1, 2.0, 0.3]]))
    tensor([1])
    """
    return logits.argmax(dim=-1)


def left_pad(prompts: Sequence[Sequence[int]], pad: int = 0) -> tuple[Tensor, Tensor]:
    """Prompts of different lengths as one batch that ends in one column, where the writing starts.

    Args: prompts: B lists of ids, none of them empty; pad: the id that fills the room in front of the shorter ones.
    Returns: ids (B, T), and their mask, bool (B, T), True = a real token.

    >>> left_pad([[5], [6, 7]])
    (tensor([[0, 5],
            [6, 7]]), tensor([[False,  True],
            [ True,  True]]))
    """
    lengths = [len(prompt) for prompt in prompts]
    if not lengths or 0 in lengths:
        raise ValueError(f"prompts have lengths {lengths}: expected at least one prompt, each of at least one token")
    T = max(lengths)
    ids = torch.tensor([[pad] * (T - len(prompt)) + list(prompt) for prompt in prompts])  # (B, T)
    return ids, torch.arange(T) >= T - torch.tensor(lengths)[:, None]  # (T,) >= (B, 1) -> (B, T)


@torch.no_grad()
def stream(
    model: CausalModel,
    ids: Tensor,
    new_tokens: int,
    mask: Tensor | None = None,
    stop: int | None = None,
    choose: Callable[[Tensor], Tensor] = greedy,
    cached: bool = True,
) -> Iterator[Tensor]:
    """The tokens that follow the prompts, one column at a time, as soon as each is chosen.

    Args:
        model: it is used as it is; a model with dropout wants `eval()` first.
        ids: prompts (B, T). mask: bool (B, T), True = a real token; shorter prompts are padded on the left, see `left_pad`.
        new_tokens: columns to write at most.
        stop: the token that ends a text. A row that has ended goes on with it, and when all have, the writing ends.
        choose: logits (B, V) -> ids (B,).
        cached: keep keys and values of what was read, which is faster; the text is the same.

    Yields: ids (B,).
    Raises: ValueError: padding at the end of a prompt, or a choice of the wrong shape.
    """
    if new_tokens < 0:
        raise ValueError(f"new_tokens = {new_tokens}: expected a number of columns >= 0")
    model.check(ids, mask, None)
    if mask is not None and not bool(mask[:, -1].all()):
        rows = [row for row, real in enumerate(mask[:, -1].tolist()) if not real]
        raise ValueError(f"mask ends with padding in rows {rows}: expected it on the left, where left_pad puts it")
    B, T = ids.shape
    cache = model.new_cache(B, T + new_tokens) if cached and new_tokens else None
    ended = torch.zeros(B, dtype=torch.bool, device=ids.device)
    for _ in range(new_tokens):
        logits = model(ids, mask, cache, last_only=True)[:, -1]  # (B, T) -> (B, 1, V) -> (B, V)
        chosen = choose(logits)
        if chosen.shape != (B,):
            raise ValueError(f"choose returned the shape {tuple(chosen.shape)}: expected one id for each row, ({B},)")
        if stop is not None:
            chosen = chosen.masked_fill(ended, stop)
            ended = ended | (chosen == stop)
        yield chosen
        if bool(ended.all()):
            return
        if cache is not None:
            ids, mask = chosen[:, None], None  # (B, 1): the cache has the rest
        else:
            ids = torch.cat((ids, chosen[:, None]), dim=1)  # (B, T + 1)
            mask = None if mask is None else torch.cat((mask, torch.ones_like(mask[:, :1])), dim=1)


def generate(
    model: CausalModel,
    ids: Tensor,
    new_tokens: int,
    mask: Tensor | None = None,
    stop: int | None = None,
    choose: Callable[[Tensor], Tensor] = greedy,
    cached: bool = True,
) -> Tensor:
    """The prompts (B, T) and what the model writes behind them: (B, T + n), n at most new_tokens. The rest as in `stream`."""
    columns = [column[:, None] for column in stream(model, ids, new_tokens, mask, stop, choose, cached)]
    return torch.cat((ids, *columns), dim=1)
