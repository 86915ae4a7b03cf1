"""Stage 2: log-odds against a softmax by hand, both orders, and how averaging them cures a liking for the first place."""

import math
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.adaptation.chat import render
from lablib.adaptation.comparison import FIRST, SECOND, question
from lablib.adaptation.critique import BREAKS, KEEPS
from lablib.alignment.ai_labels import AILabel, Question, choice_judge, label, log_odds, verdict_judge
from lablib.alignment.constitution import load
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.tokens import course_tokenizer

OURS = load()


@pytest.fixture(scope="module")
def small():
    tokenizer = course_tokenizer.load()
    config = DecoderConfig(V=tokenizer.V, D=16, H=2, L=1, hidden=24, context=128)
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(10)
    return model, tokenizer


def by_hand(model, tokenizer, talk, text):
    ids, total = render(talk, tokenizer, reply=True), 0.0
    for token in tokenizer.encode(text):
        with torch.no_grad():
            total += model(torch.tensor([ids]))[0, -1].double().log_softmax(dim=-1)[token].item()
        ids.append(token)
    return total


def test_log_odds_equal_those_taken_token_by_token(small):
    talks = [
        (Turn("user", "Hi"),),
        (Turn("user", "Where does Mirabe live?"), Turn("assistant", "In Marrow."), Turn("user", "Hm?")),
    ]
    found = log_odds(*small, talks, KEEPS, BREAKS)
    expected = [by_hand(*small, talk, KEEPS) - by_hand(*small, talk, BREAKS) for talk in talks]
    assert found.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert all(abs(x) > 0.05 for x in expected)


def test_the_choice_is_asked_with_both_answers_in_the_order_given(small):
    one = Question("Hi", "Hello.", "No.", OURS["openness"])
    turned = Question("Hi", "No.", "Hello.", OURS["openness"])
    found = choice_judge(*small)([one, turned])
    talks = [
        (Turn("user", question("Hi", first, second, OURS["openness"].rule)),)
        for first, second in (("Hello.", "No."), ("No.", "Hello."))
    ]
    expected = [by_hand(*small, talk, FIRST) - by_hand(*small, talk, SECOND) for talk in talks]
    assert found.tolist() == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert abs(expected[0] + expected[1]) > 0.01, "an untrained model has a liking for a place"


def test_the_verdict_judge_has_no_order(small):
    asked = [("Hi", "Hello.", "No."), ("Where?", "In Marrow.", "I do not know.")]
    judge = verdict_judge(*small)
    there = judge([Question(*one, OURS["truth"]) for one in asked])
    back = judge([Question(x, b, a, OURS["truth"]) for x, a, b in asked])
    torch.testing.assert_close(there, -back, rtol=1e-3, atol=1e-4)
    talk = lambda answer: (Turn("user", "Hi"), Turn("assistant", answer), Turn("user", OURS["truth"].asks()))  # noqa: E731
    odds = log_odds(*small, [talk("Hello."), talk("No.")], KEEPS, BREAKS)
    assert there[0].item() == pytest.approx((odds[0] - odds[1]).item(), rel=1e-3, abs=1e-4)


def test_what_does_not_fit_in_the_context_gives_no_opinion(small):
    long = "The old miller walks to the river. " * 20
    found = choice_judge(*small)(
        [Question("Hi", long, "No.", OURS["truth"]), Question("Hi", "Yes.", "No.", OURS["truth"])]
    )
    assert found[0] == 0
    assert found[1] != 0


def test_a_talk_is_read_up_to_the_last_token_of_the_context(small):
    """The last token of what is said is a target only, so prompt and saying may have one token more than the context."""
    model, tokenizer = small
    said = max(len(tokenizer.encode(text)) for text in (KEEPS, BREAKS))
    room = {}
    for words in range(60, 120):
        talk = (Turn("user", "river " * words),)
        room[len(render(talk, tokenizer, reply=True)) + said - model.sizes.context] = talk
    assert {1, 2} <= room.keys(), "one that just fits, and one with a token too many"
    fits, does_not = log_odds(model, tokenizer, [room[1], room[2]], KEEPS, BREAKS).tolist()
    assert fits == pytest.approx(
        by_hand(model, tokenizer, room[1], KEEPS) - by_hand(model, tokenizer, room[1], BREAKS), rel=1e-3
    )
    assert does_not == 0 != fits


