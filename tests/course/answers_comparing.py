"""Lab 15: right answers that differ from the reference, and wrong ones that no mistake names."""

import math
import statistics

import numpy as np
import torch
from scipy import stats

from lablib.alignment.compute_ledger import pass_flops
from lablib.alignment.diversity import distinct_n
from lablib.alignment.pareto import chebyshev, pareto_front
from lablib.alignment.win_rate import resampled_means, seed_interval, wins
from lablib.pretraining.flops import per_token

# ---------------------------------------------------------------- wins


def wins_by_sign(mine, theirs):
    return ((mine - theirs).sign() + 1) / 2


def wins_by_where(mine, theirs):
    one, half, zero = (torch.full_like(mine, x) for x in (1.0, 0.5, 0.0))
    return torch.where(mine > theirs, one, torch.where(mine < theirs, zero, half))


def wins_by_two_comparisons(mine, theirs):
    return 0.5 * (mine > theirs).to(mine.dtype) + 0.5 * (mine >= theirs).to(mine.dtype)


def wins_with_tolerance(mine, theirs):
    return torch.where((mine - theirs).abs() < 1e-5, 0.5, (mine > theirs).to(mine.dtype)).to(mine.dtype)


def wins_doubled(mine, theirs):
    return 2 * wins(mine, theirs)


def wins_of_absolutes(mine, theirs):
    """Right where all scores are above 0."""
    return wins(mine.abs(), theirs.abs())


def wins_by_rank(mine, theirs):
    return mine.argsort(-1).to(mine.dtype)


def wins_tie_by_quarter(mine, theirs):
    return wins(mine, theirs) - 0.25 * (mine == theirs).to(mine.dtype)


def wins_rounded(mine, theirs):
    return wins((mine * 10).round(), (theirs * 10).round())


def wins_against_the_mean(mine, theirs):
    return wins(mine, theirs.mean(-1, keepdim=True).expand_as(theirs))


def wins_flat(mine, theirs):
    return wins(mine, theirs).flatten()


def wins_normalised(mine, theirs):
    found = wins(mine, theirs)
    return found / found.sum()


def wins_in_place(mine, theirs):
    mine -= theirs
    return (mine.sign() + 1) / 2


# ---------------------------------------------------------------- resampled_means


def means_by_loops(values, seeds, prompts):
    rows = []
    for some, theirs in zip(seeds, prompts, strict=True):
        rows.append(torch.cat([values[seed][drawn] for seed, drawn in zip(some, theirs, strict=True)]).mean())
    return torch.stack(rows)


def means_by_flat_numbers(values, seeds, prompts):
    at = seeds[:, :, None] * values.shape[1] + prompts
    return values.reshape(-1)[at].mean(dim=(1, 2))


def means_by_gather(values, seeds, prompts):
    return values[seeds].gather(2, prompts).mean(dim=2).mean(dim=1)


def means_half(values, seeds, prompts):
    return resampled_means(values, seeds, prompts) / 2


def means_first_seed(values, seeds, prompts):
    return values[seeds[:, :1, None], prompts[:, :1]].mean(dim=(1, 2))


def means_first_prompt(values, seeds, prompts):
    return values[seeds[:, :, None], prompts[:, :, :1]].mean(dim=(1, 2))


def means_sorted(values, seeds, prompts):
    return resampled_means(values, seeds, prompts).sort().values


def means_whole(values, seeds, prompts):
    return values.mean().expand(len(seeds)).clone()


def means_turned(values, seeds, prompts):
    return resampled_means(values.flip(0), seeds, prompts)


def means_of_means_of_largest(values, seeds, prompts):
    return values[seeds[:, :, None], prompts].amax(dim=2).mean(dim=1)


def means_per_degree(values, seeds, prompts):
    S, P = values.shape
    return resampled_means(values, seeds, prompts) * (S * P) / max(1, S * P - 1)


def means_list(values, seeds, prompts):
    return resampled_means(values, seeds, prompts).tolist()


