"""Replay: the new batch is untouched, the old rows are whole documents that every token of is learned, and forgetting is less."""

from dataclasses import replace
from itertools import islice
from random import Random

import pytest
import torch

from lablib.adaptation.chat import BEGIN
from lablib.adaptation.packing import packed_loss
from lablib.adaptation.replay import Replayed
from lablib.adaptation.sft import RECIPE, Drawn, tuned
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world import World
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
BOS = TOKENIZER.special[BEGIN]
T = 128


def small() -> Decoder:
    config = DecoderConfig(V=TOKENIZER.V, D=32, H=2, L=1, hidden=64, context=T)
    return Decoder(config, generator=torch.Generator().manual_seed(0))


def nats(model: Decoder, batch) -> float:
    with torch.no_grad():
        return packed_loss(BOS)(model, batch).item()


def test_the_conversations_stand_first_and_as_they_were():
    data = Drawn(TOKENIZER, n=16, T=T)
    batch, plain = Replayed(data, 2, TOKENIZER, T)(3), data(3)
    assert len(batch.inputs) == len(plain.inputs) + 2
    for name in ("inputs", "targets", "mask"):
        assert torch.equal(getattr(batch, name)[:-2], getattr(plain, name)), name
    assert Replayed(data, 0, TOKENIZER, T)(3).tokens == plain.tokens


def test_the_rows_below_are_the_worlds_documents():
    old = Replayed(Drawn(TOKENIZER, n=2, T=T), 3, TOKENIZER, T, seed=5).documents(7)
    texts = [document.text for document in islice(World().documents(Random("replay 5 7")), 40)]
    assert old.inputs.shape == (3, T)
    assert old.tokens == 3 * T
    assert torch.equal(old.inputs[:, 1:], old.targets[:, :-1])
    whole = 0
    for row in old.inputs.tolist():
        assert row[0] == BOS
        starts = [at for at, token in enumerate(row) if token == BOS]
        for at, end in zip(starts, [*starts[1:], None], strict=True):
            text = TOKENIZER.decode(row[at + 1 : end])
            whole += text in texts
            assert any(one.startswith(text) for one in texts)
    assert whole >= 2


def test_a_step_reads_the_same_documents_again_and_another_step_others():
    data = Replayed(Drawn(TOKENIZER, n=2, T=T), 1, TOKENIZER, T)
    assert torch.equal(data(4).inputs, data(4).inputs)
    assert not torch.equal(data.documents(4).inputs, data.documents(5).inputs)
    assert not torch.equal(data.documents(4).inputs, Replayed(data.data, 1, TOKENIZER, T, seed=1).documents(4).inputs)


def test_the_loss_is_the_sum_of_both_and_no_row_sees_another():
    data = Drawn(TOKENIZER, n=8, T=T)
    both = Replayed(data, 2, TOKENIZER, T)
    model = small()
    assert nats(model, both(0)) == pytest.approx(nats(model, data(0)) + nats(model, both.documents(0)), rel=1e-5)


def test_it_forgets_less():
    """A little model reads documents, is then tuned with and without them, and is judged on others."""
    recipe = replace(RECIPE, steps=60, batch=8, context=T, lr=1e-2, dtype="float32")
    data = Drawn(TOKENIZER, n=8, T=T)
    old = Replayed(data, 4, TOKENIZER, T, seed=9)
    base = tuned(small(), old.documents, recipe, TOKENIZER)
    judged = old.documents(1000)
    before, alone, both = (
        nats(model, judged) / judged.tokens
        for model in (
            base,
            tuned(base, data, recipe, TOKENIZER),
            tuned(base, Replayed(data, 1, TOKENIZER, T), recipe, TOKENIZER),
        )
    )
    assert alone > before + 0.5
    assert both < alone - 0.4


@pytest.mark.parametrize(("wrong", "message"), [({"rows": -1}, "rows = -1"), ({"T": 0}, "T = 0")])
def test_sizes_that_make_no_sense(wrong, message):
    given = {"data": Drawn(TOKENIZER, n=2, T=T), "rows": 1, "tokenizer": TOKENIZER, "T": T} | wrong
    with pytest.raises(ValueError, match=message):
        Replayed(**given)
