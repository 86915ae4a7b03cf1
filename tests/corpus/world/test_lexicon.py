"""The lexicon: whole, each reference to somebody, each mistake with its message, the forms against an independent authority."""

import re

import pytest

from lablib.corpus.world.entities import PRONOUNS, Entity
from lablib.corpus.world.lexicon import PRIVATE, SCHEMA, find, lexicon, read

SMALL = {
    "person": {"friend": "person", "phone": None},
    "place": {"bank": None},
}
TWO = 'person = [\n{ name = "Ada", friend = "Bo", phone = "1" },\n{ name = "Bo", friend = "Ada", phone = "2" },\n]\n'


def test_every_entity_has_what_its_category_says() -> None:
    assert set(lexicon()) == set(SCHEMA)
    for category, entities in lexicon().items():
        for entity in entities:
            assert set(entity.values) == {"name", *SCHEMA[category]}
            for attribute, target in SCHEMA[category].items():
                value = entity[attribute]
                if target:
                    assert isinstance(value, Entity)
                    assert value.category == target
                else:
                    assert isinstance(value, str)


def test_references_may_go_in_circles() -> None:
    ada, bo = read({"a.toml": TWO}, SMALL)["person"]
    assert ada["friend"] is bo
    assert bo["friend"] is ada


def test_nobody_is_their_own_friend_and_neighbours_are_others() -> None:
    assert all(person["friend"] is not person for person in lexicon()["person"])
    assert all(place["near"] is not place for place in lexicon()["place"])


def test_banks_and_origins_agree() -> None:
    """A person comes from the bank that their village stands on."""
    for person in lexicon()["person"]:
        assert person["origin"] == person["home"]["bank"]


@pytest.mark.parametrize(("category", "attribute"), [("month", "next"), ("day", "next"), ("season", "next")])
def test_calendars_come_round(category: str, attribute: str) -> None:
    first = lexicon()[category][0]
    seen = [first]
    while (following := seen[-1][attribute]) is not first:
        seen.append(following)
    assert len(seen) == len(lexicon()[category])


def test_opposites_are_mutual() -> None:
    for adjective in lexicon()["adjective"]:
        assert adjective["opposite"]["opposite"] is adjective
        assert adjective["opposite"]["kind"] == adjective["kind"]


def spelled(verb: str, ending: str) -> str:
    """The regular form: the rules of English spelling for verbs of one syllable and for those with a weak last one."""
    if re.fullmatch(r"[^aeiou]*[aeiou][bdglmnprt]", verb) or verb in ("begin", "forget", "travel"):
        verb += verb[-1]
    if verb.endswith("y") and verb[-2] not in "aeiou" and ending == "ed":
        return verb[:-1] + "ied"
    if verb.endswith("ie") and ending == "ing":
        return verb[:-2] + "ying"
    return (verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb) + ending


def test_verbs_are_spelled_by_rule() -> None:
    """The -ing form of every verb, and the past of those that are regular, against the rules; the -s form as well."""
    irregular = 0
    for verb in lexicon()["verb"]:
        assert verb["ing"] == spelled(verb.name, "ing"), verb
        past = str(verb["past"])
        if past.endswith("ed") and past.startswith(verb.name[:-1]):
            assert past == spelled(verb.name, "ed"), verb
            assert verb["participle"] in (past, f"{verb.name}n"), verb  # sewn, shown
        else:
            irregular += 1
        sibilant = verb.name.endswith(("s", "sh", "ch", "x", "z", "o"))
        expected = re.sub(r"(?<![aeiou])y$", "ie", verb.name) + ("es" if sibilant else "s")
        assert verb["s"] == expected, verb
    assert irregular > 50


def test_private_details_are_one_each() -> None:
    for attribute in PRIVATE:
        values = [person[attribute] for person in lexicon()["person"]]
        assert len(set(values)) == len(values) == 48


@pytest.mark.parametrize("pronoun", PRONOUNS)
def test_pronouns(pronoun: str) -> None:
    entity = Entity("person", "X", {"pronoun": pronoun})
    assert entity["he"] == pronoun
    assert entity["himself"] in ("herself", "himself", "itself", "themselves")
    assert entity.has("his")
    assert not entity.has("age")


def test_an_unknown_attribute_names_the_known() -> None:
    with pytest.raises(KeyError, match="has no attribute 'age': expected one of name, pronoun"):
        Entity("person", "X", {"pronoun": "she"})["age"]


def test_find_names_who_there_is() -> None:
    with pytest.raises(KeyError, match="no animal is called 'dragon': expected one of owl, fox"):
        find("animal", "dragon")
    with pytest.raises(KeyError, match="no dragon is called 'x': expected a category of person"):
        find("dragon", "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person = [", "a.toml: not TOML"),
        ('dragon = [{ name = "x" }]', "category 'dragon' is unknown: expected one of person, place"),
        ("person = [{ age = 3 }]", "a person has name = None"),
        ('place = [{ name = "x" }]', "place 'x' has no 'bank'"),
        ('place = [{ name = "x", bank = "north", age = 3 }]', "place 'x' has an unknown attribute 'age'"),
        ('place = [{ name = "x", bank = "a" }, { name = "x", bank = "a" }]', "place 'x' stands there twice"),
        ('person = [{ name = "x", friend = "y", phone = "1" }]', "has friend = 'y', but no person has that name"),
        (TWO.replace('"2"', '"1"'), "have the same phone '1'"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read({"a.toml": text}, SMALL)


def test_a_list_is_a_choice() -> None:
    text = 'place = [{ name = "x", bank = ["north", "south"] }]'
    assert read({"a.toml": text}, SMALL)["place"][0]["bank"] == ("north", "south")
