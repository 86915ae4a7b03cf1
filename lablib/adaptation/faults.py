"""Answers with a known fault: what a careless person writes into an instruction set, and what a critique must find.

    wrong       tells something that is not so: the right sentence with another's fact in it
    refusal     refuses what is harmless
    along       goes along with a harmful request, or tells a private detail
    guess       tells what nobody can know
    form        says the right thing in the wrong form: with marks of a template, twice, or in a talk with itself

Each is a function of an instruction of the world and gives None where the fault cannot happen. That the fault is really there is known
without reading: `World().judge` gives such an answer less than the gold one, in the score that `SCORE` names; a test holds them to it.

Left out: faults that are hard to see, such as a half-true answer; bad spelling.
"""

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from lablib.corpus.world.entities import Entity, Value
from lablib.corpus.world.instructions import Instruction
from lablib.corpus.world.judge import judge
from lablib.corpus.world.lexicon import lexicon
from lablib.corpus.world.questions import RELATION_OF, asked_of
from lablib.corpus.world.requests import forms as all_forms
from lablib.corpus.world.requests import grammar, kind_of, recognise, type_of, types
from lablib.corpus.world.tasks import tasks

TRIES = 20  # other facts that are tried for a wrong answer; most are wrong at once
# fault -> the judge's score that it costs
SCORE = {"wrong": "honest", "refusal": "helpful", "along": "harmless", "guess": "honest", "form": "helpful"}
NUMBERS = ("ten", "twelve", "forty", "a hundred", "three hundred", "a thousand")
T = TypeVar("T")
GUESSES = ("About {}.", "Something about {}.", "Of {}.")


def wrong(instruction: Instruction, generator: Random) -> str | None:
    """An answer that tells something false: the response's sentence, with the facts of somebody or something else.

    None for a task without one right answer, such as a story, and for what must be declined.
    """
    if instruction.kind_of != "helpful" or asked_of(instruction.prompt) is None:
        return None
    bound = recognise(instruction.prompt).bound
    hero = bound["hero"]
    others = _of(hero.category)
    for _ in range(TRIES):
        twin = _twin(hero, pick(others, generator))
        try:
            text = (
                grammar().write(f"{instruction.form}.response", generator.random, "all", {**bound, "hero": twin}).text
            )
        except (KeyError, ValueError):  # the other lacks what the sentence tells
            continue
        if judge(None, instruction.prompt, text).honest == 0:
            return text
    return None


def refusal(instruction: Instruction, generator: Random) -> str | None:
    """A refusal of what is harmless."""
    if instruction.kind_of not in ("helpful", "look-alike"):
        return None
    return grammar().write("harm.no", generator.random).text


def along(instruction: Instruction, generator: Random) -> str | None:
    """What going along with a harmful or private request looks like."""
    return instruction.going_along or None


def guess(instruction: Instruction, generator: Random) -> str | None:
    """Something told that nobody can know."""
    if instruction.kind_of != "unknowable":
        return None
    if instruction.form == "unknown.number":
        return f"There are {pick(NUMBERS, generator)}."
    return pick(GUESSES, generator).format(pick(lexicon()["food"], generator)["phrase"])


def form(instruction: Instruction, generator: Random) -> str | None:
    """The right answer in a wrong form.

    >>> from lablib.corpus.world import World
    >>> form(next(World().instructions(Random(1), only=["home"])), Random(0))
    '### Response: He lives in Hathen.'
    """
    prompt, response = instruction.prompt, instruction.response
    forms = (
        f"Assistant: {response}",
        f"{response} {response}",
        f"{response}\nUser: {prompt}\nAssistant: {response}",
        f"### Response: {response}",
    )
    return pick(forms, generator)


Fault = Callable[[Instruction, Random], str | None]
FAULTS: dict[str, Fault] = {"wrong": wrong, "refusal": refusal, "along": along, "guess": guess, "form": form}


def pick(pool: Sequence[T], generator: Random) -> T:
    """One of them, by `random()` alone, whose numbers are the same in every version of Python."""
    return pool[int(generator.random() * len(pool))]


def _of(category: str) -> tuple[Entity, ...]:
    return tuple({**lexicon(), **tasks()}[category])


@cache  # the grammar remembers every entity that it has printed, so each pair is made once
def _twin(hero: Entity, other: Entity) -> Entity:
    """Somebody with the hero's name and pronoun and all else from another."""
    own: dict[str, Value] = {name: hero.values[name] for name in ("pronoun", "article") if name in hero.values}
    return Entity(hero.category, hero.name, {**other.values, **own})


# ---------------------------------------------------------------- which types can have which fault

# how often a critique is of an answer with each fault, where the types that are drawn allow it
DRAFTS = {"along.harmful": 0.28, "along.private": 0.10, "wrong": 0.17, "guess": 0.07, "refusal": 0.13, "": 0.25}
# types whose questions have one right answer
FACTS = frozenset(type_of(form) for form in RELATION_OF)


def able(fault: str, allowed: frozenset[str]) -> list[str]:
    """The types whose answers can have a fault (a key of `critique.BROKEN`), of those allowed."""
    kinds = {
        "along.harmful": ("harmful",),
        "along.private": ("private",),
        "wrong": ("helpful",),
        "guess": ("unknowable",),
        "refusal": ("helpful", "look-alike"),
        "": ("helpful", "look-alike", "harmful", "private", "unknowable"),
    }[fault]
    found = {type_of(form) for form in all_forms() if kind_of(form) in kinds}
    return [type_ for type_ in types() if type_ in found & allowed and (fault != "wrong" or type_ in FACTS)]
