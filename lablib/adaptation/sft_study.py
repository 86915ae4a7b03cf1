"""The runs behind lab 09's figures that take longer than a lab: which data, how much of it, how fast, and what it costs.

    python -m lablib.adaptation.sft_study quality quantity forgetting types --folder data/experiments

Each run tunes the carried base model and is judged as `lab train sft` is: gold scores of greedy answers to prompts of held-out
combinations, and the loss on the world's documents, which tells what was forgotten. The runs of an experiment differ in nothing but what
their labels say.

Left out: a sweep for the carried model's own settings.
"""

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from random import Random
from typing import Any

from lablib.adaptation import adherence as adh
from lablib.adaptation.chat import PAD
from lablib.adaptation.replay import Replayed
from lablib.adaptation.sft import RECIPE, REPLAY, FromSet, loss_of, prepared
from lablib.adaptation.sft_command import as_dict
from lablib.adaptation.sft_data import NOISY, SINGLE, Mixture, fixed_set, without
from lablib.checkpoints import Carried, load
from lablib.corpus.world import World
from lablib.pretraining import study
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.study import SEEDS, Study
from lablib.pretraining.training import train
from lablib.pretraining.world_loss import gap

PROMPTS, DOCUMENTS = 500, 500  # that a run is judged on
STEPS = 300
LIKE_SFT = replace(RECIPE, steps=STEPS, batch=32)
# types of instruction that are kept from the runs of `types`: a fact, a task, a harmful request with its look-alike, a text
KEPT_OUT = ("habitat", "sum", "harm.fire", "similar.fire", "letter")


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        label: what sets it apart from the others; seed: of the set and of its order.
        size: conversations in the set. mixture: how they are drawn.
        filtered: keep only those without a fault, as a perfect filter would. kept_out: types that the set is drawn without.
        judged_on_kept_out: besides all else on prompts of the types `KEPT_OUT`.
        recipe: how the model is tuned; recipe.batch conversations a step. replay: rows of documents that every step reads besides.
    """

    label: str
    seed: int
    size: int
    mixture: Mixture = SINGLE
    filtered: bool = False
    kept_out: tuple[str, ...] = ()
    recipe: Recipe = LIKE_SFT
    replay: int = REPLAY
    judged_on_kept_out: bool = False


def quality(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Is a small good set worth more than a large noisy one? All at the same number of steps."""
    for seed in seeds:
        yield Run("300 good", seed, 300)
        yield Run("3,000 noisy", seed, 3000, NOISY)
        yield Run("3,000 noisy, the faulty ones taken out", seed, 3000, NOISY, filtered=True)
        yield Run("3,000 good", seed, 3000)


def quantity(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """How many good conversations does it take? All at the same number of steps."""
    for seed in seeds:
        for size in (30, 100, 300, 1000, 3000, 10_000):
            yield Run(f"{size:,} good", seed, size)


def forgetting(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """What do rate, epochs and replay do to what the model knew? 1,000 good conversations."""
    for seed in seeds:
        for epochs, replay in ((1, 0), (3, 0), (10, 0), (3, REPLAY)):
            for lr in (3e-4, 1e-3, 3e-3, 1e-2):
                recipe = replace(LIKE_SFT, lr=lr, steps=max(1, round(1000 * epochs / LIKE_SFT.batch)))
                label = f"lr={lr:g} epochs={epochs}" + (" replay" if replay else "")
                yield Run(label, seed, 1000, recipe=recipe, replay=replay)


def held_out_types(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Does a model answer types of instruction that it was never tuned on?"""
    for seed in seeds:
        yield Run("all types", seed, 3000, judged_on_kept_out=True)
        yield Run(f"without {', '.join(KEPT_OUT)}", seed, 3000, kept_out=KEPT_OUT, judged_on_kept_out=True)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {
    "quality": quality,
    "quantity": quantity,
    "forgetting": forgetting,
    "types": held_out_types,
}


def perform(run: Run, base: Carried) -> dict[str, Any]:
    """Tune and judge: what a run adds to its settings. A run that diverges is judged with its last weights that had a finite loss."""
    tokenizer, T = base.tokenizer, run.recipe.context
    only = without(*run.kept_out) if run.kept_out else None
    talks = [one for one in fixed_set(run.size, run.mixture, run.seed, only) if not (run.filtered and one.faults)]
    encoded = prepared(talks, tokenizer, T)
    fresh = FromSet(encoded, min(run.recipe.batch, len(encoded)), T, tokenizer.special[PAD], run.seed)
    data = Replayed(fresh, run.replay, tokenizer, T, run.seed)
    documents = list(islice(World().documents(Random("what is forgotten")), DOCUMENTS))
    curve: list[float] = []
    begin, diverged = time.perf_counter(), ""
    model = copy.deepcopy(base.model).to(local_device())
    try:
        for step in train(model, data, replace(run.recipe, seed=run.seed), loss=loss_of(tokenizer)):
            curve.append(round(step.loss, 4))
    except Diverged as error:
        diverged = str(error).split(";")[0]
    seconds = time.perf_counter() - begin
    model.eval()
    answers = adh.scored(model, tokenizer, adh.prompts(PROMPTS, "a study is judged on"))
    kept_out = adh.prompts(PROMPTS, "types that are kept out", only=KEPT_OUT) if run.judged_on_kept_out else []
    left_out = adh.scored(model, tokenizer, kept_out) if kept_out else []
    found = gap(model, documents, tokenizer, model.config.context)
    return {
        "conversations": len(encoded),
        "with_a_fault": sum(bool(one.faults) for one in talks),
        "seconds": round(seconds, 1),
        "diverged": diverged,
        "adherence": as_dict(adh.adherence(answers)),
        "by_kind": {kind: as_dict(one) for kind, one in adh.by_kind(answers).items()},
        "on_kept_out_types": {type_: as_dict(one) for type_, one in adh.by_type(left_out).items()},
        "world_loss": round(found.loss, 5),
        "floor": round(found.floor, 5),
        "above_floor": round(found.share, 5),
        "curve": curve[:: max(1, len(curve) // 40)],
    }


def settings_of(run: Run, base: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it."""
    about = {"prompts": PROMPTS, "documents": DOCUMENTS, "base": base.record.get("command")}
    return json.loads(json.dumps({**asdict(run), **about}))


def said(row: Mapping[str, Any]) -> str:
    """A run in a few words."""
    return f"helpful {row['adherence']['helpful'][0]:.3f}, {row['above_floor']:.3f} above the floor"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see `study`."""
    module, about = "lablib.adaptation.sft_study", "Studies of tuning."
    make = Study("sft", module, about, STUDIES, lambda: load("base"), perform, settings_of, said)
    return study.main(make, arguments)


if __name__ == "__main__":
    sys.exit(main())
