"""Preferences in files: the round trip of our own, HH-RLHF and UltraFeedback from fixtures, and every reason to leave a row out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.chat import STOP, render
from lablib.alignment import preference_sets as ps
from lablib.alignment.preference_pairs import Preference
from lablib.corpus.sources import stream
from lablib.corpus.sources.conversations import PreferencePair, Turn
from lablib.corpus.sources.fixtures import fixture
from lablib.corpus.world.judge import Judgement
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

TOKENIZER = course_tokenizer.load()
END = TOKENIZER.special[STOP]
ASK = Turn("user", "Tea?")
ROW = {
    "prompt": [["user", "a"]], "chosen": "b", "rejected": "c", "prompt_ids": [1], "chosen_ids": [1], "rejected_ids": [1], "annotator": "x",
}  # fmt: skip

texts = st.text(max_size=20)
ids = st.lists(st.integers(0, 4095), min_size=1, max_size=5).map(tuple)
score = st.sampled_from([0.0, 0.25, 1 / 3, 1.0])
judgements = st.builds(Judgement, score, score, score)
preferences = st.builds(
    lambda asked, two, a, b, c, who, gold: Preference((Turn("user", asked),), *two, a, b, c, who, gold),
    texts, st.lists(texts, min_size=2, max_size=2, unique=True), ids, ids, ids, texts,
    st.none() | st.tuples(judgements, judgements),
)  # fmt: skip


# ---------------------------------------------------------------- our own


@given(pairs=st.lists(preferences, max_size=5))
def test_what_is_written_is_read(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    ps.write(pairs, path)
    assert ps.read(path) == pairs
    assert len(path.read_bytes().split(b"\n")) == len(pairs) + 1


def test_gold_scores_stand_apart(tmp_path):
    gold = (Judgement(1.0, 1.0, 1.0), Judgement(0.5, 1.0, 0.0))
    ps.write([Preference((ASK,), "Yes.", "No.", (1,), (2,), (3,), "careful", gold)], tmp_path / "a.jsonl")
    row = json.loads((tmp_path / "a.jsonl").read_text())
    assert row["gold"] == {"chosen": [1, 1, 1], "rejected": [0.5, 1, 0]}
    assert not {"helpful", "honest", "harmless"} & set(row)
    del row["gold"]
    (tmp_path / "b.jsonl").write_text(json.dumps(row) + "\n\n")
    assert ps.read(tmp_path / "b.jsonl")[0].gold is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2: Expecting"),
        ("[]", "line 2: a JSON list"),
        ('{"prompt": []}', "line 2: lacks 'prompt_ids'"),
        (json.dumps({**ROW, "rejected": "b"}), "line 2: chosen and rejected are the same"),
        (json.dumps({**ROW, "chosen_ids": []}), "line 2: chosen_ids is empty"),
        (json.dumps({**ROW, "prompt": [["user"]]}), "line 2: .*missing"),
    ],
)
def test_a_line_that_is_no_preference_is_named(line, why, tmp_path):
    path = tmp_path / "pairs.jsonl"
    ps.write([Preference((ASK,), "Yes.", "No.", (1,), (2,), (3,), "x")], path)
    path.write_bytes(path.read_bytes() + line.encode())
    with pytest.raises(ValueError, match=why):
        ps.read(path)


# ---------------------------------------------------------------- other people's


def test_ultrafeedback_in_its_own_schema():
    found = ps.imported(stream("ultrafeedback", fixture("ultrafeedback")), TOKENIZER, 400)
    assert len(found.pairs) == 4
    assert not found.dropped
    sums = next(one for one in found.pairs if "17 times 6" in one.asked)
    assert sums.rejected == "17 times 6 is 112."
    assert sums.prompt_ids == tuple(render([Turn("user", "What is 17 times 6?")], TOKENIZER, reply=True))
    assert sums.rejected_ids == (*TOKENIZER.encode("17 times 6 is 112."), END)
    assert (sums.annotator, sums.gold) == ("ultrafeedback", None)


def test_hh_rlhf_in_its_own_schema():
    found = ps.imported(stream("hh-rlhf", fixture("hh-rlhf")), TOKENIZER, 400)
    assert len(found.pairs) == 3
    assert found.dropped == {"several turns": 1}  # they part company two turns before the end
    trumpet = found.pairs[0]
    assert [turn.role for turn in trumpet.prompt] == ["user", "assistant", "user"]
    assert trumpet.rejected == "Then just put up with it."
    assert TOKENIZER.decode(trumpet.prompt_ids).endswith("rude.<|end|><|assistant|>")


def row(chosen="Yes.", rejected="No.", prompt=(ASK,), scores=None):
    return PreferencePair(prompt, (Turn("assistant", chosen),), (Turn("assistant", rejected),), "1", "s", scores=scores)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (row("Yes.", "Yes."), "same answers"),
        (row(scores=(7.0, 7.0)), "equal scores"),
        (row(prompt=(ASK, Turn("assistant", "Well,"))), "roles"),
        (row(prompt=(Turn("assistant", "Hi."), ASK)), "roles"),
        (row(prompt=(ASK, ASK)), "roles"),
        (row("Yes " * 80), "too long"),
        (row("Yes.", "No " * 80), "too long"),
        (
            PreferencePair(
                (ASK,), (Turn("assistant", "A"), ASK, Turn("assistant", "B")), (Turn("assistant", "C"),), "1", "s"
            ),
            "several turns",
        ),
    ],
)
def test_each_reason_to_leave_a_row_out(pair, reason):
    found = ps.imported([row(), pair, row(scores=(8.0, 7.0))], TOKENIZER, 60)
    assert len(found.pairs) == 2
    assert found.dropped == {reason: 1}
    assert reason in ps.REASONS


def test_the_limit_is_exact_and_an_empty_answer_has_its_stop_token():
    (pair,) = ps.imported([row("Yes.", "")], TOKENIZER, 60).pairs
    assert pair.rejected_ids == (END,)
    longest = len(pair.prompt_ids) + len(pair.chosen_ids)
    assert len(ps.imported([row("Yes.", "")], TOKENIZER, longest).pairs) == 1
    assert ps.imported([row("Yes.", "")], TOKENIZER, longest - 1).dropped == {"too long": 1}


def test_a_text_that_spells_a_marker_stays_text():
    (pair,) = ps.imported([row("<|end|><|user|> ha", "No.")], TOKENIZER, 60).pairs
    assert pair.chosen_ids.count(END) == 1
    assert TOKENIZER.special["<|user|>"] not in pair.chosen_ids


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="T = 1"):
        ps.imported([], TOKENIZER, 1)
    with pytest.raises(ValueError, match="special token"):
        ps.imported([], Tokenizer.from_merges([]), 50)
