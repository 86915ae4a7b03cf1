"""Which language is a text in? py3langid answers (a naive Bayes model on byte n-grams, 4.6 MB, no network).

CCNet (Wenzek et al. 2020) kept what a fastText model was at least 0.5 sure of, RefinedWeb and FineWeb 0.65. The numbers of another
model's scale mean something else: `THRESHOLD` was chosen on texts of known language, see the constant.

Papers: Lui and Baldwin 2012, "langid.py: An Off-the-shelf Language Identification Tool"; Wenzek et al. 2020, "CCNet"; Penedo et
al. 2023, "The RefinedWeb Dataset".
Left out: texts in two languages, which get the one that they hold more of.
"""

import math
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

THRESHOLD = 0.15  # chosen with `bench/filters.py --tune`: short lists in plain English get as little as 0.2
SHORTEST = 60  # letters; of shorter English docstrings one in thirty reads as Danish or Latin


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(text: str) -> tuple[str, float]:
    """The likeliest language and how likely it is.

    Args:
        text: any text; code and names make the answer worse.

    Returns:
        An ISO 639-1 code such as "en", and a probability from 0 to 1; ("und", 0.0), for undetermined, where the text has fewer
        than `SHORTEST` letters.

    >>> language("The heron waits in the shallow water by the bridge until a small fish comes by.")[0]
    'en'
    >>> language("12:30 -> 14:45")
    ('und', 0.0)
    """
    if sum(map(str.isalpha, text)) < SHORTEST:
        return "und", 0.0
    found, confidence = _identifier().classify(text)
    return found, confidence if math.isfinite(confidence) else 0.0


def is_language(text: str, wanted: str = "en", threshold: float = THRESHOLD) -> bool:
    """Whether a text is in the wanted language, or too short to tell: a filter should not drop what it cannot judge.

    Args:
        text: any text.
        wanted: an ISO 639-1 code that the model knows.
        threshold: the probability that is enough, 0 to 1.

    Raises:
        ValueError: threshold is outside 0 to 1, or the model does not know the language.
    """
    check_language(wanted, threshold)
    return is_wanted(*language(text), wanted, threshold)


def is_wanted(found: str, confidence: float, wanted: str, threshold: float) -> bool:
    """Whether what `language` answered is good enough: the wanted language, likely enough, or undetermined.

    >>> is_wanted("en", 0.9, "en", 0.5), is_wanted("en", 0.4, "en", 0.5), is_wanted("und", 0.0, "en", 0.5)
    (True, False, True)
    """
    return found == "und" or (found == wanted and confidence >= threshold)


def check_language(wanted: str, threshold: float) -> None:
    """Raises ValueError where the model does not know the language, or the threshold is outside 0 to 1."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold = {threshold}: expected a probability from 0 to 1, such as {THRESHOLD}")
    if wanted not in _identifier().labels:
        raise ValueError(
            f"wanted = {wanted!r} is no language that the model knows: expected an ISO 639-1 code such as 'en'"
        )
