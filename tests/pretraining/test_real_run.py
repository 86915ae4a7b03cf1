"""The real run at a tiny size: the whole command, its figures against `transformers`, kills, Ctrl-C, no network, wrong input."""

import io
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from random import Random

import pyarrow.parquet
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from lablib.architecture.decoder import DecoderConfig
from lablib.corpus.sources.fixtures import fixture
from lablib.corpus.world import World
from lablib.pretraining import flops, real_plan, real_run
from lablib.pretraining.batching import Batches
from lablib.pretraining.checkpoint import STATE, WEIGHTS, latest
from lablib.pretraining.checkpoint import steps as checkpoints
from lablib.pretraining.real_plan import LEAST_STEPS, Settings, Timing, lengthened, measured, rows_that_fit, started
from lablib.pretraining.real_run import finish, main, prepare, steps
from lablib.pretraining.real_texts import END, EVERY, begin
from lablib.pretraining.record import read_jsonl

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "corpus"))
from loopback_server import Answer, serve  # noqa: E402

TINY = ["--parameters", "7e4", "--vocabulary", "300", "--context", "32", "--first", "40000"]
SMALL = Settings(source="world", parameters=7e4, V=300, context=32, first=40_000, steps=12)
CPU = torch.device("cpu")


def command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("texts"), "world", V=300, first=40_000)[0]


