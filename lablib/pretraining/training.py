"""The loop that trains a language model: a batch, its loss, the gradient, an update of the weights, and again.

It is a generator: whoever runs it gets a `Step` after each update, and does with it what they like.

    for step in train(model, batches, recipe):
        chart.add(step.step, loss=step.loss)

Stopping needs no ceremony either: leave the `for` loop, or press Ctrl-C: the step is finished, the loop ends, the model can be used.

Axes: B rows of the global batch, T time, W processes.
Left out: learning in fp16 (it needs a loss scaler; bfloat16 does not), freezing layers, several losses.
"""

import json
import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lablib.pretraining import checkpoint, divergence, optimisers
from lablib.pretraining.batching import Batch
from lablib.pretraining.distributed import ALONE, World
from lablib.pretraining.hardware import dtype_for
from lablib.pretraining.interrupt import Interrupt
from lablib.pretraining.loss import Loss, autocast, token_nats
from lablib.pretraining.memory import keep_freed_memory
from lablib.pretraining.recipe import Recipe
from lablib.pretraining.record import Step


def train(
    model: nn.Module,
    batches: Callable[[int], Batch],
    recipe: Recipe,
    *,
    loss: Loss = token_nats,
    folder: str | Path | None = None,
    every: int = 100,
    keep: int = 2,
    settings: dict[str, Any] | None = None,
    flops: float | None = None,
    peak: float | None = None,
    world: World = ALONE,
) -> Iterator[Step]:
    """Train a model, from the latest checkpoint in `folder` if there is one. On a CPU see `memory` for what it asks of the process.

    Args:
        model: ids (B, T) -> logits (B, T, V), or whatever `loss` calls. It is trained in place.
        batches: step (from 0) -> this process's rows of its batch, the same whenever it is asked, as `Batches` is.
        loss: (model, batch) -> the sum over the predictions that count, nats.
        folder: where checkpoints go: after every `every` steps and at the end, of which the last `keep` stay. None: nowhere.
        settings: what else a checkpoint should say and a resumed run must agree with, such as the model's config.
        flops: for one token, forwards and backwards (`flops.per_token`). peak: of the hardware, FLOP/s of all processes.

    Yields:
        a `Step` after each update, and before its checkpoint; nothing when the run is finished already.

    Raises:
        Diverged: loss or gradient is no finite number. The weights are the last with a finite loss, unless recipe.rescue is off.
        CheckpointError: the folder holds another run.
    """
    device = next(model.parameters()).device
    recipe = replace(recipe, dtype=dtype_for(device, recipe.dtype))
    if device.type == "cpu":
        keep_freed_memory()
    run = world.wrap(model)  # has the same weights; its gradients are exchanged between processes
    made = optimisers.make(model, recipe)
    about = {**(settings or {}), "recipe": asdict(recipe)}
    start, tokens_seen = resume(folder, model, made, about, keep, world)
    if recipe.compile:
        run = torch.compile(run)  # type: ignore[assignment]  # a wrapper; `model` itself stays as it is
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    good = [weight.detach().clone() for weight in weights] if recipe.rescue else []
    recent: deque[Step] = deque(maxlen=divergence.RECENT)
    interrupt, last_save = Interrupt(), start

    def save(done: int) -> None:
        nonlocal last_save
        if folder is not None and last_save < done:
            checkpoint.save(folder, done, tokens_seen, model, made, about, keep, world)
            last_save = done

    model.train()
    model.zero_grad()
    for step in range(start, recipe.steps):
        with interrupt:  # Ctrl-C waits for the end of this block
            begin = time.perf_counter()
            optimisers.set_rates(made, recipe.factor(step))
            batch = batches(step).to(device)
            (tokens,) = world.total(batch.tokens)
            if not tokens:
                raise ValueError(
                    f"batches({step}) has no prediction that counts: expected one True in its mask at least"
                )
            nats, asked = world.total(backward(run, batch, tokens, recipe, loss, world), interrupt.asked)
            norm = optimisers.clip_(weights, recipe.clip)
            lr = made[0].param_groups[0]["lr"]
            if not (math.isfinite(nats) and math.isfinite(norm)):
                raise divergence.diagnose(model, weights, good, step + 1, nats / tokens, norm, lr, recipe, list(recent))
            for copy, weight in zip(good, weights, strict=False):  # their loss is known to be finite
                copy.copy_(weight.detach())
            for optimiser in made:
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)

            seconds = time.perf_counter() - begin
            tokens_seen += int(tokens)
            speed = tokens / seconds
            mfu = flops * speed / peak if flops and peak else None
            last = step + 1 == recipe.steps
            stopped = bool(asked) and not last
            record = Step(step + 1, nats / tokens, norm, lr, tokens_seen, seconds, speed, mfu, stopped)
            recent.append(record)
        leave = partial(save, step + 1) if world.size == 1 else lambda: None  # several would have to save together
        try:
            with interrupt.after(leave):
                yield record  # before its checkpoint: a record that is written here has no gap after a kill
        except GeneratorExit:  # whoever reads the steps has left the loop
            leave()
            raise
        if last or stopped or (step + 1) % every == 0:
            try:
                with interrupt:
                    save(step + 1)
            except OSError as error:
                if last or stopped:
                    raise
                warnings.warn(
                    f"no checkpoint of step {step + 1}: {error}; the older ones are as they were", stacklevel=2
                )
        if stopped:
            return


