"""The fast parts against the plain ones, against torch, and against numerical derivatives."""

import pytest
import torch
from decoder_helpers import GROUPED, SMALL, assert_equal, seeded, small, some_ids
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lablib.architecture.decoder import FAST, SelfAttention
from lablib.architecture.fast_parts import BLOCK, LONGEST, FastRMSNorm, block_attention, fast_rope
from lablib.architecture.layers import RMSNorm
from lablib.architecture.positions import apply_rope, rotary_table


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=0, max_size=3), D=st.integers(1, 9), size=st.sampled_from([1e-3, 1, 1e3])
)
def test_norm_and_its_gradients_equal_the_plain_one_and_torch(shape, D, size):
    x = [(size * normal(*shape, D)).requires_grad_() for _ in range(3)]
    norms = [FastRMSNorm(D, 1e-4), RMSNorm(D, 1e-4), nn.RMSNorm(D, 1e-4)]
    weight, outer = normal(D, seed=1), normal(*shape, D, seed=2)
    outputs = []
    for norm, input in zip(norms, x, strict=True):
        with torch.no_grad():
            norm.weight.copy_(weight)
        outputs.append(norm(input))
        (outputs[-1] * outer).sum().backward()
    with torch.no_grad():
        assert_equal(norms[0](x[0]), outputs[1], 1e-5)
    for i in (1, 2):
        assert_equal(outputs[0], outputs[i], 1e-5)
        assert_equal(norms[0].weight.grad, norms[i].weight.grad, 1e-5)
        # A gradient is a difference of terms of the size of outer · weight / RMS(x): rounding is relative to those.
        scale = (outer * weight).abs().max() / (size * normal(*shape, D)).square().mean(-1).add(1e-4).sqrt().min()
        torch.testing.assert_close(x[0].grad, x[i].grad, rtol=0, atol=3e-6 * scale.item())


def test_the_gradient_of_the_norm_is_the_numerical_one():
    norm = FastRMSNorm(5, 1e-3).double()
    with torch.no_grad():
        norm.weight.copy_(normal(5, dtype=torch.float64))
    x = normal(2, 3, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,))
    assert torch.autograd.gradcheck(
        lambda w: torch.func.functional_call(norm, {"weight": w}, (x.detach(),)), (norm.weight,)
    )


