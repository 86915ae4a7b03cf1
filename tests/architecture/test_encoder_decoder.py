"""The encoder–decoder of 2017 against torch's own layers with copied weights, its size, its masks, its errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attention import assert_equal, normal
from torch import Tensor, nn

from lablib.architecture.attention import MultiHeadAttention, causal_mask, padding_mask
from lablib.architecture.encoder_decoder import (
    END,
    PAD,
    START,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    TiedEmbedding,
    Transformer,
    TransformerConfig,
    attention_maps,
    check_mask,
    count,
)
from lablib.architecture.layers import post_norm, pre_norm

B, T, S, D, H, HIDDEN = 3, 5, 7, 16, 4, 24
ORDERS = pytest.mark.parametrize(("connect", "norm_first"), [(post_norm, False), (pre_norm, True)])


def copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    parts = ours.q_proj, ours.k_proj, ours.v_proj
    theirs.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())


def copy_layer(ours: EncoderLayer | DecoderLayer, theirs: nn.Module) -> None:
    copy_attention(getattr(ours, "self_attention", None) or ours.attention, theirs.self_attn)
    if isinstance(ours, DecoderLayer):
        copy_attention(ours.cross_attention, theirs.multihead_attn)
    theirs.linear1.load_state_dict(ours.feed_forward.up.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.down.state_dict())
    for number in (1, 2, 3)[: 3 if isinstance(ours, DecoderLayer) else 2]:
        norm = getattr(ours, f"norm_{number}")
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)  # the start, 1 and 0, would hide a swap
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())


def their_gradients(ours: nn.Module, theirs: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Our gradient beside torch's, for every parameter of ours."""
    renamed = {"norm_": "norm", "feed_forward.up": "linear1", "feed_forward.down": "linear2"}
    renamed |= {"cross_attention": "multihead_attn", "self_attention": "self_attn"}
    found, right = {}, dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        other = name if name.startswith(("self_", "cross_")) else name.replace("attention.", "self_attn.")
        for old, new in renamed.items():
            other = other.replace(old, new)
        head, _, part = other.partition("_proj.")
        if part and head[-1] in "qkv":
            which = "qkv".index(head[-1])
            found[name] = parameter.grad, right[f"{head[:-1]}in_proj_{part}"].grad.chunk(3)[which]
        else:
            found[name] = parameter.grad, right[other].grad
    return found


def assert_same_parameters(ours: nn.Module, theirs: nn.Module) -> None:
    pairs = their_gradients(ours, theirs)
    assert sum(mine.numel() for mine, _ in pairs.values()) == count(theirs), "every parameter of torch's has one here"
    largest = max(right.abs().max().item() for _, right in pairs.values())
    for name, (mine, right) in pairs.items():
        scale = right.abs().max().item()
        # A key's bias moves all scores of a row alike, so its true gradient is zero: only rounding is there to compare.
        floor = 1e-6 * largest if name.endswith("k_proj.bias") else 0
        assert scale > floor or name.endswith("k_proj.bias"), name
        torch.testing.assert_close(
            mine, right, rtol=1e-5, atol=max(1e-5 * scale, floor), msg=lambda m, n=name: f"{n}: {m}"
        )


# ---------------------------------------------------------------- against torch


@ORDERS
@pytest.mark.parametrize("lengths", [None, [7, 4, 1]])
def test_encoder_layer_is_torchs_with_the_same_weights(connect, norm_first, lengths):
    torch.manual_seed(0)
    ours = EncoderLayer(D, H, HIDDEN, connect)
    theirs = nn.TransformerEncoderLayer(D, H, HIDDEN, dropout=0.0, batch_first=True, norm_first=norm_first)
    copy_layer(ours, theirs)
    x, again = normal(B, S, D).requires_grad_(), normal(B, S, D).requires_grad_()
    real = torch.ones(B, S, dtype=torch.bool) if lengths is None else padding_mask(lengths, S)[:, 0, 0]
    y = ours(x, None if lengths is None else padding_mask(lengths, S))
    expected = theirs(again, src_key_padding_mask=None if lengths is None else ~real)  # torch: True = hidden
    assert_equal(y, expected)
    weight = normal(B, S, D, seed=5)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    assert_equal(x.grad, again.grad)
    assert_same_parameters(ours, theirs)


