"""Lab 08's comparison: one corner of the world, five ways to ask a model about a text, equal arithmetic, and four tests of what came of it.

    python -m lablib.pretraining.objective_study --out data/experiments/objectives.json

The lab trains each model once, for seconds; this command trains each of them longer, from three seeds, and writes what the same tests find.
A row of the record is one seed.

Papers: Raffel et al. 2020, "T5" (§3.2.2: what a fair comparison of objectives is); for the objectives see `objectives`, `span_corruption`
and `infilling`, for writing with masks `unmasking`, for probes `probing`. Left out: other rates, spans and sizes.
"""

import argparse
import concurrent.futures
import json
import math
import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.architecture.generation import generate
from lablib.corpus.world import World, WorldDocument
from lablib.pretraining import infilling, probing, unmasking
from lablib.pretraining.atomic import new_file
from lablib.pretraining.distributed import local_device
from lablib.pretraining.document_rows import DocumentRows, objective_batches
from lablib.pretraining.experiments import hardware
from lablib.pretraining.loss import Loss, quick_token_nats
from lablib.pretraining.objective_models import Bidirectional, EncoderDecoder, like_decoder, step_flops
from lablib.pretraining.objectives import Masking, NextToken, Objective, masked_loss
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step
from lablib.pretraining.small_vocabulary import SmallVocabulary
from lablib.pretraining.span_corruption import SpanCorruption, padded, span_loss
from lablib.pretraining.training import train
from lablib.tokens import course_tokenizer
from lablib.tokens.pretokens import split

SORTS = ("animal", "food", "plant", "material")
KINDS = ["encyclopaedia"]
SENTENCE_END = re.compile(r"(?<=[.?!]) ")
SEEDS, STEPS = (0, 1, 2), 4000  # of the causal model in the record; the others get as many FLOPs
RECIPE = Recipe(
    STEPS, batch=32, context=128, optimiser="muon", lr=4e-3, weight_decay=0.0, schedule="wsd", decay=0.5, floor=0.0
)


# ---------------------------------------------------------------- the corner of the world


def entries(seed: int, n: int, without: Sequence[WorldDocument] = ()) -> list[WorldDocument]:
    """n encyclopaedia entries of the four `SORTS`, none of them with a text that stands in `without`."""
    known = {document.text for document in without}
    drawn = World().documents(Random(seed), kinds=KINDS)
    wanted = (entry for entry in drawn if entry.shape.split(".")[1] in SORTS and entry.text not in known)
    return list(islice(wanted, n))


class Corner(NamedTuple):
    """What all the models of a comparison read and are asked: entries to learn from, others, and a vocabulary for both."""

    training: list[WorldDocument]
    held_out: list[WorldDocument]
    vocabulary: SmallVocabulary

    def token(self, name: str) -> int:
        """The number of a special token, by the word between its bars."""
        return self.vocabulary.special[f"<|{name}|>"]

    @property
    def marks(self) -> tuple[int, int, int]:
        """Three tokens that no text has, for fill in the middle; the sentinels before them are T5's."""
        first, second, third = (self.token(f"spare_{i}") for i in (5, 6, 7))
        return first, second, third

    def rows(self, documents: Sequence[WorldDocument]) -> list[list[int]]:
        """Entries as numbers, with a beginning and an end."""
        begin, end = self.token("bos"), self.token("eos")
        return [[begin, *self.vocabulary.encode(document.text), end] for document in documents]


def corner(training: int = 8000, held_out: int = 900) -> Corner:
    """So many entries to learn from, and so many others (a few less where one has a word that the training entries lack)."""
    read = entries(0, training)
    vocabulary = SmallVocabulary(course_tokenizer.load(), [document.text for document in read])
    others = [document for document in entries(1, held_out, read) if vocabulary.knows(document.text)]
    return Corner(read, others, vocabulary)


# ---------------------------------------------------------------- five plans, equal arithmetic


@dataclass(frozen=True)
class Plan:
    """One of the things compared: what makes the model, what it is asked, and how its answers are marked."""

    make: Callable[..., nn.Module]
    objective: Objective
    loss: Loss


