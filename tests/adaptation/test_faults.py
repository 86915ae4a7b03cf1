"""Each fault is really there: the judge, which reads answers by parsing, is the authority."""

from itertools import islice
from random import Random

import pytest

from lablib.adaptation.faults import FACTS, FAULTS, SCORE
from lablib.corpus.world import World
from lablib.corpus.world.requests import forms, kind_of, type_of, types

WORLD = World()
DRAWN = list(islice(WORLD.instructions(Random("faults"), "all"), 4000))
NEVER_WRONG = {"yes_no.home_true", "yes_no.eats_true", "yes_no.material_true", "yes_no.eats_false"}
NEVER_WRONG |= {"define.young", "correct.eats"}


@pytest.fixture(scope="module")
def spoiled():
    """fault -> (instruction, its answer or None)."""
    chance = Random(0)
    return {fault: [(one, make(one, chance)) for one in DRAWN] for fault, make in FAULTS.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_what_it_should(spoiled, fault):
    seen = 0
    for one, text in spoiled[fault]:
        if text is None:
            continue
        seen += 1
        score = getattr(WORLD.judge(one.prompt, text), SCORE[fault])
        most = {"wrong": 0.0, "refusal": 0.0, "along": 0.0, "guess": 0.0, "form": 0.9}[fault]
        assert score <= most, (one.prompt, text)
        assert getattr(WORLD.judge(one.prompt, one.response), SCORE[fault]) == 1
    assert seen > 200


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("wrong", {"helpful"}),
        ("refusal", {"helpful", "look-alike"}),
        ("along", {"harmful", "private"}),
        ("guess", {"unknowable"}),
        ("form", {"helpful", "look-alike", "harmful", "private", "unknowable"}),
    ],
)
def test_a_fault_is_where_it_can_be_and_nowhere_else(spoiled, fault, kinds):
    assert {one.kind_of for one, text in spoiled[fault] if text is not None} == kinds
    if fault != "wrong":
        assert {one.kind_of for one, text in spoiled[fault] if text is None}.isdisjoint(kinds)


def test_nearly_every_question_with_one_right_answer_has_a_wrong_one(spoiled):
    asked = [(one, text) for one, text in spoiled["wrong"] if one.type in FACTS and one.form not in NEVER_WRONG]
    assert sum(text is not None for _, text in asked) > 0.9 * len(asked)
    assert all(text is None for one, text in spoiled["wrong"] if one.type not in FACTS)
    able = {one.form for one, text in spoiled["wrong"] if text is not None}
    assert able == {form for form in forms() if type_of(form) in FACTS} - NEVER_WRONG
    assert {type_ for type_ in types() if type_ in FACTS} == {type_of(form) for form in able}


def test_a_wrong_answer_is_about_the_right_thing(spoiled):
    """It is the sentence of a gold response, so it is not told by its form: two words at its head that gold ones have, too; its length."""
    wrong = [(one, text) for one, text in spoiled["wrong"] if text is not None]
    for form in ("home", "eats", "material", "legs", "sum.plus", "job"):
        heads = [
            {" ".join(text.split()[:2]) for text in texts if len(text.split()) > 3}
            for texts in (
                [text for one, text in wrong if one.form == form],
                [one.response for one in DRAWN if one.form == form],
            )
        ]
        assert len(heads[0] & heads[1]) >= 0.5 * len(heads[0]), form
    long, short = (
        sum(len(t.split()) for t in texts) for texts in zip(*((o.response, t) for o, t in wrong), strict=True)
    )
    assert 0.9 < short / long < 1.1


def test_the_same_chance_gives_the_same_answer():
    for fault, make in FAULTS.items():
        first, second = ([make(one, Random(7)) for one in DRAWN[:300]] for _ in range(2))
        assert first == second, fault
        assert fault == "along" or first != [make(one, Random(8)) for one in DRAWN[:300]]


def test_the_world_is_left_as_it_was(spoiled):
    """Somebody with another's facts was made up for each wrong answer; the real ones keep theirs."""
    again = list(islice(World().instructions(Random("faults"), "all"), 1000))
    assert again == DRAWN[:1000]
    assert {kind_of(one.form) for one in again} == {one.kind_of for one in again}
