"""BitFit on a model with biases, and what comes near it on one without; against `transformers`' Llama with biases."""

import copy

import pytest
import torch
from peft_oracle import IDS, SIZES, close, exported, fresh, loss
from torch import nn

from lablib.adaptation.bitfit import add_biases, bias_names, largest_biases, remove_biases, train_biases, train_norms
from lablib.adaptation.lora import ALL_LINEAR
from lablib.adaptation.trainable import changed, copies, total, trainable
from lablib.architecture.gpt2 import GPT2, GPT2Config
from lablib.architecture.llama_format import LAYER_NAMES
from lablib.pretraining.batching import causal
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train


def gpt2() -> GPT2:
    config = GPT2Config(V=61, D=32, H=4, L=2, hidden=40, context=32)
    model = GPT2(config, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6 if weight.dim() > 1 else 1)
    return model


def test_on_gpt2_it_trains_the_biases_of_linear_layers_and_norms():
    model = train_biases(gpt2())
    in_a_layer = 4 * 32 + 40 + 32 + 2 * 32  # attention, feed-forward, two norms
    assert trainable(model) == 2 * in_a_layer + 32
    assert len(bias_names(model)) == 2 * 8 + 1


def test_of_the_real_gpt2_that_is_a_tenth_of_a_percent():
    with torch.device("meta"):
        model = train_biases(GPT2(GPT2Config()))
    assert 0.0007 < trainable(model) / total(model) < 0.001


def test_on_gpt2_training_moves_nothing_but_biases():
    model = train_biases(gpt2())
    before = copies(model.named_parameters())
    recipe = Recipe(steps=30, batch=3, context=10, lr=3e-2)
    losses = [step.loss for step in train(model, lambda step: causal(IDS), recipe)]
    assert losses[-1] < 0.9 * losses[0]
    moved = set(changed(before, dict(model.named_parameters())))
    assert moved <= set(bias_names(model))
    # A bias of the keys shifts all scores of a query alike, and softmax does not see that: its gradient is rounding.
    assert set(bias_names(model)) - moved <= {f"layers.{i}.attention.k_proj.bias" for i in range(2)}


def test_a_llama_has_none_and_that_is_said():
    with pytest.raises(ValueError, match="the Decoder has no biases: expected a model that has, such as GPT2"):
        train_biases(fresh())


def test_norms_alone():
    model = train_norms(fresh())
    assert trainable(model) == (2 * SIZES.L + 1) * SIZES.D
    loss(model(IDS)).backward()
    assert all("norm" in name for name, w in model.named_parameters() if w.grad is not None)


def test_on_gpt2_norms_means_their_weights_not_their_biases():
    model = train_norms(gpt2())
    assert trainable(model) == (2 * 2 + 1) * 32


def test_added_biases_are_those_of_a_llama_with_biases(tmp_path):
    model = add_biases(fresh())
    assert torch.equal(model(IDS), fresh()(IDS))
    names = [name for name, w in model.named_parameters() if w.requires_grad]
    assert names == bias_names(model)
    with torch.no_grad():
        for number, name in enumerate(names):
            model.get_parameter(name).normal_(std=0.3, generator=torch.Generator().manual_seed(number))

    plain = exported(fresh(), tmp_path)
    config = copy.deepcopy(plain.config)
    config.attention_bias = config.mlp_bias = True
    theirs = type(plain)(config).eval()
    state = dict(plain.state_dict())
    inner = {ours: their for ours, their in LAYER_NAMES.items() if "norm" not in ours}
    where = {
        f"layers.{i}.{ours}.bias": f"model.layers.{i}.{their}.bias" for i in range(2) for ours, their in inner.items()
    }
    theirs.load_state_dict(state | {where[name]: model.get_parameter(name).detach() for name in names})
    found = theirs(input_ids=IDS).logits
    assert close(model(IDS), found)
    assert not close(fresh()(IDS), found, 1e-2)
    loss(model(IDS)).backward()
    loss(found).backward()
    for name in names:
        if "k_proj" not in name or float(model.get_parameter(name).grad.abs().max()) > 1e-4:
            assert close(model.get_parameter(name).grad, theirs.get_parameter(where[name]).grad)


def test_they_can_be_taken_away_and_are_ranked():
    model = add_biases(fresh(), ("q_proj", "up"))
    with torch.no_grad():
        model.layers[1].feed_forward.up.bias.fill_(2.0)
    assert largest_biases(model, 1) == [("layers.1.feed_forward.up.bias", 2.0)]
    assert set(remove_biases(model, ("q_proj", "up")).state_dict()) == set(fresh().state_dict())


def test_layers_with_biases_are_told():
    with pytest.raises(ValueError, match="q_proj has a bias"):
        add_biases(gpt2(), ("q_proj",))
    assert all(isinstance(part, nn.Linear) for name, part in fresh().named_modules() if name.endswith(ALL_LINEAR))
