"""A reward that nobody has to learn: is the fact right? A program reads the answer and looks it up.

A learned reward can be talked into much; a check of facts cannot, but it sees facts only. It says nothing about harm, length or tone,
and it has nothing to say about a story. So it is used where there is something to check ("reinforcement learning with verifiable rewards",
Lambert et al. 2024, "Tulu 3", §6), here: questions with one right answer, in the world of the course.

It is less than the gold score on purpose: `World().judge` looks at form, at idle sentences and at what is claimed besides as well.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lablib.alignment.responses import Response
from lablib.alignment.rollouts import Rollout
from lablib.corpus.world import World
from lablib.corpus.world.questions import RELATION_OF, asked_of
from lablib.corpus.world.requests import forms, type_of, types

# the judge's words for an answer that is right without an "or" and without an "I do not know"
RIGHT = ("the right value", "yes or no, rightly", "the fact that answers it")


def checkable_types() -> tuple[str, ...]:
    """The types of instruction that have one right answer in all of their forms: what to draw prompts of.

    >>> "home" in checkable_types(), "story" in checkable_types()
    (True, False)
    """
    without = {type_of(form) for form in forms() if form not in RELATION_OF}
    return tuple(name for name in types() if name not in without)


def fact_right(response: Response) -> float:
    """1 where an answer gives the right fact and no wrong one beside it, 0 otherwise.

    Raises:
        ValueError: what was asked has no one right answer; draw prompts of `checkable_types()`.
    """
    asked = asked_of(response.instruction.prompt)
    if asked is None:
        raise ValueError(
            f"instruction {response.instruction.prompt!r:.80} has no one right answer that could be checked: expected one of the types "
            f"{', '.join(checkable_types())}: Prompts(n, only=checkable_types())"
        )
    found = World().judge(response.instruction.prompt, response.text)
    return float(found.rule in RIGHT)


def facts_right(responses: Sequence[Response]) -> Tensor:
    """`fact_right` of each answer: (N,)."""
    return torch.tensor([fact_right(response) for response in responses])


def verified(rollout: Rollout) -> Tensor:
    """The same as a reward for a rollout, (N,), as `ppo` and `train_grpo` take it."""
    return facts_right(rollout.responses)
