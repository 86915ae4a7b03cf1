"""What a low rank holds of a change: against numpy, against random rivals, and by the properties of φ."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft_oracle import fresh

from lablib.adaptation.lora import Lora, inject, lora_layers, merged_copy
from lablib.adaptation.svd_of_update import (
    best_of_rank,
    effective_rank,
    energy,
    factors_of_rank,
    parts_of,
    rank_for,
    similarity,
    updates,
)

shapes = st.tuples(st.integers(1, 8), st.integers(1, 8))


def matrix(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(shape=shapes, seed=st.integers(0, 999), data=st.data())
@settings(max_examples=50)
def test_the_best_of_a_rank_has_that_rank_the_error_of_what_is_cut_off_and_no_rival(shape, seed, data):
    update = matrix(shape, seed)
    r = data.draw(st.integers(1, min(shape)))
    best = best_of_rank(update, r)
    sigma = torch.from_numpy(np.linalg.svd(update.numpy(), compute_uv=False).copy())
    assert torch.allclose(parts_of(update).sigma, sigma)
    assert np.linalg.matrix_rank(best.numpy(), tol=1e-9) <= r
    error = float((update - best).square().sum())
    assert error == pytest.approx(float(sigma[r:].square().sum()), abs=1e-9)
    assert float(energy(sigma)[r - 1]) == pytest.approx(1 - error / float(update.square().sum()), abs=1e-9)
    A, B = factors_of_rank(update, r)
    assert torch.allclose(B @ A, best)
    rival = (matrix((shape[0], r), seed + 1) * 0.1 + B) @ A
    assert float((update - rival).square().sum()) >= error - 1e-9


def test_the_rank_for_a_share():
    sigma = torch.tensor([3.0, 2.0, 1.0])  # shares 9/14, 13/14, 1
    assert [rank_for(sigma, share) for share in (0.6, 0.7, 0.93, 1.0)] == [1, 2, 3, 3]
    with pytest.raises(ValueError, match="share = 0"):
        rank_for(sigma, 0)


def test_effective_rank_of_one_and_of_equal_directions():
    assert effective_rank(torch.tensor([5.0, 0.0])) == pytest.approx(1.0)
    assert effective_rank(torch.ones(7)) == pytest.approx(7.0)
    assert 1 < effective_rank(torch.tensor([2.0, 1.0])) < 2


@given(seed=st.integers(0, 999), i=st.integers(1, 4), j=st.integers(1, 5))
@settings(max_examples=40)
def test_phi_is_a_share_symmetric_and_blind_to_what_happens_within_a_space(seed, i, j):
    one, two = matrix((4, 9), seed), matrix((5, 9), seed + 1)
    phi = similarity(one, two, i, j)
    assert -1e-9 <= phi <= 1 + 1e-9
    assert similarity(two, one, j, i) == pytest.approx(phi)
    assert similarity(one, one, i, 4) == pytest.approx(1.0)
    turned = torch.linalg.qr(matrix((4, 4), seed + 2)).Q @ one
    assert similarity(turned, two, i, j) == pytest.approx(phi)


def test_phi_by_numpy():
    one, two = matrix((4, 9), 0), matrix((5, 9), 1)
    V, W = (np.linalg.svd(m.numpy(), full_matrices=False)[2] for m in (one, two))
    expected = np.linalg.norm(V[:2] @ W[:3].T) ** 2 / 2
    assert similarity(one, two, 2, 3) == pytest.approx(float(expected))


def test_random_spaces_have_little_in_common():
    found = [similarity(matrix((8, 256), s), matrix((8, 256), s + 500), 8, 8) for s in range(20)]
    assert float(np.mean(found)) == pytest.approx(8 / 256, rel=0.15)


def test_the_updates_of_a_model_are_what_lora_added():
    base, settings_ = fresh(), Lora(r=3, alpha=6.0, targets=("v_proj", "up"))
    model = inject(copy.deepcopy(base), settings_, torch.Generator().manual_seed(0))
    for number, (_, layer) in enumerate(lora_layers(model)):
        with torch.no_grad():
            layer.B.normal_(generator=torch.Generator().manual_seed(number))
    found = updates(base, merged_copy(model))
    for name, layer in lora_layers(model):
        assert torch.allclose(found[name], layer.update(), atol=1e-5)
        assert rank_for(parts_of(found[name]).sigma, 0.9999) <= 3
    assert float(found["layers.0.attention.q_proj"].abs().max()) == 0


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="all 0: expected the singular values of a change"):
        energy(torch.zeros(3))
    with pytest.raises(ValueError, match="r = 3: expected a whole number from 1 to 2"):
        best_of_rank(torch.ones(2, 5), 3)
    with pytest.raises(ValueError, match=r"shape \(3,\): expected a matrix"):
        parts_of(torch.ones(3))
    with pytest.raises(ValueError, match="9 and 8 columns"):
        similarity(torch.ones(2, 9), torch.ones(2, 8), 1, 1)
    with pytest.raises(ValueError, match="merge an adapter first"):
        updates(fresh(), inject(fresh(), Lora(targets=("up",))))
