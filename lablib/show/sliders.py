"""A picture with sliders: move one, and a plain function draws the picture again.

The function knows nothing of widgets, so it can be tested and used without a browser; the widget only moves its arguments.
Where no widget runs (GitHub, an exported page, a reopened notebook) the picture at the starting values is shown instead.
"""

import base64
import html
from collections.abc import Callable
from typing import Any

import ipywidgets

from lablib.show.style import COLOURS, Picture, image_bundle


class Sliders(ipywidgets.VBox):
    """`draw(**settings)` under one slider for each setting.

    Args:
        draw: from one number for each setting to a `Picture`.
        settings: name = (first value, low, high), all integers; the step is 1.

    Raises:
        TypeError: a setting is not three integers.
        ValueError: the first value is not between low and high.

    `sliders.picture` is the present `Picture`, `sliders.controls["m"]` the slider of the setting m.
    """

    def __init__(self, draw: Callable[..., Picture], **settings: tuple[int, int, int]) -> None:
        self.draw = draw
        self.controls: dict[str, ipywidgets.IntSlider] = {}
        for name, setting in settings.items():
            if len(setting) != 3 or not all(isinstance(number, int) for number in setting):
                raise TypeError(f"{name} = {setting!r}; expected (first value, low, high), three integers")
            value, low, high = setting
            if not low <= value <= high:
                raise ValueError(f"{name} starts at {value}; expected a value between {low} and {high}")
            self.controls[name] = ipywidgets.IntSlider(
                value=value, min=low, max=high, description=name.replace("_", " "), continuous_update=False
            )
            self.controls[name].style.description_width = "140px"
            self.controls[name].layout.width = "460px"
            self.controls[name].observe(self._redraw, names="value")
        self._screen = ipywidgets.HTML()
        self.picture: Picture | None = None
        self._redraw()
        super().__init__([*self.controls.values(), self._screen])

    def _redraw(self, change: Any = None) -> None:
        try:
            picture = self.draw(**{name: control.value for name, control in self.controls.items()})
            png = base64.b64encode(picture.png).decode("ascii")
        except Exception as error:  # the learner's own function runs inside: one clear line, no traceback
            line = html.escape(f"{type(error).__name__}: {error}")
            self._screen.value = (
                f'<p role="alert" style="border-left:4px solid {COLOURS[1]};padding:4px 10px">{line}</p>'
            )
            self.picture = None
            return
        self.picture = picture
        self._screen.value = (
            f'<img src="data:image/png;base64,{png}" width="{picture.size[0]}" alt="{html.escape(picture.alt)}" '
            'style="max-width:100%;background:white">'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The widget, and beside it its present picture for places where no widget runs."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        if self.picture is None:
            return {**data, "text/plain": "The picture could not be drawn: see the message under the sliders."}, {}
        static, metadata = image_bundle(self.picture.png, self.picture.size, self.picture.alt)
        return {**data, **static}, metadata
