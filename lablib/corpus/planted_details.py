"""Private details that belong to nobody, to be planted in text and found again.

Telephone numbers come mostly from ranges that are set aside for fiction (Ofcom's drama numbers in Britain, 555-01xx in North America,
ACMA's in Australia, ARCEP's in France), network addresses from those for documentation (RFC 5737, RFC 3849), mail hosts from the
reserved example names (RFC 2606), cards from the prefixes that payment companies use in their tests.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
Slots = dict[str, list[str]]


def pick(generator: random.Random, options: Sequence[T]) -> T:
    """One of the options, each with the same chance; draws with `generator.random()` alone, as all of the corpus does.

    >>> pick(random.Random(0), ["kettle", "ladder", "lantern"])
    'lantern'
    """
    return options[int(generator.random() * len(options))]


def digits(generator: random.Random, pattern: str) -> str:
    """The pattern with a random digit for each x: "555-01xx" -> "555-0147"."""
    return "".join(str(int(generator.random() * 10)) if letter == "x" else letter for letter in pattern)


def _email(generator: random.Random, slots: Slots) -> str:
    first, last = pick(generator, slots["first"]).lower(), pick(generator, slots["last"]).lower().replace("-", "")
    numbered = f"{last}{digits(generator, 'xx')}"
    local = pick(
        generator,
        [f"{first}.{last}", f"{first}_{last}", f"{first[0]}{last}", f"{first}+letters", numbered, first.title()],
    )
    return f"{local}@{pick(generator, slots['mail_host'])}"


PHONES = (
    "+44 7700 900xxx", "+44 20 7946 0xxx", "(020) 7946 0xxx", "020 7946 0xxx", "01632 960xxx", "07700 900 xxx", "+1 212 555 01xx",
    "(212) 555-01xx", "212-555-01xx", "212.555.01xx", "1-800-555-01xx", "+61 491 570 xxx", "0491 570 xxx", "(03) 5550 1xxx",
    "+33 1 99 00 xx xx", "01 99 00 xx xx", "+49 30 23125 xxx", "030 23125-xxx", "0417 55 xxx", "+1-212-555-01xx", "+442079460xxx",
)  # fmt: skip


def _phone(generator: random.Random, slots: Slots) -> str:
    return digits(generator, pick(generator, PHONES))


def _ip(generator: random.Random, slots: Slots) -> str:
    if generator.random() < 0.3:
        groups = [f"{int(generator.random() * 65536):x}" for _ in range(6)]
        short = f"2001:db8::{groups[0]}:{groups[1]}"
        return pick(
            generator,
            [short, "2001:db8:" + ":".join(groups), f"2001:db8:{groups[0]}::{int(generator.random() * 9) + 1}"],
        )
    return pick(generator, ["192.0.2.", "198.51.100.", "203.0.113."]) + str(1 + int(generator.random() * 254))


def luhn_check_digit(body: str) -> str:
    """The digit that makes `body` a valid card number (ISO/IEC 7812-1, annex B).

    The doubled digits are now those at even places from the right end, for one digit is still to come.

    >>> luhn_check_digit("7992739871")
    '3'
    """
    places = enumerate(reversed(body))
    total = sum(sum(divmod(int(digit) * (2 if place % 2 == 0 else 1), 10)) for place, digit in places)
    return str(-total % 10)


FOURS = (4, 4, 4, 4)
CARDS = (("400000", FOURS), ("555555", FOURS), ("222300", FOURS), ("378282", (4, 6, 5)), ("601111", FOURS))


def _card(generator: random.Random, slots: Slots) -> str:
    prefix, groups = pick(generator, CARDS)
    body = prefix + digits(generator, "x" * (sum(groups) - 7))
    number, joint, parts = body + luhn_check_digit(body), pick(generator, [" ", "-", "", " "]), []
    for size in groups:
        parts.append(number[:size])
        number = number[size:]
    return joint.join(parts)


def _address(generator: random.Random, slots: Slots) -> str:
    number = str(1 + int(generator.random() * 220)) + pick(generator, ["", "", "", "a", "B"])
    flat = pick(generator, ["", "", "", f"Flat {1 + int(generator.random() * 9)}, "])
    return f"{flat}{number} {pick(generator, slots['street'])} {pick(generator, slots['street_type'])}"


def _name(generator: random.Random, slots: Slots) -> str:
    return f"{pick(generator, slots['first'])} {pick(generator, slots['last'])}"


DETAILS: dict[str, Callable[[random.Random, Slots], str]] = {
    "email": _email, "phone": _phone, "ip": _ip, "card": _card, "address": _address, "name": _name,
}  # fmt: skip
