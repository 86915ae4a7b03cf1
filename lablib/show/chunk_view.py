"""How a text was cut: for each way to cut a row of bars, one bar a chunk, and behind them what should stay in one piece.

Neighbouring chunks have two colours and two heights, so that an overlap is seen as such.
"""

from collections.abc import Mapping, Sequence

from lablib.show.style import COLOURS, Picture, figure


def chunk_bars(
    cuts: Mapping[str, Sequence[tuple[int, int]]],
    kept: Sequence[tuple[int, int]],
    x: str,
    alt: str,
    width: float = 9.0,
) -> Picture:
    """Rows of bars from above, one for each way to cut.

    Args:
        cuts: name → (start, stop) of each chunk, in characters. kept: stretches that are drawn as upright bands behind the bars.
        x: label of the axis. alt: what the picture shows. width: inches.
    Raises:
        ValueError: no way to cut.
    """
    if not cuts:
        raise ValueError("cuts is empty: expected at least one way to cut, name → spans")
    fig, ax = figure(width=width, height=0.9 + 0.65 * len(cuts))
    for start, stop in kept:
        ax.axvspan(start, stop, color=COLOURS[1], alpha=0.35, linewidth=0)
    for row, spans in enumerate(cuts.values()):
        for number, (start, stop) in enumerate(spans):
            odd = number % 2
            ax.barh(row + 0.28 * odd - 0.14, stop - start, left=start, height=0.26, color=COLOURS[4 * odd], alpha=0.8)
    ax.set_yticks(range(len(cuts)), list(cuts))
    ax.set(xlabel=x, ylim=(len(cuts) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    return Picture(fig, alt)
