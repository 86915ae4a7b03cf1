"""A conversation as tokens: who speaks is told by special tokens, which no text can forge.

    <|bos|> <|user|> Where does Mirabe live? <|end|> <|assistant|> In Marrow. <|end|>

A *chat template* is the rule by which turns become one row of tokens. Each turn begins with the token of its *role* (system, user or
assistant) and ends with `<|end|>`. So a model that has learned from such rows can be asked for a turn by writing `<|assistant|>`, and it
says itself when the turn is over: it writes `<|end|>`, the *stop token*.

Whoever types the characters `<|assistant|>` must not get to speak as the assistant. Here that cannot happen, since the text of a turn is
encoded as text, always, and the markers are put in by number. `template` says the same rule in the language in which `transformers` wants
it. There the whole row is one string before it becomes tokens, so marker and imitation look alike; therefore it refuses a turn that
holds the name of a special token. On all other turns both give the same numbers.

The idea of role tokens is that of ChatML (OpenAI 2023) and of Llama 3's format; each family of models has spellings of its own, and a model
is only good at the one that it was trained with. Left out: tools, images, and a default system message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lablib.corpus.sources.conversations import ROLES, Example, Role, Turn
from lablib.paths import data_path
from lablib.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, STOP, PAD = "<|bos|>", "<|end|>", "<|pad|>"
MARKERS: dict[Role, str] = {role: f"<|{role}|>" for role in ROLES}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns to learn from.

    Attributes:
        turns: a system's turn or none, then user and assistant in turn, the assistant last.
        skip: so many of the assistant's turns, the first ones, are there to be spoken of and not to be learned.
        kind: what sort of task: a type of the world's instructions, "critique", …; in real sets their own word for it.
        faults: what is wrong with the turns that are learned (see `faults`); empty where nothing is.

    Raises:
        ValueError: the turns are out of order, or nothing is left to learn.
    """

    turns: tuple[Turn, ...]
    skip: int = 0
    kind: str = ""
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self.turns)
        answers = sum(role == "assistant" for role, _ in self.turns)
        if not 0 <= self.skip < answers or self.turns[-1].role != "assistant":
            raise ValueError(
                f"skip = {self.skip} with the roles {_roles(self.turns)}: expected an assistant's turn last, and fewer skipped than "
                f"the {answers} that there are"
            )

    @classmethod
    def of(cls, example: Example) -> Conversation:
        """From a row of a real instruction set, such as Dolly."""
        return cls(example.turns, kind=example.kind)


def render(turns: Sequence[Turn], tokenizer: Tokenizer, reply: bool = False) -> list[int]:
    """Turns to token numbers: `<|bos|>`, and for each turn the token of its role, its text, `<|end|>`.

    Args:
        turns: each a role ("system", "user" or "assistant") and a text.
        tokenizer: `tokenizer.special[name]` is the number of a special token; `MARKERS[role]` is the name of a role's.
            `tokenizer.encode(text)` reads text as text: what spells a marker in it stays letters.
        reply: put `<|assistant|>` behind the last turn, so that the model goes on with its answer.

    Returns:
        the numbers. Nothing stands between the turns, no blank and no newline, and no text is changed.

    >>> tokenizer = Tokenizer.from_merges([], special=["<|bos|>", "<|user|>", "<|assistant|>", "<|end|>"])
    >>> render([Turn("user", "Hi")], tokenizer, reply=True)  # without merges each letter is a token: H 39, i 72
    [256, 257, 39, 72, 259, 258]
    """
    special = tokenizer.special
    ids = [special[BEGIN]]
    for role, text in turns:
        ids += [special[MARKERS[role]], *tokenizer.encode(text), special[STOP]]
    return [*ids, special[MARKERS["assistant"]]] if reply else ids


