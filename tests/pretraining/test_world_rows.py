"""Rows drawn from the world: the same whenever they are asked for, and made of whole documents."""

import itertools
import math

import pytest
import torch

from lablib.corpus.world import World
from lablib.pretraining.world_loss import END
from lablib.pretraining.world_rows import WorldRows
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

TOKENIZER = course_tokenizer.load()
BOS = TOKENIZER.special[END]


def test_a_step_is_the_same_whenever_it_is_asked_and_no_two_are():
    rows = WorldRows(TOKENIZER, T=64, B=4, seed=5)
    later = rows(7)
    first = [rows(step) for step in range(3)]
    assert torch.equal(WorldRows(TOKENIZER, T=64, B=4, seed=5)(7).inputs, later.inputs)
    assert not any(torch.equal(one.inputs, later.inputs) for one in first)
    assert not torch.equal(WorldRows(TOKENIZER, T=64, B=4, seed=6)(7).inputs, later.inputs)


def test_each_row_is_documents_of_the_world_from_its_first_token_on():
    world, batch = World(), WorldRows(TOKENIZER, T=200, B=6)(0)
    assert batch.inputs.shape == batch.targets.shape == (6, 200)
    assert batch.mask is None
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    read = 0
    for row in batch.inputs.tolist():
        assert row[0] == BOS
        starts = [place for place, token in enumerate(row) if token == BOS]
        for start, end in itertools.pairwise(starts):
            assert world.log_prob(TOKENIZER.decode(row[start + 1 : end])) > -math.inf
            read += 1
    assert read >= 6  # 200 tokens hold at least one document, and most rows hold two


def test_wrong_sizes_and_tokenizers_are_named():
    with pytest.raises(ValueError, match="T = 0: expected a whole number >= 1"):
        WorldRows(TOKENIZER, T=0, B=1)
    with pytest.raises(ValueError, match=r"tokenizer has no '<\|bos\|>'"):
        WorldRows(Tokenizer.from_merges([]), T=8, B=1)
