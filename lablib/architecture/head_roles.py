"""What does each attention head look at? Measurements on attention weights, from any model that returns them.

Two kinds of question. `profile` asks where a head looks on the average token: at the one before, the one after,
itself, the separators, and how sharply. `relation_hits` asks whether a head knows a relation between words, by the
method of Clark et al. 2019, "What Does BERT Look At?" (arXiv:1906.04341), sections 3 and 4: a head's answer for a
word is the other word that it attends to most, and the head is scored by how often the answer is right.

With 72 heads, the best score is a maximum of 72 numbers and flatters whoever reports it. `choose_then_test` picks
the head on one half of the sentences and reports its score on the other half, and gives the baseline (always the
word so many places away) the same choice.

Arrays are numpy, (L, H, T, T): layer, head, query token, key token; rows sum to 1. Left out: whether a head *causes*
anything. Attention weights say what was mixed, not what mattered (Jain & Wallace 2019; Wiegreffe & Pinter 2019).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lablib.architecture.head_sentences import Relation, Sentence, is_word

OFFSETS = (*range(-10, 0), *range(1, 11))  # the answers of the rule without a model: so many words away

# --- tokens: where does a head look on average? ----------------------------------------------------------


def profile(attention: np.ndarray, tokens: Sequence[str]) -> dict[str, np.ndarray]:
    """Where each head looks, averaged over the query tokens that are words or pieces of words.

    Args:
        attention: (L, H, T, T).
        tokens: the T tokens, with [CLS] and [SEP].

    Returns:
        arrays (L, H). Shares of attention: "previous", "next" and "same" token; "[CLS]"; "[SEP]";
        "punctuation". And "entropy", in nats (0: one token; log T: all alike), and "distance", in tokens.

    Raises:
        ValueError: the shapes differ, or there is no word.

    >>> shares = profile(np.eye(3)[None, None], ["[CLS]", "hello", "[SEP]"])
    >>> float(shares["same"][0, 0]), float(shares["entropy"][0, 0])
    (1.0, 0.0)
    """
    size = len(tokens)
    if attention.shape[2:] != (size, size):
        raise ValueError(f"attention has shape {attention.shape}; expected (L, H, {size}, {size}) for {size} tokens")
    queries = [place for place, token in enumerate(tokens) if is_word(token)]
    if not queries:
        raise ValueError(f"tokens is {list(tokens)!r}; expected at least one word")
    marks = {name: np.array([token == name for token in tokens]) for name in ("[CLS]", "[SEP]")}
    marks["punctuation"] = np.array([not is_word(token) for token in tokens]) & ~marks["[CLS]"] & ~marks["[SEP]"]
    offset = np.arange(size)[None, :] - np.arange(size)[:, None]  # (T, T): key place minus query place
    rows = attention[:, :, queries].astype(np.float64)  # (L, H, Q, T), Q query words

    def share(keys: np.ndarray) -> np.ndarray:
        return (rows * keys[queries]).sum(-1).mean(-1)  # (L, H)

    surprise = -np.log(rows, out=np.zeros_like(rows), where=rows > 0)
    return {
        "previous": share((offset == -1) & ~marks["[CLS]"]),  # [CLS] before the first word is no neighbour,
        "next": share((offset == 1) & ~marks["[SEP]"]),  # or a head that only rests would seem to step back
        "same": share(offset == 0),
        **{name: share(np.broadcast_to(mark, (size, size))) for name, mark in marks.items()},
        "entropy": (rows * surprise).sum(-1).mean(-1),
        "distance": share(np.abs(offset)),
    }


def mean_profile(profiles: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The average of several profiles, each sentence counted once."""
    return {name: np.mean([one[name] for one in profiles], axis=0) for name in profiles[0]}


# --- words: from pieces to words, and a head's answer ----------------------------------------------------


def piece_groups(tokens: Sequence[str], words: Sequence[str]) -> list[list[int]]:
    """For each word (or punctuation mark), the places of its pieces among the tokens.

    >>> piece_groups(["[CLS]", "didn", "'", "t", "cu", "##t", "[SEP]"], ["didn't", "cut"])
    [[1, 2, 3], [4, 5]]

    Raises:
        ValueError: the tokens do not spell the words (another tokeniser, or a text cut short).
    """
    groups: list[list[int]] = []
    place = 0
    for word in words:
        group, spelt = [], ""
        while len(spelt) < len(word) and place < len(tokens):
            if tokens[place] not in ("[CLS]", "[SEP]"):
                group.append(place)
                spelt += tokens[place].removeprefix("##")
            place += 1
        if spelt.lower() != word.lower():
            raise ValueError(f"tokens spell {spelt!r} where {word!r} was expected, in {list(tokens)!r}")
        groups.append(group)
    return groups


