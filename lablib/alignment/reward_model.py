"""A reward model: the tuned language model with its head taken off, and in its place one that gives a single number.

    reward = RewardModel(sft.model, generator)
    rewards(reward, answers(prompts, responses, pad))       # (N,): one number for each response

What the model has learned about language stays; only the last step is new: `r(x, y) = w · h + b`, where h is the hidden state at the
response's last token, the only one that has seen all of it (Ouyang et al. 2022, "Training language models to follow instructions
with human feedback", §3.5: "the final unembedding layer removed"). So a finished response is read at its stop token, and one that
was cut off at whatever token came last: the model can tell the two apart.

The new head begins at N(0, 1/(D + 1)), as in the released code of Ziegler et al. 2019, "Fine-Tuning Language Models from Human
Preferences". Preferences only fix *differences* of rewards, so any b fits them equally well. `centre_` chooses the one with which the
responses that it is shown have the mean 0 (Ouyang et al. 2022, §3.5).

Axes: N responses, T tokens, D model width. Left out: a reward for every token; heads with a hidden layer.
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lablib.alignment.log_probs import Answers
from lablib.alignment.packed_answers import counted_hidden
from lablib.architecture.decoder import CausalModel, Decoder
from lablib.architecture.llama_format import load_llama, save_llama
from lablib.pretraining import atomic

HEAD = "reward_head.json"  # beside the trunk's files
ROWS = 128  # responses that `rewards` reads at once


class RewardModel(nn.Module):
    """(inputs, places) -> one reward for each row.

    Args:
        model: the language model to begin with; it is copied, and stays as it is. All of the copy may learn.
        generator: of the head's first weights.
    """

    def __init__(self, model: CausalModel, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(model).requires_grad_(True)
        D = model.sizes.D
        self.head = nn.Linear(D, 1)
        nn.init.normal_(self.head.weight, std=(D + 1) ** -0.5, generator=generator)
        nn.init.zeros_(self.head.bias)
        self.to(model.embedding.weight.device)

    def forward(self, inputs: Tensor, last: Tensor) -> Tensor:
        """inputs: token numbers (N, T). last: where each row is read, (N,), a place from 0 to T − 1. -> rewards (N,), in nats.

        What stands behind the place has no influence: padding may hold any token.
        """
        hidden = self.trunk.hidden(inputs)  # (N, T) -> (N, T, D)
        read = hidden[torch.arange(len(inputs), device=inputs.device), last]  # (N, T, D) -> (N, D)
        return self.head(read)[:, 0].float()  # (N, D) -> (N, 1) -> (N,)


def last_tokens(answers: Answers) -> Tensor:
    """The place of each response's last token in `answers.ids`: (N,).

    Raises:
        ValueError: a response without a token, so that there is no place to read it at.

    >>> from lablib.alignment.log_probs import answers
    >>> last_tokens(answers([[7, 8], [9]], [[4, 5], [6]], pad=0))
    tensor([3, 1])
    """
    empty = (~answers.mask.any(dim=1)).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(
            f"the responses in rows {empty[:5]} have no token: expected one at least, where the reward is read; a model that says "
            "nothing writes its stop token, and that counts"
        )
    T = answers.mask.shape[1]
    return T - answers.mask.int().flip(1).argmax(
        dim=1
    )  # the last True is at T − 1 − argmax, among targets: one further on


def check_length(model: RewardModel, answers: Answers) -> None:
    """Raise a ValueError for rows longer than what the trunk was trained to read."""
    length, context = answers.ids.shape[1], model.trunk.sizes.context
    if length > context:
        raise ValueError(
            f"answers has rows of {length} tokens: expected at most {context}, the model's context; leave the longest out"
        )


def last_hidden(trunk: CausalModel, ids: Tensor, mask: Tensor, last: Tensor) -> Tensor:
    """`trunk.hidden(ids)` at the last token of each response, read packed, a prompt once for all that answer it: (n, D).

    Args: ids (n, T + 1), mask (n, T): of answers. last: the places of their last tokens, (n,).
    """
    counts = F.pad(mask, (0, 1)).scatter(1, last[:, None], True)  # (n, T + 1): from the prompt's last token on
    return counted_hidden(trunk, ids, counts, counts.sum(dim=1).cumsum(dim=0) - 1)  # (n, T + 1) -> (n, D)


@torch.no_grad()
def rewards(model: RewardModel, answers: Answers) -> Tensor:
    """The reward of each response, without gradients: (N,), in nats, since differences of rewards are log-odds; on the model's device.

    Raises:
        ValueError: a response without a token; rows longer than the model's context; a reward that is no finite number.
    """
    answers = answers.to(model.head.weight.device)
    last = last_tokens(answers)
    check_length(model, answers)
    training = model.training
    model.eval()
    parts = []
    for start in range(0, len(answers), ROWS):
        some = slice(start, start + ROWS)
        hidden = last_hidden(model.trunk, answers.ids[some], answers.mask[some], last[some])  # (n, D)
        parts.append(model.head(hidden)[:, 0].float())  # (n, D) -> (n, 1) -> (n,)
    model.train(training)
    found = torch.cat(parts)
    if not bool(found.isfinite().all()):
        row = int((~found.isfinite()).nonzero()[0])
        raise ValueError(
            f"the reward of row {row} is {found[row].item()}: expected a finite number; did its training diverge?"
        )
    return found


@torch.no_grad()
def centre_(model: RewardModel, answers: Answers) -> float:
    """Move the head's bias so that these responses have a mean reward of 0; returns the mean that they had, nats.

    No preference changes by it. Give responses of the model that reinforcement learning will begin with: then a reward above 0 means
    better than those.
    """
    mean = float(rewards(model, answers).mean())
    model.head.bias.sub_(mean)
    return mean


# ---------------------------------------------------------------- files


def save(model: RewardModel, folder: str | Path, dtype: torch.dtype = torch.float16, **tokens: int) -> None:
    """Write a reward model with a `Decoder` as its trunk. tokens: bos, eos, pad, as in `save_llama`.

    The trunk lies there as every Llama does; the head's D + 1 numbers stand in a file of their own.
    """
    if not isinstance(model.trunk, Decoder):
        raise ValueError(
            f"model.trunk is a {type(model.trunk).__name__}: expected a Decoder, which has a format of files"
        )
    save_llama(model.trunk, folder, dtype, **tokens)
    head: dict[str, Any] = {"weight": model.head.weight[0].tolist(), "bias": model.head.bias.item()}
    atomic.write(Path(folder) / HEAD, (json.dumps(head) + "\n").encode())


def load(folder: str | Path) -> RewardModel:
    """A reward model from the folder that `save` wrote, in float32 and evaluation mode.

    Raises:
        FileNotFoundError: no such folder, or one without a reward head. ValueError: the head is of another width, or no numbers.
    """
    path = Path(folder) / HEAD
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected a folder that `reward_model.save` wrote")
    head = json.loads(path.read_text(encoding="utf-8"))
    trunk = load_llama(folder, torch.float32)
    weight, bias = torch.tensor(head["weight"]), torch.tensor([head["bias"]])
    if weight.shape != (trunk.sizes.D,) or not bool(torch.cat((weight, bias)).isfinite().all()):
        raise ValueError(
            f"{path} has a weight of shape {tuple(weight.shape)}: expected ({trunk.sizes.D},) finite numbers"
        )
    model = RewardModel(trunk)
    model.head.weight.data, model.head.bias.data = weight[None], bias  # (D,) -> (1, D)
    return model.eval()
