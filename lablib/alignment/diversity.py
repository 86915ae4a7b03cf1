"""Does a model still say different things? The share of n-grams that it does not repeat.

Alignment narrows a model: of the many answers that it gave, some were better, and now it gives those. How much narrower is measured
twice in the literature (Kirk et al. 2024, "Understanding the Effects of RLHF on LLM Generalisation and Diversity", §5.2): over answers to
one prompt, and over answers to different ones. The first is what alignment takes away; it is the one here.

Paper: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models" (§5.2: distinct-1, distinct-2).
Differs from the paper: it divides by the number of tokens, this by the number of n-grams, so that 1 can be reached.

Axes: texts as lists of tokens. Left out: what two answers *mean* (distinct words can say the same), self-BLEU, which compares answers
pair by pair, and a correction for length: longer texts repeat more, so a table should show lengths beside.
"""

from collections.abc import Sequence


def distinct_n(texts: Sequence[Sequence[int]], n: int = 2) -> float:
    """The share of different n-grams among all n-grams of some texts.

    An n-gram is n tokens that follow one another in one text; the end of a text and the beginning of the next make
    none.

    Args:
        texts: lists of token numbers, such as several answers to one prompt. n: at least 1.

    Returns:
        from 0 to 1, a plain number: different n-grams / all n-grams, over the texts together; 0.0 where no text has n
        tokens.

    >>> distinct_n([[1, 2, 3], [1, 2, 4]])  # 12, 23, 12, 24: three of four
    0.75
    """
    check_n(n)
    grams = [tuple(text[start : start + n]) for text in texts for start in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def check_n(n: int) -> None:
    """Raise a ValueError for n below 1."""
    if n < 1:
        raise ValueError(f"n = {n!r}: expected a whole number >= 1")
