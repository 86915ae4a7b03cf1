"""The models that the course carries: ready to use, small enough to commit, and what other libraries read, too."""

import pytest
import torch

from lablib import checkpoints, paths


@pytest.fixture(autouse=True)
def nothing_of_your_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABLIB_CHECKPOINTS", raising=False)


def test_the_carried_base_model_loads_ready_to_use():
    base = checkpoints.load("base")
    assert base.origin == "the course's base"
    assert base.record["name"] == "base"
    assert base.model.embedding.weight.dtype == torch.float32
    assert not base.model.training
    assert base.model.config.V == base.tokenizer.V
    assert sum(weight.numel() for weight in base.model.parameters()) == base.model.config.parameters
    assert 2e6 <= base.model.config.parameters <= 5.1e6


def test_the_carried_base_model_is_small_and_transformers_reads_it():
    transformers = pytest.importorskip("transformers")
    folder = paths.data_path("checkpoints/base")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10.5e6
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    base = checkpoints.load("base")
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
