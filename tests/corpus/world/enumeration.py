"""Every text that a small grammar can write, with its probability: counted out, without the writer and without the reader."""

import re
from collections.abc import Iterator
from fractions import Fraction

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.nodes import Assign, Call, Draw, Literal, Mention
from lablib.corpus.world.syntax import Rule, read_rules

PEOPLE = (
    Entity("person", "Ada", {"pronoun": "she", "origin": "north", "likes": ("tea", "milk")}),
    Entity("person", "Bo", {"pronoun": "he", "origin": "south", "likes": "tea"}),
    Entity("person", "Cy", {"pronoun": "he", "origin": "south", "likes": ("jam", "tea", "ale")}),
)
PEOPLE[0].values["friend"], PEOPLE[1].values["friend"] = PEOPLE[1], (PEOPLE[0], PEOPLE[2])
PEOPLE[2].values["friend"] = PEOPLE[0]
THINGS = tuple(Entity("thing", name) for name in ("owl", "cup", "hour"))
ENTITIES = {"person": PEOPLE, "thing": THINGS}

SMALL = """
document:
  [3] {meeting}
  [1] {find}
meeting [hero]:
  {hero:person} met {friend:=hero.friend}. {end}
  [2] {friend_of} was <away|[3] at home>. {end}
friend_of:
  The friend of {hero:person}
find [hero]:
  {^a thing:thing} was found by {hero:person(origin=south)}.
  {hero:person(origin=south)} found {a thing:thing}. <|{^hero.he} gave it to {other:person}.>
end:
  [1 | 4 if hero.origin = south] {^hero.he} drank {hero.likes}.
  [2] It rained.
  {}
"""


def grammar(text: str = SMALL, roots: tuple[str, ...] = ("document",)) -> Grammar:
    return Grammar(read_rules({"small.txt": text}), ENTITIES, roots)


Bound = dict[str, Entity]


def written(rule: Rule, bound: Bound) -> Iterator[tuple[Fraction, str, Bound]]:
    """(probability, text with its spaces untrimmed, names) of everything that a rule can write."""
    weights = [Fraction(alternative.weight(bound)) for alternative in rule.alternatives]
    for alternative, weight in zip(rule.alternatives, weights, strict=True):
        ways = [(weight / sum(weights), "", bound)] if weight else []
        for node in alternative.nodes:
            ways = [
                (chance * more, text + piece, names)
                for chance, text, before in ways
                for more, piece, names in _node(node, before)
            ]
        yield from ways


def _node(node: object, bound: Bound) -> Iterator[tuple[Fraction, str, Bound]]:
    one = Fraction(1)
    if isinstance(node, Literal):
        yield one, node.text, bound
    elif isinstance(node, Call):
        for chance, text, names in written(node.rule, bound):
            yield chance, text[:1].upper() + text[1:] if node.capital else text, names
    elif isinstance(node, Mention):
        yield from _mention(node, bound[node.var], one, bound)
    else:
        assert isinstance(node, Draw | Assign)
        if isinstance(node, Draw):
            fitting = [
                e for e in ENTITIES[node.category] if node.filters is None or node.filters.holds({**bound, "": e})
            ]
            choices = [entity for entity in fitting if entity not in bound.values()]
        else:
            target = bound[node.source[0]].values[node.source[1]]
            choices = list(target) if isinstance(target, tuple) else [target]
        for entity in choices:
            names = bound if node.var == "_" else {**bound, node.var: entity}
            if node.mention:
                yield from _mention(node.mention, entity, one / len(choices), names)
            else:
                yield one / len(choices), "", names


def _mention(mention: Mention, entity: Entity, chance: Fraction, bound: Bound) -> Iterator[tuple[Fraction, str, Bound]]:
    value = entity[mention.path[0]] if mention.path else entity.name
    for word in value if isinstance(value, tuple) else (value,):
        text = str(word)
        if mention.article:
            text = ("an " if text[0] in "aeiou" or text == "hour" else "a ") + text
        share = chance / (len(value) if isinstance(value, tuple) else 1)
        yield share, text[0].upper() + text[1:] if mention.capital else text, bound


def texts(grammar: Grammar, root: str = "document") -> dict[str, Fraction]:
    """Text → probability, summed over the ways to write it."""
    found: dict[str, Fraction] = {}
    for chance, text, _ in written(grammar.rules[root], {}):
        trimmed = re.sub(r" +", " ", text).strip()
        trimmed = re.sub(r" ([.,;:!?])", r"\1", trimmed)
        found[trimmed] = found.get(trimmed, Fraction(0)) + chance
    return found
