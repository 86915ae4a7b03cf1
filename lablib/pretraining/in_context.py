"""What a model picks up from the text that it is just reading, with all its weights at rest: measured as loss, with controls.

A model that was trained on nothing but the next token gets better as its context grows ("in-context learning", Brown et al. 2020, "Language
Models are Few-Shot Learners"). Three questions keep apart what that can mean. Does it *copy*: is what stood there once expected again?
Olsson et al. 2022, "In-context Learning and Induction Heads", ask with random tokens that are read twice, which no knowledge of
the world predicts. Does it *use* what the text has just said? And does it learn a *task* from examples (`in_context_prompts`)?

Each measure has its control in the same call: the same tokens at the same places, behind another context.

Axes: B rows, T tokens, V vocabulary, N questions. A model is a function: ids (B, T) -> logits (B, T, V).
Left out: where in the model it happens (lab 17 finds the heads), and models that are told how to answer (lab 09).
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.corpus.scoring import Z95, wilson
from lablib.tokens.tokenizer import Tokenizer

Model = Callable[[Tensor], Tensor]
Interval = tuple[float, float, float]  # measured, lower and upper end of its 95 % interval


@torch.no_grad()
def surprise(model: Model, ids: Tensor) -> Tensor:
    """−ln P(token | all tokens before it) of every token but the first: ids (B, T) -> (B, T − 1), nats.

    >>> surprise(lambda ids: torch.zeros(*ids.shape, 4), torch.tensor([[3, 1, 2]]))  # a uniform guess: ln 4 each time
    tensor([[1.3863, 1.3863]])
    """
    logits = model(ids[:, :-1]).float()  # (B, T − 1) -> (B, T − 1, V)
    return F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (B, T − 1)


def copying_gain(model: Model, rows: Tensor, others: Tensor) -> Tensor:
    """How much easier each row becomes when the very same row has just been read: nats per token, (B,).

    The model reads every row twice: behind itself (others, then the row; rows, then the row again), always at the same
    places. A model that copies finds the second reading of the same row easy; one that does not copy gets 0, since all
    else is equal. What counts are the tokens of the second reading but its first, which nothing announces: T − 1 a row,
    their mean.

    Args:
        rows: token numbers (B, T), T >= 2. others: (B, T), rows of the same kind that have nothing to do with them.

    >>> rows, others = torch.tensor([[0, 1, 2]]), torch.tensor([[2, 0, 1]])
    >>> copying_gain(lambda ids: torch.zeros(*ids.shape, 4), rows, others)  # a uniform guess copies nothing
    tensor([0.])
    """
    T = rows.shape[1]
    again = surprise(model, torch.cat((rows, rows), dim=1))  # (B, 2T) -> (B, 2T − 1): column j is about token j + 1
    fresh = surprise(model, torch.cat((others, rows), dim=1))  # (B, 2T − 1)
    return (fresh - again)[:, T:].mean(dim=1)  # tokens T + 1 … 2T − 1 of each


# ---------------------------------------------------------------- texts of different lengths


@dataclass(frozen=True)
class Reading:
    """How a model reads one text.

    Attributes:
        nats: −ln P of each token but the first, (T − 1,). right: was it the likeliest? bool (T − 1,).
    """

    nats: Tensor
    right: Tensor


@torch.no_grad()
def read(model: Model, texts: Sequence[Sequence[int]], B: int = 32) -> list[Reading]:
    """Read texts, each from its own beginning, B at a time. Shorter ones are filled up behind their end, where no token looks.

    Raises:
        ValueError: a text of fewer than two tokens, of which nothing could be predicted.
    """
    lengths = [len(text) for text in texts]
    if min(lengths, default=0) < 2:
        raise ValueError(
            f"texts have lengths {lengths[:8]}: expected at least one text, each of at least two tokens; is <|bos|> before it?"
        )
    order = sorted(range(len(texts)), key=lengths.__getitem__)  # alike in length together: little to fill
    found: dict[int, Reading] = {}
    for start in range(0, len(order), B):
        some = order[start : start + B]
        width = lengths[some[-1]]
        ids = torch.tensor([[*texts[i], *[0] * (width - lengths[i])] for i in some])  # (B, T)
        logits = model(ids[:, :-1]).float()  # (B, T − 1, V)
        nats = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (B, T − 1)
        right = logits.argmax(dim=-1) == ids[:, 1:]  # (B, T − 1)
        for row, i in enumerate(some):
            found[i] = Reading(nats[row, : lengths[i] - 1], right[row, : lengths[i] - 1])
    return [found[i] for i in range(len(texts))]


@dataclass(frozen=True)
class Answers:
    """What a model makes of N prompts with an answer each.

    Attributes:
        nats: −ln P(answer | prompt), all its tokens together, (N,).
        written: would the model write exactly this answer, always taking the likeliest token? bool (N,).
    """

    nats: Tensor
    written: Tensor


def answered(model: Model, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], B: int = 32) -> Answers:
    """How the model would answer: prompts and answers are token numbers, N lists of each.

    Raises:
        ValueError: an empty prompt or answer, or not as many of one as of the other.
    """
    if len(prompts) != len(answers) or not all(map(len, prompts)) or not all(map(len, answers)):
        raise ValueError(
            f"{len(prompts)} prompts and {len(answers)} answers: expected as many of one as of the other, none of them empty"
        )
    readings = read(model, [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)], B)
    ends = [(reading.nats[-len(a) :], reading.right[-len(a) :]) for reading, a in zip(readings, answers, strict=True)]
    return Answers(
        torch.stack([nats.sum() for nats, _ in ends]), torch.stack([right.all() for _, right in ends])
    )  # (N,), (N,)


# ---------------------------------------------------------------- a name in a text


def mentions(tokenizer: Tokenizer, text: str, name: str) -> tuple[list[int], list[tuple[int, int]]]:
    """A text as tokens, and which of them spell a name: for each mention (start, stop), with the space before it.

    Raises:
        ValueError: the name does not occur as a word.

    >>> tokenizer = Tokenizer.from_merges([])
    >>> mentions(tokenizer, "Jo met Jo.", "Jo")[1]  # here each byte is a token
    [(0, 2), (6, 9)]
    """
    # The space belongs to it: where no token holds both, it already says that something rare follows.
    places = [found.span() for found in re.finditer(rf"(?: |(?<!\w)){re.escape(name)}(?!\w)", text)]
    if not places:
        raise ValueError(f"name = {name!r} is no word of the text {text[:60]!r}…: expected one that occurs in it")
    ids = tokenizer.encode(text)
    ends, end = [], 0  # where each token ends, in bytes
    for token in ids:
        end += len(tokenizer.decode_bytes([token]))
        ends.append(end)
    spans = []
    for begin, stop in ((len(text[:a].encode()), len(text[:b].encode())) for a, b in places):
        first = next(i for i, end in enumerate(ends) if end > begin)
        last = next(i for i, end in enumerate(ends) if end >= stop)
        spans.append((first, last + 1))
    return ids, spans


def mention_nats(model: Model, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], bos: int) -> list[list[float]]:
    """What each mention of a name costs, −ln P of all its tokens, nats: for each (text, name) one number a mention, in their order.

    Args:
        bos: the token that each text is read behind.
    """
    found = [mentions(tokenizer, text, name) for text, name in texts]
    readings = read(model, [[bos, *ids] for ids, _ in found])
    # Token i of the text stands at place i + 1 behind bos, and its surprise in column i.
    return [
        [reading.nats[start:stop].sum().item() for start, stop in spans]
        for reading, (_, spans) in zip(readings, found, strict=True)
    ]


# ---------------------------------------------------------------- how sure


def mean_interval(values: Sequence[float] | Tensor) -> Interval:
    """The mean of independent values and its 95 % interval, mean ± 1.96 standard errors (the normal approximation).

    Raises:
        ValueError: fewer than two values, which say nothing of their spread.

    >>> [round(end, 2) for end in mean_interval([1.0, 2.0, 3.0])]
    [2.0, 0.87, 3.13]
    """
    found = torch.as_tensor(values, dtype=torch.float64)
    if found.dim() != 1 or len(found) < 2:
        raise ValueError(f"values has shape {tuple(found.shape)}: expected at least two numbers in a row")
    mean, half = found.mean().item(), Z95 * found.std().item() / math.sqrt(len(found))
    return mean, mean - half, mean + half


def share_interval(hits: Sequence[bool] | Tensor) -> Interval:
    """The share of hits and Wilson's 95 % interval for it (Wilson 1927).

    >>> [round(end, 2) for end in share_interval([True] * 9 + [False])]
    [0.9, 0.6, 0.98]
    """
    found = torch.as_tensor(hits, dtype=torch.bool)
    if found.dim() != 1 or not len(found):
        raise ValueError(f"hits has shape {tuple(found.shape)}: expected at least one, in a row")
    count, total = int(found.sum()), len(found)
    return count / total, *wilson(count, total)
