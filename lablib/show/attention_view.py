"""Pictures of attention: heat maps of weights, and of any other matrix with named rows and columns.

Every picture is drawn from the weights that it is given, the ones that the forward pass returned; nothing
is computed a second time here. The views that answer to the mouse stand in `lablib.show.explore` (sliders
on the learner's own function) and `lablib.show.offline_bertviz`; both can be had from here.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from lablib.show.offline_bertviz import bertviz_view
from lablib.show.style import DIVERGING, SEQUENTIAL, Picture, figure, no_grid, to_array

if TYPE_CHECKING:
    from lablib.show.explore import AttentionExplorer

__all__ = ["attention_explorer", "attention_map", "bertviz_view", "heat_map"]

READABLE = 8  # up to so many rows and columns, each cell also shows its number
MAX_WIDTH = 9.4  # inches


def attention_map(
    weights: Any,
    rows: Sequence[str],
    cols: Sequence[str] | None = None,
    title: str = "",
    head_names: Sequence[str] | None = None,
    alt: str | None = None,
) -> Picture:
    """Attention weights as a heat map, one panel per head.

    Args:
        weights: (T, S), or (H, T, S) for several heads; each from 0 to 1.
        rows: the T query tokens.
        cols: the S key tokens; the same as rows when left out.
        title: heading of the figure.
        head_names: heading of each panel; "head 0", "head 1", ... when left out.
        alt: replaces the text alternative that is made from the names.

    Raises:
        ValueError: the shape does not fit the names, or the values are no attention weights.

    >>> attention_map([[1.0, 0.0], [0.5, 0.5]], ["the", "cat"]).alt
    'Heat map of attention weights. Rows are queries (the, cat), columns are keys (the, cat).'
    """
    values = to_array(weights, "weights")
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if not np.isfinite(values).all() or low < -1e-4 or high > 1 + 1e-4:
        raise ValueError(
            f"weights go from {low:.3g} to {high:.3g}, expected attention weights from 0 to 1; "
            "scores before the softmax can be drawn with heat_map(scores, rows, cols)"
        )
    cols = rows if cols is None else cols
    if alt is None:
        heads = f" of {len(values)} heads, one panel each" if values.ndim == 3 else ""
        alt = (
            f"Heat map of attention weights{heads}. "
            f"Rows are queries ({', '.join(rows)}), columns are keys ({', '.join(cols)})."
        )
    if head_names is None:
        head_names = [f"head {i}" for i in range(len(values))] if values.ndim == 3 else [""]
    axis_labels = ("key (looked at)", "query (looking)")
    return _maps(values, rows, cols, title, head_names, alt, axis_labels, "weight", SEQUENTIAL, (0.0, 1.0))


def heat_map(
    values: Any,
    rows: Sequence[str],
    cols: Sequence[str] | None = None,
    title: str = "",
    x: str = "",
    y: str = "",
    label: str = "",
    panel_names: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
    alt: str | None = None,
) -> Picture:
    """Any matrix with named rows and columns, such as scores before the softmax; one panel per matrix of a
    stack.

    Values of both signs get a colour map with white at zero, values of one sign a single hue.

    Args:
        values: (T, S) or (N, T, S), finite.
        rows, cols: names; cols as rows when left out.
        x, y, label: labels of the two axes and of the colour bar, with units.
        value_range: what the two ends of the colour bar mean; from the values when left out.
    """
    block = to_array(values, "values")
    if not np.isfinite(block).all():
        bad = np.argwhere(~np.isfinite(block))[0].tolist()
        raise ValueError(f"values{bad} is {block[tuple(bad)]}, expected finite numbers; draw weights, or mask them")
    cols = rows if cols is None else cols
    if value_range is None:
        top = float(np.abs(block).max()) or 1.0
        value_range = (-top, top) if block.min() < 0 else (0.0, top)
    if alt is None:
        alt = f"Heat map of {label or title or 'values'}. Rows are {', '.join(rows)}; columns are {', '.join(cols)}."
    cmap = DIVERGING if value_range[0] < 0 else SEQUENTIAL
    if panel_names is None:
        panel_names = [""] * (len(block) if block.ndim == 3 else 1)
    return _maps(block, rows, cols, title, panel_names, alt, (x, y), label, cmap, value_range)


def attention_explorer(
    attention: Any, q: Any, k: Any, v: Any, tokens: Sequence[str], query: int | None = None, key: int | None = None
) -> "AttentionExplorer":
    """Sliders on the learner's own attention function; see `lablib.show.explore.AttentionExplorer`."""
    from lablib.show.explore import AttentionExplorer

    return AttentionExplorer(attention, q, k, v, tokens, query, key)


