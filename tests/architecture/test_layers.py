"""Norms, feed-forward networks and residual connections against torch's own, then by their properties."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attention import assert_equal, assert_same_gradients, normal
from torch import nn

from lablib.architecture.layers import (
    FeedForward,
    LayerNorm,
    RMSNorm,
    SwiGLU,
    layer_norm,
    post_norm,
    pre_norm,
    rms_norm,
)

# ---------------------------------------------------------------- against torch


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_layer_norm_is_torchs(scale):
    x = (scale * (normal(3, 5, 8) + 2)).requires_grad_()
    weight, bias = normal(8, seed=1).requires_grad_(), normal(8, seed=2).requires_grad_()
    ours, theirs = layer_norm(x, weight, bias), F.layer_norm(x, (8,), weight, bias)
    assert_equal(ours, theirs)
    assert_same_gradients(layer_norm(x, weight, bias), F.layer_norm(x, (8,), weight, bias), [weight, bias])


def test_layer_norm_has_torchs_gradient_for_x():
    x = normal(3, 5, 8).requires_grad_()
    weight, bias = normal(8, seed=1), normal(8, seed=2)
    assert_same_gradients(layer_norm(x, weight, bias), F.layer_norm(x, (8,), weight, bias), [x])


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_rms_norm_is_torchs(eps):
    x, weight = normal(3, 5, 8).requires_grad_(), normal(8, seed=1).requires_grad_()
    ours, theirs = rms_norm(x, weight, eps), F.rms_norm(x, (8,), weight, eps)
    assert_equal(ours, theirs)
    assert_same_gradients(ours, theirs, [x, weight])


def test_the_modules_start_as_torchs_do():
    x = normal(2, 3, 8)
    assert_equal(LayerNorm(8)(x), nn.LayerNorm(8)(x))
    assert_equal(RMSNorm(8)(x), nn.RMSNorm(8, eps=1e-6)(x))


@pytest.mark.parametrize("activation", [torch.relu, F.gelu])
def test_feed_forward_is_linear_activation_linear(activation):
    ours = FeedForward(8, 32, activation)
    first, second = nn.Linear(8, 32), nn.Linear(32, 8)
    first.load_state_dict(ours.up.state_dict())
    second.load_state_dict(ours.down.state_dict())
    x = normal(2, 3, 8).requires_grad_()
    assert_equal(ours(x), second(activation(first(x))))
    assert_same_gradients(ours(x), second(activation(first(x))), [x])


def test_swiglu_is_the_mlp_of_llama():
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    ours = SwiGLU(8, 20)
    theirs = LlamaMLP(LlamaConfig(hidden_size=8, intermediate_size=20, num_attention_heads=2))
    names = {"gate_proj": ours.gate, "up_proj": ours.up, "down_proj": ours.down}
    for name, layer in names.items():
        getattr(theirs, name).load_state_dict(layer.state_dict())
    x = normal(2, 3, 8).requires_grad_()
    assert_equal(ours(x), theirs(x))
    assert_same_gradients(ours(x), theirs(x), [x])


# ---------------------------------------------------------------- properties

seeds = st.integers(0, 1000)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, shift=st.floats(-5, 5), scale=st.floats(0.5, 20))
def test_layer_norm_ignores_shift_and_scale(seed, shift, scale):
    x, one, zero = normal(4, 16, seed=seed, dtype=torch.float64), torch.ones(16).double(), torch.zeros(16).double()
    assert_equal(layer_norm(scale * x + shift, one, zero, eps=0), layer_norm(x, one, zero, eps=0), rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, scale=st.floats(0.5, 20))
def test_rms_norm_ignores_scale_and_not_shift(seed, scale):
    x, one = normal(4, 16, seed=seed, dtype=torch.float64), torch.ones(16).double()
    assert_equal(rms_norm(scale * x, one, eps=0), rms_norm(x, one, eps=0), rtol=1e-9)
    assert (rms_norm(x + 1, one, eps=0) - rms_norm(x, one, eps=0)).abs().max() > 0.05


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_rms_norm_of_what_has_mean_zero_is_layer_norm(seed):
    x = normal(4, 16, seed=seed, dtype=torch.float64)
    x = x - x.mean(-1, keepdim=True)
    one = torch.ones(16).double()
    assert_equal(rms_norm(x, one, 1e-5), layer_norm(x, one, 0 * one, 1e-5), rtol=1e-9)


def test_each_position_is_treated_alone():
    x, order = normal(1, 7, 8), torch.tensor([3, 1, 6, 0, 2, 5, 4])
    for layer in (LayerNorm(8), RMSNorm(8), FeedForward(8, 16), SwiGLU(8, 16)):
        assert_equal(layer(x[:, order]), layer(x)[:, order])


def test_a_constant_position_does_not_become_nan():
    x = torch.full((2, 8), 3.0).requires_grad_()
    y = layer_norm(x, torch.ones(8), torch.zeros(8))
    y.sum().backward()
    assert torch.equal(y, torch.zeros(2, 8))
    assert x.grad.isfinite().all()
    assert torch.equal(rms_norm(torch.zeros(2, 8), torch.ones(8)), torch.zeros(2, 8))


def test_pre_norm_leaves_a_clear_path_and_post_norm_does_not():
    x = normal(2, 8).requires_grad_()
    silent = lambda x: 0 * x  # noqa: E731  a sublayer that adds nothing
    assert torch.equal(pre_norm(x, silent, nn.LayerNorm(8)), x)
    assert_equal(post_norm(x, silent, nn.LayerNorm(8)), F.layer_norm(x, (8,)))
