"""The decoder as a folder that `transformers` reads as a Llama, and back: same weights, other names.

    save_llama(model, "mine")
    transformers.AutoModelForCausalLM.from_pretrained("mine")  # the same logits, and every tool for Llama models works on it

Left out: what a Llama may have and ours has not. Such a folder is refused with the setting's name: biases, stretched
rotary positions (`rope_scaling`, Llama 3.1), heads wider or narrower than D/H, sliding windows, quantised weights. Dropout is
ignored, since it acts in training only.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lablib.architecture.decoder import FAST, Decoder, DecoderConfig, Parts
from lablib.architecture.hub_folder import fill, one_dtype, read_config, read_weights, require, write_folder

LAYER_NAMES = {
    "norm_1": "input_layernorm",
    "attention.q_proj": "self_attn.q_proj",
    "attention.k_proj": "self_attn.k_proj",
    "attention.v_proj": "self_attn.v_proj",
    "attention.out_proj": "self_attn.o_proj",
    "norm_2": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}


def llama_names(config: DecoderConfig) -> dict[str, str]:
    """What `transformers` calls each weight of ours.

    >>> llama_names(DecoderConfig())["layers.0.attention.out_proj.weight"]
    'model.layers.0.self_attn.o_proj.weight'
    """
    names = {"embedding": "model.embed_tokens", "norm": "model.norm"} | ({} if config.tied else {"head": "lm_head"})
    for i in range(config.L):
        names |= {f"layers.{i}.{ours}": f"model.layers.{i}.{theirs}" for ours, theirs in LAYER_NAMES.items()}
    return {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in names.items()}


def llama_weights(model: Decoder) -> dict[str, Tensor]:
    """The model's weights by the names of `LlamaForCausalLM`; they are the model's own tensors, not copies.

    Raises:
        ValueError: parts of the model's own making have weights that a Llama has no place for, or lack some.
    """
    names, weights = llama_names(model.config), model.state_dict()
    if set(names) != set(weights):
        raise ValueError(
            f"the model has the weights {sorted(set(weights) - set(names))[:3]} and lacks {sorted(set(names) - set(weights))[:3]}: "
            "expected those of RMSNorm and SwiGLU; a model with other parts is no Llama"
        )
    return {theirs: weights[ours] for ours, theirs in names.items()}


def llama_settings(
    config: DecoderConfig,
    dtype: torch.dtype = torch.float32,
    bos: int | None = None,
    eos: int | None = None,
    pad: int | None = None,
) -> dict[str, Any]:
    """`config.json` for a decoder; bos, eos, pad: the ids of the tokens that begin and end a text and fill up a batch."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.V,
        "hidden_size": config.D,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.L,
        "num_attention_heads": config.H,
        "num_key_value_heads": config.kv,
        "head_dim": config.D // config.H,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.eps,
        "rope_theta": config.rope_base,  # for transformers 4; version 5 reads the next line
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def save_llama(
    model: Decoder,
    folder: str | Path,
    dtype: torch.dtype | None = None,
    bos: int | None = None,
    eos: int | None = None,
    pad: int | None = None,
) -> Path:
    """Write a folder that `LlamaForCausalLM.from_pretrained(folder)` loads, and return its path.

    Args: dtype: the type of number in the file, such as torch.float16; None: the model's own. bos, eos, pad: see `llama_settings`.
    """
    weights = llama_weights(model)
    dtype = one_dtype(weights) if dtype is None else dtype
    settings = llama_settings(model.config, dtype, bos, eos, pad)
    return write_folder(folder, settings, {name: weight.to(dtype) for name, weight in weights.items()})


def read_llama_config(folder: str | Path) -> DecoderConfig:
    """The sizes in a Llama's `config.json`. What is not written there has the value that `LlamaConfig` gives it.

    Raises:
        FileNotFoundError, ValueError: no such file, another kind of model, or a Llama with something that ours has not.
    """
    settings = read_config(folder, "llama")
    require(settings, "hidden_act", ["silu", "swish"], "silu")
    for key in ("attention_bias", "mlp_bias"):
        require(settings, key, [False, None])
    for key in ("rope_scaling", "sliding_window", "quantization_config"):
        require(settings, key, [None])
    rope = settings.get("rope_parameters") or {}
    require(rope, "rope_type", ["default"], "default")
    require(rope | settings, "partial_rotary_factor", [1, None])
    D, H, kv_heads = settings["hidden_size"], settings["num_attention_heads"], settings.get("num_key_value_heads")
    require(settings, "head_dim", [D // H, None])
    return DecoderConfig(
        V=settings["vocab_size"],
        D=D,
        H=H,
        L=settings["num_hidden_layers"],
        hidden=settings["intermediate_size"],
        context=settings.get("max_position_embeddings", 2048),
        kv_heads=None if kv_heads == H else kv_heads,
        tied=settings.get("tie_word_embeddings", False),
        eps=settings.get("rms_norm_eps", 1e-6),
        rope_base=rope.get("rope_theta", settings.get("rope_theta", 10_000.0)),
    )


def load_llama(folder: str | Path, dtype: torch.dtype | None = None, parts: Parts = FAST) -> Decoder:
    """The decoder in a folder that `save_llama` or a Llama's `save_pretrained` wrote.

    Args: dtype: the type of number to compute with; None: that of the file. parts: see `Parts`.

    Raises:
        FileNotFoundError, ValueError: see `read_llama_config`; or the weights are not those that the config announces.
    """
    config, file = read_llama_config(folder), read_weights(folder)
    file = {
        name: weight for name, weight in file.items() if not name.endswith("rotary_emb.inv_freq")
    }  # of old versions
    head = file.get("lm_head.weight")
    if config.tied and head is not None and torch.equal(head, file["model.embed_tokens.weight"]):
        del file["lm_head.weight"]  # some files hold the shared table twice
    with torch.device("meta"):
        model = Decoder(config, parts)
    fill(model, file, llama_names(config))
    return model if dtype is None else model.to(dtype)
