"""What the task requests are about: sums, lists to count, series to continue, kinds of things to name, the odd one out.

The lexicon has no sums and no shopping lists, so they are made here, as entities of categories of their own, from the
lexicon and from data/world/instructions/tasks.toml. The random ones are drawn with a fixed seed through `random.random`
alone, so they are the same, in the same order, on every machine.
"""

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.lexicon import Lexicon, lexicon, read
from lablib.paths import data_path

TASK_SCHEMA: dict[str, dict[str, str | None]] = {
    "deed": {"past": None},
    "recipe": {"one": None, "two": None, "three": None},
}
SEED = 1836
HEAPS = 200  # lists of things to count
PUZZLES = 300  # "which is the odd one out?"
FEWEST = 6  # members that a kind needs, so that five of them can be asked for
# the kinds of the puzzles: none of them shares a member with another
SEPARATE = (
    "fruits",
    "vegetables",
    "birds",
    "trees",
    "flowers",
    "colours",
    "months",
    "villages",
    "jobs",
    "tools",
    "feelings",
)
LARGEST_SUM = 20

T = TypeVar("T")


@cache
def tasks() -> Lexicon:
    """The entities that only requests need: category → entities.

    >>> [len(tasks()[category]) for category in ("sum", "heap", "puzzle", "deed", "recipe")]
    [126, 200, 300, 36, 16]
    """
    path = data_path("world/instructions/tasks.toml")
    made = dict(read({path.name: path.read_text(encoding="utf-8")}, TASK_SCHEMA))
    members = kinds()
    made["kind"] = tuple(Entity("kind", name) for name in members)
    made["member"] = tuple(
        Entity("member", f"{name}: {text}", {"of": name, "text": text})
        for name, texts in members.items()
        for text in texts
    )
    made["sum"] = tuple(_sums())
    made["row"] = tuple(_rows())
    random = Random(SEED).random
    made["heap"] = _distinct(HEAPS, lambda: _heap(random))
    made["puzzle"] = _distinct(PUZZLES, lambda: _puzzle(random))
    return made


@cache
def kinds() -> dict[str, tuple[str, ...]]:
    """What can be listed: kind → its members, at least six, each in the words of a list ("plums", "Marrow").

    >>> kinds()["trees"]
    ('oaks', 'willows', 'apple trees', 'pines', 'birches', 'holly')
    """
    words = lexicon()
    found: dict[str, list[str]] = {
        "fruits": [str(e["phrase"]) for e in words["food"] if e["kind"] == "fruit"],
        "vegetables": [str(e["phrase"]) for e in words["food"] if e["kind"] == "vegetable"],
        "animals": [str(e["plural"]) for e in words["animal"]],
        "birds": [str(e["plural"]) for e in words["animal"] if e["legs"] == "two" and e.name != "bat"],
        "farm animals": [str(e["plural"]) for e in words["animal"] if e["habitat"] == "farm"],
        "animals of the wood": [str(e["plural"]) for e in words["animal"] if e["habitat"] == "wood"],
        "trees": [str(e["plural"]) for e in words["plant"] if e["kind"] == "tree"],
        "flowers": [str(e["plural"]) for e in words["plant"] if e["kind"] == "flower"],
        "jobs": [e.name for e in words["job"]],
        "tools": [str(e["plural"]) for e in words["object"] if e["kept_in"] in ("the toolbox", "the shed")],
        "villages": [e.name for e in words["place"] if e["kind"] == "village"],
        "feelings": [str(e["noun"]) for e in words["feeling"]],
        "colours": [e.name for e in words["colour"]],
        "materials": [e.name for e in words["material"]],
        "months": [e.name for e in words["month"]],
        "days of the week": [e.name for e in words["day"]],
    }
    for material in words["material"]:
        found[f"things made of {material.name}"] = [
            str(e["plural"]) for e in words["object"] if e["material"] is material
        ]
    for place in words["place"]:
        found[f"people who live in {place.name}"] = [e.name for e in words["person"] if e["home"] is place]
    return {name: tuple(members) for name, members in found.items() if len(members) >= FEWEST}


def joined(items: Sequence[str]) -> str:
    """A list as it is written.

    >>> joined(["a saw", "a kettle", "a map"])
    'a saw, a kettle and a map'
    """
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _sums() -> list[Entity]:
    word = {int(str(e["value"])): e.name for e in lexicon()["number"]}
    return [
        Entity("sum", f"{word[a]} + {word[b]}", {"a": word[a], "b": word[b], "total": word[a + b]})
        for a in range(2, LARGEST_SUM)
        for b in range(1, 10)
        if a + b <= LARGEST_SUM
    ]


def _rows() -> list[Entity]:
    """Three in a row and the one that follows; days, months and seasons go round, numbers do not."""
    found = []
    for category in ("day", "month", "season", "number"):
        names = [e.name for e in lexicon()[category]]
        for start in range(len(names) if category != "number" else len(names) - 3):
            three = [names[(start + step) % len(names)] for step in range(4)]
            text = ", ".join(three[:3])
            found.append(Entity("row", text, {"text": text, "last": three[2], "then": three[3]}))
    return found


def _heap(random: Callable[[], float]) -> Entity:
    words = lexicon()
    things = _some(words["object"], 2 + int(random() * 8), random)
    text = joined([f"{e['article']} {e.name}" for e in things])
    return Entity("heap", text, {"text": text, "total": words["number"][len(things) - 1].name})


def _puzzle(random: Callable[[], float]) -> Entity:
    members = kinds()
    most, least = _some(SEPARATE, 2, random)
    items = _some(members[most], 3, random)
    odd = _some(members[least], 1, random)[0]
    items.insert(int(random() * 4), odd)
    text = joined(items)
    return Entity("puzzle", text, {"text": text, "odd": odd, "kind": most})


def _some(pool: Sequence[T], n: int, random: Callable[[], float]) -> list[T]:
    """n different members of a sequence, in a random order."""
    left = list(pool)
    return [left.pop(int(random() * len(left))) for _ in range(n)]


def _distinct(n: int, make: Callable[[], Entity]) -> tuple[Entity, ...]:
    found: dict[str, Entity] = {}
    while len(found) < n:
        entity = make()
        found.setdefault(entity.name, entity)
    return tuple(found.values())
