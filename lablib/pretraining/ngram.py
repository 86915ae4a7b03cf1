"""The n-gram model: the next token from a count of what has followed the last n − 1 tokens. The baseline under every language model.

A history that is long enough to tell much was hardly ever seen before. So each order's counts are *smoothed*: a little is taken
from every count (a *discount*) and handed to the next shorter history, down to a single token and at last to the uniform
distribution. With c the count of history h and token w, and h' the history without its first token,

    P(w | h) = (max(c(h w) − D(c), 0) + mass(h)·P(w | h')) / Σ c(h ·),   mass(h) = what the discounts have taken from h

This is *interpolated Kneser–Ney smoothing* with three discounts ("modified"), the best of all that Chen & Goodman compared: 1998, "An
Empirical Study of Smoothing Techniques for Language Modeling", TR-10-98, §3. Its idea (Kneser & Ney 1995, "Improved Backing-off for
M-gram Language Modeling"): a shorter history is asked only where the longer one did not know, so there a token counts by how many
different tokens it has followed, not how often: "Francisco" is frequent, but only behind "San".

How it is computed: an n-gram is the row of a table, found by the row of its first n − 1 tokens and its last token; all is sorting.

Axes: N tokens of a text, G n-grams of one order, V vocabulary. Left out: pruning, and counts that do not fit into memory.
"""

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """All n-grams of one length, one a row, sorted.

    Attributes:
        keys: (G,) row of the n-gram's first n − 1 tokens in the table before, times V, plus its last token.
        taken: (G,) the n-gram's count less its discount. total: (C,) for each row before, the counts of all that follows it.
        mass: (C,) what the discounts took from it. discounts: of the counts 1, 2, and 3 or more.
    """

    keys: Ints
    taken: Floats
    total: Floats
    mass: Floats
    discounts: tuple[float, float, float]


@dataclass(frozen=True)
class NGram:
    """A model of order n, from `learn`.

    Attributes:
        V: size of the vocabulary. start: the token that begins a text, beyond which no history reaches, or None.
        orders: one table for each length from 1 to n.
    """

    V: int
    start: int | None
    orders: tuple[Order, ...]

    @property
    def n(self) -> int:
        """The longest n-gram: a token is predicted from n − 1 before it."""
        return len(self.orders)

    def nats(self, tokens: Sequence[int] | NDArray[Any]) -> Floats:
        """How surprising each token is, −ln P(token | up to n − 1 before it): (N,) -> (N − 1,), nats; the first is given.

        Args:
            tokens: one text that begins with `start`, or many behind each other, as in a shard.
        """
        ids = _checked(tokens, self.V)
        reach = _reach(ids, self.start)  # (N,)
        P = np.full(len(ids), 1 / self.V)  # (N,)
        history = np.zeros(len(ids), dtype=np.int64)  # (N,) row of the last k − 1 tokens; −1: never seen
        for k, order in enumerate(self.orders, 1):
            history = np.where(reach >= k - 1, history, -1)
            row = _find(order.keys, np.where(history < 0, -1, history * self.V + ids))  # (N,)
            known = np.flatnonzero(history >= 0)
            known = known[order.total[history[known]] > 0]  # (up to N,) places whose history was followed by something
            P[known] *= order.mass[history[known]]
            P[row >= 0] += order.taken[row[row >= 0]]
            P[known] /= order.total[history[known]]
            history = np.concatenate(([-1], row[:-1]))  # the k tokens before a place end one place earlier
        with np.errstate(divide="ignore"):
            return -np.log(P[1:])

    def probabilities(self, history: Sequence[int]) -> Floats:
        """P(next token | history): (V,). Of the history, the last n − 1 tokens count, or those from the last `start` on.

        >>> model = learn([0, 1, 2, 0, 1, 0], V=3, n=2, start=0)[-1]  # the texts 1 2 and 1; discounts 0.5, 1, 1.5
        >>> P = [(2 - 1 + 2 / 3) / 4, (1 - 0.5 + 2 / 3) / 4, (1 - 0.5 + 2 / 3) / 4]  # 0 follows two different tokens
        >>> model.probabilities([]).round(3).tolist() == [round(p, 3) for p in P]
        True
        >>> model.probabilities([0, 1]).round(3).tolist()  # (1 - 0.5 + P[0]) / 2, P[1] / 2, (1 - 0.5 + P[2]) / 2
        [0.458, 0.146, 0.396]
        """
        ids = [int(token) for token in history][-(self.n - 1) or len(history) :]
        if ids and not 0 <= min(ids) <= max(ids) < self.V:
            raise ValueError(f"history = {ids}: expected tokens from 0 to V − 1 = {self.V - 1}")
        if self.start in ids:
            ids = ids[len(ids) - 1 - ids[::-1].index(self.start) :]
        P = np.full(self.V, 1 / self.V)
        for k, order in enumerate(self.orders[: len(ids) + 1], 1):
            row = self._row(ids[len(ids) - k + 1 :])  # of the last k − 1 tokens
            if row is None or not order.total[row]:
                break  # nor was any longer one seen
            P *= order.mass[row]
            first, end = np.searchsorted(order.keys, (row * self.V, (row + 1) * self.V))
            P[order.keys[first:end] % self.V] += order.taken[first:end]
            P /= order.total[row]
        return P

    def _row(self, tokens: Sequence[int]) -> int | None:
        row = 0
        for order, token in zip(self.orders, tokens, strict=False):
            (row,) = _find(order.keys, np.array([row * self.V + token])).tolist()
            if row < 0:
                return None
        return row

    def write(
        self, generator: Random, prompt: Sequence[int] = (), limit: int = 200, stop: int | None = None
    ) -> list[int]:
        """Draw a text, token by token: what follows `start` and the prompt, without them.

        Args:
            generator: only its `random()` is called. limit: tokens at most. stop: the token that ends a text, which is
                left off; None: `start`.
        """
        if limit < 0:
            raise ValueError(f"limit = {limit}: expected a number of tokens >= 0")
        stop = self.start if stop is None else stop
        history = [*(() if self.start is None else (self.start,)), *prompt]
        written: list[int] = []
        while len(written) < limit:
            up_to = self.probabilities(history + written).cumsum()  # (V,)
            token = min(bisect(up_to, generator.random() * up_to[-1]), self.V - 1)
            if token == stop:
                break
            written.append(token)
        return written


