"""Every adapter on its fixture, against the texts that the fixture was made from; conversations, the table, and bad input."""

import gzip
import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lablib.corpus.document import Document
from lablib.corpus.sources import (
    SOURCES,
    DamagedFile,
    Example,
    PreferencePair,
    SourceReport,
    SourceUnavailable,
    Turn,
    WrongFormat,
    describe,
    known,
    stream,
)
from lablib.corpus.sources.conversations import parse_transcript, split_pair
from lablib.corpus.sources.fixtures import FILES, fixture, make
from lablib.corpus.sources.through_datasets import dataset_rows
from lablib.paths import data_path

TEXTS = tomllib.loads(data_path("fixtures/texts.toml").read_text(encoding="utf-8"))
PAGES = [page["text"].strip("\n") for page in TEXTS["pages"]]
ENGLISH = [page["text"].strip("\n") for page in TEXTS["pages"] if page["language"] == "eng"]
EXPECTED = {
    "common-crawl": [text + "\n" for text in PAGES],
    "common-crawl-warc": PAGES,
    "c4": ENGLISH,
    "the-pile": [row["text"].strip("\n") for row in TEXTS["pile"]],
    "refinedweb": ENGLISH,
    "fineweb-edu": [p["text"].strip("\n") for p in TEXTS["pages"] if p["language"] == "eng" and p["edu"] >= 2],
    "tinystories": [row["text"].strip("\n") for row in TEXTS["stories"]],
    "wikipedia": [row["text"].strip("\n") for row in TEXTS["articles"]],
}
NAMES = [source.name for source in SOURCES]
C4 = b'{"text": "%s", "timestamp": "2019-04-25T12:57:54Z", "url": "https://a.example"}\n'


# ------------------------------------------------------------------ each adapter on its fixture


@pytest.mark.parametrize("name", EXPECTED)
def test_documents_are_the_texts_that_the_fixture_was_made_from(name):
    report = SourceReport()
    documents = list(stream(name, fixture(name), report=report))
    assert [document.text for document in documents] == EXPECTED[name]
    assert {(d.source, d.licence) for d in documents} == {(name, known(name).licence)}
    assert report.records == len(documents) >= 2
    assert report.bytes == sum(len(document.text.encode()) for document in documents)
    assert report.damages == []


def test_the_pile_says_which_part_a_document_is_from_and_the_others_their_kind():
    assert [document.kind for document in stream("the-pile", fixture("the-pile"))] == [r["part"] for r in TEXTS["pile"]]
    assert {document.kind for document in stream("tinystories", fixture("tinystories"))} == {"story"}
    assert {document.kind for document in stream("c4", fixture("c4"))} == {"web page"}


def test_dolly_gives_question_with_passage_and_answer():
    examples = list(stream("dolly", fixture("dolly")))
    for example, row in zip(examples, TEXTS["instructions"], strict=True):
        assert example.response == row["response"]
        assert example.prompt[0].text.startswith(row["instruction"])
        assert example.prompt[0].text.endswith(row["context"] or row["instruction"])
        assert example.kind == row["category"]
    assert examples[0].prompt[0].text == "\n\n".join(
        TEXTS["instructions"][0][name] for name in ("instruction", "context")
    )


def test_ultrafeedback_gives_pairs_with_scores():
    for pair, row in zip(stream("ultrafeedback", fixture("ultrafeedback")), TEXTS["scored"], strict=True):
        assert pair.prompt == (Turn("user", row["prompt"]),)
        assert (pair.chosen[-1].text, pair.rejected[-1].text) == (row["chosen"], row["rejected"])
        assert pair.scores == (row["score_chosen"], row["score_rejected"])


def test_hh_rlhf_gives_the_shared_turns_and_both_endings():
    pairs = list(stream("hh-rlhf", fixture("hh-rlhf")))
    assert [len(pair.prompt) for pair in pairs] == [3, 1, 1, 1]
    assert [(len(pair.chosen), len(pair.rejected)) for pair in pairs] == [(1, 1), (1, 1), (1, 1), (3, 3)]
    assert pairs[0].rejected == (Turn("assistant", "Then just put up with it."),)
    assert [turn.role for turn in pairs[3].chosen] == ["assistant", "user", "assistant"]
    assert "\n\n" in pairs[1].chosen[0].text  # an empty line inside a turn is no new turn


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_the_same_in_every_run_and_the_limit_is_a_beginning(name):
    first, second = list(stream(name, fixture(name))), list(stream(name, fixture(name)))
    assert first == second
    assert len({record.id for record in first}) == len(first)
    assert all(record.id.startswith(f"{name}/") for record in first)
    assert list(stream(name, fixture(name), limit=2)) == first[:2]
    assert list(stream(name, fixture(name), limit=0)) == []


