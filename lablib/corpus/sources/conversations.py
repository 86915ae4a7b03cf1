"""Conversations: what instruction and preference sets hold, as turns of a user and an assistant.

Pre-training sources hold documents; the sets of later stages hold talk. Here is the shape that all of them are brought into, and the
reading of HH-RLHF's transcripts (Bai et al. 2022, arXiv 2204.05862), where a whole conversation is one string.

Left out: how turns become tokens. That is a chat template's work, in a later stage.
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLE_OF: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}


class Turn(NamedTuple):
    """What one side said."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation to learn from: its last turn is the answer that the model should give.

    Attributes:
        turns: in order; the last is the assistant's.
        id: unique within one source, the same in every run.
        source, licence: as in `Document`.
        kind: what sort of task, such as "summarization", in the source's own words.

    Raises:
        ValueError: there is no question, or the last turn is not the assistant's.
    """

    turns: tuple[Turn, ...]
    id: str
    source: str
    licence: str = "unknown"
    kind: str = ""

    def __post_init__(self) -> None:
        if len(self.turns) < 2 or self.turns[-1].role != "assistant":
            raise ValueError(
                f"turns with the roles {_roles(self.turns)}: expected a question, and an assistant's answer last"
            )

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """All turns but the answer."""
        return self.turns[:-1]

    @property
    def response(self) -> str:
        """The answer."""
        return self.turns[-1].text


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two ways in which a conversation went on, of which people (or a model) preferred the first.

    Attributes:
        prompt: the turns that both share.
        chosen, rejected: how each goes on; mostly one turn, in some rows of HH-RLHF more.
        id, source, licence: as in `Document`.
        scores: of chosen and rejected, where the source gives them (UltraFeedback: 1 to 10), else None.

    Raises:
        ValueError: the prompt is empty, or one of the two does not end with the assistant's turn.
    """

    prompt: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    rejected: tuple[Turn, ...]
    id: str
    source: str
    licence: str = "unknown"
    scores: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("prompt is empty: expected at least the turn that both answers share")
        for name, turns in (("chosen", self.chosen), ("rejected", self.rejected)):
            if not turns or turns[-1].role != "assistant":
                raise ValueError(f"{name} with the roles {_roles(turns)}: expected an assistant's turn last")


def _roles(turns: tuple[Turn, ...]) -> str:
    return ", ".join(turn.role for turn in turns) or "(none)"


def parse_transcript(text: str) -> tuple[Turn, ...]:
    """A transcript of HH-RLHF -> its turns.

    Each turn begins with an empty line and "Human:" or "Assistant:". The blank after the colon and white space at a turn's end belong
    to the format and are taken off; empty lines inside a turn stay.

    Raises:
        ValueError: the text begins with something else.

    >>> parse_transcript("\\n\\nHuman: Hi.\\n\\nAssistant: Hello!\\n\\nHow are you?")
    (Turn(role='user', text='Hi.'), Turn(role='assistant', text='Hello!\\n\\nHow are you?'))
    """
    before, *rest = _SPEAKER.split(text)
    if before.strip() or not rest:
        raise ValueError(
            f"the transcript begins with {text[:40]!r}: expected an empty line and 'Human:' or 'Assistant:'"
        )
    return tuple(
        Turn(_ROLE_OF[speaker], said.removeprefix(" ").rstrip())
        for speaker, said in zip(rest[::2], rest[1::2], strict=True)
    )


def split_pair(
    chosen: tuple[Turn, ...], rejected: tuple[Turn, ...]
) -> tuple[tuple[Turn, ...], tuple[Turn, ...], tuple[Turn, ...]]:
    """Two whole conversations -> the turns that they share, and how each goes on (at least its last turn).

    >>> ask, yes, no = Turn("user", "Tea?"), Turn("assistant", "Yes."), Turn("assistant", "No.")
    >>> split_pair((ask, yes), (ask, no)) == ((ask,), (yes,), (no,))
    True
    """
    longest = max(0, min(len(chosen), len(rejected)) - 1)  # never the last turn: two equal answers stay answers
    shared = next((i for i in range(longest) if chosen[i] != rejected[i]), longest)
    return chosen[:shared], chosen[shared:], rejected[shared:]
