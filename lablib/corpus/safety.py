"""Toxic language: a word list, a classifier, and how often each is wrong about harmless sentences.

A word list is fast, anyone can read it, and it does not know what a sentence means: it drops "we had an hour to kill" and keeps "nobody
would notice if you were gone". Dodge et al. 2021 found that C4's list had removed texts by and about minorities more often than
others. So beside the score stand sentences that only look toxic (data/toxicity/lookalikes.toml), to measure the harm.

Papers: Raffel et al. 2020 (C4; §2.2: a page with one listed word is dropped); Dodge et al. 2021, "Documenting Large Webtext Corpora";
Gehman et al. 2020, "RealToxicityPrompts".
The list and the sentences were written for the course and are mild. Left out: languages other than English, sarcasm, images.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from lablib.corpus.text_classifier import Features, TextClassifier, fit
from lablib.paths import data_path

LEET = str.maketrans("013457@$!|", "oieastasil")
EDGES = ".,;:?!\"“”'‘’()[]{}<>*_~…–—"
FEATURES = Features(words=2, characters=4)  # characters see through i-d-i-o-t and freeeak


@cache
def toxic_words() -> frozenset[str]:
    """The words and phrases of data/toxicity/words.txt, in small letters."""
    rows = data_path("toxicity/words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(row.strip() for row in rows if row.strip() and not row.startswith("#"))


@cache
def look_alikes() -> dict[str, dict[str, tuple[str, ...]]]:
    """The authored sentences: "toxic" and "benign" -> kind -> sentences."""
    table = tomllib.loads(data_path("toxicity/lookalikes.toml").read_text(encoding="utf-8"))
    return {label: {kind: tuple(found) for kind, found in kinds.items()} for label, kinds in table.items()}


def plain_words(text: str) -> list[str]:
    """The words in small letters, without punctuation around them and with digits and signs read as the letters they stand for.

    Only words with a letter in them are read so: 1d10t is a word in disguise, 455 is a number.

    >>> plain_words("Shut up, you $tup1d 1D10T! (455)")
    ['shut', 'up', 'you', 'stupid', 'idiot', '455']
    """
    stripped = [word.strip(EDGES) for word in text.lower().replace("’", "'").split()]
    return [word.translate(LEET) if any(map(str.isalpha, word)) else word for word in stripped if word]


def toxicity(text: str, listed: Iterable[str]) -> float:
    """Listed words and phrases for each 100 words of the text.

    Whole words only (a pigeon is no pig), in small or capital letters, with signs read as letters (`plain_words`).

    Args:
        text: any text.
        listed: words, or phrases of several words, in small letters; `toxic_words()` is the course's list.

    Returns:
        The rate, 0 or more; a phrase counts once; where a longer entry and a shorter one begin at the same word the
        longer one counts. 0 for a text without words.

    >>> toxicity("Shut up, PIG! The pigeon said so.", ["pig", "shut up"])  # 2 of 7 words
    28.571428571428573
    """
    found = plain_words(text)
    longest_first = sorted(listed, key=len, reverse=True)
    if not found or not longest_first:
        return 0.0
    pattern = rf"(?<!\S)(?:{'|'.join(map(re.escape, longest_first))})(?!\S)"
    return 100 * len(re.findall(pattern, " ".join(found))) / len(found)


def sentences(text: str) -> list[str]:
    """A text's sentences, parted behind . ! ? and at line breaks.

    >>> sentences("Go away! You fool.\\nIt rains")
    ['Go away!', 'You fool.', 'It rains']
    """
    return [part.strip() for part in re.split(r"(?<=[.!?])[\"”’')]*\s+|\n+", text) if part.strip()]


def train(toxic: Sequence[str], benign: Sequence[str], generator: np.random.Generator) -> TextClassifier:
    """Learn to tell toxic sentences from harmless ones; the score is the probability of "toxic".

    Args:
        toxic, benign: at least 5 sentences of each. Look-alikes belong among the benign ones: without them the classifier learns
            a word list.
        generator: draws the fifth that only the threshold sees.

    Raises:
        ValueError: a class has fewer than 5 sentences, or the same sentence is in both.
    """
    return fit(toxic, benign, generator, FEATURES)


def worst_sentence(text: str, classifier: TextClassifier) -> tuple[float, str]:
    """The sentence with the highest score: the mean over a long text would hide one cruel line.

    Returns:
        The score, 0 to 1, and the sentence; (0.0, "") for a text without sentences.
    """
    return max(((classifier.score(sentence), sentence) for sentence in sentences(text)), default=(0.0, ""))
