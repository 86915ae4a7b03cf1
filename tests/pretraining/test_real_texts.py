"""Text from a source into a folder: every document once, nothing twice, nothing lost when a stream, a disk or a process fails."""

import errno
import json
import random
import sys
from itertools import islice

import pytest
import tokenizers

from lablib.corpus.sources import SourceUnavailable
from lablib.corpus.sources.fixtures import fixture
from lablib.corpus.world import World
from lablib.pretraining import real_texts, text_source
from lablib.pretraining.real_texts import END, EVERY, HELD_OUT, STATE, TOKENIZER, begin, gather, open_texts, read_state
from lablib.pretraining.shards import ShardError
from lablib.pretraining.text_source import Reading, texts_of

V, FIRST = 300, 20_000


def world_documents(n: int) -> list[str]:
    return [document.text for document in islice(World().documents(random.Random(0), "train"), n)]


DOCUMENTS = world_documents(400)  # 100 KB


@pytest.fixture
def source(monkeypatch):
    """A source "world" of 400 documents, which raises `failures[n]` instead of its n-th one, once; and small shards."""
    failures: dict[int, Exception] = {}

    def texts(name, files=()):
        for i, text in enumerate(DOCUMENTS):
            if i in failures:
                raise failures.pop(i)
            yield text

    monkeypatch.setattr(real_texts, "texts_of", texts)
    monkeypatch.setattr(real_texts, "SHARD", 15_000)
    return failures


def whole(folder, tokens=10**9):
    texts, reading = begin(folder, "world", V=V, first=FIRST)
    return gather(texts, reading, tokens, 60)


def documents_in(shard, decode, end) -> list[str]:
    ids = shard.tokens.tolist()
    assert ids[0] == ids[-1] == end
    pieces: list[list[int]] = [[]]
    for token in ids[1:]:
        if token == end:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [decode(piece) for piece in pieces[:-1]]


def files_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------- what is written


def test_every_document_is_in_one_shard_and_reads_back_with_tokenizers(source, tmp_path):
    texts = whole(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / TOKENIZER))
    end = theirs.token_to_id(END)
    found = {shard.path.name: documents_in(shard, theirs.decode, end) for shard in (texts.held_out, *texts.train)}
    sizes = [len(text.encode()) for text in DOCUMENTS]
    first = next(n for n in range(len(sizes)) if sum(sizes[:n]) >= FIRST)
    assert found[HELD_OUT] == DOCUMENTS[:first:EVERY]
    learned = [text for name, texts in found.items() if name != HELD_OUT for text in texts]
    assert learned == [text for i, text in enumerate(DOCUMENTS) if i >= first or i % EVERY]
    assert len(texts.train) > 4
    assert [shard.text_bytes for shard in texts.train] == [
        sum(len(text.encode()) for text in found[shard.path.name]) for shard in texts.train
    ]
    assert texts.tokenizer.V == V
    assert texts.state.ended == "that is all the text there is"
    assert texts.tokens == sum(len(theirs.encode(text).ids) + 1 for text in learned) + len(texts.train)


def test_no_more_is_read_than_is_wanted(source, tmp_path):
    texts = whole(tmp_path, tokens=30_000)
    assert 30_000 <= texts.tokens < 32_000
    assert texts.state.documents < len(DOCUMENTS)
    assert texts.state.ended == ""


def test_no_shard_is_begun_when_the_time_is_over(source, tmp_path):
    texts, reading = begin(tmp_path, "world", V=V, first=FIRST)
    assert len(gather(texts, reading, 10**9, 0.0).train) == 1


# ---------------------------------------------------------------- what goes wrong


