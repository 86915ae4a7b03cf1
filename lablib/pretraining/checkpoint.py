"""The whole state of a run in a folder, so that it goes on after anything as if nothing had happened.

    run/step-00000100/   weights.safetensors   the model
                         state.safetensors     the optimisers' averages, the states of the random generators
                         checkpoint.json       step, tokens, settings, versions, and size and SHA-256 of the other two

It is written under another name and renamed when all of it is on the disk (`atomic`): a kill or a full disk at any moment leaves the
checkpoints before it. `latest` takes the newest that is whole, and says so when that is not the newest. The files do not depend on the
number of processes: what FSDP has spread is gathered, and spread again by whoever reads it.

Left out: writing in parallel from all processes, or beside the training (`torch.distributed.checkpoint`); two runs in one folder;
the random generators of all processes but the first, which only dropout would need.
"""

import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lablib.pretraining import atomic
from lablib.pretraining.distributed import ALONE, World
from lablib.pretraining.optimisers import full

FORMAT, VERSION = "data-to-dialogue checkpoint", 1
META, WEIGHTS, STATE = "checkpoint.json", "weights.safetensors", "state.safetensors"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: which file, and why."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as `read` found it, whole.

    Attributes:
        path: its folder. step: updates that the weights have had. tokens: predictions learned from so far.
        settings: what the run was begun with (model and recipe). groups: the settings of the optimisers' parameter groups.
        weights, state: tensors by name.
    """

    path: Path
    step: int
    tokens: int
    settings: dict[str, Any]
    groups: list[list[dict[str, Any]]]
    weights: dict[str, Tensor]
    state: dict[str, Tensor]


def save(
    folder: str | Path,
    step: int,
    tokens: int,
    model: nn.Module,
    optimisers: Sequence[Optimizer],
    settings: Mapping[str, Any],
    keep: int = 2,
    world: World = ALONE,
) -> Path:
    """Write the state after `step` updates as a new checkpoint of a run's folder; of the older ones the last keep − 1 stay.

    All processes of a run call it; the first one writes. model and optimisers: as they are trained. settings: goes into JSON.

    Raises:
        OSError: the disk is full, say. The older checkpoints are as they were.
    """
    if keep < 1:
        raise ValueError(f"keep = {keep}: expected at least 1; with 2 there is one to fall back on")
    folder = Path(folder)
    weights = {name: _plain(weight) for name, weight in model.state_dict().items()}
    state, groups = _optimiser_state(model, optimisers)
    state |= _random_state()
    path = folder / f"step-{step:08}"
    try:
        if world.first:
            _write(path, step, tokens, settings, groups, {WEIGHTS: weights, STATE: state})
            tidy(folder, keep)
    finally:
        world.wait()  # the others, too, when the first one could not write
    return path


def _write(
    path: Path,
    step: int,
    tokens: int,
    settings: Mapping[str, Any],
    groups: list[list[dict[str, Any]]],
    files: Mapping[str, dict[str, Tensor]],
) -> None:
    """The folder of one checkpoint, or nothing."""
    import safetensors
    import safetensors.torch

    atomic.clear(path.parent)  # there may be half a checkpoint of a killed run, and its room may be needed
    with atomic.new_folder(path) as unfinished:
        for name, tensors in files.items():
            atomic.write(unfinished / name, safetensors.torch.save(tensors, {"format": "pt"}))
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "step": step,
            "tokens": tokens,
            "settings": dict(settings),
            "groups": groups,
            "files": {name: _fingerprint(unfinished / name) for name in files},
            "made with": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "safetensors": safetensors.__version__,
            },
        }
        atomic.write(unfinished / META, (json.dumps(meta, indent=1) + "\n").encode())


def tidy(folder: str | Path, keep: int) -> None:
    """Remove all but the last checkpoints of a run's folder, whose newest must be whole, and what a killed run left unfinished."""
    for old in steps(folder)[:-keep]:
        atomic.remove(old)
    atomic.clear(Path(folder))


def steps(folder: str | Path) -> list[Path]:
    """The checkpoints of a run's folder, oldest first, whether they are whole or not."""
    return sorted(path for path in Path(folder).glob("step-*") if path.is_dir())


def read(path: str | Path) -> Checkpoint:
    """One checkpoint, checked to the last byte.

    Raises:
        CheckpointError: a file is missing, cut short, changed, of something else or of a later version.
    """
    import safetensors.torch

    path = Path(path)
    try:
        meta = json.loads((path / META).read_text(encoding="utf-8"))
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise CheckpointError(f"{path / META} does not say format {FORMAT!r}: expected a folder that `save` wrote")
        if meta.get("version") != VERSION:
            raise CheckpointError(
                f"{path / META} has version {meta.get('version')!r}: expected {VERSION}; a newer course wrote it, so bring yours up to date"
            )
        for name, expected in meta["files"].items():
            found = _fingerprint(path / name)
            if found["bytes"] != expected["bytes"]:
                raise CheckpointError(
                    f"{path / name} has {found['bytes']:,} bytes: expected {expected['bytes']:,}; it was cut short"
                )
            if found != expected:
                raise CheckpointError(
                    f"{path / name} does not have the SHA-256 that {META} says: it was changed or damaged"
                )
        tensors = [safetensors.torch.load((path / name).read_bytes()) for name in (WEIGHTS, STATE)]
        return Checkpoint(path, meta["step"], meta["tokens"], meta["settings"], meta["groups"], *tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename} is missing: expected a whole checkpoint in {path}") from None
    except (ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}: {error}): expected a whole checkpoint"
        ) from None


