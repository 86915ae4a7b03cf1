"""The constitution: the course's file holds what it must, the model knows its words, and a bad file is refused with its reason."""

import re
from collections import Counter
from random import Random

import pytest

from lablib.adaptation.critique import BROKEN, CRITIQUE, REVISION, RULES
from lablib.alignment.constitution import Constitution, Principle, load
from lablib.paths import data_path

GOOD = {
    "id": "one", "source": "House rule", "text": "Be good.", "rule": "Say only what is true.", "about": "honest",
    "faults": ["wrong"], "critique": "Does your answer keep to this rule? {rule}", "revision": "Now answer again.",
}  # fmt: skip


def made(**changes):
    values = {**GOOD, **changes}
    return Principle(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def as_toml(*rows):
    def value(x):
        if isinstance(x, bool):
            return str(x).lower()
        return "[" + ", ".join(map(value, x)) + "]" if isinstance(x, list) else '"' + str(x) + '"'

    return "\n".join("[[principle]]\n" + "\n".join(f"{key} = {value(x)}" for key, x in row.items()) for row in rows)


# ---------------------------------------------------------------- the course's own


def test_there_are_enough_principles_of_every_kind_each_with_a_source():
    ours = load()
    assert len(ours) >= 10
    assert set(Counter(one.about for one in ours.principles)) == set(RULES)
    assert {fault for one in ours.principles for fault in one.faults} == {fault for fault in BROKEN if fault}
    rights = [one for one in ours.principles if re.search(r"(Universal Declaration|Charter).*article \d+", one.source)]
    house = [one for one in ours.principles if one.source.startswith("House rule")]
    assert len(rights) >= 4
    assert house
    assert len(ours.principles) - len(rights) - len(house) >= 3, "texts of ethics"
    assert all(re.search(r"\((1|2)\d{3}\)|\d+[a-e]$|^House rule: ", one.source) for one in ours.principles)
    assert len({one.text for one in ours.principles}) == len(ours)
    assert len({one.asks() for one in ours.principles}) == len(ours)
    assert ours.on == ours.principles


def test_the_requests_are_in_words_that_fine_tuning_taught():
    for one in load().principles:
        taught = RULES[one.about][:-1]  # the last wording is kept for testing
        assert one.rule in taught
        assert one.asks() in {request.format(rule) for request in CRITIQUE for rule in taught}
        assert one.revision in REVISION
        assert one.text in one.asks(plainly=True)


def test_openness_is_in_conflict_with_privacy():
    pairs = [{one.id, other.id} for one, other in load().conflicts()]
    assert {"openness", "privacy"} in pairs
    assert len(pairs) == len({frozenset(pair) for pair in pairs}), "each pair once"
    assert not load().switched(off=["openness", "no-harm"]).conflicts()


def test_every_key_of_the_file_is_explained_in_it():
    text = data_path("constitution.toml").read_text(encoding="utf-8")
    head = text[: text.index("[[principle]]")]
    for key in ("id", "on:", "source", "text", "rule", "about", "faults", "critique", "revision:", "against"):
        assert re.search(rf"(^#|\.) {key}\b" if key[-1] != ":" else re.escape(key), head, re.MULTILINE), key


# ---------------------------------------------------------------- switching and drawing


def test_switching_leaves_the_original_alone():
    ours = load()
    less = ours.switched(off=["privacy", "truth"])
    assert len(less.on) == len(ours) - 2
    assert not less["privacy"].on
    assert ours["privacy"].on
    assert less.switched(on=["privacy"])["privacy"].on
    assert [one.id for one in ours.only("truth").on] == ["truth"]
    assert len(ours.only("truth")) == len(ours)


def test_only_principles_in_force_are_drawn_each_about_as_often():
    some = load().only("truth", "privacy", "openness")
    chance = Random(0)
    drawn = Counter(some.draw(chance).id for _ in range(3000))
    assert set(drawn) == {"truth", "privacy", "openness"}
    assert all(900 < count < 1100 for count in drawn.values())
    assert [some.draw(Random(5)).id for _ in range(3)] == [some.draw(Random(5)).id] * 3


def test_switching_what_is_not_there_is_refused():
    ours = load()
    with pytest.raises(KeyError, match=r"no principle has the id 'candour': expected one of no-harm, property"):
        ours.switched(off=["candour"])
    with pytest.raises(KeyError, match="candour"):
        ours.only("candour")
    with pytest.raises(ValueError, match="on and off both name truth"):
        ours.switched(on=["truth"], off=["truth"])
    with pytest.raises(ValueError, match=r"none of the 14 principles is switched on: expected at least one"):
        ours.switched(off=[one.id for one in ours.principles])


# ---------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": ""}, r"principle 'one': text = '': expected a text that is not empty"),
        ({"text": "  "}, r"principle 'one': text = '  ': expected a text that is not empty"),
        ({"revision": 3}, r"principle 'one': revision = 3: expected a text"),
        ({"about": "kind"}, r"about = 'kind': expected one of harmless, private, honest, helpful"),
        ({"faults": []}, r"faults = \[\]: expected some of wrong, guess"),
        ({"faults": ["refusal"]}, r"faults = \['refusal'\]: expected some of wrong, guess, which break a rule about 'honest'"),
        ({"critique": "Is it good?"}, r"critique = 'Is it good\?': expected \{rule\} in it"),
        ({"on": "yes"}, r"on = 'yes': expected true or false, without quotes"),
        ({"against": "two"}, r"against = 'two': expected a list of texts"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        made(**changes)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD, GOOD], r"the id one is there more than once"),
        ([{**GOOD, "weight": 2}], r"principle 1 \(one\): unknown keys: weight; missing: none: expected id, source, text"),
        ([GOOD, {k: v for k, v in GOOD.items() if k != "text"}], r"principle 2 \(one\): unknown keys: none; missing: text"),
        ([{k: v for k, v in GOOD.items() if k != "id"}], r"principle 1 \(without an id\): .*missing: id"),
        ([{**GOOD, "on": False}], r"none of the 1 principles is switched on"),
        ([{**GOOD, "against": ["one"]}], r"principle 'one': against = \['one'\]: expected ids of other principles"),
        ([{**GOOD, "against": ["two"]}], r"against = \['two'\]"),
        ([], r"has the tables none: expected \[\[principle\]\]"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(rows, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(*rows), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load(path)


def test_other_tables_and_no_toml_are_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(GOOD) + "\n[weights]\none = 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has the tables weights: expected \[\[principle\]\]"):
        load(path)
    path.write_text("[[principle]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine.toml is no TOML"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.toml")


def test_a_good_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(GOOD, {**GOOD, "id": "two", "on": False, "against": ["one"]}), encoding="utf-8")
    found = load(path)
    assert found == Constitution((made(), made(id="two", on=False, against=["one"])))
    assert found.on == (made(),)
