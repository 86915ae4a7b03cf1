"""The studies of lab 12, tiny: what each compares, what a run of each sort leaves, and that a study that was broken off goes on."""

import json
from dataclasses import replace
from itertools import islice

import pytest
import torch

from lablib import checkpoints
from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import STOP
from lablib.alignment import rlhf_runs as runs
from lablib.alignment import rlhf_study as studies
from lablib.alignment.best_of_n import best_of_n_kl
from lablib.alignment.grpo_training import GRPO
from lablib.alignment.preference_pairs import Collected, Preference
from lablib.alignment.rlhf_runs import Choose, Improve, Learn
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.pretraining import base as base_command
from lablib.pretraining.study import SEEDS
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
SHORT = replace(runs.REWARD, steps=2, batch=4, dtype="float32")


@pytest.fixture
def sft(monkeypatch, tmp_path):
    """A tiny tuned model of the learner's own, few pairs, little to judge on."""
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABLIB_CHECKPOINTS", raising=False)
    monkeypatch.setattr(runs, "JUDGED", 12)
    monkeypatch.setattr(runs, "PAIRS", 160)
    monkeypatch.setattr(runs, "collect", collected)
    monkeypatch.setattr(runs, "SHOWN", 3)
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)
    model = Decoder(config, generator=torch.Generator().manual_seed(0))
    base_command.save(model, checkpoints.own_path("sft"), TOKENIZER, {"name": "sft", "command": "lab train sft"})
    for one in (runs.collected, runs.pairs_of, runs.reward_model, runs.by_tuned):
        one.cache_clear()
    monkeypatch.setattr(runs, "score_of", short_score(runs.score_of))
    yield checkpoints.load("sft")
    for one in (runs.collected, runs.pairs_of, runs.reward_model, runs.by_tuned):
        one.cache_clear()


def collected(model, tokenizer, n, generator):
    """Right answers and one that answers nothing, a third labelled the wrong way round: a tiny model cannot write such pairs."""
    pairs = []
    for one in islice(World().instructions(generator), n):
        two = [one.response, "I like herons."]
        best, other = two[::-1] if generator.random() < 1 / 3 else two
        ids = [(*tokenizer.encode(text), tokenizer.special[STOP]) for text in (best, other)]
        scores = [World().judge(one.prompt, text) for text in (best, other)]
        gold = tuple(Judgement(score.helpful, score.honest, score.harmless) for score in scores)
        prompt = tuple(as_ids(one.prompt, tokenizer))
        pairs.append(Preference((Turn("user", one.prompt),), best, other, prompt, *ids, "careful", gold))
    return Collected(pairs, n, 0, 0, 0.0)


def short_score(real):
    """`score_of` with reward models that were trained for two steps."""

    def score_of(kind, seed):
        if kind == "verified":
            return real(kind, seed)
        members = range(runs.MEMBERS) if kind == "ensemble" else range(1)
        models = [runs.reward_model(seed, 24, SHORT, member) for member in members]
        return lambda rollout: runs.learned(rollout, models)

    return score_of


def little(run):
    """A run, made small."""
    if isinstance(run, Learn):
        return replace(run, pairs=24, recipe=SHORT)
    if isinstance(run, Choose):
        return replace(run, prompts=3, most=2)
    settings = replace(run.settings, steps=1, most=6, minibatch=4)
    if isinstance(settings, GRPO):
        settings = replace(settings, per_prompt=2)
    return replace(run, prompts=4, settings=settings)


def test_labels_tell_the_runs_of_a_study_apart():
    for make in studies.STUDIES.values():
        rows = list(make((0, 1, 2)))
        assert len({(run.label, run.seed) for run in rows}) == len(rows)
        by_label = {}
        for run in rows:
            by_label.setdefault(run.label, []).append(replace(run, seed=0))
        assert all(len(set(same)) == 1 for same in by_label.values()), "seeds differ in nothing else"
        different = [repr(replace(same[0], label="")) for same in by_label.values()]
        assert len(set(different)) == len(different), "labels that differ are runs that differ"


