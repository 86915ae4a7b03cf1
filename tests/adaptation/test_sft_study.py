"""The studies, tiny: what each compares, that a row says how it was made, and that a study that was broken off goes on."""

import json
from dataclasses import fields, replace

import pytest
import torch

from lablib import checkpoints
from lablib.adaptation import sft_study as studies
from lablib.adaptation.sft_data import NOISY, SINGLE
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world.requests import kind_of, types
from lablib.pretraining import base as base_command
from lablib.pretraining.study import SEEDS
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A tiny base model of the learner's own, few steps, little to judge on."""
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(studies, "PROMPTS", 10)
    monkeypatch.setattr(studies, "DOCUMENTS", 5)
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)
    model = Decoder(config, generator=torch.Generator().manual_seed(0))
    base_command.save(model, checkpoints.own_path("base"), TOKENIZER, {"name": "base", "command": "lab train base"})
    short = replace(studies.LIKE_SFT, steps=2, batch=4, dtype="float32")
    for name, make in list(studies.STUDIES.items()):
        few = [replace(run, size=min(run.size, 40), recipe=short) for run in list(make())[:3]]
        monkeypatch.setitem(studies.STUDIES, name, lambda seeds=(), few=few: iter(few))


def test_the_runs_of_a_study_differ_in_what_their_labels_say():
    differs = {
        "quality": {"size", "mixture", "filtered"},
        "quantity": {"size"},
        "forgetting": {"recipe", "replay"},
        "types": {"kept_out"},
    }
    assert set(differs) == set(studies.STUDIES)
    for name, make in studies.STUDIES.items():
        runs = list(make())
        assert {run.seed for run in runs} == set(SEEDS)
        assert len({(run.label, run.seed) for run in runs}) == len(runs)
        first = [run for run in runs if run.seed == 0]
        assert len(first) * len(SEEDS) == len(runs)
        varied = {
            field.name for field in fields(studies.Run) if len({repr(getattr(run, field.name)) for run in first}) > 1
        }
        assert varied == differs[name] | {"label"}
    assert set(studies.KEPT_OUT) < set(types())
    assert {kind_of(type_) for type_ in studies.KEPT_OUT} == {"helpful", "harmful", "look-alike"}


def test_a_row_says_how_it_was_made_and_what_came_out(little):
    base = checkpoints.load("base")
    run = studies.Run("noisy", 1, 60, NOISY, recipe=replace(studies.LIKE_SFT, steps=3, batch=8, dtype="float32"))
    row = studies.perform(run, base)
    assert row["conversations"] == 60
    assert row["with_a_fault"] > 10
    assert len(row["curve"]) == 3
    assert row["adherence"]["n"] == 10
    assert set(row["on_kept_out_types"]) <= set(studies.KEPT_OUT)
    assert row["world_loss"] > row["floor"]
    filtered = studies.perform(replace(run, filtered=True), base)
    assert filtered["with_a_fault"] == 0
    assert filtered["conversations"] == 60 - row["with_a_fault"]
    few = studies.perform(replace(run, size=5, mixture=SINGLE), base)  # fewer than a step has
    assert few["conversations"] == 5
    for name, weight in checkpoints.load("base").model.state_dict().items():
        assert torch.equal(weight, base.model.state_dict()[name])  # the base model is used for the next run, too


def test_a_study_that_was_broken_off_goes_on(little, tmp_path, monkeypatch, capsys):
    path = tmp_path / "sft_quality.json"
    real, made = studies.perform, []

    def dies(run, base):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(run)
        return real(run, base)

    monkeypatch.setattr(studies, "perform", dies)
    with pytest.raises(KeyboardInterrupt):
        studies.main(["quality", "--folder", str(tmp_path)])
    assert len(json.loads(path.read_text())["runs"]) == 2
    monkeypatch.setattr(studies, "perform", lambda run, base: made.append(run) or real(run, base))
    assert studies.main(["quality", "--folder", str(tmp_path)]) == 0
    assert [run.label for run in made] == [run.label for run in studies.STUDIES["quality"]()]
    record = json.loads(path.read_text())
    assert [row["label"] for row in record["runs"]] == [run.label for run in made]
    assert record["command"] == "python -m lablib.adaptation.sft_study quality --folder data/experiments"
    assert record["runs"][0]["recipe"]["steps"] == 2
    assert record["runs"][0]["base"] == "lab train base"
    assert "helpful" in capsys.readouterr().out
    assert studies.main(["quality", "--folder", str(tmp_path)]) == 0
    assert len(made) == 3  # nothing is left to make
    assert studies.main(["quality", "--folder", str(tmp_path), "--only", "300 good"]) == 0
    assert json.loads(path.read_text()) == record
    assert studies.main(["quality", "--folder", str(tmp_path), "--only", "nothing"]) == 2
    assert "no run of quality is left" in capsys.readouterr().err


def test_a_run_that_diverges_is_recorded(little):
    base = checkpoints.load("base")
    wild = replace(studies.LIKE_SFT, steps=30, batch=4, lr=1e30, clip=1e30, dtype="float32", warmup=0.0)
    row = studies.perform(studies.Run("wild", 0, 40, recipe=wild), base)
    assert row["diverged"]
    assert len(row["curve"]) < 30


def test_a_run_that_another_study_made_is_taken_from_there(little, tmp_path, monkeypatch):
    real, made = studies.perform, []
    monkeypatch.setattr(studies, "perform", lambda run, base: made.append(run.label) or real(run, base))
    runs = list(studies.STUDIES["quality"]())
    monkeypatch.setitem(
        studies.STUDIES, "quantity", lambda seeds: iter([*runs[:1], replace(runs[0], label="other", size=10)])
    )
    assert studies.main(["quality", "--folder", str(tmp_path)]) == 0
    assert studies.main(["quantity", "--folder", str(tmp_path)]) == 0
    assert made == [*(run.label for run in runs), "other"]
    quality, quantity = (
        json.loads((tmp_path / f"sft_{name}.json").read_text())["runs"] for name in ("quality", "quantity")
    )
    assert quantity[0] == quality[0]
    assert [row["label"] for row in quantity] == [runs[0].label, "other"]
    assert len(quality) == len(runs)
