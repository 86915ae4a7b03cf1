"""Texts made plain before they are held against patterns: small letters, plain quotes, short forms written out, sentences.

Nothing here knows what a text says; `claims` and `conduct` do.
"""

import re
import unicodedata

QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "`": "'", "–": "-", "—": "-"})
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*[\"')]*|\n")
WORD = re.compile(r"\w+(?:['-]\w+)*")
# marks of chat templates and special tokens: <|user|>, <s>, [INST], "User:" at the start of a line, "### Response:"
MARKER = re.compile(
    r"<\|[^<>\n]{0,20}\|?>|</?s>|<(?:pad|eos|bos|unk|end|im_start|im_end|user|assistant|system)>|\[/?INST\]|<</?SYS>>"
    r"|(?:^|(?<=\n)) *(?:#+ *)?(?:user|human|assistant|system|response|instruction|prompt|question|answer) *:"
    r"|(?<=[.?!] )(?:User|Human|Assistant|System) *:",
    re.IGNORECASE,
)
BULLET = re.compile(r"(?m)^ *(?:[-*•] +|\(?\d{1,2}[.)] +)")
SHORT_FORMS = (
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\b(i|you|he|she|we|they|it)'ll\b"), r"\1 will"),
    (re.compile(r"\b(i|you|we|they)'ve\b"), r"\1 have"),
    (re.compile(r"\b(you|we|they)'re\b"), r"\1 are"),
    (re.compile(r"\b(i|you|he|she|we|they)'d\b"), r"\1 would"),
    (re.compile(r"\b(\w+)n't\b"), r"\1 not"),
    (re.compile(r"\b(it|he|she|that|what|there|here)'s(?= \w)"), r"\1 is"),
    (re.compile(r"\bthat's\b"), "that is"),
)


def clean(text: str) -> str:
    """Small letters, plain letters and quotes, single spaces, short forms written out; lines are kept.

    >>> clean("It’s  NOT\\n that; I can't.")
    'it is not\\nthat; i can not.'
    """
    text = unicodedata.normalize("NFKC", text).translate(QUOTES).lower()
    text = "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
    if "'" in text or "cannot" in text:
        for pattern, plain in SHORT_FORMS:
            text = pattern.sub(plain, text)
    return text


def without_markers(text: str) -> tuple[str, int]:
    """The text without marks of chat templates, each of them ending a line, and how many there were.

    >>> without_markers("Mice.<|end|>")
    ('Mice.\\n', 1)
    """
    return MARKER.subn("\n", text)


def without_bullets(text: str) -> str:
    """The text without the dashes and numbers that begin the lines of a list."""
    return BULLET.sub("", text) if "\n" in text or BULLET.match(text) else text


def sentences(text: str) -> list[str]:
    """The sentences of a cleaned text, each with its mark; lines end sentences too.

    >>> sentences("it is marrow. is it?\\nyes")
    ['it is marrow.', 'is it?', 'yes']
    """
    return [part.strip() for part in SENTENCE.findall(text) if WORD.search(part)]


def period(words: list[str]) -> int:
    """The shortest n such that the words are their first n over and over; all of them where nothing comes back.

    By the prefix function of Knuth, Morris and Pratt (1977), in linear time.

    >>> period("no no no".split()), period("a b a b".split()), period("a b a".split())
    (1, 2, 3)
    """
    border = [0] * len(words)
    for at in range(1, len(words)):
        length = border[at - 1]
        while length and words[at] != words[length]:
            length = border[length - 1]
        border[at] = length + (words[at] == words[length])
    shortest = len(words) - border[-1] if words else 0
    return shortest if shortest and len(words) % shortest == 0 else len(words)
