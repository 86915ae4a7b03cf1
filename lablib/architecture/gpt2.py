"""The same decoder in the shape of GPT-2: the step between the transformer of 2017 and Llama, to compare with.

It differs from `Decoder` in five places: LayerNorm instead of RMSNorm, GELU instead of SwiGLU, a learned vector for each position
instead of rotation (so there is a last position), biases everywhere, and always one table for embedding and head.

Papers: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (§2.3); Hendrycks & Gimpel 2016, "Gaussian Error
Linear Units", whose approximation with tanh is the one that GPT-2 uses.

Axes: B batch, T time, D model width, H heads, V vocabulary, L layers.
Left out: dropout, which GPT-2 was trained with (so nothing differs in use); the rest of `decoder` holds here too, cache included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.architecture.decoder import CausalModel, Parts, Sizes, start_weights
from lablib.architecture.hub_folder import fill, one_dtype, read_config, read_weights, require, write_folder
from lablib.architecture.layers import FeedForward
from lablib.architecture.positions import LearnedPositions

GPT2_PARTS = Parts(norm=nn.LayerNorm, feed_forward=partial(FeedForward, activation=partial(F.gelu, approximate="tanh")))


@dataclass(frozen=True)
class GPT2Config(Sizes):
    """Sizes of a GPT-2; the defaults are those of the smallest one, of 124 million parameters. See `Sizes` for each.

    Positions are learned, so `context` is a limit here: a longer text is an error.

    >>> GPT2Config().parameters
    124439808
    """

    V: int = 50_257
    D: int = 768
    H: int = 12
    L: int = 12
    hidden: int = 3072
    context: int = 1024

    @property
    def parameters(self) -> int:
        """How many numbers the model learns, by arithmetic: two tables, L·(attention + feed-forward + two norms), last norm."""
        attention = 4 * (self.D**2 + self.D)
        feed_forward = 2 * self.D * self.hidden + self.hidden + self.D
        return (self.V + self.context) * self.D + self.L * (attention + feed_forward + 4 * self.D) + 2 * self.D


class GPT2(CausalModel):
    """The GPT-2-shaped decoder: `CausalModel` with learned positions, LayerNorm, GELU and biases."""

    def __init__(self, config: GPT2Config, parts: Parts = GPT2_PARTS, generator: torch.Generator | None = None) -> None:
        super().__init__(config, parts, kv_heads=config.H, tied=True, bias=True)
        self.config = config
        self.positions = LearnedPositions(config.context, config.D)
        start_weights(self, generator)

    def place(self, x: Tensor, positions: Tensor) -> tuple[Tensor, None]:
        """Positions enter here and nowhere else: the vector of each is added to the embedding.

        Raises:
            ValueError: a position has no vector.
        """
        last = x.shape[1] - 1 if positions.is_meta else int(positions.max())
        if last >= self.config.context:
            raise ValueError(
                f"ids reach position {last}: expected at most {self.config.context - 1}, since only context = "
                f"{self.config.context} positions have a vector; give fewer tokens"
            )
        return x + F.embedding(positions, self.positions.weight), None  # (T, D) or (B, T, D) -> (B, T, D)


LAYER_NAMES = {
    "norm_1": "ln_1",
    "attention.q_proj": "attn.c_attn[0]",  # GPT-2 keeps the three in one matrix; [0] to [2] are its parts
    "attention.k_proj": "attn.c_attn[1]",
    "attention.v_proj": "attn.c_attn[2]",
    "attention.out_proj": "attn.c_proj",
    "norm_2": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}


def gpt2_names(config: GPT2Config) -> dict[str, str]:
    """What `transformers` calls each weight of ours.

    >>> gpt2_names(GPT2Config())["layers.0.feed_forward.up.bias"]
    'h.0.mlp.c_fc.bias'
    """
    names = {"norm": "ln_f"}
    for i in range(config.L):
        names |= {f"layers.{i}.{ours}": f"h.{i}.{theirs}" for ours, theirs in LAYER_NAMES.items()}
    both = {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in names.items() for kind in ("weight", "bias")}
    return {"embedding.weight": "wte.weight", "positions.weight": "wpe.weight"} | both


def save_gpt2(model: GPT2, folder: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write a folder that `GPT2LMHeadModel.from_pretrained(folder)` loads, and return its path; dtype as in `save_llama`."""
    weights = model.state_dict()
    dtype = one_dtype(weights) if dtype is None else dtype
    file = {theirs: weights[ours].to(dtype) for ours, theirs in gpt2_names(model.config).items()}
    for name in [name for name in file if "c_attn[0]" in name]:
        parts = [file.pop(name.replace("[0]", f"[{i}]")) for i in range(3)]
        file[name.replace("[0]", "")] = torch.cat(parts)  # 3 × (D, D) -> (3D, D), or biases (3D,)
    file = {name: weight.T if ".c_" in name and weight.dim() == 2 else weight for name, weight in file.items()}
    return write_folder(folder, gpt2_settings(model.config, dtype), {f"transformer.{n}": w for n, w in file.items()})


def gpt2_settings(config: GPT2Config, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """`config.json` for a GPT-2. It says "no dropout", and no token begins or ends a text."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.V,
        "n_embd": config.D,
        "n_inner": config.hidden,
        "n_head": config.H,
        "n_layer": config.L,
        "n_positions": config.context,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.eps,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def load_gpt2(folder: str | Path, dtype: torch.dtype | None = None, parts: Parts = GPT2_PARTS) -> GPT2:
    """The model in a folder that `save_gpt2` or a GPT-2's `save_pretrained` wrote; dtype None: that of the file.

    Raises:
        FileNotFoundError, ValueError: no such file, something that ours has not, or weights that do not fit the config.
    """
    settings = read_config(folder, "gpt2")
    require(settings, "activation_function", ["gelu_new"], "gelu_new")
    require(settings, "scale_attn_weights", [True], True)
    for key in ("scale_attn_by_inverse_layer_idx", "add_cross_attention", "quantization_config"):
        require(settings, key, [False, None])
    require(settings, "tie_word_embeddings", [True], True)
    D = settings["n_embd"]
    config = GPT2Config(
        V=settings["vocab_size"],
        D=D,
        H=settings["n_head"],
        L=settings["n_layer"],
        hidden=settings.get("n_inner") or 4 * D,
        context=settings["n_positions"],
        eps=settings.get("layer_norm_epsilon", 1e-5),
    )
    with torch.device("meta"):
        model = GPT2(config, parts)
    fill(model, gpt2_tensors(read_weights(folder)), gpt2_names(config))
    return model if dtype is None else model.to(dtype)


def gpt2_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a GPT-2's file by the names of `gpt2_names`: matrices turned, those of the attention cut in three."""
    file: dict[str, Tensor] = {}
    for long_name, weight in weights.items():
        name = long_name.removeprefix("transformer.")
        if name.endswith((".attn.bias", ".attn.masked_bias")) or name == "lm_head.weight":
            continue  # the causal mask, in old files, and the shared table once more
        if ".c_" in name:  # GPT-2 keeps its matrices as (in, out), a linear layer as (out, in)
            turned = weight.T.contiguous() if weight.dim() == 2 else weight
            pieces = turned.chunk(3) if "c_attn" in name else [turned]  # (3D, D) -> 3 × (D, D), or biases 3 × (D,)
            names = [name.replace("c_attn", f"c_attn[{i}]") for i in range(len(pieces))]
            file |= {key: piece.clone() for key, piece in zip(names, pieces, strict=True)}
        else:
            file[name] = weight
    return file
