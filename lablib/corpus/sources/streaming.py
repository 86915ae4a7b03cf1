"""One stream for every source: from files on this computer, from addresses, or from where the source lies.

Nothing is read before it is asked for, and never a whole set: `limit` records cost about as much of the first file as they take up.
The order is that of the files and of the rows in them. An id says where a record stands: `c4/en/c4-train.00000-of-01024.json.gz/17` is
source, file and row (from 1), and so unique and the same in every run.
"""

import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args, overload

from lablib.corpus.document import Document
from lablib.corpus.sources.catalogue import CRAWL, Source, known
from lablib.corpus.sources.conversations import Example, PreferencePair
from lablib.corpus.sources.files import is_address, label_of, own_files, rows_of
from lablib.corpus.sources.retry import Retry
from lablib.corpus.sources.rows import Record, to_record
from lablib.corpus.sources.trouble import (
    INSTEAD,
    Damage,
    DamagedFile,
    DamagedFileWarning,
    OnError,
    SourceReport,
    SourceUnavailable,
    WrongFormat,
)

PACKAGES = {"WET": "warcio", "WARC": "warcio", "zst": "zstandard", "parquet": "pyarrow"}  # by what a format ends with

Documents = Literal[
    "common-crawl", "common-crawl-warc", "c4", "the-pile", "refinedweb", "fineweb-edu", "tinystories", "wikipedia"
]
Files = str | PathLike[str] | Sequence[str | PathLike[str]]


@overload
def stream(
    name: Documents,
    files: Files | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    on_error: OnError = "raise",
    report: SourceReport | None = None,
    retry: Retry | None = None,
) -> Iterator[Document]: ...
@overload
def stream(
    name: Literal["dolly"],
    files: Files | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    on_error: OnError = "raise",
    report: SourceReport | None = None,
    retry: Retry | None = None,
) -> Iterator[Example]: ...
@overload
def stream(
    name: Literal["ultrafeedback", "hh-rlhf"],
    files: Files | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    on_error: OnError = "raise",
    report: SourceReport | None = None,
    retry: Retry | None = None,
) -> Iterator[PreferencePair]: ...
@overload
def stream(
    name: str,
    files: Files | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    on_error: OnError = "raise",
    report: SourceReport | None = None,
    retry: Retry | None = None,
) -> Iterator[Record]: ...
def stream(
    name: str,
    files: Files | None = None,
    *,
    split: str | None = None,
    limit: int | None = None,
    on_error: OnError = "raise",
    report: SourceReport | None = None,
    retry: Retry | None = None,
) -> Iterator[Any]:
    """The records of a source, one after the other.

    Args:
        name: of a source, such as "c4"; `describe()` has them all.
        files: paths or addresses (https://…) of files in the source's format; None: where the source itself lies.
        split: such as "train", where the source itself lies; None: the usual one.
        limit: the most records; None: all.
        on_error: what to do at a damaged place, after all that stands before it was yielded: "raise" a `DamagedFile`, or "skip" it,
            count it in the report and go on behind it, at the next packed piece, line, record or row group.
        report: filled while the records are taken. With "skip" and without it, a warning at the end says what was skipped.
        retry: how patient to be with a server; None: up to a minute.

    Returns:
        `Document`s, `Example`s or `PreferencePair`s, as the source gives.

    Raises:
        ValueError: an unknown name, split or `on_error`, a limit below 0, a file named twice.
        FileNotFoundError: a file is not there.
        WrongFormat: a file is of another format, or lacks columns that the source has.
        SourceUnavailable: no network, no such file on the server, or a package is missing: what it needs, and what runs instead.
        DamagedFile: while the records are taken, with "raise".
    """
    source = known(name)
    source.pattern(split)
    if on_error not in get_args(OnError):
        raise ValueError(f"on_error = {on_error!r}: expected 'raise' or 'skip'")
    if limit is not None and limit < 0:
        raise ValueError(f"limit = {limit}: expected the most records to read, 0 or more, or None for all")
    given = None if files is None else _given(files)
    for package in _packages(source, given):
        if importlib.util.find_spec(package) is None:
            raise SourceUnavailable(
                f'the source {name!r} needs the package {package}: `pip install "data-to-dialogue[data]"`; {INSTEAD}'
            )
    counted = SourceReport() if report is None else report
    steps = _records(source, given, split, retry or Retry(), counted)
    return _taken(steps, limit, on_error, counted, said=report is not None)


