"""The dial: what is asked is given, and more is never less."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib import paths
from lablib.architecture.decoder import Decoder
from lablib.architecture.encoder_decoder import count
from lablib.pretraining import dial
from lablib.pretraining.command import with_settings
from lablib.pretraining.dial import MOST, model_of, plan

SMALLEST = {64: 50_204, 256: 58_652, 4096: 227_612, 50_257: 2_258_696}  # parameters of the first rung, by vocabulary


@settings(deadline=None, max_examples=150)
@given(V=st.sampled_from(sorted(SMALLEST)), share=st.floats(0, 1))
def test_within_a_tenth_of_what_is_asked(V, share):
    low, high = math.log(SMALLEST[V]), math.log(2e10)
    asked = math.exp(low + share * (high - low)) * (1 + 1e-9)
    found = model_of(asked, V)
    assert found.parameters == pytest.approx(asked, rel=0.1)
    assert found.D == found.L * found.K
    assert found.H == found.L
    assert 1.9 < found.hidden / found.D < 3.6


@pytest.mark.parametrize("V", [256, 4096])
def test_monotone(V):
    asked = [SMALLEST[V] * 1.02**n for n in range(500)]
    plans = [plan(parameters, V) for parameters in asked]
    for name, values in {
        "parameters": [p.model.parameters for p in plans],
        "layers": [p.model.L for p in plans],
        "batch": [p.recipe.batch for p in plans],
        "tokens": [p.flops / p.model.parameters for p in plans],
        "gentleness": [-p.recipe.lr for p in plans],
    }.items():
        if name == "tokens":  # the last batch is whole: up to one batch more than 20 tokens for each parameter
            assert all(a <= b * 1.001 for a, b in pairwise(values)), name
        else:
            assert values == sorted(values), name
        assert len(set(values)) > 5, name


def test_the_count_is_that_of_a_real_model():
    for asked in (227_700, 3e6):
        config = plan(asked, 4096).model
        assert count(Decoder(config)) == config.parameters


@pytest.mark.parametrize(
    ("parameters", "V", "L", "K"), [(124e6, 50_257, 12, 64), (6.7e9, 32_000, 31, 128), (175e9, 50_257, 91, 128)]
)
def test_large_models_have_about_the_depth_of_known_ones(parameters, V, L, K):
    """GPT-2 has 12 layers with heads of 64, the original Llama 7B 32 of 128, GPT-3 96 of 128."""
    found = model_of(parameters, V)
    assert (found.L, found.K) == (L, K)


def test_the_rules_by_hand():
    found = plan(3.1e7, V=2048, context=256)
    N = found.model.parameters
    C = 6 * N * 20 * N
    assert found.recipe.lr == pytest.approx(0.3118 * C**-0.1250, rel=1e-6)
    assert found.recipe.batch == 8 * round(0.2920 * C**0.3271 / 256 / 8)
    assert found.recipe.steps == math.ceil(20 * N / (found.recipe.batch * 256))
    assert found.tokens == found.recipe.steps * found.recipe.batch * 256
    assert 20 * N <= found.tokens < 20 * N + found.recipe.batch * 256
    assert found.flops == 6 * N * found.tokens
    few = plan(3.1e7, V=2048, tokens_per_parameter=10, optimiser="muon", dtype="bfloat16", multiple=16)
    assert few.recipe.batch % 16 == 0
    assert few.recipe.lr > found.recipe.lr
    assert (few.recipe.optimiser, few.recipe.dtype) == ("muon", "bfloat16")


def test_a_small_run_has_the_rate_that_was_the_best_of_those_tried():
    runs = json.loads(paths.data_path("experiments/learning_rate.json").read_text(encoding="utf-8"))["runs"]
    above: dict[float, list[float]] = {}
    for run in runs:
        if run["label"].startswith("adamw"):
            above.setdefault(run["recipe"]["lr"], []).append(run["loss"])
    best = min(above, key=lambda lr: sum(above[lr]))
    tried = runs[0]
    found = plan(tried["parameters"], V=4096, tokens_per_parameter=tried["tokens"] / tried["parameters"])
    assert found.recipe.lr == best == dial.LARGEST_LR
    assert 0.3118 * tried["flops"] ** -0.1250 > 2.5 * best


@pytest.mark.parametrize("asked", [0, 227_611, 2 * MOST, math.nan])
def test_too_small_or_too_large(asked):
    with pytest.raises(ValueError, match="expected 227,612 to 1,000,000,000,000 with a vocabulary of V = 4,096"):
        model_of(asked, 4096)


def test_no_tokens():
    with pytest.raises(ValueError, match="tokens_per_parameter = 0"):
        plan(3e6, 4096, tokens_per_parameter=0)


@pytest.mark.parametrize("spelled", ["false", "False"])
def test_a_switch_on_the_command_line_is_off_however_it_is_spelled(spelled):
    changed = with_settings(plan(1e6, V=512).model, [f"tied={spelled}"])
    assert changed.tied is False
    with pytest.raises(ValueError, match="'tied=no': expected tied=true or tied=false"):
        with_settings(changed, ["tied=no"])
