"""Lab 05: the exercises on cleaning text, from `lablib.corpus`."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import torch

from lablib.corpus.dedup import exact_key, normalised
from lablib.corpus.lsh import band_keys, candidate_pairs
from lablib.corpus.minhash import PRIME, Array, minhash, random_orders, shingles, stable_hash
from lablib.corpus.mixing import mixture_weights
from lablib.corpus.privacy import PLACEHOLDERS, luhn_valid
from lablib.corpus.repetition import duplicate_share
from lablib.corpus.safety import plain_words, toxicity
from lablib.corpus.spans import Span
from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed

PACKAGE = "lablib.corpus"


def _refuses(call: Callable[[Implementation], Any]) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: the call raises ValueError."""

    def holds(implementation: Implementation) -> bool:
        try:
            call(implementation)
        except ValueError:
            return True
        return False

    return holds


def _compare_sets(attempt: Attempt, case: str, *args: Any, **kwargs: Any) -> None:
    """`Attempt.compare` for functions that return a set; a difference is said as what is missing and what should not be there."""
    seen: dict[str, object] = {}

    def keep(implementation: Implementation) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            result = implementation(*given, **named)
            result = set(result) if isinstance(result, frozenset) else result
            if implementation is attempt.exercise.reference:
                seen["right"] = result
            if implementation is attempt.candidate:
                seen["mine"] = result
            return result

        return call

    try:
        attempt.compare(case, *args, setup=keep, **kwargs)
    except NotPassed as failure:
        mine, right = seen.get("mine"), seen.get("right")
        if not isinstance(mine, set) or not isinstance(right, set):
            raise
        said = [failure.lines[0]]
        for words, items in (("is missing", right - mine), ("should not be there", mine - right)):
            if items:
                shown = min(items, key=repr)
                said.append(f"{shown!r} {words}" + (f", and {len(items) - 1} more." if len(items) > 1 else "."))
        raise NotPassed(said, failure.cause) from None


# ---------------------------------------------------------------- 1 repetition


LIST_CHANGED = (
    "The caller still needs its list: walk over it with `for part in parts`, without `pop`, `sort` or `remove`."
)


def _keeps_the_list(implementation: Implementation) -> Callable[..., Any]:
    """The function itself, which must leave the list of parts as it was."""

    def call(parts: list[str], **named: Any) -> Any:
        mine = list(parts)
        result = implementation(mine, **named)
        if mine != parts:
            raise NotPassed([f"Tried with parts {parts}: your code changed the list in place."], LIST_CHANGED)
        return result

    return call


def check_duplicate_share(attempt: Attempt) -> None:
    parts = ["home", "a tree", "home", "home", "the end", "menu"]
    attempt.compare(f"parts {parts}", parts)
    attempt.compare("the same parts, of_characters=True", parts, of_characters=True)
    attempt.compare('parts ["a", "b", "a", "b", "c"]', ["a", "b", "a", "b", "c"])
    attempt.compare("three parts, all different", ["one", "two", "three"])
    attempt.compare("no parts at all", [])
    attempt.compare("two empty parts, of_characters=True", ["", ""], of_characters=True)
    alike = ["Été", "été", "Été", "ÉTÉ", "not", "no", "No", " no", " not", "n", "o", "ot"]
    attempt.compare(f"parts {alike}, alike but not the same", alike)
    attempt.compare(f"parts {alike}, of_characters=True", alike, of_characters=True)
    attempt.compare("a list that must stay as it was", parts, setup=_keeps_the_list)


def _sizes(parts: list[str], of_characters: bool) -> list[int]:
    return [len(part) if of_characters else 1 for part in parts]


def _share_all_of_them(parts: list[str], of_characters: bool = False) -> float:
    counts, sizes = Counter(parts), _sizes(parts, of_characters)
    repeated = sum(size for part, size in zip(parts, sizes, strict=True) if counts[part] > 1)
    return repeated / max(sum(sizes), 1)


def _share_of_kinds(parts: list[str], of_characters: bool = False) -> float:
    counts = Counter(parts)
    return sum(n > 1 for n in counts.values()) / max(len(counts), 1)


def _share_unique(parts: list[str], of_characters: bool = False) -> float:
    kinds, total = dict.fromkeys(parts), sum(_sizes(parts, of_characters))
    return sum(_sizes(list(kinds), of_characters)) / max(total, 1)


def _share_neighbours(parts: list[str], of_characters: bool = False) -> float:
    sizes = _sizes(parts, of_characters)
    repeated = sum(size for (a, b), size in zip(pairwise(parts), sizes[1:], strict=True) if a == b) if parts else 0
    return repeated / max(sum(sizes), 1)


def _share_characters_ignored(parts: list[str], of_characters: bool = False) -> float:
    return duplicate_share(parts)


def _share_mixed_units(parts: list[str], of_characters: bool = False) -> float:
    repeated = duplicate_share(parts, of_characters) * sum(_sizes(parts, of_characters))
    return repeated / max(len(parts), 1)


def _share_count(parts: list[str], of_characters: bool = False) -> float:
    return float(duplicate_share(parts, of_characters) * sum(_sizes(parts, of_characters)))


def _share_divides_by_zero(parts: list[str], of_characters: bool = False) -> float:
    sizes = _sizes(parts, of_characters)
    return duplicate_share(parts, of_characters) * sum(sizes) / sum(sizes)


def _share_folded(parts: list[str], of_characters: bool = False) -> float:
    return duplicate_share([part.lower().strip() for part in parts], of_characters)


def _share_lower_case(parts: list[str], of_characters: bool = False) -> float:
    return duplicate_share([part.lower() for part in parts], of_characters)


def _share_inside(parts: list[str], of_characters: bool = False) -> float:
    sizes, before = _sizes(parts, of_characters), ["\n".join(parts[:i]) for i in range(len(parts))]
    found = sum(size for part, size, text in zip(parts, sizes, before, strict=True) if text and part in text)
    return found / max(sum(sizes), 1)


def _share_of_bytes(parts: list[str], of_characters: bool = False) -> float:
    return duplicate_share([part.encode().decode("latin-1") for part in parts], of_characters)


def _share_empties_the_list(parts: list[str], of_characters: bool = False) -> float:
    share = duplicate_share(parts, of_characters)
    parts.clear()
    return share


# ---------------------------------------------------------------- 2 exact copies


def check_exact_key(attempt: Attempt) -> None:
    for case, text in {
        '"  The  CAT\\n\\nsat. ", which is "the cat sat." in other spacing and capitals': "  The  CAT\n\nsat. ",
        '"The cat sat", without a full stop': "The cat sat",
        '"Straße" and a ligature, which normalising unfolds': "Straße, ﬁrst",
        "an empty text": "",
        'half a surrogate pair, "a\\ud800b", as broken files have it': "a\ud800b",
    }.items():
        attempt.compare(case, text, outputs=["the key"])


def _digest(text: str, size: int = 16, errors: str = "surrogatepass") -> bytes:
    return hashlib.blake2b(text.encode("utf-8", errors), digest_size=size).digest()


def _key_raw(text: str) -> bytes:
    return _digest(text)


def _key_lower_only(text: str) -> bytes:
    return _digest(text.lower())


def _key_spacing_only(text: str) -> bytes:
    return _digest(" ".join(text.split()))


def _key_hexadecimal(text: str) -> str:
    return exact_key(text).hex()


def _key_full_length(text: str) -> bytes:
    return _digest(normalised(text), 64)


def _key_cut(text: str) -> bytes:
    return _digest(normalised(text), 64)[:16]


def _key_python_hash(text: str) -> int:
    return hash(normalised(text))


