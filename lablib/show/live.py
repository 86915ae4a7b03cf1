"""A chart that draws itself while a loop runs: training curves that the learner watches grow.

One display, updated in place; the last picture stays in the notebook. Drawing never takes more than about
a tenth of the loop's time: it happens at most every half second, less often where drawing is slow, and
once more at the end. Outside a notebook nothing is drawn and the numbers are kept.
Left out: smoothing (it hides the noise that a learner should see) and zooming.
"""

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lablib.show.style import (
    COLOURS,
    GREY,
    Picture,
    checked_alt,
    display_size,
    figure,
    image_bundle,
    render_png,
)

REDRAW_SECONDS = 0.5  # the shortest time between two drawings
DRAWING_SHARE = 0.1  # the largest part of the running time that drawing may take
MAX_BINS = 400  # of a thinned series; each keeps its smallest and largest point


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a live chart.

    Args:
        series: names of the lines; `add` takes them as keywords (a name with spaces: `add(step, **{"grad
            norm": 1.0})`).
        y: label of the y axis, with its unit.
        title: heading of the panel.
        levels: horizontal reference lines by name, such as {"entropy floor": 1.2}.
        log_y: a logarithmic y axis.
        y_range: fixed limits, or None to follow the data.
    """

    series: Sequence[str]
    y: str = ""
    title: str = ""
    levels: Mapping[str, float] = field(default_factory=dict)
    log_y: bool = False
    y_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.series, str):
            raise TypeError(f"series is the text {self.series!r}, expected a list of names: [{self.series!r}]")
        if not self.series or len(set(self.series)) != len(self.series):
            raise ValueError(f"series is {list(self.series)}, expected at least one name and no name twice")


class LiveChart:
    """A chart to feed from a loop.

    Args:
        series: names of the lines of a single panel, or a list of `Panel` for several panels side by side.
        x: label of the x axis, shared by all panels.
        y, title, levels, log_y, y_range: as in `Panel`, for a single panel.
        alt: what the chart shows, the same sentence at every run.
        bands: several values at one x are runs (seeds): draw their mean as a line and their smallest to
            largest as a band. The runs may come together, `add(x, loss=[1.2, 1.3])`, or one after another,
            the same x again.
        width, height: inches of the whole figure (one inch is 96 pixels on the page).

    Attributes:
        data: {"x": [...], name: [...]}: one entry per `add` (per run with bands); None where a call did
            not give that series, NaN where it gave NaN, which leaves a gap in the line.

    >>> with LiveChart(["loss"], x="step", y="loss (nats)", alt="Loss by step, falling.") as chart:
    ...     for step in range(3):
    ...         chart.add(step, loss=4 - step)
    >>> chart.data
    {'x': [0.0, 1.0, 2.0], 'loss': [4.0, 3.0, 2.0]}
    """

    def __init__(
        self,
        series: Sequence[str] | Sequence[Panel],
        x: str = "step",
        y: str = "",
        title: str = "",
        alt: str = "",
        log_y: bool = False,
        levels: Mapping[str, float] | None = None,
        y_range: tuple[float, float] | None = None,
        bands: bool = False,
        width: float | None = None,
        height: float = 3.2,
    ) -> None:
        if not isinstance(series, str) and series and all(isinstance(panel, Panel) for panel in series):
            self.panels = [panel for panel in series if isinstance(panel, Panel)]
        else:
            self.panels = [Panel(series, y, title, levels or {}, log_y, y_range)]  # type: ignore[arg-type]
        names = [name for panel in self.panels for name in panel.series]
        if len(set(names)) != len(names) or "x" in names:
            raise ValueError(f"series are {names}, expected each name once and none of them 'x'")
        self.alt = checked_alt(alt)
        self.x, self.bands = x, bands
        self.width = width or (7.0 if len(self.panels) == 1 else min(10.0, 4.6 * len(self.panels)))
        self.height = height
        self.data: dict[str, list] = {"x": [], **{name: [] for name in names}}
        self.png = b""
        self.closed = False
        self._next_draw = 0.0
        self._handle: Any = None
        if _in_notebook():
            from IPython.display import display

            self._draw()
            self._handle = display(self, display_id=True)

    def add(self, x: float, **values: Any) -> None:
        """Adds one point to any of the series, and redraws when it is time to.

        Raises:
            ValueError: x is not finite, or the chart is closed.
            KeyError: a series that the chart was not made with.
            TypeError: a value that is not a number.
        """
        x = float(x)
        if not math.isfinite(x):
            raise ValueError(f"x is {x}, expected a finite number such as the step that was just done")
        if self.closed:
            raise ValueError("this chart is closed, its last picture is drawn; make a new LiveChart for a new run")
        data = self.data
        runs = 1
        for name, value in values.items():
            if name not in data or name == "x":
                raise KeyError(f"series {name!r} is not in this chart, expected one of {list(data)[1:]}")
            values[name] = numbers = _numbers(name, value, self.bands)
            runs = max(runs, len(numbers))
        for run in range(runs):
            data["x"].append(x)
            for name, column in data.items():
                if name != "x":
                    numbers = values.get(name, ())
                    column.append(numbers[run] if run < len(numbers) else None)
        if self._handle is not None and time.monotonic() >= self._next_draw:
            self._update()

    def close(self) -> None:
        """Draws the last state, crisp, and ends the chart. Closing twice is allowed."""
        if not self.closed:
            self.closed = True
            if self._handle is not None:
                self._update(scale=2)

    def __enter__(self) -> "LiveChart":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def figure(self) -> Figure:
        """The chart as a matplotlib figure, drawn from all the data so far."""
        fig, axes = figure(1, len(self.panels), self.width, self.height, squeeze=False)
        colours = iter(COLOURS * len(self.data))
        for panel, ax in zip(self.panels, axes[0], strict=True):
            self._draw_panel(panel, ax, colours)
        return fig

    def picture(self) -> Picture:
        """The chart as a finished picture, for instance to show it again further down."""
        return Picture(self.figure(), self.alt)

    def _draw_panel(self, panel: Panel, ax: Axes, colours: Iterable[str]) -> None:
        ax.set(xlabel=self.x, ylabel=panel.y, title=panel.title)
        if panel.log_y:
            ax.set_yscale("log")
        if panel.y_range:
            ax.set_ylim(*panel.y_range)
        for name, colour in zip(panel.series, colours, strict=False):
            x, low, middle, high = self._line(name)
            lone = "o" if np.isfinite(middle).sum() == 1 else None  # one point has no line to be seen by
            ax.plot(x, middle, color=colour, label=name, marker=lone, linewidth=1.0 if len(x) > MAX_BINS else 1.8)
            if self.bands:
                ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        for name, level in panel.levels.items():
            ax.axhline(level, color=GREY, linestyle="--", linewidth=1.4, label=f"{name} ({level:.3g})")
        if len(panel.series) + len(panel.levels) > 1:
            ax.legend(loc="best" if len(self.data["x"]) <= MAX_BINS else "upper right")

    def _line(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x, smallest, mean and largest of one series, thinned to what a screen can show."""
        given = np.array([value is not None for value in self.data[name]], dtype=bool)
        x = np.array(self.data["x"], dtype=float)[given]
        y = np.array(self.data[name], dtype=object)[given].astype(float)
        if not self.bands:
            x, y = thin(x, y)
            return x, y, y, y
        places, group = np.unique(x, return_inverse=True)
        counts = np.bincount(group, minlength=len(places))
        low, high = np.full(len(places), np.inf), np.full(len(places), -np.inf)
        np.minimum.at(low, group, y)  # a NaN stays NaN: a run that failed leaves a gap
        np.maximum.at(high, group, y)
        return places, low, np.bincount(group, weights=y, minlength=len(places)) / np.maximum(counts, 1), high

    def _draw(self, scale: float = 1) -> None:
        self.png = render_png(
            self.figure(), scale, None if scale == 1 else 128
        )  # quick while it runs, small at the end

    def _update(self, scale: float = 1) -> None:
        start = time.monotonic()
        self._draw(scale)
        self._handle.update(self)
        now = time.monotonic()
        self._next_draw = now + max(REDRAW_SECONDS, (now - start) / DRAWING_SHARE)

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        fig_size = display_size(Figure(figsize=(self.width, self.height)))
        return image_bundle(self.png or render_png(self.figure()), fig_size, self.alt)


