"""BertViz's head view and model view, drawn with no network on the first run.

BertViz: J. Vig (2019), "A Multiscale Visualization of Attention in the Transformer Model",
https://arxiv.org/abs/1906.05714. As published its views fetch require.js, d3 and jQuery from the internet
when they are looked at, and stay blank without it. Here its own page and script go unchanged into an
<iframe>, with d3 from the installed `mpld3`, the eight jQuery calls that the script makes written out, and
a stand-in for require.js. A drawn picture stands beside it; the frame hides that picture once it has drawn
itself, so where scripts do not run (GitHub, a notebook that is not trusted yet) the picture is what is
seen. Left out: BertViz's neuron view, which does not work with current versions of `transformers`.
"""

import base64
import contextlib
import gzip
import html
import io
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from lablib.show.style import COLOURS, Picture, checked_alt, figure, no_grid, to_array

MAX_TOKENS = 16
DECIMALS = 3
FAINTEST = 0.02  # lines with less weight are left out of the drawn picture: no eye sees them
MODEL_WIDTH = 970  # pixels: what BertViz's model view is wide

# The part of jQuery that bertviz's scripts use, on the first element that a selector finds.
JQUERY = """
window.jQuery = function (what) {
  const node = what instanceof Node ? what
    : what.startsWith("<") ? document.createElement(what.match(/[a-z]+/)[0]) : document.querySelector(what);
  const set = (name, action) => (...values) => { if (node) action(...values); return self; };
  const self = {
    node,
    append: set("append", child => node.append(child.node || child)),
    empty: set("empty", () => node.replaceChildren()),
    text: set("text", value => { node.textContent = value; }),
    attr: set("attr", (name, value) => node.setAttribute(name, value)),
    val: set("val", value => { node.value = value; }),
    change: set("change", () => node.dispatchEvent(new Event("change", {bubbles: true}))),
    on: set("on", (event, action) => node.addEventListener(event, action)),
  };
  return self;
};
window.require = {config: () => {}};
window.requirejs = (names, run) => run(window.jQuery, window.d3);
"""

# After the drawing: fit the frame to what was drawn and hide the picture that stood in for it.
FIT = """
const svg = document.querySelector("#vis svg"), frame = window.frameElement;
function fit() {
  const high = Math.ceil(document.body.getBoundingClientRect().height);
  frame.style.height = (high ? high + 14 : frame.dataset.height) + "px";
}
if (svg && svg.querySelector("line")) {
  const wide = +svg.getAttribute("width");
  if (wide) {
    svg.setAttribute("viewBox", `0 0 ${wide} ${svg.getAttribute("height")}`);
    svg.style.cssText = `width:100%;max-width:${wide}px;height:auto;display:block`;
  }
  fit();
  window.addEventListener("resize", fit);
  frame.style.visibility = "visible";
  const still = frame.parentElement.querySelector("img");
  if (still) still.style.display = "none";
}
"""

# The frame holds its page compressed (d3 alone is 240 kB) and writes it into itself.
UNPACK = """<script>(async () => {
const packed = Uint8Array.from(atob("%s"), letter => letter.charCodeAt(0));
const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
const page = await new Response(stream).text();
document.open(); document.write(page); document.close();
})();</script>"""

PAGE_STYLE = (
    "html{color-scheme:light;overflow:hidden}body{margin:6px;background:white;color:black;font:14px sans-serif}"
)


class BertvizView:
    """What `bertviz_view` gives back: HTML for the notebook and a drawn picture with its text alternative."""

    def __init__(self, page: str, height: int, still: Picture) -> None:
        self.page = page
        self.height = height
        self.still = still
        self.alt = still.alt

    @property
    def html(self) -> str:
        """The frame with the page in it, and the picture that is seen until the page has drawn itself."""
        packed = base64.b64encode(gzip.compress(self.page.encode(), 9, mtime=0)).decode("ascii")
        frame = html.escape(UNPACK % packed)
        picture = base64.b64encode(self.still.png).decode("ascii")
        alt = html.escape(self.alt)
        return (
            '<div style="background:white">'
            f'<img src="data:image/png;base64,{picture}" alt="{alt}" width="{self.still.size[0]}" '
            'style="max-width:100%">'
            f'<iframe title="{alt}" data-height="{self.height}" srcdoc="{frame}" '
            'style="width:100%;height:0;border:0;visibility:hidden;display:block"></iframe></div>'
        )

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data, metadata = self.still._repr_mimebundle_()
        return {"text/html": self.html, **data}, metadata


