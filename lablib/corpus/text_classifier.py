"""A text classifier in the smallest form that works at scale: hashed n-grams and logistic regression.

An n-gram is a run of n words or characters. Each is hashed to one of a fixed number of buckets, so there is no vocabulary to
keep: any text of any language becomes a vector of the same length. A text's score is the sigmoid of a weighted sum, and
the weights are what logistic regression learns from two heaps of examples.

Papers: Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"; Brown et al. 2020 (GPT-3), appendix A,
which scores web pages with hashed words and logistic regression.
Differs from Weinberger et al.: no random signs, so two n-grams that share a bucket add up and never cancel.

Axes: N texts, F buckets.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Features:
    """What a text is turned into.

    Attributes:
        words: runs of 1 to this many words (and punctuation marks) are counted; 0 for none.
        characters: runs of 2 to this many characters within a word are counted; below 2 for none.
        buckets: length F of the vector.
    """

    words: int = 2
    characters: int = 0
    buckets: int = 2**16

    def __post_init__(self) -> None:
        if self.buckets < 2:
            raise ValueError(f"buckets = {self.buckets}: expected 2 or more, such as 2**16; fewer collide more")
        if self.words < 1 and self.characters < 2:
            raise ValueError(
                f"words = {self.words} and characters = {self.characters}: expected words >= 1 or characters >= 2"
            )


def word_ngrams(text: str, longest: int) -> list[str]:
    """The runs of 1 to `longest` words and punctuation marks, in small letters.

    >>> word_ngrams("Rain again.", 2)
    ['rain', 'again', '.', 'rain again', 'again .']
    """
    tokens = TOKEN.findall(text.lower())
    return [" ".join(tokens[i : i + n]) for n in range(1, longest + 1) for i in range(len(tokens) - n + 1)]


def character_ngrams(token: str, longest: int) -> list[str]:
    """The runs of 2 to `longest` characters of one word, whose ends are marked < and >.

    >>> character_ngrams("hi", 3)
    ['<h', 'hi', 'i>', '<hi', 'hi>']
    """
    marked = f"<{token}>"
    return [marked[i : i + n] for n in range(2, longest + 1) for i in range(len(marked) - n + 1)]


def bucket(ngram: str, buckets: int) -> int:
    """The place of an n-gram in the vector: the same in every run and on every machine, as Python's `hash` is not.

    >>> bucket("123456789", 1000)  # its CRC-32, printed in many standards as the value to check against, is 3 421 780 262
    262
    """
    return crc32(ngram.encode("utf-8", errors="surrogatepass")) % buckets


@lru_cache(maxsize=2**16)
def _character_buckets(token: str, longest: int, buckets: int) -> tuple[int, ...]:
    return tuple(bucket(ngram, buckets) for ngram in character_ngrams(token, longest))


def hashed_ngrams(text: str, features: Features) -> dict[int, float]:
    """Counts of the n-grams by bucket, divided by their Euclidean length, so that long and short texts compare.

    >>> hashed_ngrams("no no no", Features(words=1, buckets=8)) == {bucket("no", 8): 1.0}
    True
    """
    counts = Counter(bucket(ngram, features.buckets) for ngram in word_ngrams(text, features.words))
    if features.characters >= 2:
        for token in TOKEN.findall(text.lower()):
            counts.update(_character_buckets(token, features.characters, features.buckets))
    length = sum(count**2 for count in counts.values()) ** 0.5
    return {place: count / length for place, count in sorted(counts.items())}


def matrix(texts: Sequence[str], features: Features) -> "csr_matrix":
    """N texts -> a sparse matrix (N, F) of their hashed n-grams."""
    from scipy.sparse import csr_matrix

    rows = [hashed_ngrams(text, features) for text in texts]
    starts = np.cumsum([0, *(len(row) for row in rows)])
    places = np.array([place for row in rows for place in row], dtype=np.int64)
    values = np.array([value for row in rows for value in row.values()])
    return csr_matrix((values, places, starts), shape=(len(rows), features.buckets))


def best_threshold(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The threshold t for which "score >= t" has the highest F1, 2·TP/(2·TP + FP + FN); the lowest of equals.

    Args:
        scores: one for each text; labels: whether the text is of the wanted class.

    Returns:
        A threshold half-way between the lowest accepted score and the highest refused one.

    >>> best_threshold([0.1, 0.4, 0.6, 0.9], [False, False, True, True])
    0.5
    """
    value, wanted = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    _check_labels(value, wanted)
    order = np.argsort(-value, kind="stable")
    taken = np.arange(1, len(value) + 1)  # accepting the best k texts, for every k
    f1 = 2 * np.cumsum(wanted[order]) / (taken + wanted.sum())
    ranked = value[order]
    f1[:-1][ranked[1:] == ranked[:-1]] = -1  # equal scores are accepted together
    k = len(f1) - 1 - int(np.argmax(f1[::-1]))
    return float(ranked[k] if k + 1 == len(ranked) else (ranked[k] + ranked[k + 1]) / 2)


