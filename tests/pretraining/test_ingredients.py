"""The ingredients against transformers' Qwen3, against closed forms, and against the plain decoder."""

import dataclasses
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.encoder_decoder import count
from lablib.architecture.generation import generate
from lablib.architecture.llama_format import llama_settings, llama_weights
from lablib.architecture.positions import apply_rope, rotary_table
from lablib.pretraining.ingredients import SquaredReLU, build, normed_rope

SMALL = DecoderConfig(V=50, D=24, H=6, L=2, hidden=40, context=32)
GROUPED = dataclasses.replace(SMALL, kv_heads=2, tied=False, rope_base=500.0, eps=1e-3)
NONE = {"qk_norm": False, "zero_init": False, "relu2": False}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_ids(B: int = 3, T: int = 17) -> torch.Tensor:
    return torch.randint(SMALL.V, (B, T), generator=seeded(0))


def stirred(config: DecoderConfig, **chosen: bool) -> Decoder:
    """Weights so large that every part matters."""
    model, generator = build(config, **chosen, generator=seeded(0)), seeded(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * (0.25 if weight.dim() > 1 else 0.5))
    return model


def close(actual: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-5) -> None:
    scale = expected.abs().max().item()
    assert scale > 0
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["full", "grouped"])
def test_qk_norm_is_that_of_qwen3(config):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    model, ids = stirred(config, qk_norm=True), some_ids()
    known = {**llama_settings(config), "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
    theirs = Qwen3ForCausalLM(Qwen3Config(**known, attn_implementation="eager")).eval()
    missing, unexpected = theirs.load_state_dict(llama_weights(model), strict=False)
    assert not unexpected
    scales = [name for name in missing if name != "lm_head.weight"]
    assert len(scales) == 2 * config.L  # what ours has not: the learned scales of queries and keys, which start at 1
    assert all(torch.equal(theirs.get_parameter(name), torch.ones(config.K)) for name in scales)
    theirs.tie_weights()
    logits, expected = model(ids), theirs(ids).logits
    close(logits, expected)
    F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    F.cross_entropy(expected.flatten(0, 1), ids.flatten()).backward()
    for i, layer in enumerate(model.layers):
        for name in ("q_proj", "k_proj"):
            of_theirs = theirs.get_parameter(f"model.layers.{i}.self_attn.{name}.weight").grad
            close(getattr(layer.attention, name).weight.grad, of_theirs, 1e-4)
    plain = Decoder(config)
    plain.load_state_dict(model.state_dict())
    assert (plain(ids) - logits).abs().max() > 0.1 * logits.abs().max()  # it is not for nothing


@settings(deadline=None, max_examples=40)
@given(T=st.integers(1, 6), K=st.sampled_from([2, 4, 8, 32]), size=st.sampled_from([1e-2, 1.0, 1e3]))
def test_normed_queries_and_keys_have_one_length_and_cannot_be_sharper_than_root_K(T, K, size):
    cos, sin = rotary_table(T, K)
    q, k = (size * torch.randn(2, 3, T, K, generator=seeded(seed)) for seed in (0, 1))
    turned = [normed_rope(x, cos, sin, eps=1e-12) for x in (q, k)]
    for x, y in zip((q, k), turned, strict=True):
        close(y.square().mean(-1), torch.ones(2, 3, T))
        length = x.double().square().mean(-1, keepdim=True).sqrt()
        close(y, apply_rope((x.double() / length).float(), cos, sin))
    scores = turned[0] @ turned[1].mT / K**0.5
    assert scores.abs().max() <= K**0.5 * (1 + 1e-5)


def test_normed_rope_in_half_precision_and_its_gradient():
    cos, sin = rotary_table(5, 8)
    x = torch.randn(2, 3, 5, 8, generator=seeded(0))
    assert normed_rope(x.bfloat16(), cos, sin).dtype == torch.bfloat16
    close(normed_rope(x.bfloat16(), cos, sin).float(), normed_rope(x, cos, sin), 2e-2)
    wide = x[:1, :1].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: normed_rope(x, cos.double(), sin.double(), 1e-3), (wide,))


def test_squared_relu_by_hand_and_as_a_formula():
    network = SquaredReLU(2, 2)  # 3 hidden features
    with torch.no_grad():
        network.up.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]))
        network.down.weight.copy_(torch.tensor([[1.0, 10.0, 100.0], [0.0, 1.0, 0.0]]))
    # x W₁ = (3, −2, −7) -> (3, 0, 0) -> (9, 0, 0); and (1, 2, 3) -> (1, 4, 9)
    assert network(torch.tensor([[3.0, -2.0], [1.0, 2.0]])).tolist() == [[9.0, 0.0], [941.0, 4.0]]
    network, x = SquaredReLU(6, 10), torch.randn(4, 6, generator=seeded(0))
    hidden = (x.double() @ network.up.weight.double().T).clamp(min=0) ** 2
    close(network(x).double(), hidden @ network.down.weight.double().T)


@pytest.mark.parametrize("values", list(product([False, True], repeat=3)))
def test_every_mixture_has_the_same_number_of_weights_trains_and_writes_with_its_cache(values):
    chosen = dict(zip(NONE, values, strict=True))
    for config in (SMALL, GROUPED, DecoderConfig()):
        assert count(build(config, **chosen)) == config.parameters
    model, ids = stirred(SMALL, **chosen), some_ids(2, 6)
    assert torch.equal(generate(model, ids, 9), generate(model, ids, 9, cached=False))
    F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_with_none_it_is_the_decoder():
    plain, mine = Decoder(SMALL, generator=seeded(3)), build(SMALL, **NONE, generator=seeded(3))
    assert plain.state_dict().keys() == mine.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), mine.parameters(), strict=True))
    assert torch.equal(plain(some_ids()), mine(some_ids()))


@pytest.mark.parametrize("relu2", [False, True])
def test_zero_init_starts_as_embedding_norm_and_head_and_all_else_as_without(relu2):
    model, ids = build(SMALL, zero_init=True, relu2=relu2, generator=seeded(3)), some_ids()
    normed = F.rms_norm(model.embedding.weight[ids], (SMALL.D,), eps=SMALL.eps)
    close(model(ids), normed @ model.embedding.weight.T)
    without = dict(build(SMALL, relu2=relu2, generator=seeded(3)).named_parameters())
    zero = [name for name, weight in model.named_parameters() if not weight.any()]
    assert len(zero) == 2 * SMALL.L
    assert all("out_proj" in name or "down" in name for name in zero)
    for name, weight in model.named_parameters():
        assert name in zero or torch.equal(weight, without[name])
    F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    assert all(dict(model.named_parameters())[name].grad.abs().max() > 0 for name in zero)  # it can leave zero


def test_an_odd_width_is_D_weights_short_in_each_layer():
    config = dataclasses.replace(SMALL, hidden=41)
    assert count(build(config, relu2=True)) == config.parameters - config.L * config.D
