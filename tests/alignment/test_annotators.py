"""Simulated annotators: probabilities by hand, what each flaw does, and ceilings that the best predictor reaches and nobody passes."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.alignment import annotators as an
from lablib.alignment.agreement import krippendorff_alpha
from lablib.alignment.responses import Response, Weights
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement

scores = st.floats(0, 1)
seen = st.builds(lambda a, b, c, words: an.Seen(Judgement(a, b, c), words), scores, scores, scores, st.integers(0, 120))
who = st.builds(
    lambda t, bias, lapse: an.Annotator("x", t, bias, lapse), st.floats(0.01, 5), st.floats(-1, 1), st.floats(0, 1)
)
RIGHT = an.Seen(Judgement(1.0, 1.0, 1.0), 5)
WRONG = an.Seen(Judgement(0.0, 0.0, 1.0), 5)  # gold 1/3


def judged(gold, words=5):
    return an.Seen(Judgement(gold, gold, gold), words)


# ---------------------------------------------------------------- probabilities


def test_by_hand():
    plain = an.Annotator("x", temperature=0.5)
    assert plain.nats(RIGHT, WRONG) == pytest.approx((2 / 3) / 0.5)
    assert plain.probability(RIGHT, WRONG) == pytest.approx(1 / (1 + math.exp(-4 / 3)))
    assert (
        round(an.Annotator("x", temperature=2 / 3).probability(RIGHT, WRONG), 2) == 0.73
    )  # a difference of one temperature
    biased = an.Annotator("x", temperature=0.5, length_bias=0.1)
    long_wrong = an.Seen(WRONG.gold, 25)
    assert biased.nats(RIGHT, long_wrong) == pytest.approx(4 / 3 - 2)
    tired = an.Annotator("x", temperature=0.5, lapse=0.4)
    assert tired.probability(RIGHT, WRONG) == pytest.approx(0.2 + 0.6 / (1 + math.exp(-4 / 3)))
    picky = an.Annotator("x", temperature=1.0, weights=Weights(1, 0, 0))
    assert picky.nats(RIGHT, WRONG) == pytest.approx(1.0)


@given(one=who, a=seen, b=seen)
def test_both_orders_sum_to_one_and_lapses_bound_them(one, a, b):
    p = one.probability(a, b)
    assert p + one.probability(b, a) == pytest.approx(1, abs=1e-12)
    assert one.lapse / 2 - 1e-12 <= p <= 1 - one.lapse / 2 + 1e-12
    assert one.probability(a, a) == pytest.approx(0.5)


@given(a=seen, b=seen, t=st.floats(0.05, 5))
def test_a_clearer_eye_sees_more(a, b, t):
    sharp, dull = (an.Annotator("x", temperature).probability(a, b) for temperature in (t / 2, t))
    assert abs(sharp - 0.5) >= abs(dull - 0.5) - 1e-12
    assert (sharp - 0.5) * (dull - 0.5) >= 0


def test_labels_fall_as_often_as_the_probability_says():
    one, generator = an.Annotator("x", 0.5, 0.05, 0.1), Random(0)
    p = one.probability(RIGHT, judged(0.5, 12))
    share = sum(one.prefers_first(RIGHT, judged(0.5, 12), generator) for _ in range(20_000)) / 20_000
    assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 20_000))
    assert 0.55 < p < 0.95


def test_words_are_counted_as_a_reader_would():
    assert an.words_of("") == an.words_of(" . ") == 0
    assert an.words_of("It isn't twenty-one.") == 3
    response = Response(next(World().instructions(Random(0))), (1,), "Two words", True)
    assert an.Seen.of(response, Judgement(1, 1, 1)).words == 2


def test_the_three_differ_as_they_are_meant_to():
    short_right, long_wrong = judged(1.0, 5), judged(0.5, 30)
    careful, hasty, impressed = (one.probability(short_right, long_wrong) for one in an.ANNOTATORS)
    assert careful > 0.95
    assert impressed < 0.75
    assert hasty < careful
    assert an.pooled(an.ANNOTATORS, short_right, long_wrong) == pytest.approx((careful + hasty + impressed) / 3)
    assert len({one.name for one in an.ANNOTATORS}) == 3


def test_sharper_annotators_agree_more():
    random = Random(2)
    pairs = [(judged(random.random(), 9), judged(random.random(), 9)) for _ in range(600)]
    alphas = [
        krippendorff_alpha(an.labelled(pairs, [an.Annotator(name, t) for name in "ab"], Random(3)))
        for t in (0.01, 0.2, 100.0)
    ]
    assert alphas[0] > 0.9
    assert 0.2 < alphas[1] < 0.8
    assert abs(alphas[2]) < 0.12


# ---------------------------------------------------------------- ceilings


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_ceiling_is_the_mean_of_the_likelier_labels(p):
    found = an.noise_ceiling(p)
    assert found.mean == pytest.approx(sum(max(x, 1 - x) for x in p) / len(p))
    assert 0.5 - 1e-12 <= found.mean <= 1 + 1e-12
    assert found.low - 1e-12 <= found.mean <= found.high + 1e-12
    assert found.n == len(p)


def test_no_predictor_passes_it_and_the_best_reaches_it():
    """Labels are drawn 400 times: a predictor that knows P is right as often as the ceiling says, others less."""
    random = Random(5)
    p = [random.random() for _ in range(200)]
    ceiling = an.noise_ceiling(p)
    best, other, inside = 0.0, 0.0, 0
    for _ in range(400):
        labels = [random.random() < x for x in p]
        right = sum(label == (x > 0.5) for label, x in zip(labels, p, strict=True)) / len(p)
        best += right / 400
        inside += ceiling.low <= right <= ceiling.high
        other += sum(label == (x > 0.4) for label, x in zip(labels, p, strict=True)) / len(p) / 400
    assert best == pytest.approx(ceiling.mean, abs=0.005)
    assert other < best - 0.003
    assert 0.92 <= inside / 400 <= 0.98


def test_gold_alone_reaches_less_where_annotators_like_length():
    one = an.Annotator("x", temperature=0.3, length_bias=0.2)
    random = Random(6)
    pairs = [
        (judged(random.random(), random.randrange(5, 40)), judged(random.random(), random.randrange(5, 40)))
        for _ in range(300)
    ]
    p = [one.probability(a, b) for a, b in pairs]
    gold = [a.gold.helpful - b.gold.helpful for a, b in pairs]
    assert an.gold_ceiling(p, gold).mean < an.noise_ceiling(p).mean - 0.1
    fair = an.Annotator("x", temperature=0.3)
    p = [fair.probability(a, b) for a, b in pairs]
    assert an.gold_ceiling(p, gold).mean == pytest.approx(an.noise_ceiling(p).mean)


def test_where_gold_is_equal_it_says_nothing():
    assert an.gold_ceiling([0.9, 0.1], [0.0, 0.0]).mean == 0.5


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", " "), ("temperature", 0.0), ("temperature", math.nan), ("temperature", math.inf), ("length_bias", math.nan), ("lapse", 1.5),
     ("lapse", math.nan)],
)  # fmt: skip
def test_an_annotator_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} "):
        an.Annotator(**{"name": "x", name: value})


def test_nothing_to_measure_is_named():
    with pytest.raises(ValueError, match="annotators is empty"):
        an.pooled([], RIGHT, WRONG)
    with pytest.raises(ValueError, match="probabilities is empty"):
        an.noise_ceiling([])
    with pytest.raises(ValueError, match=r"probability = 1\.2"):
        an.noise_ceiling([1.2])
    with pytest.raises(ValueError, match="1 probabilities and 2 gold_differences"):
        an.gold_ceiling([0.5], [1.0, 2.0])


def test_sigmoid_everywhere():
    assert [an.sigmoid(x) for x in (-800.0, 0.0, 800.0)] == [0, 0.5, 1]
    assert an.sigmoid(2.0) == pytest.approx(1 / (1 + math.exp(-2)))
    assert an.sigmoid(-2.0) == pytest.approx(1 / (1 + math.exp(2)))