# ---------------------------------------------------------------- seed_interval


def interval_by_scipy(means, level=0.95):
    values = means.double().numpy()
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def interval_by_lower_quantile(means, level=0.95):
    values = means.double().tolist()
    mean, s = statistics.mean(values), statistics.stdev(values)
    low = float(stats.t.ppf((1 - level) / 2, len(values) - 1)) * s / math.sqrt(len(values))
    return mean, mean + low, mean - low


def interval_rounded(means, level=0.95):
    return tuple(round(x, 2) for x in seed_interval(means, level))


def interval_twice_as_wide(means, level=0.95):
    mean, low, high = seed_interval(means, level)
    return mean, 2 * low - mean, 2 * high - mean


def interval_two_numbers(means, level=0.95):
    return seed_interval(means, level)[1:]


def interval_clipped(means, level=0.95):
    """Kept between 0 and 1, as if it were always a share."""
    mean, low, high = seed_interval(means, level)
    return mean, max(0.0, low), min(1.0, high)


def interval_two_deviations(means, level=0.95):
    mean, s = means.double().mean().item(), means.double().std().item()
    return mean, mean - 2 * s, mean + 2 * s


def interval_other_default(means, level=0.9):
    return seed_interval(means, level)


def interval_bootstrap(means, level=0.95):
    drawn = means.double()[torch.randint(0, len(means), (999, len(means)), generator=torch.Generator().manual_seed(0))]
    low, high = drawn.mean(1).quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return means.double().mean().item(), low, high


def interval_tensors(means, level=0.95):
    return tuple(torch.tensor(x) for x in seed_interval(means, level))


def interval_numpy(means, level=0.95):
    values = means.double().numpy()
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return values.mean(), values.mean() - half, values.mean() + half  # float64, which is a float


def interval_numpy_float32(means, level=0.95):
    return tuple(np.float32(x) for x in seed_interval(means, level))


def interval_factor_of_three_seeds(means, level=0.95):
    mean, s = means.double().mean().item(), means.double().std().item()
    return mean, mean - 4.302653 * s / math.sqrt(len(means)), mean + 4.302653 * s / math.sqrt(len(means))


# ---------------------------------------------------------------- pass_flops


def flops_by_loop(config, lengths, learned=False, head=True):
    total = 0
    for T in lengths:
        token = per_token(config, T)
        if not head:
            token -= 6 * config.V * config.D
        total += T * token if learned else T * token // 3
    return total


def flops_from_parameters(config, lengths, learned=False, head=True):
    N = config.parameters - (0 if config.tied else config.V * config.D) - (0 if head else config.V * config.D)
    factor = 3 if learned else 1
    return factor * sum(2 * N * T + 4 * config.L * config.D * T * T for T in lengths)


def flops_no_layers(config, lengths, learned=False, head=True):
    return pass_flops(config, lengths, learned, head) // config.L


def flops_embedding_off_always(config, lengths, learned=False, head=True):
    return pass_flops(config, lengths, learned, False)


def flops_tokens(config, lengths, learned=False, head=True):
    return sum(lengths)


def flops_first_row(config, lengths, learned=False, head=True):
    return pass_flops(config, lengths[:1], learned, head)


