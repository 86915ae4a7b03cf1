"""The three sizes at which every lab runs: the same cells, other numbers.

`smoke` shows that everything runs (seconds), `laptop` is the lab as it is meant (two CPU cores, no network), `gpu` is for one
GPU. `LABLIB_PROFILE` chooses; otherwise the machine does: `gpu` where CUDA is present, else `laptop`.
"""

import os
from dataclasses import dataclass
from typing import Literal, TypeVar

Name = Literal["smoke", "laptop", "gpu"]
NAMES: tuple[Name, ...] = ("smoke", "laptop", "gpu")
T = TypeVar("T")


@dataclass(frozen=True)
class Profile:
    """One of `smoke`, `laptop`, `gpu`, and where the choice came from.

    >>> Profile("smoke", "example").pick(smoke=2, laptop=300)
    2
    >>> Profile("gpu", "example").pick(smoke=2, laptop=300)  # no gpu value given: the laptop's
    300
    """

    name: Name
    chosen_by: str

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(
                f"LABLIB_PROFILE = {self.name!r}: expected one of {', '.join(NAMES)}; "
                "set it before Python starts, or unset it to let the machine choose"
            )

    def pick(self, *, smoke: T, laptop: T, gpu: T | None = None) -> T:
        """The value for this profile; `gpu` defaults to the laptop's."""
        if self.name == "smoke":
            return smoke
        return laptop if self.name == "laptop" or gpu is None else gpu


def current() -> Profile:
    """The profile that `LABLIB_PROFILE` names, or the one that fits this machine.

    Raises:
        ValueError: `LABLIB_PROFILE` names no profile.
    """
    name = os.environ.get("LABLIB_PROFILE")
    if name:
        return Profile(name, "LABLIB_PROFILE")  # type: ignore[arg-type]
    import torch

    return Profile("gpu" if torch.cuda.is_available() else "laptop", "this machine")
