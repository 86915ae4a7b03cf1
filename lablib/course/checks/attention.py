"""Lab 02: the exercises of `lablib.architecture.attention`."""

import math

import torch
from torch import Tensor

from lablib.architecture.attention import (
    MultiHeadAttention,
    attention_scores,
    causal_mask,
    masked_softmax,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
)
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake

MODULE = "lablib.architecture.attention"


# ---------------------------------------------------------------- 1 scores


def check_attention_scores(attempt: Attempt) -> None:
    q, k = attempt.normal(5, 8), attempt.normal(7, 8)
    attempt.compare("q (5, 8) and k (7, 8)", q, k, outputs=["scores"], axes=["T", "S"])
    q, k = attempt.normal(2, 3, 5, 4), attempt.normal(2, 3, 7, 4)
    attempt.compare(
        "a batch: q (2, 3, 5, 4) and k (2, 3, 7, 4)",
        q,
        k,
        outputs=["scores"],
        axes=["B", "H", "T", "S"],
        gradients=True,
    )
    attempt.keeps_type_and_device(q, k, outputs=["scores"])


def _scores_without_scaling(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1)


def _scores_divided_by_width(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) / q.shape[-1]


def _scores_scaled_by_length(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) / math.sqrt(k.shape[-2])


def _scores_multiplied(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) * math.sqrt(q.shape[-1])


def _scores_keys_first(q: Tensor, k: Tensor) -> Tensor:
    return k @ q.transpose(-2, -1) / math.sqrt(q.shape[-1])


