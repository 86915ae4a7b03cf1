"""Signals and thresholds: against scikit-learn's ROC curve, by hand, and by their properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve
from test_dense import hashing

from lablib.adaptation.abstention import best_threshold, coverage, grounded, search_signals, separation
from lablib.adaptation.bm25 import BM25, singular_words
from lablib.adaptation.page_search import PageSearch
from lablib.corpus.document import Document

signals = st.lists(st.integers(-8, 8).map(lambda n: n / 4), min_size=1, max_size=12)

# ------------------------------------------------------------------ against an authority


@given(signals, signals)
def test_separation_is_the_area_under_scikit_learns_curve(trusted, doubtful):
    labels = [1] * len(trusted) + [0] * len(doubtful)
    assert separation(trusted, doubtful) == pytest.approx(roc_auc_score(labels, [*trusted, *doubtful]), rel=1e-12)


@given(signals, signals)
def test_no_threshold_of_scikit_learns_curve_is_better(trusted, doubtful):
    labels = [1] * len(trusted) + [0] * len(doubtful)
    wrongly_kept, kept, _ = roc_curve(labels, [*trusted, *doubtful], drop_intermediate=False)
    threshold = best_threshold(trusted, doubtful)
    j = np.mean(np.array(trusted) >= threshold) + np.mean(np.array(doubtful) < threshold) - 1
    assert j == pytest.approx(max(kept - wrongly_kept), rel=1e-12, abs=1e-12)
    assert j >= 0


# ------------------------------------------------------------------ properties and by hand


@given(signals, signals)
def test_a_signal_and_its_opposite_add_up(trusted, doubtful):
    backwards = separation([-x for x in trusted], [-x for x in doubtful])
    assert separation(trusted, doubtful) + backwards == pytest.approx(1, rel=1e-12)


@given(signals)
def test_where_nothing_can_be_told_apart_nothing_is_withheld(values):
    assert separation(values, values) == 0.5
    assert best_threshold(values, values) == min(values)


def test_thresholds_by_hand():
    assert best_threshold([3, 4], [1, 2]) == 2.5  # all kept, all withheld
    assert best_threshold([1, 2], [3, 4]) == 1  # the wrong way round: better to withhold nothing
    assert best_threshold([2], [2]) == 2
    for trusted, doubtful in (([], [1.0]), ([1.0], [])):
        for function in (best_threshold, separation):
            with pytest.raises(ValueError, match=f"{len(trusted)} trusted and {len(doubtful)} doubtful values"):
                function(trusted, doubtful)


TEXTS = ["The red mill of the valley.", "The red barn.", "A red house, a barn and a well."]


def test_coverage_by_hand():
    index = BM25(TEXTS, singular_words)
    red, mill, never = (math.log(1 + (3 - df + 0.5) / (df + 0.5)) for df in (3, 1, 0))
    question = "Which of the mills is the Kestrel-40B, and is it red?"
    told = red + mill + 2 * never  # kestrel, 40b
    assert coverage(question, [TEXTS[0]], index) == pytest.approx((red + mill) / told)
    assert coverage(question, [TEXTS[1]], index) == pytest.approx(red / told)
    assert coverage(question, TEXTS[1:], index) == pytest.approx(red / told)  # what two passages have counts once
    assert coverage(question, ["A Kestrel-40B?"], index) == pytest.approx(2 * never / told)
    assert coverage(question, [], index) == 0
    assert coverage("Is it so?", TEXTS, index) == 0  # no telling word


def test_grounded_by_hand():
    passages = ["Gers added the forget gate in 2000.", "The LSTM is of 1997."]
    ask = "In which year was the forget gate added?"
    assert grounded(ask, "The forget gate was added in 2000 [1].", passages) == 1
    assert grounded(ask, "The forget gate was added in 2001 [1].", passages) == 0
    assert grounded(ask, "Gers added it in 2001.", passages) == 0.5
    assert grounded(ask, "It was 1997.", passages) == 1  # it stands there, and is wrong all the same
    assert grounded(ask, "In a year the forget gate was added [3].", passages) == 0  # nothing but the question's words
    assert grounded(ask, "", passages) == grounded(ask, "Gers did.", []) == 0


@given(st.text(max_size=60), st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_has_signals_between_0_and_1(question, answer, passages):
    index = BM25(TEXTS, singular_words)
    assert 0 <= coverage(question, passages, index) <= 1 + 1e-12
    assert 0 <= grounded(question, answer, passages) <= 1
    more = [*passages, question]
    assert coverage(question, passages, index) <= coverage(question, more, index)
    assert coverage(question, more, index) in (0, pytest.approx(1))


def test_signals_of_a_search():
    pages = [
        Document("# Mill\n\nThe mill is red.\n\n## Wheel\n\nIt turns.\n", "mill", "us"),
        Document("# Barn\n\nIt is old.", "barn", "us"),
    ]
    search = PageSearch(pages, hashing)
    first, second = search.dense.search("Is the mill red?", 2)
    expected = {"cosine": first.score, "margin": first.score - second.score, "coverage": 1}
    assert search_signals("Is the mill red?", ["The mill is red."], search) == pytest.approx(expected)
    assert first.score > second.score
    alone = PageSearch(pages[1:], hashing)
    assert search_signals("Is it old?", ["It is old."], alone)["margin"] == 0