def _key_strict(text: str) -> bytes:
    return _digest(normalised(text), errors="strict")


def _key_replaced(text: str) -> bytes:
    return _digest(normalised(text), errors="replace")


def _key_ignored(text: str) -> bytes:
    return _digest(normalised(text), errors="ignore")


def _key_sha256(text: str) -> bytes:
    return hashlib.sha256(normalised(text).encode("utf-8", "surrogatepass")).digest()


def _key_sha256_cut(text: str) -> bytes:
    return _key_sha256(text)[:16]


def _key_blake2s(text: str) -> bytes:
    return hashlib.blake2s(normalised(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _key_utf16(text: str) -> bytes:
    return hashlib.blake2b(normalised(text).encode("utf-16", "surrogatepass"), digest_size=16).digest()


OTHER_HASH = "Another hash was used. It would do as well, but keys made elsewhere would not agree: `hashlib.blake2b`."

# ---------------------------------------------------------------- 3 shingles


K_TOO_SMALL = "Look at `k` before anything is computed: `if k < 1: raise ValueError(...)`."


def check_shingles(attempt: Attempt) -> None:
    _compare_sets(attempt, '"The cat sat. The cat sat down!", k=2', "The cat sat. The cat sat down!", k=2)
    _compare_sets(attempt, '"one two three four", k=3, the default', "one two three four")
    _compare_sets(attempt, '"Red, red; RED? red", k=1', "Red, red; RED? red", k=1)
    _compare_sets(attempt, '"Good evening.", k=3: fewer than k words', "Good evening.", k=3)
    _compare_sets(attempt, '"one two three", k=3: just k words', "one two three", k=3)
    _compare_sets(attempt, "a text without words", " … !", k=2)
    odd = "Don't: a café at 9, a well-known one"
    _compare_sets(attempt, f'"{odd}", k=2: `\\w+` finds the words', odd, k=2)
    for k in (0, -1):
        attempt.require(
            _refuses(lambda shingles, k=k: shingles("one two", k=k)),  # type: ignore[misc]
            [f"Tried with k={k}: expected a ValueError, since a run of no words is nothing."],
            K_TOO_SMALL,
        )


def _runs(words: Sequence[str], k: int) -> set[str]:
    return {" ".join(words[i : i + k]) for i in range(max(len(words) - k, 0) + 1)} if words else set()


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _shingles_of_characters(text: str, k: int = 3) -> set[str]:
    line = " ".join(_plain(text))
    return {line[i : i + k] for i in range(max(len(line) - k, 0) + 1)} if line else set()


def _shingles_with_punctuation(text: str, k: int = 3) -> set[str]:
    return _runs(text.lower().split(), k)


def _shingles_with_capitals(text: str, k: int = 3) -> set[str]:
    return _runs(re.findall(r"\w+", text), k)


def _shingles_side_by_side(text: str, k: int = 3) -> set[str]:
    words = _plain(text)
    return {" ".join(words[i : i + k]) for i in range(0, len(words), k)}


def _shingles_without_the_last(text: str, k: int = 3) -> set[str]:
    words = _plain(text)
    return {" ".join(words[i : i + k]) for i in range(len(words) - k)} or ({" ".join(words)} if words else set())


def _shingles_short_end(text: str, k: int = 3) -> set[str]:
    words = _plain(text)
    return {" ".join(words[i : i + k]) for i in range(len(words))}


def _shingles_none_for_short(text: str, k: int = 3) -> set[str]:
    words = _plain(text)
    return {" ".join(words[i : i + k]) for i in range(len(words) - k + 1)}


def _shingles_k_ignored(text: str, k: int = 3) -> set[str]:
    return shingles(text)


def _shingles_empty_string(text: str, k: int = 3) -> set[str]:
    words = _plain(text)
    return {" ".join(words[i : i + k]) for i in range(max(len(words) - k, 0) + 1)}


def _shingles_a_to_z(text: str, k: int = 3) -> set[str]:
    return _runs(re.findall(r"[a-z]+", text.lower()), k)


def _shingles_ascii(text: str, k: int = 3) -> set[str]:
    return _runs(re.findall(r"[a-z0-9]+", text.lower()), k)


def _shingles_hyphens_kept(text: str, k: int = 3) -> set[str]:
    return _runs(re.findall(r"[\w'-]+", text.lower()), k)


def _shingles_negative_k(text: str, k: int = 3) -> set[str]:
    if k == 0:
        raise ValueError("k = 0")
    return _runs(_plain(text), k)


# ---------------------------------------------------------------- 4 MinHash


A_TENSOR = "The cells that follow count and cut signatures with NumPy: give back `np.array(..., dtype=np.uint64)`."
FLOATS = "The products were computed as floats, which have 53 bits: a·x + b needs up to 62. Stay with np.uint64."


def _signature_of(implementation: Implementation) -> Callable[..., Any]:
    """The signature as an int64 tensor, which `compare` can describe; anything that is no array of whole numbers stays."""

    def call(elements: Collection[str], a: Array, b: Array) -> Any:
        mine = a.copy(), b.copy()
        result = implementation(set(elements), *mine)
        if not (np.array_equal(mine[0], a) and np.array_equal(mine[1], b)):
            raise NotPassed(
                ["Tried with a small set: your code changed `a` or `b` in place."],
                "The same orders serve every document: avoid `a *= …` and `out=a`.",
            )
        if isinstance(result, torch.Tensor):
            raise NotPassed(
                [f"Tried with a set of {len(elements)}: got a torch tensor, expected a NumPy array."], A_TENSOR
            )
        if isinstance(result, np.ndarray) and np.issubdtype(result.dtype, np.integer):
            return torch.from_numpy(result.astype(np.int64))
        if isinstance(result, np.ndarray):
            cause = FLOATS if np.issubdtype(result.dtype, np.floating) else "Give the array the type `np.uint64`."
            raise NotPassed(
                [f"Tried with a set of {len(elements)}: the values are {result.dtype}, expected uint64."], cause
            )
        return result

    return call


def check_minhash(attempt: Attempt) -> None:
    orders = random_orders(8, np.random.default_rng(0))
    many = {f"word {number}" for number in range(40)}
    for case, elements, (a, b) in (
        ("two elements, the one order a = 1, b = 0", {"cat", "dog"}, (np.ones(1, np.uint64), np.zeros(1, np.uint64))),
        ("a set of 40 elements and 8 orders", many, orders),
        ("one element and 8 orders", {"cat"}, orders),
        ("the empty set and 8 orders", set(), orders),
        ("the same 40 elements and 3 other orders", many, random_orders(3, np.random.default_rng(1))),
    ):
        attempt.compare(case, elements, a, b, setup=_signature_of, outputs=["the signature"], axes=["n"])


def _hashes(elements: Collection[str]) -> Array:
    return np.array([stable_hash(element) for element in elements], dtype=np.uint64)


def _values(elements: Collection[str], a: Array, b: Array) -> Array:
    return (np.outer(a, _hashes(elements)) + b[:, None]) % np.uint64(PRIME)


def _or_prime(elements: Collection[str], a: Array, signature: Callable[[], Any]) -> Any:
    return signature() if elements else np.full(len(a), PRIME, dtype=np.uint64)


def _minhash_largest(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: _values(elements, a, b).max(axis=1))


def _minhash_wrong_axis(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: _values(elements, a, b).min(axis=0))


def _minhash_no_modulo(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: (np.outer(a, _hashes(elements)) + b[:, None]).min(axis=1))


def _minhash_modulo_after(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: (np.outer(a, _hashes(elements)) + b[:, None]).min(axis=1) % np.uint64(PRIME))


def _minhash_modulo_before_b(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: (np.outer(a, _hashes(elements)) % np.uint64(PRIME) + b[:, None]).min(axis=1))


def _minhash_which(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: _hashes(elements)[_values(elements, a, b).argmin(axis=1)])


def _minhash_one_order(elements: Collection[str], a: Array, b: Array) -> Any:
    return _or_prime(elements, a, lambda: np.sort(_values(elements, a[:1], b[:1])[0])[: len(a)])


def _minhash_swapped(elements: Collection[str], a: Array, b: Array) -> Any:
    return minhash(elements, b, a)


def _minhash_floats(elements: Collection[str], a: Array, b: Array) -> Any:
    x = _hashes(elements).astype(np.float64)
    values = np.outer(a.astype(np.float64), x) + b.astype(np.float64)[:, None]
    return _or_prime(elements, a, lambda: (values % PRIME).min(axis=1))


def _minhash_zeros_for_none(elements: Collection[str], a: Array, b: Array) -> Any:
    return minhash(elements, a, b) if elements else np.zeros(len(a), dtype=np.uint64)


def _minhash_of_nothing(elements: Collection[str], a: Array, b: Array) -> Any:
    return _values(elements, a, b).min(axis=1)


def _minhash_tensor(elements: Collection[str], a: Array, b: Array) -> Any:
    return torch.from_numpy(minhash(elements, a, b).astype(np.int64))


# ---------------------------------------------------------------- 5 bands


def check_candidate_pairs(attempt: Attempt) -> None:
    def signatures(*rows: Sequence[int]) -> list[Array]:
        return [np.array(row, dtype=np.uint64) for row in rows]

    first = [1, 2, 3, 4, 5, 6], [1, 2, 7, 8, 9, 0], [7, 2, 3, 4, 5, 5], [1, 2, 3, 0, 0, 0]
    words = "[1 2 3 4 5 6], [1 2 7 8 9 0], [7 2 3 4 5 5], [1 2 3 0 0 0], b=3, r=2"
    _compare_sets(attempt, words, signatures(*first), b=3, r=2)
    rows = [1, 2, 3, 4], [1, 2, 9, 9], [7, 7, 9, 9], [4, 3, 2, 1]
    _compare_sets(attempt, "[1 2 3 4], [1 2 9 9], [7 7 9 9], [4 3 2 1], b=2, r=2", signatures(*rows), b=2, r=2)
    moved = [1, 2, 3, 4], [3, 4, 8, 9], [5, 1, 2, 6]
    _compare_sets(attempt, "[1 2 3 4], [3 4 8 9], [5 1 2 6], b=2, r=2", signatures(*moved), b=2, r=2)
    crowd = [1, 1, 4], [2, 1, 5], [3, 1, 6], [7, 1, 8]
    _compare_sets(attempt, "four signatures alike in their middle value alone, b=3, r=1", signatures(*crowd), b=3, r=1)
    half = [1, 2, 3, 4], [1, 5, 3, 6], [9, 2, 8, 4]
    _compare_sets(attempt, "bands that are alike in one of two rows, b=2, r=2", signatures(*half), b=2, r=2)
    rest = [1, 2, 9], [1, 2, 8], [5, 6, 9]
    _compare_sets(attempt, "signatures of 3 values, b=1, r=2: the last value is left over", signatures(*rest), b=1, r=2)
    _compare_sets(attempt, "two signatures that are the same in every band", signatures([1, 2], [1, 2]), b=2, r=1)
    drawn = np.random.default_rng(0).integers(0, 3, (12, 6)).astype(np.uint64)
    _compare_sets(attempt, "12 random signatures of 6 values, b=3, r=2", list(drawn), b=3, r=2)


def _pairs_by(keys: Callable[[Array, int, int], Iterable[object]]) -> Callable[..., set[tuple[int, int]]]:
    def pairs(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
        buckets: dict[object, list[int]] = {}
        for number, signature in enumerate(signatures):
            for key in dict.fromkeys(keys(signature, b, r)):
                buckets.setdefault(key, []).append(number)
        return {pair for members in buckets.values() for pair in combinations(members, 2)}

    return pairs


_pairs_all_bands = _pairs_by(lambda signature, b, r: [b"".join(band_keys(signature, b, r))])
_pairs_any_place = _pairs_by(lambda signature, b, r: [key[2:] for key in band_keys(signature, b, r)])
_pairs_any_value = _pairs_by(lambda signature, b, r: list(enumerate(signature[: b * r].tolist())))


def _pairs_first_band(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    return candidate_pairs(signatures, 1, r)


def _pairs_neighbours(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    last: dict[bytes, int] = {}
    found = set()
    for number, signature in enumerate(signatures):
        for key in band_keys(signature, b, r):
            if key in last:
                found.add((last[key], number))
            last[key] = number
    return found


def _pairs_with_the_first(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    first: dict[bytes, int] = {}
    return {
        (first[key], number)
        for number, signature in enumerate(signatures)
        for key in band_keys(signature, b, r)
        if first.setdefault(key, number) != number
    }


def _pairs_both_ways(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    found = candidate_pairs(signatures, b, r)
    return found | {(j, i) for i, j in found}


def _pairs_with_itself(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    return candidate_pairs(signatures, b, r) | {(i, i) for i in range(len(signatures))}


def _pairs_listed(signatures: Sequence[Array], b: int, r: int) -> list[tuple[int, int]]:
    return sorted(candidate_pairs(signatures, b, r))


def _pairs_swapped(signatures: Sequence[Array], b: int, r: int) -> set[tuple[int, int]]:
    return candidate_pairs(signatures, r, b)


# ---------------------------------------------------------------- 6 Luhn

NUMBERS = (
    "18", "19", "4111 1111 1111 1111", "4111 1111 1111 1112", "3782 822463 10005", "3782-822463-10004", "5500005555555559",
    "59", "67", "75", "26", "34", "42", "83", "91", "109", "0", "8", "00", "79927398713", "97927398713", "1-8", " 1 8 ",
    "13", "27",
)  # fmt: skip


def _each(numbers: Sequence[str]) -> Callable[[Implementation], Callable[[], tuple[Any, ...]]]:
    """The answers for several numbers; a bool of NumPy's is a bool."""

    def answer(implementation: Implementation, number: str) -> Any:
        result = implementation(number)
        return bool(result) if isinstance(result, np.bool_) else result

    return lambda implementation: lambda: tuple(answer(implementation, number) for number in numbers)


def check_luhn_valid(attempt: Attempt) -> None:
    plain = [number for number in NUMBERS if number.isdigit() and len(number) > 1]
    attempt.compare("digits alone", setup=_each(plain), outputs=[f'luhn_valid("{number}")' for number in plain])
    attempt.compare(
        "numbers in groups, and single digits",
        setup=_each(NUMBERS),
        outputs=[f'luhn_valid("{number}")' for number in NUMBERS],
    )
    attempt.compare("no digit at all", setup=_each([""]), outputs=['luhn_valid("")'])


def _digits(number: str) -> list[int]:
    return [int(letter) for letter in number if letter.isdigit()]


def _folded(digit: int) -> int:
    return 2 * digit - 9 * (digit > 4)


def _luhn_from_left(number: str) -> bool:
    digits = _digits(number)
    return len(digits) > 1 and sum(_folded(d) if i % 2 else d for i, d in enumerate(digits)) % 10 == 0


def _luhn_last_doubled(number: str) -> bool:
    digits = _digits(number)[::-1]
    return len(digits) > 1 and sum(d if i % 2 else _folded(d) for i, d in enumerate(digits)) % 10 == 0


def _luhn_not_folded(number: str) -> bool:
    digits = _digits(number)[::-1]
    return len(digits) > 1 and sum(2 * d if i % 2 else d for i, d in enumerate(digits)) % 10 == 0


def _luhn_five_left_out(number: str) -> bool:
    digits = _digits(number)[::-1]
    return len(digits) > 1 and sum(2 * d - 9 * (d > 5) if i % 2 else d for i, d in enumerate(digits)) % 10 == 0


def _luhn_no_doubling(number: str) -> bool:
    digits = _digits(number)
    return len(digits) > 1 and sum(digits) % 10 == 0


def _luhn_all_doubled(number: str) -> bool:
    digits = _digits(number)
    return len(digits) > 1 and sum(map(_folded, digits)) % 10 == 0


def _luhn_blanks_count(number: str) -> bool:
    places = [(i, int(letter)) for i, letter in enumerate(reversed(number)) if letter.isdigit()]
    return len(places) > 1 and sum(_folded(d) if i % 2 else d for i, d in places) % 10 == 0


def _luhn_single_digit(number: str) -> bool:
    digits = _digits(number)[::-1]
    return sum(_folded(d) if i % 2 else d for i, d in enumerate(digits)) % 10 == 0


def _luhn_blanks_raise(number: str) -> bool:
    digits = [int(letter) for letter in number]
    return luhn_valid(number) and len(digits) > 1


def _luhn_sum(number: str) -> int:
    digits = _digits(number)[::-1]
    return sum(_folded(d) if i % 2 else d for i, d in enumerate(digits)) % 10


def _luhn_remainder_of(divisor: int) -> Callable[[str], bool]:
    def valid(number: str) -> bool:
        digits = _digits(number)[::-1]
        return len(digits) > 1 and sum(_folded(d) if i % 2 else d for i, d in enumerate(digits)) % divisor == 0

    return valid


# ---------------------------------------------------------------- 7 redaction


def _with_spans(spans: Sequence[Span]) -> Callable[[Implementation], Callable[[str], Any]]:
    return lambda implementation: lambda text: implementation(text, list(spans))


def check_replaced(attempt: Attempt) -> None:
    phone, mail = Span(5, 13, "phone"), Span(17, 20, "email")
    for case, text, found in (
        ("one span, a phone number in the middle", "Ring 555-0123 now.", [phone]),
        ("two spans", "Ring 555-0123 or a@b.", [phone, mail]),
        ("a span at the start and one at the end", "Ada met Bo", [Span(0, 3, "name"), Span(8, 10, "name")]),
        ("no span", "Nothing to hide.", []),
        ("a text that holds the detail twice, one of them marked", "Ada Ada", [Span(4, 7, "name")]),
        ("a text with white space at both ends", " Ring Bo.\n", [Span(6, 8, "name")]),
        ("two spans side by side", "AdaBo!", [Span(0, 3, "name"), Span(3, 5, "name")]),
    ):
        attempt.compare(case, text, setup=_with_spans(found))
    for case, spans in {
        "spans that overlap": [Span(0, 3, "name"), Span(2, 5, "email")],
        "spans in the wrong order": [Span(4, 6, "name"), Span(0, 2, "name")],
    }.items():
        attempt.require(
            _refuses(lambda replaced, spans=spans: replaced("abcdefg", spans)),  # type: ignore[misc]
            [f"Tried with {case}: expected a ValueError."],
            "Keep where the last span ended; a span that starts before it is an error, and never a silent one.",
        )


def _pieces(text: str, spans: Iterable[Span], put: Callable[[Span], str]) -> str:
    written, end = "", 0
    for span in spans:
        written, end = written + text[end : span.start] + put(span), span.stop
    return written + text[end:]


def _replaced_everywhere(text: str, spans: Iterable[Span]) -> str:
    written = text
    for start, stop, kind in spans:
        written = written.replace(text[start:stop], PLACEHOLDERS[kind])
    return written


def _replaced_unmoved(text: str, spans: Iterable[Span]) -> str:
    for start, stop, kind in spans:
        text = text[:start] + PLACEHOLDERS[kind] + text[stop:]
    return text


def _replaced_by_kind(text: str, spans: Iterable[Span]) -> str:
    return _pieces(text, spans, lambda span: span.kind)


def _replaced_by_nothing(text: str, spans: Iterable[Span]) -> str:
    return _pieces(text, spans, lambda span: "")


def _replaced_by_stars(text: str, spans: Iterable[Span]) -> str:
    return _pieces(text, spans, lambda span: "*" * (span.stop - span.start))


def _replaced_tail_lost(text: str, spans: Iterable[Span]) -> str:
    spans = list(spans)
    return _pieces(text[: spans[-1].stop], spans, lambda span: PLACEHOLDERS[span.kind]) if spans else ""


def _replaced_one_too_many(text: str, spans: Iterable[Span]) -> str:
    longer = [Span(start, stop + 1, kind) for start, stop, kind in spans]
    return _pieces(text, longer, lambda span: PLACEHOLDERS[span.kind])


def _replaced_first_only(text: str, spans: Iterable[Span]) -> str:
    return _pieces(text, list(spans)[:1], lambda span: PLACEHOLDERS[span.kind])


def _replaced_stripped(text: str, spans: Iterable[Span]) -> str:
    return _pieces(text, spans, lambda span: PLACEHOLDERS[span.kind]).strip()


# ---------------------------------------------------------------- 8 toxicity


def check_toxicity(attempt: Attempt) -> None:
    listed = ["pig", "shut up", "idiot", "ass"]
    attempt.compare(
        '"Shut up, PIG! The pigs and pigeons said so.", 2 entries in 9 words',
        "Shut up, PIG! The pigs and pigeons said so.",
        listed,
    )
    attempt.compare('"You are a pig, a pig, a pig." (8 words)', "You are a pig, a pig, a pig.", listed)
    attempt.compare('"The first class was full of grass." (7 words)', "The first class was full of grass.", listed)
    attempt.compare('"What an 1d10t you are!" (5 words), a word in disguise', "What an 1d10t you are!", listed)
    attempt.compare("a text without a listed word", "It rains on the river.", listed)
    attempt.compare("a text without words", " … ", listed)
    attempt.compare("an empty list", "You pig.", [])
    attempt.compare('"Shut up." with "shut up" and "shut" listed', "Shut up.", ["shut", "shut up"])
    attempt.compare('"A pig-headed man – no pig." (1 entry in 5 words)', "A pig-headed man – no pig.", ["pig"])
    attempt.compare('"Is it a wac?" with "w.c" listed', "Is it a wac?", ["w.c"])


def _pattern_rate(pattern: str, text: str, words: int) -> float:
    return 100 * len(re.findall(pattern, " ".join(plain_words(text)))) / words if words else 0.0


def _alternatives(listed: Iterable[str]) -> str:
    return "|".join(re.escape(entry) for entry in sorted(listed, key=len, reverse=True)) or r"(?!)"


def _toxic_word_boundaries(text: str, listed: Iterable[str]) -> float:
    return _pattern_rate(rf"\b(?:{_alternatives(listed)})\b", text, len(plain_words(text)))


def _toxic_dashes_count(text: str, listed: Iterable[str]) -> float:
    return _pattern_rate(rf"(?<!\S)(?:{_alternatives(listed)})(?!\S)", text, len(text.split()))


def _toxic_not_escaped(text: str, listed: Iterable[str]) -> float:
    entries = "|".join(sorted(listed, key=len, reverse=True)) or r"(?!)"
    return _pattern_rate(rf"(?<!\S)(?:{entries})(?!\S)", text, len(plain_words(text)))


def _toxic_each_entry(text: str, listed: Iterable[str]) -> float:
    found = plain_words(text)
    return 100 * sum(_matches(found, [entry]) for entry in listed) / max(len(found), 1)


def _matches(words: Sequence[str], listed: Iterable[str]) -> int:
    """How many listed words and phrases stand in these words, the longest first, none inside another."""
    entries = sorted((tuple(entry.split()) for entry in listed), key=len, reverse=True)
    found = place = 0
    while place < len(words):
        length = next((len(entry) for entry in entries if tuple(words[place : place + len(entry)]) == entry), 0)
        found += length > 0
        place += max(length, 1)
    return found


def _toxic_substrings(text: str, listed: Iterable[str]) -> float:
    found = plain_words(text)
    return 100 * sum(" ".join(found).count(entry) for entry in listed) / max(len(found), 1)


def _toxic_words_only(text: str, listed: Iterable[str]) -> float:
    found = plain_words(text)
    return 100 * sum(word in set(listed) for word in found) / max(len(found), 1)


def _toxic_fraction(text: str, listed: Iterable[str]) -> float:
    return toxicity(text, listed) / 100


def _toxic_count(text: str, listed: Iterable[str]) -> float:
    return float(_matches(plain_words(text), listed))


def _toxic_kinds(text: str, listed: Iterable[str]) -> float:
    found = plain_words(text)
    line = f" {' '.join(found)} "
    return 100 * sum(f" {entry} " in line for entry in listed) / max(len(found), 1)


def _toxic_yes_or_no(text: str, listed: Iterable[str]) -> float:
    return 100.0 * (toxicity(text, listed) > 0)


def _toxic_as_written(text: str, listed: Iterable[str]) -> float:
    found = text.lower().split()
    return 100 * _matches(found, listed) / max(len(found), 1)


def _toxic_undisguised(text: str, listed: Iterable[str]) -> float:
    found = re.findall(r"\w+", text.lower())
    return 100 * _matches(found, listed) / max(len(found), 1)


def _toxic_words_in_phrases(text: str, listed: Iterable[str]) -> float:
    found = plain_words(text)
    single = {word for entry in listed for word in entry.split()}
    return 100 * sum(word in single for word in found) / max(len(found), 1)


def _toxic_divides_by_zero(text: str, listed: Iterable[str]) -> float:
    found = plain_words(text)
    return 100 * _matches(found, listed) / len(found)


# ---------------------------------------------------------------- 9 mixtures


def _shares(sizes: Mapping[str, float], case: str) -> Callable[[Implementation], Callable[..., Any]]:
    """The weights as a tuple in the order of the sources, so that each is compared under its own name."""

    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(**named: Any) -> Any:
            result = implementation(dict(sizes), **named)
            if isinstance(result, Mapping) and set(result) == set(sizes):
                return tuple(result[source] for source in sizes)
            if result is None:
                return None
            if isinstance(result, Mapping):
                given = ", ".join(map(repr, result)) or "none"
                raise NotPassed([f"Tried with {case}: expected a weight for each of {', '.join(sizes)}; got {given}."])
            raise NotPassed(
                [
                    f"Tried with {case}: expected a dict from source to weight, got {type(result).__name__} {result!r:.40}."
                ],
                "One weight for each source, under the source's name.",
            )

        return call

    return setup


NOT_LOOKED_AT = (
    "Check what you were given before you compute (every size above 0, alpha at least 0): a division by zero, or a weight that "
    "means nothing, shows up much later."
)


def check_mixture_weights(attempt: Attempt) -> None:
    web = {"web": 900.0, "books": 100.0}
    five = {"web": 410.0, "links": 19.0, "novels": 12.0, "papers": 55.0, "wiki": 3.0}
    for what, sizes, alpha in (
        ("web 900, books 100, alpha=0.5", web, 0.5),
        ("web 900, books 100, alpha=1", web, 1.0),
        ("five sources, alpha=0.7", five, 0.7),
        ("five sources, alpha=0: all alike", five, 0.0),
        ("one source", {"web": 7.0}, 0.3),
    ):
        names = [f"the weight of {source!r}" for source in sizes]
        attempt.compare(what, setup=_shares(sizes, what), outputs=names, alpha=alpha)
    attempt.compare(
        "web 900, books 100, no alpha given",
        setup=_shares(web, "no alpha"),
        outputs=["the weight of 'web'", "of 'books'"],
    )
    for what, call in {
        "alpha=-1": lambda weights: weights({"web": 1.0, "books": 2.0}, alpha=-1),
        "no source": lambda weights: weights({}),
        "a source of size 0": lambda weights: weights({"web": 1.0, "books": 0.0}),
        "a source of size −1, alpha=0.5": lambda weights: weights({"web": 2.0, "books": -1.0}, alpha=0.5),
    }.items():
        attempt.require(
            _refuses(call),
            [f"Tried with {what}: expected a ValueError."],
            NOT_LOOKED_AT,
        )


def _normalised(powers: dict[str, float]) -> dict[str, float]:
    return {source: power / sum(powers.values()) for source, power in powers.items()}


def _weights_alpha_ignored(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return mixture_weights(sizes)


def _weights_temperature(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return mixture_weights(sizes, 1 / alpha)


def _weights_not_normalised(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return {source: size**alpha for source, size in sizes.items()}


def _weights_normalised_before(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return {source: share**alpha for source, share in mixture_weights(sizes).items()}


def _weights_softmax(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    largest = max(sizes.values())
    return _normalised({source: math.exp(alpha * (size - largest)) for source, size in sizes.items()})


def _weights_multiplied(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return _normalised({source: 1 - alpha + alpha * size for source, size in sizes.items()})


def _weights_reversed(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return _normalised({source: size**-alpha for source, size in sizes.items()})


def _weights_by_largest(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    return {source: (size / max(sizes.values())) ** alpha for source, size in sizes.items()}


def _weights_negative_sizes(sizes: Mapping[str, float], alpha: float = 1.0) -> dict[str, float]:
    if not sizes or alpha < 0 or 0 in sizes.values():
        raise ValueError("no")
    return _normalised({source: size**alpha for source, size in sizes.items()})


EXERCISES = [
    Exercise(
        lab="05",
        target=f"{PACKAGE}.repetition:duplicate_share",
        title="A page that repeats itself",
        difficulty=1,
        importance=3,
        minutes=10,
        hints=(
            "Walk through the parts from the first to the last. What do you have to remember to know that a part has been "
            "there before?",
            "A set of the parts seen so far; two sums, one of all sizes and one of the sizes of repeated parts. A part's size is "
            "1, or its length.",
            "`size = len(part) if of_characters else 1`; add it to `total`, and to `repeated` if `part in seen`; then "
            "`seen.add(part)`. At the end `repeated / max(total, 1)`.",
        ),
        reasoning="The first occurrence is no duplicate: a page of ten different lines must get 0, and a line that stands "
        "there twice counts once. So the share is what would be lost by keeping every line once. `max(total, 1)` gives 0 "
        "for a page without lines, where a share has no meaning; a filter that raises on an empty page stops a run over a "
        "billion of them.",
        check=check_duplicate_share,
        mistakes=(
            Mistake(
                "all of them",
                _share_all_of_them,
                "The first occurrence was counted too: a part is a duplicate only if it has occurred *before*.",
            ),
            Mistake(
                "kinds",
                _share_of_kinds,
                "This is the share of the *different* parts that occur more than once: count every later occurrence, out of "
                "all parts.",
            ),
            Mistake(
                "unique",
                _share_unique,
                "This is the share of what is left when every part is kept once: the duplicates are the rest, 1 minus that.",
            ),
            Mistake(
                "neighbours",
                _share_neighbours,
                "Only a part that follows right upon its twin was counted: it may have occurred anywhere before.",
            ),
            Mistake("characters ignored", _share_characters_ignored, "`of_characters` is not used."),
            Mistake(
                "mixed units",
                _share_mixed_units,
                "Repeated characters were divided by the number of parts: with `of_characters` both are characters.",
            ),
            Mistake("count", _share_count, "This is how many were repeated, not their share: divide by the total."),
            Mistake(
                "divides by zero",
                _share_divides_by_zero,
                "A text may have no parts, or empty ones: where the total is 0, the share is 0 (`max(total, 1)`).",
            ),
            Mistake(
                "capitals and blanks",
                _share_folded,
                "Capitals or blanks were taken off first: here a part has occurred before only if it is the same to the character.",
            ),
            Mistake(
                "capitals",
                _share_lower_case,
                "Capitals were folded: here a part has occurred before only if it is the same to the character.",
            ),
            Mistake(
                "inside",
                _share_inside,
                "A part was found *inside* an earlier one: “no” stands in “not”, and is another part. Keep a set of the parts.",
            ),
            Mistake(
                "bytes", _share_of_bytes, "The size of a part is its number of characters, `len(part)`, not of bytes."
            ),
            Mistake("the list changed", _share_empties_the_list, LIST_CHANGED),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.dedup:exact_key",
        title="The same text, whatever it wears",
        difficulty=1,
        importance=3,
        minutes=5,
        hints=(
            "Two steps: take away what does not matter (`normalised` is there), then make a short name for what is left. "
            "Which of Python's hashes is the same tomorrow?",
            "`hashlib.blake2b(…, digest_size=16).digest()` of the normalised text's bytes. Not every str can be written as "
            "UTF-8: half a surrogate pair cannot, unless one says how.",
            '`hashlib.blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()`.',
        ),
        reasoning="Python's own `hash` of a str changes from run to run, on purpose, so keys made with it could not be "
        "compared with yesterday's. 16 bytes are enough: among a billion texts the chance that any two different ones "
        "share a key is below 2⁻⁶⁸. What is normalised away is a decision about what counts as the same text; here case, "
        "spacing and look-alike characters go, punctuation stays.",
        check=check_exact_key,
        mistakes=(
            Mistake(
                "raw",
                _key_raw,
                "The text was hashed as it stands: a copy with another space or capital would get another key. Hash "
                "`normalised(text)`.",
            ),
            Mistake(
                "lower case only",
                _key_lower_only,
                "Only capitals were taken away: `normalised` also makes every run of white space one blank.",
            ),
            Mistake(
                "spacing only",
                _key_spacing_only,
                "Only the spacing was made even: `normalised` also folds capitals and look-alike characters.",
            ),
            Mistake(
                "hexadecimal",
                _key_hexadecimal,
                "This is the digest written in hexadecimal letters, twice as long: `.digest()` gives the bytes.",
            ),
            Mistake("64 bytes", _key_full_length, "The digest is 64 bytes long: ask for `digest_size=16`."),
            Mistake(
                "cut",
                _key_cut,
                "These are the first 16 bytes of a longer digest. BLAKE2b mixes its length in: with `digest_size=16` other "
                "bytes come out, and only those agree with keys made elsewhere.",
            ),
            Mistake(
                "Python's hash",
                _key_python_hash,
                "Python's `hash` of a text changes with every run: a key must be the same tomorrow and on another machine.",
            ),
            Mistake(
                "strict",
                _key_strict,
                "Half a surrogate pair, as broken files have it, cannot be encoded strictly: `.encode('utf-8', "
                "'surrogatepass')`.",
            ),
            Mistake(
                "replaced",
                _key_replaced,
                "Odd characters became question marks, so two different texts could share a key: 'surrogatepass' keeps them "
                "apart.",
            ),
            Mistake(
                "ignored",
                _key_ignored,
                "Odd characters were left out, so two different texts could share a key: 'surrogatepass' keeps them apart.",
            ),
            Mistake("SHA-256", _key_sha256, OTHER_HASH),
            Mistake("SHA-256, cut", _key_sha256_cut, OTHER_HASH),
            Mistake("BLAKE2s", _key_blake2s, OTHER_HASH),
            Mistake(
                "UTF-16",
                _key_utf16,
                "The text was written in another encoding: keys made elsewhere are those of its UTF-8 bytes.",
            ),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.minhash:shingles",
        title="A text as a set",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Cut the text into words first. At how many places can a run of k words begin in a text of n?",
            '`re.findall(r"\\w+", text.lower())` gives the words without punctuation. Runs begin at 0, 1, …, n − k; if n is '
            "smaller than k there is one shingle, the whole text, unless there is no word at all.",
            '`{" ".join(words[i : i + k]) for i in range(max(len(words) - k, 0) + 1)} if words else set()`; and raise the '
            "ValueError first.",
        ),
        reasoning="Runs that overlap make the set insensitive to where a change happens: one changed word costs at most k of "
        "the shingles, wherever it stands. Runs side by side would all change after a single inserted word. Words, not "
        "characters, since a word is what people copy; a text shorter than k keeps one shingle, so that two short copies "
        "are still found.",
        check=check_shingles,
        mistakes=(
            Mistake(
                "characters",
                _shingles_of_characters,
                "These are runs of k characters: a shingle here is k *words*, joined by a blank.",
            ),
            Mistake(
                "punctuation",
                _shingles_with_punctuation,
                "Punctuation still hangs on the words, so that “sat.” and “sat” differ: find the words with `\\w+`.",
            ),
            Mistake("capitals", _shingles_with_capitals, "Capitals were kept: compare the words in lower case."),
            Mistake(
                "side by side",
                _shingles_side_by_side,
                "The runs stand side by side: they overlap, one begins at each word. Otherwise a single inserted word would "
                "change all that follow.",
            ),
            Mistake(
                "last one missing",
                _shingles_without_the_last,
                "The last run is missing: of n words, n − k + 1 runs of k begin somewhere.",
            ),
            Mistake(
                "short ends",
                _shingles_short_end,
                "Runs of fewer than k words at the end are in the set: stop where a whole run still fits.",
            ),
            Mistake(
                "none for a short text",
                _shingles_none_for_short,
                "A text of fewer than k words got the empty set, and so was like every other short text: it is one shingle.",
            ),
            Mistake("k ignored", _shingles_k_ignored, "`k` is not used: 3 is only its usual value."),
            Mistake(
                "empty string",
                _shingles_empty_string,
                "A text without words got one shingle, the empty string: expected the empty set.",
            ),
            Mistake(
                "a to z",
                _shingles_a_to_z,
                "Only the letters a to z were taken for words: digits and accents belong to words too, so use `\\w+`.",
            ),
            Mistake(
                "English letters",
                _shingles_ascii,
                "Letters with an accent parted the words: in every language a letter is a letter for `\\w+`.",
            ),
            Mistake(
                "hyphens",
                _shingles_hyphens_kept,
                "Hyphens and apostrophes were kept inside words: `\\w+` parts “well-known” into two.",
            ),
            Mistake("negative k", _shingles_negative_k, K_TOO_SMALL),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.minhash:minhash",
        title="A set in a hundred numbers",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Each order gives every element a number; the signature keeps the smallest. Make the table of all numbers, a row "
            "for each order and a column for each element.",
            "`x` is the array of `stable_hash(element)` (as np.uint64). The table is (a·x + b) mod PRIME, of shape (n, S): "
            "broadcast or `np.outer`. The smallest of each *row* is left. What of the empty set?",
            "`values = (np.outer(a, x) + b[:, None]) % np.uint64(PRIME)`, then `values.min(axis=1)`; and for no elements "
            "`np.full(len(a), PRIME, dtype=np.uint64)`.",
        ),
        reasoning="x → (a·x + b) mod p maps the numbers below the prime p one to one, so it is a way to put all possible "
        "elements in an order. Whose element comes first in A ∪ B? Any of them is equally likely to, so with probability "
        "|A ∩ B| / |A ∪ B| it is one that both have, and then both signatures have the same value. p = 2³¹ − 1 keeps a·x + b "
        "below 2⁶³: in 64 bits nothing is cut off. p itself never occurs as a value, so it can stand for “no element”.",
        check=check_minhash,
        mistakes=(
            Mistake(
                "largest",
                _minhash_largest,
                "The largest value was kept: it would do as well, but signatures are compared with others, and those keep "
                "the smallest.",
            ),
            Mistake(
                "wrong axis",
                _minhash_wrong_axis,
                "The smallest was taken over the orders: expected one value for each order, the smallest over the elements "
                "(`axis=1` of a table (n, S)).",
            ),
            Mistake(
                "no modulo",
                _minhash_no_modulo,
                "The remainder modulo PRIME is missing: without it a·x + b keeps x's order.",
            ),
            Mistake(
                "modulo after the minimum",
                _minhash_modulo_after,
                "The remainder was taken after the minimum: the order is that of the remainders, so take them first.",
            ),
            Mistake(
                "b after the modulo",
                _minhash_modulo_before_b,
                "b was added after the remainder: expected (a·x + b) mod p, with the sum inside.",
            ),
            Mistake(
                "which element",
                _minhash_which,
                "This is the hash of the first element, not the value that it gets in that order. It could be compared just as "
                "well, but not with signatures made elsewhere.",
            ),
            Mistake(
                "one order",
                _minhash_one_order,
                "These are the smallest values of *one* order: each of the n values comes from an order of its own.",
            ),
            Mistake("swapped", _minhash_swapped, "`a` and `b` are swapped: a multiplies, b is added."),
            Mistake(
                "floats",
                _minhash_floats,
                FLOATS,
            ),
            Mistake(
                "zeros for nothing",
                _minhash_zeros_for_none,
                "The empty set got zeros, which a real element could get too: expected PRIME, which none ever gets.",
            ),
            Mistake(
                "nothing",
                _minhash_of_nothing,
                "The smallest of no values does not exist: give the empty set the signature of PRIMEs.",
            ),
            Mistake("a tensor", _minhash_tensor, A_TENSOR),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.lsh:candidate_pairs",
        title="Whom to compare with whom",
        difficulty=3,
        importance=5,
        minutes=15,
        hints=(
            "Do not compare signatures with each other. Throw each into b buckets, one for each of its bands, and see who "
            "meets whom.",
            "A dict from a band's key (`band_keys` gives the b keys of a signature) to the numbers of the signatures that have "
            "it. Every two members of a bucket are a pair.",
            "`buckets.setdefault(key, []).append(number)` over `enumerate(signatures)`; then `{pair for members in "
            "buckets.values() for pair in combinations(members, 2)}`.",
        ),
        reasoning="The work grows with the number of documents and with the pairs found, no longer with n². Numbers go into a "
        "bucket in rising order, so `combinations` gives (i, j) with i < j; the set merges pairs that meet in several bands. "
        "The key holds the band's number: a value means nothing at another place of the signature, where another order made it. "
        "A bucket with very many members is the method's weak point, for its pairs grow with the square again.",
        check=check_candidate_pairs,
        mistakes=(
            Mistake(
                "every band",
                _pairs_all_bands,
                "Only signatures that agree in *all* bands were paired: one equal band is enough.",
            ),
            Mistake(
                "any place",
                _pairs_any_place,
                "A band was compared with bands at other places: the key must hold the band's number, as `band_keys` does it.",
            ),
            Mistake(
                "any value",
                _pairs_any_value,
                "Single values were compared: a band counts only if all its r rows are equal. (This would be b · r bands of one "
                "row.)",
            ),
            Mistake(
                "first band",
                _pairs_first_band,
                "Only the first band was looked at: each of the b bands can make a pair.",
            ),
            Mistake(
                "neighbours",
                _pairs_neighbours,
                "Of a bucket with several members only neighbours were paired: every two of them are a pair.",
            ),
            Mistake(
                "with the first",
                _pairs_with_the_first,
                "Of a bucket with several members only those with the first one were paired: every two of them are a pair.",
            ),
            Mistake("both ways", _pairs_both_ways, "Each pair is there twice: expected (i, j) with i < j only."),
            Mistake("with itself", _pairs_with_itself, "Signatures were paired with themselves: expected i < j."),
            Mistake(
                "a list",
                _pairs_listed,
                "This is a list: expected a set, in which a pair that meets in two bands is one.",
            ),
            Mistake("swapped", _pairs_swapped, "`b` and `r` are swapped: b bands of r rows."),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.privacy:luhn_valid",
        title="Is it a card number?",
        difficulty=2,
        importance=2,
        minutes=10,
        hints=(
            "Begin at the right end: the last digit is the check digit and stays as it is. And what is to become of blanks?",
            "Take the digits alone, reversed. At odd places (1, 3, 5, …) double them; a result above 9 loses 9. The sum must be a "
            "multiple of 10, and there must be at least two digits.",
            "`digits = [int(letter) for letter in reversed(number) if letter.isdigit()]`; at odd places `2 * digit - 9 * (digit > "
            "4)`; `sum(…) % 10 == 0`.",
        ),
        reasoning="Doubling and taking off 9 maps the ten digits one to one, so a single wrong digit always changes the sum's last "
        "digit. Two neighbours exchanged change it too, unless they are 0 and 9: both contribute 9 or 0 at either place. One "
        "random number in ten passes, so the check does not *prove* a card. It takes away nine tenths of the false alarms.",
        check=check_luhn_valid,
        mistakes=(
            Mistake(
                "from the left",
                _luhn_from_left,
                "The places were counted from the left: that is right only for an odd number of digits. Count from the right.",
            ),
            Mistake(
                "last one doubled",
                _luhn_last_doubled,
                "The last digit was doubled: it is the check digit and stays; the one before it is doubled.",
            ),
            Mistake(
                "9 not taken off",
                _luhn_not_folded,
                "A doubled digit above 9 must lose 9 (that is, its two digits are added).",
            ),
            Mistake("five", _luhn_five_left_out, "A 5 becomes 10, and 10 has two digits: it must lose 9 as well."),
            Mistake("nothing doubled", _luhn_no_doubling, "No digit was doubled: from the right, every second one is."),
            Mistake(
                "all doubled", _luhn_all_doubled, "Every digit was doubled: from the right, only every second one is."
            ),
            Mistake(
                "blanks count",
                _luhn_blanks_count,
                "Blanks and hyphens were counted as places: take the digits out first, then count.",
            ),
            Mistake(
                "a single digit",
                _luhn_single_digit,
                "A single 0 passed: a number has at least one digit and its check digit.",
            ),
            Mistake(
                "blanks raise",
                _luhn_blanks_raise,
                "`int` cannot read a blank or a hyphen: take only the letters that are digits.",
            ),
            Mistake("the sum", _luhn_sum, "This is the remainder: expected True where it is 0, else False."),
            Mistake("modulo 5", _luhn_remainder_of(5), "A sum that ends in 5 passed: it must be a multiple of 10."),
            Mistake("modulo 9", _luhn_remainder_of(9), "The sum was divided by 9: it must be a multiple of 10."),
            Mistake("modulo 11", _luhn_remainder_of(11), "The sum was divided by 11: it must be a multiple of 10."),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.privacy:replaced",
        title="Take out what is private",
        difficulty=2,
        importance=3,
        minutes=10,
        hints=(
            "If you change the text in place, every position behind the change moves. How can you avoid that?",
            "Build the new text from pieces: what lies between the last span and this one, then the placeholder. Remember where "
            "the last span ended, and at the end add the rest.",
            "In the loop: `if start < end: raise ValueError(…)`; `pieces += [text[end:start], PLACEHOLDERS[kind]]`; `end = "
            'stop`. At last `"".join(pieces) + text[end:]`.',
        ),
        reasoning="The spans' positions are those of the *old* text, so only the old text may be cut; working from the last span "
        "to the first would do as well. A placeholder is better than nothing: the sentence keeps its shape, and a model learns "
        "that something stood here, not to write “Ring now”. Overlapping spans are a defect of whatever found them, and a "
        "silent guess could leave half a card number in the text.",
        check=check_replaced,
        mistakes=(
            Mistake(
                "everywhere",
                _replaced_everywhere,
                "Other places with the same letters were replaced too: only what lies between start and stop was marked.",
            ),
            Mistake(
                "positions moved",
                _replaced_unmoved,
                "After the first replacement all positions have moved, for the placeholder has another length: cut the *old* text.",
            ),
            Mistake(
                "kind", _replaced_by_kind, "The bare kind was put in: expected its placeholder, `PLACEHOLDERS[kind]`."
            ),
            Mistake(
                "nothing", _replaced_by_nothing, "The details were cut out: expected a placeholder in their place."
            ),
            Mistake(
                "stars",
                _replaced_by_stars,
                "Stars tell how long the detail was, and not what: expected `PLACEHOLDERS[kind]`.",
            ),
            Mistake("tail lost", _replaced_tail_lost, "What stands behind the last span is lost: add `text[end:]`."),
            Mistake(
                "one too many",
                _replaced_one_too_many,
                "One character too many was taken: `stop` is one behind the span's last.",
            ),
            Mistake("first only", _replaced_first_only, "Only the first span was replaced."),
            Mistake(
                "stripped",
                _replaced_stripped,
                "White space at the ends was taken off: whatever is not marked stays as it is.",
            ),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.safety:toxicity",
        title="Counting ugly words",
        difficulty=2,
        importance=3,
        minutes=15,
        hints=(
            "`plain_words(text)` gives the words as they should be compared. A phrase is several of them in a row: how could you "
            "find words and phrases in the same way?",
            "Join the plain words with blanks again; then an entry is there where it stands between blanks or ends, and nowhere "
            "else. Try longer entries first. How often, for 100 words, is the answer.",
            'A pattern `(?<!\\S)(?:…|…)(?!\\S)` from the entries, escaped, longest first; `100 * len(re.findall(pattern, " '
            '".join(found))) / len(found)`; 0.0 if there are no words or no entries.',
        ),
        reasoning="Whole words, or “grass” and “class” would be dropped (the name of an English town is the classic case). A rate "
        "and not a count, since a long book with three curses is not worse than a line with two. It is still only a word list: it "
        "cannot tell “the pig slept” from an insult, and what that costs is measured in the next cells.",
        check=check_toxicity,
        mistakes=(
            Mistake(
                "twice",
                _toxic_each_entry,
                "“shut up” counted as “shut” as well: no word counts twice, so look for all entries at once, the longest first.",
            ),
            Mistake(
                "word boundaries",
                _toxic_word_boundaries,
                "`\\b` ends a word at a hyphen too, so “pig-headed” held a pig: whole words stand between blanks, `(?<!\\S)` and "
                "`(?!\\S)`.",
            ),
            Mistake(
                "substrings",
                _toxic_substrings,
                "Entries were found inside other words: “pigeon” holds no pig. Look for whole words.",
            ),
            Mistake(
                "words only",
                _toxic_words_only,
                "Phrases such as “shut up” were not found: an entry may be several words.",
            ),
            Mistake("fraction", _toxic_fraction, "This is the number for each word: expected for each 100 words."),
            Mistake("count", _toxic_count, "This is how many there are: divide by the number of words, times 100."),
            Mistake(
                "each once", _toxic_kinds, "An entry that occurs three times counted once: count every occurrence."
            ),
            Mistake(
                "yes or no", _toxic_yes_or_no, "This says whether there is any: expected how many for each 100 words."
            ),
            Mistake(
                "disguise",
                _toxic_undisguised,
                "A word in disguise was not found: `plain_words(text)` reads digits and signs as the letters they stand for.",
            ),
            Mistake(
                "as written",
                _toxic_as_written,
                "The words were compared with their punctuation: `plain_words(text)` takes it off.",
            ),
            Mistake(
                "words of phrases",
                _toxic_words_in_phrases,
                "Each word of a phrase counted for itself: “shut up” is one entry, and “shut” alone is none.",
            ),
            Mistake(
                "divides by zero",
                _toxic_divides_by_zero,
                "A text may have no words: its rate is 0.",
            ),
            Mistake(
                "dashes count",
                _toxic_dashes_count,
                "A lone dash was counted as a word: divide by the number of `plain_words(text)`.",
            ),
            Mistake(
                "not escaped",
                _toxic_not_escaped,
                "A full stop in an entry stands for any letter in a pattern: `re.escape(entry)`.",
            ),
        ),
    ),
    Exercise(
        lab="05",
        target=f"{PACKAGE}.mixing:mixture_weights",
        title="How much of what",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "Two steps: raise every size to the power alpha; then make the results sum to 1. In which order?",
            "Check the arguments first (`check_positive` looks at the sizes). Then a dict of powers, its sum, and a dict of "
            "quotients.",
            "`powers = {source: size**alpha for source, size in sizes.items()}`; `{source: power / total for …}` with `total = "
            "sum(powers.values())`.",
        ),
        reasoning="Dividing all sizes by the largest first changes nothing, since the factor cancels, and keeps the powers of sizes "
        "like 10¹² within what a float holds. With alpha = 1 each text is read equally often; with alpha = 0 each *source* is, "
        "so a tiny one is read again and again. Between them lies a choice that no formula makes: what the model should be good at.",
        check=check_mixture_weights,
        mistakes=(
            Mistake(
                "alpha ignored",
                _weights_alpha_ignored,
                "`alpha` is not used: these are the shares of the sizes themselves.",
            ),
            Mistake(
                "a temperature",
                _weights_temperature,
                "The sizes were raised to 1/alpha: that is the temperature. Here alpha itself is the power, below 1 to lift small "
                "sources.",
            ),
            Mistake(
                "not normalised",
                _weights_not_normalised,
                "The weights do not sum to 1: divide each power by the sum of them all.",
            ),
            Mistake(
                "normalised before",
                _weights_normalised_before,
                "The sizes were divided by their sum *before* the power was taken; after it they no longer sum to 1: divide "
                "afterwards.",
            ),
            Mistake(
                "softmax",
                _weights_softmax,
                "exp(alpha · size) is a softmax: with sizes in the hundreds the largest takes everything. Expected size to the "
                "power alpha.",
            ),
            Mistake(
                "multiplied",
                _weights_multiplied,
                "Sizes and equal shares were mixed in a straight line: expected the power, size**alpha.",
            ),
            Mistake("reversed", _weights_reversed, "The small sources got the most: the power is alpha, not −alpha."),
            Mistake(
                "by the largest",
                _weights_by_largest,
                "Everything was divided by the largest power, so the largest source has weight 1: divide by the sum.",
            ),
            Mistake("negative sizes", _weights_negative_sizes, NOT_LOOKED_AT),
        ),
    ),
]
