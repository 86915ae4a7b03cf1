"""Rows of JSON lines and of parquet files, read with care: each damage is named with its place, and the rows around it are kept.

`datasets` reads the same formats faster, but gives up a whole block of rows when one of them is broken, and cannot say which; so
`lablib.corpus.sources.streaming` lets it read what is sound and comes here when it stops.
"""

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from lablib.corpus.sources.trouble import Damage
from lablib.corpus.sources.unpack import unpacked

ROWS = 64  # of a parquet file that are made Python objects at a time: those before a broken page are not lost with it
Row = tuple[int, dict[str, Any]]  # its number in the file, from 1, and its columns


def json_rows(file: IO[bytes], name: str) -> Iterator[Row | Damage]:
    """JSON lines, plain or packed with gzip or zstandard -> rows. Empty lines are no rows; a line that is broken counts as one.

    Bytes that are no UTF-8 become U+FFFD (and are named), so that the rest of the line is not lost.
    """
    yield from rows_of_lines(unpacked(file, name), name)


def rows_of_lines(pieces: Iterable[bytes | Damage], name: str) -> Iterator[Row | Damage]:
    """The same from pieces of bytes that may end anywhere, with damages in between."""
    held: list[bytes] = []  # an unfinished line
    torn: bytes | None = None  # the beginning of the line that a damage tore
    line = row = 0

    def finished(raw: bytes) -> Iterator[Row | Damage]:
        nonlocal line, row, torn
        line += 1
        if not raw.strip():
            return
        row += 1
        found, wrong = _parsed(raw)
        if found is None and torn is not None:  # behind a damage: the end of the line that it tore, or both its ends
            found, wrong = _parsed(torn + raw)
            wrong = "" if found is None else wrong  # the damage itself says what was lost
        torn = None
        if wrong:
            yield Damage(name, "line", line, wrong)
        if found is not None:
            yield row, found

    for piece in pieces:
        if isinstance(piece, Damage):
            rest, held = b"".join(held), []
            whole = _parsed(rest)[0] if rest.strip() else None
            if whole is not None:  # only the line's end was missing
                yield from finished(rest)
            yield piece
            torn = b"" if whole is not None else rest
            continue
        *lines, rest = piece.split(b"\n")
        for end in lines:
            yield from finished(b"".join([*held, end]))
            held = []
        held.append(rest)
    yield from finished(b"".join(held))


def _parsed(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """One line -> its object, or None; and what is wrong with it, "" if nothing."""
    wrong = ""
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{raw[error.start]:02x} at offset {error.start} of the line is not utf-8: read with U+FFFD in its place"
        text = raw.decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError as error:
        return None, f"no JSON ({error}); left out"
    except RecursionError:
        return None, "JSON that is nested too deeply; left out"
    if not isinstance(found, dict):
        return None, f"a JSON {type(found).__name__}: expected an object with named columns; left out"
    return found, wrong


def parquet_rows(file: IO[bytes], name: str) -> Iterator[Row | Damage]:
    """A parquet file -> rows. What is broken costs the rest of its row group.

    The footer says where every column lies: a file that was cut short has none, and nothing of it can be read.
    """
    import pyarrow
    import pyarrow.parquet

    size = file.seek(0, 2)
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        reason = f"no footer that says where the columns lie ({_first_line(error)}): cut short, or not parquet; nothing can be read"
        yield Damage(name, "byte", size, reason)
        return
    before = 0
    for group in range(table.num_row_groups):
        rows, row = table.metadata.row_group(group).num_rows, before
        try:
            for batch in table.iter_batches(batch_size=ROWS, row_groups=[group]):
                for found in _objects(batch, name, row):
                    row += 1
                    yield found if isinstance(found, Damage) else (row, found)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            lost = f"rows {row + 1:,} to {before + rows:,} are left out"
            yield Damage(name, "row group", group + 1, f"{_first_line(error)}; {lost}")
        before += rows


def _objects(batch: Any, name: str, before: int) -> Iterator[dict[str, Any] | Damage]:
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for i in range(batch.num_rows):
        try:
            yield from batch.slice(i, 1).to_pylist()
        except UnicodeDecodeError as error:
            yield Damage(name, "row", before + i + 1, f"bytes that are not utf-8 ({error.reason}); left out")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
