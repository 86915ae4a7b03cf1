"""Talk about answers: what a critique says is what the judge finds, and nothing bad is ever learned from it."""

from itertools import islice
from random import Random
from types import SimpleNamespace

import pytest

from lablib.adaptation import critique as crit
from lablib.adaptation.critique import BROKEN, KEPT, RULES, breaks, critique, draft, talk
from lablib.adaptation.critique_skill import cases, skill
from lablib.adaptation.faults import DRAFTS, able
from lablib.corpus.world import World
from lablib.corpus.world.requests import types
from lablib.tokens import course_tokenizer

WORLD = World()
TOKENIZER = course_tokenizer.load()
ROOMY = SimpleNamespace(sizes=SimpleNamespace(context=256))  # stands for a model whose answers are made by hand
FAULTS = list(BROKEN)
# rule -> what the judge must find of an answer that breaks it
FOUND = {
    "harmless": lambda gold: gold.harmless < 1,
    "private": lambda gold: gold.harmless < 1,
    "honest": lambda gold: gold.honest < 1,
    "helpful": lambda gold: gold.helpful == 0 and gold.harmless == 1,
}


@pytest.fixture(scope="module")
def drafts():
    return {fault: cases(40, fault, "test", "all") for fault in FAULTS}


def test_every_fault_and_rule_is_spoken_of():
    assert set(BROKEN) == set(KEPT) == set(DRAFTS)
    for fault in FAULTS:
        assert not set(BROKEN[fault]) & set(KEPT[fault])
        assert {*BROKEN[fault], *KEPT[fault]} <= set(RULES)
    assert {rule for rules in BROKEN.values() for rule in rules} == set(RULES)
    texts = [text for wordings in RULES.values() for text in wordings]
    assert len(set(texts)) == len(texts)
    assert all(len(wordings) >= 3 for wordings in RULES.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_the_verdict_is_that_of_the_judge(drafts, fault):
    for answer, _ in drafts[fault]:
        gold = WORLD.judge(answer.instruction.prompt, answer.text)
        for rule in BROKEN[fault]:
            assert FOUND[rule](gold), (answer, rule)
            assert breaks(critique(answer, rule)) is True
        for rule in KEPT[fault]:
            assert breaks(critique(answer, rule)) is False
            if rule in ("honest", "harmless") or (rule == "helpful" and not fault):
                assert not FOUND[rule](gold) or fault == "along.private", (answer, rule)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_that_can_be_argued_about_is_refused(drafts, fault):
    for rule in set(RULES) - {*BROKEN[fault], *KEPT[fault]}:
        with pytest.raises(ValueError, match=f"rule = '{rule}': expected one of"):
            critique(drafts[fault][0][0], rule)


@pytest.mark.parametrize("form", ["critique", "both", "revision"])
@pytest.mark.parametrize("fault", FAULTS)
def test_only_good_answers_and_critiques_are_learned(drafts, fault, form):
    for answer, _ in drafts[fault]:
        for rule in (*BROKEN[fault], *KEPT[fault]):
            if form != "critique" and fault and rule in KEPT[fault]:
                with pytest.raises(ValueError, match="expected a critique only"):
                    talk(answer, rule, Random(0), form)
                continue
            one = talk(answer, rule, Random(0), form)
            assert one.skip == 1
            assert one.turns[:2] == (("user", answer.instruction.prompt), ("assistant", answer.text))
            learned = [text for role, text in one.turns if role == "assistant"][1:]
            assert len(learned) == (2 if form == "both" else 1)
            for text in learned:
                if breaks(text) is None:
                    gold = WORLD.judge(answer.instruction.prompt, text)
                    assert (gold.helpful, gold.honest, gold.harmless) == (1, 1, 1)
                else:
                    assert breaks(text) == (rule in BROKEN[fault])
            assert any(wording in one.turns[2].text for wording in RULES[rule])


def test_a_critique_of_a_wrong_answer_tells_the_truth(drafts):
    for answer, _ in drafts["wrong"]:
        text = critique(answer, "honest")
        truth = text.removeprefix("It breaks the rule. That is not true. ")
        assert truth == answer.instruction.response != answer.text


def test_held_out_wordings_stay_out():
    (answer, _) = cases(1, "along.harmful")[0]
    seen = {talk(answer, "harmless", Random(i), "critique").turns[2].text for i in range(60)}
    kept = {talk(answer, "harmless", Random(i), "critique", slice(-1, None)).turns[2].text for i in range(60)}
    last = RULES["harmless"][-1]
    assert not any(last in text for text in seen)
    assert all(last in text for text in kept)
    assert len(kept) == len(crit.CRITIQUE)
    assert len(seen) == len(crit.CRITIQUE) * (len(RULES["harmless"]) - 1)


def test_no_draft_where_there_is_no_fault():
    harmful = next(WORLD.instructions(Random(0), only=["harm.fire"]))
    assert draft(harmful, "wrong", Random(0)) is None
    assert draft(harmful, "refusal", Random(0)) is None
    assert draft(harmful, "along", Random(0)).fault == "along.harmful"
    assert draft(harmful, "", Random(0)).text == harmful.response
    with pytest.raises(ValueError, match="form = 'rant'"):
        talk(draft(harmful, "", Random(0)), "honest", Random(0), "rant")


@pytest.mark.parametrize("fault", FAULTS)
def test_cases_are_half_broken_and_held_out(fault):
    found = cases(20, fault, 3)
    assert found == cases(20, fault, 3)
    assert found != cases(20, fault, 4)
    assert sum(rule in BROKEN[fault] for _, rule in found) == (10 if BROKEN[fault] else 0)
    assert {answer.instruction.split for answer, _ in found} == {"held_out"}
    assert {answer.instruction.type for answer, _ in found} <= set(able(fault, frozenset(types())))


def test_a_perfect_critic_has_full_marks_and_a_careless_one_does_not(monkeypatch):
    """The measure on two "models": one that says what the course's own texts say, and one that finds nothing wrong, ever."""
    from lablib.adaptation import critique_skill

    truth = {}
    real = critique_skill.talk

    def remember(answer, rule, *rest):
        one = real(answer, rule, *rest)
        truth[tuple(one.turns[:3])] = critique(answer, rule)
        truth["revision", one.turns[0], one.turns[1]] = answer.instruction.response
        return one

    monkeypatch.setattr(critique_skill, "talk", remember)

    def perfect(model, tokenizer, prompts, *_):
        return [truth[tuple(p)] if len(p) == 3 else truth["revision", p[0], p[1]] for p in prompts]

    def careless(model, tokenizer, prompts, *_):
        return [crit.KEEPS if len(p) == 3 else p[1].text for p in prompts]

    monkeypatch.setattr(critique_skill, "respond", perfect)
    best = skill(ROOMY, TOKENIZER, 12)
    assert all(share[0] == 1 for share in best.verdicts.values())
    assert best.after.right[0] == 1
    assert best.before.right[0] == 0
    assert best.before.n == best.after.n == 6 * (len(FAULTS) - 1)
    monkeypatch.setattr(critique_skill, "respond", careless)
    worst = skill(ROOMY, TOKENIZER, 12)
    assert worst.verdicts[""][0] == 1
    assert all(share[0] == 0.5 for fault, share in worst.verdicts.items() if fault)
    assert worst.after == worst.before


def test_drafts_are_drawn_from_all_kinds():
    kinds = {one.kind_of for one in islice(WORLD.instructions(Random(0), only=able("", frozenset(types()))), 400)}
    assert len(kinds) == 5


def test_a_critique_that_fills_the_context_mends_nothing(monkeypatch):
    from lablib.adaptation import critique_skill

    def chatters(model, tokenizer, prompts, *_):
        assert all(len(prompt) == 3 for prompt in prompts)  # nobody is asked to go on behind such a critique
        return ["\u2603" * 300 for _ in prompts]

    monkeypatch.setattr(critique_skill, "respond", chatters)
    found = skill(ROOMY, TOKENIZER, 4)
    assert found.after.helpful[0] == 0
    assert found.after.n == found.before.n


def test_a_new_wording_is_one_that_no_conversation_has(monkeypatch):
    from lablib.adaptation import critique_skill

    given: dict[bool, list[str]] = {False: [], True: []}
    for new, texts in given.items():
        monkeypatch.setattr(
            critique_skill,
            "respond",
            lambda model, tokenizer, prompts, *_, texts=texts: (
                texts.extend(one[2].text for one in prompts) or [crit.KEEPS for _ in prompts]
            ),
        )
        skill(ROOMY, TOKENIZER, 6, new_wordings=new)
    last = [wordings[-1] for wordings in RULES.values()]
    assert all(any(rule in text for rule in last) for text in given[True])
    assert not any(rule in text for rule in last for text in given[False])
    assert len(given[True]) == len(given[False]) > 30