def plans(
    of: Corner,
    config: DecoderConfig,
    mask: Callable[..., Masking] = Masking,
    spans: Callable[..., SpanCorruption] = SpanCorruption,
    nats: Callable[..., Tensor] | None = None,
) -> dict[str, Plan]:
    """The five plans. `mask`, `spans` and `nats` may bring functions of your own with them."""
    words, pad = of.vocabulary.words, of.token("pad")
    sentinels = tuple(of.token(f"spare_{i}") for i in range(8))
    masked = partial(masked_loss, nats=nats) if nats else masked_loss
    decoder, encoder = partial(Decoder, config), partial(Bidirectional, config, pad)
    both = partial(EncoderDecoder, like_decoder(config), pad, of.token("bos"))
    return {
        "causal": Plan(decoder, NextToken(pad), quick_token_nats),
        "fill in the middle": Plan(decoder, infilling.FillInTheMiddle(of.marks, pad), quick_token_nats),
        "masked, 15 %": Plan(encoder, mask(of.token("mask"), words, 0.15), masked),
        "masked, any rate": Plan(encoder, mask(of.token("mask"), words, None, keep=False), masked),
        "span corruption": Plan(both, spans(sentinels, words, pad), span_loss),
    }


@dataclass
class Trained:
    """A model of the comparison, and what its training took.

    Attributes:
        flops: of a step. steps: how many, so that all have the same arithmetic. told: predictions that it learned from.
        seconds: of the training. losses: nats a prediction, of each step.
    """

    model: nn.Module
    flops: float
    steps: int
    told: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


class Comparison:
    """The models of a comparison, untrained at first: `learn(name)` trains one.

    Args:
        of: what they read. plans: what is compared; the first of them sets the arithmetic. recipe: its steps are those of the first
            plan, the others get as many FLOPs. seed: of weights, order and chance.
    """

    def __init__(self, of: Corner, plans: Mapping[str, Plan], recipe: Recipe, seed: int = 0) -> None:
        self.of, self.plans, self.recipe, self.seed = of, plans, recipe, seed
        rows = DocumentRows(of.rows(of.training), recipe.batch, of.token("pad"), seed)
        self.batches = {name: objective_batches(rows, plan.objective, seed) for name, plan in plans.items()}
        self.runs: dict[str, Trained] = {}
        for name, plan in plans.items():
            model = plan.make(generator=torch.Generator().manual_seed(seed))
            flops = sum(step_flops(model, self.batches[name](step), plan.loss) for step in (0, 7)) / 2
            all_ = recipe.steps * (self.runs[next(iter(self.runs))].flops if self.runs else flops)
            self.runs[name] = Trained(model, flops, max(1, round(all_ / flops)))

    def learn(self, name: str) -> Iterator[Step]:
        """Train one of the models; gives its steps."""
        run, start = self.runs[name], time.perf_counter()
        recipe = replace(self.recipe, steps=run.steps, seed=self.seed)
        for step in train(run.model.to(local_device()), self.batches[name], recipe, loss=self.plans[name].loss):
            run.losses.append(step.loss)
            run.told, run.seconds = step.tokens, time.perf_counter() - start
            yield step
        run.model.cpu().eval()

    @property
    def models(self) -> dict[str, Any]:
        """Name -> model."""
        return {name: run.model for name, run in self.runs.items()}


# ---------------------------------------------------------------- four tests

Answers = dict[str, list[bool]]  # of some questions: right or wrong


def gaps_of(of: Corner, n: int, generator: torch.Generator) -> list[infilling.Gap]:
    """The gaps of the first n held-out entries, of each kind one where there is one."""
    texts = [split(document.text, of.vocabulary.tokenizer.pattern) for document in of.held_out[:n]]
    return infilling.gaps(texts, of.vocabulary.encode, generator)


def fillings(
    models: Mapping[str, Any],
    of: Corner,
    gaps: Sequence[infilling.Gap],
    generator: torch.Generator,
    step: unmasking.Step = unmasking.reveal,
) -> dict[str, list[list[int]]]:
    """What each model writes into the gaps, some in two ways: way -> one filling for each gap.

    All are told how long a gap is, but for the two ways that say "finds the end": who was trained to write a middle can say
    itself when it is complete. step: how a masked model reveals its masks.
    """
    begin, end, pad, mask = (of.token(name) for name in ("bos", "eos", "pad", "mask"))
    sentinels = tuple(of.token(f"spare_{i}") for i in range(8))
    ends, causal = (begin, end), models["causal"]
    filled = {
        "causal, from the left": infilling.fill_from_left(causal, gaps, begin),
        "causal, best of 4": infilling.fill_by_trying(causal, gaps, ends, pad, 4, generator),
    }
    for name, words in (("fill in the middle", of.vocabulary.words), ("fill in the middle, finds the end", None)):
        filled[name] = infilling.fill_by_moving(models["fill in the middle"], gaps, of.marks, ends, words=words)
    for name in ("masked, 15 %", "masked, any rate"):
        predict = unmasking.words_only(models[name], of.vocabulary.words)
        filled[name] = infilling.fill_by_masks(predict, gaps, mask, ends, pad, step)
    for name, words in (("span corruption", of.vocabulary.words), ("span corruption, finds the end", None)):
        filled[name] = infilling.fill_by_sentinel(models["span corruption"], gaps, sentinels, ends, words=words)
    return filled


