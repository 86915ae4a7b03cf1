"""What does a frozen model know about a text? A *probe* answers: the simplest classifier there is, on the vectors that the model makes.

The model learns nothing while it is probed. What a *linear* probe finds must already lie open in the vectors.

Papers: Alain & Bengio 2017, "Understanding Intermediate Layers Using Linear Classifier Probes"; Hewitt & Liang 2019, "Designing and
Interpreting Probes with Control Tasks" (a probe needs something to compare it with).

Axes: N documents, T time, D model width. Left out: probes with hidden layers, which might learn the task by themselves.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lablib.pretraining.span_corruption import padded

States = Callable[[Tensor], Tensor]  # ids (B, T) -> hidden states (B, T, D)


@torch.no_grad()
def states_of(states: States, documents: Sequence[Sequence[int]], pad: int, B: int = 100) -> list[Tensor]:
    """The hidden states of each document, without padding: N tensors (T, D)."""
    order = sorted(range(len(documents)), key=lambda number: len(documents[number]))
    found: dict[int, Tensor] = {}
    for start in range(0, len(order), B):
        numbers = order[start : start + B]
        hidden = states(padded([documents[number] for number in numbers], pad))  # (B, T, D)
        found |= {number: hidden[row, : len(documents[number])] for row, number in enumerate(numbers)}
    return [found[number] for number in range(len(documents))]


def pooled(states: Sequence[Tensor]) -> Tensor:
    """The mean over each document's tokens: (N, D)."""
    return torch.stack([state.mean(dim=0) for state in states])


def at_token(states: Sequence[Tensor], place: int) -> Tensor:
    """Each document's vector at one place, counted from 0: (N, D); its last one where the document is shorter."""
    return torch.stack([state[min(place, len(state) - 1)] for state in states])


def probe(vectors: Tensor, labels: Sequence[str | int], taught: int) -> list[bool]:
    """Teach a logistic regression with the first documents; is it right about each of the others?

    Args:
        vectors: (N, D). labels: N of them. taught: how many documents it is taught with; at least two labels among them.

    Returns:
        N − taught answers.
    """
    from sklearn.linear_model import LogisticRegression

    if not 1 < taught < len(labels) or len(vectors) != len(labels):
        raise ValueError(
            f"taught = {taught}, {len(vectors)} vectors, {len(labels)} labels: expected one label each, and some to ask about"
        )
    x, y = vectors.numpy().astype(np.float64), np.asarray(labels)
    x = (x - x[:taught].mean(0)) / (x[:taught].std(0) + 1e-6)  # features of one size
    reader = LogisticRegression(C=0.1, max_iter=300).fit(x[:taught], y[:taught])
    return (reader.predict(x[taught:]) == y[taught:]).tolist()
