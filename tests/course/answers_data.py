"""Lab 05: right answers that differ from the reference, and wrong ones that are not among the named mistakes."""

import hashlib
import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import numpy as np
import torch

from lablib.corpus.dedup import exact_key, normalised
from lablib.corpus.lsh import band_keys, candidate_pairs
from lablib.corpus.minhash import PRIME, minhash, shingles, stable_hash
from lablib.corpus.mixing import mixture_weights
from lablib.corpus.privacy import PLACEHOLDERS, luhn_valid, replaced
from lablib.corpus.repetition import duplicate_share
from lablib.corpus.safety import plain_words, toxicity

# ---------------------------------------------------------------- duplicate_share


def share_by_kinds(parts, of_characters=False):
    sizes = [len(part) if of_characters else 1 for part in parts]
    kept = sum(len(part) if of_characters else 1 for part in dict.fromkeys(parts))
    return (sum(sizes) - kept) / sum(sizes) if sum(sizes) else 0


def share_by_counter(parts, of_characters=False):
    total = repeated = 0
    for part, times in Counter(parts).items():
        size = len(part) if of_characters else 1
        total, repeated = total + times * size, repeated + (times - 1) * size
    return repeated / total if total else 0.0


def share_by_index(parts, of_characters=False):
    weight = np.array([len(part) if of_characters else 1 for part in parts], dtype=float)
    again = np.array([parts.index(part) < i for i, part in enumerate(parts)], dtype=bool)
    return float(weight[again].sum() / weight.sum()) if weight.sum() else 0.0


def share_of_pairs(parts, of_characters=False):
    pairs = list(combinations(parts, 2))
    return sum(a == b for a, b in pairs) / max(len(pairs), 1)


def share_forgets_the_rest(parts, of_characters=False):
    return float(len(parts) > len(set(parts)))


def share_in_per_cent(parts, of_characters=False):
    return 100 * duplicate_share(parts, of_characters)


def share_of_the_most_frequent(parts, of_characters=False):
    return max(Counter(parts).values(), default=0) / max(len(parts), 1)


def share_one_too_many(parts, of_characters=False):
    if not parts:
        return 0.0
    return duplicate_share(parts, of_characters) + 1 / len(parts)


# ---------------------------------------------------------------- exact_key


def key_by_update(text):
    digest = hashlib.blake2b(digest_size=16)
    digest.update(normalised(text).encode("utf-8", "surrogatepass"))
    return digest.digest()


def key_by_bytes(text):
    return hashlib.blake2b(bytes(normalised(text), "utf-8", errors="surrogatepass"), digest_size=16).digest()


def key_from_hexadecimal(text):
    return bytes.fromhex(hashlib.blake2b(normalised(text).encode(errors="surrogatepass"), digest_size=16).hexdigest())


def key_is_the_text(text):
    return normalised(text)


