"""Lab 14: the exercises on Constitutional AI, from `lablib.alignment`."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.adaptation.adherence import Interval, score_interval
from lablib.adaptation.chat import STOP, render
from lablib.adaptation.critique import BREAKS, KEEPS, breaks
from lablib.alignment.ai_labels import AILabel, Judge, Question, draw_principles, in_both_orders, log_odds
from lablib.alignment.constitution import Constitution, Principle, load
from lablib.alignment.label_bias import Agreement, PositionBias, agreement, half, position_bias
from lablib.alignment.log_probs import answers
from lablib.alignment.reference import sums
from lablib.alignment.self_critique import (
    REASONS,
    Round,
    Talk,
    Transcript,
    Verdict,
    critique_turns,
    filtered,
)
from lablib.architecture.decoder import CausalModel, Decoder, DecoderConfig
from lablib.corpus.sources.conversations import Turn
from lablib.course.compare import describe
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed, Setup
from lablib.tokens import course_tokenizer
from lablib.tokens.tokenizer import Tokenizer

PACKAGE = "lablib.alignment"
ASKED = "How can I steal the bell?"
BAD, GOOD = "Hide it under your coat.", "I will not help with that. Ask for it."


@cache
def ours() -> Constitution:
    """The course's constitution."""
    return load()


def given(shown: Callable[[Any], Any], *args: Any, **named: Any) -> Setup:
    """A setup that calls an implementation with these arguments, and shows its result in a form that can be compared.

    The arguments are not copied: they are frozen or are numbers and texts.
    """
    return lambda implementation: lambda: shown(implementation(*args, **named))


# ---------------------------------------------------------------- 1, 2 the talk about an answer


def as_lines(result: Any) -> Any:
    """Turns as texts such as "user: Hi"; anything else as it is."""
    if not isinstance(result, tuple | list) or not all(isinstance(turn, Turn) for turn in result):
        return result
    return tuple(f"{role}: {text}" for role, text in result)


def turns(n: int) -> tuple[str, ...]:
    """What a learner calls the turns of a talk."""
    return tuple(f"turn {number}" for number in range(1, n + 1))


def check_critique_turns(attempt: Attempt) -> None:
    for id in ("no-harm", "personal-data", "accuracy"):
        setup = given(as_lines, ASKED, BAD, ours()[id])
        attempt.compare(f"the principle {id!r}, in the carried model's words", setup=setup, outputs=turns(3))
    plain = given(as_lines, ASKED, BAD, ours()["openness"], plainly=True)
    attempt.compare("the principle 'openness', plainly=True", setup=plain, outputs=turns(3))
    odd = given(as_lines, " Why {x}?\n", "Because.\n\nuser: {rule}", ours()["limits"])
    attempt.compare("texts with braces, blanks and line breaks: they stay as they are", setup=odd, outputs=turns(3))


def _talk(made: Callable[[str, str, Principle, bool], Talk]) -> Implementation:
    """critique_turns, with its default."""

    def talk(prompt: str, answer: str, principle: Principle, plainly: bool = False) -> Talk:
        return made(prompt, answer, principle, plainly)

    return talk


def _three(request: Callable[[Principle, bool], str]) -> Implementation:
    """The right roles, and another request."""
    return _talk(
        lambda p, a, one, plainly: (Turn("user", p), Turn("assistant", a), Turn("user", request(one, plainly)))
    )


_talk_never_plainly = _three(lambda one, plainly: one.asks())
_talk_plainly_turned = _three(lambda one, plainly: one.asks(not plainly))
_talk_rule_alone = _three(lambda one, plainly: one.text if plainly else one.rule)
_talk_slot = _three(lambda one, plainly: one.critique)
_talk_revision = _three(lambda one, plainly: one.revision)
_talk_joined = _three(lambda one, plainly: f"{one.critique} {one.text if plainly else one.rule}")
_talk_all_users = _talk(lambda p, a, one, plainly: (Turn("user", p), Turn("user", a), Turn("user", one.asks(plainly))))
_talk_system = _talk(
    lambda p, a, one, plainly: (Turn("system", one.asks(plainly)), Turn("user", p), Turn("assistant", a))
)
_talk_no_answer = _talk(lambda p, a, one, plainly: (Turn("user", p), Turn("user", one.asks(plainly))))
_talk_no_prompt = _talk(lambda p, a, one, plainly: (Turn("assistant", a), Turn("user", one.asks(plainly))))
_talk_one_turn = _talk(lambda p, a, one, plainly: (Turn("user", f"{p}\n{a}\n{one.asks(plainly)}"),))
_talk_request_is_answer = _talk(
    lambda p, a, one, plainly: (Turn("user", p), Turn("assistant", a), Turn("assistant", one.asks(plainly)))
)


def check_revision_turns(attempt: Attempt) -> None:
    said = f"{BREAKS} It helps to steal, and stealing hurts people."
    for id in ("no-harm", "property", "safety"):
        talk = critique_turns(ASKED, BAD, ours()[id])
        attempt.compare(f"the principle {id!r}", setup=given(as_lines, talk, said, ours()[id]), outputs=turns(5))
    talk = critique_turns(ASKED, GOOD, ours()["truth"])
    attempt.compare(
        "a critique that found nothing", setup=given(as_lines, talk, KEEPS, ours()["truth"]), outputs=turns(5)
    )
    attempt.compare("an empty critique", setup=given(as_lines, talk, "", ours()["limits"]), outputs=turns(5))


Anew = Callable[[Talk, str, Principle], Talk]


def _anew(made: Anew) -> Implementation:
    return made


_anew_no_critique = _anew(lambda talk, said, one: (*talk, Turn("user", one.revision)))
_anew_no_request = _anew(lambda talk, said, one: (*talk, Turn("assistant", said)))
_anew_no_talk = _anew(lambda talk, said, one: (Turn("assistant", said), Turn("user", one.revision)))
_anew_first_only = _anew(lambda talk, said, one: (*talk[:2], Turn("assistant", said), Turn("user", one.revision)))
_anew_without_answer = _anew(
    lambda talk, said, one: (talk[0], talk[2], Turn("assistant", said), Turn("user", one.revision))
)
_anew_critique_again = _anew(lambda talk, said, one: (*talk, Turn("assistant", said), Turn("user", one.asks())))
_anew_users = _anew(lambda talk, said, one: (*talk, Turn("user", said), Turn("user", one.revision)))
_anew_one_turn = _anew(lambda talk, said, one: (*talk, Turn("user", f"{said} {one.revision}")))
_anew_order = _anew(lambda talk, said, one: (*talk, Turn("user", one.revision), Turn("assistant", said)))
_anew_rule_again = _anew(
    lambda talk, said, one: (*talk, Turn("assistant", said), Turn("user", f"{one.revision} {one.rule}"))
)


# ---------------------------------------------------------------- 3 which principle?

NOT_IN_FORCE = "A principle was drawn that is switched off: `constitution.on` holds those in force, `.principles` all."
TWICE = "A principle was drawn twice for one answer: take out what was drawn, or use `generator.sample`."
ALWAYS_FIRST = "Some are drawn more often than others: each of those in force has the same chance, in each place."
NEIGHBOURS = "Which comes second hangs on which came first: draw each place anew from what is left."
OTHER_CHANCE = (
    "The chance came from somewhere else than `generator`: with the same state it must give the same principles."
)
FIXED_SEED = "A generator of your own was made inside, so each call draws the same: use the one that is given."
DRAWN_NOTHING = "All of them came back: draw `n`."
FORGIVING = "An n that is out of range was taken: raise a ValueError that names n."
CHANGED_STATE = "The module's own generator was used (`random.random()`, `random.seed`): use the one that is given."
COUNTS = 600


def as_ids(result: Any) -> Any:
    """Principles as their ids; anything else as it is."""
    if not isinstance(result, list) or not all(isinstance(one, Principle) for one in result):
        return result
    return [one.id for one in result]


def as_principles(result: Any) -> Any:
    """Principles in words; anything else as it is."""
    found = as_ids(result)
    return [f"the principle {id}" for id in found] if found is not result else result


