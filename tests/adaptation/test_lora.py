"""LoRA against the formula, against torch's own initialisation, and by its properties: rank, scale, merging, freezing."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft_oracle import IDS, close, fresh, loss
from torch import nn
from torch.nn import functional as F

from lablib.adaptation.lora import (
    ALL_LINEAR,
    Lora,
    LoRALinear,
    inject,
    lora_layers,
    lora_output,
    lora_update,
    merge,
    merged_copy,
    remove,
    set_merged,
    side_by_side,
    start_lora,
    unmerge,
)
from lablib.adaptation.trainable import changed, copies, trainable
from lablib.pretraining.batching import causal
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train

WIDE = Lora(r=3, alpha=12.0, targets=ALL_LINEAR)


def trained(layer: LoRALinear, seed: int = 0) -> LoRALinear:
    """As training leaves it: B is not zero any more."""
    with torch.no_grad():
        layer.B.normal_(generator=torch.Generator().manual_seed(seed))
    return layer


def worn(settings: Lora = WIDE, seed: int = 0):
    model = inject(fresh(seed), settings, torch.Generator().manual_seed(seed))
    for number, (_, layer) in enumerate(lora_layers(model)):
        with torch.no_grad():
            layer.B.normal_(std=0.1, generator=torch.Generator().manual_seed(100 * seed + number))
    return model


@given(
    inputs=st.integers(1, 9), outputs=st.integers(1, 9), r=st.integers(1, 5), alpha=st.floats(0.25, 32),
    bias=st.booleans(), stabilised=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60)
def test_a_layer_computes_w_plus_its_update(inputs, outputs, r, alpha, bias, stabilised, seed):
    torch.manual_seed(seed)
    linear = nn.Linear(inputs, outputs, bias)
    chosen = Lora(r, alpha, rank_stabilised=stabilised)
    layer = trained(LoRALinear(linear, chosen), seed)
    x = torch.randn(4, inputs)
    scale = alpha / (math.sqrt(r) if stabilised else r)
    expected = F.linear(x, linear.weight + scale * layer.B @ layer.A, linear.bias).detach()
    assert torch.allclose(layer(x), expected, atol=1e-5 * max(1.0, float(expected.abs().max())))
    rank = int(torch.linalg.matrix_rank(layer.update().detach().double(), rtol=1e-5))
    assert rank == min(r, inputs, outputs)
    assert torch.equal(lora_update(layer.A, layer.B, 2 * scale), 2 * lora_update(layer.A, layer.B, scale))


@given(r=st.integers(1, 40), inputs=st.integers(1, 50), seed=st.integers(0, 999))
@settings(max_examples=30)
def test_the_start_is_that_of_torchs_kaiming_and_no_update(r, inputs, seed):
    A, B = start_lora(r, inputs, 7, torch.Generator().manual_seed(seed))
    expected = torch.empty(r, inputs)
    nn.init.kaiming_uniform_(expected, a=math.sqrt(5), generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(A, expected, rtol=1e-6)
    assert float(A.abs().max()) > 0
    assert torch.equal(B, torch.zeros(7, r))


@given(seed=st.integers(0, 999), r=st.integers(1, 5), scale=st.floats(0.1, 4))
@settings(max_examples=30)
def test_the_output_is_that_of_the_sum_of_the_matrices_and_without_an_update_the_bases_bit_for_bit(seed, r, scale):
    generator = torch.Generator().manual_seed(seed)
    x, W, A, B = (torch.randn(*shape, generator=generator) for shape in ((3, 4, 6), (5, 6), (r, 6), (5, r)))
    found = F.linear(x, W)
    assert close(lora_output(x, found, A, B, scale), F.linear(x, W + scale * B @ A))
    assert torch.equal(lora_output(x, found, A, torch.zeros_like(B), scale), found)


@given(seed=st.integers(0, 999), ranks=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=30)
def test_factors_side_by_side_are_the_sum_of_the_updates(seed, ranks):
    generator = torch.Generator().manual_seed(seed)
    factors = [(torch.randn(r, 6, generator=generator), torch.randn(5, r, generator=generator)) for r in ranks]
    weights = torch.randn(len(ranks), generator=generator).tolist()
    A, B = side_by_side(iter(factors), weights)
    assert (A.shape, B.shape) == ((sum(ranks), 6), (5, sum(ranks)))
    assert close(B @ A, torch.stack([w * B @ A for (A, B), w in zip(factors, weights, strict=True)]).sum(0))
    with pytest.raises(ValueError, match="zip"):
        side_by_side(factors, [*weights, 1.0])


def test_a_layer_is_merged_in_place_and_says_so():
    torch.manual_seed(0)
    layer = trained(LoRALinear(nn.Linear(6, 5), WIDE))
    W, before, update = layer.base.weight, layer.base.weight.clone(), layer.update().detach()
    assert set_merged(layer, False) is layer
    assert torch.equal(W, before)
    for _ in range(2):
        assert set_merged(layer, True) is layer
        assert layer.merged
        assert layer.base.weight is W
        assert torch.equal(W, before + update)
    set_merged(layer, False)
    assert close(W, before, 1e-6)
    assert not W.requires_grad


def test_an_adapted_model_starts_as_the_base_model_bit_for_bit():
    base = fresh()
    assert torch.equal(inject(copy.deepcopy(base), WIDE)(IDS), base(IDS))


def test_what_learns_is_r_times_in_plus_out_of_the_named_layers():
    base = fresh()
    model = inject(copy.deepcopy(base), Lora(r=5, targets=("q_proj", "down")))
    assert trainable(model) == 2 * 5 * ((32 + 32) + (40 + 32))
    assert [name for name, _ in lora_layers(model)] == [
        f"layers.{i}.{part}" for i in range(2) for part in ("attention.q_proj", "feed_forward.down")
    ]


def test_training_leaves_every_weight_of_the_base_bit_equal_and_learns():
    base = fresh()
    before = copies(base.named_parameters())
    model = inject(base, Lora(r=4, alpha=8, targets=ALL_LINEAR), torch.Generator().manual_seed(0))
    recipe = Recipe(steps=30, batch=3, context=10, lr=2e-2, weight_decay=0.1)
    losses = [step.loss for step in train(model, lambda step: causal(IDS), recipe)]
    assert losses[-1] < 0.6 * losses[0]
    assert changed(before, dict(remove(copy.deepcopy(model)).named_parameters())) == []
    assert all(float(layer.update().abs().max()) > 1e-3 for _, layer in lora_layers(model))


def test_merging_is_exact_to_a_millionth_and_twice_is_once():
    base, model = fresh(), worn()
    beside = model(IDS)
    assert not close(beside, base(IDS), 1e-2)  # the update does something
    merge(model)
    inside = model(IDS)
    assert close(inside, beside, 1e-5)
    for name, layer in lora_layers(model):
        W = base.get_submodule(name).weight
        assert close(layer.base.weight, W + layer.scale * layer.B @ layer.A, 1e-6)
    assert torch.equal(merge(model)(IDS), inside)
    unmerge(model)
    assert close(model(IDS), beside, 1e-5)
    for name, layer in lora_layers(model):
        assert close(layer.base.weight, base.get_submodule(name).weight, 1e-6)
    again = copies(model.named_parameters())
    unmerge(model)
    assert changed(again, dict(model.named_parameters())) == []


@given(seed=st.integers(0, 999), r=st.integers(1, 6), alpha=st.floats(0.5, 16))
@settings(max_examples=40)
def test_merge_and_unmerge_come_back(seed, r, alpha):
    torch.manual_seed(seed)
    linear = nn.Linear(6, 5)
    before = linear.weight.detach().clone()
    layer = trained(LoRALinear(linear, Lora(r, alpha)), seed)
    size = 1 + float(layer.update().abs().max())
    for _ in range(3):
        layer.merge()
        layer.unmerge()
    assert float((linear.weight - before).abs().max()) <= 1e-6 * size


def test_a_merged_copy_is_a_plain_model_and_removal_gives_the_base_back():
    base, model = fresh(), worn()
    plain = merged_copy(model)
    assert set(plain.state_dict()) == set(base.state_dict())
    assert close(plain(IDS), model(IDS))
    assert torch.equal(remove(model)(IDS), base(IDS))


def test_dropout_acts_in_training_only_and_on_the_update_only():
    torch.manual_seed(0)
    layer = trained(LoRALinear(nn.Linear(50, 4), Lora(r=2, dropout=0.5)))
    x = torch.randn(200, 50)
    still = layer.eval()(x)
    assert torch.equal(still, layer(x))
    noisy = layer.train()(x)
    assert not torch.allclose(noisy, still, atol=0.1)
    with torch.no_grad():
        layer.B.zero_()
    assert torch.equal(layer(x), layer.base(x))


def test_a_model_that_is_adapted_in_evaluation_mode_gets_no_dropout():
    model = inject(fresh().eval(), Lora(2, 4.0, dropout=0.5))
    assert not any(part.training for part in model.modules())
    assert all(layer.training for _, layer in lora_layers(inject(fresh().train(), Lora(2, 4.0))))


def test_gradients_reach_a_and_b_and_nothing_else():
    model = worn()
    loss(model(IDS)).backward()
    names = {name.rpartition(".")[2] for name, weight in model.named_parameters() if weight.grad is not None}
    assert names == {"A", "B"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"r": 0}, "r = 0: expected a whole number >= 1"),
        ({"r": 2.0}, r"r = 2\.0: expected a whole number"),
        ({"alpha": 0.0}, "alpha = 0.0: expected a number > 0, such as 2 r = 6"),
        ({"dropout": 1.0}, "dropout = 1.0: expected a share"),
        ({"targets": "q_proj"}, "targets = 'q_proj': expected a list of names"),
    ],
)
def test_settings_that_make_no_sense(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(WIDE, **wrong)


def test_what_cannot_be_adapted_is_told():
    with pytest.raises(ValueError, match="adapted already"):
        inject(worn(), WIDE)
    with pytest.raises(ValueError, match="no part is called 'query'"):
        inject(fresh(), Lora(targets=("query",)))
    with pytest.raises(ValueError, match="base is a Identity without in_features"):
        LoRALinear(nn.Identity(), Lora())
