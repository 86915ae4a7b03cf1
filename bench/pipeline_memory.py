"""Does the pipeline's memory grow with the corpus? The most resident memory of a fresh process, for a corpus and for ten times as much.

python bench/pipeline_memory.py [documents]

Planted documents made of random sentences (about 60 words each, all different), through all stages of the course but the language
(the words are made up); the results are counted and let go. Each run has its own process, with one worker and with two. Linux keeps
the most memory that a process held (VmHWM in /proc); it is set back when everything is loaded, so that what the run itself needs is
seen. Beside it the bytes of what the stages remember on disk, which do grow, and a digest of every document and trace that came
out, which must be the same for one worker and for two.
"""

import hashlib
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lablib.corpus.document import Document
from lablib.corpus.pipeline import Funnel, Pipeline
from lablib.corpus.planted import names, plant
from lablib.corpus.stages import course_stages

HEADS, MIDDLES, TAILS = ("ba", "lo", "mi", "tru", "ne"), ("ka", "ri", "so", "vel"), ("n", "t", "do", "ma", "")
WORDS = [*(a + b + c for a in HEADS for b in MIDDLES for c in TAILS), *("the", "of", "and", "to", "that", "with") * 4]


def good_documents(generator: random.Random) -> Iterator[Document]:
    def sentence() -> str:
        return " ".join(WORDS[int(generator.random() * len(WORDS))] for _ in range(10)).capitalize() + "."

    for number in range(10**9):
        parts = [" ".join(sentence() for _ in range(3)) for _ in range(2)]
        yield Document("\n\n".join(parts), f"good/{number}", "bench")


def most_memory(process: int | str = "self") -> float:
    """MB: the most that a process held since it began, or since `forget_most`."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


def forget_most() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def one_size(n: int, processes: int) -> None:
    generator, workers = random.Random(0), 0.0
    stages = [stage for stage in course_stages(names()) if stage.name != "language"]
    funnel, started, digest = Funnel([stage.name for stage in stages]), time.perf_counter(), hashlib.sha256()
    forget_most()
    before = most_memory()
    with tempfile.TemporaryDirectory() as folder:
        documents = (planted.document for planted in islice(plant(good_documents(generator), generator), n))
        for number, traced in enumerate(Pipeline(stages).run(documents, processes=processes, folder=Path(folder))):
            funnel.add(traced)
            digest.update(json.dumps(traced.row()).encode())
            if number % 500 == 499:
                workers = max(
                    [workers, *(most_memory(child.pid or "self") for child in multiprocessing.active_children())]
                )
        disk = sum(file.stat().st_size for file in Path(folder).iterdir())
    characters, kept = funnel.rows["exact copies"].characters_in, funnel.rows["private details"].documents_out
    seconds = time.perf_counter() - started
    worker = f", a worker {workers:.1f}" if processes > 1 else ""
    print(
        f"{processes} {'process' if processes == 1 else 'processes'}, {n:>7,} documents, {characters / 1e6:5.1f} M characters: "
        f"{before:.1f} MB at the start, {most_memory():.1f} at most{worker}, {disk / 1e6:.1f} on disk, {kept:,} kept, "
        f"{n / seconds:,.0f} documents/s, digest {digest.hexdigest()[:12]}",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one_size(int(sys.argv[2]), int(sys.argv[3]))
        return
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    for processes in (1, 2):
        for size in (n, 10 * n):
            subprocess.run([sys.executable, __file__, "--one", str(size), str(processes)], check=True)


if __name__ == "__main__":
    main()
