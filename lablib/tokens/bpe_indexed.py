"""Byte-pair encoding, the quick way: the same merges and the same tokens as `lablib.tokens.bpe`, without counting twice.

A merge changes the counts of a few pairs in a few words. So keep, for each pair, its count and the words where it stands;
after a merge visit those words only, and correct the counts of the pairs beside it. The most frequent pair comes from a heap
with lazy deletion: entries are never taken out when they go stale, but compared with the true count when they surface. That is
enough because the count of a pair only ever falls: new occurrences always hold the token that was just made.

Two different pairs never spell the same token. (Take two occurrences of one spelling, with no token across their edges. They
began as the same bytes, and every merge since then did the same inside both. So they are cut in the same way.)

Left out: threads (`tokenizers` has them), and corpora whose word counts do not fit in memory.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from lablib.tokens.bpe import Pair
from lablib.tokens.pretokens import byte_ids

CACHED_BYTES = 64  # a longer word is hardly ever met twice
CACHE_SIZE = 50_000  # words


def train_merges(words: Mapping[tuple[int, ...], int], merges: int) -> list[Pair]:
    """As `bpe.train_merges`, merge for merge.

    Args:
        words: from a word, as a tuple of byte numbers (0 to 255), to how often the corpus has it.
        merges: how many pairs to merge; fewer when no word has two tokens left.

    Raises:
        ValueError: merges is negative.

    >>> train_merges({(1, 2, 3): 10, (1, 2): 5, (2, 3): 4}, merges=2)
    [(1, 2), (256, 3)]
    """
    if merges < 0:
        raise ValueError(f"merges = {merges}: expected 0 or more; a vocabulary of V tokens has V - 256 merges")
    cut = [list(word) for word in words]  # each word, as tokens
    times = list(words.values())
    counts: defaultdict[Pair, int] = defaultdict(int)
    places: defaultdict[Pair, list[int]] = defaultdict(list)  # the words where a pair may stand (gone, or named twice)
    for number, word in enumerate(cut):
        for pair in itertools.pairwise(word):
            counts[pair] += times[number]
            places[pair].append(number)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapify(heap)
    learned: list[Pair] = []
    while heap and len(learned) < merges:
        count, pair = heappop(heap)
        if counts[pair] != -count:  # stale: it has fallen since, so it goes back to where it belongs
            if counts[pair]:
                heappush(heap, (-counts[pair], pair))
            continue
        new = 256 + len(learned)
        learned.append(pair)
        born: dict[Pair, None] = {}
        for number in places.pop(pair):
            gone, come = _merge(cut[number], pair, new)
            for neighbour in gone:
                counts[neighbour] -= times[number]
            for neighbour in come:
                counts[neighbour] += times[number]
                places[neighbour].append(number)
                born[neighbour] = None
        counts[pair] = 0
        for neighbour in born:
            if counts[neighbour]:
                heappush(heap, (-counts[neighbour], neighbour))
    return learned


def _merge(word: list[int], pair: Pair, new: int) -> tuple[list[Pair], list[Pair]]:
    """Merge a pair in one word, in place; the pairs beside it that went, and those that came."""
    left, right = pair
    gone: list[Pair] = []
    come: list[Pair] = []
    i, last = 0, len(word) - 1
    while i < last:
        if word[i] == left and word[i + 1] == right:
            if i > 0:
                gone.append((word[i - 1], left))
                come.append((word[i - 1], new))
            if i + 1 < last:
                gone.append((right, word[i + 2]))
                come.append((new, word[i + 2]))
            word[i : i + 2] = [new]
            last -= 1
        i += 1
    return gone, come


class WordEncoder:
    """Words into tokens: merges by rank from a heap, and a word that was met before from memory.

    A word of n bytes takes of the order of n log n steps, whatever the size of the vocabulary; `bpe.encode_word` walks through all
    merges for each word.

    Args:
        ranks: pair -> (its place among the merges, the token it makes).
        first: the number of each byte, 256 of them.

    >>> WordEncoder({(0, 0): (0, 256)})(b"!!!")
    (256, 0)
    """

    def __init__(self, ranks: Mapping[Pair, tuple[int, int]], first: Sequence[int] | None = None) -> None:
        self.ranks = ranks
        self.first = None if first is None else list(first)
        self._known: dict[bytes, tuple[int, ...]] = {}

    @classmethod
    def from_merges(cls, merges: Sequence[Pair]) -> "WordEncoder":
        """With tokens numbered as in `bpe`: merge i makes 256 + i."""
        return cls({pair: (i, 256 + i) for i, pair in enumerate(merges)})

    def __call__(self, data: bytes) -> tuple[int, ...]:
        """The tokens of the bytes of one word."""
        known = self._known.get(data)
        if known is None:
            ids = byte_ids(data) if self.first is None else [self.first[byte] for byte in data]
            known = tuple(_merge_by_rank(ids, self.ranks))
            if len(data) <= CACHED_BYTES and len(self._known) < CACHE_SIZE:
                self._known[data] = known
        return known


def _merge_by_rank(ids: list[int], ranks: Mapping[Pair, tuple[int, int]]) -> list[int]:
    """Merge the pair of the lowest rank, the leftmost first, until none is left. A merged-away place becomes -1."""
    n = len(ids)
    after = list(range(1, n + 1))  # the next living place; n is the end
    before = list(range(-1, n - 1))
    heap = []
    for i, pair in enumerate(itertools.pairwise(ids)):
        if pair in ranks:
            heap.append((*ranks[pair], i))
    heapify(heap)
    while heap:
        rank, new, i = heappop(heap)
        j = after[i]
        if ids[i] < 0 or j == n or ranks.get((ids[i], ids[j]), (-1,))[0] != rank:
            continue  # stale: one of the two was merged since
        ids[i], ids[j] = new, -1
        after[i] = after[j]
        if after[i] < n:
            before[after[i]] = i
        for a, b in ((before[i], i), (i, after[i])):
            if a >= 0 and b < n and (ids[a], ids[b]) in ranks:
                heappush(heap, (*ranks[ids[a], ids[b]], a))
    return [token for token in ids if token >= 0]
