"""Positions against independent authorities: the papers, and transformers' Llama, GPT-J, Marian and Bloom."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb as gptj_rotate
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from lablib.architecture.attention import MultiHeadAttention, causal_mask, masked_softmax
from lablib.architecture.positions import (
    LearnedPositions,
    alibi_bias,
    alibi_slopes,
    apply_rope,
    order_gap,
    rotary_angles,
    rotary_table,
    sinusoidal_encoding,
)

FLOAT32_STEP = torch.finfo(torch.float32).eps


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- order ------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(T=st.integers(2, 12), seed=st.integers(0, 10_000))
def test_attention_without_positions_is_blind_to_order_and_with_them_is_not(T, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        attention = MultiHeadAttention(D=16, H=4).double()
    x = torch.randn(2, T, 16, generator=generator(seed), dtype=torch.float64)
    backwards = torch.arange(T).flip(0)
    assert order_gap(lambda x: attention(x)[0], x, backwards) < 1e-13
    marks = sinusoidal_encoding(T, 16).double()
    assert order_gap(lambda x: attention(x + marks)[0], x, backwards) > 1e-3
    assert order_gap(lambda x: attention(x, mask=causal_mask(T))[0], x, backwards) > 1e-3


def test_order_gap_of_functions_whose_gap_is_known():
    x = torch.tensor([[[1.0], [5.0], [7.0]]])
    rotated = torch.tensor([1, 2, 0])
    assert order_gap(lambda x: 2 * x, x, rotated) == 0.0
    assert order_gap(lambda x: x.flip(-2), x, rotated) == 6.0  # [1, 7, 5] against [5, 1, 7]
    assert order_gap(lambda x: -x + torch.tensor([[0.0], [0.0], [4.0]]), x, rotated) == 4.0
    assert isinstance(order_gap(lambda x: x, x, rotated), float)


# --- sinusoidal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("T", "D", "start"), [(7, 2, 0), (64, 10, 0), (50, 64, 1000), (3, 6, 100_000)])
def test_sinusoid_is_the_papers_formula(T, D, start):
    expected = torch.empty(T, D, dtype=torch.float64)
    for t in range(T):
        for i in range(D // 2):
            expected[t, 2 * i] = math.sin((start + t) / 10000 ** (2 * i / D))
            expected[t, 2 * i + 1] = math.cos((start + t) / 10000 ** (2 * i / D))
    got = sinusoidal_encoding(T, D, start)
    assert got.dtype == torch.float32
    assert got.shape == (T, D)
    # sine and cosine are at most 1 in size: half a float32 step of 1, and the double precision angle's error
    assert (got.double() - expected).abs().max() <= FLOAT32_STEP


def test_sinusoid_equals_marians_up_to_the_order_of_columns():
    marian = MarianSinusoidalPositionalEmbedding(200, 48).create_weight()  # sines first, then cosines
    ours = sinusoidal_encoding(200, 48)
    torch.testing.assert_close(torch.cat((ours[:, 0::2], ours[:, 1::2]), dim=1), marian, rtol=0, atol=FLOAT32_STEP)


@settings(max_examples=40, deadline=None)
@given(k=st.integers(0, 500), start=st.integers(0, 2000), D=st.sampled_from([2, 8, 32]))
def test_a_step_of_k_positions_is_one_rotation_wherever_it_starts(k, start, D):
    here = sinusoidal_encoding(5, D, start).double()
    there = sinusoidal_encoding(5, D, start + k).double()
    angle = k * 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    sin, cos = here[:, 0::2], here[:, 1::2]
    turned = torch.stack((sin * angle.cos() + cos * angle.sin(), cos * angle.cos() - sin * angle.sin()), -1)
    assert (turned.flatten(1) - there).abs().max() < 4 * FLOAT32_STEP


def test_sinusoids_of_different_positions_differ():
    table = sinusoidal_encoding(2048, 64).double()
    distance = torch.cdist(table, table) + 1e9 * torch.eye(2048)
    assert distance.min() > 0.5


@pytest.mark.parametrize(
    ("T", "D", "start", "words"),
    [(4, 7, 0, "try D=8"), (-1, 8, 0, "T=-1"), (4, 8, -2, "start=-2"), (4, 0, 0, "D=0")],
)
def test_sinusoid_names_what_is_wrong(T, D, start, words):
    with pytest.raises(ValueError, match=words):
        sinusoidal_encoding(T, D, start)


# --- learned ----------------------------------------------------------------------------------------------


def test_learned_positions_are_a_lookup_that_trains_only_the_rows_it_used():
    table = LearnedPositions(10, 4, scale=3.0)
    out = table(3, start=2)
    assert torch.equal(out, torch.nn.functional.embedding(torch.tensor([2, 3, 4]), table.weight))
    (out * torch.arange(1.0, 13.0).view(3, 4)).sum().backward()
    assert torch.equal(table.weight.grad[2:5], torch.arange(1.0, 13.0).view(3, 4))
    assert table.weight.grad[:2].abs().sum() + table.weight.grad[5:].abs().sum() == 0
    assert [name for name, _ in table.named_parameters()] == ["weight"]
    assert 1.0 < table.weight.std() < 5.0  # 40 normal numbers of standard deviation 3


def test_learned_positions_name_both_lengths_beyond_the_end():
    table = LearnedPositions(64, 4)
    assert table(64).shape == (64, 4)
    with pytest.raises(ValueError, match=r"positions 0 to 255 were asked for; expected 0 to 63.*longer table"):
        table(256)
    with pytest.raises(ValueError, match="positions 64 to 64 were asked for; expected 0 to 63"):
        table(1, start=64)
    with pytest.raises(ValueError, match="positions -1 to 2"):
        table(4, start=-1)


# --- rotary -----------------------------------------------------------------------------------------------


def llama_table(T: int, K: int, base: float, start: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    config = LlamaConfig(
        hidden_size=K,
        num_attention_heads=1,
        head_dim=K,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    return LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(start, start + T)[None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("T", "K", "base", "start"), [(9, 8, 10_000.0, 0), (33, 64, 500_000.0, 17), (1, 2, 100.0, 5)])
def test_rope_equals_transformers_llama(dtype, T, K, base, start):
    cos, sin = rotary_table(T, K, base, start)
    llama_cos, llama_sin = llama_table(T, K, base, start)  # (1, T, K): each angle twice
    torch.testing.assert_close(torch.cat((cos, cos), -1)[None], llama_cos, rtol=0, atol=1e-5)
    q, k = torch.randn(2, 2, 3, T, K, generator=generator(1)).to(dtype)
    expected = apply_rotary_pos_emb(q.double(), k.double(), llama_cos.double(), llama_sin.double())
    for got, ours, want in zip((q, k), (apply_rope(q, cos, sin), apply_rope(k, cos, sin)), expected, strict=True):
        assert ours.dtype == got.dtype == dtype
        # entries of a rotated unit-variance pair are of size ~1: two roundings of the dtype, and the table's
        tolerance = 4 * float(want.abs().max()) * max(torch.finfo(dtype).eps / 2, 1e-6)
        assert (ours.double() - want).abs().max() < tolerance


def test_rope_is_the_papers_interleaved_rotation_up_to_the_order_of_columns():
    T, K = 11, 12
    x = torch.randn(1, T, 2, K, generator=generator(2))  # GPT-J keeps the paper's pairs of neighbours: (B, T, H, K)
    cos, sin = rotary_table(T, K)
    expected = gptj_rotate(x, sin[None], cos[None])
    order = torch.cat((torch.arange(0, K, 2), torch.arange(1, K, 2)))  # neighbours -> halves
    got = apply_rope(x[..., order].transpose(1, 2), cos, sin).transpose(1, 2)
    torch.testing.assert_close(got, expected[..., order], rtol=1e-5, atol=1e-6)


def test_rope_is_a_product_of_complex_numbers():
    T, K = 40, 16
    x = torch.randn(2, 3, T, K, generator=generator(3), dtype=torch.float64)
    angles = rotary_angles(torch.arange(T, dtype=torch.float64), K)
    assert angles.dtype == torch.float64
    turned = torch.complex(x[..., : K // 2], x[..., K // 2 :]) * torch.exp(1j * angles)
    got = apply_rope(x, angles.cos(), angles.sin())
    torch.testing.assert_close(got, torch.cat((turned.real, turned.imag), -1), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(m=st.integers(0, 400), n=st.integers(0, 400), shift=st.integers(1, 5000), seed=st.integers(0, 9999))
def test_rope_keeps_lengths_and_its_scores_know_only_the_distance(m, n, shift, seed):
    K = 16
    q, k = torch.randn(2, 1, K, generator=generator(seed), dtype=torch.float64)

    def at(x: torch.Tensor, position: int) -> torch.Tensor:
        angles = rotary_angles(torch.tensor([position], dtype=torch.float64), K)
        return apply_rope(x, angles.cos(), angles.sin())

    assert abs(at(q, m).norm() - q.norm()) < 1e-12 * q.norm()
    score, shifted = at(q, m) @ at(k, n).T, at(q, m + shift) @ at(k, n + shift).T
    assert abs(score - shifted) < 1e-9 * q.norm() * k.norm()
    if m != n:
        assert abs(score - q @ k.T) > 1e-9 * q.norm() * k.norm()  # and they do know it


def test_rope_leaves_its_input_alone_and_carries_gradients():
    x = torch.randn(2, 5, 8, generator=generator(4), dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    cos, sin = (table.double() for table in rotary_table(5, 8))
    assert torch.autograd.gradcheck(lambda x: apply_rope(x, cos, sin), (x,))
    assert torch.equal(x.detach(), before)


def test_decoding_one_position_at_a_time_equals_the_whole_sequence():
    x = torch.randn(1, 2, 20, 8, generator=generator(5))
    whole = apply_rope(x, *rotary_table(20, 8))
    steps = [apply_rope(x[:, :, [t]], *rotary_table(1, 8, start=t)) for t in range(20)]
    assert torch.equal(torch.cat(steps, dim=2), whole)
    steps = [sinusoidal_encoding(1, 8, start=t) for t in range(20)]
    assert torch.equal(torch.cat(steps), sinusoidal_encoding(20, 8))
    steps = [alibi_bias(4, 1, t + 1) for t in range(20)]
    whole = alibi_bias(4, 20)
    assert all(torch.equal(step, whole[:, [t], : t + 1]) for t, step in enumerate(steps))


def test_far_positions_in_bf16_stay_apart():
    angles = rotary_angles(torch.tensor([256.0, 257.0]).bfloat16(), 4)  # the positions themselves are rounded by bf16,
    assert angles.dtype == torch.float32  # but nothing after them is
    assert torch.equal(rotary_angles(torch.tensor([256, 257]), 4)[:, 0], torch.tensor([256.0, 257.0]))


@pytest.mark.parametrize("call", [lambda: rotary_angles(torch.arange(3), 7), lambda: rotary_table(3, 7)])
def test_rope_refuses_an_odd_width(call):
    with pytest.raises(ValueError, match=r"K is 7; expected an even width.*try K=8"):
        call()


def test_rope_names_a_table_that_does_not_fit():
    x = torch.zeros(1, 2, 6, 8)
    for cos, sin in (rotary_table(5, 8), rotary_table(6, 16), (torch.zeros(6, 8), torch.zeros(6, 8))):
        with pytest.raises(ValueError, match=r"cos has shape .* and x \(1, 2, 6, 8\); expected \(T, K/2\)"):
            apply_rope(x, cos, sin)
    with pytest.raises(ValueError, match="T=-1"):
        rotary_table(-1, 8)
    with pytest.raises(ValueError, match="start=-3"):
        rotary_table(1, 8, start=-3)


# --- ALiBi ------------------------------------------------------------------------------------------------


def official_slopes(H: int) -> list[float]:
    """The recursion of the authors' released code, written again from its description."""
    if math.log2(H).is_integer():
        first = 2 ** (-(2 ** -(math.log2(H) - 3)))
        return [first * first**i for i in range(H)]
    n = 2 ** math.floor(math.log2(H))
    return official_slopes(n) + official_slopes(2 * n)[0::2][: H - n]


