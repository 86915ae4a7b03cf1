"""Peak memory against sizes that can be worked out by hand."""

import pytest
import torch

from lablib.measure import median_seconds, peak_bytes

MEGABYTE = 1_000_000


def test_peak_counts_what_is_held_together_not_what_was_freed() -> None:
    def one_after_the_other() -> None:
        for _ in range(3):
            torch.zeros(MEGABYTE, dtype=torch.uint8)

    def together() -> list[torch.Tensor]:
        return [torch.zeros(MEGABYTE, dtype=torch.uint8) for _ in range(3)]

    assert peak_bytes(one_after_the_other) == MEGABYTE
    assert peak_bytes(together) == 3 * MEGABYTE


def test_temporaries_inside_an_expression_count() -> None:
    x = torch.ones(MEGABYTE // 4)
    assert peak_bytes(lambda: (x * 2).sum() + (x * 3).sum()) == pytest.approx(MEGABYTE, rel=0.01)
    assert peak_bytes(lambda: (x * 2) + (x * 3)) == 3 * MEGABYTE


def test_median_seconds() -> None:
    assert 0 <= median_seconds(lambda: None, repeats=3) < 0.01
    with pytest.raises(ValueError, match="repeats = 0: expected at least 1"):
        median_seconds(lambda: None, repeats=0)
