"""Lab 08: the exercises of `lablib.pretraining.objectives`, `.span_corruption` and `.unmasking`."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed
from lablib.pretraining.objectives import chosen_places, corrupt_tokens, masked_nats
from lablib.pretraining.span_corruption import corrupt_spans, restore_spans
from lablib.pretraining.unmasking import reveal

OBJECTIVES = "lablib.pretraining.objectives"
SPANS = "lablib.pretraining.span_corruption"
UNMASKING = "lablib.pretraining.unmasking"
Ids = Sequence[int]
SENTINELS = (90, 91, 92, 93)


# ---------------------------------------------------------------- comparing plain Python values


def _compare(attempt: Attempt, case: str, *args: Any, names: tuple[str, ...] = ("the result",)) -> None:
    """`Attempt.compare` for lists of tokens: says where the first difference is, and sees arguments that were changed."""
    seen: dict[int, Any] = {}

    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            before = copy.deepcopy(given)
            result = implementation(*given)
            if given != before:
                raise NotPassed(
                    [f"Tried with {case}.", "Your code changed its argument in place."],
                    "The caller still needs it: build new lists, and leave what was given as it is.",
                )
            if isinstance(result, tuple | list):
                result = [list(part) if isinstance(part, tuple | list) else part for part in result]
            seen[id(implementation)] = result
            return result

        return call

    try:
        attempt.compare(case, *args, setup=setup)
    except NotPassed as failure:
        right, mine = seen[id(attempt.exercise.reference)], seen.get(id(attempt.candidate))
        if not isinstance(mine, list) or mine == right:
            raise
        if len(names) == 1:
            raise NotPassed([f"Tried with {case}.", _difference(names[0], mine, right)], failure.cause) from None
        if len(mine) != len(right):
            lines = [f"The results: expected {len(right)} ({' and '.join(names)}), got {len(mine)}: {mine!r:.60}."]
            raise NotPassed([f"Tried with {case}.", *lines], failure.cause) from None
        lines = [_difference(*three) for three in zip(names, mine, right, strict=True) if three[1] != three[2]]
        raise NotPassed([f"Tried with {case}.", *lines], failure.cause) from None


def _difference(name: str, mine: Any, right: Any) -> str:
    return f"{name}: expected {right!r:.100}, got {mine!r:.100}."


def _refuses(call: Callable[[Implementation], Any], *words: str) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: the call raises ValueError, with all the words in its message."""

    def holds(implementation: Implementation) -> bool:
        try:
            call(implementation)
        except ValueError as error:
            return all(word in str(error) for word in words)
        except (IndexError, KeyError, RuntimeError):
            return False
        return False

    return holds


# ---------------------------------------------------------------- 1 which tokens


def check_chosen_places(attempt: Attempt) -> None:
    dice = torch.tensor([[0.5, 0.1, 0.3, 0.14], [0.9, 0.05, 0.2, 0.7]])
    every = torch.ones(2, 4, dtype=torch.bool)
    attempt.compare("two rows, every token eligible, rate 0.25", every, dice, 0.25, axes=("B", "T"))
    some = torch.tensor([[True, False, True, True], [True, True, False, True]])
    attempt.compare("two rows with special tokens among them, rate 0.25", some, dice, 0.25, axes=("B", "T"))
    edge = torch.tensor([[0.5, 0.25, 0.125]])
    attempt.compare("dice of exactly 0.25 at the rate 0.25", torch.ones(1, 3, dtype=torch.bool), edge, 0.25)
    high = torch.tensor([[0.5, 0.4, 0.9], [0.1, 0.6, 0.8]])
    short = torch.ones(2, 3, dtype=torch.bool)
    attempt.compare("one short row, all its dice above the rate 0.15", short[:1], high[:1], 0.15)
    attempt.compare("a short row, all its dice above the rate 0.15, and another row", short, high, 0.15)
    special = torch.tensor([[False, True, True, False], [True, False, True, False]])
    dice = torch.tensor([[0.01, 0.6, 0.4, 0.1], [0.9, 0.01, 0.5, 0.05]])
    attempt.compare("short rows whose smallest dice lie on a special token, rate 0.15", special, dice, 0.15)
    none = torch.tensor([[False, False, False], [True, True, True]])
    attempt.compare("a row without any eligible token, rate 0.5", none, torch.tensor([[0.1, 0.2, 0.3]] * 2), 0.5)
    dice = torch.tensor([[0.3, 0.7, 0.5, 0.95]] * 2)
    rates = torch.tensor([[0.4], [0.8]])
    attempt.compare("a rate for each row, (B, 1)", torch.ones(2, 4, dtype=torch.bool), dice, rates)
    eligible, dice = attempt.chance(6, 40, probability=0.8), attempt.chance(6, 40, probability=0.5)
    dice = dice * 0.5 + torch.rand(6, 40, generator=attempt.generator) / 2
    attempt.compare("6 rows of 40 tokens, rate 0.15", eligible, dice, 0.15, axes=("B", "T"))


def _first(dice: Tensor, largest: bool = False) -> Tensor:
    place = (dice.argmax if largest else dice.argmin)(dim=1, keepdim=True)
    return torch.zeros_like(dice, dtype=torch.bool).scatter(1, place, True)


