"""What a learner has passed, kept as plain files in their own data folder.

`progress.json` holds the outcomes, `answers/<lab>/<name>.py` the code that passed: the whole cell, as it was written. Later labs offer to
run on it. Nothing leaves the machine; deleting the folder forgets everything.
"""

import datetime
import json
import os
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lablib.paths import user_dir

FILE = "progress.json"


@dataclass(frozen=True)
class Record:
    """One exercise of one learner."""

    outcome: str
    attempts: int
    when: str


def _write(path: Path, text: str) -> None:
    """All or nothing: a reader, or a crash, never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load() -> dict[str, dict[str, Record]]:
    """Lab number → exercise name → record. A damaged file is set aside under another name, never overwritten."""
    path = user_dir() / FILE
    if not path.exists():
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return {lab: {name: Record(**record) for name, record in rows.items()} for lab, rows in raw.items()}
    except (ValueError, TypeError, AttributeError):
        path.replace(path.with_name(f"{FILE}.damaged-{datetime.datetime.now():%Y%m%d-%H%M%S}"))
        return {}


def keep(lab: str, name: str, outcome: str, attempts: int, source: str | None) -> None:
    """Record an outcome, and the code when it passed. A pass is never replaced by a later failure.

    Raises:
        OSError: the folder cannot be written.
    """
    records = load()
    mine = records.setdefault(lab, {})
    if outcome != "passed" and name in mine and mine[name].outcome == "passed":
        return
    mine[name] = Record(outcome, attempts, f"{datetime.date.today():%Y-%m-%d}")
    if source is not None and outcome == "passed":
        _write(answer_path(lab, name), source)
    rows = {lab: {n: vars(r) for n, r in sorted(rows.items())} for lab, rows in sorted(records.items())}
    _write(user_dir() / FILE, json.dumps(rows, indent=1) + "\n")


def answer_path(lab: str, name: str) -> Path:
    """The file with the code that passed (it need not exist)."""
    return user_dir() / "answers" / lab / f"{name}.py"


@dataclass(frozen=True)
class Line:
    """One lab in the overview."""

    lab: str
    passed: int
    exercises: int
    open: tuple[str, ...]


def overview() -> list[Line]:
    """Every lab that has exercises, with how many of them are passed."""
    from lablib.course.checks import exercises, labs

    try:
        records = load()
    except (OSError, RuntimeError):  # the folder cannot be read: `report` says so
        records = {}
    lines = []
    for lab in labs():
        names = [exercise.name for exercise in exercises(lab)]
        passed = [n for n in names if n in records.get(lab, {}) and records[lab][n].outcome == "passed"]
        lines.append(Line(lab, len(passed), len(names), tuple(n for n in names if n not in passed)))
    return lines


def report() -> str:
    """The overview as text, for `lab progress`."""
    rows = []
    for line in overview():
        bar = "█" * line.passed + "░" * (line.exercises - line.passed)
        next_up = f"next: {line.open[0]}" if line.open else "all passed"
        rows.append(f"lab {line.lab}  {bar}  {line.passed} of {line.exercises}  {next_up}")
    try:
        where = f"Kept in {user_dir()}"
    except (OSError, RuntimeError) as error:
        where = f"Nothing can be kept: {error}. Is LABLIB_HOME a folder that you may write in?"
    return "\n".join([*rows, "", where])


def widget() -> Any:
    """The overview as an ipywidget: a bar for each lab, and a button that reads it anew."""
    import ipywidgets

    class Progress(ipywidgets.VBox):
        def _repr_mimebundle_(self, **kwargs: Any) -> Any:
            bundle = super()._repr_mimebundle_(**kwargs)
            data = bundle[0] if isinstance(bundle, tuple) else bundle
            data["text/html"] = f"<pre>{escape(report())}</pre>"  # what GitHub and a reopened notebook show
            data["text/plain"] = report()
            return bundle

    def rows() -> list[Any]:
        return [
            ipywidgets.HBox(
                [
                    ipywidgets.HTML(f"<b>Lab {line.lab}</b>", layout=ipywidgets.Layout(width="60px")),
                    ipywidgets.IntProgress(line.passed, 0, line.exercises, bar_style="success"),
                    ipywidgets.HTML(
                        f"{line.passed} of {line.exercises}"
                        + (f" · next: <code>{line.open[0]}</code>" if line.open else " · all passed")
                    ),
                ]
            )
            for line in overview()
        ]

    button = ipywidgets.Button(description="Refresh", tooltip="Read the kept results again")
    box = Progress([*rows(), button])

    def refresh(_: object) -> None:
        box.children = (*rows(), button)

    button.on_click(refresh)
    return box
