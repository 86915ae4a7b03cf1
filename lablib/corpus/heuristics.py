"""Numbers that say what a text looks like: how long its words are, how much it repeats itself, how its lines end.

Each is a pure function of the text; `lablib.corpus.quality` sets bounds on them.

Papers: Raffel et al. 2020, "Exploring the Limits of Transfer Learning" (C4; §2.2); Rae et al. 2021, "Scaling Language Models:
Methods, Analysis & Insights from Training Gopher" (MassiveText; appendix A1.1); Penedo et al. 2023, "The RefinedWeb Dataset"
(its line-wise filter); Penedo et al. 2024, "The FineWeb Datasets".

A word is what stands between white space; a line is never empty; paragraphs are parted by blank lines. A share is a
fraction from 0 to 1, and 0 where there is nothing to take a share of, so no function raises on an empty text.
Differs from the papers: none of them prints its code, and the word splitters of the known implementations differ.
"""

import re
from collections.abc import Iterable

from lablib.corpus.repetition import duplicate_ngram_share as duplicate_ngram_share
from lablib.corpus.repetition import duplicate_share as duplicate_share
from lablib.corpus.repetition import top_ngram_share as top_ngram_share

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))  # Rae et al. 2021, A1.1
BULLETS = ("•", "-")
TERMINAL = (".", "!", "?", '"', "'", "”", "’")
CLOSING = " )]}*_`\t"  # what may stand behind the end of a sentence
BOILERPLATE = (
    "terms of use", "terms of service", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies",
    "accept all cookies", "all rights reserved", "enable javascript", "subscribe to our newsletter",
    "read more", "click here", "share this", "add to cart", "skip to content", "back to top",
)  # fmt: skip
_BOILERPLATE = re.compile(rf"\b(?:{'|'.join(map(re.escape, BOILERPLATE))})\b", re.IGNORECASE)
_UNFINISHED = re.compile(r"(?:[\w,;–-]|(?:\.\.\.|…)\W*(?:(?:read )?more|continued)?\W*)$", re.IGNORECASE)
_ITEM = re.compile(r"(?:[-*•–]|\d{1,3}[.)])\s+")
_COUNTER = re.compile(
    r"\W*\d[\d.,]*\s*(?:likes?|shares?|comments?|views?|replies|retweets?|followers?)?\W*", re.IGNORECASE
)


def words(text: str) -> list[str]:
    """What stands between white space, if anything of it is a letter or a digit.

    >>> words("Oh -- it's 3 o'clock!")
    ['Oh', "it's", '3', "o'clock!"]
    """
    return [word for word in text.split() if any(map(str.isalnum, word))]


def lines(text: str) -> list[str]:
    """The lines that are not blank, without the space around them.

    >>> lines("one\\n\\n  two \\n")
    ['one', 'two']
    """
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(text: str) -> list[str]:
    """The blocks of lines that blank lines part.

    >>> paragraphs("a\\nb\\n \\n\\nc")
    ['a\\nb', 'c']
    """
    return [block.strip() for block in re.split(r"\n[^\S\n]*\n\s*", text) if block.strip()]


def share(flags: Iterable[bool]) -> float:
    """How much of it is true; 0 where there is nothing.

    >>> share([True, False, False, True])
    0.5
    """
    found = list(flags)
    return sum(found) / max(len(found), 1)


# ------------------------------------------------------------------ words


def word_count(text: str) -> float:
    """The number of words."""
    return float(len(words(text)))


def mean_word_length(text: str) -> float:
    """Characters of a word, on average; 0 where there is no word.

    Punctuation that touches a word counts with it. English prose has between 4 and 6.

    >>> mean_word_length("a bee, or two")  # (1 + 4 + 2 + 3)/4
    2.5
    """
    found = words(text)
    return sum(map(len, found)) / max(len(found), 1)


def symbol_ratio(text: str, symbols: Iterable[str]) -> float:
    """How often one of the symbols occurs, for each piece of text between white space.

    Args:
        text: any text.
        symbols: strings to count, such as ("...", "…"); what they share is counted once for each.

    >>> symbol_ratio("#cats #dogs and birds", ["#"])
    0.5
    """
    return sum(text.count(symbol) for symbol in symbols) / max(len(text.split()), 1)


def alphabetic_share(text: str, bullets: bool = True) -> float:
    """Share of the pieces between white space that hold at least one letter.

    Args:
        text: any text.
        bullets: count the bullets and numbers of list items among the pieces; without, a list is measured by its words.

    >>> alphabetic_share("3 + 4 is seven"), alphabetic_share("- tea\\n- milk", bullets=False)
    (0.4, 1.0)
    """
    pieces = text.split() if bullets else [piece for line in lines(text) for piece in _ITEM.sub("", line).split()]
    return share(any(map(str.isalpha, piece)) for piece in pieces)


def stop_word_count(text: str) -> float:
    """How many different words of `STOP_WORDS` occur, in small or capital letters.

    >>> stop_word_count("The cat and the hat (that cat)")
    3.0
    """
    return float(len(STOP_WORDS.intersection(re.findall(r"[a-z]+", text.lower()))))


