"""What the live chart costs a training loop: microseconds for each point added, and seconds to draw 100,000 of them.

python bench/live_chart.py
"""

import time

from lablib.show.live import LiveChart


def main() -> None:
    """Print the median and the spread of five rounds of 20,000 points, and one drawing of them all."""
    chart, rounds = LiveChart(["loss"], alt="Loss by step."), []
    for _ in range(5):
        start = time.perf_counter()
        for step in range(20_000):
            chart.add(step, loss=1.0)
        rounds.append((time.perf_counter() - start) / 20_000 * 1e6)
    rounds.sort()
    print(f"adding a point: {rounds[2]:.1f} µs (median of 5 rounds, {rounds[0]:.1f} to {rounds[-1]:.1f})")
    start = time.perf_counter()
    size = len(chart.picture().png)
    print(f"drawing 100,000 points: {time.perf_counter() - start:.2f} s, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
