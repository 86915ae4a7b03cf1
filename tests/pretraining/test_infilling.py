"""Gaps and who fills them: cuts that fit together again, judged by the world, and models that know the answer get it right."""

import math
from itertools import islice
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world import World
from lablib.pretraining.infilling import (
    KINDS,
    FillInTheMiddle,
    Gap,
    fill_by_masks,
    fill_by_moving,
    fill_by_sentinel,
    fill_by_trying,
    fill_from_left,
    gaps,
    middle_last,
    right,
)
from lablib.pretraining.objective_models import EncoderDecoder, like_decoder
from lablib.pretraining.objectives import NextToken
from lablib.pretraining.small_vocabulary import SmallVocabulary
from lablib.pretraining.span_corruption import padded
from lablib.tokens import course_tokenizer
from lablib.tokens.pretokens import split

BEGIN, END, PAD, MASK, MARKS, V = 20, 21, 22, 23, (24, 25, 26), 27
WORLD = World()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [document.text for document in islice(WORLD.documents(Random(0), kinds=["encyclopaedia"]), 60)]


@pytest.fixture(scope="module")
def vocabulary(texts) -> SmallVocabulary:
    return SmallVocabulary(course_tokenizer.load(), texts)


def some_gaps(texts, vocabulary) -> list[Gap]:
    cut = [split(text, vocabulary.tokenizer.pattern) for text in texts]
    return gaps(cut, vocabulary.encode, torch.Generator().manual_seed(0), common=20)


def test_the_small_vocabulary_loses_nothing(texts, vocabulary):
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text
        assert max(vocabulary.encode(text)) < vocabulary.words
    assert vocabulary.words + len(vocabulary.special) == vocabulary.V
    assert sorted(vocabulary.special.values()) == list(range(vocabulary.words, vocabulary.V))
    assert vocabulary.decode([vocabulary.special["<|mask|>"]]) == "<|mask|>"
    assert not vocabulary.knows("§")
    with pytest.raises(ValueError, match="which the corpus lacks"):
        vocabulary.encode("§")


def test_a_gap_and_its_sides_are_the_text(texts, vocabulary):
    found = some_gaps(texts, vocabulary)
    assert {gap.kind for gap in found} == set(KINDS)
    whole = {vocabulary.decode([*gap.left, *gap.middle, *gap.right]) for gap in found}
    assert whole == set(texts)
    for gap in found:
        left, word, rest = (vocabulary.decode(part) for part in (gap.left, gap.middle, gap.right))
        assert left
        cuts = [split(part, vocabulary.tokenizer.pattern) for part in (left, word, rest)]
        if gap.kind == "clue on the left":
            assert word in cuts[0]
            assert word not in cuts[2]
        elif gap.kind == "clue on the right":
            assert word not in cuts[0]
            assert word in cuts[2]
        else:
            assert len(cuts[1]) == 4


def test_the_world_is_the_judge(texts, vocabulary):
    found = some_gaps(texts, vocabulary)
    kinds = ["encyclopaedia"]
    truth = right(WORLD, found, [gap.middle for gap in found], vocabulary.decode, kinds)
    assert all(all(answers) for answers in truth.values())
    assert sum(map(len, truth.values())) == len(found)
    empty = right(WORLD, found, [() for _ in found], vocabulary.decode, kinds)
    for kind in KINDS:  # an entry may do without a phrase now and then, seldom without a word
        assert sum(empty[kind]) < 0.2 * len(empty[kind])
    other = right(WORLD, found, [gap.middle for gap in found], vocabulary.decode, ["story"])
    assert not any(any(answers) for answers in other.values())
    assert WORLD.log_prob("No such text.", "all", kinds) == -math.inf


# ---------------------------------------------------------------- fill in the middle


@given(words=st.lists(st.integers(0, 19), max_size=12), data=st.data())
def test_the_middle_goes_last_and_nothing_is_lost(words, data):
    start = data.draw(st.integers(0, len(words)))
    stop = data.draw(st.integers(start, len(words)))
    moved = middle_last(words, start, stop, MARKS)
    first, second, third = (moved.index(mark) for mark in MARKS)
    prefix, suffix, middle = moved[first + 1 : second], moved[second + 1 : third], moved[third + 1 :]
    assert first == 0
    assert prefix + middle + suffix == words
    assert middle == words[start:stop]


def test_half_of_the_documents_are_changed():
    rows = padded([[BEGIN, *range(n % 15 + 1), END] for n in range(400)], PAD)
    batch = FillInTheMiddle(MARKS, PAD, 0.5)(rows, torch.Generator().manual_seed(0))
    changed = (batch.inputs == MARKS[0]).any(dim=1)
    assert 150 < int(changed.sum()) < 250  # 200 ± 5 standard deviations
    plain = NextToken(PAD)(rows, torch.Generator())
    for row, was, of in zip(batch.targets.tolist(), plain.targets.tolist(), changed.tolist(), strict=True):
        if not of:
            assert [t for t in row if t != PAD] == [t for t in was if t != PAD]
        assert sorted(t for t in row if t < 20) == sorted(t for t in was if t < 20)
    assert torch.equal(batch.mask, batch.targets != PAD)
    never = FillInTheMiddle(MARKS, PAD, 0.0)(rows, torch.Generator().manual_seed(0))
    assert torch.equal(never.inputs, plain.inputs)


