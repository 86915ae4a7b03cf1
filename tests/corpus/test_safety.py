"""Toxicity: the word list by a plain loop, the classifier beside it on sentences it has not seen, and the harm of both."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.corpus.document import Document
from lablib.corpus.pipeline import Pipeline
from lablib.corpus.safety import look_alikes, plain_words, sentences, toxic_words, toxicity, train, worst_sentence
from lablib.corpus.stages import toxic_sentences
from lablib.corpus.stages import toxic_words as toxic_words_stage
from lablib.corpus.text_classifier import Features, TextClassifier

WORDS = ("pig", "drop", "dead", "fool", "river", "the", "idiot", "half-wit", "lost", "get", "7")
some_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=15)


# ------------------------------------------------------------------ the word list


@given(some_words, st.sets(st.sampled_from(("pig", "fool", "idiot", "half-wit"))))
def test_single_words_are_counted_as_a_plain_loop_counts_them(words, listed):
    expected = 100 * sum(word in listed for word in words) / len(words)
    assert toxicity(" ".join(words), listed) == pytest.approx(expected)
    assert toxicity(", ".join(words).upper() + "!", listed) == pytest.approx(expected)


@given(some_words)
def test_phrases_are_taken_longest_first_and_never_twice(words):
    """By hand, from left to right: "drop dead" is one find, and its "dead" is none of its own."""
    found = place = 0
    while place < len(words):
        if words[place : place + 2] == ["drop", "dead"]:
            found, place = found + 1, place + 2
        else:
            found, place = found + (words[place] == "dead"), place + 1
    assert toxicity(" ".join(words), ["dead", "drop dead"]) == pytest.approx(100 * found / len(words))


def test_no_word_no_list_no_toxicity():
    assert toxicity("", ["pig"]) == toxicity(" -- !", ["pig"]) == toxicity("a pig", []) == 0.0
    assert toxicity("A pigeon, a pigsty and a scrapbook.", ["pig", "crap"]) == 0.0, "whole words alone"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1D10T!", ["idiot"]), ("f00l", ["fool"]), ("(l0ser)", ["loser"]), ("455 10", ["455", "10"]), ("$tup1d,", ["stupid"]),
        ("You’re “dumb”.", ["you're", "dumb"]), ("— …", []), ("fre@k", ["freak"]),
    ],
)  # fmt: skip
def test_words_in_disguise_are_read(text, words):
    assert plain_words(text) == words


def test_the_list_is_well_made():
    listed = toxic_words()
    assert len(listed) > 100
    assert all(entry == " ".join(plain_words(entry)) for entry in listed), (
        "an entry that is spelt otherwise is never found"
    )
    assert all(toxicity(entry, listed) > 0 for entry in listed)


def test_the_sentences_are_well_made():
    rows = look_alikes()
    assert set(rows) == {"toxic", "benign"}
    every = [sentence for kinds in rows.values() for found in kinds.values() for sentence in found]
    assert len(set(every)) == len(every) >= 150
    assert all(len(found) >= 12 for kinds in rows.values() for found in kinds.values())
    listed = toxic_words()
    assert not any(toxicity(one, listed) for one in rows["toxic"]["plain"]), "cruel without one word of the list"
    assert all(toxicity(one, listed) for one in rows["toxic"]["insult"])
    assert not any(toxicity(one, listed) for one in rows["benign"]["kind"])


# ------------------------------------------------------------------ sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Go away! You fool.\nIt rains", ["Go away!", "You fool.", "It rains"]), ("", []), ("\n \n", []),
        ("He said \"no.\" She left.", ["He said \"no.", "She left."]), ("3.5 litres. Done", ["3.5 litres.", "Done"]),
    ],
)  # fmt: skip
def test_sentences_part_behind_their_marks(text, expected):
    assert sentences(text) == expected


@given(st.text('ab .!?\n"', max_size=60))
def test_no_letter_is_lost_between_sentences(text):
    assert sum(map(str.isalpha, "".join(sentences(text)))) == sum(map(str.isalpha, text))


def test_the_worst_sentence_counts_wherever_it_stands():
    weights = np.zeros(64, np.float32)
    from lablib.corpus.text_classifier import bucket

    features = Features(words=1, buckets=64)
    weights[bucket("fool", 64)] = 5
    model = TextClassifier(features, weights, -2.0)
    rows = ["It rained.", "The river rose.", "You fool!", "We went home."]
    for _ in range(4):
        rows = rows[1:] + rows[:1]
        score, sentence = worst_sentence(" ".join(rows), model)
        assert sentence == "You fool!"
        assert score == model.score("You fool!") > 0.5 > model.score("It rained.")
    assert worst_sentence("", model) == (0.0, "")


# ------------------------------------------------------------------ the classifier beside the list


def split(seed: int) -> dict[str, tuple[list[str], list[str]]]:
    """label -> sentences to learn from, sentences to test on: of each kind two thirds and one third."""
    generator, parts = random.Random(seed), {}
    for label, kinds in look_alikes().items():
        learn, test = [], []
        for found in kinds.values():
            rows = list(found)
            generator.shuffle(rows)
            cut = 2 * len(rows) // 3
            learn, test = learn + rows[:cut], test + rows[cut:]
        parts[label] = learn, test
    return parts


def test_on_unseen_sentences_the_classifier_does_less_harm_than_the_list():
    """Summed over five ways to part the sentences, so that no lucky one decides."""
    listed = toxic_words()
    harm_list = harm_model = found_list = found_model = benign = toxic = 0
    for seed in range(5):
        parts = split(seed)
        model = train(parts["toxic"][0], parts["benign"][0], np.random.default_rng(seed))
        harm_list += sum(toxicity(one, listed) > 0 for one in parts["benign"][1])
        harm_model += sum(map(model, parts["benign"][1]))
        found_list += sum(toxicity(one, listed) > 0 for one in parts["toxic"][1])
        found_model += sum(map(model, parts["toxic"][1]))
        benign, toxic = benign + len(parts["benign"][1]), toxic + len(parts["toxic"][1])
    assert benign > 100
    assert toxic > 100
    assert harm_list / benign > 0.3, "the look-alikes hold the list's words"
    assert harm_model / benign < harm_list / benign
    assert found_model / toxic > 0.5
    assert found_list / toxic > 0.5


def test_the_stage_drops_a_text_for_its_worst_sentence():
    parts = look_alikes()
    toxic = [one for found in parts["toxic"].values() for one in found]
    benign = [one for found in parts["benign"].values() for one in found]
    model = train(toxic, benign, np.random.default_rng(0))
    quiet = "The ferry left at nine. The river was high, and we had bread and cheese on the deck."
    rows = [quiet, f"{quiet} You are a stupid idiot and I hate you. {quiet}"]
    fates = [
        one.fate
        for one in Pipeline([toxic_sentences(model)]).run(
            [Document(row, f"d{n}", "test") for n, row in enumerate(rows)]
        )
    ]
    assert fates == ["kept", "dropped"]


def test_wrong_limits_are_named():
    for limit in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=r"limit = .*: expected 0 or more"):
            toxic_words_stage(limit)
    with pytest.raises(ValueError, match="at least 5 examples"):
        train(["You fool."] * 3, ["It rains."] * 9, np.random.default_rng(0))
