"""Is this text worth learning from? Measured values, bounds on them, and what each bound was published in.

A rule is a number that `lablib.corpus.heuristics` measures, and the bounds that it must keep. The published sets stand side
by side; `RULES` is the choice that the course uses, and why it leaves some of them out is said there.

Papers: Raffel et al. 2020 (C4; §2.2); Rae et al. 2021 (Gopher; appendix A1.1); Penedo et al. 2023 (RefinedWeb); Penedo et
al. 2024 (FineWeb).

Left out: what changes a text instead of dropping it (C4 drops lines), and languages (`lablib.corpus.language`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from lablib.corpus import heuristics as h

INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a text breaks.

    Attributes:
        rule: the rule's name, such as "word count".
        value: what was measured.
        why: a sentence with the value, the bound and where it comes from.
    """

    rule: str
    value: float
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A measured value and its bounds; a value equal to a bound keeps the rule.

    Attributes:
        name: what is measured, unique within a set of rules.
        measure: text -> value, pure.
        low, high: the bounds, in the value's unit.
        source: the paper that set the bounds, or "this course".
    """

    name: str
    measure: Callable[[str], float]
    low: float = -INFINITY
    high: float = INFINITY
    source: str = "this course"

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"low = {self.low} and high = {self.high} of rule {self.name!r}: expected low <= high")
        if self.low == -INFINITY and self.high == INFINITY:
            raise ValueError(f"rule {self.name!r} has no bound and could never fail: give low, high or both")


def judge_text(text: str, rules: Iterable[Rule]) -> list[Finding]:
    """Measure a text by every rule and list those that it breaks.

    Args:
        text: one document.
        rules: such as `GOPHER` or `RULES`.

    Returns:
        A finding for each broken rule, in the rules' order; an empty list is a text to keep.

    >>> [finding.rule for finding in judge_text("Hm. #no", [Rule("words", h.word_count, low=3)])]
    ['words']
    """
    found = []
    for rule in rules:
        value = rule.measure(text)
        if value < rule.low:
            why = f"{rule.name} {value:.3g}: expected at least {rule.low:g} ({rule.source})"
            found.append(Finding(rule.name, value, why))
        elif value > rule.high:
            why = f"{rule.name} {value:.3g}: expected at most {rule.high:g} ({rule.source})"
            found.append(Finding(rule.name, value, why))
    return found


def _lines(text: str) -> float:
    return h.duplicate_share(h.lines(text))


def _line_characters(text: str) -> float:
    return h.duplicate_share(h.lines(text), of_characters=True)


def _paragraphs(text: str) -> float:
    return h.duplicate_share(h.paragraphs(text))


def _paragraph_characters(text: str) -> float:
    return h.duplicate_share(h.paragraphs(text), of_characters=True)


def _curly(text: str) -> float:
    return float(text.count("{"))


def _lorem(text: str) -> float:
    return float(text.lower().count("lorem ipsum"))


_RAE = "Rae et al. 2021, A1.1"
_C4 = "Raffel et al. 2020, §2.2"
_REFINED = "after Penedo et al. 2023"
_FINE = "Penedo et al. 2024"

GOPHER = (
    Rule("word count", h.word_count, 50, 100_000, _RAE),
    Rule("mean word length", h.mean_word_length, 3, 10, _RAE),
    Rule("hash-to-word ratio", partial(h.symbol_ratio, symbols=("#",)), high=0.1, source=_RAE),
    Rule("ellipsis-to-word ratio", partial(h.symbol_ratio, symbols=("...", "…")), high=0.1, source=_RAE),
    Rule("bullet lines", h.bullet_line_share, high=0.9, source=_RAE),
    Rule("lines ending in an ellipsis", h.ellipsis_line_share, high=0.3, source=_RAE),
    Rule("words with a letter", h.alphabetic_share, low=0.8, source=_RAE),
    Rule("stop words", h.stop_word_count, low=2, source=_RAE),
)
GOPHER_REPETITION = (
    Rule("duplicate lines", _lines, high=0.30, source=_RAE),
    Rule("duplicate paragraphs", _paragraphs, high=0.30, source=_RAE),
    Rule("characters in duplicate lines", _line_characters, high=0.20, source=_RAE),
    Rule("characters in duplicate paragraphs", _paragraph_characters, high=0.20, source=_RAE),
    *(
        Rule(f"characters in the top {n}-gram", partial(h.top_ngram_share, n=n), high=high, source=_RAE)
        for n, high in ((2, 0.20), (3, 0.18), (4, 0.16))
    ),
    *(
        Rule(f"characters in duplicate {n}-grams", partial(h.duplicate_ngram_share, n=n), high=high, source=_RAE)
        for n, high in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    ),
)
C4 = (
    Rule("sentences", h.sentence_count, low=3, source=_C4),  # the first preprint, and datatrove after it, ask for 5
    Rule("curly brackets", _curly, high=0, source=_C4),
    Rule("lorem ipsum", _lorem, high=0, source=_C4),
)
REFINEDWEB = (Rule("words in flagged lines", h.flagged_line_share, high=0.05, source=_REFINED),)
FINEWEB = (
    Rule("lines ending in punctuation", h.terminal_line_share, low=0.12, source=_FINE),
    Rule("short lines", h.short_line_share, high=0.67, source=_FINE),
    Rule("characters in duplicate lines", _line_characters, high=0.10, source=_FINE),
)
OURS = (
    Rule("boilerplate phrases per 100 words", h.boilerplate_rate, high=10),
    Rule("unsayable words", partial(h.odd_word_share, least=2), high=0.15),
    Rule("ends inside a sentence", h.ends_unfinished, high=0),
)

# What the course keeps its texts by: the published bounds, made to fit texts that are shorter than web pages, and lists.
# - 50 words, and two stop words whatever the length, would drop most of them: 5 words, and stop words in proportion.
# - In a text of thirty words a phrase that is said twice is above every bound on the most frequent n-gram: it must be said thrice.
# - The bullet of a list item is no word without a letter.
# - Left out: C4's bounds (no curly bracket, three sentences) drop texts about programs and short ones; FineWeb's short lines and
#   line ends drop poems and lists; RefinedWeb's 5 % of words in flagged lines drops free licences, for their warranty in capitals.
RULES = (
    Rule("word count", h.word_count, 5, 100_000, "after Rae et al. 2021, who ask for 50 of a web page"),
    *(rule for rule in GOPHER[1:-1] if rule.name != "words with a letter"),
    Rule("words with a letter", partial(h.alphabetic_share, bullets=False), low=0.8, source=f"without bullets, {_RAE}"),
    Rule("stop words missing", h.missing_stop_words, high=0, source=f"in proportion for short texts, {_RAE}"),
    *(rule for rule in GOPHER_REPETITION if "top" not in rule.name),
    *(
        Rule(
            f"characters in the top {n}-gram",
            partial(h.top_ngram_share, n=n, least=3),
            high=high,
            source=f"said thrice, {_RAE}",
        )
        for n, high in ((2, 0.20), (3, 0.18), (4, 0.16))
    ),
    Rule("words in flagged lines", h.flagged_line_share, high=0.6, source=f"{_REFINED}, who take 0.05"),
    *OURS,
)
# A docstring or README often ends in an example or without a full stop: there the rule about the end measures a habit.
CRAWL_RULES = tuple(rule for rule in RULES if rule.name != "ends inside a sentence")


def findings(text: str, rules: Iterable[Rule] = RULES) -> tuple[Finding, ...]:
    """The rules that a text breaks; none means that it is kept.

    Args:
        text: one document.
        rules: the bounds to keep; the course's choice unless said, `CRAWL_RULES` for docstrings and READMEs.

    Returns:
        A finding for each broken rule, in the rules' order.

    Raises:
        TypeError: text is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text = {text!r:.60} is {type(text).__name__}: expected str; for a Document pass its .text")
    return tuple(judge_text(text, rules))
