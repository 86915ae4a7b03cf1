"""Prompts with their responses on as few tokens as possible: many in a row, and a prompt that several of them answer read once.

Padded to the longest, rows of answers are mostly padding, and the answers to one prompt each bring it along. Here a row holds many
answers, one behind the other, and behind a prompt stand all that answer it: a tree with the prompt as its stem. Each answer
must see what it would see alone, and nothing else:

- attention: a token looks at its prompt and at its own response, at neither the other responses nor the other prompts;
- positions: each response goes on counting where its prompt ended, whatever stands between them in the row.

    hidden = counted_hidden(model, answers.inputs, answers.mask)      # as model.hidden(answers.inputs)[answers.mask], in less time

Pairs of DPO share a prompt, groups of GRPO do. The gradient of a prompt's tokens is the sum over those that answer it, as with
padded rows. Nothing of a result changes but its rounding.

Paper: Wang & Hegde 2024, "Accelerating Direct Preference Optimization with Prefix Sharing". `adaptation.packing` packs without sharing.

Axes: N answers, T time of the padded rows, B packed rows, S their time, D model width, n tokens of all responses.
Left out: sharing what two responses have in common; kernels that skip the empty blocks of the mask; leaving out what fills the rows,
a sixth of the tokens of pairs, by an attention for each prompt: a step on pairs is up to a tenth faster then, one on groups slower.
"""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from lablib.architecture.decoder import Block, CausalModel
from lablib.architecture.layers import pre_norm

WIDTH = 128  # tokens of a packed row, where no answer is longer: in longer rows attention costs more, in shorter ones less fits
STEP = 64  # sizes of matrices are multiples of it: for each size in bfloat16 a CPU keeps a program (`adaptation.packing.places_of`)
NONE = -1  # the number of no prompt, and of no response


@dataclass(frozen=True)
class PackedAnswers:
    """N answers in B rows of S tokens; all whole numbers.

    Attributes:
        ids, positions: of each token, (B, S).
        prompts: the prompt that a token belongs to or answers, (B, S); NONE = padding.
        responses: the response that it belongs to, (B, S); NONE = it is a prompt's, or padding.
        places: where the hidden states stand that count, as b · S + s, in the order of the padded rows: (m,). Behind the n of
            them stand others (0) that make m a multiple of `STEP`.
    """

    ids: Tensor
    positions: Tensor
    prompts: Tensor
    responses: Tensor
    places: Tensor


@dataclass
class _Row:
    """A row that is being filled; begins: the place of each prompt that stands in it."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    responses: list[int] = field(default_factory=list)
    begins: dict[int, int] = field(default_factory=dict)

    def put(self, ids: list[int], first: int, prompt: int, response: int) -> int:
        """Tokens at the row's end, the first of them at position `first`; the place where they begin."""
        place = len(self.ids)
        self.ids += ids
        self.positions += range(first, first + len(ids))
        self.prompts += [prompt] * len(ids)
        self.responses += [response] * len(ids)
        return place


def _first_fit(
    asked: list[int], stems: list[list[int]], tails: list[list[int]], S: int
) -> tuple[list[_Row], list[tuple[int, int]]]:
    """The rows, full, and where each answer's prompt and its response begin, as b · S + s.

    asked: the number of each answer's prompt. stems, tails: the tokens of prompt and response. See `pack_answers`.
    """
    rows: list[_Row] = []
    starts: list[tuple[int, int]] = [(0, 0)] * len(asked)
    for number in sorted(range(len(asked)), key=lambda number: (asked[number], -len(tails[number]))):
        prompt, stem, tail = asked[number], stems[number], tails[number]
        adds = [len(tail) + (0 if prompt in row.begins else len(stem)) for row in rows]
        fitting = [b for b, row in enumerate(rows) if len(row.ids) + adds[b] <= S]
        b = min(fitting, key=adds.__getitem__, default=len(rows))
        if b == len(rows):
            rows.append(_Row())
        row = rows[b]
        if prompt not in row.begins:
            row.begins[prompt] = row.put(stem, 0, prompt, NONE)
        starts[number] = (b * S + row.begins[prompt], b * S + row.put(tail, len(stem), prompt, number))
    for row in rows:
        row.put([0] * (S - len(row.ids)), 0, NONE, NONE)  # a token must stand there; its number does not matter
    return rows, starts


