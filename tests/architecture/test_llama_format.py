"""The decoder as transformers' folder, in both directions, and what happens when a folder is not one of ours."""

import json
import os
from pathlib import Path

import pytest
import torch
from decoder_helpers import GROUPED, SMALL, assert_equal, small, some_ids

from lablib.architecture import hub_folder
from lablib.architecture.decoder import PLAIN, Decoder, Parts
from lablib.architecture.layers import FeedForward
from lablib.architecture.llama_format import load_llama, save_llama

CONFIGS = pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["tied", "grouped, untied"])


def their_llama(**changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {
        "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 6, "num_hidden_layers": 2, "intermediate_size": 40,
        "max_position_embeddings": 32, "initializer_range": 0.3, "rms_norm_eps": 1e-3, "num_key_value_heads": 3,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**sizes | changes)).eval()


# ---------------------------------------------------------------- out


@CONFIGS
@pytest.mark.parametrize("auto", ["LlamaForCausalLM", "AutoModelForCausalLM"])
def test_transformers_loads_the_export_and_gives_the_same_logits(config, auto, tmp_path):
    import transformers

    model, ids = small(config), some_ids(3, 12)
    theirs, info = getattr(transformers, auto).from_pretrained(
        save_llama(model, tmp_path / "new" / "model"), output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(theirs).__name__ == "LlamaForCausalLM"
    assert_equal(theirs(ids).logits, model(ids), 1e-5)
    mask = torch.tensor([[1] * 12, [0] * 5 + [1] * 7, [0] * 11 + [1]]).bool()
    # Their positions count the padding when none are given. Rotations only know distances, so nothing changes.
    assert_equal(theirs(ids, attention_mask=mask.long()).logits[mask], model(ids, mask)[mask], 1e-4)


@CONFIGS
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16, torch.bfloat16])
def test_there_and_back_to_the_last_bit(config, dtype, tmp_path):
    model = small(config)
    model = model if dtype is None else model.to(dtype)
    back = load_llama(save_llama(model, tmp_path))
    assert back.config == Decoder(config).config
    for (name, one), other in zip(model.state_dict().items(), back.state_dict().values(), strict=True):
        assert one.dtype == other.dtype, name
        assert torch.equal(one, other), name
    assert all(weight.requires_grad for weight in back.parameters())
    assert torch.equal(model(some_ids(2, 5)), back(some_ids(2, 5)))


def test_the_type_of_the_file_and_of_the_model_can_be_chosen(tmp_path):
    from transformers import AutoModelForCausalLM

    model = small()
    save_llama(model, tmp_path, dtype=torch.bfloat16)
    assert next(model.parameters()).dtype == torch.float32
    assert load_llama(tmp_path).embedding.weight.dtype == torch.bfloat16
    assert load_llama(tmp_path, torch.float32).embedding.weight.dtype == torch.float32
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16


def test_special_tokens_reach_transformers(tmp_path):
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(save_llama(small(), tmp_path, bos=1, eos=2, pad=3))
    assert [theirs.config.bos_token_id, theirs.config.eos_token_id, theirs.config.pad_token_id] == [1, 2, 3]
    assert theirs.generation_config.eos_token_id == 2
    plain = AutoModelForCausalLM.from_pretrained(save_llama(small(), tmp_path / "none"))
    assert plain.config.eos_token_id is None


def test_a_loaded_model_can_be_saved_over_its_own_folder_and_keeps_its_weights(tmp_path):
    save_llama(small(seed=1), tmp_path)
    model = load_llama(tmp_path)
    copy = {name: weight.clone() for name, weight in model.state_dict().items()}
    save_llama(small(seed=2), tmp_path)
    assert all(torch.equal(weight, copy[name]) for name, weight in model.state_dict().items())
    save_llama(model, tmp_path)
    assert torch.equal(load_llama(tmp_path).embedding.weight, copy["embedding.weight"])


