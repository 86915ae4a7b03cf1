"""What a card can do: the table of peaks against cores times clock, and the choice of dtype."""

import pytest
import torch

from lablib import speed
from lablib.course.device import pick
from lablib.pretraining import hardware
from lablib.pretraining.hardware import CARDS, best_dtype, card, cost, dtype_for, name_of, peak
from lablib.pretraining.loss import autocast

# Cores x 2 (a multiplication and an addition) x boost clock, and tensor cores x FLOPs in a cycle x their clock: the white papers' own sums.
COUNTED = {
    "Tesla T4": (2560 * 2 * 1.59e9, None),
    "Tesla P100-PCIE-16GB": (3584 * 2 * 1.303e9, None),
    "Tesla V100-SXM2-16GB": (5120 * 2 * 1.53e9, None),
    "NVIDIA L4": (7424 * 2 * 2.04e9, 232 * 256 * 2.04e9),
    "NVIDIA A100-SXM4-40GB": (6912 * 2 * 1.41e9, 432 * 512 * 1.41e9),
    "NVIDIA A100 80GB PCIe": (6912 * 2 * 1.41e9, 432 * 512 * 1.41e9),
    "NVIDIA H100 PCIe": (14592 * 2 * 1.755e9, 456 * 1024 * 1.62e9),
    "NVIDIA H100 NVL": (16896 * 2 * 1.785e9, 528 * 1024 * 1.545e9),
    "NVIDIA H100 80GB HBM3": (16896 * 2 * 1.98e9, 528 * 1024 * 1.83e9),
    "NVIDIA H200": (16896 * 2 * 1.98e9, 528 * 1024 * 1.83e9),
    "NVIDIA H200 NVL": (16896 * 2 * 1.785e9, 528 * 1024 * 1.545e9),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_published_peak_is_cores_times_clock(name):
    float32, bfloat16 = COUNTED[name]
    assert peak(name, "float32") == pytest.approx(float32, rel=0.01)
    if bfloat16 is None:
        assert peak(name, "bfloat16") is None
    else:
        assert peak(name, "bfloat16") == pytest.approx(bfloat16, rel=0.01)


def test_every_card_of_the_table_is_counted_here():
    assert {card(name) for name in COUNTED} == set(CARDS)


@pytest.mark.parametrize(
    "name", ["NVIDIA L40S", "NVIDIA T400", "NVIDIA A10", "NVIDIA GeForce RTX 4090", "Tesla V100-PCIE-16GB", ""]
)
def test_nothing_is_guessed_of_another_card(name):
    assert card(name) is None
    assert peak(name, "float32") is peak(name, "bfloat16") is None


def test_an_unknown_dtype_is_named():
    with pytest.raises(ValueError, match=r"dtype = 'float16': expected 'float32' or 'bfloat16'"):
        peak("Tesla T4", "float16")


@pytest.mark.parametrize(("hardware_for_it", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_only_where_there_is_hardware_for_it(hardware_for_it, chosen, monkeypatch):
    # With emulation PyTorch says yes on a T4, too.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or hardware_for_it
    )
    assert best_dtype(torch.device("cuda")) == chosen


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [
        ((50.0, 3.0), "float32"),
        ((100.0, 129.0), "float32"),
        ((100.0, 130.0), "bfloat16"),
        ((300.0, 1900.0), "bfloat16"),
    ],
)
def test_a_processor_is_asked_by_timing_a_product_of_each(speeds, chosen, monkeypatch):
    timed = dict(zip(("float32", "bfloat16"), speeds, strict=True))
    asked = []

    def measured(name, dtype):
        asked.append((name, dtype))
        return speed.Measurement(name, dtype, timed[dtype])

    speed.measured.cache_clear()
    monkeypatch.setattr(speed, "measure", measured)
    try:
        cpu = torch.device("cpu")
        assert best_dtype(cpu) == dtype_for(cpu, "auto") == chosen == pick(speed.measured("cpu")).dtype
        assert autocast(cpu, "auto")._enabled == (chosen == "bfloat16")
        assert asked == [("cpu", "float32"), ("cpu", "bfloat16")]  # once
        assert [dtype_for(cpu, wanted) for wanted in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    finally:
        speed.measured.cache_clear()


def test_the_cost_of_an_hour_is_its_price():
    assert cost(3600, 2.5) == 2.5
    assert cost(3600, None) is None
    with pytest.raises(ValueError, match=r"price = -1: expected what an hour"):
        cost(1, -1)


def test_a_processor_has_a_name_and_its_memory_is_nobodys_own():
    assert name_of(torch.device("cpu"))
    assert hardware.free_memory(torch.device("cpu")) is None
