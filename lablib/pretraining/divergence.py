"""When the loss is no number any more: stop, and say what happened while it can still be told.

A NaN or an infinity in one weight is in all of them a step later. So the loop looks at loss and gradient before each update, and
raises `Diverged` in place of one that would ruin the weights.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from lablib.pretraining.optimisers import full
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step

RECENT = 50  # steps that a diagnosis looks back on
LARGE = 1e3  # a weight of this size is no weight any more: they start near 0.02 and seldom leave ±10
JUMP = 10.0  # a gradient so many times as long as usual points to the learning rate


class Diverged(ArithmeticError):
    """The loss or the gradient is no finite number; the message is the diagnosis.

    Attributes:
        step: the update that was not made, from 1. loss, gradient_norm: what was found. lr: the rate of that step.
        last: the last step that was good, or None. cause: the likely one.
    """

    def __init__(self, step: int, loss: float, gradient_norm: float, lr: float, last: Step | None, cause: str) -> None:
        self.step, self.loss, self.gradient_norm, self.lr = step, loss, gradient_norm, lr
        self.last, self.cause = last, cause
        before = (
            f"the last finite loss was {last.loss:.4f}, in step {last.step}" if last else "there was no step before it"
        )
        super().__init__(
            f"step {step} has the loss {loss:.4g} and a gradient norm of {gradient_norm:.4g} at the learning rate {lr:.3g}; {before}. "
            f"Its batch is batches({step - 1}). Likely cause: {cause}"
        )


def diagnose(
    model: nn.Module,
    weights: Sequence[Tensor],
    good: Sequence[Tensor],
    step: int,
    loss: float,
    norm: float,
    lr: float,
    recipe: Recipe,
    recent: Sequence[Step],
) -> Diverged:
    """What to raise when the loss or the norm of the gradient is no finite number; the weights become those of the last good step.

    Args:
        weights: what is trained. good: copies of it with which the loss was finite, or empty: then the weights stay.
        step: from 1. recent: the steps before, oldest first.
    """
    cause = likely_cause(loss, lr, recipe, recent, unhealthy(model), largest_weight(model))
    if not math.isfinite(loss):
        for copy, weight in zip(good, weights, strict=False):
            weight.data.copy_(copy)
    for weight in weights:
        weight.grad = None  # it is of no use to anyone
    return Diverged(step, loss, norm, lr, recent[-1] if recent else None, cause)


def unhealthy(model: nn.Module) -> list[str]:
    """The names of the weights that hold a NaN or an infinity."""
    return [name for name, weight in model.named_parameters() if not bool(full(weight.detach()).isfinite().all())]


def largest_weight(model: nn.Module) -> float:
    """The largest absolute value among all weights that are finite."""
    return max(full(weight.detach()).nan_to_num(0, 0, 0).abs().max().item() for weight in model.parameters())


def likely_cause(
    loss: float, lr: float, recipe: Recipe, recent: Sequence[Step], bad_weights: Sequence[str], largest: float
) -> str:
    """What made the loss no number, in words, with what to try.

    Args: recent: the steps before, oldest first. bad_weights: from `unhealthy`. largest: from `largest_weight`.
    """
    if not recent and bad_weights:
        names = ", ".join(bad_weights[:3])
        return f"{len(bad_weights)} weights were no finite numbers before this step ({names}): check how the model is made or loaded"
    if not recent:
        return "the model gives no finite loss before any training: check how its weights are initialised, and the loss function"
    norms, losses = sorted(step.gradient_norm for step in recent), [step.loss for step in recent]
    usual, signs = norms[len(norms) // 2], []
    if bad_weights or largest > LARGE:
        signs.append(
            f"weights have grown to {largest:.3g}" + (f" and {len(bad_weights)} beyond" if bad_weights else "")
        )
    if norms[-1] > JUMP * usual:
        signs.append(f"the gradient norm went up to {norms[-1]:.3g} (usual: {usual:.3g})")
    if losses[-1] > min(losses) + 1:
        signs.append(f"the loss went from {min(losses):.3f} to {losses[-1]:.3f}")
    if signs:
        advice = "Try a third of it, or a longer warm-up" + (", and clip = 1.0" if math.isinf(recipe.clip) else "")
        return f"the learning rate of {lr:.3g} is too high: before this, {' and '.join(signs)}. {advice}"
    if math.isfinite(loss):
        low = recipe.dtype != "float32"
        where = "try dtype = 'float32'" if low else "look for a division, root or logarithm at zero in the loss"
        return f"the gradient overflowed in {recipe.dtype}, while the loss is finite: {where}"
    return "this batch alone, since nothing before it was unusual: look at it, and at what the loss divides by"
