"""Rounded weights: the published levels, brute force, error bounds, bytes, and LoRA on top."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft_oracle import IDS, close, fresh
from scipy import stats
from torch import nn
from torch.nn import functional as F

from lablib.adaptation.lora import ALL_LINEAR, Lora, inject, lora_layers, merge, merged_copy
from lablib.adaptation.quantised import (
    BLOCK,
    OFFSET,
    QuantisedLinear,
    absmax_int8,
    from_nf4,
    from_rounded,
    nearest_level,
    nf4,
    nf4_levels,
    quantise,
    restore,
    round_divisors,
)
from lablib.adaptation.trainable import trainable
from lablib.pretraining.batching import causal
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train

PUBLISHED = (  # Dettmers et al. 2023, "QLoRA", appendix E
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def test_the_levels_are_the_published_ones():
    assert torch.allclose(nf4_levels(), torch.tensor(PUBLISHED), atol=1e-6, rtol=0)


def test_the_levels_are_quantiles_by_scipy_too():
    above = stats.norm.ppf([0.5 + (OFFSET - 0.5) * i / 8 for i in range(1, 9)])
    below = stats.norm.ppf([0.5 - (OFFSET - 0.5) * i / 7 for i in range(1, 8)])
    assert nf4_levels().tolist() == pytest.approx(sorted([*below / max(above), 0.0, *above / max(above)]), abs=1e-6)


def test_equation_4_of_the_paper_does_not_give_them():
    q = stats.norm.ppf([i / 17 for i in range(1, 17)])  # Q(i / (2^4 + 1)); at i = 0 and 17 it is infinite
    levels = (q[1:] + q[:-1]) / 2
    assert len(levels) == 15  # the sixteenth would have an infinite end
    assert levels.tolist() == pytest.approx([-level for level in reversed(levels)])  # the same on both sides of zero
    assert max(abs(a + b) for a, b in zip(PUBLISHED, reversed(PUBLISHED), strict=True)) > 0.05  # the published are not


@given(
    values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), n=st.integers(2, 16), seed=st.integers(0, 99)
)
@settings(max_examples=80)
def test_the_nearest_level_is_that_of_brute_force(values, n, seed):
    levels = torch.rand(n, generator=torch.Generator().manual_seed(seed)).sort().values * 2 - 1
    x = torch.tensor(values)
    found = levels[nearest_level(x, levels).long()]
    best = torch.tensor([min(abs(value - level) for level in levels.tolist()) for value in x.tolist()])
    assert torch.allclose((found - x).abs(), best, atol=1e-6)


@given(
    shape=st.sampled_from([(1, 1), (3, 5), (8, 8), (13, 64), (5, 127)]),
    seed=st.integers(0, 99),
    size=st.floats(1e-3, 1e3),
)
@settings(max_examples=40)
def test_nf4_is_brute_force_block_by_block(shape, seed, size):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size
    levels = nf4_levels()
    packed, divisor = nf4(weight, levels)
    blocks = -(-weight.numel() // BLOCK)
    assert (packed.dtype, len(packed), len(divisor)) == (torch.uint8, blocks * BLOCK // 2, blocks)
    back = from_nf4(packed, divisor, levels, weight.shape)
    for b, block in enumerate(weight.flatten().split(BLOCK)):
        scale = float(block.abs().max())
        assert float(divisor[b]) == pytest.approx(scale)
        distances = (block[:, None] / scale - levels).abs().min(dim=1).values * scale
        mine = back.flatten()[b * BLOCK : (b + 1) * BLOCK]
        assert torch.allclose((mine - block).abs(), distances, atol=1e-6 * scale)


def test_zero_comes_back_as_zero():
    zero = torch.zeros(3, 64)
    packed, divisor = nf4(zero, nf4_levels())
    assert torch.equal(from_nf4(packed, divisor, nf4_levels(), zero.shape), zero)
    numbers, step = absmax_int8(zero)
    assert torch.equal(numbers.float() * step, zero)


@given(seed=st.integers(0, 99), size=st.floats(1e-3, 1e3))
@settings(max_examples=30)
def test_int8_is_off_by_half_a_step_at_most_and_keeps_the_largest(seed, size):
    weight = torch.randn(6, 50, generator=torch.Generator().manual_seed(seed)) * size
    numbers, step = absmax_int8(weight)
    assert torch.allclose(step[:, 0] * 127, weight.abs().amax(dim=1))
    assert ((weight - numbers.float() * step).abs() <= 0.5001 * step).all()
    assert (numbers.abs().amax(dim=1) == 127).all()


@given(n=st.integers(1, 700), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_double_quantisation_loses_a_sixteenth_of_a_deviation_at_most(n, seed):
    divisor = torch.rand(n, generator=torch.Generator().manual_seed(seed)) + 0.5
    back = from_rounded(*round_divisors(divisor))
    off = (divisor - divisor.mean()).abs()
    # E4M3 has 3 bits behind the leading one: a relative error of 2⁻⁴, and near zero an absolute one.
    assert ((back - divisor).abs() <= off / 16 + 1e-4).all()


def linear(inputs: int = 96, outputs: int = 128, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias)


@pytest.mark.parametrize("kind", ["int8", "nf4"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_computes_with_its_rounded_weights_and_passes_their_gradient_on(kind, bias):
    plain = linear(bias=bias)
    layer, x = QuantisedLinear(plain, kind), torch.randn(5, 96, requires_grad=True)
    expected = F.linear(x, layer.weight(), plain.bias)
    found = layer(x)
    assert torch.equal(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    (other,) = torch.autograd.grad(F.linear(x, layer.weight(), plain.bias).square().sum(), x)
    assert close(gradient, other, 1e-6)
    off = float((layer.weight() - plain.weight).norm() / plain.weight.norm())
    assert (0.0005 < off < 0.01) if kind == "int8" else (0.03 < off < 0.15)


def test_nf4_is_nearer_to_normal_weights_than_sixteen_even_levels():
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    errors = {}
    for name, levels in (("nf4", nf4_levels()), ("even", torch.linspace(-1, 1, 16))):
        packed, divisor = nf4(weight, levels)
        errors[name] = float((from_nf4(packed, divisor, levels, weight.shape) - weight).square().mean())
    assert errors["nf4"] < 0.85 * errors["even"]


def test_the_bytes_are_those_of_the_paper():
    plain = nn.Linear(1024, 1024, bias=False)
    n = plain.weight.numel()
    assert QuantisedLinear(plain, "nf4", double=False).nbytes * 8 / n == 4.5  # 32 bits for every 64
    assert QuantisedLinear(plain, "nf4").nbytes * 8 / n == pytest.approx(
        4 + 8 / 64 + 32 / (64 * 256), abs=1e-4
    )  # 4.127
    assert QuantisedLinear(plain, "int8").nbytes * 8 / n == pytest.approx(8 + 32 / 1024)


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_qlora_trains_on_top_and_the_rounded_weights_stay(kind):
    model = inject(
        quantise(fresh(), ALL_LINEAR, kind), Lora(r=4, alpha=8, targets=ALL_LINEAR), torch.Generator().manual_seed(0)
    )
    assert trainable(model) == sum(layer.A.numel() + layer.B.numel() for _, layer in lora_layers(model))
    before = {name: b.clone() for name, b in model.named_buffers()}
    start = model(IDS)
    assert close(start, fresh()(IDS), 0.05 if kind == "int8" else 0.5)
    recipe = Recipe(steps=30, batch=3, context=10, lr=2e-2, weight_decay=0.0)
    losses = [step.loss for step in train(model, lambda step: causal(IDS), recipe)]
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())
    model.eval()
    beside = model(IDS)
    with pytest.raises(ValueError, match="base is a QuantisedLinear, whose weights are rounded"):
        merge(copy.deepcopy(model))
    assert close(merged_copy(restore(copy.deepcopy(model)))(IDS), beside)


def test_bf16_autocast_works():
    layer, x = QuantisedLinear(linear()), torch.randn(5, 96, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert close(found.float(), layer(x), 0.02)


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="kind = 'int4': expected 'int8' or 'nf4'"):
        QuantisedLinear(linear(), "int4")
    with pytest.raises(ValueError, match="is a QuantisedLinear: expected a Linear"):
        quantise(quantise(fresh(), ("up",)), ("up",))
