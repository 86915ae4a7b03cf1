"""The loss against a sum by hand, the training loop, the counting of right answers, the score of an alignment."""

import math

import pytest
import torch

from lablib.architecture import dates
from lablib.architecture.encoder_decoder import END, PAD, START, Transformer, TransformerConfig, attention_maps
from lablib.architecture.seq2seq_training import answers, attention_on_fields, exact_match, sequence_loss, train


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model_of(seed: int = 0) -> Transformer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Transformer(TransformerConfig(V=dates.V, D=32, H=2, L=1, hidden=64, dropout=0.0))


def test_the_loss_is_the_mean_surprise_over_real_tokens():
    logits = torch.randn(3, 5, 7, generator=seeded())
    target = torch.tensor([[3, 4, 5, 6, END], [3, END, PAD, PAD, PAD], [6, 6, END, PAD, PAD]])
    log_probs = logits.log_softmax(-1)
    each = [-log_probs[b, t, target[b, t]].item() for b in range(3) for t in range(5) if target[b, t] != PAD]
    assert len(each) == 10
    assert sequence_loss(logits, target).item() == pytest.approx(sum(each) / 10, rel=1e-5)
    assert sequence_loss(torch.zeros(3, 5, 7), target).item() == pytest.approx(math.log(7), rel=1e-5)
    wider = torch.cat([target, torch.full((3, 2), PAD)], dim=1)
    padded = torch.cat([logits, torch.randn(3, 2, 7)], dim=1)
    torch.testing.assert_close(sequence_loss(padded, wider), sequence_loss(logits, target))


def test_training_learns_and_repeats_itself():
    def run() -> list[float]:
        source, target = next(dates.batches(16, seeded(), pool=1))
        return list(train(model_of(), iter([(source, target)] * 60), 60, lr=5e-3))

    first = run()
    assert len(first) == 60
    assert first[0] == pytest.approx(math.log(dates.V), rel=0.5), "an untrained model knows nothing"
    assert sum(first[-5:]) < 0.5 * sum(first[:5])
    assert first == run()


def test_the_learning_rate_climbs_then_falls_to_zero():
    model, seen = model_of(), []

    def watched():
        source, target = next(dates.batches(4, seeded(), pool=1))
        while True:
            seen.append(model.embedding.weight.detach().clone())
            yield source, target

    assert len(list(train(model, watched(), 20, lr=1e-3))) == 20
    moved = [
        (b - a).abs().max().item() for a, b in zip(seen, [*seen[1:], model.embedding.weight.detach()], strict=True)
    ]
    assert moved[0] == pytest.approx(5e-4, rel=0.01), (
        "Adam's first step is as long as the learning rate: half of it, as 2 steps warm up"
    )
    assert moved[-1] == 0.0, "the last step is taken at 0"
    assert moved[-2] < 0.25 * max(moved)


class Oracle(torch.nn.Module):
    """Stands in for a model: the answers to known texts are looked up, one token at a time; others come out wrong."""

    def __init__(self, examples: list[dates.Example]) -> None:
        super().__init__()
        self.known = {example.text: example.iso for example in examples}

    def encode(self, source):
        rows = dates.targets([self.known.get(dates.decode(row), "1111-11-11") for row in source])
        return rows[:, :, None].float(), source != PAD

    def decode(self, target, memory, memory_mask):
        token = memory[:, target.shape[1], 0].long()
        return torch.nn.functional.one_hot(token, dates.V)[:, None].float() * 50


def test_answers_come_in_the_order_of_the_texts():
    examples = dates.sample(40, seeded())
    assert answers(Oracle(examples), [example.text for example in examples], B=7) == [e.iso for e in examples]


def test_exact_match_counts_whole_answers_on_held_out_dates():
    examples = dates.sample(200, seeded(5), held_out=True)
    assert exact_match(Oracle(examples), 200, seeded(5)) == 1.0
    half = {example.text for example in examples[:100]}
    right = sum(example.text in half for example in examples)
    assert exact_match(Oracle(examples[:100]), 200, seeded(5)) == pytest.approx(right / 200)
    assert exact_match(model_of(), 20, seeded()) == 0.0


def test_attention_on_fields_counts_what_lies_on_the_spans():
    examples = dates.sample(30, seeded())
    S = max(len(example.text) for example in examples)
    weights = torch.zeros(30, 11, S)
    even = torch.zeros(30, 11, S)
    for b, example in enumerate(examples):
        even[b, :, : len(example.text)] = 1 / len(example.text)
        for t, field in enumerate(["year"] * 4 + ["weekday"] + ["month"] * 2 + ["weekday"] + ["day"] * 2):
            start, stop = example.spans.get(field, (0, 1))
            weights[b, t, start:stop] = 1 / (stop - start)
    for field, (share, uniform) in attention_on_fields(weights, examples).items():
        assert field in ("year", "month", "day")
        assert share == pytest.approx(1.0, rel=1e-5)
        assert uniform < 0.5
    for share, uniform in attention_on_fields(even, examples).values():
        assert share == pytest.approx(uniform, rel=1e-5)
    shifted = attention_on_fields(weights.roll(1, dims=1), examples)  # rows that ask one token too late
    assert shifted["year"][0] == pytest.approx(0.75, rel=1e-5), "one of four rows now looks nowhere"
    assert 0.5 <= shifted["day"][0] < 0.9, "one of two rows now looks at the weekday or at the first character"


def test_the_rows_of_the_cross_attention_fit_the_score():
    examples = dates.sample(5, seeded())
    source, target = dates.sources([e.text for e in examples]), dates.targets([e.iso for e in examples])
    (weights,) = attention_maps(model_of(), "cross_attention", source, target[:, :-1])
    assert weights.shape == (5, 2, 11, source.shape[1])
    assert target[0, 0] == START
    scores = attention_on_fields(weights.mean(1), examples)
    assert all(0 < share < 1 for share, _ in scores.values())
