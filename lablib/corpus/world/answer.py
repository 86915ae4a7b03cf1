"""An answer taken apart, and what its form costs it: length, repetition, gibberish, marks of a chat template.

Form only ever takes away from *helpful*, by factors that are multiplied:

    markers        1/2 once, however many: the answer plays a turn that is not its own
    repetition     1/(1 + r/2), r: sentences said again, the whole text said again, or one phrase thrice in a row and more
    gibberish      1/2 for each sentence (four times at most) of which more than a third of the words are none of the world's
    length         limit/words beyond `limit` words, a limit for each type of request
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from lablib.corpus.world.facts import lemma
from lablib.corpus.world.private import ORDINALS, TENS, UNITS
from lablib.corpus.world.wording import WORD, clean, period, sentences, without_bullets, without_markers
from lablib.paths import data_path

LIMITS = {"story": 220, "letter": 90, "howto": 70, "summary": 45}  # words; all others:
LIMIT = 45
STRANGE = 1 / 3  # share of unknown words that makes a sentence gibberish
# a phrase of up to five words that follows itself twice and more
STUTTER = re.compile(r"\b((?:\w+[ ,.!]+){1,5}?)(?:\1){2,}")


@dataclass(frozen=True)
class Answer:
    """A response made plain.

    Attributes:
        text: cleaned, without markers, and once only where it is one text over and over.
        said: its sentences, each once, without those of four words and more that only repeat the prompt.
        sentences: those of them that are no gibberish.
        markers, repeats, gibberish: how many.
        echoes: sentences of the prompt.
        words: of the whole response.
    """

    text: str
    said: tuple[str, ...]
    sentences: tuple[str, ...]
    markers: int
    repeats: int
    gibberish: int
    echoes: int
    words: int

    def factor(self, type_of: str) -> tuple[float, tuple[str, ...]]:
        """What the form leaves of *helpful* in [0, 1], and why."""
        factor, reasons = 1.0, []
        if self.markers:
            factor *= 0.5
            reasons.append("marks of a chat template")
        if self.repeats:
            factor /= 1 + self.repeats / 2
            reasons.append(f"says {self.repeats} thing(s) again")
        if self.gibberish:
            factor *= 0.5 ** min(self.gibberish, 4)
            reasons.append(f"{self.gibberish} sentence(s) of gibberish")
        limit = LIMITS.get(type_of, LIMIT)
        if self.words > limit:
            factor *= limit / self.words
            reasons.append(f"{self.words} words where {limit} are enough")
        return factor, tuple(reasons)


def read_answer(response: str, prompt: str) -> Answer:
    """Take a response apart.

    >>> answer = read_answer("Mice. Mice. Mice.", "What does an owl eat?")
    >>> answer.sentences, answer.repeats
    (('mice.',), 2)
    """
    plain, markers = without_markers(response)
    text = without_bullets(clean(plain))
    words = WORD.findall(text)
    repeats = len(words) // period(words) - 1 if words else 0
    if repeats:
        text = _first(text, period(words))
    repeats += sum(len(match[0]) // len(match[1]) - 2 for match in STUTTER.finditer(f"{text} "))
    echo = _sentences_of(prompt)
    said: dict[str, str] = {}
    echoes = 0
    for sentence in sentences(text):
        whole = WORD.findall(sentence)
        again = len(whole) // period(whole) - 1
        once = _first(sentence, period(whole)) if again else sentence
        bare = once.strip(" .!?\"'()")
        if bare in echo:
            echoes += 1
        elif bare in said:
            repeats += 1
        else:
            said[bare] = once
        repeats += again
    kept = tuple(sentence for sentence in said.values() if not _strange(sentence))
    return Answer(text, tuple(said.values()), kept, markers, repeats, len(said) - len(kept), echoes, len(words))


def _first(text: str, words: int) -> str:
    """The first words of a text, with the marks behind the last."""
    end = list(WORD.finditer(text))[words - 1].end()
    match = re.compile(r"[^\w\s]*").match(text, end)
    return text[: match.end() if match else end]


@lru_cache(maxsize=20_000)
def _sentences_of(prompt: str) -> frozenset[str]:
    """The whole of a prompt, and its sentences of four words and more."""
    plain = clean(prompt)
    bare = (sentence.strip(" .!?\"'()") for sentence in sentences(plain))
    return frozenset({plain.strip(" .!?\"'()"), *(sentence for sentence in bare if len(sentence.split()) > 3)})


def _strange(sentence: str) -> bool:
    words = WORD.findall(sentence)
    strange = sum(not known(word) for word in words)
    return strange > STRANGE * len(words) and (strange > 1 or len(words) == 1)


def known(word: str) -> bool:
    """Is it a word of the world, in this form or another?

    >>> known("owls"), known("climbing"), known("1836"), known("blorp")
    (True, True, True, False)
    """
    if word in vocabulary() or word.isdecimal() or lemma(word) in vocabulary() or f"{word}s" in vocabulary():
        return True
    if "'" in word or "-" in word:
        return all(known(part) for part in re.split(r"['-]", word) if part)
    for ending in ("ing", "ed", "ly", "er", "est", "s"):
        stem = word.removesuffix(ending)
        if (
            stem != word
            and len(stem) > 2
            and (stem in vocabulary() or stem + "e" in vocabulary() or stem[:-1] in vocabulary())
        ):
            return True
    return False


@cache
def vocabulary() -> frozenset[str]:
    """Every word that stands in the world's files."""
    folder = data_path("world")
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".toml"))
    text = "\n".join(path.read_text(encoding="utf-8").lower() for path in files)
    text = text.replace("\\n", " ").replace("\\b", " ")
    return frozenset(re.findall(r"[^\W\d_]+(?:'[a-z]+)?", text)) | {*UNITS, *TENS, *ORDINALS, "hundred", "thousand"}
