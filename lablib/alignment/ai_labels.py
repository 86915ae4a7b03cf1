"""Stage 2 of Constitutional AI: the model itself says which of two answers fits a principle better, in the place of people.

Its labels then train a reward model, or DPO.

A *judge* is a function of questions that gives, for each, the log-odds that the answer shown first is the better one. Two are here:

choice   the question with both answers, "… A or B?", and the log-probability of "A." against that of "B." (Bai et al. 2022, §4.1). A model
         must have learned to be asked so (`adaptation.comparison`); one that has not answers all the same, mostly by habit.
verdict  each answer by itself, in the talk that the carried model knows from fine-tuning: "Does your answer keep to this rule?", and the
         log-probability of "It keeps to the rule." against that of "It breaks the rule."; the two differences are compared.

A choice has an order, and who is read first may be liked better for that: *position bias*. The cure costs a second reading: ask in both
orders and average. With log-odds t + b and t − b, t what is right and b the bias, the average of the two probabilities is above 1/2 exactly
where t > 0. A liking for *long* answers is not cured so: they are long in both orders.

Left out: chain of thought before the choice (§4.1 of the paper, too), and asking several models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from lablib.adaptation.chat import render
from lablib.adaptation.comparison import FIRST, SECOND, question
from lablib.adaptation.critique import BREAKS, KEEPS
from lablib.alignment.constitution import Constitution, Principle
from lablib.alignment.log_probs import answers
from lablib.alignment.reference import sums
from lablib.architecture.decoder import CausalModel
from lablib.corpus.sources.conversations import Turn
from lablib.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Question:
    """Two answers to a prompt, in the order in which they are shown, and a principle."""

    prompt: str
    first: str
    second: str
    principle: Principle


Judge = Callable[[Sequence[Question]], Tensor]  # -> (N,), log-odds that the first answer is the better one


def log_odds(model: CausalModel, tokenizer: Tokenizer, talks: Sequence[tuple[Turn, ...]], yes: str, no: str) -> Tensor:
    """log P(yes) − log P(no), nats, as beginnings of the model's next turn in each of N conversations, (N,).

    A conversation that does not fit in the model's context is not read: its log-odds are 0, no opinion.
    """
    said = [tokenizer.encode(text) for text in (yes, no)]
    asked = [render(talk, tokenizer, reply=True) for talk in talks]
    room = model.sizes.context + 1 - max(map(len, said))
    fit = [i for i, ids in enumerate(asked) if len(ids) <= room]
    found = torch.zeros(len(talks))
    if fit:
        prompts = [asked[i] for i in fit]
        rows = answers([*prompts, *prompts], [*[said[0]] * len(fit), *[said[1]] * len(fit)], pad=0)
        for_yes, for_no = sums(model, rows).split(len(fit))
        found[fit] = for_yes - for_no
    return found


def choice_judge(model: CausalModel, tokenizer: Tokenizer) -> Judge:
    """A model that is shown both answers and asked for A or B; see above."""

    def judge(questions: Sequence[Question]) -> Tensor:
        talks = [(Turn("user", question(q.prompt, q.first, q.second, q.principle.rule)),) for q in questions]
        return log_odds(model, tokenizer, talks, FIRST, SECOND)

    return judge


def verdict_judge(model: CausalModel, tokenizer: Tokenizer) -> Judge:
    """A model that is asked of each answer by itself whether it keeps to the rule; see above. It has no order."""

    def judge(questions: Sequence[Question]) -> Tensor:
        shown = [(q, answer) for answers in ("first", "second") for q in questions for answer in (getattr(q, answers),)]
        talks = [
            (Turn("user", q.prompt), Turn("assistant", answer), Turn("user", q.principle.asks())) for q, answer in shown
        ]
        first, second = log_odds(model, tokenizer, talks, KEEPS, BREAKS).split(len(questions))
        return first - second

    return judge


def in_both_orders(judge: Judge, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
    """Ask each question as it is, and once more with the two answers in each other's place.

    Args:
        judge: gives the log-odds that the answer *shown first* is the better one. questions: N.

    Returns:
        two times (N,), in float64, since near 0 and 1 float32 loses the digits: the probability that what each question
        calls `first` is better, as read first, and as read second. Their mean is a label that does not depend on the
        place.

    >>> from lablib.alignment.constitution import load
    >>> always_the_first = lambda questions: torch.full((len(questions),), 2.0)
    >>> in_both_orders(always_the_first, [Question("Hi", "Hello.", "No.", load()["truth"])])
    (tensor([0.8808], dtype=torch.float64), tensor([0.1192], dtype=torch.float64))
    """
    turned = [Question(one.prompt, one.second, one.first, one.principle) for one in questions]
    return judge(questions).double().sigmoid(), (-judge(turned).double()).sigmoid()


@dataclass(frozen=True, slots=True)
class AILabel:
    """What a judge says of a pair of answers, a and b.

    Attributes:
        principles: the ids of those it was asked by. forward: the probability that a is better, read with a first.
        backward: the same, read with b first. Each is the mean over the principles.
    """

    principles: tuple[str, ...]
    forward: float
    backward: float

    @property
    def p(self) -> float:
        """The probability that a is better, averaged over both orders: without position bias."""
        return (self.forward + self.backward) / 2

    @property
    def prefers_a(self) -> bool | None:
        """True: a; False: b; None: it is undecided to the last bit."""
        return None if self.p == 0.5 else self.p > 0.5

    @property
    def turns(self) -> bool:
        """Does the choice follow the place instead of the answer?"""
        return (self.forward - 0.5) * (self.backward - 0.5) < 0


def label(
    judge: Judge,
    prompts: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    constitution: Constitution,
    generator: Random,
    principles: int = 1,
) -> list[AILabel]:
    """Label pairs of answers by principles that are drawn for each pair, in both orders.

    Args:
        judge: see above. prompts: N. pairs: N times two answers, a and b. generator: draws the principles.
        principles: how many each pair is held against, drawn without repetition; at most those in force.

    Raises:
        ValueError: unequal numbers, equal answers, or another number of principles than there can be.
    """
    if len(prompts) != len(pairs):
        raise ValueError(f"{len(prompts)} prompts and {len(pairs)} pairs: expected one pair for each prompt")
    if not 1 <= principles <= len(constitution.on):
        raise ValueError(f"principles = {principles}: expected 1 to {len(constitution.on)}, those that are in force")
    for number, (a, b) in enumerate(pairs):
        if a == b:
            raise ValueError(
                f"pairs[{number}] are twice the same answer, {a!r:.60}: expected two; leave such pairs out"
            )
    if not pairs:
        return []
    drawn = [draw_principles(constitution, principles, generator) for _ in pairs]
    asked = [
        Question(prompt, a, b, principle)
        for prompt, (a, b), some in zip(prompts, pairs, drawn, strict=True)
        for principle in some
    ]
    means = [
        p.view(len(pairs), principles).mean(dim=-1).tolist() for p in in_both_orders(judge, asked)
    ]  # (N·k,) -> (N,)
    return [AILabel(tuple(one.id for one in some), *p) for some, *p in zip(drawn, *means, strict=True)]


def draw_principles(constitution: Constitution, n: int, generator: Random) -> list[Principle]:
    """n of the principles in force, none twice, in the order drawn; each has the same chance (Bai et al. 2022, §3.1).

    Args:
        constitution: `constitution.on` are the principles in force. n: from 1 to their number.
        generator: of chance, and the only one that is used: the same state gives the same principles.

    Raises:
        ValueError: another n.

    >>> from lablib.alignment.constitution import load
    >>> [one.id for one in draw_principles(load().only("truth"), 1, Random(0))]
    ['truth']
    """
    if not 1 <= n <= len(constitution.on):
        raise ValueError(f"n = {n}: expected 1 to {len(constitution.on)}, the principles that are in force")
    left, drawn = list(constitution.on), []
    for _ in range(n):
        drawn.append(left.pop(int(generator.random() * len(left))))
    return drawn
