"""RLHF with PPO, the whole of it: write answers, score them, and make good tokens likelier, a little at a time, near the reference.

    for step in ppo(policy, reference, critic, tokenizer, Prompts(64), score, PPO(steps=60), generator, gold=gold_scores):
        chart.add(step.step, proxy=step.proxy, gold=step.gold, kl=step.kl)

Four models are involved: the policy, which learns; the critic, which learns with it; the reference, a frozen copy of the policy before; and
whatever is behind `score`, the reward model, frozen too. The loop reads like the algorithm: 1 roll out, 2 score, 3 advantages, 4 epochs of
minibatches. Leave the `for` loop whenever you like; after Ctrl-C the weights are those between two updates.

Papers: Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences"; Ouyang et al. 2022, "Training language models to follow
instructions with human feedback" (§3.5); Huang et al. 2024, "The N+ Implementation Details of RLHF with PPO".

Axes: N answers of a step, T tokens. Left out: the pre-training loss beside (PPO-ptx), several processes, a replay of old rollouts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from lablib.alignment.adaptive_kl import next_beta
from lablib.alignment.masked import masked_var
from lablib.alignment.ppo_step import Objective, Pieces, Signal, Terms, learning_signal, shaped_scores, step_loss
from lablib.alignment.rewards_per_token import check_scores
from lablib.alignment.rl_record import RLStep, golds_of, record_of
from lablib.alignment.rl_update import Settings, optimiser_of, update
from lablib.alignment.rollouts import Gold, Rollout, Score, read, roll_out
from lablib.alignment.value_model import ValueModel
from lablib.architecture.decoder import CausalModel
from lablib.corpus.world.instructions import Instruction
from lablib.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class PPO(Settings):
    """How to run PPO: `Settings`, and its objective (`ppo_step.Objective`)."""

    objective: Objective = field(default_factory=Objective)


def ppo(
    policy: CausalModel,
    reference: CausalModel,
    critic: ValueModel,
    tokenizer: Tokenizer,
    prompts: Callable[[int], Sequence[Instruction]],
    score: Score,
    settings: PPO,
    generator: torch.Generator,
    gold: Gold | None = None,
    pieces: Pieces | None = None,
) -> Iterator[RLStep]:
    """Train a policy, in place.

    Args:
        policy: it learns; begin with the tuned model. reference: a copy of it as it was, which nothing changes.
        critic: `ValueModel(copied(…))`, or `ValueModel(policy)` to share the trunk.
        prompts: step (from 0) -> the instructions of that step, such as `rollouts.Prompts`.
        score: rollout -> (N,), the learned reward. It is never told the gold scores.
        generator: of all chance: the same one gives the same run. gold: see `rollouts.gold_scores`; only for the record.
        pieces: the functions of the algorithm; None: the library's.

    Yields: an `RLStep` after each step.

    Raises:
        ValueError: a score, loss or gradient that is not finite: says which, before the weights are touched by it.
    """
    pieces, aim = pieces or Pieces(), settings.objective
    beta = aim.beta
    optimiser = optimiser_of(policy, critic, settings)
    for step in range(settings.steps):
        begin = time.perf_counter()

        # 1: the policy answers
        rollout = roll_out(
            policy, reference, critic, tokenizer, prompts(step), generator, settings.per_prompt, settings.most
        )
        # 2: the answers are scored; true scores are for the record only
        scores = scores_of(rollout, score)
        golds, gold_seconds = golds_of(rollout, gold)
        # 3: a reward, an advantage and a return for each token
        shaped = shaped_scores(scores, rollout.finished, rollout.answers.lengths, aim)
        signal = learning_signal(
            shaped, rollout.log_probs, rollout.reference, rollout.values, rollout.mask, beta, aim, pieces
        )
        # 4: several small updates
        loss = partial(loss_of_some, policy, critic, rollout, signal, aim, pieces)
        done = update(optimiser, [policy, critic], loss, len(rollout.responses), step, settings, generator)
        explained = explained_variance(signal.returns, rollout.values, rollout.mask)
        seconds = time.perf_counter() - begin - gold_seconds
        record = record_of(step, rollout, scores, golds, beta, done, seconds, explained)
        yield record
        if settings.end_kl is not None and record.kl > settings.end_kl:
            return
        if aim.kl_target is not None:
            beta = next_beta(beta, record.kl, aim.kl_target)


def loss_of_some(
    policy: CausalModel,
    critic: ValueModel,
    rollout: Rollout,
    signal: Signal,
    aim: Objective,
    pieces: Pieces,
    rows: Tensor,
) -> Terms:
    """The loss of some answers of a rollout, by number: the policy and the critic of now read them once more."""
    part = rollout.answers.take(rows)
    T = part.mask.shape[1]  # as many columns as the longest of them needs
    new, uncertain, values = read(policy, critic, part, uncertain=aim.entropy_weight > 0)
    old, old_values = rollout.log_probs[rows, :T], rollout.values[rows, :T]
    few = Signal(signal.rewards[rows, :T], signal.advantages[rows, :T], signal.returns[rows, :T])
    bonus = uncertain if aim.entropy_weight > 0 else None
    return step_loss(new, values, bonus, old, old_values, few, part.mask, aim, pieces)


def scores_of(rollout: Rollout, score: Score) -> Tensor:
    """What the reward model says of the answers, (N,), as finite float32 numbers without gradient, on the rollout's device.

    Raises:
        ValueError: a score is NaN or infinite, or there is not one for each answer.
    """
    with torch.no_grad():
        scores = score(rollout).detach().float().to(rollout.mask.device)
    check_scores(scores, len(rollout.responses))
    return scores


def explained_variance(returns: Tensor, values: Tensor, mask: Tensor) -> float:
    """The share of the returns' variance that the critic foresaw: 1 − Var(return − value) / Var(return); 0 where nothing varies.

    >>> explained_variance(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[True, True]]))  # off by a constant
    1.0
    """
    total = float(masked_var(returns, mask))
    return 1 - float(masked_var(returns - values, mask)) / total if total > 0 else 0.0
