"""The three estimators: their means over all tokens there are, by enumeration; their gradients; trl's formulas."""

import pytest
import torch
import trl_formulas as trl
from hypothesis import given
from hypothesis import strategies as st
from rl_helpers import generator, normal, seeds
from torch.distributions import Categorical, kl_divergence

from lablib.alignment.kl import exact_kl, k1, k2, k3

V = 6


def pair(seed, apart=1.0):
    chance = generator(seed)
    policy = normal((V,), chance)
    return policy, policy + apart * normal((V,), chance)


@given(seed=seeds, apart=st.floats(0.1, 3))
def test_k1_and_k3_are_right_on_average_and_k2_only_nearly(seed, apart):
    policy, reference = (x.log_softmax(-1) for x in pair(seed, apart))
    exact = kl_divergence(Categorical(logits=policy), Categorical(logits=reference)).item()
    p = policy.exp()  # the mean over all tokens, each as often as the policy draws it
    assert (p * k1(policy, reference)).sum().item() == pytest.approx(exact, rel=1e-9)
    assert (p * k3(policy, reference)).sum().item() == pytest.approx(exact, rel=1e-9)
    assert exact_kl(policy, reference).item() == pytest.approx(exact, rel=1e-9)
    assert bool((k2(policy, reference) >= 0).all())
    assert bool((k3(policy, reference) >= 0).all())


def test_near_each_other_k2_is_nearly_right_and_k1_varies_most():
    policy, reference = (x.log_softmax(-1) for x in pair(3, 0.05))
    exact, p = exact_kl(policy, reference).item(), policy.exp()
    assert (p * k2(policy, reference)).sum().item() == pytest.approx(exact, rel=0.05)
    spread = {k: float((p * (k(policy, reference) - exact) ** 2).sum()) ** 0.5 for k in (k1, k2, k3)}
    assert spread[k1] > 10 * spread[k2]
    assert spread[k1] > 10 * spread[k3]
    assert bool((k1(policy, reference) < 0).any())


@given(seed=seeds)
def test_as_a_loss_k1_pushes_nowhere_k2_by_the_reverse_and_k3_by_the_forward_divergence(seed):
    logits, other = pair(seed)
    reference = other.log_softmax(-1)

    def mean_gradient(estimator):
        """Over tokens that the policy draws; that the draw depends on the policy is what backward() does not know."""
        leaf = logits.clone().requires_grad_(True)
        policy = leaf.log_softmax(-1)
        (policy.detach().exp() * estimator(policy, reference)).sum().backward()
        return leaf.grad

    def exact_gradient(divergence):
        leaf = logits.clone().requires_grad_(True)
        divergence(Categorical(logits=leaf), Categorical(logits=reference)).backward()
        return leaf.grad

    reverse = exact_gradient(kl_divergence)
    forward = exact_gradient(lambda policy, reference: kl_divergence(reference, policy))
    assert float(reverse.abs().max()) > 1e-3
    assert float(mean_gradient(k1).abs().max()) < 1e-12
    assert torch.allclose(mean_gradient(k2), reverse, atol=1e-9)
    assert torch.allclose(mean_gradient(k3), forward, atol=1e-9)


@given(seed=seeds)
def test_they_are_trls(seed):
    chance = generator(seed)
    policy, reference = -normal((3, 4), chance).abs(), -normal((3, 4), chance).abs()
    for ours, name in ((k1, "k1"), (k3, "k3")):
        assert torch.allclose(ours(policy, reference), trl.kl(policy, reference, name), rtol=1e-9, atol=1e-12)


def test_k3_keeps_its_digits_where_both_are_nearly_alike():
    policy = torch.tensor([-1.0], dtype=torch.float32)
    reference = policy + 1e-3
    assert k3(policy, reference).item() == pytest.approx(5e-7, rel=0.02), (
        "(10⁻³)² / 2, which float32 loses in exp(x) − 1"
    )


def test_what_cannot_be_drawn_counts_nothing_and_what_the_reference_excludes_everything():
    half = torch.tensor([0.5, 0.5, 0.0]).log()
    third = torch.full((3,), 1 / 3).log()
    assert exact_kl(half, third).item() == pytest.approx(torch.tensor(1.5).log().item())
    assert exact_kl(third, half).item() == float("inf")
    with pytest.raises(ValueError, match=r"policy has shape \(2,\) and reference \(3,\)"):
        k1(torch.zeros(2), torch.zeros(3))
