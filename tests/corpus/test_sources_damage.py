"""Damaged files: each names file and place, and loses nothing that was readable.

The truth is the sound file, cut or changed at a known byte.
"""

import gzip
import io
import json
import re
import warnings
import zlib

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from lablib.corpus.sources import DamagedFile, DamagedFileWarning, SourceReport, stream
from lablib.corpus.sources.fixtures import fixture
from lablib.corpus.sources.readers import rows_of_lines
from lablib.corpus.sources.trouble import Damage
from lablib.corpus.sources.unpack import unpacked
from lablib.corpus.sources.warc import visible_text, warc_rows


def line(i, text="page"):
    return (
        json.dumps({"text": f"{text} {i}", "timestamp": "2019-04-25T12:57:54Z", "url": f"https://a.example/{i}"}) + "\n"
    )


def lines(first, last, text="page"):
    return "".join(line(i, text) for i in range(first, last)).encode()


def read(path, name="c4", **options):
    """Texts and damages with "skip", after it was checked that "raise" gives the same beginning and then the first damage."""
    report = SourceReport()
    texts = [document.text for document in stream(name, path, on_error="skip", report=report, **options)]
    before = []
    if report.damages:
        with pytest.raises(DamagedFile) as error:
            before.extend(document.text for document in stream(name, path, **options))
        taken = []
        for document in _until(error, name, path):
            taken.append(document.text)
        assert error.value.damage == report.damages[0]
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        assert taken == texts[: len(taken)]
    return texts, report.damages


def _until(error, name, path):
    stepping = stream(name, path)
    while True:
        try:
            yield next(stepping)
        except DamagedFile:
            return


def pages(first, last):
    return [f"page {i}" for i in range(first, last)]


