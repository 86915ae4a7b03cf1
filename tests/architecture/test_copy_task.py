"""The copy task: what its batches hold, that each reader is what it says, and that training learns."""

import pytest
import torch
from torch import nn

from lablib.architecture.copy_task import (
    AttentionReader,
    CopyModel,
    LSTMReader,
    RNNReader,
    copy_accuracy,
    copy_batch,
    train_copy,
)

V, D = 4, 16
READERS = {"rnn": RNNReader, "lstm": LSTMReader, "attention": AttentionReader}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("distance", [1, 2, 9])
def test_a_batch_is_a_marked_symbol_noise_and_a_question(distance):
    ids, symbol = copy_batch(500, V, distance, generator())
    assert ids.shape == (500, distance + 1)
    assert torch.equal(ids[:, 0], symbol + V)
    assert (ids[:, -1] == 2 * V).all()
    assert set(symbol.tolist()) == set(range(V))
    assert set(ids[:, 1:-1].flatten().tolist()) <= set(range(V))
    again, _ = copy_batch(500, V, distance, generator())
    assert torch.equal(ids, again)


def test_the_noise_tells_nothing_of_the_symbol():
    ids, symbol = copy_batch(40_000, V, 2, generator())
    joint = torch.zeros(V, V).index_put_((symbol, ids[:, 1]), torch.ones(40_000), accumulate=True) / 40_000
    torch.testing.assert_close(joint, torch.full((V, V), 1 / V**2), rtol=0.1, atol=0)


def test_a_batch_that_cannot_be_made_says_so():
    with pytest.raises(ValueError, match="distance = 0: expected at least 1, a question mark right behind the symbol"):
        copy_batch(2, V, 0, generator())
    with pytest.raises(ValueError, match="V = 1: expected at least 2 symbols, else there is nothing to remember"):
        copy_batch(2, 1, 3, generator())


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_recurrent_reader_is_torchs(kind):
    reader = READERS[kind](D)
    torchs = (nn.RNN if kind == "rnn" else nn.LSTM)(D, D, batch_first=True)
    with torch.no_grad():
        torchs.weight_ih_l0.copy_(reader.w_x.T)
        torchs.weight_hh_l0.copy_(reader.w_h.T)
        torchs.bias_ih_l0.copy_(reader.b)
        torchs.bias_hh_l0.zero_()
    x = torch.randn(3, 6, D)
    torch.testing.assert_close(reader(x), torchs(x)[0][:, -1], rtol=1e-5, atol=1e-6)


def test_weights_start_as_torchs_do():
    theirs, mine = nn.LSTM(64, 64), LSTMReader(64)
    for a, b in ((mine.w_x, theirs.weight_ih_l0), (mine.w_h, theirs.weight_hh_l0)):
        assert a.abs().max() <= 1 / 8
        assert a.std().item() == pytest.approx(b.std().item(), rel=0.05)
    assert torch.equal(mine.b.detach(), torch.cat((torch.zeros(64), torch.ones(64), torch.zeros(128))))
    assert torch.equal(LSTMReader(4, forget_bias=5.0).b.detach()[4:8], torch.full((4,), 5.0))


def test_the_readers_of_the_lab_are_of_about_the_same_size():
    models = [CopyModel(8, 64, RNNReader(64)), CopyModel(8, 32, LSTMReader(32)), CopyModel(8, 53, AttentionReader(53))]
    sizes = [sum(p.numel() for p in model.parameters()) for model in models]
    assert max(sizes) <= 1.1 * min(sizes)


@pytest.mark.parametrize("kind", READERS)
def test_a_reader_calls_the_function_that_it_is_given(kind):
    calls = []

    def spy(*args):
        calls.append(1)
        return default(*args)

    plain = READERS[kind](D)
    default = plain.look if kind == "attention" else plain.step
    spied = READERS[kind](D, look=spy) if kind == "attention" else READERS[kind](D, step=spy)
    spied.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, D)
    assert torch.equal(spied(x), plain(x))
    assert len(calls) == (1 if kind == "attention" else 5)


@pytest.mark.parametrize("kind", READERS)
def test_training_learns_and_repeats_itself(kind):
    def run():
        torch.manual_seed(1)
        model, draw = CopyModel(V, D, READERS[kind](D)), generator(1)
        before = copy_accuracy(model, V, 3, generator(2))
        losses = list(train_copy(model, V, 3, 120, draw, lr=1e-2))
        return before, losses, copy_accuracy(model, V, 3, generator(2))

    before, losses, after = run()
    assert before < 0.6
    assert after > 0.95
    assert run()[1] == losses


def test_without_clipping_the_first_step_is_torchs_adam():
    torch.manual_seed(1)
    model, twin = (CopyModel(V, D, RNNReader(D)) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    list(train_copy(model, V, 3, 1, generator(), lr=1e-2, max_norm=None))
    ids, symbol = copy_batch(64, V, 3, generator())
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    nn.functional.cross_entropy(twin(ids), symbol).backward()
    optimizer.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
