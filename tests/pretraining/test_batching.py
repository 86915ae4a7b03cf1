"""Batches: a pure function of (seed, step, rank, world), and together the whole of the data."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import some_batches

from lablib.pretraining.batching import Batch, Batches, causal, epoch_order
from lablib.pretraining.shards import write_shard


@pytest.fixture(scope="module")
def two_shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return [write_shard(folder / f"{n}.bin", [range(start, start + n)], 1000) for start, n in ((0, 103), (500, 57))]


def expected_windows(shards, T) -> list[list[int]]:
    """By brute force: every T tokens, with the one behind them."""
    found = []
    for shard in shards:
        ids = shard.tokens.tolist()
        found += [ids[i : i + T + 1] for i in range(0, len(ids), T) if i + T + 1 <= len(ids)]
    return found


@settings(deadline=None, max_examples=40)
@given(T=st.integers(1, 50), B=st.integers(1, 12), seed=st.integers(0, 2**40), data=st.data())
def test_every_rank_has_its_own_rows_and_all_together_are_the_global_batch(two_shards, T, B, seed, data):
    world = data.draw(st.sampled_from([w for w in range(1, B + 1) if B % w == 0]))
    step = data.draw(st.integers(0, 100))
    alone = Batches(two_shards, T, B, seed)
    ranks = [Batches(two_shards, T, B, seed, rank, world) for rank in range(world)]
    together = torch.cat([batches(step).inputs for batches in ranks])
    assert torch.equal(together, alone(step).inputs)
    assert torch.equal(torch.cat([batches(step).targets for batches in ranks]), alone(step).targets)
    # disjoint: within an epoch no window is read by two
    windows = np.concatenate([batches.windows(step) for batches in ranks])
    if (step * B) // len(alone) == (step * B + B - 1) // len(alone):
        assert len(set(windows.tolist())) == B


@settings(deadline=None, max_examples=30)
@given(T=st.integers(1, 50), B=st.integers(1, 12), seed=st.integers(0, 9))
def test_an_epoch_reads_every_window_once(two_shards, T, B, seed):
    batches = Batches(two_shards, T, B, seed)
    expected = expected_windows(two_shards, T)
    assert len(batches) == len(expected)
    steps = -(-2 * len(batches) // B)
    read = [row for step in range(steps) for row in batches.rows(batches.windows(step)).tolist()]
    for epoch in (0, 1):
        assert sorted(read[epoch * len(batches) : (epoch + 1) * len(batches)]) == sorted(expected)


def test_the_order_changes_with_seed_and_epoch_and_nothing_else():
    orders = {(seed, epoch): tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(set(orders.values())) == 4
    epoch_order.cache_clear()
    assert tuple(epoch_order(50, 0, 1)) == orders[0, 1]
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(50, 0, 1)[0] = 3


def test_steps_may_be_asked_in_any_order(tmp_path):
    batches = some_batches(tmp_path)
    forwards = [batches(step).inputs for step in range(120)]
    assert all(torch.equal(batches(step).inputs, forwards[step]) for step in reversed(range(120)))


@given(rows=st.integers(1, 9), parts=st.integers(1, 12), masked=st.booleans())
def test_split_loses_nothing(rows, parts, masked):
    ids = torch.arange(rows * 4).view(rows, 4)
    mask = (ids % 3 > 0) if masked else None
    batch = causal(ids, mask)
    split = batch.split(parts)
    assert len(split) == min(parts, rows)
    assert torch.equal(torch.cat([part.inputs for part in split]), batch.inputs)
    assert torch.equal(torch.cat([part.targets for part in split]), batch.targets)
    assert sum(part.tokens for part in split) == batch.tokens == (int(mask[:, 1:].sum()) if masked else rows * 3)


def test_a_batch_moves_with_its_mask():
    moved = Batch(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[True, False]])).to(torch.device("meta"))
    assert {moved.inputs.device.type, moved.targets.device.type, moved.mask.device.type} == {"meta"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"T": 0}, "T = 0"),
        ({"B": 0}, "B = 0"),
        ({"world": 0}, "world = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"world": 3}, "B = 8 rows cannot be shared by world = 3"),
        ({"rank": 2, "world": 2}, r"rank = 2: expected 0 to world − 1 = 1"),
        ({"T": 6000}, r"shards hold \[6000\] tokens: expected one with at least T \+ 1 = 6001"),
    ],
)
def test_what_makes_no_batches(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(some_batches(tmp_path), **changes)


def test_shards_of_two_vocabularies(tmp_path):
    shards = [write_shard(tmp_path / f"{V}.bin", [range(9)], V) for V in (10, 11)]
    with pytest.raises(ValueError, match=r"vocabularies of \[10, 11\]"):
        Batches(shards, 2, 2)
