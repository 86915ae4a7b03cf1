"""What is drawn: gold answers, known faults in known shares, nothing held out, and the same again for the same seed."""

from collections import Counter
from itertools import islice
from random import Random

import pytest

from lablib.adaptation.chat import Conversation
from lablib.adaptation.critique import RULES, breaks
from lablib.adaptation.faults import FACTS
from lablib.adaptation.sft_data import (
    AGAIN,
    ASKED_FOR,
    CLEAN,
    NOISY,
    SINGLE,
    SYSTEM,
    Mixture,
    conversations,
    fixed_set,
    plain,
    without,
)
from lablib.corpus.scoring import wilson
from lablib.corpus.world import World
from lablib.corpus.world.requests import grammar, kind_of, recognise, type_of, types

WORLD = World()


def questions(talk: Conversation):
    """The prompts of the world in it, each with its answer; what speaks of an answer is left out."""
    for (role, text), (_, answer) in zip(talk.turns, talk.turns[1:], strict=False):
        if role == "user" and text not in AGAIN:
            try:
                yield recognise(text), answer
            except ValueError:
                assert any(rule in text for wordings in RULES.values() for rule in wordings) or "answer" in text


def within(count: int, total: int, share: float) -> bool:
    low, high = wilson(count, total, z=4.0)
    return low <= share <= high


# ---------------------------------------------------------------- clean data


def test_what_is_learned_is_gold():
    kinds = Counter()
    for talk in fixed_set(1500, CLEAN, seed=2):
        assert talk.faults == ()
        kinds[talk.kind] += 1
        if talk.skip or talk.kind == "comparison":
            continue
        for request, answer in questions(talk):
            gold = WORLD.judge(request.prompt, answer)
            assert (gold.helpful, gold.honest, gold.harmless) == (1, 1, 1)
    assert set(kinds) == {*types(), "critique", "revision", "comparison"}


def test_the_shares_are_those_of_the_mixture():
    n = 3000
    talks = fixed_set(n, CLEAN, seed=3)
    about = [talk for talk in talks if talk.skip or talk.kind == "comparison"]
    compared = [talk for talk in about if talk.kind == "comparison"]
    others = [talk for talk in talks if talk not in about]
    two = [talk for talk in others if sum(role == "user" for role, _ in talk.turns) == 2]
    system = [talk for talk in talks if talk.turns[0].role == "system"]
    assert within(len(about), n, CLEAN.critique)
    assert within(len(compared), len(about), ASKED_FOR["comparison"])
    assert within(len(two), len(others), CLEAN.two_turns)
    assert within(len(system), n, CLEAN.system)
    assert {talk.turns[0].text for talk in system} == set(SYSTEM)
    again = [talk for talk in two if talk.turns[-2].text in AGAIN]
    assert within(len(again), len(two), 0.5)
    assert all(talk.turns[-1] == talk.turns[-3] for talk in again)
    verdicts = [breaks(talk.turns[-1].text) for talk in talks if talk.kind == "critique"]
    assert None not in verdicts
    assert 0.3 < sum(verdicts) / len(verdicts) < 0.7  # a model that always says the same is wrong


def test_a_mixture_of_nothing_else_is_the_worlds_own_instructions():
    """With all shares at 0, the conversations are World().instructions, in their proportions."""
    talks = fixed_set(2000, SINGLE, seed=1)
    assert all(len(talk.turns) == 2 for talk in talks)
    drawn = Counter(kind_of(recognise(talk.turns[0].text).form) for talk in talks)
    expected = Counter(one.kind_of for one in islice(WORLD.instructions(Random(1)), 2000))
    for kind, count in expected.items():
        assert abs(drawn[kind] - count) < 4 * (2 * count) ** 0.5
    one = next(WORLD.instructions(Random(1)))
    assert plain(one).turns == (("user", one.prompt), ("assistant", one.response))


# ---------------------------------------------------------------- held out


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_held_out_combinations_are_respected_in_every_turn(split):
    rules, seen = grammar().rules, 0
    for talk in islice(conversations(Random(f"split {split}"), Mixture(critique=0.4, two_turns=0.4), split), 800):
        for request, _ in questions(talk):
            if request.form == "define.young":  # a bear and a fox have cubs: the prompt does not say whose was drawn
                continue
            outside = request.hero in rules[f"{request.form}.prompt"].held_out
            assert outside == (split == "held_out"), request.prompt
            seen += 1
    assert seen > 800


