"""The runs behind lab 10's table: one domain, many ways to learn it, and what each costs and forgets.

    python -m lablib.adaptation.domain_study rates methods seconds --folder data/experiments

Every run reads the same 2,000 documents of the ship's log for the same number of steps, 32 of them a step, and is judged on fresh ones:
the loss beside its floor, the facts it knows in sentences that it has read and in others, and the loss on the world's documents, which
tells what it forgot. Studies: `rates` (which learning rate suits each method; judged on documents that no other study uses),
`methods`, and `seconds` (what a step of each takes, and holds; for a machine that has nothing else to do).

Left out: runs with other batches or lengths; the lab itself, which draws the records (domain_STUDY.json).
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from random import Random
from statistics import median
from typing import Any

import torch

from lablib.adaptation.domain_methods import METHODS, prepared, recipe_of
from lablib.adaptation.domains import PHRASINGS, ShipsLog, knows
from lablib.adaptation.trainable import total, trainable, training_bytes
from lablib.architecture.decoder import CausalModel
from lablib.checkpoints import Carried, load
from lablib.corpus.scoring import wilson
from lablib.corpus.world import World, WorldDocument
from lablib.measure import peak_bytes
from lablib.pretraining import optimisers, study
from lablib.pretraining.batching import Batch
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.document_rows import DocumentRows, objective_batches
from lablib.pretraining.hardware import dtype_for
from lablib.pretraining.loss import quick_token_nats
from lablib.pretraining.objectives import NextToken
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.study import SEEDS, Study
from lablib.pretraining.training import backward, train
from lablib.pretraining.world_loss import END, gap
from lablib.tokens.tokenizer import Tokenizer

SIZE = 2000  # documents of the domain that a run reads again and again
JUDGED = 400  # documents that it is judged on, of the domain and of the world
POINTS = 40  # of a run's curve
WARM, TIMED = 3, 10  # steps of a run that is timed: the first ones do not count
# methods whose rate is looked for; the others take that of the one they resemble
RATED = (
    "from scratch",
    "continued pre-training",
    "full tuning",
    "lora r=1",
    "lora r=4",
    "lora r=16",
    "lora r=4, new words",
    "bottleneck r=16",
    "prompt P=32",
    "prefix P=32",
    "prefix P=32, reparametrised",
    "biases",
    "norms",
)


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Attributes:
        label: what sets it apart from the others. method: a name in `METHODS`, or "base": not trained at all.
        seed: of the documents, their order, and first weights. documents: how many it reads.
        lr, steps: of the optimiser, updates of the weights; None: the method's own.
        judged: a name for the documents that it is judged on; "": its steps are timed, and nothing is judged.
    """

    label: str
    method: str
    seed: int
    documents: int = SIZE
    lr: float | None = None
    judged: str = "the domain is judged on"
    steps: int | None = None


