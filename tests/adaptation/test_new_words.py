"""Rows that learn: nothing else of the table moves, and the gradient is that of the whole table at these rows."""

import copy

import pytest
import torch

from lablib.adaptation.lora import Lora, inject
from lablib.adaptation.new_words import learn_rows, new_tokens
from lablib.adaptation.trainable import trainable
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world import World
from lablib.tokens import course_tokenizer

SIZES = {"V": 40, "D": 16, "H": 2, "L": 2, "hidden": 24, "context": 32}
ROWS = (3, 7, 31)


def small(tied: bool = True) -> Decoder:
    return Decoder(DecoderConfig(**SIZES, tied=tied), generator=torch.Generator().manual_seed(0))


def some_ids() -> torch.Tensor:
    ids = torch.randint(0, 40, (4, 12), generator=torch.Generator().manual_seed(1))
    ids[0, :3] = torch.tensor(ROWS)
    return ids


def loss(model: Decoder, ids: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


@pytest.mark.parametrize("tied", [True, False])
def test_it_starts_as_the_base_and_has_the_whole_tables_gradient_at_these_rows(tied):
    base, ids = small(tied), some_ids()
    model = learn_rows(copy.deepcopy(base), ROWS)
    assert torch.equal(model(ids), base(ids))
    loss(base, ids).backward()
    loss(model, ids).backward()
    change = model.embedding.parametrizations.weight[0].change
    torch.testing.assert_close(change.grad, base.embedding.weight.grad[list(ROWS)], rtol=1e-5, atol=1e-8)
    assert change.grad.abs().min(dim=1).values.max() > 0


def test_only_these_rows_move_and_the_rest_stays_bit_for_bit():
    base, ids = small(), some_ids()
    model = learn_rows(inject(copy.deepcopy(base), Lora(r=2, alpha=4.0), torch.Generator().manual_seed(0)), ROWS)
    assert trainable(model) == trainable(inject(small(), Lora(r=2, alpha=4.0))) + len(ROWS) * 16
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2, weight_decay=0.1)
    before = loss(model, ids).item()
    for _ in range(20):
        optimiser.zero_grad()
        loss(model, ids).backward()
        optimiser.step()
    assert loss(model, ids).item() < before - 0.1
    moved = (model.embedding.weight != base.embedding.weight).any(dim=1).nonzero()[:, 0]
    assert moved.tolist() == list(ROWS)
    assert torch.equal(model.embedding.parametrizations.weight.original, base.embedding.weight)


def test_a_copy_learns_for_itself():
    model = learn_rows(small(), ROWS)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.embedding.parametrizations.weight[0].change.fill_(1.0)
    assert torch.equal(model.embedding.weight, small().embedding.weight)
    assert not torch.equal(twin.embedding.weight, model.embedding.weight)


@pytest.mark.parametrize("rows", [(), (1, 1), (-1,), (40,)])
def test_rows_that_are_none(rows):
    with pytest.raises(ValueError, match=r"rows = .*expected at least one, all different, from 0 to V - 1 = 39"):
        learn_rows(small(), rows)


def test_the_new_tokens_of_the_log_are_in_no_document_of_the_valley():
    from itertools import islice
    from random import Random

    tokenizer = course_tokenizer.load()
    found = set(new_tokens(tokenizer, 300))
    assert 40 < len(found) < 200
    valley = {t for d in islice(World().documents(Random("what it has read")), 300) for t in tokenizer.encode(d.text)}
    assert not found & valley
