"""`lab train base`, small: it learns, goes on after an end that came too early, and its record says what was measured."""

import json
import math
from dataclasses import replace

import pytest
import torch

from lablib import checkpoints
from lablib.architecture.decoder import Decoder
from lablib.corpus.world import World
from lablib.pretraining import base
from lablib.pretraining.flops import whole_run
from lablib.pretraining.sampling import Sampling
from lablib.tokens import course_tokenizer

SMALL = ["--model", "D=16", "H=1", "L=1", "hidden=16", "context=64"]
SHORT = ["--recipe", "steps=6", "batch=2", "context=64", "dtype=float32"]


@pytest.fixture
def few(monkeypatch):
    """Fewer documents and stories to measure on."""
    monkeypatch.setattr(base, "measure", lambda model, tokenizer, whole=base.measure: whole(model, tokenizer, 60, 4))
    monkeypatch.setattr(base, "MOST", 60)


def test_the_settings_are_those_of_a_model_that_the_later_labs_can_afford():
    assert 2e6 <= base.MODEL.parameters <= 5e6
    assert 2 * base.MODEL.parameters <= 10e6  # bytes, in half precision
    assert base.MODEL.V == course_tokenizer.load().V
    tokens = base.RECIPE.steps * base.RECIPE.batch * base.RECIPE.context
    assert 5 <= tokens / base.MODEL.parameters <= 40
    assert whole_run(base.MODEL.parameters, tokens) < 2e15


def test_a_run_that_is_cut_off_goes_on_and_ends_as_one_that_is_not(few, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    whole, cut = tmp_path / "whole", checkpoints.own_path("base")
    assert base.main(["--folder", str(whole), *SMALL, *SHORT]) == 0

    def die(steps, path):
        for step in steps:
            yield step
            if step.step == 3:
                raise OSError("the light went out")

    kept = base.to_jsonl
    monkeypatch.setattr(base, "to_jsonl", lambda steps, path: die(kept(steps, path), path))
    assert base.main([*SMALL, *SHORT]) == 2
    assert "the light went out" in capsys.readouterr().err
    assert not (cut / checkpoints.RECORD).exists()
    monkeypatch.setattr(base, "to_jsonl", kept)
    assert base.main([*SMALL, *SHORT]) == 0
    assert "right stories" in capsys.readouterr().out

    mine = checkpoints.load("base")
    assert str(cut) in mine.origin
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    record = json.loads((cut / checkpoints.RECORD).read_text())
    assert record["tokens"] == 6 * 2 * 64
    assert record["parameters"] == mine.model.config.parameters
    assert record["recipe"]["steps"] == 6
    assert record["command"] == " ".join(["lab train base", *SMALL, *SHORT])
    assert record["seconds"] >= 0
    assert 7 < record["loss"] < 9
    assert record["above_floor"] == pytest.approx(record["loss"] / record["floor"] - 1, rel=1e-3)
    assert record["stories"]["n"] == 4
    assert set(record["above_floor_by_kind"]) <= set(World().kinds())


def test_a_right_story_is_one_that_the_world_could_have_written(monkeypatch):
    """What is counted, on a "model" that writes true stories and stories with a fault."""
    tokenizer, world = course_tokenizer.load(), World()
    prompts = base.begun(world, tokenizer, 6)
    assert all(len(prompt) == base.BEGUN + 1 and prompt[0] == tokenizer.special["<|bos|>"] for prompt in prompts)
    from itertools import islice
    from random import Random

    stories = [d.text for d in islice(world.documents(Random("stories to go on with"), kinds=["story"]), 6)]
    rows = [tokenizer.encode(story)[base.BEGUN :] for story in stories]
    rows[1] = rows[1][:-4] + tokenizer.encode(" banana the.")
    ended = ("stop", "stop", "stop", "length", "stop", "stop")

    class Found:
        pass

    found = Found()
    found.rows, found.ended = rows, ended
    monkeypatch.setattr(base, "generate", lambda *_, **__: found)
    seen = base.written(None, tokenizer, prompts, Sampling())
    assert (seen["n"], seen["right"]) == (6, 4)  # one has a fault, one has no end
    low, high = seen["interval_95"]
    assert low < 4 / 6 < high
    assert math.isclose(seen["share"], 4 / 6, abs_tol=1e-4)


def test_the_same_text_costs_the_same_before_and_after_the_file(tmp_path):
    """Half precision in the file, float32 in use: the weights that are measured are the weights that are loaded."""
    model = Decoder(replace(base.MODEL, D=16, H=1, L=1, hidden=16), generator=torch.Generator().manual_seed(0))
    model.load_state_dict({name: weight.half().float() for name, weight in model.state_dict().items()})
    base.save(model, tmp_path / "saved", course_tokenizer.load(), {"name": "base"})
    from lablib.architecture.llama_format import load_llama

    loaded = load_llama(tmp_path / "saved", torch.float32)
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)


def test_wrong_settings_are_named_before_anything_is_made(tmp_path, capsys):
    assert base.main(["--folder", str(tmp_path / "base"), "--recipe", "stepps=3"]) == 2
    assert "expected NAME=VALUE with one of steps" in capsys.readouterr().err
    assert not (tmp_path / "base").exists()
