"""Collecting preferences: the same for the same generator, no identical pairs, labels by the annotators, no prompt on both sides."""

from dataclasses import replace
from random import Random

import pytest
import torch

from lablib.adaptation.adherence import as_ids
from lablib.alignment import preference_pairs as pp
from lablib.alignment.annotators import Annotator, noise_ceiling, pooled
from lablib.alignment.responses import Response
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.corpus.world.requests import recognise
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
STOP, PAD = TOKENIZER.special["<|end|>"], TOKENIZER.special["<|pad|>"]
SHARP = Annotator("sharp", temperature=0.001)


def small():
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16, context=64)
    return Decoder(config, generator=torch.Generator().manual_seed(0)).eval()


def stubbed(monkeypatch, texts, finished=True):
    """Responses that go round a list, in place of a model's."""
    turn = iter(range(10**9))

    def sample(model, tokenizer, instructions, generator, sampling, per_prompt, most):
        def one(instruction):
            said = texts(instruction, next(turn))
            return Response(instruction, (*TOKENIZER.encode(said), *([STOP] if finished else [])), said, finished)

        return [[one(instruction) for _ in range(per_prompt)] for instruction in instructions]

    monkeypatch.setattr(pp, "sample", sample)


def pair(chosen="Yes.", rejected="No.", gold=(1.0, 0.0), prompt="Where does Mirabe live?", annotator="x"):
    scores = None if gold is None else tuple(Judgement(value, value, value) for value in gold)
    ids = [(*TOKENIZER.encode(text), STOP) for text in (chosen, rejected)]
    return pp.Preference(
        (Turn("user", prompt),), chosen, rejected, tuple(as_ids(prompt, TOKENIZER)), *ids, annotator, scores
    )


# ---------------------------------------------------------------- a model's own


def test_a_models_responses_become_pairs():
    found = pp.collect(small(), TOKENIZER, 20, Random(0), most=5)
    assert len(found.pairs) == 20
    assert found.drawn == 20 + found.identical
    assert found.seconds > 0
    for one in found.pairs:
        assert recognise(one.asked).prompt == one.asked  # a prompt of the world
        assert one.prompt_ids == tuple(as_ids(one.asked, TOKENIZER))
        assert one.chosen == TOKENIZER.decode([t for t in one.chosen_ids if t != STOP]).strip()
        assert one.chosen != one.rejected
        judged = World().judge(one.asked, one.rejected)
        assert one.gold[1] == Judgement(judged.helpful, judged.honest, judged.harmless)
    assert len({one.annotator for one in found.pairs}) == 3
    assert found.unfinished > 30  # of 40: a random model hardly ever stops within 5 tokens


def test_the_same_generator_gives_the_same_and_more_begins_with_fewer():
    few, again, more = (pp.collect(small(), TOKENIZER, n, Random(1), most=3).pairs for n in (6, 6, 9))
    assert few == again == more[:6]
    assert pp.collect(small(), TOKENIZER, 6, Random(2), most=3).pairs != few


# ---------------------------------------------------------------- labels and what is dropped


def test_the_better_one_is_chosen_by_who_sees_it(monkeypatch):
    stubbed(monkeypatch, lambda instruction, n: instruction.response if n % 2 else "Blorp.")
    found = pp.collect(None, TOKENIZER, 60, Random(0), [SHARP])
    assert all(one.gold_difference() > 0 for one in found.pairs)
    assert all(one.rejected == "Blorp." for one in found.pairs)
    blind = pp.collect(None, TOKENIZER, 200, Random(0), [Annotator("blind", lapse=1.0)])
    assert 70 < sum(one.rejected == "Blorp." for one in blind.pairs) < 130
    lover = pp.collect(None, TOKENIZER, 60, Random(0), [Annotator("talk", temperature=100.0, length_bias=9.0)])
    assert all(one.seen[0].words >= one.seen[1].words for one in lover.pairs)


