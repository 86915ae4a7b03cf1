"""The learner's own copies of the labs, in `work/`: git never touches them, and no command here overwrites one.

In a checkout `work/` stands at its root; beside an installed package it is made in the current folder. `LABLIB_WORK` overrides both.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from urllib.parse import quote

from lablib import paths
from lablib.course import catalogue, launch


def work_path() -> Path:
    """The folder of the learner's copies (not made yet)."""
    override = os.environ.get("LABLIB_WORK")
    if override:
        return Path(override).expanduser()
    base = paths.project_root() or Path.cwd()
    return base if base.name == "work" else base / "work"  # a notebook that runs in work/ means its own folder


@dataclass(frozen=True)
class Started:
    """The outcome of `start`: the copy, whether it is new, and the older copy that was set aside (if any)."""

    path: Path
    new: bool
    kept: Path | None = None

    def __repr__(self) -> str:
        name = _short(self.path)
        if not self.new:
            return (
                f"{name} is there already, with your work in it: nothing was changed.\n"
                f"Go on in it, or take a fresh copy (this one is kept) with `{command()} start {self.path.name[:2]} --fresh`."
            )
        kept = f"Your earlier copy is kept as {_short(self.kept)}.\n" if self.kept else ""
        return f"{kept}Your copy: {name}"

    def _repr_html_(self) -> str:
        label = "Your copy, as you left it" if not self.new else "Your copy"
        return f"<p>{label}: {_link(self.path)}</p>"


@dataclass(frozen=True)
class Overview:
    """The labs as a table: which are ready, what is passed, and a link to the learner's copy or to the blank lab."""

    rows: tuple[tuple[catalogue.Lab, Path | None, str], ...]  # lab, notebook to open, "3 of 8"

    def __repr__(self) -> str:
        lines = [
            f"{lab.number}  {lab.title:<36}{f'{lab.minutes} min' if path else 'in the making':<15}{passed}".rstrip()
            for lab, path, passed in self.rows
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        head = "".join(f"<th {left}>{title}</th>" for title in ("", "Lab", "You write", "Time", "Passed", "Open"))
        body = "".join(
            f"<tr><td>{lab.number}</td><td {left}>{escape(lab.title)}</td><td {left}>{escape(lab.builds)}</td>"
            f"<td {left}>{f'{lab.minutes} min' if path else 'in the making'}</td><td>{passed}</td>"
            f"<td {left}>{_link(path) if path else ''}</td></tr>"
            for lab, path, passed in self.rows
        )
        return f"<table><tr>{head}</tr>{body}</table>"


def overview() -> Overview:
    """Every lab of the course, with the learner's copy where there is one."""
    from lablib.course import progress

    passed = {line.lab: f"{line.passed} of {line.exercises}" for line in progress.overview()}
    rows = []
    for lab in catalogue.LABS:
        copy = work_path() / lab.file
        path = copy if copy.exists() else paths.labs_path() / lab.file
        rows.append((lab, path if lab.ready else None, passed.get(lab.number, "")))
    return Overview(tuple(rows))


def _link(path: Path) -> str:
    """A link that JupyterLab opens in a tab: relative to the notebook's folder, which is where its kernel runs."""
    shown = f"{path.parent.name}/{path.name}"
    if "google.colab" in sys.modules:
        return f'<a href="{launch.colab_link(path.stem)}" target="_blank">{escape(path.name)}</a>'
    here = Path.cwd()
    root = paths.project_root() or here.parent
    if root in path.parents and root in here.parents:
        return f'<a href="{escape(quote(Path(os.path.relpath(path, here)).as_posix()))}">{escape(shown)}</a>'
    if path.parent == paths.labs_path():  # a notebook that is only being looked at: the lab lies beside it
        return f'<a href="{escape(quote(path.name))}">{escape(shown)}</a>'
    return f"<code>{escape(shown)}</code>"


def start(name: str, fresh: bool = False) -> Started:
    """Copy the blank lab `name` into `work/`, unless a copy is there; `fresh` sets that one aside under a dated name first.

    Raises:
        catalogue.UnknownLab: no such lab, or not ready yet.
        FileNotFoundError, OSError: the copy could not be written; the message names the folder.
    """
    lab = catalogue.find(name)
    target = work_path() / lab.file
    if target.exists() and not fresh:
        return Started(target, new=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = _set_aside(target) if target.exists() else None
    with (
        open(paths.labs_path() / lab.file, "rb") as source,
        open(target, "xb") as copy,
    ):  # x: never over something
        shutil.copyfileobj(source, copy)
    return Started(target, new=True, kept=kept)


def _set_aside(path: Path) -> Path:
    """Rename to the first free `NAME.2026-11-23-1.ipynb`, and say which."""
    number = 1
    while True:
        kept = path.with_name(f"{path.stem}.{date.today().isoformat()}-{number}{path.suffix}")
        if not kept.exists():
            return path.rename(kept)
        number += 1


def command() -> str:
    """How to type `lab` here: by itself where the shell finds it, else with its folder."""
    beside = Path(sys.executable).with_name("lab.exe" if os.name == "nt" else "lab")
    found = shutil.which("lab")
    if found and Path(found).resolve() == beside.resolve():
        return "lab"
    return _short(beside.with_suffix("")) if beside.exists() else f"{_short(Path(sys.executable))} -m lablib.course.cli"


def _short(path: Path) -> str:
    """A path as a learner would type it: relative to the current folder where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        root = paths.project_root()
        return str(path.relative_to(root)) if root and root in path.parents else str(path)
