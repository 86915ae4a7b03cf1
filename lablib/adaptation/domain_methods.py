"""The ways to teach a model a domain that lab 10 compares: what each of them does to a copy of the base model before the same loop trains
it.

    model = prepared(base.model, base.tokenizer, "lora r=8")

Full tuning and all parameter-efficient methods differ in nothing but which numbers learn, and in the rate that suits each (found by the
study `rates`: the smallest one that comes within 0.05 nats of the best). Training from scratch has first weights of its own. *Continued
pre-training* goes on as the base model began, with Muon; *with replay* a part of what is read are documents of the world, against
forgetting.

Left out: methods that change the data or the loss.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from lablib.adaptation.bitfit import add_biases, train_norms
from lablib.adaptation.bottleneck import add_adapters
from lablib.adaptation.dora import DoRALinear
from lablib.adaptation.lora import ALL_LINEAR, ATTENTION, Lora, LoRALinear, inject
from lablib.adaptation.new_words import learn_rows, new_tokens
from lablib.adaptation.prefix_tuning import PrefixTuned
from lablib.adaptation.prompt_tuning import PromptTuned
from lablib.adaptation.quantised import quantise
from lablib.architecture.decoder import CausalModel, Decoder
from lablib.pretraining.ingredients import build
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.world_loss import END
from lablib.tokens.tokenizer import Tokenizer

# `batch` is here the number of documents a step, `context` the longest of them. AdamW without decay, but for the two that pre-train.
RECIPE = Recipe(
    steps=300,
    batch=32,
    context=256,
    optimiser="adamw",
    lr=1e-3,
    weight_decay=0.0,
    schedule="cosine",
    warmup=0.05,
    floor=0.0,
    dtype="auto",
)
PRETRAINING = replace(RECIPE, optimiser="muon", muon_lr=0.01, lr=1e-3, weight_decay=0.01, schedule="wsd", decay=0.5)
REPLAY = 0.25  # share of the documents that are the world's, where there is replay
TEXT = "Log of the ship: wind, captain, cargo, home port, harbour, light, rope, sail, flag, sea."  # prompts and prefixes start there

Make = Callable[[Decoder, Tokenizer, torch.Generator], CausalModel]


@dataclass(frozen=True)
class Method:
    """One way.

    Attributes:
        make: (a copy of the base model, its tokenizer, a generator) -> the model to train; what must not learn is frozen.
        lr: peak rate of AdamW. recipe: all else. replay: share of the documents that are the world's.
        family: for the figures: "all weights", "low rank", "inserted", "in front" or "few of its own".
    """

    make: Make
    lr: float
    family: str
    recipe: Recipe = RECIPE
    replay: float = 0.0


def _whole(base: Decoder, tokenizer: Tokenizer, generator: torch.Generator) -> CausalModel:
    return base.requires_grad_(True)


def _scratch(base: Decoder, tokenizer: Tokenizer, generator: torch.Generator) -> CausalModel:
    return build(base.config, zero_init=True, generator=generator)


def _lora(
    r: int, targets: tuple[str, ...] = ALL_LINEAR, dora: bool = False, kind: str = "", words: bool = False
) -> Make:
    def make(base: Decoder, tokenizer: Tokenizer, generator: torch.Generator) -> CausalModel:
        if kind:
            quantise(base, targets, "nf4" if kind == "nf4" else "int8")
        model = inject(base, Lora(r, 2.0 * r, targets=targets), generator, DoRALinear if dora else LoRALinear)
        return learn_rows(model, new_tokens(tokenizer)) if words else model

    return make


def _bottleneck(r: int) -> Make:
    return lambda base, tokenizer, generator: add_adapters(base, r, norms=True, generator=generator)


def _prompt(P: int) -> Make:
    return lambda base, tokenizer, generator: PromptTuned(base, P, tokenizer.encode(TEXT), generator)


def _prefix(P: int, reparametrised: bool) -> Make:
    def make(base: Decoder, tokenizer: Tokenizer, generator: torch.Generator) -> CausalModel:
        text = [tokenizer.special[END], *tokenizer.encode(TEXT)]
        ids = [] if reparametrised else [text[i % len(text)] for i in range(P)]
        return PrefixTuned(base, P, ids, reparametrised, generator=generator)

    return make


RANKS = (1, 2, 4, 8, 16, 32)
METHODS: dict[str, Method] = {
    "from scratch": Method(_scratch, 1e-3, "all weights", replace(PRETRAINING, muon_lr=0.02 / 3)),
    "continued pre-training": Method(_whole, 1e-3, "all weights", PRETRAINING),
    "continued pre-training, replay": Method(_whole, 1e-3, "all weights", PRETRAINING, REPLAY),
    "full tuning": Method(_whole, 3e-3, "all weights"),
    "full tuning, replay": Method(_whole, 3e-3, "all weights", replay=REPLAY),
    "lora r=1": Method(_lora(1), 3e-2, "low rank"),
    **{f"lora r={r}": Method(_lora(r), 1e-2, "low rank") for r in RANKS[1:]},
    **{f"lora r={r}, new words": Method(_lora(r, words=True), 1e-2, "low rank") for r in (4, 8)},
    "lora r=8, queries and values": Method(_lora(8, ATTENTION), 1e-2, "low rank"),
    "lora r=8, replay": Method(_lora(8), 1e-2, "low rank", replay=REPLAY),
    "dora r=8": Method(_lora(8, dora=True), 1e-2, "low rank"),
    "qlora nf4 r=8": Method(_lora(8, kind="nf4"), 1e-2, "low rank"),
    "qlora int8 r=8": Method(_lora(8, kind="int8"), 1e-2, "low rank"),
    "bottleneck r=16": Method(_bottleneck(16), 1e-2, "inserted"),
    "prompt P=32": Method(_prompt(32), 30.0, "in front"),
    "prefix P=32": Method(_prefix(32, False), 9e-2, "in front"),
    "prefix P=32, reparametrised": Method(_prefix(32, True), 3e-3, "in front"),
    "biases": Method(lambda base, tokenizer, generator: add_biases(base), 9e-2, "few of its own"),
    "norms": Method(lambda base, tokenizer, generator: train_norms(base), 9e-2, "few of its own"),
}


def prepared(base: Decoder, tokenizer: Tokenizer, method: str, seed: int = 0) -> CausalModel:
    """A copy of the base model, made ready for a method; the base model itself stays as it is.

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: expected one of {', '.join(METHODS)}")
    return METHODS[method].make(copy.deepcopy(base), tokenizer, torch.Generator().manual_seed(seed))


def recipe_of(method: str, seed: int = 0, lr: float | None = None, steps: int | None = None) -> Recipe:
    """How a method is trained. lr, steps: others than its own.

    A Muon run keeps the ratio of its two rates.
    """
    own = METHODS[method]
    lr = own.lr if lr is None else lr
    muon_lr = own.recipe.muon_lr
    if own.recipe.optimiser == "muon":
        muon_lr = muon_lr * lr / own.lr
    return replace(own.recipe, lr=lr, muon_lr=muon_lr, seed=seed, steps=own.recipe.steps if steps is None else steps)
