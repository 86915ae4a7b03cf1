"""Training a reward model: the loop of pre-training once more, on pairs, with the Bradley–Terry loss.

    reward = trained(sft.model, train_pairs, sft.tokenizer, RECIPE, torch.Generator().manual_seed(0))
    print(evaluate(reward, test_pairs, pad, ANNOTATORS))       # accuracy beside the noise ceiling

A step reads n pairs. A batch is: `inputs` (2n, T), prompts with their responses, padded, the n chosen ones first; `mask` (2n, T),
True at the one place of each row where its reward is read, the response's last token; `targets` (2n, T), 1 from the prompt's last
token to that before the response's last, else 0. They are read packed, the prompt of a pair once for both (`packed_answers`): a third
fewer tokens than with a prompt for each.

Ouyang et al. 2022, appendix C, train for a single epoch, since their models overfit in more; here the number of steps is a setting.

What an accuracy on held-out labels means depends on the labels. So `evaluate` states beside it what the best possible predictor would
have (`noise_ceiling`), and how often the reward agrees with the truth, which no real set can tell.

Axes: T time, n pairs, D model width. Left out: several processes, margins a pair of its own (the loss takes one for all).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lablib.adaptation.adherence import Interval, score_interval
from lablib.adaptation.chat import PAD
from lablib.alignment.annotators import Annotator, Ceiling, gold_ceiling, noise_ceiling
from lablib.alignment.bradley_terry import PairLoss, bradley_terry_loss, pair_accuracy
from lablib.alignment.preference_pairs import Preference, as_answers, both_answers, label_probabilities
from lablib.alignment.reward_model import RewardModel, centre_, last_hidden, last_tokens, rewards
from lablib.architecture.decoder import CausalModel
from lablib.pretraining.batching import Batch, windows_of
from lablib.pretraining.loss import Loss
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step
from lablib.pretraining.training import train
from lablib.tokens.tokenizer import Tokenizer

# `batch` is here the number of pairs a step. All else is as in pre-training.
RECIPE = Recipe(
    steps=160,
    batch=64,
    context=256,
    optimiser="adamw",
    lr=5e-4,
    weight_decay=0.0,
    schedule="cosine",
    warmup=0.05,
    floor=0.0,
    dtype="auto",
)
CENTRED = 500  # pairs whose responses the zero is taken from


@dataclass(frozen=True)
class PairBatches:
    """The batches of a run: pairs of a set that is read again and again, in a new order each time.

    Args:
        pairs: the set. n: pairs a step. T: the most tokens of a row. pad: fills it. seed: of the order.

    Raises:
        ValueError: no pair, a size below 1, or a response that with its prompt is longer than a row.
    """

    pairs: Sequence[Preference]
    n: int
    T: int
    pad: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.pairs or self.n < 1:
            raise ValueError(f"{len(self.pairs)} pairs, n = {self.n}: expected at least one of each")
        longest = max(len(p.prompt_ids) + max(len(p.chosen_ids), len(p.rejected_ids)) for p in self.pairs)
        if longest > self.T:
            raise ValueError(
                f"a pair has {longest} tokens, prompt and response: expected at most T = {self.T}; leave such pairs out"
            )

    def __call__(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        chosen = [self.pairs[number] for number in windows_of(step, len(self.pairs), self.n, self.seed)]
        return padded_pairs(chosen, self.pad)

    def steps(self, epochs: float) -> int:
        """How many steps read the set so many times."""
        return max(1, round(epochs * len(self.pairs) / self.n))


def padded_pairs(pairs: Sequence[Preference], pad: int) -> Batch:
    """n pairs as 2n rows: inputs, targets, mask (2n, T), see above."""
    rows = both_answers(pairs, pad)  # ids (2n, T), mask (2n, T − 1)
    mask = torch.zeros_like(rows.ids, dtype=torch.bool).scatter(1, last_tokens(rows)[:, None], True)  # (2n, T)
    return Batch(rows.ids, F.pad(rows.mask, (0, 1)).long(), mask)


def packed_rewards(model: RewardModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Rewards of the chosen (n,) and of the rejected (n,) responses of a batch of `padded_pairs`, with gradients, nats."""
    assert batch.mask is not None, "a batch of padded_pairs has a mask"
    last, counts = batch.mask.int().argmax(dim=1), batch.targets[:, :-1].bool()  # (2n,), (2n, T − 1)
    hidden = last_hidden(model.trunk, batch.inputs, counts, last)  # (2n, T) -> (2n, D)
    chosen, rejected = model.head(hidden)[:, 0].float().chunk(2)  # (2n, D) -> (2n, 1) -> 2 × (n,)
    return chosen, rejected


