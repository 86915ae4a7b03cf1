"""Lab 07: the exercises on the loss, the batches and the step, and the order of all; its later sections have modules of their own."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.course.checks import in_context, recipe, sampling, scaling
from lablib.course.compare import describe
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed
from lablib.pretraining.batching import Batch, causal, epoch_order, windows_of
from lablib.pretraining.loss import token_nats
from lablib.pretraining.optimisers import clip_
from lablib.pretraining.schedule import warmup_cosine
from lablib.pretraining.training import accumulate

PRETRAINING = "lablib.pretraining"
Model = Callable[[Tensor], Tensor]

# ---------------------------------------------------------------- what several have in common


def _number(value: Any, case: str, what: str) -> Tensor:
    """A plain number as a tensor, for `Attempt.compare`."""
    if value is None:
        raise NotPassed(
            [f"Tried with {case}.", f"{what} is None: expected a number.", "Is there a `return` at the end?"]
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = "A tensor of one number becomes a plain one by `.item()`." if isinstance(value, Tensor) else ""
        raise NotPassed([f"Tried with {case}.", f"{what} is a {describe(value)}: expected a plain number."], hint)
    return torch.tensor(float(value))


# ---------------------------------------------------------------- 1 the shift

NO_MASK = "The mask was left out: it says which targets count, so it is cut as they are."
IN_PLACE = "The caller still needs its rows: cut them, and leave what was given as it is."
MASK_CUT = "`mask` is None when every token counts: cut it only if it is there."


def check_causal(attempt: Attempt) -> None:
    _shifted(attempt, "rows [[5, 6, 7]], no mask", torch.tensor([[5, 6, 7]]))
    rows = torch.arange(12).reshape(3, 4)
    _shifted(attempt, "rows (3, 4), no mask", rows)
    mask = torch.tensor([[True, True, False, True]]).repeat(3, 1)
    _shifted(attempt, "rows (3, 4) and a mask that leaves out the third token", rows, mask)
    mask = torch.tensor([[True, False, False, False], [False, True, True, True], [False, False, True, False]])
    _shifted(attempt, "rows (3, 4) and a mask that differs by row", rows, mask)
    _shifted(attempt, "one row of two tokens", torch.tensor([[8, 9]]))


def _shifted(attempt: Attempt, case: str, rows: Tensor, mask: Tensor | None = None) -> None:
    masked = mask is not None

    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(*given: Tensor) -> Any:
            before = [x.clone() for x in given]
            batch = implementation(*given)
            if any(not torch.equal(old, now) for old, now in zip(before, given, strict=True)):
                raise NotPassed([f"Tried with {case}.", "Your code changed its argument in place."], IN_PLACE)
            if batch is None:
                return None
            if not isinstance(batch, Batch):
                raise NotPassed(
                    [f"Tried with {case}.", f"The result is a {describe(batch)}: expected a Batch."],
                    "Return `Batch(inputs, targets, mask)`.",
                )
            if masked and batch.mask is None:
                raise NotPassed(
                    [f"Tried with {case}.", "The batch has no mask: expected one of the shape of its targets."], NO_MASK
                )
            if not masked and batch.mask is not None:
                raise NotPassed(
                    [f"Tried with {case}.", "The batch has a mask: expected None where none was given."],
                    MASK_CUT,
                )
            return (batch.inputs, batch.targets, batch.mask) if masked else (batch.inputs, batch.targets)

        return call

    given = (rows, mask) if mask is not None else (rows,)
    outputs = ("batch.inputs", "batch.targets", "batch.mask")[: 3 if masked else 2]
    attempt.compare(case, *given, setup=setup, outputs=outputs, axes=["B", "T"])


def _shift_none(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows, rows, mask)


def _shift_none_cut(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, :-1], rows[:, :-1], None if mask is None else mask[:, :-1])


def _shift_backwards(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, 1:], rows[:, :-1], None if mask is None else mask[:, :-1])


def _shift_other_axis(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:-1], rows[1:], None if mask is None else mask[1:])


def _shift_rolled(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows, rows.roll(-1, dims=1), None if mask is None else mask.roll(-1, dims=1))


def _shift_mask_of_inputs(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, :-1], rows[:, 1:], None if mask is None else mask[:, :-1])


def _shift_mask_lost(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, :-1], rows[:, 1:])


def _shift_mask_always(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, :-1], rows[:, 1:], mask[:, 1:])  # type: ignore[index]


def _shift_two(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, :-2], rows[:, 2:], None if mask is None else mask[:, 2:])


def _shift_next_row(rows: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(rows[:, :-1], rows.roll(-1, dims=0)[:, 1:], None if mask is None else mask[:, 1:])


# ---------------------------------------------------------------- 2 the loss

FIRST = "a uniform guess among 4 tokens, one prediction"  # its loss is ln 4, whatever was taken for the target


def check_token_nats(attempt: Attempt) -> None:
    # A scalar comes out, so there is no .mT of it.
    uniform = torch.zeros(1, 2, 4)
    _surprise(attempt, FIRST, uniform[:, :1], torch.tensor([[2]]))
    logits, targets = attempt.normal(3, 5, 7, scale=2.0), torch.arange(15).reshape(3, 5) % 7
    mask = attempt.chance(3, 5, probability=0.5)
    mask[1], mask[0, 0] = False, True
    _surprise(attempt, "logits (3, 5, 7) and a mask that leaves out one row and some tokens", logits, targets, mask)
    _surprise(attempt, "logits (3, 5, 7), no mask", logits, targets)
    _surprise(attempt, "a uniform guess among 4 tokens, two predictions", uniform, torch.tensor([[1, 3]]))
    _surprise(attempt, "a mask that leaves out everything", logits, targets, torch.zeros_like(mask))
    large = torch.tensor([[[1000.0, 0.0, -1000.0]]])
    _surprise(attempt, "logits of 1000 and −1000", large, torch.tensor([[1]]))
    half = attempt.normal(2, 64, 512, scale=4.0).bfloat16()
    _surprise(attempt, "logits in bfloat16", half, torch.arange(128).reshape(2, 64))


def _surprise(attempt: Attempt, case: str, logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(logits: Tensor, targets: Tensor, *mask: Tensor) -> Any:
            def model(ids: Tensor) -> Tensor:
                if ids.shape != targets.shape or not torch.equal(ids, inputs):
                    raise NotPassed(
                        [f"Tried with {case}.", "The model was not given the inputs of the batch."],
                        "`model(batch.inputs)` gives the logits: the shift was done when the batch was made.",
                    )
                return logits

            inputs = (targets + 1) % logits.shape[-1]
            return implementation(model, Batch(inputs, targets, mask[0] if mask else None))

        return call

    given = (logits, targets) if mask is None else (logits, targets, mask)
    # In bfloat16 gradients of equally right answers differ in their last digit.
    attempt.compare(case, *given, setup=setup, gradients=logits.dtype == torch.float32 and case != FIRST)


def _surprises(model: Model, batch: Batch) -> Tensor:
    logits = model(batch.inputs).float()
    return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none").view(batch.targets.shape)


def _nats_mean(model: Model, batch: Batch) -> Tensor:
    total = token_nats(model, batch)  # type: ignore[arg-type]
    return total / max(batch.tokens, 1)


def _nats_mean_of_all(model: Model, batch: Batch) -> Tensor:
    return token_nats(model, batch) / batch.targets.numel()  # type: ignore[arg-type]


def _nats_mask_ignored(model: Model, batch: Batch) -> Tensor:
    return _surprises(model, batch).sum()


def _nats_mean_mask_ignored(model: Model, batch: Batch) -> Tensor:
    return _surprises(model, batch).mean()


def _nats_mask_reversed(model: Model, batch: Batch) -> Tensor:
    found = _surprises(model, batch)
    return found.sum() if batch.mask is None else (found * ~batch.mask).sum()


def _nats_in_bits(model: Model, batch: Batch) -> Tensor:
    return token_nats(model, batch) / math.log(2)  # type: ignore[arg-type]


def _nats_shifted_again(model: Model, batch: Batch) -> Tensor:
    logits, targets = model(batch.inputs)[:, :-1].float(), batch.targets[:, 1:]
    found = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    return found.sum() if batch.mask is None else (found * batch.mask[:, 1:]).sum()


def _nats_of_inputs(model: Model, batch: Batch) -> Tensor:
    return token_nats(model, Batch(batch.inputs, batch.inputs, batch.mask))  # type: ignore[arg-type]


def _nats_sign(model: Model, batch: Batch) -> Tensor:
    return -token_nats(model, batch)  # type: ignore[arg-type]


def _nats_probability(model: Model, batch: Batch) -> Tensor:
    chance = (-_surprises(model, batch)).exp()
    return (1 - chance).sum() if batch.mask is None else ((1 - chance) * batch.mask).sum()


def _nats_softmax_twice(model: Model, batch: Batch) -> Tensor:
    return token_nats(lambda ids: model(ids).float().softmax(-1), batch)  # type: ignore[arg-type]


def _nats_overflow(model: Model, batch: Batch) -> Tensor:
    chance = model(batch.inputs).float().softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
    found = -chance.log()
    return found.sum() if batch.mask is None else found[batch.mask].sum()


def _nats_low_precision(model: Model, batch: Batch) -> Tensor:
    logits = model(batch.inputs)
    targets = batch.targets if batch.mask is None else batch.targets.masked_fill(~batch.mask, -100)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum").float()


# ---------------------------------------------------------------- 3 bits per byte


def check_bits_per_byte(attempt: Attempt) -> None:
    attempt.compare("nats = ln 2 and text_bytes = 1: one bit", math.log(2), 1)
    attempt.compare("nats = 8 · ln 2 and text_bytes = 4", 8 * math.log(2), 4)
    attempt.compare("nats = 1000 and text_bytes = 1500", 1000.0, 1500)
    attempt.compare("nats = 0", 0.0, 10)


def _bits_called_nats(nats: float, text_bytes: float) -> float:
    return nats / text_bytes


def _bits_times(nats: float, text_bytes: float) -> float:
    return nats * math.log(2) / text_bytes


def _bits_per_bit(nats: float, text_bytes: float) -> float:
    return nats / math.log(2) / (8 * text_bytes)


def _bits_digits(nats: float, text_bytes: float) -> float:
    return nats / math.log(10) / text_bytes


def _bits_upside_down(nats: float, text_bytes: float) -> float:
    return text_bytes / (nats / math.log(2))


def _bits_logarithm(nats: float, text_bytes: float) -> float:
    return math.log2(nats) / text_bytes


def _bits_in_all(nats: float, text_bytes: float) -> float:
    return nats / math.log(2)


# ---------------------------------------------------------------- 4 which windows


def check_windows_of(attempt: Attempt) -> None:
    _read(attempt, "step = 0, n = 10 windows, B = 4", 0, 10, 4)
    _read(attempt, "step = 1, n = 10 windows, B = 4", 1, 10, 4)
    _read(attempt, "step = 0, n = 10, B = 4, seed = 3", 0, 10, 4, 3)
    _read(attempt, "step = 2, n = 10, B = 5: the second epoch begins", 2, 10, 5)
    _read(attempt, "step = 2, n = 10, B = 4: an epoch ends within the step", 2, 10, 4)
    _read(attempt, "step = 0, n = 3, B = 8: more rows than windows", 0, 3, 8)
    _read(attempt, "step = 0, n = 12, B = 4, rank = 1 of world = 2", 0, 12, 4, 0, 1, 2)
    _read(attempt, "step = 5, n = 12, B = 6, seed = 1, rank = 2 of world = 3", 5, 12, 6, 1, 2, 3)
    _read(attempt, "step = 123, n = 57, B = 8, rank = 0 of world = 4", 123, 57, 8, 0, 0, 4)
    attempt.require(
        lambda of: all(list(of(step, 20, 4)) == list(of(step, 20, 4)) for step in (7, 0, 7)),
        ["Tried with the same step asked twice: two different answers came."],
        "Which windows a step reads must depend on its arguments alone: no random number that is drawn anew, no counter kept.",
    )


def _read(attempt: Attempt, case: str, *args: int) -> None:
    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(*given: int) -> Any:
            found = implementation(*given)
            try:  # a list or a tensor of the right numbers is as good as an array
                numbers = np.asarray(found)
            except (TypeError, ValueError):
                return found
            return torch.from_numpy(numbers.astype(np.int64)) if numbers.dtype.kind in "iu" else found

        return call

    attempt.compare(case, *args, setup=setup, axes=["B/world"])


def _windows_by(number: Callable[[int, int, int, int, int, int], int]) -> Callable[..., NDArray[np.int64]]:
    def of(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
        share = B // world
        first = step * B + rank * share
        return np.array([number(i, n, B, seed, rank, world) for i in range(first, first + share)], dtype=np.int64)

    return of


_windows_in_order = _windows_by(lambda i, n, B, seed, rank, world: i % n)
_windows_one_order = _windows_by(lambda i, n, B, seed, rank, world: int(epoch_order(n, seed, 0)[i % n]))
_windows_no_seed = _windows_by(lambda i, n, B, seed, rank, world: int(epoch_order(n, 0, i // n)[i % n]))
_windows_epoch_by_step = _windows_by(lambda i, n, B, seed, rank, world: int(epoch_order(n, seed, i // B)[i % n]))
_windows_own_order = _windows_by(lambda i, n, B, seed, rank, world: int(epoch_order(n, seed + rank, i // n)[i % n]))
_windows_swapped = _windows_by(lambda i, n, B, seed, rank, world: int(epoch_order(n, i // n, seed)[i % n]))
_windows_inverse = _windows_by(lambda i, n, B, seed, rank, world: int(np.argsort(epoch_order(n, seed, i // n))[i % n]))


def _windows_rank_ignored(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    return windows_of(step, n, B, seed)[: B // world]


def _windows_everybody_all(
    step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1
) -> NDArray[np.int64]:
    return windows_of(step, n, B, seed)


def _windows_every_other(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    return windows_of(step, n, B, seed)[rank::world]


def _windows_from_one(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    return windows_of(max(step - 1, 0), n, B, seed, rank, world)


def _windows_step_of_share(
    step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1
) -> NDArray[np.int64]:
    share = B // world
    places = np.arange(step * share, step * share + share) + rank * share
    return np.array([epoch_order(n, seed, int(i // n))[i % n] for i in places], dtype=np.int64)


def _windows_step_not_times(
    step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1
) -> NDArray[np.int64]:
    share = B // world
    places = np.arange(share) + step + rank * share
    return np.array([epoch_order(n, seed, int(i // n))[i % n] for i in places], dtype=np.int64)


def _windows_last_dropped(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    share, per_epoch = B // world, n // B
    first = step % per_epoch * B + rank * share
    return epoch_order(n, seed, step // per_epoch)[first : first + share].copy()


def _windows_cut_short(step: int, n: int, B: int, seed: int = 0, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    share = B // world
    first = step * B + rank * share
    return epoch_order(n, seed, first // n)[first % n : first % n + share].copy()


# ---------------------------------------------------------------- 5 the schedule


def check_warmup_cosine(attempt: Attempt) -> None:
    for step in (1, 0, *range(2, 10)):
        attempt.compare(f"step = {step}, steps = 10, warmup = 3, floor = 0", step, 10, 3, 0.0)
    for step in (8, 0, 1, 5, 9):
        attempt.compare(f"step = {step}, steps = 10, warmup = 0, floor = 0.2", step, 10, 0, 0.2)
    attempt.compare("step = 9, steps = 10, warmup = 9, floor = 0.1: the last step is the top", 9, 10, 9, 0.1)
    for step in (0, 19, 20, 21, 500, 999):
        attempt.compare(f"step = {step}, steps = 1000, warmup = 20, floor left at its default", step, 1000, 20)


def _cosine(warm: Callable[[int, int], float], progress: Callable[[int, int, int], float]) -> Callable[..., float]:
    def factor(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
        if step < warmup:
            return warm(step, warmup)
        return 1 - (1 - floor) * (1 - math.cos(math.pi * progress(step, steps, warmup))) / 2

    return factor


def _usual(step: int, steps: int, warmup: int) -> float:
    return (step - warmup) / (steps - warmup)


def _usual_warm(step: int, warmup: int) -> float:
    return (step + 1) / (warmup + 1)


_schedule_from_zero = _cosine(lambda step, warmup: step / warmup, _usual)
_schedule_warm_early = _cosine(lambda step, warmup: (step + 1) / warmup, _usual)
_schedule_from_zero_long = _cosine(lambda step, warmup: step / (warmup + 1), _usual)
_schedule_no_warmup = _cosine(lambda step, warmup: 1.0, _usual)
_schedule_ends_at_last = _cosine(_usual_warm, lambda step, steps, warmup: (step - warmup) / max(steps - 1 - warmup, 1))
_schedule_over_all = _cosine(_usual_warm, lambda step, steps, warmup: step / steps)
_schedule_decay_long = _cosine(_usual_warm, lambda step, steps, warmup: (step - warmup) / steps)
_schedule_full_cosine = _cosine(_usual_warm, lambda step, steps, warmup: 2 * _usual(step, steps, warmup))
_schedule_quarter = _cosine(_usual_warm, lambda step, steps, warmup: _usual(step, steps, warmup) / 2)


def _schedule_ends_early(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min((step - warmup) / max(steps - 2 * warmup, 1), 1.0)
    return 1 - (1 - floor) * (1 - math.cos(math.pi * progress)) / 2


def _schedule_floor_ignored(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    return warmup_cosine(step, steps, warmup, 0.0)


def _schedule_floor_as_limit(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    return max(floor, warmup_cosine(step, steps, warmup, 0.0))


def _schedule_floor_added(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    return floor + warmup_cosine(step, steps, warmup, 0.0)


def _schedule_linear(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 - (1 - floor) * (step - warmup) / (steps - warmup)


def _schedule_degrees(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 - (1 - floor) * (1 - math.cos(180 * (step - warmup) / (steps - warmup))) / 2


def _schedule_rising(step: int, steps: int, warmup: int, floor: float = 0.1) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return floor + (1 - floor) * (1 - math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


# ---------------------------------------------------------------- 6 clipping


def check_clip_(attempt: Attempt) -> None:
    _clip(attempt, "one gradient (3, 4), longest = 1", [torch.tensor([3.0, 4.0])], 1.0)
    _clip(attempt, "gradients (3) and (4), longest = 1", [torch.tensor([3.0]), torch.tensor([4.0])], 1.0)
    _clip(attempt, "gradients (0.3) and (0.4), longest = 1", [torch.tensor([0.3]), torch.tensor([0.4])], 1.0)
    several = [attempt.normal(3, 4), attempt.normal(7, scale=5.0), attempt.normal(2, 2, 2, scale=0.01)]
    _clip(attempt, "three weights of different shapes, longest = 1", several, 1.0)
    _clip(attempt, "three weights of different shapes, longest = 1000", several, 1000.0)
    _clip(attempt, "three weights of different shapes, longest = infinity", several, math.inf)
    _clip(attempt, "two weights, one of which has no gradient", [torch.tensor([3.0, 4.0]), None], 0.5)
    _clip(attempt, "a gradient with a NaN", [torch.tensor([3.0, math.nan]), torch.tensor([4.0])], 1.0)
    _clip(attempt, "a gradient with an infinity", [torch.tensor([3.0, math.inf]), torch.tensor([4.0])], 1.0)
    _clip(attempt, "gradients of zeros", [torch.zeros(2, 2)], 1.0)
    _clip(attempt, "weights that come from a generator", several, 1.0, once=True)


def _clip(
    attempt: Attempt, case: str, gradients: Sequence[Tensor | None], longest: float, *, once: bool = False
) -> None:
    """Compare the returned norm, and what is left in `grad`, in one tensor each."""

    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(longest: float) -> Any:
            weights = [nn.Parameter(torch.ones(2) if g is None else torch.ones_like(g)) for g in gradients]
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = None if gradient is None else gradient.clone()
            norm = _number(implementation(iter(weights) if once else weights, longest), case, "the norm")
            if any(not torch.equal(weight, torch.ones_like(weight)) for weight in weights):
                raise NotPassed(
                    [f"Tried with {case}.", "The weights themselves were changed."],
                    "Clipping changes `weight.grad` only: the weights are the optimiser's to change.",
                )
            if any((w.grad is None) != (g is None) for w, g in zip(weights, gradients, strict=True)):
                raise NotPassed(
                    [f"Tried with {case}.", "A gradient has appeared, or has gone."],
                    "A weight without a gradient stays so, and the others keep theirs.",
                )
            left = torch.cat([w.grad.flatten() for w in weights if w.grad is not None])
            return norm, left

        return call

    attempt.compare(
        case, longest, setup=setup, outputs=("the norm", "what is left of the gradients, one behind the other")
    )


def _clip_with(
    rule: Callable[[list[Tensor], float, float], None], norm_of: Callable[[list[Tensor]], float] | None = None
) -> Callable[[Iterable[Tensor], float], float]:
    def clip(weights: Iterable[Tensor], longest: float) -> float:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        norm = (norm_of or _norm)(gradients)
        rule(gradients, norm, longest)
        return norm

    return clip


def _norm(gradients: list[Tensor]) -> float:
    return math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))


def _scale(gradients: list[Tensor], norm: float, longest: float) -> None:
    if longest < norm < math.inf:
        for gradient in gradients:
            gradient.mul_(longest / norm)


def _each_alone(gradients: list[Tensor], norm: float, longest: float) -> None:
    for gradient in gradients:
        if longest < (own := gradient.norm().item()) < math.inf:
            gradient.mul_(longest / own)


def _by_value(gradients: list[Tensor], norm: float, longest: float) -> None:
    for gradient in gradients:
        gradient.clamp_(-longest, longest)


def _always(gradients: list[Tensor], norm: float, longest: float) -> None:
    if 0 < norm < math.inf and longest < math.inf:
        for gradient in gradients:
            gradient.mul_(longest / norm)


def _always_unit(gradients: list[Tensor], norm: float, longest: float) -> None:
    if longest < norm < math.inf:
        for gradient in gradients:
            gradient.div_(norm)


def _infinite_too(gradients: list[Tensor], norm: float, longest: float) -> None:
    if not norm <= longest:
        for gradient in gradients:
            gradient.mul_(longest / norm)


def _not_at_all(gradients: list[Tensor], norm: float, longest: float) -> None:
    pass


def _first_only(gradients: list[Tensor], norm: float, longest: float) -> None:
    _scale(gradients[:1], norm, longest)


_clip_each_alone = _clip_with(_each_alone)
_clip_by_value = _clip_with(_by_value)
_clip_lengthens = _clip_with(_always)
_clip_to_one = _clip_with(_always_unit)
_clip_infinite_too = _clip_with(_infinite_too)
_clip_nothing = _clip_with(_not_at_all)
_clip_first_only = _clip_with(_first_only)
_clip_sum_of_norms = _clip_with(_scale, lambda gradients: sum(gradient.norm().item() for gradient in gradients))
_clip_no_root = _clip_with(_scale, lambda gradients: sum(gradient.square().sum().item() for gradient in gradients))
_clip_largest = _clip_with(_scale, lambda gradients: max(gradient.abs().max().item() for gradient in gradients))
_clip_largest_norm = _clip_with(_scale, lambda gradients: max(gradient.norm().item() for gradient in gradients))


def _clip_returns_new_norm(weights: Iterable[Tensor], longest: float) -> float:
    weights = list(weights)
    clip_(weights, longest)
    return _norm([weight.grad for weight in weights if weight.grad is not None])


def _clip_reads_twice(weights: Iterable[Tensor], longest: float) -> float:
    norm = math.sqrt(sum(weight.grad.square().sum().item() for weight in weights if weight.grad is not None))
    if longest < norm < math.inf:
        for weight in weights:  # nothing is left of a generator
            if weight.grad is not None:
                weight.grad.mul_(longest / norm)
    return norm


def _clip_grad_missing(weights: Iterable[Tensor], longest: float) -> float:
    weights = list(weights)
    norm = math.sqrt(sum(weight.grad.square().sum().item() for weight in weights))  # type: ignore[union-attr, misc]
    _scale([weight.grad for weight in weights], norm, longest)  # type: ignore[misc]
    return norm


# ---------------------------------------------------------------- 7 accumulation

ALL_AT_ONCE = "All parts were in memory at once, which is what accumulation avoids: call `backward()` for each part before the next one."
NO_GRADIENT = "Call `backward()` on each part's share of the loss: it adds to `grad`."


def check_accumulate(attempt: Attempt) -> None:
    rows = torch.arange(48).reshape(6, 8) % 5
    _gradient(attempt, "three parts of the same size", causal(rows), 3)
    _gradient(attempt, "one part, the whole batch", causal(rows), 1)
    mask = attempt.chance(6, 8, probability=0.4)
    mask[0], mask[1], mask[2, 1] = True, False, True
    _gradient(attempt, "parts with different numbers of predictions that count", causal(rows, mask), 3)
    _gradient(attempt, "four parts of two sizes: 2, 2, 1 and 1 rows", causal(rows), 4)
    _gradient(attempt, "a part without a prediction that counts", causal(rows, mask), 6)
    _gradient(attempt, "parts of two sizes, and as many tokens again in another process", causal(rows), 4, other=42)
    _gradient(attempt, "a gradient that is there already, from the parts before", causal(rows), 2, before=1.0)
    _gradient(attempt, "parts that come from a generator", causal(rows), 3, once=True)


def _gradient(
    attempt: Attempt, case: str, batch: Batch, parts: int, *, other: int = 0, before: float = 0.0, once: bool = False
) -> None:
    """Compare the returned sum, and the gradient of a table (5, 5) that predicts a token from the one before."""
    table = torch.linspace(-1, 1, 25).reshape(5, 5).sin() * 2
    tokens = batch.tokens + other

    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call() -> Any:
            weight = nn.Parameter(table.clone())
            weight.grad = torch.full_like(weight, before) if before else None
            cut = batch.split(parts)
            alive: list[int] = []  # graphs that are not freed: their parts were all computed before any backward

            def done(gradient: Tensor) -> None:
                alive.pop()

            def nats_of(part: Batch) -> Tensor:
                alive.append(1)
                nats = token_nats(lambda ids: weight[ids], part)  # type: ignore[arg-type]
                if nats.requires_grad:
                    nats.register_hook(done)
                return nats

            def one_by_one() -> Iterable[Batch]:
                for part in cut:
                    if alive:
                        raise NotPassed(
                            [f"Tried with {case}.", "The next part was asked for before the last one's `backward()`."],
                            ALL_AT_ONCE,
                        )
                    yield part

            nats = _number(
                implementation(one_by_one() if once else cut, nats_of, tokens), case, "the sum of the losses"
            )
            if weight.grad is None:
                raise NotPassed(
                    [f"Tried with {case}.", "No gradient came to the weights."],
                    NO_GRADIENT,
                )
            return nats, weight.grad

        return call

    attempt.compare(case, setup=setup, outputs=("the sum of the losses", "the gradient"))


NatsOf = Callable[[Batch], Tensor]


def _accumulate_with(
    scale: Callable[[Batch, int, float], float], returned: Callable[[list[float], float], float]
) -> Callable[[Iterable[Batch], NatsOf, float], float]:
    def run(parts: Iterable[Batch], nats_of: NatsOf, tokens: float) -> float:
        parts = list(parts)
        found = []
        for part in parts:
            nats = nats_of(part)
            (nats * scale(part, len(parts), tokens)).backward()
            found.append(nats.item())
        return returned(found, tokens)

    return run


def _total(found: list[float], tokens: float) -> float:
    return sum(found)


_accumulate_mean_of_means = _accumulate_with(lambda part, n, tokens: 1 / max(part.tokens, 1) / n, _total)
_accumulate_means_added = _accumulate_with(lambda part, n, tokens: 1 / max(part.tokens, 1), _total)
_accumulate_sum = _accumulate_with(lambda part, n, tokens: 1.0, _total)
_accumulate_per_part = _accumulate_with(lambda part, n, tokens: 1 / n, _total)
_accumulate_twice_divided = _accumulate_with(lambda part, n, tokens: 1 / tokens / n, _total)
_accumulate_by_places = _accumulate_with(lambda part, n, tokens: 1 / part.targets.numel() / n, _total)
_accumulate_returns_mean = _accumulate_with(
    lambda part, n, tokens: 1 / tokens, lambda found, tokens: sum(found) / tokens
)
_accumulate_returns_last = _accumulate_with(lambda part, n, tokens: 1 / tokens, lambda found, tokens: found[-1])


def _accumulate_last_only(parts: Iterable[Batch], nats_of: NatsOf, tokens: float) -> float:
    nats, last = 0.0, None
    for part in parts:
        last = nats_of(part)
        nats += last.item()
    if last is not None:
        (last / tokens).backward()
    return nats


def _accumulate_all_at_once(parts: Iterable[Batch], nats_of: NatsOf, tokens: float) -> float:
    nats = torch.stack([nats_of(part) for part in parts]).sum()
    (nats / tokens).backward()
    return nats.item()


def _accumulate_own_tokens(parts: Iterable[Batch], nats_of: NatsOf, tokens: float) -> float:
    parts = list(parts)
    return accumulate(parts, nats_of, sum(part.tokens for part in parts))


def _accumulate_no_gradient(parts: Iterable[Batch], nats_of: NatsOf, tokens: float) -> float:
    return sum(nats_of(part).item() for part in parts)


# ---------------------------------------------------------------- the exercises

OWN = (
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.batching:causal",
        title="The shift",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "A row of T + 1 tokens holds T questions with their answers. Which tokens can be asked about, and which can be an answer?",
            "The last token has no answer in this row; the first one is nobody's answer. So inputs and targets are the same row, "
            "cut at different ends. The mask speaks of targets.",
            "`rows[:, :-1]` and `rows[:, 1:]`, and `mask[:, 1:]` if there is a mask.",
        ),
        reasoning="One row gives T predictions at once, because a causal mask (lab 02) lets position t see no further than t. The target "
        "of position t is the token at t + 1: cut off the last token and you have the inputs, cut off the first and you have the targets. "
        "The mask says which tokens are *worth predicting*, so it goes with the targets. Cutting here, once, when the batch is made, keeps "
        "the shift out of the loss, where it is easily done twice.",
        check=check_causal,
        mistakes=(
            Mistake(
                "no shift",
                _shift_none,
                "Inputs and targets are the same tokens: the model would be asked to repeat what it sees. The target is the *next* token.",
            ),
            Mistake(
                "no shift, cut",
                _shift_none_cut,
                "Inputs and targets are the same tokens, both cut at the end: cut the targets at their beginning.",
            ),
            Mistake(
                "backwards",
                _shift_backwards,
                "It is shifted the wrong way: each token is to predict the one *before* it. The targets are what comes later.",
            ),
            Mistake(
                "other axis",
                _shift_other_axis,
                "The cut went along the rows (axis 0), so that one row predicts another: cut along time, `rows[:, …]`.",
            ),
            Mistake(
                "rolled",
                _shift_rolled,
                "`roll` brings the first token round to the end: the last position has no answer in this row, so leave it out.",
            ),
            Mistake(
                "next row",
                _shift_next_row,
                "The targets come from another row: each row is a text of its own, and answers its own questions.",
            ),
            Mistake("two", _shift_two, "The targets are two tokens ahead: the next token is one ahead."),
            Mistake(
                "mask of the inputs",
                _shift_mask_of_inputs,
                "The mask was cut as the inputs are: it says which tokens are worth *predicting*, so it goes with the targets.",
            ),
            Mistake("mask lost", _shift_mask_lost, NO_MASK),
            Mistake("mask always cut", _shift_mask_always, MASK_CUT),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.loss:token_nats",
        title="How surprised was it?",
        difficulty=2,
        importance=5,
        minutes=15,
        hints=(
            "One prediction costs −ln P(target), and P is a softmax over the logits. Which function of PyTorch computes exactly that, for "
            "many predictions at once?",
            '`F.cross_entropy(logits, targets, reduction="sum")` wants (N, V) and (N,): put B and T together with `flatten`. '
            "A target of −100 is left out (`ignore_index`).",
            "`targets = batch.targets.masked_fill(~batch.mask, -100)` if there is a mask, then `F.cross_entropy(logits.flatten(0, 1)"
            '.float(), targets.flatten(), ignore_index=-100, reduction="sum")`.',
        ),
        reasoning="The sum, not the mean: whoever divides must know by what, and that is the number of predictions of the whole step, "
        "which one part of it, or one process of several, does not know. `cross_entropy` subtracts the largest logit before it takes "
        "exponentials, so that logits of 1000 do no harm; softmax followed by a logarithm gives −∞ there. `.float()`: under autocast "
        "the logits come in bfloat16, of which a sum of thousands would keep two or three digits.",
        check=check_token_nats,
        mistakes=(
            Mistake(
                "in bits", _nats_in_bits, "These are bits (logarithm to base 2): expected nats, the natural logarithm."
            ),
            Mistake("sign", _nats_sign, "The sign is wrong: a surprise is −ln P, and never negative."),
            Mistake(
                "probability",
                _nats_probability,
                "1 − P was added up: expected −ln P, which makes being sure and wrong expensive.",
            ),
            Mistake(
                "shifted again",
                _nats_shifted_again,
                "The shift was done twice: `batch.targets` are the next tokens already, so position t of the logits goes with target t.",
            ),
            Mistake(
                "mask ignored",
                _nats_mask_ignored,
                "Predictions that the mask leaves out were counted: where it is False, nothing is added.",
            ),
            Mistake(
                "mean, mask ignored",
                _nats_mean_mask_ignored,
                "It is the mean over all places, those that the mask leaves out as well: expected the sum over those that count.",
            ),
            Mistake(
                "mean",
                _nats_mean,
                "It is the mean over the predictions: expected their sum. Whoever calls this divides, by the tokens of the whole step.",
            ),
            Mistake(
                "mean of all",
                _nats_mean_of_all,
                "The right sum was divided by the number of *all* places: expected the sum itself (a mean would be over those that count).",
            ),
            Mistake(
                "mask reversed",
                _nats_mask_reversed,
                "The mask was read the wrong way round: True means that it counts.",
            ),
            Mistake(
                "of the inputs",
                _nats_of_inputs,
                "The inputs were taken for the targets: the answers are in `batch.targets`.",
            ),
            Mistake(
                "softmax twice",
                _nats_softmax_twice,
                "A softmax was taken before `cross_entropy`, which takes one itself: give it the logits as they are.",
            ),
            Mistake(
                "overflow",
                _nats_overflow,
                "Softmax and then a logarithm: a probability that is too small for float32 becomes 0, and its logarithm −∞. "
                "`cross_entropy` and `log_softmax` do both in one, safely.",
            ),
            Mistake(
                "low precision",
                _nats_low_precision,
                "The loss was computed in bfloat16, which keeps two or three digits: make the logits `.float()` first.",
            ),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.loss:bits_per_byte",
        title="A loss that knows no tokenizer",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "A nat is a unit, as a metre is: how many bits is one nat? And what is it divided by, so that tokens play no part?",
            "log₂ x = ln x / ln 2. So divide the nats by ln 2, which makes bits, and then by the bytes of the text.",
            "`nats / math.log(2) / text_bytes`.",
        ),
        reasoning="All the nats of the text go in, so it does not matter into how many tokens it was cut: a tokenizer with long tokens "
        "has fewer of them, each harder to predict. What comes out is also a size: a program that packs the text with the model's "
        "probabilities needs about so many bits for each byte (arithmetic coding).",
        check=check_bits_per_byte,
        mistakes=(
            Mistake(
                "nats", _bits_called_nats, "These are nats per byte: a nat is 1 / ln 2 = 1.44 bits, so divide by ln 2."
            ),
            Mistake("times", _bits_times, "It was multiplied by ln 2: there are more bits than nats, so divide by it."),
            Mistake(
                "per bit",
                _bits_per_bit,
                "It was divided by the *bits* of the text: a byte is one byte, so leave the 8 out.",
            ),
            Mistake(
                "digits",
                _bits_digits,
                "That is the logarithm to base 10: a bit belongs to base 2, so divide by `math.log(2)`.",
            ),
            Mistake(
                "logarithm",
                _bits_logarithm,
                "The nats are logarithms already: only their unit changes, so divide by ln 2.",
            ),
            Mistake("upside down", _bits_upside_down, "It is upside down, bytes per bit: expected bits per byte."),
            Mistake("in all", _bits_in_all, "These are the bits of the whole text: divide by its bytes, too."),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.batching:windows_of",
        title="Which windows, in which step?",
        difficulty=3,
        importance=4,
        minutes=20,
        hints=(
            "Number the places of the endless row from 0. At which place does step `step` begin, and at which this process's part of it? "
            "Then: in which epoch is place i, and where in that epoch?",
            "A step begins at `step * B`, the part of a rank `rank * (B // world)` further on. Place i lies in epoch `i // n`, at "
            "`i % n`; `epoch_order(n, seed, epoch)` says which window stands there.",
            "`share = B // world`, `first = step * B + rank * share`, then "
            "`[epoch_order(n, seed, i // n)[i % n] for i in range(first, first + share)]`.",
        ),
        reasoning="Nothing is remembered from one step to the next: so a run that was killed needs no record of where it was in the data, "
        "any process can work out its part alone, and no window is read twice before all have been read. The order is drawn anew for each "
        "epoch, from seed *and* epoch. Shuffling once and reading the same order again would always put the same windows into one batch. "
        "All processes share one order and cut it: with orders of their own some windows would be read by several and some by none.",
        check=check_windows_of,
        mistakes=(
            Mistake(
                "in order",
                _windows_in_order,
                "The windows come in the order of the file, so neighbours land in one batch: look the place up in `epoch_order`.",
            ),
            Mistake(
                "inverse",
                _windows_inverse,
                "The order was read the wrong way round: `order[place]` is the window that stands at a place.",
            ),
            Mistake(
                "epoch by step",
                _windows_epoch_by_step,
                "Every step has an order of its own, so a window may come twice and another never: the order changes after n windows.",
            ),
            Mistake(
                "from one",
                _windows_from_one,
                "It is one step late: step 0 takes the first B of the row, step 1 the next B.",
            ),
            Mistake(
                "one further each step",
                _windows_step_not_times,
                "Each step begins one window after the last one: it begins B windows after it, at `step * B`.",
            ),
            Mistake("no seed", _windows_no_seed, "The seed makes no difference: hand it on to `epoch_order`."),
            Mistake("swapped", _windows_swapped, "Seed and epoch have changed places: `epoch_order(n, seed, epoch)`."),
            Mistake(
                "one order",
                _windows_one_order,
                "Every epoch reads in the order of the first: draw it anew, with the number of the epoch.",
            ),
            Mistake(
                "last dropped",
                _windows_last_dropped,
                "What was left of the epoch at its end was dropped: the step goes on with the first windows of the next epoch.",
            ),
            Mistake(
                "cut short",
                _windows_cut_short,
                "At the end of an epoch too few came: the rest of the step is taken from the beginning of the next epoch.",
            ),
            Mistake(
                "rank ignored",
                _windows_rank_ignored,
                "Every process reads the same rows: rank r begins `r * (B // world)` further on.",
            ),
            Mistake(
                "everybody all",
                _windows_everybody_all,
                "Each process reads the whole batch: B is that of all together, so a process has B/world rows of it.",
            ),
            Mistake(
                "every other",
                _windows_every_other,
                "The rows were dealt out in turn: here each process has a block of neighbours (either would do, but all must agree).",
            ),
            Mistake(
                "an order each",
                _windows_own_order,
                "Each process has drawn an order of its own, so some windows are read by several and some by none: one order for all.",
            ),
            Mistake(
                "step of a share",
                _windows_step_of_share,
                "The steps move on by one process's share only, so processes read each other's rows again: a step moves them all on by B.",
            ),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.schedule:warmup_cosine",
        title="Up, and gently down",
        difficulty=2,
        importance=4,
        minutes=15,
        hints=(
            "Two pieces. In the warm-up it is a straight line; at step `warmup` it is 1. After that, how far are you on the way from "
            "`warmup` to `steps`, as a share from 0 to 1?",
            "The line: `(step + 1) / (warmup + 1)`. The cosine of 0 … π goes from 1 to −1, so `(1 + cos(π · progress)) / 2` goes "
            "from 1 to 0; stretch that to end at `floor`.",
            "`progress = (step - warmup) / (steps - warmup)` and `floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2`.",
        ),
        reasoning="The steps are numbered 0 … steps − 1, and both ends are chosen so that none is wasted: step 0 has a rate above zero, "
        "and the cosine would touch `floor` one step after the last. An off-by-one here never raises an error. It shows as a first "
        "step that changes nothing, or as a last one; or as a rate that is still high when the run ends, which costs loss. "
        "(`check_schedule` only refuses arguments that make no schedule; yours need not.)",
        check=check_warmup_cosine,
        mistakes=(
            Mistake(
                "from zero",
                _schedule_from_zero,
                "The first step has the rate 0, so it changes nothing: the line is (step + 1) / (warmup + 1).",
            ),
            Mistake(
                "from zero, long",
                _schedule_from_zero_long,
                "The warm-up is one step late: its first factor is 1 / (warmup + 1), not 0.",
            ),
            Mistake(
                "too early",
                _schedule_warm_early,
                "The warm-up reaches 1 one step too early: `warmup` steps stand *before* the first with factor 1, so divide by warmup + 1.",
            ),
            Mistake(
                "no warm-up",
                _schedule_no_warmup,
                "There is no warm-up: below `warmup` the factor rises in a straight line.",
            ),
            Mistake(
                "over all steps",
                _schedule_over_all,
                "The cosine was counted from step 0: it begins where the warm-up ends, so that the factor there is 1.",
            ),
            Mistake(
                "ends at the last",
                _schedule_ends_at_last,
                "The cosine reaches its end *in* the last step: it would reach it at `steps`, one later, so that the last step still "
                "does something when floor = 0.",
            ),
            Mistake(
                "decay too long",
                _schedule_decay_long,
                "The fall is spread over `steps`, but only `steps − warmup` are left: the run ends before it is down.",
            ),
            Mistake(
                "decay too short",
                _schedule_ends_early,
                "The fall ends before the last step (the warm-up was subtracted twice), and the rest of the run creeps along at `floor`.",
            ),
            Mistake(
                "whole cosine",
                _schedule_full_cosine,
                "A whole period of the cosine was used, down and up again: half of it, 0 … π.",
            ),
            Mistake("quarter", _schedule_quarter, "Only a quarter of the cosine was used, 0 … π/2: it goes to π."),
            Mistake(
                "straight", _schedule_linear, "It falls in a straight line: expected half a cosine, flat at both ends."
            ),
            Mistake("degrees", _schedule_degrees, "`math.cos` takes radians: π, not 180."),
            Mistake(
                "rising",
                _schedule_rising,
                "After the warm-up it rises from `floor` to 1: expected a fall from 1 to `floor`.",
            ),
            Mistake("floor ignored", _schedule_floor_ignored, "It falls to 0: `floor` is where the cosine ends."),
            Mistake(
                "floor as limit",
                _schedule_floor_as_limit,
                "The cosine falls to 0 and is cut off at `floor` (`max`): expected one that is stretched to end at `floor`.",
            ),
            Mistake(
                "floor added", _schedule_floor_added, "`floor` was added to the whole curve, which then begins above 1."
            ),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.optimisers:clip_",
        title="One length for all gradients",
        difficulty=2,
        importance=4,
        minutes=15,
        hints=(
            "Think of all gradients of the model as one long vector. What is its length, and what must every number in it be multiplied "
            "with, so that it gets the length `longest`?",
            "Length: √ of the sum of the squares of *all* numbers of *all* gradients. If it is more than `longest`, multiply each "
            "gradient, in place, with `longest / norm`. A NaN or ∞ in it makes the norm NaN or ∞: then leave all as it is.",
            "`gradients = [w.grad for w in weights if w.grad is not None]`; `norm = math.sqrt(sum(g.square().sum().item() for g in "
            "gradients))`; `if longest < norm < math.inf:` each `g.mul_(longest / norm)`; `return norm`.",
        ),
        reasoning="In lab 01 you clipped a list of gradients; this is the same on a model, in place. One factor for all keeps the "
        "*direction*: clipping each tensor by itself would turn the step. A short gradient stays short: it is not made `longest`. The norm "
        "that is returned is the one *before*, because that is what one wants to watch; a NaN in it must be seen, not "
        "multiplied into every weight. (The library asks `nn.utils.get_total_norm` for the same √Σx², and `full` puts together "
        "what several processes hold parts of.)",
        check=check_clip_,
        mistakes=(
            Mistake(
                "each alone",
                _clip_each_alone,
                "Each weight's gradient was clipped by itself, which turns the direction of the step: one norm, one factor for all.",
            ),
            Mistake(
                "by value",
                _clip_by_value,
                "Each number was cut off by itself, which turns the direction: one factor for all of them.",
            ),
            Mistake(
                "read twice",
                _clip_reads_twice,
                "`weights` was read twice, and a generator such as `model.parameters()` is empty the second time: make a list first.",
            ),
            Mistake(
                "nothing",
                _clip_nothing,
                "The gradients are as long as before: multiply them with `longest / norm`, in place (`mul_`).",
            ),
            Mistake("squared", _clip_no_root, "The root is missing: the norm is √ of the sum of squares."),
            Mistake(
                "largest norm",
                _clip_largest_norm,
                "The longest single gradient was taken for the norm: the norm is over all of them together.",
            ),
            Mistake(
                "largest number",
                _clip_largest,
                "The largest number was taken for the norm: it is √ of the sum of all squares.",
            ),
            Mistake(
                "norm after",
                _clip_returns_new_norm,
                "The norm after clipping was returned: expected the one that the gradient had.",
            ),
            Mistake(
                "first only",
                _clip_first_only,
                "Only the first gradient was shortened: the factor is for all of them.",
            ),
            Mistake(
                "sum of norms",
                _clip_sum_of_norms,
                "The norms of the weights were added up: add up all *squares*, then take the root (as Pythagoras does).",
            ),
            Mistake(
                "lengthens",
                _clip_lengthens,
                "A gradient that was shorter than `longest` was made longer: clip only what is too long.",
            ),
            Mistake(
                "to one",
                _clip_to_one,
                "It was shortened to 1, whatever `longest` said: multiply with `longest / norm`.",
            ),
            Mistake(
                "not finite",
                _clip_infinite_too,
                "With a norm that is NaN or infinite the factor is NaN or 0, and it spoilt all gradients: leave them as they are then.",
            ),
            Mistake(
                "no gradient",
                _clip_grad_missing,
                "A weight may have no gradient (`None`), when the loss does not depend on it: pass it by.",
            ),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{PRETRAINING}.training:accumulate",
        title="A large batch in small parts",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "`backward()` *adds* to `grad`, so the parts' gradients add up by themselves. What must each part's sum of losses be divided "
            "by, so that the total is the mean over the whole batch?",
            "By `tokens`, the number of predictions of all parts together: the same number for every part, however large it is. Then "
            "`backward()`, and only then the next part.",
            "For each part: `part_nats = nats_of(part)`, `(part_nats / tokens).backward()`, `nats += part_nats.item()`.",
        ),
        reasoning="The mean over the batch is Σ losses / Σ tokens. Each part's *mean*, divided by the number of parts, is the same only "
        "when all parts have equally many predictions. With documents of different lengths, or a mask, they have not, and the "
        "tokens of a short part then weigh more. That was wrong in widely used libraries until October 2024, when Unsloth's "
        "authors and Hugging Face published the repair. `backward()` belongs inside the loop: it frees the part's "
        "activations, and saving that memory is what accumulation is for.",
        check=check_accumulate,
        mistakes=(
            Mistake(
                "mean of means",
                _accumulate_mean_of_means,
                "Each part was divided by its own number of predictions, and by the number of parts: a prediction in a part with few "
                "of them then weighs more. Divide every part by `tokens`.",
            ),
            Mistake(
                "means added",
                _accumulate_means_added,
                "The parts' means were added up: the gradient grows with the number of parts. Divide every part by `tokens`.",
            ),
            Mistake(
                "sum", _accumulate_sum, "It is the gradient of the *sum* of the losses: divide each part's by `tokens`."
            ),
            Mistake(
                "divided by parts",
                _accumulate_per_part,
                "The sums were divided by the number of parts: expected the mean over the predictions, so divide by `tokens`.",
            ),
            Mistake(
                "divided twice",
                _accumulate_twice_divided,
                "It was divided by `tokens` and by the number of parts as well: once is enough, since `tokens` counts those of all parts.",
            ),
            Mistake(
                "last only",
                _accumulate_last_only,
                "Only the last part's gradient came: call `backward()` for every part.",
            ),
            Mistake("mean returned", _accumulate_returns_mean, "The mean loss was returned: expected the sum, nats."),
            Mistake(
                "last returned",
                _accumulate_returns_last,
                "The last part's sum was returned: expected that of all parts together.",
            ),
            Mistake(
                "places counted",
                _accumulate_by_places,
                "Each part was divided by all its places, those that the mask leaves out as well: divide by `tokens`.",
            ),
            Mistake(
                "own tokens",
                _accumulate_own_tokens,
                "The predictions were counted anew in these parts: other processes may have more of them, so use `tokens` as it is given.",
            ),
            Mistake("all at once", _accumulate_all_at_once, ALL_AT_ONCE),
            Mistake("no gradient", _accumulate_no_gradient, NO_GRADIENT),
        ),
    ),
)

EXERCISES = [*OWN, *recipe.EXERCISES, *sampling.EXERCISES, *scaling.EXERCISES, *in_context.EXERCISES]
