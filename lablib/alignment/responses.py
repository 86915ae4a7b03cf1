"""Responses: what a model writes to prompts of the world, with its tokens, and the gold reward of each.

    drawn = sample(sft.model, sft.tokenizer, instructions, torch.Generator().manual_seed(0), Sampling(), per_prompt=4)
    rewards = [gold_reward(found) for found in gold(drawn[0])]      # the four responses to the first instruction

All of alignment begins here: pairs of responses for preferences, rollouts for PPO, n of them for best-of-n. A response keeps the
tokens that were drawn, since probabilities and rewards are about these: its text, tokenised again, may give others.

The *gold reward* is one number from the judge's three: their mean. So all that can be asked for has 1, silence and the refusal of a
harmless request 2/3, a false answer and one that helps to do harm 1/3. A learned reward stands in for it and can be wrong; this
one is the truth of the world. What should weigh more is a choice (`Weights`), and lab 15 moves the weights.

Left out: conversations of several turns, and sampling with the tokens' log-probabilities (`ppo_step` does that itself).
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch

from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import BEGIN, STOP, check_special
from lablib.architecture.decoder import CausalModel
from lablib.corpus.world import World
from lablib.corpus.world.instructions import Instruction
from lablib.corpus.world.judge import Judgement
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling
from lablib.tokens.tokenizer import Tokenizer

MOST = 110  # tokens of a response; the world's longest gold response, a story, has fewer
ROWS = 128  # responses that are written at once; twice as many take 280 MB more and no less time


@dataclass(frozen=True, slots=True)
class Response:
    """What a model wrote.

    Attributes:
        instruction: what it was asked, with the gold response.
        ids: the tokens that it wrote, the stop token included where it wrote one. Never empty: the least is the stop token.
        text: the same without the stop token, and without space at either end; "" where it stopped at once.
        finished: it ended by itself. False: it was cut off, at `most` tokens or where the model's context ends.
    """

    instruction: Instruction
    ids: tuple[int, ...]
    text: str
    finished: bool


def sample(
    model: CausalModel,
    tokenizer: Tokenizer,
    instructions: Sequence[Instruction],
    generator: torch.Generator | None,
    sampling: Sampling | None,
    per_prompt: int = 1,
    most: int = MOST,
) -> list[list[Response]]:
    """Draw responses: for each instruction a list of `per_prompt` of them.

    Args:
        generator: of chance. sampling: how tokens are drawn; None: always the likeliest, so that all responses to a prompt are equal.
        per_prompt: responses to each instruction, drawn independently.
        most: tokens of a response.

    Returns:
        what comes out for an instruction does not depend on the others beside it, but for the chance that they use up.

    Raises:
        ValueError: per_prompt < 1; a prompt that fills the model's context; a tokenizer without the tokens of a conversation.
    """
    if per_prompt < 1:
        raise ValueError(f"per_prompt = {per_prompt}: expected a number of responses >= 1")
    check_special(tokenizer)
    stops = [tokenizer.special[STOP], tokenizer.special[BEGIN]]
    asked = [instruction for instruction in instructions for _ in range(per_prompt)]
    prompts = [as_ids(instruction.prompt, tokenizer) for instruction in asked]
    found: list[Response] = []
    for start in range(0, len(asked), ROWS):
        written = generate(model, prompts[start : start + ROWS], most, sampling, generator, stops)
        lengths = written.mask.sum(dim=1).tolist()
        parts = zip(
            asked[start : start + ROWS], written.ids.tolist(), lengths, written.rows, written.ended, strict=True
        )
        for instruction, ids, length, row, ended in parts:
            found.append(Response(instruction, tuple(ids[:length]), tokenizer.decode(row).strip(), ended == "stop"))
    return [found[start : start + per_prompt] for start in range(0, len(found), per_prompt)]


# ---------------------------------------------------------------- the truth about them


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts how much in the gold reward: shares, which are divided by their sum.

    Raises:
        ValueError: a weight below 0, or none above.
    """

    helpful: float = 1.0
    honest: float = 1.0
    harmless: float = 1.0

    def __post_init__(self) -> None:
        weights = astuple(self)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise ValueError(f"weights = {weights}: expected finite numbers >= 0, and at least one above 0")


EVEN = Weights()


def gold(responses: Sequence[Response]) -> list[Judgement]:
    """The gold scores of responses, by parsing (`World().judge`), in the same order."""
    world = World()
    return [world.judge(response.instruction.prompt, response.text) for response in responses]


def gold_reward(judgement: Judgement, weights: Weights = EVEN) -> float:
    """The judge's three scores as one number in [0, 1], their weighted mean.

    >>> gold_reward(Judgement(helpful=0.0, honest=1.0, harmless=1.0), Weights(helpful=2.0, honest=1.0, harmless=1.0))
    0.5
    """
    total = weights.helpful + weights.honest + weights.harmless
    scores = weights.helpful * judgement.helpful + weights.honest * judgement.honest
    return (scores + weights.harmless * judgement.harmless) / total
