"""Lab 15: the exercises on comparing methods, from `lablib.alignment`."""

import math
from collections.abc import Callable, Sequence

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from lablib.alignment.compute_ledger import pass_flops
from lablib.alignment.diversity import distinct_n
from lablib.alignment.win_rate import drawn, seed_interval, wins
from lablib.architecture.decoder import DecoderConfig
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake
from lablib.pretraining.flops import per_token

PACKAGE = "lablib.alignment"
Interval = tuple[float, float, float]

# ---------------------------------------------------------------- 1 who wins?


def check_wins(attempt: Attempt) -> None:
    mine = torch.tensor([[1.0, 0.5, 0.0, 0.3, 0.7], [0.2, 0.2, 0.9, 1.0, 0.0]])
    theirs = torch.tensor([[0.5, 0.5, 0.5, 0.6, 0.7], [0.1, 0.2, 1.0, 0.4, 0.3]])
    attempt.compare("two seeds, five prompts, three ties among them", mine, theirs)
    attempt.compare("differences of a thousandth", mine, mine + torch.tensor([0.001, -0.001, 0.0, 0.001, -0.001]))
    twice = mine.double() + 1  # above 0, since `torch.isclose` goes by their size
    millionth = torch.tensor([1e-6, -1e-6, 0.0, 1e-6, -1e-6], dtype=torch.float64)
    attempt.compare("differences of a millionth, float64", twice, twice + millionth)
    attempt.compare("scores on a single axis", theirs[0], mine[0])
    attempt.compare("nothing but ties: 1/2 everywhere", mine, mine.clone())
    attempt.compare("scores below 0", mine - 5, theirs - 5)
    attempt.keeps_type_and_device(mine, theirs)


def _wins_turned(mine: Tensor, theirs: Tensor) -> Tensor:
    return wins(theirs, mine)


def _wins_ties_lost(mine: Tensor, theirs: Tensor) -> Tensor:
    return (mine > theirs).to(mine.dtype)


def _wins_ties_won(mine: Tensor, theirs: Tensor) -> Tensor:
    return (mine >= theirs).to(mine.dtype)


def _wins_difference(mine: Tensor, theirs: Tensor) -> Tensor:
    return mine - theirs


def _wins_sign(mine: Tensor, theirs: Tensor) -> Tensor:
    return (mine - theirs).sign()


def _wins_smooth(mine: Tensor, theirs: Tensor) -> Tensor:
    return (mine - theirs).sigmoid()


def _wins_dropped(mine: Tensor, theirs: Tensor) -> Tensor:
    return (mine > theirs)[mine != theirs].to(mine.dtype)


def _wins_rate(mine: Tensor, theirs: Tensor) -> Tensor:
    return wins(mine, theirs).mean()


def _wins_rates(mine: Tensor, theirs: Tensor) -> Tensor:
    return wins(mine, theirs).mean(dim=-1)


def _wins_unpaired(mine: Tensor, theirs: Tensor) -> Tensor:
    shape = (*mine.shape, mine.shape[-1])
    return wins(mine[..., :, None].expand(shape), theirs[..., None, :].expand(shape)).mean(dim=-1)


def _wins_isclose(mine: Tensor, theirs: Tensor) -> Tensor:
    return _wins_ties_lost(mine, theirs).masked_fill(torch.isclose(mine, theirs), 0.5)


def _wins_nearly(mine: Tensor, theirs: Tensor) -> Tensor:
    return torch.where((mine - theirs).abs() < 0.01, torch.tensor(0.5, dtype=mine.dtype), _wins_ties_lost(mine, theirs))


# ---------------------------------------------------------------- 2 the bootstrap


def check_resampled_means(attempt: Attempt) -> None:
    values = attempt.normal(3, 4)  # the result is (R,): it has no mT
    seeds, prompts = drawn(3, 4, 6, attempt.generator)
    seeds[0], seeds[1] = torch.tensor([2, 2, 0]), torch.tensor([1, 0, 1])
    attempt.compare("3 seeds, 4 prompts, 6 resamples", values, seeds, prompts)
    attempt.compare("one seed", values[:1], *drawn(1, 4, 5, attempt.generator))
    attempt.compare("one prompt", values[:, :1], *drawn(3, 1, 5, attempt.generator))
    every = torch.arange(4).expand(1, 3, 4)
    attempt.compare("each seed and prompt once: the plain mean", values, torch.tensor([[0, 1, 2]]), every)
    attempt.compare("the last seed three times", values, torch.tensor([[2, 2, 2]]), every)
    attempt.keeps_type_and_device(values, seeds, prompts)


