"""Lab 07, its section on writing: the exercises of `lablib.pretraining.sampling` and the cache of `fused_decoder`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.architecture.attention import causal_mask
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed
from lablib.pretraining.fused_decoder import attend_cached
from lablib.pretraining.sampling import keep_top_k, keep_top_p

SAMPLING = "lablib.pretraining.sampling"
IN_PLACE = "The caller still needs its tensor: avoid `x += …`, `x[…] = …` and methods that end in `_` on arguments."
ZERO = "Tokens that may not be chosen got the logit 0, and exp(0) = 1 is no small share: it must be −∞."
FINITE = (
    "Tokens that may not be chosen got a very negative number: expected −∞ (`-torch.inf`), which stays −∞ at every temperature "
    "and can be told from a token that is merely unlikely."
)
NORMALISED = (
    "Log-probabilities were returned: leave the logits that stay as they were; one softmax at the end normalises."
)
PROBABILITIES = "Probabilities were returned: expected logits; the softmax comes once, at the very end."
BATCH = "The rows of the batch were mixed: each row is a distribution of its own, so work along dim=-1."


def _refuses(value: float, word: str) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: for this value a ValueError is raised that names the argument."""

    def holds(implementation: Implementation) -> bool:
        try:
            implementation(torch.ones(1, 3), value)
        except ValueError as error:
            return word in str(error)
        except RuntimeError:
            return False
        return False

    return holds


# ---------------------------------------------------------------- 1 temperature

NO_CHECK_T = (
    "A temperature of 0 or below was taken: raise a ValueError that names the temperature; at 0 one would divide by 0."
)


def check_scale_by_temperature(attempt: Attempt) -> None:
    logits = attempt.normal(2, 5, scale=2.0)
    attempt.compare("logits (2, 5), temperature 0.5", logits, 0.5, axes="BV")
    attempt.compare("logits (2, 5), temperature 3", logits, 3.0, axes="BV")
    attempt.compare("logits (2, 5), temperature 1", logits, 1.0, axes="BV")
    attempt.compare("a token that is out of the race (logit −∞)", torch.tensor([[1.0, -torch.inf, 0.5]]), 0.7)
    attempt.compare("logits of 300 and more, temperature 0.5", 300 + logits, 0.5)
    attempt.keeps_type_and_device(logits, 0.8)
    for wrong in (0.0, -1.0):
        lines = [f"Tried with temperature = {wrong}.", "Expected a ValueError whose message names the temperature."]
        attempt.require(_refuses(wrong, "temperature"), lines, NO_CHECK_T)


def _checked(temperature: float) -> float:
    if temperature <= 0:
        raise ValueError(f"temperature = {temperature}")
    return temperature


def _temperature_multiplied(logits: Tensor, temperature: float) -> Tensor:
    return logits * _checked(temperature)


def _temperature_after_softmax(logits: Tensor, temperature: float) -> Tensor:
    return logits.softmax(-1) / _checked(temperature)


def _temperature_softmaxed(logits: Tensor, temperature: float) -> Tensor:
    return (logits / _checked(temperature)).softmax(-1)


def _temperature_log_softmaxed(logits: Tensor, temperature: float) -> Tensor:
    return (logits / _checked(temperature)).log_softmax(-1)


def _temperature_power(logits: Tensor, temperature: float) -> Tensor:
    return logits ** (1 / _checked(temperature))


def _temperature_unchecked(logits: Tensor, temperature: float) -> Tensor:
    return logits / temperature


def _temperature_greedy_at_zero(logits: Tensor, temperature: float) -> Tensor:
    if temperature <= 0:
        return logits.masked_fill(logits < logits.amax(-1, keepdim=True), -torch.inf)
    return logits / temperature


def _temperature_subtracted(logits: Tensor, temperature: float) -> Tensor:
    return logits - _checked(temperature)


def _temperature_in_place(logits: Tensor, temperature: float) -> Tensor:
    logits /= _checked(temperature)
    return logits


# ---------------------------------------------------------------- 2 top-k

NO_CHECK_K = "k = 0 was taken: no token would be left to choose, so raise a ValueError that names k."


