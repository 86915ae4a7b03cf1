"""The pieces that lab 07 has learners write, on their own: accumulation against autograd on the whole batch, bits per byte by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import V, small_model, some_batches

from lablib.pretraining.batching import causal, windows_of
from lablib.pretraining.loss import bits_per_byte, token_nats
from lablib.pretraining.training import accumulate


def gradient(model) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 7), parts=st.integers(1, 7), share=st.floats(0.2, 1.0), seed=st.integers(0, 99))
def test_in_parts_it_is_the_gradient_of_the_mean_over_all_tokens(rows, parts, share, seed):
    generator, model = torch.Generator().manual_seed(seed), small_model()
    mask = torch.rand(rows, 10, generator=generator) < share
    mask[0, 1] = True
    batch = causal(torch.randint(V, (rows, 10), generator=generator), mask)
    logp = model(batch.inputs).log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
    mean = -logp[batch.mask].mean()  # by autograd, in one piece
    mean.backward()
    whole = gradient(model)
    model.zero_grad()
    nats = accumulate(batch.split(parts), lambda part: token_nats(model, part), batch.tokens)
    assert nats == pytest.approx(mean.item() * batch.tokens, rel=1e-5)
    assert (gradient(model) - whole).norm() < 1e-5 * whole.norm()


def test_it_adds_to_what_is_there_and_frees_each_part():
    model, batch = small_model(), causal(torch.arange(24).reshape(4, 6) % V)
    open_graphs = []

    def nats_of(part):
        assert not open_graphs, "the part before has had its backward pass"
        nats = token_nats(model, part)
        open_graphs.append(nats)
        nats.register_hook(lambda _: open_graphs.clear())
        return nats

    accumulate(batch.split(4), nats_of, batch.tokens)
    once = gradient(model)
    accumulate(batch.split(2), nats_of, batch.tokens)
    assert torch.allclose(gradient(model), 2 * once, rtol=1e-4, atol=1e-6 * once.abs().max().item())


def test_windows_are_the_ones_that_batches_read(tmp_path):
    batches = some_batches(tmp_path, B=6, seed=3)
    for step in (0, 1, len(batches) // 6, 5000):
        numbers = windows_of(step, len(batches), 6, seed=3)
        assert torch.equal(batches(step).inputs, batches.rows(numbers)[:, :-1])
        halves = [windows_of(step, len(batches), 6, 3, rank, 2) for rank in (0, 1)]
        assert np.array_equal(np.concatenate(halves), numbers)


def test_bits_per_byte_of_a_fair_coin():
    assert bits_per_byte(100 * math.log(2), 100) == pytest.approx(1.0, rel=1e-12)  # 100 bytes, each one of two
    assert bits_per_byte(10 * math.log(256), 10) == pytest.approx(8.0, rel=1e-12)
