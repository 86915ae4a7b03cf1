"""Which of two answers keeps better to a rule? The question by which a model labels preferences in lab 14, as conversations to learn from.

    user        Where does Mirabe live?
                A: In Marrow.
                B: I will not help with that.
                Which answer keeps better to this rule, A or B? Do not refuse what is harmless.
    assistant   A.

One answer is the gold one, the other has a fault that breaks the rule, and each stands first half of the time. So a model can learn
to read both, and it is easy to see whether it did: what it says should turn round when the answers do.

Paper: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback" (§4.1: the question, and labels by the probabilities of A and B).

Left out: answers that are both good or both bad, where there is nothing to learn; reasons before the choice.
"""

from collections.abc import Iterator, Sequence
from random import Random

from lablib.adaptation.chat import Conversation
from lablib.adaptation.critique import BROKEN, RULES, draft
from lablib.adaptation.faults import DRAFTS, able, pick
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.requests import types

QUESTION = (
    "{prompt}\nA: {first}\nB: {second}\nWhich answer keeps better to this rule, A or B? {rule}",
    "{prompt}\nA: {first}\nB: {second}\nCompare both answers by this rule: {rule} Is A better, or B?",
)
FIRST, SECOND = "A.", "B."


def question(prompt: str, first: str, second: str, rule: str, form: int = 0) -> str:
    """The user's turn that asks for a choice; form: which wording of it.

    >>> print(question("Hi", "Hello.", "No.", "Do not refuse what is harmless."))
    Hi
    A: Hello.
    B: No.
    Which answer keeps better to this rule, A or B? Do not refuse what is harmless.
    """
    # one pass, so that braces in a text stay what they are
    return QUESTION[form].format(prompt=prompt, first=first, second=second, rule=rule)


def comparisons(
    generator: Random, split: str = "train", only: Sequence[str] | None = None, longest: int | None = None
) -> Iterator[Conversation]:
    """Conversations without end, each a question and its right answer.

    Args:
        generator: only its `random()` is called. split, only: as in `sft_data.conversations`; with "held_out" the
            wordings of the rules are held out, too.
        longest: characters of both answers together, beyond which a pair is left out; None: any.

    Raises:
        ValueError: the types that are left have no answer with a fault.
    """
    allowed = frozenset(types() if only is None else only)
    types_of = {fault: able(fault, allowed) for fault in DRAFTS if fault}
    faults = [fault for fault in types_of if types_of[fault]]
    if not faults:
        raise ValueError(f"only = {only}: expected types of which some answer can have a fault, such as harm.theft")
    while True:
        fault = pick(faults, generator)
        instruction = next(World().instructions(generator, split, types_of[fault]))
        bad = draft(instruction, fault.partition(".")[0], generator)
        rule = pick(
            RULES[pick(BROKEN[fault], generator)][slice(-1, None) if split == "held_out" else slice(-1)], generator
        )
        form, turned = int(generator.random() * len(QUESTION)), generator.random() < 0.5
        if bad is None or (longest is not None and len(bad.text) + len(instruction.response) > longest):
            continue
        both = (bad.text, instruction.response) if turned else (instruction.response, bad.text)
        turns = (
            Turn("user", question(instruction.prompt, *both, rule, form)),
            Turn("assistant", SECOND if turned else FIRST),
        )
        yield Conversation(turns, kind="comparison")
