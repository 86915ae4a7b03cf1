"""A set of preferences as tokens, with the reference's log-probabilities computed once.

DPO keeps a frozen copy of the model that it starts from: the *reference*. (The common account, "DPO needs one model only", forgets it.)
But the reference never changes, and neither do the pairs. So its log-probabilities are computed in one pass over the set, before the
first step, and kept as two numbers a pair; the copy can be thrown away. Then training needs the memory of one model, and reads each
batch with that one only.

    table = preference_table(sft, prompts, chosen, rejected, pad)
    for step in dpo.train(model, table, recipe, loss): ...

Axes: N pairs, T time. The rows of `answers` are the N chosen responses, then the N rejected ones, then, for KTO, N mismatched ones.
Left out: keeping the table on disk (it is recomputed in seconds here; for a large model one would).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lablib.alignment.log_probs import Answers, answers, response_log_probs, sequence_log_probs
from lablib.architecture.decoder import CausalModel
from lablib.pretraining.loss import autocast

ROWS = 64  # read by the model at a time


@dataclass(frozen=True)
class PreferenceTable:
    """Pairs of responses and what the reference thinks of them.

    Attributes:
        answers: 2N rows, the chosen responses and then the rejected ones; 3N with `mismatched`: the prompt of each pair with
            the chosen response of the next pair, which does not belong to it (see `dpo_relatives.kto_reference_point`).
        reference: log-probability of each row's response under the reference, nats.
        mismatched: are the last N rows there?
    """

    answers: Answers
    reference: Tensor
    mismatched: bool = False

    def __post_init__(self) -> None:
        if len(self.answers) % self.parts or self.reference.shape != (len(self.answers),):
            raise ValueError(
                f"answers has {len(self.answers)} rows and reference the shape {tuple(self.reference.shape)}: expected {self.parts} rows "
                "for each pair, and one log-probability for each row"
            )

    @property
    def parts(self) -> int:
        """Rows for each pair."""
        return 3 if self.mismatched else 2

    def __len__(self) -> int:
        """N, the pairs."""
        return len(self.answers) // self.parts

    def take(self, pairs: Sequence[int] | Tensor) -> "PreferenceTable":
        """Some of the pairs, in the order given, on no more columns than they need."""
        chosen = torch.as_tensor(pairs, dtype=torch.int64)
        rows = torch.cat([chosen + part * len(self) for part in range(self.parts)])
        return PreferenceTable(self.answers.take(rows), self.reference[rows], self.mismatched)


def preference_table(
    reference: CausalModel,
    prompts: Sequence[Sequence[int]],
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    pad: int,
    mismatched: bool = False,
    dtype: str = "float32",
) -> PreferenceTable:
    """Put pairs together and let the reference read each response once.

    Args:
        reference: the model that training starts from. It is read, not changed.
        prompts, chosen, rejected: N lists of token numbers each; a response includes the stop token that ended it.
        pad: fills rows up. mismatched: add the rows that KTO needs. dtype: of the arithmetic, as in `Recipe`; take
            the recipe's, or policy and reference differ by rounding before anything is learned.

    Raises:
        ValueError: no pairs, unequal numbers, an empty prompt or response, a pair of equal responses, from which
            nothing can be learned, mismatched rows of one pair alone, or a row that is longer than the model's
            context.
    """
    check_pairs(prompts, chosen, rejected)
    asked, given = [*prompts, *prompts], [*chosen, *rejected]
    if mismatched:
        if len(prompts) < 2:
            raise ValueError(
                "mismatched = True with 1 pair: expected two at least, so that there is another's response"
            )
        asked, given = [*asked, *prompts], [*given, *chosen[1:], chosen[0]]
    rows = answers(asked, given, pad)
    return PreferenceTable(rows, sums(reference, rows, dtype), mismatched)


def sums(model: CausalModel, rows: Answers, dtype: str = "float32", at_once: int = ROWS) -> Tensor:
    """Log-probability of each response (N,), nats, on the CPU, without gradients.

    Rows that begin alike are read together, and so is their prompt, once for all.
    """
    device, training = model.embedding.weight.device, model.training
    order = torch.tensor(sorted(range(len(rows)), key=rows.ids.tolist().__getitem__))  # (N,)
    found = torch.zeros(len(rows))
    model.eval()
    try:
        for some in order.split(at_once):
            part = rows.take(some).to(device)
            with torch.inference_mode(), autocast(device, dtype):
                found[some] = sequence_log_probs(response_log_probs(model, part), part.mask).float().cpu()
    finally:
        model.train(training)
    return found


def check_pairs(
    prompts: Sequence[Sequence[int]], chosen: Sequence[Sequence[int]], rejected: Sequence[Sequence[int]]
) -> None:
    """Raise a ValueError for pairs from which nothing can be learned; see `preference_table`."""
    if not len(prompts) or not len(prompts) == len(chosen) == len(rejected):
        raise ValueError(
            f"{len(prompts)} prompts, {len(chosen)} chosen and {len(rejected)} rejected: expected at least one pair, and as many of each"
        )
    for pair, (good, bad) in enumerate(zip(chosen, rejected, strict=True)):
        for name, response in (("chosen", good), ("rejected", bad)):
            if not len(response):
                raise ValueError(
                    f"{name}[{pair}] is empty: expected a token at least; a model that says nothing writes its stop token"
                )
        if list(good) == list(bad):
            raise ValueError(
                f"chosen[{pair}] and rejected[{pair}] are the same {len(good)} tokens: expected two responses; leave such pairs out, "
                "since their gradient is 0"
            )
