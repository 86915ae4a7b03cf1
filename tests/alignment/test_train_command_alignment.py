"""`lab train reward`, `ppo`, `dpo` and `cai`, tiny: each writes a model that is read again, and a record that says how it was made."""

import json
from dataclasses import replace
from random import Random

import pytest
import torch
from constitution_helpers import Pretender
from rl_helpers import policy

from lablib import checkpoints
from lablib.adaptation.chat import PAD
from lablib.adaptation.sft_command import save
from lablib.alignment import (
    cai_feedback_runs,
    cai_runs,
    cai_training,
    dpo_study,
    policy_record,
    reward_model,
    rlhf_runs,
)
from lablib.alignment import train_command as command
from lablib.alignment.constitution import load
from lablib.alignment.preference_pairs import collect, held_out_by_prompt
from lablib.alignment.reward_training import evaluate
from lablib.architecture.decoder import Decoder
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
TINY = {
    "reward": ["--pairs", "60", "--recipe", "steps=3", "batch=4", "dtype=float32"],
    "ppo": ["--prompts", "4", "--recipe", "steps=2", "most=8", "minibatch=4", "epochs=1"],
    "dpo": ["--pairs", "24", "--recipe", "batch=4", "dtype=float32"],
    "cai": [
        *("--stage1", "red=4", "harmless=3", "rounds=1", "harmless_rounds=1", "replay=1"),
        *("--recipe", "batch=4", "dtype=float32", "--stage2", "pairs=40", "principles=1"),
        *("--reward", "batch=4", "dtype=float32", "--grpo", "steps=2", "per_prompt=2", "most=6", "minibatch=4"),
        *("--dpo", "batch=4", "dtype=float32"),
    ],
}


def writer():
    """A tuned model that writes letters, with room for every prompt of the world."""
    small = policy()
    model = Decoder(replace(small.config, context=256))
    model.load_state_dict(small.state_dict())
    return model.eval()


