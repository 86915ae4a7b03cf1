"""Cosine search against numpy and scikit-learn, the encoders, and what they must refuse."""

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from lablib import models
from lablib.adaptation.dense import (
    Dense,
    best_encoder,
    cosine_top_k,
    latent_semantic_encoder,
    remembering,
    vectors,
)

PASSAGES = [
    "The cat purrs on the mat.",
    "A transformer reads all positions at once.",
    "Bread is baked from flour and water.",
]


def hashing(texts):
    """A fake encoder: a vector for each word from its hash, summed."""
    rows = []
    for text in texts:
        seeds = [
            int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) for word in text.lower().split()
        ]
        rows.append(sum((np.random.default_rng(seed).normal(size=16) for seed in seeds), np.zeros(16)))
    return torch.tensor(np.array(rows))


# ------------------------------------------------------------------ against an authority


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 8), st.integers(1, 40))
def test_top_k_is_the_sorted_cosines_of_scikit_learn(seed, N, D, k):
    draw = np.random.default_rng(seed)
    matrix, query = draw.normal(size=(N, D)) * draw.uniform(0.01, 100, (N, 1)), draw.normal(size=D)
    matrix[0] = 0  # a passage without any direction has cosine 0
    expected = cosine_similarity(matrix, query[None])[:, 0]
    cosines, rows = cosine_top_k(torch.tensor(matrix), torch.tensor(query), k)
    assert cosines.shape == rows.shape == (min(k, N),)
    np.testing.assert_allclose(cosines, np.sort(expected)[::-1][:k], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(cosines, expected[rows.numpy()], rtol=1e-9, atol=1e-12)
    assert len(set(rows.tolist())) == len(rows)


@given(st.integers(0, 10**6), st.floats(0.001, 1000))
def test_lengths_do_not_matter(seed, length):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    query = torch.randn(5, generator=generator, dtype=torch.float64)
    cosines, rows = cosine_top_k(matrix, query, 4)
    again, same = cosine_top_k(matrix * length, query / length, 4)
    torch.testing.assert_close(again, cosines, rtol=1e-9, atol=0)
    assert same.tolist() == rows.tolist()
    assert float(cosines.abs().max()) <= 1 + 1e-12


def test_cosines_by_hand():
    cosines, rows = cosine_top_k(torch.tensor([[1.0, 1.0], [0.0, 2.0], [-3.0, 0.0]]), torch.tensor([5.0, 0.0]), 3)
    assert rows.tolist() == [0, 1, 2]
    assert cosines.tolist() == pytest.approx([1 / math.sqrt(2), 0, -1], rel=1e-6, abs=1e-7)


# ------------------------------------------------------------------ the index


def test_the_index_searches_in_its_matrix():
    index = Dense(PASSAGES, hashing, batch=2)
    assert index.matrix.shape == (3, 16)
    assert index.matrix.norm(dim=-1).tolist() == pytest.approx([1, 1, 1], rel=1e-6)
    hits = index.search("the cat", 3)
    expected = cosine_similarity(hashing(PASSAGES), hashing(["the cat"]))[:, 0]
    assert [hit.number for hit in hits] == np.argsort(-expected).tolist()
    assert hits[0].number == 0
    assert [hit.score for hit in hits] == pytest.approx(np.sort(expected)[::-1].tolist(), rel=1e-5)
    assert len(index.search("the cat", 10)) == 3


def test_similarity_of_what_was_found():
    index = Dense(PASSAGES, hashing)
    expected = cosine_similarity(hashing([PASSAGES[2], PASSAGES[0]]))
    np.testing.assert_allclose(index.similarity([2, 0]), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_the_size_of_a_batch_changes_nothing(size):
    texts = [f"passage number {i}" for i in range(7)]
    torch.testing.assert_close(Dense(texts, hashing, batch=size).matrix, Dense(texts, hashing).matrix)


# ------------------------------------------------------------------ encoders


def test_what_was_encoded_is_remembered():
    asked = []

    def encode(texts):
        asked.append(list(texts))
        return hashing(texts)

    encode_once = remembering(encode)
    assert torch.equal(encode_once(["a", "b", "a"]), hashing(["a", "b", "a"]))
    assert torch.equal(encode_once(["c", "a"]), hashing(["c", "a"]))
    encode_once(["a", "b"])
    assert asked == [["a", "b"], ["c"]]


def test_the_corpus_alone_gives_vectors_that_know_what_occurs_together():
    texts = ["cats purr and sleep", "kittens purr and sleep", "cats and kittens", "stocks fall on markets",
             "shares fall on markets", "stocks and shares"] * 4  # fmt: skip
    encode = latent_semantic_encoder(texts, width=2)
    cats, kittens, stocks = encode(["cats", "kittens", "stocks"])
    near, far = torch.cosine_similarity(cats, kittens, dim=0), torch.cosine_similarity(cats, stocks, dim=0)
    assert near > 0.9 > 0.5 > far
    assert encode(["unheard"]).tolist() == [[0, 0]]
    assert torch.equal(encode(texts), latent_semantic_encoder(texts, width=2)(texts)), "not the same in every run"


def test_without_the_model_the_fallback_says_so(monkeypatch):
    def missing(*_, **__):
        raise models.ModelNotFound("minilm is nowhere\nmore lines")

    monkeypatch.setattr(models, "load", missing)
    encoder = best_encoder(PASSAGES)
    assert not encoder.real
    assert encoder.source == "no real encoder (minilm is nowhere); latent semantic analysis of the corpus instead"
    assert [hit.number for hit in Dense(PASSAGES, encoder).search("baked bread", 1)] == [2]


@pytest.mark.skipif(
    not any(row.ok for row in models.available() if row.name == "minilm"), reason="MiniLM is not installed"
)
def test_the_real_encoder_finds_what_shares_no_word():
    encoder = best_encoder(PASSAGES, hub=False)
    assert encoder.real
    assert "all-MiniLM-L6-v2" in encoder.source
    index = Dense(PASSAGES, encoder)
    for question, answer in [
        ("Which pet makes a soft sound?", 0),
        ("neural network in parallel", 1),
        ("loaf ingredients", 2),
    ]:
        assert index.search(question, 1)[0].number == answer
    loaded = models.load("minilm", hub=False, quiet=True)
    torch.testing.assert_close(index.matrix, models.embed(loaded, PASSAGES), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ bad input


def test_nothing_to_search_in_or_for():
    with pytest.raises(ValueError, match="texts is empty"):
        Dense([], hashing)
    with pytest.raises(ValueError, match="texts is empty"):
        latent_semantic_encoder([])
    with pytest.raises(ValueError, match="texts: none of the 2 has a word in it"):
        latent_semantic_encoder(["", "?!"])
    with pytest.raises(TypeError, match=r"texts\[0\] = b'\\xff' is bytes"):
        Dense([b"\xff"], hashing)
    index = Dense(PASSAGES, hashing)
    with pytest.raises(ValueError, match="query = ' ' is empty: expected a question"):
        index.search(" ", 3)
    with pytest.raises(ValueError, match="k = -1: expected at least 1"):
        index.search("cat", -1)


def test_an_encoder_that_is_wrong_is_named():
    with pytest.raises(ValueError, match=r"encode made \(3, 16, 1\) of 3 texts: expected \(N, D\)"):
        vectors(lambda texts: hashing(texts)[..., None], PASSAGES)
    with pytest.raises(ValueError, match=r"encode made \(2, 16\) of 3 texts"):
        vectors(lambda texts: hashing(texts[1:]), PASSAGES)
    broken = hashing(PASSAGES)
    broken[1, 3] = math.nan
    with pytest.raises(ValueError, match="encode made NaN or ∞ of 'A transformer reads"):
        vectors(lambda _: broken, PASSAGES)
