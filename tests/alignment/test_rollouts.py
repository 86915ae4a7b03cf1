"""Rollouts: the log-probabilities are those of the writing, padding and batches change nothing, one pass is as good as two."""

import pytest
import torch
from rl_helpers import generator, policy, tokenizer, twin

from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import BEGIN, PAD, STOP
from lablib.alignment import rollouts
from lablib.alignment.log_probs import Answers, response_log_probs
from lablib.alignment.rollouts import Prompts, as_answers, gold_scores, read, roll_out
from lablib.alignment.value_model import ValueModel, copied
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling

PROMPTS = Prompts(n=3, seed=5)


def some(per_prompt=2, most=7, critic=None, seed=0):
    model = policy(scale=4.0)
    reference = twin(policy(1, scale=4.0))
    return model, reference, roll_out(
        model, reference, critic, tokenizer(), PROMPTS(0), generator(seed), per_prompt, most
    )  # fmt: skip


def test_log_probs_are_those_of_the_writing():
    model, _, rollout = some()
    special = tokenizer().special
    prompts = [as_ids(one.prompt, tokenizer()) for one in PROMPTS(0) for _ in range(2)]
    written = generate(model, prompts, 7, Sampling(), generator(), [special[STOP], special[BEGIN]])
    assert [list(response.ids) for response in rollout.responses] == [
        row[:n] for row, n in zip(written.ids.tolist(), written.mask.sum(1).tolist(), strict=True)
    ]
    assert torch.allclose(rollout.log_probs[rollout.mask], written.log_probs[written.mask], atol=1e-4)
    assert float(rollout.log_probs.min()) < -3
    assert torch.equal(rollout.answers.lengths, written.mask.sum(1))


def test_entropy_and_reference_are_those_of_the_whole_logits():
    model, reference, rollout = some()
    ids, mask = rollout.answers.inputs, rollout.mask
    with torch.no_grad():
        of_all = torch.distributions.Categorical(logits=model(ids))
        expected = torch.distributions.Categorical(logits=reference(ids)).log_prob(rollout.answers.targets)
    assert torch.allclose(rollout.entropy[mask], of_all.entropy()[mask], atol=1e-4)
    assert torch.allclose(rollout.reference[mask], expected[mask], atol=1e-4)
    for tensor in (rollout.entropy, rollout.reference, rollout.log_probs, rollout.values):
        assert not tensor[~mask].any()
    sums = [
        sum(a - b for a, b in zip(row, other, strict=True))
        for row, other in zip(rollout.log_probs.tolist(), rollout.reference.tolist(), strict=True)
    ]
    assert rollout.kl == pytest.approx(sum(sums) / len(sums), rel=1e-5)
    assert rollout.mean_entropy == pytest.approx(float(of_all.entropy()[mask].mean()), rel=1e-5)


def test_in_small_batches_it_is_the_same(monkeypatch):
    _, _, whole = some(critic=None)
    monkeypatch.setattr(rollouts, "ROWS", 2)
    _, _, parts = some(critic=None)
    assert parts.responses == whole.responses
    for name in ("log_probs", "reference", "entropy", "values"):
        assert torch.allclose(getattr(parts, name), getattr(whole, name), atol=1e-5)


def test_against_itself_the_divergence_is_exactly_zero():
    model = policy(scale=4.0)
    rollout = roll_out(model, twin(model), None, tokenizer(), PROMPTS(0), generator(), 2, 7)
    assert torch.equal(rollout.log_probs, rollout.reference)
    assert rollout.kl == 0


@pytest.mark.parametrize("shared", [True, False])
def test_one_pass_gives_what_two_give_and_padding_changes_nothing(shared):
    model = policy(scale=4.0)
    critic = ValueModel(model if shared else copied(policy(2, scale=4.0)))
    assert critic.shares(model) == shared
    assert not critic(some()[2].answers).any(), "the first guess is 0"
    with torch.no_grad():
        critic.head.weight.normal_(generator=generator(3))
    batch = some()[2].answers
    log_probs, entropy, values = read(model, critic, batch)
    assert torch.allclose(log_probs, response_log_probs(model, batch), atol=1e-6)
    assert torch.allclose(values, critic(batch), atol=1e-6)
    assert float(values.detach().std()) > 1e-3
    pad = torch.full((len(batch), 4), tokenizer().special[PAD])
    wide = Answers(torch.cat((batch.ids, pad), 1), torch.cat((batch.mask, torch.zeros_like(pad, dtype=torch.bool)), 1))
    for narrow, found in zip((log_probs, entropy, values), read(model, critic, wide), strict=True):
        assert torch.allclose(found[:, :-4], narrow, atol=1e-5)
        assert not found[:, -4:].any()
    without = read(model, None, batch, uncertain=False)
    assert torch.equal(without[0], log_probs)
    assert not without[1].any()
    assert not without[2].any()


def test_a_value_does_not_see_the_token_that_comes_there():
    model, _, rollout = some()
    critic = ValueModel(model)
    with torch.no_grad():
        critic.head.weight.normal_(generator=generator(3))
        before = critic(rollout.answers)
        row = int(rollout.answers.lengths.argmax())
        t = int(rollout.mask[row].nonzero()[2])
        changed = rollout.answers.ids.clone()
        changed[row, t + 1] = (changed[row, t + 1] + 1) % 60  # the target of place t
        after = critic(Answers(changed, rollout.mask))
    assert torch.allclose(after[row, : t + 1], before[row, : t + 1], atol=1e-6)
    assert not torch.allclose(after[row, t + 1 :], before[row, t + 1 :], atol=1e-3)


def test_prompts_and_gold():
    prompts = Prompts(2, seed=1, split="held_out", only=("home",))
    assert {one.type for one in prompts(0) + prompts(7)} == {"home"}
    assert {one.split for one in prompts(0)} == {"held_out"}
    with pytest.raises(ValueError, match="n = 0"):
        Prompts(0)
    _, _, rollout = some()
    found = gold_scores(rollout.responses)
    assert len(found) == len(rollout.responses)
    assert all(0 <= score <= 1 for score in found)
    rows = as_answers(rollout.responses[:2], tokenizer())
    assert torch.equal(rows.ids, rollout.answers.take([0, 1]).ids)
