"""The model that the course carries: pre-trained on the world, from nothing, by the loop of lab 07.

    lab train base

It takes about an hour on two CPU cores and writes a folder that `lablib.checkpoints.load("base")` and `transformers` read, with
record.json: settings, seconds and what was measured at the end. Given again after a crash or Ctrl-C, it goes on from its last checkpoint.

Muon, since in an hour it gets much nearer to the floor than AdamW; output matrices that start at zero; a rate that stays at its top and
falls to zero in the second half. The shape is a plain Llama's, so `transformers` can load it. Its size is what the later labs can
afford, which go on training it for minutes.

Left out: text other than the world's. The model's vocabulary could write it, and lab 07 trains another one on real text.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama
from lablib.checkpoints import RECORD, own_path
from lablib.corpus.scoring import wilson
from lablib.corpus.world import World
from lablib.pretraining import atomic
from lablib.pretraining.checkpoint import latest
from lablib.pretraining.command import INTERRUPTED, with_settings
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.experiments import hardware
from lablib.pretraining.generation import generate
from lablib.pretraining.ingredients import build
from lablib.pretraining.loss import quick_token_nats
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import read_jsonl, to_jsonl
from lablib.pretraining.sampling import Sampling
from lablib.pretraining.training import train
from lablib.pretraining.world_loss import END, by_kind, gap
from lablib.pretraining.world_rows import WorldRows
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

MODEL = DecoderConfig(V=course_tokenizer.SIZE, D=256, H=4, L=4, hidden=688, context=256)
RECIPE = Recipe(
    steps=12_000,
    batch=16,
    context=256,
    optimiser="muon",
    lr=3e-3,
    muon_lr=0.02,
    weight_decay=0.01,
    schedule="wsd",
    warmup=0.02,
    decay=0.5,
    floor=0.0,
    dtype="auto",
)
STORIES, BEGUN = 500, 4  # stories that the model writes for its record; tokens of each that are given to it
MOST = 200  # tokens of the longest document; none of the world's is longer


def steps_of(
    run: Path, tokenizer: Tokenizer, config: DecoderConfig = MODEL, recipe: Recipe = RECIPE, every: int = 250
) -> Any:
    """The steps of the run that is kept in the folder `run`, from its last checkpoint on."""
    model = build(config, zero_init=True, generator=torch.Generator().manual_seed(recipe.seed)).to(local_device())
    rows = WorldRows(tokenizer, recipe.context, recipe.batch, recipe.seed)
    settings = {"model": asdict(config)}
    return train(model, rows, recipe, loss=quick_token_nats, folder=run, every=every, settings=settings)


def measure(model: Decoder, tokenizer: Tokenizer, documents: int = 2000, stories: int = STORIES) -> dict[str, Any]:
    """What the model knows of the world and how it writes, in figures.

    Args: documents: fresh ones that the loss is measured on. stories: that it writes.
    """
    world, T = World(), model.config.context
    fresh = list(islice(world.documents(Random("the base model is judged on")), documents))
    seen = gap(model, fresh, tokenizer, T)
    kinds = {kind: round(found.share, 4) for kind, found in by_kind(model, fresh, tokenizer, T).items()}
    others = list(islice(world.documents(Random("combinations"), "held_out"), documents // 4))
    # The model cannot know which combinations were kept from it: the floor is that of the whole world.
    others = [dataclasses.replace(d, log_prob=world.log_prob(d.text, "all")) for d in others]
    new = gap(model, others, tokenizer, T)
    return {
        "loss": round(seen.loss, 5),
        "floor": round(seen.floor, 5),
        "above_floor": round(seen.share, 5),
        "above_floor_error": round(seen.excess_error / seen.floor, 5),
        "above_floor_by_kind": kinds,
        "above_floor_on_held_out_combinations": round(new.share, 5),
        "stories": written(model, tokenizer, begun(world, tokenizer, stories), Sampling()),
        "stories_top_p_0.95": written(model, tokenizer, begun(world, tokenizer, stories), Sampling(top_p=0.95)),
        "stories_temperature_0.5": written(model, tokenizer, begun(world, tokenizer, stories), Sampling(0.5)),
        "documents": written(model, tokenizer, [[tokenizer.special[END]]] * stories, Sampling()),
    }


def begun(world: World, tokenizer: Tokenizer, n: int) -> list[list[int]]:
    """The beginnings of n fresh stories: `<|bos|>` and their first tokens."""
    stories = islice(world.documents(Random("stories to go on with"), kinds=["story"]), n)
    return [[tokenizer.special[END], *tokenizer.encode(story.text)[:BEGUN]] for story in stories]


def written(
    model: Decoder, tokenizer: Tokenizer, prompts: Sequence[Sequence[int]], sampling: Sampling
) -> dict[str, Any]:
    """How many of the texts that the model writes behind the prompts are right from their first word to their last.

    *Right* is a text of gold quality 1: every sentence grammatical, consistent with the world and with those before it, in its place.
    """
    end, world, generator = tokenizer.special[END], World(), torch.Generator().manual_seed(0)
    found = generate(model, prompts, MOST, sampling, generator, stop=[end])
    texts = [tokenizer.decode([*p[1:], *row]) for p, row in zip(prompts, found.rows, strict=True)]
    scores = [world.gold_quality(text) if why == "stop" else 0.0 for text, why in zip(texts, found.ended, strict=True)]
    right = sum(score == 1.0 for score in scores)
    low, high = wilson(right, len(scores))
    return {
        "n": len(scores),
        "right": right,
        "share": round(right / len(scores), 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "mean_quality": round(math.fsum(scores) / len(scores), 4),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }


def record_of(
    run: Path, model: Decoder, tokenizer: Tokenizer, recipe: Recipe, changed: Sequence[str]
) -> dict[str, Any]:
    """Everything that record.json says; changed: what the command line said of settings."""
    steps = read_jsonl(run / "steps.jsonl")
    return {
        "name": "base",
        "command": " ".join(["lab train base", *changed]),
        "hardware": hardware(),
        "model": asdict(model.config),
        "parameters": model.config.parameters,
        "recipe": asdict(recipe),
        "data": "documents of the world's training split, drawn anew for each step",
        "tokens": steps[-1].tokens,
        "seconds": round(math.fsum(step.seconds for step in steps)),
        "tokens_per_second": round(median(step.tokens_per_second for step in steps)),
        **measure(model, tokenizer),
        "curve": [
            [s.tokens, round(math.fsum(x.loss for x in steps[max(0, i - 49) : i + 1]) / min(50, i + 1), 4)]
            for i, s in enumerate(steps)
            if s.step % 250 == 0
        ],
    }


def save(model: Decoder, folder: Path, tokenizer: Tokenizer, record: dict[str, Any]) -> None:
    """Write the folder that `lablib.checkpoints.load` reads; the weights in float16."""
    special = tokenizer.special
    save_llama(model, folder, torch.float16, bos=special[END], eos=special[END], pad=special["<|pad|>"])
    atomic.write(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.pretraining.base") -> int:
    """The command: 0 when the model was written, 1 when the loss became no number, 2 for wrong input, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=prog, description="Pre-train the model that the later labs start from.")
    parser.add_argument("--folder", type=Path, help="where the model goes (where the later labs look for your own)")
    parser.add_argument("--run", type=Path, help="where the run is kept, and found again (FOLDER-run)")
    parser.add_argument(
        "--model", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the model, such as L=4"
    )
    parser.add_argument("--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="such as steps=500 dtype=float32")
    given = parser.parse_args(arguments)
    folder: Path = given.folder or own_path("base")
    run: Path = given.run or folder.with_name(folder.name + "-run")
    changed = [
        word for name in ("model", "recipe") if getattr(given, name) for word in (f"--{name}", *getattr(given, name))
    ]
    recent: deque[float] = deque(maxlen=50)  # seconds of a step
    try:
        config, recipe = with_settings(MODEL, given.model), with_settings(RECIPE, given.recipe)
        tokenizer = course_tokenizer.load()
        print(f"{config.parameters:,} parameters, {recipe.steps:,} steps of {recipe.batch} x {recipe.context} tokens")
        for step in to_jsonl(steps_of(run, tokenizer, config, recipe), run / "steps.jsonl"):
            recent.append(step.seconds)
            if step.step % 50 == 0 or step.stopped:
                left = (recipe.steps - step.step) * median(recent) / 60
                print(f"step {step.step:>6}  loss {step.loss:.4f}  {left:5.1f} minutes left", flush=True)
            if step.stopped:
                print("stopped by Ctrl-C; the same command goes on from here")
                return INTERRUPTED
        found = latest(run)
        assert found is not None, "train writes a checkpoint at the end"
        model = Decoder(config)
        model.load_state_dict({name: weight.half().float() for name, weight in found.weights.items()})  # as in the file
        record = record_of(run, model.eval(), tokenizer, recipe, changed)
        save(model, folder, tokenizer, record)
    except Diverged as error:
        print(f"the run diverged: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    shown = {name: record[name] for name in ("seconds", "loss", "floor", "above_floor")}
    print(f"{folder}: {shown}, right stories {record['stories']['right']} of {record['stories']['n']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
