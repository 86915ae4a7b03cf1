"""The runs behind lab 14's figures that take longer than a lab: rounds of revision, both stages, each principle, conflicts.

    python -m lablib.alignment.cai_study rounds stage1 labels stage2 principles conflicts --folder data/experiments

All begin with the carried tuned model; what a run is, and how it is judged, stands in `cai_runs` and `cai_feedback_runs`.

Seconds of a run on one core, about, and runs: rounds 30 × 9; stage1 130 × 12; labels 60 × 12; stage2 220 × 18 (a seed's pairs and
labels are shared); principles 10 × 69; conflicts 50 × 12. About two hours and a quarter for all; `--only` and `--seeds` make parts.

Left out: settings of the tuning itself (rates, epochs); larger judges.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lablib.alignment.cai_feedback_runs import Conflict, Label, Learn, compete, learn, say_which
from lablib.alignment.cai_runs import EPOCHS, JUDGED, Rounds, Tune, ablations, revise, tune
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
    for seed in seeds:
        yield Rounds("as the critique says", seed)
        yield Rounds("always", seed, always=True)
        yield Rounds("harm and privacy alone", seed, about("harmless", "private"))


def stage1(seeds: Sequence[int]) -> Iterator[Run]:
    """Tuned on its own revised answers; and what each part of that is good for."""
    for seed in seeds:
        yield Tune("stage 1", seed)
        yield Tune("without revision", seed, rounds=0)
        yield Tune("without harmless prompts", seed, harmless=0)
        yield Tune("harm and privacy alone", seed, principles=about("harmless", "private"))


def labels(seeds: Sequence[int]) -> Iterator[Run]:
    """How good are labels by the model itself?"""
    for seed in seeds:
        for judge in ("choice", "verdict"):
            for principles in (1, 4):
                yield Label(f"{judge}, {principles} of 14", seed, judge, principles)


def stage2(seeds: Sequence[int]) -> Iterator[Run]:
    """Labels by the model beside labels by people, of the same pairs; and stage 2 upon stage 1."""
    for seed in seeds:
        for method in ("grpo", "dpo"):
            yield Learn(f"AI, {method.upper()}", seed, "AI", method)
            yield Learn(f"people, {method.upper()}", seed, "people", method)
            yield Learn(f"both stages, {method.upper()}", seed, "AI", method, "stage 1")


def principles(seeds: Sequence[int]) -> Iterator[Run]:
    """What is each principle worth, and each topic?"""
    ours = load()
    for seed in seeds:
        yield Rounds("all", seed, ids_of(ours), rounds=2, scale=4)
        for id, less in ablations(ours).items():
            yield Rounds(f"without {id}", seed, ids_of(less), rounds=2, scale=4)
        for topic in TOPICS:
            rest = [other for other in TOPICS if other != topic]
            yield Rounds(f"nothing about {topic}", seed, about(*rest), rounds=2, scale=4)
            yield Rounds(f"{topic} alone", seed, about(topic), rounds=2, scale=4)


def conflicts(seeds: Sequence[int]) -> Iterator[Run]:
    """Which of two wins?"""
    pairs = (("no-harm", "openness"), ("privacy", "openness"), ("no-harm", "learning"), ("limits", "openness"))
    for seed in seeds:
        for one, other in pairs:
            yield Conflict(f"{one} against {other}", seed, one, other)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {
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
        return revise(run, tuned)
    if isinstance(run, Tune):
        return tune(run, tuned)
    if isinstance(run, Label):
        return say_which(run, tuned)
    return learn(run, tuned) if isinstance(run, Learn) else compete(run, tuned)


def settings_of(run: Run, tuned: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it; the principles' texts among them."""
    texts = {one.id: [one.rule, one.critique, one.revision] for one in load().principles}
    settings = {**asdict(run), "kind": type(run).__name__.lower(), "judged_on": JUDGED, "epochs": EPOCHS}
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
