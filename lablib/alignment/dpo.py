"""The loop of direct preference optimisation: like that of fine-tuning, on pairs.

    table = preference_table(sft, prompts, chosen, rejected, pad)
    for step in train(policy, table, RECIPE, dpo(beta=0.1)):
        chart.add(step.step, margin=step.margin, chosen=step.chosen_moved)

No model is sampled and none is rewarded: a step reads a batch of pairs, takes four numbers for each (two of them from the table), a loss
and a gradient. What the policy *does* is thus not seen by training at all; the record has room for two measurements that do look,
the KL divergence on the policy's own responses and the gold score.

Paper: Rafailov et al. 2023, "Direct Preference Optimization" (§4, "DPO outline").

Axes: N pairs of the set, n pairs of a step. Left out: checkpoints in between, several processes, new pairs on the way (online DPO).
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lablib.alignment import dpo_loss as losses
from lablib.alignment import dpo_relatives as relatives
from lablib.alignment.log_probs import response_log_probs, sequence_log_probs
from lablib.alignment.reference import PreferenceTable
from lablib.architecture.decoder import CausalModel
from lablib.pretraining import optimisers
from lablib.pretraining.batching import windows_of
from lablib.pretraining.loss import autocast
from lablib.pretraining.memory import keep_freed_memory
from lablib.pretraining.recipe import Recipe


@dataclass(frozen=True)
class PairLogProbs:
    """What a loss is made of: log-probabilities of n pairs, nats, sums over each response's tokens.

    Attributes:
        chosen, rejected: under the policy (n,), with a gradient. ref_chosen, ref_rejected: under the reference (n,).
        chosen_lengths, rejected_lengths: tokens of the responses (n,).
        stray, ref_stray: of responses that belong to another prompt (n,), without a gradient, for KTO; None where the table has none.
    """

    chosen: Tensor
    rejected: Tensor
    ref_chosen: Tensor
    ref_rejected: Tensor
    chosen_lengths: Tensor
    rejected_lengths: Tensor
    stray: Tensor | None = None
    ref_stray: Tensor | None = None

    @property
    def four(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Chosen and rejected under the policy, then under the reference, as the losses of pairs take them."""
        return self.chosen, self.rejected, self.ref_chosen, self.ref_rejected


PairLoss = Callable[[PairLogProbs], Tensor]  # -> (n,), a loss for each pair

# `batch` is the number of pairs a step; `context` is not used, rows are as long as they are.
RECIPE = Recipe(
    steps=150, batch=32, context=256, lr=1e-4, weight_decay=0.0, schedule="cosine", warmup=0.1, floor=0.1, dtype="auto"
)  # fmt: skip


# ---------------------------------------------------------------- the losses, as the loop takes them


def dpo(beta: float = 0.1, smoothing: float = 0.0) -> PairLoss:
    """DPO, or with smoothing its conservative form; see `dpo_loss.dpo_loss`."""
    return lambda pairs: losses.dpo_loss(*pairs.four, beta=beta, smoothing=smoothing)


def robust_dpo(beta: float = 0.1, flips: float = 0.1) -> PairLoss:
    """See `dpo_loss.robust_dpo_loss`."""
    return lambda pairs: losses.robust_dpo_loss(*pairs.four, beta=beta, flips=flips)


def ipo(tau: float = 0.1) -> PairLoss:
    """See `dpo_relatives.ipo_loss`; sums over tokens, as in the paper."""
    return lambda pairs: relatives.ipo_loss(*pairs.four, tau=tau)


def simpo(beta: float = 2.0, gamma: float = 1.0) -> PairLoss:
    """See `dpo_relatives.simpo_loss`."""
    return lambda pairs: relatives.simpo_loss(
        pairs.chosen, pairs.rejected, pairs.chosen_lengths, pairs.rejected_lengths, beta=beta, gamma=gamma
    )


def kto(beta: float = 0.1) -> PairLoss:
    """KTO on pairs that are taken apart into good and bad responses; see `dpo_relatives.kto_loss`."""

    def loss(pairs: PairLogProbs) -> Tensor:
        if pairs.stray is None or pairs.ref_stray is None:
            raise ValueError("the table has no mismatched rows: expected one from preference_table(…, mismatched=True)")
        z0 = relatives.kto_reference_point(pairs.stray, pairs.ref_stray)
        policy, reference = torch.cat([pairs.chosen, pairs.rejected]), torch.cat([pairs.ref_chosen, pairs.ref_rejected])
        good = torch.arange(len(policy), device=policy.device) < len(pairs.chosen)
        return relatives.kto_loss(policy, reference, good, z0, beta=beta)  # (2n,)

    return loss


# ---------------------------------------------------------------- the loop


