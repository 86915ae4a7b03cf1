"""Claims: what a text says about the world, found by holding its sentences against the patterns of data/world/statements.toml.

A claim is (relation, subject, value, whether it is true). Nothing is learned and nothing is guessed: a sentence that fits no
pattern makes no claim. Negations ("does not live in"), hedges ("I think"), pronouns, lists ("mice and birds"), relative clauses and
a value alone, given as the answer to a question, are understood; questions, conditions and hearsay claim nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.facts import RELATIONS, key
from lablib.corpus.world.lexicon import lexicon
from lablib.corpus.world.statements import (
    ASSERTED,
    EMPTY,
    FILLER,
    HE,
    HEARSAY,
    HEDGE,
    HIS,
    LEAD,
    NEGATION,
    PREDICATES,
    QUESTION_OR_CONDITION,
    REWRITTEN,
    SPLIT,
    Statement,
    answers,
    statements,
    surfaces,
)
from lablib.corpus.world.values import FREE, Options, alone, of_statement

ONE_WORD = re.compile(r"(?:an? |the |his |her )?[\w-]+")
ITS_NAME = re.compile(r"(?:its|the \w+'s|the pet's) name is (\w+)|(?:it|the \w+) is (?:called|named) (\w+)")
NAMED = re.compile(r"(?:called|named|name is) (\w+)")
ARTICLE = re.compile(r"^(?:an?|the|every|each|most|all|many|this|that|your|one|the word|a single|young|old) (?:word )?")
GOES_ON = re.compile(rf"(?:{PREDICATES})\b")
STARTS = re.compile(rf"(.+?) (?={PREDICATES}\b)")
NAME = re.compile(r"[a-z]+(?: end)?")


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        relation: such as "eats".
        subject: the entity, or for a question of its own the text that it is about.
        value: what is said, in the form of `facts.key` where it is known, else as written.
        true: whether the world has it so; a negative claim is true where the positive one is false.
        negative: "does not …".
        hedged: "I think …", "perhaps …".
        either: one of several joined by "or".
    """

    relation: str
    subject: Entity | str
    value: str
    true: bool
    negative: bool = False
    hedged: bool = False
    either: bool = False


@dataclass(frozen=True)
class Asked:
    """What a question asks for: the claim whose value is wanted.

    Attributes:
        relation, subject: of the claim.
        right: the values that are right.
        options: for a question of its own (the odd one out), the values that can be named: (lemmas, value); empty otherwise.
    """

    relation: str
    subject: Entity | str
    right: frozenset[str]
    options: Options = ()


class Context:
    """Whom pronouns mean: category → the entity last spoken of."""

    def __init__(self, asked: Asked | None, bound: Sequence[Entity] = ()) -> None:
        self.asked = asked
        self.last: dict[str, Entity] = {}
        for entity in bound:
            self.note(entity, entity.category)
        if asked and isinstance(asked.subject, Entity):
            self.note(asked.subject, asked.subject.category)

    def note(self, entity: Entity, category: str) -> None:
        self.last[category] = entity
        if category in ("animal", "object"):
            self.last["noun"] = entity
        if category == "animal":
            self.last["young"] = entity

    def entity(self, text: str, possessive: bool, category: str) -> Entity | None:
        """Whom a subject means: "the owl", "she", "mirabe's"; None for nobody of that category."""
        text = text.strip(" '\"")
        if possessive:
            if text in HIS:
                return self.last.get(category)
            if not text.endswith(("'s", "s'", "s")):
                return None
            text = re.sub(r"(?<=s)'$|'s$", "", text)
        if text in HE:
            return self.last.get(category)
        found = surfaces(category)
        return found.get(text) or found.get(ARTICLE.sub("", text).replace('"', ""))


def right_values(relation: str, subject: Entity) -> frozenset[str]:
    """The true values of a relation.

    >>> owl = lexicon()["animal"][0]
    >>> right_values("eats", owl), "fox" in right_values("smaller", owl)
    (frozenset({'mice'}), True)
    """
    if relation == "plural":
        return frozenset({key(subject["plural"])})
    animals = lexicon()["animal"]
    if relation == "meaning":
        return frozenset(e.name for e in animals if e["young"] == subject["young"])
    if relation in ("bigger", "smaller"):  # than the value
        size, up = float(str(subject["size"])), relation == "bigger"
        return frozenset(
            e.name for e in animals if (size > float(str(e["size"])) if up else size < float(str(e["size"])))
        )
    return frozenset({key(subject[RELATIONS[relation][1]])})


def read_claims(
    sentences: Sequence[str], asked: Asked | None = None, bound: Sequence[Entity] = ()
) -> tuple[list[Claim], list[str]]:
    """The claims of the sentences of a cleaned text (see `wording`), and the sentences that made none.

    Args:
        asked: what was asked, so that "It is Marrow." and "Marrow." are understood.
        bound: entities that a prompt spoke of, for pronouns.

    >>> [(claim.value, claim.true) for claim in read_claims(["owls eat mice and live on farms."])[0]]
    [('mice', True), ('on farms', False)]
    """
    context = Context(asked, bound)
    claims: list[Claim] = []
    rest = []
    for sentence in sentences:
        found = list(_of_sentence(sentence, context))
        claims += found
        if not found:
            rest.append(sentence)
    return claims, rest


