"""Seconds and peak memory of every lab: each notebook runs in a kernel of its own, in each profile. README's figures come from here.

    python bench/labs.py [LAB ...] [--profiles smoke laptop] [--folders labs solutions] [--json FILE]

Time is from the first cell to the last, without the kernel's start. Memory is the highest resident set that the kernel
reached, as the operating system counts it. Run it on an idle machine.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
PEAK = "import resource, sys; resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)"


def measure(path: Path, profile: str) -> dict[str, float | int | str]:
    """Run one notebook; its cells, seconds, and the kernel's peak memory in bytes.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    book = nbformat.read(path, as_version=4)
    # The kernel itself is asked for its peak, in a last cell (a process cannot be asked after its end).
    book.cells.append(nbformat.v4.new_code_cell(PEAK if os.name != "nt" else "0"))
    with tempfile.TemporaryDirectory() as home:
        wanted = {"LABLIB_PROFILE": profile, "LABLIB_HOME": home, "LABLIB_WORK": f"{home}/work", "LABLIB_STRICT": ""}
        os.environ.update(wanted)
        client = NotebookClient(book, timeout=3600, kernel_name="python3", resources={"metadata": {"path": home}})
        with client.setup_kernel():
            client.execute_cell(nbformat.v4.new_code_cell("pass"), 0, store_history=False)
            start = time.perf_counter()
            for index, cell in enumerate(book.cells[:-1]):
                client.execute_cell(cell, index)
            seconds = time.perf_counter() - start
            client.execute_cell(book.cells[-1], len(book.cells) - 1)
    peak = int(book.cells[-1].outputs[0]["data"]["text/plain"])
    cells = sum(cell.cell_type == "code" for cell in book.cells) - 1
    return {
        "lab": f"{path.parent.name}/{path.stem}",
        "profile": profile,
        "cells": cells,
        "seconds": seconds,
        "bytes": peak,
    }


WITH_REAL_MODEL = ("10", "11", "14")  # labs that load SmolLM2-135M


def main() -> int:
    """Print the table; 1 when a lab is over its budget.

    20 s in smoke; 3 minutes and 1.5 GB in laptop, 5 minutes and 2.5 GB where a model of 135 million parameters works.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labs", nargs="*", help="numbers; all when none is given")
    parser.add_argument("--profiles", nargs="+", default=["smoke", "laptop"], choices=["smoke", "laptop", "gpu"])
    parser.add_argument("--folders", nargs="+", default=["labs", "solutions"], choices=["labs", "solutions"])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    paths = [p for folder in arguments.folders for p in sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb"))]
    paths = [p for p in paths if not arguments.labs or p.name[:2] in {f"{int(n):02d}" for n in arguments.labs}]
    if not paths:
        print(
            f"no notebook for {' '.join(arguments.labs) or 'any lab'} in {', '.join(arguments.folders)}",
            file=sys.stderr,
        )
        return 2
    budget = {"smoke": (20, 1.5e9), "laptop": (180, 1.5e9), "gpu": (1800, float("inf"))}
    print(f"{psutil.cpu_count(logical=False)} cores, Python {sys.version.split()[0]}\n")
    print(f"{'lab':<32}{'profile':<9}{'cells':>6}{'seconds':>9}{'peak memory':>13}")
    rows, over = [], False
    for path in paths:
        for profile in arguments.profiles:
            row = measure(path, profile)
            rows.append(row)
            large = profile == "laptop" and path.name[:2] in WITH_REAL_MODEL
            seconds, memory = (300, 2.5e9) if large else budget[profile]
            much = row["seconds"] > seconds or row["bytes"] > memory
            over = over or much
            print(
                f"{row['lab']:<32}{profile:<9}{row['cells']:>6}{row['seconds']:>9.1f}{row['bytes'] / 1e9:>10.2f} GB"
                + ("  over its budget" if much else ""),
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
