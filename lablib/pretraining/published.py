"""Training runs that somebody published figures of, from `data/published_runs.toml`, each figure with its source.

They are what the planner is checked against, and the table of lab 07. A model's parameters follow from its shape by the config of
this course; Gopher and Chinchilla have the shape of GPT-2 but for the positions (see `parameters_of`).
"""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lablib.architecture.decoder import DecoderConfig
from lablib.architecture.gpt2 import GPT2Config
from lablib.paths import data_path
from lablib.pretraining.planner import Config, Device

FILE = "published_runs.toml"


@dataclass(frozen=True)
class Published:
    """One run, in the source's own figures; None where it gives none.

    Attributes:
        name, source: words. checked: whether the figures were compared with the source, and not written from memory.
        family: "gpt2", "llama" or "gopher". shape: sizes as `GPT2Config` and `DecoderConfig` name them.
        parameters: as the source counts them; rounding: half a unit of its last digit, as a share of the figure.
        tokens: of training. flops: of training. hours: of one device, added up. device: name of a `Device`. watts: of one device.
        energy: MWh. carbon: tonnes of CO2 equivalent. devices: how many at once. note: what the figures do not say.
    """

    name: str
    source: str
    checked: bool
    family: str
    shape: dict[str, Any]
    parameters: float
    tokens: float
    rounding: float = 0.005
    flops: float | None = None
    hours: float | None = None
    device: str | None = None
    devices: int | None = None
    watts: float | None = None
    energy: float | None = None
    carbon: float | None = None
    note: str = ""

    @property
    def config(self) -> Config:
        """The shape as a config of this course."""
        if self.family == "llama":
            return DecoderConfig(**self.shape)
        return GPT2Config(**{"hidden": 4 * self.shape["D"], **self.shape})


@dataclass(frozen=True)
class Claim:
    """One line of the case study: what is often said of a model, and what the source says.

    Attributes:
        topic, account, source_says, source: words. verdict: "right", "rounded", "half" or "wrong".
    """

    topic: str
    account: str
    says: str
    source: str
    verdict: str
    checked: bool = field(default=True)


def parameters_of(run: Published) -> int:
    """How many parameters the shape has.

    Gopher's and Chinchilla's positions are relative (Rae et al. 2021, §2.1; Dai et al. 2019, "Transformer-XL"): no table of positions, but
    in each layer one more matrix (D, D), for the keys of the distances.
    """
    config = run.config
    if run.family != "gopher":
        return config.parameters
    return config.parameters - config.context * config.D + config.L * config.D**2


@cache
def _read() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(data_path(FILE).read_text(encoding="utf-8"))


def runs() -> list[Published]:
    """All published runs, in the file's order."""
    return [Published(**row) for row in _read()["run"]]


def devices() -> dict[str, Device]:
    """Accelerators by name."""
    return {
        row["name"]: Device(**{key: row[key] for key in ("name", "flops", "memory", "watts")})
        for row in _read()["device"]
    }


def case_study() -> list[Claim]:
    """What is often said about GPT-3 and the Llamas, line by line, beside what their papers say."""
    return [Claim(**row) for row in _read()["claim"]]
