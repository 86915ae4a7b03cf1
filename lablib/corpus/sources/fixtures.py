"""Small files in each source's own format, from texts that were written for the course: to try every adapter with no network.

    python -m lablib.corpus.sources.fixtures data/fixtures

reads `texts.toml` in that folder and writes the files beside it. The same texts and the same library versions give the same bytes. The
columns and headers are those of the real sources; addresses, hashes and scores in them are made up.
"""

import gzip
import hashlib
import html
import io
import json
import sys
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lablib.paths import data_path

# A source's file -> where its fixture lies, named as the source names its own.
FILES = {
    "common-crawl": "common-crawl/CC-MAIN-20241203060000-20241203090000-00000.warc.wet.gz",
    "common-crawl-warc": "common-crawl/CC-MAIN-20241203060000-20241203090000-00000.warc.gz",
    "c4": "c4/en/c4-train.00000-of-01024.json.gz",
    "the-pile": "the-pile/train/00.jsonl.zst",
    "refinedweb": "refinedweb/data/train-00000-of-05534.parquet",
    "fineweb-edu": "fineweb-edu/sample/10BT/000_00000.parquet",
    "tinystories": "tinystories/data/train-00000-of-00004.parquet",
    "wikipedia": "wikipedia/20231101.en/train-00000-of-00041.parquet",
    "dolly": "dolly/databricks-dolly-15k.jsonl",
    "ultrafeedback": "ultrafeedback/data/train_prefs-00000-of-00001.parquet",
    "hh-rlhf": "hh-rlhf/helpful-base/train.jsonl.gz",
}
DUMP = "CC-MAIN-2024-51"
Row = dict[str, Any]


def fixture(name: str) -> Path:
    """The file that stands for a source, such as "c4", when there is no network.

    Raises:
        ValueError: there is no such source.
    """
    if name not in FILES:
        raise ValueError(f"name = {name!r}: expected one of {', '.join(map(repr, FILES))}")
    return data_path(f"fixtures/{FILES[name]}")


def make(texts: Mapping[str, list[Row]]) -> dict[str, bytes]:
    """The texts of `texts.toml` -> the bytes of each file, by its path."""
    made = {
        "common-crawl": _wet(texts["pages"]),
        "common-crawl-warc": _warc(texts["pages"]),
        "c4": gzip.compress(_lines(map(_c4, _english(texts["pages"]))), mtime=0),
        "the-pile": _zstd(
            _lines({"text": _body(row), "meta": {"pile_set_name": row["part"]}} for row in texts["pile"])
        ),
        "refinedweb": _parquet(map(_refinedweb, _english(texts["pages"]))),
        "fineweb-edu": _parquet(_fineweb(row) for row in _english(texts["pages"]) if row["edu"] >= 2.0),
        "tinystories": _parquet({"text": _body(row)} for row in texts["stories"]),
        "wikipedia": _parquet(map(_article, texts["articles"])),
        "dolly": _lines({name: row[name] for name in _DOLLY} for row in texts["instructions"]),
        "ultrafeedback": _parquet(map(_scored, texts["scored"])),
        "hh-rlhf": gzip.compress(_lines(map(_transcripts, texts["transcripts"])), mtime=0),
    }
    return {FILES[name]: data for name, data in made.items()}


_DOLLY = ("instruction", "context", "response", "category")


def _body(row: Row) -> str:
    return str(row["text"]).strip("\n")


def _english(pages: Iterable[Row]) -> list[Row]:
    return [page for page in pages if page["language"] == "eng"]


def _urn(*parts: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ' '.join(parts))}>"


def _lines(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data)


def _parquet(rows: Iterable[Row]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), out, row_group_size=1000)
    return out.getvalue()


def _c4(page: Row) -> Row:
    return {"text": _body(page), "timestamp": page["date"], "url": page["url"]}


def _refinedweb(page: Row) -> Row:
    date = datetime.strptime(page["date"], "%Y-%m-%dT%H:%M:%SZ")
    images = [[page["url"] + "/picture.jpg", page["title"]]]
    return {
        "content": _body(page),
        "url": page["url"],
        "timestamp": date,
        "dump": DUMP,
        "segment": "1733066035750.99",
        "image_urls": images,
    }


def _fineweb(page: Row) -> Row:
    return {
        "text": _body(page),
        "id": _urn("record", page["url"]),
        "dump": DUMP,
        "url": page["url"],
        "date": page["date"],
        "file_path": f"s3://commoncrawl/crawl-data/{DUMP}/segments/1733066035750.99/warc/{Path(FILES['common-crawl-warc']).name}",
        "language": "en",
        "language_score": 0.97,
        "token_count": len(_body(page).split()) * 4 // 3,
        "score": float(page["edu"]),
        "int_score": round(page["edu"]),
    }


