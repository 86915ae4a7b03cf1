"""Cutting text into words, against `tokenizers` on every character of Unicode; bytes and what they are shown as."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lablib.tokens.pretokens import (
    BYTES,
    PATTERNS,
    byte_ids,
    printable,
    split,
    to_bytes,
    to_text,
    unprintable,
    word_counts,
)

THEIRS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama3": pre_tokenizers.Split(Regex(PATTERNS["llama3"]), "isolated"),
}


def their_words(name: str, text: str) -> list[str]:
    return [text[start:stop] for _, (start, stop) in THEIRS[name].pre_tokenize_str(text)]


@pytest.mark.parametrize("name", PATTERNS)
def test_every_character_is_cut_as_tokenizers_cuts_it(name):
    """Every character that this Python's Unicode knows, beside a letter, itself, a digit and a mark."""
    known = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    assert len(known) > 140_000
    wrong = []
    step = 512
    for start in range(0, len(known), step):
        text = "".join(f"a{c}{c}1{c}." for c in known[start : start + step])
        if split(text, PATTERNS[name]) != their_words(name, text):
            wrong += [
                c
                for c in known[start : start + step]
                if split(t := f"a{c}{c}1{c}.", PATTERNS[name]) != their_words(name, t)
            ]
    assert wrong == []


@pytest.mark.parametrize("name", PATTERNS)
@given(text=st.text(st.sampled_from("aZé漢1९ \t\n\r\u00a0\u3000'sSlLdD.-_🙂\u0301\u200d"), max_size=40))
@settings(max_examples=300, deadline=None)
def test_texts_are_cut_as_tokenizers_cuts_them(name, text):
    words = split(text, PATTERNS[name])
    assert words == their_words(name, text)
    assert "".join(words) == text


def test_bytes_are_shown_as_gpt2_shows_them():
    shown = bytes_to_unicode()  # transformers' own table
    assert all(printable(bytes([byte])) == shown[byte] for byte in range(256))
    assert [printable(byte) for byte in BYTES] == sorted(pre_tokenizers.ByteLevel.alphabet())


@given(st.binary(max_size=100))
def test_printable_and_numbers_go_both_ways(data):
    assert unprintable(printable(data)) == data
    assert b"".join(BYTES[number] for number in byte_ids(data)) == data
    assert to_bytes(to_text(data)) == data


@given(st.binary(max_size=60))
def test_words_of_any_bytes_join_to_the_bytes(data):
    for pattern in PATTERNS.values():
        assert b"".join(to_bytes(word) for word in split(to_text(data), pattern)) == data


def test_word_counts_counts_words():
    counts = word_counts(["the cat the", " the"])
    assert {b"".join(BYTES[n] for n in word): times for word, times in counts.items()} == {
        b"the": 1,
        b" cat": 1,
        b" the": 2,
    }


def test_a_single_text_is_refused():
    with pytest.raises(TypeError, match=r"expected several, such as \[text\]"):
        word_counts("one text")


def test_half_an_emoji_is_refused_by_name():
    with pytest.raises(ValueError, match=r"text\[2\] = '\\ud83d' is half of a surrogate pair"):
        to_bytes("ab\ud83d")


def test_a_character_that_stands_for_no_byte_is_refused():
    with pytest.raises(ValueError, match=r"text\[1\] = '▁' in 'a▁' stands for no byte"):
        unprintable("a▁")


def test_a_pattern_with_groups_is_cut_the_same():
    assert split("ab1, c", r"(\p{L}+)|(\p{N})|( )|(,)") == ["ab", "1", ",", " ", "c"]
