"""In-context learning, measured on models whose copying is known: one that only copies, n-gram models that never do."""

import math
import re
from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.corpus.ablation import nats as document_nats
from lablib.corpus.world import World
from lablib.pretraining import in_context as ic
from lablib.pretraining import in_context_prompts as prompts
from lablib.pretraining.ngram import learn
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

V = 50
SURE = 12.0  # logit of what the copier expects, all others 0


def copier(ids):
    """What followed the last time that this token stood here? That, very probably; if it never did, anything."""
    B, T = ids.shape
    logits = torch.zeros(B, T, V)
    for b in range(B):
        for t in range(T):
            for s in reversed(range(t)):
                if ids[b, s] == ids[b, t]:
                    logits[b, t, ids[b, s + 1]] = SURE
                    break
    return logits


def of_ngram(model):
    """An n-gram model as one that maps ids to logits."""

    def logits(ids):
        return torch.tensor(
            np.stack([[np.log(model.probabilities(row[: t + 1])) for t in range(len(row))] for row in ids.tolist()])
        )

    return logits


@pytest.fixture(scope="module")
def bigram():
    generator = Random(0)
    return of_ngram(learn([generator.randrange(V) for _ in range(3000)], V, 2)[-1])


@pytest.fixture(scope="module")
def world():
    return World()


def distinct_rows(B, T, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(V, generator=generator)[:T] for _ in range(B)])


# ---------------------------------------------------------------- copying


def test_surprise_is_the_cross_entropy_of_the_next_token():
    model = Decoder(DecoderConfig(V=V, D=16, H=2, L=2, hidden=32), generator=torch.Generator().manual_seed(0)).eval()
    ids = distinct_rows(3, 9)
    found = ic.surprise(model, ids)
    assert found.shape == (3, 8)
    with torch.no_grad():
        for b in range(3):
            for t in range(8):
                expected = F.cross_entropy(model(ids[b : b + 1, : t + 1])[0, -1], ids[b, t + 1])
                assert found[b, t].item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_copier_gains_all_that_there_is():
    """Fresh rows are a uniform guess, ln V; a repeated one is as certain as the logit says: −ln(e^12 / (e^12 + V − 1))."""
    everything = distinct_rows(6, 20)
    rows, others = everything[:, :10], everything[:, 10:]  # no token in common
    again = math.log(1 + (V - 1) * math.exp(-SURE))
    gain = ic.copying_gain(copier, rows, others)
    assert gain.shape == (6,)
    assert gain.tolist() == pytest.approx([math.log(V) - again] * 6, rel=1e-5)


def test_an_ngram_model_gains_nothing(bigram):
    rows, others = distinct_rows(4, 8), distinct_rows(4, 8, seed=1)
    assert ic.copying_gain(bigram, rows, others).tolist() == [0.0] * 4
    assert ic.surprise(bigram, rows).std() > 0.1  # though it expects some tokens more than others


def test_the_gain_is_not_that_of_a_later_place():
    """A model that is simply surer at later places, whatever stands before, copies nothing."""

    def place_only(ids):
        logits = (torch.arange(V) < 10) * torch.arange(ids.shape[1])[:, None] * 0.3  # (T, V)
        return logits.expand(len(ids), -1, -1)

    rows, others = distinct_rows(5, 10), distinct_rows(5, 10, seed=1)
    nats = ic.surprise(place_only, torch.cat((others, rows), 1))
    assert nats[:, 10:].mean() != pytest.approx(nats[:, :9].mean().item(), rel=0.05)  # place matters to it
    assert ic.copying_gain(place_only, rows, others).abs().max() < 1e-6


