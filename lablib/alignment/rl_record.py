"""What a step of reinforcement learning leaves behind: the learned reward and the true one, side by side, and what PPO has to watch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from torch import Tensor

from lablib.alignment.responses import Response
from lablib.alignment.rl_update import Done
from lablib.alignment.rollouts import Gold, Rollout


@dataclass(frozen=True)
class RLStep:
    """One step: answers are written and scored, then the policy is updated with them.

    The answers were written before the step's updates: in step 1, by the model that one began with.

    Attributes:
        step: from 1. proxy: mean score, as the reward model gave it. gold: mean true score; None where nobody asked.
        kl: KL(π ‖ ρ), nats per answer, estimated (k1). beta: weight of the penalty in this step.
        entropy: nats per token. length: tokens per answer. finished: share of the answers that ended by themselves.
        clip_share, update_kl: see `ppo_loss`; means over the updates. policy_loss, value_loss: likewise.
        explained: share of the returns' variance that the critic foresaw, 1 at best; None without a critic.
        gradient_norm: before clipping, mean over the updates. updates: how many there were, fewer after an early stop.
        seconds: of the whole step without the gold scores, which no real project has.
        responses, scores, golds: the answers themselves, for a gallery; in the order of the prompts.
    """

    step: int
    proxy: float
    gold: float | None
    kl: float
    beta: float
    entropy: float
    length: float
    finished: float
    clip_share: float
    update_kl: float
    policy_loss: float
    value_loss: float | None
    explained: float | None
    gradient_norm: float
    updates: int
    seconds: float
    responses: tuple[Response, ...] = field(repr=False, default=())
    scores: tuple[float, ...] = field(repr=False, default=())
    golds: tuple[float, ...] = field(repr=False, default=())

    @property
    def numbers(self) -> Mapping[str, float | int | None]:
        """Everything but the answers: for a chart, a table or a line of JSON."""
        many = ("responses", "scores", "golds")
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in many}


def golds_of(rollout: Rollout, gold: Gold | None) -> tuple[tuple[float, ...], float]:
    """The true scores, and the seconds that it took to find them: what a real project has not counts for nothing."""
    begin = time.perf_counter()
    found = () if gold is None else tuple(float(value) for value in gold(rollout.responses))
    return found, time.perf_counter() - begin


def record_of(
    step: int,
    rollout: Rollout,
    scores: Tensor,
    golds: tuple[float, ...],
    beta: float,
    done: Done,
    seconds: float,
    explained: float | None,
) -> RLStep:
    """The record of a step; explained: None where there is no critic."""
    lengths: Tensor = rollout.answers.lengths
    return RLStep(
        step=step + 1,
        proxy=float(scores.mean()),
        gold=sum(golds) / len(golds) if golds else None,
        kl=rollout.kl,
        beta=beta,
        entropy=rollout.mean_entropy,
        length=float(lengths.float().mean()),
        finished=float(rollout.finished.float().mean()),
        clip_share=done.clip_share,
        update_kl=done.update_kl,
        policy_loss=done.policy,
        value_loss=None if explained is None else done.value,
        explained=explained,
        gradient_norm=done.gradient_norm,
        updates=done.updates,
        seconds=seconds,
        responses=rollout.responses,
        scores=tuple(scores.tolist()),
        golds=golds,
    )
