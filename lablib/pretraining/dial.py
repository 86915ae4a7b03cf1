"""One dial: say how many parameters, and everything else about a run follows from it by rules that are written here.

**Shape.** As many heads as layers, each of width K, so D = L·K: GPT-2 (12 layers, 12 heads, K = 64), Llama 7B (32, 32, 128) and
GPT-3 (96, 96, 128) are so. Deeper models have wider heads. Up to 7 layers, K is an even number from 22 to 40 and the feed-forward
width 8/3·D (Touvron et al. 2023, §2.2), rounded up to a multiple of 8. From 8 layers on, where GPUs train, K is a multiple of 8 from
24 up to 16/3·(L + ½), 128 at most, and the feed-forward width a multiple of 64 from 2·D to 3.5·D. All shapes, by size, make a
ladder; the dial takes the rung nearest to what is asked.

**Run.** 20 tokens for each parameter (Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", table 3). With the compute
C = 6·parameters·tokens in FLOPs, the learning rate is 0.3118·C^−0.1250 and the batch 0.2920·C^0.3271 tokens (Bi et al. 2024, "DeepSeek
LLM", equation 1: fitted on 10^17 to 2·10^19 FLOPs). Differs from the paper: its C leaves the embedding out and counts attention; and
the rate is `LARGEST_LR` at most. That was the best at 5·10^12 FLOPs (data/experiments/learning_rate.json), where the rule by itself is
nearly three times too high.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from lablib.architecture.decoder import DecoderConfig
from lablib.pretraining.flops import whole_run
from lablib.pretraining.recipe import Recipe

SMALL = 7  # layers of the deepest model whose sizes need not suit a GPU
LARGEST_LR = 3e-3  # of AdamW, at its peak
MOST = 1e12  # parameters; beyond it nobody has measured the rules


@dataclass(frozen=True)
class Plan:
    """What the dial gives: a model, how to train it, and how many tokens and FLOPs that takes."""

    model: DecoderConfig
    recipe: Recipe

    @property
    def tokens(self) -> int:
        """Predictions that the run learns from."""
        return self.recipe.steps * self.recipe.batch * self.recipe.context

    @property
    def flops(self) -> int:
        """Arithmetic of the run, 6 · parameters · tokens."""
        return whole_run(self.model.parameters, self.tokens)


def _rungs(V: int) -> Iterator[DecoderConfig]:
    """Shapes from small to large; a deeper or wider one only where it has more parameters than all before it."""
    largest = 0
    for L in count(2):
        widths = range(22, 41, 2) if L <= SMALL else range(24, min(128, int(16 * (L + 0.5) / 3)) + 1, 8)
        for D in (L * K for K in widths):
            for hidden in [8 * math.ceil(D / 3)] if L <= SMALL else range(64 * math.ceil(D / 32), int(3.5 * D) + 1, 64):
                config = DecoderConfig(V=V, D=D, H=L, L=L, hidden=hidden)
                if config.parameters > largest:
                    largest = config.parameters
                    yield config


def model_of(parameters: float, V: int, context: int = 256) -> DecoderConfig:
    """The shape on the ladder nearest to a number of parameters.

    >>> found = model_of(3.1e6, V=2048)
    >>> found.L, found.H, found.D, found.hidden, found.parameters
    (6, 6, 192, 512, 3049920)

    Raises:
        ValueError: fewer than the smallest shape has, or more than `MOST`.
    """
    rungs = _rungs(V)
    below = next(rungs)
    if not below.parameters <= parameters <= MOST:
        raise ValueError(
            f"parameters = {parameters:,}: expected {below.parameters:,} to {int(MOST):,} with a vocabulary of V = {V:,}; "
            "for a smaller model take a smaller vocabulary"
        )
    for above in rungs:
        if above.parameters >= parameters:
            break
        below = above
    near = min((below, above), key=lambda config: abs(config.parameters - parameters))
    return replace(near, context=context)


def plan(
    parameters: float,
    V: int,
    context: int = 256,
    tokens_per_parameter: float = 20.0,
    optimiser: str = "adamw",
    multiple: int = 8,
    dtype: str = "float32",
) -> Plan:
    """A model of about so many parameters, and how to train it.

    More parameters never mean fewer layers, tokens or rows in a batch, nor a higher learning rate.

    Args:
        multiple: the rows of a batch are a multiple of it, so that processes and micro-batches can share them.
        optimiser, dtype: as in `Recipe`.

    Raises:
        ValueError: see `model_of`.
    """
    if not tokens_per_parameter > 0 or multiple < 1:
        raise ValueError(
            f"tokens_per_parameter = {tokens_per_parameter}, multiple = {multiple}: expected numbers above 0"
        )
    model = model_of(parameters, V, context)
    tokens = tokens_per_parameter * model.parameters
    compute = whole_run(model.parameters, int(tokens))
    batch = 0.2920 * compute**0.3271  # tokens; Bi et al. 2024, equation 1
    rows = multiple * max(1, round(batch / context / multiple))
    recipe = Recipe(
        steps=max(1, math.ceil(tokens / (rows * context))),
        batch=rows,
        context=context,
        optimiser=optimiser,
        lr=min(LARGEST_LR, 0.3118 * compute**-0.1250),  # Bi et al. 2024, equation 1
        dtype=dtype,
    )
    return Plan(model, recipe)
