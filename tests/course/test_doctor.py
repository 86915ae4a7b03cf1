"""`lab doctor`: every row is found by trying, each failure has a line that mends it, and one broken check stops no other."""

import builtins
import importlib.metadata
import subprocess
import sys
import threading
import time

import pytest

from lablib.course import device, doctor


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def rows(report):
    return {row.name: row for row in report.rows}


def test_here_the_labs_can_run():
    report = doctor.examine()
    assert report.ok, report
    assert [row.name for row in report.rows] == [name for name, _ in doctor.CHECKS]
    text = repr(report)
    assert len(text.splitlines()) <= 32, "one screen"
    assert "GFLOP/s" in rows(report)["Training"].found
    assert "The labs can run here." in text
    assert report._repr_html_().count("<tr>") == len(doctor.CHECKS)


def test_without_torch_it_says_how_to_get_it_and_goes_on(monkeypatch):
    real = builtins.__import__

    def no_torch(name, *args, **kwargs):
        if name == "torch":
            raise OSError("libtorch_cpu.so: file too short")
        return real(name, *args, **kwargs)

    device.choose.cache_clear()
    monkeypatch.setattr(builtins, "__import__", no_torch)
    report = doctor.examine()
    assert not report.ok
    torch = rows(report)["PyTorch"]
    assert torch.status == "problem"
    assert "libtorch_cpu.so: file too short" in torch.found
    assert "pip install" in torch.mend
    assert "torch" in torch.mend
    assert rows(report)["Training"].found == "could not be found out (needs PyTorch)"
    assert rows(report)["Disk"].status == "ok"
    assert "Something must be mended first: PyTorch" in repr(report)


def test_a_check_that_breaks_becomes_a_row(monkeypatch):
    def broken():
        raise RuntimeError("odd machine")

    monkeypatch.setattr(doctor, "CHECKS", (("Python", doctor.check_python), ("Odd", broken)))
    assert rows(doctor.examine())["Odd"].found == "could not be found out (RuntimeError: odd machine)"


def test_too_little_memory_is_a_problem_and_a_full_one_a_note(monkeypatch):
    monkeypatch.setattr(device, "memory", lambda: (int(0.9e9), int(1.0e9)))
    assert doctor.check_memory().status == "problem"
    monkeypatch.setattr(device, "memory", lambda: (int(0.9e9), int(8e9)))
    assert (doctor.check_memory().status, "close other programs" in doctor.check_memory().mend) == ("note", True)
    monkeypatch.setattr(device, "memory", lambda: (int(6e9), int(8e9)))
    assert doctor.check_memory() == doctor.Row("Memory", "ok", "6.0 GB free of 8.0")


def test_a_wrong_profile_is_a_problem(monkeypatch):
    monkeypatch.setenv("LABLIB_PROFILE", "huge")
    row = doctor.check_profile()
    assert row.status == "problem"
    assert "'huge'" in row.found
    assert row.mend == "unset LABLIB_PROFILE"


def test_without_jupyterlab_it_says_how_to_get_it(monkeypatch):
    def none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", none)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    assert doctor.check_jupyterlab().status == "problem"
    assert "pip install" in doctor.check_jupyterlab().mend
    assert doctor.check_widgets().status == "note"


def test_the_network_is_asked_for_two_seconds_at_most(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    released = threading.Event()

    def hang(*args, **kwargs):
        released.wait(30)
        raise TimeoutError

    monkeypatch.setattr(doctor.urllib.request, "urlopen", hang)
    start = time.perf_counter()
    row = doctor.check_network()
    assert time.perf_counter() - start < doctor.HUB_SECONDS + 1
    assert row.status == "note"
    assert "the labs run without it" in row.found
    released.set()


def test_an_unknown_check_is_named():
    with pytest.raises(ValueError, match=r"only = .'Torch'.: expected names among Python, "):
        doctor.examine(("Torch",))


def test_the_exit_code_tells(monkeypatch, capsys):
    assert doctor.main() == 0
    monkeypatch.setenv("LABLIB_PROFILE", "huge")
    assert doctor.main() == 1
    assert "✗ Profile" in capsys.readouterr().out


def test_it_runs_from_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "lablib.course.cli", "doctor"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ PyTorch" in done.stdout
