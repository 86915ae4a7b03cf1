"""Prompts that ask what a model has learned from its context: in the world's own forms, with facts that are true, false or invented.

*Few-shot* (Brown et al. 2020, §2): k examples of a task stand before the question, and nothing is trained. Min et al. 2022, "Rethinking the
Role of Demonstrations", found that wrong examples often help as much as right ones: they show *which* task it is, not *how* it goes.
So here the examples come right, with values that were shuffled among them, and with a rule that is turned round.

*Closed book* is a question about the world without any help; a statement before it agrees with what the model has learned, or does not.

Left out: instructions and conversations (lab 09), retrieved documents (lab 11).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from lablib.corpus.world import World
from lablib.corpus.world.entities import Entity

Pair = tuple[str, str]  # something, and what the task says of it
ONSETS, VOWELS, CODAS = (
    ("b", "br", "d", "dr", "f", "g", "gr", "k", "m", "p", "r", "s", "t", "v", "z"),
    "aeiou",
    "dkmnrsxz",
)


@dataclass(frozen=True)
class Question:
    """A prompt, the answer that would be right, and another that would be wrong ("" where there is none); answers with their space."""

    prompt: str
    answer: str
    other: str = ""


def invented_names(generator: Random, n: int, world: World) -> list[str]:
    """n different names, such as Zadrek, that neither the world nor any of its words has.

    generator: only its `random()` is called.
    """
    taken = {entity.name.lower() for entities in world.entities.values() for entity in entities}
    names: list[str] = []
    while len(names) < n:
        parts = [_pick(group, generator) for group in (ONSETS, VOWELS, ONSETS, VOWELS, CODAS)]
        name = "".join(parts).capitalize()
        if name.lower() not in taken:
            taken.add(name.lower())
            names.append(name)
    return names


def renamed(text: str, name: str, new: Sequence[str]) -> str:
    """The text with other names: the first mention gets the first of `new`, the second the second, all that follow the last.

    >>> renamed("Jo met Joan. Jo ran. Jo!", "Jo", ["Al", "Bo"])
    'Al met Joan. Bo ran. Bo!'
    """
    left = [*reversed(new)]
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _: left.pop() if len(left) > 1 else left[0], text)


def _pick(of: Sequence[str], generator: Random) -> str:
    return of[int(generator.random() * len(of))]


def _sample(of: Sequence[Pair], k: int, generator: Random) -> list[Pair]:
    """k of the pairs without repetition, in random order."""
    if k > len(of):
        raise ValueError(f"k = {k}: expected at most the {len(of)} examples that there are")
    return sorted(of, key=lambda _: generator.random())[:k]


# ---------------------------------------------------------------- few-shot

# The lists of the world that go "- this: that", with the lines that head them there. Two are about animals and two about objects, so
# that a line without a heading does not say which is meant.
HEADINGS = {
    "young": "Animals and their young:",
    "legs": "How many legs?",
    "colour": "Which colour?",
    "use": "What is it for?",
}


def tasks(world: World) -> dict[str, list[Pair]]:
    """The tasks by name: all pairs that are true in the world."""
    return {
        "young": [(animal.name, str(animal["young"])) for animal in world.animals],
        "legs": [(animal.name, str(animal["legs"])) for animal in world.animals],
        "colour": [(thing.name, _name(thing, "colour")) for thing in world.objects],
        "use": [(thing.name, f"to {thing['use']}") for thing in world.objects],
    }


def _name(entity: Entity, attribute: str) -> str:
    value = entity[attribute]
    assert isinstance(value, Entity), f"{attribute} of {entity!r} is no entity"
    return value.name


def few_shot(examples: Sequence[Pair], question: Pair, heading: str = "") -> Question:
    """A list in the world's form, whose last line lacks its end.

    >>> few_shot([("owl", "two"), ("cow", "four")], ("dog", "four")).prompt
    '- owl: two\\n- cow: four\\n- dog:'
    """
    lines = [heading] if heading else []
    lines += [f"- {this}: {that}" for this, that in examples]
    return Question("\n".join([*lines, f"- {question[0]}:"]), f" {question[1]}")


def few_shot_questions(
    pairs: Sequence[Pair], k: int, n: int, generator: Random, kind: str = "right", heading: str = ""
) -> list[Question]:
    """n questions of a task, each behind k examples of its own.

    Args:
        kind: "right": true examples. "shuffled": the values of *all* pairs handed round, so that what an example says is
            rarely true; the right answer is what is true.

    Raises:
        ValueError: more examples than pairs, or an unknown kind.
    """
    if kind not in ("right", "shuffled"):
        raise ValueError(f"kind = {kind!r}: expected 'right' or 'shuffled'")
    made = []
    for question in _round(pairs, n, generator):
        others = [pair for pair in pairs if pair[0] != question[0]]
        examples = _sample(others, k, generator)
        if kind == "shuffled":
            examples = [
                (this, that) for (this, _), (_, that) in zip(examples, _sample(others, k, generator), strict=True)
            ]
        made.append(few_shot(examples, question, heading))
    return made


def _round(pairs: Sequence[Pair], n: int, generator: Random) -> Iterator[Pair]:
    """n pairs, each as often as any other but for one."""
    while n > 0:
        some = _sample(pairs, min(n, len(pairs)), generator)
        yield from some
        n -= len(some)


def turned_questions(pairs: Sequence[Pair], values: Pair, k: int, n: int, generator: Random) -> list[Question]:
    """n questions behind k examples of a rule turned round: what is `values[0]` in the world is `values[1]` here, and the reverse.

    `answer` goes by the examples, `other` by the world. Half of the examples have one value, half the other (k even), so that
    counting them does not help.
    """
    if k % 2:
        raise ValueError(f"k = {k}: expected an even number, half of it for each of the two values {values}")
    turn = {values[0]: values[1], values[1]: values[0]}
    groups = [[pair for pair in pairs if pair[1] == value] for value in values]
    made = []
    for question in _round([pair for group in groups for pair in group], n, generator):
        examples = [
            pair for group in groups for pair in _sample([p for p in group if p != question], k // 2, generator)
        ]
        shown = [(this, turn[that]) for this, that in _sample(examples, k, generator)]
        asked = few_shot(shown, (question[0], turn[question[1]]))
        made.append(Question(asked.prompt, asked.answer, f" {question[1]}"))
    return made


def look_up_questions(names: Sequence[str], values: Sequence[str], k: int, n: int, generator: Random) -> list[Question]:
    """n questions about one of k invented facts that stand before it, all with different values: one guess in k is right."""
    made = []
    for _ in range(n):
        shown = [(name, "") for name in names]
        keys = [name for name, _ in _sample(shown, k, generator)]
        found = [value for value, _ in _sample([(value, "") for value in values], k, generator)]
        asked = int(generator.random() * k)
        made.append(few_shot(list(zip(keys, found, strict=True)), (keys[asked], found[asked])))
    return made


# ---------------------------------------------------------------- what the world says against what the text says


@dataclass(frozen=True)
class Relation:
    """One thing to be known about an entity: how a text says it and how it goes on to ask, both as the world's entries do."""

    name: str
    entities: tuple[Entity, ...]
    values: tuple[str, ...]  # of each entity
    states: str  # with {a} for the entity, {he} {his} for its pronouns, {v} for the value
    asks: str


