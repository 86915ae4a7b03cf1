"""A constitution: the principles that a model holds its own answers against, in a file that anybody can read, change and switch.

    ours = load()                                     # data/constitution.toml
    without = ours.switched(off=["openness"])         # the same with one principle out of force
    principle = without.draw(Random(0))

In RLHF the values of a model come from thousands of labels, and nobody can read them. Here they stand in some sentences. That does not make
them right, complete or free of contradictions: `against` names the principles that can pull apart, and the lab shows what then happens.

Paper: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback" (appendix C: their principles, each with a request for a critique
and one for a revision). Ours are written for the course; the source of each thought stands beside it.

Left out: weights of principles, and an order in which one overrules another.
"""

import tomllib
from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from random import Random
from typing import Any

from lablib.adaptation.critique import BROKEN, RULES
from lablib.adaptation.faults import pick
from lablib.paths import data_path

FILE = "constitution.toml"
SLOT = "{rule}"  # in a request for a critique, where the rule is put


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle; data/constitution.toml says what each field is.

    Raises:
        ValueError: a text is missing or blank, or a value is none of those that the field may have; says which.
    """

    id: str
    source: str
    text: str
    rule: str
    about: str
    faults: tuple[str, ...]
    critique: str
    revision: str
    against: tuple[str, ...] = ()
    on: bool = True

    def __post_init__(self) -> None:
        where = f"principle {self.id!r}"
        for name in ("id", "source", "text", "rule", "about", "critique", "revision"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{where}: {name} = {value!r}: expected a text that is not empty")
        for name in ("faults", "against"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(one, str) for one in value):
                raise ValueError(f"{where}: {name} = {value!r}: expected a list of texts")
        if not isinstance(self.on, bool):
            raise ValueError(f"{where}: on = {self.on!r}: expected true or false, without quotes")
        if self.about not in RULES:
            raise ValueError(f"{where}: about = {self.about!r}: expected one of {', '.join(RULES)}")
        known = [fault for fault in BROKEN if self.about in BROKEN[fault]]
        if not self.faults or not set(self.faults) <= set(known):
            raise ValueError(
                f"{where}: faults = {list(self.faults)}: expected some of {', '.join(known)}, which break a rule about {self.about!r}"
            )
        if SLOT not in self.critique:
            raise ValueError(
                f"{where}: critique = {self.critique!r}: expected {SLOT} in it, where the rule is to be put"
            )

    def asks(self, plainly: bool = False) -> str:
        """The request for a critique, with the rule in the carried model's words; plainly: with the text for people."""
        return self.critique.replace(SLOT, self.text if plainly else self.rule)


@dataclass(frozen=True)
class Constitution:
    """Principles, of which some are in force.

    Raises:
        ValueError: there are none, two have one id, none is switched on, or one is against a principle that is not there.
    """

    principles: tuple[Principle, ...]

    def __post_init__(self) -> None:
        ids = [principle.id for principle in self.principles]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"principles: the id {', '.join(twice)} is there more than once: expected each once")
        for principle in self.principles:
            wrong = [name for name in principle.against if name not in ids or name == principle.id]
            if wrong:
                raise ValueError(
                    f"principle {principle.id!r}: against = {list(principle.against)}: expected ids of other principles, one of "
                    f"{', '.join(name for name in ids if name != principle.id)}"
                )
        if not self.on:
            raise ValueError(
                f"none of the {len(ids)} principles is switched on: expected at least one; set on = true, or switched(on=[…])"
            )

    def __len__(self) -> int:
        return len(self.principles)

    def __getitem__(self, id: str) -> Principle:
        for principle in self.principles:
            if principle.id == id:
                return principle
        raise KeyError(f"no principle has the id {id!r}: expected one of {', '.join(p.id for p in self.principles)}")

    @property
    def on(self) -> tuple[Principle, ...]:
        """The principles in force."""
        return tuple(principle for principle in self.principles if principle.on)

    def switched(self, on: Collection[str] = (), off: Collection[str] = ()) -> "Constitution":
        """The same principles with some, by id, put in or out of force.

        Raises:
            KeyError: an id that no principle has. ValueError: one in both lists, or none left in force.
        """
        both = sorted(set(on) & set(off))
        if both:
            raise ValueError(f"on and off both name {', '.join(both)}: expected each in one of them")
        for id in (*on, *off):
            self[id]
        return Constitution(
            tuple(replace(one, on=(one.on or one.id in on) and one.id not in off) for one in self.principles)
        )

    def only(self, *ids: str) -> "Constitution":
        """The same principles with just these in force; what each does alone."""
        for id in ids:
            self[id]
        return Constitution(tuple(replace(one, on=one.id in ids) for one in self.principles))

    def draw(self, generator: Random) -> Principle:
        """One of the principles in force, each with the same chance."""
        return pick(self.on, generator)

    def conflicts(self) -> list[tuple[Principle, Principle]]:
        """Pairs of principles in force that can pull apart, each pair once, in the order of the file."""
        on = self.on
        return [
            (one, other)
            for i, one in enumerate(on)
            for other in on[i + 1 :]
            if other.id in one.against or one.id in other.against
        ]


def load(path: str | Path | None = None) -> Constitution:
    """Read a constitution from a TOML file; None: the course's.

    Raises:
        FileNotFoundError: no such file. ValueError: it is no TOML, a key is unknown or missing, or see the two classes.
    """
    path = data_path(FILE) if path is None else Path(path)
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from None
    rows = found.pop("principle", [])
    if found or not isinstance(rows, list) or not rows:
        raise ValueError(
            f"{path} has the tables {', '.join(sorted(found)) or 'none'}: expected [[principle]], once for each principle, only"
        )
    return Constitution(tuple(_principle(row, number, path) for number, row in enumerate(rows, 1)))


def _principle(row: dict[str, Any], number: int, path: Path) -> Principle:
    """A principle from its table; number: which one of the file, from 1."""
    keys = [field.name for field in fields(Principle)]
    needed = [field.name for field in fields(Principle) if field.default is MISSING]
    unknown, missing = [key for key in row if key not in keys], [key for key in needed if key not in row]
    if unknown or missing:
        raise ValueError(
            f"{path}, principle {number} ({row.get('id', 'without an id')}): "
            + f"unknown keys: {', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}: expected {', '.join(keys)}"
        )
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Principle(**values)
