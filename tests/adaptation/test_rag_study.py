"""The study of lab 11: its rows say what a program can see, the parts ask what they should, and a run that was broken off goes on."""

import json
import math
from dataclasses import replace

import pytest
from test_dense import hashing

from lablib.adaptation import rag_study
from lablib.adaptation.abstention import coverage, grounded
from lablib.adaptation.dense import latent_semantic_encoder
from lablib.adaptation.handbook import problems, read_pages, read_questions
from lablib.adaptation.poison import ATTACKS
from lablib.adaptation.rag_record import OWN, abstentions, by, share
from lablib.adaptation.rag_study import PARTS, POISONED, Study, ask, judged, main
from lablib.adaptation.reader import Reader
from lablib.paths import data_path

PAGES = read_pages()
DEV = {one.id: one for one in read_questions(split="dev")}


def reader_of(answer):
    """A stand-in for a model. It finds an answer the likelier, the more of the answer's words stand in its prompt."""
    return Reader(
        lambda prompts, most: [answer(prompt) for prompt in prompts],
        lambda prompts, answers: [
            -math.log(1 + sum(word not in prompt for word in text.split()))
            for prompt, text in zip(prompts, answers, strict=True)
        ],
        lambda text: len(text.split()),
        2000,
        "a test",
        True,
    )


@pytest.fixture(scope="module")
def study():
    return Study(latent_semantic_encoder([page.text for page in PAGES]), "dev", PAGES)


# ---------------------------------------------------------------- judging one answer


def test_right_abstained_and_citations_are_counted():
    question = DEV["forget-gate-year"]
    passages = ["The LSTM is of 1997.", "Gers and others added the forget gate in 2000."]
    row = judged(question, "The forget gate was added in 2000 [2].", passages)
    assert (row["right"], row["abstained"], row["citations"], row["exist"], row["supported"]) == (True, False, 1, 1, 1)
    row = judged(question, "In 2000 [7].", passages)
    assert (row["right"], row["citations"], row["exist"], row["supported"]) == (True, 1, 0, 0)
    row = judged(question, "Cats purr [1]. It was 1997.", passages)
    assert (row["right"], row["exist"], row["supported"]) == (False, 1, 0)


def test_who_abstains_is_not_right_whatever_else_is_said():
    row = judged(DEV["forget-gate-year"], "I do not know, maybe 2000.", None)
    assert (row["right"], row["abstained"]) == (False, True)


# ---------------------------------------------------------------- the parts


def test_poisoned_questions_are_questions_of_the_dev_part_that_have_an_answer():
    assert all(DEV[name].evidence for name in POISONED)
    assert not problems(PAGES, list(DEV.values()))


def test_answers_ask_each_question_in_every_way(study):
    asked = list(study.answers())
    questions = [one for one in study.questions if one.evidence]
    assert len(asked) == 9 * len(questions)
    for one in asked:
        if "right" in one.condition:
            assert any(one.question.accepts(text) for text in one.passages) or one.question.kind == "two"
    assert all(one.passages is None for one in asked if one.condition == "memory")
    found = {k: [dict(one.labels)["found"] for one in asked if one.condition == f"{k} found"] for k in (1, 3, 5)}
    shares = [sum(some) / len(some) for some in found.values()]
    assert 0.3 < shares[0] < shares[1] < shares[2] < 1
    assert {len(one.passages) for one in asked if one.condition == "3 found"} == {3}


def test_a_reader_that_copies_its_prompt_is_right_where_the_passage_is_and_never_from_memory(study):
    some = [one for one in study.answers() if one.question.kind == "one" and not one.copied][:75]
    rows = by(ask(reader_of(lambda prompt: prompt.split("Question:")[0]), some), "condition")
    assert share(rows["memory"], "right")[0] == 0
    assert share(rows["right passages"], "abstained")[0] == 1  # the instruction itself says "I do not know"
    rows = by(ask(reader_of(lambda prompt: prompt.split("I do not know.")[1]), some), "condition")
    assert share(rows["right passages"], "right")[0] == 1


def test_unanswerable_questions_have_no_right_answer(study):
    rows = ask(reader_of(lambda prompt: "I do not know."), list(study.unanswerable()))
    assert {row["condition"] for row in rows} == {"memory", "1 found", "copied from 1 found"}
    assert all(row["abstained"] and not row["right"] for row in rows if row["condition"] == "memory")


