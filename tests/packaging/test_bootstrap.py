"""bootstrap.py: what it says when a machine is not ready, what it installs and when it installs again. pip itself is not run here."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """The script as a module, at work on an empty folder with the course's pins in it."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "course-stamp.json"))
    monkeypatch.setattr(module, "LOG", str(tmp_path / ".venv" / "install.log"))
    monkeypatch.setattr(module, "PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    return module


def test_an_old_python_can_read_the_file():
    """3.6 has no walrus, no positional-only arguments, no `match`: it must get a message, not a SyntaxError."""
    tree = ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 6))
    newer = (ast.NamedExpr, ast.Match, ast.TryStar)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported <= sys.stdlib_module_names
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]


@pytest.mark.parametrize(
    ("version", "machine", "bits", "mac", "message"),
    [
        ((3, 9), ("Linux", "x86_64"), 64, 0, "This is Python 3.9; the course needs 3.11, 3.12 or 3.13"),
        ((3, 12), ("Windows", "AMD64"), 32, 0, "32-bit Python"),
        ((3, 12), ("Darwin", "x86_64"), 64, 14, "Intel processor"),
        ((3, 12), ("Darwin", "arm64"), 64, 13, "This is macOS 13; the pinned PyTorch needs macOS 14"),
    ],
)
def test_a_machine_that_cannot_run_it_is_told_so(bootstrap, version, machine, bits, mac, message):
    with pytest.raises(bootstrap.Problem, match=re.escape(message)):
        bootstrap.check_python(version, machine, bits, mac)


@pytest.mark.parametrize(
    "machine", [("Linux", "x86_64"), ("Linux", "aarch64"), ("Windows", "AMD64"), ("Darwin", "arm64")]
)
def test_a_machine_that_can_is_not_stopped(bootstrap, machine):
    for version in ((3, 11), (3, 12), (3, 13)):
        bootstrap.check_python(version, machine, 64, 15 if machine[0] == "Darwin" else 0)


def test_a_missing_venv_module_gives_the_line_to_type(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: 1000, raising=False)
    version = "{}.{}".format(*sys.version_info[:2])
    with pytest.raises(
        bootstrap.Problem, match=f"sudo sh -c 'apt-get update && apt-get install -y python{version}-venv'"
    ):
        bootstrap.mend_venv()


def test_root_installs_the_venv_module_and_says_so(bootstrap, monkeypatch, capsys):
    ran = []
    done = subprocess.CompletedProcess([], 0, b"", b"")
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(bootstrap.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda command, **options: ran.append(command) or done)
    monkeypatch.setattr(bootstrap, "has_venv", lambda: True)
    bootstrap.mend_venv()
    assert [command[0] for command in ran] == ["apt-get", "apt-get"]
    assert "installing Debian's python3" in capsys.readouterr().out


def test_a_full_disk_is_told_before_anything_is_done(bootstrap):
    with pytest.raises(bootstrap.Problem, match=r"has 2\.0 GB free; installing needs about 3 GB"):
        bootstrap.check_disk(2.0e9, fresh=True)
    bootstrap.check_disk(2.0e9, fresh=False)


def stamp(bootstrap, **changes):
    Path(bootstrap.PYTHON).parent.mkdir(parents=True, exist_ok=True)
    Path(bootstrap.PYTHON).touch()
    content = {"pins": bootstrap.pins(), "extra": "lab", "root": bootstrap.ROOT} | changes
    Path(bootstrap.STAMP).write_text(json.dumps(content))


def test_the_stamp_decides_whether_to_install(bootstrap):
    assert not bootstrap.stamped("lab"), "no .venv"
    stamp(bootstrap)
    assert bootstrap.stamped("lab")
    assert not bootstrap.stamped("dev"), "the tests need more than the labs"
    stamp(bootstrap, extra="dev")
    assert bootstrap.stamped("lab")
    stamp(bootstrap, root="/somewhere/else")
    assert not bootstrap.stamped("lab"), "a folder that was moved: its scripts point to the old place"
    stamp(bootstrap)
    with open(Path(bootstrap.ROOT) / "constraints.txt", "a") as file:
        file.write("new-package==1.0\n")
    assert not bootstrap.stamped("lab"), "the pins have changed"
    Path(bootstrap.STAMP).write_text("{ half a stamp")
    assert not bootstrap.stamped("lab"), "interrupted while writing"


def test_an_interrupted_install_is_begun_again(bootstrap, monkeypatch, capsys):
    """What pip leaves when it is stopped can be half a package: seen, a metadata folder without its file stops every later pip."""
    made = []
    stamp(bootstrap, pins="older pins")
    monkeypatch.setattr(bootstrap, "works", lambda python: True)
    monkeypatch.setattr(bootstrap, "make_empty", made.append)

    def interrupted(extra, start):
        raise bootstrap.Problem("Stopped.")

    monkeypatch.setattr(bootstrap, "pip_install", interrupted)
    with pytest.raises(bootstrap.Problem):
        bootstrap.ensure("lab")
    assert "Bringing .venv to the pinned versions." in capsys.readouterr().out
    assert not made, "a whole environment is only updated"
    assert not bootstrap.stamped("lab")
    monkeypatch.setattr(bootstrap, "pip_install", lambda extra, start: None)
    bootstrap.ensure("lab")
    assert len(made) == 1
    assert bootstrap.stamped("lab")
    bootstrap.ensure("lab")
    assert len(made) == 1


