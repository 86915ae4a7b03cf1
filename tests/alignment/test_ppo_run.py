"""Whole runs of PPO on a tiny policy: it learns, it can be repeated, and odd rewards give a defined result or an error."""

import copy
from dataclasses import replace

import pytest
import torch
from rl_helpers import generator, policy, same_weights, tokenizer, twin

from lablib.alignment.adaptive_kl import KLTarget
from lablib.alignment.advantages import gae
from lablib.alignment.ppo import PPO, explained_variance, ppo
from lablib.alignment.ppo_step import Objective, Pieces
from lablib.alignment.rl_update import optimiser_of
from lablib.alignment.rollouts import Prompts
from lablib.alignment.value_model import ValueModel, copied

QUICK = PPO(
    steps=3, most=5, minibatch=8, per_prompt=2, lr=1e-3, warmup=0, objective=Objective(beta=0.1, unfinished=0.0)
)
PROMPTS = Prompts(n=8, seed=0)


def lower_half(rollout):
    """A reward that a tiny policy learns soon: the share of tokens with a number below 32."""
    return torch.tensor([sum(i < 32 for i in one.ids) / len(one.ids) for one in rollout.responses])


def runs(settings=QUICK, score=lower_half, shared=False, seed=0, model=None, reference=None, **rest):
    """The policy, the critic, and the records of a run."""
    model = policy() if model is None else model
    reference = twin(model) if reference is None else reference
    critic = ValueModel(model if shared else copied(model))
    found = list(ppo(model, reference, critic, tokenizer(), PROMPTS, score, settings, generator(seed), **rest))
    return model, critic, found


@pytest.mark.parametrize("shared", [True, False])
def test_the_reward_rises_and_the_policy_leaves_the_reference(shared):
    settings = replace(QUICK, steps=12, epochs=4, lr=1e-2, objective=Objective(beta=0.01, unfinished=0.0))
    _, critic, found = runs(settings, shared=shared)
    assert [step.step for step in found] == list(range(1, 13))
    assert 0.3 < found[0].proxy < 0.7
    assert sum(step.proxy for step in found[-3:]) / 3 > found[0].proxy + 0.15
    assert found[0].kl == 0
    assert found[-1].kl > 0.05
    assert found[0].clip_share < 1
    assert all(step.updates == 4 * 2 for step in found)
    assert bool((critic.head.weight != 0).any())


def test_a_larger_penalty_keeps_it_nearer():
    far, near = (
        runs(replace(QUICK, steps=12, epochs=4, lr=1e-2, objective=Objective(beta=beta, unfinished=0.0)))[2][-1].kl
        for beta in (0.01, 3.0)
    )
    assert near < far / 2


def test_the_same_generator_gives_the_same_run_bit_for_bit_and_another_another():
    first, second, other = runs(seed=0), runs(seed=0), runs(seed=1)
    assert same_weights(first[0], second[0])
    assert same_weights(first[1], second[1])
    assert not same_weights(first[0], other[0])
    for one, two in zip(first[2], second[2], strict=True):
        assert replace(one, seconds=0.0) == replace(two, seconds=0.0)
    assert not same_weights(first[0], policy()), "it has learned something"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error_and_the_weights_stay(bad):
    def broken(rollout):
        scores = lower_half(rollout)
        scores[3] = bad
        return scores

    model = policy()
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match=rf"scores\[3\] = {bad} \(1 of 16 are not finite\).*reward model diverged"):
        runs(score=broken, model=model)
    assert same_weights(model, before)


def test_a_wrong_number_of_scores_is_an_error():
    with pytest.raises(ValueError, match=r"scores has shape \(3,\): expected \(16,\)"):
        runs(score=lambda rollout: torch.zeros(3))


@pytest.mark.parametrize("constant", [0.0, 1.0, -7.3])
@pytest.mark.parametrize("scale", ["centred", "whitened"])
def test_rewards_that_are_all_alike_change_nothing_at_the_reference(constant, scale):
    settings = replace(QUICK, objective=Objective(beta=0.1, scale=scale, unfinished=0.0))
    model = policy()
    before = copy.deepcopy(model)
    _, critic, found = runs(settings, score=lambda rollout: torch.full((16,), constant), model=model)
    assert same_weights(model, before)
    assert not critic.head.weight.any()
    assert [step.gradient_norm for step in found] == [0.0] * 3
    assert found[0].proxy == pytest.approx(constant)


def test_with_rewards_that_are_all_alike_only_the_penalty_is_left_and_it_pulls_back():
    settings = replace(QUICK, steps=12, epochs=4, lr=2e-3, objective=Objective(beta=0.5, unfinished=0.0))
    model, reference = policy(scale=4.0), twin(policy(1, scale=4.0))
    _, _, found = runs(settings, score=lambda rollout: torch.zeros(16), model=model, reference=reference)
    late = sum(step.kl for step in found[-3:]) / 3
    assert late < 0.9 * sum(step.kl for step in found[:3]) / 3
    assert late > 0