@pytest.mark.parametrize("failing", ["weights", "config", "rename"])
def test_an_export_that_fails_leaves_the_good_one_whole(failing, tmp_path, monkeypatch):
    import safetensors.torch

    save_llama(small(seed=1), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def half_written(tensors, path, metadata=None):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    def fails(*_, **__):
        raise OSError("no space left on device")

    if failing == "weights":
        monkeypatch.setattr(safetensors.torch, "save_file", half_written)
    elif failing == "config":
        monkeypatch.setattr(hub_folder.json, "dumps", fails)
    else:
        monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        save_llama(small(seed=2), tmp_path)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    save_llama(small(seed=2), tmp_path)
    assert (tmp_path / "tokenizer.json").read_text() == "{}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_the_fast_and_the_plain_parts_have_one_format(tmp_path):
    back = load_llama(save_llama(small(), tmp_path), parts=PLAIN)
    assert_equal(back(some_ids(2, 5)), small()(some_ids(2, 5)), 1e-5)


def test_a_model_that_is_no_llama_is_not_exported(tmp_path):
    model = Decoder(SMALL, Parts(feed_forward=FeedForward))
    with pytest.raises(
        ValueError, match=r"has the weights \['layers.0.feed_forward.down.bias'.*a model with other parts is no Llama"
    ):
        save_llama(model, tmp_path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- in


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv", [1, 3, 6])
@pytest.mark.parametrize("shard", ["5GB", "8KB"])
def test_a_folder_of_transformers_is_read(tied, kv, shard, tmp_path):
    theirs = their_llama(tie_word_embeddings=tied, num_key_value_heads=kv)
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "8KB")
    model, ids = load_llama(tmp_path), some_ids(3, 12)
    assert (model.config.tied, model.config.kv, model.config.eps) == (tied, kv, 1e-3)
    expected = theirs(ids).logits
    assert expected.std() > 0.5
    assert_equal(model(ids), expected, 1e-5)
    again = tmp_path / "again"
    save_llama(model, again)
    reread = type(theirs).from_pretrained(again).state_dict()
    assert all(torch.equal(weight, reread[name]) for name, weight in theirs.state_dict().items())


def test_a_config_of_transformers_4_and_a_base_of_its_own_are_read(tmp_path):
    theirs = their_llama(rope_parameters={"rope_type": "default", "rope_theta": 50.0})
    theirs.save_pretrained(tmp_path)
    ids = some_ids(2, 30)
    assert_equal(load_llama(tmp_path)(ids), theirs(ids).logits, 1e-5)
    settings = json.loads((tmp_path / "config.json").read_text())
    del settings["rope_parameters"], settings["head_dim"], settings["attention_bias"]
    (tmp_path / "config.json").write_text(json.dumps(settings | {"rope_theta": 50.0, "rope_scaling": None}))
    assert load_llama(tmp_path).config.rope_base == 50.0
    assert_equal(load_llama(tmp_path)(ids), theirs(ids).logits, 1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mistral"}, r"model_type = 'mistral': expected 'llama'"),
        ({"hidden_act": "gelu"}, r"hidden_act = 'gelu': expected 'silu' or 'swish'"),
        ({"attention_bias": True}, r"attention_bias = True: expected False"),
        ({"mlp_bias": True}, r"mlp_bias = True: expected False"),
        ({"sliding_window": 128}, r"sliding_window = 128: expected None"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, r"rope_scaling = \{'type': 'linear'.*expected None"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, r"rope_type = 'llama3': expected 'default'"),
        ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor = 0.5: expected 1"),
        ({"head_dim": 8}, r"head_dim = 8: expected 4 or None"),
        ({"quantization_config": {"bits": 4}}, r"quantization_config = \{'bits': 4\}: expected None"),
        ({"hidden_size": 48, "head_dim": 8}, r"has shape \(50, 24\): expected \(50, 48\), by config.json"),
        ({"num_hidden_layers": 1}, r"missing \[\], unknown \['model.layers.1.input_layernorm.weight'"),
        ({"num_hidden_layers": 3}, r"missing \['model.layers.2.input_layernorm.weight'"),
        ({"tie_word_embeddings": False}, r"missing \['lm_head.weight'\]"),
        ({"num_attention_heads": 5, "head_dim": None}, r"D = 24 cannot be cut into H = 5 heads"),
    ],
)
def test_what_ours_cannot_be_is_refused_by_name(change, message, tmp_path):
    save_llama(small(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_llama(tmp_path)


def test_a_folder_without_the_files_says_which(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config.json: expected a folder that save_pretrained wrote"):
        load_llama(tmp_path)
    save_llama(small(), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no model.safetensors: expected one; was it saved as a pickle"):
        load_llama(tmp_path)


def test_mixed_types_of_number_are_refused(tmp_path):
    model = small()
    model.norm.to(torch.bfloat16)
    with pytest.raises(
        ValueError, match=r"the weights are torch.bfloat16, torch.float32: expected one floating-point type"
    ):
        save_llama(model, tmp_path)


def test_a_shared_table_that_stands_twice_in_the_file_is_read_once(tmp_path):
    from safetensors.torch import load_file, save_file

    save_llama(small(), tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    save_file(weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}, path)
    assert torch.equal(load_llama(tmp_path).embedding.weight, small().embedding.weight)
    save_file(weights | {"lm_head.weight": weights["model.embed_tokens.weight"] + 1}, path)
    with pytest.raises(ValueError, match=r"unknown \['lm_head.weight'\]"):
        load_llama(tmp_path)
