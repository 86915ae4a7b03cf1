"""A model as a folder: `config.json` and `model.safetensors`, the format that `transformers` and the Hugging Face hub use.

Safetensors is a header in JSON (name, type, shape and place of each tensor) and then the numbers. Reading it runs no code, unlike
a pickle (`pytorch_model.bin`), which is why nothing else is read here.

Left out: tokenisers (lab 06), and writing a model in several files; reading those is here.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def write_folder(folder: str | Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Path:
    """Write both files, or neither: each is completed under another name, and only then put in the place of an older one.

    Other files in the folder, such as a tokeniser, stay as they are.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = {folder / name: folder / f".{name}.{os.getpid()}.unfinished" for name in (WEIGHTS, CONFIG)}
    try:
        tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
        save_file(tensors, unfinished[folder / WEIGHTS], metadata={"format": "pt"})
        unfinished[folder / CONFIG].write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for path, temporary in unfinished.items():
            os.replace(temporary, path)
    finally:
        for temporary in unfinished.values():
            temporary.unlink(missing_ok=True)
    return folder


def read_config(folder: str | Path, model_type: str) -> dict[str, Any]:
    """The settings in `config.json`.

    Raises:
        FileNotFoundError: there is none. ValueError: it describes another kind of model.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"folder = {str(folder)!r} holds no {CONFIG}: expected a folder that save_pretrained wrote"
        )
    config = json.loads(path.read_text(encoding="utf-8"))
    require(config, "model_type", [model_type])
    return config


def require(config: Mapping[str, Any], key: str, allowed: Collection[Any], default: Any = None) -> None:
    """Raise a ValueError when a setting has a value that our model has no place for."""
    value = config.get(key, default)
    if value not in allowed:
        expected = " or ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{CONFIG}: {key} = {value!r}: expected {expected}, since the course's model has nothing else")


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """Every tensor of the folder, from one file or from the several that an index names."""
    from safetensors import safe_open

    folder = Path(folder)
    if (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    elif (folder / INDEX).is_file():
        files = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        raise FileNotFoundError(
            f"folder = {str(folder)!r} holds no {WEIGHTS}: expected one; was it saved as a pickle (.bin)?"
        )
    tensors: dict[str, Tensor] = {}
    for name in files:
        with safe_open(folder / name, framework="pt") as file:
            # A copy, since what is read this way lies in the file still, which may be replaced.
            tensors |= {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 (it is no dict)
    return tensors


def fill(model: nn.Module, file: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Put a file's tensors into a model that was built on the meta device; they keep their type of number.

    Args: names: for each weight of the model, what the file calls it.

    Raises:
        ValueError: a tensor is missing, superfluous or of another shape, or the types of number are mixed.
    """
    missing, unknown = sorted(set(names.values()) - set(file)), sorted(set(file) - set(names.values()))
    if missing or unknown:
        raise ValueError(
            f"the weights do not fit {CONFIG}: missing {missing[:3]}, unknown {unknown[:3]} ({len(missing)} and {len(unknown)} "
            "in all); expected exactly the weights of a causal language model of this shape"
        )
    for ours, expected in model.state_dict().items():
        found = file[names[ours]].shape
        if found != expected.shape:
            raise ValueError(f"{names[ours]} has shape {tuple(found)}: expected {tuple(expected.shape)}, by {CONFIG}")
    one_dtype(file)
    model.load_state_dict({ours: file[theirs] for ours, theirs in names.items()}, assign=True)


def one_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    """The type of number that all weights share.

    Raises:
        ValueError: there are several, or whole numbers.
    """
    dtypes = {weight.dtype for weight in weights.values()}
    if len(dtypes) != 1 or not next(iter(dtypes)).is_floating_point:
        found = ", ".join(sorted(str(dtype) for dtype in dtypes))
        raise ValueError(f"the weights are {found}: expected one floating-point type for all; is the model quantised?")
    return next(iter(dtypes))
