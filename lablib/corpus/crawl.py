"""The text that this Python install carries, as documents: the crawl that needs no network.

Every install holds megabytes of what people wrote: the language reference (behind `help("if")`), the docstrings of the standard
library, and of each installed package its README, licence, headers and docstrings. It has what a crawl of the web has: boilerplate,
near copies, e-mail addresses, HTML, tables, other languages. Nothing that is read is imported or run.

Order and ids are the same in every run on one install; another install carries other packages, so another text.
What has no text here: C functions (their docstrings are compiled), and what an install left out; the report says what.
"""

import ast
import os
import re
import site
import sys
import sysconfig
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from zipfile import BadZipFile

from lablib.corpus.crawl_docstrings import File, Found, parse, python_files, read_docstrings, source_text
from lablib.corpus.crawl_files import read_file
from lablib.corpus.crawl_metadata import (
    NO_LICENCE,
    Author,
    Distribution,
    distributions,
    licence_files,
    owners,
    package_authors,
    package_documents,
)
from lablib.corpus.crawl_report import Count, Problem, Report, decode, whole
from lablib.corpus.document import Document

__all__ = ["PARTS", "QUICK", "Author", "Count", "Places", "Problem", "Report", "authors", "crawl", "places"]

QUICK = ("language reference", "standard library", "metadata", "readmes", "licences")  # seconds
PARTS = (*QUICK, "packages")  # the docstrings of packages: a minute or more for hundreds of packages
PYTHON_LICENCE = "PSF-2.0"
CHUNK = 32  # files that a process gets at a time

Step = tuple[str, Document] | Problem  # a document and its part, or what was wrong


@dataclass(frozen=True)
class Places:
    """Where an install keeps its text.

    Attributes:
        stdlib: the folder of the standard library, or the zip file that it comes in; None if neither holds Python source.
        sites: the folders that packages are installed in.
    """

    stdlib: Path | None
    sites: tuple[Path, ...]


def places() -> Places:
    """Of the Python that runs this: the standard library, and the folders of installed packages, in Python's order."""
    zipped = [Path(entry) for entry in sys.path if entry.endswith(".zip")]
    candidates = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib")), *zipped]
    stdlib = next((place for place in candidates if _holds_source(place)), None)
    named = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *getattr(site, "getsitepackages", list)()]
    if site.ENABLE_USER_SITE:
        named.append(site.getusersitepackages())
    found = {Path(name).resolve(): None for name in named if Path(name).is_dir()}
    return Places(stdlib, tuple(found))


def _holds_source(place: Path) -> bool:
    if place.is_file():
        return any(file.name == "os.py" for file in python_files(place) if isinstance(file, File))
    return (place / "os.py").is_file()


def crawl(
    what: str | Iterable[str] = QUICK,
    *,
    report: Report | None = None,
    where: Places | None = None,
    only: Collection[str] | None = None,
    tests: bool = False,
    processes: int = 1,
) -> Iterator[Document]:
    """Read the install's text, one document after the other, each with its source and licence.

    Args:
        what: one or several of `PARTS`; they come in the order of `PARTS`. `QUICK` is all but the docstrings of packages.
        report: filled while the documents are taken: what came, and each file that was unreadable, mis-encoded or unparsable.
        where: the folders to read; of this Python if None.
        only: names of packages, such as {"numpy"}: of the packages' parts then only these are read.
        tests: read folders named test and tests too; they are large, and hold little prose.
        processes: how many parse files side by side. Above 1 the calling script needs `if __name__ == "__main__":`.

    Returns:
        Documents, none of them empty, each with an id of its own; lines end with a line feed, and every text can be written as UTF-8.

    Raises:
        ValueError: `what` names no part, or `processes` is below 1.

    >>> document = next(crawl("standard library", report=(report := Report())))
    >>> document.kind, document.licence, report.total.documents
    ('docstring', 'PSF-2.0', 1)
    """
    wanted = (what,) if isinstance(what, str) else tuple(what)
    if unknown := [part for part in wanted if part not in PARTS]:
        raise ValueError(f"what = {unknown[0]!r}: expected one or several of {', '.join(map(repr, PARTS))}")
    if processes < 1:
        raise ValueError(f"processes = {processes}: expected at least 1, such as the number of your processor's cores")
    chosen = None if only is None else {_canonical(name) for name in only}
    return _counted(_steps(wanted, where or places(), chosen, tests, processes), Report() if report is None else report)


