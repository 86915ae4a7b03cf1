"""Against `peft` on the exported model: the same outputs and gradients, for LoRA, rank-stabilised LoRA and DoRA, and files both ways."""

import copy
import json

import pytest
import torch
from peft_oracle import IDS, close, exported, fresh, loss

from lablib.adaptation.adapter_format import CONFIG, WEIGHTS, file_name, load_adapter, save_adapter
from lablib.adaptation.adapters import put, taken
from lablib.adaptation.dora import DoRALinear
from lablib.adaptation.lora import ALL_LINEAR, Lora, LoRALinear, inject, lora_layers

PEFT_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {
    "lora": (Lora(r=3, alpha=7.0, targets=ALL_LINEAR), LoRALinear),
    "attention only": (Lora(r=2, alpha=4.0), LoRALinear),
    "rslora": (Lora(r=4, alpha=8.0, targets=ALL_LINEAR, rank_stabilised=True), LoRALinear),
    "dora": (Lora(r=3, alpha=6.0, targets=ALL_LINEAR), DoRALinear),
}


def trained(kind: str):
    """A model that wears an adapter whose every number matters."""
    settings, layer = KINDS[kind]
    model = inject(fresh(), settings, torch.Generator().manual_seed(1), layer)
    for number, (_, part) in enumerate(lora_layers(model)):
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            part.B.normal_(std=0.1, generator=generator)
            if isinstance(part, DoRALinear):
                part.m.mul_(0.5 + torch.rand(part.m.shape, generator=generator))
    return model, settings


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_ours_works_in_peft_with_the_same_outputs_and_gradients(kind, tmp_path):
    from peft import PeftModel

    model, settings = trained(kind)
    save_adapter(taken(model, settings), tmp_path / "adapter", base="the base")
    theirs = PeftModel.from_pretrained(exported(fresh(), tmp_path / "base"), tmp_path / "adapter", is_trainable=True)
    theirs.eval()
    found = theirs(input_ids=IDS).logits
    assert close(model(IDS), found)
    assert not close(fresh()(IDS), found, 1e-2)
    loss(model(IDS)).backward()
    loss(found).backward()
    gradients = {n.replace(".default", ""): w.grad for n, w in theirs.named_parameters() if w.requires_grad}
    compared = 0
    for name, layer in lora_layers(model):
        for part, weight in layer.named_parameters(recurse=False):
            key = file_name(name, part)
            key = key if key in gradients else f"{key}.weight"
            assert close(weight.grad, gradients.pop(key)), key
            compared += 1
    assert not gradients
    assert compared == sum(1 for name, w in model.named_parameters() if w.requires_grad)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_pefts_works_here(kind, tmp_path):
    from peft import LoraConfig, get_peft_model

    settings, _ = KINDS[kind]
    config = LoraConfig(
        r=settings.r, lora_alpha=settings.alpha, use_rslora=settings.rank_stabilised, use_dora=kind == "dora",
        target_modules=["q_proj", "v_proj"] if kind == "attention only" else PEFT_LINEAR, task_type="CAUSAL_LM",
    )  # fmt: skip
    theirs = get_peft_model(exported(fresh(), tmp_path / "base"), config)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
            elif "magnitude" in name:
                weight.mul_(1.5)
    theirs.save_pretrained(tmp_path / "adapter")
    adapter = load_adapter(tmp_path / "adapter")
    assert adapter.dora == (kind == "dora")
    assert adapter.settings.scale == settings.scale
    expected = theirs.eval()(input_ids=IDS).logits
    assert close(put(fresh(), adapter)(IDS), expected)
    assert not close(fresh()(IDS), expected, 1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_comes_back_bit_for_bit(kind, tmp_path):
    model, settings = trained(kind)
    adapter = taken(model, settings)
    back = load_adapter(save_adapter(adapter, tmp_path))
    assert (back.settings.r, back.settings.alpha, set(back.settings.targets)) == (
        settings.r, settings.alpha, set(settings.targets),
    )  # fmt: skip
    assert set(back.weights) == set(adapter.weights)
    for name, weights in adapter.weights.items():
        assert all(torch.equal(back.weights[name][part], weight) for part, weight in weights.items())
    assert torch.equal(put(fresh(), back)(IDS), model(IDS))


def test_a_base_that_was_trained_with_dropout_says_so_and_is_still_in_evaluation(tmp_path):
    settings = Lora(r=2, dropout=0.25)
    model = inject(fresh(), settings)
    assert load_adapter(save_adapter(taken(model, settings), tmp_path)).settings.dropout == 0.25


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bias", "all"),
        ("rank_pattern", {"q_proj": 2}),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "pissa"),
    ],
)
def test_what_ours_has_no_place_for_is_refused(key, value, tmp_path):
    model, settings = trained("lora")
    save_adapter(taken(model, settings), tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, key: value}))
    with pytest.raises(ValueError, match=f"{key} = "):
        load_adapter(tmp_path)


def test_other_files_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no adapter_config\.json"):
        load_adapter(tmp_path)
    model, settings = trained("lora")
    save_adapter(taken(model, settings), tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "peft_type": "IA3"}))
    with pytest.raises(ValueError, match="peft_type = 'IA3'"):
        load_adapter(tmp_path)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=WEIGHTS):
        load_adapter(tmp_path)
    with pytest.raises(ValueError, match=r"layer = 'layers.0.norm_1'"):
        file_name("layers.0.norm_1", "A")


def test_taking_an_adapter_does_not_share_memory_with_the_model():
    model, settings = trained("lora")
    adapter = taken(model, settings)
    before = copy.deepcopy(adapter.weights)
    with torch.no_grad():
        for _, layer in lora_layers(model):
            layer.B.zero_()
    assert all(torch.equal(adapter.weights[name]["B"], before[name]["B"]) for name in before)