def bertviz_view(
    attentions: Sequence[Any],
    tokens: Sequence[str],
    view: str = "head",
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    alt: str | None = None,
) -> BertvizView:
    """Every head of a model on one sentence, to look at with the mouse.

    Args:
        attentions: one (H, T, T) or (1, H, T, T) array or tensor for each layer, as `transformers` returns
            them.
        tokens: the T tokens, 16 at most.
        view: "head" draws one layer (choose it above the drawing) with a colour for each head; "model"
            draws all heads of all layers at once.
        layers: which layers to offer, all when left out.
        heads: which heads are seen at first, all when left out (in the model view, which are there at all).
        alt: replaces the text alternative that is made from the names.

    Raises:
        ValueError: names the argument that does not fit, and how to mend it.
    """
    tokens = list(tokens)
    if view not in ("head", "model"):
        raise ValueError(f"view is {view!r}, expected 'head' or 'model'")
    if len(attentions) == 0:
        raise ValueError(
            "attentions is empty, expected one array for each layer; load the model with "
            'attn_implementation="eager" and call it with output_attentions=True'
        )
    if len(tokens) > MAX_TOKENS:
        raise ValueError(
            f"there are {len(tokens)} tokens, expected {MAX_TOKENS} at most: lines between more cannot be told apart; shorten the "
            f"sentence, or cut: bertviz_view([a[..., :{MAX_TOKENS}, :{MAX_TOKENS}] for a in attentions], tokens[:{MAX_TOKENS}])"
        )
    layers = list(range(len(attentions))) if layers is None else list(layers)
    if not layers or not set(layers) <= set(range(len(attentions))):
        raise ValueError(f"layers is {layers}, expected some of 0 to {len(attentions) - 1}")
    arrays = [_one_layer(attentions[layer], layer, len(tokens)) for layer in layers]
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(f"the layers have {[len(array) for array in arrays]} heads, expected the same number in each")
    chosen = np.stack(arrays)  # (L, H, T, T)
    heads = list(range(chosen.shape[1])) if heads is None else list(heads)
    if not heads or not set(heads) <= set(range(chosen.shape[1])):
        raise ValueError(f"heads is {heads}, expected some of 0 to {chosen.shape[1] - 1}")
    if alt is None:
        what = "of one layer, a colour for each head" if view == "head" else "of each head of each layer"
        alt = f"Lines from each token to the tokens it looks at, {what}: {' '.join(tokens)}."
    checked_alt(alt)
    if view == "head":
        still = _head_still(chosen[0], tokens, layers[0], heads, alt)
        height = 22.5 * len(tokens) + 80
    else:
        still = _model_still(chosen, layers, heads, alt)
        height = max(len(layers) * (84 * len(tokens) / chosen.shape[1] + 10) + 60, 18 * len(tokens) + 80)
    return BertvizView(_page(chosen, tokens, view, layers, heads), round(height), still)


def _one_layer(attention: Any, layer: int, n_tokens: int) -> np.ndarray:
    values = to_array(attention, f"attentions[{layer}]")
    if values.ndim == 4 and len(values) == 1:
        values = values[0]  # (1, H, T, T) -> (H, T, T)
    if values.ndim != 3 or values.shape[1:] != (n_tokens, n_tokens):
        raise ValueError(
            f"attentions[{layer}] has shape {values.shape}, expected (heads, {n_tokens}, {n_tokens}) for {n_tokens} tokens"
        )
    return values


