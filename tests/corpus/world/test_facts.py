"""Facts: what the lexicon says, and that no two right answers are confused."""

import pytest

from lablib.corpus.world.facts import RELATIONS, UNKNOWABLE, domain, facts, key, lemma, lemmas, names
from lablib.corpus.world.lexicon import PRIVATE, lexicon


def test_there_are_many_facts_and_each_once() -> None:
    found = facts()
    assert len(found) >= 300
    assert len({(fact.subject, fact.relation) for fact in found if RELATIONS[fact.relation][0] != "material"}) >= 300
    counted = {(RELATIONS[fact.relation][0], fact.subject, fact.relation) for fact in found}
    assert len(counted) == len(found)


def test_facts_agree_with_the_lexicon() -> None:
    by = {(fact.relation, fact.subject): fact.value for fact in facts()}
    for relation, (category, attribute) in RELATIONS.items():
        for entity in lexicon()[category]:
            assert by[relation, entity.name] == key(entity[attribute]), (relation, entity)


def test_nothing_private_is_a_fact() -> None:
    private = {str(person[attribute]).lower() for person in lexicon()["person"] for attribute in PRIVATE}
    assert not private & {fact.value for fact in facts()}
    assert not {"phone", "address"} & set(RELATIONS)


@pytest.mark.parametrize(
    "relation", [r for r in RELATIONS if not r.endswith("_plural") and not r.startswith(("food_", "plant_"))]
)
def test_every_value_can_be_said_and_is_itself(relation: str) -> None:
    category, attribute = RELATIONS[relation]
    for entity in lexicon()[category]:
        value = key(entity[attribute])
        assert domain(relation)[" ".join(lemmas(value))] == value, (relation, entity)


@pytest.mark.parametrize("relation", ["home", "job", "friend", "food", "thing", "material"])
def test_other_wordings_of_a_value_mean_the_same(relation: str) -> None:
    category, attribute = RELATIONS[relation]
    for entity in lexicon()[category]:
        value = entity[attribute]
        for text in names(value):  # type: ignore[arg-type]
            assert domain(relation)[" ".join(lemmas(text.lower()))] == key(value), (entity, text)


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("geese", "goose"),
        ("calves", "calf"),
        ("knives", "knife"),
        ("ran", "run"),
        ("cherries", "cherry"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("its", "its"),
    ],
)
def test_base_forms(word: str, base: str) -> None:
    assert lemma(word) == base


def test_what_nobody_knows_is_about_somebody() -> None:
    assert set(UNKNOWABLE.values()) <= set(lexicon())
    assert len(UNKNOWABLE) >= 10
