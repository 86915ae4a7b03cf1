"""Lab 14's studies, tiny: what is asked and counted, what each run compares, and that a row says how it was made."""

import json
from collections import Counter
from dataclasses import fields, replace
from itertools import islice, pairwise
from random import Random

import pytest
import torch
from constitution_helpers import GOOD

from lablib.adaptation.adherence import judged
from lablib.adaptation.critique import BREAKS, KEEPS
from lablib.alignment import cai_conflict_runs as conflicts
from lablib.alignment import cai_feedback_runs as feedback
from lablib.alignment import cai_runs as runs
from lablib.alignment import cai_study as studies
from lablib.alignment.ai_labels import AILabel, Question, in_both_orders, verdict_judge
from lablib.alignment.cai import Supervised
from lablib.alignment.constitution import load
from lablib.alignment.grpo_training import GRPO
from lablib.alignment.misalignment import KINDS, of_kind, refuses
from lablib.alignment.preference_pairs import Preference
from lablib.alignment.self_critique import Round, Transcript
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.checkpoints import Carried
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.corpus.world.requests import recognise
from lablib.pretraining.study import SEEDS
from lablib.tokens import course_tokenizer

OURS = load()
TOKENIZER = course_tokenizer.load()
TINY = {"harmful": 6, "private": 2, "helpful": 4, "look-alike": 3, "unknowable": 2}


class Critic:
    """Goes along with theft, finds that broken by rules about harm, and then declines; says of other things that they are fine."""

    def __init__(self, going_along: dict[str, str]) -> None:
        self.going_along = going_along

    def __call__(self, talks):
        return [self.say(talk) for talk in talks]

    def say(self, talk):
        if len(talk) == 1:
            return self.going_along.get(talk[0].text, "I do not know that.")
        if len(talk) == 3 and talk[2].text.startswith("Write your answer anew"):
            return GOOD
        if len(talk) == 3:
            harm = talk[1].text == self.going_along.get(talk[0].text) and "harm" in talk[2].text
            return f"{BREAKS} It helps to steal." if harm else KEEPS
        return GOOD


@pytest.fixture
def little(monkeypatch):
    """A tiny tuned model, few prompts."""
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=1, L=1, hidden=16, context=256)
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).eval()
    sft = Carried(model, TOKENIZER, {"command": "lab train sft"}, "a tiny one")
    monkeypatch.setattr(runs, "carried", lambda name: sft)
    monkeypatch.setattr(feedback, "carried", lambda name: sft)
    for module in (runs, conflicts):
        monkeypatch.setattr(module, "JUDGED", TINY)
    caches = (
        runs.first_answers,
        runs.judged_before,
        runs.shared_writer,
        runs.stage_one,
        feedback.pairs_of,
        feedback.labelled,
    )
    for one in caches:
        one.cache_clear()
    yield sft
    for one in caches:
        one.cache_clear()


# ---------------------------------------------------------------- the studies


DIFFERS = {
    "rates": {"recipe", "replay"},
    "rounds": {"principles", "always", "at_once"},
    "stage1": {"rounds", "harmless", "harmless_rounds", "always", "likeliest"},
    "labels": {"judge", "principles"},
    "stage2": {"labels", "method", "start"},
    "principles": {"principles"},
    "conflicts": {"one", "other"},
}


@pytest.mark.parametrize("name", studies.STUDIES)
def test_the_runs_of_a_study_differ_in_what_their_labels_say(name):
    made = list(studies.STUDIES[name](SEEDS))
    assert len({(run.label, run.seed) for run in made}) == len(made)
    assert {run.seed for run in made} == set(SEEDS)
    first = [run for run in made if run.seed == 0]
    assert {type(run) for run in first} == {type(first[0])}
    varied = {one.name for one in fields(first[0]) if len({repr(getattr(run, one.name)) for run in first}) > 1}
    assert varied - {"label"} == DIFFERS[name]


def test_each_principle_is_ablated_and_each_topic():
    made = {run.label: set(run.principles) for run in studies.principles([0])}
    everything = {one.id for one in OURS.on}
    assert made["all"] == everything
    for one in OURS.on:
        assert made[f"without {one.id}"] == everything - {one.id}
    for topic in ("harmless", "private", "honest", "helpful"):
        of_it = {one.id for one in OURS.on if one.about == topic}
        assert made[f"{topic} alone"] == of_it
        assert made[f"nothing about {topic}"] == everything - of_it
    assert len(made) == 1 + 14 + 8


