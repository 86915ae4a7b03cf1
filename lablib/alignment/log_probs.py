"""How likely is a response to a prompt under a model? All of alignment is arithmetic on these numbers.

    log π(y | x) = Σ_t log π(y_t | x, y_<t)        x the prompt, y the response, stop token included where it was written

The prompt is given, not judged: its tokens are read and do not count. So a *mask* goes with every batch, True where the token to be
predicted belongs to the response. A response's log-probability is the *sum* over its tokens, not the mean: it is the probability of the
whole response that the papers' equations speak of. (Longer responses have lower sums; SimPO divides by the length on purpose.)

    batch = answers(prompts, responses, pad=tokenizer.special["<|pad|>"])
    sums = sequence_log_probs(response_log_probs(model, batch), batch.mask)     # (N,), nats

Every row of a batch is one response, so that row and reward go together. The model reads them packed (`packed_answers`).

Axes: N rows (prompt + response), T time (predictions in a row), D model width, V vocabulary, n tokens of all responses, m ≥ n places
that are computed. Left out: log-probabilities of a long vocabulary in pieces, without ever holding all logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lablib.alignment.packed_answers import counted_hidden
from lablib.architecture.decoder import CausalModel

ROWS = 64  # that a log-probability and its gradient are computed for at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Answers:
    """Prompts with their responses, one a row, padded on the right.

    Attributes:
        ids: token numbers (N, T + 1).
        mask: bool (N, T), True where the target, ids[:, 1:], belongs to the response.

    Raises:
        ValueError: shapes or dtypes that do not fit together.
    """

    ids: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        N, T = self.ids.shape if self.ids.dim() == 2 else (0, 0)
        if T < 2 or self.ids.dtype != torch.int64:
            raise ValueError(
                f"ids is {self.ids.dtype} of shape {tuple(self.ids.shape)}: expected torch.int64 of shape (N, T + 1), T >= 1"
            )
        if self.mask.shape != (N, T - 1) or self.mask.dtype != torch.bool:
            raise ValueError(
                f"mask is {self.mask.dtype} of shape {tuple(self.mask.shape)}: expected torch.bool of shape {(N, T - 1)}, "
                "one place for each target, ids[:, 1:]"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def inputs(self) -> Tensor:
        """What the model reads, (N, T)."""
        return self.ids[:, :-1]

    @property
    def targets(self) -> Tensor:
        """What it should predict at each place, (N, T)."""
        return self.ids[:, 1:]

    @property
    def lengths(self) -> Tensor:
        """Tokens of each response, (N,)."""
        return self.mask.sum(dim=-1)

    def take(self, rows: Sequence[int] | Tensor) -> "Answers":
        """Some rows, in the order given, without the columns in which the last of them has ended."""
        chosen = torch.as_tensor(rows, dtype=torch.int64, device=self.ids.device)
        ids, mask = self.ids[chosen], self.mask[chosen]
        columns = mask.any(dim=0).nonzero()[:, 0]  # those in which a response has a token
        T = int(columns[-1]) + 1 if len(columns) else 1
        return Answers(ids[:, : T + 1], mask[:, :T])

    def to(self, device: torch.device | str) -> "Answers":
        """The same on another device."""
        return Answers(self.ids.to(device), self.mask.to(device))


def answers(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad: int) -> Answers:
    """Prompts and responses, as lists of token numbers, put together in rows.

    Args:
        prompts: N, none of them empty. responses: N; the stop token belongs to a response if the model wrote it.
            A response may be empty: then nothing in its row counts, and its log-probability is exactly 0.
        pad: the token that fills a row up; no token of a response ever looks at it.

    Raises:
        ValueError: no prompt, another number of responses, or an empty prompt.

    >>> batch = answers([[7, 8], [9]], [[4, 5], [6]], pad=0)
    >>> batch.ids.tolist()
    [[7, 8, 4, 5], [9, 6, 0, 0]]
    >>> batch.mask.int().tolist()  # at the first place the 8 is predicted, which is the prompt's
    [[0, 1, 1], [1, 0, 0]]
    """
    if not len(prompts) or len(prompts) != len(responses):
        raise ValueError(
            f"{len(prompts)} prompts and {len(responses)} responses: expected at least one, and one response for each prompt"
        )
    for row, prompt in enumerate(prompts):
        if not len(prompt):
            raise ValueError(f"prompts[{row}] is empty: expected a token at least, such as <|bos|>")
    T = max(1, *(len(prompt) + len(response) - 1 for prompt, response in zip(prompts, responses, strict=True)))
    ids = torch.full((len(prompts), T + 1), pad, dtype=torch.int64)
    mask = torch.zeros(len(prompts), T, dtype=torch.bool)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        end = len(prompt) + len(response)
        ids[row, :end] = torch.tensor([*prompt, *response])
        mask[row, len(prompt) - 1 : end - 1] = True  # the response's first token is predicted at the prompt's last
    return Answers(ids, mask)


class _LogProb(torch.autograd.Function):
    """logit of the target − log Σ exp, from logits (N, V) and targets (N,): the logits are all that is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        total = torch.empty(len(logits), dtype=wide, device=logits.device)
        for start in range(0, len(logits), ROWS):
            total[start : start + ROWS] = logits[start : start + ROWS].to(wide).logsumexp(dim=-1)
        ctx.save_for_backward(logits, targets, total)
        return logits.gather(1, targets[:, None])[:, 0].to(wide) - total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (g,), (logits, targets, total) = gradients, ctx.saved_tensors
        found = torch.empty_like(logits)
        for start in range(0, len(logits), ROWS):
            some = slice(start, start + ROWS)
            p = (logits[some].to(total.dtype) - total[some, None]).exp_()  # (ROWS, V)
            d = p.mul_(-g[some, None])  # ∂(log P) / ∂logits = 1 − P at the target, −P elsewhere
            found[some] = d.scatter_add_(1, targets[some, None], g[some, None])
        return found, None


