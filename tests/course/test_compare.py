import math

import numpy as np
import pytest
import torch

from lablib.course.compare import describe, difference, same


def said(actual, expected, rtol=1e-5, **kwargs):
    return "\n".join(difference("x", actual, expected, rtol, **kwargs))


class Rude:
    def __repr__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


ONES = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (None, ONES, "x is None: expected a float32 tensor of shape (2, 3)"),
        (3, ONES, "got int 3"),
        (Rude(), ONES, "got Rude whose repr raises RuntimeError"),
        (Rude(), 3, "expected int 3, got Rude"),
        (np.ones(3), 3, "expected int 3, got ndarray"),
        (torch.ones(3), True, "expected bool True, got float32 tensor of shape (3,)"),
        (torch.tensor(2.0), 2.0, "expected a plain float (`.item()`)"),
        ((ONES,), (ONES, ONES), "expected 2 results"),
        (ONES[0], ONES, "One axis has gone"),
        (ONES.T, ONES, "missing or misplaced transpose"),
        (ONES.view(6), ONES, "a view, reshape or transpose"),
        (ONES.to("meta"), ONES, "wrong device"),
        (ONES.to_sparse(), ONES, "layout torch.sparse_coo"),
        (ONES.bool(), ONES, "expected float32, got bool"),
        (ONES.long(), ONES > 0, "Make it with `dtype=torch.bool`"),
        (ONES / 0, ONES, "x[0, 0] is infinite (as are 5 other entries): expected 1"),
        (ONES * math.nan, ONES, "x[0, 0] is NaN"),
        (ONES < 0, ONES > 0, "True and False are swapped"),
        (0 * ONES, ONES, "Every entry of yours is zero"),
        (-ONES, ONES, "The sign is wrong"),
        (3 * ONES, ONES, "Every entry is 3 times what it should be"),
        (torch.arange(4.0).view(2, 2).T, torch.arange(4.0).view(2, 2), "rows and columns are swapped"),
    ],
)
def test_each_difference_has_its_words(actual, expected, words):
    assert words in said(actual, expected)


def test_the_first_index_and_the_numbers_are_named():
    actual = ONES.clone()
    actual[1, 0] = 5
    assert "x[1, 0]: expected 1, got 5 (the first difference; 1 of 6 entries differ)." in said(actual, ONES)


def test_the_axes_stand_beside_a_wrong_shape():
    assert "expected (2, 3) (T, S), got (3,)" in said(ONES[0], ONES, axes=["T", "S"])


def test_numbers_show_as_many_digits_as_it_takes():
    text = said(ONES.double() * (1 + 1e-7), ONES.double(), rtol=1e-9)
    assert "expected 1, got 1 " not in text
    assert "fewer digits" in text


def test_equal_things_have_no_difference():
    odd = torch.tensor([math.nan, math.inf, -math.inf, 0.0])
    for value in (ONES, odd, 3, 2.5, True, "word", None, (ONES, 3), torch.zeros(0, 4), torch.tensor(1), ONES > 0):
        assert difference("x", value, value, 1e-5) == []
        assert same(value, value, 1e-5)


def test_all_zeros_never_pass_whatever_the_scale():
    assert difference("x", torch.zeros(3), torch.full((3,), 1e-12), 1e-5)
    assert not same(torch.zeros(3), torch.full((3,), 1e-12), 1e-5)


def test_describe_is_short():
    assert describe("x" * 1000).endswith("…")
    assert describe([]) == "list of nothing"


def test_lists_of_plain_things_are_written_as_python_writes_them():
    assert describe([[1, 3], [4]]) == "list [[1, 3], [4]]"
    assert describe((0.75, "a", None)) == "tuple (0.75, 'a', None)"
    assert len(describe(list(range(1000)))) < 110
    assert describe([ONES, 3]).startswith("list of float32 tensor")


def test_a_wrong_number_of_results_is_said_with_their_names():
    (line,) = difference("the result", 0.5, (ONES, 3), 1e-5, parts=("output", "the count"))
    assert "expected 2 results: output (float32 tensor" in line
    assert "the count (int 3); got a float 0.5" in line
