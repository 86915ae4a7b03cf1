"""Heat maps of attention: what is drawn is what was given, and what does not fit is said."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lablib.show.attention_view import attention_map, heat_map

WORDS = ["the", "cat", "sat"]


def weights(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def numbers(picture: object) -> list[str]:
    return [text.get_text() for text in picture.figure.axes[0].texts]  # type: ignore[attr-defined]


def test_the_numbers_drawn_are_the_numbers_given() -> None:
    picture = attention_map(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]), WORDS)
    assert numbers(picture) == ["1", "0", "0", ".5", ".5", "0", ".25", ".25", ".5"]
    ax, bar = picture.figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == WORDS
    assert bar.get_ylim() == (0, 1)
    assert ax.get_ylim() == (3, 0), "the first query is on top"


def test_darker_is_more() -> None:
    image = np.asarray(Image.open(io.BytesIO(attention_map(np.eye(12), list("abcdefghijkl")).png)).convert("L"))
    assert image.min() < 60
    assert image.max() == 255


@pytest.mark.parametrize("n_heads", [1, 2, 5, 12])
def test_one_panel_for_each_head(n_heads: int) -> None:
    tokens = [f"token{i}" for i in range(12)]
    picture = attention_map(weights(n_heads, 12, 12), tokens)
    shown = [ax.get_title() for ax in picture.figure.axes[:-1] if ax.get_visible()]
    assert shown == [f"head {i}" for i in range(n_heads)]
    assert picture.size[0] <= 910, "it fits into a notebook cell"


@pytest.mark.parametrize("shape", [(3, 3), (2, 5, 5), (12, 12, 12), (3, 16)])
def test_no_label_is_cut_off(shape: tuple[int, ...]) -> None:
    rows = [f"query{i}" for i in range(shape[-2])]
    picture = attention_map(weights(*shape), rows, [f"longkey{i}" for i in range(shape[-1])], title="A title")
    image = np.asarray(Image.open(io.BytesIO(picture.png)).convert("L"))
    border = np.concatenate([image[:2].ravel(), image[-2:].ravel(), image[:, :2].ravel(), image[:, -2:].ravel()])
    assert border.min() > 200, "something dark touches the edge of the picture"


def test_the_text_alternative_has_names_and_no_measured_number() -> None:
    assert attention_map(weights(2, 3, 3), WORDS).alt == (
        "Heat map of attention weights of 2 heads, one panel each. "
        "Rows are queries (the, cat, sat), columns are keys (the, cat, sat)."
    )
    assert attention_map(weights(3, 3), WORDS, alt="Mine.").alt == "Mine."


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"weights go from -1 to 2, .*heat_map"):
        attention_map([[-1.0, 2.0]], ["a"], ["b", "c"])
    with pytest.raises(ValueError, match=r"shape \(2, 3, 3, 3\), expected \(3, 3\) or \(panels, 3, 3\).*weights\[0\]"):
        attention_map(weights(2, 3, 3, 3), WORDS)
    with pytest.raises(ValueError, match=r"2 panel names for 3 panels"):
        attention_map(weights(3, 3, 3), WORDS, head_names=["a", "b"])
    with pytest.raises(ValueError, match=r"values\[0, 1\] is -inf, expected finite"):
        heat_map([[0.0, -np.inf]], ["a"], ["b", "c"])


def test_values_of_both_signs_have_white_at_zero() -> None:
    mesh = heat_map([[-2.0, 0.0, 1.0]], ["a"], ["b", "c", "d"], label="score").figure.axes[0].collections[0]
    assert mesh.get_clim() == (-2, 2)
    assert min(mesh.cmap(mesh.norm(0.0))[:3]) > 0.94
