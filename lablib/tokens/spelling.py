"""What does a model know of the letters in a token? It never sees them: it sees a number.

Two readers are asked the same question about a token: *which letters do you hold?* One gets the token's own row of a table, which is
what a language model gets. The other gets the letters. Both learn from some tokens and are asked about others. Real
models were asked the same by Itzhak & Levy 2022, "Models in a Spelling Bee: Language Models Implicitly Learn the Character
Composition of Tokens", and by Kaushal & Mahowald 2022, "What do tokens know about their characters and how do they know it?".
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def letters_of(pieces: Sequence[str]) -> Tensor:
    """(N, 26) floats: 1 where a piece of text holds the letter, in capitals or not.

    >>> letters_of(["Ebb"])[0, :5]
    tensor([0., 1., 0., 0., 1.])
    """
    return torch.tensor([[float(letter in piece.lower()) for letter in ALPHABET] for piece in pieces])


def teach(
    vectors: Tensor, letters: Tensor, steps: int = 300, own: bool = False, decay: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Fit 26 yes/no questions by logistic regression, one row of weights a letter.

    Most letters are absent from most tokens, so that "no" is nearly always right. Each yes is therefore weighed as much as there are
    noes for it: guessing then gives 0.5 in `balanced_accuracy`, and a probe that always says no gains nothing.

    Args:
        vectors: (N, D), what the reader sees of each token.
        letters: (N, 26), the truth.
        own: the vectors may move as well, as the rows of an embedding do while a model learns.
        decay: weight decay, against learning by heart.

    Returns:
        weight (26, D + 1), its last column the bias, and the vectors (N, D) at the end.
    """
    x = vectors.clone().requires_grad_(own)
    weight = torch.zeros(letters.shape[1], x.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.Adam([weight, x] if own else [weight], lr=0.05)
    yes = letters.sum(0).clamp(min=1)  # (26,)
    worth = (len(letters) - yes).clamp(min=1) / yes
    for _ in range(steps):
        logits = F.linear(x, weight[:, :-1], weight[:, -1])  # (N, D) -> (N, 26)
        loss = F.binary_cross_entropy_with_logits(logits, letters, pos_weight=worth) + decay * weight[
            :, :-1
        ].square().sum() / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach(), x.detach()


def spelled_right(vectors: Tensor, letters: Tensor, weight: Tensor) -> float:
    """The share of tokens for which all 26 answers are right."""
    said = F.linear(vectors, weight[:, :-1], weight[:, -1]) > 0
    return (said == letters.bool()).all(dim=1).double().mean().item()


def balanced_accuracy(vectors: Tensor, letters: Tensor, weight: Tensor) -> float:
    """Mean over the letters of (share of the yeses found + share of the noes found) / 2: 0.5 is guessing, 1 is knowing.

    Letters that none or all of these tokens hold are left out.
    """
    said, true = F.linear(vectors, weight[:, :-1], weight[:, -1]) > 0, letters.bool()
    yes, no = true.sum(0), (~true).sum(0)
    asked = (yes > 0) & (no > 0)
    found = (said & true).sum(0)[asked] / yes[asked] + (~said & ~true).sum(0)[asked] / no[asked]
    return (found / 2).mean().item()
