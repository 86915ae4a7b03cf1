"""The loop of DPO: its first record is the reference's, it learns what the labels say, and it is the same whenever it is run."""

import copy
import math
from dataclasses import astuple, replace

import pytest
import torch
from preference_helpers import CHOSEN, PROMPTS, REJECTED, tiny
from torch.nn.utils import parameters_to_vector

from lablib.alignment import dpo
from lablib.alignment.log_probs import answers, response_log_probs, sequence_log_probs
from lablib.alignment.reference import preference_table

RECIPE = replace(dpo.RECIPE, steps=30, batch=4, lr=3e-3, dtype="float32")
LOSSES = {
    "dpo": (dpo.dpo(0.1), math.log(2)),
    "conservative": (dpo.dpo(0.1, smoothing=0.1), math.log(2)),
    "robust": (dpo.robust_dpo(0.1, 0.1), math.log(2)),
    "ipo": (dpo.ipo(0.1), 25.0),  # (0 − 1/(2 · 0.1))²
    "kto": (dpo.kto(0.1), 0.5),
}


def table(mismatched=False):
    return preference_table(tiny(), PROMPTS, CHOSEN, REJECTED, pad=0, mismatched=mismatched)


@pytest.mark.parametrize("name", LOSSES)
def test_step_one_is_the_reference_and_the_end_orders_the_pairs_as_the_labels_do(name):
    loss, at_reference = LOSSES[name]
    policy = tiny()
    steps = list(dpo.train(policy, table(name == "kto"), RECIPE, loss))
    first, last = steps[0], steps[-1]
    assert first.loss == pytest.approx(at_reference, rel=1e-4)
    for number in (first.margin, first.chosen_moved, first.rejected_moved):
        assert abs(number) < 1e-4
    assert first.accuracy == 0.5, "rounding is no opinion"
    assert last.loss < first.loss
    assert last.accuracy == 1.0
    assert last.margin > 1
    assert last.margin == pytest.approx(last.chosen_moved - last.rejected_moved, rel=1e-5)
    assert [step.step for step in steps] == list(range(1, 31))
    assert all(step.seconds > 0 for step in steps)
    assert not policy.training


def test_simpo_needs_no_reference():
    policy, wrong = tiny(), table()
    nonsense = replace(wrong, reference=torch.full_like(wrong.reference, -1e3))
    steps = [list(dpo.train(copy.deepcopy(policy), one, RECIPE, dpo.simpo())) for one in (wrong, nonsense)]
    assert [step.loss for step in steps[0]] == [step.loss for step in steps[1]]
    assert steps[0][-1].loss < steps[0][0].loss / 2


def test_the_record_says_what_the_models_say():
    policy, pairs = tiny(), table()
    with torch.no_grad():
        one = answers(PROMPTS, CHOSEN, pad=0)
        expected = sequence_log_probs(response_log_probs(policy, one), one.mask).mean().item()
    step = next(dpo.train(policy, pairs, RECIPE, dpo.dpo()))
    assert step.chosen == pytest.approx(expected, rel=1e-5)
    assert step.gradient_norm > 0
    assert step.lr == pytest.approx(RECIPE.lr * RECIPE.factor(0))


def test_the_rate_follows_the_schedule_from_step_to_step():
    recipe = replace(RECIPE, warmup=0.2)
    found = [step.lr for step in dpo.train(tiny(), table(), recipe, dpo.dpo())]
    assert found == pytest.approx([recipe.lr * recipe.factor(step) for step in range(recipe.steps)])
    assert len(set(found)) > 10


def test_a_long_gradient_is_shortened_before_it_moves_the_weights():
    """By AdamW's first step nobody would see it, since its length does not depend on the gradient's. So: what the weights hold."""
    policies, norms = [tiny() for _ in range(2)], []
    for policy, clip in zip(policies, (1e-3, 1e9), strict=True):
        run = dpo.train(policy, table(), replace(RECIPE, clip=clip, eps=1e-2, warmup=0.0), dpo.dpo())
        norms.append(next(run).gradient_norm)
    assert norms[0] == pytest.approx(norms[1], rel=1e-5), "the record has the norm before clipping"
    assert norms[0] > 1e-2
    moved = [
        math.dist(
            parameters_to_vector(policy.parameters()).tolist(), parameters_to_vector(tiny().parameters()).tolist()
        )
        for policy in policies
    ]
    assert moved[0] < moved[1] / 2


def test_each_gradient_is_that_of_its_own_batch_alone():
    policy, pairs = tiny(), table()
    run = dpo.train(policy, pairs, RECIPE, dpo.dpo())
    for _ in range(3):
        fresh = copy.deepcopy(policy)
        norm = next(dpo.train(fresh, pairs, RECIPE, dpo.dpo())).gradient_norm  # all four pairs, in another order
        assert next(run).gradient_norm == pytest.approx(norm, rel=1e-3)


def test_the_same_run_twice_is_the_same_to_the_last_bit():
    runs = [list(dpo.train(tiny(), table(), replace(RECIPE, batch=3), dpo.dpo())) for _ in range(2)]
    numbers = [[astuple(replace(step, seconds=0.0)) for step in run] for run in runs]
    assert numbers[0] == numbers[1]
    other = list(dpo.train(tiny(), table(), replace(RECIPE, batch=3, seed=1), dpo.dpo()))
    assert [step.loss for step in other] != [step.loss for step in runs[0]]


def test_measurements_are_made_when_asked_and_see_the_model_before_the_update():
    seen = []

    def first_weight(model):
        seen.append((model.training, model.layers[0].norm_1.weight[0].item()))
        return seen[-1][1]

    policy = tiny()
    at_start = policy.layers[0].norm_1.weight[0].item()
    recipe = replace(RECIPE, steps=6)
    steps = list(dpo.train(policy, table(), recipe, dpo.dpo(), kl=first_weight, gold=lambda model: 0.5, every=4))
    assert [step.step for step in steps if step.kl is not None] == [1, 5, 6]
    assert [step.gold for step in steps] == [0.5, None, None, None, 0.5, 0.5]
    assert steps[0].kl == at_start != steps[4].kl
    assert not any(training for training, _ in seen)


def test_kto_without_mismatched_rows_says_what_it_needs():
    with pytest.raises(
        ValueError, match=r"no mismatched rows: expected one from preference_table\(…, mismatched=True\)"
    ):
        next(dpo.train(tiny(), table(), RECIPE, dpo.kto()))


def test_a_loss_that_is_no_number_leaves_the_weights_alone():
    policy = tiny()
    before = [weight.clone() for weight in policy.parameters()]
    with pytest.raises(ValueError, match=r"step 1 has the loss nan .*expected finite numbers"):
        next(dpo.train(policy, table(), RECIPE, lambda pairs: pairs.chosen * torch.nan))
    assert all(torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True))


def test_bfloat16_learns_the_same():
    loss, _ = LOSSES["dpo"]
    pairs = preference_table(tiny(), PROMPTS, CHOSEN, REJECTED, pad=0, dtype="bfloat16")
    steps = list(dpo.train(tiny(), pairs, replace(RECIPE, dtype="bfloat16"), loss))
    assert steps[0].loss == pytest.approx(math.log(2), abs=0.02)
    assert steps[-1].accuracy == 1.0
