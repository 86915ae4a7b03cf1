"""A small labelling session: you see a prompt and two responses, say which is better, and learn how far you agree with the others.

Here is what a widget, or a `for` loop, calls; nothing is drawn. Every text is handed over as it is: whoever shows it must escape it.

    session = Session(pairs, Random(0))
    while (shown := session.shown()) is not None:
        session.choose("first")                # or "second"; session.undo() takes the last label back
    session.summary()

Which of the two stands first is drawn by chance, so that a habit of choosing the first does not look like agreement. Agreement is
measured with the gold reward, where the two differ in it, and with each simulated annotator, who labels the same pairs. Beside
each share stands what could be had at best: against an annotator who throws coins now and then, nobody reaches 1."""

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

Choice = Literal["first", "second"]
CHOICES: tuple[Choice, ...] = ("first", "second")


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
        name: "gold" or an annotator's. n: pairs that count. share: of them with the same label, with its 95 % interval.
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

    Raises:
        ValueError: there is no pair, or one without gold scores.
    """

    def __init__(
        self,
        pairs: Sequence[Preference],
        generator: Random,
        annotators: Sequence[Annotator] = ANNOTATORS,
        weights: Weights = EVEN,
    ) -> None:
        if not pairs:
            raise ValueError("pairs is empty: expected at least one to label, from `collect`")
        self.pairs, self.annotators = list(pairs), tuple(annotators)
        self.turned = [generator.random() < 0.5 for _ in pairs]  # the rejected one stands first
        self.chosen: list[Choice] = []
        self._seen = [self._seen_in_order(pair, turned) for pair, turned in zip(self.pairs, self.turned, strict=True)]
        self._gold = [gold_reward(a.gold, weights) - gold_reward(b.gold, weights) for a, b in self._seen]
        self._theirs = [[one.prefers_first(*seen, generator) for seen in self._seen] for one in self.annotators]

    @staticmethod
    def _seen_in_order(pair: Preference, turned: bool) -> tuple[Seen, Seen]:
        chosen, rejected = pair.seen
        return (rejected, chosen) if turned else (chosen, rejected)

    # ------------------------------------------------------------ callbacks

    def shown(self) -> Shown | None:
        """The pair that is to be labelled now; None when all are."""
        at = len(self.chosen)
        if at == len(self.pairs):
            return None
        pair = self.pairs[at]
        texts = (pair.rejected, pair.chosen) if self.turned[at] else (pair.chosen, pair.rejected)
        return Shown(at + 1, len(self.pairs), pair.prompt, *texts)

    def choose(self, choice: Choice) -> Shown | None:
        """Label the pair that is shown, and go on to the next.

        Raises:
            ValueError: another word than "first" or "second", or nothing is left to label.
        """
        if choice not in CHOICES:
            raise ValueError(f"choice = {choice!r}: expected 'first' or 'second'")
        if len(self.chosen) == len(self.pairs):
            raise ValueError(f"all {len(self.pairs)} pairs have their label: undo() takes the last one back")
        self.chosen.append(choice)
        return self.shown()

    def undo(self) -> Shown | None:
        """Take the last label back and show its pair again; at the beginning nothing happens."""
        if self.chosen:
            self.chosen.pop()
        return self.shown()

    # ------------------------------------------------------------ what came of it

    def labelled(self) -> list[Preference]:
        """The pairs that were labelled, as the labeller chose; the annotator's name is "you"."""
        return [
            replace(pair, annotator="you") if (choice == "second") == turned else _turned_round(pair)
            for pair, turned, choice in zip(self.pairs, self.turned, self.chosen, strict=False)
        ]

    def summary(self) -> list[Agreement]:
        """Agreement with gold and with each annotator on what is labelled so far; whom nothing can be said of is left out."""
        mine = [choice == "first" for choice in self.chosen]
        differ = [at for at in range(len(mine)) if self._gold[at] != 0]
        found = [
            _agreement("gold", [mine[at] for at in differ], [self._gold[at] > 0 for at in differ], [1.0] * len(differ))
        ]
        for annotator, labels in zip(self.annotators, self._theirs, strict=True):
            best = [best_accuracy(annotator.probability(*seen)) for seen in self._seen[: len(mine)]]
            found.append(_agreement(annotator.name, mine, labels[: len(mine)], best))
        return [one for one in found if one is not None]


def _agreement(name: str, mine: Sequence[bool], theirs: Sequence[bool], best: Sequence[float]) -> Agreement | None:
    if not mine:
        return None
    same = score_interval([float(a == b) for a, b in zip(mine, theirs, strict=True)])
    return Agreement(name, len(mine), same, cohen_kappa(mine, theirs), math.fsum(best) / len(best))


def _turned_round(pair: Preference) -> Preference:
    """The same pair with the other label."""
    gold = None if pair.gold is None else pair.gold[::-1]
    ids = (pair.prompt_ids, pair.rejected_ids, pair.chosen_ids)
    return Preference(pair.prompt, pair.rejected, pair.chosen, *ids, "you", gold)
