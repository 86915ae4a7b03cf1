"""Several conversations in one row of tokens, without any of them seeing another.

Conversations are of many lengths. One a row, padded to the longest, wastes most of the arithmetic on padding. *Packing* puts them
one behind the other until a row is full. Then two things must be set right, or the model learns something else than it would from
padded rows:

- attention: a token may look back at its own conversation only. The mask of who may look at whom is *block-diagonal*, with a causal
  triangle for each conversation;
- positions: each conversation begins again at position 0. (Rotary positions enter as distances, so there it makes no difference in
  exact arithmetic; with learned positions it does.)

Where a conversation begins need not be written down: it begins with `<|bos|>`, which no text can forge.

First-fit decreasing is Johnson's (1973, "Near-optimal bin packing algorithms"): never more than 11/9 of the fewest rows, and 2/3 of a row
(Dósa 2007). Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", measures packing with such a mask on BERT.

Axes: B rows, T time, S source time, D model width, V vocabulary, n conversations.
Left out: kernels that skip the empty blocks (FlashAttention's varlen functions, FlexAttention); several processes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.adaptation.loss_mask import Encoded, counted
from lablib.architecture.decoder import CausalModel
from lablib.pretraining.batching import Batch, causal
from lablib.pretraining.loss import Loss, quick_nats
from lablib.pretraining.span_corruption import padded as padded_ids


def first_fit_decreasing(lengths: Sequence[int], T: int) -> list[list[int]]:
    """Which conversations go into which row? The longest first, each into the first row that has room for it.

    Conversations of the same length are taken in their order. Where no row has room, a new one is begun.

    Args:
        lengths: tokens of each conversation. T: tokens that a row holds.

    Returns:
        for each row the numbers of its conversations, in the order in which they were put there.

    Raises:
        ValueError: a conversation is longer than a row.

    >>> first_fit_decreasing([2, 5, 4, 3, 1], T=6)  # 5 | 4 | 3 | 2 joins the 4 | 1 joins the 5
    [[1, 4], [2, 0], [3]]
    """
    if lengths and max(lengths) > T:
        raise ValueError(f"lengths has {max(lengths)}: expected at most T = {T}; leave out what is longer, or cut it")
    rows: list[list[int]] = []
    room: list[int] = []  # tokens that each row has left
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):  # stable: equals keep their order
        row = next((row for row, left in enumerate(room) if left >= lengths[number]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(T)
        rows[row].append(number)
        room[row] -= lengths[number]
    return rows


def segments_of(ids: Tensor, bos: int) -> Tensor:
    """Which conversation of its row does each token belong to, 1 for the first? ids (B, T) -> (B, T), whole numbers.

    A conversation begins with `bos`. Padding behind the last one gets its number: no harm, since nobody looks ahead.

    >>> segments_of(torch.tensor([[9, 5, 5, 9, 5]]), bos=9)
    tensor([[1, 1, 1, 2, 2]])
    """
    return (ids == bos).cumsum(dim=1)


def restart_positions(segments: Tensor) -> Tensor:
    """The position of each token in its own conversation: 0, 1, 2, …, and 0 again where the next one begins.

    Args:
        segments: the number of the conversation that each token belongs to, (B, T); numbers that never fall.

    Returns:
        whole numbers (B, T).

    >>> restart_positions(torch.tensor([[1, 1, 1, 2, 2]]))
    tensor([[0, 1, 2, 0, 1]])
    """
    place = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)  # (T,) -> (B, T)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return place - place.where(begins, 0).cummax(dim=1).values  # minus the place of the last beginning


def block_mask(segments: Tensor) -> Tensor:
    """Who may look at whom in rows that hold several conversations?

    A token looks at itself and at those before it in its own conversation: not ahead, and not into another one.

    Args:
        segments: the number of the conversation that each token belongs to, (B, T).

    Returns:
        bool (B, T, S) with S = T, True = token t may look at token s.

    >>> block_mask(torch.tensor([[1, 1, 2]])).int()
    tensor([[[1, 0, 0],
             [1, 1, 0],
             [0, 0, 1]]], dtype=torch.int32)
    """
    same = segments[:, :, None] == segments[:, None, :]  # (B, T, 1) == (B, 1, S) -> (B, T, S)
    return same.tril()


# ---------------------------------------------------------------- batches


def pack(encoded: Sequence[Encoded], T: int, pad: int) -> Batch:
    """Conversations in as few rows as first-fit decreasing finds: inputs, targets and mask (B, T).

    Args:
        encoded: n of them, at most T + 1 tokens each: the last token of a row is only a target. pad: fills what is left of a row.

    Raises:
        ValueError: none at all, or one that is too long.
    """
    if not encoded:
        raise ValueError("encoded is empty: expected at least one conversation")
    rows = first_fit_decreasing([len(one) for one in encoded], T + 1)
    ids = [[token for number in row for token in encoded[number].ids] for row in rows]
    counts = [[count for number in row for count in encoded[number].counts] for row in rows]
    filled = F.pad(padded_ids(ids, pad), (0, T + 1 - max(map(len, ids))), value=pad)  # (B, longest) -> (B, T + 1)
    return causal(filled, counted(counts, T + 1))


def one_a_row(encoded: Sequence[Encoded], pad: int) -> Batch:
    """The same conversations without packing, one in each row, padded to the longest: inputs, targets and mask (n, longest − 1)."""
    longest = max(map(len, encoded))
    return causal(padded_ids([one.ids for one in encoded], pad), counted([one.counts for one in encoded], longest))


def share_used(batch: Batch, pad: int) -> float:
    """The share of a batch's places that is no padding."""
    return float((batch.inputs != pad).float().mean())


