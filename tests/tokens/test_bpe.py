"""BPE in its two sizes, against `tokenizers`, against each other, and against a reading by strings."""

import json
import random
from collections import Counter
from itertools import pairwise
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Theirs
from tokenizers import decoders, models, pre_tokenizers, trainers

from lablib.corpus.crawl import crawl
from lablib.tokens import bpe, bpe_indexed
from lablib.tokens.pretokens import BYTES, byte_ids, printable, split, to_bytes, to_text, word_counts

REFERENCE = [topics[name] for name in sorted(topics)]
EMOJI = ["👍🏽 👩‍👩‍👧‍👦 🇨🇭🇨🇦 🙂🙂🙂🙃", "🧑🏿‍🚀 to the 🌕! 🚀🚀🚀🚀🚀", "❤️‍🔥 ♥ ❤ ☺️ ☺", "1️⃣2️⃣ 🅰️ ©® ™"] * 3
MIXED = [
    "Die Mühle am Fluß, ΟΔΥΣΣΕΥΣ и Ёж, ひらがな カタカナ 漢字。",
    "नमस्ते दुनिया, สวัสดีชาวโลก, שלום עולם, مرحبا بالعالم",
    "한국어 문장은 이렇게 씁니다. 日本語は空白なしで書く。",
    "Zażółć gęślą jaźń; naïve coöperation; İstanbul'da ıhlamur",
    "x²+y²≠z³ ½⅔ ⅷ ① ৪৫৬ ٣٤٥ 𝟘𝟙𝟚 e\u0301 vs é \u200d\u200b\ufeff",
    "tab\tand\r\nnew lines\n\n\n   and     spaces \u00a0\u3000 end  ",
] * 2
RUNS = [
    "aaaaaaaa aaa aaaaa aaaaaaaaaaaaaaaa",
    "----- ------- -------------",
    "=-=-=-=-= --==--==",
    "\n\n\n\n\n    \t\t\t   x",
] * 2


def theirs(texts: list[str], merges: int) -> Theirs:
    """`tokenizers`, trained in its usual way on the same texts."""
    tokenizer = Theirs(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def their_merges(tokenizer: Theirs) -> list[tuple[int, int]]:
    model = json.loads(tokenizer.to_str())["model"]
    return [(model["vocab"][left], model["vocab"][right]) for left, right in model["merges"]]


def by_strings(words: dict[tuple[int, ...], int], merges: int) -> list[tuple[int, int]]:
    """Oracle: the textbook's form. Words are strings of space-separated symbols, a merge is a split and a join."""
    corpus = {" ".join(map(str, word)): times for word, times in words.items()}
    learned = []
    for step in range(merges):
        counts: Counter[tuple[int, int]] = Counter()
        for word, times in corpus.items():
            symbols = [int(symbol) for symbol in word.split()]
            for left, right in pairwise(symbols):
                counts[left, right] += times
        if not counts:
            break
        best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0][0]
        before = f" {best[0]}  {best[1]} "
        corpus = {
            " ".join("".join(f" {s} " for s in word.split()).replace(before, f" {256 + step} ").split()): times
            for word, times in corpus.items()
        }
        learned.append(best)
    return learned


WORDS = st.dictionaries(
    st.lists(st.integers(0, 3), min_size=1, max_size=12).map(tuple), st.integers(1, 5), min_size=1, max_size=12
)

# ---------------------------------------------------------------- against tokenizers