def test_a_second_derivative_is_refused_rather_than_wrong():
    x = normal(2, 4).requires_grad_()
    (first,) = torch.autograd.grad(FastRMSNorm(4)(x).pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_the_norm_of_half_precision_neither_overflows_nor_loses_what_a_float_would_keep():
    x = 1000 * normal(4, 64)  # 1000² is beyond fp16
    for dtype in (torch.float16, torch.bfloat16):
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients):
                y = FastRMSNorm(64).to(dtype)(x.to(dtype))
            assert y.dtype == dtype
            assert_equal(y.float(), RMSNorm(64)(x.to(dtype).float()), 1e-2 if dtype == torch.bfloat16 else 1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal(FastRMSNorm(64)(x), RMSNorm(64)(x), 1e-6)


@settings(max_examples=40, deadline=None)
@given(B=st.integers(1, 3), H=st.integers(1, 3), T=st.integers(1, 6), K=st.sampled_from([2, 4, 8]), rows=st.booleans())
def test_rope_and_its_gradient_equal_the_plain_one(B, H, T, K, rows):
    x, outer = [normal(B, H, T, K).requires_grad_() for _ in range(2)], normal(B, H, T, K, seed=2)
    cos, sin = rotary_table(T, K, start=3)
    if rows:  # each row has positions of its own
        angles = normal(B, 1, T, K // 2, seed=3)
        cos, sin = angles.cos(), angles.sin()
    outputs = [rope(input, cos, sin) for rope, input in zip((fast_rope, apply_rope), x, strict=True)]
    for output in outputs:
        (output * outer).sum().backward()
    assert_equal(outputs[0], outputs[1], 1e-6)
    assert_equal(x[0].grad, x[1].grad, 1e-6)


def test_rope_keeps_the_type_and_turns_with_exact_angles_in_bf16():
    x, (cos, sin) = normal(1, 1, 3, 4, dtype=torch.bfloat16), rotary_table(3, 4, start=257)
    assert fast_rope(x, cos, sin).dtype == torch.bfloat16
    assert_equal(fast_rope(x, cos, sin).float(), apply_rope(x.float(), cos, sin), 5e-3)


# ---------------------------------------------------------------- attention


@settings(max_examples=40, deadline=None)
@given(
    B=st.integers(1, 3), H=st.integers(1, 3), T=st.integers(1, 9), K=st.sampled_from([1, 4, 32]), block=st.integers(1, 10)
)  # fmt: skip
def test_block_attention_and_its_gradients_equal_the_fused_function_of_torch(B, H, T, K, block):
    inputs = [[normal(B, H, T, K, seed=i).requires_grad_() for i in range(3)] for _ in range(2)]
    outer = normal(B, H, T, K, seed=3)
    outputs = [block_attention(*inputs[0], block), F.scaled_dot_product_attention(*inputs[1], is_causal=True)]
    assert_equal(outputs[0], outputs[1], 1e-5)
    for output in outputs:
        (output * outer).sum().backward()
    for mine, theirs in zip(*inputs, strict=True):
        if T > 1:  # with one token only v has a gradient
            assert_equal(mine.grad, theirs.grad, 1e-5)
    assert_equal(inputs[0][2].grad, inputs[1][2].grad, 1e-5)


def test_block_attention_in_bfloat16_is_as_near_to_float32_as_the_fused_function_twice_over():
    T = 2 * BLOCK + 3
    wide = [normal(2, 3, T, 32, seed=i) for i in range(3)]
    outer, found = normal(2, 3, T, 32, seed=3), {}
    for name, dtype in (("exact", torch.float64), ("blocks", torch.bfloat16), ("fused", torch.bfloat16)):
        x = [part.to(dtype).requires_grad_() for part in wide]
        y = block_attention(*x) if name == "blocks" else F.scaled_dot_product_attention(*x, is_causal=True)
        assert y.dtype == dtype
        (y * outer.to(dtype)).sum().backward()
        found[name] = [part.double() for part in (y, *(part.grad for part in x))]
    for exact, blocks, fused in zip(*(found[name] for name in ("exact", "blocks", "fused")), strict=True):
        errors = [((each - exact).norm() / exact.norm()).item() for each in (blocks, fused)]
        assert 0 < errors[0] < max(2 * errors[1], 0.01)
        assert errors[0] < 0.02


@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["as many heads", "grouped"])
def test_the_decoder_takes_block_attention_in_bf16_training_only_and_learns_the_same(config, monkeypatch):
    taken = []

    def spy(q, k, v):
        taken.append(q.dtype)
        return block_attention(q, k, v)

    monkeypatch.setattr("lablib.architecture.fast_parts.block_attention", spy)
    model, ids = small(config), some_ids(3, 17)
    exact = torch.autograd.grad(F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()), list(model.parameters()))
    assert not taken  # in float32
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            model(ids)
        padded = model(ids, torch.arange(17) < torch.tensor([[17], [9], [4]]))
        assert not taken  # without gradients, with padding
        loss = F.cross_entropy(model(ids).float().flatten(0, 1), ids.flatten())
    assert padded.isfinite().all()
    assert taken == [torch.bfloat16] * config.L
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    near = torch.cat([g.flatten() for g in gradients]), torch.cat([g.flatten() for g in exact])
    assert F.cosine_similarity(*near, dim=0) > 0.99


def test_long_rows_go_to_the_fused_function(monkeypatch):
    taken = []
    monkeypatch.setattr("lablib.architecture.fast_parts.block_attention", lambda q, k, v: taken.append(1) or q)
    attention = SelfAttention(4, 2, 2, False, FAST).bfloat16()
    attention(normal(1, LONGEST + 1, 4, dtype=torch.bfloat16))
    assert not taken
    attention(normal(1, LONGEST, 4, dtype=torch.bfloat16))
    assert taken
