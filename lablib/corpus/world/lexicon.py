"""The world's lexicon: everything the world speaks of, read from `data/world/lexicon/*.toml`.

A category ("person", "animal", …) is an array of tables in one of the files; a table is an entity (see `entities`). `SCHEMA`
says for each category which attributes an entity must have and which of them name another entity. Every value is canonical:
there is one right answer to "What does the owl eat?".

`PRIVATE` attributes (a person's phone number and address) are in the lexicon so that a leak can be recognised; no document of
the world tells them and a helpful assistant does not either.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from lablib.corpus.world.entities import Entity, Value
from lablib.paths import data_path

Lexicon = Mapping[str, tuple[Entity, ...]]

PRIVATE = ("phone", "address")

SCHEMA: dict[str, dict[str, str | None]] = {  # category → attribute → the category it names, or None for plain text
    "person": {
        "pronoun": None, "home": "place", "origin": None, "job": "job", "friend": "person", "pet": "animal",
        "pet_name": None, "food": "food", "thing": "object", "skill": None, "fear": None, "phone": None, "address": None,
    },
    "place": {
        "phrase": None, "preposition": None, "where": None, "to": None, "kind": None, "bank": None, "known_for": None,
        "near": "place",
    },
    "animal": {
        "article": None, "plural": None, "habitat": None, "lives": None, "eats": None, "sound": None, "young": None,
        "young_plural": None, "legs": None, "size": None, "peculiarity": None,
    },
    "object": {
        "article": None, "plural": None, "material": "material", "colour": "colour", "use": None, "kept_in": None,
    },
    "food": {"phrase": None, "be": None, "one": None, "kind": None, "colour": "colour", "taste": None},
    "plant": {
        "article": None, "plural": None, "kind": None, "bears": None, "grows": None, "colour": "colour",
        "peculiarity": None,
    },
    "job": {"article": None, "plural": None, "does": None, "tool": "object", "workplace": "place"},
    "material": {"be": None, "comes_from": None, "property": None},
    "colour": {"like": None},
    "number": {"value": None, "ordinal": None},
    "month": {"season": "season", "next": "month"},
    "day": {"next": "day", "custom": None},
    "season": {"next": "season", "weather": "weather", "custom": None},
    "weather": {"article_phrase": None, "happened": None, "adjective": None, "advice": None},
    "adjective": {"article": None, "opposite": "adjective", "kind": None},
    "verb": {"s": None, "past": None, "participle": None, "ing": None},
    "adverb": {"kind": None},
    "feeling": {"noun": None, "cause": None, "sign": None},
}  # fmt: skip


@cache
def lexicon() -> Lexicon:
    """The world's entities by category, in the order of the files; read once.

    >>> owl = find("animal", "owl")
    >>> owl["eats"], owl["young"], find("person", "Mirabe")["home"]["name"]
    ('mice', 'owlet', 'Marrow')
    """
    folder = data_path("world/lexicon")
    return read({path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.toml"))})


@cache
def _by_name() -> dict[tuple[str, str], Entity]:
    return {(category, entity.name): entity for category, entities in lexicon().items() for entity in entities}


def find(category: str, name: str) -> Entity:
    """One entity by its name.

    Raises:
        KeyError: there is no such entity.
    """
    entity = _by_name().get((category, name))
    if entity is None:
        known = [other for other_category, other in _by_name() if other_category == category]
        raise KeyError(
            f"no {category} is called {name!r}: expected "
            + (f"one of {', '.join(known[:8])}, …" if known else f"a category of {', '.join(SCHEMA)}")
        )
    return entity


def read(files: Mapping[str, str], schema: Mapping[str, Mapping[str, str | None]] = SCHEMA) -> Lexicon:
    """Texts of TOML files → entities by category, references resolved.

    Args:
        files: file name → text; each text holds one or more arrays of tables, named for their category.
        schema: category → attribute → category that the attribute's value names, or None where it is text.

    Raises:
        ValueError: names the file and the entity: a file that is no TOML, a category or attribute that the schema does not
            know, a missing attribute, a name given twice, a reference to nobody, a private value given twice.
    """
    tables: dict[str, list[tuple[str, dict[str, object]]]] = {category: [] for category in schema}
    for file, text in files.items():
        try:
            parsed = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{file}: not TOML: {error}") from None
        for category, rows in parsed.items():
            if category not in schema:
                raise ValueError(f"{file}: category {category!r} is unknown: expected one of {', '.join(schema)}")
            tables[category] += [(file, row) for row in rows]
    found: dict[tuple[str, str], Entity] = {}
    for category, rows in tables.items():
        for file, row in rows:
            _check(file, category, row, schema[category])
            if (category, str(row["name"])) in found:
                raise ValueError(
                    f"{file}: {category} {row['name']!r} stands there twice: give each entity its own name"
                )
            found[category, str(row["name"])] = Entity(category, str(row["name"]))
    for category, rows in tables.items():
        for file, row in rows:
            entity = found[category, str(row["name"])]
            for attribute, target in schema[category].items():
                entity.values[attribute] = _value(file, entity, attribute, row[attribute], target, found)
    _check_private(found.values())
    by_category = {
        category: tuple(found[category, str(row["name"])] for _, row in rows) for category, rows in tables.items()
    }
    return {category: entities for category, entities in by_category.items() if entities}


def _check(file: str, category: str, row: Mapping[str, object], attributes: Mapping[str, str | None]) -> None:
    name = row.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{file}: a {category} has name = {name!r}: expected a text that names it, in {dict(row)}")
    for attribute in attributes:
        if attribute not in row:
            raise ValueError(f"{file}: {category} {name!r} has no {attribute!r}: every {category} needs one")
    for attribute in row:
        if attribute != "name" and attribute not in attributes:
            raise ValueError(
                f"{file}: {category} {name!r} has an unknown attribute {attribute!r}: expected {', '.join(attributes)}"
            )


def _value(
    file: str,
    entity: Entity,
    attribute: str,
    value: object,
    target: str | None,
    found: Mapping[tuple[str, str], Entity],
) -> Value:
    if isinstance(value, list):
        return tuple(_value(file, entity, attribute, one, target, found) for one in value)  # type: ignore[misc]
    if target is None:
        return str(value)
    if (target, str(value)) not in found:
        raise ValueError(
            f"{file}: {entity!r} has {attribute} = {value!r}, but no {target} has that name: "
            f"add it to the {target}s or correct the name"
        )
    return found[target, str(value)]


def _check_private(entities: Iterable[Entity]) -> None:
    owner: dict[Value, Entity] = {}
    for entity in entities:
        for attribute in PRIVATE:
            value = entity.values.get(attribute)
            if value is not None and owner.setdefault(value, entity) is not entity:
                raise ValueError(
                    f"{entity!r} and {owner[value]!r} have the same {attribute} {value!r}: expected one each"
                )