def pair_nats(loss: PairLoss = bradley_terry_loss) -> Loss:
    """The loss of a batch of pairs, as `training.train` takes it: a sum over the 2n places that count, each with its pair's loss.

    So the mean over the places, which the loop makes of it, is the mean over the pairs.
    """

    def nats(model: nn.Module, batch: Batch) -> Tensor:
        if not isinstance(model, RewardModel):
            raise ValueError(f"model is a {type(model).__name__}: expected a RewardModel, in one process, not compiled")
        return 2 * loss(*packed_rewards(model, batch)).sum()

    return nats


def trained(
    base: CausalModel,
    pairs: Sequence[Preference],
    tokenizer: Tokenizer,
    recipe: Recipe = RECIPE,
    generator: torch.Generator | None = None,
    loss: PairLoss = bradley_terry_loss,
    watch: Callable[[Step, RewardModel], object] | None = None,
) -> RewardModel:
    """A reward model from a language model (the SFT model) and pairs, in evaluation mode; the language model stays as it is.

    Its zero is the mean over the responses of the pairs (`centre_`).

    Args:
        recipe: `batch` counts pairs. generator: of the head's first weights; the pairs' order comes from recipe.seed, so that both
            together make another member of an ensemble. loss: see `bradley_terry`. watch: is told of each step, loss in nats per pair.

    Raises:
        ValueError: pairs that do not fit (`PairBatches`), or recipe.accumulation above 1, which would tear pairs apart.
        Diverged: the loss became no number.
    """
    if recipe.accumulation != 1:
        raise ValueError(
            f"accumulation = {recipe.accumulation}: expected 1, since the two rows of a pair must stay together; take a smaller batch"
        )
    pad = tokenizer.special[PAD]
    model = RewardModel(base, generator)
    batches = PairBatches(pairs, recipe.batch, recipe.context, pad, recipe.seed)
    for step in train(model, batches, recipe, loss=pair_nats(loss)):
        if watch is not None:
            watch(step, model)
    centre_(model, both_answers(pairs[:CENTRED], pad))
    return model.eval()


# ---------------------------------------------------------------- how good is it?


@dataclass(frozen=True)
class Evaluation:
    """A reward model on held-out pairs.

    Attributes:
        n: pairs. accuracy: share of labels that it agrees with, with its 95 % interval. loss: nats per pair.
        ceiling, by_gold: what a perfect predictor would have, and one that knows the gold reward alone; None where gold is not known.
        gold_accuracy: share of the pairs that differ in gold in which the reward prefers the better one, label or not.
        chosen, rejected: the rewards, (n,) each, nats.
    """

    n: int
    accuracy: Interval
    loss: float
    ceiling: Ceiling | None
    by_gold: Ceiling | None
    gold_accuracy: Interval | None
    chosen: Tensor
    rejected: Tensor

    def __str__(self) -> str:
        text = f"{self.n} held-out pairs: accuracy {_said(self.accuracy)}, loss {self.loss:.3f} nats"
        if self.ceiling is None or self.by_gold is None or self.gold_accuracy is None:
            return text
        text += f"; noise ceiling {self.ceiling.mean:.3f}, by gold alone {self.by_gold.mean:.3f}"
        return f"{text}; agrees with gold in {_said(self.gold_accuracy)}"


def _said(interval: Interval) -> str:
    return f"{interval[0]:.3f} [{interval[1]:.3f}, {interval[2]:.3f}]"


def evaluate(
    model: RewardModel, pairs: Sequence[Preference], pad: int, annotators: Sequence[Annotator] | None = None
) -> Evaluation:
    """Accuracy and loss on pairs that were held out; with the annotators who labelled them, the ceilings too.

    Raises:
        ValueError: no pair, or a reward that is no finite number.
    """
    if not pairs:
        raise ValueError("pairs is empty: expected some that were held out, from `held_out_by_prompt`")
    chosen, rejected = (rewards(model, rows).cpu() for rows in as_answers(pairs, pad))
    accuracy = score_interval(pair_accuracy(chosen, rejected).tolist())
    loss = float(bradley_terry_loss(chosen, rejected).mean())
    if annotators is None:
        return Evaluation(len(pairs), accuracy, loss, None, None, None, chosen, rejected)
    chances, differences = label_probabilities(pairs, annotators), [pair.gold_difference() for pair in pairs]
    gold = torch.tensor(differences, dtype=torch.float64)
    right = _agrees(chosen - rejected, gold)
    gold_accuracy = score_interval(right.tolist()) if len(right) else None
    return Evaluation(
        len(pairs),
        accuracy,
        loss,
        noise_ceiling(chances),
        gold_ceiling(chances, differences),
        gold_accuracy,
        chosen,
        rejected,
    )


def _agrees(difference: Tensor, gold: Tensor) -> Tensor:
    """1, ½ or 0 for each pair that differs in gold: does the reward's difference have the same sign?"""
    difference, gold = difference[gold != 0], gold[gold != 0]
    return (difference * gold > 0).double() + 0.5 * (difference == 0).double()