def _means_of(pick: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Implementation:
    """Something else than the mean of `values[seeds[:, :, None], prompts]`."""

    def made(values: Tensor, seeds: Tensor, prompts: Tensor) -> Tensor:
        return pick(values, seeds, prompts)

    return made


def _picked(values: Tensor, seeds: Tensor, prompts: Tensor) -> Tensor:
    return values[seeds[:, :, None], prompts]


_means_same_prompts = _means_of(lambda v, s, p: v[s[:, :, None], p[:, :1]].mean(dim=(1, 2)))
_means_seeds_stay = _means_of(lambda v, s, p: v[torch.arange(len(v))[None, :, None], p].mean(dim=(1, 2)))
_means_prompts_stay = _means_of(lambda v, s, p: v[s].mean(dim=(1, 2)))
_means_pooled = _means_of(lambda v, s, p: v.flatten()[p].mean(dim=(1, 2)))
_means_over_seeds = _means_of(lambda v, s, p: _picked(v, s, p).mean(dim=1))
_means_over_prompts = _means_of(lambda v, s, p: _picked(v, s, p).mean(dim=2))
_means_one = _means_of(lambda v, s, p: _picked(v, s, p).mean())
_means_sums = _means_of(lambda v, s, p: _picked(v, s, p).sum(dim=(1, 2)))
_means_median = _means_of(lambda v, s, p: _picked(v, s, p).flatten(1).median(dim=1).values)
_means_centred = _means_of(lambda v, s, p: _picked(v, s, p).mean(dim=(1, 2)) - v.mean())
_means_wrong_axis = _means_of(lambda v, s, p: v[s[:, None, :], p].mean(dim=(1, 2)))


def _means_each_seed_once(values: Tensor, seeds: Tensor, prompts: Tensor) -> Tensor:
    picked = _picked(values, seeds, prompts).mean(dim=2)  # (R, S)
    rows = []
    for means, numbers in zip(picked, seeds.tolist(), strict=True):
        first = [at for at, seed in enumerate(numbers) if seed not in numbers[:at]]
        rows.append(means[first].mean())
    return torch.stack(rows)


# ---------------------------------------------------------------- 3 few seeds

ENDS = ("the mean", "the lower end", "the upper end")


def check_seed_interval(attempt: Attempt) -> None:
    three = torch.tensor([0.61, 0.52, 0.73])
    attempt.compare("three seeds", three, outputs=ENDS)
    attempt.compare("five seeds", torch.tensor([0.4, 0.55, 0.5, 0.43, 0.61], dtype=torch.float64), outputs=ENDS)
    attempt.compare("three seeds, level = 0.5", three, 0.5, outputs=ENDS)
    attempt.compare("two seeds, level = 0.9", three[:2], level=0.9, outputs=ENDS)
    attempt.compare("means of either sign", three - 0.6, outputs=ENDS)
    attempt.compare("three times the same number: no width", torch.full((3,), 0.25), outputs=ENDS)


def _interval(
    away: Callable[[Tensor, float], float],
    centre: Callable[[Tensor], float] = lambda means: means.double().mean().item(),
) -> Implementation:
    """An interval with another width, or around another middle."""

    def made(means: Tensor, level: float = 0.95) -> Interval:
        middle, half = centre(means), away(means.double(), level)
        return middle, middle - half, middle + half

    return made


def _t(df: float, p: float) -> float:
    return float(stdtrit(df, p))


def _half(means: Tensor, level: float) -> float:
    return _t(len(means) - 1, (1 + level) / 2) * means.std().item() / math.sqrt(len(means))


_interval_normal = _interval(lambda m, level: float(ndtri((1 + level) / 2)) * m.std().item() / math.sqrt(len(m)))
_interval_population = _interval(lambda m, level: _half(m, level) * math.sqrt((len(m) - 1) / len(m)))
_interval_no_root = _interval(lambda m, level: _half(m, level) * math.sqrt(len(m)))
_interval_whole = _interval(lambda m, level: _half(m, level) / math.sqrt(len(m)))
_interval_one_sided = _interval(lambda m, level: _t(len(m) - 1, level) * m.std().item() / math.sqrt(len(m)))
_interval_df = _interval(lambda m, level: _t(len(m), (1 + level) / 2) * m.std().item() / math.sqrt(len(m)))
_interval_variance = _interval(lambda m, level: _half(m, level) * m.std().item())
_interval_fixed = _interval(lambda m, level: _half(m, 0.95))
_interval_median = _interval(_half, lambda means: means.double().median().item())
_interval_turned = _interval(lambda m, level: -_half(m, level))


def _interval_range(means: Tensor, level: float = 0.95) -> Interval:
    return means.double().mean().item(), means.double().min().item(), means.double().max().item()


def _interval_distances(means: Tensor, level: float = 0.95) -> Interval:
    half = _half(means.double(), level)
    return means.double().mean().item(), half, half


def _interval_order(means: Tensor, level: float = 0.95) -> Interval:
    mean, low, high = seed_interval(means, level)
    return low, mean, high


# ---------------------------------------------------------------- 4 equal compute

CONFIG = DecoderConfig(V=60, D=16, H=2, L=3, hidden=40)
UNTIED = DecoderConfig(V=60, D=16, H=2, L=3, hidden=40, tied=False)
LENGTHS = (7, 20, 3)


def check_pass_flops(attempt: Attempt) -> None:
    attempt.compare("rows of 7, 20 and 3 tokens that are read", CONFIG, LENGTHS)
    attempt.compare("the same rows, learned from", CONFIG, LENGTHS, learned=True)
    attempt.compare("the same rows, read without logits", CONFIG, LENGTHS, head=False)
    attempt.compare("the same rows, learned from without logits", CONFIG, LENGTHS, True, False)
    attempt.compare("a model with a head of its own", UNTIED, LENGTHS, head=False)
    attempt.compare("a row of 1,000 tokens", CONFIG, [1000], learned=True)
    attempt.compare("no row: 0", CONFIG, [])


def _flops(count: Callable[[DecoderConfig, Sequence[int], bool, bool], float]) -> Implementation:
    """Another way to count."""

    def made(config: DecoderConfig, lengths: Sequence[int], learned: bool = False, head: bool = True) -> float:
        return count(config, lengths, learned, head)

    return made


def _third(both: int, learned: bool) -> int:
    return both if learned else both // 3


_flops_always_both = _flops(lambda c, rows, learned, head: pass_flops(c, rows, True, head))
_flops_always_read = _flops(lambda c, rows, learned, head: pass_flops(c, rows, False, head))
_flops_half = _flops(lambda c, rows, learned, head: pass_flops(c, rows, True, head) // (1 if learned else 2))
_flops_backward_only = _flops(lambda c, rows, learned, head: pass_flops(c, rows, False, head) * (2 if learned else 1))
_flops_head_ignored = _flops(lambda c, rows, learned, head: pass_flops(c, rows, learned, True))
_flops_head_turned = _flops(lambda c, rows, learned, head: pass_flops(c, rows, learned, not head))
_flops_float = _flops(lambda c, rows, learned, head: pass_flops(c, rows, True, head) / (1 if learned else 3))
_flops_padded = _flops(lambda c, rows, learned, head: pass_flops(c, [max(rows, default=0)] * len(rows), learned, head))
_flops_one_row = _flops(lambda c, rows, learned, head: pass_flops(c, [sum(rows)], learned, head))


def _flops_per_row(config: DecoderConfig, lengths: Sequence[int], learned: bool = False, head: bool = True) -> int:
    unused = 0 if head else 6 * config.V * config.D
    return _third(sum(per_token(config, T) - unused for T in lengths), learned)


def _flops_no_attention(config: DecoderConfig, lengths: Sequence[int], learned: bool = False, head: bool = True) -> int:
    unused = 0 if head else 6 * config.V * config.D
    return _third(sum(lengths) * (per_token(config, 0) - unused), learned)


def _flops_head_forwards(
    config: DecoderConfig, lengths: Sequence[int], learned: bool = False, head: bool = True
) -> int:
    unused = 0 if head else 2 * config.V * config.D
    return _third(sum(T * (per_token(config, T) - unused) for T in lengths), learned)


def _flops_head_once(config: DecoderConfig, lengths: Sequence[int], learned: bool = False, head: bool = True) -> int:
    unused = 0 if head else 6 * config.V * config.D
    return _third(sum(T * per_token(config, T) - unused for T in lengths), learned)


# ---------------------------------------------------------------- 5 diversity


def check_distinct_n(attempt: Attempt) -> None:
    texts = [[1, 2, 3, 2, 1, 2], [1, 2, 4], [5, 1]]
    attempt.compare("three texts, n = 2", texts, 2)
    attempt.compare("the same without an n: the default", texts)
    attempt.compare("three texts, n = 1", texts, 1)
    attempt.compare("three texts, n = 3", texts, n=3)
    attempt.compare("tokens of one digit and of two, n = 2", [[1, 12, 3], [11, 2, 3]], 2)
    attempt.compare("one token again and again", [[7] * 6, [7] * 4], 2)
    attempt.compare("texts shorter than n: 0.0", [[1], [], [2]], 2)


def _grams(texts: Sequence[Sequence[int]], n: int) -> list[tuple[int, ...]]:
    return [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]


def _share(texts: Sequence[Sequence[int]], grams: Sequence[object]) -> float:
    return len(set(grams)) / len(grams) if grams else 0.0


def _distinct(measure: Callable[[Sequence[Sequence[int]], int], float]) -> Implementation:
    """Another measure of the same texts."""

    def made(texts: Sequence[Sequence[int]], n: int = 2) -> float:
        return measure(texts, n)

    return made


_distinct_across = _distinct(lambda texts, n: distinct_n([[token for text in texts for token in text]], n))
_distinct_averaged = _distinct(lambda texts, n: sum(distinct_n([text], n) for text in texts) / len(texts))
_distinct_single = _distinct(lambda texts, n: distinct_n(texts, 1))
_distinct_count = _distinct(lambda texts, n: float(len(set(_grams(texts, n)))))
_distinct_by_tokens = _distinct(lambda texts, n: len(set(_grams(texts, n))) / max(1, sum(map(len, texts))))
_distinct_repeated = _distinct(lambda texts, n: 1 - distinct_n(texts, n))
_distinct_unordered = _distinct(lambda texts, n: _share(texts, [tuple(sorted(gram)) for gram in _grams(texts, n)]))
_distinct_joined = _distinct(lambda texts, n: _share(texts, ["".join(map(str, gram)) for gram in _grams(texts, n)]))
_distinct_last_lost = _distinct(lambda texts, n: distinct_n([text[:-1] for text in texts], n))
_distinct_blocks = _distinct(
    lambda texts, n: _share(texts, [tuple(t[i : i + n]) for t in texts for i in range(0, len(t) - n + 1, n)])
)
_distinct_one_at_the_end = _distinct(lambda texts, n: distinct_n(texts, n) if _grams(texts, n) else 1.0)
_distinct_unguarded = _distinct(lambda texts, n: len(set(_grams(texts, n))) / len(_grams(texts, n)))
_distinct_short_too = _distinct(
    lambda texts, n: _share(texts, [tuple(text[i : i + n]) for text in texts for i in range(len(text))])
)


def _distinct_once(texts: Sequence[Sequence[int]], n: int = 2) -> float:
    grams = _grams(texts, n)
    return sum(grams.count(gram) == 1 for gram in grams) / len(grams) if grams else 0.0


# ---------------------------------------------------------------- 6 the front


def check_pareto_front(attempt: Attempt) -> None:
    best = torch.tensor([[0.2, 0.9], [1.0, 1.0], [0.3, 0.1], [0.25, 0.95]])  # the result is (N,): it has no mT
    attempt.compare("four points, of which one is best in everything", best)
    points = [
        [1.0, 0.0],
        [0.8, 0.8],
        [0.9, 0.3],
        [0.9, 0.3],
        [0.85, 0.3],
        [0.5, 0.9],
        [0.0, 1.2],
        [0.0, 0.9],
        [0.35, 0.3],
    ]
    attempt.compare("nine points, two of them equal, and some in a hollow", torch.tensor(points))
    attempt.compare("twenty points with three aims", (attempt.normal(20, 3) * 2).round())
    attempt.compare("one aim: all that are largest", torch.tensor([[0.3], [0.7], [0.7]]))
    attempt.compare("a point alone", torch.tensor([[0.3, -2.0]]))
    attempt.compare("points below 0, float64", torch.tensor(points).double() - 3)


def _front(dominated: Callable[[Tensor, Tensor], Tensor]) -> Implementation:
    """Another rule of who dominates: (1, N, K), (N, 1, K) -> (N, N)."""

    def made(points: Tensor) -> Tensor:
        return ~dominated(points[None, :, :], points[:, None, :]).any(dim=1)

    return made


def _rule(other: Tensor, mine: Tensor) -> Tensor:
    return (other >= mine).all(dim=2) & (other > mine).any(dim=2)


_front_any = _front(lambda other, mine: (other > mine).any(dim=2))
_front_itself = _front(lambda other, mine: (other >= mine).all(dim=2))
_front_strict = _front(lambda other, mine: (other > mine).all(dim=2))
_front_smallest = _front(lambda other, mine: _rule(mine, other))
_front_first_aim = _front(lambda other, mine: _rule(other[..., :1], mine[..., :1]))
_front_two_aims = _front(lambda other, mine: _rule(other[..., :2], mine[..., :2]))
_front_sum = _front(lambda other, mine: other.sum(dim=2) > mine.sum(dim=2))


def _front_equal_out(points: Tensor) -> Tensor:
    covered = (points[None, :, :] >= points[:, None, :]).all(dim=2) & ~torch.eye(len(points), dtype=torch.bool)
    return ~covered.any(dim=1)


def _front_dominated(points: Tensor) -> Tensor:
    return _rule(points[None, :, :], points[:, None, :]).any(dim=1)


def _front_best_somewhere(points: Tensor) -> Tensor:
    return (points == points.amax(dim=0)).any(dim=1)


def _front_numbers(points: Tensor) -> Tensor:
    return (~_front_dominated(points)).nonzero()[:, 0]


def _front_by_weights(points: Tensor) -> Tensor:
    K = points.shape[1]
    tried = torch.rand(500, K, generator=torch.Generator().manual_seed(0), dtype=points.dtype)
    scores = points @ torch.cat([tried, torch.eye(K, dtype=points.dtype)]).T  # (N, W)
    return (scores == scores.amax(dim=0)).any(dim=1) & ~_front_dominated(points)


# ---------------------------------------------------------------- 7 one number from several


def check_chebyshev(attempt: Attempt) -> None:
    points = attempt.normal(5, 3)  # the result is (N,): it has no mT
    ideal, weights = points.amax(dim=0) + torch.tensor([0.5, 0.2, 1.0]), torch.tensor([1.0, 0.4, 2.0])
    attempt.compare("five points, three aims", points, weights, ideal)
    attempt.compare("an aim that counts for nothing", points, torch.tensor([1.0, 0.0, 0.5]), ideal)
    attempt.compare("the ideal itself: 0", torch.stack([ideal, ideal - 1]), weights, ideal)
    attempt.compare("weights of thousands", points, 1000 * weights, ideal)
    attempt.compare("float64 arguments", points.double(), weights.double(), ideal.double(), rtol=1e-9)


def _scalar(score: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Implementation:
    """Another way to make one number of several."""

    def made(points: Tensor, weights: Tensor, ideal: Tensor) -> Tensor:
        return score(points, weights, ideal)

    return made


_chebyshev_sum = _scalar(lambda p, w, i: -(w * (i - p)).sum(dim=1))
_chebyshev_least = _scalar(lambda p, w, i: -(w * (i - p)).amin(dim=1))
_chebyshev_sign = _scalar(lambda p, w, i: (w * (i - p)).amax(dim=1))
_chebyshev_no_weights = _scalar(lambda p, w, i: -(i - p).amax(dim=1))
_chebyshev_no_ideal = _scalar(lambda p, w, i: (w * p).amin(dim=1))
_chebyshev_turned = _scalar(lambda p, w, i: -(w * (p - i)).amax(dim=1))
_chebyshev_axis = _scalar(lambda p, w, i: -(w * (i - p)).amax(dim=0))
_chebyshev_normalised = _scalar(lambda p, w, i: -(w / w.sum() * (i - p)).amax(dim=1))
_chebyshev_divided = _scalar(lambda p, w, i: -((i - p) / w).amax(dim=1))
_chebyshev_euclid = _scalar(lambda p, w, i: -(w * (i - p)).norm(dim=1))
_chebyshev_own_ideal = _scalar(lambda p, w, i: -(w * (p.amax(dim=0) - p)).amax(dim=1))
_chebyshev_one = _scalar(lambda p, w, i: -(w * (i - p)).amax())
_chebyshev_weighted_mean = _scalar(lambda p, w, i: p @ w / w.sum())
_chebyshev_soft = _scalar(lambda p, w, i: -(w * (i - p)).logsumexp(dim=1))


# ---------------------------------------------------------------- the list

ON_TICKS = "Look at the axes once more: `values` is (S, P), `seeds` (R, S), `prompts` (R, S, P)."

EXERCISES = [
    Exercise(
        lab="15",
        target=f"{PACKAGE}.win_rate:wins",
        title="Who wins?",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "Prompt by prompt there are three things that can happen. What is each worth, if the two policies are to be treated alike?",
            "A comparison of tensors gives True and False; `.to(mine.dtype)` makes 1 and 0 of them. A tie is half a win for both.",
            "`(mine > theirs).to(mine.dtype) + 0.5 * (mine == theirs).to(mine.dtype)`.",
        ),
        reasoning="With half a win for a tie the two win rates add up to 1, and two policies that say the same have 1/2, not 0. In a "
        "world "
        "where most answers are right, most comparisons are ties: to leave them out, or to give them to one side, would be the largest "
        "thing in "
        "the figure. A table of wins instead of their mean keeps what belongs to which seed and prompt, and that is what the interval "
        "needs.",
        check=check_wins,
        mistakes=(
            Mistake("turned", _wins_turned, "It is turned round: 1 where `mine` is *larger*."),
            Mistake(
                "ties lost",
                _wins_ties_lost,
                "A tie counts 0 in yours: it is worth 1/2, or two equal policies would both lose.",
            ),
            Mistake("ties won", _wins_ties_won, "A tie counts 1 in yours (`>=`): it is worth 1/2."),
            Mistake(
                "difference",
                _wins_difference,
                "These are differences of scores: asked for is only who is better, by however little.",
            ),
            Mistake("sign", _wins_sign, "That is the sign, −1, 0 or 1: expected 0, 1/2 or 1."),
            Mistake(
                "isclose",
                _wins_isclose,
                "Scores that are merely close were taken for ties (`torch.isclose`, a tolerance): a tie is `mine == theirs`.",
            ),
            Mistake(
                "smooth",
                _wins_smooth,
                "A sigmoid of the difference is a *model* of who would be chosen: here it is known who is better.",
            ),
            Mistake("dropped", _wins_dropped, "Ties were left out: they stay, and count 1/2."),
            Mistake(
                "the rate",
                _wins_rate,
                "The mean was taken: expected the table, prompt by prompt, in the shape of the scores.",
            ),
            Mistake("rates of seeds", _wins_rates, "The mean over the prompts was taken: expected the table itself."),
            Mistake(
                "unpaired",
                _wins_unpaired,
                "Each answer was compared with those to *all* prompts: compare it with the answer to the same prompt.",
            ),
            Mistake(
                "nearly", _wins_nearly, "Small differences were taken for ties: a tie is when both scores are equal."
            ),
        ),
    ),
    Exercise(
        lab="15",
        target=f"{PACKAGE}.win_rate:resampled_means",
        title="What if it had been other seeds and prompts?",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "One resample is a list of seeds, some of them twice, and behind each its own list of prompts. First write it for one "
            "resample, "
            "with two loops.",
            "Two index tensors that are broadcast against each other pick an entry for each pair: give `seeds` a third axis, so that "
            "(R, S, 1) "
            "stands against (R, S, P).",
            "`values[seeds[:, :, None], prompts].mean(dim=(1, 2))`.",
        ),
        reasoning="The bootstrap asks how the mean would scatter if everything were done again, and treats the data as if they were "
        "the whole world. "
        "What is drawn as a whole must be what is independent: a trained policy. Its prompts are drawn within it. If all S · P "
        "values were "
        "thrown into one bag, the interval would shrink with every further prompt, even if the three policies disagree. The values are "
        "paired "
        "before, in `wins` or a difference, so nothing here needs to know of the second policy.",
        check=check_resampled_means,
        mistakes=(
            Mistake(
                "same prompts",
                _means_same_prompts,
                "All places of a resample got the prompts of the first: each of its seeds has prompts of its own, `prompts[:, s]`.",
            ),
            Mistake(
                "seeds stay",
                _means_seeds_stay,
                "The seeds were not drawn: every resample has each seed once. Then the interval knows nothing of how seeds differ.",
            ),
            Mistake(
                "prompts stay",
                _means_prompts_stay,
                "`prompts` was not used: within a drawn seed its prompts are drawn, too.",
            ),
            Mistake("pooled", _means_pooled, "`values` was flattened: a prompt's number counts within its seed."),
            Mistake(
                "over seeds",
                _means_over_seeds,
                f"The mean was taken over the seeds only: one number for each resample. {ON_TICKS}",
            ),
            Mistake(
                "over prompts",
                _means_over_prompts,
                f"The mean was taken over the prompts only: one number for each resample. {ON_TICKS}",
            ),
            Mistake(
                "one",
                _means_one,
                "The mean was taken over the resamples, too: their scatter is what the interval is made of.",
            ),
            Mistake("sums", _means_sums, "These are sums: expected means."),
            Mistake("median", _means_median, "These are medians: expected means."),
            Mistake(
                "centred", _means_centred, "The plain mean was subtracted: expected the resamples' means themselves."
            ),
            Mistake(
                "wrong axis",
                _means_wrong_axis,
                "The seeds' third axis is in the wrong place: (R, S, 1) fits (R, S, P), so `seeds[:, :, None]`.",
            ),
            Mistake(
                "each seed once",
                _means_each_seed_once,
                "A seed that was drawn twice counts once in yours: with replacement means that it counts twice.",
            ),
        ),
    ),
    Exercise(
        lab="15",
        target=f"{PACKAGE}.win_rate:seed_interval",
        title="How far do three seeds reach?",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "The mean of S numbers scatters by s/√S. But s itself is a guess from S numbers, and from three it is a poor one. What "
            "pays for "
            "that?",
            "Student's t in the place of 1.96. `stdtrit(df, p)` is its quantile: the degrees of freedom are S − 1, and (1 + level)/2 "
            "of the "
            "probability lie below the upper end.",
            "`away = float(stdtrit(S - 1, (1 + level) / 2)) * means.double().std().item() / math.sqrt(S)`; then mean − away, mean + away.",
        ),
        reasoning="With three seeds the factor is 4.30, more than twice the 1.96 that one knows. That is the price of not knowing how "
        "much seeds "
        "differ. The bootstrap does not pay it: it can never draw a seed beyond the three. More prompts do not help here, more seeds "
        "do: with "
        "five the factor is 2.78, with ten 2.26.",
        check=check_seed_interval,
        mistakes=(
            Mistake(
                "normal",
                _interval_normal,
                "The normal distribution's quantile was taken (1.96): with few seeds it is Student's.",
            ),
            Mistake(
                "population",
                _interval_population,
                "The standard deviation was divided by S: from a sample it is S − 1, which is what `.std()` does by itself.",
            ),
            Mistake("no root", _interval_no_root, "s is how single seeds scatter: their mean scatters by s/√S."),
            Mistake("S for its root", _interval_whole, "It was divided by S: by its root, `math.sqrt(S)`."),
            Mistake(
                "one side",
                _interval_one_sided,
                "The quantile at `level` leaves 5 % on *one* side: take (1 + level)/2, so that half of it is left on either.",
            ),
            Mistake(
                "degrees of freedom", _interval_df, "There are S − 1 degrees of freedom: one was used up for the mean."
            ),
            Mistake(
                "variance", _interval_variance, "That is with the variance: take its root, the standard deviation."
            ),
            Mistake("level fixed", _interval_fixed, "`level` makes no difference: it belongs into the quantile."),
            Mistake("median", _interval_median, "The middle is the median: expected the mean."),
            Mistake(
                "ends exchanged",
                _interval_turned,
                "The ends are exchanged: (mean, low, high). Is the quantile that of (1 + level)/2?",
            ),
            Mistake(
                "range",
                _interval_range,
                "These are the smallest and the largest seed: the mean of all seeds may lie outside.",
            ),
            Mistake("distances", _interval_distances, "Expected the ends themselves, mean − away and mean + away."),
            Mistake("order", _interval_order, "The order is (mean, low, high)."),
        ),
    ),
    Exercise(
        lab="15",
        target=f"{PACKAGE}.compute_ledger:pass_flops",
        title="What does a pass cost?",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "A row of T tokens has T times the cost of a token in a row of that length. What of that is the backward pass, and what "
            "the head?",
            "`per_token(config, T)` has both directions in it: forwards 2 FLOPs a weight, backwards 4. The head has V·D of the weights.",
            "`both = sum(T * (per_token(config, T) - unused) for T in lengths)` with `unused = 0 if head else 6 * config.V * "
            "config.D`; all of "
            "it if `learned`, else `both // 3`.",
        ),
        reasoning="Every weight takes part in a multiplication and an addition for each token, and in twice as many on the way back. "
        "So a method "
        "that only reads, like a reference or a judge, pays a third of one that learns. Attention is why a row of 200 tokens costs "
        "more than "
        "four of 50. The count knows nothing of the machine: it is the same for you and for us.",
        check=check_pass_flops,
        mistakes=(
            Mistake(
                "always both",
                _flops_always_both,
                "The backward pass was counted where nothing is learned: reading is a third.",
            ),
            Mistake(
                "always read",
                _flops_always_read,
                "`learned` makes no difference: with the backward pass it is three times as much.",
            ),
            Mistake(
                "half", _flops_half, "Reading is not half of it: forwards 2 FLOPs a weight, backwards 4, so a third."
            ),
            Mistake(
                "backward only",
                _flops_backward_only,
                "That is the backward pass alone: whoever learns has read before, 2 + 4.",
            ),
            Mistake(
                "head ignored",
                _flops_head_ignored,
                "`head` makes no difference: without logits the head's weights take no part.",
            ),
            Mistake(
                "head turned",
                _flops_head_turned,
                "`head` is turned round: True means that logits are made, and nothing comes off.",
            ),
            Mistake(
                "head forwards",
                _flops_head_forwards,
                "Of the head only the forward part came off: `per_token` has both directions, so 6·V·D, before the third is taken.",
            ),
            Mistake("head once", _flops_head_once, "The head came off once for each row: it is asked at each token."),
            Mistake("per row", _flops_per_row, "The cost of *a token* was added up for each row: a row has T of them."),
            Mistake(
                "no attention",
                _flops_no_attention,
                "Attention is missing: `per_token` must be told the row's own length T.",
            ),
            Mistake(
                "padded",
                _flops_padded,
                "All rows were counted as if they were as long as the longest: each has its own length.",
            ),
            Mistake(
                "one row",
                _flops_one_row,
                "The rows were counted as one long row: then tokens would look into other rows.",
            ),
            Mistake(
                "float", _flops_float, "A count is a whole number: `//` instead of `/`. It is always divisible by 3."
            ),
        ),
    ),
    Exercise(
        lab="15",
        target=f"{PACKAGE}.diversity:distinct_n",
        title="Does it still say different things?",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "List all n-grams of all texts. How many are there, and how many are different?",
            "A text of T tokens has T − n + 1 n-grams, none where it is shorter than n. A `set` needs tuples: lists cannot stand in it.",
            "`grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]`, then `len(set(grams)) / len(grams)`, "
            "and 0.0 where there are none.",
        ),
        reasoning="Counted over several answers to one prompt together: a model that says the same four times has at most 1/4, however "
        "colourful "
        "that one answer is. The measure is crude. It does not see that two sentences mean the same, and long texts repeat more than "
        "short ones, so "
        "a table that shows it should show lengths, too.",
        check=check_distinct_n,
        mistakes=(
            Mistake(
                "one at the end",
                _distinct_one_at_the_end,
                "Where there is no n-gram at all, the docstring asks for 0.0.",
            ),
            Mistake(
                "across", _distinct_across, "The texts were strung together: no n-gram reaches from one into the next."
            ),
            Mistake(
                "averaged",
                _distinct_averaged,
                "Each text was measured by itself: what is the same in *two* texts is repeated, too.",
            ),
            Mistake("n ignored", _distinct_single, "These are single tokens: `n` makes no difference in yours."),
            Mistake("count", _distinct_count, "That is a number of n-grams: expected a share of all of them."),
            Mistake(
                "by tokens",
                _distinct_by_tokens,
                "It was divided by the number of *tokens*, as in the paper: the docstring asks for the number of n-grams.",
            ),
            Mistake("repeated", _distinct_repeated, "That is the share of repetitions: expected 1 less that."),
            Mistake(
                "joined",
                _distinct_joined,
                "The tokens' digits were strung together: then (1, 12) and (11, 2) are one. Compare tuples of tokens.",
            ),
            Mistake("unordered", _distinct_unordered, "The order within an n-gram counts: 1, 2 is not 2, 1."),
            Mistake(
                "last one lost",
                _distinct_last_lost,
                "The last n-gram of each text is missing: there are T − n + 1, so `range(len(text) - n + 1)`.",
            ),
            Mistake("blocks", _distinct_blocks, "N-grams overlap: they begin at every token, not at every n-th."),
            Mistake(
                "short ones",
                _distinct_short_too,
                "Shorter pieces at the end of a text were counted: an n-gram has n tokens.",
            ),
            Mistake(
                "unguarded",
                _distinct_unguarded,
                "Texts that are shorter than n have no n-gram: 0/0. The docstring says what to return.",
            ),
            Mistake(
                "once",
                _distinct_once,
                "Only n-grams that occur once were counted: one that occurs three times is *one* different n-gram.",
            ),
        ),
    ),
    Exercise(
        lab="15",
        target=f"{PACKAGE}.pareto:pareto_front",
        title="Who is worth having?",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Write down when one point dominates another. It takes two conditions, one over all aims and one over at least one of them.",
            "Compare all with all: `points[None, :, :]` against `points[:, None, :]` gives (N, N, K), and `.all(dim=2)` and "
            "`.any(dim=2)` do the rest.",
            "`no_worse = (other >= mine).all(dim=2)`, `better = (other > mine).any(dim=2)`, and `~(no_worse & better).any(dim=1)`.",
        ),
        reasoning="No weights were asked for. Whoever is dominated need not be considered whatever one cares for; among the others one "
        "has to "
        "decide. The second condition keeps a point from dominating itself, and of two equal points both stay. Means that one measured "
        "have "
        "intervals, so a front has some doubt in it, too: `front_share` says in how many resamples a point is on it.",
        check=check_pareto_front,
        mistakes=(
            Mistake(
                "any aim",
                _front_any,
                "A point fell because another is better in *some* aim: it must be at least as good in all the others, too.",
            ),
            Mistake(
                "itself",
                _front_itself,
                "Every point dominates itself in yours: somebody must be *better* in at least one aim.",
            ),
            Mistake(
                "strictly in all",
                _front_strict,
                "Only who is worse in *every* aim fell: to dominate, it is enough to be better in one and no worse in the others.",
            ),
            Mistake("smallest", _front_smallest, "It is turned round: the larger the better."),
            Mistake("first aim", _front_first_aim, "Only the first aim was looked at."),
            Mistake("two aims", _front_two_aims, "Only two aims were looked at: there may be more."),
            Mistake(
                "sum", _front_sum, "The aims were added up: that takes weights for granted, and the front needs none."
            ),
            Mistake("equal points", _front_equal_out, "Of equal points none dominates the other: both stay."),
            Mistake("dominated", _front_dominated, "These are the dominated ones: True is for the others."),
            Mistake(
                "best somewhere",
                _front_best_somewhere,
                "Only points that are best in one aim are left: a good compromise belongs on the front.",
            ),
            Mistake("numbers", _front_numbers, "These are the numbers of the points: expected True or False for each."),
            Mistake(
                "by weights",
                _front_by_weights,
                "Only points that are best at *some weights* are left: one in a hollow between two others is not dominated either.",
            ),
        ),
    ),
    Exercise(
        lab="15",
        target=f"{PACKAGE}.pareto:chebyshev",
        title="The aim in which it lacks most",
        difficulty=2,
        importance=3,
        minutes=5,
        hints=(
            "How much does a point fall short of the ideal in each aim? Which of these shortfalls speaks for the whole point?",
            "Weight the shortfalls, take the largest of each row, and turn the sign, so that the best point has the largest number.",
            "`-(weights * (ideal - points)).amax(dim=1)`.",
        ),
        reasoning="A weighted mean lets much of one aim make up for nothing of another: with it, a model that is perfectly helpful and "
        "does harm can "
        "beat a decent one. Here only the worst shortfall counts. And where the weighted mean can only find points on the outer hull, "
        "every point "
        "of the front is the best by this measure at some weights.",
        check=check_chebyshev,
        mistakes=(
            Mistake("sum", _chebyshev_sum, "The shortfalls were added up: only the largest counts."),
            Mistake("least", _chebyshev_least, "The smallest shortfall was taken: expected the largest."),
            Mistake(
                "sign",
                _chebyshev_sign,
                "The sign is missing: the best point is to have the largest number, so minus the shortfall.",
            ),
            Mistake("no weights", _chebyshev_no_weights, "The weights were not used."),
            Mistake("no ideal", _chebyshev_no_ideal, "The ideal was not used: a shortfall is `ideal - points`."),
            Mistake("turned", _chebyshev_turned, "The shortfall is turned round: `ideal - points`."),
            Mistake(
                "wrong axis",
                _chebyshev_axis,
                "The largest over the *points* was taken: expected that over the aims, one number for each point.",
            ),
            Mistake(
                "normalised",
                _chebyshev_normalised,
                "The weights were divided by their sum: here they count as they are.",
            ),
            Mistake(
                "divided",
                _chebyshev_divided,
                "It was divided by the weights: a larger weight makes a shortfall count *more*.",
            ),
            Mistake(
                "euclid",
                _chebyshev_euclid,
                "That is the straight-line distance: here only the largest of the shortfalls counts.",
            ),
            Mistake(
                "own ideal",
                _chebyshev_own_ideal,
                "The best of these points was taken for the ideal: use the `ideal` that was given.",
            ),
            Mistake("one", _chebyshev_one, "The largest of all was taken: expected one number for each point."),
            Mistake("weighted mean", _chebyshev_weighted_mean, "That is the weighted mean of the aims."),
            Mistake(
                "soft",
                _chebyshev_soft,
                "That is a soft maximum, which counts the other shortfalls, too: take `.amax(dim=1)`.",
            ),
        ),
    ),
]
