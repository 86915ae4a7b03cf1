"""The losses of preferences: against numpy's own arithmetic, finite differences, and what the papers say of them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.alignment.dpo_loss import (
    dpo_gradient_weight,
    dpo_loss,
    implicit_accuracy,
    implicit_reward,
    log_ratio_gap,
    robust_dpo_loss,
)
from lablib.alignment.dpo_relatives import ipo_loss, kto_loss, kto_reference_point, simpo_loss

NATS = st.floats(-60, 0, allow_nan=False)
FOUR = st.tuples(NATS, NATS, NATS, NATS)
BETA = st.floats(0.01, 2)


def as_rows(numbers: tuple[float, ...]) -> list[torch.Tensor]:
    return [torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in numbers]


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


PAIR_LOSSES = {
    "dpo": (dpo_loss, {"beta": 0.3}),
    "conservative": (dpo_loss, {"beta": 0.3, "smoothing": 0.2}),
    "robust": (robust_dpo_loss, {"beta": 0.3, "flips": 0.2}),
    "ipo": (ipo_loss, {"tau": 0.3}),
}


@settings(max_examples=60, deadline=None)
@given(four=FOUR, beta=BETA)
def test_dpo_is_the_bradley_terry_loss_of_its_implicit_rewards(four, beta):
    chosen, rejected, ref_chosen, ref_rejected = rows = as_rows(four)
    r_w, r_l = implicit_reward(chosen, ref_chosen, beta), implicit_reward(rejected, ref_rejected, beta)
    expected = math.log1p(math.exp(-(r_w - r_l).item()))  # the gap is at most 240 here
    assert dpo_loss(*rows, beta=beta).item() == pytest.approx(expected, rel=1e-9)
    assert log_ratio_gap(*rows).item() == pytest.approx(four[0] - four[2] - four[1] + four[3], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(four=FOUR, beta=BETA)
def test_its_gradient_is_the_weight_times_beta_up_for_the_chosen_and_down_for_the_rejected(four, beta):
    rows = as_rows(four)
    dpo_loss(*rows, beta=beta).backward()
    weight = dpo_gradient_weight(*rows, beta=beta).item()
    wrong_by = beta * (rows[1] - rows[3] - rows[0] + rows[2]).item()  # r̂(l) − r̂(w)
    assert weight == pytest.approx(sigma(wrong_by), rel=1e-9)
    assert rows[0].grad.item() == pytest.approx(-beta * weight, rel=1e-9)
    assert rows[1].grad.item() == pytest.approx(beta * weight, rel=1e-9)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_gradients_equal_finite_differences(name):
    loss, options = PAIR_LOSSES[name]
    four = (-7.3, -11.2, -8.1, -9.9)
    rows = as_rows(four)
    loss(*rows, **options).backward()
    for place in range(4):
        at = []
        for sign in (1, -1):
            moved = list(four)
            moved[place] += sign * 1e-5
            at.append(loss(*as_rows(tuple(moved)), **options).item())
        assert rows[place].grad.item() == pytest.approx((at[0] - at[1]) / 2e-5, rel=1e-6)
        assert abs(rows[place].grad.item()) > 1e-3


@pytest.mark.parametrize("name", PAIR_LOSSES)
@settings(max_examples=30, deadline=None)
@given(four=FOUR, to_prompt=NATS)
def test_what_the_reference_says_of_the_prompt_cancels(name, four, to_prompt):
    loss, options = PAIR_LOSSES[name]
    moved = (four[0], four[1], four[2] + to_prompt, four[3] + to_prompt)  # β log Z(x) is such a term
    assert loss(*as_rows(moved), **options).item() == pytest.approx(loss(*as_rows(four), **options).item(), rel=1e-9)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_equal_responses_give_a_gradient_of_zero_whatever_the_loss(name):
    loss, options = PAIR_LOSSES[name]
    same = torch.tensor([-3.0], requires_grad=True)
    loss(same, same, torch.tensor([-4.0]), torch.tensor([-4.0]), **options).backward()
    assert same.grad.item() == 0


def test_at_the_reference_the_loss_is_that_of_a_coin():
    x = torch.tensor([-3.0, -80.0])
    assert dpo_loss(x, x - 5, x, x - 5).tolist() == pytest.approx([math.log(2)] * 2)
    assert implicit_accuracy(x, x - 5, x, x - 5).item() == 0.5


def test_a_huge_gap_is_no_overflow():
    zero = torch.zeros(1)
    assert dpo_loss(zero - 1e6, zero, zero, zero, beta=1.0).item() == pytest.approx(1e6)
    assert dpo_loss(zero, zero - 1e6, zero, zero, beta=1.0).item() == 0
    gone = torch.tensor([-1e6], requires_grad=True)
    dpo_loss(gone, zero, zero, zero, beta=1.0).backward()
    assert gone.grad.item() == -1


def test_the_conservative_loss_has_its_minimum_where_the_model_believes_the_label_with_one_minus_epsilon():
    h = torch.linspace(-30, 60, 90_001, dtype=torch.float64)
    zero, beta, epsilon = torch.zeros_like(h), 0.2, 0.1
    best = h[dpo_loss(h, zero, zero, zero, beta=beta, smoothing=epsilon).argmin()].item()
    assert best == pytest.approx(math.log((1 - epsilon) / epsilon) / beta, abs=2e-3)
    plain = dpo_loss(h, zero, zero, zero, beta=beta)
    assert int(plain.argmin()) == len(h) - 1, "without smoothing more is always better"
    assert torch.equal(dpo_loss(h, zero, zero, zero, beta=beta, smoothing=0.0), plain)


@settings(max_examples=60, deadline=None)
@given(four=FOUR, beta=BETA, flips=st.floats(0, 0.45))
def test_the_robust_loss_is_unbiased_over_flipped_labels(four, beta, flips):
    right = as_rows(four)
    flipped = [right[1], right[0], right[3], right[2]]
    mean = (1 - flips) * robust_dpo_loss(*right, beta=beta, flips=flips)
    mean = mean + flips * robust_dpo_loss(*flipped, beta=beta, flips=flips)
    assert mean.item() == pytest.approx(dpo_loss(*right, beta=beta).item(), rel=1e-7, abs=1e-9)


def test_ipo_wants_one_gap_and_no_more():
    h = torch.tensor([4.0, 5.0, 6.0])
    zero = torch.zeros(3)
    assert ipo_loss(h, zero, zero, zero, tau=0.1).tolist() == [1.0, 0.0, 1.0]


def test_accuracy_counts_a_tie_half():
    zero = torch.zeros(4)
    assert implicit_accuracy(torch.tensor([2.0, -1.0, 0.0, 3.0]), zero, zero, zero).item() == 2.5 / 4


def test_kto_is_saturating_value_around_the_reference_point():
    r = torch.tensor([3.0, 3.0, -1.0], dtype=torch.float64, requires_grad=True)
    good, z0 = torch.tensor([True, False, False]), torch.tensor(1.0)
    found = kto_loss(r, torch.zeros(3), good, z0, beta=0.5, weight_desirable=2.0, weight_undesirable=3.0)
    expected = [2 * (1 - sigma(0.5 * 2)), 3 * (1 - sigma(-0.5 * 2)), 3 * (1 - sigma(0.5 * 2))]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    found.sum().backward()
    slope = sigma(1.0) * sigma(-1.0) * 0.5
    assert r.grad.tolist() == pytest.approx([-2 * slope, 3 * slope, 3 * slope], rel=1e-9)


def test_the_reference_point_is_never_below_zero_and_has_no_gradient():
    policy = torch.tensor([-5.0, -6.0], requires_grad=True)
    assert kto_reference_point(policy, torch.tensor([-1.0, -1.0])).item() == 0
    found = kto_reference_point(policy, torch.tensor([-8.0, -9.0]))
    assert found.item() == 3
    assert not found.requires_grad


@settings(max_examples=30, deadline=None)
@given(per_token=st.tuples(st.floats(-5, -0.01), st.floats(-5, -0.01)), lengths=st.tuples(*[st.integers(1, 90)] * 2))
def test_simpo_does_not_see_the_length(per_token, lengths):
    n = [torch.tensor([length]) for length in lengths]
    sums = [torch.tensor([x * length], dtype=torch.float64) for x, length in zip(per_token, lengths, strict=True)]
    z = 2.0 * (per_token[0] - per_token[1]) - 0.7
    assert simpo_loss(*sums, *n, beta=2.0, gamma=0.7).item() == pytest.approx(math.log1p(math.exp(-z)), rel=1e-9)


def test_simpo_of_an_empty_response_is_defined():
    found = simpo_loss(torch.tensor([-2.0]), torch.tensor([0.0]), torch.tensor([2]), torch.tensor([0]), gamma=0.0)
    assert found.item() == pytest.approx(math.log1p(math.exp(2.0)))
    nothing = simpo_loss(torch.tensor([0.0]), torch.tensor([-2.0]), torch.tensor([0]), torch.tensor([2]), gamma=0.0)
    assert nothing.item() == pytest.approx(math.log1p(math.exp(-2.0))), "nor where the chosen one is empty"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: dpo_loss(*x, beta=0.0), r"beta = 0.0: expected a finite number > 0"),
        (lambda x: dpo_loss(*x, beta=math.nan), r"beta = nan: expected a finite number > 0"),
        (lambda x: dpo_loss(*x, smoothing=0.5), r"smoothing = 0.5: .*below 1/2"),
        (lambda x: robust_dpo_loss(*x, flips=-0.1), r"flips = -0.1: expected a share of wrong labels"),
        (lambda x: ipo_loss(*x, tau=-1.0), r"tau = -1.0: expected a finite number > 0"),
        (lambda x: simpo_loss(*x, gamma=-1.0), r"gamma = -1.0: expected a margin >= 0"),
        (lambda x: kto_loss(*x[:2], torch.tensor([True]), x[0], weight_desirable=0.0), r"weight_desirable = 0.0"),
        (lambda x: dpo_loss(x[0], x[1], x[2], torch.zeros(1, 1)), r"shapes \(1,\), \(1,\), \(1,\), \(1, 1\): expected one"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call([torch.zeros(1)] * 4)
