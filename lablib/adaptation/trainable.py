"""Which weights of a model learn, how many they are, and what training them takes: the bookkeeping of all parameter-efficient methods.

Training holds four numbers for every weight that learns (itself, its gradient, and the two running means of Adam) and one for every
weight that is frozen. That is where these methods save memory; the activations that the backward pass needs are hardly fewer.

Papers: Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP"; Kingma & Ba 2015, "Adam" (the two running means).
Left out: optimisers with other states.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)
ADAM = 2  # running means that it keeps for each weight


def freeze(model: M) -> M:
    """Let no weight of a model learn; the same model comes back.

    >>> trainable(freeze(nn.Linear(3, 2)))
    0
    """
    for weight in model.parameters():
        weight.requires_grad_(False)
    return model


def train_only(model: M, names: Iterable[str]) -> M:
    """Freeze all weights but those of these names; the same model comes back.

    Raises:
        ValueError: no name is given, or the model has no weight of that name.
    """
    weights, wanted = dict(model.named_parameters()), list(names)
    unknown = [name for name in wanted if name not in weights]
    if unknown or not wanted:
        raise ValueError(
            f"names = {wanted[:3]}: expected at least one, each of a weight of the model, such as {next(iter(weights), None)!r}"
            + (f"; it has none called {unknown[0]!r}" if unknown else "")
        )
    freeze(model)
    for name in wanted:
        weights[name].requires_grad_(True)
    return model


def trainable(model: nn.Module) -> int:
    """How many numbers of a model learn; a weight that stands in two places counts once."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def total(model: nn.Module) -> int:
    """How many numbers a model holds, frozen ones and those in buffers (quantised weights) included."""
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def training_bytes(model: nn.Module) -> int:
    """Memory that training with Adam holds between two steps: weights, and gradient and two running means of those that learn.

    >>> training_bytes(nn.Linear(10, 1, bias=False)), training_bytes(freeze(nn.Linear(10, 1, bias=False)))
    (160, 40)
    """
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    return held + sum((1 + ADAM) * weight.nbytes for weight in model.parameters() if weight.requires_grad)


def replace_modules(
    model: nn.Module, targets: Iterable[str], kind: type[nn.Module] = nn.Linear
) -> Iterator[tuple[str, nn.Module]]:
    """Go through the parts of a model whose own name is in targets, so that the caller may put others in their place.

    Yields:
        the full name and the part, in the order of the model. The list is made before the first is handed out.

    Raises:
        ValueError: a target that no part is called, or that is a part of another kind.
    """
    wanted = tuple(targets)
    if isinstance(targets, str) or not wanted:
        raise ValueError(f"targets = {targets!r}: expected a list of names, such as ('q_proj', 'v_proj')")
    found = {name: part for name, part in model.named_modules() if name.rpartition(".")[2] in wanted}
    lacking = sorted(set(wanted) - {name.rpartition(".")[2] for name in found})
    if lacking:
        there = sorted(
            {
                name.rpartition(".")[2]
                for name, part in model.named_modules()
                if isinstance(part, kind) and not [*part.children()]
            }
        )
        raise ValueError(f"targets = {wanted}: no part is called {lacking[0]!r}; expected some of {', '.join(there)}")
    for name, part in found.items():
        if not isinstance(part, kind):
            raise ValueError(
                f"{name} is a {type(part).__name__}: expected a {kind.__name__}; is something put in its place already?"
            )
    yield from found.items()


def put_in_place(model: nn.Module, name: str, part: nn.Module) -> None:
    """Put a part where the one of that full name stands."""
    owner, _, own = name.rpartition(".")
    setattr(model.get_submodule(owner), own, part)


def copies(weights: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Copies of weights by name, to compare with later."""
    return {name: weight.detach().clone() for name, weight in weights}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """The names of the tensors that are not the same bit for bit.

    Raises:
        ValueError: a name of `before` is not in `after`.
    """
    lacking = sorted(set(before) - set(after))
    if lacking:
        raise ValueError(f"after has no {lacking[0]!r}: expected every name of before, {len(before)} in all")
    return [name for name, weight in before.items() if not torch.equal(weight, after[name])]
