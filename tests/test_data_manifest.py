"""Every file that the course carries is listed with where it comes from, and is what the list says."""

import hashlib
import json
from pathlib import Path

import pytest

from lablib.paths import data_path

MANIFEST = json.loads(data_path("manifest.json").read_text(encoding="utf-8"))["files"]
DATA = data_path("manifest.json").parent


def carried_files() -> list[str]:
    return sorted(
        str(path.relative_to(DATA).as_posix())
        for path in DATA.rglob("*")
        if path.is_file() and path.name != "manifest.json" and not path.name.startswith(".")
    )


def test_every_file_is_listed_and_every_listed_file_is_there():
    assert sorted(MANIFEST) == carried_files()


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_listed_facts_are_true(name):
    entry, content = MANIFEST[name], Path(DATA / name).read_bytes()
    assert set(entry) == {"sha256", "bytes", "licence", "made_by"}
    assert entry["bytes"] == len(content)
    assert entry["sha256"] == hashlib.sha256(content).hexdigest(), f"data/{name} changed: run `lab manifest`"
    assert entry["licence"]
    assert entry["made_by"]
