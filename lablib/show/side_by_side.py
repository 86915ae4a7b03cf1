"""Texts side by side, each with a heading, scores as bars and remarks: as HTML for a page that lives, as a picture for one that does not.

    columns = [Column("sft", "In Marrow.", {"helpful": 1.0}), Column("base", "It is near the river.", {"helpful": 0.0})]
    as_html("Where does Mirabe live?", columns), as_picture("Where does Mirabe live?", columns, alt)

The texts may be anybody's: they are shown as they are to be read (`visible`), in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lablib.show.style import COLOURS, GREY, Picture, figure, no_grid
from lablib.show.visible import as_html as safe
from lablib.show.visible import lines

IN_A_ROW = 3  # columns of a picture that stand beside each other; more go on below
LETTERS = 40  # of a line in a picture's column
LETTER, LINE = 0.0775, 0.175  # inches that a letter and a line take
MOST, FEW = 30, 8  # lines of a text in a picture, and of a title or of remarks
MONO = "DejaVu Sans Mono"
PALE = "#E4E4E4"
TRACK = "rgba(128,128,128,0.25)"  # of a page, which may be dark
BAR = 16  # letters that a bar of 1 is wide


@dataclass(frozen=True)
class Column:
    """One text.

    Attributes:
        heading: above it. text: what it says.
        scores: name -> number in [0, 1], drawn as bars below the text. remarks: lines below these.
    """

    heading: str
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    remarks: Sequence[str] = ()


# ---------------------------------------------------------------- a page


def as_html(title: str, columns: Sequence[Column], notes: Sequence[str] = ()) -> str:
    """The columns under a title, in the page's own colours; notes: lines below all, whose blanks count."""
    parts = "".join(_column_html(column) for column in columns)
    below = "".join(f'<div style="white-space:pre-wrap;font-family:monospace">{safe(note)}</div>' for note in notes)
    return (
        f'<div style="line-height:1.45"><p><b>{safe(title)}</b></p>'
        f'<div style="display:flex;flex-wrap:wrap;gap:14px">{parts}</div>'
        f'<div style="margin-top:10px">{below}</div></div>'
    )


def _column_html(column: Column) -> str:
    bars = "".join(
        f'<div role="img" aria-label="{safe(name)} {score:.2f}" style="display:flex;align-items:center;gap:8px">'
        f'<span style="width:76px">{safe(name)}</span>'
        f'<span style="width:110px;height:9px;background:{TRACK};display:inline-block">'
        f'<span style="width:{110 * score:.0f}px;height:9px;background:{COLOURS[0]};display:block"></span></span>'
        f"<span>{score:.2f}</span></div>"
        for name, score in column.scores.items()
    )
    remarks = "".join(f"<div><small>{safe(remark)}</small></div>" for remark in column.remarks)
    return (
        f'<div style="flex:1 1 240px;max-width:460px;border-top:3px solid {COLOURS[0]};padding-top:4px">'
        f'<div><b>{safe(column.heading)}</b></div><div style="min-height:3em;margin:4px 0 8px">{safe(column.text)}</div>'
        f"{bars}{remarks}</div>"
    )


# ---------------------------------------------------------------- a picture


def as_picture(title: str, columns: Sequence[Column], alt: str, notes: Sequence[str] = ()) -> Picture:
    """The same as a picture. What is longer than `MOST` lines, or `FEW`, is cut off with an ellipsis.

    Raises:
        ValueError: neither a column nor a note.
    """
    if not columns and not notes:
        raise ValueError("columns and notes are empty: expected at least one Column, or a line to show")
    beside = min(IN_A_ROW, len(columns))
    longest_note = min(IN_A_ROW * (LETTERS + 3), max(map(len, notes), default=0))
    width = max(beside * (LETTERS + 3), longest_note)
    head = _cut(lines(title, width), FEW, width)
    left = iter(columns)
    rows = []  # of columns, each as its lines of text
    while row := [(column, _cut(lines(column.text, LETTERS))) for column in islice(left, beside)]:
        rows.append(row)
    foot = _cut([line for note in notes for line in _in_lines(note, width)], MOST, width)
    heights = [2 + max(len(text) for _, text in row) + max(_below(column) for column, _ in row) for row in rows]
    total = len(head) + sum(heights) + len(foot) + 1
    fig, ax = figure(width=LETTER * width + 0.3, height=LINE * total + 0.2)
    no_grid(ax)
    ax.set(xlim=(0, width), ylim=(total, 0), xticks=[], yticks=[])
    y = _lines_at(ax, 0, 0, head, fontweight="bold")
    for row, height in zip(rows, heights, strict=True):
        longest = max(len(text) for _, text in row)
        for number, (column, text) in enumerate(row):
            _draw(ax, number * (LETTERS + 3), y, column, text, longest)
        y += height
    _lines_at(ax, 0, y + 0.5, foot, color="#333333")
    return Picture(fig, alt)


def _draw(ax: Axes, x: float, y: float, column: Column, text: Sequence[str], longest: int) -> None:
    """One column, from y on; its bars begin below the longest text of the row."""
    ax.plot([x, x + LETTERS], [y + 0.3, y + 0.3], color=COLOURS[0], linewidth=1.6)
    _lines_at(ax, x, y + 0.4, _cut(lines(column.heading, LETTERS), 1), fontweight="bold")
    _lines_at(ax, x, y + 1.5, text)
    y += longest + 2
    for name, score in column.scores.items():
        _lines_at(ax, x, y, [f"{name:<10}"[:10]], color="#333333")
        for share, colour in ((1.0, PALE), (score, COLOURS[0])):
            ax.add_patch(Rectangle((x + 11, y + 0.25), BAR * share, 0.5, facecolor=colour))
        _lines_at(ax, x + 12 + BAR, y, [f"{score:.2f}"])
        y += 1
    _lines_at(ax, x, y, _remarks(column), color=GREY)


def _lines_at(ax: Axes, x: float, y: float, text: Sequence[str], **style: Any) -> float:
    """Lines of text from y on; where the next one would be. `parse_math` is off: a dollar is a dollar."""
    for line in text:
        ax.text(x, y + 0.5, line, va="center", fontsize=9, fontfamily=MONO, parse_math=False, **style)
        y += 1
    return y


def _below(column: Column) -> int:
    """Lines that stand below a column's text."""
    return len(column.scores) + len(_remarks(column))


def _remarks(column: Column) -> list[str]:
    return _cut([line for remark in column.remarks for line in lines(remark, LETTERS)], FEW)


def _cut(text: list[str], most: int = MOST, width: int = LETTERS) -> list[str]:
    return text if len(text) <= most else [*text[: most - 1], text[most - 1][: width - 2] + " …"]


def _in_lines(note: str, width: int) -> list[str]:
    """A note whose blanks count: a line that fits stays as it is."""
    return [note] if len(note) <= width and note.isprintable() else lines(note, width)
