"""`lab train sft`, small: it goes on after an end that came too early, and its record says what was measured."""

import json

import pytest
import torch

from lablib import checkpoints
from lablib.adaptation import sft_command as command
from lablib.adaptation.chat import Turn, render
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining import base as base_command
from lablib.pretraining.generation import generate
from lablib.tokens import course_tokenizer

SHORT = ["--recipe", "steps=6", "batch=4", "context=192", "dtype=float32"]
TOKENIZER = course_tokenizer.load()


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A tiny base model of the learner's own, and little to measure on."""
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(command, "PROMPTS", 12)
    monkeypatch.setattr(command, "DOCUMENTS", 10)
    monkeypatch.setattr(command, "CRITIQUES", 2)
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)
    model = Decoder(config, generator=torch.Generator().manual_seed(0))
    base_command.save(model, checkpoints.own_path("base"), TOKENIZER, {"name": "base", "command": "lab train base"})


def test_a_run_that_is_cut_off_goes_on_and_ends_as_one_that_is_not(little, monkeypatch, tmp_path, capsys):
    whole, cut = tmp_path / "whole", checkpoints.own_path("sft")
    assert command.main(["--folder", str(whole), *SHORT, "--data", "along=0.25"]) == 0

    def die(steps, path):
        for step in steps:
            yield step
            if step.step == 3:
                raise OSError("the light went out")

    kept = command.to_jsonl
    monkeypatch.setattr(command, "to_jsonl", lambda steps, path: die(kept(steps, path), path))
    assert command.main([*SHORT, "--data", "along=0.25"]) == 2
    assert "the light went out" in capsys.readouterr().err
    assert not (cut / checkpoints.RECORD).exists()
    monkeypatch.setattr(command, "to_jsonl", kept)
    assert command.main([*SHORT, "--data", "along=0.25"]) == 0
    assert "helpful" in capsys.readouterr().out

    mine = checkpoints.load("sft")
    assert str(cut) in mine.origin
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    record = json.loads((cut / checkpoints.RECORD).read_text())
    assert record["command"] == " ".join(["lab train sft", *SHORT, "--data along=0.25"])
    assert record["mixture"]["along"] == 0.25
    assert record["recipe"]["steps"] == 6
    assert record["from"]["command"] == "lab train base"
    assert record["parameters"] == mine.model.config.parameters
    assert record["adherence"]["n"] == 12
    assert record["adherence"]["helpful"][0] == 0  # it has learned nothing in six steps
    assert set(record["adherence"]) == {"n", "helpful", "honest", "harmless", "right"}
    assert record["world_loss"] > record["floor"] > 0
    assert record["world_loss_before"] != record["world_loss"]
    assert set(record["verdicts_right"]) == {"none", "wrong", "guess", "refusal", "along.harmful", "along.private"}
    assert "adherence_on_held_out_types" not in record


def test_other_settings_do_not_go_on_with_an_old_run(little, capsys):
    assert command.main(SHORT) == 0
    assert command.main([*SHORT, "--data", "wrong=0.5"]) == 2
    assert "was begun with other settings" in capsys.readouterr().err


def test_held_out_types_are_measured(little, tmp_path, monkeypatch):
    asked = []
    real = command.adh.scored
    monkeypatch.setattr(command.adh, "scored", lambda m, t, one, *rest: asked.append(one) or real(m, t, one, *rest))
    assert command.main(["--folder", str(tmp_path / "sft"), *SHORT, "--without", "sum", "count"]) == 0
    record = json.loads((tmp_path / "sft" / "record.json").read_text())
    assert record["without"] == ["sum", "count"]
    assert record["adherence_on_held_out_types"]["n"] == 12
    assert {one.type for one in asked[-1]} == {"sum", "count"}
    assert all({one.type for one in some}.isdisjoint({"sum", "count"}) for some in asked[:-1])


def test_transformers_reads_the_folder_and_stops_where_we_stop(little, tmp_path):
    folder = tmp_path / "sft"
    assert command.main(["--folder", str(folder), *SHORT]) == 0
    from transformers import LlamaForCausalLM

    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    stop = TOKENIZER.special["<|end|>"]
    assert theirs.config.eos_token_id == stop
    ids = render([Turn("user", "Where does Mirabe live?")], TOKENIZER, reply=True)
    from lablib.architecture.llama_format import load_llama

    mine = generate(load_llama(folder, torch.float32).eval(), [ids], 8, stop=[stop]).ids[0].tolist()
    other = theirs.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :].tolist()
    assert other == mine


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "stepps=3"], "expected NAME=VALUE with one of steps"),
        (["--data", "lies=0.5"], "expected NAME=VALUE with one of critique"),
        (["--data", "wrong=5"], "wrong = 5: expected a share from 0 to 1"),
        (["--without", "poem"], "expected some, but not all, of home"),
        (["--base", "nobody"], "name = 'nobody'"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_made(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path))
    assert command.main([*SHORT[:1], *SHORT[1:], *arguments] if "--recipe" not in arguments else arguments) == 2
    assert message in capsys.readouterr().err
    assert not checkpoints.own_path("sft").exists()
