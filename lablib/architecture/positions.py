"""Telling attention the order of its tokens: sinusoidal, learned, rotary (RoPE) and ALiBi positions.

Attention sums over a set: shuffle its input, and its output is shuffled in the same way. So order has to come
from outside. There are three places for it: added to the embeddings (sinusoidal, learned), as a rotation of
queries and keys (RoPE), or as a bias on the scores (ALiBi).

Papers: Vaswani et al. 2017, "Attention Is All You Need", section 3.5 (sinusoidal, with learned as the
alternative); Gehring et al. 2017, "Convolutional Sequence to Sequence Learning" (learned); Su et al. 2021,
"RoFormer: Enhanced Transformer with Rotary Position Embedding" (RoPE); Press, Smith and Lewis 2021, "Train
Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation" (ALiBi).
Left out: T5's learned buckets of relative distance, Transformer-XL, YaRN and other stretched kinds of RoPE.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def order_gap(attend: Callable[[Tensor], Tensor], x: Tensor, permutation: Tensor) -> float:
    """How far `attend` is from being blind to order: max |attend(x[permutation]) − attend(x)[permutation]|.

    It is 0 when shuffling the input does nothing but shuffle the output in the same way.

    Args:
        attend: any function from (..., T, D) to (..., T, D).
        x: (..., T, D).
        permutation: (T,), the integers 0 to T − 1 in the new order.

    A running sum cares about order: [1, 2] gives [1, 3], and [2, 1] gives [2, 3].

    >>> order_gap(lambda x: x.cumsum(dim=-2), torch.tensor([[1.0], [2.0]]), torch.tensor([1, 0]))
    2.0
    """
    shuffled_before = attend(x[..., permutation, :])  # (..., T, D)
    shuffled_after = attend(x)[..., permutation, :]  # (..., T, D)
    return (shuffled_before - shuffled_after).abs().max().item()


def sinusoidal_encoding(T: int, D: int, start: int = 0) -> Tensor:
    """The wave pattern that marks the positions `start` to `start + T − 1` (Vaswani 2017, section 3.5).

    At position p, column 2i holds sin(p / 10000^(2i/D)) and column 2i + 1 holds cos(p / 10000^(2i/D)).

    Returns:
        (T, D), float32.
    Raises:
        ValueError: D is odd: one wave would lack its cosine.

    >>> sinusoidal_encoding(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    if D % 2 or D < 2 or T < 0 or start < 0:
        raise ValueError(f"T={T}, D={D}, start={start}; expected T and start ≥ 0, D even: try D={D + D % 2}")
    positions = torch.arange(start, start + T, dtype=torch.float64)[:, None]  # (T, 1)
    frequencies = 10_000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)  # (D/2,), radians a step
    angles = positions * frequencies  # (T, D/2), in double precision so that far positions stay exact
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2).float()  # (T, D/2, 2) -> (T, D)


class LearnedPositions(nn.Module):
    """A trainable vector for each of the first `max_T` positions, as in BERT and GPT-2."""

    def __init__(self, max_T: int, D: int, scale: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(max_T, D))  # (max_T, D)

    def forward(self, T: int, start: int = 0) -> Tensor:
        """The vectors of the positions `start` to `start + T − 1`: rows of `self.weight`, (T, D).

        Raises:
            ValueError: a position has no row; the message holds the first and last row that there are.

        >>> table = LearnedPositions(max_T=3, D=2)
        >>> torch.equal(table(2, start=1), table.weight[1:])
        True
        """
        rows = self.weight.shape[0]
        if T < 0 or start < 0 or start + T > rows:
            raise ValueError(
                f"positions {start} to {start + T - 1} were asked for; expected 0 to {rows - 1}, the rows of the "
                "table: give fewer tokens, or make and train a longer table"
            )
        return self.weight[start : start + T]  # (T, D)


def rotary_angles(positions: Tensor, K: int, base: float = 10_000.0) -> Tensor:
    """The angle by which RoPE turns each pair of columns at each position (Su 2021, eq. 15), in radians.

    Pair i turns by θᵢ = base^(−2i/K) per position, i = 0 … K/2 − 1: the first pair fast, the last slowly.

    Args:
        positions: (...), whole or fractional, such as torch.arange(T).
    Returns:
        (..., K/2), float32 (float64 when the positions are).
    Raises:
        ValueError: K is odd.

    >>> rotary_angles(torch.arange(3), K=4)
    tensor([[0.0000, 0.0000],
            [1.0000, 0.0100],
            [2.0000, 0.0200]])
    """
    if K % 2 or K < 2:
        raise ValueError(f"K is {K}; expected an even width, since columns turn in pairs: try K={K + K % 2}")
    dtype = torch.promote_types(positions.dtype, torch.float32)  # bf16 cannot tell position 256 from 257
    pair = torch.arange(0, K, 2, dtype=dtype, device=positions.device)  # (K/2,), the 2i of the equation
    return positions.to(dtype)[..., None] * base ** (-pair / K)  # (..., K/2)