def _choose_everything(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    return chosen_places(torch.ones_like(eligible), dice, rate)


def _choose_no_least(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    return eligible & (dice < rate)


def _choose_least_anywhere(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    chosen = eligible & (dice < rate)
    return torch.where(chosen.any(dim=1, keepdim=True), chosen, _first(dice))


def _choose_least_then_dropped(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    return eligible & ((dice < rate) | _first(dice))


def _choose_one_in_the_batch(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    chosen = eligible & (dice < rate)
    return chosen if chosen.any() else chosen_places(eligible, dice, rate)


def _choose_above(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    return eligible & (dice > rate)


def _choose_equal_too(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    return chosen_places(eligible, dice, rate) | (eligible & (dice <= rate))


def _choose_largest(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    chosen = eligible & (dice < rate)
    largest = _first(dice.masked_fill(~eligible, -1.0), largest=True) & eligible
    return torch.where(chosen.any(dim=1, keepdim=True), chosen, largest)


def _choose_first_place(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    chosen = eligible & (dice < rate)
    first = _first(-eligible.float()) & eligible
    return torch.where(chosen.any(dim=1, keepdim=True), chosen, first)


def _choose_even_without(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    return (eligible & (dice < rate)) | _first(dice.masked_fill(~eligible, torch.inf))


def _choose_fixed_number(eligible: Tensor, dice: Tensor, rate: float | Tensor) -> Tensor:
    count = (eligible.sum(dim=1, keepdim=True) * rate).round().clamp(min=1)
    rank = dice.masked_fill(~eligible, torch.inf).argsort(dim=1).argsort(dim=1)
    return eligible & (rank < count)


# ---------------------------------------------------------------- 2 what the model sees


def check_corrupt_tokens(attempt: Attempt) -> None:
    ids, others = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[1, 2, 3, 4]])
    chosen = torch.ones(1, 4, dtype=torch.bool)
    dice = torch.tensor([[0.05, 0.85, 0.95, 0.5]])
    attempt.compare("four chosen tokens with dice 0.05, 0.85, 0.95 and 0.5", ids, chosen, dice, others, 99)
    dice = torch.tensor([[0.1, 0.5, 0.79, 0.0]])
    attempt.compare("four chosen tokens with dice 0.1, 0.5, 0.79 and 0", ids, chosen, dice, others, 99)
    dice = torch.tensor([[0.85, 0.81, 0.89, 0.86]])
    attempt.compare("four chosen tokens with dice between 0.8 and 0.9", ids, chosen, dice, others, 99)
    dice = torch.tensor([[0.95, 0.91, 0.99, 0.94]])
    attempt.compare("four chosen tokens with dice above 0.9", ids, chosen, dice, others, 99)
    dice = torch.tensor([[0.1, 0.85, 0.95, 0.5]])
    attempt.compare("four tokens of which none is chosen", ids, ~chosen, dice, others, 99)
    half = torch.tensor([[True, True, False, False]])
    attempt.compare("two chosen tokens and two others", ids, half, torch.tensor([[0.1, 0.85, 0.1, 0.85]]), others, 99)
    edge = torch.tensor([[0.8, 0.9, 0.8, 0.9]], dtype=torch.float64)
    attempt.compare("dice of exactly 0.8 and 0.9", ids, chosen, edge, others, 99)
    shape = (4, 30)
    ids, others = (torch.randint(50, shape, generator=attempt.generator) for _ in range(2))
    chosen, dice = attempt.chance(*shape, probability=0.6), torch.rand(shape, generator=attempt.generator)
    attempt.compare("4 rows of 30 tokens, 60 % of them chosen", ids, chosen, dice, others, 60, axes=("B", "T"))
    back = "a transposed view of 30 rows of 4 tokens"
    attempt.compare(back, ids.mT, chosen.mT, dice.mT, others.mT, 60, axes=("B", "T"))


def _corrupt_all_masked(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    return ids.masked_fill(chosen, mask)


def _corrupt_not_only_chosen(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    return corrupt_tokens(ids, torch.ones_like(chosen), dice, others, mask)


def _corrupt_nothing_kept(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    return torch.where(chosen, torch.where(dice < 0.8, mask, others), ids)


def _corrupt_none_exchanged(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    return torch.where(chosen & (dice < 0.8), mask, ids)


def _corrupt_overwritten(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    seen = torch.where(chosen & (dice < 0.8), mask, ids)
    return torch.where(chosen & (dice < 0.9), others, seen)


def _corrupt_the_two_tens_swapped(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    seen = torch.where(chosen & (dice < 0.8), mask, ids)
    return torch.where(chosen & (dice >= 0.9), others, seen)


def _corrupt_ten_masked(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    seen = torch.where(chosen & (dice < 0.1), mask, ids)
    return torch.where(chosen & (dice >= 0.1) & (dice < 0.9), others, seen)


def _corrupt_exchanged_everywhere(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    seen = torch.where(chosen & (dice < 0.8), mask, ids)
    return torch.where((dice >= 0.8) & (dice < 0.9), others, seen)


def _corrupt_edges(ids: Tensor, chosen: Tensor, dice: Tensor, others: Tensor, mask: int) -> Tensor:
    seen = torch.where(chosen & (dice <= 0.8), mask, ids)
    return torch.where(chosen & (dice > 0.8) & (dice <= 0.9), others, seen)


# ---------------------------------------------------------------- 3 the loss


def check_masked_nats(attempt: Attempt) -> None:
    hidden, table = attempt.normal(2, 5, 4), attempt.normal(7, 4)
    targets = torch.randint(7, (2, 5), generator=attempt.generator)
    every = torch.ones(2, 5, dtype=torch.bool)
    one = torch.zeros(2, 5, dtype=torch.bool)
    one[1, 3] = True
    attempt.compare("one chosen place", hidden, table, targets, one)
    some = torch.tensor([[True, False, True, False, False], [False, True, True, False, True]])
    attempt.compare("5 of 10 places chosen", hidden, table, targets, some, gradients=True)
    attempt.compare("every place chosen", hidden, table, targets, every, gradients=True)
    attempt.compare("nothing chosen: 0", hidden, table, targets, ~every)
    large = attempt.normal(2, 5, 4, scale=100)  # the result is a scalar: it has no mT
    attempt.compare("large hidden states", large, table, targets, some)
    half = [x.to(torch.bfloat16) for x in (hidden, table)]
    attempt.compare("hidden states and table in bfloat16 (the result is float32)", *half, targets, some)


def _nats_of_all(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return masked_nats(hidden, table, targets, torch.ones_like(chosen))


def _nats_mean(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return masked_nats(hidden, table, targets, chosen) / chosen.sum()


def _nats_mean_over_all(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return masked_nats(hidden, table, targets, chosen) / chosen.numel()


def _nats_of_the_others(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return masked_nats(hidden, table, targets, ~chosen)


def _nats_of_zeroed(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    logits = F.linear(hidden * chosen[..., None], table)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")


def _nats_shifted(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return masked_nats(hidden[:, :-1], table, targets[:, 1:], chosen[:, 1:])


def _nats_softmax_twice(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    chances = F.linear(hidden[chosen], table).float().softmax(dim=-1)
    return F.cross_entropy(chances, targets[chosen], reduction="sum")


def _nats_bits(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return masked_nats(hidden, table, targets, chosen) / torch.log(torch.tensor(2.0))


def _nats_sign(hidden: Tensor, table: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
    return -masked_nats(hidden, table, targets, chosen)


# ---------------------------------------------------------------- 4 how many spans


def check_noise_counts(attempt: Attempt) -> None:
    outputs = ("tokens", "spans")
    for length, rate, mean in ((100, 0.15, 3.0), (40, 0.15, 3.0), (50, 0.15, 3.0), (64, 0.3, 2.5), (512, 0.15, 10.0)):
        _compare(attempt, f"length = {length}, rate = {rate}, mean_span = {mean}", length, rate, mean, names=outputs)
    _compare(attempt, "length = 2: one goes and one stays", 2, 0.15, 3.0, names=outputs)
    _compare(attempt, "length = 3, rate = 0.1: one must go", 3, 0.1, 3.0, names=outputs)
    _compare(attempt, "length = 4, rate = 0.95: one must stay", 4, 0.95, 3.0, names=outputs)
    _compare(attempt, "length = 10, rate = 0.8, mean_span = 1: two stay", 10, 0.8, 1.0, names=outputs)
    for length in (0, 1):

        def call(implementation: Implementation, length: int = length) -> Any:
            return implementation(length, 0.15, 3.0)

        attempt.require(
            _refuses(call),
            [f"Tried with length = {length}.", "It raised no ValueError."],
            "With fewer than two tokens there is nothing to cut out or nothing to leave: raise ValueError.",
        )


def _counts(
    cut: Callable[[float], int] = round,
    least: int = 1,
    most: int = 1,
    spans: Callable[[int, int, float], int] | None = None,
) -> Callable[[int, float, float], tuple[int, int]]:
    def count(length: int, rate: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
        if length < 2:
            raise ValueError(f"length = {length}: expected at least 2 tokens, one to cut out and one to leave")
        tokens = min(max(cut(length * rate), least), length - most)
        if spans is not None:
            return tokens, spans(length, tokens, mean_span)
        return tokens, min(max(cut(tokens / mean_span), 1), length - tokens)

    return count


_counts_floor = _counts(cut=int)
_counts_up = _counts(cut=lambda x: -int(-x // 1))
_counts_none = _counts(least=0)
_counts_all_gone = _counts(
    most=0, spans=lambda length, tokens, mean: min(max(round(tokens / mean), 1), max(length - tokens, 1))
)
_counts_spans_of_length = _counts(spans=lambda length, tokens, mean: min(max(round(length / mean), 1), length - tokens))
_counts_no_span = _counts(spans=lambda length, tokens, mean: min(round(tokens / mean), length - tokens))
_counts_too_many = _counts(spans=lambda length, tokens, mean: max(round(tokens / mean), 1))
_counts_always_three = _counts(spans=lambda length, tokens, mean: min(max(round(tokens / 3), 1), length - tokens))


def _counts_any_length(length: int, rate: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    tokens = max(min(max(round(length * rate), 1), length - 1), 0)
    return tokens, max(min(max(round(tokens / mean_span), 1), length - tokens), 0)


# ---------------------------------------------------------------- 5 cut out


def check_corrupt_spans(attempt: Attempt) -> None:
    names = ("source", "target")

    def compare(case: str, ids: Ids, noise: Sequence[int], sentinels: Ids = SENTINELS) -> None:
        _compare(attempt, case, list(ids), [bool(cut) for cut in noise], sentinels, names=names)

    compare("ids 1 2 3 4 5, of which 3 is cut out", range(1, 6), (0, 0, 1, 0, 0))
    compare("ids 1 2 3 4 5, of which 2 and 3 are cut out", range(1, 6), (0, 1, 1, 0, 0))
    compare("ids 1 2 3 4 5, of which 2 3 and 5 are cut out", range(1, 6), (0, 1, 1, 0, 1))
    compare("ids 1 … 6, of which 1, 3 and 6 are cut out", range(1, 7), (1, 0, 1, 0, 0, 1))
    compare("ids 1 2 3, all of them cut out", range(1, 4), (1, 1, 1))
    compare("ids 1 2 3, none cut out", range(1, 4), (0, 0, 0))
    compare("no ids", (), ())
    compare("ids 7 7 7 7, of which the second and the third are cut out", (7, 7, 7, 7), (0, 1, 1, 0))
    compare("sentinels 50, 40, 30: whatever their numbers", range(1, 5), (1, 0, 1, 0), (50, 40, 30))
    attempt.require(
        _refuses(lambda implementation: implementation([1, 2, 3], [True, False, True], [90, 91])),
        ["Tried with two spans and two sentinels.", "It raised no ValueError."],
        "Two spans need three sentinels, since one more ends the target: with too few of them, raise ValueError.",
    )


def _runs(noise: Sequence[bool]) -> list[list[int]]:
    runs: list[list[int]] = []
    for place, cut in enumerate(noise):
        if cut and place and noise[place - 1]:
            runs[-1].append(place)
        elif cut:
            runs.append([place])
    return runs


def _spans_by(
    joined: bool = True,
    same: bool = False,
    last: bool = True,
    in_source: bool = True,
    in_target: bool = True,
    behind: bool = False,
) -> Callable[[Ids, Sequence[bool], Ids], tuple[list[int], list[int]]]:
    def corrupt(ids: Ids, noise: Sequence[bool], sentinels: Ids) -> tuple[list[int], list[int]]:
        runs = _runs(noise) if joined else [[place] for place, cut in enumerate(noise) if cut]
        if len(runs) + 1 > len(sentinels):
            raise ValueError(f"{len(runs)} spans: expected one less than the {len(sentinels)} sentinels")
        source: list[int] = []
        target: list[int] = []
        for place, token in enumerate(ids):
            found = [number for number, run in enumerate(runs) if run[0] == place]
            if found and in_source:
                source.append(sentinels[0 if same else found[0]])
            if not noise[place]:
                source.append(token)
        for number, run in enumerate(runs):
            mark = [sentinels[0 if same else number]] if in_target else []
            span = [ids[place] for place in run]
            target += span + mark if behind else mark + span
        return source, [*target, *([sentinels[0 if same else len(runs)]] if last else [])]

    return corrupt


_spans_one_each = _spans_by(joined=False)
_spans_same_sentinel = _spans_by(same=True)
_spans_no_last = _spans_by(last=False)
_spans_not_in_source = _spans_by(in_source=False)
_spans_not_in_target = _spans_by(in_target=False)
_spans_sentinel_behind = _spans_by(behind=True)


def _spans_whole_target(ids: Ids, noise: Sequence[bool], sentinels: Ids) -> tuple[list[int], list[int]]:
    return corrupt_spans(ids, noise, sentinels)[0], list(ids)


def _spans_other_side(ids: Ids, noise: Sequence[bool], sentinels: Ids) -> tuple[list[int], list[int]]:
    return corrupt_spans(ids, [not cut for cut in noise], sentinels)


def _spans_swapped(ids: Ids, noise: Sequence[bool], sentinels: Ids) -> tuple[list[int], list[int]]:
    return corrupt_spans(ids, noise, sentinels)[::-1]


def _spans_reused(ids: Ids, noise: Sequence[bool], sentinels: Ids) -> tuple[list[int], list[int]]:
    return corrupt_spans(ids, noise, list(sentinels) * (len(ids) + 2))


# ---------------------------------------------------------------- 6 put back


def check_restore_spans(attempt: Attempt) -> None:
    def compare(case: str, source: Ids, target: Ids) -> None:
        _compare(attempt, case, list(source), list(target), SENTINELS)

    compare("source 1 90 4 91, target 90 2 3 91 5 92", (1, 90, 4, 91), (90, 2, 3, 91, 5, 92))
    compare("source 90 1, target 90 5 6 91", (90, 1), (90, 5, 6, 91))
    compare("a span of four tokens", (1, 90, 4), (90, 5, 6, 7, 8, 91))
    compare("a source without sentinels", (1, 2), (90,))
    compare("a target without its last sentinel", (1, 90, 4), (90, 2, 3))
    compare("a target in another order: 91 3 90 2", (1, 90, 4, 91), (91, 3, 90, 2))
    compare("a target that lacks the sentinel 90", (1, 90, 4, 91), (91, 3, 92))
    compare("a target with 92, which the source lacks: 90 2 92 8", (1, 90, 4), (90, 2, 92, 8))
    compare("a target that begins without a sentinel: 7 90 2", (1, 90, 4), (7, 90, 2))
    compare("a target with 90 twice: 90 2 90 5", (1, 90, 4), (90, 2, 90, 5))
    compare("an empty span: 90 91 5", (1, 90, 4, 91), (90, 91, 5, 92))
    compare("an empty target", (1, 90, 4), ())


def _restore_in_order(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    spans: list[list[int]] = []
    for token in target:
        if token in sentinels:
            spans.append([])
        elif spans:
            spans[-1].append(token)
    rest = iter(spans)
    return [x for token in source for x in (next(rest, []) if token in sentinels else [token])]


def _restore_sentinels_stay(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    return [x for t in source for x in ([t, *restore_spans([t], target, sentinels)] if t in sentinels else [t])]


def _restore_nothing(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    return [token for token in source if token not in sentinels]


def _restore_one_token(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    return [x for t in source for x in (restore_spans([t], target, sentinels)[:1] if t in sentinels else [t])]


def _restore_key_error(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    spans: dict[int, list[int]] = {}
    for place, token in enumerate(target):
        if token in sentinels:
            spans[token] = span = []
            for following in target[place + 1 :]:
                if following in sentinels:
                    break
                span.append(following)
    return [x for token in source for x in (spans[token] if token in sentinels else [token])]


def _restore_last_one(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    spans: dict[int, list[int]] = {}
    span: list[int] = []
    for token in target:
        if token in sentinels:
            spans[token] = span = []
        else:
            span.append(token)
    return [x for token in source for x in (spans.get(token, []) if token in sentinels else [token])]


def _restore_all_of_them(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    spans: dict[int, list[int]] = {}
    span: list[int] = []
    for token in target:
        if token in sentinels:
            span = spans.setdefault(token, [])
        else:
            span.append(token)
    return [x for token in source for x in (spans.get(token, []) if token in sentinels else [token])]


def _restore_at_the_end(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    return [token for token in (*source, *target) if token not in sentinels]


# ---------------------------------------------------------------- 7 reveal


def check_reveal(attempt: Attempt) -> None:
    V, mask = 6, 6  # six words, and the mask behind them

    def logits(*shape: int) -> Tensor:
        made = attempt.normal(*shape, V + 1, scale=2.0)
        made[..., mask] = -torch.inf
        return made

    attempt.compare("one row of 8 masks, n = 2", torch.full((1, 8), mask), logits(1, 8), mask, 2, axes=("B", "T"))
    sure = torch.tensor([[[0.0, 1.0], [9.0, 9.5]]])
    sure = torch.cat((sure, torch.full((1, 2, 1), -torch.inf)), dim=2)
    attempt.compare("logits 0 and 1 at one place, 9 and 9.5 at the other, n = 1", torch.full((1, 2), 2), sure, 2, 1)
    ids = torch.tensor([[1, mask, 2, mask, 3], [mask, mask, mask, 4, mask]])
    attempt.compare("two rows with 2 and 4 masks, n = 2", ids, logits(2, 5), mask, 2, axes=("B", "T"))
    attempt.compare("rows with 2 and 4 masks, n = 3", ids, logits(2, 5), mask, 3, axes=("B", "T"))
    attempt.compare("n = 9, more than there are tokens", ids, logits(2, 5), mask, 9, axes=("B", "T"))
    attempt.compare("a row without masks, n = 1", torch.tensor([[1, 2, 3]]), logits(1, 3), mask, 1)
    certain = logits(1, 4)
    certain[0, 0, 1] = 50.0  # very sure about a place that is no mask
    attempt.compare(
        "a place that is no mask, and of which the model is surest", torch.tensor([[0, 6, 6, 2]]), certain, mask, 1
    )
    many = torch.full((3, 20), mask)
    attempt.compare("3 rows of 20 masks, n = 5", many, logits(3, 20), mask, 5, axes=("B", "T"))


def _revealed(ids: Tensor, tokens: Tensor, confidence: Tensor, mask: int, n: int) -> Tensor:
    hidden = ids == mask
    surest = confidence.masked_fill(~hidden, -torch.inf).topk(min(n, ids.shape[1]), dim=1).indices
    return torch.where(torch.zeros_like(hidden).scatter(1, surest, True) & hidden, tokens, ids)


def _reveal_by_logit(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    confidence, tokens = logits.max(dim=-1)
    return _revealed(ids, tokens, confidence, mask, n)


def _reveal_least_sure(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    confidence, tokens = logits.softmax(dim=-1).max(dim=-1)
    return _revealed(ids, tokens, -confidence, mask, n)


def _reveal_from_left(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    places = torch.arange(ids.shape[1], 0, -1, dtype=torch.float).expand(ids.shape)
    return _revealed(ids, logits.argmax(dim=-1), places, mask, n)


def _reveal_everything(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    return torch.where(ids == mask, logits.argmax(dim=-1), ids)


def _reveal_anywhere(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    confidence, tokens = logits.softmax(dim=-1).max(dim=-1)
    surest = confidence.topk(min(n, ids.shape[1]), dim=1).indices
    return torch.where(torch.zeros_like(ids, dtype=torch.bool).scatter(1, surest, True), tokens, ids)


def _reveal_wasted(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    return torch.where(ids == mask, _reveal_anywhere(ids, logits, mask, n), ids)


def _reveal_too_many(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    confidence, tokens = logits.softmax(dim=-1).max(dim=-1)
    surest = confidence.masked_fill(ids != mask, -1.0).topk(min(n, ids.shape[1]), dim=1).indices
    return torch.where(torch.zeros_like(ids, dtype=torch.bool).scatter(1, surest, True), tokens, ids)


def _reveal_in_the_batch(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    return reveal(ids.reshape(1, -1), logits.reshape(1, -1, logits.shape[-1]), mask, n).reshape(ids.shape)


def _reveal_margin(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    best = logits.softmax(dim=-1).topk(2, dim=-1).values
    return _revealed(ids, logits.argmax(dim=-1), best[..., 0] - best[..., 1], mask, n)


def _reveal_error(ids: Tensor, logits: Tensor, mask: int, n: int) -> Tensor:
    confidence, tokens = logits.softmax(dim=-1).max(dim=-1)
    surest = confidence.masked_fill(ids != mask, -1.0).topk(n, dim=1).indices
    return torch.where(torch.zeros_like(ids, dtype=torch.bool).scatter(1, surest, True) & (ids == mask), tokens, ids)


EXERCISES = [
    Exercise(
        lab="08",
        target=f"{OBJECTIVES}:chosen_places",
        title="Which tokens must be told?",
        difficulty=2,
        importance=4,
        minutes=12,
        hints=(
            "Two conditions make a token chosen: it may be, and its dice fell low enough. The second thing to see to is a row where "
            "that "
            "gives nothing: which token of it comes nearest?",
            "`eligible & (dice < rate)` is the first part. For the second, put ∞ where a token is not eligible "
            "(`dice.masked_fill(~eligible, torch.inf)`); `argmin(dim=1, keepdim=True)` is then the place to add.",
            "`first = torch.zeros_like(eligible).scatter(1, smallest, True)`, then `eligible & ((dice < rate) | first)`.",
        ),
        reasoning="The place with the smallest dice can be added to every row: where any token is below the rate, the smallest one is "
        "chosen already, so that nothing changes. The last `eligible &` is for rows that have no eligible token: `argmin` of a row "
        "of ∞ "
        "gives place 0. At least one prediction in a row matters for short texts, of which many would otherwise teach nothing. The "
        "price: "
        "short texts are masked more than the rate says, a text of three words at 1/3 at least.",
        check=check_chosen_places,
        mistakes=(
            Mistake(
                "eligible ignored",
                _choose_everything,
                "`eligible` is not used: special tokens and padding must never be chosen, for there is nothing to tell.",
            ),
            Mistake(
                "least then dropped",
                _choose_least_then_dropped,
                "The smallest dice lay on a special token, which then fell away, and the row has none: look among the eligible ones "
                "only.",
            ),
            Mistake(
                "one in the batch",
                _choose_one_in_the_batch,
                "One chosen token in the whole batch is not enough: every row with an eligible token should have one (`dim=1`).",
            ),
            Mistake(
                "no least",
                _choose_no_least,
                "A row in which no token is below the rate got none: it should get its eligible token with the smallest dice.",
            ),
            Mistake(
                "even without",
                _choose_even_without,
                "A row without any eligible token got one all the same: `argmin` of a row of ∞ is 0. Keep `eligible &` for the last "
                "step.",
            ),
            Mistake(
                "least anywhere",
                _choose_least_anywhere,
                "The smallest dice were looked for among all tokens: put ∞ where a token is not eligible before `argmin`.",
            ),
            Mistake(
                "above",
                _choose_above,
                "The comparison is the wrong way round: dice lie *below* the rate in a share `rate` of all cases.",
            ),
            Mistake(
                "equal too",
                _choose_equal_too,
                "Dice equal to the rate count as chosen: it should be `<`, or a rate of 0 could choose tokens.",
            ),
            Mistake(
                "largest",
                _choose_largest,
                "A row without a token below the rate got the one with the largest dice: the smallest comes nearest to the rate.",
            ),
            Mistake(
                "first place",
                _choose_first_place,
                "A row without a token below the rate got its first eligible one: that would always be the beginning of a text. "
                "Take the one "
                "with the smallest dice, which is a random one.",
            ),
            Mistake(
                "fixed number",
                _choose_fixed_number,
                "A fixed number was taken from every row, as BERT did it. Here each token is chosen by its own dice: `dice < rate`.",
            ),
        ),
    ),
    Exercise(
        lab="08",
        target=f"{OBJECTIVES}:corrupt_tokens",
        title="80, 10, 10",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "One throw of the dice decides between three fates: the interval from 0 to 1 is cut at 0.8 and at 0.9.",
            "`torch.where(condition, a, b)` takes a where the condition holds and b elsewhere. Two of them, one after the other, "
            "are enough; "
            "both conditions begin with `chosen &`.",
            "`seen = torch.where(chosen & (dice < 0.8), mask, ids)`, then `torch.where(chosen & (dice >= 0.8) & (dice < 0.9), "
            "others, seen)`.",
        ),
        reasoning="The model is trained on texts with masks, and later used on texts without any. If every chosen token were "
        "masked, it could "
        "learn that only masks need an answer, and that what is no mask is always right. So one chosen token in ten is left as it "
        "is and one in ten is "
        "exchanged: of no token can it be sure, and it has to keep a good idea of every place (Devlin et al. 2019, appendix A.1). "
        "The three are "
        "drawn from one number, so they exclude each other; two numbers would give 0.8, 0.2 · 0.1, and so on.",
        check=check_corrupt_tokens,
        mistakes=(
            Mistake(
                "all masked",
                _corrupt_all_masked,
                "Every chosen token was masked: only those with dice below 0.8 should be.",
            ),
            Mistake(
                "not only chosen",
                _corrupt_not_only_chosen,
                "Tokens that were not chosen were changed, too: both conditions need `chosen &`.",
            ),
            Mistake(
                "nothing kept",
                _corrupt_nothing_kept,
                "All chosen tokens with dice from 0.8 on were exchanged: from 0.9 on they should stay as they are.",
            ),
            Mistake(
                "none exchanged",
                _corrupt_none_exchanged,
                "No token was exchanged: where 0.8 <= dice < 0.9, the one from `others` should stand.",
            ),
            Mistake(
                "overwritten",
                _corrupt_overwritten,
                "The second step overwrote the masks of the first: dice below 0.9 are below 0.8, too. It needs `dice >= 0.8` as well.",
            ),
            Mistake(
                "the two tens swapped",
                _corrupt_the_two_tens_swapped,
                "The tokens from 0.8 to 0.9 stayed and those from 0.9 on were exchanged: it is the other way round.",
            ),
            Mistake(
                "ten masked",
                _corrupt_ten_masked,
                "10 % were masked and 80 % exchanged: it is 80 % masked and 10 % exchanged.",
            ),
            Mistake(
                "exchanged everywhere",
                _corrupt_exchanged_everywhere,
                "Tokens that were not chosen were exchanged: the second condition needs `chosen &`, too.",
            ),
            Mistake(
                "edges",
                _corrupt_edges,
                "Dice of exactly 0.8 or 0.9 fell on the wrong side: below 0.8 is `<`, and 0.8 itself belongs to the exchanged ones.",
            ),
        ),
    ),
    Exercise(
        lab="08",
        target=f"{OBJECTIVES}:masked_nats",
        title="The loss, where it counts",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "A tensor can be indexed by a bool tensor. What has the shape (N, D), with one row for each chosen place?",
            "`hidden[chosen]` is (N, D) and `targets[chosen]` (N,): make logits of the first, and give both to `F.cross_entropy`.",
            '`logits = F.linear(hidden[chosen], table)`, then `F.cross_entropy(logits.float(), targets[chosen], reduction="sum")`.',
        ),
        reasoning="Nothing is learned from the other places: there the model can see the answer. Leaving them out *before* the head "
        "saves "
        "arithmetic: with 4,096 tokens and 96 features the head costs more than three of the layers, and 85 % of it would be "
        "thrown away. "
        "The sum, not the mean: micro-batches have different numbers of chosen tokens, and the loop divides once, by all of them "
        "together.",
        check=check_masked_nats,
        mistakes=(
            Mistake(
                "all places",
                _nats_of_all,
                "Every place counts in yours: the loss is of the chosen ones only, the others the model can simply read.",
            ),
            Mistake(
                "mean",
                _nats_mean,
                'It is the mean over the chosen places: the sum is wanted (`reduction="sum"`), and 0 where nothing is chosen.',
            ),
            Mistake(
                "mean over all",
                _nats_mean_over_all,
                "The sum was divided by the number of all places: nothing is to be divided here.",
            ),
            Mistake(
                "the others",
                _nats_of_the_others,
                "The places that were *not* chosen count in yours: `chosen` is True where the model has to tell.",
            ),
            Mistake(
                "zeroed",
                _nats_of_zeroed,
                "The hidden states of the other places were set to zero, but their targets still count, ln V each: leave the places "
                "out.",
            ),
            Mistake(
                "shifted",
                _nats_shifted,
                "Targets were shifted by one, as for the causal objective: here each place tells what stands at that very place.",
            ),
            Mistake(
                "softmax twice",
                _nats_softmax_twice,
                "`F.cross_entropy` wants logits and takes the softmax itself: yours has been through a softmax twice.",
            ),
            Mistake(
                "bits",
                _nats_bits,
                "It is in bits: nats are wanted, the natural logarithm, as `F.cross_entropy` has it.",
            ),
            Mistake("sign", _nats_sign, "The sign is wrong: −ln P is wanted, which is never negative."),
        ),
    ),
    Exercise(
        lab="08",
        target=f"{SPANS}:noise_counts",
        title="How many tokens, in how many spans?",
        difficulty=1,
        importance=3,
        minutes=8,
        hints=(
            "Both numbers are a product or a quotient, rounded, and then kept within limits. Which limits, the docstring says.",
            "`min(max(x, low), high)` keeps x between low and high. For the tokens they are 1 and length − 1; for the spans, 1 and "
            "the tokens that stay.",
            "`tokens = min(max(round(length * rate), 1), length - 1)` and `spans = min(max(round(tokens / mean_span), 1), length - "
            "tokens)`.",
        ),
        reasoning="Fixed numbers, where masking throws dice for each token: with them, all examples of one length have sources and "
        "targets of one "
        "length, so that T5 could pack its batches without padding. Only where the spans lie is left to chance. The upper limit of the "
        "spans is ours (T5's code lacks it): two spans with nothing between them would be one.",
        check=check_noise_counts,
        mistakes=(
            Mistake(
                "floor", _counts_floor, "The numbers were cut off, not rounded: `int(3.75)` is 3, `round(3.75)` is 4."
            ),
            Mistake("up", _counts_up, "The numbers were rounded up: `round` takes the nearest."),
            Mistake("none", _counts_none, "A short text lost nothing: at least one token has to go."),
            Mistake(
                "all gone",
                _counts_all_gone,
                "Every token was cut out: at least one has to stay, so at most length − 1 go.",
            ),
            Mistake(
                "spans of the length",
                _counts_spans_of_length,
                "The spans were computed from the length of the text: what is shared out to spans is the tokens that are cut out.",
            ),
            Mistake(
                "no span", _counts_no_span, "There were tokens to cut out and no span: at least one span is needed."
            ),
            Mistake(
                "too many",
                _counts_too_many,
                "More spans than tokens that stay: between two spans at least one must stand, or they would be one.",
            ),
            Mistake("always three", _counts_always_three, "`mean_span` is not used: the spans are tokens / mean_span."),
            Mistake(
                "any length",
                _counts_any_length,
                "With fewer than two tokens there is nothing to cut out or nothing to leave: raise ValueError.",
            ),
        ),
    ),
    Exercise(
        lab="08",
        target=f"{SPANS}:corrupt_spans",
        title="Cut spans out, leave sentinels",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Walk through tokens and noise together, with two lists to fill. When does a span *begin*? Then both lists get its "
            "sentinel.",
            "Remember whether the token before was cut out. A span begins where this one is and that one was not: append "
            "`sentinels[spans]` "
            "to both lists, and count. After that, the token goes into one of the two lists.",
            "In the loop: `if cut and not inside: source.append(sentinels[spans]); target.append(sentinels[spans]); spans += 1`, then "
            "`(target if cut else source).append(token)` and `inside = cut`. At the end `[*target, sentinels[spans]]`.",
        ),
        reasoning="Source and target share the sentinels, and nothing else: each token of the text stands in exactly one of them. "
        "So the decoder has "
        "to write only what is missing, 15 % of the text and a few marks, which makes T5's targets short and its training cheap. A "
        "sentinel for each "
        "span (and not one mark for all) lets the decoder say which gap it is filling. The last one tells where the answer ends "
        "(the paper, §3.1.4).",
        check=check_corrupt_spans,
        mistakes=(
            Mistake(
                "one each",
                _spans_one_each,
                "Each token got a sentinel of its own: neighbours that are cut out make one span, with one sentinel.",
            ),
            Mistake(
                "same sentinel",
                _spans_same_sentinel,
                "Every span has the same sentinel: the second span gets the second one, or nobody could tell which is which.",
            ),
            Mistake(
                "no last",
                _spans_no_last,
                "The target does not end with one more sentinel, the next one: it says that nothing follows.",
            ),
            Mistake(
                "not in source",
                _spans_not_in_source,
                "The source has no sentinels: one should stand in the place of each span, or the model would not know where "
                "something is missing.",
            ),
            Mistake(
                "not in target",
                _spans_not_in_target,
                "The target has no sentinels before its spans: nobody could tell to which gap each belongs.",
            ),
            Mistake(
                "sentinel behind",
                _spans_sentinel_behind,
                "In the target, the sentinel stands behind its span: it should stand before it.",
            ),
            Mistake(
                "whole target",
                _spans_whole_target,
                "The target is the whole text: it should hold only what was cut out.",
            ),
            Mistake(
                "other side",
                _spans_other_side,
                "What should stay was cut out, and the other way round: `noise` is True where a token goes.",
            ),
            Mistake("swapped", _spans_swapped, "Source and target are swapped: what the encoder reads comes first."),
            Mistake(
                "reused",
                _spans_reused,
                "Two spans need three sentinels, since one more ends the target: with too few of them, raise ValueError.",
            ),
        ),
    ),
    Exercise(
        lab="08",
        target=f"{SPANS}:restore_spans",
        title="Put them back",
        difficulty=2,
        importance=4,
        minutes=15,
        hints=(
            "Read the target first: which tokens belong to which sentinel? A dict is the right shape for that.",
            "Keep `span`, the list that is being filled. A sentinel begins a new one, `spans.setdefault(token, span)`; any other "
            "token is appended to it. "
            "Then walk through the source, and replace.",
            "In the target's loop: `if token in sentinels: span = []; spans.setdefault(token, span)`, `else: span.append(token)`. "
            "For the source: "
            "`text += spans.get(token, []) if token in sentinels else [token]`.",
        ),
        reasoning="For targets that `corrupt_spans` made, this is its inverse: that is how one proves that nothing gets lost. A "
        "model's answer may be "
        "anything: gaps left out, in another order, twice. Looking spans up by their sentinel is the most forgiving way to read it, "
        "and `get` with an empty "
        "list never fails. `setdefault` keeps the first of two spans: the later one is filled into a list that nobody looks at.",
        check=check_restore_spans,
        mistakes=(
            Mistake(
                "in order",
                _restore_in_order,
                "The spans were put in by their order: a model may leave one out, so look each one up by its sentinel.",
            ),
            Mistake(
                "sentinels stay",
                _restore_sentinels_stay,
                "The sentinels are still in the text: each gives way to its span.",
            ),
            Mistake("nothing", _restore_nothing, "The sentinels were taken out, but nothing was put in their place."),
            Mistake(
                "one token",
                _restore_one_token,
                "Only the first token of each span was put in: a span goes on until the next sentinel.",
            ),
            Mistake(
                "last one",
                _restore_last_one,
                "A sentinel began two spans, and the last one was taken: the first one counts, `spans.setdefault(token, span)`.",
            ),
            Mistake(
                "key error",
                _restore_key_error,
                "The source has a sentinel that the target lacks: it gives way to nothing, `spans.get(token, [])`.",
            ),
            Mistake(
                "all of them",
                _restore_all_of_them,
                "A sentinel began two spans, and both were put in: the first one counts. Each sentinel needs a new list for what "
                "follows it.",
            ),
            Mistake(
                "at the end",
                _restore_at_the_end,
                "The spans were put behind the text: each belongs where its sentinel stands.",
            ),
        ),
    ),
    Exercise(
        lab="08",
        target=f"{UNMASKING}:reveal",
        title="The surest first",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "Three questions for each row: how sure is the model about each place? Which of those places are masks? Which n of them "
            "are best?",
            "`logits.softmax(-1).max(-1)` gives confidence and token. Put −1 where no mask stands, take `topk` along each row, and "
            "make a bool tensor of it with `scatter`.",
            "`surest = confidence.masked_fill(ids != mask, -1.0).topk(min(n, ids.shape[1]), dim=1).indices`, `now = zeros_like(ids "
            "== mask).scatter(1, surest, True) & "
            "(ids == mask)`, and `torch.where(now, token, ids)`.",
        ),
        reasoning="The surest first, since what is revealed helps with the rest, and what is wrong misleads it. Confidence is a "
        "probability and not a logit: a "
        "place with logits 9 and 9.5 is less sure than one with 0 and 1, for the softmax sees differences only. The last `& (ids == "
        "mask)` is for rows with "
        "fewer masks than n, where `topk` runs into places that are none. Ghazvininejad et al. (2019) also mask the doubtful ones "
        "again in each pass; left out here.",
        check=check_reveal,
        mistakes=(
            Mistake(
                "by logit",
                _reveal_by_logit,
                "Confidence was taken from the logits: the softmax sees differences only, so compare probabilities (`softmax` first).",
            ),
            Mistake("least sure", _reveal_least_sure, "The least sure were revealed: the most confident come first."),
            Mistake(
                "from left",
                _reveal_from_left,
                "The masks were filled from left to right: take those of which the model is surest.",
            ),
            Mistake("everything", _reveal_everything, "All masks were filled at once: only n in each row."),
            Mistake(
                "anywhere",
                _reveal_anywhere,
                "A token that is no mask was changed: the model is often surest of what it can read. Only masks may be filled.",
            ),
            Mistake(
                "wasted",
                _reveal_wasted,
                "Places that are no masks took part in `topk`, so that fewer than n masks were filled: put −1 there before.",
            ),
            Mistake(
                "too many",
                _reveal_too_many,
                "In a row with fewer than n masks, tokens that are no masks were changed: `& (ids == mask)` after `topk`.",
            ),
            Mistake(
                "in the batch",
                _reveal_in_the_batch,
                "n masks of the whole batch were filled: it is n in each row (`dim=1`).",
            ),
            Mistake(
                "error",
                _reveal_error,
                "`topk` cannot take more places than a row has: `min(n, ids.shape[1])`.",
            ),
        ),
    ),
]
