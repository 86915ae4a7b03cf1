"""What PPO, GRPO and DPO take, tiny: the parts are those of the runs in the other records, and a row says what was timed."""

import json
from dataclasses import replace
from statistics import median

import pytest
import torch

from lablib.adaptation.chat import STOP
from lablib.alignment import dpo_study, rlhf_runs, rlhf_study
from lablib.alignment import seconds_study as studies
from lablib.alignment.preference_pairs import Preference
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.checkpoints import Carried
from lablib.corpus.sources.conversations import Turn
from lablib.pretraining.study import SEEDS
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()


def pair(number: int) -> Preference:
    prompt, texts = (Turn("user", f"Question {number}?"),), (f"Yes, {number}.", f"No, {number}.")
    ids = [(*TOKENIZER.encode(text), TOKENIZER.special[STOP]) for text in texts]
    return Preference(prompt, *texts, tuple(TOKENIZER.encode(prompt[0].text)), *ids, "somebody", None)


@pytest.fixture
def little(monkeypatch):
    """A tiny tuned model, a few pairs, two steps of few answers."""
    model = Decoder(DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)).eval()
    sft = Carried(model.requires_grad_(False), TOKENIZER, {"command": "lab train sft"}, "a tiny one")
    pairs = [pair(i) for i in range(12)]
    monkeypatch.setattr(dpo_study, "tuned", lambda: sft)
    monkeypatch.setattr(dpo_study, "pairs_of", lambda seed, n: (pairs[:8], pairs[8:]))
    monkeypatch.setattr(dpo_study, "LIKE_DPO", replace(dpo_study.LIKE_DPO, batch=2, dtype="float32"))
    monkeypatch.setattr(studies, "collected", lambda seed, n: pairs)
    monkeypatch.setattr(studies, "reward_model", lambda seed, member: None)
    monkeypatch.setattr(studies, "score_of", lambda kind, seed: lambda rollout: torch.ones(len(rollout.responses)))
    monkeypatch.setattr(studies, "rival", shortened(studies.rival))
    monkeypatch.setattr(studies, "WARM", 1)
    monkeypatch.setattr(studies, "TIMED", 2)
    dpo_study.table_of.cache_clear()
    yield sft
    dpo_study.table_of.cache_clear()


def shortened(real):
    def rival(name):
        settings, _ = real(name)
        return replace(settings, most=4, **({"per_prompt": 2} if name == "GRPO" else {})), 2

    return rival


def test_every_part_is_timed_for_every_seed_in_turn():
    runs = list(studies.seconds())
    assert [run.seed for run in runs] == sorted([*SEEDS] * len(studies.PARTS))
    assert [run.part for run in runs] == [*studies.PARTS] * len(SEEDS)


def test_the_parts_are_those_of_the_other_records():
    rows = {name: studies.rival(name) for name in ("PPO", "GRPO")}
    for name, (settings, prompts) in rows.items():
        (run,) = [run for run in rlhf_study.grpo((1,)) if run.label == f"{name}, learned"]
        assert (settings, prompts) == (run.settings, run.prompts)
    assert rows["PPO"][1] == rows["GRPO"][1] * rows["GRPO"][0].per_prompt  # equally many answers a step
    against = next(iter(dpo_study.against()))
    assert against.recipe == dpo_study.LIKE_DPO
    assert against.pairs == rlhf_runs.PAIRS


@pytest.mark.parametrize("part", studies.PARTS)
def test_a_row_says_what_was_timed(little, part):
    before = [weight.clone() for weight in little.model.parameters()]
    row = studies.perform(studies.Run(part, 0, part), little)
    if part in ("pairs", "reward model", "table"):
        assert row["of"] == {"pairs": 12, "reward model": rlhf_runs.PAIRS, "table": 8}[part]
        assert row["seconds"] >= 0
    else:
        assert row["steps"] == (4 if part == "DPO" else rlhf_study.PLAIN.steps)  # of a whole run, not of the timed one
        assert row["answers"] == (2 if part == "PPO" else 4)
        assert len(row["took"]) == 2
        assert row["step_seconds"] == pytest.approx(median(row["took"]), abs=1e-4)
        assert row["step_seconds"] > 0
    assert all(torch.equal(a, b) for a, b in zip(before, little.model.parameters(), strict=True))
    assert studies.said(row)
    json.dumps({**studies.settings_of(studies.Run(part, 0, part), little), **row})


def test_no_part_stands_for_another(little, tmp_path, monkeypatch):
    """Rows are known by their settings, of which the label is none."""
    monkeypatch.setattr(studies, "tuned", lambda: little)
    assert studies.main(["seconds", "--folder", str(tmp_path), "--seeds", "0"]) == 0
    rows = json.loads((tmp_path / "rlhf_seconds.json").read_text(encoding="utf-8"))["runs"]
    assert [row["part"] for row in rows] == [row["label"] for row in rows] == [*studies.PARTS]
    assert all(("took" in row) == (row["part"] in ("PPO", "GRPO", "DPO")) for row in rows)