def test_gold_is_recorded_and_has_no_influence():
    asked = []

    def gold(responses):
        asked.append(len(responses))
        return [0.25] * len(responses)

    blind, seen = runs(), runs(gold=gold)
    assert same_weights(blind[0], seen[0])
    assert asked == [16] * 3
    assert [step.gold for step in seen[2]] == [0.25] * 3
    assert [step.gold for step in blind[2]] == [None] * 3
    assert seen[2][0].golds == (0.25,) * 16
    assert "responses" not in seen[2][0].numbers
    assert seen[2][0].numbers["proxy"] == seen[2][0].proxy


def test_the_record_speaks_of_the_answers():
    step = runs()[2][0]
    assert len(step.responses) == len(step.scores) == 16
    assert step.proxy == pytest.approx(sum(step.scores) / 16)
    assert step.length == pytest.approx(sum(len(one.ids) for one in step.responses) / 16)
    assert step.finished == sum(one.finished for one in step.responses) / 16
    assert step.seconds > 0
    assert 1 < step.entropy < 4.2  # log 64 is 4.16


def test_early_stops():
    moved = replace(QUICK, epochs=8, lr=3e-2)
    free, held = runs(moved)[2], runs(replace(moved, update_kl=0.01))[2]
    assert [step.updates for step in free] == [16] * 3
    assert all(1 <= step.updates < 16 for step in held)
    ended = runs(replace(moved, steps=9, end_kl=0.05))[2]
    assert len(ended) < 9
    assert ended[-1].kl > 0.05
    assert all(step.kl <= 0.05 for step in ended[:-1])


def test_the_controller_turns_beta():
    aim = Objective(beta=0.2, kl_target=KLTarget(50.0), unfinished=0.0)
    found = runs(replace(QUICK, objective=aim))[2]
    assert [step.beta for step in found] == pytest.approx([0.2, 0.2 * 0.98, 0.2 * 0.98**2])


def test_penalties_reach_the_policy_and_not_the_record():
    aims = Objective(unfinished=0.0), Objective(unfinished=5.0), Objective(length=1.0, unfinished=0.0)
    models, records = zip(*(runs(replace(QUICK, most=12, objective=aim))[::2] for aim in aims), strict=True)
    assert records[0][0].proxy == records[1][0].proxy == records[2][0].proxy
    assert 0 < records[0][0].finished < 1
    assert not same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


def test_pieces_of_ones_own_are_used():
    calls = []

    def mine(rewards, values, mask, gamma, lam):
        calls.append((gamma, lam))
        return gae(rewards, values, mask, gamma, lam)

    with_mine = runs(pieces=Pieces(gae=mine))[0]
    assert calls == [(1.0, 0.95)] * 3
    assert same_weights(with_mine, runs()[0])
    upside_down = Pieces(policy_loss=lambda *given: -Pieces().policy_loss(*given))
    assert not same_weights(runs(pieces=upside_down)[0], with_mine)


def test_a_loss_that_is_no_number_is_an_error_and_the_weights_stay():
    model = policy()
    before = copy.deepcopy(model)
    broken = Pieces(value_loss=lambda new, old, returns, mask, clip: new.sum() * float("nan"))
    with pytest.raises(ValueError, match=r"step 1: the loss is nan.*weights are as before this update"):
        runs(pieces=broken, model=model)
    assert same_weights(model, before)


def test_each_weight_is_in_the_optimiser_once():
    model = policy()
    for critic in (ValueModel(model), ValueModel(copied(model))):
        groups = optimiser_of(model, critic, QUICK).param_groups
        held = [id(weight) for group in groups for weight in group["params"]]
        assert len(held) == len(set(held))
        assert set(held) == {id(weight) for part in (model, critic) for weight in part.parameters()}


def test_explained_variance_by_hand():
    mask = torch.tensor([[True, True, False]])
    returns = torch.tensor([[1.0, 3.0, 99.0]])
    assert explained_variance(returns, returns, mask) == 1.0
    assert explained_variance(returns, torch.zeros(1, 3), mask) == 0.0
    assert explained_variance(returns, -returns, mask) == pytest.approx(-3.0)
    assert explained_variance(torch.ones(1, 3), torch.zeros(1, 3), mask) == 0.0


def test_settings_are_checked():
    for name, value in (("steps", 0), ("minibatch", 0), ("epochs", 1.5), ("lr", 0.0), ("end_kl", -1.0), ("warmup", -1)):
        with pytest.raises(ValueError, match=f"{name} = {value}"):
            replace(QUICK, **{name: value})
    with pytest.raises(ValueError, match="dtype = 'float16': expected one of float32, bfloat16"):
        replace(QUICK, dtype="float16")
    for name, value in (("beta", -1.0), ("lam", 2.0), ("clip", 0.0), ("unfinished", float("nan"))):
        with pytest.raises(ValueError, match=f"{name} = {value}"):
            Objective(**{name: value})
    with pytest.raises(ValueError, match="scale = 'ranks': expected one of raw, centred, whitened"):
        Objective(scale="ranks")
    with pytest.raises(ValueError, match="beta = 0 with a kl_target"):
        Objective(beta=0.0, kl_target=KLTarget(1.0))
