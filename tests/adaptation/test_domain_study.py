"""The study of a domain, tiny: every method learns with a frozen base, a row says how it was made, a broken-off study goes on."""

import json
from dataclasses import replace

import pytest
import torch

from lablib import checkpoints
from lablib.adaptation import domain_methods as ways
from lablib.adaptation import domain_study as studies
from lablib.adaptation.domain_methods import METHODS, prepared, recipe_of
from lablib.adaptation.domain_study import Run, gain, rows_of
from lablib.adaptation.domains import ShipsLog
from lablib.adaptation.trainable import changed, copies, trainable, training_bytes
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.paths import data_path
from lablib.pretraining import base as base_command
from lablib.pretraining.batching import Batch
from lablib.pretraining.loss import quick_token_nats
from lablib.pretraining.training import train
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
SIZES = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=24, context=256)
TUNED = [name for name in METHODS if METHODS[name].family != "all weights"]


@pytest.fixture
def little(monkeypatch, tmp_path):
    """A tiny base model of the learner's own, few steps, little to judge on."""
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(studies, "JUDGED", 4)
    few = ShipsLog().questions("seen")[::40]
    monkeypatch.setattr(ShipsLog, "questions", lambda self, phrasing: [replace(q, phrasing=phrasing) for q in few])
    model = Decoder(SIZES, generator=torch.Generator().manual_seed(0))
    base_command.save(model, checkpoints.own_path("base"), TOKENIZER, {"name": "base", "command": "lab train base"})
    return checkpoints.load("base")


def batch() -> Batch:
    return rows_of(TOKENIZER, replace(ways.RECIPE, batch=2), documents=4)(0)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_prepares_a_copy_and_trains_what_it_says(method):
    base = Decoder(SIZES, generator=torch.Generator().manual_seed(0)).eval()
    before = copies(base.named_parameters())
    model = prepared(base, TOKENIZER, method, seed=3)
    frozen = copies((name, w) for name, w in model.named_parameters() if not w.requires_grad)
    learning = copies((name, w) for name, w in model.named_parameters() if w.requires_grad)
    recipe = replace(recipe_of(method, steps=2), batch=2, dtype="float32")
    losses = [step.loss for step in train(model, lambda step: batch(), recipe, loss=quick_token_nats)]
    assert losses[1] < losses[0]
    assert changed(before, dict(base.named_parameters())) == []
    assert changed(frozen, dict(model.named_parameters())) == []
    assert changed(learning, dict(model.named_parameters()))
    if method in TUNED:
        assert sum(w.numel() for w in learning.values()) == trainable(model) < 0.25 * SIZES.parameters
    else:
        assert trainable(model) == SIZES.parameters


@pytest.mark.parametrize(
    "method", [name for name in METHODS if name not in ("from scratch", "qlora nf4 r=8", "qlora int8 r=8")]
)
def test_before_training_a_method_changes_little_or_nothing(method):
    base = Decoder(SIZES, generator=torch.Generator().manual_seed(0)).eval()
    model, ids = prepared(base, TOKENIZER, method).eval(), batch().inputs
    if METHODS[method].family == "in front":
        assert model(ids).shape == (*ids.shape, TOKENIZER.V)
    else:
        assert torch.allclose(model(ids), base(ids), atol=1e-6)


def test_of_the_real_sizes_the_shares_are_those_that_the_lab_speaks_of():
    with torch.device("meta"):
        base = Decoder(base_command.MODEL)
    whole = base.config.parameters
    linear = 4 * (4 * 512 + 3 * (256 + 688))  # L · Σ (in + out)
    expected = {f"lora r={r}": r * linear for r in ways.RANKS} | {
        "dora r=8": 8 * linear + 4 * (4 * 256 + 2 * 688 + 256),
        "norms": 9 * 256,
        "biases": 4 * (4 * 256 + 2 * 688 + 256),
        "prompt P=32": 32 * 256,
        "prefix P=32": 32 * 2 * 4 * 256,
    }
    for method, count in expected.items():
        model = prepared(Decoder(base_command.MODEL), TOKENIZER, method)
        assert trainable(model) == count, method
    assert expected["lora r=4"] < 0.03 * whole < expected["lora r=8"]


def test_rates_scale_together():
    own, other = recipe_of("from scratch"), recipe_of("from scratch", lr=3 * METHODS["from scratch"].lr)
    assert other.muon_lr / own.muon_lr == pytest.approx(other.lr / own.lr) == pytest.approx(3)
    assert recipe_of("lora r=8", seed=5, steps=7).steps == 7
    with pytest.raises(ValueError, match="method = 'magic': expected one of from scratch"):
        prepared(Decoder(SIZES), TOKENIZER, "magic")


# ---------------------------------------------------------------- data


def test_a_batch_holds_whole_documents_and_replay_is_a_share_of_them():
    end, pad = TOKENIZER.special["<|bos|>"], TOKENIZER.special["<|pad|>"]
    log, counts = ShipsLog(), {0.0: 0, 0.25: 0}
    for replay in counts:
        rows = rows_of(TOKENIZER, replace(ways.RECIPE, batch=8), documents=24, replay=replay, seed=1)
        steps = 3 if replay == 0 else 4
        for step in range(steps):
            found = rows(step)
            for inputs, targets, mask in zip(found.inputs, found.targets, found.mask, strict=True):
                ids = targets[mask].tolist()
                assert inputs[0] == ids[-1] == end
                assert pad not in ids
                counts[replay] += log.log_prob(TOKENIZER.decode(ids[:-1])) == float("-inf")
    assert counts == {0.0: 0, 0.25: 8}  # of 24, and of 24 and 8
    with pytest.raises(ValueError, match="replay = 1"):
        rows_of(TOKENIZER, ways.RECIPE, replay=1.0)


