"""Ctrl-C, or the stop button of a notebook, at a moment when it does no harm.

It reaches Python as an exception between any two instructions, so also when half of the weights are updated. Here it is noted during
a step, and whoever looks at `asked` after the step knows. Between two steps, while somebody looks at the last one, it is an exception
as ever, but something may be done before it, such as saving.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

TOGETHER = 1.0  # seconds


class Interrupt:
    """While it is entered, the first Ctrl-C is only noted in `asked`; a second one, from the impatient, is an exception as ever.

    What comes within `TOGETHER` seconds is one: `torchrun` hands on a signal that its workers have had from the terminal already.

    In a thread other than the main one, where no signals come, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._old: Any = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and now - self._when > TOGETHER:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._when = True, now

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)
            self._old = None

    @contextmanager
    def after(self, do: Callable[[], None]) -> Iterator[None]:
        """While this block waits, Ctrl-C does something first and is an exception then."""

        def first(number: int, frame: FrameType | None) -> None:
            try:
                do()
            finally:
                raise KeyboardInterrupt

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = signal.signal(signal.SIGINT, first)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, old)