# ---------------------------------------------------------------- who fills gaps

CONFIG = DecoderConfig(V=V, D=16, H=2, L=2, hidden=32)
GAPS = [Gap("phrase", (1, 2), (3, 4), (5,)), Gap("phrase", (6,), (7,), (8, 9, 10)), Gap("phrase", (1,), (2, 3, 4), ())]


class Counting(Decoder):
    """After each word it expects the next number, and after 10 the end."""

    def forward(self, ids, mask=None, cache=None, last_only=False):
        super().forward(ids, mask, cache, last_only)  # fills the cache
        after = torch.where(ids < 10, ids + 1, END)
        after = torch.where(ids == BEGIN, 1, after)
        logits = torch.full((*ids.shape, V), -8.0).scatter(2, after[..., None], 0.0)
        return logits[:, -1:] if last_only else logits


def test_a_model_that_counts_fills_from_the_left():
    model = Counting(CONFIG, generator=torch.Generator().manual_seed(0)).eval()
    assert fill_from_left(model, GAPS, BEGIN) == [[3, 4], [7], [2, 3, 4]]


def test_trying_keeps_the_likeliest_whole():
    """A model that takes 3 for likeliest after 2, but finds 9 impossible after it: with the right side seen, 8 wins."""

    class Hasty(Decoder):
        def forward(self, ids, mask=None, cache=None, last_only=False):
            super().forward(ids, mask, cache, last_only)
            logits = torch.zeros(*ids.shape, V)
            logits[ids == 2] = torch.full((V,), -50.0).scatter(0, torch.tensor([3, 8]), torch.tensor([1.0, 0.5]))
            logits[ids == 3] = torch.zeros(V).scatter(0, torch.tensor([9]), torch.tensor(-50.0))
            return logits[:, -1:] if last_only else logits

    model = Hasty(CONFIG, generator=torch.Generator().manual_seed(0)).eval()
    gap = [Gap("phrase", (2,), (8,), (9,))]
    ends, generator = (BEGIN, END), torch.Generator().manual_seed(0)
    assert fill_from_left(model, gap, BEGIN) == [[3]]
    assert fill_by_trying(model, gap, ends, PAD, 1, generator) == [[3]]
    assert fill_by_trying(model, gap, ends, PAD, 20, generator) == [[8]]


def test_masks_are_filled_where_the_gap_is():
    seen = []

    def predict(ids):
        seen.append(ids.tolist())
        left = torch.cat((torch.full_like(ids[:, :1], BEGIN), ids[:, :-1]), dim=1)
        sure = torch.where(left < 20, 5.0, 0.0)  # sure where the left neighbour is known
        after = torch.where(left < 20, left + 1, 0)
        return torch.zeros(*ids.shape, V).scatter(2, after[..., None], sure[..., None])

    assert fill_by_masks(predict, GAPS, MASK, (BEGIN, END), PAD) == [[3, 4], [7], [2, 3, 4]]
    assert seen[0][0] == [BEGIN, 1, 2, MASK, MASK, 5, END]
    assert len(seen) == 3


class Remembering(EncoderDecoder):
    """Writes 11, 12 behind the first sentinel, whatever it reads, and then the next sentinel."""

    def decode(self, target, memory, look, last_only=False):
        after = {24: 11, 11: 12, 12: 25}
        tokens = torch.tensor([[after.get(token, 25) for token in row] for row in target.tolist()])
        return torch.nn.functional.one_hot(tokens[:, -1:], V).float()


def test_a_span_ends_with_a_sentinel():
    model = Remembering(like_decoder(CONFIG), PAD, BEGIN, generator=torch.Generator().manual_seed(0))
    assert fill_by_sentinel(model, GAPS, MARKS, (BEGIN, END)) == [[11, 12]] * 3
    # told how many, it writes so many words and no mark: the likeliest word where a mark would be likelier is 0
    assert fill_by_sentinel(model, GAPS, MARKS, (BEGIN, END), words=20) == [[11, 12], [11], [11, 12, 0]]


def test_moving_reads_both_sides_and_stops_at_the_end_mark():
    class Reading(Decoder):
        def forward(self, ids, mask=None, cache=None, last_only=False):
            super().forward(ids, mask, cache, last_only)
            if ids.shape[1] > 1:
                self.prompts = ids.tolist()
            after = torch.where(ids == MARKS[2], 13, END)  # after the mark of the middle, 13; after that the end
            return torch.nn.functional.one_hot(after[:, -1:], V).float()

    model = Reading(CONFIG, generator=torch.Generator().manual_seed(0)).eval()
    assert fill_by_moving(model, GAPS, MARKS, (BEGIN, END)) == [[13]] * 3
    assert fill_by_moving(model, GAPS, MARKS, (BEGIN, END), words=20) == [[13, 0], [13], [13, 0, 0]]
    assert model.prompts[0][-7:] == [BEGIN, 24, 1, 2, 25, 5, 26]
