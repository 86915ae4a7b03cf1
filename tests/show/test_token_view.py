"""Boxes hold their tokens and lie apart; a film has its frames, one size, and plays."""

import io
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from lablib.show.style import Picture, figure
from lablib.show.token_view import FILLS, GREEN, NEW, Film, token_boxes


def boxes(picture: Picture) -> list[FancyBboxPatch]:
    return [p for p in picture.figure.axes[0].patches if isinstance(p, FancyBboxPatch)]


def texts(picture: Picture) -> list[str]:
    return [t.get_text() for t in picture.figure.axes[0].texts]


def test_each_token_gets_a_box_and_spaces_can_be_seen():
    picture = token_boxes([["The", " cat", "\n"], ["\tsat"]], "two rows", labels=["first", "second"])
    assert texts(picture) == ["first", "The", "·cat", "↵", "second", "→sat"]
    assert len(boxes(picture)) == 4
    assert picture.alt == "two rows"


def test_new_tokens_are_framed_and_no_others():
    picture = token_boxes([["a", " b", "a", "c"]], "framed", new=[" b", "c"])
    framed = [to_hex(box.get_edgecolor(), keep_alpha=False).upper() == NEW for box in boxes(picture)]
    assert framed == [False, True, False, True]


def test_marked_tokens_are_green_and_the_others_grey():
    picture = token_boxes([["a", " b"], ["c"]], "marked", labels=["one", "two"], marked=[[False, True], [True]])
    assert [to_hex(box.get_facecolor()).upper() for box in boxes(picture)] == [FILLS[-1], GREEN, GREEN]


@given(
    st.lists(st.text(st.sampled_from("abc m🙂é"), min_size=1, max_size=12), min_size=1, max_size=30),
    st.integers(20, 92),
)
@settings(max_examples=40, deadline=None)
def test_boxes_lie_apart_and_inside_the_page(tokens, width):
    picture = token_boxes([tokens], "a row", width=width)
    found = [(box.get_x(), box.get_y(), box.get_width(), box.get_height()) for box in boxes(picture)]
    for (x, y, w, h), (a, b, c, d) in combinations(found, 2):
        assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    low, high = sorted(picture.figure.axes[0].get_ylim())
    assert all(low <= y and y + h <= high for _, y, _, h in found)
    assert all(x >= 0 and x + w <= width + 0.5 for x, _, w, _ in found)


def test_a_film_has_one_frame_a_picture_and_the_last_stays_longer():
    pictures = [token_boxes([list("abcd")[:n]], "x", title=f"step {n}", lines=2) for n in (2, 3, 4)]
    film = Film(pictures, "Three steps.", seconds=0.5)
    image = Image.open(io.BytesIO(film.png))
    assert image.format == "PNG"
    assert (film.frames, image.n_frames) == (3, 3)
    times = []
    for frame in range(3):
        image.seek(frame)
        times.append(image.info["duration"])
    assert times == [500, 500, 2000]
    assert image.size == pytest.approx((1.5 * film.size[0], 1.5 * film.size[1]), abs=2)  # whole pixels
    data, meta = film._repr_mimebundle_()
    assert data["text/plain"] == "Three steps."
    assert meta["image/png"]["width"] == film.size[0]


def test_pictures_of_different_sizes_are_no_film():
    with pytest.raises(ValueError, match="expected one size; for boxes, give `lines`"):
        Film([Picture(figure(width=3)[0], "a"), Picture(figure(width=4)[0], "b")], "both")
    with pytest.raises(ValueError, match="pictures is empty"):
        Film([], "none")
    with pytest.raises(ValueError, match="alt is ''"):
        Film([Picture(figure()[0], "a")], "")
