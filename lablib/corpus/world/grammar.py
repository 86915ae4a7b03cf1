"""A grammar: rules over a lexicon, checked when it is made, that writes texts with their exact log-probability.

    grammar = Grammar(read_rules({"story.txt": text}), entities, roots=["document"])
    written = grammar.write("document", random.Random(0).random)          text, log_prob, bound, shape
    Reader(grammar).read("document", written.text)                        [Reading(log_prob, bound, shape)]: exactly one

The format of the files stands in `syntax`; `entities` is category → entities. A root is a rule that texts are written from; a
tuple of rules is a chain, whose later members see what the earlier ones bound (a question and its answer):
`grammar.write("answer", random, bound=question.bound)`.
Writing goes from left to right: each choice is drawn with a known chance, and the log-probability is the sum of their logarithms.

One rule about space: a space that would stand at the start or the end of a text or line, beside another space or before one
of `. , ; : ! ?` is left out, so an optional rule may be empty (`{}`) without leaving a gap.

Held-out combinations: a shape, written `name [subject]:`, holds out a tenth of the entities that its subject is drawn from,
chosen by a hash of shape and entity, so that one more shape changes nothing for the others. Split "train" never has them,
"held_out" has only them, "all" has both.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lablib.corpus.world.checking import Checker, held_out_of
from lablib.corpus.world.entities import Entity
from lablib.corpus.world.nodes import (
    Call,
    Draw,
    Env,
    GrammarError,
    Mention,
    Node,
)
from lablib.corpus.world.nodes import Writing as _Writing
from lablib.corpus.world.syntax import Rule

HELD_OUT_SEED = "2026"
SPLITS = ("train", "held_out", "all")
SPACE = re.compile(r" +(?=[ .,;:!?\n]|\Z)|(?<=\n) +|\A +")


@dataclass(frozen=True)
class Written:
    """A text and how it came about.

    Attributes:
        log_prob: nats, the sum over all choices.
        bound: name → entity.
        shape: the rule with a subject that it was written by, or "".
    """

    text: str
    log_prob: float
    bound: Env
    shape: str


class Grammar:
    """Rules over entities.

    Args:
        rules: from `read_rules`; they are connected here.
        entities: category → its entities, in a fixed order.
        roots: rules that texts are written from, or tuples of them (see above).

    Raises:
        GrammarError: the file, the line, what is wrong: an unknown rule, category or attribute, a name that is not bound or bound
            twice, a rule that no root reaches, a rule that comes back to itself.
    """

    def __init__(
        self,
        rules: dict[str, Rule],
        entities: Mapping[str, Sequence[Entity]],
        roots: Sequence[str | tuple[str, ...]] = ("document",),
    ) -> None:
        self.rules, self.entities = rules, entities
        self.callers: dict[str, list[tuple[tuple[Node, ...], int, str]]] = {name: [] for name in rules}
        for rule in rules.values():
            for alternative in rule.alternatives:
                alternative.nodes = tuple(self._connected(node) for node in alternative.nodes)
                for number, node in enumerate(alternative.nodes):
                    if isinstance(node, Call):
                        self.callers[node.name].append((alternative.nodes, number + 1, rule.name))
        for name, draws in Checker(rules).check(roots).items():
            rules[name].held_out = frozenset(e for draw in draws for e in hold_out(name, chosen(draw)))
            check_split(rules[name], draws)

    def write(
        self, rule: str, random: Callable[[], float], split: str = "train", bound: Mapping[str, Entity] | None = None
    ) -> Written:
        """Draw one text.

        Args:
            random: uniform on [0, 1), such as `random.Random(0).random`.
            bound: what names mean already, for a rule that is not a root.

        Raises:
            ValueError: an unknown rule or split.
        """
        check_request(self, rule, split)
        to = _Writing(random, split, dict(bound or {}))
        self.rules[rule].write(to)
        text = SPACE.sub("", "".join(to.pieces))
        return Written(text, to.log_prob, to.env, to.shape.name if to.shape else "")

    # ------------------------------------------------------------------ making and checking

    def _connected(self, node: Node) -> Node:
        """Calls find their rule, or are mentions after all; draws find their category."""
        if isinstance(node, Call):
            if node.name in self.rules:
                node.rule = self.rules[node.name]
                return node
            var, *path = node.name.split(".")
            return Mention(var, tuple(path), node.capital, node.article, node.place)
        if isinstance(node, Draw):
            if node.category not in self.entities:
                raise GrammarError(
                    f"{node.place}: no category {node.category!r} to draw {node.var!r} from: expected one of "
                    f"{', '.join(sorted(self.entities))}"
                )
            node.all = tuple(self.entities[node.category])
        return node


def chosen(draw: Draw) -> list[Entity]:
    """Whom a draw chooses from, if no other name counts."""
    return [e for e in draw.all if draw.filters is None or draw.filters.holds({"": e})]


def check_split(rule: Rule, draws: list[Draw]) -> None:
    """The subject of a shape is drawn from one category, and every draw of it has entities in both splits."""
    if len(categories := sorted({draw.category for draw in draws})) > 1:
        raise GrammarError(
            f"{rule.place}: the subject of {rule.name!r} is drawn from {' and '.join(categories)}, so its name does not say "
            "what it is: make two shapes"
        )
    for draw in draws:
        outside = [e in rule.held_out for e in chosen(draw)]
        if all(outside) or not any(outside):
            raise GrammarError(
                f"{draw.place}: {draw.var!r} has {len(outside)} to draw from, too few to hold a tenth out: widen the filter"
            )


def hold_out(shape: str, pool: Sequence[Entity]) -> list[Entity]:
    """The tenth of a pool (one at least) that a shape holds out, by the smallest hash of shape and name."""

    def rank(entity: Entity) -> bytes:
        return hashlib.sha256(f"{HELD_OUT_SEED}/{shape}/{entity.category}/{entity.name}".encode()).digest()

    return sorted(pool, key=rank)[: held_out_of(len(pool))]


def check_request(grammar: Grammar, rule: str, split: str) -> None:
    if rule not in grammar.rules:
        raise ValueError(
            f"rule = {rule!r}: expected one of the grammar's rules, such as {', '.join(sorted(grammar.rules)[:5])}"
        )
    if split not in SPLITS:
        raise ValueError(f"split = {split!r}: expected one of {', '.join(SPLITS)}")