def check_keep_top_k(attempt: Attempt) -> None:
    logits = torch.tensor([[2.5, 3.0, 2.0, -1.0, 0.5], [0.2, -2.0, 5.0, 4.0, 4.5]])
    attempt.compare("two rows of five logits, k = 2", logits, 2, axes="BV")
    attempt.compare("two rows of five logits, k = 1", logits, 1, axes="BV")
    attempt.compare("negative logits, k = 2", torch.tensor([[-5.0, -3.0, -4.0, -9.0]]), 2)
    attempt.compare(
        "logits [2, 1, 2, 0, 1], k = 3: a tie for the third place", torch.tensor([[2.0, 1.0, 2.0, 0.0, 1.0]]), 3
    )
    attempt.compare("a token that is out of the race already, k = 2", torch.tensor([[1.0, -torch.inf, 0.5, 0.7]]), 2)
    attempt.compare("logits (3, 40), k = 7", attempt.normal(3, 40, scale=3.0), 7)
    attempt.compare("five tokens, k = 5", logits, 5)
    attempt.compare("five tokens, k = 50: more than there are", logits, 50)
    attempt.keeps_type_and_device(logits, 3)
    lines = ["Tried with k = 0.", "Expected a ValueError whose message names k."]
    attempt.require(_refuses(0, "k"), lines, NO_CHECK_K)


def _k_checked(k: int, V: int) -> int:
    if k < 1:
        raise ValueError(f"k = {k}")
    return min(k, V)


def _kth(logits: Tensor, k: int) -> Tensor:
    return logits.topk(_k_checked(k, logits.shape[-1])).values[:, -1:]


def _k_filled(fill: float) -> Implementation:
    return lambda logits, k: logits.masked_fill(logits < _kth(logits, k), fill)


def _k_strict(logits: Tensor, k: int) -> Tensor:
    return logits.masked_fill(logits <= _kth(logits, k), -torch.inf)


def _k_least(logits: Tensor, k: int) -> Tensor:
    return -keep_top_k(-logits, k).nan_to_num(posinf=torch.inf, neginf=torch.inf) if k >= 1 else keep_top_k(logits, k)


def _k_tie_broken(logits: Tensor, k: int) -> Tensor:
    best = logits.topk(_k_checked(k, logits.shape[-1])).indices
    return torch.full_like(logits, -torch.inf).scatter(-1, best, logits.gather(-1, best))


def _k_ranked(logits: Tensor, k: int) -> Tensor:
    ranked = logits.sort(-1, descending=True).values
    return ranked.masked_fill(torch.arange(logits.shape[-1]) >= _k_checked(k, logits.shape[-1]), -torch.inf)


def _k_only(logits: Tensor, k: int) -> Tensor:
    return logits.topk(_k_checked(k, logits.shape[-1])).values


def _k_first_row(logits: Tensor, k: int) -> Tensor:
    return logits.masked_fill(logits < _kth(logits, k)[0], -torch.inf)


def _k_whole_batch(logits: Tensor, k: int) -> Tensor:
    return logits.masked_fill(logits < logits.flatten().topk(_k_checked(k, logits.numel())).values[-1], -torch.inf)


def _k_probabilities(logits: Tensor, k: int) -> Tensor:
    return keep_top_k(logits, k).softmax(-1)


def _k_normalised(logits: Tensor, k: int) -> Tensor:
    return keep_top_k(logits, k).log_softmax(-1)


def _k_too_many(logits: Tensor, k: int) -> Tensor:
    if k < 1:
        raise ValueError(f"k = {k}")
    return logits.masked_fill(logits < logits.topk(k).values[:, -1:], -torch.inf)


def _k_unchecked(logits: Tensor, k: int) -> Tensor:
    return keep_top_k(logits, max(k, 1))


def _k_in_place(logits: Tensor, k: int) -> Tensor:
    logits[logits < _kth(logits, k)] = -torch.inf
    return logits


# ---------------------------------------------------------------- 3 top-p

NO_CHECK_P = "A p outside (0, 1] was taken: raise a ValueError that names p (p = 90 was meant as 0.9, p = 0 would leave nothing)."


