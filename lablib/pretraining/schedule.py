"""How the learning rate changes during a run: a factor for each step, which the peak rate is multiplied with.

It climbs first, since the first gradients point in nearly random directions and an optimiser that averages over them knows nothing
yet. It falls at the end, so that the weights settle. *Cosine* falls all the way, and has to know from the start when the end is;
*warm-up–stable–decay* stays at the top, so that one long run can be brought to an end (decayed) at any point of it.

Papers: Loshchilov & Hutter 2017, "SGDR" (equation 5: the cosine); Hu et al. 2024, "MiniCPM" (§4: warm-up–stable–decay).
Differs from the papers: the first step already has a rate above zero and the last one too, so that no step is wasted.
"""

import math


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    """Straight up to 1 in `warmup` steps, then half a cosine down to `floor`.

    Args:
        step: 0 … steps − 1. warmup: steps before the first with a factor of 1.
        floor: factor where the cosine would end, at `steps`.

    >>> [round(warmup_cosine(step, steps=6, warmup=2, floor=0.0), 2) for step in range(6)]
    [0.33, 0.67, 1.0, 0.85, 0.5, 0.15]
    """
    check_schedule(step, steps, warmup, 0, floor)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)  # 0 … 1
    return 1 - (1 - floor) * (1 - math.cos(math.pi * progress)) / 2  # Loshchilov & Hutter 2017, equation 5


def warmup_stable_decay(step: int, steps: int, warmup: int, decay: int, floor: float = 0.0) -> float:
    """Straight up to 1 in `warmup` steps, stay there, and in the last `decay` steps straight down towards `floor`.

    Args:
        step: 0 … steps − 1. floor: factor where the line would end, at `steps`.

    >>> [warmup_stable_decay(step, steps=6, warmup=1, decay=2) for step in range(6)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.5]
    """
    check_schedule(step, steps, warmup, decay, floor)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if step < steps - decay:
        return 1.0
    return 1 - (1 - floor) * (step - (steps - decay)) / decay


def check_schedule(step: int, steps: int, warmup: int, decay: int, floor: float) -> None:
    """Raise a ValueError for arguments that make no schedule."""
    if not 0 <= step < steps:
        raise ValueError(f"step = {step}: expected 0 to steps − 1 = {steps - 1}")
    if warmup < 0 or decay < 0 or warmup + decay > steps or warmup >= steps:
        raise ValueError(
            f"warmup = {warmup} and decay = {decay}: expected numbers >= 0 that together fit in steps = {steps}, "
            "with a step left at the top"
        )
    if not 0 <= floor <= 1:
        raise ValueError(f"floor = {floor}: expected a share of the peak, from 0 to 1")
