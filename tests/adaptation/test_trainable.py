"""Freezing and counting: what learns, how many numbers, how much memory."""

import pytest
import torch
from torch import nn

from lablib.adaptation.trainable import (
    changed,
    copies,
    freeze,
    put_in_place,
    replace_modules,
    total,
    train_only,
    trainable,
    training_bytes,
)
from lablib.architecture.decoder import Decoder, DecoderConfig

SIZES = DecoderConfig(V=50, D=16, H=2, L=2, hidden=24)


def test_counts_are_those_of_the_config_and_a_tied_table_counts_once():
    model = Decoder(SIZES)
    assert trainable(model) == total(model) == SIZES.parameters
    assert trainable(freeze(model)) == 0
    train_only(model, ["norm.weight", "layers.0.norm_1.weight"])
    assert trainable(model) == 32
    assert total(model) == SIZES.parameters
    assert training_bytes(model) == 4 * SIZES.parameters + 3 * 4 * 32


def test_only_what_may_learn_gets_a_gradient():
    model = train_only(Decoder(SIZES), ["layers.1.feed_forward.up.weight"])
    model(torch.tensor([[1, 2, 3]])).sum().backward()
    assert [name for name, w in model.named_parameters() if w.grad is not None] == ["layers.1.feed_forward.up.weight"]


def test_a_wrong_name_is_told():
    with pytest.raises(ValueError, match="none called 'nowhere'"):
        train_only(Decoder(SIZES), ["nowhere"])
    with pytest.raises(ValueError, match="expected at least one"):
        train_only(Decoder(SIZES), [])


def test_parts_are_found_by_their_own_name_and_can_be_replaced():
    model = Decoder(SIZES)
    found = dict(replace_modules(model, ["q_proj", "down"]))
    assert list(found) == [
        "layers.0.attention.q_proj", "layers.0.feed_forward.down",
        "layers.1.attention.q_proj", "layers.1.feed_forward.down",
    ]  # fmt: skip
    put_in_place(model, "layers.1.feed_forward.down", other := nn.Identity())
    assert model.layers[1].feed_forward.down is other


def test_wrong_targets_are_told():
    with pytest.raises(ValueError, match=r"no part is called 'query'; expected some of down, gate, k_proj"):
        list(replace_modules(Decoder(SIZES), ["query"]))
    with pytest.raises(ValueError, match="expected a list of names"):
        list(replace_modules(Decoder(SIZES), "q_proj"))
    with pytest.raises(ValueError, match="attention is a SelfAttention: expected a Linear"):
        list(replace_modules(Decoder(SIZES), ["attention"]))


def test_changed_names_what_differs_in_a_single_bit():
    model = Decoder(SIZES)
    before = copies(model.named_parameters())
    assert changed(before, dict(model.named_parameters())) == []
    with torch.no_grad():
        weight = model.layers[0].norm_2.weight
        weight[3] = torch.nextafter(weight[3], torch.tensor(2.0))
    assert changed(before, dict(model.named_parameters())) == ["layers.0.norm_2.weight"]
    with pytest.raises(ValueError, match=r"after has no 'embedding\.weight'"):
        changed(before, {})
