"""Skip-gram against a brute-force reading, against torch's own loss, and against the limit that Levy and Goldberg proved."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.tokens.embeddings import nearest_neighbours
from lablib.tokens.skipgram import (
    SkipGramConfig,
    context_pairs,
    factor,
    keep_probabilities,
    negative_sampling_loss,
    shifted_pmi,
    train,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- pairs


@given(st.lists(st.lists(st.integers(0, 5), max_size=9), min_size=1, max_size=5), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_pairs_are_those_of_a_walk_through_the_texts(texts, window, seed):
    pairs = context_pairs(texts, window, seeded(seed))
    reach = iter(torch.randint(1, window + 1, (sum(map(len, texts)),), generator=seeded(seed)).tolist())
    expected = []
    for text in texts:
        for i, centre in enumerate(text):
            r = next(reach)
            expected += [(centre, text[j]) for j in range(max(0, i - r), min(len(text), i + r + 1)) if j != i]
    assert sorted(map(tuple, pairs.tolist())) == sorted(expected)


def test_near_pairs_are_met_more_often():
    """A token at distance d is taken with probability (window − d + 1) / window."""
    text, window = [list(range(1000))], 4
    pairs = context_pairs(text, window, seeded())
    distance = (pairs[:, 0] - pairs[:, 1]).abs().bincount(minlength=window + 1)[1:]
    for d, count in enumerate(distance.tolist(), 1):
        trials, share = 2 * (1000 - d), (window - d + 1) / window
        assert abs(count - trials * share) <= 4 * math.sqrt(trials * share * (1 - share)) + 1


def test_frequent_tokens_are_thinned_as_equation_5_says():
    counts = torch.tensor([900.0, 90.0, 10.0, 0.0])
    kept = keep_probabilities(counts, 0.01)
    np.testing.assert_allclose(kept.numpy(), [math.sqrt(0.01 / 0.9), math.sqrt(0.01 / 0.09), 1, 1], rtol=1e-12)
    assert keep_probabilities(counts, 1.0).tolist() == [1, 1, 1, 1]


# ---------------------------------------------------------------- the loss


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def test_the_loss_is_binary_cross_entropy_of_one_true_and_k_false_pairs():
    centre, context, negatives = vectors(6, 4), vectors(6, 4, seed=1), vectors(6, 3, 4, seed=2)
    scores = torch.cat(((centre * context).sum(-1, keepdim=True), torch.einsum("bd,bkd->bk", centre, negatives)), 1)
    truth = torch.zeros(6, 4, dtype=torch.float64)
    truth[:, 0] = 1
    expected = F.binary_cross_entropy_with_logits(scores, truth, reduction="none").sum(1).mean()
    torch.testing.assert_close(negative_sampling_loss(centre, context, negatives), expected, rtol=1e-12, atol=0)


def test_its_gradient_is_that_of_finite_differences():
    inputs = [vectors(3, 4).requires_grad_(), vectors(3, 4, seed=1).requires_grad_(), vectors(3, 2, 4).requires_grad_()]
    assert torch.autograd.gradcheck(negative_sampling_loss, inputs)


def test_the_best_possible_tables_hold_the_shifted_pmi():
    """Levy & Goldberg 2014: at the optimum centre · context = PMI − log k. Noise: every context once, so k = V and uniform."""
    V = 5
    counts = torch.randint(1, 9, (V, V), generator=seeded(4)).double()
    pairs = torch.tensor([(w, c) for w in range(V) for c in range(V) for _ in range(int(counts[w, c]))])
    centre, context = (0.1 * vectors(V, V, seed=5)).requires_grad_(), (0.1 * vectors(V, V, seed=6)).requires_grad_()
    optimizer = torch.optim.LBFGS([centre, context], max_iter=2000, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        negatives = context.expand(len(pairs), V, V)  # every token of the vocabulary, once
        value = negative_sampling_loss(centre[pairs[:, 0]], context[pairs[:, 1]], negatives)
        value.backward()
        return value

    optimizer.step(loss)
    share = counts / counts.sum()
    pmi = (share / (share.sum(1, keepdim=True) / V)).log()
    np.testing.assert_allclose((centre @ context.T).detach().numpy(), (pmi - math.log(V)).numpy(), rtol=1e-3)


# ---------------------------------------------------------------- training

BLOCKS = [[0, 1, 2, 3] * 5, [4, 5, 6, 7] * 5] * 20  # two kinds of text that share no token
QUICK = SkipGramConfig(D=8, window=3, epochs=6, batch=256, lr=0.05, keep=1.0)


def test_tokens_that_keep_company_become_neighbours():
    losses, weight = zip(*train(BLOCKS, 8, QUICK, seeded()), strict=True)
    assert losses[0] == pytest.approx(6 * math.log(2), rel=1e-4)  # the contexts begin at zero: every answer is a half
    assert sum(losses[-10:]) / 10 < 0.8 * losses[0]
    for token in range(8):
        near = nearest_neighbours(weight[-1], token, 3)[1]
        assert {int(n) // 4 for n in near} == {token // 4}


def test_the_same_seed_gives_the_same_table_and_another_seed_another():
    def final(seed: int) -> torch.Tensor:
        *_, (_, weight) = train(BLOCKS, 8, QUICK, seeded(seed))
        return weight

    assert torch.equal(final(1), final(1))
    assert not torch.allclose(final(1), final(2), rtol=0.01)


def test_texts_without_pairs_are_refused():
    with pytest.raises(
        ValueError, match="texts hold no pair of tokens: expected texts of two tokens or more, got 2 texts"
    ):
        next(train([[1], [2]], 3, QUICK, seeded()))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"D": 0}, "D = 0: expected at least 1"),
        ({"window": 0}, "window = 0"),
        ({"keep": 0.0}, "keep = 0.0: expected a share"),
        ({"keep": 1.5}, "keep = 1.5"),
        ({"lr": 0.0}, "lr = 0.0: expected a positive"),
    ],
)
def test_impossible_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        SkipGramConfig(**setting)


# ---------------------------------------------------------------- counting instead


@pytest.mark.parametrize(("shift", "power"), [(1, 1.0), (2, 0.75), (2, 0.0)])
def test_the_shifted_pmi_is_the_textbooks(shift, power):
    pairs = torch.randint(0, 6, (400, 2), generator=seeded(3))
    pairs = torch.cat((pairs, torch.tensor([[0, 0], [5, 4]]).repeat(150, 1)))  # two that are drawn to each other
    pairs = pairs[(pairs[:, 0] != 2) | (pairs[:, 1] > 3)]  # some pairs never occur
    matrix = shifted_pmi(pairs, 7, shift, power)  # token 6 never occurs at all
    n = np.zeros((7, 7))
    for w, c in pairs.tolist():
        n[w, c] += 1
    assert (n[:6, :6] == 0).any()
    noise = np.where(n.sum(0) > 0, n.sum(0) ** power, 0.0 if power else 1.0)
    for w in range(7):
        for c in range(7):
            expected = 0.0
            if n[w, c]:
                expected = max(math.log(n[w, c] / n[w].sum() / (noise[c] / noise.sum())) - math.log(shift), 0.0)
            assert float(matrix[w, c]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert (matrix > 0).any()


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_factors_are_those_of_numpys_decomposition(symmetric):
    generator = np.random.default_rng(0)
    left, right = (np.linalg.qr(generator.normal(size=(60, 60)))[0] for _ in range(2))
    right = left if symmetric else right
    matrix = left @ np.diag(0.8 ** np.arange(60)) @ right.T
    U, size, _ = np.linalg.svd(matrix)
    found = factor(torch.tensor(matrix), 10, seeded()).numpy()
    assert found.shape == (60, 10)
    expected = (U[:, :10] * size[:10]) @ U[:, :10].T  # does not depend on the columns' signs
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-6 * np.abs(expected).max())
