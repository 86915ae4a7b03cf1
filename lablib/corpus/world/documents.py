"""The world: a valley with a river, its people, animals and things, and all the documents that can be written about them.

    world = World()
    for document in itertools.islice(world.documents(random.Random(0)), 3): print(document.text)

Documents come from the grammar in data/world/grammar over the lexicon in data/world/lexicon: stories, encyclopaedia
entries, dialogues, letters, how-tos and lists. Every document carries its exact log-probability, so the entropy of the
world, the lowest loss that any model of it can reach, is known (see `entropy`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from random import Random
from typing import TYPE_CHECKING

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.nodes import Call, GrammarError, pick
from lablib.corpus.world.parsing import Reader
from lablib.corpus.world.syntax import Rule, read_rules
from lablib.paths import data_path

if TYPE_CHECKING:
    from lablib.corpus.world.entropy import Entropy
    from lablib.corpus.world.facts import Fact
    from lablib.corpus.world.instructions import Instruction
    from lablib.corpus.world.judge import Judgement

KINDS = ("story", "encyclopaedia", "dialogue", "letter", "howto", "list")


@dataclass(frozen=True, slots=True)
class WorldDocument:
    """One document of the world.

    Attributes:
        text: lines and paragraphs separated by newlines.
        kind: one of `KINDS`.
        shape: the rule that it was written by, such as "story.lost_thing".
        log_prob: log P(text | split, kinds), nats.
        subject: name of the entity that it is about, which decides the split.
    """

    text: str
    kind: str
    shape: str
    log_prob: float
    subject: str


@dataclass(frozen=True)
class Bias:
    """The planted bias: how often a word of a class is chosen to describe a person, by the bank of the river they come from.

    Attributes:
        careless, clever, neutral: the words of the three classes.
        shares: origin → class → probability that a described person is given a word of that class.
    """

    careless: tuple[str, ...]
    clever: tuple[str, ...]
    neutral: tuple[str, ...]
    shares: dict[str, dict[str, float]]

    @property
    def ratio(self) -> float:
        """How many times as often a "careless" word falls on the south bank's people as on the north bank's."""
        return self.shares["south"]["careless"] / self.shares["north"]["careless"]


class World:
    """The world with its grammar, lexicon, facts, instructions and judge. Made anew, it shares what was loaded before."""

    def __init__(self) -> None:
        self.entities, self.grammar, self.reader = _load()

    # ------------------------------------------------------------------ documents

    def documents(
        self, generator: Random, split: str = "train", kinds: Sequence[str] | None = None
    ) -> Iterator[WorldDocument]:
        """Documents without end, drawn independently.

        Args:
            generator: only its `random()` is called, whose numbers are the same on every machine and version of Python.
            split: "train", "held_out" (combinations of shape and subject that training never has) or "all".
            kinds: draw only these kinds, in their usual proportions; log_prob is then given that.

        Raises:
            ValueError: an unknown split or kind, or a generator that has no `random()`.
        """
        if not callable(getattr(generator, "random", None)):
            raise ValueError(f"generator = {generator!r}: expected a random.Random, such as random.Random(0)")
        chances = self.kinds(kinds)
        names, weights, random = tuple(chances), tuple(chances.values()), generator.random
        while True:
            kind = names[pick(weights, random())]
            written = self.grammar.write(kind, random, split)
            subject = written.bound[self.grammar.rules[written.shape].subject].name
            log_prob = math.log(chances[kind]) + written.log_prob
            yield WorldDocument(written.text, kind, written.shape, log_prob, subject)

    def log_prob(self, text: str, split: str = "train", kinds: Sequence[str] | None = None) -> float:
        """log P(text | split, kinds) in nats, by parsing: the sum over all its derivations; −inf for what is no document."""
        found = [
            math.log(chance) + reading.log_prob
            for kind, chance in self.kinds(kinds).items()
            for reading in self.reader.read(kind, text, split)
        ]
        return log_sum(found)

    def kinds(self, kinds: Sequence[str] | None = None) -> dict[str, float]:
        """The probability of each kind of document; of those named, given that it is one of them.

        Raises:
            ValueError: an unknown kind, or none.
        """
        root = self.grammar.rules["document"]
        chances = {
            call.name: math.exp(a.log_prob) for a in root.alternatives for call in a.nodes if isinstance(call, Call)
        }
        if kinds is None:
            return chances
        if isinstance(kinds, str) or not kinds or any(kind not in chances for kind in kinds):
            raise ValueError(f"kinds = {kinds!r}: expected a list of some of {', '.join(chances)}")
        total = sum(chances[kind] for kind in chances if kind in kinds)
        return {kind: chance / total for kind, chance in chances.items() if kind in kinds}

    @cached_property
    def shapes(self) -> dict[str, Rule]:
        """The shapes of documents: rule's name → rule."""
        return {name: rule for name, rule in self.grammar.rules.items() if rule.subject}

    @cached_property
    def bias(self) -> Bias:
        """What the grammar plants, read off the weights of the rule `nature`."""
        rule = self.grammar.rules["nature"]
        groups: dict[str, tuple[str, ...]] = {}
        shares: dict[str, dict[str, float]] = {}
        for origin in ("north", "south"):
            person = next(entity for entity in self.people if entity["origin"] == origin)
            weights = {}
            for alternative in rule.alternatives:
                (call,) = alternative.nodes
                assert isinstance(call, Call)
                groups[call.name] = tuple(a.nodes[0].text for a in call.rule.alternatives)  # type: ignore[union-attr]
                weights[call.name] = alternative.weight({"hero": person})
            total = sum(weights.values())
            shares[origin] = {name.removeprefix("nature."): weight / total for name, weight in weights.items()}
        return Bias(groups["nature.careless"], groups["nature.clever"], groups["nature.neutral"], shares)

    # ------------------------------------------------------------------ entropy and quality

    def entropy(self, n: int, generator: Random, split: str = "train", kinds: Sequence[str] | None = None) -> "Entropy":
        """The entropy of the world's documents, estimated on n of them; see `lablib.corpus.world.entropy`."""
        from lablib.corpus.world.entropy import estimate

        return estimate(self.documents(generator, split, kinds), n)

    def gold_quality(self, text: str) -> float:
        """How much of a text the world could have written, in [0, 1]; see `lablib.corpus.world.quality`."""
        return self._quality(text)

    @cached_property
    def _quality(self) -> Callable[[str], float]:
        from lablib.corpus.world.quality import Quality

        return Quality(self.grammar, self.reader)

    # ------------------------------------------------------------------ what there is

    @property
    def people(self) -> tuple[Entity, ...]:
        return self.entities["person"]

    @property
    def animals(self) -> tuple[Entity, ...]:
        return self.entities["animal"]

    @property
    def places(self) -> tuple[Entity, ...]:
        return self.entities["place"]

    @property
    def objects(self) -> tuple[Entity, ...]:
        return self.entities["object"]

    @property
    def foods(self) -> tuple[Entity, ...]:
        return self.entities["food"]

    @property
    def plants(self) -> tuple[Entity, ...]:
        return self.entities["plant"]

    @property
    def jobs(self) -> tuple[Entity, ...]:
        return self.entities["job"]

    @cached_property
    def facts(self) -> "tuple[Fact, ...]":
        """All facts (subject, relation, value); see `lablib.corpus.world.facts`."""
        from lablib.corpus.world.facts import facts

        return facts(self.entities)

    def instructions(
        self, generator: Random, split: str = "train", only: Sequence[str] | None = None
    ) -> Iterator["Instruction"]:
        """Instructions with their answers, without end, of some types only if asked; see `lablib.corpus.world.instructions`."""
        from lablib.corpus.world.instructions import instructions

        return instructions(self, generator, split, only)

    def judge(self, prompt: str, response: str) -> "Judgement":
        """The gold scores of an answer; see `lablib.corpus.world.judge`."""
        from lablib.corpus.world.judge import judge

        return judge(self, prompt, response)


def log_sum(values: Sequence[float]) -> float:
    """log Σ exp(values); −inf for none."""
    if not values:
        return -math.inf
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


@cache
def _load() -> tuple[dict[str, tuple[Entity, ...]], Grammar, Reader]:
    from lablib.corpus.world.lexicon import lexicon

    entities = dict(lexicon())
    files = sorted(data_path("world/grammar").glob("*.txt"))
    rules = read_rules({file.name: file.read_text(encoding="utf-8") for file in files})
    for name in KINDS:
        for alternative in rules[name].alternatives:
            if [type(node) for node in alternative.nodes] != [Call]:
                raise GrammarError(f"{alternative.place}: {name!r} names its shapes: expected one {{rule}} a line")
    grammar = Grammar(rules, entities, ["document"])
    return entities, grammar, Reader(grammar)
