"""The decoder against `LlamaForCausalLM` with the same weights, then by its properties."""

import dataclasses
import math

import pytest
import torch
from decoder_helpers import GROUPED, SMALL, assert_equal, seeded, small, some_ids, some_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.architecture.attention import MultiHeadAttention
from lablib.architecture.decoder import PLAIN, Decoder, DecoderConfig, Parts, SelfAttention
from lablib.architecture.encoder_decoder import attention_maps, count
from lablib.architecture.layers import RMSNorm
from lablib.architecture.llama_format import llama_names, llama_settings, llama_weights

KINDS = ["llama", "grouped", "gpt2"]


def as_llama(model: Decoder, attention: str = "sdpa"):
    """transformers' Llama with the weights of ours."""
    from transformers import LlamaConfig, LlamaForCausalLM

    theirs = LlamaForCausalLM(LlamaConfig(**llama_settings(model.config), attn_implementation=attention))
    missing, unexpected = theirs.load_state_dict(llama_weights(model), strict=False)
    assert (missing, unexpected) == (["lm_head.weight"] if model.config.tied else [], [])
    theirs.tie_weights()
    return theirs.eval()


# ---------------------------------------------------------------- against transformers


@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["tied", "grouped, untied"])
@pytest.mark.parametrize("parts", [Parts(), PLAIN], ids=["fast", "plain"])
def test_logits_and_gradients_equal_llama(config, parts):
    model, ids = small(config, parts), some_ids(3, 17)
    theirs = as_llama(model, "eager")
    logits, expected = model(ids), theirs(ids).logits
    assert logits.std() > 1  # they say something
    assert_equal(logits, expected, 1e-5)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    F.cross_entropy(expected[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    gradients = {name: weight.grad for name, weight in theirs.named_parameters()}
    names = llama_names(config)
    assert set(names.values()) == set(gradients)
    for name, weight in model.named_parameters():
        assert_equal(weight.grad, gradients[names[name]])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["tied", "grouped"])
def test_padded_logits_equal_llama_with_the_positions_of_its_generate(config, side):
    model, ids = small(config), some_ids(3, 9)
    real = torch.arange(9) < torch.tensor([[9], [4], [1]])
    mask = real if side == "right" else real.flip(1)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    logits = model(ids, mask)
    expected = as_llama(model)(ids, attention_mask=mask.long(), position_ids=positions).logits
    assert_equal(logits[mask], expected[mask], 1e-5)
    assert logits.isfinite().all()


def test_hidden_is_what_llama_hands_to_its_head():
    model, ids = small(), some_ids(2, 7)
    assert_equal(model.hidden(ids), as_llama(model).model(ids).last_hidden_state, 1e-5)


# ---------------------------------------------------------------- against our own parts


@pytest.mark.parametrize("kind", ["llama", "grouped"])
def test_plain_parts_compute_the_same_with_padding_too(kind):
    config = {"llama": SMALL, "grouped": GROUPED}[kind]
    fast, ids = small(config), some_ids(3, 8)
    plain = Decoder(config, PLAIN)
    plain.load_state_dict(fast.state_dict())
    mask = torch.arange(8) >= torch.tensor([[0], [3], [7]])
    assert_equal(plain(ids), fast(ids), 1e-5)
    assert_equal(plain(ids, mask)[mask], fast(ids, mask)[mask], 1e-5)


def test_attention_without_rotation_is_multi_head_attention_under_a_causal_mask():
    ours, theirs = SelfAttention(24, 6, 6, True, Parts()), MultiHeadAttention(24, 6)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 24, generator=seeded(0))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    assert_equal(ours(x)[0], theirs(x, mask=mask)[0], 1e-5)


def test_grouped_attention_is_full_attention_whose_heads_share_keys_and_values():
    """Ainslie et al. 2023, figure 2: copy each head of keys and values for all queries that it serves."""
    grouped, full = SelfAttention(24, 6, 2, False, Parts()), SelfAttention(24, 6, 6, False, Parts())
    with torch.no_grad():
        for name in ("q_proj", "out_proj"):
            getattr(full, name).weight.copy_(getattr(grouped, name).weight)
        for name in ("k_proj", "v_proj"):  # (2 heads · 4, 24) -> (6 heads · 4, 24): 0 0 0 1 1 1
            heads = getattr(grouped, name).weight.view(2, 4, 24)
            getattr(full, name).weight.copy_(heads[[0, 0, 0, 1, 1, 1]].reshape(24, 24))
    x = torch.randn(2, 5, 24, generator=seeded(0))
    assert_equal(grouped(x)[0], full(x)[0], 1e-5)


@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["full", "grouped"])
def test_plain_parts_show_the_weights_that_were_used(config):
    maps = attention_maps(small(config, PLAIN), "attention", some_ids(2, 5))
    assert [tuple(m.shape) for m in maps] == [(2, 6, 5, 5)] * 2
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6, 5))
        assert (weights.triu(1) == 0).all()


