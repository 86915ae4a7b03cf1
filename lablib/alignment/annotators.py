"""Simulated annotators: who is shown two responses, says which is better, and is wrong in ways that are written down.

Real labels come from people who are in a hurry, who like long answers, and who sometimes press the wrong key. How much of each
there is in a real set nobody knows. Here it is stated, so that it can be asked what a reward model makes of it. An annotator
chooses the first of two responses to a prompt with the probability

    P(first ≻ second) = lapse/2 + (1 − lapse) · σ( (gold₁ − gold₂)/temperature + length_bias · (words₁ − words₂) )

*gold* is the judge's reward in [0, 1]. The *temperature* says how large a difference must be to be seen: one of that size is
worth 1 nat, so it is chosen rightly in 73 of 100 cases. The *length bias* is worth so many nats for each word that a response has
more. With the probability *lapse* the annotator does not look, and throws a coin.

Since the probabilities are known, so is the *noise ceiling*: nobody who predicts a label can be right more often than with the
likelier of the two, max(P, 1 − P). To ask more of a reward model would be to ask it to predict coins. A model that knows the gold
reward exactly, and nothing of the annotators' taste for length, has another, lower ceiling: what lies between the two is the
reward for learning the bias.

Papers: Bradley & Terry 1952, "Rank Analysis of Incomplete Block Designs"; Wichmann & Hill 2001, "The Psychometric Function I" (the
lapse rate, eq. 1); Singhal et al. 2023, "A Long Way to Go: Investigating Length Correlations in RLHF"; Lee, Smith, Dragan &
Abbeel 2021, "B-Pref: Benchmarking Preference-Based Reinforcement Learning" (simulated teachers with stated flaws).

Left out: a preference for what is shown first, annotators who tire, ties.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from lablib.alignment.responses import EVEN, Response, Weights, gold_reward
from lablib.corpus.scoring import Z95
from lablib.corpus.world.judge import Judgement
from lablib.corpus.world.wording import WORD


@dataclass(frozen=True, slots=True)
class Seen:
    """A response as an annotator sees it.

    Attributes:
        gold: the judge's three scores. words: how many words it has.
    """

    gold: Judgement
    words: int

    @classmethod
    def of(cls, response: Response, gold: Judgement) -> "Seen":
        """From a response and the judgement of it."""
        return cls(gold, words_of(response.text))


def words_of(text: str) -> int:
    """How many words a text has.

    >>> words_of("No, it isn't. It is a hen's egg.")
    8
    """
    return len(WORD.findall(text))


@dataclass(frozen=True, slots=True)
class Annotator:
    """Somebody who labels pairs.

    Args:
        name: for the label. temperature: the difference of gold that is worth 1 nat, above 0; gold rewards are in [0, 1].
        length_bias: nats for each word more; below 0 for somebody who likes it short.
        lapse: the share of pairs that are not looked at, from 0 to 1. weights: what counts how much in the gold reward.

    Raises:
        ValueError: a number outside its range.
    """

    name: str
    temperature: float = 0.25
    length_bias: float = 0.0
    lapse: float = 0.0
    weights: Weights = EVEN

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty: expected one, by which the annotator's labels are known")
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature = {self.temperature}: expected a number > 0, such as 0.25; 0.001 sees everything"
            )
        if not math.isfinite(self.length_bias):
            raise ValueError(
                f"length_bias = {self.length_bias}: expected a finite number of nats per word, such as 0.05"
            )
        if not 0 <= self.lapse <= 1:
            raise ValueError(f"lapse = {self.lapse}: expected a share from 0 to 1")

    def nats(self, first: Seen, second: Seen) -> float:
        """By how much the first seems better, in nats: the log-odds of choosing it, where the annotator looks."""
        difference = gold_reward(first.gold, self.weights) - gold_reward(second.gold, self.weights)
        return difference / self.temperature + self.length_bias * (first.words - second.words)

    def probability(self, first: Seen, second: Seen) -> float:
        """P(first ≻ second), exactly.

        >>> right = Seen(Judgement(1.0, 1.0, 1.0), words=4)
        >>> wrong = Seen(Judgement(0.0, 0.0, 1.0), words=14)
        >>> round(Annotator("Ida", temperature=1 / 3).probability(right, wrong), 3)  # σ(2)
        0.881
        >>> round(Annotator("Tom", temperature=1 / 3, length_bias=0.2).probability(right, wrong), 3)  # σ(2 − 2)
        0.5
        """
        return self.lapse / 2 + (1 - self.lapse) * sigmoid(self.nats(first, second))

    def prefers_first(self, first: Seen, second: Seen, generator: Random) -> bool:
        """The label, drawn: True where the first is chosen. One `generator.random()` is used up."""
        return generator.random() < self.probability(first, second)


# three who differ: one takes care, one is in a hurry, one is impressed by length
CAREFUL = Annotator("careful", temperature=0.08, length_bias=0.0, lapse=0.02)
HASTY = Annotator("hasty", temperature=0.15, length_bias=0.02, lapse=0.08)
IMPRESSED = Annotator("impressed by length", temperature=0.12, length_bias=0.15, lapse=0.04)
ANNOTATORS = (CAREFUL, HASTY, IMPRESSED)


def sigmoid(x: float) -> float:
    """1/(1 + e^−x), safe at any x.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(x))


