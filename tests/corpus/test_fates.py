"""The funnel's counts against a plain recount of the traces."""

import random
from collections import Counter
from itertools import islice

import pytest

from lablib.corpus.document import Document
from lablib.corpus.fates import BAD_PAGES, GROUPS, group_of, left_behind
from lablib.corpus.pipeline import Pipeline
from lablib.corpus.planted import DROPPED, LOOK_ALIKES, MENDED, Planted, plant
from lablib.corpus.trace import Each, Outcome, Reason


def tales():
    for number in range(10**6):
        yield Document(
            f"The {number}th heron waits in the water. It sees a fish. The fish is gone.", f"d{number}", "test"
        )


def short(document):
    return Outcome((Reason("short", "few words"),)) if len(document.text.split()) < 14 else None


def loud(document):
    return (
        Outcome((Reason("loud", "calmed"),), document.text.lower()) if document.text != document.text.lower() else None
    )


def odd(document):
    if int(document.id.rpartition("/")[2]) % 3 == 0:
        raise RuntimeError("odd")


STAGES = [Each("short", short), Each("loud", loud), Each("odd", odd)]


def test_every_label_has_a_group():
    document = Document("A tale.", "d", "test")
    found = {label: group_of(Planted(document, frozenset({label}))) for label in (*DROPPED, *MENDED)}
    assert {label for label, group in found.items() if group == "bad pages"} == BAD_PAGES
    assert group_of(Planted(document)) == "good"
    assert {group_of(Planted(document, frozenset({f"benign_{kind}"}))) for kind in LOOK_ALIKES} == {"look-alikes"}
    assert set(found.values()) | {"good", "look-alikes"} == set(GROUPS)


def test_the_counts_are_those_of_a_recount():
    planted = list(islice(plant(tales(), random.Random(0)), 300))
    results = list(Pipeline(STAGES, max_failed=300).run(one.document for one in planted))
    kinds = [group_of(one) for one in planted]
    rows = left_behind(results, STAGES, kinds)
    assert list(rows) == ["as it came", "short", "loud", "odd"]
    alive = list(range(300))
    for stage, row in rows.items():
        alive = [i for i in alive if all(step.stage != stage or step.action == "changed" for step in results[i].steps)]
        assert {kind: count for kind, count in row.items() if count} == dict(Counter(kinds[i] for i in alive))
        assert list(row) == [kind for kind in GROUPS if kind in set(kinds)]
    assert sum(rows["odd"].values()) < sum(rows["loud"].values()) == sum(rows["short"].values()) < 300


def test_there_must_be_a_kind_for_each_result():
    with pytest.raises(ValueError, match="1 kinds for 0 results"):
        left_behind([], STAGES, ["good"])
