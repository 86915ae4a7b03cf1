"""A word, or several, cut out of a document: who can put it back? And the causal model's way to learn it, fill in the middle.

A gap is judged by the world: what was filled in is right if the world could have written the completed document. So another word that
makes sense is right, too, and no human has to look.

Papers: Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle" (a document is cut in three, and its middle goes
to the end); Donahue, Lee & Liang 2020, "Enabling Language Models to Fill in the Blanks" (the same idea with blanks).

Axes: B rows, T time. Left out: cuts inside a token (Bavarian et al. cut between characters).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lablib.architecture.decoder import CausalModel
from lablib.architecture.generation import generate, left_pad
from lablib.corpus.world import World
from lablib.pretraining.batching import Batch
from lablib.pretraining.objective_models import EncoderDecoder
from lablib.pretraining.objectives import NextToken
from lablib.pretraining.span_corruption import padded
from lablib.pretraining.unmasking import Predict, Step, fill, reveal

KINDS = ("clue on the left", "clue on the right", "phrase")
PHRASE = 4  # words


@dataclass(frozen=True)
class FillInTheMiddle:
    """The causal objective on documents of which some have their middle moved to the end: prefix, suffix, middle.

    Args:
        marks: three tokens that stand in no text, before prefix, suffix and middle. pad: fills a row.
        rate: share of the documents that are changed; the others are read as they are.
    """

    marks: tuple[int, int, int]
    pad: int
    rate: float = 0.5

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Batch:
        """rows (B, T), each a beginning mark, words, an end mark, padding -> inputs and targets (B, T + 2)."""
        changed = []
        for row, dice in zip(rows.tolist(), torch.rand(len(rows), generator=generator).tolist(), strict=True):
            begin, *words, end = [token for token in row if token != self.pad]
            if dice < self.rate:
                cuts = torch.randint(len(words) + 1, (2,), generator=generator).sort().values.tolist()
                words = middle_last(words, cuts[0], cuts[1], self.marks)
            changed.append([begin, *words, end])
        return NextToken(self.pad)(padded(changed, self.pad), generator)


def middle_last(words: Sequence[int], start: int, stop: int, marks: tuple[int, int, int]) -> list[int]:
    """A text with words[start:stop] moved to its end (Bavarian et al. 2022, their order "PSM").

    >>> middle_last([1, 2, 3, 4], 1, 3, marks=(90, 91, 92))
    [90, 1, 91, 4, 92, 2, 3]
    """
    prefix, suffix, middle = marks
    return [prefix, *words[:start], suffix, *words[stop:], middle, *words[start:stop]]


# ---------------------------------------------------------------- gaps


@dataclass(frozen=True)
class Gap:
    """A document with a gap, as tokens: what stands left of it, what was in it, what stands right of it."""

    kind: str
    left: tuple[int, ...]
    middle: tuple[int, ...]
    right: tuple[int, ...]


def gaps(
    texts: Sequence[Sequence[str]], encode: Callable[[str], list[int]], generator: torch.Generator, common: int = 60
) -> list[Gap]:
    """One gap of each of `KINDS` in each text, where it has one.

    *Clue on the left*: a word at a place where it stood before, and does not come again. *Clue on the right*: one that has not been seen
    yet, and comes again. *Phrase*: `PHRASE` words in a row, anywhere but at the beginning.

    Args:
        texts: each cut into words, as `pretokens.split` does. encode: one word -> its tokens.
        common: so many of the most frequent words are too easy to be cut out alone.
    """
    counts = Counter(word for text in texts for word in text if word.strip().isalpha())
    easy = {word for word, _ in counts.most_common(common)}
    found = []
    for text in texts:
        seen = Counter(text)
        places: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
        for place, word in enumerate(text):
            before, after = text[:place].count(word), text[place + 1 :].count(word)
            if seen[word] > 1 and word.strip().isalpha() and word not in easy and place:
                if before and not after:
                    places["clue on the left"].append((place, place + 1))
                elif after and not before:
                    places["clue on the right"].append((place, place + 1))
            if place and place + PHRASE < len(text):
                places["phrase"].append((place, place + PHRASE))
        for kind, of in places.items():
            if of:
                start, stop = of[int(torch.randint(len(of), (1,), generator=generator))]
                parts = (text[:start], text[start:stop], text[stop:])
                found.append(Gap(kind, *(tuple(token for word in part for token in encode(word)) for part in parts)))
    return found


def right(
    world: World,
    gaps: Sequence[Gap],
    middles: Sequence[Sequence[int]],
    decode: Callable[[list[int]], str],
    kinds: Sequence[str],
) -> dict[str, list[bool]]:
    """Kind of gap -> for each of them, whether the completed document is one that the world could have written.

    kinds: kinds of documents that the world may have written, as `World.log_prob` takes them.
    """
    found: dict[str, list[bool]] = {}
    for gap, middle in zip(gaps, middles, strict=True):
        text = decode([*gap.left, *middle, *gap.right])
        found.setdefault(gap.kind, []).append(world.log_prob(text, "all", kinds) > -math.inf)
    return found


# ---------------------------------------------------------------- who fills them, and how


def fill_by_masks(
    predict: Predict, gaps: Sequence[Gap], mask: int, ends: tuple[int, int], pad: int, step: Step = reveal
) -> list[list[int]]:
    """A mask for each token of the gap, filled surest first: this way is told how long the gap is."""
    rows = [[ends[0], *gap.left, *[mask] * len(gap.middle), *gap.right, ends[1]] for gap in gaps]
    filled = []
    for start in range(0, len(rows), 100):
        some = fill(predict, padded(rows[start : start + 100], pad), mask, step=step).tolist()
        filled += [
            row[1 + len(g.left) :][: len(g.middle)] for row, g in zip(some, gaps[start : start + 100], strict=True)
        ]
    return filled


def fill_from_left(model: CausalModel, gaps: Sequence[Gap], begin: int) -> list[list[int]]:
    """A causal model goes on where the left part ends; it never sees the right part, and is told the length, too."""
    ids, mask = left_pad([[begin, *gap.left] for gap in gaps])
    longest = max(len(gap.middle) for gap in gaps)
    written = generate(model, ids, longest, mask)[:, ids.shape[1] :].tolist()
    return [row[: len(gap.middle)] for row, gap in zip(written, gaps, strict=True)]


@torch.no_grad()
def fill_by_trying(
    model: CausalModel, gaps: Sequence[Gap], ends: tuple[int, int], pad: int, tries: int, generator: torch.Generator
) -> list[list[int]]:
    """A causal model draws several fillings from the left, and keeps the one with which the whole document is likeliest."""

    def draw(logits: Tensor) -> Tensor:  # (B, V) -> (B,)
        return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]

    best = fill_from_left(model, gaps, ends[0])
    scores = _likelihood(model, gaps, best, ends, pad)
    ids, mask = left_pad([[ends[0], *gap.left] for gap in gaps])
    longest = max(len(gap.middle) for gap in gaps)
    for _ in range(tries - 1):
        written = generate(model, ids, longest, mask, choose=draw)[:, ids.shape[1] :].tolist()
        tried = [row[: len(gap.middle)] for row, gap in zip(written, gaps, strict=True)]
        found = _likelihood(model, gaps, tried, ends, pad)
        for number in (found > scores).nonzero()[:, 0].tolist():
            best[number] = tried[number]
        scores = torch.maximum(scores, found)
    return best


def _likelihood(
    model: CausalModel, gaps: Sequence[Gap], middles: Sequence[list[int]], ends: tuple[int, int], pad: int
) -> Tensor:
    """ln P of each completed document by a causal model, nats: (N,)."""
    found = []
    for start in range(0, len(gaps), 100):
        some = zip(gaps[start : start + 100], middles[start : start + 100], strict=True)
        rows = padded([[ends[0], *gap.left, *middle, *gap.right, ends[1]] for gap, middle in some], pad)
        log_probs = model(rows[:, :-1]).log_softmax(dim=-1)  # (B, T, V)
        each = log_probs.gather(2, rows[:, 1:, None])[..., 0]  # (B, T)
        found.append(each.masked_fill(rows[:, 1:] == pad, 0.0).sum(dim=1))
    return torch.cat(found)


def fill_by_moving(
    model: CausalModel,
    gaps: Sequence[Gap],
    marks: tuple[int, int, int],
    ends: tuple[int, int],
    longest: int = 24,
    words: int | None = None,
) -> list[list[int]]:
    """A causal model that was trained to: it reads prefix and suffix, writes the middle, and says itself when that is complete.

    words: if given, tokens 0 … words − 1 are words, and it is told how many belong in the gap: it writes so many, and no end.
    """
    prompts = [[ends[0], *middle_last([*g.left, *g.right], len(g.left), len(g.left), marks)] for g in gaps]
    ids, mask = left_pad(prompts)
    if words is not None:
        longest = max(len(gap.middle) for gap in gaps)
    written = generate(model, ids, longest, mask, choose=_likeliest(words), stop=ends[1] if words is None else None)
    return _cut(written[:, ids.shape[1] :].tolist(), gaps, ends[1:], words)


@torch.no_grad()
def fill_by_sentinel(
    model: EncoderDecoder,
    gaps: Sequence[Gap],
    sentinels: Sequence[int],
    ends: tuple[int, int],
    longest: int = 24,
    words: int | None = None,
) -> list[list[int]]:
    """An encoder–decoder reads the text with one sentinel in it, writes what belongs there, and says itself when that is complete.

    words: as in `fill_by_moving`.
    """
    source = padded([[ends[0], *gap.left, sentinels[0], *gap.right, ends[1]] for gap in gaps], model.pad)
    memory, look = model.encode(source)
    target = torch.tensor([[model.start, sentinels[0]]]).expand(len(gaps), 2)  # (B, 2)
    choose = _likeliest(words)
    for _ in range(longest if words is None else max(len(gap.middle) for gap in gaps)):
        next_ids = choose(model.decode(target, memory, look, last_only=True)[:, -1])  # (B,)
        target = torch.cat((target, next_ids[:, None]), dim=1)
        if bool(torch.isin(target[:, 2:], torch.tensor(sentinels)).any(dim=1).all()):
            break
    return _cut(target[:, 2:].tolist(), gaps, sentinels, words)


def _likeliest(words: int | None) -> Callable[[Tensor], Tensor]:
    """logits (B, V) -> the likeliest token (B,), or the likeliest of the first `words`."""
    return lambda logits: logits[:, :words].argmax(dim=-1)


def _cut(rows: Sequence[list[int]], gaps: Sequence[Gap], stops: Iterable[int], words: int | None) -> list[list[int]]:
    """What belongs in each gap: up to the first of the stops, or as many tokens as it had."""
    if words is None:
        return [_until(row, stops) for row in rows]
    return [row[: len(gap.middle)] for row, gap in zip(rows, gaps, strict=True)]


def _until(row: list[int], stops: Iterable[int]) -> list[int]:
    """The row up to the first of the stops."""
    places = [row.index(stop) for stop in stops if stop in row]
    return row[: min(places)] if places else row
