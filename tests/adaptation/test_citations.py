"""Citations: read in every form, and checked against passages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lablib.adaptation.bm25 import words
from lablib.adaptation.citations import Claim, Verdict, check_citations, claims, support

PASSAGES = ["The tokenizer has 4,096 tokens.", "The valley has 48 people. Ada is a miller.", ""]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Cats purr [1].", [("Cats purr.", (1,))]),
        ("Cats purr. [1]", [("Cats purr.", (1,))]),
        ("Cats purr.[1] Dogs bark [2]!", [("Cats purr.", (1,)), ("Dogs bark!", (2,))]),
        ("Cats purr [1, 3] and eat [2].", [("Cats purr and eat.", (1, 3, 2))]),
        ("Cats purr [1][2][1].", [("Cats purr.", (1, 2))]),
        ("Cats purr [2-4].", [("Cats purr.", (2, 3, 4))]),
        ("Cats purr [ 2 – 4 ; 7 ].", [("Cats purr.", (2, 3, 4, 7))]),
        ("Cats purr [4-2].", [("Cats purr.", (4, 2))]),
        ("Cats purr.", [("Cats purr.", ())]),
        ("Cats [see below] purr [x] a[0].", [("Cats [see below] purr [x] a.", (0,))]),
        ("[1]", [("", (1,))]),
        ("", []),
        (" \n ", []),
        ("Cats purr\n\n[3]", [("Cats purr", ()), ("", (3,))]),
    ],
)
def test_claims(answer, expected):
    assert claims(answer) == [Claim(*one) for one in expected]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Cats purr", "A b c", "It is 4.5"]),
            st.lists(st.integers(0, 30), max_size=3),
            st.booleans(),
        )
    )
)
def test_what_was_written_is_read_back(parts):
    answer = " ".join(
        f"{text}{marks}." if inside else f"{text}.{marks}"
        for text, marks, inside in (
            (text, "".join(f" [{n}]" for n in numbers), inside) for text, numbers, inside in parts
        )
    )
    assert claims(answer) == [Claim(f"{text}.", tuple(dict.fromkeys(numbers))) for text, numbers, _ in parts]


@given(st.text(max_size=80))
def test_any_text_can_be_read(answer):
    for verdict in check_citations(answer, PASSAGES):
        assert verdict.exists == (1 <= verdict.number <= 3)
        assert 0 <= verdict.support <= verdict.exists


def test_support_by_hand():
    assert support("The tokenizer has 4,096 tokens.", PASSAGES[0]) == 1  # tokenizer, 4, 096, token
    assert support("The tokenizer has 50,257 tokens.", PASSAGES[0]) == 0.5
    assert support("Ada mills.", PASSAGES[1]) == 0.5  # ada, but not mill
    assert support("It is what it was.", PASSAGES[1]) == 0  # no word that tells anything
    assert support("Ada Ada Ada Grace", PASSAGES[1]) == 0.5  # each word once
    assert support("ada", PASSAGES[1], tokenise=str.split) == 0
    # Small words are small whether or not their s is taken off.
    assert (
        support("This was Ada; is it so?", PASSAGES[1]) == support("This was Ada; is it so?", PASSAGES[1], words) == 1
    )


def test_verdicts():
    answer = "The valley has 48 people [2]. The tokenizer has 9 tokens [2, 1]. It is big [7] [0]. Nothing cited."
    assert check_citations(answer, PASSAGES) == [
        Verdict("The valley has 48 people.", 2, True, 1.0),
        Verdict("The tokenizer has 9 tokens.", 2, True, 0.0),
        Verdict("The tokenizer has 9 tokens.", 1, True, pytest.approx(2 / 3)),
        Verdict("It is big.", 7, False, 0.0),
        Verdict("It is big.", 0, False, 0.0),
    ]
    assert check_citations("It is [1].", []) == [Verdict("It is.", 1, False, 0.0)]


@pytest.mark.parametrize("answer", ["A [1-999999999999].", "A [" + "9" * 5000 + "].", "A [1-" + "9" * 5000 + "]."])
def test_enormous_numbers_make_no_enormous_lists(answer):
    (claim,) = claims(answer)
    assert len(claim.numbers) <= 2
    assert not check_citations(answer, PASSAGES)[-1].exists
