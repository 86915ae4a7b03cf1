"""Lab 09: right answers that differ from the reference, and wrong ones that no mistake names."""

import itertools

import numpy as np
import torch
from torch.nn import functional as F

from lablib.adaptation.chat import BEGIN, MARKERS, STOP, render
from lablib.adaptation.loss_mask import answer_mask, answer_nats
from lablib.adaptation.packing import block_mask, first_fit_decreasing, restart_positions

# ---------------------------------------------------------------- render


def render_with_appends(turns, tokenizer, reply=False):
    ids = []
    ids.append(tokenizer.special["<|bos|>"])
    for turn in turns:
        ids.append(tokenizer.special[f"<|{turn.role}|>"])
        ids.extend(tokenizer.encode(turn.text))
        ids.append(tokenizer.special["<|end|>"])
    if reply:
        ids.append(tokenizer.special["<|assistant|>"])
    return ids


def render_recursive(turns, tokenizer, reply=False):
    if not turns:
        return [tokenizer.special[BEGIN], *([tokenizer.special[MARKERS["assistant"]]] if reply else [])]
    *before, (role, text) = turns
    last = [tokenizer.special[MARKERS[role]], *tokenizer.encode(text, ()), tokenizer.special[STOP]]
    return render_recursive(before, tokenizer) + last + ([tokenizer.special[MARKERS["assistant"]]] if reply else [])


def render_only_markers_allowed(turns, tokenizer, reply=False):
    """The markers through `encode`, each by itself, and the texts as texts: also safe."""

    def marker(name):
        return tokenizer.encode(name, allowed_special=[name])

    rows = [marker(BEGIN)]
    rows += [marker(MARKERS[role]) + tokenizer.encode(text) + marker(STOP) for role, text in turns]
    rows += [marker(MARKERS["assistant"])] if reply else []
    return list(itertools.chain(*rows))


def render_text(turns, tokenizer, reply=False):
    return BEGIN + "".join(f"{MARKERS[role]}{text}{STOP}" for role, text in turns)


def render_nested(turns, tokenizer, reply=False):
    special = tokenizer.special
    ids = [[special[MARKERS[role]], *tokenizer.encode(text), special[STOP]] for role, text in turns]
    return [special[BEGIN], *ids]


def render_tensor(turns, tokenizer, reply=False):
    return torch.tensor(render(turns, tokenizer, reply))


def render_stop_at_the_very_end(turns, tokenizer, reply=False):
    special = tokenizer.special
    ids = [special[BEGIN]]
    for role, text in turns:
        ids += [special[MARKERS[role]], *tokenizer.encode(text)]
    return [*ids, special[STOP], *([special[MARKERS["assistant"]]] if reply else [])]


def render_pops(turns, tokenizer, reply=False):
    done = render(turns, tokenizer, reply)
    while turns:
        turns.pop()
    return done


def render_last_only(turns, tokenizer, reply=False):
    return render(turns[-1:], tokenizer, reply)


def render_lower_case(turns, tokenizer, reply=False):
    return render([turn._replace(text=turn.text.lower()) for turn in turns], tokenizer, reply)


def render_stop_before_reply_missing(turns, tokenizer, reply=False):
    ids = render(turns, tokenizer)
    return [*ids[:-1], tokenizer.special[MARKERS["assistant"]]] if reply else ids


def render_angle_brackets_escaped(turns, tokenizer, reply=False):
    return render([turn._replace(text=turn.text.replace("<|", "< |")) for turn in turns], tokenizer, reply)


def render_only_assistant_marker_safe(turns, tokenizer, reply=False):
    """Guards against `<|assistant|>` in a text, and forgets `<|end|>`."""
    special = tokenizer.special
    ids = [special[BEGIN]]
    for role, text in turns:
        ids += [special[MARKERS[role]], *tokenizer.encode(text, allowed_special=[STOP]), special[STOP]]
    return [*ids, special[MARKERS["assistant"]]] if reply else ids


def render_with_one_marker_allowed(turns, tokenizer, reply=False):
    """Only the user's marker can be forged: still a template that can be."""
    special = tokenizer.special
    ids = [special[BEGIN]]
    for role, text in turns:
        ids += [special[MARKERS[role]], *tokenizer.encode(text, ["<|user|>"]), special[STOP]]
    return [*ids, special[MARKERS["assistant"]]] if reply else ids


