"""Preferences: two responses of a model to one prompt, of which an annotator chose one. What reward models and DPO learn from.

    found = collect(sft.model, sft.tokenizer, n=5000, generator=Random(0))
    train, test = held_out_by_prompt(found.pairs, share=0.1)

Both responses are drawn from the model that is to be aligned, so that its labels speak of what it really says (as in Coste et al. 2023,
"Reward Model Ensembles Help Mitigate Overoptimization", §4.3; Stiennon et al. 2020, §3.1, mixed several sources). The gold scores go along
with a pair, apart from the rest: they are there to measure with, and nothing that learns may look at them.

Two responses with the same text leave nothing to choose. They are dropped, and counted: the more certain a model is, the more of its
work goes there.

Left out: pairs of two different models, more than two responses a prompt.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

import torch

from lablib.adaptation.adherence import as_ids
from lablib.alignment.annotators import ANNOTATORS, Annotator, Seen, pooled, words_of
from lablib.alignment.log_probs import Answers, answers
from lablib.alignment.responses import EVEN, MOST, Response, Weights, gold, gold_reward, sample
from lablib.architecture.decoder import CausalModel
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.pretraining.sampling import Sampling
from lablib.tokens.tokenizer import Tokenizer

AT_ONCE = 128  # prompts whose responses are drawn together
TRIED = 1000  # prompts after which a model that hardly ever says two different things is given up
PLAIN = Sampling()  # each token with the probability that the model gives it

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt and two responses, the chosen and the rejected.

    Attributes:
        prompt: the turns, the last of them the user's.
        chosen, rejected: what each says; never the same text.
        prompt_ids: the prompt as tokens, up to `<|assistant|>`. chosen_ids, rejected_ids: the responses' tokens, with the stop token
            where there was one.
        annotator: who chose; for a set of other people the set's name.
        gold: the judge's scores of chosen and rejected, only to measure with; None where nobody knows them.

    Raises:
        ValueError: both responses are the same, or one or the prompt has no token.
    """

    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str
    prompt_ids: Ids
    chosen_ids: Ids
    rejected_ids: Ids
    annotator: str
    gold: tuple[Judgement, Judgement] | None = None

    def __post_init__(self) -> None:
        if self.chosen == self.rejected:
            raise ValueError(
                f"chosen and rejected are the same, {self.chosen!r:.60}: expected two texts; leave such pairs out"
            )
        for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} is empty: expected a token at least; a response that says nothing has its stop token"
                )

    @property
    def asked(self) -> str:
        """The user's last turn."""
        return self.prompt[-1].text

    @property
    def seen(self) -> tuple[Seen, Seen]:
        """Chosen and rejected as an annotator sees them.

        Raises:
            ValueError: their gold scores are not known.
        """
        if self.gold is None:
            raise ValueError(
                f"the gold scores of a pair from {self.annotator!r} are not known: expected a pair of the world"
            )
        return Seen(self.gold[0], words_of(self.chosen)), Seen(self.gold[1], words_of(self.rejected))

    def gold_difference(self, weights: Weights = EVEN) -> float:
        """The gold reward of the chosen less that of the rejected; below 0 where the label is wrong."""
        chosen, rejected = self.seen
        return gold_reward(chosen.gold, weights) - gold_reward(rejected.gold, weights)


@dataclass(frozen=True)
class Collected:
    """What came of collecting.

    Attributes:
        pairs: n of them. drawn: pairs of responses that were drawn for it. identical: of these, dropped for saying the same.
        unfinished: of the responses in `pairs`, those that were cut off. seconds: for everything.
    """

    pairs: list[Preference]
    drawn: int
    identical: int
    unfinished: int
    seconds: float


