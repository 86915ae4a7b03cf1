"""Lab 01: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lablib.architecture.recurrent import (
    backpropagate_through_time,
    clip_by_global_norm,
    gradient_by_distance,
    look_back,
    lstm_step,
    rnn_step,
    unroll,
)

# ---------------------------------------------------------------- rnn_step


def rnn_by_concatenation(x, h, w_x, w_h, b):
    return torch.tanh(torch.cat((x, h), dim=-1) @ torch.cat((w_x, w_h)) + b)


def rnn_by_linear(x, h, w_x, w_h, b):
    return (F.linear(x, w_x.T, b) + F.linear(h, w_h.T)).tanh()


def rnn_by_einsum(x, h, w_x, w_h, b):
    total = torch.einsum("bi,id->bd", x, w_x) + torch.einsum("bd,de->be", h, w_h) + b
    return 2 * torch.sigmoid(2 * total) - 1


def rnn_relu(x, h, w_x, w_h, b):
    return torch.relu(x @ w_x + h @ w_h + b)


def rnn_residual(x, h, w_x, w_h, b):
    return h + rnn_step(x, h, w_x, w_h, b)


def rnn_bias_subtracted(x, h, w_x, w_h, b):
    return rnn_step(x, h, w_x, w_h, -b)


def rnn_detaches_state(x, h, w_x, w_h, b):
    return rnn_step(x, h.detach(), w_x, w_h, b)


def rnn_twice(x, h, w_x, w_h, b):
    return rnn_step(x, h, w_x, w_h, b).tanh()


def rnn_bias_twice(x, h, w_x, w_h, b):
    return torch.tanh(x @ w_x + b + h @ w_h + b)


def rnn_weights_swapped(x, h, w_x, w_h, b):
    return torch.tanh(x @ w_h + h @ w_x + b)


# ---------------------------------------------------------------- unroll


def unroll_by_index(step, x, state):
    states = []
    for t in range(x.shape[1]):
        states.append(step(x[:, t], states[-1] if t else state))
    return states


def unroll_by_accumulate(step, x, state):
    from itertools import accumulate

    return list(accumulate(x.unbind(1), lambda s, x_t: step(x_t, s), initial=state))[1:]


def unroll_by_recursion(step, x, state):
    if x.shape[1] == 0:
        return []
    first = step(x[:, 0], state)
    return [first, *unroll_by_recursion(step, x[:, 1:], first)]


def unroll_drops_last(step, x, state):
    return unroll(step, x[:, :-1], state)


def unroll_every_second(step, x, state):
    return unroll(step, x[:, ::2], state)


def unroll_keeps_axis(step, x, state):
    states = []
    for t in range(x.shape[1]):
        state = step(x[:, t : t + 1], state)
        states.append(state)
    return states


def unroll_cuts_the_gradient(step, x, state):
    states = []
    for x_t in x.unbind(1):
        state = step(x_t, state.detach() if isinstance(state, torch.Tensor) else state)
        states.append(state)
    return states


def unroll_tensor_states_only(step, x, state):
    return [torch.as_tensor(s) for s in unroll(step, x, state)]


def unroll_yields(step, x, state):
    for x_t in x.unbind(1):
        state = step(x_t, state)
        yield state


# ---------------------------------------------------------------- backpropagate_through_time


def bptt_by_index(states, w_h, gradient):
    result = torch.zeros_like(states)
    result[:, -1] = gradient
    for t in range(states.shape[1] - 2, -1, -1):
        result[:, t] = F.linear(result[:, t + 1] - result[:, t + 1] * states[:, t + 1].square(), w_h)
    return result


def bptt_by_jacobians(states, w_h, gradient):
    found = [gradient]
    for t in range(states.shape[1] - 1, 0, -1):
        jacobian = w_h * (1 - states[:, t, None, :] ** 2)  # (B, D, D): entry (i, j) is ∂h_t[j] / ∂h_{t−1}[i]
        found.insert(0, torch.einsum("bij,bj->bi", jacobian, found[0]))
    return torch.stack(found, dim=1)


def bptt_by_recursion(states, w_h, gradient):
    if states.shape[1] == 1:
        return gradient.unsqueeze(1)
    before = (gradient * (1 - states[:, -1]) * (1 + states[:, -1])) @ w_h.mT
    return torch.cat((bptt_by_recursion(states[:, :-1], w_h, before), gradient.unsqueeze(1)), dim=1)


def bptt_without_last(states, w_h, gradient):
    return backpropagate_through_time(states, w_h, gradient)[:, :-1]


def bptt_norms_only(states, w_h, gradient):
    return backpropagate_through_time(states, w_h, gradient).norm(dim=-1)


def bptt_one_too_far(states, w_h, gradient):
    found = []
    for t in range(states.shape[1] - 1, -1, -1):
        gradient = (gradient * (1 - states[:, t] ** 2)) @ w_h.T
        found.append(gradient)
    return torch.stack(found[::-1], dim=1)


def bptt_time_first(states, w_h, gradient):
    return backpropagate_through_time(states, w_h, gradient).transpose(0, 1)


def bptt_minus(states, w_h, gradient):
    return -backpropagate_through_time(states, w_h, gradient)


def bptt_normalised(states, w_h, gradient):
    return F.normalize(backpropagate_through_time(states, w_h, gradient), dim=-1)


def bptt_sigmoid_slope(states, w_h, gradient):
    found = [gradient]
    for t in range(states.shape[1] - 1, 0, -1):
        gradient = (gradient * states[:, t] * (1 - states[:, t])) @ w_h.T
        found.append(gradient)
    return torch.stack(found[::-1], dim=1)


# ---------------------------------------------------------------- gradient_by_distance


def distance_by_backward(loss_of, x):
    leaf = x.clone().detach().requires_grad_(True)
    loss_of(leaf).backward()
    return torch.flip(leaf.grad.square().sum(-1).sqrt().mean(0), dims=(0,))


def distance_by_func(loss_of, x):
    return torch.linalg.vector_norm(torch.func.grad(loss_of)(x), dim=2).mean(0)[torch.arange(x.shape[1] - 1, -1, -1)]


def distance_by_steps(loss_of, x):
    inputs = [x_t.detach().requires_grad_() for x_t in x.unbind(1)]
    gradients = torch.autograd.grad(loss_of(torch.stack(inputs, dim=1)), inputs)
    return torch.stack([g.norm(dim=-1).mean() for g in gradients[::-1]])


def distance_median(loss_of, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(loss_of(x), x)[0].norm(dim=-1).median(0).values.flip(0)


def distance_first_sequence(loss_of, x):
    return gradient_by_distance(loss_of, x)[..., :1]


def distance_log(loss_of, x):
    return gradient_by_distance(loss_of, x).log()


def distance_relative(loss_of, x):
    norms = gradient_by_distance(loss_of, x)
    return norms / norms[0]


def distance_list(loss_of, x):
    return gradient_by_distance(loss_of, x).tolist()


def distance_leaves_grad(loss_of, x):
    x.requires_grad_()
    loss_of(x).backward()
    return x.grad.norm(dim=-1).mean(0).flip(0)


def distance_times_input(loss_of, x):
    x = x.detach().requires_grad_()
    return (x * torch.autograd.grad(loss_of(x), x)[0]).norm(dim=-1).mean(0).flip(0).detach()


# ---------------------------------------------------------------- clip_by_global_norm


def clip_by_torch(max_norm, *gradients):
    if max_norm <= 0:
        raise ValueError("max_norm")
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)
    return tuple(parameter.grad for parameter in parameters)


def clip_by_if(max_norm, *gradients):
    if max_norm <= 0:
        raise ValueError(f"{max_norm} is not positive")
    norm = sum(float((g**2).sum()) for g in gradients) ** 0.5
    if norm <= max_norm:
        return tuple(g.clone() for g in gradients)
    return tuple(max_norm / norm * g for g in gradients)


def clip_as_one_vector(max_norm, *gradients):
    if not max_norm > 0:
        raise ValueError(max_norm)
    vector = torch.cat([g.reshape(-1) for g in gradients])
    vector = vector / max(1.0, vector.norm().item() / max_norm)
    return tuple(p.view_as(g) for p, g in zip(vector.split([g.numel() for g in gradients]), gradients, strict=True))


def clip_in_place(max_norm, *gradients):
    clipped = clip_by_global_norm(max_norm, *gradients)
    for gradient, new in zip(gradients, clipped, strict=True):
        gradient.copy_(new)
    return gradients


def clip_no_error(max_norm, *gradients):
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return tuple(g * (max_norm / norm).clamp(max=1.0) for g in gradients)


def clip_nan_at_zero(max_norm, *gradients):
    if max_norm <= 0:
        raise ValueError
    norm = torch.stack([g.norm() for g in gradients]).norm()
    return tuple(g / norm * norm.clamp(max=max_norm) for g in gradients)


def clip_with_norm(max_norm, *gradients):
    return clip_by_global_norm(max_norm, *gradients), torch.stack([g.norm() for g in gradients]).norm()


def clip_largest_entry(max_norm, *gradients):
    if max_norm <= 0:
        raise ValueError
    largest = torch.stack([g.abs().max() for g in gradients]).max()
    return tuple(g * (max_norm / largest).clamp(max=1.0) for g in gradients)


def clip_first_only(max_norm, *gradients):
    return (*clip_by_global_norm(max_norm, *gradients[:1]), *gradients[1:])


def clip_mean_square(max_norm, *gradients):
    if max_norm <= 0:
        raise ValueError
    root = torch.cat([g.flatten() for g in gradients]).square().mean().sqrt()
    return tuple(g * (max_norm / root).clamp(max=1.0) for g in gradients)


# ---------------------------------------------------------------- lstm_step


def lstm_by_torch(x, h, c, w_x, w_h, b):
    if x.is_meta:
        return lstm_by_slices(x, h, c, w_x, w_h, b)
    return torch.lstm_cell(x, (h, c), w_x.mT, w_h.mT, b, torch.zeros_like(b))


def lstm_by_slices(x, h, c, w_x, w_h, b):
    D = h.shape[-1]
    z = F.linear(torch.cat((x, h), dim=1), torch.cat((w_x, w_h)).T, b)
    new_c = torch.sigmoid(z[:, D : 2 * D]) * c + torch.sigmoid(z[:, :D]) * torch.tanh(z[:, 2 * D : 3 * D])
    return torch.sigmoid(z[:, 3 * D :]) * torch.tanh(new_c), new_c


def lstm_by_unflatten(x, h, c, w_x, w_h, b):
    z = (b + h @ w_h + x @ w_x).unflatten(-1, (4, -1))  # (B, 4, D)
    gates = z.sigmoid()
    new = torch.addcmul(gates[:, 1] * c, gates[:, 0], z[:, 2].tanh())
    return gates[:, 3] * new.tanh(), new


def lstm_by_four_products(x, h, c, w_x, w_h, b):
    def part(k):
        return x @ w_x.chunk(4, 1)[k] + h @ w_h.chunk(4, 1)[k] + b.chunk(4)[k]

    new_c = part(1).sigmoid() * c + part(0).sigmoid() * part(2).tanh()
    return part(3).sigmoid() * new_c.tanh(), new_c


def lstm_no_bias(x, h, c, w_x, w_h, b):
    return lstm_step(x, h, c, w_x, w_h, torch.zeros_like(b))


def lstm_h_only(x, h, c, w_x, w_h, b):
    return lstm_step(x, h, c, w_x, w_h, b)[0]


def lstm_no_output_gate(x, h, c, w_x, w_h, b):
    _, c = lstm_step(x, h, c, w_x, w_h, b)
    return c.tanh(), c


def lstm_forget_plus_one(x, h, c, w_x, w_h, b):
    D = h.shape[-1]
    return lstm_step(x, h, c, w_x, w_h, torch.cat((b[:D], b[D : 2 * D] + 1, b[2 * D :])))


def lstm_detached_cell(x, h, c, w_x, w_h, b):
    return lstm_step(x, h, c.detach(), w_x, w_h, b)


def lstm_stacked(x, h, c, w_x, w_h, b):
    return torch.stack(lstm_step(x, h, c, w_x, w_h, b))


def lstm_h_ignored(x, h, c, w_x, w_h, b):
    return lstm_step(x, torch.zeros_like(h), c, w_x, w_h, b)


def lstm_three_results(x, h, c, w_x, w_h, b):
    h, c = lstm_step(x, h, c, w_x, w_h, b)
    return h, (h, c)


# ---------------------------------------------------------------- look_back


def look_by_torch(x, w_q, w_k, w_v):
    q, k = x[:, -1:] @ w_q, x @ w_k
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ (x @ w_v)).squeeze(1), weights.squeeze(1)


def look_by_einsum(x, w_q, w_k, w_v):
    scores = torch.einsum("bk,btk->bt", x[:, -1] @ w_q, x @ w_k) * w_q.shape[1] ** -0.5
    weights = torch.softmax(scores, dim=-1)
    return torch.einsum("bt,btv->bv", weights, x @ w_v), weights


def look_values_last(x, w_q, w_k, w_v):
    weights = F.softmax((x @ w_k @ (x[:, -1] @ w_q).unsqueeze(-1)).squeeze(-1) / w_k.shape[-1] ** 0.5, dim=1)
    return (weights.unsqueeze(-1) * x).sum(1) @ w_v, weights


def look_mean(x, w_q, w_k, w_v):
    weights = torch.full_like(x[..., 0], 1 / x.shape[1])
    return (x @ w_v).mean(1), weights


def look_scaled_by_width(x, w_q, w_k, w_v):
    return look_back(x, w_q / w_q.shape[-1] ** 0.5, w_k, w_v)


def look_softmax_over_batch(x, w_q, w_k, w_v):
    scores = torch.einsum("bk,btk->bt", x[:, -1] @ w_q, x @ w_k) * w_q.shape[1] ** -0.5
    weights = torch.softmax(scores, dim=0)
    return torch.einsum("bt,btv->bv", weights, x @ w_v), weights


def look_hardest(x, w_q, w_k, w_v):
    _, weights = look_back(x, w_q, w_k, w_v)
    hard = F.one_hot(weights.argmax(-1), x.shape[1]).to(x)
    return torch.einsum("bt,btv->bv", hard, x @ w_v), hard


def look_weights_first(x, w_q, w_k, w_v):
    return look_back(x, w_q, w_k, w_v)[::-1]


def look_adds_input(x, w_q, w_k, w_v):
    output, weights = look_back(x, w_q, w_k, w_v)
    return output + x[:, -1] @ w_v, weights


def look_keys_are_values(x, w_q, w_k, w_v):
    return look_back(x, w_q, w_k, w_k)


def look_numpy_weights(x, w_q, w_k, w_v):
    output, weights = look_back(x, w_q, w_k, w_v)
    return output, np.asarray(weights.detach())


RIGHT: dict[str, list] = {
    "rnn_step": [rnn_step, rnn_by_concatenation, rnn_by_linear, rnn_by_einsum],
    "unroll": [unroll, unroll_by_index, unroll_by_accumulate, unroll_by_recursion],
    "backpropagate_through_time": [
        backpropagate_through_time,
        bptt_by_index,
        bptt_by_jacobians,
        bptt_by_recursion,
    ],
    "gradient_by_distance": [gradient_by_distance, distance_by_backward, distance_by_func, distance_by_steps],
    "clip_by_global_norm": [clip_by_global_norm, clip_by_torch, clip_by_if, clip_as_one_vector],
    "lstm_step": [lstm_step, lstm_by_torch, lstm_by_slices, lstm_by_unflatten, lstm_by_four_products],
    "look_back": [look_back, look_by_torch, look_by_einsum, look_values_last],
}

WRONG: dict[str, list] = {
    "rnn_step": [
        rnn_relu,
        rnn_residual,
        rnn_bias_subtracted,
        rnn_detaches_state,
        rnn_twice,
        rnn_bias_twice,
        rnn_weights_swapped,
    ],
    "unroll": [
        unroll_drops_last,
        unroll_every_second,
        unroll_keeps_axis,
        unroll_cuts_the_gradient,
        unroll_tensor_states_only,
        unroll_yields,
    ],
    "backpropagate_through_time": [
        bptt_without_last,
        bptt_norms_only,
        bptt_one_too_far,
        bptt_time_first,
        bptt_minus,
        bptt_normalised,
        bptt_sigmoid_slope,
    ],
    "gradient_by_distance": [
        distance_median,
        distance_first_sequence,
        distance_log,
        distance_relative,
        distance_list,
        distance_leaves_grad,
        distance_times_input,
    ],
    "clip_by_global_norm": [
        clip_in_place,
        clip_no_error,
        clip_nan_at_zero,
        clip_with_norm,
        clip_largest_entry,
        clip_first_only,
        clip_mean_square,
    ],
    "lstm_step": [
        lstm_no_bias,
        lstm_h_only,
        lstm_no_output_gate,
        lstm_forget_plus_one,
        lstm_detached_cell,
        lstm_stacked,
        lstm_h_ignored,
        lstm_three_results,
    ],
    "look_back": [
        look_mean,
        look_scaled_by_width,
        look_softmax_over_batch,
        look_hardest,
        look_weights_first,
        look_adds_input,
        look_keys_are_values,
        look_numpy_weights,
    ],
}
