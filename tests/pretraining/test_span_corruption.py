"""Span corruption: the paper's example, the counts of T5's own code, all partitions equally likely, and the text comes back exactly."""

from collections import Counter
from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lablib.architecture.decoder import DecoderConfig
from lablib.pretraining.objective_models import EncoderDecoder
from lablib.pretraining.span_corruption import (
    SpanCorruption,
    corrupt_spans,
    noise_counts,
    noise_mask,
    padded,
    random_partition,
    restore_spans,
    span_loss,
)

SENTINELS = tuple(range(90, 98))
FALSE_ALARM = 1e-6


def test_the_example_of_the_paper():
    """Raffel et al. 2020, figure 2: "for inviting" and "last" are cut out."""
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    number = {word: i for i, word in enumerate([*words, "<X>", "<Y>", "<Z>"])}
    ids, sentinels = [number[word] for word in words], [number[name] for name in ("<X>", "<Y>", "<Z>")]
    source, target = corrupt_spans(ids, [word in ("for", "inviting", "last") for word in words], sentinels)
    names = list(number)
    assert " ".join(names[i] for i in source) == "Thank you <X> me to your party <Y> week"
    assert " ".join(names[i] for i in target) == "<X> for inviting <Y> last <Z>"
    assert restore_spans(source, target, sentinels) == ids


# ---------------------------------------------------------------- how much, and where


def t5_counts(length: int, noise_density: float, mean_noise_span_length: float) -> tuple[int, int]:
    """What T5's `random_spans_noise_mask` computes (tf.round takes halves to the even number), in exact decimal steps."""
    tokens = round(length * noise_density)
    tokens = max(tokens, 1)
    tokens = min(tokens, length - 1)
    spans = max(round(tokens / mean_noise_span_length), 1)
    return tokens, spans


@pytest.mark.parametrize("length", [2, 3, 5, 10, 13, 30, 31, 50, 100, 512, 568])
def test_the_counts_of_t5(length):
    assert noise_counts(length) == t5_counts(length, 0.15, 3.0)


@given(length=st.integers(2, 600), rate=st.floats(0.01, 0.99), mean=st.floats(1.0, 20.0))
def test_counts_can_be_laid_out(length, rate, mean):
    tokens, spans = noise_counts(length, rate, mean)
    assert 1 <= spans <= tokens < length
    assert spans <= length - tokens


@given(length=st.integers(60, 2000))
def test_counts_of_long_texts_are_near_what_was_asked(length):
    tokens, spans = noise_counts(length)
    assert abs(tokens - 0.15 * length) <= 0.5
    assert abs(spans - tokens / 3) <= 0.5


def test_too_short_a_text():
    with pytest.raises(ValueError, match="length = 1: expected at least 2"):
        noise_counts(1)


@pytest.mark.parametrize(("total", "parts"), [(1, 1), (6, 3), (7, 2), (8, 8)])
def test_every_partition_is_equally_likely(total, parts):
    every = [tuple(b - a for a, b in pairwise((0, *cuts, total))) for cuts in combinations(range(1, total), parts - 1)]
    generator = torch.Generator().manual_seed(0)
    found = Counter(tuple(random_partition(total, parts, generator)) for _ in range(200 * len(every)))
    assert set(found) == set(every)
    if len(every) > 1:
        assert stats.chisquare([found[partition] for partition in every]).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("total", "parts"), [(3, 4), (3, 0), (0, 1)])
def test_no_such_partition(total, parts):
    with pytest.raises(ValueError, match=f"parts = {parts} of total = {total}"):
        random_partition(total, parts, torch.Generator())


def spans_of(mask):
    return sum(now and not before for before, now in pairwise([False, *mask]))


@settings(deadline=None)
@given(length=st.integers(2, 300), rate=st.floats(0.05, 0.9), mean=st.floats(1.0, 10.0), seed=st.integers(0, 2**32))
def test_the_mask_has_the_counts_begins_with_what_stays_and_ends_with_noise(length, rate, mean, seed):
    counts = noise_counts(length, rate, mean)
    mask = noise_mask(length, *counts, torch.Generator().manual_seed(seed))
    assert len(mask) == length
    assert (sum(mask), spans_of(mask)) == counts
    assert mask[-1]
    assert not mask[0]


# ---------------------------------------------------------------- exact reconstruction


@st.composite
def texts_and_noise(draw):
    ids = draw(st.lists(st.integers(0, 80), max_size=40))
    noise = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    while spans_of(noise) > len(SENTINELS) - 1:
        noise[noise.index(True)] = False
    return ids, noise


