"""From one authored source to two notebooks: `solutions/NN_topic.py` → the blank lab and the solved, executed one.

In the source (jupytext percent format) an exercise is one code cell with one line:

    # EXERCISE lablib.architecture.attention:split_heads

From it the builder makes four cells: a card (title, effort, three folded hints), the function with the library's own source (whole in
solutions/, blanked in labs/), the check, and the folded solution with its reasoning. A cell whose output may differ from
run to run carries the tag `varies`; nbval then runs it without comparing.

Building is deterministic: the same source gives the same bytes, cell ids included, so a diff shows what was changed.
"""

import copy
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from lablib import paths
from lablib.course import checks, launch
from lablib.course.exercise import Exercise

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARKER = "# EXERCISE "
MAX_LINES, MAX_EXERCISE_LINES, MAX_COLUMNS = 15, 25, 120
KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


class BuildError(Exception):
    """A source breaks a rule of the house; the message names the cell."""


def _root() -> Path:
    root = paths.project_root()
    if root is None:
        raise BuildError(
            "there is no checkout here: `lab build` makes labs/ from solutions/ in a clone of the repository"
        )
    return root


def sources(labs: Iterable[str] = ()) -> list[Path]:
    """The authored sources, all or those of the given lab numbers.

    Raises:
        BuildError: a number without a source.
    """
    found = sorted((_root() / "solutions").glob("[0-9][0-9]_*.py"))
    wanted = [f"{int(lab):02d}" if lab.isdecimal() else lab for lab in labs]
    known = [path.name[:2] for path in found]
    for lab in wanted:
        if lab not in known:
            raise BuildError(f"lab {lab!r} has no source in solutions/: expected one of {', '.join(known)}")
    return [path for path in found if not wanted or path.name[:2] in wanted]


# ---------------------------------------------------------------- cells


def _markdown(text: str, **metadata: object) -> "NotebookNode":
    import nbformat.v4 as v4

    return v4.new_markdown_cell(text, metadata=metadata)


def _code(text: str, tags: Iterable[str] = ()) -> "NotebookNode":
    import nbformat.v4 as v4

    return v4.new_code_cell(text, metadata={"tags": list(tags)} if tags else {})


def _dots(level: int) -> str:
    return "●" * level + "○" * (5 - level)


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n\n{text}\n\n</details>"


def card(exercise: Exercise, label: str) -> str:
    """The Markdown above an exercise: what it is, what it takes, and three folded hints."""
    effort = (
        f"Difficulty {_dots(exercise.difficulty)} · importance {_dots(exercise.importance)} · "
        f"about {exercise.minutes} minutes"
    )
    hints = [_folded(f"Hint {number} of 3", hint) for number, hint in enumerate(exercise.hints, 1)]
    return "\n\n".join([f"### Exercise {label} · {exercise.title}", effort, *hints])


def solution(exercise: Exercise, label: str) -> str:
    """The Markdown below an exercise: the library's code and why it is so, folded."""
    code = f"```python\n{exercise.parsed.source()}\n```"
    return _folded(f"Solution {label}, and why it is so", f"{code}\n\n{exercise.reasoning}")


def _exercise_cells(exercise: Exercise, label: str, blank: bool) -> "list[NotebookNode]":
    code = exercise.parsed.blank() if blank else exercise.parsed.source()
    return [
        _markdown(card(exercise, label)),
        _code(code, ["exercise"]),
        _code(f"{exercise.name} = lab.check({exercise.name})", ["check"]),
        _markdown(solution(exercise, label)),
    ]


def notebook(source: Path, blank: bool) -> "NotebookNode":
    """One notebook, not executed, from its source.

    Raises:
        BuildError: an exercise that does not exist, is missing or stands out of order; a cell that is too long or too wide.
    """
    import jupytext
    import nbformat.v4 as v4

    lab = source.name[:2]
    expected = checks.exercises(lab) if lab in checks.labs() else []
    cells: list[NotebookNode] = []
    found: list[str] = []
    for authored in jupytext.read(source).cells:
        text = authored.source
        tags = ["nbval-ignore-output" if tag == "varies" else tag for tag in authored.metadata.get("tags", [])]
        if authored.cell_type == "markdown":
            cells.append(_markdown(text))
        elif text.startswith(MARKER):
            try:
                exercise = checks.find(text.removeprefix(MARKER))
            except ValueError as error:
                raise BuildError(f"{source.name}: {error}") from None
            if exercise.target != text.removeprefix(MARKER).strip():
                raise BuildError(f"{source.name}: {text!r}, but the exercise's target is {exercise.target!r}")
            found.append(exercise.target)
            cells += _exercise_cells(exercise, f"{int(lab)}.{len(found)}", blank)
        elif authored.cell_type == "code" and text:
            cells.append(_code(text, tags))
    targets = [exercise.target for exercise in expected]
    if found != targets:
        raise BuildError(f"{source.name}: exercises {found}, but lablib/course/checks lists {targets}")
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        raise BuildError(f"{source.name}: expected the first cell to be Markdown with the lab's title, `# …`")
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{launch.badges(source.stem)}\n{rest}".rstrip()
    cells.insert(1, _code(launch.colab_cell(), ["setup"]))
    _check_cells(source.name, cells)
    _number(cells)
    return v4.new_notebook(cells=cells, metadata=copy.deepcopy(KERNEL))


