"""What the course's loop and recipe are worth, beside the Trainer's settings of transformers and beside nanoGPT's recipe, in one run.

    python bench/pretraining.py [--only speed sweep race] [--minutes 3] [--rounds 3] [--rates …] [--json FILE]

Every model has about 3.1 million parameters and learns from the same batches, 16 rows of 256 tokens; run it on an idle machine.

1. **speed**: tokens a second. The models take turns, a few updates each in a round; the figure is the median of the rounds, with the
   quartiles, and the median of the ratios within a round. `Trainer` is a `LlamaForCausalLM` in a loop of its own with what
   `TrainingArguments` sets by default: AdamW fused, no weight decay, gradients clipped at 1, a rate that falls in a straight line, and
   bf16 by autocast where asked (the class itself wants a package more, accelerate, and does more work).
2. **sweep**: nanoGPT's recipe (`nanogpt_recipe.py`) for `--minutes` at each of several learning rates. The best one is the opponent.
3. **race**: in each round nanoGPT at that rate, with another seed, and then ours: in how many seconds of training has it the held-out
   loss that nanoGPT ends with? Ours is planned for a share of nanoGPT's seconds, from a sixth on, and for a longer share if it does not
   get there; what counts is when the loss is reached within the first plan that reaches it. Ours runs as a Llama, the kind of model
   that the course carries, and with all ingredients of `lablib.pretraining.ingredients`; both with three layers of width 256 instead of
   six of width 192, with Muon and a rate that falls in the second half.

The shapes of the race (three layers of width 256) were chosen after one look at the held-out loss. The course's loop has the process keep
memory that is given back (`lablib.pretraining.memory`), which saves page faults; it acts on everybody here, the peers too, so the ratios
are without that gain.

Seconds are those of the updates, batch and compilation included; evaluating is not counted. The text is of the course's world: it is
the same on every machine, and no token is read twice. Its BPE has 2,048 tokens, trained on other documents of it.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from decoder import NanoGPT
from nanogpt_recipe import nanogpt, start
from torch import nn

from lablib.architecture.decoder import DecoderConfig
from lablib.architecture.encoder_decoder import count
from lablib.corpus.world import World
from lablib.pretraining.batching import Batch, Batches
from lablib.pretraining.ingredients import build
from lablib.pretraining.loss import evaluate, quick_token_nats
from lablib.pretraining.memory import keep_freed_memory
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.shards import Shard, write_texts
from lablib.pretraining.training import train
from lablib.tokens import course_tokenizer
from lablib.tokens.pretokens import word_counts

B, T, V = 16, 256, 2048
CONFIG = DecoderConfig(V=V, context=T)  # 6 layers of width 192: 3.05 million parameters
WIDE = DecoderConfig(V=V, D=256, H=8, L=3, hidden=776, context=T)  # as many, in half as many layers: quicker on a CPU
TOKENS = B * T  # of an update
RATES = (6e-4, 1e-3, 2e-3, 3e-3, 4e-3, 6e-3)
PLANS = (1 / 6, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 3 / 4, 1.0)  # of the seconds that nanoGPT has
PER_ROUND = 3  # updates of each model in a round of `speed`
FAST = Recipe(
    steps=1, batch=B, context=T, optimiser="muon", lr=6e-3, muon_lr=0.02, weight_decay=0.01, schedule="wsd", warmup=0.02,
    decay=0.5, floor=0.0, dtype="bfloat16",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One of ours in the race: its model, and how it is trained."""

    model: Callable[[int], nn.Module]
    recipe: Recipe


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


SAME_SHAPE = Entry(lambda seed: build(CONFIG, generator=seeded(seed)), FAST)  # for `speed`
ENTRIES = {
    "Llama": Entry(lambda seed: build(WIDE, generator=seeded(seed)), FAST),
    "all ingredients": Entry(
        lambda seed: build(WIDE, qk_norm=True, zero_init=True, relu2=True, generator=seeded(seed)), FAST
    ),
}

# ---------------------------------------------------------------- data


def shards(folder: Path, tokens: int) -> tuple[Shard, Shard]:
    """Training and held-out documents of the world, in tokens of a BPE that neither has seen."""

    def texts(seed: str) -> Iterator[str]:
        return (document.text for document in World().documents(Random(seed)))

    few = [text for text, _ in zip(texts("tokenizer"), range(5000), strict=False)]
    tokenizer = course_tokenizer.train(word_counts(few, course_tokenizer.PATTERN), V=V)
    end = tokenizer.special["<|bos|>"]

    def so_many(seed: str, most: int) -> Iterator[str]:
        written = 1
        for text in texts(seed):
            if written > most:
                return
            written += len(tokenizer.encode(text)) + 1
            yield text

    return tuple(
        write_texts(folder / f"{seed}.bin", so_many(seed, most), tokenizer.encode, V, end)
        for seed, most in (("training", tokens), ("held out", 40_000))
    )  # type: ignore[return-value]


