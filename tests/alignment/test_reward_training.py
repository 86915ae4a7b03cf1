"""Training a reward model: packed rewards are those of one a row, a run learns what it can, noise has its ceiling, bad pairs are named."""

import math
from dataclasses import replace

import pytest
import torch

from lablib.alignment import reward_training as rt
from lablib.alignment.annotators import Annotator
from lablib.alignment.bradley_terry import bradley_terry_loss
from lablib.alignment.preference_pairs import Preference, as_answers
from lablib.alignment.reward_model import RewardModel, rewards
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world.judge import Judgement
from lablib.pretraining.divergence import Diverged
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
BOS, STOP, PAD = (TOKENIZER.special[name] for name in ("<|bos|>", "<|end|>", "<|pad|>"))
SHORT = replace(rt.RECIPE, steps=30, batch=16, context=48, lr=3e-3, dtype="float32")
GOOD, BAD = 300, 400  # the tokens that make a response good or bad here


def base(seed=0):
    config = DecoderConfig(V=TOKENIZER.V, D=32, H=2, L=1, hidden=32, context=64)
    return Decoder(config, generator=torch.Generator().manual_seed(seed))


def pair(number, flipped=False, extra=0):
    generator = torch.Generator().manual_seed(number)
    rest = torch.randint(500, 900, (6,), generator=generator).tolist()
    good, bad = (rest[:3], GOOD, *rest[3:]), (rest[1:3], BAD, *rest[2:5])
    sides = [
        ((*side[0], *side[1:], *[7] * extra, STOP), name, gold)
        for side, name, gold in ((good, "good", 1.0), (bad, "bad", 0.0))
    ]
    (chosen, c_text, c_gold), (rejected, r_text, r_gold) = sides[::-1] if flipped else sides
    scores = (Judgement(c_gold, c_gold, c_gold), Judgement(r_gold, r_gold, r_gold))
    return Preference(
        (Turn("user", str(number)),), c_text, r_text, (BOS, number % 90 + 5), chosen, rejected, "x", scores
    )


PAIRS = [pair(number) for number in range(120)]


# ---------------------------------------------------------------- batches


def one_a_row(model, pairs):
    """Rewards of the chosen and of the rejected responses, each read alone, with its own prompt and without padding."""
    return [
        torch.cat([model(torch.tensor([[*p.prompt_ids, *ids(p)]]), torch.tensor([-1])) for p in pairs])
        for ids in (lambda p: p.chosen_ids, lambda p: p.rejected_ids)
    ]


def test_packed_rewards_are_those_of_one_a_row():
    model = RewardModel(base(), torch.Generator().manual_seed(1)).eval()
    some = [pair(n, extra=n % 4) for n in range(9)]
    odd = replace(some[3], chosen_ids=(BOS, 5, *some[3].chosen_ids, BOS), rejected_ids=(PAD,))  # what a model may draw
    some.append(odd)
    batch = rt.padded_pairs(some, PAD)
    assert batch.tokens == 20
    found = rt.packed_rewards(model, batch)
    for mine, expected in zip(found, one_a_row(model, some), strict=True):
        assert expected.std() > 1e-3
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_the_mean_over_a_batch_is_the_mean_over_its_pairs():
    model, some = RewardModel(base(), torch.Generator().manual_seed(1)), PAIRS[:8]
    batch = rt.padded_pairs(some, PAD)
    found = rt.pair_nats()(model, batch) / batch.tokens
    expected = bradley_terry_loss(*one_a_row(model, some)).mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    of_batch, of_rows = (torch.autograd.grad(loss, list(model.parameters())) for loss in (found, expected))
    for mine, one in zip(of_batch, of_rows, strict=True):
        torch.testing.assert_close(mine, one, rtol=1e-3, atol=1e-6)


def test_an_epoch_reads_every_pair_once_and_a_step_is_repeatable():
    data = rt.PairBatches(PAIRS[:12], n=4, T=40, pad=PAD)
    assert data.steps(2) == 6
    seen = []
    for step in range(3):
        batch = data(step)
        assert torch.equal(batch.inputs, data(step).inputs)
        seen += [token for row in batch.inputs.tolist() for token in row if token == GOOD]
    assert len(seen) == 12
    other = rt.PairBatches(PAIRS[:12], n=4, T=40, pad=PAD, seed=1)
    assert not torch.equal(other(0).inputs, data(0).inputs)


# ---------------------------------------------------------------- a run


