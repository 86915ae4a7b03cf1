"""Shards: what is written is read, and nothing else is."""

import errno
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.pretraining import atomic, shards
from lablib.pretraining.shards import HEADER, ShardError, open_shard, write_shard, write_texts


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 70_000), max_size=20), max_size=20), st.sampled_from([65_536, 70_001]))
def test_tokens_come_back(tmp_path_factory, documents, V):
    path = tmp_path_factory.mktemp("shard") / "a.bin"
    ids = [token for document in documents for token in document]
    if not ids or max(ids) >= V:
        with pytest.raises(ValueError, match="documents hold"):
            write_shard(path, documents, V)
        assert not list(path.parent.iterdir())
        return
    write_shard(path, documents, V)
    found = open_shard(path, V)
    assert found.tokens.tolist() == ids
    assert len(found) == len(ids)
    assert found.tokens.dtype.itemsize == (2 if V <= 65_536 else 4)
    # an independent reading: the header is JSON, what follows is a bare array
    content = path.read_bytes()
    header = json.loads(content[:HEADER])
    raw = np.frombuffer(content[HEADER:], dtype=header["dtype"])
    assert raw.tolist() == ids
    assert header["sha256"] == hashlib.sha256(content[HEADER:]).hexdigest() == found.sha256
    assert (header["vocabulary"], header["count"]) == (V, len(ids))


def test_more_tokens_than_the_buffer_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BUFFER", 10)
    ids = list(range(95))
    found = write_shard(tmp_path / "a.bin", (ids[i : i + 7] for i in range(0, 95, 7)), 100)
    assert found.tokens.tolist() == ids
    assert open_shard(found.path).tokens.tolist() == ids


def test_texts_are_encoded_closed_and_their_bytes_counted(tmp_path):
    found = write_texts(tmp_path / "a.bin", ["abc", "é"], lambda text: [ord(letter) for letter in text], 300, end=0)
    assert found.tokens.tolist() == [0, 97, 98, 99, 0, 233, 0]
    assert found.text_bytes == 5
    assert open_shard(found.path).text_bytes == 5


def test_the_courses_tokenizer_fits(tmp_path):
    from lablib.tokens import course_tokenizer

    tokenizer = course_tokenizer.load()
    found = write_texts(
        tmp_path / "a.bin", ["Hello there."], tokenizer.encode, tokenizer.V, tokenizer.special["<|eos|>"]
    )
    assert tokenizer.decode(found.tokens.tolist(), skip_special=True) == "Hello there."


def damaged(tmp_path, change) -> "shards.Path":
    path = write_shard(tmp_path / "a.bin", [[1, 2, 3, 4]], 10).path
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:-2], "518 bytes: expected 520.*cut short"),
        (lambda c: c[:100], "no token shard"),
        (lambda c: c + b"x", "521 bytes: expected 520"),
        (lambda c: c[:-1] + b"\x01", "SHA-256.*it was changed"),
        (lambda c: np.arange(4000, dtype=np.uint16).tobytes(), "no token shard.*nanoGPT"),
        (lambda c: b"[1, 2]".ljust(HEADER) + c[HEADER:], "no token shard"),
        (lambda c: c.replace(b'"version": 1', b'"version": 2'), "version 2 of the format: expected 1"),
        (lambda c: c.replace(b'"uint16"', b'"uint64"'), "damaged header"),
        (lambda c: c.replace(b'"count": 4', b'"amount":4'), "damaged header"),
        (lambda c: b"", "no token shard"),
    ],
)
def test_what_is_no_whole_shard_has_one_clear_error(tmp_path, change, message):
    path = damaged(tmp_path, change)
    with pytest.raises(ShardError, match=message) as caught:
        open_shard(path)
    assert str(path) in str(caught.value)


def test_another_vocabulary_and_a_missing_file(tmp_path):
    path = write_shard(tmp_path / "a.bin", [[1]], 10).path
    with pytest.raises(ShardError, match=r"vocabulary of 10: expected V = 12"):
        open_shard(path, V=12)
    with pytest.raises(FileNotFoundError, match="no such file; expected a shard"):
        open_shard(tmp_path / "b.bin")


def test_a_source_that_breaks_off_or_a_full_disk_leave_the_old_shard(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "a.bin", [[1, 2]], 10).path
    before = path.read_bytes()

    def breaking():
        yield [3]
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_shard(path, breaking(), 10)

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_shard(path, [[4]], 10)
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("V", [0, -1, 2**32 + 1])
def test_no_vocabulary(tmp_path, V):
    with pytest.raises(ValueError, match=f"V = {V}"):
        write_shard(tmp_path / "a.bin", [[0]], V)