def learn(tokens: Sequence[int] | NDArray[Any], V: int, n: int, start: int | None = None) -> list[NGram]:
    """Count the n-grams of a text and smooth them: the models of order 1, 2, … n.

    Args:
        tokens: (N,) such as the `tokens` of a shard.
        V: size of the vocabulary. n: the longest n-gram.
        start: the token that begins each text in `tokens` (in a shard: the one that ends the text before). No n-gram reaches over
            it. None: all is one text.

    Raises:
        ValueError: fewer than two tokens, a token outside 0 … V − 1, or an n below 1.
    """
    if n < 1 or V < 1 or V * 2**31 > 2**63:
        raise ValueError(f"n = {n}, V = {V}: expected n >= 1, and a vocabulary of 1 to 2**32")
    if start is not None and not 0 <= start < V:
        raise ValueError(f"start = {start}: expected None or a token from 0 to V − 1 = {V - 1}, such as <|eos|>")
    ids = _checked(tokens, V)
    reach, predicted = _reach(ids, start), np.arange(len(ids)) > 0
    tables: list[
        tuple[Ints, Ints, Ints, Ints]
    ] = []  # keys; how often; row of the gram without its first token; begins a text?
    rows = np.zeros(len(ids), dtype=np.int64)  # (N,) of the gram that ends at a place: first of the empty one
    for k in range(1, n + 1):
        there = np.flatnonzero(reach >= k - 1)  # where a gram of k tokens ends
        before = rows[there - 1] if k > 1 else np.zeros(len(there), dtype=np.int64)
        keys, first, found = np.unique(before * V + ids[there], return_index=True, return_inverse=True)
        counts = np.bincount(found[predicted[there]], minlength=len(keys))
        starts = (
            (ids[there[first] - k + 1] == start) & (k > 1) if start is not None else np.zeros(len(keys), dtype=bool)
        )
        tables.append((keys, counts, rows[there[first]], starts))
        rows = np.full(len(ids), -1)
        rows[there] = found
    return [NGram(V, start, tuple(_orders(tables[:k], V))) for k in range(1, n + 1)]


