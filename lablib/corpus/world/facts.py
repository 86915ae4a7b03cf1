"""The facts of the world, read off the lexicon: (subject, relation, value), one right value each.

A relation's value is a text in small letters. `domain` maps everything that can be said for it ("mice", "a bowl of pea
soup", "Marrow") to the value itself, so that a claim made in any wording can be compared. The world is closed: what it
does not say is false in it, even where a real owl might disagree. What nobody knows is no fact:
`UNKNOWABLE` says what it is about, and the only honest answer to it is that one does not know.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from lablib.corpus.world.entities import Entity, Value
from lablib.corpus.world.lexicon import Lexicon, lexicon

# relation → (category of its subjects, attribute)
RELATIONS: dict[str, tuple[str, str]] = {
    "home": ("person", "home"), "job": ("person", "job"), "pet": ("person", "pet"), "pet_name": ("person", "pet_name"),
    "friend": ("person", "friend"), "food": ("person", "food"), "thing": ("person", "thing"), "skill": ("person", "skill"),
    "fear": ("person", "fear"), "eats": ("animal", "eats"), "sound": ("animal", "sound"), "young": ("animal", "young"),
    "legs": ("animal", "legs"), "lives": ("animal", "lives"), "material": ("object", "material"), "use": ("object", "use"),
    "colour": ("object", "colour"), "kept_in": ("object", "kept_in"), "does": ("job", "does"),
    "workplace": ("job", "workplace"), "tool": ("job", "tool"), "known_for": ("place", "known_for"), "near": ("place", "near"),
    "opposite": ("adjective", "opposite"), "animal_plural": ("animal", "plural"), "object_plural": ("object", "plural"),
    "food_colour": ("food", "colour"), "food_taste": ("food", "taste"), "plant_bears": ("plant", "bears"),
    "plant_colour": ("plant", "colour"), "comes_from": ("material", "comes_from"),
}  # fmt: skip

# What no document tells, and what each kind of question is about: person, animal or place.
UNKNOWABLE: dict[str, str] = {
    "what somebody dreamt": "person", "what somebody will say": "person", "what somebody whispered": "person",
    "what somebody wishes for": "person", "what is in somebody's pocket": "person", "what an animal thinks": "animal",
    "how many stones": "place", "how many blades of grass": "place", "how many beetles": "place",
    "how many drops of rain": "place", "how many spiders": "place",
}  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One fact.

    Attributes:
        subject: "Mirabe", "owl"; its category is the relation's.
        relation: a key of `RELATIONS`.
        value: in small letters, without an article.
    """

    subject: str
    relation: str
    value: str


def facts(entities: Mapping[str, tuple[Entity, ...]] | None = None) -> tuple[Fact, ...]:
    """All facts, relation by relation.

    >>> [fact.value for fact in facts() if fact.subject == "owl" and fact.relation == "eats"]
    ['mice']
    """
    return tuple(_facts(entities if entities is not None else lexicon()))


def _facts(entities: Lexicon) -> Iterator[Fact]:
    for relation, (category, attribute) in RELATIONS.items():
        for entity in entities[category]:
            yield Fact(entity.name, relation, key(entity[attribute]))


def key(value: Value) -> str:
    """The form in which values are compared."""
    return (value.name if isinstance(value, Entity) else str(value)).lower()


# ---------------------------------------------------------------------- words


@cache
def _lemmas() -> dict[str, str]:
    words = lexicon()
    found = {
        "was": "be",
        "were": "be",
        "is": "be",
        "are": "be",
        "been": "be",
        "has": "have",
        "had": "have",
        "does": "do",
        "did": "do",
    }
    for verb in words["verb"]:
        for form in ("s", "past", "participle", "ing"):
            found.setdefault(str(verb[form]), verb.name)
    for category in ("animal", "object", "job", "plant"):
        for entity in words[category]:
            found[str(entity["plural"]).split()[-1]] = entity.name.split()[-1]
    for food in words["food"]:
        found[str(food["phrase"]).split()[-1]] = food.name.split()[-1]
    for animal in words["animal"]:
        found[str(animal["young_plural"])] = str(animal["young"])
    return {
        form: lemma for form, lemma in found.items() if form != lemma and form not in {v.name for v in words["verb"]}
    }


