"""Where the course's own files and the learner's files are.

In a checkout the course's files stand in `data/` and `labs/` at the root; an installed wheel carries the same
folders inside the package. Labs never use a path relative to the notebook, so that a copy in any folder runs.
"""

import os
from pathlib import Path

import platformdirs

APP_NAME = "data-to-dialogue"
_PACKAGE = Path(__file__).resolve().parent


def project_root() -> Path | None:
    """The checkout that this package runs from, or None when it was installed as a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "solutions").is_dir() else None


def share_path() -> Path:
    """The folder that holds `data/`, `labs/` and `pyproject.toml`: the checkout, or the wheel's copy."""
    return project_root() or _PACKAGE / "_share"


def data_path(name: str) -> Path:
    """One file of the course's data folder.

    Raises:
        FileNotFoundError: names the file and says what to do.
    """
    path = share_path() / "data" / name
    if not path.exists():
        raise FileNotFoundError(
            f"the course's data file {name!r} is not at {path}; expected it beside the package: "
            "reinstall with `pip install --force-reinstall --no-deps data-to-dialogue`, "
            "or in a checkout `git checkout -- data`"
        )
    return path


def labs_path() -> Path:
    """The folder of the labs as learners get them (blank notebooks)."""
    return share_path() / "labs"


def user_dir() -> Path:
    """Where a learner's kept answers live; `LABLIB_HOME` overrides it. Made when missing."""
    home = os.environ.get("LABLIB_HOME")
    path = Path(home).expanduser() if home else Path(platformdirs.user_data_dir(APP_NAME, appauthor=False))
    path.mkdir(parents=True, exist_ok=True)
    return path


def short(path: Path) -> str:
    """A path without what every path here begins with: the checkout's root, or the home folder (`~`)."""
    for start, sign in ((project_root(), ""), (Path.home(), "~/")):
        if start and start in path.parents:
            return sign + path.relative_to(start).as_posix()
    return str(path)
