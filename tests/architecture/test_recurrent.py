"""Recurrence against torch's own cells, the closed form of a linear network, and finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lablib.architecture.recurrent import (
    backpropagate_through_time,
    clip_by_global_norm,
    gradient_by_distance,
    look_back,
    lstm_step,
    rnn_step,
    unroll,
)

B, T, WIDTH, D = 3, 7, 4, 5


def close(actual, expected, rtol=1e-5):
    """Within rtol of the largest expected size: all zeros must fail."""
    largest = expected.abs().max().item()
    assert largest > 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * largest)


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights_of(cell, layer=""):
    """A torch cell's weights in our layout: transposed, and the two biases as one."""
    w_x, w_h, b_x, b_h = (getattr(cell, f"{name}{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    return w_x.T, w_h.T, b_x + b_h


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


# ---------------------------------------------------------------- oracles


def gradients(results, inputs):
    probes = [torch.linspace(-1, 1, x.numel()).view(x.shape) for x in results]
    total = sum((x * probe).sum() for x, probe in zip(results, probes, strict=True))
    return torch.autograd.grad(total, inputs)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_one_step_is_torchs_cell_in_values_and_gradients(kind):
    cell = nn.RNNCell(WIDTH, D) if kind == "rnn" else nn.LSTMCell(WIDTH, D)
    x, h, c = normal(B, WIDTH), normal(B, D, seed=1), normal(B, D, seed=2)
    leaves = [t.requires_grad_() for t in ((x, h) if kind == "rnn" else (x, h, c))] + list(cell.parameters())
    if kind == "rnn":
        mine, theirs = (rnn_step(x, h, *weights_of(cell)),), (cell(x, h),)
    else:
        mine, theirs = lstm_step(x, h, c, *weights_of(cell)), cell(x, (h, c))
    for a, e in zip(mine, theirs, strict=True):
        close(a, e)
    for a, e in zip(gradients(mine, leaves), gradients(theirs, leaves), strict=True):
        close(a, e)


def test_an_unrolled_rnn_is_torchs():
    torchs = nn.RNN(WIDTH, D, batch_first=True)
    x, start = normal(B, T, WIDTH).requires_grad_(), normal(B, D, seed=1)
    states = unroll(lambda x, h: rnn_step(x, h, *weights_of(torchs, "_l0")), x, start)
    expected, last = torchs(x, start[None])
    close(torch.stack(states, dim=1), expected)
    close(states[-1], last[0])
    leaves = [x, *torchs.parameters()]
    for a, e in zip(gradients([torch.stack(states, 1)], leaves), gradients([expected], leaves), strict=True):
        close(a, e)


def test_an_unrolled_lstm_is_torchs():
    torchs = nn.LSTM(WIDTH, D, batch_first=True)
    x, h, c = normal(B, T, WIDTH).requires_grad_(), normal(B, D, seed=1), normal(B, D, seed=2)
    states = unroll(lambda x, s: lstm_step(x, *s, *weights_of(torchs, "_l0")), x, (h, c))
    expected, (last_h, last_c) = torchs(x, (h[None], c[None]))
    mine = torch.stack([h for h, _ in states], dim=1)
    close(mine, expected)
    close(states[-1][0], last_h[0])
    close(states[-1][1], last_c[0])
    leaves = [x, *torchs.parameters()]
    for a, e in zip(gradients([mine], leaves), gradients([expected], leaves), strict=True):
        close(a, e)


def test_the_way_back_by_hand_is_autograds():
    w_x, w_h, b = normal(WIDTH, D), normal(D, D, seed=1, scale=0.7), normal(D, seed=2)
    start = torch.zeros(B, D, requires_grad=True)
    states = unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), normal(B, T, WIDTH, seed=3), start)
    probe = normal(B, D, seed=4)
    expected = torch.autograd.grad((states[-1] * probe).sum(), states)
    mine = backpropagate_through_time(torch.stack(states, dim=1).detach(), w_h, probe)
    close(mine, torch.stack(expected, dim=1))


def test_the_recurrent_matrix_gets_one_term_for_each_distance():
    """As lab 01 draws it: the state that a step started from, times the gradient behind its tanh."""
    w_x, b, w_h = normal(WIDTH, D), normal(D, seed=2), normal(D, D, seed=1, scale=0.7).requires_grad_()
    states = unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), normal(B, T, WIDTH, seed=3), torch.zeros(B, D))
    probe = normal(B, D, seed=4)
    (expected,) = torch.autograd.grad((states[-1] * probe).sum(), w_h)
    stacked = torch.stack(states, dim=1).detach()
    back = backpropagate_through_time(stacked, w_h.detach(), probe) * (1 - stacked**2)
    before = torch.cat((torch.zeros(B, 1, D), stacked[:, :-1]), dim=1)
    close(torch.einsum("btd,bte->tde", before, back).sum(0), expected)


