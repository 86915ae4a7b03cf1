"""Reading the files of an install, none of which is trusted: no pipes, no giants, and no links to somewhere else.

A package may carry a link to any file of the computer, as its licence, say. What it points to was not published, so it is not read.
"""

import os
from pathlib import Path

LARGEST = 5_000_000  # bytes of one file that are read: a Python file's tree takes some hundred times as much memory
LEADS_OUT = "a link that leads out of the folder"


def leads_out(path: str | Path, root: str | Path) -> bool:
    """Whether a path, all links followed, lies outside a folder.

    >>> leads_out("/usr/lib/a.py", "/usr/lib"), leads_out("/usr/lib/../a.py", "/usr/lib")
    (False, True)
    """
    real, inside = os.path.realpath(path), os.path.realpath(root)
    return real != inside and not real.startswith(os.path.join(inside, ""))


def read_file(path: str | Path, root: str | Path) -> bytes:
    """The bytes of a file below a folder.

    Raises:
        OSError: it cannot be read, is no regular file (a pipe would never end), is a link that leads out of `root`, or has more than
            `LARGEST` bytes.
    """
    if not os.path.isfile(path):
        raise OSError("not a regular file, or a link to nothing")
    if os.path.islink(path) and leads_out(path, root):
        raise OSError(LEADS_OUT)
    check_size(os.path.getsize(path))
    return Path(path).read_bytes()


def check_size(size: int) -> None:
    """Refuse a file of more than `LARGEST` bytes.

    Raises:
        OSError: it is.
    """
    if size > LARGEST:
        raise OSError(f"{size:,} bytes: more than the {LARGEST:,} that are read of one file")