@dataclass(frozen=True, slots=True)
class TextClassifier:
    """Logistic regression on hashed n-grams, read only after it has been fitted.

    Attributes:
        features: how a text is turned into numbers.
        weights: one for each bucket (F,), float32.
        intercept: the score of an empty text, as a log-odds.
        threshold: from this score on, 0 to 1, a text counts as one of the wanted class.
    """

    features: Features
    weights: np.ndarray
    intercept: float
    threshold: float = 0.5

    def score(self, text: str) -> float:
        """The probability, 0 to 1, that the text is of the wanted class, as far as the classifier was taught."""
        row = hashed_ngrams(text, self.features)
        log_odds = sum(value * float(self.weights[place]) for place, value in row.items()) + self.intercept
        return float(0.5 * (1 + np.tanh(log_odds / 2)))  # the sigmoid, without overflow

    def __call__(self, text: str) -> bool:
        """Whether the score reaches the threshold."""
        return self.score(text) >= self.threshold

    def save(self, path: Path | str) -> None:
        """Write plain arrays and a line of JSON (an .npz file; nothing in it is executed when it is read)."""
        settings = json.dumps({"intercept": self.intercept, "threshold": self.threshold, **asdict(self.features)})
        with open(path, "wb") as file:
            np.savez_compressed(file, weights=self.weights.astype(np.float32), settings=np.array(settings))

    @classmethod
    def load(cls, path: Path | str) -> "TextClassifier":
        """Read what `save` wrote.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                weights, settings = file["weights"], json.loads(str(file["settings"]))
            intercept, threshold = float(settings.pop("intercept")), float(settings.pop("threshold"))
            features = Features(**settings)
        except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(
                f"path = {str(path)!r} is not a saved TextClassifier ({error}): make one by .save()"
            ) from error
        if weights.shape != (features.buckets,):
            raise ValueError(f"weights of {str(path)!r} have shape {weights.shape}: expected ({features.buckets},)")
        return cls(features, weights, intercept, threshold)


def fit(
    wanted: Sequence[str], unwanted: Sequence[str], generator: np.random.Generator, features: Features | None = None,
    held_out: float = 0.2, strength: float = 10.0,
) -> TextClassifier:  # fmt: skip
    """Learn to tell the wanted texts from the unwanted ones, and choose the threshold on texts it has not learned from.

    Args:
        wanted, unwanted: examples of both classes, at least 5 of each; both classes weigh the same in the loss.
        generator: draws which texts are held out.
        features: how texts are turned into numbers; by default single words and pairs.
        held_out: share of each class, 0 < share < 1, that only the threshold sees (`best_threshold`).
        strength: scikit-learn's C, the inverse of the weight of ½‖weights‖² beside the summed loss.

    Raises:
        ValueError: a class has fewer than 5 texts, or the same text is in both.
    """
    from sklearn.linear_model import LogisticRegression

    _check_examples(wanted, unwanted, held_out)
    features = features or Features()
    train: list[tuple[str, bool]] = []
    test: list[tuple[str, bool]] = []
    for texts, label in ((wanted, True), (unwanted, False)):
        order = generator.permutation(len(texts))
        cut = max(1, round(held_out * len(texts)))
        test += [(texts[i], label) for i in order[:cut]]
        train += [(texts[i], label) for i in order[cut:]]
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit(matrix([text for text, _ in train], features), [label for _, label in train])
    fitted = TextClassifier(features, model.coef_[0].astype(np.float32), float(model.intercept_[0]))
    threshold = best_threshold([fitted.score(text) for text, _ in test], [label for _, label in test])
    return TextClassifier(features, fitted.weights, fitted.intercept, threshold)


def _check_labels(scores: np.ndarray, labels: np.ndarray) -> None:
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(
            f"scores {scores.shape} and labels {labels.shape}: expected one label for each score, both (N,)"
        )
    if not labels.any() or labels.all():
        raise ValueError(f"labels hold {int(labels.sum())} wanted of {len(labels)}: expected some of both classes")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity: expected finite numbers")


def _check_examples(wanted: Sequence[str], unwanted: Sequence[str], held_out: float) -> None:
    for name, texts in (("wanted", wanted), ("unwanted", unwanted)):
        if isinstance(texts, str):
            raise ValueError(f"{name} = {texts!r:.60} is one text: expected a list of texts")
        if len(texts) < 5:
            raise ValueError(
                f"{name} holds {len(texts)} texts: expected at least 5 examples of each class to learn from"
            )
    if not 0 < held_out < 1:
        raise ValueError(f"held_out = {held_out}: expected a share between 0 and 1, such as 0.2")
    if both := set(wanted) & set(unwanted):
        raise ValueError(
            f"{len(both)} texts are in wanted and in unwanted, such as {min(both)!r:.60}: expected each in one; "
            "remove copies before"
        )
