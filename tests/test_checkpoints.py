"""The course's models by name: the learner's own before the course's, and what is wrong is said."""

import json
import shutil

import pytest
import torch

from lablib import checkpoints, paths
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.llama_format import save_llama
from lablib.tokens import course_tokenizer


@pytest.fixture(autouse=True)
def course(monkeypatch, tmp_path):
    """A course that carries a small model, and a learner who has made nothing yet."""
    monkeypatch.setenv("LABLIB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABLIB_CHECKPOINTS", raising=False)
    monkeypatch.setattr(paths, "share_path", lambda: tmp_path / "course")
    put(tmp_path / "course" / "data" / "checkpoints" / "base", mine=False)
    shutil.copy(TOKENIZER, tmp_path / "course" / "data" / "tokenizer.json")


TOKENIZER = paths.data_path("tokenizer.json")


def put(folder, mine, V=course_tokenizer.SIZE):
    model = Decoder(DecoderConfig(V=V, D=8, H=1, L=1, hidden=8))
    save_llama(model, folder, torch.float16)
    (folder / checkpoints.RECORD).write_text(json.dumps({"name": "base", "mine": mine}))
    return model


def own(name="base", V=course_tokenizer.SIZE):
    return put(checkpoints.own_path(name), mine=True, V=V)


def test_a_model_comes_ready_to_use():
    base = checkpoints.load("base")
    assert base.origin == "the course's base"
    assert not base.record["mine"]
    assert base.model.embedding.weight.dtype == torch.float32
    assert not base.model.training
    assert base.model.config.V == base.tokenizer.V


def test_the_learners_own_comes_first_unless_it_is_passed_by(monkeypatch):
    model = own()
    mine = checkpoints.load("base")
    assert mine.record["mine"]
    assert str(checkpoints.own_path("base")) in mine.origin
    torch.testing.assert_close(mine.model.embedding.weight, model.embedding.weight.half().float())
    monkeypatch.setenv("LABLIB_CHECKPOINTS", "carried")
    assert checkpoints.load("base").origin == "the course's base"


def test_an_unfinished_folder_of_the_learners_is_not_taken():
    own()
    (checkpoints.own_path("base") / checkpoints.RECORD).unlink()
    assert checkpoints.load("base").origin == "the course's base"


def test_what_is_wrong_is_named():
    with pytest.raises(FileNotFoundError, match=r"name = 'bass': no such model .* expected one of .*base"):
        checkpoints.load("bass")
    own(V=300)
    with pytest.raises(ValueError, match="vocabulary of V = 300: expected 4096"):
        checkpoints.load("base")
    shutil.rmtree(checkpoints.own_path("base"))
    assert checkpoints.load("base").record
