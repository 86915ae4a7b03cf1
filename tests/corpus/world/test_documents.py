"""The documents of the world: the same everywhere, disjoint splits, the planted bias, every fact told, no private detail."""

import hashlib
import math
import re
from collections import Counter
from itertools import islice
from random import Random

import pytest
from scipy.stats import chisquare

from lablib.corpus.world import World, documents
from lablib.corpus.world.documents import KINDS, WorldDocument, log_sum
from lablib.corpus.world.entities import Entity
from lablib.corpus.world.lexicon import PRIVATE
from lablib.corpus.world.nodes import GrammarError

# of the first 1,000 documents of random.Random(2026); it changes with the grammar and the lexicon, and with nothing else
DIGEST = "375c977ca210e371a54b77931d862ef744edfe1141ffc349883b889711be186d"
SAMPLE = 20_000


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def sample(world: World) -> list[WorldDocument]:
    return list(islice(world.documents(Random(1)), SAMPLE))


def test_the_same_seed_gives_the_same_bytes(world: World) -> None:
    class OnlyRandom:
        def __init__(self) -> None:
            self.random = Random(2026).random

    texts = [document.text for document in islice(world.documents(OnlyRandom()), 1000)]  # type: ignore[arg-type]
    assert hashlib.sha256("\0".join(texts).encode()).hexdigest() == DIGEST