# ---------------------------------------------------------------- who is compared


def nano(seed: int = 0) -> NanoGPT:
    return start(NanoGPT(CONFIG), seeded(seed))


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V, hidden_size=CONFIG.D, num_attention_heads=CONFIG.H, num_hidden_layers=CONFIG.L,
            intermediate_size=CONFIG.hidden, tie_word_embeddings=True, use_cache=False, max_position_embeddings=T,
        )
    )  # fmt: skip


def trainer(model: nn.Module, batches: Callable[[int], Batch], steps: int, bf16: bool) -> Iterator[float]:
    """A loop with the defaults of `TrainingArguments`; the seconds of each update."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-5, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / steps))
    model.train()
    for step in range(steps):
        begin = time.perf_counter()
        ids = batches(step).inputs
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, labels=ids).loss  # the model shifts them itself
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        yield time.perf_counter() - begin


def ours(
    entry: Entry, batches: Callable[[int], Batch], seed: int = 0, **changes: Any
) -> tuple[nn.Module, Iterator[float]]:
    """A model and its run through the course's own loop; the seconds of each update."""
    model = entry.model(seed)
    steps = train(model, batches, replace(entry.recipe, **changes), loss=quick_token_nats)
    return model, (step.seconds for step in steps)


# ---------------------------------------------------------------- 1 speed


