"""The GPT-2-shaped twin against `GPT2LMHeadModel`. Its causality, padding and cache are in the decoder's tests."""

import json
import math

import pytest
import torch
from decoder_helpers import SMALL_GPT2, assert_equal, seeded, small_gpt2, some_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.architecture.encoder_decoder import count
from lablib.architecture.generation import generate, left_pad
from lablib.architecture.gpt2 import GPT2, GPT2Config, load_gpt2, save_gpt2


def their_gpt2(**changes):
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "n_embd": 24, "n_head": 6, "n_layer": 2, "n_positions": 32, "initializer_range": 0.3}
    theirs = GPT2LMHeadModel(TheirConfig(**sizes | changes))
    with torch.no_grad():  # biases start at 0 and norms at 1: then they would not be tested
        for weight in theirs.parameters():
            weight.add_(0.3 * torch.randn_like(weight)) if weight.dim() == 1 else None
    return theirs.eval()


@pytest.mark.parametrize("inner", [None, 40])
def test_a_folder_of_transformers_is_read(inner, tmp_path):
    theirs = their_gpt2(n_inner=inner, layer_norm_epsilon=1e-2)
    theirs.save_pretrained(tmp_path)
    model, ids = load_gpt2(tmp_path), some_ids(3, 12)
    assert model.config.hidden == (inner or 96)
    expected = theirs(ids).logits
    assert expected.std() > 0.5
    assert_equal(model(ids), expected, 1e-5)


