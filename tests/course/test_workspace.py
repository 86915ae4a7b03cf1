"""The learner's copies: made once, never overwritten, set aside under a dated name when a fresh one is wanted."""

from datetime import date

import pytest

from lablib import paths
from lablib.course import catalogue, workspace


@pytest.fixture
def labs(tmp_path, monkeypatch):
    """A course of two labs, and an empty folder for the learner's work."""
    folder = tmp_path / "course" / "labs"
    folder.mkdir(parents=True)
    for name in ("00_welcome", "02_attention"):
        (folder / f"{name}.ipynb").write_text(f"blank {name}")
    monkeypatch.setattr(paths, "labs_path", lambda: folder)
    monkeypatch.setenv("LABLIB_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


def test_start_copies_the_blank_lab(labs):
    started = workspace.start("02")
    assert started.new
    assert started.path == labs / "02_attention.ipynb"
    assert started.path.read_text() == "blank 02_attention"


def test_start_never_overwrites(labs):
    workspace.start("02").path.write_text("an evening's work")
    again = workspace.start("02")
    assert not again.new
    assert again.path.read_text() == "an evening's work"
    assert "nothing was changed" in str(again)
    assert "start 02 --fresh" in str(again)


def test_fresh_keeps_every_earlier_copy_under_its_own_name(labs):
    workspace.start("02").path.write_text("first")
    one = workspace.start("02", fresh=True)
    one.path.write_text("second")
    two = workspace.start("02", fresh=True)
    today = date.today().isoformat()
    assert (one.kept.name, two.kept.name) == (f"02_attention.{today}-1.ipynb", f"02_attention.{today}-2.ipynb")
    assert (one.kept.read_text(), two.kept.read_text()) == ("first", "second")
    assert two.path.read_text() == "blank 02_attention"
    assert str(two).startswith("Your earlier copy is kept as")


def test_fresh_without_an_earlier_copy_keeps_nothing(labs):
    started = workspace.start("2", fresh=True)
    assert started.new
    assert started.kept is None
    assert [p.name for p in labs.iterdir()] == ["02_attention.ipynb"]


@pytest.mark.parametrize(
    "name", ["2", "02", " 02 ", "attention", "02_attention", "02_attention.ipynb", "labs/02_attention.ipynb"]
)
def test_a_lab_is_found_by_number_or_name(labs, name):
    assert catalogue.find(name).number == "02"


def test_an_unknown_lab_lists_those_that_are_ready(labs):
    with pytest.raises(catalogue.UnknownLab) as problem:
        catalogue.find("42")
    assert "lab '42' is not in the course" in str(problem.value)
    assert "02  Attention" in str(problem.value)
    assert "17  Frontiers" not in str(problem.value)


def test_a_lab_in_the_making_says_so(labs):
    with pytest.raises(catalogue.UnknownLab, match=r"lab 12 \(Learning from preferences\) is still in the making"):
        catalogue.find("12")


def test_a_word_that_fits_several_labs_names_them(labs):
    with pytest.raises(catalogue.UnknownLab, match=r"'at' fits \d+ labs: 02 \(attention\), .*say which by its number"):
        catalogue.find("at")


def test_the_overview_links_to_the_copy_once_there_is_one(labs, monkeypatch):
    def opened():
        return {lab.number: path for lab, path, _ in workspace.overview().rows}

    assert opened()["02"] == paths.labs_path() / "02_attention.ipynb"
    workspace.start("02")
    assert opened()["02"] == labs / "02_attention.ipynb"
    assert opened()["12"] is None
    assert len(workspace.overview().rows) == 18
    assert workspace.overview()._repr_html_().count("in the making") == 16


def test_links_are_relative_to_the_notebooks_folder(labs, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    (tmp_path / "course" / "labs").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "course" / "labs")
    assert 'href="../../work/02_attention.ipynb"' in workspace.start("02")._repr_html_()


def test_without_a_checkout_work_is_made_in_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("LABLIB_WORK", raising=False)
    monkeypatch.setattr(paths, "project_root", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert workspace.work_path() == tmp_path / "work"
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")  # where a notebook's kernel runs
    assert workspace.work_path() == tmp_path / "work"