def test_the_gradient_by_distance_agrees_with_finite_differences():
    w_x, w_h, b = (t.double() for t in (normal(2, 3), normal(3, 3, seed=1), normal(3, seed=2)))
    x = normal(1, 4, 2, seed=3).double()

    def loss_of(x):
        return unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), x, x.new_zeros(1, 3))[-1].sum()

    slopes = torch.zeros(4, 2, dtype=torch.float64)
    for t in range(4):
        for i in range(2):
            nudge = torch.zeros_like(x)
            nudge[0, t, i] = 1e-5
            slopes[t, i] = (loss_of(x + nudge) - loss_of(x - nudge)) / 2e-5
    close(gradient_by_distance(loss_of, x), slopes.norm(dim=-1).flip(0), rtol=1e-7)
    assert x.grad is None
    assert not x.requires_grad


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_a_linear_networks_gradient_is_a_power(scale):
    turn = torch.linalg.qr(normal(D, D).double())[0]
    read = normal(D, seed=1).double()

    def loss_of(x):
        return (unroll(lambda x, h: x + h @ (scale * turn), x, x.new_zeros(len(x), D))[-1] @ read).sum()

    expected = read.norm() * scale ** torch.arange(T, dtype=torch.float64)
    close(gradient_by_distance(loss_of, normal(B, T, D).double()), expected, rtol=1e-12)


def test_a_step_back_stretches_by_no_more_than_the_largest_singular_value():
    w_h = normal(D, D, scale=0.8)
    largest = torch.linalg.matrix_norm(w_h, ord=2)

    def step(x, h):
        return rnn_step(x, h, torch.eye(D), w_h, torch.zeros(D))

    states = torch.stack(unroll(step, normal(B, T, D, seed=1), torch.zeros(B, D)), dim=1)
    norms = backpropagate_through_time(states, w_h, normal(B, D, seed=2)).norm(dim=-1)
    assert (norms[:, :-1] <= norms[:, 1:] * largest * (1 + 1e-6)).all()
    assert (norms[:, 0] > 0).all()


# ---------------------------------------------------------------- clipping


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
@settings(max_examples=50, deadline=None)
def test_clipping_is_torchs(seed, size, max_norm):
    given_ = [normal(3, 4, seed=seed, scale=size), normal(5, seed=seed + 1, scale=size)]
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in given_]
    for parameter, gradient in zip(parameters, given_, strict=True):
        parameter.grad = gradient.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)  # it adds 1e-6 to the norm
    before = [g.clone() for g in given_]
    clipped = clip_by_global_norm(max_norm, *given_)
    norm = torch.cat([g.flatten() for g in given_]).norm().item()
    for a, parameter in zip(clipped, parameters, strict=True):
        close(a, parameter.grad, rtol=1e-5 + 1e-6 / norm)
    assert all(torch.equal(g, old) for g, old in zip(given_, before, strict=True))


@given(st.integers(0, 2**31), st.floats(1e-2, 1e2))
@settings(max_examples=50, deadline=None)
def test_clipping_bounds_the_norm_keeps_the_direction_and_is_done_once(seed, max_norm):
    before = [normal(3, 4, seed=seed), normal(5, seed=seed + 1)]
    clipped = clip_by_global_norm(max_norm, *before)
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (before, clipped))
    assert b.norm().item() == pytest.approx(min(a.norm().item(), max_norm), rel=1e-5)
    assert torch.cosine_similarity(a, b, dim=0).item() == pytest.approx(1, rel=1e-5)
    for once, twice in zip(clipped, clip_by_global_norm(max_norm, *clipped), strict=True):
        close(twice, once)


def test_clipping_leaves_zeros_alone_and_refuses_a_limit_that_is_not_positive():
    (zeros,) = clip_by_global_norm(1.0, torch.zeros(3))
    assert torch.equal(zeros, torch.zeros(3))
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=rf"max_norm = {bad}: expected a positive number; 1.0 is usual"):
            clip_by_global_norm(bad, torch.ones(3))


# ---------------------------------------------------------------- properties