@pytest.mark.parametrize(
    ("texts", "merges"),
    [(REFERENCE, 1792), (EMOJI, 300), (MIXED, 500), (RUNS, 60), (REFERENCE[:9] + EMOJI + MIXED + RUNS, 1200)],
    ids=["language reference", "emoji", "mixed scripts", "runs", "all of it"],
)
def test_merges_and_numbers_are_those_of_tokenizers(texts, merges):
    peer = theirs(texts, merges)
    learned = bpe_indexed.train_merges(word_counts(texts), merges)
    assert learned == their_merges(peer)
    assert peer.get_vocab_size() == 256 + len(learned)  # numbers: merge i made 256 + i there too
    encode = bpe_indexed.WordEncoder.from_merges(learned)
    for text in [*EMOJI, *MIXED, *RUNS, *REFERENCE[::40]]:
        mine = [token for word in split(text) for token in encode(to_bytes(word))]
        assert mine == peer.encode(text).ids
        assert peer.decode(mine) == bpe.decode_tokens(mine, learned).decode()


def test_the_numbers_are_those_of_tokenizers_on_the_crawl():
    """READMEs, licences and docstrings of this install: tables, HTML, other languages, boilerplate."""
    texts = [document.text for document in crawl(("standard library", "readmes", "licences"))][::9]
    learned = bpe_indexed.train_merges(word_counts(REFERENCE), 1792)
    peer, encode = theirs(REFERENCE, 1792), bpe_indexed.WordEncoder.from_merges(learned)
    read = 0
    for text in texts:
        mine = [token for word in split(text) for token in encode(to_bytes(word))]
        assert mine == peer.encode(text).ids, text[:80]
        assert bpe.decode_tokens(mine, learned).decode() == text
        read += len(text)
    assert read > 200_000


def test_ties_go_to_the_smaller_numbers_there_too():
    """Many pairs with the same count: a library with another tie-break would give another list."""
    generator = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [" ".join("".join(generator.choice(letters) for _ in range(6)) for _ in range(60))]
    counts = bpe.count_pairs(word_counts(texts))
    top = max(counts.values())
    assert sum(count == top for count in counts.values()) >= 2
    assert bpe.train_merges(word_counts(texts), 150) == their_merges(theirs(texts, 150))


