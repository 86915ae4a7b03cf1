"""Choosing β by what it should achieve: a controller that holds the KL divergence near a target.

How large a penalty keeps the policy near the reference depends on the scale of the rewards, and nobody knows that beforehand. How far it
may go, in nats, is easier to say. So β grows a little where the last answers were farther away than that, and falls where they were nearer:
proportional control of log β. The error is cut at ±20 %, so that one odd batch cannot throw it off.

Paper: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences" (§2.2). Left out: an integral term.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class KLTarget:
    """Where the divergence should be, and how eagerly β is turned.

    Args:
        target: nats per answer, KL(π ‖ ρ). rate: K_β: β changes by at most 0.2 · rate a step. most: the error is cut at ± this.
    """

    target: float
    rate: float = 0.1
    most: float = 0.2

    def __post_init__(self) -> None:
        for name in ("target", "rate", "most"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a number > 0")
        if self.rate * self.most >= 1:
            raise ValueError(
                f"rate · most = {self.rate * self.most}: expected below 1, or β could become 0 in one step"
            )


def next_beta(beta: float, kl: float, aim: KLTarget) -> float:
    """The weight of the KL penalty for the next step.

    Args:
        beta: of this step, above 0. kl: measured in it, nats per answer; an estimate, so perhaps below 0.
        aim: target (nats per answer), most (where the error, a share of the target, is cut) and rate (K_β).

    Raises:
        ValueError: beta is not above 0 (it would stay 0 for ever), or kl is not finite.

    >>> next_beta(1.0, kl=9.0, aim=KLTarget(target=6.0))  # 50 % too far, cut at 20 %: β grows by 2 %
    1.02
    """
    if not 0 < beta < math.inf or not math.isfinite(kl):
        raise ValueError(f"beta = {beta}, kl = {kl}: expected beta > 0 and a finite kl")
    error = min(max((kl - aim.target) / aim.target, -aim.most), aim.most)  # Ziegler et al. 2019, §2.2: e_t
    return beta * (1 + aim.rate * error)  # β_{t+1} = β_t (1 + K_β e_t)
