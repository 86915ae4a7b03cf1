"""What makes a step of a gradient: AdamW for every weight, or Muon for the matrices inside the layers and AdamW for the rest.

Papers: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW, algorithm 2); Jordan et al. 2024, "Muon: An
optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon): the step of a matrix is made nearly
orthogonal, so that no direction of it dominates (`muon`); embedding, head and vectors stay with AdamW.

Weight decay pulls weights towards zero. Only matrices get it: a norm's weight belongs near 1, and a bias wherever it belongs.

Left out: AdamW itself, which is PyTorch's (`torch.optim.AdamW`), and Muon for anything but matrices.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lablib.pretraining.muon import Muon
from lablib.pretraining.recipe import Recipe


def hidden_matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """The matrices for Muon, by name: those of linear layers, but not the head, and no table that an embedding uses, too.

    The head is what `model.head` or `lm_head` names; in a tied model it is the embedding's table.
    """
    tables = {id(weight) for part in model.modules() if isinstance(part, nn.Embedding) for weight in part.parameters()}
    linear = {id(part.weight) for part in model.modules() if isinstance(part, nn.Linear)}
    return {
        name: weight
        for name, weight in model.named_parameters()
        if id(weight) in linear - tables and name.split(".")[-2] not in ("head", "lm_head")
    }


def make(model: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """The optimisers of a run: [AdamW], or [AdamW, Muon]. Each group's `peak` is the rate that `set_rates` scales.

    Raises:
        ValueError: Muon is asked for and the model has no matrix for it.
    """
    muon = hidden_matrices(model) if recipe.optimiser == "muon" else {}
    if recipe.optimiser == "muon" and not muon:
        raise ValueError(
            "optimiser = 'muon': the model has no linear layer but its head; expected one, or take 'adamw'"
        )
    rest = [weight for name, weight in model.named_parameters() if weight.requires_grad and name not in muon]
    groups = [
        {"params": [weight for weight in rest if weight.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in rest if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    betas = (recipe.beta1, recipe.beta2)
    made: list[Optimizer] = [
        torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
    ]
    if muon:
        matrices = [weight for weight in muon.values() if weight.requires_grad]
        # A step of Muon has the length that its rate says, whatever the gradient: so muon_lr is no rate of AdamW's kind.
        made.append(Muon(matrices, recipe.muon_lr, recipe.momentum, recipe.weight_decay))
    for group in groups_of(made):
        group["peak"] = group["lr"]
    return made


def groups_of(optimisers: Iterable[Optimizer]) -> list[dict]:
    """The parameter groups of all optimisers."""
    return [group for optimiser in optimisers for group in optimiser.param_groups]


def set_rates(optimisers: Iterable[Optimizer], factor: float) -> None:
    """Set every learning rate to its peak times the schedule's factor."""
    for group in groups_of(optimisers):
        group["lr"] = group["peak"] * factor


def clip_(weights: Iterable[Tensor], longest: float) -> float:
    """Shorten the gradient of all weights together to the norm `longest`, if it is longer; the norm that it had.

    Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm 1. A gradient
    with a NaN or an infinity stays as it is, for whoever looks at the norm.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = full(nn.utils.get_total_norm(gradients)).item()  # √(sum of the squares of all numbers)
    if longest < norm < math.inf:
        for gradient in gradients:
            gradient.mul_(longest / norm)
    return norm


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that is spread over processes; any other tensor is returned as it is."""
    if not torch.distributed.is_initialized():
        return tensor  # and PyTorch's code for the other case need not be loaded
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
