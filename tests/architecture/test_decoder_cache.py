"""The KV cache: the same logits piece by piece as in one go, and nothing written where it does not fit."""

import pytest
import torch
from decoder_helpers import assert_equal, some_ids, some_model
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.architecture.decoder import PLAIN, Decoder
from lablib.architecture.decoder_cache import KVCache

KINDS = ["llama", "grouped", "gpt2"]


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(KINDS), pieces=st.lists(st.integers(1, 5), min_size=1, max_size=5), room=st.integers(0, 3))
def test_piece_by_piece_is_as_in_one_go(kind, pieces, room):
    T = sum(pieces)
    model, ids = some_model(kind), some_ids(2, T, seed=T)
    with torch.no_grad():
        cache = model.new_cache(2, T + room)
        logits = torch.cat([model(piece, cache=cache) for piece in ids.split(pieces, dim=1)], dim=1)
        assert cache.length == T
        assert_equal(logits, model(ids), 1e-5)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    cut=st.integers(1, 7),
    pads=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    left=st.booleans(),
)
def test_piece_by_piece_with_padding(kind, cut, pads, left):
    """The mask speaks of the new tokens only; padding may even stand in the middle of a row."""
    model, ids = some_model(kind), some_ids(2, 8, seed=cut)
    real = torch.arange(8) >= torch.tensor(pads)[:, None]
    mask = real if left else real.flip(1)
    with torch.no_grad():
        cache = model.new_cache(2, 8)
        pieces = [model(ids[:, :cut], mask[:, :cut], cache), model(ids[:, cut:], mask[:, cut:], cache)]
        assert_equal(torch.cat(pieces, dim=1)[mask], model(ids, mask)[mask], 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_the_prompt_is_remembered_when_no_mask_comes_with_the_next_tokens(kind):
    model, ids = some_model(kind), some_ids(2, 6)
    mask = torch.arange(6) >= torch.tensor([[2], [0]])
    with torch.no_grad():
        cache = model.new_cache(2, 6)
        model(ids[:, :4], mask[:, :4], cache)
        assert_equal(model(ids[:, 4:], cache=cache), model(ids, mask)[:, 4:], 1e-5)


def test_learners_parts_read_the_cache_too():
    model, ids = Decoder(some_model("grouped").config, PLAIN), some_ids(2, 6)
    with torch.no_grad():
        cache = model.new_cache(2, 6)
        logits = torch.cat([model(ids[:, :3], cache=cache), model(ids[:, 3:], cache=cache)], dim=1)
        assert_equal(logits, model(ids), 1e-5)


def test_its_memory_is_the_formula_and_grouping_divides_it():
    cache = some_model("grouped").new_cache(B=3, max_T=10)
    assert cache.nbytes == 2 * 2 * 3 * 2 * 10 * 4 * 4  # keys and values · L · B · kv_heads · max_T · K · bytes
    assert some_model("llama").new_cache(3, 10).nbytes == 3 * cache.nbytes
    assert cache.max_T == 10


def test_it_has_the_type_of_the_model():
    model = some_model("llama").to(torch.bfloat16)
    assert model.new_cache(1, 4).keys.dtype == torch.bfloat16


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_too_long_a_text_is_one_clear_error_before_anything_is_written(kind):
    model, ids = some_model(kind), some_ids(2, 4)
    cache = model.new_cache(2, 6)
    model(ids, cache=cache)
    before = (cache.keys.clone(), cache.values.clone(), cache.real.clone(), cache.length)
    with pytest.raises(
        ValueError, match=r"3 more tokens do not fit: the cache holds max_T = 6 and 4 are in use.*max_T >= 7"
    ):
        model(some_ids(2, 3), cache=cache)
    with pytest.raises(ValueError, match=r"ids have 1 rows and the cache 2: expected the same; make one with B = 1"):
        model(some_ids(1, 1), cache=cache)
    with pytest.raises(ValueError, match=r"mask is torch.bool of shape \(2, 5\)"):
        model(some_ids(2, 1), torch.ones(2, 5, dtype=torch.bool), cache)
    assert all(torch.equal(a, b) for a, b in zip(before, (cache.keys, cache.values, cache.real), strict=False))
    assert cache.length == before[3]
    assert_equal(
        model(ids[:, :2], cache=cache), model(torch.cat((ids, ids[:, :2]), 1))[:, 4:], 1e-5
    )  # and it still works


@torch.no_grad()
def test_a_pass_that_breaks_off_leaves_the_cache_as_it_was():
    model, ids = some_model("llama"), some_ids(2, 4)
    cache = model.new_cache(2, 6)
    model(ids, cache=cache)

    def stop(*_):
        raise KeyboardInterrupt

    hook = model.layers[1].register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        model(some_ids(2, 2, seed=1), cache=cache)
    hook.remove()
    last = some_ids(2, 2, seed=2)
    assert_equal(model(last, cache=cache), model(torch.cat((ids, last), 1))[:, 4:], 1e-5)


@torch.no_grad()
def test_clear_forgets_everything():
    model, ids = some_model("llama"), some_ids(2, 5)
    cache = model.new_cache(2, 5)
    model(some_ids(2, 5, seed=7), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).bool(), cache)
    cache.clear()
    assert_equal(model(ids, cache=cache), model(ids), 1e-5)


def test_it_is_not_for_training():
    model = some_model("llama")
    with pytest.raises(ValueError, match=r"gradients on: it is for writing, so wrap the call in torch.no_grad\(\)"):
        model(some_ids(1, 2), cache=model.new_cache(1, 4))


@pytest.mark.parametrize(("name", "change"), [("B", {"B": 0}), ("max_T", {"max_T": -1}), ("max_T", {"max_T": 2.5})])
def test_a_cache_that_cannot_be_says_so(name, change):
    with pytest.raises(ValueError, match=rf"{name} = {change[name]}: expected a whole number >= 1"):
        KVCache(**{"L": 1, "B": 1, "kv_heads": 1, "max_T": 1, "K": 2} | change)