def check_keep_top_p(attempt: Attempt) -> None:
    logits = torch.tensor([[0.2, 0.55, 0.1, 0.15], [0.3, 0.1, 0.35, 0.25]]).log()
    attempt.compare("probabilities (0.2, 0.55, 0.1, 0.15) and (0.3, 0.1, 0.35, 0.25), p = 0.6", logits, 0.6, axes="BV")
    attempt.compare("the same two rows, p = 0.5: the first token alone has more in one of them", logits, 0.5, axes="BV")
    attempt.compare("the same two rows, p = 0.01", logits, 0.01)
    attempt.compare("eight tokens of probability 1/8 each, p = 0.5: four reach it exactly", torch.ones(1, 8), 0.5)
    attempt.compare("logits of 50 and more, not normalised, p = 0.9", 50 + attempt.normal(3, 30, scale=2.0), 0.9)
    attempt.compare(
        "a token that is out of the race already, p = 0.8", torch.tensor([[1.0, -torch.inf, 0.5, 0.7]]), 0.8
    )
    attempt.compare("the two rows, p = 1", logits, 1.0)
    attempt.keeps_type_and_device(logits, 0.7)
    for wrong in (0.0, 90.0):
        lines = [f"Tried with p = {wrong:g}.", "Expected a ValueError whose message names p."]
        attempt.require(_refuses(wrong, "p"), lines, NO_CHECK_P)


def _nucleus(
    outside: Callable[[Tensor, float], Tensor],
    back: Callable[[Tensor, Tensor], Tensor] = lambda outside, order: outside.scatter(-1, order, outside),
    fill: float = -torch.inf,
    descending: bool = True,
    dim: int = -1,
) -> Implementation:
    """Top-p with a part replaced. outside: from ranked probabilities and p to what is cut; back: from ranks to token numbers."""

    def keep(logits: Tensor, p: float) -> Tensor:
        if not 0 < p <= 1:
            raise ValueError(f"p = {p}")
        ranked, order = logits.sort(dim=dim, descending=descending, stable=True)
        cut = outside(ranked.softmax(dim), p) if p < 1 else torch.zeros_like(logits, dtype=torch.bool)
        return logits.masked_fill(back(cut, order), fill)

    return keep


def _right(probabilities: Tensor, p: float) -> Tensor:
    return probabilities.cumsum(-1) - probabilities >= p


_p_crossing_dropped = _nucleus(lambda probabilities, p: probabilities.cumsum(-1) > p)
_p_border = _nucleus(lambda probabilities, p: probabilities.cumsum(-1) - probabilities > p)
_p_one_more = _nucleus(
    lambda probabilities, p: probabilities.cumsum(-1) - probabilities - probabilities.roll(1, -1) >= p
)
_p_not_unsorted = _nucleus(_right, back=lambda outside, order: outside)
_p_gathered = _nucleus(_right, back=lambda outside, order: outside.gather(-1, order))
_p_zero, _p_finite = _nucleus(_right, fill=0.0), _nucleus(_right, fill=-1e9)
_p_ascending = _nucleus(_right, descending=False)
_p_threshold = _nucleus(lambda probabilities, p: probabilities < p)
_p_tail = _nucleus(lambda probabilities, p: probabilities.cumsum(-1) - probabilities >= 1 - p)


def _p_checked(p: float) -> float:
    if not 0 < p <= 1:
        raise ValueError(f"p = {p}")
    return p


def _p_no_softmax(logits: Tensor, p: float) -> Tensor:
    ranked, order = logits.sort(-1, descending=True)
    outside = ranked.cumsum(-1) - ranked >= _p_checked(p)
    return logits.masked_fill(outside.scatter(-1, order, outside), -torch.inf) if p < 1 else logits


def _p_ranked(logits: Tensor, p: float) -> Tensor:
    return keep_top_p(logits, p).sort(-1, descending=True).values


def _p_normalised(logits: Tensor, p: float) -> Tensor:
    return keep_top_p(logits, p).log_softmax(-1)


def _p_probabilities(logits: Tensor, p: float) -> Tensor:
    return keep_top_p(logits, p).softmax(-1)


def _p_ties_kept(logits: Tensor, p: float) -> Tensor:
    kept = keep_top_p(logits, p)
    smallest = kept.masked_fill(kept == -torch.inf, torch.inf).amin(-1, keepdim=True)
    return logits.masked_fill(logits < smallest, -torch.inf)


def _p_unchecked(logits: Tensor, p: float) -> Tensor:
    return keep_top_p(logits, min(max(p, 1e-9), 1.0))


def _p_in_place(logits: Tensor, p: float) -> Tensor:
    logits[keep_top_p(logits, p) == -torch.inf] = -torch.inf
    return logits


# ---------------------------------------------------------------- 4 the cache