def collect(
    model: CausalModel,
    tokenizer: Tokenizer,
    n: int,
    generator: Random,
    annotators: Sequence[Annotator] = ANNOTATORS,
    sampling: Sampling = PLAIN,
    split: str = "train",
    only: Sequence[str] | None = None,
    most: int = MOST,
    watch: Callable[[int], object] | None = None,
) -> Collected:
    """Draw prompts, two responses to each, and an annotator who labels them, until there are n pairs.

    Args:
        generator: of prompts, responses and labels; the same gives the same, and more pairs begin with those of fewer.
        annotators: each labels about as many pairs. sampling: how tokens are drawn. most: tokens of a response.
        split, only: of the prompts, as in `World().instructions`. watch: is told now and then how many pairs there are.

    Raises:
        ValueError: n < 1; no annotator; a model that says nearly always the same.
    """
    if n < 1 or not annotators:
        raise ValueError(f"n = {n} pairs from {len(annotators)} annotators: expected at least one of each")
    begin, chance = time.perf_counter(), torch.Generator().manual_seed(int(generator.random() * 2**53))
    asked = World().instructions(generator, split, only)
    pairs: list[Preference] = []
    drawn = identical = unfinished = 0
    while len(pairs) < n:
        for two in sample(model, tokenizer, list(islice(asked, AT_ONCE)), chance, sampling, 2, most):
            if len(pairs) == n:
                break
            drawn += 1
            if two[0].text == two[1].text:
                identical += 1
                continue
            unfinished += sum(not response.finished for response in two)
            pairs.append(_chosen(two, annotators, generator, tokenizer))
        if drawn >= TRIED and len(pairs) < 0.01 * drawn:
            raise ValueError(
                f"of {drawn} pairs of responses {identical} say the same: expected a model that says different things; "
                "draw at a higher temperature?"
            )
        if watch is not None:
            watch(len(pairs))
    return Collected(pairs, drawn, identical, unfinished, time.perf_counter() - begin)


def _chosen(
    two: Sequence[Response], annotators: Sequence[Annotator], generator: Random, tokenizer: Tokenizer
) -> Preference:
    """Label two responses."""
    scores = [Judgement(found.helpful, found.honest, found.harmless) for found in gold(two)]
    first, second = (Seen.of(response, score) for response, score in zip(two, scores, strict=True))
    annotator = annotators[int(generator.random() * len(annotators))]
    best, other = (0, 1) if annotator.prefers_first(first, second, generator) else (1, 0)
    prompt = two[0].instruction.prompt
    return Preference(
        (Turn("user", prompt),),
        two[best].text,
        two[other].text,
        tuple(as_ids(prompt, tokenizer)),
        two[best].ids,
        two[other].ids,
        annotator.name,
        (scores[best], scores[other]),
    )


# ---------------------------------------------------------------- what one does with them


def held_out_by_prompt(pairs: Sequence[Preference], share: float = 0.1) -> tuple[list[Preference], list[Preference]]:
    """Pairs to learn from and pairs to test on, of which no prompt stands in both.

    Args: share: of the *prompts* that are held out, about; a prompt's place depends on its text alone, so it is the same in every set.

    Raises:
        ValueError: share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share = {share}: expected a number between 0 and 1, such as 0.1")

    def place(pair: Preference) -> float:  # in [0, 1), evenly
        text = "\n".join(turn.text for turn in pair.prompt)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48

    return [p for p in pairs if place(p) >= share], [p for p in pairs if place(p) < share]


def label_probabilities(pairs: Sequence[Preference], annotators: Sequence[Annotator] = ANNOTATORS) -> list[float]:
    """P(the chosen one is chosen) of each pair when it is not known who labels it: for `noise_ceiling` and `gold_ceiling`."""
    return [pooled(annotators, *pair.seen) for pair in pairs]


def as_answers(pairs: Sequence[Preference], pad: int) -> tuple[Answers, Answers]:
    """The chosen and the rejected responses, each behind its prompt, as rows of tokens. pad: the token that fills a row."""
    prompts = [pair.prompt_ids for pair in pairs]
    chosen, rejected = ([getattr(pair, name) for pair in pairs] for name in ("chosen_ids", "rejected_ids"))
    return answers(prompts, chosen, pad), answers(prompts, rejected, pad)


def both_answers(pairs: Sequence[Preference], pad: int) -> Answers:
    """All responses of the pairs in one batch, the chosen ones first."""
    prompts = [pair.prompt_ids for pair in pairs]
    return answers(prompts * 2, [pair.chosen_ids for pair in pairs] + [pair.rejected_ids for pair in pairs], pad)
