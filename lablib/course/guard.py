"""Running a learner's code: it may loop for ever, raise anything, or exit. The lab goes on.

`time_limit` ends code that does not end by itself. It raises `TimeLimit` inside the running code: from a timer signal where
there is one (Linux, macOS, main thread), else as an asynchronous exception from a watching thread (Windows, other threads).
`TimeLimit` is a BaseException, so that `except Exception` in the learner's loop cannot swallow it; a bare `except:` can, hence it
is raised again and again until the block is left.
"""

import contextlib
import ctypes
import linecache
import signal
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType

DEFAULT_SECONDS = 10.0
_REPEAT_SECONDS = 0.5


class TimeLimit(BaseException):
    """The code ran longer than it may."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in this block once `seconds` have passed, and again until the block is left.

    A single call into C code that never comes back to Python (say one enormous matrix product) cannot be interrupted
    before it returns.
    """
    if seconds <= 0:
        raise ValueError(f"seconds = {seconds}: expected a positive number of seconds")
    on_main_thread = threading.current_thread() is threading.main_thread()
    with _alarm(seconds) if on_main_thread and hasattr(signal, "setitimer") else _watcher(seconds):
        yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(signum: int, frame: object) -> None:
        raise TimeLimit

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_SECONDS)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # the alarm may have rung in the line above: then this one still runs, long before the next ring
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def _watcher(seconds: float) -> Iterator[None]:
    watched, done, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def raise_in(exception: type[BaseException] | None) -> None:
        target = ctypes.py_object(exception) if exception else None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watched), target)

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            with lock:  # never after the block was left
                if not done.is_set():
                    raise_in(TimeLimit)
            wait = _REPEAT_SECONDS

    threading.Thread(target=watch, daemon=True, name="time limit").start()
    try:
        yield
    finally:
        with lock:
            done.set()
            raise_in(None)  # one that was sent but has not arrived yet


def source_file(candidate: object) -> str | None:
    """The file (or notebook cell) in which a function or class was written, or None."""
    for code in _codes(candidate):
        return code.co_filename
    return None


def _codes(candidate: object) -> Iterator:
    members = vars(candidate).values() if isinstance(candidate, type) else [candidate]
    for member in members:
        function = getattr(member, "__func__", member)  # static and class methods
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        if hasattr(function, "__code__"):
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
