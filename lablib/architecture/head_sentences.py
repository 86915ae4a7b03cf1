"""Sentences with marked relations between words: the questions that `head_roles` puts to every head.

The sentences stand in `data/head_sentences.toml`, which explains its own notation. A relation names words by
their text ("it -> cow, not farmer"); this module turns the names into positions, refusing what is not exact.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

RELATIONS = ("pronoun", "subject", "determiner", "object")


@dataclass(frozen=True)
class Relation:
    """Positions of words in their sentence, counted from 0: where a head should look from `source`.

    Attributes:
        source: the word whose attention is examined.
        target: the word where it should look.
        rival: another noun that a careless reader could choose, or None.
    """

    source: int
    target: int
    rival: int | None = None


@dataclass(frozen=True)
class Sentence:
    """A text, its words and punctuation marks, and its relations by kind (a key is one of `RELATIONS`)."""

    text: str
    words: tuple[str, ...]
    relations: dict[str, tuple[Relation, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Twin:
    """Two sentences that differ in one word, which decides which of two nouns the pronoun stands for.

    Attributes:
        frame: the text with a hole.
        words: the two words for the hole.
        pronoun: as it is written.
        nouns: what the pronoun stands for with the first word, and with the second.
        first, second: the sentences; the pronoun's target in one is its rival in the other.
    """

    frame: str
    words: tuple[str, str]
    pronoun: str
    nouns: tuple[str, str]
    first: Sentence
    second: Sentence

    @property
    def relation(self) -> Relation:
        """Pronoun, its noun and the rival, as positions in the first sentence."""
        return self.first.relations["pronoun"][0]


def split_words(text: str) -> tuple[str, ...]:
    """Words and punctuation marks; an apostrophe inside a word belongs to it.

    >>> split_words("It didn't stop, though.")
    ('It', "didn't", 'stop', ',', 'though', '.')
    """
    return tuple(re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)?|[^\sA-Za-z]", text))


def is_word(token: str) -> bool:
    """Whether this is a word, not punctuation or a special token such as [SEP].

    >>> [is_word(token) for token in ("didn't", "##ing", ".", "[SEP]")]
    [True, True, False, False]
    """
    return any(letter.isalnum() for letter in token) and not token.startswith("[")


def find_word(words: Sequence[str], name: str) -> int:
    """The position of the word that `name` names: "street", or "the#2" for the second "the".

    >>> find_word(("The", "dog", "saw", "the", "cat", "on", "the", "mat"), "the#2")
    6

    Raises:
        ValueError: no such word, or several and no number.
    """
    word, _, number = name.partition("#")
    places = [place for place, candidate in enumerate(words) if candidate == word]
    if not places or (number and not 1 <= int(number) <= len(places)):
        raise ValueError(f"{name!r} is not in {' '.join(words)!r}, where {word!r} stands {len(places)} times")
    if len(places) > 1 and not number:
        raise ValueError(
            f"{name!r} stands {len(places)} times in {' '.join(words)!r}; expected a number, as in '{word}#1'"
        )
    return places[int(number or 1) - 1]


def parse_relation(words: Sequence[str], written: str) -> Relation:
    """Turn "it -> cow, not farmer" into positions.

    >>> parse_relation(("The", "cow", "slept", "where", "it", "was"), "it -> cow")
    Relation(source=4, target=1, rival=None)

    Raises:
        ValueError: another form, or a word that is not there or not unique.
    """
    match = re.fullmatch(r"(\S+) -> ([^\s,]+)(?:, not (\S+))?", written)
    if match is None:
        raise ValueError(f"relation is {written!r}; expected 'from -> to' or 'from -> to, not rival'")
    source, target, rival = (None if name is None else find_word(words, name) for name in match.groups())
    if source is None or target is None or len({source, target, rival}) < 3:
        raise ValueError(f"relation is {written!r}; expected different words in its places")
    return Relation(source, target, rival)


def make_twin(frame: str, words: Sequence[str], pronoun: str, nouns: Sequence[str]) -> Twin:
    """Fill the hole of a frame with two words in turn; with `words[i]` the pronoun stands for `nouns[i]`.

    Raises:
        ValueError: not exactly one hole, two words and two nouns.
    """
    if frame.count("{}") != 1 or len(words) != 2 or len(nouns) != 2:
        raise ValueError(
            f"twin {frame!r} has {frame.count('{}')} holes, words {words!r} and nouns {nouns!r}; "
            "expected one hole {}, two words and two nouns"
        )
    sentences = []
    for word, target, rival in zip(words, nouns, reversed(nouns), strict=True):
        text = frame.format(word)
        split = split_words(text)
        relation = parse_relation(split, f"{pronoun} -> {target}, not {rival}")
        sentences.append(Sentence(text, split, {"pronoun": (relation,)}))
    return Twin(frame, (words[0], words[1]), pronoun, (nouns[0], nouns[1]), *sentences)


def foreign_twins(twins: Sequence[Twin], step: int = 11) -> list[Twin]:
    """A control: each frame with the two words of another pair, so that nothing decides between the nouns.

    Every second pair of frames gets the words in the opposite order, so that "the first word is mostly one for a
    living thing" cannot carry over.
    """
    filled = []
    for i, twin in enumerate(twins):
        words = twins[(i + step) % len(twins)].words
        filled.append(make_twin(twin.frame, words[::-1] if i // 2 % 2 else words, twin.pronoun, twin.nouns))
    return filled


def read_sentences(path: Path) -> tuple[list[Sentence], list[Twin]]:
    """The single sentences and the twins of a file in the notation of `data/head_sentences.toml`.

    Raises:
        ValueError: an unknown key, or a relation that names no word, with the sentence it stands in.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    singles = []
    for entry in content.get("sentence", []):
        unknown = set(entry) - {"text", *RELATIONS}
        if unknown:
            raise ValueError(f"{entry['text']!r} has the keys {sorted(unknown)}; expected some of {RELATIONS}")
        words = split_words(entry["text"])
        relations = {
            kind: tuple(parse_relation(words, written) for written in entry[kind])
            for kind in RELATIONS
            if kind in entry
        }
        singles.append(Sentence(entry["text"], words, relations))
    return singles, [make_twin(**entry) for entry in content.get("twin", [])]
