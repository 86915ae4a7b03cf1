"""A small labelling session: you see a prompt and two responses, say which is better, and learn how far you agree with the others.

Here is what a widget, or a `for` loop, calls; nothing is drawn. Every text is handed over as it is: whoever shows it must escape it.

    session = Session(pairs, Random(0))
    while (shown := session.shown()) is not None:
        session.choose("first")                # or "second" or "same"; session.undo() takes the last label back
    session.summary()

Which of the two stands first is drawn by chance, so that a habit of choosing the first does not look like agreement. Agreement is
measured with the gold reward, where the two differ in it, and with each simulated annotator, who labels the same pairs. Beside
each share stands what could be had at best: against an annotator who throws coins now and then, nobody reaches 1.

Some pairs come a second time (`repeats`), a while later and in an order drawn anew: so you also learn how far you agree with yourself.
Who does not agree with themselves cannot agree with others. To say "same" is to say nothing of which is better, so such a pair
does not count against gold or annotators, who always choose; with yourself it is a label like the two others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from lablib.adaptation.adherence import Interval, score_interval
from lablib.alignment.agreement import cohen_kappa
from lablib.alignment.annotators import ANNOTATORS, Annotator, Seen, best_accuracy
from lablib.alignment.preference_pairs import Preference
from lablib.alignment.responses import EVEN, Weights, gold_reward
from lablib.corpus.sources.conversations import Turn

Choice = Literal["first", "second", "same"]
CHOICES: tuple[Choice, ...] = ("first", "second", "same")
GAP = 4  # a pair comes again so many to twice as many new pairs later, or at the end
YOURSELF = "yourself"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the labeller sees. number: of the pair, from 1; of: how many there are."""

    number: int
    of: int
    prompt: tuple[Turn, ...]
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the labeller agrees with somebody.

    Attributes:
        name: "gold", an annotator's or "yourself". n: pairs that count. share: of them with the same label, with its 95 % interval.
        kappa: Cohen's. best: the share that somebody who knows all probabilities could expect.
    """

    name: str
    n: int
    share: Interval
    kappa: float
    best: float


class Session:
    """The labels of one person on some pairs of the world.

    Args:
        pairs: those to label, with gold scores. generator: of what stands first, and of the annotators' labels.
        annotators: with whom to compare. weights: of the gold reward.
        repeats: so many of the pairs, drawn by chance, are shown a second time; nothing tells which.

    Raises:
        ValueError: there is no pair, or one without gold scores; more repeats than pairs.
    """

    def __init__(
        self,
        pairs: Sequence[Preference],
        generator: Random,
        annotators: Sequence[Annotator] = ANNOTATORS,
        weights: Weights = EVEN,
        repeats: int = 0,
    ) -> None:
        if not pairs:
            raise ValueError("pairs is empty: expected at least one to label, from `collect`")
        if not 0 <= repeats <= len(pairs):
            raise ValueError(f"repeats = {repeats}: expected a number from 0 to {len(pairs)}, that of the pairs")
        self.pairs, self.annotators = list(pairs), tuple(annotators)
        self.turned = [generator.random() < 0.5 for _ in pairs]  # the rejected one stands first
        self.chosen: list[Choice] = []
        self._seen = [self._seen_in_order(pair, turned) for pair, turned in zip(self.pairs, self.turned, strict=True)]
        self._gold = [gold_reward(a.gold, weights) - gold_reward(b.gold, weights) for a, b in self._seen]
        self._theirs = [[one.prefers_first(*seen, generator) for seen in self._seen] for one in self.annotators]
        self.places = _places(self.turned, repeats, generator)  # (pair, turned) in the order in which they are shown

    @staticmethod
    def _seen_in_order(pair: Preference, turned: bool) -> tuple[Seen, Seen]:
        chosen, rejected = pair.seen
        return (rejected, chosen) if turned else (chosen, rejected)

    # ------------------------------------------------------------ callbacks

    def shown(self) -> Shown | None:
        """The pair that is to be labelled now; None when all are."""
        at = len(self.chosen)
        if at == len(self.places):
            return None
        number, turned = self.places[at]
        pair = self.pairs[number]
        texts = (pair.rejected, pair.chosen) if turned else (pair.chosen, pair.rejected)
        return Shown(at + 1, len(self.places), pair.prompt, *texts)

    def choose(self, choice: Choice) -> Shown | None:
        """Label the pair that is shown, and go on to the next.

        Raises:
            ValueError: another word than "first", "second" or "same", or nothing is left to label.
        """
        if choice not in CHOICES:
            raise ValueError(f"choice = {choice!r}: expected 'first', 'second' or 'same'")
        if len(self.chosen) == len(self.places):
            raise ValueError(f"all {len(self.places)} pairs have their label: undo() takes the last one back")
        self.chosen.append(choice)
        return self.shown()

    def undo(self) -> Shown | None:
        """Take the last label back and show its pair again; at the beginning nothing happens."""
        if self.chosen:
            self.chosen.pop()
        return self.shown()

    # ------------------------------------------------------------ what came of it

    def _given(self) -> tuple[dict[int, Choice], dict[int, Choice]]:
        """pair -> label, of those shown once and of those shown again, all as of the order in which the pair was shown first."""
        first: dict[int, Choice] = {}
        again: dict[int, Choice] = {}
        for (number, turned), choice in zip(self.places, self.chosen, strict=False):
            same_order = turned == self.turned[number]
            (again if number in first else first)[number] = choice if same_order else OTHER[choice]
        return first, again

    def labelled(self) -> list[Preference]:
        """The pairs that were labelled, as the labeller chose the first time; the annotator's name is "you". "same" chooses nothing."""
        return [
            replace(self.pairs[at], annotator="you")
            if (choice == "second") == self.turned[at]
            else _turned_round(self.pairs[at])
            for at, choice in self._given()[0].items()
            if choice != "same"
        ]

    def summary(self) -> list[Agreement]:
        """Agreement with gold, with each annotator and with yourself, so far; whom nothing can be said of is left out."""
        given, again = self._given()
        mine = {at: choice == "first" for at, choice in given.items() if choice != "same"}
        differ = [at for at in mine if self._gold[at] != 0]
        found = [
            _agreement("gold", [mine[at] for at in differ], [self._gold[at] > 0 for at in differ], [1.0] * len(differ))
        ]
        for annotator, labels in zip(self.annotators, self._theirs, strict=True):
            best = [best_accuracy(annotator.probability(*self._seen[at])) for at in mine]
            found.append(_agreement(annotator.name, list(mine.values()), [labels[at] for at in mine], best))
        before = [given[at] for at in again]
        found.append(_agreement(YOURSELF, before, list(again.values()), [1.0] * len(again)))
        return [one for one in found if one is not None]