@settings(max_examples=500)
@given(texts_and_noise())
def test_the_text_comes_back_exactly_for_any_mask(case):
    ids, noise = case
    source, target = corrupt_spans(ids, noise, SENTINELS)
    assert restore_spans(source, target, SENTINELS) == ids
    spans = spans_of(noise)
    assert [token for token in source if token in SENTINELS] == list(SENTINELS[:spans])
    assert [token for token in target if token in SENTINELS] == list(SENTINELS[: spans + 1])
    assert target[-1] == SENTINELS[spans]
    assert len(source) + len(target) == len(ids) + 2 * spans + 1  # nothing is lost, nothing is there twice


def test_too_many_spans_for_the_sentinels():
    with pytest.raises(ValueError, match="more than 1 spans: expected one less than the 2 sentinels"):
        corrupt_spans([1, 2, 3], [True, False, True], [90, 91])


def test_lengths_that_differ():
    with pytest.raises(ValueError, match="shorter"):
        corrupt_spans([1, 2, 3], [True, False], SENTINELS)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ([], [1, 4]),
        ([90, 2, 91, 3], [1, 2, 4, 3]),
        ([91, 3, 90, 2], [1, 2, 4, 3]),
        ([7, 90, 2], [1, 2, 4]),
        ([90, 2, 95, 8, 91, 3, 92], [1, 2, 4, 3]),
        ([90, 2, 90, 5], [1, 2, 4]),
    ],
)
def test_whatever_a_model_writes_can_be_put_in(target, text):
    assert restore_spans([1, 90, 4, 91], target, SENTINELS) == text


# ---------------------------------------------------------------- batches and the loss

OBJECTIVE = SpanCorruption(SENTINELS, words=80, pad=99)
BEGIN, END = 81, 82


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(2, 70), min_size=1, max_size=6),
    rate=st.sampled_from([0.15, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_every_row_of_a_batch_can_be_restored(lengths, rate, seed):
    generator = torch.Generator().manual_seed(seed)
    documents = [[BEGIN, *torch.randint(80, (n,), generator=generator).tolist(), END] for n in lengths]
    batch = SpanCorruption(SENTINELS, 80, 99, rate)(padded(documents, 99), generator)
    assert torch.equal(batch.mask, batch.targets != 99)
    for document, *pair in zip(documents, batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        source, target = ([token for token in row if token != 99] for row in pair)
        assert (source[0], source[-1]) == (BEGIN, END)
        assert restore_spans(source, target, SENTINELS) == document
        tokens, spans = noise_counts(len(document) - 2, rate)
        assert sum(token < 80 for token in target) == tokens
        if spans < len(SENTINELS):
            assert sum(token in SENTINELS for token in source) == spans


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"rate": 0.0}, "rate = 0.0"), ({"mean_span": 0.5}, "mean_span = 0.5"), ({"words": 95}, "behind the words")],
)
def test_errors_name_the_value(changes, words):
    with pytest.raises(ValueError, match=words):
        SpanCorruption(**{"sentinels": SENTINELS, "words": 80, "pad": 99, **changes})


def test_the_loss_is_the_sum_of_each_target_given_those_before_it():
    config = DecoderConfig(V=100, D=16, H=2, L=2, hidden=32)
    model = EncoderDecoder(config, pad=99, start=BEGIN, generator=torch.Generator().manual_seed(0))
    rows = padded([[BEGIN, *range(20), END], [BEGIN, *range(30, 37), END]], 99)
    batch = OBJECTIVE(rows, torch.Generator().manual_seed(0))
    total = 0.0
    with torch.no_grad():
        for row, targets in zip(batch.inputs, batch.targets.tolist(), strict=True):
            source, target = row[row != 99], [token for token in targets if token != 99]
            for t, token in enumerate(target):  # one token at a time, without any padding
                logits = model(source[None], torch.tensor([[BEGIN, *target[:t]]]))[0, -1]
                total -= float(logits.log_softmax(-1)[token])
        assert float(span_loss(model, batch)) == pytest.approx(total, rel=1e-5)


def test_steps_of_ones_own_are_used():
    objective = SpanCorruption(
        SENTINELS, 80, 99, counts=lambda length, rate, mean: (2, 1), cut=lambda ids, noise, sentinels: ([1], [2, 3])
    )
    batch = objective(padded([[BEGIN, 5, 6, 7, 8, END]], 99), torch.Generator().manual_seed(0))
    assert (batch.inputs.tolist(), batch.targets.tolist()) == ([[BEGIN, 1, END]], [[2, 3]])


def test_a_document_of_one_word_is_too_short():
    with pytest.raises(ValueError, match="length = 1: expected at least 2"):
        OBJECTIVE(padded([[BEGIN, 5, END]], 99), torch.Generator())