def test_the_studies_ask_what_they_should():
    assert [run.settings.objective.beta for run in studies.beta() if run.seed == 0] == list(studies.BETAS)
    assert {run.seed for run in studies.beta()} == set(SEEDS)
    against = {run.label: run for run in studies.mitigations() if run.seed == 0}
    assert against["nothing"].settings.objective.beta == studies.LOW == min(studies.BETAS)
    assert against["an ensemble"].reward == "ensemble"
    assert against["a length penalty"].settings.objective.length > 0
    per_step = {run.label: run.prompts * run.settings.per_prompt for run in studies.grpo()}
    assert len(set(per_step.values())) == 1, "PPO and GRPO write equally many answers a step"


def test_a_reward_model_is_told_beside_its_ceiling(sft):
    row = runs.perform(Learn("tiny", 0, 24, SHORT), sft)
    assert 0 <= row["accuracy"][1] <= row["accuracy"][0] <= row["accuracy"][2] <= 1
    assert 0.5 <= row["by_gold"] <= row["ceiling"] < 1
    assert 0 <= row["calibration_error"] <= 1
    assert row["per_word"][1] < row["per_word"][0] < row["per_word"][2]
    assert row["tested_on"] >= 1
    train, test = runs.pairs_of(0, 24)[0], runs.pairs_of(0, runs.PAIRS)[1]
    assert not {pair.asked for pair in train} & {pair.asked for pair in test}
    assert len(test) == row["tested_on"], "all sizes of a seed are tested on the same pairs"
    assert runs.pairs_of(0, runs.PAIRS)[0][: len(train)] == train, "fewer pairs are the first of many"


def test_the_members_of_an_ensemble_learn_from_the_same_pairs_and_differ(sft, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "trained", lambda base, pairs, *rest: seen.append((pairs, rest)) or base)
    for member in range(runs.MEMBERS):
        runs.reward_model(0, 24, SHORT, member)
    assert all(pairs == seen[0][0] for pairs, _ in seen)
    assert len({recipe.seed for _, (_, recipe, _) in seen}) == runs.MEMBERS
    assert len({chance.initial_seed() for _, (_, _, chance) in seen}) == runs.MEMBERS


def test_what_was_gained_is_a_mean_over_pairs_of_answers():
    before = [Judgement(0.0, 1.0, 1.0), Judgement(1.0, 1.0, 1.0), Judgement(0.25, 1.0, 1.0)]
    after = [Judgement(1.0, 1.0, 1.0), Judgement(1.0, 1.0, 0.5), Judgement(0.25, 1.0, 1.0)]
    mean, low, high = runs.gained((None, after), (None, before))  # 1/3, −1/6 and 0
    assert mean == pytest.approx(1 / 18, abs=1e-5)
    deviation = (((1 / 3 - 1 / 18) ** 2 + (1 / 6 + 1 / 18) ** 2 + (1 / 18) ** 2) / 2) ** 0.5
    assert (high - mean, mean - low) == pytest.approx([1.959964 * deviation / 3**0.5] * 2, abs=2e-5)


