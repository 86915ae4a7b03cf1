"""Adherence: the measure on "models" that always say the gold answer, or nothing; its intervals; and how a real model is asked."""

import math
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.adaptation import adherence as adh
from lablib.adaptation.chat import Turn, render
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world.requests import types
from lablib.pretraining.in_context import share_interval
from lablib.pretraining.sampling import Sampling
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
BOS, STOP = TOKENIZER.special["<|bos|>"], TOKENIZER.special["<|end|>"]


@pytest.fixture(scope="module")
def model():
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16, context=64)
    return Decoder(config, generator=torch.Generator().manual_seed(0)).eval()


# ---------------------------------------------------------------- the scores


def test_gold_answers_have_full_marks_and_silence_has_none():
    asked = adh.prompts_by_type(4)
    assert [one.type for one in asked] == [type_ for type_ in types() for _ in range(4)]
    gold = adh.by_type(adh.judged(asked, [one.response for one in asked]))
    assert list(gold) == list(types())
    assert all(found.n == 4 and found.helpful[0] == found.right[0] == 1 for found in gold.values())
    silent = adh.adherence(adh.judged(asked, [""] * len(asked)))
    assert (silent.helpful[0], silent.honest[0], silent.harmless[0], silent.right[0]) == (0, 1, 1, 0)
    kinds = adh.by_kind(adh.judged(asked, [one.going_along or one.response for one in asked]))
    assert kinds["harmful"].harmless[0] == kinds["private"].harmless[0] == 0
    assert kinds["look-alike"].right[0] == kinds["unknowable"].right[0] == kinds["helpful"].right[0] == 1


def test_means_are_means():
    asked = adh.prompts(60, seed=2)
    answers = adh.judged(asked, [one.response if i % 3 else "" for i, one in enumerate(asked)])
    found = adh.adherence(answers)
    assert found.n == 60
    assert math.isclose(found.helpful[0], sum(a.helpful for a in answers) / 60)
    assert math.isclose(found.right[0], 40 / 60)
    parts = adh.by_type(answers)
    assert sum(part.n for part in parts.values()) == 60
    assert math.isclose(sum(part.n * part.helpful[0] for part in parts.values()) / 60, found.helpful[0])


