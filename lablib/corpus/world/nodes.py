"""What an alternative of a rule is made of: literal text, calls of other rules, and mentions of entities.

Each node can `write` itself: append text to a `Writing`, with the log-probability of what it chose. The reader in
`parsing` runs over the same nodes in the other direction. Every choice, whether of an alternative, of an entity or
of a member of a list, has its probability in one place, here, and both directions use it.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from lablib.corpus.world.conditions import Condition, Env, Path, follow, words_of
from lablib.corpus.world.entities import Entity

if TYPE_CHECKING:
    from lablib.corpus.world.syntax import Place, Rule


LOG = [0.0] + [math.log(n) for n in range(1, 5000)]
AN = re.compile(r"(?!(?:uni[^m]|use|usu|eu|one\b|once))[aeiou]|hour|honest|heir", re.IGNORECASE)


class GrammarError(ValueError):
    """A mistake in a grammar file, with the file and the line."""


def article(word: str) -> str:
    """ "a" or "an", by the sound that the word begins with.

    >>> [article(word) for word in ("owl", "hour", "unicorn", "unimportant letter", "one-eyed cat", "bread knife")]
    ['an', 'an', 'a', 'an', 'a', 'a']
    """
    return "an" if AN.match(word) else "a"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class Writing:
    """A text in the making: its pieces, what is bound, the log-probability so far (nats), the rules with a subject."""

    __slots__ = ("env", "log_prob", "pieces", "random", "shape", "split")

    def __init__(self, random: Callable[[], float], split: str, env: Env) -> None:
        self.random, self.split, self.env = random, split, env
        self.pieces: list[str] = []
        self.log_prob = 0.0
        self.shape: Rule | None = None


class Literal:
    """Text as it stands. `lead` and `trail`: a space before and behind; `core`: what is between."""

    __slots__ = ("core", "lead", "text", "trail")

    def __init__(self, text: str) -> None:
        self.text = text
        self.core = text.strip(" ")
        self.lead, self.trail = text[:1] == " ", text[-1:] == " "

    def write(self, to: Writing) -> None:
        to.pieces.append(self.text)


class Call:
    """`{opening.morning}`: another rule, one of whose alternatives is chosen by weight."""

    __slots__ = ("article", "capital", "name", "place", "rule")

    def __init__(self, name: str, capital: bool, article: bool, place: "Place") -> None:
        self.name, self.capital, self.article, self.place = name, capital, article, place
        self.rule: Rule

    def write(self, to: Writing) -> None:
        start = len(to.pieces)
        if self.article:
            to.pieces.append("")
        self.rule.write(to)
        if self.article:
            to.pieces[start] = article("".join(to.pieces[start + 1 :]).lstrip()) + " "
        if self.capital:
            for number in range(start, len(to.pieces)):
                piece = to.pieces[number].lstrip(" ")
                if piece:
                    to.pieces[number] = to.pieces[number][: -len(piece)] + capital(piece)
                    break


class Mention:
    """`{hero.home.phrase}`: what is bound to a name, or an attribute of it."""

    __slots__ = ("article", "capital", "index", "kinds", "known", "path", "place", "var")

    def __init__(self, var: str, path: Path, capital: bool, article: bool, place: "Place") -> None:
        self.var, self.path, self.capital, self.article, self.place = var, path, capital, article, place
        self.known: dict[Entity, tuple[str, ...]] = {}
        self.kinds: tuple[Entity, ...] = ()  # what may be bound here, filled in when the grammar is checked
        self.index: dict[str, tuple[Entity, ...]] | None = None

    def surfaces(self, entity: Entity) -> tuple[str, ...]:
        """The texts that this mention of an entity can be: one, or the members of a list."""
        found = self.known.get(entity)
        if found is None:
            value = follow(entity, self.path)
            found = words_of(value)
            if self.article:
                own = value["article"] if isinstance(value, Entity) and value.has("article") else None
                found = tuple(f"{article(word) if own is None else own} {word}".lstrip() for word in found)
            if self.capital:
                found = tuple(capital(word) for word in found)
            self.known[entity] = found
        return found

    def write(self, to: Writing) -> None:
        self.write_for(to.env[self.var], to)

    def write_for(self, entity: Entity, to: Writing) -> None:
        found = self.known.get(entity) or self.surfaces(entity)
        if len(found) == 1:
            to.pieces.append(found[0])
        else:
            to.pieces.append(found[int(to.random() * len(found))])
            to.log_prob -= LOG[len(found)]


class Draw:
    """`{hero:person(home=Marrow).name}`: an entity that is not bound yet, each with the same chance; "_" binds nothing."""

    __slots__ = ("all", "category", "filters", "fixed", "mention", "place", "pools", "var")

    def __init__(
        self, var: str, category: str, filters: Condition | None, mention: Mention | None, place: "Place"
    ) -> None:
        self.var, self.category, self.filters, self.mention, self.place = var, category, filters, mention, place
        self.all: tuple[Entity, ...] = ()  # the category, filled in when the grammar is made
        self.fixed = filters is None or all(path[0] == "" for path in filters.paths)  # does not look at other names
        self.pools: dict[object, Pool] = {}

    def pool(self, env: Env, shape: "Rule | None", split: str) -> "Pool":
        """Whom this draw chooses from, whether or not they are taken already."""
        subject = shape is not None and shape.subject == self.var
        others = () if self.fixed else tuple(env[path[0]] for path in self.filters.paths if path[0])  # type: ignore[union-attr]
        key = (shape.name if shape and subject else "", split if subject else "", others)
        found = self.pools.get(key)
        if found is None:
            chosen = [e for e in self.all if self.filters is None or self.filters.holds({**env, "": e})]
            if shape is not None and subject and split != "all":
                chosen = [e for e in chosen if (e in shape.held_out) == (split == "held_out")]
            found = self.pools[key] = Pool(chosen)
        return found

    def write(self, to: Writing) -> None:
        env = to.env
        pool = self.pool(env, to.shape, to.split)
        members = pool.members
        taken = pool.inside.intersection(env.values())
        free = len(members) - len(taken)
        if free < 1:
            raise GrammarError(
                f"{self.place}: no {self.category} is left for {self.var!r} beside {env}: expected one more in the "
                "category, or a filter that is less narrow"
            )
        if taken:
            members = tuple(entity for entity in members if entity not in taken)
        entity = members[int(to.random() * free)]
        to.log_prob -= LOG[free]
        if self.var != "_":
            env[self.var] = entity
        if self.mention:
            self.mention.write_for(entity, to)


class Pool:
    """Entities to choose from: a tuple in the order of the lexicon, and the same as a set to look them up."""

    __slots__ = ("inside", "members")

    def __init__(self, members: Sequence[Entity]) -> None:
        self.members, self.inside = tuple(members), frozenset(members)


class Assign:
    """`{friend:=hero.friend}`: binds the entity that an attribute names (of a list, one of them)."""

    __slots__ = ("mention", "place", "source", "var")

    def __init__(self, var: str, source: Path, mention: Mention | None, place: "Place") -> None:
        self.var, self.source, self.mention, self.place = var, source, mention, place

    def targets(self, entity: Entity) -> tuple[Entity, ...]:
        value = follow(entity, self.source[1:])
        return value if isinstance(value, tuple) else (value,)  # type: ignore[return-value]

    def write(self, to: Writing) -> None:
        found = self.targets(to.env[self.source[0]])
        entity = found[0]
        if len(found) > 1:
            entity = found[int(to.random() * len(found))]
            to.log_prob -= LOG[len(found)]
        to.env[self.var] = entity
        if self.mention:
            self.mention.write_for(entity, to)


Node: TypeAlias = Literal | Call | Mention | Draw | Assign


class Alternative:
    """One line of a rule: its nodes, and its weight, which may depend on what is bound.

    Attributes:
        weights: (weight, condition) in order; the first whose condition holds counts, and None always holds.
    """

    __slots__ = ("log_prob", "nodes", "place", "weights")

    def __init__(self, nodes: tuple[Node, ...], weights: list[tuple[float, Condition | None]], place: "Place") -> None:
        self.nodes, self.weights, self.place = nodes, weights, place
        self.log_prob = 0.0  # of this alternative where no weight of the rule has a condition

    def weight(self, env: Env) -> float:
        for weight, condition in self.weights:
            if condition is None or condition.holds(env):
                return weight
        return 0.0


def choose(rule: "Rule", to: Writing) -> Alternative:
    """One alternative by weight, with its log-probability added to the writing's."""
    alternatives = rule.alternatives
    if rule.cumulative is not None:
        if len(alternatives) == 1:
            return alternatives[0]
        # a random number just below 1 may round up to the total: the last alternative is meant
        number = bisect_right(rule.cumulative, to.random() * rule.cumulative[-1], 0, len(alternatives) - 1)
        to.log_prob += alternatives[number].log_prob
        return alternatives[number]
    weights = [alternative.weight(to.env) for alternative in alternatives]
    total = sum(weights)
    if total <= 0:
        raise GrammarError(
            f"{rule.place}: no alternative of {rule.name!r} has a weight for {to.env}: add one without a condition"
        )
    number = pick(weights, to.random() * total)
    to.log_prob += math.log(weights[number] / total)
    return alternatives[number]


def pick(weights: Sequence[float], left: float) -> int:
    """The number of the weight that a point `left` of the way along their sum falls on.

    >>> [pick([1, 0, 2], left) for left in (0.5, 1.0, 2.9, 3.0)]  # a point that rounding put past the end falls on the last
    [0, 2, 2, 2]
    """
    for number, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return number
    return max(number for number, weight in enumerate(weights) if weight)
