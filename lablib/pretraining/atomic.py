"""Files that are whole or not there: written under another name, forced to the disk, and only then put in their place.

A program can be killed, and a machine can lose its power, between any two of its instructions. Renaming is the one change to a
folder that happens entirely or not at all (POSIX, `rename`). What is renamed must be on the disk before its new name is: hence
`fsync`, for the file and then for the folder that holds its name (Pillai et al. 2014, "All File Systems Are Not Created Equal").
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".unfinished"  # how the name of what is still being written ends
READ = 1 << 20  # bytes that are read at a time


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which takes the name `path` when the block ends, and vanishes when the block raises.

    Raises:
        OSError: it cannot be written; what stood at `path` before is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with unfinished.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        sync_folder(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the name `path` when the block ends, and vanishes when the block raises.

    A folder that stands at `path` is replaced. Between the two renamings there is none of that name for a moment: keep another.
    The files in it are for the block to force to the disk (`write`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, old = (path.with_name(f".{path.name}.{os.getpid()}{kind}{UNFINISHED}") for kind in ("", ".old"))
    remove(unfinished)
    try:
        unfinished.mkdir()
        yield unfinished
        sync_folder(unfinished)
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(unfinished, path)
        except BaseException:
            if old.exists():
                os.replace(old, path)
            raise
        sync_folder(path.parent)
    finally:
        remove(unfinished)
        remove(old)


def write(path: Path, content: bytes) -> None:
    """Write a file and force it to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Force to the disk which names a folder holds. Windows cannot, and need not."""
    if os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def remove(path: Path) -> None:
    """Remove a folder, if there is one, so that a half-removed one never has a name that means something."""
    if path.exists():
        hidden = path if path.name.endswith(UNFINISHED) else path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
        if hidden != path:
            os.replace(path, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove what a program that was killed left unfinished in a folder."""
    for path in folder.glob(f".*{UNFINISHED}"):
        if path.is_dir():
            remove(path)
        else:
            path.unlink(missing_ok=True)


def sha256(path: Path, start: int = 0) -> str:
    """SHA-256 of a file from byte `start` on, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(READ):
            digest.update(block)
    return digest.hexdigest()
