"""Sets of preferences in files: our own as JSON lines, and those of other people, HH-RLHF and UltraFeedback, in the same shape.

    found = imported(stream("hh-rlhf", limit=1000), tokenizer, T=256)
    found.pairs, found.dropped

Real sets are not as tidy as one's own: rows in which both answers are the same, or were given the same score; conversations that
part company some turns before the end; rows that are longer than what the model can read. Each of these is left out, and counted
by its reason.

HH-RLHF: Bai et al. 2022, "Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback".
UltraFeedback: Cui et al. 2023, "UltraFeedback: Boosting Language Models with High-quality Feedback", in the two-answer form of
Tunstall et al. 2023, "Zephyr".

Left out: the scores of UltraFeedback, beyond which answer has more.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lablib.adaptation.chat import STOP, check, check_special, render
from lablib.alignment.preference_pairs import Preference
from lablib.corpus.sources.conversations import PreferencePair, Turn
from lablib.corpus.world.judge import Judgement
from lablib.pretraining import atomic
from lablib.tokens.tokenizer import Tokenizer

REASONS = ("same answers", "equal scores", "several turns", "roles", "too long")


@dataclass(frozen=True)
class Imported:
    """Preferences from another set.

    Attributes:
        pairs: those that could be used. dropped: reason (one of `REASONS`) -> how many were left out.
    """

    pairs: list[Preference]
    dropped: Counter[str]


def imported(pairs: Iterable[PreferencePair], tokenizer: Tokenizer, T: int) -> Imported:
    """Pairs of a real set as ours.

    Args:
        pairs: such as `lablib.corpus.sources.stream("ultrafeedback", limit=1000)` gives.
        T: tokens of a prompt with its response, at most: the context of the model.

    Raises:
        ValueError: T < 2, or a tokenizer without the tokens of a conversation.
    """
    if T < 2:
        raise ValueError(f"T = {T}: expected room for a prompt and a response, 2 tokens at least")
    check_special(tokenizer)
    kept: list[Preference] = []
    dropped: Counter[str] = Counter()
    for pair in pairs:
        found = _one(pair, tokenizer, T)
        if isinstance(found, str):
            dropped[found] += 1
        else:
            kept.append(found)
    return Imported(kept, dropped)


def _one(pair: PreferencePair, tokenizer: Tokenizer, T: int) -> Preference | str:
    """A preference, or why it is none."""
    if len(pair.chosen) != 1 or len(pair.rejected) != 1:
        return "several turns"  # they parted company before the last answer: then the label is about more than that
    chosen, rejected = pair.chosen[0].text, pair.rejected[0].text
    if chosen == rejected:
        return "same answers"
    if pair.scores is not None and pair.scores[0] == pair.scores[1]:
        return "equal scores"
    try:
        check(pair.prompt)
    except ValueError:
        return "roles"
    if pair.prompt[-1].role != "user":
        return "roles"
    prompt = render(pair.prompt, tokenizer, reply=True)
    stop = tokenizer.special[STOP]
    both = [(*tokenizer.encode(text), stop) for text in (chosen, rejected)]
    if len(prompt) + max(map(len, both)) > T:
        return "too long"
    return Preference(tuple(pair.prompt), chosen, rejected, tuple(prompt), both[0], both[1], pair.source)


# ---------------------------------------------------------------- JSON lines


def write(pairs: Sequence[Preference], path: str | Path) -> None:
    """Write pairs as JSON lines, one a line, gold scores in a field of their own; whole or not at all."""
    lines = (json.dumps(_row(pair), ensure_ascii=False) + "\n" for pair in pairs)
    atomic.write(Path(path), "".join(lines).encode())


def _row(pair: Preference) -> dict[str, Any]:
    row: dict[str, Any] = {
        "prompt": [list(turn) for turn in pair.prompt],
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "prompt_ids": pair.prompt_ids,
        "chosen_ids": pair.chosen_ids,
        "rejected_ids": pair.rejected_ids,
        "annotator": pair.annotator,
    }
    if pair.gold is not None:
        row["gold"] = {
            name: [one.helpful, one.honest, one.harmless]
            for name, one in zip(("chosen", "rejected"), pair.gold, strict=True)
        }
    return row


def read(path: str | Path) -> list[Preference]:
    """The pairs in a file that `write` wrote.

    Raises:
        FileNotFoundError: it is not there. ValueError: a line is no preference; says which, and why.
    """
    pairs = []
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            pairs.append(_pair(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            why = f"lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path}, line {number}: {why}; expected a preference, as `write` writes them") from None
    return pairs


def _pair(row: Any) -> Preference:
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}")
    gold = row.get("gold")
    scores = None if gold is None else (Judgement(*gold["chosen"]), Judgement(*gold["rejected"]))
    ids = [tuple(map(int, row[name])) for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
    prompt = tuple(Turn(*turn) for turn in row["prompt"])
    return Preference(prompt, row["chosen"], row["rejected"], ids[0], ids[1], ids[2], row["annotator"], scores)
