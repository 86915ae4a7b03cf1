"""The n-gram model: against a plain dictionary implementation, closed forms, and what a distribution must be."""

import itertools
import math
from collections import Counter, defaultdict
from itertools import islice
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_helpers import some_shard

from lablib.corpus.world import World
from lablib.pretraining import ngram
from lablib.pretraining.ngram import discounts, learn, mean_nats
from lablib.tokens import course_tokenizer

# ---------------------------------------------------------------- an independent implementation, one n-gram at a time


class Plain:
    """Interpolated modified Kneser-Ney over lists and dictionaries, text by text, written from Chen & Goodman 1998, §3."""

    def __init__(self, tokens, V, n, start):
        self.V, self.n = V, n
        grams = Counter()
        before = defaultdict(set)
        for text in texts_of(tokens, start):
            for end in range(len(text)):
                for length in range(1, n + 2):
                    begin = end + 1 - length
                    if begin < 0 or (end == 0 and length == 1):
                        continue  # the first token of a text is given
                    gram = tuple(text[begin : end + 1])
                    if length <= n:
                        grams[gram] += 1
                    if length > 1:
                        before[gram[1:]].add(gram[0])
        self.counts = {}
        for length in range(1, n + 1):
            for gram in [gram for gram in grams if len(gram) == length]:
                raw = length == n or (length > 1 and gram[0] == start)
                self.counts[gram] = grams[gram] if raw else len(before[gram])
        self.D = {}
        for length in range(1, n + 1):
            of = Counter(count for gram, count in self.counts.items() if len(gram) == length)
            fallback, D = {1: 0.5, 2: 1.0, 3: 1.5}, {}
            if of[1] and of[2] and of[3]:
                Y = of[1] / (of[1] + 2 * of[2])
                D = {j: j - (j + 1) * Y * of[j + 1] / of[j] for j in (1, 2, 3)}
            self.D[length] = D if D and all(0 < D[j] <= j for j in D) else fallback

    def probability(self, token, history):
        """history: at most n − 1 tokens, of the same text."""
        shorter = self.probability(token, history[1:]) if history else 1 / self.V
        follow = {gram[-1]: count for gram, count in self.counts.items() if gram[:-1] == history and count}
        if not follow:
            return shorter
        D = self.D[len(history) + 1]
        taken = {w: D[min(count, 3)] for w, count in follow.items()}
        kept = follow[token] - taken[token] if token in follow else 0.0
        return (kept + sum(taken.values()) * shorter) / sum(follow.values())


def texts_of(tokens, start):
    """Each text with the token that begins it and the one that ends it, which begins the next."""
    texts = [[]]
    for token in tokens:
        texts[-1].append(token)
        if token == start:
            texts.append([token])
    return texts


@st.composite
def corpora(draw):
    V = draw(st.integers(2, 5))
    start = draw(st.one_of(st.none(), st.integers(0, V - 1)))
    tokens = draw(st.lists(st.integers(0, V - 1), min_size=2, max_size=60))
    return V, start, tokens if start is None else [start, *tokens]


@settings(deadline=None, max_examples=150)
@given(corpora(), st.integers(1, 5), st.lists(st.integers(0, 1), min_size=1, max_size=12))
def test_it_is_what_a_plain_implementation_says(corpus, n, unseen):
    V, start, tokens = corpus
    plain = Plain(tokens, V, n, start)
    model = learn(tokens, V, n, start)[-1]
    for text in (tokens, [tokens[0] if start is None else start, *unseen]):
        expected = []
        for part in texts_of(text, start):
            expected += [
                -math.log(plain.probability(part[i], tuple(part[max(0, i - n + 1) : i]))) for i in range(1, len(part))
            ]
        assert model.nats(text) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(corpora(), st.integers(1, 5), st.data())
def test_probabilities_sum_to_one_and_are_those_of_nats(corpus, n, data):
    V, start, tokens = corpus
    model = learn(tokens, V, n, start)[-1]
    history = data.draw(st.lists(st.integers(0, V - 1), max_size=6))
    P = model.probabilities(history)
    assert P.shape == (V,)
    assert P.sum() == pytest.approx(1, rel=1e-12)
    assert (P > 0).all()
    if history:
        each = [model.nats([*history, token])[-1] for token in range(V)]
        assert pytest.approx(np.exp(-np.array(each)), rel=1e-9) == P


def test_every_history_of_a_small_vocabulary_sums_to_one():
    tokens = [0, 1, 2, 3, 1, 2, 0, 3, 3, 1, 0, 2, 2, 1, 0]
    model = learn(tokens, 4, 4, start=0)[-1]
    for history in itertools.product(range(4), repeat=3):
        total = sum(math.exp(-model.nats([*history, token])[-1]) for token in range(4))
        assert total == pytest.approx(1, rel=1e-12)