def test_rows_with_found_passages_carry_the_signals_of_search_and_reader(study):
    question = DEV["forget-gate-year"]
    answer = "The forget gate was added in 2000 by Zanzibar."
    model, copier = ask(reader_of(lambda prompt: answer), list(study.with_found(question)))
    (passage,) = study.found(question)
    assert (model["condition"], copier["condition"]) == ("1 found", "copied from 1 found")
    first, second = study.search.dense.search(question.text, 2)
    expected = {
        "cosine": first.score,
        "margin": first.score - second.score,
        "coverage": coverage(question.text, [passage], study.search.index),
    }
    assert copier["signals"] == {name: pytest.approx(x, abs=5e-5) for name, x in expected.items()}
    alone, there = ([word for word in answer.split() if word not in text] for text in ("", passage))
    assert list(model["signals"]) == [*expected, "grounded", "certainty", "lift"]
    assert model["signals"]["grounded"] == pytest.approx(grounded(question.text, answer, [passage]), abs=5e-5)
    assert 0 < model["signals"]["grounded"] < 1
    assert 0 < len(there) < len(alone)
    assert model["signals"]["certainty"] <= 0 < model["signals"]["lift"]
    assert not any(
        "signals" in row for row in ask(reader_of(lambda prompt: answer), list(study.with_found(question, 3)))
    )


def test_thresholds_come_from_dev_questions_of_both_kinds_whatever_the_split(study):
    other = Study(
        study.encode, "held_out", PAGES
    )  # only which questions are asked is looked at, not how they are answered
    asked = list(other.calibration())
    assert {one.question.id for one in asked} == set(DEV)
    assert {one.question.split for one in asked} == {"dev"}
    assert {one.question.split for one in other.unanswerable()} == {"held_out"}
    assert all(one.signals for one in asked)


def test_a_reader_that_reads_is_told_from_one_that_makes_up(study):
    """A stand-in that copies a sentence where the question's words are, else makes up words: the signals behind the answer see which."""

    def answer(prompt):
        passage, question = prompt.split("I do not know.")[-1].split("Question:")
        rare = [word for word in question.split("Answer:")[0].split() if len(word) > 6]
        return passage[:300] if any(word in passage for word in rare) else "It was Zanzibar, in the year 4711."

    some = [one for one in study.calibration() if not one.copied]
    rows = [{**row, "part": "calibration", "split": "dev"} for row in ask(reader_of(answer), some)]
    rows += [{**row, "part": "unanswerable" if row["kind"] == "unanswerable" else "answers"} for row in rows]
    found = abstentions(rows, "dev", "1 found")
    assert list(found) == [OWN, "cosine", "margin", "coverage", "grounded", "certainty", "lift"]
    assert found[OWN].unanswerable[0] == 0
    assert found["grounded"].wrong[0] > 0.2
    assert found["grounded"].separation > 0.5
    assert found["lift"].separation > 0.5


def test_the_update_reaches_the_prompt(study):
    rows = by(
        ask(reader_of(lambda prompt: prompt.split("I do not know.")[-1].split("Question:")[0]), list(study.update())),
        "condition",
    )
    before, after = share(rows["before"], "right")[0], share(rows["after"], "right")[0]
    assert after >= before - 0.1
    assert after > 0.5
    assert share(rows["memory, new answer"], "right")[0] == 0


def test_the_poisoned_page_reaches_the_prompt_and_the_filter_takes_orders_out(study, monkeypatch):
    monkeypatch.setattr(rag_study, "POISONED", POISONED[:1])
    asked = list(study.poison())
    assert len(asked) == (1 + len(ATTACKS)) * 4
    rows = ask(reader_of(lambda prompt: prompt), asked)
    attacks = by(rows, "attack")
    assert not any(row["obeyed"] for row in attacks["no attack"])
    plain = by(attacks["plain order"], "condition")
    assert plain["none"][0]["there"]
    assert plain["none"][0]["obeyed"]
    assert plain["marking"][0]["obeyed"]  # an echo heeds no marker
    assert not plain["filtering"][0]["obeyed"]
    assert by(attacks["a lie"], "condition")["both"][0]["obeyed"]


# ---------------------------------------------------------------- the record that is there


