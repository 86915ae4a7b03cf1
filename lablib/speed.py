"""How fast a device multiplies matrices in each type of number, found by timing, since no name says it.

A processor's name says little: one laptop multiplies bfloat16 matrices six times faster than float32, the next one eighteen times
slower. So one small product is timed, of the size that the course's own models use.

Left out: float16 (its small range needs a loss scaler).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

# A dtype with fewer digits must be this much faster than float32 to be worth its rounding.
WORTH_IT = 1.3


@dataclass(frozen=True)
class Measurement:
    """One timed product: which device and dtype (torch's names), and what it reached in GFLOP/s."""

    device: str
    dtype: str
    gflops: float


def best_time(work: Callable[[], Any], budget_s: float = 0.06) -> float:
    """Seconds of the fastest run of `work`: one to warm up, then as many as fit in `budget_s` (at least one, unless the first was slow)."""
    start = time.perf_counter()
    work()
    best = time.perf_counter() - start
    if best > budget_s:  # nothing that slow is worth a second look
        return best
    best, spent = float("inf"), 0.0
    while spent < budget_s:
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
    return best


def measure(device: str, dtype: str) -> Measurement | None:
    """Time (rows, 256) @ (256, 1024); None where this device cannot multiply in this dtype."""
    import torch

    rows, width, hidden = (512, 256, 1024) if device == "cpu" else (4096, 1024, 4096)
    try:
        a = torch.ones(rows, width, device=device, dtype=getattr(torch, dtype))
        b = torch.ones(width, hidden, device=device, dtype=getattr(torch, dtype))

        def product() -> None:
            torch.matmul(a, b)
            if device == "cuda":
                torch.cuda.synchronize()
            elif device == "mps":
                torch.mps.synchronize()

        product()  # the first use of a device starts its libraries: that is not speed
        seconds = best_time(product)
    except (RuntimeError, TypeError):
        return None
    return Measurement(device, dtype, 2 * rows * width * hidden / seconds / 1e9)


@cache
def measured(name: str) -> tuple[Measurement, ...]:
    """Both dtypes on one device, "cpu", "cuda" or "mps"; kept for the process."""
    tried = (measure(name, dtype) for dtype in ("float32", "bfloat16"))
    return tuple(m for m in tried if m is not None)


def dtype_on(name: str) -> str:
    """What to compute in on a device: "bfloat16" where that is clearly faster, else "float32"."""
    speeds = {m.dtype: m.gflops for m in measured(name)}
    return "bfloat16" if speeds.get("bfloat16", 0.0) >= WORTH_IT * speeds.get("float32", 0.0) > 0 else "float32"