OTHER: dict[Choice, Choice] = {"first": "second", "second": "first", "same": "same"}


def _places(turned: Sequence[bool], repeats: int, generator: Random) -> list[tuple[int, bool]]:
    """Every pair in turn, and `repeats` of them once more, later, in an order drawn anew."""
    drawn = sorted(range(len(turned)), key=lambda _: generator.random())[:repeats]
    later = [(at + GAP * (1 + generator.random()), at, generator.random() < 0.5) for at in drawn]
    once = [(float(at), at, first) for at, first in enumerate(turned)]
    return [(at, which) for _, at, which in sorted(once + later)]


def _agreement(
    name: str, mine: Sequence[bool | Choice], theirs: Sequence[bool | Choice], best: Sequence[float]
) -> Agreement | None:
    if not mine:
        return None
    same = score_interval([float(a == b) for a, b in zip(mine, theirs, strict=True)])
    return Agreement(name, len(mine), same, cohen_kappa(mine, theirs), math.fsum(best) / len(best))


def _turned_round(pair: Preference) -> Preference:
    """The same pair with the other label."""
    gold = None if pair.gold is None else pair.gold[::-1]
    ids = (pair.prompt_ids, pair.rejected_ids, pair.chosen_ids)
    return Preference(pair.prompt, pair.rejected, pair.chosen, *ids, "you", gold)
