"""Stages in a row, run over a corpus of any size by one or several processes, with the same result, byte for byte.

`Each` stages are shared among the processes. Of an `InOrder` stage (`lablib.corpus.trace`) only `prepare` is; its decisions are made
in this process, in the corpus's order.

Documents are streamed: at most two chunks a process are under way, and what an `InOrder` stage remembers lies in a file. So memory
does not grow with the corpus (bench/pipeline_memory.py). A document that makes a stage raise is set aside under its name, and the
rest goes on.

The same stages run on datatrove (`lablib.corpus.datatrove_stages`), whose executors know clusters. Left out: taking up a run that was
broken off; what was written until then is complete and readable, the next run starts again.
"""

import multiprocessing
import pickle
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from lablib.corpus.document import Document
from lablib.corpus.funnel import Funnel, Row, count, gallery, write
from lablib.corpus.trace import Each, InOrder, Outcome, Reason, Stage, Step, Traced, after, failed, raised, start

__all__ = [
    "Each", "Funnel", "InOrder", "Outcome", "Pipeline", "Reason", "Row", "Stage", "Step", "TooManyFailures", "Traced", "after",
    "count", "gallery", "in_order", "start", "work", "write",
]  # fmt: skip

# ------------------------------------------------------------------ the work of one process

_stages: tuple[Stage, ...] = ()  # those of this worker process; set once when it starts, so that they travel only once
Prepared = tuple[Traced, Any]


class Raised(NamedTuple):
    """In place of what `prepare` would have given: that it raised, and what."""

    reason: Reason


def _begin(stages: bytes) -> None:
    global _stages
    _stages = pickle.loads(stages)


def _work(chunk: list[Traced], first: int, last: int) -> list[Prepared]:
    return work(chunk, _stages[first:last])


def work(chunk: Iterable[Traced], stages: Sequence[Stage]) -> list[Prepared]:
    """What needs no memory: `Each` stages, and at the end the `prepare` of an `InOrder` one (None where there is none).

    A `prepare` that raises hands on what it raised instead of a value; `in_order` puts it into the trace.
    """
    done: list[Prepared] = []
    for traced in chunk:
        now, prepared = traced, None
        for stage in stages:
            if isinstance(stage, Each):
                now = after(now, stage, stage.judge)
            elif now.fate == "kept":
                try:
                    prepared = stage.prepare(now.document)
                except Exception as error:
                    prepared = Raised(raised(error))
        done.append((now, prepared))
    return done


def in_order(stage: InOrder, memory: Any, prepared: Iterable[Prepared]) -> Iterator[Traced]:
    """The decisions of one `InOrder` stage."""

    def judge(value: Any, document: Document) -> Outcome | None:
        return stage.judge(memory, document, value)

    for traced, value in prepared:
        if isinstance(value, Raised):
            yield failed(traced, stage, value.reason)
        else:
            yield after(traced, stage, partial(judge, value))


# ------------------------------------------------------------------ all stages


class TooManyFailures(RuntimeError):
    """More documents made a stage raise than `max_failed` allows: the stage is broken, not the documents."""