def render_without_the_padding_token(turns, tokenizer, reply=False):
    """What spells the padding token is cut out: a user's text is changed."""
    clean = [(role, text.replace("<|pad|>", "")) for role, text in turns]
    return render([type(turn)(*one) for turn, one in zip(turns, clean, strict=True)], tokenizer, reply)


# ---------------------------------------------------------------- answer_mask


def mask_by_search(ids, assistant, stop, skip=0):
    counts = [False] * len(ids)
    begins = [i for i, token in enumerate(ids) if token == assistant]
    for begin in begins[skip:]:
        end = next((i for i in range(begin, len(ids)) if ids[i] == stop), len(ids) - 1)
        for i in range(begin + 1, end + 1):
            counts[i] = True
    return counts


def mask_with_numpy(ids, assistant, stop, skip=0):
    if not ids:
        return []
    row = np.array(ids)
    answers = np.cumsum(row == assistant)
    began = np.concatenate(([0], answers[:-1]))  # assistant tokens before each place
    last = np.maximum.accumulate(np.where(row == assistant, np.arange(len(row)), -1))
    ends = np.cumsum(row == stop)
    before = np.concatenate(([0], ends[:-1]))  # stop tokens before each place
    at_begin = np.where(last >= 0, before[np.maximum(last, 0)], -1)
    return ((began > skip) & (row != assistant) & (before == at_begin)).tolist()


def mask_backwards_index(ids, assistant, stop, skip=0):
    found, answer, i = [], 0, 0
    while i < len(ids):
        if ids[i] != assistant:
            found.append(False)
            i += 1
            continue
        answer += 1
        found.append(False)
        i += 1
        while i < len(ids):
            found.append(answer > skip)
            i += 1
            if ids[i - 1] == stop:
                break
    return found


def mask_ints(ids, assistant, stop, skip=0):
    return [int(counts) for counts in answer_mask(ids, assistant, stop, skip)]


def mask_tensor(ids, assistant, stop, skip=0):
    return torch.tensor(answer_mask(ids, assistant, stop, skip))


def mask_tokens(ids, assistant, stop, skip=0):
    return [token for token, counts in zip(ids, answer_mask(ids, assistant, stop, skip), strict=True) if counts]


def mask_numbers_fixed(ids, assistant, stop, skip=0):
    return answer_mask(ids, 2, 3, skip)


def mask_from_first_user(ids, assistant, stop, skip=0):
    """All that stands behind the first assistant's marker, but for the markers."""
    begin = ids.index(assistant) if assistant in ids else len(ids)
    return [i > begin and token != assistant for i, token in enumerate(ids)]


def mask_consumes(ids, assistant, stop, skip=0):
    counts = answer_mask(ids, assistant, stop, skip)
    ids.clear()
    return counts


def mask_skips_last(ids, assistant, stop, skip=0):
    mask, answers = answer_mask(ids, assistant, stop), sum(token == assistant for token in ids)
    later = answer_mask(ids, assistant, stop, answers - skip)
    return [a and not b for a, b in zip(mask, later, strict=True)]


def mask_stop_index_error(ids, assistant, stop, skip=0):
    counts = [False] * len(ids)
    begins = [i for i, token in enumerate(ids) if token == assistant]
    for begin in begins[skip:]:
        end = ids.index(stop, begin)
        counts[begin + 1 : end + 1] = [True] * (end - begin)
    return counts


# ---------------------------------------------------------------- answer_nats


def nats_by_cleaning(logits, targets, counts):
    """What does not count is made harmless first."""
    each = F.cross_entropy(
        logits.float().masked_fill(~counts[..., None], 0.0).transpose(1, 2), targets.where(counts, 0), reduction="none"
    )
    return each.where(counts, 0.0).sum()


def nats_by_ignoring(logits, targets, counts):
    """The usual way of the libraries: what does not count gets the target −100. Its softmax is computed all the same."""
    wanted = targets.masked_fill(~counts, -100)
    return F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum")


def nats_by_gather(logits, targets, counts):
    log_probs = logits[counts].float().log_softmax(dim=-1)
    return -log_probs.gather(1, targets[counts].unsqueeze(1)).sum()


