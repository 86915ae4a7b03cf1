"""A time series for an encoder: an hourly load, forecast a day ahead, and how such forecasts are scored.

The series is made here, with what the hourly load of a town has: a working day and a weekend, cold winters, holidays, a slow
trend, a temperature that wanders, and now and then a shock. Its parts multiply and bend (heating only below 15 °C), and nobody is
told the temperature. The settings were chosen for what a town does, not for which model wins on it.

Papers: Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?" (linear models are hard to beat);
Nie et al. 2023, "A Time Series is Worth 64 Words" (patches of a series as tokens); Hyndman & Koehler 2006, "Another look at
measures of forecast accuracy" (MASE).

Axes: N forecasts, T hours of the past, F hours of the future.
Left out: several series at once, forecasts with a spread, weather and calendar as inputs.
"""

import math

import torch
from torch import Tensor

DAY, WEEK, YEAR = 24, 168, 8760  # hours
# The load of each hour of a day over the day's mean, 0 h to 23 h: people sleep, work, cook; at weekends later and flatter.
WORKDAY = torch.tensor(
    [0.70, 0.66, 0.64, 0.63, 0.66, 0.76, 0.93, 1.10, 1.17, 1.16, 1.14, 1.13, 1.15, 1.13, 1.09, 1.06,
     1.08, 1.18, 1.28, 1.30, 1.21, 1.08, 0.95, 0.81]
)  # fmt: skip
WEEKEND = torch.tensor(
    [0.80, 0.75, 0.71, 0.69, 0.69, 0.72, 0.78, 0.88, 1.00, 1.10, 1.16, 1.20, 1.23, 1.18, 1.11, 1.06,
     1.06, 1.13, 1.22, 1.25, 1.18, 1.08, 0.98, 0.84]
)  # fmt: skip
HOLIDAYS = (0, 5, 90, 93, 120, 131, 140, 226, 276, 304, 358, 359, 360)  # days of the year, 0 is the first of January


def load_series(days: int, generator: torch.Generator) -> Tensor:
    """An hourly load in megawatts from the first of January on, a Monday: (24 · days,).

    load = (level and trend) · (profile of the kind of day) · (slow noise) + heating + small noise + shocks, where
    heating is 2.5 MW for each degree below 15 °C. A shock lasts an hour, comes once in four days on average, and is sometimes large:
    6 MW times a draw of Student's t with 4 degrees of freedom.
    """
    if days < 1:
        raise ValueError(f"days = {days}: expected at least 1")
    day = torch.arange(days)
    free = (day % 7 >= 5) | torch.isin(day % 365, torch.tensor(HOLIDAYS))  # (days,)
    profile = torch.where(free[:, None], 0.88 * WEEKEND, WORKDAY).flatten()  # (days, 24) -> (hours,)
    hour = torch.arange(DAY * days)
    season = -torch.cos(2 * math.pi * (hour / YEAR - 20 / 365))  # coldest on the 21st of January
    swing = -torch.cos(2 * math.pi * (hour - 3) / DAY)  # coldest at 3 h
    weather = wander(days, 0.8, generator).repeat_interleave(DAY)  # (hours,), a new deviation each day
    temperature = 10 + 9 * season + 3 * swing + 3.5 * weather
    heating = 2.5 * (15 - temperature).clamp(min=0)
    trend = 100 * (1 + 0.02 * hour / YEAR)
    noise = 1.2 * torch.randn(len(hour), generator=generator)
    normal, uniform = torch.randn(len(hour), generator=generator), torch.rand(2, len(hour), generator=generator)
    chi_square = -2 * torch.log1p(-uniform).sum(dim=0)  # (2, hours) -> (hours,), with 4 degrees of freedom
    student = normal / torch.sqrt(chi_square / 4)
    shocks = 6 * student * (torch.rand(len(hour), generator=generator) < 1 / (4 * DAY))
    return trend * profile * (1 + 0.015 * wander(len(hour), 0.98, generator)) + heating + noise + shocks


def wander(n: int, memory: float, generator: torch.Generator) -> Tensor:
    """Noise that remembers: each value is `memory` times the last plus a fresh draw; mean 0, variance 1, (n,)."""
    values, value = [], float(torch.randn(1, generator=generator))
    fresh = torch.randn(n, generator=generator).tolist()
    for draw in fresh:
        values.append(value)
        value = memory * value + math.sqrt(1 - memory**2) * draw
    return torch.tensor(values)


def windows(series: Tensor, past: int, future: int, start: int, stop: int, every: int = 1) -> tuple[Tensor, Tensor]:
    """Each forecast's past and future, for forecasts whose future lies wholly in the hours start … stop − 1.

    Args:
        series: (hours,). past, future: hours before and after the moment of the forecast.
        start, stop: which hours may be forecast; the past may reach back before `start`, since it is known by then.
        every: hours from one forecast to the next.

    Returns: (N, past), (N, future).
    Raises: ValueError: the series has no such hours, or there is no forecast among them.

    >>> windows(torch.arange(6.0), past=2, future=1, start=3, stop=6)
    (tensor([[1., 2.],
            [2., 3.],
            [3., 4.]]), tensor([[3.],
            [4.],
            [5.]]))
    """
    if past < 1 or future < 1 or every < 1:
        raise ValueError(f"past = {past}, future = {future}, every = {every}: expected each at least 1, in hours")
    if not past <= start <= stop - future or stop > len(series):
        raise ValueError(
            f"start = {start}, stop = {stop}: expected past ≤ start, start + future ≤ stop ≤ {len(series)}, the hours of "
            f"the series, with past = {past} and future = {future}"
        )
    now = torch.arange(start, stop - future + 1, every)[:, None]  # (N, 1), the first hour that is forecast
    return series[now + torch.arange(-past, 0)], series[now + torch.arange(future)]  # (N, past), (N, future)