def read(ids: Sequence[int], tokenizer: Tokenizer) -> list[Turn]:
    """The reverse of `render`: token numbers to turns. An assistant's turn that has just begun, or has no end yet, is given as it is.

    Raises:
        ValueError: the numbers are no rendered conversation; says at which token.

    >>> tokenizer = Tokenizer.from_merges([], special=["<|bos|>", "<|user|>", "<|assistant|>", "<|end|>"])
    >>> read([256, 257, 39, 72, 259, 258], tokenizer)
    [Turn(role='user', text='Hi'), Turn(role='assistant', text='')]
    """
    special, numbers = tokenizer.special, set(tokenizer.special.values())
    role_of = {special[name]: role for role, name in MARKERS.items() if name in special}
    if not ids or ids[0] != special[BEGIN]:
        raise ValueError(f"ids begin with {list(ids[:1])}: expected {special[BEGIN]}, the token {BEGIN}")
    turns: list[Turn] = []
    at = 1
    while at < len(ids):
        role = role_of.get(ids[at])
        if role is None:
            raise ValueError(f"ids[{at}] = {ids[at]}: expected the token of a role, one of {sorted(role_of)}")
        stop = next((i for i in range(at + 1, len(ids)) if ids[i] in numbers), len(ids))
        if stop < len(ids) and ids[stop] != special[STOP]:
            raise ValueError(
                f"ids[{stop}] = {ids[stop]}, inside a turn: expected {special[STOP]}, the token {STOP}, first"
            )
        if stop == len(ids) and role != "assistant":
            raise ValueError(f"the {role}'s turn that begins at ids[{at}] has no end: expected {special[STOP]}, {STOP}")
        turns.append(Turn(role, tokenizer.decode(ids[at + 1 : stop])))
        at = stop + 1
    return turns


def check(turns: Sequence[Turn]) -> None:
    """Raise a ValueError for turns that are none, empty of role or text, or in no order of a conversation."""
    for number, (role, text) in enumerate(turns):
        if role not in ROLES or not isinstance(text, str):
            raise ValueError(
                f"turns[{number}] = {(role, text)!r:.80}: expected a role of {', '.join(ROLES)} and a text"
            )
    talk = [role for role, _ in turns]
    talk = talk[1:] if talk[:1] == ["system"] else talk
    if not talk or talk != [("user", "assistant")[i % 2] for i in range(len(talk))]:
        raise ValueError(
            f"turns have the roles {_roles(turns)}: expected a system's turn or none, then user and assistant in turn"
        )


def check_special(tokenizer: Tokenizer) -> None:
    """Raise a ValueError for a tokenizer that lacks one of the special tokens of a conversation."""
    missing = [name for name in (BEGIN, STOP, PAD, *MARKERS.values()) if name not in tokenizer.special]
    if missing:
        raise ValueError(
            f"tokenizer has no {', '.join(missing)}: expected a special token for each; `course_tokenizer.load()` has them"
        )


def _roles(turns: Sequence[Turn]) -> str:
    return ", ".join(role for role, _ in turns) or "(none)"


# ---------------------------------------------------------------- the same for transformers

# {% generation %} marks what the assistant says, its <|end|> included; `return_assistant_tokens_mask=True` tells it by token.
_TURNS = (
    "{{- '<|bos|>' }}"
    "{%- for message in messages %}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{- raise_exception('role ' ~ message['role'] ~ ': expected system, user or assistant') }}{%- endif %}"
    "{%- for name in [@SPECIAL@] %}{%- if name in message['content'] %}"
    "{{- raise_exception('the text of a turn holds ' ~ name ~ ', which would become a special token: take it out, or "
    "encode the turns by lablib.adaptation.chat.render') }}"
    "{%- endif %}{%- endfor %}"
    "{{- '<|' ~ message['role'] ~ '|>' }}"
    "{%- if message['role'] == 'assistant' %}{%- generation %}{{- message['content'] ~ '<|end|>' }}{%- endgeneration %}"
    "{%- else %}{{- message['content'] ~ '<|end|>' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)


def template(tokenizer: Tokenizer) -> str:
    """The rule of `render` as a Jinja chat template, which refuses texts that spell one of the tokenizer's special tokens."""
    return _TURNS.replace("@SPECIAL@", ", ".join(repr(name) for name in sorted(tokenizer.special)))


def for_transformers(tokenizer: Tokenizer | None = None) -> PreTrainedTokenizerFast:
    """The course's tokenizer as one of `transformers`, with the chat template; its `save_pretrained` writes both.

    Args:
        tokenizer: with the special tokens above; None: the course's own.
    """
    from tokenizers import Tokenizer as Fast
    from transformers import PreTrainedTokenizerFast

    from lablib.tokens import tokenizer_json

    if tokenizer is None:
        tokenizer = Tokenizer.load(data_path("tokenizer.json"))
    check_special(tokenizer)
    text = tokenizer_json.dumps(tokenizer.tokens, tokenizer.merges, tokenizer.special, tokenizer.pattern)
    return PreTrainedTokenizerFast(
        tokenizer_object=Fast.from_str(text),
        bos_token=BEGIN,
        eos_token=STOP,  # what ends an answer: `generate` of transformers stops there
        pad_token=PAD,
        chat_template=template(tokenizer),
        clean_up_tokenization_spaces=False,
    )
