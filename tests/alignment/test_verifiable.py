"""The verifiable reward: the gold response of every type that can be checked is right, and a wrong fact, or none, is not."""

from itertools import islice
from random import Random

import pytest
import torch

from lablib.adaptation.faults import refusal, wrong
from lablib.alignment.responses import Response
from lablib.alignment.verifiable import checkable_types, fact_right, facts_right
from lablib.corpus.world import World


def respond(instruction, text):
    return Response(instruction, (1,), text, True)


@pytest.mark.parametrize("name", checkable_types())
def test_the_gold_response_is_right_and_a_wrong_or_missing_fact_is_not(name):
    found = list(islice(World().instructions(Random(f"verify {name}"), split="all", only=[name]), 25))
    assert facts_right([respond(one, one.response) for one in found]).tolist() == [1.0] * 25
    chance = Random(0)
    mistaken = [(one, text) for one in found if (text := wrong(one, chance)) is not None]
    assert not facts_right([respond(one, text) for one, text in mistaken]).any()
    for one in found[:5]:
        assert fact_right(respond(one, "")) == 0
        assert fact_right(respond(one, "I do not know.")) == 0
        declined = refusal(one, chance)
        assert fact_right(respond(one, declined)) == 0


def test_most_types_have_wrong_answers_to_try():
    with_wrong = 0
    for name in checkable_types():
        found = islice(World().instructions(Random(f"wrong {name}"), split="all", only=[name]), 10)
        with_wrong += any(wrong(one, Random(1)) is not None for one in found)
    assert with_wrong >= 0.8 * len(checkable_types())
    assert len(checkable_types()) >= 15


def test_what_it_does_not_look_at_costs_nothing():
    """A right fact in a bad answer: here the learned reward and the gold score would differ from it."""
    one = next(World().instructions(Random(1), only=["home"]))
    rambling = f"{one.response} The weather is nice. It is what it is. The weather is nice again."
    assert fact_right(respond(one, rambling)) == 1.0
    assert World().judge(one.prompt, rambling).helpful < 1
    assert facts_right([]).shape == (0,)


def test_what_cannot_be_checked_is_an_error_that_says_what_can():
    story = next(World().instructions(Random(0), only=["story"]))
    with pytest.raises(ValueError, match=r"no one right answer that could be checked.*home"):
        fact_right(respond(story, story.response))
    assert torch.equal(facts_right([]), torch.zeros(0))
