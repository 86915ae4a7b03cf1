"""Lab 01: the exercises of `lablib.architecture.recurrent`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lablib.architecture.attention import masked_softmax, scaled_dot_product_attention
from lablib.architecture.recurrent import (
    backpropagate_through_time,
    look_back,
    lstm_step,
    rnn_step,
    unroll,
)
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake

MODULE = "lablib.architecture.recurrent"
Step = Callable[[Tensor, Any], Any]
LossOf = Callable[[Tensor], Tensor]


# ---------------------------------------------------------------- 1 rnn_step


def check_rnn_step(attempt: Attempt) -> None:
    one = torch.ones(1, 1)
    attempt.compare(
        "one number each: x = 1, h = 2, w_x = 0.5, w_h = 0.25, b = 0", one, 2 * one, one / 2, one / 4, 0 * one[0]
    )
    args = [attempt.normal(3, 4), attempt.normal(3, 5), attempt.normal(4, 5, scale=0.5)]
    args += [attempt.normal(5, 5, scale=0.5), attempt.normal(5)]
    attempt.compare("x (3, 4), h (3, 5)", *args, outputs=["the new state"], axes=["B", "D"], gradients=True)
    square = [attempt.normal(4, 4, scale=0.7) for _ in range(4)]
    attempt.compare("x and h (4, 4)", *square, attempt.normal(4), outputs=["the new state"], axes=["B", "D"])
    attempt.keeps_type_and_device(*args, outputs=["the new state"], axes=["B", "D"])


def _rnn_no_bias(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w_x + h @ w_h)


def _rnn_no_tanh(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return x @ w_x + h @ w_h + b


def _rnn_sigmoid(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.sigmoid(x @ w_x + h @ w_h + b)


def _rnn_forgets(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w_x + b)


def _rnn_transposed(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w_x + h @ w_h.T + b)


def _rnn_torch_layout(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w_x.T + h @ w_h.T + b)


def _rnn_tanh_too_early(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w_x + b) + h @ w_h


def _rnn_entrywise(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    return torch.tanh(x @ w_x + h * w_h.diagonal() + b)


# ---------------------------------------------------------------- 2 unroll


def _add(x: Tensor, h: Tensor) -> Tensor:
    return h / 2 + x


def _pair(x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    h, c = state
    return h + c, 0.5 * c + x


def _flat(states: Any) -> Any:
    """The list of states as a tuple of tensors, which can be compared; anything else as it came."""
    if not isinstance(states, list):
        return states
    return tuple(x for state in states for x in (state if isinstance(state, tuple) else (state,)))


def check_unroll(attempt: Attempt) -> None:
    def run(unroll: Implementation) -> Callable[..., Any]:
        return lambda x, start: _flat(unroll(_add, x, start))

    def run_pair(unroll: Implementation) -> Callable[..., Any]:
        return lambda x, h, c: _flat(unroll(_pair, x, (h, c)))

    def named(T: int) -> list[str]:
        return [f"state {t} of the list" for t in range(T)]

    x = torch.tensor([[[1.0], [2.0], [3.0]]])
    attempt.compare("x = [[[1], [2], [3]]], h' = h/2 + x, from 0", x, torch.zeros(1, 1), setup=run, outputs=named(3))
    x, start = attempt.normal(2, 6, 4), attempt.normal(2, 4)
    attempt.compare("x (2, 6, 4), h' = h/2 + x", x, start, setup=run, outputs=named(6), axes=["B", "D"], gradients=True)
    attempt.compare(
        "as many sequences as steps, x (4, 4, 3)",
        attempt.normal(4, 4, 3),
        start.new_ones(4, 3),
        setup=run,
        outputs=named(4),
    )
    state = attempt.normal(2, 4), attempt.normal(2, 4)
    attempt.compare(
        "a cell whose state is a pair (h, c), x (2, 3, 4)", x[:, :3], *state, setup=run_pair, outputs=named(6)
    )


def _unroll_same_start(step: Step, x: Tensor, state: Any) -> list:
    return [step(x_t, state) for x_t in x.unbind(dim=1)]


def _unroll_batch_axis(step: Step, x: Tensor, state: Any) -> list:
    states = []
    for x_t in x:
        state = step(x_t, state)
        states.append(state)
    return states


def _unroll_last_only(step: Step, x: Tensor, state: Any) -> Any:
    return unroll(step, x, state)[-1]


def _unroll_with_start(step: Step, x: Tensor, state: Any) -> list:
    return [state, *unroll(step, x, state)]


def _unroll_starts_with_it(step: Step, x: Tensor, state: Any) -> list:
    return [state, *unroll(step, x, state)][:-1]


def _unroll_backwards(step: Step, x: Tensor, state: Any) -> list:
    return unroll(step, x.flip(1), state)


def _unroll_turned_round(step: Step, x: Tensor, state: Any) -> list:
    return unroll(step, x, state)[::-1]


def _unroll_stacked(step: Step, x: Tensor, state: Any) -> Any:
    return torch.stack(unroll(step, x, state), dim=1)


def _unroll_arguments_swapped(step: Step, x: Tensor, state: Any) -> list:
    return unroll(lambda x, state: step(state, x), x, state)


# ---------------------------------------------------------------- 3 backpropagation through time


def check_bptt(attempt: Attempt) -> None:
    one = torch.ones(1, 1)
    states = torch.tensor([[[0.3], [0.6]]])
    attempt.compare("states [[[0.3], [0.6]]], w_h = [[2]], gradient [[1]]", states, 2 * one, one)
    w_x, w_h, b = attempt.normal(3, 4, scale=0.5), attempt.normal(4, 4, scale=0.6), attempt.normal(4, scale=0.1)
    x = attempt.normal(2, 6, 3)
    states = torch.stack(unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), x, torch.zeros(2, 4)), dim=1)
    gradient, axes = attempt.normal(2, 4), ["B", "T", "D"]
    attempt.compare("the states (2, 6, 4) of an RNN", states, w_h, gradient, outputs=["the gradient"], axes=axes)
    attempt.compare(
        "a single step, states (2, 1, 4)", states[:, :1], w_h, gradient, outputs=["the gradient"], axes=axes
    )
    attempt.keeps_type_and_device(states, w_h, gradient, outputs=["the gradient"], axes=axes)


def _bptt(states: Tensor, gradient: Tensor, back: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Any way back: `back` goes from (gradient at t, h_t, h_{t−1}) to the gradient at t − 1."""
    gradients = [gradient]
    for t in range(states.shape[1] - 1, 0, -1):
        gradient = back(gradient, states[:, t], states[:, t - 1])
        gradients.append(gradient)
    return torch.stack(gradients[::-1], dim=1)


