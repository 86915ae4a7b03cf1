"""The ship's log: unambiguous, unknown to the base model's world, every fact told, and questions whose answers can be counted."""

import math
import re
from collections import Counter
from dataclasses import replace
from itertools import islice
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft_oracle import close
from torch import nn

from lablib.adaptation import domains
from lablib.adaptation.domains import PHRASINGS, SCHEMA, Known, Row, ShipsLog, encoded, judged, knows, sentences
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world import World
from lablib.corpus.world.entropy import tokens
from lablib.tokens import course_tokenizer

LOG, TOKENIZER = ShipsLog(), course_tokenizer.load()
TEXTS = list(islice(LOG.documents(Random(0)), 3000))


# ---------------------------------------------------------------- documents


def test_every_document_has_exactly_one_derivation_whose_probability_is_stated():
    for document in TEXTS[:400]:
        readings = LOG.reader.read(document.kind, document.text, "train")
        assert len(readings) == 1, document.text
        assert readings[0].shape == document.shape
        assert LOG.log_prob(document.text) == pytest.approx(document.log_prob)


@given(seed=st.integers(0, 10**6), split=st.sampled_from(["train", "held_out", "all"]))
@settings(max_examples=40)
def test_of_any_split_and_seed(seed, split):
    document = next(LOG.documents(Random(seed), split))
    assert LOG.log_prob(document.text, split) == pytest.approx(document.log_prob)
    assert LOG.gold_quality(document.text) == 1.0
    assert World().log_prob(document.text) == -math.inf


def test_the_floor_is_known_to_a_percent():
    entropy = LOG.entropy(2000, Random(1))
    assert 0.1 < entropy.per_token < 0.8
    assert entropy.per_token_error < 0.02 * entropy.per_token


def test_all_kinds_and_shapes_occur_and_held_out_combinations_do_not():
    assert set(LOG.kinds()) == {document.kind for document in TEXTS} == {"log", "register", "pilot", "glossary"}
    assert {document.shape for document in TEXTS} == set(LOG.shapes)
    held = {(name, entity.name) for name, rule in LOG.shapes.items() for entity in rule.held_out}
    assert held
    assert not held & {(document.shape, document.subject) for document in TEXTS}


def test_the_text_is_clean():
    for document in TEXTS:
        assert not re.search(r"  |[ ][.,;:!?]|\b(\w+) \1\b|[.!?] [a-z]|\ba [aeiou]|\{|\}|<|>", document.text), (
            document.text
        )
        assert document.text[0].isupper() or document.text[0] == '"'
        assert len(TOKENIZER.encode(document.text)) < 200


def test_the_same_seed_gives_the_same_documents():
    again = list(islice(LOG.documents(Random(0)), 50))
    assert again == TEXTS[:50]
    assert [d.text for d in islice(ShipsLog().documents(Random(1)), 50)] != [d.text for d in again]


def test_its_names_and_most_of_its_words_are_unknown_to_the_world():
    world = Counter(word for d in islice(World().documents(Random(0)), 4000) for word in tokens(d.text))
    names = [entity.name for category in SCHEMA for entity in LOG.entities[category]]
    captains = LOG.values("ship.captain")
    assert [name for name in [*names, *captains] if name in world] == []
    assert [
        name for name in (*names, *captains) if any(name == e.name for es in World().entities.values() for e in es)
    ] == []


# ---------------------------------------------------------------- facts and questions


def test_there_are_224_facts_and_each_is_told_in_the_training_documents():
    assert len(LOG.facts) == 24 * 7 + 12 * 3 + 20 == 224
    assert len({(fact.subject, fact.relation) for fact in LOG.facts}) == 224
    told = Counter()
    by_subject = {fact.subject: [f for f in LOG.facts if f.subject == fact.subject] for fact in LOG.facts}
    for document in TEXTS:
        for fact in by_subject[document.subject]:
            told[fact] += fact.value.lower() in document.text.lower()
    assert set(told) == set(LOG.facts)
    assert min(told.values()) >= 3


def test_seen_sentences_are_those_of_documents_and_held_out_ones_are_not():
    texts = [document.text for document in TEXTS]
    for relation, both in sentences().items():
        category, attribute = relation.split(".")
        for phrasing, found in both.items():
            for sentence in found:
                before = sentence.partition("{value}")[0]
                occurs = 0
                for entity in LOG.entities[category]:
                    value = entity[attribute]
                    value = getattr(value, "name", value)
                    filled = before.replace("{name}", entity.name) + str(value)
                    occurs += sum(filled in text for text in texts)
                assert (occurs > 0) == (phrasing == "seen"), (phrasing, sentence, occurs)


