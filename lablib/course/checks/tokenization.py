"""Lab 06: the exercises of `lablib.tokens.bpe` and `lablib.tokens.embeddings`."""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lablib.course.exercise import Attempt, Exercise, Implementation, Mistake, NotPassed
from lablib.tokens.bpe import Pair, count_pairs, decode_tokens, encode_word, merge_pair, train_merges
from lablib.tokens.embeddings import nearest_neighbours
from lablib.tokens.pretokens import BYTES, byte_ids, word_counts

BPE = "lablib.tokens.bpe"
EMBEDDINGS = "lablib.tokens.embeddings"
Words = Mapping[tuple[int, ...], int]
TEXT = (
    "the miller and the baker met at the mill. the miller had the flour, the baker had the time; they baked all the "
    "morning, and the smell of the bread went down the river to the sea. hmm, hmmmm, said the miller."
)


# ---------------------------------------------------------------- comparing plain Python values


def _compare(attempt: Attempt, case: str, *args: Any) -> None:
    """`Attempt.compare` for lists, dicts and bytes: says where the first difference is, and sees arguments that were changed."""
    seen: dict[int, Any] = {}

    def setup(implementation: Implementation) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            before = copy.deepcopy(given)
            result = implementation(*given)
            if given != before:
                raise NotPassed(
                    [f"Tried with {case}.", "Your code changed its argument in place."],
                    "The caller still needs it: build a new list or dict, and leave what was given as it is.",
                )
            if isinstance(result, Mapping):  # a Counter or a defaultdict is as good as a dict
                result = dict(result)
            elif isinstance(result, tuple | bytearray):
                result = bytes(result) if isinstance(result, bytearray) else list(result)
            seen[id(implementation)] = result
            return result

        return call

    try:
        attempt.compare(case, *args, setup=setup)
    except NotPassed as failure:
        right, mine = seen[id(attempt.exercise.reference)], seen.get(id(attempt.candidate))
        if type(mine) is type(right) and mine != right:
            raise NotPassed([f"Tried with {case}.", *_first_difference(mine, right)], failure.cause) from None
        raise


def _first_difference(mine: Any, right: Any) -> list[str]:
    if isinstance(right, dict):
        for key in right:
            if key not in mine:
                return [
                    f"{key} is missing: expected {right[key]} for it ({len(right)} entries; yours has {len(mine)})."
                ]
            if mine[key] != right[key]:
                return [f"For {key}: expected {right[key]}, got {mine[key]!r:.60}."]
        return [f"{next(key for key in mine if key not in right)!r:.60} is too much: expected no such entry."]
    for place, (a, b) in enumerate(itertools.zip_longest(mine, right, fillvalue="nothing")):
        if a != b:
            return [f"At place {place}: expected {b}, got {a!r:.60}.", f"Expected {right!r:.100}, got {mine!r:.100}."]
    raise AssertionError("there is no difference")


def _refuses(call: Callable[[Implementation], Any], *words: str) -> Callable[[Implementation], bool]:
    """A property for `Attempt.require`: the call raises ValueError, with all the words in its message."""

    def holds(implementation: Implementation) -> bool:
        try:
            call(implementation)
        except ValueError as error:
            return all(word in str(error) for word in words)
        except (IndexError, KeyError, RuntimeError):
            return False
        return False

    return holds


# ---------------------------------------------------------------- 1 count


def check_count_pairs(attempt: Attempt) -> None:
    _compare(attempt, "one word (1, 2, 3), which occurs once", {(1, 2, 3): 1})
    _compare(attempt, "the words (1, 2) ten times and (2, 1) three times", {(1, 2): 10, (2, 1): 3})
    _compare(attempt, "the words (1, 2, 3) four times and (9, 1, 2) twice", {(1, 2, 3): 4, (9, 1, 2): 2})
    _compare(attempt, "the word (1, 2, 1, 2, 3), which occurs once", {(1, 2, 1, 2, 3): 1})
    _compare(attempt, "the word (7, 7, 7, 7, 1), which occurs twice", {(7, 7, 7, 7, 1): 2})
    _compare(attempt, "the word (7, 7, 7), which occurs twice", {(7, 7, 7): 2})
    _compare(attempt, "words of one token and of none", {(1,): 5, (): 2})
    _compare(attempt, "the words of a paragraph", word_counts([TEXT]))


def _count_times_ignored(words: Words) -> dict[Pair, int]:
    return count_pairs(dict.fromkeys(words, 1))


def _count_no_overlap(words: Words) -> dict[Pair, int]:
    counts: dict[Pair, int] = {}
    for word, times in words.items():
        for pair in set(itertools.pairwise(word)):
            found = len(word) - len(merge_pair(word, pair, -1))
            counts[pair] = counts.get(pair, 0) + found * times
    return counts


def _count_overwritten(words: Words) -> dict[Pair, int]:
    return {pair: times for word, times in words.items() for pair in itertools.pairwise(word)}


