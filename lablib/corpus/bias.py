"""Bias: what a text or a score says about one group and not about another.

Two measurements. A *counterfactual swap* exchanges the words for two groups (she and he, one bank of a river and the other) and leaves
everything else: a fair score does not move. An *association* counts which words stand near which group, and compares that with
chance.

Papers: Church and Hanks 1990, "Word Association Norms, Mutual Information, and Lexicography" (PMI); Garg et al. 2019,
"Counterfactual Fairness in Text Classification through Robustness" (swaps); Katz et al. 1978, "Obtaining Confidence
Intervals for the Risk Ratio in Cohort Studies" (the interval); Efron 1979, "Bootstrap Methods".
Left out: a group that nobody names. A swap finds only what hangs on the words that it swaps.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np

WORD = re.compile(r"\w+(?:['’-]\w+)*")
Z95 = 1.959963984540054  # the normal distribution's 97.5 % point
GENDER = (
    ("he", "she"), ("himself", "herself"), ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"),
    ("father", "mother"), ("son", "daughter"), ("sons", "daughters"), ("brother", "sister"), ("brothers", "sisters"),
    ("husband", "wife"), ("uncle", "aunt"), ("nephew", "niece"), ("grandfather", "grandmother"), ("king", "queen"),
    ("gentleman", "lady"), ("mr", "mrs"), ("male", "female"), ("he's", "she's"), ("he'd", "she'd"), ("he'll", "she'll"),
)  # fmt: skip
# Behind "her" or "his" these begin no noun phrase, so the pronoun stands alone: "saw her at noon", "a friend of his and mine".
NO_NOUN = frozenset((
    "a", "an", "the", "this", "that", "these", "those", "and", "or", "but", "nor", "so", "yet", "if", "as", "than",
    "because", "when", "while", "where", "who", "which", "before", "after", "until", "since", "to", "of", "in", "on",
    "at", "by", "for", "with", "from", "into", "onto", "over", "under", "up", "down", "off", "out", "about", "across",
    "along", "around", "behind", "near", "through", "towards", "is", "was", "are", "were", "has", "had", "will",
    "would", "can", "could", "must", "may", "might", "should", "did", "does", "do", "not", "never", "again", "away",
    "back", "home", "there", "here", "then", "now", "today", "tomorrow", "yesterday", "tonight", "too", "very",
    "once", "twice", "how", "what", "why", "whether", "my", "your", "our", "their", "i", "you", "he", "she", "we",
    "they", "it",
))  # fmt: skip


def swap(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Exchange the two words of each pair, in both directions at once; capitals stay where they were.

    Args:
        text: any text.
        pairs: words (or phrases of several) in small letters; no word in two pairs.

    Raises:
        ValueError: a word stands in two pairs, so that its partner is not clear.

    >>> swap("Northern folk met southern folk. SOUTHERN!", [("northern", "southern")])
    'Southern folk met northern folk. NORTHERN!'
    """
    table: dict[str, str] = {}
    for pair in pairs:
        for word, other in (pair, pair[::-1]):
            if table.setdefault(word.lower(), other) != other:
                raise ValueError(
                    f"pairs has {word!r} with {table[word.lower()]!r} and with {other!r}: expected one partner each"
                )
    if not table:
        return text
    longest_first = sorted(table, key=len, reverse=True)
    pattern = re.compile(
        rf"(?<![\w'’-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-]|['’](?!s\b)\w)", re.IGNORECASE
    )
    return pattern.sub(lambda match: _like(match[0], table[match[0].lower()]), text)


def swap_gender(text: str) -> str:
    """Exchange she and he, her and him or his, and the words of `GENDER`.

    English has one word, her, where it has him and his: "her boat" -> "his boat", "saw her" -> "saw him". Which it is, the next
    word tells: a noun phrase follows a possessive, so not punctuation, the end, or a word of `NO_NOUN`.

    >>> swap_gender("She gave her boat to him. He thanked her, for his was old.")
    'He gave his boat to her. She thanked him, for hers was old.'
    """
    text = re.sub(
        r"\b(her|hers|his|him)\b(?=([^\S\n]+([\w'-]+))?)",
        lambda match: _like(match[1], "\0" + _other_pronoun(match[1].lower(), (match[3] or "").lower())),
        text,
        flags=re.IGNORECASE,
    )
    return swap(text, GENDER).replace("\0", "")


def _other_pronoun(word: str, following: str) -> str:
    owns = following != "" and following not in NO_NOUN
    return {"him": "her", "hers": "his", "her": "his" if owns else "him", "his": "her" if owns else "hers"}[word]


def _like(word: str, other: str) -> str:
    """The other word with the capitals of the first: all, the first letter, or none."""
    if word.isupper() and len(word) > 1:
        return other.upper()
    if not word[0].isupper():
        return other
    place = 1 if other[0] == "\0" else 0
    return other[:place] + other[place].upper() + other[place + 1 :]


