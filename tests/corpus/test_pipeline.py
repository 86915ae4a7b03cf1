"""The pipeline: traces, the funnel's sums, one process as several, failures, memory left on disk."""

import json
import operator
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from lablib.corpus.dedup import NearCopies
from lablib.corpus.document import Document
from lablib.corpus.pipeline import (
    Each,
    Funnel,
    InOrder,
    Outcome,
    Pipeline,
    Reason,
    Step,
    TooManyFailures,
    Traced,
    count,
    gallery,
    start,
    write,
)
from lablib.corpus.quality import RULES
from lablib.corpus.stages import (
    course_stages,
    exact_copies,
    language,
    near_copies,
    private_details,
    quality,
    repeated_paragraphs,
    scored,
    toxic_words,
)


def document(id: str, text: str) -> Document:
    return Document(text, id, "test", "CC0-1.0", "story")


def no_x(one: Document):
    return Outcome((Reason("x", "has an x"),)) if "x" in one.text else None


def upper(one: Document):
    return Outcome((Reason("case", "was small"),), one.text.upper()) if one.text != one.text.upper() else None


def fragile(one: Document):
    if "!" in one.text:
        raise RuntimeError("no exclamation, please")


class Memory:
    def __init__(self, path):
        self.seen, self.path = [], path
        self.closed = False

    def close(self):
        self.closed = True


def even_only(memory, one, prepared):
    memory.seen.append(one.id)
    return Outcome((Reason("odd", f"number {len(memory.seen)}, {prepared} letters"),)) if len(memory.seen) % 2 else None


def length(one: Document):
    if "?" in one.text:
        raise ValueError("a question")
    return len(one.text)


COUNT = InOrder("count", Memory, even_only, length)
ALIKE = NearCopies(threshold=0.7)  # the made-up rows differ in three words
STAGES = (Each("no x", no_x), COUNT, Each("upper", upper), Each("fragile", fragile))
texts = st.lists(st.text("abxX!?", max_size=5), min_size=1, max_size=30)


# ------------------------------------------------------------------ what a trace says


@given(texts)
def test_each_document_comes_out_once_in_order_as_a_plain_loop_says(rows):
    documents = [document(f"d{number}", text) for number, text in enumerate(rows)]
    results = list(Pipeline(STAGES).run(documents, chunk=3))
    assert [one.document.id for one in results] == [one.id for one in documents]
    counted = 0
    for given_one, one in zip(documents, results, strict=True):
        text, expected = given_one.text, []
        if "x" in text:
            expected = [("no x", "dropped")]
        elif "?" in text:
            expected = [("count", "failed")]
        else:
            counted += 1
            if counted % 2:
                expected = [("count", "dropped")]
            else:
                expected = [("upper", "changed")] if text != text.upper() else []
                text = text.upper()
                expected += [("fragile", "failed")] if "!" in text else []
        assert [(step.stage, step.action) for step in one.steps] == expected
        assert one.document == replace(given_one, text=text)
        assert one.fate == (expected[-1][1] if expected and expected[-1][1] != "changed" else "kept")


def test_a_trace_says_why_and_how_much():
    traced = next(Pipeline([Each("no x", no_x)]).run([document("d", "x y")]))
    assert traced.steps == (Step("no x", "dropped", (Reason("x", "has an x"),), 3, 0),)
    assert (traced.fate, traced.characters) == ("dropped", 3)
    assert traced.row() == {
        "text": "x y", "id": "d", "source": "test", "licence": "CC0-1.0", "kind": "story", "fate": "dropped", "characters_in": 3,
        "trace": [{
            "stage": "no x", "action": "dropped", "reasons": ({"rule": "x", "why": "has an x"},), "characters_in": 3, "characters_out": 0,
        }],
    }  # fmt: skip


def test_memory_is_opened_below_the_folder_for_each_run_and_closed(tmp_path):
    opened = []
    stage = InOrder("two words", lambda path: opened.append(Memory(path)) or opened[-1], even_only, length)
    list(Pipeline([stage]).run([document("d", "a")], folder=tmp_path))
    list(Pipeline([stage]).run([document("d", "a")]))
    assert opened[0].path.parent == tmp_path
    assert " " not in opened[0].path.name
    assert opened[1].path.parent != tmp_path
    assert not opened[1].path.parent.exists()
    assert all(one.closed for one in opened)


