"""Pre-training as a command, for one process or for those that `torchrun` starts:

    python -m lablib.pretraining.command --train train.bin --held-out held_out.bin --folder run --parameters 3e6
    torchrun --nproc-per-node 2 -m lablib.pretraining.command --train train.bin --folder run --parameters 3e6 --processes fsdp

`--parameters` is the one dial (`dial.plan`); `--recipe` and `--model` take single settings away from it: `--recipe lr=3e-3 steps=500`.
Given the same command again, the run goes on from its latest checkpoint: after a crash, a full disk, Ctrl-C. So `torchrun
--max-restarts 3` needs nothing else. The folder then holds the checkpoints, `steps.jsonl` and `model/`, which `transformers` reads.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama
from lablib.pretraining import flops
from lablib.pretraining.batching import Batches
from lablib.pretraining.checkpoint import latest
from lablib.pretraining.dial import plan
from lablib.pretraining.distributed import KINDS, World, local_device, world
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.loss import evaluate
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import to_jsonl
from lablib.pretraining.shards import open_shard
from lablib.pretraining.training import train

INTERRUPTED = 130  # the exit code that a shell expects after Ctrl-C


def parser(prog: str = "python -m lablib.pretraining.command") -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(prog=prog, description="Pre-train a decoder on token shards, or go on with a run.")
    made.add_argument(
        "--train", type=Path, nargs="+", required=True, metavar="SHARD", help="token shards to learn from"
    )
    made.add_argument("--held-out", type=Path, metavar="SHARD", help="a token shard to evaluate on at the end")
    made.add_argument("--folder", type=Path, required=True, help="where the run is kept, and found again")
    made.add_argument("--parameters", type=float, default=3e6, help="size of the model; all else follows from it (3e6)")
    made.add_argument("--tokens-per-parameter", type=float, default=20.0, help="length of the run (20)")
    made.add_argument("--context", type=int, default=256, help="tokens in a row (256)")
    made.add_argument("--model", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the model, such as L=4")
    made.add_argument(
        "--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the run, such as lr=3e-3"
    )
    made.add_argument("--every", type=int, default=100, help="steps between two checkpoints (100)")
    made.add_argument("--keep", type=int, default=2, help="checkpoints that are kept (2)")
    made.add_argument("--processes", choices=KINDS, default="ddp", help="how several processes share the model (ddp)")
    made.add_argument(
        "--peak", type=float, help="of the hardware, FLOP/s of all processes together, for the utilisation"
    )
    made.add_argument("--print-every", type=int, default=10, help="steps between two printed lines (10)")
    return made


def with_settings(config: Any, given: Sequence[str]) -> Any:
    """A frozen config with some settings replaced, each given as "name=value".

    Raises:
        ValueError: a name that it does not have, or a value that is no number, true, false, null or word.

    >>> with_settings(Recipe(steps=10, batch=8, context=16), ["lr=0.01", "optimiser=muon"]).optimiser
    'muon'
    """
    known = [field.name for field in dataclasses.fields(config)]
    changes = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if name not in known or not equals:
            raise ValueError(f"setting {setting!r}: expected NAME=VALUE with one of {', '.join(known)}")
        try:
            changes[name] = json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
        except ValueError:
            changes[name] = value  # a word, such as muon
        if isinstance(getattr(config, name), bool) and not isinstance(changes[name], bool):
            raise ValueError(f"setting {setting!r}: expected {name}=true or {name}=false")
    try:
        return dataclasses.replace(config, **changes)
    except TypeError as error:
        raise ValueError(f"settings {list(given)}: {error}") from None


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.pretraining.command") -> int:
    """The command: 0 when the run is finished, 1 when the loss became no number, 2 for wrong input, 130 after Ctrl-C."""
    given = parser(prog).parse_args(arguments)
    try:
        with world(given.processes) as processes:
            return pretrain(given, processes)
    except Diverged as error:
        print(f"the run diverged: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def pretrain(given: argparse.Namespace, processes: World) -> int:
    """Train, evaluate and save, in each of the processes; the exit code."""
    V = open_shard(given.train[0], verify=False).V
    # Reading a shard to its end for its checksum is for one process to do.
    shards = [open_shard(path, V, verify=processes.first) for path in given.train]
    held_out = None if given.held_out is None else open_shard(given.held_out, V, verify=processes.first)
    planned = plan(given.parameters, V, given.context, given.tokens_per_parameter, multiple=8 * processes.size)
    config: DecoderConfig = with_settings(planned.model, given.model)
    recipe: Recipe = with_settings(planned.recipe, given.recipe)
    batches = Batches(shards, recipe.context, recipe.batch, recipe.seed, processes.rank, processes.size)
    model = Decoder(config, generator=torch.Generator().manual_seed(recipe.seed)).to(local_device())
    data = [shard.sha256 for shard in shards]
    if processes.first:
        size = f"{recipe.steps:,} steps of {recipe.batch} x {recipe.context} tokens"
        print(f"{config.parameters:,} parameters, {size}, {processes.size} processes")

    steps = train(
        model,
        batches,
        recipe,
        folder=given.folder,
        every=given.every,
        keep=given.keep,
        settings={"model": dataclasses.asdict(config), "data": data},
        flops=flops.per_token(config, recipe.context),
        peak=given.peak,
        world=processes,
    )
    if processes.first:
        steps = to_jsonl(steps, given.folder / "steps.jsonl")
    stopped = False
    for step in steps:
        stopped = step.stopped
        if processes.first and (step.step % given.print_every == 0 or step.step == recipe.steps or stopped):
            speed = f"{step.tokens_per_second:>9,.0f} tokens/s" + (
                "" if step.mfu is None else f", {step.mfu:.1%} of peak"
            )
            print(f"step {step.step:>6}  loss {step.loss:.4f}  gradient {step.gradient_norm:6.3f}  {speed}", flush=True)
    if stopped:
        if processes.first:
            print("stopped by Ctrl-C; the same command goes on from here")
        return INTERRUPTED
    if processes.first:
        finish(given.folder, config, held_out, recipe)
    return 0


def finish(folder: Path, config: DecoderConfig, held_out: Any, recipe: Recipe) -> None:
    """Save the finished model for `transformers` and print its loss on the held-out shard.

    It is read from the checkpoint, where it is whole, even if FSDP has spread it.
    """
    found = latest(folder)
    assert found is not None, "train writes a checkpoint at the end"
    model = Decoder(config)
    model.load_state_dict(found.weights)
    save_llama(model, folder / "model")
    if held_out is not None:
        model.to(local_device())
        seen = evaluate(model, held_out, recipe.context, dtype=recipe.dtype)
        per_byte = "" if seen.bits_per_byte is None else f", {seen.bits_per_byte:.4f} bits per byte"
        print(f"held out: {seen.nats_per_token:.4f} nats per token{per_byte}, {seen.tokens:,} tokens")


if __name__ == "__main__":
    sys.exit(main())
