"""Hashed n-grams and logistic regression against scikit-learn's vectorizers, zlib's checksum, and the gradient at the optimum."""

import re
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from lablib.corpus.text_classifier import (
    TOKEN,
    Features,
    TextClassifier,
    best_threshold,
    bucket,
    character_ngrams,
    fit,
    hashed_ngrams,
    matrix,
    word_ngrams,
)

PIECES = ("the", "Rain", "again", ".", "!", "well-known", "it's", "3", "naïve", "—")
prose = st.lists(st.sampled_from(PIECES), min_size=1, max_size=20).map(" ".join)
TEXTS = ["Rain again.", "The rain, the rain!", "It's a well-known heron.", "So it goes, and goes, and goes."]


# ------------------------------------------------------------------ n-grams


@given(prose, st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_word_ngrams_are_scikit_learns(text, longest):
    theirs = CountVectorizer(ngram_range=(1, longest), token_pattern=TOKEN.pattern).build_analyzer()
    assert sorted(word_ngrams(text, longest)) == sorted(theirs(text))


@given(st.text("abcdefäß", min_size=1, max_size=9), st.integers(2, 5))
def test_character_ngrams_are_scikit_learns(token, longest):
    theirs = CountVectorizer(analyzer="char", ngram_range=(2, longest), lowercase=False).build_analyzer()
    assert sorted(character_ngrams(token, longest)) == sorted(theirs(f"<{token}>"))


def test_a_vector_without_collisions_is_scikit_learns_up_to_the_order_of_buckets():
    """Another hash puts each n-gram elsewhere, so the values are compared: sorted, and all products of two texts."""
    theirs = HashingVectorizer(ngram_range=(1, 2), token_pattern=TOKEN.pattern, alternate_sign=False, n_features=2**22)
    expected, ours = theirs.transform(TEXTS), matrix(TEXTS, Features(words=2, buckets=2**22))
    assert ours.shape == expected.shape
    assert ours.nnz == expected.nnz > 30
    for row in range(len(TEXTS)):
        assert sorted(ours[row].data) == pytest.approx(sorted(expected[row].data))
    products = (expected @ expected.T).toarray()
    assert (ours @ ours.T).toarray() == pytest.approx(products)
    assert products[0, 1] > 0


def test_with_collisions_the_counts_of_a_bucket_add_up():
    """Brute force with zlib's own checksum, in so few buckets that many n-grams share one."""
    features = Features(words=2, characters=3, buckets=7)
    for text in TEXTS:
        expected = np.zeros(7)
        for ngram in word_ngrams(text, 2):
            expected[zlib.crc32(ngram.encode()) % 7] += 1
        for token in re.findall(TOKEN, text.lower()):
            for ngram in character_ngrams(token, 3):
                expected[zlib.crc32(ngram.encode()) % 7] += 1
        expected /= np.linalg.norm(expected)
        row = hashed_ngrams(text, features)
        assert [row.get(place, 0.0) for place in range(7)] == pytest.approx(expected.tolist())


@given(prose)
def test_a_vector_has_length_one_and_a_text_of_nothing_length_zero(text):
    row = hashed_ngrams(text, Features(words=2, characters=3))
    assert sum(value**2 for value in row.values()) == pytest.approx(1)
    assert list(row) == sorted(row)
    assert hashed_ngrams(" \n", Features()) == {}


def test_buckets_are_filled_evenly():
    counts = np.bincount([bucket(f"word {number}", 16) for number in range(16_000)], minlength=16)
    assert np.sum((counts - 1_000) ** 2 / 1_000) < 44.3  # chi-squared with 15 degrees of freedom: 1 in 10,000
    assert bucket("\ud800", 8) < 8, "half a character, as broken files have it"


# ------------------------------------------------------------------ the threshold


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8]), st.booleans()), min_size=2, max_size=25).filter(
        lambda rows: 0 < sum(label for _, label in rows) < len(rows)
    )
)
def test_no_threshold_has_a_higher_f1(rows):
    scores, labels = [score for score, _ in rows], [label for _, label in rows]
    found = best_threshold(scores, labels)

    def f1(threshold: float) -> float:
        return f1_score(labels, [score >= threshold for score in scores], zero_division=0)

    best = max(map(f1, sorted(set(scores))))
    assert f1(found) == pytest.approx(best)
    lower = [one for one in set(scores) if one < found and f1(one) > best - 1e-9]
    assert all(f1(one) == f1(found) and not any(one <= score < found for score in scores) for one in lower)


def test_labels_that_tell_nothing_are_refused():
    with pytest.raises(ValueError, match="2 wanted of 2: expected some of both classes"):
        best_threshold([0.1, 0.2], [True, True])
    with pytest.raises(ValueError, match=r"scores \(2,\) and labels \(1,\)"):
        best_threshold([0.1, 0.2], [True])
    with pytest.raises(ValueError, match="NaN or infinity"):
        best_threshold([0.1, float("nan")], [True, False])


# ------------------------------------------------------------------ learning

GOOD = [
    f"The {a} sat by the {b} and waited." for a in ("heron", "cat", "miller", "bee") for b in ("river", "mill", "inn")
]
BAD = [f"{a} now!!! {b} free $$$" for a in ("buy", "click", "win", "order") for b in ("cash", "pills", "prizes")]
FEATURES = Features(words=2, buckets=64)


