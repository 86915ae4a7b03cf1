"""Prompt and prefix tuning against `peft` on the exported model, and as models among others: padding, cache, frozen base."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft_oracle import IDS, SIZES, close, exported, fresh, loss

from lablib.adaptation.prefix_tuning import Prefix, PrefixTuned, by_layer, keys_and_values
from lablib.adaptation.prompt_tuning import PromptTuned, start_prompt
from lablib.adaptation.trainable import changed, copies, trainable
from lablib.architecture.generation import generate, left_pad
from lablib.architecture.gpt2 import GPT2, GPT2Config
from lablib.pretraining.batching import causal
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train

P = 5
N = 2 * SIZES.L * SIZES.kv * SIZES.K  # numbers of one token of a prefix


def prompted(seed: int = 0):
    model = PromptTuned(fresh(), P, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.prompt.normal_(std=0.3, generator=torch.Generator().manual_seed(seed))
    return model


def prefixed(reparametrised: bool = False, seed: int = 0):
    model = PrefixTuned(
        fresh(), P, reparametrised=reparametrised, hidden=9, generator=torch.Generator().manual_seed(seed)
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.prefix.parameters():
            weight.normal_(std=0.7, generator=generator)
    return model


MODELS = {"prompt": prompted, "prefix": prefixed, "reparametrised": lambda: prefixed(True)}


# ---------------------------------------------------------------- against peft


def test_prompt_tuning_is_that_of_peft(tmp_path):
    from peft import PromptTuningConfig, get_peft_model

    ours = prompted()
    theirs = get_peft_model(
        exported(fresh(), tmp_path), PromptTuningConfig(num_virtual_tokens=P, task_type="CAUSAL_LM")
    ).eval()
    table = theirs.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        table.copy_(ours.prompt)
    found = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits[:, P:]
    assert close(ours(IDS), found)
    assert not close(fresh()(IDS), found, 1e-2)
    loss(ours(IDS)).backward()
    loss(found).backward()
    assert close(ours.prompt.grad, table.grad)


@pytest.mark.parametrize("reparametrised", [False, True])
def test_prefix_tuning_is_that_of_peft(reparametrised, tmp_path):
    from peft import PrefixTuningConfig, get_peft_model

    ours = prefixed(reparametrised)
    config = PrefixTuningConfig(
        num_virtual_tokens=P, task_type="CAUSAL_LM", prefix_projection=reparametrised, encoder_hidden_size=9
    )
    theirs = get_peft_model(exported(fresh(), tmp_path), config).eval()
    encoder = theirs.prompt_encoder["default"]
    if reparametrised and encoder.embedding.weight.shape != ours.prefix.table.shape:
        ours.prefix = Prefix(P, N, D=encoder.embedding.weight.shape[1], hidden=9)  # peft's table is as wide as its keys
    pairs = [(ours.prefix.table, encoder.embedding.weight)]
    if reparametrised:
        pairs += list(zip(ours.prefix.network.parameters(), encoder.transform.parameters(), strict=True))
    with torch.no_grad():
        for number, (mine, other) in enumerate(pairs):
            mine.normal_(std=0.7, generator=torch.Generator().manual_seed(number))
            other.copy_(mine)
    found = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    assert close(ours(IDS), found)
    assert not close(fresh()(IDS), found, 1e-2)
    loss(ours(IDS)).backward()
    loss(found).backward()
    for mine, other in pairs:
        assert close(mine.grad, other.grad)


# ---------------------------------------------------------------- as text in front


def test_a_prompt_of_real_embeddings_is_real_text_in_front():
    base, words = fresh(), [3, 1, 4, 1, 5]
    model = PromptTuned(base, P, ids=words)
    before = torch.tensor(words).expand(len(IDS), -1)
    assert close(model(IDS), base(torch.cat((before, IDS), dim=1))[:, P:])


def test_a_prefix_of_real_keys_and_values_is_real_text_in_front():
    base, words = fresh(), [3, 1, 4, 1, 5]
    model = PrefixTuned(base, P, ids=words)
    assert keys_and_values(base, words).shape == (P, N)
    before = torch.tensor(words).expand(len(IDS), -1)
    assert close(model(IDS), base(torch.cat((before, IDS), dim=1))[:, P:])


def test_it_works_on_a_gpt2_too():
    base = GPT2(
        GPT2Config(V=61, D=32, H=4, L=2, hidden=40, context=32), generator=torch.Generator().manual_seed(0)
    ).eval()
    words = [3, 1, 4, 1, 5]
    expected = base(torch.cat((torch.tensor(words).expand(len(IDS), -1), IDS), dim=1))[:, P:]
    for model in (PromptTuned(base, P, ids=words), PrefixTuned(base, P, ids=words)):
        assert close(model(IDS), expected)


# ---------------------------------------------------------------- as a model


@pytest.mark.parametrize("kind", MODELS)
def test_padding_on_either_side_changes_nothing(kind):
    model = MODELS[kind]()
    rows, mask = left_pad([[7, 8, 9], [1, 2, 3, 4, 5]])
    alone = model(torch.tensor([[7, 8, 9]]))
    assert close(model(rows, mask)[:1, 2:], alone)
    assert close(model(rows.roll(-2, 1), mask.roll(-2, 1))[:1, :3], alone)


@pytest.mark.parametrize("kind", MODELS)
def test_it_writes_with_a_cache_what_it_writes_without(kind):
    model = MODELS[kind]()
    rows, mask = left_pad([[7, 8, 9], [1, 2, 3, 4, 5]])
    written = generate(model, rows, 12, mask, cached=True)
    assert torch.equal(written, generate(model, rows, 12, mask, cached=False))
    assert len(set(written[:, 5:].flatten().tolist())) > 2
    assert model.new_cache(2, 9).length == P
    with torch.no_grad():
        assert close(model(IDS, cache=model.new_cache(3, 11)), model(IDS))


@pytest.mark.parametrize("kind", MODELS)
def test_no_token_looks_ahead(kind):
    model, other = MODELS[kind](), IDS.clone()
    other[:, 6:] = (other[:, 6:] + 1) % 61
    assert torch.allclose(model(IDS)[:, :6], model(other)[:, :6], atol=1e-5)
    assert not torch.allclose(model(IDS)[:, 6:], model(other)[:, 6:], atol=1e-2)


@pytest.mark.parametrize("kind", MODELS)
def test_training_moves_the_virtual_tokens_only(kind):
    model = MODELS[kind]()
    base = copies((name, w) for name, w in model.named_parameters() if not name.startswith(("prompt", "prefix")))
    own = copies((name, w) for name, w in model.named_parameters() if name.startswith(("prompt", "prefix")))
    recipe = Recipe(steps=25, batch=3, context=10, lr=5e-2, weight_decay=0.0)
    losses = [step.loss for step in train(model, lambda step: causal(IDS), recipe)]
    assert losses[-1] < 0.9 * losses[0]
    assert changed(base, dict(model.named_parameters())) == []
    assert set(changed(own, dict(model.named_parameters()))) == set(own)


def test_how_many_numbers_learn():
    assert trainable(PromptTuned(fresh(), P)) == P * SIZES.D
    assert trainable(PrefixTuned(fresh(), P)) == P * N
    whole = PrefixTuned(fresh(), P, reparametrised=True, hidden=9)
    assert trainable(whole) == P * SIZES.D + (SIZES.D + 1) * 9 + (9 + 1) * N
    assert trainable(whole.keep()) == P * N


def test_the_network_can_be_thrown_away():
    model = prefixed(True)
    before = model(IDS)
    assert torch.equal(model.keep()(IDS), before)
    assert model.prefix.network is None


@given(L=st.integers(1, 4), kv=st.integers(1, 3), K=st.integers(1, 4), count=st.integers(1, 4))
@settings(max_examples=30)
def test_the_order_of_the_numbers_is_layer_then_key_or_value_then_head(L, kv, K, count):
    prefix = torch.arange(count * L * 2 * kv * K).view(count, -1)
    found = by_layer(prefix, L, kv)
    assert found.shape == (L, 2, kv, count, K)
    for p in range(count):
        assert torch.equal(found[:, :, :, p].reshape(-1), prefix[p])


def test_the_start_of_a_prompt_is_real_embeddings():
    table = torch.randn(20, 4)
    drawn = start_prompt(table, 6, generator=torch.Generator().manual_seed(0))
    assert all(any(torch.equal(row, word) for word in table) for row in drawn)
    with pytest.raises(ValueError, match=r"ids = \[20\]: expected token numbers from 0 to V − 1 = 19"):
        start_prompt(table, 6, ids=[20])


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="P = 0: expected a whole number of virtual tokens"):
        PromptTuned(fresh(), 0)
    with pytest.raises(ValueError, match="P = True"):
        PrefixTuned(fresh(), True)
    with pytest.raises(ValueError, match="ids has 2 tokens, P = 5"):
        PrefixTuned(fresh(), P, ids=[1, 2])
    with pytest.raises(ValueError, match="ids is empty"):
        keys_and_values(fresh(), [])
    with pytest.raises(ValueError, match="prefix has 7 numbers a token"):
        by_layer(torch.zeros(2, 7), 2, 1)
    with pytest.raises(ValueError, match=r"first has shape \(2, 3\)"):
        Prefix(P, N, first=torch.zeros(2, 3))