def scale_free(past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each window less its own mean, over its own spread, so that one model serves summer and winter.

    Args: past (N, T).
    Returns: scaled (N, T), mean (N, 1), spread (N, 1); a forecast in these units goes back by `· spread + mean`.
    """
    mean, spread = past.mean(dim=1, keepdim=True), past.std(dim=1, keepdim=True)  # (N, T) -> (N, 1)
    spread = spread.clamp(min=1e-6 * mean.abs().clamp(min=1e-6))  # a window that never moves has no spread to divide by
    return (past - mean) / spread, mean, spread


def seasonal_naive(past: Tensor, future: int, season: int) -> Tensor:
    """The forecast of someone who expects the last season again: "as yesterday" (24), "as a week ago" (168).

    Args: past (N, T), T ≥ season; future and season in hours.
    Returns: (N, future); where the future is longer than a season, the season repeats.
    Raises: ValueError: past is shorter than a season.

    >>> seasonal_naive(torch.tensor([[1.0, 2.0, 3.0]]), future=3, season=2)
    tensor([[2., 3., 2.]])
    """
    if not 1 <= season <= past.shape[1]:
        raise ValueError(
            f"season = {season}: expected 1 to {past.shape[1]}, the hours of the past; or give a longer past"
        )
    return past[:, past.shape[1] - season + torch.arange(future) % season]  # (N, T) -> (N, future)


def ridge(past: Tensor, future: Tensor, penalty: float) -> Tensor:
    """The weights of a linear forecast: each hour of the future a weighted sum of the past's hours and a constant.

    Least squares plus penalty · (sum of squared weights), in closed form: (XᵀX + penalty · I)⁻¹ XᵀY; the constant is free.
    Args: past (N, T); future (N, F); penalty > 0.
    Returns: (T + 1, F), the constant last, for `linear_forecast`.
    """
    if penalty <= 0:
        raise ValueError(f"penalty = {penalty}: expected more than 0, which keeps the weights small")
    x = torch.cat((past, torch.ones_like(past[:, :1])), dim=1).double()  # (N, T + 1)
    small = torch.full((x.shape[1],), penalty, dtype=torch.float64)
    small[-1] = 0
    return torch.linalg.solve(x.T @ x + small.diag(), x.T @ future.double()).float()  # (T + 1, F)


def linear_forecast(past: Tensor, weights: Tensor) -> Tensor:
    """The forecast of `ridge`'s weights (T + 1, F) for windows past (N, T): (N, F)."""
    return past @ weights[:-1] + weights[-1]  # (N, T) @ (T, F) -> (N, F)


def mase(forecast: Tensor, future: Tensor, history: Tensor, season: int) -> Tensor:
    """Mean absolute scaled error of each forecast: its mean absolute error over that of "as a season ago" on the history.

    Below 1 it is better than what that rule was before the test began (Hyndman & Koehler 2006).
    Differs from the paper: there the rule is "as an hour ago"; with seasons, a season ago is the usual yardstick.

    Args: forecast, future (N, F); history (hours,), the part to learn from; season in hours.
    Returns: (N,), without a unit.

    >>> mase(torch.tensor([[3.0, 3.0]]), torch.tensor([[4.0, 1.0]]), history=torch.tensor([1.0, 3.0, 1.0]), season=1)
    tensor([0.7500])
    """
    if forecast.shape != future.shape:
        raise ValueError(f"forecast has shape {tuple(forecast.shape)}: expected that of future, {tuple(future.shape)}")
    if not 1 <= season < len(history):
        raise ValueError(f"season = {season}: expected 1 to {len(history) - 1}, less than the hours of the history")
    yardstick = (history[season:] - history[:-season]).abs().mean()
    if yardstick == 0:
        raise ValueError(f"history repeats itself exactly after season = {season} hours: no error to compare with")
    return (forecast - future).abs().mean(dim=1) / yardstick  # (N, F) -> (N,)


def block_interval(
    values: Tensor, block: int, generator: torch.Generator, resamples: int = 4000
) -> tuple[float, float]:
    """95 % interval for the mean of N values that stand in time, by drawing whole blocks again with replacement.

    Neighbouring days share their weather, so single days are no independent draws; whole weeks nearly are. What is left
    over after the last whole block is not used.

    Args: values (N,); block: values in a block, at most N / 2.
    """
    whole = len(values) // block if block >= 1 else 0
    if whole < 2:
        raise ValueError(
            f"block = {block}: expected 1 to {len(values) // 2}, so that {len(values)} values make two blocks"
        )
    means = values[: whole * block].view(whole, block).mean(dim=1)  # (N,) -> (blocks,)
    draws = torch.randint(whole, (resamples, whole), generator=generator)
    low, high = means[draws].mean(dim=1).quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low, high
