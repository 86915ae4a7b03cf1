"""Lab 07, what a recipe is worth: the exercise of `lablib.pretraining.muon`."""

from typing import Any

import torch
from torch import Tensor

from lablib.course.exercise import Attempt, Exercise, Mistake
from lablib.pretraining.muon import COEFFICIENTS, newton_schulz_step

Three = tuple[float, float, float]

# ---------------------------------------------------------------- one Newton–Schulz step


def check_newton_schulz_step(attempt: Attempt) -> None:
    names: dict[str, Any] = {"outputs": ["the matrices"], "axes": ["N", "A", "B"]}
    diagonal = torch.tensor([[[0.5, 0.0], [0.0, 1.0]]])
    attempt.compare("one matrix with 0.5 and 1 on its diagonal", diagonal, **names)
    attempt.compare("one matrix (1, 3, 3)", attempt.normal(1, 3, 3, scale=0.4), **names)
    others = (2.0, -1.5, 0.5)
    attempt.compare("the coefficients (2, −1.5, 0.5)", attempt.normal(1, 3, 3, scale=0.4), others, **names)
    attempt.compare("two matrices (2, 3, 3)", attempt.normal(2, 3, 3, scale=0.4), others, **names)
    attempt.compare("two wide matrices (2, 3, 5)", attempt.normal(2, 3, 5, scale=0.3), others, gradients=True, **names)
    attempt.compare("three tall matrices (3, 4, 2)", attempt.normal(3, 4, 2, scale=0.3), **names)
    attempt.keeps_type_and_device(attempt.normal(2, 3, 5, scale=0.3), **names)


def _each_number(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    return a * X + b * X**3 + c * X**5


def _square_of_each_number(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    M = X @ X.mT
    return a * X + (b * M + c * M * M) @ X


def _no_square(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    M = X @ X.mT
    return a * X + (b * M + c * M) @ X


def _last_product_forgotten(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    M = X @ X.mT
    return a * X + b * M @ X + c * M @ M


def _swapped(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    return newton_schulz_step(X, (a, c, b))


def _no_a(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    return newton_schulz_step(X, (1.0, *coefficients[1:]))


def _change_only(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    return newton_schulz_step(X, (0.0, *coefficients[1:]))


def _fixed_coefficients(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    return newton_schulz_step(X)


def _normalised(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    return newton_schulz_step(X / torch.linalg.vector_norm(X, dim=(-2, -1), keepdim=True), coefficients)


def _whole_iteration(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    for _ in range(5):
        X = newton_schulz_step(X, coefficients)
    return X


def _without_transpose(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    M = X @ X
    return a * X + (b * M + c * M @ M) @ X


def _across_matrices(X: Tensor, coefficients: Three = COEFFICIENTS) -> Tensor:
    a, b, c = coefficients
    M = (X @ X.mT).mean(0)
    return a * X + (b * M + c * M @ M) @ X


EXERCISES = [
    Exercise(
        lab="07",
        target="lablib.pretraining.muon:newton_schulz_step",
        title="All directions alike: one step of Muon's iteration",
        difficulty=3,
        importance=3,
        minutes=10,
        hints=(
            "Write X = U S Vᵀ, with singular values on the diagonal of S. What are then X Xᵀ and X Xᵀ X? No decomposition has to be "
            "computed: three products of matrices are all.",
            "X Xᵀ X = U S³ Vᵀ, and once more X Xᵀ in front of it makes U S⁵ Vᵀ. `X.mT` turns each of the N matrices, and `@` multiplies "
            "each pair of matrices by itself.",
            "`M = X @ X.mT`, then `a * X + (b * M + c * M @ M) @ X`.",
        ),
        reasoning="U and V never appear, and yet they stay as they are: each term is U (a power of S) Vᵀ, and only odd powers can be made "
        "of such products. The coefficients (2, −1.5, 0.5) have their fixed point at exactly 1, but they only double a small value in "
        "each step. Muon's more than triple it, and then let all values dance around 1, which is good enough for a step of an "
        "optimiser. The reference has each pair of product and sum in one call (`torch.baddbmm`); it is the same arithmetic.",
        check=check_newton_schulz_step,
        mistakes=(
            Mistake(
                "each number",
                _each_number,
                "The polynomial was taken of each *number* of X: it is one of the matrix, so powers are products of matrices (`@`).",
            ),
            Mistake(
                "square of each number",
                _square_of_each_number,
                "`M * M` squares each number: M·M is a product of matrices, `M @ M`.",
            ),
            Mistake(
                "no square", _no_square, "c was multiplied with M: it belongs to M·M, which makes the fifth power."
            ),
            Mistake(
                "last product forgotten",
                _last_product_forgotten,
                "c·M·M was added without the last product: all of (b·M + c·M·M) is multiplied with X.",
            ),
            Mistake("swapped", _swapped, "b and c were exchanged: b belongs to M, c to M·M."),
            Mistake("no a", _no_a, "X itself was added as it is: it is multiplied with a."),
            Mistake("change only", _change_only, "The term a·X is missing."),
            Mistake(
                "fixed coefficients",
                _fixed_coefficients,
                "Muon's own coefficients were used: take those that are given, a, b and c.",
            ),
            Mistake(
                "normalised",
                _normalised,
                "X was divided by its length first: that is done once, before the first step, and not in here.",
            ),
            Mistake("whole iteration", _whole_iteration, "Five steps were made: one is asked for."),
            Mistake(
                "without transpose",
                _without_transpose,
                "M was X·X: it is X Xᵀ, with the transposed matrix (`X.mT`).",
            ),
            Mistake(
                "across matrices",
                _across_matrices,
                "The N matrices were mixed: each has an M of its own, which `X @ X.mT` gives.",
            ),
        ),
    )
]
