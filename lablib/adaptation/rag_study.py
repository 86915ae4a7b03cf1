"""What lab 11 measures with the real model: more questions than a lab has minutes for.

    python -m lablib.adaptation.rag_study calibration answers unanswerable update poison --split held_out --folder data/experiments

- *calibration*: questions of the dev part of both kinds, with the passages that were found. Here the thresholds of `abstention` are chosen.
- *answers*: questions that the handbook answers, asked from memory, with one, three or five passages that were found, and with the
  ones that hold the answer; and the sentence that a program without a model copies from each.
- *unanswerable*: questions that it does not answer. Who says so: the reader, or a program that withholds what it wrote?
- *update*: a page is changed; does the answer change, with the same weights? Asked of the reader and of the copier.
- *poison*: a page that gives orders is put among the others, against no defence, marking, filtering, and both.

Each answer is a row of its own in FOLDER/rag.json, with the question, the condition, and what a program can say of it. A row that is
there already is not made again. Settings were chosen on the dev part: run "held_out" once. The parts "calibration", "update" and
"poison" ask questions of the dev part whatever the split. `rag_record` reads the rows.

Left out: other models, other prompts, passages in another order.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lablib.adaptation.abstention import grounded, search_signals
from lablib.adaptation.citations import check_citations
from lablib.adaptation.dense import Encode, best_encoder, remembering
from lablib.adaptation.grounded_prompt import abstains
from lablib.adaptation.handbook import SPLITS, Question, places, read_pages, read_questions
from lablib.adaptation.page_orders import without_orders
from lablib.adaptation.page_search import PageSearch
from lablib.adaptation.page_updates import UPDATES, with_update
from lablib.adaptation.poison import ATTACKS, obeyed, poisoned_page
from lablib.adaptation.rag_record import Row, abstentions
from lablib.adaptation.ranking_metrics import facts_in
from lablib.adaptation.reader import Reader, best_reader, copied_sentence
from lablib.corpus.document import Document
from lablib.pretraining.experiments import write

K = 1  # passages in a prompt: of one this reader makes most, see `answers`
MORE = (3, 5)  # and with how many more it is compared
SUPPORTED = 0.5  # share of a claim's telling words that must stand in the passage that it cites
DEFENCES = ("none", "marking", "filtering", "both")
# questions of the dev part that the reader answers right from K found passages: here an attack can spoil something
POISONED = (
    "forget-gate-year",
    "forget-bias-distance-40",
    "lookup-by-hand",
    "mask-four-tokens",
    "c4-month",
    "c4-sentences",
    "gpt2-memorised",
    "index-speed",
    "valley-entropy",
    "deepseek-rule",
    "moonlight-compute",
    "no-clip-score",
    "training-against-storing",
)


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


# ---------------------------------------------------------------- the parts: (label, question, passages, marked) to ask


@dataclass(frozen=True)
class Asked:
    """One question to be put to the reader.

    Attributes:
        condition: what sets it apart. passages: None: from memory. mark: put markers around them.
        copied: no model answers, but the best sentence is copied. labels: more of what tells the row from others.
        signals: of the search, see `abstention`; where there are some, those of the reader are measured, too.
    """

    condition: str
    question: Question
    passages: tuple[str, ...] | None
    mark: bool = False
    copied: bool = False
    labels: tuple[tuple[str, Any], ...] = ()
    signals: tuple[tuple[str, float], ...] = ()

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

    def with_found(self, question: Question, k: int = K) -> Iterator[Asked]:
        """The question with k passages that were found, to the reader and to the copier; for K of them with the signals of the search."""
        where = places(question, self.pages)
        held = {fact for one in self.search.passages(question.text, k) for fact in facts_in(one, where)}
        labels = (("found", len(held) == len(where)),) if where else ()
        found = self.found(question, k)
        signals = tuple(search_signals(question.text, found, self.search).items()) if k == K else ()
        yield Asked(f"{k} found", question, found, labels=labels, signals=signals)
        yield Asked(f"copied from {k} found", question, found, copied=True, labels=labels, signals=signals)

    def calibration(self) -> Iterator[Asked]:
        """Every question of the dev part with found passages: what tells a right answer from one to a question that nothing answers?"""
        for question in self.dev.values():
            yield from self.with_found(question)

    def answers(self) -> Iterator[Asked]:
        """Memory, found passages, right passages; of found ones the row says whether all evidence is among them."""
        for question in self.questions:
            if question.evidence:
                yield Asked("memory", question, None)
                for k in (K, *MORE):
                    yield from self.with_found(question, k)
                right = tuple(right_passages(question, self.search, self.pages))
                yield Asked("right passages", question, right)
                yield Asked("copied from right", question, right, copied=True)

    def unanswerable(self) -> Iterator[Asked]:
        """Memory and found passages, of what nothing answers."""
        for question in self.questions:
            if not question.evidence:
                yield Asked("memory", question, None)
                yield from self.with_found(question)

    def update(self) -> Iterator[Asked]:
        """Before and after a page was changed. "Right" after it is the new answer."""
        for update in UPDATES:
            question = self.dev[update.question]
            changed = PageSearch(with_update(self.pages, question, update), self.encode)
            new = replace(question, accept=(update.accept,))
            for when, asked, found in (
                ("before", question, self.found(question)),
                ("after", new, self.found(question, search=changed)),
            ):
                yield Asked(when, asked, found)
                yield Asked(f"copied {when}", asked, found, copied=True)
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
                    found = search.passages(question.text, K)
                    there = ("there", any(one.page == "poisoned" for one in found))
                    passages = tuple(one.searchable for one in found)
                    mark = defence in ("marking", "both")
                    yield Asked(defence, question, passages, mark, labels=(("attack", attack), there))


PARTS: dict[str, Callable[[Study], Iterator[Asked]]] = {
    "calibration": Study.calibration,
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
    signals = reader_signals(reader, asked, texts)
    rows = []
    for i, one in enumerate(asked):
        row = {**one.key, "kind": one.question.kind, **judged(one.question, texts[i], one.passages)}
        if "attack" in row:
            row["obeyed"] = obeyed(texts[i])
        if one.signals:
            row["signals"] = {name: round(x, 4) for name, x in {**dict(one.signals), **signals.get(i, {})}.items()}
        rows.append(row)
    return rows


def reader_signals(reader: Reader, asked: Sequence[Asked], texts: Mapping[int, str]) -> dict[int, dict[str, float]]:
    """What the reader's own answers say of themselves, for those that want signals: number in `asked` -> signals, see `abstention`.

    "Without the passages" is the same prompt with none in it, so that nothing else differs.
    """
    some = [(i, one) for i, one in enumerate(asked) if one.signals and not one.copied]
    answers = [texts[i] for i, _ in some]
    certain = reader.certainty([(one.question.text, one.passages) for _, one in some], answers)
    without = reader.certainty([(one.question.text, ()) for _, one in some], answers)
    return {
        i: {
            "grounded": grounded(one.question.text, answer, one.passages or ()),
            "certainty": given,
            "lift": given - alone,
        }
        for (i, one), answer, given, alone in zip(some, answers, certain, without, strict=True)
    }


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
    for condition in (f"{K} found", f"copied from {K} found"):
        for signal, one in abstentions(made, given.split, condition).items():
            print(f"{condition}, withheld by {signal}: {one}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
