"""A rollout: the policy answers some prompts, and everything is noted that the update will need.

    rollout = roll_out(policy, reference, critic, tokenizer, instructions, generator)
    rollout.answers, rollout.log_probs, rollout.reference, rollout.values          # padded, (N, T)

The answers are drawn from the policy as it is: temperature 1, nothing left out. Only then is log π of the drawn tokens what the ratio,
the KL estimate and the policy gradient speak of; with top-k or another temperature they would be drawn from another distribution.
log π is computed once more, by the same pass that the update will make, so that the first update sees ratios of 1.

Axes: N answers, T tokens, D model width, V vocabulary, m places that are computed (see `log_probs.counted`).
Left out: rollouts in other processes, and answers written while the policy learns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import PAD
from lablib.adaptation.packing import head_of
from lablib.alignment.kl import k1
from lablib.alignment.log_probs import Answers, answers, counted, response_log_probs, spread, token_log_probs
from lablib.alignment.masked import masked_mean
from lablib.alignment.responses import MOST, Response, gold, gold_reward, sample
from lablib.alignment.value_model import ValueModel
from lablib.architecture.decoder import CausalModel
from lablib.corpus.world import World
from lablib.corpus.world.instructions import Instruction
from lablib.pretraining.sampling import Sampling, entropy
from lablib.tokens.tokenizer import Tokenizer

ROWS = 64  # answers that pass through a model at once, where no gradient is asked for: logits of all their tokens lie in memory


@dataclass(frozen=True)
class Rollout:
    """N answers and what was thought of their tokens when they were written; all tensors on the policy's device.

    Attributes:
        responses: what was written, the answers to one prompt side by side. answers: the same as padded rows.
        log_probs, reference: log-probabilities (N, T), nats, under the policy and the reference. entropy: of the policy, (N, T), nats.
        values: the critic's guesses (N, T); 0 without a critic. All are 0 where the mask is False.
    """

    responses: tuple[Response, ...]
    answers: Answers
    log_probs: Tensor
    reference: Tensor
    entropy: Tensor
    values: Tensor

    @property
    def mask(self) -> Tensor:
        """True where the target is a token of the answer, bool (N, T)."""
        return self.answers.mask

    @property
    def finished(self) -> Tensor:
        """Which answers ended by themselves, bool (N,)."""
        return torch.tensor([response.finished for response in self.responses], device=self.mask.device)

    @property
    def kl(self) -> float:
        """KL(π ‖ ρ), nats per answer: the mean over answers of the sum of k1 over their tokens."""
        return float(k1(self.log_probs, self.reference).where(self.mask, 0.0).sum(dim=1).mean())

    @property
    def mean_entropy(self) -> float:
        """Nats per token."""
        return float(masked_mean(self.entropy, self.mask))


Score = Callable[[Rollout], Tensor]  # -> (N,), one number for each answer
Gold = Callable[[Sequence[Response]], Sequence[float]]


def gold_scores(responses: Sequence[Response]) -> list[float]:
    """The true reward of each answer, in [0, 1]: see `responses.gold_reward`."""
    return [gold_reward(judgement) for judgement in gold(responses)]


@dataclass(frozen=True)
class Prompts:
    """Instructions drawn from the world, other ones each step, the same ones whenever a step is asked for.

    Args:
        n: prompts a step. seed: of the draw. split: "train", or "held_out" to measure. only: types of instruction, None for all.

    >>> one = Prompts(n=2, seed=0)
    >>> one(3) == one(3), one(3) == one(4), len(one(3))
    (True, False, 2)
    """

    n: int
    seed: int = 0
    split: str = "train"
    only: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n = {self.n}: expected a whole number of prompts >= 1")

    def __call__(self, step: int) -> list[Instruction]:
        """The prompts of a step."""
        drawn = World().instructions(Random(f"prompts {self.seed} {step}"), split=self.split, only=self.only)
        return list(islice(drawn, self.n))


def as_answers(responses: Sequence[Response], tokenizer: Tokenizer) -> Answers:
    """Responses as padded rows behind their prompts: ids (N, T + 1), mask (N, T)."""
    prompts = [as_ids(response.instruction.prompt, tokenizer) for response in responses]
    return answers(prompts, [response.ids for response in responses], tokenizer.special[PAD])


def read(
    policy: CausalModel, critic: ValueModel | None, answers: Answers, uncertain: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """One pass over answers: log-probabilities, entropies and values, each (N, T), 0 where the mask is False.

    With a critic that shares the policy's trunk the pass is made once for both. Logits are computed only where the mask counts.

    Args:
        critic: None: all values are 0. uncertain: False leaves the entropies out: they are 0, and cost nothing.
    """
    hidden, targets = counted(policy, answers)  # (N, T) -> (m, D), (m,)
    logits = F.linear(hidden, head_of(policy))  # (m, D) -> (m, V)
    log_probs = token_log_probs(logits, targets)  # (m,)
    nats = entropy(logits) if uncertain else torch.zeros_like(log_probs)  # (m, V) -> (m,)
    if critic is None:
        values = torch.zeros_like(answers.mask, dtype=log_probs.dtype)
    else:
        values = spread(critic.of(hidden), answers.mask) if critic.shares(policy) else critic(answers)
    return spread(log_probs, answers.mask), spread(nats, answers.mask), values


def roll_out(
    policy: CausalModel,
    reference: CausalModel,
    critic: ValueModel | None,
    tokenizer: Tokenizer,
    instructions: Sequence[Instruction],
    generator: torch.Generator,
    per_prompt: int = 1,
    most: int = MOST,
) -> Rollout:
    """Let the policy answer, and note what it, the reference and the critic thought of each token.

    Args:
        instructions: P of them. per_prompt: answers to each; N = P · per_prompt. most: tokens of an answer. generator: of chance.
    """
    drawn = sample(policy, tokenizer, instructions, generator, Sampling(), per_prompt, most)
    responses = tuple(response for group in drawn for response in group)
    batch = as_answers(responses, tokenizer).to(policy.embedding.weight.device)
    noted: list[list[Tensor]] = [[], [], [], []]
    with torch.no_grad():
        for start in range(0, len(batch), ROWS):
            part = Answers(batch.ids[start : start + ROWS], batch.mask[start : start + ROWS])
            log_probs, uncertain, values = read(policy, critic, part)
            for tensors, new in zip(
                noted, (log_probs, response_log_probs(reference, part), uncertain, values), strict=True
            ):
                tensors.append(new)
    log_probs, of_reference, uncertain, values = (torch.cat(tensors) for tensors in noted)
    return Rollout(responses, batch, log_probs, of_reference, uncertain, values)
