"""What a reward learned: partial correlation against its closed form and the inverse covariance; slopes that were put in and come out."""

import math
from itertools import islice
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lablib.alignment import learned_what as lw
from lablib.alignment.log_probs import answers
from lablib.alignment.preference_pairs import Preference
from lablib.alignment.reward_model import RewardModel, rewards
from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.tokens import course_tokenizer

TOKENIZER = course_tokenizer.load()


def drawn(n, seed=0, columns=3):
    mix = np.random.default_rng(99).normal(size=(columns, columns))
    return (np.random.default_rng(seed).normal(size=(n, columns)) @ mix).T


# ---------------------------------------------------------------- partial correlation


def test_it_is_the_closed_form_of_three_correlations():
    x, y, z = drawn(50)
    xy, xz, yz = (np.corrcoef(a, b)[0, 1] for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    found, low, high = lw.partial_correlation(x, y, z)
    assert found == pytest.approx(expected, rel=1e-9)
    assert abs(found) > 0.05
    assert abs(found - xy) > 0.05
    assert low < found < high
    assert (math.atanh(high) - math.atanh(low)) / 2 == pytest.approx(1.959964 / math.sqrt(50 - 1 - 3), rel=1e-6)


def test_with_several_it_is_the_inverse_covariance():
    table = drawn(80, 1, 5)
    precision = np.linalg.inv(np.cov(table))
    expected = -precision[0, 1] / math.sqrt(precision[0, 0] * precision[1, 1])
    found = lw.partial_correlation(table[0], table[1], table[2:].T)[0]
    assert found == pytest.approx(expected, rel=1e-8)
    assert abs(found) > 0.05


@given(seed=st.integers(0, 50), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_units_do_not_matter(seed, scale, shift):
    x, y, z = drawn(30, seed)
    expected = lw.partial_correlation(x, y, z)
    assert lw.partial_correlation(scale * x + shift, y, -z) == pytest.approx(expected, abs=1e-9)
    assert lw.partial_correlation(y, x, z) == pytest.approx(expected, abs=1e-9)
    assert lw.partial_correlation(x + 3 * z, y - z, z)[0] == pytest.approx(expected[0], abs=1e-9)


def test_a_common_cause_is_taken_out():
    rng = np.random.default_rng(3)
    cause = rng.normal(size=2000)
    x, y = cause + 0.3 * rng.normal(size=2000), cause + 0.3 * rng.normal(size=2000)
    assert np.corrcoef(x, y)[0, 1] > 0.85
    found, low, high = lw.partial_correlation(x, y, cause)
    assert low <= 0 <= high
    assert abs(found) < 0.06


def test_where_nothing_is_left_it_is_not_a_number():
    z = np.arange(10.0)
    assert all(math.isnan(value) for value in lw.partial_correlation(2 * z + 1, drawn(10)[0], z))
    assert all(math.isnan(value) for value in lw.partial_correlation(drawn(10)[0], np.full(10, 0.1), z))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lw.partial_correlation([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 1, 2]), "expected at least 5"),
        (lambda: lw.partial_correlation([1, 2], [1, 2, 3], [1, 2]), r"expected \(N,\), \(N,\)"),
        (lambda: lw.partial_correlation([1, 2, math.nan, 3, 4], [1] * 5, [1] * 5), "NaN or an infinity"),
        (lambda: lw.explained([1] * 5, [1] * 5, [1] * 5), "5 pairs"),
        (lambda: lw.explained([1.0] * 9, [1.0] * 9, [2.0] * 9), "not in both alike"),
        (lambda: lw.explained([math.inf] * 9, [1.0] * 9, [2.0] * 9), "NaN or an infinity"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---------------------------------------------------------------- slopes


def differences(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    gold, words = rng.choice([0, 1 / 3, 2 / 3, -1 / 3], n), rng.integers(-20, 20, n)
    return 4.0 * gold + 0.1 * words + noise * rng.normal(size=n), gold, words


def test_what_was_put_in_comes_out():
    exact = lw.explained(*differences(40, 0.0))
    assert exact.per_gold == pytest.approx((4.0, 4.0, 4.0), abs=1e-9)
    assert exact.per_word == pytest.approx((0.1, 0.1, 0.1), abs=1e-9)
    assert exact.correlation[0] == pytest.approx(1)
    assert exact.n == 40


def test_the_intervals_hold_the_truth_about_as_often_as_they_say():
    gold = words = 0
    for seed in range(300):
        found = lw.explained(*differences(80, 1.0, seed))
        gold += found.per_gold[1] <= 4.0 <= found.per_gold[2]
        words += found.per_word[1] <= 0.1 <= found.per_word[2]
    assert 270 <= gold <= 297
    assert 270 <= words <= 297


def test_where_noise_grows_with_length_the_intervals_still_hold_the_truth():
    """An interval that takes all pairs to be equally noisy holds it too seldom."""
    held = plain = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        _, gold, words = differences(80, 0.0, seed)
        reward = 4.0 * gold + 0.1 * words + 0.02 * words**2 * rng.normal(size=80)
        found = lw.explained(reward, gold, words)
        held += found.per_word[1] <= 0.1 <= found.per_word[2]
        table = np.column_stack((gold, words))
        rest = reward - table @ (found.per_gold[0], found.per_word[0])
        error = math.sqrt(np.linalg.inv(table.T @ table)[1, 1] * (rest @ rest) / 78)
        plain += abs(found.per_word[0] - 0.1) <= 1.96 * error
    assert 270 <= held <= 297
    assert plain < 265


def test_the_correlation_of_differences_and_its_interval_by_hand():
    """Through the origin, since which response stands first is nobody's choice; Fisher's interval, one quantity taken out."""
    reward, gold, words = differences(50, 1.0)
    rest = [x - gold * (x @ gold) / (gold @ gold) for x in (reward, words)]
    r = rest[0] @ rest[1] / math.sqrt((rest[0] @ rest[0]) * (rest[1] @ rest[1]))
    half = 1.959964 / math.sqrt(50 - 1 - 3)
    found = lw.explained(reward, gold, words).correlation
    assert found == pytest.approx((r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)), abs=1e-6)


def test_which_response_stands_first_has_no_influence():
    reward, gold, words = differences(60, 1.0)
    sign = np.where(np.arange(60) % 3 == 0, -1, 1)
    one, other = lw.explained(reward, gold, words), lw.explained(sign * reward, sign * gold, sign * words)
    assert one.per_word == pytest.approx(other.per_word)
    assert one.correlation == pytest.approx(other.correlation)
    assert 0 < one.correlation[1] < one.correlation[0] < one.correlation[2] < 1


def test_a_fair_reward_has_no_slope_on_words():
    reward, gold, words = differences(400, 0.5, 4)
    fair = lw.explained(reward - 0.1 * words, gold, words)
    assert fair.per_word[1] <= 0 <= fair.per_word[2]
    assert abs(fair.correlation[0]) < 0.12


def test_pairs_of_the_world():
    def pair(chosen, rejected, gold):
        scores = tuple(Judgement(value, value, value) for value in gold)
        return Preference((Turn("user", "?"),), chosen, rejected, (1,), (2,), (3,), "x", scores)

    pairs = [pair("word " * (i % 7 + 1) + str(i), "no", (i % 3 / 2, i % 2)) for i in range(30)]
    chosen = torch.tensor([0.5 * (i % 7 + 2) + 2.0 * (i % 3 / 2) for i in range(30)], dtype=torch.float64)
    rejected = torch.tensor([0.5 + 2.0 * (i % 2) for i in range(30)], dtype=torch.float64)
    found = lw.explain_rewards(pairs, chosen, rejected)
    assert found.per_word[0] == pytest.approx(0.5)
    assert found.per_gold[0] == pytest.approx(2.0)


# ---------------------------------------------------------------- padded variants


def small(context=256):
    config = DecoderConfig(V=TOKENIZER.V, D=16, H=2, L=1, hidden=16, context=context)
    return RewardModel(
        Decoder(config, generator=torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1)
    ).eval()


ASKED = list(islice(World().instructions(Random(4), only=["home", "eats", "sum"]), 12))


def test_no_padding_makes_an_answer_better_and_each_makes_it_longer():
    found = lw.padded(small(), TOKENIZER, ASKED)
    assert [one.name for one in found] == list(lw.PADDINGS)
    for one in found:
        assert one.n == 12
        assert one.words > 2
        assert one.gold[0] <= 0
        assert one.reward[1] <= one.reward[0] <= one.reward[2]
        assert 0 <= one.paid <= 1
    assert {one.name for one in found if one.gold[0] < -0.01} >= {"said twice", "idle talk, thrice"}


def test_the_reward_of_a_text_is_that_of_its_tokens():
    model, one = small(), ASKED[0]
    (found,) = lw.text_rewards(model, TOKENIZER, [(one.prompt, one.response)])
    special = TOKENIZER.special
    ask = [
        special["<|bos|>"],
        special["<|user|>"],
        *TOKENIZER.encode(one.prompt),
        special["<|end|>"],
        special["<|assistant|>"],
    ]
    batch = answers([ask], [[*TOKENIZER.encode(one.response), special["<|end|>"]]], special["<|pad|>"])
    assert found == pytest.approx(rewards(model, batch).item(), rel=1e-5)
    change = lw.padded(model, TOKENIZER, ASKED, {"none": lambda prompt, answer: answer})[0]
    assert change.reward == pytest.approx((0, 0, 0), abs=1e-6)
    assert (change.words, change.paid) == (0, 0)


def test_what_does_not_fit_is_left_out_and_nothing_left_is_named():
    some = lw.padded(small(context=60), TOKENIZER, ASKED, {"idle": lw.PADDINGS["idle talk"]})[0]
    assert 2 <= some.n <= 12
    with pytest.raises(ValueError, match="fit the model's context: expected at least 2"):
        lw.padded(small(context=24), TOKENIZER, ASKED, {"idle": lw.PADDINGS["idle talk"]})
    with pytest.raises(ValueError, match="1 instructions"):
        lw.padded(small(), TOKENIZER, ASKED[:1])
