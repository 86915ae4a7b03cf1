"""BertViz offline: what goes into the page. That it draws is seen in tests/browser."""

import base64
import gzip
import html
import json
import re
from typing import Any

import numpy as np
import pytest
import torch

from lablib.show.attention_view import bertviz_view

TOKENS = ["[CLS]", "the", "animal", "didn", "'", "t", "cross", "the", "street", ".", "[SEP]", "x"]


def attentions(layers: int = 6, heads: int = 12, tokens: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.dirichlet(np.full(tokens, 0.2), size=(heads, tokens)) for _ in range(layers)]


def page(view: Any) -> str:
    """The page inside the frame, unpacked as the browser does it."""
    frame = re.search(r'srcdoc="([^"]*)"', view.html)
    packed = re.search(r'atob\("([^"]*)"\)', html.unescape(frame[1]))  # type: ignore[index]
    return gzip.decompress(base64.b64decode(packed[1])).decode()  # type: ignore[index]


def params(view: Any) -> dict:
    found = re.search(r"const params = (\{.*\}); // HACK", page(view))
    return json.loads(found[1])  # type: ignore[index]


@pytest.mark.parametrize("kind", ["head", "model"])
def test_nothing_is_fetched_from_outside(kind: str) -> None:
    text = page(bertviz_view(attentions(2), TOKENS, kind))
    assert "src=" not in re.sub(r"<script>!?function.*?</script>", "", text, flags=re.S).split("d3.schemeCategory10")[1]
    assert text.count("requirejs(['jquery', 'd3']") == 1
    assert "d3js.org v5" in text


@pytest.mark.parametrize("kind", ["head", "model"])
def test_the_weights_arrive_rounded_and_in_their_layer(kind: str) -> None:
    given = attentions()
    made = params(bertviz_view([torch.tensor(a)[None] for a in given], TOKENS, kind, layers=[1, 4]))
    np.testing.assert_allclose(made["attention"][0]["attn"], np.stack([given[1], given[4]]), atol=0.0005001)
    assert made["include_layers"] == [1, 4]
    assert made["attention"][0]["left_text"] == TOKENS


def test_six_layers_of_twelve_heads_stay_small() -> None:
    for kind in ("head", "model"):
        data, _ = bertviz_view(attentions(), TOKENS, kind)._repr_mimebundle_()
        assert sum(map(len, data.values())) < 600_000, kind


def test_the_same_call_gives_the_same_output() -> None:
    first, second = (bertviz_view(attentions(2), TOKENS)._repr_mimebundle_() for _ in range(2))
    assert first == second
    assert first[0]["text/plain"].startswith("Lines from each token to the tokens it looks at")


def test_a_token_cannot_end_the_script() -> None:
    tokens = ["</script>", "<s>", "a&b", '"']
    view = bertviz_view(attentions(1, 2, 4), tokens)
    assert params(view)["attention"][0]["left_text"] == tokens
    assert "</script>" not in re.search(r"const params = .*", page(view))[0]  # type: ignore[index]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"17 tokens, expected 16 at most.*shorten the sentence, or cut: bertviz_view"):
        bertviz_view(attentions(1, 1, 17), ["a"] * 17)
    with pytest.raises(ValueError, match=r'attentions is empty.*attn_implementation="eager"'):
        bertviz_view((), TOKENS)
    with pytest.raises(ValueError, match=r"attentions\[0\] has shape \(12, 12, 12\), expected \(heads, 3, 3\)"):
        bertviz_view(attentions(1), ["a", "b", "c"])
    with pytest.raises(ValueError, match="layers is \\[9\\], expected some of 0 to 5"):
        bertviz_view(attentions(), TOKENS, layers=[9])
    with pytest.raises(ValueError, match="heads is \\[12\\], expected some of 0 to 11"):
        bertviz_view(attentions(), TOKENS, heads=[12])
    with pytest.raises(ValueError, match="view is 'neuron', expected 'head' or 'model'"):
        bertviz_view(attentions(), TOKENS, "neuron")
