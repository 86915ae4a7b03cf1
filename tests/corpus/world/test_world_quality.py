"""Gold quality: 1 for what the world writes, less for every kind of damage and less with more of it, safe on any text."""

import re
import statistics
import time
from collections.abc import Callable
from itertools import islice, pairwise
from random import Random

import pytest
from enumeration import grammar
from hypothesis import given, settings
from hypothesis import strategies as st

from lablib.corpus.world import World
from lablib.corpus.world.documents import KINDS
from lablib.corpus.world.parsing import Reader
from lablib.corpus.world.quality import LIMIT, Parts, Quality
from lablib.corpus.world.sentences import sentences

WORLD = World()
QUALITY = Quality(WORLD.grammar, WORLD.reader)
TEXTS = [document.text for document in islice(WORLD.documents(Random(11), "all"), 200)]
LONG = [text for text in TEXTS if len(list(sentences(text))) >= 5]


def test_the_world_has_it() -> None:
    assert WORLD.gold_quality(TEXTS[0]) == 1
    assert WORLD.gold_quality("") == 0


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_document_has_quality_one(kind: str, split: str) -> None:
    for document in islice(WORLD.documents(Random(kind), split, [kind]), 200):
        parts = QUALITY.parts(document.text)
        assert parts.sentences == parts.grammatical == parts.consistent == parts.connected > 0, document.text
        assert QUALITY(document.text) == 1


def test_so_has_every_beginning_that_ends_with_a_sentence() -> None:
    for text in LONG[:60]:
        for _, end in sentences(text):
            assert QUALITY(text[:end]) == 1 or text[end : end + 1] == "", text[:end]


# ---------------------------------------------------------------------- what each kind of damage costs

ABOUT_OWLS = (
    "About the owl: it hoots. Owlets are young owls. Owls live in the wood. "
    "The food that an owl likes best is mice. It walks on two legs."
)
OWL = (
    "An owl has two legs and eats mice. Owls live in the wood. A young owl is called an owlet. "
    "It is true that an owl can turn its head almost all the way round. An owl hoots."
)


def test_a_false_fact_costs_a_third_of_its_sentence() -> None:
    good = ABOUT_OWLS
    assert QUALITY.parts(good) == Parts(5, 5, 5, 5)
    for bad in (
        good.replace("mice", "grass"),
        good.replace("two legs", "four legs"),
        good.replace("Owls live", "Foxes live"),  # another animal than before
        good.replace("in the wood", "by the sea"),
    ):
        assert QUALITY.parts(bad) == Parts(5, 5, 4, 5), bad
        assert QUALITY(bad) == pytest.approx(14 / 15)


def test_a_name_must_stay_who_it_was() -> None:
    good = (
        "Mirabe\nHer house is in Marrow, near the market. As a baker, she needs a rolling pin and works at the bakery."
    )
    assert QUALITY(good) == 1
    he = QUALITY.parts(good.replace("she", "he"))
    assert he == Parts(3, 3, 2, 3)
    other = QUALITY.parts(good.replace("Her house", "His house"))
    assert other == Parts(3, 3, 2, 3)


def test_a_truncated_sentence_costs_itself_alone() -> None:
    for text in LONG[:60]:
        *_, (start, end) = sentences(text)
        if text[end - 1] not in ".!?" or " " not in text[start:end]:
            continue
        count = len(list(sentences(text)))
        cut = text[: text.rindex(" ", start, end)]
        if not re.search(r"[.!?][\"']*$", cut):
            assert QUALITY.parts(cut) == Parts(count, count - 1, count - 1, count - 1), cut


def test_a_word_too_much_costs_its_sentence_and_the_next_one_its_connection() -> None:
    text = OWL
    assert QUALITY.parts(text) == Parts(5, 5, 5, 5)
    assert QUALITY.parts(text.replace("in the wood", "in in the wood")) == Parts(5, 4, 4, 3)


def test_order_counts() -> None:
    text = OWL
    first, *others = (text[start:end] for start, end in sentences(text))
    shuffled = QUALITY.parts(" ".join([first, *reversed(others)]))
    assert shuffled.grammatical == shuffled.consistent == 5
    assert 1 <= shuffled.connected < 5


