"""How long a run can be in the minutes that it gets: time a few steps, throw them away, and plan with what they showed.

How many rows fit into a GPU's memory is estimated, tried, and halved until it works. The rest follows from the dial's rules (`dial`): from
the tokens that fit into the time, the learning rate and the batch.

Left out: planning anew when a run that was cut off goes on with a faster or slower card: its schedule is fixed by then.
"""

import gc
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lablib.architecture.decoder import Decoder, DecoderConfig
from lablib.pretraining import hardware
from lablib.pretraining.atomic import new_file
from lablib.pretraining.batching import Batches
from lablib.pretraining.dial import plan
from lablib.pretraining.divergence import Diverged
from lablib.pretraining.real_texts import Texts
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.training import train

PLAN = "plan.json"
WARM, TIMED = 2, 5  # steps: the first ones compile, and ask for memory
LEAST_STEPS = 10  # however short the time
FIRST_PART = 20_000_000  # bytes; a tokenizer learns little from more
MEMORY_SHARE = 0.5  # of a GPU's free memory that a micro-batch may take by the estimate
MOST_TOKENS = {"cuda": 32768, "cpu": 8192}  # of a micro-batch; more makes nothing faster


@dataclass(frozen=True)
class Settings:
    """What a run is asked to be.

    Args:
        source, files: of the text, see `text_source.texts_of`.
        parameters: of the model, about. V: most tokens of the vocabulary. context: tokens in a row.
        minutes: for everything, from the first line of text to the last figure. steps: so many instead of what fits.
        epochs: readings of the text at most: up to four, reading again is nearly as good as new text, later it is worth less and less
            (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models"). Where text is short the run ends before its minutes.
        optimiser: as in `Recipe`. seed: of the weights and the order of the text.
        dtype: None: what the hardware computes well (`hardware.best_dtype`). compile: None: on a GPU.
        first: bytes from which the tokenizer learns; None: 1 MB a minute, 20 MB at most.
    """

    source: str = "tinystories"
    files: tuple[str, ...] = ()
    parameters: float = 25e6
    V: int = 8192
    context: int = 512
    minutes: float = 20.0
    steps: int | None = None
    epochs: float = 4.0
    optimiser: str = "muon"
    dtype: str | None = None
    compile: bool | None = None
    first: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("parameters", "minutes", "epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)!r}: expected a number > 0")
        for name in ("V", "context", "steps", "first"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} = {value!r}: expected a whole number >= 1")
        Recipe(steps=1, batch=1, context=1, optimiser=self.optimiser, dtype=self.dtype or "float32", seed=self.seed)

    @property
    def first_part(self) -> int:
        """Bytes from which the tokenizer learns."""
        return self.first or max(20_000, min(FIRST_PART, int(self.minutes * 1e6)))


# What may be another when a run is taken up again: it changes how the run is computed, not what it is.
HOW = ("dtype", "compile", "minutes")


@dataclass(frozen=True)
class Run:
    """A run that is ready to begin, or to go on.

    Attributes:
        folder: where all of it lies. settings: what was asked. texts: what it reads.
        config, recipe: the model and how it is trained. every: steps between two checkpoints.
        model: on its device, with its first weights. prepared: seconds that this took, in the call that made the plan.
        device: its name. peak: of the device in the recipe's dtype, FLOP/s, or None.
    """

    folder: Path
    settings: Settings
    texts: Texts
    config: DecoderConfig
    recipe: Recipe
    every: int
    model: Decoder
    prepared: float
    device: str
    peak: float | None


@dataclass(frozen=True)
class Timing:
    """How fast a model learns here.

    Attributes:
        model: with its first weights again. rows: of a micro-batch that fits.
        dtype: of the arithmetic. compiled: whether `torch.compile` worked.
        tokens_per_second: the median of some steps, all of a step included.
    """

    model: Decoder
    rows: int
    dtype: str
    compiled: bool
    tokens_per_second: float


def started(config: DecoderConfig, seed: int, device: torch.device) -> Decoder:
    """A model with its first weights, which are drawn on the CPU, so that they are the same on every device."""
    return Decoder(config, generator=torch.Generator().manual_seed(seed)).to(device)