# ---------------------------------------------------------------- closed forms


def test_a_cycle_is_certain_and_noise_is_not():
    cycle = [0, 1, 2, 3] * 2000
    uniform, *rest = learn(cycle, 4, 4)
    assert mean_nats(uniform, cycle) == pytest.approx(math.log(4), rel=1e-3)
    for model in rest:
        assert mean_nats(model, cycle) < 1e-3
    generator = Random(0)
    noise = [generator.randrange(8) for _ in range(60_000)]
    for model in learn(noise[:50_000], 8, 3):
        assert mean_nats(model, noise[50_000:]) == pytest.approx(math.log(8), rel=0.01)
        assert mean_nats(model, noise[50_000:]) > math.log(8) - 0.01


def test_a_markov_chain_is_learned_down_to_its_entropy():
    """Two states: 0 → 1 with p = 0.3, 1 → 0 with q = 0.1; in the long run a quarter of the time in 0."""
    generator, chain = Random(1), [0]
    for _ in range(120_000):
        chain.append(int(generator.random() < (0.3 if chain[-1] == 0 else 0.9)))

    def entropy(p):
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    unigram, bigram, trigram = (mean_nats(model, chain[100_000:]) for model in learn(chain[:100_000], 2, 3))
    assert bigram == pytest.approx(0.25 * entropy(0.3) + 0.75 * entropy(0.1), rel=0.02)
    assert trigram == pytest.approx(bigram, rel=1e-3)
    assert unigram > 1.2 * bigram
    # Of counts alone, a unigram model would have H(1/4); here, too, for the longest n-grams keep their counts.
    assert unigram == pytest.approx(entropy(0.25), rel=0.02)


def test_a_token_that_follows_only_one_other_counts_little_elsewhere():
    """ "San Francisco": 2 occurs often, but only behind 1; 3 is rarer and follows everything."""
    tokens = [0, 1, 2] * 50 + [0, 3, 4, 3, 5, 3, 6, 3, 0]
    model = learn(tokens, 8, 2)[-1]
    often = Counter(tokens)
    P = model.probabilities([7])  # never seen: the shorter history answers alone
    assert often[2] > 10 * often[3]
    assert P[3] > 2 * P[2]
    assert model.probabilities([1])[2] > 0.95


def test_the_discounts_are_those_of_equation_26():
    counts = np.array([1] * 100 + [2] * 40 + [3] * 20 + [4] * 10 + [9] * 5)
    Y = 100 / 180
    assert discounts(counts) == pytest.approx((1 - 2 * Y * 40 / 100, 2 - 3 * Y * 20 / 40, 3 - 4 * Y * 10 / 20))
    for poor in ([2, 2, 2], [1, 1], [1] * 3 + [2] * 9 + [3] * 90):  # no ones, no twos, more and more
        assert discounts(np.array(poor)) == (0.5, 1.0, 1.5)


# ---------------------------------------------------------------- texts and their borders


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=8), min_size=2, max_size=12), st.randoms())
def test_the_order_of_the_texts_does_not_matter(texts, random):
    def stream(texts):
        return [0, *(token for text in texts for token in (*text, 0))]

    shuffled = list(texts)
    random.shuffle(shuffled)
    models = [learn(stream(some), 5, 4, start=0)[-1] for some in (texts, shuffled)]
    probe = [0, 1, 2, 3, 0, 4, 4, 0, 2, 1]
    assert models[0].nats(probe) == pytest.approx(models[1].nats(probe), rel=1e-9)
    alone = [model_nats for part in ([0, 1, 2, 3, 0], [0, 4, 4, 0], [0, 2, 1]) for model_nats in models[0].nats(part)]
    assert models[0].nats(probe) == pytest.approx(alone, rel=1e-9)


def test_a_lower_order_is_the_model_of_that_order():
    tokens = [0, 1, 2, 1, 3, 0, 2, 2, 1, 0, 3, 1, 2, 0]
    all_of_them = learn(tokens, 4, 4, start=0)
    assert [model.n for model in all_of_them] == [1, 2, 3, 4]
    for model in all_of_them:
        np.testing.assert_array_equal(model.nats(tokens), learn(tokens, 4, model.n, start=0)[-1].nats(tokens))


def test_a_shard_is_read_as_it_is(tmp_path):
    shard = some_shard(tmp_path)  # two bytes a token: sums of row numbers must not overflow
    model = learn(shard.tokens, shard.V, 3)[-1]
    again = learn(shard.tokens.tolist(), shard.V, 3)[-1]
    assert model.nats(shard.tokens) == pytest.approx(again.nats(shard.tokens.tolist()), rel=1e-12)
    assert mean_nats(model, shard.tokens) < 0.5 < mean_nats(learn(shard.tokens, shard.V, 1)[0], shard.tokens)


