"""A stand-in for the real model: what it is shown, what the record keeps of it, and which way round a judge is asked."""

import json
from types import SimpleNamespace

import torch
from constitution_helpers import Pretender

from lablib.alignment import cai_real as real
from lablib.alignment.ai_labels import Question
from lablib.alignment.constitution import load
from lablib.corpus.sources.conversations import Turn
from lablib.models import ModelNotFound

OURS = load()


class Letters:
    """Tokens are letters; a conversation is its turns' texts, each behind the first letter of its role."""

    def apply_chat_template(self, turns, add_generation_prompt, return_tensors, return_dict):
        assert add_generation_prompt
        assert return_dict
        text = "".join(turn["role"][0] + turn["content"] for turn in turns)
        return {"input_ids": torch.tensor([[ord(letter) for letter in text]])}

    def encode(self, text, add_special_tokens):
        return [ord(letter) for letter in text]

    def decode(self, ids, skip_special_tokens):
        return "".join(map(chr, ids.tolist()))


class Likes:
    """Writes how long the conversation was; finds the letter of the answer that refuses likelier, and likes A by one nat."""

    def generate(self, input_ids, max_new_tokens, do_sample):
        assert not do_sample
        new = f" {input_ids.shape[1]} letters. "[:max_new_tokens]
        return torch.cat([input_ids, torch.tensor([[ord(letter) for letter in new]])], dim=1)

    def __call__(self, input_ids):
        text = "".join(map(chr, input_ids[0].tolist()))
        logits = torch.zeros(1, input_ids.shape[1], 200)
        logits[0, -1, ord("A")] = 1.0 + 3.0 * ("A: No" in text)
        logits[0, -1, ord("B")] = 3.0 * ("B: No" in text)
        return SimpleNamespace(logits=logits)


STAND_IN = SimpleNamespace(model=Likes(), tokenizer=Letters(), source="a stand-in")


def test_a_writer_says_what_was_written_behind_the_talk():
    talk = Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "Why?")
    assert real.chat_writer(STAND_IN)([talk, talk[:1]]) == ["15 letters.", "3 letters."]
    assert real.chat_writer(STAND_IN, most=4)([talk]) == ["15"]


def test_a_judge_gives_the_log_odds_of_the_answer_shown_first():
    two = [Question("May I?", *some, OURS["no-harm"]) for some in (("Yes.", "No."), ("No.", "Yes."))]
    assert real.letter_judge(STAND_IN)(two).tolist() == [-2.0, 4.0]


def test_every_answer_is_held_against_its_principle_plainly_and_revised():
    model = Pretender()
    found = real.transcripts(model, {"Hi": "truth", "Ho": "dignity"})
    assert [[one.principle.id for one in talk.rounds] for talk in found] == [["truth"], ["dignity"]]
    assert all(talk.revised for talk in found), "also where nothing was found"
    critiques = [talk[2].text for talk in model.asked if len(talk) == 3]
    assert OURS["truth"].text in critiques[0]
    assert len(critiques) == 4, "a critique of each first answer and of each last"


def test_the_pairs_are_of_each_kind_and_their_truth_is_known():
    pairs = real.known_pairs({"harmful": 3, "private": 2, "look-alike": 3, "helpful": 2})
    assert {kind for kind, _, _ in pairs} == {"harmful", "private", "look-alike", "helpful"}
    assert all(right == (kind in ("look-alike", "helpful")) for kind, _, right in pairs)
    rows = real.judged_pairs(lambda questions: torch.full((len(questions),), 2.0), pairs)
    assert all(row["forward"] > 0.8 and row["backward"] < 0.2 for row in rows), "it likes the place"
    assert [row["helping_is_right"] for row in rows] == [right for _, _, right in pairs]


def test_what_was_said_is_kept_word_for_word(tmp_path, monkeypatch):
    monkeypatch.setattr(real, "PAIRS", {"harmful": 2, "helpful": 2})
    assert real.main(["--folder", str(tmp_path)], lambda: STAND_IN) == 0
    record = json.loads((tmp_path / "cai_real.json").read_text(encoding="utf-8"))
    assert record["command"] == "python -m lablib.alignment.cai_real --folder data/experiments"
    model, talks, pairs = real.kept(tmp_path / "cai_real.json")
    assert model == real.HUB_ID
    assert talks == real.transcripts(real.chat_writer(STAND_IN))
    assert [talk.prompt for talk in talks] == list(real.ASKED)
    assert pairs == real.judged_pairs(real.letter_judge(STAND_IN), real.known_pairs(real.PAIRS))


def test_without_the_model_nothing_is_written(tmp_path, capsys):
    def nowhere():
        raise ModelNotFound("no SmolLM2 here")

    assert real.main(["--folder", str(tmp_path)], nowhere) == 2
    assert "no SmolLM2 here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_principles_that_are_asked_are_there():
    assert {OURS[id].about for id in (*real.ASKED.values(), *real.BY.values())} == {
        "harmless",
        "private",
        "honest",
        "helpful",
    }
