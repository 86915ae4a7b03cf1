r"""Before BPE: text is cut into words, and a word becomes bytes. No merge ever crosses the edge of a word.

Without this cut, "dog." and "dog!" and "dog?" would each win a token of their own (Radford et al. 2019, §2.2). The
cut is one regular expression, and every published model has its own; the two here are GPT-2's and Llama 3's.

The numbers 0 to 255 stand for the 256 bytes, but not in their own order: GPT-2 put the bytes that print (`!` to `~` and
most of the upper half of Latin-1) first, and `tokenizers` follows it. We do the same, so that numbers can be exchanged, and
because the order of numbers settles ties between merges. In files each byte is shown as a printable character: a space as Ġ.

The patterns need `\p{L}` (any letter of any script), which Python's `re` lacks; the `regex` package has it. It may know a newer
Unicode than `tokenizers` does: then the two disagree on characters that were added in between, and on no other.

Left out: normalisation (GPT-2 and Llama have none), and SentencePiece (Kudo & Richardson 2018), which needs no such
cut beforehand: it treats the space as a letter, written ▁ (and by default lets no piece cross one).
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache

import regex

# The patterns, as published with the models.
PATTERNS = {
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "llama3": r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+""",
}

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTES: tuple[bytes, ...] = tuple(bytes([byte]) for byte in (*_PRINTABLE, *_OTHERS))  # number -> its byte
_TO_NUMBER = bytes(BYTES.index(bytes([byte])) for byte in range(256))  # a table for bytes.translate
_CHARACTERS = [*map(chr, _PRINTABLE), *(chr(256 + i) for i in range(len(_OTHERS)))]  # number -> its printable character
_SHOWN = {BYTES[number][0]: character for number, character in enumerate(_CHARACTERS)}
_HIDDEN = {character: byte for byte, character in _SHOWN.items()}


def byte_ids(data: bytes) -> list[int]:
    """The numbers of the bytes of a word, in GPT-2's order.

    >>> byte_ids(b"!A")
    [0, 32]
    >>> byte_ids(b" ")  # bytes that do not print come last
    [220]
    """
    return list(data.translate(_TO_NUMBER))


def printable(data: bytes) -> str:
    """Bytes as `tokenizer.json` writes them, one printable character a byte.

    >>> printable(" café".encode())
    'ĠcafÃ©'
    """
    return "".join(_SHOWN[byte] for byte in data)


def unprintable(text: str) -> bytes:
    """The bytes that `printable` showed.

    Raises:
        ValueError: a character that stands for no byte.
    """
    for place, character in enumerate(text):
        if character not in _HIDDEN:
            raise ValueError(
                f"text[{place}] = {character!r} in {text!r:.60} stands for no byte: expected characters as `printable` "
                "writes them; is the vocabulary a byte-level one?"
            )
    return bytes(_HIDDEN[character] for character in text)


@cache
def _compiled(pattern: str) -> "regex.Pattern[str]":
    return regex.compile(pattern)


def split(text: str, pattern: str = PATTERNS["gpt2"]) -> list[str]:
    """Cut a text into words; joined again they are the text.

    >>> split("It's 2 o'clock,  now.")
    ['It', "'s", ' 2', ' o', "'", 'clock', ',', ' ', ' now', '.']
    """
    compiled = _compiled(pattern)
    if compiled.groups == 0:
        return compiled.findall(text)
    return [found.group() for found in compiled.finditer(text)]  # findall would give the groups


def to_text(data: bytes) -> str:
    """Any bytes as a text that `to_bytes` turns back exactly: UTF-8, and a bad byte b as the lone surrogate U+DC00 + b."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """A text as UTF-8 (with the bytes that `to_text` could not read).

    Raises:
        ValueError: a lone surrogate that stands for no byte, such as half of a broken emoji.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text[{error.start}] = {text[error.start]!r} is half of a surrogate pair, which UTF-8 cannot hold: expected whole "
            "characters; was the text cut in the middle of an emoji?"
        ) from None


def word_counts(texts: Iterable[str], pattern: str = PATTERNS["gpt2"]) -> dict[tuple[int, ...], int]:
    """How often each word occurs: all that the training of BPE needs to know of a corpus.

    Returns:
        from a word, as the numbers of its bytes, to its count, in the order of first appearance.

    >>> word_counts(["!! A!!"])
    {(0, 0): 2, (220, 32): 1}
    """
    if isinstance(texts, str):
        raise TypeError(f"texts = {texts!r:.40} is one text: expected several, such as [text]")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text, pattern))
    return {tuple(to_bytes(word).translate(_TO_NUMBER)): count for word, count in counts.items()}
