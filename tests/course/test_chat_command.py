"""`lab chat`: columns where there is room, gold below the answers, one line for what is wrong, and nothing acts on the terminal."""

import io
from types import SimpleNamespace

import pytest

from lablib.alignment.chat_with import UNJUDGED, Answer, Exchange, Partner
from lablib.corpus.world.judge import Judgement
from lablib.course import chat_command as command

GOOD = Judgement(1.0, 0.5, 1.0, reasons=("false: home of Mirabe: a village",))


def exchange(*texts, gold=GOOD, note="known"):
    return Exchange("?", tuple(Answer(f"m{i}", text, True, gold) for i, text in enumerate(texts)), note)


def test_side_by_side_where_there_is_room():
    shown = command.said(exchange("one two three " * 8, "four"), width=80)
    assert max(map(len, shown)) <= 80
    assert shown[0].split() == ["m0", "m1"]
    start = shown[0].index("m1")
    assert shown[2][start:] == "four"
    scores = next(line for line in shown if line.startswith("gold: helpful 1.00, honest 0.50,"))
    assert scores[start:].startswith("gold: helpful 1.00")
    assert any("· false: home of" in line for line in shown)
    assert shown[-1] == "(known)"


def test_below_each_other_where_there_is_none():
    shown = command.said(exchange("one", "two", "three"), width=60)
    assert [line for line in shown if line in ("m0", "m1", "m2")] == ["m0", "m1", "m2"]
    assert sum(line.startswith("gold: ") for line in shown) == 3
    assert max(map(len, shown)) <= 60
    assert command.said(exchange("word " * 30), width=1)[2].startswith("word word")


def test_nothing_that_a_model_wrote_acts_on_the_terminal():
    evil = "\x1b[31mred\x07\r\x9b2J \u202egnorw\u202c"
    for width in (80, 20):
        shown = "\n".join(command.said(exchange(evil, "b"), width))
        assert not any(letter in shown for letter in "\x1b\x07\r\x9b\u202e\u202c")
        assert "\\x1b" in shown
        assert "red" in shown


def test_silence_an_answer_cut_off_and_one_without_scores_say_so():
    answers = (Answer("a", "", True), Answer("b", "and then", False))
    shown = command.said(Exchange("?", answers, UNJUDGED), 80)
    assert "(it says nothing)" in shown[2]
    assert "and then …(cut off)" in shown[2]
    assert not any("gold:" in line for line in shown)
    assert "no gold scores" in shown[-1] or "no gold scores" in shown[-2]


@pytest.fixture
def little(monkeypatch):
    """Models that say what they are asked, and how."""
    asked = []

    def ask(models, prompt, temperature, seed, most):
        if "wrong" in prompt:
            raise ValueError("prompt has 999 tokens")
        asked.append((list(models), prompt, temperature, seed, most))
        return exchange(*(f"{name} hears {prompt.strip()}" for name in models))

    def partners(names):
        if "ppo" in names:
            raise FileNotFoundError("names = ppo: not there; expected some of base, sft")
        return {name: Partner(None, None, origin="the course's") for name in names or ["base", "sft"]}

    monkeypatch.setattr(command, "ask", ask)
    monkeypatch.setattr(command, "partners", partners)
    return asked


def typed(monkeypatch, text, terminal=False):
    source = io.StringIO(text)
    source.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdin", source)


def test_a_prompt_on_the_standard_input_is_answered_once(little, monkeypatch, capsys):
    typed(monkeypatch, "Where does\nMirabe live?\n")
    assert command.main(["sft", "--temperature", "0", "--seed", "7", "--most", "5", "--width", "80"]) == 0
    assert little == [(["sft"], "Where does\nMirabe live?\n", 0.0, 7, 5)]
    assert "sft hears Where does" in capsys.readouterr().out


def test_a_prompt_on_the_command_line_is_answered_once(little, monkeypatch):
    typed(monkeypatch, "not read", terminal=True)
    assert command.main(["--prompt", "Hello?"]) == 0
    assert [(names, prompt) for names, prompt, *_ in little] == [(["base", "sft"], "Hello?")]


def test_a_talk_goes_on_after_a_prompt_that_is_wrong(little, monkeypatch, capsys):
    typed(monkeypatch, "one\nwrong\ntwo\n\nnever\n", terminal=True)
    assert command.main(["base", "--seed", "10"]) == 0
    assert [(prompt, seed) for _, prompt, _, seed, _ in little] == [("one", 10), ("two", 12)]
    said = capsys.readouterr()
    assert "prompt has 999 tokens" in said.err
    assert said.out.startswith("base: the course's\n")
    assert said.out.count("?") >= 1  # the examples


def test_the_end_of_the_input_ends_the_talk(little, monkeypatch):
    typed(monkeypatch, "one\n", terminal=True)
    assert command.main([]) == 0
    assert len(little) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["ppo"], "names = ppo: not there; expected some of base, sft"), (["--prompt", "wrong"], "prompt has 999 tokens")],
)
def test_what_is_wrong_is_one_line_and_code_2(little, capsys, arguments, message):
    assert command.main(arguments, prog="lab chat") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lab chat: {message}")
    assert error.count("\n") == 1


def test_ctrl_c_is_code_130(little, monkeypatch):
    def pressed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", pressed)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    assert command.main([]) == 130