def _article(row: Row) -> Row:
    url = "https://en.wikipedia.example/wiki/" + str(row["title"]).replace(" ", "_")
    return {"id": row["id"], "url": url, "title": row["title"], "text": _body(row)}


def _scored(row: Row) -> Row:
    def said(answer: str) -> list[dict[str, str]]:
        return [{"content": row["prompt"], "role": "user"}, {"content": answer, "role": "assistant"}]

    return {
        "prompt": row["prompt"],
        "prompt_id": hashlib.sha256(row["prompt"].encode()).hexdigest(),
        "chosen": said(row["chosen"]),
        "rejected": said(row["rejected"]),
        "messages": said(row["chosen"]),
        "score_chosen": row["score_chosen"],
        "score_rejected": row["score_rejected"],
    }


def _transcripts(row: Row) -> Row:
    return {name: f"\n\n{str(row['shared']).strip()}\n\n{str(row[name]).strip()}" for name in ("chosen", "rejected")}


# ------------------------------------------------------------------ WARC and WET, written by warcio


def _wet(pages: list[Row]) -> bytes:
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True, warc_version="1.0")
    _info(writer, Path(FILES["common-crawl"]).name)
    for page in pages:
        headers = {
            "WARC-Type": "conversion",
            "WARC-Target-URI": page["url"],
            "WARC-Date": page["date"],
            "WARC-Record-ID": _urn("text", page["url"]),
            "WARC-Refers-To": _urn("record", page["url"]),
            "WARC-Identified-Content-Language": page["language"],
            "Content-Type": "text/plain",
        }
        _write(writer, "conversion", page["url"], (_body(page) + "\n").encode(), headers)
    return out.getvalue()


def _warc(pages: list[Row]) -> bytes:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True, warc_version="1.0")
    _info(writer, Path(FILES["common-crawl-warc"]).name)
    for page in pages:
        data = _html(page).encode()
        answer = StatusAndHeaders(
            "200 OK",
            [("Content-Type", "text/html; charset=UTF-8"), ("Content-Length", str(len(data)))],
            protocol="HTTP/1.1",
        )
        asked = StatusAndHeaders(f"GET {page['url']} HTTP/1.1", [("User-Agent", "CCBot/2.0")], is_http_request=True)
        dated = {"WARC-Date": page["date"]}
        request = {**dated, "WARC-Type": "request", "WARC-Record-ID": _urn("request", page["url"])}
        response = {**dated, "WARC-Type": "response", "WARC-Record-ID": _urn("record", page["url"])}
        _write(writer, "request", page["url"], b"", request, asked)
        _write(writer, "response", page["url"], data, response, answer)
    return out.getvalue()


def _html(page: Row) -> str:
    blocks = "\n".join(f"<p>{html.escape(line, quote=False)}</p>" for line in _body(page).split("\n") if line)
    head = f'<head><meta charset="utf-8"><title>{html.escape(page["title"])}</title><style>p {{ margin: 1em }}</style></head>'
    return f"<!DOCTYPE html>\n<html>\n{head}\n<body>\n{blocks}\n<script>var seen = 1 < 2;</script>\n</body>\n</html>\n"


def _info(writer: Any, name: str) -> None:
    fields = (
        f"isPartOf: {DUMP}\r\npublisher: written for a course, not by Common Crawl\r\nformat: WARC File Format 1.0\r\n"
    )
    headers = {
        "WARC-Type": "warcinfo",
        "WARC-Filename": name,
        "WARC-Date": "2024-12-03T07:00:00Z",
        "WARC-Record-ID": _urn("info", name),
        "Content-Type": "application/warc-fields",
    }
    _write(writer, "warcinfo", None, fields.encode(), headers)


def _write(writer: Any, kind: str, url: str | None, data: bytes, headers: dict[str, str], http: Any = None) -> None:
    record = writer.create_warc_record(
        url, kind, io.BytesIO(data), len(data), warc_headers_dict=headers, http_headers=http
    )
    writer.write_record(record)


def main(folder: Path) -> None:
    """Read `texts.toml` in a folder and write the files beside it."""
    texts = tomllib.loads((folder / "texts.toml").read_text(encoding="utf-8"))
    for name, data in make(texts).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{len(data):>7,} bytes  {name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m lablib.corpus.sources.fixtures FOLDER, such as data/fixtures")
    main(Path(sys.argv[1]))