def test_parts_of_ones_own_are_used():
    used = []

    class Mine(RMSNorm):
        def forward(self, x):
            used.append("norm")
            return super().forward(x)

    def rope(x, cos, sin):
        used.append("rope")
        return PLAIN.rope(x, cos, sin)

    model = Decoder(SMALL, Parts(norm=Mine, rope=rope), seeded(0))
    assert_equal(model(some_ids(1, 4)), Decoder(SMALL, generator=seeded(0))(some_ids(1, 4)), 1e-5)
    assert used.count("norm") == 2 * SMALL.L + 1
    assert used.count("rope") == 2 * SMALL.L


# ---------------------------------------------------------------- how it starts, and how big it is


def test_start_weights_come_from_the_generator_with_the_published_sizes():
    config = DecoderConfig(V=500, D=64, H=4, L=8, hidden=128)
    torch.manual_seed(1)
    model = Decoder(config, generator=seeded(5))
    torch.manual_seed(2)
    again = Decoder(config, generator=seeded(5))
    for (name, one), other in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other), name
        if one.dim() == 1:
            assert torch.equal(one, torch.ones_like(one)), name
        else:
            last = name.endswith(("out_proj.weight", "down.weight"))
            assert one.std().item() == pytest.approx(0.02 / math.sqrt(2 * 8) if last else 0.02, rel=0.05), name
    assert sum("out_proj" in n or "down" in n for n, _ in model.named_parameters()) == 2 * 8


def test_an_untrained_model_is_almost_undecided():
    model = Decoder(DecoderConfig(), generator=seeded(0))
    ids = some_ids(2, 64, V=2048)
    loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
    assert loss == pytest.approx(math.log(2048), abs=0.15)  # nats a token


@settings(max_examples=30, deadline=None)
@given(
    V=st.integers(1, 30), H=st.sampled_from([1, 2, 4]), K=st.sampled_from([2, 4]), L=st.integers(1, 3),
    hidden=st.integers(1, 20), kv=st.sampled_from([1, 2, 4]), tied=st.booleans(),
)  # fmt: skip
def test_parameters_by_arithmetic_are_those_of_the_model(V, H, K, L, hidden, kv, tied):
    config = DecoderConfig(V=V, D=H * K, H=H, L=L, hidden=hidden, kv_heads=min(kv, H), tied=tied)
    with torch.device("meta"):
        assert config.parameters == count(Decoder(config))


@pytest.mark.parametrize(
    ("D", "H", "L", "hidden", "billions"),
    [(4096, 32, 32, 11008, 6.7), (5120, 40, 40, 13824, 13.0), (6656, 52, 60, 17920, 32.5), (8192, 64, 80, 22016, 65.2)],
)
def test_the_sizes_of_llama(D, H, L, hidden, billions):
    """Touvron et al. 2023, table 2. V and `hidden` are not in it; they are those of the released models."""
    config = DecoderConfig(V=32_000, D=D, H=H, L=L, hidden=hidden, context=2048, tied=False)
    assert config.parameters / 1e9 == pytest.approx(billions, abs=0.1)  # 65.29 stands there as 65.2


def test_llama_7b_on_the_meta_device_takes_no_memory_and_gives_shapes():
    config = DecoderConfig(V=32_000, D=4096, H=32, L=32, hidden=11_008, context=2048, tied=False)
    with torch.device("meta"):
        model = Decoder(config)
        logits = model(torch.zeros(2, 16, dtype=torch.long))
    assert count(model) == config.parameters == 6_738_415_616
    assert (tuple(logits.shape), logits.device.type) == ((2, 16, 32_000), "meta")


def test_the_default_is_the_laptop_model():
    assert DecoderConfig().parameters == 3_049_920


# ---------------------------------------------------------------- properties


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS), T=st.integers(2, 12), data=st.data(), padding=st.sampled_from([None, "left", "right"])
)
def test_causality(kind, T, data, padding):
    """Another token at t changes nothing before t, to the last bit, and something at t."""
    model, ids = some_model(kind), some_ids(2, T, seed=T)
    t = data.draw(st.integers(0, T - 1))
    mask = None
    if padding:
        real = torch.arange(T) >= torch.tensor([[0], [data.draw(st.integers(0, T - 1))]])
        mask = real if padding == "left" else real.flip(1)
    changed = ids.clone()
    changed[:, t] = (ids[:, t] + 1) % 50
    with torch.no_grad():
        before, after = model(ids, mask), model(changed, mask)
    assert torch.equal(before[:, :t], after[:, :t])
    assert not torch.equal(before[0, t], after[0, t]) or (mask is not None and not mask[0, t])


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), B=st.integers(1, 4), T=st.integers(1, 9))
def test_a_row_does_not_know_its_batch(kind, B, T):
    model, ids = some_model(kind), some_ids(B, T, seed=B)
    with torch.no_grad():
        together = model(ids)
        for b in range(B):
            assert_equal(together[b : b + 1], model(ids[b : b + 1]), 1e-5)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(KINDS), n=st.integers(1, 8), pad=st.integers(0, 6), side=st.sampled_from(["left", "right"]))
