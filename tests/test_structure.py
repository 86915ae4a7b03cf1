"""The house: who imports whom, what may be committed, and how big it may be."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIFE = ["architecture", "corpus", "tokens", "pretraining", "adaptation", "alignment", "deployment"]
NOTEBOOKS = [path for folder in ("labs", "solutions") for path in sorted((ROOT / folder).glob("*.ipynb"))]
PROFILE_NAMES = re.compile(r"/roo[t]/|/home/\w+/|C:\\\\Users\\\\\w")


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def folder_of(module: str) -> str:
    """`lablib.show.style` → `show`; "" for a module that stands in lablib itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "lablib" / parts[1]).is_dir() else ""


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; write it in full"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return {module for module in found if module.split(".")[0] == "lablib"}


MODULES = sorted((ROOT / "lablib").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_import_points_only_to_an_earlier_stage(path):
    parts = path.relative_to(ROOT / "lablib").parts
    mine = parts[0] if len(parts) > 1 else ""
    for module in imports_of(path):
        theirs = folder_of(module)
        if mine == "course" or theirs in ("", mine):
            continue
        assert theirs != "course", f"{path}: nothing imports course but notebooks and tests"
        assert mine != "show" or theirs not in LIFE, f"{path}: show imports none of the stages"
        if mine in LIFE and theirs in LIFE:
            assert LIFE.index(theirs) <= LIFE.index(mine), f"{path}: {mine} comes before {theirs}"


def test_importing_the_package_is_light():
    code = "import sys, lablib, lablib.course; print([m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("source", sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py")), ids=lambda p: p.stem)
def test_every_source_has_both_notebooks(source):
    assert (ROOT / "labs" / f"{source.stem}.ipynb").is_file()
    assert source.with_suffix(".ipynb").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_notebooks_hold_nothing_of_the_machine_they_were_made_on(path):
    assert (ROOT / "solutions" / f"{path.stem}.py").is_file(), "a notebook without a source"
    text = path.read_text(encoding="utf-8")
    book = json.loads(text)
    assert "widgets" not in book["metadata"], "GitHub refuses notebooks whose widget state is partial"
    assert path.stat().st_size <= 1.5e6
    for cell in book["cells"]:
        outputs = json.dumps([{**o, "data": {**o.get("data", {}), "image/png": ""}} for o in cell.get("outputs", [])])
        assert not re.search(r"0x[0-9a-f]{6,}", outputs), cell["source"]
        assert not PROFILE_NAMES.search(outputs), cell["source"]
        if path.parent.name == "labs" and cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_tracked_files_name_no_machine_and_no_index():
    host = re.compile(r"https?://[^\s\"']*(?:/simple\b|pypi\.[a-z.]*(?:internal|local|corp))|/roo[t]/")
    for path in tracked():
        if path == Path(__file__) or path.suffix in {".png", ".safetensors"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not host.search(text), f"{path.relative_to(ROOT)}: {host.search(text)}"


def test_checkpoints_are_small():
    for path in (ROOT / "data").rglob("*.safetensors"):
        assert path.stat().st_size <= 10e6, path
