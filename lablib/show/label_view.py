"""Label pairs in a notebook: a prompt and two answers; choose left, right or the same; and see how far you agree with the others.

    from lablib.alignment.labelling import Session
    LabelView(Session(pairs, Random(0), repeats=5))

All state is the session's, a plain object; here it is only drawn, and left is what the session calls first. So it can be tested and used
without a browser: `view.choose("left")`, `view.undo()`. At the keyboard, put the cursor in the small box and press l, r or s, or u to take
the last label back. Whom the answers came from is not shown, and what they say is shown as text and nothing else. Where no widget
runs, the present pair and the agreements so far are there as a picture.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import ipywidgets

from lablib.show.side_by_side import Column, as_html, as_picture
from lablib.show.style import Picture, image_bundle

SIDES = {"left": "first", "right": "second", "same": "same"}
KEYS = {"l": "left", "r": "right", "s": "same"}
NOTHING = "Agreement: nothing is labelled yet."
ALT = "A prompt and two answers, side by side, one of which is to be chosen; below, how far the labels so far agree with others."


class Turn(Protocol):
    """Who spoke, and what."""

    @property
    def role(self) -> str: ...
    @property
    def text(self) -> str: ...


class Shown(Protocol):
    """A pair to be labelled: the number-th of so many."""

    @property
    def number(self) -> int: ...
    @property
    def of(self) -> int: ...
    @property
    def prompt(self) -> Sequence[Turn]: ...
    @property
    def first(self) -> str: ...
    @property
    def second(self) -> str: ...


class Agreement(Protocol):
    """With somebody, on n pairs: the share with the same label and its interval, Cohen's kappa, the best that could be had."""

    @property
    def name(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def share(self) -> tuple[float, float, float]: ...
    @property
    def kappa(self) -> float: ...
    @property
    def best(self) -> float: ...


class Session(Protocol):
    """What is labelled, and what was said of it; `lablib.alignment.labelling.Session` is one."""

    def shown(self) -> Shown | None: ...
    def choose(self, choice: Any) -> Shown | None: ...
    def undo(self) -> Shown | None: ...
    def summary(self) -> Sequence[Agreement]: ...


class LabelView(ipywidgets.VBox):
    """Two answers, three buttons, and the agreements so far."""

    def __init__(self, session: Session) -> None:
        self.session = session
        names = {"left": "← left is better", "same": "the same", "right": "right is better →"}
        self.buttons = {side: ipywidgets.Button(description=names[side], button_style="primary") for side in names}
        self.back = ipywidgets.Button(description="undo", tooltip="take the last label back")
        self.letters = ipywidgets.Text("", placeholder="l, s, r, u", description="keys")
        self.letters.layout.width, self.letters.style.description_width = "150px", "40px"
        for side, button in self.buttons.items():
            button.on_click(lambda clicked, side=side: self.choose(side))
        self.back.on_click(lambda clicked: self.undo())
        self.letters.observe(self._pressed, names="value")
        self._screen = ipywidgets.HTML()
        self._redraw()
        super().__init__([self._screen, ipywidgets.HBox([*self.buttons.values(), self.back, self.letters])])

    def choose(self, side: str) -> None:
        """Label the pair that is shown, and go on to the next; where all are labelled nothing happens.

        Raises:
            ValueError: another word than "left", "right" or "same".
        """
        if side not in SIDES:
            raise ValueError(f"side = {side!r}: expected one of {', '.join(SIDES)}")
        if self.session.shown() is not None:
            self.session.choose(SIDES[side])
            self._redraw()

    def undo(self) -> None:
        """Take the last label back, and show its pair again."""
        self.session.undo()
        self._redraw()

    def _pressed(self, change: Any) -> None:
        """Every letter in the box acts, and goes away; what is no key does nothing."""
        letters = change["new"].lower()
        if not letters:
            return
        self.letters.value = ""
        for letter in letters:
            if letter == "u":
                self.undo()
            elif letter in KEYS:
                self.choose(KEYS[letter])

    def _redraw(self) -> None:
        for button in self.buttons.values():
            button.disabled = self.session.shown() is None
        title, columns = self._content()
        self._screen.value = as_html(title, columns, self.agreements())

    def _content(self) -> tuple[str, list[Column]]:
        shown = self.session.shown()
        if shown is None:
            return "All pairs have their label. Thank you!", []
        turns = list(shown.prompt)
        asked = turns[0].text if len(turns) == 1 else "\n".join(f"{turn.role}: {turn.text}" for turn in turns)
        title = f"{shown.number} of {shown.of}: {asked}"
        return title, [Column("left", shown.first), Column("right", shown.second)]

    def agreements(self) -> list[str]:
        """How far the labels so far agree with each of the others, a line each."""
        found = self.session.summary()
        if not found:
            return [NOTHING]
        head = f"{'agreement with':<22}{'pairs':>5}  {'share [95 % interval]':<24}{'at best':>8}{'kappa':>8}"
        return [head, *map(_line, found)]

    @property
    def picture(self) -> Picture:
        """The present pair and the agreements."""
        title, columns = self._content()
        return as_picture(title, columns, ALT, self.agreements())

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The widget, and beside it a picture of its present state for places where no widget runs."""
        data = super()._repr_mimebundle_(**kwargs) or {}
        picture = self.picture
        static, metadata = image_bundle(picture.png, picture.size, picture.alt)
        return {**data, **static}, metadata


def _line(one: Agreement) -> str:
    share, low, high = one.share
    kappa = f"{one.kappa:.2f}" if one.kappa == one.kappa else "–"  # NaN where one of both always gave the same label
    return f"{one.name:<22}{one.n:>5}  {f'{share:.0%} [{low:.0%}, {high:.0%}]':<24}{one.best:>8.0%}{kappa:>8}"
