"""KL(π ‖ π_ref) of whole responses: against all responses of up to two tokens, enumerated, and against the plain estimator."""

import itertools

import pytest
import torch
from preference_helpers import tiny

from lablib.alignment.log_probs import answers, response_log_probs, sequence_log_probs
from lablib.alignment.policy_kl import policy_kl, response_kl

STOP, PROMPT = 4, [1, 5, 9]


def everything():
    """All responses of at most two tokens: those that stop at once, and all others with a second token."""
    return [[STOP], *([a, b] for a, b in itertools.product(range(13), repeat=2) if a != STOP)]


def log_probs(model, responses):
    rows = answers([PROMPT] * len(responses), responses, pad=0)
    with torch.no_grad():
        return sequence_log_probs(response_log_probs(model, rows), rows.mask).double()


def test_the_estimate_is_that_of_enumeration():
    policy, reference = tiny(1), tiny(2)
    log_p, log_q = (log_probs(model, everything()) for model in (policy, reference))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5), "nothing was left out"
    exact = (log_p.exp() * (log_p - log_q)).sum().item()
    found = policy_kl(policy, reference, [PROMPT] * 4000, [STOP], torch.Generator().manual_seed(0), most=2)
    error = found.std().item() / 4000**0.5
    assert found.mean().item() == pytest.approx(exact, abs=4 * error)
    assert error < exact / 100
    assert bool((found >= -1e-6).all())


def test_it_varies_less_than_the_log_ratio_of_what_was_drawn():
    policy, reference = tiny(1), tiny(2)
    responses = everything()
    log_p, log_q = (log_probs(model, responses) for model in (policy, reference))
    inner = response_kl(policy, reference, answers([PROMPT] * len(responses), responses, pad=0)).double()
    p = log_p.exp()
    means = [(p * x).sum() for x in (inner, log_p - log_q)]
    spread = [(p * (x - mean) ** 2).sum().item() for x, mean in zip((inner, log_p - log_q), means, strict=True)]
    assert means[0].item() == pytest.approx(means[1].item(), rel=1e-4), "both are unbiased"
    assert spread[0] < spread[1] / 2


def test_a_model_is_no_distance_from_itself():
    found = policy_kl(tiny(), tiny(), [PROMPT, [2]], [STOP], torch.Generator().manual_seed(0))
    assert found.shape == (2,)
    assert found.abs().max() < 1e-5


def test_no_prompt_is_refused():
    with pytest.raises(ValueError, match="prompts is empty: expected at least one"):
        policy_kl(tiny(), tiny(), [], [STOP])
