"""The pictures of the comparison's page, as SVG text: intervals as lines with dots, and a map of helpful against harmless.

SVG needs nothing from anywhere, stays sharp, and its words can be searched and read aloud. Every text that is put in is escaped. (In the
notebook the same figures are drawn by `lablib.show`, which the stages do not import.)

Left out: everything that moves.
"""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
LEFT, WIDTH, LINE = 170, 760, 30  # pixels


def scale(low: float, high: float, start: float, end: float) -> tuple[float, float]:
    """(a, b) with x -> a·x + b taking [low, high] to [start, end]."""
    a = (end - start) / ((high - low) or 1.0)
    return a, start - a * low


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
    """A line of the picture for each row: a dot, thick the bootstrap's interval, thin Student's over seeds.

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
            body.append(line(a * one["seed_low"] + b, y, a * one["seed_high"] + b, y, GREY))
        body.append(line(a * one["low"] + b, y, a * one["high"] + b, y, BLUE, 4))
        body.append(dot(a * one["mean"] + b, y, BLUE))
    for share in range(5):
        value = low + share * (high - low) / 4
        body += [
            text(a * value + b, bottom + 18, f"{value:.2f}", "middle", GREY),
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
    top, bottom, right = 20.0, 420.0, WIDTH - 130.0
    scales = []
    for at, (start, end) in enumerate(((70.0, right), (bottom, top))):
        ends = [one[at][name] for one in points.values() for name in ("low", "high")]
        margin = 0.06 * ((max(ends) - min(ends)) or 1.0)
        scales.append((*scale(min(ends) - margin, max(ends) + margin, start, end), min(ends), max(ends)))
    (ax, bx, xlow, xhigh), (ay, by, ylow, yhigh) = scales
    body = [line(70, bottom, right, bottom, GREY), line(70, top, 70, bottom, GREY)]
    for share in range(5):
        x, y = xlow + share * (xhigh - xlow) / 4, ylow + share * (yhigh - ylow) / 4
        body += [
            text(ax * x + bx, bottom + 18, f"{x:.2f}", "middle", GREY),
            text(64, ay * y + by + 4, f"{y:.2f}", "end", GREY),
        ]
    steps = sorted((x["mean"], y["mean"]) for name, (x, y) in points.items() if on[name])
    for (x1, y1), (x2, y2) in itertools.pairwise(steps):  # up to here nobody is better in both
        body.append(line(ax * x1 + bx, ay * y1 + by, ax * x1 + bx, ay * y2 + by, RED, 1, "3 3"))
        body.append(line(ax * x1 + bx, ay * y2 + by, ax * x2 + bx, ay * y2 + by, RED, 1, "3 3"))
    for name, (x, y) in points.items():
        colour = RED if on[name] else BLUE
        cx, cy = ax * x["mean"] + bx, ay * y["mean"] + by
        body += [
            line(ax * x["low"] + bx, cy, ax * x["high"] + bx, cy, colour, 1),
            line(cx, ay * y["low"] + by, cx, ay * y["high"] + by, colour, 1),
            dot(cx, cy, colour),
            text(cx + 8, cy - 7, name, colour=colour),
        ]
    body += [text((70 + right) / 2, bottom + 40, axes[0], "middle"), text(70, 12, axes[1])]
    return svg(WIDTH, bottom + 50, f"{axes[1]} against {axes[0]}, one point a method, with intervals", body)