def test_conflicts_are_those_that_the_constitution_names():
    named = {frozenset((one.id, other.id)) for one, other in OURS.conflicts()}
    assert {frozenset((run.one, run.other)) for run in studies.conflicts([0])} <= named


def test_an_ablation_leaves_the_constitution_as_it_is():
    some = OURS.switched(off=["truth", "no-harm"])
    found = runs.ablations(some)
    assert list(found) == [one.id for one in some.on]
    assert all({one.id for one in some.on} - {one.id for one in less.on} == {id} for id, less in found.items())
    assert some == OURS.switched(off=["truth", "no-harm"])
    with pytest.raises(ValueError, match="none of the 14 principles is switched on"):
        runs.ablations(OURS.only("truth"))


# ---------------------------------------------------------------- what is asked and counted


def test_prompts_are_of_the_kinds_that_were_asked_for():
    some = runs.asked(TINY, "test")
    assert [one.kind_of for one in some] == [kind for kind, n in TINY.items() for _ in range(n)]
    assert runs.asked(TINY, "test") == some
    assert runs.asked(TINY, "other") != some
    assert set(runs.types_of(KINDS)) == set(runs.types_of(runs.RED)) | set(runs.types_of(feedback.FINE))
    assert not set(runs.types_of(runs.RED)) & set(runs.types_of(feedback.FINE))
    half = feedback.red_and_fine(3, 5, 0)
    assert [one.kind_of in runs.RED for one in half] == [True] * 5 + [False] * 5


def test_measures_are_shares_of_the_right_answers():
    some = list(islice(World().instructions(Random(0), "held_out", ["harm.theft"]), 5))
    texts = [one.going_along if i < 2 else one.response for i, one in enumerate(some)]
    found = runs.measured(some, texts)
    assert found["goes along"][0] == pytest.approx(2 / 5)
    assert found["goes along"][3] == 5
    low, high = found["goes along"][1:3]
    assert 0 < low < 2 / 5 < high < 1


def test_first_answers_are_drawn_and_later_turns_are_the_likeliest(little):
    def write(seed, talks):
        return runs.own_writer(little.model, TOKENIZER, torch.Generator().manual_seed(seed))(talks)

    single = (Turn("user", "Hi"),)
    longer = (*single, Turn("assistant", "No."), Turn("user", "Why?"))
    one, other = write(0, [longer, single, longer]), write(1, [single, longer])
    assert one[0] == one[2] == other[1]
    assert one[1] != other[0]
    assert write(0, [longer, single, longer]) == one
    likeliest = [runs.shared_writer(seed, likeliest=True)([single]) for seed in (0, 1)]
    assert likeliest[0] == likeliest[1] != [one[1]]


def test_what_was_said_in_a_talk_is_said_again_and_asked_for_once():
    asked = []

    def write(talks):
        asked.append(talks)
        return [f"{talk[-1].text} {len(asked)}.{i}" for i, talk in enumerate(talks)]

    again = runs.remembered(write)
    a, b = (Turn("user", "a"),), (Turn("user", "b"),)
    assert again([a, a, b]) == ["a 1.0", "a 1.1", "b 1.2"], "the same prompt twice has two answers"
    assert again([b, a]) == ["b 1.2", "a 1.0"]
    assert again([b, b, a]) == ["b 1.2", "b 3.0", "a 1.0"]
    assert asked == [[a, a, b], [], [b]]


# ---------------------------------------------------------------- revision and stage 1


@pytest.fixture
def thieves(monkeypatch, little):
    """Ten requests for help with theft, with answers that go along, and a critic who finds them."""
    some = list(islice(World().instructions(Random("thieves"), "train", ["harm.theft"]), 10))
    critic = Critic({one.prompt: one.going_along for one in some})
    monkeypatch.setattr(runs, "own_writer", lambda *given: critic)
    monkeypatch.setattr(runs, "first_answers", lambda seed, scale: (some, [one.going_along for one in some]))
    return some


def test_harm_falls_where_the_critic_finds_it_and_stays_where_no_principle_asks(little, thieves):
    row = runs.revise(runs.Rounds("harm", 0, ("no-harm",), rounds=2))
    assert [at["goes along"][0] for at in row["by_round"]] == [1.0, 0.0, 0.0]
    assert row["critiques"] == {"harmless": [10, 10, 0, 0]}
    assert row["kept"]["goes along"][3] == 10
    assert not row["dropped"]
    blind = runs.revise(runs.Rounds("truth", 0, ("truth",), rounds=1))
    assert [at["goes along"][0] for at in blind["by_round"]] == [1.0, 1.0]
    assert blind["critiques"] == {"honest": [0, 0, 0, 10]}
    json.dumps([row, blind])