def test_identical_responses_are_dropped_and_counted(monkeypatch):
    stubbed(monkeypatch, lambda instruction, n: "Yes." if n % 8 < 6 else f"No {n}.")
    found = pp.collect(None, TOKENIZER, 30, Random(0), [SHARP])
    assert found.identical == 3 * (found.drawn // 4) + min(found.drawn % 4, 3)
    assert found.drawn - found.identical == 30
    assert all(one.chosen != one.rejected for one in found.pairs)


def test_the_same_text_in_other_tokens_is_the_same_response(monkeypatch):
    """A word may be written as one token or letter by letter: nobody who reads both sees a difference."""
    letters = [token for letter in "Yes." for token in TOKENIZER.encode(letter)]
    whole = TOKENIZER.encode("Yes.")
    assert letters != whole

    def sample(model, tokenizer, instructions, generator, sampling, per_prompt, most):
        for instruction in instructions:
            yield [Response(instruction, (*ids, STOP), "Yes.", True) for ids in (letters, whole)]

    monkeypatch.setattr(pp, "sample", sample)
    with pytest.raises(ValueError, match="1024 say the same"):
        pp.collect(None, TOKENIZER, 5, Random(0), [SHARP])


def test_a_model_that_always_says_the_same_is_given_up(monkeypatch):
    stubbed(monkeypatch, lambda instruction, n: "Yes.")
    with pytest.raises(ValueError, match=r"of 1024 pairs of responses 1024 say the same.*higher temperature"):
        pp.collect(None, TOKENIZER, 5, Random(0), [SHARP])


def test_cut_and_empty_responses_are_kept_and_counted(monkeypatch):
    stubbed(monkeypatch, lambda instruction, n: "" if n % 2 else "Hello there", finished=False)
    with pytest.raises(ValueError, match="_ids is empty"):  # a response without any token cannot come from a model
        pp.collect(None, TOKENIZER, 1, Random(0), [SHARP])
    stubbed(monkeypatch, lambda instruction, n: "" if n % 2 else "Hello there")
    found = pp.collect(None, TOKENIZER, 4, Random(0), [SHARP])
    assert {one.chosen_ids for one in found.pairs} | {one.rejected_ids for one in found.pairs} >= {(STOP,)}
    assert found.unfinished == 0


def test_told_how_far_it_is(monkeypatch):
    stubbed(monkeypatch, lambda instruction, n: f"No {n}.")
    told = []
    pp.collect(None, TOKENIZER, 300, Random(0), [SHARP], watch=told.append)
    assert told == [128, 256, 300]


# ---------------------------------------------------------------- what one does with them


def test_no_prompt_stands_on_both_sides():
    pairs = [pair(f"Yes {n}.", "No.", prompt=f"{'Where' if n % 2 else 'When'} {n % 400}?") for n in range(2000)]
    train, test = pp.held_out_by_prompt(pairs, 0.2)
    assert sorted(map(id, [*train, *test])) == sorted(map(id, pairs))
    assert not {one.asked for one in train} & {one.asked for one in test}
    assert 0.1 < len(test) / len(pairs) < 0.3
    assert pp.held_out_by_prompt(pairs[:50], 0.2)[1] == [one for one in test if one in pairs[:50]]
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            pp.held_out_by_prompt(pairs, share)


def test_probabilities_of_labels_are_those_of_a_drawn_annotator():
    pairs = [pair(gold=(1.0, 0.5)), pair(gold=(0.0, 1.0))]
    found = pp.label_probabilities(pairs)
    assert found == [pooled(pp.ANNOTATORS, *one.seen) for one in pairs]
    assert found[0] > 0.7
    assert found[1] < 0.2  # a wrong label
    assert noise_ceiling(found).mean > 0.7


def test_rows_of_tokens():
    pairs = [pair(), pair("Well, in Marrow.", "No.")]
    chosen, rejected = pp.as_answers(pairs, PAD)
    for row, one in enumerate(pairs):
        n = int(chosen.lengths[row])
        start = len(one.prompt_ids)
        assert chosen.ids[row, : start + n].tolist() == [*one.prompt_ids, *one.chosen_ids]
        assert rejected.targets[row][rejected.mask[row]].tolist() == list(one.rejected_ids)
    both = pp.both_answers(pairs, PAD)
    assert both.lengths.tolist() == [*chosen.lengths.tolist(), *rejected.lengths.tolist()]


# ---------------------------------------------------------------- bad input


def test_a_preference_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"chosen and rejected are the same, 'Yes\.'"):
        pair("Yes.", "Yes.")
    for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
        with pytest.raises(ValueError, match=f"{name} is empty.*stop token"):
            replace(pair(), **{name: ()})
    with pytest.raises(ValueError, match="gold scores of a pair from 'hh-rlhf' are not known"):
        _ = pair(gold=None, annotator="hh-rlhf").seen


@pytest.mark.parametrize(("n", "annotators"), [(0, [SHARP]), (3, [])])
def test_nothing_to_collect_is_named(n, annotators):
    with pytest.raises(ValueError, match="expected at least one of each"):
        pp.collect(small(), TOKENIZER, n, Random(0), annotators)
