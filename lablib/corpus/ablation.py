"""What is a corpus worth? Train the same small model on it as on another one, at equal compute, and see who predicts good text better.

This is how filters are chosen where nobody can read the corpus: FineWeb trained a small model on every variant of its pipeline (Penedo
et al. 2024, "data ablations"). *Equal compute* means the same model and the same number of steps, each with as many tokens: a smaller
corpus is then read more often.

The loss is given in nats for a whole text or a character, which does not depend on how the text is cut into tokens (Gao et al. 2020,
"The Pile", argue so for bits per byte). Every token is predicted from the beginning of its text, or from at least half a window.

Axes: B batch, T window, N rows or documents. Left out: validation on the way, checkpoints, accumulation (lab 07).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.decoder import CausalModel
from lablib.architecture.generation import generate

Encode = Callable[[str], list[int]]  # text -> token numbers


def rows(texts: Sequence[str], encode: Encode, T: int, end: int) -> Tensor:
    """The texts as one long row of tokens, each closed by `end`, cut into rows of T + 1: (N, T + 1).

    The last token of a row is the first of the next, so that every token is predicted once; what is left at the end is dropped.

    Raises:
        ValueError: the texts do not fill one row.

    >>> rows(["ab", "c"], lambda text: [ord(letter) - 96 for letter in text], T=2, end=0)
    tensor([[0, 1, 2],
            [2, 0, 3]])
    """
    ids = [end, *(token for text in texts for token in [*encode(text), end])]
    n = (len(ids) - 1) // T
    if n < 1:
        raise ValueError(f"texts make {len(ids)} tokens: expected at least T + 1 = {T + 1}, one row to train on")
    return torch.tensor(ids).unfold(0, T + 1, T)[:n].clone()  # (N, T + 1)


def batches(data: Tensor, B: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches (B, T + 1) without end, in a new order each time all rows (N, T + 1) have been read."""
    order = torch.empty(0, dtype=torch.long)
    while True:
        while len(order) < B:
            order = torch.cat((order, torch.randperm(len(data), generator=generator)))
        yield data[order[:B]]
        order = order[B:]


def train(
    model: CausalModel,
    data: Tensor,
    steps: int,
    B: int,
    generator: torch.Generator,
    lr: float = 0.02,
    warmup: float = 0.05,
) -> Iterator[float]:
    """Train with Muon on the matrices of the layers and AdamW on the rest; the rate climbs, then falls straight to zero.

    Muon (Jordan et al. 2024) makes each step's change of a matrix nearly orthogonal, so that no direction of it dominates: with so
    few steps it gets further than AdamW alone.

    Args:
        data: rows (N, T + 1). steps: updates, each of B rows. lr: of Muon; AdamW has a fifth of it.
        warmup: share of the steps in which the rate climbs.

    Yields:
        the loss of each step, measured before the update: nats a token, mean over the batch.
    """
    matrices = [weight for weight in model.layers.parameters() if weight.dim() == 2]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    optimisers = [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.0),
        torch.optim.AdamW(others, lr=lr / 5, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [group["lr"] for optimiser in optimisers for group in optimiser.param_groups]
    for step, ids in zip(range(steps), batches(data, B, generator), strict=False):
        done = (step + 1) / steps
        for rate, group in zip(rates, (g for o in optimisers for g in o.param_groups), strict=True):
            group["lr"] = rate * min(done / warmup, (1 - done) / (1 - warmup))
        logits = model(ids[:, :-1])  # (B, T) -> (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())  # (B · T, V), (B · T,)
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        yield loss.item()


@torch.no_grad()
def nats(model: CausalModel, texts: Sequence[str], encode: Encode, T: int, end: int, B: int = 32) -> Tensor:
    """How surprised the model is by each whole text, its end included: −log P(text), nats (N,).

    A text longer than a window is read in windows that overlap by half; in each but the first only the tokens of its second half count.
    That makes P a true probability of the text: no token is seen before it is predicted.

    Args:
        T: window, which should be the one that the model was trained on.
    """
    if T < 2 or T % 2:
        raise ValueError(f"T = {T}: expected an even number of tokens from 2 on, since windows overlap by half")
    found: list[tuple[int, int, list[int]]] = []  # document, how many of the predictions do not count, tokens
    for number, text in enumerate(texts):
        ids = [end, *encode(text), end]
        found.append((number, 0, ids[: T + 1]))
        for start in range(T // 2, len(ids) - T // 2 - 1, T // 2):
            found.append((number, T // 2, ids[start : start + T + 1]))
    found.sort(key=lambda window: len(window[2]))
    total, device = torch.zeros(len(texts), dtype=torch.float64), next(model.parameters()).device
    for start in range(0, len(found), B):
        numbers, skipped, windows = zip(*found[start : start + B], strict=True)
        width = max(map(len, windows))
        padded = torch.tensor([[*window, *[end] * (width - len(window))] for window in windows])  # (B, width)
        padded = padded.to(device)
        logits = model(padded[:, :-1]).transpose(1, 2)  # (B, width − 1, V) -> (B, V, width − 1)
        surprise = F.cross_entropy(logits, padded[:, 1:], reduction="none").cpu()  # (B, width − 1)
        place = torch.arange(width - 1)
        length = torch.tensor([len(window) - 1 for window in windows])[:, None]
        counts = (place >= torch.tensor(skipped)[:, None]) & (place < length)
        total.index_add_(0, torch.tensor(numbers), (surprise * counts).sum(dim=1).double())
    return total


def write(
    model: CausalModel, n: int, decode: Callable[[list[int]], str], most: int, end: int, generator: torch.Generator
) -> list[str]:
    """n texts that the model writes from nothing, each token drawn with the probability that the model gives it.

    Args:
        decode: token numbers -> text. most: tokens of the longest text; one that is not at its end by then is cut off there.
    """

    def draw(logits: Tensor) -> Tensor:  # (B, V) -> (B,)
        return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]

    ids = generate(model, torch.full((n, 1), end), most, stop=end, choose=draw)  # (n, 1 + up to most)
    return [decode(row[: row.index(end)] if end in row else row) for row in ids[:, 1:].tolist()]
