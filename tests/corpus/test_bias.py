"""Bias: swaps that undo themselves, PMI and ratios against hand-worked tables, scikit-learn and scipy, intervals by coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from scipy.stats.contingency import relative_risk
from sklearn.metrics import mutual_info_score

from lablib.corpus.bias import (
    GENDER,
    Counts,
    Gap,
    count_together,
    counterfactual_gap,
    log_ratio,
    pmi,
    swap,
    swap_gender,
)

BANKS = [("north", "south"), ("northern", "southern")]
pieces = st.lists(
    st.sampled_from(["north", "South", "NORTHERN", "southern", "river", "Northwards", "the", ".", "south-east"]),
    max_size=12,
)


# ------------------------------------------------------------------ swaps


@given(pieces.map(" ".join))
def test_swapping_twice_gives_the_text_back(text):
    once = swap(text, BANKS)
    assert swap(once, BANKS) == text
    assert len(once.split()) == len(text.split())


@given(pieces)
def test_a_swap_is_word_for_word_what_a_table_says(words):
    table = {"north": "south", "South": "North", "NORTHERN": "SOUTHERN", "southern": "northern"}
    assert swap(" ".join(words), BANKS) == " ".join(table.get(word, word) for word in words)


def test_capitals_and_edges_stay_where_they_were():
    assert swap("North. (south) NORTH's south—north", [("north", "south")]) == "South. (north) SOUTH's north—south"
    assert swap("A man and a woman: the Man", GENDER) == "A woman and a man: the Woman"
    assert swap("north", []) == "north"
    assert swap("upper village, lower village", [("upper village", "lower village")]) == "lower village, upper village"
    assert swap("mankind, north-bound", [("man", "woman"), ("north", "south")]) == "mankind, north-bound"


def test_a_word_with_two_partners_is_refused():
    with pytest.raises(ValueError, match="'north' with 'south' and with 'east': expected one partner each"):
        swap("any", [("north", "south"), ("north", "east")])


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("She gave her boat to him.", "He gave his boat to her."),
        ("He saw her at noon.", "She saw him at noon."),
        ("The boat is hers, not his.", "The boat is his, not hers."),
        ("It was his.", "It was hers."),
        ("His sister told her that she was late.", "Her brother told him that he was late."),
        ("HER king", "HIS queen"),
        ("Her father's boat", "His mother's boat"),
        ("She's here; he'll come.", "He's here; she'll come."),
        ("Then he asked her again.", "Then she asked him again."),
        ("I know her.\nShe knows me.", "I know him.\nHe knows me."),
        ("The theatre was hot, the ship here.", "The theatre was hot, the ship here."),
        ("He himself", "She herself"),
        ("Mr Orley and Mrs Orley", "Mrs Orley and Mr Orley"),
    ],
)
def test_pronouns_take_the_form_that_the_next_word_asks_for(text, swapped):
    assert swap_gender(text) == swapped
    assert swap_gender(swapped) == text


def test_gender_pairs_have_one_partner_each():
    every = [word for pair in GENDER for word in pair]
    assert len(set(every)) == len(every)


# ------------------------------------------------------------------ counterfactual gaps


def test_the_gap_is_the_mean_difference_and_texts_without_the_groups_do_not_count():
    texts = ["the north is wet", "the north and the south", "the river", "south"]
    score = {"the north is wet": 3.0, "the south is wet": 1.0, "south": 1.0, "north": 4.0}
    score |= {"the north and the south": 5.0, "the south and the north": 5.0}
    gap = counterfactual_gap(texts, lambda text: swap(text, BANKS), lambda text: score[text], np.random.default_rng(0))
    assert gap.mean == pytest.approx((2 + 0 - 3) / 3)
    assert gap.n == 3
    assert -3 <= gap.low <= gap.mean <= gap.high <= 2


def test_a_blind_score_has_no_gap_and_a_planted_one_is_found():
    texts = [f"the {side} side has {n} boats" for side in ("north", "north", "south") for n in range(20)]

    def gap(score, seed=0) -> Gap:
        return counterfactual_gap(texts, lambda text: swap(text, BANKS), score, np.random.default_rng(seed))

    blind = gap(lambda text: float(len(text.split())))
    assert (blind.mean, blind.low, blind.high, blind.n) == (0, 0, 0, 60)
    unfair = gap(lambda text: 0.2 * ("north" in text))
    assert unfair.mean == pytest.approx(0.2 * (40 - 20) / 60)
    assert unfair.low > 0


def test_the_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(3).normal(1, 2, 40)
    table = dict(zip((f"north {n}" for n in range(40)), values, strict=True))
    gap = counterfactual_gap(
        table, lambda text: swap(text, BANKS), lambda text: table.get(text, 0.0), np.random.default_rng(0), 5_000
    )
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    spread = values.std() / 40**0.5
    assert (gap.low, gap.high) == pytest.approx((theirs.low, theirs.high), abs=0.1 * spread)


def test_a_gap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="the swap changes none of the texts"):
        counterfactual_gap(["the river"], lambda text: swap(text, BANKS), len, np.random.default_rng(0))


# ------------------------------------------------------------------ who stands near whom


def test_counts_by_hand():
    passages = [
        "She is careful.",
        "He is careless, careless!",
        "Careful people",
        "she's careless",
        "Carefully, she rows",
    ]
    assert count_together(passages, {"she"}, {"careful", "careless"}) == Counts(1, 2, 4, 5)
    assert count_together(passages, {"she", "she's"}, {"careless"}) == Counts(1, 3, 2, 5)
    assert count_together([], {"she"}, {"careful"}) == Counts(0, 0, 0, 0)


tables = st.tuples(*[st.integers(1, 60)] * 4).map(lambda t: Counts(t[0], t[0] + t[1], t[0] + t[2], sum(t)))


@given(tables)
def test_pmi_summed_over_the_four_cells_is_the_mutual_information(counts):
    """Of which each PMI is one term: scikit-learn's, in nats, is the sum over p(x, y) · PMI(x, y)."""
    both, group, attribute, total = counts.both, counts.group, counts.attribute, counts.total
    cells = {
        (1, 1): (both, group, attribute),
        (1, 0): (group - both, group, total - attribute),
        (0, 1): (attribute - both, total - group, attribute),
        (0, 0): (total - group - attribute + both, total - group, total - attribute),
    }
    x = [i for (i, _), (n, _, _) in cells.items() for _ in range(n)]
    y = [j for (_, j), (n, _, _) in cells.items() for _ in range(n)]
    ours = sum(n / total * pmi(Counts(n, a, b, total), smoothing=0) for n, a, b in cells.values())
    assert ours == pytest.approx(mutual_info_score(x, y) / math.log(2), abs=1e-9)


