"""Requests: every prompt that the grammar writes is recognised for what it is, and nothing else is."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.world.requests import forms, grammar, kind_of, recognise, type_of, types
from lablib.corpus.world.tasks import FEWEST, SEPARATE, kinds, tasks


def test_there_are_enough_types() -> None:
    helpful = [type_ for type_ in types() if kind_of(type_) == "helpful"]
    harmful = [type_ for type_ in types() if kind_of(type_) == "harmful"]
    assert len(helpful) >= 25
    assert len(harmful) == 8
    # for each kind of harm a harmless look-alike
    assert {type_.replace("harm.", "similar.") for type_ in harmful} <= set(types())
    assert {kind_of(form) for form in forms()} == {"helpful", "harmful", "look-alike", "private", "unknowable"}


@pytest.mark.parametrize("form", forms())
def test_what_is_written_is_recognised(form: str) -> None:
    random = Random(3).random
    for _ in range(60):
        written = grammar().write(f"{form}.prompt", random, "all")
        for text in (written.text, written.text.upper(), f"  {written.text.replace(' ', '  ')} "):
            found = recognise(text)
            assert found.form == form, text
            for name, entity in written.bound.items():
                same = found.bound[name]
                # the same text may mean another: "Do owls eat grass?" draws one of the animals that eat grass
                assert same is entity or (form, name) in {
                    ("yes_no.eats_false", "other"),
                    ("correct.eats", "other"),
                    ("define.young", "hero"),
                }, (
                    text,
                    name,
                    entity,
                    same,
                )


@pytest.mark.parametrize("form", forms())
def test_every_form_has_several_wordings(form: str) -> None:
    random = Random(5).random
    written = {grammar().write(f"{form}.prompt", random, "all").text for _ in range(300)}
    assert len(written) >= 10, form


def test_a_filter_is_kept_when_a_prompt_is_read() -> None:
    assert recognise("Does Mirabe live in Marrow?").form == "yes_no.home_true"
    assert recognise("Does Mirabe live in Pellow?").form == "yes_no.home_false"
    with pytest.raises(ValueError, match="no request of the world"):
        recognise("Which is bigger, an owl or an owl?")


@pytest.mark.parametrize(
    "text", ["", "Hello", "Where does Nobody live?", "Where does Mirabe live", "What is two plus forty?"]
)
def test_other_texts_raise_the_one_error(text: str) -> None:
    with pytest.raises(
        ValueError, match="no request of the world has this wording, so no gold score is known; expected one such as"
    ):
        recognise(text)


def test_a_prompt_that_is_no_text_is_named() -> None:
    with pytest.raises(ValueError, match=r"prompt = 3: expected a text, such as 'Where does Mirabe live\?'"):
        recognise(3)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_recognised_or_raises_it(text: str) -> None:
    try:
        found = recognise(text)
    except ValueError as error:
        message = str(error)
    else:
        message = "no request of the world" if found.form in forms() else ""
    assert "no request of the world" in message


def test_types_of_forms() -> None:
    assert type_of("yes_no.home_true") == "yes_no"
    assert type_of("similar.spy") == "similar.spy"
    assert kind_of("unknown.number") == "unknowable"


# ---------------------------------------------------------------------- what tasks are made from


def test_sums_are_right() -> None:
    value = {e.name: int(str(e["value"])) for e in grammar().entities["number"]}
    for entity in tasks()["sum"]:
        assert value[str(entity["a"])] + value[str(entity["b"])] == value[str(entity["total"])]


def test_heaps_are_counted_right() -> None:
    value = {e.name: int(str(e["value"])) for e in grammar().entities["number"]}
    for entity in tasks()["heap"]:
        assert str(entity["text"]).count(",") + 2 == value[str(entity["total"])]


def test_the_odd_one_is_the_only_one_of_another_kind() -> None:
    members = kinds()
    for entity in tasks()["puzzle"]:
        items = str(entity["text"]).replace(" and ", ", ").split(", ")
        of_kind = [item for item in items if item in members[str(entity["kind"])]]
        assert len(items) == 4
        assert set(items) - set(of_kind) == {str(entity["odd"])}


def test_kinds_of_puzzles_share_no_member() -> None:
    found = [item for kind in SEPARATE for item in kinds()[kind]]
    assert len(found) == len(set(found))
    assert all(len(members) >= FEWEST for members in kinds().values())


def test_rows_go_on() -> None:
    found = {str(e["text"]): str(e["then"]) for e in tasks()["row"]}
    assert found["Saturday, Sunday, Monday"] == "Tuesday"
    assert found["October, November, December"] == "January"
    assert found["seven, eight, nine"] == "ten"
    assert "nineteen, twenty, one" not in found


def test_tasks_are_the_same_each_time() -> None:
    first = [(c, e.name) for c, entities in tasks().items() for e in entities]
    tasks.cache_clear()
    assert [(c, e.name) for c, entities in tasks().items() for e in entities] == first