def test_taken_up_again_after_any_shard_it_ends_the_same(source, tmp_path):
    whole(tmp_path / "whole")
    for wanted in (10_000, 20_000, 20_000, 10**9):
        whole(tmp_path / "pieces", wanted)
    assert json.loads((tmp_path / "pieces" / STATE).read_text())["documents"] == len(DOCUMENTS)
    ours, theirs = (open_texts(tmp_path / name) for name in ("pieces", "whole"))
    # How the documents are spread over shards differs, for each call asked for so many tokens; they and their order do not.
    end = ours.tokenizer.special[END]
    joined = [
        [text for shard in texts.train for text in documents_in(shard, texts.tokenizer.decode, end)]
        for texts in (ours, theirs)
    ]
    assert joined[0] == joined[1]
    assert (tmp_path / "pieces" / HELD_OUT).read_bytes() == (tmp_path / "whole" / HELD_OUT).read_bytes()


def test_a_full_disk_at_any_write_loses_nothing(source, tmp_path, monkeypatch):
    shards = len(whole(tmp_path / "whole").state.shards)
    folder, real = tmp_path / "full", real_texts.write_texts

    def second_write_fails():
        writes = []

        def full(path, *rest):
            writes.append(path)
            if len(writes) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(real_texts, "write_texts", full)
            with pytest.raises(OSError, match="No space left on device"):
                whole(folder)

    second_write_fails()
    assert read_state(folder) is None  # of the first part only a half was written: it does not count
    begin(folder, "world", V=V, first=FIRST)
    for there in range(3, shards):  # each call writes one shard more
        second_write_fails()
        assert len(open_texts(folder).state.shards) == there
    assert shards > 5
    whole(folder)
    assert files_of(folder) == files_of(tmp_path / "whole")


def test_a_stream_that_breaks_off_leaves_what_came_before(source, tmp_path):
    source[250] = SourceUnavailable("'tinystories' needs huggingface.co: the line is dead")
    texts = whole(tmp_path)
    assert texts.state.documents == 250
    assert texts.state.ended == (
        "the stream broke off after 250 documents: 'tinystories' needs huggingface.co: the line is dead"
    )
    end = texts.tokenizer.special[END]
    found = [text for shard in texts.train for text in documents_in(shard, texts.tokenizer.decode, end)]
    assert found[-1] == DOCUMENTS[249]
    again, reading = begin(tmp_path, "world", V=V, first=FIRST)
    assert again.state == texts.state
    assert reading.take(1) == []