def word_attention(attention: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Attention between words: to a split word the sum over its pieces, from a split word the mean (Clark, section 4).

    Args:
        attention: (L, H, T, T).
        groups: for each of W words the places of its pieces, from `piece_groups`.

    Returns:
        (L, H, W, W). Rows sum to less than 1: what went to [CLS] and [SEP] is left out.
    """
    to_words = np.stack([attention[..., list(group)].sum(-1) for group in groups], axis=-1)  # (L, H, T, W)
    return np.stack([to_words[:, :, list(group)].mean(2) for group in groups], axis=2)  # (L, H, W, W)


def most_attended(attention: np.ndarray, words: Sequence[str], source: int) -> np.ndarray:
    """Each head's answer for one word: the other word that it attends to most. Punctuation is no answer.

    Returns:
        (L, H) places of words.
    """
    allowed = np.array([is_word(word) and place != source for place, word in enumerate(words)])
    return np.where(allowed, attention[:, :, source], -1.0).argmax(-1)


def relation_hits(attention: np.ndarray, words: Sequence[str], relations: Sequence[Relation]) -> np.ndarray:
    """Whether each head answers each relation rightly.

    Returns:
        (N, L, H) of bool for N relations.
    """
    return np.stack([most_attended(attention, words, one.source) == one.target for one in relations])


def offset_hits(words: Sequence[str], relations: Sequence[Relation], offsets: Sequence[int]) -> np.ndarray:
    """What a rule without a model scores: always answer the word so many words away. Punctuation is skipped.

    >>> offset_hits(["the", "old", ",", "dog"], [Relation(0, 3)], offsets=(1, 2))
    array([[False,  True]])

    Returns:
        (N, O) of bool for N relations and O offsets.
    """
    rank = np.cumsum([is_word(word) for word in words])
    return np.array([[rank[one.target] - rank[one.source] == offset for offset in offsets] for one in relations])


@dataclass(frozen=True)
class Seen:
    """A sentence and what one forward pass made of it: attention by token and by word."""

    sentence: Sentence
    tokens: list[str]
    attention: np.ndarray
    by_word: np.ndarray


def see(sentence: Sentence, tokens: list[str], attention: np.ndarray) -> Seen:
    """Put a sentence and its attention (L, H, T, T) together, adding the attention between words (L, H, W, W)."""
    by_word = word_attention(attention, piece_groups(tokens, sentence.words))
    return Seen(sentence, tokens, attention, by_word)


def relation_scores(seen: Sequence[Seen], kind: str, backwards: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The scores of all heads, and of all fixed offsets, on each sentence that has relations of this kind.

    Args:
        seen: sentences with their attention.
        kind: "pronoun", "subject", "determiner" or "object".
        backwards: ask from the target to the source ("subject -> its verb" for "verb -> its subject").

    Returns:
        (N, L*H) and (N, O): the share of right answers in each of N sentences, by head and by offset.

    Raises:
        ValueError: no sentence has this kind.
    """
    heads, offsets = [], []
    for one in seen:
        relations = one.sentence.relations.get(kind, ())
        if backwards:
            relations = tuple(Relation(relation.target, relation.source) for relation in relations)
        if relations:
            heads.append(relation_hits(one.by_word, one.sentence.words, relations).mean(0).ravel())
            offsets.append(offset_hits(one.sentence.words, relations, OFFSETS).mean(0))
    if not heads:
        raise ValueError(f"kind is {kind!r}; none of the {len(seen)} sentences has relations of that kind")
    return np.stack(heads), np.stack(offsets)


def chance(seen: Sequence[Seen], kind: str) -> float:
    """How often a blind guess is right: one over the number of other words, averaged over the sentences."""
    return float(
        np.mean([1 / (sum(map(is_word, one.sentence.words)) - 1) for one in seen if kind in one.sentence.relations])
    )


# --- twins: does attention follow the meaning? -----------------------------------------------------------


def preference(attention: np.ndarray, relation: Relation) -> np.ndarray:
    """Attention from the source to its target minus to the rival; (L, H), positive where the right noun gets more.

    Raises:
        ValueError: the relation has no rival.
    """
    if relation.rival is None:
        raise ValueError(f"relation is {relation}; expected one with a rival ('from -> to, not rival')")
    row = attention[:, :, relation.source]  # (L, H, W)
    return row[..., relation.target] - row[..., relation.rival]


def twin_shift(first: np.ndarray, second: np.ndarray, relation: Relation) -> np.ndarray:
    """How far attention moves to the right noun when one word of the sentence changes the meaning.

    A head that always prefers the first noun, or the nearer one, scores 0 here: only the change counts.

    Args:
        first, second: word attention (L, H, W, W) of the two twins.
        relation: of the first twin; in the second its target and rival change places.

    Returns:
        (L, H), in shares of attention: half of the change in (target minus rival), so that 1 would be "all of it
        moves from one noun to the other", 0 "nothing moves", and below 0 "it moves the wrong way".
    """
    if first.shape != second.shape:
        raise ValueError(f"first has shape {first.shape}, second {second.shape}; expected twins of equal length")
    return (preference(first, relation) - preference(second, relation)) / 2


def vector_preference(vectors: np.ndarray, groups: Sequence[Sequence[int]], relation: Relation) -> float:
    """How much nearer the source's vector lies to its target than to the rival: a difference of two cosines.

    Args:
        vectors: (T, D), a layer's output for one sentence.
        groups: the places of each word's pieces; a split word's vector is the mean of its pieces.

    >>> vector_preference(np.array([[1.0, 0], [0, 1], [1, 0]]), [[0], [1], [2]], Relation(2, 0, rival=1))
    1.0
    """
    if relation.rival is None:
        raise ValueError(f"relation is {relation}; expected one with a rival ('from -> to, not rival')")
    places = (relation.source, relation.target, relation.rival)
    rows = np.stack([vectors[list(groups[place])].mean(0) for place in places])  # (3, D)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return float(rows[0] @ rows[1] - rows[0] @ rows[2])


# --- honest scores -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldOut:
    """A candidate chosen on one half and scored on the other.

    Attributes:
        best: index of the chosen candidate.
        on_chosen: its score on the half where it was chosen (flattering).
        on_held_out: its score on the other half.
        low, high: 95 % interval of the latter.
        items: how many held-out items the interval rests on.
    """

    best: int
    on_chosen: float
    on_held_out: float
    low: float
    high: float
    items: int


def choose_then_test(scores: np.ndarray, choose_on: np.ndarray) -> HeldOut:
    """Choose the best of C candidates on some items and report its score on the rest.

    Args:
        scores: (N, C), from 0 to 1, for N independent items (a sentence with several relations is one item, with
            their mean as its score; a pair of twins is one item).
        choose_on: (N,) of bool, True for the items to choose on.

    >>> always_right, never = np.ones(8), np.zeros(8)
    >>> tested = choose_then_test(np.stack([never, always_right], axis=1), np.arange(8) % 2 == 0)
    >>> tested.best, tested.on_held_out, round(tested.low, 2)
    (1, 1.0, 0.51)
    """
    choose_on = np.asarray(choose_on, dtype=bool)
    if choose_on.all() or not choose_on.any():
        raise ValueError(f"choose_on marks {choose_on.sum()} of {len(choose_on)} items; expected some, not all")
    on_chosen = scores[choose_on].mean(0)  # (C,)
    best = int(on_chosen.argmax())
    held_out = scores[~choose_on, best]
    low, high = wilson_interval(float(held_out.mean()), len(held_out))
    return HeldOut(best, float(on_chosen[best]), float(held_out.mean()), low, high, len(held_out))


def wilson_interval(share: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval for a share seen in so many independent trials (Wilson 1927). Never empty, even at 0 or 1.

    >>> [round(bound, 3) for bound in wilson_interval(0.5, 100)]
    [0.404, 0.596]
    """
    if not 0 <= share <= 1 or trials < 1:
        raise ValueError(f"share is {share} of {trials} trials; expected a share from 0 to 1 of at least one trial")
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def bootstrap_interval(
    values: np.ndarray, generator: np.random.Generator, resamples: int = 4000
) -> tuple[float, float]:
    """95 % interval for the mean of N independent values, by drawing them again with replacement."""
    draws = generator.integers(0, len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.asarray(values)[draws].mean(1), [0.025, 0.975])
    return float(low), float(high)


def best_of_coins(coins: int, throws: int) -> float:
    """The share of heads that the luckiest of several fair coins shows, on average: what selection alone gives.

    >>> best_of_coins(1, 10), round(best_of_coins(72, 25), 2)
    (0.5, 0.73)
    """
    below, expected = 0.0, 0.0
    cumulative = 0.0
    for heads in range(throws + 1):
        cumulative += math.comb(throws, heads) / 2**throws
        reached = min(1.0, cumulative) ** coins  # P(every coin shows at most so many heads)
        expected += (reached - below) * heads / throws
        below = reached
    return expected


def head_name(index: int, heads: int) -> str:
    """The name of head number `index` of the flattened (L, H) grid, counted from 0 as bertviz does.

    >>> head_name(27, heads=12)
    'layer 2, head 3'
    """
    return f"layer {index // heads}, head {index % heads}"