# ------------------------------------------------------------------ gzip and zstandard


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstandard"])
def test_a_cut_file_gives_all_lines_that_are_whole(pack, tmp_path):
    path = tmp_path / "c4.json"
    whole = pack(lines(0, 5000))
    path.write_bytes(whole[: len(whole) // 2])
    texts, damages = read(path)
    unpack = zlib.decompressobj(31) if pack is gzip.compress else zstandard.ZstdDecompressor().decompressobj()
    could = unpack.decompress(whole[: len(whole) // 2]).rpartition(b"\n")[0].count(b"\n") + 1  # by the library itself
    assert texts == pages(0, could)
    assert 1000 < could < 5000
    assert [(damage.unit, damage.place) for damage in damages] == [("byte", len(whole) // 2)]
    assert "ends inside a packed piece that began at byte 0" in damages[0].reason


def test_a_wrong_byte_in_one_member_costs_that_member_only_from_there(tmp_path):
    members = [gzip.compress(lines(i, i + 500)) for i in (0, 500, 1000)]
    middle = bytearray(members[1])
    spot = len(middle) // 2
    middle[spot : spot + 8] = b"\xff" * 8
    path = tmp_path / "c4.json.gz"
    path.write_bytes(members[0] + bytes(middle) + members[2])
    texts, damages = read(path)
    assert texts[:500] == pages(0, 500)
    assert texts[-500:] == pages(1000, 1500)
    kept = texts[500:-500]
    assert len(kept) > 100  # those before the wrong byte
    assert kept[:100] == pages(500, 600)
    first = damages[-1]
    assert first.unit == "byte"
    assert len(members[0]) + spot <= first.place <= len(members[0]) + len(middle)
    assert f"began at byte {len(members[0]):,}" in first.reason


def test_a_broken_zstandard_frame_is_left_at_its_bad_block(tmp_path):
    frames = [zstandard.ZstdCompressor(write_checksum=True).compress(lines(i, i + 9000)) for i in (0, 9000)]
    broken = bytearray(frames[0])
    spot = len(broken) * 3 // 4
    broken[spot : spot + 40] = bytes(40)
    path = tmp_path / "c4.jsonl.zst"
    path.write_bytes(bytes(broken) + frames[1])
    texts, damages = read(path)
    assert texts[-9000:] == pages(9000, 18000)
    kept = texts[:-9000]
    assert 1000 < len(kept) < 9000
    assert kept[:1000] == pages(0, 1000)
    assert any(damage.unit == "byte" and damage.place > spot - 200_000 for damage in damages)


def test_a_wrong_checksum_is_named_and_the_text_is_kept(tmp_path):
    data = bytearray(gzip.compress(lines(0, 20)))
    data[-8] ^= 1
    path = tmp_path / "c4.json.gz"
    path.write_bytes(bytes(data) + gzip.compress(lines(20, 30)))
    texts, damages = read(path)
    assert texts == pages(0, 30)
    assert len(damages) == 1
    assert "checksum is wrong" in damages[0].reason
    assert len(data) - 8 <= damages[0].place < len(data)


def test_padding_is_no_damage_and_junk_between_members_is_one(tmp_path):
    path = tmp_path / "c4.json.gz"
    path.write_bytes(gzip.compress(lines(0, 3)) + bytes(1000))
    assert read(path) == (pages(0, 3), [])
    start = len(gzip.compress(lines(0, 3)))
    path.write_bytes(gzip.compress(lines(0, 3)) + b"junk" * 30_000 + gzip.compress(lines(3, 6)))
    texts, damages = read(path)
    assert texts == pages(0, 6)
    assert [(damage.unit, damage.place) for damage in damages] == [("byte", start)]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["gzip", "zstandard"]))
def test_what_is_unpacked_before_any_cut_is_a_beginning_and_never_less_than_the_library_gives(data, kind):
    text = lines(0, 200)
    packed = gzip.compress(text) if kind == "gzip" else zstandard.compress(text)
    cut = data.draw(st.integers(4, len(packed) - 1))
    pieces = list(unpacked(io.BytesIO(packed[:cut]), "x"))
    unpack = zlib.decompressobj(31) if kind == "gzip" else zstandard.ZstdDecompressor().decompressobj()
    could = unpack.decompress(packed[:cut])
    got = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert got == could == text[: len(got)]
    assert [piece.place for piece in pieces if isinstance(piece, Damage)] == [cut]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_any_one_wrong_byte_leaves_the_other_members_whole(spot, change):
    members = [gzip.compress(lines(i, i + 40, text=f"m{i}")) for i in (0, 40, 80)]
    damaged = bytearray(members[1])
    damaged[spot % len(damaged)] ^= change
    pieces = list(unpacked(io.BytesIO(members[0] + bytes(damaged) + members[2]), "x"))
    got = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    assert got.startswith(lines(0, 40, text="m0"))
    assert got.endswith(lines(80, 120, text="m80"))
    same = got == b"".join(lines(i, i + 40, text=f"m{i}") for i in (0, 40, 80))
    assert same or any(
        isinstance(piece, Damage) for piece in pieces
    )  # the header's name, time and system are not checked


# ------------------------------------------------------------------ JSON lines


@pytest.mark.parametrize(
    ("bad", "reason", "kept"),
    [
        (b'{"text": "half\n', "no JSON", []),
        (b"[1, 2]\n", "a JSON list: expected an object", []),
        (
            b'{"text": "caf\xe9 8", "timestamp": "t", "url": "u"}\n',
            "byte 0xe9 at offset 13 of the line is not utf-8",
            ["caf\ufffd 8"],
        ),
        (b"[" * 100_000 + b"\n", "nested too deeply", []),
    ],
    ids=["half a line", "a list", "latin-1", "deep"],
)
def test_a_bad_line_is_named_by_its_number_and_the_next_is_read(bad, reason, kept, tmp_path):
    path = tmp_path / "c4.json"
    path.write_bytes(lines(0, 7) + bad + lines(8, 10))
    texts, damages = read(path)
    assert texts == [*pages(0, 7), *kept, *pages(8, 10)]
    assert [(damage.unit, damage.place) for damage in damages] == [("line", 8)]
    assert reason in damages[0].reason


def test_half_a_surrogate_pair_can_be_written_as_utf_8(tmp_path):
    path = tmp_path / "c4.json"
    path.write_bytes(lines(0, 1) + b'{"text": "a\\ud800b", "timestamp": "t", "url": "u"}\n')
    texts, damages = read(path)
    assert texts == ["page 0", "a\ufffdb"]
    assert damages == []


def test_a_bad_line_far_behind_costs_nothing_before_it_and_ids_count_it(tmp_path):
    path = tmp_path / "c4.json"
    many = lines(0, 200_000)  # more than `datasets` reads at a time
    path.write_bytes(many + b"{oops\n" + lines(200_000, 200_003))
    report = SourceReport()
    ids = [document.id for document in stream("c4", path, on_error="skip", report=report)]
    assert len(many) > 15_000_000
    assert len(ids) == len(set(ids)) == 200_003
    assert (ids[0], ids[199_999], ids[200_000]) == ("c4/c4.json/1", "c4/c4.json/200000", "c4/c4.json/200002")
    assert [(damage.unit, damage.place) for damage in report.damages] == [("line", 200_001)]


@given(st.lists(st.integers(1, 60)), st.integers(0, 30))
def test_rows_do_not_depend_on_where_the_pieces_end(sizes, count):
    data, pieces, place = lines(0, count), [], 0
    for size in sizes:
        pieces.append(data[place : place + size])
        place += size
    pieces.append(data[place:])
    rows = list(rows_of_lines(pieces, "x"))
    assert [(number, row["text"]) for number, row in rows] == [(i + 1, f"page {i}") for i in range(count)]


def test_a_line_that_runs_across_a_damage_is_put_together_when_nothing_is_missing():
    first, second = line(1).encode()[:20], line(1).encode()[20:] + line(2).encode()
    gap = Damage("x", "byte", 9, "checksum")
    rows = list(rows_of_lines([line(0).encode() + first, gap, second], "x"))
    assert [row if isinstance(row, Damage) else row[1]["text"] for row in rows] == ["page 0", gap, "page 1", "page 2"]
    rows = list(rows_of_lines([line(0).encode() + first, gap, b"lost tail}\n" + line(2).encode()], "x"))
    assert [row if isinstance(row, Damage) else row[1]["text"] for row in rows] == ["page 0", gap, "page 2"]


# ------------------------------------------------------------------ parquet


def parquet(rows, group, **options):
    out = io.BytesIO()
    table = pyarrow.table({"text": [f"story {i} " + "x" * 50 for i in range(rows)]})
    pyarrow.parquet.write_table(table, out, row_group_size=group, compression="none", use_dictionary=False, **options)
    return out.getvalue()


def test_parquet_without_its_footer_says_so(tmp_path):
    path = tmp_path / "s.parquet"
    data = parquet(100, 50)
    path.write_bytes(data[:-20])
    texts, damages = read(path, "tinystories")
    assert texts == []
    assert [(damage.unit, damage.place) for damage in damages] == [("byte", len(data) - 20)]
    assert "no footer" in damages[0].reason


def test_a_broken_page_costs_its_row_group_from_there(tmp_path):
    path = tmp_path / "s.parquet"
    data = bytearray(parquet(600, 200, data_page_size=1000))
    spot = data.index(b"story 350 ") - 4  # the length of a text in the second row group: now absurd
    data[spot : spot + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(bytes(data))
    texts, damages = read(path, "tinystories")
    numbers = [int(text.split()[1]) for text in texts]
    assert numbers == [*range(numbers[-201] + 1), *range(400, 600)]
    assert 200 <= numbers[-201] + 1 <= 350
    assert [(damage.unit, damage.place) for damage in damages] == [("row group", 2)]
    assert f"rows {numbers[-201] + 2} to 400 are left out" in damages[0].reason


def test_bytes_that_are_no_utf_8_in_parquet_cost_their_row(tmp_path):
    path = tmp_path / "s.parquet"
    data = bytearray(parquet(5, 5, write_statistics=False))
    data[data.index(b"story 3") + 1] = 0xFF
    path.write_bytes(bytes(data))
    texts, damages = read(path, "tinystories")
    assert [text.split()[1] for text in texts] == ["0", "1", "2", "4"]
    assert [(damage.unit, damage.place) for damage in damages] == [("row", 4)]


# ------------------------------------------------------------------ WARC and WET


def wet_texts():
    with gzip.open(fixture("common-crawl")) as file:
        return [r.content_stream().read().decode() for r in ArchiveIterator(file) if r.rec_type == "conversion"]


def wet_members():
    """The members of the WET fixture: start and bytes of each, by zlib alone."""
    data, members, place = fixture("common-crawl").read_bytes(), [], 0
    while place < len(data):
        unpack = zlib.decompressobj(31)
        unpack.decompress(data[place:])
        end = len(data) - len(unpack.unused_data)
        members.append(data[place:end])
        place = end
    return members


def test_the_records_are_those_that_warcio_gives():
    assert [document.text for document in stream("common-crawl", fixture("common-crawl"))] == wet_texts()
    assert len(wet_members()) == len(wet_texts()) + 1


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("shift", [-300, -1, 1, 5, 700, 10**7, 10**12])
def test_a_record_of_wrong_length_is_read_to_its_true_end(packed, shift, tmp_path):
    members = [gzip.decompress(member) for member in wet_members()]
    number = 4
    length = int(re.search(rb"Content-Length: (\d+)", members[number]).group(1))
    members[number] = members[number].replace(
        b"Content-Length: %d" % length, b"Content-Length: %d" % max(0, length + shift)
    )
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(b"".join(gzip.compress(member) if packed else member for member in members))
    texts, damages = read(path, "common-crawl")
    assert texts == wet_texts()
    assert [(damage.unit, damage.place) for damage in damages] == [("record", number + 1)]
    assert f"says {max(0, length + shift):,} bytes, it has {length:,}" in damages[0].reason


@pytest.mark.parametrize("shift", [-5, 5])
def test_the_last_record_too(shift, tmp_path):
    members = [gzip.decompress(member) for member in wet_members()]
    length = int(re.search(rb"Content-Length: (\d+)", members[-1]).group(1))
    members[-1] = members[-1].replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length + shift))
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(b"".join(map(gzip.compress, members)))
    texts, damages = read(path, "common-crawl")
    assert [text.strip() for text in texts] == [text.strip() for text in wet_texts()]
    assert [(damage.unit, damage.place) for damage in damages] == [("record", len(members))]


def test_a_broken_member_costs_its_record_and_is_named_by_its_byte(tmp_path):
    members = wet_members()
    broken = bytearray(members[5])
    broken[len(broken) // 2 :] = b"\xff" * (len(broken) - len(broken) // 2)
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(b"".join([*members[:5], bytes(broken), *members[6:]]))
    texts, damages = read(path, "common-crawl")
    whole = wet_texts()
    assert texts == whole[:4] + whole[5:]
    start = sum(map(len, members[:5]))
    assert len(damages) == 1
    assert start < damages[0].place <= start + len(broken)
    assert damages[0].unit == "byte"


def test_a_cut_file_of_records(tmp_path):
    path = tmp_path / "x.warc.wet.gz"
    members = wet_members()
    path.write_bytes(b"".join(members[:6]) + members[6][:-30])
    texts, damages = read(path, "common-crawl")
    assert texts == wet_texts()[:5]
    assert [(damage.unit, damage.place) for damage in damages] == [("byte", sum(map(len, members[:7])) - 30)]
    path.write_bytes(b"".join(map(gzip.decompress, members[:6])) + gzip.decompress(members[6])[:-200])
    texts, damages = read(path, "common-crawl")
    assert texts == wet_texts()[:5]
    assert [(damage.unit, damage.place) for damage in damages] == [("record", 7)]


def test_text_that_is_no_utf_8_is_read_with_replacements(tmp_path):
    members = [gzip.decompress(member) for member in wet_members()]
    number = next(i for i, member in enumerate(members) if "Küchenabfall".encode() in member)
    members[number] = members[number].replace("ü".encode(), b"\xfcx")
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(b"".join(map(gzip.compress, members)))
    texts, damages = read(path, "common-crawl")
    assert texts[number - 1] == wet_texts()[number - 1].replace("ü", "\ufffdx")
    assert [(damage.unit, damage.place) for damage in damages] == [("record", number + 1)]
    assert "0xfc" in damages[0].reason


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6), st.booleans())
@example([b"a\r\n\r\nb", b"\r\n\r\n", b"", b"WARC/1.0\r\n", b"\r\n\r\nWARC/1.0\r\nWARC-Type: conversion\r\n\r\n"], True)
def test_any_bytes_in_a_record_come_back(bodies, packed):
    data = b""
    for body in bodies:
        record = b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:x>\r\nContent-Length: %d\r\n\r\n" % len(
            body
        )
        record += body + b"\r\n\r\n"
        data += gzip.compress(record) if packed else record
    rows = [row for row in warc_rows(io.BytesIO(data), "x", "conversion") if not isinstance(row, Damage)]
    assert [row["text"] for _, row in rows] == [body.decode(errors="replace") for body in bodies]


def test_pages_of_a_warc_file_by_their_encoding_and_without_what_is_no_text(tmp_path):
    def response(body, content):
        http = b"HTTP/1.1 200 OK\r\nContent-Type: " + content + b"\r\n\r\n" + body
        head = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://a.example\r\nContent-Length: %d" % len(
            http
        )
        return head + b"\r\n\r\n" + http + b"\r\n\r\n"

    path = tmp_path / "x.warc"
    path.write_bytes(
        response("<p>café".encode("latin-1"), b"text/html; charset=ISO-8859-1")
        + response(b'<meta charset="windows-1252"><p>\x80 5', b"text/html")
        + response(b"\x89PNG", b"image/png")
        + response("plain <b>é".encode(), b"text/plain")
        + response(b"<p>what", b"text/html; charset=klingon")
        + response(b"<p>no address", b"text/html").replace(b"WARC-Target-URI: https://a.example\r\n", b"")
    )
    texts, damages = read(path, "common-crawl-warc")
    assert texts == ["café", "€ 5", "plain <b>é", "what"]
    assert [(damage.place, "klingon" in damage.reason) for damage in damages] == [(5, True), (6, False)]