def _packages(source: Source, given: list[str] | None) -> list[str]:
    """What must be installed: for the hub `datasets`, for some formats a reader; JSON lines, plain or gzipped, need none."""
    from_hub = source.host != CRAWL if given is None else any(file.startswith("hf://") for file in given)
    endings = dict.fromkeys(name.rpartition(".")[2] for name in (source.format, *(given or ())))
    return ["datasets"] * from_hub + [PACKAGES[ending] for ending in endings if ending in PACKAGES]


def _given(files: Files) -> list[str]:
    listed = [files] if isinstance(files, str | PathLike) else list(files)
    names = [str(file) for file in listed]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"files names {name!r} twice: expected each file once, for its records have one id")
        if not is_address(name) and not Path(name).is_file():
            raise FileNotFoundError(
                f"the file {name!r} is not there: expected a file in the source's format, or an address with https://"
            )
    return names


def _taken(
    steps: Iterator[Record | Damage], limit: int | None, on_error: OnError, report: SourceReport, said: bool
) -> Iterator[Record]:
    """Counts, stops at the limit, raises or skips at a damage."""
    first = len(report.damages)
    taken = 0
    while limit is None or taken < limit:
        step = next(steps, None)
        if step is None:
            break
        if isinstance(step, Damage):
            report.damages.append(step)
            if on_error == "raise":
                raise DamagedFile(step)
            continue
        taken += 1
        report.records += 1
        report.bytes += _size(step)
        yield step
    skipped = report.damages[first:]
    if skipped and not said:
        warnings.warn(
            f"{len(skipped)} damaged places were skipped, the first: {skipped[0]}", DamagedFileWarning, stacklevel=2
        )


def _size(record: Record) -> int:
    if isinstance(record, Document):
        return len(record.text.encode())
    turns = record.turns if isinstance(record, Example) else (*record.prompt, *record.chosen, *record.rejected)
    return sum(len(turn.text.encode()) for turn in turns)


def _records(
    source: Source, given: list[str] | None, split: str | None, retry: Retry, report: SourceReport
) -> Iterator[Record | Damage]:
    try:
        files = iter(given) if given is not None else own_files(source, split, retry)
        labels: dict[str, str] = {}
        for file in files:
            report.files.append(file)
            label = label_of(source, file, labels)
            checked = False
            for step in rows_of(source, file, retry):
                if isinstance(step, Damage):
                    yield step
                    continue
                number, row = step
                missing = [column for column in source.columns if column not in row] if source.format[0] != "W" else []
                if missing and not checked:
                    raise WrongFormat(
                        f"{file}: its rows have the columns {', '.join(row)}: expected those of {source.name!r}, "
                        f"{', '.join(source.columns)} (missing: {', '.join(missing)})"
                    )
                checked = True
                try:
                    record = to_record(source, row, f"{source.name}/{label}/{number}")
                except ValueError as error:
                    yield Damage(file, "row", number, f"{error}; left out")
                    continue
                if record is None:
                    report.empty += 1
                else:
                    yield record
    except SourceUnavailable as error:
        raise SourceUnavailable(_needs(source, str(error), given)) from None


def _needs(source: Source, why: str, given: list[str] | None) -> str:
    if given is not None:
        return f"{why}; {INSTEAD}"
    much = f"about {source.one_file} for a whole file, less with a limit"
    return f"{source.name!r} needs {source.host} ({much}): {' '.join(why.split())}; {INSTEAD}"
