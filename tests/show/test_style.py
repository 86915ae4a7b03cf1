"""The figures' style: the colours stay apart for colour-blind eyes, a picture is really drawn and carries
its text."""

import base64
import io
import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from lablib.show.style import COLOURS, GREY, Picture, figure, to_array

# Machado, Oliveira and Fernandes (2009), "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# IEEE TVCG 15(6), severity 1.0, on linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def cie_lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b*, white point D65, from linear RGB."""
    xyz = RGB_TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_cie_lab_agrees_with_published_values() -> None:
    """Red and white of sRGB under D65, as colour tables give them."""
    assert cie_lab(linear("#FF0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert cie_lab(linear("#FFFFFF")) == pytest.approx([100, 0, 0], abs=0.05)


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart(sight: str) -> None:
    """A difference of 2.3 is just noticeable; 15 is plain to see on a thin line."""
    seen = [cie_lab(SIGHT[sight] @ linear(colour)) for colour in COLOURS]
    apart = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in itertools.combinations(range(len(seen)), 2)}
    nearest = min(apart, key=lambda pair: apart[pair])
    assert apart[nearest] > 15, f"{[COLOURS[i] for i in nearest]} are {apart[nearest]:.1f} apart with {sight}"


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_are_seen_on_white(sight: str) -> None:
    white = cie_lab(np.ones(3))
    for colour in (*COLOURS, GREY):
        assert np.linalg.norm(cie_lab(SIGHT[sight] @ linear(colour)) - white) > 35, colour


def test_the_old_red_and_green_would_fail() -> None:
    """The test can fail: the red and green that people often use come together for deuteranopia."""
    red, green = (cie_lab(SIGHT["deuteranopia"] @ linear(colour)) for colour in ("#BF4040", "#7A7A20"))
    assert np.linalg.norm(red - green) < 15


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_picture_is_drawn_and_carries_its_text() -> None:
    fig, ax = figure(width=5, height=3)
    ax.plot([0, 1], [0, 1])
    picture = Picture(fig, " A rising line. ")
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == repr(picture) == "A rising line."
    assert metadata["image/png"] == {"alt": "A rising line.", "width": 480, "height": 288}
    image = pixels(base64.b64decode(data["image/png"]))
    assert image.shape == (576, 960, 3), "drawn at twice the size that it is shown at"
    assert (image[0, 0] == 255).all(), "a white background, on a dark page too"
    blue = (np.abs(image.astype(int) - [0x00, 0x72, 0xB2]).sum(axis=-1) < 12).sum()
    assert blue > 500, "the line is there, in the first colour"


def test_letters_are_as_large_as_the_page_s() -> None:
    ax = figure()[1]
    ax.set(xlabel="step", ylabel="loss", title="a title")
    ax.plot([0, 1], label="a")
    texts = [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.get_xticklabels(), *ax.legend().get_texts()]
    assert min(text.get_fontsize() for text in texts) >= 10


@pytest.mark.parametrize("alt", ["", "  ", None, 3])
def test_no_picture_without_its_text(alt: object) -> None:
    with pytest.raises(ValueError, match=r"alt is .*expected a sentence.*for example"):
        Picture(figure()[0], alt)  # type: ignore[arg-type]


def test_fewer_colours_make_a_smaller_file_of_the_same_picture() -> None:
    fig, ax = figure(width=4, height=3)
    ax.imshow(np.random.default_rng(0).random((40, 40)))
    full, small = Picture(fig, "Noise.", colours=None).png, Picture(fig, "Noise.", colours=64).png
    assert len(small) < 0.6 * len(full)
    assert np.abs(pixels(full).astype(int) - pixels(small)).mean() < 6


def test_a_band_keeps_the_colour_of_its_line() -> None:
    """Wide pale areas, three of them over one another at some places, beside text and lines that need many shades, too."""
    fig, axes = figure(cols=2, width=9.4, height=3.2)
    x = np.arange(80)
    for number, colour in enumerate(COLOURS[:3]):
        for ax in axes:
            ax.plot(x, number * (1 + 0.01 * x), color=colour, label=str(number))
            ax.fill_between(x, number - 0.3 - 0.02 * x, number + 0.3 + 0.03 * x, color=colour, alpha=0.2, linewidth=0)
            ax.legend()
    full, small = (pixels(Picture(fig, "Bands.", colours=n).png).astype(int) for n in (None, 128))
    assert np.abs(full - small).mean() < 0.3
    assert (np.abs(full - small).max(axis=-1) > 4).mean() < 0.01


def test_nothing_global_changes() -> None:
    before = dict(mpl.rcParams)
    Picture(figure(2, 2)[0], "Four empty frames.").png  # noqa: B018
    assert dict(mpl.rcParams) == before


def test_drawing_needs_no_torch_and_no_pyplot() -> None:
    code = (
        "import sys, lablib.show.attention_view, lablib.show.live; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib.pyplot', 'ipywidgets', 'bertviz')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numbers_from_anywhere() -> None:
    tensor = torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    for values in (tensor, np.array([[1, 2]], dtype=np.float16), [[1, 2]]):
        array = to_array(values, "values")
        assert array.dtype == np.float64
        assert array.tolist() == [[1.0, 2.0]]
    with pytest.raises(TypeError, match=r"weights is a list that does not make one block"):
        to_array([[1, 2], [3]], "weights")
