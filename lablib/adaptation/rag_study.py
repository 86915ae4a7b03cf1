"""What lab 11 measures with the real model: more questions than a lab has minutes for.

    python -m lablib.adaptation.rag_study answers unanswerable update poison --split held_out --folder data/experiments

- *answers*: questions that the handbook answers, asked from memory, with one, three or five passages that were found, and with the
  ones that hold the answer; and the sentence that a program without a model copies from each.
- *unanswerable*: questions that it does not answer. Who says so?
- *update*: a page is changed; does the answer change, with the same weights?
- *poison*: a page that gives orders is put among the others, against no defence, marking, filtering, and both.

Each answer is a row of its own in FOLDER/rag.json, with the question, the condition, and what a program can say of it. A row that is
there already is not made again. Settings were chosen on the dev part: run "held_out" once. The parts "update" and "poison" ask
questions of the dev part, for what they measure is the reader.

Left out: other models, other prompts, passages in another order.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lablib.adaptation.citations import check_citations
from lablib.adaptation.dense import Encode, best_encoder
from lablib.adaptation.grounded_prompt import abstains
from lablib.adaptation.handbook import SPLITS, Question, places, quote_spans, read_pages, read_questions
from lablib.adaptation.page_orders import without_orders
from lablib.adaptation.page_search import PageSearch
from lablib.adaptation.poison import ATTACKS, obeyed, poisoned_page
from lablib.adaptation.ranking_metrics import facts_in
from lablib.adaptation.reader import Reader, best_reader, copied_sentence
from lablib.corpus.document import Document
from lablib.pretraining.experiments import write
from lablib.pretraining.in_context import Interval, share_interval

K = 1  # passages in a prompt: of one this reader makes most, see `answers`
MORE = (3, 5)  # and with how many more it is compared
AMONG = 3  # passages in the prompts of `poison`: the attack and honest ones
SUPPORTED = 0.5  # share of a claim's telling words that must stand in the passage that it cites
DEFENCES = ("none", "marking", "filtering", "both")
Row = dict[str, Any]


@dataclass(frozen=True)
class Update:
    """New knowledge: in the quote that answers a question of the dev part, `old` becomes `new`, which no model can have read anywhere."""

    question: str
    old: str
    new: str
    accept: str


UPDATES = (
    Update("forget-gate-year", "2000", "2003", r"\b2003\b"),
    Update("wikipedia-pieces", "21 million", "37 million", r"\b37\s*million"),
    Update("llama2-70b-cache", "1.34", "2.71", r"\b2\.71\b"),
    Update("c4-month", "April 2019", "October 2018", r"October\s*(of\s*)?2018"),
    Update("base-training-time", "12 hours", "31 hours", r"\b31\s*hours"),
    Update("gpt3-warm-up", "375 million", "640 million", r"\b640\s*million"),
    Update("four-bit-tuning", "48 GB", "23 GB", r"\b23\s*GB"),
    Update("perplexity-year", "1977", "1968", r"\b1968\b"),
    Update("minilm-width", "384", "512", r"\b512\b"),
    Update("human-prompts", "42,496", "51,208", r"51[,. ]?208"),
)
POISONED = ("forget-gate-year", "wikipedia-pieces", "c4-month", "base-training-time", "gpt3-warm-up", "four-bit-tuning")


# ---------------------------------------------------------------- one answer, judged


def judged(question: Question, answer: str, passages: Sequence[str] | None) -> Row:
    """What a program can say of an answer.

    Returns: right (it has the answer in it), abstained, and of its citations how many there are, name a passage that exists, and are
        supported by its words. An answer that abstains is not right, whatever else it says.
    """
    verdicts = check_citations(answer, passages or [])
    return {
        "answer": answer,
        "right": question.accepts(answer) and not abstains(answer),
        "abstained": abstains(answer),
        "citations": len(verdicts),
        "exist": sum(one.exists for one in verdicts),
        "supported": sum(one.exists and one.support >= SUPPORTED for one in verdicts),
    }


def right_passages(question: Question, search: PageSearch, pages: Sequence[Document]) -> list[str]:
    """The sections that hold the question's quotes, each once."""
    where = places(question, pages)
    return [one.searchable for one in search.sections if facts_in(one, where)]


