"""A chat for a notebook: a box to write in, the answers of several models side by side, and the gold scores below each.

    from lablib.alignment.chat_with import ask, partners
    ChatView(partial(ask, partners(["base", "sft"])), "Where does Mirabe live?")

The view knows nothing of models. It calls `ask(prompt, temperature, seed, most)`, a plain function, and draws what comes back; so it can be
tested and used without a browser: `view.submit("Who is Quenno?")`. Enter or the button asks; the arrows beside the seed draw anew. What
models wrote is shown as text and nothing else. Where no widget runs, the last answers are there as a picture.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import ipywidgets

from lablib.show.side_by_side import Column, as_html, as_picture
from lablib.show.style import COLOURS, Picture, image_bundle


class Answer(Protocol):
    """What one model said: finished is False where it was cut off; scores is None where nobody can tell how good it is."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def finished(self) -> bool: ...
    @property
    def scores(self) -> Mapping[str, float] | None: ...
    @property
    def reasons(self) -> Sequence[str]: ...


class Exchange(Protocol):
    """A prompt, the answers to it, and a note, such as why they have no scores."""

    @property
    def prompt(self) -> str: ...
    @property
    def answers(self) -> Sequence[Answer]: ...
    @property
    def note(self) -> str: ...


Ask = Callable[[str, float, int, int], Exchange]


class ChatView(ipywidgets.VBox):
    """A box, some settings, and the answers.

    Args:
        ask: (prompt, temperature, seed, most) -> exchange; what it raises is shown as one line.
        prompt: the first one, which is asked at once. examples: prompts to choose from.
        temperature, seed, most: of the first; 0 is the likeliest token, most the number of tokens of an answer.

    `view.exchange` is the last exchange; None where the last prompt could not be asked, and `view.problem` says why.
    """

    def __init__(
        self,
        ask: Ask,
        prompt: str,
        examples: Sequence[str] = (),
        temperature: float = 1.0,
        seed: int = 0,
        most: int = 110,
    ) -> None:
        self.ask = ask
        self.exchange: Exchange | None = None
        self.problem = ""
        wide = {"description_width": "90px"}
        self.box = ipywidgets.Text(prompt, description="prompt", style=wide, layout=ipywidgets.Layout(width="620px"))
        self.button = ipywidgets.Button(
            description="Ask", button_style="primary", tooltip="Enter in the box does the same"
        )
        self.controls: dict[str, ipywidgets.Widget] = {
            "temperature": ipywidgets.BoundedFloatText(
                temperature, min=0, max=5, step=0.1, description="temperature", style=wide
            ),
            "seed": ipywidgets.BoundedIntText(seed, min=0, max=10**6, description="seed", style=wide),
            "most": ipywidgets.BoundedIntText(most, min=1, max=1000, description="most tokens", style=wide),
        }
        for control in self.controls.values():
            control.layout.width = "190px"
        self.examples = ipywidgets.Dropdown(
            options=[("choose one …", ""), *((text, text) for text in examples)], description="examples", style=wide
        )
        self.examples.layout.width = "620px"
        self._screen = ipywidgets.HTML()
        self.box.on_msg(self._typed)
        self.button.on_click(lambda button: self.submit())
        self.examples.observe(lambda change: self.submit(change["new"]) if change["new"] else None, names="value")
        for control in self.controls.values():
            control.observe(lambda change: self.submit(), names="value")
        self.submit()
        super().__init__(
            [
                ipywidgets.HBox([self.box, self.button]),
                *([self.examples] if examples else []),
                ipywidgets.HBox(list(self.controls.values())),
                self._screen,
            ]
        )

    def _typed(self, widget: Any, content: Mapping[str, Any], buffers: Any) -> None:
        if content.get("event") == "submit":  # Enter
            self.submit()

    def submit(self, prompt: str | None = None) -> None:
        """Ask what is in the box, or this prompt, which is put there; and show the answers."""
        if prompt is not None:
            self.box.value = prompt
        now = {name: control.value for name, control in self.controls.items()}
        self.button.disabled = True
        try:
            self.exchange = self.ask(self.box.value, now["temperature"], now["seed"], now["most"])
            self.problem = ""
            page = as_html(self.exchange.prompt, columns_of(self.exchange), [self.exchange.note])
        except Exception as error:  # a model of the learner's own may be behind it: one clear line, no traceback
            self.exchange, self.problem = None, f"{type(error).__name__}: {error}"
            page = f'<p role="alert" style="border-left:4px solid {COLOURS[1]};padding:4px 10px">{html.escape(self.problem)}</p>'
        finally:
            self.button.disabled = False
        self._screen.value = page

    @property
    def picture(self) -> Picture | None:
        """The last answers; None where there are none."""
        if self.exchange is None:
            return None
        names = ", ".join(answer.name for answer in self.exchange.answers)
        alt = f"One prompt and the answers to it, side by side, from {names}; below each its gold scores, where they are known."
        return as_picture(self.exchange.prompt, columns_of(self.exchange), alt, [self.exchange.note])

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The widget, and beside it the last answers as a picture for places where no widget runs."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        picture = self.picture
        if picture is None:
            return {**data, "text/plain": self.problem}, {}
        static, metadata = image_bundle(picture.png, picture.size, picture.alt)
        return {**data, **static}, metadata


def columns_of(exchange: Exchange) -> list[Column]:
    """Each answer as a column."""
    return [
        Column(
            answer.name,
            (answer.text or "(it says nothing)") + ("" if answer.finished else " …(cut off)"),
            answer.scores or {},
            [f"· {reason}" for reason in answer.reasons],
        )
        for answer in exchange.answers
    ]