def _counted(steps: Iterator[Step], report: Report) -> Iterator[Document]:
    for step in steps:
        if isinstance(step, Problem):
            if step not in report.problems:  # one report may serve several crawls
                report.problems.append(step)
            continue
        part, document = step
        report.count(part, document)
        yield document


def _steps(
    wanted: tuple[str, ...], where: Places, only: set[str] | None, tests: bool, processes: int
) -> Iterator[Step]:
    if where.stdlib is None and {"language reference", "standard library"} & set(wanted):
        yield Problem("missing", "standard library", "this Python carries it compiled only, without source files")
    if "language reference" in wanted and where.stdlib:
        yield from _language_reference(where.stdlib)
    if "standard library" in wanted and where.stdlib:
        for found in _read_all(python_files(where.stdlib, tests), processes):
            yield from _docstring_steps(found, "standard library", "stdlib", "standard library", PYTHON_LICENCE)
    if set(wanted) <= {"language reference", "standard library"}:
        return
    if not where.sites:
        yield Problem("missing", "packages", "this Python has no folder of installed packages")
    installed = {folder: list(distributions(folder)) for folder in where.sites}
    yield from _package_texts(wanted, where, installed, only)
    if "packages" in wanted:
        taken: set[str] = set()
        for folder, entries in installed.items():
            packages = [entry for entry in entries if isinstance(entry, Distribution)]
            yield from _packages(folder, packages, only, tests, processes, taken)


def _language_reference(stdlib: Path) -> Iterator[Step]:
    """The topics of `help()`: a dictionary written out in a Python file, which is read as a literal and not imported."""
    file = File(str(stdlib), "pydoc_data/topics.py")
    try:
        text, _ = source_text(file.read())
        body = parse(text).body
        topics = next(
            ast.literal_eval(node.value) for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        )
        pairs = sorted(topics.items())
    except (OSError, KeyError, BadZipFile):
        yield Problem("missing", file.path, "this install left the language reference out")
        return
    except (ValueError, StopIteration, AttributeError) as error:
        yield Problem("unparsable", file.path, f"expected one dictionary of texts: {error or type(error).__name__}")
        return
    for name, topic in pairs:
        yield "language reference", Document(topic, f"pydoc/{name}", "language reference", PYTHON_LICENCE, "reference")


def _package_texts(
    wanted: tuple[str, ...], where: Places, installed: dict[Path, list[Distribution | Problem]], only: set[str] | None
) -> Iterator[Step]:
    """Headers and READMEs of all packages, then the licence files: Python's own first."""
    seen: set[str] = set()
    kept: list[Distribution] = []
    for entry in (entry for entries in installed.values() for entry in entries):
        if isinstance(entry, Problem):
            yield entry
        elif entry.key in seen:
            yield Problem("left out", str(entry.folder), "the same package and version as in a folder before it")
        elif only is None or _canonical(entry.name) in only:
            kept.append(entry)
        seen |= {entry.key} if isinstance(entry, Distribution) else set()
    for part in ("metadata", "readmes"):
        if part in wanted:
            yield from (step for entry in kept for step in package_documents(entry) if step[0] == part)
    if "licences" in wanted:
        yield from _python_licence(where.stdlib)
        for entry in kept:
            for found in licence_files(entry.folder):
                if isinstance(found, Problem):
                    yield found
                else:
                    name, text = found
                    document = Document(text, f"licence/{entry.key}/{name}", entry.name, entry.licence, "licence")
                    yield "licences", document


