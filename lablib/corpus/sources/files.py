"""Where a source's files lie and what is in them: its own on a server, or those that are given; each as numbered rows and damages."""

import fnmatch
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from lablib.corpus.sources.catalogue import CRAWL, Source
from lablib.corpus.sources.readers import Row, json_rows, parquet_rows
from lablib.corpus.sources.remote import HttpFile, reach
from lablib.corpus.sources.retry import Retry, Transient
from lablib.corpus.sources.through_datasets import Stopped, dataset_rows, hub_address, hub_files, hub_rows
from lablib.corpus.sources.trouble import Damage, SourceUnavailable, WrongFormat
from lablib.corpus.sources.unpack import packing, unpacked
from lablib.corpus.sources.warc import warc_rows

BASE = f"https://{CRAWL}/"
PARQUET, WARC = b"PAR1", b"WARC/"
TEXTS = frozenset(
    {"text", "instruction", "context", "response", "category", "chosen", "rejected"}
)  # columns of JSON lines


def is_address(file: str) -> bool:
    return file.startswith(("http://", "https://"))


def label_of(source: Source, file: str, labels: dict[str, str]) -> str:
    """What stands for a file in ids: its path as the source has it, such as "en/c4-train.00000-of-01024.json.gz", else its name; more of
    its path where a file before it has the same.
    """
    parts = file.replace("\\", "/").split("/")
    least = 1
    for pattern in source.files.values():
        count = pattern.count("/") + 1
        if fnmatch.fnmatchcase("/".join(parts[-count:]), pattern):
            least = count
    for count in range(least, len(parts) + 1):
        label = "/".join(parts[-count:])
        if label not in labels:
            break
    labels[label] = file
    return label


def own_files(source: Source, split: str | None, retry: Retry) -> Iterator[str]:
    if source.host != CRAWL:
        yield from hub_files(source, split, retry)
        return
    try:
        reach(BASE)
    except Transient as error:
        raise SourceUnavailable(str(error)) from None
    with HttpFile(f"{BASE}crawl-data/{source.place}/{source.pattern(split)}", retry) as listing:
        pieces = list(unpacked(listing, listing.name))
    if damages := [piece for piece in pieces if isinstance(piece, Damage)]:
        raise SourceUnavailable(f"the list of its files is damaged: {damages[0]}")
    yield from (
        BASE + path for path in b"".join(piece for piece in pieces if isinstance(piece, bytes)).decode().split()
    )


def rows_of(source: Source, file: str, retry: Retry) -> Iterator[Row | Damage]:
    """The rows of one file: through `datasets` where it is installed and reads the format, and with care where it stops."""
    builder = "parquet" if source.format == "parquet" else "json"
    done, texts = 0, TEXTS.intersection(source.columns)
    if source.format[0] != "W" and not is_address(file) and find_spec("datasets"):
        if not file.startswith("hf://"):
            with open(file, "rb") as opened:
                _check_format(source, opened, file)
        quick = hub_rows(file, builder, retry) if file.startswith("hf://") else dataset_rows(file, builder)
        try:
            for row in quick:
                if builder == "json" and any(not isinstance(row.get(column), str) for column in texts):
                    break  # Arrow guesses types, and takes texts that all look like dates for dates
                done += 1
                yield done, row
            else:
                if done:
                    return
        except Transient as error:
            raise SourceUnavailable(f"{file}: {error}") from None
        except Stopped:
            pass
    yield from _careful_rows(source, file, retry, done)


def _careful_rows(source: Source, file: str, retry: Retry, done: int) -> Iterator[Row | Damage]:
    """With care, behind the first `done` rows, which were yielded before."""
    with _opened(file, retry) as opened:
        if not opened.read(1):
            yield Damage(file, "byte", 0, "the file is empty")
            return
        opened.seek(0)
        _check_format(source, opened, file)
        opened.seek(0)
        rows: Iterator[Row | Damage]
        if source.format[0] == "W":
            rows = warc_rows(opened, file, "conversion" if source.format == "WET" else "response")
        else:
            rows = parquet_rows(opened, file) if source.format == "parquet" else json_rows(opened, file)
        found, said = 0, False
        for step in rows:
            found += 1
            broken = getattr(opened, "broken", "")  # of a file on a server
            if isinstance(step, Damage):
                yield step._replace(reason=f"{step.reason} ({broken})") if broken else step
                said = said or bool(broken)
            elif step[0] > done:
                yield step
        if (
            broken := getattr(opened, "broken", "")
        ) and not said:  # it broke between two rows, of which the second never came
            yield Damage(file, "byte", opened.tell(), broken)
        elif not found:
            yield Damage(file, "byte", 0, "no record in it")


def _opened(file: str, retry: Retry) -> Any:
    if file.startswith("hf://"):
        return HttpFile(hub_address(file), retry)
    return HttpFile(file, retry) if is_address(file) else Path(file).open("rb")


def _check_format(source: Source, opened: IO[bytes], file: str) -> None:
    """Raises `WrongFormat` if the file's first bytes are those of another format."""
    start = opened.read(4)
    opened.seek(0)
    if not start:
        return
    if packing(start):
        pieces = unpacked(opened, file)
        inside = next((piece for piece in pieces if isinstance(piece, bytes) and piece), b"")
        opened.seek(0)
    else:
        inside = opened.read(64)
        opened.seek(0)
    is_format = next(
        (name for magic, name in ((PARQUET, "parquet"), (WARC, "WARC or WET")) if inside.startswith(magic)), ""
    )
    wrong = {
        "p": not start.startswith(PARQUET),
        "W": bool(inside) and not inside.startswith(WARC),
        "j": bool(is_format) or inside.lstrip()[:1] in (b"[", b"<"),
    }[source.format[0]]
    if wrong:
        raise WrongFormat(
            f"{file} begins with {(inside or start)[:16]!r}{f', as {is_format} does' if is_format else ''}: "
            f"expected the format of {source.name!r}, {source.format}"
        )
