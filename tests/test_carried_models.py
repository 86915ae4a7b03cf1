"""The models that the course carries: ready to use, small enough to commit, and what other libraries read, too."""

import json
from random import Random

import pytest
import torch

from lablib import checkpoints, paths
from lablib.adaptation import adherence as adh
from lablib.adaptation.chat import PAD
from lablib.adaptation.critique_skill import skill
from lablib.alignment import reward_model
from lablib.alignment.annotators import ANNOTATORS
from lablib.alignment.preference_pairs import collect
from lablib.alignment.reward_training import evaluate
from lablib.pretraining.sampling import Sampling

ALIGNED = ("ppo", "dpo", "cai")
MODELS = ("base", "sft", *ALIGNED)


@pytest.fixture(autouse=True)
def nothing_of_your_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABLIB_CHECKPOINTS", raising=False)


@pytest.mark.parametrize("name", MODELS)
def test_a_carried_model_loads_ready_to_use(name):
    base = checkpoints.load(name)
    assert base.origin == f"the course's {name}"
    assert base.record["name"] == name
    assert base.model.embedding.weight.dtype == torch.float32
    assert not base.model.training
    assert base.model.config.V == base.tokenizer.V
    assert sum(weight.numel() for weight in base.model.parameters()) == base.model.config.parameters
    assert 2e6 <= base.model.config.parameters <= 5.1e6


@pytest.mark.parametrize("name", MODELS)
def test_a_carried_model_is_small_and_transformers_reads_it(name):
    transformers = pytest.importorskip("transformers")
    folder = paths.data_path(f"checkpoints/{name}")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10.5e6
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    base = checkpoints.load(name)
    ids = torch.tensor([[base.tokenizer.special["<|bos|>"], *base.tokenizer.encode("Once there was a heron.")]])
    with torch.no_grad():
        torch.testing.assert_close(base.model(ids), theirs(ids).logits, rtol=1e-4, atol=1e-4)


def test_the_record_of_base_is_of_this_model_and_tells_what_it_reached():
    base = checkpoints.load("base")
    record = base.record
    assert record["parameters"] == base.model.config.parameters
    assert 0 < record["above_floor"] < 0.05
    assert record["above_floor"] == pytest.approx(record["loss"] / record["floor"] - 1, rel=1e-2)
    assert record["stories"]["n"] == 500
    assert record["stories"]["share"] < record["stories_temperature_0.5"]["share"]


def test_the_record_of_sft_is_of_this_model_and_tells_what_it_reached():
    sft = checkpoints.load("sft")
    record = sft.record
    assert record["from"]["command"] == checkpoints.load("base").record["command"]
    assert record["base_dialogue"]["helpful"][0] <= 0.4
    assert record["adherence"]["helpful"][0] >= 0.85
    # measured anew on fewer prompts, each score lies near the record's
    again = adh.adherence(adh.scored(sft.model, sft.tokenizer, adh.prompts(150, "the record is held to")))
    for score in adh.SCORES:
        mean, low, high = getattr(again, score)
        assert low <= record["adherence"][score][0] <= high, score
        assert mean > 0.7
    right = skill(sft.model, sft.tokenizer, 12, "the record is held to").verdicts
    assert sum(share[0] for share in right.values()) / len(right) > 0.75


@pytest.mark.parametrize("name", ALIGNED)
def test_the_record_of_an_aligned_model_is_of_this_model_and_tells_what_it_reached(name):
    sft, policy = checkpoints.load("sft"), checkpoints.load(name)
    record = policy.record
    assert record["from"]["command"] == sft.record["command"]
    assert any(not torch.equal(a, b) for a, b in zip(policy.model.parameters(), sft.model.parameters(), strict=True))
    assert record["judged"]["gold"][0] > 0.84, "more than the tuned model has"
    assert record["adherence_temperature_1"]["harmless"][1] > record["sft_adherence_temperature_1"]["harmless"][0]
    # measured anew on fewer prompts, each score lies near the record's
    asked, chance = adh.prompts(150, "the record is held to"), torch.Generator().manual_seed(0)
    again = adh.adherence(adh.scored(policy.model, policy.tokenizer, asked, "chat", Sampling(), chance))
    for score in adh.SCORES:
        _, low, high = getattr(again, score)
        assert low <= record["adherence_temperature_1"][score][0] <= high, score


def test_the_record_of_the_reward_model_is_of_this_model_and_tells_what_it_reached():
    sft, folder = checkpoints.load("sft"), paths.data_path("checkpoints/reward")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10.5e6
    record = json.loads((folder / checkpoints.RECORD).read_text(encoding="utf-8"))
    assert record["gold_accuracy"][1] > 0.5
    assert record["accuracy"][0] < record["ceiling"]
    # other pairs of the tuned model, which it has not seen
    pairs = collect(sft.model, sft.tokenizer, 200, Random("the record is held to")).pairs
    found = evaluate(reward_model.load(folder), pairs, sft.tokenizer.special[PAD], ANNOTATORS)
    for name in ("accuracy", "gold_accuracy"):
        _, low, high = getattr(found, name)
        assert low <= record[name][2], name
        assert record[name][1] <= high, name
