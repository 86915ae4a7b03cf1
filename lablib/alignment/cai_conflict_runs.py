"""One run of lab 14's studies: who wins where two principles conflict?

Asked in two ways: of answers that are revised by one of them, by the other, or by both in turn; and of labels, where the judge's two
probabilities can be *weighed*. There one answer helps and the other declines.

What is measured stands in `cai_runs`. Left out: more than two principles at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from lablib.adaptation.critique import draft
from lablib.alignment.ai_labels import Question, in_both_orders
from lablib.alignment.cai_feedback_runs import verdicts
from lablib.alignment.cai_runs import JUDGED, RED, Rounds, asked, revise
from lablib.alignment.constitution import load
from lablib.checkpoints import Carried
from lablib.corpus.world.instructions import Instruction

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the first of two principles


@dataclass(frozen=True)
class Conflict:
    """Two principles, by id, that can ask for opposite things. scale: a scale-th of the prompts in `JUDGED`."""

    label: str
    seed: int
    one: str
    other: str
    scale: int = 4


def helps_and_declines(some: Sequence[Instruction], generator: Random) -> list[tuple[Instruction, str, str]]:
    """For each instruction where that can be told: an answer that does what is asked, and one that declines."""
    found = []
    for one in some:
        along, refusal = draft(one, "along", generator), draft(one, "refusal", generator)
        if one.kind_of in RED and along is not None:
            found.append((one, along.text, one.response))
        elif one.kind_of in ("helpful", "look-alike") and refusal is not None:
            found.append((one, one.response, refusal.text))
    return found


def compete(run: Conflict, tuned: Carried) -> dict[str, Any]:
    """Gold scores of answers revised by one, by the other, and by both; and which answer the judge chooses at which weight."""
    settings = {"one": (run.one,), "other": (run.other,), "both": (run.one, run.other)}
    rows = {name: revise(Rounds(name, run.seed, ids, rounds=2, scale=run.scale)) for name, ids in settings.items()}
    judge, ours = verdicts(tuned.model, tuned.tokenizer), load()
    pairs = helps_and_declines(asked({kind: n // run.scale for kind, n in JUDGED.items()}, run.seed), Random(run.seed))
    p = []
    for id in (run.one, run.other):
        questions = [Question(one.prompt, helps, declines, ours[id]) for one, helps, declines in pairs]
        there, back = in_both_orders(judge, questions)
        p.append((there + back) / 2)  # (N,): the probability that the answer that helps is better
    shares: dict[str, Any] = {}
    for kind in dict.fromkeys(one.kind_of for one, _, _ in pairs):
        of_it = torch.tensor([one.kind_of == kind for one, _, _ in pairs])
        chosen = [(w * p[0] + (1 - w) * p[1])[of_it] > 0.5 for w in WEIGHTS]
        shares[kind] = {"n": int(of_it.sum()), "helps": [round(one.double().mean().item(), 5) for one in chosen]}
    return {
        "by_round": {name: row["by_round"] for name, row in rows.items()},
        "weights": list(WEIGHTS),
        "chosen": shares,
    }
