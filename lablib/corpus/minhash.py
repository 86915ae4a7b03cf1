"""MinHash: a short signature of a set, from which the overlap of two sets can be read without either set.

The overlap of two sets is their Jaccard similarity J(A, B) = |A ∩ B| / |A ∪ B|. Put all elements into a random order: the first
element of A ∪ B is as likely any of them, so A and B have the same first element with probability J. A signature keeps the first
element under n random orders; the share of equal places estimates J with a standard deviation of √(J(1 − J) / n), whatever the
sizes of the sets.

Papers: Broder 1997, "On the resemblance and containment of documents" (shingles, and the estimate); Carter and Wegman 1979,
"Universal classes of hash functions" (the orders: x → (a·x + b) mod p); Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", chapter 3. Left out: b-bit signatures, one-permutation hashing, weighted sets.
"""

import hashlib
import re
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

PRIME = 2**31 - 1  # a Mersenne prime so small that a · x + b fits into 64 bits: no product is ever cut off
Array = NDArray[np.uint64]


def shingles(text: str, k: int = 3) -> set[str]:
    """Every run of k words in the text, as a set: what two texts have to share to be alike.

    Words are compared in lower case and without punctuation (an apostrophe or a hyphen parts words);
    in a shingle a blank stands between them. A text of fewer than k words (but at least one) is one shingle.

    Args:
        text: any text.
        k: words in a shingle, at least 1. Larger: fewer chance matches, and each changed word costs up to k shingles.
    Raises:
        ValueError: k is below 1.

    >>> sorted(shingles("The cat sat. The cat sat down!", k=2))
    ['cat sat', 'sat down', 'sat the', 'the cat']
    """
    if k < 1:
        raise ValueError(f"k = {k}: expected at least 1 word in a shingle; 3 to 5 are usual")
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + k]) for i in range(max(len(words) - k, 0) + 1)} if words else set()


def jaccard(a: Collection[str], b: Collection[str]) -> float:
    """The share of all elements that both sets have, |A ∩ B| / |A ∪ B|, in [0, 1]; of two empty sets it is 1.

    >>> jaccard({"a", "b", "c"}, {"b", "c", "d"})
    0.5
    """
    a, b = set(a), set(b)
    return len(a & b) / len(a | b) if a or b else 1.0


def stable_hash(text: str) -> int:
    """A number below `PRIME` that stands for the text, the same in every run and on every machine (Python's `hash` is not).

    It is the 64-bit BLAKE2b digest, modulo p = 2³¹ − 1. Two texts get the same number with probability 1 / p.

    >>> stable_hash("the cat sat")
    1783635300
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % PRIME


def random_orders(n: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """The a and b of n functions x → (a·x + b) mod p, a ≠ 0: each maps the numbers below p one to one, so it is an order.

    Returns:
        a (n,) in [1, p) and b (n,) in [0, p), unsigned 64-bit.
    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n = {n}: expected at least 1 order; 128 give a standard deviation of at most 0.044")
    # Differs from the paper: truly random orders need a table of all elements. With these a set's first element is nearly, not exactly,
    # as likely each of them (Broder, Charikar, Frieze and Mitzenmacher 1998); the estimate's bias is far below its noise.
    return generator.integers(1, PRIME, n, dtype=np.uint64), generator.integers(0, PRIME, n, dtype=np.uint64)


def minhash(elements: Collection[str], a: Array, b: Array) -> Array:
    """The signature of a set: for each order x → (a·x + b) mod p the smallest value that an element gets.

    Args:
        elements: the set, such as `shingles(text)`; S of them.
        a: (n,), from `random_orders`.
        b: (n,), from `random_orders`.
    Returns:
        (n,), unsigned 64-bit, each below p; of the empty set p itself, which no element ever gets.

    With `stable_hash` x and the one order a = 1, b = 0 the smallest hash is left:

    >>> one, zero = np.array([1], dtype=np.uint64), np.array([0], dtype=np.uint64)
    >>> int(minhash({"cat", "dog"}, one, zero)[0]) == min(stable_hash("cat"), stable_hash("dog"))
    True
    """
    if not elements:
        return np.full(len(a), PRIME, dtype=np.uint64)
    x = np.array([stable_hash(element) for element in elements], dtype=np.uint64)  # (S,)
    values = (np.outer(a, x) + b[:, None]) % np.uint64(PRIME)  # (n, S)
    smallest: Array = values.min(axis=1)  # (n,)
    return smallest


def estimated_jaccard(first: Array, second: Array) -> float:
    """The share of places where two signatures are equal: an unbiased estimate of the Jaccard similarity (Broder 1997).

    Raises:
        ValueError: the signatures have different lengths.

    >>> estimated_jaccard(np.array([3, 1, 4, 1], dtype=np.uint64), np.array([3, 5, 4, 9], dtype=np.uint64))
    0.5
    """
    if first.shape != second.shape:
        raise ValueError(f"signatures of shape {first.shape} and {second.shape}: expected the same orders for both")
    return float((first == second).mean())


def standard_error(similarity: float, n: int) -> float:
    """The standard deviation of the estimate from n orders: √(J(1 − J) / n), at most 1 / (2√n).

    >>> round(standard_error(0.5, 128), 4)
    0.0442
    """
    return (similarity * (1 - similarity) / n) ** 0.5