def key_by_md5(text):
    return hashlib.md5(normalised(text).encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()


def key_as_number(text):
    return int.from_bytes(exact_key(text))


def key_of_sorted_words(text):
    return exact_key(" ".join(sorted(text.split())))


def key_without_spaces(text):
    return exact_key(normalised(text).replace(" ", ""))


# ---------------------------------------------------------------- shingles


def shingles_by_zip(text, k=3):
    if k <= 0:
        raise ValueError("at least one word")
    words = re.findall(r"\w+", text.lower())
    if 0 < len(words) < k:
        return {" ".join(words)}
    return set(map(" ".join, zip(*(words[i:] for i in range(k)), strict=False)))


def shingles_by_queue(text, k=3):
    if k < 1:
        raise ValueError(k)
    found, run = set(), []
    for word in re.sub(r"\W+", " ", text).lower().split():
        run = [*run, word][-k:]
        if len(run) == k:
            found.add(" ".join(run))
    return found or ({" ".join(run)} if run else set())


def shingles_cut_off(text, k=3):
    if k < 1:
        raise ValueError("k")
    words = re.split(r"\W+", text.lower().strip(" .,;:!?…"))
    words = [word for word in words if word]
    return {" ".join(words[i : i + k]) for i in range(len(words)) if i == 0 or i + k <= len(words)}


def shingles_as_list(text, k=3):
    return sorted(shingles(text, k))


def shingles_as_tuples(text, k=3):
    return {tuple(shingle.split()) for shingle in shingles(text, k)}


def shingles_without_blanks(text, k=3):
    return {shingle.replace(" ", "") for shingle in shingles(text, k)}


def shingles_accepts_zero(text, k=3):
    return shingles(text, max(k, 1))


def shingles_sorted_words(text, k=3):
    return {" ".join(sorted(shingle.split())) for shingle in shingles(text, k)}


def shingles_one_shorter(text, k=3):
    return shingles(text, k - 1) if k > 1 else shingles(text, k)


def shingles_frozen(text, k=3):
    return frozenset(shingles(text, k))


# ---------------------------------------------------------------- minhash


def minhash_by_loops(elements, a, b):
    x = [stable_hash(element) for element in elements]
    signature = [min(((int(m) * y + int(c)) % PRIME for y in x), default=PRIME) for m, c in zip(a, b, strict=True)]
    return np.array(signature, dtype=np.uint64)


def minhash_by_broadcasting(elements, a, b):
    x = np.fromiter(map(stable_hash, elements), dtype=np.uint64, count=len(elements))
    table = (x[:, None] * a + b) % PRIME  # (S, n)
    return table.min(axis=0, initial=PRIME)


def minhash_one_by_one(elements, a, b):
    signature = np.full(a.shape, PRIME, dtype=np.uint64)
    for element in elements:
        signature = np.minimum(signature, (a * np.uint64(stable_hash(element)) + b) % np.uint64(PRIME))
    return signature


def minhash_by_python_hash(elements, a, b):
    x = np.array([hash(element) % PRIME for element in elements], dtype=np.uint64)
    return ((np.outer(a, x) + b[:, None]) % np.uint64(PRIME)).min(axis=1, initial=PRIME)


def minhash_in_32_bits(elements, a, b):
    x = np.array([stable_hash(element) for element in elements], dtype=np.uint32)
    table = np.outer(a.astype(np.uint32), x) + b.astype(np.uint32)[:, None]
    return (table % np.uint32(PRIME)).min(axis=1, initial=PRIME).astype(np.uint64)


def minhash_as_list(elements, a, b):
    return minhash(elements, a, b).tolist()


def minhash_sorted(elements, a, b):
    return np.sort(minhash(elements, a, b))


def minhash_of_joined(elements, a, b):
    return minhash({" ".join(sorted(elements))}, a, b)


def minhash_mean(elements, a, b):
    x = np.array([stable_hash(element) for element in elements], dtype=np.uint64)
    return ((np.outer(a, x) + b[:, None]) % np.uint64(PRIME)).mean(axis=1) if len(x) else np.full(len(a), PRIME)


def minhash_changes_a(elements, a, b):
    signature = minhash(elements, a, b)
    a += np.uint64(1)
    return signature


def minhash_as_objects(elements, a, b):
    return np.array(minhash(elements, a, b).tolist(), dtype=object)


def minhash_as_tensor(elements, a, b):
    return torch.from_numpy(minhash(elements, a, b).astype(np.int64))


# ---------------------------------------------------------------- candidate_pairs


def pairs_by_comparing(signatures, b, r):
    keys = [set(band_keys(signature, b, r)) for signature in signatures]
    return {(i, j) for i, j in combinations(range(len(keys)), 2) if keys[i] & keys[j]}


def pairs_band_by_band(signatures, b, r):
    found = set()
    for band in range(b):
        buckets = defaultdict(list)
        for number, signature in enumerate(signatures):
            buckets[tuple(signature[band * r : (band + 1) * r].tolist())].append(number)
        for members in buckets.values():
            found |= {(i, j) for i in members for j in members if i < j}
    return found


def pairs_as_they_come(signatures, b, r):
    seen, found = defaultdict(list), set()
    for j, signature in enumerate(signatures):
        for key in band_keys(signature, b, r):
            found.update((i, j) for i in seen[key])
            seen[key].append(j)
    return found


def pairs_everybody(signatures, b, r):
    return set(combinations(range(len(signatures)), 2))


def pairs_nobody(signatures, b, r):
    return set()


def pairs_two_bands_needed(signatures, b, r):
    counts = Counter()
    for band in range(b):
        for i, j in combinations(range(len(signatures)), 2):
            counts[i, j] += bool(np.array_equal(*(signatures[n][band * r : band * r + r] for n in (i, j))))
    return {pair for pair, count in counts.items() if count > 1}


def pairs_turned_round(signatures, b, r):
    return {(j, i) for i, j in candidate_pairs(signatures, b, r)}


def pairs_from_one(signatures, b, r):
    return {(i + 1, j + 1) for i, j in candidate_pairs(signatures, b, r)}


# ---------------------------------------------------------------- luhn_valid


def luhn_by_table(number):
    table, total, count = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), 0, 0
    for letter in number[::-1]:
        if letter.isdecimal():
            total += table[int(letter)] if count % 2 else int(letter)
            count += 1
    return count >= 2 and not total % 10


def luhn_by_slices(number):
    digits = [int(digit) for digit in re.sub(r"\D", "", number)]
    if len(digits) < 2:
        return False
    return (sum(digits[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])) % 10 == 0


