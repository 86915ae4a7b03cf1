"""The runs behind lab 07's figures that take longer than a lab: many sizes, rates and seeds, once, with everything that decided them.

    python -m lablib.pretraining.experiments learning_rate blocks ingredients scaling --folder data/experiments --processes 2

Each run trains a fresh model on documents of the world and is judged on others, drawn apart, beside their exact floor
(`world_loss.gap`). A short text may be drawn twice: of the judged documents about one in sixteen stands among 4 million tokens, too. They
are not thrown out, for then the floor would be that of another distribution.

Nothing else differs between the runs of an experiment than what their labels say. The file can be made again on any machine: it holds every
setting and seed. Numbers then differ in the last digits, and by more where a run is at the edge of diverging.

Left out: choosing settings for the carried model (`base` says what it takes and why).
"""

import argparse
import concurrent.futures
import json
import math
import multiprocessing
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch

from lablib.architecture.decoder import CausalModel, DecoderConfig
from lablib.architecture.gpt2 import GPT2, GPT2Config
from lablib.corpus.world import World, WorldDocument
from lablib.pretraining import flops
from lablib.pretraining.atomic import new_file
from lablib.pretraining.batching import Batches
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.ingredients import build
from lablib.pretraining.loss import quick_token_nats
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.shards import Shard, open_shard, write_texts
from lablib.pretraining.training import train
from lablib.pretraining.world_loss import END, gap
from lablib.tokens import course_tokenizer

POINTS = 40  # of a run's curve
HELD_OUT = 1000  # documents that a run is judged on


@dataclass(frozen=True)
class Run:
    """One training run of an experiment.

    Attributes:
        label: what sets it apart from the others; seed: of its weights and the order of its data.
        model: a `DecoderConfig`, or a `GPT2Config` for the block of GPT-2. recipe: how it is trained.
        with_: ingredients beyond the Llama block, as `ingredients.build` names them.
    """

    label: str
    seed: int
    model: DecoderConfig | GPT2Config
    recipe: Recipe
    with_: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Predictions that it learns from."""
        return self.recipe.steps * self.recipe.batch * self.recipe.context

    def build(self) -> CausalModel:
        """The model with its first weights."""
        generator = torch.Generator().manual_seed(self.seed)
        if isinstance(self.model, GPT2Config):
            return GPT2(self.model, generator=generator)
        return build(self.model, **dict.fromkeys(self.with_, True), generator=generator)


# ---------------------------------------------------------------- what is compared

V = course_tokenizer.SIZE
SMALL = DecoderConfig(V=V, D=96, H=3, L=4, hidden=256, context=128)  # 0.8M parameters
SMALL_GPT2 = GPT2Config(V=V, D=96, H=3, L=4, hidden=384, context=128)
ADAMW = Recipe(
    steps=488, batch=16, context=128, optimiser="adamw", lr=3e-3, weight_decay=0.1, schedule="cosine", dtype="auto"
)
MUON = replace(ADAMW, optimiser="muon", lr=3e-3, muon_lr=0.02, weight_decay=0.01)
LIKE_BASE = replace(MUON, context=256, schedule="wsd", decay=0.5, floor=0.0)
SEEDS = (0, 1, 2)


def learning_rate() -> Iterator[Run]:
    """The same model with AdamW and with Muon, from rates too small to rates too large: 1M tokens each."""
    for seed in SEEDS:
        for lr in (3e-4, 1e-3, 3e-3, 6e-3, 1e-2, 3e-2, 1e-1):
            yield Run(f"adamw lr={lr:g}", seed, SMALL, replace(ADAMW, lr=lr, seed=seed))
        for lr in (2e-3, 5e-3, 1e-2, 2e-2, 4e-2, 1e-1, 3e-1):
            yield Run(f"muon lr={lr:g}", seed, SMALL, replace(MUON, muon_lr=lr, seed=seed))


def blocks() -> Iterator[Run]:
    """The block of GPT-2 and that of Llama, each with both optimisers at three rates: 1M tokens each."""
    for seed in SEEDS:
        for name, model in (("llama", SMALL), ("gpt2", SMALL_GPT2)):
            for lr in (1e-3, 3e-3, 1e-2):
                yield Run(f"{name} adamw lr={lr:g}", seed, model, replace(ADAMW, lr=lr, seed=seed))
            for lr in (0.01, 0.02, 0.04):
                yield Run(f"{name} muon lr={lr:g}", seed, model, replace(MUON, muon_lr=lr, seed=seed))


def ingredients() -> Iterator[Run]:
    """Which ingredient earns its place? All of them, all but one, none, none and one: 1M tokens each."""
    inside = ("qk_norm", "zero_init", "relu2")

    def run(label: str, seed: int, chosen: set[str]) -> Run:
        recipe = MUON if "muon" in chosen else ADAMW
        if "wsd" in chosen:
            recipe = replace(recipe, schedule="wsd", decay=0.4, floor=0.0)
        return Run(label, seed, SMALL, replace(recipe, seed=seed), tuple(name for name in inside if name in chosen))

    names = ("muon", *inside, "wsd")
    for seed in SEEDS:
        yield run("all", seed, set(names))
        yield run("none", seed, set())
        for name in names:
            yield run(f"all without {name}", seed, set(names) - {name})
            yield run(f"none with {name}", seed, {name})


def scaling() -> Iterator[Run]:
    """Six sizes, three lengths of training: the loss as a function of parameters and tokens. Two lengths could not tell E from B/D^β.

    Recipe and first weights are those of the carried model (`base`) but for a longer warm-up, so that the law may be asked what that model
    should reach.
    """
    shapes = ((32, 2, 2), (48, 2, 3), (64, 4, 4), (96, 4, 4), (128, 4, 5), (192, 6, 6))  # D, H, L
    for steps in (976, 305, 98):  # 4, 1.2 and 0.4 million tokens
        for seed in SEEDS:
            for D, H, L in reversed(shapes):
                model = DecoderConfig(V=V, D=D, H=H, L=L, hidden=8 * math.ceil(D / 3), context=256)
                recipe = replace(LIKE_BASE, steps=steps, seed=seed)
                yield Run(f"D={D} L={L} tokens={steps * 4096 / 1e6:.1f}M", seed, model, recipe, ("zero_init",))


EXPERIMENTS: dict[str, Callable[[], Iterator[Run]]] = {
    "learning_rate": learning_rate,
    "blocks": blocks,
    "ingredients": ingredients,
    "scaling": scaling,
}

# ---------------------------------------------------------------- how a run is made


def world_shard(path: Path, tokens: int, seed: int = 0) -> Shard:
    """Documents of the world's training split, at least so many tokens of them, as a shard at `path`."""
    tokenizer, needed = course_tokenizer.load(), tokens + 1

    def texts() -> Iterator[str]:
        written = 1
        for document in World().documents(Random(f"training {seed}")):
            if written >= needed:
                return
            written += len(tokenizer.encode(document.text)) + 1
            yield document.text

    return write_texts(path, texts(), tokenizer.encode, tokenizer.V, tokenizer.special[END])


