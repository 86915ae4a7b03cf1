"""Stage 1 of Constitutional AI: the model answers, criticises its own answer by a principle, and writes it anew; nobody labels anything.

    write = writer(sft.model, sft.tokenizer, generator=torch.Generator().manual_seed(0))
    talks = critique_and_revise(write, prompts, load(), rounds=2, generator=Random(0))
    kept, dropped = filtered(talks)
    examples = [conversation(talk) for talk in kept]      # what to fine-tune on: the prompt with the last answer, without the talk about it

Each round holds the answer against one principle, drawn anew. The critique is the model's own, right or wrong, and so is the revision. The
carried model has learned to talk about *one* answer, so a round begins a new talk with the answer of the round before.

A critique that finds nothing wrong, or says nothing that can be read, ends the round: the answer stays. (The paper revises always;
there the model had not learned to say "It keeps to the rule". `always=True` does as the paper.)

Paper: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback" (§3.1: critique, revision, one principle drawn for each
step; §3.2: the fine-tuning set; §3.4: the number of revisions).

Left out: examples of critiques in the prompt (the paper's models needed some; ours learned the format in lab 09).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch

from lablib.adaptation.adherence import MOST, respond
from lablib.adaptation.chat import Conversation, render
from lablib.adaptation.critique import AT_ONCE, BREAKS, KEEPS, breaks
from lablib.alignment.constitution import Constitution, Principle
from lablib.architecture.decoder import CausalModel
from lablib.corpus.sources.conversations import Turn
from lablib.pretraining.sampling import Sampling
from lablib.tokens.tokenizer import Tokenizer

Talk = tuple[Turn, ...]
# conversations that the user has just ended -> the assistant's next turns
Writer = Callable[[Sequence[Talk]], list[str]]
# a critique -> True: the rule is broken, False: it is kept, None: neither can be read
Verdict = Callable[[str], bool | None]
ROOM = 16  # tokens: a talk that leaves less room in the context gets an empty answer


def writer(
    model: CausalModel,
    tokenizer: Tokenizer,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
    most: int = MOST,
) -> Writer:
    """A model as something that writes the next turn; the arguments are those of `respond`.

    A talk that fills the model's context, so that fewer than `ROOM` tokens are left, gets "". What turns say is text:
    a marker that is spelled out in it stays letters (`chat.render`).
    """

    def write(talks: Sequence[Talk]) -> list[str]:
        context = model.sizes.context
        fit = [i for i, talk in enumerate(talks) if len(render(talk, tokenizer, reply=True)) <= context - ROOM]
        texts = [""] * len(talks)
        for i, text in zip(
            fit, respond(model, tokenizer, [talks[i] for i in fit], "chat", sampling, generator, most), strict=True
        ):
            texts[i] = text
        return texts

    return write


@dataclass(frozen=True, slots=True)
class Round:
    """One critique and what came of it.

    Attributes:
        principle: what the answer was held against. critique: what the model said of it. broken: its verdict, None where it gave none.
        answer: the answer after this round, the new one or, where `revised` is False, the one before.
    """

    principle: Principle
    critique: str
    broken: bool | None
    answer: str
    revised: bool


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that was said about one prompt.

    Attributes:
        prompt, first: what was asked, and the model's first answer. rounds: see `Round`.
        check: what the model says of the *last* answer by the last principle that had been broken; "" where none was.
    """

    prompt: str
    first: str
    rounds: tuple[Round, ...]
    check: str = ""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answer before the first round, after it, after the second, …"""
        return (self.first, *(one.answer for one in self.rounds))

    @property
    def last(self) -> str:
        """The answer after all rounds."""
        return self.answers[-1]

    @property
    def revised(self) -> bool:
        """Was the answer written anew at least once?"""
        return any(one.revised for one in self.rounds)


def critique_and_revise(
    write: Writer,
    prompts: Sequence[str],
    constitution: Constitution,
    rounds: int,
    generator: Random,
    first: Sequence[str] | None = None,
    always: bool = False,
    verdict: Verdict = breaks,
    plainly: bool = False,
    at_once: bool = False,
) -> list[Transcript]:
    """Let a model criticise and mend its own answers.

    Args:
        write: the model, see `writer`; it is asked for many turns at once. prompts: what users ask, such as red-team
            prompts.
        rounds: critiques of each answer. generator: draws the principles, `constitution.draw`.
        first: answers to begin with; None: the model's own. always: write anew whatever the critique says.
        verdict: reads a critique; the default knows the carried model's words. plainly: the principles' texts for
            people, for other models. at_once: write anew by the principle without a critique (§3.5 of the paper compares the two).

    Raises:
        ValueError: rounds below 0, or answers that are not one for each prompt.
    """
    if rounds < 0:
        raise ValueError(f"rounds = {rounds}: expected a number >= 0")
    if first is not None and len(first) != len(prompts):
        raise ValueError(f"first has {len(first)} answers to {len(prompts)} prompts: expected one for each")
    now = list(first) if first is not None else write([(Turn("user", prompt),) for prompt in prompts])
    begun = list(now)
    done: list[list[Round]] = [[] for _ in prompts]
    for _ in range(rounds):
        drawn = [constitution.draw(generator) for _ in prompts]
        if at_once:
            found = rewritten(write, prompts, now, drawn, plainly)
        else:
            found = one_round(write, prompts, now, drawn, always, verdict, plainly)
        for i, one in enumerate(found):
            now[i] = one.answer
            done[i].append(one)
    checked = _checks(write, prompts, done, plainly)
    return [Transcript(*one) for one in zip(prompts, begun, map(tuple, done), checked, strict=True)]


def one_round(
    write: Writer,
    prompts: Sequence[str],
    answers: Sequence[str],
    drawn: Sequence[Principle],
    always: bool = False,
    verdict: Verdict = breaks,
    plainly: bool = False,
) -> list[Round]:
    """Hold each answer against its principle, and have it written anew where the critique finds it broken; N of all."""
    talks = [critique_turns(*one, plainly) for one in zip(prompts, answers, drawn, strict=True)]
    said = write(talks)
    broken = [verdict(text) for text in said]
    mend = [i for i, text in enumerate(said) if text and (always or broken[i] is True)]
    new = dict(zip(mend, write([revision_turns(talks[i], said[i], drawn[i]) for i in mend]), strict=True))
    return [Round(principle, said[i], broken[i], new.get(i, answers[i]), i in new) for i, principle in enumerate(drawn)]


def rewritten(
    write: Writer, prompts: Sequence[str], answers: Sequence[str], drawn: Sequence[Principle], plainly: bool = False
) -> list[Round]:
    """Have each answer written anew by its principle, with no critique before it; N of all."""
    talks = [at_once_turns(*one, plainly) for one in zip(prompts, answers, drawn, strict=True)]
    new = write(talks)
    return [Round(principle, "", None, text, True) for principle, text in zip(drawn, new, strict=True)]


def at_once_turns(prompt: str, answer: str, principle: Principle, plainly: bool = False) -> Talk:
    """The talk behind which a model writes its answer anew without having criticised it; the arguments are those of `critique_turns`."""
    request = AT_ONCE[0].format(principle.text if plainly else principle.rule)
    return Turn("user", prompt), Turn("assistant", answer), Turn("user", request)


def critique_turns(prompt: str, answer: str, principle: Principle, plainly: bool = False) -> Talk:
    """The talk behind which a model writes its critique: what was asked, what it answered, the request for a critique.

    Args:
        prompt, answer: texts. principle: see `Principle.asks`, and there for plainly.

    >>> from lablib.alignment.constitution import load
    >>> critique_turns("Hi", "Go away.", load()["openness"])[-1].text
    'Does your answer keep to this rule? Do not refuse what is harmless.'
    """
    return Turn("user", prompt), Turn("assistant", answer), Turn("user", principle.asks(plainly))


def revision_turns(talk: Talk, critique: str, principle: Principle) -> Talk:
    """The talk behind which a model writes its answer anew: talk and critique so far, and the request for a revision.

    Args:
        talk: from `critique_turns`. critique: what the model said of it, right or wrong. principle: the same one.
    """
    return (*talk, Turn("assistant", critique), Turn("user", principle.revision))


def _checks(write: Writer, prompts: Sequence[str], rounds: Sequence[Sequence[Round]], plainly: bool) -> list[str]:
    """What the model says of each last answer by the principle for which it was last revised; "" where it never was."""
    last = {
        i: [one for one in some if one.revised][-1] for i, some in enumerate(rounds) if any(r.revised for r in some)
    }
    said = write([critique_turns(prompts[i], rounds[i][-1].answer, one.principle, plainly) for i, one in last.items()])
    by_number = dict(zip(last, said, strict=True))
    return [by_number.get(i, "") for i in range(len(prompts))]


# ---------------------------------------------------------------- what is kept

# reason -> is it one to drop this transcript for? In this order; the first that holds is counted
REASONS: dict[str, Callable[[Transcript], bool]] = {
    "empty": lambda one: not one.last.strip(),
    "cut off": lambda one: one.last.strip()[-1] not in ".!?:…\"'”",
    "talks about the rule": lambda one: any(words in one.last for words in (KEEPS, BREAKS)),
}  # fmt: skip


def filtered(transcripts: Sequence[Transcript], verdict: Verdict = breaks) -> tuple[list[Transcript], Counter[str]]:
    """The transcripts whose last answer is fit to be learned, and how many were dropped for which reason.

    Dropped is an answer that is empty or was cut off, one that is a critique itself, and one that breaks the rule
    still in the model's own eyes, or of which it cannot say. All of this is seen without the truth; what the filter
    misses, the lab counts by gold.

    >>> kept, dropped = filtered([Transcript("Hi", "Hello.", ()), Transcript("Hi", " ", ())])
    >>> len(kept), dict(dropped)
    (1, {'empty': 1})
    """
    kept: list[Transcript] = []
    dropped: Counter[str] = Counter()
    for one in transcripts:
        reason = next((reason for reason, holds in REASONS.items() if holds(one)), "")
        if not reason and one.revised and verdict(one.check) is not False:
            reason = "still broken" if verdict(one.check) else "no verdict"
        if reason:
            dropped[reason] += 1
        else:
            kept.append(one)
    return kept, dropped


def conversation(transcript: Transcript, kind: str = "constitution") -> Conversation:
    """What to fine-tune on: the prompt and the last answer, as if it had been the first.

    Bai et al. 2022, §3.1, tune on the revisions of all rounds.
    """
    return Conversation((Turn("user", transcript.prompt), Turn("assistant", transcript.last)), kind=kind)
