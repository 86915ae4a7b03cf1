"""Win rates and intervals against enumeration, scipy and simulated seeds; fronts against brute force."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lablib.alignment.diversity import distinct_n
from lablib.alignment.pareto import chebyshev, front_share, pareto_front, weighted
from lablib.alignment.win_rate import (
    Measured,
    drawn,
    ends,
    measured,
    resampled_means,
    seed_interval,
    variance_parts,
    wins,
)

GRID = st.lists(
    st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=9
)  # few values, so that points tie


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- wins


def test_wins_are_counted_as_by_hand_and_turn_round():
    mine, theirs = (
        torch.rand(3, 40, generator=chance()).mul(4).round(),
        torch.rand(3, 40, generator=chance(1)).mul(4).round(),
    )
    found = wins(mine, theirs)
    for s, p in itertools.product(range(3), range(40)):
        a, b = mine[s, p].item(), theirs[s, p].item()
        assert found[s, p].item() == (1.0 if a > b else 0.5 if a == b else 0.0)
    assert {0.0, 0.5, 1.0} == set(found.flatten().tolist())
    torch.testing.assert_close(found + wins(theirs, mine), torch.ones(3, 40))


def test_scores_of_other_prompts_are_refused():
    with pytest.raises(ValueError, match=r"mine has shape \(2, 3\) and theirs \(2, 4\): expected the same"):
        wins(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"expected the same, a score for each prompt"):
        wins(torch.zeros(0), torch.zeros(0))


# ---------------------------------------------------------------- the bootstrap


def test_a_resample_is_the_mean_of_what_it_names():
    values = torch.randn(3, 5, generator=chance(), dtype=torch.float64)
    seeds, prompts = drawn(3, 5, 20, chance(1))
    found = resampled_means(values, seeds, prompts)
    for r in range(20):
        picked = [values[seeds[r, s], prompts[r, s, p]].item() for s in range(3) for p in range(5)]
        assert found[r].item() == pytest.approx(sum(picked) / 15, rel=1e-12)


def test_resamples_have_the_distribution_of_all_that_could_be_drawn():
    """2 seeds, 2 prompts: all 2² · 2⁴ resamples, each as likely as any other."""
    values = torch.tensor([[0.0, 1.0], [2.0, 7.0]], dtype=torch.float64)
    every = [
        sum(values[s, p].item() for s, two in zip(seeds, prompts, strict=True) for p in two) / 4
        for seeds in itertools.product(range(2), repeat=2)
        for prompts in itertools.product(itertools.product(range(2), repeat=2), repeat=2)
    ]
    assert len(every) == 64
    found = resampled_means(values, *drawn(2, 2, 20_000, chance())).tolist()
    for value in set(every):
        expected = every.count(value) / 64
        assert abs(found.count(value) / 20_000 - expected) < 4 * (expected * (1 - expected) / 20_000) ** 0.5


def test_with_one_seed_it_is_scipys_percentile_bootstrap():
    values = torch.rand(1, 60, generator=chance(), dtype=torch.float64) ** 2
    mine = measured(values, chance(1), resamples=8000)
    theirs = stats.bootstrap(
        (values[0].numpy(),), lambda x, axis: x.mean(axis=axis), n_resamples=8000, method="percentile", random_state=0
    ).confidence_interval
    width = theirs.high - theirs.low
    assert mine.mean == pytest.approx(values.mean().item())
    assert mine.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert mine.high == pytest.approx(theirs.high, abs=0.05 * width)
    assert (mine.seed_low, mine.seed_high, mine.carries(0.0)) == (None, None, 0)


def test_pairing_takes_out_what_the_prompts_have_of_their_own():
    hard = torch.randn(3, 200, generator=chance(), dtype=torch.float64)
    mine, theirs = (hard + 0.1 * torch.randn(3, 200, generator=chance(i), dtype=torch.float64) for i in (1, 2))
    paired = measured(mine - theirs, chance(3))
    shuffled = measured(mine - theirs[:, torch.randperm(200, generator=chance(4))], chance(3))
    assert (shuffled.high - shuffled.low) > 5 * (paired.high - paired.low)


def test_seeds_are_clusters():
    """900 values that agree within each seed are three measurements: the interval must not shrink with the prompts."""
    centres = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    few = measured(centres + 0.01 * torch.randn(3, 30, generator=chance(), dtype=torch.float64), chance(1))
    many = measured(centres + 0.01 * torch.randn(3, 900, generator=chance(), dtype=torch.float64), chance(1))
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.05)
    assert many.high - many.low > 1.0
    pooled = measured(centres.expand(3, 900).reshape(1, -1), chance(1))
    assert pooled.high - pooled.low < 0.15


def test_students_interval_is_scipys():
    means = torch.tensor([0.41, 0.55, 0.47, 0.5], dtype=torch.float64)
    found = seed_interval(means)
    expected = stats.t.interval(0.95, 3, loc=means.mean().item(), scale=stats.sem(means.numpy()))
    assert found == pytest.approx((means.mean().item(), *expected), rel=1e-9)
    wide, narrow = seed_interval(means, 0.99), seed_interval(means, 0.5)
    assert wide[1] < found[1] < narrow[1] < narrow[2] < found[2] < wide[2]


def coverage(between: float, S: int = 3, P: int = 40, runs: int = 400) -> tuple[float, float]:
    """How often the bootstrap and Student hold the truth, 0, where seeds differ by `between` and answers by 1."""
    held = [0, 0]
    for run in range(runs):
        g = chance(run)
        values = torch.randn(S, P, generator=g, dtype=torch.float64)
        values += between * torch.randn(S, 1, generator=g, dtype=torch.float64)
        one = measured(values, g, resamples=400)
        held[0] += one.low <= 0 <= one.high
        held[1] += one.seed_low <= 0 <= one.seed_high
    return held[0] / runs, held[1] / runs


def test_what_three_seeds_can_carry():
    """The docstring's claim: where seeds differ, the bootstrap of three is too short and Student's is not."""
    bootstrap, student = coverage(between=1.0)
    assert bootstrap < 0.85
    assert 0.92 <= student <= 0.98
    bootstrap, student = coverage(between=0.0)
    assert bootstrap > 0.93
    assert 0.92 <= student <= 0.98


def test_where_seeds_do_not_differ_prompts_are_drawn_twice():
    """The docstring's "a little too long": the variance of two-stage resamples against that of the mean, for 3 seeds of 50 prompts."""
    S, P, found = 3, 50, []
    for run in range(300):
        values = torch.randn(S, P, generator=chance(run), dtype=torch.float64)
        found.append(resampled_means(values, *drawn(S, P, 200, chance(run))).var().item())
    expected = ((S - 1) / S / P + (P - 1) / P / P) / S  # by hand; the truth is 1 / (S · P)
    assert sum(found) / 300 == pytest.approx(expected, rel=0.1)
    assert expected * S * P == pytest.approx(1.65, abs=0.01)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_intervals_of_student_that_do_not_overlap_carry_the_difference(seed):
    """Lab 15's answer to its question 3, whatever the two methods have in common."""
    common, a, b = torch.randn(3, 3, generator=chance(seed), dtype=torch.float64)
    mine, theirs = common + 0.3 * a, common + 0.3 * b + 9
    one, other, apart = seed_interval(mine), seed_interval(theirs), seed_interval(theirs - mine)
    assert apart[2] - apart[1] <= (one[2] - one[1]) + (other[2] - other[1]) + 1e-9
    assert one[2] >= other[1] or apart[1] > 0


