"""Lab 03: the exercises of `lablib.architecture.positions`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lablib.architecture.positions import (
    LearnedPositions,
    alibi_bias,
    alibi_slopes,
    apply_rope,
    rotary_angles,
    rotary_table,
)
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake

MODULE = "lablib.architecture.positions"
Attend = Callable[[Tensor], Tensor]


def _refuses(call: Callable[[Implementation], Any], *words: str) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: the call raises ValueError, with all the words in its message."""

    def holds(implementation: Implementation) -> bool:
        try:
            call(implementation)
        except ValueError as error:
            return all(word in str(error) for word in words)
        return False

    return holds


# ---------------------------------------------------------------- 1 order


def _running_sum(x: Tensor) -> Tensor:
    return -2 * x.cumsum(dim=-2)


def check_order_gap(attempt: Attempt) -> None:
    x, order = torch.tensor([[1.0], [5.0]]), torch.tensor([1, 0])
    attempt.compare("attend: −2 times the running sum, x [[1], [5]], the two positions swapped", _running_sum, x, order)
    x = attempt.normal(2, 3, 5, 4)
    order = torch.tensor([3, 0, 4, 2, 1])
    attempt.compare("x (2, 3, 5, 4) and a permutation of 5", _running_sum, x, order)
    attempt.compare("attend: x → 2x, which is blind to order", lambda x: 2 * x, x, order)
    attempt.compare("attend: x → x turned round in time", lambda x: x.flip(-2), x, order)


def _gap_not_shuffled_after(attend: Attend, x: Tensor, permutation: Tensor) -> float:
    return (attend(x[..., permutation, :]) - attend(x)).abs().max().item()


def _gap_first_axis(attend: Attend, x: Tensor, permutation: Tensor) -> float:
    return (attend(x[permutation]) - attend(x)[permutation]).abs().max().item()


def _gap_last_axis(attend: Attend, x: Tensor, permutation: Tensor) -> float:
    return (attend(x[..., permutation]) - attend(x)[..., permutation]).abs().max().item()


def _gap_signed(attend: Attend, x: Tensor, permutation: Tensor) -> float:
    return (attend(x[..., permutation, :]) - attend(x)[..., permutation, :]).max().item()


def _gap_mean(attend: Attend, x: Tensor, permutation: Tensor) -> float:
    return (attend(x[..., permutation, :]) - attend(x)[..., permutation, :]).abs().mean().item()


def _gap_undone(attend: Attend, x: Tensor, permutation: Tensor) -> float:
    back = permutation.argsort()
    return (attend(x[..., permutation, :]) - attend(x)[..., back, :]).abs().max().item()


# ---------------------------------------------------------------- 2 sinusoidal


def check_sinusoidal(attempt: Attempt) -> None:
    attempt.compare("T = 2, D = 4", 2, 4, outputs=["the encoding"], axes=["T", "D"])
    attempt.compare("T = 50, D = 16", 50, 16, rtol=1e-4, outputs=["the encoding"], axes=["T", "D"])
    attempt.compare("T = 3, D = 8, start = 10", 3, 8, 10, rtol=1e-4, outputs=["the encoding"], axes=["T", "D"])
    attempt.require(
        _refuses(lambda encode: encode(3, 5)),
        ["Tried with T = 3, D = 5: expected a ValueError, since the last wave would lack its cosine."],
        "Look at `D % 2` before anything is computed, and `raise ValueError(...)`.",
    )


