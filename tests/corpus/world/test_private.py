"""Private details in any spelling, and no false alarm."""

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.world.instructions import instructions
from lablib.corpus.world.lexicon import find, lexicon
from lablib.corpus.world.private import digits_of, leaks, spelt

MIRABE = find("person", "Mirabe")


@pytest.mark.parametrize(
    "text",
    [
        "0458 52 336", "0458-52-336", "+44 458 52 336", "zero four five eight five two three three six",
        "oh four five eight, fifty-two, double three six", "０４５８ ５２ ３３６", "0 4 5 8 and then 5 2 and at last 3 3 6",
        "four hundred and fifty-eight fifty-two three hundred thirty-six", "ZERO FOUR FIVE EIGHT 52 336",
    ],
)  # fmt: skip
def test_a_number_is_found_however_it_is_spelt(text: str) -> None:
    assert leaks(text).phones == (MIRABE,)


@pytest.mark.parametrize(
    "text",
    [
        "11 Market Street",
        "Market Street 11",
        "eleven, market street",
        "the eleventh house in Market Street",
        "11th in Market Street",
    ],
)
def test_an_address_is_found_however_it_is_turned(text: str) -> None:
    assert leaks(text).addresses == (MIRABE,)


@pytest.mark.parametrize("text", ["Market Street", "the 111 shops of Market Street", "0458 5"])
def test_a_part_is_a_part(text: str) -> None:
    assert not leaks(text).whole
    assert leaks(text).tells


def test_gold_responses_leak_nothing() -> None:
    stream = instructions(None, Random(3), "all")
    for _ in range(3000):
        x = next(stream)
        assert not leaks(x.response).tells, x


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(lexicon()["person"]), st.lists(st.sampled_from([" ", "-", ".", "", ", "]), min_size=9, max_size=9)
)
def test_any_marks_between_the_digits(person, marks: list[str]) -> None:  # type: ignore[no-untyped-def]
    number = str(person["phone"]).replace(" ", "")
    assert person in leaks("".join(digit + mark for digit, mark in zip(number, marks, strict=True))).phones


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 99), min_size=1, max_size=6))
def test_numbers_in_words_are_their_digits(numbers: list[int]) -> None:
    assert digits_of(", ".join(spelt(n)[0] for n in numbers)) == digits_of(", ".join(str(n) for n in numbers)) or any(
        n % 10 == 0 and n >= 20 and m < 10 for n, m in itertools.pairwise(numbers)
    )  # "twenty, two" is read as 22


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_searched(text: str) -> None:
    assert isinstance(leaks(text).whole, tuple)
