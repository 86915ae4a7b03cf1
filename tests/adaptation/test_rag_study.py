"""The study of lab 11: its rows say what a program can see, updates change what they say, and a run that was broken off goes on."""

import json
from dataclasses import replace

import pytest
from test_dense import hashing

from lablib.adaptation import rag_study
from lablib.adaptation.dense import latent_semantic_encoder
from lablib.adaptation.handbook import problems, read_pages, read_questions
from lablib.adaptation.poison import ATTACKS
from lablib.adaptation.rag_study import POISONED, UPDATES, Study, ask, by, judged, main, share, with_update
from lablib.adaptation.reader import Reader

PAGES = read_pages()
DEV = {one.id: one for one in read_questions(split="dev")}


def reader_of(answer):
    return Reader(
        lambda prompts, most: [answer(prompt) for prompt in prompts],
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


def test_shares_and_groups():
    rows = [{"a": "x", "right": True}, {"a": "y", "right": False}, {"a": "x", "right": False}]
    assert list(by(rows, "a")) == ["x", "y"]
    assert share(by(rows, "a")["x"], "right")[0] == 0.5
    with pytest.raises(ValueError, match="at least one"):
        share([], "right")


# ---------------------------------------------------------------- updates


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.question)
def test_an_update_changes_one_quote_and_the_new_pattern_tells_new_from_old(update):
    question = DEV[update.question]
    changed = with_update(PAGES, question, update)
    different = [(old, new) for old, new in zip(PAGES, changed, strict=True) if old.text != new.text]
    ((old, new),) = different
    assert old.id == question.evidence[0].page
    fresh = replace(question, accept=(update.accept,))
    assert fresh.accepts(new.text)
    assert not fresh.accepts(old.text), "the new answer stands on the old page, so nothing would be measured"
    assert not fresh.accepts(question.answer)
    assert not fresh.accepts(question.text)


def test_an_update_of_a_rewritten_page_is_refused():
    with pytest.raises(ValueError, match="was it rewritten"):
        with_update(PAGES, DEV["forget-gate-year"], rag_study.Update("forget-gate-year", "1850", "1851", "1851"))


def test_poisoned_questions_are_questions_of_the_dev_part_with_one_quote():
    assert all(DEV[name].kind == "one" for name in POISONED)
    assert not problems(PAGES, list(DEV.values()))


# ---------------------------------------------------------------- the parts


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
