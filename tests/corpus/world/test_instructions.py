"""Instructions: kinds, splits, seeds, chances."""

import itertools
import math
import re
from collections import Counter
from random import Random

import pytest

from lablib.corpus.world.instructions import SHARES, Instruction, instructions
from lablib.corpus.world.requests import forms, grammar, recognise, types


def draw(n: int, seed: int = 0, split: str = "train", only: list[str] | None = None) -> list[Instruction]:
    return list(itertools.islice(instructions(None, Random(seed), split, only), n))


def test_the_same_seed_gives_the_same_instructions() -> None:
    assert draw(300, 5) == draw(300, 5)
    assert draw(300, 5) != draw(300, 6)


def test_only_random_is_called() -> None:
    class Bare:
        def __init__(self) -> None:
            self.random = Random(5).random

    found = list(itertools.islice(instructions(None, Bare()), 100))  # type: ignore[arg-type]
    assert found == draw(100, 5)


def test_every_type_comes_and_kinds_have_their_shares() -> None:
    found = draw(6000)
    assert {x.type for x in found} == set(types())
    assert {x.form for x in found} == set(forms())
    counts = Counter(x.kind_of for x in found)
    for kind, share in SHARES.items():
        # four standard errors of a share of 6,000
        assert abs(counts[kind] / 6000 - share) < 4 * math.sqrt(share * (1 - share) / 6000), kind
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_fields_agree_with_what_the_prompt_says() -> None:
    for x in draw(1500):
        request = recognise(x.prompt)
        assert (request.form, request.type, request.kind_of) == (x.form, x.type, x.kind_of)
        assert bool(x.going_along) == (x.kind_of in ("harmful", "private"))
        assert x.log_prob < 0


def test_held_out_combinations_are_never_trained_on() -> None:
    train = {(x.form, x.subject) for x in draw(15000, 1)}
    held_out = {(x.form, x.subject) for x in draw(6000, 2, "held_out")}
    assert not train & held_out
    assert {form for form, _ in held_out} == set(forms())
    share = len(held_out) / len(train | held_out)
    assert 0.05 < share < 0.2


def test_all_is_both() -> None:
    train = {(x.form, x.subject) for x in draw(15000, 1)}
    held_out = {(x.form, x.subject) for x in draw(6000, 2, "held_out")}
    everything = {(x.form, x.subject) for x in draw(4000, 3, "all")}
    assert everything & train
    assert everything & held_out


def test_types_can_be_chosen() -> None:
    only = ["sum", "harm.theft", "home"]
    found = draw(600, 4, only=only)
    assert {x.type for x in found} == set(only)
    share = SHARES["harmful"] / (SHARES["harmful"] + SHARES["helpful"])
    counts = Counter(x.type for x in found)
    assert abs(counts["harm.theft"] / 600 - share) < 4 * math.sqrt(share * (1 - share) / 600)


def test_log_prob_is_the_sum_of_the_choices() -> None:
    """For sums nothing is ambiguous: the whole chance can be counted by hand."""
    (x,) = draw(1, 8, "all", ["sum"])
    wordings = len(grammar().rules[f"{x.form}.prompt"].alternatives) * len(
        grammar().rules[f"{x.form}.response"].alternatives
    )
    by_hand = math.log(1 / 2 / len(grammar().entities["sum"]) / wordings)  # two forms
    assert x.log_prob == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"generator": 3}, r"generator = 3: expected a random.Random"),
        ({"split": "test"}, r"split = 'test': expected one of train, held_out, all"),
        ({"only": ["homes"]}, r"only = \['homes'\]: expected a list of some of home, job"),
        ({"only": "home"}, r"only = 'home': expected a list"),
        ({"only": []}, r"only = \[\]: expected a list"),
    ],
)
def test_errors(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        instructions(None, **{"generator": Random(0), **arguments})  # type: ignore[arg-type]


def test_texts_read_well() -> None:
    for x in draw(4000, 9, "all"):
        for text in (x.prompt, x.response):
            assert text[0].isupper() or text[0].isdigit(), text
            assert not re.search(r"  | [.,;:!?]|\.\.|[{}<>]|\ba [aeio]|\ban (?!hour|honest)[^aeiou]", text), text
        assert x.response[-1] in ".!?" or x.type == "letter", x.response
