"""The same stages on datatrove, the library that FineWeb was made with (Penedo et al. 2024).

datatrove strings "pipeline steps" together, generators that pass documents on, and hands the list to an executor:
`LocalPipelineExecutor(pipeline=[...], tasks=4, logging_dir=...)` here; `SlurmPipelineExecutor(pipeline=[...], tasks=500,
time="4:00:00", partition=...)` on a cluster that Slurm manages, `RayPipelineExecutor(pipeline=[...], tasks=500)` on one that Ray
manages. All three take the same list. Each task reads its own share of the files, so a stage that looks at each document alone runs
on any number of machines at once.

A stage with a memory (copies) cannot: two tasks know nothing of each other. So it refuses more than one task, and a corpus for many
machines goes in two or three runs: what looks at each document alone in many tasks, the copies in one, or by datatrove's own MinHash
steps, which share the work by band. Every executor takes `depends=` the one before.

`ReadJsonl` and `WriteJsonl` read and write what `lablib.corpus.pipeline.write` does; datatrove's JsonlReader and JsonlWriter do too,
and compress, where `orjson` is installed.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from datatrove.data import Document as TroveDocument
from datatrove.pipeline.base import PipelineStep

from lablib.corpus.document import Document
from lablib.corpus.pipeline import Each, InOrder, Reason, Stage, Step, Traced, in_order, work

Documents = Iterator[TroveDocument]


def to_datatrove(traced: Traced) -> TroveDocument:
    """Our document and its trace as datatrove's document: all but text and id goes into its metadata, as plain values."""
    row = traced.row()
    return TroveDocument(text=row.pop("text"), id=row.pop("id"), metadata=row)


def from_datatrove(document: TroveDocument) -> Traced:
    """datatrove's document as ours, with the trace so far; one from another reader gets the source "datatrove"."""
    known: dict[str, Any] = document.metadata
    steps = tuple(
        Step(**{**step, "reasons": tuple(Reason(**reason) for reason in step["reasons"])})
        for step in known.get("trace", ())
    )
    licence, kind = known.get("licence", "unknown"), known.get("kind", "")
    ours = Document(document.text, document.id, known.get("source", "datatrove"), licence, kind)
    return Traced(ours, known.get("characters_in", len(document.text)), steps)


class ReadJsonl(PipelineStep):
    """Reads a folder's *.jsonl files, a document a line; of n tasks the k-th reads every n-th file from the k-th on."""

    type = "📖 - READER"
    name = "documents"

    def __init__(self, folder: Path | str) -> None:
        super().__init__()
        self.folder = str(folder)

    def run(self, data: Documents | None = None, rank: int = 0, world_size: int = 1) -> Documents:
        """Yields this task's documents.

        Raises:
            FileNotFoundError: the folder has no *.jsonl file.
        """
        files = sorted(Path(self.folder).glob("*.jsonl"))
        if not files:
            raise FileNotFoundError(
                f"folder = {self.folder!r} holds no *.jsonl file: expected one document a line, with text, id and source"
            )
        for file in files[rank::world_size]:
            with file.open(encoding="utf-8") as lines:
                for line in lines:
                    row = json.loads(line)
                    known = {name: row[name] for name in ("source", "licence", "kind") if name in row}
                    self.stat_update("documents")
                    yield to_datatrove(Traced(Document(row["text"], row["id"], **known), len(row["text"])))