@dataclass(frozen=True)
class Pipeline:
    """Stages in a row.

    Attributes:
        stages: in the order in which a document meets them; names are unique.
        max_failed: how many documents may make a stage raise before the run stops.
    """

    stages: Sequence[Stage]
    max_failed: int = 100

    def __post_init__(self) -> None:
        for stage in self.stages:
            if not isinstance(stage, Each | InOrder):
                raise TypeError(
                    f"stages holds {stage!r:.60}: expected stages, such as quality() of lablib.corpus.stages, with its brackets"
                )
        names = [stage.name for stage in self.stages]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(
                f"the stage name {twice[0]!r} stands twice in {names}: give each its own, since traces are told apart by it"
            )
        if self.max_failed < 0:
            raise ValueError(f"max_failed = {self.max_failed}: expected 0 or more documents")

    def run(
        self, documents: Iterable[Document], processes: int = 1, chunk: int = 64, folder: Path | None = None
    ) -> Iterator[Traced]:
        """Every document with its trace, kept or not, in the order of the corpus.

        Args:
            documents: ids unique; read as the results are taken.
            processes: how many share the work beside this one; 1 works here, with no other.
            chunk: documents that travel to a process at once.
            folder: where `InOrder` stages keep what they have seen; a temporary one, deleted at the end, if none is given.
        Raises:
            ValueError: no documents, processes or chunk below 1, or a stage that other processes cannot be sent.
            TypeError: something among the documents is no `Document`.
            TooManyFailures: see `max_failed`; everything before has been handed out.
        """
        if processes < 1 or chunk < 1:
            raise ValueError(f"processes = {processes}, chunk = {chunk}: expected at least 1 of each")
        stages, stream = tuple(self.stages), iter(documents)
        if (first := next(stream, None)) is None:
            raise ValueError(
                "documents is empty: expected at least one Document; a generator gives its items only once, so make it anew "
                "for a second run, or keep its items in a list"
            )
        stream = chain([first], stream)
        if processes == 1:
            yield from self._run(
                stream,
                lambda chunks, first, last: (work(part, stages[first:last]) for part in chunks),
                chunk,
                folder,
            )
            return
        # "spawn" is the one way to start a process that is the same on Linux, macOS and Windows and safe beside threads.
        pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (_portable(stages),))
        try:
            yield from self._run(
                stream, lambda chunks, first, last: _ahead(pool, chunks, first, last, 2 * processes), chunk, folder
            )
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        documents: Iterable[Document],
        share: Callable[..., Iterator[list[Prepared]]],
        chunk: int,
        folder: Path | None,
    ) -> Iterator[Traced]:
        with tempfile.TemporaryDirectory() as spare:
            stream: Iterator[Traced] = map(start, documents)
            memories, begin = [], 0
            try:
                for number, stage in enumerate(self.stages):
                    if isinstance(stage, InOrder):
                        name = re.sub(r"\W+", "_", stage.name)
                        memories.append(stage.open((folder or Path(spare)) / f"{number:02d}_{name}.seen"))
                        stream = in_order(stage, memories[-1], _flat(share(_chunks(stream, chunk), begin, number + 1)))
                        begin = number + 1
                stream = (traced for traced, _ in _flat(share(_chunks(stream, chunk), begin, len(self.stages))))
                yield from self._watched(stream)
            finally:
                for memory in memories:
                    memory.close()

    def _watched(self, stream: Iterator[Traced]) -> Iterator[Traced]:
        failed = 0
        for traced in stream:
            yield traced
            failed += traced.fate == "failed"
            if failed > self.max_failed:
                step = traced.steps[-1]
                raise TooManyFailures(
                    f"{failed} documents made a stage raise, more than max_failed = {self.max_failed}; the last is "
                    f"{traced.document.id!r} in stage {step.stage!r}: {step.reasons[0].rule}: {step.reasons[0].why}. "
                    "Mend the stage, or allow more with Pipeline(stages, max_failed=…)"
                )


def _chunks(stream: Iterator[Traced], size: int) -> Iterator[list[Traced]]:
    while part := list(islice(stream, size)):
        yield part


def _flat(parts: Iterable[list[Prepared]]) -> Iterator[Prepared]:
    for part in parts:
        yield from part


def _ahead(
    pool: ProcessPoolExecutor, chunks: Iterator[list[Traced]], first: int, last: int, window: int
) -> Iterator[list[Prepared]]:
    """The results in order, with at most `window` chunks under way: a plain `pool.map` would read the whole corpus at once."""
    if first == last:
        yield from (work(part, ()) for part in chunks)
        return
    under_way: deque[Future[list[Prepared]]] = deque()
    for part in chunks:
        under_way.append(pool.submit(_work, part, first, last))
        if len(under_way) == window:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _portable(stages: tuple[Stage, ...]) -> bytes:
    for stage in stages:
        try:
            packed = pickle.dumps(stage)
        except Exception as error:
            raise ValueError(
                f"stage {stage.name!r} cannot be sent to another process ({error}): take processes=1, or functions of a module"
            ) from None
        if b"__main__" in packed:
            raise ValueError(
                f"stage {stage.name!r} holds something defined in this notebook or script, which other processes cannot import: "
                "take processes=1, or move it into a module"
            )
    return pickle.dumps(stages)