def rates(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """Each method of `RATED` at its rate, at three times that, and at a third; one seed."""
    for method in RATED:
        for factor in (1.0, 3.0, 1 / 3):
            lr = float(f"{METHODS[method].lr * factor:.1g}")
            yield Run(f"{method}, lr={lr:g}", method, max(seeds) + 1, lr=lr, judged="rates are chosen on")


def chosen(rows: Sequence[dict[str, Any]], close: float = 0.05) -> dict[str, float]:
    """Of each method the smallest rate whose loss on the domain is within so many nats of its best: a smaller one forgets less.

    >>> losses = {0.001: 0.13, 0.003: 0.06, 0.009: 0.05}
    >>> chosen([{"method": "full tuning", "lr": lr, "domain_loss": loss} for lr, loss in losses.items()])
    {'full tuning': 0.003}
    """
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        found.setdefault(row["method"], {})[row["lr"]] = row["domain_loss"]
    return {
        method: min(lr for lr, loss in losses.items() if loss <= min(losses.values()) + close)
        for method, losses in found.items()
    }


def methods(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """The table: the base model, and every method."""
    for seed in seeds:
        yield Run("base", "base", seed)
        for method in METHODS:
            yield Run(method, method, seed)


def seconds(seeds: Sequence[int] = SEEDS) -> Iterator[Run]:
    """What does a step take and hold? All methods in turn, so that a slow minute of the machine does not fall on one of them alone."""
    for seed in seeds:
        for method in METHODS:
            yield Run(method, method, seed, judged="", steps=WARM + TIMED)


STUDIES: dict[str, Callable[[Sequence[int]], Iterator[Run]]] = {
    "rates": rates,
    "methods": methods,
    "seconds": seconds,
}

# ---------------------------------------------------------------- how a run is made


def rows_of(
    tokenizer: Tokenizer, recipe: Recipe, documents: int = SIZE, replay: float = 0.0, seed: int = 0
) -> Callable[[int], Batch]:
    """The batches of a run: a set of the domain's documents, and for replay of the world's, each a row.

    Args: documents: of the domain. replay: share of all documents that are the world's.
    """
    if not 0 <= replay < 1:
        raise ValueError(f"replay = {replay!r}: expected a share of the documents, at least 0 and below 1")
    end = tokenizer.special[END]
    others = round(documents * replay / (1 - replay))
    texts = [d.text for d in islice(ShipsLog().documents(Random(f"domain {seed}")), documents)]
    texts += [d.text for d in islice(World().documents(Random(f"replay {seed}")), others)]
    encoded = [[end, *tokenizer.encode(text), end][: recipe.context + 1] for text in texts]
    pad = tokenizer.special["<|pad|>"]
    rows = DocumentRows(encoded, min(recipe.batch, len(encoded)), pad, seed, multiple=32)
    return objective_batches(rows, NextToken(pad), seed)


def step_bytes(model: CausalModel, batch: Batch, recipe: Recipe) -> int:
    """The most memory that one step's tensors hold at a time, gradients and Adam's running means among them, in bytes.

    The model is used up by it: give a copy, or one that is not needed any more. Its own weights do not count.
    """
    model.train()
    made = optimisers.make(model, recipe)

    def step() -> None:
        backward(model, batch, batch.tokens, recipe, quick_token_nats)
        for optimiser in made:
            optimiser.step()

    return peak_bytes(step)


def perform(run: Run, base: Carried) -> dict[str, Any]:
    """Train and judge: what a run adds to its settings. A run that diverges is judged with its last weights that had a finite loss."""
    if not run.judged:
        return step_seconds(run, base)
    tokenizer, curve, recent = base.tokenizer, [], []
    model: CausalModel = base.model
    diverged, row = "", {}
    if run.method != "base":
        own, recipe = METHODS[run.method], recipe_of(run.method, run.seed, run.lr, run.steps)
        batches = rows_of(tokenizer, recipe, run.documents, own.replay, run.seed)
        model = prepared(base.model, tokenizer, run.method, run.seed).to(local_device())
        row = {
            "family": own.family,
            "trainable": trainable(model),
            "total": total(model),
            "held_bytes": training_bytes(model),
        }
        try:
            for step in train(model, batches, recipe, loss=quick_token_nats):
                recent.append(step.loss)
                if step.step * POINTS // recipe.steps != (step.step - 1) * POINTS // recipe.steps:
                    curve.append([step.step, round(sum(recent) / len(recent), 4)])
                    recent.clear()
            row["tokens"] = step.tokens
        except Diverged as error:
            diverged = str(error).split(";")[0]
    row |= {"diverged": diverged, **judge(model.eval(), tokenizer, run.judged)}
    return {**row, "curve": curve}


def step_seconds(run: Run, base: Carried) -> dict[str, Any]:
    """The median seconds of a step, and what they are the median of; the bytes that are held between two steps, and within one."""
    recipe, tokenizer = recipe_of(run.method, run.seed, run.lr, run.steps), base.tokenizer
    batches = rows_of(tokenizer, recipe, run.documents, METHODS[run.method].replay, run.seed)
    first = rows_of(tokenizer, recipe, run.documents, 0.0, run.seed)(0)  # the same for all methods of a seed
    held = step_bytes(prepared(base.model, tokenizer, run.method, run.seed), first, recipe)
    model = prepared(base.model, tokenizer, run.method, run.seed).to(local_device())
    took = [step.seconds for step in train(model, batches, recipe, loss=quick_token_nats)][WARM:]
    return {
        "dtype": dtype_for(local_device(), recipe.dtype),
        "held_bytes": training_bytes(model),
        "step_bytes": held,
        "step_seconds": round(median(took), 5),
        "took": [round(one, 5) for one in took],
    }


def judge(model: CausalModel, tokenizer: Tokenizer, name: str) -> dict[str, Any]:
    """What a model knows of the domain, and what of the world. name: of the documents that are drawn."""
    log, T = ShipsLog(), model.sizes.context
    found: dict[str, Any] = {}
    drawn: dict[str, list[WorldDocument]] = {
        "domain": list(islice(log.documents(Random(name)), JUDGED)),
        "world": list(islice(World().documents(Random(name)), JUDGED)),
    }
    for of, documents in drawn.items():
        seen = gap(model, documents, tokenizer, T)
        found |= {
            f"{of}_loss": round(seen.loss, 5),
            f"{of}_floor": round(seen.floor, 5),
            f"{of}_excess_error": round(seen.excess_error, 5),
        }
    for phrasing in PHRASINGS:
        known = knows(model, tokenizer, log.questions(phrasing))
        found[f"facts_{phrasing}"] = {
            **asdict(known),
            "chance": round(known.chance, 4),
            "picked_95": [round(share, 4) for share in wilson(known.picked, known.questions)],
            "written_95": [round(share, 4) for share in wilson(known.written, known.questions)],
        }
    return found


def gain(row: dict[str, Any], base: dict[str, Any], full: dict[str, Any], key: str = "domain_loss") -> float:
    """What a method achieved of full tuning's gain over the base model, on a key whose smaller value is better: 1 is as much.

    >>> gain({"domain_loss": 1.2}, {"domain_loss": 3.0}, {"domain_loss": 1.0})
    0.9
    """
    possible = base[key] - full[key]
    if not possible > 0:
        raise ValueError(f"{key}: base {base[key]}, full {full[key]}: expected that full tuning gained something")
    return round((base[key] - row[key]) / possible, 12)


# ---------------------------------------------------------------- the command


def settings_of(run: Run, base: Carried) -> dict[str, Any]:
    """What decides how a run goes and how it is judged, as the file has it."""
    recipe = None if run.method == "base" else asdict(recipe_of(run.method, run.seed, run.lr, run.steps))
    about = {"recipe": recipe, "judged_documents": JUDGED, "threads": torch.get_num_threads()}
    return json.loads(json.dumps({**asdict(run), **about, "base": base.record.get("command")}))


def said(row: Mapping[str, Any]) -> str:
    """A run in a few words."""
    if "step_seconds" in row:
        return f"{1e3 * row['step_seconds']:.0f} ms a step"
    above, facts = row["domain_loss"] - row["domain_floor"], row["facts_held_out"]
    share = facts["picked"] / facts["questions"]
    return f"{above:.3f} above the floor, facts {share:.2f}, world {row['world_loss']:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see `study`."""
    module, about = "lablib.adaptation.domain_study", "Ways to learn a domain, compared."
    make = Study("domain", module, about, STUDIES, lambda: load("base"), perform, settings_of, said)
    return study.main(make, arguments)


if __name__ == "__main__":
    sys.exit(main())