# ---------------------------------------------------------------- what makes an interval long


def test_the_parts_are_those_of_the_analysis_of_variance():
    """P · (between + within) and P · within are its mean squares, and their ratio is scipy's F."""
    values = torch.randn(4, 30, generator=chance(), dtype=torch.float64) + torch.tensor([[0.0], [0.5], [1.0], [0.2]])
    between, within = variance_parts(values)
    assert (between + within) / within == pytest.approx(stats.f_oneway(*values.numpy()).statistic, rel=1e-9)
    assert between + within == pytest.approx(values.mean(dim=1).var().item(), rel=1e-12)
    assert variance_parts(values, ["one kind"] * 30) == pytest.approx((between, within))


@pytest.mark.parametrize("seeds_differ_by", [0.0, 0.3])
def test_the_parts_are_right_on_average_also_where_kinds_differ_much(seeds_differ_by):
    """20 prompts of one kind and 10 of another, whose means are far apart: the same in each seed, so no part of what seeds scatter by."""
    kinds, runs = ["a", "b"] * 10 + ["a"] * 10, 2000
    level = torch.tensor([0.0 if kind == "a" else 5.0 for kind in kinds], dtype=torch.float64)
    scale = torch.tensor([1.0 if kind == "a" else 2.0 for kind in kinds], dtype=torch.float64)
    found = []
    for run in range(runs):
        g = chance(run)
        values = level + scale * torch.randn(3, 30, generator=g, dtype=torch.float64)
        values += seeds_differ_by * torch.randn(3, 1, generator=g, dtype=torch.float64)
        found.append(variance_parts(values, kinds))
    between, within = (sum(column) / runs for column in zip(*found, strict=True))
    expected = (20 * 1.0 + 10 * 4.0) / 30**2  # the variance of a mean of 30, by hand
    assert within == pytest.approx(expected, rel=0.02)
    assert between == pytest.approx(seeds_differ_by**2, abs=0.006)
    above = sum((b + w) / w > 3.0 for b, w in found) / runs
    if not seeds_differ_by:
        assert 0.035 < above < 0.07, "the lab's rule of thumb: once in twenty times"
        assert sum(b < 0 for b, _ in found) / runs > 0.55, "below 0 more often than not"
    assert stats.chi2.ppf(0.95, 2) / 2 == pytest.approx(3.0, abs=0.005)