def _check_cells(name: str, cells: "list[NotebookNode]") -> None:
    problems = []
    for number, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "setup" in tags:
            continue
        lines = cell.source.splitlines()
        limit = MAX_EXERCISE_LINES if "exercise" in tags else MAX_LINES
        start = f"{name}, cell {number} ({lines[0][:50]!r}…)"
        written = sum(bool(line.strip()) for line in lines)
        if written > limit:
            problems.append(f"{start}: {written} lines, expected at most {limit}; split it or move code to lablib")
        problems += [
            f"{start}: a line of {len(line)} columns, expected at most {MAX_COLUMNS}: {line!r}"
            for line in lines
            if len(line) > MAX_COLUMNS
        ]
    if problems:
        raise BuildError("\n".join(problems))


def _number(cells: "list[NotebookNode]") -> None:
    """Ids from content: unchanged cells keep theirs when others come or go; repeats are counted."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


# ---------------------------------------------------------------- running and writing


def execute(solved: "NotebookNode", profile: str = "laptop") -> "NotebookNode":
    """Run a solved notebook as a learner would, in strict mode and with no answers kept from before; outputs stay in it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as home:
        environment = {
            "LABLIB_PROFILE": profile,
            "LABLIB_STRICT": "1",
            "LABLIB_HOME": home,
            "LABLIB_WORK": f"{home}/work",
        }
        before = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        try:
            NotebookClient(
                solved,
                timeout=1800,
                kernel_name="python3",
                resources={"metadata": {"path": home}},
                store_widget_state=False,
            ).execute()
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
    for cell in solved.cells:
        cell.metadata.pop("execution", None)
        _tidy_outputs(cell)
    solved.metadata = copy.deepcopy(KERNEL)
    return solved


def _tidy_outputs(cell: "NotebookNode") -> None:
    """Keep what a reader sees: no live-widget state (GitHub refuses it), no ids of display updates."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "application/vnd.jupyter.widget-view+json" in data and len(data) > 1:
            del data["application/vnd.jupyter.widget-view+json"]
        output.pop("transient", None)


def _without_outputs(book: "NotebookNode") -> dict:
    bare = json.loads(json.dumps(book))
    for cell in bare["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return bare


def _write(book: "NotebookNode", path: Path) -> None:
    import nbformat

    path.parent.mkdir(exist_ok=True)
    nbformat.validate(book)
    path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")


def stale(source: Path) -> list[str]:
    """What differs between a source and the notebooks beside it, as messages; empty when they are up to date."""
    import nbformat

    problems = []
    blank_path, solved_path = _outputs_of(source)
    for path, blank in ((blank_path, True), (solved_path, False)):
        name = f"{path.parent.name}/{path.name}"
        if not path.is_file():
            problems.append(f"{name} is missing")
            continue
        try:
            kept = nbformat.read(path, as_version=4)
        except Exception as error:  # whatever is in the file
            problems.append(f"{name} is no readable notebook ({type(error).__name__})")
            continue
        made = _without_outputs(notebook(source, blank))
        if blank and json.loads(json.dumps(kept)) != made:
            problems.append(f"{name} differs from what its source builds")
        if not blank and _without_outputs(kept) != made:
            problems.append(f"{name} differs from what its source builds")
        if not blank and any(c.cell_type == "code" and c.execution_count is None for c in kept.cells):
            problems.append(f"{name} has cells that were not executed")
    return problems


def _outputs_of(source: Path) -> tuple[Path, Path]:
    return _root() / "labs" / f"{source.stem}.ipynb", source.with_suffix(".ipynb")


def build(labs: Iterable[str] = (), check: bool = False, run: bool = True) -> int:
    """Build labs/ and solutions/ (all, or the given numbers); with `check` only compare. Returns an exit status.

    Args:
        run: execute the solved notebook. Without it the solved notebook is left as it is, for the next full build (`--check` will
            ask for it if it needs one).
    """
    status = 0
    for source in sources(labs):
        if check:
            problems = stale(source)
            print(
                f"{source.stem}: "
                + ("; ".join(problems) + f" → lab build {source.name[:2]}" if problems else "up to date")
            )
            status |= bool(problems)
            continue
        blank_path, solved_path = _outputs_of(source)
        _write(notebook(source, blank=True), blank_path)
        if run:
            print(f"{source.stem}: running the solved notebook …", flush=True)
            _write(execute(notebook(source, blank=False)), solved_path)
        print(f"{source.stem}: built", flush=True)
    return status