def filled_rightly(of: Corner, gaps: Sequence[infilling.Gap], middles: Sequence[Sequence[int]]) -> Answers:
    """Kind of gap -> for each, whether the world could have written the completed entry."""
    return infilling.right(World(), gaps, middles, of.vocabulary.decode, KINDS)


def writings(models: Mapping[str, Any], of: Corner, n: int, generator: torch.Generator) -> dict[str, list[str]]:
    """n entries by each model, from nothing: way -> texts. Masked models get as many masks as some training text had tokens.

    Who writes from left to right may draw words and the end, no other special token: what learned to fill in the middle would else begin
    every other text with the mark of a rearranged one.
    """
    begin, end, pad, mask = (of.token(name) for name in ("bos", "eos", "pad", "mask"))
    lengths = [len(of.vocabulary.encode(document.text)) for document in of.training[:n]]
    blank, longest = padded([[begin, *[mask] * length, end] for length in lengths], pad), max(lengths)
    sentinels = tuple(of.token(f"spare_{i}") for i in range(8))
    never = torch.ones(of.vocabulary.V, dtype=torch.bool)
    never[: of.vocabulary.words] = never[end] = False

    def draw(logits: Tensor) -> Tensor:  # (B, V) -> (B,)
        return torch.multinomial(logits.masked_fill(never, -math.inf).softmax(dim=-1), 1, generator=generator)[:, 0]

    def left_to_right(name: str) -> list[list[int]]:
        ids = generate(models[name], torch.full((n, 1), begin), 100, stop=end, choose=draw)[:, 1:].tolist()
        return [row[: row.index(end)] if end in row else row for row in ids]

    def unmasked(name: str, passes: int) -> list[list[int]]:
        predict = unmasking.words_only(models[name], of.vocabulary.words)
        ids = unmasking.compose(predict, blank, mask, passes, generator).tolist()
        return [[token for token in row if token < of.vocabulary.words] for row in ids]

    nothing_yet = [infilling.Gap("all", (), (), ())]
    written = {
        "causal": left_to_right("causal"),
        "fill in the middle": left_to_right("fill in the middle"),
        "masked, 15 %, one at a time": unmasked("masked, 15 %", longest),
        "masked, any rate, one at a time": unmasked("masked, any rate", longest),
        "masked, any rate, 8 passes": unmasked("masked, any rate", 8),
        "span corruption": infilling.fill_by_sentinel(
            models["span corruption"], nothing_yet, sentinels, (begin, end), 100
        ),
    }
    return {name: [of.vocabulary.decode(ids) for ids in rows] for name, rows in written.items()}


def written_rightly(texts: Sequence[str]) -> list[bool]:
    """For each text, whether the world could have written just that."""
    world = World()
    return [world.log_prob(text, "all", KINDS) > -math.inf for text in texts]


def readers_of(models: Mapping[str, Any]) -> dict[str, probing.States]:
    """Whose vectors are probed: the trained models', and as something to compare with, bare embeddings."""
    readers = {name: models[name].hidden for name in ("causal", "masked, 15 %", "masked, any rate")}
    readers["span corruption"] = lambda ids: models["span corruption"].encode(ids)[0]
    return {**readers, "no model: embeddings": models["masked, 15 %"].embedding}


