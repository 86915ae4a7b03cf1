"""Packed answers that share their prompts: the same numbers and gradients as padded rows, for every kind of decoder."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.adaptation.prompt_tuning import PromptTuned
from lablib.alignment.log_probs import (
    Answers,
    answers,
    counted,
    response_log_probs,
    sequence_log_probs,
    token_log_probs,
)
from lablib.alignment.packed_answers import NONE, STEP, WIDTH, counted_hidden, pack_answers, tree_mask
from lablib.alignment.rollouts import read
from lablib.alignment.value_model import ValueModel, copied
from lablib.architecture.decoder import FAST, PLAIN, Decoder, DecoderConfig
from lablib.architecture.gpt2 import GPT2, GPT2Config

V, CONTEXT = 23, 80
STEMS = [[1], [1, 2], [1, 2, 3], [2, 1, 5, 5], [9] * 30]  # some begin as others do
KINDS = ["fast", "plain", "grouped", "untied", "gpt2"]


def some_model(kind="fast", dtype=torch.float64):
    """A decoder whose attentions are far from even."""
    draw = torch.Generator().manual_seed(1)
    sizes = {"V": V, "D": 8, "H": 2, "L": 2, "hidden": 12, "context": CONTEXT}
    if kind == "gpt2":
        model = GPT2(GPT2Config(**sizes), generator=draw)
    else:
        config = DecoderConfig(**sizes, kv_heads=1 if kind == "grouped" else None, tied=kind != "untied")
        model = Decoder(config, PLAIN if kind == "plain" else FAST, draw)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(10)
    return model.to(dtype)


MODELS = {kind: some_model(kind) for kind in KINDS}
responses = st.lists(st.integers(0, V - 1), max_size=20)
batches = st.lists(st.tuples(st.sampled_from(STEMS), responses), min_size=1, max_size=10)
long_ones = st.lists(st.tuples(st.sampled_from(STEMS), st.integers(0, 50)), min_size=1, max_size=10)


def padded(model, batch):
    """What the packed rows must equal: one answer a row, hidden states (n, D)."""
    return model.hidden(batch.inputs)[batch.mask]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def weighted(x):
    """A number into which each of the given ones enters with another weight."""
    return (x * torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view(x.shape)).sum()


def same(found, expected):
    """Equal up to rounding in float64, measured by the largest number."""
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-11 * float(expected.abs().max().clamp(min=1))


# ---------------------------------------------------------------- equal to padded rows


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(rows=batches, pad=st.integers(0, V - 1))
def test_hidden_states_and_gradients_are_those_of_padded_rows(kind, rows, pad):
    model, batch = MODELS[kind], answers(*zip(*rows, strict=True), pad)
    n = int(batch.mask.sum())
    found, expected = counted_hidden(model, batch.inputs, batch.mask), padded(model, batch)
    assert len(found) == -(-n // STEP) * STEP
    if not n:
        return
    same(found[:n].detach(), expected.detach())
    mine, theirs = (gradients(model, weighted(x)) for x in (found[:n], expected))
    assert mine.keys() == theirs.keys()
    for name in theirs:
        same(mine[name], theirs[name])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(rows=batches, some=st.data())
def test_some_of_the_places_are_those_of_padded_rows_with_their_gradients(kind, rows, some):
    model, batch = MODELS[kind], answers(*zip(*rows, strict=True), pad=0)
    if not (n := int(batch.mask.sum())):
        return
    only = torch.tensor(some.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6)))  # in any order, some twice
    found, expected = counted_hidden(model, batch.inputs, batch.mask, only), padded(model, batch)[only]
    same(found.detach(), expected.detach())
    mine, theirs = (gradients(model, weighted(x)) for x in (found, expected))
    assert mine.keys() == theirs.keys()
    for name in theirs:
        same(mine[name], theirs[name])


@settings(max_examples=10, deadline=None)
@given(rows=long_ones, seed=st.integers(0, 99))
def test_many_long_answers_fill_several_rows(rows, seed):
    draw = torch.Generator().manual_seed(seed)
    model = MODELS["fast"]
    said = [torch.randint(0, V, (n,), generator=draw).tolist() for _, n in rows]
    batch = answers([stem for stem, _ in rows], said, pad=0)
    with torch.no_grad():
        found, expected = response_log_probs(model, batch), token_log_probs(model(batch.inputs), batch.targets)
    same(found[batch.mask], expected[batch.mask]) if batch.mask.any() else None
    assert not found[~batch.mask].any()


@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=8, deadline=None)
@given(rows=batches)
def test_policy_entropy_and_critic_in_one_pass_are_those_of_padded_rows(shared, rows):
    model = MODELS["untied"]
    critic = ValueModel(model if shared else copied(MODELS["fast"])).double()
    with torch.no_grad():
        critic.head.weight.normal_(generator=torch.Generator().manual_seed(3))
        critic.head.bias.fill_(0.5)
    batch = answers(*zip(*rows, strict=True), pad=0)
    found = read(model, critic, batch)
    choice = torch.distributions.Categorical(logits=model(batch.inputs))
    values = critic.head(critic.trunk.hidden(batch.inputs))[..., 0].float()
    expected = [x.where(batch.mask, 0.0) for x in (choice.log_prob(batch.targets), choice.entropy(), values)]
    assert float(values.detach().abs().max()) > 1e-2
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-9)
    both = torch.nn.ModuleList([model, critic])
    mine, theirs = (gradients(both, sum(weighted(x) for x in three)) for three in (found, expected))
    for name in theirs:
        torch.testing.assert_close(
            mine[name], theirs[name], rtol=1e-4, atol=1e-6 * float(theirs[name].abs().max()) + 1e-12
        )


def test_in_float32_they_differ_by_rounding():
    model, rows = some_model(dtype=torch.float32), [(STEMS[i % 5], list(range(i, i + 9))) for i in range(12)]
    batch = answers(*zip(*rows, strict=True), pad=0)
    exact = token_log_probs(copy.deepcopy(model).double()(batch.inputs), batch.targets)[batch.mask].detach()
    packed = response_log_probs(model, batch)[batch.mask].detach()
    assert packed.dtype == torch.float32
    assert float((packed.double() - exact).abs().max()) < 2e-6 * float(exact.abs().max())


# ---------------------------------------------------------------- nobody sees another


@settings(max_examples=12, deadline=None)
@given(rows=batches, other=st.data())
def test_an_answers_numbers_do_not_depend_on_the_others(rows, other):
    model = MODELS["fast"]
    kept = other.draw(st.integers(0, len(rows) - 1))
    changed = [
        row if number == kept else (other.draw(st.sampled_from(STEMS)), other.draw(responses))
        for number, row in enumerate(rows)
    ]
    with torch.no_grad():
        first, second, alone = (
            response_log_probs(model, answers(*zip(*some, strict=True), pad=0))
            for some in (rows, changed, [rows[kept]])
        )
    n = min(first.shape[1], second.shape[1], alone.shape[1])
    same(first[kept, :n], second[kept, :n])
    same(first[kept, :n], alone[0, :n])


def test_the_gradient_of_one_answer_reaches_no_token_of_another():
    """Exactly: what may not be looked at has the weight 0, not a small one."""
    model = MODELS["untied"]
    prompts, said = [[1, 2], [1, 2], [3], [1, 2]], [[4, 5, 0], [6, 7, 0], [8, 9, 0], [10, 11, 0]]
    batch = answers(prompts, said, pad=22)
    packed = pack_answers(batch.inputs, batch.mask)
    assert len(packed.ids) == 1, "all stand in one row"
    for row, (prompt, response) in enumerate(zip(prompts, said, strict=True)):
        found = gradients(model, sequence_log_probs(response_log_probs(model, batch), batch.mask)[row])
        reached = set(found["embedding.weight"].abs().sum(dim=1).nonzero()[:, 0].tolist())
        assert reached == {*prompt, *response[:-1]}


def test_who_looks_at_whom():
    prompts = torch.tensor([[0, 0, 0, 0, 1, 1, 0, NONE]])
    owners = torch.tensor([[NONE, NONE, 5, 5, NONE, 2, 7, NONE]])
    may = tree_mask(prompts, owners)[0]
    for t in range(8):
        for s in range(8):
            mine = prompts[0, s] == prompts[0, t] and owners[0, s] in (NONE, owners[0, t])
            assert may[t, s] == (s <= t and bool(mine))
    assert bool(may.diagonal().all()), "everyone sees at least itself: no softmax of nothing"


# ---------------------------------------------------------------- as few tokens as possible


@settings(max_examples=25, deadline=None)
@given(rows=batches)
def test_each_answer_stands_there_with_its_prompt_and_its_positions(rows):
    batch = answers(*zip(*rows, strict=True), pad=0)
    packed = pack_answers(batch.inputs, batch.mask)
    width = packed.ids.shape[1]
    assert width % STEP == 0
    longest = -(-batch.mask.shape[1] // STEP) * STEP
    assert width <= WIDTH or width == longest
    for number, (stem, said) in enumerate(rows):
        own = packed.responses == number
        seen = said[:-1]  # the last token is only a target
        assert packed.ids[own].tolist() == seen
        assert packed.positions[own].tolist() == list(range(len(stem), len(stem) + len(seen)))
        if seen:
            b = int(own.any(dim=1).nonzero())
            mine = (packed.prompts[b] == packed.prompts[own][0]) & (packed.responses[b] == NONE)
            assert packed.ids[b][mine].tolist() == stem
            assert packed.positions[b][mine].tolist() == list(range(len(stem)))
            assert int(mine.nonzero()[0]) < int(own[b].nonzero()[0]), "the prompt stands before it"


def test_a_prompt_is_read_once_for_all_that_answer_it():
    prompts, said = [[1, 2, 3], [1, 2, 4]] * 8, [[5, 6, 7, i] for i in range(16)]
    batch = answers(prompts, said, pad=0)
    packed = pack_answers(batch.inputs, batch.mask)
    assert packed.ids.shape == (1, STEP)
    assert int((packed.prompts != NONE).sum()) == 2 * 3 + 16 * 3
    assert batch.inputs.numel() == 16 * 6
    assert packed.places.shape == (STEP,)  # 16 · 4 predictions
    assert packed.places[0] == packed.places[8], "behind the prompt the same is said to both"


def test_a_group_that_is_too_large_for_a_row_has_its_prompt_in_each():
    batch = answers([[1] * 40] * 4, [[2] * 40] * 4, pad=0)
    packed = pack_answers(batch.inputs, batch.mask)
    assert packed.ids.shape == (2, WIDTH)
    assert [
        int(((row == NONE) & (of != NONE)).sum()) for row, of in zip(packed.responses, packed.prompts, strict=True)
    ] == [40, 40]


def test_nothing_that_counts_gives_nothing_and_a_gradient_of_zero():
    model = MODELS["fast"]
    batch = answers([[1, 2], [3]], [[], []], pad=0)
    found = response_log_probs(model, batch)
    assert not found.any()
    assert not any(bool(g.any()) for g in gradients(model, found.sum()).values())


def test_places_need_not_lie_side_by_side():
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 7, 8, 9, 1]])
    mask = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 0, 1, 1]]).bool()
    batch, model = Answers(ids, mask), MODELS["fast"]
    hidden, targets = counted(model, batch)
    same(hidden[:5].detach(), padded(model, batch).detach())
    assert targets[:5].tolist() == [3, 5, 2, 9, 1]
    assert not targets[5:].any()


def test_a_model_that_puts_tokens_in_front_reads_padded_rows():
    tuned = PromptTuned(some_model(), 3, generator=torch.Generator().manual_seed(0)).double()
    batch = answers([[1, 2], [1, 2], [3]], [[4, 5, 6], [7], [8, 9]], pad=0)
    expected = padded(tuned, batch).detach()
    same(counted_hidden(tuned, batch.inputs, batch.mask).detach(), expected)
    same(counted_hidden(tuned, batch.inputs, batch.mask, torch.tensor([2, 0])).detach(), expected[[2, 0]])


def test_a_token_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="ids"):
        response_log_probs(MODELS["fast"], answers([[1]], [[V, 2]], pad=0))


# ---------------------------------------------------------------- the log-probability and its gradient


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
def test_log_prob_and_gradient_are_those_of_cross_entropy(dtype, tolerance):
    draw = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(150, 31, generator=draw)).to(dtype).requires_grad_(True)
    targets, upstream = torch.randint(0, 31, (150,), generator=draw), torch.randn(150, generator=draw)
    wide = torch.promote_types(dtype, torch.float32)
    expected = -F.cross_entropy(logits.to(wide), targets, reduction="none")
    found = token_log_probs(logits, targets)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    theirs, mine = (torch.autograd.grad(x, logits, upstream.to(wide))[0] for x in (expected, found))
    assert mine.dtype == dtype
    assert float((mine - theirs).abs().max()) <= tolerance * float(theirs.abs().max())
    assert float(theirs.abs().max()) > 0.5
