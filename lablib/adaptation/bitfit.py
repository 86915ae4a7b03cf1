"""BitFit: train the biases and nothing else. A tenth of a per cent of BERT, or of GPT-2; and of a Llama, nothing at all, for it has none.

The models that the paper tuned have a bias in every linear layer and in every norm. Llama's authors left them all out, so on a model of
that shape the method is empty: `train_biases` says so. Two things come near it:

- `train_norms`: the weights of the norms, one factor for each feature: what BitFit's biases shift, these stretch;
- `add_biases`: give the linear layers biases, zero at first, and train those. Then it is BitFit, on a model that is no plain Llama any more
  (`transformers` has switches for it, `attention_bias` and `mlp_bias`).

Paper: Ben Zaken, Ravfogel & Goldberg 2022, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models".
Left out: the paper's smaller variant (only the biases of queries and of the middle of the feed-forward network).
"""

from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from lablib.adaptation.lora import ALL_LINEAR
from lablib.adaptation.trainable import freeze, replace_modules, train_only

M = TypeVar("M", bound=nn.Module)


def bias_names(model: nn.Module) -> list[str]:
    """The names of all biases: of linear layers and of norms."""
    return [name for name, _ in model.named_parameters() if name.rpartition(".")[2] == "bias"]


def train_biases(model: M) -> M:
    """Freeze everything but the biases; the same model comes back.

    Raises:
        ValueError: the model has no bias.
    """
    names = bias_names(model)
    if not names:
        raise ValueError(
            f"the {type(model).__name__} has no biases: expected a model that has, such as GPT2; "
            "a Llama-shaped one has none: take `train_norms`, or `add_biases` first"
        )
    return train_only(model, names)


def train_norms(model: M) -> M:
    """Freeze everything but the weights of the norms, (2L + 1)·D numbers; the same model comes back. No BitFit, but as small."""
    names = [
        name for name, weight in model.named_parameters() if weight.dim() == 1 and "norm" in name and "bias" not in name
    ]
    return train_only(model, names)


def add_biases(model: M, targets: Sequence[str] = ALL_LINEAR) -> M:
    """Give linear layers a bias of zero and freeze everything else; the same model comes back, and computes the same.

    Raises:
        ValueError: one has a bias already, or a target that no layer is called.
    """
    freeze(model)
    for name, part in replace_modules(model, targets):
        assert isinstance(part, nn.Linear)
        if part.bias is not None:
            raise ValueError(f"{name} has a bias: expected layers without; `train_biases` trains those that are there")
        part.bias = nn.Parameter(part.weight.new_zeros(part.out_features))
    return model


def remove_biases(model: M, targets: Sequence[str] = ALL_LINEAR) -> M:
    """Take the biases of these layers away again; the same model comes back."""
    for _, part in replace_modules(model, targets):
        assert isinstance(part, nn.Linear)
        part.register_parameter("bias", None)
    return model


def largest_biases(model: nn.Module, n: int = 5) -> list[tuple[str, float]]:
    """Where tuning changed most, for biases that began at zero: the n names with the largest root mean square."""
    sizes = [
        (name, float(weight.detach().square().mean().sqrt()))
        for name, weight in model.named_parameters()
        if name.rpartition(".")[2] == "bias"
    ]
    return sorted(sizes, key=lambda row: -row[1])[:n]