def test_padding_is_invisible(kind, n, pad, side):
    """Whatever stands in the padding and on whichever side, the real tokens' logits are those of the text alone."""
    model, text = some_model(kind), some_ids(1, n, seed=n)
    filler = some_ids(1, pad, seed=99)
    left = side == "left"
    ids = torch.cat((filler, text) if left else (text, filler), dim=1)
    mask = torch.cat((filler < 0, text >= 0) if left else (text >= 0, filler < 0), dim=1)
    with torch.no_grad():
        assert_equal(model(ids, mask)[mask], model(text)[0], 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_and_padding_has_none(kind):
    """A padding query on the left sees nothing at all, which must not spread NaN."""
    model, ids = some_model(kind), some_ids(3, 6)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]]).bool()
    ids[1, :3] = 49  # used nowhere else
    ids[ids == 49] = 48
    ids[1, :3] = 49
    model.hidden(ids, mask)[:2][mask[:2]].pow(2).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name
    assert (model.embedding.weight.grad[49] == 0).all()
    assert (model.embedding.weight.grad[ids[1, 3]] != 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_last_only_is_the_last_column(kind):
    model, ids = some_model(kind), some_ids(3, 7)
    last = model(ids, last_only=True)
    assert last.shape == (3, 1, 50)
    assert_equal(last, model(ids)[:, -1:], 1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_of_number(dtype):
    model, ids = small(), some_ids(2, 9)
    logits = small().to(dtype)(ids)
    assert logits.dtype == dtype
    assert_equal(logits.float(), model(ids), {torch.bfloat16: 0.1, torch.float16: 1e-2, torch.float64: 1e-5}[dtype])


def test_rotary_positions_have_no_last_one():
    assert small()(some_ids(1, 3 * SMALL.context)).isfinite().all()


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"V": 0}, r"V = 0: expected a whole number >= 1"),
        ({"L": 2.0}, r"L = 2.0: expected a whole number >= 1"),
        ({"hidden": -1}, r"hidden = -1: expected a whole number >= 1"),
        ({"H": 5}, r"D = 24 cannot be cut into H = 5 heads: expected H to divide D"),
        ({"H": 8}, r"D = 24 in H = 8 heads makes heads of width 3: expected an even width"),
        ({"kv_heads": 4}, r"kv_heads = 4: expected None or a whole number that divides H = 6"),
        ({"kv_heads": 0}, r"kv_heads = 0: expected None or a whole number that divides H = 6"),
        ({"kv_heads": 12}, r"kv_heads = 12: expected None or a whole number that divides H = 6"),
        ({"eps": 0.0}, r"eps = 0.0: expected a small number > 0"),
        ({"eps": float("nan")}, r"eps = nan: expected a small number > 0"),
        ({"rope_base": -1.0}, r"rope_base = -1.0: expected a number > 0"),
    ],
)
def test_a_config_that_cannot_be_says_so(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_an_unknown_setting_raises():
    with pytest.raises(TypeError, match="n_layers"):
        DecoderConfig(n_layers=3)


@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        (torch.zeros(0, 3, dtype=torch.long), None, r"ids has shape \(0, 3\): expected ids \(B, T\) with B >= 1"),
        (torch.zeros(3, 0, dtype=torch.long), None, r"ids has shape \(3, 0\)"),
        (torch.zeros(3, dtype=torch.long), None, r"ids has shape \(3,\)"),
        (torch.zeros(1, 3), None, r"ids is torch.float32: expected whole numbers"),
        (torch.tensor([[0, 50]]), None, r"ids holds 0 to 50: expected ids from 0 to V − 1 = 49"),
        (torch.tensor([[-1, 3]]), None, r"ids holds -1 to 3"),
        (
            torch.zeros(2, 3, dtype=torch.long),
            torch.ones(2, 4, dtype=torch.bool),
            r"mask is torch.bool of shape \(2, 4\): expected torch.bool of the shape of ids, \(2, 3\)",
        ),
        (
            torch.zeros(2, 3, dtype=torch.long),
            torch.ones(2, 3, dtype=torch.long),
            r"mask is torch.int64 of shape \(2, 3\).*mask.bool\(\)",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_bad_input_says_what_was_expected(kind, ids, mask, message):
    with pytest.raises(ValueError, match=message):
        some_model(kind)(ids, mask)