def thin(x: np.ndarray, y: np.ndarray, bins: int = MAX_BINS) -> tuple[np.ndarray, np.ndarray]:
    """At most 2 points per bin, the smallest and the largest, so that no spike is lost; NaNs stay, as the
    gaps that they are.

    Args:
        x, y: (n,) floats.

    Returns:
        x, y: at most 2 * bins points, in the order they came, and the first NaN of each bin beside them.
    """
    n = len(x)
    if n <= 2 * bins:
        return x, y
    edges = np.linspace(0, n, bins + 1).astype(int)
    keep = set()
    for start, stop in pairwise(edges):
        part = y[start:stop]
        gaps = np.flatnonzero(np.isnan(part))
        if len(gaps):
            keep.add(start + int(gaps[0]))
        if len(gaps) < len(part):
            keep.update((start + int(np.nanargmin(part)), start + int(np.nanargmax(part))))
    index = np.array(sorted(keep))
    return x[index], y[index]


def _numbers(name: str, value: Any, bands: bool) -> tuple[float, ...]:
    """One value as a tuple of floats: one number, or one for each run."""
    try:
        return (float(value),)
    except (TypeError, ValueError):
        pass
    if not bands and isinstance(value, list | tuple):
        raise TypeError(
            f"{name} is {value!r}, expected one number; several values at one x "
            "(one for each seed) need LiveChart(..., bands=True)"
        )
    try:
        return tuple(float(number) for number in value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}, expected a number such as loss.item()") from None


def _in_notebook() -> bool:
    """True in a Jupyter kernel, False in plain Python, in a terminal and under pytest."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config