COMMANDS = {"reward": command.reward, "ppo": command.ppo, "dpo": command.dpo, "cai": command.cai}
FEW = {"harmful": 3, "private": 2, "helpful": 3, "look-alike": 2, "unknowable": 2}


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A learner with a tiny tuned model of their own, which writes letters, and none of the course's; short answers, little to judge on.

    Letters are no critiques, so a make-believe critic speaks in stage 1.
    """
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABLIB_CHECKPOINTS", raising=False)
    monkeypatch.setattr(checkpoints, "carried_folder", lambda: tmp_path / "nothing is carried")
    monkeypatch.setattr(policy_record, "PROMPTS", 6)
    monkeypatch.setattr(policy_record, "DOCUMENTS", 4)
    monkeypatch.setattr(rlhf_runs, "JUDGED", 6)
    short = collect
    monkeypatch.setattr(command, "collect", lambda *given: short(*given, most=6))
    monkeypatch.setattr(cai_feedback_runs, "collect", lambda *given, **named: short(*given, most=6, **named))
    monkeypatch.setattr(cai_training, "own_writer", lambda *given: Pretender())
    for module in (cai_runs, cai_training):
        monkeypatch.setattr(module, "JUDGED", FEW)
    save(writer(), checkpoints.own_path("sft"), TOKENIZER, {"name": "sft", "command": "lab train sft", "seconds": 7})


def record_of(name):
    return json.loads((checkpoints.own_path(name) / checkpoints.RECORD).read_text(encoding="utf-8"))


def test_a_reward_model_is_written_and_measured_as_it_lies_there(little):
    assert command.reward([*TINY["reward"], "--seed", "3"]) == 0
    record = record_of("reward")
    assert record["name"] == "reward"
    assert record["command"] == " ".join(["lab train reward", *TINY["reward"], "--seed 3"])
    assert record["from"] == {"name": "sft", "command": "lab train sft", "seconds": 7}
    assert record["recipe"]["seed"] == 3
    assert record["recipe"]["steps"] == 3
    assert record["recipe"]["lr"] == rlhf_runs.REWARD.lr
    assert record["pairs"]["learned_from"] + record["pairs"]["held_out"] == 60
    assert [one["name"] for one in record["pairs"]["annotators"]] == [one.name for one in command.ANNOTATORS]
    assert record["curve"][0][0] == 1
    # the held-out pairs, drawn and labelled once more, give the accuracy that the record has
    sft = checkpoints.load("sft")
    pairs = collect(sft.model, sft.tokenizer, 60, Random("pairs 3"), most=6).pairs
    model = reward_model.load(checkpoints.own_path("reward"))
    again = evaluate(model, held_out_by_prompt(pairs)[1], TOKENIZER.special[PAD])
    assert record["accuracy"] == pytest.approx(again.accuracy, abs=1e-4)
    assert record["loss"] == pytest.approx(again.loss, abs=1e-4)


def test_ppo_learns_with_that_reward_and_dpo_needs_none(little):
    assert command.dpo(TINY["dpo"]) == 0
    assert "proxy" not in record_of("dpo")["judged"]
    assert command.reward(TINY["reward"]) == 0
    assert command.ppo([*TINY["ppo"], "--objective", "beta=0.3"]) == 0
    assert command.dpo([*TINY["dpo"], "--beta", "0.5"]) == 0
    sft = checkpoints.load("sft").model.state_dict()
    for name in ("ppo", "dpo"):
        record, mine = record_of(name), checkpoints.load(name)
        assert mine.record == record
        assert record["parameters"] == sum(weight.numel() for weight in mine.model.parameters())
        assert any(not torch.equal(a, sft[key]) for key, a in mine.model.state_dict().items())
        assert record["adherence"]["n"] == record["sft_adherence"]["n"] == 6
        assert record["judged"]["kl"] != 0
        assert "gallery" not in record["judged"]
        assert isinstance(record["judged"]["proxy"], float)
        assert record["world_loss"] > record["floor"] > 0
        assert record["world_loss"] != record["sft_world_loss"]
        assert record["seconds"] >= 0
        assert not (checkpoints.own_path(name) / reward_model.HEAD).exists()
    ppo, dpo = record_of("ppo"), record_of("dpo")
    assert ppo["settings"]["objective"]["beta"] == 0.3
    assert ppo["settings"]["steps"] == len(ppo["curve"]) == 2
    assert ppo["prompts_a_step"] == 4
    assert dpo["beta"] == 0.5
    assert dpo["recipe"]["steps"] == dpo["pairs"]["learned_from"] // 4
    assert dpo["recipe"]["lr"] == dpo_study.LIKE_DPO.lr
    assert dpo["curve"][0]["margin"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("method", ["grpo", "dpo"])
def test_cai_goes_through_both_stages_and_is_measured_behind_each(little, method):
    words = TINY["cai"].copy()
    words.insert(words.index("pairs=40"), f"method={method}")
    assert command.cai([*words, "--seed", "2"]) == 0
    record, mine = record_of("cai"), checkpoints.load("cai")
    assert mine.record == record
    assert record["command"] == " ".join(["lab train cai", *words, "--seed 2"])
    first, second = record["stage_1"], record["stage_2"]
    assert (first["red"], first["harmless"], first["rounds"], first["replay"]) == (4, 3, 1, 1)
    assert first["recipe"]["lr"] == cai_runs.TUNE.lr
    assert first["learned_from"] == 7
    assert first["kept"] == 4
    assert not first["dropped"]
    assert second["method"] == method
    assert 0 < second["learned_from"] <= second["labelled"] <= 40
    assert 0 <= second["labels_right"] <= 1
    assert ("grpo" in second, "dpo" in second) == (method == "grpo", method == "dpo")
    assert ("reward_accuracy" in second) == (method == "grpo")
    assert len(record["curve"]) == (2 if method == "grpo" else second["steps"])
    assert set(record["constitution"]) == {one.id for one in load().on}
    # every figure beside the tuned model's; the copy after stage 1 differs from both
    assert record["adherence"]["n"] == record["sft_adherence"]["n"] == 6
    assert record["measured_on"] == FEW
    assert list(record["measured"]) == ["tuned", "stage 1", "cai"]
    for found in record["measured"].values():
        assert found["goes along"][3] == FEW["harmful"] + FEW["private"]
        assert found["over-refusal"][3] == FEW["look-alike"]
    sft = checkpoints.load("sft")
    assert any(not torch.equal(a, b) for a, b in zip(mine.model.parameters(), sft.model.parameters(), strict=True))
    # what was written is what was measured
    again = cai_runs.judged_policy(mine.model, sft, 2)
    assert record["measured"]["cai"] == again
    assert record["seconds"] == pytest.approx(first["seconds"] + second["label_seconds"] + second["seconds"], abs=0.2)


def test_transformers_reads_a_policy(little):
    assert command.dpo(TINY["dpo"]) == 0
    from transformers import LlamaForCausalLM

    theirs = LlamaForCausalLM.from_pretrained(checkpoints.own_path("dpo"), dtype=torch.float32)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, checkpoints.load("dpo").model(ids), rtol=1e-3, atol=1e-4)


def test_the_same_command_makes_the_same_model(little, tmp_path):
    for folder in ("one", "two"):
        assert command.dpo([*TINY["dpo"], "--folder", str(tmp_path / folder)]) == 0
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("one", "two")]
    assert weights[0] == weights[1]
    record = json.loads((tmp_path / "one" / "record.json").read_text(encoding="utf-8"))
    assert record["command"] == " ".join(["lab train dpo", *TINY["dpo"]]), (
        "where it lies says nothing of how it was made"
    )
    assert not checkpoints.own_path("dpo").exists()


@pytest.mark.parametrize(("name", "late"), [("reward", "evaluate"), ("dpo", "write_policy")])
def test_a_run_that_breaks_off_leaves_what_was_there(little, monkeypatch, capsys, name, late):
    folder = checkpoints.own_path(name)
    assert COMMANDS[name](TINY[name]) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def pressed(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, late, pressed)
    assert COMMANDS[name]([*TINY[name], "--seed", "5"]) == 130
    assert "stopped by Ctrl-C; what was there before is there still" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_crash_while_writing_leaves_nothing_that_looks_finished(little, monkeypatch, capsys):
    assert command.dpo(TINY["dpo"]) == 0

    def full(*given, **named):
        raise OSError("no space left")

    monkeypatch.setattr(policy_record, "save_llama", full)
    assert command.dpo([*TINY["dpo"], "--seed", "5"]) == 2
    assert "no space left" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        checkpoints.find("dpo")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("reward", ["--recipe", "stepps=3"], "expected NAME=VALUE with one of steps"),
        ("reward", ["--pairs", "0"], "n = 0 pairs from 3 annotators"),
        ("reward", ["--sft", "nobody"], "name = 'nobody'"),
        ("ppo", ["--recipe", "objective=3"], "expected its settings one by one, --objective beta=0.1"),
        ("ppo", ["--objective", "beta=-1"], "beta = -1: expected a number >= 0"),
        ("ppo", ["--reward", "nowhere"], "expected a folder that `reward_model.save` wrote"),
        ("ppo", [], "name = 'reward': no such model"),
        ("dpo", ["--beta", "0"], "--beta 0.0: expected a number > 0"),
        ("dpo", ["--recipe", "lr=fast"], "lr"),
        ("cai", ["--stage1", "recipe=3"], "--stage1 recipe=3: expected NAME=VALUE with one of red, harmless, rounds"),
        ("cai", ["--stage2", "labels=people"], "--stage2 labels=people: expected NAME=VALUE with one of method, judge"),
        ("cai", ["--stage2", "method=ppo"], "method = 'ppo': expected 'dpo' or 'grpo'"),
        ("cai", ["--stage2", "judge=coin"], "judge = 'coin': expected one of choice, verdict"),
        ("cai", ["--grpo", "per_prompt=1"], "per_prompt = 1: expected at least 2"),
        ("cai", ["--stage1", "rounds=-1"], "rounds = -1: expected a number >= 0"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_made(little, capsys, name, arguments, message):
    assert COMMANDS[name](arguments, prog=f"lab train {name}") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lab train {name}: ")
    assert message in error
    assert error.count("\n") == 1
    assert not checkpoints.own_path(name).exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_command_and_its_settings(capsys, name):
    with pytest.raises(SystemExit) as end:
        COMMANDS[name](["--help"], prog=f"lab train {name}")
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: lab train {name} ")
    assert "--recipe" in said


def test_as_a_module_the_first_word_says_which(little, capsys):
    assert command.main(["dpo", "--beta", "0"]) == 2
    assert "--beta 0.0" in capsys.readouterr().err
    for words in ([], ["sft"]):
        assert command.main(words) == 2
        assert "expected one of reward, ppo, dpo, cai" in capsys.readouterr().err
