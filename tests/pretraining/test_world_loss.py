"""The gap to the truth: against models whose loss is known by arithmetic."""

import math
from dataclasses import replace
from itertools import islice
from random import Random

import numpy as np
import pytest
import torch

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.world import World
from lablib.pretraining.world_loss import END, by_kind, gap
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()
DOCUMENTS = list(islice(World().documents(Random(3)), 40))


def uniform(V=TOKENIZER.V):
    """A model that finds every token equally likely: its last norm gives zeros."""
    model = Decoder(DecoderConfig(V=V, D=8, H=1, L=1, hidden=8))
    torch.nn.init.zeros_(model.norm.weight)
    return model


def test_a_uniform_guess_costs_ln_v_a_token():
    seen = gap(uniform(), DOCUMENTS, TOKENIZER)
    tokens = sum(len(TOKENIZER.encode(document.text)) + 1 for document in DOCUMENTS)
    assert (seen.documents, seen.tokens) == (40, tokens)
    assert seen.loss == pytest.approx(math.log(TOKENIZER.V), rel=1e-5)
    assert seen.floor == pytest.approx(-sum(document.log_prob for document in DOCUMENTS) / tokens, rel=1e-12)
    assert seen.excess == pytest.approx(seen.loss - seen.floor, rel=1e-9)
    assert seen.share == pytest.approx(seen.loss / seen.floor - 1, rel=1e-9)


def test_a_model_that_is_right_has_no_gap_and_no_error():
    """Documents that are as likely as the uniform model says: every difference is zero, whatever the lengths."""
    honest = [replace(d, log_prob=-(len(TOKENIZER.encode(d.text)) + 1) * math.log(TOKENIZER.V)) for d in DOCUMENTS]
    seen = gap(uniform(), honest, TOKENIZER)
    assert seen.loss > 8
    assert seen.excess == pytest.approx(0, abs=1e-5)
    assert seen.excess_error < 1e-5


def test_its_error_is_that_of_a_ratio_over_documents():
    seen, generator = gap(uniform(), DOCUMENTS, TOKENIZER), np.random.default_rng(0)
    lengths = np.array([len(TOKENIZER.encode(document.text)) + 1 for document in DOCUMENTS])
    extra = lengths * math.log(TOKENIZER.V) + np.array([document.log_prob for document in DOCUMENTS])
    draws = generator.integers(len(lengths), size=(4000, len(lengths)))
    bootstrap = (extra[draws].sum(axis=1) / lengths[draws].sum(axis=1)).std()
    assert seen.excess_error == pytest.approx(bootstrap, rel=0.15)


def test_the_kinds_are_the_whole_cut_in_parts():
    model = Decoder(DecoderConfig(V=TOKENIZER.V, D=8, H=1, L=1, hidden=8), generator=torch.Generator().manual_seed(0))
    whole, kinds = gap(model, DOCUMENTS, TOKENIZER), by_kind(model, DOCUMENTS, TOKENIZER)
    assert list(kinds) == sorted(kinds)
    assert len(kinds) >= 4
    alone = [d for d in DOCUMENTS if d.kind not in kinds]
    tokens = sum(found.tokens for found in kinds.values()) + sum(len(TOKENIZER.encode(d.text)) + 1 for d in alone)
    assert tokens == whole.tokens
    if not alone:
        assert sum(f.loss * f.tokens for f in kinds.values()) / tokens == pytest.approx(whole.loss, rel=1e-6)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="documents has 1: expected at least 2"):
        gap(uniform(), DOCUMENTS[:1], TOKENIZER)
    with pytest.raises(ValueError, match=r"at most the model's V = 300; is it the tokenizer"):
        gap(uniform(300), DOCUMENTS, TOKENIZER)
    assert END in TOKENIZER.special
