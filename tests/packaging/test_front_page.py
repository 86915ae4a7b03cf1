"""README, CITATION and the links: what they say is what is there."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from lablib.course import catalogue, launch

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}


def test_readme_lists_every_ready_lab_with_its_own_links():
    for lab in catalogue.LABS:
        row = next((line for line in README.splitlines() if line.startswith(f"| [{lab.number} ")), "")
        assert bool(row) == lab.ready, f"lab {lab.number}: README and labs/ disagree"
        if row:
            stem = lab.file.removesuffix(".ipynb")
            assert row.startswith(f"| [{lab.number} {lab.title}](labs/{lab.file}) | {lab.builds} | {lab.minutes} min |")
            assert f"[Colab]({launch.colab_link(stem)}) · [Binder]({launch.binder_link(stem)})" in row


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), f"{page} links to {target}, which is not there"


def test_links_open_labs_that_are_there():
    targets = re.findall(r"/blob/main/(labs/[^)]+)\)", README) + re.findall(r"lab%2Ftree%2F([^)]+)\)", README)
    assert len(targets) >= 6
    for target in targets:
        assert (ROOT / unquote(target)).is_file(), target


def test_owner_and_name_are_the_same_everywhere():
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"repository-code: {address}\n" in citation
    assert f"\nversion: {version}\n" in citation
    owner_and_name = address.removeprefix("https://github.com/")
    for text in PAGES.values():
        for found in re.findall(r"(?:github\.com/|/github/|/gh/)([\w.-]+/[\w.-]+)", text):
            assert found == owner_and_name
    assert "## Start\n" in README, "the Colab cell's message points to #start"


def test_a_wrong_address_is_refused(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/x"\n')
    monkeypatch.setattr(launch.paths, "share_path", lambda: tmp_path)
    launch.repository.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"'https://example.org/x'; expected https://github.com/OWNER/NAME"):
            launch.repository()
    finally:
        launch.repository.cache_clear()


def test_commands_in_the_pages_exist():
    from lablib.course import cli

    actions = [a for a in cli._parser()._actions if hasattr(a, "choices") and a.choices]
    known = {name for action in actions for name in action.choices}
    for text in PAGES.values():
        for name in re.findall(r"`(?:\.venv/bin/)?lab ([a-z]+)", text):
            assert name in known, f"`lab {name}` is no command"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for name in re.findall(r"`?make ([a-z]+)\b", README):
        assert name in targets