def _count_once_a_word(words: Words) -> dict[Pair, int]:
    counts: dict[Pair, int] = {}
    for word, times in words.items():
        for pair in set(itertools.pairwise(word)):
            counts[pair] = counts.get(pair, 0) + times
    return counts


def _count_unordered(words: Words) -> dict[Pair, int]:
    counts: dict[Pair, int] = {}
    for pair, times in count_pairs(words).items():
        smaller_first = (min(pair), max(pair))
        counts[smaller_first] = counts.get(smaller_first, 0) + times
    return counts


def _count_last_missing(words: Words) -> dict[Pair, int]:
    counts: dict[Pair, int] = {}
    for word, times in words.items():
        for i in range(len(word) - 2):
            counts[word[i], word[i + 1]] = counts.get((word[i], word[i + 1]), 0) + times
    return counts


def _count_across_words(words: Words) -> dict[Pair, int]:
    counts = count_pairs(words)
    filled = [word for word in words if word]
    for left, right in itertools.pairwise(filled):
        counts[left[-1], right[0]] = counts.get((left[-1], right[0]), 0) + 1
    return counts


# ---------------------------------------------------------------- 2 merge


def check_merge_pair(attempt: Attempt) -> None:
    _compare(attempt, "ids [1, 2, 3], pair (1, 2), new 9", [1, 2, 3], (1, 2), 9)
    _compare(attempt, "ids [3, 2, 1, 2], pair (1, 2), new 9", [3, 2, 1, 2], (1, 2), 9)
    _compare(attempt, "ids [1, 2, 4, 1, 2, 5], pair (1, 2), new 9", [1, 2, 4, 1, 2, 5], (1, 2), 9)
    _compare(attempt, "ids [7, 7, 7], pair (7, 7), new 9", [7, 7, 7], (7, 7), 9)
    _compare(attempt, "ids [7, 7, 7, 7], pair (7, 7), new 9", [7, 7, 7, 7], (7, 7), 9)
    _compare(attempt, "ids [5], pair (5, 5), new 9", [5], (5, 5), 9)
    _compare(attempt, "no ids at all", [], (1, 2), 9)
    _compare(attempt, "ids (2, 1, 2), a tuple, pair (2, 1), new 256", (2, 1, 2), (2, 1), 256)


