"""Locality-sensitive hashing (LSH): which pairs of documents are worth comparing, found without comparing all of them.

Cut a signature of n = b · r values into b bands of r rows. Two documents become a candidate pair when at least one band is equal
in all its rows. If each value is equal with probability s (their similarity), a band is equal with s^r, none of the bands with
(1 − s^r)^b, so the pair is found with probability 1 − (1 − s^r)^b: an S-curve, near 0 for unlike pairs and near 1 for alike ones, steepest
near s = (1/b)^(1/r), where about 63 % are found.

Sources: Indyk and Motwani 1998, "Approximate nearest neighbors"; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
section 3.4. In use: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", with 450 bands of 20 rows
(they write b for the rows and r for the bands); FineWeb (Penedo et al. 2024) with 14 bands of 8.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

from lablib.corpus.minhash import Array


def candidate_probability(s: float, b: int, r: int) -> float:
    """The chance that a pair of similarity s shares at least one of b bands of r rows: 1 − (1 − s^r)^b.

    With 14 bands of 8 rows (FineWeb) a pair of similarity 0.75 is found three times in four, and one of 0.5 once in nineteen:

    >>> round(candidate_probability(0.75, 14, 8), 2), round(candidate_probability(0.5, 14, 8), 3)
    (0.77, 0.053)
    """
    return 1 - (1 - s**r) ** b


def best_bands(n: int, threshold: float, found: float = 0.95) -> tuple[int, int]:
    """The bands b and rows r, b · r ≤ n, that find pairs at the threshold with probability `found`, and unlike pairs least often.

    More rows let fewer unlike pairs through, fewer rows lose fewer alike ones: so it is the largest r that still finds enough.

    Raises:
        ValueError: n below 1, threshold or found outside (0, 1), or no choice finds enough.

    >>> best_bands(128, 0.7)
    (25, 5)
    """
    if n < 1 or not 0 < threshold < 1 or not 0 < found < 1:
        raise ValueError(f"n = {n}, threshold = {threshold}, found = {found}: expected n ≥ 1 and the others in (0, 1)")
    for r in range(n, 0, -1):
        if candidate_probability(threshold, n // r, r) >= found:
            return n // r, r
    raise ValueError(
        f"n = {n} values cannot find a pair of similarity {threshold} with probability {found}: take more of them"
    )


def band_keys(signature: Array, b: int, r: int) -> list[bytes]:
    """The b bands of a signature, each as bytes that can be a key of a table: equal where all r rows are.

    The first byte pair is the band's number, so that a band is only ever equal to the same band of another document.

    Args:
        signature: (n,), n ≥ b · r; values behind the last band are left out.
    Raises:
        ValueError: the signature is too short for b bands of r rows.

    >>> import numpy as np
    >>> [key.hex() for key in band_keys(np.array([1, 2, 3, 4], dtype=np.uint64), b=2, r=2)]
    ['00000100000002000000', '01000300000004000000']
    """
    if len(signature) < b * r:
        raise ValueError(
            f"a signature of {len(signature)} values has not {b} bands of {r} rows: expected at least {b * r}"
        )
    rows = (
        signature[: b * r].astype("<u4").reshape(b, r)
    )  # (n,) -> (b, r); a value is below 2³¹, or 2³¹ − 1: 4 bytes hold it
    return [band.to_bytes(2, "little") + rows[band].tobytes() for band in range(b)]


def candidate_pairs(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    """Every pair (i, j), i < j, of signatures that share at least one band: to look at, instead of all n(n − 1)/2.

    Args:
        signatures: each (n,), n ≥ b · r.
        b: bands of a signature; `band_keys` gives their keys.
        r: rows of a band, all of which must be equal.

    >>> import numpy as np
    >>> rows = [[1, 2, 3, 4], [1, 2, 9, 9], [7, 7, 9, 9], [4, 3, 2, 1]]
    >>> sorted(candidate_pairs([np.array(row, dtype=np.uint64) for row in rows], b=2, r=2))
    [(0, 1), (1, 2)]
    """
    buckets: dict[bytes, list[int]] = {}
    for number, signature in enumerate(signatures):
        for key in band_keys(signature, b, r):
            buckets.setdefault(key, []).append(number)
    return {pair for members in buckets.values() for pair in combinations(members, 2)}


def clusters(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The n documents in groups that are linked by pairs, directly or over others (union-find); groups in order of their first.

    Each document points to another of its group or to itself, the group's root, which is always its first document. To join two
    groups, one root is pointed at the other.

    >>> clusters(5, [(3, 1), (4, 3)])
    [[0], [1, 3, 4], [2]]
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]  # halve the way, so that it is short the next time
            i = parent[i]
        return i

    for i, j in pairs:
        first, second = sorted((root(i), root(j)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for i in range(n):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())