def latest(folder: str | Path) -> Checkpoint | None:
    """The newest whole checkpoint of a run's folder, or None where there is none at all. It warns of each that it passes over.

    Raises:
        CheckpointError: there are checkpoints and none of them is whole.
    """
    problems = []
    for path in reversed(steps(folder)):
        try:
            checkpoint = read(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warnings.warn(f"{problem}. Going on from the one before it, {path.name}", stacklevel=2)
        return checkpoint
    if problems:
        raise CheckpointError(f"no checkpoint in {folder} is whole: {'; '.join(problems)}. Begin in another folder")
    return None


def restore(checkpoint: Checkpoint, model: nn.Module, optimisers: Sequence[Optimizer]) -> None:
    """Put a checkpoint's state into a model, its optimisers and PyTorch's generators.

    Raises:
        CheckpointError: the weights or optimisers are of another model; nothing is changed then.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | checkpoint.weights.keys()):
        mine, theirs = (tuple(found[name].shape) if name in found else None for found in (own, checkpoint.weights))
        if mine != theirs:
            raise CheckpointError(
                f"{checkpoint.path / WEIGHTS} has {name} with shape {theirs} and the model {mine}: expected the same model; "
                "is this the folder of another run?"
            )
    sizes = [[len(group["params"]) for group in optimiser.param_groups] for optimiser in optimisers]
    saved = [[len(group["params"]) for group in groups] for groups in checkpoint.groups]
    if sizes != saved:
        raise CheckpointError(
            f"{checkpoint.path / STATE} is of optimisers with groups of {saved} weights: expected {sizes}; "
            "was the run begun with another optimiser?"
        )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(_like(checkpoint.weights[name], weight))
    _restore_optimisers(checkpoint, model, optimisers)
    torch.set_rng_state(checkpoint.state["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in checkpoint.state:
        torch.cuda.set_rng_state(checkpoint.state["random.cuda"])


def _optimiser_state(
    model: nn.Module, optimisers: Sequence[Optimizer]
) -> tuple[dict[str, Tensor], list[list[dict[str, Any]]]]:
    """The optimisers' tensors as "number.weight's name/what", and their groups with the names of the weights in them."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    tensors, groups = {}, []
    for number, optimiser in enumerate(optimisers):
        # In one order in all processes, since gathering what is spread takes all of them.
        for weight, values in sorted(optimiser.state.items(), key=lambda item: names[id(item[0])]):
            for what, value in sorted(values.items()):
                tensors[f"{number}.{names[id(weight)]}/{what}"] = _plain(value)
        groups.append(
            [{**group, "params": [names[id(w)] for w in group["params"]]} for group in optimiser.param_groups]
        )
    return tensors, groups


def _restore_optimisers(checkpoint: Checkpoint, model: nn.Module, optimisers: Sequence[Optimizer]) -> None:
    """The reverse of `_optimiser_state`."""
    weights = dict(model.named_parameters())
    for number, (optimiser, groups) in enumerate(zip(optimisers, checkpoint.groups, strict=True)):
        for group, saved in zip(optimiser.param_groups, groups, strict=True):
            group.update(
                {
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in saved.items()
                    if key != "params"
                }
            )
        optimiser.state.clear()
        for key, value in checkpoint.state.items():
            owner, _, what = key.partition("/")
            if owner.split(".")[0] == str(number):
                weight = weights[owner.partition(".")[2]]
                # All but AdamW's count of its steps, a single number, has the weight's shape and is spread as the weight is.
                moved = _like(value, weight) if value.shape == weight.shape else value.to(weight.device)
                optimiser.state[weight][what] = moved.clone()  # read from a file, it would share the file's memory


def _plain(tensor: Tensor) -> Tensor:
    """A tensor of its own on the CPU: what is spread over processes is gathered."""
    return full(tensor.detach()).cpu().clone().contiguous()


def _like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """A tensor on the device of another, and spread over processes as that one is."""
    if torch.distributed.is_initialized():
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(pattern, DTensor):
            # Every process has read the whole of it and keeps its part: nothing needs to be sent.
            return distribute_tensor(
                tensor.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None
            )
    return tensor.to(pattern.device)


def _random_state() -> dict[str, Tensor]:
    """The states of PyTorch's generators, which dropout draws from."""
    state = {"random.cpu": torch.get_rng_state()}
    return state | ({"random.cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": atomic.sha256(path)}
