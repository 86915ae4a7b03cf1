"""Entities, the things that the world's sentences are about: a person, an owl, the old mill, a bread knife.

An entity has a unique name within its category, and attributes. The value of an attribute is a string, another entity
(a person's home), or a tuple of them (a list, of which a sentence picks one). Two attributes every entity has: `name`, and
the forms of its pronoun (`he him his hers himself`), which follow from `pronoun`, or from "it" where there is none.
"""

from typing import TypeAlias

Value: TypeAlias = "str | Entity | tuple[str | Entity, ...]"

PRONOUNS = {
    "she": {"he": "she", "him": "her", "his": "her", "hers": "hers", "himself": "herself"},
    "he": {"he": "he", "him": "him", "his": "his", "hers": "his", "himself": "himself"},
    "it": {"he": "it", "him": "it", "his": "its", "hers": "its", "himself": "itself"},
    "they": {"he": "they", "him": "them", "his": "their", "hers": "theirs", "himself": "themselves"},
}


class Entity:
    """One thing of the world.

    Attributes:
        category: "person", "animal", …
        name: unique within the category.
        values: attribute → value. References are filled in after all entities are made, for they may go in circles.

    >>> mira = Entity("person", "Mira", {"pronoun": "she", "home": Entity("place", "Marrow")})
    >>> mira["himself"], mira["home"]["name"], mira.has("pet")
    ('herself', 'Marrow', False)
    """

    __slots__ = ("category", "name", "values")

    def __init__(self, category: str, name: str, values: dict[str, Value] | None = None) -> None:
        self.category, self.name = category, name
        self.values: dict[str, Value] = {**(values or {}), "name": name}

    def has(self, attribute: str) -> bool:
        return attribute in self.values or attribute in PRONOUNS["it"]

    def __getitem__(self, attribute: str) -> Value:
        """The value of an attribute; forms of the pronoun are made.

        Raises:
            KeyError: there is no such attribute.
        """
        found = self.values.get(attribute)
        if found is not None:
            return found
        if attribute in PRONOUNS["it"]:
            return PRONOUNS[str(self.values.get("pronoun", "it"))][attribute]
        raise KeyError(f"{self!r} has no attribute {attribute!r}: expected one of {', '.join(sorted(self.values))}")

    def __repr__(self) -> str:
        return f"{self.category} {self.name!r}"
