"""What instruction tuning learns from: the assistant's tokens and the stop token behind them, and nothing else.

Pre-training predicts every token. Here the user's words are given, not to be learned: a model that is to answer questions need not be
able to ask them. So the loss of a row is taken over the assistant's tokens only, with all that stands before them in view (Touvron et al.
2023, "Llama 2", §3.1: they "zero-out the loss on tokens from the user prompt").

The stop token counts: it is how the model learns to end a turn. The `<|assistant|>` token does not: it is put there by whoever asks.
A token that does not count as a *target* still counts as something to look at, so the question's embeddings do get a gradient, from the
answer's tokens that look back at them.

Axes: B rows, T time, V vocabulary. Left out: counting the prompt with a small weight (Huerta-Enochian & Ko 2024 find that it can help).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.adaptation.chat import MARKERS, STOP, Conversation, render
from lablib.tokens.tokenizer import Tokenizer


def answer_mask(ids: Sequence[int], assistant: int, stop: int, skip: int = 0) -> list[bool]:
    """Which tokens of a rendered conversation are to be learned?

    Those behind an `assistant` token, up to the next `stop` token, which counts too. The `assistant` token does not.
    An answer that is cut off, so that no stop token comes, counts to the end of the row.

    Args:
        ids: token numbers, T of them. assistant, stop: the numbers of `<|assistant|>` and `<|end|>`.
        skip: the first so many answers do not count: they are there to be criticised.

    Returns:
        T bools, True = a token that the model should learn to write.

    >>> user, assistant, end = 1, 2, 3  # and 7, 8, 9 are words
    >>> [int(counts) for counts in answer_mask([user, 7, end, assistant, 8, 9, end, user, 7, end], assistant, end)]
    [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    """
    counts, inside, answers = [], False, 0
    for token in ids:
        counts.append(inside and answers > skip)
        if token == assistant:
            inside, answers = True, answers + 1
        elif token == stop:
            inside = False
    return counts


def answer_nats(logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """How surprised the model is by the answers: −ln P(target), summed over the targets that count; a scalar in fp32.

    What does not count has no influence, neither on the value nor on the gradient, whatever its target and its logits
    are, even infinite ones.

    Args:
        logits: (B, T, V), of any floating dtype. targets: token numbers (B, T): what follows each place.
        counts: bool (B, T), True where the target is to be learned.

    Returns:
        the sum in nats, 0 where nothing counts. The loop divides it by how many targets count in the whole step.

    >>> logits = torch.zeros(1, 2, 4)  # a uniform guess among 4 tokens
    >>> answer_nats(logits, torch.tensor([[0, 1]]), torch.tensor([[False, True]]))  # ln 4
    tensor(1.3863)
    """
    chosen = logits[counts].float()  # (B, T, V) -> (N, V)
    return F.cross_entropy(chosen, targets[counts], reduction="sum")  # (N,) -> ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as tokens.

    Attributes:
        ids: T token numbers. counts: T bools, which of them are to be learned.
    """

    ids: list[int]
    counts: list[bool]

    def __len__(self) -> int:
        return len(self.ids)


def encode(conversation: Conversation, tokenizer: Tokenizer) -> Encoded:
    """`render` and `answer_mask` of a conversation."""
    ids = render(conversation.turns, tokenizer)
    special = tokenizer.special
    return Encoded(ids, answer_mask(ids, special[MARKERS["assistant"]], special[STOP], conversation.skip))


def shown(encoded: Encoded, tokenizer: Tokenizer) -> str:
    """The tokens of a conversation as a text for people: what is learned stands in [brackets].

    >>> tokenizer = Tokenizer.from_merges([], special=["<|bos|>", "<|user|>", "<|assistant|>", "<|end|>"])
    >>> shown(Encoded([256, 257, 39, 259, 258, 41, 259], [False] * 5 + [True] * 2), tokenizer)
    '<|bos|><|user|>H<|end|><|assistant|>[J<|end|>]'
    """
    parts: list[str] = []
    start = 0
    for at in range(1, len(encoded) + 1):
        if at == len(encoded) or encoded.counts[at] != encoded.counts[start]:
            text = tokenizer.decode(encoded.ids[start:at])
            parts.append(f"[{text}]" if encoded.counts[start] else text)
            start = at
    return "".join(parts)


def counted(rows: Sequence[Sequence[bool]], T: int) -> Tensor:
    """Lists of bools as one tensor (B, T), False behind the end of each.

    >>> counted([[True, True], [True]], 3).int()
    tensor([[1, 1, 0],
            [1, 0, 0]], dtype=torch.int32)
    """
    return torch.tensor([[*row, *[False] * (T - len(row))] for row in rows])
