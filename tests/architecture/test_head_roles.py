"""Measurements on attention heads, on attention whose answer is known, and the data that they are asked with."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lablib.architecture import head_roles as roles
from lablib.architecture.head_sentences import (
    RELATIONS,
    Relation,
    Sentence,
    foreign_twins,
    is_word,
    make_twin,
    parse_relation,
    read_sentences,
    split_words,
)
from lablib.paths import data_path

TOKENS = ["[CLS]", "a", "dog", "bar", "##ks", ".", "[SEP]"]
SINGLES, TWINS = read_sentences(data_path("head_sentences.toml"))


def random_attention(seed: int, size: int, layers: int = 2, heads: int = 3) -> np.ndarray:
    values = np.random.default_rng(seed).random((layers, heads, size, size)) + 0.01
    return values / values.sum(-1, keepdims=True)


def looking_at(places: list[int]) -> np.ndarray:
    """One layer, one head; token t gives all its attention to places[t]."""
    return np.eye(len(places))[places][None, None]


# --- profile -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "role"),
    [
        ([0, 0, 1, 2, 3, 4, 5], "previous"),
        ([1, 2, 3, 4, 5, 6, 6], "next"),
        ([0, 1, 2, 3, 4, 5, 6], "same"),
        ([0] * 7, "[CLS]"),
        ([6] * 7, "[SEP]"),
        ([5] * 7, "punctuation"),
    ],
)
def test_a_head_with_one_role(places, role):
    shares = roles.profile(looking_at(places), TOKENS)
    expected = {role: 1.0}
    # Before the first word stands [CLS], which is no neighbour; after the last the full stop, which is one.
    expected |= {"previous": {"previous": 0.75, "[CLS]": 0.25}, "next": {"punctuation": 0.25}}.get(role, {})
    expected |= {"punctuation": {"next": 0.25}}.get(role, {})
    for name in ("previous", "next", "same", "[CLS]", "[SEP]", "punctuation"):
        assert shares[name][0, 0] == expected.get(name, 0), name
    assert shares["entropy"][0, 0] == 0


def test_entropy_is_in_nats_and_distance_in_tokens():
    even = np.full((1, 1, 7, 7), 1 / 7)
    shares = roles.profile(even, TOKENS)
    assert shares["entropy"][0, 0] == pytest.approx(math.log(7))
    by_hand = np.mean([np.mean([abs(key - query) for key in range(7)]) for query in (1, 2, 3, 4)])
    assert shares["distance"][0, 0] == pytest.approx(by_hand)
    assert roles.profile(looking_at([4] * 7), TOKENS)["distance"][0, 0] == pytest.approx((3 + 2 + 1 + 0) / 4)


def test_profile_equals_loops():
    attention = random_attention(0, 7)
    shares = roles.profile(attention, TOKENS)
    words = [1, 2, 3, 4]
    for layer, head in np.ndindex(2, 3):
        rows = attention[layer, head]
        assert shares["previous"][layer, head] == pytest.approx(np.mean([0, rows[2, 1], rows[3, 2], rows[4, 3]]))
        assert shares["punctuation"][layer, head] == pytest.approx(np.mean([rows[t, 5] for t in words]))
        nats = np.mean([-sum(p * math.log(p) for p in rows[t]) for t in words])
        assert shares["entropy"][layer, head] == pytest.approx(nats)


def test_mean_profile_counts_each_sentence_once():
    two = [roles.profile(random_attention(seed, 7), TOKENS) for seed in (1, 2)]
    np.testing.assert_allclose(roles.mean_profile(two)["next"], (two[0]["next"] + two[1]["next"]) / 2)


def test_profile_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 7, 7\); expected \(L, H, 2, 2\)"):
        roles.profile(random_attention(0, 7), ["a", "b"])
    with pytest.raises(ValueError, match="at least one word"):
        roles.profile(random_attention(0, 2), ["[CLS]", "."])


# --- words ---------------------------------------------------------------------------------------------------


def test_to_a_split_word_the_sum_from_a_split_word_the_mean():
    attention = random_attention(3, 7)
    groups = roles.piece_groups(TOKENS, ["a", "dog", "barks", "."])
    assert groups == [[1], [2], [3, 4], [5]]
    merged = roles.word_attention(attention, groups)
    assert merged.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(merged[:, :, 1, 2], attention[:, :, 2, 3] + attention[:, :, 2, 4])
    np.testing.assert_allclose(merged[:, :, 2, 0], (attention[:, :, 3, 1] + attention[:, :, 4, 1]) / 2)
    both = sum(attention[:, :, t, s] for t in (3, 4) for s in (3, 4)) / 2
    np.testing.assert_allclose(merged[:, :, 2, 2], both)
    left_out = attention[:, :, 2, 0] + attention[:, :, 2, 6]
    np.testing.assert_allclose(merged[:, :, 1].sum(-1), 1 - left_out)


def test_tokens_that_spell_something_else_are_refused():
    with pytest.raises(ValueError, match="tokens spell 'dog' where 'cat' was expected"):
        roles.piece_groups(TOKENS, ["a", "cat"])
    with pytest.raises(ValueError, match="tokens spell '' where 'more' was expected"):
        roles.piece_groups(TOKENS, ["a", "dog", "barks", ".", "more"])


def test_an_answer_is_never_the_word_itself_nor_punctuation():
    words = ["it", "rained", ",", "again"]
    row = np.zeros((1, 1, 4, 4))
    row[0, 0, 0] = [0.5, 0.1, 0.3, 0.05]
    assert roles.most_attended(row, words, 0)[0, 0] == 1
    row[0, 0, 0] = [0.9, 0, 0.1, 0]  # nothing to a word at all: still a word is answered
    assert is_word(words[roles.most_attended(row, words, 0)[0, 0]])


def test_hits_of_a_head_that_knows_and_one_that_does_not():
    words = ["the", "old", "dog", "sleeps"]
    attention = np.zeros((1, 2, 4, 4))
    attention[0, 0, 0, 2] = attention[0, 0, 3, 2] = 1  # head 0: right for both
    attention[0, 1, 0, 1] = attention[0, 1, 3, 2] = 1  # head 1: right for the verb only
    hits = roles.relation_hits(attention, words, [Relation(0, 2), Relation(3, 2)])
    assert hits.tolist() == [[[True, False]], [[True, True]]]


def test_offsets_skip_punctuation_and_find_both_directions():
    words = split_words("He left, though, it rained.")
    hits = roles.offset_hits(words, [Relation(0, 3), Relation(5, 1)], roles.OFFSETS)
    found = [[offset for offset, hit in zip(roles.OFFSETS, row, strict=True) if hit] for row in hits]
    assert found == [[2], [-2]]
    assert 0 not in roles.OFFSETS


def seen_with(right: bool, text: str = "The dog saw it.") -> roles.Seen:
    words = split_words(text)
    tokens = ["[CLS]", *(word.lower() for word in words), "[SEP]"]
    sentence = Sentence(text, words, {"pronoun": (Relation(3, 1, rival=2),)})
    return roles.see(sentence, tokens, looking_at([0, 0, 0, 0, 2 if right else 3, 0, 0]))


def test_relation_scores_and_chance():
    heads, offsets = roles.relation_scores([seen_with(True), seen_with(False)], "pronoun")
    assert heads.tolist() == [[1.0], [0.0]]
    assert offsets[:, roles.OFFSETS.index(-2)].tolist() == [1.0, 1.0]
    backwards = roles.relation_scores([seen_with(True)], "pronoun", backwards=True)[1]
    assert backwards[0, roles.OFFSETS.index(2)] == 1.0
    assert roles.chance([seen_with(True)], "pronoun") == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="kind is 'object'; none of the 1 sentences"):
        roles.relation_scores([seen_with(True)], "object")


# --- twins ---------------------------------------------------------------------------------------------------


@given(arrays(float, (2, 2, 4, 4), elements=st.floats(0, 1)))
def test_a_habit_scores_zero(attention):
    """Whatever a head prefers, if the changed word changes nothing, the shift is 0."""
    np.testing.assert_array_equal(roles.twin_shift(attention, attention, Relation(3, 0, rival=1)), 0)


def test_all_attention_moving_to_the_right_noun_is_one_and_the_wrong_way_minus_one():
    first, second = looking_at([0, 1, 2, 0]), looking_at([0, 1, 2, 1])
    relation = Relation(3, 0, rival=1)
    assert roles.twin_shift(first, second, relation)[0, 0] == 1
    assert roles.twin_shift(second, first, relation)[0, 0] == -1


def test_shift_is_the_mean_preference_for_the_right_noun():
    first, second = random_attention(4, 5), random_attention(5, 5)
    there, back = Relation(4, 0, rival=2), Relation(4, 2, rival=0)
    expected = (roles.preference(first, there) + roles.preference(second, back)) / 2
    np.testing.assert_allclose(roles.twin_shift(first, second, there), expected)


def test_twins_need_a_rival_and_equal_length():
    with pytest.raises(ValueError, match="one with a rival"):
        roles.preference(random_attention(0, 4), Relation(0, 1))
    with pytest.raises(ValueError, match="one with a rival"):
        roles.vector_preference(np.eye(3), [[0], [1], [2]], Relation(0, 1))
    with pytest.raises(ValueError, match="twins of equal length"):
        roles.twin_shift(random_attention(0, 4), random_attention(0, 5), Relation(3, 0, rival=1))


# --- honest scores -------------------------------------------------------------------------------------------


def test_choosing_the_best_of_many_flatters_and_the_held_out_half_does_not():
    """72 heads that know nothing: the chosen one looks gifted where it was chosen, and is a coin elsewhere."""
    half = np.arange(50) % 2 == 0
    runs = [
        roles.choose_then_test(rng.integers(0, 2, (50, 72)).astype(float), half)
        for rng in map(np.random.default_rng, range(300))
    ]
    chosen, held_out = np.mean([run.on_chosen for run in runs]), np.mean([run.on_held_out for run in runs])
    assert chosen == pytest.approx(roles.best_of_coins(72, 25), abs=0.01)
    assert chosen > 0.7
    assert held_out == pytest.approx(0.5, abs=0.02)
    covered = np.mean([run.low <= 0.5 <= run.high for run in runs])
    assert 0.92 <= covered <= 0.99, "the 95 % interval should hold the truth about 95 times in 100"


def test_a_real_head_is_found_among_coins():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 2, (60, 72)).astype(float)
    scores[:, 40] = rng.random(60) < 0.95
    tested = roles.choose_then_test(scores, np.arange(60) % 2 == 0)
    assert tested.best == 40
    assert tested.low > 0.6
    assert tested.items == 30


@pytest.mark.parametrize("marks", [[True] * 4, [False] * 4])
def test_both_halves_must_have_something(marks):
    with pytest.raises(ValueError, match="expected some, not all"):
        roles.choose_then_test(np.ones((4, 2)), np.array(marks))


def test_wilson_interval_against_published_values():
    """Newcombe 1998, Statistics in Medicine 17, 857–872, table I, method 3."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, trials), expected in published.items():
        assert roles.wilson_interval(successes / trials, trials) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match=r"share is 1\.5 of 10 trials"):
        roles.wilson_interval(1.5, 10)


