"""Several adapters on one base: swapped bit for bit, mixed exactly, and mixed as `peft` mixes them."""

import copy

import pytest
import torch
from peft_oracle import IDS, SIZES, close, exported, fresh

from lablib.adaptation.adapter_format import save_adapter
from lablib.adaptation.adapters import put, take_off, taken, weighted
from lablib.adaptation.dora import DoRALinear
from lablib.adaptation.lora import ALL_LINEAR, Lora, inject, lora_layers, merge, merged_copy
from lablib.adaptation.trainable import changed, copies
from lablib.architecture.decoder import Decoder, DecoderConfig


def adapter(r: int, seed: int, layer=None, targets=ALL_LINEAR):
    settings = Lora(r=r, alpha=5.0, targets=targets)
    model = inject(fresh(), settings, torch.Generator().manual_seed(seed), *([layer] if layer else []))
    for number, (_, part) in enumerate(lora_layers(model)):
        with torch.no_grad():
            part.B.normal_(std=0.1, generator=torch.Generator().manual_seed(1000 * seed + number))
    return taken(model, settings), model(IDS)


def test_swapping_at_run_time_gives_each_its_own_answers_and_the_base_back():
    (one, said_one), (two, said_two) = adapter(2, 1), adapter(5, 2, DoRALinear)
    model = fresh()
    base, before = model(IDS), copies(model.named_parameters())
    for _ in range(2):
        assert torch.equal(put(model, one)(IDS), said_one)
        assert torch.equal(put(model, two)(IDS), said_two)
    assert not close(said_one, said_two, 1e-2)
    assert torch.equal(take_off(model)(IDS), base)
    assert changed(before, dict(model.named_parameters())) == []
    assert take_off(model) is model


def test_a_weighted_sum_has_the_sum_of_the_updates():
    (one, _), (two, _) = adapter(2, 1), adapter(3, 2)
    both = weighted([one, two], [0.75, -0.5])
    assert both.settings.r == 5
    for name in one.weights:
        updates = [a.settings.scale * a.weights[name]["B"] @ a.weights[name]["A"] for a in (one, two)]
        assert close(both.weights[name]["B"] @ both.weights[name]["A"], 0.75 * updates[0] - 0.5 * updates[1], 1e-6)
    assert close(put(fresh(), weighted([one], [1.0]))(IDS), put(fresh(), one)(IDS))
    assert close(put(fresh(), weighted([one, one], [1.0, -1.0]))(IDS), fresh()(IDS))


def test_peft_mixes_them_to_the_same_model(tmp_path):
    from peft import PeftModel

    (one, _), (two, _) = adapter(2, 1), adapter(3, 2)
    theirs = PeftModel.from_pretrained(
        exported(fresh(), tmp_path / "base"), save_adapter(one, tmp_path / "one"), adapter_name="one"
    )
    theirs.load_adapter(save_adapter(two, tmp_path / "two"), adapter_name="two")
    theirs.add_weighted_adapter(["one", "two"], [0.6, 0.4], "both", combination_type="cat")
    theirs.set_adapter("both")
    expected = theirs.eval()(input_ids=IDS).logits
    ours = put(fresh(), weighted([one, two], [0.6, 0.4]))
    assert close(ours(IDS), expected)
    assert close(merged_copy(ours)(IDS), expected)
    assert not close(put(fresh(), one)(IDS), expected, 1e-2)


def test_what_does_not_fit_is_told_and_leaves_the_model_plain():
    one, _ = adapter(2, 1)
    wide = Decoder(DecoderConfig(V=61, D=64, H=4, L=2, hidden=40))
    with pytest.raises(ValueError, match=r"A has shape \(2, 32\): expected \(2, 64\)"):
        put(wide, one)
    assert not list(lora_layers(wide))
    deep = Decoder(DecoderConfig(V=61, D=32, H=4, L=3, hidden=40))
    with pytest.raises(ValueError, match="the adapter has 14 layers and the model 21"):
        put(deep, one)
    assert not list(lora_layers(deep))
    with pytest.raises(ValueError, match="wears no adapter"):
        taken(fresh(), one.settings)
    with pytest.raises(ValueError, match=r"has rank 2 and scale 2\.5: expected r = 3"):
        taken(put(fresh(), one), Lora(r=3, targets=ALL_LINEAR))
    with pytest.raises(ValueError, match="merged"):
        take_off(merge(put(fresh(), one)))


def test_what_cannot_be_mixed_is_told():
    one, _ = adapter(2, 1)
    with pytest.raises(ValueError, match="1 adapters and 2 weights"):
        weighted([one], [0.5, 0.5])
    with pytest.raises(ValueError, match="DoRA"):
        weighted([one, adapter(2, 1, DoRALinear)[0]], [0.5, 0.5])
    with pytest.raises(ValueError, match="different layers"):
        weighted([one, adapter(2, 1, targets=("q_proj",))[0]], [0.5, 0.5])


def test_an_adapter_is_small_and_counted():
    one, _ = adapter(2, 1)
    linear = SIZES.L * (
        4 * 32 + 2 * (32 + 16) + 3 * (32 + 40)
    )  # in + out of each layer: queries and output, keys and values, …
    assert one.parameters == 2 * linear
    assert copy.deepcopy(one) is not one
