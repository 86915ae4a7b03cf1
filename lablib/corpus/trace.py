"""What a stage is, what it may say of a document, and the trace that a document keeps of it: which stage, which rule, why.

A stage is one of two things. `Each` looks at a document alone, so many processes can share the work. `InOrder` must know what came
before (has this text been seen?): its expensive half, `prepare`, runs anywhere, and only the short decision is made in one place,
in the corpus's order.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lablib.corpus.document import Document


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a stage did something: the name of the rule, to be counted, and a sentence for the eye, in which no private detail stands."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage says of a document that it does not pass on as it is.

    Attributes:
        reasons: at least one.
        text: the changed text that goes on; None drops the document.
    """

    reasons: tuple[Reason, ...]
    text: str | None = None

    def __post_init__(self) -> None:
        if not self.reasons:
            raise ValueError(
                "reasons = (): expected at least one Reason; a stage that leaves a document as it is returns None"
            )


@dataclass(frozen=True)
class Each:
    """A stage that looks at each document alone.

    Attributes:
        name: stands in traces and in the funnel.
        judge: document -> None (it goes on as it is) or an `Outcome`. A function of a module, so that other processes find it.
    """

    name: str
    judge: Callable[[Document], Outcome | None]


def _nothing(document: Document) -> None:
    return None


@dataclass(frozen=True)
class InOrder:
    """A stage that remembers what it has seen.

    Attributes:
        name: stands in traces and in the funnel.
        open: the path of a file that does not exist yet -> the memory, empty, which must have a `close()`.
        judge: (memory, document, what `prepare` gave) -> None or an `Outcome`; called in the corpus's order, in one process.
        prepare: document -> anything; pure, and run in any process.
    """

    name: str
    open: Callable[[Path], Any]
    judge: Callable[[Any, Document, Any], Outcome | None]
    prepare: Callable[[Document], Any] = _nothing


Stage = Each | InOrder


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a trace: one stage that did something.

    Attributes:
        stage: its name.
        action: "changed", "dropped" or "failed".
        reasons: which rules, and why.
        characters_in, characters_out: the text's length before and after; 0 after for what was dropped or failed.
    """

    stage: str
    action: str
    reasons: tuple[Reason, ...]
    characters_in: int
    characters_out: int


@dataclass(frozen=True, slots=True)
class Traced:
    """A document and its trace.

    Attributes:
        document: as it is after the last step; dropped ones as they were when they were dropped.
        characters: of the text as it came in.
        steps: what the stages did; a stage that left the document as it was has no step.
    """

    document: Document
    characters: int
    steps: tuple[Step, ...] = ()

    @property
    def fate(self) -> str:
        """ "kept", "dropped" or "failed"."""
        last = self.steps[-1].action if self.steps else "kept"
        return "kept" if last == "changed" else last

    def __str__(self) -> str:
        """The trace for the eye: a line for the fate, and one for each rule of each step."""
        lines = [f"{self.document.id}: {self.fate}"]
        for step in self.steps:
            size = f"{step.stage}: {step.action}, {step.characters_in:,} → {step.characters_out:,} characters"
            lines += [f"  {size} ({reason.rule}: {reason.why})" for reason in step.reasons]
        return "\n".join(lines)

    def row(self) -> dict[str, Any]:
        """The document and its trace as plain values, for a line of JSON."""
        return {
            **asdict(self.document),
            "fate": self.fate,
            "characters_in": self.characters,
            "trace": [asdict(step) for step in self.steps],
        }


def start(document: Document) -> Traced:
    """A document on which no stage has looked.

    Raises:
        TypeError: it is no `Document`.
    """
    if not isinstance(document, Document):
        raise TypeError(
            f"documents holds {document!r:.60}, which is {type(document).__name__}: expected Document(text, id, source)"
        )
    return Traced(document, len(document.text))


def raised(error: Exception) -> Reason:
    """What a stage raised, as a reason: plain words, which can travel between processes as not every exception can."""
    return Reason(type(error).__name__, str(error) or "no message")


def failed(traced: Traced, stage: Stage, reason: Reason) -> Traced:
    """The document set aside, since the stage raised."""
    step = Step(stage.name, "failed", (reason,), len(traced.document.text), 0)
    return replace(traced, steps=(*traced.steps, step))


def after(traced: Traced, stage: Stage, judge: Callable[[Document], Outcome | None]) -> Traced:
    """The document behind one more stage: `judge` is asked unless it was dropped before, and whatever it raises ends in the trace."""
    if traced.fate != "kept":
        return traced
    document, length = traced.document, len(traced.document.text)
    try:
        outcome = judge(document)
        if not (outcome is None or isinstance(outcome, Outcome)):
            raise TypeError(f"stage {stage.name!r} returned {outcome!r:.60}: expected None or an Outcome")
    except Exception as error:
        return failed(traced, stage, raised(error))
    if outcome is None:
        return traced
    if outcome.text is None:
        return replace(traced, steps=(*traced.steps, Step(stage.name, "dropped", outcome.reasons, length, 0)))
    step = Step(stage.name, "changed", outcome.reasons, length, len(outcome.text))
    return replace(traced, document=replace(document, text=outcome.text), steps=(*traced.steps, step))