def check_draw_principles(attempt: Attempt) -> None:
    some = ours().switched(off=["no-harm", "property", "dignity", "limits"])
    alone = Constitution((ours()["truth"],))
    attempt.compare("a constitution of one principle", setup=given(as_principles, alone, 1, Random(0)))
    ids = {one.id for one in some.on}
    draws = lambda draw, n, seed=0: [as_ids(draw(some, n, Random(seed * 1000 + i))) for i in range(COUNTS)]  # noqa: E731
    here = "Tried with 4 of the 14 principles switched off"

    def holds(test: Callable[[list[list[str]]], bool], n: int) -> Callable[[Implementation], bool]:
        return lambda draw: test(draws(draw, n))

    attempt.require(
        holds(lambda found: all(len(one) == 3 for one in found), 3), [f"{here}, n = 3.", "Not 3 came."], DRAWN_NOTHING
    )
    attempt.require(
        holds(lambda found: all(set(one) <= ids for one in found), 2),
        [f"{here}, n = 2.", "One of them came."],
        NOT_IN_FORCE,
    )
    attempt.require(
        holds(lambda found: all(len(set(one)) == 6 for one in found), 6), [f"{here}, n = 6.", "One came twice."], TWICE
    )

    def follows(draw: Implementation) -> bool:
        state = Random(7)
        first = [as_ids(draw(some, 2, state)) for _ in range(30)]
        state = Random(7)
        return first == [as_ids(draw(some, 2, state)) for _ in range(30)]

    attempt.require(follows, [f"{here}, twice with the same state of the generator.", "Others came."], OTHER_CHANCE)

    def moves(draw: Implementation) -> bool:
        state = Random(7)
        return len({tuple(as_ids(draw(some, 2, state))) for _ in range(60)}) > 5

    attempt.require(moves, [f"{here}, 60 times.", "The same came every time."], FIXED_SEED)

    def even(draw: Implementation) -> bool:
        for place in (0, 2):
            counts = Counter(one[place] for one in draws(draw, 3, 1))
            share = COUNTS / len(ids)
            if max(abs(counts[id] - share) for id in ids) > 5 * math.sqrt(share):  # five standard deviations
                return False
        return True

    attempt.require(
        even, [f"{here}, {COUNTS} times n = 3.", "Some came too often, in one of the places."], ALWAYS_FIRST
    )

    attempt.require(
        holds(lambda found: len(set(map(frozenset, found))) >= 40, 2),
        [f"{here}, {COUNTS} times n = 2.", "Of the 45 pairs that there are, fewer than 40 came."],
        NEIGHBOURS,
    )

    def refuses(draw: Implementation) -> bool:
        for n in (0, 11):
            try:
                draw(some, n, Random(0))
            except ValueError as error:
                if "n" not in str(error).replace("=", " ").split():
                    return False
            else:
                return False
        return True

    attempt.require(
        refuses, [f"{here}, n = 0 and n = 11.", "No ValueError came whose message says what n was."], FORGIVING
    )


Draw = Callable[[Constitution, int, Random], list[Principle]]


def _draw(made: Draw) -> Implementation:
    """With the check of n that the reference has."""

    def draw(constitution: Constitution, n: int, generator: Random) -> list[Principle]:
        if not 1 <= n <= len(constitution.on):
            raise ValueError(f"n = {n}")
        return made(constitution, n, generator)

    return draw


def _weighted(constitution: Constitution, n: int, generator: Random) -> list[Principle]:
    """The sum of two throws: those in the middle come more often."""
    left, drawn = list(constitution.on), []
    for _ in range(n):
        drawn.append(left.pop(int((generator.random() + generator.random()) / 2 * len(left))))
    return drawn


_HERE = Random(1)
_draw_all = _draw(lambda ours, n, chance: draw_principles(ours, len(ours.on), chance))
_draw_off_too = _draw(lambda ours, n, chance: chance.sample(list(ours.principles), n))
_draw_with_repetition = _draw(lambda ours, n, chance: [chance.choice(ours.on) for _ in range(n)])
_draw_other_chance = _draw(lambda ours, n, chance: draw_principles(ours, n, _HERE))
_draw_fixed_seed = _draw(lambda ours, n, chance: Random(0).sample(list(ours.on), n))
_draw_unchecked = lambda ours, n, chance: chance.sample(list(ours.on), max(0, min(n, len(ours.on))))  # noqa: E731


# ---------------------------------------------------------------- 4 what is kept


def sorted_out(result: Any) -> Any:
    """Prompts of the kept transcripts, and how many were dropped for which reason; anything else as it is."""
    if not isinstance(result, tuple) or len(result) != 2 or not all(isinstance(x, list | Counter) for x in result):
        return result
    kept, dropped = result
    names = [one.prompt if isinstance(one, Transcript) else one for one in kept]
    return ", ".join(map(str, names)), ", ".join(f"{reason}: {n}" for reason, n in sorted(dropped.items()))


def _mended(name: str, last: str, check: str, said: str = BREAKS) -> Transcript:
    """Revised once. The critique that led to the revision found it broken."""
    return Transcript(name, BAD, (Round(ours()["no-harm"], said, True, last, True),), check)


FIT = _mended("mended", GOOD, KEEPS)
FIRST = Transcript("never revised", GOOD, ())
UNFIT = {
    "a last answer that is empty": _mended("unfit", " ", KEEPS),
    "a last answer that was cut off": _mended("unfit", "I will not help with", KEEPS),
    "a last answer that is a critique": _mended("unfit", f"{KEEPS} It is kind.", KEEPS),
    "a last answer that the model itself finds broken": _mended("unfit", BAD, f"{BREAKS} It is unkind."),
    "a last answer of which the model says nothing that can be read": _mended("unfit", GOOD, "Marrow."),
    "an empty answer, whose check is empty, too": _mended("unfit", "", ""),
    "a good answer that was revised, and whose check is empty": _mended("unfit", GOOD, ""),
    "one that was revised in its first round only, and is broken still": Transcript(
        "unfit", BAD, (*FIT.rounds, Round(ours()["truth"], KEEPS, False, GOOD, False)), f"{BREAKS} It is unkind."
    ),
    "an answer that is cut off and broken": _mended("unfit", "Hide the", f"{BREAKS} It is unkind."),
}


def check_filtered(attempt: Attempt) -> None:
    names = ("the prompts of the kept", "the counts of the dropped")
    attempt.compare("one that was mended", setup=given(sorted_out, [FIT]), outputs=names)
    attempt.compare("one that was never revised", setup=given(sorted_out, [FIT, FIRST]), outputs=names)
    kept = Transcript(
        "revised, then kept", BAD, (*FIT.rounds, Round(ours()["truth"], KEEPS, False, GOOD, False)), KEEPS
    )
    attempt.compare("one whose last round changed nothing", setup=given(sorted_out, [kept]), outputs=names)
    for words, one in UNFIT.items():
        attempt.compare(words, setup=given(sorted_out, [FIRST, one, FIT]), outputs=names)
    attempt.compare("all of these", setup=given(sorted_out, [FIT, *UNFIT.values(), FIRST]), outputs=names)
    attempt.compare("no transcripts", setup=given(sorted_out, []), outputs=names)
    other = _mended("another model's", GOOD, "Yes, this is fine.")
    says_yes: Verdict = lambda said: not said.startswith("Yes")  # noqa: E731
    attempt.compare("a verdict for another model's words", setup=given(sorted_out, [other], says_yes), outputs=names)


Why = Callable[[Transcript, Verdict], str]


def _first_reason(one: Transcript) -> str:
    return next((reason for reason, holds in REASONS.items() if holds(one)), "")


def _right_why(one: Transcript, verdict: Verdict) -> str:
    reason = _first_reason(one)
    if not reason and one.revised and verdict(one.check) is not False:
        return "still broken" if verdict(one.check) else "no verdict"
    return reason


def _filter(why: Why) -> Implementation:
    """The filter with another reason to drop."""

    def made(transcripts: Sequence[Transcript], verdict: Verdict = breaks) -> tuple[list[Transcript], Counter[str]]:
        whys = [why(one, verdict) for one in transcripts]
        return [one for one, w in zip(transcripts, whys, strict=True) if not w], Counter(w for w in whys if w)

    return made


def _why_needs_verdict(one: Transcript, verdict: Verdict) -> str:
    if (reason := _first_reason(one)) or verdict(one.check) is False:
        return reason
    return "still broken" if verdict(one.check) else "no verdict"


def _why_forgiving(one: Transcript, verdict: Verdict) -> str:
    reason = _first_reason(one)
    return "still broken" if not reason and one.revised and verdict(one.check) else reason


def _why_if_checked(one: Transcript, verdict: Verdict) -> str:
    return _right_why(one, verdict) if one.check else _first_reason(one)


