"""Labelling without a browser: the view does to a session what its buttons and keys say, and shows what the session knows."""

from html.parser import HTMLParser
from random import Random

import pytest

from lablib.alignment.annotators import Annotator
from lablib.alignment.labelling import Session
from lablib.alignment.preference_pairs import Preference
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world.judge import Judgement
from lablib.show.label_view import NOTHING, LabelView

SHARP = Annotator("sharp", temperature=0.001)
ASKED = (Turn("user", "What is it?"),)


def session(n=6, repeats=0, good="good {}", bad="bad {}", turns=ASKED):
    scores = (Judgement(1, 1, 1), Judgement(0, 0, 0))
    pairs = [Preference(turns, good.format(i), bad.format(i), (1,), (2, i), (3, i), "x", scores) for i in range(n)]
    return Session(pairs, Random(0), [SHARP], repeats=repeats)


class Texts(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))

    def handle_data(self, data):
        self.texts.append(data)


def texts(view):
    return Texts(view._screen.value).texts


def test_left_is_the_first_and_stands_left():
    view = LabelView(session())
    shown = view.session.shown()
    found = texts(view)
    assert found[0] == "1 of 6: What is it?"
    assert found[1:5] == ["left", shown.first, "right", shown.second]
    view.choose("left")
    view.choose("right")
    view.choose("same")
    assert view.session.chosen == ["first", "second", "same"]
    assert texts(view)[0] == "4 of 6: What is it?"


def test_buttons_do_what_they_say():
    view = LabelView(session())
    for side in ("right", "same", "left"):
        view.buttons[side].click()
    assert view.session.chosen == ["second", "same", "first"]
    view.back.click()
    assert view.session.chosen == ["second", "same"]
    assert [button.disabled for button in view.buttons.values()] == [False] * 3


def test_keys_do_what_the_buttons_do():
    view = LabelView(session())
    for key in ("l", "R", "s", "x", "u", "rl"):
        view.letters.value = key
        assert view.letters.value == "", "the box is empty again, so the next letter is alone in it"
    assert view.session.chosen == ["first", "second", "second", "first"]


def test_when_all_are_labelled_only_undo_is_left():
    view = LabelView(session(2))
    view.letters.value = "llll"
    assert view.session.chosen == ["first", "first"]
    assert all(button.disabled for button in view.buttons.values())
    assert texts(view)[0] == "All pairs have their label. Thank you!"
    assert view.picture.png.startswith(b"\x89PNG")
    view.choose("left")
    assert len(view.session.chosen) == 2
    view.undo()
    assert texts(view)[0].startswith("2 of 2: ")
    assert not any(button.disabled for button in view.buttons.values())


def test_agreement_is_shown_at_any_time():
    view = LabelView(session(40, repeats=10))
    assert view.agreements() == [NOTHING]
    while (shown := view.session.shown()) is not None:
        view.choose("left" if shown.first.startswith("good") else "right")
        assert [line.split()[0] for line in view.agreements()[1:3]] == ["gold", "sharp"]
    head, *rows = view.agreements()
    assert head.split() == ["agreement", "with", "pairs", "share", "[95", "%", "interval]", "at", "best", "kappa"]
    assert [row.split()[:3] for row in rows] == [
        ["gold", "40", "100%"],
        ["sharp", "40", "100%"],
        ["yourself", "10", "100%"],
    ]
    assert all(row.endswith("100%    1.00") for row in rows)
    assert all(line in texts(view) for line in view.agreements())


def test_a_kappa_without_a_value_is_a_dash():
    view = LabelView(session(1))
    view.choose("left")
    assert all(row.endswith("–") for row in view.agreements()[1:])


def test_a_conversation_is_shown_with_who_speaks():
    turns = (Turn("user", "Hello"), Turn("assistant", "Yes?"), Turn("user", "Why?"))
    found = texts(LabelView(session(turns=turns)))
    assert found[:3] == ["1 of 6: user: Hello", "assistant: Yes?", "user: Why?"]


EVIL = "<script>alert(1)</script></div>\x1b\" onclick='x' $5$ {0}"


def test_what_somebody_wrote_is_text_and_nothing_else():
    evil = EVIL.replace("{", "{{").replace("}", "}}") + "{}"
    bad = LabelView(session(good="a" + evil, bad="b" + evil, turns=(Turn("user", EVIL),)))
    fine = LabelView(session())
    assert Texts(bad._screen.value).elements == Texts(fine._screen.value).elements
    assert "\x1b" not in bad._screen.value
    assert bad.picture.png.startswith(b"\x89PNG")


def test_a_picture_of_the_present_state_stands_beside_the_widget():
    view = LabelView(session())
    data, metadata = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == metadata["image/png"]["alt"]
    view.choose("left")
    after, _ = view._repr_mimebundle_()
    assert after["image/png"] != data["image/png"]
    assert after["text/plain"] == data["text/plain"]


def test_the_same_seed_and_labels_show_the_same():
    def shown():
        view = LabelView(session(8, repeats=4))
        view.letters.value = "lrslr"
        return view._screen.value, view.picture.png

    assert shown() == shown()


def test_another_side_is_named():
    view = LabelView(session())
    with pytest.raises(ValueError, match="side = 'first': expected one of left, right, same"):
        view.choose("first")
    assert view.session.chosen == []
