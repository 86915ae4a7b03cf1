"""A study: runs that differ in what their labels say, each a row of a record, and a command that goes on where it was broken off.

    def main(arguments=None):
        return study.main(Study("dpo", __spec__.name, "Studies of DPO.", STUDIES, tuned, perform, settings_of, said), arguments)

A run is known by its *settings*: all that decides how it goes and how it is judged. A row holds them and what came out. So a run that
stands in the file already, or in that of another part of the study, is not made again, whatever its label is, and whatever type of
number it was computed in (`recipe.HOW`). The file is written anew behind every run that is made. Runs of seeds that a command does not ask
for stay; of those that it asks for, runs under settings that are no longer the study's go.

    python -m lablib.alignment.dpo_study beta noise --folder data/experiments           # dpo_beta.json and dpo_noise.json
    python -m lablib.alignment.dpo_study beta --folder data/experiments --part 1/2      # on one of two machines or cores …
    python -m lablib.alignment.dpo_study beta --folder data/experiments --part 2/2      # … and on the other; then the whole as above

Left out: starting several processes (parts are started by hand).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from lablib.pretraining.experiments import write

SEEDS = (0, 1, 2)
Row = dict[str, Any]


class Labelled(Protocol):
    """What a run has at least: its label and its seed."""

    @property
    def label(self) -> str: ...

    @property
    def seed(self) -> int: ...


R = TypeVar("R", bound=Labelled)
M = TypeVar("M")


@dataclass(frozen=True)
class Study(Generic[R, M]):
    """What a command needs to know of its study.

    Attributes:
        prefix: of the files, PREFIX_NAME.json. module: its name, as in `python -m MODULE`. about: a sentence.
        experiments: name -> the runs, for some seeds.
        load: the model that all runs begin with.
        perform: (run, model) -> what a run adds to its settings.
        settings: (run, model) -> what decides how it goes and how it is judged, as JSON has it; its "label" tells nothing apart.
        said: a row in a few words.
    """

    prefix: str
    module: str
    about: str
    experiments: Mapping[str, Callable[[Sequence[int]], Iterable[R]]]
    load: Callable[[], M]
    perform: Callable[[R, M], Row]
    settings: Callable[[R, M], Row]
    said: Callable[[Row], str]


def rows_of(
    runs: Sequence[R],
    path: Path,
    command: str,
    settings: Callable[[R], Row],
    perform: Callable[[R], Row],
    said: Callable[[Row], str],
    others: Sequence[Row] = (),
) -> list[Row]:
    """The rows of all runs, those in the file or among others taken from there; the file is written anew after each run that is made.

    Args: path: of the record; runs that stand there already stay. command: what makes it. others: rows of other files.
    """
    made: list[Row] = read(path) if path.exists() else []
    rows: list[Row] = []
    for number, run in enumerate(runs, 1):
        wanted = settings(run)
        row = next((row for row in [*made, *others] if _same(row, wanted)), None)
        if row is None:
            begin = time.perf_counter()
            row = {**wanted, **perform(run)}
            made.append(row)
            write(path.parent, path.stem, command, made)
            took = f"{time.perf_counter() - begin:.0f} s"
            print(f"{number}/{len(runs)}  {run.label}, seed {run.seed}: {said(row)}; {took}", flush=True)
        rows.append({**row, "label": run.label})
    return rows


def _same(row: Row, wanted: Row) -> bool:
    return all(_what(row.get(name)) == _what(value) for name, value in wanted.items() if name != "label")


def _what(value: Any) -> Any:
    """A setting without what says only how it is computed."""
    return {name: _what(v) for name, v in value.items() if name != "dtype"} if isinstance(value, dict) else value


def read(path: Path) -> list[Row]:
    """The rows of a record."""
    return list(json.loads(path.read_text(encoding="utf-8"))["runs"])


def _part(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected such as 1/2, the first of two parts")
    return int(number), int(of)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number >= 0")
    return int(text)


def main(study: Study[Any, Any], arguments: Sequence[str] | None = None) -> int:
    """The command of a study; 0 when the records were written, 2 where no run is left to make."""
    prog, names = f"python -m {study.module}", ", ".join(study.experiments)
    parser = argparse.ArgumentParser(prog=prog, description=study.about)
    parser.add_argument("studies", nargs="+", choices=study.experiments, metavar="STUDY", help=names)
    parser.add_argument(
        "--folder", type=Path, required=True, help=f"where the records go, {study.prefix}_STUDY.json each"
    )
    parser.add_argument("--seeds", type=_seed, nargs="+", default=list(SEEDS), help="(0 1 2)")
    parser.add_argument("--only", help="runs whose label contains this")
    parser.add_argument("--part", type=_part, help="K/N: every N-th run from the K-th on, in a file of its own")
    given = parser.parse_args(arguments)
    model = study.load()
    for name in given.studies:
        every = list(study.experiments[name](given.seeds))
        runs = [run for run in every if given.only is None or given.only in run.label]
        stem = f"{study.prefix}_{name}"
        parts = sorted(given.folder.glob(f"{stem}_part*.json"))
        if given.part is not None:
            number, of = given.part
            runs, stem = runs[number - 1 :: of], f"{stem}_part{number}of{of}"
        if not runs:
            print(f"{prog}: --only {given.only!r}: no run of {name} is left to make", file=sys.stderr)
            return 2
        path: Path = given.folder / f"{stem}.json"
        kept: list[Row] = []  # of other seeds; parts are taken up by the whole
        for file in [path, *(parts if given.part is None else [])]:
            rows_there = read(file) if file.exists() else []
            kept += [row for row in rows_there if row["seed"] not in given.seeds and row not in kept]
        asked = [*given.seeds, *sorted({row["seed"] for row in kept})]
        seeds = "" if sorted(asked) == list(SEEDS) else f" --seeds {' '.join(map(str, asked))}"
        command = f"{prog} {name} --folder data/experiments{seeds}"
        others = [
            row for other in sorted(given.folder.glob(f"{study.prefix}_*.json")) if other != path for row in read(other)
        ]
        rows = rows_of(
            runs,
            path,
            command,
            lambda run: study.settings(run, model),
            lambda run: study.perform(run, model),
            study.said,
            others,
        )
        # the record holds these runs in their order, behind them those of other seeds, and no other
        if given.only is None:
            write(given.folder, stem, command, [*rows, *kept])
        if given.only is None and given.part is None:
            for part in parts:  # all that stood there stands in the whole
                part.unlink()
    return 0