def _why_old_verdict(one: Transcript, verdict: Verdict) -> str:
    reason = _first_reason(one)
    if not reason and one.revised and one.rounds[-1].broken is not False:
        return "still broken" if one.rounds[-1].broken else "no verdict"
    return reason


def _why_names_exchanged(one: Transcript, verdict: Verdict) -> str:
    swap = {"still broken": "no verdict", "no verdict": "still broken"}
    reason = _right_why(one, verdict)
    return swap.get(reason, reason)


def _why_verdict_first(one: Transcript, verdict: Verdict) -> str:
    if one.revised and verdict(one.check) is not False:
        return "still broken" if verdict(one.check) else "no verdict"
    return _first_reason(one)


def _why_first_answer(one: Transcript, verdict: Verdict) -> str:
    return _right_why(Transcript(one.prompt, one.first, one.rounds, one.check), verdict) if not one.rounds else _right_why(
        Transcript(one.prompt, one.first, (Round(one.rounds[0].principle, "", None, one.first, one.revised),), one.check), verdict
    )  # fmt: skip


def _why_unrevised(one: Transcript, verdict: Verdict) -> str:
    return _right_why(one, verdict) or ("" if one.revised else "not revised")


def _filter_all_reasons(
    transcripts: Sequence[Transcript], verdict: Verdict = breaks
) -> tuple[list[Transcript], Counter[str]]:
    kept, _ = filtered(transcripts, verdict)
    dropped: Counter[str] = Counter()
    for one in transcripts:
        if one.last.strip():
            dropped.update(reason for reason, holds in REASONS.items() if holds(one))
        else:
            dropped["empty"] += 1
        if one.revised and verdict(one.check) is not False:
            dropped["still broken" if verdict(one.check) else "no verdict"] += 1
    return kept, dropped


def _filter_exchanged(
    transcripts: Sequence[Transcript], verdict: Verdict = breaks
) -> tuple[list[Transcript], Counter[str]]:
    kept, dropped = filtered(transcripts, verdict)
    return [one for one in transcripts if one not in kept], dropped


def _filter_sum(transcripts: Sequence[Transcript], verdict: Verdict = breaks) -> tuple[list[Transcript], Counter[str]]:
    kept, dropped = filtered(transcripts, verdict)
    return kept, Counter({"dropped": dropped.total()} if dropped else {})


_filter_needs_verdict = _filter(_why_needs_verdict)
_filter_if_checked = _filter(_why_if_checked)
_filter_forgiving = _filter(_why_forgiving)
_filter_no_check = _filter(lambda one, verdict: _first_reason(one))
_filter_old_verdict = _filter(_why_old_verdict)
_filter_names_exchanged = _filter(_why_names_exchanged)
_filter_verdict_first = _filter(_why_verdict_first)
_filter_first_answer = _filter(_why_first_answer)
_filter_unrevised = _filter(_why_unrevised)
_filter_own_verdict = _filter(lambda one, verdict: _right_why(one, breaks))


# ---------------------------------------------------------------- 5 A or B, in nats


@cache
def little() -> tuple[Decoder, Tokenizer]:
    """A small model with strong opinions, in float64, and the course's tokenizer."""
    tokenizer = course_tokenizer.load()
    config = DecoderConfig(V=tokenizer.V, D=16, H=2, L=1, hidden=24, context=96)
    model = Decoder(config, generator=torch.Generator().manual_seed(0)).double().eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.mul_(10)
    return model, tokenizer


def _of_length(n: int) -> Talk:
    """A conversation of just so many tokens, the reply's marker included."""
    tokenizer = little()[1]
    text = ""
    while len(render((Turn("user", text),), tokenizer, reply=True)) < n:
        text += " the"
    found = (Turn("user", text),)
    assert len(render(found, tokenizer, reply=True)) == n
    return found


def check_log_odds(attempt: Attempt) -> None:  # the result is (N,): it has no mT
    model, tokenizer = little()
    asks = tuple(
        (Turn("user", f"{text}\nA: Yes.\nB: No.\nWhich is better, A or B?"),) for text in ("Hi", "Why?", "Where?")
    )
    talks = tuple(critique_turns(ASKED, answer, ours()["no-harm"]) for answer in (BAD, GOOD))

    def ask(some: tuple[Talk, ...], yes: str, no: str) -> Setup:
        return lambda implementation: lambda: implementation(model, tokenizer, some, yes, no)

    attempt.compare('three questions, "A." against "B."', setup=ask(asks, "A.", "B."))
    attempt.compare("two talks about an answer, a sentence against a sentence", setup=ask(talks, KEEPS, BREAKS))
    attempt.compare("a long yes against a short no", setup=ask(talks, "It keeps to the rule, as far as I see.", "No."))
    context = model.config.context
    longest = context + 1 - max(len(tokenizer.encode(text)) for text in (KEEPS, BREAKS))
    attempt.compare("a conversation that just fits", setup=ask((_of_length(longest), *talks), KEEPS, BREAKS))
    attempt.compare(
        "one that is too long by a token: 0 there",
        setup=ask((talks[0], _of_length(longest + 1), talks[1]), KEEPS, BREAKS),
    )
    behind = (_of_length(context + 2 - len(tokenizer.encode(BREAKS))),)
    attempt.compare("one that is too long by a token for the longer *no*", setup=ask(behind, "No.", BREAKS))
    attempt.compare("only such that are far too long", setup=ask((_of_length(context + 30),), KEEPS, BREAKS))


Sums = Callable[[CausalModel, Tokenizer, list[Talk], str, str], Tensor]


def _odds(of: Sums) -> Implementation:
    """log_odds of the conversations that fit, by other means."""

    def made(model: CausalModel, tokenizer: Tokenizer, talks: Sequence[Talk], yes: str, no: str) -> Tensor:
        room = model.sizes.context + 1 - max(len(tokenizer.encode(text)) for text in (yes, no))
        fit = [i for i, talk in enumerate(talks) if len(render(talk, tokenizer, reply=True)) <= room]
        found = torch.zeros(len(talks))
        if fit:
            found[fit] = of(model, tokenizer, [talks[i] for i in fit], yes, no)
        return found

    return made


def _of_text(
    model: CausalModel, tokenizer: Tokenizer, talks: list[Talk], said: Sequence[int], reply: bool = True
) -> Tensor:
    """log P of some tokens behind each conversation."""
    asked = [render(talk, tokenizer, reply=reply) for talk in talks]
    return sums(model, answers(asked, [said] * len(asked), pad=0))


def _pair(change: Callable[[Tokenizer, str], list[int]], reply: bool = True) -> Sums:
    """The log-odds of two texts whose tokens are made by `change`."""

    def of(model: CausalModel, tokenizer: Tokenizer, talks: list[Talk], yes: str, no: str) -> Tensor:
        one, other = (_of_text(model, tokenizer, talks, change(tokenizer, text), reply) for text in (yes, no))
        return one - other

    return of


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text)


def _two(join: Callable[[Tensor, Tensor, int, int], Tensor]) -> Sums:
    """Another join of log P(yes) and log P(no), and of their numbers of tokens."""

    def of(model: CausalModel, tokenizer: Tokenizer, talks: list[Talk], yes: str, no: str) -> Tensor:
        ids = [tokenizer.encode(text) for text in (yes, no)]
        one, other = (_of_text(model, tokenizer, talks, some) for some in ids)
        return join(one, other, len(ids[0]), len(ids[1]))

    return of


_odds_turned = _odds(_two(lambda yes, no, a, b: no - yes))
_odds_yes_only = _odds(_two(lambda yes, no, a, b: yes))
_odds_mean = _odds(_two(lambda yes, no, a, b: yes / a - no / b))
_odds_sigmoid = _odds(_two(lambda yes, no, a, b: (yes - no).sigmoid()))
_odds_log_probability = _odds(_two(lambda yes, no, a, b: F.logsigmoid(yes - no)))
_odds_bits = _odds(_two(lambda yes, no, a, b: (yes - no) / math.log(2)))
_odds_quotient = _odds(_two(lambda yes, no, a, b: yes / no))
_odds_choice = _odds(_two(lambda yes, no, a, b: (yes > no).float() * 2 - 1))
_odds_first_token = _odds(_pair(lambda tokenizer, text: tokenizer.encode(text)[:1]))
_odds_stop = _odds(_pair(lambda tokenizer, text: [*tokenizer.encode(text), tokenizer.special[STOP]]))
_odds_no_marker = _odds(_pair(_tokens, reply=False))
_odds_last_turn = _odds(lambda m, t, talks, yes, no: _pair(_tokens)(m, t, [talk[-1:] for talk in talks], yes, no))


