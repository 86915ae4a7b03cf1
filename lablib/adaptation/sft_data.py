"""Conversations to learn from, drawn from the world without end.

    for conversation in itertools.islice(conversations(random.Random(0)), 3): print(conversation.turns)

Most are one question and its gold answer. Some have a second turn (another question, or "Say that again."), some begin with a system's
turn, and some speak of an answer (`critique`) or compare two (`comparison`), so that the model of lab 14 can do that. A `Mixture` says
how often each, and how many answers have a fault: the sets that people write are never clean.

Held out are the same combinations as in `World().instructions`, whole types of instruction where `types` leaves them out, and the last
wording of each rule.

Left out: follow-ups that ask on about the same thing ("And where does she live?").
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from random import Random

from lablib.adaptation.chat import Conversation
from lablib.adaptation.comparison import comparisons
from lablib.adaptation.critique import BROKEN, KEPT, draft, talk
from lablib.adaptation.faults import DRAFTS, FAULTS, able, pick
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.instructions import Instruction
from lablib.corpus.world.requests import types

AGAIN = ("Say that again.", "Please repeat your answer.", "Once more, please.")
SYSTEM = (
    "You are a helpful assistant.",
    "You answer the questions of the people of the valley.",
    "Answer in short and plain sentences.",
)
ASKED_FOR = {"critique": 0.35, "both": 0.35, "revision": 0.15, "comparison": 0.15}  # forms of talk about an answer
AGREES = 0.2  # of the critiques alone that find nothing wrong by this rule in an answer with another fault


@dataclass(frozen=True)
class Mixture:
    """How often each kind of conversation is drawn, and how often an answer has a fault; all are shares, from 0 to 1.

    Args:
        critique: of all conversations, those that speak of an answer, or compare two. two_turns: of the others, those with a second turn.
        system: of all, those that begin with a system's turn.
        wrong, refusal, along, guess, form: of the answers *that can have that fault*, those that have it (see `faults`). They are
            tried in this order, and an answer has one at most. Critiques have none.
    """

    critique: float = 0.2
    two_turns: float = 0.1
    system: float = 0.1
    wrong: float = 0.0
    refusal: float = 0.0
    along: float = 0.0
    guess: float = 0.0
    form: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{field.name} = {value!r}: expected a share from 0 to 1")


CLEAN = Mixture()
CARRIED = replace(CLEAN, along=0.25, guess=0.25, refusal=0.1)  # of the model that labs 12 to 14 align: it needs faults
SINGLE = Mixture(critique=0.0, two_turns=0.0, system=0.0)  # one question and its answer, nothing else
NOISY = replace(
    SINGLE, wrong=0.35, refusal=0.15, along=0.5, guess=0.5, form=0.2
)  # a set that nobody has looked through


def without(*held_out: str) -> tuple[str, ...]:
    """All types of instruction but these.

    Raises:
        ValueError: there is no such type, or none is left.

    >>> len(types()) - len(without("sum", "opposite"))
    2
    """
    unknown = [type_ for type_ in held_out if type_ not in types()]
    left = tuple(type_ for type_ in types() if type_ not in held_out)
    if unknown or not left:
        raise ValueError(f"held_out = {held_out}: expected some, but not all, of {', '.join(types())}")
    return left


def conversations(
    generator: Random, mixture: Mixture = CLEAN, split: str = "train", only: Sequence[str] | None = None
) -> Iterator[Conversation]:
    """Conversations without end, drawn independently.

    Args:
        generator: only its `random()` is called, whose numbers are the same on every machine and version of Python.
        split: "train", "held_out" (combinations that training never has) or "all".
        only: types of instruction, as in `World().instructions`; see `without`.

    Raises:
        ValueError: see `World().instructions`.
    """
    asked = World().instructions(generator, split, only)  # it raises before anything is drawn
    allowed = frozenset(types() if only is None else only)
    while True:
        if generator.random() < mixture.critique:
            found = _critique(generator, split, allowed)
        else:
            found = _answers(asked, mixture, generator)
        if generator.random() < mixture.system:
            turns = (Turn("system", pick(SYSTEM, generator)), *found.turns)
            found = Conversation(turns, found.skip, found.kind, found.faults)
        yield found


def plain(instruction: Instruction) -> Conversation:
    """A question and its gold answer."""
    return Conversation(
        (Turn("user", instruction.prompt), Turn("assistant", instruction.response)), kind=instruction.type
    )


def _answers(asked: Iterator[Instruction], mixture: Mixture, generator: Random) -> Conversation:
    """One or two questions with their answers, which may have faults."""
    turns: list[Turn] = []
    faults: list[str] = []
    kind = ""
    for _ in range(1 + (generator.random() < mixture.two_turns)):
        if turns and generator.random() < 0.5:
            turns += [Turn("user", pick(AGAIN, generator)), turns[-1]]
            continue
        instruction = next(asked)
        kind = instruction.type
        fault, text = _maybe_spoiled(instruction, mixture, generator)
        faults += [fault] if fault else []
        turns += [Turn("user", instruction.prompt), Turn("assistant", text)]
    return Conversation(tuple(turns), kind=kind, faults=tuple(faults))


def _maybe_spoiled(instruction: Instruction, mixture: Mixture, generator: Random) -> tuple[str, str]:
    """The fault and the text of an answer; "" and the gold response where chance leaves it as it is."""
    for fault, make in FAULTS.items():
        share = getattr(mixture, fault)
        if share and generator.random() < share and (text := make(instruction, generator)) is not None:
            return fault, text
    return "", instruction.response


def _critique(generator: Random, split: str, allowed: frozenset[str]) -> Conversation:
    """Talk about an answer whose fault is drawn first, so that the rare kinds are seen often enough."""
    types_of = {fault: able(fault, allowed) for fault in DRAFTS}
    form = _drawn(ASKED_FOR, generator)
    if form == "comparison" and any(types_of[fault] for fault in types_of if fault):
        return next(comparisons(generator, split, sorted(allowed)))
    found = None
    while found is None:  # a few instructions have no wrong answer
        fault = _drawn({fault: share for fault, share in DRAFTS.items() if types_of[fault]}, generator)
        instruction = next(World().instructions(generator, split, types_of[fault]))
        found = draft(instruction, fault.partition(".")[0], generator)
    form = "critique" if form == "comparison" else form  # no answer of these types has a fault
    agrees = not found.fault or (form == "critique" and generator.random() < AGREES)
    rule = pick((KEPT if agrees else BROKEN)[found.fault], generator)
    # the last wording of each rule is for testing
    return talk(found, rule, generator, form, slice(-1, None) if split == "held_out" else slice(-1))


def _drawn(shares: dict[str, float], generator: Random) -> str:
    """A key, each as often as its share of all says."""
    left = generator.random() * math.fsum(shares.values())
    for key, share in shares.items():
        left -= share
        if left < 0:
            return key
    return key


def fixed_set(n: int, mixture: Mixture = CLEAN, seed: int = 0, only: Sequence[str] | None = None) -> list[Conversation]:
    """A set of n conversations of the training split, the same whenever it is asked for; a larger one begins with a smaller one."""
    return list(islice(conversations(Random(f"conversations {seed}"), mixture, only=only), n))
