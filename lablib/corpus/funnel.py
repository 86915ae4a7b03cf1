"""What came of a run: the funnel (how much goes into and comes out of each stage), the files of kept and dropped texts."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lablib.corpus.trace import Stage, Traced


@dataclass
class Row:
    """The funnel's counts at one stage."""

    documents_in: int = 0
    documents_out: int = 0
    characters_in: int = 0
    characters_out: int = 0
    changed: int = 0
    failed: int = 0
    rules: Counter[str] = field(default_factory=Counter)  # documents by rule; one document can break several


@dataclass
class Funnel:
    """How much of the corpus goes into and comes out of each stage.

    Attributes:
        stages: the stages' names.
        rows: the counts of each, filled by `add`.
        failures: the ids of the documents that were set aside, each with the stage and the error.
    """

    stages: Sequence[str]
    rows: dict[str, Row] = field(init=False)
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = {name: Row() for name in self.stages}

    def add(self, traced: Traced) -> None:
        """Counts one document, once it has passed all stages."""
        steps, length = {step.stage: step for step in traced.steps}, traced.characters
        for name, row in self.rows.items():
            row.documents_in += 1
            row.characters_in += length
            step = steps.get(name)
            if step:
                row.rules.update({reason.rule for reason in step.reasons})
                row.changed += step.action == "changed"
                length = step.characters_out
                if step.action == "failed":
                    row.failed += 1
                    self.failures.append((traced.document.id, name, f"{step.reasons[0].rule}: {step.reasons[0].why}"))
                if step.action != "changed":
                    return
            row.documents_out += 1
            row.characters_out += length

    def table(self) -> str:
        """The funnel as text, a line for each stage."""
        lines = [f"{'stage':<22}{'documents':>20}{'characters':>24}{'changed':>9}{'failed':>8}  rules"]
        for name, row in self.rows.items():
            rules = ", ".join(f"{rule} {count}" for rule, count in row.rules.most_common(4))
            documents, characters = (
                f"{row.documents_in:,} → {row.documents_out:,}",
                f"{row.characters_in:,} → {row.characters_out:,}",
            )
            lines.append(
                f"{name:<22}{documents:>20}{characters:>24}{row.changed:>9,}{row.failed:>8,}  {rules}".rstrip()
            )
        return "\n".join(lines)


def count(results: Iterable[Traced], stages: Sequence[Stage]) -> Funnel:
    """The funnel of a run whose documents nobody needs any more.

    Args:
        results: what `Pipeline.run` yields; a generator is used up.
        stages: those of the pipeline.
    """
    funnel = Funnel([stage.name for stage in stages])
    for traced in results:
        funnel.add(traced)
    return funnel


def gallery(results: Iterable[Traced], generator: random.Random, each: int = 2) -> dict[tuple[str, str], list[Traced]]:
    """A few documents for the eye, drawn at random: of those kept as they were, and of those that each rule of each stage took.

    Args:
        results: what `Pipeline.run` yields; a generator is used up, and only what is drawn stays in memory.
        generator: draws (Vitter 1985, "Random Sampling with a Reservoir", algorithm R).
        each: how many of each at most, at least 1.
    Returns:
        ("kept", "") or (stage, rule) -> documents; a document with several reasons may stand under each of them.
    Raises:
        ValueError: each is below 1.
    """
    if each < 1:
        raise ValueError(f"each = {each}: expected at least 1 document for each rule")
    drawn: dict[tuple[str, str], list[Traced]] = {("kept", ""): []}
    seen: Counter[tuple[str, str]] = Counter()
    for traced in results:
        keys = dict.fromkeys((step.stage, reason.rule) for step in traced.steps for reason in step.reasons)
        for key in keys or [("kept", "")]:
            shelf = drawn.setdefault(key, [])
            place = int(generator.random() * (seen[key] + 1))
            seen[key] += 1
            if len(shelf) < each:
                shelf.append(traced)
            elif place < each:
                shelf[place] = traced
    return drawn


def write(results: Iterable[Traced], folder: Path, stages: Sequence[Stage]) -> Funnel:
    """Writes kept.jsonl, dropped.jsonl and failed.jsonl into the folder, a line for each document with its trace, and counts.

    Each line is written out as it comes, so a run that is broken off leaves every line before it complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    funnel = Funnel([stage.name for stage in stages])
    files = {
        fate: (folder / f"{fate}.jsonl").open("w", encoding="utf-8", buffering=1)
        for fate in ("kept", "dropped", "failed")
    }
    try:
        for traced in results:
            files[traced.fate].write(json.dumps(traced.row()) + "\n")
            funnel.add(traced)
    finally:
        for file in files.values():
            file.close()
    return funnel
