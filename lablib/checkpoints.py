"""The course's own models by name: `base` now, and what is made of it in the labs that follow.

    base = load("base")
    base.model, base.tokenizer, base.record["loss"]

A learner who has trained their own gets theirs: `lab train base` writes to `checkpoints/base` in the learner's folder, and that is
looked at first. What the course carries lies in data/checkpoints. Each is a folder that `transformers` reads as a Llama, too:
config.json, model.safetensors (half precision), and record.json: how it was made and what was measured of it.

Left out: training them (`lablib.pretraining.base`), and real models by other people (`lablib.models`).
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lablib import paths
from lablib.architecture.decoder import FAST, Decoder, Parts
from lablib.architecture.llama_format import load_llama
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

RECORD = "record.json"


@dataclass(frozen=True)
class Carried:
    """A model of the course, ready to use.

    Attributes:
        model: in float32, in evaluation mode, on the CPU. tokenizer: the one that it was trained with.
        record: settings and measured figures, from record.json. origin: one line that says where it came from.
    """

    model: Decoder
    tokenizer: Tokenizer
    record: dict[str, Any]
    origin: str


def own_path(name: str) -> Path:
    """Where the learner's own model of that name lies, or would lie."""
    return paths.user_dir() / "checkpoints" / name


def carried_folder() -> Path:
    """Where the course's models lie."""
    return paths.share_path() / "data" / "checkpoints"


def find(name: str) -> tuple[Path, str]:
    """The folder of a model, and whose it is. `LABLIB_CHECKPOINTS=carried` passes the learner's own by.

    Raises:
        FileNotFoundError: neither the learner nor the course has it.
    """
    own = own_path(name)
    if (own / RECORD).is_file() and os.environ.get("LABLIB_CHECKPOINTS") != "carried":
        return own, f"your own {name}, from {own}"
    folder = carried_folder()
    carried = folder / name
    if (carried / RECORD).is_file():
        return carried, f"the course's {name}"
    there = sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))
    raise FileNotFoundError(
        f"name = {name!r}: no such model in {folder} nor at {own}: expected one of {', '.join(there) or 'none yet'}; "
        f"`lab train {name}` makes it, if it is one that the course can make"
    )


def load(name: str, parts: Parts = FAST) -> Carried:
    """A model of the course by name, the learner's own if there is one. parts: see `Decoder`.

    Raises:
        FileNotFoundError: see `find`. ValueError: the folder holds something else than this model.
    """
    folder, origin = find(name)
    model = load_llama(folder, torch.float32, parts).eval()
    tokenizer = course_tokenizer.load()
    if tokenizer.V != model.config.V:
        raise ValueError(
            f"{folder} has a vocabulary of V = {model.config.V}: expected {tokenizer.V}, that of the course's tokenizer; "
            "was it trained with another one? Remove the folder to use the course's model"
        )
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return Carried(model, tokenizer, record, origin)