@lru_cache(maxsize=20_000)
def lemma(word: str) -> str:
    """The base form of a word in small letters: "mice" → "mouse", "bakes" → "bake".

    >>> [lemma(word) for word in ("mice", "bakes", "cutting", "was", "grass")]
    ['mouse', 'bake', 'cut', 'be', 'grass']
    """
    known = _lemmas().get(word)
    if known:
        return known
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")):
        return word[:-3] + "y" if word.endswith("ies") and len(word) > 4 else word[:-1]
    return word


WORD = re.compile(r"\w+(?:['-]\w+)*")
ARTICLES = {"a", "an", "the", "some", "his", "her", "its", "their", "your", "my", "our"}


def lemmas(text: str) -> list[str]:
    """The base forms of the words of a text in small letters, articles left out."""
    return [lemma(word) for word in WORD.findall(text) if word not in ARTICLES]


def plain(text: str) -> str:
    """The base forms in one string, the form in which texts are looked up in a `domain`."""
    return " ".join(lemmas(text.lower()))


# relation → category: what could have been said beside the true values: another village, another animal, another food
OTHERS = {
    "home": "place", "job": "job", "pet": "animal", "friend": "person", "food": "food", "thing": "object",
    "material": "material", "colour": "colour", "workplace": "place", "tool": "object", "near": "place",
    "opposite": "adjective", "legs": "number", "bigger": "animal", "smaller": "animal", "meaning": "animal",
}  # fmt: skip
NAMES = ("phrase", "plural", "one")  # attributes by which an entity can be called, beside its name
HABITATS = (
    "wood", "water", "farm", "garden", "meadow", "mountain", "sea", "village", "house", "lake", "river", "forest", "field",
)  # fmt: skip


@cache
def domain(relation: str) -> dict[str, str]:
    """Everything that can be said as a value of a relation, as lemmas with single spaces → the value.

    >>> domain("home")["marrow"], domain("food")["bowl of pea soup"], domain("eats")["mouse"]
    ('marrow', 'pea soup', 'mice')
    """
    words, found = lexicon(), {}
    if relation in RELATIONS:
        category, attribute = RELATIONS[relation]
        for entity in words[category]:
            value = entity[attribute]
            for text in names(value) if isinstance(value, Entity) else (str(value),):
                found[plain(text)] = key(value)
    for entity in words[OTHERS[relation]] if relation in OTHERS else ():
        if relation != "home" or entity["kind"] == "village":
            for text in names(entity):
                found.setdefault(plain(text), key(entity))
    if relation == "job":  # who bakes bread is a baker, as far as only one job is said by that
        for job in words["job"]:
            found.setdefault(plain(str(job["does"])), key(job))
    if relation == "eats":
        for entity in (*words["animal"], *words["food"]):
            text = str(entity["plural" if entity.category == "animal" else "phrase"])
            found.setdefault(plain(text), text)
    if relation == "lives":
        found |= {name: found.get(name, name) for name in HABITATS}
        for animal in words["animal"]:  # "in the wood" is also said as "in woods" or "the wood"
            found[lemma(str(animal["lives"]).split()[-1])] = str(animal["lives"])
    if relation == "legs":
        found |= {"zero": "no", "0": "no", "none": "no"} | {str(e["value"]): e.name for e in words["number"]}
    return found


def names(entity: Entity) -> list[str]:
    """What an entity can be called: "plum", "plums", "a plum"."""
    return [entity.name, *(str(entity[a]) for a in NAMES if a in entity.values)]
