"""Lab 02: right answers that differ from the reference, and wrong ones that are not among the named mistakes.

RIGHT: exercise → (label, implementation). WRONG: exercise → (label, implementation, words that its message must have).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from lablib.architecture.attention import (
    MultiHeadAttention,
    attention_scores,
    causal_mask,
    masked_softmax,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
    streaming_attention,
)

# ---------------------------------------------------------------- attention_scores


def scores_einsum(q, k):
    return torch.einsum("...tk,...sk->...ts", q, k) / q.shape[-1] ** 0.5


def scores_scaled_before(q, k):
    return (q / math.sqrt(q.size(-1))) @ k.mT


def scores_broadcast(q, k):
    return (q[..., :, None, :] * k[..., None, :, :]).sum(-1) * q.shape[-1] ** -0.5


def scores_normalised(q, k):
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT


def scores_minus_mean(q, k):
    scores = attention_scores(q, k)
    return scores - scores.mean(-1, keepdim=True)


def scores_absolute(q, k):
    return attention_scores(q, k).abs()


def scores_negative(q, k):
    return -attention_scores(q, k)


def scores_root_detached(q, k):
    return attention_scores(q, k.detach())


def scores_scale_of_eight(q, k):
    return q @ k.mT / math.sqrt(8)


# ---------------------------------------------------------------- masked_softmax


def softmax_of_torch(scores, mask=None):
    if mask is None:
        return torch.softmax(scores, -1)
    return torch.softmax(scores.masked_fill(mask.logical_not(), -math.inf), -1).nan_to_num()


def softmax_in_logs(scores, mask=None):
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    hidden = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return torch.exp(hidden - hidden.logsumexp(-1, keepdim=True)) * mask


def softmax_afterwards(scores, mask=None):
    if mask is None:
        return scores.softmax(-1)
    largest = scores.masked_fill(~mask, -math.inf).max(-1, keepdim=True).values.nan_to_num(neginf=0.0)
    exponentials = (scores - largest).masked_fill(~mask, -math.inf).exp()
    return exponentials / exponentials.sum(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def softmax_looks_first(scores, mask=None):
    if mask is None or bool(mask.all()):  # asks for values: fine on a GPU, impossible on `meta`
        return scores.softmax(-1)
    return softmax_of_torch(scores, mask)


def softmax_by_global_maximum(scores, mask=None):
    exponentials = (scores - scores.max()).exp()
    exponentials = exponentials if mask is None else exponentials * mask
    return exponentials / exponentials.sum(-1, keepdim=True).clamp(min=1e-30)


def softmax_log(scores, mask=None):
    return masked_softmax(scores, mask).log()


def softmax_forbidden_fills_in_place(scores, mask=None):
    if mask is not None:
        scores.data.masked_fill_(~mask.expand_as(scores), -math.inf)
    return masked_softmax(scores, mask)


def softmax_sharper(scores, mask=None):
    return masked_softmax(2 * scores, mask)


def softmax_of_all(scores, mask=None):
    return masked_softmax(scores, mask) / scores.shape[-2]


# ---------------------------------------------------------------- causal_mask


def causal_by_arange(T, S=None, device=None):
    S = S or T
    return torch.arange(S, device=device) <= torch.arange(S - T, S, device=device)[:, None]


def causal_by_triu(T, S=None, device=None):
    S = T if S is None else S
    return torch.triu(torch.ones(T, S, device=device), diagonal=S - T + 1) == 0


def causal_by_lists(T, S=None, device=None):
    S = T if S is None else S
    return torch.tensor([[s <= t + S - T for s in range(S)] for t in range(T)], device=device)


def causal_of_ones(T, S=None, device=None):
    S = T if S is None else S
    return torch.ones(T, S, device=device).tril(S - T)


def causal_square(T, S=None, device=None):
    S = T if S is None else S
    return torch.ones(S, S, dtype=torch.bool, device=device).tril()


def causal_on_cpu(T, S=None, device=None):
    return causal_mask(T, S)


def causal_with_batch(T, S=None, device=None):
    return causal_mask(T, S, device)[None]


def causal_shifted_left(T, S=None, device=None):
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(T - S)


def causal_as_bias(T, S=None, device=None):
    return torch.zeros(T, S or T, device=device).masked_fill(~causal_mask(T, S, device), -math.inf)


# ---------------------------------------------------------------- scaled_dot_product_attention


def attention_fused(q, k, v, mask=None):
    weights = masked_softmax(attention_scores(q, k), mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask), weights


def attention_einsum(q, k, v, mask=None):
    scores = torch.einsum("...tk,...sk->...ts", q, k).div(q.shape[-1] ** 0.5)
    if mask is not None:
        scores = scores.where(mask, torch.full_like(scores, -math.inf))
    weights = scores.softmax(-1).nan_to_num()
    return torch.einsum("...ts,...sv->...tv", weights, v), weights


def attention_by_rows(q, k, v, mask=None):
    if mask is not None:
        mask = mask.expand(*q.shape[:-1], k.shape[-2])
    rows = []
    for t in range(q.shape[-2]):
        score = (k * q[..., t : t + 1, :]).sum(-1) / math.sqrt(q.shape[-1])
        rows.append(masked_softmax(score[..., None, :], None if mask is None else mask[..., t : t + 1, :]))
    weights = torch.cat(rows, -2)
    return weights @ v, weights


def attention_output_only(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, mask)[0]


def attention_always_causal(q, k, v, mask=None):
    return scaled_dot_product_attention(q, k, v, causal_mask(q.shape[-2], k.shape[-2], q.device))


def attention_weights_detached(q, k, v, mask=None):
    weights = masked_softmax(attention_scores(q, k), mask).detach()
    return weights @ v, weights


def attention_weights_turned(q, k, v, mask=None):
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    return output, weights.mT


def attention_scaled_by_values(q, k, v, mask=None):
    weights = masked_softmax(q @ k.mT / math.sqrt(v.shape[-1]), mask)
    return weights @ v, weights


# ---------------------------------------------------------------- heads


def split_by_chunks(x, H):
    return torch.stack(x.chunk(H, dim=-1), dim=1)


def split_by_permute(x, H):
    B, T, _ = x.shape
    return x.reshape(B, T, H, -1).permute(0, 2, 1, 3)


def split_by_unflatten(x, H):
    return x.unflatten(-1, (H, -1)).movedim(-2, 1)


def split_first_head_only(x, H):
    return split_heads(x, H)[:, :1].expand(-1, H, -1, -1)


def split_heads_reversed(x, H):
    return split_heads(x, H).flip(1)


def split_times_reversed(x, H):
    return split_heads(x, H).flip(2)


def split_three_heads(x, H):
    return split_heads(x, 3)


def split_width_and_heads_swapped(x, H):
    return split_heads(x, x.shape[-1] // H)


def merge_by_cat(x):
    return torch.cat(x.unbind(dim=1), dim=-1)


def merge_by_permute(x):
    return x.permute(0, 2, 1, 3).flatten(2)


def merge_contiguous(x):
    B, H, T, K = x.shape
    return x.transpose(1, 2).contiguous().view(B, T, H * K)


def merge_by_view(x):
    B, H, T, K = x.shape
    return x.transpose(1, 2).view(B, T, H * K)


def merge_sum(x):
    return x.sum(1)


def merge_widths_swapped(x):
    return merge_heads(x.flip(1))


def merge_not_joined(x):
    return x.transpose(1, 2)


# ---------------------------------------------------------------- MultiHeadAttention


class LayerFused(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        q, k, v = (split_by_chunks(p, self.H) for p in (self.q_proj(x), self.k_proj(source), self.v_proj(source)))
        weights = masked_softmax(attention_scores(q, k), mask)
        return self.out_proj(merge_by_cat(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))), weights


class LayerByHeads(nn.Module):
    """One head after the other, in a class of its own with a buffer that the reference has not."""

    def __init__(self, D, H, bias=True):
        super().__init__()
        self.H = H
        self.q_proj, self.k_proj = nn.Linear(D, D, bias), nn.Linear(D, D, bias)
        self.v_proj, self.out_proj = nn.Linear(D, D, bias), nn.Linear(D, D, bias)
        self.register_buffer("root", torch.tensor(math.sqrt(D // H)))

    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        heads = zip(
            *(p.chunk(self.H, -1) for p in (self.q_proj(x), self.k_proj(source), self.v_proj(source))), strict=True
        )
        mask = mask if mask is None or mask.dim() < 4 else mask[:, 0]
        outputs, weights = zip(*(scaled_dot_product_attention(q, k, v, mask) for q, k, v in heads), strict=True)
        return self.out_proj(torch.cat(outputs, -1)), torch.stack(weights, 1)


class LayerEinsum(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        source = context if context is not None else x
        (B, T, D), S = x.shape, source.shape[1]
        q = self.q_proj(x).view(B, T, self.H, -1)
        k, v = self.k_proj(source).view(B, S, self.H, -1), self.v_proj(source).view(B, S, self.H, -1)
        weights = masked_softmax(torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(D / self.H), mask)
        return self.out_proj(torch.einsum("bhts,bshk->bthk", weights, v).reshape(B, T, D)), weights


class LayerFrozen(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        values = F.linear(source, self.v_proj.weight.detach(), self.v_proj.bias)
        q, k, v = (split_heads(p, self.H) for p in (self.q_proj(x), self.k_proj(source), values))
        heads, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.out_proj(merge_heads(heads)), weights


class LayerRenamed(nn.Module):
    def __init__(self, D, H, bias=True):
        super().__init__()
        self.qkv, self.out = nn.Linear(D, 3 * D, bias), nn.Linear(D, D, bias)


class LayerNoModule:
    def __init__(self, D, H, bias=True):
        self.H = H


class LayerWithoutSuper(nn.Module):
    def __init__(self, D, H, bias=True):
        self.q_proj = nn.Linear(D, D, bias)


class LayerMeanWeights(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        output, weights = super().forward(x, context, mask)
        return output, weights.mean(1)


class LayerResidual(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        output, weights = super().forward(x, context, mask)
        return x + output, weights


class LayerKeysAndValuesSwapped(MultiHeadAttention):
    def forward(self, x, context=None, mask=None):
        self.k_proj, self.v_proj = self.v_proj, self.k_proj
        return super().forward(x, context, mask)


class LayerOneSequence(MultiHeadAttention):
    def forward(self, x, mask=None):
        return super().forward(x, None, mask)


# ---------------------------------------------------------------- streaming_attention


def stream_by_slices(q, k, v, block=128):
    m = torch.full_like(q[..., :1], -math.inf)
    total, output = torch.zeros_like(m), torch.zeros_like(q[..., :1]) * v[..., :1, :]
    for start in range(0, k.shape[-2], block):
        s = q @ k[..., start : start + block, :].mT / math.sqrt(q.shape[-1])
        new = torch.maximum(m, s.max(-1, keepdim=True).values)
        p = (s - new).exp()
        total = total * (m - new).exp() + p.sum(-1, keepdim=True)
        output = output * (m - new).exp() + p @ v[..., start : start + block, :]
        m = new
    return output / total


def stream_in_logs(q, k, v, block=128):
    output = log_total = None
    for k_block, v_block in zip(k.split(block, -2), v.split(block, -2), strict=True):
        scores = attention_scores(q, k_block)
        here, log_here = scores.softmax(-1) @ v_block, scores.logsumexp(-1, keepdim=True)
        if output is None:
            output, log_total = here, log_here
        else:
            log_new = torch.logaddexp(log_total, log_here)
            output = output * (log_total - log_new).exp() + here * (log_here - log_new).exp()
            log_total = log_new
    return output


def stream_full(q, k, v, block=128):
    return scaled_dot_product_attention(q, k, v)[0]


def stream_last_block_dropped(q, k, v, block=128):
    whole = max(k.shape[-2] // block, 1) * block
    return scaled_dot_product_attention(q, k[..., :whole, :], v[..., :whole, :])[0]


def stream_first_block_only(q, k, v, block=128):
    return scaled_dot_product_attention(q, k[..., :block, :], v[..., :block, :])[0]


def stream_both(q, k, v, block=128):
    return streaming_attention(q, k, v, block), None


def stream_first_maximum(q, k, v, block=128):
    largest = attention_scores(q, k[..., :block, :]).amax(-1, keepdim=True)
    total = output = 0
    for k_block, v_block in zip(k.split(block, -2), v.split(block, -2), strict=True):
        exponentials = torch.exp(attention_scores(q, k_block) - largest)
        total = total + exponentials.sum(-1, keepdim=True)
        output = output + exponentials @ v_block
    return output / total


RIGHT = {
    "attention_scores": [
        ("einsum", scores_einsum),
        ("scaled before", scores_scaled_before),
        ("broadcast", scores_broadcast),
    ],
    "masked_softmax": [
        ("torch's softmax", softmax_of_torch),
        ("logsumexp", softmax_in_logs),
        ("masked twice", softmax_afterwards),
        ("branches on values", softmax_looks_first),
    ],
    "causal_mask": [("arange", causal_by_arange), ("triu", causal_by_triu), ("lists", causal_by_lists)],
    "scaled_dot_product_attention": [
        ("torch's own", attention_fused),
        ("einsum", attention_einsum),
        ("a loop over queries", attention_by_rows),
    ],
    "split_heads": [("chunk", split_by_chunks), ("permute", split_by_permute), ("unflatten", split_by_unflatten)],
    "merge_heads": [("cat", merge_by_cat), ("permute", merge_by_permute), ("contiguous", merge_contiguous)],
    "MultiHeadAttention": [("torch's own", LayerFused), ("head by head", LayerByHeads), ("einsum", LayerEinsum)],
    "streaming_attention": [("slices", stream_by_slices), ("logsumexp", stream_in_logs)],
}
WRONG = {
    "attention_scores": [
        ("cosine", scores_normalised, "scores[0, 0]: expected"),
        ("mean taken off", scores_minus_mean, "scores[0, 0]: expected"),
        ("absolute", scores_absolute, "the first difference"),
        ("negative", scores_negative, "The sign is wrong"),
        ("keys detached", scores_root_detached, "no gradient reaches argument 2"),
        ("a fixed width", scores_scale_of_eight, "times what it should be"),
    ],
    "masked_softmax": [
        ("one maximum for all", softmax_by_global_maximum, "large scores"),
        ("log", softmax_log, "weights[0, 0]: expected"),
        ("fills the scores", softmax_forbidden_fills_in_place, "changed its argument 1"),
        ("too sharp", softmax_sharper, "the first difference"),
        ("divided again", softmax_of_all, "Every entry is 0.3333 times"),
    ],
    "causal_mask": [
        ("floats", causal_of_ones, "expected bool, got float32"),
        ("S by S", causal_square, "expected (2, 5) (T, S), got (5, 5)"),
        ("device ignored", causal_on_cpu, "wrong device"),
        ("a batch axis", causal_with_batch, "got (1, 4, 4)"),
        ("shifted left", causal_shifted_left, "the mask[0, 0]: expected True, got False"),
        ("a bias", causal_as_bias, "expected bool"),
    ],
    "scaled_dot_product_attention": [
        ("output only", attention_output_only, "expected 2 results"),
        ("always causal", attention_always_causal, "the first difference"),
        ("weights detached", attention_weights_detached, "no gradient reaches argument 1"),
        ("weights transposed", attention_weights_turned, "order is not"),
        ("width of the values", attention_scaled_by_values, "output[0, 0]: expected"),
    ],
    "split_heads": [
        ("one head repeated", split_first_head_only, "the result[0, 1, 0, 0]: expected"),
        ("reversed", split_heads_reversed, "the result[0, 0, 0, 0]: expected"),
        ("backwards in time", split_times_reversed, "the result[0, 0, 0, 0]: expected"),
        ("always three", split_three_heads, "cannot be cut into H = 3"),
        ("K heads", split_width_and_heads_swapped, "(B, H, T, K)"),
    ],
    "merge_heads": [
        ("a view", merge_by_view, "use `reshape`"),
        ("summed", merge_sum, "wrong shape"),
        ("reversed", merge_widths_swapped, "the result[0, 0, 0]: expected"),
        ("four axes left", merge_not_joined, "wrong shape"),
    ],
    "MultiHeadAttention": [
        ("values frozen", LayerFrozen, "no gradient reaches parameter v_proj.weight"),
        ("other parameters", LayerRenamed, "Keep `__init__` as it was given"),
        ("no module", LayerNoModule, "inherit from nn.Module"),
        ("super forgotten", LayerWithoutSuper, "`super().__init__()` must be the first line"),
        ("weights averaged", LayerMeanWeights, "weights has the wrong shape"),
        ("residual inside", LayerResidual, "output[0, 0, 0]: expected"),
        ("keys and values swapped", LayerKeysAndValuesSwapped, "the first difference"),
        ("no context", LayerOneSequence, "Keep the signature"),
    ],
    "streaming_attention": [
        ("all at once", stream_full, "more than two blocks of scores"),
        ("rest dropped", stream_last_block_dropped, "output[0, 0, 0, 0]: expected"),
        ("first block", stream_first_block_only, "output[0, 0]: expected"),
        ("a pair", stream_both, "output: expected a float32 tensor"),
        ("first maximum", stream_first_maximum, "exp of a large number overflows"),
    ],
}
