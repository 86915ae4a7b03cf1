"""`tokenizer.json`, the file in which nearly every open model ships its tokenizer, for byte-level BPE.

The format is that of the library `tokenizers`: the vocabulary with one printable character a byte, the merges, and how text
is cut into words. Reading is strict: a file that asks for something that `Tokenizer` does not do is refused with its name, since a
tokenizer that is nearly right trains a model on wrong numbers without a word.
"""

import json
from collections.abc import Sequence
from typing import Any

from lablib.tokens.bpe import Pair
from lablib.tokens.pretokens import PATTERNS, printable, unprintable

Contents = tuple[list[bytes | None], list[Pair], dict[str, int], str]

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


class NotByteLevelBPE(ValueError):
    """The file is no tokenizer of the kind that `Tokenizer` is."""


def dumps(tokens: Sequence[bytes | None], merges: Sequence[Pair], special: dict[str, int], pattern: str) -> str:
    """The text of the file; see `Tokenizer` for the arguments."""
    shown = ["" if spelling is None else printable(spelling) for spelling in tokens]
    before: dict[str, Any] = dict(_BYTE_LEVEL)
    if pattern != PATTERNS["gpt2"]:
        cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        before = {"type": "Sequence", "pretokenizers": [cut, _BYTE_LEVEL | {"use_regex": False}]}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    contents = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": name, **flags}
            for name, number in sorted(special.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": before,
        "post_processor": None,
        "decoder": dict(_BYTE_LEVEL),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: number for number, text in enumerate(shown) if text},
            "merges": [[shown[left], shown[right]] for left, right in merges],
        },
    }
    return json.dumps(contents, ensure_ascii=False, indent=1) + "\n"


def loads(text: str, where: str = "the file") -> Contents:
    """Tokens, merges, special tokens and pattern, as `Tokenizer` takes them.

    Raises:
        NotByteLevelBPE: it is no JSON of that kind, or asks for what `Tokenizer` does not do; the message says what and where.
    """
    try:
        contents = json.loads(text)
        model, added = contents["model"], contents["added_tokens"]
        vocabulary, written = model["vocab"], model["merges"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotByteLevelBPE(
            f"{where} is no tokenizer.json of a BPE: {type(error).__name__} {error}; expected the file that "
            "`tokenizers` or `Tokenizer.save` writes"
        ) from None
    wanted = {
        "model.type": (model.get("type", "BPE"), ("BPE",)),
        "normalizer": (contents.get("normalizer"), (None,)),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix"), (None, "")),
        "model.end_of_word_suffix": (model.get("end_of_word_suffix"), (None, "")),
        "model.byte_fallback": (model.get("byte_fallback", False), (False,)),
        "model.ignore_merges": (model.get("ignore_merges", False), (False,)),
        "model.dropout": (model.get("dropout"), (None, 0.0)),
        "truncation": (contents.get("truncation"), (None,)),
        "padding": (contents.get("padding"), (None,)),
    }
    for name, (found, allowed) in wanted.items():
        if found not in allowed:
            raise NotByteLevelBPE(
                f"{where}: {name} is {found!r}, expected {' or '.join(map(repr, allowed))}; use `tokenizers` for it"
            )
    after = contents.get("post_processor")
    harmless = after is None or after.get("type") == "ByteLevel" or after.get("special_tokens") == {}
    if not harmless:  # ByteLevel moves offsets only, and so does a template without special tokens; others add tokens
        raise NotByteLevelBPE(
            f"{where}: post_processor is {json.dumps(after)[:200]}, expected none: `Tokenizer.encode` adds no tokens of its "
            "own; use `tokenizers` for it"
        )
    special = {}
    for token in added:
        if any(token.get(flag) for flag in ("single_word", "lstrip", "rstrip")) or token["content"] in special:
            raise NotByteLevelBPE(
                f"{where}: added token {token!r} is given twice, or swallows spaces; use `tokenizers` for it"
            )
        special[token["content"]] = token["id"]
    highest = max(vocabulary.values(), default=-1)
    tokens: list[bytes | None] = [None] * (highest + 1)
    numbers = {}
    for shown, number in vocabulary.items():
        if special.get(shown) != number:
            tokens[number], numbers[shown] = unprintable(shown), number
    merges: list[Pair] = []
    for rank, pair in enumerate(written):
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        if left not in numbers or right not in numbers:
            raise NotByteLevelBPE(
                f"{where}: merge {rank}, {left!r} and {right!r}, is not of two tokens of the vocabulary"
            )
        merges.append((numbers[left], numbers[right]))
    return tokens, merges, special, _pattern(contents.get("pre_tokenizer"), where)


def _pattern(cut: Any, where: str) -> str:
    """The regular expression of a `pre_tokenizer`: ByteLevel alone (GPT-2's), or Split and then ByteLevel."""
    steps = cut.get("pretokenizers", [cut]) if isinstance(cut, dict) else [cut]
    last = steps[-1] if steps else None
    if isinstance(last, dict) and last.get("type") == "ByteLevel" and not last.get("add_prefix_space", True):
        if len(steps) == 1 and last.get("use_regex", True):
            return PATTERNS["gpt2"]
        if len(steps) == 2 and not last.get("use_regex", True):
            first = steps[0]
            plain = first.get("behavior") == "Isolated" and not first.get("invert")
            if first.get("type") == "Split" and plain and "Regex" in first.get("pattern", {}):
                return first["pattern"]["Regex"]
    raise NotByteLevelBPE(
        f"{where}: pre_tokenizer is {json.dumps(cut)[:300]}, expected ByteLevel with add_prefix_space false, or Split by a "
        "regular expression and then ByteLevel; use `tokenizers` for it"
    )
