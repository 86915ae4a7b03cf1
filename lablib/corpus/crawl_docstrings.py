"""Docstrings read out of Python files without importing or running them.

A docstring is the string that stands first in a module, a class or a function; `help()` shows it. To *import* a module for it would run
the module's code; here the file is only parsed (`ast`) and the strings are taken from the tree. What is written in C (`len`,
`math.sqrt`) has no Python file, and its docstrings are not found in this way.
"""

import ast
import gc
import io
import os
import tokenize
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lablib.corpus.crawl_files import LEADS_OUT, check_size, leads_out, read_file
from lablib.corpus.crawl_report import Problem, decode, whole

TEST_FOLDERS = frozenset({"test", "tests"})
_NESTED = ("body", "orelse", "finalbody", "handlers", "cases")  # where a statement keeps further statements


class File(NamedTuple):
    """A file in a folder, or in a zip file, for a standard library may come as one.

    Attributes:
        root: the folder or the zip file.
        name: the path inside it, with "/" between its parts on every system.
    """

    root: str
    name: str

    @property
    def path(self) -> str:
        """Where it stands, for people."""
        return str(Path(self.root, self.name))

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: it cannot be read, is no regular file, is a link that leads out of the folder, or is too large.
            KeyError, zipfile.BadZipFile: the zip file does not hold it, or is broken there.
        """
        if os.path.isdir(self.root):
            return read_file(self.path, self.root)
        check_size(_archive(self.root).getinfo(self.name).file_size)
        return _archive(self.root).read(self.name)


@cache
def _archive(path: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def python_files(root: Path, tests: bool = False) -> Iterator[File | Problem]:
    """Every .py file below a folder or in a zip file, in the same order in every run; links are followed inside the folder, not out of it.

    `site-packages` inside the standard library is another part's. Folders that are left out or cannot be opened come as problems.
    """
    if root.is_file():
        try:
            names = sorted({name for name in _archive(str(root)).namelist() if name.endswith(".py")})
        except (OSError, zipfile.BadZipFile) as error:
            yield Problem("unreadable", str(root), str(error))
            return
        yield from (File(str(root), name) for name in names if tests or not TEST_FOLDERS & set(name.split("/")))
        return
    refused: list[OSError] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=refused.append, followlinks=True):
        yield from (Problem("unreadable", str(error.filename), error.strerror or str(error)) for error in refused)
        refused.clear()
        real = os.path.realpath(folder)
        if leads_out(real, root):
            yield Problem("left out", folder, LEADS_OUT)
        if real in seen or leads_out(real, root):  # the first: a link that leads back
            folders.clear()
            continue
        seen.add(real)
        unwanted = [name for name in sorted(folders) if name in TEST_FOLDERS and not tests]
        yield from (
            Problem("left out", os.path.join(folder, name), "tests of a library, which tests=True reads")
            for name in unwanted
        )
        folders[:] = sorted(set(folders) - set(unwanted) - {"__pycache__", "site-packages", "dist-packages"})
        for name in sorted(files):
            if name.endswith(".py"):
                yield File(str(root), Path(folder, name).relative_to(root).as_posix())
    yield from (Problem("unreadable", str(error.filename), error.strerror or str(error)) for error in refused)


def source_text(data: bytes) -> tuple[str, str]:
    """A Python file's bytes -> its text and what is wrong with its encoding ("" if nothing), by its cookie (PEP 263).

    >>> source_text(b"# coding: latin-1\\n'caf\\xe9'\\n")
    ("# coding: latin-1\\n'café'\\n", '')
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:  # an encoding that Python does not know, or broken bytes in the first two lines
        text, wrong = decode(data)
        return text, wrong or f"{error.msg}: read as utf-8"
    return decode(data, encoding)


@contextmanager
def _without_collector() -> Iterator[None]:
    """A tree has no cycles: to search it for some while it grows costs a third of the time and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse(source: str) -> ast.Module:
    """The tree of a module, of which nothing is run; no warning about its style is printed.

    Raises:
        ValueError: it is no Python, says where; also for what is nested too deeply to be parsed.
    """
    try:
        with _without_collector(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)) from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("nested too deeply to be parsed") from error


def docstrings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Pairs of name and docstring, in the order of the file, indentation taken off; the module's own name is "".

    What is defined twice under one name (a property and its setter, one branch of an `if` and the other) gets ~2, ~3 …

    >>> list(docstrings(ast.parse('class Cat:\\n    "Purrs."\\n    def sleep(self):\\n        "Until noon."')))
    [('Cat', 'Purrs.'), ('Cat.sleep', 'Until noon.')]
    """
    times: Counter[str] = Counter()
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:  # a list instead of recursion: a thousand `elif` nest a thousand deep
        node, outer = waiting.pop()
        name = outer
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{outer}.{node.name}" if outer else node.name
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and text.strip():
                times[name] += 1
                yield (name if times[name] == 1 else f"{name}~{times[name]}"), text
        inner = [statement for field in _NESTED for statement in getattr(node, field, ())]
        waiting.extend((statement, name) for statement in reversed(inner))


class Found(NamedTuple):
    """The docstrings of one file, by name, and what was wrong with the file."""

    file: File
    docstrings: list[tuple[str, str]]
    problems: list[Problem]


def read_docstrings(file: File) -> Found:
    """One file -> its docstrings. Never raises for what is in the file: that becomes a problem with its name."""
    problems: list[Problem] = []
    try:
        data = file.read()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        return Found(file, [], [Problem("unreadable", file.path, getattr(error, "strerror", None) or str(error))])
    source, wrong = source_text(data)
    if wrong:
        problems.append(Problem("mis-encoded", file.path, wrong))
    try:
        found = list(docstrings(parse(source)))
    except ValueError as error:
        return Found(file, [], [*problems, Problem("unparsable", file.path, str(error))])
    texts = []
    for name, raw in found:
        text, wrong = whole(raw)
        texts.append((name, text))
        if wrong:
            problems.append(Problem("mis-encoded", f"{file.path}:{name}", wrong))
    return Found(file, texts, problems)