def pack_answers(inputs: Tensor, mask: Tensor) -> PackedAnswers:
    """Padded rows of prompts and responses, packed.

    The answers to one prompt follow each other, the longest first; each goes where it adds the fewest tokens, so into a row that has
    its prompt already if there is room, else into the first row with room for both. Where none has, a new row is begun.

    Args:
        inputs: token numbers (N, T). mask: bool (N, T), True where the model's prediction counts; the first True of a row is at the
            prompt's last token. What stands behind the last True is not read. A row without any is read at its first token only.

    >>> packed = pack_answers(torch.tensor([[7, 8, 4, 5], [7, 8, 6, 0]]), torch.tensor([[0, 1, 1, 1], [0, 1, 1, 0]]).bool())
    >>> packed.ids[0, :5].tolist(), packed.positions[0, :5].tolist()  # the prompt 7 8 once, then both responses
    ([7, 8, 4, 5, 6], [0, 1, 2, 3, 2])
    >>> packed.places[:5].tolist()  # what is said behind 8 counts for both
    [1, 2, 3, 1, 4]
    """
    place = torch.arange(mask.shape[1])  # (T,)
    mask = mask.cpu()
    first = mask.int().argmax(dim=1)  # (N,), the prompt's last token
    ends = (mask * (place + 1)).amax(dim=1).clamp(min=1)  # (N,)
    texts = [row[:end] for row, end in zip(inputs.tolist(), ends.tolist(), strict=True)]
    stems = [text[: at + 1] for text, at in zip(texts, first.tolist(), strict=True)]
    tails = [text[at + 1 :] for text, at in zip(texts, first.tolist(), strict=True)]
    known: dict[tuple[int, ...], int] = {}  # prompt -> its number
    asked = [known.setdefault(tuple(stem), len(known)) for stem in stems]
    longest, total = max(map(len, texts)), sum(map(len, tails)) + sum(map(len, known))
    S = -(-max(longest, min(WIDTH, total)) // STEP) * STEP
    rows, starts = _first_fit(asked, stems, tails, S)
    of_prompt, of_response = torch.tensor(starts)[:, :, None].unbind(dim=1)  # 2 × (N, 1)
    first = first[:, None]
    places = torch.where(place <= first, of_prompt + place, of_response + place - first - 1)[mask]  # (N, T) -> (n,)
    places = torch.cat((places, places.new_zeros(-len(places) % STEP)))  # (n,) -> (m,)
    lists = zip(
        *((row.ids, row.positions, row.prompts, row.responses) for row in rows), strict=True
    )  # 4 × B lists of S
    tensors = (*map(torch.tensor, lists), places)  # 4 × (B, S), and (m,)
    return PackedAnswers(*(tensor.to(inputs.device) for tensor in tensors))


def tree_mask(prompts: Tensor, responses: Tensor) -> Tensor:
    """Who may look at whom where responses share a prompt: each token at those before it of its prompt and of its own response.

    Args:
        prompts, responses: as in `PackedAnswers`, (B, S).

    Returns:
        bool (B, S, S), True = token t may look at token s.

    >>> tree_mask(torch.tensor([[0, 0, 0]]), torch.tensor([[-1, 0, 1]])).int()  # a prompt of one token, two responses of one
    tensor([[[1, 0, 0],
             [1, 1, 0],
             [1, 0, 1]]], dtype=torch.int32)
    """
    same = prompts[:, :, None] == prompts[:, None, :]  # (B, S, 1) == (B, 1, S) -> (B, S, S)
    mine = (responses[:, None, :] == NONE) | (responses[:, :, None] == responses[:, None, :])  # (B, S, S)
    return (same & mine).tril()


def counted_hidden(model: CausalModel, inputs: Tensor, mask: Tensor, only: Tensor | None = None) -> Tensor:
    """What the last norm hands to the head at the places that count: `model.hidden(inputs)[mask]`, in less time.

    Behind the last attention no token is looked at any more. So only those that are asked for go through the last feed-forward network,
    which in a reward model, read at one token of each response, saves a sixth of all arithmetic (4 layers).

    Args:
        inputs, mask: (N, T), as in `pack_answers`. only: which of the n that count, (k,) numbers from 0 to n − 1; None: all.

    Returns:
        (m, D): the n that count, row after row; behind them there may be others, which belong to nothing (see `PackedAnswers.places`).
        With `only` (k, D): these and no others.
    """
    if type(model).hidden is not CausalModel.hidden:  # it puts tokens of its own in front of a row, or looks ahead
        hidden = model.hidden(inputs)[mask]  # (N, T) -> (N, T, D) -> (n, D)
        return hidden if only is None else hidden[only]
    model.check(inputs, None, None)
    packed = pack_answers(inputs, mask)
    places = packed.places if only is None else packed.places[only]
    x, angles = model.place(model.embedding(packed.ids), packed.positions)  # (B, S) -> (B, S, D)
    look = tree_mask(packed.prompts, packed.responses)[:, None]  # (B, S, S) -> (B, 1, S, S), the same for every head
    *layers, last = cast(list[Block], list(model.layers))
    for layer in layers:
        x = layer(x, look, angles)
    x = pre_norm(x, lambda x: last.attention(x, look, angles)[0], last.norm_1)  # (B, S, D)
    x = x.flatten(0, 1)[places]  # (B, S, D) -> (B·S, D) -> (m, D), or (k, D)
    return model.norm(pre_norm(x, last.feed_forward, last.norm_2))