class StageStep(PipelineStep):
    """One stage of `lablib.corpus.pipeline` as a step of datatrove; what the stage says of a document is added to its trace.

    Args:
        stage: an `Each` or an `InOrder`.
        aside: a folder for the documents that are dropped or that make the stage raise; None forgets them, but for their number.
    """

    type = "🔻 - FILTER"

    def __init__(self, stage: Stage, aside: Path | str | None = None) -> None:
        self.name = stage.name
        super().__init__()
        self.stage, self.aside = stage, None if aside is None else str(aside)

    def run(self, data: Documents, rank: int = 0, world_size: int = 1) -> Documents:
        """Yields the documents that the stage keeps.

        Raises:
            ValueError: an `InOrder` stage among several tasks.
        """
        if isinstance(self.stage, InOrder) and world_size != 1:
            raise ValueError(
                f"stage {self.stage.name!r} remembers what it has seen, and world_size = {world_size} tasks do not share a memory: "
                "run it with tasks=1 behind the others (depends=…), or take datatrove's MinhashDedupSignature and the steps behind it"
            )
        files: dict[str, TextIO] = {}
        with contextlib.ExitStack() as open_things:
            for traced in self._judged(map(from_datatrove, data), open_things):
                document = to_datatrove(traced)
                self.stat_update("total", traced.fate)
                if traced.fate == "kept":
                    self.update_doc_stats(document)
                    yield document
                    continue
                self.stat_update(*(f"{traced.fate}_{reason.rule}" for reason in traced.steps[-1].reasons))
                if self.aside:
                    self._put_aside(traced, rank, files, open_things)

    def _put_aside(
        self, traced: Traced, rank: int, files: dict[str, TextIO], open_things: contextlib.ExitStack
    ) -> None:
        if (
            traced.fate not in files
        ):  # a file for each stage and task, so that a task that is run again writes its own anew
            path = Path(str(self.aside)) / f"{traced.fate}_{self.name.replace(' ', '_')}_{rank:05d}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            files[traced.fate] = open_things.enter_context(path.open("w", encoding="utf-8", buffering=1))
        files[traced.fate].write(json.dumps(traced.row()) + "\n")

    def _judged(self, stream: Iterator[Traced], open_things: contextlib.ExitStack) -> Iterator[Traced]:
        prepared = (pair for traced in stream for pair in work([traced], [self.stage]))
        if isinstance(self.stage, Each):
            yield from (traced for traced, _ in prepared)
            return
        folder = open_things.enter_context(tempfile.TemporaryDirectory())
        memory = open_things.enter_context(contextlib.closing(self.stage.open(Path(folder) / "seen")))
        yield from in_order(self.stage, memory, prepared)


class WriteJsonl(PipelineStep):
    """Writes what arrives to kept_00000.jsonl, one file for each task, and passes it on."""

    type = "💽 - WRITER"
    name = "documents"

    def __init__(self, folder: Path | str) -> None:
        super().__init__()
        self.folder = str(folder)

    def run(self, data: Documents, rank: int = 0, world_size: int = 1) -> Documents:
        """Yields the documents once they are written."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        with (Path(self.folder) / f"kept_{rank:05d}.jsonl").open("w", encoding="utf-8", buffering=1) as file:
            for document in data:
                file.write(json.dumps(from_datatrove(document).row()) + "\n")
                self.stat_update("documents")
                yield document


def steps(stages: Sequence[Stage], source: Path | str, result: Path | str) -> list[PipelineStep]:
    """The list that any of datatrove's executors takes: read the source's *.jsonl, all stages, write into the result folder."""
    return [ReadJsonl(source), *(StageStep(stage, aside=result) for stage in stages), WriteJsonl(result)]


def write_source(documents: Iterator[Document] | Sequence[Document], path: Path) -> None:
    """Writes documents as the *.jsonl that `ReadJsonl` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(asdict(document)) + "\n")


def run_local(
    stages: Sequence[Stage], source: Path | str, result: Path | str, tasks: int = 1, logs: Path | str | None = None
) -> Any:
    """Runs stages on this machine with datatrove's LocalPipelineExecutor, its log lines kept off the screen.

    Args:
        source: a folder of *.jsonl files, shared among the tasks.
        result: a folder for kept_00000.jsonl (one for each task) and, for each stage that took something out,
            dropped_STAGE_00000.jsonl or failed_….
        tasks: 1 where a stage is `InOrder`; they run one after the other here (`workers=1`), at once on a cluster.
        logs: datatrove's log folder, which also remembers which tasks are done; a temporary one if none is given.
    Returns:
        datatrove's `PipelineStats`: what each step counted.
    """
    from datatrove.executor import LocalPipelineExecutor
    from loguru import logger

    logger.disable("datatrove")
    try:
        with tempfile.TemporaryDirectory() as spare:
            return LocalPipelineExecutor(
                steps(stages, source, result), tasks=tasks, workers=1, logging_dir=str(logs or spare)
            ).run()
    finally:
        logger.enable("datatrove")