def _scores_transposed_by_T(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.T / math.sqrt(q.shape[-1])


# ---------------------------------------------------------------- 2 softmax


def check_masked_softmax(attempt: Attempt) -> None:
    scores = attempt.normal(3, 5, scale=2.0)
    attempt.compare("scores (3, 5), no mask", scores, outputs=["weights"], axes=["T", "S"], gradients=True)
    scores = attempt.normal(2, 3, 4, 5)
    mask = attempt.chance(4, 5, probability=0.6)
    mask[:, 0] = True
    attempt.compare(
        "scores (2, 3, 4, 5) and a mask (4, 5)",
        scores,
        mask,
        outputs=["weights"],
        axes=["B", "H", "T", "S"],
        gradients=True,
    )
    large = torch.tensor([[1e4, 0.0, -1e4], [1e4, 1e4, 1e4], [-1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    attempt.compare("large scores, ±1e4", large, outputs=["weights"])
    mask = mask.clone()
    mask[2] = False
    attempt.compare(
        "a mask whose row 2 is all False", scores, mask, outputs=["weights"], axes=["B", "H", "T", "S"], gradients=True
    )
    attempt.keeps_type_and_device(scores, mask, outputs=["weights"])


def _softmax_over_queries(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-2)


def _softmax_overflowing(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    exponentials = scores.exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True).clamp(min=1e-30)


def _softmax_nan_rows(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1)


def _softmax_uniform_rows(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return scores.softmax(dim=-1)


def _softmax_mask_inverted(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    return masked_softmax(scores, None if mask is None else ~mask)


def _softmax_masked_afterwards(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    weights = scores.softmax(dim=-1)
    return weights if mask is None else weights * mask


def _softmax_mask_ignored(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    return scores.softmax(dim=-1)


def _softmax_zero_filled(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    return (scores if mask is None else scores * mask).softmax(dim=-1)


# ---------------------------------------------------------------- 3 masks


def check_causal_mask(attempt: Attempt) -> None:
    for T, S in ((4, None), (1, None), (2, 5), (3, 3)):
        case = f"T = {T}" if S is None else f"T = {T}, S = {S}"
        attempt.compare(case, T, S, outputs=["the mask"], axes=["T", "S"])
    attempt.compare("T = 3 on another device (`meta`)", 3, device="meta", outputs=["the mask"])


def _causal_strict(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(S - T - 1)


def _causal_upper(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).triu(S - T)


def _causal_first_queries(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    return torch.ones(T, T if S is None else S, dtype=torch.bool, device=device).tril()


def _causal_true_is_hidden(T: int, S: int | None = None, device: torch.device | str | None = None) -> Tensor:
    return ~causal_mask(T, S, device)


# ---------------------------------------------------------------- 4 attention


def check_attention(attempt: Attempt) -> None:
    outputs = ["output", "weights"]
    q, k, v = attempt.normal(5, 8), attempt.normal(7, 8), attempt.normal(7, 6)
    attempt.compare("q (5, 8), k (7, 8), v (7, 6)", q, k, v, outputs=outputs, axes=["T", "V"])
    q, k, v = attempt.normal(2, 3, 6, 4), attempt.normal(2, 3, 6, 4), attempt.normal(2, 3, 6, 4)
    attempt.compare("a batch and a causal mask", q, k, v, causal_mask(6), outputs=outputs, gradients=True)
    attempt.compare("a batch and a padding mask", q, k, v, padding_mask([6, 2], 6), outputs=outputs)
    hidden = causal_mask(6)
    hidden[3] = False
    attempt.compare("a mask whose row 3 is all False", q, k, v, hidden, outputs=outputs)
    attempt.compare("large queries", 300 * q, k, v, outputs=outputs)
    attempt.keeps_type_and_device(q, k, v, hidden, outputs=outputs)


def _attention_without_scaling(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = masked_softmax(q @ k.transpose(-2, -1), mask)
    return weights @ v, weights


def _attention_scaled_twice(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = masked_softmax(attention_scores(q, k) / math.sqrt(q.shape[-1]), mask)
    return weights @ v, weights


def _attention_mask_forgotten(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return scaled_dot_product_attention(q, k, v)


def _attention_scores_returned(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = attention_scores(q, k)
    return masked_softmax(scores, mask) @ v, scores


def _attention_order_swapped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    return weights, output


def _attention_no_softmax(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = attention_scores(q, k)
    scores = scores if mask is None else scores.masked_fill(~mask, 0.0)
    return scores @ v, scores


def _attention_keys_summed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = masked_softmax(attention_scores(q, k), mask)
    return weights @ k, weights


# ---------------------------------------------------------------- 5, 6 heads


def check_split_heads(attempt: Attempt) -> None:
    axes = ["B", "H", "T", "K"]
    attempt.compare("x (2, 5, 12) and H = 3", attempt.normal(2, 5, 12), 3, axes=axes, gradients=True)
    attempt.compare("x (2, 4, 8) and H = 4", attempt.normal(2, 4, 8), 4, axes=axes)
    attempt.compare("one head", attempt.normal(1, 3, 4), 1, axes=axes)
    sliced = attempt.normal(2, 5, 24)
    attempt.compare("every width its own head", sliced, 24, axes=axes)


def _split_by_view_only(x: Tensor, H: int) -> Tensor:
    B, T, D = x.shape
    return x.reshape(B, H, T, D // H)


def _split_widths_first(x: Tensor, H: int) -> Tensor:
    B, T, D = x.shape
    return x.reshape(B, T, D // H, H).permute(0, 3, 1, 2)


def _split_without_transpose(x: Tensor, H: int) -> Tensor:
    B, T, D = x.shape
    return x.reshape(B, T, H, D // H)


def check_merge_heads(attempt: Attempt) -> None:
    axes = ["B", "T", "D"]
    attempt.compare("x (2, 3, 5, 4)", attempt.normal(2, 3, 5, 4), axes=axes, gradients=True)
    attempt.compare("as many heads as positions, x (2, 4, 4, 6)", attempt.normal(2, 4, 4, 6), axes=axes)
    attempt.compare(
        "the heads that split_heads made",
        split_heads(attempt.normal(2, 5, 12), 3),
        axes=axes,
    )


def _merge_by_reshape_only(x: Tensor) -> Tensor:
    B, H, T, K = x.shape
    return x.reshape(B, T, H * K)


def _merge_interleaved(x: Tensor) -> Tensor:
    B, H, T, K = x.shape
    return x.permute(0, 2, 3, 1).reshape(B, T, H * K)


def _merge_heads_averaged(x: Tensor) -> Tensor:
    return x.mean(dim=1)


# ---------------------------------------------------------------- 7 multi-head attention


def check_multi_head_attention(attempt: Attempt) -> None:
    outputs = ["output", "weights"]
    twin = attempt.twin(lambda cls: cls(12, 3), MultiHeadAttention)
    x, context = attempt.normal(2, 5, 12), attempt.normal(2, 7, 12)
    attempt.compare(
        "x (2, 5, 12), H = 3: self-attention", x, setup=twin, outputs=outputs, axes=["B", "T", "D"], gradients=True
    )
    attempt.compare("a causal mask", x, None, causal_mask(5), setup=twin, outputs=outputs)
    attempt.compare("context (2, 7, 12): cross-attention", x, context, setup=twin, outputs=outputs, gradients=True)
    attempt.compare("context and a padding mask", x, context, padding_mask([7, 3], 7), setup=twin, outputs=outputs)
    attempt.keeps_type_and_device(x, context, setup=twin, outputs=outputs)


class _QueriesFromContext(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        source = x if context is None else context
        return super().forward(source, x, None if mask is None else mask.transpose(-2, -1))


class _ContextIgnored(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        fits = mask is None or mask.shape[-1] in (1, x.shape[1])
        return super().forward(x, None, mask if fits else None)


class _NoOutputProjection(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        source = x if context is None else context
        q, k, v = (split_heads(p, self.H) for p in (self.q_proj(x), self.k_proj(source), self.v_proj(source)))
        heads, weights = scaled_dot_product_attention(q, k, v, mask)
        return merge_heads(heads), weights


class _MaskDropped(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(x, context, None)


class _ValuesFromX(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        source = x if context is None else context
        values = self.v_proj(x if x.shape == source.shape else x.mean(1, keepdim=True).expand_as(source))
        q, k, v = (split_heads(p, self.H) for p in (self.q_proj(x), self.k_proj(source), values))
        heads, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(merge_heads(heads)), weights


class _OneWideHead(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        source = x if context is None else context
        q, k, v = (p[:, None] for p in (self.q_proj(x), self.k_proj(source), self.v_proj(source)))
        heads, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(heads[:, 0]), weights


class _HeadsNotTransposedBack(MultiHeadAttention):
    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        source = x if context is None else context
        q, k, v = (split_heads(p, self.H) for p in (self.q_proj(x), self.k_proj(source), self.v_proj(source)))
        heads, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(heads.reshape(x.shape)), weights


# ---------------------------------------------------------------- 8 streaming


def check_streaming_attention(attempt: Attempt) -> None:
    q, k, v = attempt.normal(5, 4), attempt.normal(6, 4), attempt.normal(6, 3)
    attempt.compare("6 keys in one block of 8", q, k, v, 8, outputs=["output"], axes=["T", "V"])
    attempt.compare("6 keys in blocks of 2", q, k, v, 2, outputs=["output"], axes=["T", "V"])
    q, k, v = attempt.normal(2, 3, 5, 4), attempt.normal(2, 3, 7, 4), attempt.normal(2, 3, 7, 4)
    attempt.compare("a batch, 7 keys in blocks of 3", q, k, v, 3, outputs=["output"], gradients=True)
    attempt.compare("large scores in blocks of 2", 100 * q, 100 * k, v, 2, outputs=["output"])
    growing = k * torch.linspace(0.1, 30.0, 7)[:, None]  # later blocks hold larger scores: rescaling matters
    attempt.compare("scores that grow from block to block", q, growing, v, 1, outputs=["output"])
    attempt.keeps_type_and_device(q, k, v, 2, outputs=["output"])
    attempt.require(
        lambda implementation: _largest(implementation) <= 2 * 1024 * 32,
        [
            "Tried with 1,024 queries and 1,024 keys in blocks of 32: the results are right,",
            "but a tensor on the way held more than two blocks of scores.",
        ],
        "The scores of one block at a time are enough: loop over `k.split(block, dim=-2)`.",
    )


def _largest(implementation: Implementation) -> int:
    """Entries of the largest tensor that an operation made, for 1,024 queries and keys of width 4 in blocks of 32."""
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = [0]

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                sizes.append(result.numel())
            return result

    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1024, 4, generator=generator) for _ in range(3))
    with Watch(), torch.no_grad():
        implementation(q, k, v, 32)
    return max(sizes)


def _stream(q: Tensor, k: Tensor, v: Tensor, block: int, *, rescale: bool = True, shift: bool = True) -> Tensor:
    largest = q.new_full((*q.shape[:-1], 1), float("-inf"))
    total, output = torch.zeros_like(largest), q.new_zeros(*q.shape[:-1], v.shape[-1])
    for k_block, v_block in zip(k.split(block, -2), v.split(block, -2), strict=True):
        scores = attention_scores(q, k_block)
        new = torch.maximum(largest, scores.amax(-1, keepdim=True)) if shift else torch.zeros_like(largest)
        factor = torch.exp(largest - new) if rescale and shift else torch.ones_like(largest)
        exponentials = torch.exp(scores - new)
        total = total * factor + exponentials.sum(-1, keepdim=True)
        output = output * factor + exponentials @ v_block
        largest = new
    return output / total


def _stream_without_rescaling(q: Tensor, k: Tensor, v: Tensor, block: int = 128) -> Tensor:
    return _stream(q, k, v, block, rescale=False)


def _stream_without_maximum(q: Tensor, k: Tensor, v: Tensor, block: int = 128) -> Tensor:
    return _stream(q, k, v, block, shift=False)


def _stream_total_not_rescaled(q: Tensor, k: Tensor, v: Tensor, block: int = 128) -> Tensor:
    largest = q.new_full((*q.shape[:-1], 1), float("-inf"))
    total, output = torch.zeros_like(largest), q.new_zeros(*q.shape[:-1], v.shape[-1])
    for k_block, v_block in zip(k.split(block, -2), v.split(block, -2), strict=True):
        scores = attention_scores(q, k_block)
        new = torch.maximum(largest, scores.amax(-1, keepdim=True))
        exponentials = torch.exp(scores - new)
        total = total + exponentials.sum(-1, keepdim=True)
        output = output * torch.exp(largest - new) + exponentials @ v_block
        largest = new
    return output / total


def _stream_mean_of_blocks(q: Tensor, k: Tensor, v: Tensor, block: int = 128) -> Tensor:
    blocks = zip(k.split(block, -2), v.split(block, -2), strict=True)
    return torch.stack([scaled_dot_product_attention(q, kb, vb)[0] for kb, vb in blocks]).mean(0)


def _stream_not_normalised(q: Tensor, k: Tensor, v: Tensor, block: int = 128) -> Tensor:
    scores = attention_scores(q, k)
    return torch.exp(scores - scores.amax(-1, keepdim=True)) @ v


EXERCISES = [
    Exercise(
        lab="02",
        target=f"{MODULE}:attention_scores",
        title="How well does each query match each key?",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "One dot product for every pair of a query and a key: which single operation computes them all?",
            "A matrix product of `q` with `k` turned so that its last two axes swap; then divide by the square root "
            "of the width of a head, the last axis of `q`.",
            "`k.transpose(-2, -1)` swaps the last two axes whatever stands before them; the width is `q.shape[-1]`.",
        ),
        reasoning="`transpose(-2, -1)` counts axes from the end, so the same line serves one head, a batch of heads, or "
        "any leading axes. The division keeps the variance of a score near 1 whatever the width: the next experiment "
        "measures why that matters.",
        check=check_attention_scores,
        mistakes=(
            Mistake("no scaling", _scores_without_scaling, "The scores were not divided by √K."),
            Mistake(
                "divided by K",
                _scores_divided_by_width,
                "The scores were divided by K: expected its square root, `math.sqrt(q.shape[-1])`.",
            ),
            Mistake(
                "scaled by the length",
                _scores_scaled_by_length,
                "The scaling used the number of keys S: expected the width K, the last axis of `q`.",
            ),
            Mistake("multiplied", _scores_multiplied, "The scores were multiplied by √K: expected a division."),
            Mistake(
                "keys first",
                _scores_keys_first,
                "Rows and columns are swapped: row t must belong to query t, so `q` comes first in the product.",
            ),
            Mistake(
                "all axes turned",
                _scores_transposed_by_T,
                "`.T` turns all the axes round: with a batch only the last two may swap, `k.transpose(-2, -1)`.",
            ),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:masked_softmax",
        title="From scores to weights, some of them forbidden",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "Which score makes exp(score) exactly 0? Put it where the mask is False, before exponentiating.",
            "Subtract the largest score of each row before `exp`: the weights stay the same and nothing overflows. A row that "
            "may see nothing has the largest score −inf, and −inf − (−inf) is NaN: replace that largest score by something finite.",
            "`largest = scores.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)`; the sum of a forbidden row "
            "is 0, so divide by `total.where(total > 0, 1.0)`.",
        ),
        reasoning="Softmax does not change when a constant is taken off a row, so taking off the largest score costs nothing and "
        "leaves exponents ≤ 0. `-inf` rather than a large negative number makes a forbidden weight *exactly* 0. A row in which "
        "everything is forbidden (a sequence of padding only) would be 0/0; here it is all zeros, as in "
        "`F.scaled_dot_product_attention`, and no NaN spreads through the batch.",
        check=check_masked_softmax,
        mistakes=(
            Mistake(
                "over queries",
                _softmax_over_queries,
                "The softmax runs over the queries (dim=-2): each query shares its attention among the keys, dim=-1.",
            ),
            Mistake(
                "overflow",
                _softmax_overflowing,
                "exp of a large score overflows: take the largest score of each row off first.",
            ),
            Mistake(
                "NaN rows",
                _softmax_nan_rows,
                "A row that may see nothing gives 0/0 = NaN: expected zeros there.",
            ),
            Mistake(
                "uniform rows",
                _softmax_uniform_rows,
                "A large negative number in place of −inf spreads a forbidden row evenly over positions it may not see: "
                "expected zeros there.",
            ),
            Mistake(
                "mask inverted",
                _softmax_mask_inverted,
                "The mask is used the wrong way round: True means *may look*, so hide where it is False (`~mask`).",
            ),
            Mistake(
                "masked afterwards",
                _softmax_masked_afterwards,
                "The mask was applied after the softmax: the weights that are left no longer sum to 1.",
            ),
            Mistake("mask ignored", _softmax_mask_ignored, "The mask is not used."),
            Mistake(
                "scores zeroed",
                _softmax_zero_filled,
                "Hidden scores were set to 0, but exp(0) = 1 is not nothing: use −inf.",
            ),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:causal_mask",
        title="Nobody may look ahead",
        difficulty=2,
        importance=5,
        minutes=5,
        hints=(
            "Which shape do the True entries have? Print the example of the docstring and look.",
            "A lower triangle, the diagonal included. When there are more keys than queries, the queries are the *last* "
            "T positions: the triangle moves to the right by S − T.",
            "`torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=…)`",
        ),
        reasoning="Position t sees itself and everything before it: a lower triangle with its diagonal. `S > T` happens when text is "
        "generated with a cache (lab 07): the T newest positions ask, and all S so far answer, so the last row must always be all "
        "True. Shifting the triangle by S − T says just that.",
        check=check_causal_mask,
        mistakes=(
            Mistake("strict", _causal_strict, "The diagonal is missing: a position may look at itself."),
            Mistake("upper", _causal_upper, "This is the upper triangle: it lets each position see only the future."),
            Mistake(
                "first queries",
                _causal_first_queries,
                "The triangle starts at the top left: with S > T the queries are the *last* T positions, so it moves right by S − T.",
            ),
            Mistake(
                "True is hidden",
                _causal_true_is_hidden,
                "True and False are swapped: in this course True means *may look*.",
            ),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:scaled_dot_product_attention",
        title="Attention, whole",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "You have both halves already: scores, and weights from scores.",
            "The weights (..., T, S) times the values (..., S, V) is a matrix product.",
            "`weights = masked_softmax(attention_scores(q, k), mask)`, and return two things: the output and the weights.",
        ),
        reasoning="Row t of `weights @ v` is Σₛ weights[t, s]·v[s]: an average of the values, weighted by how well their keys match. "
        "The weights are returned too, so that every picture in this lab shows what the one forward pass really used.",
        check=check_attention,
        mistakes=(
            Mistake(
                "no scaling", _attention_without_scaling, "The scores were not divided by √K: use `attention_scores`."
            ),
            Mistake(
                "scaled twice",
                _attention_scaled_twice,
                "The scores were divided by √K twice: `attention_scores` does it.",
            ),
            Mistake("mask forgotten", _attention_mask_forgotten, "The mask is not used."),
            Mistake(
                "scores returned",
                _attention_scores_returned,
                "The second result is the scores: expected the weights, after the softmax.",
            ),
            Mistake("swapped", _attention_order_swapped, "The results are swapped: expected (output, weights)."),
            Mistake("no softmax", _attention_no_softmax, "The softmax is missing: scores are not weights."),
            Mistake(
                "keys summed", _attention_keys_summed, "The keys were summed: the weights belong on the values `v`."
            ),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:split_heads",
        title="Cut the width into heads",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "First cut the last axis D into (H, K); only then move the new axis H.",
            "`view` (or `reshape`) cuts an axis without moving anything; `transpose` swaps two axes.",
            "`x.view(B, T, H, D // H)` and then swap the axes 1 and 2.",
        ),
        reasoning="A `view` may only cut or join axes that lie next to each other in memory. Going straight to (B, H, T, K) has the right "
        "shape and the wrong content: it mixes positions. Cut first, then swap.",
        check=check_split_heads,
        mistakes=(
            Mistake(
                "view only",
                _split_by_view_only,
                "A `view` straight to (B, H, T, K) mixes positions with heads: cut D into (H, K) first, then transpose.",
            ),
            Mistake(
                "widths first",
                _split_widths_first,
                "D was cut into (K, H): head h must hold *neighbouring* features, so cut it into (H, K).",
            ),
            Mistake(
                "not transposed",
                _split_without_transpose,
                "The axes are (B, T, H, K): swap T and H, so that each head has a sequence of its own.",
            ),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:merge_heads",
        title="Put the heads side by side again",
        difficulty=2,
        importance=4,
        minutes=5,
        hints=(
            "Undo the steps of `split_heads` in the opposite order.",
            "Swap H and T back, then join the last two axes.",
            "After a transpose `view` refuses, as the memory is no longer in order: `reshape` copies where it must.",
        ),
        reasoning="The inverse of a composition undoes the last step first: swap back, then join. `reshape` has to copy here (the axes "
        "to be joined are not neighbours in memory), which is why `view` would raise an error.",
        check=check_merge_heads,
        mistakes=(
            Mistake(
                "reshape only",
                _merge_by_reshape_only,
                "Joining without swapping back mixes heads with positions: transpose H and T first.",
            ),
            Mistake(
                "interleaved",
                _merge_interleaved,
                "The features of the heads are interleaved: head h must fill the columns h·K to (h+1)·K.",
            ),
            Mistake("averaged", _merge_heads_averaged, "The heads were averaged: they stand side by side, D = H·K."),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:MultiHeadAttention.forward",
        title="Many heads, and a second sequence to look at",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Queries come from `x`. Where do keys and values come from when there is a `context`?",
            "Project, split into heads, attend, merge, project once more. Each of these steps is a function or layer that you have.",
            "`source = x if context is None else context`; then `k = split_heads(self.k_proj(source), self.H)`, and in the end "
            "`self.out_proj(merge_heads(heads))`.",
        ),
        reasoning="Self-attention and cross-attention are one function: only the source of keys and values differs. The heads never meet "
        "until `out_proj`, which is why they can specialise; without it they would stay in their own columns of the output.",
        check=check_multi_head_attention,
        mistakes=(
            Mistake(
                "queries from the context",
                _QueriesFromContext,
                "The roles are swapped: `x` asks (queries), `context` answers (keys and values).",
            ),
            Mistake(
                "context ignored",
                _ContextIgnored,
                "`context` is not used: keys and values come from it when it is given.",
            ),
            Mistake("no output projection", _NoOutputProjection, "The last projection, `self.out_proj`, is missing."),
            Mistake("mask dropped", _MaskDropped, "The mask is not passed on."),
            Mistake(
                "values from x",
                _ValuesFromX,
                "The values come from `x`: with a context both keys and values come from it.",
            ),
            Mistake("one wide head", _OneWideHead, "The heads were never split: this is one head of width D."),
            Mistake(
                "merged by reshape",
                _HeadsNotTransposedBack,
                "The heads were joined without swapping axes back: use `merge_heads`.",
            ),
        ),
    ),
    Exercise(
        lab="02",
        target=f"{MODULE}:streaming_attention",
        title="The same output in a fraction of the memory (extra)",
        difficulty=5,
        importance=3,
        minutes=30,
        hints=(
            "Softmax needs a maximum and a sum over *all* keys. Both can be kept while the keys come by in blocks.",
            "When a block brings a larger maximum, everything summed so far was divided by the wrong exp(maximum): "
            "multiply it by exp(old maximum − new maximum).",
            "Keep three things for each query: `largest`, `total`, `output`. For each block: `rescale = exp(largest − new_largest)`, "
            "then `total = total * rescale + exponentials.sum(...)`, and the same for `output` with `exponentials @ v_block`.",
        ),
        reasoning="This is what fused attention kernels do. The output so far is kept *unnormalised*, relative to the largest score seen; "
        "a new maximum only rescales it, and the division happens once, at the end. Time is unchanged; the scores of one block are "
        "all that is ever in memory.",
        check=check_streaming_attention,
        mistakes=(
            Mistake(
                "not rescaled",
                _stream_without_rescaling,
                "Earlier blocks were not rescaled when the maximum grew: multiply by exp(old maximum − new maximum).",
            ),
            Mistake(
                "total not rescaled",
                _stream_total_not_rescaled,
                "The output was rescaled but the running sum was not: both used the old maximum.",
            ),
            Mistake(
                "no maximum",
                _stream_without_maximum,
                "exp of a large score overflows: keep a running maximum for each query.",
            ),
            Mistake(
                "mean of blocks",
                _stream_mean_of_blocks,
                "Each block was normalised by itself and the blocks averaged: blocks with larger scores must count for more.",
            ),
            Mistake(
                "not normalised",
                _stream_not_normalised,
                "The output was never divided by the sum of the exponentials.",
            ),
        ),
    ),
]
