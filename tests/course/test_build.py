import json

import pytest

from lablib import paths
from lablib.course import build, checks
from lablib.course.build import BuildError

SOURCE = """# %% [markdown]
# # 02 · A test

# %% tags=["varies"]
1 + 1

# %%
# EXERCISE lablib.architecture.attention:split_heads

# %%
# EXERCISE lablib.architecture.attention:merge_heads

# %%
2 + 2
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A checkout of its own whose lab 02 has two exercises."""
    two = [e for e in checks.exercises("02") if e.name in ("split_heads", "merge_heads")]
    monkeypatch.setattr(checks, "exercises", lambda lab: two)
    monkeypatch.setattr(build, "_root", lambda: tmp_path)
    monkeypatch.setattr(build, "execute", executed)
    (tmp_path / "solutions").mkdir()
    path = tmp_path / "solutions" / "02_test.py"
    path.write_text(SOURCE)
    return path


def executed(book):
    for number, cell in enumerate(c for c in book.cells if c.cell_type == "code"):
        cell.execution_count = number + 1
    return book


def test_building_twice_gives_the_same_bytes(source):
    assert build.build() == 0
    files = [*source.parent.glob("*.ipynb"), *(source.parent.parent / "labs").glob("*.ipynb")]
    first = [path.read_bytes() for path in files]
    assert len(first) == 2
    assert build.build() == 0
    assert [path.read_bytes() for path in files] == first
    assert build.build(check=True) == 0


def test_an_exercise_becomes_four_cells(source):
    for blank in (True, False):
        cells = build.notebook(source, blank).cells
        at = next(i for i, c in enumerate(cells) if "exercise" in c.metadata.get("tags", []))
        card, code, check, solution = cells[at - 1 : at + 3]
        assert "### Exercise 2.1 · Cut the width into heads" in card.source
        assert card.source.count("<details>") == 3
        assert ("raise NotImplementedError" in code.source) is blank
        assert check.source == "split_heads = lab.check(split_heads)"
        assert "Solution 2.1" in solution.source
        ids = [cell.id for cell in cells]
        assert len(set(ids)) == len(ids)
        assert all("raises-exception" not in c.metadata.get("tags", []) for c in cells)


def test_ids_stay_when_another_cell_changes(source):
    before = {cell.source: cell.id for cell in build.notebook(source, True).cells}
    source.write_text(SOURCE.replace("2 + 2", "3 + 3"))
    after = {cell.source: cell.id for cell in build.notebook(source, True).cells}
    assert all(after[text] == before[text] for text in before if text != "2 + 2")


def test_varies_becomes_the_tag_of_nbval(source):
    cells = build.notebook(source, True).cells
    assert next(c for c in cells if c.source == "1 + 1").metadata.tags == ["nbval-ignore-output"]


def change(path, edit):
    book = json.loads(path.read_text())
    edit(book)
    path.write_text(json.dumps(book))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda s, lab, solved: s.write_text(SOURCE.replace("2 + 2", "3 + 3")), "differs from what its source builds"),
        (lambda s, lab, solved: change(lab, lambda b: b["cells"][-1].update(source="4")), "labs/02_test.ipynb differs"),
        (
            lambda s, lab, solved: change(solved, lambda b: b["cells"][-1].update(source="4")),
            "solutions/02_test.ipynb differs",
        ),
        (lambda s, lab, solved: change(solved, lambda b: b["cells"][-1].update(execution_count=None)), "not executed"),
        (lambda s, lab, solved: lab.unlink(), "labs/02_test.ipynb is missing"),
        (lambda s, lab, solved: solved.unlink(), "solutions/02_test.ipynb is missing"),
        (lambda s, lab, solved: lab.write_text("{"), "labs/02_test.ipynb is no readable notebook"),
    ],
)
def test_check_finds_what_is_stale_and_building_mends_it(source, harm, words, capsys):
    build.build()
    harm(source, source.parent.parent / "labs" / "02_test.ipynb", source.with_suffix(".ipynb"))
    capsys.readouterr()
    assert build.build(check=True) == 1
    assert words in capsys.readouterr().out
    assert build.build() == 0
    assert build.build(check=True) == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("attention:split_heads", "attention:no_such", "02_test.py: no exercise has the target"),
        ("attention:split_heads", "attention", "02_test.py: exercise target"),
        ("attention:split_heads", "attention:split_heads.x", "but the exercise's target is"),
        ("# %%\n# EXERCISE lablib.architecture.attention:split_heads\n\n", "", r"but lablib/course/checks lists"),
        ("split_heads", "merge_heads", "but lablib/course/checks lists"),
        ("2 + 2", "2\n" * 16, "16 lines, expected at most 15"),
        ("2 + 2", "x = " + "1" * 120, "124 columns, expected at most 120"),
        ("# # 02", "# 02", "expected the first cell to be Markdown with the lab's title"),
    ],
)
def test_a_source_that_breaks_a_rule_is_refused(source, old, new, words):
    source.write_text(SOURCE.replace(old, new))
    with pytest.raises(BuildError, match=words):
        build.notebook(source, True)


def test_an_unknown_lab_is_refused(source):
    with pytest.raises(BuildError, match="lab '09' has no source in solutions/: expected one of 02"):
        build.build(["9"])
    assert build.build(["2"]) == 0


def test_without_a_checkout_nothing_is_built(monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: None)
    with pytest.raises(BuildError, match="there is no checkout here"):
        build.build()