def test_bootstrap_interval_is_about_the_textbook_one_and_repeats():
    values = np.random.default_rng(1).normal(2.0, 1.0, 200)
    low, high = roles.bootstrap_interval(values, np.random.default_rng(0))
    error = values.std(ddof=1) / math.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.02)
    assert (low, high) == roles.bootstrap_interval(values, np.random.default_rng(0))


def test_best_of_coins_against_throwing_them():
    thrown = np.random.default_rng(0).binomial(25, 0.5, (20_000, 72)).max(1).mean() / 25
    assert roles.best_of_coins(72, 25) == pytest.approx(thrown, abs=0.002)


# --- the sentences -------------------------------------------------------------------------------------------


def test_there_are_enough_of_each_kind():
    pairs = {kind: sum(len(one.relations.get(kind, ())) for one in SINGLES) for kind in RELATIONS}
    assert len(TWINS) >= 40
    assert len(SINGLES) >= 60
    assert pairs["pronoun"] >= 50
    assert min(pairs[kind] for kind in RELATIONS if kind != "pronoun") >= 100


def test_no_sentence_stands_twice():
    texts = [one.text for one in SINGLES] + [s.text for twin in TWINS for s in (twin.first, twin.second)]
    assert len(texts) == len(set(texts))


PRONOUNS = {"it", "he", "she", "they", "him", "her", "them"}
ARTICLES = {"the", "a", "an", "some", "every", "each", "no", "this", "several"}


