"""Reading the citations of an answer, and checking them: is there such a passage, and do the answer's words stand in it?

A number in brackets makes an answer look as if it were proven. Whether it is, a program can check in part: a passage 7 of five does
not exist, and a passage in which no word of the sentence stands is hardly what it was taken from. Neither way is it a proof: a passage
may say the same in other words, or have every word and say the opposite ("not"). Gao et al. 2023, "Enabling Large Language Models to
Generate Text with Citations", let a model judge that; here words are counted, which is exact about what it claims.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lablib.adaptation.bm25 import Tokenise, singular_words, words
from lablib.adaptation.chunking import sentence_spans

MARK = re.compile(r"\[\s*(\d+(?:\s*[,;–-]\s*\d+)*)\s*\]")  # [1], [1, 3], [2-4]
LARGEST = 1000  # a number above it is no passage's, and a range up to it no list to be made
_SMALL = """a about all also an and any are as at be been but by can could did do does each for from had has have how i if in into is it its
    may more most no not of on one only or other our so some such than that the their them then there these they this those to was we
    were what when where which while who why will with would you your answer passage passages say question"""
# Words that stand in every text: that they stand in a passage, too, says nothing. As they are, and as `singular_words` leaves them ("wa").
FUNCTION_WORDS = frozenset([*words(_SMALL), *singular_words(_SMALL)])


@dataclass(frozen=True)
class Claim:
    """A sentence of an answer without its citations, and the numbers that it cites; none if it cites nothing."""

    text: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """One citation, checked.

    Attributes:
        claim: the sentence. number: the passage that it names.
        exists: whether there is such a passage. support: the share of the claim's telling words that stand in it, from 0 to 1.
    """

    claim: str
    number: int
    exists: bool
    support: float


def claims(answer: str) -> list[Claim]:
    """The sentences of an answer with what they cite, before their full stop or behind it; `[1, 3]` and `[1-3]` are read, too.

    >>> claims("It purrs [1]. It sleeps. [2][3] It eats.")
    [Claim(text='It purrs.', numbers=(1,)), Claim(text='It sleeps.', numbers=(2, 3)), Claim(text='It eats.', numbers=())]
    """
    found = []
    for start, stop in sentence_spans(answer):
        sentence = answer[start:stop]
        numbers = dict.fromkeys(number for match in MARK.finditer(sentence) for number in _numbers(match[1]))
        text = re.sub(r"\s+([.!?,;:])", r"\1", " ".join(MARK.sub(" ", sentence).split()))
        if text or numbers:
            found.append(Claim(text, tuple(numbers)))
    return found


def _numbers(inside: str) -> list[int]:
    """`1, 3` -> [1, 3]; `2-4` -> [2, 3, 4]."""
    numbers: list[int] = []
    for part in re.split(r"[,;]", inside):
        first, _, last = re.sub(r"\s*[–-]\s*", "-", part.strip()).partition("-")
        ends = [min(int(end[:9]), 10**9) for end in (first, last.rpartition("-")[2]) if end]
        if len(ends) == 2 and ends[0] <= ends[1] <= LARGEST:
            numbers += range(ends[0], ends[1] + 1)
        else:
            numbers += ends
    return numbers


def support(claim: str, passage: str, tokenise: Tokenise = singular_words) -> float:
    """The share of a claim's telling words that stand in a passage, each word counted once; 0 where there is none.

    >>> support("The tokenizer has 4096 tokens.", "Our tokenizer has 4096 entries.")  # tokenizer, 4096; but not token
    0.6666666666666666
    """
    telling = set(tokenise(claim)) - FUNCTION_WORDS
    return len(telling & set(tokenise(passage))) / len(telling) if telling else 0.0


def check_citations(answer: str, passages: Sequence[str], tokenise: Tokenise = singular_words) -> list[Verdict]:
    """Every citation of an answer, in order: does the passage exist, and how much of the claim stands in it?

    Args:
        answer: what the model wrote. passages: those of the prompt; number 1 is the first.

    >>> [(one.number, one.exists, one.support) for one in check_citations("Cats purr [1][4].", ["A cat purrs.", "Dogs."])]
    [(1, True, 1.0), (4, False, 0.0)]
    """
    verdicts = []
    for claim in claims(answer):
        for number in claim.numbers:
            exists = 1 <= number <= len(passages)
            share = support(claim.text, passages[number - 1], tokenise) if exists else 0.0
            verdicts.append(Verdict(claim.text, number, exists, share))
    return verdicts