# ---------------------------------------------------------------- writing


def test_what_it_writes_has_its_probabilities():
    model = learn([0, 1, 2, 1, 2, 2, 0, 2, 1, 1, 0, 1, 2, 0, 2, 0], 3, 3, start=0)[-1]
    generator, texts = Random(0), 20_000
    written = Counter(tuple(model.write(generator, limit=2)) for _ in range(texts))
    for text in ((), (1,), (2,), (1, 1), (1, 2), (2, 1), (2, 2)):
        expected = math.exp(-model.nats([0, *text, *([0] if len(text) < 2 else [])]).sum())
        assert abs(written[text] / texts - expected) < 4 * math.sqrt(expected * (1 - expected) / texts)
        assert expected > 0.01
    assert sum(written.values()) == texts
    assert len(written) == 7


def test_prompt_stop_and_limit():
    model = learn([0, 1, 2, 3, 4] * 300 + [0], 5, 3, start=0)[-1]
    generator = Random(0)
    assert model.write(generator) == [1, 2, 3, 4]
    assert model.write(generator, [1, 2]) == [3, 4]
    assert model.write(generator, limit=2) == [1, 2]
    assert model.write(generator, stop=3) == [1, 2]
    assert model.write(generator, limit=0) == []
    endless = learn([1, 2] * 300, 3, 2)[-1]
    assert endless.write(generator, [1], limit=5) == [2, 1, 2, 1, 2]


def test_the_same_generator_gives_the_same_text():
    model = learn([0, 1, 2, 2, 1, 0, 2, 1, 2, 1, 1, 0], 3, 2, start=0)[-1]
    texts = [[model.write(Random(seed)) for seed in range(20)] for _ in range(2)]
    assert texts[0] == texts[1]
    assert len({tuple(text) for text in texts[0]}) > 5


# ---------------------------------------------------------------- on the world


def test_on_the_world_longer_is_better_and_none_goes_below_the_floor():
    tokenizer, world = course_tokenizer.load(), World()
    end = tokenizer.special["<|eos|>"]

    def stream(seed, documents):
        drawn = list(islice(world.documents(Random(seed)), documents))
        ids = [end, *(token for document in drawn for token in (*tokenizer.encode(document.text), end))]
        return ids, -sum(document.log_prob for document in drawn) / (len(ids) - 1)

    (train, _), (held_out, floor) = stream(0, 3000), stream(1, 200)
    models = learn(train, tokenizer.V, 5, end)
    losses = [mean_nats(model, held_out) for model in models]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[1]
    assert losses[-1] > 2 * floor
    generator = Random(0)
    quality = []
    for model in (models[1], models[4]):
        texts = [tokenizer.decode(model.write(generator)) for _ in range(40)]
        quality.append(sum(map(world.gold_quality, texts)) / len(texts))
    real = [document.text for document in islice(world.documents(Random(2)), 40)]
    assert quality[0] < quality[1] < 0.95 * sum(map(world.gold_quality, real)) / len(real)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], 3, 2), r"tokens is int64 of shape \(1,\): expected whole numbers, \(N,\) with N >= 2"),
        (([[1, 2], [1, 2]], 3, 2), r"of shape \(2, 2\)"),
        (([0.5, 1.0], 3, 2), "tokens is float64"),
        (([0, 3], 3, 2), "tokens hold 3: expected 0 to V − 1 = 2; another tokenizer's"),
        (([0, -1], 3, 2), "tokens hold -1"),
        (([0, 1], 3, 0), "n = 0, V = 3: expected n >= 1"),
        (([0, 1], 0, 2), "n = 2, V = 0"),
        (([0, 1], 3, 2, 3), "start = 3: expected None or a token from 0 to V − 1 = 2"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        learn(*arguments)


def test_a_model_says_what_it_cannot_read():
    model = learn([0, 1, 0, 2], 3, 2)[-1]
    with pytest.raises(ValueError, match="tokens hold 5"):
        model.nats([0, 5])
    with pytest.raises(ValueError, match=r"history = \[5\]: expected tokens from 0 to V − 1 = 2"):
        model.probabilities([0, 5])
    with pytest.raises(ValueError, match="limit = -1"):
        model.write(Random(0), limit=-1)


def test_tables_are_sorted_and_add_up():
    tokens = [0, 1, 2, 1, 3, 0, 2, 2, 1, 0, 3, 1, 2, 0]
    for order in ngram.learn(tokens, 4, 3, start=0)[-1].orders:
        assert (np.diff(order.keys) > 0).all()
        np.testing.assert_allclose(
            np.bincount(order.keys // 4, order.taken, len(order.total)) + order.mass, order.total, rtol=1e-12
        )