def rows_that_fit(config: DecoderConfig, free: int | None, most: int, kind: str = "cuda") -> int:
    """Rows of a micro-batch: a power of two, at most `most`, that should fit into so many free bytes (None: who knows).

    A token leaves behind, for the way back, about 14·D + 5·hidden numbers in each layer, and three times V at the end, of 4 bytes.

    >>> rows_that_fit(DecoderConfig(V=8192, D=432, H=9, L=9, hidden=1280, context=512), free=14_500_000_000, most=100)
    16
    """
    tokens = MOST_TOKENS[kind]
    if free is not None:
        token = 4 * (config.L * (14 * config.D + 5 * config.hidden) + 3 * config.V)
        tokens = min(tokens, int(MEMORY_SHARE * free / token))
    return _power_of_two(min(most, tokens // config.context))


def _power_of_two(number: float) -> int:
    """The largest that is not above a number; 1 for all below 2."""
    return 1 << (max(1, int(number)).bit_length() - 1)


def measured(
    settings: Settings, texts: Texts, dtype: str, compiled: bool, device: torch.device, say: Callable[[str], None]
) -> Timing:
    """Train for a few steps, timed, and forget them.

    Args:
        dtype, compiled: of the recipe. say: is told when something does not work and something else is tried.

    Raises:
        ValueError: not a single row fits into the memory, or the text is shorter than one.
    """
    config, rough = _dialled(settings, texts, 1.0, 1)
    model = started(config, settings.seed, device)
    first = {name: weight.clone() for name, weight in model.state_dict().items()}
    rows = rows_that_fit(config, hardware.free_memory(device), rough.batch, device.type)
    while True:
        parts = max(1, round(rough.batch / rows))
        recipe = replace(
            rough, steps=WARM + TIMED, batch=rows * parts, accumulation=parts, dtype=dtype, compile=compiled
        )
        try:
            return Timing(model, rows, dtype, compiled, _timed(model, texts, recipe, 60 * settings.minutes / 20))
        except torch.OutOfMemoryError:
            if rows == 1:
                raise ValueError(
                    f"parameters = {settings.parameters:g}, context = {settings.context}: one row does not fit into this GPU's "
                    "memory; expected smaller ones"
                ) from None
            rows //= 2
            say(f"{2 * rows} rows at a time do not fit into the memory: trying {rows}")
        except (Diverged, ValueError):
            raise
        except Exception as error:  # whatever the compiler and those that it calls may raise
            if not compiled:
                raise
            compiled = False
            say(f"torch.compile does not work here ({str(error).strip().splitlines()[0][:200]}): going on without it")
        finally:
            model.load_state_dict(first)
            model.zero_grad(set_to_none=True)
        gc.collect()  # the failed step's tensors
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _timed(model: Decoder, texts: Texts, recipe: Recipe, seconds: float) -> float:
    """Tokens per second: the median of the steps after the first ones, or of what there is when the seconds are over."""
    taken: list[float] = []
    for step in train(model, Batches(texts.train, recipe.context, recipe.batch, recipe.seed), recipe):
        taken.append(step.seconds)
        if sum(taken[1:]) > seconds:  # the first one compiles
            break
    late = taken[WARM:] or taken[1:] or taken
    return recipe.batch * recipe.context / statistics.median(late)


def lengthened(settings: Settings, texts: Texts, timing: Timing, seconds: float, say: Callable[[str], None]) -> Recipe:
    """The recipe of a run that takes about so many seconds, or as many steps as the settings say.

    Args:
        say: is told when it is not the time that ends the run.
    """
    in_time, in_text = timing.tokens_per_second * max(0.0, seconds), settings.epochs * texts.tokens
    tokens = min(in_time, in_text)
    config = timing.model.config
    # With given steps nothing may depend on the clock, and the batch is that of one token for each parameter.
    per_parameter = 1.0 if settings.steps else max(1.0, tokens) / config.parameters
    rows = min(timing.rows, _power_of_two(_dialled(settings, texts, per_parameter, 1)[1].batch))
    recipe = _dialled(settings, texts, per_parameter, rows)[1]
    steps = settings.steps or max(LEAST_STEPS, int(tokens / (recipe.batch * recipe.context)))
    if not settings.steps and steps == LEAST_STEPS:
        say(f"there is time or text for fewer: taking the {LEAST_STEPS} steps that a schedule needs")
    elif not settings.steps and in_text < in_time:
        say(
            f"{texts.tokens:,} tokens read {settings.epochs:g} times take about {in_text / timing.tokens_per_second:,.0f} s: "
            f"ending there, before the {settings.minutes:g} minutes are over; more text, or more epochs, would fill them"
        )
    recipe = replace(recipe, steps=steps, schedule="wsd", seed=settings.seed)
    return replace(recipe, accumulation=recipe.batch // rows, dtype=timing.dtype, compile=timing.compiled)


def _dialled(settings: Settings, texts: Texts, per_parameter: float, multiple: int) -> tuple[DecoderConfig, Recipe]:
    V = texts.tokenizer.V
    found = plan(settings.parameters, V, settings.context, per_parameter, settings.optimiser, multiple)
    return found.model, found.recipe


# ---------------------------------------------------------------- on the disk


def write_plan(
    folder: Path, settings: Settings, config: DecoderConfig, recipe: Recipe, every: int, prepared: float
) -> None:
    """Write down what was planned, so that a run that is cut off is the same run when it goes on.

    every: steps between two checkpoints. prepared: seconds that went before.
    """
    about = {"settings": asdict(settings), "model": asdict(config), "recipe": asdict(recipe)}
    with new_file(folder / PLAN) as file:
        file.write((json.dumps({**about, "every": every, "prepared": prepared}, indent=1) + "\n").encode())


def read_plan(folder: Path, settings: Settings) -> dict[str, Any] | None:
    """The plan of a folder, or None where there is none.

    Raises:
        ValueError: it cannot be read, or is the plan of other settings.
    """
    path = folder / PLAN
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        there = {**found["settings"], "files": tuple(found["settings"]["files"])}
        found = {name: found[name] for name in ("model", "recipe", "every", "prepared")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be used ({error!r}): begin in another folder") from None
    differ = [
        f"{name} = {there.get(name)!r} and {mine!r}"
        for name, mine in asdict(settings).items()
        if name not in HOW and there.get(name) != mine
    ]
    if differ:
        raise ValueError(
            f"folder = {str(folder)!r} has a run with other settings (there and here): {'; '.join(differ)}. "
            "Go on with its settings, or begin in another folder"
        )
    return found