def test_parts_need_seeds_and_prompts():
    with pytest.raises(ValueError, match=r"values has shape \(1, 4\): expected at least 2 seeds"):
        variance_parts(torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"shape \(2, 4\) and 3 kinds: expected a kind for each prompt"):
        variance_parts(torch.zeros(2, 4), ["a", "a", "a"])
    with pytest.raises(ValueError, match="at least 2 prompts of each kind"):
        variance_parts(torch.zeros(2, 4), ["a", "a", "a", "b"])
    with pytest.raises(ValueError, match=r"shape \(2, 1\): expected a kind for each prompt, and at least 2"):
        variance_parts(torch.zeros(2, 1))
    with pytest.raises(ValueError, match="finite numbers, none missing"):
        variance_parts(torch.tensor([[0.0, 1.0], [float("nan"), 1.0]]))


def test_how_much_longer_a_deviation_must_be_with_three_seeds_and_what_five_are_worth():
    """Numbers of lab 15's prose: 39 and six, 4.30 and 2.78, and half the length."""
    assert stats.f.ppf(0.975, 2, 2) == pytest.approx(39.0)
    assert 6 < stats.f.ppf(0.975, 2, 2) ** 0.5 < 6.3
    three, five = (stats.t.ppf(0.975, S - 1) for S in (3, 5))
    assert (round(three, 2), round(five, 2)) == (4.30, 2.78)
    assert five / 5**0.5 / (three / 3**0.5) == pytest.approx(0.5, abs=0.005)
    assert stats.binom.sf(0, 10, 0.05) == pytest.approx(0.40, abs=0.005), "of ten sentences at least one, by chance"


def test_a_claim_needs_both_intervals():
    seeds = (0.58, 0.6, 0.62)
    assert Measured(0.6, 0.55, 0.65, seeds, 0.54, 0.66).carries(0.5) == 1
    assert Measured(0.4, 0.35, 0.45, seeds, 0.34, 0.46).carries(0.5) == -1
    assert Measured(0.6, 0.55, 0.65, seeds, 0.49, 0.71).carries(0.5) == 0
    assert Measured(0.6, 0.49, 0.71, seeds, 0.55, 0.65).carries(0.5) == 0
    assert Measured(0.5, 0.4, 0.6, seeds, 0.4, 0.6).carries(0.5) == 0
    assert Measured(0.6, 0.55, 0.65, seeds, 0.54, 0.66).spread == pytest.approx(0.02)
    assert Measured(0.6, 0.55, 0.65, (0.6,), None, None).spread == 0.0


def test_wrong_tables_are_refused():
    with pytest.raises(ValueError, match=r"values has shape \(4,\): expected \(S, P\)"):
        measured(torch.zeros(4), chance())
    with pytest.raises(ValueError, match="finite numbers, none missing"):
        measured(torch.tensor([[0.0, float("nan")]]), chance())
    with pytest.raises(ValueError, match=r"level = 95: expected a number between 0 and 1"):
        ends(torch.zeros(3), 95)
    with pytest.raises(ValueError, match=r"means has shape \(1,\): expected \(S,\)"):
        seed_interval(torch.zeros(1))
    with pytest.raises(ValueError, match="S = 0, P = 2, resamples = 3: expected at least one of each"):
        drawn(0, 2, 3, chance())
    with pytest.raises(ValueError, match=r"expected \(S, P\), \(R, S\), \(R, S, P\)"):
        resampled_means(torch.zeros(2, 3), torch.zeros(1, 2).long(), torch.zeros(2, 2, 3).long())


