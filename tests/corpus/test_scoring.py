"""Scores: Wilson's interval by its coverage, and each count on corpora small enough to count by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from lablib.corpus.document import Document
from lablib.corpus.planted import Planted
from lablib.corpus.scoring import Score, dropped_by_label, score_drops, score_spans, score_table, wilson
from lablib.corpus.spans import Span


def planted(id: str, *truth: str, spans: tuple[Span, ...] = (), text: str = "some text") -> Planted:
    return Planted(Document(text, id, "test"), frozenset(truth), spans)


CORPUS = [
    planted("good 1"), planted("good 2"), planted("copy 1", "copy"), planted("copy 2", "copy"), planted("copy 3", "copy"),
    planted("toxic", "toxic"), planted("list", "benign_list"), planted("mend", "pii"),
]  # fmt: skip


# ------------------------------------------------------------------ the interval


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [30, 200])
def test_the_interval_holds_the_truth_about_95_times_in_100(n, p):
    """Exact coverage, summed over all outcomes; the usual p ± 1.96 √(p(1 − p)/n) covers 0.45 at p = 0.02 and n = 30."""
    covered = sum(binom.pmf(k, n, p) for k in range(n + 1) if wilson(k, n)[0] <= p <= wilson(k, n)[1])
    assert 0.86 < covered <= 1
    if n == 200 and p != 0.99:
        assert 0.92 < covered < 0.98


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_interval_holds_the_share_and_stays_in_0_to_1(a, b):
    low, high = wilson(min(a, b), max(a, b))
    assert 0 <= low <= high <= 1
    if max(a, b):
        assert low - 1e-12 <= min(a, b) / max(a, b) <= high + 1e-12
    mirrored = wilson(max(a, b) - min(a, b), max(a, b))
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_more_of_the_same_narrows_it_as_the_root():
    widths = [wilson(9 * n, 10 * n)[1] - wilson(9 * n, 10 * n)[0] for n in (100, 400)]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.02)


# ------------------------------------------------------------------ counts by hand


def test_drops_are_counted_and_others_faults_count_for_nobody():
    score = score_drops(CORPUS, {"copy 1", "copy 2", "toxic", "good 1", "list"}, {"copy"})
    assert score == Score(right=2, wrong=2, missed=1)
    assert (score.precision, score.recall) == (0.5, 2 / 3)
    assert score_drops(CORPUS, {"mend"}, {"copy"}) == Score(0, 1, 3), "what should be mended should not be dropped"


def test_harm_and_recall_by_label():
    assert dropped_by_label(CORPUS, {"copy 1", "good 1", "list"}) == {
        "benign_list": (1, 1), "copy": (1, 3), "good": (1, 2), "pii": (0, 1), "toxic": (0, 1),
    }  # fmt: skip


def test_spans_are_right_only_with_kind_start_and_stop():
    truth = (Span(0, 4, "email"), Span(6, 9, "phone"))
    finds = {
        (Span(0, 4, "email"), Span(6, 9, "phone")): {"email": Score(1, 0, 0), "phone": Score(1, 0, 0)},
        (Span(0, 5, "email"),): {"email": Score(0, 1, 1), "phone": Score(0, 0, 1)},
        (Span(0, 4, "phone"), Span(0, 4, "ip")): {"email": Score(0, 0, 1), "phone": Score(0, 1, 1)},
    }
    for found, expected in finds.items():
        assert (
            score_spans([planted("a", "pii", spans=truth)], lambda text, found=found: found, ["email", "phone"])
            == expected
        )


def test_scores_add_up_over_a_corpus_and_equal_finds_count_once():
    twice = [Span(0, 4, "ip"), Span(0, 4, "ip")]
    assert score_spans([planted("a"), planted("b", spans=(Span(0, 4, "ip"),))], lambda text: twice, ["ip"]) == {
        "ip": Score(1, 1, 0)
    }


def test_the_table_has_a_line_for_each_filter_with_counts_and_intervals():
    head, line = score_table({"exact copies": Score(9, 1, 3)}).splitlines()
    assert head.split() == ["filter", "planted", "marked", "precision", "[95", "%]", "recall", "[95", "%]"]
    assert line.split() == ["exact", "copies", "12", "10", "0.900", "[0.596,", "0.982]", "0.750", "[0.468,", "0.911]"]


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="count = -1 of total = 2"):
        wilson(-1, 2)