def relations(world: World) -> list[Relation]:
    """Four relations whose values a text can state and ask for in different words."""
    people, animals, objects = world.people, world.animals, world.objects
    return [
        Relation("home", people, tuple(_name(p, "home") for p in people), "{a} lives in {v}.", "The home of {a} is"),
        Relation(
            "friend", people, tuple(_name(p, "friend") for p in people),
            "{His} best friend is {v}.", "When {a} has a secret, {he} goes to see",
        ),
        Relation(
            "food", animals, tuple(str(animal["eats"]) for animal in animals),
            "{A} eats {v}.", "The food that {a} likes best is",
        ),
        Relation("colour", objects, tuple(_name(o, "colour") for o in objects), "It is {v}.", "Its colour is"),
    ]  # fmt: skip


CONDITIONS = ("closed book", "true", "false", "about another")


def fact_questions(relation: Relation, condition: str, n: int, generator: Random) -> list[Question]:
    """n questions about what a relation says of an entity; `answer` is true in the world, `other` is the value that the text states.

    Args:
        condition: "closed book": nothing is stated (`other` is a value drawn as if it were). "true", "false": the value is stated, or
            one that is not true. "about another": what is true of another entity is stated about that one, and it is `other`; it
            should change nothing.

    Raises:
        ValueError: an unknown condition.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"condition = {condition!r}: expected one of {', '.join(map(repr, CONDITIONS))}")
    made = []
    value_of = dict(zip((entity.name for entity in relation.entities), relation.values, strict=True))
    by_name = {entity.name: entity for entity in relation.entities}
    for name, true in _round(list(value_of.items()), n, generator):
        wrong = [pair for pair in value_of.items() if pair[1] != true and pair[0] != name]
        ((another, false),) = _sample(wrong, 1, generator)
        about, stated = {
            "closed book": (name, ""),
            "true": (name, true),
            "false": (name, false),
            "about another": (another, false),
        }[condition]
        lines = [_title(by_name[about])]
        if stated:
            lines.append(_filled(relation.states, by_name[about], stated))
        if about != name:
            lines.append(_title(by_name[name]))
        prompt = "\n".join(lines) + (" " if stated and about == name else "\n") + _filled(relation.asks, by_name[name])
        made.append(Question(prompt, f" {true}", f" {true if condition == 'true' else false}"))
    return made


def _a(entity: Entity) -> str:
    if entity.category == "person":
        return entity.name
    return f"{'an' if entity.name[0] in VOWELS else 'a'} {entity.name}"


def _title(entity: Entity) -> str:
    """The line that heads an entry about it."""
    return _capital(_a(entity))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _filled(form: str, entity: Entity, value: str = "") -> str:
    his = str(entity["his"])
    return form.format(a=_a(entity), A=_title(entity), he=entity["he"], his=his, His=_capital(his), v=value)
