"""Agreement: against scikit-learn, against published worked examples, and by what must not matter."""

import math
import warnings
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from lablib.alignment import agreement as ag

labels = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC")), min_size=1, max_size=30)


# ---------------------------------------------------------------- published examples


def test_cohens_own_example():
    """Cohen 1960, table 2: 200 patients, p_o = 0.70, p_c = 0.41, kappa = 0.492."""
    table = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(table[i][j])]
    first, second = zip(*pairs, strict=True)
    assert ag.percent_agreement(first, second) == pytest.approx(0.70)
    assert ag.cohen_kappa(first, second) == pytest.approx(0.492, abs=5e-4)


def test_a_worked_example_of_fleiss_kappa():
    """14 raters, 10 subjects, 5 categories: mean agreement 0.378, by chance 0.213, kappa 0.210."""
    table = """0 0 0 0 14 / 0 2 6 4 2 / 0 0 3 5 6 / 0 3 9 2 0 / 2 2 8 1 1 / 7 7 0 0 0 / 3 2 6 3 0 / 2 5 3 2 2 / 6 5 2 1 0 / 0 2 2 3 7"""
    units = [
        [category for category, count in enumerate(map(int, row.split())) for _ in range(count)]
        for row in table.split("/")
    ]
    assert ag.fleiss_kappa(units) == pytest.approx(0.210, abs=5e-4)


def test_krippendorffs_own_examples():
    """Krippendorff 2011: binary data (A), nominal data (B), four observers with missing data (C and D)."""
    meg, owen = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert ag.krippendorff_alpha(list(zip(meg, owen, strict=True))) == pytest.approx(0.095, abs=5e-4)
    ben, gerry = "aabbdcccedda", "babbbccceddd"
    assert ag.krippendorff_alpha(list(zip(ben, gerry, strict=True))) == pytest.approx(0.692, abs=5e-4)
    rows = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[None if label == "." else label for label in unit] for unit in zip(*rows, strict=True)]
    assert len(units) == 12
    assert ag.krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


# ---------------------------------------------------------------- oracles


@given(pairs=labels)
def test_cohens_kappa_is_that_of_scikit_learn(pairs):
    first, second = zip(*pairs, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cohen_kappa_score(first, second)
    assert ag.cohen_kappa(first, second) == pytest.approx(theirs, abs=1e-12, nan_ok=True)


@given(pairs=labels)
def test_fleiss_kappa_of_two_is_scotts_pi(pairs):
    """With two labels a unit, chance is one pooled coin (Scott 1955): that is Cohen's kappa of the labels and their mirror image."""
    first, second = zip(*pairs, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cohen_kappa_score([*first, *second], [*second, *first])
    assert ag.fleiss_kappa(pairs) == pytest.approx(theirs, abs=1e-12, nan_ok=True)


@given(pairs=labels)
def test_alpha_is_fleiss_kappa_with_a_small_sample_correction(pairs):
    """Without missing labels and n = 2N of them: alpha = 1 − (1 − pi)·(n − 1)/n (Krippendorff 2011)."""
    pi, n = ag.fleiss_kappa(pairs), 2 * len(pairs)
    expected = math.nan if math.isnan(pi) else 1 - (1 - pi) * (n - 1) / n
    assert ag.krippendorff_alpha(pairs) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(units=st.lists(st.lists(st.sampled_from("AB"), min_size=3, max_size=3), min_size=2, max_size=20))
def test_alpha_by_brute_force(units):
    """D_o: pairs within units, each unit's n_u(n_u − 1) ordered pairs weighed by 1/(n_u − 1). D_e: all pairs of different labels."""
    every = [label for unit in units for label in unit]
    n = len(every)
    within = sum(a != b for unit in units for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j) / 2
    across = sum(every[i] != every[j] for i in range(n) for j in range(n) if i != j)
    expected = math.nan if not across else 1 - (within / n) / (across / (n * (n - 1)))
    assert ag.krippendorff_alpha(units) == pytest.approx(expected, abs=1e-12, nan_ok=True)


# ---------------------------------------------------------------- what must not matter, and what must


@given(pairs=labels, seed=st.integers(0, 99))
def test_order_and_names_do_not_matter(pairs, seed):
    mixed = list(pairs)
    Random(seed).shuffle(mixed)
    renamed = [tuple({"A": 1, "B": 2, "C": 3}[label] for label in pair) for pair in mixed]
    turned = [pair[::-1] for pair in renamed]
    for measure in (ag.fleiss_kappa, ag.krippendorff_alpha, lambda units: ag.cohen_kappa(*zip(*units, strict=True))):
        expected = measure(pairs)
        assert measure(renamed) == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert measure(turned) == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert math.isnan(expected) or expected <= 1


def test_missing_labels_and_lonely_ones_say_nothing():
    units = [("A", "A"), ("A", "B"), ("B", "B")]
    more = [("A", None, "A"), (None, "A", "B"), ("B", "B", None), ("C", None, None), (None, None, None)]
    assert ag.krippendorff_alpha(more) == ag.krippendorff_alpha(units)


def test_perfect_worse_than_chance_and_nothing_to_tell():
    assert ag.cohen_kappa("ABAB", "ABAB") == ag.fleiss_kappa(["AA", "BB"]) == ag.krippendorff_alpha(["AA", "BB"]) == 1
    assert ag.cohen_kappa("AB", "BA") == -1
    assert ag.fleiss_kappa(["AB", "AB"]) < 0
    assert all(
        math.isnan(x) for x in (ag.cohen_kappa("AA", "AA"), ag.fleiss_kappa(["AA"]), ag.krippendorff_alpha(["AA", "B"]))
    )
    assert ag.cohen_kappa("AA", "BB") == 0


def test_coins_agree_by_chance_only():
    random = Random(0)
    first, second = ([random.random() < 0.9 for _ in range(4000)] for _ in range(2))
    assert ag.percent_agreement(first, second) == pytest.approx(0.82, abs=0.02)
    assert abs(ag.cohen_kappa(first, second)) < 0.05


# ---------------------------------------------------------------- the interval


def test_the_bootstrap_holds_the_truth_about_as_often_as_it_says():
    random, covered, runs = Random(1), 0, 100
    for _ in range(runs):
        units = [
            (a, a if random.random() < 0.7 else random.random() < 0.5)
            for a in (random.random() < 0.5 for _ in range(80))
        ]
        _, low, high = ag.resampled(ag.krippendorff_alpha, units, random, 120)  # the truth: 0.7
        covered += low <= 0.7 <= high
    assert covered >= 85


def test_the_same_generator_gives_the_same_interval():
    units = [("A", "A"), ("A", "B"), ("B", "B")] * 5
    first, again = (ag.resampled(ag.fleiss_kappa, units, Random(3), 50) for _ in range(2))
    assert first == again
    assert first[1] < first[0] < first[2]
    value, low, high = ag.resampled(ag.fleiss_kappa, ["AA"], Random(0), 5)
    assert math.isnan(value) and math.isnan(low) and math.isnan(high)  # noqa: PT018


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ag.percent_agreement("", ""), "0 and 0 labels"),
        (lambda: ag.cohen_kappa("AB", "A"), "2 and 1 labels"),
        (lambda: ag.fleiss_kappa([]), "expected the same number"),
        (lambda: ag.fleiss_kappa(["AB", "A"]), r"units have \[1, 2\] labels"),
        (lambda: ag.fleiss_kappa(["A"]), "two at least"),
        (lambda: ag.resampled(ag.fleiss_kappa, [], Random(0)), "at least one unit"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