def luhn_by_check_digit(number):
    digits = number.replace(" ", "").replace("-", "")
    if len(digits) < 2:
        return False
    total = sum(sum(map(int, str(int(d) * (2 - place % 2)))) for place, d in enumerate(reversed(digits[:-1])))
    return -total % 10 == int(digits[-1])


def luhn_of_numpy(number):
    digits = np.array([int(digit) for digit in reversed(number) if digit.isdecimal()], dtype=int)
    digits[1::2] *= 2
    return np.logical_and(len(digits) > 1, (digits // 10 + digits % 10).sum() % 10 == 0)


def luhn_always(number):
    return True


def luhn_never(number):
    return False


def luhn_cards_only(number):
    return luhn_valid(number) and 13 <= sum(map(str.isdigit, number)) <= 19


def luhn_multiple_of_nine(number):
    digits = [int(d) for d in number if d.isdigit()]
    return len(digits) > 1 and sum(digits) % 9 == 0


def luhn_even_length_only(number):
    return luhn_valid(number) and sum(map(str.isdigit, number)) % 2 == 0


# ---------------------------------------------------------------- replaced


def replaced_from_the_end(text, spans):
    spans = list(spans)
    for before, after in pairwise(spans):
        if after[0] < before[1]:
            raise ValueError(f"{before} and {after}")
    for start, stop, kind in reversed(spans):
        text = text[:start] + PLACEHOLDERS[kind] + text[stop:]
    return text


def replaced_with_shift(text, spans):
    shift, last = 0, 0
    for span in spans:
        if span.start < last:
            raise ValueError("overlap")
        last, mark = span.stop, PLACEHOLDERS[span.kind]
        text = text[: span.start + shift] + mark + text[span.stop + shift :]
        shift += len(mark) - (span.stop - span.start)
    return text


def replaced_by_letters(text, spans):
    letters, last = list(text), 0
    for start, stop, kind in spans:
        if last > start:
            raise ValueError("not in order")
        letters[start:stop] = [PLACEHOLDERS[kind], *[""] * (stop - start - 1)]
        last = stop
    return "".join(letters)


def replaced_accepts_overlap(text, spans):
    letters = list(text)
    for start, stop, kind in spans:
        letters[start:stop] = [PLACEHOLDERS[kind], *[""] * (stop - start - 1)]
    return "".join(letters)


def replaced_as_tuple(text, spans):
    return replaced(text, spans), list(spans)


def replaced_not_at_all(text, spans):
    return text


def replaced_small_letters(text, spans):
    return replaced(text, spans).lower()


def replaced_same_mark(text, spans):
    return re.sub(r"\[[A-Z]+\]", "[PRIVATE]", replaced(text, spans))


def replaced_with_blanks(text, spans):
    return re.sub(r"(\[[A-Z]+\])", r" \1 ", replaced(text, spans))


# ---------------------------------------------------------------- toxicity


def toxicity_by_walking(text, listed):
    words, entries = plain_words(text), sorted((tuple(entry.split()) for entry in listed), key=len, reverse=True)
    place = found = 0
    while place < len(words):
        fits = [entry for entry in entries if tuple(words[place : place + len(entry)]) == entry]
        found += bool(fits)
        place += len(fits[0]) if fits else 1
    return 100 * found / len(words) if words else 0.0


def toxicity_by_marking(text, listed):
    words = plain_words(text)
    line, total = f" {'  '.join(words)} ", 0
    for entry in sorted(listed, key=len, reverse=True):
        piece = f" {'  '.join(entry.split())} "
        total += line.count(piece)
        line = line.replace(piece, " # ")
    return 100 * total / max(len(words), 1)


def toxicity_by_split(text, listed):
    words = plain_words(text)
    if not words:
        return 0
    entries = "|".join(re.escape(entry) for entry in sorted(listed, key=lambda entry: -len(entry)))
    pieces = re.split(rf"(?:(?<=\s)|(?<=^))(?:{entries})(?=\s|$)", " ".join(words)) if entries else [""]
    return (len(pieces) - 1) / len(words) * 100


def toxicity_of_letters(text, listed):
    found = toxicity(text, listed) * len(plain_words(text)) / 100
    return 100 * found / max(len(text), 1)


def toxicity_first_word_only(text, listed):
    words = plain_words(text)[:1]
    return 100.0 * any(word in listed for word in words)


def toxicity_constant(text, listed):
    return 0.0


def toxicity_of_listed(text, listed):
    return 100 * toxicity(text, listed) / max(len(list(listed)), 1)


def toxicity_case_kept(text, listed):
    words = text.split()
    return 100 * sum(word.strip(".,!") in listed for word in words) / max(len(words), 1)


# ---------------------------------------------------------------- mixture_weights


def weights_by_logarithms(sizes, alpha=1.0):
    if not sizes or alpha < 0 or min(sizes.values()) <= 0:
        raise ValueError("sizes must be positive and alpha not negative")
    scores = alpha * np.log(np.array(list(sizes.values())))
    shares = np.exp(scores - scores.max())
    return dict(zip(sizes, (shares / shares.sum()).tolist(), strict=True))


def weights_plainly(sizes, alpha=1.0):
    if alpha < 0 or not sizes or any(size <= 0 for size in sizes.values()):
        raise ValueError("no")
    total = sum(size**alpha for size in sizes.values())
    return {source: size**alpha / total for source, size in sizes.items()}


def weights_of_shares(sizes, alpha=1.0):
    if alpha < 0 or not all(size > 0 for size in sizes.values()) or len(sizes) == 0:
        raise ValueError("no")
    whole = sum(sizes.values())
    powers = [(size / whole) ** alpha for size in sizes.values()]
    return {source: power / sum(powers) for source, power in zip(sizes, powers, strict=True)}


def weights_as_list(sizes, alpha=1.0):
    return list(mixture_weights(sizes, alpha).values())


def weights_all_alike(sizes, alpha=1.0):
    return {source: 1 / len(sizes) for source in sizes}


def weights_negative_allowed(sizes, alpha=1.0):
    return mixture_weights(sizes, abs(alpha))


def weights_zero_allowed(sizes, alpha=1.0):
    if not sizes or alpha < 0:
        raise ValueError("no")
    return mixture_weights({source: size or 1 for source, size in sizes.items()}, alpha)


def weights_in_per_cent(sizes, alpha=1.0):
    return {source: 100 * weight for source, weight in mixture_weights(sizes, alpha).items()}


def weights_largest_only(sizes, alpha=1.0):
    largest = max(sizes, key=sizes.get)
    return {largest: 1.0}


def weights_by_root(sizes, alpha=1.0):
    return mixture_weights(sizes, 0.5)


RIGHT: dict[str, list] = {
    "duplicate_share": [duplicate_share, share_by_kinds, share_by_counter, share_by_index],
    "exact_key": [exact_key, key_by_update, key_by_bytes, key_from_hexadecimal],
    "shingles": [shingles, shingles_by_zip, shingles_by_queue, shingles_cut_off, shingles_frozen],
    "minhash": [minhash, minhash_by_loops, minhash_by_broadcasting, minhash_one_by_one],
    "candidate_pairs": [candidate_pairs, pairs_by_comparing, pairs_band_by_band, pairs_as_they_come],
    "luhn_valid": [luhn_valid, luhn_by_table, luhn_by_slices, luhn_by_check_digit, luhn_of_numpy],
    "replaced": [replaced, replaced_from_the_end, replaced_with_shift, replaced_by_letters],
    "toxicity": [toxicity, toxicity_by_walking, toxicity_by_marking, toxicity_by_split],
    "mixture_weights": [mixture_weights, weights_by_logarithms, weights_plainly, weights_of_shares],
}

WRONG: dict[str, list] = {
    "duplicate_share": [
        share_of_pairs,
        share_forgets_the_rest,
        share_in_per_cent,
        share_of_the_most_frequent,
        share_one_too_many,
    ],
    "exact_key": [key_is_the_text, key_by_md5, key_as_number, key_of_sorted_words, key_without_spaces],
    "shingles": [
        shingles_as_list,
        shingles_as_tuples,
        shingles_without_blanks,
        shingles_accepts_zero,
        shingles_sorted_words,
        shingles_one_shorter,
    ],
    "minhash": [
        minhash_by_python_hash,
        minhash_in_32_bits,
        minhash_as_list,
        minhash_sorted,
        minhash_of_joined,
        minhash_mean,
        ("changes a", minhash_changes_a, "in place"),
        ("Python's numbers", minhash_as_objects, "Give the array the type"),
        ("a tensor", minhash_as_tensor, "got a torch tensor, expected a NumPy array"),
    ],
    "candidate_pairs": [pairs_everybody, pairs_nobody, pairs_two_bands_needed, pairs_turned_round, pairs_from_one],
    "luhn_valid": [luhn_always, luhn_never, luhn_cards_only, luhn_multiple_of_nine, luhn_even_length_only],
    "replaced": [
        replaced_accepts_overlap,
        replaced_as_tuple,
        replaced_not_at_all,
        replaced_small_letters,
        replaced_same_mark,
        replaced_with_blanks,
    ],
    "toxicity": [
        toxicity_of_letters,
        toxicity_first_word_only,
        toxicity_constant,
        toxicity_of_listed,
        toxicity_case_kept,
    ],
    "mixture_weights": [
        weights_as_list,
        weights_all_alike,
        weights_negative_allowed,
        weights_zero_allowed,
        weights_in_per_cent,
        weights_largest_only,
        weights_by_root,
    ],
}
