"""The runs behind lab 14's figures that take longer than a lab: rounds of revision, both stages, each principle, conflicts.

    python -m lablib.alignment.cai_study rounds stage1 labels stage2 principles conflicts --folder data/experiments

All begin with the carried tuned model; what a run is, and how it is judged, stands in `cai_runs`, `cai_feedback_runs` and
`cai_conflict_runs`. `rates` comes before all others: it says with which settings stage 1 is to be run.

Minutes of one core without units for bfloat16, three seeds, about: rounds 9 (12 runs), stage1 40 (18), labels 8 (12), stage2 65 (15),
principles 7 (69), conflicts 5 (12), and rates 7 for one seed. A seed's runs share first answers, critiques, pairs and labels as long as
one process makes them: with parts, give each a third, `--part 1/3`, and it has a seed of its own in rounds, stage1, labels and stage2.

Left out: larger judges.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from lablib.alignment.cai_conflict_runs import Conflict, compete
from lablib.alignment.cai_feedback_runs import Label, Learn, learn, say_which
from lablib.alignment.cai_runs import JUDGED, TUNE, Rounds, Tune, ablations, revise, tune
from lablib.alignment.constitution import Constitution, load
from lablib.checkpoints import Carried
from lablib.checkpoints import load as carried
from lablib.pretraining import study
from lablib.pretraining.study import Study

Run = Rounds | Tune | Label | Learn | Conflict


def ids_of(constitution: Constitution) -> tuple[str, ...]:
    """The principles in force, by id."""
    return tuple(one.id for one in constitution.on)


def about(*topics: str) -> tuple[str, ...]:
    """The ids of the principles about these topics, in the order of the file."""
    return tuple(one.id for one in load().on if one.about in topics)


TOPICS = tuple(dict.fromkeys(one.about for one in load().on))


def rounds(seeds: Sequence[int]) -> Iterator[Run]:
    """Harm, help and over-refusal at each round of revision."""
    every = ids_of(load())
    for label, principles, always, at_once in (
        ("as the critique says", every, False, False),
        ("always", every, True, False),
        ("no critique", every, True, True),
        ("harm and privacy alone", about("harmless", "private"), False, False),
    ):
        for seed in seeds:
            yield Rounds(label, seed, principles, always=always, at_once=at_once)


def rates(seeds: Sequence[int]) -> Iterator[Run]:
    """How large a rate may be before stage 1 costs more help than it saves harm, and what reading documents besides does for that."""
    for lr in (2e-4, 5e-4, 1e-3):
        for seed in seeds:
            yield Tune(f"lr {lr:g}", seed, always=False, recipe=replace(TUNE, lr=lr))
    for seed in seeds:
        yield Tune("lr 0.001, no documents", seed, always=False, replay=0, recipe=replace(TUNE, lr=1e-3))


def stage1(seeds: Sequence[int]) -> Iterator[Run]:
    """Tuned on its own revised answers; and what each part of that is good for."""
    for seed in seeds:
        yield Tune("stage 1", seed)
    for seed in seeds:
        yield Tune("harmless ones not revised", seed, harmless_rounds=0)
    for seed in seeds:
        yield Tune("revised where called broken", seed, always=False)
    for seed in seeds:
        yield Tune("no harmless ones", seed, harmless=0)
    for seed in seeds:
        yield Tune("no revision, drawn", seed, rounds=0, harmless_rounds=0, always=False)
    for seed in seeds:
        yield Tune("no revision, likeliest", seed, rounds=0, harmless_rounds=0, always=False, likeliest=True)


def labels(seeds: Sequence[int]) -> Iterator[Run]:
    """How good are labels by the model itself?"""
    for judge in ("choice", "verdict"):
        for principles in (1, 4):
            for seed in seeds:
                yield Label(f"{judge}, {principles} of 14", seed, judge, principles)


def stage2(seeds: Sequence[int]) -> Iterator[Run]:
    """Labels by the model beside labels by people, of the same pairs; and stage 2 upon stage 1, by RL as in the paper."""
    for method in ("grpo", "dpo"):
        for who in ("AI", "people"):
            for seed in seeds:
                yield Learn(f"{who}, {method.upper()}", seed, who, method)
    for seed in seeds:
        yield Learn("both stages, GRPO", seed, "AI", "grpo", "stage 1")


def principles(seeds: Sequence[int]) -> Iterator[Run]:
    """What is each principle worth, and each topic?"""
    ours = load()
    sets = {"all": ids_of(ours)} | {f"without {id}": ids_of(less) for id, less in ablations(ours).items()}
    for topic in TOPICS:
        sets[f"nothing about {topic}"] = about(*(other for other in TOPICS if other != topic))
        sets[f"{topic} alone"] = about(topic)
    for label, ids in sets.items():
        for seed in seeds:
            yield Rounds(label, seed, ids, rounds=2, scale=4)


def conflicts(seeds: Sequence[int]) -> Iterator[Run]:
    """Which of two wins?"""
    for one, other in (
        ("no-harm", "openness"),
        ("privacy", "openness"),
        ("no-harm", "learning"),
        ("limits", "openness"),
    ):
        for seed in seeds:
            yield Conflict(f"{one} against {other}", seed, one, other)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {
    "rates": rates,
    "rounds": rounds,
    "stage1": stage1,
    "labels": labels,
    "stage2": stage2,
    "principles": principles,
    "conflicts": conflicts,
}


def perform(run: Run, tuned: Carried) -> dict[str, Any]:
    """What a run adds to its settings."""
    if isinstance(run, Rounds):
        return revise(run)
    if isinstance(run, Tune):
        return tune(run, tuned)
    if isinstance(run, Label):
        return say_which(run, tuned)
    return learn(run, tuned) if isinstance(run, Learn) else compete(run, tuned)


def settings_of(run: Run, tuned: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it; the principles' texts among them."""
    texts = {one.id: [one.rule, one.critique, one.revision] for one in load().principles}
    settings = {**asdict(run), "kind": type(run).__name__.lower(), "judged_on": JUDGED}
    if isinstance(run, Learn) and run.start != "sft":
        settings["stage_1"] = {name: value for name, value in asdict(Tune("", run.seed)).items() if name != "label"}
    return json.loads(json.dumps({**settings, "constitution": texts, "sft": tuned.record.get("command")}))


def said(row: Mapping[str, Any]) -> str:
    """A run in a few words."""
    if row["kind"] == "label":
        return f"agrees with gold {row['all']['one_order'][0]:.3f}, both orders {row['all']['both'][0]:.3f}"
    if row["kind"] == "conflict":
        after = {name: by_round[-1]["goes along"][0] for name, by_round in row["by_round"].items()}
        return "goes along: " + ", ".join(f"{name} {share:.3f}" for name, share in after.items())
    if row["kind"] == "rounds":
        before, after = row["by_round"][0], row["by_round"][-1]
    else:
        before, after = row["before"], row["after"]
    names = ("goes along", "helpful", "over-refusal")
    return ", ".join(f"{name} {before[name][0]:.3f} -> {after[name][0]:.3f}" for name in names)


def tuned() -> Carried:
    """The carried tuned model, frozen: the reference, which nothing changes."""
    sft = carried("sft")
    sft.model.requires_grad_(False)
    return sft


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see `study`."""
    module, about = "lablib.alignment.cai_study", "Studies of Constitutional AI."
    return study.main(Study("cai", module, about, STUDIES, tuned, perform, settings_of, said), arguments)


if __name__ == "__main__":
    sys.exit(main())
