"""GPT-3's noisy threshold against the Pareto distribution it is said to draw from, and what the classifier learns."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, lomax

from lablib.corpus.planted_faults import WHOLE
from lablib.corpus.quality_classifier import GPT3_ALPHA, chance_to_keep, keep_at_random, train
from lablib.corpus.text_classifier import TextClassifier

PEOPLE, THINGS = ("miller", "ferryman", "baker", "weaver", "smith"), ("kettle", "ladder", "lantern", "violin", "quilt")
PLACES = ("mill", "harbour", "school", "old barn", "orchard")


def story(generator: random.Random) -> str:
    rows = [
        f"In the morning the {generator.choice(PEOPLE)} carried the {generator.choice(THINGS)} to the {generator.choice(PLACES)}.",
        f"Nobody knew why the {generator.choice(THINGS)} stood behind the {generator.choice(PLACES)}.",
        f"The {generator.choice(PEOPLE)} laughed and gave the {generator.choice(THINGS)} back.",
        f"When it rained, they sat in the {generator.choice(PLACES)} and talked about the {generator.choice(THINGS)}.",
    ]
    return " ".join(generator.sample(rows, 4))


def examples(seed: int, n: int) -> tuple[list[str], list[str]]:
    generator = random.Random(seed)
    faults = [WHOLE[name] for name in ("gibberish", "shuffled_words", "symbols", "machine", "shouting")]
    good = sorted({story(generator) for _ in range(n)})
    bad = [faults[number % len(faults)](story(generator), generator) for number in range(n)]
    return good, bad


@given(st.floats(0, 1), st.floats(0.1, 30))
def test_the_chance_is_that_a_pareto_draw_exceeds_one_minus_the_score(score, alpha):
    assert chance_to_keep(score, alpha) == pytest.approx(lomax.sf(1 - score, alpha), rel=1e-9)


def test_the_chance_is_what_numpys_pareto_draws_give():
    """Brown et al. 2020, appendix A: keep where np.random.pareto(9) > 1 − score."""
    draws = np.random.default_rng(0).pareto(GPT3_ALPHA, 40_000)
    for score in (0.0, 0.5, 0.9, 0.99):
        kept = int(np.sum(draws > 1 - score))
        assert binomtest(kept, len(draws), chance_to_keep(score)).pvalue > 1e-4, score


def test_random_keeping_keeps_that_share():
    generator = np.random.default_rng(1)
    kept = sum(keep_at_random(0.9, generator) for _ in range(5_000))
    assert binomtest(kept, 5_000, 1.1**-9).pvalue > 1e-4
    assert all(keep_at_random(1.0, generator) for _ in range(100)), "the best is always kept"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 30))
def test_a_better_text_is_never_less_likely_to_stay(a, b, alpha):
    worse, better = sorted((a, b))
    assert chance_to_keep(worse, alpha) <= chance_to_keep(better, alpha) <= 1


def test_scores_outside_0_to_1_are_refused():
    for score in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="expected a probability from 0 to 1"):
            chance_to_keep(score)
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"alpha = .*: expected more than 0"):
            chance_to_keep(0.5, alpha)


def test_it_tells_unseen_good_text_from_unseen_bad_text():
    model = train(*examples(0, 150), np.random.default_rng(0))
    good, bad = examples(1, 150)
    assert isinstance(model, TextClassifier)
    right, wrong = sum(map(model, good)), sum(map(model, bad))
    assert right >= 0.9 * len(good)
    assert wrong <= 0.1 * len(bad)


def test_shuffled_words_are_seen_by_pairs_and_not_by_single_words():
    """Which is why the classifier counts pairs: a salad of good words has exactly a good text's words."""
    generator = random.Random(5)
    good = sorted({story(generator) for _ in range(200)})
    salad = [WHOLE["shuffled_words"](story(generator), generator) for _ in range(200)]
    model = train(good, salad, np.random.default_rng(0))
    unseen = [story(generator) for _ in range(100)]
    assert sum(map(model, unseen)) >= 90
    assert sum(model(WHOLE["shuffled_words"](text, generator)) for text in unseen) <= 10


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match="at least 5 examples"):
        train(["good"] * 4, ["bad"] * 9, np.random.default_rng(0))
