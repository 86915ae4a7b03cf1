"""Curves with points on them: what theory says as a line, what was measured as points with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from lablib.show.style import COLOURS, GREY, Picture, figure, to_array

Point = tuple[float, float, float, float]  # x, measured, lower and upper end of its interval


def theory_and_points(
    x: Any,
    curves: Mapping[str, Any],
    points: Mapping[str, Sequence[Point]] | None,
    alt: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, float] | None = None,
    width: float = 7.6,
    height: float = 3.6,
) -> Picture:
    """Lines for theory, points of the same colour for what was measured under the same name.

    Args:
        x: (N,). curves: name → (N,).
        points: name → (x, value, low, high) for each point; None where nothing was measured.
        alt, x_label, y_label: words.
        lines: vertical lines by name, such as a threshold.

    Raises:
        ValueError: a curve of another length than x, or points that have no curve.
    """
    at = to_array(x, "x")
    if unknown := sorted(set(points or {}) - set(curves)):
        raise ValueError(f"points has {unknown[0]!r}, curves has {sorted(curves)}: expected a curve for each")
    fig, ax = figure(width=width, height=height)
    for number, (name, values) in enumerate(curves.items()):
        y, colour = to_array(values, name), COLOURS[number % len(COLOURS)]
        if y.shape != at.shape:
            raise ValueError(f"the curve {name!r} has shape {y.shape}: expected that of x, {at.shape}")
        ax.plot(at, y, color=colour, linewidth=2, label=name)
        for px, value, low, high in (points or {}).get(name, ()):
            ax.plot([px, px], [low, high], color=colour, linewidth=1.6, alpha=0.6)
            ax.plot([px], [value], "o", color=colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8)
    for name, place in (lines or {}).items():
        ax.axvline(place, color=GREY, linestyle="--", linewidth=1.2, label=name)
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return Picture(fig, alt)


def scatter_with_band(
    x: Any,
    y: Any,
    band_x: Any,
    low: Any,
    high: Any,
    alt: str,
    x_label: str,
    y_label: str,
    band: str,
    width: float = 5.6,
) -> Picture:
    """Points around the diagonal, and the band in which theory expects them.

    Args:
        x, y: (N,) true and estimated. band_x, low, high: (M,) the band. band: its name for the legend.
    """
    xs, ys = to_array(x, "x"), to_array(y, "y")
    if xs.shape != ys.shape:
        raise ValueError(f"x has shape {xs.shape}, y {ys.shape}: expected one y for each x")
    fig, ax = figure(width=width, height=3.8)
    at = to_array(band_x, "band_x")
    ax.fill_between(
        at, to_array(low, "low"), to_array(high, "high"), color="#D0D0D0", alpha=0.7, linewidth=0, label=band
    )
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    ax.plot(xs, ys, "o", color=COLOURS[0], markersize=4, alpha=0.6, markeredgewidth=0, label="a pair of documents")
    ax.set(xlabel=x_label, ylabel=y_label, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(loc="upper left", frameon=False)
    return Picture(fig, alt)


def mixture_chart(
    alphas: Any, shares: Mapping[str, Any], epochs: Mapping[str, Any], alt: str, most: float = 4.0
) -> Picture:
    """Left the share of each source by the power alpha, right how often each is then read.

    Args:
        alphas: (N,). shares, epochs: source → (N,).
        most: epochs up to which repeating costs little; drawn as a line.
    """
    at = to_array(alphas, "alphas")
    fig, (left, right) = figure(cols=2, width=9.4, height=3.4)
    for number, source in enumerate(shares):
        colour = COLOURS[number % len(COLOURS)]
        left.plot(at, to_array(shares[source], source), color=colour, linewidth=2)
        right.plot(at, to_array(epochs[source], source), color=colour, linewidth=2, label=source)
    right.axhline(most, color=GREY, linestyle="--", linewidth=1.2, label=f"{most:g} epochs")
    left.set(xlabel="α: 0 all alike, 1 in proportion to size", ylabel="share of the training text", ylim=(0, None))
    right.set(xlabel="α", ylabel="times it is read", yscale="log")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return Picture(fig, alt)
