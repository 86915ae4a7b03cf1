"""What a step leaves behind, and where to put it: the stream of `Step`s goes through these on its way to whoever watches.

    for step in to_csv(to_jsonl(train(model, batches, recipe), "run/steps.jsonl"), "run/steps.csv"):
        chart.add(step.step, loss=step.loss)

Each passes every step on as it came. A file goes on where a resumed run goes on: lines of later steps, from before a crash, are dropped.

Left out: dashboards on somebody's server (they read JSONL, too).
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Step:
    """One update of the weights.

    Attributes:
        step: its number, from 1: how many updates the weights have had.
        loss: of its batch, before the update: nats per token, mean over the tokens of all processes.
        gradient_norm: over all weights, before clipping.
        lr: learning rate of AdamW in this step.
        tokens: predictions learned from so far, since the first step of the run.
        seconds: of this step, from asking for the batch to the end of the update. tokens_per_second: of all processes.
        mfu: share of the hardware's peak that went into the model's own arithmetic; None where FLOPs or peak are not given.
        stopped: the run ends here because somebody pressed Ctrl-C.
    """

    step: int
    loss: float
    gradient_norm: float
    lr: float
    tokens: int
    seconds: float
    tokens_per_second: float
    mfu: float | None = None
    stopped: bool = False


COLUMNS = [field.name for field in fields(Step)]


def to_jsonl(steps: Iterator[Step], path: str | Path) -> Iterator[Step]:
    """Write each step as a line of JSON, at once, and pass it on."""

    def number(line: str) -> int:
        return int(json.loads(line)["step"])

    yield from _to_lines(steps, Path(path), "", number, lambda step: json.dumps(asdict(step)))


def to_csv(steps: Iterator[Step], path: str | Path) -> Iterator[Step]:
    """Write each step as a row of a table with a heading, at once, and pass it on; None is an empty cell."""

    def line(step: Step) -> str:
        return ",".join("" if value is None else str(value) for value in asdict(step).values())

    yield from _to_lines(steps, Path(path), ",".join(COLUMNS), lambda row: int(next(csv.reader([row]))[0]), line)


def to_tensorboard(steps: Iterator[Step], folder: str | Path) -> Iterator[Step]:
    """Write each number of each step where `tensorboard --logdir FOLDER` shows it, and pass the step on.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "to_tensorboard needs the package tensorboard: `pip install tensorboard`, or use to_jsonl or to_csv, which need nothing"
        ) from error
    writer = None
    try:
        for step in steps:
            if writer is None:
                writer = SummaryWriter(str(folder), purge_step=step.step)
            for name, value in asdict(step).items():
                if name not in ("step", "stopped") and value is not None:
                    writer.add_scalar(name, value, step.step)
            yield step
    finally:
        if writer is not None:
            writer.close()


def _to_lines(
    steps: Iterator[Step], path: Path, heading: str, number: Callable[[str], int], line: Callable[[Step], str]
) -> Iterator[Step]:
    """Append lines to a file, once what it holds of later steps, and a line that was cut short, is cut away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file: TextIO | None = None
    try:
        for step in steps:
            if file is None:
                file = path.open("a+", encoding="utf-8", newline="\n")
                kept = _kept(file, heading, number, step.step)
                if not kept and heading:
                    file.write(heading + "\n")
            file.write(line(step) + "\n")
            file.flush()
            yield step
    finally:
        if file is not None:
            file.close()


def _kept(file: TextIO, heading: str, number: Callable[[str], int], first: int) -> int:
    """Cut a file before the first line that is cut short or has a step of at least `first`; the characters that stay."""
    file.seek(0)
    kept = 0
    for i, row in enumerate(file.read().splitlines(keepends=True)):
        try:
            good = row.endswith("\n") and (row.rstrip("\n") == heading if heading and i == 0 else number(row) < first)
        except (ValueError, KeyError, IndexError):
            good = False
        if not good:
            break
        kept += len(row)  # a character is a byte: the lines are ASCII
    file.seek(0)
    file.truncate(kept)
    file.seek(kept)
    return kept


def read_jsonl(path: str | Path) -> list[Step]:
    """The steps that `to_jsonl` wrote."""
    return [Step(**json.loads(line)) for line in Path(path).read_text(encoding="utf-8").splitlines()]