@given(st.integers(0, 2**31), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_a_state_knows_nothing_of_what_comes_later(seed, cut):
    w_x, w_h, b = normal(WIDTH, D, seed=seed), normal(D, D, seed=seed + 1), normal(D, seed=seed + 2)
    x = normal(B, T, WIDTH, seed=seed + 3)
    changed = torch.cat((x[:, :cut], 1 - x[:, cut:]), dim=1)
    before, after = (
        torch.stack(unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), inputs, torch.zeros(B, D)), 1)
        for inputs in (x, changed)
    )
    assert torch.equal(before[:, :cut], after[:, :cut])
    assert not torch.allclose(before[:, cut:], after[:, cut:])
    assert before.abs().max() <= 1


def test_reading_in_two_parts_is_reading_at_once():
    w_x, w_h, b = normal(WIDTH, 4 * D), normal(D, 4 * D, seed=1), normal(4 * D, seed=2)
    x, start = normal(B, T, WIDTH, seed=3), (torch.zeros(B, D), torch.zeros(B, D))

    def step(x, s):
        return lstm_step(x, *s, w_x, w_h, b)

    whole = unroll(step, x, start)
    first = unroll(step, x[:, :3], start)
    second = unroll(step, x[:, 3:], first[-1])
    for (h, c), (h_whole, c_whole) in zip(first + second, whole, strict=True):
        assert torch.equal(h, h_whole)
        assert torch.equal(c, c_whole)


def test_a_forget_gate_of_one_keeps_the_cell_and_its_gradient():
    w_x, w_h, b = torch.zeros(WIDTH, 4 * D), torch.zeros(D, 4 * D), torch.zeros(4 * D)
    b[:D], b[D : 2 * D] = -100, 100  # nothing comes in, everything is kept
    start = normal(B, D).requires_grad_()
    states = unroll(lambda x, s: lstm_step(x, *s, w_x, w_h, b), normal(B, T, WIDTH), (torch.zeros(B, D), start))
    assert torch.equal(states[-1][1], start)
    (gradient,) = torch.autograd.grad(states[-1][1].sum(), start)
    assert torch.equal(gradient, torch.ones(B, D))


@pytest.mark.parametrize("bias", [-1.0, 0.0, 2.0])
def test_without_recurrent_weights_the_cells_gradient_is_a_power_of_the_forget_gate(bias):
    b = torch.zeros(4 * D)
    b[D : 2 * D] = bias
    start = torch.zeros(B, D, requires_grad=True)
    zeros = torch.zeros(WIDTH, 4 * D), torch.zeros(D, 4 * D)
    states = unroll(lambda x, s: lstm_step(x, *s, *zeros, b), normal(B, T, WIDTH), (torch.zeros(B, D), start))
    (gradient,) = torch.autograd.grad(states[-1][1].sum(), start)
    close(gradient, torch.full((B, D), (1 / (1 + math.exp(-bias))) ** T))


def test_looking_back_is_one_head_of_torchs_attention():
    attention = nn.MultiheadAttention(D, 1, bias=False, batch_first=True)
    w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
    with torch.no_grad():
        attention.out_proj.weight.copy_(torch.eye(D))
    x = normal(B, T, D)
    expected, weights = attention(x[:, -1:], x, x)
    output, mine = look_back(x, w_q.T, w_k.T, w_v.T)
    close(output, expected[:, 0])
    close(mine, weights[:, 0])


@given(st.integers(0, 2**31), st.permutations(range(T - 1)))
@settings(max_examples=30, deadline=None)
def test_looking_back_does_not_mind_where_the_others_stand(seed, order):
    x, weights = normal(B, T, WIDTH, seed=seed), [normal(WIDTH, D, seed=seed + i) for i in (1, 2, 3)]
    shuffled = torch.cat((x[:, order], x[:, -1:]), dim=1)
    (a, seen), (b, seen_shuffled) = look_back(x, *weights), look_back(shuffled, *weights)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen[:, order], seen_shuffled[:, :-1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen.sum(-1), torch.ones(B))


def test_the_numbers_in_the_answers_of_lab_01():
    matrix = torch.tensor([[0.9, 5.0], [0.0, 0.9]], dtype=torch.float64)
    norms = [torch.linalg.matrix_norm(torch.linalg.matrix_power(matrix, k), ord=2).item() for k in (1, 10, 200)]
    assert norms[1] > 15  # far above 1, and above the first
    assert norms[1] > norms[0]
    assert norms[2] < 1e-5
    assert round(math.log(40 - 1), 1) == 3.7
