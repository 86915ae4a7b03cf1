"""A picture with sliders: the function is called with the sliders' values, and a PNG is always there."""

import pytest

from lablib.show.sliders import Sliders
from lablib.show.style import Picture, figure


def draw(m: int, n: int) -> Picture:
    if m == 13:
        raise ZeroDivisionError("thirteen <b>")
    fig, ax = figure(width=3, height=2)
    ax.plot([0, m], [0, n])
    return Picture(fig, "A line from zero to the point (m, n).")


def test_moving_a_slider_draws_again():
    calls = []
    sliders = Sliders(lambda m, n: calls.append((m, n)) or draw(m, n), m=(1, 0, 20), n=(2, 0, 5))
    before = sliders.picture.png
    sliders.controls["m"].value = 4
    assert calls == [(1, 2), (4, 2)]
    assert sliders.picture.png != before


def test_a_picture_stands_beside_the_widget():
    data, metadata = Sliders(draw, m=(1, 0, 20), n=(2, 0, 5))._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A line from zero to the point (m, n)."
    assert len(data["image/png"]) > 1000


def test_an_error_in_the_learners_function_is_one_line():
    sliders = Sliders(draw, m=(1, 0, 20), n=(2, 0, 5))
    sliders.controls["m"].value = 13
    assert "ZeroDivisionError: thirteen &lt;b&gt;" in sliders._screen.value
    assert "image/png" not in sliders._repr_mimebundle_()[0]
    sliders.controls["m"].value = 2
    assert "<img" in sliders._screen.value


def test_settings_are_checked():
    with pytest.raises(TypeError, match=r"m = \(0.5, 0, 1\); expected \(first value, low, high\)"):
        Sliders(draw, m=(0.5, 0, 1), n=(0, 0, 1))
    with pytest.raises(ValueError, match="m starts at 7; expected a value between 0 and 5"):
        Sliders(draw, m=(7, 0, 5), n=(0, 0, 1))
