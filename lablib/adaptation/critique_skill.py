"""Can a model criticise its own answers and mend them? Asked about answers whose fault is known, of held-out combinations.

A critique is right if its verdict is: it says that the rule is broken where it is, and that it is kept where it is. A revision is judged by
the world like any answer, and its scores stand beside those of the first answer.

Left out: whether the reason that a critique gives is the right one.
"""

from dataclasses import dataclass
from random import Random

import torch

from lablib.adaptation.adherence import Adherence, Interval, adherence, judged, respond, score_interval
from lablib.adaptation.chat import render
from lablib.adaptation.critique import BREAKS, BROKEN, KEPT, Draft, breaks, draft, talk
from lablib.adaptation.faults import able, pick
from lablib.architecture.decoder import CausalModel
from lablib.corpus.world import World
from lablib.corpus.world.requests import types
from lablib.pretraining.sampling import Sampling
from lablib.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Skill:
    """What a model makes of answers with a known fault.

    Attributes:
        verdicts: fault ("" for none) -> the share of right verdicts, with its 95 % interval. Of answers with a fault, half
            are held against a rule that they break.
        before, after: gold scores of the answers with a fault, and of what the model writes in their place.
    """

    verdicts: dict[str, Interval]
    before: Adherence
    after: Adherence


def cases(n: int, fault: str, seed: int | str = 0, split: str = "held_out") -> list[tuple[Draft, str]]:
    """n answers with a fault (a key of `critique.BROKEN`), each with a rule; every second rule is broken, where any can be."""
    generator = Random(f"critique {seed} {fault}")
    asked = World().instructions(generator, split, able(fault, frozenset(types())))
    found: list[tuple[Draft, str]] = []
    while len(found) < n:
        answer = draft(next(asked), fault.partition(".")[0], generator)
        if answer is not None:
            rules = (BROKEN, KEPT)[len(found) % 2][fault] or KEPT[fault]
            found.append((answer, pick(rules, generator)))
    return found


def skill(
    model: CausalModel,
    tokenizer: Tokenizer,
    n: int = 40,
    seed: int | str = 0,
    split: str = "held_out",
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
    new_wordings: bool = False,
) -> Skill:
    """Verdicts and revisions of a model on n answers of each fault.

    Args:
        split: of the instructions. new_wordings: give the rules in words that no conversation has, instead of those it has read.
        sampling, generator: as in `respond`.
    """
    chance = Random(f"wordings {seed}")
    wordings = slice(-1, None) if new_wordings else slice(-1)
    verdicts: dict[str, Interval] = {}
    broken: list[Draft] = []
    revised: list[str] = []
    for fault in BROKEN:
        answers = cases(n, fault, seed, split)
        talks = [talk(answer, rule, chance, "critique", wordings) for answer, rule in answers]
        said = respond(model, tokenizer, [one.turns[:-1] for one in talks], "chat", sampling, generator)
        truth = [one.turns[-1].text.startswith(BREAKS) for one in talks]
        verdicts[fault] = score_interval([float(breaks(s) is t) for s, t in zip(said, truth, strict=True)])
        mend = [answer for answer, rule in answers if rule in BROKEN[fault]]
        if mend:
            both = [talk(answer, BROKEN[fault][0], chance, "both", wordings) for answer in mend]
            # the model's own critique stands in the conversation, right or wrong
            first = respond(model, tokenizer, [one.turns[:3] for one in both], "chat", sampling, generator)
            asked = [
                (*one.turns[:3], one.turns[3]._replace(text=own), one.turns[4])
                for one, own in zip(both, first, strict=True)
            ]
            # a model that writes no words may fill its context by a critique: then it has mended nothing
            room = model.sizes.context - 1
            fit = [one for one in asked if len(render(one, tokenizer, reply=True)) <= room]
            mended = iter(respond(model, tokenizer, fit, "chat", sampling, generator) if fit else ())
            revised += [next(mended) if one in fit else "" for one in asked]
            broken += mend
    instructions = [answer.instruction for answer in broken]
    return Skill(
        verdicts,
        adherence(judged(instructions, [answer.text for answer in broken])),
        adherence(judged(instructions, revised)),
    )
