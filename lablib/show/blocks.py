"""Block diagrams: the parts of a transformer as boxes, drawn from a list that says what stands on what.

Left out: anything automatic. A diagram here is a column of boxes with arrows, and the one figure that has two columns.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from lablib.show.style import COLOURS, GREY, Picture, figure, no_grid

KINDS = {  # what a box does -> its colour
    "attention": COLOURS[3],
    "feed-forward": COLOURS[4],
    "norm": "#F0E8B8",
    "table": "#D9D9D9",
}
WIDTH, HEIGHT, GAP = 2.6, 0.5, 0.34


def box(ax: Axes, x: float, y: float, text: str, kind: str) -> None:
    """One box with its middle at (x, y)."""
    shape = FancyBboxPatch(
        (x - WIDTH / 2, y - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=KINDS[kind],
        edgecolor="#444444",
        linewidth=1,
    )
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", fontsize=9.5)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], bend: str = "arc3", **style: str) -> None:
    """An arrow from one point to another."""
    line = {
        "arrowstyle": "-|>",
        "color": "#444444",
        "linewidth": 1.2,
        "connectionstyle": bend,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", xy=end, xytext=start, arrowprops=line | style)


def column(ax: Axes, x: float, y: float, parts: Sequence[tuple[str, str]], side: int) -> dict[str, float]:
    """Boxes upwards from y, each with an arrow from the one below; around each sublayer a residual arrow on one side.

    Args:
        parts: (text, kind) from the bottom up. A norm closes the residual that began below the sublayer before it.
        side: -1 for residual arrows on the left, 1 on the right.

    Returns:
        the height of each box by its text; "top" is the highest point.
    """
    at: dict[str, float] = {}
    for number, (text, kind) in enumerate(parts):
        arrow(ax, (x, y), (x, y + GAP))
        middle = y + GAP + HEIGHT / 2
        box(ax, x, middle, text, kind)
        if kind in ("attention", "feed-forward") and number + 1 < len(parts):
            edge, out, end = x + side * WIDTH / 2, x + side * (WIDTH / 2 + 0.3), middle + HEIGHT + GAP
            ax.plot([x, out, out], [y + 0.1, y + 0.1, end], color=COLOURS[0], linewidth=1.6)
            arrow(ax, (out, end), (edge, end), color=COLOURS[0])
        at.setdefault(text, middle)
        y = middle + HEIGHT / 2
    at["top"] = y
    return at


def transformer_map() -> Picture:
    """The encoder–decoder of 2017 (Vaswani et al. 2017, figure 1, drawn anew), as the lab builds it."""
    fig, ax = figure(width=7.4, height=5.6)
    no_grid(ax)
    ax.set(xlim=(-2.7, 7.6), ylim=(-1.4, 6.9), xticks=[], yticks=[], aspect="equal")
    left, right = 0.0, 4.9
    encoder = [
        ("self-attention", "attention"),
        ("add & norm", "norm"),
        ("feed-forward", "feed-forward"),
        ("add & norm ", "norm"),
    ]
    decoder = [
        ("masked self-attention", "attention"),
        ("add & norm", "norm"),
        ("cross-attention", "attention"),
        ("add & norm ", "norm"),
        ("feed-forward", "feed-forward"),
        ("add & norm  ", "norm"),
    ]
    for x, name in ((left, "source: 3 May 2021"), (right, "target so far: 2021-0")):
        ax.text(x, -1.2, name, ha="center", va="center", fontsize=10, style="italic")
        arrow(ax, (x, -0.95), (x, -0.62))
        box(ax, x, -0.37, "embedding + position", "table")
    for x, side, height, name in ((left, -1, 3.5, "encoder layer"), (right, 1, 5.18, "decoder layer")):
        frame = FancyBboxPatch(
            (x - 1.85, -0.08),
            3.7,
            height,
            boxstyle="round,pad=0,rounding_size=0.15",
            facecolor="none",
            edgecolor=GREY,
            linestyle="--",
        )
        ax.add_patch(frame)
        ax.text(x + side * 2.08, height / 2, f"{name}, × L", rotation=90, ha="center", va="center", color=GREY)
    tops = column(ax, left, -0.12, encoder, -1), column(ax, right, -0.12, decoder, 1)
    memory, cross = tops[0]["top"], tops[1]["cross-attention"]
    ax.plot([left, left, 2.45, 2.45], [memory, memory + 0.75, memory + 0.75, cross], color=COLOURS[1], linewidth=1.8)
    arrow(ax, (2.45, cross), (right - WIDTH / 2, cross), color=COLOURS[1])
    ax.text(left + 0.1, memory + 0.9, "memory: what was read", color=COLOURS[1], ha="left", va="bottom")
    top = tops[1]["top"]
    arrow(ax, (right, top), (right, top + GAP + 0.15))
    box(ax, right, top + GAP + 0.15 + HEIGHT / 2, "logits: one per token", "table")
    arrow(ax, (right, top + GAP + 0.15 + HEIGHT), (right, top + 2 * GAP + 0.15 + HEIGHT))
    ax.text(
        right, top + 2 * GAP + 0.3 + HEIGHT, "next character: 5", ha="center", va="bottom", fontsize=10, style="italic"
    )
    alt = (
        "Block diagram. Left, the encoder layer: self-attention and feed-forward, each with a residual arrow around it into an "
        "add-and-norm box. Right, the decoder layer: masked self-attention, cross-attention fed by the encoder's memory, feed-forward."
    )
    return Picture(fig, alt)
