r"""The grammar's files: rules, alternatives, and what stands in braces, turned into nodes.

    # a comment
    story.lost_thing [hero]:                 a rule; in brackets, where it is a shape of document, the name of its subject
      {opening} {^hero:person} lost {hero.his} {thing:object}.
      [3] an alternative with weight 3 (1 where none stands)
      [1 | 3 if hero.origin = south] a weight by what is bound: the first condition that holds counts, else the bare number
      [if hero.job = baker] without a bare number: the alternative is not there where the condition does not hold
      a line that ends in a backslash goes on in the next \
          line; \n in it begins a new line of the document

`{rule.name}` another rule · `{hero:person}` draws and binds · `{hero:person(origin=south, home=other.home)}` from those that
fit (`=`, `!=`, `<`, `>`; `a|b` is one of both; `hero.home` on the right is looked up) · `{hero:animal.plural}` draws, and prints
an attribute · `{friend:=hero.friend}` binds what an attribute names · `{hero.home.phrase}` prints · `{!hero:person}` binds, and
prints nothing · `{_:adjective}` draws, binds nothing · `{}` nothing at all. `<walked|ran|{}>` a choice within the line.
In front of any of them: `^` for a capital, and `a ` for the article: `{^a thing:object}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.nodes import (
    Alternative,
    Assign,
    Call,
    Condition,
    Draw,
    GrammarError,
    Literal,
    Mention,
    Node,
    Path,
    Writing,
    choose,
)

NAME = r"[a-z_][\w-]*"
PATH = rf"{NAME}(?:\.[\w-]+)*"
HEADER = re.compile(rf"({PATH})(?: \[({NAME})\])?:\s*(?:#.*)?$")
BRACES = re.compile(rf"([!^]*)(a )?(?:({NAME}):(=?)({PATH}|\w+)(?:\((.*)\))?((?:\.[\w-]+)*)|({PATH})|)$")
PART = re.compile(rf"\s*({PATH})\s*(!=|=|<|>)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Place:
    """Where something stands: the file and the number of its line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(eq=False)
class Rule:
    """A name for a choice among alternatives.

    Attributes:
        subject: where the rule is a shape of document, the name that its subject is bound to; "" otherwise.
        held_out: the subjects that the training split never has in this shape.
        cumulative: the weights summed up, or None where one depends on what is bound.
    """

    name: str
    subject: str
    place: Place
    alternatives: list[Alternative] = field(default_factory=list)
    held_out: frozenset[Entity] = frozenset()
    cumulative: list[float] | None = None

    def write(self, to: Writing) -> None:
        """Append one of the alternatives to a writing."""
        if self.subject:
            to.shape = self
        for node in choose(self, to).nodes:
            node.write(to)


def read_rules(texts: Mapping[str, str]) -> dict[str, Rule]:
    """The rules of all files (name → text), not yet connected to one another.

    Raises:
        GrammarError: a line that is no rule, alternative or comment; a rule twice, or empty; what stands in braces or in
            brackets is not understood; a weight that is not positive.
    """
    rules: dict[str, Rule] = {}
    for file, text in texts.items():
        rule: Rule | None = None
        lines = iter(enumerate(text.splitlines(), 1))
        for number, raw in lines:
            place, line = Place(file, number), raw.rstrip()
            if not line or line.lstrip().startswith("#"):
                continue
            if line[0] != " ":
                header = HEADER.match(line)
                if not header:
                    raise GrammarError(
                        f"{place}: {line!r} is no rule: expected `name:` at the line's start, or two spaces in front"
                    )
                name, subject = header.groups()
                if name in rules:
                    raise GrammarError(
                        f"{place}: rule {name!r} stands already at {rules[name].place}: rename one, or join them"
                    )
                rule = rules[name] = Rule(name, subject or "", place)
                continue
            if rule is None:
                raise GrammarError(f"{place}: {line.strip()!r} belongs to no rule: expected a line `name:` before it")
            line = line.strip()
            while line.endswith("\\"):
                _, more = next(lines, (0, ""))
                if not more.strip():
                    raise GrammarError(f"{place}: a backslash ends the line, but nothing follows: take it away")
                line = f"{line[:-1].rstrip()} {more.strip()}"
            line = re.sub(r" *\n *", "\n", line.replace("\\n", "\n"))
            rule.alternatives.append(_alternative(line, place, rules, rule.name))
    for rule in rules.values():
        if not rule.alternatives:
            raise GrammarError(
                f"{rule.place}: rule {rule.name!r} has no alternatives: expected at least one indented line"
            )
    for rule in rules.values():
        _weigh(rule)
    return rules


def _weigh(rule: Rule) -> None:
    """Sum the weights up once, where none depends on what is bound."""
    import math

    if all(condition is None for a in rule.alternatives for _, condition in a.weights):
        total, sums = sum(a.weights[0][0] for a in rule.alternatives), 0.0
        rule.cumulative = []
        for a in rule.alternatives:
            sums += a.weights[0][0]
            rule.cumulative.append(sums)
            a.log_prob = math.log(a.weights[0][0] / total)


