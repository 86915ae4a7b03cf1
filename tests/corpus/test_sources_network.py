"""The network, on 127.0.0.1 alone: busy servers, broken transfers, redirects, files that are not there, and no network at all.

The server is real; clock and sleep are not, so that no test waits.
"""

import contextlib
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_server import Answer, serve

from lablib.corpus.sources import SOURCES, Retry, SourceReport, SourceUnavailable, stream
from lablib.corpus.sources.fixtures import FILES, fixture
from lablib.corpus.sources.remote import HttpFile, reach
from lablib.corpus.sources.retry import Patience, Transient, retrying, seconds_of

NAMES = [source.name for source in SOURCES]


class Time:
    """A clock that stands still but for the sleeps, which it keeps."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def retry(self, **options):
        chance = random.Random(0)
        return Retry(sleep=self.sleep, clock=lambda: self.now, chance=chance, **{"timeout": 5.0, **options})

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server():
    with serve() as running:
        running.files = {f"/{name}": fixture(name).read_bytes() for name in FILES}
        yield running


# ------------------------------------------------------------------ trying again


@given(st.integers(1, 12), st.floats(0.01, 5), st.floats(0.01, 60), st.integers(0, 9))
def test_a_wait_lies_between_nothing_and_twice_the_one_before_up_to_the_longest(failures, first, longest, seed):
    wait = Retry(first_wait=first, longest_wait=longest, chance=random.Random(seed)).wait_after(failures)
    assert 0 <= wait <= min(longest, first * 2 ** (failures - 1))


def test_waits_are_spread_over_their_whole_range():
    waits = [Retry(first_wait=1, longest_wait=8, chance=random.Random(seed)).wait_after(4) for seed in range(300)]
    assert min(waits) < 0.4
    assert max(waits) > 7.6
    assert 3.5 < sum(waits) / len(waits) < 4.5


def test_a_call_is_tried_again_until_it_succeeds_or_no_try_is_left():
    clock, calls = Time(), []

    def third_time():
        calls.append(1)
        if len(calls) < 3:
            raise Transient("busy")
        return "done"

    assert retrying(third_time, clock.retry(attempts=3)) == "done"
    assert len(clock.slept) == 2
    calls.clear()
    with pytest.raises(Transient, match="busy"):
        retrying(third_time, clock.retry(attempts=2))
    assert len(calls) == 2
    with pytest.raises(ZeroDivisionError):  # any other failure is not tried again
        retrying(lambda: 1 / 0, clock.retry())
    assert len(clock.slept) == 3


def test_retry_after_is_the_least_wait_and_more_than_the_patience_is_not_waited():
    clock = Time()
    patience = Patience(clock.retry(first_wait=0.5, patience=60))
    patience.failed(Transient("429", retry_after=42.0))
    assert clock.slept == [42.0]
    with pytest.raises(Transient):
        patience.failed(Transient("429", retry_after=19.0))
    assert clock.slept == [42.0]


def test_retry_after_in_seconds_as_a_date_and_in_other_words():
    assert seconds_of("0") == 0.0
    assert seconds_of("Fri, 31 Dec 1999 23:59:59 GMT", now=946684799.0 - 30) == 30.0
    assert seconds_of("Fri, 31 Dec 1999 23:59:59 GMT", now=946684799.0 + 30) == 0.0
    assert seconds_of("-5") is seconds_of("") is seconds_of(None) is None


def test_a_retry_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="attempts = 0: expected at least 1"):
        Retry(attempts=0)
    with pytest.raises(ValueError, match=r"timeout = -1: expected seconds"):
        Retry(timeout=-1)


# ------------------------------------------------------------------ addresses


@pytest.mark.parametrize("name", NAMES)
def test_every_format_is_read_from_an_address(name, server):
    here = list(stream(name, fixture(name)))
    there = list(stream(name, f"{server.address}/{name}", retry=Time().retry()))
    assert [(type(a), getattr(a, "text", "")) for a in there] == [(type(a), getattr(a, "text", "")) for a in here]
    if not FILES[name].endswith(".parquet"):  # which begins at its end
        assert server.gets(f"/{name}") == [""]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status, server):
    clock = Time()
    server.faults["/c4"] = [Answer(status), Answer(status, {"Retry-After": "7"}), Answer(status)]
    assert len(list(stream("c4", f"{server.address}/c4", retry=clock.retry()))) == 6
    assert len(clock.slept) == 3
    assert clock.slept[1] == 7.0
    assert clock.slept[0] <= 0.5


def test_a_server_that_stays_busy_gives_one_line(server):
    clock = Time()
    server.faults["/c4"] = [Answer(503)] * 9
    with pytest.raises(
        SourceUnavailable, match=r"/c4: the server answers 503 .*after 5 tries; instead.*lablib\.corpus\.crawl"
    ) as error:
        next(stream("c4", f"{server.address}/c4", retry=clock.retry()))
    assert "\n" not in str(error.value)
    assert len(clock.slept) == 4


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_there_is_not_asked_for_again(status, server):
    clock = Time()
    server.faults["/c4"] = [Answer(status)] * 9
    with pytest.raises(SourceUnavailable, match=f"/c4: the server answers {status}") as error:
        next(stream("c4", f"{server.address}/c4", retry=clock.retry()))
    assert "\n" not in str(error.value)
    assert clock.slept == []
    assert len(server.gets("/c4")) == 1


def test_redirects_are_followed_also_for_a_part(server):
    server.faults["/old"] = [Answer(302, {"Location": "/c4"})] * 9
    server.faults["/c4"] = [Answer(cut=100)]
    assert len(list(stream("c4", f"{server.address}/old", retry=Time().retry()))) == 6
    assert server.gets("/c4")[:2] == ["", "bytes=100-"]


@pytest.mark.parametrize("name", ["common-crawl", "c4", "the-pile"])
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_transfer_that_breaks_is_taken_up_where_it_broke(name, ranges, server):
    clock = Time()
    whole = [record.text for record in stream(name, fixture(name))]
    server.faults[f"/{name}"] = [Answer(cut=200), Answer(cut=500, ranges=ranges), Answer(503), Answer(ranges=ranges)]
    assert [record.text for record in stream(name, f"{server.address}/{name}", retry=clock.retry())] == whole
    asked = server.gets(f"/{name}")
    assert asked[:2] == ["", "bytes=200-"]
    assert asked[2] == ("bytes=700-" if ranges else "bytes=500-")
    assert len(clock.slept) == 3


def test_a_server_that_never_sends_the_rest_gives_what_it_sent_and_says_why(server):
    name, cut = "common-crawl", 3000
    server.faults[f"/{name}"] = [Answer(cut=cut), *[Answer(cut=0)] * 20]
    report = SourceReport()
    texts = [
        d.text for d in stream(name, f"{server.address}/{name}", on_error="skip", report=report, retry=Time().retry())
    ]
    whole = [d.text for d in stream(name, fixture(name))]
    assert texts == whole[: len(texts)]
    assert 2 <= len(texts) < len(whole)
    assert [(damage.unit, damage.place) for damage in report.damages] == [("byte", cut)]
    assert (
        f"the transfer ended at byte {cut:,} of {len(fixture(name).read_bytes()):,}, after 5 tries"
        in report.damages[0].reason
    )


def test_a_transfer_that_ends_for_good_between_two_lines_is_no_silent_loss(server):
    cut = server.files["/dolly"].index(b"\n") + 1
    server.faults["/dolly"] = [Answer(cut=cut), *[Answer(cut=0)] * 20]
    report = SourceReport()
    examples = list(stream("dolly", f"{server.address}/dolly", on_error="skip", report=report, retry=Time().retry()))
    assert len(examples) == 1
    assert [(damage.unit, damage.place) for damage in report.damages] == [("byte", cut)]
    assert "the transfer ended at byte" in report.damages[0].reason


def test_a_file_that_changes_while_it_is_read_is_not_patched_together(server):
    server.faults["/c4"] = [Answer(cut=300), Answer(headers={"ETag": '"another"'})]
    report = SourceReport()
    list(stream("c4", f"{server.address}/c4", on_error="skip", report=report, retry=Time().retry()))
    assert "the file was changed on the server" in report.damages[0].reason


def test_a_part_in_the_middle_is_asked_for_alone(server):
    data = server.files["/big"] = bytes(range(256)) * 4000
    with HttpFile(f"{server.address}/big", Time().retry()) as file:
        assert file.seek(-1000, 2) == len(data) - 1000
        assert file.read(10) == data[-1000:-990]
        assert file.seek(5) == file.tell() == 5
        assert file.read(300) == data[5:305]
        assert file.readall() == data[305:]
        assert file.read(1) == b""
        assert file.size == len(data)


# ------------------------------------------------------------------ the hub, as far as it can be played


CODE = """
import json, sys
from lablib.corpus.sources import Retry, SourceReport, stream
report = SourceReport()
options = dict(on_error="skip", report=report, retry=Retry(first_wait=0.01))
records = list(stream(sys.argv[1], limit=int(sys.argv[2]) or None, **options))
print(json.dumps([[r.id for r in records], [str(d) for d in report.damages], report.files]))
"""


def from_hub(server, tmp_path, name, limit=0, **more):
    """What a stream gives in a process of its own, for which the server is the hub."""
    env = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1", **more}
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        env.pop(variable, None)
    done = subprocess.run(
        [sys.executable, "-c", CODE, name, str(limit)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stderr == ""  # the library says nothing of its own
    return json.loads(done.stdout)


def test_a_source_on_the_hub_is_listed_and_read_in_order_as_far_as_is_asked(server, tmp_path):
    data = fixture("c4").read_bytes()
    shards = [f"en/c4-train.0000{i}-of-01024.json.gz" for i in (1, 0)]
    server.be_hub(
        "allenai/c4",
        {**dict.fromkeys(shards, data), "en/c4-validation.00000-of-00008.json.gz": data, "README.md": b"#"},
    )
    ids, damages, files = from_hub(server, tmp_path, "c4")
    assert ids == [f"c4/{shard}/{i}" for shard in sorted(shards) for i in range(1, 7)]
    assert damages == []
    assert files == [f"hf://datasets/allenai/c4/{shard}" for shard in sorted(shards)]
    server.asked.clear()
    ids, _, files = from_hub(server, tmp_path, "c4", limit=2)
    assert ids == [f"c4/{shards[1]}/{i}" for i in (1, 2)]
    assert not [path for _, path, _ in server.asked if path.endswith(shards[0])]  # the second file was not touched


def test_a_parquet_source_on_the_hub(server, tmp_path):
    name = "data/train-00000-of-00004-abc.parquet"
    server.be_hub("roneneldan/TinyStories", {name: fixture("tinystories").read_bytes()})
    ids, damages, _ = from_hub(server, tmp_path, "tinystories")
    assert ids == [f"tinystories/{name}/{i}" for i in range(1, 5)]
    assert damages == []


def test_a_damaged_file_on_the_hub_gives_what_is_readable_and_its_place(server, tmp_path):
    data = gzip.compress(gzip.decompress(fixture("c4").read_bytes()).replace(b'{"text"', b'{"text', 1))
    name = "en/c4-train.00000-of-01024.json.gz"
    server.be_hub("allenai/c4", {name: data})
    ids, damages, _ = from_hub(server, tmp_path, "c4")
    assert ids == [f"c4/{name}/{i}" for i in range(2, 7)]
    assert [damage.split(": ")[:2] for damage in damages] == [[f"hf://datasets/allenai/c4/{name}", "line 1"]]


def test_a_busy_hub_and_a_transfer_that_breaks(server, tmp_path):
    name = "databricks-dolly-15k.jsonl"
    server.be_hub("databricks/databricks-dolly-15k", {name: fixture("dolly").read_bytes()})
    server.faults[f"/datasets/databricks/databricks-dolly-15k/resolve/main/{name}"] = [Answer(503), Answer(cut=700)]
    ids, damages, _ = from_hub(server, tmp_path, "dolly")
    assert ids == [f"dolly/{name}/{i}" for i in range(1, 7)]
    assert damages == []


@pytest.mark.parametrize(
    ("played", "reason"),
    [
        ({}, "it shows no file 'datasets/allenai/c4/en/c4-train.*.json.gz': the set was moved, or needs an account"),
        ({"files": {"README.md": b"#"}}, "it shows no file 'datasets/allenai/c4/en/c4-train.*.json.gz'"),
        ({"files": {}, "status": 401}, "401 Unauthorized"),
    ],
    ids=["no set", "no file", "no account"],
)
def test_a_hub_without_the_set_gives_one_line(played, reason, server, tmp_path):
    if "files" in played:
        server.be_hub("allenai/c4", played["files"])
    if "status" in played:
        server.faults["/api/datasets/allenai/c4"] = [Answer(played["status"])] * 20
    with pytest.raises(AssertionError) as error:
        from_hub(server, tmp_path, "c4")
    last = str(error.value).strip().split("SourceUnavailable: ")[-1].splitlines()[0]
    assert last.startswith("'c4' needs huggingface.co (about 320 MB")
    assert reason in last
    assert "lablib.corpus.crawl.crawl()" in last


# ------------------------------------------------------------------ no network


def test_reading_files_on_this_computer_asks_no_server_for_anything():
    code = (
        "import socket\n"
        "asked = []\n"
        "def refuse(*where, **_):\n"
        "    asked.append(where[-2:])\n"
        "    raise OSError('no network')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from lablib.corpus.sources import stream\n"
        "from lablib.corpus.sources.fixtures import FILES, fixture\n"
        "print([len(list(stream(name, fixture(name)))) for name in FILES], asked)\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("] []")


def unused_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("common")])
def test_offline_is_said_in_one_line_and_at_once(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    start = time.monotonic()
    with pytest.raises(SourceUnavailable) as error:
        next(stream(name))
    said = str(error.value)
    assert time.monotonic() - start < 1
    assert said.startswith(f"'{name}' needs huggingface.co (about ")
    assert "HF_HUB_OFFLINE is set" in said
    assert "lablib.corpus.crawl.crawl()" in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["c4", "common-crawl"])
def test_no_answer_is_said_in_one_line_within_seconds(name, monkeypatch):
    address = f"http://127.0.0.1:{unused_port()}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("lablib.corpus.sources.files.BASE", f"{address}/")
    start = time.monotonic()
    with pytest.raises(SourceUnavailable) as error:
        next(stream(name))
    said = str(error.value)
    assert time.monotonic() - start < 3
    assert said.startswith(f"'{name}' needs ")
    assert "does not answer (Connection refused)" in said
    assert "lablib.corpus.crawl.crawl()" in said
    assert "\n" not in said


def test_a_host_that_swallows_everything_is_given_up_within_the_patience():
    with contextlib.closing(socket.socket()) as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # and nobody accepts
        start = time.monotonic()
        with pytest.raises(Transient, match=r"does not answer"):
            reach(
                f"http://127.0.0.1:{deaf.getsockname()[1]}",
                Retry(attempts=2, patience=0.6, timeout=0.2, first_wait=0.1),
            )
        assert time.monotonic() - start < 2


def test_common_crawl_is_listed_and_read_from_its_own_place(server, monkeypatch):
    data = fixture("common-crawl").read_bytes()
    listed = [f"crawl-data/CC-MAIN-2024-51/segments/1/wet/{i}.warc.wet.gz" for i in range(2)]
    server.files["/crawl-data/CC-MAIN-2024-51/wet.paths.gz"] = gzip.compress(
        "".join(f"{path}\n" for path in listed).encode()
    )
    server.files |= {f"/{path}": data for path in listed}
    monkeypatch.setattr("lablib.corpus.sources.files.BASE", f"{server.address}/")
    report = SourceReport()
    documents = list(stream("common-crawl", limit=15, report=report))
    assert [document.text for document in documents[:10]] == [
        d.text for d in stream("common-crawl", fixture("common-crawl"))
    ]
    assert documents[10].id == "common-crawl/1.warc.wet.gz/2"
    assert report.files == [f"{server.address}/{path}" for path in listed]
    server.faults["/crawl-data/CC-MAIN-2024-51/wet.paths.gz"] = [Answer(404)]
    with pytest.raises(SourceUnavailable, match=r"'common-crawl' needs data.commoncrawl.org .*answers 404"):
        next(stream("common-crawl"))