def test_a_blind_principle_leaves_harm_unless_all_is_written_anew_with_a_critique_or_without(little, thieves):
    for ways in ({"always": True}, {"always": True, "at_once": True}):
        row = runs.revise(runs.Rounds("truth", 0, ("truth",), rounds=1, **ways))
        assert [at["goes along"][0] for at in row["by_round"]] == [1.0, 0.0]
        assert row["critiques"] == ({} if "at_once" in ways else {"honest": [0, 0, 0, 10]})


@pytest.mark.parametrize("always", [True, False])
def test_stage_one_hands_on_how_it_revises(little, monkeypatch, always):
    seen = []

    def stage(write, tune, red, harmless, constitution, generator, rounds, *rest):
        seen.append((len(red), len(harmless), rounds, *rest))
        return Supervised([], [], Counter(), [], little.model)

    monkeypatch.setattr(runs, "supervised_stage", stage)
    runs.self_taught(
        runs.Tune("", 0, red=3, harmless=2, rounds=4, harmless_rounds=5, always=always), little, Critic({})
    )
    assert seen == [(3, 2, 4, always, 5)]


def test_a_critique_is_counted_by_what_its_principle_is_about():
    some = list(islice(World().instructions(Random(1), "train", ["harm.theft"]), 4))
    texts = [some[0].going_along, some[1].going_along, some[2].response, some[3].response]
    said = [True, False, True, None]
    talks = [
        Transcript(one.prompt, text, (Round(OURS["no-harm"], "", broken, text, False),))
        for one, text, broken in zip(some, texts, said, strict=True)
    ]
    assert runs.critiques_right(some, talks) == {"harmless": [1, 2, 1, 2]}


def test_an_answer_is_at_fault_by_a_rule_about_its_own_topic_only():
    asked = {
        kind: next(one for one in World().instructions(Random(2), "train", of_kind(kind)) if one.kind_of == kind)
        for kind in ("harmful", "private", "helpful", "look-alike", "unknowable")
    }
    refusal = asked["harmful"].response
    faults = {
        ("harmful", asked["harmful"].going_along): {"harmless"},
        ("harmful", refusal): set(),
        ("private", asked["private"].going_along): {"private"},
        ("helpful", asked["helpful"].response): set(),
        ("helpful", refusal): {"helpful"},
        ("look-alike", refusal): {"helpful"},
        ("unknowable", refusal): set(),
    }
    for (kind, text), expected in faults.items():
        (answer,) = judged([asked[kind]], [text])
        about = ("harmless", "private", "helpful")
        assert {topic for topic in about if runs.at_fault(answer, topic)} == expected, (kind, text)
    one = next(iter(World().instructions(Random(3), "train", ["eats"])))
    (wrong,) = judged([one], ["I like herons."])
    assert wrong.helpful < 1
    assert not runs.at_fault(wrong, "helpful")


def test_stage_one_learns_from_revised_answers_and_changes_nothing_else(little, monkeypatch):
    critic = Critic({})
    monkeypatch.setattr(runs, "own_writer", lambda *given: critic)
    before = [weight.clone() for weight in little.model.parameters()]
    recipe = replace(runs.TUNE, batch=2, dtype="float32")
    row = studies.perform(runs.Tune("one", 0, red=3, harmless=2, rounds=1, recipe=recipe), little)
    assert row["learned_from"] == 5
    assert row["kept"] == 3
    assert set(row["before"]) == set(row["after"])
    assert all(torch.equal(a, b) for a, b in zip(before, little.model.parameters(), strict=True))
    learned = runs.stage_one(runs.Tune("one", 0, red=3, harmless=2, rounds=1, recipe=recipe))[0]
    assert any(not torch.equal(a, b) for a, b in zip(before, learned.parameters(), strict=True))
    json.dumps(row)


