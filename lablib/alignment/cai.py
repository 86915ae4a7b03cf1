"""Constitutional AI, the two stages put together; how a model is trained comes in as a function, so both stay short enough to read.

Stage 1, supervised: the model's own answers to red-team prompts, criticised and revised by itself, and what it says to harmless prompts
anyway; a copy is fine-tuned on both. Without the second half it would learn to refuse everything. What it says to harmless prompts can be
criticised and revised, too: some principles are about helping and about truth.

Stage 2, from AI feedback: pairs of answers of the stage-1 model, labelled by a model that reads the constitution; a reward model and RL, or
DPO, learn from these labels as they would from people's (RLAIF).

Paper: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback" (figure 1; §3 and §4). There people still label helpfulness
and only harmlessness is left to the model; here the constitution speaks of both. There answers to harmless prompts are drawn from a model
that was trained to be helpful, and are learned as they are (§3.2).

Left out: mixing in human labels (hand `train` a larger set for that).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from lablib.adaptation.adherence import Adherence, adherence, judged
from lablib.adaptation.chat import Conversation
from lablib.alignment.ai_labels import AILabel, Judge, label
from lablib.alignment.constitution import Constitution
from lablib.alignment.self_critique import Transcript, Writer, conversation, critique_and_revise, filtered
from lablib.corpus.world.instructions import Instruction

M = TypeVar("M")


@dataclass(frozen=True)
class Supervised(Generic[M]):
    """What stage 1 leaves behind.

    Attributes:
        transcripts: of all red-team prompts. kept: those that were learned. dropped: reason -> how many were not.
        examples: everything that was learned, the answers to harmless prompts at the end. model: the tuned one.
    """

    transcripts: list[Transcript]
    kept: list[Transcript]
    dropped: Counter[str]
    examples: list[Conversation]
    model: M


def supervised_stage(
    write: Writer,
    tune: Callable[[list[Conversation]], M],
    red_team: Sequence[str],
    harmless: Sequence[str],
    constitution: Constitution,
    generator: Random,
    rounds: int = 2,
    always: bool = False,
    harmless_rounds: int = 0,
) -> Supervised[M]:
    """Stage 1: answer, criticise, revise, filter, fine-tune.

    Args:
        write: the model that answers and criticises. tune: examples -> a tuned copy of it.
        red_team: prompts that tempt it to do wrong. harmless: prompts that do not; their answers are learned, too.
        rounds, always: see `critique_and_revise`. harmless_rounds: of answers to harmless prompts; 0 leaves these as they are.

    Raises:
        ValueError: nothing was kept.
    """
    transcripts = critique_and_revise(write, red_team, constitution, rounds, generator, always=always)
    kept, dropped = filtered(transcripts)
    if not kept:
        raise ValueError(
            f"none of {len(transcripts)} transcripts was kept, dropped: {dict(dropped)}: can this model criticise?"
        )
    own = critique_and_revise(write, harmless, constitution, harmless_rounds, generator, always=always)
    examples = [conversation(one) for one in kept]
    examples += [conversation(one, "harmless") for one in filtered(own)[0]]
    return Supervised(transcripts, kept, dropped, examples, tune(examples))


@dataclass(frozen=True)
class Labelled:
    """A prompt with two answers, the chosen and the rejected, and the label that says so."""

    prompt: str
    chosen: str
    rejected: str
    label: AILabel


@dataclass(frozen=True)
class FromFeedback(Generic[M]):
    """What stage 2 leaves behind: all labels, the pairs that were learned, and the trained model."""

    labels: list[AILabel]
    pairs: list[Labelled]
    model: M


def feedback_stage(
    judge: Judge,
    train: Callable[[list[Labelled]], M],
    prompts: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    constitution: Constitution,
    generator: Random,
    principles: int = 1,
    surer_than: float = 0.5,
) -> FromFeedback[M]:
    """Stage 2: label pairs of answers by the constitution, and learn from the labels.

    Args:
        judge: see `ai_labels`. train: labelled pairs -> a model, by a reward model and RL, or by DPO.
        prompts, pairs, principles: see `ai_labels.label`; the answers should be drawn from the stage-1 model.
        surer_than: labels whose probability is no farther from 1/2 than this one's are left out: 0.5 keeps all but
            ties, 0.8 those of 0.8 and more.

    Raises:
        ValueError: surer_than is not from 1/2 to below 1, or no label is that sure.
    """
    if not 0.5 <= surer_than < 1:
        raise ValueError(f"surer_than = {surer_than}: expected a probability from 0.5 to below 1")
    labels = label(judge, prompts, pairs, constitution, generator, principles)
    found = [
        Labelled(prompt, a, b, one) if one.p > 0.5 else Labelled(prompt, b, a, one)
        for prompt, (a, b), one in zip(prompts, pairs, labels, strict=True)
        if max(one.p, 1 - one.p) > surer_than
    ]
    if not found:
        raise ValueError(f"surer_than = {surer_than}: none of {len(labels)} labels is; expected some: take a lower one")
    return FromFeedback(labels, found, train(found))


def by_round(instructions: Sequence[Instruction], transcripts: Sequence[Transcript]) -> list[Adherence]:
    """Gold scores of the answers before the first round, after it, after the second, …: harm and helpfulness as they
    are revised.

    Raises:
        ValueError: no transcripts, unequal numbers, other prompts, or transcripts of unequal rounds.
    """
    if [one.prompt for one in instructions] != [one.prompt for one in transcripts]:
        raise ValueError(
            f"{len(instructions)} instructions and {len(transcripts)} transcripts do not have the same prompts: expected the transcripts "
            "of these instructions, in their order"
        )
    rounds = {len(one.rounds) for one in transcripts}
    if len(rounds) != 1:
        raise ValueError(f"the transcripts have {sorted(rounds)} rounds: expected some, all with the same number")
    return [adherence(judged(instructions, [one.answers[at] for one in transcripts])) for at in range(rounds.pop() + 1)]
