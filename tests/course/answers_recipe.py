"""Right and wrong answers for lablib.course.checks.recipe, written the way learners write."""

import torch

from lablib.pretraining.muon import COEFFICIENTS, newton_schulz_step

# ---------------------------------------------------------------- newton_schulz_step


def step_as_written(X, coefficients=COEFFICIENTS):
    a, b, c = coefficients
    M = X @ X.mT
    return a * X + (b * M + c * M @ M) @ X


def step_from_the_other_side(X, coefficients=COEFFICIENTS):
    a, b, c = coefficients
    N = X.transpose(-2, -1) @ X
    return X @ (a * torch.eye(N.shape[-1], dtype=X.dtype, device=X.device) + b * N + c * N @ N)


def step_by_powers(X, coefficients=COEFFICIENTS):
    third = torch.bmm(torch.bmm(X, X.mT), X)
    fifth = torch.einsum("nab,ncb,ncd->nad", X, X, third)
    return coefficients[0] * X + coefficients[1] * third + coefficients[2] * fifth


def step_one_by_one(X, coefficients=COEFFICIENTS):
    a, b, c = coefficients
    out = []
    for x in X:
        M = x @ x.T
        out.append(a * x + b * (M @ x) + c * (M @ (M @ x)))
    return torch.stack(out)


def step_twice(X, coefficients=COEFFICIENTS):
    return newton_schulz_step(newton_schulz_step(X, coefficients), coefficients)


def step_transposed_back(X, coefficients=COEFFICIENTS):
    return newton_schulz_step(X, coefficients).mT.contiguous()


def step_keeps_x(X, coefficients=COEFFICIENTS):
    return X.clone()


def step_negative(X, coefficients=COEFFICIENTS):
    a, b, c = coefficients
    return newton_schulz_step(X, (a, -b, c))


def step_by_svd_exact(X, coefficients=COEFFICIENTS):
    U, _, Vt = torch.linalg.svd(X, full_matrices=False)
    return U @ Vt


def step_adds_identity(X, coefficients=COEFFICIENTS):
    a, b, c = coefficients
    M = X @ X.mT
    return (a + b * M + c * M @ M) @ X


def step_all_at_once(X, coefficients=COEFFICIENTS):
    a, b, c = coefficients
    flat = X.flatten(0, 1)
    M = flat @ flat.T
    return (a * flat + (b * M + c * M @ M) @ flat).view_as(X)


def step_first_only(X, coefficients=COEFFICIENTS):
    return newton_schulz_step(X[:1], coefficients)


def step_in_place(X, coefficients=COEFFICIENTS):
    X.copy_(newton_schulz_step(X, coefficients))
    return X


def step_in_bfloat16(X, coefficients=COEFFICIENTS):
    return newton_schulz_step(X.bfloat16(), coefficients)


RIGHT = {
    "newton_schulz_step": [step_as_written, step_from_the_other_side, step_by_powers, step_one_by_one],
}
WRONG = {
    "newton_schulz_step": [
        step_twice,
        step_transposed_back,
        step_keeps_x,
        step_negative,
        step_by_svd_exact,
        step_adds_identity,
        step_all_at_once,
        step_first_only,
        ("in place", step_in_place, "in place"),
        ("bfloat16", step_in_bfloat16, "wrong dtype"),
    ],
}
