"""The scaling law: known constants come back, its intervals hold the truth as often as they say, its optimum is the optimum."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize, minimize_scalar
from scipy.special import huber

from lablib.pretraining import scaling
from lablib.pretraining.scaling import BESIROGLU, HOFFMANN, Law, compute_optimal, fit, fit_loss, points
from lablib.pretraining.scaling_intervals import RESAMPLE, bootstrap

TRUTH = Law(E=1.6, A=30.0, alpha=0.35, B=300.0, beta=0.4)
SIZES = np.geomspace(3e4, 3e6, 7)
TOKENS = np.geomspace(1e6, 2e7, 4)


def runs(law=TRUTH, seeds=3, noise=0.0, generator=None, sizes=SIZES, tokens=TOKENS):
    """N, D and loss of a grid of sizes and token counts, each with some seeds, with relative noise."""
    N, D = (np.repeat(axis.ravel(), seeds) for axis in np.meshgrid(sizes, tokens))
    shocks = 0.0 if generator is None else noise * generator.standard_normal(len(N))
    return N, D, law.loss(N, D) * np.exp(shocks)


# ---------------------------------------------------------------- the objective


def random_case(generator, K):
    logs, log_loss = generator.normal(0, 2, (9, K)), generator.normal(1, 0.3, 9)
    return generator.normal(0.3, 0.5, 1 + 2 * K), logs, log_loss


@pytest.mark.parametrize("K", [1, 2])
def test_the_objective_is_equation_3_written_down_naively(K):
    generator = np.random.default_rng(K)
    theta, logs, log_loss = random_case(generator, K)
    predicted = np.exp(theta[0]) + sum(np.exp(theta[1 + k]) * np.exp(logs[:, k]) ** -theta[1 + K + k] for k in range(K))
    log_loss[:4] = np.log(predicted[:4]) + np.array([3e-4, -9e-4, 2e-3, 0.0])  # some residuals on each side of δ
    expected = huber(scaling.DELTA, np.log(predicted) - log_loss).sum()
    assert fit_loss(theta, logs, log_loss)[0] * scaling.DELTA**2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("K", [1, 2])
def test_its_gradient_is_that_of_finite_differences(K):
    theta, logs, log_loss = random_case(np.random.default_rng(10 + K), K)
    numeric = approx_fprime(theta, lambda t: fit_loss(t, logs, log_loss)[0], 1e-7)
    assert fit_loss(theta, logs, log_loss)[1] == pytest.approx(numeric, rel=1e-4)


# ---------------------------------------------------------------- the fit


def test_losses_without_noise_give_back_the_law():
    N, D, loss = runs(seeds=1)
    found = fit(N, loss, D)
    for name in ("E", "A", "alpha", "B", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(TRUTH, name), rel=1e-4), name


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU], ids=["Hoffmann", "Besiroglu"])
def test_at_the_sizes_of_the_paper_too(law):
    N, D, loss = runs(law, seeds=1, sizes=np.geomspace(7e7, 1e10, 8), tokens=np.geomspace(1e9, 4e11, 6))
    found = fit(N, loss, D)
    assert pytest.approx(law.E, rel=1e-3) == found.E
    assert (found.alpha, found.beta) == pytest.approx((law.alpha, law.beta), rel=2e-3)


def test_runs_of_one_length_put_the_price_of_few_tokens_into_E():
    N, _, loss = runs(seeds=1, tokens=np.array([4e6]))
    found = fit(N, loss)
    assert pytest.approx(TRUTH.E + TRUTH.B * 4e6**-TRUTH.beta, rel=1e-4) == found.E
    assert found.B == 0
    assert found.alpha == pytest.approx(TRUTH.alpha, rel=1e-3)


def test_one_wild_run_moves_the_law_little():
    N, D, loss = runs(seeds=1)
    loss[5] *= 1.5
    found = fit(N, loss, D)
    assert pytest.approx(TRUTH.E, rel=0.01) == found.E
    squares = np.linalg.lstsq(np.stack([np.ones(28), N**-0.35, D**-0.4], 1), loss, rcond=None)[0]
    assert abs(squares[0] - TRUTH.E) > 5 * abs(found.E - TRUTH.E)  # least squares, even told α and β


def test_an_objective_too_near_to_zero_stops_the_optimiser_early():
    """Besiroglu et al. 2024: a mean of Huber losses, not multiplied by anything, is so small that L-BFGS takes itself for done.

    Then the answer depends on where it began; with the unit of `fit_loss` it does not.
    """
    N, D, loss = runs(noise=0.004, generator=np.random.default_rng(9))
    logs = np.log(np.stack([N, D], 1))
    logs -= logs.mean(0)

    def spread(unit):
        """Largest less smallest E, of four starts."""
        found = []
        for power in (0.2, 0.4, 0.8, 1.2):
            start = np.array([np.log(loss.min() / 2), -1.0, -1.0, power, power])
            objective = partial(scaled, unit)
            found.append(math.exp(minimize(objective, start, (logs, np.log(loss)), "L-BFGS-B", jac=True).x[0]))
        return max(found) - min(found)

    def scaled(unit, *given):
        return tuple(part * unit for part in fit_loss(*given))

    assert spread(1.0) < 1e-3
    assert spread(scaling.DELTA**2 / len(N)) > 0.01


@given(order=st.permutations(range(28)), scale=st.sampled_from([0.5, 3.0]))
def test_the_order_of_the_runs_and_the_unit_of_the_loss_do_not_matter(order, scale):
    N, D, loss = runs(seeds=1)
    order = np.array(order)
    found = fit(N[order], scale * loss[order], D[order])
    assert found.loss(1e7, 1e8) == pytest.approx(scale * float(TRUTH.loss(1e7, 1e8)), rel=1e-4)


# ---------------------------------------------------------------- intervals


def coverage(resample, levels, simulations=60, replicas=60, noise=0.004):
    """How often the intervals of each level hold E, α and the loss of one new run; seven sizes, three seeds each."""
    law, generator = Law(E=1.96, A=30.0, alpha=0.35), np.random.default_rng(0)
    N, held = np.repeat(SIZES, 3), np.zeros((len(levels), 3))
    for _ in range(simulations):
        loss = law.loss(N) * np.exp(noise * generator.standard_normal(len(N)))
        made = bootstrap(N, loss, resample=resample, generator=generator, replicas=replicas)
        new = float(law.loss(1e7)) * math.exp(noise * generator.standard_normal())
        for row, level in enumerate(levels):
            intervals = [made.interval("E", level), made.interval("alpha", level), made.predict(1e7, level=level)[1:]]
            held[row] += [
                low <= true <= high for true, (low, high) in zip((law.E, law.alpha, new), intervals, strict=True)
            ]
    return held / simulations


@pytest.mark.parametrize("resample", RESAMPLE)
def test_intervals_hold_the_truth_about_as_often_as_they_say(resample):
    """A perfect interval of 90 % would hold 47 to 60 of 60 truths in 99.9 of 100 such tests, one of 50 % 18 to 42 (binomial)."""
    held = 60 * coverage(resample, (0.9, 0.5))
    assert held[0].min() >= 47, held
    assert held[1].min() >= 18, held
    assert held[1].max() <= 42, held


def test_a_prediction_is_wider_than_the_law_alone_and_the_mean_lies_inside():
    generator = np.random.default_rng(3)
    N, D, loss = runs(noise=0.01, generator=generator)
    made = bootstrap(N, loss, D, resample="seeds", generator=generator, replicas=50)
    value, low, high = made.predict(1e6, 1e7)
    curve = [float(law.loss(1e6, 1e7)) for law in made.replicas]
    assert low < value < high
    assert high - low > 1.5 * (np.quantile(curve, 0.95) - np.quantile(curve, 0.05))
    assert np.std(made.scatter) == pytest.approx(0.01, rel=0.2)  # the noise that was put in


def test_the_same_generator_gives_the_same_replicas():
    N, D, loss = runs(noise=0.01, generator=np.random.default_rng(4))
    made = [
        bootstrap(N, loss, D, resample="settings", generator=np.random.default_rng(5), replicas=3) for _ in range(2)
    ]
    assert made[0].replicas == made[1].replicas
    assert len(set(made[0].replicas)) == 3


def test_a_curve_that_never_levels_off_is_said_to_have_no_E():
    generator, N = np.random.default_rng(6), np.repeat(np.geomspace(1e5, 1e6, 4), 3)
    loss = 40 * N**-0.2 * np.exp(0.01 * generator.standard_normal(len(N)))
    made = bootstrap(N, loss, resample="seeds", generator=generator, replicas=60)
    assert made.interval("E")[0] < 0.01
    assert any(doubt.startswith("E is not identified") for doubt in made.doubts())


def test_a_good_grid_leaves_no_doubt():
    generator = np.random.default_rng(7)
    N, D, loss = runs(noise=0.002, generator=generator)
    assert bootstrap(N, loss, D, resample="seeds", generator=generator, replicas=60).doubts() == []


def test_a_loss_that_size_does_not_move_is_said_to_have_no_exponent():
    generator, N = np.random.default_rng(8), np.repeat(SIZES, 3)
    made = bootstrap(N, 2 + 0.01 * generator.random(21), resample="seeds", generator=generator, replicas=60)
    assert any("alpha is not identified" in doubt for doubt in made.doubts())


# ---------------------------------------------------------------- the best use of compute


@pytest.mark.parametrize("law", [HOFFMANN, BESIROGLU, TRUTH], ids=["Hoffmann", "Besiroglu", "ours"])
@pytest.mark.parametrize("C", [1e15, 5.76e23, 1e27])
def test_the_closed_form_is_the_minimum(law, C):
    def on_the_line(log_N):
        return float(law.loss(math.exp(log_N), C / 6 / math.exp(log_N)))

    best = minimize_scalar(on_the_line, bounds=(1, 80), method="bounded", options={"xatol": 1e-10})
    N, D = law.optimal(C)
    assert pytest.approx(C, rel=1e-9) == 6 * N * D
    assert math.log(N) == pytest.approx(best.x, abs=1e-4)
    assert float(law.loss(N, D)) <= best.fun * (1 + 1e-12)


def test_hoffmann_s_own_prediction_for_gopher_s_compute():
    """Figure 4: "40B parameters" for 5.76e23 FLOPs, by constants that are not rounded; the rounded ones give less."""
    N, _ = HOFFMANN.optimal(5.76e23)
    exact = compute_optimal(5.76e23, A=406.4, B=410.7, alpha=0.3392, beta=0.2849)[0]  # the paper's TeX source
    assert exact == pytest.approx(40e9, rel=0.05)
    assert 0.75 < N / 40e9 < 0.9


def test_the_replication_lands_near_chinchilla():
    """Besiroglu et al. 2024: about 20 tokens for each parameter, as the paper's other two approaches and Chinchilla itself."""
    N, D = BESIROGLU.optimal(5.76e23)
    assert 15 < D / N < 27
    assert pytest.approx(70e9, rel=0.1) == N
    hoffmann = HOFFMANN.optimal(5.76e23)
    assert hoffmann[1] / hoffmann[0] > 80