def _with_cache(implementation: Implementation) -> Callable[..., Any]:
    """Calls it with a cache of its own, and returns that beside the result."""

    def call(
        q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
    ) -> Any:
        keys, values, before = keys.clone(), values.clone(), [x.clone() for x in (q, k, v)]
        result = implementation(q, k, v, keys, values, start, mask)
        for name, old, new in zip("qkv", before, (q, k, v), strict=True):
            if not (new.is_meta or torch.equal(old, new)):
                raise NotPassed(
                    [f"Your code changed {name} in place."], "Only `keys` and `values` are to be written into."
                )
        return result, keys, values

    return call


def check_attend_cached(attempt: Attempt) -> None:
    def case(words: str, H: int, kv: int, T: int, start: int, max_T: int, mask: Tensor | None = None) -> None:
        try:
            attempt.compare(
                words, *given(H, kv, T, start, max_T), mask, setup=_with_cache, outputs=outputs, axes="BHTK"
            )
        except NotPassed as failure:
            if failure.lines[0].startswith("Tried with"):
                raise
            raise NotPassed([f"Tried with {words}.", *failure.lines], failure.cause) from None

    def given(H: int, kv: int, T: int, start: int, max_T: int) -> tuple[Any, ...]:
        cache = attempt.normal(2, 2, kv, max_T, 4)  # what lies behind `start` is what another text left there
        return attempt.normal(2, H, T, 4), attempt.normal(2, kv, T, 4), attempt.normal(2, kv, T, 4), *cache, start

    outputs = ("the result", "the cache of keys", "the cache of values")
    case("one new token, start = 3, in a cache of 6 places", 2, 2, 1, 3, 6)
    case("the first three tokens of a text, start = 0, in a cache of 6 places", 2, 2, 3, 0, 6)
    case("two new tokens at once, start = 3, in a cache of 6 places", 2, 2, 2, 3, 6)
    case("one new token that is the last to fit, start = 5 of 6 places", 2, 2, 1, 5, 6)
    case("four heads of queries that share two of keys and values, one new token, start = 2", 4, 2, 1, 2, 5)
    padding = torch.tensor([[True, True, True, True], [False, False, True, True]])[:, None, None]  # (B, 1, 1, S)
    case("a bool mask, one row padded: one new token, start = 3", 2, 2, 1, 3, 6, padding)
    added = torch.zeros(2, 1, 1, 4).masked_fill(~padding, -torch.inf)
    case("a float mask to add to the scores, one row padded: one new token, start = 3", 2, 2, 1, 3, 6, added)
    case("a bool mask of (T, S): two new tokens, start = 2", 2, 2, 2, 2, 6, torch.ones(2, 4, dtype=torch.bool))
    attempt.keeps_type_and_device(*given(2, 2, 1, 3, 6), setup=_with_cache, outputs=outputs)


def _attend(
    place: Callable[[int, int], tuple[int, int]] = lambda start, S: (start, S),
    seen: Callable[[int, int], tuple[int, int]] = lambda start, S: (0, S),
    look: Callable[[int, int], Tensor | None] = causal_mask,
    written: tuple[bool, bool] = (True, True),
    scale: float | None = None,
) -> Implementation:
    """The decode step with one part replaced: where it writes, which places it reads, who looks where, what it writes."""

    def attend(
        q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
    ) -> Tensor:
        T, S = q.shape[2], start + q.shape[2]
        a, b = place(start, S)
        if written[0]:
            keys[:, :, a:b] = k
        if written[1]:
            values[:, :, a:b] = v
        if mask is None and T > 1:
            mask = look(T, S)
        c, d = seen(start, S)
        grouped = k.shape[1] < q.shape[1]
        return F.scaled_dot_product_attention(
            q, keys[:, :, c:d], values[:, :, c:d], mask, scale=scale, enable_gqa=grouped
        )

    return attend


_cache_overwritten = _attend(place=lambda start, S: (0, S - start))
_cache_late = _attend(place=lambda start, S: (start + 1, S + 1))
_cache_no_values = _attend(written=(True, False))
_cache_no_keys = _attend(written=(False, True))
_cache_nothing_written = _attend(written=(False, False))
_cache_new_only = _attend(seen=lambda start, S: (start, S), look=lambda T, S: causal_mask(T))
_cache_not_itself = _attend(seen=lambda start, S: (0, max(start, 1)), look=lambda T, S: None)
_cache_future = _attend(look=lambda T, S: None)
_cache_top_left = _attend(look=lambda T, S: torch.ones(T, S, dtype=torch.bool).tril())
_cache_unscaled = _attend(scale=1.0)


