"""Nearest vectors: the learner's matrix, LanceDB comparing all, and LanceDB's indexes, at 1,000 to 100,000 vectors, in one run.

    python bench/vector_store.py [--sizes 1000 10000 100000] [--rounds 30]

The vectors have 384 numbers and lie in clumps, as those of texts do: 200 random centres, with noise of the same length around them. Each
query is another point of such a clump. The matrix is `lablib.adaptation.dense.Dense`'s: rows of length 1, one product, `topk`. Rounds
alternate between the contestants; each round asks another query; the time is that of one query, the ten nearest. Recall: the share of the
true ten nearest that an index returns, at the settings that are printed. The matrix may use every core; so may LanceDB.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.adaptation.vector_store import GROUP, VectorStore

WIDTH, K, CENTRES = 384, 10, 200
# name -> kind of index and the settings of a search: few and many groups, narrow and wide
SEARCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "ivf, 2 groups": ("ivf", {"probes": 2}),
    "ivf, 20 groups": ("ivf", {"probes": 20}),
    "hnsw, breadth 100": ("hnsw", {"breadth": 100}),
    "hnsw, breadth 400": ("hnsw", {"breadth": 400}),
    "pq, 20 groups": ("pq", {"probes": 20}),
}


def clumps(n: int, generator: torch.Generator, centres: Tensor) -> Tensor:
    """n vectors of length 1 around the centres, (n, WIDTH)."""
    near = centres[torch.randint(len(centres), (n,), generator=generator)]
    return F.normalize(near + F.normalize(torch.randn(n, WIDTH, generator=generator), dim=-1), dim=-1)


def by_matrix(matrix: Tensor, query: Tensor) -> list[str]:
    return [str(row) for row in (matrix @ query).topk(K).indices.tolist()]


def milliseconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return 1000 * (time.perf_counter() - start), result


def line(name: str, times: Sequence[float], note: str = "") -> str:
    ends = statistics.quantiles(times, n=10, method="inclusive")
    low, high = ends[0], ends[-1]
    return f"  {name:<22}{statistics.median(times):>9.2f} ms  (median; 10 to 90 %: {low:.2f} to {high:.2f}){note}"


def compare(N: int, rounds: int, generator: torch.Generator, folder: Path) -> None:
    """Everything at one size."""
    centres = torch.randn(CENTRES, WIDTH, generator=generator)
    centres = F.normalize(centres, dim=-1)
    matrix, queries = clumps(N, generator, centres), clumps(rounds, generator, centres)
    store = VectorStore(folder, WIDTH)
    names = [str(i) for i in range(N)]
    seconds, _ = milliseconds(lambda: store.add(names, matrix.numpy(), ["a passage"] * N))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(
        f"{N:,} vectors: written in {seconds / 1000:.2f} s, {size:.0f} MB on disk, {matrix.nbytes / 1e6:.0f} MB as a matrix"
    )
    times: dict[str, list[float]] = {"matrix": [], "LanceDB, exact": []}
    truth = []
    for query in queries:
        taken, found = milliseconds(partial(by_matrix, matrix, query))
        times["matrix"].append(taken)
        truth.append(found)
        taken, hits = milliseconds(partial(store.search, query.numpy(), K))
        times["LanceDB, exact"].append(taken)
        if {hit.id for hit in hits} != set(found):
            raise SystemExit(f"the exact searches differ at {N} vectors: {found} and {[hit.id for hit in hits]}")
    for name, some in times.items():
        print(line(name, some, "  recall 1.000"))
    built = ""
    for name, (kind, settings) in SEARCHES.items():
        if N < 4 * GROUP:
            print(f"  {name:<22}  (fewer than {4 * GROUP} vectors: comparing all is faster)")
            continue
        note = ""
        if kind != built:
            taken, _ = milliseconds(partial(store.build_index, kind))
            built, note = kind, f"  index made in {taken / 1000:.1f} s"
        some, right = [], 0
        for query, true in zip(queries, truth, strict=True):
            taken, hits = milliseconds(partial(store.search, query.numpy(), K, exact=False, **settings))
            some.append(taken)
            right += len({hit.id for hit in hits} & set(true))
        print(line(name, some, f"  recall {right / (K * rounds):.3f}{note}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    for N in given.sizes:
        with tempfile.TemporaryDirectory() as folder:
            compare(N, given.rounds, generator, Path(folder) / "store")
    return 0


if __name__ == "__main__":
    sys.exit(main())