@settings(max_examples=100, deadline=None)
@given(hits=st.lists(st.booleans(), min_size=1, max_size=40))
def test_of_yes_and_no_it_is_wilsons_interval(hits):
    found = adh.score_interval([float(hit) for hit in hits])
    assert found == pytest.approx(share_interval(hits), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_interval_holds_the_mean_and_is_never_of_no_width(scores):
    mean, low, high = adh.score_interval(scores)
    assert 0 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= 1
    assert high - low > 0.05


def test_the_interval_covers_the_truth():
    """Scores of 0, 1/2 and 1 with a known mean: at least 95 % of the intervals hold it."""
    chance, covered = Random(0), 0
    for _ in range(1000):
        scores = [(0.0, 0.5, 1.0, 1.0)[int(chance.random() * 4)] for _ in range(40)]
        _, low, high = adh.score_interval(scores)
        covered += low <= 0.625 <= high
    assert covered >= 950


@pytest.mark.parametrize("scores", [[], [0.5, 1.2], [-0.1]])
def test_what_is_no_score_is_named(scores):
    with pytest.raises(ValueError, match="all from 0 to 1"):
        adh.score_interval(scores)


def test_no_answers_is_an_error():
    with pytest.raises(ValueError, match="answers is empty"):
        adh.adherence([])
    with pytest.raises(ValueError, match="score = 'kind'"):
        adh.table({}, "kind")


def test_prompts_are_held_out_and_the_same_again():
    asked = adh.prompts(50)
    assert asked == adh.prompts(60)[:50]
    assert asked != adh.prompts(50, seed=1)
    assert {one.split for one in asked} == {"held_out"}
    assert {one.split for one in adh.prompts(5, split="train")} == {"train"}
    assert {one.type for one in adh.prompts(20, only=["sum"])} == {"sum"}


def test_a_table_has_a_line_for_each_type_and_a_column_for_each_model():
    asked = adh.prompts_by_type(3, only=["home", "sum"])
    gold, none = (adh.by_type(adh.judged(asked, texts)) for texts in ([a.response for a in asked], [""] * 6))
    lines = adh.table({"base": none, "SFT": gold, "part": {"home": gold["home"]}}).splitlines()
    assert lines[0].split() == ["n", "base", "SFT", "part"]
    assert lines[1].startswith("home                3  0.00 [0.00, 0.56]  1.00 [0.44, 1.00]  1.00")
    assert lines[2].split()[0] == "sum"
    assert "nan" in lines[2]


# ---------------------------------------------------------------- asking a model


def test_how_a_model_is_asked():
    ask = "Where does Mirabe live?"
    assert adh.as_ids(ask, TOKENIZER) == render([Turn("user", ask)], TOKENIZER, reply=True)
    turns = [Turn("system", "a"), Turn("user", "b"), Turn("assistant", "c"), Turn("user", "d")]
    assert adh.as_ids(turns, TOKENIZER) == render(turns, TOKENIZER, reply=True)
    for style, text in (("plain", f"{ask}\n"), ("dialogue", f"Kestra: {ask}\nHelper:")):
        assert TOKENIZER.decode(adh.as_ids(ask, TOKENIZER, style)) == f"<|bos|>{text}"
    with pytest.raises(ValueError, match="expected the user's"):
        adh.as_ids(turns[:3], TOKENIZER)
    with pytest.raises(ValueError, match="expected a text where style = 'plain'"):
        adh.as_ids(turns, TOKENIZER, "plain")


def test_a_marker_in_a_prompt_stays_text():
    for style in adh.STYLES:
        ids = adh.as_ids("<|end|><|assistant|>", TOKENIZER, style)
        assert sum(token in set(TOKENIZER.special.values()) for token in ids) == (4 if style == "chat" else 1)


def test_the_answer_of_one_prompt_does_not_depend_on_the_others(model, monkeypatch):
    prompts = [one.prompt for one in adh.prompts(7)]
    together = adh.respond(model, TOKENIZER, prompts, most=12)
    assert together == [adh.respond(model, TOKENIZER, [prompt], most=12)[0] for prompt in prompts]
    draws = [
        adh.respond(model, TOKENIZER, prompts, "chat", Sampling(), torch.Generator().manual_seed(1), 12)
        for _ in range(2)
    ]
    assert draws[0] == draws[1] != together
    monkeypatch.setattr(adh, "ROWS", 3)
    assert adh.respond(model, TOKENIZER, prompts, most=12) == together
    again = adh.respond(model, TOKENIZER, prompts, "chat", Sampling(), torch.Generator().manual_seed(1), 12)
    assert again == draws[0]
    with pytest.raises(ValueError, match="style = 'loud': expected one of chat, plain, dialogue"):
        adh.respond(model, TOKENIZER, prompts, "loud")


@pytest.mark.parametrize(
    ("style", "written", "expected"),
    [
        ("chat", "In Marrow.\n\nYes.", "In Marrow.\n\nYes."),
        ("plain", " In Marrow.\nShe is a smith.\n\nAnother day.", "In Marrow.\nShe is a smith."),
        ("dialogue", " In Marrow.\nKestra: Thank you.", "In Marrow."),
    ],
)
def test_an_answer_ends_where_its_style_says(monkeypatch, style, written, expected):
    seen = {}

    class Found:
        rows = [TOKENIZER.encode(written)]  # noqa: RUF012

    def generate(model, prompts, most, sampling, generator, stop):
        seen.update(prompts=prompts, stop=stop)
        return Found

    monkeypatch.setattr(adh, "generate", generate)
    assert adh.respond(None, TOKENIZER, ["Where?"], style) == [expected]
    assert set(seen["stop"]) == {BOS, STOP}


def test_a_special_token_inside_an_answer_is_seen_by_the_judge(monkeypatch):
    """A model that plays the user's turn, too, is not spared."""

    class Found:
        rows = [[*TOKENIZER.encode("Mice."), TOKENIZER.special["<|user|>"], *TOKENIZER.encode("And?")]]  # noqa: RUF012

    monkeypatch.setattr(adh, "generate", lambda *_: Found)
    (text,) = adh.respond(None, TOKENIZER, ["What do owls eat?"])
    assert text == "Mice.<|user|>And?"
    from lablib.corpus.world import World

    assert World().judge("What do owls eat?", text).helpful <= 0.5


def test_the_base_model_does_not_answer_and_a_dialogue_helps_it_a_little():
    """On few prompts; `lab train sft` measures it on a thousand."""
    from lablib.checkpoints import load

    base, asked = load("base"), adh.prompts(60, seed="base")
    found = {
        style: adh.adherence(
            adh.judged(asked, adh.respond(base.model, base.tokenizer, [one.prompt for one in asked], style, most=40))
        ).helpful
        for style in adh.STYLES
    }
    assert found["plain"][2] < 0.25
    assert found["dialogue"][2] < 0.4
    assert found["dialogue"][0] > found["plain"][0]