def _alternative(line: str, place: Place, rules: dict[str, Rule], owner: str) -> Alternative:
    weights: list[tuple[float, Condition | None]] = [(1.0, None)]
    if line.startswith("["):
        inside, _, line = line[1:].partition("]")
        weights = _weights(inside, place)
        line = line.lstrip()
    nodes: list[Node] = []
    for kind, part in _parts(line, place):
        if kind == "{":
            node = _braces(part, place)
            if node is not None:
                nodes.append(node)
        elif kind == "<":
            # a choice within the line is a rule without a name of its own
            rule = rules.setdefault(name := f"{owner}<{len(rules)}>", Rule(name, "", place))
            rule.alternatives = [_alternative(option, place, rules, owner) for option in _options(part)]
            node = Call(name, False, False, place)
            nodes.append(node)
        else:
            if re.search(r"  | [.,;:!?]", part):
                raise GrammarError(
                    f"{place}: two spaces, or a space before a mark, in {part!r}: documents never have them"
                )
            nodes.append(Literal(part))
    return Alternative(tuple(nodes), weights, place)


def _parts(line: str, place: Place) -> list[tuple[str, str]]:
    """Split a line into text (""), braces ("{") and choices ("<"); choices may hold braces and choices."""
    found: list[tuple[str, str]] = []
    start, depth, opened = 0, 0, ""
    for at, letter in enumerate(line):
        if opened == "{":
            if letter == "{":
                break
            if letter == "}":
                found.append(("{", line[start:at]))
                start, opened = at + 1, ""
        elif letter in "{<" and not opened:
            if at > start:
                found.append(("", line[start:at]))
            start, opened, depth = at + 1, letter, 1
        elif letter in "}>" and not opened:
            raise GrammarError(f"{place}: {letter} without its partner in {line!r}")
        elif opened == "<" and letter in "{}<>":
            # braces count only in pairs: < and > inside them compare
            depth += {"<": 1, ">": -1, "{": 1000, "}": -1000}[letter] if depth < 1000 or letter in "{}" else 0
            if not depth:
                found.append(("<", line[start:at]))
                start, opened = at + 1, ""
    if opened:
        raise GrammarError(f"{place}: {opened} without its partner in {line!r}")
    return [*found, ("", line[start:])] if start < len(line) else found


def _options(inside: str) -> list[str]:
    """Split at the | that stand in no braces, brackets or inner choices."""
    options, depth, braces = [""], 0, 0
    for letter in inside:
        braces += (letter == "{") - (letter == "}")
        depth += (letter in "{[") - (letter in "}]") + (not braces) * ((letter == "<") - (letter == ">"))
        if letter == "|" and not depth:
            options.append("")
        else:
            options[-1] += letter
    return options


def _weights(inside: str, place: Place) -> list[tuple[float, Condition | None]]:
    conditional: list[tuple[float, Condition | None]] = []
    bare: list[tuple[float, Condition | None]] = []
    for part in re.split(r"\s\|\s", inside):
        number, _, condition = part.strip().partition("if ")
        try:
            weight = float(number) if number.strip() or not condition else 1.0
        except ValueError:
            raise GrammarError(
                f"{place}: [{inside}] is no weight: expected `3`, `1 | 3 if hero.origin = south` or `if …`"
            ) from None
        if weight <= 0:
            raise GrammarError(
                f"{place}: weight {weight:g} in [{inside}]: expected a positive number; take the line away instead"
            )
        if condition:
            conditional.append((weight, _condition(condition, re.compile(r"\sand\s"), "", place)))
        else:
            bare.append((weight, None))
    if len(bare) > 1:
        raise GrammarError(f"{place}: [{inside}] has {len(bare)} numbers without a condition: expected one")
    return conditional + bare


def _condition(source: str, joint: re.Pattern[str], root: str, place: Place) -> Condition:
    parts: list[tuple[Path, str, Path | None, tuple[str, ...]]] = []
    for part in joint.split(source):
        match = PART.match(part)
        if not match:
            raise GrammarError(
                f"{place}: {part.strip()!r} is no condition: expected something like `home.name = Marrow`"
            )
        left, operator, right = match.groups()
        path = tuple(left.split("."))
        # on the right, a dotted name is looked up, and anything else is words
        other = tuple(right.split(".")) if re.fullmatch(rf"{NAME}(\.[\w-]+)+", right) else None
        words = () if other else tuple(word.strip() for word in right.split("|"))
        parts.append(((root, *path) if root == "" and joint is FILTERS else path, operator, other, words))
    return Condition(source, parts)


FILTERS = re.compile(",")


def _braces(inside: str, place: Place) -> Node | None:
    match = BRACES.match(inside)
    if not match:
        raise GrammarError(
            f"{place}: {{{inside}}} is not understood: expected {{rule}}, {{name:category}}, {{name.attribute}}, …"
        )
    flags, a, var, equals, target, filters, path, plain = match.groups()
    high, silent, with_article = "^" in flags, "!" in flags, bool(a)
    if plain:
        # a rule or a name: that is known when all rules are
        return Call(plain, high, with_article, place)
    if not var:
        return None
    if silent and (high or with_article or path or (not equals and "." in target)):
        raise GrammarError(f"{place}: {{{inside}}} prints nothing: take away ! or what would be printed")
    if equals and (filters is not None or path):
        raise GrammarError(
            f"{place}: {{{inside}}}: := takes no filter: bind with {{!{var}:={target}}} and print afterwards"
        )
    attributes = tuple(path.split(".")[1:]) if path else ()
    mention = None
    if not silent:
        mention = Mention(var, attributes, high, with_article, place)
    if equals:
        return Assign(var, tuple(target.split(".")), mention, place)
    # `{hero:person.job}`: the category ends at the first dot
    category, *rest = target.split(".")
    if rest and mention:
        mention.path = (*rest, *mention.path)
    return Draw(var, category, _condition(filters, FILTERS, "", place) if filters else None, mention, place)