def test_saying_it_again_says_nothing() -> None:
    parts = QUALITY.parts("An owl has two legs and eats mice. " + "Owls live in the wood. " * 10)
    assert parts == Parts(11, 11, 2, 2)


def test_word_soup_and_foreign_text_have_none() -> None:
    random = Random(0)
    soups = []
    for text in TEXTS:
        words = text.split()
        random.shuffle(words)
        soups.append(QUALITY(" ".join(words)))
    assert statistics.mean(soups) < 0.03
    assert QUALITY("The quick brown fox jumps over the lazy dog. It was a bright cold day in April.") == 0


def swapped(text: str, random: Random, times: int) -> str:
    words = text.split(" ")
    for _ in range(times):
        i, j = (int(random.random() * len(words)) for _ in range(2))
        words[i], words[j] = words[j], words[i]
    return " ".join(words)


def shuffled(text: str, random: Random, times: int) -> str:
    parts = [text[start:end] for start, end in sentences(text)]
    for _ in range(times):
        i, j = (int(random.random() * len(parts)) for _ in range(2))
        parts[i], parts[j] = parts[j], parts[i]
    return " ".join(parts) if times else text


def renamed(text: str, random: Random, times: int) -> str:
    """People exchanged for others, one mention at a time."""
    names = [person.name for person in WORLD.people]
    for _ in range(times):
        found = list(re.finditer("|".join(names), text))
        if found:
            one = found[int(random.random() * len(found))]
            text = text[: one.start()] + names[int(random.random() * len(names))] + text[one.end() :]
    return text


@pytest.mark.parametrize("damage", [swapped, shuffled, renamed])
def test_more_damage_is_less_quality(damage: Callable[[str, Random, int], str]) -> None:
    means = [statistics.mean(QUALITY(damage(text, Random(5), times)) for text in LONG) for times in (0, 1, 2, 4, 8)]
    assert means[0] == 1
    assert all(better > worse for better, worse in pairwise(means)), means
    assert means[3] < 0.9


# ---------------------------------------------------------------------- safe and fast


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_has_a_score(text: str) -> None:
    parts = QUALITY.parts(text)
    assert 0 <= parts.connected <= parts.sentences
    assert 0 <= parts.consistent <= parts.grammatical <= parts.sentences
    assert 0 <= parts.score <= 1


@given(st.integers(0, 10**6), st.integers(0, 400), st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_damage_has_a_score_below_the_whole(seed: int, at: int, noise: str) -> None:
    text = TEXTS[seed % len(TEXTS)]
    assert 0 <= QUALITY(text[:at] + noise + text[at:]) <= 1


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "word " * 200_000, "He laughed. " * 83_000, "\n" * 1_000_000, "你好。✨ " * 10_000]
)
def test_a_million_characters_are_no_trouble(text: str) -> None:
    start = time.perf_counter()
    assert QUALITY(text) < 0.1
    assert time.perf_counter() - start < 20


def test_sentences_past_the_limit_count_nothing() -> None:
    parts = QUALITY.parts("\n\n".join(TEXTS * 3))
    assert parts.sentences > LIMIT
    assert 0.9 * LIMIT < parts.grammatical <= LIMIT


def test_a_small_grammar() -> None:
    small = grammar()
    quality = Quality(small, Reader(small))
    assert quality("Ada met Bo. She drank milk.") == 1
    assert quality.parts("Ada met Bo. He drank milk.") == Parts(2, 2, 1, 2)
    assert quality.parts("She drank milk.") == Parts(1, 1, 1, 0)
    assert quality.parts("Ada met Cy.") == Parts(1, 1, 0, 1)  # Bo is her friend
    assert quality.parts("Ada flew.") == Parts(1, 0, 0, 0)


def test_no_such_root() -> None:
    small = grammar()
    with pytest.raises(ValueError, match="root = 'story': expected one of the grammar's rules, such as document"):
        Quality(small, Reader(small), "story")
