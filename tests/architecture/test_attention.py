"""Attention against torch's own attention, then by its properties."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lablib.architecture.attention import (
    MultiHeadAttention,
    attention_scores,
    causal_mask,
    masked_softmax,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
    streaming_attention,
)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def leaves(*shapes: tuple[int, int]) -> list[Tensor]:
    return [normal(2, 3, *shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]


def assert_equal(actual: Tensor, expected: Tensor, rtol: float = 1e-5) -> None:
    """Equal to rtol of the largest expected value: an all-zero answer fails, rounding near zero does not."""
    scale = expected.abs().max().item()
    assert scale > 0, "an all-zero expectation tests nothing"
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol * scale)


def assert_same_gradients(ours: Tensor, theirs: Tensor, inputs: list[Tensor], seed: int = 9) -> None:
    weight = normal(*ours.shape, seed=seed)
    for mine, reference in zip(
        torch.autograd.grad((ours * weight).sum(), inputs),
        torch.autograd.grad((theirs * weight).sum(), inputs),
        strict=True,
    ):
        assert_equal(mine, reference)


def masks(T: int, S: int) -> dict[str, Tensor | None]:
    return {
        "none": None,
        "causal": causal_mask(T, S) if S >= T else torch.ones(T, S, dtype=torch.bool),
        "padding": padding_mask([S, max(1, S // 2)], S),
        "random": torch.rand(2, 1, T, S, generator=torch.Generator().manual_seed(3)) > 0.4,
    }


# ---------------------------------------------------------------- against torch


@pytest.mark.parametrize("kind", ["none", "causal", "padding", "random"])
@pytest.mark.parametrize(("T", "S"), [(5, 5), (3, 7), (1, 4)])
def test_values_and_gradients_equal_torch(kind: str, T: int, S: int) -> None:
    mask = masks(T, S)[kind]
    q, k, v = (normal(2, 3, n, w, seed=i).requires_grad_() for i, (n, w) in enumerate([(T, 8), (S, 8), (S, 6)]))
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert_equal(output, expected)
    assert_same_gradients(output, expected, [q, k, v])
    assert_equal(weights @ v, output)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_equals_torch_with_copied_weights(bias: bool, cross: bool) -> None:
    D, H, T, S = 24, 4, 5, 7
    ours, theirs = (
        MultiHeadAttention(D, H, bias=bias),
        nn.MultiheadAttention(D, H, bias=bias, batch_first=True),
    )
    projections = [ours.q_proj, ours.k_proj, ours.v_proj]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
            theirs.out_proj.bias.copy_(ours.out_proj.bias)
    x = normal(2, T, D).requires_grad_()
    context = normal(2, S, D, seed=1).requires_grad_() if cross else None
    source = x if context is None else context
    real = padding_mask([source.shape[1], 3], source.shape[1])  # (B, 1, 1, S)
    output, weights = ours(x, context, real)
    expected, expected_weights = theirs(x, source, source, key_padding_mask=~real[:, 0, 0], average_attn_weights=False)
    assert_equal(output, expected)
    assert_equal(weights, expected_weights)
    inputs = [x] if context is None else [x, context]
    in_proj = [p.weight for p in projections]
    probe = normal(*output.shape, seed=4)
    mine = torch.autograd.grad((output * probe).sum(), [*inputs, *in_proj])
    reference = torch.autograd.grad((expected * probe).sum(), [*inputs, theirs.in_proj_weight])
    for ours_grad, theirs_grad in zip(mine[: len(inputs)], reference[:-1], strict=True):
        assert_equal(ours_grad, theirs_grad)
    assert_equal(torch.cat(mine[len(inputs) :]), reference[-1])


def test_softmax_equals_torch_in_every_float_type() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        scores = normal(3, 4, 5, dtype=dtype)
        ours = masked_softmax(scores)
        assert ours.dtype == dtype
        assert_equal(ours, scores.softmax(dim=-1), rtol=1e-2 if dtype == torch.bfloat16 else 1e-6)


@pytest.mark.parametrize("block", [1, 3, 4, 7, 64])
def test_streaming_equals_full_values_and_gradients(block: int) -> None:
    q, k, v = (normal(2, 3, n, w, seed=i).requires_grad_() for i, (n, w) in enumerate([(5, 8), (7, 8), (7, 6)]))
    output = streaming_attention(q, k, v, block=block)
    expected = F.scaled_dot_product_attention(q, k, v)
    assert_equal(output, expected)
    assert_same_gradients(output, expected, [q, k, v])


# ---------------------------------------------------------------- the edges


def test_a_row_that_may_see_nothing_is_zero_with_zero_gradient() -> None:
    q, k, v = (normal(1, 1, n, 4, seed=i).requires_grad_() for i, n in enumerate([3, 5, 5]))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1] = False
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    assert torch.equal(weights[..., 1, :], torch.zeros(1, 1, 5))
    assert torch.equal(output[..., 1, :], torch.zeros(1, 1, 4))
    assert_equal(output, F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
    gradients = torch.autograd.grad(output.sum(), [q, k, v])
    assert all(g.isfinite().all() for g in gradients)
    assert torch.equal(gradients[0][..., 1, :], torch.zeros(1, 1, 4))


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_scores_do_not_overflow(size: float) -> None:
    weights = masked_softmax(torch.tensor([[size, -size, size / 2]]))
    assert torch.equal(weights, torch.tensor([[1.0, 0.0, 0.0]]))
    low = masked_softmax(torch.tensor([[-size, -size]]))  # all scores very small: still a distribution
    assert torch.equal(low, torch.tensor([[0.5, 0.5]]))


def test_large_scores_stream_without_overflow() -> None:
    q, k, v = 200 * normal(1, 4, 8), 200 * normal(1, 9, 8, seed=1), normal(1, 9, 8, seed=2)
    assert_equal(streaming_attention(q, k, v, block=2), F.scaled_dot_product_attention(q, k, v))


def test_errors_name_the_argument_its_value_and_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"S = 2 keys for T = 3 queries: expected S >= T"):
        causal_mask(3, 2)
    with pytest.raises(ValueError, match=r"lengths = \[2, 5\]: expected each between 0 and S = 4"):
        padding_mask([2, 5], 4)
    with pytest.raises(ValueError, match=r"D = 10 cannot be cut into H = 4 heads"):
        split_heads(torch.zeros(1, 2, 10), 4)
    with pytest.raises(ValueError, match=r"D = 10 cannot be cut into H = 4 heads"):
        MultiHeadAttention(10, 4)


# ---------------------------------------------------------------- properties

sizes = st.integers(min_value=1, max_value=7)


@settings(max_examples=40, deadline=None)
@given(T=sizes, K=sizes, cut=sizes, seed=st.integers(0, 1000))
def test_causality(T: int, K: int, cut: int, seed: int) -> None:
    """What comes later never changes what came before."""
    q, k, v = (normal(T, K, seed=seed + i) for i in range(3))
    cut = min(cut, T)
    changed = [x.clone() for x in (q, k, v)]
    for x in changed:
        x[cut:] += 5.0
    before, _ = scaled_dot_product_attention(q, k, v, causal_mask(T))
    after, _ = scaled_dot_product_attention(*changed, causal_mask(T))
    assert torch.equal(before[:cut], after[:cut])


@settings(max_examples=40, deadline=None)
@given(T=sizes, H=st.sampled_from([1, 2, 4]), seed=st.integers(0, 1000))
def test_permutation_equivariance(T: int, H: int, seed: int) -> None:
    """Attention does not know the order of its input (lab 03 starts from this)."""
    torch.manual_seed(seed)
    attention, x = MultiHeadAttention(8, H), normal(1, T, 8, seed=seed)
    order = torch.randperm(T, generator=torch.Generator().manual_seed(seed))
    assert_equal(attention(x[:, order])[0], attention(x)[0][:, order], rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(T=sizes, S=sizes, shift=st.floats(-50, 50), seed=st.integers(0, 1000))
def test_weights_are_distributions_and_ignore_a_shift(T: int, S: int, shift: float, seed: int) -> None:
    scores = normal(T, S, seed=seed, dtype=torch.float64)
    mask = torch.rand(T, S, generator=torch.Generator().manual_seed(seed)) > 0.5
    weights = masked_softmax(scores, mask)
    sums = mask.any(dim=-1).double()  # 1, or 0 for a row that may see nothing
    torch.testing.assert_close(weights.sum(dim=-1), sums, rtol=1e-12, atol=1e-12)
    assert (weights[~mask] == 0).all()
    torch.testing.assert_close(masked_softmax(scores + shift, mask), weights, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(T=sizes, K=sizes, H=sizes, seed=st.integers(0, 1000))
def test_merging_undoes_splitting_and_heads_are_slices(T: int, K: int, H: int, seed: int) -> None:
    x = normal(2, T, H * K, seed=seed)
    heads = split_heads(x, H)
    assert heads.shape == (2, H, T, K)
    assert torch.equal(merge_heads(heads), x)
    for h in range(H):
        assert torch.equal(heads[:, h], x[..., h * K : (h + 1) * K])


@settings(max_examples=30, deadline=None)
@given(T=sizes, extra=st.integers(0, 5))
def test_causal_mask_by_brute_force(T: int, extra: int) -> None:
    S = T + extra
    expected = [[s <= t + extra for s in range(S)] for t in range(T)]
    assert causal_mask(T, S).tolist() == expected


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_padding_never_matters(lengths: list[int]) -> None:
    """Whatever stands in the padding, the output is that of the sequence without it."""
    B, S, K = len(lengths), 6, 4
    q, k, v = normal(B, 1, 2, K), normal(B, 1, S, K, seed=1), normal(B, 1, S, K, seed=2)
    output, _ = scaled_dot_product_attention(q, k, v, padding_mask(lengths, S))
    for b, n in enumerate(lengths):
        alone = F.scaled_dot_product_attention(q[b], k[b, :, :n], v[b, :, :n]) if n else torch.zeros(1, 2, K)
        torch.testing.assert_close(output[b], alone, rtol=1e-5, atol=1e-6)


def test_score_variance_is_one_whatever_the_width() -> None:
    """Why √K: with unit normal q and k a dot product has variance K, a score variance 1."""
    for K in (4, 64, 1024):
        q, k = normal(200, K, seed=K), normal(200, K, seed=K + 1)
        assert (q @ k.T).var().item() == pytest.approx(K, rel=0.1)
        assert attention_scores(q, k).var().item() == pytest.approx(1, rel=0.1)
    assert attention_scores(torch.ones(1, 16), torch.ones(1, 16)).item() == 16 / math.sqrt(16)


@pytest.mark.parametrize("device", ["meta"])
def test_device_is_kept(device: str) -> None:
    q = torch.empty(2, 3, 4, 8, device=device)
    output, weights = scaled_dot_product_attention(q, q, q, causal_mask(4, device=device))
    assert output.device.type == weights.device.type == device
    assert streaming_attention(q, q, q, block=2).device.type == device
