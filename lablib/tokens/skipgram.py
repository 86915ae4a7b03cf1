"""Vectors from company: skip-gram with negative sampling (word2vec), and the matrix that it factors without saying so.

Mikolov et al. 2013b, "Distributed Representations of Words and Phrases and their Compositionality": for a pair (centre, context)
that stand near each other and for k tokens drawn at random, tell which is which (eq. 4). Two tables are learned, one for tokens in the
centre and one for tokens beside it; the first is kept.

Levy & Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization": with enough columns the best that it can do is
centre · context = PMI − log k, where PMI is the pointwise mutual information of the two. So the vectors can also be had by counting and
one singular value decomposition: `shifted_pmi` and `factor`.

Left out: hierarchical softmax, phrases, subword vectors (fastText).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class SkipGramConfig:
    """Settings of the training.

    Attributes:
        D: width of a vector.
        window: how far a context may stand, in tokens; for each centre a reach from 1 to this is drawn, so near counts more.
        negatives: random tokens for each pair, k.
        epochs: passes over the text.
        batch: pairs in a step.
        lr: step size of Adam, falling to zero in a straight line.
        keep: tokens with a share f of the text above this are kept with the probability √(keep / f) (eq. 5); 1 keeps all.
    """

    D: int = 64
    window: int = 5
    negatives: int = 5
    epochs: int = 3
    batch: int = 2048
    lr: float = 5e-3
    keep: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("D", "window", "negatives", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: expected at least 1")
        if not self.lr > 0:
            raise ValueError(f"lr = {self.lr}: expected a positive step size, such as 0.005")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep = {self.keep}: expected a share of the text, above 0 and at most 1")


def context_pairs(texts: Sequence[Sequence[int]], window: int, generator: torch.Generator) -> Tensor:
    """All (centre, context) pairs: two tokens of one text, at most a drawn reach of 1 to `window` apart.

    Returns:
        (N, 2) int64, in no special order.
    """
    ids = torch.tensor([token for text in texts for token in text], dtype=torch.int64)  # (n,)
    text = torch.repeat_interleave(torch.arange(len(texts)), torch.tensor([len(text) for text in texts]))
    reach = torch.randint(1, window + 1, (len(ids),), generator=generator)
    found = [torch.empty(0, 2, dtype=torch.int64)]
    for distance in range(1, window + 1):
        same = text[distance:] == text[:-distance]
        left, right = ids[:-distance], ids[distance:]
        found.append(torch.stack((left, right), dim=1)[same & (reach[:-distance] >= distance)])
        found.append(torch.stack((right, left), dim=1)[same & (reach[distance:] >= distance)])
    return torch.cat(found)


def keep_probabilities(counts: Tensor, keep: float) -> Tensor:
    """How likely each token is to stay when frequent ones are thinned out (Mikolov et al. 2013b, eq. 5: discarded with 1 − √(t/f)).

    Args:
        counts: (V,), how often each token occurs.
        keep: t, the share of the text above which a token is thinned.

    >>> keep_probabilities(torch.tensor([99.0, 1.0]), keep=0.01)
    tensor([0.1005, 1.0000], dtype=torch.float64)
    """
    share = counts.double() / counts.sum()  # f
    return (keep / share.clamp(min=1e-12)).sqrt().clamp(max=1)


def negative_sampling_loss(centre: Tensor, context: Tensor, negatives: Tensor) -> Tensor:
    """Mikolov et al. 2013b, eq. 4, with the sign turned round: how badly true pairs are told from random ones.

    Args:
        centre, context: vectors (B, D) of the tokens of true pairs.
        negatives: vectors (B, k, D) of random contexts for each of them.

    Returns:
        −log σ(context · centre) − Σ log σ(−negative · centre), the mean over the B pairs, in nats.
    """
    true = (centre * context).sum(-1)  # (B,)
    false = (negatives * centre[:, None]).sum(-1)  # (B, k, D) · (B, 1, D) -> (B, k)
    return -(F.logsigmoid(true) + F.logsigmoid(-false).sum(-1)).mean()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """A step is so small that two threads mostly wait for each other as soon as anything else runs on the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    texts: Sequence[Sequence[int]], V: int, config: SkipGramConfig, generator: torch.Generator
) -> Iterator[tuple[float, Tensor]]:
    """Learn vectors for V tokens from texts.

    Differs from the paper: Adam on batches of pairs in place of plain gradient steps pair by pair, and a random token may by
    chance be the true context (Levy & Goldberg's limit has it so too).

    Yields:
        after each step its loss (nats a pair) and the table (V, D) of the centres as it is then.

    Raises:
        ValueError: the texts hold no pair.
    """
    counts = torch.bincount(torch.tensor([token for text in texts for token in text]), minlength=V).double()
    kept = keep_probabilities(counts, config.keep).tolist()
    noise = (counts**0.75).float()  # "the unigram distribution raised to the 3/4rd power"
    centre = ((torch.rand(V, config.D, generator=generator) - 0.5) / config.D).requires_grad_()
    context = torch.zeros(V, config.D, requires_grad=True)
    optimizer = torch.optim.Adam([centre, context], lr=config.lr, fused=True)
    step, steps = 0, 0
    for _ in range(config.epochs):
        draws = iter(torch.rand(int(counts.sum()), generator=generator).tolist())
        thinned = [[token for token in text if next(draws) < kept[token]] for text in texts]
        pairs = context_pairs(thinned, config.window, generator)
        if not len(pairs):
            raise ValueError(
                f"texts hold no pair of tokens: expected texts of two tokens or more, got {len(texts)} texts"
            )
        pairs = pairs[torch.randperm(len(pairs), generator=generator)]
        steps = steps or config.epochs * -(-len(pairs) // config.batch)
        for batch in pairs.split(config.batch):
            with _one_thread():
                random = torch.multinomial(noise, len(batch) * config.negatives, replacement=True, generator=generator)
                loss = negative_sampling_loss(
                    centre[batch[:, 0]], context[batch[:, 1]], context[random].view(len(batch), config.negatives, -1)
                )
                for group in optimizer.param_groups:
                    group["lr"] = config.lr * max(0.01, 1 - step / steps)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            step += 1
            yield loss.item(), centre.detach()


def shifted_pmi(pairs: Tensor, V: int, shift: int = 5, power: float = 0.75) -> Tensor:
    """The matrix that skip-gram with `shift` negatives factors, its negative entries cut off (Levy & Goldberg 2014, §4.1).

    Args:
        pairs: (N, 2), from `context_pairs`.
        shift: k, the number of negatives.
        power: for the frequencies of the contexts, as in the noise of skip-gram (Levy, Goldberg & Dagan 2015: "context
            distribution smoothing").

    Returns:
        (V, V): max(PMI(centre, context) − log k, 0), in nats.
    """
    joint = torch.bincount(pairs[:, 0] * V + pairs[:, 1], minlength=V * V).view(V, V).double()
    centre = joint.sum(1, keepdim=True) / joint.sum()
    context = joint.sum(0, keepdim=True) ** power
    pmi = (joint / joint.sum() / (centre * context / context.sum())).log() - np.log(shift)  # 0/0 is NaN, log 0 is −∞
    return pmi.nan_to_num(0.0).clamp(min=0).float()


def factor(matrix: Tensor, D: int, generator: torch.Generator) -> Tensor:
    """The best D columns for a matrix (V, V): U√Σ of its singular value decomposition, (V, D) (Levy & Goldberg 2014, §4.2).

    By the randomised method of Halko, Martinsson & Tropp 2011, algorithm 4.4: the matrix times D + 16 random vectors, four times over.
    """
    basis = torch.randn(len(matrix), min(D + 16, len(matrix)), generator=generator, dtype=matrix.dtype)
    for _ in range(4):
        basis, _ = torch.linalg.qr(matrix @ (matrix.mT @ basis))
    U, size, _ = torch.linalg.svd(basis.mT @ matrix, full_matrices=False)
    return (basis @ U)[:, :D] * size[:D].sqrt()
