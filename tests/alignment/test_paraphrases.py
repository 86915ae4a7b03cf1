"""Paraphrases: groups are one request in other words; consistency of answers that are always, sometimes or never the same."""

from random import Random

import pytest

from lablib.alignment import paraphrases as pa
from lablib.corpus.world.requests import kind_of, recognise, types

TYPES = ("home", "eats", "material", "sum")


@pytest.fixture(scope="module")
def questions():
    return pa.groups(12, Random(0), TYPES)


@pytest.fixture(scope="module")
def harmful():
    return pa.groups(12, Random(0), pa.harmful_types())


# ---------------------------------------------------------------- groups


def test_a_group_is_one_request_in_three_wordings(questions, harmful):
    assert len(questions) == 12
    for group in [*questions, *harmful]:
        assert len({one.prompt for one in group}) == 3
        assert len({pa.same_request(one) for one in group}) == 1
        requests = [recognise(one.prompt) for one in group]
        assert len({request.form for request in requests}) == 1
        assert all(dict(request.bound) == dict(requests[0].bound) for request in requests)
        assert {one.split for one in group} == {"held_out"}
    assert len({pa.same_request(group[0]) for group in questions}) == 12


def test_types_come_in_turn_and_the_same_generator_gives_the_same(questions):
    assert [group[0].type for group in questions] == [type_ for type_ in TYPES for _ in range(3)]
    assert pa.groups(12, Random(0), TYPES) == questions
    assert {kind_of(recognise(group[0].prompt).form) for group in pa.groups(10, Random(1), pa.harmful_types())} == {
        "harmful",
        "private",
    }


def test_where_there_are_fewer_requests_all_are_taken():
    found = pa.groups(60, Random(0), ["home"])  # a tenth of 48 people is held out
    assert len(found) == len({group[0].subject for group in found}) == 5


def test_the_types_that_can_be_compared():
    assert set(TYPES) < set(pa.comparable_types()) < set(types())
    assert len(pa.harmful_types()) == 9  # eight kinds of harm, and private details


# ---------------------------------------------------------------- what is claimed


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ("They eat mice.", {"mice"}),
        ("Owls eat mice.", {"mice"}),
        ("Mice.", {"mice"}),
        ("They eat grass.", {"grass"}),
        ("Owls do not eat grass.", {"not grass"}),
        ("I do not know.", set()),
        ("An owl has two legs.", set()),
        ("", set()),
    ],
)
def test_what_an_answer_claims(answer, values):
    assert pa.claimed("What do owls eat?", answer) == values


def test_claims_are_compared_pair_by_pair():
    a, b = frozenset({"a"}), frozenset({"b"})
    assert pa.agreeing([a, a, a]) == 1
    assert pa.agreeing([a, b]) == 0
    assert pa.agreeing([a, a, b, b]) == pytest.approx(2 / 6)
    assert pa.agreeing([frozenset(), frozenset()]) == 1


# ---------------------------------------------------------------- measured


def test_gold_answers_are_consistent_and_right(questions):
    found = pa.consistency(questions, [[one.response for one in group] for group in questions])
    assert (found.n, found.agree[0], found.always_right[0], found.ever_right[0]) == (12, 1, 1, 1)


def test_silence_is_consistent_and_never_right(questions):
    found = pa.consistency(questions, [[""] * 3 for _ in questions])
    assert (found.agree[0], found.always_right[0], found.ever_right[0]) == (1, 0, 0)


def test_a_model_that_knows_one_wording(questions):
    found = pa.consistency(questions, [[group[0].response, "", ""] for group in questions])
    assert found.agree[0] == pytest.approx(1 / 3)
    assert (found.always_right[0], found.ever_right[0]) == (0, 1)
    assert found.agree[1] < 1 / 3 < found.agree[2]


def test_one_wording_that_gets_through_is_enough(harmful):
    good = [[one.response for one in group] for group in harmful]
    assert pa.always_harmless(harmful, good)[0] == 1
    weak = [[group[0].going_along, *texts[1:]] for group, texts in zip(harmful[:3], good[:3], strict=True)] + good[3:]
    assert pa.always_harmless(harmful, weak)[0] == pytest.approx(9 / 12)


# ---------------------------------------------------------------- bad input


def test_bad_arguments_are_named(questions):
    with pytest.raises(ValueError, match="n = 0, wordings = 3"):
        pa.groups(0, Random(0), TYPES)
    with pytest.raises(ValueError, match="wordings = 1"):
        pa.groups(3, Random(0), TYPES, wordings=1)
    with pytest.raises(ValueError, match="wordings = 9: no request of home has so many"):
        pa.groups(2, Random(0), ["home"], wordings=9)
    with pytest.raises(ValueError, match="expected a question with one right answer"):
        pa.claimed("Hello, I am Mirabe.", "Hello!")
    with pytest.raises(ValueError, match="a group of 1 answers has no pair"):
        pa.agreeing([frozenset()])
    with pytest.raises(ValueError, match="shorter"):
        pa.consistency(questions, [[""] * 3])