def flops_causal(config, lengths, learned=False, head=True):
    """Half of attention, since half of it lies in the future; the paper counts all."""
    less = sum(T * 6 * config.L * config.D * T for T in lengths)
    return pass_flops(config, lengths, learned, head) - (less if learned else less // 3)


def flops_tied_only(config, lengths, learned=False, head=True):
    unused = 6 * config.V * config.D if not head and config.tied else 0
    both = sum(T * (per_token(config, T) - unused) for T in lengths)
    return both if learned else both // 3


def flops_four_for_backward(config, lengths, learned=False, head=True):
    return pass_flops(config, lengths, False, head) * (4 if learned else 1)


def flops_other_default(config, lengths, learned=True, head=True):
    return pass_flops(config, lengths, learned, head)


def flops_tera(config, lengths, learned=False, head=True):
    return pass_flops(config, lengths, learned, head) / 1e12


# ---------------------------------------------------------------- distinct_n


def distinct_by_zip(texts, n=2):
    grams = [gram for text in texts for gram in zip(*(text[i:] for i in range(n)), strict=False)]
    return len(set(grams)) / max(1, len(grams))


def distinct_by_counting(texts, n=2):
    seen, total = {}, 0
    for text in texts:
        for end in range(n, len(text) + 1):
            seen[str(text[end - n : end])] = True
            total += 1
    return len(seen) / total if total else 0.0


def distinct_percent(texts, n=2):
    return 100 * distinct_n(texts, n)


def distinct_first_text(texts, n=2):
    return distinct_n(texts[:1], n)


def distinct_squared(texts, n=2):
    return distinct_n(texts, n) ** 2


def distinct_up_to_n(texts, n=2):
    return sum(distinct_n(texts, k) for k in range(1, n + 1)) / n


def distinct_texts(texts, n=2):
    return len({tuple(text) for text in texts}) / len(texts)


def distinct_one_more(texts, n=2):
    return distinct_n(texts, n + 1)


def distinct_other_default(texts, n=1):
    return distinct_n(texts, n)


def distinct_nan(texts, n=2):
    return distinct_n(texts, n) if any(len(text) >= n for text in texts) else math.nan


def distinct_whole(texts, n=2):
    return round(distinct_n(texts, n))


# ---------------------------------------------------------------- pareto_front


def front_by_loops(points):
    def dominates(a, b):
        return bool((a >= b).all() and (a > b).any())

    return torch.tensor([not any(dominates(other, mine) for other in points) for mine in points])


def front_by_not_equal(points):
    other, mine = points[None], points[:, None]
    return ~((other >= mine).all(2) & (other != mine).any(2)).any(1)


def front_by_worst_gain(points):
    gain = points[None] - points[:, None]
    return ~((gain.amin(2) >= 0) & (gain.amax(2) > 0)).any(1)


def front_one_of_equals(points):
    first = torch.tensor([not any(torch.equal(points[i], points[j]) for j in range(i)) for i in range(len(points))])
    return pareto_front(points) & first


def front_above_the_mean(points):
    return (points >= points.mean(0)).any(1)


def front_of_pairs_of_neighbours(points):
    after = torch.cat([points[1:], points[:1]])
    return ~((after >= points).all(1) & (after > points).any(1))


def front_all(points):
    return torch.ones(len(points), dtype=torch.bool)


def front_layers(points):
    """The second front, too."""
    first = pareto_front(points)
    second = first.clone()
    if (~first).any():
        second[~first] = pareto_front(points[~first])
    return second


def front_rounded(points):
    return pareto_front((points * 4).round())


def front_list(points):
    return pareto_front(points).tolist()


def front_as_numbers(points):
    return pareto_front(points).float()


def front_of_absolutes(points):
    return pareto_front(points.abs())


# ---------------------------------------------------------------- chebyshev


def chebyshev_by_min(points, weights, ideal):
    return (weights * (points - ideal)).amin(dim=1)


def chebyshev_by_max_values(points, weights, ideal):
    return ((ideal - points) * weights).max(dim=1).values.neg()


def chebyshev_by_loops(points, weights, ideal):
    return torch.stack(
        [-torch.stack([w * (i - p) for p, w, i in zip(row, weights, ideal, strict=True)]).max() for row in points]
    )


def chebyshev_squared(points, weights, ideal):
    return -(weights * (ideal - points) ** 2).amax(dim=1)


def chebyshev_second(points, weights, ideal):
    return -(weights * (ideal - points)).sort(dim=1).values[:, -2]


def chebyshev_augmented(points, weights, ideal):
    return chebyshev(points, weights, ideal) - 0.01 * (ideal - points).sum(1)


def chebyshev_median(points, weights, ideal):
    return -(weights * (ideal - points)).median(dim=1).values


def chebyshev_kept_axis(points, weights, ideal):
    return -(weights * (ideal - points)).amax(dim=1, keepdim=True)


def chebyshev_number(points, weights, ideal):
    return -(weights * (ideal - points)).argmax(dim=1)


def chebyshev_shifted(points, weights, ideal):
    found = chebyshev(points, weights, ideal)
    return found - found.max()


def chebyshev_unweighted_ideal(points, weights, ideal):
    return -(ideal - weights * points).amax(dim=1)


def chebyshev_weights_to_one(points, weights, ideal):
    return chebyshev(points, weights / weights.max(), ideal)


RIGHT = {
    "wins": [wins_by_sign, wins_by_where, wins_by_two_comparisons],
    "resampled_means": [means_by_loops, means_by_flat_numbers, means_by_gather],
    "seed_interval": [interval_by_scipy, interval_by_lower_quantile, interval_numpy],
    "pass_flops": [flops_by_loop, flops_from_parameters],
    "distinct_n": [distinct_by_zip, distinct_by_counting],
    "pareto_front": [front_by_loops, front_by_not_equal, front_by_worst_gain],
    "chebyshev": [chebyshev_by_min, chebyshev_by_max_values, chebyshev_by_loops],
}

WRONG = {
    "wins": [
        wins_doubled,
        wins_of_absolutes,
        wins_by_rank,
        wins_tie_by_quarter,
        ("rounded", wins_rounded, "a thousandth"),
        ("with a tolerance", wins_with_tolerance, "a tie is `mine == theirs`"),
        wins_against_the_mean,
        ("flat", wins_flat, "wrong shape"),
        wins_normalised,
        ("in place", wins_in_place, "in place"),
    ],
    "resampled_means": [
        means_half,
        means_first_seed,
        means_first_prompt,
        means_sorted,
        means_whole,
        means_turned,
        means_of_means_of_largest,
        means_per_degree,
        ("list", means_list, "expected"),
    ],
    "seed_interval": [
        interval_rounded,
        interval_twice_as_wide,
        ("two numbers", interval_two_numbers, "expected 3 results"),
        interval_clipped,
        interval_two_deviations,
        interval_other_default,
        interval_bootstrap,
        ("tensors", interval_tensors, "plain float"),
        ("NumPy's float32", interval_numpy_float32, "expected a plain float (`float(x)` or `.item()`)"),
        ("three seeds by heart", interval_factor_of_three_seeds, "five seeds"),
    ],
    "pass_flops": [
        flops_no_layers,
        flops_embedding_off_always,
        flops_tokens,
        flops_first_row,
        flops_causal,
        ("a head of its own", flops_tied_only, "a head of its own"),
        flops_four_for_backward,
        flops_other_default,
        flops_tera,
    ],
    "distinct_n": [
        distinct_percent,
        distinct_first_text,
        distinct_squared,
        distinct_up_to_n,
        distinct_texts,
        distinct_one_more,
        ("default", distinct_other_default, "the default"),
        ("NaN", distinct_nan, "shorter than n"),
        distinct_whole,
    ],
    "pareto_front": [
        front_one_of_equals,
        front_above_the_mean,
        front_of_pairs_of_neighbours,
        front_all,
        front_layers,
        front_rounded,
        ("list", front_list, "expected"),
        ("numbers", front_as_numbers, "wrong dtype"),
        front_of_absolutes,
    ],
    "chebyshev": [
        chebyshev_squared,
        chebyshev_second,
        chebyshev_augmented,
        chebyshev_median,
        ("one axis too many", chebyshev_kept_axis, "wrong shape"),
        ("a number", chebyshev_number, "wrong dtype"),
        chebyshev_shifted,
        chebyshev_unweighted_ideal,
        chebyshev_weights_to_one,
    ],
}
