"""Trying again: exponential back-off with jitter, for a server that is busy or a line that breaks.

After the n-th failure the wait is drawn evenly between 0 and min(longest, first · 2ⁿ⁻¹) seconds ("full jitter": so that a thousand
clients that failed together do not come back together). A server's own word, the header Retry-After (RFC 9110, section 10.2.3), is
the least that is waited. Clock, sleep and chance come in as arguments, so that a test takes no time.
"""

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")


class Transient(Exception):
    """A failure that may pass: another try is worth it.

    Attributes:
        retry_after: the seconds that the server asks for, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Retry:
    """How patient to be.

    Attributes:
        attempts: tries in a row without progress, the first included.
        first_wait: seconds, the most that is waited after the first failure.
        longest_wait: seconds, the most that is waited after any failure (Retry-After aside).
        patience: seconds in all, waits included: what would end later is not begun.
        timeout: seconds that one request may stay without an answer.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 20.0
    patience: float = 60.0
    timeout: float = 10.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts = {self.attempts}: expected at least 1, the first try")
        for name in ("first_wait", "longest_wait", "patience", "timeout"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected seconds, 0 or more")

    def wait_after(self, failures: int, retry_after: float | None = None) -> float:
        """Seconds to wait after so many failures in a row.

        >>> 0 <= Retry(first_wait=1, longest_wait=5).wait_after(3) <= 4
        True
        >>> Retry(first_wait=0).wait_after(1, retry_after=7.0)
        7.0
        """
        most = min(self.longest_wait, self.first_wait * 2.0 ** (failures - 1))
        return max(self.chance.uniform(0.0, most), retry_after or 0.0)


class Patience:
    """Counts the failures of one undertaking. `failed` waits, or raises when patience is out; `progressed` starts the count anew."""

    def __init__(self, retry: Retry) -> None:
        self.retry = retry
        self.progressed()

    def progressed(self) -> None:
        """Something came: the next failure is the first again."""
        self.failures = 0
        self.began = self.retry.clock()

    def failed(self, error: Transient) -> None:
        """Wait, then return for another try.

        Raises:
            Transient: the same error, when no try is left or the wait would end after `patience`.
        """
        self.failures += 1
        wait = self.retry.wait_after(self.failures, error.retry_after)
        late = self.retry.clock() - self.began + wait > self.retry.patience
        if self.failures >= self.retry.attempts or late:
            raise error
        self.retry.sleep(wait)


def retrying(call: Callable[[], Result], retry: Retry) -> Result:
    """The result of `call`, tried again while it raises `Transient`.

    Raises:
        Transient: the last one, when patience is out.
    """
    patience = Patience(retry)
    while True:
        try:
            return call()
        except Transient as error:
            patience.failed(error)


def seconds_of(retry_after: str | None, now: float | None = None) -> float | None:
    """The header Retry-After, as seconds or as a date -> seconds from now; None if there is none or it cannot be read.

    >>> seconds_of("120"), seconds_of("soon"), seconds_of("Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    (120.0, None, 10.0)
    """
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))
