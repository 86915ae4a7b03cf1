"""A step of ours against plain PyTorch, written out."""

import math
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import CONFIG, Dropping, recipe, small_model, some_batches
from torch.nn import functional as F

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.gpt2 import GPT2, GPT2Config
from lablib.pretraining import optimisers
from lablib.pretraining.batching import Batch
from lablib.pretraining.distributed import World
from lablib.pretraining.training import backward, train


def close(actual: torch.Tensor, expected: torch.Tensor, rtol: float) -> None:
    scale = expected.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(actual, expected, rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_three_steps_equal_plain_pytorch(tmp_path, kind, monkeypatch):
    # PyTorch's Muon computes in bfloat16, which makes much of a last digit: with it nothing is clipped, so that all digits agree.
    monkeypatch.setattr("lablib.pretraining.muon.best_dtype", lambda device: "bfloat16")
    clip = 0.5 if kind == "adamw" else math.inf
    settings_ = recipe(steps=3, warmup=0.4, optimiser=kind, clip=clip)
    batches = some_batches(tmp_path)
    model, plain = small_model(), small_model()
    steps = list(train(model, batches, settings_))

    matrices = [w for name, w in plain.named_parameters() if w.dim() == 2 and name != "embedding.weight"]
    vectors = [w for w in plain.parameters() if w.dim() == 1]
    decayed = [plain.embedding.weight, *(matrices if kind == "adamw" else [])]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    made = [torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), eps=1e-8)]
    if kind == "muon":
        made.append(torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.1))
    peaks = [group["lr"] for optimiser in made for group in optimiser.param_groups]
    factors = [1 / 2, 1.0, 0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2]  # by hand: one step of warm-up
    for step, factor in enumerate(factors):
        batch = batches(step)
        logits = plain(batch.inputs)
        nats = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
        loss = nats * (1 / batch.targets.numel())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), clip)
        for peak, group in zip(peaks, (g for o in made for g in o.param_groups), strict=True):
            group["lr"] = peak * factor
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad()
        assert steps[step].loss == pytest.approx(loss.item(), rel=1e-5)
        assert steps[step].gradient_norm == pytest.approx(norm.item(), rel=1e-4)
        assert steps[step].lr == pytest.approx(3e-3 * factor, rel=1e-9)
        assert norm > 0.5  # it was clipped
    start = dict(small_model().named_parameters())
    for (name, weight), expected in zip(model.named_parameters(), plain.parameters(), strict=True):
        # what changed is compared, not what stayed
        close(weight - start[name], expected - start[name], 1e-3 if kind == "adamw" else 1e-4)


def test_who_gets_what():
    model = small_model()
    by_id = {id(w): name for name, w in model.named_parameters()}
    (adamw,) = optimisers.make(model, recipe())
    decayed, free = ([by_id[id(w)] for w in group["params"]] for group in adamw.param_groups)
    assert all("norm" in name for name in free)
    assert len(free) == 5
    assert len(decayed) + 5 == len(by_id)
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.1, 0.0]

    adamw, muon = optimisers.make(model, recipe(optimiser="muon"))
    (matrices,) = ([by_id[id(w)] for w in group["params"]] for group in muon.param_groups)
    assert len(matrices) == 2 * 7  # of each layer: q, k, v, out, gate, up, down
    assert [by_id[id(w)] for w in adamw.param_groups[0]["params"]] == ["embedding.weight"]


@pytest.mark.parametrize(
    "model",
    [
        Decoder(DecoderConfig(V=48, D=16, H=2, L=2, hidden=32, tied=False)),
        Dropping(),
        GPT2(GPT2Config(V=48, D=16, H=2, L=2, hidden=32)),
    ],
    ids=["untied", "other", "gpt2"],
)
def test_muon_leaves_tables_and_head_alone(model):
    found = optimisers.hidden_matrices(model)
    assert not any("embedding" in name or "head" in name for name in found)
    linear = [n for n, part in model.named_modules() if isinstance(part, torch.nn.Linear) and n != "head"]
    assert sorted(found) == sorted(f"{name}.weight" for name in linear)


def test_muon_leaves_a_head_alone_that_is_the_table_whatever_its_name():
    model = torch.nn.ModuleDict(
        {"words": torch.nn.Embedding(4, 2), "inner": torch.nn.Linear(2, 2), "out": torch.nn.Linear(2, 4)}
    )
    assert set(optimisers.hidden_matrices(model)) == {"inner.weight", "out.weight"}
    model["out"].weight = model["words"].weight
    assert set(optimisers.hidden_matrices(model)) == {"inner.weight"}


def test_muon_without_a_matrix_says_so():
    bare = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(4, 2), "head": torch.nn.Linear(2, 4)})
    with pytest.raises(ValueError, match="no linear layer but its head"):
        optimisers.make(bare, recipe(optimiser="muon"))


