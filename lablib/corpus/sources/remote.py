"""Files that lie on a server, read as if they lay here: a few bytes at a time, from any place, through a line that may break.

A request that fails in passing (no answer, 429 Too Many Requests, 5xx) is tried again; a transfer that stops before its end is taken up
where it stopped, with a range request (RFC 9110, section 14). What stays broken ends the file early, and `broken` says why:
so the readers still give all that came before.
"""

import http.client
import io
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from lablib.corpus.sources.retry import Patience, Retry, Transient, retrying, seconds_of
from lablib.corpus.sources.trouble import SourceUnavailable

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # status codes after which another try is worth it
BLOCK = 1 << 16  # bytes that are fetched at a time and kept, so that a look back costs no request
PROBE = Retry(attempts=2, first_wait=0.3, patience=5.0, timeout=3.0)  # "is there a network?": seconds, not minutes
_AGENT = "data-to-dialogue (a course; https://github.com/data-to-dialogue/from-data-to-dialogue)"


class HttpFile(io.RawIOBase):
    """A file on a server, open for reading bytes.

    Attributes:
        name: the address.
        size: its bytes, or None if the server does not say.
        broken: why it ended before its end, "" if it did not.

    Raises:
        SourceUnavailable: on opening: it is not there, or the server does not answer.
    """

    def __init__(self, url: str, retry: Retry) -> None:
        super().__init__()
        self.name = url
        self.size: int | None = None
        self.broken = ""
        self._retry = retry
        self._place = 0
        self._block, self._block_at = b"", 0  # the last bytes that came, and their place
        self._response: Any = None
        self._response_at = 0  # the place of the next byte that it will give
        self._tag: str | None = None
        try:
            retrying(self._request, retry)
        except Transient as error:
            raise SourceUnavailable(f"{url}: {error}, after {retry.attempts} tries") from None

    def _request(self) -> None:
        """Ask for the bytes from the present place on.

        Raises:
            Transient: it may work later.
            SourceUnavailable: it will not.
        """
        self._drop()
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        if self._place:
            headers["Range"] = f"bytes={self._place}-"
        try:
            self._response = urllib.request.urlopen(
                urllib.request.Request(self.name, headers=headers), timeout=self._retry.timeout
            )
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in PASSING:
                raise Transient(
                    f"the server answers {error.code} {error.reason}", seconds_of(error.headers["Retry-After"])
                ) from None
            raise SourceUnavailable(f"{self.name}: the server answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"no answer ({_reason(error)})") from None
        length, tag = self._response.headers["Content-Length"], self._response.headers["ETag"]
        if self._tag is not None and tag != self._tag:
            raise SourceUnavailable(f"{self.name}: the file was changed on the server while it was read; begin again")
        self._tag = tag
        begins = self._place if self._response.status == 206 else 0
        if length is not None and self.size is None:
            self.size = begins + int(length)
        ahead = self._place - begins
        while ahead > 0:  # a server that knows no ranges: read up to the place
            data = self._response.read(min(1 << 16, ahead))
            if not data:
                raise Transient(f"the transfer ended before byte {self._place:,}")
            ahead -= len(data)
        self._response_at = self._place

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self.size is None:
            raise OSError(f"{self.name}: the server does not say how long the file is")
        self._place = offset + (0, self._place, self.size or 0)[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as bytes come; 0 at the file's end, and where it broke."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            inside = self._place - self._block_at
            if not 0 <= inside < len(self._block):
                if not self._next_block():
                    break
                inside = 0
            data = self._block[inside : inside + len(view) - filled]
            view[filled : filled + len(data)] = data
            filled += len(data)
            self._place += len(data)
        return filled

    def _next_block(self) -> bool:
        """Fetch the block that begins at the present place; False at the file's end, and where it broke."""
        patience = Patience(self._retry)
        while not self.broken and (self.size is None or self._place < self.size):
            try:
                self._block, self._block_at = self._some(), self._place
                return bool(self._block)
            except Transient as error:
                try:
                    patience.failed(error)
                except Transient:
                    self.broken = f"{error}, after {patience.failures} tries"
            except SourceUnavailable as error:
                self.broken = str(error)
        return False

    def _some(self) -> bytes:
        if self._response is None or self._response_at != self._place:
            self._request()
        try:
            data = bytes(self._response.read(BLOCK))
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Transient(f"the transfer broke off at byte {self._place:,} ({_reason(error)})") from None
        self._response_at += len(data)
        if not data and self.size is not None:
            self._drop()
            raise Transient(f"the transfer ended at byte {self._place:,} of {self.size:,}")
        return data

    def close(self) -> None:
        self._drop()
        super().close()


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    inner = inner if isinstance(inner, Exception) else error
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def reach(url: str, retry: Retry = PROBE) -> None:
    """Ask a host for anything at all: any answer will do.

    Raises:
        Transient: none came; says why.
    """
    host = urllib.parse.urlsplit(url).netloc
    outcome: list[Transient | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": _AGENT})
        try:
            urllib.request.urlopen(request, timeout=retry.timeout).close()
        except urllib.error.HTTPError as error:
            error.close()  # an answer
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"{host} does not answer ({_reason(error)})") from None

    def asked() -> None:
        try:
            retrying(ask, retry)
            outcome.append(None)
        except Transient as error:
            outcome.append(error)

    thread = threading.Thread(target=asked, daemon=True)  # looking up a name knows no timeout
    thread.start()
    thread.join(retry.patience)
    if not outcome:
        raise Transient(f"{host} does not answer within {retry.patience:g} s")
    if outcome[0] is not None:
        raise outcome[0]