def missing_stop_words(text: str) -> float:
    """How many different stop words are too few: two are asked for from 50 words on, one from 25, none of a shorter text.

    The published bound, two, belongs to texts of at least 50 words.

    >>> missing_stop_words("red " * 30), missing_stop_words("the red " * 15), missing_stop_words("red rose")
    (1.0, 0.0, 0.0)
    """
    return max(0.0, min(word_count(text) // 25, 2.0) - stop_word_count(text))


def odd_word_share(text: str, least: int = 1) -> float:
    """Share of the words of letters alone that no English reader could say aloud: without a vowel, or with five consonants in a row.

    "strengths" and "nth" are odd by this, so a bound on it must leave room. Words in capitals are left out: they may be initials.

    Args:
        text: any text.
        least: fewer odd words than this count as none, since in a short text a single name is a large share.

    >>> odd_word_share("the xkqz sat on a mat")  # one of six
    0.16666666666666666
    """
    plain = [word.strip(".,;:!?()\"'").lower() for word in text.split() if not word.isupper() or len(word) == 1]
    plain = [word for word in plain if word.isascii() and word.isalpha() and len(word) > 2]
    odd = re.compile(r"[^aeiouy]+|.*(?:[bcdfghjklmnpqrstvwxz]{5}|([a-z])\1\1).*")
    found = sum(odd.fullmatch(word) is not None for word in plain)
    return found / max(len(text.split()), 1) if found >= least else 0.0


# ------------------------------------------------------------------ lines


def bullet_line_share(text: str) -> float:
    """Share of the lines that begin with a bullet.

    >>> bullet_line_share("Buy:\\n- milk\\n- tea\\n• bread")
    0.75
    """
    return share(line.startswith(BULLETS) for line in lines(text))


def ellipsis_line_share(text: str) -> float:
    """Share of the lines that end in an ellipsis, as teasers do.

    >>> ellipsis_line_share("The secret is...\\nRead on.")
    0.5
    """
    return share(line.endswith(("...", "…")) for line in lines(text))


def terminal_line_share(text: str) -> float:
    """Share of the lines that end as a sentence does: . ! ? or a quotation mark, or one of these and a bracket behind it.

    An ellipsis is no end (Raffel et al. 2020 keep only the lines that end so; FineWeb asks for 12 % of them).

    >>> terminal_line_share("Home\\nContact us\\nThe shop is open.\\nCome in! (Or not.)")
    0.5
    """
    ends = (line.rstrip(CLOSING) for line in lines(text))
    return share(line.endswith(TERMINAL) and not line.endswith("...") for line in ends)


def short_line_share(text: str, length: int = 30) -> float:
    """Share of the lines with at most `length` characters.

    >>> short_line_share("Home\\nAbout\\nThe shop opens at nine and closes at noon.")
    0.6666666666666666
    """
    return share(len(line) <= length for line in lines(text))


def line_break_ratio(text: str) -> float:
    """Line breaks for each piece between white space: above 0.3 a text is a list (FineWeb's filter in datatrove).

    >>> line_break_ratio("tea\\nmilk\\nbread")
    0.6666666666666666
    """
    return text.count("\n") / max(len(text.split()), 1)


def flagged_line_share(text: str) -> float:
    """Share of the words that stand in lines no sentence is made of: mostly capitals, only numbers, or a counter such as "3 likes".

    After the line-wise filter of Penedo et al. 2023. "Mostly" is more than half of the letters; a line of one word, which
    they discard too, is left out, for a heading is often one word.

    >>> flagged_line_share("FREE MONEY\\nIt rained on us.\\n12 likes")  # 4 of 8 words
    0.5
    """
    counts = [(line, len(line.split())) for line in lines(text)]
    flagged = sum(n for line, n in counts if (n > 1 and _mostly_capitals(line)) or _COUNTER.fullmatch(line))
    return flagged / max(sum(n for _, n in counts), 1)


def _mostly_capitals(line: str) -> bool:
    letters = [character for character in line if character.isalpha()]
    return 2 * sum(map(str.isupper, letters)) > len(letters)


def boilerplate_rate(text: str) -> float:
    """Phrases of menus, cookie banners and shops, for each 100 words.

    >>> boilerplate_rate("Read more about the heron that we saw in the river.")  # 1 phrase, 11 words
    9.090909090909092
    """
    return 100 * len(_BOILERPLATE.findall(text)) / max(len(text.split()), 1)


def sentence_count(text: str) -> float:
    """How often . ! or ? (and what closes behind it) is followed by white space or the end: C4 asks for three sentences.

    "e.g. this" counts as an end, which a learned splitter would know better.

    >>> sentence_count("It rains. (Again!) Why? Because of 3.5 clouds")
    3.0
    """
    return float(len(re.findall(r"[.!?]['\"”’)\]]*(?=\s|$)", text)))


def ends_unfinished(text: str) -> float:
    """1 where the text ends inside a sentence, as one that was cut off does: in a letter, a digit, a comma, or an ellipsis; else 0.

    A list item or a menu ("Home | News") at the end is no sentence, so nothing is said of it, and a name below a letter is passed over.

    >>> ends_unfinished("The boat went over the"), ends_unfinished("The boat sank."), ends_unfinished("The boat... [more]")
    (1.0, 0.0, 1.0)
    >>> ends_unfinished("Dear Ada,\\ncome soon.\\nYours,\\nTam Orley"), ends_unfinished("Dear Ada,\\ncome soon and")
    (0.0, 1.0)
    """
    found = lines(text)
    while len(found) > 1 and _UNFINISHED.search(found[-1]) and _signs(found[-1]):
        found.pop()
    last = found[-1] if found else ""
    return float(not _ITEM.match(last) and "|" not in last and _UNFINISHED.search(last) is not None)


def _signs(line: str) -> bool:
    """Whether it may be the name below a letter, or its "Yours faithfully,": at most four words, the first with a capital."""
    return line[0].isupper() and len(line.split()) <= 4 and not {":", "…"} & set(line) and "..." not in line
