"""Whole runs of GRPO on a tiny policy: it learns without a critic, can be repeated, and groups that are all alike teach nothing."""

import copy
from dataclasses import replace

import pytest
import torch
from rl_helpers import generator, policy, same_weights, tokenizer, twin
from test_ppo_run import lower_half

from lablib.alignment.grpo import group_advantages
from lablib.alignment.grpo_training import GRPO, train_grpo
from lablib.alignment.rollouts import Prompts, gold_scores
from lablib.alignment.verifiable import checkable_types, verified

QUICK = GRPO(steps=3, per_prompt=4, most=5, minibatch=8, lr=1e-3, warmup=0, beta=0.05, unfinished=0.0)
PROMPTS = Prompts(n=4, seed=0)


def runs(settings=QUICK, score=lower_half, seed=0, model=None, prompts=PROMPTS, **rest):
    model = policy() if model is None else model
    found = list(train_grpo(model, twin(model), tokenizer(), prompts, score, settings, generator(seed), **rest))
    return model, found


@pytest.mark.parametrize(
    "changes", [{}, {"baseline": "group", "per": "constant"}, {"baseline": "leave-one-out"}], ids=str
)
def test_the_reward_rises(changes):
    # AdamW makes steps of one size whatever the loss is multiplied with, so all forms get the same rate
    _, found = runs(replace(QUICK, steps=12, epochs=4, lr=1e-2, beta=0.01, **changes))
    assert sum(step.proxy for step in found[-3:]) / 3 > found[0].proxy + 0.15
    assert found[0].kl == 0
    assert found[-1].kl > 0.05
    assert {step.value_loss for step in found} == {step.explained for step in found} == {None}


def test_the_same_generator_gives_the_same_run_bit_for_bit():
    first, second = runs(gold=gold_scores), runs()
    assert same_weights(first[0], second[0])
    assert first[1][0].gold == pytest.approx(sum(first[1][0].golds) / 16)
    assert [step.scores for step in first[1]] == [step.scores for step in second[1]]
    assert not same_weights(first[0], policy())


@pytest.mark.parametrize("baseline", ["group-std", "group", "leave-one-out"])
def test_groups_whose_scores_are_all_alike_change_nothing(baseline):
    def alike(rollout):
        return torch.arange(4.0).repeat_interleave(4)

    model = policy()
    before = copy.deepcopy(model)
    _, found = runs(replace(QUICK, baseline=baseline, beta=0.0), alike, model=model)
    assert same_weights(model, before)
    assert found[-1].gradient_norm == 0
    # With the penalty there are its rounding errors, since minibatches are computed in another order than the rollout.
    runs(replace(QUICK, baseline=baseline), alike, model=model)
    moved = max(
        float((a - b).detach().abs().max()) for a, b in zip(model.parameters(), before.parameters(), strict=True)
    )
    assert moved < 0.01 * QUICK.lr


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"scores\[0\] = nan"):
        runs(score=lambda rollout: torch.full((16,), torch.nan))


def test_advantages_of_ones_own_and_the_early_end():
    calls = []

    def mine(scores, G, baseline):
        calls.append(G)
        return group_advantages(scores, G, baseline)

    assert same_weights(runs(advantages=mine)[0], runs()[0])
    assert calls == [4] * 3
    ended = runs(replace(QUICK, steps=9, epochs=8, lr=3e-2, end_kl=0.05))[1]
    assert len(ended) < 9


def test_a_reward_that_is_verified_needs_no_model():
    prompts = Prompts(n=4, seed=0, only=checkable_types())
    _, found = runs(score=verified, prompts=prompts)
    assert set(found[0].scores) <= {0.0, 1.0}


def test_settings_are_checked():
    with pytest.raises(ValueError, match="per_prompt = 1: expected at least 2"):
        replace(QUICK, per_prompt=1)
    with pytest.raises(ValueError, match=r"beta = -0\.1"):
        replace(QUICK, beta=-0.1)
    with pytest.raises(ValueError, match="baseline = 'mean'"):
        replace(QUICK, baseline="mean")
