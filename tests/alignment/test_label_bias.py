"""Agreement, position bias and length bias: on labels whose faults were put there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.alignment.ai_labels import AILabel
from lablib.alignment.label_bias import agreement, length_bias, position_bias
from lablib.corpus.scoring import wilson


def one(forward: float, backward: float) -> AILabel:
    return AILabel(("truth",), forward, backward)


P = st.floats(0.001, 0.999)
LABELS = st.lists(st.builds(one, P, P), min_size=1, max_size=30)


def test_agreement_counts_pairs_whose_gold_scores_differ_in_each_order_and_together():
    labels = [one(0.9, 0.8), one(0.9, 0.2), one(0.6, 0.1), one(0.5, 0.5), one(0.9, 0.9)]
    found = agreement(labels, [1.0, 1.0, -0.5, 1.0, 0.0])
    assert found.n == 4
    assert found.one_order[0] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found.swapped[0] == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert found.both[0] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert found.both[1:] == pytest.approx(wilson(3.5, 4))


@settings(max_examples=30, deadline=None)
@given(labels=LABELS)
def test_swapping_which_answer_is_called_a_changes_nothing(labels):
    gaps = [(-1.0) ** i * (1 + i) for i in range(len(labels))]
    turned = [one(1 - x.backward, 1 - x.forward) for x in labels]
    a, b = agreement(labels, gaps), agreement(turned, [-gap for gap in gaps])
    assert a.both == pytest.approx(b.both)
    assert a.one_order == pytest.approx(b.swapped)
    assert position_bias(labels).first == pytest.approx(position_bias(turned).first)
    assert position_bias(labels).turns == position_bias(turned).turns


def test_a_judge_that_always_takes_the_first_is_found_out():
    found = position_bias([one(0.9, 0.2)] * 50)
    assert found.first[0] == 1.0
    assert found.turns[0] == 1.0
    assert found.first[1] > 0.9
    fair = position_bias([one(0.9, 0.8), one(0.2, 0.1)] * 25)
    assert fair.first[0] == 0.5
    assert fair.turns[0] == 0.0
    last = position_bias([one(0.2, 0.9)] * 50)
    assert last.first[0] == 0.0


def test_a_liking_for_length_is_measured_beside_what_length_deserves():
    labels = [one(0.9, 0.9), one(0.8, 0.9), one(0.1, 0.2), one(0.7, 0.6), one(0.3, 0.3)]
    lengths = [(9, 2), (8, 3), (2, 7), (5, 5), (6, 1)]
    gaps = [1.0, 0.0, 0.0, 1.0, 0.5]
    found = length_bias(labels, lengths, gaps)
    assert found.n == 4, "equal lengths tell nothing"
    assert found.longer[0] == pytest.approx(3 / 4)
    assert found.gold_longer[0] == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert found.tied[0] == 1.0
    assert length_bias(labels[:1], lengths[:1], gaps[:1]).tied is None


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match=r"gaps of 1 pairs are all 0"):
        agreement([one(0.9, 0.1)], [0.0])
    with pytest.raises(ValueError, match=r"lengths of 1 pairs are equal in each"):
        length_bias([one(0.9, 0.1)], [(3, 3)], [1.0])
