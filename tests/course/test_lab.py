import functools
import json

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from lablib.architecture import attention
from lablib.course import checks, progress
from lablib.course import lab as lab_module
from lablib.course.lab import Banner, Lab, NotPassedStrictly, UnknownExercise, begin

GOOD = "def attention_scores(q, k):\n    return q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5\n"
BAD = "def attention_scores(q, k):\n    return q @ k.transpose(-2, -1)\n"
BLANK = "def attention_scores(q, k):\n    raise NotImplementedError  # your code here\n"
CHECK = "attention_scores = lab.check(attention_scores)"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LABLIB_PROFILE", "smoke")
    monkeypatch.delenv("LABLIB_STRICT", raising=False)
    return tmp_path / "home"


@pytest.fixture
def shown(home, monkeypatch):
    """What the lab displayed."""
    views = []
    monkeypatch.setattr(lab_module, "_show", views.append)
    return views


class Notebook:
    """Real IPython cells: source is read back from them as in a kernel."""

    def __init__(self):
        self.shell = InteractiveShell()
        self.run("import math\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn, Tensor")
        self.names["lab"] = Lab("02")

    @property
    def names(self):
        return self.shell.user_ns

    def run(self, *cells):
        for cell in cells:
            self.shell.run_cell(cell, store_history=True).raise_error()
        return self


def test_three_outcomes(shown):
    book = Notebook().run(BLANK, CHECK)
    assert shown[-1].outcome == "not attempted"
    assert book.names["attention_scores"] is attention.attention_scores
    book.run(BAD, CHECK)
    assert shown[-1].outcome == "not passed"
    assert shown[-1].cause == "The scores were not divided by √K."
    assert book.names["attention_scores"] is attention.attention_scores
    book.run(GOOD, CHECK)
    assert shown[-1].outcome == "passed"
    assert book.names["attention_scores"] is not attention.attention_scores
    assert "1 of 8 passed" in repr(book.names["lab"].summary())
    assert "1 of 8 passed" in book.names["lab"].summary()._repr_html_()


def test_only_the_check_cell_again_is_no_pass(shown):
    book = Notebook().run(BAD, CHECK, CHECK)
    assert shown[-1].outcome == "not passed"
    assert "nothing new to check" in shown[-1].title
    assert "0 of 8 passed" in repr(book.names["lab"].summary())


def test_attempts_are_counted_by_source_and_open_the_hints_one_by_one(shown):
    book = Notebook().run(BAD, CHECK, BAD, CHECK)
    assert shown[-1].hint_number == 1
    for factor in (2, 3, 4):
        book.run(BAD.rstrip() + f" * {factor}", CHECK)
    assert [view.hint_number for view in shown] == [1, 1, 2, 3, 3]


def test_an_endless_loop_ends_with_its_line(shown, monkeypatch):
    book = Notebook()
    exercise = book.names["lab"].exercises["attention_scores"]
    object.__setattr__(exercise, "seconds", 0.2)
    try:
        book.run("def attention_scores(q, k):\n    while True:\n        pass", CHECK)
    finally:
        object.__setattr__(exercise, "seconds", 10.0)
    assert "still running after 0.2 s" in shown[-1].lines[0]
    assert "of your cell: `" in shown[-1].lines[1]


def test_an_interrupt_during_a_check(shown):
    Notebook().run("def attention_scores(q, k):\n    raise KeyboardInterrupt", CHECK)
    assert shown[-1].lines == ("The check was interrupted.",)


@pytest.mark.parametrize(
    "cell",
    [
        "attention_scores = lambda q, k: q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5",
        "import functools\ndef scores(root, q, k): return q @ k.mT / q.shape[-1] ** root\n"
        "attention_scores = functools.partial(scores, 0.5)",
        "def mine(q, k): return q @ k.mT / q.shape[-1] ** 0.5\nattention_scores = mine",
    ],
)
def test_a_lambda_a_partial_or_another_name_is_known_by_what_the_notebook_calls_it(shown, cell):
    Notebook().run(cell, CHECK)
    assert shown[-1].outcome == "passed"


@pytest.mark.parametrize("cell", ["attention_scores = None", "attention_scores = torch.ones(2)"])
def test_what_cannot_be_called_is_not_passed(shown, cell):
    Notebook().run(cell, CHECK)
    assert "expected a function or a class" in shown[-1].lines[0]


def test_an_unknown_name_is_said_in_one_line(shown):
    with pytest.raises(UnknownExercise, match="no exercise named len: expected one of attention_scores") as caught:
        Lab("02").check(len)
    assert len(caught.value._render_traceback_()) == 1
    with pytest.raises(UnknownExercise, match="named functools"):
        Lab("02").check(functools.partial(len)) if False else Lab("02").check(type("functools", (), {}))


def test_strict_raises_in_one_line(shown, monkeypatch):
    monkeypatch.setenv("LABLIB_STRICT", "1")
    lab = Lab("02")

    def attention_scores(q, k):
        return q

    with pytest.raises(NotPassedStrictly, match="not passed yet") as caught:
        lab.check(attention_scores)
    assert len(caught.value._render_traceback_()) == 1
    with pytest.raises(NotPassedStrictly, match="0 of 8 passed"):
        lab.summary()


def test_html_is_escaped():
    banner = Banner("not passed", "t", ("<script>alert(1)</script> `a < b`",), "c & d", "hint <b>", 1)
    html = banner._repr_html_()
    assert "<script>" not in html
    assert "<code>a &lt; b</code>" in html
    assert "hint &lt;b&gt;" in html
    assert "Hint 1 of 3" in repr(banner)


