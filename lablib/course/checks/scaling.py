"""Lab 07: the exercises of `lablib.pretraining.scaling` and `lablib.pretraining.planner`."""

from collections.abc import Callable, Sequence
from typing import Any

from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake
from lablib.pretraining.planner import state_bytes
from lablib.pretraining.scaling import HOFFMANN, compute_optimal


def _refuses(arguments: Sequence[Any], word: str) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: these arguments raise a ValueError that has the word in its message."""

    def holds(implementation: Implementation) -> bool:
        try:
            implementation(*arguments)
        except ValueError as error:
            return word in str(error)
        except (ArithmeticError, TypeError):
            return False
        return False

    return holds


# ---------------------------------------------------------------- the best use of compute

UNCHECKED_LAW = (
    "Look at each argument before you compute, and raise a ValueError that names the one that is not above 0."
)


def check_compute_optimal(attempt: Attempt) -> None:
    names = ("N", "D")
    attempt.compare("C = 24000, A = 5, B = 30, alpha = 0.5, beta = 0.25", 24_000.0, 5.0, 30.0, 0.5, 0.25, outputs=names)
    attempt.compare("C = 2400, A = B, alpha = beta", 2400.0, 8.0, 8.0, 0.5, 0.5, outputs=names)
    law = (HOFFMANN.A, HOFFMANN.B, HOFFMANN.alpha, HOFFMANN.beta)
    attempt.compare("Chinchilla's compute, 5.76e23, and its paper's law", 5.76e23, *law, outputs=names)
    attempt.compare("a thousandth of that compute", 5.76e20, *law, outputs=names)
    for number, name in enumerate(("C", "A", "B", "alpha", "beta")):
        arguments = [1e15, 5.0, 30.0, 0.5, 0.25]
        arguments[number] = 0.0
        attempt.require(
            _refuses(arguments, name),
            [f"Tried with {name} = 0, and the rest above 0.", f"Expected a ValueError whose message names {name}."],
            UNCHECKED_LAW,
        )


def _optimum(
    compute: Callable[[float], float] = lambda C: C / 6,
    G: Callable[[float, float, float, float], float] = lambda A, B, a, b: (a * A / (b * B)) ** (1 / (a + b)),
    swapped: bool = False,
) -> Callable[..., tuple[float, float]]:
    """The closed form with one part of it replaced."""

    def optimal(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
        compute_optimal(C, A, B, alpha, beta)  # the errors of the right one
        share = (alpha if swapped else beta) / (alpha + beta)
        return G(A, B, alpha, beta) * compute(C) ** share, compute(C) ** (1 - share) / G(A, B, alpha, beta)

    return optimal


_optimal_six_forgotten = _optimum(compute=lambda C: C)
_optimal_swapped_powers = _optimum(swapped=True)
_optimal_equal_terms = _optimum(G=lambda A, B, a, b: (A / B) ** (1 / (a + b)))
_optimal_upside_down = _optimum(G=lambda A, B, a, b: (b * B / (a * A)) ** (1 / (a + b)))
_optimal_no_root = _optimum(G=lambda A, B, a, b: a * A / (b * B))
_optimal_wrong_root = _optimum(G=lambda A, B, a, b: (a * A / (b * B)) ** (a + b))


def _optimal_rule_of_thumb(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    compute_optimal(C, A, B, alpha, beta)
    N = (C / 120) ** 0.5
    return N, 20 * N


def _optimal_half_each(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    compute_optimal(C, A, B, alpha, beta)
    return (C / 6) ** 0.5, (C / 6) ** 0.5


def _optimal_whole_rest(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    N, _ = compute_optimal(C, A, B, alpha, beta)
    return N, C / N


def _optimal_tokens_first(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    N, D = compute_optimal(C, A, B, alpha, beta)
    return D, N


def _optimal_rounded(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    N, D = compute_optimal(C, A, B, alpha, beta)
    return float(round(N)), float(round(D))


def _optimal_unchecked(C: float, A: float, B: float, alpha: float, beta: float) -> tuple[float, float]:
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return G * (C / 6) ** (beta / (alpha + beta)), (C / 6) ** (alpha / (alpha + beta)) / G


# ---------------------------------------------------------------- who keeps which state

UNCHECKED_STAGE = "ZeRO has the stages 0 to 3: raise a ValueError that names `stage` for any other."
UNCHECKED_DEVICES = "There is at least one device: raise a ValueError that names `devices` for fewer."
PARTS = ("weights", "gradients", "optimiser")


def check_state_bytes(attempt: Attempt) -> None:
    for stage in (1, 2, 3, 0):
        case = f"1,000 parameters, stage = {stage}, devices = 3"
        attempt.compare(case, 1000, stage, 3, outputs=PARTS)
    attempt.compare("7,500,000,000 parameters, stage = 2, devices = 64", 7_500_000_000, 2, 64, outputs=PARTS)
    attempt.compare("1,000 parameters, stage = 3, one device", 1000, 3, 1, outputs=PARTS)
    attempt.compare("1,000 parameters, and nothing else given", 1000, outputs=PARTS)
    for stage in (4, -1):
        lines = [
            f"Tried with 1,000 parameters, stage = {stage}, devices = 8.",
            "Expected a ValueError whose message names `stage`.",
        ]
        attempt.require(_refuses((1000, stage, 8), "stage"), lines, UNCHECKED_STAGE)
    for stage in (0, 3):
        lines = [
            f"Tried with 1,000 parameters, stage = {stage}, devices = 0.",
            "Expected a ValueError whose message names `devices`.",
        ]
        attempt.require(_refuses((1000, stage, 0), "devices"), lines, UNCHECKED_DEVICES)


State = tuple[float, float, float]


def _state(sizes: tuple[float, float, float], first: tuple[int, int, int] = (3, 2, 1)) -> Callable[..., State]:
    """A rule with other bytes, or that spreads its parts from other stages on."""

    def bytes_(parameters: int, stage: int = 0, devices: int = 1) -> State:
        state_bytes(parameters, stage, devices)  # the errors of the right one
        weights, gradients, optimiser = (
            size * parameters / (devices if stage >= least else 1) for size, least in zip(sizes, first, strict=True)
        )
        return weights, gradients, optimiser

    return bytes_


_state_all_spread = _state((2, 2, 12), (0, 0, 0))
_state_off_by_one = _state((2, 2, 12), (2, 1, 0))
_state_weights_first = _state((2, 2, 12), (1, 2, 3))
_state_no_master = _state((2, 2, 8))
_state_full_precision = _state((4, 4, 8))
_state_full_gradients = _state((2, 4, 12))
_state_never_spread = _state((2, 2, 12), (9, 9, 9))


def _state_only_its_own(parameters: int, stage: int = 0, devices: int = 1) -> State:
    weights, gradients, optimiser = state_bytes(parameters, 0, devices)
    state_bytes(parameters, stage, devices)
    if stage == 1:
        optimiser /= devices
    elif stage == 2:
        gradients /= devices
    elif stage == 3:
        weights /= devices
    return weights, gradients, optimiser


def _state_total(parameters: int, stage: int = 0, devices: int = 1) -> float:
    return sum(state_bytes(parameters, stage, devices))


def _state_reversed(parameters: int, stage: int = 0, devices: int = 1) -> State:
    weights, gradients, optimiser = state_bytes(parameters, stage, devices)
    return optimiser, gradients, weights


def _state_floor(parameters: int, stage: int = 0, devices: int = 1) -> State:
    weights, gradients, optimiser = state_bytes(parameters, stage, devices)
    return weights // 1, gradients // 1, optimiser // 1


def _state_gigabytes(parameters: int, stage: int = 0, devices: int = 1) -> State:
    weights, gradients, optimiser = state_bytes(parameters, stage, devices)
    return weights / 1e9, gradients / 1e9, optimiser / 1e9


def _state_any_stage(parameters: int, stage: int = 0, devices: int = 1) -> State:
    return state_bytes(parameters, min(max(stage, 0), 3), devices)


def _state_any_devices(parameters: int, stage: int = 0, devices: int = 1) -> State:
    return state_bytes(parameters, stage, max(devices, 1))


EXERCISES = [
    Exercise(
        lab="07",
        target="lablib.pretraining.scaling:compute_optimal",
        title="How to spend a budget",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "The docstring has the three lines; the work is to trust them. Where does the pair come from? Put D = C/(6·N) into the law: it "
            "is a function of N alone now, and at its lowest place its slope is 0.",
            "That slope is −α·A/N^(α+1) + β·B·(6/C)^β·N^(β−1). Set it to 0, multiply by N, and you have α·A/N^α = β·B/D^β. Solve for N; "
            "D is what is left, C/(6·N).",
            "First a loop over names and values that raises; then `G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))`, "
            "`N = G * (C / 6) ** (beta / (alpha + beta))`, and `D = C / (6 * N)`.",
        ),
        reasoning="E does not occur: what nobody can avoid does not change how to spend. The powers of C say how both should grow: "
        "with α = β each as the square root. The term that falls more slowly gets more of the growth: N's power is β/(α+β). It is the "
        "slopes that balance, not the terms: with Hoffmann's constants the two terms of the loss differ by a fifth at the best place.",
        check=check_compute_optimal,
        mistakes=(
            Mistake(
                "six forgotten",
                _optimal_six_forgotten,
                "The 6 is missing: a token costs 6 FLOPs for each parameter, so N·D is C/6.",
            ),
            Mistake(
                "powers swapped",
                _optimal_swapped_powers,
                "The powers of C are exchanged: N grows with β/(α+β). The faster the data's term falls, the less of it is needed.",
            ),
            Mistake(
                "equal terms",
                _optimal_equal_terms,
                "A/N^α and B/D^β were made equal. What balances is what a bit more of each would gain: α·A/N^α = β·B/D^β.",
            ),
            Mistake("G upside down", _optimal_upside_down, "G is upside down: a larger A asks for more parameters."),
            Mistake("no root", _optimal_no_root, "The power 1/(α+β) of G is missing."),
            Mistake("wrong root", _optimal_wrong_root, "The power of G is 1/(α+β), not α+β."),
            Mistake(
                "rule of thumb",
                _optimal_rule_of_thumb,
                "That is the rule of 20 tokens for each parameter. It comes from one set of constants; here the constants are given.",
            ),
            Mistake(
                "half each",
                _optimal_half_each,
                "N and D came out alike. That is right only where A = B and α = β: look how G and the powers depend on them.",
            ),
            Mistake("rest of C", _optimal_whole_rest, "D is C/N: but 6·N·D has to be C, so D is C/(6·N)."),
            Mistake("tokens first", _optimal_tokens_first, "The two are returned in the wrong order: N, then D."),
            Mistake("rounded", _optimal_rounded, "The results are rounded: return them as they are."),
            Mistake("unchecked", _optimal_unchecked, UNCHECKED_LAW),
        ),
    ),
    Exercise(
        lab="07",
        target="lablib.pretraining.planner:state_bytes",
        title="What fills the memory",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Write the three amounts for one device that keeps everything: 2, 2 and 12 bytes for each parameter. Then let the stages "
            "divide them.",
            "A higher stage does what all lower ones do, and more: `if stage >= 1:`, not `if stage == 1:`.",
            "`optimiser /= devices` from stage 1 on, `gradients /= devices` from stage 2 on, `weights /= devices` at stage 3; before "
            "that `raise ValueError(...)` for a stage that is none of 0, 1, 2, 3, and for fewer devices than one.",
        ),
        reasoning="The optimiser holds three quarters of the state, so stage 1 is worth most. It and stage 2 send no more between the "
        "devices than plain data-parallel training does. Stage 3 has to fetch each layer's weights before it is used, in both passes: half "
        "as much traffic again (Rajbhandari et al. 2020, §7). The activations are not in here; they depend on the batch.",
        check=check_state_bytes,
        mistakes=(
            Mistake(
                "all spread",
                _state_all_spread,
                "Everything is spread at every stage: stage 1 spreads the optimiser's alone, stage 2 the gradients too.",
            ),
            Mistake("off by one", _state_off_by_one, "Each stage spreads one part too many: stage 0 spreads nothing."),
            Mistake(
                "only its own",
                _state_only_its_own,
                "Each stage spreads its own part only: a stage does what all lower ones do as well (>=, not ==).",
            ),
            Mistake(
                "weights first",
                _state_weights_first,
                "The stages begin at the wrong end: the optimiser's part is spread first, the weights last.",
            ),
            Mistake(
                "no master weights",
                _state_no_master,
                "The optimiser has 12 bytes: besides AdamW's two averages it keeps the weights in full precision.",
            ),
            Mistake(
                "full precision",
                _state_full_precision,
                "That is training in full precision, 4 + 4 + 8 bytes. The sum is the same; in mixed precision the parts are 2 + 2 + 12.",
            ),
            Mistake(
                "full gradients",
                _state_full_gradients,
                "The gradients have 2 bytes here. (Some programs add them up in 4, which makes 18 bytes a parameter.)",
            ),
            Mistake(
                "never spread",
                _state_never_spread,
                "Nothing is divided by `devices`: what is asked for is the memory of one device.",
            ),
            Mistake(
                "total", _state_total, "The sum was returned: expected the three parts, weights, gradients, optimiser."
            ),
            Mistake("reversed", _state_reversed, "The parts are in the wrong order: weights, gradients, optimiser."),
            Mistake("floor", _state_floor, "The bytes were rounded down (// or int): return them as they are, floats."),
            Mistake("gigabytes", _state_gigabytes, "The result is in gigabytes: expected bytes."),
            Mistake("any stage", _state_any_stage, UNCHECKED_STAGE),
            Mistake("any number of devices", _state_any_devices, UNCHECKED_DEVICES),
        ),
    ),
]