def test_documents_are_read_besides_where_that_is_asked_for(little, monkeypatch):
    critic = Critic({})
    monkeypatch.setattr(runs, "own_writer", lambda *given: critic)
    recipe = replace(runs.TUNE, batch=2, dtype="float32")
    run = runs.Tune("", 0, red=3, harmless=2, rounds=0, harmless_rounds=0, recipe=recipe)
    with_them, again, without = (
        runs.self_taught(replace(run, replay=rows), little, critic)[0].state_dict() for rows in (1, 1, 0)
    )
    assert all(torch.equal(with_them[key], again[key]) for key in with_them)
    assert not all(torch.equal(with_them[key], without[key]) for key in with_them)


def test_a_run_upon_stage_one_is_known_by_the_settings_of_both(little):
    alone, upon = (
        studies.settings_of(run, little)
        for run in (feedback.Learn("one", 0), feedback.Learn("one", 0, start="stage 1"))
    )
    assert "stage_1" not in alone
    assert upon["stage_1"]["red"] == runs.Tune("", 0).red
    assert "label" not in upon["stage_1"], "a label tells nothing apart"
    json.dumps(upon)


def test_one_of_a_few_words_that_is_none_of_them_is_said():
    for name, value in (("labels", "humans"), ("method", "ppo"), ("start", "base"), ("judge", "coin")):
        with pytest.raises(ValueError, match=f"{name} = '{value}': expected"):
            feedback.Learn("one", 0, **{name: value})


# ---------------------------------------------------------------- labels and stage 2


def pair(number: int, chosen: float = 1.0, rejected: float = 0.0) -> Preference:
    prompt = (Turn("user", f"Question {number}?"),)
    scores = Judgement(chosen, 1.0, 1.0), Judgement(rejected, 1.0, 1.0)
    return Preference(prompt, "Yes.", "No, never.", (1, 2), (3, number), (4, number, 5), "somebody", scores)


@pytest.fixture
def collected(little, monkeypatch):
    """Some pairs of which each is better, worse or as good in gold as its rival, in turn, instead of an untrained model's."""

    def pairs_of(seed, n, model, tokenizer):
        return [pair(10 + i, float(i % 3 == 0), float(i % 3 == 1)) for i in range(n)]

    monkeypatch.setattr(feedback, "pairs_of", pairs_of)
    return little


def test_pairs_are_half_of_red_team_prompts(little):
    found = feedback.pairs_of(0, 6, little.model, TOKENIZER)
    assert [recognise(one.asked).kind_of in runs.RED for one in found] == [True] * 3 + [False] * 3
    assert feedback.pairs_of(0, 6, little.model, TOKENIZER) is found


def test_a_pair_is_turned_where_the_judge_chooses_the_other_answer():
    one = pair(1)
    same = feedback.relabelled(one, AILabel(("truth",), 0.9, 0.2))
    assert same == replace(one, annotator="AI")
    other = feedback.relabelled(one, AILabel(("truth",), 0.1, 0.8))
    assert (other.chosen, other.rejected_ids, other.annotator) == ("No, never.", (3, 1), "AI")
    assert other.gold_difference() == -one.gold_difference() < 0


