"""How much of each source: mixture weights, the epochs that they mean, and a stream that keeps them.

A small good source next to a huge one would hardly be seen in proportion to its size. Raising the sizes to a power alpha < 1 lifts the
small ones (alpha = 1 keeps the proportions, alpha = 0 treats all alike); then a source may be read more than once, and what is read
too often teaches little more.

Papers: Conneau and Lample 2019, "Cross-lingual Language Model Pretraining" (p_i ∝ n_i^alpha, alpha 0.5); Arivazhagan et al. 2019,
"Massively Multilingual Neural Machine Translation in the Wild" (the same as a temperature, T = 1/alpha, T = 5); Brown et al. 2020
(GPT-3), table 2.2; Muennighoff et al. 2023, "Scaling Data-Constrained Language Models" (up to about 4 epochs are nearly as good as
new text).
Left out: learned weights. DoReMi (Xie et al. 2023) raises those of the sources on which a small model has most left to learn.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
MOST_EPOCHS = 4.0  # Muennighoff et al. 2023


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a published mixture: size in 10^9 tokens, weight as a fraction, and how often it was read."""

    tokens: float
    weight: float
    epochs: float


# Brown et al. 2020, table 2.2, as printed, for 300 · 10^9 tokens of training. The weights sum to 1.01: each is rounded.
# The epochs follow from sizes and weights up to rounding, but for WebText2: 0.22 · 300 / 19 = 3.5, where the table prints 2.9.
GPT3 = {
    "Common Crawl (filtered)": Published(410, 0.60, 0.44),
    "WebText2": Published(19, 0.22, 2.9),
    "Books1": Published(12, 0.08, 1.9),
    "Books2": Published(55, 0.08, 0.43),
    "Wikipedia": Published(3, 0.03, 3.4),
}
GPT3_BUDGET = 300.0  # 10^9 tokens


