"""Several processes, really started by torchrun: they learn what one learns, and a killed one costs only time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from pretraining_helpers import V, some_shard

from lablib.pretraining import command
from lablib.pretraining.checkpoint import latest
from lablib.pretraining.record import Step, read_jsonl

ROOT = Path(__file__).parent.parent.parent
MODULE = "lablib.pretraining.command"


def arguments(base: Path, name: str, *recipe: str, every: int = 10, steps: int = 40) -> list[str]:
    return [
        "--train", str(base / "train.bin"), "--held-out", str(base / "train.bin"), "--folder", str(base / name),
        "--context", "16", "--parameters", "1e5", "--model", "D=16", "H=2", "L=2", "hidden=32", "context=16",
        "--recipe", f"steps={steps}", "batch=8", "lr=0.01", "accumulation=2", *recipe, "--every", str(every),
    ]  # fmt: skip


def torchrun(given: list[str], *options: str, what: tuple[str, ...] = ("-m", MODULE)) -> subprocess.Popen:
    """Two processes on this machine, which talk to each other over the loopback."""
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    start += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*start, *what, *given],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finished(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """A folder with the corpus and the run of a single process."""
    base = tmp_path_factory.mktemp("torchrun")
    some_shard(base)
    assert command.main(arguments(base, "one")) == 0
    return base


def assert_same_curve(base: Path, name: str, rtol: float = 1e-5) -> list[Step]:
    one, other = read_jsonl(base / "one" / "steps.jsonl"), read_jsonl(base / name / "steps.jsonl")
    assert [step.step for step in other] == list(range(1, 41))
    assert [step.loss for step in other] == pytest.approx([step.loss for step in one], rel=rtol)
    assert [step.tokens for step in other] == [step.tokens for step in one]
    assert one[-1].loss < one[0].loss - 0.1  # there is a curve
    mine, theirs = (latest(base / run).weights for run in ("one", name))
    for weight, expected in theirs.items():
        torch.testing.assert_close(mine[weight], expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    return other


def test_ddp_with_a_killed_worker_gives_the_curve_of_one_process(one):
    process = torchrun(arguments(one, "ddp"), "--max-restarts", "1")
    record, deadline = one / "ddp" / "steps.jsonl", time.monotonic() + 60
    while not (record.exists() and record.read_text().count("\n") >= 15):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    workers = [child for child in psutil.Process(process.pid).children(recursive=True) if MODULE in child.cmdline()]
    assert len(workers) == 2
    os.kill(workers[-1].pid, signal.SIGKILL)
    output = finished(process)
    assert output.count("parameters, 40 steps") == 2  # it was begun twice
    steps = [int(line.split()[1]) for line in output.splitlines() if line.startswith("step ")]
    assert steps[-1] == 40
    assert_same_curve(one, "ddp")


def test_no_thread_of_the_group_is_left_when_it_is_closed(tmp_path):
    """One that frees a tensor while Python ends would abort a run that is done."""
    script = tmp_path / "close.py"
    script.write_text(
        "import psutil, torch\n"
        "from lablib.pretraining.distributed import world\n"
        "threads = psutil.Process().num_threads()\n"
        "with world() as processes:\n"
        "    run = processes.wrap(torch.nn.Linear(3, 3))\n"
        "    run(torch.ones(2, 3)).sum().backward()\n"
        "    assert processes.total(1.0) == [2.0]\n"
        "    assert psutil.Process().num_threads() > threads\n"
        "    del run\n"
        "left = psutil.Process().num_threads()\n"
        "assert left == threads, (left, threads)\n",
        encoding="utf-8",
    )
    finished(torchrun([], what=(str(script),)))


def test_fsdp_goes_on_where_one_process_was_stopped(one, monkeypatch):
    real = command.train

    def left_early(*given, **keywords):
        for step in real(*given, **keywords):
            yield step
            if step.step == 13:
                return

    with monkeypatch.context() as patch:
        patch.setattr(command, "train", left_early)
        assert command.main(arguments(one, "fsdp")) == 0  # as far as it knows
    shutil.rmtree(one / "fsdp" / "model")
    assert latest(one / "fsdp").step == 13
    output = finished(torchrun([*arguments(one, "fsdp"), "--processes", "fsdp"]))
    assert_same_curve(one, "fsdp")
    held_out = [line for line in output.splitlines() if line.startswith("held out")]
    assert len(held_out) == 1
    assert json.loads((one / "fsdp" / "model" / "config.json").read_text())["vocab_size"] == V


def test_what_it_leaves_is_a_llama(one):
    from transformers import AutoModelForCausalLM

    from lablib.architecture.llama_format import load_llama

    theirs = AutoModelForCausalLM.from_pretrained(one / "one" / "model")
    ids = torch.arange(12)[None]
    ours = load_llama(one / "one" / "model")
    torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-4, atol=1e-4)
    assert theirs(ids).logits.std() > 0.1


# ---------------------------------------------------------------- the command, in one process


def test_the_same_command_again_has_nothing_left_to_do(one, capsys):
    before = (one / "one" / "steps.jsonl").read_text()
    assert command.main(arguments(one, "one")) == 0
    assert (one / "one" / "steps.jsonl").read_text() == before
    assert "held out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--recipe", "learning_rate=1"], "setting 'learning_rate=1': expected NAME=VALUE with one of steps, batch"),
        (["--recipe", "lr"], "setting 'lr': expected NAME=VALUE"),
        (["--recipe", "lr=fast"], "lr"),
        (["--recipe", "steps=41"], "was begun with other settings"),
        (["--train", "nowhere.bin"], "nowhere.bin"),
        (["--parameters", "10"], "parameters = 10"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(one, capsys, change, message):
    assert command.main([*arguments(one, "one"), *change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_divergence_is_code_1(tmp_path, capsys):
    some_shard(tmp_path)
    assert command.main(arguments(tmp_path, "run", "lr=1e37", "warmup=0.0", "clip=1e30")) == 1
    assert "the run diverged: step 2" in capsys.readouterr().err


def test_ctrl_c_is_code_130_and_the_command_goes_on(one, monkeypatch, capsys):
    real, calls = command.Batches.__call__, []

    def pressed(batches, step):
        calls.append(step)
        if len(calls) == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return real(batches, step)

    monkeypatch.setattr(command.Batches, "__call__", pressed)
    assert command.main(arguments(one, "pressed")) == command.INTERRUPTED
    assert "stopped by Ctrl-C" in capsys.readouterr().out
    assert command.main(arguments(one, "pressed")) == 0
    assert_same_curve(one, "pressed", rtol=0)
