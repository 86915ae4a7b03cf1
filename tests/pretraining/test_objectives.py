"""Masking: 80/10/10 by a test of chance, the same distribution as `transformers`, and what it must never touch."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional as F

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining.batching import Batch
from lablib.pretraining.document_rows import DocumentRows, objective_batches
from lablib.pretraining.loss import token_nats
from lablib.pretraining.objectives import (
    Masking,
    NextToken,
    chosen_places,
    corrupt_tokens,
    masked_loss,
    masked_nats,
)

WORDS, PAD, MASK = 1000, 1001, 1002  # words 0 … 999, then an end mark, padding and the mask
FALSE_ALARM = 1e-6  # how often a test of chance may fail though all is right


@cache
def many(rate: float | None = 0.15, seed: int = 0) -> tuple[torch.Tensor, Batch]:
    """400 rows of 512 words, masked."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(WORDS, (400, 512), generator=generator)
    return rows, Masking(MASK, WORDS, rate)(rows, generator)


def fates(rows: torch.Tensor, seen: torch.Tensor, chosen: torch.Tensor) -> list[int]:
    """How many of the chosen tokens were masked, exchanged, left as they are."""
    masked, same = seen[chosen] == MASK, seen[chosen] == rows[chosen]
    return [int(masked.sum()), int((~masked & ~same).sum()), int(same.sum())]


def expected_fates(n: int, shares=(0.8, 0.1, 0.1)) -> list[float]:
    """Of n chosen tokens; an exchanged one is by chance itself in one of WORDS cases."""
    lucky = shares[1] / WORDS
    return [n * shares[0], n * (shares[1] - lucky), n * (shares[2] + lucky)]


# ---------------------------------------------------------------- the distribution


def test_15_percent_are_chosen():
    rows, batch = many()
    assert stats.binomtest(int(batch.mask.sum()), rows.numel(), 0.15).pvalue > FALSE_ALARM


def test_80_10_10_by_chi_square():
    rows, batch = many()
    found = fates(rows, batch.inputs, batch.mask)
    assert stats.chisquare(found, expected_fates(sum(found))).pvalue > FALSE_ALARM


@pytest.mark.parametrize(
    "shares", [(0.82, 0.09, 0.09), (0.8, 0.12, 0.08), (0.9, 0.0999, 0.0001), (1 / 3, 1 / 3, 1 / 3)]
)
def test_the_chi_square_sees_other_shares(shares):
    rows, batch = many()
    found = fates(rows, batch.inputs, batch.mask)
    assert stats.chisquare(found, expected_fates(sum(found), shares)).pvalue < FALSE_ALARM


def test_what_is_put_in_place_of_a_word_is_drawn_evenly():
    rows, batch = many()
    exchanged = batch.mask & (batch.inputs != MASK) & (batch.inputs != rows)
    counts = torch.bincount(batch.inputs[exchanged], minlength=WORDS)
    assert len(counts) == WORDS, "a special token was put in"
    assert stats.chisquare(counts.numpy()).pvalue > FALSE_ALARM


def test_places_are_independent_of_each_other():
    _, batch = many()
    chosen = batch.mask.double()
    both = int((chosen[:, 1:] * chosen[:, :-1]).sum())
    assert stats.binomtest(both, chosen[:, 1:].numel(), 0.15**2).pvalue > FALSE_ALARM


def test_the_same_distribution_as_transformers():
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    from lablib.paths import data_path

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(data_path("tokenizer.json")), mask_token="<|mask|>", pad_token="<|pad|>"
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    V, mask = len(tokenizer), tokenizer.mask_token_id
    rows = torch.randint(4000, (300, 512), generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng():  # the collator draws from torch's own dice
        torch.manual_seed(3)
        seen, labels = collator.torch_mask_tokens(rows.clone(), torch.zeros_like(rows))
    theirs = [labels != -100, seen]
    batch = Masking(V, V, 0.15)(rows, torch.Generator().manual_seed(2))  # V itself plays the mask
    mine = [batch.mask, batch.inputs]
    table = []
    for (chosen, given_), token in ((theirs, mask), (mine, V)):
        masked, same = given_ == token, given_ == rows
        table.append(
            [(~chosen).sum(), (chosen & masked).sum(), (chosen & ~masked & ~same).sum(), (chosen & same).sum()]
        )
    assert stats.chi2_contingency([[int(n) for n in row] for row in table]).pvalue > FALSE_ALARM
    assert torch.equal(labels[theirs[0]], rows[theirs[0]])  # their targets and ours mean the same
    assert torch.equal(batch.targets, rows)


def test_a_rate_for_every_row():
    _, batch = many(None)
    shares = batch.mask.double().mean(dim=1)
    assert stats.kstest(shares.numpy(), "uniform").pvalue > FALSE_ALARM
    assert shares.min() < 0.05 < 0.95 < shares.max()


# ---------------------------------------------------------------- properties


@st.composite
def some_rows(draw):
    B, T = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32))
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(WORDS, (B, T), generator=generator)
    special = torch.rand(B, T, generator=generator) < draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    return rows.masked_fill(special, PAD), draw(st.sampled_from([0.05, 0.15, 0.4, 1.0, None])), seed


