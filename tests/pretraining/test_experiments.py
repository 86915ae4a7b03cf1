"""The recorded experiments: runs differ in what their label says and in nothing else, and are made as they are written down."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from lablib import paths
from lablib.architecture.gpt2 import GPT2
from lablib.corpus.world import World
from lablib.pretraining import experiments
from lablib.pretraining.experiments import EXPERIMENTS, MUON, SMALL, Run, judged_on, perform, world_shard
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.shards import open_shard
from lablib.tokens import course_tokenizer

RUNS = {name: list(make()) for name, make in EXPERIMENTS.items()}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_has_its_own_label_and_each_label_three_seeds(name):
    labels = [(run.label, run.seed) for run in RUNS[name]]
    assert len(set(labels)) == len(labels) > 10
    assert all((label, seed) in labels for label, _ in labels for seed in experiments.SEEDS)
    assert all(run.recipe.seed == run.seed for run in RUNS[name])
    same = {}
    for run in RUNS[name]:
        settled = (run.model, replace(run.recipe, seed=0), run.with_)
        assert same.setdefault(run.label, settled) == settled  # seeds differ in nothing else


@pytest.mark.parametrize("name", ["learning_rate", "blocks", "ingredients"])
def test_what_is_compared_has_equal_compute(name):
    assert len({run.tokens for run in RUNS[name]}) == 1
    sizes = {
        sum(weight.numel() for weight in run.build().parameters()) for run in {r.label: r for r in RUNS[name]}.values()
    }
    assert max(sizes) / min(sizes) < 1.02


def test_gpt2_runs_are_gpt2s():
    assert {type(run.build()) is GPT2 for run in RUNS["blocks"] if run.label.startswith("gpt2")} == {True}
    assert {type(run.build()) is GPT2 for run in RUNS["blocks"] if run.label.startswith("llama")} == {False}


def test_the_ingredients_are_in_the_runs_that_name_them():
    runs = {run.label: run for run in RUNS["ingredients"]}
    assert runs["none"].with_ == ()
    assert (runs["none"].recipe.optimiser, runs["none"].recipe.schedule) == (
        "adamw",
        "cosine",
    )
    assert set(runs["all"].with_) == {"qk_norm", "zero_init", "relu2"}
    assert (runs["all"].recipe.optimiser, runs["all"].recipe.schedule) == ("muon", "wsd")
    assert set(runs["all without relu2"].with_) == {"qk_norm", "zero_init"}
    assert runs["none with relu2"].with_ == ("relu2",)
    assert runs["all without muon"].recipe.optimiser == "adamw"
    assert runs["none with muon"].recipe.optimiser == "muon"
    assert runs["all without wsd"].recipe.schedule == "cosine"
    assert runs["none with wsd"].recipe.schedule == "wsd"


def test_the_scaling_runs_span_sizes_and_tokens():
    matrices = {run.model.parameters - run.model.V * run.model.D for run in RUNS["scaling"]}
    assert len(matrices) >= 5
    assert max(matrices) / min(matrices) > 20
    assert len({run.tokens for run in RUNS["scaling"]}) >= 3, "with two lengths E and B/D^β cannot be told apart"


# ---------------------------------------------------------------- how a run is made


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return world_shard(tmp_path_factory.mktemp("experiments") / "train.bin", 20_000)


TINY = replace(SMALL, D=16, H=2, L=1, hidden=16, context=32)
SHORT = replace(MUON, steps=8, batch=4, context=32)


def test_a_shard_has_at_least_the_tokens_asked_for_and_is_the_same_each_time(shard, tmp_path):
    assert 20_000 < len(shard) < 20_400
    assert world_shard(tmp_path / "again.bin", 20_000).sha256 == shard.sha256
    assert world_shard(tmp_path / "other.bin", 20_000, seed=1).sha256 != shard.sha256


def test_runs_are_judged_on_documents_drawn_apart(shard):
    judged, world, tokenizer = judged_on(50), World(), course_tokenizer.load()
    read = tokenizer.decode(shard.tokens.tolist())
    assert sum(document.text in read for document in judged) < 5, "a short text may come twice"
    assert all(world.log_prob(document.text) > -math.inf for document in judged[:10])
    assert [document.text for document in judged_on(50)] == [document.text for document in judged]


def test_a_run_learns_and_its_row_says_how_it_was_made(shard):
    documents = judged_on(20)
    untrained = perform(Run("tiny", 0, TINY, replace(SHORT, lr=1e-9, muon_lr=1e-9)), [shard], documents)
    row = perform(Run("tiny", 0, TINY, replace(SHORT, steps=60, lr=0.02)), [shard], documents)
    assert row["loss"] < untrained["loss"] - 0.5
    assert row["floor"] == untrained["floor"] < row["loss"]
    assert row["tokens"] == 60 * 4 * 32 == row["curve"][-1][0]
    assert row["model"] == asdict(TINY)
    assert row["recipe"]["steps"] == 60
    assert row["diverged"] == ""
    assert row["parameters"] == TINY.parameters
    assert row["matrices"] == TINY.L * (4 * TINY.D**2 + 3 * TINY.D * TINY.hidden)
    assert json.loads(json.dumps(row)) == row


def test_a_run_that_diverges_has_no_loss_and_says_so(shard):
    row = perform(Run("wild", 0, TINY, replace(SHORT, optimiser="adamw", lr=1e30, clip=1e30)), [shard], judged_on(5))
    assert row["loss"] is None
    assert row["diverged"]


def test_several_processes_make_the_same_rows_as_one(shard):
    runs = [Run(f"run {seed}", seed, TINY, replace(SHORT, seed=seed)) for seed in range(3)]
    threads = torch.get_num_threads()
    rows = {row["label"]: row for row in experiments.perform_all(runs, [shard.path], processes=2)}
    assert set(rows) == {run.label for run in runs}
    assert torch.get_num_threads() == threads
    alone = perform(runs[1], [open_shard(shard.path)], judged_on())
    assert rows["run 1"]["loss"] == pytest.approx(alone["loss"], rel=1e-4)


def test_the_command_writes_what_it_ran(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(
        EXPERIMENTS, "blocks", lambda: iter([Run(f"run {i}", i, TINY, replace(SHORT, seed=i)) for i in (0, 1)])
    )
    assert experiments.main(["blocks", "--folder", str(tmp_path / "records")]) == 0
    record = json.loads((tmp_path / "records" / "blocks.json").read_text())
    assert [(row["label"], row["seed"]) for row in record["runs"]] == [("run 0", 0), ("run 1", 1)]
    assert record["experiment"] == "blocks"
    assert "torch" in record["hardware"]
    assert "blocks" in record["command"]
    assert experiments.main(["blocks", "--folder", str(tmp_path / "none"), "--only", "nothing"]) == 2
    assert "no run is left" in capsys.readouterr().err


def test_runs_that_only_leaves_out_stay_in_the_record(monkeypatch, tmp_path):
    made = []

    def perform_all(runs, shards, processes):
        for run in runs:
            made.append(run)
            yield {"label": run.label, "seed": run.seed, "loss": len(made)}

    monkeypatch.setattr(experiments, "perform_all", perform_all)
    runs = [
        Run(label, seed, TINY, replace(SHORT, seed=seed, lr=lr))
        for label, lr in (("a", 1e-3), ("b", 2e-3))
        for seed in (0, 1)
    ]
    monkeypatch.setitem(EXPERIMENTS, "blocks", lambda: iter(runs))
    for only in (["--only", "b"], ["--only", "a"], ["--only", "b"]):
        assert experiments.main(["blocks", "--folder", str(tmp_path), *only]) == 0
    rows = json.loads((tmp_path / "blocks.json").read_text())["runs"]
    assert [(row["label"], row["seed"]) for row in rows] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert {row["loss"] for row in rows[:2]} == {3, 4}
    assert {row["loss"] for row in rows[2:]} == {5, 6}, "made anew"
    assert experiments.main(["blocks", "--folder", str(tmp_path)]) == 0
    assert len(made) == 10, "without it, all are made anew"


def test_a_run_that_two_experiments_have_in_common_is_made_once(monkeypatch, tmp_path, capsys):
    other = replace(SHORT, lr=1e-2)
    for name, labels in (("blocks", ("here", "alone")), ("scaling", ("there",))):
        runs = [Run(label, 0, TINY, other if label == "alone" else SHORT) for label in labels]
        monkeypatch.setitem(EXPERIMENTS, name, lambda runs=runs: iter(runs))
    assert experiments.main(["blocks", "scaling", "--folder", str(tmp_path)]) == 0
    assert "2/2" in capsys.readouterr().out
    blocks, scaling = (json.loads((tmp_path / f"{name}.json").read_text())["runs"] for name in ("blocks", "scaling"))
    assert [row["label"] for row in blocks] == ["here", "alone"]
    assert scaling == [{**blocks[0], "label": "there"}]
    assert blocks[1]["loss"] != blocks[0]["loss"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_carried_record_is_of_the_runs_that_stand_here(name):
    record = json.loads(paths.data_path(f"experiments/{name}.json").read_text(encoding="utf-8"))
    assert [(row["label"], row["seed"]) for row in record["runs"]] == [(run.label, run.seed) for run in RUNS[name]]
    for row, run in zip(record["runs"], RUNS[name], strict=True):
        assert Recipe.from_dict(row["recipe"]).differences(run.recipe) == []
        assert row["model"] == asdict(run.model)
        assert row["with"] == list(run.with_)
        assert row["loss"] is None or row["loss"] > row["floor"] - 5 * row["excess_error"]
    assert len({row["floor"] for row in record["runs"] if row["model"]["context"] == 128}) <= 1
