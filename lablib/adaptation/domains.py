"""A domain that the base model has never heard of: the log of the ships that sail beyond the valley.

It has what makes a domain: words of its own (binnacle, larboard), forms of its own (logs, a register, sailing directions), and facts that
stand nowhere else: 24 ships, 12 ports and 20 words, 224 facts in all. Its documents come from a grammar as the world's do, so their
probability is exact and so is the floor under every model's loss. Everything but the meanings of the words is invented.

    log = ShipsLog()
    next(log.documents(Random(0)))              # a WorldDocument, with its log_prob
    knows(model, tokenizer, log.questions("held_out"))

A fact is asked for by a sentence that breaks off before it. "seen" are sentences as documents have them; "held_out" say the same as no
document says it: a model that only knows them by heart fails there. Two measures, both exact: does the right value get the highest
probability among all values of that relation, and would the model, always taking the likeliest token, write it?

Compare: Gururangan et al. 2020, "Don't Stop Pretraining: Adapt Language Models to Domains and Tasks"; Petroni et al. 2019, "Language
Models as Knowledge Bases?" (facts as sentences that break off). Axes: B rows, T time, V vocabulary, N rows of values.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.architecture.decoder import CausalModel
from lablib.corpus.world.documents import World
from lablib.corpus.world.entities import Entity
from lablib.corpus.world.facts import Fact
from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.lexicon import lexicon, read
from lablib.corpus.world.parsing import Reader
from lablib.corpus.world.syntax import read_rules
from lablib.paths import data_path
from lablib.pretraining.world_loss import END
from lablib.tokens.tokenizer import Tokenizer

SCHEMA: dict[str, dict[str, str | None]] = {
    "ship": {
        "rig": None, "captain": None, "port": "port", "cargo": None, "wood": None, "flag": None, "figurehead": None,
    },
    "port": {"light": None, "depth": None, "danger": None},
    "term": {"means": None},
}  # fmt: skip
PHRASINGS = ("seen", "held_out")


@dataclass(frozen=True)
class Question:
    """A sentence that breaks off before a fact.

    Attributes:
        fact: what is asked. phrasing: "seen" or "held_out".
        prompt: the sentence up to the value, without the space before it. rest: what follows the value.
        values: all values of the relation, the right one among them, in alphabetical order.
    """

    fact: Fact
    phrasing: str
    prompt: str
    rest: str
    values: tuple[str, ...]


class ShipsLog(World):
    """The domain with its grammar, facts and questions; made anew, it shares what was loaded before."""

    def __init__(self) -> None:
        self.entities, self.grammar, self.reader = _load()

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All facts; their relations are called "ship.rig", "port.light", and so on."""
        return tuple(
            Fact(entity.name, f"{category}.{attribute}", _word(entity, attribute))
            for category, attributes in SCHEMA.items()
            for attribute in attributes
            for entity in self.entities[category]
        )

    def values(self, relation: str) -> tuple[str, ...]:
        """All values that a relation has for somebody, in alphabetical order."""
        return tuple(sorted({fact.value for fact in self.facts if fact.relation == relation}))

    def questions(self, phrasing: str) -> list[Question]:
        """Every fact asked for in every sentence of a phrasing, "seen" or "held_out".

        Raises:
            ValueError: another phrasing.
        """
        if phrasing not in PHRASINGS:
            raise ValueError(f"phrasing = {phrasing!r}: expected one of {', '.join(PHRASINGS)}")
        made = []
        for fact in self.facts:
            for sentence in sentences()[fact.relation][phrasing]:
                prompt, _, rest = sentence.replace("{name}", fact.subject).partition(" {value}")
                made.append(Question(fact, phrasing, prompt, rest, self.values(fact.relation)))
        return made


def _word(entity: Entity, attribute: str) -> str:
    value = entity[attribute]
    return value.name if isinstance(value, Entity) else str(value)


@cache
def _load() -> tuple[dict[str, tuple[Entity, ...]], Grammar, Reader]:
    files = {"lexicon.toml": data_path("domain/lexicon.toml").read_text(encoding="utf-8")}
    entities = {**read(files, SCHEMA), "day": lexicon()["day"]}
    rules = read_rules({"log.txt": data_path("domain/log.txt").read_text(encoding="utf-8")})
    grammar = Grammar(rules, entities, ["document"])
    return entities, grammar, Reader(grammar)


