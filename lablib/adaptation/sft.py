"""Supervised fine-tuning (SFT): the loop of pre-training once more, on conversations, with a loss that counts the answers only.

    batches = Replayed(Drawn(tokenizer, n=32, T=256), REPLAY, tokenizer, T=256)
    for step in train(model, batches, RECIPE, loss=packed_loss(tokenizer.special[BEGIN])):
        chart.add(step.step, loss=step.loss)

Nothing of the loop is new. A step reads n conversations, packed into as few rows of T tokens as hold them; how many rows that is differs a
little from step to step. Which conversations it reads depends on (seed, step) only, so a run can be resumed.

Papers: Wei et al. 2021, "Finetuned Language Models Are Zero-Shot Learners" (FLAN); Ouyang et al. 2022, "Training language models to follow
instructions with human feedback" (§3.5, SFT); Zhou et al. 2023, "LIMA: Less Is More for Alignment", whose question lab 09 asks of a
small model.

Axes: B rows, T time. Left out: several processes.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from lablib.adaptation.chat import BEGIN, PAD, Conversation, check_special
from lablib.adaptation.loss_mask import Encoded, encode
from lablib.adaptation.packing import pack, packed_loss
from lablib.adaptation.sft_data import CLEAN, Mixture, conversations
from lablib.architecture.decoder import CausalModel
from lablib.pretraining.batching import Batch, windows_of
from lablib.pretraining.loss import Loss
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step
from lablib.pretraining.training import train
from lablib.tokens.tokenizer import Tokenizer

M = TypeVar("M", bound=CausalModel)

# `batch` is here the number of conversations a step. AdamW at the rate that the base run had for what Muon leaves; no weight decay.
RECIPE = Recipe(
    steps=2000,
    batch=32,
    context=256,
    optimiser="adamw",
    lr=3e-3,
    weight_decay=0.0,
    schedule="cosine",
    warmup=0.05,
    floor=0.0,
    dtype="auto",
)
REPLAY = 2  # rows of the world's documents that a step reads besides, see `replay`


@dataclass(frozen=True)
class Drawn:
    """Conversations that are drawn from the world when they are needed, none of them twice but by chance.

    Args:
        tokenizer: the course's. n: conversations a step. T: tokens of a row.
        mixture: how often each kind is drawn. only: types of instruction, None for all. seed: of the draw.

    Raises:
        ValueError: a size below 1, or a tokenizer without the special tokens of a conversation.
    """

    tokenizer: Tokenizer
    n: int
    T: int
    mixture: Mixture = CLEAN
    only: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _sizes(self.n, self.T)
        check_special(self.tokenizer)

    def __call__(self, step: int) -> Batch:
        """The batch of a step (from 0): inputs, targets and mask (B, T)."""
        stream = conversations(Random(f"sft {self.seed} {step}"), self.mixture, only=self.only)
        encoded: list[Encoded] = []
        while len(encoded) < self.n:
            one = encode(next(stream), self.tokenizer)
            if len(one) <= self.T + 1:  # hardly any is longer than 200 tokens
                encoded.append(one)
        return pack(encoded, self.T, self.tokenizer.special[PAD])


@dataclass(frozen=True)
class FromSet:
    """Conversations of a set that is read again and again, in a new order each time.

    Args:
        encoded: the set. n: conversations a step. T: tokens of a row. pad: fills it. seed: of the order.

    Raises:
        ValueError: a size below 1, an empty set, or a conversation that no row holds.
    """

    encoded: Sequence[Encoded]
    n: int
    T: int
    pad: int
    seed: int = 0

    def __post_init__(self) -> None:
        _sizes(self.n, self.T)
        longest = max(map(len, self.encoded), default=0)
        if not 1 <= longest <= self.T + 1:
            raise ValueError(
                f"encoded has {len(self.encoded)} conversations, the longest of {longest} tokens: expected at least one, and none "
                f"longer than T + 1 = {self.T + 1}; `prepared` leaves longer ones out"
            )

    def __call__(self, step: int) -> Batch:
        """The batch of a step (from 0): inputs, targets and mask (B, T)."""
        numbers = windows_of(step, len(self.encoded), self.n, self.seed)
        return pack([self.encoded[number] for number in numbers], self.T, self.pad)

    def steps(self, epochs: float) -> int:
        """How many steps read the set so many times."""
        return max(1, math.ceil(epochs * len(self.encoded) / self.n))


def _sizes(n: int, T: int) -> None:
    for name, value in (("n", n), ("T", T)):
        if value < 1:
            raise ValueError(f"{name} = {value!r}: expected a whole number >= 1")


def prepared(talks: Sequence[Conversation], tokenizer: Tokenizer, T: int) -> list[Encoded]:
    """A set as tokens, without the conversations that are longer than a row of T (with its last target, T + 1).

    Compare the lengths of what comes out and what went in: in real sets many are long.
    """
    encoded = [encode(talk, tokenizer) for talk in talks]
    return [one for one in encoded if len(one) <= T + 1]


def loss_of(tokenizer: Tokenizer) -> Loss:
    """The loss of packed conversations, as `training.train` takes it."""
    return packed_loss(tokenizer.special[BEGIN])


def tuned(
    base: M,
    batches: Callable[[int], Batch],
    recipe: Recipe,
    tokenizer: Tokenizer,
    watch: Callable[[Step], object] | None = None,
) -> M:
    """A tuned copy of a model, in evaluation mode; the model itself stays as it is.

    Args:
        batches: `Drawn`, `FromSet`, or either in `Replayed`. recipe: see `RECIPE`. watch: is told of each step.
    """
    model = copy.deepcopy(base)
    for step in train(model, batches, recipe, loss=loss_of(tokenizer)):
        if watch is not None:
            watch(step)
    return model.eval()
