"""GRPO's loop: that of `ppo` without a critic. G answers to each prompt are compared with each other.

    for step in train_grpo(policy, reference, tokenizer, Prompts(16), score, GRPO(steps=60, per_prompt=8), generator):
        ...

Its rollouts and its record are those of PPO, so that both can be laid side by side.

Papers: Shao et al. 2024, "DeepSeekMath" (algorithm 1); Liu et al. 2025, "Understanding R1-Zero-Like Training" (Dr. GRPO:
`baseline="group", per="constant"`); Ahmadian et al. 2024, "Back to Basics" (RLOO: `baseline="leave-one-out"`).

Axes: P prompts, G = per_prompt answers to each, N = P·G, T tokens. Left out: renewing the reference on the way (algorithm 1, line 3).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lablib.alignment.grpo import BASELINES, Baseline, Per, group_advantages, grpo_loss
from lablib.alignment.ppo import scores_of
from lablib.alignment.ppo_loss import approximate_kl, check_clip, clip_share
from lablib.alignment.ppo_step import Terms
from lablib.alignment.rewards_per_token import penalise_length, penalise_unfinished
from lablib.alignment.rl_record import RLStep, golds_of, record_of
from lablib.alignment.rl_update import Settings, optimiser_of, update
from lablib.alignment.rollouts import Gold, Rollout, Score, read, roll_out
from lablib.architecture.decoder import CausalModel
from lablib.corpus.world.instructions import Instruction
from lablib.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class GRPO(Settings):
    """How to run GRPO: `Settings`, whose per_prompt is G, and

    Args:
        beta: weight of the KL penalty in the loss, per nat. clip: ε.
        baseline: see `grpo.group_advantages`. per: see `grpo.per_answer`; its constant is `most`.
        unfinished, length, free: as in `ppo_step.Objective`.
    """

    per_prompt: int = 8
    beta: float = 0.05
    clip: float = 0.2
    baseline: Baseline = "group-std"
    per: Per = "answer"
    unfinished: float = 1.0
    length: float = 0.0
    free: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_clip(self.clip)
        if self.per_prompt < 2:
            raise ValueError(
                f"per_prompt = {self.per_prompt}: expected at least 2 answers to each prompt, to compare them"
            )
        if not self.beta >= 0:
            raise ValueError(f"beta = {self.beta!r}: expected a number >= 0")
        if self.baseline not in BASELINES or self.per not in ("answer", "constant"):
            raise ValueError(
                f"baseline = {self.baseline!r}, per = {self.per!r}: expected one of {', '.join(BASELINES)}, and 'answer' or 'constant'"
            )


def train_grpo(
    policy: CausalModel,
    reference: CausalModel,
    tokenizer: Tokenizer,
    prompts: Callable[[int], Sequence[Instruction]],
    score: Score,
    settings: GRPO,
    generator: torch.Generator,
    gold: Gold | None = None,
    advantages: Callable[[Tensor, int, Baseline], Tensor] = group_advantages,
) -> Iterator[RLStep]:
    """Train a policy, in place; arguments, records and errors as in `ppo.ppo`.

    Args:
        score: rollout -> (N,): a learned reward, or one that can be verified (`verifiable`). advantages: yours, for example.
    """
    optimiser = optimiser_of(policy, None, settings)
    for step in range(settings.steps):
        begin = time.perf_counter()
        rollout = roll_out(
            policy, reference, None, tokenizer, prompts(step), generator, settings.per_prompt, settings.most
        )
        scores = scores_of(rollout, score)
        golds, gold_seconds = golds_of(rollout, gold)
        shaped = penalise_unfinished(scores, rollout.finished, settings.unfinished)
        shaped = penalise_length(shaped, rollout.answers.lengths, settings.length, settings.free)
        better = advantages(shaped, settings.per_prompt, settings.baseline)  # (N,)
        loss = partial(loss_of_some, policy, rollout, better, settings)
        done = update(optimiser, [policy], loss, len(rollout.responses), step, settings, generator)
        seconds = time.perf_counter() - begin - gold_seconds
        record = record_of(step, rollout, scores, golds, settings.beta, done, seconds, None)
        yield record
        if settings.end_kl is not None and record.kl > settings.end_kl:
            return


def loss_of_some(policy: CausalModel, rollout: Rollout, better: Tensor, settings: GRPO, rows: Tensor) -> Terms:
    """The loss of some answers of a rollout, by number; better: advantages of all answers, (N,)."""
    part = rollout.answers.take(rows)
    T = part.mask.shape[1]  # as many columns as the longest of them needs
    new, _, _ = read(policy, None, part, uncertain=False)
    old, of_reference = rollout.log_probs[rows, :T], rollout.reference[rows, :T]
    per, longest = settings.per, settings.most
    loss = grpo_loss(new, old, of_reference, better[rows], part.mask, settings.beta, settings.clip, per, longest)
    with torch.no_grad():
        held = clip_share(new, old, better[rows, None].expand_as(new), part.mask, settings.clip)
        moved = approximate_kl(new, old, part.mask)
    return Terms(loss, loss.detach(), torch.zeros(()), held, moved)
