"""Lab 07 trains a model that is made of what the learner passed in labs 02 to 04."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lablib.course import checks

ROOT = Path(__file__).resolve().parent.parent.parent
PIECES = {
    "attention": "lablib.architecture.attention:scaled_dot_product_attention",
    "rope": "lablib.architecture.positions:apply_rope",
    "norm": "lablib.architecture.layers:rms_norm",
    "feed_forward": "lablib.architecture.layers:SwiGLU",
}
ASK = """
same = Decoder(config, generator=torch.Generator().manual_seed(5))
own = Decoder(config, parts, generator=torch.Generator().manual_seed(5))
ids = torch.randint(V, (2, 40), generator=torch.Generator().manual_seed(6))
print("largest difference", (same(ids) - own(ids)).abs().max().item())
print("largest logit", same(ids).abs().max().item())
print("called", sorted(part for part, piece in yours.items() if CALLS[part]))
"""
COUNT = """
CALLS = dict.fromkeys(yours, 0)
def counted(part, piece):
    def call(*args):
        CALLS[part] += 1
        return piece(*args)
    return call
yours = {part: counted(part, piece) for part, piece in yours.items()}
parts = replace(FAST, **(yours | ({"norm": OwnNorm} if "norm" in yours else {})))
"""


def keep(home: Path, target: str) -> None:
    """An answer as it is kept when it passes: the cell, with something in it that the reference does not have."""
    exercise = checks.find(target)
    path = home / "answers" / exercise.lab / f"{exercise.name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"written_by = 'the learner'\n{exercise.parsed.source()}\n", encoding="utf-8")


@pytest.mark.parametrize("passed", [list(PIECES), ["norm"], []], ids=["all", "the norm", "none"])
def test_the_model_is_made_of_the_pieces_that_passed(passed, tmp_path, monkeypatch):
    for part in passed:
        keep(tmp_path, PIECES[part])
    book = nbformat.read(ROOT / "labs" / "07_pretraining.ipynb", 4)
    end = next(i for i, cell in enumerate(book.cells) if "class OwnNorm" in cell.source)
    book.cells = [cell for cell in book.cells[: end + 2] if cell.cell_type == "code"]
    book.cells += [nbformat.v4.new_code_cell(source) for source in (COUNT, ASK)]
    for name, value in (("PROFILE", "smoke"), ("HOME", str(tmp_path)), ("STRICT", "")):
        monkeypatch.setenv(f"LABLIB_{name}", value)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(o.get("text", "") for cell in book.cells for o in cell.outputs).splitlines()
    for part in PIECES:
        (line,) = [line for line in said if line.startswith(f"{part} ")]
        assert ("YOURS" in line) == (part in passed)
    numbers = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in said if line.startswith("largest ")}
    assert float(numbers["largest difference"]) < 1e-4 * float(numbers["largest logit"])
    assert f"called {sorted(passed)}" in said