def _cache_whole(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
) -> Tensor:
    S, max_T = start + q.shape[2], keys.shape[2]
    keys[:, :, start:S], values[:, :, start:S] = k, v
    if mask is None and q.shape[2] > 1:
        mask = F.pad(causal_mask(q.shape[2], S), (0, max_T - S), value=True)
    return F.scaled_dot_product_attention(q, keys, values, mask, enable_gqa=k.shape[1] < q.shape[1])


def _cache_joined(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
) -> Tensor:
    return attend_cached(q, k, v, keys.clone(), values.clone(), start, mask)


def _cache_mask_ignored(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
) -> Tensor:
    return attend_cached(q, k, v, keys, values, start)


def _cache_heads_in_turn(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
) -> Tensor:
    kv = k.shape[1]
    mixed = q.unflatten(1, (-1, kv)).transpose(1, 2).flatten(1, 2)  # as if head h had keys h mod kv
    found = attend_cached(mixed, k, v, keys, values, start, mask)
    return found.unflatten(1, (kv, -1)).transpose(1, 2).flatten(1, 2)


def _cache_ungrouped(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, start: int, mask: Tensor | None = None
) -> Tensor:
    S = start + q.shape[2]
    keys[:, :, start:S], values[:, :, start:S] = k, v
    if mask is None and q.shape[2] > 1:
        mask = causal_mask(q.shape[2], S, q.device)
    return F.scaled_dot_product_attention(q, keys[:, :, :S], values[:, :, :S], mask)


