"""A lab at work: `begin` it, `check` each exercise, `summary` at the end.

`check` returns the function that later cells use. Three outcomes: *passed* (the learner's own code is used from here on),
*not passed* (why, the likely cause, the next hint; the reference is used) and *not attempted* (the reference, or the learner's code
kept from an earlier day). `LABLIB_STRICT=1` makes anything but *passed* raise.
"""

import ast
import contextlib
import linecache
import math
import os
import re
import sys
from dataclasses import dataclass
from html import escape

from lablib.course import guard, progress
from lablib.course.compare import describe
from lablib.course.exercise import Attempt, Exercise, Implementation, NotAttempted, NotPassed, in_a_line
from lablib.course.profile import Profile, current
from lablib.course.sources import cell_source

MARKS = {"passed": "✓", "not passed": "✗", "not attempted": "○"}
EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]*[^\s*])\*(?![\w*])")
COLOURS = {"passed": "#009E73", "not passed": "#D55E00", "not attempted": "#0072B2"}


class _InOneLine(Exception):
    """In a notebook it shows its message and no traceback through the checker."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class NotPassedStrictly(_InOneLine):
    """Raised under LABLIB_STRICT=1."""


class UnknownExercise(_InOneLine):
    """What was given to `check` is no exercise of this lab."""


def is_strict() -> bool:
    return os.environ.get("LABLIB_STRICT", "") not in ("", "0")


_KEPT_STATEMENTS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign)


@dataclass(frozen=True)
class Banner:
    """What a check says, as HTML in a notebook and as text anywhere."""

    outcome: str
    title: str
    lines: tuple[str, ...] = ()
    cause: str = ""
    hint: str = ""
    hint_number: int = 0

    def __repr__(self) -> str:
        parts = [f"{MARKS[self.outcome]} {self.title}", *(f"  {line}" for line in self.lines)]
        if self.cause:
            parts.append(f"  Likely cause: {self.cause}")
        if self.hint_number:
            parts.append(f"  Stuck? Hint {self.hint_number} of 3 is folded in the exercise's card above.")
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        colour = COLOURS[self.outcome]
        parts = [f'<b style="color:{colour}">{MARKS[self.outcome]}</b> <b>{_code(self.title)}</b>']
        parts += [f"<div>{_code(line)}</div>" for line in self.lines]
        if self.cause:
            parts.append(f"<div><b>Likely cause:</b> {_prose(self.cause)}</div>")
        if self.hint_number:
            parts.append(
                f"<details><summary>Stuck? Open hint {self.hint_number} of 3</summary>{_prose(self.hint)}</details>"
            )
        style = f"border-left:4px solid {colour};padding:2px 10px;margin:2px 0;line-height:1.5"
        return f'<div style="{style}">{"".join(parts)}</div>'


def _code(text: str) -> str:
    """Escape for HTML, with `backticks` as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))


def _prose(text: str) -> str:
    """The same for what an author wrote: *emphasis* outside of code, too."""
    pieces = _code(text).split("<code>")  # each but the first: code</code>words
    for i, piece in enumerate(pieces):
        code, end, words = piece.rpartition("</code>")
        pieces[i] = code + end + EMPHASIS.sub(r"<em>\1</em>", words)
    return "<code>".join(pieces)


def _show(view: object) -> None:
    from IPython.display import display

    display(view)


