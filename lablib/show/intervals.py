"""Shares with their intervals as dots on lines: many measured values, each honest about how well it is known.

A dot is what was measured, the line through it the interval, and rows are named, so that precision and recall of twenty filters fit into
one picture. Left out: significance stars. Look whether the lines overlap.
"""

import math
from collections.abc import Mapping, Sequence

from lablib.show.style import COLOURS, GREY, Picture, figure

Value = tuple[float, float, float]  # measured, lower end, upper end
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def interval_chart(
    rows: Mapping[str, Mapping[str, Value]],
    alt: str,
    x: str = "share",
    x_range: tuple[float, float] | None = (0, 1),
    levels: Mapping[str, float] | None = None,
    width: float = 8.0,
) -> Picture:
    """A line of the picture for each row, a dot with its interval for each series of the row.

    Args:
        rows: row → series → (value, low, high); a series may be missing in a row. The order is that of the picture, from above.
        alt: what the picture shows.
        x: label of the axis, with its unit. x_range: its limits, or None to follow the values.
        levels: vertical reference lines by name.
        width: inches.

    Raises:
        ValueError: no row, or an interval that does not hold its value.
    """
    if not rows:
        raise ValueError("rows is empty: expected at least one row with a value and its interval")
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    fig, ax = figure(width=width, height=0.9 + 0.16 * len(rows) * (1 + max(len(names), 1)))
    drawn: set[str] = set()
    for place, (row, series) in enumerate(rows.items()):
        for name, (value, low, high) in series.items():
            if math.isnan(value) or not low - 1e-9 <= value <= high + 1e-9:  # ends may be off by rounding
                raise ValueError(f"{row!r}, {name!r}: {value} lies outside its interval [{low}, {high}]")
            number = names.index(name)
            y = place + (number - (len(names) - 1) / 2) * 0.7 / len(names)
            colour = COLOURS[number % len(COLOURS)]
            ax.plot([low, high], [y, y], color=colour, linewidth=2.2, alpha=0.45, solid_capstyle="butt", zorder=2)
            label = name if name not in drawn else None
            ax.plot([value], [y], MARKERS[number % len(MARKERS)], color=colour, markersize=6, label=label, zorder=3)
            drawn.add(name)
    for name, level in (levels or {}).items():
        ax.axvline(level, color=GREY, linestyle="--", linewidth=1.2, label=name, zorder=1)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=x, ylim=(len(rows) - 0.4, -0.6))
    if x_range is not None:
        margin = 0.02 * (x_range[1] - x_range[0])
        ax.set_xlim(x_range[0] - margin, x_range[1] + margin)
    ax.grid(axis="y", visible=False)
    for place in range(1, len(rows)):
        ax.axhline(place - 0.5, color="#EEEEEE", linewidth=0.8, zorder=0)
    if len(names) > 1 or levels:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    return Picture(fig, alt)


def over_seeds(values: Sequence[float]) -> Value:
    """Mean, smallest and largest of several runs: no more can be said of two or three.

    >>> over_seeds([0.5, 0.75, 1.0])
    (0.75, 0.5, 1.0)
    """
    if not values:
        raise ValueError("values is empty: expected the results of at least one run")
    return sum(values) / len(values), min(values), max(values)
