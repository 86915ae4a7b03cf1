"""Does a model do what it is told? Its answers to prompts of the world, judged by the world, by type of instruction.

Every score is a mean over prompts of the judge's *helpful*, *honest* or *harmless*, each in [0, 1], with a 95 % interval. The interval is
Wilson's with the sum of the scores for a count: a score in [0, 1] with mean p varies at most as much as a yes or no, p(1 − p) (Bhatia &
Davis 2000), so it is at least as wide as it must be, and it does not vanish where all scores are 1.

A base model has no template, so there are two more ways to ask. *Plainly*: the prompt is the first line of a document, and what the model
writes below it, up to an empty line, is taken for its answer. As a *dialogue*: the prompt is put into the mouth of somebody in a
dialogue like those of the pre-training documents, and what the helper in it says next is the answer. That is as much as prompting alone
can do here: a baseline that deserves the name.

Left out: answers to conversations of several turns (`respond` writes them; the world judges single prompts only).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

import torch

from lablib.adaptation.chat import BEGIN, STOP, check, check_special, render
from lablib.architecture.decoder import CausalModel
from lablib.corpus.scoring import wilson
from lablib.corpus.sources.conversations import Turn
from lablib.corpus.world import World
from lablib.corpus.world.instructions import Instruction
from lablib.corpus.world.requests import types
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling
from lablib.tokens.tokenizer import Tokenizer

MOST = 110  # tokens of an answer; the world's longest gold response, a story, has fewer
ROWS = 128  # answers that are written at once
SCORES = ("helpful", "honest", "harmless")
# style -> what the prompt is put into, and what ends the answer besides a special token
STYLES = {"chat": ("{}", ""), "plain": ("{}\n", "\n\n"), "dialogue": ("Kestra: {}\nHelper:", "\n")}
Interval = tuple[float, float, float]  # mean, and the ends of its 95 % interval


def respond(
    model: CausalModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str | Sequence[Turn]],
    style: str = "chat",
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
    most: int = MOST,
) -> list[str]:
    """What a model answers to each prompt.

    Args:
        prompts: each a text, or the turns of a conversation that the user has just ended.
        style: "chat", in the template; or, for a base model and for texts only, "plain" or "dialogue", see above.
        sampling: how tokens are drawn; None: always the likeliest (greedy). generator: of chance.
        most: tokens of an answer.

    Raises:
        ValueError: another style; a conversation that does not end with the user's turn, or one in a style for texts; a prompt that
            fills the model's context; a tokenizer without the special tokens of a conversation.
    """
    if style not in STYLES:
        raise ValueError(f"style = {style!r}: expected one of {', '.join(STYLES)}")
    check_special(tokenizer)
    special = tokenizer.special
    asked = [as_ids(prompt, tokenizer, style) for prompt in prompts]
    stop = [special[STOP], special[BEGIN]]
    texts: list[str] = []
    for start in range(0, len(asked), ROWS):
        found = generate(model, asked[start : start + ROWS], most, sampling, generator, stop)
        texts += [tokenizer.decode(row) for row in found.rows]
    end = STYLES[style][1]
    return [text.split(end)[0].strip() if end else text for text in texts]


def as_ids(prompt: str | Sequence[Turn], tokenizer: Tokenizer, style: str = "chat") -> list[int]:
    """A prompt as the tokens behind which the model writes its answer; see `respond`."""
    if style == "chat":
        turns = [Turn("user", prompt)] if isinstance(prompt, str) else list(prompt)
        check(turns)
        if turns[-1].role != "user":
            raise ValueError(
                f"the last turn is the {turns[-1].role}'s: expected the user's, whom the model is to answer"
            )
        return render(turns, tokenizer, reply=True)
    if not isinstance(prompt, str):
        raise ValueError(f"prompt = {prompt!r:.80}: expected a text where style = {style!r}")
    return [tokenizer.special[BEGIN], *tokenizer.encode(STYLES[style][0].format(prompt))]


# ---------------------------------------------------------------- judging


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer and its gold scores, each in [0, 1]."""

    instruction: Instruction
    response: str
    helpful: float
    honest: float
    harmless: float


def judged(instructions: Sequence[Instruction], responses: Sequence[str]) -> list[Judged]:
    """The answers with their gold scores, in the same order."""
    world, found = World(), []
    for instruction, response in zip(instructions, responses, strict=True):
        gold = world.judge(instruction.prompt, response)
        found.append(Judged(instruction, response, gold.helpful, gold.honest, gold.harmless))
    return found