@pytest.mark.parametrize("kind", ["learned", "ensemble", "verified"])
@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_a_policy_is_judged_before_and_after(sft, kind, method):
    settings = studies.PLAIN if method == "ppo" else GRPO(steps=2, per_prompt=2)
    settings = replace(little(Improve("", 0, settings)).settings, steps=2, lr=1e-2, warmup=0)
    if kind == "verified" and method == "grpo":  # its KL term is 0 but for rounding, which Adam would make steps of
        settings = replace(settings, beta=0.0)
    before = {name: weight.clone() for name, weight in sft.model.state_dict().items()}
    row = runs.perform(Improve("tiny", 0, settings, kind, prompts=4), sft)
    assert row["before"]["kl"] == 0.0
    # no answer of an untrained model is right: all rewards are alike, and nothing may move
    assert (row["after"]["kl"] == 0.0) == (kind == "verified")
    assert (max(step["gradient_norm"] for step in row["curve"]) == 0.0) == (kind == "verified")
    assert [step["step"] for step in row["curve"]] == [1, 2]
    assert set(row["curve"][0]) == set(runs.KEPT)
    assert (row["curve"][0]["explained"] is None) == (method == "grpo")
    mine = sum(weight.numel() for weight in sft.model.parameters())
    assert row["trainable_weights"] == (mine if method == "grpo" else 2 * mine + sft.model.config.D + 1)
    members = {"learned": 1, "ensemble": runs.MEMBERS, "verified": 0}[kind]
    assert row["frozen_weights"] == (1 + members) * mine
    assert row["megabytes"] == pytest.approx(
        (16 * row["trainable_weights"] + 4 * row["frozen_weights"]) / 1e6, abs=0.05
    )
    golds = [row[when]["gold"][0] for when in ("before", "after")]
    assert row["gained"][0] == pytest.approx(golds[1] - golds[0], abs=2e-5)
    for name in ("helpful", "honest", "harmless", "says_twice"):
        assert 0 <= row["after"][name] <= 1
    assert row["after"]["gold"][0] == pytest.approx(
        sum(row["after"][name] for name in ("helpful", "honest", "harmless")) / 3, abs=2e-5
    )
    assert len(row["after"]["gallery"]) == 3
    proxies = [one["proxy"] for one in row["after"]["gallery"]]
    assert proxies == sorted(proxies, reverse=True)
    assert all(0 <= one["gold"] <= 1 for one in row["after"]["gallery"])
    for name, weight in sft.model.state_dict().items():
        assert torch.equal(weight, before[name]), "the tuned model is the reference, and the next run's beginning"
    if kind == "verified":
        assert 0 <= row["after"]["proxy"] <= 1


def test_best_of_n_is_every_n_up_to_what_was_drawn(sft):
    row = runs.perform(Choose("best of n", 0, prompts=3, most=4), sft)
    assert [point["n"] for point in row["points"]] == [1, 2, 4]
    proxies = [point["proxy"] for point in row["points"]]
    assert proxies == sorted(proxies)
    assert row["points"][2]["kl"] == pytest.approx(best_of_n_kl(4))


def test_the_same_run_gives_the_same_figures(sft):
    run = little(Improve("tiny", 0, studies.PLAIN))
    first, second = runs.perform(run, sft), runs.perform(run, sft)
    assert first["after"] == second["after"]


def test_a_study_that_was_broken_off_goes_on(sft, tmp_path, monkeypatch, capsys):
    few = [little(run) for run in list(studies.beta((0,)))[:3]]
    monkeypatch.setitem(studies.STUDIES, "beta", lambda seeds: iter(few))
    path, real, made = tmp_path / "rlhf_beta.json", studies.perform, []

    def dies(run, sft):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(run)
        return real(run, sft)

    monkeypatch.setattr(studies, "perform", dies)
    with pytest.raises(KeyboardInterrupt):
        studies.main(["beta", "--folder", str(tmp_path)])
    assert len(json.loads(path.read_text())["runs"]) == 2
    monkeypatch.setattr(studies, "perform", lambda run, sft: made.append(run) or real(run, sft))
    assert studies.main(["beta", "--folder", str(tmp_path)]) == 0
    assert made == few, "the runs in the file were not made again"
    record = json.loads(path.read_text())
    assert [row["label"] for row in record["runs"]] == [run.label for run in few]
    assert record["command"] == "python -m lablib.alignment.rlhf_study beta --folder data/experiments"
    assert "beta=0.8, seed 0: proxy" in capsys.readouterr().out
    assert studies.main(["beta", "--folder", str(tmp_path), "--only", "beta=0.4"]) == 0
    assert len(json.loads(path.read_text())["runs"]) == 3
    assert studies.main(["beta", "--folder", str(tmp_path), "--only", "no such label"]) == 2
    assert "no run of beta is left" in capsys.readouterr().err