def test_two_files_of_one_name_have_ids_of_their_own(tmp_path):
    files = []
    for folder in ("helpful-base", "harmless-base"):
        path = tmp_path / folder / "train.jsonl.gz"
        path.parent.mkdir()
        path.write_bytes(fixture("hh-rlhf").read_bytes())
        files.append(path)
    ids = [pair.id for pair in stream("hh-rlhf", files)]
    assert len(set(ids)) == len(ids) == 8
    assert ids[0] == "hh-rlhf/helpful-base/train.jsonl.gz/1"
    assert ids[4] == "hh-rlhf/harmless-base/train.jsonl.gz/1"
    assert [pair.id for pair in stream("hh-rlhf", files[1])] == ids[4:]  # whatever else was read


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("common")])
def test_sound_files_are_read_through_datasets(name, monkeypatch):
    monkeypatch.setattr("lablib.corpus.sources.files._careful_rows", lambda *_: pytest.fail("read with care"))
    builder = "parquet" if known(name).format == "parquet" else "json"
    rows = list(dataset_rows(str(fixture(name)), builder))
    assert len(rows) == len(list(stream(name, fixture(name))))
    assert set(known(name).columns) <= set(rows[0])


def test_a_stream_reads_no_more_than_it_is_asked_for(tmp_path):
    lines = b"".join(C4 % (b"page %d " % i * 2000) for i in range(3000))
    (tmp_path / "c4.json").write_bytes(lines)
    opened = SourceReport()
    assert len(list(stream("c4", [tmp_path / "c4.json", fixture("c4")], limit=3, report=opened))) == 3
    assert opened.files == [str(tmp_path / "c4.json")]


# ------------------------------------------------------------------ fixtures


def test_the_fixtures_are_what_their_command_makes():
    made = make(TEXTS)
    assert set(made) == set(FILES.values())
    for name, path in FILES.items():
        kept = fixture(name).read_bytes()
        if path.endswith(".gz"):  # another zlib may pack otherwise
            assert gzip.decompress(made[path]) == gzip.decompress(kept)
        elif path.endswith(".zst"):
            assert zstandard.decompress(made[path]) == zstandard.decompress(kept)
        elif path.endswith(".parquet"):
            assert pyarrow.parquet.read_table(io.BytesIO(made[path])) == pyarrow.parquet.read_table(io.BytesIO(kept))
        else:
            assert made[path] == kept
    assert make(TEXTS) == made


def test_the_fixtures_are_small_and_have_thirty_to_sixty_texts():
    folder = data_path("fixtures")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 300_000
    assert 30 <= sum(len(rows) for rows in TEXTS.values()) <= 60


def test_wet_records_have_the_headers_of_common_crawl():
    head = gzip.decompress(fixture("common-crawl").read_bytes()).split(b"\r\n\r\n")[2].decode()
    names = [line.partition(":")[0] for line in head.strip().splitlines()]
    wanted = "WARC-Type WARC-Target-URI WARC-Date WARC-Record-ID WARC-Refers-To WARC-Identified-Content-Language Content-Type"
    assert names[:8] == ["WARC/1.0", *wanted.split()]
    assert "WARC-Type: conversion" in head


# ------------------------------------------------------------------ conversations


def test_transcripts_of_hh_rlhf():
    assert parse_transcript("\n\nHuman: a\n\nAssistant:") == (Turn("user", "a"), Turn("assistant", ""))
    assert parse_transcript("\n\nHuman:  two blanks ") == (Turn("user", " two blanks"),)
    assert parse_transcript("\n\nHuman: say\nHuman: b\n\nAssistant: c")[0].text == "say\nHuman: b"
    for wrong in ("", "Human: a", "Hello\n\nHuman: a", "\n\nBot: a"):
        with pytest.raises(ValueError, match=r"expected an empty line and 'Human:' or 'Assistant:'"):
            parse_transcript(wrong)


