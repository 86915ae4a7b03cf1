"""The loss: nats per token and bits per byte, by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import T, V, documents, small_model, some_shard
from torch import nn

from lablib.pretraining.batching import Batch
from lablib.pretraining.loss import Evaluation, evaluate, token_nats
from lablib.pretraining.shards import write_shard, write_texts


class Table(nn.Module):
    """The next token depends on the last one only, by a table of probabilities."""

    def __init__(self, probabilities: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(probabilities).log())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids]


def test_bits_per_byte_by_hand(tmp_path):
    # Three tokens: 0 ends a text, 1 is "a", 2 is "bc". The text "abca" is 0 1 2 1 0, of 4 bytes.
    shard = write_texts(tmp_path / "a.bin", ["abca"], lambda text: [1, 2, 1], 3, end=0)
    model = Table([[0.25, 0.5, 0.25], [0.25, 0.25, 0.5], [0.25, 0.5, 0.25]])
    found = evaluate(model, shard, T=2, B=1)
    # 0→1: 1/2, 1→2: 1/2, 2→1: 1/2, 1→0: 1/4: five bits in four tokens and four bytes
    assert found.tokens == 4
    assert found.nats_per_token == pytest.approx(5 * math.log(2) / 4, rel=1e-6)
    assert found.bits_per_byte == pytest.approx(5 / 4, rel=1e-6)
    assert found.perplexity == pytest.approx(2 ** (5 / 4), rel=1e-6)
    # the first half: two bits in two tokens, which have half of the bytes
    half = evaluate(model, shard, T=2, limit=2)
    assert (half.tokens, half.bits_per_byte) == (2, pytest.approx(1.0, rel=1e-6))


@settings(deadline=None, max_examples=25)
@given(n=st.integers(2, 60), length=st.integers(1, 20), B=st.integers(1, 9), limit=st.none() | st.integers(1, 80))
def test_every_token_is_predicted_once_in_windows_from_the_start(tmp_path_factory, n, length, B, limit):
    ids = [token for document in documents(2) for token in document][:n]
    shard = write_shard(tmp_path_factory.mktemp("shard") / "a.bin", [ids], V)
    model = small_model()
    found = evaluate(model, shard, length, B, limit)
    most = n - 1 if limit is None else min(n - 1, math.ceil(limit / length) * length)
    total = 0.0
    for start in range(0, most, length):  # by brute force: a window at a time
        window = torch.tensor([ids[start : min(start + length, most) + 1]])
        logp = model(window[:, :-1]).log_softmax(-1)
        total -= logp.gather(-1, window[:, 1:, None]).sum().item()
    assert found.tokens == most
    assert found.nats_per_token == pytest.approx(total / most, rel=1e-5)
    assert found.bits_per_byte is None  # nobody counted the bytes


def test_bfloat16_is_near_and_the_mode_of_the_model_comes_back(tmp_path):
    shard, model = some_shard(tmp_path), small_model().eval()
    exact, rough = (evaluate(model, shard, T, dtype=dtype).nats_per_token for dtype in ("float32", "bfloat16"))
    assert rough != exact
    assert rough == pytest.approx(exact, rel=1e-3)
    assert not model.training
    evaluate(model.train(), shard, T)
    assert model.training


def test_dropout_is_off(tmp_path):
    from pretraining_helpers import Dropping

    shard, model = some_shard(tmp_path), Dropping().train()
    assert evaluate(model, shard, T, limit=200) == evaluate(model, shard, T, limit=200)


def test_another_loss_may_be_given(tmp_path):
    def twice(model, batch):
        return 2 * token_nats(model, batch)

    shard, model = some_shard(tmp_path), small_model()
    once, double = (evaluate(model, shard, T, limit=100, loss=loss) for loss in (token_nats, twice))
    assert double.nats_per_token == pytest.approx(2 * once.nats_per_token)
    assert double.bits_per_byte == pytest.approx(2 * once.bits_per_byte)


def test_nothing_to_predict(tmp_path):
    shard = write_shard(tmp_path / "a.bin", [[1]], V)
    with pytest.raises(ValueError, match="a shard of 1 tokens: expected one prediction at least"):
        evaluate(small_model(), shard, T)
    with pytest.raises(ValueError, match="T = 0"):
        evaluate(small_model(), some_shard(tmp_path), 0)


def test_token_nats_counts_what_the_mask_says():
    model, ids = small_model(), torch.randint(V, (3, 9), generator=torch.Generator().manual_seed(0))
    logp = model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    mask = torch.rand(3, 8, generator=torch.Generator().manual_seed(1)) < 0.4
    assert token_nats(model, Batch(ids[:, :-1], ids[:, 1:])).item() == pytest.approx(-logp.sum().item(), rel=1e-5)
    assert token_nats(model, Batch(ids[:, :-1], ids[:, 1:], mask)).item() == pytest.approx(
        -logp[mask].sum().item(), rel=1e-5
    )


def test_a_perplexity_beyond_all_numbers_is_a_number():
    assert math.isfinite(Evaluation(1e5, None, 1).perplexity)