def speed(batches: Callable[[int], Batch], rounds: int) -> dict[str, Any]:
    """Tokens a second of everybody, in turns."""
    steps = PER_ROUND * (rounds + 1)

    def loop(**changes: Any) -> Iterator[float]:
        return ours(SAME_SHAPE, batches, steps=steps, **{"optimiser": "adamw", **changes})[1]

    runs = {
        "ours": loop(),
        "ours, compiled": loop(compile=True),
        "ours, Muon": loop(optimiser="muon"),
        "ours, Muon, compiled": loop(optimiser="muon", compile=True),
        "ours, fp32": loop(dtype="float32"),
        "Trainer": trainer(llama(), batches, steps, bf16=True),
        "Trainer, fp32": trainer(llama(), batches, steps, bf16=False),
        "nanoGPT": nanogpt(nano(), batches, steps, lr=1e-3),
        "nanoGPT, compiled": nanogpt(nano(), batches, steps, lr=1e-3, compile=True),
        "nanoGPT, fp32": nanogpt(nano(), batches, steps, lr=1e-3, dtype="float32"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            took = sum(next(run) for _ in range(PER_ROUND))
            if turn:  # the first round warms up and compiles
                seconds[name].append(took)
    print(f"\n{'bf16 unless it says fp32':<26}{'tokens/s':>10}{'quartiles':>18}{'to Trainer':>12}{'to nanoGPT':>12}")
    table = {}
    for name, times in seconds.items():
        rates = [PER_ROUND * TOKENS / each for each in times]
        low, middle, high = statistics.quantiles(rates, n=4) if len(rates) > 1 else rates * 3
        ratios = {peer: [a / b for a, b in zip(seconds[peer], times, strict=True)] for peer in ("Trainer", "nanoGPT")}
        print(
            f"{name:<26}{middle:>10,.0f}{low:>10,.0f} –{high:>6,.0f}"
            + "".join(f"{statistics.median(each):>12.2f}" for each in ratios.values()),
            flush=True,
        )
        table[name] = {"tokens_per_second": rates, "ratio": ratios}
    return table


# ---------------------------------------------------------------- 2 sweep


def held_out_loss(model: nn.Module, shard: Shard) -> float:
    return evaluate(model, shard, T, B=32, dtype="bfloat16").nats_per_token


def seconds_of_an_update(batches: Callable[[int], Batch]) -> float:
    """Of nanoGPT: the median of a few."""
    return statistics.median(list(nanogpt(nano(), batches, 10, lr=1e-3))[3:])


def sweep(batches: Callable[[int], Batch], held_out: Shard, rates: list[float], steps: int) -> dict[float, float]:
    """The held-out loss of nanoGPT after so many updates, by learning rate."""
    found = {}
    print(f"\nnanoGPT's recipe, {steps} updates = {steps * TOKENS:,} tokens")
    for lr in rates:
        model = nano()
        took = sum(nanogpt(model, batches, steps, lr))
        found[lr] = held_out_loss(model, held_out)
        print(f"  learning rate {lr:<8g}held-out loss {found[lr]:.4f} nats a token   {took:6.1f} s", flush=True)
    best = min(found, key=found.__getitem__)
    if best in (min(rates), max(rates)) and len(rates) > 1:
        print(f"  the best rate, {best:g}, stands at the edge: add rates beyond it with --rates")
    return found


# ---------------------------------------------------------------- 3 race


def reach(
    entry: Entry, batches: Batches, held_out: Shard, target: float, steps: int, seed: int
) -> tuple[float | None, float, float]:
    """Train for so many updates: seconds until the held-out loss is at most the target (None: never), all seconds, last loss."""
    model, run = ours(entry, batches, seed, steps=steps)
    took, loss, every = 0.0, float("nan"), max(1, steps // 40)
    for step, seconds in enumerate(run, 1):
        took += seconds
        if (step > steps // 2 and step % every == 0) or step == steps:
            loss = held_out_loss(model, held_out)
            if loss <= target:
                return took, took, loss
    return None, took, loss


def race(
    batches: Batches, held_out: Shard, lr: float, steps: int, rounds: int, names: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """nanoGPT against ours, round by round."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    plan = dict.fromkeys(names, 0)  # the number in PLANS; a plan that failed is not tried in later rounds
    pace: dict[str, float] = {}  # seconds of one update
    for name in names:
        _, run = ours(ENTRIES[name], batches, steps=10)
        pace[name] = statistics.median(list(run)[3:])
    for number in range(rounds):
        shuffled = replace(batches, seed=number)
        model = nano(number)
        theirs = sum(nanogpt(model, shuffled, steps, lr))
        target = held_out_loss(model, held_out)
        print(f"\nround {number + 1}: nanoGPT at {lr:g} has {target:.4f} nats a token after {theirs:.1f} s", flush=True)
        for name in names:
            while True:
                share = PLANS[plan[name]]
                mine, took, loss = reach(
                    ENTRIES[name], shuffled, held_out, target, max(20, round(share * theirs / pace[name])), number
                )
                if mine is not None or plan[name] == len(PLANS) - 1:
                    break
                print(
                    f"  {name}: planned for {share:.2f} of that time, it ends with {loss:.4f} after {took:.1f} s",
                    flush=True,
                )
                plan[name] += 1
            ratio = None if mine is None else mine / theirs
            told = (
                f"never reaches it ({loss:.4f})"
                if mine is None
                else f"reaches it after {mine:.1f} s: {ratio:.3f} of the time"
            )
            print(f"  {name}: planned for {share:.2f}, {told}", flush=True)
            results[name].append({"target": target, "theirs": theirs, "ours": mine, "ratio": ratio, "planned": share})
    print()
    for name, rows in results.items():
        ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
        if ratios:
            print(
                f"{name}: {statistics.median(ratios):.3f} of nanoGPT's seconds (median of {len(ratios)} of {len(rows)} rounds, "
                f"{min(ratios):.3f} to {max(ratios):.3f})"
            )
        else:
            print(f"{name}: never as low as nanoGPT")
    return results


# ---------------------------------------------------------------- the command


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("speed", "sweep", "race"), default=["speed", "sweep", "race"])
    parser.add_argument("--minutes", type=float, default=3.0, help="that nanoGPT trains for (3)")
    parser.add_argument("--rounds", type=int, default=3, help="of the race; speed has twice as many and one (3)")
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="learning rates of the sweep")
    parser.add_argument("--lr", type=float, help="nanoGPT's rate in the race, when the sweep is left out")
    parser.add_argument(
        "--entries", nargs="+", choices=list(ENTRIES), default=list(ENTRIES), help="of ours in the race"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    given = parser.parse_args()
    if "race" in given.only and "sweep" not in given.only and given.lr is None:
        parser.error("--only race needs --lr, the best rate of a sweep")
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # from the start, for all alike
    about = f"torch {torch.__version__}, {given.threads} threads, {platform.machine()}"
    sizes = {"nanoGPT": count(nano()), "speed": count(SAME_SHAPE.model(0))}
    sizes |= {f"race, {name}": count(entry.model(0)) for name, entry in ENTRIES.items()}
    print(about + "\nparameters: " + ", ".join(f"{name} {size:,}" for name, size in sizes.items()))
    result: dict[str, Any] = {"machine": about, "parameters": sizes, "minutes": given.minutes}
    with tempfile.TemporaryDirectory() as folder:
        tokens = max(200_000, round(given.minutes * 60 * 18_000))
        training, held_out = shards(Path(folder), tokens)
        print(f"{len(training):,} tokens to learn from, {len(held_out):,} held out", flush=True)
        batches = Batches([training], T, B)
        if "speed" in given.only:
            result["speed"] = speed(batches, 2 * given.rounds + 1)
        if "sweep" in given.only or "race" in given.only:
            steps = round(given.minutes * 60 / seconds_of_an_update(batches))
            lr = given.lr
            if "sweep" in given.only:
                result["sweep"] = sweep(batches, held_out, given.rates, steps)
                lr = lr or min(result["sweep"], key=result["sweep"].__getitem__)
        if "race" in given.only:
            result["race"] = race(batches, held_out, lr, steps, given.rounds, given.entries)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
