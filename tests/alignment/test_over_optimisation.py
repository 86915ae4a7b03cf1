"""The shapes of over-optimisation: fits that find what made the points, as scipy's do, and peaks that are peaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize_scalar

from lablib.alignment.over_optimisation import FORMS, Fit, columns, distance, fit

SHAPES = {"best-of-n": lambda d, a, b: d * (a - b * d), "rl": lambda d, a, b: d * (a - b * np.log(d))}
forms = st.sampled_from(FORMS)
numbers = st.floats(0.1, 3)
D = np.linspace(0.3, 4, 12)


@given(form=forms, alpha=numbers, beta=numbers)
def test_points_of_the_shape_give_its_numbers_back(form, alpha, beta):
    found = fit(D, SHAPES[form](D, alpha, beta), form)
    assert (found.alpha, found.beta, found.r2) == pytest.approx((alpha, beta, 1.0), rel=1e-6)
    assert found(D) == pytest.approx(SHAPES[form](D, alpha, beta))


@given(form=forms, alpha=numbers, beta=numbers, seed=st.integers(0, 999))
def test_with_noise_it_is_scipys_least_squares(form, alpha, beta, seed):
    gains = SHAPES[form](D, alpha, beta) + np.random.default_rng(seed).normal(0, 0.2, len(D))
    found = fit(D, gains, form)
    theirs, _ = curve_fit(SHAPES[form], D, gains, p0=(1.0, 1.0))
    assert (found.alpha, found.beta) == pytest.approx(tuple(theirs), rel=1e-4, abs=1e-4)
    assert found.r2 <= 1


@given(form=forms, alpha=numbers, beta=numbers)
def test_the_peak_is_that_of_a_search(form, alpha, beta):
    d, gain = Fit(form, alpha, beta, 1.0).peak
    sought = minimize_scalar(lambda d: -SHAPES[form](d, alpha, beta), bounds=(1e-9, 4 * d + 1), method="bounded",
                             options={"xatol": 1e-9})  # fmt: skip
    assert gain == pytest.approx(-sought.fun, rel=1e-6)
    assert d == pytest.approx(sought.x, rel=1e-3)
    assert gain == pytest.approx(float(SHAPES[form](d, alpha, beta)))


def test_a_shape_that_only_rises_has_no_peak_and_one_that_only_falls_has_it_at_the_start():
    assert Fit("best-of-n", 1.0, 0.0, 1.0).peak is None
    assert Fit("rl", 1.0, -0.5, 1.0).peak is None
    assert Fit("best-of-n", -1.0, 0.5, 1.0).peak == (0.0, 0.0)


def test_the_start_is_zero_and_distance_is_the_root():
    for form in FORMS:
        assert columns([0.0], form).tolist() == [[0.0, 0.0]]
        with_start = fit([0.0, *D], [0.0, *SHAPES[form](D, 1.0, 0.4)], form)
        assert (with_start.alpha, with_start.beta) == pytest.approx((1.0, 0.4))
    assert distance([9.0, 0.25]).tolist() == [3.0, 0.5]


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="two different distances above 0"):
        fit([0.0, 1.0, 1.0], [0.0, 1.0, 1.0], "rl")
    with pytest.raises(ValueError, match=r"gains has shape \(2,\): expected a number for each of the 3"):
        fit([1.0, 2.0, 3.0], [0.0, 1.0], "rl")
    for d, gain in ((float("nan"), 1.0), (1.0, float("inf")), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="finite numbers, and no d below 0"):
            fit([d, 2.0, 3.0], [gain, 1.0, 1.0], "best-of-n")
    with pytest.raises(ValueError, match="form = 'ppo': expected one of best-of-n, rl"):
        fit([1.0, 2.0], [1.0, 2.0], "ppo")
