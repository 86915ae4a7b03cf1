"""Forecasting: windows against slices and for leaks, naive and ridge against brute force and scikit-learn, MASE against its definition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.architecture.time_series import (
    DAY,
    WEEK,
    WEEKEND,
    WORKDAY,
    block_interval,
    linear_forecast,
    load_series,
    mase,
    ridge,
    scale_free,
    seasonal_naive,
    wander,
    windows,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    past=st.integers(1, 9),
    future=st.integers(1, 5),
    every=st.integers(1, 7),
    start=st.integers(9, 15),
    more=st.integers(5, 20),
)
@settings(deadline=None, max_examples=60)
def test_windows_are_slices_and_forecast_nothing_outside_their_hours(past, future, every, start, more):
    series, stop = torch.arange(40.0), start + more
    x, y = windows(series, past, future, start, stop, every)
    moments = range(start, stop - future + 1, every)
    assert len(x) == len(y) == len(moments)
    for row, now in enumerate(moments):
        assert torch.equal(x[row], series[now - past : now])
        assert torch.equal(y[row], series[now : now + future])
    assert start <= y.min()
    assert y.max() < stop
    assert (x.max(dim=1).values < y.min(dim=1).values).all()  # the past is strictly earlier


def test_the_test_is_strictly_later_than_all_that_is_learned_from():
    hours, cut = torch.arange(40.0 * DAY), 30 * DAY
    train_x, train_y = windows(hours, WEEK, DAY, WEEK, cut)
    _, test_y = windows(hours, WEEK, DAY, cut, len(hours), every=DAY)
    assert max(train_x.max(), train_y.max()) == cut - 1
    assert test_y.min() == cut
    assert len(test_y) == 10
    assert (test_y[:, 0] % DAY == 0).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"past": 0}, "past = 0"),
        ({"every": 0}, "every = 0"),
        ({"start": 3}, "start = 3"),
        ({"stop": 41}, "stop = 41"),
        ({"start": 38}, "start = 38"),
    ],
)
def test_windows_that_the_series_does_not_hold_are_refused(options, named):
    with pytest.raises(ValueError, match=f"{named}.*expected"):
        windows(torch.zeros(40), **{"past": 5, "future": 3, "start": 10, "stop": 40, "every": 1, **options})


def test_the_load_is_seeded_positive_and_as_described():
    series, again = load_series(730, seeded()), load_series(730, seeded())
    assert torch.equal(series, again)
    assert not torch.equal(series, load_series(730, seeded(1)))
    assert series.shape == (730 * DAY,)
    assert series.min() > 0
    assert series.isfinite().all()
    days = series.view(730, DAY)
    means = days.mean(dim=1)
    assert means[:59].mean() > means[170:230].mean() * 1.1  # winter above summer
    weekday = torch.arange(730) % 7
    assert means[weekday < 5].mean() > means[weekday >= 5].mean() * 1.05
    assert days.mean(dim=0).argmin() in (2, 3, 4)  # people sleep
    assert means[365:].mean() > means[:365].mean()  # the trend


def test_the_profiles_are_shares_of_the_days_mean():
    for profile in (WORKDAY, WEEKEND):
        assert profile.shape == (DAY,)
        assert profile.mean().item() == pytest.approx(1, abs=0.03)


def test_wander_has_the_variance_and_the_memory_it_says():
    x = wander(200_000, 0.8, seeded())
    assert x.var().item() == pytest.approx(1, abs=0.05)
    for lag in (1, 2, 5):
        assert (x[lag:] * x[:-lag]).mean().item() == pytest.approx(0.8**lag, abs=0.05)


def test_no_days_are_refused():
    with pytest.raises(ValueError, match="days = 0: expected at least 1"):
        load_series(0, seeded())


@given(T=st.integers(1, 12), future=st.integers(1, 30), data=st.data())
@settings(deadline=None, max_examples=60)
def test_seasonal_naive_is_the_value_a_whole_number_of_seasons_ago(T, future, data):
    season = data.draw(st.integers(1, T))
    past = torch.arange(2.0 * T).view(2, T)
    forecast = seasonal_naive(past, future, season)
    for row in range(2):
        known = past[row].tolist()
        for _ in range(future):
            known.append(known[len(known) - season])
        assert forecast[row].tolist() == known[T:]


@pytest.mark.parametrize("season", [0, 6])
def test_a_season_longer_than_the_past_is_refused(season):
    with pytest.raises(ValueError, match=f"season = {season}: expected 1 to 5, the hours of the past"):
        seasonal_naive(torch.zeros(1, 5), 3, season)


def test_ridge_is_scikit_learns():
    from sklearn.linear_model import Ridge

    x, y = torch.randn(50, 6, generator=seeded()) + 3, torch.randn(50, 4, generator=seeded(1))
    theirs = Ridge(alpha=2.5).fit(x.double().numpy(), y.double().numpy())
    weights = ridge(x, y, 2.5)
    np.testing.assert_allclose(weights[:-1].T, theirs.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights[-1], theirs.intercept_, rtol=1e-4)
    np.testing.assert_allclose(linear_forecast(x, weights), theirs.predict(x.numpy()), rtol=1e-3, atol=1e-4)


def test_ridge_wants_a_penalty():
    with pytest.raises(ValueError, match="penalty = 0: expected more than 0"):
        ridge(torch.zeros(3, 2), torch.zeros(3, 1), 0)


def test_mase_is_its_definition():
    forecast, future = torch.randn(3, 5, generator=seeded()), torch.randn(3, 5, generator=seeded(1))
    history, season = torch.randn(30, generator=seeded(2)), 4
    naive = [abs(history[t] - history[t - season]).item() for t in range(season, 30)]
    for row, score in enumerate(mase(forecast, future, history, season)):
        error = sum(abs(forecast[row, h] - future[row, h]).item() for h in range(5)) / 5
        assert score.item() == pytest.approx(error / (sum(naive) / len(naive)), rel=1e-5)


def test_mase_has_no_unit_and_the_naive_rule_scores_one_where_it_was_measured():
    history = load_series(60, seeded())
    x, y = windows(history, DAY, DAY, DAY, len(history), every=DAY)
    scores = mase(seasonal_naive(x, DAY, DAY), y, history, DAY)
    assert scores.mean().item() == pytest.approx(1, rel=1e-5)
    kilowatts = mase(1000 * seasonal_naive(x, DAY, DAY), 1000 * y, 1000 * history, DAY)
    torch.testing.assert_close(kilowatts, scores, rtol=1e-4, atol=0)


def test_mase_refuses_what_it_cannot_scale():
    zeros = torch.zeros(1, 3)
    with pytest.raises(ValueError, match=r"forecast has shape \(1, 2\): expected that of future, \(1, 3\)"):
        mase(zeros[:, :2], zeros, torch.arange(9.0), 1)
    with pytest.raises(ValueError, match="season = 9: expected 1 to 8"):
        mase(zeros, zeros, torch.arange(9.0), 9)
    with pytest.raises(ValueError, match="history repeats itself exactly after season = 1"):
        mase(zeros, zeros, torch.ones(9), 1)


def test_scale_free_takes_level_and_size_away_and_gives_them_back():
    past = 50 + 9 * torch.randn(4, 30, generator=seeded())
    scaled, mean, spread = scale_free(past)
    torch.testing.assert_close(scaled.mean(dim=1), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(scaled.std(dim=1), torch.ones(4))
    torch.testing.assert_close(scaled * spread + mean, past)
    torch.testing.assert_close(scale_free(7 * past - 20)[0], scaled, rtol=1e-4, atol=1e-4)
    flat, mean, spread = scale_free(torch.full((1, 9), 3.0))
    assert torch.equal(flat * spread + mean, torch.full((1, 9), 3.0))


def test_the_interval_of_independent_blocks_is_the_textbooks():
    values = torch.randn(400, generator=seeded())
    low, high = block_interval(values, 1, seeded())
    half = 1.96 * values.std().item() / math.sqrt(400)
    assert low == pytest.approx(values.mean().item() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean().item() + half, abs=0.15 * half)
    repeated = values.repeat_interleave(7)  # seven copies tell nothing new
    wide = block_interval(repeated, 7, seeded())
    assert wide[1] - wide[0] == pytest.approx(high - low, rel=0.05)


@pytest.mark.parametrize("block", [0, 6])
def test_fewer_than_two_blocks_are_refused(block):
    with pytest.raises(ValueError, match=f"block = {block}: expected 1 to 5"):
        block_interval(torch.zeros(10), block, seeded())
