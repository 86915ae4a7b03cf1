"""The same stages on datatrove's LocalPipelineExecutor: the same documents, the same texts, the same traces."""

import json
from pathlib import Path

import pytest
from datatrove.data import Document as TroveDocument

from lablib.corpus.datatrove_stages import StageStep, from_datatrove, run_local, to_datatrove, write_source
from lablib.corpus.document import Document
from lablib.corpus.pipeline import Each, Outcome, Pipeline, Reason, Step, Traced
from lablib.corpus.stages import course_stages, exact_copies, private_details, quality


def corpus() -> list[Document]:
    base = "The mill stood by the river, and every morning {} carried {} sacks of grain up the stairs and sang about the {}."
    rows = [
        base.format(who, n, what)
        for n, (who, what) in enumerate([("Tam", "owl"), ("Lio", "rain"), ("Wen", "old boat")] * 40)
    ]
    rows += [
        " ".join(f"{a}{b} was seen near the {b} and the" for a in "abcdefgh") + " end of it."
        for b in ("mill", "inn", "lake", "owl")
    ]
    rows[5::11] = ["Write to ada@example.org. " + row for row in rows[5::11]]
    rows[7::13] = ["buy buy buy buy"] * len(rows[7::13])
    rows[9::17] = ["We use cookies on every page here, and in the shop as well.\n\n" + row for row in rows[9::17]]
    rows[4] = "You idiot! " + rows[4]
    return [Document(row, f"d{number:04d}", "test", "CC0-1.0", "story") for number, row in enumerate(rows)]


def fussy(one: Document):
    if "old boat" in one.text:
        raise RuntimeError("no boats")


STAGES = course_stages(["Tam"])


def rows_of(folder: Path, pattern: str) -> list[dict]:
    rows = [
        json.loads(line)
        for file in sorted(folder.glob(pattern))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    return sorted(rows, key=lambda row: row["id"])


def plain(traced: list[Traced], fate: str) -> list[dict]:
    return [json.loads(json.dumps(one.row())) for one in traced if one.fate == fate]


def test_datatrove_keeps_the_same_documents_with_the_same_texts_and_traces(tmp_path):
    ours = list(Pipeline(STAGES).run(corpus()))
    write_source(corpus(), tmp_path / "in" / "corpus.jsonl")
    stats = run_local(STAGES, tmp_path / "in", tmp_path / "out")
    assert rows_of(tmp_path / "out", "kept_*") == plain(ours, "kept")
    assert rows_of(tmp_path / "out", "dropped_*") == plain(ours, "dropped")
    assert len(plain(ours, "kept")) >= 5
    assert len({row["trace"][-1]["stage"] for row in plain(ours, "dropped")}) >= 3
    counted = {step.name: step.stats for step in stats.stats}
    assert any("exact copies" in name for name in counted)


def test_stages_that_look_at_documents_alone_run_in_any_number_of_tasks(tmp_path):
    stages = [quality(), private_details(["Tam"]), Each("fussy", fussy)]
    for number in range(5):
        write_source(corpus()[number::5], tmp_path / "in" / f"{number}.jsonl")
    run_local(stages, tmp_path / "in", tmp_path / "out", tasks=3)
    ours = list(Pipeline(stages).run(corpus()))
    assert len(list((tmp_path / "out").glob("kept_*.jsonl"))) == 3
    for fate in ("kept", "dropped", "failed"):
        assert rows_of(tmp_path / "out", f"{fate}_*") == plain(ours, fate)
        assert plain(ours, fate)


def test_a_task_that_was_done_is_not_done_again(tmp_path):
    write_source(corpus(), tmp_path / "in" / "corpus.jsonl")
    run_local([quality()], tmp_path / "in", tmp_path / "out", logs=tmp_path / "logs")
    first = (tmp_path / "out" / "kept_00000.jsonl").stat().st_mtime_ns
    run_local([quality()], tmp_path / "in", tmp_path / "out", logs=tmp_path / "logs")
    assert (tmp_path / "out" / "kept_00000.jsonl").stat().st_mtime_ns == first


def test_a_stage_with_a_memory_refuses_several_tasks():
    step = StageStep(exact_copies())
    with pytest.raises(ValueError, match=r"stage 'exact copies' remembers what it has seen, and world_size = 4 tasks"):
        list(step.run(iter([]), rank=0, world_size=4))


def test_without_a_source_the_folder_is_named(tmp_path):
    from lablib.corpus.datatrove_stages import ReadJsonl

    with pytest.raises(FileNotFoundError, match=r"holds no \*\.jsonl file"):
        list(ReadJsonl(tmp_path).run())


def test_a_document_goes_there_and_back():
    traced = Traced(
        Document("b", "id", "test", "MIT", "story"),
        3,
        (Step("s", "changed", (Reason("r", "w"),), 3, 1), Step("t", "dropped", (Reason("q", "v"),), 1, 0)),
    )
    assert from_datatrove(to_datatrove(traced)) == traced
    foreign = from_datatrove(TroveDocument(text="abc", id="x", metadata={"url": "https://example.org"}))
    assert foreign == Traced(Document("abc", "x", "datatrove"), 3)


def test_a_plain_outcome_counts_its_rule():
    step = StageStep(Each("all", lambda one: Outcome((Reason("every", "each of them"),))))
    assert list(step.run(iter([TroveDocument(text="a", id="1"), TroveDocument(text="b", id="2")]))) == []
    assert step.stats["dropped_every"].total == 2
