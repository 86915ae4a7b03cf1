"""One text with where it comes from: what every source yields and every stage of the pipeline reads."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text and its provenance.

    Attributes:
        text: the text, as read.
        id: unique within one corpus and the same in every run, such as "pydoc/if" or "numpy/linalg/norm".
        source: who carries it, such as "language reference" or "c4".
        licence: SPDX name or the words of the source; "unknown" where nothing is said.
        kind: what sort of text, such as "docstring", "readme", "licence", "web page".
    """

    text: str
    id: str
    source: str
    licence: str = "unknown"
    kind: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(
                f"text = {self.text!r:.60} is {type(self.text).__name__}: expected str; decode bytes before"
            )
        if not self.id:
            raise ValueError(f"id = {self.id!r}: expected a name that is unique within the corpus, such as 'pydoc/if'")