def nats_by_logsumexp(logits, targets, counts):
    chosen, wanted = logits[counts].float(), targets[counts]
    return (chosen.logsumexp(-1) - chosen[torch.arange(len(wanted)), wanted]).sum()


def nats_where(logits, targets, counts):
    each = F.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none")
    return torch.where(counts, each, 0.0).sum()


def nats_half_late(logits, targets, counts):
    return F.cross_entropy(logits[counts], targets[counts], reduction="sum").float()


def nats_item(logits, targets, counts):
    return answer_nats(logits, targets, counts).item()


def nats_detached_logits(logits, targets, counts):
    return answer_nats(logits.detach(), targets, counts) + 0 * logits[counts].float().sum()


def nats_exclusive_vocabulary(logits, targets, counts):
    return F.cross_entropy(logits[counts].float(), targets[counts], reduction="sum", label_smoothing=0.1)


def nats_first_row(logits, targets, counts):
    return answer_nats(logits[:1], targets[:1], counts[:1])


def nats_over_time(logits, targets, counts):
    log_probs = logits.float().log_softmax(dim=1)
    return -log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0][counts].sum()


def nats_mean_times_rows(logits, targets, counts):
    return answer_nats(logits, targets, counts) / counts.shape[0]


def nats_ends_only(logits, targets, counts):
    last = counts.clone()
    last[:, :-1] &= ~counts[:, 1:]
    return answer_nats(logits, targets, last)


# ---------------------------------------------------------------- first_fit_decreasing


def pack_by_pairs(lengths, T):
    for length in lengths:
        if length > T:
            raise ValueError(f"a conversation of length {length} does not fit into T = {T}")
    rows = []
    for length, number in sorted(((n, i) for i, n in enumerate(lengths)), key=lambda pair: (-pair[0], pair[1])):
        for row in rows:
            if sum(lengths[i] for i in row) + length <= T:
                row.append(number)
                break
        else:
            rows.append([number])
    return rows


def pack_by_buckets(lengths, T):
    if any(length > T for length in lengths):
        raise ValueError(f"lengths {[n for n in lengths if n > T]} are above T = {T}")
    rows, used = [], []
    for length in range(T, -1, -1):
        for number, own in enumerate(lengths):
            if own != length:
                continue
            for row in range(len(rows)):
                if used[row] + own <= T:
                    break
            else:
                row = len(rows)
                rows.append([])
                used.append(0)
            rows[row].append(number)
            used[row] += own
    return rows


def pack_by_numpy(lengths, T):
    lengths = np.array(lengths, dtype=int)
    if (lengths > T).any():
        raise ValueError(f"length {int(lengths.max())} > {T}")
    rows, room = [], np.zeros(0, dtype=int)
    for number in np.argsort(-lengths, kind="stable").tolist():
        free = np.flatnonzero(room >= lengths[number])
        if not len(free):
            rows.append([])
            room = np.append(room, T)
            free = [len(rows) - 1]
        rows[int(free[0])].append(number)
        room[free[0]] -= lengths[number]
    return rows


def pack_tuples(lengths, T):
    return [tuple(row) for row in first_fit_decreasing(lengths, T)]


def pack_flat(lengths, T):
    return [number for row in first_fit_decreasing(lengths, T) for number in row]


def pack_sorts_in_place(lengths, T):
    rows = first_fit_decreasing(lengths, T)
    lengths.sort(reverse=True)
    return rows


def pack_drops_long(lengths, T):
    kept = [i for i, n in enumerate(lengths) if n <= T]
    return [[kept[i] for i in row] for row in first_fit_decreasing([lengths[i] for i in kept], T)]


def pack_wordless(lengths, T):
    if lengths and max(lengths) > T:
        raise ValueError("too much")
    return first_fit_decreasing(lengths, T)


def pack_one_less(lengths, T):
    return first_fit_decreasing(lengths, T - 1) if not lengths or max(lengths) < T else first_fit_decreasing(lengths, T)


def pack_by_count(lengths, T):
    """Rows of as many conversations as the longest allows."""
    if lengths and max(lengths) > T:
        raise ValueError(f"length {max(lengths)}")
    each = max(1, T // max(lengths)) if lengths else 1
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[i : i + each] for i in range(0, len(order), each)]


def pack_empty_row(lengths, T):
    return first_fit_decreasing(lengths, T) or [[]]


