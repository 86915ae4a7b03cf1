"""Byte-pair encoding, the readable way: count all pairs, merge the most frequent one, begin again.

A compression scheme (Gage 1994, "A New Algorithm for Data Compression") that Sennrich, Haddow & Birch (2016, "Neural Machine
Translation of Rare Words with Subword Units", Algorithm 1) turned into a way to choose a vocabulary, and Radford et al.
(2019, the GPT-2 paper, §2.2) put on bytes, so that no text is unknown.

A token is a number: 0 to 255 are the bytes (in the order of `lablib.tokens.pretokens.BYTES`), 256 + i is what merge i made.
The whole of what training learns is the list of merges.

Two choices that papers leave open are made as the library `tokenizers` makes them, so that merges and numbers are
the same: of pairs with the same count the one with the smaller numbers wins, and a pair inside a run counts at every place
where it stands (three equal letters hold it twice), although only every other place can be merged.

This module recounts everything after every merge. `lablib.tokens.bpe_indexed` does the same work some hundred times faster.
"""

import itertools
from collections.abc import Mapping, Sequence

from lablib.tokens.pretokens import BYTES, byte_ids

Pair = tuple[int, int]


def count_pairs(words: Mapping[tuple[int, ...], int]) -> dict[Pair, int]:
    """How often each pair of neighbours occurs in a corpus (Sennrich et al. 2016, Algorithm 1, `get_stats`).

    Args:
        words: from a word, as a tuple of token numbers, to how often the corpus has it.

    Returns:
        from a pair of neighbouring tokens to its count. A word that occurs n times counts n times, at each place where
        the pair stands, also where two places overlap: (7, 7, 7) holds the pair (7, 7) twice.

    >>> count_pairs({(1, 2, 1, 2): 10, (2, 1): 3})
    {(1, 2): 20, (2, 1): 13}
    """
    counts: dict[Pair, int] = {}
    for word, times in words.items():
        for pair in itertools.pairwise(word):
            counts[pair] = counts.get(pair, 0) + times
    return counts


def merge_pair(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """Replace a pair by one new token, everywhere, from left to right (Algorithm 1, `merge_vocab`).

    Args:
        ids: the tokens of one word; they stay as they are.
        pair: the two neighbours to replace.
        new: the token that stands for them from now on.

    Returns:
        the tokens after the merge. Places never overlap: the leftmost goes first.

    >>> merge_pair([1, 2, 3, 1, 2], (1, 2), 9)
    [9, 3, 9]
    >>> merge_pair([7, 7, 7], (7, 7), 9)
    [9, 7]
    """
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def train_merges(words: Mapping[tuple[int, ...], int], merges: int) -> list[Pair]:
    """Learn a vocabulary: merge the most frequent pair, count again, and so on (Algorithm 1).

    Args:
        words: from a word, as a tuple of byte numbers (0 to 255), to how often the corpus has it.
        merges: how many pairs to merge; fewer when no word has two tokens left.

    Returns:
        the pairs in the order in which they were merged; merge i makes the token 256 + i. Of several pairs with the
        largest count, the smallest pair: (1, 5) before (1, 6) before (2, 0).

    >>> train_merges({(1, 2, 3): 10, (1, 2): 5, (2, 3): 4}, merges=2)
    [(1, 2), (256, 3)]
    """
    learned: list[Pair] = []
    while len(learned) < merges and (counts := count_pairs(words)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = {tuple(merge_pair(word, best, 256 + len(learned))): times for word, times in words.items()}
        learned.append(best)
    return learned


def encode_word(data: bytes, merges: Sequence[Pair]) -> list[int]:
    """The tokens of one word: the merges that training learned, done again in the order in which it learned them.

    Args:
        data: the bytes of one word; none at all gives no token.
        merges: the learned pairs; merge i makes the token 256 + i.

    Returns:
        the tokens. It begins with `byte_ids(data)`, one token a byte.

    >>> encode_word(b"!!!", merges=[(0, 0)])
    [256, 0]
    """
    ids = byte_ids(data)
    for i, pair in enumerate(merges):
        ids = merge_pair(ids, pair, 256 + i)
    return ids


def decode_tokens(ids: Sequence[int], merges: Sequence[Pair]) -> bytes:
    """The bytes that tokens stand for: the inverse of `encode_word`.

    Args:
        ids: tokens, of one word or of many.
        merges: the learned pairs; merge i makes the token 256 + i.

    Returns:
        the bytes, joined. Bytes and not text: a token may hold half of a character.

    Raises:
        ValueError: a token that is neither a byte nor the result of a merge; the message names it.

    >>> decode_tokens([32, 256], merges=[(0, 0)])
    b'A!!'
    """
    spelled = list(BYTES)
    for left, right in merges:
        spelled.append(spelled[left] + spelled[right])
    for token in ids:
        if not 0 <= token < len(spelled):
            raise ValueError(f"token {token} is not in the vocabulary: expected 0 to {len(spelled) - 1}; other merges?")
    return b"".join(spelled[token] for token in ids)
