"""gzip and zstandard files unpacked piece by piece, so that damage costs only the damaged piece.

Both formats are a row of independent pieces (gzip calls them members, RFC 1952; zstandard frames, RFC 8878). Common Crawl packs each
record as a member of its own; most other files are one piece. A library that unpacks a whole file stops at the first wrong byte and
throws away what it had in hand. Here the bytes before the damage come first, then the damage with its offset, then the next piece.

What no reader can see: a wrong byte that still unpacks. gzip always carries a checksum that tells; a zstandard frame only where its writer
asked for one.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any

from lablib.corpus.sources.trouble import Damage

CHUNK = 1 << 16  # packed bytes that are read at a time
TRIAL = 1 << 10  # packed bytes that a supposed beginning must unpack without error
GZIP, ZSTANDARD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"  # how a piece begins


def packing(start: bytes) -> bytes:
    """By its first bytes: `GZIP`, `ZSTANDARD`, or b"" for a file that is not packed.

    >>> packing(b"\\x1f\\x8b\\x08\\x00") == GZIP, packing(b'{"text"')
    (True, b'')
    """
    return next((magic for magic in (GZIP, ZSTANDARD) if start.startswith(magic)), b"")


def _new(magic: bytes) -> Any:
    if magic == GZIP:
        return zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _errors() -> tuple[type[Exception], ...]:
    try:
        import zstandard
    except ImportError:
        return (zlib.error,)
    return (zlib.error, zstandard.ZstdError)


class _Window:
    """A file read from front to back: what was read and not yet used, and where that stands."""

    def __init__(self, file: Any) -> None:
        self.file, self.held, self.start = file, b"", 0

    def has(self, count: int) -> bool:
        while len(self.held) < count and (more := self.file.read(CHUNK)):
            self.held += more
        return len(self.held) >= count

    def take(self) -> bytes:
        """The next bytes, b"" at the end of the file."""
        taken = self.held or self.file.read(CHUNK)
        self.held, self.start = b"", self.start + len(taken)
        return bytes(taken)

    def put_back(self, data: bytes) -> None:
        self.held, self.start = data + self.held, self.start - len(data)

    def jump(self, place: int) -> None:
        self.held, self.start = b"", self.file.seek(place)


def unpacked(file: Any, name: str) -> Iterator[bytes | Damage]:
    """The unpacked bytes of a file, in pieces of any size; a `Damage` where something is wrong or missing.

    Args:
        file: open for reading bytes, at its start; able to seek, which is done behind a damage only.
        name: for the report.
    """
    window = _Window(file)
    window.has(4)
    magic = packing(window.held)
    if not magic:
        yield from iter(window.take, b"")
        return
    while window.has(1):
        window.has(4)
        start = window.start
        if window.held.startswith(magic):
            whole = yield from _piece(window, name, magic)
            if whole:
                continue
        elif _only_zeros(window):  # padding behind the last piece
            return
        else:
            yield Damage(name, "byte", start, "bytes that begin no packed piece; left out")
        # Behind the beginning of the broken piece, not behind the error: a wrong byte can make a piece run into those behind it.
        following = _next_piece(file, magic, start)
        if following is None:
            return
        window.jump(following)


def _only_zeros(window: _Window) -> bool:
    return not any(chunk.strip(b"\0") for chunk in iter(window.take, b""))


def _piece(window: _Window, name: str, magic: bytes) -> Generator[bytes | Damage, None, bool]:
    """Unpacks the piece that begins here; the generator's value is whether it was whole."""
    unpacker, start, given = _new(magic), window.start, 0
    while chunk := window.take():
        try:
            data = unpacker.decompress(chunk)
        except _errors():
            # The library threw away what it had made of this chunk. From the start again, and through the chunk byte by byte.
            rest, place, reason = _up_to_the_error(window.file, magic, start, window.start - len(chunk), given)
            if rest:
                yield rest
            yield Damage(name, "byte", place, f"in the packed piece that began at byte {start:,}: {reason}")
            return False
        given += len(data)
        if data:
            yield data
        if unpacker.eof:
            window.put_back(unpacker.unused_data)
            return True
    yield Damage(name, "byte", window.start, f"the file ends inside a packed piece that began at byte {start:,}")
    return False


def _up_to_the_error(file: IO[bytes], magic: bytes, start: int, chunk_start: int, given: int) -> tuple[bytes, int, str]:
    """What can be unpacked beyond the first `given` bytes, the offset of the byte that is refused, and why."""
    unpacker, made, rest = _new(magic), 0, b""
    file.seek(start)
    position = start
    while position < chunk_start:
        data = file.read(min(CHUNK, chunk_start - position))
        made += len(unpacker.decompress(data))
        position += len(data)
    for byte in file.read(2 * CHUNK):
        try:
            data = unpacker.decompress(bytes([byte]))
        except _errors() as error:
            wrong = str(error).split(":")[-1].strip()
            if "incorrect data check" in str(error) or "checksum" in str(error).lower():
                wrong = "its checksum is wrong, so that some of its text may not be as it was"
            return rest, position, wrong
        rest += data[max(0, given - made) :]
        made += len(data)
        position += 1
    return rest, position, "it cannot be unpacked"


def _next_piece(file: IO[bytes], magic: bytes, after: int) -> int | None:
    """Where the next piece begins behind `after`: the bytes of a beginning that unpack for a while without error."""
    position, tail = after + 1, b""
    while True:
        file.seek(position)
        chunk = file.read(CHUNK)
        if not chunk:
            return None
        found = (tail + chunk).find(magic)
        while found >= 0:
            offset = position - len(tail) + found
            if _unpacks(file, magic, offset):
                return offset
            found = (tail + chunk).find(magic, found + 1)
        tail = (tail + chunk)[-(len(magic) - 1) :]
        position += len(chunk)


def _unpacks(file: IO[bytes], magic: bytes, offset: int) -> bool:
    file.seek(offset)
    make: Callable[[bytes], bytes] = _new(magic).decompress
    try:
        make(file.read(TRIAL))
    except _errors():
        return False
    return True
