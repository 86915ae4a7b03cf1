"""What installed packages say of themselves: headers, README, licence files, and who wrote them.

pip keeps it in a folder beside each package, such as `numpy-2.1.0.dist-info`: the file METADATA holds headers in the form of an e-mail
(core metadata specification, PEP 566 and 639) and below them the README; older tools write PKG-INFO in an `.egg-info`.
"""

import csv
import email.message
import email.parser
import email.policy
import email.utils
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lablib.corpus.crawl_files import LEADS_OUT, leads_out, read_file
from lablib.corpus.crawl_report import Problem, decode
from lablib.corpus.document import Document

LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|authors|copyright)", re.IGNORECASE)
NO_LICENCE = "unknown"
_ADDRESS = re.compile(r"[^\s<>(),;@]+@[^\s<>(),;@]+")
_LONGEST_NAME = 80  # characters: a License field with more holds the licence's text, not its name


@dataclass(frozen=True)
class Distribution:
    """One installed package, as its metadata has it.

    Attributes:
        folder: the `.dist-info` or `.egg-info`; an old `.egg-info` is a file.
        name: such as "numpy"; version: such as "2.1.0".
        licence: SPDX where it is given so, else the words of the License field or of the classifiers, else "unknown".
        headers: the text above the README, as it stands in the file.
        readme: the long description, "" where there is none.
        fields: name and value of each header.
    """

    folder: Path
    name: str
    version: str
    licence: str
    headers: str
    readme: str
    fields: tuple[tuple[str, str], ...]

    @property
    def key(self) -> str:
        """Name and version: unique within one folder of packages."""
        return f"{self.name}-{self.version}"

    def values(self, field: str) -> list[str]:
        """The values of a header that may stand several times, such as "Classifier"; capitals do not matter."""
        return [value for name, value in self.fields if name.lower() == field.lower()]


def distributions(site: Path) -> Iterator[Distribution | Problem]:
    """The packages installed in one folder, in alphabetical order, and the metadata that could not be read.

    An egg, the form before wheels, keeps its metadata inside itself, in EGG-INFO; one that is a zip file is left out.
    """
    try:
        entries = sorted(entry for entry in site.iterdir() if entry.name.endswith((".dist-info", ".egg-info", ".egg")))
    except OSError as error:
        yield Problem("unreadable", str(site), error.strerror or str(error))
        return
    for found in entries:
        entry = found / "EGG-INFO" if found.suffix == ".egg" else found
        if found.suffix == ".egg" and not os.path.isdir(found):
            yield Problem("left out", str(found), "an egg that is a zip file")
            continue
        files = [entry / "METADATA", entry / "PKG-INFO"] if os.path.isdir(entry) else [entry]
        present = [file for file in files if os.path.isfile(file)]
        if not present:
            yield Problem("missing", str(entry), "no METADATA or PKG-INFO in it")
            continue
        try:
            if leads_out(entry, site):
                raise OSError(LEADS_OUT)
            data = read_file(present[0], site)
        except OSError as error:
            yield Problem("unreadable", str(present[0]), error.strerror or str(error))
            continue
        text, wrong = decode(data)
        if wrong:
            yield Problem("mis-encoded", str(present[0]), wrong)
        yield parse_metadata(text, entry)


def parse_metadata(text: str, folder: Path) -> Distribution:
    """The text of a METADATA file -> its parts.

    >>> found = parse_metadata("Name: cat\\nVersion: 2\\nLicense-Expression: MIT\\n\\n# Cat\\nA cat.", Path("cat-2.dist-info"))
    >>> found.key, found.licence, found.readme
    ('cat-2', 'MIT', '# Cat\\nA cat.')
    """
    message = email.parser.Parser(policy=email.policy.compat32).parsestr(text)
    headers, _, body = text.partition("\n\n")
    described = message.get("Description", "")
    # A README inside a header is indented by eight blanks, in old metadata with a bar: "       |"
    readme = body if body.strip() else re.sub(r"(?m)^(?: {7}[ |])", "", str(described))
    named, _, rest = (folder.parent if folder.name == "EGG-INFO" else folder).stem.partition("-")
    fields = tuple((name, str(value)) for name, value in message.items())
    return Distribution(
        folder=folder,
        name=_word(message.get("Name")) or named,
        version=_word(message.get("Version")) or rest.split("-")[0] or "0",
        licence=licence_name(fields),
        headers=headers.strip("\n"),
        readme=readme.strip("\n") if readme.strip() not in ("", "UNKNOWN") else "",
        fields=fields,
    )


