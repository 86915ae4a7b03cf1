"""DoRA: the formula, the start, the lengths, and merging. Against `peft`: test_adapter_format."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft_oracle import IDS, close, fresh
from torch import nn
from torch.nn import functional as F

from lablib.adaptation.dora import DoRALinear, dora_weight, row_lengths
from lablib.adaptation.lora import ALL_LINEAR, Lora, inject, lora_layers, merge, unmerge
from lablib.adaptation.trainable import trainable


def layer_of(seed: int, inputs: int = 7, outputs: int = 5, r: int = 2, bias: bool = True) -> DoRALinear:
    torch.manual_seed(seed)
    layer = DoRALinear(nn.Linear(inputs, outputs, bias), Lora(r=r, alpha=3.0))
    with torch.no_grad():
        layer.B.normal_()
        layer.m.mul_(torch.rand(outputs) + 0.5)
    return layer


@given(seed=st.integers(0, 999), r=st.integers(1, 4), bias=st.booleans())
@settings(max_examples=40)
def test_a_layer_computes_equation_5_and_its_rows_have_the_lengths_m(seed, r, bias):
    layer = layer_of(seed, r=r, bias=bias)
    W, x = layer.base.weight, torch.randn(4, 7)
    directed = W + 3.0 / r * layer.B @ layer.A
    expected = layer.m[:, None] * directed / directed.norm(dim=1, keepdim=True)
    assert torch.allclose(layer(x), F.linear(x, expected, layer.base.bias), atol=1e-5)
    assert torch.allclose(row_lengths(dora_weight(W, layer.scale * layer.B @ layer.A, layer.m)), layer.m, rtol=1e-5)


def test_the_start_is_the_base_model_and_m_is_counted():
    base = fresh()
    model = inject(copy.deepcopy(base), Lora(r=2, targets=("q_proj",)), layer=DoRALinear)
    assert close(model(IDS), base(IDS), 1e-6)
    assert trainable(model) == 2 * (2 * (32 + 32) + 32)


def test_no_gradient_passes_through_the_norm():
    layer = layer_of(0, bias=False)
    x = torch.randn(4, 7)
    norm = row_lengths(layer.base.weight + layer.scale * layer.B @ layer.A).detach()
    (layer.m / norm * F.linear(x, layer.base.weight + layer.scale * layer.B @ layer.A)).square().sum().backward()
    expected = {name: w.grad.clone() for name, w in layer.named_parameters() if w.grad is not None}
    layer.zero_grad()
    layer(x).square().sum().backward()
    assert set(expected) == {"A", "B", "m"}
    for name, gradient in expected.items():
        assert close(getattr(layer, name).grad, gradient, 1e-5), name


def test_merging_twice_is_once_and_unmerging_gives_w_back():
    base = fresh()
    model = inject(copy.deepcopy(base), Lora(r=2, alpha=8.0, targets=ALL_LINEAR), layer=DoRALinear)
    for number, (_, layer) in enumerate(lora_layers(model)):
        with torch.no_grad():
            layer.B.normal_(std=0.1, generator=torch.Generator().manual_seed(number))
            layer.m.mul_(1.3)
    beside = model(IDS)
    merged = merge(model)(IDS)
    assert close(merged, beside, 1e-5)
    assert torch.equal(merge(model)(IDS), merged)
    unmerge(model)
    assert close(model(IDS), beside, 1e-5)
    for name, layer in lora_layers(model):
        assert close(layer.base.weight, base.get_submodule(name).weight, 1e-6)


def test_a_row_of_length_zero_cannot_be_unmerged():
    layer = layer_of(0)
    with torch.no_grad():
        layer.m[1] = 0
    layer.merge()
    with pytest.raises(ValueError, match="m is 0 for a row"):
        layer.unmerge()
