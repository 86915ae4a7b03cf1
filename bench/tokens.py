"""BPE in its three sizes on the language reference, all in one run: naive, indexed, and the library `tokenizers`.

    python bench/tokens.py [--rounds 9] [--naive-rounds 3]

Training: 2,048 tokens (1,792 merges) from the texts of `pydoc_data.topics`, cutting into words included. The naive recount
(`lablib.tokens.bpe`) is run in full, though not as often as the others. It already counts each different word once, times its
frequency, so that the ratio shows what the index brings and nothing else. Encoding: all the texts, by a fresh `Tokenizer` each
time, since it remembers words. `tokenizers` may use every core; ours uses one. Rounds alternate between the contestants; all
three must learn the same merges.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pydoc_data.topics import topics
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from lablib.tokens import bpe, bpe_indexed
from lablib.tokens.pretokens import word_counts
from lablib.tokens.tokenizer import Tokenizer

V = 2048
TEXTS = [topics[name] for name in sorted(topics)]
BYTES = sum(len(text.encode()) for text in TEXTS)


def naive() -> list[bpe.Pair]:
    return bpe.train_merges(word_counts(TEXTS), V - 256)


def indexed() -> list[bpe.Pair]:
    return bpe_indexed.train_merges(word_counts(TEXTS), V - 256)


def library() -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=V, initial_alphabet=alphabet, show_progress=False))
    return made


def library_merges(made: tokenizers.Tokenizer) -> list[bpe.Pair]:
    model = json.loads(made.to_str())["model"]
    return [(model["vocab"][left], model["vocab"][right]) for left, right in model["merges"]]


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def row(name: str, times: list[float], extra: str = "") -> str:
    spread = f"{min(times):.3f} to {max(times):.3f}"
    return f"  {name:<34}{statistics.median(times):>8.3f} s  (median of {len(times)}, {spread}){extra}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--naive-rounds", type=int, default=3)
    given = parser.parse_args()
    merges, peer = indexed(), library()
    if not merges == naive() == library_merges(peer):
        print("the three learned different merges: nothing is timed", file=sys.stderr)
        return 1
    print(
        f"{len(TEXTS)} texts, {BYTES:,} bytes, {len(word_counts(TEXTS)):,} different words; tokenizers {tokenizers.__version__}, "
        f"Python {sys.version.split()[0]}"
    )
    print(f"training {V:,} tokens ({len(merges):,} merges, the same for all three)")
    times: dict[str, list[float]] = {"naive": [], "indexed": [], "tokenizers": [], "words": []}
    for number in range(given.rounds):
        times["words"].append(seconds(lambda: word_counts(TEXTS)))
        times["indexed"].append(seconds(indexed))
        times["tokenizers"].append(seconds(library))
        if number < given.naive_rounds:
            times["naive"].append(seconds(naive))
    print(row("naive recount (lablib.tokens.bpe)", times["naive"]))
    print(row("indexed (bpe_indexed)", times["indexed"]))
    print(row("tokenizers", times["tokenizers"]))
    print(row("  (of ours, cutting into words)", times["words"]))
    middle = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"  indexed is {middle['naive'] / middle['indexed']:.0f} times as fast as naive, and takes "
        f"{middle['indexed'] / middle['tokenizers']:.2f} times the time of tokenizers"
    )
    alone = [middle[name] - middle["words"] for name in ("naive", "indexed")]
    print(f"  the merging alone: {alone[0]:.3f} s and {alone[1]:.3f} s, {alone[0] / alone[1]:.0f} times")
    encode = encoding(given.rounds, merges, peer)
    print(f"encoding the {BYTES:,} bytes (the same numbers from both)")
    for name, values in encode.items():
        print(row(name, values, f", {BYTES / statistics.median(values) / 1e6:.1f} MB/s"))
    return 0


def encoding(rounds: int, merges: list[bpe.Pair], peer: tokenizers.Tokenizer) -> dict[str, list[float]]:
    """Seconds to encode all the texts, one after the other, by both."""
    times: dict[str, list[float]] = {"Tokenizer.encode": [], "tokenizers": []}
    if [Tokenizer.from_merges(merges).encode(text) for text in TEXTS] != [peer.encode(text).ids for text in TEXTS]:
        raise SystemExit("the two gave different numbers: nothing is timed")
    for _ in range(rounds):
        fresh = Tokenizer.from_merges(merges)
        times["Tokenizer.encode"].append(seconds(lambda fresh=fresh: [fresh.encode(text) for text in TEXTS]))
        times["tokenizers"].append(seconds(lambda: [peer.encode(text).ids for text in TEXTS]))
    return times


if __name__ == "__main__":
    sys.exit(main())