def judged_on(n: int = HELD_OUT) -> list[WorldDocument]:
    """Documents drawn apart from all that runs are trained on, from the same distribution, whose floor is exact."""
    return list(islice(World().documents(Random("held out")), n))


def perform(run: Run, shards: Sequence[Shard], documents: Sequence[WorldDocument]) -> dict[str, Any]:
    """Train and judge: a row of the record. A run that diverges has a loss of None, and its curve as far as it came."""
    tokenizer, begin = course_tokenizer.load(), time.perf_counter()
    model = run.build().to(local_device())
    batches = Batches(shards, run.recipe.context, run.recipe.batch, run.recipe.seed)
    curve: list[list[float]] = []
    recent: list[float] = []
    diverged = ""
    try:
        for step in train(model, batches, run.recipe, loss=quick_token_nats):
            recent.append(step.loss)
            if step.step * POINTS // run.recipe.steps != (step.step - 1) * POINTS // run.recipe.steps:
                curve.append([step.tokens, round(sum(recent) / len(recent), 5)])
                recent.clear()
    except Diverged as error:
        diverged = str(error).split(";")[0]
    seconds = time.perf_counter() - begin
    seen = gap(model.eval(), documents, tokenizer, T=run.model.context)
    parameters = sum(weight.numel() for weight in model.parameters())
    loss = None if diverged or not math.isfinite(seen.loss) else round(seen.loss, 5)
    return {
        "label": run.label,
        "seed": run.seed,
        "model": asdict(run.model),
        "with": list(run.with_),
        "recipe": asdict(run.recipe),
        "parameters": parameters,
        "matrices": sum(
            w.numel() for name, w in model.named_parameters() if name.startswith("layers.") and w.dim() > 1
        ),
        "flops": flops.whole_run(parameters, run.tokens),
        "tokens": run.tokens,
        "seconds": round(seconds, 1),
        "loss": loss,
        "floor": round(seen.floor, 5),
        "excess_error": round(seen.excess_error, 5) if loss is not None else None,
        "diverged": diverged,
        "curve": curve,
    }