def pack_mutating_default(lengths, T, rows=[]):  # noqa: B006  the rows of the last call are still there
    if lengths and max(lengths) > T:
        raise ValueError(f"length {max(lengths)}")
    rows += first_fit_decreasing(lengths, T)
    return rows[:]


# ---------------------------------------------------------------- block_mask


def block_by_loops(segments):
    B, T = segments.shape
    mask = torch.zeros(B, T, T, dtype=torch.bool, device=segments.device)
    if segments.is_meta:
        return mask
    for b in range(B):
        for t in range(T):
            for s in range(t + 1):
                mask[b, t, s] = bool(segments[b, t] == segments[b, s])
    return mask


def block_by_and(segments):
    T = segments.shape[1]
    place = torch.arange(T, device=segments.device)
    causal = place[:, None] >= place[None, :]
    return (segments.unsqueeze(2) == segments.unsqueeze(1)) & causal


def block_by_difference(segments):
    return torch.tril((segments.unsqueeze(-1) - segments.unsqueeze(-2)) == 0)


def block_ints(segments):
    return block_mask(segments).int()


def block_one_for_all(segments):
    return block_mask(segments)[0]


def block_smaller(segments):
    return (segments[:, :, None] < segments[:, None, :]).tril()


def block_turned_axes(segments):
    return block_mask(segments).mT


def block_same_place(segments):
    return torch.eye(segments.shape[1], dtype=torch.bool, device=segments.device).expand(len(segments), -1, -1)


def block_first_tokens(segments):
    """Everybody may also look at the row's first token."""
    mask = block_mask(segments).clone()
    mask[:, :, 0] = True
    return mask


def block_across_rows(segments):
    return (segments[:, :, None] == segments.flip(0)[:, None, :]).tril()


def block_on_cpu(segments):
    T = segments.shape[1]
    return (segments[:, :, None] == segments[:, None, :]) & torch.ones(T, T, dtype=torch.bool, device="cpu").tril()


# ---------------------------------------------------------------- restart_positions


def positions_by_loop(segments):
    out = torch.zeros_like(segments)
    for t in range(1, segments.shape[1]):
        same = segments[:, t] == segments[:, t - 1]
        out[:, t] = torch.where(same, out[:, t - 1] + 1, 0)
    return out


def positions_by_counting(segments):
    same = segments[:, :, None] == segments[:, None, :]
    return same.tril(-1).sum(-1)  # so many of the same conversation stand before


def positions_by_search(segments):
    place = torch.arange(segments.shape[1], device=segments.device)
    first = (segments[:, None, :] < segments[:, :, None]).sum(
        -1
    )  # numbers never fall: so many stand before its beginning
    return place - first


def positions_floats(segments):
    return restart_positions(segments).float()


def positions_two_for_all(segments):
    return restart_positions(segments)[0]


