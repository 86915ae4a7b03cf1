"""Revealing masks: against brute force, and a composed text has the distribution that it should have."""

from collections import Counter
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lablib.pretraining.unmasking import compose, fill, reveal, words_only

V, MASK = 5, 5


def some_logits(*shape: int, seed: int) -> torch.Tensor:
    logits = torch.randn(*shape, V + 1, generator=torch.Generator().manual_seed(seed))
    logits[..., MASK] = -torch.inf
    return logits


def by_brute_force(ids, logits, n):
    result = ids.tolist()
    for row, of in zip(result, logits, strict=True):
        chances = of.softmax(-1)
        places = sorted((p for p, token in enumerate(row) if token == MASK), key=lambda p: -float(chances[p].max()))
        for place in places[:n]:
            row[place] = int(of[place].argmax())
    return result


@settings(deadline=None, max_examples=100)
@given(B=st.integers(1, 4), T=st.integers(1, 9), n=st.integers(0, 10), seed=st.integers(0, 2**32))
def test_reveal_by_brute_force(B, T, n, seed):
    ids = torch.randint(V + 1, (B, T), generator=torch.Generator().manual_seed(seed))
    before = ids.clone()
    logits = some_logits(B, T, seed=seed)
    assert reveal(ids, logits, MASK, n).tolist() == by_brute_force(ids, logits, n)
    assert torch.equal(ids, before)


@pytest.mark.parametrize(("n", "passes"), [(1, 6), (2, 3), (4, 2), (10, 1)])
def test_fill_needs_as_many_passes_as_the_fullest_row(n, passes):
    asked = []

    def predict(ids):
        asked.append(ids.clone())
        return some_logits(*ids.shape, seed=len(asked))

    ids = torch.tensor([[MASK] * 6, [1, MASK, 2, 3, 0, 1]])
    filled = fill(predict, ids, MASK, n)
    assert len(asked) == passes
    assert (filled < V).all()
    assert filled[1, [0, 2, 3, 4, 5]].tolist() == [1, 2, 3, 0, 1]


def test_fill_would_never_end():
    with pytest.raises(ValueError, match="n = 0: expected at least 1"):
        fill(lambda ids: some_logits(*ids.shape, seed=0), torch.tensor([[MASK]]), MASK, 0)


class Pairs(torch.nn.Module):
    """Knows a distribution over pairs of tokens, and tells each token given the other, as a perfect masked model would."""

    def __init__(self) -> None:
        super().__init__()
        self.joint = torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).flatten().softmax(0).view(3, 3) ** 3
        self.joint /= self.joint.sum()

    def forward(self, ids):
        logits = torch.full((*ids.shape, 5), 3.0)  # special tokens 3 and 4, which it must never write
        for row, (a, b) in enumerate(ids.tolist()):
            logits[row, 0, :3] = (self.joint.sum(1) if b == 3 else self.joint[:, b]).log()
            logits[row, 1, :3] = (self.joint.sum(0) if a == 3 else self.joint[a]).log()
        return logits


@pytest.mark.parametrize("passes", [2, 1])
def test_a_composed_text_has_the_distribution_of_the_model(passes):
    model, n = Pairs(), 4000
    ids = compose(words_only(model, 3), torch.full((n, 2), 3), 3, passes, torch.Generator().manual_seed(1))
    found = Counter(map(tuple, ids.tolist()))
    # In one pass the two tokens do not know of each other: their distribution is the product of the marginals.
    joint = model.joint if passes == 2 else model.joint.sum(1, keepdim=True) * model.joint.sum(0, keepdim=True)
    every = list(product(range(3), repeat=2))
    expected = [n * float(joint[pair] / joint.sum()) for pair in every]
    expected[-1] = n - sum(expected[:-1])  # the sum is n to the last digit
    assert stats.chisquare([found[pair] for pair in every], expected).pvalue > 1e-6
    assert set(found) <= set(every)


@settings(deadline=None, max_examples=50)
@given(T=st.integers(1, 9), passes=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_compose_leaves_no_mask_and_changes_nothing_else(T, passes, seed):
    ids = torch.randint(V + 1, (3, T), generator=torch.Generator().manual_seed(seed))
    calls = []

    def predict(ids):
        calls.append(1)
        return some_logits(*ids.shape, seed=seed)

    written = compose(predict, ids, MASK, passes, torch.Generator().manual_seed(seed))
    assert (written < V).all()
    assert torch.equal(written[ids != MASK], ids[ids != MASK])
    assert len(calls) <= passes