@given(factor=st.floats(1.5, 100.0))
def test_more_compute_means_more_of_both(factor):
    (N, D), (more_N, more_D) = TRUTH.optimal(1e15), TRUTH.optimal(1e15 * factor)
    assert more_N > N
    assert more_D > D
    assert more_N / N == pytest.approx(factor ** (0.4 / 0.75), rel=1e-9)


# ---------------------------------------------------------------- records and errors


def test_points_reads_records():
    rows = [
        {"matrices": 10, "parameters": 30, "tokens": 5, "loss": 2.0, "floor": 1.0, "label": "a"},
        {"matrices": 20, "parameters": 50, "tokens": 5, "loss": 1.5, "floor": 1.0, "label": "b"},
    ]
    assert points(rows).N.tolist() == [10, 20]
    assert points(rows, size="parameters").N.tolist() == [30, 50]
    assert points(rows).loss.tolist() == [2.0, 1.5]
    with pytest.raises(ValueError, match=r"runs\[1\] has no 'floor'"):
        points([rows[0], {"matrices": 1, "tokens": 1, "loss": 1}])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda N, D, loss: (N[:6], loss[:6], D[:6]),
            r"N has 2 different sizes: expected at least 3.*train more sizes$",
        ),
        (lambda N, D, loss: (N, loss, np.where(D > 3e6, 1e7, 1e6)), "D has 2 different token counts.*leave D out"),
        (lambda N, D, loss: (N, np.where(np.arange(84) == 7, np.nan, loss), D), r"loss\[7\] = nan.*that diverged"),
        (lambda N, D, loss: (N, -loss, D), r"loss\[0\] = -.*finite number > 0"),
        (lambda N, D, loss: (N, loss, np.where(np.arange(84) == 3, 0, D)), r"D\[3\] = 0.0: expected a finite number"),
        (lambda N, D, loss: (N[:-1], loss, D), "N has 83 entries and loss 84: expected one for each run"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        fit(*change(*runs()))


def test_a_bootstrap_says_what_it_needs():
    N, D, loss = runs(seeds=1)
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no setting has two runs"):
        bootstrap(N, loss, D, resample="seeds", generator=generator)
    with pytest.raises(ValueError, match="resample = 'runs': expected 'seeds' or 'settings'"):
        bootstrap(N, loss, D, resample="runs", generator=generator)
    made = bootstrap(N, loss, D, resample="settings", generator=generator, replicas=2)
    with pytest.raises(ValueError, match=r"level = 90: expected a share"):
        made.interval("E", level=90)


@pytest.mark.parametrize("name", ["C", "A", "B", "alpha", "beta"])
def test_an_optimum_needs_both_terms(name):
    constants = {"C": 1e15, "A": 1.0, "B": 1.0, "alpha": 0.3, "beta": 0.3} | {name: 0.0}
    with pytest.raises(ValueError, match=f"{name} = 0.0: expected a number > 0"):
        compute_optimal(**constants)