def fitted(seed: int = 0, strength: float = 10.0) -> TextClassifier:
    return fit(GOOD, BAD, np.random.default_rng(seed), FEATURES, strength=strength)


def test_the_weights_are_the_minimum_of_the_stated_loss():
    """Finite differences of C · Σ log(1 + exp(−y·z)) + ½‖w‖² on the texts that were not held out: no step lowers it."""
    generator, train, labels = np.random.default_rng(0), [], []
    for texts, sign in ((GOOD, 1.0), (BAD, -1.0)):
        order = generator.permutation(len(texts))
        rest = [texts[i] for i in order[max(1, round(0.2 * len(texts))) :]]
        train, labels = train + rest, labels + [sign] * len(rest)
    x, y = matrix(train, FEATURES).toarray(), np.array(labels)

    def loss(weights: np.ndarray, intercept: float) -> float:
        z = y * (x @ weights + intercept)
        return 10.0 * np.logaddexp(0, -z).sum() + 0.5 * weights @ weights  # both classes are of one size: no weights

    model = fitted()
    at = loss(model.weights.astype(float), model.intercept)
    weights, step = model.weights.astype(float), 1e-3
    steepest = np.abs(10.0 * (y / 2) @ x).max()  # slope of the loss at weights of 0, the place it began
    for place in range(FEATURES.buckets + 1):
        move = step * np.eye(FEATURES.buckets + 1)[place]
        up, down = (loss(weights + sign * move[:-1], model.intercept + sign * move[-1]) for sign in (1, -1))
        assert abs(up - down) / (2 * step) < 1e-3 * steepest
    assert loss(np.zeros(FEATURES.buckets), 0.0) > 2 * at, "and it is far from where it began"


def test_the_score_is_scikit_learns_probability():
    model, x = fitted(), matrix([*GOOD, *BAD, "The heron ordered pills."], FEATURES)
    reference = LogisticRegression()
    reference.classes_ = np.array([False, True])
    reference.coef_, reference.intercept_ = model.weights[None].astype(float), np.array([model.intercept])
    expected = reference.predict_proba(x)[:, 1]
    assert [model.score(text) for text in [*GOOD, *BAD, "The heron ordered pills."]] == pytest.approx(
        expected, rel=1e-6
    )


def test_it_learns_and_the_threshold_parts_the_classes():
    model = fitted()
    unseen_good, unseen_bad = "The bee waited by the mill.", "win free cash now!!!"
    assert model(unseen_good)
    assert not model(unseen_bad)
    assert model.score(unseen_good) - model.score(unseen_bad) > 0.3
    assert fitted(0).weights.tolist() == model.weights.tolist()


def test_a_rare_class_weighs_as_much_as_a_frequent_one():
    few = fit(GOOD[:5], BAD * 1, np.random.default_rng(1), FEATURES)
    assert 0.2 < few.score("of nothing that either has seen") < 0.8


def test_extreme_scores_do_not_overflow():
    huge = TextClassifier(Features(words=1, buckets=2), np.full(2, 3e4, np.float32), 0.0)
    assert huge.score("a") == 1.0
    assert TextClassifier(huge.features, -huge.weights, 0.0).score("a") == 0.0
    assert huge.score("") == 0.5


def test_saved_and_read_again_it_scores_the_same(tmp_path):
    model, path = fitted(), tmp_path / "model.npz"
    model.save(path)
    again = TextClassifier.load(path)
    assert (again.features, again.threshold, again.intercept) == (model.features, model.threshold, model.intercept)
    assert [again.score(text) for text in GOOD + BAD] == [model.score(text) for text in GOOD + BAD]


def test_what_is_no_classifier_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(ValueError, match=r"notes\.txt' is not a saved TextClassifier"):
        TextClassifier.load(tmp_path / "notes.txt")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(ValueError, match="is not a saved TextClassifier"):
        TextClassifier.load(tmp_path / "other.npz")
    TextClassifier(Features(buckets=8), np.zeros(4, np.float32), 0.0).save(tmp_path / "short.npz")
    with pytest.raises(ValueError, match=r"have shape \(4,\): expected \(8,\)"):
        TextClassifier.load(tmp_path / "short.npz")
    with pytest.raises(FileNotFoundError):
        TextClassifier.load(tmp_path / "nothing.npz")


def test_wrong_use_is_named():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="wanted = 'The heron' is one text: expected a list of texts"):
        fit("The heron", BAD, generator)
    with pytest.raises(ValueError, match="unwanted holds 4 texts: expected at least 5"):
        fit(GOOD, BAD[:4], generator)
    with pytest.raises(ValueError, match="1 texts are in wanted and in unwanted"):
        fit(GOOD, [*BAD, GOOD[0]], generator)
    with pytest.raises(ValueError, match=r"held_out = 1\.5"):
        fit(GOOD, BAD, generator, held_out=1.5)
    with pytest.raises(ValueError, match="buckets = 1"):
        Features(buckets=1)
    with pytest.raises(ValueError, match="words = 0 and characters = 1"):
        Features(words=0, characters=1)