@given(st.lists(st.text(st.sampled_from("ab cé🙂-"), max_size=30), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_small_alphabets_where_everything_is_a_tie_or_a_run(texts):
    assert bpe_indexed.train_merges(word_counts(texts), 40) == their_merges(theirs(texts, 40))


@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_get_the_tokens_that_tokenizers_gives_them(data):
    """`tokenizers` takes text only; its model alone, fed with one printable character a byte, reads any bytes."""
    learned, model = _trained_on_everything()
    assert list(bpe_indexed.WordEncoder.from_merges(learned)(data)) == model.encode(printable(data)).ids


def _trained_on_everything(kept: list = []) -> tuple:  # noqa: B006
    if not kept:
        texts = [*EMOJI, *MIXED, *RUNS, *REFERENCE[:20]]
        peer = theirs(texts, 700)
        learned = bpe_indexed.train_merges(word_counts(texts), 700)
        peer.pre_tokenizer = None
        kept += [(learned, peer)]
    return kept[0]


# ---------------------------------------------------------------- the two sizes, and an oracle


@given(WORDS, st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_three_trainers_agree(words, merges):
    expected = by_strings(words, merges)
    assert bpe.train_merges(words, merges) == expected
    assert bpe_indexed.train_merges(words, merges) == expected


@given(WORDS)
@settings(max_examples=300, deadline=None)
def test_no_two_pairs_spell_the_same_token(words):
    spelled = list(BYTES)
    for left, right in bpe_indexed.train_merges(words, 60):
        spelled.append(spelled[left] + spelled[right])
    assert len(set(spelled)) == len(spelled)


@given(WORDS, st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_heap_encodes_as_the_list_of_merges_does(words, data):
    merges = bpe_indexed.train_merges(words, 30)
    data += b"".join(BYTES[token] for word in words for token in word)
    assert list(bpe_indexed.WordEncoder.from_merges(merges)(data)) == bpe.encode_word(data, merges)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_round_trip_of_any_bytes(data):
    learned, _ = _trained_on_everything()
    encode = bpe_indexed.WordEncoder.from_merges(learned)
    assert bpe.decode_tokens(encode(data), learned) == data
    assert bpe.decode_tokens(encode(data), learned) == bpe.decode_tokens(byte_ids(data), [])
    assert to_bytes(to_text(data)) == data


def test_encode_of_the_readable_size_round_trips_on_the_reference():
    words = word_counts(REFERENCE[:2])
    merges = bpe.train_merges(words, 40)
    assert len(merges) == 40
    for word in words:
        data = b"".join(BYTES[token] for token in word)
        assert bpe.decode_tokens(bpe.encode_word(data, merges), merges) == data


@given(WORDS)
@settings(max_examples=100, deadline=None)
def test_each_merge_saves_at_most_its_count(words):
    """The pair's count is the number of tokens saved, less what overlaps in runs."""
    counts = bpe.count_pairs(words)
    if not counts:
        return
    best = bpe.train_merges(words, 1)[0]
    before = sum(len(word) * times for word, times in words.items())
    after = sum(len(bpe.merge_pair(word, best, 256)) * times for word, times in words.items())
    saved = before - after
    assert 0 < saved <= counts[best]
    if best[0] != best[1]:
        assert saved == counts[best]


# ---------------------------------------------------------------- by hand, and errors


def test_sennrichs_four_words():
    """low, lower, newest, widest with 5, 2, 6 and 3 occurrences: 'es' comes first, then 'est'."""
    words = {tuple(byte_ids(word)): n for word, n in ((b"low", 5), (b"lower", 2), (b"newest", 6), (b"widest", 3))}
    counts = bpe.count_pairs(words)
    pair = lambda text: tuple(byte_ids(text))  # noqa: E731
    assert counts[pair(b"es")] == counts[pair(b"st")] == 9
    assert counts[pair(b"lo")] == 7
    merges = bpe.train_merges(words, 3)
    assert merges[:2] == [pair(b"es"), (256, byte_ids(b"t")[0])]
    assert bpe.decode_tokens([257], merges) == b"est"
    assert merges[2] == pair(b"lo")


def test_count_pairs_takes_no_pair_from_a_single_token():
    assert bpe.count_pairs({(1,): 5, (): 2}) == {}
    assert bpe.count_pairs({(7, 7, 7): 2}) == {(7, 7): 4}


def test_merge_leaves_its_argument():
    ids = [1, 2, 1, 2]
    assert bpe.merge_pair(ids, (1, 2), 9) == [9, 9]
    assert ids == [1, 2, 1, 2]


def test_training_stops_when_no_pair_is_left():
    assert bpe.train_merges({(1, 2): 3}, 10) == bpe_indexed.train_merges({(1, 2): 3}, 10) == [(1, 2)]
    assert bpe.train_merges({}, 10) == bpe_indexed.train_merges({}, 10) == []


def test_negative_merges_are_refused():
    with pytest.raises(ValueError, match=r"merges = -1: expected 0 or more"):
        bpe_indexed.train_merges({(1, 2): 3}, -1)


@pytest.mark.parametrize("token", [256, -1, 10_000])
def test_decode_names_a_token_that_is_not_there(token):
    with pytest.raises(ValueError, match=rf"token {token} is not in the vocabulary: expected 0 to 255"):
        bpe.decode_tokens([1, token], [])


def test_a_very_long_word_takes_no_quadratic_time():
    """Sixteen times the length in at most 50 times the steps, counted, not timed."""

    class Counting(dict):
        looked = 0

        def __contains__(self, key):
            Counting.looked += 1
            return super().__contains__(key)

    looks = []
    learned, _ = _trained_on_everything()
    ranks = Counting({pair: (i, 256 + i) for i, pair in enumerate(learned)})
    for n in (2_000, 32_000):
        Counting.looked = 0
        bpe_indexed.WordEncoder(ranks)(b"the cat -----" * (n // 13))
        looks.append(Counting.looked)
    assert looks[0] > 2_000
    assert looks[1] < 50 * looks[0]
