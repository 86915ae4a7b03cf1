"""What spoils a text: slots filled, sentences and blocks put in, words changed, and whole documents that are no good.

Each is a function of a good text and a generator; `lablib.corpus.planted` draws which one is used, and keeps what it did.
"""

import random
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from lablib.corpus.planted_details import DETAILS, digits, pick
from lablib.corpus.spans import Span
from lablib.paths import data_path


@cache
def texts() -> dict[str, Any]:
    """The authored sentences of data/planted/texts.toml."""
    return tomllib.loads(data_path("planted/texts.toml").read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    """Every full name that can be planted, as the list that a name finder is given."""
    slots = texts()["slots"]
    return tuple(f"{first} {last}" for first in slots["first"] for last in slots["last"])


def fill(template: str, generator: random.Random) -> tuple[str, tuple[Span, ...]]:
    """A template with its slots filled, and where its private details stand."""
    slots, text, spans = texts()["slots"], "", []
    for number, part in enumerate(re.split(r"\{(\w+)\}", template)):
        if number % 2 and part in DETAILS:
            value = DETAILS[part](generator, slots)
            spans.append(Span(len(text), len(text) + len(value), part))
        elif number % 2:
            numbers = {
                "n1": digits(generator, "x"),
                "n2": digits(generator, "4x"),
                "n3": digits(generator, "7xx"),
                "d2": digits(generator, "1x"),
            }
            value = numbers[part] if part in numbers else pick(generator, slots[part])
        else:
            value = part
        text += value
    return text, tuple(spans)


def insert(
    text: str, addition: str, generator: random.Random, block: bool = False, taken: Sequence[Span] = ()
) -> tuple[str, int]:
    """The text with a sentence put behind one of its sentences, or a block between two paragraphs; and where the addition starts.

    Args:
        taken: spans that nothing is put into.
    """
    joint = "\n\n" if block else " "
    ends = r"(?=\n\n|\Z)|\A" if block else r"(?<=[.!?])(?=[ \n]|\Z)"
    places = [found.start() for found in re.finditer(ends, text)] or [len(text)]
    places = [place for place in places if not any(span.start < place < span.stop for span in taken)]
    place = pick(generator, places)
    if block and place == 0:
        return addition + joint + text, 0
    return text[:place] + joint + addition + text[place:], place + len(joint)


def edited(text: str, rate: float, generator: random.Random) -> str:
    """The text with about `rate` of its words changed, at least one: replaced by, swapped with or followed by another, or dropped."""
    pieces = re.split(r"(\s+)", text)  # words at even places, the white space between them at odd ones
    places = [place for place in range(0, len(pieces), 2) if pieces[place]]
    chosen = [place for place in places if generator.random() < rate] or [pick(generator, places)]
    pool = [pieces[place].strip('.,;:!?"').lower() for place in places]
    for place in chosen:
        other = pick(generator, [word for word in pool if word not in pieces[place].lower()] or ["again"])
        pieces[place] = pick(generator, ["", f"{pieces[place]} {other}", other, other])
    return "".join(pieces)


# ------------------------------------------------------------------ whole documents that are no good


def _word(generator: random.Random, letters: str = "bcdfghjklmnpqrstvwxzaeiouy") -> str:
    return "".join(pick(generator, letters) for _ in range(1 + int(generator.random() * 11)))


def _gibberish(text: str, generator: random.Random) -> str:
    letters = pick(generator, ["bcdfghjklmnpqrstvwxzaeiouy", "asdfghjkl", "qwertzuiop"])
    return re.sub(r"[^\W\d_]+", lambda found: _word(generator, letters), text)


def _shuffled_words(text: str, generator: random.Random) -> str:
    words = text.split()
    return " ".join(word for _, word in sorted((generator.random(), word) for word in words))


def _symbols(text: str, generator: random.Random) -> str:
    soup = [
        pick(generator, ["#", "@@", "***", "=>", "~~", "{}", "|", "§§", "//", "<>", "^_^", "…", "###"])
        for _ in text.split()
    ]
    return " ".join(
        word if generator.random() < 0.4 else symbol for word, symbol in zip(text.split(), soup, strict=True)
    )


def _repeated_lines(text: str, generator: random.Random) -> str:
    lines = [line for line in re.split(r"(?<=[.!?])\s+", text) if line.strip()][:3]
    return "\n".join(pick(generator, lines) for _ in range(12 + int(generator.random() * 20)))


def _other_language(text: str, generator: random.Random) -> str:
    sentences = texts()["language"][pick(generator, ["french", "german", "spanish", "italian"])]
    return " ".join(sentence for _, sentence in sorted((generator.random(), sentence) for sentence in sentences)[:7])


def _machine(text: str, generator: random.Random) -> str:
    layout = pick(generator, [
        "2026-04-1x 1x:4x:2x,xxx {level} [{service}] request xxxx done in xx ms",
        "{level}: {service}/worker-x: retry x of 5 (code xxx)",
        "{host}-xx,{service},xxx,xx.xx,xxxx,ok",
        "-rw-r--r-- 1 {service} users  xxxxx Apr 1x 1x:4x {service}-x.xx.tar.gz",
        "{service}.worker.x.timeout = xxx",
    ])  # fmt: skip
    return "\n".join(fill(digits(generator, layout), generator)[0] for _ in range(10 + int(generator.random() * 25)))


def _shouting(text: str, generator: random.Random) -> str:
    lines = texts()["shouting"]["lines"]
    return "\n".join(fill(pick(generator, lines), generator)[0].upper() for _ in range(5 + int(generator.random() * 6)))


def _truncated(text: str, generator: random.Random) -> str:
    place = len(text) // 4 + int(generator.random() * len(text) / 2)
    head = text[: text.rfind(" ", 0, place)] if " " in text[:place] else text[:place]  # a page's own cut: between words
    if generator.random() < 0.5:
        return head.rstrip(" .,;!?") + pick(generator, texts()["boilerplate"]["cut"])
    return text[:place].rstrip(" .,;!?\n")  # a broken download's: anywhere


WHOLE: dict[str, Callable[[str, random.Random], str]] = {
    "gibberish": _gibberish, "shuffled_words": _shuffled_words, "symbols": _symbols, "repeated_lines": _repeated_lines,
    "other_language": _other_language, "machine": _machine, "shouting": _shouting, "truncated": _truncated,
}  # fmt: skip