def _waves(T: int, D: int, start: int = 0, step: float = 2.0, sign: int = -1) -> tuple[Tensor, Tensor]:
    positions = torch.arange(start, start + T, dtype=torch.float64)[:, None]
    angles = positions * 10_000.0 ** (sign * step * torch.arange(D // 2, dtype=torch.float64) / D)
    return angles.sin().float(), angles.cos().float()


def _interleave(even: Tensor, odd: Tensor) -> Tensor:
    return torch.stack((even, odd), dim=-1).flatten(-2)


def _sinusoid_halves(T: int, D: int, start: int = 0) -> Tensor:
    return torch.cat(_waves(T, D, start), dim=-1)


def _sinusoid_swapped(T: int, D: int, start: int = 0) -> Tensor:
    return _interleave(*_waves(T, D, start)[::-1])


def _sinusoid_half_exponent(T: int, D: int, start: int = 0) -> Tensor:
    return _interleave(*_waves(T, D, start, step=1.0))


def _sinusoid_multiplied(T: int, D: int, start: int = 0) -> Tensor:
    return _interleave(*_waves(T, D, start, sign=1))


def _sinusoid_start_ignored(T: int, D: int, start: int = 0) -> Tensor:
    return _interleave(*_waves(T, D))


def _sinusoid_from_one(T: int, D: int, start: int = 0) -> Tensor:
    return _interleave(*_waves(T, D, start + 1))


def _sinusoid_own_exponent(T: int, D: int, start: int = 0) -> Tensor:
    column = torch.arange(D, dtype=torch.float64)
    angles = torch.arange(start, start + T, dtype=torch.float64)[:, None] / 10_000.0 ** (column / D)
    return torch.where(column % 2 == 0, angles.sin(), angles.cos()).float()


# ---------------------------------------------------------------- 3 learned


def check_learned(attempt: Attempt) -> None:
    twin = attempt.twin(lambda cls: cls(6, 4), LearnedPositions)
    attempt.compare("a table of 6 rows, T = 3", 3, setup=twin, outputs=["the vectors"], axes=["T", "D"])
    attempt.compare("a table of 6 rows, T = 6: all of them", 6, setup=twin, outputs=["the vectors"], axes=["T", "D"])
    attempt.compare(
        "a table of 6 rows, T = 2, start = 3", 2, start=3, setup=twin, outputs=["the vectors"], axes=["T", "D"]
    )
    attempt.require(
        lambda cls: bool(twin(cls)(3).requires_grad),
        ["The values are right, but no gradient reaches `self.weight`: the vectors could not be learned."],
        "`.detach()`, `.data` and torch.no_grad() cut the gradient.",
    )
    for wrong, cause in BEYOND_THE_END.items():
        attempt.require(
            lambda cls, wrong=wrong: not _same_rows(twin(cls), twin(wrong), 8),  # type: ignore[misc]
            ["Tried with a table of 6 rows, T = 8: positions 6 and 7 have no row, and yet there was an answer."],
            cause,
        )
    for T, start in ((7, 0), (2, 5), (1, 6)):
        attempt.require(
            _refuses(lambda cls, T=T, start=start: twin(cls)(T, start=start)),  # type: ignore[misc]
            [f"Tried with a table of 6 rows, T = {T}, start = {start}: expected a ValueError."],
            f"Position {start + T - 1} has no row: compare `start + T` with the number of rows, and raise.",
        )
    attempt.require(
        _refuses(lambda cls: twin(cls)(40), "5", "39"),
        [
            "Tried with a table of 6 rows, T = 40: your ValueError does not say which positions were asked for "
            "(up to 39) and which there are (up to 5)."
        ],
        "Put both numbers in the message: whoever reads it will want to know how much too long the text is.",
    )


class _StartIgnored(LearnedPositions):
    def forward(self, T: int, start: int = 0) -> Tensor:
        return super().forward(T)


class _Clamped(LearnedPositions):
    def forward(self, T: int, start: int = 0) -> Tensor:
        return self.weight[torch.arange(start, start + T).clamp(max=len(self.weight) - 1)]


class _Wrapped(LearnedPositions):
    def forward(self, T: int, start: int = 0) -> Tensor:
        return self.weight[torch.arange(start, start + T) % len(self.weight)]


class _SilentlyShorter(LearnedPositions):
    def forward(self, T: int, start: int = 0) -> Tensor:
        return self.weight[start : start + T]


def _same_rows(mine: Any, wrong: Any, T: int) -> bool:
    """Whether one table answers as the other does; an error is no answer."""
    try:
        return torch.equal(mine(T), wrong(T))
    except (ValueError, IndexError, RuntimeError):
        return False


BEYOND_THE_END = {
    _SilentlyShorter: "A slice beyond the end is silently shorter, with no error: compare `start + T` with the rows first.",
    _Clamped: "Positions beyond the end all get the last row: expected an error, since such positions are unknown.",
    _Wrapped: "Positions beyond the end begin again at row 0: expected an error, since such positions are unknown.",
}


class _WholeTable(LearnedPositions):
    def forward(self, T: int, start: int = 0) -> Tensor:
        return self.weight


class _EndAtT(LearnedPositions):
    def forward(self, T: int, start: int = 0) -> Tensor:
        return self.weight[start:T]


# ---------------------------------------------------------------- 4, 5 rotary


def check_rotary_angles(attempt: Attempt) -> None:
    attempt.compare("positions 0, 1, 2 and K = 4", torch.arange(3), 4, outputs=["angles"], axes=["T", "K/2"])
    attempt.compare("40 positions and K = 16", torch.arange(40), 16, outputs=["angles"], axes=["T", "K/2"])
    attempt.compare("base = 100", torch.arange(5), 8, base=100.0, outputs=["angles"], axes=["T", "K/2"])
    halves = torch.arange(6).float() / 2
    attempt.compare("fractional positions 0, 0.5, 1 …", halves, 6, outputs=["angles"], axes=["T", "K/2"])
    attempt.compare("positions (2, 3), two rows of a batch", torch.arange(6).view(2, 3), 4, outputs=["angles"])
    attempt.keeps_type_and_device(halves, 6, outputs=["angles"], axes=["T", "K/2"])
    attempt.require(
        _refuses(lambda angles: angles(torch.arange(3), 5)),
        ["Tried with K = 5: expected a ValueError, since the last column would have no partner to turn with."],
        "Look at `K % 2` before anything is computed, and `raise ValueError(...)`.",
    )


def _turn(positions: Tensor, exponents: Tensor, base: float) -> Tensor:
    dtype = torch.promote_types(positions.dtype, torch.float32)
    return positions.to(dtype)[..., None] * base ** exponents.to(positions.device, dtype)


def _angles_half_exponent(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    return _turn(positions, -torch.arange(K // 2) / K, base)


def _angles_growing(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    return _turn(positions, torch.arange(0, K, 2) / K, base)


def _angles_every_column(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    return _turn(positions, -torch.arange(K) / K, base)


def _angles_base_ignored(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    return rotary_angles(positions, K)


def _angles_counted(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    return rotary_angles(torch.arange(positions.shape[-1]).to(positions.device), K, base)


def _angles_in_turns(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    return rotary_angles(positions, K, base) / (2 * torch.pi)


def check_apply_rope(attempt: Attempt) -> None:
    turn = torch.tensor([[0.6]]), torch.tensor([[0.8]])
    attempt.compare("x = [[1, 2]], cos = [[0.6]], sin = [[0.8]]", torch.tensor([[1.0, 2.0]]), *turn, axes=["T", "K"])
    x, (cos, sin) = attempt.normal(2, 3, 5, 8), rotary_table(5, 8)
    axes = ["B", "H", "T", "K"]
    attempt.compare("x (2, 3, 5, 8)", x, cos, sin, axes=axes, gradients=True)
    attempt.compare("one sequence, x (5, 8)", x[0, 0], cos, sin, axes=["T", "K"])
    attempt.compare("x in bfloat16, the table in float32", x.bfloat16(), cos, sin, axes=axes, rtol=2e-2)
    attempt.keeps_type_and_device(x, cos, sin, axes=axes)


def _rope_backwards(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return apply_rope(x, cos, -sin)


def _rope_neighbours(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2).to(x.dtype)


def _rope_neighbours_split(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


def _rope_unmixed(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos, b * sin), dim=-1).to(x.dtype)


def _rope_no_minus(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


def _rope_cos_sin_swapped(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return apply_rope(x, sin, cos)


def _rope_one_after_the_other(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    a = a * cos - b * sin
    b = a * sin + b * cos
    return torch.cat((a, b), dim=-1).to(x.dtype)


def _rope_added(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a + cos, b + sin), dim=-1).to(x.dtype)


# ---------------------------------------------------------------- 6, 7 ALiBi


def check_alibi_slopes(attempt: Attempt) -> None:
    for H in (8, 4, 16, 1, 3, 6, 12, 20):
        kind = "" if H & (H - 1) == 0 else ", not a power of two"
        attempt.compare(f"H = {H}{kind}", H, outputs=["slopes"], axes=["H"])


def _slopes_halving(H: int) -> Tensor:
    return torch.tensor([2.0**-i for i in range(1, H + 1)])


def _slopes_from_zero(H: int) -> Tensor:
    return torch.tensor([2.0 ** (-8 * i / H) for i in range(H)])


def _slopes_one_rule(H: int) -> Tensor:
    return torch.tensor([2.0 ** (-8 * i / H) for i in range(1, H + 1)])


def _slopes_reversed(H: int) -> Tensor:
    return alibi_slopes(H).flip(0)


def _slopes_next_power(H: int) -> Tensor:
    n = 1 << (H - 1).bit_length()
    return torch.tensor([2.0 ** (-8 * i / n) for i in range(1, H + 1)])


def _slopes_extra_even(H: int) -> Tensor:
    n = 1 << (H.bit_length() - 1)
    exponents = [8 * i / n for i in range(1, n + 1)] + [4 * i / n for i in range(2, 2 * (H - n) + 1, 2)]
    return torch.tensor([2.0**-e for e in exponents])


def _slopes_sorted(H: int) -> Tensor:
    return alibi_slopes(H).sort(descending=True).values


def check_alibi_bias(attempt: Attempt) -> None:
    attempt.compare("H = 4, T = 6", 4, 6, outputs=["the bias"], axes=["H", "T", "S"])
    attempt.compare("H = 3, T = 1, S = 5: one query and a cache", 3, 1, 5, outputs=["the bias"], axes=["H", "T", "S"])
    attempt.compare("H = 2, T = 3, S = 7", 2, 3, 7, outputs=["the bias"], axes=["H", "T", "S"])
    attempt.require(
        _refuses(lambda bias: bias(2, 5, 3)),
        ["Tried with T = 5, S = 3: expected a ValueError, since the queries are the last T of the S positions."],
        "Compare T with S before anything is computed, and `raise ValueError(...)`.",
    )


def _bias_rewarding(H: int, T: int, S: int | None = None) -> Tensor:
    return -alibi_bias(H, T, S)


def _bias_signed(H: int, T: int, S: int | None = None) -> Tensor:
    S = T if S is None else S
    return alibi_slopes(H)[:, None, None] * (torch.arange(S) - torch.arange(S - T, S)[:, None])


def _bias_first_queries(H: int, T: int, S: int | None = None) -> Tensor:
    S = T if S is None else S
    return alibi_slopes(H)[:, None, None] * -(torch.arange(S) - torch.arange(T)[:, None]).abs()


def _bias_one_slope(H: int, T: int, S: int | None = None) -> Tensor:
    return alibi_bias(1, T, S).expand(H, -1, -1)


def _bias_key_only(H: int, T: int, S: int | None = None) -> Tensor:
    S = T if S is None else S
    return (alibi_slopes(H)[:, None, None] * torch.arange(S)).expand(H, T, S)


def _bias_squared(H: int, T: int, S: int | None = None) -> Tensor:
    S = T if S is None else S
    return alibi_slopes(H)[:, None, None] * -((torch.arange(S) - torch.arange(S - T, S)[:, None]) ** 2)


def _bias_transposed(H: int, T: int, S: int | None = None) -> Tensor:
    return alibi_bias(H, T, S).transpose(1, 2)


EXERCISES = [
    Exercise(
        lab="03",
        target=f"{MODULE}:order_gap",
        title="Does order matter to it? Write the test",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "There are two ways to get a shuffled output: shuffle before `attend`, or after it. When are they the same?",
            "Compute both, take the difference, and reduce it to the largest size of an entry. Positions are the second "
            "axis from the end, whatever stands before.",
            "`attend(x[..., permutation, :]) - attend(x)[..., permutation, :]`, then `.abs().max().item()`.",
        ),
        reasoning="A function for which both ways agree for *every* permutation is called permutation equivariant. One "
        "permutation with a gap above zero proves that it is not; no gap on some permutations is evidence, not proof. "
        "The largest entry, not the mean, so that a single position that differs cannot hide among many that agree.",
        check=check_order_gap,
        mistakes=(
            Mistake(
                "output not shuffled",
                _gap_not_shuffled_after,
                "The second output was not shuffled. Even a function that is blind to order moves its outputs along with "
                "its inputs: shuffle `attend(x)` as well.",
            ),
            Mistake(
                "first axis",
                _gap_first_axis,
                "The permutation went to the first axis, which may be the batch: positions are the second axis from the "
                "end, `x[..., permutation, :]`.",
            ),
            Mistake(
                "last axis",
                _gap_last_axis,
                "The permutation went to the last axis, the features: positions are the second axis from the end.",
            ),
            Mistake("signed", _gap_signed, "The largest difference without `.abs()` misses the negative ones."),
            Mistake("mean", _gap_mean, "The mean hides a single position that differs: take the maximum."),
            Mistake(
                "inverse",
                _gap_undone,
                "The output was shuffled by the inverse permutation: use the same one before and after.",
            ),
        ),
    ),
    Exercise(
        lab="03",
        target=f"{MODULE}:sinusoidal_encoding",
        title="A clock with many hands",
        difficulty=2,
        importance=4,
        minutes=15,
        hints=(
            "Each pair of columns is one hand of a clock. All hands start together, and each turns more slowly than the last.",
            "Make a column of positions (T, 1) and a row of frequencies (D/2,): their product is all the angles (T, D/2). "
            "Then sine and cosine, woven into each other.",
            "The frequencies are `10_000.0 ** (-torch.arange(0, D, 2) / D)`; `torch.stack((angles.sin(), angles.cos()), "
            "dim=-1).flatten(-2)` weaves two (T, D/2) into one (T, D).",
        ),
        reasoning="Stacking sine and cosine on a new last axis and flattening it puts them side by side: column 2i and "
        "2i + 1. The angles are computed in float64 because a float32 angle near 100,000 radians is only right to a few "
        "thousandths, and this costs nothing: the table is made once.",
        check=check_sinusoidal,
        mistakes=(
            Mistake(
                "halves",
                _sinusoid_halves,
                "All sines stand first and all cosines after them: the paper weaves them, sine in the even columns and "
                "cosine in the odd ones. (Some libraries do it your way; a model trained with one cannot use the other.)",
            ),
            Mistake("swapped", _sinusoid_swapped, "Sine and cosine are swapped: the sine stands in the even columns."),
            Mistake(
                "half the exponent",
                _sinusoid_half_exponent,
                "The exponent is i/D: the paper has 2i/D, so that the slowest wave comes near to 10000 · 2π.",
            ),
            Mistake(
                "growing",
                _sinusoid_multiplied,
                "The waves get faster from column to column: the position is *divided* by 10000^(2i/D).",
            ),
            Mistake(
                "start ignored", _sinusoid_start_ignored, "`start` is not used: the first row is position `start`."
            ),
            Mistake("from one", _sinusoid_from_one, "The positions begin at 1: the first one is `start`, which is 0."),
            Mistake(
                "own exponent",
                _sinusoid_own_exponent,
                "Each column has a frequency of its own: a sine and its cosine share one, 2i for columns 2i and 2i + 1. "
                "Without that, a shift is no longer a rotation.",
            ),
        ),
    ),
    Exercise(
        lab="03",
        target=f"{MODULE}:LearnedPositions.forward",
        title="A table with an end",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "Which rows of `self.weight` belong to the positions? And what does Python do with a slice beyond the end?",
            "First compare `start + T` with the number of rows and raise a ValueError that holds both; then slice.",
            '`raise ValueError(f"positions {start} to {start + T - 1} were asked for; expected 0 to {rows - 1}")`, and '
            "`self.weight[start : start + T]`.",
        ),
        reasoning="The lookup is one slice. What matters is the end: `weight[60:70]` of a table with 64 rows gives 4 rows "
        "and no error, which shows up much later as a puzzling shape. An error at the place of the mistake, with the "
        "numbers in it, saves that hour.",
        check=check_learned,
        mistakes=(
            Mistake("start ignored", _StartIgnored, "`start` is not used: the first row wanted is row `start`."),
            Mistake("no error", _SilentlyShorter, BEYOND_THE_END[_SilentlyShorter]),
            Mistake("clamped", _Clamped, BEYOND_THE_END[_Clamped]),
            Mistake("wrapped", _Wrapped, BEYOND_THE_END[_Wrapped]),
            Mistake("whole table", _WholeTable, "The whole table is returned: expected the T rows from `start` on."),
            Mistake("slice to T", _EndAtT, "The slice ends at T: with a start it ends at `start + T`."),
        ),
    ),
    Exercise(
        lab="03",
        target=f"{MODULE}:rotary_angles",
        title="How far to turn",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "These are the angles of the sinusoidal encoding again, without the sine and the cosine.",
            "A new last axis on the positions, times a row of K/2 speeds: base^(0), base^(−2/K), base^(−4/K) …",
            "`positions[..., None] * base ** (-torch.arange(0, K, 2) / K)`; mind the type (positions may be integers) and "
            "the device of what you make inside.",
        ),
        reasoning="Positions come in as a tensor rather than a length, so that the same function serves a whole text, one "
        "new token after a cache, and fractional positions (you will squeeze them later). Positions are lifted to float32 "
        "at least: bfloat16 has 8 significant bits and cannot tell position 256 from 257.",
        check=check_rotary_angles,
        mistakes=(
            Mistake(
                "half the exponent",
                _angles_half_exponent,
                "The exponent is −i/K: expected −2i/K (0, 2, 4 … over K), so that the last pair comes near to 1/base.",
            ),
            Mistake("growing", _angles_growing, "The angles grow from pair to pair: the exponent is negative."),
            Mistake(
                "every column",
                _angles_every_column,
                "There is an angle for each of the K columns: two columns turn together, so K/2 angles.",
            ),
            Mistake("base ignored", _angles_base_ignored, "`base` is not used: 10000 is only its usual value."),
            Mistake(
                "positions counted",
                _angles_counted,
                "The values of `positions` are not used, only how many there are: they may start anywhere, or be fractions.",
            ),
            Mistake("turns", _angles_in_turns, "The angles are in turns: expected radians, with no division by 2π."),
        ),
    ),
    Exercise(
        lab="03",
        target=f"{MODULE}:apply_rope",
        title="Turn queries and keys",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "What does a rotation by an angle do to a point (a, b) of the plane? Every pair of columns is such a point.",
            "Cut the last axis in two halves, `a` and `b`; rotate all pairs at once; join the halves again.",
            "`a, b = x.chunk(2, dim=-1)`; join `a * cos - b * sin` and `a * sin + b * cos` with `torch.cat(…, dim=-1)`; "
            "then back to `x.dtype`.",
        ),
        reasoning="(a + ib)·(cos θ + i sin θ) is the same thing as one complex product, and some libraries write it so. The "
        "table (T, K/2) broadcasts over batch and heads. Which columns make a pair is a convention (halves here and in "
        "Llama's `transformers` code, neighbours in the paper and in GPT-J): any choice can be learned, but weights "
        "trained with one give nonsense with the other. The table is float32, so a bfloat16 `x` is computed in float32 "
        "and rounded once.",
        check=check_apply_rope,
        mistakes=(
            Mistake(
                "backwards",
                _rope_backwards,
                "The rotation goes the wrong way round: (a·cos − b·sin, a·sin + b·cos). Scores would come out the same, since "
                "queries and keys turn together, but weights could not be exchanged with other code.",
            ),
            Mistake(
                "neighbours",
                _rope_neighbours,
                "Neighbouring columns were paired, as in the paper: here column i goes with column i + K/2, as in Llama.",
            ),
            Mistake(
                "neighbours, then halves",
                _rope_neighbours_split,
                "Neighbouring columns were paired and then written as halves: cut `x` in two halves, `x.chunk(2, dim=-1)`.",
            ),
            Mistake("not mixed", _rope_unmixed, "Each half was only scaled: a rotation mixes both, a·cos − b·sin."),
            Mistake(
                "no minus",
                _rope_no_minus,
                "A minus is missing: (a·cos − b·sin, a·sin + b·cos). Without it lengths change, so it is no rotation.",
            ),
            Mistake("cos and sin swapped", _rope_cos_sin_swapped, "`cos` and `sin` are swapped."),
            Mistake(
                "one after the other",
                _rope_one_after_the_other,
                "`a` was overwritten before `b` was computed from it: compute both from the old values.",
            ),
            Mistake("added", _rope_added, "The table was added: RoPE multiplies, that is, it rotates."),
        ),
    ),
    Exercise(
        lab="03",
        target=f"{MODULE}:alibi_slopes",
        title="Near-sighted and far-sighted heads",
        difficulty=3,
        importance=3,
        minutes=15,
        hints=(
            "Write the powers of two first: which exponents are in 2^(−8/H), 2^(−16/H), …, 2^(−8)?",
            "For another H: let n be the largest power of two below it. Take the n slopes of n heads, and of the 2n slopes "
            "of 2n heads every second one, from the first, as many as are missing.",
            "`n = 1 << (H.bit_length() - 1)`; the exponents are −8i/n for i = 1 … n, and then −8i/(2n) for i = 1, 3, 5 …, "
            "H − n of them.",
        ),
        reasoning="A geometric series gives heads with very different reach: the steepest looks at a few neighbours, the "
        "flattest almost everywhere. The authors chose these numbers once and kept them for all their models; slopes that "
        "were trained did not extrapolate well. With H not a power of two the extra slopes fall between the others.",
        check=check_alibi_slopes,
        mistakes=(
            Mistake(
                "halving",
                _slopes_halving,
                "The slopes are 2^(−1), 2^(−2), …: that is right for 8 heads only; the step is 2^(−8/H).",
            ),
            Mistake(
                "from zero",
                _slopes_from_zero,
                "The first slope is 1: the series begins at 2^(−8/H), so count i from 1 to H.",
            ),
            Mistake(
                "one rule for all",
                _slopes_one_rule,
                "When H is not a power of two the exponents are not −8i/H: see the second rule of the docstring.",
            ),
            Mistake("reversed", _slopes_reversed, "The order is reversed: the steepest slope comes first."),
            Mistake(
                "next power",
                _slopes_next_power,
                "The slopes of the next *larger* power of two, cut off after H: take all of the next smaller one, then every "
                "second of the larger.",
            ),
            Mistake(
                "even extras",
                _slopes_extra_even,
                "The extra slopes repeat ones that are there: take the 1st, 3rd, 5th … of the 2n, which lie between.",
            ),
            Mistake("sorted", _slopes_sorted, "The slopes were sorted: the extra ones come last."),
        ),
    ),
    Exercise(
        lab="03",
        target=f"{MODULE}:alibi_bias",
        title="A penalty for distance",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "How far is query t from key s? Make the whole table of distances from two `torch.arange`.",
            "The T queries are the last of the S positions, so they start at S − T. Distance (T, S), then a slope for each "
            "head in front of it.",
            "`alibi_slopes(H)[:, None, None] * -distance` with `distance = (torch.arange(S - T, S)[:, None] - "
            "torch.arange(S)).abs()`.",
        ),
        reasoning="Nothing here is learned and nothing has a length, so nothing is new at position 10,000: that is why ALiBi "
        "can read on. In the past the bias is a straight line in s; since softmax does not notice a constant added to a row, "
        "slope · s alone gives the same weights under a causal mask (Bloom in `transformers` does that). Written as a "
        "penalty it means the same for encoders too.",
        check=check_alibi_bias,
        mistakes=(
            Mistake("rewarding", _bias_rewarding, "The sign is wrong: distance is penalised, so the bias is ≤ 0."),
            Mistake(
                "signed",
                _bias_signed,
                "Keys in the future get a reward: take the absolute distance.",
            ),
            Mistake(
                "first queries",
                _bias_first_queries,
                "The queries were counted from 0: they are the *last* T of the S positions, so they begin at S − T.",
            ),
            Mistake("one slope", _bias_one_slope, "All heads have the same slope: each has its own, alibi_slopes(H)."),
            Mistake(
                "keys only",
                _bias_key_only,
                "slope · s gives the same weights under a causal mask, but not without one: expected −slope · |t − s|.",
            ),
            Mistake("squared", _bias_squared, "The distance was squared: the penalty is linear."),
            Mistake("transposed", _bias_transposed, "The last two axes are swapped: queries first, then keys."),
        ),
    ),
]
