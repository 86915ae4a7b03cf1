"""Lab 08: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

from itertools import groupby

import torch
from torch.nn import functional as F

from lablib.pretraining.objectives import chosen_places, corrupt_tokens, masked_nats
from lablib.pretraining.span_corruption import corrupt_spans, noise_counts, restore_spans
from lablib.pretraining.unmasking import reveal

# ---------------------------------------------------------------- chosen_places


def choose_by_loop(eligible, dice, rate):
    chosen = torch.zeros_like(eligible)
    rates = rate if isinstance(rate, torch.Tensor) else torch.full((len(dice), 1), rate)
    for row in range(len(dice)):
        places = [place for place in range(dice.shape[1]) if eligible[row, place]]
        for place in places:
            chosen[row, place] = dice[row, place] < rates[row, 0]
        if places and not chosen[row].any():
            chosen[row, min(places, key=lambda place, row=row: dice[row, place].item())] = True
    return chosen


def choose_by_least_of_row(eligible, dice, rate):
    hidden = torch.where(eligible, dice, 2.0)
    return eligible & ((dice < rate) | (hidden == hidden.min(dim=1, keepdim=True).values))


def choose_with_any(eligible, dice, rate):
    chosen = torch.logical_and(eligible, dice < rate)
    empty = ~chosen.any(dim=1)
    least = dice.masked_fill(~eligible, 9.0).argmin(dim=1)
    return chosen | (F.one_hot(least, dice.shape[1]).bool() & empty[:, None] & eligible)


def choose_places_not_mask(eligible, dice, rate):
    return chosen_places(eligible, dice, rate).nonzero()


def choose_as_long(eligible, dice, rate):
    return chosen_places(eligible, dice, rate).long()


def choose_other_rows(eligible, dice, rate):
    return chosen_places(eligible, dice, rate).flip(0)


def choose_half_the_rate(eligible, dice, rate):
    return chosen_places(eligible, dice, rate / 2)


def choose_along_the_batch(eligible, dice, rate):
    if isinstance(rate, torch.Tensor):
        return chosen_places(eligible, dice, rate)
    return chosen_places(eligible.mT, dice.mT, rate).mT


def choose_two_at_least(eligible, dice, rate):
    chosen = chosen_places(eligible, dice, rate)
    return chosen | chosen_places(eligible & ~chosen, dice, 0.0)


def choose_not_eligible(eligible, dice, rate):
    return ~eligible


# ---------------------------------------------------------------- corrupt_tokens


def corrupt_by_mask_fill(ids, chosen, dice, others, mask):
    seen = ids.masked_fill(chosen & (dice < 0.8), mask)
    exchanged = chosen & (dice >= 0.8) & (dice < 0.9)
    return seen.masked_scatter(exchanged, others[exchanged])


def corrupt_by_cases(ids, chosen, dice, others, mask):
    fate = (dice >= 0.8).long() + (dice >= 0.9).long()
    three = torch.stack((torch.full_like(ids, mask), others, ids))
    return torch.where(chosen, three.gather(0, fate[None])[0], ids)


def corrupt_on_a_copy(ids, chosen, dice, others, mask):
    seen = ids.clone()
    seen[chosen & (dice < 0.9)] = others[chosen & (dice < 0.9)]
    seen[chosen & (dice < 0.8)] = mask
    return seen


def corrupt_in_place(ids, chosen, dice, others, mask):
    ids[chosen & (dice >= 0.8) & (dice < 0.9)] = others[chosen & (dice >= 0.8) & (dice < 0.9)]
    ids[chosen & (dice < 0.8)] = mask
    return ids


def corrupt_with_new_dice(ids, chosen, dice, others, mask):
    return corrupt_tokens(ids, chosen, torch.rand(ids.shape), others, mask)


def corrupt_other_way_round(ids, chosen, dice, others, mask):
    return corrupt_tokens(ids, chosen, 1 - dice, others, mask)


def corrupt_mask_plus_one(ids, chosen, dice, others, mask):
    return corrupt_tokens(ids, chosen, dice, others, mask + 1)


def corrupt_to_zero(ids, chosen, dice, others, mask):
    return ids * ~(chosen & (dice < 0.8))


def corrupt_the_mask_tensor(ids, chosen, dice, others, mask):
    return chosen & (dice < 0.9)


def corrupt_only_first_of_row(ids, chosen, dice, others, mask):
    first = chosen & (chosen.cumsum(dim=1) == 1)
    return corrupt_tokens(ids, first, dice, others, mask)


# ---------------------------------------------------------------- masked_nats


def nats_by_gather(hidden, table, targets, chosen):
    log_probs = (hidden @ table.mT).float().log_softmax(dim=-1)
    each = -log_probs.gather(-1, targets[..., None])[..., 0]
    return each.masked_fill(~chosen, 0.0).sum()


def nats_with_ignored(hidden, table, targets, chosen):
    logits = F.linear(hidden, table).float()
    return F.cross_entropy(logits.flatten(0, 1), torch.where(chosen, targets, -100).flatten(), reduction="sum")


def nats_by_logsumexp(hidden, table, targets, chosen):
    x, y = hidden[chosen], targets[chosen]
    logits = (x @ table.T).float()
    return (logits.logsumexp(dim=1) - logits[torch.arange(len(y)), y]).sum()


def nats_for_each(hidden, table, targets, chosen):
    return F.cross_entropy(F.linear(hidden[chosen], table).float(), targets[chosen], reduction="none")


def nats_default(hidden, table, targets, chosen):
    return F.cross_entropy(F.linear(hidden[chosen], table).float(), targets[chosen])


def nats_of_argmax(hidden, table, targets, chosen):
    return (F.linear(hidden[chosen], table).argmax(-1) != targets[chosen]).float().sum()


def nats_squared(hidden, table, targets, chosen):
    return masked_nats(hidden, table, targets, chosen) ** 2


def nats_no_gradient(hidden, table, targets, chosen):
    return masked_nats(hidden.detach(), table, targets, chosen)


def nats_naive(hidden, table, targets, chosen):
    chances = F.linear(hidden[chosen], table).float().exp()
    chances = chances / chances.sum(dim=1, keepdim=True)
    return -chances[torch.arange(len(chances)), targets[chosen]].log().sum()


def nats_chances(hidden, table, targets, chosen):
    return F.linear(hidden[chosen], table).float().softmax(-1).gather(1, targets[chosen][:, None]).sum()


# ---------------------------------------------------------------- noise_counts


def counts_with_ifs(length, rate=0.15, mean_span=3.0):
    if length < 2:
        raise ValueError(f"a text of {length} tokens")
    tokens = round(rate * length)
    if tokens < 1:
        tokens = 1
    if tokens > length - 1:
        tokens = length - 1
    spans = round(tokens / mean_span) or 1
    return tokens, spans if spans < length - tokens else length - tokens


def counts_sorted(length, rate=0.15, mean_span=3.0):
    if length <= 1:
        raise ValueError("too short")
    tokens = sorted((1, round(length * rate), length - 1))[1] if length > 2 else 1
    return [tokens, min(max(1, round(tokens / mean_span)), length - tokens)]


def counts_swapped(length, rate=0.15, mean_span=3.0):
    return noise_counts(length, rate, mean_span)[::-1]


def counts_only_tokens(length, rate=0.15, mean_span=3.0):
    return noise_counts(length, rate, mean_span)[0]


def counts_of_what_stays(length, rate=0.15, mean_span=3.0):
    tokens, spans = noise_counts(length, rate, mean_span)
    return length - tokens, spans


def counts_as_floats(length, rate=0.15, mean_span=3.0):
    tokens, spans = noise_counts(length, rate, mean_span)
    return tokens + 0.5, spans


def counts_15_percent(length, rate=0.15, mean_span=3.0):
    return noise_counts(length, 0.15, mean_span)


def counts_multiplied(length, rate=0.15, mean_span=3.0):
    tokens, _ = noise_counts(length, rate, mean_span)
    return tokens, min(max(round(tokens * mean_span), 1), length - tokens)


def counts_one_span(length, rate=0.15, mean_span=3.0):
    return noise_counts(length, rate, mean_span)[0], 1


# ---------------------------------------------------------------- corrupt_spans


def spans_by_groups(ids, noise, sentinels):
    source, target, number = [], [], 0
    for cut, group in groupby(zip(noise, ids, strict=True), key=lambda pair: pair[0]):
        tokens = [token for _, token in group]
        if not cut:
            source += tokens
            continue
        if number + 2 > len(sentinels):
            raise ValueError("too few sentinels")
        source.append(sentinels[number])
        target += [sentinels[number], *tokens]
        number += 1
    return source, [*target, sentinels[number]]


def spans_with_iterator(ids, noise, sentinels):
    begins = sum(cut and not (i and noise[i - 1]) for i, cut in enumerate(noise))
    if begins >= len(sentinels):
        raise ValueError(f"{begins} spans")
    rest = iter(sentinels)
    source, target = [], []
    for i, token in enumerate(ids):
        if noise[i] and (i == 0 or not noise[i - 1]):
            mark = next(rest)
            source, target = [*source, mark], [*target, mark]
        if noise[i]:
            target = [*target, token]
        else:
            source = [*source, token]
    return tuple(source), (*target, next(rest))


def spans_source_only(ids, noise, sentinels):
    return corrupt_spans(ids, noise, sentinels)[0]


def spans_from_the_end(ids, noise, sentinels):
    return corrupt_spans(ids, noise, list(sentinels)[::-1])


def spans_second_sentinel_first(ids, noise, sentinels):
    return corrupt_spans(ids, noise, [*sentinels[1:], sentinels[0]])


def spans_ends_with_first(ids, noise, sentinels):
    source, target = corrupt_spans(ids, noise, sentinels)
    return source, [*target[:-1], sentinels[0]]


def spans_source_ends_too(ids, noise, sentinels):
    source, target = corrupt_spans(ids, noise, sentinels)
    return [*source, target[-1]], target


def spans_reversed(ids, noise, sentinels):
    source, target = corrupt_spans(ids, noise, sentinels)
    return source, target[::-1]


def spans_first_only(ids, noise, sentinels):
    if sum(noise) + 1 > len(sentinels):
        raise ValueError("too few sentinels")
    runs = [list(group) for _, group in groupby(noise)]
    first = next((i for i, run in enumerate(runs) if run[0]), 0)
    kept = [cut and i == first for i, run in enumerate(runs) for cut in run]
    return corrupt_spans(ids, kept, sentinels)


def spans_token_lost(ids, noise, sentinels):
    source, target = corrupt_spans(ids, noise, sentinels)
    return source, [t for i, t in enumerate(target) if t in sentinels or (i and target[i - 1] in sentinels)]


# ---------------------------------------------------------------- restore_spans


def restore_by_index(source, target, sentinels):
    text = []
    for token in source:
        if token not in sentinels:
            text.append(token)
        elif token in target:
            start = list(target).index(token) + 1
            while start < len(target) and target[start] not in sentinels:
                text.append(target[start])
                start += 1
    return text


def restore_recursively(source, target, sentinels):
    if not source:
        return []
    head, *rest = source
    if head not in sentinels:
        return [head, *restore_recursively(rest, target, sentinels)]
    span, inside = [], False
    for token in target:
        if token in sentinels:
            if inside:
                break
            inside = token == head
        elif inside:
            span.append(token)
    return [*span, *restore_recursively(rest, target, sentinels)]


def restore_replaces_in_source(source, target, sentinels):
    found = restore_spans(source, target, sentinels)
    source[:] = found
    return source


def restore_keeps_last_sentinel(source, target, sentinels):
    return [*restore_spans(source, target, sentinels), *[t for t in target[-1:] if t in sentinels]]


def restore_source(source, target, sentinels):
    return list(source)


def restore_spans_only(source, target, sentinels):
    return [token for token in target if token not in sentinels]


def restore_reversed_spans(source, target, sentinels):
    return [x for t in source for x in (restore_spans([t], target, sentinels)[::-1] if t in sentinels else [t])]


def restore_two_tokens(source, target, sentinels):
    return [x for t in source for x in (restore_spans([t], target, sentinels)[:2] if t in sentinels else [t])][:6]


def restore_leading_goes_first(source, target, sentinels):
    leading = []
    for token in target:
        if token in sentinels:
            break
        leading.append(token)
    return [*leading, *restore_spans(source, target, sentinels)]


def restore_stops_at_a_gap(source, target, sentinels):
    text = []
    for token in source:
        if token in sentinels and token not in target:
            break
        text += restore_spans([token], target, sentinels)
    return text


# ---------------------------------------------------------------- reveal


def reveal_by_loop(ids, logits, mask, n):
    seen = ids.clone()
    chances = logits.softmax(dim=-1)
    for row in range(len(ids)):
        places = [place for place in range(ids.shape[1]) if ids[row, place] == mask]
        places.sort(key=lambda place, row=row: -chances[row, place].max().item())
        for place in places[:n]:
            seen[row, place] = chances[row, place].argmax()
    return seen


def reveal_by_rank(ids, logits, mask, n):
    log_probs, token = logits.log_softmax(dim=-1).max(dim=-1)
    order = log_probs.masked_fill(ids != mask, -torch.inf).argsort(dim=1, descending=True).argsort(dim=1)
    return torch.where((order < n) & (ids == mask), token, ids)


def reveal_one_by_one(ids, logits, mask, n):
    ids = ids.clone()
    confidence, token = logits.softmax(dim=-1).max(dim=-1)
    for _ in range(n):
        best = confidence.masked_fill(ids != mask, -1).argmax(dim=1, keepdim=True)
        now = torch.zeros_like(ids, dtype=torch.bool).scatter(1, best, True) & (ids == mask)
        ids = torch.where(now, token, ids)
    return ids


def reveal_in_place(ids, logits, mask, n):
    ids.copy_(reveal(ids, logits, mask, n))
    return ids


def reveal_second_best(ids, logits, mask, n):
    second = logits.topk(2, dim=-1).indices[..., 1]
    return torch.where(reveal(ids, logits, mask, n) != ids, second, ids)


def reveal_one_more(ids, logits, mask, n):
    return reveal(ids, logits, mask, n + 1)


def reveal_only_one(ids, logits, mask, n):
    return reveal(ids, logits, mask, 1)


def reveal_sure_tokens_only(ids, logits, mask, n):
    sure = logits.softmax(dim=-1).amax(dim=-1) > 0.5
    return torch.where(sure, reveal(ids, logits, mask, n), ids)


def reveal_others_to_zero(ids, logits, mask, n):
    return reveal(ids, logits, mask, n) * (ids == mask)


def reveal_by_entropy(ids, logits, mask, n):
    log_probs = logits[..., :mask].log_softmax(dim=-1)
    entropy = -(log_probs.exp() * log_probs).sum(dim=-1).masked_fill(ids != mask, torch.inf)
    surest = entropy.topk(min(n, ids.shape[1]), dim=1, largest=False).indices
    now = torch.zeros_like(ids, dtype=torch.bool).scatter(1, surest, True) & (ids == mask)
    return torch.where(now, logits.argmax(dim=-1), ids)


RIGHT = {
    "chosen_places": [choose_by_loop, choose_by_least_of_row, choose_with_any],
    "corrupt_tokens": [corrupt_by_mask_fill, corrupt_by_cases, corrupt_on_a_copy],
    "masked_nats": [nats_by_gather, nats_with_ignored, nats_by_logsumexp],
    "noise_counts": [counts_with_ifs, counts_sorted],
    "corrupt_spans": [spans_by_groups, spans_with_iterator],
    "restore_spans": [restore_by_index, restore_recursively],
    "reveal": [reveal_by_loop, reveal_by_rank, reveal_one_by_one],
}
WRONG = {
    "chosen_places": [
        choose_places_not_mask,
        ("as long", choose_as_long, "wrong dtype"),
        choose_other_rows,
        choose_half_the_rate,
        choose_along_the_batch,
        choose_two_at_least,
        choose_not_eligible,
    ],
    "corrupt_tokens": [
        ("in place", corrupt_in_place, "in place"),
        corrupt_with_new_dice,
        corrupt_other_way_round,
        corrupt_mask_plus_one,
        corrupt_to_zero,
        ("bool", corrupt_the_mask_tensor, "wrong dtype"),
        corrupt_only_first_of_row,
    ],
    "masked_nats": [
        ("for each", nats_for_each, "wrong shape"),
        nats_default,
        nats_of_argmax,
        nats_squared,
        ("no gradient", nats_no_gradient, "gradient"),
        nats_naive,
        nats_chances,
    ],
    "noise_counts": [
        counts_swapped,
        counts_only_tokens,
        ("stays", counts_of_what_stays, "tokens: expected 15, got 85"),
        counts_as_floats,
        counts_15_percent,
        counts_multiplied,
        ("one span", counts_one_span, "spans: expected 5, got 1"),
    ],
    "corrupt_spans": [
        spans_source_only,
        spans_from_the_end,
        spans_second_sentinel_first,
        ("ends with the first", spans_ends_with_first, "target: expected [90, 3, 91], got [90, 3, 90]"),
        spans_source_ends_too,
        spans_reversed,
        spans_first_only,
        spans_token_lost,
    ],
    "restore_spans": [
        ("in source", restore_replaces_in_source, "changed its argument in place"),
        restore_keeps_last_sentinel,
        restore_source,
        restore_spans_only,
        restore_reversed_spans,
        restore_two_tokens,
        restore_leading_goes_first,
        restore_stops_at_a_gap,
    ],
    "reveal": [
        ("in place", reveal_in_place, "in place"),
        reveal_second_best,
        reveal_one_more,
        reveal_only_one,
        reveal_sure_tokens_only,
        reveal_others_to_zero,
        reveal_by_entropy,
    ],
}
