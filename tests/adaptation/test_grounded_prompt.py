"""The prompt fits, keeps the best passages, and says so when nothing does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import characters

from lablib.adaptation.grounded_prompt import ABSTENTION, INSTRUCTION, abstains, grounded_prompt, plain_prompt
from lablib.checkpoints import load

words = st.lists(st.sampled_from(["cat", "mill", "12", "the"]), min_size=1, max_size=9).map(" ".join)


CARRIED = load("base")


def count_words(text: str) -> int:
    return len(text.split())


def test_the_whole_prompt():
    prompt, kept = grounded_prompt(" Who purrs? ", ["A cat purrs.\n", "A dog\nbarks."], 500, len, 10)
    assert kept == 2
    assert prompt == f"{INSTRUCTION}\n\n[1] A cat purrs.\n\n[2] A dog\nbarks.\n\nQuestion: Who purrs?\n\nAnswer:"
    assert ABSTENTION in INSTRUCTION
    assert ABSTENTION in plain_prompt("Who?")


@given(words, st.lists(words, max_size=6), st.integers(1, 80), st.integers(0, 20))
def test_as_many_passages_as_fit_from_the_first(question, passages, context, reserve):
    # The instruction is one word, `Question:` and `Answer:` are two, and each passage has its number.
    sizes = [3 + count_words(question)]
    for passage in passages:
        sizes.append(sizes[-1] + 1 + count_words(passage))
    fitting = [kept for kept, size in enumerate(sizes) if size <= context - reserve]
    if not fitting:
        with pytest.raises(
            ValueError, match=rf"{sizes[0]} tokens with the instruction .* at most {context} − {reserve}"
        ):
            grounded_prompt(question, passages, context, count_words, reserve, "Answer.")
        return
    prompt, kept = grounded_prompt(question, passages, context, count_words, reserve, "Answer.")
    assert kept == max(fitting)
    assert count_words(prompt) == sizes[kept]
    assert prompt.split("\n\n") == [
        "Answer.", *(f"[{i + 1}] {passages[i]}" for i in range(kept)), f"Question: {question}", "Answer:",
    ]  # fmt: skip


@given(
    st.text(characters(codec="utf-8"), max_size=200).filter(str.strip), st.text(characters(codec="utf-8"), max_size=400)
)
def test_it_fits_the_carried_model(question, passage):
    tokenizer = CARRIED.tokenizer
    try:
        prompt, kept = grounded_prompt(question, [passage, passage], 256, lambda text: len(tokenizer.encode(text)))
    except ValueError:
        assert len(tokenizer.encode(f"{INSTRUCTION}\n\nQuestion: {question.strip()}\n\nAnswer:")) > 208
    else:
        assert len(tokenizer.encode(prompt)) <= 208
        assert 0 <= kept <= 2


def test_a_question_longer_than_the_context():
    tokens = 1000 + 2 + len(INSTRUCTION.split())
    expected = (
        f"question 'why why why why why why why why why why '…: {tokens} tokens with the instruction and no passage, expected at most "
        "256 − 48 (context less what is reserved for the answer); shorten it, or take a model with a longer context"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        grounded_prompt("why " * 1000, ["A passage."], 256, count_words, 48)


def test_a_first_passage_that_does_not_fit_leaves_none():
    prompt, kept = grounded_prompt("Who?", ["long " * 1000, "banana"], 60, count_words, 5)
    assert kept == 0
    assert "banana" not in prompt


@pytest.mark.parametrize("question", ["", " \n"])
def test_nothing_asked(question):
    for call in (lambda: grounded_prompt(question, [], 99, len), lambda: plain_prompt(question)):
        with pytest.raises(ValueError, match="is empty: expected something to answer"):
            call()
    with pytest.raises(TypeError, match="question = b'why' is bytes: expected str"):
        plain_prompt(b"why")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I do not know.", True), ("I don't know", True), ("I don’t know.", True), ("Sorry, the passages do not say this.", True),
        ("It is not mentioned in the passages.", True), ("4096 [1].", False), ("", False), ("I know: 7.", False),
        ("They do   not\nsay.", True), ("The passage doesn't mention a year.", True), ("It isn't stated.", True),
        ("The year is not specified [1].", True), ("It does mention 4.", False), ("He did not say much.", False),
    ],
)  # fmt: skip
def test_abstaining(answer, expected):
    assert abstains(answer) is expected