EXERCISES = [
    Exercise(
        lab="07",
        target=f"{SAMPLING}:scale_by_temperature",
        title="Temperature",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "Softmax sees differences between logits only. What makes all of them twice as large?",
            "The ratio of two probabilities is exp(difference of their logits). With all logits divided, it gets the power 1/temperature.",
            "`return logits / temperature`, after a line that raises a ValueError unless `temperature > 0`.",
        ),
        reasoning="A division, and the whole family from greedy (temperature → 0) over the model's own distribution (1) to blind "
        "chance (→ ∞). The name is from physics: p ∝ exp(−energy/temperature), and a logit is an energy with its sign turned. "
        "0 itself is refused, since it is no distribution but a choice: `argmax`.",
        check=check_scale_by_temperature,
        mistakes=(
            Mistake(
                "multiplied",
                _temperature_multiplied,
                "The logits were multiplied: a *high* temperature must make them more alike, so divide.",
            ),
            Mistake(
                "after softmax",
                _temperature_after_softmax,
                "The temperature came after the softmax: probabilities divided by a number no longer sum to 1, and their order of "
                "size says the same as before. Divide the logits.",
            ),
            Mistake("softmaxed", _temperature_softmaxed, PROBABILITIES),
            Mistake("normalised", _temperature_log_softmaxed, NORMALISED),
            Mistake(
                "power",
                _temperature_power,
                "The logits got the power 1/temperature: it is the *probabilities* that do, and for their logarithms that is a division.",
            ),
            Mistake(
                "subtracted",
                _temperature_subtracted,
                "The temperature was subtracted: softmax sees only differences of logits, so that changes nothing.",
            ),
            Mistake("in place", _temperature_in_place, IN_PLACE),
            Mistake("unchecked", _temperature_unchecked, NO_CHECK_T),
            Mistake("greedy at zero", _temperature_greedy_at_zero, NO_CHECK_T),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{SAMPLING}:keep_top_k",
        title="Top-k",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "You need one number of each row: the logit of its k-th likeliest token. Everything below it goes.",
            "`logits.topk(k).values` has the k largest of each row, largest first. Keep an axis, so that each row meets its own number, "
            "and mind a k larger than V.",
            "`smallest = logits.topk(min(k, logits.shape[-1])).values[:, -1:]`, then `logits.masked_fill(logits < smallest, -torch.inf)`.",
        ),
        reasoning="A comparison with the k-th value needs no second indexing, and says by itself what happens to a tie: all tokens as "
        "likely as the k-th stay. (In `transformers` it is the same.) −∞, not 0: the logits go into a softmax, and exp(−∞) "
        "is exactly 0. k is the same whether the model is certain or has no idea; top-p was made for that.",
        check=check_keep_top_k,
        mistakes=(
            Mistake("zero", _k_filled(0.0), ZERO),
            Mistake("finite", _k_filled(-1e9), FINITE),
            Mistake(
                "strict",
                _k_strict,
                "The k-th token itself was cut: k tokens stay, so cut only what is *below* the k-th.",
            ),
            Mistake("least", _k_least, "The k least likely tokens were kept: the largest logits are the likeliest."),
            Mistake(
                "ranked",
                _k_ranked,
                "The logits came back in the order of their size: each must stay at the place of its token.",
            ),
            Mistake("only k", _k_only, "Only k logits came back: expected all V, with −∞ at the others."),
            Mistake("first row", _k_first_row, BATCH),
            Mistake("whole batch", _k_whole_batch, BATCH),
            Mistake("probabilities", _k_probabilities, PROBABILITIES),
            Mistake("normalised", _k_normalised, NORMALISED),
            Mistake(
                "tie broken",
                _k_tie_broken,
                "Of two tokens that are equally likely, one was kept and one cut: there is no reason for that, so both stay.",
            ),
            Mistake(
                "too many",
                _k_too_many,
                "k was larger than the vocabulary: then all tokens stay; `min(k, logits.shape[-1])`.",
            ),
            Mistake("in place", _k_in_place, IN_PLACE),
            Mistake("unchecked", _k_unchecked, NO_CHECK_K),
        ),
    ),
    Exercise(
        lab="07",
        target=f"{SAMPLING}:keep_top_p",
        title="Top-p, the nucleus",
        difficulty=4,
        importance=5,
        minutes=20,
        hints=(
            "Put the tokens in the order of their probability and add up. Which question decides about a token: what the sum is *with* it, "
            "or what it was *before* it?",
            "A token is out when those before it have p already: `cumsum − probability >= p`. You have that by rank; to bring it back to "
            "token numbers, `sort` also returned which token has each rank.",
            "`ranked, order = logits.sort(dim=-1, descending=True, stable=True)`, `outside = …` by rank, then "
            "`outside.scatter(-1, order, outside)` moves entry r to place order[r]; `masked_fill` it.",
        ),
        reasoning="The sum *before* a token decides, so the token that crosses p is in, and so is always the first one: no row can become "
        "empty. `order` says which token has rank r; `scatter` writes by that, `gather` would read by it, which is the "
        "inverse permutation and looks right on many small examples. The nucleus is as wide as the model is uncertain: one token where "
        "the next word is clear, many where a name begins. Its price is a sort of the vocabulary at every step.",
        check=check_keep_top_p,
        mistakes=(
            Mistake(
                "crossing dropped",
                _p_crossing_dropped,
                "The token with which the sum reaches p was cut: it belongs to the nucleus. (Without it, a row whose first token "
                "alone has more than p has no token left.) Look at the sum *before* the token.",
            ),
            Mistake(
                "border",
                _p_border,
                "Where the sum is *exactly* p it went on by one more token: the smallest set that reaches p ends there; `>=`.",
            ),
            Mistake(
                "one more",
                _p_one_more,
                "One token too many was kept: when those *before* a token have p already, it is out.",
            ),
            Mistake(
                "not unsorted",
                _p_not_unsorted,
                "The mask is in the order of the ranks and the logits in that of the tokens: bring it back by `order`.",
            ),
            Mistake(
                "gathered",
                _p_gathered,
                "`gather` by `order` goes from tokens to ranks, a second time: the way back is `scatter` (or `order.argsort()`).",
            ),
            Mistake(
                "ranked",
                _p_ranked,
                "The logits came back in the order of their size: each must stay at the place of its token.",
            ),
            Mistake("zero", _p_zero, ZERO),
            Mistake("finite", _p_finite, FINITE),
            Mistake("ascending", _p_ascending, "The *least* likely tokens were kept: sort in descending order."),
            Mistake(
                "threshold",
                _p_threshold,
                "Each token was compared with p by itself: it is the *sum* of the likelier ones that is compared.",
            ),
            Mistake(
                "tail",
                _p_tail,
                "p was taken for the part to cut off: it is the part that stays, so the sum is compared with p, not with 1 − p.",
            ),
            Mistake(
                "no softmax",
                _p_no_softmax,
                "The logits were added up: add probabilities, which a softmax makes of them.",
            ),
            Mistake("normalised", _p_normalised, NORMALISED),
            Mistake("probabilities", _p_probabilities, PROBABILITIES),
            Mistake(
                "ties kept",
                _p_ties_kept,
                "Tokens as likely as the last one of the nucleus were kept, too: as few as reach p stay, smaller numbers first.",
            ),
            Mistake("in place", _p_in_place, IN_PLACE),
            Mistake("unchecked", _p_unchecked, NO_CHECK_P),
        ),
    ),
    Exercise(
        lab="07",
        target="lablib.pretraining.fused_decoder:attend_cached",
        title="Attention with a memory",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Two things happen: the new keys and values are put where they belong, and the new queries look at everything so far. "
            'What is "everything so far": which places of the cache?',
            "With S = start + T: the new ones go to `[:, :, start:S]`, and what may be seen is `[:, :, :S]`. When several tokens come at "
            "once, the first of them may not look at the second: the causal mask has T rows and S columns and is aligned at its *end*.",
            "`keys[:, :, start:S], values[:, :, start:S] = k, v`; for T > 1 without a mask `mask = causal_mask(T, S, q.device)`; then "
            "`F.scaled_dot_product_attention(q, keys[:, :, :S], values[:, :, :S], mask, enable_gqa=k.shape[1] < q.shape[1])`.",
        ),
        reasoning="A token's keys and values depend on it and on what came before, never on what comes later; so they are computed "
        "once and kept. Slices are views: nothing is copied but the new entries. What lies behind S is old, and a softmax has no idea "
        "of that, so it must not be seen at all. `is_causal=True` is aligned at the first place, as if the T new tokens were the "
        "first T of the text; with a cache that is wrong for every T > 1, and quietly so. One new token needs no mask: all others "
        "are before it.",
        check=check_attend_cached,
        mistakes=(
            Mistake(
                "new only",
                _cache_new_only,
                "The new tokens looked at themselves only: take keys and values from the cache, places 0 to S.",
            ),
            Mistake(
                "overwritten",
                _cache_overwritten,
                "The new entries were written over the first ones: their place is `start:S`, behind what is there.",
            ),
            Mistake(
                "late",
                _cache_late,
                "The new entries were written one place too far: places count from 0, so the next is `start`.",
            ),
            Mistake(
                "no values",
                _cache_no_values,
                "The values were not written into the cache: both keys and values have to be.",
            ),
            Mistake(
                "no keys", _cache_no_keys, "The keys were not written into the cache: both keys and values have to be."
            ),
            Mistake(
                "nothing written", _cache_nothing_written, "Nothing was written into the cache: write first, then look."
            ),
            Mistake(
                "not kept",
                _cache_joined,
                "The result is right, but the cache was not written into: the next token would not find this one. "
                "Assign to a slice: `keys[:, :, start:S] = k`.",
            ),
            Mistake(
                "not itself",
                _cache_not_itself,
                "The new token did not look at itself: it sees all places up to its own, S = start + T of them.",
            ),
            Mistake(
                "whole cache",
                _cache_whole,
                "The whole cache was looked at, also the places behind S: what lies there is old, and softmax gives it a share.",
            ),
            Mistake("unscaled", _cache_unscaled, "The scores were not divided by √K."),
            Mistake(
                "future",
                _cache_future,
                "Of several new tokens the first one looked at the later ones: with T > 1 a causal mask is needed.",
            ),
            Mistake(
                "top left",
                _cache_top_left,
                "The causal mask is aligned at the first place (as `is_causal=True` is): the new tokens are the *last* T of S, so token t "
                "sees start + t + 1 places. `causal_mask(T, S)` is aligned so.",
            ),
            Mistake(
                "heads in turn",
                _cache_heads_in_turn,
                "The heads were paired wrongly: heads 0 and 1 of the queries share head 0 of the keys (repeat_interleave, not repeat).",
            ),
            Mistake(
                "not grouped",
                _cache_ungrouped,
                "There are fewer heads of keys than of queries: say `enable_gqa=True`, or repeat each with repeat_interleave.",
            ),
            Mistake(
                "mask ignored",
                _cache_mask_ignored,
                "The mask was not used: padding is looked at. Hand it on to the attention.",
            ),
        ),
    ),
]
