"""Attributes looked up through a chain of names (`hero.home.bank`), and conditions on them (`hero.home.bank = south`)."""

from collections.abc import Sequence
from typing import TypeAlias

from lablib.corpus.world.entities import Entity, Value

Env: TypeAlias = dict[str, Entity]
Path: TypeAlias = tuple[str, ...]  # ("hero", "home", "phrase")


def follow(value: Value, attributes: Sequence[str]) -> Value:
    """The value at the end of a chain of attributes.

    Raises:
        KeyError: an attribute is missing, or a string in the middle has none.
    """
    for attribute in attributes:
        if not isinstance(value, Entity):
            raise KeyError(f"{value!r} is no entity, so it has no attribute {attribute!r}")
        value = value[attribute]
    return value


def words_of(value: Value) -> tuple[str, ...]:
    """What a value can be printed as: the members of a list, the name of an entity, the string itself."""
    if isinstance(value, tuple):
        return tuple(word for part in value for word in words_of(part))
    return (value.name,) if isinstance(value, Entity) else (str(value),)


class Condition:
    """`hero.origin = south`, `size < owl.size`: paths and words compared; every part must hold.

    Attributes:
        parts: (left, operator, right): left is a path, right a path or a tuple of words ("a|b" is a or b).
    """

    __slots__ = ("parts", "paths", "source")

    def __init__(self, source: str, parts: list[tuple[Path, str, Path | None, tuple[str, ...]]]) -> None:
        self.source, self.parts = source, parts
        self.paths = [path for left, _, right, _ in parts for path in (left, right) if path]

    def holds(self, env: Env) -> bool:
        for left, operator, right, words in self.parts:
            mine = words_of(follow(env[left[0]], left[1:]))
            theirs = words_of(follow(env[right[0]], right[1:])) if right else words
            if operator in "<>":
                a, b = float(mine[0]), float(theirs[0])
                if not (a < b if operator == "<" else a > b):
                    return False
            elif any(word in theirs for word in mine) != (operator == "="):
                return False
        return True
