"""Planted truth: good documents in, and out comes a corpus whose every fault is known, to measure the filters by.

On a real crawl nobody knows how many duplicates a filter missed. Here each fault was put in on purpose: what, where and how often
is known, so precision and recall of a filter are counted, not guessed. Beside each fault stand its harmless look-alikes (a
"stupid mistake", a version number like 10.0.1.12), for a filter also does harm: what it takes from good text is counted too.

The faults, by what a pipeline should do with them:
  DROPPED: "copy", "near_copy", "gibberish", "shuffled_words", "symbols", "repeated_lines", "other_language", "machine",
           "shouting", "truncated", "toxic"
  MENDED: "boilerplate" (a paragraph that many pages share), "pii" (private details in natural sentences)
  KEPT: no label at all, and the look-alikes "benign_toxic", "benign_pii", "benign_capitals", "benign_language", "benign_list",
        "benign_refrain", "benign_code"
A document has one of them. Left out: faults that need understanding, such as text that is fluent and false.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from lablib.corpus.document import Document
from lablib.corpus.planted_details import DETAILS, pick
from lablib.corpus.planted_faults import WHOLE, edited, fill, insert, names, texts
from lablib.corpus.spans import Span

__all__ = [
    "DROPPED", "LOOK_ALIKES", "MENDED", "Planted", "Rates", "edited", "fill", "insert", "names", "plant", "texts",
]  # fmt: skip

DROPPED = (
    "copy", "near_copy", "gibberish", "shuffled_words", "symbols", "repeated_lines", "other_language", "machine", "shouting",
    "truncated", "toxic",
)  # fmt: skip
MENDED = ("boilerplate", "pii")
LOOK_ALIKES = ("toxic", "pii", "capitals", "language", "list", "refrain", "code")
REMEMBERED = 1_000  # good documents that copies are made from, the last ones, so that memory stays flat


@dataclass(frozen=True)
class Rates:
    """How often each fault is planted: its share of the documents that come out; what is left over is good text untouched.

    Attributes:
        edit_rates: for near copies: the share of words that is changed, each of these rates as often as the others.
        benign: the share of all look-alikes together; each kind of them is as frequent as the others.
    """

    copy: float = 0.06
    near_copy: float = 0.08
    gibberish: float = 0.03
    shuffled_words: float = 0.02
    symbols: float = 0.03
    repeated_lines: float = 0.03
    other_language: float = 0.03
    machine: float = 0.04
    shouting: float = 0.03
    truncated: float = 0.04
    toxic: float = 0.06
    boilerplate: float = 0.06
    pii: float = 0.12
    benign: float = 0.14
    edit_rates: tuple[float, ...] = (0.01, 0.03, 0.05)

    def __post_init__(self) -> None:
        shares = self.shares()
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(
                    f"{name} = {share}: expected a share of the documents in [0, 1], such as 0.05 for one in twenty"
                )
        if sum(shares.values()) > 1 + 1e-9:
            raise ValueError(
                f"the shares sum to {sum(shares.values()):.3f}: expected at most 1; what is left over is good text"
            )
        if not self.edit_rates or not all(0 < rate < 1 for rate in self.edit_rates):
            raise ValueError(
                f"edit_rates = {self.edit_rates}: expected shares of changed words in (0, 1), such as (0.01, 0.05)"
            )

    def shares(self) -> dict[str, float]:
        """The share of each fault by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "edit_rates"}


@dataclass(frozen=True, slots=True)
class Planted:
    """A document and what is known of it.

    Attributes:
        document: what a pipeline gets to see. Neither its id nor its other fields give the fault away.
        truth: the labels of its faults or look-alikes; empty for good text.
        spans: where the planted part stands; for "pii" the private details, with their kinds.
        copy_of: the id of the document it copies; for boilerplate the id of the first document with that paragraph. Else None.
        edit_rate: the share of words that a near copy changed, else 0.
    """

    document: Document
    truth: frozenset[str] = frozenset()
    spans: tuple[Span, ...] = ()
    copy_of: str | None = None
    edit_rate: float = 0.0

    @property
    def should_drop(self) -> bool:
        """A pipeline should drop this document whole."""
        return bool(self.truth & set(DROPPED))


# ------------------------------------------------------------------ good documents with something put in


