"""The wrapper around an encoder: against equation 1 by hand, its blindness without positions, and a fit of a tiny problem."""

import pytest
import torch
from torch import nn

from lablib.architecture import encoder_decoder
from lablib.architecture.encoder_decoder import Encoder, attention_maps
from lablib.architecture.layers import pre_norm
from lablib.architecture.positions import LearnedPositions
from lablib.architecture.reader import (
    Reader,
    Split,
    accuracy,
    first,
    mean_pool,
    minibatches,
    predict,
    train,
)

P, D, H, C, S = 3, 8, 2, 4, 5


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def reader(**options) -> Reader:
    return Reader(nn.Linear(P, D), Encoder(2, D, H, 16, pre_norm, final_norm=True), nn.Linear(D, C), **options)


def test_the_encoder_is_the_one_of_text_untouched():
    model = reader()
    assert type(model.encoder) is encoder_decoder.Encoder
    translate = encoder_decoder.Transformer(encoder_decoder.TransformerConfig(V=9, D=D, H=H, L=2, hidden=16))
    assert {name: p.shape for name, p in Encoder(2, D, H, 16).named_parameters()} == {
        name: p.shape for name, p in translate.encoder.named_parameters()
    }


@pytest.mark.parametrize("token", [False, True])
def test_forward_is_the_papers_equations(token):
    positions = LearnedPositions(S + token, D, scale=1.0)
    options = {"pool": first, "class_token": torch.randn(D)} if token else {}
    model, pieces = reader(positions=positions, **options), torch.randn(2, S, P)
    rows = [model.into.weight @ piece + model.into.bias for piece in pieces[1]]  # equation 1, one piece at a time
    if token:
        rows.insert(0, model.class_token)
    x = torch.stack(rows) + positions.weight
    x = model.encoder(x[None])[0]
    gathered = x[0] if token else sum(x) / S
    expected = model.out.weight @ gathered + model.out.bias
    torch.testing.assert_close(model(pieces)[1], expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_without_positions_the_order_of_the_pieces_is_lost_and_with_them_it_counts():
    pieces, order = torch.randn(2, S, P), torch.tensor([4, 0, 3, 1, 2])
    blind, sighted = reader(), reader(positions=LearnedPositions(S, D, scale=1.0))
    torch.testing.assert_close(blind(pieces[:, order]), blind(pieces), rtol=1e-5, atol=1e-5)
    assert (sighted(pieces[:, order]) - sighted(pieces)).abs().max() > 1e-2


def test_a_class_token_looks_at_every_piece():
    model = reader(pool=first, class_token=torch.zeros(D))
    (map_1, map_2) = attention_maps(model, "attention", torch.randn(2, S, P))
    assert map_1.shape == map_2.shape == (2, H, 1 + S, 1 + S)
    torch.testing.assert_close(map_2.sum(dim=-1), torch.ones(2, H, 1 + S))


def test_pools():
    x = torch.tensor([[[1.0, 2.0], [5.0, 6.0]]])
    assert mean_pool(x).tolist() == [[3.0, 4.0]]
    assert first(x).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("shape", [(S, P), (0, S, P), (2, 0, P), (2, 1, S, P)])
def test_what_is_no_batch_of_sequences_is_refused(shape):
    with pytest.raises(ValueError, match=r"pieces has shape .*expected \(B, S, P\).*vision.patches") as error:
        reader()(torch.zeros(shape))
    assert str(shape) in str(error.value)


def test_minibatches_see_every_example_once_a_pass_and_depend_on_the_generator_alone():
    x = torch.arange(10)

    def one_pass(seed: int) -> list[list[int]]:
        stream = minibatches(x, x * 2, 5, torch.Generator().manual_seed(seed))
        batches = [next(stream) for _ in range(4)]
        assert all(torch.equal(y, 2 * x) for x, y in batches)
        return [x.tolist() for x, _ in batches]

    batches = one_pass(0)
    assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == list(range(10))
    assert batches == one_pass(0) != one_pass(1)


@pytest.mark.parametrize("B", [0, 11])
def test_a_batch_larger_than_the_data_is_refused(B):
    with pytest.raises(ValueError, match=f"B = {B}: expected 1 to 10, the number of examples"):
        next(minibatches(torch.zeros(10), torch.zeros(10), B, torch.Generator()))


@pytest.mark.parametrize("rows", [(3, 2), (0, 0)])
def test_a_split_whose_rows_do_not_match_is_refused(rows):
    x, y = torch.zeros(rows[0], 2), torch.zeros(rows[1])
    with pytest.raises(ValueError, match=rf"train_x has {rows[0]} rows and train_y has {rows[1]}: expected the same"):
        Split(x, y, torch.zeros(1, 2), torch.zeros(1))


def test_training_learns_a_question_of_order_and_accuracy_counts():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, S, P, generator=generator)
    y = (x[:, 0, 0] > x[:, -1, 0]).long()  # is the first piece larger than the last?
    model = reader(positions=LearnedPositions(S, D, scale=0.5))
    losses = list(train(model, minibatches(x, y, 64, generator), steps=100, lr=1e-2))
    assert len(losses) == 100
    assert abs(losses[0] - torch.tensor(float(C)).log().item()) < 0.7  # a fresh model guesses among C classes
    assert sum(losses[-10:]) / 10 < 0.3
    guesses = predict(model, x, B=100)
    assert guesses.shape == (256, C)
    assert accuracy(model, x, y) == pytest.approx(sum(guesses.argmax(1) == y).item() / 256)
    assert accuracy(model, x, y) > 0.85


def test_reading_is_without_dropout_and_training_turns_it_on_again():
    encoder = Encoder(1, D, H, 16, pre_norm, 0.5, True)
    model = Reader(nn.Linear(P, D), encoder, nn.Linear(D, C))
    x, y = torch.randn(8, S, P), torch.zeros(8, dtype=torch.long)
    assert torch.equal(predict(model, x), predict(model, x, B=8))
    losses = train(model, iter([(x, y), (x, y)]), 2, lr=0.0)
    first_loss = next(losses)
    predict(model, x)  # in the middle of the training
    assert next(losses) != first_loss  # another draw of dropout on the same weights


def test_training_takes_any_loss():
    x = torch.randn(64, S, P)
    y = x.mean(dim=1) @ torch.randn(P, C)
    model = reader()
    batches = minibatches(x, y, 32, torch.Generator().manual_seed(0))
    losses = list(train(model, batches, 80, 1e-2, nn.functional.l1_loss))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