@settings(deadline=None, max_examples=200)
@given(some_rows())
def test_masking_touches_words_only_and_at_least_one(case):
    rows, rate, seed = case
    before = rows.clone()
    batch = Masking(MASK, WORDS, rate)(rows, torch.Generator().manual_seed(seed))
    assert torch.equal(rows, before), "the rows themselves were changed"
    assert torch.equal(batch.targets, before)
    assert not batch.mask[rows >= WORDS].any(), "a special token was chosen"
    assert torch.equal(batch.inputs[~batch.mask], rows[~batch.mask]), "a token that is not chosen was changed"
    some = (rows < WORDS).any(dim=1)
    assert torch.equal(batch.mask.any(dim=1), some), "a row with words has none chosen, or one without has"
    assert ((batch.inputs < WORDS) | (batch.inputs == MASK) | (batch.inputs == rows)).all()
    if rate == 1.0:
        assert torch.equal(batch.mask, rows < WORDS)


@settings(deadline=None, max_examples=50)
@given(some_rows())
def test_more_is_chosen_at_a_higher_rate_and_nothing_else(case):
    rows, _, seed = case
    dice = torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed))
    few, many_ = (chosen_places(rows < WORDS, dice, rate) for rate in (0.1, 0.5))
    assert (many_ | ~few).all()


def test_a_short_row_gets_the_word_with_the_smallest_dice():
    eligible = torch.tensor([[False, True, True, False], [False, False, False, False], [True, True, True, True]])
    dice = torch.tensor([[0.01, 0.9, 0.5, 0.01], [0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.05, 0.16]])
    assert chosen_places(eligible, dice, 0.15).tolist() == [
        [False, False, True, False],
        [False, False, False, False],
        [True, False, True, False],
    ]


def test_how_many_are_chosen_in_short_rows():
    """A row of one word always has it chosen; so short rows are masked more than 15 %: 1/T at least."""
    rows = torch.randint(WORDS, (20_000, 3), generator=torch.Generator().manual_seed(0))
    chosen = Masking(MASK, WORDS)(rows, torch.Generator().manual_seed(1)).mask.sum(dim=1)
    assert chosen.min() == 1
    expected = [20_000 * p for p in (3 * 0.15 * 0.85**2 + 0.85**3, 3 * 0.15**2 * 0.85, 0.15**3)]
    assert stats.chisquare(torch.bincount(chosen, minlength=4)[1:].numpy(), expected).pvalue > FALSE_ALARM


def test_corrupt_tokens_at_the_edges():
    ids, others = torch.tensor([[1, 2, 3, 4, 5, 6]]), torch.tensor([[11, 12, 13, 14, 15, 16]])
    dice = torch.tensor([[0.0, 0.75, 0.8, 0.875, 0.9, 0.95]], dtype=torch.float64)
    everything = torch.ones_like(ids, dtype=torch.bool)
    assert corrupt_tokens(ids, everything, dice, others, 99).tolist() == [[99, 99, 13, 14, 5, 6]]
    assert torch.equal(corrupt_tokens(ids, ~everything, dice, others, 99), ids)


def test_without_keeping_all_the_chosen_are_masked():
    rows, _ = many()
    batch = Masking(MASK, WORDS, 0.15, keep=False)(rows, torch.Generator().manual_seed(0))
    assert (batch.inputs[batch.mask] == MASK).all()
    assert batch.mask.any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 0.0}, "rate = 0.0"),
        ({"rate": 1.5}, "above 0 and up to 1"),
        ({"words": 0}, "words = 0"),
        ({"words": 2000}, "behind"),
    ],
)
def test_errors_name_the_value(changes, words):
    with pytest.raises(ValueError, match=words):
        Masking(**{"mask": MASK, "words": WORDS, **changes})


# ---------------------------------------------------------------- the loss