def _bptt_no_transpose(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: (g * (1 - h**2)) @ w_h)


def _bptt_no_tanh(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: g @ w_h.T)


def _bptt_state_before(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, _, before: (g * (1 - before**2)) @ w_h.T)


def _bptt_after_the_matrix(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: (g @ w_h.T) * (1 - h**2))


def _bptt_tanh_again(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: (g * (1 - h.tanh() ** 2)) @ w_h.T)


def _bptt_no_square(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: (g * (1 - h)) @ w_h.T)


def _bptt_turned_round(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return backpropagate_through_time(states, w_h, gradient).flip(1)


def _bptt_not_carried(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: (gradient * (1 - h**2)) @ w_h.T)


def _bptt_added(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    return _bptt(states, gradient, lambda g, h, _: gradient + (g * (1 - h**2)) @ w_h.T)


# ---------------------------------------------------------------- 4 gradient by distance


def _weighted(x: Tensor) -> Tensor:
    weights = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)[:, None]
    return (weights * x**2).sum() / 2


def check_gradient_by_distance(attempt: Attempt) -> None:
    def of_ones(x: Tensor) -> Tensor:
        return -3 * x[:, 0, 0].sum() + 4 * x[:, 0, 1].sum() + x[:, 1, 0].sum()

    case = "x (1, 2, 2), loss = −3·x[0, 0, 0] + 4·x[0, 0, 1] + x[0, 1, 0]"
    axes, outputs = ["T"], ["the norms"]
    attempt.compare(case, of_ones, torch.ones(1, 2, 2), outputs=outputs, axes=axes)
    x = attempt.normal(3, 5, 4)
    attempt.compare("x (3, 5, 4), loss = Σ t·x_t²/2", _weighted, x, outputs=outputs, axes=axes)
    w_x, w_h, b = attempt.normal(4, 6, scale=0.4), attempt.normal(6, 6, scale=0.3), torch.zeros(6)

    def of_rnn(x: Tensor) -> Tensor:
        return unroll(lambda x, h: rnn_step(x, h, w_x, w_h, b), x, torch.zeros(len(x), 6))[-1].sum()

    attempt.compare(
        "x (3, 5, 4), loss = the sum of an RNN's last state", of_rnn, x, rtol=1e-4, outputs=outputs, axes=axes
    )
    attempt.compare("float64 inputs", _weighted, x.double(), rtol=1e-9, outputs=outputs, axes=axes)

    def leaves_no_trace(gradient_by_distance: Implementation) -> bool:
        given = torch.ones(1, 3, 2)
        gradient_by_distance(_weighted, given)
        return given.grad is None and not given.requires_grad

    attempt.require(
        leaves_no_trace,
        ["Tried with x (1, 3, 2): afterwards your code has left `requires_grad` or a `.grad` on the caller's x."],
        "Take a copy first, `x = x.detach().requires_grad_()`, and use torch.autograd.grad rather than `.backward()`.",
    )


def _gradient(loss_of: LossOf, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(loss_of(x), x)[0]


def _distance_by_time(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).norm(dim=-1).mean(dim=0)


def _distance_of_mean(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).mean(dim=0).norm(dim=-1).flip(0)


def _distance_over_batch(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).norm(dim=(0, 2)).flip(0)


def _distance_summed(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).norm(dim=-1).sum(dim=0).flip(0)


def _distance_signed(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).sum(dim=-1).mean(dim=0).flip(0)


def _distance_absolute(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).abs().sum(dim=-1).mean(dim=0).flip(0)


def _distance_of_inputs(loss_of: LossOf, x: Tensor) -> Tensor:
    return x.norm(dim=-1).mean(dim=0).flip(0)


def _distance_squared(loss_of: LossOf, x: Tensor) -> Tensor:
    return _gradient(loss_of, x).square().sum(dim=-1).mean(dim=0).flip(0)


# ---------------------------------------------------------------- 5 clipping


def check_clip(attempt: Attempt) -> None:
    attempt.compare(
        "max_norm 1 and two gradients, [2, 2] and [1]",
        1.0,
        torch.tensor([2.0, 2.0]),
        torch.ones(1),
        outputs=["the first gradient", "the second gradient"],
    )
    first, second, third = attempt.normal(3, 4), attempt.normal(5), attempt.normal(2, 3, 2)
    names = ["the first gradient", "the second gradient", "the third gradient"]
    attempt.compare("max_norm 0.5, three gradients", 0.5, first, second, third, outputs=names)
    attempt.compare("max_norm 100, far above their norm", 100.0, first, second, third, outputs=names)
    attempt.compare(
        "max_norm 2, one large and two tiny gradients", 2.0, 50 * first, second / 50, third / 50, outputs=names
    )
    zeros = torch.zeros(3, 4), torch.zeros(5)
    attempt.compare("gradients that are all zero", 1.0, *zeros, outputs=names[:2])
    attempt.require(
        _refuses_zero,
        ["Tried with max_norm = 0: expected a ValueError, since no direction is left at length 0."],
        "`if not max_norm > 0: raise ValueError(...)` at the top; written so, it catches a NaN too.",
    )


def _refuses_zero(clip: Implementation) -> bool:
    for bad in (0.0, -1.0):
        try:
            clip(bad, torch.ones(2))
        except ValueError:
            continue
        return False
    return True


def _global(gradients: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients]).norm()


def _clip_each(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(g * (max_norm / g.norm()).clamp(max=1.0) for g in gradients)


def _clip_values(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(g.clamp(-max_norm, max_norm) for g in gradients)


def _clip_always(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(g * max_norm / _global(gradients) for g in gradients)


def _clip_sum_of_norms(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    total = torch.stack([g.norm() for g in gradients]).sum()
    return tuple(g * (max_norm / total).clamp(max=1.0) for g in gradients)


def _clip_squared(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(g * (max_norm / _global(gradients) ** 2).clamp(max=1.0) for g in gradients)


def _clip_to_unit(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    norm = _global(gradients)
    return tuple(g / norm if norm > max_norm else g for g in gradients)


def _clip_dropped(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(g if _global(gradients) <= max_norm else torch.zeros_like(g) for g in gradients)


def _clip_upside_down(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    return tuple(g * (_global(gradients) / max_norm).clamp(max=1.0) for g in gradients)


# ---------------------------------------------------------------- 6 lstm_step


def check_lstm_step(attempt: Attempt) -> None:
    outputs, axes = ["the new h", "the new c"], ["B", "D"]
    zero, two = torch.zeros(1, 1), torch.full((1, 1), 2.0)
    weights = torch.zeros(1, 4), torch.zeros(1, 4)
    attempt.compare(
        "all weights 0, so every gate is half open, and c = 2",
        zero,
        zero,
        two,
        *weights,
        torch.zeros(4),
        outputs=outputs,
    )
    args = [attempt.normal(3, 4), attempt.normal(3, 5), attempt.normal(3, 5), attempt.normal(4, 20, scale=0.5)]
    args += [attempt.normal(5, 20, scale=0.5), attempt.normal(20)]
    attempt.compare("x (3, 4), h and c (3, 5)", *args, outputs=outputs, axes=axes, gradients=True)
    square = [
        attempt.normal(4, 4),
        attempt.normal(4, 4),
        attempt.normal(4, 4),
        attempt.normal(4, 16),
        attempt.normal(4, 16),
    ]
    attempt.compare("x, h and c (4, 4)", *square, attempt.normal(16), outputs=outputs, axes=axes)
    attempt.keeps_type_and_device(*args, outputs=outputs, axes=axes)


def _blocks(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, f, g, o = (x @ w_x + h @ w_h + b).chunk(4, dim=-1)
    return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()


def _lstm_ifog(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, f, o, g = (x @ w_x + h @ w_h + b).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _lstm_fi_swapped(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = _blocks(x, h, w_x, w_h, b)
    c = i * c + f * g
    return o * c.tanh(), c


def _lstm_woven(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x @ w_x + h @ w_h + b).unflatten(-1, (-1, 4)).unbind(-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _lstm_no_forget(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, _, g, o = _blocks(x, h, w_x, w_h, b)
    c = c + i * g
    return o * c.tanh(), c


def _lstm_h_without_tanh(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = _blocks(x, h, w_x, w_h, b)
    c = f * c + i * g
    return o * c, c


def _lstm_old_cell(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = _blocks(x, h, w_x, w_h, b)
    return o * c.tanh(), f * c + i * g


def _lstm_sigmoid_candidate(
    x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x @ w_x + h @ w_h + b).sigmoid().chunk(4, dim=-1)
    c = f * c + i * g
    return o * c.tanh(), c


def _lstm_coupled(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    _, f, g, o = _blocks(x, h, w_x, w_h, b)
    c = f * c + (1 - f) * g
    return o * c.tanh(), c


def _lstm_order(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    h, c = lstm_step(x, h, c, w_x, w_h, b)
    return c, h


def _lstm_c_through_tanh(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = _blocks(x, h, w_x, w_h, b)
    c = torch.tanh(f * c + i * g)
    return o * c, c


# ---------------------------------------------------------------- 7 look_back


def check_look_back(attempt: Attempt) -> None:
    outputs, axes = ["the output", "the weights"], ["B", "V"]
    x, one = torch.tensor([[[1.0], [3.0]]]), torch.ones(1, 1)
    attempt.compare("x = [[[1], [3]]], w_q = 0, w_k = w_v = 1", x, 0 * one, one, one, outputs=outputs)
    args = attempt.normal(2, 6, 4), attempt.normal(4, 3), attempt.normal(4, 3), attempt.normal(4, 5)
    attempt.compare("x (2, 6, 4), K = 3, V = 5", *args, outputs=outputs, axes=axes, gradients=True)
    square = [attempt.normal(3, 3, 3), attempt.normal(3, 3), attempt.normal(3, 3), attempt.normal(3, 3)]
    attempt.compare("everything of size 3", *square, outputs=outputs, axes=axes)
    attempt.keeps_type_and_device(*args, outputs=outputs, axes=axes)


def _look_all_queries(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    return scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)


def _look_from_first(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    output, weights = scaled_dot_product_attention(x[:, :1] @ w_q, x @ w_k, x @ w_v)
    return output[:, 0], weights[:, 0]


def _look_axis_left(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    return scaled_dot_product_attention(x[:, -1:] @ w_q, x @ w_k, x @ w_v)


def _look_only_back(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    before = x[:, :-1]
    output, weights = scaled_dot_product_attention(x[:, -1:] @ w_q, before @ w_k, before @ w_v)
    return output[:, 0], weights[:, 0]


def _look_kq_swapped(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    return look_back(x, w_k, w_q, w_v)


def _look_values_are_inputs(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    output, weights = scaled_dot_product_attention(x[:, -1:] @ w_q, x @ w_k, x)
    return output[:, 0], weights[:, 0]


def _look_across_the_batch(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    q = x[:, -1] @ w_q  # (B, K) meets keys (B, T, K): without an axis for T, every sequence asks in every other
    output, weights = scaled_dot_product_attention(q, x @ w_k, x @ w_v)
    return output[:, 0], weights[:, 0]


def _look_not_scaled(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    weights = masked_softmax((x[:, -1:] @ w_q) @ (x @ w_k).mT)
    return (weights @ (x @ w_v))[:, 0], weights[:, 0]


def _look_output_only(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> Any:
    return look_back(x, w_q, w_k, w_v)[0]


EXERCISES = [
    Exercise(
        lab="01",
        target=f"{MODULE}:rnn_step",
        title="One step",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "Three things are added and then squashed: what comes from the input, what comes from the state, the bias.",
            "Two matrix products, each with the weights on the right, plus the bias; tanh around all of it.",
            "`x @ w_x` and `h @ w_h` both have the shape (B, D), and `b` broadcasts over the batch.",
        ),
        reasoning="One matrix for the input, one for the state, and the same two at every step: that is all of a recurrent "
        "network. tanh keeps the state between −1 and 1 however long the sequence is. It also has a slope of at most 1, which "
        "will matter very soon.",
        check=check_rnn_step,
        mistakes=(
            Mistake("no bias", _rnn_no_bias, "The bias `b` is missing."),
            Mistake(
                "no tanh", _rnn_no_tanh, "There is no tanh: nothing keeps the state within bounds, step after step."
            ),
            Mistake("sigmoid", _rnn_sigmoid, "This is a sigmoid, between 0 and 1: expected tanh, between −1 and 1."),
            Mistake("forgets", _rnn_forgets, "The old state `h` is not used: this cell remembers nothing."),
            Mistake("w_h transposed", _rnn_transposed, "`w_h` is transposed: it stands as it is on the right of `h`."),
            Mistake(
                "torch's layout",
                _rnn_torch_layout,
                "Both weights are transposed: torch stores them so, here they are (I, D) and (D, D) and stand as they are.",
            ),
            Mistake("tanh too early", _rnn_tanh_too_early, "The state is added outside of tanh: it belongs inside."),
            Mistake(
                "entry by entry",
                _rnn_entrywise,
                "Each entry of the state only reaches itself: `h @ w_h` is a matrix product over the whole state.",
            ),
        ),
    ),
    Exercise(
        lab="01",
        target=f"{MODULE}:unroll",
        title="One step after another",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "A loop over time. What does a step need that only the step before it can give?",
            "`x.unbind(dim=1)` gives the inputs one by one. Overwrite `state` with what the step returns, and collect it.",
            "`state = step(x_t, state)`, then `states.append(state)`; return the list.",
        ),
        reasoning="The loop cannot be removed: step t needs the state of step t − 1. This is the sequential bottleneck, in "
        "three lines. A list, not one stacked tensor, for two reasons: a state may be a pair, and a stacked *copy* of the "
        "states is not on the way from one step to the next, so autograd could not tell what a loss feels at a state.",
        check=check_unroll,
        mistakes=(
            Mistake(
                "always from the start",
                _unroll_same_start,
                "Every step begins from the first state: hand on what the step before returned, `state = step(x_t, state)`.",
            ),
            Mistake(
                "batch axis", _unroll_batch_axis, "The loop runs over the batch: time is axis 1, `x.unbind(dim=1)`."
            ),
            Mistake("last only", _unroll_last_only, "Only the last state is returned: expected the list of all T."),
            Mistake(
                "start included", _unroll_with_start, "The start is in the list: expected the T states *after* a step."
            ),
            Mistake(
                "one too early",
                _unroll_starts_with_it,
                "The state was kept before the step instead of after it: call `step` first, then append.",
            ),
            Mistake(
                "backwards", _unroll_backwards, "The sequence was read from its end: the first step reads x[:, 0]."
            ),
            Mistake(
                "turned round",
                _unroll_turned_round,
                "The list is in reverse: the state after the first step comes first.",
            ),
            Mistake(
                "stacked",
                _unroll_stacked,
                "The states were stacked into one tensor: expected a plain list, since a state may be a pair.",
            ),
            Mistake(
                "swapped", _unroll_arguments_swapped, "The arguments are swapped: `step(x_t, state)`, the input first."
            ),
        ),
    ),
    Exercise(
        lab="01",
        target=f"{MODULE}:backpropagate_through_time",
        title="The way back",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Go from the last state to the first. One step back undoes one step forward: first the tanh, then the matrix.",
            "The slope of tanh, seen from its result h, is 1 − h². Forward, h_{t−1} was multiplied by W_h from the right; the "
            "gradient is multiplied by W_h transposed.",
            "`gradient = (gradient * (1 - h**2)) @ w_h.T` for h = h_T, …, h_2; collect, turn the list round, "
            "`torch.stack(..., dim=1)`.",
        ),
        reasoning="Nothing but the chain rule, once for each step, and it needs only the states: their inputs and biases are already "
        "in them. Look at what one step does: an entrywise factor of at most 1, and then *the same matrix every time*. After k "
        "steps the gradient has met W_h k times. Whatever that matrix does to a vector, shrink it or stretch it, is done "
        "exponentially often.",
        check=check_bptt,
        mistakes=(
            Mistake(
                "no transpose",
                _bptt_no_transpose,
                "`w_h` must be transposed on the way back: forward it was `h @ w_h`, so the gradient is `… @ w_h.T`.",
            ),
            Mistake("no tanh", _bptt_no_tanh, "The slope of tanh is missing: multiply by 1 − h² before the matrix."),
            Mistake(
                "state before",
                _bptt_state_before,
                "The slope is taken at h_{t−1}: going from t to t − 1 passes through the tanh that *made* h_t, so 1 − h_t².",
            ),
            Mistake(
                "matrix first",
                _bptt_after_the_matrix,
                "The order is the wrong way round: back through the tanh first, then through the matrix.",
            ),
            Mistake(
                "tanh again",
                _bptt_tanh_again,
                "tanh was applied to a state, which is a tanh already: 1 − h² is enough.",
            ),
            Mistake("no square", _bptt_no_square, "The slope of tanh is 1 − h², with a square."),
            Mistake(
                "turned round",
                _bptt_turned_round,
                "The order of time is reversed: the loop finds the last one first, so turn the list round before stacking.",
            ),
            Mistake(
                "not carried",
                _bptt_not_carried,
                "Each step starts from the last gradient again: overwrite `gradient`, so that the next step goes on from there.",
            ),
            Mistake(
                "added each time",
                _bptt_added,
                "The last gradient is added at every step: this loss reads the last state only.",
            ),
        ),
    ),
    Exercise(
        lab="01",
        target=f"{MODULE}:gradient_by_distance",
        title="An instrument for memory",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "torch can differentiate a scalar with respect to any tensor that it came from. Which tensor is that here?",
            "A copy of x with `requires_grad`, the loss of it, `torch.autograd.grad`. Then a norm over the last axis, a mean "
            "over the batch, and time turned round.",
            "`x = x.detach().requires_grad_()`, `torch.autograd.grad(loss_of(x), x)` (it gives a tuple of one), "
            "`.norm(dim=-1).mean(dim=0).flip(0)`.",
        ),
        reasoning="Inputs rather than states, because attention has no states: so one instrument serves all three architectures. "
        "The norm is taken for each sequence first and averaged afterwards; the other way round, gradients of opposite sign in "
        "two sequences would cancel. `torch.autograd.grad` leaves no `.grad` behind, as `.backward()` would.",
        check=check_gradient_by_distance,
        mistakes=(
            Mistake(
                "by time",
                _distance_by_time,
                "It is ordered by time, first input first: distance 0 is the *last* input, so turn it round with `.flip(0)`.",
            ),
            Mistake(
                "norm of the mean",
                _distance_of_mean,
                "The mean over the batch was taken before the norm: sequences with opposite gradients then cancel.",
            ),
            Mistake(
                "norm over the batch",
                _distance_over_batch,
                "The norm runs over the batch as well: one norm for each sequence, then their mean.",
            ),
            Mistake("summed", _distance_summed, "The norms are summed over the batch: expected their mean."),
            Mistake(
                "signed",
                _distance_signed,
                "Entries were added up with their signs: the norm is the root of their squares.",
            ),
            Mistake(
                "absolute",
                _distance_absolute,
                "This is the sum of sizes: expected the norm, the root of the sum of squares.",
            ),
            Mistake("inputs", _distance_of_inputs, "This is the norm of the inputs themselves, not of their gradient."),
            Mistake("squared", _distance_squared, "The square root is missing: this is the norm squared."),
        ),
    ),
    Exercise(
        lab="01",
        target=f"{MODULE}:clip_by_global_norm",
        title="A limit to the step",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Pythagoras again: the norm of everything together is the norm of the single norms.",
            "One factor for all tensors: max_norm / norm where that is below 1, else 1.",
            "`norm = torch.stack([g.norm() for g in gradients]).norm()`, `scale = (max_norm / norm).clamp(max=1.0)`.",
        ),
        reasoning="One common factor keeps the direction of the whole update; a factor for each tensor, or a limit for each "
        "entry, would bend it. `clamp(max=1)` covers the short gradient, and the zero one too (max_norm / 0 is inf). torch's "
        "`clip_grad_norm_` works in place and adds 1e-6 to the norm; the results agree.",
        check=check_clip,
        mistakes=(
            Mistake(
                "each alone",
                _clip_each,
                "Every tensor was clipped by its own norm: one common norm and one factor for all, else the direction changes.",
            ),
            Mistake(
                "by value",
                _clip_values,
                "Every entry was clipped by itself: that changes the direction. Scale them all.",
            ),
            Mistake(
                "always scaled",
                _clip_always,
                "Short gradients were stretched to max_norm: they should come back unchanged (a factor of at most 1).",
            ),
            Mistake(
                "sum of norms",
                _clip_sum_of_norms,
                "The norms were added: the norm of all together is the root of the sum of their squares.",
            ),
            Mistake("no root", _clip_squared, "The root is missing: the factor uses the norm, not its square."),
            Mistake(
                "to length one", _clip_to_unit, "Long gradients came back with length 1: expected length max_norm."
            ),
            Mistake(
                "dropped", _clip_dropped, "Long gradients were set to zero: shorten them, so that training goes on."
            ),
            Mistake("upside down", _clip_upside_down, "The factor is upside down: max_norm / norm."),
        ),
    ),
    Exercise(
        lab="01",
        target=f"{MODULE}:lstm_step",
        title="A cell with gates",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "It begins like the RNN's step, only four times as wide and without the tanh. Then cut it into four.",
            "`.chunk(4, dim=-1)` gives i, f, g, o. Gates through `.sigmoid()`, the candidate g through `.tanh()`. New c first: "
            "h needs it.",
            "`c = f.sigmoid() * c + i.sigmoid() * g.tanh()`, and `o.sigmoid() * c.tanh()` is the new h.",
        ),
        reasoning="The one line that matters is c' = f · c + i · g. Where the RNN multiplies its memory by a matrix and squeezes it "
        "through tanh, the cell is multiplied by a number between 0 and 1 and added to. With f = 1 the memory, and the gradient on its "
        "way back, passes unchanged. The order of the four blocks is a convention: torch has i, f, g, o, others differ, and "
        "weights read in the wrong order give nonsense without an error.",
        check=check_lstm_step,
        mistakes=(
            Mistake(
                "i, f, o, g", _lstm_ifog, "The blocks were read in the order i, f, o, g: torch's order is i, f, g, o."
            ),
            Mistake(
                "i and f swapped",
                _lstm_fi_swapped,
                "Input and forget gate are swapped: f keeps the old c, i lets g in.",
            ),
            Mistake(
                "woven",
                _lstm_woven,
                "Columns 0, 1, 2, 3 were taken as the four parts of the first unit: the parts are blocks of D columns, `.chunk(4)`.",
            ),
            Mistake(
                "no forget gate",
                _lstm_no_forget,
                "The forget gate is missing: c' = f · c + i · g (without it, it is 1997's).",
            ),
            Mistake("no tanh on c", _lstm_h_without_tanh, "The new h lacks a tanh: h' = o · tanh(c')."),
            Mistake("old cell", _lstm_old_cell, "The new h was made from the old c: compute c' first and use it."),
            Mistake(
                "sigmoid everywhere",
                _lstm_sigmoid_candidate,
                "The candidate g goes through tanh: only gates are sigmoids.",
            ),
            Mistake(
                "coupled",
                _lstm_coupled,
                "1 − f was used in place of i: that is another cell (the GRU couples them so).",
            ),
            Mistake("order of results", _lstm_order, "The results are swapped: h' first, then c'."),
            Mistake(
                "c through tanh",
                _lstm_c_through_tanh,
                "The cell itself went through tanh: only what it shows does. The whole point is that c is not squeezed.",
            ),
        ),
    ),
    Exercise(
        lab="01",
        target=f"{MODULE}:look_back",
        title="No steps at all",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Only the last position asks. Every position, the last one included, offers a key and a value.",
            "`x[:, -1:]` keeps the time axis, so the query is (B, 1, K). `scaled_dot_product_attention(q, k, v)` gives output and "
            "weights, each with that axis of length 1.",
            "`scaled_dot_product_attention(x[:, -1:] @ w_q, x @ w_k, x @ w_v)`, then `[:, 0]` on both results.",
        ),
        reasoning="From the first input to the answer it is one weighted sum, however far away it stands: there is no loop, and "
        "nothing is multiplied T times. The slice `-1:` keeps the axis that says how many ask. With `x[:, -1]` the query would be (B, K), "
        "and broadcasting would compare sequences of the batch with each other: a wrong answer without an error.",
        check=check_look_back,
        mistakes=(
            Mistake("all ask", _look_all_queries, "Every position asks: only the last one should, `x[:, -1:] @ w_q`."),
            Mistake("first asks", _look_from_first, "The first position asks: expected the last one, `x[:, -1:]`."),
            Mistake(
                "axis left",
                _look_axis_left,
                "The axis of the single query is still there: take `[:, 0]` of both results.",
            ),
            Mistake(
                "not itself",
                _look_only_back,
                "The last position cannot see itself: all T positions have a key and a value, its own too.",
            ),
            Mistake("keys and queries swapped", _look_kq_swapped, "`w_q` and `w_k` are swapped."),
            Mistake(
                "inputs as values", _look_values_are_inputs, "The values are the inputs themselves: expected `x @ w_v`."
            ),
            Mistake(
                "across the batch",
                _look_across_the_batch,
                "`x[:, -1]` lost its time axis, so sequences of the batch are compared with each other: use `x[:, -1:]`.",
            ),
            Mistake(
                "not scaled",
                _look_not_scaled,
                "The scores are not divided by √K: let scaled_dot_product_attention do it.",
            ),
            Mistake(
                "output only", _look_output_only, "Two results are expected: the output and the weights that made it."
            ),
        ),
    ),
]