@pytest.mark.parametrize("H", [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 32, 40, 112])
def test_slopes_equal_the_official_code_and_blooms(H):
    slopes = alibi_slopes(H)
    torch.testing.assert_close(slopes, torch.tensor(official_slopes(H)), rtol=2 * FLOAT32_STEP, atol=0)
    bloom = build_alibi_tensor(torch.ones(1, 2), H, torch.float32)[:, 0, 1]  # the bias one step along is the slope
    torch.testing.assert_close(slopes, bloom, rtol=1e-5, atol=0)
    assert slopes.shape == (H,)
    assert slopes.dtype == torch.float32
    if H in (1, 2, 4, 8):  # whole exponents: no rounding anywhere
        assert torch.equal(slopes, bloom)


@pytest.mark.parametrize("H", [1, 4, 6, 8, 12])
def test_bias_gives_blooms_attention(H):
    T = 21
    scores = torch.randn(H, T, T, generator=generator(6), dtype=torch.float64)
    bloom = build_alibi_tensor(torch.ones(1, T), H, torch.float64)  # (H, 1, T): slope · s, one constant per row away
    ours = masked_softmax(scores + alibi_bias(H, T), causal_mask(T))
    theirs = masked_softmax(scores + bloom, causal_mask(T))
    assert (ours - theirs).abs().max() < 1e-6
    assert (ours - masked_softmax(scores, causal_mask(T))).abs().max() > 1e-3


