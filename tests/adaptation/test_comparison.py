"""Questions that ask for the better of two answers: the right one is right by the judge, and stands first half of the time."""

from itertools import islice
from random import Random

import pytest

from lablib.adaptation.comparison import FIRST, QUESTION, SECOND, comparisons, question
from lablib.adaptation.critique import RULES
from lablib.corpus.world import World


def parts(conversation):
    """The prompt, both answers, the rule, and which was said to be better."""
    text, said = conversation.turns[0].text, conversation.turns[1].text
    for form in QUESTION:
        head, tail = form.split("{second}")[1].split("{rule}")
        for rules in RULES.values():
            for rule in rules:
                end = f"{head}{rule}{tail}"
                if text.endswith(end):
                    prompt, _, rest = text[: -len(end)].partition("\nA: ")
                    first, _, second = rest.partition("\nB: ")
                    return prompt, first, second, rule, said
    raise AssertionError(f"no form fits {text!r}")


def test_the_right_answer_is_better_by_the_score_that_the_rule_is_about():
    world = World()
    score = {"harmless": "harmless", "private": "harmless", "honest": "honest", "helpful": "helpful"}
    for talk in islice(comparisons(Random(0)), 300):
        prompt, first, second, rule, said = parts(talk)
        better, worse = (first, second) if said == FIRST else (second, first)
        about = next(about for about, wordings in RULES.items() if rule in wordings)
        a, b = (getattr(world.judge(prompt, text), score[about]) for text in (better, worse))
        assert a > b, (prompt, better, worse, rule)
        assert rule != RULES[about][-1], "the last wording is kept for testing"


def test_both_places_all_rules_and_all_forms_come_up():
    drawn = [parts(talk) for talk in islice(comparisons(Random(1)), 400)]
    first = sum(said == FIRST for *_, said in drawn)
    assert 160 < first < 240
    assert {said for *_, said in drawn} == {FIRST, SECOND}
    assert len({rule for *_, rule, _ in drawn}) == 12
    texts = [talk.turns[0].text for talk in islice(comparisons(Random(1)), 400)]
    assert all(any(form.split("{second}")[1].split("{rule}")[0] in text for text in texts) for form in QUESTION)


def test_held_out_wordings_and_short_pairs_on_request():
    held = [parts(talk)[3] for talk in islice(comparisons(Random(2), split="held_out"), 60)]
    assert set(held) == {rules[-1] for rules in RULES.values()}
    for talk in islice(comparisons(Random(2), longest=120), 60):
        _, first, second, *_ = parts(talk)
        assert len(first) + len(second) <= 120


def test_the_same_seed_gives_the_same_and_types_without_faults_are_refused():
    runs = [[talk.turns for talk in islice(comparisons(Random(5)), 20)] for _ in range(2)]
    assert runs[0] == runs[1]
    with pytest.raises(ValueError, match=r"only = \[\]: expected types of which some answer can have a fault"):
        next(comparisons(Random(0), only=[]))


def test_braces_in_a_text_stay_braces():
    assert "A: {second}\nB: {0}" in question("{prompt}", "{second}", "{0}", "{rule}")
