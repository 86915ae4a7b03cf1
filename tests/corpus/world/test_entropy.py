"""The entropy: exactly on a small grammar by counting all its texts, the standard error by drawing again and again."""

import math
from collections.abc import Iterator
from itertools import islice
from random import Random

import numpy as np
import pytest
from enumeration import grammar, texts

from lablib.corpus.world import World
from lablib.corpus.world.documents import WorldDocument
from lablib.corpus.world.entropy import estimate, ratio, tokens


def documents(random: Random) -> Iterator[WorldDocument]:
    small = grammar()
    while True:
        written = small.write("document", random.random, "all")
        yield WorldDocument(written.text, "small", written.shape, written.log_prob, "")


def exact() -> tuple[float, float, float]:
    """Nats per document, per token, per character: Σ −p log p over all texts, over the mean number of tokens and characters."""
    counted = {text: float(chance) for text, chance in texts(grammar()).items()}
    nats = math.fsum(-chance * math.log(chance) for chance in counted.values())
    length = math.fsum(chance * len(tokens(text)) for text, chance in counted.items())
    characters = math.fsum(chance * len(text) for text, chance in counted.items())
    return nats, nats / length, nats / characters


def test_the_estimate_is_the_entropy() -> None:
    per_document, per_token, per_character = exact()
    found = estimate(documents(Random(0)), 20_000)
    assert found.per_document == pytest.approx(per_document, abs=4 * found.per_document_error)
    assert found.per_token == pytest.approx(per_token, abs=4 * found.per_token_error)
    assert found.per_character == pytest.approx(per_character, abs=4 * found.per_character_error)
    assert found.per_token_error < per_token / 100


def test_the_error_is_an_error() -> None:
    """In 400 draws of 200 documents the interval of ±1.96 errors holds the truth about 95 times in a hundred."""
    _, per_token, per_character = exact()
    stream = documents(Random(1))
    drawn = [estimate(stream, 200) for _ in range(400)]
    inside = np.mean([abs(e.per_token - per_token) < 1.96 * e.per_token_error for e in drawn])
    assert 0.91 < inside < 0.98
    inside = np.mean([abs(e.per_character - per_character) < 1.96 * e.per_character_error for e in drawn])
    assert 0.91 < inside < 0.98
    spread = np.std([e.per_token for e in drawn], ddof=1)
    assert spread == pytest.approx(np.mean([e.per_token_error for e in drawn]), rel=0.12)


def test_ratio_against_the_jackknife() -> None:
    """The delta method against leaving out one document at a time."""
    rng = np.random.default_rng(0)
    n = rng.integers(20, 200, 500).astype(float)
    x = 0.5 * n + rng.normal(0, 5, 500)
    estimated, error = ratio(list(x), list(n))
    assert estimated == pytest.approx(x.sum() / n.sum())
    left_out = (x.sum() - x) / (n.sum() - n)
    jackknife = math.sqrt(499 / 500 * ((left_out - left_out.mean()) ** 2).sum())
    assert error == pytest.approx(jackknife, rel=0.02)


def test_the_world() -> None:
    """Two independent estimates agree within their errors, and no unigram model of the tokens comes near."""
    world = World()
    first, second = world.entropy(2000, Random(2)), world.entropy(2000, Random(3))
    apart = math.hypot(first.per_token_error, second.per_token_error)
    assert abs(first.per_token - second.per_token) < 4 * apart
    words = [token for document in islice(world.documents(Random(4)), 2000) for token in tokens(document.text)]
    shares = np.unique(words, return_counts=True)[1] / len(words)
    assert first.per_token < 0.5 * -(shares * np.log(shares)).sum()
    assert first.per_token * first.tokens == pytest.approx(first.per_document * first.documents)


def test_too_few() -> None:
    with pytest.raises(ValueError, match="n = 1: expected at least 2 documents"):
        World().entropy(1, Random(0))