def rotary_table(T: int, K: int, base: float = 10_000.0, start: int = 0) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angles of the positions `start` to `start + T − 1`: two tensors (T, K/2)."""
    if T < 0 or start < 0:
        raise ValueError(f"T={T}, start={start}; expected both ≥ 0: positions count from the front")
    angles = rotary_angles(torch.arange(start, start + T), K, base)  # (T, K/2)
    return angles.cos(), angles.sin()


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of columns of `x` by its position's angle (Su 2021, eq. 34).

    Pair i is the columns i and i + K/2: (a, b) becomes (a·cos − b·sin, a·sin + b·cos).

    Args:
        x: (..., T, K), queries or keys.
        cos, sin: (T, K/2), from `rotary_table`.
    Returns:
        (..., T, K) in the dtype of `x`, which is not changed.

    A quarter turn (cos 0, sin 1) takes the pair (1, 0) to (0, 1):

    >>> apply_rope(torch.tensor([[1.0, 0.0]]), cos=torch.tensor([[0.0]]), sin=torch.tensor([[1.0]]))
    tensor([[0., 1.]])
    """
    # Differs from the paper: it pairs neighbours (2i, 2i + 1). Pairing halves is Llama's way, and the same
    # thing up to the order of the columns, which training learns anyway.
    if cos.shape[-2:] != (x.shape[-2], x.shape[-1] // 2) or x.shape[-1] % 2:
        raise ValueError(
            f"cos has shape {tuple(cos.shape)} and x {tuple(x.shape)}; expected (T, K/2) and (..., T, K): "
            "make the table by rotary_table(T, K)"
        )
    a, b = x.chunk(2, dim=-1)  # 2 × (..., T, K/2)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)  # (..., T, K)


def alibi_slopes(H: int) -> Tensor:
    """How fast the attention of each head fades with distance (Press 2021, section 3), as (H,) in float32.

    For H a power of two: 2^(−8/H), 2^(−16/H), …, 2^(−8). For another H, as in the authors' code: the
    slopes of n heads, n the largest power of two below H, then the 1st, 3rd, 5th … slope of 2n heads.

    >>> alibi_slopes(3)
    tensor([0.0625, 0.0039, 0.2500])
    """
    if H < 1:
        raise ValueError(f"H is {H}; expected at least one head: pass the number of heads of the attention")
    n = 1 << (H.bit_length() - 1)  # the largest power of two ≤ H
    exponents = [-8 * i / n for i in range(1, n + 1)] + [-4 * i / n for i in range(1, 2 * (H - n), 2)]
    return torch.tensor([2.0**e for e in exponents])  # (H,)


def alibi_bias(H: int, T: int, S: int | None = None) -> Tensor:
    """What ALiBi adds to the scores: −slope · |distance| (Press 2021, section 3), as (H, T, S) in float32.

    The T queries are the last T of the S positions (S = T when left out), so one new query can look back on
    cached keys. Add the bias after the scores are divided by √K.

    Raises:
        ValueError: T is larger than S.

    One head has the slope 2^(−8) ≈ 0.0039. The query at position 2 sees keys at distance 2, 1 and 0:

    >>> alibi_bias(H=1, T=1, S=3)
    tensor([[[-0.0078, -0.0039,  0.0000]]])
    """
    # Differs from the paper, where keys of the future do not exist: here they get the same penalty, and the
    # causal mask hides them. So the bias serves encoders too.
    S = T if S is None else S
    if not 0 <= T <= S:
        raise ValueError(f"T={T}, S={S}; expected 0 ≤ T ≤ S: the queries are the last T of the S positions")
    query = torch.arange(S - T, S)[:, None]  # (T, 1)
    distance = (query - torch.arange(S)).abs()  # (T, S)
    return alibi_slopes(H)[:, None, None] * -distance  # (H, 1, 1) · (T, S) -> (H, T, S)