def draw_map(
    ax: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    cols: Sequence[str],
    cmap: str = SEQUENTIAL,
    value_range: tuple[float, float] = (0.0, 1.0),
    numbers: bool = True,
) -> Any:
    """One matrix into one panel: values (T, S), names at the ticks, a number in each cell where there is
    room."""
    low, high = value_range
    mesh = ax.pcolormesh(values, cmap=cmap, vmin=low, vmax=high, edgecolors="#E4E4E4", linewidth=0.5)
    ax.set_xticks(np.arange(len(cols)) + 0.5, cols, rotation=90 if max(map(len, cols)) > 2 else 0)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.set_ylim(len(rows), 0)
    ax.set_aspect("equal")
    no_grid(ax)
    if numbers:
        for (row, col), value in np.ndenumerate(values):
            red, green, blue, _ = mesh.cmap(mesh.norm(value))
            light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
            ax.text(col + 0.5, row + 0.5, short(value), ha="center", va="center", color="black" if light else "white")
    return mesh


def short(value: float) -> str:
    """A number in four letters at most where it can be: 0.25 becomes .25.

    >>> short(0.25), short(1.0), short(-0.5), short(12.34), short(-0.001)
    ('.25', '1', '-.5', '12.3', '0')
    """
    text = f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    text = text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
    return "0" if text in ("-0", "") else text


def _maps(
    values: np.ndarray,
    rows: Sequence[str],
    cols: Sequence[str],
    title: str,
    names: Sequence[str],
    alt: str,
    axis_labels: tuple[str, str],
    label: str,
    cmap: str,
    value_range: tuple[float, float],
) -> Picture:
    if values.ndim not in (2, 3) or values.shape[-2:] != (len(rows), len(cols)):
        raise ValueError(
            f"the values have shape {values.shape}, expected ({len(rows)}, {len(cols)}) or (panels, {len(rows)}, {len(cols)}) "
            f"for {len(rows)} row names and {len(cols)} column names; one sentence of a batch is weights[0]"
        )
    stack = values if values.ndim == 3 else values[None]  # (N, T, S)
    if len(names) != len(stack):
        raise ValueError(f"{len(names)} panel names for {len(stack)} panels, expected one name for each")
    numbers = max(len(rows), len(cols)) <= READABLE and len(stack) <= 4
    cell = 0.4 if numbers else 0.17 if len(stack) > 1 else 0.28  # inches; a line of text needs 0.15
    names_width = 0.085 * max(map(len, rows)) + 0.3
    names_height = 0.085 * max(map(len, cols)) + 0.4
    room = MAX_WIDTH - names_width - 0.8
    if len(stack) > 2 and not numbers:  # three side by side if the letters still have room
        cell = min(cell, max(0.145, (room / 3 - 0.2) / len(cols)))
    across = min(len(stack), max(1, int(room / (cell * len(cols) + 0.2) + 1e-6)))
    down = math.ceil(len(stack) / across)
    width = min(MAX_WIDTH, across * (cell * len(cols) + 0.2) + names_width + 1.0)
    height = down * (cell * len(rows) + 0.3) + names_height + (0.35 if title else 0)
    fig, axes = figure(down, across, max(width, 3.4), height, squeeze=False, sharex=True, sharey=True)
    fig.set_layout_engine("compressed")  # keeps square panels together and their labels inside
    for ax, matrix, name in zip(axes.flat, stack, names, strict=False):
        mesh = draw_map(ax, matrix, rows, cols, cmap, value_range, numbers)
        ax.set_title(name, fontsize=10)
    for ax in axes.flat[len(stack) :]:
        ax.set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel(axis_labels[0])
    for ax in axes[:, 0]:
        ax.set_ylabel(axis_labels[1])
    fig.suptitle(title)
    fig.colorbar(mesh, ax=axes, label=label, fraction=0.04, aspect=25)
    return Picture(fig, alt, colours=256)