def test_an_environment_that_was_moved_or_made_by_hand(bootstrap, monkeypatch):
    made = []
    monkeypatch.setattr(bootstrap, "works", lambda python: True)
    monkeypatch.setattr(bootstrap, "make_empty", made.append)
    monkeypatch.setattr(bootstrap, "pip_install", lambda extra, start: None)
    stamp(bootstrap)
    Path(bootstrap.STAMP).unlink()
    bootstrap.ensure("lab")
    assert not made, "somebody's own .venv is completed, not removed"
    stamp(bootstrap, root="/somewhere/else")
    bootstrap.ensure("lab")
    assert len(made) == 1


@pytest.mark.skipif(os.name == "nt", reason="no lock there")
def test_two_commands_do_not_install_at_once(bootstrap, monkeypatch, capsys):
    import threading

    held, finish = threading.Event(), threading.Event()

    def first():
        with bootstrap.one_at_a_time():
            held.set()
            finish.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    threading.Timer(0.3, finish.set).start()
    with bootstrap.one_at_a_time():
        assert finish.is_set()
    thread.join(10)
    assert "waiting for it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("WARNING: Temporary failure in name resolution\nERROR: No matching distribution\n", "Is this machine on the network?"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "The disk became full"),
        ("SSLError: CERTIFICATE_VERIFY_FAILED\nERROR: no\n", "certificate is not trusted"),
        ("Collecting a\nERROR: Cannot install a and b\n  the conflict is: c\n", "pip could not install the course (exit code 1)"),
    ],
)  # fmt: skip
def test_pips_failure_is_explained_and_shown_in_full(bootstrap, output, cause):
    message = bootstrap.explain_pip(output.splitlines(keepends=True), 1)
    assert cause in message
    assert output.splitlines()[-1] in message, "pip's own last line"


def test_stages_show_little_where_there_is_no_terminal(bootstrap, capsys):
    shown = bootstrap.Stages(start=0)
    for number in range(50):
        shown.see(f"Collecting package{number}>=1\n")
        shown.see(f"  Downloading package{number}-1.0-py3-none-any.whl (10 kB)\n")
    shown.see("  Downloading torch-2.13.0-cp311.whl (178.9 MB)\n")
    shown.see("Installing collected packages: a, b, c\n")
    shown.end()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3, lines
    assert "downloading torch (178.9 MB)" in lines[1]
    assert "installing 3 packages" in lines[2]


def test_the_cpu_index_is_used_only_where_it_helps(bootstrap, monkeypatch, capsys):
    class Answer:
        def close(self):
            pass

    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Linux")
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(bootstrap.os.path, "exists", lambda path: False)
    monkeypatch.setattr(bootstrap.urllib.request, "urlopen", lambda *a, **k: Answer())
    assert bootstrap.extra_index() == ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    assert "CPU build" in capsys.readouterr().out

    def silent(*a, **k):
        raise OSError

    monkeypatch.setattr(bootstrap.urllib.request, "urlopen", silent)
    assert bootstrap.extra_index() == []
    assert "does not answer" in capsys.readouterr().out
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert bootstrap.extra_index() == [], "a machine with a GPU keeps what pip finds"
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Darwin")
    assert bootstrap.extra_index() == []


def test_every_requirement_is_pinned_exactly_and_no_gpu_package_is():
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    pinned = {}
    for line in lines:
        match = re.fullmatch(r"([a-z0-9][a-z0-9.-]*)==([\w.]+)( ; .+)?", line)
        assert match, f"not an exact pin: {line!r}"
        pinned[match[1]] = match[2]
    assert pinned["torch"] == "2.13.0"
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]
    from packaging.requirements import Requirement
    from packaging.version import Version

    text = (ROOT / "pyproject.toml").read_bytes().decode()
    import tomllib

    project = tomllib.loads(text)["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(r) for group in groups for r in group):
        if requirement.name != project["name"]:
            assert requirement.name.lower() in pinned, f"{requirement.name} is not in constraints.txt"
            assert Version(pinned[requirement.name.lower()]) in requirement.specifier


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_what_runs_here_is_what_is_pinned():
    """This environment has exactly the pinned versions (so that the tests speak of what learners get)."""
    import importlib.metadata

    pinned = dict(
        re.match(r"([a-z0-9.-]+)==([\w.]+)", x).groups()
        for x in (ROOT / "constraints.txt").read_text().splitlines()
        if re.match(r"[a-z0-9]", x)
    )
    for name in ("torch", "transformers", "numpy", "jupyterlab", "ipywidgets", "bertviz", "nbval", "ruff", "mypy"):
        assert importlib.metadata.version(name).split("+")[0] == pinned[name], name


def test_the_scripts_are_sound():
    for script in (".ci/run", "binder/postBuild"):
        assert subprocess.run(["bash", "-n", ROOT / script], check=False).returncode == 0
        assert os.access(ROOT / script, os.X_OK)
    assert "torch==2.13.0+cpu" in (ROOT / "binder" / "requirements.txt").read_text()
    assert (ROOT / "binder" / "runtime.txt").read_text().strip() in ("python-3.11", "python-3.12", "python-3.13")
