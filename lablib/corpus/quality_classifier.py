"""A learned filter for quality: a classifier's score for each text, and two ways to turn scores into a corpus.

The rules of `lablib.corpus.quality` see what can be counted; a salad of good words passes most of them. A classifier that was shown a
heap of good and a heap of bad texts sees which words follow which. It also learns whatever else tells the heaps apart,
subject and dialect included, so a threshold on it makes a corpus more like the good heap, not simply better.

Papers: Brown et al. 2020 (GPT-3), appendix A: hashed words, logistic regression, curated texts against raw web pages, and a noisy
threshold; Penedo et al. 2024 (FineWeb-Edu): a classifier taught by a language model's marks from 0 to 5, kept from 3 on.
"""

from collections.abc import Sequence

import numpy as np

from lablib.corpus.text_classifier import Features, TextClassifier, fit

FEATURES = Features(words=2, characters=3)  # characters catch the words that no training text holds
GPT3_ALPHA = 9.0  # Brown et al. 2020, appendix A


def train(good: Sequence[str], bad: Sequence[str], generator: np.random.Generator) -> TextClassifier:
    """Learn quality from examples; the threshold comes from a fifth of the texts that is held out.

    Args:
        good, bad: at least 5 texts of each; no text in both.
        generator: draws the held-out fifth.

    Raises:
        ValueError: a class has fewer than 5 texts, or the same text is in both.
    """
    return fit(good, bad, generator, FEATURES)


def chance_to_keep(score: float, alpha: float = GPT3_ALPHA) -> float:
    """The probability that GPT-3's noisy threshold keeps a text: (2 − score)^(−alpha).

    It keeps a text where a draw from a Pareto distribution (that of Lomax, P(x > t) = (1 + t)^(−alpha)) exceeds 1 − score, so a
    good text is nearly always kept and a bad one now and then: what the classifier dislikes does not vanish altogether.

    Args:
        score: the classifier's, 0 to 1.
        alpha: above 0; the larger, the stricter.

    >>> chance_to_keep(1.0), chance_to_keep(0.0, alpha=1)
    (1.0, 0.5)
    """
    if not 0 <= score <= 1:
        raise ValueError(f"score = {score}: expected a probability from 0 to 1, such as TextClassifier.score gives")
    if not alpha > 0:
        raise ValueError(f"alpha = {alpha}: expected more than 0; GPT-3 took {GPT3_ALPHA:g}")
    return (2 - score) ** -alpha


def keep_at_random(score: float, generator: np.random.Generator, alpha: float = GPT3_ALPHA) -> bool:
    """Draw whether a text is kept, with the probability `chance_to_keep`.

    Raises:
        ValueError: score is outside 0 to 1, or alpha is not above 0.
    """
    return generator.random() < chance_to_keep(score, alpha)