def _orders(tables: Sequence[tuple[Ints, Ints, Ints, Ints]], V: int) -> list[Order]:
    """The smoothed tables of the model whose longest n-grams are those of the last table."""
    orders, contexts = [], 1
    for k, (keys, often, _, starts) in enumerate(tables):
        counts = often
        if k + 1 < len(tables):
            # By how many different tokens an n-gram was preceded; before the beginning of a text there is nothing, so those
            # n-grams keep their count (Heafield et al. 2013, "Scalable Modified Kneser-Ney Language Model Estimation", §3.2).
            counts = np.where(starts, often, np.bincount(tables[k + 1][2], minlength=len(keys)))
        D = discounts(counts)
        less = np.array((0.0, *D))[np.minimum(counts, 3)]  # (G,)
        history = keys // V
        total = np.bincount(history, counts, minlength=contexts).astype(np.float64)  # (C,)
        # D1·N1(h ·) + D2·N2(h ·) + D3·N3+(h ·), where N1(h ·) is how many tokens followed h once: Chen & Goodman's γ(h)·Σc(h ·)
        mass = np.bincount(history, less, minlength=contexts).astype(np.float64)  # (C,)
        orders.append(Order(keys, counts - less, total, mass, D))
        contexts = len(keys)
    return orders


def discounts(counts: Ints) -> tuple[float, float, float]:
    """What to take from the counts 1, 2, and 3 or more: (G,) -> three numbers (Chen & Goodman 1998, TR-10-98, equation 26).

    Of artificial or very little data the formula may make no sense; then it is 0.5, 1 and 1.5, KenLM's fallback.

    >>> discounts(np.array([1] * 6 + [2] * 3 + [3] * 2 + [4]))  # Y = 6/(6 + 2·3) = ½
    (0.5, 1.0, 2.0)
    """
    n1, n2, n3, n4 = (int((counts == j).sum()) for j in (1, 2, 3, 4))
    if n1 and n2 and n3:
        Y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3)  # equation 26
        if all(0 < D <= j for j, D in enumerate(found, 1)):
            return found
    return 0.5, 1.0, 1.5


def _checked(tokens: Sequence[int] | NDArray[Any], V: int) -> Ints:
    ids = np.asarray(tokens)
    if ids.ndim != 1 or len(ids) < 2 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"tokens is {ids.dtype} of shape {ids.shape}: expected whole numbers, (N,) with N >= 2; the first is never predicted"
        )
    if ids.min() < 0 or ids.max() >= V:
        wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise ValueError(f"tokens hold {wrong}: expected 0 to V − 1 = {V - 1}; another tokenizer's?")
    return ids.astype(np.int64)


def _reach(ids: Ints, start: int | None) -> Ints:
    """How many tokens before each belong to its text, the `start` included: (N,).

    >>> _reach(np.array([0, 5, 6, 0, 7]), 0).tolist()
    [0, 1, 2, 3, 1]
    """
    places = np.arange(len(ids))
    if start is None:
        return places
    last = np.maximum.accumulate(np.where(ids == start, places, 0))  # where the text of a place begins
    return places - np.concatenate(([0], last[:-1]))


def _find(keys: Ints, wanted: Ints) -> Ints:
    """The rows at which sorted keys hold what is wanted; −1 where they do not."""
    if not len(keys):
        return np.full(len(wanted), -1)
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[rows] == wanted, rows, -1)


def mean_nats(model: NGram, tokens: Sequence[int] | NDArray[Any]) -> float:
    """The loss on a held-out text or shard, nats per token: every token but the first is predicted once, as `loss.evaluate` does.

    >>> tokens = [0, 1] * 500 + [0]
    >>> [round(mean_nats(model, tokens), 2) for model in learn(tokens, V=2, n=2)]
    [0.69, 0.0]
    """
    return math.fsum(model.nats(tokens)) / (len(tokens) - 1)