# ---------------------------------------------------------------- reading many texts


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, V - 1), min_size=2, max_size=12), min_size=1, max_size=9), st.integers(1, 5))
def test_texts_read_together_are_as_if_alone(texts, B):
    model = Decoder(DecoderConfig(V=V, D=8, H=2, L=1, hidden=16), generator=torch.Generator().manual_seed(1)).eval()
    for text, reading in zip(texts, ic.read(model, texts, B), strict=True):
        alone = ic.surprise(model, torch.tensor([text]))[0]
        torch.testing.assert_close(reading.nats, alone, rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            likeliest = model(torch.tensor([text]))[0, :-1].argmax(-1)
        assert reading.right.tolist() == (likeliest == torch.tensor(text[1:])).tolist()


def test_answers_are_judged_by_their_own_tokens_only():
    known = [3, 1, 4, 15, 9, 3, 1]  # the copier goes on with 4, 15, 9
    found = ic.answered(copier, [known, known, known[:3]], [[4, 15], [4, 9], [7]])
    assert found.written.tolist() == [True, False, False]
    sure = math.log(1 + (V - 1) * math.exp(-SURE))
    assert found.nats.tolist() == pytest.approx([2 * sure, sure + sure + SURE, math.log(V)], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ic.read(copier, [[1, 2], [3]]), r"texts have lengths \[2, 1\]: expected at least one text"),
        (lambda: ic.read(copier, []), r"texts have lengths \[\]"),
        (lambda: ic.answered(copier, [[1]], []), "1 prompts and 0 answers: expected as many"),
        (lambda: ic.answered(copier, [[1]], [[]]), "none of them empty"),
        (lambda: ic.mean_interval([1.0]), r"values has shape \(1,\): expected at least two"),
        (lambda: ic.share_interval([]), r"hits has shape \(0,\): expected at least one"),
        (lambda: ic.mentions(Tokenizer.from_merges([]), "Anna met Jo.", "Ann"), "name = 'Ann' is no word of the text"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------- names


def test_mentions_are_found_whatever_the_tokens_are():
    tokenizer = course_tokenizer.load()
    text = 'Zadrek came. "Zadrek\'s cat!" said Ölaf to Zadrek, and Zadrekson laughed at naïve Zadrek'
    ids, spans = ic.mentions(tokenizer, text, "Zadrek")
    assert ids == tokenizer.encode(text)
    assert [tokenizer.decode(ids[start:stop]) for start, stop in spans] == ["Zadrek", "Zadrek", " Zadrek", " Zadrek"]
    assert [tokenizer.decode(ids[:start]) for start, _ in spans][1:3] == [
        'Zadrek came. "',
        text[: text.index(" Zadrek,")],
    ]


def test_a_copier_pays_once_for_a_name(world):
    tokenizer = course_tokenizer.load()
    (name,) = prompts.invented_names(Random(3), 1, world)
    text = f"{name} lives here. Tell {name} that {name} is late."
    bos = tokenizer.special["<|bos|>"]

    def last_words(ids):  # the course's vocabulary is larger than V: the copier again, for it
        logits = torch.zeros(*ids.shape, tokenizer.V)
        for b, row in enumerate(ids.tolist()):
            for t in range(len(row)):
                for s in reversed(range(t)):
                    if row[s] == row[t]:
                        logits[b, t, row[s + 1]] = SURE
                        break
        return logits

    ((first, second, third),) = ic.mention_nats(last_words, tokenizer, [(text, name)], bos)
    tokens = len(tokenizer.encode(f" {name}"))
    assert tokens >= 2
    assert first == pytest.approx(len(tokenizer.encode(name)) * math.log(tokenizer.V), rel=1e-5)
    assert third < second <= math.log(tokenizer.V) * tokens
    ((alone, *rest),) = ic.mention_nats(last_words, tokenizer, [(f"{name} lives here.", name)], bos)
    assert not rest
    assert alone == pytest.approx(first)


# ---------------------------------------------------------------- intervals


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(600, 40, generator=generator) * 2 + 5
    inside = [low <= 5 <= high for _, low, high in map(ic.mean_interval, draws)]
    assert 0.91 < sum(inside) / 600 < 0.98
    coins = torch.rand(600, 40, generator=generator) < 0.9
    inside = [low <= 0.9 <= high for _, low, high in map(ic.share_interval, coins)]
    assert 0.91 < sum(inside) / 600 < 0.99


# ---------------------------------------------------------------- prompts


def test_invented_names_are_new_and_repeatable(world):
    names = prompts.invented_names(Random(0), 200, world)
    assert len(set(names)) == 200
    assert names == prompts.invented_names(Random(0), 200, world)
    known = {entity.name.lower() for entities in world.entities.values() for entity in entities}
    assert not known & {name.lower() for name in names}
    assert all(re.fullmatch(r"[A-Z][a-z]{4,7}", name) for name in names)


def test_tasks_are_what_the_worlds_own_lists_say(world):
    """Each pair of a task stands so in a list of the world, and the headings are those of its lists."""
    drawn = world.documents(Random(5), kinds=["list"])
    lists = [next(drawn).text for _ in range(1500)]
    for name, pairs in prompts.tasks(world).items():
        found = [text for text in lists if text.startswith(prompts.HEADINGS[name] + "\n- ")]
        assert len(found) >= 5, name
        rows = {line for text in found for line in text.splitlines()[1:]}
        assert rows <= {f"- {this}: {that}" for this, that in pairs}
        assert len(pairs) >= 30


def test_few_shot_prompts_show_k_true_examples_of_others(world):
    pairs = prompts.tasks(world)["young"]
    for k in (0, 1, 4, 8):
        made = prompts.few_shot_questions(pairs, k, 60, Random(0))
        assert len(made) == 60
        asked = []
        for question in made:
            *examples, last = question.prompt.splitlines()
            assert len(examples) == k
            asked.append(last.removeprefix("- ").removesuffix(":"))
            assert (asked[-1], question.answer[1:]) in pairs
            shown = [tuple(line.removeprefix("- ").split(": ")) for line in examples]
            assert set(shown) <= set(pairs)
            assert len(set(shown)) == k
            assert asked[-1] not in [this for this, _ in shown]
        assert max(Counter(asked).values()) <= math.ceil(60 / len(pairs))
    headed = prompts.few_shot_questions(pairs, 1, 1, Random(0), heading="Animals:")[0].prompt
    assert headed.startswith("Animals:\n- ")


def test_shuffled_examples_are_mostly_false_with_the_same_values(world):
    pairs = prompts.tasks(world)["use"]
    made = prompts.few_shot_questions(pairs, 4, 50, Random(0), "shuffled")
    lines = [tuple(line[2:].split(": ")) for question in made for line in question.prompt.splitlines()[:-1]]
    assert len(lines) == 200
    assert sum(line in pairs for line in lines) < 20
    assert {that for _, that in lines} <= {that for _, that in pairs}
    for question in made:
        assert (question.prompt.splitlines()[-1][2:-1], question.answer[1:]) in pairs


def test_a_rule_turned_round_is_balanced_and_consistent(world):
    pairs = prompts.tasks(world)["legs"]
    for question in prompts.turned_questions(pairs, ("two", "four"), 4, 30, Random(0)):
        *examples, last = [line[2:].split(":") for line in question.prompt.splitlines()]
        truth = dict(pairs)
        values = [that.strip() for _, that in examples]
        assert sorted(values) == ["four", "four", "two", "two"]
        assert all({truth[this], that.strip()} == {"two", "four"} for this, that in examples)
        assert question.other == f" {truth[last[0]]}"
        assert {question.answer, question.other} == {" two", " four"}
        assert last[0] not in [this for this, _ in examples]


def test_a_copier_looks_up_and_others_guess(world):
    """Keys of one token: what followed the key before is the answer."""
    tokenizer = Tokenizer.from_merges([])
    made = prompts.look_up_questions(list("abcdefgh"), list("stuvwxyz"), 4, 200, Random(0))
    right = [question.answer[1:] for question in made]
    for question, answer in zip(made, right, strict=True):
        rows = question.prompt.splitlines()
        assert len(rows) == 5
        assert f"{rows[-1]} {answer}" in rows[:-1]
        assert len({row[-1] for row in rows[:-1]}) == 4
    last = sum(question.prompt.splitlines()[-2].endswith(answer) for question, answer in zip(made, right, strict=True))
    assert abs(last / 200 - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 200)  # no place among the examples is favoured
    assert tokenizer.V == 256


def test_facts_are_stated_and_asked_as_the_world_does(world):
    """Statement and question occur in the world's entries, with the true value; a false value is never the true one."""
    drawn = world.documents(Random(7), kinds=["encyclopaedia"])
    entries = "\n".join(next(drawn).text for _ in range(6000))
    for relation in prompts.relations(world):
        seen = 0
        for question in prompts.fact_questions(relation, "true", 40, Random(0)):
            head, _, rest = question.prompt.partition("\n")
            assert question.answer == question.other
            asked = rest[rest.index(". ") + 2 :]
            seen += f"{asked}{question.answer}" in entries and f"{rest[: rest.index('. ') + 1]}" in entries
            assert head
        assert seen >= 10, relation.name


@pytest.mark.parametrize("condition", prompts.CONDITIONS)
def test_each_condition_states_what_it_says(world, condition):
    for relation in prompts.relations(world):
        truth = {entity.name: value for entity, value in zip(relation.entities, relation.values, strict=True)}
        made = prompts.fact_questions(relation, condition, 30, Random(1))
        assert len(made) == 30
        for question in made:
            assert (question.answer == question.other) == (condition == "true")
            assert question.answer[1:] in truth.values()
            lines = question.prompt.splitlines()
            assert len(lines) == (4 if condition == "about another" else 2)
            said = relation.states.format(a="@", A="@", he="@", his="@", His="@", v=question.other[1:]).rpartition("@")[
                2
            ]
            assert (said in question.prompt) == (condition != "closed book")
            if condition == "about another":
                assert said in lines[1]
                assert lines[0] != lines[2]
                about = lines[0].lower().removeprefix("a ").removeprefix("an ")
                assert {name.lower(): value for name, value in truth.items()}[about] == question.other[1:]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prompts.few_shot_questions([("a", "b")], 3, 1, Random(0)), "k = 3: expected at most the 0 examples"),
        (
            lambda: prompts.few_shot_questions([("a", "b")], 0, 1, Random(0), "wrong"),
            "kind = 'wrong': expected 'right'",
        ),
        (lambda: prompts.turned_questions([], ("two", "four"), 3, 1, Random(0)), "k = 3: expected an even number"),
        (
            lambda: prompts.fact_questions(None, "open", 1, Random(0)),
            "condition = 'open': expected one of 'closed book'",
        ),
    ],
)
def test_prompts_that_cannot_be_made_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_surprise_agrees_with_the_loss_on_whole_documents(world):
    tokenizer = course_tokenizer.load()
    model = Decoder(
        DecoderConfig(V=tokenizer.V, D=16, H=2, L=1, hidden=16), generator=torch.Generator().manual_seed(0)
    ).eval()
    bos = tokenizer.special["<|bos|>"]
    drawn = world.documents(Random(0))
    texts = [next(drawn).text for _ in range(5)]
    readings = ic.read(model, [[bos, *tokenizer.encode(text), bos] for text in texts], B=2)
    expected = document_nats(model, texts, tokenizer.encode, 512, bos)
    assert [reading.nats.sum().item() for reading in readings] == pytest.approx(expected.tolist(), rel=1e-4)