def test_a_packed_file_that_is_cut_in_half_gives_its_first_half(tmp_path):
    data = fixture("c4").read_bytes()
    path = tmp_path / "c4-train.00000-of-01024.json.gz"
    path.write_bytes(data[: len(data) // 2])
    found = list(texts_of("c4", [path]))
    assert found == list(texts_of("c4", [fixture("c4")]))[: len(found)]
    assert found


def test_with_no_network_a_line_says_what_is_missing_and_the_crawl_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said: list[str] = []
    texts, reading = begin(tmp_path, "tinystories", V=V, first=FIRST, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("'tinystories' needs huggingface.co (about 250 MB")
    assert "\n" not in said[0]
    assert (texts.state.asked, texts.state.source) == ("tinystories", "crawl")
    held_out = texts.tokenizer.decode(texts.held_out.tokens.tolist(), skip_special=True)
    assert held_out.startswith(next(texts_of("crawl"))[:200])
    again, _ = begin(tmp_path, "tinystories", V=V, first=FIRST, say=said.append)  # and says so once
    assert len(said) == 1
    assert again.state == texts.state
    assert reading.documents == texts.state.documents


def test_without_the_package_a_line_says_what_is_missing_and_the_crawl_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    said: list[str] = []
    texts, _ = begin(tmp_path, "tinystories", V=V, first=FIRST, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("the source 'tinystories' needs the package datasets: `pip install")
    assert texts.state.source == "crawl"


def test_files_that_cannot_be_read_are_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(text_source, "stream", lambda *_, **__: iter(_raising()))
    with pytest.raises(SourceUnavailable, match="needs the package datasets"):
        begin(tmp_path / "run", "c4", [fixture("c4")], V=V)


def _raising():
    raise SourceUnavailable("the source 'c4' needs the package datasets")
    yield


def test_a_folder_of_other_texts_is_refused(source, tmp_path):
    begin(tmp_path, "world", V=V, first=FIRST)
    before = files_of(tmp_path)
    with pytest.raises(
        ValueError, match=r"read otherwise \(there and here\): asked = 'world' and 'crawl'; V = 300 and 400\. Go on"
    ):
        begin(tmp_path, "crawl", V=400, first=FIRST)
    assert files_of(tmp_path) == before


def test_damage_in_the_folder_is_named(source, tmp_path):
    texts = whole(tmp_path)
    path = texts.train[1].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"train-00001\.bin has the SHA-256"):
        open_texts(tmp_path)
    path.write_bytes(texts.train[2].path.read_bytes())  # a good shard, but another one
    with pytest.raises(ShardError, match=r"train-00001\.bin is not the shard that texts\.json names"):
        open_texts(tmp_path)
    (tmp_path / STATE).write_text('{"format": "something else"}')
    with pytest.raises(ValueError, match=r"texts\.json cannot be used"):
        begin(tmp_path, "world", V=V, first=FIRST)
    with pytest.raises(ValueError, match=r"has no texts\.json"):
        open_texts(tmp_path / "nowhere")


def test_too_little_text_or_vocabulary_is_said(tmp_path):
    (tmp_path / "short.txt").write_text("One document only.")
    with pytest.raises(
        ValueError, match=r"source = 'text' gives 1 documents in its first 20,000 bytes: expected at least 2"
    ):
        begin(tmp_path / "run", "text", [tmp_path / "short.txt"], V=V, first=FIRST)
    with pytest.raises(ValueError, match=r"V = 256: expected at least 272"):
        begin(tmp_path / "run", "world", V=256)


# ---------------------------------------------------------------- sources


def test_a_wrong_source_is_said_at_once_with_the_right_ones():
    with pytest.raises(
        ValueError, match=r"source = 'tinystory': expected one of .*'tinystories', .*'crawl', 'world', 'text'"
    ):
        texts_of("tinystory")
    with pytest.raises(ValueError, match=r"source = 'dolly': expected one of"):
        texts_of("dolly")  # it has conversations


@pytest.mark.parametrize(
    ("source_name", "files", "wanted"),
    [("text", (), "files to read"), ("world", ("x",), "no files"), ("crawl", ("x",), "no files")],
)
def test_files_where_they_belong(source_name, files, wanted):
    with pytest.raises(ValueError, match=rf"source = '{source_name}' with files = .*: expected {wanted}"):
        texts_of(source_name, files)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"the file 'no_such\.txt' is not there"):
        texts_of("text", ["no_such.txt"])


def test_plain_files_are_cut_at_separators_or_between_paragraphs(tmp_path):
    (tmp_path / "stories.txt").write_text("One.\n<|endoftext|>\nTwo.\n\nStill two.\n<|endoftext|>")
    assert list(texts_of("text", [tmp_path / "stories.txt"])) == ["One.", "Two.\n\nStill two.", ""]
    book = "\n\n".join(f"Paragraph {i} " + "of a long book " * 20 for i in range(40))
    (tmp_path / "book.txt").write_text(book)
    pieces = list(texts_of("text", [tmp_path / "book.txt"]))
    assert "\n\n".join(pieces) == book
    assert all(text_source.PIECE <= len(piece) < 2 * text_source.PIECE for piece in pieces[:-1])
    assert len(pieces) > 3


def test_half_of_a_surrogate_pair_does_not_stop_a_run():
    assert text_source._sound("ü \ud83d x") == "ü ? x"
    assert text_source._sound("🙂") == "🙂"


def test_a_reading_takes_at_least_so_many_bytes_and_skips_what_is_empty():
    reading = Reading(iter(["ü" * 5, "  \n", "b" * 5, "c"]))
    assert reading.take(11) == ["ü" * 5, "b" * 5]
    assert (reading.documents, reading.ended) == (3, "")
    assert reading.take(100) == ["c"]
    assert reading.ended
    assert reading.take(100) == []


def test_what_cannot_even_begin_is_an_error():
    with pytest.raises(SourceUnavailable):
        Reading(_raising()).take(1)
