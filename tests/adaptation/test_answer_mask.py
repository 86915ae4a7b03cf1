"""What is learned: against the assistant's mask of `transformers` and PyTorch's cross-entropy; what does not count has no influence."""

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.adaptation import chat
from lablib.adaptation.chat import Conversation, Turn, render
from lablib.adaptation.loss_mask import Encoded, answer_mask, answer_nats, counted, encode, shown
from lablib.adaptation.packing import one_a_row, pack, packed_loss
from lablib.adaptation.sft_data import CLEAN, fixed_set
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining.batching import Batch
from lablib.pretraining.loss import token_nats
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
ASSISTANT, STOP, PAD, BOS = (TOKENIZER.special[name] for name in ("<|assistant|>", "<|end|>", "<|pad|>", "<|bos|>"))


@pytest.fixture(scope="module")
def theirs():
    return chat.for_transformers(TOKENIZER)


def model_of(tied: bool = True) -> Decoder:
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=2, hidden=24, context=256, tied=tied)
    model = Decoder(config, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    return model


# ---------------------------------------------------------------- the mask


def test_the_mask_is_that_of_transformers(theirs):
    """`{% generation %}` in the template marks what the assistant says; transformers finds the tokens by their characters."""
    talks = [talk for talk in fixed_set(150, CLEAN, seed=4) if talk.skip == 0]
    assert len(talks) > 50
    for talk in talks:
        found = theirs.apply_chat_template(
            [{"role": role, "content": text} for role, text in talk.turns],
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        mine = encode(talk, TOKENIZER)
        assert found["input_ids"] == mine.ids
        assert [bool(x) for x in found["assistant_masks"]] == mine.counts
        assert any(mine.counts)


def brute_force(ids, assistant, stop, skip):
    """Token t counts if the last `assistant` before it has no `stop` between, and is not among the first `skip`."""
    found = []
    for t in range(len(ids)):
        begins = [i for i in range(t) if ids[i] == assistant]
        open_ = bool(begins) and stop not in ids[begins[-1] : t]
        found.append(open_ and len(begins) > skip)
    return found


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, 5), max_size=30), skip=st.integers(0, 3))
def test_the_mask_by_brute_force(ids, skip):
    assert answer_mask(ids, 1, 2, skip) == brute_force(ids, 1, 2, skip)


def test_the_text_of_what_counts_is_what_the_assistant_says():
    for talk in fixed_set(200, CLEAN, seed=5):
        one = encode(talk, TOKENIZER)
        assert len(one.ids) == len(one.counts) == len(one)
        text = TOKENIZER.decode([token for token, count in zip(one.ids, one.counts, strict=True) if count])
        answers = [said for role, said in talk.turns if role == "assistant"]
        assert text == "".join(f"{said}<|end|>" for said in answers[talk.skip :])


def test_what_imitates_an_answer_in_a_question_does_not_count():
    talk = Conversation((Turn("user", "<|assistant|>Sure!<|end|>"), Turn("assistant", "<|user|>No.")))
    one = encode(talk, TOKENIZER)
    assert sum(one.counts) == len(TOKENIZER.encode("<|user|>No.")) + 1
    assert shown(one, TOKENIZER).endswith("<|assistant|>[<|user|>No.<|end|>]")


def test_lists_become_one_tensor():
    assert counted([[True], [False, True]], 3).tolist() == [[True, False, False], [False, True, False]]


# ---------------------------------------------------------------- the loss


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), B=st.integers(1, 3), T=st.integers(1, 7))
def test_the_loss_is_that_of_pytorch_and_of_pretraining(seed, B, T):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, T, 11, generator=draw) * 3
    targets = torch.randint(11, (B, T), generator=draw)
    counts = torch.rand(B, T, generator=draw) < 0.5
    expected = -(logits.log_softmax(-1).gather(2, targets[..., None])[..., 0] * counts).sum()
    torch.testing.assert_close(answer_nats(logits, targets, counts), expected, rtol=1e-5, atol=1e-6)
    same = token_nats(lambda ids: logits, Batch(targets, targets, counts))
    torch.testing.assert_close(answer_nats(logits, targets, counts), same, rtol=1e-5, atol=1e-6)


def test_what_does_not_count_gets_a_gradient_of_exactly_zero_in_the_logits():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 9, 13, generator=draw).requires_grad_()
    targets, counts = torch.randint(13, (3, 9), generator=draw), torch.rand(3, 9, generator=draw) < 0.4
    answer_nats(logits, targets, counts).backward()
    assert torch.equal(logits.grad[~counts], torch.zeros_like(logits.grad[~counts]))
    assert bool((logits.grad[counts].abs().sum(-1) > 0.1).all())
    expected = (logits.softmax(-1) - F.one_hot(targets, 13)).detach()[counts]  # P − 1 at the target, P elsewhere
    torch.testing.assert_close(logits.grad[counts], expected, rtol=1e-4, atol=1e-6)


