"""The `lab` command, run as a learner runs it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lablib import paths
from lablib.course import cli

LAB = [sys.executable, "-m", "lablib.course.cli"]


def lab(*arguments, **environment):
    return subprocess.run(
        [*LAB, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        check=False,
    )


def test_help_comes_without_torch():
    done = lab("--help")
    assert done.returncode == 0
    for command in (
        "notebook",
        "start",
        "list",
        "progress",
        "doctor",
        "shards",
        "pretrain",
        "write",
        "train",
        "build",
        "manifest",
    ):
        assert command in done.stdout
    code = "import sys; from lablib.course import cli; cli._parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_command_shows_the_help_and_fails(capsys):
    assert cli.main([]) == 2
    assert "lab notebook" in capsys.readouterr().out


def test_start_says_where_the_copy_is_and_what_to_do_next(tmp_path):
    done = lab("start", "02", LABLIB_WORK=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Your copy: " in done.stdout
    assert re.search(r"Next: `.*lab notebook 02`", done.stdout)
    assert (tmp_path / "02_attention.ipynb").read_bytes() == (paths.labs_path() / "02_attention.ipynb").read_bytes()
    again = lab("start", "02", LABLIB_WORK=str(tmp_path))
    assert "nothing was changed" in again.stdout
    assert "Next:" not in again.stdout


def test_fresh_asks_on_a_terminal_and_takes_no_for_an_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABLIB_WORK", str(tmp_path))
    assert cli.main(["start", "02"]) == 0
    copy = tmp_path / "02_attention.ipynb"
    copy.write_text("mine")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    assert cli.main(["start", "02", "--fresh"]) == 1
    assert copy.read_text() == "mine"
    assert "Nothing was changed" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert cli.main(["start", "02", "--fresh"]) == 0
    assert copy.read_text() != "mine"
    assert [p.read_text() for p in tmp_path.iterdir() if p != copy] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", "99"), "lab '99' is not in the course"),
        (("start", "17"), "still in the making"),
        (("notebook", "x!"), "'x!'"),
    ],
)
def test_a_wrong_lab_is_one_clear_message(arguments, message):
    done = lab(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unwritable_work_folder_is_one_clear_message(tmp_path):
    (tmp_path / "file").write_text("")
    done = lab("start", "02", LABLIB_WORK=str(tmp_path / "file" / "work"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_list_and_progress(tmp_path):
    listed = lab("list").stdout
    assert "02  Attention" in listed
    assert listed.count("\n") == 18
    done = lab("progress", LABLIB_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "02" in done.stdout


def test_build_of_an_unknown_lab_is_one_clear_message():
    done = lab("build", "--check", "77")
    assert done.returncode == 1
    assert "lab '77' has no source in solutions/" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_notebook_serves_jupyterlab_from_the_root_with_our_settings(tmp_path):
    """Token and loopback kept; the README is below the root; no news, Markdown opens rendered; Ctrl-C ends it."""
    home = {
        "HOME": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "c"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "r"),
    }
    process = subprocess.Popen(
        [*LAB, "notebook", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | home,
    )
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("open: "))
        address = line.removeprefix("open: ").strip()
        found = re.fullmatch(
            r"(http://(?:127\.0\.0\.1|localhost):\d+)/lab/tree/labs/00_welcome\.ipynb\?token=(\w{20,})", address
        )
        assert found, address
        base, token = found.groups()

        def get(path: str, with_token: bool = True) -> str:
            headers = {"Authorization": f"token {token}"} if with_token else {}
            with urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=20) as answer:
                return answer.read().decode()

        assert "JupyterLab" in get("/lab")
        assert '"README.md"' in get("/api/contents/README.md?content=0")
        settings = get("/lab/api/settings/@jupyterlab/apputils-extension:notification")
        assert '"default": "false"' in settings.replace('\\"', '"') or '"fetchNews": "false"' in settings.replace(
            '\\"', '"'
        )
        viewers = get("/lab/api/settings/@jupyterlab/docmanager-extension:plugin")
        assert "Markdown Preview" in viewers
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get("/api/contents/README.md", with_token=False)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert not list((tmp_path / "c").glob("**/*.jupyterlab-settings")), "the learner's own settings are left alone"
    assert Path(cli.__file__).with_name("jupyter").joinpath("overrides.json").is_file()