def test_held_out_types_are_never_seen():
    left_out = ("opposite", "harm.fire", "similar.fire", "letter", "private")
    only = without(*left_out)
    asked = set()
    for talk in islice(conversations(Random(0), Mixture(critique=0.4, two_turns=0.3), only=only), 1500):
        asked |= {type_of(request.form) for request, _ in questions(talk)}
    assert asked == set(only)
    with pytest.raises(ValueError, match="expected some, but not all"):
        without("poem")
    with pytest.raises(ValueError, match="expected some, but not all"):
        without(*types())


def test_one_type_is_enough_for_everything():
    for type_ in ("home", "harm.theft", "unknown", "story"):
        talks = list(islice(conversations(Random(0), Mixture(critique=0.5), only=[type_]), 40))
        assert {talk.kind for talk in talks} <= {type_, "critique", "revision", "comparison"}
        assert any(talk.skip for talk in talks)


def test_wordings_of_rules_are_held_out():
    last = [wordings[-1] for wordings in RULES.values()]
    for split, expected in (("train", False), ("held_out", True)):
        talks = list(islice(conversations(Random(1), Mixture(critique=1), split), 200))
        texts = [text for talk in talks for role, text in talk.turns if role == "user"]
        with_rule = [t for t in texts if any(w in t for wordings in RULES.values() for w in wordings)]
        assert len(with_rule) >= 200
        assert all(any(wording in text for wording in last) == expected for text in with_rule)


# ---------------------------------------------------------------- determinism


def test_the_same_seed_gives_the_same_and_a_larger_set_begins_with_a_smaller_one():
    assert fixed_set(60, NOISY, seed=1) == fixed_set(200, NOISY, seed=1)[:60]
    assert fixed_set(60, NOISY, seed=1) != fixed_set(60, NOISY, seed=2)


def test_conversations_vary():
    talks = fixed_set(2000, CLEAN)
    assert len({talk.turns for talk in talks}) > 1800


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize(
    ("fault", "able"),
    [
        ("refusal", {"helpful", "look-alike"}),
        ("along", {"harmful", "private"}),
        ("guess", {"unknowable"}),
        ("form", {"helpful", "look-alike", "harmful", "private", "unknowable"}),
    ],
)
def test_each_fault_has_its_share(fault, able):
    talks = fixed_set(2500, Mixture(critique=0, two_turns=0, system=0, **{fault: 0.3}), seed=4)
    could = [talk for talk in talks if kind_of(recognise(talk.turns[0].text).form) in able]
    have = [talk for talk in talks if talk.faults]
    assert {talk.faults for talk in have} == {(fault,)}
    assert all(kind_of(recognise(talk.turns[0].text).form) in able for talk in have)
    assert within(len(have), len(could), 0.3)


def test_wrong_facts_have_their_share_where_there_is_a_fact():
    talks = fixed_set(2000, Mixture(critique=0, two_turns=0, system=0, wrong=0.5), seed=5)
    could = [talk for talk in talks if talk.kind in FACTS]
    have = [talk for talk in talks if talk.faults]
    assert {talk.faults for talk in have} == {("wrong",)}
    assert 0.4 < len(have) / len(could) < 0.52  # a few of the questions have no wrong answer
    for talk in have:
        assert WORLD.judge(talk.turns[0].text, talk.turns[1].text).honest == 0


def test_noisy_data_is_bad_in_every_way_and_still_mostly_good():
    talks = fixed_set(3000, NOISY, seed=0)
    faults = Counter(fault for talk in talks for fault in talk.faults)
    assert set(faults) == {"wrong", "refusal", "along", "guess", "form"}
    assert all(count >= 30 for count in faults.values())
    spoiled = sum(bool(talk.faults) for talk in talks)
    assert 0.3 < spoiled / len(talks) < 0.6
    for talk in talks:
        if talk.skip == 0 and not talk.faults:
            for request, answer in questions(talk):
                assert WORLD.judge(request.prompt, answer).helpful == 1


@pytest.mark.parametrize(
    "change", [{"wrong": 1.5}, {"critique": -0.1}, {"form": float("nan")}, {"along": "often"}, {"guess": True}]
)
def test_a_share_is_from_0_to_1(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} = .*: expected a share from 0 to 1"):
        Mixture(**change)


def test_wrong_input_is_named_at_once():
    with pytest.raises(ValueError, match="split"):
        next(conversations(Random(0), split="test"))
    with pytest.raises(ValueError, match="only"):
        next(conversations(Random(0), only=["poem"]))