def hardware() -> str:
    """What the runs are made on, in words; of a CPU the vector units that PyTorch uses, since they decide how sums are rounded."""
    device, cpu = local_device(), f"{platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()})"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return f"{name}, torch {torch.__version__}, Python {platform.python_version()}"


_SHARED: list[Any] = []  # shards and documents of a worker process


def _begin(paths: Sequence[Path], threads: int) -> None:
    torch.set_num_threads(threads)
    _SHARED[:] = [[open_shard(path, verify=False) for path in paths], judged_on()]


def _work(run: Run) -> dict[str, Any]:
    return perform(run, *_SHARED)


def perform_all(
    runs: Sequence[Run], paths: Sequence[Path], processes: int = 1, seconds: float = math.inf
) -> Iterator[dict[str, Any]]:
    """The rows of several runs, as they are done, by some processes side by side; after so many seconds what is not done is left.

    Args: paths: of the shards.
    """
    end = time.monotonic() + seconds
    threads = torch.get_num_threads() if processes == 1 else max(1, torch.get_num_threads() // processes)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context, _begin, (list(paths), threads)) as pool:
        waiting = [pool.submit(_work, run) for run in runs]
        try:
            left = None if math.isinf(end) else max(0.0, end - time.monotonic())
            for done in concurrent.futures.as_completed(waiting, timeout=left):
                yield done.result()
        except TimeoutError:
            print(f"time is up: {sum(not f.done() for f in waiting)} runs are left", file=sys.stderr)
        finally:
            for worker in list((pool._processes or {}).values()) if any(not f.done() for f in waiting) else []:
                worker.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def same_run(run: Run) -> tuple[Any, ...]:
    """What decides how a run goes; its label does not."""
    return run.seed, run.model, run.recipe, run.with_


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the records were written. A run that several experiments have in common is made once."""
    parser = argparse.ArgumentParser(
        prog="python -m lablib.pretraining.experiments", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "experiments", nargs="+", choices=EXPERIMENTS, metavar="EXPERIMENT", help=", ".join(EXPERIMENTS)
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the records go, EXPERIMENT.json each")
    parser.add_argument("--processes", type=int, default=1, help="runs side by side (1)")
    parser.add_argument("--only", help="runs whose label contains this; others stay as they are")
    given = parser.parse_args(arguments)
    wanted = {
        name: [run for run in EXPERIMENTS[name]() if given.only is None or given.only in run.label]
        for name in given.experiments
    }
    runs = list({same_run(run): run for of in wanted.values() for run in reversed(of)}.values())
    if not all(wanted.values()) or given.processes < 1:
        print(f"--only {given.only!r}, --processes {given.processes}: no run is left to make", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        shard = world_shard(Path(folder) / "train.bin", max(run.tokens for run in runs))
        made: dict[tuple[str, int], dict[str, Any]] = {}
        for row in perform_all(sorted(runs, key=lambda run: -run.tokens), [shard.path], given.processes):
            made[row["label"], row["seed"]] = row
            print(f"{len(made)}/{len(runs)}  {row['label']} seed {row['seed']}: loss {row['loss']}", flush=True)
    rows = {same_run(run): made[run.label, run.seed] for run in runs}
    for name, of in wanted.items():
        path = given.folder / f"{name}.json"
        made_by = f"python -m lablib.pretraining.experiments {name} --folder data/experiments"
        there = json.loads(path.read_text(encoding="utf-8"))["runs"] if given.only is not None and path.exists() else []
        known = {(row["label"], row["seed"]): row for row in there}
        known |= {(run.label, run.seed): {**rows[same_run(run)], "label": run.label} for run in of}
        order = [(run.label, run.seed) for run in EXPERIMENTS[name]()]
        write(given.folder, name, made_by, [known[run] for run in order if run in known])
    return 0


def write(folder: Path, experiment: str, command: str, rows: Sequence[dict[str, Any]]) -> None:
    """The record of an experiment, folder/EXPERIMENT.json: one run a line.

    Args: command: what makes it again.
    """
    record = {"experiment": experiment, "command": command, "hardware": hardware(), "runs": []}
    folder.mkdir(parents=True, exist_ok=True)
    with new_file(folder / f"{experiment}.json") as file:
        head = json.dumps(record, indent=1)[: -len("[]\n}")]
        file.write((head + "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n").encode())


if __name__ == "__main__":
    sys.exit(main())
