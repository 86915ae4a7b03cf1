"""Bottleneck adapters: the formula, written out; where they stand; what learns."""

import copy

import pytest
import torch
from peft_oracle import IDS, SIZES, close, fresh

from lablib.adaptation.bottleneck import Adapted, Bottleneck, add_adapters, bottleneck, remove_adapters
from lablib.adaptation.trainable import changed, copies, trainable
from lablib.pretraining.batching import causal
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train


def test_the_formula_entry_by_entry():
    torch.manual_seed(0)
    h, down, up, b, c = torch.randn(3, 4), torch.randn(2, 4), torch.randn(4, 2), torch.randn(2), torch.randn(4)
    found = bottleneck(h, down, up, b, c)
    for n in range(3):
        squeezed = [max(0.0, sum(float(h[n, i] * down[j, i]) for i in range(4)) + float(b[j])) for j in range(2)]
        for i in range(4):
            expected = float(h[n, i]) + sum(float(up[i, j]) * squeezed[j] for j in range(2)) + float(c[i])
            assert abs(float(found[n, i]) - expected) < 1e-5


def worn(seed: int = 0, norms: bool = False):
    return add_adapters(fresh(), 3, norms=norms, generator=torch.Generator().manual_seed(seed))


def test_the_start_is_the_base_model_bit_for_bit():
    assert torch.equal(worn()(IDS), fresh()(IDS))


def test_they_stand_behind_each_sublayer_before_the_residual_sum():
    model = worn()
    for number, part in enumerate(part for part in model.modules() if isinstance(part, Bottleneck)):
        with torch.no_grad():
            part.up.normal_(generator=torch.Generator().manual_seed(number))
            part.up_bias.fill_(0.1)
    x, base = model.embedding(IDS), fresh()
    _, angles = base.place(x, torch.arange(IDS.shape[1]))
    for mine, plain in zip(model.layers, base.layers, strict=True):
        x = x + mine.attention.out_proj.adapter(plain.attention(plain.norm_1(x), None, angles)[0])
        x = x + mine.feed_forward.down.adapter(plain.feed_forward(plain.norm_2(x)))
    assert close(model.norm(x) @ model.embedding.weight.T, model(IDS))
    assert not close(base(IDS), model(IDS), 1e-2)


def test_what_learns_is_what_houlsby_counts():
    one = 2 * 3 * SIZES.D + 3 + SIZES.D  # two matrices, two biases
    assert trainable(worn()) == 2 * SIZES.L * one
    assert trainable(worn(norms=True)) == 2 * SIZES.L * one + (2 * SIZES.L + 1) * SIZES.D


def test_training_moves_the_adapters_only_and_they_come_off():
    base = fresh()
    before = copies(base.named_parameters())
    model = add_adapters(base, 3, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(steps=25, batch=3, context=10, lr=2e-2, weight_decay=0.0)
    losses = [step.loss for step in train(model, lambda step: causal(IDS), recipe)]
    assert losses[-1] < 0.8 * losses[0]
    assert not close(model(IDS), fresh()(IDS), 1e-2)
    assert changed(before, dict(remove_adapters(copy.deepcopy(model)).named_parameters())) == []
    assert torch.equal(remove_adapters(model)(IDS), fresh()(IDS))


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="r = 0: expected a whole number of features"):
        Bottleneck(4, 0)
    with pytest.raises(ValueError, match="out_proj is a Adapted: expected a Linear"):
        add_adapters(worn(), 3)
    assert any(isinstance(part, Adapted) for part in worn().modules())
