"""The models of the objectives: who sees whom, padding changes nothing, sizes and arithmetic are what is said."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.architecture.decoder import FAST, PLAIN, Decoder, DecoderConfig
from lablib.architecture.encoder_decoder import count
from lablib.pretraining.batching import Batch, causal
from lablib.pretraining.flops import per_token
from lablib.pretraining.loss import token_nats
from lablib.pretraining.objective_models import Bidirectional, EncoderDecoder, like_decoder, step_flops
from lablib.pretraining.objectives import masked_loss
from lablib.pretraining.optimisers import hidden_matrices
from lablib.pretraining.span_corruption import span_loss

PAD = 39
CONFIG = DecoderConfig(V=40, D=24, H=2, L=2, hidden=64, context=32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_ids(B: int, T: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(PAD, (B, T), generator=generator(seed))


@torch.no_grad()
def influence(call, ids: torch.Tensor) -> torch.Tensor:
    """(T, T): does changing token s (column) change the output at t (row)?"""
    T = ids.shape[1]
    before = call(ids)[0]
    found = torch.zeros(T, T, dtype=torch.bool)
    for s in range(T):
        changed = ids.clone()
        changed[0, s] = (changed[0, s] + 1) % PAD
        found[:, s] = (call(changed)[0] - before).abs().amax(dim=1) > 1e-7
    return found


def test_every_token_sees_every_other():
    encoder = Bidirectional(CONFIG, PAD, generator=generator())
    assert influence(encoder.hidden, some_ids(1, 6)).all()
    decoder = Decoder(CONFIG, generator=generator())
    assert torch.equal(influence(decoder.hidden, some_ids(1, 6)), torch.ones(6, 6, dtype=torch.bool).tril())


def test_an_encoder_is_a_decoder_with_another_mask():
    encoder, decoder = Bidirectional(CONFIG, PAD, generator=generator()), Decoder(CONFIG, generator=generator())
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), decoder.parameters(), strict=True))
    ids = some_ids(3, 1)  # of one token, both see the same
    torch.testing.assert_close(encoder(ids), decoder(ids))
    last = some_ids(3, 5)  # in one layer, the last token sees all in both
    one = DecoderConfig(V=40, D=24, H=2, L=1, hidden=64)
    encoder, decoder = Bidirectional(one, PAD, generator=generator()), Decoder(one, generator=generator())
    torch.testing.assert_close(encoder(last)[:, -1], decoder(last)[:, -1], rtol=1e-5, atol=1e-6)


def test_the_fast_parts_and_the_plain_ones_agree():
    fast, plain = (Bidirectional(CONFIG, PAD, parts, generator()) for parts in (FAST, PLAIN))
    ids = some_ids(2, 7)
    torch.testing.assert_close(fast(ids), plain(ids), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(T=st.integers(1, 8), padding=st.integers(1, 6), seed=st.integers(0, 1000))
def test_padding_changes_nothing(T, padding, seed):
    ids = some_ids(2, T, seed)
    more = torch.cat((ids, torch.full((2, padding), PAD)), dim=1)
    encoder = Bidirectional(CONFIG, PAD, generator=generator())
    both = EncoderDecoder(like_decoder(CONFIG), PAD, start=0, generator=generator())
    with torch.no_grad():
        torch.testing.assert_close(encoder.hidden(more)[:, :T], encoder.hidden(ids), rtol=1e-4, atol=1e-5)
        target = some_ids(2, 4, seed + 1)
        torch.testing.assert_close(both(more, target), both(ids, target), rtol=1e-4, atol=1e-5)


def test_a_target_sees_all_of_the_source_and_what_is_before_it():
    model = EncoderDecoder(like_decoder(CONFIG), PAD, start=0, generator=generator())
    source, target = some_ids(1, 5), some_ids(1, 5, 2)
    assert influence(lambda ids: model(ids, target), source).all()
    assert torch.equal(influence(lambda ids: model(source, ids), target), torch.ones(5, 5, dtype=torch.bool).tril())
    assert influence(lambda ids: model.encode(ids)[0], source).all()


def test_last_only_is_the_last_column():
    model = EncoderDecoder(like_decoder(CONFIG), PAD, start=0, generator=generator())
    memory, look = model.encode(some_ids(2, 5))
    target = some_ids(2, 3, 2)
    with torch.no_grad():
        torch.testing.assert_close(
            model.decode(target, memory, look, last_only=True), model.decode(target, memory, look)[:, -1:]
        )


@pytest.mark.parametrize(("D", "L"), [(24, 2), (96, 4), (48, 6)])
def test_the_encoder_decoder_has_as_many_parameters(D, L):
    config = DecoderConfig(V=100, D=D, H=2, L=L, hidden=3 * D)
    decoder = Decoder(config)
    both = EncoderDecoder(like_decoder(config), 0, 1)
    matrices = [sum(w.numel() for w in hidden_matrices(model).values()) for model in (decoder, both)]
    assert matrices[0] == matrices[1]
    assert count(both) - count(decoder) == D * (
        L // 2 + 1
    )  # its norms: one more in each writing block, and one more at the end


def step_by_hand(model, T: int, predictions: int) -> int:
    """6 FLOPs for each weight that a token passes, and 12·D for each pair of tokens in each layer."""
    matrices = sum(weight.numel() for weight in hidden_matrices(model).values())
    return 6 * matrices * T + 12 * CONFIG.L * CONFIG.D * T * T + 6 * CONFIG.V * CONFIG.D * predictions


def test_flops_of_the_causal_and_the_masked_step():
    B, T = 3, 8
    batch = causal(some_ids(B, T + 1))
    decoder = Decoder(CONFIG)
    assert step_flops(decoder, batch, token_nats) == B * step_by_hand(decoder, T, T)
    norms = CONFIG.D * (2 * CONFIG.L + 1)
    assert step_flops(decoder, batch, token_nats) == B * T * (
        per_token(CONFIG, T) - 6 * norms
    )  # the vectors are no matrices
    chosen = torch.zeros(B, T, dtype=torch.bool)
    chosen[:, :2] = True
    encoder = Bidirectional(CONFIG, PAD)
    assert step_flops(encoder, Batch(batch.inputs, batch.inputs, chosen), masked_loss) == B * step_by_hand(
        encoder, T, 2
    )
    assert all(weight.grad is None for weight in encoder.parameters())


def test_flops_of_the_encoder_decoder():
    B, S, T = 2, 9, 4
    config = like_decoder(CONFIG)
    model = EncoderDecoder(config, PAD, start=0)
    D, block = config.D, 4 * config.D**2 + 3 * config.D * config.hidden
    half = config.L // 2
    weights = half * (block * S + block * T + 2 * D * D * (S + T)) + config.V * D * T  # cross: k, v of S, q, out of T
    pairs = half * (S * S + T * T + S * T)
    expected = B * (6 * weights + 12 * D * pairs)
    batch = Batch(some_ids(B, S), some_ids(B, T, 2))
    assert step_flops(model, batch, span_loss) == expected


def test_errors():
    with pytest.raises(ValueError, match="L = 3: expected an even number"):
        EncoderDecoder(DecoderConfig(V=40, D=24, H=2, L=3), PAD, 0)
    with pytest.raises(ValueError, match="hidden = 8"):
        like_decoder(DecoderConfig(V=40, D=24, H=2, L=2, hidden=8))
    encoder = Bidirectional(CONFIG, PAD)
    with pytest.raises(ValueError, match="cache given"):
        encoder.hidden(some_ids(1, 3), cache=encoder.new_cache(1, 4))
    model = EncoderDecoder(CONFIG, PAD, 0)
    with pytest.raises(ValueError, match="source holds"):
        model(torch.tensor([[40]]), torch.tensor([[1]]))
