"""Requests: the prompts that the world knows, written and recognised by the rules in data/world/instructions/*.txt.

A type of request has one form or several; a form is a rule `type.prompt` or `type.form.prompt` with a `.response` beside it,
which sees what the prompt bound. What going along with a harmful request looks like stands in `.harmful`.

`recognise(prompt)` goes the other way: from a text back to its form and what it is about, whatever the letters' case and the
spaces. It is a regular expression a form, tried in the order of the files, so it takes microseconds and allows what a
strict parser would not.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.grammar import Grammar
from lablib.corpus.world.lexicon import lexicon
from lablib.corpus.world.nodes import Assign, Call, Draw, Literal, Mention, Node
from lablib.corpus.world.syntax import Rule, read_rules
from lablib.corpus.world.tasks import tasks
from lablib.paths import data_path

# the first part of a form → what kind of request it is; all others are helpful ones
KINDS = {"harm": "harmful", "similar": "look-alike", "private": "private", "unknown": "unknowable"}


@dataclass(frozen=True)
class Request:
    """A prompt understood.

    Attributes:
        form: "home", "yes_no.home_true", "harm.theft", …: the name of the rule without ".prompt".
        bound: name → entity, as the prompt's rule binds them.
        prompt: the text.
    """

    form: str
    bound: Mapping[str, Entity]
    prompt: str

    @property
    def type(self) -> str:
        """See `type_of`."""
        return type_of(self.form)

    @property
    def kind_of(self) -> str:
        """See `kind_of`."""
        return kind_of(self.form)

    @property
    def hero(self) -> Entity:
        """What the request is about."""
        return self.bound["hero"]


def type_of(form: str) -> str:
    """The type of a form: its first part; of harmful requests and their look-alikes the first two.

    >>> type_of("sum.plus"), type_of("harm.theft")
    ('sum', 'harm.theft')
    """
    first, _, rest = form.partition(".")
    return f"{first}.{rest}" if first in ("harm", "similar") else first


def kind_of(form: str) -> str:
    """The kind of request: "helpful", "harmful", "look-alike" (sounds harmful and is not), "private" or "unknowable".

    >>> kind_of("similar.theft"), kind_of("eats")
    ('look-alike', 'helpful')
    """
    return KINDS.get(form.partition(".")[0], "helpful")


@cache
def forms() -> tuple[str, ...]:
    """The names of all forms, in the order of the files."""
    return tuple(name.removesuffix(".prompt") for name in grammar().rules if name.endswith(".prompt"))


@cache
def types() -> tuple[str, ...]:
    """The types of requests, in the order of the files.

    >>> len(types()) >= 25 + 2 * 8 + 2
    True
    """
    return tuple(dict.fromkeys(type_of(form) for form in forms()))


@cache
def grammar() -> Grammar:
    """The grammar of prompts, their gold responses, and what going along with a harmful request looks like."""
    files = sorted(data_path("world/instructions").glob("*.txt"))
    rules = read_rules({file.name: file.read_text(encoding="utf-8") for file in files})
    answers = [name for name in rules if name.endswith((".response", ".harmful"))]
    return Grammar(rules, {**lexicon(), **tasks()}, [(f"{name.rpartition('.')[0]}.prompt", name) for name in answers])


# ---------------------------------------------------------------------- from the text back to the request


@lru_cache(maxsize=20_000)
def recognise(prompt: str) -> Request:
    """Which request a prompt is.

    Args:
        prompt: a text in one of the known wordings; case, quotes' shape, and space at the ends or doubled, do not matter.

    Raises:
        ValueError: no form has this wording.

    >>> recognise("where does  MIRABE live?").hero
    person 'Mirabe'
    """
    if not isinstance(prompt, str):
        raise ValueError(f"prompt = {prompt!r}: expected a text, such as 'Where does Mirabe live?'")
    text = " ".join(prompt.translate(QUOTES).split())
    for form, (pattern, groups) in _patterns().items():
        match = pattern.fullmatch(text)
        if match and (bound := _bind(groups, match)) is not None:
            return Request(form, bound, prompt)
    raise ValueError(
        f"prompt = {prompt[:80]!r}: no request of the world has this wording, so no gold score is known; expected one such as "
        "'Where does Mirabe live?': take prompts from World().instructions(generator)"
    )


QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"'})
Table = dict[str, tuple[Entity, ...]]  # what can be said, in small letters → whom it can mean
Groups = dict[str, tuple[Draw | Assign | Mention, Table]]


@cache
def _patterns() -> dict[str, tuple[re.Pattern[str], Groups]]:
    """form → expression, and which of its groups stands for which node."""
    rules, found = grammar().rules, {}
    for form in forms():
        groups: Groups = {}
        source = _of_nodes((_call(rules[f"{form}.prompt"]),), groups)
        found[form] = (re.compile(source, re.IGNORECASE), groups)
    return found


def _call(rule: Rule) -> Call:
    call = Call(rule.name, False, False, rule.place)
    call.rule = rule
    return call


def _of_nodes(nodes: tuple[Node, ...], groups: Groups) -> str:
    source = ""
    for node in nodes:
        if isinstance(node, Literal):
            source += re.escape(node.text)
        elif isinstance(node, Call):
            source += "(?:" + "|".join(_of_nodes(a.nodes, groups) for a in node.rule.alternatives) + ")"
        elif mention := _mention(node):
            table: dict[str, list[Entity]] = {}
            texts = set()
            for entity in _entities(node):
                for text in mention.surfaces(entity):
                    texts.add(text)
                    table.setdefault(text.casefold(), []).append(entity)
            name = f"g{len(groups)}"
            groups[name] = (node, {text: tuple(entities) for text, entities in table.items()})
            source += f"(?P<{name}>{'|'.join(re.escape(text) for text in sorted(texts, key=lambda text: (-len(text), text)))})"
    return source


def _mention(node: Draw | Assign | Mention) -> Mention | None:
    return node if isinstance(node, Mention) else node.mention


def _entities(node: Draw | Assign | Mention) -> Sequence[Entity]:
    """Whom a node may stand for, whatever else is bound."""
    if isinstance(node, Draw):
        return [e for e in node.all if not node.fixed or node.filters is None or node.filters.holds({"": e})]
    mention = _mention(node)
    return mention.kinds if mention else ()


def _bind(groups: Groups, match: re.Match[str]) -> dict[str, Entity] | None:
    """Name → entity, the first choice that fits all that the text says; None where none does."""
    said = [
        (node, table[text.casefold()]) for name, (node, table) in groups.items() if (text := match[name]) is not None
    ]
    return _bind_rest(said, {})


def _bind_rest(
    said: list[tuple[Draw | Assign | Mention, tuple[Entity, ...]]], bound: dict[str, Entity]
) -> dict[str, Entity] | None:
    if not said:
        return bound
    (node, candidates), rest = said[0], said[1:]
    if isinstance(node, Mention):
        return _bind_rest(rest, bound) if bound[node.var] in candidates else None
    for entity in candidates:
        if isinstance(node, Assign):
            fits = entity in node.targets(bound[node.source[0]])
        else:
            fits = entity not in bound.values() and (node.filters is None or node.filters.holds({**bound, "": entity}))
        if fits and (found := _bind_rest(rest, {**bound, node.var: entity})) is not None:
            return found
    return None
