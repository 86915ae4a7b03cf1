"""What this machine can do, found by measuring: the device and dtype to train in, and the memory that is left.

`choose` takes the device and dtype in which one small product is fastest (`lablib.speed`). Memory and processors are read with the
limits of a container, if there is one.

Left out: float16 (its small range needs a loss scaler), several GPUs (the labs use one).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lablib.speed import WORTH_IT, Measurement, measured

if TYPE_CHECKING:
    import torch

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Device:
    """The device and dtype to train in, with every measurement the choice rests on."""

    name: str
    dtype: str
    gflops: float
    measured: tuple[Measurement, ...]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The chosen dtype as torch's own object."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def __str__(self) -> str:
        figures = ", ".join(f"{m.device} {m.dtype} {m.gflops:,.0f}" for m in self.measured)
        return f"{self.name} in {self.dtype} (measured, GFLOP/s: {figures})"


def pick(measured: tuple[Measurement, ...]) -> Device:
    """The fastest device in float32, and bfloat16 there if it is worth it.

    >>> pick((Measurement("cpu", "float32", 100.0), Measurement("cpu", "bfloat16", 120.0))).dtype
    'float32'
    >>> pick((Measurement("cpu", "float32", 100.0), Measurement("cpu", "bfloat16", 600.0))).dtype
    'bfloat16'
    """
    if not measured:
        raise ValueError("measured is empty; expected at least one measurement: is torch installed correctly?")
    best = max(measured, key=lambda m: m.gflops)
    full = [m for m in measured if m.device == best.device and m.dtype == "float32"]
    if full and best.gflops < WORTH_IT * full[0].gflops:
        best = full[0]
    return Device(best.device, best.dtype, best.gflops, measured)


@cache
def choose() -> Device:
    """Measure every device and dtype here once (under a second without a GPU's start-up) and pick; kept for the process."""
    import torch

    names = ["cpu"]
    if torch.cuda.is_available():
        names.append("cuda")
    if torch.backends.mps.is_available():
        names.append("mps")
    return pick(tuple(m for name in names for m in measured(name)))


def _read_int(path: Path) -> int | None:
    """The number in a one-line file of the kernel's; None when the file is absent or says `max`."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _own_groups(root: Path, kind: str = "") -> list[Path]:
    """This process's control group and its parents, up to `root` (`kind` is a version-1 controller, or empty for version 2)."""
    inside = "/"
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if kind in controllers.split(","):
                inside = path
    except (OSError, ValueError):
        pass
    folder = root / inside.lstrip("/")
    groups = [folder, *folder.parents]
    return [g for g in groups if g == root or root in g.parents]


def _container_memory(root: Path = _CGROUP) -> list[tuple[int, int]]:
    """(free, limit) in bytes for every control group that limits this process."""
    found = []
    for group in _own_groups(root):  # version 2
        limit, used = _read_int(group / "memory.max"), _read_int(group / "memory.current")
        if limit is not None and used is not None:
            found.append((limit - used + _reclaimable(group, "inactive_file"), limit))
    for group in _own_groups(root / "memory", "memory"):  # version 1, where "no limit" is a number near 2**63
        limit, used = _read_int(group / "memory.limit_in_bytes"), _read_int(group / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < 2**60:
            found.append((limit - used + _reclaimable(group, "total_inactive_file"), limit))
    return found


def _reclaimable(group: Path, key: str) -> int:
    """Bytes of files kept in memory that the kernel gives back when asked: they count as free."""
    try:
        rows = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        return next((int(row[1]) for row in rows if row[0] == key), 0)
    except (OSError, ValueError):
        return 0


def memory(root: Path = _CGROUP) -> tuple[int, int]:
    """(free, total) main memory in bytes, with the container's limit where there is one."""
    machine = psutil.virtual_memory()
    limits = [(machine.available, machine.total), *_container_memory(root)]
    total = min(limit for _, limit in limits)
    return max(0, min(total, *(free for free, _ in limits))), total


def processors(root: Path = _CGROUP) -> int:
    """How many processors this process may use at once: its affinity, and the container's share of time rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _own_groups(root):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            allowed = min(allowed, max(1, -(-int(quota) // int(period))))
        except (OSError, ValueError):
            continue
    return allowed