def sorts_told(
    readers: Mapping[str, probing.States], of: Corner, n: int, places: Sequence[int]
) -> dict[str, list[list[bool]]]:
    """Reader -> for each place, whether a probe of the vector there tells the sort of entry; it is taught with the first half of n."""
    asked = of.held_out[:n]
    labels, found = [document.shape for document in asked], {}
    for name, read in readers.items():
        states = probing.states_of(read, of.rows(asked), of.token("pad"))
        found[name] = [probing.probe(probing.at_token(states, place), labels, len(labels) // 2) for place in places]
    return found


class Swaps(NamedTuple):
    """Entries of which half have two neighbouring sentences, the first one left alone, in the other order."""

    rows: list[list[int]]
    swapped: list[bool]

    @property
    def guessing(self) -> float:
        """How often whoever always gives the same answer is right."""
        return max(sum(self.swapped), len(self.swapped) - sum(self.swapped)) / len(self.swapped)


def swaps_of(of: Corner, n: int) -> Swaps:
    """Fresh entries, of n those with three sentences or more, half of them with two swapped."""
    random, rows, swapped = Random(6), [], []
    for document in entries(2, n, of.training):
        sentences = SENTENCE_END.split(document.text)
        swap, first = random.random() < 0.5, random.randrange(1, max(len(sentences) - 1, 2))
        if swap:
            sentences[first : first + 2] = sentences[first : first + 2][::-1]
        if len(sentences) > 2 and of.vocabulary.knows(text := " ".join(sentences)):
            swapped.append(swap)
            rows.append([of.token("bos"), *of.vocabulary.encode(text), of.token("eos")])
    return Swaps(rows, swapped)


def swaps_noticed(readers: Mapping[str, probing.States], of: Corner, swaps: Swaps) -> Answers:
    """Reader -> whether a probe of the mean of all vectors notices the swap; it is taught with the first two thirds."""
    found = {}
    for name, read in readers.items():
        vectors = probing.pooled(probing.states_of(read, swaps.rows, of.token("pad")))
        found[name] = probing.probe(vectors, swaps.swapped, len(swaps.rows) * 2 // 3)
    return found


# ---------------------------------------------------------------- the record

SIZES = DecoderConfig(V=1, D=96, H=4, L=4, hidden=256, context=128)  # V is that of the corner
PLACES = (1, 2, 3, 5, 8, 12, 16, 24)


def config_of(of: Corner) -> DecoderConfig:
    """The size of all the models: half a million parameters."""
    return replace(SIZES, V=of.vocabulary.V)


def judged(
    models: Mapping[str, Any], of: Corner, questions: int = 400, texts: int = 200, swaps: int = 3000
) -> dict[str, Any]:
    """The four tests of trained models, as shares of right answers."""

    def share(answers: Sequence[bool]) -> float:
        return round(sum(answers) / len(answers), 4)

    gaps = gaps_of(of, questions, torch.Generator().manual_seed(4))
    filled = fillings(models, of, gaps, torch.Generator().manual_seed(5))
    written, world = writings(models, of, texts, torch.Generator().manual_seed(6)), World()
    readers = readers_of(models)
    noticed = swaps_noticed(readers, of, asked := swaps_of(of, swaps))
    sorts = sorts_told(readers, of, len(of.held_out), PLACES)
    return {
        "gaps": {
            name: {kind: share(right) for kind, right in filled_rightly(of, gaps, middles).items()}
            for name, middles in filled.items()
        },
        "gaps asked": len(gaps),
        "perfect": {name: share(written_rightly(of_it)) for name, of_it in written.items()},
        "quality": {
            name: round(math.fsum(map(world.gold_quality, of_it)) / len(of_it), 4) for name, of_it in written.items()
        },
        "samples": {name: of_it[:2] for name, of_it in written.items()},
        "sort": {name: [share(right) for right in curve] for name, curve in sorts.items()},
        "places": list(PLACES),
        "swap": {name: share(right) for name, right in noticed.items()},
        "swap guessing": round(asked.guessing, 4),
    }


def perform(of: Corner, seed: int, recipe: Recipe, **sizes: int) -> dict[str, Any]:
    """Train and test the models of one seed: a row of the record."""
    compared = Comparison(of, plans(of, config_of(of)), recipe, seed)
    rows = {}
    for name, run in compared.runs.items():
        for step in compared.learn(name):
            if step.step % 500 == 0:
                print(f"seed {seed}  {name:<20} step {step.step:>6} of {run.steps}: {step.loss:.3f}", flush=True)
        last = run.losses[-50:]
        rows[name] = {
            "parameters": sum(weight.numel() for weight in run.model.parameters()),
            "flops_per_step": run.flops,
            "steps": run.steps,
            "predictions": run.told,
            "seconds": round(run.seconds, 1),
            "loss": round(math.fsum(last) / len(last), 5),
        }
    return {"seed": seed, "recipe": asdict(recipe), "trained": rows, **judged(compared.models, of, **sizes)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the record was written."""
    parser = argparse.ArgumentParser(
        prog="python -m lablib.pretraining.objective_study", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="the record to write, JSON")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the causal model ({STEPS})")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="one row each (0 1 2)")
    parser.add_argument("--processes", type=int, default=1, help="seeds side by side (1)")
    given = parser.parse_args(arguments)
    if given.processes < 1:
        parser.error(f"--processes {given.processes}: expected at least 1")
    of, recipe = corner(), replace(RECIPE, steps=given.steps)
    row = partial(perform, of, recipe=recipe)
    if given.processes == 1:
        rows = list(map(row, given.seeds))
    else:
        threads = max(1, torch.get_num_threads() // given.processes)
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(
            given.processes, context, torch.set_num_threads, (threads,)
        ) as pool:
            rows = list(pool.map(row, given.seeds))
    record = {
        "experiment": "objectives",
        "command": "python -m lablib.pretraining.objective_study --out data/experiments/objectives.json --processes 3",
        "hardware": hardware(),
        "model": asdict(config_of(of)),
        "runs": rows,
    }
    with new_file(given.out) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
