"""T5's objective: cut spans out of a text, leave a sentinel in the place of each, and have the model write the spans.

    text      Thank you for inviting me to your party last week
    source    Thank you <X> me to your party <Y> week
    target    <X> for inviting <Y> last <Z>

Paper: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (§3.1.4 and figure 2;
§3.3.4: 15 % of the tokens, spans of 3 on average). How the spans are drawn stands in T5's own code, `random_spans_noise_mask`.

Source and target together hold the whole text: `restore_spans` puts it together again, exactly.
Axes: B rows, S source time, T target time. Left out: T5's other noise (single tokens, deshuffling, and so on), which the paper tries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.pretraining.batching import Batch


def noise_counts(length: int, rate: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """How many tokens of a text are cut out, and in how many spans?

    The tokens are length · rate, rounded, but at least 1 and at most length − 1: something must go and something must
    stay. The spans are tokens / mean_span, rounded, but at least 1, and no more than the tokens that stay (between two
    spans there must be one). Halves are rounded as Python's `round` does, to the even number.

    Args:
        length: tokens of the text. rate: share to cut out, above 0 and below 1.
        mean_span: tokens in a span, on average, 1 or more.

    Raises:
        ValueError: length < 2, so that there is nothing to cut out or nothing to leave.

    >>> noise_counts(100), noise_counts(5), noise_counts(2)
    ((15, 5), (1, 1), (1, 1))
    """
    if length < 2:
        raise ValueError(f"length = {length}: expected at least 2 tokens, one to cut out and one to leave")
    tokens = min(max(round(length * rate), 1), length - 1)
    spans = min(max(round(tokens / mean_span), 1), length - tokens)
    return tokens, spans


def random_partition(total: int, parts: int, generator: torch.Generator) -> list[int]:
    """A number as a sum of so many numbers >= 1; every such sum is equally likely.

    Think of `total` things in a row: of the total − 1 gaps between them, parts − 1 are drawn, and there the row is cut.

    >>> random_partition(5, 5, torch.Generator())
    [1, 1, 1, 1, 1]
    """
    if not 1 <= parts <= total:
        raise ValueError(f"parts = {parts} of total = {total}: expected 1 to {total}, since no part is empty")
    cuts = torch.randperm(total - 1, generator=generator)[: parts - 1].sort().values + 1  # (parts − 1,)
    edges = [0, *cuts.tolist(), total]
    return [stop - start for start, stop in pairwise(edges)]


def noise_mask(length: int, tokens: int, spans: int, generator: torch.Generator) -> list[bool]:
    """Which tokens of a text are cut out: True for those; spans of both kinds take turns, and the first is one that stays.

    As T5's `random_spans_noise_mask` has it; so the last token is always cut out and the first never.
    """
    gone = random_partition(tokens, spans, generator)
    kept = random_partition(length - tokens, spans, generator)
    mask: list[bool] = []
    for stay, go in zip(kept, gone, strict=True):
        mask += [False] * stay + [True] * go
    return mask


def corrupt_spans(ids: Sequence[int], noise: Sequence[bool], sentinels: Sequence[int]) -> tuple[list[int], list[int]]:
    """Cut the spans out: what the encoder reads, and what the decoder has to write (Raffel et al. 2020, figure 2).

    Neighbours that are cut out make one span. In the source, sentinels stand in the places of the spans, in order.
    The target is, for each span, its sentinel and then its tokens; one more sentinel, the next one, ends it.

    ids: the text. noise: as long as it, True where a token is cut out. sentinels: tokens that stand in no text.

    Raises:
        ValueError: there are more spans than sentinels − 1.

    >>> corrupt_spans([1, 2, 3, 4, 5], [False, True, True, False, True], sentinels=[90, 91, 92])
    ([1, 90, 4, 91], [90, 2, 3, 91, 5, 92])
    """
    source: list[int] = []
    target: list[int] = []
    spans, inside = 0, False
    for token, cut in zip(ids, noise, strict=True):
        if cut and not inside:
            if spans + 1 >= len(sentinels):
                raise ValueError(
                    f"noise has more than {spans} spans: expected one less than the {len(sentinels)} sentinels"
                )
            source.append(sentinels[spans])
            target.append(sentinels[spans])
            spans += 1
        (target if cut else source).append(token)
        inside = cut
    return source, [*target, sentinels[spans]]


def restore_spans(source: Sequence[int], target: Sequence[int], sentinels: Sequence[int]) -> list[int]:
    """The text again: each sentinel of the source gives way to what stands behind it in the target.

    A sentinel that the target lacks gives way to nothing, and what the target has for a sentinel that the source lacks
    is left out: a model may write anything. If a sentinel begins two spans of the target, the first one counts.

    >>> restore_spans([1, 90, 4, 91], [90, 2, 3, 91, 5, 92], sentinels=[90, 91, 92])
    [1, 2, 3, 4, 5]
    """
    spans: dict[int, list[int]] = {}
    span: list[int] = []  # what stands before the first sentinel belongs to nothing
    for token in target:
        if token in sentinels:
            span = []
            spans.setdefault(token, span)
        else:
            span.append(token)
    text: list[int] = []
    for token in source:
        text += spans.get(token, []) if token in sentinels else [token]
    return text


def padded(rows: Sequence[Sequence[int]], pad: int) -> Tensor:
    """Rows of different lengths as one tensor (B, longest), with padding behind the shorter ones.

    >>> padded([[1, 2], [3]], pad=0)
    tensor([[1, 2],
            [3, 0]])
    """
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])


@dataclass(frozen=True)
class SpanCorruption:
    """The objective of an encoder–decoder, for rows of documents.

    Args:
        sentinels: tokens that stand in no text. words: tokens 0 … words − 1 are words, and only they are cut out. pad: fills a row.
        rate: share of the words that is cut out. mean_span: words in a span, on average.
        counts, cut: the two steps, `noise_counts` and `corrupt_spans` or functions of your own.
    """

    sentinels: tuple[int, ...]
    words: int
    pad: int
    rate: float = 0.15
    mean_span: float = 3.0
    counts: Callable[[int, float, float], tuple[int, int]] = noise_counts
    cut: Callable[[Sequence[int], Sequence[bool], Sequence[int]], tuple[list[int], list[int]]] = corrupt_spans

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1 or not self.mean_span >= 1:
            raise ValueError(
                f"rate = {self.rate!r}, mean_span = {self.mean_span!r}: expected a share above 0 and below 1, and a number >= 1"
            )
        if self.pad < self.words or any(sentinel < self.words for sentinel in self.sentinels):
            raise ValueError(
                f"words = {self.words}: expected pad = {self.pad} and all sentinels {self.sentinels} behind the words"
            )

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Batch:
        """rows (B, T) -> sources (B, S), with what is no word at its place, and targets (B, T'), which count where no padding is.

        A document with too many spans for the sentinels gets fewer and longer ones. One with fewer than two words is an error.
        """
        sources, targets = [], []
        for row in rows.tolist():
            words = [token for token in row if token < self.words]
            start = next(place for place, token in enumerate(row) if token < self.words) if words else 0
            tokens, spans = self.counts(len(words), self.rate, self.mean_span)
            spans = min(spans, len(self.sentinels) - 1)
            noise = noise_mask(len(words), tokens, spans, generator)
            source, target = self.cut(words, noise, self.sentinels)
            rest = [token for token in row[start + len(words) :] if token != self.pad]
            sources.append([*row[:start], *source, *rest])
            targets.append(target)
        target_rows = padded(targets, self.pad)
        return Batch(padded(sources, self.pad), target_rows, target_rows != self.pad)


def span_loss(model: nn.Module, batch: Batch) -> Tensor:
    """−ln P(target) of an encoder–decoder, summed over the targets that count, nats; each token from the source and those before it.

    model: source (B, S), target so far (B, T) -> logits (B, T, V), with `start`, the token that begins a target.
    """
    start = torch.full_like(batch.targets[:, :1], model.start)  # type: ignore[arg-type]
    logits = model(batch.inputs, torch.cat((start, batch.targets[:, :-1]), dim=1))  # (B, T) -> (B, T, V)
    targets = batch.targets if batch.mask is None else batch.targets.masked_fill(~batch.mask, -100)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum")
