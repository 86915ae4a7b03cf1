"""Measuring what a computation costs: peak memory and seconds, for the figures that the labs draw."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most memory that tensors made by `call` held at one time, in bytes (CPU; temporaries inside operations count).

    What existed before does not count. It replays the allocator's events as torch's profiler records them, so that it is exact and
    repeatable, which the process's resident memory is not.

    >>> peak_bytes(lambda: torch.zeros(1000, 1000))
    4000000
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own notes would land in the notebook
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = call()  # noqa: F841 (it must live until the profile ends)
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def median_seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """The median wall-clock time of `call` in seconds, after one run that is not counted.

    Raises:
        ValueError: repeats < 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats = {repeats}: expected at least 1")
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
