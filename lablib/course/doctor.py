"""`lab doctor`: what works on this machine, and one line on how to mend each thing that does not.

Every row is found by trying: PyTorch is imported, device and dtype are timed, memory and disk are asked for. A check that fails
never stops the others. Only a row marked ✗ keeps the labs from running; one marked · is worth knowing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import lablib
from lablib import paths

Status = Literal["ok", "note", "problem"]
MARKS: dict[Status, str] = {"ok": "✓", "note": "·", "problem": "✗"}
COLOURS: dict[Status, str] = {"ok": "#009E73", "note": "#0072B2", "problem": "#D55E00"}
GB = 1e9
LAB_MEMORY = 1.5 * GB  # the most that a lab may take in the laptop profile
HUB_SECONDS = 2.0


@dataclass(frozen=True)
class Row:
    """One line of the report; `mend` says what to do when the status is not "ok"."""

    name: str
    status: Status
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Report:
    """All rows. `ok` when the labs can run."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        return all(row.status != "problem" for row in self.rows)

    @property
    def verdict(self) -> str:
        if self.ok:
            return "The labs can run here."
        names = ", ".join(row.name for row in self.rows if row.status == "problem")
        return f"Something must be mended first: {names}."

    def __repr__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            lines.append(f"{MARKS[row.status]} {row.name:<{width}}  {row.found}")
            if row.mend:
                lines.append(f"  {'':<{width}}  → {row.mend}")
        return "\n".join([*lines, "", self.verdict])

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        body = "".join(
            f'<tr><td {left}><b style="color:{COLOURS[row.status]}">{MARKS[row.status]}</b> {escape(row.name)}</td>'
            f"<td {left}>{escape(row.found)}{'<br>→ ' + escape(row.mend) if row.mend else ''}</td></tr>"
            for row in self.rows
        )
        return f"<table>{body}</table><p><b>{escape(self.verdict)}</b></p>"


def _pip(packages: str) -> str:
    """The line that installs something beside this Python, with the pins where there is a checkout."""
    root = paths.project_root()
    pins = f" -c {root / 'constraints.txt'}" if root else ""
    return f"{sys.executable} -m pip install{pins} {packages}"


def check_python() -> Row:
    found = f"{platform.python_version()} at {paths.short(Path(sys.executable))}"
    if sys.version_info < (3, 11):  # noqa: UP036 (a person may start this file with any Python)
        return Row("Python", "problem", found, "install Python 3.11, 3.12 or 3.13")
    return Row("Python", "ok", found)


def check_platform() -> Row:
    from lablib.course import device

    return Row("Machine", "ok", f"{platform.platform()}, {device.processors()} processors for this process")


def check_course() -> Row:
    where = paths.project_root() or paths.share_path().parent
    labs = len(list(paths.labs_path().glob("[0-9][0-9]_*.ipynb"))) if paths.labs_path().is_dir() else 0
    found = f"lablib {lablib.__version__} at {where}, {labs} labs"
    if not labs:
        return Row("Course", "problem", found, "the notebooks are missing: `lab build` in a checkout, else reinstall")
    return Row("Course", "ok", found)


def check_torch() -> Row:
    try:
        import torch

        torch.ones(2, 2) @ torch.ones(2, 2)
    except Exception as problem:
        first = str(problem).strip().splitlines()[:1]
        why = f"{type(problem).__name__}: {first[0] if first else ''}"
        return Row("PyTorch", "problem", f"cannot be used ({why})", _pip("--force-reinstall torch"))
    return Row("PyTorch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")


def check_device() -> Row:
    from lablib.course import device

    return Row("Training", "ok", f"on {device.choose()}")


def check_profile() -> Row:
    from lablib.course import profile

    try:
        chosen = profile.current()
    except ValueError as problem:
        return Row("Profile", "problem", str(problem), "unset LABLIB_PROFILE")
    return Row(
        "Profile", "ok", f"{chosen.name}, chosen by {chosen.chosen_by}; LABLIB_PROFILE=smoke|laptop|gpu changes it"
    )


def check_memory() -> Row:
    from lablib.course import device

    free, total = device.memory()
    found = f"{free / GB:.1f} GB free of {total / GB:.1f}"
    if total < LAB_MEMORY:
        return Row("Memory", "problem", found, f"a lab takes up to {LAB_MEMORY / GB:.1f} GB: use Colab (see README)")
    if free < LAB_MEMORY:
        return Row(
            "Memory", "note", found, "close other programs, or shut down kernels you no longer use (Kernel menu)"
        )
    return Row("Memory", "ok", found)