# ---------------------------------------------------------------- what can be known of their labels


def pooled(annotators: Sequence[Annotator], first: Seen, second: Seen) -> float:
    """P(first ≻ second) when one of the annotators is drawn to label the pair, each with the same chance.

    Raises:
        ValueError: there is no annotator.
    """
    if not annotators:
        raise ValueError("annotators is empty: expected at least one")
    return math.fsum(one.probability(first, second) for one in annotators) / len(annotators)


def best_accuracy(probability: float) -> float:
    """How often the best guess at one label is right: that of the likelier one.

    >>> best_accuracy(0.3), best_accuracy(0.5)
    (0.7, 0.5)
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability = {probability}: expected a number from 0 to 1")
    return max(probability, 1 - probability)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The accuracy of a perfect predictor on a set of labels.

    Attributes:
        mean: over the pairs, exact: no label was drawn for it.
        low, high: where 95 of 100 drawings of these very labels would put such a predictor: a model above `high` was lucky.
        n: pairs.
    """

    mean: float
    low: float
    high: float
    n: int


def noise_ceiling(probabilities: Sequence[float]) -> Ceiling:
    """The best accuracy that any model could reach, who knows everything but how the coins fell.

    Args: probabilities: P(first ≻ second) of each pair: `Annotator.probability` where it is known who labels the pair, else `pooled`.

    >>> noise_ceiling([1.0, 0.5]).mean
    0.75
    """
    return _ceiling([best_accuracy(probability) for probability in probabilities])


def gold_ceiling(probabilities: Sequence[float], gold_differences: Sequence[float]) -> Ceiling:
    """The accuracy of always predicting that the response with more gold is chosen: of a model that learned what is good, and no bias.

    Args: gold_differences: gold reward of the first minus that of the second, of each pair. Where it is 0, gold says nothing: ½.

    >>> gold_ceiling([0.9, 0.2, 0.6], [0.5, 1.0, 0.0]).mean  # 0.9, 0.2 and ½
    0.5333333333333333
    """
    if len(probabilities) != len(gold_differences):
        raise ValueError(
            f"{len(probabilities)} probabilities and {len(gold_differences)} gold_differences: expected one each"
        )
    pairs = zip(probabilities, gold_differences, strict=True)
    return _ceiling([p if gold > 0 else 1 - p if gold < 0 else 0.5 for p, gold in pairs])


def _ceiling(right: Sequence[float]) -> Ceiling:
    """right: of each pair, how often the predictor is right."""
    if not right:
        raise ValueError("probabilities is empty: expected one for each pair, and at least one pair")
    n = len(right)
    mean = math.fsum(right) / n
    half = Z95 * math.sqrt(math.fsum(p * (1 - p) for p in right)) / n  # a sum of coins, each with its own p
    return Ceiling(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def labelled(
    pairs: Sequence[tuple[Seen, Seen]], annotators: Sequence[Annotator], generator: Random
) -> list[tuple[bool, ...]]:
    """Each annotator labels every pair: for each pair their labels, True = the first. What `agreement` measures."""
    return [tuple(one.prefers_first(first, second, generator) for one in annotators) for first, second in pairs]