def _merge_no_skip(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    merged, i = [], 0
    while i < len(ids):
        merged.append(new if tuple(ids[i : i + 2]) == pair else ids[i])
        i += 1
    return merged


def _merge_last_lost(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    merged, i = [], 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def _merge_first_only(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new, *ids[i + 2 :]]
    return list(ids)


def _merge_from_the_right(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    return merge_pair(list(ids)[::-1], (pair[1], pair[0]), new)[::-1]


def _merge_either_order(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) in (pair, pair[::-1]):
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def _merge_in_place(ids: list[int], pair: Pair, new: int) -> list[int]:
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == pair:
            ids[i : i + 2] = [new]
        i += 1
    return ids


def _merge_index_error(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    merged, i = [], 0
    while i < len(ids):
        if (ids[i], ids[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


# ---------------------------------------------------------------- 3 train


def check_train_merges(attempt: Attempt) -> None:
    words = {(1, 2, 3): 10, (1, 2): 5, (2, 3): 4}
    _compare(attempt, "words (1, 2, 3) × 10, (1, 2) × 5, (2, 3) × 4, merges = 1", words, 1)
    _compare(attempt, "the same words, merges = 2", words, 2)
    _compare(attempt, "words (5, 6), (1, 9) and (8, 2), 3 times each: a tie", {(5, 6): 3, (1, 9): 3, (8, 2): 3}, 1)
    _compare(attempt, "words (1, 9) and (5, 6), 3 times each: a tie", {(1, 9): 3, (5, 6): 3}, 1)
    _compare(attempt, "the word (1, 2, 3) 5 times, merges = 10: more than there are", {(1, 2, 3): 5}, 10)
    _compare(attempt, "no words at all", {}, 3)
    _compare(attempt, "merges = 0", words, 0)
    _compare(attempt, "the words of a paragraph, merges = 40", word_counts([TEXT]), 40)


def _trainer(best: Callable[[dict[Pair, int]], Pair], first: int = 256) -> Callable[[Words, int], list[Pair]]:
    def train(words: Words, merges: int) -> list[Pair]:
        learned: list[Pair] = []
        while len(learned) < merges and (counts := count_pairs(words)):
            pair = best(counts)
            words = {tuple(merge_pair(word, pair, first + len(learned))): times for word, times in words.items()}
            learned.append(pair)
        return learned

    return train


def _smallest(counts: dict[Pair, int]) -> Pair:
    return min(counts, key=lambda pair: (-counts[pair], pair))


_train_first_seen = _trainer(lambda counts: max(counts, key=lambda pair: counts[pair]))
_train_largest_pair = _trainer(lambda counts: max(counts, key=lambda pair: (counts[pair], pair)))
_train_rarest = _trainer(lambda counts: min(counts, key=lambda pair: (counts[pair], pair)))
_train_from_257 = _trainer(_smallest, first=257)


def _train_counted_once(words: Words, merges: int) -> list[Pair]:
    counts = count_pairs(words)
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:merges]


def _train_never_merged(words: Words, merges: int) -> list[Pair]:
    counts = count_pairs(words)
    return [_smallest(counts)] * merges if counts else []


def _train_does_not_stop(words: Words, merges: int) -> list[Pair]:
    learned: list[Pair] = []
    for i in range(merges):
        counts = count_pairs(words)
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = {tuple(merge_pair(word, best, 256 + i)): times for word, times in words.items()}
        learned.append(best)
    return learned


def _train_vocabulary_size(words: Words, merges: int) -> list[Pair]:
    return train_merges(words, max(0, merges - 256))


# ---------------------------------------------------------------- 4 encode

A, B, C = (byte_ids(letter)[0] for letter in (b"a", b"b", b"c"))


def check_encode_word(attempt: Attempt) -> None:
    _compare(attempt, "data b'!!!', merges [(0, 0)]", b"!!!", [(0, 0)])
    _compare(attempt, "data b'!!!!', merges [(0, 0)]", b"!!!!", [(0, 0)])
    _compare(attempt, "data b'a ', no merges", b"a ", [])
    _compare(attempt, r"data b'\xff A' (\xff occurs in no text), no merges", b"\xff A", [])
    _compare(attempt, "data b'AB', merges [the pair of the small letters a, b]", b"AB", [(A, B)])
    _compare(attempt, "data b'ab', merges cc, ab: the first one finds nothing", b"ab", [(C, C), (A, B)])
    merges = [(A, B), (B, C), (A, 257)]
    _compare(attempt, "data b'abc', merges ab, bc, a + bc: ab was learned first", b"abc", merges)
    _compare(attempt, "data b'abc', merges bc, ab: bc was learned first", b"abc", [(B, C), (A, B)])
    _compare(attempt, "data b'abab', merges ab, abab", b"abab", [(A, B), (256, 256)])
    _compare(attempt, "no data", b"", [(0, 0)])
    words = word_counts([TEXT])
    learned = train_merges(words, 40)
    for word in itertools.islice(words, 12):
        data = b"".join(BYTES[number] for number in word)
        _compare(attempt, f"data {data!r} and 40 merges learned from a paragraph", data, learned)


def _encode_raw_bytes(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids = list(data)
    for i, pair in enumerate(merges):
        ids = merge_pair(ids, pair, 256 + i)
    return ids


def _encode_longest_match(data: bytes, merges: Sequence[Pair]) -> list[int]:
    spelled = list(BYTES)
    for left, right in merges:
        spelled.append(spelled[left] + spelled[right])
    ids, i = [], 0
    while i < len(data):
        token = max((t for t, s in enumerate(spelled) if data.startswith(s, i)), key=lambda t: len(spelled[t]))
        ids.append(token)
        i += len(spelled[token])
    return ids


def _encode_leftmost(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids, made = byte_ids(data), {pair: 256 + i for i, pair in enumerate(merges)}
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) in made:
            ids[i : i + 2] = [made[ids[i], ids[i + 1]]]
            i = 0
        else:
            i += 1
    return ids


def _encode_backwards(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids = byte_ids(data)
    for i, pair in reversed(list(enumerate(merges))):
        ids = merge_pair(ids, pair, 256 + i)
    return ids


def _encode_first_place_only(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids = byte_ids(data)
    for i, pair in enumerate(merges):
        ids = _merge_first_only(ids, pair, 256 + i)
    return ids


def _encode_from_257(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids = byte_ids(data)
    for i, pair in enumerate(merges, 1):
        ids = merge_pair(ids, pair, 256 + i)
    return ids


def _encode_through_text(errors: str) -> Callable[[bytes, Sequence[Pair]], list[int]]:
    return lambda data, merges: encode_word(data.decode("utf-8", errors).encode(), merges)


def _encode_small_letters(data: bytes, merges: Sequence[Pair]) -> list[int]:
    return encode_word(data.lower(), merges)


def _encode_stops_early(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids = byte_ids(data)
    for i, pair in enumerate(merges):
        merged = merge_pair(ids, pair, 256 + i)
        if merged == ids:
            break
        ids = merged
    return ids


NOT_TEXT = "The bytes went through text on the way: a word may hold bytes that are no text, and each of them is a token. Stay with bytes."


def _encode_restarts_at_bytes(data: bytes, merges: Sequence[Pair]) -> list[int]:
    ids = byte_ids(data)
    for i, pair in enumerate(merges):
        ids = merge_pair(byte_ids(data), pair, 256 + i)
    return ids


# ---------------------------------------------------------------- 5 decode


def check_decode_tokens(attempt: Attempt) -> None:
    _compare(attempt, "ids [32, 0], no merges", [32, 0], [])
    _compare(attempt, "ids [256, 32], merges [(0, 33)]", [256, 32], [(0, 33)])
    _compare(attempt, "ids [257], merges [(0, 33), (256, 34)]: a merge of a merge", [257], [(0, 33), (256, 34)])
    _compare(attempt, "no ids", [], [(0, 0)])
    _compare(attempt, "half of an emoji (its first two bytes)", byte_ids("🙂".encode()[:2]), [])
    learned = train_merges(word_counts([TEXT]), 40)
    ids = [token for word in word_counts([TEXT]) for token in encode_word(b"".join(BYTES[n] for n in word), learned)]
    _compare(attempt, "the tokens of a paragraph, 40 merges", ids, learned)
    for token, cause in ((-1, NEGATIVE), (256, UNKNOWN), (5000, UNKNOWN)):
        attempt.require(
            _refuses(lambda decode, token=token: decode([1, token], []), str(token)),  # type: ignore[misc]
            [
                f"Tried with ids [1, {token}] and no merges: expected a ValueError that names the token {token}, "
                "since the vocabulary is 0 to 255."
            ],
            cause,
        )


NEGATIVE = (
    "Python counts −1 from the end of a list, without an error: compare the token with 0 and with the length first."
)
UNKNOWN = "A token beyond the vocabulary must raise a ValueError with its number: was it made by another tokenizer?"


def _spellings(merges: Sequence[Pair]) -> list[bytes]:
    spelled = list(BYTES)
    for left, right in merges:
        spelled.append(spelled[left] + spelled[right])
    return spelled


def _decode_own_order(ids: Sequence[int], merges: Sequence[Pair]) -> bytes:
    spelled = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        spelled.append(spelled[left] + spelled[right])
    return b"".join(spelled[token] for token in ids)


def _decode_text(ids: Sequence[int], merges: Sequence[Pair]) -> str:
    return decode_tokens(ids, merges).decode("utf-8", "replace")


def _decode_right_first(ids: Sequence[int], merges: Sequence[Pair]) -> bytes:
    spelled = list(BYTES)
    for left, right in merges:
        spelled.append(spelled[right] + spelled[left])
    return b"".join(spelled[token] for token in ids)


def _decode_one_level(ids: Sequence[int], merges: Sequence[Pair]) -> bytes:
    parts = []
    for token in ids:
        pair = (token,) if token < 256 else merges[token - 256]
        parts += [BYTES[part] for part in pair]
    return b"".join(parts)


def _decode_negative(ids: Sequence[int], merges: Sequence[Pair]) -> bytes:
    spelled = _spellings(merges)
    for token in ids:
        if token >= len(spelled):
            raise ValueError(f"token {token} is not in the vocabulary")
    return b"".join(spelled[token] for token in ids)


def _decode_skips_unknown(ids: Sequence[int], merges: Sequence[Pair]) -> bytes:
    spelled = _spellings(merges)
    for token in ids:
        if token < 0:
            raise ValueError(f"token {token} is not in the vocabulary")
    return b"".join(spelled[token] for token in ids if token < len(spelled))


# ---------------------------------------------------------------- 6 lookup


def check_embed_tokens(attempt: Attempt) -> None:
    small = torch.tensor([[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
    attempt.compare(
        "ids [2, 0], a table of 3 rows", torch.tensor([2, 0]), small, outputs=["the vectors"], axes=["T", "D"]
    )
    weight = attempt.normal(7, 4)
    attempt.require(
        lambda embed: _row_0_learns(embed, weight),
        ["Tried with ids [0, 3, 0]: the values are right, but row 0 of the table gets no gradient."],
        PADDED,
    )
    ids = torch.tensor([[0, 3, 3], [5, 1, 0]])
    axes = ["B", "T", "D"]
    attempt.compare("ids (2, 3), a table (7, 4)", ids, weight, outputs=["the vectors"], axes=axes, gradients=True)
    attempt.compare("one id, no axes", torch.tensor(6), weight, outputs=["the vector"], axes=["D"])
    attempt.compare("a table (4, 4), as wide as it is long", ids % 4, attempt.normal(4, 4), axes=axes)
    attempt.keeps_type_and_device(ids, weight, outputs=["the vectors"], axes=axes)


PADDED = "With `padding_idx=0` row 0 never learns: here token 0 is a token like any other, so leave `padding_idx` out."


def _row_0_learns(embed: Implementation, weight: Tensor) -> bool:
    """Whether row 0 gets a gradient where row 3 does (a result with no gradient at all is another matter)."""
    leaf = weight.detach().clone().requires_grad_()
    result = embed(torch.tensor([0, 3, 0]), leaf)
    if not (isinstance(result, Tensor) and result.requires_grad):
        return True
    (slope,) = torch.autograd.grad(result.sum(), leaf, allow_unused=True)
    return slope is None or not bool(slope[3].any()) or bool(slope[0].any())


def _embed_padding(ids: Tensor, weight: Tensor) -> Tensor:
    return F.embedding(ids, weight, padding_idx=0)


def _embed_columns(ids: Tensor, weight: Tensor) -> Tensor:
    return weight.mT[ids]


def _embed_flat(ids: Tensor, weight: Tensor) -> Tensor:
    return weight[ids.flatten()]


def _embed_mean(ids: Tensor, weight: Tensor) -> Tensor:
    return weight[ids].mean(dim=-2) if ids.dim() else weight[ids]


def _embed_scaled(ids: Tensor, weight: Tensor) -> Tensor:
    return weight[ids] * weight.shape[-1] ** 0.5


def _embed_from_one(ids: Tensor, weight: Tensor) -> Tensor:
    return weight[ids - 1]


def _embed_integer_one_hot(ids: Tensor, weight: Tensor) -> Tensor:
    return F.one_hot(ids, len(weight)) @ weight


# ---------------------------------------------------------------- 7 neighbours


def check_nearest_neighbours(attempt: Attempt) -> None:
    outputs = ["the similarities", "the numbers"]
    small = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    for token in (
        0,
        1,
    ):  # they point the same way: whichever of them `topk` takes first, once it is the token and once the other
        case = f"the table of the example, token {token}, k = 2"
        attempt.compare(case, small, token, 2, outputs=outputs, axes=["k"])
    weight = attempt.normal(9, 5) * torch.arange(1, 10)[:, None]
    attempt.compare("a table (9, 5), token 4, k = 3", weight, 4, 3, outputs=outputs, axes=["k"])
    away = torch.tensor([[1.0, 0.2], [-1.0, 0.0], [-1.0, 1.0], [-1.0, -2.0]])
    attempt.compare("a table in which all others point away, k = 3", away, 0, 3, outputs=outputs, axes=["k"])
    zero = torch.tensor([[1.0, 1.0], [0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]])
    attempt.compare("a table with a row of zeros, k = 3", zero, 0, 3, outputs=outputs, axes=["k"])
    attempt.compare("the default k", weight, 0, outputs=outputs, axes=["k"])
    for k in (0, 4):
        attempt.require(
            _refuses(lambda nearest, k=k: nearest(small, 0, k), str(k)),  # type: ignore[misc]
            [f"Tried with a table of 4 rows and k = {k}: expected a ValueError that names k: there are 3 others."],
            NO_SUCH_K,
        )


NO_SUCH_K = "k is not checked: compare it with 1 and with the number of rows before anything is computed, and raise."


def _top(similarity: Tensor, token: int, k: int, hide: float = -torch.inf) -> tuple[Tensor, Tensor]:
    if not 1 <= k < len(similarity):
        raise ValueError(f"k = {k}")
    similarity = similarity.clone()
    similarity[token] = hide
    found = similarity.topk(k)
    return found.values, found.indices


def _near_dot_product(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    return _top(weight @ weight[token], token, k)


def _near_half_normalised(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    return _top(F.normalize(weight, dim=-1) @ weight[token], token, k)


def _near_itself(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    if not 1 <= k < len(weight):
        raise ValueError(f"k = {k}")
    directions = F.normalize(weight, dim=-1)
    found = (directions @ directions[token]).topk(k)
    return found.values, found.indices


def _near_first_dropped(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    if not 1 <= k < len(weight):
        raise ValueError(f"k = {k}")
    directions = F.normalize(weight, dim=-1)
    found = (directions @ directions[token]).topk(k + 1)
    return found.values[1:], found.indices[1:]


def _near_columns(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    directions = F.normalize(weight, dim=0)
    return _top(directions @ directions[token], token, k)


def _near_farthest(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    directions = F.normalize(weight, dim=-1)
    values, indices = _top(-(directions @ directions[token]), token, k)
    return -values, indices


def _near_hidden_by_zero(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    directions = F.normalize(weight, dim=-1)
    return _top(directions @ directions[token], token, k, hide=0.0)


def _near_zero_divided(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    directions = weight / weight.norm(dim=-1, keepdim=True)
    return _top(directions @ directions[token], token, k)


def _near_distance(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    values, indices = _top(-(weight - weight[token]).norm(dim=-1), token, k)
    return -values, indices


def _near_any_k(weight: Tensor, token: int, k: int = 5) -> tuple[Tensor, Tensor]:
    return nearest_neighbours(weight, token, max(1, min(k, len(weight) - 1)))


EXERCISES = [
    Exercise(
        lab="06",
        target=f"{BPE}:count_pairs",
        title="Which neighbours meet most often?",
        difficulty=1,
        importance=5,
        minutes=10,
        hints=(
            "Walk through each word and look at two neighbours at a time. How much does one sighting count, if the word occurs ten times?",
            "`itertools.pairwise(word)` gives the pairs of neighbours; keep a dict from pair to count and add `times` for each.",
            "`for pair in itertools.pairwise(word): counts[pair] = counts.get(pair, 0) + times`, inside a loop over `words.items()`.",
        ),
        reasoning="Each *different* word is looked at once and its pairs are weighted by how often it occurs: in natural text "
        "that saves most of the work, since few words make up most of a text. Pairs at overlapping places both count. It would be "
        "possible to count (7, 7, 7) as one pair, since only one can be merged; the library `tokenizers` counts two, and since the "
        "merges should come out the same, so do we. Words are never joined: no token will ever reach across the edge of a word.",
        check=check_count_pairs,
        mistakes=(
            Mistake(
                "last pair missing",
                _count_last_missing,
                "The last pair of each word is missing: a word of n tokens has n − 1 pairs of neighbours.",
            ),
            Mistake(
                "times ignored",
                _count_times_ignored,
                "Each word was counted once: a word that occurs n times adds n to each of its pairs.",
            ),
            Mistake(
                "once a word",
                _count_once_a_word,
                "A pair that stands in a word twice was counted once: each place counts.",
            ),
            Mistake(
                "no overlap",
                _count_no_overlap,
                "Overlapping places were counted once: (7, 7, 7) holds the pair (7, 7) twice, at places 0 and 1.",
            ),
            Mistake(
                "overwritten",
                _count_overwritten,
                "The count was set, not added to: a pair of several words must be summed, `counts[pair] = counts.get(pair, 0) + times`.",
            ),
            Mistake(
                "unordered",
                _count_unordered,
                "(1, 2) and (2, 1) were counted as one: th is not ht, so the order of a pair matters.",
            ),
            Mistake(
                "across words",
                _count_across_words,
                "The end of one word and the beginning of the next were counted as a pair: pairs stand inside a word.",
            ),
        ),
    ),
    Exercise(
        lab="06",
        target=f"{BPE}:merge_pair",
        title="Two become one",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Go from left to right. Wherever you stand, there are two cases: the pair begins here, or it does not. How far do you step?",
            "A `while` loop with an index `i`: at the pair append `new` and step by 2, otherwise append `ids[i]` and step by 1.",
            "`tuple(ids[i : i + 2]) == pair` is False at the last place by itself, since the slice is then only one token long.",
        ),
        reasoning="A `for` loop over the places would not do, since a merge must skip the second token: else in (7, 7, 7) the "
        "middle one would be used twice. The slice `ids[i : i + 2]` saves a special case at the end. The list that was given is left "
        "alone, because the trainer still needs the old word.",
        check=check_merge_pair,
        mistakes=(
            Mistake(
                "not skipped",
                _merge_no_skip,
                "The second token of the pair is still there: after a merge, step over both of its tokens.",
            ),
            Mistake(
                "last lost",
                _merge_last_lost,
                "The last token was lost: it begins no pair, but it must be kept when no merge took it.",
            ),
            Mistake("either order", _merge_either_order, "(2, 1) was merged too: only the pair in its own order."),
            Mistake("first only", _merge_first_only, "Only the first place was merged: merge every place."),
            Mistake(
                "from the right",
                _merge_from_the_right,
                "In a run the rightmost place was merged first: go from left to right, so that (7, 7, 7) becomes (9, 7).",
            ),
            Mistake(
                "index error",
                _merge_index_error,
                "At the last token there is no `ids[i + 1]`: check `i + 1 < len(ids)` first, or compare a slice of length 2.",
            ),
            Mistake(
                "in place",
                _merge_in_place,
                "The caller still needs it: build a new list or dict, and leave what was given as it is.",
            ),
        ),
    ),
    Exercise(
        lab="06",
        target=f"{BPE}:train_merges",
        title="The whole of training",
        difficulty=3,
        importance=5,
        minutes=20,
        hints=(
            "Four steps, over and over: count the pairs; choose one; merge it in every word; note it down. When does the loop end?",
            "The choice: the largest count and, of those, the smallest pair. `min(counts, key=…)` with a key of two parts can say both.",
            "`best = min(counts, key=lambda pair: (-counts[pair], pair))`, then a new dict of words, "
            "`{tuple(merge_pair(word, best, 256 + len(learned))): times for word, times in words.items()}`.",
        ),
        reasoning="This is Algorithm 1 of Sennrich et al. in five lines. A tie must be broken by a rule: `max(counts, key=counts.get)` "
        "takes the pair that it met first, and that depends on the order of the texts. No two words can become equal by a merge "
        "(their bytes differ), so the dict loses nothing. Counting everything again after each merge is wasteful, since one merge "
        "changes few counts; that is what the quick version will do better.",
        check=check_train_merges,
        mistakes=(
            Mistake(
                "counted once",
                _train_counted_once,
                "The pairs were counted only once, at the start: after each merge there are new tokens, and so new pairs to count.",
            ),
            Mistake(
                "never merged",
                _train_never_merged,
                "The same pair comes again and again: merge it in every word before counting again.",
            ),
            Mistake("rarest", _train_rarest, "The rarest pair was merged: the most frequent one comes first."),
            Mistake(
                "vocabulary size",
                _train_vocabulary_size,
                "`merges` was read as the size of the vocabulary: it is the number of merges; the 256 bytes come on top.",
            ),
            Mistake(
                "from 257",
                _train_from_257,
                "The new tokens have the wrong numbers: the bytes are 0 to 255, so the first merge makes 256.",
            ),
            Mistake(
                "first seen",
                _train_first_seen,
                "Of several pairs with the same count the first one met won (`max` does that): expected the smallest pair.",
            ),
            Mistake(
                "largest pair",
                _train_largest_pair,
                "Of several pairs with the same count the largest pair won: expected the smallest. Negate the count and take `min`.",
            ),
            Mistake(
                "does not stop",
                _train_does_not_stop,
                "No pair was left to merge: when every word is one token, stop and return the merges so far.",
            ),
        ),
    ),
    Exercise(
        lab="06",
        target=f"{BPE}:encode_word",
        title="A word into tokens",
        difficulty=2,
        importance=5,
        minutes=10,
        hints=(
            "Training merged pairs in a certain order. What happens to a new word if exactly the same is done to it?",
            "Begin with one token a byte, `byte_ids(data)`; then go through the merges in their order, each with the number it made.",
            "`for i, pair in enumerate(merges): ids = merge_pair(ids, pair, 256 + i)`.",
        ),
        reasoning="Encoding is training played back. Taking the longest token that fits at each place (as WordPiece does) often "
        "gives the same and sometimes not; what matters is that the model always reads text cut in one and the same way. "
        "This version walks through all merges for every word. The quick one looks only at the pairs that the word has, and takes "
        "the one of lowest rank.",
        check=check_encode_word,
        mistakes=(
            Mistake(
                "raw bytes",
                _encode_raw_bytes,
                "It began with the values of the bytes: the numbers 0 to 255 stand for bytes in another order, `byte_ids(data)`.",
            ),
            Mistake(
                "from 257",
                _encode_from_257,
                "The numbers of the merged tokens are off by one: merge i makes the token 256 + i.",
            ),
            Mistake(
                "first place only",
                _encode_first_place_only,
                "Each merge was done at one place only: merge every place where the pair stands, as `merge_pair` does.",
            ),
            Mistake(
                "leftmost",
                _encode_leftmost,
                "The leftmost pair that can be merged was merged first: the one that was *learned* first has the right of way.",
            ),
            Mistake(
                "longest match",
                _encode_longest_match,
                "At each place the longest token that fits was taken (as WordPiece does): BPE merges in the order of training.",
            ),
            Mistake(
                "backwards",
                _encode_backwards,
                "The merges were done from the last to the first: the order is that of training, the first learned comes first.",
            ),
            Mistake("through text", _encode_through_text("ignore"), NOT_TEXT),
            Mistake("text with �", _encode_through_text("replace"), NOT_TEXT),
            Mistake("text or nothing", _encode_through_text("strict"), NOT_TEXT),
            Mistake(
                "small letters",
                _encode_small_letters,
                "Capitals were made small: A and a are different bytes, so they are different tokens, and must come back as they were.",
            ),
            Mistake(
                "stops early",
                _encode_stops_early,
                "A merge that finds nothing is no reason to stop: a later one may still find its pair.",
            ),
            Mistake(
                "restarts",
                _encode_restarts_at_bytes,
                "Each merge began with the bytes again: it must go on with what the merge before it has left.",
            ),
        ),
    ),
    Exercise(
        lab="06",
        target=f"{BPE}:decode_tokens",
        title="And back",
        difficulty=2,
        importance=4,
        minutes=10,
        hints=(
            "If you had a list of what each token spells, decoding would be one `join`. How does the list begin, and how does it grow?",
            "It begins with `BYTES`, the 256 bytes in the order of their numbers; each merge appends what its two halves spell.",
            "`spelled = list(BYTES)`, then `for left, right in merges: spelled.append(spelled[left] + spelled[right])`. "
            "Before the join, raise for a token outside 0 … len(spelled) − 1.",
        ),
        reasoning="A merge only ever uses tokens that are already there, so one pass builds all spellings. The result is bytes: a model "
        "may stop in the middle of an emoji, and then there is no text yet. Whoever wants text says what should happen to such bytes: "
        '`.decode("utf-8", "replace")`. The check of the range is worth its two lines, since −1 would quietly give the last token.',
        check=check_decode_tokens,
        mistakes=(
            Mistake(
                "own order",
                _decode_own_order,
                "The number was taken for the byte's value: number i stands for `BYTES[i]`, and the printing bytes come first.",
            ),
            Mistake(
                "text",
                _decode_text,
                "The result is text: expected bytes, since a token may hold half of a character (decoding it would lose it).",
            ),
            Mistake(
                "right first",
                _decode_right_first,
                "The halves of a merge are in the wrong order: the left one comes first.",
            ),
            Mistake(
                "one level",
                _decode_one_level,
                "A merge of a merge was not unfolded: the halves of a merge may be merges themselves.",
            ),
            Mistake("negative", _decode_negative, NEGATIVE),
            Mistake("unknown skipped", _decode_skips_unknown, UNKNOWN),
        ),
    ),
    Exercise(
        lab="06",
        target=f"{EMBEDDINGS}:embed_tokens",
        title="The lookup",
        difficulty=1,
        importance=4,
        minutes=5,
        hints=(
            "It is one row of the table for each number. What does a tensor do when it is indexed by a tensor of integers?",
            "`weight[i]` is row i for one number; the same works for a whole tensor of numbers, of any shape.",
            "`weight[ids]`: the shape of `ids`, and D behind it.",
        ),
        reasoning="Indexing is the whole layer: `nn.Embedding` is a table and this line. It equals the product of one-hot rows "
        "with the table, but a product with V − 1 zeros in each row would be a great waste. The gradient comes out right in both cases: "
        "only rows that were used get one.",
        check=check_embed_tokens,
        mistakes=(
            Mistake("columns", _embed_columns, "Columns of the table were taken: token i is *row* i, (V, D)."),
            Mistake("flat", _embed_flat, "The axes of `ids` were lost: expected their shape with D behind it."),
            Mistake("mean", _embed_mean, "The vectors of a text were averaged: each token keeps a vector of its own."),
            Mistake(
                "scaled",
                _embed_scaled,
                "The vectors were multiplied by √D, as the transformer of 2017 does after the lookup; the lookup itself is asked for.",
            ),
            Mistake("from one", _embed_from_one, "Tokens were counted from 1: row 0 is token 0."),
            Mistake("padding", _embed_padding, PADDED),
            Mistake(
                "integer one-hot",
                _embed_integer_one_hot,
                "`F.one_hot` gives integers, and a product needs one type: `.to(weight.dtype)`. Or simply index the table.",
            ),
        ),
    ),
    Exercise(
        lab="06",
        target=f"{EMBEDDINGS}:nearest_neighbours",
        title="Who is near?",
        difficulty=3,
        importance=4,
        minutes=15,
        hints=(
            "Make all rows one unit long: then the cosine of two of them is simply their dot product.",
            "`F.normalize(weight, dim=-1)` does it and leaves a row of zeros alone. All dot products with one row are one matrix product. "
            "How can you keep the token itself from winning?",
            "`similarity = directions @ directions[token]`, then `similarity[token] = -torch.inf`, and `similarity.topk(k)` has "
            "`.values` and `.indices`.",
        ),
        reasoning="The dot product alone would favour long vectors, whatever they mean. The token itself is put out of the "
        "race with −∞ and not with 0: when all others point away, 0 would win. `F.normalize` divides by at least 1e-12, so that a "
        "token that was never trained does not turn the list into NaN.",
        check=check_nearest_neighbours,
        mistakes=(
            Mistake(
                "dot product",
                _near_dot_product,
                "The lengths were not divided out: the cosine is the dot product of rows of length 1.",
            ),
            Mistake(
                "half normalised",
                _near_half_normalised,
                "The token's own vector still has its length: divide by both lengths (the order is right, the values are not).",
            ),
            Mistake("itself", _near_itself, "The token itself is among its neighbours: leave it out."),
            Mistake(
                "first dropped",
                _near_first_dropped,
                "The first of k + 1 was dropped in the belief that it is the token itself: another vector that points the same way "
                "may come first. Put the token out of the race by its number.",
            ),
            Mistake(
                "columns",
                _near_columns,
                "The columns were given length 1 (dim=0): each *row* is a vector, so normalise along dim=-1.",
            ),
            Mistake("farthest", _near_farthest, "The farthest come first: the largest cosine is the nearest."),
            Mistake(
                "hidden by zero",
                _near_hidden_by_zero,
                "The token was put out of the race with 0, which beats every negative cosine: use −∞.",
            ),
            Mistake(
                "zero divided",
                _near_zero_divided,
                "A row of zeros was divided by its length 0, which is NaN: its cosine with everything is 0 (`F.normalize` does that).",
            ),
            Mistake(
                "distance",
                _near_distance,
                "Distances were compared: the direction is asked for, so a vector and five times that vector are as near as can be.",
            ),
            Mistake("any k", _near_any_k, NO_SUCH_K),
        ),
    ),
]
