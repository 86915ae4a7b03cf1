"""The reference's log-probabilities, kept in a table: the same as computing them anew, and clear errors for pairs that teach nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from preference_helpers import CHOSEN, PROMPTS, REJECTED, tiny

from lablib.alignment.log_probs import answers, response_log_probs, sequence_log_probs
from lablib.alignment.reference import PreferenceTable, preference_table, sums


def alone(model, prompt, response):
    one = answers([prompt], [response], pad=0)
    with torch.no_grad():
        return sequence_log_probs(response_log_probs(model, one), one.mask).item()


def test_the_table_equals_computing_each_response_alone():
    model = tiny()
    table = preference_table(model, PROMPTS, CHOSEN, REJECTED, pad=0, mismatched=True)
    stray = [*CHOSEN[1:], CHOSEN[0]]
    expected = [alone(model, x, y) for ys in (CHOSEN, REJECTED, stray) for x, y in zip(PROMPTS, ys, strict=True)]
    assert table.reference.tolist() == pytest.approx(expected, rel=1e-5)
    assert len(table) == 4
    assert not table.reference.requires_grad


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.integers(0, 3), min_size=1, max_size=6), mismatched=st.booleans())
def test_a_part_of_the_table_holds_what_the_whole_holds(pairs, mismatched):
    table = preference_table(tiny(), PROMPTS, CHOSEN, REJECTED, pad=0, mismatched=mismatched)
    some = table.take(pairs)
    n = len(pairs)
    assert len(some) == n
    for at, pair in enumerate(pairs):
        for part, responses in enumerate((CHOSEN, REJECTED)):
            row = at + part * n
            assert some.answers.targets[row][some.answers.mask[row]].tolist() == responses[pair]
            assert some.reference[row] == table.reference[pair + part * 4]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_the_size_of_a_portion_changes_nothing_and_the_model_stays_as_it_was(at_once):
    model = tiny().train()
    rows = answers([*PROMPTS, *PROMPTS], [*CHOSEN, *REJECTED], pad=0)
    before = [weight.clone() for weight in model.parameters()]
    found = sums(model, rows, at_once=at_once)
    torch.testing.assert_close(found, sums(model, rows), rtol=1e-5, atol=0)
    assert model.training
    sums(model.eval(), rows, at_once=at_once)
    assert not model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("prompts", "chosen", "rejected", "message"),
    [
        ([], [], [], r"0 prompts, 0 chosen and 0 rejected: expected at least one pair"),
        ([[1]], [[2], [3]], [[4]], r"1 prompts, 2 chosen and 1 rejected"),
        ([[1], [1]], [[2], [3]], [[4], []], r"rejected\[1\] is empty: expected a token at least; a model that says nothing"),
        ([[1], [1]], [[], [3]], [[4], [2]], r"chosen\[0\] is empty"),
        ([[1], [1]], [[2], [3, 4]], [[4], [3, 4]], r"chosen\[1\] and rejected\[1\] are the same 2 tokens: .*gradient is 0"),
        ([[]], [[2]], [[4]], r"prompts\[0\] is empty"),
    ],
)  # fmt: skip
def test_pairs_that_teach_nothing_are_refused(prompts, chosen, rejected, message):
    with pytest.raises(ValueError, match=message):
        preference_table(tiny(), prompts, chosen, rejected, pad=0)


def test_one_pair_has_nobody_elses_response():
    with pytest.raises(ValueError, match=r"mismatched = True with 1 pair: expected two at least"):
        preference_table(tiny(), [[1]], [[2]], [[3]], pad=0, mismatched=True)


def test_a_response_that_was_cut_at_the_end_of_the_context_is_read_and_a_longer_row_refused():
    context = tiny().sizes.context
    full = [5] * (context + 1 - 3)
    table = preference_table(tiny(), [[1, 2, 3]], [full], [[4]], pad=0)
    assert table.reference[0] < 0
    with pytest.raises(ValueError, match=r"rows of 26 tokens: expected at most 25"):
        preference_table(tiny(), [[1, 2, 3]], [[*full, 5]], [[4]], pad=0)


def test_a_table_of_other_sizes_is_refused():
    rows = answers(PROMPTS[:3], CHOSEN[:3], pad=0)
    with pytest.raises(ValueError, match=r"answers has 3 rows and reference the shape \(3,\): expected 2 rows"):
        PreferenceTable(rows, torch.zeros(3))
    with pytest.raises(ValueError, match=r"reference the shape \(2,\): expected 3 rows"):
        PreferenceTable(rows, torch.zeros(2), mismatched=True)