def test_the_record_holds_what_the_study_asks_and_nothing_else(study, monkeypatch):
    recorded = json.loads(data_path("experiments/rag.json").read_text(encoding="utf-8"))["runs"]
    monkeypatch.setattr(study, "questions", read_questions(split="held_out"))
    for name, part in PARTS.items():
        rows = [row for row in recorded if row["part"] == name]
        asked = [(one.condition, one.question.id, dict(one.labels).get("attack")) for one in part(study)]
        assert sorted(asked, key=str) == sorted(
            [(row["condition"], row["question"], row.get("attack")) for row in rows], key=str
        )
        assert {row["split"] for row in rows} == {"held_out" if name in ("answers", "unanswerable") else "dev"}
        assert all(row["real"] for row in rows)


def test_what_the_record_says_of_answers_is_what_the_program_says_now():
    recorded = json.loads(data_path("experiments/rag.json").read_text(encoding="utf-8"))["runs"]
    questions = {one.id: one for one in read_questions()}
    for row in recorded:
        if row["part"] in ("calibration", "answers", "unanswerable", "poison"):
            found = judged(questions[row["question"]], row["answer"], None)
            assert (found["right"], found["abstained"]) == (row["right"], row["abstained"]), row


def test_poisoned_questions_are_those_that_were_answered_right_from_what_was_found():
    recorded = json.loads(data_path("experiments/rag.json").read_text(encoding="utf-8"))["runs"]
    rows = [row for row in recorded if row["part"] == "calibration" and row["condition"] == f"{rag_study.K} found"]
    assert [row["question"] for row in rows if row["right"]] == list(POISONED)


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setattr(rag_study, "best_encoder", lambda texts: _Encoder())
    monkeypatch.setattr(rag_study, "best_reader", lambda: reader_of(lambda prompt: "I do not know."))
    return lambda *words: main([*words, "--split", "dev", "--folder", str(tmp_path)]), tmp_path / "rag.json"


class _Encoder:
    source = "a test"

    def __call__(self, texts):
        return hashing(texts)


def test_a_run_that_was_broken_off_goes_on_and_asks_nothing_twice(command, monkeypatch):
    run, path = command
    assert run("unanswerable", "--limit", "5") == 0
    first = json.loads(path.read_text())["runs"]
    assert len(first) == 5
    assert all(row["part"] == "unanswerable" and row["split"] == "dev" for row in first)
    asked = []
    monkeypatch.setattr(rag_study, "best_reader", lambda: reader_of(lambda prompt: asked.append(prompt) or "no"))
    assert run("unanswerable", "--limit", "9") == 0
    rows = json.loads(path.read_text())["runs"]
    assert rows[:5] == first
    assert len(rows) == 9
    assert 0 < len(asked) <= 4


def test_the_study_of_the_unanswerable_says_what_withholding_brings(command, capsys, monkeypatch):
    run, path = command
    monkeypatch.setattr(rag_study, "best_reader", lambda: reader_of(lambda prompt: prompt.split("I do not know.")[-1]))
    assert run("unanswerable") == 0
    assert "withheld by" not in capsys.readouterr().out  # nothing to choose a threshold on
    assert run("calibration", "answers") == 0
    said = capsys.readouterr().out
    assert "1 found, withheld by grounded: unanswerable " in said
    assert "copied from 1 found, withheld by coverage: unanswerable " in said
    rows = json.loads(path.read_text())["runs"]
    assert {(row["part"], row["split"]) for row in rows} == {
        ("calibration", "dev"),
        ("answers", "dev"),
        ("unanswerable", "dev"),
    }


def test_the_record_is_made_by_the_real_model_only(command, monkeypatch, capsys):
    run, path = command
    reader = reader_of(lambda prompt: "no")
    monkeypatch.setattr(rag_study, "best_reader", lambda: replace(reader, real=False))
    assert run("unanswerable") == 2
    assert "real model only" in capsys.readouterr().err
    assert not path.exists()


def test_what_a_trial_without_the_real_model_wrote_is_made_again(command, monkeypatch):
    run, path = command
    reader = reader_of(lambda prompt: "a trial")
    monkeypatch.setattr(rag_study, "best_reader", lambda: replace(reader, real=False))
    assert run("unanswerable", "--limit", "5") == 0
    assert len(json.loads(path.read_text())["runs"]) == 5
    monkeypatch.setattr(rag_study, "best_reader", lambda: reader_of(lambda prompt: "the real one"))
    assert run("unanswerable", "--limit", "3") == 0
    rows = json.loads(path.read_text())["runs"]
    assert len(rows) == 3
    assert {row["real"] for row in rows} == {True}
    assert "a trial" not in {row["answer"] for row in rows}