def _python_licence(stdlib: Path | None) -> Iterator[Step]:
    places = [] if stdlib is None else [stdlib / "LICENSE.txt", stdlib.parent / "LICENSE.txt"]  # elsewhere, on Windows
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        yield Problem("missing", "LICENSE.txt", "Python's own licence does not lie beside its standard library")
        return
    try:
        text, wrong = decode(read_file(path, path.parent))
    except OSError as error:
        yield Problem("unreadable", str(path), error.strerror or str(error))
        return
    if wrong:
        yield Problem("mis-encoded", str(path), wrong)
    yield "licences", Document(text, "licence/python/LICENSE.txt", "python", PYTHON_LICENCE, "licence")


def _packages(
    folder: Path, packages: list[Distribution], only: set[str] | None, tests: bool, processes: int, taken: set[str]
) -> Iterator[Step]:
    """The docstrings of one folder of packages; a file that an earlier folder had is left out, as Python leaves it out."""
    owner = owners(folder, packages)

    def owner_of(file: File) -> Distribution | None:
        top = file.name.split("/")[0].removesuffix(".py")
        return owner.get(file.name) or owner.get(top)

    def files() -> Iterator[File | Problem]:
        for file in python_files(folder, tests):
            if isinstance(file, Problem):
                if only is None:
                    yield file
            elif file.name in taken:
                yield Problem("left out", file.path, "a folder before it has a file of this name")
            elif only is None or ((found := owner_of(file)) and _canonical(found.name) in only):
                taken.add(file.name)
                yield file

    for found in _read_all(files(), processes):
        distribution = owner_of(found.file) if isinstance(found, Found) else None
        source = (
            distribution.name if distribution else found.file.name.split("/")[0] if isinstance(found, Found) else ""
        )
        licence = distribution.licence if distribution else NO_LICENCE
        yield from _docstring_steps(found, "packages", "package", source, licence)


def _docstring_steps(found: Found | Problem, part: str, prefix: str, source: str, licence: str) -> Iterator[Step]:
    if isinstance(found, Problem):
        yield found
        return
    yield from found.problems
    stem = whole(found.file.name.removesuffix(".py"))[0]
    for name, text in found.docstrings:
        id = f"{prefix}/{stem}" + (f":{name}" if name else "")
        yield part, Document(text, id, whole(source)[0], licence, "docstring")


def _read_chunk(files: list[File | Problem]) -> list[Found | Problem]:
    return [file if isinstance(file, Problem) else read_docstrings(file) for file in files]


def _read_all(files: Iterator[File | Problem], processes: int) -> Iterator[Found | Problem]:
    """Each file's docstrings, in the order of the files; with several processes only a few chunks are read ahead."""
    chunks = iter(lambda: list(islice(files, CHUNK)), [])
    if processes == 1:
        for chunk in chunks:
            for file in chunk:
                yield from _read_chunk([file])
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead: deque[Future[list[Found | Problem]]] = deque()
        for chunk in chunks:
            ahead.append(pool.submit(_read_chunk, chunk))
            if len(ahead) > 4 * processes:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _canonical(name: str) -> str:
    """A package's name as the index compares it (PEP 503): Scikit_Learn and scikit-learn are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def authors(where: Places | None = None) -> Iterator[Author]:
    """The e-mail addresses of authors and maintainers that the installed packages name in a field of their own.

    They are the truth against which a search for addresses in the crawl's text can be measured: each stands in the document whose id it
    carries, one of `crawl("metadata")`.
    """
    seen: set[str] = set()
    for folder in (where or places()).sites:
        for entry in distributions(folder):
            if isinstance(entry, Distribution) and entry.key not in seen:
                seen.add(entry.key)
                yield from package_authors(entry)