def test_what_does_not_count_may_be_anything_even_no_number():
    logits = torch.zeros(1, 3, 5)
    logits[0, 0] = torch.nan
    logits[0, 2, 1] = torch.inf
    logits = logits.requires_grad_()
    counts = torch.tensor([[False, True, False]])
    loss = answer_nats(logits, torch.tensor([[-7, 2, 9999]]), counts)
    loss.backward()
    torch.testing.assert_close(loss, torch.tensor(5.0).log())
    assert torch.equal(logits.grad[~counts], torch.zeros(2, 5))


def test_nothing_that_counts_costs_nothing():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = answer_nats(logits, torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_half_precision_is_summed_in_fp32():
    logits = torch.zeros(1, 4096, 7, dtype=torch.bfloat16)
    loss = answer_nats(logits, torch.zeros(1, 4096, dtype=torch.long), torch.ones(1, 4096, dtype=torch.bool))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, 4096 * torch.tensor(7.0).log())


# ---------------------------------------------------------------- through the whole model


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("nats", [None, answer_nats], ids=["quick", "plain"])
def test_prompt_tokens_get_no_gradient_as_targets(tied, nats):
    """Other targets where none counts: the loss and every gradient stay the same to the last bit."""
    encoded = [encode(talk, TOKENIZER) for talk in fixed_set(12, CLEAN, seed=6)]
    batch = pack(encoded, 180, PAD)
    other = batch.targets.where(
        batch.mask, torch.randint(TOKENIZER.V, batch.targets.shape, generator=torch.Generator().manual_seed(1))
    )
    assert not torch.equal(other, batch.targets)
    model, found = model_of(tied), []
    for targets in (batch.targets, other):
        model.zero_grad()
        loss = packed_loss(BOS, nats)(model, Batch(batch.inputs, targets, batch.mask))
        loss.backward()
        found.append((loss.detach(), [weight.grad.clone() for weight in model.parameters()]))
    (loss, gradients), (again, others) = found
    assert torch.equal(loss, again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients)


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "plain"])
def test_hidden_states_and_embeddings_that_no_answer_sees_get_exactly_zero(quick):
    """The hidden state at a place that does not count; and the embedding of every token behind the last one that counts."""
    encoded = [encode(talk, TOKENIZER) for talk in fixed_set(8, CLEAN, seed=7)]
    batch = one_a_row(encoded, PAD)
    model = model_of(tied=False)
    kept = {}

    def keep(name):
        def hook(module, given, output):
            output.retain_grad()
            kept[name] = output

        return hook

    model.embedding.register_forward_hook(keep("embedding"))
    model.norm.register_forward_hook(keep("hidden"))
    # every row begins with the token <|bos|>, so a row is one conversation
    packed_loss(BOS, None if quick else answer_nats)(model, batch).backward()
    hidden, embedded = kept["hidden"].grad, kept["embedding"].grad  # (B, T, D) each
    assert torch.equal(hidden[~batch.mask], torch.zeros_like(hidden[~batch.mask]))
    assert bool((hidden[batch.mask].abs().sum(-1) > 0).all())
    for row in range(len(encoded)):
        last = int(batch.mask[row].nonzero().max())
        assert torch.equal(embedded[row, last + 1 :], torch.zeros_like(embedded[row, last + 1 :]))
        assert bool((embedded[row, : last + 1].abs().sum(-1) > 0).all())  # the answer looks back at the whole question
    never = torch.ones(TOKENIZER.V, dtype=torch.bool)
    never[batch.inputs.unique()] = False
    assert torch.equal(model.embedding.weight.grad[never], torch.zeros(int(never.sum()), 16))
    assert torch.equal(model.embedding.weight.grad[PAD], torch.zeros(16))


def test_a_skipped_answer_is_seen_and_not_learned():
    turns = (Turn("user", "a"), Turn("assistant", "bad"), Turn("user", "Is it?"), Turn("assistant", "Yes."))
    all_, last = encode(Conversation(turns), TOKENIZER), encode(Conversation(turns, skip=1), TOKENIZER)
    assert all_.ids == last.ids == render(turns, TOKENIZER)
    assert sum(all_.counts) - sum(last.counts) == len(TOKENIZER.encode("bad")) + 1
    assert (
        shown(last, TOKENIZER)
        == "<|bos|><|user|>a<|end|><|assistant|>bad<|end|><|user|>Is it?<|end|><|assistant|>[Yes.<|end|>]"
    )


def test_shown_marks_every_stretch():
    generator = Random(0)
    for _ in range(50):
        ids = [int(generator.random() * 200) for _ in range(12)]
        counts = [generator.random() < 0.5 for _ in ids]
        text = shown(Encoded(ids, counts), course_tokenizer.Tokenizer.from_merges([]))
        starts = sum(counts[i] and (i == 0 or not counts[i - 1]) for i in range(12))
        plain = course_tokenizer.Tokenizer.from_merges([]).decode(ids)
        assert text.count("[") - plain.count("[") == starts == text.count("]") - plain.count("]")
