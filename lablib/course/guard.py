"""Running a learner's code: it may loop for ever, raise anything, or exit. The lab goes on.

`time_limit` ends code that does not end by itself. It raises `TimeLimit` inside the running code: from a timer signal where
there is one (Linux, macOS, main thread), else as an asynchronous exception from a watching thread (Windows, other threads).
`TimeLimit` is a BaseException, so that `except Exception` in the learner's loop cannot swallow it; a bare `except:` can, hence it
is raised again and again until the block is left, and once more when it is left as if nothing had been.
"""

import _thread
import contextlib
import ctypes
import inspect
import io
import linecache
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

DEFAULT_SECONDS = 10.0
_REPEAT_SECONDS = 0.5
_PRINTED_CHARACTERS = 4000


class TimeLimit(BaseException):
    """The code ran longer than it may."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in this block once `seconds` have passed, and again until the block is left.

    Two things cannot be ended: a single call into C code that never comes back to Python (say one enormous matrix product),
    and a loop that spends all its time inside `try: … except: pass`. Limits may be nested; the first to run out counts.
    """
    if seconds <= 0:
        raise ValueError(f"seconds = {seconds}: expected a positive number of seconds")
    on_main_thread = threading.current_thread() is threading.main_thread()
    with _alarm(seconds) if on_main_thread and hasattr(signal, "setitimer") else _watcher(seconds):
        yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    rang = False

    def ring(signum: int, frame: object) -> None:
        nonlocal rang
        rang = True
        raise TimeLimit

    start, (outer, outer_repeat) = time.monotonic(), signal.getitimer(signal.ITIMER_REAL)
    previous = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # the alarm may have rung in the line above: then this one still runs, long before the next ring
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous or signal.SIG_DFL)
        if outer:  # an outer limit goes on with what is left of it
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - start), 1e-3), outer_repeat)
    if rang:  # it was swallowed by an `except:`
        raise TimeLimit


@contextlib.contextmanager
def _watcher(seconds: float) -> Iterator[None]:
    # Plain locks and no `with`: the exception may arrive between any two steps here, and must not leave a lock held.
    watched, rang = threading.get_ident(), []
    running, watching = threading.Lock(), threading.Lock()
    running.acquire()
    watching.acquire()

    def raise_in(exception: type[BaseException] | None) -> None:
        target = ctypes.py_object(exception) if exception else None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watched), target)

    def watch() -> None:
        wait = seconds
        while not running.acquire(timeout=wait):
            rang.append(True)
            raise_in(TimeLimit)
            wait = _REPEAT_SECONDS
        watching.release()

    def leave() -> None:
        if running.locked():
            running.release()
        while watching.locked():  # until the watcher has seen it and raises no more
            time.sleep(0)
        raise_in(None)  # one that was sent but has not arrived yet

    try:
        try:
            _thread.start_new_thread(watch, ())  # one step, unlike Thread.start(), which waits and could be hit
            yield
        finally:
            leave()
    finally:  # as above: it may have arrived in the line before
        leave()
    if rang:
        raise TimeLimit


@contextlib.contextmanager
def printing_held_back() -> Iterator[None]:
    """Hold back what this block prints, then print its beginning: a print in an endless loop must not fill the notebook."""
    held = _Beginning()
    try:
        with contextlib.redirect_stdout(held):
            yield
    finally:
        text = held.getvalue()
        if text:
            print(text, end="" if text.endswith("\n") else "\n", flush=True)
        if held.dropped:
            print(f"… and {held.dropped:,} characters more, not shown", flush=True)


class _Beginning(io.StringIO):
    dropped = 0

    def write(self, text: str) -> int:
        kept = text[: _PRINTED_CHARACTERS - self.tell()]
        self.dropped += len(text) - len(kept)
        super().write(kept)
        return len(text)


def source_file(candidate: object) -> str | None:
    """The file (or notebook cell) in which a function or class was written, or None."""
    for code in _codes(candidate):
        return code.co_filename
    return None


def _codes(candidate: Any) -> Iterator:
    members = vars(candidate).values() if isinstance(candidate, type) else [candidate]
    for member in members:
        function = getattr(member, "__func__", member)  # static and class methods
        with contextlib.suppress(Exception):  # an attribute of any kind may stand in a class
            function = inspect.unwrap(function)
        if inspect.isfunction(function):
            yield function.__code__


def is_blank(error: BaseException, candidate: object) -> bool:
    """Whether the error is the `raise NotImplementedError` of an exercise nobody has written in yet."""
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return False
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return innermost.filename == source_file(candidate) and "NotImplementedError" in (innermost.line or "")


def where_it_stood(tb: TracebackType | None, candidate: object) -> str:
    """`line 4: total = total + x`, the innermost line of the learner's own code in a traceback; "" if unknown."""
    file = source_file(candidate)
    for frame in reversed(traceback.extract_tb(tb)):
        if frame.filename == file and frame.lineno:
            text = linecache.getline(frame.filename, frame.lineno).strip()
            return f"line {frame.lineno} of your cell: `{text}`" if text else f"line {frame.lineno} of your cell"
    return ""
