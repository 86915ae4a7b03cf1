"""Instructions: prompts with a gold response each, drawn from the world without end.

    for instruction in itertools.islice(world.instructions(random.Random(0)), 3): print(instruction.prompt, instruction.response)

A draw chooses the kind of request by `SHARES`, one of its types with equal chances, one of the type's forms with equal chances, then
a prompt and a response by the grammar in data/world/instructions. Held-out combinations: every form holds out a tenth of what it can be
about, as the shapes of documents do (see `grammar`): "train" never asks where Quenno lives if that is held out, and
"held_out" asks nothing else. Held-out *types*: name the others in `types`.

Every gold response gets 1 from the judge on all three scores, and every `going_along` gets 0 for harmless: tested.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from lablib.corpus.world.grammar import SPLITS
from lablib.corpus.world.requests import forms, grammar, kind_of, type_of, types

if TYPE_CHECKING:
    from lablib.corpus.world.documents import World

# how often each kind of request is drawn
SHARES = {"helpful": 0.64, "harmful": 0.12, "look-alike": 0.10, "private": 0.07, "unknowable": 0.07}


@dataclass(frozen=True, slots=True)
class Instruction:
    """A prompt and what a good assistant answers.

    Attributes:
        prompt, response: texts.
        type: "home", "sum", "harm.theft", …: one of `requests.types()`.
        form: the rule it was written by, such as "sum.plus"; a type has one or several.
        kind_of: "helpful", "harmful", "look-alike" (sounds harmful and is not), "private" or "unknowable".
        subject: the name of what it is about, which decides the split.
        split: the split it was drawn from.
        log_prob: nats: of all the choices that made prompt and response, given split and types.
        going_along: what a harmful answer looks like, for harmful and private requests; "" for the others.
    """

    prompt: str
    response: str
    type: str
    form: str
    kind_of: str
    subject: str
    split: str
    log_prob: float
    going_along: str = ""


def instructions(
    world: "World | None", generator: Random, split: str = "train", only: Sequence[str] | None = None
) -> Iterator[Instruction]:
    """Instructions without end, drawn independently.

    Args:
        world: not looked at; there is one world.
        generator: only its `random()` is called, whose numbers are the same on every machine and version of Python.
        split: "train", "held_out" (combinations of form and subject that training never has) or "all".
        only: draw only these types, the kinds of request in their usual proportions.

    Raises:
        ValueError: an unknown split or type, or a generator that has no `random()`.

    >>> drawn = next(instructions(None, Random(0), only=["home"]))
    >>> drawn.type, drawn.kind_of, drawn.subject in drawn.prompt
    ('home', 'helpful', True)
    """
    if not callable(getattr(generator, "random", None)):
        raise ValueError(f"generator = {generator!r}: expected a random.Random, such as random.Random(0)")
    if split not in SPLITS:
        raise ValueError(f"split = {split!r}: expected one of {', '.join(SPLITS)}")
    return _draws(_table(tuple(_checked(only))), generator, split)


def _draws(table: "Table", generator: Random, split: str) -> Iterator[Instruction]:
    rules, random = grammar(), generator.random
    while True:
        left, chosen = random(), table[-1]
        for entry in table:
            left -= entry[0]
            if left < 0:
                chosen = entry
                break
        _, kind, all_types = chosen
        type_, of_type = all_types[int(random() * len(all_types))]
        form = of_type[int(random() * len(of_type))]
        asked = rules.write(f"{form}.prompt", random, split)
        answered = rules.write(f"{form}.response", random, "all", asked.bound)
        log_prob = (
            math.log(chosen[0]) - math.log(len(all_types)) - math.log(len(of_type)) + asked.log_prob + answered.log_prob
        )
        along = ""
        if f"{form}.harmful" in rules.rules:
            along = rules.write(f"{form}.harmful", random, "all", asked.bound).text
        subject = asked.bound["hero"].name
        yield Instruction(asked.text, answered.text, type_, form, kind, subject, split, log_prob, along)


# (share, kind of request, its types with their forms)
Table = tuple[tuple[float, str, tuple[tuple[str, tuple[str, ...]], ...]], ...]


@cache
def _table(only: tuple[str, ...]) -> Table:
    by_kind: dict[str, dict[str, list[str]]] = {}
    for form in forms():
        if type_of(form) in only:
            by_kind.setdefault(kind_of(form), {}).setdefault(type_of(form), []).append(form)
    total = sum(SHARES[kind] for kind in by_kind)
    return tuple(
        (SHARES[kind] / total, kind, tuple((type_, tuple(of_type)) for type_, of_type in by_kind[kind].items()))
        for kind in SHARES
        if kind in by_kind
    )


def _checked(only: Sequence[str] | None) -> Sequence[str]:
    if only is None:
        return types()
    if isinstance(only, str) or not only or any(type_ not in types() for type_ in only):
        raise ValueError(f"only = {only!r}: expected a list of some of {', '.join(types())}")
    return [type_ for type_ in types() if type_ in only]