def test_the_files_of_the_first_releases_are_read(tmp_path):
    """On the hub GPT-2's names have no prefix, and the causal masks are in the file."""
    from safetensors.torch import load_file, save_file

    theirs = their_gpt2()
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = {name.removeprefix("transformer."): weight for name, weight in load_file(path).items()}
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 32, 32).tril() for i in range(2)}
    save_file(weights | masks, path)
    assert_equal(load_gpt2(tmp_path)(some_ids(2, 9)), theirs(some_ids(2, 9)).logits, 1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_logits_equal_theirs_with_the_positions_of_generate(side, tmp_path):
    theirs, ids = their_gpt2(), some_ids(3, 9)
    theirs.save_pretrained(tmp_path)
    real = torch.arange(9) < torch.tensor([[9], [4], [1]])
    mask = real if side == "right" else real.flip(1)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    expected = theirs(ids, attention_mask=mask.long(), position_ids=positions).logits
    assert_equal(load_gpt2(tmp_path)(ids, mask)[mask], expected[mask], 1e-5)


def test_gradients_equal_theirs(tmp_path):
    theirs, ids = their_gpt2(), some_ids(2, 8)
    theirs.save_pretrained(tmp_path)
    model, outer = load_gpt2(tmp_path), torch.randn(2, 8, 50, generator=seeded(3))
    (model(ids) * outer).sum().backward()
    (theirs(ids).logits * outer).sum().backward()
    block, their_block = model.layers[1], theirs.transformer.h[1]
    assert_equal(model.embedding.weight.grad, theirs.transformer.wte.weight.grad)
    assert_equal(model.positions.weight.grad, theirs.transformer.wpe.weight.grad)
    assert_equal(block.norm_2.bias.grad, their_block.ln_2.bias.grad)
    assert_equal(block.feed_forward.up.weight.grad, their_block.mlp.c_fc.weight.grad.T)
    parts = torch.cat([getattr(block.attention, name).weight.grad for name in ("q_proj", "k_proj", "v_proj")])
    assert_equal(parts, their_block.attn.c_attn.weight.grad.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_there_and_back_to_the_last_bit_and_transformers_reads_it(dtype, tmp_path):
    from transformers import AutoModelForCausalLM

    model = small_gpt2().to(dtype)
    save_gpt2(model, tmp_path)
    back = load_gpt2(tmp_path)
    assert back.config == SMALL_GPT2
    for (name, one), other in zip(model.state_dict().items(), back.state_dict().values(), strict=True):
        assert one.dtype == other.dtype == dtype, name
        assert torch.equal(one, other), name
    theirs, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    if dtype == torch.float32:
        assert_equal(theirs(some_ids(2, 9)).logits, model(some_ids(2, 9)), 1e-5)


def test_it_writes_what_transformers_writes(tmp_path):
    from transformers import AutoModelForCausalLM

    model = small_gpt2()
    theirs = AutoModelForCausalLM.from_pretrained(save_gpt2(model, tmp_path))
    ids, mask = left_pad([[5, 9, 3], [7], [1, 2]])
    expected = theirs.generate(ids, attention_mask=mask.long(), max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert torch.equal(generate(model, ids, 12, mask), expected)
    assert torch.equal(generate(model, ids, 12, mask, cached=False), expected)


@pytest.mark.parametrize(
    ("D", "H", "L", "parameters"),
    [
        (768, 12, 12, 124_439_808),
        (1024, 16, 24, 354_823_168),
        (1280, 20, 36, 774_030_080),
        (1600, 25, 48, 1_557_611_200),
    ],
)
def test_the_sizes_of_gpt2(D, H, L, parameters):
    """The four released models, counted; Radford et al. 2019, table 2, has 117, 345, 762 and 1,542 million."""
    config = GPT2Config(D=D, H=H, L=L, hidden=4 * D)
    with torch.device("meta"):
        model = GPT2(config)
        assert tuple(model(torch.zeros(1, 8, dtype=torch.long)).shape) == (1, 8, 50_257)
    assert count(model) == config.parameters == parameters


@settings(max_examples=20, deadline=None)
@given(V=st.integers(1, 30), H=st.integers(1, 3), K=st.integers(1, 4), L=st.integers(1, 3), hidden=st.integers(1, 20))
def test_parameters_by_arithmetic_are_those_of_the_model(V, H, K, L, hidden):
    config = GPT2Config(V=V, D=H * K, H=H, L=L, hidden=hidden, context=7)
    assert config.parameters == count(GPT2(config))


def test_start_weights():
    model = GPT2(GPT2Config(V=300, D=64, H=4, L=8, hidden=256, context=100), generator=seeded(0))
    again = GPT2(model.config, generator=seeded(0))
    for (name, one), other in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other), name
        if one.dim() > 1:
            last = name.endswith(("out_proj.weight", "down.weight"))
            assert one.std().item() == pytest.approx(0.02 / math.sqrt(16) if last else 0.02, rel=0.05), name
        else:
            expected = torch.zeros_like(one) if name.endswith("bias") else torch.ones_like(one)
            assert torch.equal(one, expected), name


def test_a_text_longer_than_the_positions_is_an_error_with_and_without_a_cache():
    model, message = (
        small_gpt2(),
        r"ids reach position 32: expected at most 31, since only context = 32 positions have a vector",
    )
    assert model(some_ids(1, 32)).isfinite().all()
    with pytest.raises(ValueError, match=message):
        model(some_ids(1, 33))
    with torch.no_grad():
        cache = model.new_cache(1, 40)
        model(some_ids(1, 30), cache=cache)
        with pytest.raises(ValueError, match=message):
            model(some_ids(1, 3), cache=cache)
        assert cache.length == 30
    padding = torch.arange(40)[None] >= 10  # 40 columns, 30 of them real: that fits
    assert model(some_ids(1, 40), padding).isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, r"model_type = 'llama': expected 'gpt2'"),
        ({"activation_function": "relu"}, r"activation_function = 'relu': expected 'gelu_new'"),
        ({"scale_attn_weights": False}, r"scale_attn_weights = False: expected True"),
        ({"scale_attn_by_inverse_layer_idx": True}, r"scale_attn_by_inverse_layer_idx = True: expected False"),
        ({"add_cross_attention": True}, r"add_cross_attention = True: expected False"),
        ({"n_layer": 3}, r"missing \['h.2.attn.c_attn\[0\].bias'"),
        ({"n_positions": 64}, r"wpe.weight has shape \(32, 24\): expected \(64, 24\), by config.json"),
    ],
)
def test_what_ours_cannot_be_is_refused_by_name(change, message, tmp_path):
    save_gpt2(small_gpt2(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_gpt2(tmp_path)
