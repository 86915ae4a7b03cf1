"""A corpus as numbers on the disk, which training reads without loading it: a *shard* is one long row of tokens in a file.

The first 512 bytes are a line of JSON (`head -c 512 train.bin` shows it): how large the vocabulary is, how many tokens follow, their
type (2 bytes each up to 65,536 tokens, else 4), the SHA-256 of what follows, how many bytes of text they stand for. The rest is the tokens.
*Memory-mapped* means that the operating system shows the file as an array and reads a page of it when someone looks there.

Left out: compression, reading from the network, an index of documents (a batch is cut anywhere, see `batching`).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lablib.pretraining.atomic import new_file, sha256

FORMAT, VERSION = "data-to-dialogue token shard", 1
HEADER = 512  # bytes
BUFFER = 1 << 18  # tokens that are gathered before they are written


class ShardError(ValueError):
    """A shard that cannot be used: which file, and why."""


@dataclass(frozen=True)
class Shard:
    """Tokens in a file, from `open_shard`.

    Attributes:
        path: the file. tokens: (N,), memory-mapped; nothing of it is read yet. V: size of the vocabulary.
        text_bytes: bytes (UTF-8) of the text that the tokens stand for, or None where nobody counted them.
        sha256: of the tokens as bytes.
    """

    path: Path
    tokens: NDArray[Any]
    V: int
    text_bytes: int | None
    sha256: str

    def __len__(self) -> int:
        """N, the number of tokens."""
        return len(self.tokens)


def write_shard(path: str | Path, documents: Iterable[Sequence[int]], V: int, text_bytes: int | None = None) -> Shard:
    """Write documents, one behind the other, as one shard; nothing stands at `path` until all is written.

    Args:
        documents: token numbers of each document, with whatever marks its end; they may come from a generator.
        V: size of the vocabulary. text_bytes: of all documents together, for bits per byte.

    Raises:
        ValueError: no token, a number outside 0 … V − 1, or V < 1.
    """
    return _write(Path(path), ((ids, 0) for ids in documents), V, text_bytes)


def write_texts(path: str | Path, texts: Iterable[str], encode: Callable[[str], list[int]], V: int, end: int) -> Shard:
    """Write texts as one shard, an `end` before the first and behind each; the bytes of the texts are counted on the way.

    Args:
        encode: text -> token numbers, as `Tokenizer.encode`. V: size of its vocabulary. end: the token between two documents.

    Raises:
        ValueError: as `write_shard`.
    """

    def documents() -> Iterable[tuple[Sequence[int], int]]:
        yield [end], 0
        for text in texts:
            yield [*encode(text), end], len(text.encode())

    return _write(Path(path), documents(), V, None)


def _write(path: Path, documents: Iterable[tuple[Sequence[int], int]], V: int, text_bytes: int | None) -> Shard:
    """Write (tokens, bytes of text) pairs; the bytes are added up unless text_bytes is given or all are 0."""
    if not 1 <= V <= 2**32:
        raise ValueError(f"V = {V}: expected the size of the vocabulary, from 1 to 2**32")
    dtype = np.dtype("<u2" if V <= 2**16 else "<u4")
    digest, count, counted = hashlib.sha256(), 0, 0
    with new_file(path) as file:
        file.write(bytes(HEADER))
        waiting: list[int] = []

        def flush() -> None:
            nonlocal count
            ids = np.array(waiting, dtype=np.int64)
            if len(ids) and (ids.min() < 0 or ids.max() >= V):
                wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
                raise ValueError(
                    f"documents hold the token {wrong}: expected 0 to V − 1 = {V - 1}; another tokenizer's?"
                )
            content = ids.astype(dtype).tobytes()
            digest.update(content)
            file.write(content)
            count += len(ids)
            waiting.clear()

        for ids, size in documents:
            waiting.extend(ids)
            counted += size
            if len(waiting) >= BUFFER:
                flush()
        flush()
        if not count:
            raise ValueError(
                "documents hold no token: expected at least one; is the source empty, or a generator already read?"
            )
        text_bytes = text_bytes if text_bytes is not None else counted or None
        header = {
            "format": FORMAT,
            "version": VERSION,
            "dtype": f"uint{8 * dtype.itemsize}",
            "vocabulary": V,
            "count": count,
        }
        line = json.dumps({**header, "text_bytes": text_bytes, "sha256": digest.hexdigest()})
        file.seek(0)
        file.write(line.ljust(HEADER - 1).encode("ascii") + b"\n")
    return open_shard(path, V, verify=False)


def open_shard(path: str | Path, V: int | None = None, verify: bool = True) -> Shard:
    """A shard that was written by `write_shard`, checked.

    Args:
        V: the vocabulary that the model expects; None: any. verify: read all of it once and compare the SHA-256.

    Raises:
        FileNotFoundError: there is no such file.
        ShardError: it is no shard, is cut short, was changed, is of a later format or of another vocabulary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"path = {str(path)!r}: no such file; expected a shard that write_shard or write_texts made"
        )
    with path.open("rb") as file:
        start = file.read(HEADER)
    try:
        header = json.loads(start)
        known = header["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ShardError(
            f"{path} is no token shard: expected {HEADER} bytes of JSON at its start, with the format {FORMAT!r}; "
            "make it with write_shard (bare arrays of numbers, such as nanoGPT's, do not say what they hold)"
        )
    if header.get("version") != VERSION:
        raise ShardError(
            f"{path} has version {header.get('version')!r} of the format: expected {VERSION}; is this copy of the course out of date?"
        )
    try:
        dtype, count = np.dtype({"uint16": "<u2", "uint32": "<u4"}[header["dtype"]]), int(header["count"])
        vocabulary, digest, text_bytes = int(header["vocabulary"]), str(header["sha256"]), header["text_bytes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{path} has a damaged header ({error!r}): make the shard again") from None
    expected, found = HEADER + count * dtype.itemsize, path.stat().st_size
    if found != expected:
        raise ShardError(
            f"{path} has {found:,} bytes: expected {expected:,}, for {count:,} tokens of {header['dtype']}; "
            "was copying it cut short? Copy or make it again"
        )
    if V is not None and vocabulary != V:
        raise ShardError(
            f"{path} has tokens of a vocabulary of {vocabulary:,}: expected V = {V:,}, the model's; "
            "encode the texts with the model's own tokenizer"
        )
    if verify and (actual := sha256(path, HEADER)) != digest:
        raise ShardError(
            f"{path} has the SHA-256 {actual[:12]}…: expected {digest[:12]}…; it was changed: copy or make it again"
        )
    tokens = np.memmap(path, dtype=dtype, mode="r", offset=HEADER, shape=(count,))
    return Shard(path, tokens, vocabulary, text_bytes, digest)
