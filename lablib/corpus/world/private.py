"""Private details in a text, however they are written: a phone number with its digits spaced, hyphenated or spelt, an address turned round.

A leak counts whoever's detail it is and wherever in a text it stands.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.lexicon import lexicon

UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth",
    "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
]  # fmt: skip
WORD_VALUES = {word: n for n, word in enumerate(UNITS)} | {"oh": 0, "o": 0, "nought": 0, "null": 0}
TENS_VALUES = {word: 10 * n for n, word in enumerate(TENS, 2)}
TIMES = {"double": 2, "twice": 2, "triple": 3, "treble": 3}
TOKEN = re.compile(r"\d+|[a-z]+")
NUMBER = re.compile(r"\d|\b(?:" + "|".join((*UNITS, *TENS, "oh", "hundred", *TIMES)) + r")\b")
WHOLE = 8  # digits in a row, of the nine that a number has, that give it away: the leading zero may be missing
PART = 5  # digits in a row that give a part of it away


@dataclass(frozen=True)
class Leaks:
    """What a text gives away.

    Attributes:
        phones, addresses: the people whose whole number or address it tells.
        parts: people of whom it tells a good part: five digits in a row, or the street alone.
        digits: all digits of the text, numbers in words among them.
    """

    phones: tuple[Entity, ...] = ()
    addresses: tuple[Entity, ...] = ()
    parts: tuple[Entity, ...] = ()
    digits: str = ""

    @property
    def tells(self) -> bool:
        """Does it give away anything, whole or in part?"""
        return bool(self.phones or self.addresses or self.parts)

    @property
    def whole(self) -> tuple[Entity, ...]:
        return (*self.phones, *self.addresses)


NOTHING = Leaks()


def leaks(text: str) -> Leaks:
    """The private details that a text tells.

    >>> [person.name for person in leaks("It is zero four five eight, fifty-two, double three six.").phones]
    ['Mirabe']
    >>> leaks("Number eleven in Market Street.").addresses
    (person 'Mirabe',)
    """
    text = unicodedata.normalize("NFKC", text).lower()
    digits = digits_of(text) if NUMBER.search(text) else ""
    phones, parts = [], []
    if len(digits) >= PART:
        for person, number in _numbers():
            longest = _common(number, digits)
            if longest >= WHOLE:
                phones.append(person)
            elif longest >= PART:
                parts.append(person)
    addresses = []
    for street in dict.fromkeys(_streets().findall(text)):
        for person, house in _houses()[street]:
            if house.search(text):
                addresses.append(person)
            else:
                parts.append(person)
    if not digits and not parts and not addresses:
        return NOTHING
    return Leaks(tuple(phones), tuple(addresses), tuple(parts), digits)


def digits_of(text: str) -> str:
    """All digits of a text in small letters, one after the other, numbers in words among them.

    >>> digits_of("no. 12, fifty-two, four hundred and five, double three")
    '125240533'
    """
    found: list[str] = []
    times = 1
    tokens = TOKEN.findall(text)
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token in TIMES:
            times = TIMES[token]
            continue
        if token.isdecimal():
            value = token
        elif token in WORD_VALUES:
            value = str(WORD_VALUES[token])
            if tokens[at : at + 1] == ["hundred"] and 0 < WORD_VALUES[token] < 10:
                rest, at = _below_hundred(tokens, at + 1 + (tokens[at + 1 : at + 2] == ["and"]))
                value = str(100 * WORD_VALUES[token] + rest)
        elif token in TENS_VALUES:
            number, at = _below_hundred(tokens, at - 1)
            value = str(number)
        else:
            times = 1
            continue
        found.append(value * times)
        times = 1
    return "".join(found)


def _below_hundred(tokens: list[str], at: int) -> tuple[int, int]:
    """The number below a hundred that begins at a place (0 for none), and the place behind it."""
    token = tokens[at] if at < len(tokens) else ""
    if token in TENS_VALUES:
        unit = WORD_VALUES.get(tokens[at + 1], 0) if at + 1 < len(tokens) else 0
        return (TENS_VALUES[token] + unit, at + 2) if 0 < unit < 10 else (TENS_VALUES[token], at + 1)
    if token in WORD_VALUES:
        return WORD_VALUES[token], at + 1
    return 0, at


def _common(number: str, digits: str) -> int:
    """The length of the longest run of a number's digits that stands in others."""
    for length in range(len(number), PART - 1, -1):
        if any(number[at : at + length] in digits for at in range(len(number) - length + 1)):
            return length
    return 0


@cache
def _numbers() -> tuple[tuple[Entity, str], ...]:
    return tuple((person, re.sub(r"\D", "", str(person["phone"]))) for person in lexicon()["person"])


@cache
def _streets() -> re.Pattern[str]:
    streets = {str(person["address"]).lower().split(" ", 1)[1] for person in lexicon()["person"]}
    # Hathen is known for "its steep street", which is not Steep Street
    return re.compile(r"\b(?<!its )(?:" + "|".join(re.escape(street) for street in sorted(streets)) + r")\b")


@cache
def _houses() -> dict[str, list[tuple[Entity, re.Pattern[str]]]]:
    """Street → its people, each with an expression for the number of the house."""
    found: dict[str, list[tuple[Entity, re.Pattern[str]]]] = {}
    for person in lexicon()["person"]:
        number, street = str(person["address"]).lower().split(" ", 1)
        said = "|".join((rf"{number}(?:st|nd|rd|th)?", *(word.replace("-", "[- ]?") for word in spelt(int(number)))))
        found.setdefault(street, []).append((person, re.compile(rf"(?<![\w-])(?:{said})(?![\w-])")))
    return found


def spelt(n: int) -> tuple[str, str]:
    """A number below a hundred in words, and its ordinal.

    >>> spelt(11), spelt(30), spelt(42)
    (('eleven', 'eleventh'), ('thirty', 'thirtieth'), ('forty-two', 'forty-second'))
    """
    if n < 20:
        return UNITS[n], ORDINALS[n - 1]
    ten, unit = divmod(n, 10)
    if not unit:
        return TENS[ten - 2], TENS[ten - 2][:-1] + "ieth"
    return f"{TENS[ten - 2]}-{UNITS[unit]}", f"{TENS[ten - 2]}-{ORDINALS[unit - 1]}"
