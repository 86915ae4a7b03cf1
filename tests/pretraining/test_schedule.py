"""Schedules against those of transformers, and by their properties."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.pretraining.recipe import Recipe
from lablib.pretraining.schedule import warmup_cosine, warmup_stable_decay


def theirs(schedule, *arguments, **keywords) -> list[float]:
    """transformers' factors for 120 steps."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimiser, *arguments, **keywords)
    found = []
    for _ in range(120):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (100, 0), (50, 49), (1, 0)])
@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_cosine_is_that_of_transformers_without_its_step_of_rate_zero(steps, warmup, floor):
    from transformers import get_cosine_schedule_with_warmup

    # Theirs starts with a step of rate 0, which ours leaves out: so theirs has one more, in the warm-up.
    expected = theirs(get_cosine_schedule_with_warmup, warmup + 1, steps + 1)[1 : steps + 1]
    expected[warmup:] = [factor * (1 - floor) + floor for factor in expected[warmup:]]
    assert [warmup_cosine(step, steps, warmup, floor) for step in range(steps)] == pytest.approx(expected, rel=1e-9)
    assert max(expected) == 1


@pytest.mark.parametrize(("steps", "warmup", "decay"), [(100, 10, 20), (100, 0, 100), (50, 20, 30), (60, 5, 0)])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_warmup_stable_decay_is_that_of_transformers(steps, warmup, decay, floor):
    from transformers import get_wsd_schedule

    expected = theirs(
        get_wsd_schedule,
        num_warmup_steps=warmup + 1,
        num_decay_steps=decay,
        num_stable_steps=steps - warmup - decay,
        decay_type="linear",
        min_lr_ratio=0.0,
    )[1 : steps + 1]
    expected[warmup:] = [factor * (1 - floor) + floor for factor in expected[warmup:]]
    found = [warmup_stable_decay(step, steps, warmup, decay, floor) for step in range(steps)]
    assert found == pytest.approx(expected, rel=1e-9)


@st.composite
def sizes(draw):
    steps = draw(st.integers(1, 400))
    warmup = draw(st.integers(0, steps - 1))
    return steps, warmup, draw(st.integers(0, steps - warmup)), draw(st.floats(0, 1))


@given(sizes())
def test_bounded_and_without_jumps(size):
    steps, warmup, decay, floor = size
    cosine = [warmup_cosine(step, steps, warmup, floor) for step in range(steps)]
    stable = [warmup_stable_decay(step, steps, warmup, decay, floor) for step in range(steps)]
    for factors, falling in ((cosine, steps - warmup), (stable, decay)):
        assert all(0 < factor <= 1 for factor in factors)
        assert factors[: warmup + 1] == sorted(factors[: warmup + 1])
        assert factors[warmup] == 1
        assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
        # the steepest a half cosine gets is π/2 of the straight line
        steepest = max(1 / (warmup + 1), 1.571 / max(falling, 1))
        assert all(abs(b - a) <= steepest + 1e-12 for a, b in pairwise(factors))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 10, 2, 2), "step = 10: expected 0 to steps − 1 = 9"),
        ((-1, 10, 2, 2), "step = -1"),
        ((0, 10, 6, 5), "warmup = 6 and decay = 5"),
        ((0, 10, -1, 2), "warmup = -1"),
        ((0, 10, 10, 0), "warmup = 10"),
        ((0, 10, 1, 1, 1.5), "floor = 1.5"),
    ],
)
def test_what_makes_no_schedule(arguments, message):
    with pytest.raises(ValueError, match=message):
        warmup_stable_decay(*arguments)


def test_a_recipe_turns_shares_into_steps():
    recipe = Recipe(steps=40, batch=8, context=4, schedule="wsd", warmup=0.1, decay=0.25, floor=0.0)
    assert [recipe.factor(step) for step in range(40)] == [warmup_stable_decay(step, 40, 4, 10) for step in range(40)]
    cosine = Recipe(steps=40, batch=8, context=4, warmup=0.1, floor=0.2)
    assert [cosine.factor(step) for step in range(40)] == [warmup_cosine(step, 40, 4, 0.2) for step in range(40)]
    assert Recipe(steps=1, batch=1, context=1, warmup=0.9).factor(0) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0}, {"batch": 0}, {"context": 0}, {"accumulation": 0}, {"seed": -1}, {"steps": 2.5}, {"steps": True},
        {"optimiser": "sgd"}, {"schedule": "linear"}, {"dtype": "float16"}, {"lr": 0.0}, {"lr": float("inf")},
        {"lr": float("nan")}, {"clip": 0.0}, {"weight_decay": -0.1}, {"beta1": 1.0}, {"warmup": 1.0}, {"floor": 2.0},
        {"accumulation": 3}, {"schedule": "wsd", "warmup": 0.5, "decay": 0.7},
    ],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_names_what_is_wrong(changes):
    name = next(reversed(changes))
    with pytest.raises(ValueError, match=f"{name} = "):
        Recipe(**{"steps": 10, "batch": 8, "context": 4, **changes})


def test_a_recipe_from_a_file():
    values = {"steps": 10, "batch": 8, "context": 4, "lr": 0.1}
    assert Recipe.from_dict(values) == Recipe(10, 8, 4, lr=0.1)
    with pytest.raises(ValueError, match="a recipe has no learning_rate: expected some of steps, batch"):
        Recipe.from_dict({**values, "learning_rate": 1})
    with pytest.raises(ValueError, match=r"incomplete.*'context'"):
        Recipe.from_dict({"steps": 10, "batch": 8})


def test_what_makes_another_run():
    a = Recipe(10, 8, 4)
    assert a.differences(Recipe(10, 8, 4, accumulation=2, dtype="bfloat16", compile=True, rescue=False)) == []
    assert a.differences(Recipe(12, 8, 4, lr=0.1)) == ["steps = 10 and 12", "lr = 0.001 and 0.1"]
