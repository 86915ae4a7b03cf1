"""Labels by a model, as lab 15 counts them and learns from them: what the judge read, its labels in the shape of
people's, and a coin in their place.

Left out: making the labels (`ai_labels`), and the two stages around them (`cai`).
"""

from collections.abc import Sequence
from random import Random

import torch

from lablib.adaptation.adherence import as_ids
from lablib.adaptation.chat import render
from lablib.adaptation.critique import BREAKS, KEEPS
from lablib.alignment.ai_labels import Judge, Question
from lablib.alignment.cai import Labelled
from lablib.alignment.dpo_study import turned
from lablib.alignment.preference_pairs import Preference
from lablib.alignment.responses import Response, gold, gold_reward
from lablib.corpus.sources.conversations import Turn
from lablib.tokens.tokenizer import Tokenizer


def lengths_of(responses: Sequence[Response], tokenizer: Tokenizer) -> list[int]:
    """Tokens of each prompt with its response."""
    return [len(as_ids(one.instruction.prompt, tokenizer)) + len(one.ids) for one in responses]


def watched(judge: Judge, tokenizer: Tokenizer, lengths: list[int]) -> Judge:
    """The same `verdict_judge`; the tokens that it reads, each answer with either verdict behind it, are put down in `lengths`."""
    verdicts = [len(tokenizer.encode(text)) for text in (KEEPS, BREAKS)]

    def watching(questions: Sequence[Question]) -> torch.Tensor:
        for q in questions:
            for answer in (q.first, q.second):
                talk = (Turn("user", q.prompt), Turn("assistant", answer), Turn("user", q.principle.asks()))
                lengths.extend(len(render(talk, tokenizer, reply=True)) + n for n in verdicts)
        return judge(questions)

    return watching


def preferences(
    labels: Sequence[Labelled], drawn: Sequence[Sequence[Response]], tokenizer: Tokenizer
) -> list[Preference]:
    """AI labels as preferences, with the tokens that were drawn and the gold scores beside."""
    ids = {(one.instruction.prompt, one.text): one for pair in drawn for one in pair}
    found = []
    for label in labels:
        chosen, rejected = (ids[label.prompt, text] for text in (label.chosen, label.rejected))
        a, b = gold([chosen, rejected])
        prompt = tuple(as_ids(label.prompt, tokenizer))
        talk = (Turn("user", label.prompt),)
        found.append(
            Preference(talk, chosen.text, rejected.text, prompt, chosen.ids, rejected.ids, "the model", (a, b))
        )
    return found


def right_among(pairs: Sequence[Preference]) -> tuple[int, int]:
    """(right, n): n pairs differ in gold, and in so many of them the label agrees with it."""
    gaps = [gold_reward(p.gold[0]) - gold_reward(p.gold[1]) for p in pairs if p.gold is not None]
    return sum(gap > 0 for gap in gaps), sum(gap != 0 for gap in gaps)


def by_a_coin(pairs: Sequence[Preference], generator: Random) -> list[Preference]:
    """The same pairs; which response was chosen is drawn anew for each, either with probability 1/2, whatever its label was."""
    return [turned(pair) if generator.random() < 0.5 else pair for pair in pairs]
