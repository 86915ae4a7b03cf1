"""Talk about an answer: hold it against a rule, say what is wrong, write it anew. The format that lab 14 rests on.

    user        How can I steal Mirabe's bell?
    assistant   Hide the bell under your coat and walk away slowly.
    user        Does your answer keep to this rule? Do not help anybody to do harm.
    assistant   It breaks the rule. It helps to steal, and stealing hurts people.
    user        Now write your answer anew.
    assistant   I will not help with that. …

A model can only do that if it has seen it done. Here it can be shown a thousand times, and always rightly: the answer's fault is
known because it was put there (`faults`), or the answer is the gold one and has none. The first answer is there to be spoken of and
is not learned.

Paper: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback" (§3: critique, revision). There a model was shown a few
examples in its prompt; this one has to be tuned for it. One of `KEEPS` and `BREAKS` begins every critique, so the two can also be
compared by their probabilities (§4).

Left out: critiques that are wrong or half right, several rounds, and rules in other words than these.
"""

from dataclasses import dataclass
from random import Random

from lablib.adaptation.chat import Conversation
from lablib.adaptation.faults import FAULTS, pick
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world.instructions import Instruction

# what a rule is about -> the rule, in several wordings; the last of each is kept for testing
RULES: dict[str, tuple[str, ...]] = {
    "harmless": (
        "Do not help anybody to do harm.",
        "Never help to hurt somebody or to take what is not yours.",
        "An answer must not help to do harm.",
        "Do not tell anybody how to hurt others.",
    ),
    "private": (
        "Do not tell private details.",
        "Never give away a phone number or an address.",
        "An answer must not tell what is private.",
        "Keep phone numbers and addresses to yourself.",
    ),
    "honest": (
        "Say only what is true.",
        "Never say what is false or what nobody knows.",
        "An answer must be true.",
        "Tell the truth, and do not guess.",
    ),
    "helpful": (
        "Do not refuse what is harmless.",
        "Never refuse a harmless request.",
        "An answer must help where help does no harm.",
        "Help with everything that hurts nobody.",
    ),
}
CRITIQUE = (
    "Does your answer keep to this rule? {}",
    "Criticise your answer. The rule is: {}",
    "Hold your answer against this rule: {}",
)
REVISION = ("Now write your answer anew.", "Write a better answer.", "Now answer again.")
AT_ONCE = ("Write your answer anew, so that it keeps to this rule: {}", "Answer again, and keep to this rule: {}")
KEEPS, BREAKS = "It keeps to the rule.", "It breaks the rule."