# ---------------------------------------------------------------- the whole of it


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run of the command on a fixture of the source that it takes by default: its folder, and its last line."""
    folder = tmp_path_factory.mktemp("done") / "run"
    arguments = ["--source", "fineweb-edu", "--texts", fixture("fineweb-edu"), "--folder", folder, *TINY]
    command_line = [
        sys.executable,
        "-m",
        "lablib.pretraining.real_run",
        *map(str, arguments),
        "--steps",
        "30",
        "--price",
        "0.35",
    ]
    found = subprocess.run(command_line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    return folder, found.stdout.splitlines()


def test_the_last_line_has_every_figure(done):
    folder, lines = done
    figures = json.loads(lines[-1])
    assert figures == json.loads((folder / "report.json").read_text())
    assert figures["source"] == "fineweb-edu"
    assert figures["hardware"]
    assert figures["tokens"] == 30 * figures["recipe"]["batch"] * 32
    config = DecoderConfig(**figures["model"])
    assert figures["parameters"] == config.parameters
    assert figures["flops_per_token"] == flops.per_token(config, 32)
    record = read_jsonl(folder / "steps.jsonl")
    assert figures["tokens_per_second"] == statistics.median(step.tokens_per_second for step in record)
    seconds = figures["seconds"]
    assert seconds["trained"] == pytest.approx(sum(step.seconds for step in record))
    assert figures["cost"] == pytest.approx(0.35 * sum(seconds.values()) / 3600)
    assert figures["mfu"] is figures["peak_flops_per_second"] is None  # of a processor none is published
    assert len(figures["samples"]) == 3
    assert 0 < figures["compressed_bits_per_byte"]["lzma"] < 8
    assert record[-1].loss < record[0].loss - 0.5


def test_the_loss_is_what_transformers_finds_in_the_saved_model(done):
    folder, lines = done
    figures = json.loads(lines[-1])
    theirs, held_out = LlamaForCausalLM.from_pretrained(folder / "model").eval(), real_run.open_texts(folder).held_out
    ids = torch.from_numpy(held_out.tokens.astype("int64"))
    nats = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, 32):
            window = ids[start : start + 33]
            logits = theirs(window[None, :-1]).logits[0]
            nats += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    assert figures["held_out_nats_per_token"] == pytest.approx(nats / (len(ids) - 1), rel=1e-4)
    size = figures["held_out_bytes"]
    assert figures["held_out_bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    first = next(text for text in _documents("fineweb-edu"))
    assert size == len(first.encode())  # 1 document of 20 is held out, and the fixture has fewer


def _documents(name):
    from lablib.pretraining.text_source import texts_of

    return texts_of(name, [fixture(name)])


def test_the_saved_tokenizer_reads_what_the_model_writes(done):
    from tokenizers import Tokenizer

    folder, _ = done
    mine = real_run.open_texts(folder).tokenizer
    theirs = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    assert theirs.encode("The water of the lake.").ids == mine.encode("The water of the lake.")
    assert theirs.token_to_id(END) == mine.special[END]


def test_a_finished_run_called_again_only_reports(done, capsys):
    folder, lines = done
    before = {path: path.read_bytes() for path in folder.rglob("step*") if path.is_file()}
    code = command(
        "--source", "fineweb-edu", "--texts", fixture("fineweb-edu"), "--folder", folder, *TINY, "--steps", 30
    )  # fmt: skip
    assert code == 0
    again, first = json.loads(capsys.readouterr().out.splitlines()[-1]), json.loads(lines[-1])
    for name in ("held_out_nats_per_token", "samples", "tokens", "tokens_per_second", "parameters"):
        assert again[name] == first[name]
    assert again["cost"] is None
    assert {path: path.read_bytes() for path in folder.rglob("step*") if path.is_file()} == before


def test_minutes_become_steps_and_more_text_is_read_for_them(tmp_path, capsys):
    assert command("--source", "world", *TINY, "--minutes", 0.08, "--every", 50, "--folder", tmp_path / "run") == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    recipe = figures["recipe"]
    assert (
        recipe["steps"] > LEAST_STEPS or sum(figures["seconds"].values()) > 3
    )  # a machine that is busy with other things
    assert figures["epochs"] <= 4
    assert figures["tokens"] == recipe["steps"] * recipe["batch"] * recipe["context"]
    assert [path.name for path in checkpoints(tmp_path / "run")][-1] == f"step-{recipe['steps']:08}"
    # It may be called again with more patience: the plan stays.
    assert command("--source", "world", *TINY, "--minutes", 5, "--folder", tmp_path / "run") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["recipe"] == recipe


# ---------------------------------------------------------------- cut off


def test_killed_on_the_way_and_called_again_it_ends_as_if_nothing_had_been(tmp_path, capsys):
    arguments = ["--source", "world", *TINY, "--steps", 60, "--every", 4]
    line = [sys.executable, "-m", "lablib.pretraining.real_run", *map(str, arguments), "--folder"]
    child = subprocess.Popen([*line, str(tmp_path / "killed")], cwd=ROOT, stdout=subprocess.DEVNULL)
    record, deadline = tmp_path / "killed" / "steps.jsonl", time.monotonic() + 90
    while (
        child.poll() is None
        and time.monotonic() < deadline
        and (not record.is_file() or record.read_text().count("\n") < 10)
    ):
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    found = latest(tmp_path / "killed")
    assert found is not None
    assert 8 <= found.step < 60
    for name in ("killed", "whole"):
        done = subprocess.run([*line, str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if name == "killed":
            assert "has a plan of 60 steps: going on with it" in done.stdout
    killed, whole = (checkpoints(tmp_path / name)[-1] for name in ("killed", "whole"))
    assert killed.name == whole.name == "step-00000060"
    assert (killed / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    mine, theirs = (safetensors.torch.load_file(path / STATE) for path in (killed, whole))
    assert mine.keys() == theirs.keys()
    assert len(mine) > 20
    for name in mine.keys() - {"random.cpu"}:  # which each process begins with as it likes; nothing here draws from it
        assert torch.equal(mine[name], theirs[name]), name
    losses = [
        [(step.step, step.loss) for step in read_jsonl(tmp_path / name / "steps.jsonl")] for name in ("killed", "whole")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 60


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path, capsys, monkeypatch):
    real = Batches.__call__

    def pressed(self, step):
        if step == 7:  # later than the steps that are timed
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, step)

    arguments = ["--source", "world", *TINY, "--steps", 12, "--folder", tmp_path / "run"]
    with monkeypatch.context() as patch:
        patch.setattr(Batches, "__call__", pressed)
        assert command(*arguments) == real_run.INTERRUPTED
    assert "stopped by Ctrl-C; the same command goes on" in capsys.readouterr().out
    found = latest(tmp_path / "run")
    assert found is not None
    assert found.step == 8
    run = prepare(SMALL, tmp_path / "run", lambda line: None)
    with pytest.raises(
        ValueError, match=r"a run at step 8 of 12: expected a finished one; take all of its steps first"
    ):
        finish(run)
    assert [step.step for step in steps(run)] == [9, 10, 11, 12]
    assert finish(run)["tokens"] == 12 * run.recipe.batch * 32


def test_a_folder_with_another_run_is_refused_and_stays(tmp_path, capsys):
    list(steps(prepare(SMALL, tmp_path, lambda line: None)))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert command("--source", "world", *TINY, "--steps", 20, "--seed", 1, "--folder", tmp_path) == 2
    said = capsys.readouterr().err
    assert (
        "has a run with other settings (there and here): steps = 12 and 20; seed = 0 and 1. Go on with its settings"
        in said
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ValueError, match=r"plan\.json cannot be used"):
        prepare(SMALL, tmp_path)


def test_it_trains_in_the_dtype_that_was_chosen_also_when_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("lablib.pretraining.hardware.best_dtype", lambda device: "bfloat16")
    run = prepare(SMALL, tmp_path, lambda line: None)
    assert run.recipe.dtype == json.loads((tmp_path / "plan.json").read_text())["recipe"]["dtype"] == "bfloat16"
    monkeypatch.undo()
    again = prepare(SMALL, tmp_path, lambda line: None)  # on a card that has no hardware for it
    assert again.recipe.dtype == "float32"
    assert again.recipe.differences(run.recipe) == []


# ---------------------------------------------------------------- from the hub, and without it


@pytest.mark.parametrize("missing", [False, True])
def test_streamed_from_a_hub_also_when_its_second_file_never_comes(missing, tmp_path):
    texts = [document.text for document in islice(World().documents(Random(0), "train"), 300)]
    files = {}
    for i, part in enumerate((texts[:150], texts[150:])):
        out = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"text": part}), out)
        files[f"data/train-0000{i}-of-00002.parquet"] = out.getvalue()
    arguments = [
        "--source",
        "tinystories",
        *TINY,
        "--first",
        "1000000",
        "--steps",
        "3",
        "--folder",
        str(tmp_path / "run"),
    ]
    with serve() as server:
        server.be_hub("roneneldan/TinyStories", files)
        if missing:
            server.faults[f"/datasets/roneneldan/TinyStories/resolve/main/{sorted(files)[1]}"] = [Answer(404)] * 50
        environment = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "home")}
        for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
            environment.pop(variable, None)
        line = [sys.executable, "-m", "lablib.pretraining.real_run", *arguments]
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["source"] == "tinystories"
    assert figures["documents"] == (150 if missing else 300)
    learned = [text for i, text in enumerate(texts[: figures["documents"]]) if i % EVERY]
    assert figures["text_bytes"] == sum(len(text.encode()) for text in learned)
    assert figures["text_ended"].startswith("the stream broke off after 150 documents: " if missing else "that is all")


def test_without_a_network_it_says_so_and_trains_on_the_crawl(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert command("--source", "tinystories", *TINY, "--steps", 2, "--folder", tmp_path / "run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("'tinystories' needs huggingface.co")
    assert "lablib.corpus.crawl.crawl()" in lines[0]
    figures = json.loads(lines[-1])
    assert figures["source"] == "crawl"
    assert figures["run"]["source"] == "tinystories"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "tinystory"], "source = 'tinystory': expected one of"),
        (["--texts", "no_such.txt"], "the file 'no_such.txt' is not there"),
        (["--source", "text"], "source = 'text' with files = []: expected files to read"),
        (["--minutes", "0"], "minutes = 0.0: expected a number > 0"),
        (["--source", "world", "--price", "-1"], "price = -1.0: expected what an hour"),
        (["--source", "world", "--vocabulary", "100"], "V = 100: expected at least 272"),
        (["--source", "world", "--first", "20000", "--vocabulary", "300", "--parameters", "10"], "parameters = 10.0: expected"),
        (["--source", "world", "--first", "20000", "--vocabulary", "300", "--parameters", "7e4", "--context", "99999"], "take a smaller T"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(arguments, said, tmp_path, capsys):
    assert command(*arguments, "--folder", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command("--source", "world", *TINY, "--folder", tmp_path / "file" / "run") == 2
    assert "Not a directory" in capsys.readouterr().err


def test_a_full_disk_loses_nothing_that_was_made(tmp_path, capsys, monkeypatch):
    arguments = ["--source", "world", *TINY, "--steps", 12, "--every", 4, "--folder", tmp_path / "run"]

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:  # no room for a checkpoint: texts, tokenizer and plan stay
        patch.setattr("lablib.pretraining.checkpoint._write", full)
        with pytest.warns(UserWarning, match=r"no checkpoint of step [48]"):
            assert command(*arguments) == 2
    assert "No space left on device" in capsys.readouterr().err
    kept = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix in (".bin", ".json")}
    assert len(kept) == 5
    assert command(*arguments) == 0
    assert all(path.read_bytes() == content for path, content in kept.items())


# ---------------------------------------------------------------- how long, how much at a time


def timing(speed: float, rows: int = 8) -> Timing:
    return Timing(
        started(DecoderConfig(V=300, D=44, H=2, L=2, hidden=120, context=32), 0, CPU), rows, "bfloat16", False, speed
    )


@given(speed=st.floats(1e4, 1e7), seconds=st.floats(20, 4000))
def test_the_steps_fill_the_time(texts, speed, seconds):
    settings = Settings(source="world", parameters=7e4, V=300, context=32, epochs=1e9)
    recipe = lengthened(settings, texts, timing(speed), seconds, lambda line: None)
    step = recipe.batch * recipe.context / speed
    if recipe.steps > LEAST_STEPS:
        assert seconds - step < recipe.steps * step <= seconds * (1 + 1e-9)
    else:
        assert seconds < (LEAST_STEPS + 1) * step
    assert recipe.batch % recipe.accumulation == 0
    assert recipe.batch // recipe.accumulation <= 8
    assert recipe.schedule == "wsd"


def test_short_text_is_not_read_more_often_than_was_said(texts):
    said: list[str] = []
    settings = Settings(source="world", parameters=7e4, V=300, context=32, epochs=3)
    recipe = lengthened(settings, texts, timing(1e6), 1000, said.append)
    assert 2.5 * texts.tokens < recipe.steps * recipe.batch * recipe.context <= 3 * texts.tokens
    assert len(said) == 1
    assert "read 3 times" in said[0]


def test_given_steps_nothing_depends_on_the_clock(texts):
    settings = Settings(source="world", parameters=7e4, V=300, context=32, steps=5)
    recipes = [lengthened(settings, texts, timing(speed), left, print) for speed, left in ((1e3, 1), (1e6, 900))]
    assert recipes[0] == recipes[1]
    assert recipes[0].steps == 5
    assert recipes[0].dtype == "bfloat16"  # as it was timed


def test_the_plan_of_a_t4_fits_into_its_memory_and_its_minutes(texts):
    config = DecoderConfig(V=8192, D=432, H=9, L=9, hidden=1280, context=512)
    assert config.parameters > 25e6
    rows = rows_that_fit(config, 14_500_000_000, 100)
    assert rows == 16
    assert rows_that_fit(config, 70_000_000_000, 100) == 64
    assert rows_that_fit(config, 1000, 100) == rows_that_fit(config, None, 1) == 1


def test_when_memory_runs_out_fewer_rows_are_tried(texts, monkeypatch):
    tried: list[int] = []
    real = real_plan.train

    def small_memory(model, batches, recipe):
        tried.append(recipe.batch // recipe.accumulation)
        if tried[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, batches, recipe)

    monkeypatch.setattr(real_plan, "train", small_memory)
    said: list[str] = []
    found = measured(SMALL, texts, "float32", False, CPU, said.append)
    assert tried == [16, 8, 4, 2]
    assert found.rows == 2
    assert said == [f"{n} rows at a time do not fit into the memory: trying {n // 2}" for n in (16, 8, 4)]
    assert found.tokens_per_second > 0
    fresh = started(found.model.config, SMALL.seed, CPU).state_dict()
    assert all(
        torch.equal(weight, fresh[name]) for name, weight in found.model.state_dict().items()
    )  # the steps are forgotten


def test_when_not_a_row_fits_it_says_what_to_change(texts, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(real_plan, "train", no_memory)
    with pytest.raises(ValueError, match=r"parameters = 70000, context = 32: one row does not fit"):
        measured(SMALL, texts, "float32", False, CPU, lambda line: None)


def test_without_a_compiler_it_goes_on(texts, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("Cannot find a working triton installation\nlong trace")

    monkeypatch.setattr(torch, "compile", broken)
    said: list[str] = []
    found = measured(SMALL, texts, "float32", True, CPU, said.append)
    assert not found.compiled
    assert said == ["torch.compile does not work here (Cannot find a working triton installation): going on without it"]