def positions_equal_lengths(segments):
    T, n = segments.shape[1], int(segments.max() - segments.min()) + 1
    return (torch.arange(T) % -(-T // n)).expand_as(segments)


def positions_normalised(segments):
    return restart_positions(segments).clamp(max=1)


def positions_in_place(segments):
    found = restart_positions(segments)
    segments.copy_(found)
    return segments


def positions_not_from_first(segments):
    """The first conversation is counted from 1, the others from 0."""
    found = restart_positions(segments).clone()
    found[segments == segments[:, :1]] += 1
    return found


def positions_on_columns(segments):
    return restart_positions(segments.mT.contiguous()).mT.contiguous()


def positions_end_included(segments):
    found = restart_positions(segments).clone()
    found[:, 1:][segments[:, 1:] != segments[:, :-1]] = 1
    return found


def mask_by_stop_tokens(ids, assistant, stop, skip=0):
    """Counts the answers by stop tokens, two for each: wrong behind a system's turn."""
    return [m and ids[:i].count(stop) // 2 >= skip for i, m in enumerate(answer_mask(ids, assistant, stop))]


def mask_skips_one_or_all(ids, assistant, stop, skip=0):
    return answer_mask(ids, assistant, stop, min(skip, 1)) if skip < 2 else [False] * len(ids)


def pack_says_only_that_they_must_fit(lengths, T):
    if lengths and max(lengths) > T:
        raise ValueError("lengths must fit")
    return first_fit_decreasing(lengths, T)


def block_by_lists(segments):
    rows = segments.tolist()
    allowed = [[[s <= t and row[t] == row[s] for s in range(len(row))] for t in range(len(row))] for row in rows]
    return torch.tensor(allowed, dtype=torch.bool, device=segments.device).view(*segments.shape, segments.shape[1])


def positions_by_unique(segments):
    rows = []
    for row in segments:
        _, counts = torch.unique_consecutive(row, return_counts=True)
        rows.append(torch.cat([torch.arange(int(n), device=row.device) for n in counts]) if len(row) else row)
    return torch.stack(rows) if rows else segments


RIGHT = {
    "render": [render_with_appends, render_recursive, render_only_markers_allowed],
    "answer_mask": [mask_by_search, mask_with_numpy, mask_backwards_index],
    "answer_nats": [nats_by_gather, nats_by_logsumexp, nats_by_cleaning],
    "first_fit_decreasing": [pack_by_pairs, pack_by_buckets, pack_by_numpy],
    "block_mask": [block_by_loops, block_by_and, block_by_difference, block_by_lists],
    "restart_positions": [positions_by_loop, positions_by_counting, positions_by_search, positions_by_unique],
}
WRONG = {
    "render": [
        ("a string", render_text, "expected"),
        ("nested", render_nested, "Entry 1: expected"),
        ("a tensor", render_tensor, "got int64 tensor"),
        ("one stop for all", render_stop_at_the_very_end, "and its answer"),
        ("list changed", render_pops, "changed the list in place"),
        render_last_only,
        render_lower_case,
        ("question not ended", render_stop_before_reply_missing, "reply=True"),
        ("escaped", render_angle_brackets_escaped, "spells the markers"),
        ("one marker", render_with_one_marker_allowed, "spells the markers"),
        ("padding cut out", render_without_the_padding_token, "spells the markers"),
        ("end can be forged", render_only_assistant_marker_safe, "spells the markers"),
    ],
    "answer_mask": [
        ("ints", mask_ints, "expected a bool"),
        ("a tensor", mask_tensor, "got bool tensor"),
        mask_tokens,
        ("fixed numbers", mask_numbers_fixed, "other numbers"),
        mask_from_first_user,
        ("list changed", mask_consumes, "changed the list in place"),
        ("skips the last", mask_skips_last, "skip=1"),
        ("by stop tokens", mask_by_stop_tokens, "system's turn"),
        ("none, one or all", mask_skips_one_or_all, "three answers"),
        ("no end, no answer", mask_stop_index_error, "cut off"),
    ],
    "answer_nats": [
        ("ignore_index", nats_by_ignoring, "0 · NaN"),
        ("where", nats_where, "0 · NaN"),
        ("half, then float", nats_half_late, "bfloat16"),
        ("a number", nats_item, "expected"),
        ("cut off", nats_detached_logits, "gradient"),
        nats_exclusive_vocabulary,
        nats_first_row,
        nats_over_time,
        nats_mean_times_rows,
        nats_ends_only,
    ],
    "first_fit_decreasing": [
        ("tuples", pack_tuples, "expected"),
        pack_flat,
        ("list changed", pack_sorts_in_place, "changed the list in place"),
        ("long ones dropped", pack_drops_long, "in silence"),
        ("error without the length", pack_wordless, "names the length 9"),
        ("they must fit", pack_says_only_that_they_must_fit, "names the length 9"),
        ("one less", pack_one_less, "expected"),
        pack_by_count,
        ("an empty row", pack_empty_row, "no conversation at all"),
        pack_mutating_default,
    ],
    "block_mask": [
        ("ints", block_ints, "wrong dtype"),
        ("one for all", block_one_for_all, "wrong shape"),
        block_smaller,
        block_turned_axes,
        block_same_place,
        block_first_tokens,
        ("across rows", block_across_rows, "two rows"),
        ("on the CPU", block_on_cpu, "device"),
    ],
    "restart_positions": [
        ("floats", positions_floats, "wrong dtype"),
        ("one for all", positions_two_for_all, "wrong shape"),
        positions_equal_lengths,
        positions_normalised,
        ("in place", positions_in_place, "in place"),
        positions_not_from_first,
        positions_on_columns,
        positions_end_included,
    ],
}
