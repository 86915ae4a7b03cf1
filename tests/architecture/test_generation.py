"""Writing: cached equals uncached equals `LlamaForCausalLM.generate`, token for token."""

import pytest
import torch
from decoder_helpers import GROUPED, SMALL, seeded, small, some_ids, some_model
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decoder import as_llama

from lablib.architecture.generation import generate, greedy, left_pad, stream

KINDS = ["llama", "grouped", "gpt2"]
PROMPTS = [[5, 9, 3, 3, 20], [7], [1, 2, 3]]


@pytest.mark.parametrize("config", [SMALL, GROUPED], ids=["tied", "grouped"])
@pytest.mark.parametrize("stop", [None, 0])
def test_it_writes_what_transformers_writes(config, stop):
    model = small(config)
    ids, mask = left_pad(PROMPTS)
    if stop is not None:  # a token that really comes, in the middle of one row
        stop = int(generate(model, ids, 12, mask)[1, 5 + 6])
    theirs = as_llama(model)
    expected = theirs.generate(
        ids, attention_mask=mask.long(), max_new_tokens=12, do_sample=False, eos_token_id=stop, pad_token_id=stop or 0
    )
    for cached in (True, False):
        written = generate(model, ids, 12, mask, stop, cached=cached)
        assert torch.equal(written, expected)
    assert len(written[:, 5:].unique()) > 3  # not one token again and again
    if stop is not None:
        assert (written[1, 5 + 7 :] == stop).all()


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    prompts=st.lists(st.lists(st.integers(0, 49), min_size=1, max_size=6), min_size=1, max_size=4),
    new=st.integers(0, 8),
    stop=st.sampled_from([None, 3, 17]),
)
def test_cached_is_uncached_and_a_row_is_written_as_if_alone(kind, prompts, new, stop):
    model = some_model(kind)
    ids, mask = left_pad(prompts)
    together = generate(model, ids, new, mask, stop)
    assert torch.equal(together, generate(model, ids, new, mask, stop, cached=False))
    for row, prompt in enumerate(prompts):
        alone = generate(model, torch.tensor([prompt]), new, stop=stop)[0, len(prompt) :]
        mine = together[row, ids.shape[1] :]
        assert torch.equal(mine[: len(alone)], alone)
        assert set(mine[len(alone) :].tolist()) <= {stop}


def test_it_stops_when_all_rows_have():
    model, ids = small(), torch.tensor([[4, 8]])
    free = generate(model, ids, 10)[0, 2:]
    stop = int(free[3])
    first = (free == stop).nonzero()[0].item()
    assert generate(model, ids, 10, stop=stop)[0, 2:].tolist() == free[: first + 1].tolist()
    assert len(list(stream(model, ids, 10, stop=stop))) == first + 1


def test_the_choice_is_handed_in():
    seen = []

    def second_best(logits):
        seen.append(tuple(logits.shape))
        return logits.topk(2).indices[:, 1]

    model, ids = small(), some_ids(3, 4)
    written = generate(model, ids, 3, choose=second_best)
    assert seen == [(3, 50)] * 3
    assert torch.equal(written[:, 4], model(ids)[:, -1].topk(2).indices[:, 1])
    generator = seeded(0)
    sampled = generate(model, ids, 3, choose=lambda z: z.softmax(-1).multinomial(1, generator=generator)[:, 0])
    assert sampled.shape == (3, 7)


def test_it_leaves_no_gradients_and_does_not_turn_them_off_for_others():
    columns = stream(small(), some_ids(1, 2), 3)
    next(columns)
    assert torch.is_grad_enabled()
    assert not generate(small(), some_ids(1, 2), 2).is_floating_point()


def test_no_tokens_and_the_input_is_not_changed():
    ids = some_ids(2, 3)
    copy = ids.clone()
    assert torch.equal(generate(small(), ids, 0), copy)
    generate(small(), ids, 4)
    assert torch.equal(ids, copy)


def test_left_pad():
    ids, mask = left_pad(PROMPTS, pad=49)
    assert ids.tolist() == [[5, 9, 3, 3, 20], [49, 49, 49, 49, 7], [49, 49, 1, 2, 3]]
    assert mask.sum(1).tolist() == [5, 1, 3]
    assert mask[:, -1].all()


def test_errors():
    with pytest.raises(ValueError, match=r"prompts have lengths \[2, 0\]: expected .* at least one token"):
        left_pad([[1, 2], []])
    with pytest.raises(ValueError, match=r"prompts have lengths \[\]"):
        left_pad([])
    right = torch.tensor([[True, True], [True, False]])
    with pytest.raises(ValueError, match=r"mask ends with padding in rows \[1\]: expected it on the left"):
        generate(small(), some_ids(2, 2), 3, right)
    with pytest.raises(ValueError, match=r"new_tokens = -1: expected a number of columns >= 0"):
        generate(small(), some_ids(2, 2), -1)
    with pytest.raises(ValueError, match=r"choose returned the shape \(2, 1\): expected one id for each row, \(2,\)"):
        generate(small(), some_ids(2, 2), 3, choose=lambda z: greedy(z)[:, None])
    with pytest.raises(ValueError, match=r"expected ids \(B, T\)"):
        generate(small(), torch.tensor([1, 2]), 3)
    with pytest.raises(ValueError, match=r"ids reach position 32: expected at most 31"):
        generate(some_model("gpt2"), some_ids(1, 30), 5)