def test_frozen_weights_stay(tmp_path):
    for kind in ("adamw", "muon"):
        model = small_model()
        frozen = [model.layers[0].attention.q_proj.weight, model.layers[0].norm_1.weight]
        for weight in frozen:
            weight.requires_grad_(False)
        before = [weight.clone() for weight in frozen]
        list(train(model, some_batches(tmp_path), recipe(steps=2, optimiser=kind)))
        assert all(torch.equal(a, b) for a, b in zip(frozen, before, strict=True))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1e-6, 1.0, 1e6]), st.floats(0.01, 100.0))
def test_clipping_is_that_of_torch(seed, size, longest):
    generator = torch.Generator().manual_seed(seed)
    ours, theirs = ([torch.zeros(3, 2, requires_grad=True), torch.zeros(5, requires_grad=True)] for _ in range(2))
    for a, b in zip(ours, theirs, strict=True):
        a.grad = size * torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()
    norm, expected = optimisers.clip_(ours, longest), torch.nn.utils.clip_grad_norm_(theirs, longest)
    assert norm == pytest.approx(expected.item(), rel=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=0)  # torch adds 1e-6 to the norm
    assert torch.cat([w.grad.flatten() for w in ours]).norm() <= longest * (1 + 1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_is_left_as_it_is(bad):
    weight = torch.zeros(2, requires_grad=True)
    weight.grad = torch.tensor([1.0, bad])
    assert not math.isfinite(optimisers.clip_([weight], 1.0))
    assert weight.grad[0] == 1


def gradients(batch: Batch, parts: int) -> dict[str, torch.Tensor]:
    model = small_model().double()  # fp64: what is left is how the parts are put together
    nats = backward(model, batch, batch.tokens, recipe(accumulation=parts))
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {**found, "nats": torch.tensor(nats)}


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), parts=st.sampled_from([2, 4, 8]), ragged=st.booleans())
def test_accumulated_gradients_are_those_of_the_big_batch(seed, parts, ragged):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(CONFIG.V, (8, 12), generator=generator)
    # each row keeps another share of its predictions, some rows none
    mask = torch.rand(8, 11, generator=generator) < torch.linspace(0, 1, 8)[:, None] if ragged else None
    batch = Batch(ids[:, :-1], ids[:, 1:], mask)
    whole, summed = gradients(batch, 1), gradients(batch, parts)
    for name, expected in whole.items():
        close(summed[name], expected, 1e-6)


def test_accumulated_gradients_in_fp32():
    ids = torch.randint(CONFIG.V, (8, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(11) < torch.tensor([11, 1, 5, 0, 2, 8, 3, 10])[:, None]
    batch = Batch(ids[:, :-1], ids[:, 1:], mask)
    found = []
    for parts in (1, 4):
        model = small_model()
        backward(model, batch, batch.tokens, recipe(accumulation=parts))
        found.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    assert (found[0] - found[1]).norm() <= 1e-6 * found[0].norm()
    # the mean of the parts' means, which is the usual mistake, is far off
    wrong = small_model()
    for part in batch.split(4):
        logits = wrong(part.inputs)
        loss = F.cross_entropy(logits.flatten(0, 1), part.targets.masked_fill(~part.mask, -100).flatten())
        (loss / 4).backward()
    mistaken = torch.cat([weight.grad.flatten() for weight in wrong.parameters()])
    assert (mistaken - found[0]).norm() > 0.1 * found[0].norm()


class Pretended(World):
    """One of several processes, without the others: gradients stay where they are."""

    def part(self, run, last):
        return nullcontext()


@pytest.mark.parametrize("size", [2, 4])
def test_the_mean_of_the_processes_gradients_is_that_of_the_big_batch(size):
    """As DDP averages them; each process has another number of predictions, one of them none."""
    ids = torch.randint(CONFIG.V, (8, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(11) < torch.tensor([11, 1, 5, 0, 0, 0, 3, 10])[:, None]
    batch = Batch(ids[:, :-1], ids[:, 1:], mask)
    whole = gradients(batch, 1)
    mean, nats = [], 0.0
    for rank, part in enumerate(batch.split(size)):
        model = small_model().double()
        nats += backward(model, part, batch.tokens, recipe(accumulation=2), world=Pretended(rank, size))
        mean.append(
            torch.cat(
                [torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in model.parameters()]
            )
        )
    assert nats == pytest.approx(whole.pop("nats").item(), rel=1e-6)  # the loss is summed in fp32
    close(torch.stack(mean).mean(dim=0), torch.cat([gradient.flatten() for gradient in whole.values()]), 1e-9)
