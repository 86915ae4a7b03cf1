"""MinHash and LSH from scratch against `datasketch`, both in one run: documents a second of each half, and what each finds.

python bench/dedup.py [documents]

Documents of 200 distinct shingles (random ones, since those of real text would be alike), each tenth a copy of an earlier one with a
tenth of its shingles exchanged; 128 orders, the bands that `best_bands` takes for 0.7. Rounds alternate between the two; median and
spread of the rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import datasketch
import numpy as np

from lablib.corpus.dedup import KeptSignatures, NearCopies
from lablib.corpus.lsh import best_bands, candidate_pairs
from lablib.corpus.minhash import Array, minhash, random_orders

ORDERS, SHINGLES, ROUNDS = 128, 200, 7
BANDS, ROWS = best_bands(ORDERS, 0.7)
Corpus = list[set[str]]
Pairs = set[tuple[int, int]]


def documents(n: int) -> Corpus:
    generator = np.random.default_rng(0)
    found: Corpus = []
    for number in range(n):
        fresh = [f"word{a} word{b} word{c}" for a, b, c in generator.integers(0, 5_000, (SHINGLES, 3))]
        if number % 10 == 9:
            original = sorted(found[int(generator.integers(number))])
            fresh = original[: SHINGLES * 9 // 10] + fresh[: SHINGLES // 10]
        found.append(set(fresh))
    return found


def our_signatures(corpus: Corpus) -> list[Array]:
    orders = random_orders(ORDERS, np.random.default_rng(1))
    return [minhash(document, *orders) for document in corpus]


def their_signatures(corpus: Corpus) -> list[Any]:
    found = []
    for document in corpus:
        signature = datasketch.MinHash(num_perm=ORDERS, seed=1)
        signature.update_batch([shingle.encode() for shingle in document])
        found.append(signature)
    return found


def our_pairs(signatures: list[Array]) -> Pairs:
    return candidate_pairs(signatures, BANDS, ROWS)


def their_pairs(signatures: list[Any]) -> Pairs:
    index, pairs = datasketch.MinHashLSH(num_perm=ORDERS, params=(BANDS, ROWS)), set()
    for number, signature in enumerate(signatures):
        pairs |= {(other, number) for other in index.query(signature)}
        index.insert(number, signature)
    return pairs


def on_disk(signatures: list[Array]) -> int:
    """The index that the pipeline uses, in SQLite, which also compares the candidates: how many copies it finds."""
    memory = KeptSignatures(NearCopies(threshold=0.7))
    copies = 0
    for number, signature in enumerate(signatures):
        if memory.nearest(signature):
            copies += 1
        else:
            memory.keep(str(number), signature)
    memory.close()
    return copies


def seconds(work: Callable[[Any], object], given: Any) -> float:
    start = time.perf_counter()
    work(given)
    return time.perf_counter() - start


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    corpus = documents(n)
    ours, theirs = our_signatures(corpus), their_signatures(corpus)
    mine, other = our_pairs(ours), their_pairs(theirs)
    print(
        f"{n:,} documents × {SHINGLES} shingles, {ORDERS} orders, {BANDS} bands of {ROWS}; datasketch {datasketch.__version__}"
    )
    print(
        f"candidate pairs: {len(mine)} and {len(other)}, {len(mine & other)} in common; copies found on disk: {on_disk(ours)}"
    )
    halves: dict[str, tuple[Callable[[Any], object], Any, Callable[[Any], object], Any]] = {
        "MinHash": (our_signatures, corpus, their_signatures, corpus),
        "LSH": (our_pairs, ours, their_pairs, theirs),
        "LSH on disk": (on_disk, ours, their_pairs, theirs),
    }
    print(f"{'':<14}{'from scratch, documents/s':>32}{'datasketch, documents/s':>32}{'time, ours/theirs':>20}")
    for name, (our_work, our_given, their_work, their_given) in halves.items():
        rounds = [(seconds(our_work, our_given), seconds(their_work, their_given)) for _ in range(ROUNDS)]
        cells = [
            f"{n / statistics.median(t):,.0f} [{n / max(t):,.0f}, {n / min(t):,.0f}]" for t in zip(*rounds, strict=True)
        ]
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"{name:<14}{cells[0]:>32}{cells[1]:>32}{ratio:>20.2f}")


if __name__ == "__main__":
    main()