def accumulate(parts: Iterable[Batch], nats_of: Callable[[Batch], Tensor], tokens: float) -> float:
    """Add the gradient of a batch to `grad`, computed part by part: the gradient of the mean loss over all its tokens.

    After a part's `backward()` its activations are freed: so the parts together need the memory of one. Each adds its
    own gradient to what is in `grad`, and every part counts by its tokens, not as one of so many parts.

    Args:
        parts: of the batch.
        nats_of: part -> the sum over its predictions, nats, with a gradient, as `token_nats` gives it.
        tokens: predictions that count, in all parts together.

    Returns:
        the sum over all predictions, nats.
    """
    nats = 0.0
    for part in parts:
        part_nats = nats_of(part)
        (part_nats / tokens).backward()
        nats += part_nats.item()
    return nats


def backward(
    run: nn.Module, batch: Batch, tokens: float, recipe: Recipe, loss: Loss = token_nats, world: World = ALONE
) -> float:
    """`accumulate` for this process's batch, under autocast; the gradients are exchanged between processes with the last part.

    Args:
        tokens: predictions that count, in all parts of all processes together.

    Returns:
        the sum over this process's predictions, nats.
    """

    def in_turn() -> Iterator[Batch]:
        parts = batch.split(recipe.accumulation)
        for i, part in enumerate(parts):
            with world.part(run, last=i == len(parts) - 1):  # held open while the part is computed
                yield part

    def nats_of(part: Batch) -> Tensor:
        with autocast(batch.inputs.device, recipe.dtype):
            return loss(run, part)

    return accumulate(in_turn(), nats_of, tokens / world.size)  # the gradients of W processes are averaged


def resume(
    folder: str | Path | None,
    model: nn.Module,
    made: Sequence[Optimizer],
    about: dict[str, Any],
    keep: int = 2,
    world: World = ALONE,
) -> tuple[int, int]:
    """Bring a run to where its latest checkpoint left it; the updates and tokens so far, (0, 0) at the beginning.

    Raises:
        CheckpointError: the checkpoint is of a run with other settings.
    """
    found = None if folder is None else checkpoint.latest(folder)
    if found is None:
        return 0, 0
    now = json.loads(json.dumps(about))  # as the file has it: lists, no tuples
    mine, theirs = Recipe.from_dict(now.pop("recipe")), dict(found.settings)
    differ = Recipe.from_dict(theirs.pop("recipe")).differences(mine)
    differ += [
        f"{name} = {theirs.get(name)!r} and {now.get(name)!r}"
        for name in sorted(theirs | now)
        if theirs.get(name) != now.get(name)
    ]
    if differ:
        raise checkpoint.CheckpointError(
            f"{found.path} was begun with other settings (there and here): {'; '.join(differ)}. Go on with its settings, "
            "or begin in another folder"
        )
    checkpoint.restore(found, model, made)
    if world.first and found.path == checkpoint.steps(found.path.parent)[-1]:
        checkpoint.tidy(found.path.parent, keep)  # a run may have been killed before it did that
    return found.step, found.tokens
