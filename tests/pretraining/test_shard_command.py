"""Shards from the command line: every source of text, what is held out, and one line for what is wrong."""

import hashlib
import math
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from lablib.corpus.sources.fixtures import fixture
from lablib.corpus.world import World
from lablib.pretraining import shard_command, shards
from lablib.pretraining.shards import open_shard
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

STORIES = "One day it rained.\n<|endoftext|>\nThe bear slept.\n<|endoftext|>\n\n<|endoftext|>\nThe end of it all.\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return course_tokenizer.load()


def texts_in(path: Path, tokenizer: Tokenizer, end: str = "<|bos|>") -> list[str]:
    """What a shard holds, read back without the code that wrote it."""
    ids, border = open_shard(path).tokens.tolist(), tokenizer.special[end]
    assert ids[0] == ids[-1] == border
    texts, rest = [], ids[1:]
    while rest:
        stop = rest.index(border)
        texts.append(tokenizer.decode(rest[:stop]))
        rest = rest[stop + 1 :]
    return texts


def test_the_world_and_its_floor(tmp_path, tokenizer, capsys):
    train, held = tmp_path / "new" / "train.bin", tmp_path / "new" / "held.bin"
    given = ["--world", "60", "--out", str(train), "--held-out", str(held), "--share", "0.1"]
    assert shard_command.main(given) == 0
    said = capsys.readouterr().out.splitlines()
    learned, judged = texts_in(train, tokenizer), texts_in(held, tokenizer)
    assert len(learned) == 60
    assert len(judged) == 6
    assert learned == [d.text for d in islice(World().documents(Random("training 0")), 60)]
    world = World()
    nats = -sum(world.log_prob(text) for text in judged)
    counts = sum(len(tokenizer.encode(text)) + 1 for text in judged)
    size = sum(len(text.encode()) for text in judged)
    assert said[-1] == (
        f"no model does better there than {nats / counts:.4f} nats per token, {nats / math.log(2) / size:.4f} bits per byte"
    )
    assert said[0].startswith(f"{train}: 60 documents, {len(open_shard(train)):,} tokens, ")
    assert open_shard(held).text_bytes == size
    before = train.read_bytes()
    assert shard_command.main([*given, "--seed", "1"]) == 0
    assert train.read_bytes() != before
    assert shard_command.main(given) == 0
    assert train.read_bytes() == before