TURNS = st.lists(
    st.tuples(st.sampled_from(["Human", "Assistant"]), st.text(st.characters(codec="utf-8", exclude_characters=":"))),
    min_size=1,
    max_size=6,
)


@given(TURNS)
def test_what_is_written_as_a_transcript_is_read_back(turns):
    text = "".join(f"\n\n{speaker}: {said}" for speaker, said in turns)
    role = {"Human": "user", "Assistant": "assistant"}
    assert parse_transcript(text) == tuple(Turn(role[speaker], said.rstrip()) for speaker, said in turns)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=5),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=5),
)
def test_a_split_pair_joins_to_what_it_was(left, right):
    chosen, rejected = (tuple(Turn("assistant", text) for text in texts) for texts in (left, right))
    prompt, first, second = split_pair(chosen, rejected)
    assert (prompt + first, prompt + second) == (chosen, rejected)
    assert first
    assert second
    assert len(first) == 1 or len(second) == 1 or first[0] != second[0]  # all that is shared is in the prompt


def test_examples_and_pairs_refuse_what_they_are_not():
    ask, say = Turn("user", "a"), Turn("assistant", "b")
    assert Example((ask, say), "x", "y").response == "b"
    for turns in ((), (say,), (say, ask)):
        with pytest.raises(ValueError, match="an assistant's answer last"):
            Example(turns, "x", "y")
    with pytest.raises(ValueError, match="prompt is empty"):
        PreferencePair((), (say,), (say,), "x", "y")
    with pytest.raises(ValueError, match=r"rejected with the roles user: expected an assistant's turn last"):
        PreferencePair((ask,), (say,), (ask,), "x", "y")


# ------------------------------------------------------------------ the table


def test_every_figure_in_the_table_stands_beside_its_source():
    rows = describe().splitlines()[2:]
    assert len(rows) == len(SOURCES) == 11
    for row, source in zip(rows, SOURCES, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 7
        assert source.card in cells[0]
        for cell, text, where in ((cells[2], source.size, source.size_from), (cells[6], source.used, source.used_from)):
            assert text in cell
            assert where in cell
            assert where.startswith(("https://", "arXiv "))


def test_all_sources_that_the_course_names_are_there():
    asked = {
        "common-crawl",
        "c4",
        "the-pile",
        "refinedweb",
        "fineweb-edu",
        "tinystories",
        "wikipedia",
        "dolly",
        "ultrafeedback",
    }
    assert asked | {"hh-rlhf"} <= set(NAMES) == set(FILES)


# ------------------------------------------------------------------ bad input


def test_unknown_names_and_values_are_answered_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"name = 'c5': expected one of 'common-crawl', .*'c4'"):
        stream("c5")
    with pytest.raises(ValueError, match=r"split = 'dev' of the source 'c4': expected one of 'train', 'validation'"):
        stream("c4", split="dev")
    with pytest.raises(ValueError, match=r"on_error = 'ignore': expected 'raise' or 'skip'"):
        stream("c4", fixture("c4"), on_error="ignore")
    with pytest.raises(ValueError, match=r"limit = -1: expected"):
        stream("c4", fixture("c4"), limit=-1)
    with pytest.raises(ValueError, match=r"name = 'c5': expected one of"):
        fixture("c5")


def test_files_that_are_not_there_or_named_twice_are_named_before_anything_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the file '.*nowhere.json.gz' is not there: expected"):
        stream("c4", tmp_path / "nowhere.json.gz")
    with pytest.raises(FileNotFoundError, match="is not there"):
        stream("c4", tmp_path)  # a folder
    with pytest.raises(ValueError, match="twice: expected each file once"):
        stream("c4", [fixture("c4"), fixture("c4")])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_a_file_of_another_source_is_refused(name, other):
    if other == name or (name, other) == ("tinystories", "wikipedia"):
        return
    if {name, other} == {"common-crawl", "common-crawl-warc"}:  # one format: there is only no record of the kind
        with pytest.raises(DamagedFile, match="no record in it"):
            next(stream(name, fixture(other)))
    elif name == "tinystories" and other in ("fineweb-edu",):  # has a column text, too, which is all that is needed
        assert isinstance(next(stream(name, fixture(other))), Document)
    else:
        with pytest.raises(WrongFormat, match=r"expected (the format|those) of '" + name):
            next(stream(name, fixture(other)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"", b"\x00" * 50], ids=["empty", "zeros"])