def test_bias_is_the_formula_entry_by_entry():
    bias = alibi_bias(3, 4, 6)
    assert bias.shape == (3, 4, 6)
    for h, slope in enumerate(official_slopes(3)):
        for t in range(4):
            for s in range(6):
                assert bias[h, t, s].item() == pytest.approx(-slope * abs((t + 2) - s), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(H=st.integers(1, 24), T=st.integers(1, 12), cached=st.integers(0, 12))
def test_bias_falls_with_distance_and_never_rewards(H, T, cached):
    bias = alibi_bias(H, T, T + cached)
    assert bias.max() == 0
    assert (bias.diagonal(offset=cached, dim1=1, dim2=2) == 0).all()
    for t in range(T):
        past = bias[:, t, : t + cached + 1]
        assert (past.diff(dim=-1) > 0).all()
    assert len(set(alibi_slopes(H).tolist())) == H


def test_alibi_names_what_is_wrong():
    with pytest.raises(ValueError, match="H is 0; expected at least one head"):
        alibi_slopes(0)
    with pytest.raises(ValueError, match="T=5, S=3; expected 0 ≤ T ≤ S"):
        alibi_bias(2, 5, 3)


# --- devices ----------------------------------------------------------------------------------------------


def test_everything_follows_the_default_device():
    with torch.device("meta"):
        made = [sinusoidal_encoding(3, 4), *rotary_table(3, 4), alibi_slopes(3), alibi_bias(2, 3)]
        made += [LearnedPositions(5, 4)(3), apply_rope(torch.zeros(2, 3, 4), *rotary_table(3, 4))]
    assert all(tensor.device.type == "meta" for tensor in made)
    assert rotary_angles(torch.arange(3, device="meta"), 4).device.type == "meta"
