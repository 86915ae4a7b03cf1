"""Whole lab notebooks in a kernel: blank, strict, and as a learner leaves them after a day."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from lablib.course import checks

ROOT = Path(__file__).resolve().parent.parent.parent
LABS = {lab: next((ROOT / "labs").glob(f"{lab}_*.ipynb")) for lab in checks.labs()}
WRONG = "def attention_scores(q, k):\n    return q @ k.transpose(-2, -1)"
RIGHT = "used = []\ndef causal_mask(T, S=None, device=None):\n    used.append(T)\n" + (
    "    S = T if S is None else S\n    return torch.arange(S, device=device) <= torch.arange(S - T, S, device=device)[:, None]"
)


def run(book, home, strict=False):
    environment = dict(os.environ, LABLIB_PROFILE="smoke", LABLIB_HOME=str(home), LABLIB_STRICT="1" if strict else "")
    client = NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(home)}}, store_widget_state=False
    )
    client.execute(env=environment)
    return book


def banners(book):
    return [
        output["data"]["text/plain"]
        for cell in book.cells
        if "check" in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "display_data"
    ]


def text_of(book):
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


@pytest.mark.parametrize("lab", sorted(LABS.keys() - {"02"}))  # lab 02 runs in the learner's day, below
def test_a_blank_lab_runs_to_its_end(lab, tmp_path):
    book = run(nbformat.read(LABS[lab], 4), tmp_path)
    number = len(checks.exercises(lab))
    assert [b.startswith("○") and "not attempted; the reference is used" in b for b in banners(book)] == [True] * number
    assert f"0 of {number} passed" in text_of(book)
    assert all(o.output_type != "error" for cell in book.cells if cell.cell_type == "code" for o in cell.outputs)


@pytest.mark.parametrize("lab", LABS)
def test_strictly_the_first_blank_exercise_stops_a_lab_in_one_line(lab, tmp_path):
    book = nbformat.read(LABS[lab], 4)
    first = next(i for i, cell in enumerate(book.cells) if "check" in cell.metadata.get("tags", []))
    book.cells = [c for i, c in enumerate(book.cells[: first + 1]) if i >= first - 1 or _needed(c)]
    with pytest.raises(CellExecutionError, match="NotPassedStrictly"):
        run(book, tmp_path, strict=True)
    error = book.cells[-1].outputs[-1]
    assert len(error.traceback) == 1
    assert "Traceback" not in error.traceback[0]


def test_lab_05_runs_without_the_extra_data_and_says_what_it_leaves_out(tmp_path):
    """As for a learner who installed the course alone: its sources and datatrove are missing, every cell runs."""
    book = nbformat.read(LABS["05"], 4)
    missing = ("datasets", "datatrove", "warcio", "zstandard")
    book.cells.insert(0, nbformat.v4.new_code_cell(f"import sys\nsys.modules.update(dict.fromkeys({missing}))"))
    said = text_of(run(book, tmp_path))
    assert re.search(r"^datatrove[.\w]* is not installed, so this comparison is left out", said, re.M)
    assert f"0 of {len(checks.exercises('05'))} passed" in said


@pytest.mark.parametrize("lab", ["07", "09", "12"])
def test_a_lab_runs_without_the_extra_data(lab, tmp_path):
    """As for a learner who installed the course alone: JSON lines need no package, and a set that needs one is left out."""
    book = nbformat.read(LABS[lab], 4)
    missing = ("datasets", "datatrove", "warcio", "zstandard", "pyarrow")
    book.cells.insert(0, nbformat.v4.new_code_cell(f"import sys\nsys.modules.update(dict.fromkeys({missing}))"))
    said = text_of(run(book, tmp_path))
    assert "needs the package datasets" not in said
    assert ("the source 'ultrafeedback' needs the package pyarrow" in said) == (lab == "12")
    assert f"0 of {len(checks.exercises(lab))} passed" in said


def test_lab_10_runs_without_peft_and_says_what_it_leaves_out(tmp_path):
    """As for a learner who installed the course alone."""
    book = nbformat.read(LABS["10"], 4)
    book.cells.insert(0, nbformat.v4.new_code_cell("import sys\nsys.modules['peft'] = None"))
    said = text_of(run(book, tmp_path))
    assert "peft is not installed (`pip install peft`): this comparison is left out" in said
    assert "the real model is left out, the lab goes on without it" in said
    assert f"0 of {len(checks.exercises('10'))} passed" in said


def test_lab_11_runs_without_the_vector_database_and_says_what_it_leaves_out(tmp_path):
    """As for a learner who installed the course alone."""
    book = nbformat.read(LABS["11"], 4)
    book.cells.insert(0, nbformat.v4.new_code_cell("import sys\nsys.modules['lancedb'] = None"))
    said = text_of(run(book, tmp_path))
    assert "LanceDB is not installed" in said
    assert "LanceDB, exact" not in said
    assert f"0 of {len(checks.exercises('11'))} passed" in said


def _needed(cell):
    return (
        cell.cell_type == "code"
        and re.search(r"^(import |from |lab =)", cell.source, re.M)
        and "pip" not in cell.source
    )


def test_a_learners_day(tmp_path):
    """One exercise wrong, one right, the rest blank: the banners say so, and later cells use what passed."""
    book = nbformat.read(LABS["02"], 4)
    for cell in book.cells:
        if "exercise" in cell.metadata.get("tags", []):
            if cell.source.startswith("def attention_scores"):
                cell.source = WRONG
            elif cell.source.startswith("def causal_mask"):
                cell.source = RIGHT
    checked = next(i for i, cell in enumerate(book.cells) if cell.source.startswith("causal_mask = lab.check"))
    book.cells.insert(checked + 1, nbformat.v4.new_code_cell("calls_so_far = len(used)"))
    book.cells.append(nbformat.v4.new_code_cell("print('called later:', len(used) > calls_so_far)"))
    run(book, tmp_path)
    said = banners(book)
    assert said[0].startswith("✗")
    assert "The scores were not divided by √K." in said[0]
    assert said[2].startswith("✓")
    assert [b[0] for b in said].count("○") == len(said) - 2
    assert "1 of 8 passed" in text_of(book)
    assert "called later: True" in text_of(book)
    assert (tmp_path / "answers" / "02" / "causal_mask.py").read_text().strip() == RIGHT.strip()
