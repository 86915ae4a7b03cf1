"""The tokenizer as a whole: files both ways with `tokenizers` and `transformers`, special tokens, injection."""

import json
from functools import cache
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Theirs
from transformers import PreTrainedTokenizerFast

from lablib.tokens import tokenizer_json
from lablib.tokens.course_tokenizer import SPECIAL
from lablib.tokens.pretokens import PATTERNS, to_text
from lablib.tokens.tokenizer import Tokenizer

TEXTS = [topics[name] for name in sorted(topics)[:25]] + ["Zoë 👩‍🚀 in 東京: 12345 naïve 🙂🙂"] * 3
PROBES = [
    *TEXTS[::6],
    "",
    " ",
    "\n\n",
    "It's 12345 o'clock",
    "a\u3000b\u00a0c",
    "👩‍🚀🇨🇭",
    "IT'S 'S",
    "  lead",
    "x" * 300,
]


@pytest.fixture(scope="module", params=sorted(PATTERNS))
def ours(request):
    return Tokenizer.train(TEXTS, 900, SPECIAL, PATTERNS[request.param])


@pytest.fixture(scope="module")
def plain():
    return Tokenizer.train(TEXTS, 600, ["<|bos|>", "<|eos|>", "<|user|>"])


# ---------------------------------------------------------------- files


def test_tokenizers_reads_our_file(ours, tmp_path):
    ours.save(tmp_path / "tokenizer.json")
    theirs = Theirs.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.get_vocab_size() == ours.V == 900
    for text in PROBES:
        ids = ours.encode(text)
        assert theirs.encode(text).ids == ids
        assert theirs.decode(ids) == ours.decode(ids) == text
    assert all(theirs.token_to_id(name) == number for name, number in ours.special.items())


def test_transformers_reads_our_file(ours, tmp_path):
    ours.save(tmp_path / "tokenizer.json")
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), eos_token="<|eos|>")
    assert theirs.eos_token_id == ours.special["<|eos|>"]
    assert len(theirs) == ours.V
    for text in PROBES:
        assert theirs(text)["input_ids"] == ours.encode(text)


@pytest.mark.parametrize("special_first", [False, True])
@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_we_read_a_file_of_tokenizers(name, special_first, tmp_path):
    theirs = Theirs(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name != "gpt2":
        cut = pre_tokenizers.Split(Regex(PATTERNS[name]), "isolated")
        byte_level = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    theirs.pre_tokenizer = byte_level
    special = ["<|bos|>", "<|eos|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special if special_first else [],
        show_progress=False,
    )
    theirs.train_from_iterator(TEXTS, trainer)
    theirs.add_special_tokens(special)
    theirs.save(str(tmp_path / "t.json"))
    ours = Tokenizer.load(tmp_path / "t.json")
    assert ours.special == {token: theirs.token_to_id(token) for token in special}
    assert (ours.special["<|bos|>"] == 0) == special_first
    assert theirs.get_vocab_size() == ours.V
    for text in PROBES:
        assert ours.encode(text) == theirs.encode(text).ids
        assert ours.decode(ours.encode(text)) == text


def test_a_file_of_transformers_is_read_too(plain, tmp_path):
    plain.save(tmp_path / "tokenizer.json")
    PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json")).save_pretrained(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved" / "tokenizer.json")
    assert (again.tokens, again.merges, again.special) == (plain.tokens, plain.merges, plain.special)


def test_saving_and_loading_changes_nothing(ours, tmp_path):
    ours.save(tmp_path / "a.json")
    again = Tokenizer.load(tmp_path / "a.json")
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (again.tokens, again.merges, again.special, again.pattern) == (
        ours.tokens,
        ours.merges,
        ours.special,
        ours.pattern,
    )


# ---------------------------------------------------------------- round trip


@given(data=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_come_back(plain, data):
    ids = plain.encode(to_text(data))
    assert plain.decode_bytes(ids) == data
    assert not set(ids) & set(plain.special.values())


@given(text=st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_and_cut_tokens_decode_as_tokenizers_decodes_them(plain, text):
    ids = plain.encode(text)
    assert plain.decode(ids) == text
    assert "".join(map(plain.decode, [ids])) == _peer(plain).decode(ids)
    assert plain.decode(ids[1:-1]) == _peer(plain).decode(ids[1:-1])  # where a character may be cut in the middle


@cache
def _peer(tokenizer: Tokenizer) -> Theirs:
    """The same tokenizer, read by `tokenizers`."""
    return Theirs.from_str(
        tokenizer_json.dumps(tokenizer.tokens, tokenizer.merges, tokenizer.special, tokenizer.pattern)
    )


# ---------------------------------------------------------------- special tokens


@given(
    parts=st.lists(
        st.sampled_from(["<|bos|>", "<|eos|>", "<|user|>", "<|", "|>", "bos", " ", "hello", "<", "\n"]), max_size=12
    )
)
@settings(max_examples=200, deadline=None)
def test_no_text_makes_a_special_token(plain, parts):
    text = "".join(parts)
    ids = plain.encode(text)
    assert not set(ids) & set(plain.special.values())
    assert plain.decode(ids) == text


def test_the_library_makes_one_unless_told_otherwise(plain):
    """What `tokenizers` does by default: the text's spelling of a special token becomes the token."""
    forged, peer = "hello<|eos|>bye", _peer.__wrapped__(plain)
    assert plain.special["<|eos|>"] in peer.encode(forged).ids
    peer.encode_special_tokens = True
    assert peer.encode(forged).ids == plain.encode(forged)


def test_transformers_makes_one_unless_told_otherwise(plain, tmp_path):
    plain.save(tmp_path / "tokenizer.json")
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), eos_token="<|eos|>")
    forged = "hello<|eos|>bye"
    assert theirs.eos_token_id in theirs(forged)["input_ids"]
    assert theirs(forged, split_special_tokens=True)["input_ids"] == plain.encode(forged)


