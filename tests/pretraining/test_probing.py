"""Probes: they find what lies open in the vectors, do not find what does not, and padding plays no part."""

import pytest
import torch

from lablib.architecture.decoder import DecoderConfig
from lablib.pretraining.objective_models import Bidirectional
from lablib.pretraining.probing import at_token, pooled, probe, states_of

PAD = 9


def test_states_are_those_of_each_document_alone():
    model = Bidirectional(
        DecoderConfig(V=10, D=16, H=2, L=2, hidden=32), PAD, generator=torch.Generator().manual_seed(0)
    )
    documents = [[1, 2, 3], [4], [5, 6, 7, 8, 1, 2], [3, 3]]
    states = states_of(model.hidden, documents, PAD, B=3)
    for document, state in zip(documents, states, strict=True):
        alone = model.hidden(torch.tensor([document]))[0]
        assert state.shape == (len(document), 16)
        torch.testing.assert_close(state, alone.detach(), rtol=1e-4, atol=1e-5)


def test_pooled_and_at_token():
    states = [torch.tensor([[1.0, 2.0], [3.0, 6.0]]), torch.tensor([[5.0, 5.0]])]
    assert pooled(states).tolist() == [[2.0, 4.0], [5.0, 5.0]]
    assert at_token(states, 0).tolist() == [[1.0, 2.0], [5.0, 5.0]]
    assert at_token(states, 1).tolist() == [[3.0, 6.0], [5.0, 5.0]]


def test_a_probe_finds_a_direction_and_nothing_in_noise():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (900,), generator=generator)
    directions = torch.randn(3, 20, generator=generator)
    noise = torch.randn(900, 20, generator=generator)
    open_to_it, closed = (probe(x, labels.tolist(), 600) for x in (noise + 2 * directions[labels], noise))
    assert len(open_to_it) == len(closed) == 300
    assert sum(open_to_it) > 290
    assert 60 < sum(closed) < 140  # a third of 300, ± 5 standard deviations


def test_a_linear_probe_does_not_see_an_exclusive_or():
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (900, 2), generator=generator)
    right = probe(bits.float() * 2 - 1, (bits[:, 0] ^ bits[:, 1]).tolist(), 600)
    assert sum(right) < 200


@pytest.mark.parametrize(("taught", "labels"), [(1, 4), (4, 4), (2, 3)])
def test_errors(taught, labels):
    with pytest.raises(ValueError, match=f"taught = {taught}, 4 vectors, {labels} labels"):
        probe(torch.zeros(4, 2), [0, 1, 0, 1][:labels], taught)