def _odds_left_out(model: CausalModel, tokenizer: Tokenizer, talks: Sequence[Talk], yes: str, no: str) -> Tensor:
    room = model.sizes.context + 1 - max(len(tokenizer.encode(text)) for text in (yes, no))
    fit = [talk for talk in talks if len(render(talk, tokenizer, reply=True)) <= room]
    return log_odds(model, tokenizer, fit, yes, no)


def _odds_minus_infinity(model: CausalModel, tokenizer: Tokenizer, talks: Sequence[Talk], yes: str, no: str) -> Tensor:
    found = log_odds(model, tokenizer, talks, yes, no)
    return found.masked_fill(found == 0, -torch.inf)


def _odds_no_room(model: CausalModel, tokenizer: Tokenizer, talks: Sequence[Talk], yes: str, no: str) -> Tensor:
    lengths = torch.tensor([len(render(talk, tokenizer, reply=True)) for talk in talks])
    room = model.sizes.context - max(len(tokenizer.encode(text)) for text in (yes, no))
    return log_odds(model, tokenizer, talks, yes, no) * (lengths <= room)


def _odds_room_for_yes(model: CausalModel, tokenizer: Tokenizer, talks: Sequence[Talk], yes: str, no: str) -> Tensor:
    room = model.sizes.context + 1 - len(tokenizer.encode(yes))
    found = torch.zeros(len(talks))
    fit = [i for i, talk in enumerate(talks) if len(render(talk, tokenizer, reply=True)) <= room]
    if fit:
        found[fit] = _pair(_tokens)(model, tokenizer, [talks[i] for i in fit], yes, no)
    return found


# ---------------------------------------------------------------- 6 both orders


def _questions() -> tuple[Question, ...]:
    one, other = ours()["truth"], ours()["openness"]
    return (
        Question("Hi", "Hello.", "No.", one),
        Question("Why?", "Because.", "I will not say, since I do not know it.", other),
        Question("Hello.", "No.", "Hi", other),
        Question("Where?", "In Marrow.", "There.", one),
    )


def _opinion(q: Question) -> float:
    """What a made-up judge thinks of a question, liking for the first place included; no symmetry, no limits."""
    weigh = lambda text: sum(ord(letter) % 7 for letter in text) / 10  # noqa: E731
    return weigh(q.first) - 0.6 * weigh(q.second) + 0.3 * len(q.prompt) - 0.05 * len(q.principle.rule)


def biased(questions: Sequence[Question]) -> Tensor:
    """Log-odds of the judge with that opinion."""
    return torch.tensor([_opinion(q) for q in questions])


def check_in_both_orders(attempt: Attempt) -> None:  # the results are (N,), in float64: they have no mT
    names = ("read first", "read second")
    attempt.require(
        in_float64,
        [
            "Tried with a judge that gives float32.",
            "The result has the digits of float32 only: expected float64, twice.",
        ],
        FEW_DIGITS,
    )
    fixed: Judge = lambda questions: torch.full((len(questions),), 2.0)  # noqa: E731
    fair: Judge = lambda questions: torch.tensor([float(len(q.first) - len(q.second)) / 4 for q in questions])  # noqa: E731
    for case, judge in (
        ("a judge that looks at the answers and at the place", biased),
        ("a judge that always takes what it reads first", fixed),
        ("a judge that looks at the answers only", fair),
        ("a judge that is as sure as can be", lambda questions: 40 * biased(questions)),
    ):
        attempt.compare(case, setup=given(tuple_of_two, judge, _questions()), outputs=names, rtol=1e-6)
    attempt.compare(
        "a list of one question", setup=given(tuple_of_two, biased, [_questions()[1]]), outputs=names, rtol=1e-6
    )


FEW_DIGITS = "Near 0 and 1 float32 loses the digits: make the log-odds `.double()` before the sigmoid."


def in_float64(implementation: Implementation) -> bool:
    """Whether both probabilities have the digits, not only the dtype; what is wrong otherwise is told of elsewhere."""
    questions = _questions()
    result = implementation(biased, questions)
    if not isinstance(result, tuple) or len(result) != 2 or not all(isinstance(x, Tensor) for x in result):
        return True
    if any(x.dtype != torch.float64 for x in result):
        return False
    if any(x.layout != torch.strided or not torch.equal(x, x.float().double()) for x in result):
        return True
    pairs = list(zip(result, in_both_orders(biased, questions), strict=True))
    return not all(found.shape == x.shape and torch.allclose(found, x, rtol=1e-5) for found, x in pairs)


def tuple_of_two(result: Any) -> Any:
    """As it is: the two probabilities are compared one by one."""
    return result


def _turned(questions: Sequence[Question]) -> list[Question]:
    return [Question(one.prompt, one.second, one.first, one.principle) for one in questions]


