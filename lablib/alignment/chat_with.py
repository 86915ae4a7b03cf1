"""Ask several models the same thing, and see what each answers, with the gold scores of each answer.

    models = partners(["base", "sft"])
    exchange = ask(models, "Where does Mirabe live?", temperature=0.0)
    for answer in exchange.answers: print(answer.name, answer.text, answer.scores)

All models get the same numbers of chance, and what one answers does not depend on the others beside it: the same prompt, temperature,
seed and number of tokens give the same answer. A temperature of 0 stands for the likeliest token, always.

The world judges only what it understands, so gold scores are there for prompts in its own wordings (`World().instructions` draws such
ones). For any other prompt it is said that there are none: nothing is guessed. The base model has never seen a chat template. It is
asked inside a dialogue like those of its documents, as everywhere in the course (`adherence.STYLES`).

Nothing is printed here, and texts are handed over as they were written: whoever shows them must escape them (`show.visible`).
Left out: conversations. Each prompt stands alone, since only single prompts can be judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lablib import checkpoints, paths
from lablib.adaptation.adherence import MOST, STYLES, as_ids
from lablib.adaptation.chat import BEGIN, STOP
from lablib.alignment.reward_model import HEAD
from lablib.architecture.decoder import CausalModel
from lablib.corpus.world import World
from lablib.corpus.world.judge import Judgement
from lablib.corpus.world.requests import Request, recognise
from lablib.pretraining.generation import generate
from lablib.pretraining.sampling import Sampling
from lablib.tokens.tokenizer import Tokenizer

ORDER = ("base", "sft", "ppo", "dpo", "cai")  # in which models came to be; others stand behind, by name
UNTUNED = ("base",)  # asked inside a dialogue, since they know no chat template
UNJUDGED = "no gold scores: the world does not know this wording, so nobody knows what is right"


@dataclass(frozen=True, slots=True)
class Partner:
    """Somebody to talk to.

    Attributes:
        style: how to ask, see `adherence.STYLES`. origin: one line that says where the model came from.
    """

    model: CausalModel
    tokenizer: Tokenizer
    style: str = "chat"
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model answered.

    Attributes:
        text: without space at the ends. finished: it ended by itself; False: it was cut off.
        gold: the judge's scores; None where the world does not know the prompt.
    """

    name: str
    text: str
    finished: bool
    gold: Judgement | None = None

    @property
    def scores(self) -> dict[str, float] | None:
        """The three gold scores by name, each in [0, 1]."""
        if self.gold is None:
            return None
        return {name: getattr(self.gold, name) for name in ("helpful", "honest", "harmless")}

    @property
    def reasons(self) -> tuple[str, ...]:
        """What took something away from the scores."""
        return () if self.gold is None else self.gold.reasons


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt and everybody's answer.

    Attributes:
        note: for what the world took the prompt; or that it does not know it, and therefore no answer has scores.
    """

    prompt: str
    answers: tuple[Answer, ...]
    note: str


def available() -> list[str]:
    """The models that are there to talk to: the course's, and the learner's own. A reward model does not answer, so it is none."""
    places = (checkpoints.own_path("any").parent, paths.share_path() / "data" / "checkpoints")
    names = {path.parent.name for place in places for path in place.glob(f"*/{checkpoints.RECORD}")}
    found = [name for name in names if _answers(name)]
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def _answers(name: str) -> bool:
    """Is there a model of that name that writes text?"""
    try:
        return not (checkpoints.find(name)[0] / HEAD).is_file()
    except FileNotFoundError:  # of the learner's own, which LABLIB_CHECKPOINTS passes by
        return False


def partners(names: Sequence[str] = ()) -> dict[str, Partner]:
    """Models by name, ready to be asked, in the order of the names; no name: all that are there.

    Raises:
        FileNotFoundError: a name that is not there (yet); the message has those that are.
        ValueError: a name twice, or that of a model that does not answer.
    """
    there = available()
    chosen = list(names) or there
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"names = {', '.join(chosen)}: expected each model once")
    missing = [name for name in chosen if name not in there]
    if any(_is_reward(name) for name in missing):
        raise ValueError(
            f"names = {', '.join(missing)}: a reward model gives answers a number and writes none; expected some of {', '.join(there)}"
        )
    if missing or not chosen:
        raise FileNotFoundError(
            f"names = {', '.join(missing) or '(none)'}: not there; expected some of {', '.join(there) or '(none yet)'}; "
            f"`lab train {(missing or ['base'])[0]}` makes one of your own, if it is a model of the course"
        )
    return {name: _partner(name) for name in chosen}


def _is_reward(name: str) -> bool:
    try:
        return (checkpoints.find(name)[0] / HEAD).is_file()
    except FileNotFoundError:
        return False


def _partner(name: str) -> Partner:
    found = checkpoints.load(name)
    return Partner(found.model, found.tokenizer, "dialogue" if name in UNTUNED else "chat", found.origin)


def ask(
    models: Mapping[str, Partner], prompt: str, temperature: float = 1.0, seed: int = 0, most: int = MOST
) -> Exchange:
    """Everybody's answer to a prompt.

    Args:
        models: name -> partner, from `partners` or made of your own models.
        temperature: 0: the likeliest token, always; 1: tokens as likely as the model finds them. seed: of chance.
        most: tokens of an answer.

    Raises:
        ValueError: nobody to ask; a prompt that is empty or fills a model's context; a temperature or seed below 0; most below 1.
    """
    if not models:
        raise ValueError("models is empty: expected at least one, from `partners`")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"prompt = {prompt!r}: expected a text, such as 'Where does Mirabe live?'")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature = {temperature}: expected 0, for the likeliest token, or a number above")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed = {seed}: expected a whole number >= 0")
    if most < 1:
        raise ValueError(f"most = {most}: expected a number of tokens >= 1")
    prompt = prompt.strip()
    request = _understood(prompt)
    answers = []
    for name, partner in models.items():
        text, finished = _reply(name, partner, prompt, temperature, seed, most)
        gold = None if request is None else World().judge(prompt, text)
        answers.append(Answer(name, text, finished, gold))
    note = UNJUDGED if request is None else f"a prompt that the world knows: {request.kind_of}, {request.type}"
    return Exchange(prompt, tuple(answers), note)


def _understood(prompt: str) -> Request | None:
    try:
        return recognise(prompt)
    except ValueError:
        return None


def _reply(name: str, partner: Partner, prompt: str, temperature: float, seed: int, most: int) -> tuple[str, bool]:
    """One model's answer, and whether it ended by itself."""
    ids = as_ids(prompt, partner.tokenizer, partner.style)
    sizes: Any = partner.model.sizes
    if len(ids) >= sizes.context:
        raise ValueError(
            f"prompt has {len(ids)} tokens with the marks around it: expected fewer than {sizes.context}, the context of {name}"
        )
    special = partner.tokenizer.special
    sampling = Sampling(temperature) if temperature > 0 else None
    chance = torch.Generator().manual_seed(seed)
    found = generate(partner.model, [ids], most, sampling, chance, [special[STOP], special[BEGIN]])
    text, end = partner.tokenizer.decode(found.rows[0]), STYLES[partner.style][1]
    if end and end in text.strip():
        return text.strip().split(end)[0].strip(), True
    return text.strip(), found.ended[0] == "stop"
