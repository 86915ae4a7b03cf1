"""A funnel: what is left of a corpus behind each stage of a pipeline, and what it is made of.

One bar for each stage, as long as what is left, in pieces by kind of text. The bars of the faults should vanish and those of the good
text should not: that is the whole art, and the picture shows both.
"""

from collections.abc import Mapping, Sequence

from lablib.show.style import COLOURS, GREY, Picture, figure

FIRST = "as it came"


def funnel_chart(
    left: Mapping[str, Mapping[str, int]],
    alt: str,
    unit: str = "documents",
    colours: Mapping[str, str] | None = None,
    width: float = 8.6,
) -> Picture:
    """Horizontal bars from above to below: what came, and what every stage left.

    Args:
        left: stage → kind → how many are left behind it, in the order of the pipeline; the first row is the corpus as it came.
        alt: what the picture shows.
        unit: of the counts.
        colours: kind → colour; else in the order of the style's palette.
        width: inches.

    Raises:
        ValueError: no row; or a stage that leaves more of a kind than there was before it.
    """
    if not left:
        raise ValueError("left is empty: expected the corpus as it came and a row for each stage")
    kinds = list(dict.fromkeys(kind for row in left.values() for kind in row))
    before: Mapping[str, int] = {}
    for stage, row in left.items():
        for kind, count in row.items():
            if before and count > before.get(kind, 0):
                raise ValueError(
                    f"{stage!r} leaves {count} of {kind!r}: expected at most the {before.get(kind, 0)} before it"
                )
        before = row
    fig, ax = figure(width=width, height=0.9 + 0.4 * len(left))
    whole = sum(next(iter(left.values())).values())
    for place, row in enumerate(left.values()):
        start = 0
        for number, kind in enumerate(kinds):
            colour = (colours or {}).get(kind, COLOURS[number % len(COLOURS)])
            label = kind if place == 0 else None
            ax.barh(place, row.get(kind, 0), left=start, height=0.72, color=colour, label=label, edgecolor="white")
            start += row.get(kind, 0)
        share = start / max(whole, 1)
        ax.text(start + 0.01 * whole, place, f"{start:,} ({share:.0%})", va="center", ha="left", color="#333333")
    ax.set_yticks(range(len(left)), list(left))
    ax.set(xlabel=unit, ylim=(len(left) - 0.5, -0.5), xlim=(0, 1.16 * max(whole, 1)))
    ax.grid(axis="y", visible=False)
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=min(len(kinds), 5), frameon=False, columnspacing=1.2
    )
    return Picture(fig, alt)


def harm_chart(
    shares: Mapping[str, tuple[int, int]], alt: str, good: Sequence[str] = (), width: float = 8.0
) -> Picture:
    """For each label how much of it was dropped: for a fault that is success, for a label in `good` it is harm.

    Args:
        shares: label → (dropped, all).
        good: the labels of which nothing should be dropped.
    """
    if not shares:
        raise ValueError("shares is empty: expected label → (dropped, all)")
    fig, ax = figure(width=width, height=0.9 + 0.3 * len(shares))
    for place, (label, (dropped, there)) in enumerate(shares.items()):
        share, colour = dropped / max(there, 1), COLOURS[1] if label in good else COLOURS[0]
        ax.barh(place, share, height=0.7, color=colour)
        ax.text(share + 0.01, place, f"{dropped} of {there}", va="center", color=GREY)
    ax.set_yticks(range(len(shares)), list(shares))
    ax.set(xlabel="share that was dropped", ylim=(len(shares) - 0.5, -0.5), xlim=(0, 1.15))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.grid(axis="y", visible=False)
    return Picture(fig, alt)
