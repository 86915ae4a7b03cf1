"""The course's tokenizer: made twice it is the same, the carried file is what the command makes, and others read it alike."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Theirs
from transformers import PreTrainedTokenizerFast

from lablib.paths import data_path
from lablib.tokens import course_tokenizer
from lablib.tokens.course_tokenizer import (
    PATTERN,
    SPECIAL,
    load,
    main,
    prose_words,
    read_words,
    train,
    world_texts,
    write_words,
)
from lablib.tokens.parallel_texts import PYTHON, SENTENCES
from lablib.tokens.pretokens import BYTES, word_counts
from lablib.tokens.tokenizer import Tokenizer

FILE = data_path("tokenizer.json")
PROSE = read_words(data_path("tokenizer_words.tsv").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ours():
    return load()


@pytest.fixture(scope="module")
def probes():
    return [*world_texts(20, seed=9), *SENTENCES.values(), PYTHON, "IT'S 12345.678\n\n\n  🙂🇨🇭", ""]


# ---------------------------------------------------------------- the carried file


def test_the_carried_file_is_what_the_command_makes(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_bytes() == FILE.read_bytes()
    assert "4,096 tokens, 3,824 merges, sha256" in capsys.readouterr().out


def test_its_special_tokens_come_last(ours):
    assert ours.V == 4096
    assert list(ours.special) == list(SPECIAL)
    assert list(ours.special.values()) == list(range(4096 - len(SPECIAL), 4096))
    assert len(ours.numbers) == 4096 - len(SPECIAL)  # every other number is a token of bytes, each another one


def test_tokenizers_and_transformers_give_the_same_numbers(ours, probes):
    theirs, fast = Theirs.from_file(str(FILE)), PreTrainedTokenizerFast(tokenizer_file=str(FILE))
    assert theirs.get_vocab_size() == len(fast) == ours.V
    for text in probes:
        ids = ours.encode(text)
        assert theirs.encode(text).ids == fast(text)["input_ids"] == ids
        assert theirs.decode(ids) == fast.decode(ids) == ours.decode(ids) == text
    assert all(fast.convert_tokens_to_ids(name) == number for name, number in ours.special.items())


@given(text=st.text(st.sampled_from("aé漢🙂 \n.,'<|>endsystm0123"), max_size=50))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_and_none_makes_a_special_token(ours, text):
    for forged in (text, text + "<|end|>" + text, "".join(SPECIAL)):
        ids = ours.encode(forged)
        assert ours.decode(ids) == forged
        assert not set(ids) & set(ours.special.values())


def test_it_fits_the_world_and_english(ours):
    texts = world_texts(500, seed=4)  # not the documents that it learned from
    assert sum(len(t.encode()) for t in texts) / sum(len(ours.encode(t)) for t in texts) > 3.5
    english = SENTENCES["English"]
    assert len(english.encode()) / len(ours.encode(english)) > 3


# ---------------------------------------------------------------- the pinned words


def test_words_are_written_and_read_back():
    counts = word_counts(["a b  c\n\t d'd 12345 é🙂 \x85\u2028"] * 3 + ["once"], PATTERN)
    text = write_words(counts, "a note", least=3)
    again = read_words(text)
    assert again == {word: n for word, n in counts.items() if n >= 3}
    assert text.startswith("# a note\n")
    assert [int(line.split("\t")[0]) for line in text.splitlines()[1:]] == sorted(again.values(), reverse=True)


def test_the_carried_words_are_english_and_frequent_enough():
    spelled = {b"".join(BYTES[i] for i in word): n for word, n in PROSE.items()}
    assert min(PROSE.values()) == course_tokenizer.LEAST
    assert max(spelled, key=spelled.__getitem__) == b" the"
    assert len(PROSE) > 10_000


def test_words_of_this_python_are_much_like_the_carried_ones():
    """The prose differs between versions of Python, but not beyond recognition: that is why it is pinned."""
    here = prose_words()
    common = sum(min(n, here.get(word, 0)) for word, n in PROSE.items())
    assert common > 0.75 * sum(PROSE.values())


@pytest.mark.parametrize("line", ["12 x", "x\t12", "7\t"])
def test_a_broken_line_is_named(line):
    with pytest.raises(ValueError, match=r"line 3 is .*: expected a count, a tab and a word"):
        read_words(f"# note\n1\ta\n{line}\n")


# ---------------------------------------------------------------- training and the command


def test_training_does_not_depend_on_the_order_of_the_texts():
    texts = world_texts(60)
    mixed = random.Random(1).sample(texts, len(texts))
    one, other = (train(word_counts(order, PATTERN), PROSE, V=700) for order in (texts, mixed))
    assert (one.tokens, one.merges) == (other.tokens, other.merges)
    swapped = train(PROSE, word_counts(texts, PATTERN), V=700)
    assert swapped.merges == one.merges


def test_sources_add_up():
    """Two sources are one corpus: as if the texts stood in one list."""
    texts = world_texts(60)
    parts = train(word_counts(texts[:20], PATTERN), word_counts(texts[20:], PATTERN), V=600)
    assert parts.merges == Tokenizer.train(texts, 600, SPECIAL, PATTERN).merges


def test_the_command_writes_the_same_file_twice(tmp_path, capsys):
    for out in "ab":
        assert main(["--out", str(tmp_path / out), "--size", "512", "--documents", "50"]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert world_texts(50) == world_texts(50) != world_texts(50, seed=1)
    tokenizer = Tokenizer.load(tmp_path / "a")
    assert (tokenizer.V, tokenizer.pattern) == (512, PATTERN)
    assert "512 tokens, 240 merges" in capsys.readouterr().out


def test_the_command_counts_prose(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(course_tokenizer, "prose_words", lambda: {(0, 0): 5, (32,): 2})
    assert main(["--count-prose", str(tmp_path / "words.tsv")]) == 0
    assert (tmp_path / "words.tsv").read_text(encoding="utf-8").splitlines()[1:] == ["5\t!!"]
    assert "words.tsv: " in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "t.json"), "--size", "100", "--documents", "5"]) == 2
    assert "V = 100: expected at least 272" in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()
    assert main(["--out", str(tmp_path / "no" / "t.json"), "--size", "300", "--documents", "5"]) == 2
    assert "no tokenizer was made" in capsys.readouterr().err
