import pytest

from lablib.course import checks, progress


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path))
    return tmp_path


def test_a_pass_is_never_replaced_by_a_later_failure(home):
    progress.keep("02", "split_heads", "passed", 2, "code")
    progress.keep("02", "split_heads", "not passed", 3, None)
    assert progress.load()["02"]["split_heads"].outcome == "passed"
    assert progress.answer_path("02", "split_heads").read_text() == "code"


def test_a_failure_keeps_no_code(home):
    progress.keep("02", "split_heads", "not passed", 1, "code")
    assert not progress.answer_path("02", "split_heads").exists()
    assert progress.load()["02"]["split_heads"].attempts == 1


def test_writing_is_all_or_nothing(home, monkeypatch):
    progress.keep("02", "split_heads", "passed", 1, "old")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}

    def fails(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(progress.os, "replace", fails)
    with pytest.raises(OSError, match="the disk is full"):
        progress.keep("02", "split_heads", "passed", 1, "new")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("text", ["{", "[]", '{"02": {"x": {"odd": 1}}}', '{"02": 3}'])
def test_a_damaged_file_is_set_aside(home, text):
    (home / progress.FILE).write_text(text)
    assert progress.load() == {}
    assert [path.read_text() for path in home.glob(f"{progress.FILE}.damaged-*")] == [text]


def test_report_and_widget(home):
    number = len(checks.exercises("02"))
    assert f"0 of {number}  next: attention_scores" in progress.report()
    for exercise in checks.exercises("02"):
        progress.keep("02", exercise.name, "passed", 1, "x")
    assert f"{number} of {number}  all passed" in progress.report()
    assert str(home) in progress.report()
    box, row = progress.widget(), checks.labs().index("02")
    assert box.children[row].children[1].value == number
    (home / progress.FILE).unlink()
    box.children[-1].click()
    assert box.children[row].children[1].value == 0
    assert "0 of" in box._repr_mimebundle_()["text/plain"] if isinstance(box._repr_mimebundle_(), dict) else True