def test_an_empty_file_and_one_of_zeros_give_one_clear_error(name, data, tmp_path):
    path = tmp_path / Path(FILES[name]).name
    path.write_bytes(data)
    with pytest.raises((DamagedFile, WrongFormat)) as error:
        next(stream(name, path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    if not data:
        assert "byte 0: the file is empty" in str(error.value)


def test_rows_without_text_are_counted_and_rows_with_something_else_are_named(tmp_path):
    path = tmp_path / "c4.json"
    path.write_bytes(C4 % b"one" + C4 % b"  " + (C4 % b"x").replace(b'"x"', b"5") + b'{"url": "u"}\n' + C4 % b"two")
    report = SourceReport()
    assert [d.text for d in stream("c4", path, on_error="skip", report=report)] == ["one", "two"]
    assert report.empty == 1
    assert [(damage.unit, damage.place) for damage in report.damages] == [("row", 3), ("row", 4)]
    assert "column 'text'" in report.damages[0].reason


def test_texts_that_look_like_dates_stay_texts(tmp_path):
    path = tmp_path / "c4.json"
    path.write_bytes(C4 % b"2020-01-01T00:00:00Z")
    assert [document.text for document in stream("c4", path)] == ["2020-01-01T00:00:00Z"]


@pytest.mark.parametrize("name", ["c4", "dolly", "hh-rlhf"])
def test_json_lines_on_this_computer_are_read_without_a_package(name, monkeypatch):
    expected = list(stream(name, fixture(name)))
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert list(stream(name, fixture(name))) == expected != []


@pytest.mark.parametrize(("name", "package"), [("the-pile", "zstandard"), ("wikipedia", "pyarrow")])
def test_a_file_on_this_computer_needs_only_what_reads_its_format(name, package, monkeypatch):
    expected = list(stream(name, fixture(name)))
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert list(stream(name, fixture(name))) == expected != []
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceUnavailable, match=f"needs the package {package}"):
        list(stream(name, fixture(name)))


def test_a_packed_file_needs_its_packing_whatever_the_source_has(tmp_path, monkeypatch):
    path = tmp_path / "c4.json.zst"
    path.write_bytes(zstandard.compress(C4 % b"one"))
    assert [document.text for document in stream("c4", path)] == ["one"]
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(SourceUnavailable, match="needs the package zstandard"):
        list(stream("c4", path))


@pytest.mark.parametrize(
    ("name", "package"), [("c4", "datasets"), ("common-crawl", "warcio"), ("refinedweb", "datasets")]
)
def test_without_the_packages_the_module_is_imported_and_names_the_extra(name, package):
    code = (
        "import importlib.abc, importlib.util, sys\n"
        "gone = ('datasets', 'warcio', 'zstandard', 'pyarrow', 'huggingface_hub')\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in gone:\n"
        "            raise ModuleNotFoundError(name)\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name in gone else real(name, *a)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from lablib.corpus.sources import describe, stream\n"
        "assert describe()\n"
        f"stream({name!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert (
        f'{SourceUnavailable.__name__}: the source {name!r} needs the package {package}: `pip install "data-to-dialogue[data]"`'
        in last
    )
    assert "lablib.corpus.crawl" in last


def test_importing_imports_no_reader():
    code = "import sys, lablib.corpus.sources; print({'datasets', 'warcio', 'pyarrow', 'zstandard', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_json_lines_may_be_packed_otherwise_or_not_at_all(tmp_path):
    lines = C4 % b"one" + C4 % b"two"
    for name, data in (
        ("a.json", lines),
        ("a.json.gz", gzip.compress(lines)),
        ("a.jsonl.zst", zstandard.compress(lines)),
    ):
        (tmp_path / name).write_bytes(data)
        assert [d.text for d in stream("c4", tmp_path / name)] == ["one", "two"], name
    assert json.loads(C4 % b"one")["text"] == "one"
