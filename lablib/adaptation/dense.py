"""Dense retrieval: a passage and a question become vectors, and the nearest vectors are what is found.

BM25 finds words; "How long may a text be?" and "The context has 256 tokens" share none. An encoder that was trained to put sentences of
the same meaning near each other (Reimers and Gurevych 2019, "Sentence-BERT"; Karpukhin et al. 2020, "Dense Passage Retrieval")
sees that they belong together. In return it knows nothing of names and numbers that it never read, where BM25 is sure.

The encoder comes in as a function: texts -> (N, D), one row for each. The search itself is one product of a matrix and a vector, exact, and
fast enough for a hundred thousand passages; beyond that stand the indexes of `lablib.adaptation.vector_store`.

Axes: N passages, D width of a vector. Left out: training such an encoder; late interaction (ColBERT); re-ranking by a cross-encoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib import models
from lablib.adaptation.search import Hit, check_search, check_texts

Encode = Callable[[Sequence[str]], Tensor]  # N texts -> (N, D)


def cosine_top_k(matrix: Tensor, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k rows of a matrix that point most nearly in the direction of the query.

    The cosine of two vectors is their dot product divided by both lengths: 1 where they point the same way, 0 where
    they are at right angles, −1 where they point in opposite ways. With a vector of length 0 it is 0, never NaN.

    Args:
        matrix: (N, D), a vector for each passage, of any length.
        query: (D,).
        k: at least 1; if N is smaller, all N come.
    Returns: the cosines (k,), the largest first, and the numbers of their rows (k,), int64; equal ones come in any
        order.

    >>> cosine_top_k(torch.tensor([[3.0, 0.0], [0.0, 2.0], [4.0, 3.0]]), torch.tensor([1.0, 0.0]), k=2)
    (tensor([1.0000, 0.8000]), tensor([0, 2]))
    """
    directions = F.normalize(matrix, dim=-1)  # (N, D), every row of length 1; a row of zeros stays
    cosines = directions @ F.normalize(query, dim=-1)  # (N, D) @ (D,) -> (N,)
    found = cosines.topk(min(k, len(cosines)))
    return found.values, found.indices  # (k,), (k,)


class Dense:
    """The passages of a corpus as the rows of a matrix, ready to be searched.

    Args:
        texts: the passages.
        encode: makes vectors of texts.
        batch: passages that are encoded at a time.
    Attributes:
        matrix: (N, D) float32, each row of length 1 (or 0).
    Raises:
        ValueError: no passage; vectors of another number, or that are not finite; says which. TypeError: a passage is not str.

    >>> letters = lambda texts: torch.tensor([[float(text.count(c)) for c in "abc"] for text in texts])
    >>> [(hit.number, round(hit.score, 2)) for hit in Dense(["aab", "bc", "c"], letters).search("a", k=2)]
    [(0, 0.89), (1, 0.0)]
    """

    def __init__(self, texts: Sequence[str], encode: Encode, batch: int = 64) -> None:
        check_texts(texts)
        rows = [vectors(encode, texts[start : start + batch]) for start in range(0, len(texts), batch)]
        self.matrix = F.normalize(torch.cat(rows), dim=-1)  # once, and not at every search
        self.encode = encode

    def search(self, query: str, k: int) -> list[Hit]:
        """The k nearest passages, the nearest first; their scores are cosines.

        Raises:
            ValueError: k < 1, or nothing in the query but blanks.
        """
        check_search(query, k)
        (vector,) = vectors(self.encode, [query])  # (1, D) -> (D,)
        cosines, rows = cosine_top_k(self.matrix, vector, k)
        return [Hit(row, cosine) for cosine, row in zip(cosines.tolist(), rows.tolist(), strict=True)]

    def similarity(self, rows: Sequence[int]) -> Tensor:
        """The cosines of some passages with each other, (n, n), as `maximal_marginal_relevance` takes them."""
        some = self.matrix[list(rows)]  # (n, D)
        return some @ some.mT


def vectors(encode: Encode, texts: Sequence[str]) -> Tensor:
    """What an encoder makes of texts, as (N, D) float32 on the CPU.

    Raises:
        ValueError: another shape, or a number that is not finite.
    """
    found = torch.as_tensor(encode(list(texts))).detach().to("cpu", torch.float32)
    if found.dim() != 2 or len(found) != len(texts):
        raise ValueError(
            f"encode made {tuple(found.shape)} of {len(texts)} texts: expected (N, D), one row for each text"
        )
    broken = (~found.isfinite()).any(dim=-1).nonzero()
    if len(broken):
        raise ValueError(f"encode made NaN or ∞ of {texts[int(broken[0])]!r:.60}: expected finite numbers")
    return found


# ---------------------------------------------------------------- encoders


@dataclass(frozen=True)
class Encoder:
    """A function from texts to vectors, and what it is, in words. Calling it encodes.

    Attributes:
        source: one line for the learner. real: whether it is the trained model.
    """

    encode: Encode
    source: str
    real: bool

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return self.encode(texts)


def best_encoder(texts: Sequence[str], *, hub: bool = True) -> Encoder:
    """The real sentence encoder if this computer has it, else one made from the corpus itself; `source` says which.

    Args:
        texts: the corpus; only the fallback looks at it.
        hub: whether the network may be asked for the model.
    """
    try:
        loaded = models.load("minilm", hub=hub, quiet=True)
    except models.ModelNotFound as missing:
        reason = str(missing).splitlines()[0]
        return Encoder(
            latent_semantic_encoder(texts),
            f"no real encoder ({reason}); latent semantic analysis of the corpus instead",
            False,
        )
    return Encoder(lambda some: models.embed(loaded, list(some)), loaded.source, True)


def remembering(encode: Encode, batch: int = 8) -> Encode:
    """An encoder that computes each text once, so many at a time, those of like length together: a short one costs no padding."""
    known: dict[str, Tensor] = {}

    def recall(texts: Sequence[str]) -> Tensor:
        new = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))
        for start in range(0, len(new), batch):
            some = new[start : start + batch]
            known.update(zip(some, encode(some), strict=True))
        return torch.stack([known[text] for text in texts])

    return recall


def latent_semantic_encoder(texts: Sequence[str], width: int = 128) -> Encode:
    """Vectors from the corpus alone (Deerwester et al. 1990, "Indexing by Latent Semantic Analysis"): no model, no download.

    Each text is a row of word counts, weighted by rarity; the `width` strongest directions of that matrix (its singular vectors) are
    kept, so that words which occur in the same passages come to lie near each other. It learns from these texts only.

    Raises:
        ValueError: no text, or no word in any.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    check_texts(texts)
    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    try:
        matrix = counts.fit_transform(texts)  # (N, V), sparse
    except ValueError as error:
        raise ValueError(f"texts: none of the {len(texts)} has a word in it; expected prose") from error
    directions = TruncatedSVD(min(width, *matrix.shape), random_state=0).fit(matrix)
    return lambda some: torch.from_numpy(
        directions.transform(counts.transform(list(some)))
    ).float()  # (n, V) -> (n, width)
