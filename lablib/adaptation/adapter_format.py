"""Adapters as files, in the format of `peft`: what was trained here works on the exported model there, and the other way round.

    save_adapter(taken(model, settings), "mine", base="the-base")
    peft.PeftModel.from_pretrained(transformers_model, "mine")      # transformers_model: what `save_llama` exported

A folder holds adapter_config.json (rank, scale, names of the layers) and adapter_model.safetensors. `peft` calls the layers by the names
of `transformers`, and so do the files.

Left out, and refused with the setting's name: trained biases, layers of different rank, adapted embeddings, weights that are trained
whole (`modules_to_save`), and other ways of starting (they change W, so the adapter alone would not do).
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from lablib.adaptation.adapters import Adapter
from lablib.adaptation.lora import Lora
from lablib.architecture.llama_format import LAYER_NAMES
from lablib.pretraining import atomic

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model.model.layers."
FILE_NAMES = {"A": "lora_A.weight", "B": "lora_B.weight", "m": "lora_magnitude_vector"}
THEIRS = {ours: theirs for ours, theirs in LAYER_NAMES.items() if "norm" not in ours}  # the linear layers
# What our adapter has no place for: it must have one of these values.
PLAIN: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": (None, []),
    "layers_to_transform": (None,),
    "layer_replication": (None,),
    "exclude_modules": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None,),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "init_lora_weights": (True, False, "gaussian"),
}


def own_name(name: str) -> str:
    """The last part of a name of ours.

    >>> own_name("attention.q_proj")
    'q_proj'
    """
    return name.rpartition(".")[2]


def file_name(layer: str, part: str) -> str:
    """What `peft` calls a part of the adapter of a layer.

    >>> file_name("layers.0.attention.out_proj", "A")
    'base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight'

    Raises:
        ValueError: a layer that the course's Llama-shaped decoder has not.
    """
    _, _, rest = layer.partition("layers.")
    number, _, inner = rest.partition(".")
    if inner not in THEIRS or not number.isdigit():
        raise ValueError(f"layer = {layer!r}: expected one like 'layers.0.attention.q_proj', of a `Decoder`")
    return f"{PREFIX}{number}.{THEIRS[inner]}.{FILE_NAMES[part]}"


def settings_file(adapter: Adapter, base: str | None) -> dict[str, Any]:
    """The contents of adapter_config.json."""
    settings = adapter.settings
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": settings.r,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "use_rslora": settings.rank_stabilised,
        "use_dora": adapter.dora,
        "target_modules": sorted(
            own_name(theirs) for ours, theirs in THEIRS.items() if own_name(ours) in settings.targets
        ),
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }


def save_adapter(adapter: Adapter, folder: str | Path, base: str | None = None) -> Path:
    """Write a folder that `peft` loads, and return its path. base: name or folder of the model that it belongs to."""
    from safetensors.torch import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {
        file_name(layer, part): weight.detach().cpu().contiguous()
        for layer, weights in adapter.weights.items()
        for part, weight in weights.items()
    }
    atomic.write(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    atomic.write(folder / CONFIG, (json.dumps(settings_file(adapter, base), indent=2) + "\n").encode())
    return folder


def load_adapter(folder: str | Path) -> Adapter:
    """The adapter in a folder that `save_adapter` or `peft` wrote.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: an adapter of another kind, or with something that ours has not.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"folder = {str(folder)!r} holds no {name}: expected a folder that peft wrote")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA":
        raise ValueError(f"{CONFIG}: peft_type = {config.get('peft_type')!r}: expected 'LORA'")
    for key, allowed in PLAIN.items():
        if key in config and config[key] not in allowed:
            raise ValueError(
                f"{CONFIG}: {key} = {config[key]!r}: expected {allowed[0]!r}, since nothing else is read here"
            )
    ours = {
        file_name(f"layers.0.{name}", "A").removeprefix(f"{PREFIX}0.").removesuffix(".lora_A.weight"): name
        for name in THEIRS
    }
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_file(folder / WEIGHTS).items():
        number, _, rest = name.removeprefix(PREFIX).partition(".")
        part = next((part for part, end in FILE_NAMES.items() if rest.endswith("." + end)), None)
        inner = rest.removesuffix("." + FILE_NAMES[part]) if part else ""
        if not name.startswith(PREFIX) or part is None or inner not in ours:
            raise ValueError(f"{WEIGHTS}: {name!r}: expected updates of a Llama's linear layers only")
        found.setdefault(f"layers.{number}.{ours[inner]}", {})[part] = tensor
    targets = tuple(own_name(name) for name in THEIRS if any(layer.endswith(name) for layer in found))
    settings = Lora(
        r=config["r"],
        alpha=config["lora_alpha"],
        dropout=config.get("lora_dropout") or 0.0,
        targets=targets,
        rank_stabilised=bool(config.get("use_rslora")),
    )
    return Adapter(settings, found)
