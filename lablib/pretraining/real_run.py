"""The real run: millions of parameters, text from the hub, one GPU, and as many minutes as you give it. One command, or three calls:

    python -m lablib.pretraining.real_run --source tinystories --minutes 20 --parameters 25e6 --folder run

    run = prepare(Settings(source="tinystories"), "run")   # text, tokenizer, shards; how fast this machine is; the plan
    for step in steps(run): ...                            # training, from the latest checkpoint if there is one
    figures = finish(run)                                  # held-out loss, samples, speed, cost

A schedule of the learning rate must know its last step, and nobody knows beforehand how fast a machine is. So a few steps are taken and
timed, and thrown away; the minutes that are left make the number of steps, which is then written down (`plan.json`). Cut off and
called again with the same settings, the run keeps its plan and goes on from its last checkpoint.

The model is the course's decoder at the size that the dial gives, trained by Muon and AdamW under warm-up–stable–decay. Left out:
several GPUs (`command` has them), cleaning the text, choosing the learning rates by a sweep.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lablib.architecture.decoder import DecoderConfig
from lablib.corpus.sources import SourceUnavailable
from lablib.pretraining import flops, hardware
from lablib.pretraining.atomic import new_file
from lablib.pretraining.batching import Batches
from lablib.pretraining.dial import model_of
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.real_plan import (
    PLAN,
    Run,
    Settings,
    lengthened,
    measured,
    read_plan,
    started,
    write_plan,
)
from lablib.pretraining.real_report import figures_of
from lablib.pretraining.real_texts import begin, gather, open_texts
from lablib.pretraining.recipe import OPTIMISERS, Recipe
from lablib.pretraining.record import Step, to_jsonl
from lablib.pretraining.training import train

STEPS, REPORT = "steps.jsonl", "report.json"
TEXT_SHARE = 0.15  # of the minutes that may go into fetching text behind the first part
LAST_SHARE = 0.05  # of the minutes, kept for checkpoints and for what comes after the last step
SAVE_SECONDS = 120  # between two checkpoints: what a cut-off run loses at most
INTERRUPTED = 130  # the exit code that a shell expects after Ctrl-C


def prepare(settings: Settings, folder: str | Path, say: Callable[[str], None] = print) -> Run:
    """Text, tokenizer, shards, a timed beginning and a plan; what of it lies in the folder already is used.

    Args:
        say: is told what happens, a line at a time.

    Raises:
        ValueError: settings that make no run, or a folder with another run.
        OSError: the folder cannot be written. SourceUnavailable: the files that were given cannot be read here.
    """
    start, folder = time.monotonic(), Path(folder)
    device = local_device()
    name, dtype = hardware.name_of(device), settings.dtype or hardware.best_dtype(device)
    compiled = device.type == "cuda" if settings.compile is None else settings.compile
    found = read_plan(folder, settings)
    if found is not None:
        texts = open_texts(folder)
        config = DecoderConfig(**found["model"])
        recipe = Recipe.from_dict(found["recipe"])
        if settings.compile is None:
            compiled = compiled and recipe.compile  # it may have been found not to work
        recipe = dataclasses.replace(recipe, dtype=dtype, compile=compiled)
        say(f"{folder / PLAN} has a plan of {recipe.steps:,} steps: going on with it")
        prepared, every = float(found["prepared"]), int(found["every"])
        model = started(config, settings.seed, device)
    else:
        model_of(
            settings.parameters, settings.V, settings.context
        )  # is there such a size? Said before any text is read
        texts, reading = begin(folder, settings.source, settings.files, settings.V, settings.first_part, say)
        say(f"{texts.tokens:,} tokens of {texts.state.source}, vocabulary {texts.tokenizer.V:,}")
        say(f"timing a few steps on {name}, {dtype}")
        timing = measured(settings, texts, dtype, compiled, device, say)
        seconds = 60 * settings.minutes
        spent = time.monotonic() - start
        if settings.steps is None:
            wanted = int(timing.tokens_per_second * max(0.0, seconds * (1 - LAST_SHARE) - spent)) + 1
            texts = gather(texts, reading, wanted, seconds * TEXT_SHARE)
        left = seconds * (1 - LAST_SHARE) - (time.monotonic() - start)
        recipe = lengthened(settings, texts, timing, left, say)
        config, model = timing.model.config, timing.model
        every = max(1, round(SAVE_SECONDS / (recipe.batch * recipe.context / timing.tokens_per_second)))
        prepared = time.monotonic() - start
        write_plan(folder, settings, config, recipe, every, prepared)
    rows = f"{recipe.steps:,} steps of {recipe.batch} x {recipe.context} tokens in {recipe.accumulation} parts"
    say(f"{config.parameters:,} parameters, {rows}, {texts.tokens:,} different tokens; {name}, {recipe.dtype}")
    if texts.state.ended:
        say(f"text: {texts.state.ended}")
    peak = hardware.peak(name, recipe.dtype)
    return Run(folder, settings, texts, config, recipe, every, model, prepared, name, peak)


def steps(run: Run, every: int | None = None) -> Iterator[Step]:
    """Train, from the latest checkpoint in the run's folder; see `training.train`. Each step is also a line of `steps.jsonl`.

    every: steps between two checkpoints; None: those of two minutes.
    """
    batches = Batches(run.texts.train, run.recipe.context, run.recipe.batch, run.recipe.seed)
    data = [shard.sha256 for shard in run.texts.train]
    going = train(
        run.model,
        batches,
        run.recipe,
        folder=run.folder,
        every=every or run.every,
        settings={"model": asdict(run.config), "data": data},
        flops=flops.per_token(run.config, run.recipe.context),
        peak=run.peak,
    )
    return to_jsonl(going, run.folder / STEPS)


def finish(run: Run, price: float | None = None) -> dict[str, Any]:
    """Every figure of a finished run, which is also saved as `report.json`, and the model for `transformers` as `model/`.

    Args:
        price: of an hour of this machine, in any currency; None: no cost is given.

    Raises:
        ValueError: the run is not finished.
    """
    figures = figures_of(run, run.folder / STEPS, price)
    figures = {"run": asdict(run.settings), **figures}
    with new_file(run.folder / REPORT) as file:
        file.write((json.dumps(figures, indent=1) + "\n").encode())
    return figures


# ---------------------------------------------------------------- the command


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        prog="python -m lablib.pretraining.real_run",
        description="Train a language model on real text for so many minutes, or go on with a run that was cut off.",
    )
    made.add_argument("--folder", type=Path, required=True, help="where the run is kept, and found again")
    made.add_argument(
        "--source", default=None, help="of the text: tinystories, fineweb-edu, …, crawl, world, text (tinystories)"
    )
    made.add_argument(
        "--texts", nargs="+", default=(), metavar="FILE", help="files in the source's format; alone: plain text"
    )
    made.add_argument("--parameters", type=float, default=25e6, help="size of the model (25e6)")
    made.add_argument("--minutes", type=float, default=20.0, help="for everything together (20)")
    made.add_argument("--steps", type=int, help="so many steps, instead of what fits into the minutes")
    made.add_argument("--epochs", type=float, default=4.0, help="readings of the text at most (4)")
    made.add_argument("--vocabulary", type=int, default=8192, help="tokens (8192)")
    made.add_argument("--context", type=int, default=512, help="tokens in a row (512)")
    made.add_argument("--optimiser", choices=OPTIMISERS, default="muon", help="(muon)")
    made.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of the arithmetic (what the hardware computes well)"
    )
    made.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None, help="torch.compile (on a GPU)")
    made.add_argument(
        "--first", type=int, metavar="BYTES", help="of text, from which the tokenizer learns (1 MB a minute)"
    )
    made.add_argument("--every", type=int, help="steps between two checkpoints (those of two minutes)")
    made.add_argument("--price", type=float, help="of an hour of this machine, for the cost")
    made.add_argument("--seed", type=int, default=0, help="(0)")
    return made


def settings_of(given: argparse.Namespace) -> Settings:
    """The settings that a command line gives."""
    source = given.source or ("text" if given.texts else "tinystories")
    return Settings(
        source, tuple(given.texts), given.parameters, given.vocabulary, given.context, given.minutes, given.steps,
        given.epochs, given.optimiser, given.dtype, given.compile, given.first, given.seed,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 when the run is finished, 1 when the loss became no number, 2 for wrong input, 130 after Ctrl-C.

    Its last line is JSON, with every figure.
    """
    made = parser()
    given = made.parse_args(arguments)
    try:
        hardware.cost(0, given.price)
        run = prepare(settings_of(given), given.folder, lambda line: print(line, flush=True))
        said = 0.0
        for step in steps(run, given.every):
            if step.stopped:
                print("stopped by Ctrl-C; the same command goes on from here")
                return INTERRUPTED
            if time.monotonic() - said > 10 or step.step == run.recipe.steps:
                said, of_peak = time.monotonic(), "" if step.mfu is None else f", {step.mfu:.1%} of peak"
                line = f"step {step.step:>6}/{run.recipe.steps:,}  loss {step.loss:.4f}  {step.tokens_per_second:>9,.0f} tokens/s"
                print(line + of_peak, flush=True)
        print(json.dumps(finish(run, given.price)))
        return 0
    except Diverged as error:
        print(f"the run diverged: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, SourceUnavailable) as error:
        print(f"{made.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
