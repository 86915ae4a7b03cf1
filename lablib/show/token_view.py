"""Tokens as coloured boxes, one behind the other as on a page; and a film of several pictures.

A film is an animated PNG: an ordinary `image/png` to a notebook, which every browser plays, so that it also moves on a page where no
widget runs. What cannot play it shows its first picture.
"""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.patches import FancyBboxPatch
from PIL import Image

from lablib.show.style import Picture, checked_alt, figure, image_bundle, no_grid, render_png

# Pale enough for black letters; neighbours differ in lightness too, not in hue alone.
FILLS = ("#CFE5F5", "#FBE3C0", "#CDEBDD", "#F3D5E5", "#E4E4E4")
GREEN = FILLS[2]
NEW = "#D55E00"  # the frame of a box that has just come
SHOWN = {" ": "·", "\n": "↵", "\t": "→", "\r": "←"}


def token_boxes(
    rows: Sequence[Sequence[str]],
    alt: str,
    labels: Sequence[str] = (),
    title: str = "",
    new: Sequence[str] = (),
    width: int = 92,
    lines: int = 0,
    marked: Sequence[Sequence[bool]] | None = None,
) -> Picture:
    """Rows of tokens as boxes in a fixed-width letter; a space is shown as · and a line's end as ↵.

    Args:
        rows: for each row its tokens, as text. A row too long for the page goes on in the next line.
        alt: what the picture shows.
        labels: a heading for each row.
        title: above all.
        new: tokens to be framed in vermilion, wherever they stand.
        width: letters in a line. lines: draw room for so many lines, 0 for as many as are needed (films need a fixed size).
        marked: for each row and token whether its box is green; the others are grey then. None: neighbours differ in colour.
    """
    boxes, y = [], 0
    for number, row in enumerate(rows):
        if labels:
            boxes.append((0.0, y, labels[number], ""))
            y += 1
        x = 0.0
        for i, token in enumerate(row):
            text = "".join(SHOWN.get(letter, letter) for letter in token)
            if x + len(text) + 0.5 > width and x > 0:
                x, y = 0.0, y + 1
            fill = FILLS[i % len(FILLS)] if marked is None else GREEN if marked[number][i] else FILLS[-1]
            boxes.append((x, y, text, fill))
            x += len(text) + 0.6
        y += 1
    height = max(y, lines)
    fig, ax = figure(width=9.2, height=0.32 * height + (0.45 if title else 0.1))
    no_grid(ax)
    ax.set(xlim=(-0.5, width + 0.5), ylim=(height - 0.35, -0.75), xticks=[], yticks=[])
    if title:
        ax.set_title(title, loc="left", fontsize=11)
    framed = {"".join(SHOWN.get(letter, letter) for letter in token) for token in new}
    for x, line, text, fill in boxes:
        if not fill:
            ax.text(x, line, text, va="center", fontsize=10, color="#555555")
            continue
        edge = {"edgecolor": NEW, "linewidth": 1.6} if text in framed else {"edgecolor": "none"}
        style = "round,pad=0.04,rounding_size=0.15"
        ax.add_patch(FancyBboxPatch((x, line - 0.4), len(text) + 0.25, 0.8, style, facecolor=fill, **edge))
        middle = x + (len(text) + 0.25) / 2
        ax.text(middle, line, text, va="center", ha="center", fontfamily="DejaVu Sans Mono", fontsize=10.5)
    return Picture(fig, alt)


class Film:
    """Several pictures of one size, shown one after the other, over and over.

    Args:
        pictures: at least one.
        alt: what the film shows.
        seconds: how long each picture stays; the last one stays four times as long.
        scale: pixels of the PNG for each pixel it is shown at.
    """

    def __init__(self, pictures: Sequence[Picture], alt: str, seconds: float = 0.7, scale: float = 1.5) -> None:
        if not pictures:
            raise ValueError("pictures is empty: expected at least one Picture")
        sizes = {picture.size for picture in pictures}
        if len(sizes) > 1:
            raise ValueError(f"pictures have the sizes {sorted(sizes)}: expected one size; for boxes, give `lines`")
        self.alt, self.size, self.frames = checked_alt(alt), pictures[0].size, len(pictures)
        images = [Image.open(io.BytesIO(render_png(p.figure, scale, None))).convert("RGB") for p in pictures]
        times = [int(1000 * seconds)] * (len(images) - 1) + [int(4000 * seconds)]
        out = io.BytesIO()
        palette = images[-1].quantize(64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small = [image.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB") for image in images]
        small[0].save(
            out,
            "PNG",
            save_all=True,
            append_images=small[1:],
            duration=times,
            loop=0,
            default_image=False,
            optimize=True,
        )
        self.png = out.getvalue()

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        return image_bundle(self.png, self.size, self.alt)
