"""How much text this install carries and how fast it is read, by part.

python bench/crawl.py [--packages] [--processes N]
"""

import argparse
import sys
import time

from lablib.corpus.crawl import PARTS, QUICK, Count, Report, crawl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", action="store_true", help="read the docstrings of installed packages too")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    report, all_seconds = Report(), 0.0
    print(f"Python {sys.version.split()[0]}, processes: {options.processes}")
    print(f"{'part':<20} {'documents':>10} {'MB':>8} {'seconds':>8}")
    for part in PARTS if options.packages else QUICK:
        start = time.perf_counter()
        for _ in crawl(part, report=report, processes=options.processes):
            pass
        seconds = time.perf_counter() - start
        all_seconds += seconds
        count = report.parts.get(part, Count())  # an install may have left a part out
        print(f"{part:<20} {count.documents:>10,} {count.bytes / 1e6:>8.2f} {seconds:>8.2f}", flush=True)
    print(
        f"{'all':<20} {report.total.documents:>10,} {report.total.bytes / 1e6:>8.2f} {all_seconds:>8.2f}\n\n{report}\n"
    )
    for problem in report.problems:
        if problem.trouble != "left out":
            print(f"{problem.trouble}: {problem.name}: {problem.reason}")


if __name__ == "__main__":
    main()
