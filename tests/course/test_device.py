"""Device, dtype and memory: the choice follows the measurements, and a container's limits count."""

import time

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.course import device
from lablib.speed import Measurement, best_time


def test_choose_measures_and_picks_the_fastest_that_is_worth_it():
    device.choose.cache_clear()
    chosen = device.choose()
    assert {(m.device, m.dtype) for m in chosen.measured} >= {("cpu", "float32")}
    assert all(m.gflops > 0 for m in chosen.measured)
    assert chosen.torch_dtype in (torch.float32, torch.bfloat16)
    assert f"{chosen.name} in {chosen.dtype}" in str(chosen)
    assert device.choose() is chosen, "measured once in a process"


@given(st.floats(1, 1e4), st.floats(1, 1e4))
def test_bfloat16_is_chosen_only_where_it_is_clearly_faster(full, half):
    chosen = device.pick((Measurement("cpu", "float32", full), Measurement("cpu", "bfloat16", half)))
    assert chosen.dtype == ("bfloat16" if half > 1.3 * full or half == 1.3 * full else "float32")


def test_a_faster_gpu_wins_over_the_processor():
    rows = (
        Measurement("cpu", "float32", 300),
        Measurement("cuda", "float32", 8000),
        Measurement("cuda", "bfloat16", 60000),
    )
    assert (device.pick(rows).name, device.pick(rows).dtype) == ("cuda", "bfloat16")


def test_nothing_measured_says_so():
    with pytest.raises(ValueError, match="measured is empty; expected at least one"):
        device.pick(())


def test_best_time_finds_the_time_of_the_work():
    assert 0.019 < best_time(lambda: time.sleep(0.02)) < 0.2


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_memory_without_a_container_is_the_machines(tmp_path):
    free, total = device.memory(tmp_path)
    assert total == psutil.virtual_memory().total
    assert 0 < free <= total


def test_memory_honours_a_version_2_limit_and_counts_cached_files_as_free(tmp_path):
    write(tmp_path, memory__max=1000_000, memory__current=700_000, memory__stat="anon 1\ninactive_file 50000")
    assert device.memory(tmp_path) == (350_000, 1_000_000)


def test_memory_honours_a_version_1_limit_and_ignores_its_sign_for_none(tmp_path):
    write(tmp_path / "memory", **{"memory__limit_in_bytes": 500_000, "memory__usage_in_bytes": 100_000})
    assert device.memory(tmp_path) == (400_000, 500_000)
    write(tmp_path / "memory", **{"memory__limit_in_bytes": 9223372036854771712})
    assert device.memory(tmp_path)[1] == psutil.virtual_memory().total


def test_no_limit_in_version_2_is_the_word_max(tmp_path):
    write(tmp_path, memory__max="max", memory__current=700_000)
    assert device.memory(tmp_path)[1] == psutil.virtual_memory().total


def test_processors_honour_the_containers_share_of_time(tmp_path):
    everywhere = device.processors(tmp_path)
    assert everywhere >= 1
    write(tmp_path, cpu__max="100000 100000")
    assert device.processors(tmp_path) == 1
    write(tmp_path, cpu__max="max 100000")
    assert device.processors(tmp_path) == everywhere