def token_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """log P(target) at each place, in nats.

    Args: logits: (..., T, V), of any floating dtype; half precision is raised to float32 first. targets: token
        numbers (..., T).
    Returns: (..., T), all ≤ 0.

    >>> token_log_probs(torch.zeros(1, 2, 4), torch.tensor([[3, 0]]))  # a uniform guess among 4: ln ¼
    tensor([[-1.3863, -1.3863]])
    """
    found = _LogProb.apply(logits.flatten(0, -2), targets.flatten())  # (..., T, V) -> (N·T,)
    return found.view(targets.shape)  # (N·T,) -> (..., T)


def response_log_probs(model: CausalModel, answers: Answers) -> Tensor:
    """log π(y_t | x, y_<t) of each token of each response under a model, with a gradient where gradients are on.

    Logits are computed only where the mask counts: with a vocabulary of thousands they are the largest thing of a
    step, and those of prompts and padding would be thrown away.

    Returns:
        (N, T), nats; 0 where the mask is False.

    Raises:
        ValueError: a row is longer than what the model was trained to read.
    """
    T, context = answers.mask.shape[1], model.sizes.context
    if context < T:
        raise ValueError(
            f"answers has rows of {T + 1} tokens: expected at most {context + 1}, the model's context of {context} "
            "and a last target; leave out the longest pairs, or cut their responses"
        )
    hidden, targets = counted(model, answers)  # (m, D), (m,)
    logits = F.linear(hidden, model.embedding.weight) if model.head is None else model.head(hidden)  # (m, D) -> (m, V)
    return spread(token_log_probs(logits, targets), answers.mask)  # (m, V) -> (m,) -> (N, T)


def counted(model: CausalModel, answers: Answers) -> tuple[Tensor, Tensor]:
    """A model's hidden states at the n places of the mask, and what it should predict there: (m, D) and (m,).

    Behind the n there may be others, with target 0, that belong to no response (see `packed_answers`); `spread` leaves them out.
    """
    hidden = counted_hidden(model, answers.inputs, answers.mask)  # (N, T) -> (m, D)
    targets = answers.targets[answers.mask]  # (N, T) -> (n,)
    return hidden, F.pad(targets, (0, len(hidden) - len(targets)))  # (n,) -> (m,)


def spread(numbers: Tensor, mask: Tensor) -> Tensor:
    """Numbers of the places that count, (m,), put where they belong: (N, T), 0 elsewhere. Those beyond the mask's n are left out.

    >>> spread(torch.tensor([5.0, 6.0, 9.0]), torch.tensor([[False, True], [True, False]]))
    tensor([[0., 5.],
            [6., 0.]])
    """
    return torch.zeros_like(mask, dtype=numbers.dtype).masked_scatter(mask, numbers)


def sequence_log_probs(token: Tensor, mask: Tensor) -> Tensor:
    """log π(y | x): the sum over a response's tokens.

    Args: token: log-probabilities (N, T), nats. mask: bool (N, T), True = a token of the response. What stands
        elsewhere has no influence, neither on the value nor on the gradient, even where it is infinite.
    Returns: (N,), nats; 0 for an empty response.

    >>> sequence_log_probs(torch.tensor([[-9.0, -1.0, -2.0]]), torch.tensor([[False, True, True]]))
    tensor([-3.])
    """
    return token.masked_fill(~mask, 0.0).sum(dim=-1)  # (N, T) -> (N,)
