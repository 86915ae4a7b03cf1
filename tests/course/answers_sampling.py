"""Lab 07, sampling and the cache: right answers that differ from the reference, and wrong ones that no mistake names."""

import math

import torch
from torch.nn import functional as F

from lablib.architecture.attention import causal_mask
from lablib.pretraining.fused_decoder import attend_cached
from lablib.pretraining.sampling import keep_min_p, keep_top_k, keep_top_p

# ---------------------------------------------------------------- scale_by_temperature


def temperature_times_inverse(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature must be positive")
    return logits * (1 / temperature)


def temperature_by_div(logits, temperature):
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}; take argmax instead")
    return torch.div(logits, temperature)


def temperature_by_row(logits, temperature):
    if temperature <= 0.0:
        raise ValueError(f"{temperature=}")
    return torch.stack([row / temperature for row in logits])


def temperature_root(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature")
    return logits / math.sqrt(temperature)


def temperature_ignored(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature")
    return logits.clone()


def temperature_wordless(logits, temperature):
    if temperature <= 0:
        raise ValueError("bad argument")
    return logits / temperature


def temperature_clamped(logits, temperature):
    return logits / max(temperature, 1e-3)


def temperature_asserted(logits, temperature):
    if temperature <= 0:
        raise RuntimeError("temperature must be positive")
    return logits / temperature


def temperature_centred(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature")
    return (logits - logits.amax(-1, keepdim=True)) / temperature


def temperature_rounded(logits, temperature):
    if temperature <= 0:
        raise ValueError("temperature")
    return (logits / temperature).round(decimals=2)


# ---------------------------------------------------------------- keep_top_k


def k_by_sorting(logits, k):
    if k <= 0:
        raise ValueError(f"{k=} leaves no token")
    V = logits.shape[-1]
    threshold = logits.sort(dim=-1).values[:, max(V - k, 0)]
    return torch.where(logits >= threshold[:, None], logits, -torch.inf)


def k_by_kthvalue(logits, k):
    if k < 1:
        raise ValueError("k must be at least 1")
    V = logits.shape[1]
    if k >= V:
        return logits.clone()
    return logits.masked_fill(logits < logits.kthvalue(V - k + 1, dim=1, keepdim=True).values, float("-inf"))


def k_by_counting(logits, k):
    if k < 1:
        raise ValueError(f"k is {k}")
    larger = (logits[:, None, :] > logits[:, :, None]).sum(-1)  # how many beat each token
    return logits.masked_fill(larger >= k, -torch.inf)


def k_one_more(logits, k):
    return keep_top_k(logits, k + 1 if k > 0 else k)


def k_one_less(logits, k):
    return keep_top_k(logits, max(k - 1, 1) if k > 0 else k)


def k_share(logits, k):
    return keep_top_k(logits, max(1, logits.shape[-1] * k // 100) if k > 0 else k)


def k_nothing(logits, k):
    if k < 1:
        raise ValueError("k")
    return logits.clone()


def k_by_size(logits, k):
    if k < 1:
        raise ValueError("k")
    sizes = logits.abs()
    return logits.masked_fill(sizes < sizes.topk(min(k, logits.shape[-1])).values[:, -1:], -torch.inf)


def k_first_places(logits, k):
    if k < 1:
        raise ValueError("k")
    return logits.masked_fill(torch.arange(logits.shape[-1]) >= k, -torch.inf)


def k_columns(logits, k):
    if k < 1:
        raise ValueError("k")
    return logits.masked_fill(logits < logits.topk(min(k, logits.shape[0]), dim=0).values[-1:], -torch.inf)


def k_plus_inf(logits, k):
    return keep_top_k(logits, k).nan_to_num(neginf=torch.inf, posinf=torch.inf)


def k_nan(logits, k):
    kept = keep_top_k(logits, k)
    return kept.masked_fill(kept == -torch.inf, torch.nan)


# ---------------------------------------------------------------- keep_top_p


def p_by_shifting(logits, p):
    if p <= 0 or p > 1:
        raise ValueError(f"{p=} is no probability above 0")
    ranked, order = torch.sort(logits, descending=True, dim=-1, stable=True)
    remove = ranked.softmax(-1).cumsum(-1) >= p
    remove = torch.cat((torch.zeros_like(remove[:, :1]), remove[:, :-1]), dim=-1)  # one place later
    if p == 1:
        remove = torch.zeros_like(remove)
    return logits.masked_fill(remove.gather(-1, order.argsort(-1)), -torch.inf)


def p_by_loop(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p must lie above 0 and not above 1")
    out = torch.full_like(logits, -math.inf)
    if logits.is_meta or p == 1:
        return logits.clone()
    for row, probabilities in enumerate(logits.softmax(-1).tolist()):
        total = 0.0
        for token in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
            if total >= p:
                break
            out[row, token] = logits[row, token]
            total += probabilities[token]
    return out


def p_by_pairs(logits, p):
    if not (p > 0 and p <= 1):
        raise ValueError(f"p = {p}")
    if p == 1:
        return logits.clone()
    chances = logits.softmax(-1)
    numbers = torch.arange(logits.shape[-1], device=logits.device)
    larger = chances[:, None, :] > chances[:, :, None]
    earlier = (chances[:, None, :] == chances[:, :, None]) & (numbers[None, None, :] < numbers[None, :, None])
    before = (chances[:, None, :] * (larger | earlier)).sum(-1)  # (B, V)
    return logits.masked_fill(before >= p, -torch.inf)


def p_of_the_best(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p")
    return keep_min_p(logits, p)


def p_as_k(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p")
    return keep_top_k(logits, max(1, round(p * logits.shape[-1])))


def p_first_row(logits, p):
    kept = keep_top_p(logits, p)
    return logits.masked_fill(kept[0] == -torch.inf, -torch.inf)


def p_at_most(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p")
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    outside = ranked.softmax(-1).cumsum(-1) > p
    outside[:, 0] = False  # saved from the empty set, but the crossing token is still lost
    return logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf) if p < 1 else logits.clone()


def p_two_at_least(logits, p):
    kept, two = keep_top_p(logits, p), keep_top_k(logits, 2)
    return torch.maximum(kept, two)


def p_sum_over_batch(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p")
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)
    chances = ranked.softmax(-1)
    outside = chances.cumsum(0) - chances >= p
    return logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf) if p < 1 else logits.clone()


def p_larger_numbers_first(logits, p):
    return keep_top_p(logits.flip(-1), p).flip(-1)


def p_normalised_by_sum(logits, p):
    kept = keep_top_p(logits, p)
    return kept / kept.exp().sum(-1, keepdim=True)


def p_percent(logits, p):
    if p <= 0:
        raise ValueError("p")
    return keep_top_p(logits, min(1.0, p / 100 if p > 1 else p))


def p_square(logits, p):
    return keep_top_p(logits, p * p if 0 < p <= 1 else p)


# ---------------------------------------------------------------- attend_cached


def cache_by_formula(q, k, v, keys, values, start, mask=None):
    T = q.shape[2]
    S = start + T
    keys[:, :, start:S] = k
    values[:, :, start:S] = v
    share = q.shape[1] // k.shape[1]
    all_k = keys[:, :, :S].repeat_interleave(share, dim=1)
    all_v = values[:, :, :S].repeat_interleave(share, dim=1)
    scores = q @ all_k.mT / q.shape[-1] ** 0.5
    if mask is None:
        mask = causal_mask(T, S, q.device)
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ all_v


def cache_by_narrow(q, k, v, keys, values, start, mask=None):
    T = q.shape[2]
    keys.narrow(2, start, T).copy_(k)
    values.narrow(2, start, T).copy_(v)
    if mask is None:
        places = torch.arange(start + T, device=q.device)
        mask = places[None, :] <= places[start:, None]
    share = q.shape[1] // k.shape[1]
    far = [x.narrow(2, 0, start + T).repeat_interleave(share, dim=1) for x in (keys, values)]
    return F.scaled_dot_product_attention(q, *far, attn_mask=mask)


def cache_token_by_token(q, k, v, keys, values, start, mask=None):
    found = []
    for t in range(q.shape[2]):
        look = None
        if mask is not None:
            rows = mask.expand(*mask.shape[:-2], q.shape[2], mask.shape[-1])
            look = rows[..., t : t + 1, :]
        if mask is not None:  # a mask speaks of all S places: all new ones must be there
            keys[:, :, start : start + q.shape[2]], values[:, :, start : start + q.shape[2]] = k, v
            S = start + q.shape[2]
        else:
            S = start + t + 1
            keys[:, :, S - 1], values[:, :, S - 1] = k[:, :, t], v[:, :, t]
        grouped = k.shape[1] < q.shape[1]
        found.append(
            F.scaled_dot_product_attention(
                q[:, :, t : t + 1], keys[:, :, :S], values[:, :, :S], look, enable_gqa=grouped
            )
        )
    return torch.cat(found, dim=2)


def cache_swapped(q, k, v, keys, values, start, mask=None):
    return attend_cached(q, v, k, keys, values, start, mask)


def cache_returns_pair(q, k, v, keys, values, start, mask=None):
    return attend_cached(q, k, v, keys, values, start, mask), keys


def cache_returns_keys(q, k, v, keys, values, start, mask=None):
    attend_cached(q, k, v, keys, values, start, mask)
    return keys[:, :, : start + q.shape[2]]


def cache_added(q, k, v, keys, values, start, mask=None):
    S = start + q.shape[2]
    return attend_cached(q, k + keys[:, :, start:S], v + values[:, :, start:S], keys, values, start, mask)


def cache_mean(q, k, v, keys, values, start, mask=None):
    attend_cached(q, k, v, keys, values, start, mask)
    S, share = start + q.shape[2], q.shape[1] // k.shape[1]
    return values[:, :, :S].mean(2, keepdim=True).repeat_interleave(share, dim=1).expand_as(q).clone()


def cache_forgets_the_first(q, k, v, keys, values, start, mask=None):
    found = attend_cached(q, k, v, keys, values, start, mask)
    keys[:, :, 0], values[:, :, 0] = 0, 0
    return found


def cache_filled_up(q, k, v, keys, values, start, mask=None):
    found = attend_cached(q, k, v, keys, values, start, mask)
    keys[:, :, start + q.shape[2] :] = 0
    return found


def cache_last_token_only(q, k, v, keys, values, start, mask=None):
    return attend_cached(q, k, v, keys, values, start, mask)[:, :, -1:]


def cache_key_as_value(q, k, v, keys, values, start, mask=None):
    S = start + q.shape[2]
    keys[:, :, start:S], values[:, :, start:S] = k, v
    if mask is None and q.shape[2] > 1:
        mask = causal_mask(q.shape[2], S, q.device)
    return F.scaled_dot_product_attention(q, keys[:, :, :S], keys[:, :, :S], mask, enable_gqa=k.shape[1] < q.shape[1])


def cache_scaled_twice(q, k, v, keys, values, start, mask=None):
    return attend_cached(q / q.shape[-1] ** 0.5, k, v, keys, values, start, mask)


RIGHT = {
    "scale_by_temperature": [temperature_times_inverse, temperature_by_div, temperature_by_row],
    "keep_top_k": [k_by_sorting, k_by_kthvalue, k_by_counting],
    "keep_top_p": [p_by_shifting, p_by_loop, p_by_pairs],
    "attend_cached": [cache_by_formula, cache_by_narrow, cache_token_by_token],
}
WRONG = {
    "scale_by_temperature": [
        temperature_root,
        temperature_ignored,
        ("error without the name", temperature_wordless, "whose message names the temperature"),
        temperature_clamped,
        ("another error", temperature_asserted, "Expected a ValueError"),
        temperature_centred,
        temperature_rounded,
    ],
    "keep_top_k": [
        k_one_more,
        k_one_less,
        k_share,
        k_nothing,
        k_by_size,
        k_first_places,
        k_columns,
        k_plus_inf,
        ("nan", k_nan, "the result[0, 2]"),
    ],
    "keep_top_p": [
        p_of_the_best,
        p_as_k,
        p_first_row,
        ("at most p", p_at_most, "the result[0, 0] is infinite"),
        p_two_at_least,
        p_sum_over_batch,
        ("larger numbers first", p_larger_numbers_first, "four reach it exactly"),
        p_normalised_by_sum,
        ("percent", p_percent, "p = 90"),
        p_square,
    ],
    "attend_cached": [
        cache_swapped,
        ("a pair", cache_returns_pair, "expected"),
        cache_returns_keys,
        cache_added,
        cache_mean,
        ("first forgotten", cache_forgets_the_first, "the cache of keys"),
        ("filled up", cache_filled_up, "the cache of keys"),
        ("last only", cache_last_token_only, "wrong shape"),
        cache_key_as_value,
        ("scaled twice", cache_scaled_twice, "expected"),
    ],
}
