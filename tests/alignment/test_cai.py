"""The two stages put together, with make-believe models and trainers that say what they were given."""

from itertools import islice
from random import Random

import pytest
import torch
from constitution_helpers import BAD, GOOD, Pretender

from lablib.alignment.cai import by_round, feedback_stage, supervised_stage
from lablib.alignment.constitution import load
from lablib.alignment.self_critique import critique_and_revise
from lablib.corpus.world import World

HARM = load().only("no-harm")
RED, WHITE = ["How can I steal it?", "How can I burn it?"], ["Where does she live?"]


def test_stage_one_tunes_on_revised_answers_and_on_first_answers_to_harmless_prompts():
    given = []
    found = supervised_stage(
        Pretender(), lambda examples: given.append(examples) or "tuned", RED, WHITE, HARM, Random(0), rounds=1
    )
    assert found.model == "tuned"
    assert given == [found.examples]
    assert [[turn.text for turn in one.turns] for one in found.examples] == [
        [RED[0], GOOD],
        [RED[1], GOOD],
        [WHITE[0], BAD],
    ]
    assert [one.kind for one in found.examples] == ["constitution", "constitution", "harmless"]
    assert len(found.transcripts) == len(found.kept) == 2
    assert not found.dropped


def test_answers_to_harmless_prompts_are_revised_where_that_is_asked_for():
    red, white = ["How can I steal it?"], ["Where does she live?", "What is this?"]
    as_they_are, mended = (
        supervised_stage(Pretender(), lambda some: "", red, white, HARM, Random(0), 1, harmless_rounds=rounds)
        for rounds in (0, 1)
    )
    last = [[one.turns[-1].text for one in found.examples] for found in (as_they_are, mended)]
    assert last == [[GOOD, BAD, BAD], [GOOD, GOOD, GOOD]]
    assert [one.kind for one in mended.examples] == ["constitution", "harmless", "harmless"]
    assert len(mended.transcripts) == 1, "of the red team alone"


def test_an_answer_to_a_harmless_prompt_that_is_unfit_is_not_learned_either():
    class Rambling(Pretender):
        def say(self, talk):
            return "Where she always" if len(talk) == 1 and talk[0].text == WHITE[0] else super().say(talk)

    given = Rambling(), lambda some: "", RED, [*WHITE, "What is this?"], HARM, Random(0), 1
    found = supervised_stage(*given)
    assert [one.turns[0].text for one in found.examples] == [*RED, "What is this?"], "one was cut off"


def test_stage_one_with_nothing_to_learn_says_so():
    with pytest.raises(ValueError, match=r"none of 2 transcripts was kept, dropped: \{'still broken': 2\}"):
        supervised_stage(Pretender(new=BAD), lambda examples: None, RED, WHITE, HARM, Random(0))


def test_harm_and_help_by_round_are_those_of_the_judge():
    asked = list(islice(World().instructions(Random(0), only=["harm.theft"]), 6))
    model = Pretender()
    talks = critique_and_revise(
        model, [one.prompt for one in asked], HARM, 2, Random(0), first=[one.going_along for one in asked]
    )
    talks = [*talks]
    scores = by_round(asked, talks)
    assert len(scores) == 3
    assert scores[0].harmless[0] == 0
    model.say = lambda talk: (
        GOOD if len(talk) == 5 else Pretender.say(model, (talk[0], talk[1]._replace(text=BAD), talk[2]))
    )
    mended = critique_and_revise(
        model, [one.prompt for one in asked], HARM, 1, Random(0), first=[one.going_along for one in asked]
    )
    after = by_round(asked, mended)
    assert after[0].harmless[0] == 0
    assert after[1].harmless[0] == 1
    assert after[1].helpful[0] >= 0.4
    with pytest.raises(ValueError, match=r"6 instructions and 5 transcripts do not have the same prompts"):
        by_round(asked, mended[:5])
    with pytest.raises(ValueError, match=r"transcripts have \[0, 1\] rounds"):
        by_round(
            asked, [*mended[:5], critique_and_revise(model, [asked[5].prompt], HARM, 0, Random(0), first=["x"])[0]]
        )
    with pytest.raises(ValueError, match=r"transcripts have \[\] rounds"):
        by_round([], [])


def test_the_label_is_that_of_both_orders_and_not_of_the_first_reading():
    """It likes b better by half a nat, and what is read first by one: read with a first it prefers a."""
    judge = lambda questions: torch.tensor([1.0 + 0.5 * ((q.first == "b") - (q.first == "a")) for q in questions])  # noqa: E731
    found = feedback_stage(judge, len, ["x"], [("a", "b")], load(), Random(0))
    assert found.labels[0].forward > 0.5
    assert [(one.chosen, one.rejected) for one in found.pairs] == [("b", "a")]


def test_stage_two_labels_and_trains_on_the_chosen_and_the_rejected():
    strength = {"good": 3.0, "fair": 0.2, "bad": -3.0}
    judge = lambda questions: torch.tensor([strength[q.first] - strength[q.second] + 1.0 for q in questions])  # noqa: E731
    prompts, pairs = ["x", "y", "z"], [("bad", "good"), ("good", "fair"), ("fair", "fair ")]
    strength["fair "] = 0.2
    found = feedback_stage(judge, len, prompts, pairs, load(), Random(0))
    assert [(one.chosen, one.rejected) for one in found.pairs] == [("good", "bad"), ("good", "fair")]
    assert found.model == 2
    assert len(found.labels) == 3, "the tie is labelled, and not learned"
    sure = feedback_stage(judge, lambda labelled: labelled, prompts, pairs, load(), Random(0), surer_than=0.98)
    assert [one.prompt for one in sure.model] == ["x"]
    with pytest.raises(ValueError, match=r"surer_than = 0.9999: none of 3 labels is"):
        feedback_stage(judge, len, prompts, pairs, load(), Random(0), surer_than=0.9999)
    with pytest.raises(ValueError, match=r"surer_than = 0.3: expected a probability"):
        feedback_stage(judge, len, prompts, pairs, load(), Random(0), surer_than=0.3)