@pytest.mark.parametrize(
    ("counts", "bits"),
    [((25, 50, 50, 100), 0.0), ((50, 50, 50, 100), 1.0), ((10, 20, 20, 80), 1.0), ((5, 20, 80, 80), -2.0)],
)
def test_pmi_by_hand(counts, bits):
    both, group, attribute, total = counts
    assert pmi(Counts(*counts), smoothing=0) == pytest.approx(
        math.log2(both / total / (group / total * attribute / total))
    )
    assert pmi(Counts(*counts), smoothing=0) == pytest.approx(bits)


@given(tables)
def test_pmi_is_symmetric_and_smoothing_pulls_a_rare_pair_towards_chance(counts):
    mirrored = Counts(counts.both, counts.attribute, counts.group, counts.total)
    assert pmi(counts) == pytest.approx(pmi(mirrored))
    assert abs(pmi(counts, 1e6)) < 0.01


def test_a_pair_that_never_occurs_has_a_value_only_with_smoothing():
    with pytest.raises(ValueError, match=r"the logarithm of 0 has no value; give a smoothing such as 0\.5"):
        pmi(Counts(0, 5, 5, 100), smoothing=0)
    assert pmi(Counts(0, 5, 5, 100)) == pytest.approx(math.log2(0.5 * 102 / (6 * 6)))


@given(tables, tables)
def test_the_ratio_and_its_interval_are_scipys_relative_risk(first, second):
    found = log_ratio(first, second, smoothing=0)
    theirs = relative_risk(first.both, first.group, second.both, second.group)
    interval = theirs.confidence_interval(0.95)
    assert found.mean == pytest.approx(math.log2(theirs.relative_risk), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((math.log2(interval.low), math.log2(interval.high)), abs=1e-6)
    assert found.n == first.group + second.group


@given(tables, tables)
def test_exchanging_the_groups_turns_the_sign(first, second):
    there, back = log_ratio(first, second), log_ratio(second, first)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))


def test_the_interval_holds_the_truth_about_95_times_in_100():
    generator, held, trials = np.random.default_rng(0), 0, 2_000
    for _ in range(trials):
        both = generator.binomial(200, [0.4, 0.1])
        found = log_ratio(Counts(both[0], 200, 100, 400), Counts(both[1], 200, 100, 400))
        held += found.low <= 2.0 <= found.high  # log2(0.4/0.1)
    assert 0.93 < held / trials < 0.97


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a share of 0 has no logarithm"):
        log_ratio(Counts(0, 10, 5, 50), Counts(5, 10, 5, 50), smoothing=0)
