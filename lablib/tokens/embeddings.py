"""From token numbers to vectors: the lookup, and what is near what.

A number says nothing: 271 is not twice 135, nor near 272. So each token gets a row of a table, D numbers that training may
move. The lookup is a matrix product in disguise: a *one-hot* vector (V numbers, all 0 but a single 1) times the table (Bengio et
al. 2003, "A Neural Probabilistic Language Model", where such tables were first learned inside a language model).

Axes: V vocabulary, D width of a vector; ids may have any shape.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def embed_tokens(ids: Tensor, weight: Tensor) -> Tensor:
    """The vectors of tokens: row `i` of the table for each number `i`.

    Args:
        ids: integers from 0 to V − 1, of any shape, such as (B, T).
        weight: the table (V, D).

    Returns:
        the shape of ids with D behind it, such as (B, T, D). It equals `F.one_hot(ids, V) @ weight`, and gradients flow
        into the rows that were used.

    >>> embed_tokens(torch.tensor([2, 0]), torch.tensor([[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]]))
    tensor([[3.0000, 3.5000],
            [1.0000, 1.5000]])
    """
    return weight[ids]  # (V, D) at (B, T) -> (B, T, D)


def nearest_neighbours(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    """The k tokens whose vectors point most nearly in the same direction as that of one token.

    Args:
        weight: the table (V, D).
        token: the row to compare with all others.
        k: how many to return.

    Returns:
        their cosine similarities (k,) and their numbers (k,), the nearest first, as `torch.topk` returns them; the
        token itself is not among them. The cosine of two vectors is their dot product divided by both lengths; with a
        vector of length 0 it is 0.

    Raises:
        ValueError: k is not between 1 and V − 1.

    >>> table = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    >>> nearest_neighbours(table, token=0, k=2)
    (tensor([1.0000, 0.6000]), tensor([1, 3]))
    """
    if not 1 <= k < len(weight):
        raise ValueError(f"k = {k}: expected 1 to {len(weight) - 1}, since the table has {len(weight)} rows")
    directions = F.normalize(weight, dim=-1)  # (V, D), each row of length 1; a row of zeros stays
    similarity = directions @ directions[token]  # (V, D) @ (D,) -> (V,)
    similarity[token] = -torch.inf
    found = similarity.topk(k)
    return found.values, found.indices  # (k,), (k,)


def analogy(weight: Tensor, a: int, b: int, c: int) -> int:
    """The token d for "a is to b as c is to d", by the rule 3CosAdd: the nearest to b − a + c, the three left out.

    Mikolov, Yih & Zweig 2013, "Linguistic Regularities in Continuous Space Word Representations". Leaving the three out is
    part of the rule, and much of its success (Linzen 2016): the nearest of all is usually b or c itself.
    """
    directions = F.normalize(weight, dim=-1)
    similarity = directions @ (directions[b] - directions[a] + directions[c])
    similarity[[a, b, c]] = -torch.inf
    return int(similarity.argmax())


def principal_map(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A map of vectors on paper: their two directions of largest variance (principal components), after lengths are made 1.

    Returns:
        the coordinates (N, 2), and the share of the whole variance that each of the two axes shows (2,). What the
        map does not show is the rest: two points that lie together on it may be far apart.
    """
    x = F.normalize(weight, dim=-1)
    x = x - x.mean(0)
    _, size, directions = torch.linalg.svd(x, full_matrices=False)
    signs = directions[:2].gather(1, directions[:2].abs().argmax(1, keepdim=True)).sign()  # the sign is free: fix it
    return x @ (directions[:2] * signs).mT, (size**2 / (size**2).sum())[:2]
