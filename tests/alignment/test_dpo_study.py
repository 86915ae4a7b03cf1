"""Lab 13's studies, tiny: what each compares, labels that are turned round, and that a row says how it was made."""

import json
from dataclasses import fields, replace
from random import Random

import pytest
import torch

from lablib.adaptation.chat import STOP
from lablib.alignment import dpo_study as studies
from lablib.alignment.preference_pairs import Preference
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.checkpoints import Carried
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world.judge import Judgement
from lablib.pretraining.study import SEEDS
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()


def pair(number: int, chosen: float, rejected: float) -> Preference:
    prompt = (Turn("user", f"Question {number}?"),)
    texts = (f"Yes, {number}.", f"No, {number}.")
    ids = [(*TOKENIZER.encode(text), TOKENIZER.special[STOP]) for text in texts]
    scores = Judgement(chosen, 1.0, 1.0), Judgement(rejected, 1.0, 1.0)
    asked = tuple(TOKENIZER.encode(prompt[0].text))
    return Preference(prompt, *texts, asked, ids[0], ids[1], "somebody", scores)


def test_the_runs_of_a_study_differ_in_what_their_labels_say():
    differs = {
        "rates": {"recipe"},
        "beta": {"method", "strength", "epsilon"},
        "noise": {"method", "epsilon", "flips"},
        "relatives": {"method", "strength"},
        "against": {"strength"},
    }
    assert set(differs) == set(studies.STUDIES)
    for name, make in studies.STUDIES.items():
        runs = list(make())
        assert len({(run.label, run.seed) for run in runs}) == len(runs)
        assert {run.seed for run in runs} == ({0} if name == "rates" else set(SEEDS))
        first = [run for run in runs if run.seed == 0]
        varied = {
            field.name for field in fields(studies.Run) if len({repr(getattr(run, field.name)) for run in first}) > 1
        }
        assert varied - {"label"} == differs[name]
        assert all(run.method in studies.LOSSES for run in runs)


def test_a_turned_pair_is_the_same_pair_the_other_way_round():
    one = pair(1, 1.0, 0.0)
    back = studies.turned(one)
    assert (back.chosen, back.chosen_ids) == (one.rejected, one.rejected_ids)
    assert back.gold_difference() == -one.gold_difference() < 0
    assert studies.turned(back) == one


def test_gold_labels_are_turned_round_as_often_as_stated():
    pairs = [pair(i, float(i % 3 == 0), float(i % 3 == 1)) for i in range(3000)]  # better, worse, equal
    true = studies.gold_labelled(pairs, 0.0, Random(0))
    assert len(true) == 2000
    assert all(one.gold_difference() > 0 for one in true)
    noisy = studies.gold_labelled(pairs, 0.2, Random(0))
    assert [one.prompt for one in noisy] == [one.prompt for one in true]
    wrong = sum(one.gold_difference() < 0 for one in noisy)
    assert abs(wrong - 400) < 4 * (2000 * 0.2 * 0.8) ** 0.5
    # a larger share turns the same ones, and more: so the runs of a sweep differ in nothing else
    more = studies.gold_labelled(pairs, 0.4, Random(0))
    assert all(a == b for a, b in zip(noisy, more, strict=True) if a.gold_difference() < 0)
    with pytest.raises(ValueError, match=r"flips = 0\.5: expected a share"):
        studies.gold_labelled(pairs, 0.5, Random(0))


@pytest.fixture
def little(monkeypatch):
    """A tiny tuned model, few pairs, little to judge on."""
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).eval()
    sft = Carried(model, TOKENIZER, {"command": "lab train sft"}, "a tiny one")
    pairs = [pair(i, float(i % 2), float(not i % 2)) for i in range(12)]
    monkeypatch.setattr(studies, "tuned", lambda: sft)
    monkeypatch.setattr(studies, "pairs_of", lambda seed, n: (pairs[:8], pairs[8:]))
    after = {"proxy": 0.0, "gold": [0.5, 0.4, 0.6], "kl": 0.1, "gallery": []}
    monkeypatch.setattr(studies, "judged", lambda *given: dict(after))
    studies.table_of.cache_clear()
    yield sft
    studies.table_of.cache_clear()


SHORT = replace(studies.LIKE_DPO, batch=4, dtype="float32")


@pytest.mark.parametrize("method", studies.LOSSES)
def test_a_row_has_what_the_lab_draws(little, method):
    run = studies.Run("one", 1, method, 0.5, 0.1 if method in ("smoothed", "robust") else 0.0, recipe=SHORT)
    before = [weight.clone() for weight in little.model.parameters()]
    row = studies.perform(run, little)
    assert all(torch.equal(a, b) for a, b in zip(before, little.model.parameters(), strict=True))
    assert row["learned_from"] == 8
    assert len(row["curve"]) == 2
    assert row["held_out"]["n"] == 4
    assert row["held_out"]["chosen_moved"] != 0
    assert "proxy" not in row["after"]
    assert row["curve"][0]["margin"] == pytest.approx(0, abs=1e-3)
    json.dumps(row)


def test_the_command_makes_each_run_once(little, tmp_path, monkeypatch):
    runs = [studies.Run("a", 0, recipe=SHORT), studies.Run("b", 0, strength=0.5, flips=0.1, recipe=SHORT)]
    made, real = [], studies.perform
    monkeypatch.setattr(studies, "tuned", lambda: little)
    monkeypatch.setattr(studies, "perform", lambda run, sft: made.append(run.label) or real(run, sft))
    monkeypatch.setitem(studies.STUDIES, "beta", lambda seeds: iter(runs))
    assert studies.main(["beta", "--folder", str(tmp_path), "--only", "a"]) == 0
    assert studies.main(["beta", "--folder", str(tmp_path)]) == 0
    assert made == ["a", "b"]
    record = json.loads((tmp_path / "dpo_beta.json").read_text(encoding="utf-8"))
    assert [row["label"] for row in record["runs"]] == ["a", "b"]
    assert record["command"] == "python -m lablib.alignment.dpo_study beta --folder data/experiments"
