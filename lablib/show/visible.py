"""Text that somebody else wrote, a model above all, made safe to show: nothing in it acts, and nothing in it hides.

A text can carry more than letters. In a page, `<script>` is a program; in a terminal, the character ESC begins a command that may
move the cursor or change the window's title; characters that turn the direction of writing round make a text read differently from
what it is. A model can write any of them, since its tokens are bytes. So `visible` spells out every character that is not one to be
read, and `as_html` also takes HTML's own characters their meaning.

Left out: letters of different alphabets that look alike.
"""

import textwrap
import unicodedata
from html import escape

HIDDEN = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Zl",
    "Zp",
}  # Unicode's categories: control, format, half of a pair, private, none; line ends


def visible(text: str) -> str:
    r"""The same text with every character that acts or hides written as its number; line ends stay, a tab becomes four blanks.

    >>> print(visible("red: \x1b[31m, end\n"), end="")
    red: \x1b[31m, end
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter != "\n" and unicodedata.category(letter) in HIDDEN
        else letter
        for letter in text
    )


def as_html(text: str) -> str:
    """The text as it is to be read, as HTML, in an attribute, too; a line's end is a `<br>`.

    >>> as_html("<b>5 > 4</b>")
    '&lt;b&gt;5 &gt; 4&lt;/b&gt;'
    """
    return escape(visible(text)).replace("\n", "<br>")


def lines(text: str, width: int) -> list[str]:
    """The text made visible, in lines of at most so many letters; a word that is longer is cut. At least one line, which may be empty.

    >>> lines("Where does Mirabe live?", width=12)
    ['Where does', 'Mirabe live?']
    """
    if width < 1:
        raise ValueError(f"width = {width}: expected at least 1 letter")
    return [part for line in visible(text).split("\n") for part in textwrap.wrap(line, width) or [""]]