@settings(deadline=None, max_examples=40)
@given(B=st.integers(1, 4), T=st.integers(1, 7), seed=st.integers(0, 2**32), rate=st.sampled_from([0.0, 0.3, 1.0]))
def test_masked_nats_is_the_full_loss_with_the_others_ignored(B, T, seed, rate):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(B, T, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    table = torch.randn(20, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(20, (B, T), generator=generator)
    chosen = torch.rand(B, T, generator=generator) < rate
    logits = (hidden @ table.T).float()
    full = F.cross_entropy(logits.flatten(0, 1), targets.masked_fill(~chosen, -100).flatten(), reduction="sum")
    mine = masked_nats(hidden, table, targets, chosen)
    torch.testing.assert_close(mine, full, rtol=1e-5, atol=1e-6)
    for a, b in zip(*(torch.autograd.grad(x, (hidden, table)) for x in (mine, full)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6 * float(b.abs().max() + 1e-9))


def test_masked_loss_of_a_model_equals_the_loss_of_the_loop():
    model = Decoder(DecoderConfig(V=MASK + 1, D=16, H=2, L=2, hidden=32), generator=torch.Generator().manual_seed(0))
    rows = torch.randint(WORDS, (4, 10), generator=torch.Generator().manual_seed(1))
    batch = Masking(MASK, WORDS, 0.3)(rows, torch.Generator().manual_seed(2))
    torch.testing.assert_close(masked_loss(model, batch), token_nats(model, batch), rtol=1e-5, atol=0)
    with pytest.raises(ValueError, match="Masking"):
        masked_loss(model, Batch(rows, rows))


# ---------------------------------------------------------------- causal, and rows of documents


def test_next_token_predicts_every_token_but_the_first_and_no_padding():
    rows = torch.tensor([[1000, 5, 6, 1000], [1000, 7, 1000, PAD]])
    batch = NextToken(PAD)(rows, torch.Generator())
    assert batch.inputs.tolist() == [[1000, 5, 6], [1000, 7, 1000]]
    assert batch.targets[batch.mask].tolist() == [5, 6, 1000, 7, 1000]


DOCUMENTS = [[number] * (number % 9 + 1) for number in range(100)]


@settings(deadline=None, max_examples=40)
@given(B=st.integers(1, 40), seed=st.integers(0, 2**40))
def test_an_epoch_reads_documents_once_and_steps_can_be_asked_for_again(B, seed):
    rows = DocumentRows(DOCUMENTS, B, PAD, seed)
    for epoch in (0, 1):
        read = [row for step in range(len(rows)) for row in rows(epoch * len(rows) + step).tolist()]
        documents = [tuple(token for token in row if token != PAD) for row in read]
        assert len(set(documents)) == len(documents) == len(rows) * B
        assert set(documents) <= set(map(tuple, DOCUMENTS))
    assert torch.equal(rows(7), DocumentRows(DOCUMENTS, B, PAD, seed)(7))


def test_documents_of_similar_length_stand_together():
    lengths = torch.randint(5, 100, (2000,), generator=torch.Generator().manual_seed(0)).tolist()
    rows = DocumentRows([[1] * n for n in lengths], 16, PAD)
    padding = [float((rows(step) == PAD).double().mean()) for step in range(len(rows))]
    assert sum(padding) / len(padding) < 0.1  # in the order in which they came it would be about 0.45
    order = [rows(step).shape[1] for step in range(len(rows))]
    assert order != sorted(order)


def test_chance_is_drawn_from_seed_and_step():
    rows = DocumentRows([[1] * 50] * 64, 8, PAD)
    one, again, other = (objective_batches(rows, Masking(MASK, WORDS), seed) for seed in (0, 0, 1))
    assert torch.equal(one(3).mask, again(3).mask)
    assert not torch.equal(one(3).mask, other(3).mask)
    assert not torch.equal(one(3).mask, one(4).mask)


def test_rows_of_many_lengths_are_filled_up_to_few():
    documents = [[1] * n for n in range(3, 90)]
    plain, few = DocumentRows(documents, 4, PAD), DocumentRows(documents, 4, PAD, multiple=16)
    shapes = set()
    for step in range(40):
        whole, filled = plain(step), few(step)
        T = whole.shape[1]
        assert torch.equal(filled[:, :T], whole)
        assert (filled[:, T:] == PAD).all()
        assert (filled.shape[1] - 1) % 16 == 0
        assert filled.shape[1] - T < 16
        shapes.add(filled.shape[1])
    assert len(shapes) <= 6 < len({plain(step).shape[1] for step in range(40)})
    with pytest.raises(ValueError, match="multiple = 0"):
        DocumentRows(documents, 4, PAD, multiple=0)


def test_too_few_documents():
    with pytest.raises(ValueError, match="B = 3 rows of 2 documents"):
        DocumentRows([[1], [2]], 3, PAD)


def test_steps_of_ones_own_are_used():
    rows = torch.zeros(2, 4, dtype=torch.long)

    def every_second(eligible, dice, rate):
        return eligible & (torch.arange(4) % 2 == 0)

    def to_seven(ids, chosen, dice, others, mask):
        return torch.where(chosen, 7, ids)

    batch = Masking(MASK, WORDS, choose=every_second, corrupt=to_seven)(rows, torch.Generator())
    assert batch.inputs.tolist() == [[7, 0, 7, 0]] * 2
    model = Decoder(DecoderConfig(V=10, D=8, H=2, L=1, hidden=8))
    assert masked_loss(model, batch, nats=lambda hidden, table, targets, chosen: chosen.sum()) == 4
