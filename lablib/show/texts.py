"""Texts to be read: a gallery of documents with a note on each, and one document before and after, with what was taken out struck through.

Numbers say how much a filter drops; only reading says what. Both views are tables of plain HTML, which GitHub shows too, and have the same
content as plain text.
"""

import difflib
import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

GONE, NEW, NOTE = "#FBD5C4", "#CDEBDD", "#555555"


class Card(NamedTuple):
    """One text of a gallery.

    Attributes:
        heading: what the card is an example of, such as a rule's name.
        text: the document.
        note: a line below it, such as why it was dropped.
        mark: what became of it, or should, such as "kept"; "" for nothing.
        good: whether the mark is drawn in the colour of good news.
    """

    heading: str
    text: str
    note: str = ""
    mark: str = ""
    good: bool = True


def shortened(text: str, letters: int) -> str:
    """The beginning of a text, cut between words, with an ellipsis where something is left out; lines stay lines.

    >>> shortened("The heron waits in the shallow water.", 20)
    'The heron waits in …'
    """
    text = re.sub(r"\n\s*\n+", "\n", text.strip())
    if len(text) <= letters:
        return text
    head = text[: letters - 1]
    return (head[: head.rindex(" ")] if " " in head else head) + " …"


class Gallery:
    """Cards below each other, each with its heading at the left.

    Args:
        cards: at least one.
        letters: longest text that is shown; the rest is cut off.
    """

    def __init__(self, cards: Sequence[Card], letters: int = 320) -> None:
        if not cards:
            raise ValueError("cards is empty: expected at least one Card")
        self.cards, self.letters = list(cards), letters

    def __repr__(self) -> str:
        return "\n".join(
            f"[{', '.join(filter(None, (card.mark, card.heading)))}] {shortened(card.text, self.letters)!r}"
            + (f"\n    {card.note}" if card.note else "")
            for card in self.cards
        )

    def _repr_html_(self) -> str:
        rows = []
        for card in self.cards:
            colour = "#009E73" if card.good else "#D55E00"
            mark = f'<b style="color:{colour}">{escape(card.mark)}</b><br>' if card.mark else ""
            text = escape(shortened(card.text, self.letters)).replace("\n", "<br>")
            note = f'<br><small style="color:{NOTE}">{escape(card.note)}</small>' if card.note else ""
            rows.append(
                f'<tr><td style="text-align:left;vertical-align:top">{mark}{escape(card.heading)}</td>'
                f'<td style="text-align:left;max-width:640px">{text}{note}</td></tr>'
            )
        return f"<table>{''.join(rows)}</table>"


def pieces(before: str, after: str) -> list[tuple[str, str]]:
    """What stayed, what went and what came, in order: ("same" | "gone" | "new", text), compared word by word.

    >>> pieces("Ring 555 now.", "Ring [PHONE] now.")
    [('same', 'Ring '), ('gone', '555'), ('new', '[PHONE]'), ('same', ' now.')]
    """
    old, new = (re.findall(r"\s+|[^\s]+", text) for text in (before, after))
    found: list[tuple[str, str]] = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            found.append(("same", "".join(old[i:j])))
            continue
        found += [(name, "".join(part)) for name, part in (("gone", old[i:j]), ("new", new[k:m])) if part]
    return found


class Trace:
    """One document's way through a pipeline: each step with its reasons, then the text with what went struck through.

    Args:
        title: the document's name.
        steps: (stage, what it did, why) in order.
        before, after: the text as it came and as it was in the end.
    """

    def __init__(self, title: str, steps: Sequence[tuple[str, str, str]], before: str, after: str) -> None:
        self.title, self.steps = title, list(steps)
        self.pieces = pieces(before, after)

    def __repr__(self) -> str:
        marks = {"same": "{}", "gone": "⟦−{}⟧", "new": "⟦+{}⟧"}
        lines = [self.title, *(f"  {stage}: {action}: {why}" for stage, action, why in self.steps)]
        return "\n".join([*lines, "", "".join(marks[kind].format(text) for kind, text in self.pieces)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{escape(stage)}</td><td style="text-align:left"><b>{escape(action)}</b></td>'
            f'<td style="text-align:left">{escape(why)}</td></tr>'
            for stage, action, why in self.steps
        )
        marks = {
            "same": "{}",
            "gone": f'<del style="background:{GONE}">{{}}</del>',
            "new": f'<ins style="background:{NEW};text-decoration:none">{{}}</ins>',
        }
        text = "".join(marks[kind].format(escape(part).replace("\n", "<br>")) for kind, part in self.pieces)
        head = '<tr><th style="text-align:left">stage</th><th style="text-align:left">did</th><th style="text-align:left">why</th></tr>'
        return f"<p><b>{escape(self.title)}</b></p><table>{head}{rows}</table><p>{text}</p>"
