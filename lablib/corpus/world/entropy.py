r"""The entropy of the world: how many nats of choice stand in a token, and so the floor under every model's loss.

A document d has probability p(d), which the grammar knows exactly, and n(d) tokens. A model with probabilities q has the
cross-entropy E[−log q] ≥ E[−log p] = H: no model does better on average, whatever its tokeniser. Per token, H is
E[−log p] / E[n], the ratio of two means over documents drawn from the world. Its standard error is that of a ratio estimator
by the delta method: with r = Σx/Σn, it is √(Σ(x − r·n)² / (N − 1) / N) / (Σn / N).

A token is here a word or a mark (`TOKEN`). Per character the same holds with n the number of characters, and there no
tokeniser is involved at all: nats per character compare models with different vocabularies.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lablib.corpus.world.documents import WorldDocument

TOKEN = re.compile(r"\w+(?:['-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Entropy:
    """An estimate with what it was made from; each `…_error` is one standard error.

    Attributes:
        per_token, per_character, per_document: nats.
        documents, tokens, characters: how many were drawn.
    """

    per_token: float
    per_token_error: float
    per_character: float
    per_character_error: float
    per_document: float
    per_document_error: float
    documents: int
    tokens: int
    characters: int


def tokens(text: str) -> list[str]:
    """Words and marks.

    >>> tokens("It's a half-eaten bun, isn't it?")
    ["It's", 'a', 'half-eaten', 'bun', ',', "isn't", 'it', '?']
    """
    return TOKEN.findall(text)


def ratio(x: Sequence[float], n: Sequence[float]) -> tuple[float, float]:
    """Σx / Σn and its standard error by the delta method (a ratio estimator; Cochran 1977, Sampling Techniques, ch. 6).

    >>> value, error = ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    >>> value, error
    (2.0, 0.0)
    """
    r, N = sum(x) / sum(n), len(x)
    spread = sum((a - r * b) ** 2 for a, b in zip(x, n, strict=True)) / (N - 1)
    return r, math.sqrt(spread / N) / (sum(n) / N)


def estimate(documents: Iterator["WorldDocument"], n: int) -> Entropy:
    """Entropy from the first n documents of a stream.

    Raises:
        ValueError: n is below 2, so that no error can be given.
    """
    if n < 2:
        raise ValueError(
            f"n = {n}: expected at least 2 documents, for the standard error needs a spread; 2,000 give about 1 %"
        )
    nats, counts, sizes = [], [], []
    for document in islice(documents, n):
        nats.append(-document.log_prob)
        counts.append(float(len(TOKEN.findall(document.text))))
        sizes.append(float(len(document.text)))
    by_token, by_character, by_document = ratio(nats, counts), ratio(nats, sizes), ratio(nats, [1.0] * n)
    return Entropy(*by_token, *by_character, *by_document, n, int(sum(counts)), int(sum(sizes)))