def test_a_run_that_is_left_early_closes_its_memory():
    opened = []
    stage = InOrder("count", lambda path: opened.append(Memory(path)) or opened[-1], even_only, length)
    run = Pipeline([stage]).run([document(f"d{n}", "a") for n in range(200)], chunk=4)
    next(run)
    run.close()
    assert opened[0].closed
    assert len(opened[0].seen) <= 4


# ------------------------------------------------------------------ several processes


def good_and_bad(n: int) -> list[Document]:
    base = "The mill stood by the river, and every morning {} carried {} sacks of grain up the stairs and sang about the {}."
    rows = [
        base.format(who, n, what)
        for n, (who, what) in enumerate([("Tam", "owl"), ("Lio", "rain"), ("Wen", "old boat")] * (n // 3))
    ]
    rows[5::11] = ["Write to ada@example.org. " + row for row in rows[5::11]]
    rows[7::13] = ["buy buy buy buy"] * len(rows[7::13])
    return [document(f"d{number:04d}", row) for number, row in enumerate(rows)]


def test_three_processes_give_what_one_gives():
    documents = good_and_bad(300)
    pipeline = Pipeline(
        [exact_copies(), quality(), near_copies(ALIKE), repeated_paragraphs(), private_details(["Tam"]), *STAGES],
        max_failed=1_000,
    )
    alone = list(pipeline.run(documents))
    together = list(pipeline.run(iter(documents), processes=3, chunk=7))
    assert [one.row() for one in together] == [one.row() for one in alone]
    assert Counter(one.fate for one in alone)["kept"] > 5
    assert len({one.steps[-1].stage for one in alone if one.steps}) >= 4


def test_several_processes_read_no_further_ahead_than_two_chunks_each():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield document(f"d{taken}", "some words")

    run = Pipeline([Each("no x", no_x), Each("upper", upper)]).run(endless(), processes=2, chunk=5)
    for _ in range(20):
        next(run)
    assert taken <= 20 + 5 * 2 * 2
    run.close()


def test_what_other_processes_cannot_import_is_refused_at_once():
    with pytest.raises(ValueError, match=r"stage 'mine' cannot be sent to another process .* take processes=1"):
        next(Pipeline([Each("mine", lambda one: None)]).run([document("d", "a")], processes=2))
    code = (
        "from lablib.corpus.pipeline import Each, Pipeline\n"
        "from lablib.corpus.document import Document\n"
        "def mine(one): return None\n"
        "try: next(Pipeline([Each('mine', mine)]).run([Document('a', 'd', 'test')], processes=2))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("stage 'mine' holds something defined in this notebook or script")
    assert "take processes=1" in done.stdout


# ------------------------------------------------------------------ what goes wrong


def test_a_document_that_makes_a_stage_raise_is_named_and_the_rest_goes_on(tmp_path):
    documents = [document("good", "a"), document("bad", "b!"), document("also good", "c")]
    funnel = write(Pipeline([Each("fragile", fragile)]).run(documents), tmp_path, [Each("fragile", fragile)])
    assert funnel.failures == [("bad", "fragile", "RuntimeError: no exclamation, please")]
    rows = {
        fate: [json.loads(line) for line in (tmp_path / f"{fate}.jsonl").read_text().splitlines()]
        for fate in ("kept", "failed")
    }
    assert [row["id"] for row in rows["kept"]] == ["good", "also good"]
    assert rows["failed"][0]["text"] == "b!"


def test_a_broken_stage_stops_the_run_and_what_was_written_stays(tmp_path):
    documents = [document(f"d{number}", "a" if number < 10 else "!") for number in range(100)]
    pipeline = Pipeline([Each("fragile", fragile)], max_failed=3)
    with pytest.raises(
        TooManyFailures, match=r"4 documents .* max_failed = 3; the last is 'd13' in stage 'fragile': RuntimeError"
    ):
        write(pipeline.run(documents, chunk=8), tmp_path, pipeline.stages)
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 10
    assert len((tmp_path / "failed.jsonl").read_text().splitlines()) == 4


def test_lines_are_on_disk_as_soon_as_they_are_there(tmp_path):
    def breaks():
        yield document("d", "a")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write(Pipeline([]).run(breaks(), chunk=1), tmp_path, [])
    assert json.loads((tmp_path / "kept.jsonl").read_text())["id"] == "d"


def test_wrong_use_is_named():
    with pytest.raises(ValueError, match=r"the stage name 'a' stands twice"):
        Pipeline([Each("a", no_x), Each("a", upper)])
    with pytest.raises(ValueError, match="max_failed = -1"):
        Pipeline([], max_failed=-1)
    with pytest.raises(ValueError, match="processes = 0, chunk = 64"):
        next(Pipeline([]).run([], processes=0))
    with pytest.raises(ValueError, match="expected at least one Reason"):
        Outcome(())
    traced = next(Pipeline([Each("wrong", lambda one: True)]).run([document("d", "a")]))  # type: ignore[arg-type,return-value]
    assert traced.fate == "failed"
    assert traced.steps[0].reasons[0].why == "stage 'wrong' returned True: expected None or an Outcome"


def test_no_documents_and_what_is_no_document_are_named():
    used_up = iter([document("d", "a")])
    pipeline = Pipeline([Each("no x", no_x)])
    assert len(list(pipeline.run(used_up))) == 1
    for nothing in ([], used_up):
        with pytest.raises(
            ValueError,
            match="documents is empty: expected at least one Document; a generator gives its items only once",
        ):
            list(pipeline.run(nothing))
    with pytest.raises(
        TypeError, match=r"documents holds 'just text', which is str: expected Document\(text, id, source\)"
    ):
        list(pipeline.run(["just text"]))  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"stages holds <function quality.*with its brackets"):
        Pipeline([quality])  # type: ignore[list-item]


class Unsendable(Exception):
    """Some exceptions cannot be pickled: this one takes two arguments and remembers one."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def breaks_badly(one: Document):
    raise Unsendable("this", "that")


def test_an_error_that_cannot_travel_between_processes_ends_in_the_trace_all_the_same():
    stages = [InOrder("count", Memory, even_only, breaks_badly), Each("upper", upper)]
    documents = [document(f"d{number}", "a") for number in range(5)]
    alone = list(Pipeline(stages).run(documents))
    assert [one.row() for one in Pipeline(stages).run(documents, processes=2, chunk=2)] == [one.row() for one in alone]
    assert {one.steps[0].reasons for one in alone} == {(Reason("Unsendable", "this and that"),)}


def test_stages_name_what_is_out_of_range_before_the_first_document():
    with pytest.raises(ValueError, match=r"min_words = 0: expected at least 1"):
        repeated_paragraphs(0)
    with pytest.raises(ValueError, match=r"least = nan: expected a number"):
        scored("length", len, float("nan"))
    with pytest.raises(ValueError, match=r"rules named \[\]: expected at least one rule"):
        quality([])
    with pytest.raises(ValueError, match="each name once"):
        quality([*RULES, RULES[0]])


# ------------------------------------------------------------------ the funnel


@settings(deadline=None)
@given(texts)
def test_the_funnel_adds_up(rows):
    documents = [document(f"d{number}", text) for number, text in enumerate(rows)]
    funnel = Funnel([stage.name for stage in STAGES])
    results = list(Pipeline(STAGES).run(documents))
    for one in results:
        funnel.add(one)
    stages = list(funnel.rows.values())
    assert stages[0].documents_in == len(documents)
    assert stages[0].characters_in == sum(len(text) for text in rows)
    for earlier, later in pairwise(stages):
        assert (earlier.documents_out, earlier.characters_out) == (later.documents_in, later.characters_in)
    kept = [one for one in results if one.fate == "kept"]
    assert stages[-1].documents_out == len(kept)
    assert stages[-1].characters_out == sum(len(one.document.text) for one in kept)
    assert sum(row.failed for row in stages) == len(funnel.failures) == sum(one.fate == "failed" for one in results)
    assert funnel.rows["no x"].rules["x"] == sum("x" in text for text in rows)
    assert funnel.rows["upper"].changed == sum(any(step.action == "changed" for step in one.steps) for one in results)


def test_the_funnel_as_a_table():
    funnel = Funnel(["no x", "upper"])
    for traced in Pipeline([Each("no x", no_x), Each("upper", upper)]).run([document("a", "x"), document("b", "why")]):
        funnel.add(traced)
    head, first, second = funnel.table().splitlines()
    assert head.split()[:2] == ["stage", "documents"]
    assert "2 → 1" in first
    assert "4 → 3" in first
    assert first.endswith("x 1")
    assert "1 → 1" in second


def test_counting_is_adding_one_by_one():
    documents = [document(f"d{number}", text) for number, text in enumerate(["x", "ab", "b!", "c?", "AB", "Y"] * 5)]
    funnel = Funnel([stage.name for stage in STAGES])
    for one in Pipeline(STAGES).run(documents):
        funnel.add(one)
    assert count(Pipeline(STAGES).run(documents), STAGES) == funnel


# ------------------------------------------------------------------ for the eye


def test_a_trace_can_be_read():
    traced = next(Pipeline([Each("upper", upper), Each("fragile", fragile)]).run([document("d", "ab!")]))
    assert str(traced).splitlines() == [
        "d: failed",
        "  upper: changed, 3 → 3 characters (case: was small)",
        "  fragile: failed, 3 → 0 characters (RuntimeError: no exclamation, please)",
    ]


def test_the_gallery_holds_some_of_each_kind_drawn_alike():
    stages = [Each("no x", no_x), Each("upper", upper)]
    documents = [
        document(f"d{number}", "x" if number % 3 == 0 else "a" if number % 3 == 1 else "A") for number in range(90)
    ]
    drawn: Counter[str] = Counter()
    for seed in range(300):
        shelves = gallery(Pipeline(stages).run(documents), random.Random(seed), each=2)
        assert set(shelves) == {("kept", ""), ("no x", "x"), ("upper", "case")}
        assert [len(shelf) for shelf in shelves.values()] == [2, 2, 2]
        assert all(one.document.text == "A" and not one.steps for one in shelves["kept", ""])
        drawn.update(one.document.id for one in shelves["no x", "x"])
    assert set(drawn) == {f"d{number}" for number in range(0, 90, 3)}
    assert chisquare(list(drawn.values())).pvalue > 1e-4, "each as often as the others"
    few = gallery(Pipeline(stages).run(documents[:3]), random.Random(0), each=5)
    assert [len(shelf) for shelf in few.values()] == [1, 1, 1]
    with pytest.raises(ValueError, match="each = 0"):
        gallery([], random.Random(0), each=0)


# ------------------------------------------------------------------ the course's stages

GOOD = (
    "The mill stood by the river. Every morning Tam carried two sacks of grain up the stairs, and he liked the sound of the wheel. "
    "One day a grey cat sat on the lower stair and would not move, so Tam asked it politely to let him pass."
)


def fate_of(stages, *rows):
    return [
        (one.fate, one.steps[-1].stage if one.steps else "")
        for one in Pipeline(stages).run([document(f"d{n}", row) for n, row in enumerate(rows)])
    ]


def test_good_text_passes_all_stages():
    assert fate_of(course_stages(), GOOD) == [("kept", "")]


def test_each_stage_drops_what_it_is_for():
    assert fate_of([exact_copies()], GOOD, GOOD.upper()) == [("kept", ""), ("dropped", "exact copies")]
    assert fate_of([near_copies()], GOOD, GOOD + " It did.") == [("kept", ""), ("dropped", "near copies")]
    assert fate_of([quality()], "# # # { } # #") == [("dropped", "quality")]
    french = "Le vieux pêcheur rentre toujours avant la nuit, car il n'aime pas le brouillard. Sa fille l'attend devant la maison."
    assert fate_of([language()], french, GOOD) == [("dropped", "language"), ("kept", "")]
    assert fate_of([language("fr")], french) == [("kept", "")]
    assert fate_of([toxic_words()], GOOD + " Shut up, you stupid idiot!") == [("dropped", "toxic words")]
    assert fate_of([scored("length", len, 10)], "short", GOOD) == [("dropped", "length"), ("kept", "")]
    assert fate_of([scored("letters", operator.methodcaller("count", "a"), 1)], "bbb") == [("dropped", "letters")]
    assert fate_of([repeated_paragraphs()], GOOD, GOOD) == [("kept", ""), ("dropped", "repeated paragraphs")]


def test_traces_of_private_details_hold_none():
    (traced,) = Pipeline([private_details(["Tam"])]).run(
        [document("d", "Tam: ada@example.org, b@example.net, 020 7946 0123")]
    )
    assert traced.document.text == "[NAME]: [EMAIL], [EMAIL], [PHONE]"
    assert traced.steps[0].reasons == (
        Reason("email", "2 replaced"),
        Reason("name", "1 replaced"),
        Reason("phone", "1 replaced"),
    )


def test_memory_stays_flat_as_the_corpus_grows():
    def peak(n: int) -> int:
        stages = [exact_copies(), near_copies(), repeated_paragraphs()]
        stream = (
            document(f"d{number}", f"{GOOD} Number {number} of {number * 7919 % 1000003}.") for number in range(n)
        )
        tracemalloc.start()
        for _ in Pipeline(stages).run(stream):
            pass
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(200), peak(2_000)
    assert large < 1.25 * small + 50_000  # Python's own memory; bench/pipeline_memory.py measures the whole process


def test_a_fresh_document_is_kept():
    assert start(document("d", "abc")) == Traced(document("d", "abc"), 3)
