"""Recurrence: reading one step at a time, the way the gradient takes back, and attention as the alternative.

Papers: Elman 1990, "Finding Structure in Time" (the simple recurrent network); Bengio, Simard and Frasconi 1994,
"Learning Long-Term Dependencies with Gradient Descent is Difficult"; Hochreiter and Schmidhuber 1997, "Long Short-Term
Memory"; Gers, Schmidhuber and Cummins 2000, "Learning to Forget" (the forget gate); Pascanu, Mikolov and Bengio 2013,
"On the difficulty of training recurrent neural networks" (eq. 5, algorithm 1); Vaswani et al. 2017.

Axes: B batch, T time, I width of an input, D width of the state, K width of a query or key, V width of a value.
Weights stand on the right of what they multiply, `x @ w_x` with w_x (I, D); torch stores the transpose. There is one
bias: torch keeps two, `bias_ih` and `bias_hh`, and only ever uses their sum.

Left out: several layers, both directions, dropout, and the GRU.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from lablib.architecture.attention import scaled_dot_product_attention

State = TypeVar("State")  # what a cell hands on to the next step: h, or the pair (h, c)


def rnn_step(x: Tensor, h: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    """One step of the simple recurrent network: h' = tanh(x W_x + h W_h + b).

    Args:
        x: the input of this step (B, I).
        h: the state that the step before left (B, D).
        w_x: input weights (I, D).
        w_h: recurrent weights (D, D).
        b: bias (D,).

    Returns:
        the new state (B, D), each entry between −1 and 1.

    >>> one = torch.ones(1, 1)
    >>> rnn_step(one, 2 * one, w_x=0.5 * one, w_h=0.25 * one, b=torch.zeros(1))  # tanh(0.5 + 0.5)
    tensor([[0.7616]])
    """
    # Differs from the paper: Elman's units lie between 0 and 1 (a logistic function), today's between −1 and 1.
    return torch.tanh(x @ w_x + h @ w_h + b)  # (B, I) @ (I, D) + (B, D) @ (D, D) -> (B, D)


def unroll(step: Callable[[Tensor, State], State], x: Tensor, state: State) -> list[State]:
    """Run a cell along a sequence, each step on the state that the one before it left.

    Args:
        step: from the input of one step (B, I) and the state to the next state, of any kind.
        x: the inputs (B, T, I).
        state: the state before the first step.

    Returns:
        the T states after each step, in order. The start is not among them.

    >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])  # one sequence of three steps
    >>> [h.item() for h in unroll(lambda x, h: h + x, x, torch.zeros(1, 1))]  # a cell that sums
    [1.0, 3.0, 6.0]
    """
    states = []
    for x_t in x.unbind(dim=1):  # (B, T, I) -> T × (B, I)
        state = step(x_t, state)
        states.append(state)
    return states


def backpropagate_through_time(states: Tensor, w_h: Tensor, gradient: Tensor) -> Tensor:
    """Carry the gradient of a loss from the last state of `rnn_step` back to each earlier one, by hand.

    Each step back is the chain rule for h' = tanh(… + h W_h): through the tanh, whose slope is 1 − h'², then
    through W_h (one factor of the product in Pascanu et al. 2013, equation 5).

    Args:
        states: the states h_1 … h_T (B, T, D).
        w_h: recurrent weights (D, D).
        gradient: ∂loss/∂h_T (B, D), for a loss that reads the last state only.

    Returns:
        ∂loss/∂h_t for every t (B, T, D). The last one is `gradient` itself.

    >>> h, w_h = torch.tensor([[[0.3], [0.6]]]), torch.tensor([[2.0]])
    >>> backpropagate_through_time(h, w_h, torch.tensor([[1.0]]))  # 1 · (1 − 0.36) · 2 for the first
    tensor([[[1.2800],
             [1.0000]]])
    """
    gradients = [gradient]
    for h in states[:, 1:].flip(1).unbind(1):  # h_T, h_{T−1}, …, h_2, each (B, D)
        gradient = (gradient * (1 - h**2)) @ w_h.T  # (B, D) @ (D, D) -> (B, D)
        gradients.append(gradient)
    return torch.stack(gradients[::-1], dim=1)  # T × (B, D) -> (B, T, D)


def gradient_by_distance(loss_of: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """How much a loss feels each input: ‖∂loss/∂x_t‖, by the distance of t from the last step.

    It works for anything that autograd can follow, recurrent or not.

    Args:
        loss_of: from the inputs (B, T, I) to a scalar, the sum of the losses of the B sequences.
        x: the inputs (B, T, I). They are left as they are: no `.grad`, no `requires_grad`.

    Returns:
        the norm over the features, mean over the batch (T,). Entry 0 belongs to the last input, the last to the first.

    >>> x = torch.ones(1, 2, 2)
    >>> gradient_by_distance(lambda x: 3 * x[:, 0, 0].sum() + 4 * x[:, 0, 1].sum() + x[:, 1, 0].sum(), x)
    tensor([1., 5.])
    """
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(x), x)  # (B, T, I)
    return gradient.norm(dim=-1).mean(dim=0).flip(0)  # (B, T, I) -> (B, T) -> (T,)


def clip_by_global_norm(max_norm: float, *gradients: Tensor) -> tuple[Tensor, ...]:
    """Shorten gradients whose common norm is too large (Pascanu et al. 2013, algorithm 1).

    The norm is taken over all entries of all tensors together, as if they were one long vector. Only the length of that
    vector changes, not its direction.

    Args:
        max_norm: the largest norm to let through, > 0.
        gradients: one tensor for each parameter, of any shapes.

    Returns:
        new tensors of the same shapes: unchanged when the norm is at most `max_norm`, else with a norm of `max_norm`.

    Raises:
        ValueError: `max_norm` is not positive.

    >>> clip_by_global_norm(1.0, torch.tensor([3.0]), torch.tensor([4.0]))
    (tensor([0.6000]), tensor([0.8000]))
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm = {max_norm}: expected a positive number; 1.0 is usual")
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    scale = (max_norm / norm).clamp(max=1.0)  # a norm of 0 gives inf, hence 1
    return tuple(gradient * scale for gradient in gradients)


