"""Scaling laws as pictures: losses by size with the fitted law and its band, and what a compute can buy.

What is drawn is the loss less its floor, on logarithmic axes: there, and only there, a power law is a straight line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lablib.show.style import COLOURS, GREY, Picture, figure, to_array

Band = tuple[Any, Any, Any]  # the law, the lower and the upper end of its interval, each (M,)
Point = tuple[float, float]
MARKERS = ("o", "s", "^", "D", "v")


def scaling_chart(
    at: Any,
    laws: Mapping[str, Band],
    runs: Mapping[str, Sequence[Point]],
    alt: str,
    x: str,
    y: str,
    marked: Mapping[str, Point] | None = None,
    width: float = 8.2,
    height: float = 4.0,
) -> Picture:
    """A law with its band for each group of runs, the runs as points, and single runs marked by name; both axes logarithmic.

    Args:
        at: (M,) sizes. laws: group → the law at these sizes and its interval. runs: group → (size, loss) of each run.
        alt, x, y: words. marked: name → (size, loss), drawn as a star.

    Raises:
        ValueError: runs without a law, a number that a logarithmic axis cannot show, or lengths that differ.
    """
    sizes = to_array(at, "at")
    if unknown := sorted(set(runs) - set(laws)):
        raise ValueError(f"runs has {unknown[0]!r}, laws has {sorted(laws)}: expected a law for each")
    if not (sizes > 0).all():
        raise ValueError("at holds a size that is not above 0: expected numbers > 0 for a logarithmic axis")
    for name, (size, loss) in [
        *(marked or {}).items(),
        *((g, point) for g, points in runs.items() for point in points),
    ]:
        if not (size > 0 and loss > 0):
            raise ValueError(f"{name!r} has a run at ({size}, {loss}): expected numbers > 0 for logarithmic axes")
    fig, ax = figure(width=width, height=height)
    for number, (name, band) in enumerate(laws.items()):
        colour = COLOURS[number % len(COLOURS)]
        law, low, high = (to_array(line, name) for line in band)
        if not law.shape == low.shape == high.shape == sizes.shape:
            raise ValueError(f"the law of {name!r} has {law.shape}, {low.shape}, {high.shape}: expected {sizes.shape}")
        least = min([*law[law > 0], *(loss for _, loss in runs.get(name, ()))])
        ax.fill_between(sizes, low.clip(least / 10), high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(sizes, law, color=colour, linewidth=1.8)
        places = list(zip(*runs[name], strict=True)) if runs.get(name) else [(), ()]
        marker = MARKERS[number % len(MARKERS)]
        ax.plot(*places, marker, color=colour, markersize=5, alpha=0.75, markeredgewidth=0, label=name)
    for number, (name, (size, loss)) in enumerate((marked or {}).items()):
        colour = "black" if number == 0 else GREY
        ax.plot([size], [loss], "*", color=colour, markersize=13, markeredgecolor="white", label=name, zorder=5)
    ax.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")  # 0.2, not 2 × 10⁻¹
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return Picture(fig, alt)


def frontier_chart(
    compute: Any,
    curves: Mapping[str, tuple[Any, Any]],
    marked: Mapping[str, tuple[float, float]],
    alt: str,
    width: float = 7.8,
    height: float = 3.8,
) -> Picture:
    """The best number of parameters by compute, for several laws, and models as they were made.

    Args:
        compute: (M,) FLOPs. curves: law → (parameters, tokens), each (M,); tokens per parameter are drawn on the right.
        marked: model → (parameters, tokens); its compute is 6 · parameters · tokens.
    """
    C = to_array(compute, "compute")
    fig, (left, right) = figure(cols=2, width=width + 2.4, height=height)
    for number, (name, (N, D)) in enumerate(curves.items()):
        parameters, tokens = to_array(N, name), to_array(D, name)
        if not parameters.shape == tokens.shape == C.shape:
            raise ValueError(
                f"{name!r} has {parameters.shape} and {tokens.shape}: expected {C.shape}, one for each compute"
            )
        colour = COLOURS[number % len(COLOURS)]
        left.plot(C, parameters, color=colour, linewidth=2)
        right.plot(C, tokens / parameters, color=colour, linewidth=2, label=name)
    for number, (name, (n, d)) in enumerate(marked.items()):
        style = {"color": "black" if number % 2 == 0 else GREY, "markersize": 7, "linestyle": "none"}
        left.plot([6 * n * d], [n], MARKERS[number % len(MARKERS)], **style)
        right.plot([6 * n * d], [d / n], MARKERS[number % len(MARKERS)], label=name, **style)
    left.set(xscale="log", yscale="log", xlabel="compute (FLOPs)", ylabel="parameters")
    right.set(xscale="log", yscale="log", xlabel="compute (FLOPs)", ylabel="tokens for each parameter")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return Picture(fig, alt)


def memory_bars(
    rows: Mapping[str, Mapping[str, float]],
    limit: float,
    alt: str,
    x: str = "gigabytes on one device",
    title: str = "",
    width: float = 8.4,
) -> Picture:
    """What fills a device's memory: a bar for each row, cut into its parts, and the device's memory as a line.

    Args:
        rows: row → part → amount, in the unit that x names. limit: how much there is. title: a heading.

    Raises:
        ValueError: no row.
    """
    if not rows:
        raise ValueError("rows is empty: expected at least one row with its parts")
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    fig, ax = figure(width=width, height=1.1 + 0.45 * len(rows))
    for place, row in enumerate(rows.values()):
        start = 0.0
        for number, part in enumerate(parts):
            amount = row.get(part, 0.0)
            label = part if place == 0 else None
            ax.barh(place, amount, left=start, color=COLOURS[number % len(COLOURS)], height=0.62, label=label)
            start += amount
    ax.axvline(limit, color=GREY, linestyle="--", linewidth=1.4, label="memory of the device")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=x, ylim=(len(rows) - 0.5, -0.5), title=title)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return Picture(fig, alt)