def mixture_weights(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    """The share of each source when its size counts to the power alpha: p_i = n_i^alpha / Σ_j n_j^alpha.

    Args:
        sizes: source -> tokens (or characters), each above 0.
        alpha: 1 in proportion to the sizes, 0 all alike; as a temperature T = 1/alpha.

    Returns:
        source -> share; the shares sum to 1.

    Raises:
        ValueError: there is no source, a size is not above 0, or alpha is negative.

    >>> mixture_weights({"web": 900, "books": 100}, alpha=0.5)  # √900 : √100 = 3 : 1
    {'web': 0.75, 'books': 0.25}
    """
    check_positive("sizes", sizes)
    if not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha = {alpha}: expected 0 or more; below 0 the smallest source would get the most")
    largest = max(sizes.values())
    powers = {source: (size / largest) ** alpha for source, size in sizes.items()}  # at most 1: no overflow
    total = sum(powers.values())
    return {source: power / total for source, power in powers.items()}


def epochs(weights: Mapping[str, float], sizes: Mapping[str, float], budget: float) -> dict[str, float]:
    """How often each source is read: weight · budget / size.

    Args:
        weights: source -> share, summing to 1.
        sizes: source -> tokens; budget: tokens of the whole training, in the same unit.

    >>> epochs({"web": 0.75, "books": 0.25}, {"web": 900, "books": 100}, budget=600)
    {'web': 0.5, 'books': 1.5}
    """
    _check_same(weights, sizes)
    check_positive("sizes", sizes)
    if not budget > 0:
        raise ValueError(f"budget = {budget}: expected more than 0 tokens, in the unit of the sizes")
    return {source: weights[source] * budget / sizes[source] for source in sizes}


def capped_weights(
    weights: Mapping[str, float], sizes: Mapping[str, float], budget: float, most: float = MOST_EPOCHS
) -> dict[str, float]:
    """The weights with no source read more than `most` times; what is cut off goes to the others, in their proportions.

    Args: as for `epochs`; most, epochs at most, above 0.

    Returns:
        source -> share; the shares sum to 1.

    Raises:
        ValueError: even with every source read `most` times the budget is not reached.

    >>> capped_weights({"web": 0.25, "books": 0.625, "wiki": 0.125}, {"web": 90, "books": 10, "wiki": 20}, budget=80, most=2)
    {'web': 0.5, 'books': 0.25, 'wiki': 0.25}
    """
    _check_same(weights, sizes)
    check_positive("sizes", sizes)
    if not (budget > 0 and most > 0):
        raise ValueError(
            f"budget = {budget} and most = {most}: expected both above 0; {MOST_EPOCHS:g} epochs are usual"
        )
    highest = {source: most * size / budget for source, size in sizes.items()}
    if sum(highest[source] for source in sizes if weights[source] > 0) < 1 - 1e-12:
        raise ValueError(
            f"budget = {budget:g} is more than {most:g} epochs of all sources with a weight: lower it or raise most"
        )
    full: dict[str, float] = {}  # the sources at their cap
    while True:
        rest = sum(weight for source, weight in weights.items() if source not in full)
        left = max(1 - sum(full.values()), 0.0)
        shares = {source: full.get(source, left * weights[source] / (rest or 1)) for source in weights}
        over = [source for source in weights if source not in full and shares[source] > highest[source]]
        if not over:
            return shares
        full.update({source: highest[source] for source in over})


def document_weights(weights: Mapping[str, float], mean_lengths: Mapping[str, float]) -> dict[str, float]:
    """The chance to draw a *document* from each source so that its share of the *tokens* is the weight: ∝ weight / mean length.

    >>> document_weights({"books": 0.5, "chat": 0.5}, {"books": 768, "chat": 256})  # three chats for each book
    {'books': 0.25, 'chat': 0.75}
    """
    _check_same(weights, mean_lengths)
    check_positive("mean_lengths", mean_lengths)
    chances = {source: weight / mean_lengths[source] for source, weight in weights.items()}
    total = sum(chances.values())
    return {source: chance / total for source, chance in chances.items()}


def mixed(
    streams: Mapping[str, Iterable[Item]], weights: Mapping[str, float], generator: np.random.Generator
) -> Iterator[tuple[str, Item]]:
    """Draw a source by its weight, again and again, and hand out its next item.

    A stream that ends leaves, and the others share its weight in their proportions; so an endless stream never starves, and with
    finite ones every item comes out exactly once. Nothing is read ahead.

    Args:
        streams: source -> items, finite or endless.
        weights: source -> share, at least 0; they need not sum to 1. A source of weight 0 is never read.
        generator: draws the sources.

    Yields:
        The source and the item.

    Raises:
        ValueError: the sources of both differ, a weight is negative, or all are 0.
    """
    _check_same(weights, streams)
    if any(not weight >= 0 for weight in weights.values()) or not sum(weights.values()) > 0:
        raise ValueError(f"weights = {dict(weights)}: expected shares of 0 or more that are not all 0")
    open_streams = {source: iter(stream) for source, stream in streams.items() if weights[source] > 0}
    while open_streams:
        names = list(open_streams)
        heights = np.cumsum([weights[name] for name in names])
        while True:  # until a stream ends
            place = int(np.searchsorted(heights, generator.random() * heights[-1], side="right"))
            name = names[min(place, len(names) - 1)]
            try:
                item = next(open_streams[name])
            except StopIteration:
                del open_streams[name]
                break
            yield name, item


def check_positive(name: str, values: Mapping[str, float]) -> None:
    """Raise a ValueError that names the argument, unless there is at least one source and each value is above 0."""
    if not values:
        raise ValueError(f"{name} is empty: expected at least one source")
    for source, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}[{source!r}] = {value}: expected more than 0; leave out a source that is empty")


def _check_same(weights: Mapping[str, float], other: Mapping[str, object]) -> None:
    if set(weights) != set(other):
        raise ValueError(
            f"the weights name {sorted(weights)}, the other table {sorted(other)}: expected the same sources in both"
        )
