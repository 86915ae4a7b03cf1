"""What names may mean, as sets of entities: "he" leaves the name `hero` all men, "he is a baker" the bakers among them.

A reader that cannot know who is meant narrows a set instead of trying one person after another. Where one name was bound to
what another has (`{friend:=hero.friend}`), narrowing one narrows the other (arc consistency; Mackworth 1977, Consistency in
Networks of Relations).
"""

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice, product
from math import prod

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.nodes import Alternative, Assign, Draw

Entities = frozenset[Entity]
MANY = 200  # combinations of other names that a filter is tried with; beyond them it lets everything through


class Names:
    """Sets of entities by name, and the assignments that tie them together. Never changed: narrowing makes a new one."""

    __slots__ = ("domains", "links")

    def __init__(self, domains: Mapping[str, Entities] | None = None, links: tuple[Assign, ...] = ()) -> None:
        self.domains, self.links = dict(domains or {}), links

    def narrow(self, name: str, allowed: Entities) -> "Names | None":
        """The same with `name` among `allowed`; None where nothing is left for some name."""
        known = self.domains.get(name)
        left = allowed if known is None else known & allowed
        if not left:
            return None
        if left == known:
            return self
        return Names({**self.domains, name: left}, self.links)._agree()

    def link(self, assign: Assign, allowed: Entities | None) -> "Names | None":
        """`assign` was met: its name is one of what its source has, and among `allowed` where that is given."""
        domains, (source, *_) = dict(self.domains), assign.source
        targets = allowed
        if source in domains:
            reached = frozenset(target for entity in domains[source] for target in reach(assign, entity))
            targets = reached if allowed is None else reached & allowed
        if targets is not None:
            domains[assign.var] = targets & domains.get(assign.var, targets)
            if not domains[assign.var]:
                return None
        links = self.links if assign in self.links else (*self.links, assign)
        return Names(domains, links)._agree()

    def _agree(self) -> "Names | None":
        """Keep what some partner at the other end of every link agrees with. Changes this object, which nobody else has yet."""
        changed = True
        while changed:
            changed = False
            for assign in self.links:
                sources, targets = self.domains.get(assign.source[0]), self.domains.get(assign.var)
                if sources is None or targets is None:
                    continue
                sources_left = frozenset(entity for entity in sources if not targets.isdisjoint(reach(assign, entity)))
                targets_left = targets & {target for entity in sources_left for target in reach(assign, entity)}
                if not targets_left:
                    return None
                if len(sources_left) < len(sources) or len(targets_left) < len(targets):
                    self.domains |= {assign.source[0]: sources_left, assign.var: targets_left}
                    changed = True
        return self

    def pool(self, draw: Draw) -> Entities:
        """What a draw may choose: what passes its filter for some meaning of the other names, less what is surely taken."""
        taken = {one for name, kinds in self.domains.items() if len(kinds) == 1 and name != draw.var for one in kinds}
        if draw.fixed:
            return draw.pool({}, None, "all").inside - taken
        others = sorted({path[0] for path in draw.filters.paths if path[0]}) if draw.filters else []
        domains = [self.domains.get(other, frozenset()) for other in others]
        if not all(domains) or prod(map(len, domains)) > MANY:
            return frozenset(draw.all) - taken
        found: set[Entity] = set()
        for bound in product(*domains):
            with suppress(KeyError):  # the name may mean something that has no such attribute
                found |= draw.pool(dict(zip(others, bound, strict=True)), None, "all").inside
        return frozenset(found - taken)

    def allow(self, alternative: Alternative) -> "Names | None":
        """The same, narrowed to where an alternative can be chosen; None where it cannot."""
        if any(condition is None for _, condition in alternative.weights):
            return self
        names = {path[0] for _, condition in alternative.weights if condition for path in condition.paths}
        known = [name for name in names if name in self.domains]
        if len(known) < len(names):
            return self
        if len(names) == 1:
            (name,) = names
            return self.narrow(name, frozenset(e for e in self.domains[name] if can_weigh(alternative, {name: e})))
        combinations = islice(product(*(self.domains[name] for name in known)), MANY)
        return (
            self if any(can_weigh(alternative, dict(zip(known, each, strict=True))) for each in combinations) else None
        )


def reach(assign: Assign, entity: Entity) -> tuple[Entity, ...]:
    """What an assignment may bind its name to, if its source is this entity; nothing where the entity has no such attribute."""
    try:
        return assign.targets(entity)
    except KeyError:
        return ()


def can_weigh(alternative: Alternative, bound: dict[str, Entity]) -> bool:
    try:
        return alternative.weight(bound) > 0
    except KeyError:
        return False
