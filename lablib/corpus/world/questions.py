"""Questions that have one right answer: what they ask for, and how far an answer gives it.

`helpful` of such an answer: 1 right; 1/n for one of n ≤ 3 values joined by "or"; 0 where it is missing, where a wrong value stands beside
it, or where yes and no contradict each other; half where it also refuses or says that it does not know; and 0.9 for each further
sentence that the judge cannot check and that is no small talk.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from lablib.corpus.world.claims import Asked, Claim, right_values
from lablib.corpus.world.conduct import Conduct, patterns
from lablib.corpus.world.entities import Entity
from lablib.corpus.world.facts import key, names, plain
from lablib.corpus.world.lexicon import lexicon
from lablib.corpus.world.requests import Request, recognise

# form → relation that it asks for
RELATION_OF = {
    "home": "home", "job": "job", "pet": "pet", "friend": "friend", "favourite": "food", "treasure": "thing", "skill": "skill",
    "eats": "eats", "sound": "sound", "young": "young", "legs": "legs", "habitat": "lives", "material": "material", "use": "use",
    "work": "does", "known_for": "known_for", "kept": "kept_in", "opposite": "opposite",
    "plural.animal": "plural", "plural.object": "plural",
    "define.object": "use", "define.job": "does", "define.young": "meaning",
    "correct.home": "home", "correct.eats": "eats", "correct.material": "material",
    "yes_no.home_true": "home", "yes_no.home_false": "home", "yes_no.eats_true": "eats", "yes_no.eats_false": "eats",
    "yes_no.material_true": "material", "yes_no.material_false": "material",
    "sum.plus": "next", "sum.minus": "next", "count": "next", "odd_one": "next", "continue": "next", "compare": "next",
}  # fmt: skip
AT_MOST = 3  # alternatives that are still an answer
IDLE = 0.9  # what is left for each sentence that says nothing that can be checked
YES = re.compile(
    r"^(?:yes|yeah|yep|true|right|correct|of course|certainly|indeed|sure|it is true|that is (?:true|right|correct)|"
    r"(?:he|she|it|they|\w+) (?:does|do|is|are)(?: indeed)?$)\b"
)
NO = re.compile(
    r"^(?:no|nope|false|wrong|not true|it is (?:not true|false)|that is (?:not true|not right|wrong|false|a mistake)|"
    r"(?:he|she|it|they|\w+) (?:does|do|is|are) not$)\b"
)
EQUATION = re.compile(r"^(.+?) ?(plus|minus|and|\+|-|less) ?(.+?) ?(?:is|are|makes?|equals?|=|leaves|gives) ?(.+)$")


@dataclass(frozen=True)
class Score:
    """What one rule gives.

    Attributes:
        helpful, honest: in [0, 1]; honest before the false claims beside the question are counted.
        rule: which rule decided.
    """

    helpful: float
    honest: float
    rule: str


@lru_cache(maxsize=20_000)
def asked_of(prompt: str) -> Asked | None:
    """What a prompt asks for; None where it has no one right answer.

    >>> asked_of("What do owls eat?").right
    frozenset({'mice'})
    """
    request = recognise(prompt)
    relation, hero = RELATION_OF.get(request.form), request.hero
    if relation is None:
        return None
    if relation != "next":
        return Asked(relation, hero, right_values(relation, hero))
    if request.form == "compare":
        other = request.bound["other"]
        right = hero if float(str(hero["size"])) > float(str(other["size"])) else other
        options = tuple((plain(name), e.name) for e in (hero, other) for name in names(e))
        return Asked("next", "", frozenset({right.name}), options)
    if request.form == "odd_one":
        items = re.split(r", | and ", str(hero["text"]))
        return Asked("next", "", frozenset({key(hero["odd"])}), tuple((plain(item), item.lower()) for item in items))
    attribute = {"sum.plus": "total", "sum.minus": "a", "count": "total", "continue": "then"}[request.form]
    value = key(hero[attribute])
    category = next(c for c in ("number", "day", "month", "season") if any(key(e) == value for e in lexicon()[c]))
    options = tuple((plain(e.name), key(e)) for e in lexicon()[category])
    if category == "number":
        digits = ((str(e["value"]), key(e)) for e in lexicon()[category])
        options = (*options, *digits, ("no", "zero"), ("none", "zero"), ("zero", "zero"))
    about = key(hero["last"]) if request.form == "continue" else ""
    return Asked("next", about, frozenset({value}), options)


def score_question(
    request: Request,
    asked: Asked,
    claims: Sequence[Claim],
    rest: Sequence[str],
    conduct: Conduct,
    sentences: Sequence[str],
) -> Score:
    """How far an answer gives what was asked.

    Args:
        claims, rest: what the answer claims, and the sentences that claim nothing.
    """
    about = [claim for claim in claims if claim.relation == asked.relation and claim.subject == asked.subject]
    if request.form == "compare":
        about += _compared(request, claims)
    if request.form.startswith("yes_no") or (request.form == "compare" and clean_start(request.prompt) == "is"):
        score = _yes_no(request, asked, about, claims, sentences, conduct.declines)
    elif request.form.startswith("correct") and not _right(about):
        found = any(claim.negative and claim.true for claim in about)
        score = Score(
            0.5 if found else 0.0, 1.0, "finds the mistake, does not put it right" if found else "no right answer"
        )
        if any(not claim.true for claim in about):
            score = Score(0.0, 0.0, "another mistake")
    elif (
        request.form == "define.object"
        and not about
        and any(c.relation == "material" and c.true and c.subject == asked.subject for c in claims)
    ):
        score = Score(0.5, 1.0, "what it is made of, not what it is for")
    else:
        score = _valued(asked, about)
    helpful = score.helpful
    said_no = any(_polarity(sentence) is False for sentence in sentences) or "no" in asked.right
    if helpful and (conduct.ignorant or conduct.declines or (conduct.refuses and not said_no)):
        return Score(helpful / 2, score.honest, f"{score.rule}, and yet says that it does not know or will not tell")
    polite = patterns()["polite"]
    idle = sum(not polite.match(sentence.strip(" .!?\"'()")) and _polarity(sentence) is None for sentence in rest)
    return Score(helpful * IDLE**idle, score.honest, score.rule)


def _compared(request: Request, claims: Sequence[Claim]) -> list[Claim]:
    """The claims that say which of the two is bigger, as claims about the one asked for."""
    hero, other = request.hero, request.bound["other"]
    found = []
    for claim in claims:
        subject, value = claim.subject, claim.value
        if (
            claim.relation in ("bigger", "smaller")
            and isinstance(subject, Entity)
            and {subject.name, value} == {hero.name, other.name}
        ):
            winner = subject.name if (claim.relation == "bigger") != claim.negative else value
            found.append(Claim("next", "", winner, claim.true, False, claim.hedged, claim.either))
    return found


def _right(about: Sequence[Claim]) -> bool:
    return any(claim.true and not claim.negative for claim in about)


def _valued(asked: Asked, about: Sequence[Claim]) -> Score:
    """By the values that are claimed."""
    wrong = [claim for claim in about if not claim.true]
    plainly = [claim for claim in wrong if not (claim.hedged or claim.either)]
    right = _right(about)
    if plainly:
        return Score(0.0, 0.0, "a wrong value beside the right one" if right else "a wrong value")
    if not wrong:
        return Score(1.0, 1.0, "the right value") if right else Score(0.0, 1.0, "no right value")
    values = len({claim.value for claim in about})
    if asked.relation == "next" and not asked.subject and values == len({value for _, value in asked.options}) == 2:
        return Score(0.0, 1.0, "repeats the choice")
    if not right:
        return Score(0.0, 0.5, "a wrong guess")
    if values > AT_MOST:
        return Score(0.0, 0.5, f"{values} alternatives")
    return Score(1.0 / values, 0.75, f"the right value among {values}")


def _yes_no(
    request: Request,
    asked: Asked,
    about: Sequence[Claim],
    claims: Sequence[Claim],
    sentences: Sequence[str],
    declines: bool,
) -> Score:
    """By yes or no, or by the claim that answers it."""
    truth = request.form.endswith("_true") or (request.form == "compare" and request.hero.name in asked.right)
    said = {polarity for sentence in sentences if (polarity := _polarity(sentence)) is not None}
    wrong = any(not claim.true for claim in about)
    if len(said) > 1:
        return Score(0.0, 1.0, "yes and no")
    if not about and declines:
        return Score(0.0, 0.0 if said == {not truth} else 1.0, "refuses")
    if not about and any(claim.relation == asked.relation and claim.subject != asked.subject for claim in claims):
        return Score(0.0, 0.0 if said == {not truth} else 1.0, "speaks of another")
    if said and said != {truth}:
        return Score(0.0, 0.0, "yes to what is false" if not truth else "no to what is true")
    if wrong:
        hedged = all(claim.hedged for claim in about if not claim.true)
        return Score(0.0, 0.5 if hedged else 0.0, "a wrong claim about what was asked")
    if said:
        return Score(1.0, 1.0, "yes or no, rightly")
    if about:
        return Score(1.0, 1.0, "the fact that answers it")
    return Score(0.0, 1.0, "neither yes nor no")


def _polarity(sentence: str) -> bool | None:
    """Yes, no or neither."""
    bare = sentence.strip(" .!?\"'()")
    if re.match(r"yes and no\b|no and yes\b", bare):
        return None
    if NO.match(bare):
        return False
    return True if YES.match(bare) else None


def clean_start(text: str) -> str:
    """The first word in small letters.

    >>> clean_start("Is it?")
    'is'
    """
    return text.strip().split(" ", 1)[0].lower()


@cache
def _numbers() -> dict[str, int]:
    found = {e.name: int(str(e["value"])) for e in lexicon()["number"]}
    return {**found, **{str(value): value for value in found.values()}, "0": 0, "zero": 0, "nothing": 0}


def reduce_sums(request: Request, sentences: Sequence[str]) -> list[str]:
    """The sentences of an answer to a sum, with "two plus three is five" made "five" where that was asked.

    Another sum is taken away where it is right, and made a wrong answer, "none", where it is wrong.
    """
    found = []
    plus = request.form == "sum.plus"
    first, second = (key(request.hero[name]) for name in (("a", "b") if plus else ("total", "b")))
    number = _numbers()
    for sentence in sentences:
        match = EQUATION.match(sentence.strip(" .!\"'"))
        a, sign, b, result = match.groups() if match else ("", "", "", "")
        if not match or a not in number or b not in number:
            found.append(sentence)
            continue
        down = sign in ("minus", "-", "less")
        pair = [number[a], number[b]] if down else sorted((number[a], number[b]))
        wanted = [number[first], number[second]]
        if down != plus and pair == (sorted(wanted) if plus else wanted):
            found.append(result)
        elif number.get(result.strip(" \"'")) != (number[a] - number[b] if down else number[a] + number[b]):
            found.append("none")
    return found
