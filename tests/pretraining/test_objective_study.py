"""Lab 08's comparison: what its models read is not what they are asked, their arithmetic is equal, and a perfect answer scores 1."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from lablib import paths
from lablib.architecture.decoder import DecoderConfig
from lablib.corpus.world import World
from lablib.pretraining import infilling, objective_study
from lablib.pretraining.objective_study import RECIPE, Comparison, config_of, corner, plans

TINY = DecoderConfig(V=1, D=16, H=2, L=2, hidden=32, context=128)
SHORT = replace(RECIPE, steps=6, batch=8)


@pytest.fixture(scope="module")
def of():
    return corner(training=300, held_out=60)


@pytest.fixture(scope="module")
def compared(of):
    config = replace(TINY, V=of.vocabulary.V)
    made = Comparison(of, plans(of, config), SHORT)
    for name in made.runs:
        assert len(list(made.learn(name))) == made.runs[name].steps
    return made


def test_what_is_asked_was_not_read(of):
    read = {document.text for document in of.training}
    assert len(of.training) == 300
    assert 40 < len(of.held_out) <= 60
    assert not read & {document.text for document in of.held_out}
    assert {document.shape.split(".")[1] for document in of.training} == set(objective_study.SORTS)
    assert all(of.vocabulary.knows(document.text) for document in (*of.training, *of.held_out))


def test_all_models_have_about_as_many_parameters_and_get_the_same_arithmetic(of):
    config = config_of(of)
    made = Comparison(of, plans(of, config), replace(RECIPE, steps=500))
    sizes = [sum(weight.numel() for weight in run.model.parameters()) for run in made.runs.values()]
    assert max(sizes) / min(sizes) < 1.01
    first = made.runs["causal"]
    assert first.steps == 500
    for run in made.runs.values():
        assert run.steps * run.flops == pytest.approx(first.steps * first.flops, rel=0.01)


def test_a_training_notes_what_it_took_and_leaves_the_model_ready(compared):
    for run in compared.runs.values():
        assert len(run.losses) == run.steps
        assert run.told > 0
        assert run.seconds > 0
        assert not run.model.training


def test_the_same_seed_makes_the_same_losses(of, compared):
    again = Comparison(of, plans(of, replace(TINY, V=of.vocabulary.V)), SHORT)
    losses = [step.loss for step in again.learn("span corruption")]
    assert losses == pytest.approx(compared.runs["span corruption"].losses, rel=1e-4)
    other = Comparison(of, plans(of, replace(TINY, V=of.vocabulary.V)), SHORT, seed=1)
    assert [step.loss for step in other.learn("span corruption")] != pytest.approx(losses, rel=1e-3)


def test_your_own_functions_are_the_ones_that_are_used(of):
    asked = []

    def counts(length, rate, mean_span):
        asked.append(length)
        return 1, 1

    def make(*args):
        return objective_study.SpanCorruption(*args, counts=counts)

    Comparison(of, plans(of, replace(TINY, V=of.vocabulary.V), spans=make), SHORT).batches["span corruption"](0)
    assert len(asked) >= SHORT.batch


def test_what_stood_in_a_gap_is_right_and_nonsense_is_not(of):
    gaps = objective_study.gaps_of(of, 30, torch.Generator().manual_seed(0))
    truth = objective_study.filled_rightly(of, gaps, [gap.middle for gap in gaps])
    assert set(truth) == set(infilling.KINDS)
    assert all(all(right) for right in truth.values())
    nothing = objective_study.filled_rightly(of, gaps, [()] * len(gaps))
    assert not any(any(right) for right in nothing.values())


def test_a_text_of_the_world_is_written_rightly_and_one_with_a_word_too_many_is_not(of):
    texts = [document.text for document in of.held_out[:20]]
    assert all(objective_study.written_rightly(texts))
    assert not any(objective_study.written_rightly([text + " And so" for text in texts]))


def test_half_of_the_entries_are_swapped_and_only_those(of):
    swaps = objective_study.swaps_of(of, 120)
    assert 0.35 < sum(swaps.swapped) / len(swaps.swapped) < 0.65
    assert 0.5 <= swaps.guessing < 0.65
    world, end = World(), of.token("eos")
    for row, swapped in list(zip(swaps.rows, swaps.swapped, strict=True))[:40]:
        possible = world.log_prob(of.vocabulary.decode(row[1 : row.index(end)]), "all", ["encyclopaedia"]) > -math.inf
        assert possible or swapped


def test_every_way_to_fill_write_and_read_gives_an_answer_to_each_question(of, compared):
    row = objective_study.judged(compared.models, of, questions=10, texts=4, swaps=60)
    assert set(row["gaps"]) >= {"causal, from the left", "causal, best of 4", "fill in the middle", "span corruption"}
    for of_kind in row["gaps"].values():
        assert set(of_kind) <= set(infilling.KINDS)
        assert all(0 <= share <= 1 for share in of_kind.values())
    assert set(row["perfect"]) == set(row["quality"]) == set(row["samples"])
    assert all(len(curve) == len(row["places"]) for curve in row["sort"].values())
    assert set(row["swap"]) == set(row["sort"])
    assert 0.5 <= row["swap guessing"] < 1
    json.dumps(row)


def test_who_writes_from_left_to_right_may_draw_words_and_the_end_only(monkeypatch, of, compared):
    drawn = []

    def eager_for_marks(model, ids, longest, stop, choose):
        logits = torch.zeros(len(ids), of.vocabulary.V)
        logits[:, of.vocabulary.words :] = 50.0  # without the rule a special token would be drawn nearly every time
        drawn.extend(choose(logits).tolist())
        return ids

    monkeypatch.setattr(objective_study, "generate", eager_for_marks)
    objective_study.writings(compared.models, of, 40, torch.Generator().manual_seed(0))
    assert len(drawn) == 2 * 40
    assert of.token("eos") in drawn
    assert all(token < of.vocabulary.words or token == of.token("eos") for token in drawn)


def test_the_command_writes_a_row_for_each_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(objective_study, "SIZES", TINY)
    monkeypatch.setattr(objective_study, "corner", lambda: corner(training=200, held_out=40))
    monkeypatch.setattr(objective_study, "RECIPE", SHORT)
    path = tmp_path / "objectives.json"
    assert objective_study.main(["--out", str(path), "--steps", "2", "--seeds", "3", "4"]) == 0
    record = json.loads(path.read_text())
    assert [row["seed"] for row in record["runs"]] == [3, 4]
    assert record["runs"][0]["trained"]["causal"]["steps"] == 2
    assert record["runs"][0]["recipe"]["steps"] == 2
    with pytest.raises(SystemExit):
        objective_study.main(["--out", str(path), "--processes", "0"])


def test_the_carried_record_is_of_the_runs_that_stand_here():
    record = json.loads(paths.data_path("experiments/objectives.json").read_text(encoding="utf-8"))
    assert [run["seed"] for run in record["runs"]] == list(objective_study.SEEDS)
    of = corner()
    config = objective_study.config_of(of)
    assert record["model"] == asdict(config)
    compared = Comparison(of, plans(of, config), objective_study.RECIPE)
    for run in record["runs"]:
        assert run["recipe"] == asdict(replace(objective_study.RECIPE, steps=objective_study.STEPS))
        assert list(run["trained"]) == list(compared.runs)
        assert run["places"] == list(objective_study.PLACES)
        for name, planned in compared.runs.items():
            found = run["trained"][name]
            assert found["parameters"] == sum(weight.numel() for weight in planned.model.parameters())
            arithmetic = found["steps"] * found["flops_per_step"]
            assert arithmetic == pytest.approx(4000 * run["trained"]["causal"]["flops_per_step"], rel=1e-3)
    assert record["runs"][0]["trained"]["causal"]["flops_per_step"] == compared.runs["causal"].flops
