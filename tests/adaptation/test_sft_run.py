"""The batches and a run, small: the same for the same seed, resumed bit for bit, learns the answers and leaves the base model alone."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch

from lablib.adaptation.chat import Conversation, Turn
from lablib.adaptation.loss_mask import answer_nats, encode
from lablib.adaptation.packing import packed_loss
from lablib.adaptation.sft import RECIPE, Drawn, FromSet, loss_of, prepared, tuned
from lablib.adaptation.sft_data import CLEAN, NOISY, fixed_set, without
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining.training import train
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
BOS, PAD, STOP, ASSISTANT = (TOKENIZER.special[name] for name in ("<|bos|>", "<|pad|>", "<|end|>", "<|assistant|>"))
CONFIG = DecoderConfig(V=TOKENIZER.V, D=32, H=2, L=2, hidden=64, context=256)
SHORT = replace(RECIPE, steps=6, batch=4, context=192, dtype="float32")


def small() -> Decoder:
    return Decoder(CONFIG, generator=torch.Generator().manual_seed(0))


def rows_of(batch):
    """The conversations of a batch, as sets of tokens."""
    found = []
    for row, last in zip(batch.inputs.tolist(), batch.targets[:, -1].tolist(), strict=True):
        ids = [token for token in [*row, last] if token != PAD]
        starts = [*(i for i, token in enumerate(ids) if token == BOS), len(ids)]
        found += [tuple(ids[a:b]) for a, b in itertools.pairwise(starts)]
    return sorted(found)


# ---------------------------------------------------------------- batches


def test_a_step_is_the_same_whenever_it_is_asked_for():
    data = Drawn(TOKENIZER, n=16, T=256)
    third, first = data(3), data(0)
    assert torch.equal(third.inputs, data(3).inputs)
    assert torch.equal(third.mask, Drawn(TOKENIZER, n=16, T=256)(3).mask)
    assert rows_of(first) != rows_of(third) != rows_of(Drawn(TOKENIZER, n=16, T=256, seed=1)(3))
    assert len(rows_of(first)) == len(rows_of(third)) == 16
    assert third.inputs.shape[1] == 256


def test_no_conversation_is_read_twice_in_a_short_run():
    data = Drawn(TOKENIZER, n=32, T=256)
    seen = [row for step in range(12) for row in rows_of(data(step))]
    assert len(set(seen)) > 0.9 * len(seen)


def test_settings_of_the_data_reach_it():
    quiet = Drawn(TOKENIZER, n=32, T=256, only=without("sum"))
    noisy = Drawn(TOKENIZER, n=32, T=256, mixture=NOISY)
    assert rows_of(quiet(0)) != rows_of(noisy(0)) != rows_of(Drawn(TOKENIZER, n=32, T=256)(0))
    for name in ("n", "T"):
        with pytest.raises(ValueError, match=f"{name} = 0: expected a whole number >= 1"):
            Drawn(TOKENIZER, **{"n": 1, "T": 1, name: 0})


def test_a_set_is_read_whole_in_each_epoch():
    encoded = prepared(fixed_set(40, CLEAN), TOKENIZER, 200)
    data = FromSet(encoded, n=8, T=200, pad=PAD)
    assert data.steps(3) == 15
    for epoch in range(3):
        seen = sorted(row for step in range(5 * epoch, 5 * epoch + 5) for row in rows_of(data(step)))
        assert seen == sorted(tuple(one.ids) for one in encoded)
    assert rows_of(data(0)) != rows_of(data(5))
    assert rows_of(data(0)) != rows_of(FromSet(encoded, n=8, T=200, pad=PAD, seed=1)(0))
    assert torch.equal(data(2).targets, data(2).targets)


def test_what_is_too_long_is_left_out_and_otherwise_named():
    talks = [
        Conversation((Turn("user", "Hi"), Turn("assistant", "word " * n))) for n in (1, 5, 50)
    ]  # fmt: skip
    assert len(prepared(talks, TOKENIZER, 20)) == 2
    with pytest.raises(ValueError, match=r"expected at least one, and none longer than T \+ 1 = 21"):
        FromSet([encode(talk, TOKENIZER) for talk in talks], n=2, T=20, pad=PAD)
    with pytest.raises(ValueError, match="encoded has 0 conversations"):
        FromSet([], n=2, T=20, pad=PAD)


# ---------------------------------------------------------------- a run


def test_a_run_that_is_cut_off_goes_on_to_the_same_weights(tmp_path):
    data = Drawn(TOKENIZER, SHORT.batch, SHORT.context)
    whole = small()
    losses = [step.loss for step in train(whole, data, SHORT, loss=loss_of(TOKENIZER))]
    cut = small()
    for step in train(cut, data, SHORT, loss=loss_of(TOKENIZER), folder=tmp_path, every=2):
        if step.step == 4:
            break
    again = small()
    rest = [step.loss for step in train(again, data, SHORT, loss=loss_of(TOKENIZER), folder=tmp_path, every=2)]
    assert rest == losses[4:]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_tuning_leaves_the_base_alone_and_learns_the_answers():
    base = small()
    before = copy.deepcopy(base.state_dict())
    encoded = prepared(fixed_set(12, replace(CLEAN, critique=0), seed=3), TOKENIZER, 192)
    data = FromSet(encoded, n=12, T=192, pad=PAD)
    losses = []
    recipe = replace(SHORT, steps=150, batch=12, lr=5e-3)
    model = tuned(base, data, recipe, TOKENIZER, watch=lambda step: losses.append(step.loss))
    assert not model.training
    assert len(losses) == 150
    for name, weight in base.state_dict().items():
        assert torch.equal(weight, before[name])
    assert losses[0] > 8
    assert losses[-1] < 0.2
    # what it learned is the answers, and where they end; what the user says it cannot tell
    batch = data(0)
    counts = batch.mask
    with torch.no_grad():
        from lablib.adaptation.packing import packed_hidden, segments_of

        hidden = packed_hidden(model, batch.inputs, segments_of(batch.inputs, BOS))
        logits = hidden @ model.embedding.weight.T
    right = logits.argmax(-1) == batch.targets
    assert right[counts].float().mean() > 0.95
    words = ~counts & (batch.targets != PAD) & (batch.targets < PAD)
    assert right[words].float().mean() < 0.3
    assert (batch.targets[counts] == STOP).sum() >= 12
    assert not bool((batch.targets[counts] == ASSISTANT).any())


def test_the_learners_loss_makes_the_same_run():
    data = Drawn(TOKENIZER, SHORT.batch, SHORT.context)
    quick, own = small(), small()
    mine = [step.loss for step in train(own, data, SHORT, loss=packed_loss(BOS, answer_nats))]
    assert mine == pytest.approx([step.loss for step in train(quick, data, SHORT, loss=loss_of(TOKENIZER))], rel=1e-4)


def test_the_loss_of_a_step_is_the_mean_over_answer_tokens():
    data, model = Drawn(TOKENIZER, SHORT.batch, SHORT.context), small()
    batch = data(0)
    with torch.no_grad():
        expected = packed_loss(BOS)(model, batch).item() / int(batch.mask.sum())
    first = next(iter(train(model, data, SHORT, loss=loss_of(TOKENIZER))))
    assert first.loss == pytest.approx(expected, rel=1e-5)
    assert first.tokens == int(batch.mask.sum())
    halves = replace(SHORT, accumulation=2)
    again = next(iter(train(small(), data, halves, loss=loss_of(TOKENIZER))))
    assert again.loss == pytest.approx(expected, rel=1e-5)
    assert again.gradient_norm == pytest.approx(first.gradient_norm, rel=1e-4)
