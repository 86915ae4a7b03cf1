"""Several models asked the same: each answers as it does alone, gold scores are the judge's, and what is not there is named."""

import json

import pytest
import torch

from lablib import checkpoints, paths
from lablib.adaptation.adherence import respond
from lablib.alignment import chat_with, reward_model
from lablib.alignment.chat_with import UNJUDGED, Partner, ask, available, partners
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama
from lablib.corpus.world import World
from lablib.pretraining.sampling import Sampling
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
KNOWN, UNKNOWN = "Where does Mirabe live?", "What do you make of the stock market?"


def tiny(seed=0):
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16, context=64)
    model = Decoder(config, generator=torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # so that two models, and two draws, differ
    return model


def two():
    return {"a": Partner(tiny(0), TOKENIZER), "b": Partner(tiny(1), TOKENIZER)}


def test_each_answers_as_it_does_alone():
    together = ask(two(), KNOWN, seed=3, most=12)
    for name, partner in two().items():
        alone = ask({name: partner}, KNOWN, seed=3, most=12).answers[0]
        assert alone in together.answers
        chance = torch.Generator().manual_seed(3)
        expected = respond(partner.model, TOKENIZER, [KNOWN], sampling=Sampling(), generator=chance, most=12)
        assert alone.text == expected[0].strip()
    assert [answer.name for answer in together.answers] == ["a", "b"]
    assert together.answers[0].text != together.answers[1].text


def test_a_temperature_of_0_is_the_likeliest_token_and_needs_no_seed():
    found = {ask(two(), KNOWN, temperature=0.0, seed=seed, most=8).answers for seed in (0, 1)}
    assert len(found) == 1
    expected = respond(tiny(0), TOKENIZER, [KNOWN], most=8)[0].strip()
    assert found.pop()[0].text == expected
    assert len({ask(two(), KNOWN, seed=seed, most=8).answers[0].text for seed in range(4)}) > 1


def test_the_base_model_is_asked_in_a_dialogue():
    partner = Partner(tiny(0), TOKENIZER, "dialogue")
    expected = respond(partner.model, TOKENIZER, [KNOWN], "dialogue", most=12)[0]
    assert ask({"base": partner}, KNOWN, temperature=0.0, most=12).answers[0].text == expected


def test_a_dialogue_s_answer_ends_with_its_line(monkeypatch):
    ids = TOKENIZER.encode(" In Marrow.\nKestra: And now")

    class Found:
        rows, ended = [ids], ("length",)

    monkeypatch.setattr(chat_with, "generate", lambda *given: Found)
    answer = ask({"base": Partner(tiny(), TOKENIZER, "dialogue")}, KNOWN).answers[0]
    assert (answer.text, answer.finished) == ("In Marrow.", True)
    answer = ask({"sft": Partner(tiny(), TOKENIZER)}, KNOWN).answers[0]
    assert (answer.text, answer.finished) == ("In Marrow.\nKestra: And now", False)


def test_gold_scores_are_the_judge_s(monkeypatch):
    said = "Mirabe lives in Marrow. Her cat is a dog."
    monkeypatch.setattr(chat_with, "_reply", lambda *given: (said, True))
    exchange = ask(two(), f"  {KNOWN.lower()} ")
    gold = World().judge(KNOWN, said)
    for answer in exchange.answers:
        assert answer.scores == {"helpful": gold.helpful, "honest": gold.honest, "harmless": gold.harmless}
        assert answer.reasons == gold.reasons
    assert gold.helpful > 0
    assert exchange.note == "a prompt that the world knows: helpful, home"
    assert exchange.prompt == KNOWN.lower()


def test_where_the_world_knows_no_wording_it_is_said():
    exchange = ask(two(), UNKNOWN, most=4)
    assert exchange.note == UNJUDGED
    assert all(answer.scores is None and answer.gold is None and answer.reasons == () for answer in exchange.answers)
    assert all(answer.text for answer in exchange.answers)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt": "  "}, "prompt = '  ': expected a text"),
        ({"prompt": None}, "prompt = None: expected a text"),
        (
            {"prompt": "word " * 100},
            r"prompt has \d+ tokens with the marks around it: expected fewer than 64, the context of a",
        ),
        ({"temperature": -0.5}, r"temperature = -0\.5: expected 0"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"seed": -1}, "seed = -1: expected a whole number >= 0"),
        ({"most": 0}, "most = 0: expected a number of tokens >= 1"),
        ({"models": {}}, "models is empty"),
    ],
)
def test_what_is_wrong_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        ask(**{"models": two(), "prompt": KNOWN, **given})


# ---------------------------------------------------------------- by name


@pytest.fixture
def course(monkeypatch, tmp_path):
    """A course that carries base, sft and a reward model, and a learner who has made a model of their own."""
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABLIB_CHECKPOINTS", raising=False)
    monkeypatch.setattr(paths, "share_path", lambda: tmp_path / "course")
    monkeypatch.setattr(course_tokenizer, "load", lambda: TOKENIZER)
    carried = tmp_path / "course" / "data" / "checkpoints"
    for name in ("sft", "base", "reward"):
        put(carried / name)
    reward_model.save(reward_model.RewardModel(tiny()), carried / "reward")
    put(checkpoints.own_path("dpo"))


def put(folder):
    save_llama(tiny(), folder, torch.float16)
    (folder / checkpoints.RECORD).write_text(json.dumps({"name": folder.name}))


def test_models_come_by_name_in_the_order_of_their_lives(course, monkeypatch):
    assert available() == ["base", "sft", "dpo"]
    assert list(partners()) == ["base", "sft", "dpo"]
    assert list(partners(["sft", "base"])) == ["sft", "base"]
    found = partners(["base", "dpo"])
    assert [partner.style for partner in found.values()] == ["dialogue", "chat"]
    assert found["base"].origin == "the course's base"
    assert found["dpo"].origin.startswith("your own dpo, from ")
    monkeypatch.setenv("LABLIB_CHECKPOINTS", "carried")
    assert available() == ["base", "sft"]


def test_what_is_not_there_is_named_with_what_is(course):
    with pytest.raises(
        FileNotFoundError, match=r"^names = ppo, cai: not there; expected some of base, sft, dpo; `lab train ppo` makes"
    ):
        partners(["sft", "ppo", "cai"])
    with pytest.raises(
        ValueError, match="names = reward: a reward model gives answers a number and writes none; expected some of base"
    ):
        partners(["sft", "reward"])
    with pytest.raises(ValueError, match="names = sft, sft: expected each model once"):
        partners(["sft", "sft"])


def test_the_course_s_own_models_answer():
    """The tuned model knows where people live, the base model does not even hear the question."""
    models = partners(["base", "sft"])
    by_name = {answer.name: answer for answer in ask(models, KNOWN, temperature=0.0).answers}
    assert by_name["sft"].finished
    assert by_name["sft"].scores == {"helpful": 1.0, "honest": 1.0, "harmless": 1.0}
    assert by_name["base"].scores["helpful"] < 1
