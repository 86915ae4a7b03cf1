"""The model of lab 03 against torch's own transformer layer, and the three places where positions enter."""

import math

import pytest
import torch
from torch import nn

from lablib.architecture.position_model import Block, PositionModel, Positions, bits, train, windows
from lablib.architecture.positions import (
    LearnedPositions,
    alibi_bias,
    apply_rope,
    rotary_table,
    sinusoidal_encoding,
)

D, H, V = 16, 4, 11

SCHEMES = {
    "none": Positions,
    "sinusoidal": lambda: Positions(add=lambda T: sinusoidal_encoding(T, D)),
    "learned": lambda: Positions(add=LearnedPositions(64, D)),
    "rope": lambda: Positions(rotate=lambda x: apply_rope(x, *rotary_table(x.shape[-2], x.shape[-1]))),
    "alibi": lambda: Positions(bias=lambda T: alibi_bias(H, T)),
}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def torch_layer(block: Block) -> nn.TransformerEncoderLayer:
    """Torch's pre-norm layer with a block's weights."""
    layer = nn.TransformerEncoderLayer(D, H, 4 * D, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(block.qkv.weight)
        layer.self_attn.out_proj.weight.copy_(block.out.weight)
        layer.self_attn.in_proj_bias.zero_()
        layer.self_attn.out_proj.bias.zero_()
        layer.norm1.load_state_dict(block.norm_1.state_dict())
        layer.norm2.load_state_dict(block.norm_2.state_dict())
        layer.linear1.load_state_dict(block.feed_forward[0].state_dict())
        layer.linear2.load_state_dict(block.feed_forward[2].state_dict())
    return layer


@pytest.mark.parametrize("scheme", ["none", "alibi"])
def test_a_block_is_torchs_layer(scheme):
    block, x, T = Block(D, H), torch.randn(2, 9, D), 9
    mask = torch.full((T, T), float("-inf")).triu(1)  # added to the scores: 0 where one may look
    if scheme == "alibi":
        mask = (alibi_bias(H, T) + mask).repeat(2, 1, 1)  # (B · H, T, T)
    expected = torch_layer(block)(x, src_mask=mask)
    torch.testing.assert_close(block(x, SCHEMES[scheme]()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_position_sees_the_future(scheme):
    model = PositionModel(V, D, H, 2, SCHEMES[scheme]())
    ids = torch.randint(V, (3, 20))
    changed = ids.clone()
    changed[:, 12:] = (ids[:, 12:] + 1) % V
    before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12], rtol=1e-5, atol=1e-5)
    assert (before[:, 12:] - after[:, 12:]).abs().max() > 1e-2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_only_a_scheme_lets_one_layer_tell_apart_two_orders_of_the_past(scheme):
    model = PositionModel(V, D, H, 1, SCHEMES[scheme]())
    ids = torch.tensor(
        [[1, 2, 3, 4, 5], [3, 1, 2, 4, 5]]
    )  # one layer, the same past in two orders, the same last token
    gap = (model(ids)[0, -1] - model(ids)[1, -1]).abs().max()
    assert gap < 1e-5 if scheme == "none" else gap > 1e-4


def test_only_the_rows_that_were_read_are_trained():
    model = PositionModel(V, D, H, 1, SCHEMES["learned"]())
    table = model.positions.add.weight
    assert any(parameter is table for parameter in model.parameters())
    bits(model, torch.randint(V, (2, 9))).mean().backward()
    assert (table.grad[:8].abs().sum(1) > 0).all()
    assert table.grad[8:].abs().sum() == 0


def test_bits_are_the_cross_entropy_with_base_two():
    ids = torch.randint(V, (3, 8))
    model = PositionModel(V, D, H, 1, Positions())
    got = bits(model, ids)
    log_probs = model(ids[:, :-1]).log_softmax(-1)
    for b in range(3):
        for t in range(7):
            expected = -log_probs[b, t, ids[b, t + 1]].item() / math.log(2)
            assert got[b, t].item() == pytest.approx(expected, rel=1e-5)
    uniform = bits(lambda ids: torch.zeros(*ids.shape, 8), torch.randint(8, (2, 4)))
    torch.testing.assert_close(uniform, torch.full((2, 3), 3.0))


def test_windows_are_pieces_of_the_text_and_reach_both_ends():
    text = torch.arange(10)
    seen = torch.cat([next(windows(text, 50, 3, torch.Generator().manual_seed(seed))) for seed in range(10)])
    assert (seen.diff(dim=1) == 1).all()
    assert set(seen[:, 0].tolist()) == set(range(7))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_training_learns_and_repeats_itself(scheme):
    def run() -> list[float]:
        torch.manual_seed(1)
        model = PositionModel(V, D, H, 1, SCHEMES[scheme]())
        text = torch.arange(600) % V  # after n comes n + 1
        return list(train(model, windows(text, 8, 16, torch.Generator().manual_seed(1)), 60))

    first = run()
    assert first == run()
    assert sum(first[-5:]) < 0.3 * sum(first[:5])