# ---------------------------------------------------------------- the model on packed rows


def packed_hidden(
    model: CausalModel, ids: Tensor, segments: Tensor, look: Callable[[Tensor], Tensor] = block_mask
) -> Tensor:
    """What the last norm hands to the head when several conversations share a row: ids, segments (B, T) -> (B, T, D).

    look: segments -> who may look at whom, bool (B, T, S); yours, for example.
    """
    x, angles = model.place(model.embedding(ids), restart_positions(segments))  # (B, T) -> (B, T, D)
    mask = look(segments)[:, None]  # (B, T, S) -> (B, 1, T, S), the same for every head
    for layer in model.layers:
        x = layer(x, mask, angles)
    return model.norm(x)


def head_of(model: CausalModel) -> Tensor:
    """The table that turns hidden states into logits: (V, D)."""
    return model.embedding.weight if model.head is None else model.head.weight


def places_of(mask: Tensor, step: int = 128) -> Tensor:
    """The numbers of the places that count, and of as many others as make it a multiple of `step`: (B, T) -> (n,).

    Place t of row b has the number b · T + t. The others are there for memory's sake: for every size of a matrix product in bfloat16
    a CPU builds a program of its own and keeps it, and the number of answer tokens is another one in nearly every step.

    >>> places_of(torch.tensor([[False, True, True, False], [True, False, False, False]]), step=4)
    tensor([1, 2, 4, 0])
    """
    flat = mask.flatten()
    return flat.int().argsort(descending=True, stable=True)[: -(-int(flat.sum()) // step) * step]


def packed_loss(
    bos: int,
    nats: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    look: Callable[[Tensor], Tensor] = block_mask,
) -> Loss:
    """The loss of packed rows, as `training.train` takes it: (model, batch) -> nats, summed over the targets that count.

    Args:
        bos: the token that each conversation begins with.
        nats: `loss_mask.answer_nats`, or yours. None: the same sum, with logits computed only where a target counts.
        look: see `packed_hidden`.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if batch.mask is None:
            raise ValueError("batch.mask is None: expected which targets count; is this a batch of `pack`?")
        if not isinstance(model, CausalModel):
            raise ValueError(f"model is a {type(model).__name__}: expected a CausalModel, in one process, not compiled")
        hidden = packed_hidden(model, batch.inputs, segments_of(batch.inputs, bos), look)  # (B, T, D)
        table = head_of(model)
        if nats is None:
            places = places_of(batch.mask)  # (n,)
            targets = batch.targets.masked_fill(~batch.mask, -1).flatten()[places]  # (B, T) -> (n,)
            return quick_nats(F.linear(hidden.flatten(0, 1)[places], table), targets)  # (B, T, D) -> (n, D) -> (n, V)
        return nats(F.linear(hidden, table), batch.targets, batch.mask)  # (B, T, D) -> (B, T, V)

    return loss
