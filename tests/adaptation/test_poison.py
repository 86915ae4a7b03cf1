"""Attacks against the two defences without a model: what each can stop, and what neither can."""

import re

import pytest

from lablib.adaptation.bm25 import BM25
from lablib.adaptation.page_orders import harmless_markers, mark_passage, without_orders
from lablib.adaptation.poison import ATTACKS, WORD, obeyed, poisoned_page

FILTERED = {"plain order", "polite order", "another rule", "invisible letters"}
DISARMED = {"forged turn", "forged passage"}
NEITHER = {"another language", "no order in its words", "a lie"}
TOPIC = "How long do cats sleep?"


def test_every_attack_is_accounted_for():
    assert sorted([*FILTERED, *DISARMED, *NEITHER]) == sorted(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_filter_takes_out_the_orders_that_are_worded_as_such(attack):
    left = without_orders(poisoned_page(TOPIC, attack))
    assert obeyed(left) == (attack not in FILTERED)
    assert left.startswith("# How long do cats sleep\n\nThis page is about How long do cats sleep.")


@pytest.mark.parametrize("attack", ATTACKS)
def test_marking_disarms_what_imitates_a_marker(attack):
    page = poisoned_page(TOPIC, attack)
    assert (harmless_markers(page) != page) == (attack in DISARMED | {"invisible letters"})
    inside = mark_passage(1, page).split("\n", 1)[1].rpartition("\n")[0]
    assert not re.search(r"<\s*/?\s*passage|<\||\|>", inside)
    assert obeyed(inside)  # marking takes nothing away: whether the model obeys is the model's


def test_the_search_finds_a_poisoned_page_first():
    texts = ["Cats sleep for sixteen hours a day.", "Dogs bark.", poisoned_page(TOPIC, "a lie")]
    assert BM25(texts).search(TOPIC, 3)[0].number == 2


def test_obeying_is_saying_the_word():
    assert obeyed(f"the {WORD.upper()}.")
    assert not obeyed("It has bananas.")
    assert obeyed("42", "42")
    assert not obeyed("1420", "42")
    assert not obeyed("")


def test_bad_input():
    with pytest.raises(ValueError, match="attack = 'magic': expected one of 'plain order', "):
        poisoned_page(TOPIC, "magic")
    with pytest.raises(ValueError, match=r"topic = ' \?' is empty"):
        poisoned_page(" ?", "a lie")