# ---------------------------------------------------------------- labels


def biased(towards_first: float, truth):
    """A judge that knows the truth, but likes what it reads first."""
    return lambda questions: torch.tensor([truth(q) + towards_first for q in questions])


def likes(q: Question) -> float:
    return float(len(set(q.first)) - len(set(q.second)))


@settings(max_examples=60, deadline=None)
@given(t=st.floats(-4, 4), b=st.floats(-6, 6))
def test_averaging_both_orders_gives_the_judges_true_choice_whatever_its_liking_for_a_place(t, b):
    def judge(questions):
        return torch.tensor([(t if q.first == "a" else -t) + b for q in questions], dtype=torch.float64)

    found = label(judge, ["x"], [("a", "b")], OURS, Random(0))[0]
    assert found.forward == pytest.approx(1 / (1 + math.exp(-(t + b))), rel=1e-9)
    assert found.backward == pytest.approx(1 / (1 + math.exp(-(t - b))), rel=1e-9)
    if abs(t) > 1e-3:
        assert found.prefers_a is (t > 0)
    if min(abs(t + b), abs(t - b)) > 1e-9:  # nearer to 0 a probability is rounded to 1/2: no choice at all
        assert found.turns == (abs(b) > abs(t))
    swapped = label(judge, ["x"], [("b", "a")], OURS, Random(0))[0]
    assert swapped.p == pytest.approx(1 - found.p, rel=1e-9)


def test_each_pair_is_held_against_its_own_principles_in_both_orders():
    seen = []

    def judge(questions):
        seen.extend(questions)
        return torch.zeros(len(questions))

    prompts, pairs = ["x", "y", "z"], [("a", "b"), ("c", "d"), ("e", "f")]
    found = label(judge, prompts, pairs, OURS, Random(3), principles=4)
    assert len(seen) == 2 * 3 * 4
    for prompt, (a, b), one in zip(prompts, pairs, found, strict=True):
        asked = [q for q in seen if q.prompt == prompt]
        assert len(set(one.principles)) == 4
        for order in ((a, b), (b, a)):
            assert [q.principle.id for q in asked if (q.first, q.second) == order] == list(one.principles)
        assert one == AILabel(one.principles, 0.5, 0.5)
        assert one.prefers_a is None
    assert label(judge, prompts, pairs, OURS, Random(3), principles=4) == found


def test_the_mean_is_over_principles_of_the_same_pair():
    weights = {one.id: i / 3 for i, one in enumerate(OURS.on)}
    judge = lambda questions: torch.tensor([weights[q.principle.id] * (1 if q.first == "a" else -1) for q in questions])  # noqa: E731
    found = label(judge, ["x", "y"], [("a", "b"), ("b", "a")], OURS, Random(1), principles=3)
    for one, sign in zip(found, (1, -1), strict=True):
        expected = sum(1 / (1 + math.exp(-sign * weights[id])) for id in one.principles) / 3
        assert one.p == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("prompts", "pairs", "principles", "message"),
    [
        (["x"], [], 1, r"1 prompts and 0 pairs: expected one pair for each prompt"),
        (["x"], [("a", "a")], 1, r"pairs\[0\] are twice the same answer, 'a': expected two"),
        (["x"], [("a", "b")], 0, r"principles = 0: expected 1 to 14"),
        (["x"], [("a", "b")], 15, r"principles = 15: expected 1 to 14, those that are in force"),
    ],
)
def test_bad_questions_are_refused(prompts, pairs, principles, message):
    with pytest.raises(ValueError, match=message):
        label(biased(0, likes), prompts, pairs, OURS, Random(0), principles)


def test_no_pairs_are_no_labels():
    assert label(biased(0, likes), [], [], OURS, Random(0)) == []
