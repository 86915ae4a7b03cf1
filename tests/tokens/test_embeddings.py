"""Lookup and neighbours against torch and scikit-learn, the map against a principal component analysis."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch.nn import functional as F

from lablib.tokens.embeddings import analogy, embed_tokens, nearest_neighbours, principal_map


def table(V: int, D: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(V, D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4)])
def test_the_lookup_is_that_of_torch_and_a_product_with_one_hot_rows(shape):
    weight = table(11, 7).requires_grad_()
    ids = torch.randint(0, 11, shape, generator=torch.Generator().manual_seed(1))
    found = embed_tokens(ids, weight)
    assert torch.equal(found, F.embedding(ids, weight))
    torch.testing.assert_close(found, F.one_hot(ids, 11).float() @ weight, rtol=1e-6, atol=0)
    probe = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (mine,) = torch.autograd.grad((found * probe).sum(), weight)
    (theirs,) = torch.autograd.grad((F.embedding(ids, weight) * probe).sum(), weight)
    torch.testing.assert_close(mine, theirs)
    unused = [row for row in range(11) if row not in ids.flatten().tolist()]
    assert not mine[unused].any()
    assert mine[ids.flatten()].any()


@given(st.integers(2, 30), st.integers(2, 12), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_neighbours_are_those_of_scikit_learn(V, D, seed):
    weight, k = table(V, D, seed).double(), max(1, V // 2)
    token = seed % V
    similarity, numbers = nearest_neighbours(weight, token, k)
    search = NearestNeighbors(n_neighbors=V, metric="cosine").fit(weight.numpy())
    distance, order = search.kneighbors(weight[token : token + 1].numpy())
    others = [(number, 1 - d) for number, d in zip(order[0], distance[0], strict=True) if number != token][:k]
    assert numbers.tolist() == [number for number, _ in others]
    np.testing.assert_allclose(similarity.numpy(), [s for _, s in others], rtol=1e-9, atol=1e-12)


def test_neighbours_do_not_depend_on_lengths_nor_change_the_table():
    weight = table(20, 6)
    before = weight.clone()
    stretched = weight * torch.rand(20, 1, generator=torch.Generator().manual_seed(3)).add(0.1)
    assert torch.equal(nearest_neighbours(weight, 4, 7)[1], nearest_neighbours(stretched, 4, 7)[1])
    assert torch.equal(weight, before)


def test_a_vector_of_length_zero_is_at_right_angles_to_all():
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    assert nearest_neighbours(weight, 0, 2)[0].tolist() == [0.0, -1.0]
    assert nearest_neighbours(weight, 1, 2)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("k", [0, 4, -1])
def test_too_many_neighbours_are_refused(k):
    with pytest.raises(ValueError, match=rf"k = {k}: expected 1 to 3, since the table has 4 rows"):
        nearest_neighbours(table(4, 2), 0, k)


def test_analogy_by_hand():
    """Two features, young and cat: kitten − cat + dog = puppy; the nearest of all would be dog itself."""
    names = ["cat", "kitten", "dog", "puppy", "stone"]
    weight = torch.tensor([[0.0, 1.0, 1], [1.0, 1.0, 1], [0.0, -1.0, 1], [1.0, -1.0, 1], [0.0, 0.0, -1]])
    assert names[analogy(weight, 0, 1, 2)] == "puppy"
    assert names[analogy(weight, 2, 3, 0)] == "kitten"


@pytest.mark.parametrize(("N", "D"), [(40, 9), (5, 20)])
def test_the_map_is_that_of_scikit_learn(N, D):
    weight = table(N, D).double()
    places, shares = principal_map(weight)
    pca = PCA(2).fit(F.normalize(weight, dim=-1).numpy())
    theirs = pca.transform(F.normalize(weight, dim=-1).numpy())
    signs = np.sign((places.numpy() * theirs).sum(0))
    np.testing.assert_allclose(places.numpy(), theirs * signs, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(shares.numpy(), pca.explained_variance_ratio_, rtol=1e-9)


def test_the_map_is_the_same_whichever_sign_the_decomposition_took():
    weight = table(30, 8)
    torch.testing.assert_close(principal_map(weight)[0], principal_map(weight.flip(0))[0].flip(0), rtol=1e-4, atol=1e-5)
