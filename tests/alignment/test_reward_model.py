"""The reward model: read at the last token, deaf to padding, the same from a file, centred, and clear about what it cannot read."""

import math

import pytest
import torch

from lablib.alignment import reward_model as rm
from lablib.alignment.log_probs import Answers, answers
from lablib.architecture.decoder import Decoder, DecoderConfig

CONFIG = DecoderConfig(V=50, D=16, H=2, L=2, hidden=24, context=20)
PROMPTS = [[1, 7, 8], [1, 9], [1, 4, 4, 4]]
RESPONSES = [[5, 6], [3], [9, 8, 7, 6, 2]]


def base(seed=0):
    return Decoder(CONFIG, generator=torch.Generator().manual_seed(seed))


def model(seed=0):
    return rm.RewardModel(base(seed), torch.Generator().manual_seed(1)).eval()


def test_the_reward_is_the_heads_answer_to_the_last_hidden_state():
    found = rm.rewards(model(), answers(PROMPTS, RESPONSES, pad=0))
    for row, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        hidden = model().trunk.hidden(torch.tensor([prompt + response]))[0, -1]  # without any padding
        by_hand = (hidden @ model().head.weight[0] + model().head.bias[0]).item()
        assert found[row].item() == pytest.approx(by_hand, rel=1e-4)
    assert len({round(value, 4) for value in found.tolist()}) == 3


@pytest.mark.parametrize("pad", [0, 49])
def test_padding_has_no_influence(pad):
    expected = torch.cat([rm.rewards(model(), answers([p], [r], 0)) for p, r in zip(PROMPTS, RESPONSES, strict=True)])
    assert expected.abs().min() > 1e-3
    batch = answers(PROMPTS, RESPONSES, pad)
    torch.testing.assert_close(rm.rewards(model(), batch), expected, rtol=1e-4, atol=1e-6)
    wider = Answers(
        torch.nn.functional.pad(batch.ids, (0, 6), value=7), torch.nn.functional.pad(batch.mask, (0, 6), value=False)
    )
    torch.testing.assert_close(rm.rewards(model(), wider), expected, rtol=1e-4, atol=1e-6)


def test_many_rows_are_read_in_parts(monkeypatch):
    batch = answers(PROMPTS * 3, RESPONSES * 3, 0)
    whole = rm.rewards(model(), batch)
    monkeypatch.setattr(rm, "ROWS", 2)
    torch.testing.assert_close(rm.rewards(model(), batch), whole, rtol=1e-5, atol=1e-6)


def test_responses_to_one_prompt_are_read_as_if_alone():
    prompts, responses = [[1, 7, 8]] * 4 + [[1, 9]], [[5, 6], [5], [3, 3, 3], [5, 6], [5]]
    found = rm.rewards(model(), answers(prompts, responses, pad=0))
    alone = torch.cat([rm.rewards(model(), answers([p], [r], 0)) for p, r in zip(prompts, responses, strict=True)])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-6)
    assert len({round(value, 4) for value in found.tolist()}) == 4  # one response came twice


def test_the_place_of_the_last_token():
    batch = answers(PROMPTS, RESPONSES, 0)
    assert rm.last_tokens(batch).tolist() == [4, 2, 8]
    found = model()(batch.ids, rm.last_tokens(batch))
    torch.testing.assert_close(found, rm.rewards(model(), batch), rtol=1e-4, atol=1e-6)


def test_every_weight_gets_a_gradient_and_the_language_model_stays():
    start = base()
    before = {name: weight.clone() for name, weight in start.state_dict().items()}
    reward = rm.RewardModel(start, torch.Generator().manual_seed(1))
    batch = answers(PROMPTS, RESPONSES, 0)
    reward(batch.ids, rm.last_tokens(batch)).pow(2).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in reward.parameters())
    with torch.no_grad():
        for weight in reward.parameters():
            weight.add_(1.0)
    assert all(torch.equal(weight, before[name]) for name, weight in start.state_dict().items())


def test_a_frozen_model_makes_a_reward_model_that_learns_and_stays_frozen():
    frozen = base().requires_grad_(False)
    reward = rm.RewardModel(frozen)
    assert all(weight.requires_grad for weight in reward.parameters())
    assert not any(weight.requires_grad for weight in frozen.parameters())


def test_the_head_begins_small():
    wide = Decoder(DecoderConfig(V=10, D=1024, H=2, L=1, hidden=8))
    weight = rm.RewardModel(wide, torch.Generator().manual_seed(0)).head.weight
    assert weight.std().item() == pytest.approx(1 / math.sqrt(1025), rel=0.1)


def test_centring_moves_every_reward_by_the_same():
    reward, batch = model(), answers(PROMPTS, RESPONSES, 0)
    before = rm.rewards(reward, batch)
    mean = rm.centre_(reward, batch)
    assert mean == pytest.approx(before.mean().item(), rel=1e-5)
    assert abs(mean) > 1e-3
    after = rm.rewards(reward, batch)
    assert abs(after.mean().item()) < 1e-6
    torch.testing.assert_close(after - after[0], before - before[0], rtol=1e-4, atol=1e-6)


def test_an_empty_response_is_named():
    with pytest.raises(ValueError, match=r"rows \[1\] have no token.*stop token"):
        rm.rewards(model(), answers([[1, 2], [1, 3]], [[4], []], 0))


def test_a_response_up_to_the_contexts_end_is_read_and_a_longer_one_named():
    prompt, response = [1] * 12, [5] * 8
    assert rm.rewards(model(), answers([prompt], [response], 0)).isfinite().all()
    with pytest.raises(ValueError, match=r"rows of 21 tokens: expected at most 20"):
        rm.rewards(model(), answers([prompt], [[*response, 5]], 0))


def test_a_reward_that_is_no_number_is_named():
    reward = model()
    with torch.no_grad():
        reward.head.bias.fill_(math.nan)
    with pytest.raises(ValueError, match="reward of row 0 is nan"):
        rm.rewards(reward, answers(PROMPTS, RESPONSES, 0))


def test_training_mode_comes_back():
    reward = model().train()
    rm.rewards(reward, answers(PROMPTS, RESPONSES, 0))
    assert reward.training


def test_a_file_holds_the_same_model(tmp_path):
    reward, batch = model(), answers(PROMPTS, RESPONSES, 0)
    rm.save(reward, tmp_path / "exact", torch.float32)
    again = rm.load(tmp_path / "exact")
    assert torch.equal(rm.rewards(again, batch), rm.rewards(reward, batch))
    assert not again.training
    rm.save(reward, tmp_path / "half", bos=1, eos=2, pad=0)
    torch.testing.assert_close(
        rm.rewards(rm.load(tmp_path / "half"), batch), rm.rewards(reward, batch), rtol=0.02, atol=0.005
    )


def test_a_folder_without_a_head_and_a_broken_head_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"reward_model\.save"):
        rm.load(tmp_path)
    rm.save(model(), tmp_path)
    for text in (
        '{"weight": [1.0], "bias": 0.0}',
        '{"weight": ' + str([math.nan] * 16).replace("nan", "NaN") + ', "bias": 0.0}',
    ):
        (tmp_path / rm.HEAD).write_text(text)
        with pytest.raises(ValueError, match=r"expected \(16,\) finite numbers"):
            rm.load(tmp_path)
