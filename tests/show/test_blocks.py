"""The block diagram: every part once per layer, boxes that do not overlap, text that stays in its box."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from lablib.show.blocks import KINDS, transformer_map


def test_the_map_has_the_parts_of_both_layers():
    texts = [text.get_text().strip() for text in transformer_map().figure.axes[0].texts]
    for part, times in {
        "self-attention": 1,
        "masked self-attention": 1,
        "cross-attention": 1,
        "feed-forward": 2,
    }.items():
        assert texts.count(part) == times
    assert texts.count("add & norm") == 5  # one for each sublayer: two of the encoder's, three of the decoder's
    assert texts.count("embedding + position") == 2


def test_boxes_lie_apart_and_hold_their_text():
    picture = transformer_map()
    canvas = FigureCanvasAgg(picture.figure)
    canvas.draw()
    ax = picture.figure.axes[0]
    boxes = [p for p in ax.patches if isinstance(p, FancyBboxPatch) and p.get_linestyle() == "solid"]
    assert len(boxes) == 2 + 4 + 6 + 1
    extents = [box.get_window_extent() for box in boxes]
    assert not any(a.overlaps(b) for a, b in combinations(extents, 2))
    frame = picture.figure.bbox
    for text in ax.texts:
        extent = text.get_window_extent()
        assert frame.x0 <= extent.x0 and extent.x1 <= frame.x1 and extent.y1 <= frame.y1, text.get_text()  # noqa: PT018
        holder = [e for e in extents if e.contains(*extent.get_points().mean(axis=0))]
        if holder:
            assert holder[0].x0 < extent.x0 and extent.x1 < holder[0].x1, text.get_text()  # noqa: PT018


def test_every_kind_has_a_colour_of_its_own():
    assert len(set(KINDS.values())) == len(KINDS)
