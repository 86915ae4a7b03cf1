"""Masked mean, variance and whitening: torch's own on what the mask leaves, trl's, and nothing from where it is False."""

import pytest
import torch
import trl_formulas as trl
from hypothesis import given
from hypothesis import strategies as st
from rl_helpers import gradient, junk, normal, seeds, tokens, widened

from lablib.alignment.masked import masked_mean, masked_var, whiten


@given(seed=seeds, correction=st.integers(0, 1))
def test_they_are_torchs_on_the_places_that_count(seed, correction):
    chance, mask = tokens(seed)
    x = normal(mask.shape, chance) + 3
    assert masked_mean(x, mask).item() == pytest.approx(x[mask].mean().item(), rel=1e-12)
    if mask.sum() > correction:
        expected = x[mask].var(correction=correction).item()
        assert masked_var(x, mask, correction=correction).item() == pytest.approx(expected, rel=1e-9)
    for row in range(len(x)):
        few = x[row][mask[row]]
        assert masked_mean(x, mask, dim=1)[row].item() == pytest.approx(few.mean().item(), rel=1e-12)
        assert masked_var(x, mask, dim=1)[row].item() == pytest.approx(few.var(correction=0).item(), rel=1e-9)
    assert torch.allclose(masked_mean(x.T, mask.T, dim=0), masked_mean(x, mask, dim=1))


@given(seed=seeds, shift=st.booleans())
def test_whitening_is_trls_but_for_its_correction_of_the_variance(seed, shift):
    chance, mask = tokens(seed)
    x = 2 * normal(mask.shape, chance) + 3
    n = mask.sum().item()
    ours = whiten(x, mask, shift)
    if n < 2:
        return
    # trl divides the sum of squares by n − 1, as torch.var does, and we by n
    middle = masked_mean(x, mask) * (not shift)
    theirs = (trl.whitened(x, mask.double(), shift) - middle) * (n / (n - 1)) ** 0.5 + middle
    assert torch.allclose(ours[mask], theirs[mask], rtol=1e-6, atol=1e-6)
    assert ours[mask].std(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert ours[mask].mean().item() == pytest.approx(0.0 if shift else x[mask].mean().item(), abs=1e-6)
    assert not ours[~mask].any()


@given(seed=seeds, value=st.sampled_from([7.0, -1e30, float("inf"), float("nan")]), left=st.integers(0, 3))
def test_what_does_not_count_has_no_influence_on_value_or_gradient(seed, value, left):
    chance, mask = tokens(seed)
    x = normal(mask.shape, chance)
    wide, wide_mask = widened(junk(x, mask, value), left, 2, value), widened(mask, left, 2, False)
    for function in (masked_mean, masked_var, lambda x, m: whiten(x, m).square().sin().sum()):
        assert function(wide, wide_mask).item() == pytest.approx(function(x, mask).item(), rel=1e-12)
        pushed = gradient(lambda x, f=function: f(x, wide_mask), wide)
        assert pushed.isfinite().all()
        assert not pushed[~wide_mask].any()
    assert torch.allclose(whiten(wide, wide_mask)[:, left:-2], whiten(x, mask), rtol=1e-12)
    assert float(gradient(lambda x: masked_mean(x, mask), x).sum()) == pytest.approx(1)


@pytest.mark.parametrize("dim", [None, 0, 1])
def test_an_empty_mask_gives_zero(dim):
    x, mask = torch.full((2, 3), torch.nan), torch.zeros(2, 3, dtype=torch.bool)
    for found in (masked_mean(x, mask, dim), masked_var(x, mask, dim), masked_var(x, mask, dim, correction=1)):
        assert not found.any()
    assert not whiten(x, mask).any()
    one = mask.clone()
    one[0, 0] = True
    assert masked_var(torch.ones(2, 3), one, correction=1).item() == 0, "one number has no unbiased variance"


@given(value=st.floats(-1e6, 1e6, width=32), n=st.integers(1, 300))
def test_numbers_that_are_all_alike_become_exactly_zero(value, n):
    x, mask = torch.full((n, 2), value), torch.ones(n, 2, dtype=torch.bool)
    assert not whiten(x, mask).any()
    assert torch.equal(whiten(x, mask, shift_mean=False), x)


def test_a_wrong_mask_is_named():
    with pytest.raises(ValueError, match=r"mask is torch.float32 of shape \(2, 3\): expected torch.bool"):
        masked_mean(torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"of shape \(2,\)"):
        whiten(torch.zeros(2, 3), torch.ones(2, dtype=torch.bool))