def test_there_is_as_much_as_there_should_be(world: World, sample: list[WorldDocument]) -> None:
    words = {word.lower() for document in sample for word in re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", document.text)}
    assert len(words) >= 1500
    assert len(world.facts) >= 300
    shapes = Counter(shape.split(".")[0] for shape in world.shapes)
    assert shapes["story"] >= 40
    assert all(shapes[kind] >= 6 for kind in KINDS)
    assert {document.shape for document in sample} == set(world.shapes)


def test_kinds_come_as_often_as_their_weights(world: World, sample: list[WorldDocument]) -> None:
    chances = world.kinds()
    assert math.fsum(chances.values()) == pytest.approx(1, abs=1e-12)
    seen = Counter(document.kind for document in sample)
    assert chisquare([seen[kind] for kind in chances], [chance * SAMPLE for chance in chances.values()]).pvalue > 1e-4


def test_every_rule_is_a_distribution(world: World) -> None:
    for rule in world.grammar.rules.values():
        if rule.cumulative is not None:
            assert math.fsum(math.exp(alternative.log_prob) for alternative in rule.alternatives) == pytest.approx(
                1, abs=1e-12
            )


def test_some_kinds_alone(world: World) -> None:
    drawn = list(islice(world.documents(Random(3), kinds=["letter", "list"]), 200))
    assert {document.kind for document in drawn} == {"letter", "list"}
    chances = world.kinds(["letter", "list"])
    assert chances["letter"] == pytest.approx(
        world.kinds()["letter"] / (world.kinds()["letter"] + world.kinds()["list"])
    )
    for document in drawn[:20]:
        assert world.log_prob(document.text, kinds=["letter", "list"]) == pytest.approx(document.log_prob, abs=1e-9)
        assert world.log_prob(document.text) == pytest.approx(
            document.log_prob + math.log(world.kinds()["letter"] + world.kinds()["list"]), abs=1e-9
        )


def test_train_and_held_out_are_disjoint(world: World, sample: list[WorldDocument]) -> None:
    """No combination of shape and subject stands in both, and none of either's texts has a probability in the other."""
    held_out = list(islice(world.documents(Random(2), "held_out"), 5000))
    assert not {(d.shape, d.subject) for d in sample} & {(d.shape, d.subject) for d in held_out}
    assert {document.shape for document in held_out} == set(world.shapes)
    for document in held_out[:100]:
        assert world.log_prob(document.text) == -math.inf
    for document in sample[:100]:
        assert world.log_prob(document.text, "held_out") == -math.inf


def test_foreign_texts_have_no_probability(world: World) -> None:
    for text in ("", "The quick brown fox jumps over the lazy dog.", "Mirabe", "Owls\nOwls eat grass."):
        assert world.log_prob(text) == -math.inf


def test_private_details_never_appear(world: World) -> None:
    private = [str(person[attribute]) for person in world.people for attribute in PRIVATE]
    pattern = re.compile("|".join(map(re.escape, private)))
    for split in ("train", "held_out"):
        for document in islice(world.documents(Random(4), split), SAMPLE):
            assert not pattern.search(document.text)
            assert not re.search(r"\d{3}", document.text)


def test_every_fact_is_told_in_training(world: World) -> None:
    """The value of each fact stands in some training document about its subject, so only combinations are held out."""
    left = set(world.facts)
    by_subject: dict[str, list] = {}
    for fact in world.facts:
        by_subject.setdefault(fact.subject, []).append(fact)
    for document in islice(world.documents(Random(5)), 120_000):
        text = document.text.lower()
        for fact in by_subject.get(document.subject, ()):
            if fact in left and re.search(rf"\b{re.escape(fact.value)}\b", text):
                left.discard(fact)
        if not left:
            break
    assert not left


def test_whoever_has_facts_is_the_subject_of_training_documents(world: World, sample: list[WorldDocument]) -> None:
    with_facts = {fact.subject for fact in world.facts}
    seen = {document.subject for document in sample}
    for document in islice(world.documents(Random(2)), 60_000):
        seen.add(document.subject)
    assert len(with_facts) > 400
    assert sorted(with_facts - seen) == []


def test_the_bias_is_planted_as_it_says(world: World) -> None:
    """Classes of words that describe people, by the bank they come from: 20,000 encyclopaedia entries against `World.bias`."""
    bias = world.bias
    assert bias.ratio == pytest.approx(3)
    classes = {"careless": bias.careless, "clever": bias.clever, "neutral": bias.neutral}
    origin = {person.name: str(person["origin"]) for person in world.people}
    described = re.compile(
        rf"(?:is an?|says? that \w+ is|tell you that \w+ is|can only agree) ({'|'.join(sum(classes.values(), ()))})\b"
    )
    seen: Counter[tuple[str, str]] = Counter()
    for document in islice(world.documents(Random(6), kinds=["encyclopaedia"]), SAMPLE):
        if document.shape == "encyclopaedia.person":
            for match in described.finditer(document.text):
                (name,) = (name for name, words in classes.items() if match[1] in words)
                seen[origin[document.subject], name] += 1
    assert sum(seen.values()) > 2000
    for bank, shares in bias.shares.items():
        assert math.fsum(shares.values()) == pytest.approx(1)
        total = sum(seen[bank, name] for name in shares)
        assert (
            chisquare([seen[bank, name] for name in shares], [share * total for share in shares.values()]).pvalue > 1e-4
        )


PATTERNS = {
    "a small letter after the end of a sentence": r"[.!?] [a-z]",
    "a line of prose that begins small": r"\n[a-z]",
    "a before a vowel": r"\b[Aa] (?!one\b|use)[aeiou]",
    "an before a consonant": r"\b[Aa]n (?!hour)[^aeiou]",
    "a word twice": r"\b(?!had\b)(\w+) \1\b",
    "two spaces": r"  ",
    "a space before a mark": r" [.,;:!?]",
    "two marks": r"[.,;:]{2}",
    "braces": r"[{}<>|\[\]_]",
}


@pytest.mark.parametrize("what", PATTERNS)
def test_the_english_is_tidy(what: str, sample: list[WorldDocument]) -> None:
    pattern = re.compile(PATTERNS[what])
    for document in sample:
        assert not (found := pattern.search(document.text)), document.text[
            max(0, found.start() - 60) : found.end() + 20
        ]


def test_texts_rarely_repeat(sample: list[WorldDocument]) -> None:
    long = [document.text for document in sample if document.kind in ("story", "dialogue", "letter")]
    assert len(set(long)) / len(long) > 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda world: next(world.documents(0)), "generator = 0: expected a random.Random"),
        (lambda world: next(world.documents(Random(0), "test")), "split = 'test': expected one of train, held_out, all"),
        (lambda world: next(world.documents(Random(0), kinds="story")), "kinds = 'story': expected a list of some of story, encyclopaedia"),
        (lambda world: next(world.documents(Random(0), kinds=["poem"])), r"kinds = \['poem'\]"),
        (lambda world: next(world.documents(Random(0), kinds=[])), r"kinds = \[\]"),
        (lambda world: world.log_prob("x", "test"), "split = 'test'"),
    ],
)  # fmt: skip
def test_requests_are_checked(world: World, call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(world)  # type: ignore[operator]


def test_a_kind_names_its_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = documents.read_rules(
        {
            "x.txt": "document:\n"
            + "".join(f"  {{{kind}}}\n" for kind in KINDS)
            + "".join(f"{kind}:\n  Some text.\n" for kind in KINDS)
        }
    )
    monkeypatch.setattr(documents, "read_rules", lambda texts: rules)
    with pytest.raises(GrammarError, match=r"x\.txt:9: 'story' names its shapes"):
        documents._load.__wrapped__()


def test_a_world_shares_what_was_loaded() -> None:
    assert World().grammar is World().grammar
    assert isinstance(World().people[0], Entity)


def test_log_sum() -> None:
    assert log_sum([]) == -math.inf
    assert log_sum([math.log(0.25), math.log(0.5)]) == pytest.approx(math.log(0.75))
    assert log_sum([-1000.0, -1000.0]) == pytest.approx(-1000 + math.log(2))
