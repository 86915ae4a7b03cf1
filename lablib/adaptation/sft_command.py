"""The model that answers: the carried base model, tuned on conversations of the world.

    lab train sft

Its conversations have faults, as sets that people write have (`sft_data.CARRIED`): a quarter of what should be declined, or answered
with "I do not know", is not, and a tenth of what is harmless is refused. So there is something left to align in labs 12 to 14;
`lab train sft --data along=0 guess=0 refusal=0` is without.

It takes minutes and writes a folder that `lablib.checkpoints.load("sft")` and `transformers` read, with record.json: settings, seconds, and
what was measured. Given again after a crash or Ctrl-C, it goes on from its last checkpoint.

What is measured, always beside the base model: gold scores on prompts of held-out combinations, greedy and drawn at temperature 1; by
kind of request; how well it criticises and mends answers, by rules in words that it has read and in others; and what was forgotten, the
loss on the world's documents above their floor.

Left out: the tokenizer and its chat template, which the folder does not repeat (`chat.for_transformers` makes them).
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch

from lablib.adaptation import adherence as adh
from lablib.adaptation.chat import PAD, STOP
from lablib.adaptation.critique_skill import skill
from lablib.adaptation.replay import Replayed
from lablib.adaptation.sft import RECIPE, REPLAY, Drawn, loss_of
from lablib.adaptation.sft_data import CARRIED, Mixture, without
from lablib.architecture.decoder import Decoder
from lablib.architecture.llama_format import save_llama
from lablib.checkpoints import RECORD, Carried, load, own_path
from lablib.corpus.world import World
from lablib.pretraining import atomic
from lablib.pretraining.checkpoint import latest
from lablib.pretraining.command import INTERRUPTED, with_settings
from lablib.pretraining.distributed import local_device
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.experiments import hardware
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step, read_jsonl, to_jsonl
from lablib.pretraining.sampling import Sampling
from lablib.pretraining.training import train
from lablib.pretraining.world_loss import END, gap
from lablib.tokens.tokenizer import Tokenizer

PROMPTS, DOCUMENTS, CRITIQUES = 1000, 1000, 60  # that the record is measured on; critiques for each fault


def steps_of(
    run: Path, base: Carried, data: Drawn, recipe: Recipe = RECIPE, every: int = 100, replay: int = REPLAY
) -> Iterator[Step]:
    """The steps of the run that is kept in the folder `run`, from its last checkpoint on; base.model is trained."""
    settings = {
        "model": asdict(base.model.config),
        "from": base.record.get("command", ""),
        "mixture": asdict(data.mixture),
        "only": data.only,
        "replay": replay,
    }
    return train(
        base.model.to(local_device()),
        Replayed(data, replay, base.tokenizer, recipe.context, recipe.seed),
        recipe,
        loss=loss_of(base.tokenizer),
        folder=run,
        every=every,
        settings=settings,
    )


def measure(model: Decoder, base: Decoder, tokenizer: Tokenizer, held_out: Sequence[str] = ()) -> dict[str, Any]:
    """What the tuned model does, in figures, beside the base model. held_out: types of instruction that it was not tuned on."""
    asked = adh.prompts(PROMPTS, "the tuned model is judged on", only=without(*held_out) if held_out else None)
    documents = list(islice(World().documents(Random("what is forgotten")), DOCUMENTS))
    T = model.config.context
    before, after = (gap(m, documents, tokenizer, T) for m in (base, model))
    answers = adh.scored(model, tokenizer, asked)
    critic, elsewhere = (skill(model, tokenizer, CRITIQUES, new_wordings=new) for new in (False, True))
    found: dict[str, Any] = {
        "adherence": as_dict(adh.adherence(answers)),
        "adherence_by_kind": {kind: as_dict(one) for kind, one in adh.by_kind(answers).items()},
        "adherence_temperature_1": as_dict(
            adh.adherence(adh.scored(model, tokenizer, asked, "chat", Sampling(), torch.Generator().manual_seed(0)))
        ),
        "base_plain": as_dict(adh.adherence(adh.scored(base, tokenizer, asked, "plain"))),
        "base_dialogue": as_dict(adh.adherence(adh.scored(base, tokenizer, asked, "dialogue"))),
        "verdicts_right": {fault or "none": rounded(share) for fault, share in critic.verdicts.items()},
        "verdicts_right_new_wordings": {f or "none": rounded(share) for f, share in elsewhere.verdicts.items()},
        "faulty_answers": as_dict(critic.before),
        "revised_answers": as_dict(critic.after),
        "world_loss_before": round(before.loss, 5),
        "world_loss": round(after.loss, 5),
        "floor": round(after.floor, 5),
        "above_floor_before": round(before.share, 5),
        "above_floor": round(after.share, 5),
    }
    if held_out:
        others = adh.prompts(PROMPTS, "types that it was not tuned on", "all", held_out)
        found["adherence_on_held_out_types"] = as_dict(adh.adherence(adh.scored(model, tokenizer, others)))
    return found


def as_dict(found: adh.Adherence) -> dict[str, Any]:
    """For the record: each score as [mean, low, high]."""
    return {"n": found.n, **{name: rounded(getattr(found, name)) for name in (*adh.SCORES, "right")}}


def rounded(interval: adh.Interval) -> list[float]:
    """To four decimals."""
    return [round(x, 4) for x in interval]


def save(model: Decoder, folder: Path, tokenizer: Tokenizer, record: dict[str, Any]) -> None:
    """Write the folder that `lablib.checkpoints.load` reads; the weights in float16, and `<|end|>` for the stop token."""
    special = tokenizer.special
    save_llama(model, folder, torch.float16, bos=special[END], eos=special[STOP], pad=special[PAD])
    atomic.write(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lablib.adaptation.sft_command") -> int:
    """The command: 0 when the model was written, 1 when the loss became no number, 2 for wrong input, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog=prog, description="Tune the base model on conversations, so that it answers.")
    parser.add_argument("--base", default="base", metavar="NAME", help="the model to begin with (base)")
    parser.add_argument("--folder", type=Path, help="where the model goes (where the later labs look for your own)")
    parser.add_argument("--run", type=Path, help="where the run is kept, and found again (FOLDER-run)")
    parser.add_argument("--recipe", nargs="*", default=[], metavar="NAME=VALUE", help="such as steps=100 lr=3e-4")
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=VALUE", help="the mixture, such as along=0")
    parser.add_argument("--replay", type=int, default=REPLAY, help=f"rows of the world's documents a step ({REPLAY})")
    parser.add_argument("--without", nargs="*", default=[], metavar="TYPE", help="types of instruction to leave out")
    given = parser.parse_args(arguments)
    folder: Path = given.folder or own_path("sft")
    run: Path = given.run or folder.with_name(folder.name + "-run")
    changed = [
        word
        for name in ("recipe", "data", "without")
        if getattr(given, name)
        for word in (f"--{name}", *getattr(given, name))
    ]
    if given.replay != REPLAY:
        changed += ["--replay", str(given.replay)]
    try:
        recipe, mixture = with_settings(RECIPE, given.recipe), with_settings(CARRIED, given.data)
        only = without(*given.without) if given.without else None
        base, trained = load(given.base), load(given.base)
        data = Drawn(base.tokenizer, recipe.batch, recipe.context, mixture, only, recipe.seed)
        if given.replay < 0:
            raise ValueError(f"--replay {given.replay}: expected a number of rows >= 0")
        print(
            f"from {base.origin}: {recipe.steps:,} steps of {recipe.batch} conversations, {given.replay} rows of replay"
        )
        for step in to_jsonl(steps_of(run, trained, data, recipe, replay=given.replay), run / "steps.jsonl"):
            if step.step % 25 == 0 or step.stopped:
                print(
                    f"step {step.step:>5}  loss {step.loss:.4f}  {step.tokens_per_second:>6,.0f} tokens/s", flush=True
                )
            if step.stopped:
                print("stopped by Ctrl-C; the same command goes on from here")
                return INTERRUPTED
        record = record_of(run, base, recipe, mixture, changed, given.without, folder, given.replay)
    except Diverged as error:
        print(f"the run diverged: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    after, asked_base = record["adherence"]["helpful"][0], record["base_dialogue"]["helpful"][0]
    print(f"{folder}: {record['seconds']} s, helpful {after:.3f} (base {asked_base:.3f})")
    return 0


def record_of(
    run: Path,
    base: Carried,
    recipe: Recipe,
    mixture: Mixture,
    changed: Sequence[str],
    held_out: Sequence[str],
    folder: Path,
    replay: int,
) -> dict[str, Any]:
    """Measure the run's last checkpoint as it will be in the file, write the model, and return its record."""
    found = latest(run)
    assert found is not None, "train writes a checkpoint at the end"
    model = Decoder(base.model.config)
    model.load_state_dict({name: weight.half().float() for name, weight in found.weights.items()})
    steps = read_jsonl(run / "steps.jsonl")
    record = {
        "name": "sft",
        "command": " ".join(["lab train sft", *changed]),
        "from": {name: base.record.get(name) for name in ("name", "command", "loss", "tokens")},
        "hardware": hardware(),
        "model": asdict(model.config),
        "parameters": model.config.parameters,
        "recipe": asdict(recipe),
        "mixture": asdict(mixture),
        "without": list(held_out),
        "replay": replay,
        "data": "conversations of the world's training split, drawn anew for each step; recipe.batch of them a step, and "
        "replay rows of its documents",
        "tokens": steps[-1].tokens,
        "seconds": round(math.fsum(step.seconds for step in steps)),
        "tokens_per_second": round(median(step.tokens_per_second for step in steps)),
        **measure(model.eval(), base.model, base.tokenizer, held_out),
        "curve": [[s.step, round(s.loss, 4)] for s in steps if s.step % 10 == 0],
    }
    save(model, folder, base.tokenizer, record)
    return record


if __name__ == "__main__":
    sys.exit(main())
