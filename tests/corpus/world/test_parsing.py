"""Reading back: against the count by hand on a small grammar, and against the writer on the world."""

import math
from random import Random

import pytest
from enumeration import grammar, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.world import World
from lablib.corpus.world.documents import KINDS
from lablib.corpus.world.parsing import Reader


def test_every_text_of_a_small_grammar_has_its_probability() -> None:
    small = grammar()
    reader, counted = Reader(small), texts(small)
    for text, chance in counted.items():
        assert reader.log_prob("document", text, "all") == pytest.approx(math.log(chance), abs=1e-12)
    assert math.fsum(math.exp(reader.log_prob("document", text, "all")) for text in counted) == pytest.approx(
        1, abs=1e-12
    )


@pytest.mark.parametrize(
    "text",
    ["", " ", "Ada", "Ada met Ada. It rained.", "Ada met Bo. He drank milk.", "ada met Bo.", "Ada met  Bo.", "Ada met Bo. It rained. ",
     "A hour was found by Bo.", "An hour was found by Ada.", "Ada met Bo. It rained. It rained.", "Ada met Bö."],
)  # fmt: skip
def test_what_the_grammar_cannot_write_has_no_reading(text: str) -> None:
    small = grammar()
    assert text not in texts(small)
    assert Reader(small).read("document", text, "all") == []
    assert Reader(small).log_prob("document", text, "all") == -math.inf


def test_an_ambiguous_text_has_all_its_readings() -> None:
    twice = grammar("document:\n  {one} went.\n  [3] {hero:person} went.\none:\n  {hero:person}\n")
    reader, counted = Reader(twice), texts(twice)
    readings = reader.read("document", "Bo went.")
    assert len(readings) == 2
    assert sorted(math.exp(reading.log_prob) for reading in readings) == pytest.approx([1 / 12, 3 / 12])
    assert reader.log_prob("document", "Bo went.") == pytest.approx(math.log(counted["Bo went."]))


def test_an_empty_rule_leaves_no_gap() -> None:
    gaps = grammar("document:\n  {maybe} and {maybe} so {maybe}.\nmaybe:\n  {}\n  well\n")
    counted = texts(gaps)
    assert {"and so.", "well and well so well."} <= set(counted)
    for text, chance in counted.items():
        assert Reader(gaps).log_prob("document", text) == pytest.approx(math.log(chance))


def test_a_reading_says_who_was_meant() -> None:
    (reading,) = Reader(grammar()).read("document", "Cy met Ada. He drank ale.", "all")
    assert {name: entity.name for name, entity in reading.bound.items()} == {"hero": "Cy", "friend": "Ada"}
    assert reading.shape == "meeting"


def test_reading_goes_on_from_what_is_bound() -> None:
    small = grammar()
    bound = Reader(small).read("document", "Cy met Ada. He drank ale.", "all")[0].bound
    assert len(Reader(small).read("end", "He drank jam.", bound=bound)) == 1
    assert Reader(small).read("end", "She drank tea.", bound=bound) == []


@pytest.mark.parametrize("split", ["train", "held_out", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_world_is_unambiguous(kind: str, split: str) -> None:
    """A hundred documents of each kind and split: one derivation each, with the writer's log-probability."""
    world = World()
    for document, _ in zip(world.documents(Random(f"{kind} {split}"), split, [kind]), range(100), strict=False):
        readings = world.reader.read(kind, document.text, split)
        assert len(readings) == 1, document.text
        assert readings[0].log_prob == pytest.approx(document.log_prob, abs=1e-9)  # of one kind, whose chance is then 1
        assert readings[0].shape == document.shape


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_log_prob_of_any_document(seed: int) -> None:
    world = World()
    document = next(world.documents(Random(seed)))
    assert world.log_prob(document.text) == pytest.approx(document.log_prob, abs=1e-9)
    assert world.log_prob(document.text, "all") < world.log_prob(document.text)  # more subjects to draw from
    assert world.log_prob(document.text, "held_out") == -math.inf


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_other_text_has_no_probability(text: str) -> None:
    assert World().log_prob(text) == -math.inf


def test_requests_are_checked() -> None:
    with pytest.raises(ValueError, match="rule = 'nothing'"):
        Reader(grammar()).read("nothing", "x")
    with pytest.raises(ValueError, match="split = 'test'"):
        Reader(grammar()).read("document", "x", "test")
