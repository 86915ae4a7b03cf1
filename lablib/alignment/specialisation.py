"""The other table of lab 15: four ways to make a model know a domain, with the figures that labs 10 and 11 measured.

The guide orders retrieval, parameter-efficient tuning, full tuning and training from scratch by cost and by depth (section 3.5). The
records hold what there is to say here: `domain_methods.json` (the ship's log, the carried base model; `domain_seconds.json` has what a
step takes) and `rag.json` (questions about the handbook, a real model of 135M parameters, and beside it a program that copies the best
sentence of a passage). They are about two domains and two models, so nothing is compared *across* them.

Four things that the numbers do not say by themselves. *Facts* are picked among candidates, so a model that knows nothing has `chance`.
*Seconds* are those of the record's steps, the same number for all methods: what a step costs, not what a method needs. *World loss* is
forgetting only less the base's own; trained from scratch, a model never knew that world, and an adapter can be taken off again. And of
the questions after an update there are ten.

Left out: making the records (`domain_study`, `rag_study`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lablib.corpus.scoring import wilson

# a row of the guide's table -> methods of lab 10 that stand for it
TUNED = {
    "PEFT": ("lora r=8", "bottleneck r=16", "prefix P=32"),
    "full tuning": ("full tuning", "full tuning, replay"),
    "from scratch": ("from scratch",),
}
# conditions of lab 11, by part of its record: a model that reads, and a program that copies a sentence
ASKED = {
    "answers": ("memory", "1 found", "copied from 1 found", "right passages", "copied from right"),
    "update": ("before", "after", "memory, new answer", "copied before", "copied after"),
}


def specialisation(records: Mapping[str, Any]) -> dict[str, Any]:
    """The tables, as JSON takes them; a record that is missing leaves an empty list, one of the domain's two as well as both.

    Args:
        records: "domain_methods", "domain_seconds" and "rag", as the files hold them, or only some of them, or none.
    """
    names = ("domain_methods", "domain_seconds", "rag")
    domain, timed, rag = (records.get(name, {}).get("runs", []) for name in names)
    tuned = [
        one for row, methods in TUNED.items() for method in methods for one in _of_method(row, method, domain, timed)
    ]
    return {
        "tuned": _of_method("untouched", "base", domain, timed) + tuned if domain and timed else [],
        "retrieval": retrieval(rag),
    }


def _of_method(
    row: str, method: str, runs: Sequence[Mapping[str, Any]], timed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A method's line, means and ends over its seeds; [] where the record has none of it.

    steps: of its training, 0 for the base. chance: what picking facts blindly would have, a share.
    """
    mine = [run for run in runs if run["method"] == method]
    if not mine:
        return []

    def over(value: list[float]) -> list[float]:
        return [round(x, 5) for x in (sum(value) / len(value), min(value), max(value))]

    steps = mine[0]["recipe"]["steps"] if mine[0]["recipe"] else 0
    facts = [run["facts_held_out"]["picked"] / run["facts_held_out"]["questions"] for run in mine]
    return [
        {
            "row": row,
            "method": method,
            "seeds": len(mine),
            "trainable": mine[0].get("trainable", 0),
            "steps": steps,
            "chance": mine[0]["facts_held_out"]["chance"],
            "seconds": over(
                [steps * run["step_seconds"] for run in timed if run["method"] == method] or [0.0]
            ),  # the base: none
            "above_floor": over([run["domain_loss"] - run["domain_floor"] for run in mine]),
            "facts": over(facts),
            "world_loss": over([run["world_loss"] - run["world_floor"] for run in mine]),
        }
    ]


def retrieval(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Shares of right answers with 95 % intervals: from memory, with a passage that was found, with the right one; after an update.

    Each with a model as the reader, and *copied*, where no model writes. (A copied sentence is long, and an answer is right if the
    words that are looked for stand in it: part of what it is ahead.)
    """
    found = []
    for part, conditions in ASKED.items():
        for condition in conditions:
            right = [bool(run["right"]) for run in runs if run.get("part") == part and run["condition"] == condition]
            if right:
                low, high = wilson(sum(right), len(right))
                mean = sum(right) / len(right)
                share = [round(x, 4) for x in (mean, low, high)]
                found.append({"part": part, "condition": condition, "n": len(right), "right": share})
    return found
