"""A tokenizer's vocabulary, cut down to the tokens that a small corpus has: the head of a small model costs less, and nothing else changes.

The embedding and the head grow with the vocabulary. A model of a few hundred thousand parameters would spend most of them, and half of its
arithmetic, on words that it never meets.

Left out: unknown tokens. A text with a token that the corpus lacks cannot be written in these numbers.
"""

from collections.abc import Iterable, Sequence

from lablib.tokens.tokenizer import Tokenizer


class SmallVocabulary:
    """Numbers 0 … V − 1 for the tokens of some texts, the words first and all special tokens behind them.

    Args:
        tokenizer: whose tokens they are. texts: which of them are kept.

    Attributes:
        words: how many are words: 0 … words − 1. V: with the special tokens. special: name of a special token -> number.

    >>> from lablib.tokens.tokenizer import Tokenizer
    >>> small = SmallVocabulary(Tokenizer.from_merges([], special=["<|mask|>"]), ["abba"])
    >>> small.encode("baba"), small.V, small.special, small.decode([0, 1, 2])
    ([1, 0, 1, 0], 3, {'<|mask|>': 2}, 'ab<|mask|>')
    """

    def __init__(self, tokenizer: Tokenizer, texts: Iterable[str]) -> None:
        self.tokenizer = tokenizer
        kept = sorted({token for text in texts for token in tokenizer.encode(text)})
        self.words = len(kept)
        self.originals = [*kept, *sorted(tokenizer.special.values())]
        self.V = len(self.originals)
        self.numbers = {token: number for number, token in enumerate(self.originals)}
        self.special = {name: self.numbers[number] for name, number in tokenizer.special.items()}

    def knows(self, text: str) -> bool:
        """Whether the text can be written in these numbers."""
        return all(token in self.numbers for token in self.tokenizer.encode(text))

    def encode(self, text: str) -> list[int]:
        """Text to numbers.

        Raises:
            ValueError: a token that the corpus did not have.
        """
        try:
            return [self.numbers[token] for token in self.tokenizer.encode(text)]
        except KeyError as error:
            piece = self.tokenizer.decode([error.args[0]])
            raise ValueError(
                f"text has the token {piece!r}, which the corpus lacks: expected a text that `knows` is True for"
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        """Numbers to text; a special token gives its name."""
        return self.tokenizer.decode([self.originals[number] for number in ids])