@pytest.mark.parametrize("one", SINGLES, ids=lambda one: one.text[:40])
def test_relations_of_a_sentence_make_sense(one):
    assert one.text.endswith(".")
    assert "".join(one.words) == one.text.replace(" ", ""), "a character is in no word"
    for kind, relations in one.relations.items():
        sources = [relation.source for relation in relations]
        assert len(set(sources)) == len(sources), f"a word has two answers for {kind}"
        for relation in relations:
            places = {relation.source, relation.target}
            assert all(is_word(one.words[place]) for place in places)
            assert (relation.rival is not None) == (kind == "pronoun")
            if kind == "pronoun":
                assert one.words[relation.source] in PRONOUNS
            if kind == "determiner":
                assert one.words[relation.source].lower() in ARTICLES
                assert 0 < relation.target - relation.source <= 3
            if kind == "object":
                assert abs(relation.target - relation.source) <= 7


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.frame[:40])
def test_twins_differ_in_one_word_and_in_nothing_else(twin):
    pairs = list(zip(twin.first.words, twin.second.words, strict=True))
    assert [pair for pair in pairs if pair[0] != pair[1]] == [twin.words]
    there, back = twin.relation, twin.second.relations["pronoun"][0]
    assert (there.source, there.target, there.rival) == (back.source, back.rival, back.target)
    assert twin.first.words[there.source] == twin.pronoun
    assert twin.pronoun in PRONOUNS
    assert (twin.first.words[there.target], twin.first.words[there.rival]) == twin.nouns
    plural = [noun.endswith("s") or noun in ("deer", "children") for noun in twin.nouns]
    assert plural == [twin.pronoun == "they"] * 2, "the pronoun's number must fit both nouns"