def _orders(join: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Implementation:
    """From the log-odds of the questions and of the turned ones, float64."""

    def made(judge: Judge, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        return join(judge(questions).double(), judge(_turned(questions)).double())

    return made


_orders_not_turned_back = _orders(lambda there, back: (there.sigmoid(), back.sigmoid()))
_orders_log_odds = _orders(lambda there, back: (there, -back))
_orders_averaged = _orders(lambda there, back: (((there - back) / 2).sigmoid(),) * 2)
_orders_mean = _orders(lambda there, back: ((there.sigmoid() + (-back).sigmoid()) / 2,) * 2)
_orders_exchanged = _orders(lambda there, back: ((-back).sigmoid(), there.sigmoid()))
_orders_both_negative = _orders(lambda there, back: ((-there).sigmoid(), back.sigmoid()))
_orders_inside = _orders(lambda there, back: (there.sigmoid(), (1 - back).sigmoid()))
_orders_hard = _orders(lambda there, back: ((there > 0).double(), (back < 0).double()))
_orders_softmax = _orders(lambda there, back: (there.softmax(0), (-back).softmax(0)))


def _orders_asked_twice(judge: Judge, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    return judge(questions).double().sigmoid(), judge(questions).double().sigmoid()


def _orders_negated(judge: Judge, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    return judge(questions).double().sigmoid(), (-judge(questions)).double().sigmoid()


def _orders_reversed_list(judge: Judge, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    return judge(questions).double().sigmoid(), (-judge(list(questions)[::-1])).double().sigmoid()


# ---------------------------------------------------------------- 7 agreement with gold


def numbers(kind: type[Agreement | PositionBias], case: str) -> Callable[[Any], Any]:
    """Takes such a result apart: its fields, of an interval the mean and both ends. Of another kind it is not passed."""

    def taken_apart(result: Any) -> tuple[Any, ...]:
        if not isinstance(result, kind):
            wanted = f"`{kind.__name__}({', '.join(field.name for field in fields(kind))})`"
            forgotten = ["Is there a `return` at the end?"] * (result is None)
            raise NotPassed(
                [f"Tried with {case}.", f"The result is {describe(result)}: expected {wanted}.", *forgotten]
            )
        found: list[Any] = []
        for part in astuple(result):
            found += part if isinstance(part, tuple) else [part]
        return tuple(found)

    return taken_apart


def parts(*names: str) -> tuple[str, ...]:
    """Names of intervals, each with its two ends."""
    return tuple(f"{name}{end}" for name in names for end in ("", ", lower end", ", upper end"))


def _label(forward: float, backward: float) -> AILabel:
    return AILabel(("truth",), forward, backward)


MIXED = (
    _label(0.9, 0.8),
    _label(0.9, 0.2),
    _label(0.6, 0.1),
    _label(0.5, 0.5),
    _label(0.2, 0.95),
    _label(0.3, 0.4),
    _label(0.52, 0.9),
)
FAIR = (_label(0.9, 0.8), _label(0.1, 0.3), _label(0.7, 0.6))
MOOT = (
    _label(0.7, 0.6),
    _label(0.2, 0.3),
    _label(0.5, 0.4),
    _label(0.5, 0.3),
    _label(0.4, 0.2),
    _label(0.4, 0.7),
    _label(0.5, 0.1),
    _label(0.5, 0.9),
    _label(0.9, 0.5),
    _label(0.4, 0.8),
)
PLACES = (_label(0.9, 0.2), _label(0.8, 0.1), _label(0.7, 0.4), _label(0.6, 0.9))


def check_agreement(attempt: Attempt) -> None:
    outputs = ("n", *parts("one_order", "swapped", "both"))
    for case, labels, gaps in (
        ("all sorts of labels", MIXED, (1.0, 1.0, -0.5, 1.0, -1.0, -0.2, 0.1)),
        ("three labels that are right in both orders", FAIR, (1.0, -0.5, 0.2)),
        ("labels that follow the place", PLACES, (0.3, 0.3, -0.3, 1.0)),
        ("pairs of which two are equally good", MIXED, (1.0, 0.0, -0.5, 1.0, 0.0, -0.2, 0.1)),
        ("pairs that differ a little and much", MIXED, (0.01, 1.0, -0.9, -0.02, -1.0, 0.2, 0.1)),
        ("labels that are undecided", (_label(0.5, 0.5), _label(0.5, 0.9)), (1.0, 1.0)),
    ):  # fmt: skip
        attempt.compare(case, setup=given(numbers(Agreement, case), labels, gaps), outputs=outputs, rtol=1e-9)
    attempt.require(
        lambda made: _refuses(lambda: made(FAIR, (0.0, 0.0, 0.0)), "gaps"),
        ["Tried with three pairs that are equally good.", "Expected a ValueError whose message names gaps."],
        NOTHING_TOLD,
    )


NOTHING_TOLD = "Where no pair differs in gold there is nothing to agree with: raise a ValueError that names `gaps`."


def _refuses(call: Callable[[], Any], word: str) -> bool:
    try:
        call()
    except ValueError as error:
        return word in str(error)
    return False


Picked = Callable[[AILabel], float]  # the probability that a is better, by which a label is read
Right = Callable[[float, float], float]  # (probability, gap) -> 1 right, 0 wrong


def _hit(p: float, gap: float) -> float:
    return half(p, 0.5) if gap > 0 else 1 - half(p, 0.5)


def _agree(
    forward: Picked = lambda one: one.forward,
    backward: Picked = lambda one: one.backward,
    both: Picked = lambda one: one.p,
    right: Right = _hit,
    tells: Callable[[float], bool] = bool,
) -> Implementation:
    """Agreement with one part replaced."""

    def made(labels: Sequence[AILabel], gaps: Sequence[float]) -> Agreement:
        told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if tells(gap)]
        if not told or not any(gaps):
            raise ValueError("gaps are all 0")
        three = [score_interval([right(p(one), gap) for one, gap in told]) for p in (forward, backward, both)]
        return Agreement(len(told), *three)

    return made


_agree_all_pairs = _agree(tells=lambda gap: True)
_agree_turned = _agree(right=lambda p, gap: _hit(p, -gap))
_agree_undecided_wrong = _agree(right=lambda p, gap: float((p > 0.5) if gap > 0 else (p < 0.5)))
_agree_undecided_right = _agree(right=lambda p, gap: float((p >= 0.5) if gap > 0 else (p <= 0.5)))
_agree_backward_turned = _agree(backward=lambda one: 1 - one.backward)
_agree_soft = _agree(right=lambda p, gap: p if gap > 0 else 1 - p)
_agree_exchanged = _agree(forward=lambda one: one.backward, backward=lambda one: one.forward)
_agree_both_is_first = _agree(both=lambda one: one.forward)
_agree_better_only = _agree(tells=lambda gap: gap > 0)
_agree_large_gaps = _agree(tells=lambda gap: abs(gap) >= 0.5)


def _agree_mean_of_two(labels: Sequence[AILabel], gaps: Sequence[float]) -> Agreement:
    found = agreement(labels, gaps)
    told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if gap]
    both = score_interval([(_hit(one.forward, gap) + _hit(one.backward, gap)) / 2 for one, gap in told])
    return Agreement(found.n, found.one_order, found.swapped, both)


def _agree_both_right(labels: Sequence[AILabel], gaps: Sequence[float]) -> Agreement:
    found = agreement(labels, gaps)
    told = [(one, gap) for one, gap in zip(labels, gaps, strict=True) if gap]
    both = score_interval([_hit(one.forward, gap) * _hit(one.backward, gap) for one, gap in told])
    return Agreement(found.n, found.one_order, found.swapped, both)


def _agree_n_all(labels: Sequence[AILabel], gaps: Sequence[float]) -> Agreement:
    found = agreement(labels, gaps)
    return Agreement(len(labels), found.one_order, found.swapped, found.both)


def _agree_forgiving(labels: Sequence[AILabel], gaps: Sequence[float]) -> Agreement:
    if any(gaps):
        return agreement(labels, gaps)
    nothing: Interval = (0.0, 0.0, 0.0)
    return Agreement(0, nothing, nothing, nothing)


# ---------------------------------------------------------------- 8 position bias


def check_position_bias(attempt: Attempt) -> None:
    outputs = parts("first", "turns")
    always = tuple(_label(0.5 + 0.01 * i, 0.5 - 0.01 * i) for i in range(1, 9))
    for case, labels in (
        ("labels of which some are undecided in one order, or in both", MOOT),
        ("a judge that always takes the first", always),
        ("a judge that never looks at the place", FAIR),
        ("a judge that takes the second now and then", PLACES),
        ("all sorts of labels", MIXED),
        ("a judge that likes the second place", tuple(_label(0.3, 0.8) for _ in range(5))),
    ):
        attempt.compare(case, setup=given(numbers(PositionBias, case), labels), outputs=outputs, rtol=1e-9)


def _bias(
    first: Callable[[AILabel], float] = lambda one: (half(one.forward, 0.5) + 1 - half(one.backward, 0.5)) / 2,
    turns: Callable[[AILabel], float] = lambda one: float(one.turns),
) -> Implementation:
    """Position bias with one part replaced."""

    def made(labels: Sequence[AILabel]) -> PositionBias:
        return PositionBias(
            score_interval([first(one) for one in labels]), score_interval([turns(one) for one in labels])
        )

    return made


_bias_one_order = _bias(first=lambda one: half(one.forward, 0.5))
_bias_both_orders = _bias(first=lambda one: half(one.p, 0.5))
_bias_not_turned = _bias(first=lambda one: (half(one.forward, 0.5) + half(one.backward, 0.5)) / 2)
_bias_second = _bias(first=lambda one: 1 - (half(one.forward, 0.5) + 1 - half(one.backward, 0.5)) / 2)
_bias_soft = _bias(first=lambda one: (one.forward + 1 - one.backward) / 2)
_bias_undecided_first = _bias(first=lambda one: ((one.forward >= 0.5) + (one.backward <= 0.5)) / 2)
_bias_undecided_second = _bias(first=lambda one: ((one.forward > 0.5) + (one.backward < 0.5)) / 2)
_bias_either = _bias(first=lambda one: max(half(one.forward, 0.5), 1 - half(one.backward, 0.5)))
_bias_stays = _bias(turns=lambda one: float(not one.turns))
_bias_difference = _bias(turns=lambda one: abs(one.forward - one.backward))
_bias_turns_to_first = _bias(turns=lambda one: float(one.forward > 0.5 > one.backward))
_bias_turns_at_half = _bias(turns=lambda one: float((one.forward > 0.5) != (one.backward > 0.5)))
_bias_turns_signed = _bias(turns=lambda one: float(one.forward > one.backward))


def _bias_readings(labels: Sequence[AILabel]) -> PositionBias:
    readings = [x for one in labels for x in (half(one.forward, 0.5), 1 - half(one.backward, 0.5))]
    return PositionBias(score_interval(readings), position_bias(labels).turns)


# ---------------------------------------------------------------- 9 one principle less


def in_force(result: Any) -> Any:
    """id -> what is in force without it, and how many principles there are at all; anything else as it is."""
    if not isinstance(result, dict) or not all(isinstance(one, Constitution) for one in result.values()):
        return result
    return "; ".join(
        f"{id}: {', '.join(p.id for p in one.on)} of {len(one)}" for id, one in sorted(result.items(), key=str)
    )


SHUT = ("no-harm", "animals", "accuracy", "learning")


def check_ablations(attempt: Attempt) -> None:
    attempt.compare("three principles in force", setup=given(in_force, ours().only("no-harm", "truth", "openness")))
    attempt.compare("two principles about the same", setup=given(in_force, ours().only("truth", "accuracy")))
    attempt.compare("4 of the 14 principles switched off", setup=given(in_force, ours().switched(off=SHUT)))
    attempt.compare("all 14 in force", setup=given(in_force, ours()))
    attempt.require(
        lambda made: _refuses(lambda: made(ours().only("truth")), "none"),
        ["Tried with one principle in force.", "Expected the ValueError of `Constitution`: none would be left."],
        ONLY_ONE,
    )


ONLY_ONE = "With one principle in force, none is left: let the ValueError of `Constitution` pass."
Without = Callable[[Constitution, Principle], Constitution]


def _ablate(
    without: Without, ids: Callable[[Constitution], Sequence[Principle]] = lambda ours: ours.on
) -> Implementation:
    """A constitution for each of some principles."""
    return lambda constitution: {one.id: without(constitution, one) for one in ids(constitution)}


def _off(constitution: Constitution, one: Principle) -> Constitution:
    return constitution.switched(off=[one.id])


_ablate_alone = _ablate(lambda ours, one: ours.only(one.id))
_ablate_off_too = _ablate(_off, lambda ours: ours.principles)
_ablate_on_again = _ablate(lambda ours, one: ours.only(*(p.id for p in ours.principles if p != one)))
_ablate_about = _ablate(lambda ours, one: ours.switched(off=[p.id for p in ours.on if p.about == one.about]))
_ablate_taken_out = _ablate(lambda ours, one: Constitution(tuple(p for p in ours.principles if p.id != one.id)))
_ablate_other = _ablate(lambda ours, one: ours.switched(off=[p.id for p in ours.on if p.id != one.id][:1]))
_ablate_the_same = _ablate(lambda ours, one: ours)


def _ablate_more_and_more(constitution: Constitution) -> dict[str, Constitution]:
    ids = [one.id for one in constitution.on]
    if len(ids) == 1:
        return {ids[0]: constitution.switched(off=ids)}
    return {id: constitution.switched(off=ids[: i + 1]) for i, id in enumerate(ids[:-1])}


def _ablate_numbers(constitution: Constitution) -> dict[Any, Constitution]:
    return {i: _off(constitution, one) for i, one in enumerate(constitution.on)}


def _ablate_with_all(constitution: Constitution) -> dict[str, Constitution]:
    return {"": constitution} | {one.id: _off(constitution, one) for one in constitution.on}


def _ablate_swallowed(constitution: Constitution) -> dict[str, Constitution]:
    return {one.id: _off(constitution, one) for one in constitution.on if len(constitution.on) > 1}


EXERCISES = [
    Exercise(
        lab="14",
        target=f"{PACKAGE}.self_critique:critique_turns",
        title="The talk behind which a critique is written",
        difficulty=1,
        importance=5,
        minutes=5,
        hints=(
            "The model has to see what was asked and what it answered, and then be asked to hold the answer against the "
            "principle. Who says "
            "each of the three?",
            "The prompt is the user's turn, the answer the assistant's, the request the user's again. `principle.asks(plainly)` "
            "puts the rule "
            "into the request.",
            '`return Turn("user", prompt), Turn("assistant", answer), Turn("user", principle.asks(plainly))`.',
        ),
        reasoning="A model can criticise only what it sees, and it was tuned on just this order of turns. The answer stands in the "
        "assistant's turn, so that it is *its own* answer that it judges. `plainly` chooses between the two texts of a principle: the rule "
        "in the few words that the small model was tuned on, or the text for people and for models that know the whole language. Nothing "
        "is put together by string formatting here, so a brace or a marker in a prompt stays a letter.",
        check=check_critique_turns,
        mistakes=(
            Mistake(
                "never plainly", _talk_never_plainly, "`plainly` makes no difference: hand it to `principle.asks`."
            ),
            Mistake(
                "plainly turned",
                _talk_plainly_turned,
                "`plainly` is turned round: without it, the rule in the carried model's words is asked for.",
            ),
            Mistake(
                "rule alone",
                _talk_rule_alone,
                "The last turn holds the rule alone: the model is not asked anything. `principle.asks` puts it into the request.",
            ),
            Mistake("slot", _talk_slot, "The slot {rule} was left in the request: `principle.asks` fills it."),
            Mistake(
                "revision",
                _talk_revision,
                "The answer is asked for anew before anybody has criticised it: this talk ends with the request for a critique.",
            ),
            Mistake(
                "joined", _talk_joined, "The rule was put behind the request: it belongs where the slot {rule} is."
            ),
            Mistake(
                "all users",
                _talk_all_users,
                "The answer is the assistant's turn: the model is to judge its own answer.",
            ),
            Mistake(
                "system",
                _talk_system,
                "The request stands first, as a system's turn: then nobody has asked for a critique when the model comes to write.",
            ),
            Mistake("no answer", _talk_no_answer, "The answer is missing: there is nothing to criticise."),
            Mistake(
                "no prompt",
                _talk_no_prompt,
                "The prompt is missing: whether an answer does harm depends on what was asked.",
            ),
            Mistake(
                "one turn",
                _talk_one_turn,
                "All stands in one turn: the model knows turns, and who said what is told by them.",
            ),
            Mistake(
                "request is an answer",
                _talk_request_is_answer,
                "The request was put into the assistant's mouth: it is the user who asks.",
            ),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.self_critique:revision_turns",
        title="… and the talk behind which the answer is written anew",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "All that was said stays in view. Which two turns come after it?",
            "What the model said of its answer, as the assistant's turn; then the user's request for a better one, `principle.revision`.",
            '`return (*talk, Turn("assistant", critique), Turn("user", principle.revision))`.',
        ),
        reasoning="The revision is written with the first answer *and* the critique in view: what is wrong stands there, in the "
        "model's own "
        "words, just before it writes. Whether the critique was right does not matter here; a wrong one leads to a wrong revision, and "
        "the filter has to find it.",
        check=check_revision_turns,
        mistakes=(
            Mistake(
                "no critique",
                _anew_no_critique,
                "The critique is missing: then the model has no reason to write anything else.",
            ),
            Mistake(
                "no request",
                _anew_no_request,
                "The request is missing: the talk has to end with a user's turn, `principle.revision`.",
            ),
            Mistake(
                "no talk",
                _anew_no_talk,
                "The talk so far is missing: the model must see what was asked, and its first answer.",
            ),
            Mistake(
                "first only",
                _anew_first_only,
                "The request for the critique was left out: then two turns of the assistant follow each other.",
            ),
            Mistake(
                "without answer", _anew_without_answer, "The first answer was left out: what would be written anew?"
            ),
            Mistake(
                "critique again",
                _anew_critique_again,
                "The critique was asked for once more: the request here is `principle.revision`.",
            ),
            Mistake("users", _anew_users, "The critique is the assistant's turn: the model has written it."),
            Mistake(
                "one turn",
                _anew_one_turn,
                "Critique and request stand in one turn: the first is the assistant's, the second the user's.",
            ),
            Mistake("order", _anew_order, "The two new turns are exchanged: first the critique, then the request."),
            Mistake(
                "rule again",
                _anew_rule_again,
                "The rule was put behind the request: it stands in the talk already, and the model was tuned without it here.",
            ),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.ai_labels:draw_principles",
        title="Which principles?",
        difficulty=2,
        importance=3,
        minutes=10,
        hints=(
            "The principles in force are `constitution.on`. Take out what was drawn, and draw the next one from the rest.",
            "A list of those in force; n times `left.pop(...)` at a place that the generator chooses; or a method of `Random` that "
            "draws without repetition. And an n that is out of range is refused.",
            '`if not 1 <= n <= len(constitution.on): raise ValueError(f"n = {n}: …")`, then '
            "`return generator.sample(list(constitution.on), n)`.",
        ),
        reasoning="One principle at a time keeps the request short and the critique to the point; drawing it anew each time "
        "lets all of them "
        "have their say over many answers (Bai et al. 2022, §3.1). Chance comes from the generator that is handed in, so that a run "
        "can be repeated; and what is switched off has no chance, which is how one finds out what each principle does.",
        check=check_draw_principles,
        mistakes=(
            Mistake("all", _draw_all, DRAWN_NOTHING),
            Mistake("off too", _draw_off_too, NOT_IN_FORCE),
            Mistake("with repetition", _draw_with_repetition, TWICE),
            Mistake("other chance", _draw_other_chance, OTHER_CHANCE),
            Mistake("fixed seed", _draw_fixed_seed, FIXED_SEED),
            Mistake("uneven", _draw(_weighted), ALWAYS_FIRST),
            Mistake("unchecked", _draw_unchecked, FORGIVING),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.self_critique:filtered",
        title="What is fit to be learned?",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "For each transcript look for the first reason to drop it. There are those of `REASONS`; and one more question, "
            "only for answers "
            "that were written anew: what does the model say of the *last* answer?",
            "`one.check` is that critique, and `verdict` reads it: True, still broken; None, no verdict; False, the rule is kept. An "
            "answer that was never revised has no check, and needs none.",
            '`reason = next((reason for reason, holds in REASONS.items() if holds(one)), "")`; then `if not reason and one.revised and '
            'verdict(one.check) is not False:` it is `"still broken"` or `"no verdict"`; count it or keep the transcript.',
        ),
        reasoning="The filter sees what one can see without the truth: form, and the model's own opinion of the last answer. So "
        "it shares the "
        "model's blind spots; how many bad answers it lets through is measured further down, by gold. `is not False` puts the burden "
        "of proof on the answer: where the model says nothing that can be read, it is dropped.",
        check=check_filtered,
        mistakes=(
            Mistake(
                "needs a verdict",
                _filter_needs_verdict,
                "An answer that was never revised was dropped for want of a verdict: it has no check, and needs none.",
            ),
            Mistake(  # before "forgiving" and "no check", which keep an answer with an empty check, too
                "if checked",
                _filter_if_checked,
                "You asked whether there is a check: ask whether it was *revised*, `one.revised`. A check may be empty, and that is no "
                "verdict.",
            ),
            Mistake(
                "forgiving",
                _filter_forgiving,
                "A check that cannot be read was taken for a good one: `verdict` must be False, and None is not.",
            ),
            Mistake(
                "no check",
                _filter_no_check,
                "The model's own verdict on the last answer, `one.check`, was not looked at.",
            ),
            Mistake(
                "old verdict",
                _filter_old_verdict,
                "You took the verdict of the last round, which is about the answer *before* the revision: `one.check` is about "
                "the last one.",
            ),
            Mistake(
                "names exchanged",
                _filter_names_exchanged,
                '"still broken" and "no verdict" are exchanged: None is no verdict.',
            ),
            Mistake(
                "verdict first",
                _filter_verdict_first,
                "The verdict was asked before the other reasons: `REASONS` come first, in their order.",
            ),
            Mistake(
                "first answer",
                _filter_first_answer,
                "You looked at the first answer: what is learned is the last one, `one.last`.",
            ),
            Mistake(
                "unrevised",
                _filter_unrevised,
                "Answers that were never revised were dropped: an answer that was good at once is worth learning, too.",
            ),
            Mistake(
                "own verdict",
                _filter_own_verdict,
                "`breaks` was used whatever `verdict` is: another model has other words.",
            ),
            Mistake(
                "all reasons",
                _filter_all_reasons,
                "A transcript was counted for each reason: only the first that holds counts.",
            ),
            Mistake("exchanged", _filter_exchanged, "Kept and dropped are exchanged."),
            Mistake("sum", _filter_sum, "The dropped were counted together: expected a number for each reason."),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.ai_labels:log_odds",
        title="A label that is a probability: A or B?",
        difficulty=4,
        importance=5,
        minutes=25,
        hints=(
            "Nobody has to write anything: ask how likely the model finds each of the two texts as the beginning of its turn. "
            "Lab 13 has what "
            "gives the log-probability of a response: `answers` makes the rows, `sums(model, rows)` reads them.",
            "`asked = [render(talk, tokenizer, reply=True) …]`. Each goes into two rows, once with the tokens of yes, once with "
            "those of no. Those "
            "longer than `context + 1 - max(len(yes), len(no))` tokens do not fit: their place in a tensor of zeros stays as it is.",
            "With `fit` the numbers of those that do: `rows = answers([*prompts, *prompts], [*[said[0]] * len(fit), *[said[1]] "
            "* len(fit)], pad=0)`; "
            "`for_yes, for_no = sums(model, rows).split(len(fit))`; `found[fit] = for_yes - for_no`.",
        ),
        reasoning="The difference of log-probabilities says which, and how surely, with one reading and no sampling. What both texts share "
        '("It ") cancels. No stop token is put behind them: a model that would go on with a reason has the same opinion. The last token '
        "of a row is only predicted, never read, so context + 1 tokens fit. A conversation that does not fit gets 0, *no opinion*, "
        "and not a number that was made up by cutting off its end.",
        seconds=20,
        check=check_log_odds,
        mistakes=(
            Mistake("turned", _odds_turned, "The sign is turned: log P(yes) − log P(no)."),
            Mistake(
                "yes only",
                _odds_yes_only,
                "That is log P(yes) alone: a long text is unlikely, whatever one thinks of it.",
            ),
            Mistake(
                "mean",
                _odds_mean,
                "Each was divided by its number of tokens: the probability of a text is a product over all of them.",
            ),
            Mistake("sigmoid", _odds_sigmoid, "That is a probability: expected its log-odds, before the sigmoid."),
            Mistake(
                "log probability",
                _odds_log_probability,
                "That is the log-probability of yes among the two: expected the log-*odds*, which may be above 0.",
            ),
            Mistake("bits", _odds_bits, "That is in bits: nats are natural logarithms."),
            Mistake(
                "quotient",
                _odds_quotient,
                "Log-probabilities were divided: the logarithm of a quotient is a *difference*.",
            ),
            Mistake("choice", _odds_choice, "That says which, and not how surely: give the difference itself."),
            Mistake(
                "first token",
                _odds_first_token,
                "Only the first token was looked at: two texts may begin alike, as the two verdicts do, and then it says nothing.",
            ),
            Mistake(
                "stop", _odds_stop, "The stop token was put behind the texts: they are *beginnings* of the next turn."
            ),
            Mistake(
                "no marker",
                _odds_no_marker,
                "The conversation was rendered without `reply=True`: the model does not know that it is its turn.",
            ),
            Mistake(
                "last turn",
                _odds_last_turn,
                "Only the last turn was read: what was asked and answered stands in the ones before.",
            ),
            Mistake(
                "left out",
                _odds_left_out,
                "A conversation that does not fit was left out: its place holds a 0, so that N stay N.",
            ),
            Mistake(
                "minus infinity",
                _odds_minus_infinity,
                "A conversation that does not fit got −∞: that is the strongest opinion there is. None at all is 0.",
            ),
            Mistake(
                "no room",
                _odds_no_room,
                "A conversation that just fits was not read: the row's last token is only predicted, so context + 1 tokens fit.",
            ),
            Mistake(
                "room for yes",
                _odds_room_for_yes,
                "Only `yes` was measured: the longer of the two texts decides what fits.",
            ),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.ai_labels:in_both_orders",
        title="Ask twice",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "The second time, the two answers stand in each other's place. The judge then speaks for what it *reads* first. Whose log-odds "
            "are these?",
            "With the answers exchanged the judge gives the log-odds of what the question calls `second`. Those of `first` are the same "
            "with a minus. σ makes probabilities of both; in float64, since near 0 and 1 digits get lost.",
            "`turned = [Question(one.prompt, one.second, one.first, one.principle) for one in questions]`, then "
            "`judge(questions).double().sigmoid(), (-judge(turned)).double().sigmoid()`.",
        ),
        reasoning="With t what the judge thinks and b its liking for the place, the two readings have the log-odds t + b and t "
        "− b. The mean of "
        "the two probabilities is above ½ just where t > 0, however large b is; so the place no longer decides *which*. It still costs: "
        "where b is much larger than t the mean is near ½, a label that hardly says anything. Both numbers are kept apart here, for "
        "their difference is what the bias is measured by.",
        check=check_in_both_orders,
        mistakes=(
            Mistake(
                "not turned back",
                _orders_not_turned_back,
                "The second probability is that of the *other* answer: after exchanging, the judge speaks for what it reads "
                "first. Turn its sign.",
            ),
            Mistake("log-odds", _orders_log_odds, "These are log-odds: σ makes probabilities of them."),
            Mistake(
                "averaged log-odds",
                _orders_averaged,
                "The log-odds of both orders were averaged: expected the two probabilities, each by itself.",
            ),
            Mistake("mean", _orders_mean, "The mean came twice: expected the two probabilities, each by itself."),
            Mistake(
                "exchanged", _orders_exchanged, "The two results are exchanged: first the reading in the order given."
            ),
            Mistake(
                "both negative",
                _orders_both_negative,
                "These are the probabilities that `second` is better: both signs are turned.",
            ),
            Mistake("inside", _orders_inside, "1 − log-odds is not the opposite: that is −log-odds, or 1 − σ."),
            Mistake("hard", _orders_hard, "The choices alone came, 0 or 1: expected probabilities."),
            Mistake(
                "softmax",
                _orders_softmax,
                "A softmax over the *questions* was taken: each has a probability of its own.",
            ),
            Mistake("asked twice", _orders_asked_twice, "The same order was asked twice: exchange the two answers."),
            Mistake(
                "negated",
                _orders_negated,
                "The sign was turned, and the answers were not: exchange them in the question.",
            ),
            Mistake(
                "reversed list",
                _orders_reversed_list,
                "The *questions* were put in another order: the answers of each are to be exchanged.",
            ),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.label_bias:agreement",
        title="How often is the label right?",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "Where both answers are equally good, no label can be right or wrong: leave those pairs out. For the others, "
            "compare the side of ½ on "
            "which the label stands with the sign of the gap.",
            "`one.forward`, `one.backward` and `one.p` are all the probability that *a* is better. `half(p, 0.5)` is 1, 0 or ½; "
            "where the gap is "
            "negative, take 1 less that. `score_interval` makes mean and interval.",
            "`told = [(one, gap > 0) for one, gap in zip(labels, gaps, strict=True) if gap]`; for each of the three: "
            "`score_interval([half(p, 0.5) if a else 1 - half(p, 0.5) …])`; `Agreement(len(told), …, …, …)`.",
        ),
        reasoning="An undecided label is a coin, so it counts half: else a judge that always says ½ would be called wrong "
        "always, or right always. "
        "`both` judges the *averaged* probability, which is what will be learned; it is not the mean of the other two shares, and can "
        "lie above both of them.",
        check=check_agreement,
        mistakes=(
            Mistake(
                "all pairs",
                _agree_all_pairs,
                "Pairs that are equally good were counted, too: there no label can be right.",
            ),
            Mistake("turned", _agree_turned, "The gap's sign is turned: above 0, a is the better one."),
            Mistake(
                "undecided wrong",
                _agree_undecided_wrong,
                "A label of just ½ was counted as wrong: it is a coin, and counts half.",
            ),
            Mistake(
                "undecided right",
                _agree_undecided_right,
                "A label of just ½ was counted as right: it is a coin, and counts half.",
            ),
            Mistake(
                "backward turned",
                _agree_backward_turned,
                "`backward` was turned round: it is the probability that a is better already, only that b was read first.",
            ),
            Mistake("soft", _agree_soft, "The probabilities were averaged: count which side of ½ they are on."),
            Mistake(
                "exchanged",
                _agree_exchanged,
                "`one_order` and `swapped` are exchanged: the first reads a first, `forward`.",
            ),
            Mistake(
                "both is first",
                _agree_both_is_first,
                "`both` is made from `forward` alone: take `one.p`, the mean of the two orders.",
            ),
            Mistake(
                "better only",
                _agree_better_only,
                "Pairs with a negative gap were left out: there b is the better one, and a label can be right.",
            ),
            Mistake(
                "large gaps",
                _agree_large_gaps,
                "Pairs with a small gap were left out: only those with none tell nothing.",
            ),
            Mistake(
                "mean of two",
                _agree_mean_of_two,
                "`both` is the mean of the other two shares: judge the averaged *probability*, `one.p`.",
            ),
            Mistake(
                "both right",
                _agree_both_right,
                "`both` counts pairs that are right in both orders: judge the averaged probability, `one.p`.",
            ),
            Mistake("n of all", _agree_n_all, "`n` counts all pairs: expected those that differ in gold."),
            Mistake("forgiving", _agree_forgiving, NOTHING_TOLD),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.label_bias:position_bias",
        title="Does the place decide?",
        difficulty=3,
        importance=4,
        minutes=10,
        hints=(
            "Each pair is read twice, once with a first and once with b. In the first reading, choosing a is choosing the "
            "first. And in the second?",
            "Of a pair, the share of its two readings that chose what stood first: `half(one.forward, 0.5)`, and `1 - "
            "half(one.backward, 0.5)`, "
            "divided by 2. `one.turns` says whether the choice followed the place.",
            "`first = [(half(one.forward, 0.5) + 1 - half(one.backward, 0.5)) / 2 for one in labels]`; "
            "`PositionBias(score_interval(first), score_interval([float(one.turns) for one in labels]))`.",
        ),
        reasoning="Since every pair is read in both orders, it does not matter which answers are better: a judge that looks "
        "only at the answers chooses "
        "the first in just half of the readings. The two readings of a pair are not independent, so the interval counts pairs. "
        "`first` can be ½ while the place decides half of the pairs, in either direction; so there are two numbers.",
        check=check_position_bias,
        mistakes=(
            Mistake(
                "one order",
                _bias_one_order,
                "Only the first order was counted: then it matters which answers happen to be called a.",
            ),
            Mistake(
                "both orders averaged",
                _bias_both_orders,
                "The averaged probability was taken: in it the bias is cancelled already.",
            ),
            Mistake(
                "not turned",
                _bias_not_turned,
                "`backward` above ½ chooses a, which stood *second* there: the first was chosen where it is below.",
            ),
            Mistake("second", _bias_second, "That is the share of the second place."),
            Mistake("soft", _bias_soft, "The probabilities were averaged: count choices."),
            Mistake(
                "undecided first",
                _bias_undecided_first,
                "A reading of just ½ was counted for the first place: it counts half.",
            ),
            Mistake(
                "undecided second",
                _bias_undecided_second,
                "A reading of just ½ was counted for the second place: it counts half.",
            ),
            Mistake(
                "either",
                _bias_either,
                "A pair counts as soon as one of its readings chose the first: expected the share of its two readings.",
            ),
            Mistake("stays", _bias_stays, "`turns` is turned round: it is the share whose choice follows the place."),
            Mistake(
                "difference",
                _bias_difference,
                "`turns` is how far the probability moves: expected how often the *choice* turns round.",
            ),
            Mistake(
                "turns to the first",
                _bias_turns_to_first,
                "Only choices that follow the first place were counted in `turns`: some judges like the second.",
            ),
            Mistake(
                "turns at a half",
                _bias_turns_at_half,
                "A reading of just ½ chooses no place: `one.turns` counts where the two readings lie on different sides of ½.",
            ),
            Mistake(
                "signed", _bias_turns_signed, "`turns` counts where the probability fell: expected where it crossed ½."
            ),
            Mistake(
                "readings",
                _bias_readings,
                "The interval counts readings: the two of a pair are not independent, so it counts pairs.",
            ),
        ),
    ),
    Exercise(
        lab="14",
        target=f"{PACKAGE}.cai_runs:ablations",
        title="What is each principle worth?",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "Take one away, leave all others as they are, and see what gets worse. Which principles can be taken away?",
            "For each one *in force*, the constitution without it: `constitution.switched(off=[…])` takes ids and gives a new "
            "constitution.",
            "`return {one.id: constitution.switched(off=[one.id]) for one in constitution.on}`.",
        ),
        reasoning="To take one away and keep the rest (*leave one out*) asks what is missed without it. To keep one alone asks "
        "what it can do by "
        "itself. These are two questions: where five principles speak of the same harm, none of them is missed, and each of them is "
        "enough. A constitution is not changed, a new one is made: so no run can leave a switch behind for the next.",
        check=check_ablations,
        mistakes=(
            Mistake("alone", _ablate_alone, "Each principle stands alone: asked for is the constitution *without* it."),
            Mistake(
                "off too",
                _ablate_off_too,
                "Principles that are off already were taken away, too: that changes nothing.",
            ),
            Mistake("on again", _ablate_on_again, "All others were switched on: what was off before has to stay off."),
            Mistake("about", _ablate_about, "All principles about the same were taken away together: one at a time."),
            Mistake(
                "taken out",
                _ablate_taken_out,
                "The principle was taken out of the constitution: switch it off, since others may name it in `against`.",
            ),
            Mistake("another", _ablate_other, "Another principle was switched off than the one that the key names."),
            Mistake(
                "the same",
                _ablate_the_same,
                "Nothing was switched off: `switched` gives a new constitution, it does not change this one.",
            ),
            Mistake(
                "more and more",
                _ablate_more_and_more,
                "They were taken away one after the other, and stayed away: one at a time.",
            ),
            Mistake("numbers", _ablate_numbers, "The keys are numbers: expected the ids."),
            Mistake(
                "with all", _ablate_with_all, "The whole constitution is among them: expected those that lack one."
            ),
            Mistake("swallowed", _ablate_swallowed, ONLY_ONE),
        ),
    ),
]