def _page(chosen: np.ndarray, tokens: list[str], view: str, layers: list[int], heads: list[int]) -> str:
    """A whole HTML page that draws itself with nothing from outside."""
    import torch
    from bertviz import head_view, model_view

    # BertViz wants every layer up to the last one named; float64 keeps the rounded numbers short
    rounded = torch.from_numpy(chosen.round(DECIMALS))[:, None]  # (L, H, T, T) -> (L, 1, H, T, T)
    filled = [rounded[layers.index(i)] if i in layers else rounded[0] for i in range(max(layers) + 1)]
    marked = [token.replace("<", "\ue000") for token in tokens]  # </script> must not end the script
    with contextlib.redirect_stdout(io.StringIO()):
        if view == "head":
            made = head_view(filled, marked, heads=heads, include_layers=layers, html_action="return").data
        else:
            made = model_view(
                filled, marked, include_layers=layers, include_heads=heads, display_mode="light", html_action="return"
            ).data
    made = re.sub(r"<script src=[^>]*></script>", "", made)  # require.js from the internet
    made = re.sub(r"bertviz-[0-9a-f]{32}", "bertviz", made).replace("\\ue000", "\\u003c")
    colours = json.dumps((COLOURS * 2)[:10])
    d3 = files("mpld3").joinpath("js/d3.v5.min.js").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><style>{PAGE_STYLE}</style>'
        f"<script>{d3}</script><script>{JQUERY}d3.schemeCategory10 = {colours};</script></head>"
        f"<body>{made}<script>{FIT}</script></body></html>"
    )


def _lines(
    ax: Axes, weights: np.ndarray, x: tuple[float, float], y: float, step: float, colour: str, width: float
) -> None:
    """One head's weights (T, T) as lines from the tokens at x[0] to the tokens at x[1]."""
    pairs = [(i, j) for (i, j), weight in np.ndenumerate(weights) if weight >= FAINTEST]
    segments = [((x[0], y + i * step), (x[1], y + j * step)) for i, j in pairs]
    alphas = [min(1.0, float(weights[pair])) for pair in pairs]
    ax.add_collection(LineCollection(segments, colors=colour, alpha=alphas, linewidths=width, capstyle="round"))


def _head_still(layer_weights: np.ndarray, tokens: list[str], layer: int, heads: list[int], alt: str) -> Picture:
    """One layer: tokens left and right, a colour for each head."""
    fig, ax = figure(width=4.4, height=0.24 * len(tokens) + 0.7)
    for head in heads:
        # fainter the more heads there are, as in BertViz, or they cover one another
        _lines(ax, layer_weights[head] / len(heads) ** 0.5, (0, 1), 0, 1, COLOURS[head % len(COLOURS)], 1.6)
    for i, token in enumerate(tokens):
        ax.text(-0.03, i, token, ha="right", va="center")
        ax.text(1.03, i, token, ha="left", va="center")
    ax.set(xlim=(-0.9, 1.9), ylim=(len(tokens) - 0.5, -0.7), xticks=[], yticks=[])
    ax.set_title(f"layer {layer}, {len(heads)} of {len(layer_weights)} heads")
    no_grid(ax)
    return Picture(fig, alt, colours=64)


def _model_still(chosen: np.ndarray, layers: list[int], heads: list[int], alt: str) -> Picture:
    """A grid of small drawings, layers down and heads across."""
    n_layers, n_heads, n_tokens = len(layers), len(heads), chosen.shape[-1]
    fig, ax = figure(width=9.0, height=max(1.2, 0.6 + n_layers * 9.0 / n_heads * 0.85))
    step = 0.8 / max(1, n_tokens - 1)
    for row in range(n_layers):
        for place, head in enumerate(heads):
            colour = COLOURS[layers[row] % len(COLOURS)]
            _lines(ax, chosen[row, head], (place + 0.1, place + 0.85), row + 0.1, step, colour, 1.1)
    ax.set(xlim=(0, n_heads), ylim=(n_layers, 0), xlabel="head", ylabel="layer")
    ax.set_xticks(np.arange(n_heads) + 0.5, heads)
    ax.set_yticks(np.arange(n_layers) + 0.5, layers)
    no_grid(ax)
    return Picture(fig, alt, scale=1, colours=64)