def lstm_step(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the LSTM with a forget gate (Gers et al. 2000).

    x W_x + h W_h + b is cut into four blocks of width D, in torch's order: input gate i, forget gate f, candidate g,
    output gate o. The gates go through a sigmoid, the candidate through tanh. Then

        c' = f · c + i · g        the cell: what is kept, and what is added
        h' = o · tanh(c')         what the cell shows

    Args: x (B, I), the input of this step; h and c (B, D), the state that the step before left; w_x (I, 4D);
        w_h (D, 4D); b (4D,).

    Returns:
        h' and c', each (B, D).

    >>> h, c, w = torch.zeros(1, 1), torch.full((1, 1), 2.0), torch.zeros(1, 4)
    >>> lstm_step(h, h, c, w, w, torch.zeros(4))  # every gate is half open: c' = 2/2, h' = tanh(1)/2
    (tensor([[0.3808]]), tensor([[1.]]))
    """
    # Differs from the paper: the cell of 1997 had no forget gate (f = 1) and squashing functions of other ranges.
    i, f, g, o = (x @ w_x + h @ w_h + b).chunk(4, dim=-1)  # (B, 4D) -> 4 × (B, D)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def look_back(x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention in place of recurrence: the last position looks at all positions at once.

    Its query is compared with the key of every position, its own included, and what it gets is the weighted sum of
    their values. No state is handed from step to step.

    Args:
        x: the inputs (B, T, I).
        w_q, w_k: from an input to its query and to its key (I, K).
        w_v: from an input to its value (I, V).

    Returns:
        output (B, V), and the weights (B, T) that made it.

    >>> x, one = torch.tensor([[[1.0], [3.0]]]), torch.ones(1, 1)
    >>> look_back(x, 0 * one, one, one)  # a query of 0 matches every key equally well
    (tensor([[2.]]), tensor([[0.5000, 0.5000]]))
    """
    q = x[:, -1:] @ w_q  # (B, 1, I) @ (I, K) -> (B, 1, K)
    output, weights = scaled_dot_product_attention(q, x @ w_k, x @ w_v)  # (B, 1, V), (B, 1, T)
    return output[:, 0], weights[:, 0]  # (B, V), (B, T)