def test_an_authors_emphasis_is_emphasised_and_code_is_left_alone():
    banner = Banner("not passed", "t", ("got 2 *3* 4",), "worse in *every* aim, `a *b* c`; x*y*z", "take *both*", 1)
    html = banner._repr_html_()
    assert "worse in <em>every</em> aim, <code>a *b* c</code>; x*y*z" in html
    assert "take <em>both</em>" in html
    assert "got 2 *3* 4" in html  # what was measured is shown as it is


def test_a_kept_answer_is_used_on_another_day(shown, capsys):
    Notebook().run("import statistics\n" + GOOD + "print('noise')\n1 / 1", CHECK)
    assert (progress.answer_path("02", "attention_scores")).read_text().startswith("import statistics")
    capsys.readouterr()
    book = Notebook().run(BLANK, CHECK)
    assert shown[-1].title.endswith("your code that passed earlier is used")
    assert book.names["attention_scores"] is not attention.attention_scores
    assert "noise" not in capsys.readouterr().out
    mine = Lab("03" if "03" in checks.labs() else "02").mine("lablib.architecture.attention:attention_scores")
    assert mine is not attention.attention_scores
    assert "yours, from an earlier lab" in capsys.readouterr().out


def test_a_kept_cell_may_use_what_labs_import_and_hold_the_check_itself(shown):
    cell = (
        "def attention_scores(q, k):\n    return torch.mul(q @ k.mT, q.shape[-1] ** -0.5) + 0 * F.relu(q).sum()\n"
        + CHECK
    )
    Notebook().run(cell)
    assert shown[-1].outcome == "passed"
    Notebook().run(BLANK, CHECK)
    assert shown[-1].title.endswith("your code that passed earlier is used")


@pytest.mark.parametrize(
    "kept", [BAD, "def attention_scores(q, k): return helper(q, k)", "syntax error(", "x = 1", "import nowhere_at_all"]
)
def test_a_kept_answer_that_no_longer_passes_falls_back_visibly(shown, kept, capsys):
    path = progress.answer_path("02", "attention_scores")
    path.parent.mkdir(parents=True)
    path.write_text(kept)
    book = Notebook().run(BLANK, CHECK)
    assert book.names["attention_scores"] is attention.attention_scores
    assert "kept from an earlier day cannot be used" in shown[-1].lines[0]
    assert Lab("02").mine("lablib.architecture.attention:attention_scores") is attention.attention_scores
    assert "cannot be used" in capsys.readouterr().out


def test_nothing_kept_is_said(shown, capsys):
    assert Lab("02").mine("lablib.architecture.attention:attention_scores") is attention.attention_scores
    assert "the reference (none of yours is kept)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage", ["a file in its place", "progress is a folder", "damaged", "not text", "~nobody-of-this-name/x"]
)
def test_a_bad_home_never_breaks_a_check(shown, home, damage, monkeypatch):
    if damage == "a file in its place":
        home.write_text("here")
    elif damage == "progress is a folder":
        (home / progress.FILE).mkdir(parents=True)
    elif damage.startswith("~"):
        monkeypatch.setenv("LABLIB_HOME", damage)
    else:
        home.mkdir()
        (home / progress.FILE).write_bytes(b"[1, 2" if damage == "damaged" else b"\xff\xfe\x00")
    book = Notebook()
    for cell, outcome in ((BLANK, "not attempted"), (BAD, "not passed"), (GOOD, "passed")):
        book.run(cell, CHECK)
        assert shown[-1].outcome == outcome
    assert "Kept" in progress.report() or "Nothing can be kept" in progress.report()


def test_a_class_and_several_definitions_in_a_cell_are_read_back(shown):
    source = "HALF = 0.5\ndef helper(x):\n    return x\n" + checks.find(
        "lablib.architecture.attention:MultiHeadAttention"
    ).parsed.source().replace("source = x", "source = helper(x)")
    book = Notebook()
    book.names.update(
        {n: getattr(attention, n) for n in ("split_heads", "merge_heads", "scaled_dot_product_attention")}
    )
    book.run(source, "MultiHeadAttention = lab.check(MultiHeadAttention)")
    assert shown[-1].outcome == "passed"
    assert "HALF = 0.5" in progress.answer_path("02", "MultiHeadAttention").read_text()
    Notebook().run(
        "class MultiHeadAttention(nn.Module):\n    def __init__(self, D, H, bias=True):\n        raise NotImplementedError",
        "MultiHeadAttention = lab.check(MultiHeadAttention)",
    )
    assert shown[-1].title.endswith("your code that passed earlier is used")


def test_a_defect_of_ours_is_said_and_the_lab_goes_on(shown, monkeypatch):
    monkeypatch.setattr(Lab, "run_check", staticmethod(lambda e, c: 1 / 0))
    book = Notebook().run(GOOD, CHECK)
    assert "That is our defect" in shown[-1].lines[1]
    assert book.names["attention_scores"] is attention.attention_scores


def test_begin_says_what_it_begins(home, capsys):
    begin("02")
    assert "Lab 02 · 8 exercises · profile smoke (chosen by LABLIB_PROFILE)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="lab '2' has no exercises: expected one of"):
        begin("2")


def test_later_cells_use_the_learners_function(shown):
    book = Notebook().run(GOOD.replace("return", "calls.append(1); return"), "calls = []", CHECK)
    book.run("calls.clear()\nattention_scores(torch.ones(1, 4), torch.ones(1, 4))")
    assert book.names["calls"] == [1]
    assert (
        json.loads((progress.user_dir() / progress.FILE).read_text())["02"]["attention_scores"]["outcome"] == "passed"
    )
    assert torch.get_num_threads() >= 1