def test_an_allow_list_lets_in_what_it_names_and_nothing_else(plain):
    bos, eos = plain.special["<|bos|>"], plain.special["<|eos|>"]
    ids = plain.encode("<|bos|>hello<|eos|>", allowed_special=["<|bos|>"])
    assert ids[0] == bos
    assert eos not in ids
    assert plain.decode(ids) == "<|bos|>hello<|eos|>"
    every = plain.encode("<|bos|>hello<|eos|>", allowed_special=plain.special)
    assert every == [bos, *plain.encode("hello"), eos] == _peer(plain).encode("<|bos|>hello<|eos|>").ids
    assert plain.decode(every, skip_special=True) == "hello"


def test_of_two_names_that_begin_alike_the_longer_one_is_read():
    tokenizer = Tokenizer.from_merges([], ["<|a", "<|a|>"])
    assert tokenizer.encode("<|a|>", allowed_special=["<|a", "<|a|>"]) == [257]


def test_an_unknown_name_in_the_allow_list_is_refused(plain):
    with pytest.raises(ValueError, match=r"allowed_special names '<bos>': expected some of \['<\|bos\|>'"):
        plain.encode("x", allowed_special=["<bos>"])


# ---------------------------------------------------------------- errors


def test_a_number_without_a_token_is_refused(plain):
    with pytest.raises(ValueError, match=r"token 600 is not in the vocabulary: expected 0 to 599"):
        plain.decode([1, 600])


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"V = 257: expected at least 258, for 256 bytes and 2 special tokens"):
        Tokenizer.train(TEXTS, 257, ["<a>", "<b>"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([b"a"], []), r"has none for the byte b'!' \(nor for 254 others\)"),
        (([bytes([b]) for b in range(256)], [(1, 2)]), r"merge 0 makes b'\\x01\\x02', which is no token"),
        (([bytes([b]) for b in range(256)], [(1, 256)]), r"merge 0 uses 256, which is no token made of bytes"),
        (
            ([bytes([b]) for b in range(256)], [], {"<e>": 5}),
            r"special token '<e>' has the number 5, which is b'\\x05' already",
        ),
        (([bytes([b]) for b in range(256)], [], {"<e>": 256, "<f>": 256}), r"two special tokens share a number"),
        (([bytes([b]) for b in range(256)], [], {"": 256}), r"special token 256 has an empty name"),
    ],
)
def test_an_impossible_vocabulary_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer(*arguments)


def _file(change) -> str:
    contents = json.loads(tokenizer_json.dumps([bytes([b]) for b in range(256)], [], {}, PATTERNS["gpt2"]))
    change(contents)
    return json.dumps(contents)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("model"), "KeyError 'model'"),
        (lambda c: c["model"].update(type="Unigram"), r"model.type is 'Unigram', expected 'BPE'"),
        (lambda c: c.update(normalizer={"type": "NFC"}), r"normalizer is .*NFC.*, expected None"),
        (lambda c: c["model"].update(ignore_merges=True), r"model.ignore_merges is True, expected False"),
        (lambda c: c["model"].update(byte_fallback=True), r"model.byte_fallback is True"),
        (lambda c: c["model"].update(end_of_word_suffix="</w>"), r"end_of_word_suffix is '</w>'"),
        (lambda c: c["pre_tokenizer"].update(add_prefix_space=True), r"pre_tokenizer is .*expected ByteLevel"),
        (lambda c: c.update(pre_tokenizer=None), r"pre_tokenizer is null"),
        (lambda c: c["model"].update(merges=[["a", "zz"]]), r"merge 0, 'a' and 'zz', is not of two tokens"),
        (lambda c: c["model"]["vocab"].update({"▁": 256}), r"'▁' in '▁' stands for no byte"),
        (lambda c: c.update(truncation={"max_length": 5}), r"truncation is .*max_length.*, expected None"),
        (lambda c: c.update(padding={"strategy": "BatchLongest"}), r"padding is .*BatchLongest"),
        (
            lambda c: c.update(post_processor={"type": "TemplateProcessing"}),
            r"post_processor is .*adds no tokens of its own",
        ),
        (lambda c: c["added_tokens"].append({"id": 256, "content": "<m>", "lstrip": True}), r"swallows spaces"),
    ],
)
def test_a_file_that_asks_for_something_else_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        tokenizer_json.loads(_file(change))


def test_no_json_at_all(tmp_path):
    (tmp_path / "x.json").write_text("not json")
    with pytest.raises(tokenizer_json.NotByteLevelBPE, match=r"x.json is no tokenizer.json of a BPE"):
        Tokenizer.load(tmp_path / "x.json")


def test_merges_in_the_old_form_are_read():
    contents = json.loads(
        tokenizer_json.dumps([*map(bytes, ([b] for b in range(256))), b"ab"], [(97, 98)], {}, PATTERNS["gpt2"])
    )
    contents["model"]["merges"] = ["a b"]
    assert Tokenizer(*tokenizer_json.loads(json.dumps(contents))).encode("ab") == [256]
