"""A labelling session: callbacks in any order keep it consistent; agreement is counted on what is labelled, and on nothing else."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.alignment.agreement import cohen_kappa
from lablib.alignment.annotators import Annotator
from lablib.alignment.labelling import Session
from lablib.alignment.preference_pairs import Preference
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world.judge import Judgement

SHARP = Annotator("sharp", temperature=0.001)


def pairs(n, gold=(1.0, 0.0)):
    scores = tuple(Judgement(value, value, value) for value in gold)
    return [
        Preference((Turn("user", f"{i}?"),), f"good {i}", f"bad {i}", (1,), (2, i), (3, i), "x", scores)
        for i in range(n)
    ]


def label_all(session, better=True):
    while (shown := session.shown()) is not None:
        session.choose("first" if shown.first.startswith("good") == better else "second")


def test_who_always_takes_the_better_agrees_with_gold():
    session = Session(pairs(40), Random(0), [SHARP])
    label_all(session)
    gold, sharp = session.summary()
    assert (gold.name, gold.n, gold.share[0], gold.kappa, gold.best) == ("gold", 40, 1, 1, 1)
    assert (sharp.name, sharp.share[0], round(sharp.best, 6)) == ("sharp", 1, 1)
    label = [one.chosen for one in session.labelled()]
    assert label == [f"good {i}" for i in range(40)]


def test_who_always_takes_the_worse_agrees_never():
    session = Session(pairs(40), Random(0), [SHARP])
    label_all(session, better=False)
    gold, sharp = session.summary()
    assert gold.share[0] == sharp.share[0] == 0
    assert gold.kappa < -0.8
    turned = session.labelled()[3]
    assert (turned.chosen, turned.rejected, turned.chosen_ids, turned.rejected_ids) == (
        "bad 3",
        "good 3",
        (3, 3),
        (2, 3),
    )
    assert turned.gold[0].helpful == 0
    assert turned.annotator == "you"


def test_a_habit_of_choosing_the_first_is_no_agreement():
    session = Session(pairs(400), Random(1), [SHARP])
    while session.shown() is not None:
        session.choose("first")
    gold = session.summary()[0]
    assert abs(gold.share[0] - 0.5) < 0.1
    assert abs(gold.kappa) < 0.1


def test_a_noisy_annotator_sets_a_lower_best():
    coin = Annotator("coin", lapse=1.0)
    session = Session(pairs(300), Random(2), [coin, SHARP])
    label_all(session)
    _, noisy, _ = session.summary()
    assert noisy.best == pytest.approx(0.5)
    assert abs(noisy.share[0] - 0.5) < 0.1
    mine = [choice == "first" for choice in session.chosen]
    assert noisy.kappa == pytest.approx(cohen_kappa(mine, session._theirs[0]))


def test_pairs_of_equal_gold_do_not_count_against_gold():
    session = Session([*pairs(3), *pairs(4, gold=(0.5, 0.5))], Random(0), [SHARP])
    label_all(session)
    gold, sharp = session.summary()
    assert (gold.n, sharp.n) == (3, 7)
    even = Session(pairs(2, gold=(0.5, 0.5)), Random(0), [SHARP])
    label_all(even)
    assert [one.name for one in even.summary()] == ["sharp"]


def test_undo_shows_the_same_pair_again():
    session = Session(pairs(3), Random(0), [SHARP])
    before = session.shown()
    assert session.undo() == before
    second = session.choose("first")
    assert second.number == 2
    assert second.of == 3
    assert session.undo() == before
    assert session.summary() == []
    for choice in ("second", "first", "second"):
        last = session.choose(choice)
    assert last is None
    assert session.shown() is None
    assert session.undo().number == 3


@given(steps=st.lists(st.sampled_from(["first", "second", "undo"]), max_size=30))
def test_any_order_of_callbacks_keeps_labels_and_pairs_together(steps):
    session, labels = Session(pairs(5), Random(0), [SHARP]), []
    for step in steps:
        if step == "undo":
            session.undo()
            labels = labels[:-1]
        elif len(labels) < 5:
            shown = session.shown()
            session.choose(step)
            labels.append(shown.first if step == "first" else shown.second)
    assert [one.chosen for one in session.labelled()] == labels
    assert all(one.n == len(labels) for one in session.summary())


def test_bad_calls_are_named():
    with pytest.raises(ValueError, match="pairs is empty"):
        Session([], Random(0))
    session = Session(pairs(1), Random(0), [SHARP])
    with pytest.raises(ValueError, match="choice = 'left'"):
        session.choose("left")
    session.choose("first")
    with pytest.raises(ValueError, match=r"all 1 pairs have their label: undo\(\)"):
        session.choose("first")
    foreign = Preference((Turn("user", "?"),), "a", "b", (1,), (2,), (3,), "hh-rlhf")
    with pytest.raises(ValueError, match="'hh-rlhf' are not known"):
        Session([foreign], Random(0))


def test_texts_are_handed_over_as_they_are():
    scores = (Judgement(1, 1, 1), Judgement(0, 0, 0))
    session = Session(
        [Preference((Turn("user", "?"),), "<b>a</b>", "<script>", (1,), (2,), (3,), "x", scores)], Random(0)
    )
    shown = session.shown()
    assert {shown.first, shown.second} == {"<b>a</b>", "<script>"}
