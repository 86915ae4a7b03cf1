"""Everything that decides how a run goes, in one frozen record: what is not in here, in the model's config or in the data changes nothing.

A checkpoint keeps it, and a run is resumed only under the recipe that it was begun with.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lablib.pretraining.schedule import warmup_cosine, warmup_stable_decay

OPTIMISERS, SCHEDULES, DTYPES = ("adamw", "muon"), ("cosine", "wsd"), ("float32", "bfloat16", "auto")
# A run may go on with other values of these: they change how it is computed, not what.
HOW = ("accumulation", "dtype", "compile", "rescue")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        steps: updates of the weights, in the whole run.
        batch: rows a step, of all processes and micro-batches together. context: tokens predicted in each row.
        accumulation: micro-batches that each process computes one after another for one update; less memory, same result.
        optimiser: "adamw", or "muon": that for the matrices of the layers and AdamW for all else.
        lr: peak learning rate of AdamW. muon_lr: peak of Muon, whose steps are of another size (see `optimisers`).
        weight_decay: of matrices, in units of 1/lr a step. beta1, beta2, eps: of AdamW. momentum: of Muon.
        clip: longest gradient (norm over all weights); a longer one is shortened to it. math.inf: never.
        schedule: "cosine" or "wsd" (warm-up–stable–decay). warmup, decay: shares of the steps; decay is of "wsd" only.
        floor: share of the peak where the schedule ends.
        dtype: of the arithmetic: "float32", or "bfloat16", by autocast, or "auto": the one of the two for which the hardware is
            made (`hardware.best_dtype`). The weights stay as they are.
        compile: `torch.compile`. It takes a while at the start, and a C++ compiler on a CPU.
        rescue: keep a copy of the weights, so that a loss of NaN leaves the last ones that had a finite loss.
        seed: of the order of the data.

    >>> Recipe(steps=100, batch=16, context=256, warmup=0.02).factor(0)  # the first of two steps of warm-up
    0.3333333333333333
    """

    steps: int
    batch: int
    context: int
    accumulation: int = 1
    optimiser: str = "adamw"
    lr: float = 1e-3
    muon_lr: float = 0.02
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    momentum: float = 0.95
    clip: float = 1.0
    schedule: str = "cosine"
    warmup: float = 0.05
    decay: float = 0.2
    floor: float = 0.1
    dtype: str = "float32"
    compile: bool = False
    rescue: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("context", 1), ("accumulation", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}: expected a whole number >= {least}")
        for name, choices in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES), ("dtype", DTYPES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected one of {', '.join(choices)}")
        for name in ("lr", "muon_lr", "eps", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a number > 0")
        for name in ("lr", "muon_lr", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a finite number >= 0")
        for name in ("beta1", "beta2", "momentum", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a share, at least 0 and below 1")
        if self.batch % self.accumulation:
            raise ValueError(
                f"batch = {self.batch} rows cannot be cut into accumulation = {self.accumulation} equal parts"
            )
        self.factor(0)  # warmup, decay and floor are checked there

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """A recipe from the names and values of a file.

        Raises:
            ValueError: a name that a recipe does not have, or lacks one that it must have.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(
                f"a recipe has no {', '.join(unknown)}: expected some of {', '.join(f.name for f in fields(cls))}"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"the recipe is incomplete: {error}") from None

    def factor(self, step: int) -> float:
        """What the peak learning rates are multiplied with in a step, 0 … steps − 1."""
        warmup = min(round(self.warmup * self.steps), self.steps - 1)
        if self.schedule == "cosine":
            return warmup_cosine(step, self.steps, warmup, self.floor)
        return warmup_stable_decay(step, self.steps, warmup, round(self.decay * self.steps), self.floor)

    def differences(self, other: "Recipe") -> list[str]:
        """What would make another run of this one: the settings that differ, but for those in `HOW`."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} = {mine[name]!r} and {theirs[name]!r}"
            for name in mine
            if name not in HOW and mine[name] != theirs[name]
        ]
