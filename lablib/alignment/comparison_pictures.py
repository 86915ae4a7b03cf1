"""The pictures of the comparison's page, as SVG text: intervals as lines with dots, and a map of helpful against harmless.

SVG needs nothing from anywhere, stays sharp, and its words can be searched and read aloud. Every text that is put in is escaped. (In the
notebook the same figures are drawn by `lablib.show`, which the stages do not import.)

Left out: everything that moves.
"""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.ticker import MaxNLocator

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
LEFT, WIDTH, LINE = 170, 760, 30  # pixels
GAP = 17  # pixels from one name in the margin to the next


def scale(low: float, high: float, start: float, end: float) -> tuple[float, float]:
    """(a, b) with x -> a·x + b taking [low, high] to [start, end]."""
    a = (end - start) / ((high - low) or 1.0)
    return a, start - a * low


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers from low to high, and how they are written.

    >>> ticks(0.8131, 0.8894)
    [(0.82, '0.82'), (0.84, '0.84'), (0.86, '0.86'), (0.88, '0.88')]
    """
    found = [float(x) for x in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= x <= high]
    digits = next((n for n in range(8) if all(abs(x - round(x, n)) < 1e-9 for x in found)), 8)
    return [(round(x, digits), f"{x:.{digits}f}") for x in found]


def spaced(wanted: Mapping[str, float], gap: float, least: float, most: float) -> dict[str, float]:
    """Where names go in a margin: as near to where they want to be as may be, in that order, no two nearer than a gap, within bounds.

    >>> spaced({"a": 10, "b": 12, "c": 40}, 15, 0, 100)
    {'a': 10, 'b': 25, 'c': 40}
    """
    placed: dict[str, float] = {}
    free = least
    for name in sorted(wanted, key=lambda name: wanted[name]):
        placed[name] = max(wanted[name], free)
        free = placed[name] + gap
    last = most
    for name in reversed(placed):
        placed[name] = min(placed[name], last)
        last = placed[name] - gap
    return placed


def svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """A picture with a name for those who do not see it."""
    return (
        f'<svg role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" style="max-width:100%" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="sans-serif" font-size="13"><title>{escape(title)}</title>{"".join(body)}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#222") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0, dashes: str = "") -> str:
    """A straight line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def dot(x: float, y: float, colour: str, radius: float = 4.5) -> str:
    """A dot."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'


def intervals(rows: Mapping[str, Mapping[str, Any]], title: str, level: float | None = None) -> str:
    """A line of the picture for each row: a dot, thick the bootstrap's interval, thin below it Student's over seeds.

    Args:
        rows: name -> a figure of `comparison_summary`. level: where a dashed line stands, such as 0.5 for win rates.
    """
    ends = [
        x for one in rows.values() for name in ("low", "high", "seed_low", "seed_high") if (x := one[name]) is not None
    ]
    low, high = (min(ends), max(ends)) if level is None else (min(*ends, level), max(*ends, level))
    margin = 0.05 * ((high - low) or 1.0)
    a, b = scale(low - margin, high + margin, LEFT, WIDTH - 20)
    bottom = 24 + LINE * len(rows)
    body = [text(LEFT, 14, title, colour=GREY)]
    if level is not None:
        body.append(line(a * level + b, 20, a * level + b, bottom, GREY, 1, "5 4"))
    for number, (name, one) in enumerate(rows.items()):
        y = 38 + LINE * number
        body.append(text(LEFT - 10, y + 4, name, "end"))
        if one["seed_low"] is not None:
            body.append(line(a * one["seed_low"] + b, y + 8, a * one["seed_high"] + b, y + 8, GREY, 1.5))
        body.append(line(a * one["low"] + b, y, a * one["high"] + b, y, BLUE, 4))
        body.append(dot(a * one["mean"] + b, y, BLUE))
    for value, words in ticks(low - margin, high + margin):
        body += [
            text(a * value + b, bottom + 18, words, "middle", GREY),
            line(a * value + b, bottom, a * value + b, bottom + 4, GREY),
        ]
    return svg(WIDTH, bottom + 26, title, [*body, line(LEFT, bottom, WIDTH - 20, bottom, GREY)])


def plane(
    points: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]], on: Mapping[str, bool], axes: tuple[str, str]
) -> str:
    """Points with their bootstrap intervals both ways; those on the front in red, joined by steps.

    Args:
        points: name -> (figure for x, figure for y). on: name -> is it on the front? axes: what x and y are.
    """
    top, bottom, right = 20.0, 420.0, WIDTH - 150.0
    body = [line(70, bottom, right, bottom, GREY), line(70, top, 70, bottom, GREY)]
    scales = []
    for at, (start, end) in enumerate(((70.0, right), (bottom, top))):
        ends = [one[at][name] for one in points.values() for name in ("low", "high")]
        margin = 0.06 * ((max(ends) - min(ends)) or 1.0)
        a, b = scale(min(ends) - margin, max(ends) + margin, start, end)
        for value, words in ticks(min(ends) - margin, max(ends) + margin):
            place = a * value + b
            body.append(
                text(64, place + 4, words, "end", GREY) if at else text(place, bottom + 18, words, "middle", GREY)
            )
        scales.append((a, b))
    (ax, bx), (ay, by) = scales
    steps = sorted((x["mean"], y["mean"]) for name, (x, y) in points.items() if on[name])
    for (x1, y1), (x2, y2) in itertools.pairwise(steps):  # up to here nobody is better in both
        body.append(line(ax * x1 + bx, ay * y1 + by, ax * x1 + bx, ay * y2 + by, RED, 1, "3 3"))
        body.append(line(ax * x1 + bx, ay * y2 + by, ax * x2 + bx, ay * y2 + by, RED, 1, "3 3"))
    named = spaced({name: ay * y["mean"] + by for name, (_, y) in points.items()}, GAP, top, bottom)
    for name, (x, y) in points.items():
        body.append(line(ax * x["mean"] + bx, ay * y["mean"] + by, right + 12, named[name], "#BBB", 0.8))
    for name, (x, y) in points.items():
        colour = RED if on[name] else BLUE
        cx, cy = ax * x["mean"] + bx, ay * y["mean"] + by
        body += [
            line(ax * x["low"] + bx, cy, ax * x["high"] + bx, cy, colour, 1),
            line(cx, ay * y["low"] + by, cx, ay * y["high"] + by, colour, 1),
            dot(cx, cy, colour),
            text(right + 15, named[name] + 4, name, colour=colour),
        ]
    body += [text((70 + right) / 2, bottom + 40, axes[0], "middle"), text(70, 12, axes[1])]
    return svg(WIDTH, bottom + 50, f"{axes[1]} against {axes[0]}, one point a method, with intervals", body)