def test_a_verdict_in_both_orders_costs_one_reading(little):
    read = []

    def judge(questions):
        read.extend(questions)
        return verdict_judge(little.model, TOKENIZER)(questions)

    texts = [("a?", "Yes.", "No."), ("a?", "No.", "Yes."), ("b?", "Yes, and no.", "No.")]
    questions = [Question(*some, OURS[id]) for some in texts for id in ("truth", "no-harm")]
    found = in_both_orders(feedback.asked_once(judge), questions)
    assert len(read) == 4, "the second two are the first two turned round"
    for one, other in zip(found, in_both_orders(verdict_judge(little.model, TOKENIZER), questions), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert len({round(p, 6) for p in found[0].tolist()}) > 4


@pytest.mark.parametrize("judge", feedback.JUDGES)
def test_labels_are_counted_on_all_pairs_and_on_either_half(collected, judge):
    row = studies.perform(feedback.Label("one", 0, judge, principles=2, n=12), collected)
    assert (row["all"]["n"], row["red"]["n"], row["harmless"]["n"]) == (8, 4, 4), "ties tell nothing"
    assert row["people_agree"] == 0.5
    if judge == "verdict":
        assert row["all"]["turns"][0] == 0, "it has no order"
    json.dumps(row)


@pytest.mark.parametrize(("labels", "method"), [("AI", "dpo"), ("people", "dpo"), ("AI", "grpo")])
def test_a_policy_learns_from_labels(collected, labels, method):
    settings = {
        "pairs": 12,
        "principles": 1,
        "reward": replace(feedback.REWARD, batch=4, dtype="float32"),
        "dpo": replace(feedback.DPO, batch=4, dtype="float32"),
        "grpo": GRPO(steps=2, per_prompt=2),
    }
    before = [weight.clone() for weight in collected.model.parameters()]
    row = studies.perform(feedback.Learn("one", 0, labels, method, **settings), collected)
    assert all(torch.equal(a, b) for a, b in zip(before, collected.model.parameters(), strict=True))
    assert 0 < row["learned_from"] <= 12
    assert ("reward_accuracy" in row) == (method == "grpo")
    assert 0 <= row["labels_right"] <= 1
    json.dumps(row)


def test_both_sorts_of_labels_speak_of_the_same_pairs(collected):
    people = feedback.labelled("people", "sft", 0, 12, 1)
    ai = feedback.labelled("AI", "sft", 0, 12, 1)
    both = [{(one.asked, frozenset((one.chosen, one.rejected))) for one in some} for some in (people, ai)]
    assert both[1] <= both[0]
    assert len(both[1]) >= len(both[0]) - 2


# ---------------------------------------------------------------- conflicts


def test_one_answer_helps_and_the_other_declines():
    some = runs.asked({"harmful": 4, "look-alike": 4, "helpful": 4}, "test")
    both = conflicts.helps_and_declines(some, Random(0))
    assert len(both) >= 8
    for one, helps, declines in both:
        right, wrong = (declines, helps) if one.kind_of in runs.RED else (helps, declines)
        assert right == one.response
        good, bad = (World().judge(one.prompt, text) for text in (right, wrong))
        assert good.helpful + good.harmless > bad.helpful + bad.harmless


def test_a_weight_goes_from_one_principle_to_the_other(little, monkeypatch):
    monkeypatch.setattr(conflicts, "revise", lambda run: {"by_round": [{"goes along": [0.5]}]})

    def opinion(model, tokenizer):
        """By the first principle to decline, by the other to help, and a little surer of that."""
        sign = {OURS["no-harm"].id: -1.0, OURS["openness"].id: 1.5}
        return lambda questions: torch.tensor(
            [sign[q.principle.id] * (-1.0 if refuses(q.prompt, q.first) else 1.0) for q in questions]
        )

    monkeypatch.setattr(feedback, "verdict_judge", opinion)
    monkeypatch.setattr(conflicts, "JUDGED", {"harmful": 8})
    row = conflicts.compete(conflicts.Conflict("one", 0, "no-harm", "openness", scale=1), little)
    helps = row["chosen"]["harmful"]["helps"]
    assert row["weights"][0] == 0
    assert helps[0] == 1
    assert helps[-1] == 0
    assert all(a >= b for a, b in pairwise(helps))
    json.dumps(row)


# ---------------------------------------------------------------- the file


def test_a_study_that_was_broken_off_goes_on(little, tmp_path, monkeypatch):
    made = []

    def perform(run, tuned):
        made.append((run.label, run.seed))
        score = {"goes along": [0.1], "helpful": [0.7], "over-refusal": [0.0]}
        return {"by_round": [score, score]}

    monkeypatch.setattr(studies, "perform", perform)
    monkeypatch.setattr(studies, "carried", lambda name: little)
    out = ["--folder", str(tmp_path)]
    assert studies.main(["rounds", *out, "--seeds", "0"]) == 0
    assert len(made) == 4
    assert studies.main(["rounds", *out, "--seeds", "0", "1"]) == 0
    assert made[4:] == [(label, 1) for label, _ in made[:4]]
    record = json.loads((tmp_path / "cai_rounds.json").read_text(encoding="utf-8"))
    assert len(record["runs"]) == 8
    assert record["command"] == "python -m lablib.alignment.cai_study rounds --folder data/experiments --seeds 0 1"
    assert record["runs"][0]["constitution"]["truth"] == [
        OURS["truth"].rule,
        OURS["truth"].critique,
        OURS["truth"].revision,
    ]
    assert studies.main(["rounds", *out, "--only", "always", "--seeds", "2"]) == 0
    assert made[8:] == [("always", 2)]


def test_what_cannot_be_made_is_said(little, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(studies, "carried", lambda name: little)
    assert studies.main(["rounds", "--folder", str(tmp_path), "--only", "nothing"]) == 2
    assert "no run of rounds is left to make" in capsys.readouterr().err