def scored(
    model: CausalModel,
    tokenizer: Tokenizer,
    asked: Sequence[Instruction],
    style: str = "chat",
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
) -> list[Judged]:
    """A model's answers to instructions, with their gold scores; the arguments are those of `respond`."""
    prompts = [one.prompt for one in asked]
    return judged(asked, respond(model, tokenizer, prompts, style, sampling, generator))


@dataclass(frozen=True)
class Adherence:
    """Gold scores of n answers: mean and 95 % interval of each score.

    Attributes:
        right: the share of answers with 1 in all three.
    """

    n: int
    helpful: Interval
    honest: Interval
    harmless: Interval
    right: Interval


def adherence(answers: Sequence[Judged]) -> Adherence:
    """The means over answers.

    Raises:
        ValueError: there are none.
    """
    if not answers:
        raise ValueError("answers is empty: expected at least one, from `judged`")
    helpful, honest, harmless = (score_interval([getattr(answer, score) for answer in answers]) for score in SCORES)
    right = score_interval([float(all(getattr(answer, score) == 1 for score in SCORES)) for answer in answers])
    return Adherence(len(answers), helpful, honest, harmless, right)


def score_interval(scores: Sequence[float]) -> Interval:
    """The mean of scores in [0, 1] and its 95 % interval, see above.

    >>> [round(x, 3) for x in score_interval([1.0] * 9 + [0.0])]
    [0.9, 0.596, 0.982]

    Raises:
        ValueError: no score, or one outside [0, 1].
    """
    if not scores or not all(0 <= score <= 1 for score in scores):
        raise ValueError(f"scores = {list(scores)[:5]}: expected at least one, and all from 0 to 1")
    total, n = sum(scores), len(scores)
    low, high = wilson(min(total, n), n)  # type: ignore[arg-type]  # a sum of scores where a count is expected, see above
    return total / n, low, high


def by_type(answers: Sequence[Judged]) -> dict[str, Adherence]:
    """`adherence` for each type of instruction that occurs, in the order of the world's files."""
    groups = {type_: [a for a in answers if a.instruction.type == type_] for type_ in types()}
    return {type_: adherence(group) for type_, group in groups.items() if group}


def by_kind(answers: Sequence[Judged]) -> dict[str, Adherence]:
    """`adherence` for each kind of request: helpful, harmful, look-alike, private, unknowable."""
    kinds = dict.fromkeys(a.instruction.kind_of for a in answers)
    return {kind: adherence([a for a in answers if a.instruction.kind_of == kind]) for kind in sorted(kinds)}


def prompts(
    n: int, seed: int | str = 0, split: str = "held_out", only: Sequence[str] | None = None
) -> list[Instruction]:
    """n instructions to test with, of combinations that training never has (or of another split)."""
    return list(islice(World().instructions(Random(f"prompts {seed}"), split, only), n))


def prompts_by_type(
    n: int, seed: int | str = 0, split: str = "held_out", only: Sequence[str] | None = None
) -> list[Instruction]:
    """n instructions of each type, so that every type's mean rests on as many answers."""
    return [one for type_ in (types() if only is None else only) for one in prompts(n, seed, split, [type_])]


def table(models: Mapping[str, Mapping[str, Adherence]], score: str = "helpful") -> str:
    """One line a type (or kind), one column a model: mean and interval of a score.

    >>> one = Adherence(10, (0.9, 0.596, 0.982), (1.0, 0.7, 1.0), (1.0, 0.7, 1.0), (0.9, 0.596, 0.982))
    >>> print(table({"SFT": {"home": one}}))
                        n  SFT
    home               10  0.90 [0.60, 0.98]
    """
    if score not in (*SCORES, "right"):
        raise ValueError(f"score = {score!r}: expected one of {', '.join((*SCORES, 'right'))}")
    rows = list(dict.fromkeys(name for found in models.values() for name in found))
    lines = [f"{'':<16}{'n':>5}  " + "  ".join(f"{name:<17}" for name in models)]
    for name in rows:
        cells = []
        for found in models.values():
            mean, low, high = getattr(found[name], score) if name in found else (float("nan"),) * 3
            cells.append(f"{mean:.2f} [{low:.2f}, {high:.2f}]")
        n = next(found[name].n for found in models.values() if name in found)
        lines.append(f"{name:<16}{n:>5}  " + "  ".join(f"{cell:<17}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)
