"""Pictures of many attention heads at once: what each looks at, and how sure a measurement of it is.

Arrays come in as the measurements made them (layers by heads, rows of numbers with intervals); nothing is
computed here but places on the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Patch, Rectangle

from lablib.show.style import COLOURS, GREY, SEQUENTIAL, Picture, figure, no_grid, to_array

ROLE_COLOURS = (COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3], COLOURS[5], COLOURS[4])
FAINT = "#EFEFEF"
GAP = 2  # white cells between two maps of a grid


def head_thumbnails(
    attention: Any, title: str = "", marked: Sequence[tuple[int, int]] = (), alt: str | None = None
) -> Picture:
    """The attention of every head of a model on one sentence, one small map each: a row per layer.

    Args:
        attention: (L, H, T, T), weights from 0 to 1. In each map rows are the tokens that look, columns the
            tokens looked at, in the order of the sentence.
        title: heading of the figure.
        marked: (layer, head) pairs to frame.
        alt: replaces the text alternative that is made from the sizes.

    Raises:
        ValueError: attention has another number of axes.
    """
    values = to_array(attention, "attention")
    if values.ndim != 4 or values.shape[2] != values.shape[3]:
        raise ValueError(f"attention has shape {values.shape}; expected (L, H, T, T): layers, heads, tokens, tokens")
    layers, heads = values.shape[:2]
    size, step = values.shape[2], values.shape[2] + GAP
    page = np.full((layers * step - GAP, heads * step - GAP), np.nan)  # one image: 72 panels take ten times as long
    for layer, head in np.ndindex(layers, heads):
        page[layer * step : layer * step + size, head * step : head * step + size] = values[layer, head]
    fig, ax = figure(width=9.0, height=9.0 * layers / heads + 0.4)
    ax.imshow(page, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
    framed = {tuple(pair) for pair in marked}
    for layer, head in np.ndindex(layers, heads):
        strong = (layer, head) in framed
        colour, width = (COLOURS[1], 2.5) if strong else ("#BBBBBB", 0.6)
        corner = (head * step - 0.5, layer * step - 0.5)
        ax.add_patch(Rectangle(corner, size, size, fill=False, color=colour, lw=width, zorder=3 if strong else 2))
    ax.set_xticks(np.arange(heads) * step + size / 2 - 0.5, range(heads))
    ax.set_yticks(np.arange(layers) * step + size / 2 - 0.5, range(layers))
    ax.set(
        xlim=(-1.5, page.shape[1] + 0.5), ylim=(page.shape[0] + 0.5, -1.5), xlabel="head", ylabel="layer", title=title
    )
    no_grid(ax)
    return Picture(
        fig,
        alt
        or f"A grid of {layers} layers by {heads} heads of small attention maps; dark is a large weight. Diagonals "
        "are heads that look at a neighbour, columns are heads that look at one token from everywhere.",
    )


def role_grid(shares: Mapping[str, Any], threshold: float, title: str = "", alt: str | None = None) -> Picture:
    """Each head coloured by the role that gets the largest share of its attention, where that passes a threshold.

    Args:
        shares: for each role the share of attention that it gets from each head, (L, H), from 0 to 1; 6 roles
            at most.
        threshold: heads whose largest share is below stay grey.
        title: heading of the figure.
        alt: replaces the text alternative that is made from the roles.
    """
    names = list(shares)
    if not 1 <= len(names) <= len(ROLE_COLOURS):
        raise ValueError(f"shares has {len(names)} roles; expected 1 to {len(ROLE_COLOURS)}")
    block = np.stack([to_array(shares[name], f"shares[{name!r}]") for name in names])  # (roles, L, H)
    best, top = block.argmax(0), block.max(0)  # (L, H)
    layers, heads = top.shape
    fig, ax = figure(width=9.0, height=0.52 * layers + 1.6)
    for (layer, head), value in np.ndenumerate(top):
        named = value >= threshold
        face = ROLE_COLOURS[best[layer, head]] if named else FAINT
        ax.fill([head, head + 1, head + 1, head], [layer, layer, layer + 1, layer + 1], color=face, ec="white", lw=2)
        # Black on the light colours of the palette, white on the dark ones.
        ink = "white" if named and face in (COLOURS[0], COLOURS[1], COLOURS[2]) else "black" if named else GREY
        ax.text(head + 0.5, layer + 0.5, f"{100 * value:.0f}", ha="center", va="center", color=ink)
    ax.set_xticks(np.arange(heads) + 0.5, range(heads))
    ax.set_yticks(np.arange(layers) + 0.5, range(layers))
    ax.set(xlim=(0, heads), ylim=(layers, 0), xlabel="head", ylabel="layer", title=title)
    no_grid(ax)
    keys = [Patch(color=ROLE_COLOURS[i], label=name) for i, name in enumerate(names)]
    keys.append(Patch(color=FAINT, label=f"none above {100 * threshold:.0f} %"))
    fig.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
    return Picture(
        fig,
        alt
        or f"A grid of {layers} layers by {heads} heads, each coloured by where most of its attention goes "
        f"({', '.join(names)}), with that share in per cent.",
    )


def interval_plot(
    rows: Sequence[tuple[str, float, float, float, float]],
    x: str,
    names: tuple[str, str],
    title: str = "",
    chance: float | None = None,
    alt: str | None = None,
) -> Picture:
    """Scores with their intervals, each beside its baseline: one line for each question.

    Args:
        rows: (label, score, low, high, baseline).
        x: label of the axis, with its unit.
        names: what the dot and the baseline's mark are called.
        title: heading.
        chance: where a blind guess stands, drawn as a dotted line.
        alt: replaces the text alternative that is made from the labels.
    """
    fig, ax = figure(width=8.0, height=0.42 * len(rows) + 1.5)
    for place, (_, score, low, high, baseline) in enumerate(rows):
        ax.plot([low, high], [place, place], color=COLOURS[0], lw=3, alpha=0.45, solid_capstyle="butt")
        ax.plot(score, place, "o", color=COLOURS[0], ms=8, label=names[0] if place == 0 else None)
        ax.plot(baseline, place, "D", color=COLOURS[1], ms=6, label=names[1] if place == 0 else None)
    if chance is not None:
        ax.axvline(chance, color=GREY, ls=":", label="blind guess")
    ax.set_yticks(range(len(rows)), [row[0] for row in rows])
    ax.set(xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel=x, title=title)
    fig.legend(loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        fig,
        alt or f"Scores with 95 % intervals and baselines, one line each: {'; '.join(row[0] for row in rows)}.",
    )


def dumbbells(
    rows: Sequence[tuple[str, float, float]],
    x: str,
    names: tuple[str, str],
    title: str = "",
    alt: str | None = None,
) -> Picture:
    """Pairs of numbers joined by a line, one pair a row, ordered as given: how far one change moves each.

    Args:
        rows: (label, first value, second value).
        x: label of the axis, with its unit.
        names: what the two dots are.
        title: heading.
        alt: replaces the text alternative that is made from the names.
    """
    fig, ax = figure(width=8.0, height=0.25 * len(rows) + 1.5)
    for place, (_, first, second) in enumerate(rows):
        ax.plot([first, second], [place, place], color=GREY, lw=1.5, zorder=1)
    places = np.arange(len(rows))
    ax.scatter([row[1] for row in rows], places, color=COLOURS[0], s=42, zorder=2, label=names[0])
    ax.scatter([row[2] for row in rows], places, color=COLOURS[1], s=42, marker="D", zorder=2, label=names[1])
    ax.axvline(0, color="#555555", lw=1)
    ax.set_yticks(places, [row[0] for row in rows])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=x, title=title)
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    return Picture(
        fig,
        alt or f"{len(rows)} pairs of points joined by lines: {names[0]} and {names[1]}, for each pair of sentences.",
    )
