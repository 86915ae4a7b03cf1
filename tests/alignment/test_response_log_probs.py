"""Log-probabilities of responses: against transformers' Llama, a softmax by hand, and finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.alignment.log_probs import Answers, answers, response_log_probs, sequence_log_probs, token_log_probs
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama

PROMPTS = [[1, 5, 9], [2], [3, 3, 3, 3]]
RESPONSES = [[4, 6], [7, 8, 10, 11], []]


def tiny(tied: bool = True, seed: int = 0) -> Decoder:
    config = DecoderConfig(V=13, D=8, H=2, L=2, hidden=12, context=16, tied=tied)
    model = Decoder(config, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)  # probabilities far from uniform
    return model.eval()


def one_by_one(model: Decoder, prompt: list[int], response: list[int]) -> float:
    """log π(y | x) with no batch, no padding, no mask: token after token."""
    total, seen = 0.0, list(prompt)
    for token in response:
        p = model(torch.tensor([seen]))[0, -1].double().softmax(dim=-1)
        total += math.log(p[token])
        seen.append(token)
    return total


@pytest.mark.parametrize("tied", [True, False])
def test_sum_equals_the_product_of_next_token_probabilities(tied):
    model = tiny(tied)
    batch = answers(PROMPTS, RESPONSES, pad=0)
    with torch.no_grad():
        found = sequence_log_probs(response_log_probs(model, batch), batch.mask)
        expected = [one_by_one(model, x, y) for x, y in zip(PROMPTS, RESPONSES, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert expected[0] < -1
    assert found[2] == 0.0, "an empty response is certain"


def test_tokens_equal_those_of_the_exported_llama(tmp_path):
    from transformers import LlamaForCausalLM

    model = tiny()
    llama = LlamaForCausalLM.from_pretrained(save_llama(model, tmp_path)).eval()
    batch = answers(PROMPTS[:2], RESPONSES[:2], pad=0)
    with torch.no_grad():
        theirs = F.log_softmax(llama(batch.inputs).logits, dim=-1).gather(-1, batch.targets[..., None])[..., 0]
        ours = response_log_probs(model, batch)
    torch.testing.assert_close(ours, theirs * batch.mask, rtol=1e-4, atol=1e-5)
    assert int((ours < 0).sum()) == 6


def test_gradient_equals_finite_differences():
    model = tiny().double()
    batch = answers(PROMPTS, RESPONSES, pad=0)
    weight = model.layers[0].feed_forward.up.weight
    sequence_log_probs(response_log_probs(model, batch), batch.mask).sum().backward()
    step = 1e-6
    for place in ((0, 0), (3, 5), (11, 7)):
        at = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
                at.append(sequence_log_probs(response_log_probs(model, batch), batch.mask).sum().item())
                weight[place] -= sign * step
        assert weight.grad[place].item() == pytest.approx((at[0] - at[1]) / (2 * step), rel=1e-5)
        assert weight.grad[place] != 0


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.integers(0, 12), min_size=1, max_size=5), st.lists(st.integers(0, 12), min_size=0, max_size=6)
        ),
        min_size=1,
        max_size=5,
    ),
    pads=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_neither_padding_nor_company_matters(rows, pads):
    model = tiny()
    prompts, responses = [x for x, _ in rows], [y for _, y in rows]
    with torch.no_grad():
        together, other = (answers(prompts, responses, pad) for pad in pads)
        first, second = (sequence_log_probs(response_log_probs(model, one), one.mask) for one in (together, other))
        alone = []
        for x, y in rows:
            one = answers([x], [y], pads[0])
            alone.append(sequence_log_probs(response_log_probs(model, one), one.mask))
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert together.lengths.tolist() == [len(y) for y in responses]
    assert bool((first <= 0).all())


def test_rows_hold_what_was_given_and_can_be_taken():
    batch = answers(PROMPTS, RESPONSES, pad=0)
    for row, (x, y) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        assert batch.targets[row][batch.mask[row]].tolist() == y
        assert batch.ids[row, : len(x)].tolist() == x
    some = batch.take([2, 0])
    assert some.ids.tolist() == [[3, 3, 3, 3, 0][:5], [1, 5, 9, 4, 6]]
    assert some.mask.tolist() == [[False] * 4, [False, False, True, True]]
    assert batch.take([2]).mask.tolist() == [[False]]
    assert len(some) == 2
    assert torch.equal(batch.to("cpu").ids, batch.ids)


def test_half_precision_logits_are_raised_before_the_softmax():
    logits = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0)) * 5
    targets = torch.randint(0, 50, (2, 3), generator=torch.Generator().manual_seed(1))
    half = token_log_probs(logits.bfloat16(), targets)
    assert half.dtype == torch.float32
    exact = token_log_probs(logits.bfloat16().double(), targets)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(half.double(), exact, rtol=1e-5, atol=0)


def test_what_is_masked_out_has_no_influence_even_if_it_is_infinite():
    token = torch.tensor([[-torch.inf, -1.0, torch.nan]], requires_grad=True)
    total = sequence_log_probs(token, torch.tensor([[False, True, False]]))
    total.sum().backward()
    assert total.tolist() == [-1.0]
    assert token.grad.tolist() == [[0.0, 1.0, 0.0]]


def test_a_row_as_long_as_the_context_is_read_and_a_longer_one_refused():
    model = tiny()
    with torch.no_grad():
        assert response_log_probs(model, answers([[1] * 10], [[2] * 7], 0)).shape == (1, 16)
        with pytest.raises(ValueError, match=r"rows of 18 tokens: expected at most 17.*cut their responses"):
            response_log_probs(model, answers([[1] * 10], [[2] * 8], 0))


@pytest.mark.parametrize(
    ("prompts", "responses", "message"),
    [
        ([], [], r"0 prompts and 0 responses: expected at least one"),
        ([[1]], [[2], [3]], r"1 prompts and 2 responses: .*one response for each prompt"),
        ([[1], []], [[2], [3]], r"prompts\[1\] is empty: expected a token at least, such as <\|bos\|>"),
    ],
)
def test_bad_rows_are_refused(prompts, responses, message):
    with pytest.raises(ValueError, match=message):
        answers(prompts, responses, pad=0)


def test_bad_tensors_are_refused():
    ids, mask = torch.zeros(2, 4, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"mask is torch.bool of shape \(2, 4\): expected torch.bool of shape \(2, 3\)"
    ):
        Answers(ids, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask is torch.float32"):
        Answers(ids, mask.float())
    with pytest.raises(ValueError, match=r"ids is torch.int32 of shape \(2, 4\): expected torch.int64"):
        Answers(ids.int(), mask)
    with pytest.raises(ValueError, match=r"ids is torch.int64 of shape \(4,\)"):
        Answers(ids[0], mask)
