"""A row of a source -> a document, an example or a pair: one small function for each shape of row.

The columns are those of the sources' own pages (`Source.card`). What a row lacks is said by its name.
"""

from collections.abc import Mapping
from typing import Any

from lablib.corpus.crawl_report import whole
from lablib.corpus.document import Document
from lablib.corpus.sources.catalogue import Source
from lablib.corpus.sources.conversations import ROLES, Example, PreferencePair, Turn, parse_transcript, split_pair

Record = Document | Example | PreferencePair
Columns = Mapping[str, Any]


def to_record(source: Source, row: Columns, id: str) -> Record | None:
    """A row as what the source gives; None if it holds no text.

    Raises:
        ValueError: a column is missing or holds something else than it should; names the column.
    """
    if source.gives == "documents":
        return _document(source, row, id)
    if source.name == "dolly":
        return _instruction(source, row, id)
    if source.name == "ultrafeedback":
        return _scored_pair(source, row, id)
    return _transcripts(source, row, id)


def _text(row: Columns, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise ValueError(f"column {column!r} holds {value!r:.40}: expected text")
    return whole(value)[0]  # half a surrogate pair, which JSON can hold, becomes U+FFFD


def _document(source: Source, row: Columns, id: str) -> Document | None:
    """All that gives documents. RefinedWeb calls its text content; The Pile says which of its parts it is from: that is the kind."""
    text = _text(row, "content" if "content" in source.columns else "text")
    if not text.strip():
        return None
    kind = source.kind
    if source.name == "the-pile":
        meta = row.get("meta")
        part = meta.get("pile_set_name") if isinstance(meta, dict) else None
        if not isinstance(part, str):
            raise ValueError(f"column 'meta' holds {meta!r:.40}: expected an object with the text 'pile_set_name'")
        kind = part
    return Document(text, id, source.name, source.licence, kind)


def _instruction(source: Source, row: Columns, id: str) -> Example | None:
    """Dolly: the question, below it the passage that it is about, if there is one; then the answer."""
    question, context, answer = (_text(row, name) for name in ("instruction", "context", "response"))
    if not question.strip() or not answer.strip():
        return None
    ask = f"{question}\n\n{context}" if context.strip() else question
    return Example(
        (Turn("user", ask), Turn("assistant", answer)), id, source.name, source.licence, _text(row, "category")
    )


def _scored_pair(source: Source, row: Columns, id: str) -> PreferencePair:
    """UltraFeedback: both conversations are lists of messages, {"content": …, "role": …}."""
    prompt, chosen, rejected = split_pair(_messages(row, "chosen"), _messages(row, "rejected"))
    scores = row.get("score_chosen"), row.get("score_rejected")
    both = (float(scores[0]), float(scores[1])) if scores[0] is not None and scores[1] is not None else None
    return PreferencePair(prompt, chosen, rejected, id, source.name, source.licence, both)


def _messages(row: Columns, column: str) -> tuple[Turn, ...]:
    value = row.get(column)
    if not isinstance(value, list):
        raise ValueError(f"column {column!r} holds {value!r:.40}: expected a list of messages")
    turns = []
    for message in value:
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise ValueError(
                f"column {column!r} holds the message {message!r:.60}: expected a role of {', '.join(ROLES)}"
            )
        turns.append(Turn(role, _text(message, "content")))
    return tuple(turns)


def _transcripts(source: Source, row: Columns, id: str) -> PreferencePair:
    """HH-RLHF: both conversations are transcripts."""
    chosen, rejected = (parse_transcript(_text(row, column)) for column in ("chosen", "rejected"))
    return PreferencePair(*split_pair(chosen, rejected), id, source.name, source.licence)