def check_disk() -> Row:
    place = paths.user_dir()
    free = shutil.disk_usage(place).free
    found = f"{free / GB:.0f} GB free where your answers are kept"
    if free < 0.1 * GB:
        return Row("Disk", "problem", found, "free some space: notebooks cannot be saved on a full disk")
    return Row("Disk", "ok" if free > GB else "note", found, "" if free > GB else "free some space soon")


def check_jupyterlab() -> Row:
    try:
        version = importlib.metadata.version("jupyterlab")
    except importlib.metadata.PackageNotFoundError:
        if _elsewhere():
            return Row("JupyterLab", "note", "not here: this notebook runs in another program")
        return Row("JupyterLab", "problem", "not installed", _pip("jupyterlab"))
    return Row("JupyterLab", "ok", version)


def _elsewhere() -> bool:
    """Whether a notebook of Colab or VS Code runs this, where JupyterLab itself is not needed."""
    return "google.colab" in sys.modules or "VSCODE_PID" in os.environ


def check_widgets() -> Row:
    try:
        version = importlib.metadata.version("ipywidgets")
    except importlib.metadata.PackageNotFoundError:
        return Row("Sliders", "note", "ipywidgets is not installed: figures show, sliders do not", _pip("ipywidgets"))
    extension = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "@jupyter-widgets" / "jupyterlab-manager"
    if not extension.is_dir() and not _elsewhere():
        lost = f"ipywidgets {version}, but JupyterLab's part of it is missing: sliders would not show"
        return Row("Sliders", "note", lost, _pip("--force-reinstall --no-deps jupyterlab_widgets"))
    return Row("Sliders", "ok", f"ipywidgets {version}")


def check_models() -> Row:
    from lablib import models

    rows = models.available(check=True)
    found = "; ".join(f"{row.name}: {row.where if row.ok else 'not here'}" for row in rows)
    missing = [row for row in rows if not row.ok]
    if missing:
        return Row("Real models", "note", f"{found} (every lab also runs without)", missing[0].how)
    return Row("Real models", "ok", found)


def check_network() -> Row:
    """Whether the Hugging Face hub answers in two seconds. No lab needs it in the laptop profile."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return Row("Network", "ok", "not asked: HF_HUB_OFFLINE is set (no lab needs the network)")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answer: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_SECONDS).close()
            answer.append(True)
        except urllib.error.HTTPError:
            answer.append(True)  # it answered
        except (OSError, ValueError):
            answer.append(False)

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name can hang longer than any timeout
    asking.start()
    asking.join(HUB_SECONDS)
    if answer and answer[0]:
        return Row("Network", "ok", f"{address} answers")
    return Row("Network", "note", f"{address} does not answer in {HUB_SECONDS:g} s: the labs run without it")


def check_answers() -> Row:
    from lablib.course import progress

    place = paths.user_dir()
    if not os.access(place, os.W_OK):
        return Row("Your answers", "note", f"{place} cannot be written", "set LABLIB_HOME to a folder of yours")
    lines = progress.overview()
    passed, of = sum(line.passed for line in lines), sum(line.exercises for line in lines)
    return Row("Your answers", "ok", f"{passed} of {of} exercises passed, kept in {paths.short(place)}")


CHECKS: tuple[tuple[str, Callable[[], Row]], ...] = (
    ("Python", check_python),
    ("Machine", check_platform),
    ("Course", check_course),
    ("PyTorch", check_torch),
    ("Training", check_device),
    ("Profile", check_profile),
    ("Memory", check_memory),
    ("Disk", check_disk),
    ("JupyterLab", check_jupyterlab),
    ("Sliders", check_widgets),
    ("Real models", check_models),
    ("Network", check_network),
    ("Your answers", check_answers),
)


def examine(only: tuple[str, ...] = ()) -> Report:
    """Run every check, or those named. One that breaks becomes a row that says so.

    Raises:
        ValueError: `only` names a check that does not exist.
    """
    names = [name for name, _ in CHECKS]
    if unknown := [name for name in only if name not in names]:
        raise ValueError(f"only = {unknown}: expected names among {', '.join(names)}")
    rows = []
    for name, check in CHECKS:
        if only and name not in only:
            continue
        try:
            rows.append(check())
        except Exception as problem:
            broken = any(row.name == "PyTorch" and row.status == "problem" for row in rows)
            why = "needs PyTorch" if broken else f"{type(problem).__name__}: {problem}"
            rows.append(Row(name, "note", f"could not be found out ({why})"))
    return Report(tuple(rows))


def main() -> int:
    """Print the report; 0 when the labs can run, 1 when something must be mended first."""
    report = examine()
    print(report)
    return 0 if report.ok else 1
