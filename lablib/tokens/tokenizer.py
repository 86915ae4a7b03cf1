"""A tokenizer to use: text in, numbers out and back, with special tokens that no text can forge.

A *special token* is a number that stands for no text: the beginning of a document, the turn of the assistant. It is shown as, say,
`<|assistant|>`, but a person can type those characters too. If typing them made the token, whoever writes the text could
play the assistant (or end the conversation, or start a system message): *injection*. So `encode` reads text as text, always. A program
puts special tokens in by number (`tokenizer.special["<|bos|>"]`), or names those that a text of its own may hold.

Left out: normalisers, prefix spaces, truncation, padding (`transformers` has them).
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import regex

from lablib.tokens import bpe_indexed, tokenizer_json
from lablib.tokens.bpe import Pair
from lablib.tokens.pretokens import BYTES, PATTERNS, split, to_bytes, word_counts


class Tokenizer:
    """Byte-level BPE with special tokens.

    Args:
        tokens: number -> the bytes that the token stands for; None where the number is a special token or unused.
        merges: pairs of numbers, in the order in which they were learned.
        special: the name of a special token -> its number.
        pattern: the regular expression that cuts text into words.

    Raises:
        ValueError: a byte without a token, a merge whose result is no token, a special token whose number is taken.

    `V` is the size of the vocabulary: the largest number and 1.
    """

    def __init__(
        self,
        tokens: Sequence[bytes | None],
        merges: Sequence[Pair],
        special: dict[str, int] | None = None,
        pattern: str = PATTERNS["gpt2"],
    ) -> None:
        self.tokens, self.merges, self.special, self.pattern = list(tokens), list(merges), dict(special or {}), pattern
        self.numbers = {spelling: number for number, spelling in enumerate(self.tokens) if spelling is not None}
        missing = [byte for byte in BYTES if byte not in self.numbers]
        if missing:
            raise ValueError(
                f"tokens has none for the byte {missing[0]!r} (nor for {len(missing) - 1} others): expected all 256, so that "
                "no text is unknown; was it trained with `initial_alphabet`?"
            )
        for name, number in self.special.items():
            if not name:
                raise ValueError(f"special token {number} has an empty name: expected one such as '<|bos|>'")
            if number < len(self.tokens) and self.tokens[number] is not None:
                raise ValueError(
                    f"special token {name!r} has the number {number}, which is {self.tokens[number]!r} already: expected a free "
                    f"number, such as {len(self.tokens)}"
                )
        if len(set(self.special.values())) < len(self.special):
            raise ValueError(f"special = {self.special}: two special tokens share a number")
        self.V = max([len(self.tokens) - 1, *self.special.values()]) + 1
        self._names = {number: name for name, number in self.special.items()}
        ranks = {}
        for rank, (left, right) in enumerate(self.merges):
            spelled = self._spelled(left, rank) + self._spelled(right, rank)
            if spelled not in self.numbers:
                raise ValueError(f"merge {rank} makes {spelled!r}, which is no token: is the vocabulary cut short?")
            ranks[left, right] = (rank, self.numbers[spelled])
        self._encode_word = bpe_indexed.WordEncoder(ranks, [self.numbers[bytes([byte])] for byte in range(256)])

    def _spelled(self, number: int, rank: int) -> bytes:
        spelling = self.tokens[number] if 0 <= number < len(self.tokens) else None
        if spelling is None:
            raise ValueError(f"merge {rank} uses {number}, which is no token made of bytes")
        return spelling

    @classmethod
    def from_merges(
        cls, merges: Sequence[Pair], special: Sequence[str] = (), pattern: str = PATTERNS["gpt2"]
    ) -> "Tokenizer":
        """From what `bpe.train_merges` learned: bytes first, then merges, then the special tokens in their order."""
        tokens = list(BYTES)
        for left, right in merges:
            tokens.append(tokens[left] + tokens[right])
        return cls(tokens, merges, {name: len(tokens) + i for i, name in enumerate(special)}, pattern)

    @classmethod
    def train(
        cls, texts: Iterable[str], V: int, special: Sequence[str] = (), pattern: str = PATTERNS["gpt2"]
    ) -> "Tokenizer":
        """Learn from texts a vocabulary of at most V tokens: 256 bytes, the merges, the special tokens.

        Raises:
            ValueError: V is too small for the bytes and the special tokens.
        """
        merges = V - 256 - len(special)
        if merges < 0:
            raise ValueError(
                f"V = {V}: expected at least {256 + len(special)}, for 256 bytes and {len(special)} special tokens"
            )
        return cls.from_merges(bpe_indexed.train_merges(word_counts(texts, pattern), merges), special, pattern)

    # ------------------------------------------------------------ text and numbers

    def encode(self, text: str, allowed_special: Collection[str] = ()) -> list[int]:
        """Text to numbers.

        Args:
            text: any text. What spells a special token is text like any other.
            allowed_special: names of special tokens that this text may hold: for text that a program wrote, such as a
                chat template; never for what a person typed or a page said.

        Raises:
            ValueError: a name in `allowed_special` that is no special token.

        >>> t = Tokenizer.from_merges([], special=["<|end|>"])
        >>> len(t.encode("<|end|>")), t.encode("<|end|>", allowed_special=["<|end|>"])
        (7, [256])
        """
        if not allowed_special:
            return self._encode_plain(text)
        for name in allowed_special:
            if name not in self.special:
                raise ValueError(
                    f"allowed_special names {name!r}: expected some of {sorted(self.special)}; is it spelled in full?"
                )
        longest_first = sorted(allowed_special, key=len, reverse=True)
        ids: list[int] = []
        for piece in regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text):
            ids += [self.special[piece]] if piece in allowed_special else self._encode_plain(piece)
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        encode_word = self._encode_word
        return [token for word in split(text, self.pattern) for token in encode_word(to_bytes(word))]

    def decode_bytes(self, ids: Iterable[int], skip_special: bool = False) -> bytes:
        """Numbers to bytes; a special token gives its name, or nothing.

        Raises:
            ValueError: a number that is no token.
        """
        parts = []
        for number in ids:
            if number in self._names:
                parts.append(b"" if skip_special else self._names[number].encode())
            elif 0 <= number < len(self.tokens) and (spelling := self.tokens[number]) is not None:
                parts.append(spelling)
            else:
                raise ValueError(
                    f"token {number} is not in the vocabulary: expected 0 to {self.V - 1}; another tokenizer's?"
                )
        return b"".join(parts)

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """Numbers to text. Bytes that are no UTF-8, such as half of an emoji, are shown as �."""
        return self.decode_bytes(ids, skip_special).decode("utf-8", "replace")

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text as a person can read them: one string each, � where a token holds part of a character."""
        return [self.decode([number]) for number in self.encode(text)]

    # ------------------------------------------------------------ files

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json`, which `tokenizers` and `PreTrainedTokenizerFast(tokenizer_file=…)` read."""
        Path(path).write_text(
            tokenizer_json.dumps(self.tokens, self.merges, self.special, self.pattern), encoding="utf-8", newline="\n"
        )

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a `tokenizer.json` of ours or of anybody's byte-level BPE.

        Raises:
            tokenizer_json.NotByteLevelBPE: the file describes another kind of tokenizer; says what it found.
        """
        return cls(*tokenizer_json.loads(Path(path).read_text(encoding="utf-8"), str(path)))
