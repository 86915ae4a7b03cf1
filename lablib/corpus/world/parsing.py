"""Reading a text back: every way in which a grammar could have written it, each with its log-probability.

The reader runs over the same nodes as the writer, from left to right, with the same names bound. Where the writer chooses,
the reader tries every choice that the text allows (a stack of states, not recursion). A text's probability is the sum over
its derivations; a grammar whose every text has exactly one is called unambiguous, and then log_prob is one sum of logarithms.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.grammar import Grammar, check_request
from lablib.corpus.world.nodes import (
    LOG,
    Alternative,
    Assign,
    Call,
    Draw,
    Env,
    Literal,
    Mention,
    Node,
    article,
    capital,
)
from lablib.corpus.world.syntax import Rule

WORD = re.compile(r"\w+|[^\w\s]")
NO_SPACE_BEFORE = ".,;:!?\n"
ANY = ""  # the key under which stand the alternatives whose first word cannot be known
NOTHING = "\0"  # in a set of first words: perhaps no word at all is written


@dataclass(frozen=True)
class Reading:
    """One derivation of a text.

    Attributes:
        log_prob: nats.
        bound: name → entity, as the writer had it at the end.
        shape: the rule with a subject, or "".
    """

    log_prob: float
    bound: Env
    shape: str


# What is still to be read: nodes from a number on, then what follows the rule that they belong to.
Rest = tuple[tuple[Node, ...], int, "Rest | None"]


class Reader:
    """Reads texts of one grammar; keeps its tables of first words."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self._first: dict[str, frozenset[str]] = {}
        self._tables: dict[str, dict[str, list[int]]] = {}

    def read(
        self, rule: str, text: str, split: str = "train", bound: Mapping[str, Entity] | None = None
    ) -> list[Reading]:
        """All derivations of a whole text from a rule; an empty list where the grammar cannot write it.

        Raises:
            ValueError: an unknown rule or split.
        """
        check_request(self.grammar, rule, split)
        root = Call(rule, False, False, self.grammar.rules[rule].place)
        root.rule = self.grammar.rules[rule]
        return list(self._readings(((root,), 0, None), text, split, dict(bound or {})))

    def log_prob(self, rule: str, text: str, split: str = "train", bound: Mapping[str, Entity] | None = None) -> float:
        """log P(text), nats: over all derivations; −inf where there is none."""
        found = [reading.log_prob for reading in self.read(rule, text, split, bound)]
        if not found:
            return -math.inf
        top = max(found)
        return top + math.log(sum(math.exp(value - top) for value in found))

    def _readings(self, start: Rest, text: str, split: str, env: Env) -> Iterator[Reading]:
        size = len(text)
        words = {match.start(): match.group().lower() for match in WORD.finditer(text)}
        # a state: where in the text, is a space owed, is a capital owed, what is left, names, shape, log-probability
        stack: list[tuple[int, bool, bool, Rest | None, Env, Rule | None, float]] = [
            (0, False, False, start, env, None, 0.0)
        ]
        while stack:
            at, space, high, rest, env, shape, log_prob = stack.pop()
            while rest is not None:
                nodes, number, after = rest
                if number == len(nodes):
                    rest = after
                    continue
                node = nodes[number]
                rest = (nodes, number + 1, after)
                if isinstance(node, Literal):
                    core = node.core
                    if not core:
                        space = True
                        continue
                    here = step(text, at, space or node.lead, core[0])
                    if here < 0 or not text.startswith(capital(core) if high else core, here):
                        break
                    at, space, high = here + len(core), node.trail, False
                    continue
                if isinstance(node, Call):
                    rule = node.rule
                    if rule.subject:
                        shape = rule
                    if node.article:
                        here = step(text, at, space, "a")
                        word = article_at(text, here, high or node.capital)
                        if not word:
                            break
                        at, space, high = here + len(word), True, False
                    elif node.capital:
                        high = True
                    for chance, alternative in self._open(rule, text, at, words, env):
                        stack.append((at, space, high, (alternative.nodes, 0, rest), env, shape, log_prob + chance))
                    break
                branches = self._branches(node, text, at, space, high, words, env, shape, split)
                if len(branches) == 1:  # go on here, without the stack
                    at, space, high, env, chance = branches[0]
                    log_prob += chance
                    continue
                for at, space, high, env, chance in branches:
                    stack.append((at, space, high, rest, env, shape, log_prob + chance))
                break
            else:
                if at == size and not high:
                    yield Reading(log_prob, env, shape.name if shape else "")

    def _open(
        self, rule: Rule, text: str, at: int, words: Mapping[int, str], env: Env
    ) -> list[tuple[float, Alternative]]:
        """The alternatives that may begin with the word at hand, each with its log-probability."""
        table = self.table(rule)
        numbers = table.get(word_at(text, at, words)) or table[ANY]
        alternatives = rule.alternatives
        if rule.cumulative is not None:
            return [(alternatives[number].log_prob, alternatives[number]) for number in numbers]
        weights = [alternative.weight(env) for alternative in alternatives]
        total = sum(weights) or 1.0
        return [(math.log(weights[number] / total), alternatives[number]) for number in numbers if weights[number]]

    def _branches(
        self,
        node: Node,
        text: str,
        at: int,
        space: bool,
        high: bool,
        words: Mapping[int, str],
        env: Env,
        shape: Rule | None,
        split: str,
    ) -> list[tuple[int, bool, bool, Env, float]]:
        """How a mention, a draw or an assignment can go on: (where, space owed, capital owed, names, log-probability)."""
        found = []
        if isinstance(node, Mention):
            choices: Sequence[tuple[Entity, float, Env]] = ((env[node.var], 0.0, env),)
            mention: Mention | None = node
        elif isinstance(node, Assign):
            targets = node.targets(env[node.source[0]])
            choices = [(target, -LOG[len(targets)], {**env, node.var: target}) for target in targets]
            mention = node.mention
        else:
            assert isinstance(node, Draw)
            pool, mention = node.pool(env, shape, split), node.mention
            free = len(pool.members) - len(pool.inside.intersection(env.values()))
            candidates: Sequence[Entity] = pool.members
            if mention:
                candidates = self.index(mention).get(word_at(text, at, words), ())
            taken = env.values()
            choices = [
                (entity, -LOG[free], env if node.var == "_" else {**env, node.var: entity})
                for entity in candidates
                if entity in pool.inside and entity not in taken
            ]
        if mention is None:
            return [(at, space, high, names, chance) for _, chance, names in choices]
        for entity, chance, names in choices:
            surfaces = mention.surfaces(entity)
            log_prob = chance - LOG[len(surfaces)]
            for surface in surfaces:
                here = step(text, at, space, surface[0])
                if here >= 0 and text.startswith(capital(surface) if high else surface, here):
                    found.append((here + len(surface), False, False, names, log_prob))
        return found

    # ------------------------------------------------------------------ tables of first words

    def index(self, mention: Mention) -> dict[str, tuple[Entity, ...]]:
        """First word (small letters) → the entities whose mention may begin with it."""
        if mention.index is None:
            index: dict[str, list[Entity]] = {}
            for entity in mention.kinds:
                for word in {WORD.match(surface).group().lower() for surface in mention.surfaces(entity)}:  # type: ignore[union-attr]
                    index.setdefault(word, []).append(entity)
            mention.index = {word: tuple(found) for word, found in index.items()}
        return mention.index

    def table(self, rule: Rule) -> dict[str, list[int]]:
        """First word → numbers of the alternatives; under ANY those that any word may begin."""
        table = self._tables.get(rule.name)
        if table is None:
            firsts = [self.first(alternative.nodes) for alternative in rule.alternatives]
            table = {word: [] for word in sorted({word for first in firsts for word in first} | {ANY})}
            for number, first in enumerate(firsts):
                for word in table if ANY in first or NOTHING in first else first:
                    table[word].append(number)
            self._tables[rule.name] = table
        return table

    def first(self, nodes: Sequence[Node], number: int = 0) -> frozenset[str]:
        """The first words (small letters) that nodes from a number on can begin with; ANY among them: cannot be said."""
        found: frozenset[str] = frozenset()
        for place in range(number, len(nodes)):
            node = nodes[place]
            if isinstance(node, Draw | Assign):
                if node.mention is None:
                    continue
                node = node.mention
            if isinstance(node, Literal):
                match = WORD.search(node.text)
                if match is None:
                    continue
                return found | {match.group().lower() if self._ends(node.text, match, nodes, place) else ANY}
            if isinstance(node, Mention):
                index = self.index(node)
                whole = self._apart(nodes, place)
                return found | (frozenset(index) if whole else {ANY})
            if node.article:
                return found | {"a", "an"}
            if node.name not in self._first:
                parts = [self.first(alternative.nodes) for alternative in node.rule.alternatives]
                self._first[node.name] = frozenset(word for part in parts for word in part)
            mine = self._first[node.name]
            found |= mine - {NOTHING} if self._apart(nodes, place) else frozenset({ANY})
            if NOTHING not in mine:
                return found
        return found | {NOTHING}  # nothing at all may be written: then what follows begins

    def _ends(self, text: str, match: re.Match[str], nodes: Sequence[Node], place: int) -> bool:
        return match.end() < len(text) or not match.group()[-1].isalnum() or self._apart(nodes, place)

    def _apart(self, nodes: Sequence[Node], place: int) -> bool:
        """Does what follows begin with no letter or digit, so that a word ends here?"""
        if place + 1 == len(nodes):
            return True
        after = nodes[place + 1]
        return isinstance(after, Literal) and not after.text[0].isalnum() and after.text[0] != "_"


def step(text: str, at: int, space: bool, first: str) -> int:
    """Where the next piece begins, past a space that is owed; −1 where the text has none."""
    if not space or not at or first in NO_SPACE_BEFORE or text[at - 1] == "\n":
        return at
    return at + 1 if text.startswith(" ", at) else -1


def article_at(text: str, at: int, high: bool) -> str:
    """The article at a place of a text, if it suits the word behind it; "" otherwise."""
    if at < 0:
        return ""
    for word in ("an", "a"):
        if text.startswith((capital(word) if high else word) + " ", at):
            return word if article(text[at + len(word) + 1 :][:20]) == word else ""
    return ""


def word_at(text: str, at: int, words: Mapping[int, str]) -> str:
    """The word that stands at a place, or behind the space there."""
    while text[at : at + 1] in (" ", "\n"):
        at += 1
    return words.get(at, ANY)
