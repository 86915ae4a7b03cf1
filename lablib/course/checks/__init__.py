"""The exercises of every lab, in order: one module here for each topic, named as in the library."""

import importlib

from lablib.course.exercise import Exercise
from lablib.course.sources import Target

# lab number → module of this package with its EXERCISES
MODULES = {
    "01": "recurrence",
    "02": "attention",
    "03": "positions",
    "04": "transformer",
    "05": "data",
    "06": "tokenization",
    "07": "pretraining",
    "08": "objectives",
    "09": "sft",
    "10": "lora",
    "11": "retrieval",
    "12": "rlhf",
    "13": "dpo",
    "14": "constitutional",
    "15": "comparing",
}


def labs() -> list[str]:
    """The numbers of the labs that have exercises."""
    return sorted(MODULES)


def exercises(lab: str) -> list[Exercise]:
    """The exercises of a lab, in their order.

    Raises:
        ValueError: no such lab.
    """
    if lab not in MODULES:
        raise ValueError(
            f"lab {lab!r} has no exercises: expected one of {', '.join(labs())}, as a string of two digits"
        )
    return list(importlib.import_module(f"{__name__}.{MODULES[lab]}").EXERCISES)


def find(target: str) -> Exercise:
    """The exercise with a target such as `lablib.architecture.attention:split_heads` (a method may be left out).

    Raises:
        ValueError: no exercise has it.
    """
    wanted = Target.parse(target)
    for lab in labs():
        for exercise in exercises(lab):
            if (exercise.parsed.module, exercise.name) == (wanted.module, wanted.name):
                return exercise
    raise ValueError(f"no exercise has the target {target!r}: see the lists EXERCISES in lablib/course/checks")
