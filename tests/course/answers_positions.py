"""Lab 03: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import math

import numpy as np
import torch
from torch import nn

from lablib.architecture.positions import (
    LearnedPositions,
    alibi_bias,
    alibi_slopes,
    apply_rope,
    order_gap,
    rotary_angles,
    sinusoidal_encoding,
)

# ---------------------------------------------------------------- order_gap


def gap_by_loop(attend, x, permutation):
    before = attend(torch.stack([x[..., i, :] for i in permutation.tolist()], dim=-2))
    after = attend(x)
    return max(float((before[..., t, :] - after[..., i, :]).abs().max()) for t, i in enumerate(permutation.tolist()))


def gap_by_matrix(attend, x, permutation):
    shuffle = torch.eye(len(permutation))[permutation]  # a permutation matrix from the left
    return (attend(shuffle @ x) - shuffle @ attend(x)).abs().amax().item()


def gap_by_index_select(attend, x, permutation):
    difference = attend(x.index_select(-2, permutation)) - attend(x).index_select(-2, permutation)
    return float(torch.linalg.vector_norm(difference, ord=math.inf))


def gap_as_tensor(attend, x, permutation):
    return (attend(x[..., permutation, :]) - attend(x)[..., permutation, :]).abs().max()


def gap_always_zero(attend, x, permutation):
    shuffled = x[..., permutation, :]
    return (attend(shuffled) - attend(shuffled)).abs().max().item()


def gap_of_norms(attend, x, permutation):
    return (attend(x[..., permutation, :]) - attend(x)[..., permutation, :]).norm().item()


def gap_shuffles_in_place(attend, x, permutation):
    after = attend(x)[..., permutation, :].clone()
    x.copy_(x[..., permutation, :].clone())
    return (attend(x) - after).abs().max().item()


def gap_as_bool(attend, x, permutation):
    return torch.allclose(attend(x[..., permutation, :]), attend(x)[..., permutation, :])


def gap_of_the_inputs(attend, x, permutation):
    return (x[..., permutation, :] - x).abs().max().item()


# ---------------------------------------------------------------- sinusoidal_encoding


def sinusoid_by_loops(T, D, start=0):
    if D % 2:
        raise ValueError("D must be even")
    rows = []
    for t in range(start, start + T):
        row = []
        for i in range(D // 2):
            angle = t / 10000 ** (2 * i / D)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)


def sinusoid_filled_in(T, D, start=0):
    if D % 2 == 1:
        raise ValueError(f"odd {D}")
    encoding = torch.zeros(T, D)
    position = torch.arange(start, start + T, dtype=torch.float32).unsqueeze(1)
    speed = torch.exp(torch.arange(0, D, 2).float() * (-math.log(10000.0) / D))
    encoding[:, 0::2] = torch.sin(position * speed)
    encoding[:, 1::2] = torch.cos(position * speed)
    return encoding


def sinusoid_complex(T, D, start=0):
    if D % 2:
        raise ValueError("an odd D has a wave without its cosine")
    angle = torch.arange(start, start + T)[:, None].double() * 10000.0 ** (-torch.arange(0, D, 2).double() / D)
    wave = torch.polar(torch.ones_like(angle), angle)
    return torch.stack((wave.imag, wave.real), -1).reshape(T, D).float()


def sinusoid_accepts_odd(T, D, start=0):
    return sinusoidal_encoding(T, D + D % 2, start)[:, :D]


def sinusoid_sines_only(T, D, start=0):
    encoding = sinusoidal_encoding(T, D, start)
    encoding[:, 1::2] = 0
    return encoding


def sinusoid_base_1000(T, D, start=0):
    speed = 1000.0 ** (-torch.arange(0, D, 2) / D)
    angle = torch.arange(start, start + T)[:, None] * speed
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)


def sinusoid_transposed(T, D, start=0):
    return sinusoidal_encoding(T, D, start).T


def sinusoid_float64(T, D, start=0):
    return sinusoidal_encoding(T, D, start).double()


def sinusoid_numpy(T, D, start=0):
    return np.asarray(sinusoidal_encoding(T, D, start))


def sinusoid_degrees(T, D, start=0):
    speed = 10000.0 ** (-torch.arange(0, D, 2) / D) * math.pi / 180
    angle = torch.arange(start, start + T)[:, None] * speed
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)


def sinusoid_start_scaled(T, D, start=0):
    return sinusoidal_encoding(T, D) + start


# ---------------------------------------------------------------- LearnedPositions.forward


class LearnedByEmbedding(LearnedPositions):
    def forward(self, T, start=0):
        if start + T > len(self.weight):
            raise ValueError(f"{start + T - 1} > {len(self.weight) - 1}")
        return nn.functional.embedding(torch.arange(start, start + T), self.weight)


class LearnedByIndexSelect(LearnedPositions):
    def forward(self, T, start=0):
        last, wanted = self.weight.size(0) - 1, start + T - 1
        if wanted > last:
            raise ValueError(f"position {wanted}, but the last is {last}")
        return self.weight.index_select(0, torch.tensor(range(start, start + T)))


class LearnedByNarrow(LearnedPositions):
    def forward(self, T, start=0):
        try:
            return self.weight.narrow(0, start, T)
        except RuntimeError as error:
            rows = self.weight.shape[0]
            raise ValueError(f"asked for {start} to {start + T - 1}, there are 0 to {rows - 1}") from error


class LearnedDetached(LearnedPositions):
    def forward(self, T, start=0):
        return super().forward(T, start).detach()


class LearnedIndexError(LearnedPositions):
    def forward(self, T, start=0):
        if start + T > len(self.weight):
            raise IndexError(f"{start + T - 1} > {len(self.weight) - 1}")
        return self.weight[start : start + T]


class LearnedWordless(LearnedPositions):
    def forward(self, T, start=0):
        if start + T > len(self.weight):
            raise ValueError("too long")
        return self.weight[start : start + T]


class LearnedZeroPadded(LearnedPositions):
    def forward(self, T, start=0):
        rows = self.weight[start : start + T]
        return nn.functional.pad(rows, (0, 0, 0, T - len(rows)))


class LearnedOffByOne(LearnedPositions):
    def forward(self, T, start=0):
        if start + T >= len(self.weight):
            raise ValueError(f"{start + T - 1} > {len(self.weight) - 1}")
        return self.weight[start : start + T]


class LearnedBatched(LearnedPositions):
    def forward(self, T, start=0):
        return super().forward(T, start)[None]


class LearnedReturnsNothing(LearnedPositions):
    def forward(self, T, start=0):
        super().forward(T, start)


# ---------------------------------------------------------------- rotary_angles


def angles_by_outer(positions, K, base=10_000.0):
    if K % 2:
        raise ValueError("odd")
    dtype = torch.float64 if positions.dtype == torch.float64 else torch.float32
    speed = 1.0 / base ** (torch.arange(0, K, 2, device=positions.device).to(dtype) / K)
    return torch.einsum("...,k->...k", positions.to(dtype), speed)


def angles_by_exp(positions, K, base=10_000.0):
    if K % 2 != 0:
        raise ValueError(K)
    dtype = torch.promote_types(positions.dtype, torch.float32)
    i = torch.arange(K // 2, device=positions.device, dtype=dtype)
    return positions.unsqueeze(-1) * torch.exp(-2 * i / K * math.log(base))


def angles_by_list(positions, K, base=10_000.0):
    if K % 2:
        raise ValueError(f"K = {K}")
    dtype = torch.promote_types(positions.dtype, torch.float32)
    return torch.stack([positions.to(dtype) * base ** (-2 * i / K) for i in range(K // 2)], dim=-1)


def angles_twice(positions, K, base=10_000.0):
    angles = rotary_angles(positions, K, base)
    return torch.cat((angles, angles), dim=-1)


def angles_integer(positions, K, base=10_000.0):
    return rotary_angles(positions, K, base).to(positions.dtype)


def angles_cosine(positions, K, base=10_000.0):
    return rotary_angles(positions, K, base).cos()


def angles_no_device(positions, K, base=10_000.0):
    if K % 2:
        raise ValueError(K)
    dtype = torch.promote_types(positions.dtype, torch.float32)
    return positions.to(dtype)[..., None] * base ** (-torch.arange(0, K, 2, dtype=dtype) / K)


def angles_float32_always(positions, K, base=10_000.0):
    return rotary_angles(positions.float(), K, base)


def angles_odd_allowed(positions, K, base=10_000.0):
    return rotary_angles(positions, K - K % 2, base)


def angles_one_axis(positions, K, base=10_000.0):
    return rotary_angles(positions.flatten(), K, base)


def angles_shifted(positions, K, base=10_000.0):
    return rotary_angles(positions + 1, K, base)


# ---------------------------------------------------------------- apply_rope


def rope_by_rotate_half(x, cos, sin):
    half = x.shape[-1] // 2
    rotated = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x * torch.cat((cos, cos), -1) + rotated * torch.cat((sin, sin), -1)).to(x.dtype)


def rope_by_matrices(x, cos, sin):
    turn = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)  # (T, K/2, 2, 2)
    pairs = torch.stack(x.chunk(2, dim=-1), dim=-1).to(turn.dtype)  # (..., T, K/2, 2)
    return torch.einsum("tkij,...tkj->...tki", turn, pairs).transpose(-1, -2).flatten(-2).to(x.dtype)


def rope_by_unflatten(x, cos, sin):
    pairs = x.unflatten(-1, (2, -1))  # (..., T, 2, K/2)
    a, b = pairs.unbind(-2)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-2).flatten(-2).type_as(x)


def rope_float32(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).float()


def rope_in_place(x, cos, sin):
    with torch.no_grad():
        x.copy_(apply_rope(x, cos, sin))
    return x


def rope_halves_exchanged(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * sin + b * cos, a * cos - b * sin), dim=-1).to(x.dtype)


def rope_first_half_only(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b), dim=-1).to(x.dtype)


def rope_positions_reversed(x, cos, sin):
    return apply_rope(x, cos.flip(0), sin.flip(0))


def rope_detached(x, cos, sin):
    return apply_rope(x.detach(), cos, sin)


def rope_nothing(x, cos, sin):
    return x.clone()


# ---------------------------------------------------------------- alibi_slopes


def slopes_by_recursion(H):
    if H & (H - 1) == 0:
        return torch.tensor([(2 ** (-8 / H)) ** i for i in range(1, H + 1)])
    n = 2 ** int(math.log2(H))
    return torch.cat((slopes_by_recursion(n), slopes_by_recursion(2 * n)[0::2][: H - n]))


def slopes_by_pow(H):
    n = 1
    while 2 * n <= H:
        n *= 2
    slopes = torch.pow(2.0, -8.0 * torch.arange(1, n + 1) / n)
    more = torch.pow(2.0, -4.0 * (2 * torch.arange(H - n) + 1) / n)
    return torch.cat([slopes, more])


def slopes_as_list(H):
    return alibi_slopes(H).tolist()


def slopes_negative(H):
    return -alibi_slopes(H)


def slopes_linear(H):
    return torch.arange(H, 0, -1) / H


def slopes_wrong_base(H):
    return torch.exp(torch.log2(alibi_slopes(H)))


def slopes_extra_first(H):
    n = 1 << (H.bit_length() - 1)
    return torch.cat((alibi_slopes(H)[n:], alibi_slopes(H)[:n]))


def slopes_only_power_of_two(H):
    return alibi_slopes(1 << (H.bit_length() - 1))


def slopes_flattest_is_256th(H):
    return torch.tensor([2.0 ** (-8 * i / (H + 1)) for i in range(1, H + 1)])


# ---------------------------------------------------------------- alibi_bias


def bias_by_loops(H, T, S=None):
    S = T if S is None else S
    if T > S:
        raise ValueError((T, S))
    bias = torch.zeros(H, T, S)
    for h, slope in enumerate(alibi_slopes(H)):
        for t in range(T):
            for s in range(S):
                bias[h, t, s] = -slope * abs(S - T + t - s)
    return bias


def bias_by_cutting(H, T, S=None):
    S = S or T
    if S < T:
        raise ValueError(f"{S} < {T}")
    at = torch.arange(S)
    square = -(at[None, :] - at[:, None]).abs()
    return torch.einsum("h,ts->hts", alibi_slopes(H), square[S - T :].float())


def bias_by_minimum(H, T, S=None):
    S = T if S is None else S
    if T > S:
        raise ValueError("more queries than keys")
    ahead = torch.arange(S).float() - torch.arange(S - T, S).float().view(-1, 1)
    return alibi_slopes(H).view(-1, 1, 1) * torch.minimum(ahead, -ahead)


def bias_future_hidden(H, T, S=None):
    S = T if S is None else S
    return alibi_bias(H, T, S).masked_fill(~torch.ones(T, S, dtype=torch.bool).tril(S - T), float("-inf"))


def bias_future_zero(H, T, S=None):
    S = T if S is None else S
    return alibi_bias(H, T, S).tril(S - T)


def bias_no_error(H, T, S=None):
    S = T if S is None else S
    distance = (torch.arange(S - T, S)[:, None] - torch.arange(S)).abs()
    return alibi_slopes(H)[:, None, None] * -distance


def bias_heads_last(H, T, S=None):
    return alibi_bias(H, T, S).permute(1, 2, 0)


def bias_with_batch(H, T, S=None):
    return alibi_bias(H, T, S)[None]


def bias_clipped(H, T, S=None):
    S = T if S is None else S
    if T > S:
        raise ValueError("T > S")
    distance = (torch.arange(S - T, S)[:, None] - torch.arange(S)).abs().clamp(max=4)
    return alibi_slopes(H)[:, None, None] * -distance


def bias_from_one(H, T, S=None):
    return alibi_bias(H, T, S) - alibi_slopes(H)[:, None, None]


def bias_divided(H, T, S=None):
    return alibi_bias(H, T, S) / (T if S is None else S)


RIGHT: dict[str, list] = {
    "order_gap": [order_gap, gap_by_loop, gap_by_matrix, gap_by_index_select],
    "sinusoidal_encoding": [sinusoidal_encoding, sinusoid_by_loops, sinusoid_filled_in, sinusoid_complex],
    "LearnedPositions": [LearnedPositions, LearnedByEmbedding, LearnedByIndexSelect, LearnedByNarrow],
    "rotary_angles": [rotary_angles, angles_by_outer, angles_by_exp, angles_by_list],
    "apply_rope": [apply_rope, rope_by_rotate_half, rope_by_matrices, rope_by_unflatten],
    "alibi_slopes": [alibi_slopes, slopes_by_recursion, slopes_by_pow],
    "alibi_bias": [alibi_bias, bias_by_loops, bias_by_cutting, bias_by_minimum],
}

WRONG: dict[str, list] = {
    "order_gap": [
        gap_as_tensor,
        gap_always_zero,
        gap_of_norms,
        gap_shuffles_in_place,
        gap_as_bool,
        gap_of_the_inputs,
    ],
    "sinusoidal_encoding": [
        sinusoid_accepts_odd,
        sinusoid_sines_only,
        sinusoid_base_1000,
        sinusoid_transposed,
        sinusoid_float64,
        sinusoid_numpy,
        sinusoid_degrees,
        sinusoid_start_scaled,
    ],
    "LearnedPositions": [
        LearnedDetached,
        LearnedIndexError,
        LearnedWordless,
        LearnedZeroPadded,
        LearnedOffByOne,
        LearnedBatched,
        LearnedReturnsNothing,
    ],
    "rotary_angles": [
        angles_twice,
        angles_integer,
        angles_cosine,
        angles_no_device,
        angles_float32_always,
        angles_odd_allowed,
        angles_one_axis,
        angles_shifted,
    ],
    "apply_rope": [
        rope_float32,
        rope_in_place,
        rope_halves_exchanged,
        rope_first_half_only,
        rope_positions_reversed,
        rope_detached,
        rope_nothing,
    ],
    "alibi_slopes": [
        slopes_as_list,
        slopes_negative,
        slopes_linear,
        slopes_wrong_base,
        slopes_extra_first,
        slopes_only_power_of_two,
        slopes_flattest_is_256th,
    ],
    "alibi_bias": [
        bias_future_hidden,
        bias_future_zero,
        bias_no_error,
        bias_heads_last,
        bias_with_batch,
        bias_clipped,
        bias_from_one,
        bias_divided,
    ],
}