def test_a_question_has_its_answer_among_its_values_and_breaks_off_before_it():
    for phrasing in PHRASINGS:
        questions = LOG.questions(phrasing)
        assert {q.fact for q in questions} == set(LOG.facts)
        for question in questions:
            assert question.fact.value in question.values
            assert len(set(question.values)) == len(question.values) > 1
            assert question.fact.subject in question.prompt
            assert question.prompt == question.prompt.rstrip()
            assert question.rest in (".", "")
            cut = [*TOKENIZER.encode(question.prompt), *TOKENIZER.encode(f" {question.fact.value}")]
            assert cut == TOKENIZER.encode(f"{question.prompt} {question.fact.value}")  # as the whole sentence is cut
    with pytest.raises(ValueError, match="phrasing = 'new'"):
        LOG.questions("new")


def test_a_file_of_questions_with_a_gap_is_told(monkeypatch, tmp_path):
    whole = domains.data_path("domain/questions.toml").read_text(encoding="utf-8")
    path = tmp_path / "questions.toml"
    monkeypatch.setattr(domains, "data_path", lambda name: path)
    try:
        for wrong, said in (
            (whole.replace("[ship.rig]", "[ship.mast]"), "expected exactly the relations"),
            (whole.replace("On board, the {name} is {value}.", "On board it is {value}."), "expected {name}"),
            (whole.replace('held_out = ["The rig', 'other = ["The rig'), "expected sentences for seen, held_out"),
        ):
            assert wrong != whole
            path.write_text(wrong, encoding="utf-8")
            sentences.cache_clear()
            with pytest.raises(ValueError, match=said):
                sentences()
    finally:
        sentences.cache_clear()


# ---------------------------------------------------------------- asking a model


class Oracle(nn.Module):
    """A model that expects the next token of the texts that it was told, and everything else a little."""

    def __init__(self, rows):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.next = {row[:t]: row[t] for row in rows for t in range(1, len(row))}

    def forward(self, ids):
        logits = torch.zeros(*ids.shape, TOKENIZER.V)
        for b, row in enumerate(ids.tolist()):
            for t in range(len(row)):
                after = self.next.get(tuple(row[: t + 1]))
                if after is not None:
                    logits[b, t, after] = 9.0
        return logits


def test_a_model_that_knows_is_right_and_one_that_was_told_lies_is_wrong():
    questions = LOG.questions("held_out")[::17]
    n = len(questions)
    truth = Oracle([encoded(q, q.fact.value, TOKENIZER).ids for q in questions])
    found = knows(truth, TOKENIZER, questions, B=32)
    assert (found.questions, found.picked, found.written) == (n, n, n)
    lies = Oracle([encoded(q, next(v for v in q.values if v != q.fact.value), TOKENIZER).ids for q in questions])
    assert knows(lies, TOKENIZER, questions, B=32) == replace(found, picked=0, written=0)
    assert 0.02 < found.chance < 0.3


def test_an_untrained_model_is_near_chance():
    model = Decoder(DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16), generator=torch.Generator().manual_seed(0))
    found = knows(model.eval(), TOKENIZER, LOG.questions("seen"))
    assert found.written == 0
    assert found.picked / found.questions < found.chance + 0.1


def test_a_judgement_is_that_of_the_row_alone_whatever_stands_beside_it():
    model = Decoder(DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.embedding.weight.mul_(20)
    questions = LOG.questions("held_out")[:40:4]
    rows = [encoded(q, q.fact.value, TOKENIZER) for q in questions]
    together = judged(model.eval(), rows, B=7)
    for row, (log_p, _) in zip(rows, together, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([row.ids])).log_softmax(-1)[0]
        expected = sum(logits[t - 1, row.ids[t]] for t in range(row.start, len(row.ids)))
        assert close(torch.tensor([log_p]), expected.reshape(1), 1e-4)


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="questions is empty"):
        knows(Oracle([]), TOKENIZER, [])
    assert Known(1, 1, 0, 0.5) != Known(1, 0, 0, 0.5)
    assert Row((1, 2), 1, 2) == Row((1, 2), 1, 2)