def test_the_famous_twin_comes_first():
    assert TWINS[0].first.text == "The animal didn't cross the street because it was too tired."
    assert (TWINS[0].words, TWINS[0].nouns) == (("tired", "wide"), ("animal", "street"))


def test_foreign_twins_keep_the_frame_and_take_words_from_elsewhere():
    for twin, foreign in zip(TWINS, foreign_twins(TWINS), strict=True):
        assert foreign.frame == twin.frame
        assert foreign.nouns == twin.nouns
        assert foreign.words not in (twin.words, twin.words[::-1])


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("it > cow", "expected 'from -> to'"),
        ("it -> horse", "'horse' is not in"),
        ("the -> cow", "stands 2 times"),
        ("the#3 -> cow", "'the#3' is not in"),
        ("cow -> cow", "different words"),
        ("it -> cow, not cow", "different words"),
    ],
)
def test_a_relation_that_is_not_exact_is_refused(written, message):
    with pytest.raises(ValueError, match=message):
        parse_relation(split_words("Near the barn the cow saw it."), written)


def test_a_frame_needs_one_hole():
    with pytest.raises(ValueError, match="has 0 holes"):
        make_twin("It slept.", ["a", "b"], "It", ["c", "d"])


def test_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / "sentences.toml"
    path.write_text('[[sentence]]\ntext = "It slept."\nsubjects = []\n')
    with pytest.raises(ValueError, match=r"has the keys \['subjects'\]"):
        read_sentences(path)
