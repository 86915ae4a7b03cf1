"""One visual style for every figure of the course, and `Picture`, a figure that carries its own text
alternative.

Colours: the palette of Okabe and Ito (2008), "Color Universal Design", https://jfly.uni-koeln.de/color/,
without its yellow, which is too pale for a line on white. The tests simulate colour blindness and measure
how far apart the colours stay. Figures are made without pyplot, so nothing is shown twice, nothing leaks
and no global state is changed. Left out: themes. The background is always white, so a figure reads the
same on a light and on a dark page.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# blue, vermilion, green, orange, sky blue, purple, black
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000")
GREY = "#767676"  # reference lines and everything that is context, not data
SEQUENTIAL = "Blues"  # zero is white, as the page is
DIVERGING = "PuOr"  # purple to orange: the two ends stay apart for every kind of colour vision

CSS_DPI = 96  # a browser shows one inch as 96 pixels, so a 10 pt letter is as large as the page's own text
SCALE = 2  # drawn at twice the size it is shown at, so that it is crisp on every screen

# Only what matplotlib reads when axes are made; the rest is its own default.
STYLE: Any = {
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


def figure(rows: int = 1, cols: int = 1, width: float = 7.0, height: float = 3.2, **grid: Any) -> tuple[Figure, Any]:
    """A new figure in the course's style, with its axes.

    Args:
        rows, cols: how many panels.
        width, height: size of the whole figure in inches; on the page one inch is 96 pixels.
        grid: what `matplotlib.figure.Figure.subplots` takes (sharex, sharey, width_ratios, squeeze, ...).

    Returns:
        (figure, axes): axes is one `Axes` for a single panel, else an array of them, as matplotlib gives it.

    >>> fig, ax = figure()
    >>> _ = ax.plot([0, 1, 2], [0, 1, 4])
    >>> fig, (left, right) = figure(cols=2, width=9)
    """
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(width, height), dpi=CSS_DPI, layout="constrained")
        return fig, fig.subplots(rows, cols, **grid)


def no_grid(ax: Axes) -> None:
    """Takes grid, ticks and frame off a panel whose content is an image or a table."""
    ax.grid(False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


class Picture:
    """A finished figure with the sentence that stands for it where it cannot be seen.

    Shown as the last value of a cell (or by `display`), it gives the notebook a PNG at twice the size it
    is shown at, and the sentence as plain text and as the image's text alternative. The sentence must be
    the same at every run of a cell, so it says what the picture is of and how to read it; the figures that
    a run measures belong in printed output.

    Args:
        figure: a matplotlib Figure, as `lablib.show.style.figure` makes it.
        alt: what the picture shows, one plain sentence or two.
        scale: pixels of the PNG for each pixel it is shown at.
        colours: keep only so many, which makes the file several times smaller; None keeps all.

    Raises:
        ValueError: when alt is empty.

    >>> fig, ax = figure()
    >>> Picture(fig, "An empty frame.").alt
    'An empty frame.'
    """

    def __init__(self, figure: Figure, alt: str, scale: float = SCALE, colours: int | None = 128) -> None:
        self.figure = figure
        self.scale, self.colours = scale, colours
        self.alt = checked_alt(alt)
        self._png: bytes | None = None

    @property
    def png(self) -> bytes:
        """The picture as PNG bytes, drawn once and kept."""
        if self._png is None:
            self._png = render_png(self.figure, self.scale, self.colours)
        return self._png

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels, as the page shows it."""
        return display_size(self.figure)

    def save(self, path: str | Path) -> Path:
        """Writes the PNG to a file and gives back its path."""
        path = Path(path)
        path.write_bytes(self.png)
        return path

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return image_bundle(self.png, self.size, self.alt)


def checked_alt(alt: object) -> str:
    """The text alternative itself; a clear error when it is missing."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(
            f"alt is {alt!r}, expected a sentence that says what the picture shows to "
            "a person who cannot see it; "
            'for example alt="Loss against step: it falls from 4 to 1 and levels off near the floor."'
        )
    return alt.strip()


def render_png(figure: Figure, scale: float = SCALE, colours: int | None = 128) -> bytes:
    """A figure as PNG bytes at `scale` times the size it is shown at, with no more than so many colours."""
    buffer = io.BytesIO()
    figure.set_dpi(CSS_DPI * scale)
    figure.draw_without_rendering()  # the layout needs a first pass to know how wide the labels are
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    if colours is None:
        return buffer.getvalue()
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def display_size(figure: Figure) -> tuple[int, int]:
    """Width and height of a figure on the page, in CSS pixels."""
    width, height = figure.get_size_inches() * CSS_DPI
    return round(width), round(height)


def image_bundle(png: bytes, size: tuple[int, int], alt: str) -> tuple[dict, dict]:
    """(data, metadata) for one PNG, as a notebook's rich display wants them."""
    data = {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    return data, {"image/png": {"alt": alt, "width": size[0], "height": size[1]}}


def to_array(values: Any, name: str) -> np.ndarray:
    """Numbers from a torch tensor (any device, any dtype, with or without gradient), an array or nested
    lists, as float64.

    Raises:
        TypeError: names the argument when it does not hold numbers.
    """
    torch = sys.modules.get("torch")  # a tensor can only come from a torch that is already imported
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is a {type(values).__name__} that does not make one block of numbers ({error}); "
            "expected a tensor, an array or nested lists of equal length"
        ) from None
