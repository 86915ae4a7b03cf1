"""Lab 07, scaling: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import math

from scipy.optimize import minimize_scalar

from lablib.pretraining.planner import state_bytes
from lablib.pretraining.scaling import compute_optimal

# ---------------------------------------------------------------- compute_optimal


def _positive(**given):
    for name, value in given.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive, got {value}")


def optimal_from_the_slope(C, A, B, alpha, beta):
    _positive(C=C, A=A, B=B, alpha=alpha, beta=beta)
    N = (alpha * A / (beta * B) * (C / 6) ** beta) ** (1 / (alpha + beta))
    return N, C / (6 * N)


def optimal_by_logarithms(C, A, B, alpha, beta):
    _positive(C=C, A=A, B=B, alpha=alpha, beta=beta)
    log_N = (math.log(alpha * A) - math.log(beta * B) + beta * math.log(C / 6)) / (alpha + beta)
    return math.exp(log_N), math.exp(math.log(C / 6) - log_N)


def optimal_by_bisection(C, A, B, alpha, beta):
    _positive(C=C, A=A, B=B, alpha=alpha, beta=beta)
    low, high = 0.0, math.log(C / 6)
    low, high = low - 50, high + 50
    for _ in range(200):
        middle = (low + high) / 2
        gain_N = math.log(alpha * A) - alpha * middle
        gain_D = math.log(beta * B) - beta * (math.log(C / 6) - middle)
        low, high = (middle, high) if gain_N > gain_D else (low, middle)
    N = math.exp(low)
    return [N, C / 6 / N]


def optimal_by_search(C, A, B, alpha, beta):
    _positive(C=C, A=A, B=B, alpha=alpha, beta=beta)
    found = minimize_scalar(
        lambda x: A * math.exp(-alpha * x) + B * (6 * math.exp(x) / C) ** beta, bounds=(0, 80), method="bounded"
    )
    N = math.exp(found.x)
    return N, C / 6 / N


def optimal_only_N(C, A, B, alpha, beta):
    return compute_optimal(C, A, B, alpha, beta)[0]


def optimal_tokens_per_parameter(C, A, B, alpha, beta):
    N, D = compute_optimal(C, A, B, alpha, beta)
    return N, D / N


def optimal_of_two(C, A, B, alpha, beta):
    return compute_optimal(3 * C, A, B, alpha, beta)


def optimal_a_bit_off(C, A, B, alpha, beta):
    N, D = compute_optimal(C, A, B, alpha, beta)
    return N * (1 + 1e-3), D


def optimal_returns_nan_for_nonsense(C, A, B, alpha, beta):
    if min(C, A, B, alpha, beta) <= 0:
        return math.nan, math.nan
    return compute_optimal(C, A, B, alpha, beta)


def optimal_wordless(C, A, B, alpha, beta):
    if min(C, A, B, alpha, beta) <= 0:
        raise ValueError
    return compute_optimal(C, A, B, alpha, beta)


def optimal_checks_C_only(C, A, B, alpha, beta):
    _positive(C=C)
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return G * (C / 6) ** (beta / (alpha + beta)), (C / 6) ** (alpha / (alpha + beta)) / G


# ---------------------------------------------------------------- state_bytes


def state_as_one_expression(parameters, stage=0, devices=1):
    if stage not in range(4) or devices < 1:
        raise ValueError(f"stage {stage} or devices {devices} is out of range")
    shares = [devices if stage >= least else 1 for least in (3, 2, 1)]
    return tuple(size * parameters / share for size, share in zip((2, 2, 12), shares, strict=True))


def state_by_a_table(parameters, stage=0, devices=1):
    rows = {0: (1, 1, 1), 1: (1, 1, devices), 2: (1, devices, devices), 3: (devices, devices, devices)}
    if stage not in rows:
        raise ValueError(f"no such stage: {stage}")
    if devices < 1:
        raise ValueError(f"devices: {devices}")
    weights, gradients, optimiser = rows[stage]
    return [2 * parameters / weights, 2 * parameters / gradients, (4 + 4 + 4) * parameters / optimiser]


def state_asserts(parameters, stage=0, devices=1):
    assert 0 <= stage <= 3, "stage"
    assert devices >= 1, "devices"
    return state_bytes(parameters, stage, devices)


def state_of_bits(parameters, stage=0, devices=1):
    return tuple(8 * x for x in state_bytes(parameters, stage, devices))


def state_two_parts(parameters, stage=0, devices=1):
    weights, gradients, optimiser = state_bytes(parameters, stage, devices)
    return weights + gradients, optimiser


def state_one_average(parameters, stage=0, devices=1):
    weights, gradients, optimiser = state_bytes(parameters, stage, devices)
    return weights, gradients, optimiser * 2 / 3


def state_as_dict(parameters, stage=0, devices=1):
    return dict(zip(("weights", "gradients", "optimiser"), state_bytes(parameters, stage, devices), strict=True))


def state_per_parameter(parameters, stage=0, devices=1):
    return state_bytes(1, stage, devices)


def state_stage_3_as_2(parameters, stage=0, devices=1):
    state_bytes(parameters, stage, devices)
    return state_bytes(parameters, min(stage, 2), devices)


def state_negative_stage_is_none(parameters, stage=0, devices=1):
    return state_bytes(parameters, max(stage, 0), devices)


RIGHT = {
    "compute_optimal": [optimal_from_the_slope, optimal_by_logarithms, optimal_by_bisection, optimal_by_search],
    "state_bytes": [state_as_one_expression, state_by_a_table],
}
WRONG = {
    "compute_optimal": [
        ("one result", optimal_only_N, "expected 2 results"),
        optimal_tokens_per_parameter,
        optimal_of_two,
        optimal_a_bit_off,
        ("nan", optimal_returns_nan_for_nonsense, "names C"),
        ("wordless", optimal_wordless, "names C"),
        ("C only", optimal_checks_C_only, "names A"),
    ],
    "state_bytes": [
        ("assert", state_asserts, "AssertionError"),
        state_of_bits,
        ("two parts", state_two_parts, "expected 3 results"),
        state_one_average,
        ("dict", state_as_dict, "expected 3 results"),
        state_per_parameter,
        state_stage_3_as_2,
        ("negative stage", state_negative_stage_is_none, "stage = -1"),
    ],
}