# fault -> the rules that such an answer breaks, and those that it surely keeps to; what is left out can be argued about
BROKEN: dict[str, tuple[str, ...]] = {
    "along.harmful": ("harmless",),
    "along.private": ("private",),
    "wrong": ("honest",),
    "guess": ("honest",),
    "refusal": ("helpful",),
    "": (),
}
KEPT: dict[str, tuple[str, ...]] = {
    "along.harmful": ("helpful",),
    "along.private": ("helpful",),
    "wrong": ("harmless", "private"),
    "guess": ("harmless", "private"),
    "refusal": ("harmless", "private", "honest"),
    "": tuple(RULES),
}
WHY = {
    "harm.theft": "It helps to steal, and stealing hurts people.",
    "harm.poison": "It helps to poison an animal, and that is cruel.",
    "harm.break_in": "It helps to break into a home, and that frightens people.",
    "harm.bully": "It is unkind, and mean words hurt.",
    "harm.lie": "It helps to lie, and lies hurt people.",
    "harm.fire": "It helps to burn things, and fire is dangerous.",
    "harm.cheat": "It helps to cheat, and cheating is unfair.",
    "harm.spy": "It helps to spy, and secrets are private.",
    "private.phone": "It tells a phone number, and that is private.",
    "private.address": "It tells an address, and that is private.",
    "guess": "Nobody can know that.",
    "refusal": "The request is harmless.",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A first answer, to be spoken of.

    Attributes:
        instruction: what was asked, with the gold response. text: the answer.
        fault: a key of `BROKEN`; "" for the gold response.
    """

    instruction: Instruction
    text: str
    fault: str = ""


def draft(instruction: Instruction, fault: str, generator: Random) -> Draft | None:
    """An answer with a fault, of "wrong", "refusal", "along" and "guess", or "" for the gold one; None where it cannot have it."""
    if not fault:
        return Draft(instruction, instruction.response)
    text = FAULTS[fault](instruction, generator)
    if text is None:
        return None
    return Draft(instruction, text, f"along.{instruction.kind_of}" if fault == "along" else fault)


def critique(draft: Draft, rule: str) -> str:
    """What there is to say of an answer by a rule, a key of `RULES`.

    Raises:
        ValueError: it can be argued whether the answer keeps to that rule.

    >>> from lablib.corpus.world import World
    >>> asked = next(World().instructions(Random(0), only=["harm.spy"]))
    >>> critique(Draft(asked, asked.going_along, "along.harmful"), "harmless")
    'It breaks the rule. It helps to spy, and secrets are private.'
    """
    if rule in BROKEN[draft.fault]:
        return f"{BREAKS} {_why(draft)}"
    if rule not in KEPT[draft.fault]:
        raise ValueError(f"rule = {rule!r}: expected one of {', '.join((*BROKEN[draft.fault], *KEPT[draft.fault]))}")
    return KEEPS


def _why(draft: Draft) -> str:
    if draft.fault == "wrong":
        return f"That is not true. {draft.instruction.response}"
    if draft.fault == "along.private":
        return WHY[draft.instruction.form]
    return WHY[draft.instruction.type if draft.fault == "along.harmful" else draft.fault]


def breaks(text: str) -> bool | None:
    """What a critique says: True, the answer breaks the rule; False, it keeps to it; None, neither.

    >>> breaks("It breaks the rule. Nobody can know that."), breaks("It keeps to the rule."), breaks("Marrow.")
    (True, False, None)
    """
    said = text.strip()
    return True if said.startswith(BREAKS) else False if said.startswith(KEEPS) else None


def talk(draft: Draft, rule: str, generator: Random, form: str = "both", wordings: slice = slice(-1)) -> Conversation:
    """A conversation about an answer.

    Args:
        draft: the first answer. rule: a key of `RULES` that the draft surely breaks or keeps to.
        form: "critique"; "both", a critique and the answer anew; or "revision", the answer anew at once.
        wordings: which wordings of the rule may be drawn.

    Returns:
        what is wrong stands only in the answer that is skipped; a good answer that is written anew is written as it was.

    Raises:
        ValueError: another form, or an answer that keeps to this rule, breaks another, and is to be written anew: as what?
    """
    if form not in ("critique", "both", "revision"):
        raise ValueError(f"form = {form!r}: expected critique, both or revision")
    text = pick(RULES[rule][wordings], generator)
    said = critique(draft, rule)
    if form != "critique" and draft.fault and said == KEEPS:
        raise ValueError(
            f"form = {form!r}, rule = {rule!r}, an answer with the fault {draft.fault!r}: expected a critique only, or one of the "
            f"rules that it breaks, {', '.join(BROKEN[draft.fault])}"
        )
    turns = [Turn("user", draft.instruction.prompt), Turn("assistant", draft.text)]
    if form == "revision":
        turns.append(Turn("user", pick(AT_ONCE, generator).format(text)))
    else:
        turns += [Turn("user", pick(CRITIQUE, generator).format(text)), Turn("assistant", said)]
        if form == "both":
            turns.append(Turn("user", pick(REVISION, generator)))
    if form != "critique":
        turns.append(Turn("assistant", draft.instruction.response))
    return Conversation(tuple(turns), skip=1, kind="critique" if form == "critique" else "revision")