def _with_sentences(
    document: Document, sentences: Iterable[tuple[str, Sequence[Span]]], label: str, generator: random.Random
) -> Planted:
    """The document with sentences put in, and the spans that each of them brings, moved to where they then stand."""
    text = document.text
    spans: list[Span] = []
    for sentence, inside in sentences:
        text, place = insert(text, sentence, generator, taken=spans)
        added = len(sentence) + 1  # the sentence and the space in front of it
        spans = [
            span if span.stop < place else Span(span.start + added, span.stop + added, span.kind) for span in spans
        ]
        spans += [Span(span.start + place, span.stop + place, span.kind) for span in inside]
    return Planted(replace(document, text=text), frozenset({label}), tuple(sorted(spans)))


def _with_pii(document: Document, generator: random.Random) -> Planted:
    count = 1 + int(generator.random() * 3)
    chosen = [fill(pick(generator, texts()["pii"][pick(generator, list(DETAILS))]), generator) for _ in range(count)]
    return _with_sentences(document, chosen, "pii", generator)


def _with_toxic(document: Document, generator: random.Random) -> Planted:
    chosen = []
    for _ in range(1 + int(generator.random() * 3)):
        sentence = fill(pick(generator, texts()["toxic"]["sentences"]), generator)[0]
        if generator.random() < 0.3:
            sentence += " " + pick(generator, texts()["toxic"]["replies"])
        chosen.append((sentence, [Span(0, len(sentence), "toxic")]))
    return _with_sentences(document, chosen, "toxic", generator)


def _with_look_alike(document: Document, generator: random.Random) -> Planted:
    kind = pick(generator, LOOK_ALIKES)
    block = kind in {"list", "refrain", "code"}
    addition = fill(pick(generator, texts()["benign"][kind]), generator)[0]
    text, place = insert(document.text, addition, generator, block)
    label = f"benign_{kind}"
    return Planted(replace(document, text=text), frozenset({label}), (Span(place, place + len(addition), label),))


def _with_boilerplate(document: Document, generator: random.Random, first_use: dict[str, str]) -> Planted:
    paragraph = pick(generator, texts()["boilerplate"]["paragraphs"])
    text, place = insert(document.text, paragraph, generator, block=True)
    first = first_use.setdefault(paragraph, document.id)
    spans = (Span(place, place + len(paragraph), "boilerplate"),)
    return Planted(
        replace(document, text=text), frozenset({"boilerplate"}), spans, None if first == document.id else first
    )


def plant(documents: Iterable[Document], generator: random.Random, rates: Rates | None = None) -> Iterator[Planted]:
    """Good documents -> a corpus with known faults, as a stream that holds the last 1,000 good documents in memory and no more.

    Copies come in addition to the documents given, at random distance behind their originals; everything else is made of the next
    document. The ids are new ("planted/000017"), since those of the originals could give a fault away.

    Args:
        documents: good text, without private details and without copies.
        generator: only its `.random()` is called.
        rates: the share of each fault; `Rates()` where none is given.
    Raises:
        ValueError: a document without a word; nothing can be planted there.
    """
    shares = (rates or Rates()).shares()
    edit_rates = (rates or Rates()).edit_rates
    good: list[Document] = []
    first_use: dict[str, str] = {}
    stream, number = iter(documents), 0
    while True:
        fault = _draw(shares, generator)
        name = f"planted/{number:06d}"
        if fault in ("copy", "near_copy") and not good:
            fault = ""  # nothing to copy yet
        if fault in ("copy", "near_copy"):
            original = pick(generator, good)
            rate = pick(generator, edit_rates) if fault == "near_copy" else 0.0
            text = edited(original.text, rate, generator) if rate else original.text
            planted = Planted(replace(original, text=text, id=name), frozenset({fault}), (), original.id, rate)
        else:
            document = next(stream, None)
            if document is None:
                return
            if not document.text.split():
                raise ValueError(
                    f"the text of document {document.id!r} is {document.text!r}: expected good text, with words in it"
                )
            document = replace(document, id=name)
            planted = _made(document, fault, generator, first_use)
            if not planted.truth:
                good[:] = [*good[-REMEMBERED + 1 :], document]
        yield planted
        number += 1


def _draw(shares: dict[str, float], generator: random.Random) -> str:
    u = generator.random()
    for fault, share in shares.items():
        u -= share
        if u < 0:
            return fault
    return ""


def _made(document: Document, fault: str, generator: random.Random, first_use: dict[str, str]) -> Planted:
    if fault in WHOLE:
        text = WHOLE[fault](document.text, generator)
        return Planted(replace(document, text=text), frozenset({fault}), (Span(0, len(text), fault),))
    if fault == "boilerplate":
        return _with_boilerplate(document, generator, first_use)
    makers = {"pii": _with_pii, "toxic": _with_toxic, "benign": _with_look_alike}
    return makers[fault](document, generator) if fault else Planted(document)
