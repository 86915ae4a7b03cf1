"""Bradley–Terry losses: independent formulas (cross-entropy, trl's line, closed forms), finite differences, and noise that is undone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.alignment import bradley_terry as bt

finite = st.floats(-30, 30)
pairs = st.lists(st.tuples(finite, finite), min_size=1, max_size=12)
VARIANTS = {
    "plain": bt.bradley_terry_loss,
    "margin": lambda c, r: bt.bradley_terry_loss(c, r, 0.7),
    "smoothed": lambda c, r: bt.smoothed_loss(c, r, 0.2),
    "unbiased": lambda c, r: bt.unbiased_loss(c, r, 0.2),
    "lapse": lambda c, r: bt.lapse_loss(c, r, 0.2),
}


def two(rows, dtype=torch.float64):
    chosen, rejected = torch.tensor(rows, dtype=dtype).unbind(dim=1)
    return chosen, rejected


# ---------------------------------------------------------------- the plain loss


@given(rows=pairs, margin=st.floats(0, 3))
def test_it_is_the_cross_entropy_of_two_classes(rows, margin):
    chosen, rejected = two(rows)
    logits = torch.stack((chosen - margin, rejected), dim=1)  # P(class 0) = e^r₁ / (e^r₁ + e^r₂)
    expected = F.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.int64), reduction="none")
    torch.testing.assert_close(bt.bradley_terry_loss(chosen, rejected, margin), expected, rtol=1e-9, atol=1e-12)


def test_it_is_the_formula_of_trl():
    """trl's RewardTrainer: the mean of -logsigmoid(rewards_chosen - rewards_rejected [- margin])."""
    chosen, rejected = torch.randn(2, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    margin = torch.rand(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for given_margin in (torch.zeros(40, dtype=torch.float64), margin):
        theirs = float(np.mean(np.log1p(np.exp(-(chosen - rejected - given_margin).numpy()))))
        assert float(bt.bradley_terry_loss(chosen, rejected, given_margin).mean()) == pytest.approx(theirs, rel=1e-12)


def test_it_does_not_overflow():
    found = bt.bradley_terry_loss(torch.tensor([0.0, 1e4, -1e4]), torch.tensor([1e4, 0.0, -1e4]))
    torch.testing.assert_close(found, torch.tensor([1e4, 0.0, math.log(2)]))


@given(rows=pairs, shift=finite)
def test_only_differences_count(rows, shift):
    chosen, rejected = two(rows)
    for loss in VARIANTS.values():
        torch.testing.assert_close(loss(chosen + shift, rejected + shift), loss(chosen, rejected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_are_those_of_finite_differences(name):
    chosen, rejected = torch.randn(2, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    chosen.requires_grad_()
    rejected.requires_grad_()
    assert torch.autograd.gradcheck(VARIANTS[name], (chosen, rejected), eps=1e-6, atol=1e-8)
    (gradient,) = torch.autograd.grad(VARIANTS[name](chosen, rejected).sum(), chosen)
    assert gradient.abs().max() > 0.1


def test_its_gradient_is_how_wrong_the_probability_is():
    chosen, rejected = torch.tensor([0.3, -2.0, 5.0]).requires_grad_(), torch.tensor([0.1, 1.0, 4.0])
    (gradient,) = torch.autograd.grad(bt.bradley_terry_loss(chosen, rejected).sum(), chosen)
    torch.testing.assert_close(gradient, bt.preference_probability(chosen, rejected) - 1)


@pytest.mark.parametrize(("wins", "of"), [(3, 4), (1, 5), (9, 10)])
def test_the_best_difference_is_the_log_odds_of_what_was_seen(wins, of):
    """Closed form: two things that met `of` times have their likeliest strengths at a difference of ln(wins/losses)."""
    difference = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([difference], lr=1, max_iter=100, tolerance_grad=1e-12)
    zero = torch.zeros(1, dtype=torch.float64)

    def loss():
        optimiser.zero_grad()
        total = wins * bt.bradley_terry_loss(difference, zero) + (of - wins) * bt.bradley_terry_loss(zero, difference)
        total.sum().backward()
        return total

    optimiser.step(loss)
    assert difference.item() == pytest.approx(math.log(wins / (of - wins)), rel=1e-5)


@given(rows=pairs)
def test_probabilities_of_both_orders_sum_to_one(rows):
    chosen, rejected = two(rows)
    both = bt.preference_probability(chosen, rejected) + bt.preference_probability(rejected, chosen)
    torch.testing.assert_close(both, torch.ones_like(both))
    torch.testing.assert_close(
        -bt.preference_probability(chosen, rejected).log(), bt.bradley_terry_loss(chosen, rejected)
    )


# ---------------------------------------------------------------- labels that are wrong


def test_without_noise_all_are_the_plain_loss():
    chosen, rejected = torch.randn(2, 20, generator=torch.Generator().manual_seed(5))
    plain = bt.bradley_terry_loss(chosen, rejected)
    for loss in (bt.smoothed_loss, bt.unbiased_loss, bt.lapse_loss):
        torch.testing.assert_close(loss(chosen, rejected, 0.0), plain)


@given(rows=pairs, flipped=st.floats(0.01, 0.45))
def test_the_unbiased_loss_undoes_the_flips_exactly(rows, flipped):
    """Its mean over both labels, weighed by how often each is seen, is the plain loss on the true label."""
    chosen, rejected = two(rows)
    kept, turned = bt.unbiased_loss(chosen, rejected, flipped), bt.unbiased_loss(rejected, chosen, flipped)
    mean = (1 - flipped) * kept + flipped * turned
    torch.testing.assert_close(mean, bt.bradley_terry_loss(chosen, rejected), rtol=1e-8, atol=1e-9)


@given(rows=pairs, smoothing=st.floats(0.01, 0.45))
def test_smoothing_is_a_cross_entropy_with_soft_targets(rows, smoothing):
    chosen, rejected = two(rows)
    target = torch.full_like(chosen, 1 - smoothing)
    expected = F.binary_cross_entropy_with_logits(chosen - rejected, target, reduction="none")
    torch.testing.assert_close(bt.smoothed_loss(chosen, rejected, smoothing), expected, rtol=1e-8, atol=1e-10)


def test_the_minimum_of_smoothing_is_where_it_says():
    differences = torch.linspace(-6, 6, 12001, dtype=torch.float64)
    best = differences[bt.smoothed_loss(differences, torch.zeros_like(differences), 0.1).argmin()]
    assert best.item() == pytest.approx(math.log(9), abs=2e-3)


@given(rows=pairs, lapse=st.floats(0.01, 0.95))
def test_lapse_is_the_likelihood_of_a_coin_now_and_then(rows, lapse):
    chosen, rejected = two(rows)
    p = lapse / 2 + (1 - lapse) * torch.sigmoid(chosen - rejected)
    torch.testing.assert_close(bt.lapse_loss(chosen, rejected, lapse), -p.log(), rtol=1e-7, atol=1e-9)


@given(rows=pairs, lapse=st.floats(0.05, 0.95))
def test_a_lapse_bounds_what_one_label_can_cost(rows, lapse):
    assert bt.lapse_loss(*two(rows), lapse).max() <= -math.log(lapse / 2) + 1e-9


# ---------------------------------------------------------------- accuracy, and bad input


def test_accuracy_counts_ties_half():
    found = bt.pair_accuracy(torch.tensor([1.0, 2.0, 2.0, -1.0]), torch.tensor([0.0, 2.0, 3.0, -2.0]))
    assert found.tolist() == [1, 0.5, 0, 1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_has_no_accuracy_and_spoils_only_its_own_loss(bad):
    chosen = torch.tensor([1.0, bad])
    with pytest.raises(ValueError, match=r"rewards of pair 1 are .*did training diverge"):
        bt.pair_accuracy(chosen, torch.zeros(2))
    assert bt.bradley_terry_loss(chosen, torch.zeros(2))[0].isfinite()
    if math.isnan(bad):
        assert bt.bradley_terry_loss(chosen, torch.zeros(2))[1].isnan()


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((3, 1), (3,)), ((3, 1), (3, 1)), ((), ())])
def test_what_are_no_pairs_is_named(shapes):
    first, second = (torch.zeros(shape) for shape in shapes)
    for function in (bt.bradley_terry_loss, bt.preference_probability, bt.pair_accuracy):
        with pytest.raises(ValueError, match="one pair in each place"):
            function(first, second)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (bt.smoothed_loss, 0.5),
        (bt.smoothed_loss, -0.1),
        (bt.unbiased_loss, 0.5),
        (bt.lapse_loss, 1.0),
        (bt.lapse_loss, -0.1),
    ],
)
def test_shares_out_of_range_are_named(loss, value):
    with pytest.raises(ValueError, match=f"= {value}: expected a share"):
        loss(torch.zeros(2), torch.zeros(2), value)
