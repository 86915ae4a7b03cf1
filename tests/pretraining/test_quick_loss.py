"""The quick loss against the plain one, and so against PyTorch's cross-entropy."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import V, recipe, small_model, some_batches
from torch import nn

from lablib.pretraining.batching import Batch
from lablib.pretraining.loss import ROWS, quick_token_nats, token_nats
from lablib.pretraining.training import train


class Logits(nn.Module):
    """A model whose weights are its logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.logits


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, ROWS + 7), st.integers(1, 9), st.sampled_from([0.0, 1.0, 1e4]), st.booleans(),
    st.integers(0, 999),
)  # fmt: skip
def test_loss_and_gradient_are_those_of_the_plain_one(B, T, vocabulary, size, masked, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = size * torch.randn(B, T, vocabulary, generator=generator)
    targets = torch.randint(vocabulary, (B, T), generator=generator)
    mask = torch.rand(B, T, generator=generator) < 0.5 if masked else None
    batch, models = Batch(targets, targets, mask), [Logits(logits), Logits(logits)]
    quick, plain = (loss(model, batch) for loss, model in zip((quick_token_nats, token_nats), models, strict=True))
    assert quick.dtype == torch.float32
    torch.testing.assert_close(quick, plain, rtol=1e-5, atol=1e-6 * (1 + size))
    for nats in (quick, plain):
        (0.3 * nats).backward()
    torch.testing.assert_close(models[0].logits.grad, models[1].logits.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_with_it_is_the_same_run(tmp_path, dtype):
    losses = []
    for loss in (quick_token_nats, token_nats):
        steps = train(small_model(), some_batches(tmp_path), recipe(steps=30, dtype=dtype), loss=loss)
        losses.append([step.loss for step in steps])
    assert losses[0][-1] < losses[0][0] - 0.05  # it learns
    assert losses[0] == pytest.approx(losses[1], rel=1e-5 if dtype == "float32" else 2e-3)


def test_the_gradient_of_bfloat16_logits_is_bfloat16():
    model = Logits(torch.randn(2, 3, V).bfloat16())
    batch = Batch(torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.long))
    quick_token_nats(model, batch).backward()
    assert model.logits.grad.dtype == torch.bfloat16
