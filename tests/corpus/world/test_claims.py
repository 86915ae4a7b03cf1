"""Claims: what sentences say, against claims written by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.world.claims import Asked, read_claims, right_values
from lablib.corpus.world.facts import RELATIONS, key
from lablib.corpus.world.lexicon import find, lexicon
from lablib.corpus.world.wording import clean, sentences


def claims(text: str, asked: Asked | None = None) -> list[tuple[str, str, str, bool]]:
    found, _ = read_claims(sentences(clean(text)), asked)
    return [(c.relation, getattr(c.subject, "name", str(c.subject)), c.value, c.true) for c in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mirabe lives in Marrow.", [("home", "Mirabe", "marrow", True)]),
        ("Mirabe lives in Paris.", [("home", "Mirabe", "paris", False)]),
        ("Mirabe doesn't live in Pellow.", [("home", "Mirabe", "pellow", True)]),
        ("Mirabe does not live in Marrow.", [("home", "Mirabe", "marrow", False)]),
        ("Mirabe is a baker who lives in Marrow.", [("job", "Mirabe", "baker", True), ("home", "Mirabe", "marrow", True)]),
        ("Mirabe, the smith, lives in Marrow.", [("job", "Mirabe", "smith", False), ("home", "Mirabe", "marrow", True)]),
        ("Mirabe lives in Marrow. She bakes bread.", [("home", "Mirabe", "marrow", True), ("job", "Mirabe", "baker", True)]),
        ("Mirabe has a cat called Daisy.", [("pet", "Mirabe", "cat", True), ("pet_name", "Mirabe", "daisy", False)]),
        ("Jorvin is Mirabe's friend.", [("friend", "Mirabe", "jorvin", True)]),
        ("Owls eat mice and live in the wood.", [("eats", "owl", "mice", True), ("lives", "owl", "in the wood", True)]),
        ("Sheep live on farms.", [("lives", "sheep", "on farms", True)]),
        ("Sheep live on grass.", [("eats", "sheep", "grass", True)]),
        ("A bee has 6 legs.", [("legs", "bee", "six", True)]),
        ("A snake doesn't have any legs.", [("legs", "snake", "no", True)]),
        ("A young cat is called a puppy.", [("young", "cat", "puppy", False)]),
        ("The owl hoots.", [("sound", "owl", "hoots", True)]),
        ("A bear is bigger than a mouse.", [("bigger", "bear", "mouse", True)]),
        ("A bear is smaller than a mouse.", [("smaller", "bear", "mouse", False)]),
        ("Kettles are made of copper.", [("material", "kettle", "copper", True)]),
        ("People use a saw to cut wood.", [("use", "saw", "cut wood", True)]),
        ("The opposite of \"big\" is \"small\".", [("opposite", "big", "small", True)]),
        ("The plural of mouse is mouses.", [("plural", "mouse", "mouses", False)]),
        ("A foal is a young donkey.", [("meaning", "horse", "donkey", True)]),
        ("Pellow is known for its yellow doors.", [("known_for", "Pellow", "its yellow doors", True)]),
        ("A miller grinds grain into flour.", [("does", "miller", "grinds grain into flour", True)]),
    ],
)  # fmt: skip
def test_a_sentence_claims_what_it_says(text: str, expected: list[tuple[str, str, str, bool]]) -> None:
    assert claims(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "...", "Does Mirabe live in Marrow?", "If Mirabe lives in Marrow, she is happy.", "Mirabe is a kind woman.",
        "Somebody told me that Mirabe lives in Pellow.", "Where?", "Blorp glub.", "Mirabe lives in a village.", "Mirabe likes you.",
        "Mirabe had a bell that she never lent to anybody.", "Marrow.",
    ],
)  # fmt: skip
def test_what_claims_nothing(text: str) -> None:
    assert claims(text) == []


@pytest.mark.parametrize(
    "text", ["I think Mirabe lives in Pellow.", "Perhaps Mirabe lives in Pellow.", "Mirabe lives in Pellow, I guess."]
)
def test_hedges_are_seen(text: str) -> None:
    (claim,), _ = read_claims(sentences(clean(text)))
    assert (claim.value, claim.true, claim.hedged) == ("pellow", False, True)


def test_alternatives_are_seen() -> None:
    found, _ = read_claims(["mirabe lives in marrow or pellow."])
    assert [(claim.value, claim.either) for claim in found] == [("marrow", True), ("pellow", True)]


@pytest.mark.parametrize(
    "text", ["Marrow", "In Marrow.", "It is Marrow.", "The answer is Marrow!", "to Marrow", "The village of Marrow."]
)
def test_a_value_alone_answers_a_question(text: str) -> None:
    mirabe = find("person", "Mirabe")
    assert claims(text, Asked("home", mirabe, right_values("home", mirabe))) == [("home", "Mirabe", "marrow", True)]


WORDINGS = {
    "home": "{s} lives in {v}.", "friend": "{s}'s friend is {v}.", "food": "{s} likes {v} best.", "thing": "{s} treasures a {v} most.",
    "skill": "{s} can {v}.", "eats": "A {s} eats {v}.", "legs": "A {s} has {v} legs.", "lives": "A {s} lives {v}.",
    "material": "A {s} is made of {v}.", "use": "A {s} is used to {v}.", "kept_in": "A {s} is kept in {v}.", "does": "A {s} {v}.",
    "young": "A young {s} is called a {v}.", "sound": "A {s} {v}.", "opposite": 'The opposite of "{s}" is "{v}".', "job": "{s} is a {v}.",
}  # fmt: skip


@pytest.mark.parametrize("relation", sorted(WORDINGS))
def test_every_fact_of_the_world_said_plainly_is_true_and_another_value_is_false(relation: str) -> None:
    category, attribute = RELATIONS[relation]
    subjects = lexicon()[category]
    values = sorted({key(e[attribute]) for e in subjects})
    for entity in subjects:
        right = key(entity[attribute])
        other = next(v for v in values[values.index(right) + 1 :] + values if v != right)
        for value, true in ((right, True), (other, False)):
            said = [c for c in claims(WORDINGS[relation].format(s=entity.name, v=value)) if c[0] == relation]
            assert said, (relation, entity, value)
            assert {c[3] for c in said} == {true}, (relation, entity, value, said)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100))
def test_any_text_can_be_read(text: str) -> None:
    found, rest = read_claims(sentences(clean(text)))
    assert len(rest) <= len(sentences(clean(text)))
    assert all(claim.relation for claim in found)