def _of_sentence(sentence: str, context: Context) -> Iterator[Claim]:
    if QUESTION_OR_CONDITION.search(sentence) or HEARSAY.search(sentence):
        return
    hedged = bool(HEDGE.search(sentence)) or sentence.startswith("or ")
    sentence = sentence.removeprefix("or ")
    sentence = FILLER.sub("", sentence)
    sentence = LEAD.sub("", HEDGE.sub("", LEAD.sub("", sentence.strip(" .!?\"'()")))).strip(" ,")
    for pattern, asserted in ASSERTED:
        sentence = pattern.sub(asserted, sentence)
    for pattern, rewritten in REWRITTEN:
        sentence = pattern.sub(rewritten, sentence)
    parts = SPLIT.split(sentence)
    if len(parts) > 1 and context.asked and context.asked.relation in FREE:
        whole = list(_of_clause(sentence, context, hedged))
        if any(claim.true and claim.relation == context.asked.relation for claim in whole):
            yield from whole
            return
    subject = ""
    for number, raw in enumerate(parts):
        part = raw.strip(" ,")
        if number and subject and GOES_ON.match(part):
            part = f"{subject} {part}"
        start = STARTS.match(part)
        people = [word for word in NAME.findall(part) if word in surfaces("person")]
        subject = people[-1] if people else start[1] if start and start[1] not in ("there", "that") else subject
        yield from _of_clause(part, context, hedged)


def _of_clause(clause: str, context: Context, hedged: bool) -> Iterator[Claim]:
    negative = bool(NEGATION.search(clause))
    if negative:
        clause = " ".join(NEGATION.sub("", clause).split())
    asked = context.asked
    if asked and asked.relation == "pet" and isinstance(asked.subject, Entity) and (name := ITS_NAME.fullmatch(clause)):
        yield from _pet_name(f"called {name[1] or name[2]}", asked.subject, negative, hedged)
        return
    made = False
    for statement in statements():
        if statement.needs in clause and (match := statement.pattern.fullmatch(clause)):
            found = list(_of_statement(statement, match, context, negative, hedged))
            made = made or bool(found)
            yield from found
            if found and statement.relation not in ("food", "thing", "use"):
                break
    if not made and context.asked:
        yield from _of_answer(clause, context.asked, negative, hedged)


def _of_statement(
    statement: Statement, match: re.Match[str], context: Context, negative: bool, hedged: bool
) -> Iterator[Claim]:
    relation, asked, groups = statement.relation, context.asked, match.groupdict()
    said = groups.get("p") or groups.get("s")
    subject: Entity | str | None
    if said is None:
        subject = asked.subject if asked and asked.relation == relation else None
    elif relation == "next":
        subject = asked.subject if asked and asked.relation == "next" and said == str(asked.subject) else None
    else:
        subject = context.entity(said, "p" in groups, statement.category)
    if subject is None:
        return
    if isinstance(subject, Entity):
        context.note(subject, statement.category)
    if asked and asked.relation == relation and asked.subject is subject:
        right, options = asked.right, asked.options
    else:
        assert isinstance(subject, Entity)
        right, options = right_values(relation, subject), ()
    values, either = of_statement(relation, match["v"], right, options)
    # where it is what was asked, one unknown word is a wrong value: "mirabe is a pilot"
    own = (
        asked is not None
        and asked.relation == relation
        and asked.subject is subject
        and bool(ONE_WORD.fullmatch(match["v"]))
    )
    if not values and (own or not statement.is_open) and not EMPTY.fullmatch(match["v"]) and match["v"] not in HE:
        values = [match["v"]]
    for value in values:
        yield Claim(relation, subject, value, (value in right) != negative, negative, hedged, either)
    if relation == "pet" and values and isinstance(subject, Entity):
        yield from _pet_name(match["v"], subject, negative, hedged)


def _of_answer(clause: str, asked: Asked, negative: bool, hedged: bool) -> Iterator[Claim]:
    """A value alone: "marrow", "it is marrow", "the answer is marrow"."""
    name = asked.subject.name.lower() if isinstance(asked.subject, Entity) else asked.subject
    for pattern, bare in answers():
        match = pattern.fullmatch(clause)
        values = alone(asked.relation, match["v"], asked.right, asked.options, name, bare) if match else []
        if match and values:
            either = bool(re.search(r"\bor\b", match["v"]))
            for value in values:
                yield Claim(
                    asked.relation, asked.subject, value, (value in asked.right) != negative, negative, hedged, either
                )
            if asked.relation == "pet" and isinstance(asked.subject, Entity):
                yield from _pet_name(match["v"], asked.subject, negative, hedged)
            return


def _pet_name(text: str, subject: Entity, negative: bool, hedged: bool) -> Iterator[Claim]:
    """ "a cat called button" says the pet's name as well."""
    if name := NAMED.search(text):
        yield Claim(
            "pet_name", subject, name[1], (name[1] in right_values("pet_name", subject)) != negative, negative, hedged
        )