@dataclass(frozen=True)
class DPOStep:
    """One update of the policy. All numbers are of its batch, before the update, so those of step 1 are the reference's.

    Attributes:
        step: from 1. loss: mean over the pairs. accuracy: share of pairs that the policy orders as the labels do, a tie counts half.
        margin: mean of h, nats: how far chosen and rejected have moved apart (see `log_ratio_gap`; β h is a difference of rewards).
        chosen, rejected: mean log-probability of a response, nats. They differ from batch to batch by the texts alone; so
        chosen_moved, rejected_moved: the mean of log π/π_ref, nats: how much likelier they are than at the start.
        gradient_norm: before clipping. lr: of AdamW. seconds: of the step, without what is measured beside it.
        kl: KL(π ‖ π_ref), nats per response. gold: a true score. Both before the update, None where not asked.
    """

    step: int
    loss: float
    accuracy: float
    margin: float
    chosen: float
    rejected: float
    chosen_moved: float
    rejected_moved: float
    gradient_norm: float
    lr: float
    seconds: float
    kl: float | None = None
    gold: float | None = None


def train(
    policy: CausalModel,
    table: PreferenceTable,
    recipe: Recipe,
    loss: PairLoss,
    *,
    kl: Callable[[CausalModel], float] | None = None,
    gold: Callable[[CausalModel], float] | None = None,
    every: int = 25,
) -> Iterator[DPOStep]:
    """Train a policy, in place.

    Args:
        policy: begin with a copy of the reference. table: from `preference_table`. Which pairs a step reads depends on
            (recipe.seed, step) only, and each is read once before any is read again.
        recipe: `batch` is the number of pairs a step; see `RECIPE`. accumulation and compile are not used.
        loss: `dpo(…)`, `ipo(…)` or your own.
        kl, gold: measured before the first update, before every `every`-th one from there, and before the last; such as
            `lambda model: policy_kl(model, sft, prompts, stop, generator).mean().item()`. They are told the model, in
            evaluation mode.

    Yields:
        a `DPOStep` after each update.

    Raises:
        ValueError: a loss or a gradient that is not finite, before it touches the weights.
    """
    device = policy.embedding.weight.device
    if device.type == "cpu":
        keep_freed_memory()
    made = optimisers.make(policy, recipe)
    weights = [weight for weight in policy.parameters() if weight.requires_grad]
    for step in range(recipe.steps):
        asked = step % every == 0 or step + 1 == recipe.steps
        measured = [measure(policy) if measure is not None and asked else None for measure in (kl, gold)]
        begin = time.perf_counter()
        optimisers.set_rates(made, recipe.factor(step))
        policy.train()
        batch = table.take(windows_of(step, len(table), recipe.batch, recipe.seed).tolist())
        pairs = pair_log_probs(policy, batch, recipe.dtype)
        mean = loss(pairs).mean()
        mean.backward()
        norm = optimisers.clip_(weights, recipe.clip)
        if not (math.isfinite(mean.item()) and math.isfinite(norm)):
            raise ValueError(
                f"step {step + 1} has the loss {mean.item():.4g} and a gradient norm of {norm:.4g} at the learning rate "
                f"{made[0].param_groups[0]['lr']:.3g}: expected finite numbers; try a third of the rate, or a larger beta"
            )
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        policy.eval()
        lr, seconds = made[0].param_groups[0]["lr"], time.perf_counter() - begin
        yield _record(step + 1, mean.item(), pairs, norm, lr, seconds, *measured)


def pair_log_probs(policy: CausalModel, batch: PreferenceTable, dtype: str = "float32") -> PairLogProbs:
    """The log-probabilities of a batch's responses under the policy, in one pass, beside those that the table holds.

    The mismatched rows, where there are any, are read in a pass of their own without a gradient.
    """
    device, n = policy.embedding.weight.device, len(batch)
    rows = batch.answers.to(device)
    reference = batch.reference.to(device).split(n)
    learned = rows.take(torch.arange(2 * n))
    with autocast(device, dtype):
        chosen, rejected = sequence_log_probs(response_log_probs(policy, learned), learned.mask).split(n)  # (2n,)
    chosen_lengths, rejected_lengths = learned.lengths.split(n)
    ref_chosen, ref_rejected = reference[:2]
    ref_stray = reference[2] if batch.mismatched else None
    stray = None
    if batch.mismatched:
        others = rows.take(torch.arange(2 * n, 3 * n))
        with torch.no_grad(), autocast(device, dtype):
            stray = sequence_log_probs(response_log_probs(policy, others), others.mask)  # (n,)
    return PairLogProbs(chosen, rejected, ref_chosen, ref_rejected, chosen_lengths, rejected_lengths, stray, ref_stray)


@torch.no_grad()
def _record(
    step: int,
    loss: float,
    pairs: PairLogProbs,
    norm: float,
    lr: float,
    seconds: float,
    kl: float | None,
    gold: float | None,
) -> DPOStep:
    mean = partial(torch.mean, dtype=torch.float64)
    return DPOStep(
        step,
        loss,
        losses.implicit_accuracy(*pairs.four).item(),
        mean(losses.log_ratio_gap(*pairs.four)).item(),
        mean(pairs.chosen).item(),
        mean(pairs.rejected).item(),
        mean(pairs.chosen - pairs.ref_chosen).item(),
        mean(pairs.rejected - pairs.ref_rejected).item(),
        norm,
        lr,
        seconds,
        kl,
        gold,
    )
