"""A labelling session: callbacks in any order keep it consistent; agreement is counted on what is labelled, and on nothing else."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.alignment.agreement import cohen_kappa
from lablib.alignment.annotators import Annotator
from lablib.alignment.labelling import GAP, Session
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


def test_who_says_the_same_says_nothing_of_which_is_better():
    session = Session(pairs(6), Random(0), [SHARP])
    better = []
    for at in range(6):
        shown = session.shown()
        better.append("first" if shown.first.startswith("good") else "second")
        session.choose("same" if at % 2 else better[-1])
    gold, sharp = session.summary()
    assert (gold.n, sharp.n) == (3, 3)
    assert gold.share[0] == sharp.share[0] == 1
    assert [one.chosen for one in session.labelled()] == ["good 0", "good 2", "good 4"]
    only = Session(pairs(2), Random(0), [SHARP])
    only.choose("same")
    assert only.summary() == only.labelled() == []


def test_repeats_come_later_and_in_an_order_of_their_own():
    session = Session(pairs(200), Random(5), [SHARP], repeats=100)
    numbers = [number for number, _ in session.places]
    assert sorted(set(numbers)) == list(range(200))
    assert len(numbers) == session.shown().of == 300
    twice = [number for number in range(200) if numbers.count(number) == 2]
    assert len(twice) == 100
    same_order = 0
    for number in twice:
        once, again = (at for at, one in enumerate(numbers) if one == number)
        between = len({*numbers[once + 1 : again]} - {*numbers[:once]})  # new pairs
        assert min(GAP, 199 - number) <= between <= 2 * GAP
        same_order += session.places[once][1] == session.places[again][1]
    assert 30 < same_order < 70
    firsts = [number for at, number in enumerate(numbers) if number not in numbers[:at]]
    assert firsts == list(range(200))


def test_agreement_with_yourself_is_kappa_of_what_was_meant():
    """Whoever looks at the texts agrees with themselves; whoever takes what stands left does not, beyond chance."""
    careful = Session(pairs(60), Random(1), [SHARP], repeats=60)
    label_all(careful)
    assert [one.name for one in careful.summary()] == ["gold", "sharp", "yourself"]
    mine = careful.summary()[-1]
    assert (mine.n, mine.share[0], mine.kappa, mine.best) == (60, 1, 1, 1)
    assert len(careful.labelled()) == 60
    left = Session(pairs(300), Random(1), [SHARP], repeats=300)
    while left.shown() is not None:
        left.choose("first")
    assert abs(left.summary()[-1].share[0] - 0.5) < 0.1


def test_a_second_label_is_held_against_the_first():
    session = Session(pairs(5), Random(2), [SHARP], repeats=5)
    first, again, seen = [], [], {}
    labels = iter(("first", "same", "second", "second", "first", "same", "first", "second", "first", "second"))
    while (shown := session.shown()) is not None:
        label = next(labels)
        session.choose(label)
        texts = (shown.first, shown.second)
        meant = label if label == "same" else texts[label == "second"]
        key = frozenset(texts)
        if key in seen:
            order = seen[key][0]
            first.append(seen[key][1])
            again.append(meant if meant == "same" else ("first", "second")[order.index(meant)])
        else:
            seen[key] = (texts, label)
    mine = session.summary()[-1]
    assert mine.n == 5
    assert mine.share[0] == pytest.approx(sum(a == b for a, b in zip(first, again, strict=True)) / 5)
    assert mine.kappa == pytest.approx(cohen_kappa(first, again))
    # what was said the second time changes no label
    assert len(session.labelled()) == sum(label != "same" for _, label in seen.values())


def test_undo_reaches_a_repeat_too():
    session = Session(pairs(2), Random(0), [SHARP], repeats=2)
    for _ in range(4):
        session.choose("first")
    assert session.summary()[-1].n == 2
    with pytest.raises(ValueError, match="all 4 pairs have their label"):
        session.choose("first")
    session.undo()
    assert session.summary()[-1].n == 1


def test_no_more_repeats_than_pairs():
    with pytest.raises(ValueError, match="repeats = 4: expected a number from 0 to 3"):
        Session(pairs(3), Random(0), [SHARP], repeats=4)
    with pytest.raises(ValueError, match="repeats = -1"):
        Session(pairs(3), Random(0), [SHARP], repeats=-1)


def test_repeats_change_nothing_else():
    plain, more = (Session(pairs(20), Random(7), [SHARP], repeats=n) for n in (0, 8))
    assert plain.turned == more.turned
    assert plain._theirs == more._theirs


def test_texts_are_handed_over_as_they_are():
    scores = (Judgement(1, 1, 1), Judgement(0, 0, 0))
    session = Session(
        [Preference((Turn("user", "?"),), "<b>a</b>", "<script>", (1,), (2,), (3,), "x", scores)], Random(0)
    )
    shown = session.shown()
    assert {shown.first, shown.second} == {"<b>a</b>", "<script>"}
