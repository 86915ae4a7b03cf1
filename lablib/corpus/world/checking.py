"""Checks a grammar before anything is written: every name is bound where it is used, every draw has somebody left to draw.

The rules are walked from the roots, each with what its callers have bound (name → the entities that it may mean). A rule
that was met with the same names bound is not walked again. On the way every mention learns what it may have to print.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import product

from lablib.corpus.world.conditions import Condition, follow, words_of
from lablib.corpus.world.entities import Entity
from lablib.corpus.world.nodes import Alternative, Assign, Call, Draw, GrammarError, Mention
from lablib.corpus.world.syntax import Rule

HELD_OUT_SHARE = 0.1
Types = dict[str, frozenset[Entity]]  # what each name may be bound to


def held_out_of(size: int) -> int:
    """How many of a pool a shape holds out: a tenth, and one at least."""
    return max(1, round(HELD_OUT_SHARE * size))


class Checker:
    """Walks through connected rules.

    Attributes:
        subjects: name of a shape → the draws that bind its subject; filled by `check`.
    """

    def __init__(self, rules: dict[str, Rule]) -> None:
        self.rules = rules
        self.subjects: dict[str, list[Draw]] = {}
        self._seen: dict[tuple[object, ...], tuple[Types, Types]] = {}
        self._path: list[str] = []

    def check(self, roots: Sequence[str | tuple[str, ...]]) -> dict[str, list[Draw]]:
        """Check everything that can be written from the roots; the draws of the subjects come back.

        Raises:
            GrammarError: see `Grammar`.
        """
        for chain in roots:
            state: tuple[Types, Types] = ({}, {})
            for name in (chain,) if isinstance(chain, str) else chain:
                if name not in self.rules:
                    raise GrammarError(
                        f"root {name!r} is no rule: expected one of {', '.join(sorted(self.rules)[:20])}, …"
                    )
                state = self._rule(self.rules[name], *state, "")
        reached = {key[0] for key in self._seen}
        for rule in self.rules.values():
            if rule.name not in reached:
                raise GrammarError(f"{rule.place}: rule {rule.name!r} is never used: call it, or take it away")
        return self.subjects

    def _rule(self, rule: Rule, sure: Types, maybe: Types, subject: str) -> tuple[Types, Types]:
        """Walk through a rule: what is bound behind it in every case, and what perhaps."""
        if rule.name in self._path:
            circle = " → ".join([*self._path[self._path.index(rule.name) :], rule.name])
            raise GrammarError(
                f"{rule.place}: {circle}: a rule that comes back to itself could go on without end: write it out"
            )
        subject = rule.name if rule.subject else subject
        key = (rule.name, subject, tuple(sorted(sure.items())), tuple(sorted(maybe.items())))
        if key in self._seen:
            return self._seen[key]
        self._path.append(rule.name)
        ends = [self._nodes(alternative, known, maybe, subject) for alternative, known in self._open_to(rule, sure)]
        self._path.pop()
        names = [name for name in ends[0][0] if all(name in end[0] for end in ends)]
        every = {name for end in ends for name in end[1]}
        self._seen[key] = (
            {name: frozenset().union(*(end[0][name] for end in ends)) for name in names},
            {name: frozenset().union(*(end[1].get(name, frozenset()) for end in ends)) for name in sorted(every)},
        )
        if rule.subject and rule.subject not in self._seen[key][0]:
            raise GrammarError(
                f"{rule.place}: {rule.name!r} does not bind its subject {rule.subject!r} in every alternative"
            )
        return self._seen[key]

    def _open_to(self, rule: Rule, sure: Types) -> Iterator[tuple[Alternative, Types]]:
        """The alternatives that may be chosen, and what a condition on one name leaves that name to be."""
        left: dict[str, set[Entity]] = {}
        for alternative in rule.alternatives:
            for _, condition in alternative.weights:
                if condition:
                    self._condition(condition, sure, alternative.place)
            names = {path[0] for _, condition in alternative.weights if condition for path in condition.paths}
            if len(names) != 1 or any(condition is None for _, condition in alternative.weights):
                left.clear()
                yield alternative, sure
                continue
            (name,) = names
            fits = frozenset(entity for entity in sure[name] if alternative.weight({name: entity}))
            left.setdefault(name, set(sure[name])).difference_update(fits)
            if fits:
                yield alternative, {**sure, name: fits}
        conditional = all(condition for a in rule.alternatives for _, condition in a.weights)
        if conditional and len(left) == 1 and (missing := next(iter(left.values()))):
            raise GrammarError(
                f"{rule.place}: no alternative of {rule.name!r} can be chosen for {sorted(entity.name for entity in missing)[:5]}: add one"
            )

    def _nodes(self, alternative: Alternative, sure: Types, maybe: Types, shape: str) -> tuple[Types, Types]:
        sure, maybe = dict(sure), dict(maybe)
        for node in alternative.nodes:
            if isinstance(node, Call):
                name, *attributes = node.name.split(".")
                if any(not attributes or entity.has(attributes[0]) for entity in maybe.get(name, ())):
                    raise GrammarError(f"{node.place}: {node.name!r} is a rule and may be a name: rename one")
                sure, maybe = map(dict, self._rule(node.rule, sure, maybe, shape))
            elif isinstance(node, Mention):
                self._note(node, self._bound(node.var, sure, node.place))
            elif isinstance(node, Draw | Assign):
                if isinstance(node, Draw):
                    pool = self._pool(node, sure, maybe, node.var == self.rules[shape].subject if shape else False)
                    if shape and node.var == self.rules[shape].subject:
                        if not node.fixed:
                            raise GrammarError(
                                f"{node.place}: the subject {node.var!r} is drawn by what others are: draw it first"
                            )
                        self.subjects.setdefault(shape, []).append(node)
                else:
                    source = self._bound(node.source[0], sure, node.place)
                    self._values(source, node.source, node.place)
                    try:
                        pool = frozenset(target for entity in source for target in node.targets(entity))
                        assert all(isinstance(target, Entity) for target in pool)
                    except AssertionError:
                        raise GrammarError(
                            f"{node.place}: {'.'.join(node.source)} is no entity, so {node.var!r} cannot be bound to it"
                        ) from None
                if node.mention:
                    self._note(node.mention, pool)
                if node.var != "_":
                    if node.var in maybe:
                        raise GrammarError(
                            f"{node.place}: {node.var!r} is bound already: expected a new name (in {' → '.join(self._path)})"
                        )
                    sure[node.var] = maybe[node.var] = pool
        return sure, maybe

    def _bound(self, var: str, sure: Types, place: object) -> frozenset[Entity]:
        if var not in sure:
            raise GrammarError(
                f"{place}: {var!r} is no rule, and no name that is bound here in every case: bound are "
                f"{', '.join(sorted(sure)) or 'none'}; bind it with {{{var}:category}}, or correct the rule's name "
                f"(in {' → '.join(self._path)})"
            )
        return sure[var]

    def _note(self, mention: Mention, pool: frozenset[Entity]) -> None:
        """Check that everything that may stand here can be printed, and remember what may."""
        self._values(pool, (mention.var, *mention.path), mention.place)
        if not pool <= set(mention.kinds):
            known = set(mention.kinds) | pool
            mention.kinds = tuple(sorted(known, key=lambda entity: (entity.category, entity.name)))
        for entity in pool:
            if any(re.search(r"[.!?][\"')]*\s|\n|  ", text) for text in mention.surfaces(entity)):
                raise GrammarError(
                    f"{mention.place}: {entity!r} prints {mention.surfaces(entity)}: an entity is no whole sentence"
                )

    def _values(self, pool: frozenset[Entity], path: Sequence[str], place: object) -> None:
        missing = []
        for entity in pool:
            try:
                assert all(words_of(follow(entity, path[1:])))
            except (KeyError, AssertionError):
                missing.append(entity.name)
        if missing or not pool:
            raise GrammarError(
                f"{place}: unknown attribute: {'.'.join(path)} is nothing for {', '.join(sorted(missing)[:5]) or 'an empty category'}: "
                "correct the name, or draw only from those that have it"
            )

    def _condition(self, condition: Condition, sure: Types, place: object) -> None:
        for path in condition.paths:
            self._values(self._bound(path[0], sure, place), path, place)

    def _pool(self, node: Draw, sure: Types, maybe: Types, subject: bool) -> frozenset[Entity]:
        """All that a draw may choose, whatever the other names are bound to; in every case one must be left for it, held out or not."""
        if node.filters:
            self._condition(node.filters, {**sure, "": frozenset(node.all)}, node.place)
        others = sorted({path[0] for path in node.filters.paths if path[0]}) if node.filters else []
        found: set[Entity] = set()
        for bound in product(*(sorted(sure[name], key=lambda entity: entity.name) for name in others)):
            env = dict(zip(others, bound, strict=True))
            pool = [e for e in node.all if node.filters is None or node.filters.holds({**env, "": e})]
            taken = [
                name
                for name, kinds in maybe.items()
                if (env[name] in pool if name in env else not kinds.isdisjoint(pool))
            ]
            if len(pool) <= len(taken) or (subject and held_out_of(len(pool)) <= len(taken)):
                raise GrammarError(
                    f"{node.place}: {node.category} ({node.filters.source if node.filters else 'any'}) for {node.var!r} leaves "
                    f"{len(pool)} to draw from where {env or 'nothing else'} is bound, and {', '.join(taken) or 'nobody'} may be taken "
                    f"already: widen the filter (in {' → '.join(self._path)})"
                )
            found.update(pool)
        return frozenset(found)