@ORDERS
def test_decoder_layer_is_torchs_with_the_same_weights(connect, norm_first):
    torch.manual_seed(0)
    ours = DecoderLayer(D, H, HIDDEN, connect)
    theirs = nn.TransformerDecoderLayer(D, H, HIDDEN, dropout=0.0, batch_first=True, norm_first=norm_first)
    copy_layer(ours, theirs)
    inputs = normal(B, T, D).requires_grad_(), normal(B, S, D, seed=1).requires_grad_()
    again = normal(B, T, D).requires_grad_(), normal(B, S, D, seed=1).requires_grad_()
    memory_mask = padding_mask([7, 4, 1], S)
    y = ours(*inputs, causal_mask(T), memory_mask)
    expected = theirs(*again, tgt_mask=~causal_mask(T), memory_key_padding_mask=~memory_mask[:, 0, 0])
    assert_equal(y, expected)
    weight = normal(B, T, D, seed=5)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    for mine, right in zip(inputs, again, strict=True):
        assert_equal(mine.grad, right.grad)
    assert_same_parameters(ours, theirs)


@ORDERS
def test_the_whole_model_is_torchs_with_the_same_weights(connect, norm_first):
    torch.manual_seed(0)
    config = TransformerConfig(V=11, D=D, H=H, L=2, hidden=HIDDEN, dropout=0.0, connect=connect, final_norm=norm_first)
    ours = Transformer(config)
    sizes = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    theirs = nn.Transformer(D, H, 2, 2, HIDDEN, **sizes)
    for mine, other in ((ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        for layer, its in zip(mine.layers, other.layers, strict=True):
            copy_layer(layer, its)
        if not norm_first:
            other.norm = None  # torch normalises once more even after post-norm; the paper does not
    source = torch.tensor([[3, 4, 5, 6], [7, 8, PAD, PAD]])
    target = torch.tensor([[START, 9, 10], [START, 3, 4]])
    hidden = source == PAD
    vectors = theirs(
        ours.embedding(source),
        ours.embedding(target),
        tgt_mask=~causal_mask(3),
        src_key_padding_mask=hidden,
        memory_key_padding_mask=hidden,
    )
    assert_equal(ours(source, target), vectors @ ours.embedding.weight.T)


def test_the_embedding_is_scaled_and_has_the_waves_added():
    from lablib.architecture.positions import sinusoidal_encoding

    embedding = TiedEmbedding(11, D)
    ids = torch.tensor([[3, 5, 3]])
    assert_equal(embedding(ids)[0], embedding.weight[ids[0]] * 4 + sinusoidal_encoding(3, D))  # √16 = 4
    torch.manual_seed(0)
    assert TiedEmbedding(1000, 64).weight.std().item() == pytest.approx(1 / 8, rel=0.02)  # so that √D makes it 1


# ---------------------------------------------------------------- the paper's sizes


def parameters(**sizes: int) -> int:
    with torch.device("meta"):
        return count(Transformer(TransformerConfig(**sizes)))


def test_the_base_model_has_the_parameters_that_its_formula_gives():
    D, F, V, L = 512, 2048, 37_000, 6
    attention, feed_forward, norm = 4 * (D * D + D), D * F + F + F * D + D, 2 * D
    layers = L * (attention + feed_forward + 2 * norm) + L * (2 * attention + feed_forward + 3 * norm)
    assert parameters() == V * D + layers == 63_082_496
    with torch.device("meta"):
        theirs = nn.Transformer(512, 8, 6, 6, 2048)  # torch has two final norms and no embedding
    assert count(theirs) - 2 * norm == layers


# Table 3 of the paper, in millions: it prints whole numbers, and its vocabulary is "about 37000".
TABLE_3 = [
    ({}, 65),
    ({"L": 2}, 36),
    ({"L": 4}, 50),
    ({"L": 8}, 80),
    ({"D": 256}, 28),
    ({"D": 1024}, 168),
    ({"hidden": 1024}, 53),
    ({"hidden": 4096}, 90),
    ({"D": 1024, "hidden": 4096, "H": 16}, 213),
]


@pytest.mark.parametrize(("sizes", "printed"), TABLE_3)
def test_our_sizes_are_those_of_table_3(sizes, printed):
    # With 37,000 tokens we are 0–2.5 M below most rows of the base model, as 4,000 more tokens would explain.
    assert printed * 0.93 < parameters(**sizes) / 1e6 < printed * 1.01
    if "H" not in sizes:
        assert parameters(V=41_000, **sizes) / 1e6 == pytest.approx(printed, abs=0.75)


# ---------------------------------------------------------------- masks


def small(connect=post_norm, **sizes) -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        TransformerConfig(**({"V": 11, "D": D, "H": H, "L": 2, "hidden": HIDDEN, "dropout": 0.0} | sizes))
    )


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_token_changes_nothing_before_it(data):
    ids = data.draw(st.lists(st.integers(3, 10), min_size=2, max_size=8))
    at = data.draw(st.integers(1, len(ids) - 1))
    target, source = torch.tensor([ids]), torch.tensor([[3, 4, 5]])
    changed = target.clone()
    changed[0, at] = 3 + (changed[0, at] - 2) % 8
    model = small().eval()
    with torch.no_grad():
        before, after = model(source, target), model(source, changed)
    assert torch.equal(before[:, :at], after[:, :at])
    assert not torch.allclose(before[:, at], after[:, at], rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 6), padding=st.integers(1, 5))
