"""The grammar: what it writes against a count by hand, and each mistake in a file with its message."""

import math
from collections import Counter
from random import Random

import pytest
from enumeration import ENTITIES, PEOPLE, grammar, texts
from scipy.stats import chisquare

from lablib.corpus.world.entities import Entity
from lablib.corpus.world.grammar import Grammar, hold_out
from lablib.corpus.world.nodes import GrammarError, article, pick
from lablib.corpus.world.syntax import read_rules


def test_the_count_by_hand_is_a_distribution() -> None:
    counted = texts(grammar())
    assert sum(counted.values()) == 1
    assert len(counted) > 50
    assert "An hour was found by Bo." in counted
    assert "Ada met Bo. She drank milk." in counted


def test_log_prob_is_the_counted_probability() -> None:
    """The writer's sum of logarithms against fractions counted without it."""
    small, random = grammar(), Random(0).random
    counted = texts(small)
    for _ in range(2000):
        document = small.write("document", random, "all")
        assert document.log_prob == pytest.approx(math.log(counted[document.text]), abs=1e-12)


def test_texts_come_as_often_as_they_should() -> None:
    small, random = grammar(), Random(1).random
    counted = texts(small)
    n = 30_000
    seen = Counter(small.write("document", random, "all").text for _ in range(n))
    assert set(seen) <= set(counted)
    expected = [float(chance) * n for chance in counted.values()]
    assert min(expected) > 10
    assert chisquare([seen[text] for text in counted], expected).pvalue > 1e-4


def test_only_random_is_asked() -> None:
    """The same numbers give the same text, whatever gives them."""
    numbers = [Random(5).random() for _ in range(200)]
    first, second = iter(numbers), iter(list(numbers))
    assert grammar().write("document", first.__next__) == grammar().write("document", second.__next__)


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_are_safe(number: float) -> None:
    document = grammar().write("document", lambda: number, "all")
    assert document.text in texts(grammar())


def test_pick_never_takes_a_weight_of_zero() -> None:
    assert [pick([0, 2, 0], left) for left in (0.0, 1.999, 2.0)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("owl", "an"),
        ("hour", "an"),
        ("unicorn", "a"),
        ("one-legged crow", "a"),
        ("umbrella", "an"),
        ("useful thing", "a"),
        ("eagle", "an"),
    ],
)
def test_articles(word: str, expected: str) -> None:
    assert article(word) == expected


# ---------------------------------------------------------------------- held-out combinations


def test_a_tenth_is_held_out_and_one_at_least() -> None:
    pool = [Entity("person", f"p{number}") for number in range(48)]
    assert len(hold_out("story.x", pool)) == 5
    assert len(hold_out("story.x", pool[:3])) == 1
    assert hold_out("story.x", pool) == hold_out("story.x", pool[::-1])  # the order of the lexicon does not matter
    assert hold_out("story.x", pool) != hold_out("story.y", pool)


def test_another_shape_changes_nothing_for_the_others() -> None:
    more = "document:\n  {meeting}\n  {more}\nmeeting [hero]:\n  {hero:person} came.\nmore [hero]:\n  {hero:person} left.\n"
    less = "document:\n  {meeting}\nmeeting [hero]:\n  {hero:person} came.\n"
    assert grammar(more).rules["meeting"].held_out == grammar(less).rules["meeting"].held_out


def test_splits_are_disjoint_and_together_everything() -> None:
    small = grammar("document:\n  {meeting}\nmeeting [hero]:\n  {hero:person} came.\n")
    seen = {
        split: {small.write("document", Random(s).random, split).text for s in range(60)}
        for split in ("train", "held_out", "all")
    }
    assert not seen["train"] & seen["held_out"]
    assert seen["train"] | seen["held_out"] == seen["all"] == {f"{person.name} came." for person in PEOPLE}


# ---------------------------------------------------------------------- mistakes