@cache
def sentences() -> dict[str, dict[str, list[str]]]:
    """relation → phrasing → sentences, from data/domain/questions.toml.

    Raises:
        ValueError: a relation or phrasing is missing or unknown, or a sentence without {name} or " {value}".
    """
    path = data_path("domain/questions.toml")
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    found = {f"{category}.{attribute}": both for category, rows in tables.items() for attribute, both in rows.items()}
    wanted = {f"{category}.{attribute}" for category, attributes in SCHEMA.items() for attribute in attributes}
    if set(found) != wanted:
        raise ValueError(f"{path}: {sorted(set(found) ^ wanted)}: expected exactly the relations {sorted(wanted)}")
    for relation, both in found.items():
        if set(both) != set(PHRASINGS) or not all(both.values()):
            raise ValueError(f"{path}: {relation} has {sorted(both)}: expected sentences for {', '.join(PHRASINGS)}")
        for sentence in both["seen"] + both["held_out"]:
            if "{name}" not in sentence or not re.search(r"\{name\}.* \{value\}", sentence, re.DOTALL):
                raise ValueError(f"{path}: {sentence!r}: expected {{name}}, and later a space and {{value}}")
    return found


@dataclass(frozen=True)
class Known:
    """How much of what was asked a model knows.

    Attributes:
        questions: how many. picked: of those, how often the right value was the most probable of its relation.
        written: how often the model, taking the likeliest token each time, writes the right value.
        chance: expected share of `picked` for a model that guesses.
    """

    questions: int
    picked: int
    written: int
    chance: float


def knows(model: CausalModel, tokenizer: Tokenizer, questions: Sequence[Question], B: int = 64) -> Known:
    """Ask a model for facts. Every value is judged by the probability of its tokens and of the rest of the sentence.

    Args:
        model: in evaluation mode. B: rows at a time.

    Raises:
        ValueError: no question.
    """
    if not questions:
        raise ValueError("questions is empty: expected some, such as ShipsLog().questions('held_out')")
    rows = [encoded(question, value, tokenizer) for question in questions for value in question.values]
    found = judged(model, rows, B)
    picked = written = place = 0
    for question in questions:
        mine = found[place : place + len(question.values)]
        place += len(question.values)
        right = question.values.index(question.fact.value)
        picked += max(range(len(mine)), key=lambda i: mine[i][0]) == right
        written += mine[right][1]
    chance = sum(1 / len(question.values) for question in questions) / len(questions)
    return Known(len(questions), picked, written, chance)


@dataclass(frozen=True)
class Row:
    """A question with a value put in: tokens ids; those of the value are from `start` to before `end`, then comes the rest."""

    ids: tuple[int, ...]
    start: int
    end: int


def encoded(question: Question, value: str, tokenizer: Tokenizer) -> Row:
    """Prompt, value and rest as tokens, each cut for itself, so that all values of a question have the same prompt."""
    before = [tokenizer.special[END], *tokenizer.encode(question.prompt)]
    middle = tokenizer.encode(f" {value}")
    ids = (*before, *middle, *tokenizer.encode(question.rest))
    return Row(ids, len(before), len(before) + len(middle))


@torch.no_grad()
def judged(model: CausalModel, rows: Sequence[Row], B: int = 64) -> list[tuple[float, bool]]:
    """For each row: log P(value and rest | prompt) in nats, and whether every token of the value is the likeliest one."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    found: list[tuple[float, bool]] = [(0.0, False)] * len(rows)
    device = next(model.parameters()).device
    for first in range(0, len(order), B):
        some = order[first : first + B]
        T = max(len(rows[i].ids) for i in some)
        ids = torch.tensor([[*rows[i].ids, *[0] * (T - len(rows[i].ids))] for i in some], device=device)  # (N, T)
        logits = model(ids[:, :-1])  # (N, T − 1, V)
        log_p = -F.cross_entropy(logits.transpose(1, 2).float(), ids[:, 1:], reduction="none")  # (N, T − 1)
        likeliest = logits.argmax(dim=-1) == ids[:, 1:]  # (N, T − 1)
        for row, i in enumerate(some):
            found[i] = _one(log_p[row], likeliest[row], rows[i])
    return found


def _one(log_p: Tensor, likeliest: Tensor, row: Row) -> tuple[float, bool]:
    """log_p, likeliest (T − 1,): at place t stands what is said of token t + 1."""
    start = row.start - 1
    return float(log_p[start : len(row.ids) - 1].sum()), bool(likeliest[start : row.end - 1].all())