class Lab:
    """One sitting of one lab. Make it with `begin`."""

    def __init__(self, number: str) -> None:
        from lablib.course.checks import exercises

        self.number = number
        self.profile: Profile = current()
        self.exercises: dict[str, Exercise] = {e.name: e for e in exercises(number)}
        self._outcomes: dict[str, str] = {}
        self._attempts: dict[str, list[str]] = {}  # the sources tried, so that running a cell twice is one attempt

    def __repr__(self) -> str:
        return (
            f"Lab {self.number} · {len(self.exercises)} exercises · profile {self.profile.name} "
            f"(chosen by {self.profile.chosen_by})"
        )

    # ------------------------------------------------------------ checking

    def check(self, candidate: Implementation) -> Implementation:
        """Check an exercise and return what later cells use: the learner's own code if it passed, else the reference.

        Raises:
            NotPassedStrictly: only under LABLIB_STRICT=1.
            UnknownExercise: neither its own name nor the one it has in the notebook is that of an exercise of this lab.
        """
        exercise = self._exercise_of(candidate, sys._getframe(1).f_globals)
        label = self._label(exercise)
        if candidate is exercise.reference:
            same = ("This is the course's reference, not your code: run the cell above again, then this one.",)
            failed = self._outcomes.get(exercise.name) == "not passed"
            banner = Banner("not passed" if failed else "not attempted", f"{label}: nothing new to check", same)
            return self._settle(exercise, banner, candidate)
        try:
            self.run_check(exercise, candidate)
        except NotAttempted:
            return self._not_attempted(exercise)
        except NotPassed as failure:
            return self._not_passed(exercise, candidate, failure)
        except guard.TimeLimit as limit:
            said = [f"Your code was still running after {exercise.seconds:g} s and was stopped."]
            if where := guard.where_it_stood(limit.__traceback__, candidate):
                said.append(f"It stood at {where}.")
            cause = "An endless loop: does its condition ever become false?"
            return self._not_passed(exercise, candidate, NotPassed(said, cause))
        except KeyboardInterrupt:
            return self._not_passed(exercise, candidate, NotPassed(["The check was interrupted."]))
        except Exception as error:  # ours: say so, and let the learner go on
            ours = (f"The check itself failed ({in_a_line(error)}).", "That is our defect: please report it.")
            banner = Banner("not passed", f"{label}: could not be checked; the reference is used", ours)
            return self._settle(exercise, banner, exercise.reference)
        return self._passed(exercise, candidate)

    @staticmethod
    def run_check(exercise: Exercise, candidate: Implementation) -> None:
        """Run one check, within its time limit and without touching the notebook's random numbers or torch's settings.

        Raises:
            NotPassed, NotAttempted, CheckBroken, TimeLimit.
        """
        import torch

        if not callable(candidate):
            raise NotPassed([f"{exercise.name}: expected a function or a class, got {describe(candidate)}."])
        dtype, device = torch.get_default_dtype(), torch.get_default_device()
        torch.zeros(1, device="meta").add(1)  # its first use imports for a second or more: not in the learner's time
        try:
            with (
                guard.printing_held_back(),
                torch.random.fork_rng(devices=[]),
                torch.enable_grad(),
                guard.time_limit(exercise.seconds),
            ):
                exercise.check(Attempt(exercise, candidate))
        finally:
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != device:
                torch.set_default_device(None if device.type == "cpu" else device)

    def _exercise_of(self, candidate: Implementation, notebook: dict[str, object]) -> Exercise:
        """The exercise by the candidate's own name, or (a lambda, a partial, None) by the name it has in the notebook."""
        own = getattr(candidate, "__name__", None)
        for name in (own, *(name for name in self.exercises if name in notebook and notebook[name] is candidate)):
            if isinstance(name, str) and name in self.exercises:
                return self.exercises[name]
        raise UnknownExercise(
            f"lab {self.number} has no exercise named {own or describe(candidate)}: expected one of "
            f"{', '.join(self.exercises)}; keep the name that the exercise gives"
        )

    def _label(self, exercise: Exercise) -> str:
        number = list(self.exercises).index(exercise.name) + 1
        return f"{int(self.number)}.{number} {exercise.name}"

    def _passed(self, exercise: Exercise, candidate: Implementation) -> Implementation:
        source = cell_source(candidate)
        attempts = self._count(exercise, source)
        lines: tuple[str, ...] = ()
        if source is None:
            lines = (
                "It could not be kept for later labs: its source cannot be read back. A plain `def` in a cell can be.",
            )
        try:
            progress.keep(self.number, exercise.name, "passed", attempts, source)
        except (OSError, RuntimeError) as error:
            lines = (f"It could not be kept for later labs: {error}.",)
        banner = Banner("passed", f"{self._label(exercise)}: passed; your code is used from here on", lines)
        return self._settle(exercise, banner, candidate)

    def _not_passed(self, exercise: Exercise, candidate: Implementation, failure: NotPassed) -> Implementation:
        attempts = self._count(exercise, cell_source(candidate))
        hint = min(attempts, 3)
        banner = Banner(
            "not passed",
            f"{self._label(exercise)}: not passed yet; the reference is used until it is",
            failure.lines,
            failure.cause,
            exercise.hints[hint - 1],
            hint,
        )
        with contextlib.suppress(OSError, RuntimeError):  # nothing of the learner's is lost: the cell is still theirs
            progress.keep(self.number, exercise.name, "not passed", attempts, None)
        return self._settle(exercise, banner, exercise.reference)

    def _not_attempted(self, exercise: Exercise) -> Implementation:
        kept, why = self._kept(exercise)
        used = "the reference is used" if kept is None else "your code that passed earlier is used"
        banner = Banner("not attempted", f"{self._label(exercise)}: not attempted; {used}", (why,) if why else ())
        return self._settle(exercise, banner, exercise.reference if kept is None else kept)

    def _settle(self, exercise: Exercise, banner: Banner, used: Implementation) -> Implementation:
        self._outcomes[exercise.name] = banner.outcome
        if is_strict() and banner.outcome != "passed":
            raise NotPassedStrictly(repr(banner))
        _show(banner)
        return used

    def _count(self, exercise: Exercise, source: str | None) -> int:
        tried = self._attempts.setdefault(exercise.name, [])
        if source is None or source not in tried:
            tried.append(source or "")
        return len(tried)

    # ------------------------------------------------------------ what is kept

    def mine(self, target: str) -> Implementation:
        """The learner's own code from an earlier lab, if it passed and still passes; else the reference. Says which.

        Args:
            target: as in the earlier lab, for example `lablib.architecture.attention:scaled_dot_product_attention`.
        """
        from lablib.course.checks import find

        exercise = find(target)
        kept, why = self._kept(exercise)
        whose = (
            "yours, from an earlier lab" if kept is not None else f"the reference ({why or 'none of yours is kept'})"
        )
        print(f"{exercise.name}: {whose}", flush=True)
        return exercise.reference if kept is None else kept

    def _kept(self, exercise: Exercise) -> tuple[Implementation | None, str]:
        """Code that passed on an earlier day, if it still does; else None, and why if there was any.

        Of the cell only imports, definitions and assignments are run, not what it printed, drew or checked.
        """
        import numpy as np
        import torch
        import torch.nn.functional as F
        from torch import Tensor, nn

        common = {"math": math, "torch": torch, "nn": nn, "F": F, "Tensor": Tensor, "np": np}  # as the labs import them
        namespace = common | vars(sys.modules[exercise.reference.__module__]) | {"__name__": f"kept_{exercise.name}"}
        namespace.pop(exercise.name, None)  # it must come from the kept code
        name = f"<your {exercise.name}, kept earlier>"
        try:
            path = progress.answer_path(exercise.lab, exercise.name)
            if not path.is_file():
                return None, ""
            source = path.read_text(encoding="utf-8")
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
            with guard.time_limit(exercise.seconds):
                for statement in ast.parse(source).body:
                    if isinstance(statement, _KEPT_STATEMENTS):
                        # an assignment may need what only the notebook had: then it is left out
                        with contextlib.suppress(*([Exception] if isinstance(statement, ast.Assign) else [])):
                            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
            candidate = namespace[exercise.name]
            self.run_check(exercise, candidate)
        except (Exception, guard.TimeLimit, SystemExit) as error:
            return None, f"Your code kept from an earlier day cannot be used: {in_a_line(error)}"
        return candidate, ""

    # ------------------------------------------------------------ the end of a lab

    def summary(self) -> "Summary":
        """A table of the exercises and their outcomes. Under LABLIB_STRICT=1 it raises unless all passed."""
        rows = tuple(
            (self._label(e), e.title, self._outcomes.get(e.name, "not attempted"), e.minutes)
            for e in self.exercises.values()
        )
        if is_strict() and any(row[2] != "passed" for row in rows):
            raise NotPassedStrictly(repr(Summary(rows)))
        return Summary(rows)