def test_a_run_learns_what_makes_a_response_good():
    start, losses = base(), []
    before = {name: weight.clone() for name, weight in start.state_dict().items()}
    model = rt.trained(
        start,
        PAIRS[:100],
        TOKENIZER,
        SHORT,
        torch.Generator().manual_seed(0),
        watch=lambda step, _: losses.append(step.loss),
    )
    assert len(losses) == 30
    assert losses[0] == pytest.approx(math.log(2), abs=0.2)
    assert losses[-1] < 0.2
    assert not model.training
    assert all(torch.equal(weight, before[name]) for name, weight in start.state_dict().items())
    found = rt.evaluate(model, PAIRS[100:], PAD, [Annotator("sharp", temperature=0.001)])
    assert found.accuracy[0] > 0.9
    assert found.gold_accuracy[0] == found.accuracy[0]
    assert found.ceiling.mean == pytest.approx(1)
    assert "noise ceiling 1.000" in str(found)
    both = torch.cat([rewards(model, rows) for rows in as_answers(PAIRS[:100], PAD)])
    assert abs(both.mean().item()) < 1e-4
    assert both.std() > 0.5


def test_the_same_seeds_give_the_same_model_and_others_another():
    shorter = replace(SHORT, steps=3)
    runs = [
        rt.trained(base(), PAIRS, TOKENIZER, replace(shorter, seed=seed), torch.Generator().manual_seed(start))
        for seed, start in ((0, 0), (0, 0), (1, 0), (0, 1))
    ]
    first, again, order, head = (rewards(model, as_answers(PAIRS, PAD)[0]) for model in runs)
    assert torch.equal(first, again)
    assert not torch.allclose(first, order, atol=1e-4)
    assert not torch.allclose(first, head, atol=1e-4)


def test_wrong_labels_lower_the_accuracy_and_not_the_agreement_with_gold():
    noisy = [pair(number, flipped=number % 4 == 0) for number in range(400, 600)]
    model = rt.trained(base(), PAIRS, TOKENIZER, SHORT, torch.Generator().manual_seed(0))
    found = rt.evaluate(model, noisy, PAD, [Annotator("often wrong", temperature=0.001, lapse=0.5)])
    assert found.accuracy[0] == pytest.approx(0.75, abs=0.05)
    assert found.ceiling.mean == pytest.approx(0.75)
    assert found.gold_accuracy[0] > 0.9
    assert found.by_gold.mean == pytest.approx(0.75)
    plain = rt.evaluate(model, noisy, PAD)
    assert (plain.ceiling, plain.by_gold, plain.gold_accuracy) == (None, None, None)
    assert "ceiling" not in str(plain)


def test_a_loss_that_is_no_number_stops_the_run():
    def broken(chosen, rejected):
        return bradley_terry_loss(chosen, rejected) * math.nan

    with pytest.raises(Diverged):
        rt.trained(base(), PAIRS, TOKENIZER, replace(SHORT, steps=2), loss=broken)


# ---------------------------------------------------------------- bad input


def test_pairs_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"0 pairs, n = 4"):
        rt.PairBatches([], 4, 40, PAD)
    with pytest.raises(ValueError, match=r"a pair has \d+ tokens, prompt and response: expected at most T = 8"):
        rt.PairBatches(PAIRS, 4, 8, PAD)
    exact = max(len(p.prompt_ids) + max(len(p.chosen_ids), len(p.rejected_ids)) for p in PAIRS)
    assert rt.PairBatches(PAIRS, 4, exact, PAD)(0).inputs.shape[1] <= exact
    with pytest.raises(ValueError, match="accumulation = 2"):
        rt.trained(base(), PAIRS, TOKENIZER, replace(SHORT, accumulation=2))
    with pytest.raises(ValueError, match="pairs is empty"):
        rt.evaluate(RewardModel(base()), [], PAD)
    with pytest.raises(ValueError, match="model is a Decoder: expected a RewardModel"):
        rt.pair_nats()(base(), rt.padded_pairs(PAIRS[:2], PAD))


def test_equal_gold_has_no_agreement_with_gold():
    even = [replace(p, gold=(Judgement(1, 1, 1), Judgement(1, 1, 1))) for p in PAIRS[:4]]
    found = rt.evaluate(RewardModel(base()), even, PAD, [Annotator("x")])
    assert found.gold_accuracy is None
    assert found.by_gold.mean == 0.5
