"""Sliders on the learner's own attention function.

`AttentionExplorer.picture(**settings)` is a plain function of its settings: it calls the learner's
function and draws the weights that came back, so it can be tested and used without a browser. The widget
only moves its arguments.

How the sliders reach into a function that takes nothing but q, k, v and a mask:
  sharpness  scores are linear in q, so a multiplier on q multiplies every score;
  closeness  one more dimension is added to q and k, zero everywhere but at the chosen query and key, so
  that exactly one score
             moves. The function divides by the root of the width, which has grown by one: q is scaled to
             make up for that.
"""

import base64
import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np

from lablib.show.attention_view import READABLE, draw_map
from lablib.show.style import COLOURS, GREY, Picture, figure, image_bundle, to_array

MASKS = ("none", "causal")


class ExplorerError(Exception):
    """The learner's function raised, or gave back something that is no attention; the message is one clear
    line."""


class AttentionExplorer(ipywidgets.VBox):
    """A heat map of the weights and one query's row of them, with sliders.

    Args:
        attention: the learner's function, (q, k, v, mask) -> (output, weights); mask is None or boolean,
            True = may look.
        q, k, v: (T, K) each, tensors; v may have another width.
        tokens: the T tokens.
        query, key: the positions that the sliders start at; the last and the first token when left out.
    """

    def __init__(
        self,
        attention: Callable[..., Any],
        q: Any,
        k: Any,
        v: Any,
        tokens: Sequence[str],
        query: int | None = None,
        key: int | None = None,
    ) -> None:
        import torch

        self.attention, self.tokens = attention, list(tokens)
        self.q, self.k, self.v = (torch.as_tensor(x).detach().float() for x in (q, k, v))
        for name, x in (("q", self.q), ("k", self.k), ("v", self.v)):
            if x.ndim != 2 or len(x) != len(self.tokens):
                raise ValueError(
                    f"{name} has shape {tuple(x.shape)}, expected ({len(self.tokens)}, width) for {len(self.tokens)} "
                    f"tokens; one sentence and one head of a batch is {name}[0, 0]"
                )
        self.defaults: dict[str, Any] = {
            "sharpness": 1.0,
            "mask": "none",
            "query": len(self.tokens) - 1 if query is None else query,
            "key": 0 if key is None else key,
            "closeness": 0.0,
        }
        self.controls = _controls(self.tokens, self.defaults)
        self._screen = ipywidgets.HTML()
        self._png = b""
        self._size = (0, 0)
        self._line = ""
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        self._redraw()
        top, bottom = list(self.controls.values())[:2], list(self.controls.values())[2:]
        super().__init__([ipywidgets.HBox(top), ipywidgets.HBox(bottom), self._screen])

    def weights(
        self, sharpness: float = 1.0, mask: str = "none", query: int = 0, key: int = 0, closeness: float = 0.0
    ) -> np.ndarray:
        """What the learner's function returns at these settings: weights (T, S).

        Args:
            sharpness: multiplies every score.
            mask: "none" or "causal".
            query, key: the pair whose score is moved.
            closeness: added to that pair's score, after the division by the root of the width.

        Raises:
            ExplorerError: when the function raises or returns something else than (output, weights).
        """
        import torch

        (T, K), S = self.q.shape, len(self.k)
        moved = torch.zeros(T, 1)
        moved[query] = closeness * K**0.5
        marked = torch.zeros(S, 1)
        marked[key] = 1.0
        q = torch.cat([self.q * sharpness, moved], dim=-1) * ((K + 1) / K) ** 0.5  # (T, K) -> (T, K + 1)
        k = torch.cat([self.k, marked], dim=-1)  # (S, K) -> (S, K + 1)
        allowed = torch.ones(T, S, dtype=torch.bool).tril() if mask == "causal" else None
        name = getattr(self.attention, "__name__", "your function")
        try:
            result = self.attention(q, k, self.v.clone(), allowed)
        except Exception as error:
            reason = str(error).split("\n")[0] or "no message"
            raise ExplorerError(f"{name} raised {type(error).__name__}: {reason}") from error
        if not isinstance(result, tuple) or len(result) != 2:
            raise ExplorerError(f"{name} returned a {type(result).__name__}, expected (output, weights)")
        weights = to_array(result[1], "weights")
        if weights.shape != (T, S):
            raise ExplorerError(f"{name} returned weights of shape {weights.shape}, expected ({T}, {S})")
        if not np.isfinite(weights).all():
            raise ExplorerError(
                f"{name} returned weights with NaN or infinity in row {np.argwhere(~np.isfinite(weights))[0][0]}"
            )
        return weights

    def picture(self, **settings: Any) -> Picture:
        """The picture at these settings; each one left out has its starting value.

        Args:
            settings: sharpness, mask, query, key, closeness, as `weights` takes them.

        Raises:
            ExplorerError: as `weights` does. TypeError: a setting of another name.
        """
        unknown = sorted(set(settings) - set(self.defaults))
        if unknown:
            raise TypeError(f"no setting is called {unknown[0]!r}, expected some of {list(self.defaults)}")
        now = self.defaults | settings
        weights = self.weights(**now)
        before = self.weights(**(now | {"sharpness": 1.0, "closeness": 0.0}))
        seen = now["query"] + 1 if now["mask"] == "causal" else len(self.tokens)
        return self._draw(weights, before, now["query"], now["key"], seen)

    def _draw(self, weights: np.ndarray, before: np.ndarray, query: int, key: int, seen: int) -> Picture:
        n = len(self.tokens)
        side = max(2.4, min(4.2, 0.4 * n))
        fig, (left, right) = figure(1, 2, side + 5.4, side + 0.9, width_ratios=[side + 0.6, 4.2])
        draw_map(left, weights, self.tokens, self.tokens, numbers=n <= READABLE)
        left.set(xlabel="key (looked at)", ylabel="query (looking)", title="weights of every query")
        left.plot([0, n, n, 0, 0], [query, query, query + 1, query + 1, query], color=COLOURS[1], clip_on=False)
        places = np.arange(n)
        right.bar(places, before[query], width=0.8, color="#D0D0D0", label="before the sliders")
        right.bar(places, weights[query], width=0.45, color=COLOURS[0], label="now")
        right.set_xticks(places, self.tokens, rotation=90 if max(map(len, self.tokens)) > 2 else 0)
        right.get_xticklabels()[key].set_color(COLOURS[1])
        right.set(
            ylim=(0, 1.2), ylabel="weight", title=f"where “{self.tokens[query]}” looks (sum {weights[query].sum():.2f})"
        )
        right.set_yticks(np.linspace(0, 1, 6))
        right.axhline(1 / seen, color=GREY, linestyle="--", linewidth=1.2, label=f"all alike (1/{seen})")
        right.legend(loc="upper center", ncols=3, columnspacing=1.0, handlelength=1.4, frameon=False)
        right.grid(axis="x", visible=False)
        return Picture(
            fig,
            f"Left: heat map of the attention weights among {', '.join(self.tokens)}. "
            "Right: the weights of one query as bars, before the sliders were moved and now.",
        )

    def _redraw(self, change: Any = None) -> None:
        try:
            picture = self.picture(**{name: control.value for name, control in self.controls.items()})
        except ExplorerError as error:
            self._png, self._line = b"", str(error)
            self._screen.value = _line_html(self._line)
            return
        self._png, self._size, self._line = picture.png, picture.size, picture.alt
        source = base64.b64encode(self._png).decode("ascii")
        self._screen.value = (
            f'<img src="data:image/png;base64,{source}" width="{self._size[0]}" '
            f'alt="{html.escape(picture.alt)}" style="max-width:100%;background:white">'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The widget, and beside it a picture of its present state for places where no widget runs."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        static, metadata = image_bundle(self._png, self._size, self._line)
        if not self._png:
            static, metadata = {"text/plain": self._line}, {}
        return {**data, **static}, metadata


def _controls(tokens: list[str], start: dict[str, Any]) -> dict[str, ipywidgets.Widget]:
    wide, short = {"description_width": "80px"}, ipywidgets.Layout(width="300px")
    names = [(f"{i}: {token}", i) for i, token in enumerate(tokens)]

    def slider(name: str, low: float, high: float, step: float) -> ipywidgets.Widget:
        return ipywidgets.FloatSlider(
            value=start[name], min=low, max=high, step=step, description=name, style=wide, layout=short,
            continuous_update=False, readout_format=".2f",
        )  # fmt: skip

    def choice(name: str, options: Any) -> ipywidgets.Widget:
        return ipywidgets.Dropdown(options=options, value=start[name], description=name, style=wide, layout=short)

    return {
        "sharpness": slider("sharpness", 0.0, 8.0, 0.25),
        "mask": choice("mask", MASKS),
        "query": choice("query", names),
        "key": choice("key", names),
        "closeness": slider("closeness", -6.0, 6.0, 0.5),
    }


def _line_html(line: str) -> str:
    style = f"border-left:4px solid {COLOURS[1]};padding:4px 10px"
    return f'<p role="alert" style="{style}">{html.escape(line)}</p>'
