"""Reading one sentence with a grammar, from any place of it, with names read as sets (see `names`).

`Reader` asks for every derivation of a whole text. Here the question is smaller: in which ways can the grammar write this
sentence, going on from where it stands, and what may its names mean then? A reading stops at the end of a sentence, in the
middle of an alternative or even of a literal, and can be taken up there again (a `State`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.names import Entities, Names
from lablib.corpus.world.nodes import Assign, Call, Draw, Literal, Mention, Node, capital
from lablib.corpus.world.parsing import ANY, NO_SPACE_BEFORE, WORD, Reader, article_at, step, word_at

# What is still to be read: nodes from a number on, then what follows the rule that they belong to. Where that is not known,
# a rule's name stands there: what follows is any of its callers.
Rest = tuple[tuple[Node, ...], int, "Rest | str | None"]


@dataclass(frozen=True, slots=True)
class State:
    """A way in which the text so far can be read, between two sentences: what may follow, what the names may mean.

    Attributes:
        offset: how much of the literal at hand is read already.
        space: a space is owed.
        shape: the rule of the document's shape, or "" where it is not known.
    """

    rest: "Rest | str | None"
    offset: int
    space: bool
    names: Names
    shape: str


@dataclass(frozen=True, slots=True)
class Page:
    """A text, its words by place, the sentence at hand, and the white space that may follow it (before the end of the text)."""

    text: str
    words: Mapping[int, str]
    start: int
    stop: int
    then: str


class Recogniser:
    """Reads single sentences of a grammar; keeps its tables."""

    def __init__(self, grammar: Grammar, reader: Reader) -> None:
        self.grammar, self.reader = grammar, reader
        self._families: dict[str, frozenset[str]] = {}
        self._surfaces: dict[Mention, dict[str, list[tuple[str, Entities]]]] = {}

    def family(self, shape: str) -> frozenset[str]:
        """The rules that a shape can reach; all where the shape is not known."""
        if shape not in self._families:
            if not shape:
                self._families[shape] = frozenset(self.grammar.rules)
            else:
                inside = [shape]
                for name in inside:  # grows while it is read
                    calls = (
                        node
                        for a in self.grammar.rules[name].alternatives
                        for node in a.nodes
                        if isinstance(node, Call)
                    )
                    inside += [call.name for call in calls if call.name not in inside]
                self._families[shape] = frozenset(inside)
        return self._families[shape]

    def walk(self, states: Iterable[State], page: Page, begin: int, free: bool = False) -> list[State]:
        """The ways to read a sentence to its end.

        Args:
            begin: where in the text to go on from: the end of the sentence before, or the start of this one.
            free: names may mean anything, each time anew; the states that come out have the names that went in.
        """
        text, stop = page.text, page.stop
        found: list[State] = []
        stack = [(begin, s.space, False, s.rest, s.offset, s.names, s.shape) for s in states]
        while stack:
            at, space, high, rest, offset, names, shape = stack.pop()
            while True:
                if at == stop:
                    if not high and self._may_end(rest, space, shape, page.then):
                        found.append(State(rest, 0, space, names, shape))
                    break
                if rest is None:
                    break
                if isinstance(rest, str):  # what called this rule is not known
                    for nodes, number, caller in self._callers(rest, shape):
                        inside = caller if self.grammar.rules[caller].subject else shape
                        stack.append((at, space, high, (nodes, number, caller), 0, names, inside))
                    break
                nodes, number, after = rest
                if number == len(nodes):
                    rest = after
                    continue
                node, rest = nodes[number], (nodes, number + 1, after)
                fresh = at == page.start == begin  # the first word: what stands before it does not matter
                if isinstance(node, Literal):
                    core = node.core[offset:]
                    if not core:
                        space, offset = True, 0
                        continue
                    here = at if fresh or offset else step(text, at, space or node.lead, core[0])
                    core = capital(core) if high else core
                    if not 0 <= here < stop or not text.startswith(core[: stop - here], here):
                        break
                    if len(core) > stop - here:  # the sentence ends inside the literal
                        if core[stop - here] in page.then:
                            found.append(State((nodes, number, after), offset + stop - here, False, names, shape))
                        break
                    at, space, high, offset = here + len(core), node.trail, False, 0
                elif isinstance(node, Call):
                    rule = node.rule
                    shape = rule.name if rule.subject else shape
                    if node.article:
                        here = at if fresh else step(text, at, space, "a")
                        word = article_at(text, here, high or node.capital)
                        if not word:
                            break
                        at, space, high = here + len(word), True, False
                    else:
                        high = high or node.capital
                    table = self.reader.table(rule)
                    for choice in table.get(word_at(text, at, page.words)) or table[ANY]:
                        alternative = rule.alternatives[choice]
                        allowed = names if free or rule.cumulative is not None else names.allow(alternative)
                        if allowed is not None:
                            stack.append((at, space, high, (alternative.nodes, 0, rest), 0, allowed, shape))
                    break
                elif node.mention if isinstance(node, Draw | Assign) else node:
                    for end, allowed in self._read(node, page, at, space and not fresh, high, names, free):
                        stack.append((end, False, False, rest, 0, allowed, shape))
                    break
                elif not free:
                    bound = names.link(node, None) if isinstance(node, Assign) else self._narrow(node, names, None)
                    if bound is None:
                        break
                    names = bound
        return found

    def _read(
        self, node: Node, page: Page, at: int, space: bool, high: bool, names: Names, free: bool
    ) -> Iterator[tuple[int, Names]]:
        """Where what a node prints may end, and what its names may mean then."""
        mention = node if isinstance(node, Mention) else node.mention  # type: ignore[union-attr]
        assert mention is not None
        for surface, entities in self._surfaces_of(mention).get(word_at(page.text, at, page.words), ()):
            here = step(page.text, at, space, surface[0])
            end = here + len(surface)
            if here < 0 or end > page.stop or not page.text.startswith(capital(surface) if high else surface, here):
                continue
            narrowed: Names | None = names
            if not free:
                if isinstance(node, Assign):
                    narrowed = names.link(node, entities)
                elif isinstance(node, Draw):
                    narrowed = self._narrow(node, names, entities)
                else:
                    narrowed = names.narrow(mention.var, entities)
            if narrowed is not None:
                yield end, narrowed

    def _narrow(self, draw: Node, names: Names, entities: Entities | None) -> Names | None:
        assert isinstance(draw, Draw)
        pool = names.pool(draw)
        if entities is not None:
            pool &= entities
        if draw.var == "_":
            return names if pool else None
        return names.narrow(draw.var, pool)

    def _surfaces_of(self, mention: Mention) -> dict[str, list[tuple[str, Entities]]]:
        """First word in small letters → what the mention can print, and of whom."""
        found = self._surfaces.get(mention)
        if found is None:
            by_surface: dict[str, set[Entity]] = {}
            for entity in mention.kinds:
                for surface in mention.surfaces(entity):
                    by_surface.setdefault(surface, set()).add(entity)
            found = self._surfaces[mention] = {}
            for surface, entities in by_surface.items():
                word = WORD.match(surface)
                assert word is not None
                found.setdefault(word.group().lower(), []).append((surface, frozenset(entities)))
        return found

    def _callers(self, rule: str, shape: str) -> list[tuple[tuple[Node, ...], int, str]]:
        """What may follow a rule in a shape; nothing behind the shape itself, for there the document ends."""
        if self.grammar.rules[rule].subject:
            return []
        family = self.family(shape)
        return [caller for caller in self.grammar.callers[rule] if caller[2] in family]

    def _may_end(self, rest: "Rest | str | None", space: bool, shape: str, then: str) -> bool:
        """Can what follows begin with the end of the document, or with one of the characters `then`?"""
        while rest is not None:
            if isinstance(rest, str):
                callers = self._callers(rest, shape)
                return not callers or any(self._may_end(caller, space, shape, then) for caller in callers)
            nodes, number, after = rest
            if number == len(nodes):
                rest = after
                continue
            node, rest = nodes[number], (nodes, number + 1, after)
            if isinstance(node, Literal):
                if node.core:
                    first = node.core[0]
                    return first == "\n" or (first not in NO_SPACE_BEFORE and (space or node.lead) and " " in then)
                space = True
            elif isinstance(node, Call):
                alternatives = node.rule.alternatives
                return any(
                    self._may_end((alternative.nodes, 0, rest), space, shape, then) for alternative in alternatives
                )
            elif isinstance(node, Mention) or node.mention:
                return space and " " in then
        return True
