"""The patterns of data/world/statements.toml, by which the facts of the world are said, compiled once.

A pattern is a regular expression with {s} for the subject, {p} for the subject's possessive ("mirabe's", "her") and {v} for the
value. Before a sentence is held against them, `LEAD`, `HEDGE` and `NEGATION` are taken out of it, and `SPLIT` takes it apart.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.facts import lemma
from lablib.corpus.world.lexicon import lexicon
from lablib.paths import data_path

HE = {
    "he": "person",
    "she": "person",
    "it": "",
    "they": "",
    "him": "person",
    "her": "person",
    "them": "",
    "one": "",
    "that": "",
}
HIS = {"his": "person", "her": "person", "its": "", "their": ""}

NEGATION = re.compile(
    r"\b(?:does|do|did) not |(?<=\bis) not\b|(?<=\bare) not\b|(?<!would )\bnever |(?<=\bcan) not\b|^not |\bno longer "
)
HEDGE = re.compile(
    r"\b(?:i (?:think|believe|guess|suppose)(?: that)?|maybe|perhaps|probably|possibly|as far as i know|"
    r"i am (?:not )?(?:quite )?sure(?: that| but)?|it (?:might|may|could) be(?: that)?|if i remember rightly)\b,? ?"
)
LEAD = re.compile(
    r"^(?:(?:(?:yes|no)(?=[,:;.!]|$| (?:it|he|she|they|that|the|i)\b)|well|sure|oh|ah|hm+|of course|certainly|indeed|right|okay|"
    r"ok|hello|so|and|but|now|then|actually|really|in fact|"
    r"that is (?:wrong|right|true|false|easy|not true|not right)|the truth is(?: that)?|i know(?: that)?|i can tell you(?: that)?|"
    r"everybody knows(?: that)?|you see|look(?=,)|as you know|in truth|also|it is (?:true|said|known) that|wait|instead)\b[,:;]? ?)+"
)
CUT = re.compile(
    r",? \b(?:near|where|because|since|but|which|who|whom|when|while|although|though|so|called|named|if|not|instead of|"
    r"rather than|as|and works|and is)\b"
)
CUT_FREE = re.compile(r",? \b(?:because|since|but|not|instead of|rather than|although|and works|and is)\b")
PREDICATES = (
    "lives|live|works|work|has|have|likes|like|loves|is|are|eats|eat|can|treasures|owns|keeps|comes|makes|stands|belongs|"
    "bakes|grinds|catches|rows|teaches|helps|builds|weaves|looks|grows|gives|sews|mends|brings|lends|lights|paints|plays|cuts|"
    "do not|does not|hunts?|feeds?|barks?|known for"
)
# where one sentence says two things
SPLIT = re.compile(
    rf",? (?:and|but|so|or|while) (?=(?:he|she|it|they|people|you|his|her|its|that is)\b)|,? (?:and|but) (?=(?:{PREDICATES})\b)|"
    rf", (?:who|which) (?=(?:{PREDICATES})\b)|, (?=(?:he|she|it|they) )|; ?|: (?=he |she |it |they )| (?:who|which) (?=lives|is |has )|"
    r", (?:and|but) (?=(?:(?:an?|the) )?[\w'-]+(?: [\w'-]+)? (?:lives?|works?|has|have|is|are|eats?|likes?|can)\b)|"
    r" and (?=(?:(?:an?|the) )?\w+ (?:lives|works|has|is|eats|likes|can)\b)|"
    r",? but (?=(?:in|at|on|by|with|of|an?|the) )|, (?=not )|, so (?=go )"
)
# "mirabe, the baker, lives …", "mirabe is a baker from marrow": two claims in one
REWRITTEN = (
    (re.compile(r"^(\w+), ((?:the|an?) [\w ]+?), (?=(?:lives|works|has|is|likes|can|treasures)\b)"), r"\1 is \2; \1 "),
    (re.compile(r"^(\w+) is (an? [\w ]+?) from (\w+(?: end)?)$"), r"\1 is \2; \1 is from \3"),
)
FILLER = re.compile(r"\b(?:mostly|usually|mainly|often|normally|generally|typically|surely|really)\b,? ?")
QUESTION_OR_CONDITION = re.compile(r"\?[\"')]*$|^(?:if|whether|suppose|imagine|when) (?!.*\byou say\b)(?!it is not)")
# "somebody told me that …" is another's claim
HEARSAY = re.compile(
    r"\b(?:somebody|someone|people|they|he|she|you|\w+) (?:said|told (?:me|you|us)|claims?|wrote|thought)\b(?! by)"
)
# what is said with "not" and yet asserts
ASSERTED = (
    (re.compile(r"\b(?:does|do) not have (?:any )?legs\b"), "has no legs"),
    (re.compile(r"\b(?:does|do) not have (?:an?|any) pets?\b"), "has no pet"),
    (re.compile(r"\b(?:does|do|can) not (?:belong|fit)\b"), "is odd"),
)
# what is no value, so that "lives in a village" claims nothing
EMPTY = re.compile(
    r"(?:an? |the |some |its |his |her )?(?:(?:village|house|home|place|good|nice|small|name|food|things?|what|somewhere|many|metal|"
    r"people|persons?|man|woman|girl|boy|child|neighbour|sound|noise|work|job|pets?|animals?|legs|friends?|lot|something|someone|somebody|everybody|anything)\b.*)"
)


@dataclass(frozen=True)
class Statement:
    """One way to say one relation.

    Attributes:
        relation: such as "eats".
        category: of its subjects.
        is_open: a value that the lexicon does not have makes no claim; otherwise it makes a false one.
        pattern: with the groups s or p, and v.
        needs: a word that a clause must hold to fit at all, or "": most clauses are told apart by that.
    """

    relation: str
    category: str
    is_open: bool
    pattern: re.Pattern[str]
    needs: str


@cache
def statements() -> tuple[Statement, ...]:
    """All ways to say a fact, in the order of the file."""
    data, _ = _read()
    sounds = {s for e in lexicon()["animal"] for s in (str(e["sound"]), lemma(str(e["sound"])))}
    said = "|".join((*sorted(sounds, key=lambda s: (-len(s), s)), "howls?", "barks?", "sings?", "roars?"))
    data["sound"]["patterns"].append(rf"{{s}} (?:\w+ly |always |often )?(?P<v>(?:{said})\b.*)")
    found = []
    for relation, entry in data.items():
        for pattern in entry["patterns"]:
            bare = re.sub(r"\(.*?\)[?*+]*|\{.\}|\w\?|\\w", " ", _flat(pattern))
            needs = max(re.findall(r"[a-z']{3,}", bare), key=len, default="")
            found.append(Statement(relation, entry["of"], entry.get("open", False), _compiled(pattern), needs))
    return tuple(found)


@cache
def answers() -> tuple[tuple[re.Pattern[str], bool], ...]:
    """How a value alone is given as an answer: patterns with the group v, and whether any text is one (the last)."""
    _, patterns = _read()
    return (*((_compiled(pattern), False) for pattern in patterns), (re.compile(r"(?P<v>.+)"), True))


def _read() -> tuple[dict[str, dict], list[str]]:
    data = tomllib.loads(data_path("world/statements.toml").read_text(encoding="utf-8"))
    return data, data.pop("answer")["patterns"]


def _flat(pattern: str) -> str:
    """Inner groups taken away, so that only what must be there is left."""
    while (shorter := re.sub(r"\([^()]*\)[?*]?", " ", pattern)) != pattern:
        pattern = shorter
    return pattern


def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = (
        pattern.replace("{v}", "(?P<v>.+)")
        .replace("{s}", "(?P<s>[\\w' \"-]+?)", 1)
        .replace("{p}", "(?P<p>[\\w' -]+?)", 1)
    )
    return re.compile(pattern.replace("{s}", "[\\w' -]+?").replace("{p}", "[\\w' -]+?"))


@cache
def surfaces(category: str) -> dict[str, Entity]:
    """What a subject of a category can be called, without its article.

    >>> surfaces("noun")["mice"], surfaces("young")["kittens"]
    (animal 'mouse', animal 'cat')
    """
    words = lexicon()
    if category == "noun":
        return {**surfaces("object"), **surfaces("animal")}
    if category == "young":
        return {str(e[form]): e for e in reversed(words["animal"]) for form in ("young_plural", "young")}
    found = {}
    for entity in words[category]:
        for attribute in ("name", "plural", "phrase"):
            if attribute in entity.values:
                found[re.sub(r"^the ", "", str(entity[attribute]).lower())] = entity
    return found