def test_the_same_seed_reads_the_same():
    one, two, other = (rows_of(TOKENIZER, ways.RECIPE, 64, seed=seed)(1) for seed in (0, 0, 1))
    assert torch.equal(one.inputs, two.inputs)
    assert one.inputs.shape != other.inputs.shape or not torch.equal(one.inputs, other.inputs)


# ---------------------------------------------------------------- runs and records


def test_a_row_says_how_it_was_made_and_what_came_out(little):
    run = Run("lora", "lora r=8", 1, documents=40, steps=3)
    row = {**studies.settings_of(run, little), **studies.perform(run, little)}
    assert row["recipe"]["steps"] == 3
    assert row["recipe"]["seed"] == 1
    assert 0 < row["trainable"] < row["total"]
    model = prepared(little.model, TOKENIZER, "lora r=8", 1)
    assert row["held_bytes"] == training_bytes(model)
    assert row["domain_loss"] > row["domain_floor"] > 0
    assert row["world_loss"] > row["world_floor"] > 0
    for phrasing in ("seen", "held_out"):
        facts = row[f"facts_{phrasing}"]
        assert 0 <= facts["written"] <= facts["questions"]
        assert facts["picked_95"][0] <= facts["picked"] / facts["questions"] <= facts["picked_95"][1]
    assert [point[0] for point in row["curve"]] == [1, 2, 3]
    json.dumps(row)


def test_the_base_model_is_judged_untrained(little):
    row = studies.perform(Run("base", "base", 0), little)
    assert row["curve"] == []
    assert "trainable" not in row
    assert row["domain_loss"] > row["domain_floor"]


def test_a_run_may_be_timed_instead_of_judged(little, monkeypatch):
    monkeypatch.setattr(studies, "WARM", 1)
    row = studies.perform(Run("norms", "norms", 0, documents=40, judged="", steps=4), little)
    assert len(row["took"]) == 3
    assert min(row["took"]) <= row["step_seconds"] <= max(row["took"])
    model = prepared(little.model, TOKENIZER, "norms", 0)
    assert row["held_bytes"] == training_bytes(model)
    assert row["step_bytes"] > 8 * trainable(model)  # Adam's two moments, and more
    assert row["dtype"] in ("float32", "bfloat16")
    assert "domain_loss" not in row
    assert "ms a step" in studies.said(row)
    assert {run.method for run in studies.seconds((0,))} == set(METHODS)


def test_a_run_that_diverges_is_judged_and_says_so(little):
    row = studies.perform(Run("wild", "full tuning", 0, documents=40, lr=1e30, steps=6), little)
    assert row["diverged"]
    assert row["domain_loss"] > 0


def test_the_runs_of_a_study_differ_in_what_their_labels_say():
    for name, make in studies.STUDIES.items():
        runs = list(make((0, 1)))
        assert len({(run.label, run.seed) for run in runs}) == len(runs), name
        assert all(run.method in {"base", *METHODS} for run in runs)
    assert {run.method for run in studies.methods((0,))} == {"base", *METHODS}
    chosen, judged = {run.seed for run in studies.rates((0, 1))}, {run.judged for run in studies.rates((0, 1))}
    assert chosen == {2}  # no seed of the other studies
    assert not judged & {run.judged for run in studies.methods((0, 1))}


def test_each_method_has_the_rate_that_the_record_of_rates_says():
    record = json.loads(data_path("experiments/domain_rates.json").read_text(encoding="utf-8"))
    assert record["command"] == "python -m lablib.adaptation.domain_study rates --folder data/experiments"
    rows = record["runs"]
    assert [(row["label"], row["seed"], row["lr"]) for row in rows] == [
        (run.label, run.seed, run.lr) for run in studies.rates((0, 1, 2))
    ]
    assert studies.chosen(rows) == {name: METHODS[name].lr for name in studies.RATED}


def test_the_command_makes_a_record_and_another_rate_is_another_run(little, tmp_path, monkeypatch, capsys):
    runs, path = (
        [Run(name, name, 0, documents=40, steps=1) for name in ("norms", "biases")],
        tmp_path / "domain_methods.json",
    )
    monkeypatch.setitem(studies.STUDIES, "methods", lambda seeds: iter(runs))
    assert studies.main(["methods", "--folder", str(tmp_path)]) == 0
    record = json.loads(path.read_text())
    assert [row["label"] for row in record["runs"]] == ["norms", "biases"]
    assert record["command"] == "python -m lablib.adaptation.domain_study methods --folder data/experiments"
    assert "1/2  norms, seed 0" in capsys.readouterr().out
    before = path.read_bytes()
    assert studies.main(["methods", "--folder", str(tmp_path)]) == 0
    assert path.read_bytes() == before
    own = METHODS["norms"]
    monkeypatch.setitem(METHODS, "norms", replace(own, lr=3 * own.lr))
    assert studies.main(["methods", "--folder", str(tmp_path)]) == 0
    other, same = json.loads(path.read_text())["runs"]
    assert same == record["runs"][1]
    assert other["recipe"]["lr"] == pytest.approx(3 * record["runs"][0]["recipe"]["lr"])
    assert other["domain_loss"] != record["runs"][0]["domain_loss"]


def test_gain_is_a_share_of_full_tunings():
    base, full = {"domain_loss": 3.0}, {"domain_loss": 1.0}
    assert gain(base, base, full) == 0
    assert gain(full, base, full) == 1
    assert gain({"domain_loss": 3.5}, base, full) == -0.25
    with pytest.raises(ValueError, match="expected that full tuning gained something"):
        gain(full, full, base)
