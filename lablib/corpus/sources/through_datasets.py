"""Rows through the library `datasets`, streaming: a file on this computer or on the Hugging Face hub is read as far as it is asked for.

The library tries again by itself for up to 100 seconds and speaks of it in the log; here it is told to try once and be silent, and the
trying again is done where clock and sleep can be seen (`lablib.corpus.sources.retry`).
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

from lablib.corpus.sources.catalogue import HUB, Source
from lablib.corpus.sources.remote import PASSING, reach
from lablib.corpus.sources.retry import Patience, Retry, Transient, retrying, seconds_of
from lablib.corpus.sources.trouble import SourceUnavailable

BLOCK = 64  # rows taken at a time
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
_PASSING_KINDS = frozenset({"TransportError", "ClientError", "TimeoutException"})  # of httpx and aiohttp


class Stopped(Exception):
    """`datasets` gave up on a file, for what it took to be wrong in it."""


def offline() -> str:
    """The environment variable that forbids to ask the hub, or "".

    >>> offline() in ("", *OFFLINE)
    True
    """
    return next((name for name in OFFLINE if os.environ.get(name, "").upper() in {"1", "TRUE", "YES", "ON"}), "")


def endpoint() -> str:
    """Where the hub is: HF_ENDPOINT, else its own address."""
    return os.environ.get("HF_ENDPOINT", f"https://{HUB}").rstrip("/")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without words, bars and tries of the library's own; the caller's settings come back afterwards."""
    import datasets

    config: Any = datasets.config
    once: dict[str, Any] = {
        "HF_UPDATE_DOWNLOAD_COUNTS": False
    }  # else reading a file on this computer asks a server to count it
    once |= {f"STREAMING_{what}_MAX_RETRIES": 1 for what in ("READ", "OPEN")}  # and then no waiting
    once |= {f"STREAMING_{what}_RETRY_INTERVAL": 0 for what in ("READ", "OPEN")}
    before = {name: getattr(config, name) for name in once if hasattr(config, name)}
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub", "fsspec", "httpx")]
    levels = [logger.level for logger in loggers]
    bars = datasets.are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in before:
                setattr(config, name, once[name])
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            datasets.disable_progress_bars()
            yield
        finally:
            for name, value in before.items():
                setattr(config, name, value)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if not bars:
                datasets.enable_progress_bars()


def dataset_rows(path: str, builder: str) -> Iterator[dict[str, Any]]:
    """The rows of one file, "json" or "parquet", on this computer or on the hub ("hf://datasets/owner/name/file").

    Raises:
        Stopped: it cannot go on; the rows before the trouble may or may not have come.
        Transient: the network failed, and may work again.
    """
    import datasets

    rows: Iterator[dict[str, Any]] | None = None
    while True:
        block: list[dict[str, Any]] = []
        failed: Exception | None = None
        with _quiet():
            try:
                if rows is None:
                    rows = iter(datasets.load_dataset(builder, data_files=[path], split="train", streaming=True))
                for row in rows:
                    block.append(row)
                    if len(block) == BLOCK:
                        break
            except Exception as error:  # the library passes on what its parts raise: of Arrow, fsspec, the hub's client, pandas, its own
                failed = error
        yield from block
        if failed is not None:
            raise passing(failed) or Stopped(f"{type(failed).__name__}: {failed}") from failed
        if len(block) < BLOCK:
            return


def passing(error: BaseException | None) -> Transient | None:
    """An error of the network that may pass, as `Transient`; None for any other. Looks at what caused it, too."""
    seen = 0
    while error is not None and seen < 10:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None) or getattr(error, "status", None)
        if status is not None:
            asked = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
            return (
                Transient(f"the hub answers {status}", seconds_of(asked.get("Retry-After")))
                if status in PASSING
                else None
            )
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, ConnectionError | TimeoutError) or kinds & _PASSING_KINDS:
            return Transient(f"no answer ({str(error).splitlines()[0] if str(error) else type(error).__name__})")
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def hub_rows(path: str, builder: str, retry: Retry) -> Iterator[dict[str, Any]]:
    """The same of a file on the hub, taken up after the last row when the network fails.

    Raises:
        Stopped: as `dataset_rows`.
        Transient: it failed for good.
    """
    patience, done = Patience(retry), 0
    while True:
        try:
            for number, row in enumerate(dataset_rows(path, builder)):
                if number >= done:
                    done += 1
                    patience.progressed()
                    yield row
            return
        except Transient as error:
            patience.failed(error)


def hub_files(source: Source, split: str | None, retry: Retry) -> list[str]:
    """The paths of a source's files on the hub, in alphabetical order.

    Raises:
        SourceUnavailable: the hub may not or cannot be asked, or holds no such file. The message says only why.
    """
    if variable := offline():
        raise SourceUnavailable(f"{variable} is set, so it is not asked")
    try:
        reach(endpoint())
        return retrying(lambda: _listed(f"datasets/{source.place}/{source.pattern(split)}"), retry)
    except Transient as error:
        raise SourceUnavailable(str(error)) from None


def _listed(pattern: str) -> list[str]:
    from huggingface_hub import HfFileSystem

    with _quiet():
        try:
            found = sorted(map(str, HfFileSystem(skip_instance_cache=True).glob(pattern)))
        except FileNotFoundError:  # the hub's client has its own kinds of it, for a set, a folder and a file
            found = []
        except Exception as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise passing(error) or SourceUnavailable(f"it gives no list of files ({why})") from None
    if not found:
        raise SourceUnavailable(f"it shows no file {pattern!r}: the set was moved, or needs an account")
    return [f"hf://{path}" for path in found]


def hub_address(path: str) -> str:
    """Where a file on the hub can be read without its client, for the careful readers.

    >>> hub_address("hf://datasets/allenai/c4/en/c4-train.00000-of-01024.json.gz").removeprefix(endpoint())
    '/datasets/allenai/c4/resolve/main/en/c4-train.00000-of-01024.json.gz'
    """
    kind, owner, name, file = path.removeprefix("hf://").split("/", 3)
    return f"{endpoint()}/{kind}/{owner}/{name}/resolve/main/{file}"