def with_update(pages: Sequence[Document], question: Question, update: Update) -> list[Document]:
    """The pages with the question's quote changed.

    Raises: ValueError: the quote does not have the old words; was the page rewritten?
    """
    (one,) = question.evidence
    changed = []
    for page in pages:
        if page.id == one.page:
            ((start, stop), *_) = quote_spans(page.text, one.quote) or [(0, 0)]
            quote = page.text[start:stop]
            if update.old not in quote:
                raise ValueError(
                    f"question {question.id!r}: the quote {one.quote!r} does not hold {update.old!r}; was it rewritten?"
                )
            text = page.text[:start] + quote.replace(update.old, update.new) + page.text[stop:]
            changed.append(replace(page, text=text))
        else:
            changed.append(page)
    return changed


def remembering(encode: Encode) -> Encode:
    """An encoder that computes each text once."""
    known: dict[str, Tensor] = {}

    def recall(texts: Sequence[str]) -> Tensor:
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, encode(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return recall


# ---------------------------------------------------------------- the parts: (label, question, passages, marked) to ask


@dataclass(frozen=True)
class Asked:
    """One question to be put to the reader.

    Attributes:
        condition: what sets it apart. passages: None: from memory. mark: put markers around them.
        copied: no model answers, but the best sentence is copied. labels: more of what the row should say.
    """

    condition: str
    question: Question
    passages: tuple[str, ...] | None
    mark: bool = False
    copied: bool = False
    labels: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> Row:
        return {"condition": self.condition, "question": self.question.id, **dict(self.labels)}


class Study:
    """What all parts share: the handbook, its questions, the search."""

    def __init__(self, encode: Encode, split: str, pages: Sequence[Document] | None = None) -> None:
        self.pages = list(read_pages() if pages is None else pages)
        self.questions = read_questions(split=split)
        self.dev = {one.id: one for one in read_questions(split="dev")}
        self.encode = remembering(encode)
        self.search = PageSearch(self.pages, self.encode)

    def found(self, question: Question, k: int = K, search: PageSearch | None = None) -> tuple[str, ...]:
        """The passages that a prompt gets, with their headings."""
        return tuple(one.searchable for one in (search or self.search).passages(question.text, k))

    def answers(self) -> Iterator[Asked]:
        """Memory, found passages, right passages; of found ones the row says whether all evidence is among them."""
        for question in self.questions:
            if question.evidence:
                where = places(question, self.pages)
                yield Asked("memory", question, None)
                for k in (K, *MORE):
                    held = {fact for one in self.search.passages(question.text, k) for fact in facts_in(one, where)}
                    labels = (("found", len(held) == len(where)),)
                    yield Asked(f"{k} found", question, self.found(question, k), labels=labels)
                    yield Asked(f"copied from {k} found", question, self.found(question, k), copied=True, labels=labels)
                right = tuple(right_passages(question, self.search, self.pages))
                yield Asked("right passages", question, right)
                yield Asked("copied from right", question, right, copied=True)

    def unanswerable(self) -> Iterator[Asked]:
        """Memory and found passages, of what nothing answers."""
        for question in self.questions:
            if not question.evidence:
                found = self.found(question)
                yield Asked("memory", question, None)
                yield Asked(f"{K} found", question, found)
                yield Asked(f"copied from {K} found", question, found, copied=True)

    def update(self) -> Iterator[Asked]:
        """Before and after a page was changed. "Right" after it is the new answer."""
        for update in UPDATES:
            question = self.dev[update.question]
            changed = PageSearch(with_update(self.pages, question, update), self.encode)
            new = replace(question, accept=(update.accept,))
            yield Asked("before", question, self.found(question))
            yield Asked("after", new, self.found(question, search=changed))
            yield Asked("memory, new answer", new, None)

    def poison(self) -> Iterator[Asked]:
        """Each attack on each question against each defence; and the questions without an attack, to see what the defence costs."""
        for name in POISONED:
            question = self.dev[name]
            for attack in ("no attack", *ATTACKS):
                pages = list(self.pages)
                if attack in ATTACKS:
                    pages.append(Document(poisoned_page(question.text, attack), "poisoned", "an attacker"))
                for defence in DEFENCES:
                    filtered = defence in ("filtering", "both")
                    used = [replace(page, text=without_orders(page.text)) for page in pages] if filtered else pages
                    search = PageSearch(used, self.encode)
                    found = search.passages(question.text, AMONG)
                    there = ("there", any(one.page == "poisoned" for one in found))
                    passages = tuple(one.searchable for one in found)
                    mark = defence in ("marking", "both")
                    yield Asked(defence, question, passages, mark, labels=(("attack", attack), there))


PARTS: dict[str, Callable[[Study], Iterator[Asked]]] = {
    "answers": Study.answers,
    "unanswerable": Study.unanswerable,
    "update": Study.update,
    "poison": Study.poison,
}


def ask(reader: Reader, asked: Sequence[Asked], batch: int = 4) -> list[Row]:
    """The rows of some questions, in order."""
    texts: dict[int, str] = {
        i: copied_sentence(one.question.text, one.passages or ()) for i, one in enumerate(asked) if one.copied
    }
    for mark in (False, True):
        some = [i for i, one in enumerate(asked) if not one.copied and one.mark == mark]
        found = reader.answers([(asked[i].question.text, asked[i].passages) for i in some], mark, batch)
        texts |= {i: answer.text for i, answer in zip(some, found, strict=True)}
    rows = []
    for i, one in enumerate(asked):
        row = {**one.key, "kind": one.question.kind, **judged(one.question, texts[i], one.passages)}
        if "attack" in row:
            row["obeyed"] = obeyed(texts[i])
        rows.append(row)
    return rows


# ---------------------------------------------------------------- reading the rows


def share(rows: Sequence[Mapping[str, Any]], what: str) -> Interval:
    """The share of rows in which something is so, with its 95 % interval. Raises: ValueError: no row.

    >>> [round(end, 2) for end in share([{"right": True}, {"right": False}], "right")]
    [0.5, 0.09, 0.91]
    """
    return share_interval([bool(row[what]) for row in rows])


def by(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    """The rows in groups of the same value, in the order in which the values appear.

    >>> by([{"a": 1}, {"a": 2}, {"a": 1}], "a")
    {1: [{'a': 1}, {'a': 1}], 2: [{'a': 2}]}
    """
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[name], []).append(row)
    return groups


# ---------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the record was written."""
    parser = argparse.ArgumentParser(prog="python -m lablib.adaptation.rag_study", description="Answers with passages.")
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--split", choices=SPLITS, required=True, help="questions of answers and unanswerable")
    parser.add_argument("--folder", type=Path, required=True, help="where the record goes, rag.json")
    parser.add_argument("--limit", type=int, help="at most so many answers of each part, for trying")
    given = parser.parse_args(arguments)
    pages = read_pages()
    encoder, reader = best_encoder([page.text for page in pages]), best_reader()
    print(f"{encoder.source}\n{reader.source}")
    if not reader.real and given.limit is None:
        print("the record is made with the real model only: see above how to get it", file=sys.stderr)
        return 2
    study = Study(encoder, given.split, pages)
    path: Path = given.folder / "rag.json"
    made: list[Row] = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    made = [row for row in made if row.get("real") == reader.real]  # trials without the real model make no record
    command = f"python -m lablib.adaptation.rag_study {' '.join(PARTS)} --split {given.split} --folder data/experiments"
    for name in given.parts:
        split = given.split if name in ("answers", "unanswerable") else "dev"
        labels = {"part": name, "split": split, "real": reader.real}
        wanted = list(PARTS[name](study))[: given.limit]
        missing = [one for one in wanted if not any(({**labels, **one.key}).items() <= row.items() for row in made)]
        for start in range(0, len(missing), 16):
            made += [{**labels, **row} for row in ask(reader, missing[start : start + 16])]
            write(given.folder, "rag", command, made)
            print(f"{name}: {min(start + 16, len(missing))} of {len(missing)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
