"""Responses: the tokens that `generate` drew, whatever stands beside them; cut ones and empty ones; the gold reward."""

from itertools import islice
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.adherence import as_ids
from lablib.alignment import responses as rs
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
STOP, BEGIN = TOKENIZER.special["<|end|>"], TOKENIZER.special["<|bos|>"]
ASKED = list(islice(World().instructions(Random(0)), 5))


def small(context=64, seed=0):
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16, context=context)
    return Decoder(config, generator=torch.Generator().manual_seed(seed)).eval()


def talker(token):
    """A model that always finds one token the likeliest: its last hidden state has a fixed direction, and only that row answers to it."""
    model = small()
    with torch.no_grad():
        for layer in model.layers:
            layer.attention.out_proj.weight.zero_()
            layer.feed_forward.down.weight.zero_()
        model.embedding.weight[:, 0] = 1.0  # every token looks this way
        model.embedding.weight[token, 0] = 50.0
    return model


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def test_they_are_what_generate_draws():
    model = small()
    found = rs.sample(model, TOKENIZER, ASKED, chance(), Sampling(), per_prompt=3, most=9)
    prompts = [as_ids(one.prompt, TOKENIZER) for one in ASKED for _ in range(3)]
    written = generate(model, prompts, 9, Sampling(), chance(), [STOP, BEGIN])
    flat = [response for group in found for response in group]
    assert [len(group) for group in found] == [3] * 5
    assert [response.instruction for response in flat] == [one for one in ASKED for _ in range(3)]
    lengths = written.mask.sum(dim=1).tolist()
    assert [list(response.ids) for response in flat] == [
        row[:n] for row, n in zip(written.ids.tolist(), lengths, strict=True)
    ]
    assert [response.text for response in flat] == [TOKENIZER.decode(row).strip() for row in written.rows]
    assert [response.finished for response in flat] == [why == "stop" for why in written.ended]
    assert len({response.ids for response in flat}) > 10


def test_batches_do_not_change_what_is_drawn(monkeypatch):
    whole = rs.sample(small(), TOKENIZER, ASKED, chance(), Sampling(), per_prompt=2, most=6)
    monkeypatch.setattr(rs, "ROWS", 4)
    assert rs.sample(small(), TOKENIZER, ASKED, chance(), Sampling(), per_prompt=2, most=6) == whole
    assert rs.sample(small(), TOKENIZER, ASKED, chance(1), Sampling(), per_prompt=2, most=6) != whole


def test_an_empty_response_has_its_stop_token_and_no_text():
    ((found,),) = rs.sample(talker(STOP), TOKENIZER, ASKED[:1], None, None, most=9)
    assert (found.ids, found.text, found.finished) == ((STOP,), "", True)
    (judgement,) = rs.gold([found])
    assert (judgement.helpful, judgement.honest, judgement.harmless) == (0, 1, 1)


def test_a_response_that_is_cut_off_says_so():
    word = TOKENIZER.encode(" the")[0]
    ((cut,),) = rs.sample(talker(word), TOKENIZER, ASKED[:1], None, None, most=4)
    assert cut.ids == (word,) * 4
    assert not cut.finished
    model = small(context=len(as_ids(ASKED[0].prompt, TOKENIZER)) + 3)
    ((at_the_end,),) = rs.sample(model, TOKENIZER, ASKED[:1], None, None, most=50)
    assert len(at_the_end.ids) <= 3  # where the context ends


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match="per_prompt = 0"):
        rs.sample(small(), TOKENIZER, ASKED, chance(), Sampling(), per_prompt=0)
    with pytest.raises(ValueError, match="context of 8"):
        rs.sample(small(context=8), TOKENIZER, ASKED, chance(), Sampling())


def test_gold_is_the_worlds_judgement():
    found = [rs.Response(one, (STOP,), one.response, True) for one in ASKED]
    assert rs.gold(found) == [World().judge(one.prompt, one.response) for one in ASKED]
    assert [rs.gold_reward(one) for one in rs.gold(found)] == [1.0] * 5


@pytest.mark.parametrize(
    ("only", "say", "reward"),
    [
        ("home", lambda one: "", 2 / 3),
        ("similar.fire", lambda one: "I will not help with that.", 2 / 3),
        (
            "home",
            lambda one: f"{one.subject} lives in {'Marrow' if 'Marrow' not in one.response else 'Pellow'}.",
            1 / 3,
        ),
        ("harm.fire", lambda one: one.going_along, 1 / 3),
    ],
)
def test_what_silence_refusals_lies_and_harm_are_worth(only, say, reward):
    asked = list(islice(World().instructions(Random(1), only=[only]), 5))
    found = rs.gold([rs.Response(one, (STOP,), say(one), True) for one in asked])
    assert [rs.gold_reward(one) for one in found] == pytest.approx([reward] * 5)


scores = st.floats(0, 1)


@given(helpful=scores, honest=scores, harmless=scores, a=scores, b=scores, c=st.floats(0.1, 1), by=st.floats(0.5, 4))
def test_the_gold_reward_is_a_weighted_mean(helpful, honest, harmless, a, b, c, by):
    judgement = Judgement(helpful, honest, harmless)
    even = rs.gold_reward(judgement)
    assert even == pytest.approx((helpful + honest + harmless) / 3)
    found = rs.gold_reward(judgement, rs.Weights(a, b, c))
    assert min(helpful, honest, harmless) - 1e-9 <= found <= max(helpful, honest, harmless) + 1e-9
    assert found == pytest.approx(rs.gold_reward(judgement, rs.Weights(by * a, by * b, by * c)))


@pytest.mark.parametrize("weights", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), (float("inf"), 1, 1)])
def test_weights_that_weigh_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="at least one above 0"):
        rs.Weights(*weights)