def _word(value: object) -> str:
    """A header that should be one word -> that, "" for a header with blanks, which is no name and no version."""
    text = str(value or "").strip()
    return "" if re.search(r"\s", text) else text


def licence_name(fields: Iterable[tuple[str, str]]) -> str:
    """The licence by the first that speaks of: License-Expression (SPDX, PEP 639), License, the classifiers; else "unknown".

    >>> licence_name([("License", "UNKNOWN"), ("Classifier", "License :: OSI Approved :: MIT License")])
    'MIT License'
    """
    values = [(name.lower(), value.strip()) for name, value in fields]
    for wanted in ("license-expression", "license"):
        for name, value in values:
            short = len(value) <= _LONGEST_NAME and "\n" not in value
            if name == wanted and short and value.upper() not in ("", "UNKNOWN", "NONE"):
                return value
    classified = [
        value.split("::")[-1].strip()
        for name, value in values
        if name == "classifier" and value.startswith("License ::")
    ]
    return " and ".join(dict.fromkeys(classified)) or NO_LICENCE


def licence_files(folder: Path) -> Iterator[tuple[str, str] | Problem]:
    """The licence files that came with a package: name inside its folder and text."""
    for path in sorted(folder.rglob("*")) if os.path.isdir(folder) else []:
        inside = path.relative_to(folder)
        if not os.path.isfile(path) or not ("licenses" in inside.parts[:-1] or LICENCE_FILE.match(path.name)):
            continue
        try:
            text, wrong = decode(read_file(path, folder))
        except OSError as error:
            yield Problem("unreadable", str(path), error.strerror or str(error))
            continue
        if wrong:
            yield Problem("mis-encoded", str(path), wrong)
        if text.strip():
            yield inside.as_posix(), text


def package_documents(found: Distribution) -> Iterator[tuple[str, Document]]:
    """Headers and README of a package as documents, each with the part of the crawl that it belongs to."""
    if found.headers:
        yield "metadata", Document(found.headers, f"metadata/{found.key}", found.name, found.licence, "metadata")
    if found.readme:
        yield "readmes", Document(found.readme, f"readme/{found.key}", found.name, found.licence, "readme")


class Author(NamedTuple):
    """An e-mail address that the metadata gives in a field of its own: known truth for a search in the text.

    Attributes:
        email: as written.
        name: the person or project, "" where only the address is given.
        role: "author" or "maintainer".
        document: the id of the crawl's document with these headers, whose text holds the address.
    """

    email: str
    name: str
    role: str
    document: str


def package_authors(found: Distribution) -> Iterator[Author]:
    """The addresses in Author-email and Maintainer-email, in this order, each once.

    >>> list(package_authors(parse_metadata('Name: cat\\nVersion: 2\\nAuthor-email: "Ann B." <ann@cat.example>', Path("c"))))
    [Author(email='ann@cat.example', name='Ann B.', role='author', document='metadata/cat-2')]
    """
    seen = set()
    for role in ("author", "maintainer"):
        for name, address in email.utils.getaddresses(found.values(f"{role}-email")):
            if _ADDRESS.fullmatch(address) and (role, address) not in seen:
                seen.add((role, address))
                yield Author(address, name, role, f"metadata/{found.key}")


def owners(site: Path, found: Iterable[Distribution]) -> dict[str, Distribution]:
    """Which package each file of a folder belongs to: by RECORD; where a package has none, by its top-level folders.

    Returns:
        "numpy/linalg/__init__.py" -> the package, or "numpy" -> the package for what came without RECORD.
    """
    owner: dict[str, Distribution] = {}
    for distribution in found:
        if distribution.folder.name == "EGG-INFO":
            owner.setdefault(distribution.folder.parent.name, distribution)
            continue
        names = _recorded(distribution.folder)
        names = names or _read(distribution.folder / "top_level.txt").split() or [distribution.name.replace("-", "_")]
        for name in names:
            owner.setdefault(name.replace(os.sep, "/"), distribution)
    return owner


def _recorded(folder: Path) -> list[str]:
    """The Python files that RECORD lists; none where it is missing or is no table."""
    try:
        return [row[0] for row in csv.reader(io.StringIO(_read(folder / "RECORD"))) if row and row[0].endswith(".py")]
    except csv.Error:
        return []


def _read(path: Path) -> str:
    try:
        return decode(read_file(path, path.parent))[0]
    except OSError:
        return ""