# ---------------------------------------------------------------- fronts


def brute_front(points):
    def dominates(a, b):
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    return [not any(dominates(other, mine) for other in points) for mine in points]


@given(GRID)
def test_the_front_is_that_of_brute_force(points):
    assert pareto_front(torch.tensor(points, dtype=torch.float64)).tolist() == brute_front(points)


@given(GRID, st.randoms())
def test_the_front_does_not_hang_on_order_and_is_never_empty(points, random):
    table = torch.tensor(points, dtype=torch.float64)
    order = list(range(len(points)))
    random.shuffle(order)
    front = pareto_front(table)
    assert front.any()
    assert pareto_front(table[order]).tolist() == front[order].tolist()
    assert pareto_front(table * 3 + 1).tolist() == front.tolist()


@given(GRID, st.lists(st.floats(0.1, 5), min_size=3, max_size=3))
def test_the_best_by_weights_is_on_the_front(points, weights):
    table, w = torch.tensor(points, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)
    best = weighted(table, w)
    on = pareto_front(table)
    assert on[best >= best.max() - 1e-12].any()
    by_hand = [sum(x * y for x, y in zip(row, weights, strict=True)) / sum(weights) for row in points]
    torch.testing.assert_close(best, torch.tensor(by_hand, dtype=torch.float64))
    torch.testing.assert_close(best, weighted(table, 7 * w))


@settings(deadline=None)
@given(GRID)
def test_chebyshev_finds_every_point_of_the_front(points):
    """Weights 1/(ideal − point) make a point of the front the best one, or one of the best (Miettinen 1999)."""
    table = torch.tensor(points, dtype=torch.float64)
    ideal = torch.full((3,), 5.0, dtype=torch.float64)
    for number in pareto_front(table).nonzero()[:, 0].tolist():
        scores = chebyshev(table, 1 / (ideal - table[number]), ideal)
        assert scores[number].item() == pytest.approx(-1.0)
        assert scores[number] >= scores.max() - 1e-9


def test_a_weighted_mean_does_not_find_the_point_in_the_hollow():
    points = torch.tensor([[1.0, 0.0], [0.4, 0.4], [0.0, 1.0]])
    assert pareto_front(points).all()
    shares = [torch.tensor([w / 50, 1 - w / 50]) for w in range(51)]
    assert {weighted(points, w).argmax().item() for w in shares} == {0, 2}
    ideal = torch.ones(2)
    assert {chebyshev(points, w, ideal).argmax().item() for w in shares} == {0, 1, 2}


def test_the_share_on_the_front_counts_resamples():
    first, second = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.4]], [[1.0, 1.0], [0.0, 1.0], [0.5, 0.4]]
    assert front_share(torch.tensor([first, second])).tolist() == [1.0, 0.5, 0.5]


def test_wrong_points_weights_and_ideals_are_refused():
    points = torch.tensor([[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"points has shape \(2,\): expected \(N, K\)"):
        pareto_front(torch.zeros(2))
    with pytest.raises(ValueError, match="without NaN"):
        pareto_front(torch.tensor([[float("nan"), 1.0]]))
    for wrong in ([1.0], [0.0, 0.0], [-1.0, 2.0]):
        with pytest.raises(ValueError, match=r"weights = .*expected 2, one for each aim"):
            weighted(points, torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"ideal = .*each at least as good as every point"):
        chebyshev(points, torch.ones(2), torch.tensor([0.5, 1.0]))
    with pytest.raises(ValueError, match=r"expected \(R, N, K\)"):
        front_share(points)


# ---------------------------------------------------------------- diversity


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=5), st.integers(1, 3))
def test_distinct_n_counts_by_hand(texts, n):
    found, seen, total = distinct_n(texts, n), [], 0
    for text in texts:
        for start in range(len(text)):
            gram = text[start : start + n]
            if len(gram) == n:
                total += 1
                if gram not in seen:
                    seen.append(gram)
    assert found == (len(seen) / total if total else 0.0)
    assert 0 <= found <= 1
    assert distinct_n([*texts, *texts], n) == pytest.approx(found / 2)


def test_distinct_n_needs_an_n():
    with pytest.raises(ValueError, match="n = 0: expected a whole number >= 1"):
        distinct_n([[1, 2]], 0)