MISTAKES = {
    "no rule's name": ("document\n  x\n", "is no rule: expected `name:`"),
    "a rule twice": ("document:\n  x\ndocument:\n  y\n", "stands already at small.txt:1"),
    "no rule before": ("  x\n", "belongs to no rule"),
    "an empty rule": ("document:\n", "has no alternatives"),
    "a backslash at the end": ("document:\n  x \\\n", "a backslash ends the line"),
    "two spaces": ("document:\n  x  y\n", "two spaces, or a space before a mark"),
    "a space before a mark": ("document:\n  x .\n", "two spaces, or a space before a mark"),
    "a brace alone": ("document:\n  {hero:person\n", "{ without its partner"),
    "a closing brace alone": ("document:\n  x}\n", "} without its partner"),
    "a choice without end": ("document:\n  <a|b\n", "< without its partner"),
    "no weight": ("document:\n  [much] x\n", "is no weight"),
    "a weight of nothing": ("document:\n  [0] x\n", "expected a positive number"),
    "two bare weights": ("document:\n  [1 | 2] x\n", "2 numbers without a condition"),
    "no condition": ("document:\n  [if hero] x\n", "is no condition"),
    "braces that nobody understands": ("document:\n  {Hero Person}\n", "is not understood"),
    "silent and printing": ("document:\n  {!hero:person.origin}\n", "prints nothing: take away !"),
    "an assignment with a filter": ("document:\n  {a:person} {b:=a.friend(origin=south)}\n", ":= takes no filter"),
    "a rule that nobody calls": ("document:\n  x\nother:\n  y\n", "'other' is never used"),
    "a circle": ("document:\n  {other}\nother:\n  {document}\n", "document → other → document"),
    "no such category": ("document:\n  {hero:dragon}\n", "no category 'dragon'"),
    "nobody bound": ("document:\n  {hero} came.\n", "'hero' is no rule, and no name that is bound here in every case"),
    "bound in one case only": (
        "document:\n  {maybe} {hero}\nmaybe:\n  {hero:person}\n  x\n",
        "no name that is bound here in every case",
    ),
    "bound twice": ("document:\n  {hero:person} {hero:person}\n", "'hero' is bound already"),
    "no such attribute": ("document:\n  {hero:person.age}\n", "unknown attribute: hero.age is nothing for Ada, Bo, Cy"),
    "no such attribute in a filter": ("document:\n  {hero:person(age=3)}\n", "unknown attribute: .age"),
    "no entity to bind": ("document:\n  {hero:person} {x:=hero.origin}\n", "hero.origin is no entity"),
    "nobody left to draw": (
        "document:\n  {a:person(origin=north)} {b:person(origin=north)}\n",
        "leaves 1 to draw from where nothing else is bound, and a may be taken already",
    ),
    "nobody fits": ("document:\n  {a:person(origin=east)}\n", "leaves 0 to draw from"),
    "nobody fits beside somebody": (
        "document:\n  {a:person} {b:person(origin!=a.origin)} {c:person(origin!=a.origin)}\n",
        "(origin!=a.origin) for 'c' leaves",
    ),
    "a case that is forgotten": (
        "document:\n  {hero:person} {more}\nmore:\n  [if hero.origin = north] x\n",
        "no alternative of 'more' can be chosen for ['Bo', 'Cy']",
    ),
    "a rule named like an attribute": (
        "document:\n  {hero:person} {hero.origin}\nhero.origin:\n  x\n",
        "'hero.origin' is a rule and may be a name",
    ),
    "a shape without its subject": (
        "document:\n  {shape}\nshape [hero]:\n  {hero:person}\n  x\n",
        "does not bind its subject 'hero' in every alternative",
    ),
    "a subject that depends on others": (
        "document:\n  {shape}\nshape [hero]:\n  {a:person} {hero:thing(name!=a.name)}\n",
        "the subject 'hero' is drawn by what others are",
    ),
    "subjects of two kinds": (
        "document:\n  {shape}\nshape [hero]:\n  {hero:person}\n  {hero:thing}\n",
        "the subject of 'shape' is drawn from person and thing",
    ),
    "too few subjects": (
        "document:\n  {shape}\nshape [hero]:\n  {hero:person(origin=north)}\n",
        "too few to hold a tenth out",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(mistake: str) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(GrammarError) as error:
        grammar(text)
    assert message in str(error.value)
    assert str(error.value).startswith("small.txt:")


def test_a_root_that_is_no_rule() -> None:
    with pytest.raises(GrammarError, match="root 'story' is no rule: expected one of document"):
        grammar("document:\n  x\n", ("story",))


def test_an_entity_that_is_a_sentence() -> None:
    talker = (Entity("person", "Dot", {"says": "Yes. No."}),)
    rules = read_rules({"small.txt": "document:\n  {hero:person.says}\n"})
    with pytest.raises(GrammarError, match="an entity is no whole sentence"):
        Grammar(rules, {"person": talker})


def test_writing_says_who_is_missing() -> None:
    chain = Grammar(
        read_rules({"small.txt": "first:\n  {hero:person}\nsecond:\n  {other:person}\n"}),
        ENTITIES,
        [("first", "second")],
    )
    everybody = {person.name: person for person in PEOPLE}
    with pytest.raises(GrammarError, match="no person is left for 'other'"):
        chain.write("second", Random(0).random, bound=everybody)


def test_requests_are_checked() -> None:
    with pytest.raises(ValueError, match="rule = 'nothing': expected one of the grammar's rules"):
        grammar().write("nothing", Random(0).random)
    with pytest.raises(ValueError, match="split = 'test': expected one of train, held_out, all"):
        grammar().write("document", Random(0).random, "test")


def test_a_chain_sees_what_its_first_member_bound() -> None:
    rules = read_rules({"small.txt": "question:\n  Who is {hero:person}?\nanswer:\n  {^hero.he} is {hero}.\n"})
    chain = Grammar(rules, ENTITIES, [("question", "answer")])
    question = chain.write("question", Random(3).random)
    assert chain.write("answer", Random(3).random, bound=question.bound).text.endswith(
        f" is {question.bound['hero'].name}."
    )


def test_lines_go_on_and_break() -> None:
    text = "# a comment\ndocument:  # another\n  One two \\\n    three\\nfour.\n"
    assert grammar(text).write("document", Random(0).random).text == "One two three\nfour."
