"""Tokens a second when many texts are written at once: `lablib.pretraining.generation` beside `LlamaForCausalLM.generate`.

    python bench/generation.py [--rounds 7] [--threads 2] [--json FILE]

The same weights (through `save_llama`), fp32, greedy, 32 prompts of 8 to 48 tokens, 64 new tokens each, no stop token;
transformers gets them padded on the left, with its default cache. In each round every way runs once, in turn, so that a slow
moment of the machine falls on all of them; the figure is the median of the rounds with its quartiles, and the ratio is taken
within a round. That both write the same tokens is asserted. A second table says where the time goes: reading the prompts (1 new
token) against each further step. A third shows what leaving the batch gains when texts end at different times, and a fourth
what sampling costs. Run it on an idle machine.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.generation import generate as generate_by_stream
from lablib.architecture.generation import left_pad
from lablib.architecture.llama_format import save_llama
from lablib.pretraining import generation
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling

B, NEW = 32, 64
SHAPES = {
    "3M": DecoderConfig(V=4096, D=192, H=6, L=6, hidden=512),
    "10M, 12 layers": DecoderConfig(V=4096, D=256, H=8, L=12, hidden=688, kv_heads=4),
}


def prompts() -> list[list[int]]:
    """32 prompts of 8 to 48 tokens."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(8, 49, (B,), generator=generator).tolist()
    return [torch.randint(4096, (n,), generator=generator).tolist() for n in lengths]


def model_of(config: DecoderConfig) -> Decoder:
    """Random weights, made larger than a start's, so that the texts are not one token again and again."""
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    return model


def rounds(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, all of them in turn, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def report(title: str, tokens: int, seconds: dict[str, list[float]], peer: str) -> dict[str, dict[str, Any]]:
    """Print one table, and return it."""
    print(f"\n{title:<44}{'tokens/s':>10}{'quartiles':>19}{'ratio to ' + peer:>38}{'quartiles':>14}")
    rows = {}
    for name, times in seconds.items():
        low, middle, high = spread([tokens / s for s in times])
        a, ratio, b = spread([p / s for p, s in zip(seconds[peer], times, strict=True)])
        print(f"  {name:<42}{middle:>10,.0f}{low:>10,.0f} –{high:>7,.0f}{ratio:>38.2f}{a:>8.2f} –{b:>5.2f}", flush=True)
        rows[name] = {"tokens_per_second": [low, middle, high], "ratio": [a, ratio, b], "seconds": times}
    return rows


def against_transformers(config: DecoderConfig, repeats: int) -> dict[str, Any]:
    """The two tables of one shape."""
    from transformers import LlamaForCausalLM

    model = model_of(config)
    with tempfile.TemporaryDirectory() as folder:
        llama: Any = LlamaForCausalLM.from_pretrained(save_llama(model, folder)).eval()
    given = prompts()
    ids, real = left_pad(given)
    mask = real.long()

    def theirs(new: int) -> torch.Tensor:
        return llama.generate(
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0
        )[:, ids.shape[1] :]

    ours = generate(model, given, NEW).ids
    assert torch.equal(ours, theirs(NEW)), "the two must write the same tokens, or the comparison means nothing"
    print(f"same tokens: yes ({len(ours.unique())} different ones among {ours.numel()})")
    calls: dict[str, Callable[[], Any]] = {
        "LlamaForCausalLM.generate": lambda: theirs(NEW),
        "lablib.pretraining.generation": lambda: generate(model, given, NEW),
        "lablib.architecture.generation": lambda: generate_by_stream(model, ids, NEW, real),
    }
    tables = {"write": report(f"{B} × {NEW} new tokens", B * NEW, rounds(calls, repeats), "LlamaForCausalLM.generate")}
    first = rounds({"LlamaForCausalLM.generate": lambda: theirs(1), "ours": lambda: generate(model, given, 1)}, repeats)
    print(f"{'':<46}{'prompts, ms':>12}{'each step, ms':>16}")
    for short, long in (
        ("LlamaForCausalLM.generate", "LlamaForCausalLM.generate"),
        ("ours", "lablib.pretraining.generation"),
    ):
        whole, reading = statistics.median(tables["write"][long]["seconds"]), statistics.median(first[short])
        print(f"  {long:<44}{1e3 * reading:>12.1f}{1e3 * (whole - reading) / (NEW - 1):>16.2f}")
    return tables


def leaving_and_sampling(config: DecoderConfig, repeats: int) -> dict[str, Any]:
    """Texts that end at different times, with and without leaving the batch; and what drawing by chance costs."""
    model, given = model_of(config), prompts()
    stop = list(range(0, 4096, 64))  # 1 of 64 tokens ends a text: half of them end within 45 tokens

    def ending(keep: float) -> Any:
        generation.KEEP = keep
        return generate(model, given, 128, Sampling(), torch.Generator().manual_seed(0), stop)

    found = [ending(keep) for keep in (0.0, 0.5)]
    assert torch.equal(found[0].ids, found[1].ids)
    tokens = int(found[0].mask.sum())
    leaving = {
        f"leave when {keep:.0%} are left": lambda keep=keep: ending(keep) for keep in (0.0, 0.25, 0.5, 0.75, 1.0)
    }
    tables = {
        "leave": report(
            f"{tokens} tokens in texts of 1 to 128", tokens, rounds(leaving, repeats), "leave when 0% are left"
        )
    }
    generation.KEEP = 0.5
    ways = {"greedy": None, "plain": Sampling(), "top-k 50": Sampling(top_k=50), "top-p 0.9": Sampling(top_p=0.9)}
    drawn = {
        name: lambda way=way: generate(model, given, NEW, way, torch.Generator().manual_seed(0))
        for name, way in ways.items()
    }
    tables["sample"] = report(f"sampling, {B} × {NEW} new tokens", B * NEW, rounds(drawn, repeats), "greedy")
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.disable(logging.WARNING)
    import transformers

    transformers.utils.logging.disable_progress_bar()
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {arguments.threads} threads, {arguments.rounds} rounds"
    )
    tables: dict[str, Any] = {}
    for name, config in SHAPES.items():
        print(
            f"\n=== {name}: {config.parameters:,} parameters, L = {config.L}, D = {config.D}, {config.kv} heads of keys"
        )
        tables[name] = against_transformers(config, arguments.rounds)
    tables |= leaving_and_sampling(SHAPES["3M"], arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