@dataclass(frozen=True)
class Summary:
    """The table at a lab's end: (label, title, outcome, minutes) for each exercise."""

    rows: tuple[tuple[str, str, str, int], ...]

    @property
    def passed(self) -> int:
        return sum(row[2] == "passed" for row in self.rows)

    def __repr__(self) -> str:
        width = max(len(row[0]) for row in self.rows)
        lines = [f"{MARKS[outcome]} {label:<{width}}  {outcome}" for label, _, outcome, _ in self.rows]
        return "\n".join([*lines, f"{self.passed} of {len(self.rows)} passed"])

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><td style="text-align:left"><code>{escape(label)}</code></td><td style="text-align:left">{escape(title)}</td>'
            f'<td style="text-align:left;color:{COLOURS[outcome]}"><b>{MARKS[outcome]} {outcome}</b></td></tr>'
            for label, title, outcome, _ in self.rows
        )
        return f"<table>{body}</table><p><b>{self.passed} of {len(self.rows)} passed.</b></p>"


def begin(number: str) -> Lab:
    """Begin a lab by its number, as a string of two digits: `lab = begin("02")`.

    Raises:
        ValueError: there is no such lab with exercises, or LABLIB_PROFILE names no profile.
    """
    lab = Lab(number)
    print(lab, flush=True)
    return lab
