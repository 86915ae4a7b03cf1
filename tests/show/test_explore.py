"""The sliders' callback, without a browser: each slider does exactly what its name says to the learner's
function."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.show.attention_view import attention_explorer
from lablib.show.explore import AttentionExplorer, ExplorerError

TOKENS = ["the", "cat", "sat", "down"]


def attention(q: Any, k: Any, v: Any, mask: Any = None) -> tuple[Any, Any]:
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ v, weights


def qkv() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(4, width, generator=generator) for width in (6, 6, 3))


def explorer(function: Any = attention) -> AttentionExplorer:
    return attention_explorer(function, *qkv(), TOKENS)


AT_REST = explorer()


def test_at_rest_it_shows_the_function_s_own_weights() -> None:
    q, k, v = qkv()
    np.testing.assert_allclose(explorer().weights(), attention(q, k, v)[1], rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    sharpness=st.floats(0, 8),
    closeness=st.floats(-6, 6),
    query=st.integers(0, 3),
    key=st.integers(0, 3),
    causal=st.booleans(),
)
def test_sliders_move_the_scores_as_they_say(
    sharpness: float, closeness: float, query: int, key: int, causal: bool
) -> None:
    """Against torch's own attention with the scores' change written as an additive mask."""
    q, k, _ = qkv()
    bias = torch.zeros(4, 4)
    bias[query, key] = closeness
    if causal:
        bias = bias.masked_fill(~torch.ones(4, 4, dtype=torch.bool).tril(), float("-inf"))
    expected = F.scaled_dot_product_attention(q * sharpness, k, torch.eye(4), attn_mask=bias)
    got = AT_REST.weights(sharpness, "causal" if causal else "none", query, key, closeness)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_picture_is_a_pure_function_of_its_settings() -> None:
    e = explorer()
    start, moved = e.picture(), e.picture(sharpness=4.0, query=1, key=2, closeness=3.0, mask="causal")
    assert start.png == e.picture().png
    assert start.png != moved.png
    assert start.alt == moved.alt
    with pytest.raises(TypeError, match=r"no setting is called 'heat', expected some of \['sharpness'"):
        e.picture(heat=1)


def test_moving_a_slider_changes_the_picture_and_what_is_saved() -> None:
    e = explorer()
    before, _ = e._repr_mimebundle_()
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(before)
    seen = e._screen.value
    e.controls["sharpness"].value = 5.0
    after, metadata = e._repr_mimebundle_()
    assert e._screen.value != seen
    assert after["image/png"] != before["image/png"]
    assert after["text/plain"] == before["text/plain"] == metadata["image/png"]["alt"]
    assert 'alt="Left: heat map' in e._screen.value


def test_the_learner_s_mistake_is_one_clear_line_and_no_traceback() -> None:
    def broken(q: Any, k: Any, v: Any, mask: Any = None) -> tuple[Any, Any]:
        if mask is not None:
            raise RuntimeError("the size of tensor a (4) must <match>\nsecond line")
        return attention(q, k, v)

    e = explorer(broken)
    e.controls["mask"].value = "causal"
    assert "broken raised RuntimeError: the size of tensor a (4) must &lt;match&gt;</p>" in e._screen.value
    assert "<img" not in e._screen.value
    assert "image/png" not in e._repr_mimebundle_()[0]
    e.controls["mask"].value = "none"
    assert "<img" in e._screen.value, "it comes back when the function works again"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"returned a NoneType, expected \(output, weights\)"),
        ((0, torch.ones(4, 3)), r"returned weights of shape \(4, 3\), expected \(4, 4\)"),
        ((0, torch.full((4, 4), float("nan"))), "returned weights with NaN or infinity in row 0"),
        ((0, None), "weights"),
    ],
)
def test_wrong_returns_are_named(returned: Any, message: str) -> None:
    with pytest.raises(ExplorerError, match=message):
        explorer(lambda q, k, v, mask: returned).picture()


def test_a_function_that_changes_its_arguments_changes_nothing_here() -> None:
    def greedy(q: Any, k: Any, v: Any, mask: Any = None) -> tuple[Any, Any]:
        result = attention(q, k, v, mask)
        for x in (q, k, v):
            x.zero_()
        return result

    e = explorer(greedy)
    np.testing.assert_array_equal(e.weights(), e.weights())
    assert e.v.abs().sum() > 0


def test_a_batch_is_refused_with_the_way_out() -> None:
    q, k, v = (x[None] for x in qkv())
    with pytest.raises(ValueError, match=r"q has shape \(1, 4, 6\), expected \(4, width\) for 4 tokens.*q\[0, 0\]"):
        attention_explorer(attention, q, k, v, TOKENS)
