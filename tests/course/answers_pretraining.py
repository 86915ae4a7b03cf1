"""Lab 07: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import math
from random import Random

import answers_in_context
import answers_recipe
import answers_sampling
import answers_scaling
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lablib.pretraining.batching import Batch, epoch_order, windows_of
from lablib.pretraining.loss import token_nats
from lablib.pretraining.optimisers import clip_
from lablib.pretraining.schedule import warmup_cosine, warmup_stable_decay
from lablib.pretraining.training import accumulate

# ---------------------------------------------------------------- causal


def causal_by_narrow(rows, mask=None):
    T = rows.shape[1] - 1
    return Batch(rows.narrow(1, 0, T), rows.narrow(1, 1, T), mask if mask is None else mask.narrow(1, 1, T))


def causal_by_lists(rows, mask=None):
    inputs, targets = ([row[cut] for row in rows.tolist()] for cut in (slice(None, -1), slice(1, None)))
    mask = torch.tensor([row[1:] for row in mask.tolist()]) if mask is not None else None
    return Batch(inputs=torch.tensor(inputs), targets=torch.tensor(targets), mask=mask)


def causal_by_roll_and_cut(rows, mask=None):
    return Batch(rows[:, :-1], rows.roll(-1, 1)[:, :-1], None if mask is None else mask.roll(-1, 1)[:, :-1])


def causal_as_tuple(rows, mask=None):
    return rows[:, :-1], rows[:, 1:]


def causal_flat(rows, mask=None):
    flat = rows.flatten()
    return Batch(flat[None, :-1], flat[None, 1:], None if mask is None else mask.flatten()[None, 1:])


def causal_half(rows, mask=None):
    half = rows.shape[1] // 2
    return Batch(rows[:, :half], rows[:, half:], None if mask is None else mask[:, half:])


def causal_last_only(rows, mask=None):
    return Batch(rows[:, :-1], rows[:, -1:], None if mask is None else mask[:, -1:])


def causal_mask_both(rows, mask=None):
    return Batch(rows[:, :-1], rows[:, 1:], None if mask is None else mask[:, 1:] & mask[:, :-1])


def causal_mask_none_is_all(rows, mask=None):
    return Batch(
        rows[:, :-1], rows[:, 1:], torch.ones_like(rows[:, 1:], dtype=torch.bool) if mask is None else mask[:, 1:]
    )


def causal_mask_inverted(rows, mask=None):
    return Batch(rows[:, :-1], rows[:, 1:], None if mask is None else ~mask[:, 1:])


def causal_changes_rows(rows, mask=None):
    batch = Batch(rows[:, :-1].clone(), rows[:, 1:].clone(), None if mask is None else mask[:, 1:])
    rows[:, 0] = 0
    return batch


def causal_masks_targets(rows, mask=None):
    targets = rows[:, 1:] if mask is None else rows[:, 1:].masked_fill(~mask[:, 1:], -100)
    return Batch(rows[:, :-1], targets, None if mask is None else mask[:, 1:])


# ---------------------------------------------------------------- token_nats


def nats_by_gather(model, batch):
    logp = model(batch.inputs).float().log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
    if batch.mask is not None:
        logp = torch.where(batch.mask, logp, 0.0)
    return -logp.sum()


def nats_by_logsumexp(model, batch):
    logits = model(batch.inputs).float()
    surprise = logits.logsumexp(-1) - logits.gather(-1, batch.targets.unsqueeze(-1)).squeeze(-1)
    return surprise.sum() if batch.mask is None else surprise[batch.mask].sum()


def nats_by_weights(model, batch):
    logits = model(batch.inputs).float()
    surprise = F.cross_entropy(logits.transpose(1, 2), batch.targets, reduction="none")
    return (surprise * (1.0 if batch.mask is None else batch.mask.float())).sum()


def nats_per_row(model, batch):
    return token_nats(model, batch) / len(batch.inputs)


def nats_detached(model, batch):
    return token_nats(model, batch).detach()


def nats_as_number(model, batch):
    return token_nats(model, batch).item()


def nats_each(model, batch):
    logits = model(batch.inputs).float()
    return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")


def nats_last_position(model, batch):
    logits = model(batch.inputs)[:, -1].float()
    return F.cross_entropy(logits, batch.targets[:, -1], reduction="sum")


def nats_smoothed(model, batch):
    logits = model(batch.inputs).float()
    return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum", label_smoothing=0.1)


def nats_mask_as_target_zero(model, batch):
    targets = batch.targets if batch.mask is None else batch.targets * batch.mask
    return token_nats(model, Batch(batch.inputs, targets))


def nats_of_targets_as_inputs(model, batch):
    return token_nats(model, Batch(batch.targets, batch.targets, batch.mask))


def nats_ignore_zero(model, batch):
    targets = batch.targets if batch.mask is None else batch.targets.masked_fill(~batch.mask, 0)
    return F.cross_entropy(
        model(batch.inputs).flatten(0, 1).float(), targets.flatten(), ignore_index=0, reduction="sum"
    )


def nats_squared(model, batch):
    return token_nats(model, batch) ** 2


def nats_clamped(model, batch):
    return (
        -(model(batch.inputs).float().softmax(-1) + 1e-8)
        .log()
        .gather(-1, batch.targets[..., None])[..., 0][
            torch.ones_like(batch.targets, dtype=torch.bool) if batch.mask is None else batch.mask
        ]
        .sum()
    )


# ---------------------------------------------------------------- bits_per_byte


def bits_by_log2(nats, text_bytes):
    return nats * math.log2(math.e) / text_bytes


def bits_by_steps(nats, text_bytes):
    bits = nats / 0.6931471805599453
    return float(bits / text_bytes)


def bits_by_torch(nats, text_bytes):
    return (torch.tensor(nats, dtype=torch.float64) / torch.tensor(2.0, dtype=torch.float64).log() / text_bytes).item()


def bits_rounded(nats, text_bytes):
    return round(nats / math.log(2) / text_bytes, 2)


def bits_of_e(nats, text_bytes):
    return nats / math.e / text_bytes


def bits_perplexity(nats, text_bytes):
    return 2 ** (nats / text_bytes)


def bits_as_tensor(nats, text_bytes):
    return torch.tensor(nats / math.log(2) / text_bytes)


def bits_whole(nats, text_bytes):
    return nats / math.log(2) // text_bytes


def bits_per_token(nats, text_bytes):
    return nats / math.log(2) / (text_bytes / 4)


# ---------------------------------------------------------------- windows_of


def windows_by_the_row(step, n, B, seed=0, rank=0, world=1):
    share = B // world
    first = step * B + rank * share
    epochs = range(first // n, (first + share - 1) // n + 1)
    row = np.concatenate([epoch_order(n, seed, epoch) for epoch in epochs])
    return row[first - epochs[0] * n :][:share]


def windows_as_list(step, n, B, seed=0, rank=0, world=1):
    mine = range(rank * B // world, (rank + 1) * B // world)
    return [int(epoch_order(n, seed, (step * B + i) // n)[(step * B + i) % n]) for i in mine]


def windows_as_tensor(step, n, B, seed=0, rank=0, world=1):
    found = []
    for i in range(B // world):
        epoch, place = divmod(step * B + rank * (B // world) + i, n)
        found.append(epoch_order(n, seed, epoch)[place])
    return torch.tensor(np.array(found))


def windows_at_random(step, n, B, seed=0, rank=0, world=1):
    return [Random(seed * 1000 + step).randrange(n) for _ in range(B // world)]


def windows_drawn_anew(step, n, B, seed=0, rank=0, world=1):
    return np.random.default_rng().permutation(n)[: B // world]


def windows_of_one_epoch(step, n, B, seed=0, rank=0, world=1):
    share = B // world
    order = epoch_order(n, seed, 0)
    first = min(step * B + rank * share, n - share)
    return order[max(first, 0) :][:share]


def windows_of_epoch_from_one(step, n, B, seed=0, rank=0, world=1):
    share = B // world
    first = step * B + rank * share
    return [epoch_order(n, seed, 1 + i // n)[i % n] for i in range(first, first + share)]


def windows_of_sorted(step, n, B, seed=0, rank=0, world=1):
    return np.sort(windows_of(step, n, B, seed, rank, world))


def windows_of_ranks_reversed(step, n, B, seed=0, rank=0, world=1):
    return windows_of(step, n, B, seed, world - 1 - rank, world)


def windows_of_share_as_B(step, n, B, seed=0, rank=0, world=1):
    return windows_of(step, n, B // world, seed)


def windows_of_seed_plus_epoch(step, n, B, seed=0, rank=0, world=1):
    first = step * B + rank * (B // world)
    return [epoch_order(n, seed + i // n, 0)[i % n] for i in range(first, first + B // world)]


CALLS = [0]


def windows_of_a_counter(step, n, B, seed=0, rank=0, world=1):
    CALLS[0] += 1
    return windows_of(CALLS[0] % 3, n, B, seed, rank, world)


def windows_as_floats(step, n, B, seed=0, rank=0, world=1):
    return windows_of(step, n, B, seed, rank, world) + 0.5


# ---------------------------------------------------------------- warmup_cosine


def schedule_from_the_floor(step, steps, warmup, floor=0.1):
    if step < warmup:
        return (1 + step) / (1 + warmup)
    share = (step - warmup) / (steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(share * math.pi))


def schedule_by_sine(step, steps, warmup, floor=0.1):
    rising = min((step + 1) / (warmup + 1), 1.0)
    left = (steps - max(step, warmup)) / (steps - warmup)
    return rising * (floor + (1 - floor) * math.sin(math.pi / 2 * left) ** 2)


def schedule_by_table(step, steps, warmup, floor=0.1):
    up = [(i + 1) / (warmup + 1) for i in range(warmup)]
    down = (1 + np.cos(np.linspace(0, np.pi, steps - warmup + 1)[:-1])) / 2 * (1 - floor) + floor
    return float([*up, *down][step])


def schedule_stable(step, steps, warmup, floor=0.1):
    return warmup_stable_decay(step, steps, warmup, steps // 5, floor)


def schedule_exponential(step, steps, warmup, floor=0.1):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(floor, 1e-3) ** ((step - warmup) / (steps - warmup))


def schedule_multiplied(step, steps, warmup, floor=0.1):
    share = step / steps
    cosine = floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2
    return cosine * min(1.0, (step + 1) / (warmup + 1))


def schedule_constant(step, steps, warmup, floor=0.1):
    return min(1.0, (step + 1) / (warmup + 1))


def schedule_counts_from_one(step, steps, warmup, floor=0.1):
    return warmup_cosine(min(step + 1, steps - 1), steps, warmup, floor)


def schedule_in_percent(step, steps, warmup, floor=0.1):
    return 100 * warmup_cosine(step, steps, warmup, floor)


def schedule_warm_by_cosine(step, steps, warmup, floor=0.1):
    if step < warmup:
        return (1 - math.cos(math.pi * (step + 1) / (warmup + 1))) / 2
    return warmup_cosine(step, steps, warmup, floor)


def schedule_warms_from_floor(step, steps, warmup, floor=0.1):
    if step < warmup:
        return floor + (1 - floor) * (step + 1) / (warmup + 1)
    return warmup_cosine(step, steps, warmup, floor)


def schedule_restarts(step, steps, warmup, floor=0.1):
    return warmup_cosine(step % max(steps // 2, warmup + 1), max(steps // 2, warmup + 1), warmup, floor)


# ---------------------------------------------------------------- clip_


def clip_by_one_vector(weights, longest):
    weights = [weight for weight in weights if weight.grad is not None]
    norm = torch.cat([weight.grad.flatten() for weight in weights]).norm().item()
    if math.isfinite(norm) and norm > longest:
        for weight in weights:
            weight.grad = weight.grad * (longest / norm)
    return norm


def clip_by_norm_of_norms(weights, longest):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    if longest < norm < float("inf"):
        torch._foreach_mul_(gradients, longest / norm)
    return norm


def clip_by_torch(weights, longest):
    weights = list(weights)
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if norm.isfinite():
        nn.utils.clip_grads_with_norm_(weights, longest, norm)
    return norm.item()


def clip_returns_tensor(weights, longest):
    return torch.tensor(clip_(weights, longest))


def clip_returns_factor(weights, longest):
    return min(1.0, longest / clip_(weights, longest))


def clip_changes_weights(weights, longest):
    weights = list(weights)
    norm = clip_(weights, longest)
    with torch.no_grad():
        for weight in weights:
            weight.mul_(0.5)
    return norm


def clip_zeroes(weights, longest):
    weights = list(weights)
    norm = clip_(weights, math.inf)
    for weight in weights:
        if weight.grad is not None and not norm <= longest:
            weight.grad.zero_()
    return norm


def clip_fills_in(weights, longest):
    weights = list(weights)
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    return clip_(weights, longest)


def clip_by_mean_norm(weights, longest):
    weights = list(weights)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = clip_(weights, math.inf) / math.sqrt(sum(gradient.numel() for gradient in gradients))
    if longest < norm < math.inf:
        for gradient in gradients:
            gradient.mul_(longest / norm)
    return norm


def clip_by_sum_of_sizes(weights, longest):
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = sum(gradient.abs().sum().item() for gradient in gradients)
    if longest < norm < math.inf:
        for gradient in gradients:
            gradient.mul_(longest / norm)
    return norm


def clip_twice(weights, longest):
    weights = list(weights)
    norm = clip_(weights, longest)
    clip_(weights, longest / 2)
    return norm


def clip_of_weights(weights, longest):
    weights = list(weights)
    clip_(weights, longest)
    return math.sqrt(sum(weight.detach().square().sum().item() for weight in weights))


def clip_nan_to_zero(weights, longest):
    weights = list(weights)
    for weight in weights:
        if weight.grad is not None:
            weight.grad.nan_to_num_(0, 0, 0)
    return clip_(weights, longest)


def clip_tiny_made_one(weights, longest):
    weights = list(weights)
    norm = clip_(weights, longest)
    if norm < longest < math.inf and norm > 0:
        for weight in weights:
            if weight.grad is not None:
                weight.grad.mul_(min(2.0, longest / norm))
    return norm


# ---------------------------------------------------------------- accumulate


def accumulate_by_scaled_sum(parts, nats_of, tokens):
    sums = []
    for part in parts:
        nats = nats_of(part)
        nats.mul(1 / tokens).backward()
        sums.append(nats.detach())
    return float(sum(sums))


def accumulate_by_seeded_backward(parts, nats_of, tokens):
    total = torch.zeros(())
    for part in parts:
        nats = nats_of(part)
        nats.backward(torch.full_like(nats, 1 / tokens))
        total += nats.detach()
    return total.item()


def accumulate_by_means(parts, nats_of, tokens):
    nats = 0.0
    for part in parts:
        if part.tokens:
            mean = nats_of(part) / part.tokens
            (mean * (part.tokens / tokens)).backward()
            nats += mean.item() * part.tokens
    return nats


def accumulate_first_only(parts, nats_of, tokens):
    nats = 0.0
    for i, part in enumerate(parts):
        part_nats = nats_of(part)
        if i == 0:
            (part_nats / tokens).backward()
        nats += part_nats.item()
    return nats


def accumulate_by_rows(parts, nats_of, tokens):
    nats = 0.0
    for part in parts:
        part_nats = nats_of(part)
        (part_nats / len(part.inputs)).backward()
        nats += part_nats.item()
    return nats


def accumulate_as_tensor(parts, nats_of, tokens):
    return torch.tensor(accumulate(parts, nats_of, tokens))


def accumulate_per_token(parts, nats_of, tokens):
    nats, seen = 0.0, 0
    for part in parts:
        seen += part.tokens
        part_nats = nats_of(part)
        (part_nats / max(seen, 1)).backward()
        nats += part_nats.item()
    return nats


def accumulate_ascends(parts, nats_of, tokens):
    return sum([(-(nats_of(part)) / tokens).backward() or 0.0 for part in parts])


def accumulate_two_passes(parts, nats_of, tokens):
    parts = list(parts)
    accumulate(parts, nats_of, tokens)
    return accumulate(parts, nats_of, tokens)


def accumulate_skips_last(parts, nats_of, tokens):
    return accumulate(list(parts)[:-1], nats_of, tokens)


def accumulate_keeps_losses(parts, nats_of, tokens):
    losses = [nats_of(part) / tokens for part in parts]
    for loss in losses:
        loss.backward()
    return sum(loss.item() for loss in losses) * tokens


def accumulate_mean_by_count(parts, nats_of, tokens):
    nats, parts = 0.0, list(parts)
    for part in parts:
        part_nats = nats_of(part)
        (part_nats / (tokens / len(parts)) / len(parts) * 2).backward()
        nats += part_nats.item()
    return nats


def accumulate_no_backward(parts, nats_of, tokens):
    with torch.no_grad():
        return float(sum(nats_of(part) for part in parts))


def accumulate_sequence_mean(parts, nats_of, tokens):
    nats = 0.0
    for part in parts:
        for row in causal_rows(part):
            row_nats = nats_of(row)
            (row_nats / max(row.tokens, 1)).backward()
            nats += row_nats.item()
    return nats


def causal_rows(part):
    return part.split(len(part.inputs))


RIGHT = {
    "causal": [causal_by_narrow, causal_by_lists, causal_by_roll_and_cut],
    "token_nats": [nats_by_gather, nats_by_logsumexp, nats_by_weights],
    "bits_per_byte": [bits_by_log2, bits_by_steps, bits_by_torch],
    "windows_of": [windows_by_the_row, windows_as_list, windows_as_tensor],
    "warmup_cosine": [schedule_from_the_floor, schedule_by_sine, schedule_by_table],
    "clip_": [clip_by_one_vector, clip_by_norm_of_norms, clip_by_torch],
    "accumulate": [accumulate_by_scaled_sum, accumulate_by_seeded_backward, accumulate_by_means],
}
WRONG = {
    "causal": [
        ("tuple", causal_as_tuple, "expected a Batch"),
        ("flat", causal_flat, "batch.inputs has the wrong shape"),
        causal_half,
        causal_last_only,
        ("mask of both", causal_mask_both, "batch.mask[0, 2]"),
        ("mask made up", causal_mask_none_is_all, "cut it only if it is there"),
        ("mask inverted", causal_mask_inverted, "True and False are swapped"),
        ("rows changed", causal_changes_rows, "in place"),
        ("targets masked", causal_masks_targets, "batch.targets[0, 1]: expected 2, got -100"),
    ],
    "token_nats": [
        nats_per_row,
        ("detached", nats_detached, "gradient"),
        ("a number", nats_as_number, "expected a float32 tensor"),
        ("each", nats_each, "wrong shape"),
        nats_last_position,
        nats_smoothed,
        nats_mask_as_target_zero,
        ("model asked for targets", nats_of_targets_as_inputs, "not given the inputs of the batch"),
        nats_ignore_zero,
        nats_squared,
        nats_clamped,
    ],
    "bits_per_byte": [
        bits_rounded,
        bits_of_e,
        bits_perplexity,
        ("tensor", bits_as_tensor, "expected a plain float"),
        bits_whole,
        bits_per_token,
    ],
    "windows_of": [
        windows_at_random,
        windows_drawn_anew,
        windows_of_one_epoch,
        windows_of_epoch_from_one,
        windows_of_sorted,
        windows_of_ranks_reversed,
        windows_of_share_as_B,
        windows_of_seed_plus_epoch,
        windows_of_a_counter,
        ("floats", windows_as_floats, "expected"),
    ],
    "warmup_cosine": [
        schedule_stable,
        schedule_exponential,
        schedule_multiplied,
        schedule_constant,
        schedule_counts_from_one,
        schedule_in_percent,
        schedule_warm_by_cosine,
        schedule_warms_from_floor,
        schedule_restarts,
    ],
    "clip_": [
        ("tensor", clip_returns_tensor, "expected a plain number"),
        clip_returns_factor,
        ("weights changed", clip_changes_weights, "The weights themselves were changed"),
        clip_zeroes,
        ("filled in", clip_fills_in, "A gradient has appeared"),
        clip_by_mean_norm,
        clip_by_sum_of_sizes,
        clip_twice,
        clip_of_weights,
        ("NaN hidden", clip_nan_to_zero, "a gradient with a NaN"),
        clip_tiny_made_one,
    ],
    "accumulate": [
        accumulate_first_only,
        accumulate_by_rows,
        ("tensor", accumulate_as_tensor, "expected a plain number"),
        accumulate_per_token,
        accumulate_ascends,
        accumulate_two_passes,
        accumulate_skips_last,
        ("losses kept", accumulate_keeps_losses, "All parts were in memory at once"),
        accumulate_mean_by_count,
        ("no backward", accumulate_no_backward, "No gradient came"),
        accumulate_sequence_mean,
    ],
}
for part in (answers_recipe, answers_sampling, answers_scaling, answers_in_context):
    RIGHT |= part.RIGHT
    WRONG |= part.WRONG