@dataclass(frozen=True, slots=True)
class Gap:
    """A mean with a 95 % interval.

    Attributes:
        mean: in the unit of the score.
        low, high: ends of the interval.
        n: texts that the swap changed, the only ones that count.
    """

    mean: float
    low: float
    high: float
    n: int


def counterfactual_gap(
    texts: Iterable[str], swapped: Callable[[str], str], score: Callable[[str], float], generator: np.random.Generator,
    resamples: int = 2000,
) -> Gap:  # fmt: skip
    """How much a score changes, on average, when the groups are exchanged: the mean of score(text) − score(swapped(text)).

    For a group's own gap give texts that name this group alone: in texts that name both, one half cancels the other.

    Args:
        texts: those that the swap leaves as they are do not count.
        swapped: such as `swap_gender`.
        score: text -> number, such as a toxicity rate or a classifier's score.
        generator: draws the resamples of the bootstrap: the differences, drawn again with replacement (Efron 1979).
        resamples: how many; the interval's ends are the 2.5 and 97.5 % points of their means.

    Raises:
        ValueError: the swap changes none of the texts.
    """
    differences = [score(text) - score(other) for text in texts if (other := swapped(text)) != text]
    if not differences:
        raise ValueError("the swap changes none of the texts: expected some that name one of the groups")
    values = np.asarray(differences, dtype=float)
    drawn = [values[generator.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Gap(float(values.mean()), float(low), float(high), len(values))


@dataclass(frozen=True, slots=True)
class Counts:
    """In how many passages a group word stands, an attribute word, both; and how many passages there are."""

    both: int
    group: int
    attribute: int
    total: int


def count_together(passages: Iterable[str], group: Collection[str], attribute: Collection[str]) -> Counts:
    """Count the passages (sentences, say) that hold a word of the group, a word of the attribute, and one of each.

    Args:
        passages: texts; how long they are decides what "together" means.
        group, attribute: words in small letters.

    >>> count_together(["She sings.", "He sings.", "She sleeps.", "Rain."], {"she"}, {"sings"})
    Counts(both=1, group=2, attribute=2, total=4)
    """
    both = with_group = with_attribute = total = 0
    for passage in passages:
        found = set(WORD.findall(passage.lower()))
        has_group, has_attribute = not found.isdisjoint(group), not found.isdisjoint(attribute)
        total += 1
        with_group += has_group
        with_attribute += has_attribute
        both += has_group and has_attribute
    return Counts(both, with_group, with_attribute, total)


def pmi(counts: Counts, smoothing: float = 0.5) -> float:
    """Pointwise mutual information in bits: log2 of how much more often both stand together than chance would have it.

    PMI = log2( p(group, attribute) / (p(group) · p(attribute)) ); 0 is chance, 1 twice as often. The smoothing is added to each of
    the four cells of the table (both, only one, only the other, none), so that a rare pair gives no infinity.

    Args:
        counts: as `count_together` gives them.
        smoothing: 0 or more passages for each cell.

    Raises:
        ValueError: without smoothing the group, the attribute or the pair never occurs, and the logarithm has no value.

    >>> pmi(Counts(both=2, group=4, attribute=4, total=16), smoothing=0)  # 2/16 against 4/16 · 4/16: twice
    1.0
    """
    both, total = counts.both + smoothing, counts.total + 4 * smoothing
    group, attribute = counts.group + 2 * smoothing, counts.attribute + 2 * smoothing
    if min(both, group, attribute) <= 0:
        raise ValueError(
            f"{counts} with smoothing = {smoothing}: the logarithm of 0 has no value; give a smoothing such as 0.5"
        )
    return math.log2(both * total / (group * attribute))


def log_ratio(first: Counts, second: Counts, smoothing: float = 0.5) -> Gap:
    """How much likelier the attribute is beside the first group than beside the second: log2 p(attr | first)/p(attr | second).

    Returns:
        bits: 0 alike, 1 twice as likely; the interval is that of Katz et al. 1978, in bits; n counts the passages of both groups.

    Raises:
        ValueError: without smoothing one of the shares is 0.

    >>> log_ratio(Counts(40, 80, 50, 400), Counts(10, 80, 50, 400), smoothing=0).mean  # 1/2 against 1/8
    2.0
    """
    rows = [(counts.both + smoothing, counts.group + 2 * smoothing) for counts in (first, second)]
    if any(both <= 0 for both, _ in rows):
        raise ValueError(
            f"{first} and {second} with smoothing = {smoothing}: a share of 0 has no logarithm; give one such as 0.5"
        )
    shares = [both / group for both, group in rows]
    spread = Z95 * math.sqrt(sum(1 / both - 1 / group for both, group in rows))
    middle = math.log(shares[0] / shares[1])
    low, mean, high = (value / math.log(2) for value in (middle - spread, middle, middle + spread))
    return Gap(mean, low, high, first.group + second.group)