def test_visible_text():
    page = "<html><head><title>t</title><style>p{}</style></head><body>a <b>b</b>\n c<br>d<ul><li>e<li>f</ul><svg><text>x</text></svg>&lt;g"
    assert visible_text(page) == "a b c\nd\ne\nf\n<g"
    assert visible_text("") == ""
    assert visible_text("<p>unclosed <script>x = '<p>'") == "unclosed"


# ------------------------------------------------------------------ what is said at the end


def test_skipped_damage_is_said_once_at_the_end_unless_a_report_takes_it(tmp_path):
    path = tmp_path / "c4.json"
    path.write_bytes(b"{a\n" + lines(0, 2) + b"{b\n")
    with pytest.warns(
        DamagedFileWarning, match=r"2 damaged places were skipped, the first: .*c4.json: line 1: no JSON"
    ) as said:
        assert len(list(stream("c4", path, on_error="skip"))) == 2
    assert len(said) == 1
    report = SourceReport()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(stream("c4", path, on_error="skip", report=report))
    assert "2 damaged places" in str(report)
    assert "line 4" in str(report)


def test_a_damaged_file_does_not_keep_the_next_from_being_read(tmp_path):
    first, second = tmp_path / "1.json.gz", tmp_path / "2.json.gz"
    first.write_bytes(gzip.compress(lines(0, 10))[:-20])
    second.write_bytes(gzip.compress(lines(10, 20)))
    report = SourceReport()
    texts = [document.text for document in stream("c4", [first, second], on_error="skip", report=report)]
    assert texts[-10:] == pages(10, 20)
    assert len(texts) > 10
    assert {damage.file for damage in report.damages} == {str(first)}
