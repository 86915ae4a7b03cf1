"""Several small updates from one rollout: what PPO and GRPO have in common.

Rollouts are the expensive part, so each is read several times (*epochs*), in minibatches, each time in a new order. What a minibatch's loss
is, the caller says.

Papers: Schulman et al. 2017, "Proximal Policy Optimization Algorithms" (algorithm 1); Huang et al. 2022, "The 37 Implementation Details of
Proximal Policy Optimization" (details 3, 6 and 11: Adam's ε, minibatches, clipping of gradients).

Axes: N answers. Left out: a schedule that falls, since a run may be ended at any step; gradients over several minibatches.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lablib.alignment.ppo_step import Terms
from lablib.alignment.responses import MOST
from lablib.alignment.value_model import ValueModel
from lablib.pretraining.loss import autocast
from lablib.pretraining.memory import keep_freed_memory
from lablib.pretraining.optimisers import clip_
from lablib.pretraining.recipe import DTYPES


@dataclass(frozen=True)
class Settings:
    """What every way of reinforcement learning here has to be told.

    Args:
        steps: rollouts. per_prompt: answers to each prompt. most: tokens of an answer.
        epochs: how often a rollout is used. minibatch: answers an update.
        lr: of AdamW, reached after `warmup` steps. critic_lr: that of the critic's own weights.
        longest: norm to which a longer gradient is shortened.
        update_kl: leave a rollout as soon as its updates have moved the policy so far, nats per token (`approximate_kl`); None: never.
        end_kl: end the run when KL(π ‖ ρ) has passed this, nats per answer; None: never.
        dtype: "float32", "bfloat16" or "auto", as in `Recipe`: the arithmetic of the updates, by autocast.
    """

    steps: int = 60
    per_prompt: int = 1
    most: int = MOST
    epochs: int = 2
    minibatch: int = 32
    lr: float = 1e-4
    critic_lr: float = 1e-3
    warmup: int = 3
    longest: float = 1.0
    update_kl: float | None = None
    end_kl: float | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1), ("per_prompt", 1), ("most", 1), ("epochs", 1), ("minibatch", 1), ("warmup", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} = {value!r}: expected a whole number >= {least}")
        for name in ("lr", "critic_lr", "longest", "update_kl", "end_kl"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} = {value!r}: expected a number > 0")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype = {self.dtype!r}: expected one of {', '.join(DTYPES)}")


def optimiser_of(policy: nn.Module, critic: ValueModel | None, settings: Settings) -> torch.optim.Optimizer:
    """AdamW for both, each weight once, without weight decay: nothing but the objective pulls on a policy that is good already.

    On a CPU see `pretraining.memory` for what it asks of the process.
    """
    mine = [weight for weight in policy.parameters() if weight.requires_grad]
    if mine[0].device.type == "cpu":
        keep_freed_memory()
    held = {id(weight) for weight in mine}
    others = [] if critic is None else [w for w in critic.parameters() if w.requires_grad and id(w) not in held]
    groups = [{"params": mine, "lr": settings.lr, "peak": settings.lr}]
    if others:
        groups.append({"params": others, "lr": settings.critic_lr, "peak": settings.critic_lr})
    # eps is Huang et al. 2022's detail 3: AdamW divides by the gradient's size, and so would make a whole step out of rounding errors
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0, fused=True)


@dataclass(frozen=True)
class Done:
    """Means over the updates of a step; updates: how many there were."""

    policy: float
    value: float
    clip_share: float
    update_kl: float
    gradient_norm: float
    updates: int


def update(
    optimiser: torch.optim.Optimizer,
    models: Sequence[nn.Module | None],
    loss: Callable[[Tensor], Terms],
    N: int,
    step: int,
    settings: Settings,
    generator: torch.Generator,
) -> Done:
    """Epochs of minibatches over the N answers of a rollout, each in a new order.

    loss: rows, numbers of answers -> the loss of those. An early stop (`update_kl`) is looked for before each update.

    Raises:
        ValueError: loss or gradient is not finite; the weights are those before.
    """
    weights = list({id(w): w for model in models if model is not None for w in model.parameters()}.values())
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * min(1.0, (step + 1) / (settings.warmup + 1))
    found: list[tuple[float, ...]] = []
    for _ in range(settings.epochs):
        order = torch.randperm(N, generator=generator)
        for rows in order.split(settings.minibatch):
            with autocast(weights[0].device, settings.dtype):
                terms = loss(rows)
            if settings.update_kl is not None and found and float(terms.update_kl) > settings.update_kl:
                return _means(found)
            optimiser.zero_grad(set_to_none=True)
            terms.loss.backward()
            norm = clip_(weights, settings.longest)
            if not (math.isfinite(terms.loss.item()) and math.isfinite(norm)):
                raise ValueError(
                    f"step {step + 1}: the loss is {terms.loss.item()} and its gradient's norm {norm}: expected finite numbers; "
                    "the weights are as before this update; try a lower lr, or a larger beta"
                )
            optimiser.step()
            found.append((*(float(x) for x in (terms.policy, terms.value, terms.clip_share, terms.update_kl)), norm))
    return _means(found)


def _means(found: Sequence[tuple[float, ...]]) -> Done:
    policy, value, held, moved, norm = (sum(column) / len(found) for column in zip(*found, strict=True))
    return Done(policy, value, held, moved, norm, len(found))
