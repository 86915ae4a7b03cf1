"""`lab manifest`: sums follow the files, and what a person said of them stays."""

import hashlib
import json

import pytest

from lablib.course import manifest


@pytest.fixture
def data(tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "words.txt").write_bytes(b"owl\n")
    (tmp_path / "model.bin").write_bytes(b"\x00\x01")
    (tmp_path / ".hidden").write_text("no")
    return tmp_path


def read(data):
    return json.loads((data / "manifest.json").read_text(encoding="utf-8"))["files"]


def test_new_files_get_what_is_said_of_them(data):
    assert manifest.renew(data, "lab train base", "CC0-1.0") == [
        "new      model.bin (CC0-1.0, lab train base)",
        "new      world/words.txt (CC0-1.0, lab train base)",
    ]
    assert read(data)["world/words.txt"] == {
        "sha256": hashlib.sha256(b"owl\n").hexdigest(),
        "bytes": 4,
        "licence": "CC0-1.0",
        "made_by": "lab train base",
    }


def test_known_files_keep_their_words_and_get_new_sums(data):
    manifest.renew(data, "lab train base", "CC0-1.0")
    (data / "model.bin").write_bytes(b"\x02")
    (data / "world" / "words.txt").unlink()
    (data / "more.toml").write_text("x = 1\n")
    assert manifest.renew(data) == [
        "changed  model.bin",
        "new      more.toml (MIT, authored by hand)",
        "gone     world/words.txt",
    ]
    assert read(data)["model.bin"]["made_by"] == "lab train base"
    assert read(data)["model.bin"]["sha256"] == hashlib.sha256(b"\x02").hexdigest()
    assert sorted(read(data)) == ["model.bin", "more.toml"]
    assert manifest.renew(data) == []


@pytest.mark.parametrize("broken", ["{", "{}"])
def test_a_broken_manifest_is_named_and_left_alone(data, broken):
    (data / "manifest.json").write_text(broken)
    with pytest.raises(ValueError, match=r"manifest\.json is no manifest .* restore it"):
        manifest.renew(data)
    assert (data / "manifest.json").read_text() == broken
