"""The live chart, with a stand-in for the notebook's display."""

import base64
import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lablib.show import live
from lablib.show.live import LiveChart, Panel, thin


class Screen:
    """Takes what a notebook would be sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import IPython.display

        self.shown: list[tuple[dict, dict]] = []
        monkeypatch.setattr(live, "_in_notebook", lambda: True)
        monkeypatch.setattr(IPython.display, "display", self.display)

    def display(self, thing: Any, display_id: bool) -> "Screen":
        assert display_id
        self.update(thing)
        return self

    def update(self, thing: Any) -> None:
        self.shown.append(thing._repr_mimebundle_())

    def pixels(self, which: int) -> np.ndarray:
        png = base64.b64decode(self.shown[which][0]["image/png"])
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def chart(**settings: Any) -> LiveChart:
    return LiveChart(["loss", "held out"], y="loss (nats per token)", alt="Loss by step.", **settings)


def test_plain_python_keeps_the_numbers_and_draws_nothing() -> None:
    with chart() as c:
        c.add(0, loss=3)
        c.add(1, loss=2.5, **{"held out": 2.75})
    assert c.data == {"x": [0.0, 1.0], "loss": [3.0, 2.5], "held out": [None, 2.75]}
    assert c.png == b""
    assert repr(c) == "Loss by step."


def test_one_display_updated_in_place_and_crisp_at_the_end(screen: Screen) -> None:
    with chart() as c:
        for step in range(50):
            c.add(step, loss=1 / (step + 1))
    assert 2 <= len(screen.shown) <= 5, "once at the start, rarely on the way, once at the end"
    assert {data["text/plain"] for data, _ in screen.shown} == {"Loss by step."}
    first, last = screen.pixels(0), screen.pixels(-1)
    assert last.shape == (2 * first.shape[0], 2 * first.shape[1], 3)
    assert (np.abs(last.astype(int) - [0x00, 0x72, 0xB2]).sum(axis=-1) < 12).sum() > 500, "the line is drawn"
    sizes = {(meta["image/png"]["width"], meta["image/png"]["height"]) for _, meta in screen.shown}
    assert sizes == {(672, 307)}, "the picture keeps its size on the page"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_last_state_is_drawn_when_the_loop_ends_early(screen: Screen, error: type[BaseException]) -> None:
    c = chart()

    def train() -> None:
        with c:
            c.add(0, loss=3)
            c.add(1, loss=2)
            raise error

    with pytest.raises(error):
        train()
    assert c.closed
    assert screen.pixels(-1).shape[0] == 2 * screen.pixels(0).shape[0]


def test_drawing_takes_a_small_part_of_the_time(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the test turns: a drawing takes 0.1 s of it, the work between two adds 0.01 s."""
    now, drawn = [0.0], []
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def draw(self: LiveChart, scale: float = 1) -> None:
        now[0] += 0.1
        drawn.append(now[0])

    c = chart()
    monkeypatch.setattr(LiveChart, "_draw", draw)
    for step in range(2000):
        now[0] += 0.01
        c.add(step, loss=1.0)
    assert len(drawn) >= 10, "it does move"
    assert 0.1 * len(drawn) <= 0.11 * now[0]
    assert min(np.diff(drawn)) >= 0.5


def test_many_points_are_thinned_before_they_are_drawn() -> None:
    c = LiveChart(["loss"], alt="Loss by step.")
    for step in range(20_000):
        c.add(step, loss=1.0)
    (line,) = c.figure().axes[0].lines
    assert 100 <= len(line.get_xdata()) <= 4 * live.MAX_BINS


def test_errors_say_what_to_do() -> None:
    c = chart()
    with pytest.raises(KeyError, match=r"series 'los' is not in this chart, expected one of \['loss', 'held out'\]"):
        c.add(0, los=1.0)
    with pytest.raises(ValueError, match="x is nan, expected a finite number"):
        c.add(math.nan, loss=1)
    with pytest.raises(TypeError, match=r"bands=True"):
        c.add(0, loss=[1.0, 2.0])
    with pytest.raises(TypeError, match=r"loss is 'low', expected a number such as loss.item\(\)"):
        c.add(0, loss="low")
    assert c.data["x"] == [], "a call that fails adds nothing"
    c.close()
    c.close()
    with pytest.raises(ValueError, match="closed"):
        c.add(0, loss=1)
    with pytest.raises(ValueError, match="alt is ''"):
        LiveChart(["loss"])
    with pytest.raises(TypeError, match=r"expected a list of names: \['loss'\]"):
        LiveChart("loss", alt="Loss by step.")
    with pytest.raises(ValueError, match="each name once"):
        LiveChart([Panel(["a"]), Panel(["a"])], alt="Twice the same.")


def test_nan_leaves_a_gap_and_a_missing_value_does_not() -> None:
    c = chart()
    for step, (a, b) in enumerate([(1, 1), (math.nan, None), (3, 3)]):
        c.add(step, loss=a, **({} if b is None else {"held out": b}))
    lines = {line.get_label(): line.get_ydata() for line in c.figure().axes[0].lines}
    np.testing.assert_array_equal(lines["loss"], [1, np.nan, 3])
    np.testing.assert_array_equal(lines["held out"], [1, 3])


@pytest.mark.parametrize("together", [True, False])
def test_bands_are_mean_and_range_over_runs(together: bool) -> None:
    runs = np.array([[1.0, 2.0, 6.0], [0.0, 4.0, 5.0]])  # (x, run)
    c = LiveChart(["loss"], alt="Loss by step.", bands=True)
    if together:
        for x, values in enumerate(runs):
            c.add(x, loss=values)
    else:
        for run in runs.T:
            for x, value in enumerate(run):
                c.add(x, loss=value)
    x, low, mean, high = c._line("loss")
    np.testing.assert_allclose([x, low, mean, high], [[0, 1], [1, 0], [3, 3], [6, 5]])
    assert len(c.figure().axes[0].collections) == 1


def test_panels_levels_and_log_axes() -> None:
    c = LiveChart(
        [
            Panel(["loss"], y="loss (nats)", title="Loss", levels={"entropy floor": 1.25}),
            Panel(["norm"], y="gradient norm", log_y=True, y_range=(0.1, 10)),
        ],
        alt="Loss and gradient norm by step.",
    )
    c.add(0, loss=3, norm=1)
    left, right = c.figure().axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["loss", "entropy floor (1.25)"]
    assert (right.get_yscale(), right.get_ylim(), right.get_legend()) == ("log", (0.1, 10), None)
    assert left.get_xlabel() == right.get_xlabel() == "step"
    assert left.lines[0].get_color() != right.lines[0].get_color()


@given(
    y=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=400),
    bins=st.integers(1, 40),
)
def test_thinning_keeps_extremes_order_and_gaps(y: list[float], bins: int) -> None:
    x, values = np.arange(len(y), dtype=float), np.array(y)
    thin_x, thin_y = thin(x, values, bins)
    assert len(thin_x) <= 3 * bins
    assert (np.diff(thin_x) > 0).all()
    np.testing.assert_array_equal(thin_y, values[thin_x.astype(int)])
    if np.isfinite(values).any():
        assert np.nanmin(thin_y) == np.nanmin(values)
        assert np.nanmax(thin_y) == np.nanmax(values)
    assert np.isnan(thin_y).any() == np.isnan(values).any()
