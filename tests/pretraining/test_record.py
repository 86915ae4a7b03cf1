"""The stream of steps on its way into files."""

import csv
import dataclasses
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.pretraining.record import COLUMNS, Step, read_jsonl, to_csv, to_jsonl, to_tensorboard


def some(first: int, last: int, loss: float = 3.25) -> list[Step]:
    return [
        Step(n, loss / n, 0.5 + n, 1e-3, 128 * n, 0.1, 1280.0, None if n % 2 else 0.25, n == last)
        for n in range(first, last + 1)
    ]


def test_a_stream_passes_through_both_files(tmp_path):
    steps = some(1, 4)
    assert list(to_csv(to_jsonl(iter(steps), tmp_path / "new" / "a.jsonl"), tmp_path / "a.csv")) == steps
    assert read_jsonl(tmp_path / "new" / "a.jsonl") == steps
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))  # by Python's own reader
    assert list(rows[0]) == COLUMNS
    for row, step in zip(rows, steps, strict=True):
        expected = dataclasses.asdict(step)
        assert float(row["loss"]) == expected["loss"]
        assert row["mfu"] == ("" if expected["mfu"] is None else "0.25")
        assert {name: row[name] for name in ("step", "tokens", "stopped")} == {
            n: str(expected[n]) for n in ("step", "tokens", "stopped")
        }


def test_a_line_is_there_as_soon_as_its_step_is(tmp_path):
    stream = to_jsonl(iter(some(1, 3)), tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()  # nothing is touched before the first step
    for n, _ in enumerate(stream, 1):
        assert len(read_jsonl(tmp_path / "a.jsonl")) == n


@pytest.mark.parametrize("to", [to_jsonl, to_csv])
@settings(deadline=None, max_examples=40)
@given(done=st.integers(1, 6), again=st.integers(1, 7), cut=st.integers(0, 40))
def test_a_resumed_run_continues_the_file_where_it_goes_on(tmp_path_factory, to, done, again, cut):
    path, expected = (tmp_path_factory.mktemp("record") / name for name in ("a", "b"))
    list(to(iter(some(1, done)), path))
    content = path.read_text()
    path.write_text(content[: len(content) - cut])  # killed in the middle of a line
    kept = path.read_text().count("\n") - (to is to_csv)  # whole lines
    again = min(again, max(kept, 0) + 1)  # a checkpoint is never later than the record
    list(to(iter(some(again, 8, loss=4.0)), path))
    list(to(iter([*some(1, done)[: again - 1], *some(again, 8, loss=4.0)]), expected))
    assert path.read_text() == expected.read_text()


def test_what_is_no_record_is_written_over_from_its_first_bad_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(some(1, 1)[0])) + "\nnonsense\n")
    list(to_jsonl(iter(some(2, 3)), path))
    assert [step.step for step in read_jsonl(path)] == [1, 2, 3]


def shown_by_tensorboard(folder):
    """What TensorBoard itself reads: name -> [(step, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_gets_every_number(tmp_path):
    steps = some(3, 4)
    assert list(to_tensorboard(iter(steps), tmp_path)) == steps
    shown = shown_by_tensorboard(tmp_path)
    assert set(shown) == set(COLUMNS) - {"step", "stopped"}
    assert shown["loss"] == [(step.step, pytest.approx(step.loss, rel=1e-6)) for step in steps]
    assert shown["mfu"] == [(4, 0.25)]  # nothing is shown where nothing was measured


def test_tensorboard_shows_a_resumed_run_once(tmp_path):
    list(to_tensorboard(iter(some(1, 5)), tmp_path))
    list(to_tensorboard(iter(some(4, 6)), tmp_path))  # killed after step 5, its last checkpoint was that of step 3
    assert [step for step, _ in shown_by_tensorboard(tmp_path)["loss"]] == [1, 2, 3, 4, 5, 6]


def test_without_tensorboard_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install tensorboard.*to_jsonl or to_csv"):
        next(to_tensorboard(iter(some(1, 2)), tmp_path))


def test_the_live_chart_takes_the_same_stream():
    from lablib.show.live import LiveChart

    with LiveChart(["loss"], alt="Loss by step.") as chart:
        for step in some(1, 3):
            chart.add(step.step, loss=step.loss)
    assert chart.data == {"x": [1.0, 2.0, 3.0], "loss": [step.loss for step in some(1, 3)]}
