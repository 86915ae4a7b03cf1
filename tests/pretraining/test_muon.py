"""Newton–Schulz against the singular value decomposition, and the optimiser against PyTorch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim._muon import _zeropower_via_newtonschulz as torchs_orthogonalise

from lablib.pretraining.muon import COEFFICIENTS, EPS, STEPS, Muon, newton_schulz_step, orthogonalise


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def matrix(values: torch.Tensor, A: int, B: int, seed: int) -> torch.Tensor:
    """One matrix (1, A, B) with these singular values, float64."""
    left, _ = torch.linalg.qr(normal(A, len(values), seed=seed, dtype=torch.float64))
    right, _ = torch.linalg.qr(normal(B, len(values), seed=seed + 1, dtype=torch.float64))
    return ((left * values) @ right.T)[None]


def close(actual: torch.Tensor, expected: torch.Tensor, rtol: float) -> None:
    scale = expected.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * scale)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000),
    st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(0.1, 4)),
)  # fmt: skip
def test_a_step_changes_singular_values_by_the_polynomial_and_keeps_the_vectors(A, B, seed, coefficients):
    values = torch.rand(min(A, B), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    a, b, c = coefficients
    expected = matrix(a * values + b * values**3 + c * values**5, A, B, seed)
    # A polynomial may cross zero: rounding is relative to its terms, not to their sum.
    scale = (abs(a) * values + abs(b) * values**3 + c * values**5).max().item()
    found = newton_schulz_step(matrix(values, A, B, seed), coefficients)
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)


def test_each_matrix_is_treated_by_itself():
    X = normal(3, 4, 6) / 10
    close(newton_schulz_step(X), torch.cat([newton_schulz_step(x[None]) for x in X]), 1e-6)


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48), (5, 64)])
@pytest.mark.parametrize("size", [1e-5, 1.0, 1e5])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_orthogonalised_matrices_have_singular_values_near_one_and_the_directions_of_the_exact_way(
    shape, size, dtype, monkeypatch
):
    update = size * normal(4, *shape)
    monkeypatch.setattr("lablib.pretraining.muon.best_dtype", lambda device: dtype)
    found = orthogonalise(update)
    assert found.dtype == getattr(torch, dtype)
    values = torch.linalg.svdvals(found.float())
    # Random square matrices have a few singular values near 0, which five steps do not lift all the way.
    assert values.max() < 1.3
    assert values.median() > 0.65
    if shape != (16, 16):
        assert values.min() > 0.6
    left, _, right = torch.linalg.svd(update, full_matrices=False)
    exact = left @ right
    agreement = (found.float() * exact).sum((1, 2)) / exact.square().sum((1, 2))  # 1: the same direction, as long
    assert ((agreement > 0.75) & (agreement < 1.2)).all()


def test_orthogonalised_matrices_are_those_of_torch(monkeypatch):
    monkeypatch.setattr("lablib.pretraining.muon.best_dtype", lambda device: "bfloat16")  # which torch always takes
    for shape in ((16, 16), (48, 16), (16, 48)):
        update = normal(4, *shape)
        expected = torch.stack([torchs_orthogonalise(x, COEFFICIENTS, STEPS, EPS) for x in update])
        close(orthogonalise(update).float(), expected.float(), 0.02)  # products in bf16 round at 1/256


def test_no_gradient_means_no_step_and_a_matrix_of_zeros_stays():
    assert torch.equal(orthogonalise(torch.zeros(2, 3, 4)).float(), torch.zeros(2, 3, 4))
    weights = [nn.Parameter(normal(3, 4, seed=i)) for i in range(2)]
    before = [weight.detach().clone() for weight in weights]
    weights[0].grad = normal(3, 4, seed=5)
    Muon(weights, lr=0.1, momentum=0.9, weight_decay=0.1).step()
    assert not torch.equal(weights[0], before[0])
    assert torch.equal(weights[1], before[1])


def test_five_updates_equal_those_of_torch(monkeypatch):
    monkeypatch.setattr("lablib.pretraining.muon.best_dtype", lambda device: "bfloat16")  # which torch always takes
    shapes = [(8, 8), (8, 8), (24, 8), (8, 24), (24, 8), (1, 5)]
    mine, theirs = ([nn.Parameter(normal(*shape, seed=i)) for i, shape in enumerate(shapes)] for _ in range(2))
    ours = Muon(mine, lr=0.05, momentum=0.9, weight_decay=0.2)
    plain = torch.optim.Muon(theirs, lr=0.05, momentum=0.9, weight_decay=0.2)
    start = [weight.detach().clone() for weight in mine]
    for step in range(5):
        for group in (*ours.param_groups, *plain.param_groups):
            group["lr"] = 0.05 / (step + 1)
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            a.grad = normal(*a.shape, seed=100 * step + i)
            b.grad = a.grad.clone()
        ours.step()
        plain.step()
    for a, b, first in zip(mine, theirs, start, strict=True):
        close(a - first, b - first, 0.01)
    assert ours.state_dict()["state"].keys() == plain.state_dict()["state"].keys()
    for i, state in plain.state_dict()["state"].items():
        assert torch.equal(ours.state_dict()["state"][i]["momentum_buffer"], state["momentum_buffer"])


def test_a_closure_is_called_with_gradients_on():
    weight = nn.Parameter(normal(3, 4))

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.0).step(closure) > 0
    assert weight.grad is not None