def test_padding_of_the_source_changes_nothing(length, padding):
    source = torch.arange(3, 3 + length)[None]
    padded = torch.cat([source, torch.full((1, padding), PAD)], dim=1)
    model, target = small().eval(), torch.tensor([[START, 5, END]])
    with torch.no_grad():
        assert_equal(model(padded, target), model(source, target))


def test_dropout_acts_in_training_only():
    model, source, target = small(dropout=0.5), torch.tensor([[3, 4, 5]]), torch.tensor([[START, 6]])
    assert not torch.equal(model(source, target), model(source, target))
    model.eval()
    assert torch.equal(model(source, target), model(source, target))


def test_the_learners_layers_can_be_put_in():
    class Mine(DecoderLayer):
        """A layer of somebody else's."""

    model = Transformer(TransformerConfig(V=11, D=D, H=H, L=2, hidden=HIDDEN), decoder_layer=Mine)
    assert all(isinstance(layer, Mine) for layer in model.decoder.layers)


# ---------------------------------------------------------------- attention maps


def test_attention_maps_are_those_of_the_pass_itself():
    model, source, target = small().eval(), torch.tensor([[3, 4, PAD]]), torch.tensor([[START, 6]])
    maps = attention_maps(model, "cross_attention", source, target)
    assert [tuple(weights.shape) for weights in maps] == [(1, H, 2, 3)] * 2
    for weights in maps:
        assert_equal(weights.sum(-1), torch.ones(1, H, 2))
        assert not weights[..., 2].any()
    memory, mask = model.encode(source)
    layer, x = model.decoder.layers[0], model.embedding(target)
    x = layer.norm_1(x + layer.self_attention(x, mask=causal_mask(2))[0])
    assert_equal(maps[0], layer.cross_attention(x, memory, mask)[1])
    assert not any(module._forward_hooks for module in model.modules()), "no hook is left behind"


def test_no_hook_stays_behind_an_error():
    model = small()
    with pytest.raises(ValueError, match="ids holds"):
        attention_maps(model, "cross_attention", torch.tensor([[99]]), torch.tensor([[START]]))
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="names = 'attentoin'"):
        attention_maps(model, "attentoin", torch.tensor([[3]]), torch.tensor([[START]]))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"H": 3}, "D = 512 cannot be cut into H = 3 heads"),
        ({"H": 0}, "H = 0: expected a whole number >= 1"),
        ({"D": 27, "H": 9}, "D = 27 is odd"),
        ({"L": 2.0}, "L = 2.0: expected a whole number"),
        ({"dropout": 1.0}, "dropout = 1.0: expected a share"),
    ],
)
def test_a_wrong_size_is_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**sizes)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (torch.zeros(0, 3, dtype=torch.long), r"ids has shape \(0, 3\): expected ids \(B, T\) with B >= 1"),
        (torch.zeros(2, 0, dtype=torch.long), r"ids has shape \(2, 0\)"),
        (torch.zeros(3, dtype=torch.long), r"ids has shape \(3,\)"),
        (torch.ones(2, 3), "ids is torch.float32: expected whole numbers"),
        (torch.full((2, 3), 11), "ids holds 11 to 11: expected ids from 0 to V − 1 = 10"),
    ],
)
def test_ids_that_cannot_be_read_are_named(source, message):
    with pytest.raises(ValueError, match=message):
        small()(source, torch.full((2, 1), START))


def test_a_mask_of_the_wrong_shape_is_named():
    encoder, x = Encoder(1, D, H, HIDDEN), normal(B, S, D)
    with pytest.raises(
        ValueError, match=r"mask has shape \(3, 7\).*\(3, 4, 7, 7\); a mask \(B, S\).*\[:, None, None, :\]"
    ):
        encoder(x, torch.ones(B, S, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 1, 1, 6\)"):
        encoder(x, torch.ones(B, 1, 1, 6, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"mask is torch.float32: expected bool"):
        encoder(x, torch.ones(S, S))
    check_mask(torch.ones(S, S, dtype=torch.bool), (B, H, S, S))
    with pytest.raises(ValueError, match=r"x has shape \(0, 7, 16\): expected \(B, S, D\)"):
        encoder(x[:0])
    with pytest.raises(ValueError, match=r"x has shape \(3, 7, 15\)"):
        encoder(x[..., :15])