def test_files_are_cut_where_documents_end(tmp_path, tokenizer, capsys):
    (tmp_path / "a.txt").write_text(STORIES, encoding="utf-8")
    (tmp_path / "b.txt").write_text("naïve 猫", encoding="utf-8")
    files = ["--texts", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--out", str(tmp_path / "t.bin")]
    assert shard_command.main(files) == 0
    assert texts_in(tmp_path / "t.bin", tokenizer) == [
        "One day it rained.",
        "The bear slept.",
        "The end of it all.",
        "naïve 猫",
    ]
    assert "4 documents" in capsys.readouterr().out
    assert shard_command.main([*files, "--limit", "1"]) == 0
    assert texts_in(tmp_path / "t.bin", tokenizer) == ["One day it rained."]


def test_what_is_held_out_is_never_learned(tmp_path, tokenizer):
    """Each document on one side, equal ones on the same side, about the share that was asked for."""
    documents = [f"Story number {i % 700}." for i in range(1000)]
    (tmp_path / "a.txt").write_text("<|endoftext|>".join(documents), encoding="utf-8")
    out, held = tmp_path / "train.bin", tmp_path / "held.bin"
    given = ["--texts", str(tmp_path / "a.txt"), "--out", str(out), "--held-out", str(held)]
    assert shard_command.main([*given, "--share", "0.3"]) == 0
    learned, judged = texts_in(out, tokenizer), texts_in(held, tokenizer)
    assert sorted(learned + judged) == sorted(documents)
    assert not set(learned) & set(judged)
    assert abs(len(set(judged)) / 700 - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 700)
    digest = hashlib.sha256(documents[0].encode()).hexdigest()
    assert (documents[0] in judged) == (int(digest[:16], 16) / 16**16 < 0.3)


def test_the_crawl_and_a_public_source(tmp_path, tokenizer, capsys):
    out = tmp_path / "t.bin"
    assert shard_command.main(["--crawl", "--limit", "3", "--out", str(out)]) == 0
    assert len(texts_in(out, tokenizer)) == 3
    stories = ["--source", "tinystories", "--files", str(fixture("tinystories")), "--out", str(out)]
    assert shard_command.main(stories) == 0
    many = len(texts_in(out, tokenizer))
    assert many > 2
    assert shard_command.main([*stories, "--limit", "2"]) == 0
    assert len(texts_in(out, tokenizer)) == 2
    assert capsys.readouterr().out.count("\n") == 3


def test_a_tokenizer_of_ones_own(tmp_path):
    own = Tokenizer.train(["the cat and the hat"] * 3, 270, special=["<|endoftext|>"])
    own.save(tmp_path / "own.json")
    (tmp_path / "a.txt").write_text("the cat", encoding="utf-8")
    given = [
        "--texts",
        str(tmp_path / "a.txt"),
        "--out",
        str(tmp_path / "t.bin"),
        "--tokenizer",
        str(tmp_path / "own.json"),
    ]
    assert shard_command.main([*given, "--end", "<|endoftext|>"]) == 0
    assert texts_in(tmp_path / "t.bin", own, "<|endoftext|>") == ["the cat"]
    assert open_shard(tmp_path / "t.bin").V == own.V
    assert shard_command.main(given) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--texts", "nowhere.txt"], "nowhere.txt"),
        (["--texts", "bytes.txt"], "a document holds zero bytes: expected text"),
        (["--texts", "a.txt", "--files", "a.txt"], "--files is for --source: expected it only there"),
        (["--texts", "blank.txt"], "no text was found: expected at least one document"),
        (["--texts", "a.txt", "--held-out", "h.bin"], "no document was kept back for h.bin: expected more documents"),
        (["--texts", "a.txt", "--held-out", "t.bin"], "--held-out t.bin: expected another file than --out"),
        (["--texts", "a.txt", "--share", "1.5"], "--share 1.5: expected a share"),
        (["--texts", "a.txt", "--limit", "0"], "--limit 0: expected at least 1"),
        (["--texts", "a.txt", "--end", "<|stop|>"], "--end <|stop|>: expected a special token of the tokenizer, one of <|bos|>"),
        (["--texts", "a.txt", "--tokenizer", "a.txt"], "a.txt"),
        (["--world", "0"], "--world 0: expected at least 1"),
        (["--source", "nope"], "source = 'nope': expected one of 'common-crawl'"),
        (["--source", "dolly", "--files", str(fixture("dolly"))], "source = 'dolly': expected one of 'common-crawl'"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_code_2(tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("only one", encoding="utf-8")
    Path("blank.txt").write_text(" \n", encoding="utf-8")
    Path("bytes.txt").write_bytes(b"ab\xff\x00")
    Path("kept.bin").write_text("what stood there")
    out = [] if "t.bin" in change or "h.bin" in change else ["--out", "kept.bin"]
    assert shard_command.main([*(out or ["--out", "t.bin"]), *change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert Path("kept.bin").read_text() == "what stood there"


def test_no_network_is_one_line(tmp_path, monkeypatch, capsys):
    from lablib.corpus.sources import SourceUnavailable

    def unreachable(*given, **keywords):
        raise SourceUnavailable("'c4' needs huggingface.co")

    monkeypatch.setattr(shard_command, "texts_of", unreachable)
    assert shard_command.main(["--source", "c4", "--out", str(tmp_path / "t.bin")], prog="lab shards") == 2
    assert capsys.readouterr().err == "lab shards: 'c4' needs huggingface.co\n"


def test_ctrl_c_leaves_no_half_shard(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shards, "BUFFER", 10)

    def pressed(text, share):
        if text.startswith("3"):
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(shard_command, "held_out", pressed)
    (tmp_path / "a.txt").write_text(
        "<|endoftext|>".join(f"{i} is a number of a story" for i in range(6)), encoding="utf-8"
    )
    given = ["--texts", str(tmp_path / "a.txt"), "--out", str(tmp_path / "t.bin")]
    assert shard_command.main([*given, "--held-out", str(tmp_path / "h.bin")]) == 130
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]
    assert "stopped" in capsys.readouterr().err
